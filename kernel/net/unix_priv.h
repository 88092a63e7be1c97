/* What the files of AF_UNIX share.
 *
 * A unix_sock is what peers, queues and messages refer to; the struct socket over it comes at
 * accept and goes at close.  Locks: unix_lock [T] (names, states, who is connected to whom, files
 * in flight), then a unix_sock's own [L] (queue, .sock), then wait queues.  Readers take turns by
 * .read_lock, before both; who holds it owns the head of the queue, so bytes are copied to the
 * program without a spinlock. */
#pragma once

#include "arch/atomic.h"
#include "lib/list.h"
#include "net/unix.h"

enum unix_state { UNIX_FREE, UNIX_LISTENING, UNIX_CONNECTED };
enum unix_shutdown { UNIX_NO_RECV = 1, UNIX_NO_SEND = 2, UNIX_SHUT = 3 };
enum {
    UNIX_SEND_BUFFER = 212992, /* net.core.wmem_default */
    UNIX_DGRAM_BACKLOG = 10,   /* net.unix.max_dgram_qlen */
    UNIX_OVERHEAD = 32,        /* of a datagram, against the send buffer */
};

/* A bound name. All [I]. */
struct unix_name {
    ref_t refs;
    u32 hash;
    u32 len;    /* of .addr */
    void *node; /* owns; NULL: abstract */
    struct sockaddr_un_abi addr;
};

/* Files on their way. */
struct unix_scm {
    struct list_head node; /* waiting to be let go of */
    u32 nr;
    struct file *files[]; /* owns a reference to each */
};

struct unix_chunk {
    struct unix_chunk *next;
    u32 len;
    u8 data[];
};

struct unix_msg {
    struct list_head node;   /* [L] of the queue's owner */
    struct unix_sock *from;  /* [I] owns */
    struct unix_scm *scm;    /* [T] owns; NULL: none */
    struct ucred_abi cred;   /* [I] of the sender */
    u32 len, charge;         /* [I] bytes; of memory, in from->charged */
    u32 used;                /* [R] bytes of a stream that were read */
    struct unix_chunk *more; /* [I] what did not fit into .first */
    struct unix_chunk first;
};

struct unix_sock {
    ref_t refs;
    int type;                         /* [I] */
    u32 state;                        /* [T] enum unix_state; read without */
    u32 shutdown;                     /* [L] enum unix_shutdown; read without */
    struct spinlock lock;             /* after unix_lock; two of them by address */
    struct socket *sock;              /* [L] NULL: not accepted yet, or closed */
    bool closed;                      /* [L] */
    struct unix_sock *peer;           /* [T] and [L] owns; of a stream it stays until close */
    struct unix_name *name;           /* [T] owns; set once */
    struct list_head name_node;       /* [T] in a bucket of names */
    struct list_head all_node;        /* [T] */
    struct list_head queue;           /* [L] messages; of a listener: unix_socks to accept */
    struct list_head accept_node;     /* [L] of the listener */
    u32 nr_queued;                    /* [L] read without */
    u32 backlog;                      /* [T] */
    u64 queued_bytes;                 /* [L] of a stream, unread */
    u32 charged;                      /* [A] bytes of messages we sent, until they are read */
    int pending_error;                /* [L] for .sock, when it comes */
    struct mutex read_lock;           /* [R] */
    struct waitq peer_wait;           /* who waits for room in .queue */
    struct wait_entry relay;          /* [C] in a peer's peer_wait: wakes our own queue */
    struct ucred_abi cred, peer_cred; /* [T] */
    u32 in_flight, gc_refs;           /* [T] messages that carry its file; for the collector */
    bool gc_found;                    /* [T] likewise */
};

/** Guards who is connected with whom, the names, and the search for circles. */
extern struct spinlock unix_lock;
extern struct list_head unix_all;           /* [T] */
extern const struct unix_files *unix_files; /* [I] */
/** Who is sent what goes to /dev/log when no program serves it; it is never closed. */
extern struct unix_sock unix_log;

/** What is behind a socket of AF_UNIX. */
static inline struct unix_sock *unix_of(const struct socket *sock)
{
    return sock->data;
}
/** References to the part that a peer, a name or a message may outlive the socket with. */
static inline void unix_get(struct unix_sock *u)
{
    ref_get(&u->refs);
}
void unix_put(struct unix_sock *u);
/** Wake whoever waits on the socket over @u, if there is one. */
void unix_wake(struct unix_sock *u, u32 events);
/** The same with @u locked. */
void unix_wake_locked(struct unix_sock *u, u32 events);
/** The peer with a reference, or NULL. */
struct unix_sock *unix_peer_get(struct unix_sock *u);
/** The calling process's, for SO_PEERCRED and SCM_CREDENTIALS. */
struct ucred_abi unix_own_cred(void);
/** Bytes that may wait at receivers before a sender waits. */
static inline u32 unix_send_limit(const struct socket *sock)
{
    return sock->options.send_buffer ? sock->options.send_buffer : UNIX_SEND_BUFFER;
}
/** More messages wait than max_dgram_qlen, or than listen(2) said; read without a lock. */
static inline bool unix_is_full(const struct unix_sock *u)
{
    return __atomic_load_n(&u->nr_queued, __ATOMIC_RELAXED) > u->backlog;
}
/** Watch @peer for room on behalf of @u, which is connected to it; NULL: no more. */
void unix_set_relay(struct unix_sock *u, struct unix_sock *from, struct unix_sock *to);

/* unix_name.c */

int unix_bind(struct socket *sock, const struct sock_addr *addr);
/** Give it an abstract name unless it has one. 0, -ENOSPC, -ENOMEM. */
int unix_autobind(struct unix_sock *u);
/** Whoever is bound to @addr, with a reference. 0, or -ECONNREFUSED, -EPROTOTYPE, -ENOENT, ... */
int unix_lookup(const struct sock_addr *addr, int type, struct unix_sock **out);
/** Its name can be found no more. unix_lock held. */
void unix_unhash_locked(struct unix_sock *u);
/** Names are shared by a listener and what it accepts; the last reference frees one. */
void unix_name_put(struct unix_name *name);
/** The address of @u for getsockname; len 2 where it has none. */
void unix_show_name(const struct unix_sock *u, struct sock_addr *out);
/** The same for recvfrom, which tells nothing then. */
static inline void unix_show_sender(const struct unix_sock *u, struct sock_addr *out)
{
    if (u->name)
        unix_show_name(u, out);
}

/* unix_msg.c */

/** A message of @len bytes out of @from, charged to @u. 0, -ENOBUFS or -EFAULT. */
int unix_msg_create(struct unix_sock *u, struct iov_iter *from, u32 len, struct unix_msg **out);
/** Free it and tell its sender, who may have waited for room. */
void unix_msg_free(struct unix_msg *msg);
/** Bytes [@at, @at + @n) into @to; bytes copied, short on a fault. */
size_t unix_msg_copy_out(const struct unix_msg *msg, u32 at, size_t n, struct iov_iter *to);
/** Wait until @sock may send more. 0, or -EAGAIN, -EPIPE, -ERESTARTSYS, ... */
int unix_wait_room(struct socket *sock, u32 flags);
/** Wait until there is something to receive. 0, or the error. */
int unix_wait_message(struct socket *sock, u32 flags);
/** Append to @to's queue, which is locked, and wake it. Takes @msg. */
void unix_enqueue_locked(struct unix_sock *to, struct unix_msg *msg);
/** The first message, whose owner is who holds read_lock; NULL: none. */
struct unix_msg *unix_first(struct unix_sock *u);
/** Take it off the queue. */
void unix_dequeue(struct unix_sock *u, struct unix_msg *msg);

/* unix_scm.c */

/** What a call sends besides bytes. */
struct unix_send {
    struct unix_scm *scm;
    struct ucred_abi cred;
};
/** Read msg->control. 0, -EINVAL, -EBADF, -EPERM, -ETOOMANYREFS, -ENOMEM. */
int unix_send_begin(struct sock_msg *msg, struct unix_send *out);
/** Let go of files that were not sent. */
void unix_send_end(struct unix_send *send);
/** Move the files into @msg, which is about to be queued. unix_lock held. */
void unix_scm_attach_locked(struct unix_msg *msg, struct unix_send *send);
/** Give the receiver what came with @msg; @peek leaves it there. */
void unix_recv_control(struct socket *sock, struct sock_msg *to, struct unix_msg *msg, bool peek);
/** Take the files off @msg; NULL: none. */
struct unix_scm *unix_scm_detach(struct unix_msg *msg);
/** Put the files and free it; NULL is ignored. However deep sockets lie in sockets, this nests
 * once. */
void unix_scm_free(struct unix_scm *scm);

/** The files of @msg go elsewhere. unix_lock held. */
void unix_scm_forget_locked(struct unix_msg *msg);
/** Files in messages that nobody has received. */
u64 unix_scm_in_flight(void);

/* unix_gc.c */

/** A socket was closed: free those that only messages to each other can reach. */
void unix_collect(void);
/** The unix_sock behind a file in flight, or NULL. */
struct unix_sock *unix_of_file(struct file *file);

/* unix_stream.c, unix_dgram.c */

/** What struct proto_ops has of each type. */
ssize_t unix_stream_send(struct socket *sock, struct sock_msg *msg);
ssize_t unix_stream_recv(struct socket *sock, struct sock_msg *msg);
ssize_t unix_dgram_send(struct socket *sock, struct sock_msg *msg);
ssize_t unix_dgram_recv(struct socket *sock, struct sock_msg *msg);
ssize_t unix_seqpacket_send(struct socket *sock, struct sock_msg *msg);
ssize_t unix_seqpacket_recv(struct socket *sock, struct sock_msg *msg);
int unix_dgram_connect(struct socket *sock, const struct sock_addr *addr);
int unix_stream_connect(struct socket *sock, const struct sock_addr *addr);
/** Forget a peer that is gone or replaced. */
void unix_disconnect(struct unix_sock *u, struct unix_sock *peer);
