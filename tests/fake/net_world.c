#include "fake/net_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/errno.h"
#include "arch/features.h"
#include "arch/uaccess.h"
#include "core/cmdline.h"
#include "core/hostname.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/random.h"
#include "core/timer.h"
#include "fake/fault.h"
#include "fake/random.h"
#include "mm/page.h"
#include "net/ip.h"
#include "net/netlink.h"
#include "net/socket.h"
#include "net/tcp.h"

bool world_quiet, world_no_pages;

struct plat_ops plat;
struct arch_features arch_features;
char hostname[HOSTNAME_MAX + 1];
static const char *ip_word;

/* ---- numbers, words, lines ---- */

u64 random_u64(void)
{
    return fake_random();
}

void random_bytes(void *buf, size_t n)
{
    for (u8 *to = buf; n--; to++)
        *to = (u8)fake_random();
}

u64 random_below(u64 limit)
{
    return fake_random() % limit;
}

void spin_lock_slow(struct spinlock *l)
{
    (void)l;
    fprintf(stderr, "deadlock: a spinlock is taken twice\n");
    abort();
}

const char *cmdline_get(const char *key)
{
    (void)key;
    return NULL;
}

const char *cmdline_next(const char *key, u32 *pos)
{
    return !strcmp(key, "ip") && (*pos)++ == 0 ? ip_word : NULL;
}

/* ---- time ---- */

void world_settle(void)
{
    irq_run_pending();
}

void world_pass(u64 ns)
{
    u64 end = world_ns + ns;

    world_settle();
    while (world_run_timer(end))
        world_settle();
    world_ns = end;
}

/* ---- waiting: nobody can, so time passes ---- */

void wait_entry_init(struct wait_entry *entry)
{
    list_init(&entry->node);
}

void thread_prepare_sleep(bool interruptible)
{
    (void)interruptible;
}

int thread_sleep_until(u64 deadline_ns)
{
    world_pass(deadline_ns == NO_DEADLINE ? 3600 * NSEC_PER_SEC : deadline_ns - world_ns);
    return -ETIMEDOUT;
}

void thread_finish_sleep(void)
{
}

void waitq_init(struct waitq *q)
{
    list_init(&q->waiters);
}

void waitq_add(struct waitq *q, struct wait_entry *entry)
{
    list_add(&q->waiters, &entry->node);
}

void waitq_remove(struct waitq *q, struct wait_entry *entry)
{
    (void)q;
    list_remove(&entry->node);
}

void waitq_wake_waiters(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    (void)q, (void)events, (void)nr_exclusive;
}

void waitq_wake(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    (void)q, (void)events, (void)nr_exclusive;
}

bool (*sched_look)(bool rests);

void mutex_lock(struct mutex *m)
{
    (void)m;
}

bool mutex_trylock(struct mutex *m)
{
    (void)m;
    return true;
}

void mutex_unlock(struct mutex *m)
{
    (void)m;
}

/* ---- the program's memory ---- */

int copy_to_user(uaddr_t dst, const void *src, size_t n)
{
    memcpy((void *)(uintptr_t)dst, src, n);
    return 0;
}

int copy_from_user(void *dst, uaddr_t src, size_t n)
{
    memcpy(dst, (const void *)(uintptr_t)src, n);
    return 0;
}

/* ---- the interface ---- */

bool tcp_init(void)
{
    return true;
}

void netlink_init(void)
{
}

void rtnetlink_tell_link(struct netif *netif)
{
    (void)netif;
}

void rtnetlink_tell_addr(struct netif *netif, const struct netif_addr *line, bool added)
{
    (void)netif, (void)line, (void)added;
}

bool netlink_is_heard(u32 group)
{
    (void)group;
    return false;
}

void rtnetlink_tell_neigh(const struct neigh_info *neigh, bool added)
{
    (void)neigh, (void)added;
}

void rtnetlink_tell_route(const struct route_entry *line, bool added)
{
    (void)line, (void)added;
}

static struct world_frame frames[WORLD_FRAMES];
static u32 first_frame, nr_frames;

static void catch_frame(struct netif *netif, struct pkt *pkt)
{
    (void)netif;
    if (pkt->csum == CSUM_PARTIAL)
        abort(); /* we said that we do not do that */
    if (pkt->total > WORLD_FRAME_MAX)
        abort();
    if (!world_quiet && nr_frames < WORLD_FRAMES) {
        struct world_frame *frame = &frames[(first_frame + nr_frames++) % WORLD_FRAMES];
        frame->len = pkt->total;
        if (!pkt_copy_out(pkt, 0, frame->bytes, pkt->total))
            abort();
    }
    pkt_free(pkt);
}

const struct world_frame *world_sent(void)
{
    if (!nr_frames)
        return NULL;
    const struct world_frame *frame = &frames[first_frame++ % WORLD_FRAMES];
    nr_frames--;
    return frame;
}

static const struct netif_ops ops = {.send = catch_frame};

struct netif world_netif = {.name = "eth0",
                            .ops = &ops,
                            .flags = NETIF_UP | NETIF_LINK | NETIF_GRO,
                            .mtu = 1500,
                            .mac = {2, 0, 0, 0, 0, 2}};

static bool no_pages(void)
{
    return world_no_pages;
}

void world_up(const char *ip)
{
    world_ground();
    world_page_fails = no_pages;
    ip_word = ip;
    netif_add(&world_netif);
    net_init();
}

void world_receive(const void *frame, u32 len, bool paged, u8 csum)
{
    struct pkt *pkt;

    if (paged || len > PKT_LINEAR - PKT_HEADROOM) {
        struct page *page = page_alloc(0, 0);
        if (!page)
            return;
        len = min(len, (u32)PAGE_SIZE - 12);
        memcpy((char *)page_to_virt(page) + 12, frame, len);
        pkt = pkt_alloc_page(page, 12, len);
        if (!pkt) {
            page_put(page);
            return;
        }
    } else {
        pkt = pkt_alloc();
        if (!pkt)
            return;
        memcpy(pkt_put(pkt, len), frame, len);
    }
    pkt->csum = csum;
    netif_receive(&world_netif, pkt);
    netif_receive_done(&world_netif);
    world_settle();
}
