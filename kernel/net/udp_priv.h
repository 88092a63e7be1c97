/* What the files of UDP share: udp.c finds sockets and takes packets in, udp_socket.c sends and has
 * the operations. */
#pragma once

#include "net/dgram.h"
#include "net/udp.h"

/* Fields: [D] under .dgram.lock, [S] the sender's, under .send_lock. */
struct udp_sock {
    struct dgram dgram; /* first */
    u16 segment;        /* [D] UDP_SEGMENT */
    bool cork;          /* [D] UDP_CORK */
    bool no_check;      /* [D] SO_NO_CHECK */
    struct mutex send_lock;
    struct pkt *corked;                /* [S] what waits for the rest; NULL: none */
    struct dgram_target corked_target; /* [S] */
};

static inline struct udp_sock *udp_of(struct socket *sock)
{
    return sock->data;
}

/** Give the socket its port (@local.port 0: a free one) and address. 0, -EADDRINUSE, -EAGAIN. */
int udp_bind(struct udp_sock *u, const struct endpoint *local);
/** Put it into the table of connected sockets, or (family 0) take it out. */
void udp_set_remote(struct udp_sock *u, const struct endpoint *remote);
/** Out of all tables: nothing arrives any more. */
void udp_unbind(struct udp_sock *u);

extern const struct proto_ops udp4_ops, udp6_ops;
