/* A link between the two hosts of tests/fake/tcp_world.h: what the stack sends is cut into segments
 * where it is large, given a checksum, and then lost, doubled, delayed, reordered, damaged, marked
 * or refused as the seed decides. */
#pragma once

#include "lib/types.h"

/* One direction. Chances are parts of a thousand. */
struct link {
    u32 loss, duplicate, reorder, corrupt, mark;
    u64 delay_ns, jitter_ns;
    u64 ns_per_byte; /* 0: no limit */
    u32 queue_bytes; /* what waits for its turn; more is dropped */
    u32 mtu;         /* below the interface's: answered with an error, or swallowed */
    bool black_hole; /* swallowed */
    bool verified;   /* the receiver's device has checked the checksums */
    u64 busy_until_ns;
    u64 sent, lost, delivered;
};

/** Direction 0 is from host 1 to host 2. */
extern struct link links[2];
/** Until when nothing at all passes; 0: never. */
extern u64 link_down_until_ns;

/** Begin: packets of the stack go here. */
void link_start(void);
/** When the next packet arrives; TIME_NEVER: none is under way. */
u64 link_next_ns(void);
/** Deliver what has arrived by @ns. */
void link_run_to(u64 ns);
/** Throw away what is under way. */
void link_clear(void);
