/* Sockets as files, for the calls that work on them. */
#pragma once

#include "net/socket.h"
#include "vfs/fd.h"

extern const struct file_ops socket_file_ops;

/** The socket behind @file, or NULL where it is something else. */
static inline struct socket *socket_of_file(const struct file *file)
{
    return likely(file->ops == &socket_file_ops) ? file->data : NULL;
}

/**
 * A file with a socket for @ops, before ops->create. @flags: O_NONBLOCK.
 * 0 and *@out with a reference, or -ENOMEM.
 */
int socket_file_create(const struct proto_ops *ops, int protocol, u32 flags, struct file **out);

/** The socket behind a descriptor. 0, -EBADF or -ENOTSOCK; give *@ref back after success. */
static inline int socket_borrow(int fd, struct fd_ref *ref, struct socket **out)
{
    *ref = fd_borrow(fd);
    if (unlikely(!ref->file))
        return -EBADF;
    *out = socket_of_file(ref->file);
    if (likely(*out != NULL))
        return 0;
    fd_return(*ref);
    return -ENOTSOCK;
}

/** MSG_DONTWAIT where the file does not block. */
static inline u32 socket_wait_flag(const struct socket *sock)
{
    return unlikely(sock_is_nonblocking(sock)) ? MSG_DONTWAIT : 0;
}
/** Send, and SIGPIPE where Linux raises it. */
ssize_t socket_send(struct socket *sock, struct sock_msg *msg);
/** Bytes of the regular file @in at *@pos, which moves. Bytes sent or a negative errno. */
ssize_t socket_send_file(struct socket *sock, struct inode *in, s64 *pos, u64 count);
/** Requests that are a socket's: docs/sockets.md. -ENOTTY for what is unknown. */
int socket_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg);

/** The same: those that change interfaces and routes. */
int socket_ioctl_set(const struct socket *sock, unsigned cmd, uaddr_t arg);

/** Copy an address in; @len as the program gave it. 0, -EINVAL or -EFAULT. */
int sock_addr_from_user(struct sock_addr *out, uaddr_t addr, int len);
/** Copy one out, cut to the room that *@len_at (the program's int) tells, which then holds the
 * whole length. 0, -EINVAL or -EFAULT. */
int sock_addr_to_user(const struct sock_addr *from, uaddr_t addr, uaddr_t len_at);

/** dev_log.c: a message to /dev/log that no program serves, as struct unix_files has it. -ENOBUFS,
 * -EFAULT, or -EAGAIN where it would have to wait. */
int dev_log_send(struct iov_iter *from, u32 len, bool wait);

/** Connect what the network needs of files, and make AF_UNIX known. Before the program starts. */
void socket_calls_init(void);
