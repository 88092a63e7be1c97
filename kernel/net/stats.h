/* Counters of the stack, one set a CPU so that counting is one increment; /proc/net/snmp, snmp6 and
 * netstat print the sums.  Names are those of RFC 4293, 4113 and Linux's snmp file. */
#pragma once

#include "core/percpu.h"

/** u64 only: the sum walks it as an array. [C] each CPU its own. */
struct net_counters {
    u64 ip_in_receives, ip_in_hdr_errors, ip_in_addr_errors, ip_in_unknown_protos, ip_in_discards,
        ip_in_delivers, ip_in_truncated, ip_in_csum_errors, ip_out_requests, ip_out_discards,
        ip_out_no_routes, ip_reasm_timeout, ip_reasm_reqds, ip_reasm_oks, ip_reasm_fails,
        ip_reasm_overlaps, ip_frag_oks, ip_frag_fails, ip_frag_creates;
    u64 ip6_in_receives, ip6_in_hdr_errors, ip6_in_addr_errors, ip6_in_unknown_protos,
        ip6_in_discards, ip6_in_delivers, ip6_in_truncated, ip6_out_requests, ip6_out_discards,
        ip6_out_no_routes, ip6_reasm_timeout, ip6_reasm_reqds, ip6_reasm_oks, ip6_reasm_fails,
        ip6_frag_oks, ip6_frag_fails, ip6_frag_creates;
    u64 icmp_in_msgs, icmp_in_errors, icmp_in_csum_errors, icmp_in_unreachs, icmp_in_time_excds,
        icmp_in_echos, icmp_in_echo_reps, icmp_out_msgs, icmp_out_errors, icmp_out_unreachs,
        icmp_out_time_excds, icmp_out_echos, icmp_out_echo_reps, icmp_out_rate_limited;
    u64 icmp6_in_msgs, icmp6_in_errors, icmp6_in_csum_errors, icmp6_in_unreachs, icmp6_in_too_bigs,
        icmp6_in_echos, icmp6_in_echo_reps, icmp6_in_neighbors, icmp6_out_msgs, icmp6_out_errors,
        icmp6_out_echo_reps;
    u64 udp_in_datagrams, udp_no_ports, udp_in_errors, udp_out_datagrams, udp_rcvbuf_errors,
        udp_sndbuf_errors, udp_in_csum_errors, udp_mem_errors;
    u64 arp_in, arp_in_errors, arp_out, eth_in_errors, eth_in_other_host, eth_in_unknown;
};

/** By CPU; to be counted in with NET_COUNT(). */
extern struct net_counters net_counters[MAX_CPUS];

#define NET_COUNT(field) (net_counters[cpu_id()].field++)

/** The sum over all CPUs, not a snapshot of one moment. */
void net_counters_sum(struct net_counters *out);
