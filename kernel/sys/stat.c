/* stat in all its forms, statfs, access, readlink. */
#include "abi/stat.h"
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/fs.h"
#include "syscalls.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/mount.h"

enum { STAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH };

static int refresh(struct inode *inode)
{
    return inode->ops && inode->ops->getattr ? inode->ops->getattr(inode) : 0;
}

/* @inode may be NULL: a file without one. Field by field to where they go: no copy. */
static int put_stat(struct inode *inode, uaddr_t buf)
{
    static const struct inode none = {.mode = 0600, .nlink = 1};
    int err = inode ? refresh(inode) : 0;

    if (unlikely(err))
        return err;
    const struct inode *i = inode ? inode : &none;
    struct linux_stat *st = (struct linux_stat *)(uintptr_t)buf;
    may_sleep();
    if (unlikely(!is_user_range(buf, sizeof(*st))))
        return -EFAULT;
    arch_user_put(&st->st_dev, i->sb ? i->sb->dev : 0, fault);
    arch_user_put(&st->st_ino, i->ino, fault);
    arch_user_put(&st->st_nlink, (u64)i->nlink, fault);
    arch_user_put(&st->st_mode, i->mode, fault);
    arch_user_put(&st->st_uid, i->uid, fault);
    arch_user_put(&st->st_gid, i->gid, fault);
    arch_user_put(&st->pad0, 0u, fault);
    arch_user_put(&st->st_rdev, i->rdev, fault);
    arch_user_put(&st->st_size, i->size, fault);
    arch_user_put(&st->st_blksize, (u64)PAGE_SIZE, fault);
    arch_user_put(&st->st_blocks, i->blocks, fault);
    arch_user_put(&st->st_atime_.tv_sec, i->atime.tv_sec, fault);
    arch_user_put(&st->st_atime_.tv_nsec, i->atime.tv_nsec, fault);
    arch_user_put(&st->st_mtime_.tv_sec, i->mtime.tv_sec, fault);
    arch_user_put(&st->st_mtime_.tv_nsec, i->mtime.tv_nsec, fault);
    arch_user_put(&st->st_ctime_.tv_sec, i->ctime.tv_sec, fault);
    arch_user_put(&st->st_ctime_.tv_nsec, i->ctime.tv_nsec, fault);
    for (int k = 0; k < 3; k++)
        arch_user_put(&st->unused[k], (u64)0, fault);
    return 0;
fault:
    return -EFAULT;
}

static long stat_path(int dirfd, uaddr_t path, u32 lookup, uaddr_t buf)
{
    struct path at;

    int err = user_path(dirfd, path, lookup, &at);
    if (unlikely(err))
        return err;
    err = put_stat(at.dentry->inode, buf);
    path_put(&at);
    return err;
}

long sys_stat(uaddr_t path, uaddr_t buf)
{
    return stat_path(AT_FDCWD, path, LOOKUP_FOLLOW, buf);
}

long sys_lstat(uaddr_t path, uaddr_t buf)
{
    return stat_path(AT_FDCWD, path, 0, buf);
}

long sys_fstat(int fd, uaddr_t buf)
{
    struct fd_ref ref = fd_borrow_raw(fd);

    if (!ref.file)
        return -EBADF;
    int err = put_stat(ref.file->inode, buf);
    fd_return(ref);
    return err;
}

/* Does AT_EMPTY_PATH mean the descriptor itself here?  1, 0 or -EFAULT. */
static int is_empty_path(int flags, uaddr_t path)
{
    u8 first;

    if (!(flags & AT_EMPTY_PATH))
        return 0;
    if (user_get8(&first, path))
        return -EFAULT;
    return !first;
}

long sys_newfstatat(int dirfd, uaddr_t path, uaddr_t buf, int flags)
{
    if (unlikely(flags & ~(STAT_FLAGS | AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC)))
        return -EINVAL;
    int empty = is_empty_path(flags, path);
    if (empty < 0)
        return empty;
    if (empty && dirfd >= 0)
        return sys_fstat(dirfd, buf);
    return stat_path(dirfd, path,
                     (flags & AT_SYMLINK_NOFOLLOW ? 0u : LOOKUP_FOLLOW) |
                         (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0u),
                     buf);
}

static struct linux_statx_time statx_time(struct linux_timespec t)
{
    return (struct linux_statx_time){t.tv_sec, (u32)t.tv_nsec, 0};
}

/* @mount may be NULL. */
static int put_statx(struct inode *inode, const struct path *path, uaddr_t buf)
{
    struct linux_statx st = {
        .stx_mask = LINUX_STATX_BASIC, .stx_mode = 0600, .stx_nlink = 1, .stx_blksize = PAGE_SIZE};

    if (inode) {
        int err = refresh(inode);
        if (err)
            return err;
        u64 dev = inode->sb ? inode->sb->dev : 0;
        st.stx_mask |= LINUX_STATX_BTIME;
        st.stx_nlink = inode->nlink;
        st.stx_uid = inode->uid;
        st.stx_gid = inode->gid;
        st.stx_mode = (u16)inode->mode;
        st.stx_ino = inode->ino;
        st.stx_size = inode->size;
        st.stx_blocks = inode->blocks;
        st.stx_atime_ = statx_time(inode->atime);
        st.stx_btime_ = statx_time(inode->btime);
        st.stx_ctime_ = statx_time(inode->ctime);
        st.stx_mtime_ = statx_time(inode->mtime);
        st.stx_rdev_major = dev_major(inode->rdev);
        st.stx_rdev_minor = dev_minor(inode->rdev);
        st.stx_dev_major = dev_major(dev);
        st.stx_dev_minor = dev_minor(dev);
    }
    if (path->mount) {
        st.stx_mask |= LINUX_STATX_MNT_ID;
        st.stx_mnt_id = path->mount->id;
        st.stx_attributes_mask = LINUX_STATX_ATTR_MOUNT_ROOT;
        if (path->dentry == path->mount->root)
            st.stx_attributes = LINUX_STATX_ATTR_MOUNT_ROOT;
    }
    return copy_to_user(buf, &st, sizeof(st));
}

long sys_statx(int dirfd, uaddr_t path, int flags, unsigned mask, uaddr_t buf)
{
    struct path at;

    if (flags & ~(STAT_FLAGS | AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC) ||
        (flags & (AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC)) ==
            (AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC) ||
        mask & LINUX_STATX_RESERVED)
        return -EINVAL;
    int empty = is_empty_path(flags, path);
    if (empty < 0)
        return empty;
    if (empty && dirfd >= 0) {
        struct fd_ref ref = fd_borrow_raw(dirfd);
        if (!ref.file)
            return -EBADF;
        at = (struct path){ref.file->mount, ref.file->dentry};
        int err = put_statx(ref.file->inode, &at, buf);
        fd_return(ref);
        return err;
    }
    u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0u : LOOKUP_FOLLOW) |
                 (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0u);
    int err = user_path(dirfd, path, lookup, &at);
    if (err)
        return err;
    err = put_statx(at.dentry->inode, &at, buf);
    path_put(&at);
    return err;
}

static int put_statfs(struct super_block *sb, bool readonly, uaddr_t buf)
{
    struct statfs64 st = {.f_type = (s64)sb->magic,
                          .f_bsize = sb->block_size,
                          .f_frsize = sb->block_size,
                          .f_namelen = LINUX_NAME_MAX,
                          .f_flags = LINUX_ST_VALID | LINUX_ST_RELATIME};

    if (readonly)
        st.f_flags |= LINUX_ST_RDONLY;
    st.f_fsid[0] = (s32)sb->dev;
    int err = sb->ops && sb->ops->statfs ? sb->ops->statfs(sb, &st) : 0;
    return err ? err : copy_to_user(buf, &st, sizeof(st));
}

long sys_statfs(uaddr_t path, uaddr_t buf)
{
    struct path at;

    int err = user_path(AT_FDCWD, path, LOOKUP_FOLLOW, &at);
    if (err)
        return err;
    err = put_statfs(at.mount->sb, mount_is_readonly(at.mount), buf);
    path_put(&at);
    return err;
}

long sys_fstatfs(int fd, uaddr_t buf)
{
    struct fd_ref ref = fd_borrow_raw(fd);

    if (!ref.file)
        return -EBADF;
    struct mount *mount = ref.file->mount;
    struct inode *inode = ref.file->inode;
    int err = -ENOSYS;
    if (mount)
        err = put_statfs(mount->sb, mount_is_readonly(mount), buf);
    else if (inode && inode->sb)
        err = put_statfs(inode->sb, false, buf);
    fd_return(ref);
    return err;
}

static long access(int dirfd, uaddr_t path, int mode, int flags)
{
    struct path at;

    if (mode & ~(R_OK | W_OK | X_OK) || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0u : LOOKUP_FOLLOW) |
                 (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0u);
    int err = user_path(dirfd, path, lookup, &at);
    if (err)
        return err;
    err = vfs_access(&at, mode, flags & AT_EACCESS);
    path_put(&at);
    return err;
}

long sys_access(uaddr_t path, int mode)
{
    return access(AT_FDCWD, path, mode, 0);
}

long sys_faccessat(int dirfd, uaddr_t path, int mode)
{
    return access(dirfd, path, mode, 0);
}

long sys_faccessat2(int dirfd, uaddr_t path, int mode, int flags)
{
    return access(dirfd, path, mode, flags);
}

static long copy_link(const struct path *at, uaddr_t buf, size_t size)
{
    char near[128], *text = near;
    ssize_t n = vfs_readlink(at, near, min(size, sizeof(near)));

    if ((n == (ssize_t)sizeof(near) || n == -ENAMETOOLONG) && size > sizeof(near)) {
        text = kmalloc(size);
        if (!text)
            return -ENOMEM;
        n = vfs_readlink(at, text, size);
    }
    if (n > 0 && copy_to_user(buf, text, (size_t)n))
        n = -EFAULT;
    if (text != near)
        kfree(text);
    return n;
}

long sys_readlinkat(int dirfd, uaddr_t path, uaddr_t buf, int size)
{
    struct path at;

    if (size <= 0)
        return -EINVAL;
    int err = user_path(dirfd, path, LOOKUP_EMPTY, &at);
    if (err)
        return err;
    long n = copy_link(&at, buf, min((size_t)size, (size_t)LINUX_PATH_MAX));
    path_put(&at);
    return n;
}

long sys_readlink(uaddr_t path, uaddr_t buf, int size)
{
    struct path at;

    if (size <= 0)
        return -EINVAL;
    int err = user_path(AT_FDCWD, path, 0, &at);
    if (err)
        return err;
    long n = copy_link(&at, buf, min((size_t)size, (size_t)LINUX_PATH_MAX));
    path_put(&at);
    return n;
}
