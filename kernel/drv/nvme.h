/* NVM Express, what its two files share: nvme_start.c brings controllers up and asks them what they
 * are, nvme.c reads and writes.  NVMe base specification 1.4. */
#pragma once

#include "drv/disk_queue.h"
#include "drv/pci.h"

enum {
    NVME_ENTRIES = 64, /* of a queue; more than DISK_SLOTS, so that it is never full */
    NVME_MAX_QUEUES = 8,
};

enum nvme_opcode {
    NVME_FLUSH = 0x00,
    NVME_WRITE = 0x01,
    NVME_READ = 0x02,
    NVME_DATASET = 0x09,
};

struct nvme_command {
    u8 opcode, flags;
    u16 id;
    u32 nsid;
    u64 reserved, metadata;
    u64 prp1, prp2;
    u32 word[6]; /* dwords 10 to 15 */
};
static_assert(sizeof(struct nvme_command) == 64, "4.2");

struct nvme_completion {
    u32 result, reserved;
    u16 sq_head, sq_id;
    u16 id, status; /* bit 0 of the status: the phase */
};
static_assert(sizeof(struct nvme_completion) == 16, "4.6");

struct nvme;

/* Submission and completion ring. Fields: [I], [L] under .q.lock (start: nobody else is there). */
struct nvme_queue {
    struct disk_queue q;
    struct nvme *ctrl;                       /* [I] */
    struct nvme_command *sq;                 /* [I] a page of our own */
    volatile struct nvme_completion *cq;     /* [I] a page that the device writes */
    volatile u32 *sq_doorbell, *cq_doorbell; /* [I] */
    u64 *prp_lists;                          /* [I] a page for each slot */
    u32 entries;                             /* [I] */
    u16 id;                                  /* [I] 0: admin */
    u16 sq_tail, sq_rung, cq_head;           /* [L] */
    u16 phase;                               /* [L] of completions that are new: 1, 0, 1 ... */
};

/* A controller. Fields: [I], [A]. */
struct nvme {
    struct pci_dev pci;
    char name[16]; /* "nvme0" */
    volatile char *regs;
    u64 ready_ns; /* how long it may take */
    u32 stride;   /* bytes between doorbells */
    u32 max_entries;
    u32 max_bytes; /* of one command */
    bool has_cache, has_discard;
    bool dead; /* [A] shut off, by whichever queue */
    struct nvme_queue admin;
    u32 nr_queues;
    struct nvme_queue *queues[NVME_MAX_QUEUES]; /* one a CPU, as far as they go */
};

/* A namespace, which is a disk. */
struct nvme_disk {
    struct block_dev bd;
    struct nvme *ctrl;
    u32 nsid;
    char name[16]; /* "nvme0n1" */
};

extern const struct block_ops nvme_ops;
extern const struct disk_queue_ops nvme_queue_ops;

/** Switch the controller off: it lets go of all memory. */
void nvme_disable(struct nvme *ctrl);
/** The next command's place. */
struct nvme_command *nvme_next(struct nvme_queue *queue);
/** Tell the device of the commands before it. */
void nvme_ring(struct nvme_queue *queue);
/** The next finished command's number and status; false: none. */
bool nvme_take(struct nvme_queue *queue, u32 *id, u32 *status);
