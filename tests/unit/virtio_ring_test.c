/* Who tells whom, and when: the driver of virtio-net and its rings against a device that takes its
 * turn between any two words that the driver writes or reads, as QEMU's does on another thread.
 * Whatever the order, what came must be received and what was sent must leave, or the guest is
 * silent for ever.  Virtio 1.2, 2.7.7 to 2.7.10; a seed decides (RING_SEED, RING_SEEDS). */
#include "test.h"

#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/features.h"
#include "core/panic.h"
#include "core/time.h"
#include "drv/virtio.h"
#include "fake/net_world.h"
#include "fake/played_device.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "plat/plat.h"
#include "sched/wait.h"
#include "sim/seeds.h"

/* ---- the ring, on a processor that keeps what it writes to itself for a while ---- */

static void device_turn(void);
static void keep(u16 *at, u16 value);
static void drain(void);
static bool fences_are_left_out; /* as QEMU's TCG does where a machine has one CPU */

static inline void fence(void)
{
    if (!fences_are_left_out)
        drain();
}

static inline u64 locked_tsc(void)
{
    drain();
    return 0;
}

#define __atomic_store_n(p, v, order)                                                              \
    ({                                                                                             \
        device_turn();                                                                             \
        keep(p, v);                                                                                \
        device_turn();                                                                             \
    })
#define __atomic_load_n(p, order)                                                                  \
    ({                                                                                             \
        device_turn();                                                                             \
        __typeof__(+*(p)) loaded = __atomic_load_n(p, order);                                      \
        device_turn();                                                                             \
        loaded;                                                                                    \
    })
#define mb    fence
#define rdtsc locked_tsc
#include "../../kernel/drv/virtq.c"
#undef __atomic_store_n
#undef __atomic_load_n
#undef mb
#undef rdtsc

/* ---- the device: QEMU's way with a tap ---- */

enum { RX, TX, HDR = 12, F_CSUM = 0, F_GUEST_CSUM = 1, F_GUEST_TSO4 = 7, F_MRG_RXBUF = 15 };
enum { LARGE = 17, RX_SIZE = 256, SECONDS_A_SEED = 20 }; /* pages of the largest frame; a ring */

/* One queue as the device sees it. */
struct side {
    struct virtq *vq;
    u16 seen;       /* of the available ring */
    u16 used, told; /* of the used ring; at the last interrupt */
    bool asks;      /* it wants to be told: avail_event follows .seen */
    bool sleeps;    /* it does nothing until it is told */
};
static struct side sides[2];
static u32 arriving[4096]; /* pages of each frame that the tap holds */
static u32 first_arriving, nr_arriving, sent;
static bool interrupt, turning, awake;
static u32 random_state;

static u32 dice(u32 sides_of_it)
{
    random_state = random_state * 1664525 + 1013904223;
    return (u32)((u64)(random_state >> 8) * sides_of_it >> 24);
}

static u16 avail_idx(const struct side *s)
{
    return *(volatile u16 *)&s->vq->avail->idx;
}

static void ask(struct side *s)
{
    s->asks = true;
    *avail_event(s->vq) = avail_idx(s);
}

static void use(struct side *s, u32 len, u32 buffers)
{
    u16 mask = (u16)(s->vq->size - 1);

    for (u32 i = 0; i < buffers; i++) {
        u16 head = s->vq->avail->ring[s->seen++ & mask];
        volatile struct virtq_used_elem *elem = &s->vq->used->ring[(s->used + i) & mask];
        elem->id = head;
        elem->len = len;
        if (len && !i) {
            u8 *to = phys_to_virt(s->vq->desc[head].addr);
            memset(to, 0, HDR + 14);
            to[10] = (u8)buffers;
            to[HDR] = 0xff; /* a broadcast of a protocol that nobody speaks */
        }
    }
    s->used = (u16)(s->used + buffers);
    s->vq->used->idx = s->used;
}

/* 2.7.7.2 */
static void tell(struct side *s)
{
    u16 event = *(volatile u16 *)used_event(s->vq), old = s->told;

    s->told = s->used;
    if ((u16)(s->used - event - 1) < (u16)(s->used - old))
        interrupt = true;
}

static bool has_room(const struct side *s, u32 pages)
{
    return (u16)(avail_idx(s) - s->seen) >= pages;
}

static void receive_turn(struct side *s)
{
    if (s->sleeps || !nr_arriving)
        return;
    u32 pages = arriving[first_arriving % ARRAY_LEN(arriving)];
    if (!has_room(s, pages)) {
        if (!s->asks)
            ask(s); /* and looks again at its next turn */
        else
            s->sleeps = true;
        return;
    }
    s->asks = false;
    use(s, pages == 1 ? HDR + 60 + dice(500) : PAGE_SIZE, pages);
    tell(s);
    first_arriving++;
    nr_arriving--;
}

static void send_turn(struct side *s)
{
    if (s->sleeps)
        return;
    if (avail_idx(s) != s->seen) {
        s->asks = false;
        use(s, 0, 1);
        sent++;
        tell(s);
    } else if (!s->asks) {
        ask(s);
    } else {
        s->sleeps = true;
    }
}

/* What the guest has written and the device does not see yet; in order. */
static struct {
    u16 *at, value;
} kept[4];
static u32 nr_kept;

static void drain(void)
{
    for (u32 i = 0; i < nr_kept; i++)
        *(volatile u16 *)kept[i].at = kept[i].value;
    nr_kept = 0;
}

static void keep(u16 *at, u16 value)
{
    if (nr_kept == ARRAY_LEN(kept))
        drain();
    kept[nr_kept].at = at;
    kept[nr_kept++].value = value;
}

static void device_turn(void)
{
    if (turning || !awake)
        return;
    turning = true;
    if (!dice(3))
        drain();
    for (u32 n = dice(4); n; n--) {
        if (dice(2))
            receive_turn(&sides[RX]);
        else
            send_turn(&sides[TX]);
    }
    turning = false;
}

/* Through a register: what was written is seen first. */
static void told(struct virtq *vq)
{
    drain();
    sides[vq->index].sleeps = sides[vq->index].asks = false;
}

static bool works(void)
{
    const struct side *rx = &sides[RX], *tx = &sides[TX];

    return (!rx->sleeps && nr_arriving) || !tx->sleeps;
}

/* ---- the guest ---- */

static struct netif *ours(void)
{
    return netif_by_index(world_netif.index == 2 ? 3 : 2);
}

static void safe_point(void)
{
    drain();
    if (interrupt) {
        interrupt = false;
        played_interrupt();
    }
    world_settle();
}

static void send_some(u32 n)
{
    while (n--) {
        struct pkt *pkt = pkt_alloc();
        if (!pkt)
            return;
        memset(pkt_put(pkt, 60), 0, 60);
        netif_send(ours(), pkt);
    }
}

static void up(u32 seed)
{
    random_state = seed;
    played_queue_size = RX_SIZE;
    played_notified = told;
    played_features = BIT(F_CSUM) | BIT(F_GUEST_CSUM) | BIT(F_GUEST_TSO4) | BIT(F_MRG_RXBUF) |
                      BIT(VIRTIO_F_EVENT_IDX);
    world_up("off");
    REQUIRE(!played_start(&virtio_net_driver), "a driver");
    netif_start_offers();
    for (u32 q = RX; q <= TX; q++)
        sides[q] = (struct side){.vq = played.queues[q]};
    awake = true;
}

static void work(void)
{
    for (u32 i = 0; i < 20000 && (interrupt || works()); i++) {
        device_turn();
        safe_point();
        if (!dice(4) && sched_look)
            (void)sched_look(true); /* the guest rests */
    }
}

/* Until nobody has anything to do, also when a timer has gone off. */
static void settle(void)
{
    work();
    world_pass(NSEC_PER_SEC);
    work();
}

/* A little of it. */
static void settle_while_short(void)
{
    work();
    world_pass(dice(20) * NSEC_PER_MSEC);
    work();
}

/* Frames come and go in any number, pages are short now and then, and at the end of each round
 * nothing may be left over. */
static void run_seed(u64 seed)
{
    u64 came = 0, left = 0;

    up((u32)seed);
    for (u32 round = 0; round < 60 && !test_has_failed(); round++) {
        for (u32 n = dice(dice(8) ? 40 : 700); n; n--, came++)
            arriving[(first_arriving + nr_arriving++) % ARRAY_LEN(arriving)] =
                dice(20) ? 1 : 1 + dice(LARGE);
        world_no_pages = !dice(3);
        struct netif_stats before = netif_sum_stats(ours());
        for (u32 n = dice(30); n; n--) {
            send_some(dice(20));
            device_turn();
            if (dice(2))
                safe_point();
        }
        left += netif_sum_stats(ours()).tx_packets - before.tx_packets;
        left -= netif_sum_stats(ours()).tx_dropped - before.tx_dropped;
        settle_while_short();
        world_no_pages = false;
        settle();
        EXPECT_EQ(nr_arriving, 0, "frames that the guest does not take");
        EXPECT_EQ(sent, left, "frames that the device does not send");
        EXPECT_FALSE(played.broken, played_why);
    }
    EXPECT_TRUE(netif_sum_stats(ours()).rx_packets + netif_sum_stats(ours()).rx_dropped >= came,
                "each was counted");
    exit(test_has_failed());
}

static void run_seeds(void)
{
    const char *count = getenv("RING_SEEDS"), *one = getenv("RING_SEED");
    u64 first = one ? (u64)atoll(one) : 1, last = one ? first : count ? (u64)atoll(count) : 30;

    for (u64 seed = first; seed <= last; seed++)
        if (!EXPECT_TRUE(seed_passes(seed, run_seed, SECONDS_A_SEED), "RING_SEED repeats it"))
            break;
}

TEST(nobody_waits_for_the_other_for_ever)
{
    run_seeds();
}

/* Nor where the machine underneath leaves barriers out, as QEMU's TCG does with one CPU. */
TEST(nobody_waits_for_ever_without_barriers)
{
    fences_are_left_out = arch_features.tcg = true;
    run_seeds();
}

/* All pages that the device had are gone, and no frame can bring the driver to look again. */
TEST(a_device_without_pages_gets_some_later)
{
    up(1);
    world_no_pages = true;
    for (u32 i = 0; i < 64; i++)
        arriving[nr_arriving++] = LARGE;
    settle_while_short();
    REQUIRE(nr_arriving, "it has too few");
    world_no_pages = false;
    settle();
    EXPECT_EQ(nr_arriving, 0, "frames that the guest does not take");
}
