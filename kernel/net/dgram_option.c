/* Options at SOL_IP and SOL_IPV6 of datagram and raw sockets. */
#include "abi/ip_options.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/bpf.h"
#include "net/dgram.h"
#include "net/mcast.h"
#include "net/wire.h"

/* A number as Linux takes it: an int, or one byte. */
static bool get_number(const void *value, u32 len, s32 *out)
{
    *out = 0;
    if (len >= sizeof(*out))
        memcpy(out, value, sizeof(*out));
    else if (len)
        *out = *(const u8 *)value;
    return len > 0;
}

static int set_flag(bool *flag, s32 value)
{
    *flag = value != 0;
    return 0;
}

static int set_ttl(s16 *ttl, s32 value, s32 lowest)
{
    if (value != -1 && (value < lowest || value > 255))
        return -EINVAL;
    *ttl = (s16)value;
    return 0;
}

/* The interface of a request: by number, by an address of ours, or the one there is. */
static struct netif *netif_of(u32 ifindex, const struct ip_addr *address)
{
    if (ifindex)
        return netif_by_index(ifindex);
    if (address && !addr_is_any(address)) {
        for (u32 i = 1; i < 64; i++) {
            struct netif *netif = netif_by_index(i);
            for (u32 a = 0; netif && a < NETIF_ADDRS; a++)
                if (netif->addrs[a].addr.family && addr_equal(&netif->addrs[a].addr, address))
                    return netif;
        }
        return NULL;
    }
    struct netif *netif = netif_default();
    return netif ? netif : netif_by_index(1);
}

static struct dgram_group *find_group(struct dgram *d, const struct ip_addr *addr,
                                      const struct netif *netif)
{
    for (u32 i = 0; i < DGRAM_GROUPS; i++)
        if (d->groups[i].netif == netif && (!netif || addr_equal(&d->groups[i].addr, addr)))
            return &d->groups[i];
    return NULL;
}

static int change_group(struct dgram *d, const struct ip_addr *group, struct netif *netif,
                        bool join)
{
    if (!netif)
        return -ENODEV;
    if (!addr_is_multicast(group))
        return -EINVAL;
    spin_lock(&d->lock);
    struct dgram_group *slot = find_group(d, group, netif);
    int err = join && slot ? -EADDRINUSE : !join && !slot ? -EADDRNOTAVAIL : 0;
    if (!err && join) {
        slot = find_group(d, group, NULL);
        err = slot ? 0 : -ENOBUFS;
    }
    if (!err)
        *slot = join ? (struct dgram_group){*group, netif} : (struct dgram_group){0};
    spin_unlock(&d->lock);
    if (err)
        return err;
    if (join)
        return mcast_join(netif, group);
    mcast_leave(netif, group);
    return 0;
}

static int membership4(struct dgram *d, const void *value, u32 len, bool join)
{
    struct ip_mreqn_abi req = {0};
    u32 group, address;

    if (len < sizeof(struct ip_mreq_abi))
        return -EINVAL;
    memcpy(&req, value, min(len, (u32)sizeof(req)));
    memcpy(&group, req.group, 4);
    memcpy(&address, req.address, 4);
    struct ip_addr addr = addr_from_v4(group), own = addr_from_v4(address);
    return change_group(d, &addr, netif_of((u32)req.ifindex, &own), join);
}

static int membership6(struct dgram *d, const void *value, u32 len, bool join)
{
    struct ipv6_mreq_abi req;

    if (len < sizeof(req))
        return -EINVAL;
    memcpy(&req, value, sizeof(req));
    struct ip_addr addr = addr_from_v6(req.group);
    return change_group(d, &addr, netif_of((u32)req.ifindex, NULL), join);
}

static int membership(struct dgram *d, const void *value, u32 len, bool join)
{
    struct group_req_abi req;
    struct sock_addr addr = {.len = sizeof(addr.bytes)};
    struct endpoint group;

    if (len < sizeof(req))
        return -EINVAL;
    memcpy(&req, value, sizeof(req));
    memcpy(addr.bytes, req.group, sizeof(addr.bytes));
    int err = endpoint_from_addr(&addr, addr.family, &group);
    return err ? err : change_group(d, &group.addr, netif_of(req.ifindex, NULL), join);
}

static int set_mcast_if4(struct dgram *d, const void *value, u32 len)
{
    struct ip_mreqn_abi req = {0};
    u32 raw;

    if (len < 4)
        return -EINVAL;
    if (len < sizeof(struct ip_mreq_abi))
        memcpy(req.address, value, 4);
    else
        memcpy(&req, value, min(len, (u32)sizeof(req)));
    memcpy(&raw, req.address, 4);
    struct ip_addr own = addr_from_v4(raw);
    bool none = !req.ifindex && addr_is_any(&own);
    struct netif *netif = none ? NULL : netif_of((u32)req.ifindex, &own);
    if (!none && !netif)
        return -EADDRNOTAVAIL;
    d->ip.mcast_ifindex = netif ? netif->index : 0;
    d->ip.mcast_source = addr_is_any(&own) ? (struct ip_addr){.family = ADDR_NONE} : own;
    return 0;
}

static int set_pmtu_mode(struct dgram *d, s32 number)
{
    if (number < IP_PMTUDISC_DONT || number > IP_PMTUDISC_OMIT)
        return -EINVAL;
    d->ip.pmtu_mode = (u8)number;
    return 0;
}

static int set_ip4(struct dgram *d, int name, const void *value, u32 len)
{
    s32 number;
    struct ip_options *ip = &d->ip;

    if (!get_number(value, len, &number))
        return -EINVAL;
    switch (name) {
    case IP_TOS:
        ip->tos = (u8)number;
        return 0;
    case IP_TTL:
        return set_ttl(&ip->ttl, number, 1);
    case IP_HDRINCL:
        return d->sock->type == SOCK_RAW ? set_flag(&ip->header_included, number) : -ENOPROTOOPT;
    case IP_PKTINFO:
        return set_flag(&ip->recv_pktinfo, number);
    case IP_MTU_DISCOVER:
        return set_pmtu_mode(d, number);
    case IP_RECVERR:
        return set_flag(&ip->recv_err, number);
    case IP_RECVTTL:
        return set_flag(&ip->recv_ttl, number);
    case IP_RECVTOS:
        return set_flag(&ip->recv_tos, number);
    case IP_FREEBIND:
        return set_flag(&ip->freebind, number);
    case IP_MULTICAST_IF:
        return set_mcast_if4(d, value, len);
    case IP_MULTICAST_TTL:
        return set_ttl(&ip->mcast_ttl, number, 0);
    case IP_MULTICAST_LOOP:
        return set_flag(&ip->mcast_loop, number);
    case IP_MULTICAST_ALL:
        return set_flag(&ip->mcast_all, number);
    case IP_UNICAST_IF:
        ip->unicast_ifindex = __builtin_bswap32((u32)number);
        return 0;
    case IP_ADD_MEMBERSHIP:
    case IP_DROP_MEMBERSHIP:
        return membership4(d, value, len, name == IP_ADD_MEMBERSHIP);
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP:
        return membership(d, value, len, name == MCAST_JOIN_GROUP);
    case IP_BIND_ADDRESS_NO_PORT: /* a hint */
    case IP_RECVOPTS:             /* none ever come */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ip6(struct dgram *d, int name, const void *value, u32 len)
{
    s32 number;
    struct ip_options *ip = &d->ip;

    if (!get_number(value, len, &number))
        return -EINVAL;
    switch (name) {
    case IPV6_UNICAST_HOPS:
        return set_ttl(&ip->ttl, number, 0);
    case IPV6_MULTICAST_IF:
        ip->mcast_ifindex = (u32)number;
        return number && !netif_by_index((u32)number) ? -ENODEV : 0;
    case IPV6_MULTICAST_HOPS:
        return set_ttl(&ip->mcast_ttl, number, 0);
    case IPV6_MULTICAST_LOOP:
        return set_flag(&ip->mcast_loop, number);
    case IPV6_MULTICAST_ALL:
        return set_flag(&ip->mcast_all, number);
    case IPV6_JOIN_GROUP:
    case IPV6_LEAVE_GROUP:
        return membership6(d, value, len, name == IPV6_JOIN_GROUP);
    case MCAST_JOIN_GROUP:
    case MCAST_LEAVE_GROUP:
        return membership(d, value, len, name == MCAST_JOIN_GROUP);
    case IPV6_MTU_DISCOVER:
        return set_pmtu_mode(d, number);
    case IPV6_MTU:
        if (number && (number < IP6_MIN_MTU || number > (s32)UINT16_MAX))
            return -EINVAL;
        ip->frag_size6 = (u16)number;
        return 0;
    case IPV6_RECVERR:
        return set_flag(&ip->recv_err6, number);
    case IPV6_V6ONLY:
        return d->local.port ? -EINVAL : set_flag(&ip->v6_only, number);
    case IPV6_RECVPKTINFO:
        return set_flag(&ip->recv_pktinfo6, number);
    case IPV6_RECVHOPLIMIT:
        return set_flag(&ip->recv_hops, number);
    case IPV6_RECVTCLASS:
        return set_flag(&ip->recv_class, number);
    case IPV6_TCLASS:
        ip->tos = (u8)max(number, 0);
        return 0;
    case IPV6_FREEBIND:
        return set_flag(&ip->freebind, number);
    case IPV6_DONTFRAG:
        ip->pmtu_mode = number ? IP_PMTUDISC_DO : IP_PMTUDISC_WANT;
        return 0;
    case IPV6_AUTOFLOWLABEL: /* a hint */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* ---- filters ---- */

bool dgram_filter_locked(struct dgram *d, struct pkt *pkt, u16 port)
{
    enum { NOWHERE = 1 << 30 }; /* the IP header has gone, but for raw sockets of IPv4 */
    u32 head_len = d->is_udp ? sizeof(struct udp_hdr) : 0;
    struct udp_hdr hdr = {.src = be16_of(port),
                          .dst = be16_of(d->local.port),
                          .len = be16_of((u16)(sizeof(hdr) + pkt->total))};
    struct bpf_view view = {.pkt = pkt,
                            .head = (const u8 *)&hdr,
                            .head_len = head_len,
                            .network = d->sock->type == SOCK_RAW ? 0 : NOWHERE,
                            .protocol = pkt->protocol,
                            .ifindex = pkt->netif ? pkt->netif->index : 0};
    u32 keep = bpf_run(d->filter, &view);

    if (keep)
        pkt_trim(pkt, keep > head_len ? keep - head_len : 0);
    return keep;
}

static int attach_filter(struct dgram *d, struct bpf_program *fresh, bool must_be_there)
{
    struct bpf_program *old = fresh;

    spin_lock(&d->lock);
    int err = d->filter_locked ? -EPERM : must_be_there && !d->filter ? -ENOENT : 0;
    if (!err) {
        old = d->filter;
        d->filter = fresh;
    }
    spin_unlock(&d->lock);
    kfree(old);
    return err;
}

static int lock_filter(struct dgram *d, const void *value, u32 len)
{
    s32 number;

    if (!get_number(value, len, &number))
        return -EINVAL;
    spin_lock(&d->lock);
    int err = d->filter_locked && !number ? -EPERM : 0;
    d->filter_locked |= number != 0;
    spin_unlock(&d->lock);
    return err;
}

static int set_socket_level(struct dgram *d, int name, const void *value, u32 len)
{
    struct bpf_program *fresh;
    int err;

    switch (name) {
    case SO_ATTACH_FILTER:
        err = bpf_from_user(value, len, &fresh);
        return err ? err : attach_filter(d, fresh, false);
    case SO_DETACH_FILTER:
        return attach_filter(d, NULL, true);
    case SO_LOCK_FILTER:
        return lock_filter(d, value, len);
    case SO_BINDTODEVICE:
    case SO_BINDTOIFINDEX:
        d->ifindex = d->sock->options.bind_ifindex;
        return 0;
    default:
        return -ENOPROTOOPT; /* unless all sockets know it */
    }
}

int dgram_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct dgram *d = sock->data;

    if (level == SOL_SOCKET)
        return set_socket_level(d, name, value, len);
    if (level == SOL_IP)
        return set_ip4(d, name, value, len);
    if (level == SOL_IPV6 && sock->family == AF_INET6)
        return set_ip6(d, name, value, len);
    return -ENOPROTOOPT;
}

static int put_number(s32 number, void *value, u32 *len)
{
    *len = min(*len, (u32)sizeof(number));
    memcpy(value, &number, *len);
    return 0;
}

static int get_mtu(const struct dgram *d, void *value, u32 *len)
{
    if (!d->remote.addr.family)
        return -ENOTCONN;
    return put_number((s32)d->route.mtu, value, len);
}

static int get_ip4(const struct dgram *d, int name, void *value, u32 *len)
{
    const struct ip_options *ip = &d->ip;

    switch (name) {
    case IP_TOS:
        return put_number(ip->tos, value, len);
    case IP_TTL:
        return put_number(ip->ttl < 0 ? 64 : ip->ttl, value, len);
    case IP_HDRINCL:
        return put_number(ip->header_included, value, len);
    case IP_PKTINFO:
        return put_number(ip->recv_pktinfo, value, len);
    case IP_MTU_DISCOVER:
        return put_number(ip->pmtu_mode, value, len);
    case IP_RECVERR:
        return put_number(ip->recv_err, value, len);
    case IP_RECVTTL:
        return put_number(ip->recv_ttl, value, len);
    case IP_RECVTOS:
        return put_number(ip->recv_tos, value, len);
    case IP_FREEBIND:
        return put_number(ip->freebind, value, len);
    case IP_MTU:
        return get_mtu(d, value, len);
    case IP_MULTICAST_TTL:
        return put_number(ip->mcast_ttl < 0 ? 1 : ip->mcast_ttl, value, len);
    case IP_MULTICAST_LOOP:
        return put_number(ip->mcast_loop, value, len);
    case IP_MULTICAST_ALL:
        return put_number(ip->mcast_all, value, len);
    case IP_MULTICAST_IF:
        return put_number((s32)addr_v4(&ip->mcast_source), value, len);
    case IP_OPTIONS:
        *len = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_ip6(const struct dgram *d, int name, void *value, u32 *len)
{
    const struct ip_options *ip = &d->ip;

    switch (name) {
    case IPV6_UNICAST_HOPS:
        return put_number(ip->ttl < 0 ? 64 : ip->ttl, value, len);
    case IPV6_MULTICAST_IF:
        return put_number((s32)ip->mcast_ifindex, value, len);
    case IPV6_MULTICAST_HOPS:
        return put_number(ip->mcast_ttl < 0 ? 1 : ip->mcast_ttl, value, len);
    case IPV6_MULTICAST_LOOP:
        return put_number(ip->mcast_loop, value, len);
    case IPV6_DONTFRAG:
        return put_number(ip->pmtu_mode == IP_PMTUDISC_DO, value, len);
    case IPV6_MTU_DISCOVER:
        return put_number(ip->pmtu_mode, value, len);
    case IPV6_MTU:
        return get_mtu(d, value, len);
    case IPV6_RECVERR:
        return put_number(ip->recv_err6, value, len);
    case IPV6_V6ONLY:
        return put_number(ip->v6_only, value, len);
    case IPV6_RECVPKTINFO:
        return put_number(ip->recv_pktinfo6, value, len);
    case IPV6_RECVHOPLIMIT:
        return put_number(ip->recv_hops, value, len);
    case IPV6_RECVTCLASS:
        return put_number(ip->recv_class, value, len);
    case IPV6_TCLASS:
        return put_number(ip->tos, value, len);
    default:
        return -ENOPROTOOPT;
    }
}

int dgram_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    const struct dgram *d = sock->data;

    if (level == SOL_SOCKET && name == SO_LOCK_FILTER)
        return put_number(d->filter_locked, value, len);
    if (level == SOL_SOCKET && name == SO_BPF_EXTENSIONS)
        return put_number(SKF_AD_MAX, value, len);
    if (level == SOL_IP)
        return get_ip4(d, name, value, len);
    if (level == SOL_IPV6 && sock->family == AF_INET6)
        return get_ip6(d, name, value, len);
    return -ENOPROTOOPT;
}
