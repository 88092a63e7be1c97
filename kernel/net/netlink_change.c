/* NETLINK_ROUTE: what ip(8) and network managers change: links, addresses, routes, neighbours.
 * rtnetlink(7). A link that is down keeps its addresses and routes; they are not used meanwhile. */
#include "abi/capability.h"
#include "abi/errno.h"
#include "core/time.h"
#include "lib/string.h"
#include "net/ip.h"
#include "net/neigh.h"
#include "net/netlink.h"
#include "sched/thread.h"

void nl_get_header(const struct nl_request *q, void *header, u32 len)
{
    memset(header, 0, len);
    memcpy(header, q->body, min(len, q->body_len));
}

bool nl_get_addr(const struct nl_request *q, u32 header, u16 type, u8 family, struct ip_addr *out)
{
    u32 len = family == AF_INET ? 4 : 16;
    const void *bytes = nl_find(q, header, type, len);
    u32 v4;

    if (!bytes)
        return false;
    if (family == AF_INET) {
        memcpy(&v4, bytes, sizeof(v4));
        *out = addr_from_v4(v4);
    } else {
        *out = addr_from_v6(bytes);
    }
    return true;
}

/* An attribute that is a number; @none where it is not there. */
static u32 get_u32(const struct nl_request *q, u32 header, u16 type, u32 none)
{
    const void *value = nl_find(q, header, type, sizeof(u32));
    u32 number = none;

    if (value)
        memcpy(&number, value, sizeof(number));
    return number;
}

/* `ip link set`: another MTU, up or down. */
static int change_link(const struct nl_request *q)
{
    struct ifinfomsg_abi msg;

    if (q->body_len < sizeof(msg))
        return -EINVAL;
    nl_get_header(q, &msg, sizeof(msg));
    const char *name = nl_find(q, sizeof(msg), IFLA_IFNAME, 1);
    u32 room = name ? (u32)(q->body + q->body_len - (const u8 *)name) : 0;
    struct netif *netif = msg.index > 0                   ? netif_by_index((u32)msg.index)
                          : room && memchr(name, 0, room) ? netif_by_name(name)
                                                          : NULL;
    if (!netif)
        return -ENODEV;
    u32 mtu = get_u32(q, sizeof(msg), IFLA_MTU, netif->mtu);
    int err = mtu == netif->mtu ? 0 : netif_set_mtu(netif, mtu);
    /* Programs older than .change leave it zero and mean all flags. */
    if (!err && (msg.change ? msg.change : msg.flags) & IFF_UP)
        netif_set_up(netif, msg.flags & IFF_UP);
    return err;
}

/* Seconds as an attribute has them. */
static u64 end_of(u32 seconds)
{
    return seconds == UINT32_MAX ? TIME_NEVER : time_after_ns(seconds * NSEC_PER_SEC);
}

static int add_addr(const struct nl_request *q, struct netif *netif, const struct ip_addr *addr,
                    const struct ifaddrmsg_abi *msg)
{
    struct ifa_cacheinfo_abi lives = {.preferred = UINT32_MAX, .valid = UINT32_MAX};
    const void *given = nl_find(q, sizeof(*msg), IFA_CACHEINFO, sizeof(lives));
    u32 flags = get_u32(q, sizeof(*msg), IFA_FLAGS, msg->flags);

    if (given)
        memcpy(&lives, given, sizeof(lives));
    if (!lives.valid || lives.preferred > lives.valid)
        return -EINVAL;
    struct netif_addr line = {.addr = *addr,
                              .prefix = msg->prefix,
                              .flags = (u8)((flags & IFA_F_NODAD ? 0 : ADDR_TENTATIVE) |
                                            (lives.valid == UINT32_MAX ? 0 : ADDR_DYNAMIC)),
                              .preferred_ns = end_of(lives.preferred),
                              .valid_ns = end_of(lives.valid)};
    int err = netif_add_addr_for(netif, &line);
    if (err != -EEXIST || q->head->flags & NLM_F_EXCL || !(q->head->flags & NLM_F_REPLACE))
        return err;
    line.flags &= (u8)~ADDR_TENTATIVE;
    return netif_change_addr(netif, &line);
}

static int change_addr(const struct nl_request *q, bool add)
{
    struct ifaddrmsg_abi msg;
    struct ip_addr addr;

    if (q->body_len < sizeof(msg))
        return -EINVAL;
    nl_get_header(q, &msg, sizeof(msg));
    struct netif *netif = netif_by_index(msg.index);
    if (!netif)
        return -ENODEV;
    if (msg.family != AF_INET && msg.family != AF_INET6)
        return -EOPNOTSUPP;
    if (!nl_get_addr(q, sizeof(msg), IFA_LOCAL, msg.family, &addr) &&
        !nl_get_addr(q, sizeof(msg), IFA_ADDRESS, msg.family, &addr))
        return -EINVAL;
    if (msg.prefix > addr_bits(&addr))
        return -EINVAL;
    return add ? add_addr(q, netif, &addr, &msg) : netif_remove_addr(netif, &addr);
}

/* The destination, way and metric that a request names. 0 or a negative errno. */
static int read_route(const struct nl_request *q, struct route_entry *line)
{
    struct rtmsg_abi msg;

    if (q->body_len < sizeof(msg))
        return -EINVAL;
    nl_get_header(q, &msg, sizeof(msg));
    if (msg.family != AF_INET && msg.family != AF_INET6)
        return -EAFNOSUPPORT;
    if (msg.src_len || (msg.type && msg.type != RTN_UNICAST))
        return -EOPNOTSUPP;
    line->dst = msg.family == AF_INET ? addr_from_v4(0) : (struct ip_addr){.family = ADDR_INET6};
    line->prefix = msg.dst_len;
    if (msg.dst_len > addr_bits(&line->dst))
        return -EINVAL;
    if (msg.dst_len && !nl_get_addr(q, sizeof(msg), RTA_DST, msg.family, &line->dst))
        return -EINVAL;
    (void)nl_get_addr(q, sizeof(msg), RTA_GATEWAY, msg.family, &line->gateway); /* may be none */
    line->metric = get_u32(q, sizeof(msg), RTA_PRIORITY, 0);
    u32 index = get_u32(q, sizeof(msg), RTA_OIF, 0);
    line->netif = index ? netif_by_index(index) : NULL;
    return index && !line->netif ? -ENODEV : 0;
}

static int remove_route(const struct nl_request *q)
{
    struct route_entry line = {0};
    int err = read_route(q, &line);

    return err ? err : route_remove(&line);
}

static int add_route(const struct nl_request *q)
{
    enum { METRIC6 = 1024 }; /* IP6_RT_PRIO_USER */
    struct route_entry line = {0}, other;
    u16 flags = q->head->flags;
    int err = read_route(q, &line);
    if (err)
        return err;

    if (line.dst.family == ADDR_INET6 && !line.metric)
        line.metric = METRIC6;
    if (!line.netif && line.gateway.family)
        line.netif = route_link_of(&line.gateway);
    if (!line.netif)
        return line.gateway.family ? -ENETUNREACH : -ENODEV;
    if (!(flags & NLM_F_APPEND) && route_get_same(&line, &other)) {
        if (flags & NLM_F_EXCL)
            return -EEXIST;
        if (flags & NLM_F_REPLACE)
            (void)route_remove(&other); /* the program's other thread was quicker */
    }
    return route_add(&line);
}

/* `ip neigh`: a fixed address, or an end to what is known. */
static int change_neighbour(const struct nl_request *q, bool add)
{
    struct ndmsg_abi msg;
    struct ip_addr addr;
    u16 flags = q->head->flags;

    if (q->body_len < sizeof(msg))
        return -EINVAL;
    nl_get_header(q, &msg, sizeof(msg));
    struct netif *netif = netif_by_index((u32)msg.index);
    if (!netif)
        return -ENODEV;
    if (msg.family != AF_INET && msg.family != AF_INET6)
        return -EAFNOSUPPORT;
    if (!nl_get_addr(q, sizeof(msg), NDA_DST, msg.family, &addr) || netif->flags & NETIF_LOOPBACK)
        return -EINVAL;
    const u8 *mac = nl_find(q, sizeof(msg), NDA_LLADDR, 6);
    if (!add)
        return neigh_remove(netif, &addr);
    if (!mac)
        return -EINVAL;
    enum neigh_how how = flags & NLM_F_EXCL     ? NEIGH_IF_NEW
                         : flags & NLM_F_CREATE ? NEIGH_ANYWAY
                                                : NEIGH_IF_THERE;
    return neigh_set(netif, &addr, mac, msg.state & NUD_PERMANENT, how);
}

static int change(const struct nl_request *q)
{
    switch (q->head->type) {
    case RTM_NEWLINK:
    case RTM_SETLINK:
        return change_link(q);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return change_addr(q, q->head->type == RTM_NEWADDR);
    case RTM_NEWROUTE:
        return add_route(q);
    case RTM_DELROUTE:
        return remove_route(q);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        return change_neighbour(q, q->head->type == RTM_NEWNEIGH);
    default:
        return -EOPNOTSUPP;
    }
}

int rtnetlink_change(const struct nl_request *q)
{
    return capable(CAP_NET_ADMIN) ? change(q) : -EPERM;
}
