#include "drv/disk_queue.h"

#include "abi/errno.h"
#include "core/log.h"
#include "core/time.h"
#include "lib/format.h"
#include "lib/string.h"
#include "plat/plat.h"

static const u64 answer_ns = 30 * NSEC_PER_SEC, watch_ns = 5 * NSEC_PER_SEC;

/* ---- memory of a request ---- */

struct disk_piece disk_piece_first(const struct disk_slot *slot)
{
    return (struct disk_piece){slot, slot->segment, slot->offset, 0};
}

bool disk_piece_peek(const struct disk_piece *walk, u32 most, u64 *pa, u32 *len)
{
    const struct block_request *request = walk->slot->request;

    if (walk->segment >= request->nr_segments || !most)
        return false;
    const struct block_segment *s = &request->segments[walk->segment];
    *pa = virt_to_phys((const u8 *)s->buf + walk->offset);
    *len = min(s->len - walk->offset, most);
    return true;
}

void disk_piece_take(struct disk_piece *walk, u32 len)
{
    walk->bytes += len;
    walk->offset += len;
    if (walk->offset == walk->slot->request->segments[walk->segment].len) {
        walk->segment++;
        walk->offset = 0;
    }
}

void disk_slot_took(struct disk_slot *slot, const struct disk_piece *walk)
{
    slot->bytes = walk->bytes;
}

void disk_slot_copy(const struct disk_slot *slot, void *buf, u32 len, bool to_buf)
{
    struct disk_piece walk = disk_piece_first(slot);
    u64 pa;
    u32 n;

    for (u8 *at = buf; disk_piece_peek(&walk, len, &pa, &n); at += n, len -= n) {
        if (to_buf)
            memcpy(at, phys_to_virt(pa), n);
        else
            memcpy(phys_to_virt(pa), at, n);
        disk_piece_take(&walk, n);
    }
}

/* ---- the queue ---- */

static void complete(struct disk_queue *q, struct block_request *request, int err)
{
    request->status = err;
    list_add_tail(&q->finished, &request->node);
}

static void fail_all(struct disk_queue *q)
{
    struct block_request *request, *tmp;

    for (u32 i = 0; i < q->nr_slots; i++) {
        if (q->slots[i].request)
            complete(q, q->slots[i].request, -EIO);
        q->slots[i].request = NULL;
    }
    q->nr_busy = 0;
    list_for_each_safe(request, tmp, &q->waiting, node)
    {
        list_remove(&request->node);
        complete(q, request, -EIO);
    }
}

void disk_queue_break(struct disk_queue *q, const char *why)
{
    if (q->broken)
        return;
    q->broken = true;
    log_err("%s: device error, shut off: %s", q->name, why);
    q->ops->shut_off(q);
    fail_all(q);
}

static void give(struct disk_queue *q, u32 i)
{
    struct disk_slot *slot = &q->slots[i];

    slot->bytes = 0;
    slot->since_ns = time_ns();
    int err = q->ops->start(q, i);
    if (err) {
        complete(q, slot->request, err);
        slot->request = NULL;
        q->nr_busy--;
    }
}

void disk_queue_again(struct disk_queue *q, u32 i)
{
    give(q, i);
}

/* Where the next command of a request begins. False: there is none. */
static bool go_on(struct disk_slot *slot)
{
    const struct block_request *request = slot->request;
    struct disk_piece walk = disk_piece_first(slot);
    u32 left = slot->bytes, len;
    u64 pa;

    if (request->op != BLOCK_READ && request->op != BLOCK_WRITE)
        return false;
    for (; disk_piece_peek(&walk, left, &pa, &len); left -= len)
        disk_piece_take(&walk, len);
    slot->done += slot->bytes;
    slot->segment = walk.segment;
    slot->offset = walk.offset;
    return slot->segment < request->nr_segments;
}

void disk_queue_finish(struct disk_queue *q, u32 i, int err)
{
    struct disk_slot *slot = &q->slots[i];

    if (!err && go_on(slot)) {
        give(q, i);
        return;
    }
    complete(q, slot->request, err);
    slot->request = NULL;
    q->nr_busy--;
}

static void start_waiting(struct disk_queue *q)
{
    for (u32 i = 0; i < q->nr_slots && !list_empty(&q->waiting); i++) {
        if (q->slots[i].request)
            continue;
        struct block_request *request = list_first(&q->waiting, struct block_request, node);
        list_remove(&request->node);
        q->slots[i] = (struct disk_slot){.request = request};
        q->nr_busy++;
        give(q, i);
    }
    if (q->nr_busy && !timer_is_set(&q->watch))
        timer_set(&q->watch, time_after_ns(watch_ns));
}

static void advance(struct disk_queue *q, struct block_request *new_request)
{
    struct list_head finished = LIST_INIT(finished);
    struct block_request *request, *tmp;

    spin_lock(&q->lock);
    if (new_request)
        list_add_tail(&q->waiting, &new_request->node);
    do {
        if (!q->broken && q->nr_busy)
            q->ops->collect(q);
        if (q->broken)
            fail_all(q);
        start_waiting(q);
    } while (!q->broken && q->ops->kick && q->ops->kick(q));
    list_for_each_safe(request, tmp, &q->finished, node)
    {
        list_remove(&request->node);
        list_add_tail(&finished, &request->node);
    }
    spin_unlock(&q->lock);

    list_for_each_safe(request, tmp, &finished, node)
    {
        list_remove(&request->node);
        request->done(request);
    }
}

void disk_queue_advance(struct disk_queue *q)
{
    advance(q, NULL);
}

void disk_queue_submit(struct disk_queue *q, struct block_dev *bd, struct block_request *request)
{
    request->bd = bd;
    advance(q, request);
}

/* An interrupt that was lost is made good here; an answer that does not come ends the device. */
static void watch(struct timer *t)
{
    struct disk_queue *q = container_of(t, struct disk_queue, watch);
    u64 now = time_ns();

    advance(q, NULL);
    spin_lock(&q->lock);
    for (u32 i = 0; i < q->nr_slots && !q->broken; i++) {
        if (q->slots[i].request && now > q->slots[i].since_ns + answer_ns)
            disk_queue_break(q, "it has not answered for 30 s");
    }
    if (q->nr_busy && !timer_is_set(t))
        timer_set(t, time_after_ns(watch_ns));
    spin_unlock(&q->lock);
    advance(q, NULL);
}

void disk_queue_init(struct disk_queue *q, const char *name, const struct disk_queue_ops *ops,
                     void *data, u32 nr_slots)
{
    *q = (struct disk_queue){.name = name, .ops = ops, .data = data, .nr_slots = nr_slots};
    spin_init(&q->lock);
    list_init(&q->waiting);
    list_init(&q->finished);
    timer_init(&q->watch, watch);
}

void disk_next_cd_name(char name[8])
{
    static u32 count;

    format(name, 8, "sr%u", count++);
}

void disk_next_name(char name[8])
{
    static u32 count;
    u32 n = count++;

    if (n < 26)
        format(name, 8, "sd%c", 'a' + n);
    else
        format(name, 8, "sd%c%c", 'a' + n / 26 % 26 - 1, 'a' + n % 26);
}
