/* Virtio block device: virtio 1.2, 5.2.  A request is a header, data and a status byte; the headers
 * and status bytes live in memory of our own, one slot for each request in flight.  What does not
 * fit waits in a list and is started when something finishes.  Each CPU submits to a queue of its
 * own where the device has so many. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "core/percpu.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum blk_feature {
    F_SIZE_MAX = 1,
    F_SEG_MAX = 2,
    F_RO = 5,
    F_FLUSH = 9,
    F_MQ = 12,
    F_DISCARD = 13,
};
enum blk_type {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_DISCARD = 11,
};
enum blk_status { STATUS_OK = 0 };
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SIZE_MAX = 8,
    CONFIG_SEG_MAX = 12,
    CONFIG_NUM_QUEUES = 34,
    CONFIG_MAX_DISCARD = 36,   /* sectors */
    CONFIG_DISCARD_ALIGN = 44, /* sectors */
};
enum { QUEUE_LEN = 128, MAX_IN_FLIGHT = 16, MAX_QUEUES = 8 };

/* What the device reads and writes besides the data. */
struct vblk_slot {
    u32 type;
    u32 reserved;
    u64 sector;
    struct {
        u64 sector;
        u32 nr_sectors;
        u32 flags;
    } range; /* of a discard or of zeroes: 5.2.6 */
    u8 status;
    u8 pad[31];
};
static_assert(sizeof(struct vblk_slot) == 64, "header and range of 16 bytes, then the status");

/* Fields: [I], [L] under .lock. */
struct vblk_queue {
    struct virtq ring;       /* [L] */
    struct spinlock lock;    /* a leaf */
    struct vblk_slot *slots; /* [I] MAX_IN_FLIGHT of them, known to the device; owns */
    struct block_request *requests[MAX_IN_FLIGHT]; /* [L] by slot; NULL: free */
    struct list_head waiting;                      /* [L] not yet with the device */
};

struct vblk {
    struct block_dev bd;
    char name[8];               /* [I] */
    u32 nr_queues;              /* [I] */
    struct vblk_queue queues[]; /* one a CPU, as far as they go */
};

static u32 nr_disks; /* [I] after start */

static u32 type_of(enum block_op op)
{
    static const u8 types[] = {
        [BLOCK_READ] = TYPE_IN,
        [BLOCK_WRITE] = TYPE_OUT,
        [BLOCK_FLUSH] = TYPE_FLUSH,
        [BLOCK_DISCARD] = TYPE_DISCARD,
    };
    return types[op];
}

static int free_slot(const struct vblk_queue *q)
{
    for (int i = 0; i < MAX_IN_FLIGHT; i++) {
        if (!q->requests[i])
            return i;
    }
    return -1;
}

/* Give one request to the device. False: no room now. With the lock held. */
static bool start_locked(struct vblk_queue *q, struct block_request *request)
{
    struct virtq_buf bufs[BLOCK_MAX_SEGMENTS + 2];
    int i = free_slot(q);
    if (i < 0)
        return false;

    struct vblk_slot *slot = &q->slots[i];
    u64 slot_pa = virt_to_phys(slot);
    bool in = request->op == BLOCK_READ;
    u32 n = 0;
    bool ranged = request->op == BLOCK_DISCARD;
    *slot = (struct vblk_slot){.type = type_of(request->op), .status = UINT8_MAX};
    if (ranged) {
        slot->range.sector = request->sector;
        slot->range.nr_sectors = request->segments[0].len / SECTOR_SIZE;
    } else {
        slot->sector = request->sector;
    }
    bufs[n++] = (struct virtq_buf){.pa = slot_pa, .len = offsetof(struct vblk_slot, range)};
    if (ranged)
        bufs[n++] = (struct virtq_buf){.pa = slot_pa + offsetof(struct vblk_slot, range),
                                       .len = sizeof(slot->range)};
    for (u32 s = 0; s < request->nr_segments && !ranged; s++)
        bufs[n++] = (struct virtq_buf){.pa = virt_to_phys(request->segments[s].buf),
                                       .len = request->segments[s].len};
    bufs[n++] = (struct virtq_buf){.pa = slot_pa + offsetof(struct vblk_slot, status), .len = 1};
    u32 nr_out = in ? 1 : n - 1;
    if (virtq_add(&q->ring, bufs, nr_out, n - nr_out, (void *)(uintptr_t)(i + 1)))
        return false;
    q->requests[i] = request;
    return true;
}

static void start_waiting_locked(struct vblk_queue *q)
{
    while (!list_empty(&q->waiting)) {
        struct block_request *request = list_first(&q->waiting, struct block_request, node);
        if (!start_locked(q, request))
            break;
        list_remove(&request->node);
    }
    virtq_kick(&q->ring);
}

/* Requests that the device has finished, or will never finish, move to @finished. */
static void collect_locked(struct vblk_queue *q, struct list_head *finished)
{
    void *token;

    while ((token = virtq_take(&q->ring, NULL))) {
        u32 i = (u32)(uintptr_t)token - 1;
        struct block_request *request = q->requests[i];
        request->status = q->slots[i].status == STATUS_OK ? 0 : -EIO;
        q->requests[i] = NULL;
        list_add_tail(finished, &request->node);
    }
}

static void fail_all_locked(struct vblk_queue *q, struct list_head *finished)
{
    struct block_request *request, *tmp;

    for (u32 i = 0; i < MAX_IN_FLIGHT; i++) {
        if (!q->requests[i])
            continue;
        q->requests[i]->status = -EIO;
        list_add_tail(finished, &q->requests[i]->node);
        q->requests[i] = NULL;
    }
    list_for_each_safe(request, tmp, &q->waiting, node)
    {
        request->status = -EIO;
        list_remove(&request->node);
        list_add_tail(finished, &request->node);
    }
}

/* Take what is finished, start what waits, then tell the owners without the lock. */
static void vblk_advance(struct vblk_queue *q, struct block_request *new_request)
{
    struct list_head finished = LIST_INIT(finished);

    spin_lock(&q->lock);
    if (new_request)
        list_add_tail(&q->waiting, &new_request->node);
    do {
        collect_locked(q, &finished);
        start_waiting_locked(q);
    } while (virtq_enable_notify(&q->ring) && !q->ring.dev->broken);
    if (q->ring.dev->broken)
        fail_all_locked(q, &finished);
    spin_unlock(&q->lock);

    struct block_request *request, *tmp;
    list_for_each_safe(request, tmp, &finished, node)
    {
        list_remove(&request->node);
        request->done(request);
    }
}

static void vblk_submit(struct block_dev *bd, struct block_request *request)
{
    struct vblk *vb = bd->data;

    vblk_advance(&vb->queues[cpu_id() % vb->nr_queues], request);
}

static void vblk_used(struct virtq *vq)
{
    vblk_advance(vq->data, NULL);
}

static const struct block_ops vblk_ops = {.submit = vblk_submit};

static u32 read_config32(struct virtio_dev *dev, u32 offset)
{
    u32 value = 0;

    dev->transport->read_config(dev, offset, &value, sizeof(value));
    return value;
}

/* 5.2.4: capacity always; limits where their features were agreed on. */
static void read_limits(struct vblk *vb, struct virtio_dev *dev)
{
    struct block_dev *bd = &vb->bd;

    dev->transport->read_config(dev, CONFIG_CAPACITY, &bd->sectors, sizeof(bd->sectors));
    bd->readonly = virtio_has(dev, F_RO);
    bd->volatile_cache = virtio_has(dev, F_FLUSH);
    bd->max_segments = min((u32)vb->queues[0].ring.size - 2, (u32)BLOCK_MAX_SEGMENTS);
    if (virtio_has(dev, F_SEG_MAX))
        bd->max_segments = max(1u, min(bd->max_segments, read_config32(dev, CONFIG_SEG_MAX)));
    if (virtio_has(dev, F_SIZE_MAX))
        bd->max_bytes = max((u32)PAGE_SIZE, read_config32(dev, CONFIG_SIZE_MAX));
}

static u32 bytes_of(u32 sectors)
{
    return sectors > UINT32_MAX / SECTOR_SIZE ? 0 : sectors * SECTOR_SIZE;
}

static void read_range_limits(struct block_dev *bd, struct virtio_dev *dev)
{
    bd->has_discard = virtio_has(dev, F_DISCARD) && !bd->readonly;
    if (bd->has_discard) {
        bd->max_discard_bytes = bytes_of(read_config32(dev, CONFIG_MAX_DISCARD));
        bd->discard_align = bytes_of(read_config32(dev, CONFIG_DISCARD_ALIGN));
    }
}

static int init_queue(struct vblk_queue *q, struct virtio_dev *dev, u32 index)
{
    list_init(&q->waiting);
    q->slots = kcalloc(MAX_IN_FLIGHT, sizeof(*q->slots));
    if (!q->slots)
        return -ENOMEM;
    int err = virtq_init(&q->ring, dev, (u16)index, QUEUE_LEN, vblk_used);
    if (err) {
        kfree(q->slots);
        q->slots = NULL;
        return err;
    }
    q->ring.data = q;
    return q->ring.size < 4 ? -EINVAL : 0;
}

/* As many as there are CPUs to use them; one will do where memory is short. */
static int init_queues(struct vblk *vb, struct virtio_dev *dev, u32 nr)
{
    int err = 0;

    for (vb->nr_queues = 0; vb->nr_queues < nr && !err; vb->nr_queues += !err)
        err = init_queue(&vb->queues[vb->nr_queues], dev, vb->nr_queues);
    return vb->nr_queues ? 0 : err;
}

static void fini_queues(struct vblk *vb, u32 nr)
{
    for (u32 i = 0; i < nr; i++) {
        if (vb->queues[i].slots)
            virtq_fini(&vb->queues[i].ring);
        kfree(vb->queues[i].slots);
    }
}

static u32 wanted_queues(struct virtio_dev *dev)
{
    u16 offered = 1;

    if (!(dev->transport->get_features(dev) & BIT(F_MQ)) || cpu_count == 1)
        return 1;
    dev->transport->read_config(dev, CONFIG_NUM_QUEUES, &offered, sizeof(offered));
    u32 usable = min(cpu_count, (u32)MAX_QUEUES);
    return offered ? min((u32)offered, usable) : 1;
}

static int vblk_probe(struct virtio_dev *dev)
{
    u32 nr = wanted_queues(dev);
    struct vblk *vb = kzalloc(sizeof(*vb) + nr * sizeof(vb->queues[0]));
    if (!vb)
        return -ENOMEM;
    int err = virtio_negotiate(dev, BIT(F_SIZE_MAX) | BIT(F_SEG_MAX) | BIT(F_RO) | BIT(F_FLUSH) |
                                        BIT(F_MQ) | BIT(F_DISCARD));
    if (!err)
        err = init_queues(vb, dev, nr);
    if (!err)
        err = virtio_enable_irq(dev);
    if (err)
        goto reset;
    read_limits(vb, dev);
    read_range_limits(&vb->bd, dev);
    virtio_driver_ok(dev); /* the queues are live from here on */

    format(vb->name, sizeof(vb->name), "vd%c", 'a' + nr_disks % 26);
    vb->bd.name = vb->name;
    vb->bd.ops = &vblk_ops;
    vb->bd.data = vb;
    err = block_add(&vb->bd);
    if (err)
        goto reset;
    nr_disks++;
    return 0;

reset:
    virtio_reset(dev); /* the device lets go of the queues before they are freed: 3.3.1 */
    fini_queues(vb, nr);
    kfree(vb);
    return err;
}

const struct virtio_driver virtio_block_driver = {
    .type = VIRTIO_BLOCK,
    .name = "virtio-blk",
    .probe = vblk_probe,
};
