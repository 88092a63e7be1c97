/* Packets and their pool: each CPU keeps some free ones, the rest come from the heap.  A packet and
 * its linear buffer are one object; where a driver received into a page, that page is the linear
 * part and the buffer lies idle until headers need it. */
#include "net/pkt.h"

#include "abi/errno.h"
#include "core/percpu.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "mm/uaccess.h"

enum { POOL_KEEP = 64 }; /* free packets a CPU keeps */

struct pkt_whole {
    struct pkt pkt;
    alignas(8) u8 buffer[PKT_LINEAR];
};
static_assert(sizeof(struct pkt_whole) <= 1344, "a class of the heap: mm/heap.c");

/* [C] */
static struct pool {
    struct list_head *first; /* linked by .next alone */
    u32 count;
} pools[MAX_CPUS];

static u8 *own_buffer(struct pkt *pkt)
{
    return container_of(pkt, struct pkt_whole, pkt)->buffer;
}

void *pkt_scratch(const struct pkt *pkt)
{
    return ((struct pkt_whole *)(uintptr_t)pkt)->buffer;
}

static struct pkt *take_free(void)
{
    struct pool *pool = &pools[cpu_id()];

    if (unlikely(!pool->first))
        return kmalloc(sizeof(struct pkt_whole));
    struct pkt *pkt = list_entry(pool->first, struct pkt, node);
    pool->first = pool->first->next;
    pool->count--;
    return pkt;
}

/* All fields but the frags, of which none is in use. */
static void reset(struct pkt *pkt, u8 *start, u32 linear, u32 headroom)
{
    list_init(&pkt->node);
    pkt->data = start + headroom;
    pkt->len = pkt->total = 0;
    pkt->start = start;
    pkt->linear = linear;
    pkt->nr_frags = pkt->csum = pkt->gso = pkt->ecn = 0;
    pkt->csum_start = pkt->csum_offset = pkt->gso_size = pkt->protocol = 0;
    pkt->hash = 0;
    pkt->netif = NULL;
    pkt->time_ns = 0;
    pkt->seq = pkt->end_seq = 0;
    pkt->owner = NULL;
    pkt->release = NULL;
}

struct pkt *pkt_alloc(void)
{
    struct pkt *pkt = take_free();

    if (likely(pkt))
        reset(pkt, own_buffer(pkt), PKT_LINEAR, PKT_HEADROOM);
    return pkt;
}

static void release_page(struct pkt *pkt)
{
    page_put(virt_to_page(pkt->start));
}

struct pkt *pkt_alloc_page(struct page *page, u32 offset, u32 len)
{
    struct pkt *pkt = take_free();

    if (unlikely(!pkt))
        return NULL;
    reset(pkt, page_to_virt(page), (u32)PAGE_SIZE << page->order, offset);
    pkt->len = pkt->total = len;
    pkt->release = release_page;
    return pkt;
}

static inline void keep_or_free(struct pkt *pkt)
{
    struct pool *pool = &pools[cpu_id()];

    if (unlikely(pool->count >= POOL_KEEP)) {
        kfree(container_of(pkt, struct pkt_whole, pkt));
        return;
    }
    pkt->node.next = pool->first;
    pool->first = &pkt->node;
    pool->count++;
}

static __attribute__((noinline)) void free_with_pages(struct pkt *pkt)
{
    for (u32 i = 0; i < pkt->nr_frags; i++)
        if (pkt->frags[i].page)
            page_put_shared(pkt->frags[i].page);
    if (pkt->release)
        pkt->release(pkt);
    keep_or_free(pkt);
}

void pkt_free(struct pkt *pkt)
{
    if (pkt->nr_frags || pkt->release)
        free_with_pages(pkt);
    else
        keep_or_free(pkt);
}

void pkt_free_list(struct list_head *list)
{
    struct pkt *pkt, *tmp;

    list_for_each_safe(pkt, tmp, list, node) pkt_free(pkt);
    list_init(list);
}

u32 pkt_truesize(const struct pkt *pkt)
{
    u32 size = sizeof(struct pkt_whole) + (pkt->release ? pkt->linear : 0);

    for (u32 i = 0; i < pkt->nr_frags; i++)
        if (pkt->frags[i].page)
            size += max((u32)PAGE_SIZE, pkt->frags[i].len);
    return size;
}

/* Take @n bytes, at most its length, from the front of the first piece; drop it when it is empty.
 */
static void pull_frag(struct pkt *pkt, u32 n)
{
    struct pkt_frag *first = &pkt->frags[0];

    first->data += n;
    first->len -= n;
    if (first->len)
        return;
    if (first->page)
        page_put(first->page);
    pkt->nr_frags--;
    memmove(first, first + 1, pkt->nr_frags * sizeof(*first));
}

bool pkt_pull(struct pkt *pkt, u32 n)
{
    if (n > pkt->total)
        return false;
    u32 part = min(n, pkt->len);
    pkt_strip(pkt, part);
    for (n -= part; n; n -= part) {
        part = min(n, pkt->frags[0].len);
        pull_frag(pkt, part);
        pkt->total -= part;
        pkt->csum_start = (u16)(pkt->csum_start - part);
    }
    return true;
}

/* Move what is linear so that @n bytes fit behind .data: to the start of its buffer, or out of a
 * page (which is shared and may be full) into the packet's own buffer. */
static bool make_linear_room(struct pkt *pkt, u32 n)
{
    if (!pkt->release && (u64)(pkt->data - pkt->start) + n <= pkt->linear)
        return true;
    if (n > PKT_LINEAR || pkt->len > PKT_LINEAR)
        return false;
    u32 headroom = min((u32)PKT_HEADROOM, PKT_LINEAR - n);
    u8 *to = own_buffer(pkt);
    memmove(to + headroom, pkt->data, pkt->len);
    if (pkt->release)
        pkt->release(pkt);
    pkt->release = NULL;
    pkt->start = to;
    pkt->linear = PKT_LINEAR;
    pkt->data = to + headroom;
    return true;
}

u8 *pkt_linear_slow(struct pkt *pkt, u32 n)
{
    if (n <= pkt->len)
        return pkt->data;
    if (n > pkt->total || !make_linear_room(pkt, n))
        return NULL;
    while (pkt->len < n) {
        u32 part = min(n - pkt->len, pkt->frags[0].len);
        memcpy(pkt->data + pkt->len, pkt->frags[0].data, part);
        pkt->len += part;
        pull_frag(pkt, part);
    }
    return pkt->data;
}

void pkt_trim(struct pkt *pkt, u32 total)
{
    if (total >= pkt->total)
        return;
    u32 cut = pkt->total - total;
    pkt->total = total;
    while (cut && pkt->nr_frags) {
        struct pkt_frag *last = &pkt->frags[pkt->nr_frags - 1];
        u32 part = min(cut, last->len);
        last->len -= part;
        cut -= part;
        if (last->len)
            return;
        if (last->page)
            page_put(last->page);
        pkt->nr_frags--;
    }
    pkt->len -= cut;
}

u32 pkt_tailroom(const struct pkt *pkt)
{
    if (pkt->nr_frags || pkt->release)
        return 0;
    return pkt->linear - (u32)(pkt->data - pkt->start) - pkt->len;
}

u8 *pkt_put(struct pkt *pkt, u32 n)
{
    if (n > pkt_tailroom(pkt))
        return NULL;
    u8 *end = pkt->data + pkt->len;
    pkt->len += n;
    pkt->total += n;
    return end;
}

bool pkt_add_frag(struct pkt *pkt, struct page *page, u8 *data, u32 len)
{
    if (pkt->nr_frags == PKT_FRAGS)
        return false;
    pkt->frags[pkt->nr_frags++] = (struct pkt_frag){page, data, len};
    pkt->total += len;
    return true;
}

/* The page that is @pkt's linear part, or NULL. */
static struct page *linear_page(const struct pkt *pkt)
{
    return pkt->release == release_page ? virt_to_page(pkt->start) : NULL;
}

bool pkt_join(struct pkt *to, struct pkt *from)
{
    struct page *page = linear_page(from);
    u32 slots = from->nr_frags + (from->len && page);

    if (to->nr_frags + slots > PKT_FRAGS || (from->len && !page && from->len > pkt_tailroom(to)))
        return false;
    if (from->len && page) {
        pkt_add_frag(to, page, from->data, from->len);
        from->release = NULL; /* the reference has moved */
    } else if (from->len) {
        memcpy(pkt_put(to, from->len), from->data, from->len);
    }
    for (u32 i = 0; i < from->nr_frags; i++)
        pkt_add_frag(to, from->frags[i].page, from->frags[i].data, from->frags[i].len);
    from->nr_frags = 0;
    pkt_free(from);
    return true;
}

/* Add bytes of a linear part to a slice: shared where they lie in a page, else copied. */
static bool slice_linear(struct pkt *out, const struct pkt *pkt, u32 at, u32 n)
{
    struct page *page = linear_page(pkt);

    if (page) {
        page_get(page);
        return pkt_add_frag(out, page, pkt->data + at, n);
    }
    return pkt_append(out, pkt->data + at, n);
}

struct pkt *pkt_slice(const struct pkt *pkt, u32 at, u32 n)
{
    if (at > pkt->total || n > pkt->total - at)
        return NULL;
    struct pkt *out = pkt_alloc();
    if (!out)
        return NULL;
    if (at < pkt->len && n && !slice_linear(out, pkt, at, min(pkt->len - at, n))) {
        pkt_free(out);
        return NULL;
    }
    u32 offset = pkt->len;
    for (u32 i = 0; i < pkt->nr_frags && out->total < n; i++) {
        const struct pkt_frag *frag = &pkt->frags[i];
        u32 from = at > offset ? at - offset : 0;
        offset += frag->len;
        if (from >= frag->len)
            continue;
        if (frag->page)
            page_get(frag->page);
        if (pkt_add_frag(out, frag->page, frag->data + from, min(frag->len - from, n - out->total)))
            continue;
        if (frag->page)
            page_put(frag->page);
        pkt_free(out);
        return NULL;
    }
    return out;
}

/* Room left behind the last piece, in a page that is nobody else's. */
static u32 last_page_room(const struct pkt *pkt)
{
    const struct pkt_frag *last = pkt->nr_frags ? &pkt->frags[pkt->nr_frags - 1] : NULL;

    if (!last || !last->page || __atomic_load_n(&last->page->refs, __ATOMIC_ACQUIRE) != 1)
        return 0;
    u8 *end = (u8 *)page_to_virt(last->page) + (PAGE_SIZE << last->page->order);
    return (u32)(end - (last->data + last->len));
}

/* Room for up to @n more bytes at the end: linear, behind the last piece, or in a new page. *@room
 * says how much; NULL: no memory or no slots. */
static u8 *grow(struct pkt *pkt, u32 n, u32 *room)
{
    u32 tail = pkt_tailroom(pkt), behind = last_page_room(pkt);

    if (tail) {
        *room = min(tail, n);
        return pkt_put(pkt, *room);
    }
    if (behind) {
        struct pkt_frag *last = &pkt->frags[pkt->nr_frags - 1];
        *room = min(behind, n);
        last->len += *room;
        pkt->total += *room;
        return last->data + last->len - *room;
    }
    if (pkt->nr_frags == PKT_FRAGS)
        return NULL;
    struct page *page = page_alloc(0, PAGE_NORECLAIM);
    if (!page)
        return NULL;
    *room = min((u32)PAGE_SIZE, n);
    pkt_add_frag(pkt, page, page_to_virt(page), *room);
    return page_to_virt(page);
}

bool pkt_append(struct pkt *pkt, const void *data, u32 n)
{
    const u8 *from = data;

    for (u32 room; n; n -= room, from += room) {
        u8 *to = grow(pkt, n, &room);
        if (!to)
            return false;
        memcpy(to, from, room);
    }
    return true;
}

int pkt_from_iter(struct pkt *pkt, struct iov_iter *from, u32 n)
{
    for (u32 room; n; n -= room) {
        u8 *to = grow(pkt, n, &room);
        if (!to)
            return pkt->nr_frags == PKT_FRAGS ? -EMSGSIZE : -ENOMEM;
        if (iter_read(from, to, room) != room)
            return -EFAULT;
    }
    return 0;
}

bool pkt_copy_out(const struct pkt *pkt, u32 at, void *dst, u32 n)
{
    struct iovec iov;
    struct iov_iter to;

    if (at <= pkt->len && n <= pkt->len - at) {
        memcpy(dst, pkt->data + at, n);
        return true;
    }
    iter_init_kernel(&to, &iov, dst, n);
    return pkt_to_iter(pkt, at, n, &to) == n;
}

size_t pkt_to_iter(const struct pkt *pkt, u32 at, u32 n, struct iov_iter *to)
{
    size_t done = 0;

    for (s32 i = -1; i < pkt->nr_frags && done < n; i++) {
        const u8 *data = i < 0 ? pkt->data : pkt->frags[i].data;
        u32 len = i < 0 ? pkt->len : pkt->frags[i].len;
        if (at >= len) {
            at -= len;
            continue;
        }
        size_t part = min((size_t)(len - at), n - done);
        size_t moved = iter_write_bulk(to, data + at, part);
        done += moved;
        if (moved != part)
            break;
        at = 0;
    }
    return done;
}
