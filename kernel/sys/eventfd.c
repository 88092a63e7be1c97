/* eventfd, timerfd, signalfd. */
#include "vfs/anon/eventfd.h"

#include "abi/errno.h"
#include "abi/eventpoll.h"
#include "abi/fcntl.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/anon/signalfd.h"
#include "vfs/anon/timerfd.h"
#include "vfs/fd.h"

/* Takes the reference; NULL is ENOMEM. */
static long install(struct file *file, int flags)
{
    if (!file)
        return -ENOMEM;
    int fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

long sys_eventfd2(unsigned count, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC))
        return -EINVAL;
    return install(eventfd_create(count, (u32)flags), flags);
}

long sys_eventfd(unsigned count)
{
    return sys_eventfd2(count, 0);
}

long sys_timerfd_create(int clock, int flags)
{
    struct file *file;

    if (flags & ~(TFD_NONBLOCK | TFD_CLOEXEC))
        return -EINVAL;
    int err = timerfd_create(clock, (u32)flags & TFD_NONBLOCK, &file);
    return err ? err : install(file, flags);
}

/* The timerfd behind @fd: 0, -EBADF, or -EINVAL where it is something else. */
static int borrow_timerfd(int fd, struct fd_ref *ref)
{
    *ref = fd_borrow(fd);
    if (!ref->file)
        return -EBADF;
    if (file_is_timerfd(ref->file))
        return 0;
    fd_return(*ref);
    return -EINVAL;
}

long sys_timerfd_settime(int fd, int flags, uaddr_t new, uaddr_t old)
{
    struct linux_itimerspec value, before;
    struct fd_ref ref;

    if (copy_from_user(&value, new, sizeof(value)))
        return -EFAULT;
    int err = borrow_timerfd(fd, &ref);
    if (err)
        return err;
    err = timerfd_settime(ref.file, flags, &value, &before);
    fd_return(ref);
    if (err && err != -ECANCELED)
        return err;
    int fault = put_optional(old, &before, sizeof(before));
    return fault ? fault : err;
}

long sys_timerfd_gettime(int fd, uaddr_t value)
{
    struct linux_itimerspec now;
    struct fd_ref ref;
    int err = borrow_timerfd(fd, &ref);

    if (err)
        return err;
    timerfd_gettime(ref.file, &now);
    fd_return(ref);
    return copy_to_user(value, &now, sizeof(now));
}

long sys_signalfd4(int fd, uaddr_t mask, u64 size, int flags)
{
    sigset64_t set;

    if (flags & ~(SFD_NONBLOCK | SFD_CLOEXEC) || size != sizeof(set))
        return -EINVAL;
    if (copy_from_user(&set, mask, sizeof(set)))
        return -EFAULT;
    if (fd == -1)
        return install(signalfd_create(set, (u32)flags & SFD_NONBLOCK), flags);
    struct fd_ref ref = fd_borrow(fd);
    if (!ref.file)
        return -EBADF;
    int err = signalfd_set(ref.file, set);
    fd_return(ref);
    return err ? err : fd;
}

long sys_signalfd(int fd, uaddr_t mask, u64 size)
{
    return sys_signalfd4(fd, mask, size, 0);
}
