#include "fake/played_device.h"

#include <stdio.h>
#include <string.h>

#include "abi/errno.h"
#include "plat/plat.h"

struct virtio_dev played;
u64 played_features;
u8 played_config[64];
char played_why[128];
void *played_kept[64];
u32 played_head;

u16 played_queue_size = 32;
struct virtq *played_queues[PLAYED_QUEUES];
void (*played_notified)(struct virtq *vq);

static u16 taken[PLAYED_QUEUES];

enum { DESC_NEXT = 1, DESC_WRITE = 2 };

struct desc {
    u64 addr;
    u32 len;
    u16 flags, next;
};

/* ---- in place of virtio.c ---- */

int virtio_negotiate(struct virtio_dev *dev, u64 wanted)
{
    dev->features =
        (played_features & (wanted | BIT(VIRTIO_F_EVENT_IDX))) | BIT(VIRTIO_F_VERSION_1);
    return 0;
}

int virtio_enable_irq(struct virtio_dev *dev)
{
    (void)dev;
    return 0;
}

void virtio_driver_ok(struct virtio_dev *dev)
{
    (void)dev;
}

void virtio_reset(struct virtio_dev *dev)
{
    (void)dev;
}

void virtio_break(struct virtio_dev *dev, const char *why)
{
    if (dev->broken)
        return;
    dev->broken = true;
    snprintf(played_why, sizeof(played_why), "%s", why);
}

void virtio_route_queue(struct virtio_dev *dev, u16 index, u32 line, u32 cpu)
{
    (void)dev, (void)index, (void)line, (void)cpu;
}

const char *virtio_name(struct virtio_dev *dev)
{
    (void)dev;
    return "played";
}

/* ---- the device ---- */

static u64 get_features(struct virtio_dev *dev)
{
    (void)dev;
    return played_features | BIT(VIRTIO_F_VERSION_1);
}

static u16 queue_max(struct virtio_dev *dev, u16 index)
{
    (void)dev;
    return index < PLAYED_QUEUES ? played_queue_size : 0;
}

static int queue_enable(struct virtio_dev *dev, struct virtq *vq)
{
    (void)dev;
    played_queues[vq->index] = vq;
    return 0;
}

static void notify(struct virtio_dev *dev, struct virtq *vq)
{
    (void)dev;
    if (played_notified)
        played_notified(vq);
}

static void read_config(struct virtio_dev *dev, u32 offset, void *buf, u32 len)
{
    (void)dev;
    memcpy(buf, played_config + offset, len);
}

static const struct virtio_transport transport = {
    .get_features = get_features,
    .queue_max = queue_max,
    .queue_enable = queue_enable,
    .notify = notify,
    .read_config = read_config,
};

int played_start(const struct virtio_driver *driver)
{
    static u32 nr_kept;

    played_kept[nr_kept++ % ARRAY_LEN(played_kept)] = played.driver;
    memset(taken, 0, sizeof(taken));
    played = (struct virtio_dev){.transport = &transport, .type = driver->type};
    return driver->probe(&played);
}

/* The head of the oldest chain that is available, or -1. */
static int next_head(u32 q)
{
    const struct virtq *vq = played_queues[q];
    const u16 *avail = phys_to_virt(vq->avail_pa);

    if (avail[1] == taken[q])
        return -1;
    played_head = avail[2 + taken[q]++ % vq->size];
    return (int)played_head;
}

void played_use(u32 q, u32 id, u32 len)
{
    struct virtq *vq = played_queues[q];
    u16 *idx = (u16 *)(uintptr_t)vq->used + 1;
    u32 *elem = (u32 *)(uintptr_t)vq->used + 1 + 2 * (*idx % vq->size);

    elem[0] = id;
    elem[1] = len;
    (*idx)++;
}

bool played_fill(u32 q, const void *bytes, u32 len)
{
    int head = next_head(q);

    if (head < 0)
        return false;
    const struct desc *d = (const struct desc *)phys_to_virt(played_queues[q]->desc_pa) + head;
    if (len <= d->len)
        memcpy(phys_to_virt(d->addr), bytes, len);
    played_use(q, (u32)head, len);
    return true;
}

int played_take(u32 q, void *buf, u32 size)
{
    int head = next_head(q);
    u8 *to = buf;

    if (head < 0)
        return -1;
    const struct desc *ring = phys_to_virt(played_queues[q]->desc_pa);
    for (u32 i = (u32)head;; i = ring[i].next) {
        u32 n = ring[i].len < size ? ring[i].len : size;
        memcpy(to, phys_to_virt(ring[i].addr), n);
        to += n;
        size -= n;
        if (!(ring[i].flags & DESC_NEXT))
            break;
    }
    played_use(q, (u32)head, 0);
    return (int)(to - (u8 *)buf);
}

int played_answer(u32 q, void *buf, u32 size, u8 answer)
{
    int head = next_head(q);

    if (head < 0)
        return -1;
    const struct desc *ring = phys_to_virt(played_queues[q]->desc_pa), *out = &ring[head];
    u32 n = out->len < size ? out->len : size;
    memcpy(buf, phys_to_virt(out->addr), n);
    *(u8 *)phys_to_virt(ring[out->next].addr) = answer;
    played_use(q, (u32)head, 1);
    return (int)n;
}

void played_interrupt(void)
{
    for (u32 i = 0; i < played.nr_queues; i++)
        if (virtq_has_used(played.queues[i]))
            played.queues[i]->used_fn(played.queues[i]);
}
