/* What drivers of simple network cards share: frames arrive whole, one a page. */
#pragma once

struct netif;
struct page;
struct pkt;

#include "lib/types.h"

/** Give @netif the next of the names "eth0", "eth1" ... */
void nic_set_name(struct netif *netif);
/**
 * A packet of the @len bytes at the start of *@page, a page of the caller's. A small frame is
 * copied and the page can be used again; otherwise the packet takes it, and *@page is NULL. NULL:
 * no memory, or @len is no frame's; the page stays.
 */
struct pkt *nic_take_frame(struct page **page, u32 len);
