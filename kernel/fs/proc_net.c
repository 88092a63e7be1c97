/* /proc/net: interfaces, their addresses, routes, neighbours. */
#include "fs/proc_net.h"

#include "abi/netlink.h"
#include "abi/socket.h"
#include "net/ip.h"
#include "net/neigh.h"
#include "net/netif.h"

static int add_device(struct netif *netif, void *arg)
{
    struct netif_stats all = netif_sum_stats(netif), *s = &all;
    struct text *out = arg;

    text_add(out, "%6s: %7lu %7lu %4lu %4lu %4d %5d %10d %9d ", netif->name,
             (unsigned long)s->rx_bytes, (unsigned long)s->rx_packets, (unsigned long)s->rx_errors,
             (unsigned long)s->rx_dropped, 0, 0, 0, 0);
    text_add(out, "%8lu %7lu %4lu %4lu %4d %5d %7d %10d\n", (unsigned long)s->tx_bytes,
             (unsigned long)s->tx_packets, (unsigned long)s->tx_errors,
             (unsigned long)s->tx_dropped, 0, 0, 0, 0);
    return 0;
}

static int show_dev(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "Inter-|   Receive                                                |  Transmit\n"
                  " face |bytes    packets errs drop fifo frame compressed multicast|"
                  "bytes    packets errs drop fifo colls carrier compressed\n");
    net_init();
    return netif_for_each(add_device, out);
}

static u32 route_flags(const struct route_entry *line)
{
    return RTF_UP | (line->gateway.family ? RTF_GATEWAY : 0u) |
           (line->prefix == addr_bits(&line->dst) ? RTF_HOST : 0u);
}

/* Loopback's are in a table of their own on Linux. */
static bool is_shown(const struct route_entry *line, u16 family)
{
    return line->dst.family == family && !(line->netif->flags & NETIF_LOOPBACK);
}

static int show_route(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct route_entry line;

    text_add(out, "%-127s\n",
             "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT");
    for (u32 i = 0; route_get(i, &line); i++) {
        if (!is_shown(&line, ADDR_INET))
            continue;
        u32 mask = line.prefix ? ~0u << (32 - line.prefix) : 0;
        text_add(out, "%s\t%08X\t%08X\t%04X\t0\t0\t%u\t%08X\t0\t0\t0\n", line.netif->name,
                 addr_v4(&line.dst), line.gateway.family ? addr_v4(&line.gateway) : 0,
                 route_flags(&line), line.metric, __builtin_bswap32(mask));
    }
    return 0;
}

static void add_hex(struct text *out, const struct ip_addr *addr)
{
    for (u32 i = 0; i < 16; i++)
        text_add(out, "%02x", addr->family ? addr->bytes[i] : 0);
}

static int show_ipv6_route(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct route_entry line;

    for (u32 i = 0; route_get(i, &line); i++) {
        if (line.dst.family != ADDR_INET6)
            continue;
        add_hex(out, &line.dst);
        text_add(out, " %02x 00000000000000000000000000000000 00 ", line.prefix);
        add_hex(out, &line.gateway);
        text_add(out, " %08x %08x %08x %08x %8s\n", line.metric, 1, 0, route_flags(&line),
                 line.netif->name);
    }
    return 0;
}

static int show_arp(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    char text[ADDR_TEXT_MAX];
    struct neigh_info n;

    net_init();
    text_add(out,
             "IP address       HW type     Flags       HW address            Mask     Device\n");
    for (u32 i = 0; neigh_get_entry(i, &n); i++) {
        if (n.addr.family != ADDR_INET)
            continue;
        u32 flags = neigh_arp_flags(&n);
        text_add(out,
                 "%-16s 0x1         0x%x         %02x:%02x:%02x:%02x:%02x:%02x     *        %s\n",
                 addr_format(&n.addr, text), flags, n.mac[0], n.mac[1], n.mac[2], n.mac[3],
                 n.mac[4], n.mac[5], n.netif->name);
    }
    return 0;
}

enum { SCOPE_HOST = 0x10, SCOPE_LINK = 0x20 };

static int add_ipv6_addrs(struct netif *netif, void *arg)
{
    struct text *out = arg;

    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        const struct ip_addr *addr = &netif->addrs[i].addr;
        if (addr->family != ADDR_INET6)
            continue;
        u32 scope = addr_is_loopback(addr) ? SCOPE_HOST : addr_is_link_local(addr) ? SCOPE_LINK : 0;
        add_hex(out, addr);
        text_add(out, " %02x %02x %02x %02x %8s\n", netif->index, netif->addrs[i].prefix, scope,
                 netif_addr_abi_flags(&netif->addrs[i]), netif->name);
    }
    return 0;
}

static int show_if_inet6(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    net_init();
    return netif_for_each(add_ipv6_addrs, out);
}

static int show_protocols(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "protocol  size sockets  memory press maxhdr\n");
    return 0;
}

const struct pseudo_node proc_net_nodes[PROC_NET_NODES] = {
    PSEUDO_FILE("dev", show_dev),
    PSEUDO_FILE("route", show_route),
    PSEUDO_FILE("ipv6_route", show_ipv6_route),
    PSEUDO_FILE("arp", show_arp),
    PSEUDO_FILE("if_inet6", show_if_inet6),
    PSEUDO_FILE("protocols", show_protocols),
    PSEUDO_FILE("packet", proc_net_show_packet),
    PSEUDO_FILE("raw", proc_net_show_raw),
    PSEUDO_FILE("raw6", proc_net_show_raw6),
    PSEUDO_FILE("icmp", proc_net_show_icmp),
    PSEUDO_FILE("icmp6", proc_net_show_icmp6),
    PSEUDO_FILE("snmp6", proc_net_show_snmp6),
    PSEUDO_FILE("tcp", proc_net_show_tcp),
    PSEUDO_FILE("tcp6", proc_net_show_tcp6),
    PSEUDO_FILE("udp", proc_net_show_udp),
    PSEUDO_FILE("udp6", proc_net_show_udp6),
    PSEUDO_FILE("unix", proc_net_show_unix),
    PSEUDO_FILE("snmp", proc_net_show_snmp),
    PSEUDO_FILE("netstat", proc_net_show_netstat),
    PSEUDO_FILE("softnet_stat", proc_net_show_softnet),
    PSEUDO_FILE("sockstat", proc_net_show_sockstat),
    PSEUDO_FILE("sockstat6", proc_net_show_sockstat6),
};
