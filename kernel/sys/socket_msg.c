/* The calls that move bytes through sockets. */
#include "abi/errno.h"
#include "mm/heap.h"
#include "sys/poll_util.h"
#include "sys/socket_file.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum {
    CONTROL_INLINE = 256,
    CONTROL_SEND_MAX = 20480, /* net.core.optmem_max */
    CONTROL_RECV_MAX = 2304,  /* SCM_MAX_FD descriptors, credentials, times and what IP tells */
    BATCH_MAX = 1024,
};

long sys_sendto(int fd, uaddr_t buf, u64 len, int flags, uaddr_t addr, int addrlen)
{
    struct sock_addr to;
    struct iov_iter it;
    struct sock_msg msg = {.data = &it};
    struct socket *sock;
    struct fd_ref ref;
    ssize_t n = socket_borrow(fd, &ref, &sock);

    if (unlikely(n))
        return n;
    if (unlikely(!is_user_range(buf, len)))
        n = -EFAULT;
    if (unlikely(addr)) {
        n = n ? n : sock_addr_from_user(&to, addr, addrlen);
        msg.addr = &to;
    }
    if (likely(!n)) {
        iter_init_user(&it, buf, min(len, (u64)USER_RW_MAX));
        msg.flags = (u32)flags | socket_wait_flag(sock);
        n = socket_send(sock, &msg);
    }
    fd_return(ref);
    return n;
}

long sys_recvfrom(int fd, uaddr_t buf, u64 len, int flags, uaddr_t addr, uaddr_t addrlen)
{
    struct sock_addr from;
    struct iov_iter it;
    struct sock_msg msg = {.data = &it};
    struct socket *sock;
    struct fd_ref ref;
    ssize_t n = socket_borrow(fd, &ref, &sock);

    if (unlikely(n))
        return n;
    if (likely(is_user_range(buf, len))) {
        iter_init_user(&it, buf, min(len, (u64)USER_RW_MAX));
        msg.flags = (u32)flags | socket_wait_flag(sock);
        if (addr) {
            from.len = 0;
            msg.addr = &from;
        }
        n = sock->ops->recv(sock, &msg);
        if (n >= 0 && addr) {
            int err = sock_addr_to_user(&from, addr, addrlen);
            n = err ? err : n;
        }
    } else {
        n = -EFAULT;
    }
    fd_return(ref);
    return n;
}

/* A struct msghdr of the program's, in our terms. */
struct call {
    struct msghdr_abi hdr;
    struct sock_msg msg;
    struct sock_addr addr;
    struct iov_iter it;
    struct iovec small[USER_VEC_INLINE], *heap; /* .heap: owns, or NULL */
    void *control_heap;                         /* owns, or NULL */
    u64 control[CONTROL_INLINE / sizeof(u64)];
};

static void end_call(struct call *call)
{
    kfree(call->heap);
    kfree(call->control_heap);
}

/* Room for @len bytes of control data in the kernel. */
static int alloc_control(struct call *call, u32 len)
{
    call->msg.control = call->control;
    if (likely(len <= sizeof(call->control)))
        return 0;
    call->msg.control = call->control_heap = kmalloc(len);
    return call->control_heap ? 0 : -ENOBUFS;
}

/* Everything but addresses and control data. end_call() whatever the answer. */
static int begin_call(struct call *call, struct socket *sock, uaddr_t at, u32 flags)
{
    call->heap = NULL;
    call->control_heap = NULL;
    if (copy_from_user(&call->hdr, at, sizeof(call->hdr)))
        return -EFAULT;
    if (call->hdr.name_len < 0)
        return -EINVAL;
    if (call->hdr.iov_len > LINUX_IOV_MAX)
        return -EMSGSIZE;
    call->msg = (struct sock_msg){.data = &call->it, .flags = flags | socket_wait_flag(sock)};
    return user_vec(call->hdr.iov, call->hdr.iov_len, call->small, &call->heap, &call->it);
}

static int take_control(struct call *call)
{
    if (call->hdr.control_len > CONTROL_SEND_MAX)
        return -ENOBUFS;
    u32 len = (u32)call->hdr.control_len;
    int err = alloc_control(call, len);
    if (err)
        return err;
    call->msg.control_len = len;
    return copy_from_user(call->msg.control, call->hdr.control, len);
}

static ssize_t send_one(struct socket *sock, uaddr_t at, u32 flags)
{
    struct call call;
    ssize_t n = begin_call(&call, sock, at, flags);

    if (!n && call.hdr.name && call.hdr.name_len) {
        int len = min(call.hdr.name_len, (s32)sizeof(call.addr.bytes));
        n = sock_addr_from_user(&call.addr, call.hdr.name, len);
        call.msg.addr = &call.addr;
    }
    if (!n && call.hdr.control && call.hdr.control_len)
        n = take_control(&call);
    if (!n)
        n = socket_send(sock, &call.msg);
    end_call(&call);
    return n;
}

/* Tell the program what came with the bytes. */
static int put_results(struct call *call, uaddr_t at)
{
    u32 flags = call->msg.out_flags | (call->msg.flags & MSG_CMSG_CLOEXEC);
    u64 control_len = call->msg.control_done;

    if (call->msg.addr) {
        uaddr_t len_at = at + offsetof(struct msghdr_abi, name_len);
        int err = sock_addr_to_user(&call->addr, call->hdr.name, len_at);
        if (err)
            return err;
    }
    if (control_len && copy_to_user(call->hdr.control, call->msg.control, control_len))
        return -EFAULT;
    if (copy_to_user(at + offsetof(struct msghdr_abi, flags), &flags, sizeof(flags)))
        return -EFAULT;
    return copy_to_user(at + offsetof(struct msghdr_abi, control_len), &control_len,
                        sizeof(control_len));
}

static ssize_t recv_one(struct socket *sock, uaddr_t at, u32 flags)
{
    struct call call;
    ssize_t n = begin_call(&call, sock, at, flags);

    if (!n && call.hdr.name) {
        call.addr.len = 0;
        call.msg.addr = &call.addr;
    }
    if (!n && call.hdr.control && call.hdr.control_len) {
        call.msg.control_len = (u32)min(call.hdr.control_len, (u64)CONTROL_RECV_MAX);
        n = alloc_control(&call, call.msg.control_len);
    }
    if (!n)
        n = sock->ops->recv(sock, &call.msg);
    if (n >= 0) {
        int err = put_results(&call, at);
        n = err ? err : n;
    }
    end_call(&call);
    return n;
}

long sys_sendmsg(int fd, uaddr_t msg, int flags)
{
    struct socket *sock;
    struct fd_ref ref;
    ssize_t n = socket_borrow(fd, &ref, &sock);

    if (n)
        return n;
    n = send_one(sock, msg, (u32)flags);
    fd_return(ref);
    return n;
}

long sys_recvmsg(int fd, uaddr_t msg, int flags)
{
    struct socket *sock;
    struct fd_ref ref;
    ssize_t n = socket_borrow(fd, &ref, &sock);

    if (n)
        return n;
    n = recv_one(sock, msg, (u32)flags);
    fd_return(ref);
    return n;
}

static int put_length(uaddr_t at, ssize_t n)
{
    u32 len = (u32)n;

    return copy_to_user(at + offsetof(struct mmsghdr_abi, len), &len, sizeof(len));
}

long sys_sendmmsg(int fd, uaddr_t vec, unsigned vlen, int flags)
{
    struct socket *sock;
    struct fd_ref ref;
    ssize_t n = socket_borrow(fd, &ref, &sock);
    unsigned done = 0;

    if (n)
        return n;
    vlen = min(vlen, (unsigned)BATCH_MAX);
    while (done < vlen) {
        uaddr_t at = vec + (uaddr_t)done * sizeof(struct mmsghdr_abi);
        n = send_one(sock, at, (u32)flags);
        if (n >= 0)
            n = put_length(at, n);
        if (n < 0)
            break;
        done++;
        if (signal_pending())
            break;
        sched_point();
    }
    fd_return(ref);
    return done ? (long)done : n;
}

static ssize_t recv_batch(struct socket *sock, uaddr_t vec, unsigned vlen, u32 flags,
                          u64 deadline_ns)
{
    unsigned done = 0;
    ssize_t n = 0;

    while (done < vlen) {
        uaddr_t at = vec + (uaddr_t)done * sizeof(struct mmsghdr_abi);
        n = recv_one(sock, at, flags & ~(u32)MSG_WAITFORONE);
        if (n >= 0)
            n = put_length(at, n);
        if (n < 0)
            break;
        done++;
        if (flags & MSG_WAITFORONE)
            flags |= MSG_DONTWAIT;
        if (deadline_ns != NO_DEADLINE && !time_left_ns(deadline_ns))
            break;
        sched_point();
    }
    if (done && n < 0 && n != -EAGAIN && n > -ERESTARTSYS && n != -EINTR)
        sock_set_error(sock, (int)-n); /* the next call's */
    return done ? (ssize_t)done : n;
}

long sys_recvmmsg(int fd, uaddr_t vec, unsigned vlen, int flags, uaddr_t timeout)
{
    struct socket *sock;
    struct fd_ref ref;
    u64 deadline_ns;
    int err = deadline_of_timespec(timeout, &deadline_ns);

    if (err)
        return err;
    err = socket_borrow(fd, &ref, &sock);
    if (err)
        return err;
    err = sock_take_error(sock);
    vlen = min(vlen, (unsigned)BATCH_MAX);
    ssize_t n = err ? err : recv_batch(sock, vec, vlen, (u32)flags, deadline_ns);
    fd_return(ref);
    if (n > 0)
        put_timespec_left(timeout, deadline_ns);
    return n;
}
