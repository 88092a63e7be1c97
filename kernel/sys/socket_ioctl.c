/* ioctl requests of sockets: those about interfaces (netdevice(7)), and the protocol's own. */
#include "lib/string.h"
#include "net/ip.h"
#include "net/neigh.h"
#include "net/netif.h"
#include "sys/socket_file.h"

/* The first IPv4 address of an interface, or NULL. */
static const struct netif_addr *first_ipv4(const struct netif *netif)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (netif->addrs[i].addr.family == ADDR_INET)
            return &netif->addrs[i];
    return NULL;
}

static void put_ipv4(struct ifreq_abi *req, const u8 bytes[4])
{
    memset(req->bytes, 0, sizeof(req->bytes));
    req->addr.family = AF_INET;
    memcpy(req->addr.addr, bytes, 4);
}

static void put_hwaddr(struct ifreq_abi *req, const struct netif *netif)
{
    memset(req->bytes, 0, sizeof(req->bytes));
    req->hwaddr.family = netif->flags & NETIF_LOOPBACK ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
    memcpy(req->hwaddr.bytes, netif->mac, sizeof(netif->mac));
}

/* Address, mask or broadcast address. */
static int put_address(struct ifreq_abi *req, const struct netif *netif, unsigned cmd)
{
    const struct netif_addr *own = first_ipv4(netif);

    if (!own)
        return -EADDRNOTAVAIL;
    u32 mask = own->prefix ? ~0u << (32 - own->prefix) : 0;
    u8 bytes[4];
    for (int i = 0; i < 4; i++) {
        u8 m = (u8)(mask >> (24 - 8 * i)), a = own->addr.bytes[12 + i];
        bytes[i] = cmd == SIOCGIFNETMASK ? m : cmd == SIOCGIFBRDADDR ? (u8)(a | (u8)~m) : a;
    }
    if (cmd == SIOCGIFBRDADDR && netif->flags & NETIF_LOOPBACK)
        memset(bytes, 0, sizeof(bytes));
    put_ipv4(req, bytes);
    return 0;
}

static int answer(struct ifreq_abi *req, struct netif *netif, unsigned cmd)
{
    switch (cmd) {
    case SIOCGIFFLAGS:
        req->flags = (s16)netif_abi_flags(netif);
        return 0;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
        return put_address(req, netif, cmd);
    case SIOCGIFHWADDR:
        put_hwaddr(req, netif);
        return 0;
    case SIOCGIFINDEX:
        req->value = (s32)netif->index;
        return 0;
    case SIOCGIFMTU:
        req->value = (s32)netif->mtu;
        return 0;
    case SIOCGIFMETRIC:
        req->value = 0;
        return 0;
    case SIOCGIFTXQLEN:
        req->value = 1000;
        return 0;
    default: /* SIOCGIFMAP */
        memset(req->bytes, 0, sizeof(req->bytes));
        return 0;
    }
}

static int about_interface(unsigned cmd, uaddr_t arg)
{
    struct ifreq_abi req;

    if (copy_from_user(&req, arg, sizeof(req)))
        return -EFAULT;
    req.name[IFNAMSIZ - 1] = 0;
    net_init(); /* an AF_UNIX socket asks as well */
    struct netif *netif = netif_by_name(req.name);
    int err = netif ? answer(&req, netif, cmd) : -ENODEV;
    return err ? err : copy_to_user(arg, &req, sizeof(req));
}

static int name_of_index(uaddr_t arg)
{
    struct ifreq_abi req;

    if (copy_from_user(&req, arg, sizeof(req)))
        return -EFAULT;
    net_init();
    struct netif *netif = netif_by_index((u32)req.value);
    if (!netif)
        return -ENODEV;
    memcpy(req.name, netif->name, sizeof(req.name));
    return copy_to_user(arg, &req, sizeof(req));
}

/* Where SIOCGIFCONF has got to. */
struct listing {
    uaddr_t to; /* 0: only count */
    s32 room, len;
};

static int list_one(struct netif *netif, void *arg)
{
    struct listing *list = arg;
    struct ifreq_abi req;
    const struct netif_addr *own = first_ipv4(netif);

    if (!own)
        return 0;
    if (list->to && list->room - list->len < (s32)sizeof(req))
        return 1;
    memset(&req, 0, sizeof(req));
    memcpy(req.name, netif->name, sizeof(req.name));
    put_ipv4(&req, own->addr.bytes + 12);
    if (list->to && copy_to_user(list->to + (u64)list->len, &req, sizeof(req)))
        return -EFAULT;
    list->len += (s32)sizeof(req);
    return 0;
}

static int list_interfaces(uaddr_t arg)
{
    struct ifconf_abi conf;

    if (copy_from_user(&conf, arg, sizeof(conf)))
        return -EFAULT;
    net_init();
    struct listing list = {.to = conf.buf, .room = conf.len};
    int err = netif_for_each(list_one, &list);
    if (err < 0)
        return err;
    conf.len = list.len;
    return copy_to_user(arg, &conf, sizeof(conf));
}

/* The hardware address of a neighbour, as far as it is known. */
static int about_neighbour(uaddr_t arg)
{
    struct arpreq_abi req;
    struct neigh_info n;

    if (copy_from_user(&req, arg, sizeof(req)))
        return -EFAULT;
    if (req.addr.family != AF_INET)
        return -EPFNOSUPPORT;
    req.dev[IFNAMSIZ - 1] = 0;
    net_init();
    if (req.dev[0] && !netif_by_name(req.dev))
        return -ENODEV;
    for (u32 i = 0; neigh_get_entry(i, &n); i++) {
        if (n.addr.family != ADDR_INET || memcmp(n.addr.bytes + 12, req.addr.addr, 4) != 0 ||
            (req.dev[0] && strcmp(req.dev, n.netif->name) != 0))
            continue;
        memset(&req.hwaddr, 0, sizeof(req.hwaddr));
        req.hwaddr.family = ARPHRD_ETHER;
        memcpy(req.hwaddr.bytes, n.mac, sizeof(n.mac));
        req.flags = (s32)neigh_arp_flags(&n);
        memset(req.dev, 0, sizeof(req.dev));
        str_copy(req.dev, n.netif->name, sizeof(req.dev));
        return copy_to_user(arg, &req, sizeof(req));
    }
    return -ENXIO;
}

static int get_owner(uaddr_t arg)
{
    int nobody = 0;

    return copy_to_user(arg, &nobody, sizeof(nobody));
}

int socket_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    switch (cmd) {
    case SIOCGIFCONF:
        return list_interfaces(arg);
    case SIOCGIFNAME:
        return name_of_index(arg);
    case SIOCGIFFLAGS:
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
    case SIOCGIFBRDADDR:
    case SIOCGIFNETMASK:
    case SIOCGIFHWADDR:
    case SIOCGIFINDEX:
    case SIOCGIFMTU:
    case SIOCGIFMETRIC:
    case SIOCGIFTXQLEN:
    case SIOCGIFMAP:
        return about_interface(cmd, arg);
    case SIOCSIFFLAGS:
    case SIOCSIFADDR:
    case SIOCSIFBRDADDR:
    case SIOCSIFNETMASK:
    case SIOCSIFMTU:
    case SIOCADDRT:
    case SIOCDELRT:
        return socket_ioctl_set(sock, cmd, arg);
    case FIOSETOWN:
    case SIOCSPGRP:
        return 0; /* remembered nowhere: there is no SIGIO */
    case FIOGETOWN:
    case SIOCGPGRP:
        return get_owner(arg);
    case SIOCGARP:
        return about_neighbour(arg);
    case SIOCETHTOOL:
        return -EOPNOTSUPP;
    default:
        return sock->ops->ioctl ? sock->ops->ioctl(sock, cmd, arg) : -ENOTTY;
    }
}
