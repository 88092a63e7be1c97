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
    return &cpu->timer_lock;
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

/* Put @t into @cpu's heap, unless another CPU has just set it too. */
static bool put_in(struct cpu *cpu, struct timer *t, u64 deadline_ns)
{
    struct cpu *none = NULL;

    spin_lock(lock_of(cpu));
    bool ours =
        __atomic_compare_exchange_n(&t->cpu, &none, cpu, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    if (likely(ours)) {
        t->deadline_ns = deadline_ns;
        pheap_insert(&cpu->timer_heap, &t->node, fires_before);
    }
    spin_unlock(lock_of(cpu));
    return ours;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
    struct cpu *cpu = this_cpu();

    do {
        take_out(t);
        if (deadline_ns == TIME_NEVER)
            return;
    } while (!put_in(cpu, t, deadline_ns));
    arm(cpu, deadline_ns); /* an earlier one has been armed, or will be by timers_run() */
}

/* Wait until @t's callback has ended on all other CPUs; false if it ran on none. */
static bool await_end(const struct timer *t)
{
    const struct cpu *cpu;
    bool waited = false;

    cpu_for_each(cpu, i) {
        while (cpu != this_cpu() && __atomic_load_n(&cpu->timer_running, __ATOMIC_ACQUIRE) == t) {
            cpu_relax();
            waited = true;
        }
    }
    return waited;
}

/* A callback that was waited for may have set the timer again. */
bool timer_cancel(struct timer *t)
{
    bool was_set = take_out(t);

    while (await_end(t))
        was_set |= take_out(t);
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
