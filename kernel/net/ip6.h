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
/** Listen for questions about an address of ours; leave it again. */
void ndp_join(struct netif *netif, const struct ip_addr *addr);
void ndp_leave(struct netif *netif, const struct ip_addr *addr);
/** Ask whether anybody has @addr, which is to be ours. @nonce: 48 bits that mark it as our own. */
void ndp_probe(struct netif *netif, const struct ip_addr *addr, u64 nonce);
/** Ask for routers. */
void ndp_solicit_router(struct netif *netif);

/* ---- slaac.c ---- */

/** At start, before any interface. */
void slaac_init(void);
/** A link-local address, then routers' prefixes. */
void slaac_start(struct netif *netif);
/** Forget what routers told and what was made of the MAC address; then begin again with another
 * one, if slaac_stop() says that it had begun. */
bool slaac_stop(struct netif *netif);
void slaac_restart(struct netif *netif);
/** All of a router's message has been taken: who waits for it goes on. */
void slaac_answered(struct netif *netif);
/** Wait for the first answer of a router, if one was asked a moment ago: a tenth of a second, as
 * most networks have none. Thread context; sleeps. 0 or -EINTR. */
int slaac_wait(void);
/** The link has come back: ask for routers. */
void slaac_link_up(struct netif *netif);
/** An IPv6 address has come (it is probed if tentative), or gone; or any that has an end has come.
 */
void slaac_addr_added(struct netif *netif, const struct ip_addr *addr);
void slaac_addr_removed(struct netif *netif, const struct ip_addr *addr);
/** Another host uses @addr of ours. True: it was tentative, and is ours no more. */
bool slaac_conflict(struct netif *netif, const struct ip_addr *addr);
/** Is this the mark of our own probes, which a network has sent back to us? */
bool slaac_is_own_probe(const struct netif *netif, u64 nonce);

enum slaac_kind { SLAAC_NONE, SLAAC_ROUTER, SLAAC_PREFIX, SLAAC_NAME_SERVER };
/** A router tells of itself, a prefix on the link, or a name server; for @lifetime_s seconds, 0: no
 * longer, ~0: for ever. */
void slaac_hear(struct netif *netif, enum slaac_kind kind, const struct ip_addr *addr, u8 prefix,
                u32 lifetime_s);
/** A router's prefix makes this address ours: RFC 4862, 5.5.3. */
void slaac_hear_address(struct netif *netif, const struct ip_addr *addr, u32 valid_s,
                        u32 preferred_s);
/** The link-scope address derived from the MAC address (RFC 4291, appendix A). */
struct ip_addr ip6_link_local(const struct netif *netif);

/** ff02::1 and ff02::2. */
extern const struct ip_addr ip6_all_nodes, ip6_all_routers;
