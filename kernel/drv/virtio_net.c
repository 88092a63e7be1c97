/* Virtio network device: virtio 1.2, 5.1.  Frames arrive in single pages, merged where they are
 * larger; small ones are copied out and their page goes straight back.  Each frame that is sent
 * rings the doorbell, which the device mostly does not want to hear; those that answer a burst of
 * received ones ring once, at its end.  Finished packets are collected when room is needed or
 * something arrives, without an interrupt.  What does not fit the ring waits in a list. All groups
 * are received, which IP sorts out. */
#include "drv/virtio_net_priv.h"

#include "core/irq.h"
#include "core/time.h"
#include "drv/virtq_ring.h"
#include "lib/string.h"
#include "mm/page.h"
#include "net/wire.h"
#include "sched/wait.h"

enum hdr_flags { HDR_NEEDS_CSUM = 1, HDR_DATA_VALID = 2 };
enum hdr_gso { HDR_GSO_TCPV4 = 1, HDR_GSO_TCPV6 = 4, HDR_GSO_UDP_L4 = 5, HDR_GSO_ECN = 0x80 };

enum {
    RX_FIRST = 64,    /* pages offered at first; more when bursts come */
    RX_BURST = 256,   /* packets taken before others have their turn */
    COPY_BELOW = 256, /* bytes of a frame that are cheaper to copy than a page to replace */
    BACKLOG_MAX = 1024,
    FLUSH_NS = 100 * NSEC_PER_MSEC, /* so long may a device look elsewhere */
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
    return !virtq_add_one_now(&pair->rx, page_to_phys(page), PAGE_SIZE, true, page);
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

/* A small frame leaves its page, which the device gets back then. */
static inline struct pkt *copy_small(const u8 *frame, u32 len)
{
    struct pkt *pkt = pkt_alloc();

    if (likely(pkt)) {
        memcpy(pkt->data, frame, len);
        pkt->len = pkt->total = len;
    }
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
static inline void note_offloads(const struct vnet *vn, struct pkt *pkt, const struct vnet_hdr *hdr)
{
    u8 flags = hdr->flags, gso_type = hdr->gso_type;
    u16 csum_start = hdr->csum_start, csum_offset = hdr->csum_offset;

    if (unlikely(!virtio_has(vn->dev, F_GUEST_CSUM)))
        return;
    if (flags & HDR_NEEDS_CSUM) {
        if ((u32)csum_start + csum_offset + 2 > pkt->total)
            return; /* then it is verified, and found wrong */
        pkt->csum = CSUM_PARTIAL;
        pkt->csum_start = csum_start;
        pkt->csum_offset = csum_offset;
    } else if (flags & HDR_DATA_VALID) {
        pkt->csum = CSUM_GOOD;
    }
    if (likely(!gso_type))
        return;
    pkt->gso = gso_of(gso_type);
    pkt->gso_size = pkt->gso ? hdr->gso_size : 0;
}

/* A frame in @page, and @more pages; NULL: it had to be dropped, and its pages are gone. */
static __attribute__((noinline)) struct pkt *take_large(struct vnet_pair *pair, struct page *page,
                                                        u32 len, u32 more)
{
    struct vnet_hdr hdr = *(const struct vnet_hdr *)page_to_virt(page);
    struct pkt *pkt = pkt_alloc_page(page, HDR_LEN, len);

    if (unlikely(!pkt)) {
        netif_count(&pair->vn->netif)->rx_dropped++;
        do
            page_put(page);
        while (more-- && (page = virtq_take(&pair->rx, NULL)));
        return NULL;
    }
    if (more && !add_merged(pair, pkt, more)) {
        pkt_free(pkt);
        return NULL;
    }
    note_offloads(pair->vn, pkt, &hdr);
    return pkt;
}

/* One frame out of the ring; NULL: none, or one that had to be dropped (*@more says which). */
static inline struct pkt *take_frame(struct vnet_pair *pair, bool *more)
{
    u32 len;
    struct page *page = virtq_take_now(&pair->rx, &len);

    *more = page != NULL;
    if (!page)
        return NULL;
    const struct vnet_hdr *hdr = page_to_virt(page); /* it may change: each field is read once */
    u32 buffers = virtio_has(pair->vn->dev, F_MRG_RXBUF) ? hdr->num_buffers : 1;
    if (unlikely(len <= HDR_LEN || !buffers || buffers > PKT_FRAGS + 1)) {
        page_put(page);
        virtio_break(pair->vn->dev, "it received a frame of impossible size");
        return NULL;
    }
    len -= HDR_LEN;
    if (buffers > 1 || len > COPY_BELOW)
        return take_large(pair, page, len, buffers - 1);
    struct pkt *pkt = copy_small((const u8 *)(hdr + 1), len);
    if (likely(pkt))
        note_offloads(pair->vn, pkt, hdr);
    else
        netif_count(&pair->vn->netif)->rx_dropped++;
    virtq_add_again(&pair->rx, page);
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
    if (full || virtq_has_used_now(&pair->rx))
        timer_set(&pair->rx_again, time_after_ns(rx_pause_ns));
    else if (is_short)
        timer_set(&pair->rx_again, time_after_ns(rx_short_ns));
}

/* ---- without interrupts ---- */

/* While the CPU of a machine with one is busy, an interrupt only tells what is found without it:
 * vnet_look() looks with each epoll_wait() and before the CPU rests, and asks for an interrupt only
 * there, if nothing has come.  A timer sees that somebody looks.  Where nobody has for a while,
 * because a program computes, the next receptions have interrupts, and each time twice as many. */
static const u64 quiet_ns = 2 * NSEC_PER_MSEC;
enum { QUIET_LATE = 8, LOUD_FIRST = 64, LOUD_MOST = 1 << 16 };

static struct list_head quiet_pairs = LIST_INIT(quiet_pairs); /* of the machine's only CPU */

static inline bool is_quiet(const struct vnet_pair *pair)
{
    return !list_empty(&pair->quiet.node);
}

/* Large frames are taken as soon as they come: there are few pages for them. */
static bool stays_quiet(struct vnet_pair *pair)
{
    if (cpu_count > 1 || rx_held(pair) < pair->rx_target / 2)
        return false;
    return !pair->quiet.loud || !--pair->quiet.loud;
}

static void be_quiet(struct vnet_pair *pair)
{
    struct vnet_quiet *quiet = &pair->quiet;

    if (!is_quiet(pair))
        list_add(&quiet_pairs, &quiet->node);
    if (quiet->is_set)
        return;
    quiet->is_set = true;
    timer_set(&quiet->timer, time_after_ns(quiet_ns));
}

static void receive(struct vnet_pair *pair);

/* sched_look */
static bool vnet_look(bool rests)
{
    struct vnet_pair *pair, *next;
    bool found = false;

    if (unlikely(cpu_count > 1)) /* since a moment ago; the timer sees to it */
        return false;
    list_for_each_safe(pair, next, &quiet_pairs, quiet.node)
    {
        bool broken = pair->vn->dev->broken;
        pair->quiet.looked = true;
        if (broken || !virtq_has_used_now(&pair->rx)) {
            if (!rests)
                continue;
            list_remove(&pair->quiet.node);
            if (broken || !virtq_enable_notify(&pair->rx))
                continue;
        }
        receive(pair);
        found = true;
    }
    return found;
}

/* Nobody has looked: more of it, or interrupts. */
static void quiet_over(struct timer *t)
{
    struct vnet_pair *pair = container_of(t, struct vnet_pair, quiet.timer);
    struct vnet_quiet *quiet = &pair->quiet;

    quiet->is_set = false;
    if (!is_quiet(pair))
        return;
    quiet->late = quiet->looked ? 0 : quiet->late + 1;
    if (quiet->looked)
        quiet->loud_next = LOUD_FIRST;
    if (quiet->late >= QUIET_LATE) {
        quiet->late = 0;
        quiet->loud = quiet->loud_next;
        quiet->loud_next = min(quiet->loud_next * 2, (u32)LOUD_MOST);
    }
    quiet->looked = false;
    receive(pair);
}

/* Work off what has come, then ask for an interrupt, or see to it that somebody looks. */
static void receive(struct vnet_pair *pair)
{
    if (pair->vn->dev->broken || !spin_trylock(&pair->rx_lock))
        return;
    struct vnet_pair *answers = pair->vn->of_cpu[cpu_id()];
    hold_doorbell(answers);
    virtq_disable_notify(&pair->rx);
    bool full, quiet;
    do {
        full = receive_burst(pair) >= RX_BURST;
        quiet = stays_quiet(pair);
    } while (!full && !quiet && virtq_enable_notify(&pair->rx) && !pair->vn->dev->broken);
    bool is_short = rx_held(pair) < pair->rx_target;
    if (quiet)
        be_quiet(pair);
    else if (unlikely(is_quiet(pair)))
        list_remove(&pair->quiet.node);
    spin_unlock(&pair->rx_lock);
    if (unlikely(full || is_short || (!quiet && virtq_has_used_now(&pair->rx))))
        go_on_later(pair, full, is_short);
    netif_receive_done(&pair->vn->netif);
    ring_doorbell(answers);
    if (virtq_has_used_now(&pair->tx))
        tx_advance(pair);
}

static void vnet_poll(struct netif *netif)
{
    struct vnet *vn = to_vnet(netif);

    for (u32 i = 0; i < vn->nr_pairs; i++)
        if (virtq_has_used_now(&vn->pairs[i].rx))
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
    if (virtq_has_used_now(&pair->rx))
        receive(pair);
    if (virtq_has_used_now(&pair->tx))
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

/* In front of @pkt, which has the room. */
static inline void push_hdr(struct pkt *pkt)
{
    struct vnet_hdr *hdr = (void *)(pkt->data - HDR_LEN);

    *hdr = (struct vnet_hdr){0};
    if (likely(pkt->csum == CSUM_PARTIAL)) {
        hdr->flags = HDR_NEEDS_CSUM;
        hdr->csum_start = pkt->csum_start;
        hdr->csum_offset = pkt->csum_offset;
        if (unlikely(pkt->gso))
            fill_gso(hdr, pkt);
    }
    pkt_push(pkt, HDR_LEN);
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
        return !virtq_add_one_now(&pair->tx, virt_to_phys(pkt->data), pkt->len, false, pkt);
    if (likely(pkt->nr_frags == 1))
        return !virtq_add_pair(&pair->tx, linear_buf(pkt), frag_buf(&pkt->frags[0]), pkt);
    return start_chain_locked(pair, pkt);
}

static void collect_locked(struct vnet_pair *pair)
{
    struct pkt *pkt;

    while ((pkt = virtq_take_now(&pair->tx, NULL)))
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

/* The device's one interrupt may be for any queue: what another CPU has sent it collects itself, in
 * time, as its caches have the room; but for what waits to be sent. */
void vnet_tx_used(struct virtq *vq)
{
    struct vnet_pair *pair = vq->data;

    if (likely(!is_for_another(pair)))
        tx_advance(pair);
    else if (__atomic_load_n(&pair->nr_backlog, __ATOMIC_RELAXED))
        irq_pend_on(cpus[pair->cpu], pair->line);
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
    push_hdr(pkt);
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

/* Each frame rings, or its burst's end; whoever ends the machine then ends a VMM that has not
 * looked yet. */
static __attribute__((cold)) void vnet_flush(struct netif *netif)
{
    const struct vnet *vn = to_vnet(netif);
    u64 deadline_ns = time_after_ns(FLUSH_NS);

    for (u32 i = 0; i < vn->nr_pairs; i++)
        do
            tx_advance(&vn->pairs[i]);
        while (vn->pairs[i].tx.nr_free < vn->pairs[i].tx.size && time_ns() < deadline_ns);
}

const struct netif_ops vnet_ops = {.send = vnet_send, .flush = vnet_flush, .poll = vnet_poll};

void vnet_pair_init(struct vnet_pair *pair, struct vnet *vn, u32 cpu)
{
    pair->vn = vn;
    pair->cpu = cpu;
    pair->rx_target = RX_FIRST;
    list_init(&pair->backlog);
    timer_init(&pair->rx_again, rx_again);
    list_init(&pair->quiet.node);
    timer_init(&pair->quiet.timer, quiet_over);
    pair->quiet.loud_next = LOUD_FIRST;
    sched_look = vnet_look;
}
