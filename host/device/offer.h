/* What a device process will play, as whoever starts it and the guest writes it into the window
 * beforehand (abi/window.h).  For `ingot run`; the device process takes it from there. */
#pragma once

#include "abi/window.h"

/** An empty window.  @window: window_bytes() of zeroes for as many devices as will be added. */
void offer_init(struct window *window);

/**
 * A network device: over a @tap, whose header and offloads are passed on, or over the user's
 * network.
 */
void offer_net(struct window *window, const u8 mac[6], bool tap);

/** A disk of @bytes, of which whole sectors count. */
void offer_disk(struct window *window, u64 bytes, bool readonly);

/** A folder of the host, which the guest finds as "share@nr". */
void offer_share(struct window *window, u32 nr);
