/* Waiting for several files at once: what poll and select are made of. */
#pragma once

#include "vfs/file.h"

/* One file of a wait. */
struct poll_slot {
    struct wait_entry wait; /* poll_slots() */
    struct file *file;      /* the caller's reference; NULL: skipped */
    u32 events;             /* wanted */
    u32 ready;              /* out: what there is of it */
};

/**
 * Wait until at least one of @n slots is ready.
 * @deadline_ns: monotonic, 0 not to wait, NO_DEADLINE.
 * Returns how many are ready, 0 at the deadline, or -EINTR. Thread context.
 */
int poll_slots(struct poll_slot *slots, u32 n, u64 deadline_ns);
