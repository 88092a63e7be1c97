/* ARP: RFC 826, with the announcements of RFC 5227. What asks and answers; the table is neigh.c. */
#include "core/log.h"
#include "core/time.h"
#include "lib/string.h"
#include "net/config.h"
#include "net/net_priv.h"
#include "net/stats.h"

static void arp_send(struct netif *netif, u16 op, u32 sender_ip, u64 target_mac, u32 target_ip,
                     u64 frame_dst)
{
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return;
    struct arp_hdr *arp = (void *)pkt_put(pkt, sizeof(*arp));

    *arp = (struct arp_hdr){.hw_type = be16_of(1),
                            .proto_type = be16_of(ETH_IP4),
                            .hw_len = 6,
                            .proto_len = 4,
                            .op = be16_of(op),
                            .sender_ip = {sender_ip},
                            .target_ip = {target_ip}};
    memcpy(arp->sender_mac, netif->mac, 6);
    memcpy(arp->target_mac, &target_mac, 6);
    NET_COUNT(arp_out);
    eth_send(netif, pkt, frame_dst, ETH_ARP);
}

void arp_solicit(struct netif *netif, const struct ip_addr *addr, u64 mac)
{
    const struct ip_addr *source = netif_source(netif, addr);

    arp_send(netif, ARP_REQUEST, source ? addr_v4(source) : 0, 0, addr_v4(addr),
             mac ? mac : MAC_BROADCAST);
}

void arp_announce(struct netif *netif, const struct ip_addr *addr)
{
    arp_send(netif, ARP_REQUEST, addr_v4(addr), 0, addr_v4(addr), MAC_BROADCAST);
}

void arp_probe(struct netif *netif, const struct ip_addr *addr)
{
    arp_send(netif, ARP_REQUEST, 0, 0, addr_v4(addr), MAC_BROADCAST);
}

/* RFC 5227, 2.4 (b) and (c): an address is defended, but not more often than every ten seconds;
 * a leased one is given back if its lease is fresh or the other does not give in. */
static void defend(struct netif *netif, const struct ip_addr *addr)
{
    static const u64 interval_ns = 10 * NSEC_PER_SEC;
    u64 now = time_ns();
    bool again = netif->defended_ns && now - netif->defended_ns < interval_ns;
    char text[ADDR_TEXT_MAX];

    if (dhcp_conflict(netif, addr, again) || again)
        return;
    netif->defended_ns = now;
    log_warn("%s: another host uses %s, which is ours", netif->name, addr_format(addr, text));
    arp_announce(netif, addr);
}

static bool is_sound(const struct arp_hdr *arp)
{
    return be16_get(arp->hw_type) == 1 && be16_get(arp->proto_type) == ETH_IP4 &&
           arp->hw_len == 6 && arp->proto_len == 4 && !(arp->sender_mac[0] & 1);
}

static bool is_ours(const struct netif *netif, u32 ip)
{
    return ip4_cast(netif, ip) == IP_UNICAST;
}

static void take(struct netif *netif, const struct arp_hdr *arp)
{
    u32 sender = arp->sender_ip.raw, target = arp->target_ip.raw;
    u64 mac = mac_load(arp->sender_mac);
    bool asks_us = is_ours(netif, target);

    struct ip_addr from = addr_from_v4(sender), wanted = addr_from_v4(target);

    if (is_ours(netif, sender)) {
        if (mac != mac_load(netif->mac))
            defend(netif, &from);
        return;
    }
    if (!sender && asks_us && mac != mac_load(netif->mac) && dhcp_conflict(netif, &wanted, false))
        return; /* it asks for the same address as we, at the same time: neither gets it */
    bool reply = be16_get(arp->op) == ARP_REPLY;
    if (sender && !addr_is_multicast(&from))
        neigh_learn(netif, &from, mac, asks_us && !reply, asks_us && reply, true);
    if (asks_us && be16_get(arp->op) == ARP_REQUEST)
        arp_send(netif, ARP_REPLY, target, mac, sender, mac);
}

void arp_receive(struct netif *netif, struct pkt *pkt)
{
    const struct arp_hdr *arp = (const void *)pkt_linear(pkt, sizeof(*arp));

    NET_COUNT(arp_in);
    if (arp && is_sound(arp))
        take(netif, arp);
    else
        NET_COUNT(arp_in_errors);
    pkt_free(pkt);
}
