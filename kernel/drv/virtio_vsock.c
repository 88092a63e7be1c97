/* Virtio socket device: virtio 1.2, 5.10.  Packets arrive in single pages; what is sent waits in a
 * list where the ring is full: the peers' credit bounds it. */
#include "abi/errno.h"
#include "core/log.h"
#include "drv/virtio.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/vsock.h"

enum { QUEUE_RX = 0, QUEUE_TX = 1, QUEUE_EVENT = 2, CONFIG_CID = 0 };
enum { RING_LEN = 128, RX_PAGES = 32, EVENTS = 4, EVENT_RESET = 0, COPY_BELOW = 512 };
enum { TX_CHAIN_MAX = PKT_FRAGS + 1 };

/* Fields: [I], [R] under .rx_lock, [T] under .tx_lock. */
struct vvsock {
    struct vsock_transport transport;
    struct virtio_dev *dev;   /* [I] */
    struct virtq rx, event;   /* [R] */
    struct virtq tx;          /* [T] */
    struct spinlock rx_lock;  /* before AF_VSOCK's, and that before .tx_lock */
    struct spinlock tx_lock;  /* a leaf */
    struct list_head waiting; /* [T] packets that the ring has no room for */
    u32 *events;              /* [R] EVENTS of them; owns */
};

/* ---- sending ---- */

static bool start_locked(struct vvsock *vv, struct pkt *pkt)
{
    struct virtq_buf bufs[TX_CHAIN_MAX];
    u32 n = 0;

    bufs[n++] = (struct virtq_buf){.pa = virt_to_phys(pkt->data), .len = pkt->len};
    for (u32 i = 0; i < pkt->nr_frags; i++)
        bufs[n++] =
            (struct virtq_buf){.pa = virt_to_phys(pkt->frags[i].data), .len = pkt->frags[i].len};
    return !virtq_add(&vv->tx, bufs, n, 0, pkt);
}

/* Collect what was sent, start what waits, ask to be told when there is room for the rest. */
static void advance_locked(struct vvsock *vv)
{
    struct pkt *pkt;

    do {
        while ((pkt = virtq_take(&vv->tx, NULL)))
            pkt_free(pkt);
        while (!list_empty(&vv->waiting)) {
            pkt = list_first(&vv->waiting, struct pkt, node);
            if (!start_locked(vv, pkt))
                break;
            list_remove(&pkt->node);
        }
        if (vv->dev->broken)
            pkt_free_list(&vv->waiting);
        virtq_kick(&vv->tx);
    } while (!list_empty(&vv->waiting) && virtq_enable_notify(&vv->tx));
}

static void vvsock_send(struct vsock_transport *transport, struct pkt *pkt)
{
    struct vvsock *vv = container_of(transport, struct vvsock, transport);

    spin_lock(&vv->tx_lock);
    list_add_tail(&vv->waiting, &pkt->node);
    advance_locked(vv);
    spin_unlock(&vv->tx_lock);
}

static void tx_used(struct virtq *vq)
{
    struct vvsock *vv = vq->data;

    spin_lock(&vv->tx_lock);
    advance_locked(vv);
    spin_unlock(&vv->tx_lock);
}

/* ---- receiving ---- */

static void refill(struct vvsock *vv)
{
    while ((u32)vv->rx.size - vv->rx.nr_free < RX_PAGES && !vv->dev->broken) {
        struct page *page = page_alloc(0, PAGE_NORECLAIM);
        if (!page)
            break; /* fewer, then; the next packet tries again */
        if (virtq_add_one(&vv->rx, page_to_phys(page), PAGE_SIZE, true, page)) {
            page_put(page);
            break;
        }
    }
    virtq_kick(&vv->rx);
}

/* A small packet leaves its page. Takes @page. NULL: no memory; it is lost. */
static struct pkt *to_pkt(struct page *page, u32 len)
{
    struct pkt *pkt = len <= COPY_BELOW ? pkt_alloc() : pkt_alloc_page(page, 0, len);

    if (pkt && len <= COPY_BELOW)
        memcpy(pkt_put(pkt, len), page_to_virt(page), len);
    if (!pkt || len <= COPY_BELOW)
        page_put(page);
    return pkt;
}

static void receive_all(struct vvsock *vv)
{
    struct page *page;
    u32 len;

    while ((page = virtq_take(&vv->rx, &len))) {
        struct pkt *pkt = to_pkt(page, len);
        if (pkt)
            vsock_receive(pkt);
    }
    refill(vv);
}

static void rx_used(struct virtq *vq)
{
    struct vvsock *vv = vq->data;

    spin_lock(&vv->rx_lock);
    do
        receive_all(vv);
    while (virtq_enable_notify(&vv->rx) && !vv->dev->broken);
    spin_unlock(&vv->rx_lock);
}

static void read_cid(struct vvsock *vv)
{
    vv->dev->transport->read_config(vv->dev, CONFIG_CID, &vv->transport.cid,
                                    sizeof(vv->transport.cid));
}

static void offer_event(struct vvsock *vv, u32 *event)
{
    (void)virtq_add_one(&vv->event, virt_to_phys(event), sizeof(*event), true, event);
}

static void event_used(struct virtq *vq)
{
    struct vvsock *vv = vq->data;
    bool reset = false;
    u32 *event, len;

    spin_lock(&vv->rx_lock);
    do {
        while ((event = virtq_take(&vv->event, &len))) {
            reset |= len == sizeof(*event) && *event == EVENT_RESET;
            offer_event(vv, event);
        }
        virtq_kick(&vv->event);
    } while (virtq_enable_notify(&vv->event) && !vv->dev->broken);
    if (reset)
        read_cid(vv);
    spin_unlock(&vv->rx_lock);
    if (reset)
        vsock_reset_all();
}

/* ---- start ---- */

static int setup_queues(struct vvsock *vv)
{
    int err = virtq_init(&vv->rx, vv->dev, QUEUE_RX, RING_LEN, rx_used);

    if (!err)
        err = virtq_init(&vv->tx, vv->dev, QUEUE_TX, RING_LEN, tx_used);
    if (!err)
        err = virtq_init(&vv->event, vv->dev, QUEUE_EVENT, EVENTS, event_used);
    if (err)
        return err;
    vv->rx.data = vv->tx.data = vv->event.data = vv;
    return vv->tx.size < TX_CHAIN_MAX ? -EINVAL : virtio_enable_irq(vv->dev);
}

static int vvsock_probe(struct virtio_dev *dev)
{
    struct vvsock *vv = kzalloc(sizeof(*vv));
    u32 *events = kcalloc(EVENTS, sizeof(*events));
    int err = vv && events ? virtio_negotiate(dev, 0) : -ENOMEM;

    if (err)
        goto free_memory;
    vv->dev = dev;
    vv->events = events;
    vv->transport.send = vvsock_send;
    list_init(&vv->waiting);
    dev->driver = vv;
    err = setup_queues(vv);
    if (err)
        goto reset_dev;
    read_cid(vv);
    vsock_set_transport(&vv->transport);
    virtio_driver_ok(dev); /* the queues are live from here on */
    refill(vv);
    for (u32 i = 0; i < vv->event.size; i++)
        offer_event(vv, &events[i]);
    virtq_kick(&vv->event);
    (void)virtq_enable_notify(&vv->rx); /* nothing can have come yet that an interrupt misses */
    (void)virtq_enable_notify(&vv->event);
    return 0;

reset_dev:
    virtio_reset(dev); /* the device lets go of the queues before they are freed: 3.3.1 */
    virtq_fini(&vv->rx);
    virtq_fini(&vv->tx);
    virtq_fini(&vv->event);
free_memory:
    kfree(events);
    kfree(vv);
    return err;
}

const struct virtio_driver virtio_vsock_driver = {
    .type = VIRTIO_VSOCK,
    .name = "virtio-vsock",
    .probe = vvsock_probe,
};
