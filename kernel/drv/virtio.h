/* Virtio devices (virtio 1.2; over PCI also those from before version 1): what a driver of one
 * device type uses. Transports (virtio_mmio.c, virtio_pci.c, virtio_window.c) find devices and hand
 * them to virtio_add(), which looks up the driver.  A device is never trusted: what it writes into
 * a ring is checked against our own copy, and a device that misbehaves is shut off (virtio_break)
 * rather than followed. */
#pragma once

#include "core/spinlock.h"
#include "lib/types.h"

struct virtio_dev;
struct virtq;

/** Device types (5). */
enum virtio_type {
    VIRTIO_NET = 1,
    VIRTIO_BLOCK = 2,
    VIRTIO_CONSOLE = 3,
    VIRTIO_ENTROPY = 4,
    VIRTIO_BALLOON = 5,
    VIRTIO_SCSI = 8,
    VIRTIO_9P = 9,
    VIRTIO_VSOCK = 19,
};

/** Feature bits that belong to the ring and the transport (6). */
enum virtio_feature {
    VIRTIO_F_ANY_LAYOUT = 27, /* where VERSION_1 is not there, which means it */
    VIRTIO_F_EVENT_IDX = 29,
    VIRTIO_F_VERSION_1 = 32,
};

/** What a transport does. Thread context, at start or under the device's own serialisation. */
struct virtio_transport {
    u8 (*get_status)(struct virtio_dev *dev);
    void (*set_status)(struct virtio_dev *dev, u8 status);
    u64 (*get_features)(struct virtio_dev *dev);
    void (*set_features)(struct virtio_dev *dev, u64 features);
    /** Select queue @index and return its largest size, 0 if there is none. */
    u16 (*queue_max)(struct virtio_dev *dev, u16 index);
    /** Tell where the rings lie (pa) and enable the queue. 0 or a negative errno. */
    int (*queue_enable)(struct virtio_dev *dev, struct virtq *vq);
    void (*notify)(struct virtio_dev *dev, struct virtq *vq);
    /** Read and acknowledge what the interrupt was for; bit 0 queues, bit 1 configuration. */
    u32 (*ack_interrupt)(struct virtio_dev *dev);
    bool tells_cause; /* else both bits may be set for either */
    bool legacy;      /* from before version 1: queues in one piece, as large as the device says */
    /** Read @len bytes of the device's own configuration at @offset; zeroes past its end. */
    void (*read_config)(struct virtio_dev *dev, u32 offset, void *buf, u32 len);
    /** Write there; NULL: the transport cannot, and no device type that needs it is behind it. */
    void (*write_config)(struct virtio_dev *dev, u32 offset, const void *buf, u32 len);
    /** What messages call the device: "virtio-mmio@feb02e00". */
    void (*describe)(struct virtio_dev *dev, char *text, size_t size);
    /** Deliver the device's interrupts as pending line @line. 0 or a negative errno. */
    int (*route_irq)(struct virtio_dev *dev, u32 line);
    /** Deliver those of queue @index, not yet enabled, as @line of @cpu, which is online. 0 or a
     * negative errno: they come as the device's. NULL: they always do. */
    int (*route_queue)(struct virtio_dev *dev, u16 index, u32 line, u32 cpu);
};

enum { VIRTIO_MAX_QUEUES = 32 };

/* Fields: [I] fixed once the driver is up, [A] atomic. */
struct virtio_dev {
    const struct virtio_transport *transport; /* [I] */
    char name[32];                            /* for messages: see virtio_name() */
    u32 type;                                 /* [I] enum virtio_type */
    u64 features;                             /* [I] negotiated */
    bool broken;                              /* [A] shut off; its queues answer nothing more */
    struct virtq *queues[VIRTIO_MAX_QUEUES];  /* [I] those with a callback, for the interrupt */
    u32 nr_queues;                            /* [I] */
    void (*config_changed)(struct virtio_dev *dev); /* [I] or NULL; safe point, must not sleep */
    void *driver;                                   /* [I] the driver's own */
};

/** The device's name for messages, made when one needs it. */
const char *virtio_name(struct virtio_dev *dev);

/** One piece of a request, contiguous in physical memory. */
struct virtq_buf {
    u64 pa;
    u32 len;
};

struct virtq_desc;
struct virtq_avail;
struct virtq_used;

/* A split ring (2.7).  Fields: [I], [L] under the lock of whoever owns the queue: all calls on one
 * queue are serialised by its driver. */
struct virtq {
    struct virtio_dev *dev;    /* [I] */
    u16 index;                 /* [I] */
    u16 size;                  /* [I] entries, a power of two */
    u16 nr_free;               /* [L] free descriptors */
    u16 free_head;             /* [L] */
    u16 next_avail;            /* [L] our shadow of avail.idx */
    u16 last_used;             /* [L] how far we have read the used ring */
    u16 last_kick;             /* [L] next_avail at the last notification */
    bool event_idx;            /* [I] */
    bool counts_all;           /* [I] the device counts what it read as written: a SCSI host */
    struct virtq_desc *desc;   /* [I] owns the ring memory; the device reads it */
    struct virtq_avail *avail; /* [I] */
    volatile struct virtq_used *used; /* [I] the device writes it: never trusted */
    u64 desc_pa, avail_pa, used_pa;   /* [I] the same, as the device is told */
    struct virtq_slot {
        void *token;                   /* what the driver gave; NULL: not the head of a request */
        u16 next;                      /* next descriptor of the chain or of the free list */
        u16 count;                     /* descriptors in the chain */
        u32 writable;                  /* bytes the device may write */
    } * slots;                         /* [L] our own copy of every chain: owns */
    void (*used_fn)(struct virtq *vq); /* [I] at a safe point after an interrupt, or NULL */
    void *data;                        /* [I] the driver's own */
    volatile void *notify_reg;         /* [I] the transport's own */
};

/** A driver of one device type. @probe: thread context; 0, or a negative errno (logged). */
struct virtio_driver {
    u32 type;
    const char *name;
    int (*probe)(struct virtio_dev *dev);
};

/** For transports: a device was found and reset. Looks for the driver and probes. */
void virtio_add(struct virtio_dev *dev);

/**
 * Acknowledge the device and agree on @wanted plus VERSION_1 and EVENT_IDX (3.1.1, steps 2 to 6).
 * 0, or -ENODEV where the device is not modern or refuses.
 */
int virtio_negotiate(struct virtio_dev *dev, u64 wanted);
/** Take interrupts for the queues with a used_fn; call before virtio_driver_ok. */
int virtio_enable_irq(struct virtio_dev *dev);
/**
 * Where the device can, queue @index interrupts @cpu itself, as pending line @line; otherwise its
 * used_fn is called as for all others. Call before virtq_init.
 */
void virtio_route_queue(struct virtio_dev *dev, u16 index, u32 line, u32 cpu);
/** The device is live from here on. */
void virtio_driver_ok(struct virtio_dev *dev);
/** Reset: the device lets go of all queues. */
void virtio_reset(struct virtio_dev *dev);
/** The device broke the rules: say @why once, and use it no more. */
void virtio_break(struct virtio_dev *dev, const char *why);

static inline bool virtio_has(const struct virtio_dev *dev, unsigned feature)
{
    return dev->features >> feature & 1;
}

/**
 * Set up queue @index with up to @wanted entries (a power of two).
 * @used_fn: see struct virtq; NULL for a queue that is polled.
 * 0, -ENOENT where the device has no such queue, or -ENOMEM.
 */
int virtq_init(struct virtq *vq, struct virtio_dev *dev, u16 index, u16 wanted,
               void (*used_fn)(struct virtq *vq));
/** Free the ring; only after virtio_reset. */
void virtq_fini(struct virtq *vq);
/**
 * Offer one request: @nr_out pieces that the device reads, then @nr_in that it writes.
 * @token comes back from virtq_take; not NULL. 0, or -ENOSPC; -EIO if the device is broken.
 */
int virtq_add(struct virtq *vq, const struct virtq_buf *bufs, u32 nr_out, u32 nr_in, void *token);
/** The same for one piece, read by the device or (@in) written. */
int virtq_add_one(struct virtq *vq, u64 pa, u32 len, bool in, void *token);
/** Tell the device, if it wants to be told, about what was added since the last call. */
void virtq_kick(struct virtq *vq);
/** The next finished request's token and, in *@len, the bytes that were written; NULL: none. */
void *virtq_take(struct virtq *vq, u32 *len);
/** True if virtq_take() has something: one load. */
bool virtq_has_used(const struct virtq *vq);
/**
 * Ask for an interrupt at the next finished request (there is none unless asked for).
 * True if a finished request is there already: then take it, an interrupt may not come.
 */
bool virtq_enable_notify(struct virtq *vq);
/** Ask for no more interrupts: a burst is being worked off. */
void virtq_disable_notify(struct virtq *vq);
/** Spin until a request is finished (at start, or where nothing can sleep). False: broken or 1 s.
 */
bool virtq_poll(struct virtq *vq);

/** The transports look for devices; called by drv_init. */
void virtio_mmio_probe_all(void);
void virtio_window_probe_all(void);

/** Drivers. */
extern const struct virtio_driver virtio_block_driver, virtio_console_driver, virtio_net_driver,
    virtio_rng_driver, virtio_scsi_driver, virtio_balloon_driver, virtio_vsock_driver,
    virtio_9p_driver;
