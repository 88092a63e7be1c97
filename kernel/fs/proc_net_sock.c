/* /proc/net: sockets and counters.  Tables are copied out under their locks first and made into
 * text then, since text needs memory. */
#include "abi/errno.h"
#include "abi/socket.h"
#include "fs/proc_net.h"
#include "mm/heap.h"
#include "net/ip.h"
#include "net/socket.h"
#include "net/stats.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "net/unix.h"

enum { UDP_CONNECTED = 1, UDP_OPEN = 7 };

/* One line of tcp or udp. */
struct line {
    struct endpoint local, remote;
    bool v6;
    u8 state, timer;
    u32 send_queue, recv_queue, timer_ms, retransmits, probes, dropped;
    u64 ino;
};

/* What a walk over a table has copied; .n may be more than .room. */
struct copies {
    struct line *lines;
    u32 n, room;
};

static int copy_line(struct copies *c, const struct line *line)
{
    if (c->n < c->room)
        c->lines[c->n] = *line;
    c->n++;
    return 0;
}

static int copy_tcp(const struct tcp_entry *e, void *arg)
{
    struct line line = {
        .local = {.addr = e->local,  .port = e->local_port },
        .remote = {.addr = e->remote, .port = e->remote_port},
        .v6 = e->ipv6_socket,
        .state = e->state,
        .timer = e->timer,
        .send_queue = e->send_queue,
        .recv_queue = e->recv_queue,
        .timer_ms = e->timer_ms,
        .retransmits = e->retransmits,
        .probes = e->probes,
        .ino = e->sock ? e->sock->ino : 0,
    };

    return copy_line(arg, &line);
}

static int copy_udp(const struct udp_entry *e, void *arg)
{
    struct line line = {
        .local = e->local,
        .remote = e->remote,
        .v6 = e->ipv6_socket,
        .state = e->connected ? UDP_CONNECTED : UDP_OPEN,
        .recv_queue = e->queued,
        .dropped = e->dropped,
        .ino = e->sock ? e->sock->ino : 0,
    };

    return copy_line(arg, &line);
}

static void walk(struct copies *c, bool tcp)
{
    c->n = 0;
    if (tcp)
        tcp_for_each(copy_tcp, c);
    else
        udp_for_each(copy_udp, c);
}

/* All lines of a table; the caller frees .lines. 0 or -ENOMEM. */
static int copy_table(struct copies *c, bool tcp)
{
    *c = (struct copies){0};
    net_init(); /* the tables are made by it */
    for (;;) {
        walk(c, tcp);
        if (c->n <= c->room)
            return 0;
        kfree(c->lines);
        c->room = c->n + c->n / 8 + 8;
        c->lines = kmalloc(c->room * sizeof(*c->lines));
        if (!c->lines)
            return -ENOMEM;
    }
}

static void add_end(struct text *out, const struct endpoint *end, bool v6)
{
    const u32 *w = end->addr.words;

    if (!v6)
        text_add(out, " %08X:%04X", end->addr.family ? w[3] : 0, end->port);
    else if (!end->addr.family)
        text_add(out, " %032X:%04X", 0, end->port);
    else
        text_add(out, " %08X%08X%08X%08X:%04X", w[0], w[1], w[2], w[3], end->port);
}

static int show_table(struct text *out, bool tcp, bool v6)
{
    struct copies c;
    u32 nr = 0;
    int err = copy_table(&c, tcp);

    for (u32 i = 0; !err && i < c.n; i++) {
        const struct line *l = &c.lines[i];
        if (l->v6 != v6)
            continue;
        text_add(out, "%4u:", nr++);
        add_end(out, &l->local, v6);
        add_end(out, &l->remote, v6);
        text_add(out, " %02X %08X:%08X %02X:%08X %08X %5u %8u %lu 2 0000000000000000 %u\n",
                 l->state, l->send_queue, l->recv_queue, l->timer, l->timer_ms / 10, l->retransmits,
                 0, l->probes, (unsigned long)l->ino, l->dropped);
    }
    kfree(c.lines);
    return err;
}

#define TABLE_TAIL "st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"

int proc_net_show_tcp(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "  sl  local_address rem_address   " TABLE_TAIL "\n");
    return show_table(out, true, false);
}

int proc_net_show_tcp6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "  sl  local_address                         remote_address                      "
                  "  " TABLE_TAIL "\n");
    return show_table(out, true, true);
}

int proc_net_show_udp(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "   sl  local_address rem_address   " TABLE_TAIL " ref pointer drops\n");
    return show_table(out, false, false);
}

int proc_net_show_udp6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "  sl  local_address                         remote_address                      "
                  "  " TABLE_TAIL " ref pointer drops\n");
    return show_table(out, false, true);
}

/* ---- counters ---- */

static void add_ip(struct text *out, const struct net_counters *c)
{
    text_add(out, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
                  "InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes "
                  "ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n");
    const u64 v[] = {2,
                     64,
                     c->ip_in_receives,
                     c->ip_in_hdr_errors,
                     c->ip_in_addr_errors,
                     0,
                     c->ip_in_unknown_protos,
                     c->ip_in_discards,
                     c->ip_in_delivers,
                     c->ip_out_requests,
                     c->ip_out_discards,
                     c->ip_out_no_routes,
                     c->ip_reasm_timeout,
                     c->ip_reasm_reqds,
                     c->ip_reasm_oks,
                     c->ip_reasm_fails,
                     c->ip_frag_oks,
                     c->ip_frag_fails,
                     c->ip_frag_creates};
    text_add(out, "Ip:");
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        text_add(out, " %lu", (unsigned long)v[i]);
    text_add(out, "\n");
}

static void add_udp(struct text *out, const struct net_counters *c)
{
    text_add(out, "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors "
                  "InCsumErrors IgnoredMulti MemErrors\n");
    text_add(out, "Udp: %lu %lu %lu %lu %lu %lu %lu 0 %lu\n", (unsigned long)c->udp_in_datagrams,
             (unsigned long)c->udp_no_ports, (unsigned long)c->udp_in_errors,
             (unsigned long)c->udp_out_datagrams, (unsigned long)c->udp_rcvbuf_errors,
             (unsigned long)c->udp_sndbuf_errors, (unsigned long)c->udp_in_csum_errors,
             (unsigned long)c->udp_mem_errors);
}

static void add_icmp(struct text *out, const struct net_counters *c)
{
    text_add(out,
             "Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InEchos InEchoReps "
             "OutMsgs OutErrors OutRateLimitGlobal OutDestUnreachs OutTimeExcds OutEchos "
             "OutEchoReps\n");
    text_add(out, "Icmp: %lu %lu %lu %lu %lu %lu %lu", (unsigned long)c->icmp_in_msgs,
             (unsigned long)c->icmp_in_errors, (unsigned long)c->icmp_in_csum_errors,
             (unsigned long)c->icmp_in_unreachs, (unsigned long)c->icmp_in_time_excds,
             (unsigned long)c->icmp_in_echos, (unsigned long)c->icmp_in_echo_reps);
    text_add(out, " %lu %lu %lu %lu %lu %lu %lu\n", (unsigned long)c->icmp_out_msgs,
             (unsigned long)c->icmp_out_errors, (unsigned long)c->icmp_out_rate_limited,
             (unsigned long)c->icmp_out_unreachs, (unsigned long)c->icmp_out_time_excds,
             (unsigned long)c->icmp_out_echos, (unsigned long)c->icmp_out_echo_reps);
}

static void add_tcp(struct text *out)
{
    struct tcp_stats t;

    tcp_get_stats(&t);
    text_add(out, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails "
                  "EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n");
    text_add(out, "Tcp: 1 200 120000 -1 %lu %lu %lu %lu %lu", (unsigned long)t.active_opens,
             (unsigned long)t.passive_opens, (unsigned long)t.attempt_fails,
             (unsigned long)t.estab_resets, (unsigned long)t.established);
    text_add(out, " %lu %lu %lu %lu %lu %lu\n", (unsigned long)t.in_segs, (unsigned long)t.out_segs,
             (unsigned long)t.retrans_segs, (unsigned long)t.in_errs, (unsigned long)t.out_rsts,
             (unsigned long)t.in_csum_errs);
}

int proc_net_show_snmp(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct net_counters c;

    net_counters_sum(&c);
    add_ip(out, &c);
    add_icmp(out, &c);
    add_tcp(out);
    add_udp(out, &c);
    return 0;
}

int proc_net_show_netstat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct tcp_stats t;

    tcp_get_stats(&t);
    text_add(out,
             "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows "
             "ListenDrops TW TWRecycled DelayedACKs PAWSEstab TCPTimeouts TCPLossProbes "
             "TCPFastRetrans TCPSpuriousRTOs TCPOFOQueue TCPOFODrop TCPChallengeACK "
             "TCPDSACKOldSent TCPDSACKRecv TCPAbortOnData TCPAbortOnClose TCPAbortOnTimeout\n");
    const u64 v[] = {t.syncookies_sent, t.syncookies_recv, t.syncookies_failed, t.listen_overflows,
                     t.listen_drops,    t.timewaited,      t.timewait_recycled, t.delayed_acks,
                     t.paws_dropped,    t.timeouts,        t.loss_probes,       t.fast_retrans,
                     t.spurious_rtos,   t.ooo_queued,      t.ooo_dropped,       t.challenge_acks,
                     t.dsacks_sent,     t.dsacks_recv,     t.abort_on_data,     t.abort_on_close,
                     t.abort_on_timeout};
    text_add(out, "TcpExt:");
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        text_add(out, " %lu", (unsigned long)v[i]);
    text_add(out, "\n");
    return 0;
}

/* Sockets of a table by family. */
struct tally {
    u32 nr[2], waiting;
};

static int tally_tcp(const struct tcp_entry *e, void *arg)
{
    struct tally *t = arg;

    t->nr[e->ipv6_socket] += e->sock != NULL;
    t->waiting += e->state == TCP_TIME_WAIT;
    return 0;
}

static int tally_udp(const struct udp_entry *e, void *arg)
{
    struct tally *t = arg;

    t->nr[e->ipv6_socket]++;
    return 0;
}

int proc_net_show_sockstat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct tally tcp = {0}, udp = {0};
    struct tcp_stats t;

    net_init();
    tcp_for_each(tally_tcp, &tcp);
    udp_for_each(tally_udp, &udp);
    tcp_get_stats(&t);
    u32 all = tcp.nr[0] + tcp.nr[1] + udp.nr[0] + udp.nr[1] + unix_count();
    text_add(out, "sockets: used %u\nTCP: inuse %u orphan 0 tw %u alloc %u mem %lu\n", all,
             tcp.nr[0], tcp.waiting, tcp.nr[0] + tcp.nr[1],
             (unsigned long)(t.memory >> PAGE_SHIFT));
    text_add(out, "UDP: inuse %u mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
             udp.nr[0]);
    return 0;
}

int proc_net_show_sockstat6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct tally tcp = {0}, udp = {0};

    net_init();
    tcp_for_each(tally_tcp, &tcp);
    udp_for_each(tally_udp, &udp);
    text_add(out,
             "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse 0\n"
             "FRAG6: inuse 0 memory 0\n",
             tcp.nr[1], udp.nr[1]);
    return 0;
}
