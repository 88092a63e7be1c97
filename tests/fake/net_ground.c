#include "fake/net_ground.h"

#include <asm/prctl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/errno.h"
#include "arch/uaccess.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "core/time.h"
#include "core/timer.h"
#include "fake/fault.h"
#include "mm/page.h"

u64 world_ns = 1000 * NSEC_PER_SEC, world_pages;
bool (*world_page_fails)(void);

static struct cpu cpu;
struct cpu *cpus[MAX_CPUS] = {&cpu};
u32 cpu_count = 1;
u64 cpus_online = 1;
char percpu_reads;

void log_print(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
}

/* ---- time ---- */

static struct timer *timers[64];
static u32 nr_timers;

u64 time_ns(void)
{
    return world_ns;
}

u64 time_real_ns(void)
{
    return world_ns;
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

static struct timer *first_timer(void)
{
    struct timer *first = NULL;

    for (u32 i = 0; i < nr_timers; i++)
        if (!first || timers[i]->deadline_ns < first->deadline_ns)
            first = timers[i];
    return first;
}

u64 world_next_timer_ns(void)
{
    struct timer *first = first_timer();

    return first ? first->deadline_ns : TIME_NEVER;
}

bool world_run_timer(u64 until_ns)
{
    struct timer *first = first_timer();

    if (!first || first->deadline_ns > until_ns)
        return false;
    world_ns = max(world_ns, first->deadline_ns);
    timer_cancel(first);
    first->fn(first);
    return true;
}

/* ---- memory: blocks of an arena, poisoned while they are free ---- */

enum { ARENA_PAGES = 32768, ORDERS = 4 };

static struct page page_array[ARENA_PAGES];
struct page *page_map = page_array;
u64 direct_map_base;
static u32 arena_used;
static struct page *free_blocks[ORDERS]; /* linked by .owner */

static struct page *take_block(unsigned order)
{
    struct page *page = free_blocks[order];

    if (page) {
        free_blocks[order] = page->owner;
        return page;
    }
    page = &page_array[arena_used];
    arena_used += 1u << order;
    if (arena_used > ARENA_PAGES)
        abort();
    return page;
}

struct page *page_alloc(unsigned order, unsigned flags)
{
    size_t size = (size_t)PAGE_SIZE << order;

    if (order >= ORDERS || (world_page_fails && world_page_fails()) ||
        fault_point(-ENOMEM, "page_alloc"))
        return NULL;
    struct page *page = take_block(order);
    *page = (struct page){.refs = 1, .order = (u8)order};
    ASAN_UNPOISON_MEMORY_REGION(page_to_virt(page), size);
    memset(page_to_virt(page), flags & PAGE_ZERO ? 0 : 0xa5, size);
    world_pages += 1ull << order;
    return page;
}

void page_put(struct page *page)
{
    if (!page->refs)
        abort();
    if (--page->refs)
        return;
    world_pages -= 1ull << page->order;
    ASAN_POISON_MEMORY_REGION(page_to_virt(page), (size_t)PAGE_SIZE << page->order);
    page->owner = free_blocks[page->order];
    free_blocks[page->order] = page;
}

struct page *virt_to_page(const void *virt)
{
    return &page_array[((u64)(uintptr_t)virt - direct_map_base) >> PAGE_SHIFT];
}

void page_split(struct page *page)
{
    for (u32 i = 1; i < 1u << page->order; i++)
        page[i] = (struct page){.refs = 1};
    page->order = 0;
}

size_t arch_copy_user(void *dst, const void *src, size_t n)
{
    memcpy(dst, src, n);
    return 0;
}

size_t arch_copy_user_bulk(void *dst, const void *src, size_t n)
{
    return arch_copy_user(dst, src, n);
}

size_t arch_clear_user(void *dst, size_t n)
{
    memset(dst, 0, n);
    return 0;
}

/* ---- start ---- */

void world_ground(void)
{
    cpu.arch.self = &cpu.arch;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu);
    direct_map_base = (u64)(uintptr_t)aligned_alloc(PAGE_SIZE, ARENA_PAGES * PAGE_SIZE);
    if (!direct_map_base)
        abort();
}
