/* Virtio 9p transport (device type 9; one queue, a name in the configuration): a request is the
 * message there and room for the message back. */
#include "abi/errno.h"
#include "drv/virtio.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "plat/plat.h"
#include "sched/wait.h"
#include "vfs/p9_channel.h"

enum { F_MOUNT_TAG = 0, CONFIG_TAG_LEN = 0, CONFIG_TAG = 2, RING_LEN = 128, PIECES = 4 };

/* Fields: [I], [L] under .lock. */
struct v9p {
    struct p9_channel channel;
    struct virtio_dev *dev; /* [I] */
    struct virtq ring;      /* [L] */
    struct spinlock lock;   /* a leaf */
    struct waitq waitq;     /* an answer came, or there is room in the ring */
};

/* On its thread's stack: nobody touches it once .done is set. */
struct v9p_call {
    u32 got;
    bool done; /* [A] */
};

static void advance(struct v9p *v)
{
    struct v9p_call *call;
    bool any = false;
    u32 got;

    spin_lock(&v->lock);
    do {
        while ((call = virtq_take(&v->ring, &got))) {
            call->got = got;
            __atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
            any = true;
        }
    } while (virtq_enable_notify(&v->ring) && !v->dev->broken);
    spin_unlock(&v->lock);
    if (any || v->dev->broken)
        waitq_wake_all(&v->waitq, 0);
}

static void v9p_used(struct virtq *vq)
{
    advance(vq->data);
}

static int try_send(struct v9p *v, const struct virtq_buf *bufs, u32 nr_out, u32 nr_in,
                    struct v9p_call *call)
{
    spin_lock(&v->lock);
    int err = virtq_add(&v->ring, bufs, nr_out, nr_in, call);
    if (!err)
        virtq_kick(&v->ring);
    spin_unlock(&v->lock);
    return err;
}

static int v9p_exchange(struct p9_channel *channel, struct p9_exchange *x)
{
    struct v9p *v = container_of(channel, struct v9p, channel);
    struct v9p_call call = {0};
    struct virtq_buf bufs[PIECES];
    u32 nr_out = 0, n, room = x->in_len[0] + (x->in[1] ? x->in_len[1] : 0);
    int err;

    for (u32 i = 0; i < 2 && x->out[i]; i++)
        bufs[nr_out++] = (struct virtq_buf){virt_to_phys(x->out[i]), x->out_len[i]};
    n = nr_out;
    for (u32 i = 0; i < 2 && x->in[i]; i++)
        bufs[n++] = (struct virtq_buf){virt_to_phys(x->in[i]), x->in_len[i]};
    (void)wait_event(&v->waitq, (err = try_send(v, bufs, nr_out, n - nr_out, &call)) != -ENOSPC,
                     false, NO_DEADLINE);
    if (err)
        return err;
    advance(v); /* asks for the interrupt */
    (void)wait_event(&v->waitq, __atomic_load_n(&call.done, __ATOMIC_ACQUIRE) || v->dev->broken,
                     false, NO_DEADLINE);
    if (!__atomic_load_n(&call.done, __ATOMIC_ACQUIRE))
        return -EIO;
    x->got = min(call.got, room);
    return 0;
}

static int read_name(struct v9p *v)
{
    u16 len = 0;

    if (!virtio_has(v->dev, F_MOUNT_TAG))
        return -ENODEV;
    v->dev->transport->read_config(v->dev, CONFIG_TAG_LEN, &len, sizeof(len));
    if (!len || len > P9_NAME_MAX)
        return -EINVAL;
    v->dev->transport->read_config(v->dev, CONFIG_TAG, v->channel.name, len);
    return 0;
}

static int v9p_probe(struct virtio_dev *dev)
{
    struct v9p *v = kzalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;

    v->dev = dev;
    waitq_init(&v->waitq);
    int err = virtio_negotiate(dev, BIT(F_MOUNT_TAG));
    if (!err)
        err = read_name(v);
    if (!err)
        err = virtq_init(&v->ring, dev, 0, RING_LEN, v9p_used);
    if (err)
        goto reset_dev;
    v->ring.data = v;
    err = v->ring.size < PIECES ? -EINVAL : virtio_enable_irq(dev);
    if (err)
        goto free_ring;
    virtio_driver_ok(dev); /* the queue is live from here on */
    v->channel.exchange = v9p_exchange;
    p9_channel_add(&v->channel);
    return 0;

free_ring:
    virtio_reset(dev);
    virtq_fini(&v->ring);
    kfree(v);
    return err;
reset_dev:
    virtio_reset(dev);
    kfree(v);
    return err;
}

const struct virtio_driver virtio_9p_driver = {
    .type = VIRTIO_9P,
    .name = "virtio-9p",
    .probe = v9p_probe,
};
