/* A tree becomes an EROFS file system, by mkfs.erofs: 4096-byte blocks, file data in whole blocks
 * of its own so that a kernel can map it where it lies; or compressed, where somebody wants a
 * small image rather than a quick one.  The same tree gives the same bytes. */
#pragma once

#include "lib/err.h"

#include <string.h>

struct tree;

/** How file data is kept.  DEFAULT: nobody has said; then as it is. */
enum erofs_compression {
    EROFS_COMPRESSION_DEFAULT,
    EROFS_COMPRESSION_NONE,
    EROFS_COMPRESSION_LZ4,
    EROFS_COMPRESSION_LZMA,
};

/** "none", "lz4" or "lzma"; DEFAULT for any other word. */
static inline enum erofs_compression erofs_compression_named(const char *word)
{
    return strcmp(word, "none") == 0   ? EROFS_COMPRESSION_NONE
           : strcmp(word, "lz4") == 0  ? EROFS_COMPRESSION_LZ4
           : strcmp(word, "lzma") == 0 ? EROFS_COMPRESSION_LZMA
                                       : EROFS_COMPRESSION_DEFAULT;
}

/**
 * Write @tree (sorted by this call) to @out, a multiple of 4096 bytes.
 * @scratch: a temporary folder on a file system with room for all files twice
 * Errors: ENOSPC with the folder named; a host file that cannot be read; what mkfs.erofs says.
 */
int erofs_write(struct tree *tree, enum erofs_compression compression, const char *scratch,
                const char *out, struct err *err);
