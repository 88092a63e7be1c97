/* IPv4: RFC 791, 1122 3.2. */
#include "abi/errno.h"
#include "core/random.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { DEFAULT_TTL = 64, HEADER_LEN = sizeof(struct ip4_hdr) };

static u32 next_id[MAX_CPUS]; /* [C] */

void ip4_init(void)
{
    for (u32 i = 0; i < cpu_count; i++)
        next_id[i] = (u32)random_u64();
}

/* Twenty bytes without a loop; each carry comes back at the low end. */
static inline u16 header_csum(const struct ip4_hdr *hdr)
{
    u64 a, b;
    u32 c;

    __builtin_memcpy(&a, hdr, sizeof(a));
    __builtin_memcpy(&b, (const u8 *)hdr + 8, sizeof(b));
    __builtin_memcpy(&c, (const u8 *)hdr + 16, sizeof(c));
    u64 sum = a + b;
    sum += sum < b;
    sum += c;
    sum += sum < c;
    u32 high = (u32)(sum >> 32), low = (u32)sum + high;
    return csum_fold(low + (low < high));
}

/* Twenty bytes in five words, summed up on the way: RFC 791, 3.1. */
static inline void put_header(u8 *to, u32 len, u32 src, u32 dst, u8 protocol, u8 ttl, u8 tos,
                              u32 frag)
{
    u32 w0 = __builtin_bswap32(0x45u << 24 | (u32)tos << 16 | len);
    u32 w1 = __builtin_bswap32(next_id[cpu_id()]++ << 16 | frag);
    u32 w2 = __builtin_bswap32((u32)(ttl ? ttl : DEFAULT_TTL) << 24 | (u32)protocol << 16);
    u64 sum = (u64)w0 + w1 + w2 + src + dst;

    w2 |= (u32)csum_fold((u32)((sum & UINT16_MAX) + (sum >> 16))) << 16; /* of 35 bits */
    u32 words[] = {w0, w1, w2, src, dst};
    __builtin_memcpy(to, words, sizeof(words));
}

void ip4_output_segment(struct pkt *pkt, const struct route *route, u32 src, u32 dst, u8 ttl,
                        u8 tos)
{
    u32 len = pkt->total + HEADER_LEN;

    NET_COUNT(ip_out_requests);
    put_header(pkt_push(pkt, HEADER_LEN), len, src, dst, IP_TCP, ttl, tos, IP4_DF);
    ip_transmit(pkt, route, ETH_IP4);
}

int ip4_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
               const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta)
{
    u32 len = pkt->total + HEADER_LEN;
    bool too_big = unlikely(len > route->mtu) && !pkt->gso;

    NET_COUNT(ip_out_requests);
    if (unlikely((too_big && !meta->fragment) || len > IP_MAX_LEN)) {
        NET_COUNT(ip_frag_fails);
        pkt_free(pkt);
        return -EMSGSIZE;
    }
    put_header(pkt_push(pkt, HEADER_LEN), len, addr_v4(src), addr_v4(dst), protocol, meta->ttl,
               meta->tos, meta->fragment ? 0 : IP4_DF);
    if (unlikely(too_big))
        return ip4_fragment(pkt, route);
    ip_transmit(pkt, route, ETH_IP4);
    return 0;
}

/* RFC 1122, 3.2.1.3: the whole set of ones, and the subnet's. */
static inline enum ip_cast cast_on(const struct netif *netif, u32 dst)
{
    u32 n = netif->nr_addrs;

    for (u32 i = 0; i < n; i++) {
        const struct netif_addr *a = &netif->addrs[i];
        if (a->addr.family != ADDR_INET)
            continue;
        if (addr_v4(&a->addr) == dst)
            return IP_UNICAST;
        u32 host = a->prefix < 31 ? __builtin_bswap32(UINT32_MAX >> a->prefix) : 0;
        if (host && !((addr_v4(&a->addr) ^ dst) & ~host) && (dst & host) == host)
            return IP_BROADCAST;
    }
    return IP_NOT_OURS;
}

struct cast_query {
    u32 dst;
    enum ip_cast cast;
};

static int ask_other(struct netif *netif, void *arg)
{
    struct cast_query *query = arg;

    query->cast = cast_on(netif, query->dst);
    return query->cast == IP_UNICAST;
}

enum ip_cast ip4_cast(const struct netif *netif, u32 dst)
{
    enum ip_cast cast = cast_on(netif, dst);

    if (likely(cast != IP_NOT_OURS))
        return cast;
    if (dst == UINT32_MAX)
        return IP_BROADCAST;
    if ((dst & 0xf0) == 0xe0)
        return IP_MULTICAST;
    if (netif->flags & NETIF_LOOPBACK) { /* all of 127/8, and any address of ours */
        if ((dst & 0xff) == 127)
            return IP_UNICAST;
        struct cast_query query = {.dst = dst, .cast = IP_NOT_OURS};
        netif_for_each(ask_other, &query);
        return query.cast == IP_UNICAST ? IP_UNICAST : IP_NOT_OURS;
    }
    return IP_NOT_OURS;
}

/* What no honest sender on this interface uses as its address: RFC 1122, 3.2.1.3. */
static bool bad_source(const struct netif *netif, u32 src)
{
    if ((src & 0xf0) == 0xe0 || src == UINT32_MAX)
        return true;
    if (netif->flags & NETIF_LOOPBACK)
        return false;
    return (src & 0xff) == 127 || cast_on(netif, src) != IP_NOT_OURS;
}

/* A fragment goes to be joined; what comes back complete goes on. */
static struct pkt *reassemble(struct netif *netif, struct pkt *pkt, const struct ip_info *info,
                              u16 frag)
{
    struct frag_key key = {info->src, info->dst, info->id, info->protocol};

    return reasm_add(&key, netif, pkt, (frag & IP4_OFFSET) * 8u, frag & IP4_MF);
}

static void deliver(struct netif *netif, struct pkt *pkt, const struct ip4_hdr *hdr, u32 header_len,
                    bool refused)
{
    u16 frag = be16_get(hdr->frag);
    struct ip_info info = {.src = addr_from_v4(hdr->src.raw),
                           .dst = addr_from_v4(hdr->dst.raw),
                           .protocol = hdr->protocol,
                           .ttl = hdr->ttl,
                           .tos = hdr->tos,
                           .id = be16_get(hdr->id),
                           .netif = netif,
                           .refused = refused};

    info.cast = (u8)ip4_cast(netif, hdr->dst.raw);
    if (unlikely(info.cast == IP_NOT_OURS)) {
        if (!(netif->flags & NETIF_CONFIGURING)) {
            NET_COUNT(ip_in_addr_errors);
            pkt_free(pkt);
            return;
        }
        info.cast = IP_UNICAST;
    }
    pkt->ecn = info.tos & 3;
    pkt_strip(pkt, header_len);
    if (unlikely(frag & (IP4_MF | IP4_OFFSET))) {
        pkt = reassemble(netif, pkt, &info, frag);
        if (!pkt)
            return;
    }
    NET_COUNT(ip_in_delivers);
    if (likely(ip_deliver(pkt, &info)))
        return;
    NET_COUNT(ip_in_unknown_protos);
    if (info.cast == IP_UNICAST)
        icmp_send_error(pkt, &info, WHY_PROTOCOL, 0);
    pkt_free(pkt);
}

/* No options, no fragment, no mistakes. */
static inline bool is_plain(const struct pkt *pkt, const struct ip4_hdr *hdr)
{
    u32 total = be16_get(hdr->total_len);

    return pkt->len >= HEADER_LEN && hdr->version_ihl == 0x45 && total <= pkt->total &&
           total >= HEADER_LEN && !(be16_get(hdr->frag) & (IP4_MF | IP4_OFFSET)) &&
           !header_csum(hdr);
}

/* What a connection waits for goes to it at once, without a look at its addresses: they are the
 * connection's, and good as long as the configuration does not change. */
static bool is_taken(struct netif *netif, struct pkt *pkt, const struct ip4_hdr *hdr)
{
    const struct transport *transport = transport_find(hdr->protocol);

    if (!transport || !transport->expected4 || unlikely(ip_raw_input))
        return false;
    u32 total = be16_get(hdr->total_len);
    if (unlikely(total != pkt->total))
        pkt_trim(pkt, total);
    return transport->expected4(netif, pkt, hdr->src.raw, hdr->dst.raw);
}

/* @plain: is_plain(). */
static __attribute__((noinline)) void receive_any(struct netif *netif, struct pkt *pkt, bool plain)
{
    NET_COUNT(ip_in_receives);
    const struct ip4_hdr *hdr = (const void *)pkt_linear(pkt, HEADER_LEN);
    if (unlikely(!hdr))
        goto truncated;
    u32 header_len = (hdr->version_ihl & 15) * 4u, total = be16_get(hdr->total_len);
    if (unlikely(hdr->version_ihl >> 4 != 4 || header_len < HEADER_LEN || total < header_len)) {
        NET_COUNT(ip_in_hdr_errors);
        goto drop;
    }
    if (unlikely(total > pkt->total))
        goto truncated;
    if (unlikely(header_len > HEADER_LEN)) { /* options are skipped, source routes not followed */
        hdr = (const void *)pkt_linear(pkt, header_len);
        if (!hdr)
            goto truncated;
    }
    if (!(netif->flags & NETIF_LOOPBACK) &&
        unlikely(header_len == HEADER_LEN ? header_csum(hdr)
                                          : csum_fold(csum_add(hdr, header_len, 0)))) {
        NET_COUNT(ip_in_csum_errors);
        NET_COUNT(ip_in_hdr_errors);
        goto drop;
    }
    if (unlikely(bad_source(netif, hdr->src.raw))) {
        NET_COUNT(ip_in_addr_errors);
        goto drop;
    }
    pkt_trim(pkt, total); /* Ethernet pads */
    deliver(netif, pkt, hdr, header_len, plain);
    return;

truncated:
    NET_COUNT(ip_in_truncated);
drop:
    netif_count(netif)->rx_dropped++;
    pkt_free(pkt);
}

void ip4_receive(struct netif *netif, struct pkt *pkt)
{
    bool plain = is_plain(pkt, (const void *)pkt->data);

    if (unlikely(!plain || !is_taken(netif, pkt, (const void *)pkt->data))) {
        receive_any(netif, pkt, plain);
        return;
    }
    NET_COUNT(ip_in_receives);
    NET_COUNT(ip_in_delivers);
}
