/* open and close, dup, and what paths and descriptors of the other calls resolve to. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "sched/thread.h"
#include "sys/fs.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/lock.h"

enum { HOW_SIZE = 24 };

int user_path(int dirfd, uaddr_t path, u32 flags, struct path *out)
{
    struct name_buf name;
    int err = name_from_user(&name, path);

    if (err)
        return err;
    err = path_lookup(dirfd, &name, flags, out);
    name_free(&name);
    return err;
}

int fd_path(int fd, bool raw, struct path *out)
{
    struct fd_ref ref = raw ? fd_borrow_raw(fd) : fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    *out = (struct path){ref.file->mount, ref.file->dentry};
    if (out->dentry)
        path_get(out);
    fd_return(ref);
    return 0;
}

static long open_name(int dirfd, const struct name_buf *name, u32 flags, u32 mode, u32 resolve)
{
    struct file *file;
    int err = likely(!resolve) ? vfs_open_known(name, flags | O_LARGEFILE, &file) : 1;

    if (unlikely(err > 0))
        err = vfs_openat(dirfd, name, flags | O_LARGEFILE, mode, resolve, &file);
    if (unlikely(err))
        return err;
    int fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

static long open_user(int dirfd, uaddr_t path, u32 flags, u32 mode, u32 resolve)
{
    struct name_buf name;
    int err = name_from_user(&name, path);

    if (err)
        return err;
    long fd = open_name(dirfd, &name, flags, mode, resolve);
    if (unlikely(name.heap != NULL))
        name_free(&name);
    return fd;
}

long sys_open(uaddr_t path, unsigned flags, unsigned mode)
{
    return open_user(AT_FDCWD, path, flags, mode, 0);
}

long sys_openat(int dirfd, uaddr_t path, unsigned flags, unsigned mode)
{
    return open_user(dirfd, path, flags, mode, 0);
}

long sys_creat(uaddr_t path, unsigned mode)
{
    return open_user(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0);
}

static u32 lookup_of_resolve(u64 resolve)
{
    return (resolve & LINUX_RESOLVE_NO_XDEV ? LOOKUP_NO_XDEV : 0u) |
           (resolve & LINUX_RESOLVE_NO_MAGICLINKS ? LOOKUP_NO_MAGIC : 0u) |
           (resolve & LINUX_RESOLVE_NO_SYMLINKS ? LOOKUP_NO_SYMLINKS : 0u) |
           (resolve & LINUX_RESOLVE_BENEATH ? LOOKUP_BENEATH : 0u) |
           (resolve & LINUX_RESOLVE_IN_ROOT ? LOOKUP_IN_ROOT : 0u);
}

long sys_openat2(int dirfd, uaddr_t path, uaddr_t how_addr, u64 size)
{
    const u64 flags_known = 017777703ull | O_PATH | O_TMPFILE | O_SYNC;
    struct linux_open_how how;

    int err = size < HOW_SIZE ? -EINVAL : copy_struct_from_user(&how, sizeof(how), how_addr, size);
    if (err)
        return err;
    bool makes = how.flags & O_CREAT || (how.flags & O_TMPFILE) == O_TMPFILE;
    if (how.flags & ~flags_known || how.resolve & ~63ull || how.mode & ~07777ull ||
        (how.mode && !makes))
        return -EINVAL;
    if (how.resolve & LINUX_RESOLVE_BENEATH && how.resolve & LINUX_RESOLVE_IN_ROOT)
        return -EINVAL;
    return open_user(dirfd, path, (u32)how.flags, (u32)how.mode, lookup_of_resolve(how.resolve));
}

long sys_close(int fd)
{
    return fd_close(fd);
}

struct range {
    int first;
    u64 last;
    bool cloexec;
};

static int close_one(int fd, struct file *file, void *arg)
{
    const struct range *range = arg;

    (void)file;
    if (fd < range->first)
        return 0;
    if ((u64)fd > range->last)
        return 1;
    if (range->cloexec)
        (void)fd_set_flags(fd, FD_CLOEXEC); /* another thread may have closed it */
    else
        (void)fd_close(fd);
    return 0;
}

long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
    struct range range = {.first = (int)first, .last = last};

    if (first > last || flags & ~(unsigned)(LINUX_CLOSE_RANGE_UNSHARE | LINUX_CLOSE_RANGE_CLOEXEC))
        return -EINVAL;
    if (first > INT32_MAX)
        return 0;
    range.cloexec = flags & LINUX_CLOSE_RANGE_CLOEXEC;
    fd_for_each(current_process()->files, close_one, &range);
    return 0;
}

static long dup_from(int fd, int min_fd, bool cloexec)
{
    struct file *file = fd_get_raw(fd);
    if (!file)
        return -EBADF;
    int copy = fd_install(file, min_fd, cloexec);
    if (copy < 0)
        file_put(file);
    return copy;
}

long sys_dup(int fd)
{
    return dup_from(fd, 0, false);
}

static long dup_to(int oldfd, int newfd, bool cloexec)
{
    struct file *file = fd_get_raw(oldfd);
    if (!file)
        return -EBADF;
    int err = fd_install_at(file, newfd, cloexec);
    if (err < 0)
        file_put(file);
    return err;
}

long sys_dup2(int oldfd, int newfd)
{
    if (oldfd == newfd)
        return fd_get_flags(oldfd) < 0 ? -EBADF : newfd;
    return dup_to(oldfd, newfd, false);
}

long sys_dup3(int oldfd, int newfd, int flags)
{
    if (oldfd == newfd || flags & ~O_CLOEXEC)
        return -EINVAL;
    return dup_to(oldfd, newfd, flags & O_CLOEXEC);
}

static int set_status_flags(struct file *file, u64 arg)
{
    const u32 changeable = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;
    u32 flags = file->flags;

    __atomic_store_n(&file->flags, (flags & ~changeable) | ((u32)arg & changeable),
                     __ATOMIC_RELAXED);
    return 0;
}

static long fcntl_lock(struct file *file, unsigned cmd, u64 arg)
{
    bool ofd = cmd >= F_OFD_GETLK;
    struct linux_flock lock;

    if (copy_from_user(&lock, arg, sizeof(lock)))
        return -EFAULT;
    if (cmd == F_GETLK || cmd == F_OFD_GETLK) {
        int err = lock_test(file, &lock, ofd);
        return err ? err : copy_to_user(arg, &lock, sizeof(lock));
    }
    int err = lock_set(file, &lock, ofd, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
    return err == -EINTR ? -ERESTARTSYS : err;
}

static long fcntl_file(int fd, struct file *file, unsigned cmd, u64 arg)
{
    switch (cmd) {
    case F_GETFD:
        return fd_get_flags(fd);
    case F_SETFD:
        return fd_set_flags(fd, (int)arg);
    case F_GETFL:
        return file->flags;
    default:
        break;
    }
    if (file->mode & FILE_PATH)
        return -EBADF;
    switch (cmd) {
    case F_SETFL:
        return set_status_flags(file, arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(file, cmd, arg);
    case F_SETOWN:
    case F_SETSIG:
    case F_GETOWN:
    case F_GETSIG:
        return 0; /* nobody sends SIGIO */
    case F_GETLEASE:
        return F_UNLCK;
    default:
        return file->ops->fcntl ? file->ops->fcntl(file, (int)cmd, arg) : -EINVAL;
    }
}

long sys_fcntl(int fd, unsigned cmd, u64 arg)
{
    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) {
        if (arg > INT32_MAX)
            return fd_get_flags(fd) < 0 ? -EBADF : -EINVAL;
        return dup_from(fd, (int)arg, cmd == F_DUPFD_CLOEXEC);
    }
    struct fd_ref ref = fd_borrow_raw(fd);
    if (!ref.file)
        return -EBADF;
    long result = fcntl_file(fd, ref.file, cmd, arg);
    fd_return(ref);
    return result;
}

long sys_flock(int fd, int op)
{
    struct fd_ref ref = fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    int err = lock_flock(ref.file, op);
    fd_return(ref);
    return err == -EINTR ? -ERESTARTSYS : err;
}
