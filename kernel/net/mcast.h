/* Groups that we listen to: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810), joins and leaves of any source.
 */
#pragma once

#include "net/netif.h"

struct ip_info;
struct pkt;

/** Join @group on @netif; counted. 0 or -ENOBUFS. */
int mcast_join(struct netif *netif, const struct ip_addr *group);
/** Leave it once. */
void mcast_leave(struct netif *netif, const struct ip_addr *group);
/** Is anybody here in @group on @netif? */
bool mcast_is_member(const struct netif *netif, const struct ip_addr *group);
/** A router asks who listens, by IGMP or MLD; .data at that header. Borrows @pkt. */
void mcast_query(struct pkt *pkt, const struct ip_info *info);
void mcast_init(void);
