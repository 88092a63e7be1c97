/* open(2) without the descriptor. */
#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/anon/pipe.h"
#include "vfs/busy.h"
#include "vfs/dentry.h"
#include "vfs/device.h"
#include "vfs/errseq.h"
#include "vfs/known_path.h"
#include "vfs/mount.h"
#include "vfs/notify.h"
#include "vfs/permission.h"
#include "vfs/walk.h"

/* Give @file the operations of its inode, or what its kind of node asks for. */
static int attach(struct inode *inode, struct file *file)
{
    file->ops = inode->fops;
    if (inode->ops->open)
        return inode->ops->open(inode, file);
    switch (inode->mode & S_IFMT) {
    case S_IFIFO:
        return pipe_open_fifo(inode, file);
    case S_IFCHR:
        if (file->mount && mount_has(file->mount, MOUNT_NODEV))
            return -EACCES;
        return char_device_open(inode, file);
    case S_IFBLK:
    case S_IFSOCK:
        return -ENXIO;
    default:
        return 0;
    }
}

static int check_open(const struct path *path, const struct inode *inode, u32 flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;

    if (S_ISLNK(inode->mode))
        return -ELOOP;
    if (S_ISDIR(inode->mode) && writes)
        return -EISDIR;
    if (!S_ISDIR(inode->mode) && flags & O_DIRECTORY)
        return -ENOTDIR;
    if (writes && mount_is_readonly(path->mount) && S_ISREG(inode->mode))
        return -EROFS;
    int mask = (flags & O_ACCMODE) == O_WRONLY ? W_OK : R_OK;
    return inode_permission(inode, writes ? mask | W_OK : mask);
}

/* Who truncates only is no writer, but may not do it to a program that runs either. */
static int begin_write(struct file *file, u32 flags)
{
    bool writes = file->mode & FILE_WRITE;

    if (!S_ISREG(file->inode->mode) || (!writes && !(flags & O_TRUNC)))
        return 0;
    int err = inode_begin_write(file->inode);
    if (err)
        return err;
    if (writes)
        file->mode |= FILE_WRITER;
    else
        inode_end_write(file->inode);
    return 0;
}

/* Without a look at permissions: who has just made it may have it open as he likes. */
static int open_checked(const struct path *path, u32 flags, struct file **out)
{
    static const struct file_ops no_ops;
    struct inode *inode = path->dentry->inode;

    struct file *file = file_create(inode, path->dentry, path->mount, flags);
    if (!file)
        return -ENOMEM;
    if (flags & O_PATH) {
        file->flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
        file->ops = &no_ops;
        *out = file;
        return 0;
    }
    if (S_ISREG(inode->mode) || S_ISDIR(inode->mode))
        file->mode |= FILE_SEEK;
    if (S_ISREG(inode->mode))
        file->backing.ops = &generic_backing_ops;
    file->fs_error_seen = errseq_sample(&inode->sb->error);
    int err = begin_write(file, flags);
    if (!err)
        err = attach(inode, file);
    if (!err && flags & O_TRUNC && S_ISREG(inode->mode))
        err = vfs_truncate(inode, 0);
    if (!err && flags & O_TRUNC && S_ISREG(inode->mode))
        fsnotify_dentry(path->dentry, FS_MODIFY);
    if (!file->ops)
        file->ops = &no_ops;
    if (err) {
        file->ops = &no_ops; /* it was never open: no release */
        file_put(file);
        return err;
    }
    fsnotify_dentry(path->dentry, FS_OPEN);
    *out = file;
    return 0;
}

static __attribute__((noinline)) int open_any(const struct path *path, u32 flags, struct file **out)
{
    int err = flags & O_PATH ? 0 : check_open(path, path->dentry->inode, flags);

    return err ? err : open_checked(path, flags, out);
}

/* A regular file to be read, whose file system has nothing to say to that; who asks may read all.
 */
static inline bool is_plain_read(const struct inode *inode, u32 flags)
{
    const u32 else_than_read = O_ACCMODE | O_TRUNC | O_PATH | O_DIRECTORY;

    return S_ISREG(inode->mode) && !(flags & else_than_read) && !inode->ops->open && inode->fops &&
           !fsnotify_handler;
}

/* @file is NULL where memory is short. */
static inline int open_plain(struct file *file, struct inode *inode, struct file **out)
{
    if (unlikely(!file))
        return -ENOMEM;
    file->mode |= FILE_SEEK;
    file->backing.ops = &generic_backing_ops;
    file->fs_error_seen = errseq_sample(&inode->sb->error);
    file->ops = inode->fops;
    *out = file;
    return 0;
}

int vfs_open_path(const struct path *path, u32 flags, struct file **out)
{
    struct inode *inode = path->dentry->inode;

    if (!is_plain_read(inode, flags) || !may_everything())
        return open_any(path, flags, out);
    return open_plain(file_create(inode, path->dentry, path->mount, flags), inode, out);
}

int vfs_open_known(const struct name_buf *name, u32 flags, struct file **out)
{
    if (unlikely(*name->text != '/' || flags & (O_CREAT | O_TMPFILE)))
        return 1;
    const struct path *known = known_path_borrow(name->text, name->len);
    if (!known)
        return 1;
    struct path at = *known;
    struct inode *inode = at.dentry->inode;
    bool plain = is_plain_read(inode, flags);
    if (likely(plain)) {
        inode_get(inode);
        dentry_get(at.dentry);
    }
    names_read_unlock();
    if (unlikely(!plain))
        return 1;
    struct file *file = file_create_with(inode, at.dentry, at.mount, flags);
    if (unlikely(!file)) {
        dentry_put(at.dentry);
        inode_put(inode);
    }
    return open_plain(file, inode, out);
}

/* Make the last component in the locked directory @dir, or find it there. */
static int create_locked(const struct path *dir, const struct path_last *last, u32 flags, u32 mode,
                         struct dentry **out, bool *created)
{
    struct inode *parent = dir->dentry->inode, *inode;
    struct dentry *dentry;

    int err = lookup_locked(dir->dentry, last->name, last->len, last->hash, &dentry);
    if (err)
        return err;
    if (dentry->inode) {
        *out = dentry;
        return 0;
    }
    err = -EROFS;
    if (is_dead_dir(parent))
        err = -ENOENT;
    else if (last->trailing)
        err = -EISDIR;
    else if (parent->ops->create && !mount_is_readonly(dir->mount))
        err = may_create_in(parent)
                  ?: parent->ops->create(parent, dentry->name, last->len, mode, 0, &inode);
    if (err) {
        dentry_put(dentry);
        return err;
    }
    (void)flags;
    dentry_instantiate(dentry, inode);
    fsnotify(parent, FS_CREATE, dentry->name, 0);
    *created = true;
    *out = dentry;
    return 0;
}

/* Text of the symlink @link, padded for hashing; owned by the caller. */
static int read_link(struct dentry *link, char **out)
{
    char *text = kzalloc(LINUX_PATH_MAX + 16);
    if (!text)
        return -ENOMEM;
    const struct inode_ops *ops = link->inode->ops;
    ssize_t n = ops->readlink ? ops->readlink(link->inode, text, LINUX_PATH_MAX) : -ELOOP;
    if (n <= 0) {
        kfree(text);
        return n ? (int)n : -ENOENT;
    }
    *out = text;
    return 0;
}

/* /proc/self/fd/1 and its like: what the link stands for is there already. */
static int open_magic(struct inode *link, u32 flags, u32 resolve, struct file **out)
{
    struct path path;

    if (resolve & (LOOKUP_NO_MAGIC | LOOKUP_NO_SYMLINKS))
        return -ELOOP;
    if (resolve & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))
        return -EXDEV;
    int err = link->ops->follow(link, &path);
    if (err)
        return err;
    err = vfs_open_path(&path, flags, out);
    path_put(&path);
    return err;
}

/* What the last component of an O_CREAT open is; -EAGAIN and *@text: a symlink to go on with. */
static int open_last(struct path *dir, const struct path_last *last, u32 flags, u32 mode,
                     u32 resolve, struct file **out, char **text)
{
    struct dentry *dentry;
    bool created = false;

    if (!last->len)
        return -EISDIR;
    if (last->len > LINUX_NAME_MAX)
        return -ENAMETOOLONG;
    mutex_lock(&dir->dentry->inode->lock);
    int err = create_locked(dir, last, flags, mode, &dentry, &created);
    mutex_unlock(&dir->dentry->inode->lock);
    if (err)
        return err;
    struct path path = {dir->mount, dentry};
    struct mount *mount;
    names_read_lock();
    while (path.dentry->mounted && (mount = mount_on(&path)))
        path = (struct path){mount, mount->root};
    dentry_get(path.dentry);
    names_read_unlock();
    if (created)
        err = open_checked(&path, flags & ~(u32)O_TRUNC, out);
    else if (flags & O_EXCL)
        err = -EEXIST;
    else if (path.dentry->inode->ops->follow && !(flags & O_NOFOLLOW))
        err = open_magic(path.dentry->inode, flags, resolve, out);
    else if (S_ISLNK(path.dentry->inode->mode) && !(flags & O_NOFOLLOW))
        err = read_link(dentry, text) ?: -EAGAIN;
    else if (last->trailing || S_ISDIR(path.dentry->inode->mode))
        err = -EISDIR;
    else
        err = vfs_open_path(&path, flags, out);
    path_put(&path);
    dentry_put(dentry);
    return err;
}

static __attribute__((noinline)) int open_create(int dirfd, const struct name_buf *name, u32 flags,
                                                 u32 mode, u32 resolve, struct file **out)
{
    struct path dir, next;
    struct path_last last;
    char *text = NULL;

    int err = path_lookup_parent(dirfd, name, resolve, &dir, &last);
    for (u32 links = 0; !err; links++) {
        char *old = text;
        text = NULL;
        err = open_last(&dir, &last, flags, mode, resolve, out, &text);
        path_last_free(&last);
        kfree(old);
        if (err != -EAGAIN || !text) {
            path_put(&dir);
            return err;
        }
        if (links >= LINUX_SYMLOOP_MAX || resolve & LOOKUP_NO_SYMLINKS)
            err = -ELOOP;
        else
            err = path_walk(&dir, text, resolve | LOOKUP_PARENT, &next, &last);
        path_put(&dir);
        dir = next;
    }
    kfree(text);
    return err;
}

static int open_tmpfile(const struct path *dir, u32 flags, u32 mode, struct file **out)
{
    struct inode *parent = dir->dentry->inode, *inode;
    static const char name[16] = "#tmpfile";

    if ((flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    if (mount_is_readonly(dir->mount))
        return -EROFS;
    if (!parent->ops->tmpfile)
        return -EOPNOTSUPP;
    int err = may_create_in(parent) ?: parent->ops->tmpfile(parent, mode, &inode);
    if (err)
        return err;
    if (!(flags & O_EXCL))
        inode->flags |= INODE_LINKABLE;
    struct dentry *dentry = dentry_create(dir->dentry, name, strlen(name), inode);
    if (!dentry) {
        inode_put(inode);
        return -ENOMEM;
    }
    struct path path = {dir->mount, dentry};
    err = open_checked(&path, flags & ~(u32)(O_DIRECTORY | O_TRUNC), out);
    dentry_put(dentry);
    return err;
}

int vfs_openat(int dirfd, const struct name_buf *name, u32 flags, u32 mode, u32 resolve,
               struct file **out)
{
    struct path path;
    u32 lookup = resolve;

    if (flags & O_CREAT && !(flags & O_PATH)) {
        u32 masked = (mode & 07777 & ~current_fs()->umask) | S_IFREG;
        return open_create(dirfd, name, flags, masked, resolve, out);
    }
    if (!(flags & O_NOFOLLOW))
        lookup |= LOOKUP_FOLLOW;
    if (flags & O_DIRECTORY)
        lookup |= LOOKUP_DIRECTORY;
    int err = path_lookup(dirfd, name, lookup, &path);
    if (err)
        return err;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        err = open_tmpfile(&path, flags, (mode & 07777 & ~current_fs()->umask) | S_IFREG, out);
    else
        err = vfs_open_path(&path, flags, out);
    path_put(&path);
    return err;
}

int vfs_open(const char *path, u32 flags, u32 mode, struct file **out)
{
    struct name_buf name;
    int err = name_from_kernel(&name, path);

    if (err)
        return err;
    err = vfs_openat(AT_FDCWD, &name, flags, mode, 0, out);
    name_free(&name);
    return err;
}
