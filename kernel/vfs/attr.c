/* Attributes of inodes, who may do what, and the hooks that tell inotify. */
#include "abi/errno.h"
#include "lib/string.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/notify.h"
#include "vfs/path.h"
#include "vfs/permission.h"

void (*fsnotify_handler)(struct inode *inode, u32 mask, const char *name, u32 cookie);

void fsnotify_dentry_slow(struct dentry *dentry, u32 mask)
{
    char name[LINUX_NAME_MAX + 1];

    names_read_lock();
    struct dentry *parent = dentry->parent;
    bool unlinked =
        !(dentry->flags & DENTRY_HASHED) && parent->inode && !parent->inode->ops->uncached;
    memcpy(name, dentry->name, dentry->name_len + 1);
    dentry_get(parent);
    names_read_unlock();
    if (dentry->inode) {
        if (S_ISDIR(dentry->inode->mode))
            mask |= FS_ISDIR;
        fsnotify(dentry->inode, mask, NULL, 0);
    }
    if (parent != dentry && parent->inode)
        fsnotify(parent->inode, unlinked ? mask | FS_UNLINKED : mask, name, 0);
    dentry_put(parent);
}

/* ---- permission ---- */

int inode_permission_of(const struct creds *c, const struct inode *inode, int mask)
{
    u32 bits = inode->mode;

    if (inode->uid == c->fsuid || (inode->sb && inode->sb->ownerless))
        bits >>= 6;
    else if (creds_in_group(c, inode->gid))
        bits >>= 3;
    if (!(mask & ~(int)bits & 7))
        return 0;
    bool folder = S_ISDIR(inode->mode), runs = mask & X_OK && !folder;
    if (creds_capable(c, CAP_DAC_OVERRIDE) && (!runs || inode->mode & 0111))
        return 0;
    if (creds_capable(c, CAP_DAC_READ_SEARCH) && !(mask & W_OK) && !runs)
        return 0;
    return -EACCES;
}

bool inode_is_own(const struct inode *inode)
{
    const struct creds *c = current_creds();

    return !c || c->fsuid == inode->uid || creds_capable(c, CAP_FOWNER);
}

int may_remove_from(const struct inode *dir, const struct inode *inode)
{
    int err = inode_permission(dir, W_OK | X_OK);

    if (err)
        return err;
    return dir->mode & S_ISVTX && !inode_is_own(inode) && !inode_is_own(dir) ? -EPERM : 0;
}

static int may_chown(const struct inode *inode, const struct inode_attr *attr)
{
    const struct creds *c = current_creds();

    if (!c || creds_capable(c, CAP_CHOWN))
        return 0;
    if (attr->valid & ATTR_UID && (c->fsuid != inode->uid || attr->uid != inode->uid))
        return -EPERM;
    if (attr->valid & ATTR_GID &&
        (c->fsuid != inode->uid || (attr->gid != inode->gid && !creds_in_group(c, attr->gid))))
        return -EPERM;
    return 0;
}

static int may_setattr(const struct inode *inode, const struct inode_attr *attr)
{
    if (attr->valid & (ATTR_UID | ATTR_GID)) {
        int err = may_chown(inode, attr);
        if (err)
            return err;
    }
    if (attr->valid & (ATTR_MODE | ATTR_TIMES_GIVEN) && !inode_is_own(inode))
        return -EPERM;
    if (attr->valid & (ATTR_ATIME | ATTR_MTIME) && !inode_is_own(inode))
        return inode_permission(inode, W_OK);
    return 0;
}

/* A new owner, or a mode from one who is not of the group, takes set-id bits away. */
static void drop_set_ids(const struct inode *inode, struct inode_attr *attr)
{
    const struct creds *c = current_creds();
    u32 mode = attr->valid & ATTR_MODE ? attr->mode : inode->mode;

    if (attr->valid & ATTR_MODE && c && !creds_capable(c, CAP_FSETID) &&
        !creds_in_group(c, attr->valid & ATTR_GID ? attr->gid : inode->gid))
        attr->mode = mode &= ~(u32)S_ISGID;
    if (!(attr->valid & (ATTR_UID | ATTR_GID)) || attr->valid & ATTR_MODE || S_ISDIR(inode->mode))
        return;
    u32 left = mode & ~(u32)(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
    if (left != mode) {
        attr->mode = left & 07777;
        attr->valid |= ATTR_MODE;
    }
}

/* ---- changes ---- */

static int setattr_locked(struct inode *inode, const struct inode_attr *attr)
{
    if (!inode->ops->setattr)
        return -EROFS;
    return inode->ops->setattr(inode, attr);
}

int vfs_setattr_inode(struct inode *inode, const struct inode_attr *attr)
{
    struct inode_attr wanted = *attr;

    mutex_lock(&inode->lock);
    int err = may_setattr(inode, attr);
    if (!err) {
        drop_set_ids(inode, &wanted);
        err = setattr_locked(inode, &wanted);
    }
    mutex_unlock(&inode->lock);
    return err;
}

int vfs_setattr(const struct path *path, const struct inode_attr *attr)
{
    if (mount_is_readonly(path->mount))
        return -EROFS;
    int err = vfs_setattr_inode(path->dentry->inode, attr);
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
    return err;
}

ssize_t vfs_readlink(const struct path *path, char *buf, size_t size)
{
    struct inode *inode = path->dentry->inode;

    if (!S_ISLNK(inode->mode) || !inode->ops->readlink)
        return -EINVAL;
    return inode->ops->readlink(inode, buf, size);
}

/* access(2) asks for the real ids: what a program that runs as somebody else would be refused. */
static int real_permission(const struct inode *inode, int mask)
{
    const struct creds *own = current_creds();

    if (!own)
        return 0;
    struct creds real = *own;
    real.fsuid = own->uid;
    real.fsgid = own->gid;
    real.cap_effective = own->uid ? 0 : own->cap_permitted;
    return inode_permission_of(&real, inode, mask);
}

int vfs_access(const struct path *path, int mask, bool effective)
{
    const struct inode *inode = path->dentry->inode;
    bool plain = S_ISREG(inode->mode) || S_ISDIR(inode->mode) || S_ISLNK(inode->mode);

    if (mask & W_OK && mount_is_readonly(path->mount) && plain)
        return -EROFS;
    if (mask & X_OK && !S_ISDIR(inode->mode) && !(inode->mode & 0111))
        return -EACCES;
    return effective ? inode_permission(inode, mask) : real_permission(inode, mask);
}
