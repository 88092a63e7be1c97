/* Virtio over memory that is shared with a device process: abi/window.h.  What a driver asks for is
 * there from the start, so nothing waits but a reset.  The other side may end at any time; then all
 * devices are shut off, what is under way fails, and interfaces are down. */
#include "abi/errno.h"
#include "abi/window.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/time.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "plat/plat.h"

enum { STATUS_DRIVER_OK = 4, STATUS_FAILED = 128 };
enum { CAUSE_QUEUE = 1, CAUSE_CONFIG = 2 };
enum { NET_STATUS_OFFSET = 6 }; /* of a network device's configuration: 5.1.4 */

struct window_dev {
    struct virtio_dev dev;
    volatile struct window_device *page; /* [I] */
    u32 index;                           /* [I] of its doorbell */
};

static struct window_dev *found[WINDOW_MAX_DEVICES]; /* [I] after start */
static bool lost;

static struct window_dev *to_window(struct virtio_dev *dev)
{
    return container_of(dev, struct window_dev, dev);
}

/* After a reset zero is read once the device has let go; who is gone has. */
static u8 window_get_status(struct virtio_dev *dev)
{
    volatile struct window_device *page = to_window(dev)->page;
    u8 status = (u8)(page->status | (page->trouble & WINDOW_STATUS_NEEDS_RESET));

    if (page->status || __atomic_load_n(&page->answer, __ATOMIC_ACQUIRE) == page->request)
        return page->status ? status : 0;
    return !lost && plat.window->look();
}

static void window_set_status(struct virtio_dev *dev, u8 status)
{
    struct window_dev *wd = to_window(dev);

    __atomic_store_n(&wd->page->status, status, __ATOMIC_RELEASE);
    if (status && !(status & (STATUS_DRIVER_OK | STATUS_FAILED)))
        return; /* still between the driver and its page */
    __atomic_store_n(&wd->page->request, wd->page->request + 1, __ATOMIC_RELEASE);
    plat.window->ring(wd->index);
}

static u64 window_get_features(struct virtio_dev *dev)
{
    return to_window(dev)->page->offered;
}

static void window_set_features(struct virtio_dev *dev, u64 features)
{
    to_window(dev)->page->features = features;
}

static u16 window_queue_max(struct virtio_dev *dev, u16 index)
{
    return index < WINDOW_MAX_QUEUES ? to_window(dev)->page->queue[index].max : 0;
}

static int window_queue_enable(struct virtio_dev *dev, struct virtq *vq)
{
    volatile struct window_queue *queue = &to_window(dev)->page->queue[vq->index];

    queue->desc = vq->desc_pa;
    queue->avail = vq->avail_pa;
    queue->used = vq->used_pa;
    queue->size = vq->size;
    queue->enabled = 1;
    return 0;
}

static void window_notify(struct virtio_dev *dev, struct virtq *vq)
{
    (void)vq; /* the device looks at all of its queues */
    plat.window->ring(to_window(dev)->index);
}

static u32 window_ack_interrupt(struct virtio_dev *dev)
{
    volatile struct window_device *page = to_window(dev)->page;

    if (likely(!page->config_changed))
        return CAUSE_QUEUE;
    __atomic_store_n(&page->config_changed, 0, __ATOMIC_SEQ_CST); /* before we look what it was */
    if (page->trouble)
        virtio_break(dev, "it found a broken queue");
    return CAUSE_QUEUE | CAUSE_CONFIG;
}

static void window_read_config(struct virtio_dev *dev, u32 offset, void *buf, u32 len)
{
    volatile struct window_device *page = to_window(dev)->page;
    u8 *out = buf;

    for (u32 i = 0; i < len; i++)
        out[i] = offset + i < WINDOW_CONFIG ? page->config[offset + i] : 0;
}

static void window_describe(struct virtio_dev *dev, char *text, size_t size)
{
    format(text, size, "device %u", to_window(dev)->index);
}

static int window_route_irq(struct virtio_dev *dev, u32 line)
{
    volatile struct window_device *page = to_window(dev)->page;

    page->config_line = (u8)line;
    for (u32 i = 0; i < WINDOW_MAX_QUEUES; i++)
        page->queue[i].line = (u8)line;
    return 0;
}

static const struct virtio_transport window_transport = {
    .get_status = window_get_status,
    .set_status = window_set_status,
    .get_features = window_get_features,
    .set_features = window_set_features,
    .queue_max = window_queue_max,
    .queue_enable = window_queue_enable,
    .notify = window_notify,
    .ack_interrupt = window_ack_interrupt,
    .tells_cause = true,
    .read_config = window_read_config,
    .describe = window_describe,
    .route_irq = window_route_irq,
};

/* Who waits for an answer gets an error; a link is down. */
static void shut_off(struct window_dev *wd)
{
    struct virtio_dev *dev = &wd->dev;

    virtio_break(dev, "the device process is gone");
    if (dev->type == VIRTIO_NET)
        memset((void *)(uintptr_t)&wd->page->config[NET_STATUS_OFFSET], 0, sizeof(u16));
    if (dev->config_changed)
        dev->config_changed(dev);
    for (u32 i = 0; i < dev->nr_queues; i++)
        dev->queues[i]->used_fn(dev->queues[i]);
}

static void take_loss(void *arg)
{
    (void)arg;
    if (lost || plat.window->look())
        return; /* the line may be another's too */
    lost = true;
    for (u32 i = 0; i < WINDOW_MAX_DEVICES; i++)
        if (found[i])
            shut_off(found[i]);
}

static void add_device(struct window *w, u32 index, u32 type)
{
    struct window_dev *wd = kzalloc(sizeof(*wd));

    if (!wd) {
        log_err("device %u: no memory", index);
        return;
    }
    wd->dev.transport = &window_transport;
    wd->page = window_device(w, index);
    wd->dev.type = type;
    wd->index = index;
    found[index] = wd;
    virtio_add(&wd->dev); /* as new: there is nothing to reset */
}

void virtio_window_probe_all(void)
{
    struct window *w = plat.window->at;
    bool late = plat.window->late;

    if (!late && (w->magic != WINDOW_MAGIC || w->version != WINDOW_VERSION)) {
        log_err("devices of another version of ingot; they are left alone");
        return;
    }
    int line = irq_register(take_loss, NULL);
    if (line >= 0)
        plat.window->lost_line = (u32)line;
    if (late)
        add_device(w, 0, VIRTIO_NET);
    for (u32 i = 0; !late && i < min(w->nr_devices, (u32)WINDOW_MAX_DEVICES); i++)
        add_device(w, i, window_device(w, i)->type);
}
