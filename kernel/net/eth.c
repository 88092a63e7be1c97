/* Ethernet: who is meant, and which protocol takes it. */
#include "lib/string.h"
#include "net/net_priv.h"
#include "net/stats.h"

/* Unicast to us, or a group address; which groups is IP's to know. */
static inline bool for_us(const struct netif *netif, const struct eth_hdr *hdr)
{
    u64 dst;

    __builtin_memcpy(&dst, hdr, sizeof(dst)); /* and two bytes of the source, shifted out */
    return likely((dst ^ netif->mac_word) << 16 == 0) || (hdr->dst[0] & 1);
}

static inline void receive_frame(struct netif *netif, struct pkt *pkt)
{
    const struct eth_hdr *hdr = (const void *)pkt_linear(pkt, ETH_HDR_LEN);

    if (unlikely(!hdr || (hdr->src[0] & 1))) {
        NET_COUNT(eth_in_errors);
        netif_count(netif)->rx_errors++;
        pkt_free(pkt);
        return;
    }
    if (unlikely(!for_us(netif, hdr))) {
        NET_COUNT(eth_in_other_host);
        pkt_free(pkt);
        return;
    }
    pkt->protocol = be16_get(hdr->type);
    pkt_strip(pkt, ETH_HDR_LEN);
    if (likely(pkt->protocol == ETH_IP4 && !(netif->flags & NETIF_GRO))) {
        ip4_receive(netif, pkt);
        return;
    }
    switch (pkt->protocol) {
    case ETH_IP4:
    case ETH_IP6:
        ip_receive(netif, pkt);
        return;
    case ETH_ARP:
        arp_receive(netif, pkt);
        return;
    default: /* a protocol we do not speak */
        NET_COUNT(eth_in_unknown);
        netif_count(netif)->rx_dropped++;
        pkt_free(pkt);
    }
}

static void receive_otherwise(struct netif *netif, struct pkt *pkt)
{
    if (netif->flags & NETIF_UP) {
        ip_receive(netif, pkt);
        return;
    }
    netif_count(netif)->rx_dropped++;
    pkt_free(pkt);
}

void netif_receive(struct netif *netif, struct pkt *pkt)
{
    struct netif_stats *stats = netif_count(netif);
    stats->rx_packets++;
    stats->rx_bytes += pkt->total;
    pkt->netif = netif;
    if (unlikely(netif->tap))
        netif->tap(netif, pkt, false);
    if (likely((netif->flags & (NETIF_UP | NETIF_LOOPBACK)) == NETIF_UP))
        receive_frame(netif, pkt);
    else
        receive_otherwise(netif, pkt);
}
