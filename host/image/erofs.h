/* A tree becomes an EROFS file system, by mkfs.erofs: uncompressed, 4096-byte blocks, file data
 * in whole blocks of its own so that a kernel can map it where it lies.  The same tree gives the
 * same bytes. */
#pragma once

#include "lib/err.h"

struct tree;

/**
 * Write @tree (sorted by this call) to @out, a multiple of 4096 bytes.
 * @scratch: a temporary folder on a file system with room for all files twice
 * Errors: ENOSPC with the folder named; a host file that cannot be read; what mkfs.erofs says.
 */
int erofs_write(struct tree *tree, const char *scratch, const char *out, struct err *err);
