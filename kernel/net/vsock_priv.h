/* What the files of AF_VSOCK share: vsock.c has the operations, vsock_packet.c takes packets in. */
#pragma once

#include "lib/list.h"
#include "net/socket.h"
#include "net/vsock.h"

enum vsock_state {
    VSOCK_CLOSED, /* not yet, or not any more */
    VSOCK_LISTENING,
    VSOCK_CONNECTING,
    VSOCK_CONNECTED,
};

/* All fields but .sock's own under vsock_lock; [R] under .read_lock too to change. */
struct vsock {
    struct socket *sock;    /* NULL: not accepted yet */
    struct list_head node;  /* in the table, while it has a port */
    u8 state;               /* enum vsock_state */
    bool was_connected;     /* .peer is set, and stays so */
    u8 own_shut, peer_shut; /* VSOCK_NO_* that were told, by us and by the peer */
    u32 port, peer_port;    /* 0: none */
    u64 peer_cid;
    struct list_head queue;       /* [R] packets to read, .data at unread bytes */
    u32 queued;                   /* bytes in it */
    u32 buf_alloc, fwd_cnt;       /* our buffer; bytes that were read in all */
    u32 told_fwd_cnt;             /* what the peer knows of that */
    u32 peer_alloc, peer_fwd_cnt; /* the peer's */
    u32 tx_cnt;                   /* bytes sent in all */
    struct list_head accepting;   /* of a listener: connections to accept */
    struct list_head accept_node;
    u32 nr_accepting, backlog;
    u64 connect_timeout_ns;
    struct mutex read_lock; /* readers take turns */
};

/** One for all of AF_VSOCK; then the device's, or a wait queue's. */
extern struct spinlock vsock_lock;

struct vsock *vsock_alloc(void);
/** Free what it holds; in no table, accept list or socket any more. */
void vsock_free(struct vsock *v);
/** Our own address towards @cid. */
u64 vsock_own_cid(u64 cid);
/** Is there a way to @cid? */
bool vsock_is_reachable(u64 cid);

/* With vsock_lock held. */

/** Send a packet about @v; @pkt with payload (taken), or NULL. */
void vsock_send_locked(struct vsock *v, u16 op, u32 flags, struct pkt *pkt);
/** Bytes that the peer has room for. */
u32 vsock_credit_locked(const struct vsock *v);
/** Give @v a port; VMADDR_PORT_ANY is one of its own. 0 or -EADDRINUSE. */
int vsock_bind_locked(struct vsock *v, u32 port);
void vsock_unbind_locked(struct vsock *v);
void vsock_wake_locked(struct vsock *v, u32 events);

/** The table and the way to ourselves; later calls do nothing. At start, or by net_init. */
void vsock_packets_init(void);
