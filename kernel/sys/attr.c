/* Attributes: mode, owner, times, length, extended ones. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/fs.h"
#include "syscalls.h"
#include "vfs/busy.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/notify.h"
#include "vfs/permission.h"

enum { OWNER_KEEP = 0xffffffffu };

static int change(const struct path *at, const struct inode_attr *attr)
{
    return at->dentry ? vfs_setattr(at, attr) : -EROFS;
}

static long change_path(int dirfd, uaddr_t path, u32 lookup, const struct inode_attr *attr)
{
    struct path at;

    int err = user_path(dirfd, path, lookup, &at);
    if (err)
        return err;
    err = change(&at, attr);
    path_put(&at);
    return err;
}

/* Of what a descriptor refers to, which may have no name. */
static long change_fd(int fd, bool raw, const struct inode_attr *attr)
{
    struct fd_ref ref = raw ? fd_borrow_raw(fd) : fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    struct inode *inode = ref.file->inode;
    struct path at = {ref.file->mount, ref.file->dentry};
    int err = -EROFS;
    if (at.dentry && at.mount) {
        err = vfs_setattr(&at, attr);
    } else if (inode && inode->ops->setattr) {
        err = vfs_setattr_inode(inode, attr);
    }
    fd_return(ref);
    return err;
}

long sys_fchmodat(int dirfd, uaddr_t path, unsigned mode)
{
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = mode & 07777};

    return change_path(dirfd, path, LOOKUP_FOLLOW, &attr);
}

long sys_chmod(uaddr_t path, unsigned mode)
{
    return sys_fchmodat(AT_FDCWD, path, mode);
}

long sys_fchmod(int fd, unsigned mode)
{
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = mode & 07777};

    return change_fd(fd, false, &attr);
}

static struct inode_attr owner_attr(unsigned uid, unsigned gid)
{
    return (struct inode_attr){.valid = (uid != OWNER_KEEP ? ATTR_UID : 0u) |
                                        (gid != OWNER_KEEP ? ATTR_GID : 0u),
                               .uid = uid,
                               .gid = gid};
}

long sys_fchownat(int dirfd, uaddr_t path, unsigned uid, unsigned gid, int flags)
{
    struct inode_attr attr = owner_attr(uid, gid);

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return change_path(dirfd, path,
                       (flags & AT_SYMLINK_NOFOLLOW ? 0u : LOOKUP_FOLLOW) |
                           (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0u),
                       &attr);
}

long sys_chown(uaddr_t path, unsigned uid, unsigned gid)
{
    return sys_fchownat(AT_FDCWD, path, uid, gid, 0);
}

long sys_lchown(uaddr_t path, unsigned uid, unsigned gid)
{
    return sys_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

long sys_fchown(int fd, unsigned uid, unsigned gid)
{
    struct inode_attr attr = owner_attr(uid, gid);

    return change_fd(fd, false, &attr);
}

/* One of the two times of utimensat(2). */
static int take_time(struct linux_timespec *t, u32 bit, u32 *valid)
{
    if (t->tv_nsec == UTIME_OMIT)
        return 0;
    if (t->tv_nsec == UTIME_NOW)
        *t = current_timespec();
    else if ((u64)t->tv_nsec >= NSEC_PER_SEC)
        return -EINVAL;
    *valid |= bit;
    return 0;
}

/* @times NULL: now. @path 0: the descriptor itself. */
static long set_times(int dirfd, uaddr_t path, struct linux_timespec *times, int flags)
{
    struct inode_attr attr = {.valid = ATTR_ATIME | ATTR_MTIME};

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (times) {
        bool both_now = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;
        if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
            return 0; /* not even the path is looked at */
        attr.valid = both_now ? 0 : ATTR_TIMES_GIVEN;
        int err = take_time(&times[0], ATTR_ATIME, &attr.valid);
        if (!err)
            err = take_time(&times[1], ATTR_MTIME, &attr.valid);
        if (err)
            return err;
        attr.atime = times[0];
        attr.mtime = times[1];
    } else {
        attr.atime = attr.mtime = current_timespec();
    }
    if (!path && dirfd != AT_FDCWD)
        return flags ? -EINVAL : change_fd(dirfd, false, &attr);
    return change_path(dirfd, path,
                       (flags & AT_SYMLINK_NOFOLLOW ? 0u : LOOKUP_FOLLOW) |
                           (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0u),
                       &attr);
}

long sys_utimensat(int dirfd, uaddr_t path, uaddr_t times, int flags)
{
    struct linux_timespec t[2];

    if (times && copy_from_user(t, times, sizeof(t)))
        return -EFAULT;
    return set_times(dirfd, path, times ? t : NULL, flags);
}

long sys_futimesat(int dirfd, uaddr_t path, uaddr_t times)
{
    struct linux_timeval tv[2];
    struct linux_timespec t[2];

    if (!times)
        return set_times(dirfd, path, NULL, 0);
    if (copy_from_user(tv, times, sizeof(tv)))
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
            return -EINVAL;
        t[i] = (struct linux_timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
    }
    return set_times(dirfd, path, t, 0);
}

long sys_utimes(uaddr_t path, uaddr_t times)
{
    return sys_futimesat(AT_FDCWD, path, times);
}

long sys_utime(uaddr_t path, uaddr_t times)
{
    struct linux_timespec t[2] = {{0}};
    s64 seconds[2];

    if (!times)
        return set_times(AT_FDCWD, path, NULL, 0);
    if (copy_from_user(seconds, times, sizeof(seconds)))
        return -EFAULT;
    t[0].tv_sec = seconds[0];
    t[1].tv_sec = seconds[1];
    return set_times(AT_FDCWD, path, t, 0);
}

static int truncate(struct inode *inode, u64 len)
{
    int err = rw_limit_new_size(inode, len) ?: inode_begin_write(inode);

    if (err)
        return err;
    err = vfs_truncate(inode, len);
    inode_end_write(inode);
    return err;
}

long sys_truncate(uaddr_t path, s64 len)
{
    struct path at;

    if (len < 0)
        return -EINVAL;
    int err = user_path(AT_FDCWD, path, LOOKUP_FOLLOW, &at);
    if (err)
        return err;
    u32 mode = at.dentry->inode->mode;
    if (S_ISDIR(mode))
        err = -EISDIR;
    else if (!S_ISREG(mode))
        err = -EINVAL;
    else if (mount_is_readonly(at.mount))
        err = -EROFS;
    else
        err = inode_permission(at.dentry->inode, W_OK) ?: truncate(at.dentry->inode, (u64)len);
    if (!err)
        fsnotify_dentry(at.dentry, FS_MODIFY);
    path_put(&at);
    return err;
}

long sys_ftruncate(int fd, s64 len)
{
    if (len < 0)
        return -EINVAL;
    struct fd_ref ref = fd_borrow(fd);
    if (!ref.file)
        return -EBADF;
    int err = -EINVAL;
    if (ref.file->mode & FILE_WRITE && ref.file->ops->truncate)
        err = rw_limit_new_size(ref.file->inode, (u64)len)
                  ?: ref.file->ops->truncate(ref.file, (u64)len);
    if (!err)
        fsnotify_dentry(ref.file->dentry, FS_MODIFY);
    fd_return(ref);
    return err;
}

long sys_fallocate(int fd, int mode, s64 offset, s64 len)
{
    struct fd_ref ref = fd_borrow(fd);
    int err;

    if (!ref.file)
        return -EBADF;
    const struct inode *inode = ref.file->inode;
    if (offset < 0 || len <= 0)
        err = -EINVAL;
    else if (!(ref.file->mode & FILE_WRITE))
        err = -EBADF;
    else if (ref.file->ops->allocate)
        err = (mode & FALLOC_FL_KEEP_SIZE ? 0 : rw_limit_new_size(inode, (u64)offset + (u64)len))
                  ?: ref.file->ops->allocate(ref.file, mode, (u64)offset, (u64)len);
    else if (!inode || S_ISFIFO(inode->mode))
        err = -ESPIPE;
    else
        err = S_ISREG(inode->mode) ? -EOPNOTSUPP : -ENODEV;
    if (!err)
        fsnotify_dentry(ref.file->dentry, FS_MODIFY);
    fd_return(ref);
    return err;
}
