/* ext4, read and write, with its journal: docs/decisions/0016-ext4.md.  Nothing on the disk is
 * trusted: every number is checked before it is used. */
#pragma once

#include "lib/types.h"

struct block_dev;
struct super_block;

/**
 * Mount @bd; @readonly: nothing is written but what the journal's replay needs.
 * @why: what is wrong with it, of @why_size bytes, on failure or where it is mounted read-only
 * although nobody asked ("" else).
 * 0 and *@out; -EINVAL (not ext4), -EUCLEAN (corrupt), -EOPNOTSUPP (a feature we lack, named in
 * @why), -EROFS (needs its journal replayed, and the disk is read-only), -EIO, -ENOMEM.
 */
int ext4_mount(struct block_dev *bd, bool readonly, char *why, size_t why_size,
               struct super_block **out);
