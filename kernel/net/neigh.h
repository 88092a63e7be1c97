/* The neighbour table as /proc/net/arp and netlink show it. */
#pragma once

#include "abi/netlink.h"
#include "abi/socket.h"
#include "net/netif.h"

struct neigh_info {
    struct ip_addr addr;
    struct netif *netif;
    u8 mac[6];
    u16 state; /* NUD_* of the ABI */
};

/** Entry @i, in no order. False: past the end. */
bool neigh_get_entry(u32 i, struct neigh_info *out);
/** What arp(7) says of it: ATF_COM and ATF_PERM of enum arp_flags. */
static inline u32 neigh_arp_flags(const struct neigh_info *n)
{
    return n->state == NUD_PERMANENT    ? ATF_COM | ATF_PERM
           : n->state == NUD_INCOMPLETE ? 0
                                        : ATF_COM;
}
void neigh_init(void);

enum neigh_how { NEIGH_IF_NEW, NEIGH_IF_THERE, NEIGH_ANYWAY };
/** Say that @addr lives at @mac, for ever if @permanent. 0, -EEXIST, -ENOENT, -ENOBUFS. */
int neigh_set(struct netif *netif, const struct ip_addr *addr, const u8 mac[6], bool permanent,
              enum neigh_how how);
/** Forget what is known of @addr. 0 or -ENOENT. */
int neigh_remove(struct netif *netif, const struct ip_addr *addr);
