/* EROFS, read-only: images in memory are used in place, images on disks go through the page cache.
 * Nothing on them is trusted: every place and length is checked before it is used. */
#pragma once

#include "lib/types.h"

struct block_dev;
struct super_block;

/**
 * Mount the image at @base, of which at most @max bytes are there; they are borrowed for good.
 * @why: what is wrong with it, static, on failure.
 * 0 and *@out, -EINVAL (not EROFS), -EUCLEAN (corrupt), -EOPNOTSUPP (a feature we lack), -ENOMEM.
 */
int erofs_mount_memory(const void *base, u64 max, struct super_block **out, const char **why);
/** As above, on a disk. -EIO too. */
int erofs_mount_disk(struct block_dev *bd, struct super_block **out, const char **why);

/** Bytes of the image at @base as its super block has it, 0 if it is none; @max as above. */
u64 erofs_image_size(const void *base, u64 max);
