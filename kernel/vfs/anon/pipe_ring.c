/* The bytes of a pipe. */
#include "vfs/anon/pipe_ring.h"

#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

void pipe_ring_init(struct pipe_ring *ring)
{
    memset(ring, 0, sizeof(*ring));
    ring->size = PIPE_RING_PAGES * PAGE_SIZE;
    ring->pages = ring->first_pages;
}

static void free_pages(struct pipe_ring *ring)
{
    for (u32 i = 0; i < ring->size / PAGE_SIZE; i++)
        if (ring->pages[i])
            page_put(virt_to_page(ring->pages[i]));
    if (ring->pages != ring->first_pages)
        kfree(ring->pages);
}

void pipe_ring_fini(struct pipe_ring *ring)
{
    free_pages(ring);
}

static char *page_for(struct pipe_ring *ring, u32 at)
{
    char **slot = &ring->pages[(at & (ring->size - 1)) / PAGE_SIZE];

    if (unlikely(!*slot)) {
        struct page *page = page_alloc(0, 0);
        *slot = page ? page_to_virt(page) : NULL;
    }
    return *slot;
}

static size_t piece(u32 at, size_t n)
{
    return min(n, (size_t)(PAGE_SIZE - at % PAGE_SIZE));
}

size_t pipe_ring_fill_pieces(struct pipe_ring *ring, struct iov_iter *from, size_t n)
{
    size_t done = 0;

    while (done < n) {
        u32 at = ring->at.head + (u32)done;
        char *page = page_for(ring, at);
        size_t want = piece(at, n - done);
        if (unlikely(!page))
            break;
        size_t got = iter_read(from, page + at % PAGE_SIZE, want);
        done += got;
        if (unlikely(got < want))
            break;
    }
    pipe_ring_produced(ring, done);
    return done;
}

size_t pipe_ring_drain_pieces(struct pipe_ring *ring, struct iov_iter *to, size_t n)
{
    size_t done = 0;

    while (done < n) {
        u32 at = ring->at.tail + (u32)done;
        size_t want = piece(at, n - done);
        size_t got = iter_write(to, pipe_ring_page(ring, at) + at % PAGE_SIZE, want);
        done += got;
        if (unlikely(got < want))
            break;
    }
    pipe_ring_consumed(ring, done);
    return done;
}

char *pipe_ring_peek(struct pipe_ring *ring, u32 offset, size_t *len)
{
    u32 at = ring->at.tail + offset;

    *len = piece(at, ring->at.head - at);
    return *len ? pipe_ring_page(ring, at) + at % PAGE_SIZE : NULL;
}

char *pipe_ring_reserve(struct pipe_ring *ring, size_t *len)
{
    *len = piece(ring->at.head, pipe_ring_room(ring));
    char *page = *len ? page_for(ring, ring->at.head) : NULL;
    return page ? page + ring->at.head % PAGE_SIZE : NULL;
}

/* Copy what is unread into @pages, from their beginning. */
static int copy_unread(struct pipe_ring *ring, char **pages)
{
    u32 used = pipe_ring_used(ring);

    for (u32 done = 0; done < used;) {
        size_t len;
        const char *from = pipe_ring_peek(ring, done, &len);
        struct page *page = done % PAGE_SIZE ? NULL : page_alloc(0, 0);
        if (page)
            pages[done / PAGE_SIZE] = page_to_virt(page);
        if (!pages[done / PAGE_SIZE])
            return -ENOMEM;
        len = piece(done, len);
        memcpy(pages[done / PAGE_SIZE] + done % PAGE_SIZE, from, len);
        done += (u32)len;
    }
    return 0;
}

int pipe_ring_resize(struct pipe_ring *ring, u32 size)
{
    struct pipe_ring new = {.size = size};

    if (pipe_ring_used(ring) > size)
        return -EBUSY;
    if (size == ring->size)
        return 0;
    new.pages = kcalloc(size / PAGE_SIZE, sizeof(char *));
    if (!new.pages)
        return -ENOMEM;
    if (copy_unread(ring, new.pages)) {
        free_pages(&new);
        return -ENOMEM;
    }
    u32 used = pipe_ring_used(ring);
    free_pages(ring);
    ring->pages = new.pages;
    ring->size = size;
    pipe_ring_place(ring, 0, used);
    return 0;
}
