/* The requests of netdevice(7) and rt(7) that change an interface or a route of IPv4, as
 * ifconfig(8), route(8) and DHCP clients make them. ip(8) uses netlink. */
#include "abi/capability.h"
#include "abi/errno.h"
#include "lib/string.h"
#include "net/ip.h"
#include "sys/socket_file.h"

static const struct netif_addr *first_ipv4(const struct netif *netif)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (netif->addrs[i].addr.family == ADDR_INET)
            return &netif->addrs[i];
    return NULL;
}

/* RFC 791's classes: who sets an address says its mask with a second request. */
static u8 class_prefix(const u8 bytes[4])
{
    return bytes[0] < 128 ? 8 : bytes[0] < 192 ? 16 : 24;
}

/* A mask as its number of bits; negative: it has holes. */
static int prefix_of(const u8 bytes[4])
{
    u32 mask = (u32)bytes[0] << 24 | (u32)bytes[1] << 16 | (u32)bytes[2] << 8 | bytes[3];
    int prefix = mask == UINT32_MAX ? 32 : __builtin_clz(~mask);

    return (u64)mask << prefix & UINT32_MAX ? -1 : prefix;
}

static struct ip_addr addr_of(const struct sockaddr_in_abi *from)
{
    u32 raw;

    memcpy(&raw, from->addr, sizeof(raw));
    return addr_from_v4(raw);
}

/* In place of its first address; 0.0.0.0: none. */
static int set_addr(struct netif *netif, const struct ip_addr *addr, u8 prefix)
{
    const struct netif_addr *first = first_ipv4(netif);

    if (addr_is_multicast(addr) || addr_v4(addr) == UINT32_MAX)
        return -EINVAL;
    if (first) {
        struct ip_addr old = first->addr;
        (void)netif_remove_addr(netif, &old); /* gone already is as good */
    }
    return addr_is_any(addr) ? 0 : netif_add_addr(netif, addr, prefix);
}

static int set_mask(struct netif *netif, const struct sockaddr_in_abi *mask)
{
    const struct netif_addr *first = first_ipv4(netif);
    int prefix = prefix_of(mask->addr);

    if (!first)
        return -EADDRNOTAVAIL;
    if (prefix < 0)
        return -EINVAL;
    struct ip_addr addr = first->addr;
    return first->prefix == prefix ? 0 : set_addr(netif, &addr, (u8)prefix);
}

static int change(struct netif *netif, const struct ifreq_abi *req, unsigned cmd)
{
    struct ip_addr addr = addr_of(&req->addr);
    bool v4 = req->addr.family == AF_INET;

    switch (cmd) {
    case SIOCSIFADDR:
        return v4 ? set_addr(netif, &addr, class_prefix(req->addr.addr)) : -EINVAL;
    case SIOCSIFNETMASK:
        return v4 ? set_mask(netif, &req->addr) : -EINVAL;
    case SIOCSIFBRDADDR:
        return 0; /* it follows from address and mask */
    case SIOCSIFFLAGS:
        netif_set_up(netif, req->flags & IFF_UP);
        return 0;
    default: /* SIOCSIFMTU */
        return req->value < 0 ? -EINVAL : netif_set_mtu(netif, (u32)req->value);
    }
}

static int change_interface(unsigned cmd, uaddr_t arg)
{
    struct ifreq_abi req;

    if (copy_from_user(&req, arg, sizeof(req)))
        return -EFAULT;
    req.name[IFNAMSIZ - 1] = 0;
    net_init();
    struct netif *netif = netif_by_name(req.name);
    return netif ? change(netif, &req, cmd) : -ENODEV;
}

static int read_route(const struct rtentry_abi *rt, struct route_entry *line)
{
    int prefix = rt->flags & RTF_HOST ? 32 : prefix_of(rt->mask.addr);

    if (rt->dst.family != AF_INET || prefix < 0)
        return -EINVAL;
    line->dst = addr_of(&rt->dst);
    line->prefix = (u8)prefix;
    line->metric = rt->metric > 0 ? (u32)rt->metric - 1 : 0; /* it counts from 1 */
    if (rt->flags & RTF_GATEWAY)
        line->gateway = addr_of(&rt->gateway);
    if (!rt->dev)
        return 0;
    char name[IFNAMSIZ];
    ssize_t n = strncpy_from_user(name, rt->dev, sizeof(name));
    if (n < 0)
        return (int)n;
    line->netif = netif_by_name(name);
    return line->netif ? 0 : -ENODEV;
}

static int change_route(unsigned cmd, uaddr_t arg)
{
    struct rtentry_abi rt;
    struct route_entry line = {0};

    if (copy_from_user(&rt, arg, sizeof(rt)))
        return -EFAULT;
    net_init();
    int err = read_route(&rt, &line);
    if (err)
        return err;
    if (cmd == SIOCDELRT)
        return route_remove(&line);
    if (!line.netif && line.gateway.family)
        line.netif = route_link_of(&line.gateway);
    return line.netif ? route_add(&line) : line.gateway.family ? -ENETUNREACH : -ENODEV;
}

int socket_ioctl_set(const struct socket *sock, unsigned cmd, uaddr_t arg)
{
    bool route = cmd == SIOCADDRT || cmd == SIOCDELRT;

    if (!capable(CAP_NET_ADMIN))
        return -EPERM;
    if (sock->family == AF_INET6 && (route || cmd == SIOCSIFADDR))
        return -EOPNOTSUPP; /* other structures: netlink has all of it */
    return route ? change_route(cmd, arg) : change_interface(cmd, arg);
}
