/* What the files of snapshots share. */
#pragma once

#include "instance/snapshot.h"

enum { SNAPSHOT_FORMAT = 1 };

/** Where a snapshot lies, or with "" all of them; the caller frees it. */
char *snapshot_folder(const char *name);

/** CRC-32C and length of a whole file.  0 or a negative errno. */
int snapshot_checksum(int fd, u32 *sum, u64 *bytes);
