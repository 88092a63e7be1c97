/* epoll_create, epoll_ctl, epoll_wait and their variants. */
#include "vfs/anon/epoll.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "sys/poll_util.h"
#include "syscalls.h"
#include "vfs/fd.h"

enum { EPOLL_MAX_EVENTS = INT32_MAX / (int)sizeof(struct epoll_event_abi) };

long sys_epoll_create1(int flags)
{
    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    struct file *file = epoll_create();
    if (!file)
        return -ENOMEM;
    int fd = fd_install(file, 0, flags & EPOLL_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

long sys_epoll_create(int size)
{
    return size > 0 ? sys_epoll_create1(0) : -EINVAL;
}

long sys_epoll_ctl(int epfd, int op, int fd, uaddr_t event)
{
    struct epoll_event_abi own = {0};

    if (op != EPOLL_CTL_DEL && copy_from_user(&own, event, sizeof(own)))
        return -EFAULT;
    struct fd_ref ep = fd_borrow(epfd), target = fd_borrow(fd);
    long err = -EBADF;
    if (ep.file && target.file)
        err = epoll_ctl(ep.file, op, fd, target.file, &own);
    if (ep.file)
        fd_return(ep);
    if (target.file)
        fd_return(target);
    return err;
}

static long do_wait(int epfd, uaddr_t events, int maxevents, u64 deadline_ns)
{
    if (maxevents <= 0 || maxevents > EPOLL_MAX_EVENTS)
        return -EINVAL;
    struct fd_ref ep = fd_borrow(epfd);
    if (!ep.file)
        return -EBADF;
    long n = -EINVAL;
    if (likely(file_is_epoll(ep.file)))
        n = epoll_wait(ep.file, events, maxevents, deadline_ns);
    fd_return(ep);
    return n;
}

/* The busy server's usual answer, on a table that only this thread uses. */
static bool nothing_to_tell(int epfd)
{
    struct fd_ref ep = fd_borrow(epfd);

    if (unlikely(!ep.file))
        return false;
    bool idle = epoll_is_idle(ep.file);
    fd_return(ep);
    return idle;
}

long sys_epoll_wait(int epfd, uaddr_t events, int maxevents, int timeout)
{
    if (!timeout && maxevents > 0 && nothing_to_tell(epfd))
        return 0;
    return do_wait(epfd, events, maxevents, deadline_of_ms(timeout));
}

static long wait_masked(int epfd, uaddr_t events, int maxevents, u64 deadline_ns, uaddr_t sigmask,
                        u64 size)
{
    int err = begin_sigmask(sigmask, size);

    if (err)
        return err;
    long n = do_wait(epfd, events, maxevents, deadline_ns);
    end_sigmask(sigmask, n);
    return n;
}

long sys_epoll_pwait(int epfd, uaddr_t events, int maxevents, int timeout, uaddr_t sigmask,
                     u64 size)
{
    return wait_masked(epfd, events, maxevents, deadline_of_ms(timeout), sigmask, size);
}

long sys_epoll_pwait2(int epfd, uaddr_t events, int maxevents, uaddr_t timeout, uaddr_t sigmask,
                      u64 size)
{
    u64 deadline_ns;
    int err = deadline_of_timespec(timeout, &deadline_ns);

    return err ? err : wait_masked(epfd, events, maxevents, deadline_ns, sigmask, size);
}
