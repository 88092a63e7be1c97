/* A device's side of split virtqueues (virtio 1.2, 2.7), over memory that a hostile guest shares.
 * Every word of it is read once, then checked: addresses and lengths against the memory, indices
 * against the size, chains against loops.  What breaks a rule is an error, after which the caller
 * shuts the device off; nothing is guessed and nothing is followed. */
#pragma once

#include "lib/types.h"

#include <sys/uio.h>

/** The guest's memory, as this process has it: guest-physical 0 is at .at.  A guest sends files of
 * its image from where they are, so those are here too, to be read. */
struct guest_memory {
    char *at;
    u64 len;                      /* bytes from 0 on that buffers may lie in */
    u64 layers_start, layers_end; /* likewise, to be read only */
};

enum { RING_MAX_PIECES = 128 }; /* of one chain; more is an error */

/** A chain of buffers: what the device reads, then what it writes. */
struct ring_chain {
    u16 head;
    u32 nr_out, nr_in;       /* pieces of each kind; those to read come first in .piece */
    u64 out_bytes, in_bytes; /* below 4 GiB */
    struct iovec piece[RING_MAX_PIECES];
};

/* All fields are the device's own; the rings themselves are the guest's. */
struct ring {
    const struct guest_memory *memory;
    const volatile struct virtq_desc *desc;
    volatile struct virtq_avail *avail;
    volatile struct virtq_used *used;
    u16 size;
    bool event_idx;
    u16 next_avail; /* how far chains are taken */
    u16 next_used;  /* how far they are given back */
    u16 told_used;  /* next_used when the guest last heard of it */
    u16 published;  /* what the guest may see of next_used */
};

/**
 * Start on rings at guest-physical addresses.
 * 0, or what is wrong with them.
 */
const char *ring_start(struct ring *ring, const struct guest_memory *memory, u64 desc, u64 avail,
                       u64 used, u32 size, bool event_idx);

/**
 * Take the next chain.
 * 1: *@chain is filled; 0: there is none; -1: *@why says which rule was broken.
 */
int ring_take(struct ring *ring, struct ring_chain *chain, const char **why);

/** Bytes [@at, +@len) of the pieces that begin at @piece, copied to @to; what they lack is left. */
void ring_copy_out(const struct iovec *piece, u32 count, u64 at, void *to, u64 len);
/** @len bytes copied into the pieces, from their beginning on. */
void ring_copy_in(const struct iovec *piece, u32 count, const void *from, u64 len);
/** Narrow pieces to [@skip, +@len) of them; how many are left. */
u32 ring_narrow(struct iovec *piece, u32 count, u64 skip, u64 len);

/**
 * Has the guest seen all that was given back?  Then what it offers is all it has.  Known only with
 * EVENT_IDX, where it asks to be told of the next; else yes.
 */
bool ring_is_seen(const struct ring *ring);

/** Is there a chain to take?  One load. */
bool ring_has_work(const struct ring *ring);

/** Give a chain back with @written bytes; the guest does not see it before ring_publish(). */
void ring_give(struct ring *ring, u16 head, u32 written);
/** Show the guest what was given back.  True if it wants an interrupt for it. */
bool ring_publish(struct ring *ring);

/**
 * Ask for a doorbell with the next chain.
 * True if a chain is there already: then a doorbell may not come.
 */
bool ring_enable_doorbell(struct ring *ring);
/** Ask for no more: the device looks by itself. */
void ring_disable_doorbell(struct ring *ring);
