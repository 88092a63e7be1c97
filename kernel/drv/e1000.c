/* Intel gigabit Ethernet: 82540EM, 82545EM and their kin (e1000; PCI/PCI-X family software
 * developer's manual), and 82574L (e1000e; its datasheet).  Legacy descriptors, which all of them
 * know; no offloads. */
#include "abi/errno.h"
#include "core/log.h"
#include "core/time.h"
#include "core/timer.h"
#include "drv/nic.h"
#include "drv/pci.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "net/netif.h"

enum e1000_reg {
    REG_CTRL = 0x0000,
    REG_STATUS = 0x0008,
    REG_ICR = 0x00c0,
    REG_IMS = 0x00d0,
    REG_IMC = 0x00d8,
    REG_RCTL = 0x0100,
    REG_TCTL = 0x0400,
    REG_TIPG = 0x0410,
    REG_RDBA = 0x2800,
    REG_RDLEN = 0x2808,
    REG_RDH = 0x2810,
    REG_RDT = 0x2818,
    REG_TDBA = 0x3800,
    REG_TDLEN = 0x3808,
    REG_TDH = 0x3810,
    REG_TDT = 0x3818,
    REG_MTA = 0x5200,
    REG_RAL = 0x5400,
    REG_RAH = 0x5404,
    REG_BYTES = 0x6000,
};
enum { CTRL_ASDE = 1 << 5, CTRL_LINK_UP = 1 << 6, CTRL_RESET = 1 << 26, STATUS_LINK = 2 };
enum { RCTL_ENABLE = 1 << 1, RCTL_ALL_GROUPS = 1 << 4, RCTL_BROADCAST = 1 << 15 };
enum { RCTL_NO_CRC = 1 << 26, TCTL_ENABLE = 1 << 1, TCTL_PAD = 1 << 3 };
enum { TCTL_COLLISION = 0x0f << 4 | 0x40 << 12, TIPG_COPPER = 10 | 8 << 10 | 6 << 20 };
enum { INT_TX = 1, INT_LINK = 1 << 2, INT_RX_LOW = 1 << 4, INT_RX_OVER = 1 << 6, INT_RX = 1 << 7 };
enum { RX_DONE = 1, RX_END = 2, TX_END = 1, TX_CRC = 2, TX_REPORT = 8, TX_DONE = 1 };
enum { RX_LEN = 64, TX_LEN = 256, RX_BURST = 256, BUFFER_BYTES = 2048 };
static const u64 reset_ns = 100 * NSEC_PER_MSEC, rx_pause_ns = 50 * NSEC_PER_USEC;

struct e1000_rx {
    u64 pa;
    u16 len, checksum;
    u8 status, errors;
    u16 special;
};

struct e1000_tx {
    u64 pa;
    u16 len;
    u8 checksum_at, command;
    u8 status, checksum_from;
    u16 special;
};
static_assert(sizeof(struct e1000_rx) == 16 && sizeof(struct e1000_tx) == 16, "manual, 3.2, 3.3");

/* Fields: [I], [R] under .rx_lock, [T] under .tx_lock. */
struct e1000 {
    struct netif netif;
    struct netif_offer offer;
    struct pci_dev pci;
    char name[20];
    volatile char *regs;
    volatile struct e1000_rx *rx; /* [R] the device writes it */
    volatile struct e1000_tx *tx; /* [T] likewise */
    struct page *pages[RX_LEN];   /* [R] with the device; NULL: memory was short */
    struct pkt *sent[TX_LEN];     /* [T] at the last descriptor of each; owns */
    u32 rx_next, rx_given;        /* [R] counts of frames, pages */
    u32 tx_next, tx_done;         /* [T] counts of descriptors */
    struct spinlock rx_lock;      /* only tried */
    struct spinlock tx_lock;      /* a leaf */
    struct timer rx_again;
    bool gone; /* [A] its registers read as all ones */
};

static u32 get(const struct e1000 *e, u32 reg)
{
    return *(volatile u32 *)(e->regs + reg);
}

static void put(const struct e1000 *e, u32 reg, u32 value)
{
    *(volatile u32 *)(e->regs + reg) = value;
}

/* ---- receiving ---- */

/* One descriptor stays empty, or head and tail would be equal. */
static void refill(struct e1000 *e)
{
    u32 before = e->rx_given;

    for (; e->rx_given - e->rx_next < RX_LEN - 1; e->rx_given++) {
        u32 i = e->rx_given % RX_LEN;
        if (!e->pages[i])
            e->pages[i] = page_alloc(0, PAGE_NORECLAIM);
        if (!e->pages[i])
            break;
        e->rx[i].status = 0;
        e->rx[i].pa = page_to_phys(e->pages[i]);
    }
    if (e->rx_given == before)
        return;
    wmb(); /* the descriptors before the tail */
    put(e, REG_RDT, e->rx_given % RX_LEN);
}

static bool has_frame(const struct e1000 *e)
{
    return e->rx_next != e->rx_given && e->rx[e->rx_next % RX_LEN].status & RX_DONE;
}

static void take_one(struct e1000 *e)
{
    u32 i = e->rx_next % RX_LEN, len = e->rx[i].len;
    bool whole = e->rx[i].status & RX_END && !e->rx[i].errors && len <= BUFFER_BYTES;
    struct pkt *pkt = whole ? nic_take_frame(&e->pages[i], len) : NULL;

    e->rx_next++;
    if (pkt)
        netif_receive(&e->netif, pkt);
    else
        netif_count(&e->netif)->rx_dropped++;
}

static void receive(struct e1000 *e)
{
    if (e->gone || !spin_trylock(&e->rx_lock))
        return;
    for (u32 n = 0; n < RX_BURST && has_frame(e); n++) {
        rmb(); /* the rest of the descriptor after its status */
        take_one(e);
        if (n % (RX_LEN / 4) == 0)
            refill(e);
    }
    refill(e);
    bool is_short = e->rx_given - e->rx_next < RX_LEN / 2;
    spin_unlock(&e->rx_lock);
    if (is_short || has_frame(e)) /* more than a burst, or since the last look */
        timer_set(&e->rx_again, time_after_ns(is_short ? 5 * NSEC_PER_MSEC : rx_pause_ns));
    netif_receive_done(&e->netif);
}

static void rx_again(struct timer *t)
{
    receive(container_of(t, struct e1000, rx_again));
}

static void e1000_poll(struct netif *netif)
{
    receive(container_of(netif, struct e1000, netif));
}

/* ---- sending ---- */

static void collect_locked(struct e1000 *e)
{
    while (e->tx_done != e->tx_next) {
        u32 i = e->tx_done % TX_LEN;
        if (!(e->tx[i].status & TX_DONE))
            break;
        if (e->sent[i])
            pkt_free(e->sent[i]);
        e->sent[i] = NULL;
        e->tx_done++;
    }
}

static void add_piece(struct e1000 *e, const void *data, u32 len, struct pkt *last)
{
    u32 i = e->tx_next++ % TX_LEN;

    e->sent[i] = last;
    e->tx[i].pa = virt_to_phys(data);
    e->tx[i].len = (u16)len;
    e->tx[i].checksum_at = e->tx[i].checksum_from = 0;
    e->tx[i].status = 0;
    e->tx[i].command = (u8)(TX_CRC | TX_REPORT | (last ? TX_END : 0));
}

static void e1000_send(struct netif *netif, struct pkt *pkt)
{
    struct e1000 *e = container_of(netif, struct e1000, netif);
    u32 pieces = 1u + pkt->nr_frags;

    spin_lock(&e->tx_lock);
    collect_locked(e);
    if (e->gone || TX_LEN - 1 - (e->tx_next - e->tx_done) < pieces) {
        spin_unlock(&e->tx_lock);
        netif_count(netif)->tx_dropped++;
        pkt_free(pkt);
        return;
    }
    add_piece(e, pkt->data, pkt->len, pieces == 1 ? pkt : NULL);
    for (u32 i = 0; i < pkt->nr_frags; i++)
        add_piece(e, pkt->frags[i].data, pkt->frags[i].len, i == pkt->nr_frags - 1u ? pkt : NULL);
    wmb(); /* the descriptors before the tail */
    put(e, REG_TDT, e->tx_next % TX_LEN);
    spin_unlock(&e->tx_lock);
}

static void e1000_flush(struct netif *netif)
{
    (void)netif; /* each frame rings */
}

static const struct netif_ops e1000_ops = {
    .send = e1000_send, .flush = e1000_flush, .poll = e1000_poll};

/* ---- interrupts and start ---- */

static void read_link(struct e1000 *e)
{
    bool up = get(e, REG_STATUS) & STATUS_LINK;

    if (!(e->netif.flags & NETIF_LINK) == !up)
        return;
    netif_link_changed(&e->netif, up);
    log_info("%s: link is %s", e->netif.name, up ? "up" : "down");
}

static void interrupt(void *arg)
{
    struct e1000 *e = arg;
    u32 causes = get(e, REG_ICR); /* and acknowledges them */

    if (e->gone)
        return;
    if (causes == UINT32_MAX) {
        e->gone = true;
        log_err("%s: device error, shut off: it is gone", e->name);
        return;
    }
    if (causes & INT_LINK)
        read_link(e);
    if (has_frame(e))
        receive(e);
    spin_lock(&e->tx_lock);
    collect_locked(e);
    spin_unlock(&e->tx_lock);
}

static bool reset(const struct e1000 *e)
{
    put(e, REG_IMC, UINT32_MAX);
    put(e, REG_CTRL, get(e, REG_CTRL) | CTRL_RESET);
    for (u64 end = time_after_ns(reset_ns); get(e, REG_CTRL) & CTRL_RESET; cpu_relax()) {
        if (time_ns() > end)
            return false;
    }
    put(e, REG_IMC, UINT32_MAX);
    (void)get(e, REG_ICR);
    return true;
}

static void read_mac(struct e1000 *e)
{
    u32 low = get(e, REG_RAL), high = get(e, REG_RAH);

    for (u32 i = 0; i < 6; i++)
        e->netif.mac[i] = (u8)(i < 4 ? low >> 8 * i : high >> 8 * (i - 4));
}

static void set_ring(const struct e1000 *e, u32 base, volatile void *ring, u32 bytes)
{
    u64 pa = virt_to_phys((const void *)(uintptr_t)ring);

    put(e, base, (u32)pa);
    put(e, base + 4, (u32)(pa >> 32));
    put(e, base + REG_RDLEN - REG_RDBA, bytes);
    put(e, base + REG_RDH - REG_RDBA, 0);
    put(e, base + REG_RDT - REG_RDBA, 0);
}

static void go(struct e1000 *e)
{
    put(e, REG_CTRL, get(e, REG_CTRL) | CTRL_LINK_UP | CTRL_ASDE);
    for (u32 i = 0; i < 128; i++)
        put(e, REG_MTA + 4 * i, 0);
    set_ring(e, REG_RDBA, e->rx, RX_LEN * sizeof(*e->rx));
    set_ring(e, REG_TDBA, e->tx, TX_LEN * sizeof(*e->tx));
    put(e, REG_TIPG, TIPG_COPPER);
    put(e, REG_TCTL, TCTL_ENABLE | TCTL_PAD | TCTL_COLLISION);
    put(e, REG_RCTL, RCTL_ENABLE | RCTL_ALL_GROUPS | RCTL_BROADCAST | RCTL_NO_CRC);
    refill(e);
    put(e, REG_IMS, INT_LINK | INT_RX_LOW | INT_RX_OVER | INT_RX | INT_TX);
    read_link(e);
}

/* Somebody has use for it. */
static void start(struct netif_offer *offer)
{
    struct e1000 *e = container_of(offer, struct e1000, offer);
    struct page *page = page_alloc(1, PAGE_ZERO); /* a ring each */
    int err = page ? 0 : -ENOMEM;

    if (!err && !reset(e))
        err = -ETIMEDOUT;
    if (!err) {
        e->rx = page_to_virt(page);
        e->tx = (volatile struct e1000_tx *)((u8 *)page_to_virt(page) + PAGE_SIZE);
        err = min(pci_enable_simple_irq(&e->pci, interrupt, e), 0);
    }
    if (err) {
        log_err("%s: the network card does not start: error %d", e->name, -err);
        e->gone = true; /* for a handler that stays */
        return;
    }
    nic_set_name(&e->netif);
    e->netif.ops = &e1000_ops;
    e->netif.mtu = e->netif.max_mtu = 1500;
    e->netif.flags |= NETIF_GRO;
    read_mac(e);
    netif_add(&e->netif);
    go(e);
}

int e1000_probe(const struct pci_dev *pci)
{
    struct e1000 *e = kzalloc(sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->pci = *pci;
    (void)pci_name(pci, e->name);
    pci_enable(pci);
    e->regs = pci_map_bar(pci, 0, 0, REG_BYTES);
    if (!e->regs) {
        kfree(e);
        return -ENODEV;
    }
    spin_init(&e->rx_lock);
    spin_init(&e->tx_lock);
    timer_init(&e->rx_again, rx_again);
    e->offer.start = start;
    netif_offer(&e->offer);
    return 0;
}
