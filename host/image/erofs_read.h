/* Files out of an EROFS layer, for what the tool tells of images.  Reads what erofs_write() makes:
 * uncompressed, files in one piece.  Nothing in a layer is trusted. */
#pragma once

#include "lib/buf.h"
#include "lib/types.h"

struct erofs_view {
    const u8 *data; /* borrowed: the whole layer */
    size_t len;
};

/** Call @fn for each name in the folder at absolute @path but "." and "..".  False: no such folder.
 */
bool erofs_list(const struct erofs_view *view, const char *path,
                void (*fn)(void *arg, const char *name), void *arg);

/** Where the inode of absolute @path is, links not followed.  False: no such path, or damaged. */
bool erofs_inode(const struct erofs_view *view, const char *path, u64 *at);

/** Append the bytes of the regular file at absolute @path.  False: no such file, or damaged. */
bool erofs_read(const struct erofs_view *view, const char *path, struct buf *out);

/** The same of the layer in file @layer. */
bool erofs_read_layer(const char *layer, const char *path, struct buf *out);

/** Is there anything at absolute @path of the layer in file @layer? */
bool erofs_layer_has(const char *layer, const char *path);
