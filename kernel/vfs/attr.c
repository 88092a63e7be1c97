/* Attributes of inodes, what root may do, and the hooks that tell inotify. */
#include "abi/errno.h"
#include "lib/string.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/notify.h"
#include "vfs/path.h"

void (*fsnotify_handler)(struct inode *inode, u32 mask, const char *name, u32 cookie);

void fsnotify_dentry_slow(struct dentry *dentry, u32 mask)
{
    char name[LINUX_NAME_MAX + 1];

    names_read_lock();
    struct dentry *parent = dentry->parent;
    memcpy(name, dentry->name, dentry->name_len + 1);
    dentry_get(parent);
    names_read_unlock();
    if (dentry->inode) {
        if (S_ISDIR(dentry->inode->mode))
            mask |= FS_ISDIR;
        fsnotify(dentry->inode, mask, NULL, 0);
    }
    if (parent != dentry && parent->inode)
        fsnotify(parent->inode, mask, name, 0);
    dentry_put(parent);
}

static int setattr_locked(struct inode *inode, const struct inode_attr *attr)
{
    if (!inode->ops->setattr)
        return -EROFS;
    return inode->ops->setattr(inode, attr);
}

int vfs_setattr(const struct path *path, const struct inode_attr *attr)
{
    struct inode *inode = path->dentry->inode;

    if (path->mount->readonly)
        return -EROFS;
    mutex_lock(&inode->lock);
    int err = setattr_locked(inode, attr);
    mutex_unlock(&inode->lock);
    if (!err)
        fsnotify_dentry(path->dentry, FS_ATTRIB);
    return err;
}

int vfs_truncate(struct inode *inode, u64 size)
{
    struct inode_attr attr = {.valid = ATTR_SIZE, .size = size};

    if (size > INT64_MAX)
        return -EINVAL;
    mutex_lock(&inode->lock);
    int err = setattr_locked(inode, &attr);
    mutex_unlock(&inode->lock);
    if (!err)
        fsnotify(inode, FS_MODIFY, NULL, 0);
    return err;
}

ssize_t vfs_readlink(const struct path *path, char *buf, size_t size)
{
    struct inode *inode = path->dentry->inode;

    if (!S_ISLNK(inode->mode) || !inode->ops->readlink)
        return -EINVAL;
    return inode->ops->readlink(inode, buf, size);
}

int vfs_access(const struct path *path, int mask)
{
    const struct inode *inode = path->dentry->inode;
    bool plain = S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode);

    if (mask & W_OK && path->mount->readonly && plain)
        return -EROFS;
    if (mask & X_OK && !S_ISDIR(inode->mode) && !(inode->mode & 0111))
        return -EACCES;
    return 0;
}
