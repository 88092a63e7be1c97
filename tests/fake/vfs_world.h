/* A world for vfs and fs on the host: one CPU and one process, heap of the C library, pages of an
 * arena, locks that end the test where the kernel would hang.  Program addresses are host ones. */
#pragma once

#include "lib/types.h"

struct super_block;
struct block_dev;

/** A process with an empty descriptor table; names, no root. Once a test. */
void world_create(void);
/** Mount @sb as the root; the process's root and working directory. */
void world_mount_root(struct super_block *sb);
/** Forget the process and its root, so that leaks show. */
void world_destroy(void);
/** What another CPU does right before the next copy to or from the program, which forgets it. */
extern void (*world_before_copy)(void);
/** Pages that are allocated now. */
u64 world_pages(void);
/** A disk over memory; transfers may fail. */
struct block_dev *world_disk(void *bytes, u64 len);
/** Run mkfs.erofs on @dir with @options (behind "LZMA": clusters become MicroLZMA): the image, page
 * aligned, *@len bytes, or NULL. */
u8 *world_make_erofs(const char *dir, const char *options, u64 *len);
