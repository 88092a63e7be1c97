/* One layer of a container image, applied to a tree.  Nothing in it is trusted: its paths become
 * paths of the tree only, the bytes of its files become numbered files of a scratch folder. */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

struct tree;

/** Bytes that somebody else holds. */
struct slice {
    const u8 *data;
    size_t len;
};

/** How large a layer may become: what is larger is taken for a bomb. */
#define LAYER_BYTES_MAX (32ull << 30)

enum {
    LAYER_FILES_MAX = 4 << 20, /* entries of all layers of an image */
};

/**
 * Unpack gzip or zstd, as its first bytes say, by the programs of these names.
 * @scratch: folder for files of its own
 * @limit: bytes that may come of it
 * *@out: path of a file with what came of it, owned by the caller; NULL: @bytes are neither, use
 * them.  Errors: EFBIG more than @limit; EINVAL damaged; ENOENT no such program here.
 */
int layer_inflate(const struct slice *bytes, const char *scratch, u64 limit, char **out,
                  struct err *err);

/**
 * Apply a tar archive: whiteouts first, which speak of the layers below, then what it holds.
 * Devices, pipes and extended attributes are left out.
 * @files: folder for the bytes of files; *@count: files and links so far, of all layers
 * Errors: EINVAL damaged, or a path that leads out of the image; ELOOP; ENOSPC.
 */
int layer_apply(struct tree *tree, const struct slice *tar, const char *files, size_t *count,
                struct err *err);
