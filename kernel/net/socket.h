/* The seam between the socket calls and the protocols: about a dozen operations. TCP, UDP, raw,
 * unix, netlink (and vsock later) each fill one table.
 *
 * Locking: protocol state lives in shards, one a CPU, chosen by flow; each shard has its own lock,
 * taken by the operations themselves; there is no global lock.  Nothing copies to or from the
 * program with a shard's lock held. */
#pragma once

#include "mm/uaccess.h"
#include "sched/wait.h"

struct file;
struct socket;

/** A socket address of any family, as the ABI has it. */
struct sock_addr {
    u32 len;
    union {
        u16 family;
        u8 bytes[128];
    };
};

/** What sendmsg and recvmsg carry besides bytes. */
struct sock_msg {
    struct iov_iter *data;
    struct sock_addr *addr; /* to; or from (filled). NULL: none */
    void *control;          /* kernel memory; ancillary data in the ABI's form */
    u32 control_len;        /* in: room or length; out: length */
    u32 flags;              /* in: MSG_* of the call, out: MSG_TRUNC, MSG_CTRUNC, MSG_EOR */
};

/** Operations of a protocol. Thread context; may sleep unless O_NONBLOCK or MSG_DONTWAIT. */
struct proto_ops {
    int family, type, protocol; /* what socket(2) asks for; protocol 0: the default */
    int (*create)(struct socket *sock);
    void (*close)(struct socket *sock); /* the last reference is gone; linger as asked */
    int (*bind)(struct socket *sock, const struct sock_addr *addr);
    int (*connect)(struct socket *sock, const struct sock_addr *addr);
    int (*listen)(struct socket *sock, int backlog);
    /** A connected socket of the queue, made into @fresh (its .data is set). */
    int (*accept)(struct socket *sock, struct socket *fresh);
    ssize_t (*send)(struct socket *sock, struct sock_msg *msg);
    ssize_t (*recv)(struct socket *sock, struct sock_msg *msg);
    int (*shutdown)(struct socket *sock, int how);
    int (*name)(struct socket *sock, struct sock_addr *out, bool peer);
    u32 (*ready)(struct socket *sock); /* POLL* bits; must not sleep */
    int (*setopt)(struct socket *sock, int level, int name, const void *value, u32 len);
    int (*getopt)(struct socket *sock, int level, int name, void *value, u32 *len);
    int (*ioctl)(struct socket *sock, unsigned cmd, uaddr_t arg);
    /** Bytes of @file from *@pos, without a copy through the program: sendfile. NULL: generic. */
    ssize_t (*sendfile)(struct socket *sock, struct file *from, s64 *pos, size_t count);
};

/* Options that every protocol shares: SOL_SOCKET. [O] written under .lock, read by value. */
struct sock_options {
    bool reuse_addr, reuse_port, keepalive, broadcast, timestamp, passcred, linger_on, oob_inline;
    u32 linger_s;
    u32 send_buffer, recv_buffer; /* bytes; 0: tuned by the protocol */
    bool send_buffer_fixed, recv_buffer_fixed;
    u64 send_timeout_ns, recv_timeout_ns; /* 0: for ever */
    u32 recv_low, mark, priority, bind_ifindex;
};

/* Fields: [I], [A], [O]. */
struct socket {
    const struct proto_ops *ops; /* [I] */
    int family, type, protocol;  /* [I] */
    struct waitq waitq;          /* woken with what ready() may now say; the file's */
    struct sock_options options; /* [O] */
    struct spinlock lock;        /* of .options */
    s32 error;                   /* [A] SO_ERROR: positive errno, taken by who reports it */
    void *data;                  /* the protocol's control block */
    struct file *file;           /* [I] borrowed: the file owns the socket */
};

/** Make a protocol known to socket(2). At start only. */
void proto_register(const struct proto_ops *ops);
/** The table for socket(@family, @type, @protocol), or NULL with *@err set as socket(2) answers. */
const struct proto_ops *proto_find(int family, int type, int protocol, int *err);
