/* Neighbour discovery (RFC 4861), for a host: its messages; what routers tell is kept by slaac.c.
 * Every message must carry hop limit 255: then no router has passed it on, and it is the link's
 * own.
 */
#include "core/log.h"
#include "lib/string.h"
#include "net/ip6.h"
#include "net/mcast.h"
#include "net/net_priv.h"

enum { HOPS = 255 };
enum nd_option {
    ND_SOURCE_MAC = 1,
    ND_TARGET_MAC = 2,
    ND_PREFIX = 3,
    ND_MTU = 5,
    ND_NONCE = 14, /* RFC 3971, 5.3.2; of the size of a MAC address */
    ND_DNS = 25,
};
enum { ADVERT_SOLICITED = 0x40, ADVERT_OVERRIDE = 0x20 };
enum { PREFIX_ON_LINK = 0x80, PREFIX_AUTO = 0x40 };
static const struct ip_addr nobody = {.family = ADDR_INET6};

/* Solicitation and advertisement of a neighbour. */
struct nd_hdr {
    struct icmp_hdr icmp; /* the advertisement's flags: first byte of .word */
    u8 target[16];
};
struct nd_mac_option {
    u8 type, len; /* in units of 8 bytes */
    u8 mac[6];
};
struct ra_hdr {
    struct icmp_hdr icmp; /* .word: hop limit, flags, router lifetime */
    be32 reachable, retransmit;
};
struct prefix_option {
    u8 type, len, prefix, flags;
    be32 valid, preferred, reserved;
    u8 net[16];
};
static_assert(sizeof(struct prefix_option) == 32, "RFC 4861, 4.6.2");

static void put_option(struct pkt *pkt, u8 type, u64 mac)
{
    struct nd_mac_option *option = (void *)pkt_put(pkt, sizeof(*option));

    option->type = type;
    option->len = 1;
    memcpy(option->mac, &mac, 6);
}

static bool is_tentative(struct netif *netif, const struct ip_addr *addr)
{
    struct netif_addr line;

    return netif_get_addr(netif, addr, &line) && line.flags & ADDR_TENTATIVE;
}

/* Who sends, and where he lives, unless another host may have that address: RFC 4429, 3.2. */
static void put_source(struct pkt *pkt, struct netif *netif, const struct ip_addr *dst)
{
    const struct ip_addr *source = netif_source(netif, dst);

    if (source && !is_tentative(netif, source))
        put_option(pkt, ND_SOURCE_MAC, mac_load(netif->mac));
}

/* RFC 4291, 2.7.1. */
static struct ip_addr solicited_node(const struct ip_addr *addr)
{
    const u8 *b = addr->bytes;

    return (struct ip_addr){.bytes = {0xff, 2, [11] = 1, 0xff, b[13], b[14], b[15]},
                            .family = ADDR_INET6};
}

void ndp_join(struct netif *netif, const struct ip_addr *addr)
{
    struct ip_addr group = solicited_node(addr);

    (void)mcast_join(netif, &group); /* the table is full: neighbours that know us do without */
}

void ndp_leave(struct netif *netif, const struct ip_addr *addr)
{
    struct ip_addr group = solicited_node(addr);

    mcast_leave(netif, &group);
}

static struct pkt *make_solicit(const struct ip_addr *addr)
{
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return NULL;
    struct nd_hdr *nd = (void *)pkt_put(pkt, sizeof(*nd));

    *nd = (struct nd_hdr){.icmp.type = ICMP6_NEIGH_SOLICIT};
    memcpy(nd->target, addr->bytes, 16);
    return pkt;
}

void ndp_solicit(struct netif *netif, const struct ip_addr *addr, u64 mac)
{
    struct ip_addr group = solicited_node(addr);
    struct pkt *pkt = make_solicit(addr);
    if (!pkt)
        return;
    const struct ip_addr *dst = mac ? addr : &group;
    put_source(pkt, netif, dst);
    icmp6_send(netif, pkt, NULL, dst, HOPS);
}

void ndp_probe(struct netif *netif, const struct ip_addr *addr, u64 nonce)
{
    struct ip_addr group = solicited_node(addr);
    struct pkt *pkt = make_solicit(addr);
    if (!pkt)
        return;
    put_option(pkt, ND_NONCE, nonce);
    icmp6_send(netif, pkt, &nobody, &group, HOPS);
}

/* 7.2.4. To everybody where who asked has no address yet. What is tentative overrides nothing. */
static void advertise(struct netif *netif, const struct ip_addr *target, const struct ip_addr *to)
{
    bool anybody = addr_is_any(to);
    u32 flags =
        (is_tentative(netif, target) ? 0u : ADVERT_OVERRIDE) | (anybody ? 0u : ADVERT_SOLICITED);
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return;
    struct nd_hdr *nd = (void *)pkt_put(pkt, sizeof(*nd));

    *nd = (struct nd_hdr){.icmp.type = ICMP6_NEIGH_ADVERT};
    nd->icmp.word = be32_of(flags << 24);
    memcpy(nd->target, target->bytes, 16);
    put_option(pkt, ND_TARGET_MAC, mac_load(netif->mac));
    icmp6_send(netif, pkt, target, anybody ? &ip6_all_nodes : to, HOPS);
}

void ndp_announce(struct netif *netif, const struct ip_addr *addr)
{
    advertise(netif, addr, &nobody);
}

/* The next option from *@at on that lies whole within the message; NULL: no more, or broken. */
static const u8 *next_option(const struct pkt *pkt, u32 *at)
{
    const u8 *option = pkt->data + *at;

    if (*at + 8 > pkt->len || !option[1] || *at + option[1] * 8u > pkt->len)
        return NULL;
    *at += option[1] * 8u;
    return option;
}

/* The 48 bits in an option of @type; 0: there is none. */
static u64 find_mac(const struct pkt *pkt, u32 at, u8 type)
{
    const u8 *option;

    while ((option = next_option(pkt, &at)))
        if (option[0] == type && (type == ND_NONCE || !(option[2] & 1)))
            return mac_load(option + 2);
    return 0;
}

static bool is_own(const struct netif *netif, const struct ip_addr *addr)
{
    return ip6_cast(netif, addr) == IP_UNICAST;
}

static void take_solicit(struct pkt *pkt, const struct ip_info *info)
{
    const struct nd_hdr *nd = (const void *)pkt->data;
    struct ip_addr target = addr_from_v6(nd->target);
    u64 mac = find_mac(pkt, sizeof(*nd), ND_SOURCE_MAC);

    if (!is_own(info->netif, &target))
        return;
    if (addr_is_any(&info->src)) {
        u64 nonce = find_mac(pkt, sizeof(*nd), ND_NONCE);
        if (mac || slaac_is_own_probe(info->netif, nonce) ||
            slaac_conflict(info->netif, &target)) /* both wanted it: neither gets it */
            return;
    } else if (mac)
        neigh_learn(info->netif, &info->src, mac, true, false, true);
    advertise(info->netif, &target, &info->src);
}

static void take_advert(struct pkt *pkt, const struct ip_info *info)
{
    const struct nd_hdr *nd = (const void *)pkt->data;
    struct ip_addr target = addr_from_v6(nd->target);
    u64 mac = find_mac(pkt, sizeof(*nd), ND_TARGET_MAC);
    u32 flags = be32_get(nd->icmp.word) >> 24;

    if (addr_is_multicast(&target))
        return;
    if (is_own(info->netif, &target)) {
        if (mac != mac_load(info->netif->mac) && !slaac_conflict(info->netif, &target))
            log_warn_once("%s: another host uses our IPv6 address", info->netif->name);
        return;
    }
    if (mac)
        neigh_learn(info->netif, &target, mac, false,
                    (flags & ADVERT_SOLICITED) && info->cast == IP_UNICAST,
                    flags & ADVERT_OVERRIDE);
}

/* ---- routers ---- */

/* RFC 4861, 6.3.4; RFC 4862, 5.5.3 (a) to (d), with RFC 4291's interface identifier. */
static void take_prefix(struct netif *netif, const struct prefix_option *option)
{
    struct ip_addr addr = addr_from_v6(option->net), own = ip6_link_local(netif);
    u32 valid_s = be32_get(option->valid), preferred_s = be32_get(option->preferred);

    if (addr_is_link_local(&addr) || addr_is_multicast(&addr) || option->prefix > 128)
        return;
    if (option->flags & PREFIX_ON_LINK)
        slaac_hear(netif, SLAAC_PREFIX, &addr, option->prefix, valid_s);
    if (!(option->flags & PREFIX_AUTO) || option->prefix != 64 || preferred_s > valid_s)
        return;
    addr.halves[1] = own.halves[1];
    slaac_hear_address(netif, &addr, valid_s, preferred_s);
}

/* RFC 8106, 5.1. */
static void take_dns(struct netif *netif, const u8 *option)
{
    be32 lifetime;

    memcpy(&lifetime, option + 4, 4);
    for (u32 i = 8; i + 16 <= option[1] * 8u; i += 16) {
        struct ip_addr addr = addr_from_v6(option + i);
        slaac_hear(netif, SLAAC_NAME_SERVER, &addr, 0, be32_get(lifetime));
    }
}

static void take_router_options(struct pkt *pkt, struct netif *netif)
{
    u32 at = sizeof(struct ra_hdr);
    const u8 *option;

    while ((option = next_option(pkt, &at))) {
        if (option[0] == ND_PREFIX && option[1] == 4)
            take_prefix(netif, (const void *)option);
        else if (option[0] == ND_DNS && option[1] >= 3)
            take_dns(netif, option);
        else if (option[0] == ND_MTU && option[1] == 1) {
            be32 mtu;
            memcpy(&mtu, option + 4, 4);
            if (be32_get(mtu) >= IP6_MIN_MTU && be32_get(mtu) < netif->mtu)
                netif->mtu = be32_get(mtu);
        }
    }
}

static void take_router(struct pkt *pkt, const struct ip_info *info)
{
    const struct ra_hdr *ra = (const void *)pkt->data;
    u64 mac = find_mac(pkt, sizeof(*ra), ND_SOURCE_MAC);

    if (pkt->len < sizeof(*ra) || !addr_is_link_local(&info->src))
        return;
    if (mac)
        neigh_learn(info->netif, &info->src, mac, true, false, true);
    slaac_hear(info->netif, SLAAC_ROUTER, &info->src, 0, (u16)be32_get(ra->icmp.word));
    take_router_options(pkt, info->netif);
    net_config_changed();
    slaac_answered(info->netif);
}

void ndp_input(struct pkt *pkt, const struct ip_info *info)
{
    const struct icmp_hdr *icmp;

    if (info->ttl != HOPS || info->netif->flags & NETIF_LOOPBACK ||
        pkt->total < sizeof(struct ra_hdr))
        return;
    icmp = (const void *)pkt_linear(pkt, min(pkt->total, 600u));
    if (!icmp || icmp->code)
        return;
    if (icmp->type == ICMP6_ROUTER_ADVERT)
        take_router(pkt, info);
    else if (pkt->len < sizeof(struct nd_hdr))
        return;
    else if (icmp->type == ICMP6_NEIGH_SOLICIT)
        take_solicit(pkt, info);
    else
        take_advert(pkt, info);
}

/* ---- start ---- */

struct ip_addr ip6_link_local(const struct netif *netif)
{
    const u8 *m = netif->mac;

    return (struct ip_addr){
        .bytes = {0xfe, 0x80, [8] = m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]},
        .family = ADDR_INET6};
}

void ndp_solicit_router(struct netif *netif)
{
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return;
    struct icmp_hdr *icmp = (void *)pkt_put(pkt, sizeof(*icmp));
    *icmp = (struct icmp_hdr){.type = ICMP6_ROUTER_SOLICIT};
    put_source(pkt, netif, &ip6_all_routers);
    icmp6_send(netif, pkt, NULL, &ip6_all_routers, HOPS);
}
