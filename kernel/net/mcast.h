/* Groups that we listen to: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810), joins and leaves of any source.
 */
#pragma once

#include "net/netif.h"

/** Join @group on @netif; counted. 0, -ENOBUFS. */
int mcast_join(struct netif *netif, const struct ip_addr *group);
/** Leave it once. */
void mcast_leave(struct netif *netif, const struct ip_addr *group);
/** Is anybody here in @group on @netif? */
bool mcast_is_member(const struct netif *netif, const struct ip_addr *group);
void mcast_init(void);
