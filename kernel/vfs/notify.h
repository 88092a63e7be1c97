/* Where inotify listens.  Without a watch in the system each hook costs one load and a branch. */
#pragma once

#include "lib/types.h"

struct dentry;
struct inode;

/** Event bits of inotify(7). */
enum fsnotify_mask {
    FS_ACCESS = 0x1,
    FS_MODIFY = 0x2,
    FS_ATTRIB = 0x4,
    FS_CLOSE_WRITE = 0x8,
    FS_CLOSE_NOWRITE = 0x10,
    FS_OPEN = 0x20,
    FS_MOVED_FROM = 0x40,
    FS_MOVED_TO = 0x80,
    FS_CREATE = 0x100,
    FS_DELETE = 0x200,
    FS_DELETE_SELF = 0x400,
    FS_MOVE_SELF = 0x800,
    FS_UNLINKED = 0x04000000, /* of a file whose name in the directory is gone */
    FS_ISDIR = 0x40000000,
};

/**
 * Set by inotify while there is a watch, NULL else.  Something happened to @inode: tell the watches
 * in inode->watches. @name: the entry in the directory @inode it happened to, or NULL.
 * @cookie ties the two halves of a rename. Must not sleep; inode->lock may be held.
 */
extern void (*fsnotify_handler)(struct inode *inode, u32 mask, const char *name, u32 cookie);

/**
 * Set and cleared with it, and called instead of dropping a reference to an inode without names:
 * drops it, and where watches are the only ones left tells them of the end.  False: it has no
 * watches, and the reference is as it was.
 */
extern bool (*fsnotify_put_handler)(struct inode *inode);

/** The same for a name: the inode's own watches, then its directory's with the name. */
void fsnotify_dentry_slow(struct dentry *dentry, u32 mask);

static inline void fsnotify(struct inode *inode, u32 mask, const char *name, u32 cookie)
{
    void (*handler)(struct inode *, u32, const char *, u32) = fsnotify_handler;
    if (unlikely(handler != NULL))
        handler(inode, mask, name, cookie);
}
static inline void fsnotify_dentry(struct dentry *dentry, u32 mask)
{
    if (unlikely(fsnotify_handler != NULL) && dentry)
        fsnotify_dentry_slow(dentry, mask);
}
