/* /proc/net: counters of IP, ICMP, UDP and TCP. */
#include "fs/proc_net.h"
#include "net/ip.h"
#include "net/stats.h"
#include "net/tcp.h"

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

/* Packets by CPU, then what we have none of but the CPU's number. */
int proc_net_show_softnet(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        for (u32 column = 0; column < 15; column++)
            text_add(out, column < 14 ? "%08x " : "%08x\n",
                     column == 0    ? (u32)(net_counters[cpu].ip_in_receives +
                                         net_counters[cpu].ip6_in_receives)
                     : column == 12 ? cpu
                                    : 0);
    return 0;
}

/* Lines of snmp6 and where their counters are. */
#define AT(field) offsetof(struct net_counters, field)
static const struct {
    const char *name;
    size_t at;
} snmp6_lines[] = {
    {"Ip6InReceives", AT(ip6_in_receives)},
    {"Ip6InHdrErrors", AT(ip6_in_hdr_errors)},
    {"Ip6InAddrErrors", AT(ip6_in_addr_errors)},
    {"Ip6InUnknownProtos", AT(ip6_in_unknown_protos)},
    {"Ip6InTruncatedPkts", AT(ip6_in_truncated)},
    {"Ip6InDiscards", AT(ip6_in_discards)},
    {"Ip6InDelivers", AT(ip6_in_delivers)},
    {"Ip6OutRequests", AT(ip6_out_requests)},
    {"Ip6OutDiscards", AT(ip6_out_discards)},
    {"Ip6OutNoRoutes", AT(ip6_out_no_routes)},
    {"Ip6ReasmTimeout", AT(ip6_reasm_timeout)},
    {"Ip6ReasmReqds", AT(ip6_reasm_reqds)},
    {"Ip6ReasmOKs", AT(ip6_reasm_oks)},
    {"Ip6ReasmFails", AT(ip6_reasm_fails)},
    {"Ip6FragOKs", AT(ip6_frag_oks)},
    {"Ip6FragFails", AT(ip6_frag_fails)},
    {"Ip6FragCreates", AT(ip6_frag_creates)},
    {"Icmp6InMsgs", AT(icmp6_in_msgs)},
    {"Icmp6InErrors", AT(icmp6_in_errors)},
    {"Icmp6OutMsgs", AT(icmp6_out_msgs)},
    {"Icmp6OutErrors", AT(icmp6_out_errors)},
    {"Icmp6InCsumErrors", AT(icmp6_in_csum_errors)},
    {"Icmp6InDestUnreachs", AT(icmp6_in_unreachs)},
    {"Icmp6InPktTooBigs", AT(icmp6_in_too_bigs)},
    {"Icmp6InEchos", AT(icmp6_in_echos)},
    {"Icmp6InEchoReplies", AT(icmp6_in_echo_reps)},
    {"Icmp6InNeighborMsgs", AT(icmp6_in_neighbors)},
    {"Icmp6OutEchoReplies", AT(icmp6_out_echo_reps)},
};
#undef AT

int proc_net_show_snmp6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct net_counters c;

    net_counters_sum(&c);
    for (size_t i = 0; i < ARRAY_LEN(snmp6_lines); i++) {
        const u64 *value = (const void *)((const u8 *)&c + snmp6_lines[i].at);
        text_add(out, "%-32s\t%lu\n", snmp6_lines[i].name, (unsigned long)*value);
    }
    return 0;
}
