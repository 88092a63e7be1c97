/* A timer sits in the heap of the CPU that set it; the heap's lock guards the node, the deadline
 * and .cpu.  The callback runs without the lock; timer_running tells a canceller on another CPU to
 * wait. */
#include "core/timer.h"

#include "core/irq.h"
#include "core/spinlock.h"
#include "core/time.h"
#include "plat/plat.h"

static struct timer *timer_of(const struct pheap_node *node)
{
    static_assert(offsetof(struct timer, node) == 0, "the node is the timer");
    return (struct timer *)(uintptr_t)node;
}

static bool fires_before(const struct pheap_node *a, const struct pheap_node *b)
{
    return timer_of(a)->deadline_ns < timer_of(b)->deadline_ns;
}

static struct spinlock *lock_of(struct cpu *cpu)
{
    return (struct spinlock *)&cpu->timer_lock;
}

static u64 first_deadline(const struct cpu *cpu)
{
    return cpu->timer_heap ? timer_of(cpu->timer_heap)->deadline_ns : TIME_NEVER;
}

/* Tell the hardware only of a deadline that is earlier than what it knows; one that is gone by then
 * costs an empty interrupt, which is cheaper than telling it each time. */
static void arm(struct cpu *cpu, u64 deadline_ns)
{
    if (deadline_ns >= cpu->timer_armed_ns)
        return;
    cpu->timer_armed_ns = deadline_ns;
    plat.timer_arm(deadline_ns);
}

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
    *t = (struct timer){.fn = fn};
}

/* Take @t out of whatever heap it is in; returns whether it was in one. */
static bool take_out(struct timer *t)
{
    struct cpu *cpu;

    while ((cpu = __atomic_load_n(&t->cpu, __ATOMIC_ACQUIRE))) {
        spin_lock(lock_of(cpu));
        bool here = t->cpu == cpu;
        if (here) {
            pheap_remove(&cpu->timer_heap, &t->node, fires_before);
            __atomic_store_n(&t->cpu, NULL, __ATOMIC_RELEASE);
        }
        spin_unlock(lock_of(cpu));
        if (here)
            return true;
    }
    return false;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
    struct cpu *cpu = this_cpu();

    take_out(t);
    if (deadline_ns == TIME_NEVER)
        return;
    spin_lock(lock_of(cpu));
    t->deadline_ns = deadline_ns;
    pheap_insert(&cpu->timer_heap, &t->node, fires_before);
    __atomic_store_n(&t->cpu, cpu, __ATOMIC_RELEASE);
    u64 first = first_deadline(cpu);
    spin_unlock(lock_of(cpu));
    arm(cpu, first);
}

bool timer_cancel(struct timer *t)
{
    bool was_set = take_out(t);

    for (u32 i = 0; i < cpu_count; i++)
        while (cpus[i] != this_cpu() &&
               __atomic_load_n(&cpus[i]->timer_running, __ATOMIC_ACQUIRE) == t)
            cpu_relax();
    return was_set;
}

/* The first timer that is due, out of the heap and marked as running; or NULL. */
static struct timer *take_due(struct cpu *cpu, u64 now)
{
    struct timer *t = NULL;

    spin_lock(lock_of(cpu));
    struct pheap_node *first = cpu->timer_heap;
    if (first && timer_of(first)->deadline_ns <= now) {
        t = timer_of(first);
        pheap_remove(&cpu->timer_heap, &t->node, fires_before);
        __atomic_store_n(&cpu->timer_running, t, __ATOMIC_RELEASE);
        __atomic_store_n(&t->cpu, NULL, __ATOMIC_RELEASE);
    }
    spin_unlock(lock_of(cpu));
    return t;
}

void timers_run(void)
{
    struct cpu *cpu = this_cpu();
    struct timer *t;

    cpu->timer_armed_ns = TIME_NEVER;
    while ((t = take_due(cpu, time_ns()))) {
        t->fn(t);
        __atomic_store_n(&cpu->timer_running, NULL, __ATOMIC_RELEASE);
    }
    arm(cpu, timer_next_ns());
}

u64 timer_next_ns(void)
{
    struct cpu *cpu = this_cpu();

    spin_lock(lock_of(cpu));
    u64 next = first_deadline(cpu);
    spin_unlock(lock_of(cpu));
    return next;
}

static void timer_interrupt(void *arg)
{
    (void)arg;
    timers_run();
}

void timers_init(void)
{
    irq_set_handler(PEND_TIMER, timer_interrupt, NULL);
}
