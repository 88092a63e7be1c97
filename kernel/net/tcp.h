/* TCP: what the rest of the kernel may ask of it.  Programs reach it through the proto_ops that
 * tcp_init() registers for AF_INET and AF_INET6 streams, packets through its transport.
 * RFC 9293, 7323, 2018, 8985, 9438 and those they name. */
#pragma once

#include "net/addr.h"
#include "net/pkt.h"

struct socket;
struct tcp_conn;
struct tcp_info_abi;

/**
 * Shards, tables, keys; registers the transport and the protocols. Once, before any interface.
 * False: there is no memory for it, and nothing has been made.
 */
bool tcp_init(void);

/** States in the numbers that /proc/net/tcp and TCP_INFO show. */
enum tcp_state {
    TCP_ESTABLISHED = 1,
    TCP_SYN_SENT,
    TCP_SYN_RECV,
    TCP_FIN_WAIT1,
    TCP_FIN_WAIT2,
    TCP_TIME_WAIT,
    TCP_CLOSE,
    TCP_CLOSE_WAIT,
    TCP_LAST_ACK,
    TCP_LISTEN,
    TCP_CLOSING
};

/* Counters of /proc/net/snmp (Tcp:) and netstat (TcpExt:), summed over the shards. */
struct tcp_stats {
    u64 active_opens, passive_opens, attempt_fails, estab_resets;
    u64 in_segs, out_segs, retrans_segs, in_errs, in_csum_errs, out_rsts;
    u64 syncookies_sent, syncookies_recv, syncookies_failed;
    u64 listen_overflows, listen_drops;
    u64 delayed_acks, paws_dropped, challenge_acks, ooo_queued, ooo_dropped, rcv_pruned,
        rcv_dropped;
    u64 timeouts, spurious_rtos, fast_retrans, loss_probes, undone, dsacks_sent, dsacks_recv;
    u64 timewaited, timewait_recycled, timewait_overflows;
    u64 abort_on_close, abort_on_data, abort_on_timeout, abort_on_memory, abort_on_linger;
    u64 established; /* now */
    u64 memory;      /* bytes in queues now */
};
void tcp_get_stats(struct tcp_stats *out);

/** A line of /proc/net/tcp. */
struct tcp_entry {
    struct ip_addr local, remote;
    u16 local_port, remote_port;
    u8 state; /* enum tcp_state */
    u8 timer; /* 0 none, 1 retransmit, 2 keepalive, 3 time-wait, 4 zero-window probe */
    u8 retransmits, probes;
    bool ipv6_socket;           /* belongs to /proc/net/tcp6 */
    u32 timer_ms;               /* until it fires */
    u32 send_queue, recv_queue; /* bytes; of a listener: its backlog and waiting connections */
    u32 rto_ms, cwnd;           /* cwnd in segments */
    struct socket *sock;   /* NULL: nobody's; only to be compared or looked into inside of @fn */
    struct tcp_conn *conn; /* NULL: a listener, request or TIME-WAIT; likewise */
};
/** TCP_INFO of tcp_entry.conn; inside of @fn. */
void tcp_conn_info(const struct tcp_conn *conn, struct tcp_info_abi *out);
/** Call @fn for every listener, connection, request and TIME-WAIT record until it returns non-zero;
 * returns that. @fn runs under a spinlock: it must not sleep, and of TCP only end .conn. */
int tcp_for_each(int (*fn)(const struct tcp_entry *entry, void *arg), void *arg);
