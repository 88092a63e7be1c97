/* Disks: the list of them, and transfers that wait. */
#include "block/block.h"

#include "abi/errno.h"
#include "abi/stat.h"
#include "core/spinlock.h"
#include "lib/string.h"
#include "sched/wait.h"

enum { SEGMENT_MAX = 1 << 20 };

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

    /* The waiter may return once .left is 0, so its queue is touched under the queue's lock only
     * as long as this one still counts. */
    spin_lock(&batch->wait.lock);
    bool last = __atomic_sub_fetch(&batch->left, 1, __ATOMIC_ACQ_REL) == 0;
    spin_unlock(&batch->wait.lock);
    if (last)
        waitq_wake_all(&batch->wait, 0);
}

int block_run(struct block_dev *bd, struct block_request *requests, u32 count)
{
    struct batch batch = {.left = count + 1}; /* one for ourselves, until all are submitted */
    int err = 0;

    waitq_init(&batch.wait);
    for (u32 i = 0; i < count; i++) {
        requests[i].owner = &batch;
        requests[i].done = request_done;
        requests[i].status = 0;
        bd->ops->submit(bd, &requests[i]);
    }
    __atomic_sub_fetch(&batch.left, 1, __ATOMIC_ACQ_REL);
    (void)wait_event(&batch.wait, !__atomic_load_n(&batch.left, __ATOMIC_ACQUIRE), false,
                     NO_DEADLINE); /* nothing ends it but the transfers */
    for (u32 i = 0; i < count && !err; i++)
        err = requests[i].status;
    return err;
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

    return block_run(bd, &request, 1);
}
