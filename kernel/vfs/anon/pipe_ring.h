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

/** An empty ring; and let its pages go. */
void pipe_ring_init(struct pipe_ring *ring);
void pipe_ring_fini(struct pipe_ring *ring);

/** Slots in use, and free ones. */
static inline u32 pipe_ring_used(const struct pipe_ring *ring)
{
    union pipe_place at = {.both = __atomic_load_n(&ring->at.both, __ATOMIC_ACQUIRE)};
    return at.head - at.tail;
}
static inline u32 pipe_ring_room(const struct pipe_ring *ring)
{
    return ring->size - pipe_ring_used(ring);
}

/* The general case of the two below. */
size_t pipe_ring_fill_pieces(struct pipe_ring *ring, struct iov_iter *from, size_t n);
size_t pipe_ring_drain_pieces(struct pipe_ring *ring, struct iov_iter *to, size_t n);

static inline void pipe_ring_place(struct pipe_ring *ring, u32 tail, u32 head)
{
    union pipe_place at = {.tail = tail, .head = head};

    __atomic_store_n(&ring->at.both, at.both, __ATOMIC_RELEASE);
}

/** @n bytes were put where pipe_ring_reserve() said. */
static inline void pipe_ring_produced(struct pipe_ring *ring, size_t n)
{
    pipe_ring_place(ring, ring->at.tail, ring->at.head + (u32)n);
}

/** @n bytes were read. */
static inline void pipe_ring_consumed(struct pipe_ring *ring, size_t n)
{
    u32 tail = ring->at.tail + (u32)n;
    bool empty = tail == ring->at.head;

    pipe_ring_place(ring, empty ? 0 : tail, empty ? 0 : ring->at.head);
}

/* The page that holds free-running position @at; NULL if it was never written, or has no memory. */
static inline char *pipe_ring_page(struct pipe_ring *ring, u32 at)
{
    return ring->pages[(at & (ring->size - 1)) / PAGE_SIZE];
}

/** Move up to @n bytes in, for which there is room; fewer on a fault, or where memory is short. */
static inline size_t pipe_ring_fill(struct pipe_ring *ring, struct iov_iter *from, size_t n)
{
    u32 at = ring->at.head;
    char *page = pipe_ring_page(ring, at);

    if (unlikely(!page || n > PAGE_SIZE - at % PAGE_SIZE))
        return pipe_ring_fill_pieces(ring, from, n);
    n = iter_read(from, page + at % PAGE_SIZE, n);
    pipe_ring_produced(ring, n);
    return n;
}

/** Move up to @n bytes out, which are there; fewer on a fault. */
static inline size_t pipe_ring_drain(struct pipe_ring *ring, struct iov_iter *to, size_t n)
{
    u32 at = ring->at.tail;

    if (unlikely(n > PAGE_SIZE - at % PAGE_SIZE))
        return pipe_ring_drain_pieces(ring, to, n);
    n = iter_write(to, pipe_ring_page(ring, at) + at % PAGE_SIZE, n);
    pipe_ring_consumed(ring, n);
    return n;
}

/** The unread bytes from @offset on that lie in one piece; *@len is how many, 0 for none. */
char *pipe_ring_peek(struct pipe_ring *ring, u32 offset, size_t *len);
/** Where the next bytes go, and in *@len how many fit in one piece. NULL: full, or no memory. */
char *pipe_ring_reserve(struct pipe_ring *ring, size_t *len);
/** A new size, a power of two of at least a page. 0, -EBUSY (holds more) or -ENOMEM. */
int pipe_ring_resize(struct pipe_ring *ring, u32 size);
