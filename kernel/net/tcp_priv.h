/* What the files of TCP share.  Everything here is under the shard's lock unless it says other.
 *
 *   tcp_expected.c  the segment that comes next, quickly
 *   tcp_input.c     what a segment does, by state          tcp_ack.c       what it acknowledges
 *   tcp_receive.c   data: queues, window, SACK to send     tcp_output.c    what to send, when
 *   tcp_segment.c   packets                                tcp_sendq.c     bytes on their way
 *   tcp_sent.c      what is in flight: the scoreboard      tcp_recovery.c  RACK-TLP, PRR, F-RTO
 *   tcp_cubic.c     how much may be in flight              tcp_timer.c     what time brings
 *   tcp_listen.c    listeners, requests, accept queues     tcp_cookie.c    SYN cookies, ISN
 *   tcp_timewait.c  TIME-WAIT records                      tcp_conn.c      life and death
 *   tcp_socket.c    operations of sockets                  tcp_option.c    their options */
#pragma once

#include "core/panic.h"
#include "lib/siphash.h"
#include "mm/page.h"
#include "net/ip.h"
#include "net/shard.h"
#include "net/socket.h"
#include "net/tcp_queue.h"

enum {
    TCP_MIN_MSS = 88,       /* below that a path is not believed */
    TCP_DEFAULT_MSS4 = 536, /* where the peer says nothing: RFC 9293 3.7.1 */
    TCP_DEFAULT_MSS6 = 1220,
    TCP_INITIAL_WINDOW = 10, /* segments, RFC 6928 */
    TCP_DUPACKS = 3,
    TCP_GSO_MAX = 65535 - 120, /* bytes of data in one packet for the interface to cut */
    TCP_PROBE_MTU_BASE = 1024, /* RFC 4821 7.2: what a black hole is answered with */
};

/* Times in ms. */
enum {
    TCP_RTO_MIN = 200,
    TCP_RTO_MAX = 120000,
    TCP_RTO_INITIAL = 1000,
    TCP_DELACK = 40,
    TCP_SLACK = 8, /* long waits end together, so that one interrupt serves many connections */
    TCP_DELACK_QUICK = 1, /* at a connection's begin: as long as an answer takes that is at hand */
    TCP_PTO_MIN = 10,
    TCP_TIME_WAIT_MS = 60000,
    TCP_FIN_TIMEOUT = 60000,
    TCP_CHALLENGE_INTERVAL = 500,
    TCP_CORK_MS = 200,
    TCP_KEEP_IDLE_S = 7200,
    TCP_KEEP_INTERVAL_S = 75,
};

enum {
    TCP_SYN_RETRIES = 6,
    TCP_SYNACK_RETRIES = 5,
    TCP_RETRIES_MAX = 15, /* R2 of RFC 9293 3.8.3 */
    TCP_ORPHAN_RETRIES = 8,
    TCP_KEEP_PROBES = 9,
    TCP_BLACKHOLE_RETRIES = 3,
};

enum {
    TCP_SNDBUF = 128 << 10,
    TCP_SNDBUF_MAX = 4 << 20,
    TCP_RCVBUF = 128 << 10, /* half of it is the window, as Linux counts */
    TCP_RCVBUF_MAX = 6 << 20,
    TCP_SEND_ALWAYS = 16 << 10, /* that much each may queue to send, however short memory is */
    TCP_WSCALE = 7,
};

/* ---- the connection ---- */

enum tcp_timers { TIMER_RTX, TIMER_DELACK, TIMER_KEEP, TIMER_STATE, TIMER_CORK, NR_TCP_TIMERS };
/** What TIMER_RTX stands for. */
enum tcp_rtx { RTX_RTO, RTX_PROBE_TAIL, RTX_REORDER, RTX_WINDOW };
enum tcp_ca { CA_OPEN, CA_DISORDER, CA_CWR, CA_RECOVERY, CA_LOSS };

struct cubic {
    u32 w_max;  /* bytes */
    u32 w_est;  /* what Reno would have, bytes */
    u32 origin; /* of the curve */
    u32 k_ms;
    u32 epoch;               /* tick; with .started */
    u32 prior_cwnd;          /* at the last reduction */
    u64 est_part, grow_part; /* what is not yet a byte of .w_est and of cwnd */
    bool started;
};

/* RFC 8985. */
struct rack {
    u64 xmit_ns;
    u32 end_seq, rtt_us, fack;
    u32 reo_mult, reo_persist; /* 6.2.4: the window for reordering in quarters of min RTT */
    u32 dsack_round;           /* snd_nxt when the multiple last grew */
    bool valid, reordering, dsack_seen;
};

struct tcp_conn {
    /* What a lookup reads. */
    struct tcp_conn *hash_next; /* in its bucket */
    struct flow flow;           /* zero ports: not (yet) connected */
    u32 hash;
    bool hashed;
    u8 state;            /* [A] enum tcp_state; written under the lock, of a listener the table's */
    bool beginning;      /* [A] some thread connects it */
    u16 family;          /* of the flow: enum addr_family */
    struct shard *shard; /* [A] changes only while not hashed, under both's lock in turn */
    struct socket *sock; /* NULL: not accepted yet, or closed */
    struct tcp_listener *listener; /* of a socket that listens or has (owns), until it is closed; or
                                      who will accept this */
    struct list_head accept_node;

    /* Sending. */
    u32 snd_una, snd_nxt;
    u32 write_seq; /* behind the last byte queued; the FIN's own number */
    u32 snd_wnd;   /* bytes from snd_una */
    u32 snd_wl1, snd_wl2;
    u32 max_window; /* largest the peer has offered */
    u32 iss;
    u32 snd_small; /* end of the last segment below MSS: Minshall's Nagle */
    u32 snd_urgent;
    bool fin_queued, fin_sent, urgent_out;
    u8 snd_wscale, rcv_wscale;
    u16 mss;      /* bytes of data in a full segment, options of every segment taken off */
    u16 peer_mss; /* as offered */
    u16 advmss;   /* as we offered */
    u32 path_mtu;
    bool mtu_search;                /* .path_mtu is less than it may be: tcp_mtu.c */
    u16 mtu_probe_size, mtu_failed; /* packet under way, 0: none; smallest that was lost, or 0 */
    u32 mtu_probe_seq, mtu_probe_end;
    u32 mtu_due; /* tick: not before that */
    struct sendq sendq;
    struct sent_list sent;

    /* Receiving. */
    u32 rcv_nxt;
    u32 rcv_adv;   /* right edge that was advertised */
    u32 rcv_acked; /* rcv_nxt of the last ACK sent */
    u32 rcv_whole; /* tcp_window() where nothing waits to be read and memory is not short; 0: ask */
    u32 copied;    /* [A] next byte for the program */
    u32 irs;
    u32 fin_seq, urgent_seq;
    bool fin_pending; /* seen at .fin_seq, not reached yet */
    bool fin_rcvd, urgent_valid, urgent_read;
    bool rx_busy, rx_waited; /* [A] the head of the queue is owned; a reader waits for it */
    u8 urgent_byte;
    bool ts_ok, sack_ok, wscale_ok, ecn_ok;
    bool ece, cwr_due; /* report congestion; say that we slowed down */
    bool ack_now;      /* before the segment's work ends */
    u8 quick_acks;     /* to go */
    bool interactive;  /* answers come soon, ACKs may wait for them */
    u16 rcv_mss;       /* estimate of what the peer sends */
    u32 ts_recent, ts_recent_tick;
    u32 ts_offset; /* of our timestamps */
    struct recvq recvq;

    /* Round trips and congestion; bytes. */
    u64 syn_ns;               /* when the SYN was sent first */
    u32 srtt_us8, rttvar_us4; /* scaled by 8 and 4; 0: none yet */
    u32 min_rtt_us, min_rtt_tick;
    u32 rto_ms;
    u32 cwnd, ssthresh;
    u32 prior_cwnd, prior_ssthresh; /* to undo */
    u32 undo_una, undo_bytes; /* what was sent again since .undo_una and not yet reported twice */
    u32 high_seq;             /* snd_nxt when trouble began */
    u32 retrans_ts;           /* our timestamp of the first retransmission; 0: none */
    u32 prr_delivered, prr_out, recover_flight;
    u32 dupacks;
    u32 tlp_seq; /* .tlp_out: snd_nxt when the probe was sent */
    u32 last_send, last_recv, last_ack_recv, last_challenge; /* ticks */
    u8 ca;                                                   /* enum tcp_ca */
    u8 retries;                                              /* RTOs without progress */
    u8 backoff, probes, mtu_probes, keep_probes;
    bool can_undo, tlp_out, tlp_retrans, cwnd_limited, frto, frto_new;
    struct rack rack;
    struct cubic cubic;

    /* Timers. */
    struct wheel_timer timer;
    struct list_head
        ack_node;           /* shard.acks: it stands for TIMER_DELACK, of which .timer knows not */
    u32 due[NR_TCP_TIMERS]; /* ticks */
    u8 timers;              /* bits of enum tcp_timers: which .due count */
    u8 rtx_kind;            /* enum tcp_rtx */
    u32 stalled_since;      /* tick of the first retransmission or probe without an answer */

    /* The program's wishes. */
    bool nodelay, cork, v6only, freebind;
    bool v4_any;              /* an AF_INET6 socket bound to ::ffff:0.0.0.0 */
    bool bind_no_port;        /* IP_BIND_ADDRESS_NO_PORT: a hint */
    u8 pmtu_mode;             /* enum ip_pmtudisc: remembered */
    u16 fastopen;             /* TCP_FASTOPEN: remembered; connections open as ever */
    struct ip_addr bind_addr; /* [P] by bind(2); family 0: any */
    u16 bind_port;            /* [P] 0: not bound; written under the ports' lock too */

    u8 tos, ttl; /* ttl 0: the default */
    u16 user_mss;
    u8 syn_retries, keep_probes_max;
    u32 keep_idle_s, keep_interval_s, user_timeout_ms, linger2_s, defer_s;
    u32 notsent_low, window_clamp;
    u32 sndbuf, rcvbuf;         /* bytes, now */
    bool want_room;             /* [A] somebody waits for POLLOUT */
    bool shut_read, connecting; /* connect(2) has not reported yet */
    bool done;                  /* was connected once: end of file, not ENOTCONN */
    bool cork_over;             /* what the cork holds may go now */
    u32 scope;                  /* interface of a link-local peer */

    struct list_head bind_node;
    u32 copied_mark, copied_mark_tick; /* tcp_receive.c: when the window should grow */
    u32 rcv_rtt_ms;

    /* Where to. */
    struct ip_addr local, remote; /* of .flow */
    struct route route;
    u32 pseudo; /* sum of the pseudo-header without the length */

    /* For TCP_INFO. */
    u64 bytes_acked, bytes_received, bytes_sent, bytes_retrans;
    u32 segs_out, segs_in, data_segs_out, data_segs_in, total_retrans, ooo_packets, dsack_dups;
};

/** Bytes on their way: sent, and neither acknowledged nor lost. RFC 6675's pipe. */
static inline u32 tcp_flight(const struct tcp_conn *c)
{
    return c->snd_nxt - c->snd_una - c->sent.sacked - c->sent.lost;
}
/** Bytes that were written and never sent. */
static inline u32 tcp_unsent(const struct tcp_conn *c)
{
    return seq_before(c->snd_nxt, c->write_seq) ? c->write_seq - c->snd_nxt : 0;
}
/** Our timestamp now. */
static inline u32 tcp_ts_now(const struct tcp_conn *c)
{
    return c->shard->now + c->ts_offset;
}
/** RFC 9293 3.3.2: both sides know where the other began. */
static inline bool tcp_synchronized(u8 state)
{
    return state != TCP_CLOSE && state != TCP_LISTEN && state != TCP_SYN_SENT &&
           state != TCP_SYN_RECV;
}
/** May the program still send? */
static inline bool tcp_can_send(u8 state)
{
    return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;
}

/* tcp_conn.c */

/** A closed connection with the defaults, without socket. NULL: no memory. No lock. */
struct tcp_conn *tcp_conn_create(void);
/** Free what is in no table and has no socket. */
void tcp_conn_free(struct tcp_conn *c);
/** Lock the shard of @c, which the caller's socket keeps alive, without taking the time. */
static inline struct shard *tcp_conn_lock_quick(struct tcp_conn *c)
{
    for (;;) {
        struct shard *shard = __atomic_load_n(&c->shard, __ATOMIC_ACQUIRE);
        spin_lock(&shard->lock);
        if (likely(c->shard == shard))
            return shard;
        spin_unlock(&shard->lock);
    }
}
/** Lock the shard of @c and take its time. */
static inline struct shard *tcp_conn_lock(struct tcp_conn *c)
{
    struct shard *shard = tcp_conn_lock_quick(c);

    shard_now(shard);
    return shard;
}
/** Make @c the end of @flow in @shard, which is the flow's, locked and becomes .shard; find the
 * route. 0 or as route_find(); then nothing has changed. */
int tcp_conn_attach(struct tcp_conn *c, struct shard *shard, const struct flow *flow, u16 family);
/** The handshake is through: windows, congestion control, timers. */
void tcp_conn_established(struct tcp_conn *c);

/** Find (again) the way to the peer. 0 or as route_find(). */
int tcp_conn_route(struct tcp_conn *c);
/** The segment size from path, peer and options. */
void tcp_conn_set_mss(struct tcp_conn *c);
/** Does the route still hold? */
static inline bool tcp_conn_route_ok(const struct tcp_conn *c)
{
    return c->route.netif && route_valid(&c->route);
}
/** Change .state, for those without the lock as well, and count connections. */
void tcp_set_state(struct tcp_conn *c, u8 state);
/** The end: out of the table, no more timers, nothing to send; @err is for the program, 0: none.
 * What was received can still be read. The memory lives until tcp_conn_reap(). */
void tcp_conn_close(struct tcp_conn *c, int err);
/** Last step of whoever has worked on @c: free it if it is closed and nobody's. */
void tcp_conn_reap(struct tcp_conn *c);
/** Reset the peer and end. */
void tcp_conn_abort(struct tcp_conn *c, int err);
/** Both FINs are through: leave a TIME-WAIT record and end. */
void tcp_conn_time_wait(struct tcp_conn *c);
/** Tell who waits; POLL* bits. */
void tcp_wake(struct tcp_conn *c, u32 events);
/** The addresses of a flow, and one put into it. */
struct ip_addr flow_local(const struct flow *flow, u16 family);
struct ip_addr flow_remote(const struct flow *flow, u16 family);
void flow_set(u64 halves[2], const struct ip_addr *addr);
/** Account memory of queues. */
static inline void tcp_charge(struct shard *shard, s64 bytes)
{
    shard->memory += (u64)bytes;
}
/** Is memory short? Then a connection may queue no more than a little. */
static inline bool tcp_memory_short(const struct tcp_conn *c)
{
    return c->shard->memory > c->shard->memory_max && c->sendq.bytes >= TCP_SEND_ALWAYS;
}

/* tcp_input.c */

/** A segment has come; takes @pkt. */
void tcp_input(struct pkt *pkt, const struct ip_info *info);
/** An ICMP error about a segment of ours: @about its addresses, @err a negative errno, @mtu of a
 * packet that was too big, @quoted the first 8 bytes of its TCP header. */
void tcp_error(const struct ip_info *about, int err, u32 mtu, const u8 *quoted);

/* ---- tcp_mtu.c ---- */

/** .path_mtu has become smaller: look for more later, much later where a router @told so. */
void tcp_mtu_shrunk(struct tcp_conn *c, bool told);
/** Where .mtu_search: send a probe if it is time and there is data for it, and take its success.
 * True: it waits for room, so nothing else is to be sent before the next ACK. */
bool tcp_mtu_search(struct tcp_conn *c);
/** Where a probe is under way: is it, and nothing else, what was lost? Then it has failed. */
bool tcp_mtu_probe_lost(struct tcp_conn *c);
/** Where a probe is under way: it is sent again, so its arrival will say nothing. */
void tcp_mtu_probe_unclear(struct tcp_conn *c);
/** Where a probe is under way: it has not arrived. */
void tcp_mtu_probe_failed(struct tcp_conn *c);

/** A segment for a connection that is in none of the tables' other forms; takes @pkt. */
void tcp_conn_input(struct tcp_conn *c, struct pkt *pkt, const struct tcp_segment *seg);
/** An ACK outside of the rules' limits: RFC 5961; limited in rate. */
void tcp_challenge_ack(struct tcp_conn *c);

/* tcp_expected.c */

/**
 * Take the segment at @skip of @pkt, whose checksum is known to be good, if it is the one that its
 * connection waits for. False: it is not, and nothing has changed. @flow has the addresses, its
 * ports are filled in. @netif: where it came in, if nobody has looked yet at whether its addresses
 * may be used there; NULL: they may.
 */
bool tcp_input_expected(struct pkt *pkt, u32 skip, struct flow *flow, const struct netif *netif);
/** The same for a transport's table: see struct transport. */
bool tcp_input_expected4(struct netif *netif, struct pkt *pkt, u32 src, u32 dst);

/* tcp_ack.c */

/** Process the acknowledgement; false: the segment is to be dropped. */
bool tcp_ack(struct tcp_conn *c, const struct tcp_segment *seg);
void tcp_rtt_sample(struct tcp_conn *c, u32 rtt_us);
/* tcp_wake_writer() where there is something to do. */
void tcp_wake_writer_now(struct tcp_conn *c);
/** Room in the send queue: tell who waits for it, and let the buffer follow cwnd. */
static inline void tcp_wake_writer(struct tcp_conn *c)
{
    if (unlikely(2 * c->cwnd > c->sndbuf || __atomic_load_n(&c->want_room, __ATOMIC_RELAXED)))
        tcp_wake_writer_now(c);
}

/* tcp_recovery.c */

/* What one ACK told. */
struct ack_news {
    u32 acked;     /* bytes that snd_una moved */
    u32 delivered; /* bytes newly known to have arrived, SACKed ones included */
    u32 sacked;    /* bytes newly SACKed */
    bool dsack;
    bool original;      /* something arrived that was sent once only */
    bool window_update; /* no duplicate, then */
    u32 rtt_us;         /* of the newest segment that was sent once; 0: none */
};
/** Record @sent has arrived: RACK's clock. */
void rack_delivered(struct tcp_conn *c, const struct sent *sent);
/** After the scoreboard has learnt from an ACK: detect losses, change the state, set cwnd. */
void tcp_recovery_ack(struct tcp_conn *c, const struct tcp_segment *seg, struct ack_news *news);
/** The RTO has fired. */
void tcp_recovery_timeout(struct tcp_conn *c);
/** RACK's timer for reordering has fired. */
void tcp_recovery_reorder(struct tcp_conn *c);
/** The tail loss probe is due. */
void tcp_recovery_probe(struct tcp_conn *c);
/** Congestion as the network says (ECE): once a round trip. */
void tcp_recovery_ecn(struct tcp_conn *c);

/* tcp_cubic.c */

/** The state of a new connection (RFC 9438). */
void cubic_init(struct tcp_conn *c);
/** ssthresh after a loss. */
u32 cubic_reduce(struct tcp_conn *c);
/** @acked bytes arrived while cwnd was the limit. */
void cubic_acked(struct tcp_conn *c, u32 acked);
/** Sending starts again after idleness or an undone reduction. */
void cubic_restart(struct tcp_conn *c);

/* tcp_receive.c */

/** An empty queue; and let all packets go that @c has received. */
void recvq_init(struct recvq *q);
void recvq_fini(struct tcp_conn *c);
/** Data of an acceptable segment; takes @pkt (.data at the TCP header). */
void tcp_receive(struct tcp_conn *c, struct pkt *pkt, const struct tcp_segment *seg);
/** The same for the next bytes in order, with room and memory for them; .data at the first. */
void tcp_receive_expected(struct tcp_conn *c, struct pkt *pkt, u32 tsecr);
/** A FIN at .fin_seq has its turn if all before it is here. */
void tcp_receive_fin(struct tcp_conn *c);
/** Window to advertise now, in bytes; never takes back what was given. */
u32 tcp_window(struct tcp_conn *c);
/** Bytes that may be queued. */
u32 tcp_window_space(const struct tcp_conn *c);
/** SACK blocks to send, most recent first. */
u32 tcp_sack_blocks(struct tcp_conn *c, struct seq_range *out, u32 max);
/** Own the head of the queue: who copies from it, or moves it. False: another does. No lock. */
static inline bool tcp_recvq_claim(struct tcp_conn *c)
{
    return !__atomic_exchange_n(&c->rx_busy, true, __ATOMIC_ACQUIRE);
}
/** After tcp_recvq_claim(). */
static inline void tcp_recvq_release(struct tcp_conn *c)
{
    __atomic_store_n(&c->rx_busy, false, __ATOMIC_RELEASE);
}
/** @pkt leaves the queue. */
void tcp_uncharge(struct tcp_conn *c, const struct pkt *pkt);
/* tcp_receive_taken() when it may be time. */
void tcp_receive_taken_some(struct tcp_conn *c);
/** The program has taken bytes: grow the buffer, tell the peer of the room. */
static inline void tcp_receive_taken(struct tcp_conn *c)
{
    s32 given = (s32)(c->rcv_adv - c->rcv_nxt);

    /* tcp_window_space() is a half of .rcvbuf at most, and news to the peer when twice as much */
    if (unlikely(c->copied - c->copied_mark >= c->rcvbuf / 8 || given <= (s32)(c->rcvbuf / 4)))
        tcp_receive_taken_some(c);
}

/* tcp_output.c */

/** Send what may be sent, lost segments first. @push: the program waits, no more is coming. */
void tcp_output(struct tcp_conn *c);
/** Send an ACK with nothing. */
void tcp_send_ack(struct tcp_conn *c);
/** An ACK is due: now or with the next data. */
void tcp_schedule_ack(struct tcp_conn *c);

/** The first or next SYN, or a SYN-ACK in SYN_RECV. */
void tcp_send_syn(struct tcp_conn *c);
/** RST to the peer of @c. */
void tcp_send_reset(struct tcp_conn *c);
/** Answer @seg, which belongs to nothing, with RST; a RST is not answered. */
void tcp_reset_segment(struct shard *shard, const struct tcp_segment *seg, u32 ifindex);
/** Send record @i again, up to @max bytes of it. False: no memory, or it did not go out. */
bool tcp_retransmit(struct tcp_conn *c, u32 i, u32 max);
/** Send up to @max bytes that were never sent; bytes sent. */
u32 tcp_send_new(struct tcp_conn *c, u32 max);

/* tcp_segment.c */

/* A header without a connection: requests, TIME-WAIT, resets. */
struct tcp_reply {
    const struct flow *flow;
    u16 family, window;
    u8 flags;
    u32 seq, ack;
    u32 ifindex;                       /* of a link-local peer, 0 else */
    const struct route *route;         /* NULL: to be found */
    const struct tcp_options *options; /* NULL: none */
};
/** Build and send it; errors are the network's. */
void tcp_send_reply(struct shard *shard, const struct tcp_reply *reply);
/**
 * Build and send a segment of @c: up to @len bytes of the queue from @seq, with an ACK. It may
 * carry less where the queue is in many small pieces. Bytes sent (they may be lost, what ip_output
 * says of it does not matter), -ENOMEM, or -EMSGSIZE: .mss has shrunk, try again.
 */
ssize_t tcp_send_segment(struct tcp_conn *c, u32 seq, u32 len, u8 flags);
/** Is there anything to SACK? */
static inline bool tcp_has_sack(const struct tcp_conn *c)
{
    return unlikely(c->recvq.nr_ooo || c->recvq.dsack.start != c->recvq.dsack.end);
}
/** Bytes of SACK blocks that a segment carries now. */
u32 tcp_sack_len(struct tcp_conn *c);

/* tcp_timer.c */

/** Set @which for @tick of the shard's clock, earlier or later than it was; under its lock. */
void tcp_timer_set(struct tcp_conn *c, enum tcp_timers which, u32 tick);
/** @tick or up to TCP_SLACK later. */
static inline u32 tcp_timer_round(u32 tick)
{
    return ALIGN_UP(tick, (u32)TCP_SLACK);
}
/** The wheel's own timer may still fire, and finds nothing due. */
static inline void tcp_timer_clear(struct tcp_conn *c, enum tcp_timers which)
{
    c->timers &= (u8) ~(1u << which);
}
/** Is @which waited for? */
static inline bool tcp_timer_is_set(const struct tcp_conn *c, enum tcp_timers which)
{
    return c->timers & (1u << which);
}
/** A connection's wheel timer, with the shard locked. */
void tcp_timer_fire(struct shard *shard, struct wheel_timer *timer);
/** Owe an ACK for TCP_DELACK: the same for all, so that they wait in order of it. */
void tcp_timer_delack(struct tcp_conn *c);
/** A shard's .ack_timer. */
void tcp_acks_fire(struct shard *shard, struct wheel_timer *timer);

/** Less than a segment waits behind a cork; the window has room for it. */
static inline bool tcp_is_corked(const struct tcp_conn *c)
{
    u32 used = c->snd_nxt - c->snd_una, unsent = c->write_seq - c->snd_nxt;

    return c->cork && !c->cork_over && unsent < c->mss && used + unsent <= c->snd_wnd && unsent &&
           !c->fin_queued && !c->sent.lost && tcp_synchronized(c->state);
}

/** What tcp_is_corked() says waits, but not for ever. */
static inline void tcp_cork_hold(struct tcp_conn *c)
{
    if (!tcp_timer_is_set(c, TIMER_CORK))
        tcp_timer_set(c, TIMER_CORK, c->shard->now + TCP_CORK_MS);
}

/** Set the retransmission timer for what is in flight or waits for a window. */
void tcp_timer_rearm(struct tcp_conn *c);
void tcp_timer_keepalive(struct tcp_conn *c);

/* tcp_timewait.c */

/** The record of @flow, whose hash is @hash; NULL: there is none. Under the lock. */
struct tcp_tw *tw_find(struct shard *shard, const struct flow *flow, u32 hash);
/** Remember @c; without memory the oldest record makes room. */
void tw_add(struct tcp_conn *c);
void tw_remove(struct shard *shard, struct tcp_tw *tw);
/** A segment for a record. True: it is a new connection's SYN, the record is gone, and the new
 * initial number must lie above *@isn_above. */
bool tw_input(struct shard *shard, struct tcp_tw *tw, const struct tcp_segment *seg,
              u32 *isn_above);

/** An empty table; @memory of the machine, in bytes, says how many records it may have. */
void tw_init(struct shard *shard, u64 memory);
/** The record with @number, which is not 0. */
struct tcp_tw *tw_record(const struct tw_table *table, u32 number);

/* tcp_listen.c */

/* Fields: [I], [A], [T] the table's lock, [L] .lock. */
struct tcp_listener {
    ref_t refs;                  /* the listening connection's, requests', embryos' */
    struct spinlock lock;        /* after a shard's */
    struct tcp_conn *conn;       /* [L] whose options a new connection gets; NULL: closed */
    struct list_head queue;      /* [L] connections to accept, by .accept_node */
    u32 queued;                  /* [L] */
    u32 backlog;                 /* [A] */
    u32 nr_requests;             /* [A] */
    u32 cookie_tick;             /* [A] when the last cookie was sent; with .cookies */
    bool cookies;                /* [A] */
    struct ip_addr addr;         /* [I] family 0: any */
    u16 port;                    /* [I] */
    bool v6, v6only, reuse_port; /* [I] */
    struct tcp_listener *next;   /* [T] in its bucket */
};

/* A connection that was asked for: SYN received, SYN-ACK sent. */
struct tcp_request {
    struct tcp_request *hash_next;
    struct flow flow;
    u32 hash;
    u16 family;
    struct tcp_listener *listener; /* owns a reference */
    struct wheel_timer timer;
    u32 irs, iss, ts_recent, ts_offset;
    u32 window; /* the peer's in the SYN */
    u32 recv_space, defer_s;
    u32 begun; /* tick */
    u16 user_mss;
    u16 mss; /* the peer's */
    u8 snd_wscale, retries;
    bool ts_ok, sack_ok, wscale_ok, ecn_ok, acked;
    u32 ifindex;
    u32 sent_tick;
};

/** Start to listen with @c, which is bound, or change its backlog. 0, -EINVAL, -ENOMEM. No lock. */
int tcp_listen(struct tcp_conn *c, u32 backlog);
/** Stop: who waits is reset.  c->listener stays for those that look at it. No lock. */
void tcp_unlisten(struct tcp_conn *c);
/** The listener for a flow, with a new reference; NULL: none. */
struct tcp_listener *tcp_listener_find(const struct flow *flow, u16 family, u32 hash);
/** Drop a reference; the last one frees it. */
void tcp_listener_put(struct tcp_listener *l);
/** The listeners' part of tcp_for_each(). */
int tcp_for_each_listener(int (*fn)(const struct tcp_entry *entry, void *arg), void *arg);
/** A segment for which there is no connection; takes @pkt. @isn_above: see tw_input(), or NULL. */
void tcp_listen_input(struct shard *shard, struct pkt *pkt, const struct tcp_segment *seg,
                      u32 ifindex, const u32 *isn_above);
/** The half-open connection of a flow, or NULL; and take one out of its table. Shard locked. */
struct tcp_request *tcp_request_find(struct shard *shard, const struct flow *flow, u32 hash);
void tcp_request_remove(struct shard *shard, struct tcp_request *r);
/** A segment for a request; takes @pkt. */
void tcp_request_input(struct shard *shard, struct tcp_request *r, struct pkt *pkt,
                       const struct tcp_segment *seg);
/** A listener's accept queue: the first connection, which the caller makes a socket's. NULL: none.
 */
struct tcp_conn *tcp_listener_pop(struct tcp_listener *l);

/* tcp_port.c: which ports are taken by bind(2) and listen(2) */

/** Take @port (0: any free) for @c at @addr. 0, -EADDRINUSE, -EADDRNOTAVAIL. */
int tcp_port_bind(struct tcp_conn *c, const struct ip_addr *addr, u16 port);
/** Give the port back, if @c has one by bind(2). */
void tcp_port_release(struct tcp_conn *c);
/** May @c, bound with others to its port, listen? */
bool tcp_port_may_listen(struct tcp_conn *c);
/** Has bind(2) given @port to anybody? Nobody else connects from it: he would meet himself there.
 */
bool tcp_port_is_bound(u16 port);
/** Candidates of RFC 6056 3.3.3 for connect(2): call with @attempt from 0; 0: no more. */
u16 tcp_port_candidate(const struct flow *flow, u32 attempt);

/* tcp_stream.c */

/** What is behind a socket of TCP. */
static inline struct tcp_conn *tcp_conn_of(const struct socket *sock)
{
    return sock->data;
}

/** Is the handshake under way?  Without a lock. */
static inline bool tcp_is_opening(const struct tcp_conn *c)
{
    u8 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

    return state == TCP_SYN_SENT || state == TCP_SYN_RECV;
}

/** Bytes that the program could read now. */
static inline u32 tcp_available(const struct tcp_conn *c)
{
    u32 next = __atomic_load_n(&c->rcv_nxt, __ATOMIC_ACQUIRE);

    return next - c->copied - c->fin_rcvd;
}

/** No more will come. */
static inline bool tcp_at_end(const struct tcp_conn *c)
{
    return c->fin_rcvd || c->shut_read || (c->state == TCP_CLOSE && c->flow.remote_port);
}

/** What proto_ops has of streams. */
ssize_t tcp_stream_send(struct socket *sock, struct sock_msg *msg);
ssize_t tcp_stream_recv(struct socket *sock, struct sock_msg *msg);
ssize_t tcp_stream_send_pages(struct socket *sock, const struct pkt_frag *frags, u32 n, u32 flags);
/** Bytes of the send buffer that are free; may be negative. */
s64 tcp_send_space(const struct tcp_conn *c);
/** Is POLLOUT due? A third of the buffer is free, and TCP_NOTSENT_LOWAT has been met. */
bool tcp_writable(struct tcp_conn *c);
int tcp_setopt(struct socket *sock, int level, int name, const void *value, u32 len);

/* tcp_option.c */

/** All but TCP_CORK. */
int tcp_setopt_any(struct tcp_conn *c, int level, int name, const void *value, u32 len);
int tcp_getopt(struct socket *sock, int level, int name, void *value, u32 *len);
