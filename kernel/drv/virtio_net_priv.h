/* What the two files of virtio-net share: virtio_net.c moves frames, virtio_net_start.c does what
 * is rare.  Virtio 1.2, 5.1.
 *
 * Queues come in pairs, one a CPU as far as the device has them: a CPU sends by its own pair, and
 * the device returns a flow's frames by the pair that last sent for it (5.1.6.5.6), so a flow stays
 * on the CPU of the thread that serves it.  Any CPU may still work on any pair: its locks say so.
 */
#pragma once

#include "core/percpu.h"
#include "core/timer.h"
#include "drv/virtio.h"
#include "net/netif.h"

enum net_feature {
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_MTU = 3,
    F_MAC = 5,
    F_GUEST_TSO4 = 7,
    F_GUEST_TSO6 = 8,
    F_HOST_TSO4 = 11,
    F_HOST_TSO6 = 12,
    F_MRG_RXBUF = 15,
    F_STATUS = 16,
    F_CTRL_VQ = 17,
    F_GUEST_ANNOUNCE = 21,
    F_MQ = 22,
    F_HOST_USO = 56,
};

enum {
    VNET_MAX_PAIRS = 8,
    VNET_RING_LEN = 256,
    VNET_TX_CHAIN_MAX = PKT_FRAGS + 1,
};

/* Before each frame, either way. */
struct vnet_hdr {
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct vnet_hdr) == 12, "virtio 1.2, 5.1.6");
enum { VNET_HDR_LEN = sizeof(struct vnet_hdr) };

/* Two queues.  Fields: [I], [R] under .rx_lock, [T] under .tx_lock. */
struct vnet_pair {
    struct vnet *vn;          /* [I] */
    u32 cpu;                  /* [I] whose interrupts they are */
    u32 line;                 /* [I] pending line of that CPU; 0: the device's serves */
    struct virtq rx;          /* [R] tokens are pages */
    struct virtq tx;          /* [T] tokens are packets */
    struct spinlock rx_lock;  /* only tried: one CPU receives, the others need not */
    struct spinlock tx_lock;  /* a leaf */
    u32 rx_target;            /* [R] pages to keep with the device */
    struct timer rx_again;    /* more came than one burst takes, or memory was short */
    struct list_head backlog; /* [T] packets that the ring has no room for */
    u32 nr_backlog;           /* [T], read without */
    bool holds_doorbell;      /* [T], set without: answers to a burst that is being received */
    struct vnet_quiet {
        struct list_head node; /* [C] of the pairs that are looked at without interrupts */
        struct timer timer;    /* the longest that nobody looks */
        bool is_set, looked;   /* [C] the timer; somebody, since it was set */
        u32 late;              /* [C] times in a row that nobody did */
        u32 loud, loud_next;   /* [C] receptions with interrupts that are to come; the next time */
    } quiet;
};

/* A command to the device and its answer: 5.1.6.5. */
struct vnet_ctrl {
    struct virtq queue;
    struct vnet_command {
        u8 class, command;
        u16 value;
        u8 answer;
    } * command; /* of the heap: it must be contiguous */
};

/* Fields: [I]. */
struct vnet {
    struct netif netif;
    struct netif_offer offer; /* until it is taken up */
    struct virtio_dev *dev;
    u32 nr_pairs;                       /* in use, at least 1 */
    struct vnet_pair *pairs;            /* owns */
    struct vnet_pair *of_cpu[MAX_CPUS]; /* by which each CPU sends */
    struct vnet_ctrl ctrl; /* after the start only for announcements: safe points of one CPU */
};

static inline struct vnet *to_vnet(struct netif *netif)
{
    return container_of(netif, struct vnet, netif);
}

extern const struct netif_ops vnet_ops;

/** Prepare what a pair needs besides its queues. */
void vnet_pair_init(struct vnet_pair *pair, struct vnet *vn, u32 cpu);
/** The handlers of its queues, wherever the interrupt came. */
void vnet_rx_used(struct virtq *vq);
void vnet_tx_used(struct virtq *vq);
/** Handler of .line: work off both queues.  @arg: struct vnet_pair. */
void vnet_pair_pending(void *arg);
/** Give the device pages to receive in. */
void vnet_refill(struct vnet_pair *pair);
