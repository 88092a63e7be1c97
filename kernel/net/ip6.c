/* IPv6: RFC 8200, with the rules for hosts alone. Extension headers are walked, never trusted:
 * their number and length are bounded by the first PKT_LINEAR bytes of the packet. */
#include "net/ip6.h"

#include "abi/errno.h"
#include "core/random.h"
#include "net/mcast.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { DEFAULT_HOPS = 64, HEADER_LEN = sizeof(struct ip6_hdr), MAX_EXTENSIONS = 8 };
enum { FRAG_LEN = sizeof(struct ip6_frag_hdr) };

/* ---- output ---- */

static void put_header(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst,
                       u8 next, const struct ip_meta *meta)
{
    u16 payload = (u16)pkt->total;
    struct ip6_hdr *hdr = (void *)pkt_push(pkt, HEADER_LEN);

    hdr->version_class_flow.raw = be32_of(6u << 28 | (u32)meta->tos << 20).raw | meta->flow_label;
    hdr->payload_len = be16_of(payload);
    hdr->next = next;
    hdr->hop_limit = meta->ttl ? meta->ttl : DEFAULT_HOPS;
    __builtin_memcpy(hdr->src, src->bytes, 16);
    __builtin_memcpy(hdr->dst, dst->bytes, 16);
}

/* RFC 8200, 4.5. @pkt begins with the transport's header. Takes @pkt. */
static int send_fragments(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
                          const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta)
{
    u32 step = (route->mtu - HEADER_LEN - FRAG_LEN) & ~7u, id = (u32)random_u64();
    bool ok = pkt->csum != CSUM_PARTIAL || pkt_csum_finish(pkt);

    for (u32 at = 0; ok && at < pkt->total; at += step) {
        u32 n = min(step, pkt->total - at);
        struct pkt *piece = pkt_slice(pkt, at, n);
        if (!piece) {
            ok = false;
            break;
        }
        struct ip6_frag_hdr *frag = (void *)pkt_push(piece, FRAG_LEN);
        *frag = (struct ip6_frag_hdr){
            .next = protocol, .offset = be16_of((u16)(at | (at + n < pkt->total))), .id = {id}};
        put_header(piece, src, dst, IP_FRAGMENT, meta);
        NET_COUNT(ip6_frag_creates);
        ip_transmit(piece, route, ETH_IP6);
    }
    if (ok)
        NET_COUNT(ip6_frag_oks);
    else
        NET_COUNT(ip6_frag_fails);
    pkt_free(pkt);
    return ok ? 0 : -ENOBUFS;
}

int ip6_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
               const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta)
{
    bool too_big = unlikely(pkt->total + HEADER_LEN > route->mtu) && !pkt->gso;

    NET_COUNT(ip6_out_requests);
    if (unlikely((too_big && !meta->fragment) || pkt->total > IP_MAX_LEN)) {
        NET_COUNT(ip6_frag_fails);
        pkt_free(pkt);
        return -EMSGSIZE;
    }
    if (unlikely(too_big))
        return send_fragments(pkt, route, src, dst, protocol, meta);
    put_header(pkt, src, dst, protocol, meta);
    ip_transmit(pkt, route, ETH_IP6);
    return 0;
}

/* ---- input ---- */

static bool has_addr(const struct netif *netif, const struct ip_addr *addr)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (netif->addrs[i].addr.family == ADDR_INET6 && addr_equal(&netif->addrs[i].addr, addr))
            return true;
    return false;
}

enum ip_cast ip6_cast(const struct netif *netif, const struct ip_addr *dst)
{
    if (likely(has_addr(netif, dst)))
        return IP_UNICAST;
    if (addr_is_multicast(dst))
        return mcast_is_member(netif, dst) ? IP_MULTICAST : IP_NOT_OURS;
    if (netif->flags & NETIF_LOOPBACK && ip_is_local(dst))
        return IP_UNICAST;
    return IP_NOT_OURS;
}

/* RFC 4291, 2.5 to 2.7: addresses that never are a packet's on this interface. */
static bool bad_addresses(const struct netif *netif, const struct ip_info *info)
{
    bool loop = netif->flags & NETIF_LOOPBACK;

    if (addr_is_multicast(&info->src) || addr_is_v4_mapped(&info->src) ||
        addr_is_v4_mapped(&info->dst))
        return true;
    if (loop)
        return false;
    if (addr_is_loopback(&info->src) || addr_is_loopback(&info->dst))
        return true;
    /* Another host that has our address says so in an ICMP message. */
    return info->protocol != IP_ICMP6 && has_addr(netif, &info->src);
}

/* What walking the extension headers ended in. */
enum walked { WALK_DONE, WALK_DROP, WALK_WAIT };

/* The option types of a hop-by-hop or destination header: 4.2. False: the packet is to be dropped.
 */
static bool options_ok(struct pkt *pkt, const struct ip_info *info, const u8 *p, u32 len)
{
    for (u32 i = 2; i < len;) {
        u8 type = p[i];
        if (type == 0) { /* Pad1 */
            i++;
            continue;
        }
        if (i + 2 > len || i + 2 + p[i + 1] > len)
            return false;
        bool known = type == 1 || type == 5; /* PadN, router alert */
        if (!known && type >> 6) {
            if (type >> 6 == 2 || (type >> 6 == 3 && info->cast == IP_UNICAST))
                icmp_send_error(pkt, info, WHY_PARAMETER, i);
            return false;
        }
        i += 2u + p[i + 1];
    }
    return true;
}

static enum walked take_fragment(struct netif *netif, struct pkt **pkt, struct ip_info *info,
                                 u8 *next)
{
    const struct ip6_frag_hdr *hdr = (const void *)pkt_linear(*pkt, FRAG_LEN);
    if (!hdr)
        return WALK_DROP;
    struct frag_key key = {info->src, info->dst, hdr->id.raw, hdr->next};
    u32 offset = be16_get(hdr->offset) & ~7u;
    bool more = be16_get(hdr->offset) & 1;

    *next = hdr->next;
    pkt_strip(*pkt, FRAG_LEN);
    if (!offset && !more) /* an atomic fragment: RFC 6946 */
        return WALK_DONE;
    *pkt = reasm_add(&key, netif, *pkt, offset, more);
    return *pkt ? WALK_DONE : WALK_WAIT;
}

/* One extension header of the plain kind: next, length in eights, options or routing data. */
static enum walked take_extension(struct pkt *pkt, const struct ip_info *info, u8 *next)
{
    const u8 *p = pkt_linear(pkt, 8);
    u32 len = p ? (p[1] + 1) * 8u : 0;

    p = p ? pkt_linear(pkt, len) : NULL;
    if (!p)
        return WALK_DROP;
    if (*next == IP_ROUTING) {
        if (p[3]) { /* hops left: we are no router, and type 0 is gone (RFC 5095) */
            icmp_send_error(pkt, info, WHY_PARAMETER, 2);
            return WALK_DROP;
        }
    } else if (!options_ok(pkt, info, p, len)) {
        return WALK_DROP;
    }
    *next = p[0];
    pkt_strip(pkt, len);
    return WALK_DONE;
}

static enum walked walk(struct netif *netif, struct pkt **pkt, struct ip_info *info, u8 *next)
{
    for (u32 n = 0; n < MAX_EXTENSIONS; n++) {
        enum walked result;
        switch (*next) {
        case IP_HOP_BY_HOP:
            if (n) /* only first: 4.1 */
                return WALK_DROP;
            __attribute__((fallthrough));
        case IP_ROUTING:
        case IP_DST_OPTIONS:
            result = take_extension(*pkt, info, next);
            break;
        case IP_FRAGMENT:
            result = take_fragment(netif, pkt, info, next);
            break;
        default:
            return WALK_DONE;
        }
        if (result != WALK_DONE)
            return result;
    }
    return WALK_DROP;
}

static void deliver(struct netif *netif, struct pkt *pkt, struct ip_info *info, u8 next)
{
    enum walked result = WALK_DONE;

    if (unlikely(!transport_find(next) || next == IP_HOP_BY_HOP))
        result = walk(netif, &pkt, info, &next);
    if (unlikely(result == WALK_WAIT))
        return;
    if (unlikely(result == WALK_DROP)) {
        NET_COUNT(ip6_in_hdr_errors);
        pkt_free(pkt);
        return;
    }
    info->protocol = next;
    NET_COUNT(ip6_in_delivers);
    /* The other version's ICMP is nobody's here. */
    if (likely(next != IP_ICMP && ip_deliver(pkt, info)))
        return;
    if (next != IP_NO_NEXT) {
        NET_COUNT(ip6_in_unknown_protos);
        if (info->cast == IP_UNICAST)
            icmp_send_error(pkt, info, WHY_PROTOCOL, 6);
    }
    pkt_free(pkt);
}

void ip6_receive(struct netif *netif, struct pkt *pkt)
{
    NET_COUNT(ip6_in_receives);
    const struct ip6_hdr *hdr = (const void *)pkt_linear(pkt, HEADER_LEN);
    if (unlikely(!hdr || be16_get(hdr->payload_len) > pkt->total - HEADER_LEN)) {
        NET_COUNT(ip6_in_truncated);
        goto drop;
    }
    u32 first = be32_get(hdr->version_class_flow), total = HEADER_LEN + be16_get(hdr->payload_len);
    if (unlikely(first >> 28 != 6)) {
        NET_COUNT(ip6_in_hdr_errors);
        goto drop;
    }
    struct ip_info info = {.src = addr_from_v6(hdr->src),
                           .dst = addr_from_v6(hdr->dst),
                           .ttl = hdr->hop_limit,
                           .tos = (u8)(first >> 20),
                           .netif = netif};
    u8 next = hdr->next;
    info.protocol = next;
    info.cast = (u8)ip6_cast(netif, &info.dst);
    if (unlikely(info.cast == IP_NOT_OURS || bad_addresses(netif, &info))) {
        NET_COUNT(ip6_in_addr_errors);
        goto drop;
    }
    pkt->ecn = info.tos & 3;
    pkt_trim(pkt, total); /* Ethernet pads */
    pkt_strip(pkt, HEADER_LEN);
    deliver(netif, pkt, &info, next);
    return;

drop:
    netif_count(netif)->rx_dropped++;
    pkt_free(pkt);
}
