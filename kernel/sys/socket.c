/* Sockets, until there is a network stack: none can be made, so no descriptor is one.  Programs
 * take these answers in their stride, as on a Linux without networking. */
#include "abi/errno.h"
#include "core/log.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"

enum { AF_INET = 2, AF_INET6 = 10 };

static void say_once(const char *call)
{
    static u32 said;

    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
        log_warn("%s[%d] wants a network (%s), which this kernel does not have (EAFNOSUPPORT)",
                 current->name, current->tid, call);
}

/* C libraries look for a local name service in passing; only who wants a network is worth a line.
 */
long sys_socket(int domain, int type, int protocol)
{
    (void)type, (void)protocol;
    if (domain == AF_INET || domain == AF_INET6)
        say_once("socket");
    return -EAFNOSUPPORT;
}

long sys_socketpair(int domain, int type, int protocol, uaddr_t fds)
{
    (void)domain, (void)type, (void)protocol, (void)fds;
    say_once("socketpair");
    return -EAFNOSUPPORT;
}

static long not_a_socket(int fd)
{
    struct file *file = fd_get(fd);

    if (!file)
        return -EBADF;
    file_put(file);
    return -ENOTSOCK;
}

/* All the others only look at their descriptor. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"

long sys_connect(int fd, uaddr_t addr, int len)
{
    return not_a_socket(fd);
}

long sys_accept(int fd, uaddr_t addr, uaddr_t len)
{
    return not_a_socket(fd);
}

long sys_accept4(int fd, uaddr_t addr, uaddr_t len, int flags)
{
    return not_a_socket(fd);
}

long sys_sendto(int fd, uaddr_t buf, u64 len, int flags, uaddr_t addr, int addrlen)
{
    return not_a_socket(fd);
}

long sys_recvfrom(int fd, uaddr_t buf, u64 len, int flags, uaddr_t addr, uaddr_t addrlen)
{
    return not_a_socket(fd);
}

long sys_sendmsg(int fd, uaddr_t msg, int flags)
{
    return not_a_socket(fd);
}

long sys_recvmsg(int fd, uaddr_t msg, int flags)
{
    return not_a_socket(fd);
}

long sys_shutdown(int fd, int how)
{
    return not_a_socket(fd);
}

long sys_bind(int fd, uaddr_t addr, int len)
{
    return not_a_socket(fd);
}

long sys_listen(int fd, int backlog)
{
    return not_a_socket(fd);
}

long sys_getsockname(int fd, uaddr_t addr, uaddr_t len)
{
    return not_a_socket(fd);
}

long sys_getpeername(int fd, uaddr_t addr, uaddr_t len)
{
    return not_a_socket(fd);
}

long sys_setsockopt(int fd, int level, int name, uaddr_t value, int len)
{
    return not_a_socket(fd);
}

long sys_getsockopt(int fd, int level, int name, uaddr_t value, uaddr_t len)
{
    return not_a_socket(fd);
}

#pragma GCC diagnostic pop
