/* Entries of a tar archive in memory: POSIX ustar and pax, and GNU's long names and large numbers,
 * as container images have them.  A pure function over bytes that nobody has checked.  Not read:
 * sparse files, archives of several volumes.  Source: POSIX.1-2017 pax, "ustar Interchange Format";
 * GNU tar manual, "Basic Tar Format". */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

enum tar_type {
    TAR_FILE,
    TAR_HARD_LINK,
    TAR_LINK,
    TAR_DIR,
    TAR_OTHER, /* a device or a pipe */
};

struct tar_entry {
    enum tar_type type;
    const char *path;   /* as written; borrowed from the reader until the next entry */
    const char *target; /* of links; "" else; borrowed like it */
    const u8 *data;     /* borrowed from the archive */
    u64 size;           /* of data, bytes */
    u32 mode;           /* permission bits, 07777 */
    u32 uid, gid;       /* (u32)-1 and more: an error of the archive */
    s64 mtime;          /* seconds since 1970; 0 to 2^33 */
    u32 mtime_ns;
};

/** A walk over an archive: set data and len, zero the rest; tar_free() at the end. */
struct tar {
    const u8 *data; /* borrowed */
    size_t len;
    size_t at;
    char *path, *target; /* of the current entry; owned */
};

/** The next entry into @out. Returns 1, 0 at the end, -EINVAL or -ENOTSUP (@err says where). */
int tar_next(struct tar *tar, struct tar_entry *out, struct err *err);

/** Free what the walk owns, and begin anew; fit for CLEANUP. */
void tar_free(struct tar *tar);

/** Does an archive begin here?  True also of an empty one. */
bool tar_begins(const u8 *data, size_t len);
