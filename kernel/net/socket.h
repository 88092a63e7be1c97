/* The seam between the socket calls and the protocols: about a dozen operations. TCP, UDP, raw,
 * unix, netlink (and vsock later) each fill one table.
 *
 * Locking: protocol state lives in shards, one a CPU, chosen by flow; each shard has its own lock,
 * taken by the operations themselves; there is no global lock.  Nothing copies to or from the
 * program with a shard's lock held. */
#pragma once

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/poll.h"
#include "abi/socket.h"
#include "core/time.h"
#include "mm/uaccess.h"
#include "net/addr.h"
#include "sched/signal.h"
#include "sched/wait.h"

struct file;
struct page;
struct pkt_frag;
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
    void *control;          /* kernel memory; ancillary data in the ABI's form. NULL: none */
    u32 control_len;        /* bytes to send, or the room to receive: sock_put_control() */
    u32 flags;              /* MSG_* of the call */
    u32 out_flags;          /* recv: MSG_TRUNC, MSG_CTRUNC, MSG_EOR, MSG_OOB, MSG_ERRQUEUE */
    u32 control_done;       /* recv: bytes of .control filled so far; control_len is the room */
};

/**
 * Operations of a protocol. Thread context; may sleep unless MSG_DONTWAIT (the calls set it for
 * O_NONBLOCK) or, in connect and accept, sock_is_nonblocking(). NULL answers EOPNOTSUPP.
 * SIGPIPE is the calls': send only returns -EPIPE. Waits end as sock_wait_error() says.
 */
struct proto_ops {
    /* What socket(2) asks for. .protocol is the number (IPPROTO_TCP); 0: takes any but 0 (raw). The
     * first one registered for a family and type is what protocol 0 means there. */
    int family, type, protocol;
    int (*create)(struct socket *sock);
    void (*close)(struct socket *sock); /* the last reference is gone; linger as asked */
    int (*bind)(struct socket *sock, const struct sock_addr *addr);
    int (*connect)(struct socket *sock, const struct sock_addr *addr);
    int (*listen)(struct socket *sock, int backlog);
    /** A connected socket of the queue, made into @fresh (its .data is set). */
    int (*accept)(struct socket *sock, struct socket *fresh);
    ssize_t (*send)(struct socket *sock, struct sock_msg *msg);
    ssize_t (*recv)(struct socket *sock, struct sock_msg *msg);
    /** socketpair(2): join two sockets that were just created. */
    int (*pair)(struct socket *a, struct socket *b);
    int (*shutdown)(struct socket *sock, int how);
    int (*name)(struct socket *sock, struct sock_addr *out, bool peer);
    u32 (*ready)(struct socket *sock); /* POLL* bits; must not sleep */
    /** Options; kernel memory. -ENOPROTOOPT for what is unknown. Those of SOL_SOCKET are kept in
     * .options: setopt is told of each afterwards, getopt is asked first; -ENOPROTOOPT leaves it at
     * that. */
    int (*setopt)(struct socket *sock, int level, int name, const void *value, u32 len);
    int (*getopt)(struct socket *sock, int level, int name, void *value, u32 *len);
    int (*ioctl)(struct socket *sock, unsigned cmd, uaddr_t arg); /* -ENOTTY: not known here */
    /**
     * Send pieces of pages without a copy: sendfile. The caller keeps its references, the protocol
     * takes one (where .page is not NULL) for what it holds on to. MSG_DONTWAIT and MSG_MORE in
     * @flags. Bytes taken, short where the buffer is full, or a negative errno. NULL: by send.
     */
    ssize_t (*send_pages)(struct socket *sock, const struct pkt_frag *frags, u32 n, u32 flags);
    /** Page @index of what mmap(2) of the socket shows, with a reference; NULL: past its end. Under
     * mm->lock; must not sleep. NULL: sockets of this protocol cannot be mapped. */
    struct page *(*map_page)(struct socket *sock, u64 index);
};

/* Options that every protocol shares: SOL_SOCKET. [O] written under .lock, read by value. */
struct sock_options {
    bool reuse_addr, reuse_port, keepalive, broadcast, timestamp, passcred, linger_on, oob_inline;
    u32 linger_s;
    u32 send_buffer, recv_buffer; /* bytes; 0: tuned by the protocol */
    bool send_buffer_fixed, recv_buffer_fixed;
    u64 send_timeout_ns, recv_timeout_ns; /* 0: for ever */
    u32 recv_low, mark, priority, bind_ifindex;
    bool timestamp_ns;             /* with .timestamp: as SCM_TIMESTAMPNS */
    bool dont_route, rxq_overflow; /* remembered, reported */
    u32 busy_poll_us;              /* likewise */
    u64 max_pacing_rate;           /* likewise; bytes a second */
};

/* Fields: [I], [A], [O]. */
struct socket {
    const struct proto_ops *ops; /* [I] */
    int family, type, protocol;  /* [I] */
    struct waitq waitq;          /* woken with what ready() may now say; the file's */
    struct sock_options options; /* [O] */
    struct spinlock lock;        /* of .options */
    s32 error;                   /* [A] SO_ERROR: positive errno, taken by who reports it */
    bool listening;              /* [A] listen() has succeeded */
    void *data;                  /* the protocol's control block */
    struct file *file;           /* [I] borrowed: the file owns the socket */
    const u32 *file_flags;       /* [A] of the file: O_NONBLOCK */
    u64 ino;                     /* [I] of the file, for /proc/net */
};

/** Make a protocol known to socket(2). At start only. */
void proto_register(const struct proto_ops *ops);
/** The table for socket(@family, @type, @protocol), or NULL with *@err set as socket(2) answers. */
const struct proto_ops *proto_find(int family, int type, int protocol, int *err);

/** Set up a socket for @ops, all of it but .file, .file_flags and .ino; ops->create is the
 * caller's to call. */
void socket_init(struct socket *sock, const struct proto_ops *ops, int protocol);
/** setsockopt and getsockopt at SOL_SOCKET and, through the protocol, all others; kernel memory. */
int socket_setopt(struct socket *sock, int level, int name, const void *value, u32 len);
int socket_getopt(struct socket *sock, int level, int name, void *value, u32 *len);
enum { SOCK_OPTION_MAX = 512 }; /* bytes of an option's value that are looked at */

static inline bool sock_is_nonblocking(const struct socket *sock)
{
    return __atomic_load_n(sock->file_flags, __ATOMIC_RELAXED) & O_NONBLOCK;
}
/** Take the pending error: 0 or a negative errno. */
static inline int sock_take_error(struct socket *sock)
{
    if (likely(!__atomic_load_n(&sock->error, __ATOMIC_RELAXED)))
        return 0;
    return -__atomic_exchange_n(&sock->error, 0, __ATOMIC_ACQ_REL);
}
/** Set the error that the next call reports. @err is positive; wake the queue with POLLERR. */
static inline void sock_set_error(struct socket *sock, int err)
{
    __atomic_store_n(&sock->error, err, __ATOMIC_RELEASE);
}
/** When a wait of @timeout_ns (0: for ever) ends. */
static inline u64 sock_deadline(u64 timeout_ns)
{
    return timeout_ns ? time_after_ns(timeout_ns) : NO_DEADLINE;
}
/** What a call answers whose wait, with @timeout_ns from the options, ended in @err (not 0). */
static inline int sock_wait_error(int err, u64 timeout_ns)
{
    if (err == -ETIMEDOUT)
        return -EAGAIN;
    return timeout_ns ? -EINTR : -ERESTARTSYS;
}
/** Append a piece of ancillary data; sets MSG_CTRUNC in .out_flags where it does not fit. */
void sock_put_control(struct sock_msg *msg, int level, int type, const void *data, u32 len);
/** The timestamp of a received packet, if the socket asked for it; 0 is now. @real_ns: wall time.
 */
void sock_put_timestamp(const struct socket *sock, struct sock_msg *msg, u64 real_ns);

/**
 * The address the program gave an AF_INET or AF_INET6 socket. v4-mapped addresses come out as
 * ADDR_INET. 0, -EINVAL (too short) or -EAFNOSUPPORT. AF_UNSPEC is the caller's to look for first.
 */
int endpoint_from_addr(const struct sock_addr *addr, int family, struct endpoint *out);
/** The other way; an IPv4 address on an AF_INET6 socket becomes v4-mapped, none becomes zeros. */
void endpoint_to_addr(const struct endpoint *from, int family, struct sock_addr *out);
