/* A peer made by hand for TCP tests: segments are written field by field, and what the stack
 * answers is looked at field by field.  The stack is host 1, the peer host 2. */
#pragma once

#include "unit/test.h"

#include "abi/tcp.h"
#include "core/time.h"
#include "fake/tcp_world.h"
#include "net/tcp_priv.h"

enum { PEER_PORT = 4000, OUR_PORT = 80, PEER_ISS = 1000000, OUT_MAX = 256 };

/** A segment, to be sent or as it came. */
struct seg {
    u8 flags;
    u32 seq, ack;
    u16 window;
    u32 len; /* of data */
    struct tcp_options options;
    u16 urgent;
    u8 ecn;
    u16 src_port, dst_port;
    u8 data[32]; /* the first bytes */
    u32 gso_size;
};

extern struct seg peer_out[OUT_MAX];
extern u32 peer_nr_out;
/** What the next peer_send() uses where it is not 0: another port of the peer's. */
extern u16 peer_port;
/** SO_RCVBUF of listeners to come; 0: as it is. */
extern int peer_recv_buffer;

/** Start the world with the peer on the other side. */
void peer_start(void);
/** Send a segment to the stack; sequence numbers are absolute. Data bytes are 'a' + their number.
 */
void peer_send(struct seg seg);
/** The packet that peer_send() sends, .data at the TCP header. NULL: no memory. */
struct pkt *peer_packet(struct seg seg);
/** Take the oldest segment the stack has sent; all zero: there is none. */
struct seg peer_take(void);
/** Forget what has been sent so far. */
static inline void peer_forget(void)
{
    peer_nr_out = 0;
}
void peer_wait(u64 ms);

/* A connection that the peer has made to a listener of ours. */
struct link_up {
    struct socket *listener, *sock;
    struct tcp_conn *c;
    u32 ours;   /* the next number that we will send */
    u32 theirs; /* the next that the peer will */
};
/** @options: of the peer's SYN. */
struct link_up peer_connects(const struct tcp_options *options, u16 window);
/** The options of a modern peer: MSS 1460, SACK, timestamps, scale 7. */
extern const struct tcp_options peer_modern;
/** Only an MSS of 1460. */
extern const struct tcp_options peer_plain;
struct socket *peer_listener(int backlog);

/** The segment is this one; evaluated once. */
#define IS(seg_, flags_, seq_, ack_, why)                                                          \
    do {                                                                                           \
        struct seg got_ = (seg_);                                                                  \
        EXPECT_EQ(got_.flags, flags_, why);                                                        \
        EXPECT_EQ(got_.seq, seq_, why);                                                            \
        EXPECT_EQ(got_.ack, ack_, why);                                                            \
    } while (0)
/** Nothing was sent. */
#define NOTHING(why) EXPECT_EQ(peer_nr_out, 0, why)

/** A plain segment of the peer's on @l. */
struct seg plain(const struct link_up *l, u8 flags, u32 len);
/** Close everything of @l and see that nothing is left. */
void finish(struct link_up *l);
