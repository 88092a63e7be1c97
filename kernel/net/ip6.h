/* IPv6 inside of the stack: ICMPv6, neighbour discovery, addresses that make themselves. */
#pragma once

#include "net/netif.h"

struct icmp_hdr;
struct ip_info;
struct pkt;

/** What an address that a packet came for is to us. */
enum ip_cast ip6_cast(const struct netif *netif, const struct ip_addr *dst);

/**
 * Send an ICMPv6 message, .data at its header, from @src (family 0: the interface's) to @dst by
 * @netif (NULL: by route). @hops 0: the default. Takes @pkt.
 */
void icmp6_send(struct netif *netif, struct pkt *pkt, const struct ip_addr *src,
                const struct ip_addr *dst, u8 hops);

/** Neighbour and router messages of ICMPv6 whose hop limit proves that they are the link's own;
 * .data at the ICMP header, all of it linear that fits. Borrows @pkt. */
void ndp_input(struct pkt *pkt, const struct ip_info *info);
/** Listen for questions about an address of ours. */
void ndp_join(struct netif *netif, const struct ip_addr *addr);
/** A link-local address, then routers' prefixes. */
void slaac_start(struct netif *netif);
/** The link-scope address derived from the MAC address (RFC 4291, appendix A). */
struct ip_addr ip6_link_local(const struct netif *netif);

/** ff02::1 and ff02::2. */
extern const struct ip_addr ip6_all_nodes, ip6_all_routers;
