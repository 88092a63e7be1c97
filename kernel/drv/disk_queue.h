/* What drivers of disks share: requests that wait, slots of commands in flight, a watch over those
 * that are never answered.  A request becomes one command or, where the device cannot take it
 * whole, several, one after the other.  The driver gives commands and finds finished ones; both
 * under the queue's lock.  A device that breaks the rules or does not answer is shut off: all its
 * requests, and all that come, fail. */
#pragma once

#include "block/block.h"
#include "core/spinlock.h"
#include "core/timer.h"

enum { DISK_SLOTS = 32 };

struct disk_queue;

/** All under .lock of the queue; none may sleep. */
struct disk_queue_ops {
    /**
     * Give the device the next command of slot @slot: what begins at .segment and .offset of its
     * request, as much as fits one command, and note it with disk_slot_took(). 0, or a negative
     * errno, with which the request fails.
     */
    int (*start)(struct disk_queue *q, u32 slot);
    /** Ring the doorbell for what was started. True: look for finished ones again. Or NULL. */
    bool (*kick)(struct disk_queue *q);
    /** Find finished commands, and call disk_queue_finish() for each. */
    void (*collect)(struct disk_queue *q);
    /** Make the device let go of all memory. */
    void (*shut_off)(struct disk_queue *q);
};

/* A command in flight. Fields: [L]. */
struct disk_slot {
    struct block_request *request; /* NULL: free */
    u64 since_ns;                  /* when the command was given */
    u32 segment, offset;           /* where it begins */
    u32 bytes;                     /* of the request that it covers */
    u64 done;                      /* bytes of the commands before it */
};

/* Fields: [I], [L] under .lock. */
struct disk_queue {
    const char *name;                 /* [I] for messages; borrowed */
    const struct disk_queue_ops *ops; /* [I] */
    void *data;                       /* [I] the driver's */
    u32 nr_slots;                     /* [I] 1 to DISK_SLOTS */
    struct spinlock lock;             /* a leaf but for timers */
    struct list_head waiting;         /* [L] requests without a slot */
    struct list_head finished;        /* [L] .done is called when the lock is free */
    struct disk_slot slots[DISK_SLOTS];
    u32 nr_busy; /* [L] */
    bool broken; /* [L] */
    struct timer watch;
};

/** @nr_slots: commands that the device takes at a time. */
void disk_queue_init(struct disk_queue *q, const char *name, const struct disk_queue_ops *ops,
                     void *data, u32 nr_slots);
/** For block_ops.submit: @request is for @bd, which the driver finds in request->bd. */
void disk_queue_submit(struct disk_queue *q, struct block_dev *bd, struct block_request *request);
/** After an interrupt: work off what is finished, start what waits. */
void disk_queue_advance(struct disk_queue *q);
/** The device broke the rules: say @why, shut it off, fail everything. With the lock held. */
void disk_queue_break(struct disk_queue *q, const char *why);
/** From collect: the command of @slot is through, with 0 or a negative errno. */
void disk_queue_finish(struct disk_queue *q, u32 slot, int err);
/** From collect: the command of @slot is to be given once more. */
void disk_queue_again(struct disk_queue *q, u32 slot);

/** True for a slot that has a command: what a device says of others is a lie. */
static inline bool disk_queue_is_busy(const struct disk_queue *q, u32 slot)
{
    return slot < q->nr_slots && q->slots[slot].request;
}

/* A walk over the memory of a slot's request from where its command begins. */
struct disk_piece {
    const struct disk_slot *slot;
    u32 segment, offset;
    u32 bytes; /* taken so far */
};
/** Start a walk. */
struct disk_piece disk_piece_first(const struct disk_slot *slot);
/**
 * The next contiguous piece, of at most @most bytes: its physical address, and its length in *@len.
 * False at the request's end.
 */
bool disk_piece_peek(const struct disk_piece *walk, u32 most, u64 *pa, u32 *len);
/** Go on behind @len bytes of what was peeked. */
void disk_piece_take(struct disk_piece *walk, u32 len);
/** For start: the command covers what @walk has taken. */
void disk_slot_took(struct disk_slot *slot, const struct disk_piece *walk);

/** Copy between a request's memory, from where the slot's command begins, and @buf. */
void disk_slot_copy(const struct disk_slot *slot, void *buf, u32 len, bool to_buf);

/** The next name of CDs: "sr0", "sr1" ... */
void disk_next_cd_name(char name[8]);
/** The next name of SCSI and ATA disks: "sda", "sdb" ... @name has 8 bytes. */
void disk_next_name(char name[8]);
