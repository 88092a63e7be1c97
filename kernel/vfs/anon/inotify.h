/* inotify(7). */
#pragma once

#include "vfs/file.h"

struct inode;

enum { INOTIFY_MAX_EVENTS = 16384 }; /* /proc/sys/fs/inotify/max_queued_events */

/** @flags: O_NONBLOCK. NULL: no memory. */
struct file *inotify_create(u32 flags);
bool file_is_inotify(const struct file *file);
/**
 * Watch @inode, or change the watch that is on it. @mask: IN_*.
 * The watch's number, or -EEXIST (IN_MASK_CREATE), -ENOMEM.
 */
int inotify_add(struct file *file, struct inode *inode, u32 mask);
/** 0, or -EINVAL where there is no such watch. */
int inotify_remove(struct file *file, int wd);
