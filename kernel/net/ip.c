/* What both versions of IP share: the transports' table, the last step out, the first step in. */
#include "net/ip.h"

#include "abi/errno.h"
#include "net/net_priv.h"
#include "net/stats.h"

const struct transport *transports[256];

bool (*ip_raw_input)(const struct pkt *pkt, const struct ip_info *info);

void transport_register(const struct transport *transport)
{
    transports[transport->protocol] = transport;
}

int ip_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
              const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta)
{
    static const struct ip_meta plain;

    if (!meta)
        meta = &plain;
    if (dst->family == ADDR_INET)
        return ip4_output(pkt, route, src, dst, protocol, meta);
    return ip6_output(pkt, route, src, dst, protocol, meta);
}

void ip_receive(struct netif *netif, struct pkt *pkt)
{
    if (netif->flags & NETIF_GRO)
        gro_receive(netif, pkt);
    else
        ip_input(netif, pkt);
}

void ip_input(struct netif *netif, struct pkt *pkt)
{
    if (likely(pkt->protocol == ETH_IP4))
        ip4_receive(netif, pkt);
    else
        ip6_receive(netif, pkt);
}

void ip_receive_done(void)
{
    gro_flush();
}

bool ip_deliver(struct pkt *pkt, const struct ip_info *info)
{
    const struct transport *transport = transports[info->protocol];
    bool heard = false;

    if (unlikely(ip_raw_input))
        heard = ip_raw_input(pkt, info);
    if (likely(transport)) {
        transport->input(pkt, info);
        return true;
    }
    if (heard)
        pkt_free(pkt);
    return heard;
}

u32 ip_pseudo_csum(const struct ip_addr *src, const struct ip_addr *dst, u8 protocol, u32 len)
{
    u64 sum = (u64)__builtin_bswap16((u16)protocol) + __builtin_bswap32(len);

    if (dst->family == ADDR_INET) {
        sum += src->words[3];
        sum += dst->words[3];
    } else {
        for (u32 i = 0; i < 4; i++)
            sum += (u64)src->words[i] + dst->words[i];
    }
    sum = (sum & UINT32_MAX) + (sum >> 32);
    return (u32)(sum + (sum >> 32));
}

static int has_addr(struct netif *netif, void *arg)
{
    const struct ip_addr *addr = arg;

    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (netif->addrs[i].addr.family == addr->family && addr_equal(&netif->addrs[i].addr, addr))
            return 1;
    return 0;
}

bool ip_is_local(const struct ip_addr *addr)
{
    struct ip_addr copy = *addr;

    return addr_is_loopback(addr) || netif_for_each(has_addr, &copy);
}

void ip_port_unreachable(const struct pkt *pkt, const struct ip_info *info)
{
    if (info->cast == IP_UNICAST)
        icmp_send_error(pkt, info, WHY_PORT, 0);
}

/* Its transport and addresses, from the header that we wrote. */
static bool parse_own(struct pkt *pkt, struct ip_info *about, u32 *header_len)
{
    const u8 *hdr = pkt->data;

    if (pkt->protocol == ETH_IP4 && pkt->len >= sizeof(struct ip4_hdr)) {
        const struct ip4_hdr *ip = (const void *)hdr;
        *about = (struct ip_info){.src = addr_from_v4(ip->src.raw),
                                  .dst = addr_from_v4(ip->dst.raw),
                                  .protocol = ip->protocol};
        *header_len = (ip->version_ihl & 15) * 4u;
        return true;
    }
    if (pkt->protocol == ETH_IP6 && pkt->len >= sizeof(struct ip6_hdr)) {
        const struct ip6_hdr *ip = (const void *)hdr;
        *about = (struct ip_info){
            .src = addr_from_v6(ip->src), .dst = addr_from_v6(ip->dst), .protocol = ip->next};
        *header_len = sizeof(*ip);
        return true;
    }
    return false;
}

void ip_unreachable_neighbour(struct pkt *pkt)
{
    struct ip_info about;
    u32 header_len;
    u8 quoted[8];

    if (parse_own(pkt, &about, &header_len) && pkt_copy_out(pkt, header_len, quoted, 8))
        icmp_deliver_error(&about, EHOSTUNREACH, 0, quoted);
    pkt_free(pkt);
}
