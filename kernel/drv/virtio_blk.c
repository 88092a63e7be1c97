/* Virtio block device: virtio 1.2, 5.2.  A request is a header, data and a status byte; the headers
 * and status bytes live in memory of our own, one slot for each request in flight.  What does not
 * fit waits in a list and is started when something finishes. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum blk_feature { F_SIZE_MAX = 1, F_SEG_MAX = 2, F_RO = 5, F_FLUSH = 9 };
enum blk_type { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4 };
enum blk_status { STATUS_OK = 0 };
enum { CONFIG_CAPACITY = 0, CONFIG_SIZE_MAX = 8, CONFIG_SEG_MAX = 12 };
enum { QUEUE_LEN = 128, MAX_IN_FLIGHT = 16 };

/* What the device reads and writes besides the data. */
struct vblk_slot {
    u32 type;
    u32 reserved;
    u64 sector;
    u8 status;
    u8 pad[15];
};
static_assert(sizeof(struct vblk_slot) == 32, "header of 16 bytes, then the status byte");

/* Fields: [I], [L] under .lock. */
struct vblk {
    struct block_dev bd;
    char name[8];            /* [I] */
    struct virtq queue;      /* [L] */
    struct spinlock lock;    /* a leaf */
    struct vblk_slot *slots; /* [I] MAX_IN_FLIGHT of them, known to the device; owns */
    struct block_request *requests[MAX_IN_FLIGHT]; /* [L] by slot; NULL: free */
    struct list_head waiting;                      /* [L] not yet with the device */
};

static u32 nr_disks; /* [I] after start */

static u32 type_of(enum block_op op)
{
    static const u8 types[] = {
        [BLOCK_READ] = TYPE_IN, [BLOCK_WRITE] = TYPE_OUT, [BLOCK_FLUSH] = TYPE_FLUSH};
    return types[op];
}

static int free_slot(const struct vblk *vb)
{
    for (int i = 0; i < MAX_IN_FLIGHT; i++) {
        if (!vb->requests[i])
            return i;
    }
    return -1;
}

/* Give one request to the device. False: no room now. With the lock held. */
static bool start_locked(struct vblk *vb, struct block_request *request)
{
    struct virtq_buf bufs[BLOCK_MAX_SEGMENTS + 2];
    int i = free_slot(vb);
    if (i < 0)
        return false;

    struct vblk_slot *slot = &vb->slots[i];
    u64 slot_pa = virt_to_phys(slot);
    bool in = request->op == BLOCK_READ;
    u32 n = 0;
    *slot = (struct vblk_slot){
        .type = type_of(request->op), .sector = request->sector, .status = UINT8_MAX};
    bufs[n++] = (struct virtq_buf){.pa = slot_pa, .len = offsetof(struct vblk_slot, status)};
    for (u32 s = 0; s < request->nr_segments; s++)
        bufs[n++] = (struct virtq_buf){.pa = virt_to_phys(request->segments[s].buf),
                                       .len = request->segments[s].len};
    bufs[n++] = (struct virtq_buf){.pa = slot_pa + offsetof(struct vblk_slot, status), .len = 1};
    u32 nr_out = in ? 1 : n - 1;
    if (virtq_add(&vb->queue, bufs, nr_out, n - nr_out, (void *)(uintptr_t)(i + 1)))
        return false;
    vb->requests[i] = request;
    return true;
}

static void start_waiting_locked(struct vblk *vb)
{
    while (!list_empty(&vb->waiting)) {
        struct block_request *request = list_first(&vb->waiting, struct block_request, node);
        if (!start_locked(vb, request))
            break;
        list_remove(&request->node);
    }
    virtq_kick(&vb->queue);
}

/* Requests that the device has finished, or will never finish, move to @finished. */
static void collect_locked(struct vblk *vb, struct list_head *finished)
{
    void *token;

    while ((token = virtq_take(&vb->queue, NULL))) {
        u32 i = (u32)(uintptr_t)token - 1;
        struct block_request *request = vb->requests[i];
        request->status = vb->slots[i].status == STATUS_OK ? 0 : -EIO;
        vb->requests[i] = NULL;
        list_add_tail(finished, &request->node);
    }
}

static void fail_all_locked(struct vblk *vb, struct list_head *finished)
{
    struct block_request *request, *tmp;

    for (u32 i = 0; i < MAX_IN_FLIGHT; i++) {
        if (!vb->requests[i])
            continue;
        vb->requests[i]->status = -EIO;
        list_add_tail(finished, &vb->requests[i]->node);
        vb->requests[i] = NULL;
    }
    list_for_each_safe(request, tmp, &vb->waiting, node)
    {
        request->status = -EIO;
        list_remove(&request->node);
        list_add_tail(finished, &request->node);
    }
}

/* Take what is finished, start what waits, then tell the owners without the lock. */
static void vblk_advance(struct vblk *vb, struct block_request *new_request)
{
    struct list_head finished = LIST_INIT(finished);

    spin_lock(&vb->lock);
    if (new_request)
        list_add_tail(&vb->waiting, &new_request->node);
    do {
        collect_locked(vb, &finished);
        start_waiting_locked(vb);
    } while (virtq_enable_notify(&vb->queue) && !vb->queue.dev->broken);
    if (vb->queue.dev->broken)
        fail_all_locked(vb, &finished);
    spin_unlock(&vb->lock);

    struct block_request *request, *tmp;
    list_for_each_safe(request, tmp, &finished, node)
    {
        list_remove(&request->node);
        request->done(request);
    }
}

static void vblk_submit(struct block_dev *bd, struct block_request *request)
{
    vblk_advance(bd->data, request);
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
    bd->max_segments = min((u32)vb->queue.size - 2, (u32)BLOCK_MAX_SEGMENTS);
    if (virtio_has(dev, F_SEG_MAX))
        bd->max_segments = max(1u, min(bd->max_segments, read_config32(dev, CONFIG_SEG_MAX)));
    if (virtio_has(dev, F_SIZE_MAX))
        bd->max_bytes = max((u32)PAGE_SIZE, read_config32(dev, CONFIG_SIZE_MAX));
}

static int vblk_probe(struct virtio_dev *dev)
{
    struct vblk *vb = kzalloc(sizeof(*vb));
    if (!vb)
        return -ENOMEM;
    int err = -ENOMEM;
    vb->slots = kcalloc(MAX_IN_FLIGHT, sizeof(*vb->slots));
    if (!vb->slots)
        goto free_vb;

    list_init(&vb->waiting);
    err = virtio_negotiate(dev, BIT(F_SIZE_MAX) | BIT(F_SEG_MAX) | BIT(F_RO) | BIT(F_FLUSH));
    if (err)
        goto free_slots;
    err = virtq_init(&vb->queue, dev, 0, QUEUE_LEN, vblk_used);
    if (err)
        goto reset_dev;
    vb->queue.data = vb;
    err = vb->queue.size < 4 ? -EINVAL : virtio_enable_irq(dev);
    if (err)
        goto free_queue;
    read_limits(vb, dev);
    virtio_driver_ok(dev); /* the queue is live from here on */

    format(vb->name, sizeof(vb->name), "vd%c", 'a' + nr_disks % 26);
    vb->bd.name = vb->name;
    vb->bd.ops = &vblk_ops;
    vb->bd.data = vb;
    err = block_add(&vb->bd);
    if (err)
        goto free_queue;
    nr_disks++;
    return 0;

free_queue:
    virtio_reset(dev); /* the device lets go of the queue before it is freed: 3.3.1 */
    virtq_fini(&vb->queue);
reset_dev:
    virtio_reset(dev);
free_slots:
    kfree(vb->slots);
free_vb:
    kfree(vb);
    return err;
}

const struct virtio_driver virtio_block_driver = {
    .type = VIRTIO_BLOCK,
    .name = "virtio-blk",
    .probe = vblk_probe,
};
