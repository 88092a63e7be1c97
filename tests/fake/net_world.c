#include "fake/net_world.h"

#include <asm/prctl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

u64 world_pages;
bool world_quiet, world_no_pages;

static struct cpu cpu;
struct cpu *cpus[MAX_CPUS] = {&cpu};
u32 cpu_count = 1;
u64 cpus_online = 1;
char percpu_reads;
struct plat_ops plat;
struct arch_features arch_features;
u64 direct_map_base;
char hostname[HOSTNAME_MAX + 1];
static u64 now_ns = 1000 * NSEC_PER_SEC;
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

void log_print(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
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

static struct timer *timers[64];
static u32 nr_timers;

u64 time_ns(void)
{
    return now_ns;
}

u64 time_real_ns(void)
{
    return now_ns;
}

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
    *t = (struct timer){.fn = fn};
}

bool timer_cancel(struct timer *t)
{
    for (u32 i = 0; i < nr_timers; i++)
        if (timers[i] == t) {
            timers[i] = timers[--nr_timers];
            t->cpu = NULL;
            return true;
        }
    return false;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
    timer_cancel(t);
    if (deadline_ns == TIME_NEVER)
        return;
    if (nr_timers == ARRAY_LEN(timers))
        abort();
    t->deadline_ns = deadline_ns;
    t->cpu = &cpu;
    timers[nr_timers++] = t;
}

void world_settle(void)
{
    irq_run_pending();
}

void world_pass(u64 ns)
{
    u64 end = now_ns + ns;

    world_settle();
    for (;;) {
        struct timer *first = NULL;
        for (u32 i = 0; i < nr_timers; i++)
            if (!first || timers[i]->deadline_ns < first->deadline_ns)
                first = timers[i];
        if (!first || first->deadline_ns > end)
            break;
        now_ns = max(now_ns, first->deadline_ns);
        timer_cancel(first);
        first->fn(first);
        world_settle();
    }
    now_ns = end;
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
    world_pass(deadline_ns == NO_DEADLINE ? 3600 * NSEC_PER_SEC : deadline_ns - now_ns);
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

void mutex_init(struct mutex *m)
{
    (void)m;
}

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

/* ---- memory: an arena of single pages; free ones are poison to ASan ---- */

enum { PAGES = 4096 };
static _Alignas(4096) char arena[PAGES * 4096];
static struct page heads[PAGES];
struct page *page_map = heads;
static struct page *free_pages;
static u32 nr_taken;

struct page *page_alloc(unsigned order, unsigned flags)
{
    struct page *page = free_pages;

    if (order || world_no_pages || fault_point(-ENOMEM, "page_alloc"))
        return NULL;
    if (page)
        free_pages = page->owner;
    else if (nr_taken < PAGES)
        page = &heads[nr_taken++];
    else
        return NULL;
    *page = (struct page){.refs = 1};
    ASAN_UNPOISON_MEMORY_REGION(page_to_virt(page), PAGE_SIZE);
    memset(page_to_virt(page), flags & PAGE_ZERO ? 0 : 0xa5, PAGE_SIZE);
    world_pages++;
    return page;
}

void page_put(struct page *page)
{
    if (!page->refs)
        abort();
    if (--page->refs)
        return;
    world_pages--;
    ASAN_POISON_MEMORY_REGION(page_to_virt(page), PAGE_SIZE);
    page->owner = free_pages;
    free_pages = page;
}

void page_split(struct page *page)
{
    (void)page; /* all are single */
}

struct page *virt_to_page(const void *virt)
{
    return &heads[((const char *)virt - arena) / (s64)PAGE_SIZE];
}

size_t arch_copy_user(void *dst, const void *src, size_t n)
{
    memcpy(dst, src, n);
    return 0;
}

size_t arch_clear_user(void *dst, size_t n)
{
    memset(dst, 0, n);
    return 0;
}

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

void tcp_init(void)
{
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

struct netif world_netif = {
    .name = "eth0",
    .ops = &ops,
    .flags = NETIF_UP | NETIF_LINK | NETIF_GRO,
    .mtu = 1500,
    .mac = {2, 0, 0, 0, 0, 2}
};

void world_up(const char *ip)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu);
    cpu.arch.self = &cpu.arch;
    direct_map_base = (u64)(uintptr_t)arena;
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
