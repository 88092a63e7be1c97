/* IPv6: RFC 8200. */
#include "abi/errno.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { DEFAULT_HOPS = 64, HEADER_LEN = sizeof(struct ip6_hdr) };

int ip6_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
               const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta)
{
    u32 len = pkt->total + HEADER_LEN;

    NET_COUNT(ip6_out_requests);
    if (unlikely((len > route->mtu && !pkt->gso) || pkt->total > IP_MAX_LEN)) {
        NET_COUNT(ip6_frag_fails);
        pkt_free(pkt);
        return -EMSGSIZE;
    }
    u16 payload = (u16)pkt->total;
    struct ip6_hdr *hdr = (void *)pkt_push(pkt, HEADER_LEN);
    hdr->version_class_flow.raw = be32_of(6u << 28 | (u32)meta->tos << 20).raw | meta->flow_label;
    hdr->payload_len = be16_of(payload);
    hdr->next = protocol;
    hdr->hop_limit = meta->ttl ? meta->ttl : DEFAULT_HOPS;
    __builtin_memcpy(hdr->src, src->bytes, 16);
    __builtin_memcpy(hdr->dst, dst->bytes, 16);
    ip_transmit(pkt, route, ETH_IP6);
    return 0;
}

void ip6_receive(struct netif *netif, struct pkt *pkt)
{
    (void)netif;
    pkt_free(pkt);
}

void ndp_solicit(struct netif *netif, const struct ip_addr *addr, u64 mac)
{
    (void)netif, (void)addr, (void)mac;
}

void icmp6_send_error(const struct pkt *pkt, const struct ip_info *info, enum icmp_why why,
                      u32 pointer)
{
    (void)pkt, (void)info, (void)why, (void)pointer;
}
