/* A split virtqueue as it lies in memory, which the kernel's drivers and the device process share;
 * both sides are little-endian x86-64. Virtio 1.2, 2.7. */
#pragma once

#include "lib/types.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };
enum { NO_NOTIFY = 1, NO_INTERRUPT = 1 }; /* used.flags, avail.flags */

struct virtq_desc {
    u64 addr;
    u32 len;
    u16 flags;
    u16 next;
};
static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2, 2.7.5");

struct virtq_avail {
    u16 flags;
    u16 idx;
    u16 ring[]; /* then used_event */
};

struct virtq_used_elem {
    u32 id;
    u32 len;
};

struct virtq_used {
    u16 flags;
    u16 idx;
    struct virtq_used_elem ring[]; /* then avail_event */
};
