/* File systems in memory: tmpfs, and the overlay that is one over read-only layers. */
#pragma once

#include "lib/types.h"

struct file;
struct super_block;

/** An empty tmpfs of at most half of all memory; NULL: no memory. */
struct super_block *tmpfs_mount(void);
/** The same of at most @bytes, rounded up to whole pages; 0: half of all memory. */
struct super_block *tmpfs_mount_sized(u64 bytes);

/** Give one another limit, rounded up to whole pages. 0, or -EINVAL: more is in use. */
int tmpfs_resize(struct super_block *sb, u64 bytes);

/**
 * One that shows the directories of @layers (@nr roots, the top one first; the super blocks are
 * borrowed for good) merged, and keeps changes to itself. NULL: no memory.
 */
struct super_block *overlay_mount(struct super_block *const *layers, u32 nr);

/**
 * An empty file without a name, for memfd_create and shared memory: @anon_name as /proc shows it,
 * static or owned by the file for good. @seals: may it be sealed (F_ADD_SEALS)?
 * 0 and *@out with a reference, or -ENOMEM.
 */
int tmpfs_create_anon(const char *anon_name, u32 flags, bool seals, struct file **out);

/** Make the type "tmpfs" known to mount; at start. */
void tmpfs_register(void);
