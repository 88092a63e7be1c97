/* ICMPv6: RFC 4443. Echoes, errors both ways; neighbour discovery is ndp.c. */
#include "abi/errno.h"
#include "lib/string.h"
#include "net/ip6.h"
#include "net/mcast.h"
#include "net/net_priv.h"
#include "net/ping.h"
#include "net/stats.h"

enum { QUOTE_MAX = IP6_MIN_MTU - 2 * sizeof(struct ip6_hdr) - sizeof(struct icmp_hdr) };

const struct ip_addr ip6_all_nodes = {.bytes = {0xff, 2, [15] = 1}, .family = ADDR_INET6};
const struct ip_addr ip6_all_routers = {.bytes = {0xff, 2, [15] = 2}, .family = ADDR_INET6};

/* Neighbour discovery cannot ask the table for a way to where no neighbour is known yet: the
 * interface is given. */
static int find_way(struct netif *netif, const struct ip_addr *src, const struct ip_addr *dst,
                    struct route *route)
{
    if (!netif || netif->flags & NETIF_LOOPBACK)
        return route_find(dst, src, 0, route);
    const struct ip_addr *source = src && src->family ? src : netif_source(netif, dst);
    *route = (struct route){.netif = netif,
                            .mtu = netif->mtu,
                            .neigh = neigh_get(netif, dst),
                            .source = source ? *source : (struct ip_addr){.family = ADDR_INET6}};
    return route->neigh ? 0 : -ENOMEM;
}

void icmp6_send(struct netif *netif, struct pkt *pkt, const struct ip_addr *src,
                const struct ip_addr *dst, u8 hops)
{
    struct icmp_hdr *hdr = (void *)pkt->data;
    struct route route;

    if (find_way(netif, src, dst, &route)) {
        NET_COUNT(icmp6_out_errors);
        pkt_free(pkt);
        return;
    }
    const struct ip_addr *source = src && src->family ? src : &route.source;
    hdr->csum.raw = 0;
    hdr->csum.raw =
        csum_fold(pkt_csum(pkt, 0, pkt->total, ip_pseudo_csum(source, dst, IP_ICMP6, pkt->total)));
    pkt->csum = CSUM_NONE;
    NET_COUNT(icmp6_out_msgs);
    (void)ip_output(pkt, &route, source, dst, IP_ICMP6,
                    &(struct ip_meta){.ttl = hops, .fragment = true}); /* who asked asks again */
}

static bool append_head(struct pkt *out, const struct pkt *from, u32 n)
{
    u8 chunk[128];

    for (u32 at = 0; at < n; at += sizeof(chunk)) {
        u32 part = min((u32)sizeof(chunk), n - at);
        if (!pkt_copy_out(from, at, chunk, part) || !pkt_append(out, chunk, part))
            return false;
    }
    return true;
}

/* RFC 4443, 2.4 (e): who must not be answered is sorted out by the caller, but for groups. */
void icmp6_send_error(const struct pkt *pkt, const struct ip_info *info, enum icmp_why why,
                      u32 pointer)
{
    static const struct {
        u8 type, code;
    } meaning[] = {
        [WHY_PORT] = {ICMP6_UNREACHABLE, 4},
        [WHY_PROTOCOL] = {ICMP6_PARAMETER, 1},
        [WHY_REASSEMBLY_TIME] = {ICMP6_TIME_EXCEEDED, 1},
        [WHY_PARAMETER] = {ICMP6_PARAMETER, 2},
    };
    struct pkt *out = pkt_alloc();
    if (!out)
        return;
    struct icmp_hdr *icmp = (void *)pkt_put(out, sizeof(*icmp));
    struct ip6_hdr *quoted = (void *)pkt_put(out, sizeof(*quoted));

    *icmp = (struct icmp_hdr){.type = meaning[why].type,
                              .code = meaning[why].code,
                              .word = be32_of(meaning[why].type == ICMP6_PARAMETER ? pointer : 0)};
    *quoted = (struct ip6_hdr){.version_class_flow = be32_of(6u << 28 | (u32)info->tos << 20),
                               .payload_len = be16_of((u16)pkt->total),
                               .next = info->protocol,
                               .hop_limit = info->ttl};
    memcpy(quoted->src, info->src.bytes, 16);
    memcpy(quoted->dst, info->dst.bytes, 16);
    if (!append_head(out, pkt, min(pkt->total, (u32)QUOTE_MAX))) {
        pkt_free(out);
        return;
    }
    struct netif *netif = addr_is_link_local(&info->src) ? info->netif : NULL;
    icmp6_send(netif, out, info->cast == IP_UNICAST ? &info->dst : NULL, &info->src, 0);
}

static int errno_of(u8 type, u8 code)
{
    static const u8 unreachable[] = {ENETUNREACH,  EACCES, EHOSTUNREACH, EHOSTUNREACH,
                                     ECONNREFUSED, EACCES, EACCES};

    if (type == ICMP6_UNREACHABLE)
        return code < ARRAY_LEN(unreachable) ? unreachable[code] : EHOSTUNREACH;
    return type == ICMP6_TOO_BIG ? EMSGSIZE : type == ICMP6_PARAMETER ? EPROTO : EHOSTUNREACH;
}

/* Where the transport's header of a quoted packet lies; 0: it cannot be told. */
static u32 quoted_transport(const struct pkt *pkt, u32 at, u8 *next)
{
    for (u32 n = 0; n < 8; n++) {
        u8 ext[8];
        bool is_extension = *next == IP_HOP_BY_HOP || *next == IP_ROUTING ||
                            *next == IP_DST_OPTIONS || *next == IP_FRAGMENT;
        if (!is_extension)
            return at;
        if (!pkt_copy_out(pkt, at, ext, sizeof(ext)))
            return 0;
        if (*next == IP_FRAGMENT && (ext[2] || ext[3] & 0xf8))
            return 0; /* not the first: no ports in it */
        at += *next == IP_FRAGMENT ? 8 : (ext[1] + 1) * 8u;
        *next = ext[0];
    }
    return 0;
}

static void take_error(struct pkt *pkt, const struct ip_info *info)
{
    enum { AT = sizeof(struct icmp_hdr), MIN = AT + sizeof(struct ip6_hdr) };
    const struct icmp_hdr *icmp = (const void *)pkt_linear(pkt, MIN);
    if (!icmp) {
        NET_COUNT(icmp6_in_errors);
        return;
    }
    const struct ip6_hdr *quoted = (const void *)(pkt->data + AT);
    struct ip_info about = {
        .src = addr_from_v6(quoted->src), .dst = addr_from_v6(quoted->dst), .netif = info->netif};
    u8 transport[8];
    u32 mtu = 0;

    about.protocol = quoted->next;
    u32 at = quoted_transport(pkt, MIN, &about.protocol);
    if (!at || !ip_is_local(&about.src) || !pkt_copy_out(pkt, at, transport, sizeof(transport))) {
        NET_COUNT(icmp6_in_errors);
        return;
    }
    if (icmp->type == ICMP6_TOO_BIG)
        mtu = max(be32_get(icmp->word), (u32)IP6_MIN_MTU);
    icmp_deliver_error(&about, errno_of(icmp->type, icmp->code), mtu, transport);
}

static void take_echo(struct pkt *pkt, const struct ip_info *info)
{
    NET_COUNT(icmp6_in_echos);
    struct pkt *out = pkt_slice(pkt, 0, pkt->total);
    if (!out || !pkt_linear(out, sizeof(struct icmp_hdr))) {
        if (out)
            pkt_free(out);
        return;
    }
    ((struct icmp_hdr *)(void *)out->data)->type = ICMP6_ECHO_REPLY;
    NET_COUNT(icmp6_out_echo_reps);
    struct netif *netif = addr_is_link_local(&info->src) ? info->netif : NULL;
    icmp6_send(netif, out, info->cast == IP_UNICAST ? &info->dst : NULL, &info->src, 0);
}

static bool csum_ok(const struct pkt *pkt, const struct ip_info *info)
{
    u32 sum = ip_pseudo_csum(&info->src, &info->dst, IP_ICMP6, pkt->total);

    return pkt->csum != CSUM_NONE || !csum_fold(pkt_csum(pkt, 0, pkt->total, sum));
}

static void dispatch(struct pkt *pkt, const struct ip_info *info, u8 type)
{
    switch (type) {
    case ICMP6_ECHO:
        take_echo(pkt, info);
        return;
    case ICMP6_UNREACHABLE:
        NET_COUNT(icmp6_in_unreachs);
        take_error(pkt, info);
        return;
    case ICMP6_TOO_BIG:
        NET_COUNT(icmp6_in_too_bigs);
        __attribute__((fallthrough));
    case ICMP6_TIME_EXCEEDED:
    case ICMP6_PARAMETER:
        take_error(pkt, info);
        return;
    case ICMP6_ECHO_REPLY:
        NET_COUNT(icmp6_in_echo_reps);
        ping_input(pkt, info);
        return;
    case ICMP6_MLD_QUERY:
        mcast_query(pkt, info);
        return;
    case ICMP6_ROUTER_ADVERT:
    case ICMP6_NEIGH_SOLICIT:
    case ICMP6_NEIGH_ADVERT:
        NET_COUNT(icmp6_in_neighbors);
        ndp_input(pkt, info);
        return;
    default:
        return;
    }
}

static void icmp6_input(struct pkt *pkt, const struct ip_info *info)
{
    const struct icmp_hdr *icmp = (const void *)pkt_linear(pkt, sizeof(*icmp));

    NET_COUNT(icmp6_in_msgs);
    if (!icmp || info->src.family != ADDR_INET6 || !csum_ok(pkt, info)) {
        NET_COUNT(icmp6_in_errors);
        if (icmp)
            NET_COUNT(icmp6_in_csum_errors);
    } else if (ip6_cast(info->netif, &info->src) != IP_UNICAST ||
               info->netif->flags & NETIF_LOOPBACK || icmp->type == ICMP6_NEIGH_ADVERT) {
        dispatch(pkt, info, icmp->type);
    }
    pkt_free(pkt);
}

static const struct transport icmp6_transport = {.protocol = IP_ICMP6, .input = icmp6_input};

void icmp6_init(void)
{
    transport_register(&icmp6_transport);
}
