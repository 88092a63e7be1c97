/* Virtio memory balloon: virtio 1.2, 5.5.  The host names how many pages it wants; they are taken a
 * handful at a time, never so many that programs would starve, and come back when memory is short.
 * And free page reporting: now and then the host is told which large blocks are free, so that it
 * may take their memory away until they are touched again. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/time.h"
#include "core/timer.h"
#include "drv/virtio.h"
#include "lib/list.h"
#include "mm/heap.h"
#include "mm/page.h"

enum balloon_feature { F_STATS = 1, F_DEFLATE_ON_OOM = 2, F_HINTS = 3, F_REPORTING = 5 };
enum { CONFIG_TARGET = 0, CONFIG_ACTUAL = 4 };
enum { QUEUE_INFLATE = 0, QUEUE_DEFLATE = 1, QUEUE_LEN = 16 };
enum { BATCH = 256, REPORT_BLOCKS = 4, REPORT_ORDER = 9 };
static const u64 step_ns = NSEC_PER_MSEC, short_ns = NSEC_PER_SEC;
static const u64 report_ns = 2 * NSEC_PER_SEC, report_most_ns = 32 * NSEC_PER_SEC;

/* Fields: [I], [L] under .lock. */
struct balloon {
    struct virtio_dev *dev;
    struct virtq inflate, deflate, report; /* [L] */
    struct spinlock lock;                  /* before the page allocator's */
    struct list_head pages;                /* [L] those that the host has */
    u32 nr_pages;                          /* [L] */
    u32 *frames;                           /* [L] BATCH numbers, with the device while .busy */
    bool busy;                             /* [L] it has a batch */
    struct timer step;
    struct shrinker shrinker;
    bool reports;                         /* [I] */
    struct page *reported[REPORT_BLOCKS]; /* [L] blocks that the device is told of */
    u32 nr_reported;                      /* [L] */
    u64 pause_ns;                         /* [L] until the next look for free blocks */
    struct timer look;
};

static struct balloon *the_balloon; /* [I] one is enough; for the shrinker */

static u32 target_of(struct balloon *b)
{
    u32 target = 0;

    b->dev->transport->read_config(b->dev, CONFIG_TARGET, &target, sizeof(target));
    return target;
}

/* The floor below which programs would starve. */
static u64 spare_pages(void)
{
    u64 floor = max(page_total() / 16, (u64)MIB(4) >> PAGE_SHIFT), free = page_free_estimate();

    return free > floor ? free - floor : 0;
}

/* ---- the host takes ---- */

static void offer_locked(struct balloon *b, struct virtq *vq, u32 n)
{
    if (virtq_add_one(vq, virt_to_phys(b->frames), n * (u32)sizeof(u32), false, b))
        return;
    b->busy = true;
    virtq_kick(vq);
    (void)virtq_enable_notify(vq); /* the timer looks as well */
}

static void inflate_locked(struct balloon *b, u32 want)
{
    u32 n = 0;

    want = min(want, (u32)BATCH);
    want = (u32)min((u64)want, spare_pages());
    for (struct page *page; n < want && (page = page_alloc(0, PAGE_NORECLAIM)); n++) {
        list_add(&b->pages, &page->lru);
        b->frames[n] = (u32)(page_to_phys(page) >> PAGE_SHIFT);
    }
    b->nr_pages += n;
    if (n)
        offer_locked(b, &b->inflate, n);
}

/* Without MUST_TELL_HOST the pages may be used at once (5.5.6.1). Returns how many came back. */
static u32 deflate_locked(struct balloon *b, u32 want)
{
    u32 n = 0;

    for (; n < min(want, (u32)BATCH) && !list_empty(&b->pages); n++) {
        struct page *page = list_first(&b->pages, struct page, lru);
        list_remove(&page->lru);
        b->frames[n] = (u32)(page_to_phys(page) >> PAGE_SHIFT);
        page_put(page);
    }
    b->nr_pages -= n;
    if (n)
        offer_locked(b, &b->deflate, n);
    return n;
}

static void tell_actual(struct balloon *b)
{
    if (b->dev->transport->write_config)
        b->dev->transport->write_config(b->dev, CONFIG_ACTUAL, &b->nr_pages, sizeof(b->nr_pages));
}

static void advance(struct balloon *b)
{
    spin_lock(&b->lock);
    if (virtq_take(&b->inflate, NULL) || virtq_take(&b->deflate, NULL)) {
        b->busy = false;
        tell_actual(b);
    }
    u32 target = target_of(b);
    if (!b->busy && target > b->nr_pages)
        inflate_locked(b, target - b->nr_pages);
    else if (!b->busy && target < b->nr_pages)
        (void)deflate_locked(b, b->nr_pages - target);
    bool more = target != b->nr_pages, busy = b->busy;
    spin_unlock(&b->lock);
    if ((more || busy) && !b->dev->broken)
        timer_set(&b->step, time_after_ns(busy ? step_ns : short_ns));
}

static void step(struct timer *t)
{
    advance(container_of(t, struct balloon, step));
}

static void used(struct virtq *vq)
{
    advance(vq->data);
}

static void config_changed(struct virtio_dev *dev)
{
    advance(dev->driver);
}

/* Memory is short: programs come first, and the host asks again. */
static u64 shrink(u64 want)
{
    struct balloon *b = the_balloon;
    u32 got = 0;

    if (!spin_trylock(&b->lock))
        return 0;
    if (!b->busy)
        got = deflate_locked(b, (u32)min(want, (u64)BATCH));
    spin_unlock(&b->lock);
    if (got)
        timer_set(&b->step, time_after_ns(short_ns));
    return got;
}

/* ---- the host is told ---- */

static void give_back_locked(struct balloon *b)
{
    for (u32 i = 0; i < b->nr_reported; i++)
        page_give_reported(b->reported[i]);
    b->nr_reported = 0;
}

static void report_locked(struct balloon *b)
{
    struct virtq_buf bufs[REPORT_BLOCKS];
    u32 n = 0;

    if (page_free_estimate() < (2ul * REPORT_BLOCKS << PAGE_MAX_ORDER))
        return; /* the blocks would be missed meanwhile */
    for (; n < REPORT_BLOCKS && (b->reported[n] = page_take_unreported(REPORT_ORDER)); n++)
        bufs[n] = (struct virtq_buf){.pa = page_to_phys(b->reported[n]),
                                     .len = (u32)PAGE_SIZE << b->reported[n]->order};
    b->nr_reported = n;
    if (!n)
        return;
    if (virtq_add(&b->report, bufs, 0, n, b)) {
        give_back_locked(b);
        return;
    }
    virtq_kick(&b->report);
    (void)virtq_enable_notify(&b->report); /* the timer looks as well */
}

static void report_advance(struct balloon *b)
{
    spin_lock(&b->lock);
    if (b->nr_reported && (virtq_take(&b->report, NULL) || b->dev->broken))
        give_back_locked(b);
    if (!b->nr_reported && !b->dev->broken)
        report_locked(b);
    b->pause_ns = b->nr_reported ? report_ns : min(b->pause_ns * 2, report_most_ns);
    u64 pause_ns = b->pause_ns;
    spin_unlock(&b->lock);
    if (!b->dev->broken)
        timer_set(&b->look, time_after_ns(pause_ns));
}

static void look(struct timer *t)
{
    report_advance(container_of(t, struct balloon, look));
}

static void reported(struct virtq *vq)
{
    report_advance(vq->data);
}

/* ---- start ---- */

/* Queues that the device would have for what we do not ask for are counted all the same. */
static int init_queues(struct balloon *b, u64 offered)
{
    u16 last = (u16)(2 + (offered >> F_STATS & 1) + (offered >> F_HINTS & 1));
    int err = virtq_init(&b->inflate, b->dev, QUEUE_INFLATE, QUEUE_LEN, used);

    if (!err)
        err = virtq_init(&b->deflate, b->dev, QUEUE_DEFLATE, QUEUE_LEN, used);
    b->reports = !err && virtio_has(b->dev, F_REPORTING) &&
                 !virtq_init(&b->report, b->dev, last, QUEUE_LEN, reported);
    b->inflate.data = b->deflate.data = b;
    if (b->reports) {
        b->report.data = b;
        b->report.counts_all = true; /* what is reported is nowhere near a written byte */
    }
    return err ? err : virtio_enable_irq(b->dev);
}

static int balloon_probe(struct virtio_dev *dev)
{
    struct balloon *b = the_balloon ? NULL : kzalloc(sizeof(*b));
    int err = b ? 0 : -ENOMEM;

    if (err)
        return err;
    b->dev = dev;
    b->frames = kcalloc(BATCH, sizeof(u32));
    u64 offered = dev->transport->get_features(dev);
    err = b->frames ? virtio_negotiate(dev, BIT(F_DEFLATE_ON_OOM) | BIT(F_REPORTING)) : -ENOMEM;
    if (!err)
        err = init_queues(b, offered);
    if (err) {
        virtio_reset(dev); /* the device lets go of the queues before they are freed: 3.3.1 */
        virtq_fini(&b->inflate);
        virtq_fini(&b->deflate);
        virtq_fini(&b->report);
        kfree(b->frames);
        kfree(b);
        return err;
    }
    spin_init(&b->lock);
    list_init(&b->pages);
    timer_init(&b->step, step);
    timer_init(&b->look, look);
    b->pause_ns = report_ns;
    dev->driver = b;
    the_balloon = b;
    b->shrinker.shrink = shrink;
    page_register_shrinker(&b->shrinker);
    dev->config_changed = config_changed;
    virtio_driver_ok(dev);
    timer_set(&b->step, time_after_ns(step_ns));
    if (b->reports)
        timer_set(&b->look, time_after_ns(report_ns));
    return 0;
}

const struct virtio_driver virtio_balloon_driver = {
    .type = VIRTIO_BALLOON,
    .name = "virtio-balloon",
    .probe = balloon_probe,
};
