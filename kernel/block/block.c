/* Disks: the list of them, and transfers that wait. */
#include "block/block.h"

#include "abi/errno.h"
#include "abi/stat.h"
#include "core/spinlock.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"

enum { SEGMENT_MAX = 1 << 20, BATCH_REQUESTS = 8, BATCH_BYTES = 1 << 18 };

static struct list_head disks = LIST_INIT(disks); /* only ever added to, at start */
static struct spinlock disks_lock;                /* a leaf */

struct block_dev *block_find(const char *name)
{
    struct block_dev *bd;

    if (str_starts(name, "/dev/"))
        name += strlen("/dev/");
    list_for_each(bd, &disks, node)
        if (!strcmp(bd->name, name))
            return bd;
    return NULL;
}

int block_add(struct block_dev *bd)
{
    static u32 next_minor;

    if (!bd->sectors)
        return -EINVAL;
    if (block_find(bd->name))
        return -EEXIST;
    spin_lock(&disks_lock);
    if (!bd->dev)
        bd->dev = dev_make(254, next_minor++);
    list_add_tail(&disks, &bd->node);
    spin_unlock(&disks_lock);
    return 0;
}

int block_for_each(int (*fn)(struct block_dev *bd, void *arg), void *arg)
{
    struct block_dev *bd;

    list_for_each(bd, &disks, node) {
        int stop = fn(bd, arg);
        if (stop)
            return stop;
    }
    return 0;
}

/* Transfers that one thread waits for. */
struct batch {
    struct waitq wait;
    u32 left; /* [A] not through yet */
};

static void request_done(struct block_request *request)
{
    struct batch *batch = request->owner;

    /* The waiter returns, and the batch is gone, once .left is 0 and the lock free: see run(). */
    spin_lock(&batch->wait.lock);
    if (!__atomic_sub_fetch(&batch->left, 1, __ATOMIC_ACQ_REL))
        waitq_wake_locked(&batch->wait, 0);
    spin_unlock(&batch->wait.lock);
}

static __attribute__((cold)) void count_reads(const struct block_request *requests, u32 count)
{
    u64 bytes = 0;

    for (u32 i = 0; i < count; i++)
        for (u32 k = 0; k < requests[i].nr_segments && requests[i].op == BLOCK_READ; k++)
            bytes += requests[i].segments[k].len;
    io_count_disk(bytes, 0);
}

static void count_request(struct block_dev *bd, const struct block_request *request)
{
    u64 bytes = 0;

    for (u32 i = 0; i < request->nr_segments; i++)
        bytes += request->segments[i].len;
    for (; bd; bd = bd->whole) {
        __atomic_fetch_add(&bd->counts[request->op].requests, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&bd->counts[request->op].bytes, bytes, __ATOMIC_RELAXED);
    }
}

static int run(struct block_dev *bd, struct block_request *requests, u32 count)
{
    struct batch batch = {.left = count + 1}; /* one for ourselves, until all are submitted */
    int err = 0;

    waitq_init(&batch.wait);
    for (u32 i = 0; i < count; i++) {
        requests[i].owner = &batch;
        requests[i].done = request_done;
        requests[i].status = 0;
        count_request(bd, &requests[i]);
        bd->ops->submit(bd, &requests[i]);
    }
    __atomic_sub_fetch(&batch.left, 1, __ATOMIC_ACQ_REL);
    (void)wait_event(&batch.wait, !__atomic_load_n(&batch.left, __ATOMIC_ACQUIRE), false,
                     NO_DEADLINE); /* nothing ends it but the transfers */
    spin_lock(&batch.wait.lock);   /* who finished the last one may still be waking us */
    spin_unlock(&batch.wait.lock);
    for (u32 i = 0; i < count && !err; i++)
        err = requests[i].status;
    if (unlikely(__atomic_load_n(&io_counting, __ATOMIC_RELAXED)))
        count_reads(requests, count);
    return err;
}

int block_run(struct block_dev *bd, struct block_request *requests, u32 count)
{
    bool fua = false;

    for (u32 i = 0; i < count; i++)
        fua |= requests[i].fua;
    int err = run(bd, requests, count);
    return !err && fua && !bd->has_fua ? block_flush(bd) : err;
}

/* Cut [sector, sector + count) into requests of one segment each. */
static int transfer(struct block_dev *bd, enum block_op op, u64 sector, void *buf, size_t count)
{
    u32 bytes = bd->max_bytes ? min(bd->max_bytes, (u32)SEGMENT_MAX) : (u32)SEGMENT_MAX;
    size_t most = bytes / SECTOR_SIZE;

    if (sector > bd->sectors || count > bd->sectors - sector)
        return -EINVAL;
    for (size_t done = 0, n; done < count; done += n) {
        struct block_request request = {.op = op, .sector = sector + done, .nr_segments = 1};
        n = min(count - done, most);
        request.segments[0].buf = (u8 *)buf + done * SECTOR_SIZE;
        request.segments[0].len = (u32)(n * SECTOR_SIZE);
        int err = block_run(bd, &request, 1);
        if (err)
            return err;
    }
    return 0;
}

int block_read(struct block_dev *bd, u64 sector, void *buf, size_t count)
{
    return transfer(bd, BLOCK_READ, sector, buf, count);
}

int block_write(struct block_dev *bd, u64 sector, const void *buf, size_t count)
{
    if (bd->readonly)
        return -EROFS;
    return transfer(bd, BLOCK_WRITE, sector, (void *)(uintptr_t)buf, count);
}

int block_flush(struct block_dev *bd)
{
    struct block_request request = {.op = BLOCK_FLUSH};

    return bd->readonly || !bd->volatile_cache ? 0 : run(bd, &request, 1);
}

int block_discard(struct block_dev *bd, u64 sector, u64 count)
{
    u32 align = max(bd->discard_align / SECTOR_SIZE, 1u);
    u32 limit = bd->max_discard_bytes;
    u64 most = (limit ? min(limit, (u32)GIB(1)) : (u32)GIB(1)) / SECTOR_SIZE;
    u64 first = DIV_UP(sector, align) * align, end = (sector + count) / align * align;

    if (!bd->has_discard || first >= end)
        return 0;
    if (bd->readonly)
        return -EROFS;
    if (end > bd->sectors)
        return -EINVAL;
    for (u64 n; first < end; first += n) {
        struct block_request request = {.op = BLOCK_DISCARD, .sector = first, .nr_segments = 1};
        n = min(end - first, most);
        request.segments[0].len = (u32)(n * SECTOR_SIZE);
        int err = run(bd, &request, 1);
        if (err)
            return err;
    }
    return 0;
}

void block_batch_init(struct block_batch *batch, struct block_dev *bd, enum block_op op)
{
    batch->bd = bd;
    batch->op = op;
    batch->nr = 0;
    batch->err = op == BLOCK_WRITE && bd->readonly ? -EROFS : 0;
    batch->requests = NULL;
    batch->max = 1;
}

static struct block_request *batch_requests(struct block_batch *batch)
{
    return batch->requests ? batch->requests : &batch->one;
}

static void batch_run(struct block_batch *batch)
{
    if (!batch->nr)
        return;
    int err = batch->err ? 0 : block_run(batch->bd, batch_requests(batch), batch->nr);
    if (err)
        batch->err = err;
    batch->nr = 0;
}

/* A request of its own for what does not continue the last one. */
static struct block_request *batch_next(struct block_batch *batch, u64 sector)
{
    if (batch->nr == 1 && !batch->requests) {
        struct block_request *many = kmalloc(BATCH_REQUESTS * sizeof(*many));
        if (many) {
            many[0] = batch->one;
            batch->requests = many;
            batch->max = BATCH_REQUESTS;
        }
    }
    if (batch->nr == batch->max)
        batch_run(batch);
    struct block_request *request = batch_requests(batch) + batch->nr++;
    request->op = batch->op;
    request->fua = false;
    request->sector = sector;
    request->nr_segments = 0;
    batch->bytes = 0;
    return request;
}

static bool batch_continues(const struct block_batch *batch, const struct block_request *last,
                            u64 sector, u32 len)
{
    const struct block_dev *bd = batch->bd;
    u32 max_segments = bd->max_segments ? bd->max_segments : BLOCK_MAX_SEGMENTS;
    u32 max_bytes = bd->max_bytes ? min(bd->max_bytes, (u32)BATCH_BYTES) : (u32)BATCH_BYTES;

    return last->sector + batch->bytes / SECTOR_SIZE == sector &&
           last->nr_segments < max_segments && batch->bytes + len <= max_bytes;
}

void block_batch_add(struct block_batch *batch, u64 sector, void *buf, u32 len)
{
    struct block_request *request = batch->nr ? batch_requests(batch) + batch->nr - 1 : NULL;
    u64 count = len / SECTOR_SIZE;

    if (!batch->err && (sector > batch->bd->sectors || count > batch->bd->sectors - sector))
        batch->err = -EINVAL;
    if (batch->err)
        return;
    if (!request || !batch_continues(batch, request, sector, len))
        request = batch_next(batch, sector);
    struct block_segment *segment = &request->segments[request->nr_segments];
    if (request->nr_segments && (u8 *)segment[-1].buf + segment[-1].len == buf) {
        segment[-1].len += len;
    } else {
        *segment = (struct block_segment){buf, len};
        request->nr_segments++;
    }
    batch->bytes += len;
}

int block_batch_finish(struct block_batch *batch)
{
    batch_run(batch);
    kfree(batch->requests);
    batch->requests = NULL;
    return batch->err;
}
