/* VMware's paravirtual network card, vmxnet3.  No public specification; its interface is that of
 * QEMU's device and of the open drivers: a shared page says where the rings are, ownership of
 * descriptors goes by a generation bit.  One queue each way, no offloads. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/time.h"
#include "core/timer.h"
#include "drv/nic.h"
#include "drv/pci.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/netif.h"

enum { BAR_RINGS = 0, BAR_DEVICE = 1, BAR_BYTES = 0x1000 };
enum rings_reg { REG_IMR = 0x000, REG_TX_PRODUCED = 0x600, REG_RX_PRODUCED = 0x800 };
enum device_reg {
    REG_VERSION = 0x00,
    REG_UPT_VERSION = 0x08,
    REG_SHARED_LOW = 0x10,
    REG_SHARED_HIGH = 0x18,
    REG_COMMAND = 0x20,
    REG_MAC_LOW = 0x28,
    REG_MAC_HIGH = 0x30,
    REG_ICR = 0x38,
    REG_EVENTS = 0x40,
};
#define COMMAND_ACTIVATE 0xcafe0000u
#define COMMAND_RESET    0xcafe0002u
#define COMMAND_RX_MODE  0xcafe0003u
#define COMMAND_GET_LINK 0xf00d0002u
#define SHARED_MAGIC     0xbabefee1u
#define GENERATION_31    (1u << 31)
enum { EVENT_LINK = 4, RX_UNICAST = 1, RX_BROADCAST = 4, RX_ALL_GROUPS = 8 };
enum {
    GOS_LINUX_64 = 2 | 1 << 2,
    TX_GENERATION = 1 << 14,
    TX_END = 1 << 12,
    TX_COMPLETE = 1 << 13
};
enum {
    RX_END = 1 << 14,
    RX_START = 1 << 15,
    RX_ERROR = 1 << 14,
    LEN_MASK = 0x3fff,
    INDEX_MASK = 0xfff
};
enum { RX_LEN = 64, TX_LEN = 256, OTHER_LEN = 64, RX_BURST = 256, BUFFER_BYTES = 2048 };
static const u64 rx_pause_ns = 50 * NSEC_PER_USEC;

struct vmx_desc { /* either way */
    u64 pa;
    u32 flags, more;
};

struct vmx_completion { /* likewise */
    u32 index, hash, len, flags;
};

struct vmx_shared {
    u32 magic, pad;
    u32 version, gos, revisions, upt_versions;
    u64 upt_features, driver_pa, queues_pa;
    u32 driver_len, queues_len, mtu;
    u16 max_rx_pieces;
    u8 nr_tx, nr_rx;
    u32 reserved[4];
    u8 auto_mask, nr_interrupts, event_interrupt, moderation[25];
    u32 interrupt_control, reserved2[2];
    u32 rx_mode;
    u16 groups_len, pad2;
    u64 groups_pa;
    u32 vlans[128];
    u64 other_confs[6];
    u32 events, reserved3[5];
};
static_assert(sizeof(struct vmx_shared) == 720 && offsetof(struct vmx_shared, rx_mode) == 120 &&
                  offsetof(struct vmx_shared, events) == 696,
              "as the device reads it");

struct vmx_tx_queue {
    u32 nr_deferred, threshold;
    u64 reserved;
    u64 ring_pa, data_pa, completions_pa, driver_pa, reserved2;
    u32 ring_len, data_len, completions_len, driver_len;
    u8 interrupt, pad[7];
    u8 stopped, pad2[3];
    u32 error;
    u64 stats[10];
    u8 pad3[88];
};

struct vmx_rx_queue {
    u8 update_produced, pad[7];
    u64 reserved;
    u64 ring_pa[2], completions_pa, driver_pa, reserved2;
    u32 ring_len[2], completions_len, driver_len;
    u8 interrupt, pad2[7];
    u8 stopped, pad3[3];
    u32 error;
    u64 stats[10];
    u8 pad4[88];
};
static_assert(sizeof(struct vmx_tx_queue) == 256 && sizeof(struct vmx_rx_queue) == 256,
              "as the device reads them");

/* All that the device reads and writes but the frames. */
struct vmx_memory {
    struct vmx_desc tx[TX_LEN];
    struct vmx_completion tx_done[TX_LEN];
    struct vmx_desc rx[RX_LEN], rx_other[OTHER_LEN];
    struct vmx_completion rx_done[RX_LEN + OTHER_LEN];
    struct vmx_tx_queue tx_queue;
    struct vmx_rx_queue rx_queue;
    struct vmx_shared shared;
};
static_assert(sizeof(struct vmx_memory) <= 4 * PAGE_SIZE, "a block of pages");

/* Fields: [I], [R] under .rx_lock, [T] under .tx_lock. */
struct vmxnet3 {
    struct netif netif;
    struct netif_offer offer;
    struct pci_dev pci;
    char name[20];
    volatile char *rings, *device;
    volatile struct vmx_memory *mem;
    struct page *pages[RX_LEN];          /* [R] with the device; NULL: memory was short */
    struct pkt *sent[TX_LEN];            /* [T] at the last descriptor of each; owns */
    u32 rx_taken, rx_given;              /* [R] counts of completions, pages */
    u32 tx_next, tx_free_from, tx_taken; /* [T] counts of descriptors given, free, completions */
    struct spinlock rx_lock;             /* only tried */
    struct spinlock tx_lock;             /* a leaf */
    struct timer rx_again;
    bool broken; /* [A] shut off */
};

static void put_device(const struct vmxnet3 *v, u32 reg, u32 value)
{
    *(volatile u32 *)(v->device + reg) = value;
}

static u32 command(const struct vmxnet3 *v, u32 what)
{
    put_device(v, REG_COMMAND, what);
    return *(volatile u32 *)(v->device + REG_COMMAND);
}

static void shut_off(struct vmxnet3 *v, const char *why)
{
    if (__atomic_exchange_n(&v->broken, true, __ATOMIC_RELAXED))
        return;
    log_err("%s: device error, shut off: %s", v->name, why);
    (void)command(v, COMMAND_RESET);
}

/* In which turn of a ring of @len the @count-th entry is: the generation bit of odd and even. */
static bool is_first_turn(u32 count, u32 len)
{
    return count / len % 2 == 0;
}

/* ---- receiving ---- */

static void refill(struct vmxnet3 *v)
{
    u32 before = v->rx_given;

    for (; v->rx_given - v->rx_taken < RX_LEN - 1; v->rx_given++) {
        u32 i = v->rx_given % RX_LEN;
        if (!v->pages[i])
            v->pages[i] = page_alloc(0, PAGE_NORECLAIM);
        if (!v->pages[i])
            break;
        v->mem->rx[i].pa = page_to_phys(v->pages[i]);
        wmb(); /* the address before the generation, which gives it away */
        v->mem->rx[i].flags =
            BUFFER_BYTES | (is_first_turn(v->rx_given, RX_LEN) ? GENERATION_31 : 0);
    }
    if (v->rx_given != before)
        *(volatile u32 *)(v->rings + REG_RX_PRODUCED) = v->rx_given % RX_LEN;
}

enum { RX_DONE_LEN = RX_LEN + OTHER_LEN };

static bool has_frame(const struct vmxnet3 *v)
{
    u32 flags = v->mem->rx_done[v->rx_taken % RX_DONE_LEN].flags;

    return !(flags & GENERATION_31) == !is_first_turn(v->rx_taken, RX_DONE_LEN);
}

static void take_one(struct vmxnet3 *v)
{
    volatile struct vmx_completion *c = &v->mem->rx_done[v->rx_taken % RX_DONE_LEN];
    u32 index = c->index, len = c->len, i = v->rx_taken % RX_LEN;
    bool whole = (index & (RX_END | RX_START)) == (RX_END | RX_START) && !(len & RX_ERROR);

    if (v->rx_taken == v->rx_given || (index & INDEX_MASK) != i ||
        (len & LEN_MASK) > BUFFER_BYTES) {
        shut_off(v, "it received into a page that it was not given");
        return;
    }
    struct pkt *pkt = whole ? nic_take_frame(&v->pages[i], len & LEN_MASK) : NULL;
    v->rx_taken++;
    if (pkt)
        netif_receive(&v->netif, pkt);
    else
        netif_count(&v->netif)->rx_dropped++;
}

static void receive(struct vmxnet3 *v)
{
    if (v->broken || !spin_trylock(&v->rx_lock))
        return;
    for (u32 n = 0; n < RX_BURST && has_frame(v) && !v->broken; n++) {
        rmb(); /* the rest of the completion after its generation */
        take_one(v);
        if (n % (RX_LEN / 4) == 0)
            refill(v);
    }
    refill(v);
    bool is_short = v->rx_given - v->rx_taken < RX_LEN / 2;
    spin_unlock(&v->rx_lock);
    if (!v->broken && (is_short || has_frame(v))) /* more than a burst, or since the last look */
        timer_set(&v->rx_again, time_after_ns(is_short ? 5 * NSEC_PER_MSEC : rx_pause_ns));
    netif_receive_done(&v->netif);
}

static void rx_again(struct timer *t)
{
    receive(container_of(t, struct vmxnet3, rx_again));
}

static void vmxnet3_poll(struct netif *netif)
{
    receive(container_of(netif, struct vmxnet3, netif));
}

/* ---- sending ---- */

/* A completion names the last descriptor of a frame; all up to it are free. */
static void collect_locked(struct vmxnet3 *v)
{
    for (;; v->tx_taken++) {
        volatile struct vmx_completion *c = &v->mem->tx_done[v->tx_taken % TX_LEN];
        if (!(c->flags & GENERATION_31) != !is_first_turn(v->tx_taken, TX_LEN) || v->broken)
            return;
        rmb(); /* the index after the generation */
        u32 last = c->index & INDEX_MASK;
        u32 n = (last - v->tx_free_from) % TX_LEN + 1;
        if (n > v->tx_next - v->tx_free_from || !v->sent[last % TX_LEN]) {
            shut_off(v, "it sent a frame that was never given");
            return;
        }
        pkt_free(v->sent[last % TX_LEN]);
        v->sent[last % TX_LEN] = NULL;
        v->tx_free_from += n;
    }
}

static void add_piece(struct vmxnet3 *v, const void *data, u32 len, struct pkt *last)
{
    u32 i = v->tx_next % TX_LEN;
    volatile struct vmx_desc *d = &v->mem->tx[i];

    v->sent[i] = last;
    d->pa = virt_to_phys(data);
    d->more = last ? TX_END | TX_COMPLETE : 0;
    wmb(); /* the rest before the generation */
    d->flags = len | (is_first_turn(v->tx_next, TX_LEN) ? TX_GENERATION : 0);
    v->tx_next++;
}

static void vmxnet3_send(struct netif *netif, struct pkt *pkt)
{
    struct vmxnet3 *v = container_of(netif, struct vmxnet3, netif);
    u32 pieces = 1u + pkt->nr_frags;

    spin_lock(&v->tx_lock);
    collect_locked(v);
    if (v->broken || TX_LEN - 1 - (v->tx_next - v->tx_free_from) < pieces) {
        spin_unlock(&v->tx_lock);
        netif_count(netif)->tx_dropped++;
        pkt_free(pkt);
        return;
    }
    add_piece(v, pkt->data, pkt->len, pieces == 1 ? pkt : NULL);
    for (u32 i = 0; i < pkt->nr_frags; i++)
        add_piece(v, pkt->frags[i].data, pkt->frags[i].len, i == pkt->nr_frags - 1u ? pkt : NULL);
    *(volatile u32 *)(v->rings + REG_TX_PRODUCED) = v->tx_next % TX_LEN;
    spin_unlock(&v->tx_lock);
}

static void vmxnet3_flush(struct netif *netif)
{
    (void)netif; /* each frame rings */
}

static const struct netif_ops vmxnet3_ops = {
    .send = vmxnet3_send, .flush = vmxnet3_flush, .poll = vmxnet3_poll};

/* ---- interrupts and start ---- */

static void read_link(struct vmxnet3 *v)
{
    bool up = command(v, COMMAND_GET_LINK) & 1;

    if (!(v->netif.flags & NETIF_LINK) == !up)
        return;
    netif_link_changed(&v->netif, up);
    log_info("%s: link is %s", v->netif.name, up ? "up" : "down");
}

static void interrupt(void *arg)
{
    struct vmxnet3 *v = arg;

    if (v->broken)
        return;
    (void)*(volatile u32 *)(v->device + REG_ICR); /* acknowledges a pin */
    u32 events = v->mem->shared.events;
    if (events) {
        put_device(v, REG_EVENTS, events);
        if (events & EVENT_LINK)
            read_link(v);
    }
    if (has_frame(v))
        receive(v);
    spin_lock(&v->tx_lock);
    collect_locked(v);
    spin_unlock(&v->tx_lock);
}

static u64 pa_of(const struct vmxnet3 *v, size_t offset)
{
    return virt_to_phys((const u8 *)(uintptr_t)v->mem + offset);
}
#define PA_OF(v, field) pa_of((v), offsetof(struct vmx_memory, field))

static void describe_rings(struct vmxnet3 *v)
{
    volatile struct vmx_memory *m = v->mem;

    m->tx_queue.ring_pa = PA_OF(v, tx);
    m->tx_queue.ring_len = TX_LEN;
    m->tx_queue.completions_pa = PA_OF(v, tx_done);
    m->tx_queue.completions_len = TX_LEN;
    m->rx_queue.ring_pa[0] = PA_OF(v, rx);
    m->rx_queue.ring_pa[1] = PA_OF(v, rx_other);
    m->rx_queue.ring_len[0] = RX_LEN;
    m->rx_queue.ring_len[1] = OTHER_LEN;
    m->rx_queue.completions_pa = PA_OF(v, rx_done);
    m->rx_queue.completions_len = RX_DONE_LEN;
    m->shared.magic = SHARED_MAGIC;
    m->shared.gos = GOS_LINUX_64;
    m->shared.revisions = m->shared.upt_versions = 1;
    m->shared.queues_pa = PA_OF(v, tx_queue);
    m->shared.queues_len = 512;
    m->shared.mtu = 1500;
    m->shared.max_rx_pieces = 1;
    m->shared.nr_tx = m->shared.nr_rx = 1;
    m->shared.nr_interrupts = 1;
    m->shared.rx_mode = RX_UNICAST | RX_BROADCAST | RX_ALL_GROUPS;
}

static int activate(struct vmxnet3 *v)
{
    (void)command(v, COMMAND_RESET);
    if (!(*(volatile u32 *)(v->device + REG_VERSION) & 1) ||
        !(*(volatile u32 *)(v->device + REG_UPT_VERSION) & 1))
        return -ENODEV;
    put_device(v, REG_VERSION, 1);
    put_device(v, REG_UPT_VERSION, 1);
    describe_rings(v);
    put_device(v, REG_SHARED_LOW, (u32)PA_OF(v, shared));
    put_device(v, REG_SHARED_HIGH, (u32)(PA_OF(v, shared) >> 32));
    return command(v, COMMAND_ACTIVATE) ? -EIO : 0;
}

static void read_mac(struct vmxnet3 *v)
{
    u32 low = *(volatile u32 *)(v->device + REG_MAC_LOW);
    u32 high = *(volatile u32 *)(v->device + REG_MAC_HIGH);

    for (u32 i = 0; i < 6; i++)
        v->netif.mac[i] = (u8)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
}

/* Somebody has use for it. */
static void start(struct netif_offer *offer)
{
    struct vmxnet3 *v = container_of(offer, struct vmxnet3, offer);
    struct page *page = page_alloc(2, PAGE_ZERO);
    int err = page ? 0 : -ENOMEM;

    if (!err) {
        v->mem = page_to_virt(page);
        err = min(pci_enable_irq(&v->pci, interrupt, v), 0);
    }
    if (!err)
        err = activate(v);
    if (err) {
        log_err("%s: the network card does not start: error %d", v->name, -err);
        v->broken = true; /* for a handler that stays */
        return;
    }
    nic_set_name(&v->netif);
    v->netif.ops = &vmxnet3_ops;
    v->netif.mtu = v->netif.max_mtu = 1500;
    v->netif.flags |= NETIF_GRO;
    read_mac(v);
    netif_add(&v->netif);
    refill(v);
    (void)command(v, COMMAND_RX_MODE);
    *(volatile u32 *)(v->rings + REG_IMR) = 0;
    read_link(v);
}

int vmxnet3_probe(const struct pci_dev *pci)
{
    struct vmxnet3 *v = kzalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->pci = *pci;
    (void)pci_name(pci, v->name);
    pci_enable(pci);
    v->rings = pci_map_bar(pci, BAR_RINGS, 0, BAR_BYTES);
    v->device = pci_map_bar(pci, BAR_DEVICE, 0, BAR_BYTES);
    if (!v->rings || !v->device) {
        kfree(v);
        return -ENODEV;
    }
    spin_init(&v->rx_lock);
    spin_init(&v->tx_lock);
    timer_init(&v->rx_again, rx_again);
    v->offer.start = start;
    netif_offer(&v->offer);
    return 0;
}
