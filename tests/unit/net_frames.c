#include "net_frames.h"

#include <string.h>

#include "net/ip.h"

const u8 peer_mac[6] = {2, 0, 0, 0, 0, 1}, our_mac[6] = {2, 0, 0, 0, 0, 2};

u8 frame[65536];

u32 put_eth(const u8 *dst, u16 type)
{
    struct eth_hdr *eth = (void *)frame;

    memcpy(eth->dst, dst, 6);
    memcpy(eth->src, peer_mac, 6);
    eth->type = be16_of(type);
    return sizeof(*eth);
}

void put_arp(u16 op, u32 sender, u32 target)
{
    struct arp_hdr *arp = (void *)(frame + put_eth(our_mac, ETH_ARP));

    *arp = (struct arp_hdr){.hw_type = be16_of(1),
                            .proto_type = be16_of(ETH_IP4),
                            .hw_len = 6,
                            .proto_len = 4,
                            .op = be16_of(op),
                            .sender_ip = be32_of(sender),
                            .target_ip = be32_of(target)};
    memcpy(arp->sender_mac, peer_mac, 6);
}

u32 put_ip4(u8 protocol, u32 src, u32 dst, u32 n, u16 frag)
{
    struct ip4_hdr *ip = (void *)(frame + put_eth(our_mac, ETH_IP4));

    *ip = (struct ip4_hdr){.version_ihl = 0x45,
                           .total_len = be16_of((u16)(20 + n)),
                           .id = be16_of(77),
                           .frag = be16_of(frag),
                           .ttl = 64,
                           .protocol = protocol,
                           .src = be32_of(src),
                           .dst = be32_of(dst)};
    ip->csum.raw = csum_fold(csum_add(ip, 20, 0));
    return L4_AT + n;
}

u32 put_icmp6(const u8 *src, const u8 *dst, u32 n)
{
    struct ip6_hdr *ip = (void *)(frame + put_eth(our_mac, ETH_IP6));
    struct icmp_hdr *icmp = (void *)(frame + L4_AT6);
    struct ip_addr from = addr_from_v6(src), to = addr_from_v6(dst);

    *ip = (struct ip6_hdr){.version_class_flow = be32_of(6u << 28),
                           .payload_len = be16_of((u16)n),
                           .next = IP_ICMP6,
                           .hop_limit = 255};
    memcpy(ip->src, src, 16);
    memcpy(ip->dst, dst, 16);
    icmp->csum.raw = 0;
    icmp->csum.raw = csum_fold(csum_add(icmp, n, ip_pseudo_csum(&from, &to, IP_ICMP6, n)));
    return L4_AT6 + n;
}
