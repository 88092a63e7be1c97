/* The window: memory in which a guest in a process and its device process agree on virtio devices
 * (virtio 1.2, ch. 2; this is a transport of ours beside mmio and PCI).  It lies behind the guest's
 * memory in the same file; rings and buffers are in that memory, and all addresses in here are
 * guest-physical, which is the same as an offset in the file.
 *
 * `ingot run` writes what is offered before either side starts, so nobody waits for the other.
 * Each word has one writer from then on.  The device process trusts nothing in here but what it
 * wrote itself: it keeps copies of what it offered, and checks the rest.
 *
 * Doorbells are pipes, one a device: a byte says "look at your page and your queues".  Interrupts
 * are bits that the device process sets in the pending word of a CPU, and a byte in a pipe where
 * that CPU sleeps.  A pipe tells each side of the other's end. */
#pragma once

#include "lib/types.h"

enum {
    WINDOW_MAGIC = 0x776e6749,
    WINDOW_VERSION = 1,
    WINDOW_PAGE = 4096,
    WINDOW_MAX_DEVICES = 16,
    WINDOW_MAX_QUEUES = 17, /* eight pairs of a network device, and one to steer it */
    WINDOW_MAX_CPUS = 64,
    WINDOW_CONFIG = 64,
    WINDOW_QUEUE_MAX = 1024,        /* entries */
    WINDOW_STATUS_NEEDS_RESET = 64, /* virtio 1.2, 2.1 */
};

/* Words: [R] the runner's, before the start; [K] the kernel's; [D] the device process's. */
struct window_queue {
    u64 desc, avail, used; /* [K] */
    u16 max;               /* [R] entries; 0: no such queue */
    u16 size;              /* [K] a power of two */
    u8 enabled;            /* [K] */
    u8 line, cpu;          /* [K] its interrupt: a bit of that CPU's pending word */
    u8 reserved;
};

struct window_device {
    u32 type;           /* [R] as virtio numbers them (ch. 5) */
    u32 nr_queues;      /* [R] */
    u64 offered;        /* [R] features */
    u64 features;       /* [K] those agreed on */
    u32 status;         /* [K] device status */
    u32 request;        /* [K] counts changes of status that the device must act on ... */
    u32 answer;         /* [D] ... and the last it has acted on */
    u32 trouble;        /* [D] WINDOW_STATUS_NEEDS_RESET once the driver broke a rule */
    u32 config_changed; /* set by [D], taken by [K] */
    u8 config_line, config_cpu;
    u8 reserved[2];
    u32 config_len;           /* [R] */
    u8 config[WINDOW_CONFIG]; /* [R] then [D] */
    struct window_queue queue[WINDOW_MAX_QUEUES];
};

/* Where a CPU's interrupts go. */
struct window_cpu {
    u64 pending; /* [K] address of its pending word; 0: not there yet */
    u32 waiting; /* [K] it sleeps, or is about to: then a byte must follow the bit */
    u32 reserved;
};

struct window {
    u32 magic, version; /* [R] */
    u32 nr_devices;     /* [R] */
    u32 reserved;
    struct window_cpu cpu[WINDOW_MAX_CPUS];
};
static_assert(sizeof(struct window) <= WINDOW_PAGE, "one page");
static_assert(sizeof(struct window_device) <= WINDOW_PAGE, "one page each, behind the first");

/** Where device @i is, and how long a window of so many is. */
static inline struct window_device *window_device(struct window *w, u32 i)
{
    return (struct window_device *)((char *)w + (size_t)(i + 1) * WINDOW_PAGE);
}
static inline u64 window_bytes(u32 nr_devices)
{
    return (u64)(nr_devices + 1) * WINDOW_PAGE;
}
