#include "core/lock_check.h"

#include "arch/atomic.h"
#include "arch/cpu.h"
#include "core/panic.h"
#include "core/percpu.h"

enum { WORDS = LOCK_CLASSES_MAX / 64 };
/* Of a class. */
enum { TAKEN_IN_INTERRUPT = 1, TAKEN_WITH_INTERRUPTS = 2 };
enum { RFLAGS_IF = 1 << 9 };

static struct lock_class *classes[LOCK_CLASSES_MAX]; /* [G]; 0 is nobody's */
static u32 nr_classes = 1;                           /* [G] written, [A] read */
static u64 after[LOCK_CLASSES_MAX][WORDS];           /* [G] written, [A] read: taken while held */
static u32 graph_lock;                               /* G; none of those that are checked */
static struct locks_held spinning[MAX_CPUS];         /* [C] */
static struct locks_held *(*held_by_thread)(void);
static bool in_interrupt[MAX_CPUS]; /* [C] */
static bool off;

void lock_check_set_thread(struct locks_held *(*fn)(void))
{
    held_by_thread = fn;
}

void lock_check_off(void)
{
    __atomic_store_n(&off, true, __ATOMIC_RELAXED);
}

static bool is_off(void)
{
    return __atomic_load_n(&off, __ATOMIC_RELAXED);
}

static struct locks_held *held(bool sleeps)
{
    if (!sleeps)
        return &spinning[cpu_id()];
    return held_by_thread ? held_by_thread() : NULL;
}

/* False: not now, in an interrupt, which may have come to who is in there. */
static bool graph_enter(void)
{
    while (__atomic_exchange_n(&graph_lock, 1, __ATOMIC_ACQUIRE)) {
        if (in_interrupt[cpu_id()])
            return false;
        cpu_relax();
    }
    return true;
}

static void graph_leave(void)
{
    __atomic_store_n(&graph_lock, 0, __ATOMIC_RELEASE);
}

static void number(struct lock_class *class)
{
    if (__atomic_load_n(&class->id, __ATOMIC_ACQUIRE) || !graph_enter())
        return;
    if (!class->id && nr_classes < LOCK_CLASSES_MAX) {
        classes[nr_classes] = class;
        __atomic_store_n(&class->id, nr_classes, __ATOMIC_RELEASE);
        __atomic_store_n(&nr_classes, nr_classes + 1, __ATOMIC_RELEASE);
    }
    graph_leave();
}

static bool follows(u32 id, u32 next)
{
    return __atomic_load_n(&after[id][next / 64], __ATOMIC_RELAXED) >> next % 64 & 1;
}

/* Was @to ever taken, at whatever remove, while @from was held?  [G] held. */
static bool leads_to(u32 from, u32 to)
{
    u64 reached[WORDS] = {0}, looked_at[WORDS] = {0};
    bool more = true;

    reached[from / 64] |= 1ul << from % 64;
    while (more) {
        more = false;
        for (u32 i = 0; i < nr_classes; i++) {
            u64 bit = 1ul << i % 64;
            if (!(reached[i / 64] & bit) || looked_at[i / 64] & bit)
                continue;
            looked_at[i / 64] |= bit;
            more = true;
            for (u32 w = 0; w < WORDS; w++)
                reached[w] |= after[i][w];
        }
    }
    return reached[to / 64] >> to % 64 & 1;
}

static _Noreturn void report(const struct lock_class *first, const struct lock_class *second)
{
    lock_check_off();
    panic("lock order: %s (%s:%u) is taken with %s (%s:%u) held, and elsewhere the other way round",
          second->name, second->file, second->line, first->name, first->file, first->line);
}

static void add_edge(struct lock_class *first, struct lock_class *second)
{
    if (first == second || !first->id || !second->id || follows(first->id, second->id) ||
        !graph_enter())
        return;
    bool wrong = leads_to(second->id, first->id);
    if (!wrong)
        after[first->id][second->id / 64] |= 1ul << second->id % 64;
    graph_leave();
    if (wrong)
        report(first, second);
}

static void check_against(const struct locks_held *h, const void *lock, struct lock_class *class)
{
    for (u32 i = 0; h && i < h->count; i++) {
        if (h->locks[i].lock == lock) {
            lock_check_off();
            panic("lock %s (%s:%u) is taken by who holds it", class->name, class->file,
                  class->line);
        }
        add_edge(h->locks[i].class, class);
    }
}

/* Interrupts are taken where the lock is held, and one of them takes it. */
static void check_context(struct lock_class *class)
{
    u64 flags;
    u32 here = 0;

    __asm__ volatile("pushfq\n popq %0" : "=r"(flags));
    if (in_interrupt[cpu_id()])
        here = TAKEN_IN_INTERRUPT;
    else if (flags & RFLAGS_IF)
        here = TAKEN_WITH_INTERRUPTS;
    u32 all = here | __atomic_load_n(&class->contexts, __ATOMIC_RELAXED);
    __atomic_fetch_or(&class->contexts, here, __ATOMIC_RELAXED);
    if (all != (TAKEN_IN_INTERRUPT | TAKEN_WITH_INTERRUPTS))
        return;
    lock_check_off();
    panic("lock %s (%s:%u) is taken in an interrupt, and elsewhere with interrupts on", class->name,
          class->file, class->line);
}

void lock_check_interrupt(bool begins)
{
    in_interrupt[cpu_id()] = begins;
}

void lock_check_order(const void *lock, struct lock_class *class, bool sleeps)
{
    if (is_off())
        return;
    number(class);
    if (sleeps)
        lock_check_may_sleep();
    check_against(held(true), lock, class);
    if (!sleeps) {
        check_against(held(false), lock, class);
        check_context(class);
    }
}

void lock_check_taken(const void *lock, struct lock_class *class, bool sleeps, u64 wait_ticks)
{
    struct locks_held *h = held(sleeps);

    if (is_off() || !h)
        return;
    number(class);
    __atomic_fetch_add(&class->taken, 1, __ATOMIC_RELAXED);
    if (wait_ticks) {
        __atomic_fetch_add(&class->contended, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&class->wait_ticks, wait_ticks, __ATOMIC_RELAXED);
    }
    if (h->count == LOCKS_HELD_MAX) {
        lock_check_off();
        panic("more than %u locks are held", LOCKS_HELD_MAX);
    }
    h->locks[h->count].lock = lock;
    h->locks[h->count].class = class;
    h->locks[h->count++].since = rdtsc();
}

static void account_hold(struct lock_class *class, u64 ticks)
{
    __atomic_fetch_add(&class->hold_ticks, ticks, __ATOMIC_RELAXED);
    if (ticks > __atomic_load_n(&class->hold_max, __ATOMIC_RELAXED))
        __atomic_store_n(&class->hold_max, ticks, __ATOMIC_RELAXED);
}

void lock_check_released(const void *lock, bool sleeps)
{
    struct locks_held *h = held(sleeps);

    if (is_off() || !h)
        return;
    for (u32 i = h->count; i-- > 0;) {
        if (h->locks[i].lock != lock)
            continue;
        account_hold(h->locks[i].class, rdtsc() - h->locks[i].since);
        h->count--;
        for (; i < h->count; i++)
            h->locks[i] = h->locks[i + 1];
        return;
    }
}

/* Giving memory back is a lock that is taken at every allocation, and held by the caches. */
static struct lock_class reclaim_class = LOCK_CLASS(memory that caches give back);

void lock_check_may_reclaim(void)
{
    if (!is_off())
        lock_check_order(&reclaim_class, &reclaim_class, false);
}

void lock_check_reclaim(bool begins)
{
    if (begins)
        lock_check_taken(&reclaim_class, &reclaim_class, false, 0);
    else
        lock_check_released(&reclaim_class, false);
}

void lock_check_safe_point(void)
{
    const struct locks_held *h = held(false);

    if (is_off() || !h->count)
        return;
    const struct lock_class *class = h->locks[h->count - 1].class;
    lock_check_off();
    panic("interrupts are seen to with lock %s (%s:%u) held", class->name, class->file,
          class->line);
}

void lock_check_may_sleep(void)
{
    const struct locks_held *h = held(false);

    if (is_off() || !h->count)
        return;
    const struct lock_class *class = h->locks[h->count - 1].class;
    lock_check_off();
    panic("may sleep with lock %s (%s:%u) held", class->name, class->file, class->line);
}

const struct lock_class *lock_class_get(u32 id)
{
    return id && id < __atomic_load_n(&nr_classes, __ATOMIC_ACQUIRE) ? classes[id] : NULL;
}
