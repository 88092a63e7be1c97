/* Virtio network device: virtio 1.2, 5.1.  Frames arrive in single pages, merged where they are
 * larger; small ones are copied out and their page goes straight back.  Sending rings the doorbell
 * once a burst, at the next safe point; finished packets are collected when room is needed or
 * something arrives, without an interrupt.  What does not fit the ring waits in a list.
 * One pair of queues is used; all groups are received, which IP sorts out. */
#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/random.h"
#include "core/time.h"
#include "core/timer.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/netif.h"
#include "net/wire.h"

enum net_feature {
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_MTU = 3,
    F_MAC = 5,
    F_GUEST_TSO4 = 7,
    F_GUEST_TSO6 = 8,
    F_HOST_TSO4 = 11,
    F_HOST_TSO6 = 12,
    F_MRG_RXBUF = 15,
    F_STATUS = 16,
    F_HOST_USO = 56,
};
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MTU = 10 };
enum { STATUS_LINK_UP = 1 };
enum { QUEUE_RX = 0, QUEUE_TX = 1 };
enum hdr_flags { HDR_NEEDS_CSUM = 1, HDR_DATA_VALID = 2 };
enum hdr_gso { HDR_GSO_TCPV4 = 1, HDR_GSO_TCPV6 = 4, HDR_GSO_UDP_L4 = 5, HDR_GSO_ECN = 0x80 };

enum {
    RING_LEN = 256,
    RX_FIRST = 64,    /* pages offered at first; more when bursts come */
    RX_BURST = 256,   /* packets taken before others have their turn */
    COPY_BELOW = 256, /* bytes of a frame that are cheaper to copy than a page to replace */
    BACKLOG_MAX = 1024,
    TX_CHAIN_MAX = PKT_FRAGS + 1,
};
static const u64 rx_pause_ns = 20 * NSEC_PER_USEC;
static const u64 rx_short_ns = 5 * NSEC_PER_MSEC; /* until memory is asked for once more */

/* Before each frame, either way. */
struct vnet_hdr {
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct vnet_hdr) == 12, "virtio 1.2, 5.1.6");
enum { HDR_LEN = sizeof(struct vnet_hdr) };

/* Fields: [I], [R] under .rx_lock, [T] under .tx_lock. */
struct vnet {
    struct netif netif;
    struct netif_offer offer; /* [I] until it is taken up */
    struct virtio_dev *dev;   /* [I] */
    struct virtq rx;          /* [R] tokens are pages */
    struct virtq tx;          /* [T] tokens are packets */
    struct spinlock rx_lock;  /* only tried: one CPU receives, the others need not */
    struct spinlock tx_lock;  /* a leaf */
    u32 rx_target;            /* [R] pages to keep with the device */
    struct timer rx_again;    /* more came than one burst takes, or pages were short */
    struct list_head backlog; /* [T] packets that the ring has no room for */
    u32 nr_backlog;           /* [T] */
    bool kick_pending;        /* [T] the flush line is pending */
    u32 flush_line;           /* [I] */
};

static struct vnet *to_vnet(struct netif *netif)
{
    return container_of(netif, struct vnet, netif);
}

/* ---- receiving ---- */

static u32 rx_held(const struct vnet *vn)
{
    return (u32)vn->rx.size - vn->rx.nr_free;
}

static bool offer_page(struct vnet *vn, struct page *page)
{
    return !virtq_add_one(&vn->rx, page_to_phys(page), PAGE_SIZE, true, page);
}

/* Short of memory the device keeps fewer pages; receive() has it tried again. */
static void refill(struct vnet *vn)
{
    while (rx_held(vn) < vn->rx_target && !vn->dev->broken) {
        struct page *page = page_alloc(0, PAGE_NORECLAIM);
        if (!page)
            break;
        if (!offer_page(vn, page)) {
            page_put(page);
            break;
        }
    }
    virtq_kick(&vn->rx);
}

static_assert(COPY_BELOW <= PKT_LINEAR - PKT_HEADROOM, "copy_small()");

/* A small frame leaves its page, which the device gets back at once. */
static struct pkt *copy_small(struct vnet *vn, struct page *page, u32 len)
{
    struct pkt *pkt = pkt_alloc();

    if (likely(pkt)) {
        memcpy(pkt->data, (const u8 *)page_to_virt(page) + HDR_LEN, len);
        pkt->len = pkt->total = len;
    }
    virtq_add_again(&vn->rx, page);
    return pkt;
}

/* The rest of a frame that fills several pages: 5.1.6.4. False: the device has made a mess. */
static bool add_merged(struct vnet *vn, struct pkt *pkt, u32 count)
{
    for (; count; count--) {
        u32 len;
        struct page *page = virtq_take(&vn->rx, &len);
        if (!page) {
            virtio_break(vn->dev, "it merged buffers that it did not fill");
            return false;
        }
        if (!len || !pkt_add_frag(pkt, page, page_to_virt(page), len)) {
            page_put(page);
            virtio_break(vn->dev, "it merged too many buffers");
            return false;
        }
    }
    return true;
}

static u8 gso_of(u8 type)
{
    switch (type & ~HDR_GSO_ECN) {
    case HDR_GSO_TCPV4:
        return GSO_TCPV4;
    case HDR_GSO_TCPV6:
        return GSO_TCPV6;
    case HDR_GSO_UDP_L4:
        return GSO_UDP;
    default:
        return GSO_NONE;
    }
}

/* What the device says about the frame, believed only where it cannot hurt. */
static void note_offloads(const struct vnet *vn, struct pkt *pkt, const struct vnet_hdr *hdr)
{
    if (!virtio_has(vn->dev, F_GUEST_CSUM))
        return;
    if (hdr->flags & HDR_NEEDS_CSUM) {
        if ((u32)hdr->csum_start + hdr->csum_offset + 2 > pkt->total)
            return; /* then it is verified, and found wrong */
        pkt->csum = CSUM_PARTIAL;
        pkt->csum_start = hdr->csum_start;
        pkt->csum_offset = hdr->csum_offset;
    } else if (hdr->flags & HDR_DATA_VALID) {
        pkt->csum = CSUM_GOOD;
    }
    if (likely(!hdr->gso_type))
        return;
    pkt->gso = gso_of(hdr->gso_type);
    pkt->gso_size = pkt->gso ? hdr->gso_size : 0;
}

/* One frame out of the ring; NULL: none, or one that had to be dropped (*@more says which). */
static struct pkt *take_frame(struct vnet *vn, bool *more)
{
    u32 len;
    struct page *page = virtq_take(&vn->rx, &len);

    *more = page != NULL;
    if (!page)
        return NULL;
    struct vnet_hdr hdr = *(const struct vnet_hdr *)page_to_virt(page); /* once: it may change */
    u32 buffers = virtio_has(vn->dev, F_MRG_RXBUF) ? hdr.num_buffers : 1;
    if (unlikely(len <= HDR_LEN || !buffers || buffers > PKT_FRAGS + 1)) {
        page_put(page);
        virtio_break(vn->dev, "it received a frame of impossible size");
        return NULL;
    }
    struct pkt *pkt;
    if (buffers == 1 && len - HDR_LEN <= COPY_BELOW) {
        pkt = copy_small(vn, page, len - HDR_LEN);
    } else {
        pkt = pkt_alloc_page(page, HDR_LEN, len - HDR_LEN);
        if (!pkt)
            page_put(page);
    }
    if (unlikely(!pkt)) {
        vn->netif.stats.rx_dropped++;
        for (u32 n = buffers - 1; n && (page = virtq_take(&vn->rx, NULL)); n--)
            page_put(page);
        return NULL;
    }
    if (buffers > 1 && !add_merged(vn, pkt, buffers - 1)) {
        pkt_free(pkt);
        return NULL;
    }
    note_offloads(vn, pkt, &hdr);
    return pkt;
}

/* Returns the number of frames; below RX_BURST the ring is empty. */
static u32 receive_burst(struct vnet *vn)
{
    u32 n = 0;

    for (bool more = true; more && n < RX_BURST; n++) {
        struct pkt *pkt = take_frame(vn, &more);
        if (pkt)
            netif_receive(&vn->netif, pkt);
    }
    if (rx_held(vn) < vn->rx_target / 2) /* frames of many pages empty it as many frames do */
        vn->rx_target = min(vn->rx_target * 2, (u32)vn->rx.size);
    refill(vn);
    return n;
}

static void tx_advance(struct vnet *vn);

/* Go on by the timer where more came than one burst takes, or something between the last look and
 * the unlock that kept another CPU out; and where the device has too few pages, for it may have too
 * few for any frame that is to come, and then no frame brings us here. */
static void go_on_later(struct vnet *vn, bool full, bool is_short)
{
    if (full || virtq_has_used(&vn->rx))
        timer_set(&vn->rx_again, time_after_ns(rx_pause_ns));
    else if (is_short)
        timer_set(&vn->rx_again, time_after_ns(rx_short_ns));
}

/* Work off what has come, then ask for an interrupt. */
static void receive(struct vnet *vn)
{
    if (vn->dev->broken || !spin_trylock(&vn->rx_lock))
        return;
    virtq_disable_notify(&vn->rx);
    bool full;
    do
        full = receive_burst(vn) >= RX_BURST;
    while (!full && virtq_enable_notify(&vn->rx) && !vn->dev->broken);
    bool is_short = rx_held(vn) < vn->rx_target;
    spin_unlock(&vn->rx_lock);
    if (unlikely(full || is_short || virtq_has_used(&vn->rx)))
        go_on_later(vn, full, is_short);
    netif_receive_done(&vn->netif);
    if (virtq_has_used(&vn->tx))
        tx_advance(vn);
}

static void vnet_poll(struct netif *netif)
{
    struct vnet *vn = to_vnet(netif);

    if (virtq_has_used(&vn->rx))
        receive(vn);
}

static void rx_used(struct virtq *vq)
{
    receive(vq->data);
}

/* No lock is held here, so that caches may give pages back, which refill() must not ask for. */
static void make_pages_free(void)
{
    struct page *page = page_alloc(0, 0);

    if (page)
        page_put(page);
}

/* Even if nothing came: see to pages and to the interrupt. */
static void rx_again(struct timer *t)
{
    struct vnet *vn = container_of(t, struct vnet, rx_again);

    if (unlikely(rx_held(vn) < vn->rx_target))
        make_pages_free();
    receive(vn);
}

/* ---- sending ---- */

static void fill_gso(struct vnet_hdr *hdr, const struct pkt *pkt)
{
    static const u8 types[] = {
        [GSO_TCPV4] = HDR_GSO_TCPV4, [GSO_TCPV6] = HDR_GSO_TCPV6, [GSO_UDP] = HDR_GSO_UDP_L4};
    const u8 *transport = pkt->data + pkt->csum_start;
    u32 transport_len = pkt->gso == GSO_UDP ? sizeof(struct udp_hdr) : (transport[12] >> 4) * 4u;
    hdr->gso_type = types[pkt->gso];
    hdr->gso_size = pkt->gso_size;
    hdr->hdr_len = (u16)(pkt->csum_start + transport_len);
}

/* The header of @pkt, which is not yet in front of it. */
static inline struct vnet_hdr hdr_of(const struct pkt *pkt)
{
    struct vnet_hdr hdr = {0};

    if (likely(pkt->csum == CSUM_PARTIAL)) {
        hdr.flags = HDR_NEEDS_CSUM;
        hdr.csum_start = pkt->csum_start;
        hdr.csum_offset = pkt->csum_offset;
        if (unlikely(pkt->gso))
            fill_gso(&hdr, pkt);
    }
    return hdr;
}

/* Headers in one piece, data in others. */
static __attribute__((noinline)) bool start_chain_locked(struct vnet *vn, struct pkt *pkt)
{
    struct virtq_buf bufs[TX_CHAIN_MAX];
    u32 n = 0;

    bufs[n++] = (struct virtq_buf){.pa = virt_to_phys(pkt->data), .len = pkt->len};
    for (u32 i = 0; i < pkt->nr_frags; i++)
        bufs[n++] =
            (struct virtq_buf){.pa = virt_to_phys(pkt->frags[i].data), .len = pkt->frags[i].len};
    return !virtq_add(&vn->tx, bufs, n, 0, pkt);
}

/* Give a frame with its header to the device. False: no room. */
static inline bool start_locked(struct vnet *vn, struct pkt *pkt)
{
    if (likely(!pkt->nr_frags))
        return !virtq_add_one(&vn->tx, virt_to_phys(pkt->data), pkt->len, false, pkt);
    return start_chain_locked(vn, pkt);
}

static void collect_locked(struct vnet *vn)
{
    struct pkt *pkt;

    while ((pkt = virtq_take(&vn->tx, NULL)))
        pkt_free(pkt);
}

static void drop_backlog_locked(struct vnet *vn)
{
    vn->netif.stats.tx_dropped += vn->nr_backlog;
    pkt_free_list(&vn->backlog);
    vn->nr_backlog = 0;
}

/* Collect what was sent, start what waits, ask to be told when there is room for the rest. */
static void advance_locked(struct vnet *vn)
{
    collect_locked(vn);
    while (vn->nr_backlog) {
        struct pkt *pkt = list_first(&vn->backlog, struct pkt, node);
        if (start_locked(vn, pkt)) {
            vn->nr_backlog--;
            list_remove(&pkt->node);
            continue;
        }
        virtq_kick(&vn->tx);
        if (vn->dev->broken)
            drop_backlog_locked(vn);
        else if (virtq_enable_notify(&vn->tx))
            collect_locked(vn);
        else
            break;
    }
}

static void tx_advance(struct vnet *vn)
{
    spin_lock(&vn->tx_lock);
    advance_locked(vn);
    virtq_kick(&vn->tx);
    spin_unlock(&vn->tx_lock);
}

static void tx_used(struct virtq *vq)
{
    tx_advance(vq->data);
}

/* Behind what waits. */
static __attribute__((noinline)) void wait_locked(struct vnet *vn, struct pkt *pkt)
{
    if (vn->nr_backlog >= BACKLOG_MAX || vn->dev->broken) {
        vn->netif.stats.tx_dropped++;
        pkt_free(pkt);
        return;
    }
    list_add_tail(&vn->backlog, &pkt->node);
    vn->nr_backlog++;
    advance_locked(vn);
}

static inline void queue_locked(struct vnet *vn, struct pkt *pkt)
{
    if (likely(!vn->nr_backlog)) {
        if (unlikely(vn->tx.nr_free < TX_CHAIN_MAX))
            collect_locked(vn);
        if (likely(start_locked(vn, pkt)))
            return;
    }
    wait_locked(vn, pkt);
}

static void vnet_send(struct netif *netif, struct pkt *pkt)
{
    struct vnet *vn = to_vnet(netif);

    if (unlikely(pkt_headroom(pkt) < HDR_LEN)) {
        netif->stats.tx_errors++;
        pkt_free(pkt);
        return;
    }
    struct vnet_hdr hdr = hdr_of(pkt);
    __builtin_memcpy(pkt_push(pkt, HDR_LEN), &hdr, HDR_LEN);

    spin_lock(&vn->tx_lock);
    queue_locked(vn, pkt);
    if (!vn->kick_pending) {
        vn->kick_pending = true;
        irq_pend(vn->flush_line);
    }
    spin_unlock(&vn->tx_lock);
}

static void vnet_flush(struct netif *netif)
{
    struct vnet *vn = to_vnet(netif);

    spin_lock(&vn->tx_lock);
    vn->kick_pending = false;
    virtq_kick(&vn->tx);
    spin_unlock(&vn->tx_lock);
}

static void flush_pending(void *arg)
{
    struct vnet *vn = arg;

    if (vn->kick_pending)
        vnet_flush(&vn->netif);
}

static const struct netif_ops vnet_ops = {
    .send = vnet_send, .flush = vnet_flush, .poll = vnet_poll};

/* ---- start ---- */

static void read_link(struct vnet *vn)
{
    u16 status = STATUS_LINK_UP;

    if (virtio_has(vn->dev, F_STATUS))
        vn->dev->transport->read_config(vn->dev, CONFIG_STATUS, &status, sizeof(status));
    u32 up = status & STATUS_LINK_UP ? NETIF_UP : 0;
    if ((vn->netif.flags & NETIF_UP) == up)
        return;
    vn->netif.flags = (vn->netif.flags & ~(u32)NETIF_UP) | up;
    netif_link_changed(&vn->netif);
}

/* With MSI-X this comes with every interrupt: one that brought packets is not asked for more. */
static void config_changed(struct virtio_dev *dev)
{
    struct vnet *vn = dev->driver;
    u32 before = vn->netif.flags & NETIF_UP;

    if (virtq_has_used(&vn->rx))
        return;
    read_link(vn);
    if ((vn->netif.flags & NETIF_UP) != before)
        log_info("%s: link is %s", vn->netif.name, before ? "down" : "up");
}

static void read_mac(struct vnet *vn)
{
    u8 *mac = vn->netif.mac;

    if (virtio_has(vn->dev, F_MAC)) {
        vn->dev->transport->read_config(vn->dev, CONFIG_MAC, mac, 6);
        return;
    }
    random_bytes(mac, 6);
    mac[0] = (u8)((mac[0] & ~1) | 2); /* one host's, locally administered */
}

static u32 read_mtu(struct vnet *vn)
{
    u16 mtu = 1500;

    if (virtio_has(vn->dev, F_MTU))
        vn->dev->transport->read_config(vn->dev, CONFIG_MTU, &mtu, sizeof(mtu));
    return mtu < IP4_MIN_MTU ? 1500 : mtu;
}

static u32 offload_flags(const struct vnet *vn)
{
    const struct virtio_dev *dev = vn->dev;
    u32 flags = 0;

    if (!virtio_has(dev, F_CSUM))
        return 0; /* without it the others may not be used: 5.1.3.1 */
    flags |= NETIF_CSUM;
    flags |= virtio_has(dev, F_HOST_TSO4) ? NETIF_TSO4 : 0;
    flags |= virtio_has(dev, F_HOST_TSO6) ? NETIF_TSO6 : 0;
    flags |= virtio_has(dev, F_HOST_USO) ? NETIF_USO : 0;
    return flags;
}

static int negotiate(struct virtio_dev *dev)
{
    u64 offered = dev->transport->get_features(dev);
    u64 wanted = BIT(F_CSUM) | BIT(F_GUEST_CSUM) | BIT(F_MTU) | BIT(F_MAC) | BIT(F_HOST_TSO4) |
                 BIT(F_HOST_TSO6) | BIT(F_MRG_RXBUF) | BIT(F_STATUS) | BIT(F_HOST_USO);

    /* Joined segments need merged buffers, ours are pages; and checksums, as 5.1.3.1 says. */
    if (offered & BIT(F_MRG_RXBUF) && offered & BIT(F_GUEST_CSUM))
        wanted |= BIT(F_GUEST_TSO4) | BIT(F_GUEST_TSO6);
    return virtio_negotiate(dev, wanted);
}

/* A frame of the largest kind must fit one page, or be merged from several. */
static int setup_queues(struct vnet *vn)
{
    int err = virtq_init(&vn->rx, vn->dev, QUEUE_RX, RING_LEN, rx_used);
    if (err)
        return err;
    err = virtq_init(&vn->tx, vn->dev, QUEUE_TX, RING_LEN, tx_used);
    if (err)
        return err;
    vn->rx.data = vn->tx.data = vn;
    if (vn->tx.size < TX_CHAIN_MAX || vn->rx.size < TX_CHAIN_MAX)
        return -EINVAL;
    int line = irq_register(flush_pending, vn);
    if (line < 0)
        return line;
    vn->flush_line = (u32)line;
    return virtio_enable_irq(vn->dev);
}

static void setup_netif(struct vnet *vn)
{
    static u32 count;
    struct netif *netif = &vn->netif;

    format(netif->name, sizeof(netif->name), "eth%u", count++);
    netif->ops = &vnet_ops;
    netif->flags |= offload_flags(vn);
    if (!virtio_has(vn->dev, F_GUEST_TSO4))
        netif->flags |= NETIF_GRO;
    netif->mtu = read_mtu(vn);
    if (!virtio_has(vn->dev, F_MRG_RXBUF))
        netif->mtu = min(netif->mtu, (u32)(PAGE_SIZE - HDR_LEN - sizeof(struct eth_hdr)));
    netif->max_mtu = virtio_has(vn->dev, F_MTU) ? netif->mtu : max(netif->mtu, 1500u);
    read_mac(vn);
    read_link(vn);
}

/* Somebody has use for it. */
static void vnet_start(struct netif_offer *offer)
{
    struct vnet *vn = container_of(offer, struct vnet, offer);
    struct virtio_dev *dev = vn->dev;

    int err = negotiate(dev);
    if (!err)
        err = setup_queues(vn);
    if (err)
        goto reset_dev;
    setup_netif(vn);
    dev->config_changed = config_changed;
    virtio_driver_ok(dev);              /* the queues are live from here on */
    (void)virtq_enable_notify(&vn->rx); /* nothing can have come before there are buffers */
    refill(vn);
    netif_add(&vn->netif);
    return;

reset_dev:
    log_err("%s: virtio-net does not start: error %d", virtio_name(dev), -err);
    virtio_reset(dev); /* the device lets go of the queues before they are freed: 3.3.1 */
    virtq_fini(&vn->rx);
    virtq_fini(&vn->tx);
    kfree(vn);
}

static int vnet_probe(struct virtio_dev *dev)
{
    struct vnet *vn = kzalloc(sizeof(*vn));
    if (!vn)
        return -ENOMEM;
    vn->dev = dev;
    vn->rx_target = RX_FIRST;
    list_init(&vn->backlog);
    timer_init(&vn->rx_again, rx_again);
    dev->driver = vn;
    vn->offer.start = vnet_start;
    netif_offer(&vn->offer);
    return 0;
}

const struct virtio_driver virtio_net_driver = {
    .type = VIRTIO_NET,
    .name = "virtio-net",
    .probe = vnet_probe,
};
