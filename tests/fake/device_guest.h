/* A guest for a device process: memory of its exact size, rings at fixed places, a window.  The
 * driver that plays it may be as wrong as a test wants. */
#pragma once

#include "device/device.h"
#include "device/net.h"

enum {
    GUEST_MEMORY = 0x20000,
    GUEST_QUEUE = 8,      /* entries of each queue */
    GUEST_RINGS = 0x1000, /* queue i's: desc, avail, used at 0, 0x100 and 0x200 of its page */
    GUEST_DATA = 0x8000,
    GUEST_PENDING = 0x40,
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    DESC_INDIRECT = 4,
};

struct fake_desc {
    u64 addr;
    u32 len;
    u16 flags, next;
};

struct fake_guest {
    struct guest guest;
    struct window *window;
    int irq[2];
    char *words; /* what the device complained about */
    size_t words_len;
};

/** Memory of zeroes, and @window as `ingot run` leaves it: offer_*() is the caller's. */
void fake_guest_init(struct fake_guest *fake, u32 nr_devices);
void fake_guest_fini(struct fake_guest *fake);

/** The driver has chosen @features and starts @nr_queues of @dev. */
void fake_start(struct fake_guest *fake, struct device *dev, u64 features, u32 nr_queues);

/** Descriptor @i of queue @queue. */
struct fake_desc *fake_desc(struct fake_guest *fake, u32 queue, u32 i);
/** Offer the chain at @head. */
void fake_offer(struct fake_guest *fake, u32 queue, u16 head);
/** How many chains came back; the bytes written to the last one in *@len, which may be NULL. */
u16 fake_used(struct fake_guest *fake, u32 queue, u32 *len);
/** The guest's memory at @addr. */
static inline void *fake_at(struct fake_guest *fake, u64 addr)
{
    return fake->guest.memory.at + addr;
}
