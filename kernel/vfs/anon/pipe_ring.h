/* The bytes of a pipe: a ring of pages that come as they are needed.  An empty ring begins again at
 * its first page, so a pipe that is read as fast as it is written lives in one. */
#pragma once

#include "mm/uaccess.h"

enum { PIPE_RING_PAGES = 16 };

/* Where a ring stands: free running, written up to and read up to. One word, so that who looks
 * without the lock sees both of one moment. */
union pipe_place {
    struct {
        u32 tail, head;
    };
    u64 both;
};

/* Fields [L]: under the owner's lock; .at is also read without it. */
struct pipe_ring {
    union pipe_place at; /* [L] */
    u32 size;            /* [L] bytes, a power of two, at least a page */
    char **pages;        /* [L] size / PAGE_SIZE of them, NULL until used; owns */
    char *first_pages[PIPE_RING_PAGES];
};

void pipe_ring_init(struct pipe_ring *ring);
void pipe_ring_fini(struct pipe_ring *ring);

static inline u32 pipe_ring_used(const struct pipe_ring *ring)
{
    union pipe_place at = {.both = __atomic_load_n(&ring->at.both, __ATOMIC_ACQUIRE)};
    return at.head - at.tail;
}
static inline u32 pipe_ring_room(const struct pipe_ring *ring)
{
    return ring->size - pipe_ring_used(ring);
}

/** Move up to @n bytes in or out; fewer on a fault, or in only, where there is no memory. */
size_t pipe_ring_fill(struct pipe_ring *ring, struct iov_iter *from, size_t n);
size_t pipe_ring_drain(struct pipe_ring *ring, struct iov_iter *to, size_t n);
/** The unread bytes from @offset on that lie in one piece; *@len is how many, 0 for none. */
char *pipe_ring_peek(struct pipe_ring *ring, u32 offset, size_t *len);
/** Where the next bytes go, and in *@len how many fit in one piece. NULL: full, or no memory. */
char *pipe_ring_reserve(struct pipe_ring *ring, size_t *len);
/** @n bytes were put where pipe_ring_reserve() said, or were read. */
void pipe_ring_produced(struct pipe_ring *ring, size_t n);
void pipe_ring_consumed(struct pipe_ring *ring, size_t n);
/** A new size, a power of two of at least a page. 0, -EBUSY (holds more) or -ENOMEM. */
int pipe_ring_resize(struct pipe_ring *ring, u32 size);
