/* The neighbour table as /proc/net/arp and netlink show it. */
#pragma once

#include "net/netif.h"

struct neigh_info {
    struct ip_addr addr;
    struct netif *netif;
    u8 mac[6];
    bool complete;  /* .mac is known */
    bool reachable; /* and was confirmed lately */
};

/** Entry @i, in no order. False: past the end. */
bool neigh_get_entry(u32 i, struct neigh_info *out);
void neigh_init(void);
