/* Virtio network device: virtio 1.2, 5.1.  Frames arrive in single pages, merged where they are
 * larger; small ones are copied out and their page goes straight back.  Each frame that is sent
 * rings the doorbell, which the device mostly does not want to hear; those that answer a burst of
 * received ones ring once, at its end.  Finished packets are collected when room is needed or
 * something arrives, without an interrupt.  What does not fit the ring waits in a list. All groups
 * are received, which IP sorts out. */
#include "drv/virtio_net_priv.h"

#include "core/irq.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/page.h"
#include "net/wire.h"

enum hdr_flags { HDR_NEEDS_CSUM = 1, HDR_DATA_VALID = 2 };
enum hdr_gso { HDR_GSO_TCPV4 = 1, HDR_GSO_TCPV6 = 4, HDR_GSO_UDP_L4 = 5, HDR_GSO_ECN = 0x80 };

enum {
    RX_FIRST = 64,    /* pages offered at first; more when bursts come */
    RX_BURST = 256,   /* packets taken before others have their turn */
    COPY_BELOW = 256, /* bytes of a frame that are cheaper to copy than a page to replace */
    BACKLOG_MAX = 1024,
    HDR_LEN = VNET_HDR_LEN,
    TX_CHAIN_MAX = VNET_TX_CHAIN_MAX,
};
static const u64 rx_pause_ns = 20 * NSEC_PER_USEC;
static const u64 rx_short_ns = 5 * NSEC_PER_MSEC; /* until memory is asked for once more */

/* ---- receiving ---- */

static u32 rx_held(const struct vnet_pair *pair)
{
    return (u32)pair->rx.size - pair->rx.nr_free;
}

static bool offer_page(struct vnet_pair *pair, struct page *page)
{
    return !virtq_add_one(&pair->rx, page_to_phys(page), PAGE_SIZE, true, page);
}

/* Short of memory the device keeps fewer pages; receive() has it tried again. */
void vnet_refill(struct vnet_pair *pair)
{
    while (rx_held(pair) < pair->rx_target && !pair->vn->dev->broken) {
        struct page *page = page_alloc(0, PAGE_NORECLAIM);
        if (!page)
            break;
        if (!offer_page(pair, page)) {
            page_put(page);
            break;
        }
    }
    virtq_kick(&pair->rx);
}

static_assert(COPY_BELOW <= PKT_LINEAR - PKT_HEADROOM, "copy_small()");

/* A small frame leaves its page, which the device gets back at once. */
static struct pkt *copy_small(struct vnet_pair *pair, struct page *page, const u8 *frame, u32 len)
{
    struct pkt *pkt = pkt_alloc();

    if (likely(pkt)) {
        memcpy(pkt->data, frame, len);
        pkt->len = pkt->total = len;
    }
    virtq_add_again(&pair->rx, page);
    return pkt;
}

/* The rest of a frame that fills several pages: 5.1.6.4. False: the device has made a mess. */
static bool add_merged(struct vnet_pair *pair, struct pkt *pkt, u32 count)
{
    for (; count; count--) {
        u32 len;
        struct page *page = virtq_take(&pair->rx, &len);
        if (!page) {
            virtio_break(pair->vn->dev, "it merged buffers that it did not fill");
            return false;
        }
        if (!len || !pkt_add_frag(pkt, page, page_to_virt(page), len)) {
            page_put(page);
            virtio_break(pair->vn->dev, "it merged too many buffers");
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
static struct pkt *take_frame(struct vnet_pair *pair, bool *more)
{
    u32 len;
    struct page *page = virtq_take(&pair->rx, &len);

    *more = page != NULL;
    if (!page)
        return NULL;
    const u8 *start = page_to_virt(page);
    struct vnet_hdr hdr = *(const struct vnet_hdr *)start; /* once: it may change */
    u32 buffers = virtio_has(pair->vn->dev, F_MRG_RXBUF) ? hdr.num_buffers : 1;
    if (unlikely(len <= HDR_LEN || !buffers || buffers > PKT_FRAGS + 1)) {
        page_put(page);
        virtio_break(pair->vn->dev, "it received a frame of impossible size");
        return NULL;
    }
    struct pkt *pkt;
    if (buffers == 1 && len - HDR_LEN <= COPY_BELOW) {
        pkt = copy_small(pair, page, start + HDR_LEN, len - HDR_LEN);
    } else {
        pkt = pkt_alloc_page(page, HDR_LEN, len - HDR_LEN);
        if (!pkt)
            page_put(page);
    }
    if (unlikely(!pkt)) {
        netif_count(&pair->vn->netif)->rx_dropped++;
        for (u32 n = buffers - 1; n && (page = virtq_take(&pair->rx, NULL)); n--)
            page_put(page);
        return NULL;
    }
    if (buffers > 1 && !add_merged(pair, pkt, buffers - 1)) {
        pkt_free(pkt);
        return NULL;
    }
    note_offloads(pair->vn, pkt, &hdr);
    return pkt;
}

/* Returns the number of frames; below RX_BURST the ring is empty. */
static u32 receive_burst(struct vnet_pair *pair)
{
    u32 n = 0;

    for (bool more = true; more && n < RX_BURST; n++) {
        struct pkt *pkt = take_frame(pair, &more);
        if (pkt)
            netif_receive(&pair->vn->netif, pkt);
    }
    if (rx_held(pair) < pair->rx_target / 2) /* frames of many pages empty it as many frames do */
        pair->rx_target = min(pair->rx_target * 2, (u32)pair->rx.size);
    vnet_refill(pair);
    return n;
}

static void tx_advance(struct vnet_pair *pair);
static void hold_doorbell(struct vnet_pair *pair);
static void ring_doorbell(struct vnet_pair *pair);

/* Go on by the timer where more came than one burst takes, or something between the last look and
 * the unlock that kept another CPU out; and where the device has too few pages, for it may have too
 * few for any frame that is to come, and then no frame brings us here. */
static void go_on_later(struct vnet_pair *pair, bool full, bool is_short)
{
    if (full || virtq_has_used(&pair->rx))
        timer_set(&pair->rx_again, time_after_ns(rx_pause_ns));
    else if (is_short)
        timer_set(&pair->rx_again, time_after_ns(rx_short_ns));
}

/* Work off what has come, then ask for an interrupt. */
static void receive(struct vnet_pair *pair)
{
    if (pair->vn->dev->broken || !spin_trylock(&pair->rx_lock))
        return;
    struct vnet_pair *answers = pair->vn->of_cpu[cpu_id()];
    hold_doorbell(answers);
    virtq_disable_notify(&pair->rx);
    bool full;
    do
        full = receive_burst(pair) >= RX_BURST;
    while (!full && virtq_enable_notify(&pair->rx) && !pair->vn->dev->broken);
    bool is_short = rx_held(pair) < pair->rx_target;
    spin_unlock(&pair->rx_lock);
    if (unlikely(full || is_short || virtq_has_used(&pair->rx)))
        go_on_later(pair, full, is_short);
    netif_receive_done(&pair->vn->netif);
    ring_doorbell(answers);
    if (virtq_has_used(&pair->tx))
        tx_advance(pair);
}

static void vnet_poll(struct netif *netif)
{
    struct vnet *vn = to_vnet(netif);

    for (u32 i = 0; i < vn->nr_pairs; i++)
        if (virtq_has_used(&vn->pairs[i].rx))
            receive(&vn->pairs[i]);
}

/* Where the device's one interrupt goes to the first CPU, the others are told by it. */
static bool is_for_another(const struct vnet_pair *pair)
{
    return pair->line && pair->cpu != cpu_id() && cpu_is_online(pair->cpu);
}

/* No lock is held here, so that caches may give pages back, which vnet_refill() must not ask for.
 */
static void make_pages_free(void)
{
    struct page *page = page_alloc(0, 0);

    if (page)
        page_put(page);
}

void vnet_rx_used(struct virtq *vq)
{
    struct vnet_pair *pair = vq->data;

    if (unlikely(is_for_another(pair)))
        irq_pend_on(cpus[pair->cpu], pair->line);
    else
        receive(pair);
}

void vnet_pair_pending(void *arg)
{
    struct vnet_pair *pair = arg;

    if (pair->vn->dev->broken)
        return;
    if (virtq_has_used(&pair->rx))
        receive(pair);
    if (virtq_has_used(&pair->tx))
        tx_advance(pair);
}

/* Even if nothing came: see to pages and to the interrupt. */
static void rx_again(struct timer *t)
{
    struct vnet_pair *pair = container_of(t, struct vnet_pair, rx_again);

    if (unlikely(rx_held(pair) < pair->rx_target))
        make_pages_free();
    receive(pair);
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

static inline struct virtq_buf linear_buf(const struct pkt *pkt)
{
    return (struct virtq_buf){.pa = virt_to_phys(pkt->data), .len = pkt->len};
}

static inline struct virtq_buf frag_buf(const struct pkt_frag *frag)
{
    return (struct virtq_buf){.pa = virt_to_phys(frag->data), .len = frag->len};
}

/* Headers in one piece, data in others. */
static __attribute__((noinline)) bool start_chain_locked(struct vnet_pair *pair, struct pkt *pkt)
{
    struct virtq_buf bufs[TX_CHAIN_MAX];
    u32 n = 0;

    bufs[n++] = linear_buf(pkt);
    for (u32 i = 0; i < pkt->nr_frags; i++)
        bufs[n++] = frag_buf(&pkt->frags[i]);
    return !virtq_add(&pair->tx, bufs, n, 0, pkt);
}

/* Give a frame with its header to the device. False: no room. */
static inline bool start_locked(struct vnet_pair *pair, struct pkt *pkt)
{
    if (likely(!pkt->nr_frags))
        return !virtq_add_one(&pair->tx, virt_to_phys(pkt->data), pkt->len, false, pkt);
    if (likely(pkt->nr_frags == 1))
        return !virtq_add_pair(&pair->tx, linear_buf(pkt), frag_buf(&pkt->frags[0]), pkt);
    return start_chain_locked(pair, pkt);
}

static void collect_locked(struct vnet_pair *pair)
{
    struct pkt *pkt;

    while ((pkt = virtq_take(&pair->tx, NULL)))
        pkt_free(pkt);
}

static void drop_backlog_locked(struct vnet_pair *pair)
{
    netif_count(&pair->vn->netif)->tx_dropped += pair->nr_backlog;
    pkt_free_list(&pair->backlog);
    pair->nr_backlog = 0;
}

/* Collect what was sent, start what waits, ask to be told when there is room for the rest. */
static void advance_locked(struct vnet_pair *pair)
{
    collect_locked(pair);
    while (pair->nr_backlog) {
        struct pkt *pkt = list_first(&pair->backlog, struct pkt, node);
        if (start_locked(pair, pkt)) {
            pair->nr_backlog--;
            list_remove(&pkt->node);
            continue;
        }
        virtq_kick(&pair->tx);
        if (pair->vn->dev->broken)
            drop_backlog_locked(pair);
        else if (virtq_enable_notify(&pair->tx))
            collect_locked(pair);
        else
            break;
    }
}

static void tx_advance(struct vnet_pair *pair)
{
    spin_lock(&pair->tx_lock);
    advance_locked(pair);
    virtq_kick(&pair->tx);
    spin_unlock(&pair->tx_lock);
}

void vnet_tx_used(struct virtq *vq)
{
    tx_advance(vq->data);
}

/* Behind what waits. */
static __attribute__((noinline)) void wait_locked(struct vnet_pair *pair, struct pkt *pkt)
{
    if (pair->nr_backlog >= BACKLOG_MAX || pair->vn->dev->broken) {
        netif_count(&pair->vn->netif)->tx_dropped++;
        pkt_free(pkt);
        return;
    }
    list_add_tail(&pair->backlog, &pkt->node);
    pair->nr_backlog++;
    advance_locked(pair);
}

static inline void queue_locked(struct vnet_pair *pair, struct pkt *pkt)
{
    if (likely(!pair->nr_backlog)) {
        if (unlikely(pair->tx.nr_free < TX_CHAIN_MAX))
            collect_locked(pair);
        if (likely(start_locked(pair, pkt)))
            return;
    }
    wait_locked(pair, pkt);
}

static void vnet_send(struct netif *netif, struct pkt *pkt)
{
    struct vnet *vn = to_vnet(netif);

    if (unlikely(pkt_headroom(pkt) < HDR_LEN)) {
        netif_count(netif)->tx_errors++;
        pkt_free(pkt);
        return;
    }
    struct vnet_hdr hdr = hdr_of(pkt);
    __builtin_memcpy(pkt_push(pkt, HDR_LEN), &hdr, HDR_LEN);

    struct vnet_pair *pair = vn->of_cpu[cpu_id()];
    spin_lock(&pair->tx_lock);
    queue_locked(pair, pkt);
    if (likely(!pair->holds_doorbell))
        virtq_kick(&pair->tx);
    spin_unlock(&pair->tx_lock);
}

/* Until ring_doorbell() by the same CPU.  Where CPUs share a pair, what another one sends meanwhile
 * leaves then, too. */
static void hold_doorbell(struct vnet_pair *pair)
{
    __atomic_store_n(&pair->holds_doorbell, true, __ATOMIC_RELAXED);
}

static void ring_doorbell(struct vnet_pair *pair)
{
    spin_lock(&pair->tx_lock);
    pair->holds_doorbell = false;
    virtq_kick(&pair->tx);
    spin_unlock(&pair->tx_lock);
}

static void vnet_flush(struct netif *netif)
{
    (void)netif; /* each frame rings, or its burst's end */
}

const struct netif_ops vnet_ops = {.send = vnet_send, .flush = vnet_flush, .poll = vnet_poll};

void vnet_pair_init(struct vnet_pair *pair, struct vnet *vn, u32 cpu)
{
    pair->vn = vn;
    pair->cpu = cpu;
    pair->rx_target = RX_FIRST;
    list_init(&pair->backlog);
    timer_init(&pair->rx_again, rx_again);
}
