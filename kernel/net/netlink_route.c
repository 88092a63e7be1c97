/* NETLINK_ROUTE: what getifaddrs(3), if_nameindex(3) and ip(8) ask.  Links, addresses, routes and
 * neighbours are listed here, and told of when they change; netlink_change.c changes them.
 * rtnetlink(7). */
#include "core/time.h"
#include "lib/string.h"
#include "net/ip.h"
#include "net/neigh.h"
#include "net/netlink.h"

/* What a walk carries along. */
struct walk {
    struct nl_reply *reply;
    u8 family;        /* 0: any */
    u32 index;        /* 0: any */
    const char *name; /* NULL: any */
    u32 shown;
};

static u32 addr_len(const struct ip_addr *addr)
{
    return addr->family == ADDR_INET ? 4 : 16;
}

static void put_addr(struct nl_reply *r, u16 type, const struct ip_addr *addr)
{
    u32 len = addr_len(addr);

    nl_attr(r, type, addr->bytes + 16 - len, len);
}

/* ---- links ---- */

static void put_stats(struct nl_reply *r, const struct netif_stats *s)
{
    u64 v[IF_STATS64_WORDS] = {s->rx_packets, s->tx_packets, s->rx_bytes,   s->tx_bytes,
                               s->rx_errors,  s->tx_errors,  s->rx_dropped, s->tx_dropped};

    nl_attr(r, IFLA_STATS64, v, sizeof(v));
}

static void put_link(struct nl_reply *r, struct netif *netif)
{
    static const u8 broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, zero[6];
    bool loopback = netif->flags & NETIF_LOOPBACK, up = netif->flags & NETIF_UP;
    struct ifinfomsg_abi msg = {.type = loopback ? ARPHRD_LOOPBACK : ARPHRD_ETHER,
                                .index = (s32)netif->index,
                                .flags = netif_abi_flags(netif)};
    u8 state = loopback ? IF_OPER_UNKNOWN : up ? IF_OPER_UP : IF_OPER_DOWN, mode = 0;
    nl_begin(r, RTM_NEWLINK, &msg, sizeof(msg));
    nl_attr(r, IFLA_IFNAME, netif->name, (u32)strlen(netif->name) + 1);
    nl_attr_u32(r, IFLA_TXQLEN, 1000);
    nl_attr(r, IFLA_OPERSTATE, &state, 1);
    nl_attr(r, IFLA_LINKMODE, &mode, 1);
    nl_attr_u32(r, IFLA_MTU, netif->mtu);
    nl_attr_u32(r, IFLA_GROUP, 0);
    nl_attr(r, IFLA_CARRIER, up ? "\1" : "\0", 1);
    nl_attr(r, IFLA_QDISC, "noqueue", 8);
    nl_attr(r, IFLA_ADDRESS, netif->mac, sizeof(netif->mac));
    nl_attr(r, IFLA_BROADCAST, loopback ? zero : broadcast, sizeof(broadcast));
    struct netif_stats stats = netif_sum_stats(netif);
    put_stats(r, &stats);
    nl_end(r);
}

static int show_link(struct netif *netif, void *arg)
{
    struct walk *w = arg;

    if ((w->index && w->index != netif->index) || (w->name && strcmp(w->name, netif->name)))
        return 0;
    put_link(w->reply, netif);
    w->shown++;
    return 0;
}

static int get_links(const struct nl_request *q, struct nl_reply *r)
{
    struct walk w = {.reply = r};
    struct ifinfomsg_abi msg;
    char name[IFNAMSIZ] = "";

    nl_get_header(q, &msg, sizeof(msg));
    if (r->flags & NLM_F_MULTI)
        return netif_for_each(show_link, &w);
    const char *wanted = nl_find(q, sizeof(msg), IFLA_IFNAME, 1);
    if (wanted) {
        u32 room = (u32)(q->body + q->body_len - (const u8 *)wanted);
        memcpy(name, wanted, min(room, (u32)sizeof(name) - 1));
        w.name = name;
    }
    w.index = (u32)msg.index;
    if (!w.name && !w.index)
        return -EINVAL;
    netif_for_each(show_link, &w);
    return w.shown ? 0 : -ENODEV;
}

/* ---- addresses ---- */

static u8 scope_of(const struct ip_addr *addr)
{
    if (addr_is_loopback(addr))
        return RT_SCOPE_HOST;
    return addr_is_link_local(addr) && addr->family == ADDR_INET6 ? RT_SCOPE_LINK
                                                                  : RT_SCOPE_UNIVERSE;
}

static void put_broadcast(struct nl_reply *r, const struct netif_addr *a)
{
    u32 mask = a->prefix ? ~0u << (32 - a->prefix) : 0;
    u32 all = addr_v4(&a->addr) | __builtin_bswap32(~mask);

    nl_attr_u32(r, IFA_BROADCAST, all);
}

/* Seconds from now; ~0: for ever. */
static u32 seconds_until(u64 end_ns)
{
    u64 now = time_ns();

    if (end_ns == TIME_NEVER)
        return UINT32_MAX;
    return end_ns > now ? (u32)((end_ns - now) / NSEC_PER_SEC) : 0;
}

u32 netif_addr_abi_flags(const struct netif_addr *line)
{
    u32 flags = line->flags & ADDR_DYNAMIC ? 0 : IFA_F_PERMANENT;

    if (line->flags & ADDR_TENTATIVE)
        flags |= IFA_F_TENTATIVE | IFA_F_OPTIMISTIC;
    return flags | (line->flags & ADDR_DEPRECATED ? IFA_F_DEPRECATED : 0);
}

static void put_netif_addr(struct nl_reply *r, u16 type, const struct netif *netif,
                           const struct netif_addr *a)
{
    struct ifa_cacheinfo_abi lives = {
        .preferred = a->flags & ADDR_DEPRECATED ? 0 : seconds_until(a->preferred_ns),
        .valid = seconds_until(a->valid_ns)};
    u32 flags = netif_addr_abi_flags(a);
    struct ifaddrmsg_abi msg = {.family = (u8)a->addr.family,
                                .prefix = a->prefix,
                                .flags = (u8)flags,
                                .scope = scope_of(&a->addr),
                                .index = netif->index};

    nl_begin(r, type, &msg, sizeof(msg));
    put_addr(r, IFA_ADDRESS, &a->addr);
    if (a->addr.family == ADDR_INET) {
        put_addr(r, IFA_LOCAL, &a->addr);
        if (!(netif->flags & NETIF_LOOPBACK))
            put_broadcast(r, a);
        nl_attr(r, IFA_LABEL, netif->name, (u32)strlen(netif->name) + 1);
    }
    nl_attr_u32(r, IFA_FLAGS, flags);
    nl_attr(r, IFA_CACHEINFO, &lives, sizeof(lives));
    nl_end(r);
}

static int show_addrs(struct netif *netif, void *arg)
{
    struct walk *w = arg;

    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        struct netif_addr a = netif->addrs[i];
        if (a.addr.family && (!w->family || w->family == a.addr.family) &&
            (!w->index || w->index == netif->index))
            put_netif_addr(w->reply, RTM_NEWADDR, netif, &a);
    }
    return 0;
}

static int get_addrs(const struct nl_request *q, struct nl_reply *r)
{
    struct ifaddrmsg_abi msg;

    nl_get_header(q, &msg, sizeof(msg));
    struct walk w = {.reply = r, .family = msg.family, .index = msg.index};
    return netif_for_each(show_addrs, &w);
}

/* ---- routes ---- */

static u8 protocol_of(const struct route_entry *line)
{
    if (!line->gateway.family)
        return RTPROT_KERNEL;
    return addr_is_link_local(&line->gateway) && line->dst.family == ADDR_INET6 ? RTPROT_RA
                                                                                : RTPROT_BOOT;
}

/* The address of ours in the network of @line, for which it was made. */
static const struct ip_addr *own_address(const struct route_entry *line)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++) {
        const struct ip_addr *addr = &line->netif->addrs[i].addr;
        if (addr->family == line->dst.family && addr_in_prefix(addr, &line->dst, line->prefix))
            return addr;
    }
    return NULL;
}

static void put_route(struct nl_reply *r, u16 type, const struct route_entry *line)
{
    bool via = line->gateway.family;
    const struct ip_addr *own = via || line->dst.family == ADDR_INET6 ? NULL : own_address(line);
    struct rtmsg_abi msg = {.family = (u8)line->dst.family,
                            .dst_len = line->prefix,
                            .table = RT_TABLE_MAIN,
                            .protocol = protocol_of(line),
                            .scope = via || line->dst.family == ADDR_INET6 ? RT_SCOPE_UNIVERSE
                                                                           : RT_SCOPE_LINK,
                            .type = RTN_UNICAST};

    nl_begin(r, type, &msg, sizeof(msg));
    nl_attr_u32(r, RTA_TABLE, RT_TABLE_MAIN);
    if (line->prefix)
        put_addr(r, RTA_DST, &line->dst);
    if (via)
        put_addr(r, RTA_GATEWAY, &line->gateway);
    if (own)
        put_addr(r, RTA_PREFSRC, own);
    if (line->metric)
        nl_attr_u32(r, RTA_PRIORITY, line->metric);
    nl_attr_u32(r, RTA_OIF, line->netif->index);
    nl_end(r);
}

/* `ip route get`: the way to one address. */
static int find_one(const struct nl_request *q, struct nl_reply *r, const struct rtmsg_abi *asked)
{
    struct ip_addr dst;
    struct route route;

    if (!nl_get_addr(q, sizeof(*asked), RTA_DST, asked->family, &dst))
        return -EINVAL;
    int err = route_find(&dst, NULL, 0, &route);
    if (err)
        return err;
    struct rtmsg_abi msg = {.family = asked->family,
                            .dst_len = (u8)addr_bits(&dst),
                            .table = RT_TABLE_MAIN,
                            .type = ip_is_local(&dst) ? RTN_LOCAL : RTN_UNICAST,
                            .flags = RTM_F_CLONED};
    nl_begin(r, RTM_NEWROUTE, &msg, sizeof(msg));
    nl_attr_u32(r, RTA_TABLE, RT_TABLE_MAIN);
    put_addr(r, RTA_DST, &dst);
    if (route.next.family)
        put_addr(r, RTA_GATEWAY, &route.next);
    nl_attr_u32(r, RTA_OIF, route.netif->index);
    if (route.source.family)
        put_addr(r, RTA_PREFSRC, &route.source);
    nl_attr_u32(r, RTA_UID, 0);
    nl_end(r);
    return 0;
}

static int get_routes(const struct nl_request *q, struct nl_reply *r)
{
    struct route_entry line;
    struct rtmsg_abi msg;

    nl_get_header(q, &msg, sizeof(msg));
    if (!(r->flags & NLM_F_MULTI))
        return find_one(q, r, &msg);
    for (u32 whole = 0; whole < 2; whole++) /* default routes come first, as on Linux */
        for (u32 i = 0; route_get(i, &line); i++)
            if ((!msg.family || msg.family == line.dst.family) &&
                !(line.netif->flags & NETIF_LOOPBACK) && !line.prefix == !whole)
                put_route(r, RTM_NEWROUTE, &line);
    return 0;
}

/* ---- neighbours ---- */

static void put_neighbour(struct nl_reply *r, u16 type, const struct neigh_info *n)
{
    struct ndmsg_abi msg = {.family = (u8)n->addr.family,
                            .index = (s32)n->netif->index,
                            .state = n->state,
                            .type = RTN_UNICAST};

    nl_begin(r, type, &msg, sizeof(msg));
    put_addr(r, NDA_DST, &n->addr);
    if (n->state & (NUD_PERMANENT | NUD_REACHABLE | NUD_STALE | NUD_PROBE))
        nl_attr(r, NDA_LLADDR, n->mac, sizeof(n->mac));
    nl_end(r);
}

static int get_neighbours(const struct nl_request *q, struct nl_reply *r)
{
    struct ndmsg_abi asked;
    struct neigh_info n;

    nl_get_header(q, &asked, sizeof(asked));
    for (u32 i = 0; neigh_get_entry(i, &n); i++)
        if (!asked.family || asked.family == n.addr.family)
            put_neighbour(r, RTM_NEWNEIGH, &n);
    return 0;
}

int rtnetlink_request(const struct nl_request *q, struct nl_reply *r)
{
    switch (q->head->type) {
    case RTM_GETLINK:
        return get_links(q, r);
    case RTM_GETADDR:
        return get_addrs(q, r);
    case RTM_GETROUTE:
        return get_routes(q, r);
    case RTM_GETNEIGH:
        return get_neighbours(q, r);
    case RTM_GETRULE:
        return 0; /* there are none */
    default:
        return rtnetlink_change(q);
    }
}

/* ---- notices ---- */

static void fill_link(struct nl_reply *r, const void *arg)
{
    put_link(r, *(struct netif *const *)arg);
}

void rtnetlink_tell_link(struct netif *netif)
{
    netlink_notify(RTNLGRP_LINK, fill_link, &netif);
}

struct addr_notice {
    struct netif *netif;
    struct netif_addr addr;
    bool added;
};

static void fill_addr(struct nl_reply *r, const void *arg)
{
    const struct addr_notice *n = arg;

    put_netif_addr(r, n->added ? RTM_NEWADDR : RTM_DELADDR, n->netif, &n->addr);
}

void rtnetlink_tell_addr(struct netif *netif, const struct netif_addr *line, bool added)
{
    struct addr_notice n = {netif, *line, added};

    netlink_notify(line->addr.family == ADDR_INET ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR,
                   fill_addr, &n);
}

struct route_notice {
    const struct route_entry *line;
    bool added;
};

static void fill_route(struct nl_reply *r, const void *arg)
{
    const struct route_notice *n = arg;

    put_route(r, n->added ? RTM_NEWROUTE : RTM_DELROUTE, n->line);
}

void rtnetlink_tell_route(const struct route_entry *line, bool added)
{
    struct route_notice n = {line, added};

    netlink_notify(line->dst.family == ADDR_INET ? RTNLGRP_IPV4_ROUTE : RTNLGRP_IPV6_ROUTE,
                   fill_route, &n);
}

struct neigh_notice {
    const struct neigh_info *neigh;
    bool added;
};

static void fill_neigh(struct nl_reply *r, const void *arg)
{
    const struct neigh_notice *n = arg;

    put_neighbour(r, n->added ? RTM_NEWNEIGH : RTM_DELNEIGH, n->neigh);
}

void rtnetlink_tell_neigh(const struct neigh_info *neigh, bool added)
{
    struct neigh_notice n = {neigh, added};

    netlink_notify(RTNLGRP_NEIGH, fill_neigh, &n);
}
