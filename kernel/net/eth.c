/* Ethernet: who is meant, and which protocol takes it. */
#include "lib/string.h"
#include "net/net_priv.h"
#include "net/stats.h"

/* Two stores: the destination with two bytes too many, then source and type over them. */
void eth_send(struct netif *netif, struct pkt *pkt, u64 dst, u16 type)
{
    u8 *hdr = pkt_push(pkt, ETH_HDR_LEN);
    u64 rest = mac_load(netif->mac) | (u64)__builtin_bswap16(type) << 48;

    __builtin_memcpy(hdr, &dst, 8);
    __builtin_memcpy(hdr + 6, &rest, 8);
    netif_send(netif, pkt);
}

/* Unicast to us, or a group address; which groups is IP's to know. */
static bool for_us(const struct netif *netif, const struct eth_hdr *hdr)
{
    return (hdr->dst[0] & 1) || mac_load(hdr->dst) == mac_load(netif->mac);
}

void eth_receive(struct netif *netif, struct pkt *pkt)
{
    const struct eth_hdr *hdr = (const void *)pkt_linear(pkt, ETH_HDR_LEN);

    if (unlikely(!hdr || (hdr->src[0] & 1))) {
        NET_COUNT(eth_in_errors);
        netif->stats.rx_errors++;
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
        netif->stats.rx_dropped++;
        pkt_free(pkt);
    }
}
