/* A host whose only interface is ours to play: what the stack sends is caught, what it receives
 * comes from the test. Time passes only when told to. */
#pragma once

#include "core/time.h"
#include "fake/net_ground.h"
#include "net/netif.h"

extern struct netif world_netif; /* "eth0", 10.0.0.2/24 after world_up() */
extern bool world_quiet;         /* frames that are sent are not kept */
extern bool world_no_pages;      /* there is no page to be had */

enum { WORLD_FRAMES = 256, WORLD_FRAME_MAX = 2048 };
struct world_frame {
    u32 len;
    u8 bytes[WORLD_FRAME_MAX];
};
/** The oldest frame that was sent and not yet looked at; NULL: none. */
const struct world_frame *world_sent(void);

/** Start the stack with "ip=" set to @ip. Once a process. */
void world_up(const char *ip);
/** A frame arrives. @paged: in a page, as a driver receives large ones. @csum: enum pkt_csum. */
void world_receive(const void *frame, u32 len, bool paged, u8 csum);
/** Run timers and pending work until @ns from now. */
void world_pass(u64 ns);
/** Run pending work alone. */
void world_settle(void);
