/* The bytes that the program has given and the peer has not yet acknowledged: pieces of pages.
 * Small writes of all connections of a CPU share a page, so that they cost no allocation. */
#include "core/percpu.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/tcp_priv.h"

enum {
    ROOM_ORDER = 3,
    ROOM_LEAST = 256, /* a smaller rest is left unless it is enough */
};

struct send_page send_pages[MAX_CPUS];

void sendq_init(struct sendq *q)
{
    *q = (struct sendq){.frags = q->few, .cap = SENDQ_FEW};
}

static void drop_frag(struct send_frag *frag)
{
    if (frag->page)
        page_put_shared(frag->page);
}

void sendq_fini(struct sendq *q)
{
    for (u32 i = 0; i < q->count; i++)
        drop_frag(&q->frags[q->head + i]);
    if (q->frags != q->few)
        kfree(q->frags);
    sendq_init(q);
}

/* Room for one more piece at the end: move to the front, or to a bigger array. */
static int make_room(struct sendq *q)
{
    if (q->head + q->count < q->cap)
        return 0;
    if (q->head >= q->cap / 2 && q->head) {
        memmove(q->frags, q->frags + q->head, q->count * sizeof(*q->frags));
        q->head = 0;
        return 0;
    }
    struct send_frag *bigger = kmalloc((size_t)q->cap * 4 * sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    memcpy(bigger, q->frags + q->head, q->count * sizeof(*bigger));
    if (q->frags != q->few)
        kfree(q->frags);
    q->frags = bigger;
    q->cap *= 4;
    q->head = 0;
    return 0;
}

static __attribute__((noinline)) int append_piece(struct sendq *q, struct page *page, u8 *data,
                                                  u32 len)
{
    if (make_room(q))
        return -ENOMEM;
    q->frags[q->head + q->count++] = (struct send_frag){page, data, len};
    q->bytes += len;
    return 0;
}

int sendq_append(struct sendq *q, struct page *page, u8 *data, u32 len)
{
    if (likely(!q->count)) { /* .head is 0, and there is always room for one */
        q->frags[0] = (struct send_frag){page, data, len};
        q->count = 1;
        q->bytes = len;
        return 0;
    }
    struct send_frag *last = &q->frags[q->head + q->count - 1];
    if (last->page == page && last->data + last->len == data) {
        last->len += len;
        q->bytes += len;
        if (page)
            page_put_shared(page);
        return 0;
    }
    return append_piece(q, page, data, len);
}

/* The array is empty. */
static void forget_frags(struct sendq *q)
{
    q->head = q->cursor = q->cursor_at = 0;
    if (likely(q->frags == q->few))
        return;
    kfree(q->frags); /* an idle connection keeps nothing */
    q->frags = q->few;
    q->cap = SENDQ_FEW;
}

void sendq_trim(struct sendq *q, u32 n)
{
    u32 gone = 0;

    assert(n <= q->bytes);
    if (likely(n == q->bytes && q->count == 1)) {
        drop_frag(&q->frags[q->head]);
        q->bytes = q->count = 0;
        forget_frags(q);
        return;
    }
    q->bytes -= n;
    q->cursor_at -= min(q->cursor_at, n);
    while (n) {
        struct send_frag *first = &q->frags[q->head];
        if (n < first->len) {
            first->data += n;
            first->len -= n;
            break;
        }
        n -= first->len;
        drop_frag(first);
        q->head++;
        q->count--;
        gone++;
    }
    q->cursor -= min(q->cursor, gone);
    if (!q->cursor)
        q->cursor_at = 0;
    if (!q->count)
        forget_frags(q);
}

/* The piece that holds byte @at; *@skip bytes of it come before. Readers go forward mostly, so the
 * search begins where the last one ended. */
static u32 seek(struct sendq *q, u32 at, u32 *skip)
{
    if (at < q->cursor_at)
        q->cursor = q->cursor_at = 0;
    while (at - q->cursor_at >= q->frags[q->head + q->cursor].len)
        q->cursor_at += q->frags[q->head + q->cursor++].len;
    *skip = at - q->cursor_at;
    return q->head + q->cursor;
}

void sendq_copy(struct sendq *q, u32 at, u8 *dst, u32 n)
{
    u32 skip, i;

    if (!n)
        return;
    assert(at < q->bytes && n <= q->bytes - at);
    if (likely(q->count == 1)) {
        memcpy(dst, q->frags[q->head].data + at, n);
        return;
    }
    for (i = seek(q, at, &skip); n; i++, skip = 0) {
        u32 part = min(n, q->frags[i].len - skip);
        memcpy(dst, q->frags[i].data + skip, part);
        dst += part;
        n -= part;
    }
}

u32 sendq_attach(struct sendq *q, u32 at, u32 n, struct pkt *pkt)
{
    u32 skip, done = 0;

    assert(at < q->bytes && n <= q->bytes - at);
    for (u32 i = seek(q, at, &skip); done < n; i++, skip = 0) {
        const struct send_frag *frag = &q->frags[i];
        u32 part = min(n - done, frag->len - skip);
        if (pkt->nr_frags == PKT_FRAGS)
            break;
        if (frag->page)
            page_get(frag->page);
        pkt_add_frag(pkt, frag->page, frag->data + skip, part);
        done += part;
    }
    return done;
}

/* A fresh page for this CPU; looking for one may sleep, and wake up on another. */
static struct send_page *refill(void)
{
    unsigned order = page_free_estimate() > MIB(32) / PAGE_SIZE ? ROOM_ORDER : 0;
    struct page *page = page_alloc(order, PAGE_NORECLAIM);

    if (!page && order)
        page = page_alloc(0, PAGE_NORECLAIM);
    if (!page)
        page = page_alloc(0, 0);
    if (!page)
        return NULL;
    struct send_page *room = &send_pages[cpu_id()];
    if (room->page)
        page_put(room->page);
    *room = (struct send_page){page, page_to_virt(page), 0, (u32)PAGE_SIZE << page->order};
    return room;
}

/* A page that nobody else holds any more is used from its start again. */
static void reuse(struct send_page *room)
{
    if (room->page && room->used && __atomic_load_n(&room->page->refs, __ATOMIC_ACQUIRE) == 1)
        room->used = 0;
}

struct page *send_room_else(u32 want, u8 **data, u32 *len)
{
    struct send_page *room = &send_pages[cpu_id()];

    reuse(room);
    if (room->size - room->used < min(want, (u32)ROOM_LEAST))
        room = refill();
    if (!room)
        return NULL;
    *len = min(want, room->size - room->used);
    *data = room->start + room->used;
    room->used += *len;
    page_get(room->page);
    return room->page;
}
