/* The watchdog: while somebody has something to do each CPU looks after the next one, by a kick
 * every few seconds.  One that idles is well.  One that does not come to a safe point to see to its
 * kick for ten seconds is stuck in the kernel: then every CPU tells where it is.  When all idle
 * nobody looks. */
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/time.h"
#include "plat/plat.h"
#include "sched/sched_priv.h"

enum { LOOK_MISSES = 2 };
#define LOOK_NS   (5 * NSEC_PER_SEC)
#define NOT_ASKED UINT32_MAX

bool watching;

static struct cpu *next_online(const struct cpu *cpu)
{
    u32 id = cpu->arch.id;

    do
        id = (id + 1) % cpu_count;
    while (!cpu_is_online(id));
    return cpus[id];
}

static void report(const struct cpu *stuck)
{
    struct cpu *cpu;

    log_raw("watchdog: cpu %u has not come to a safe point for %u s", stuck->arch.id,
            (u32)(LOOK_MISSES * LOOK_NS / NSEC_PER_SEC));
    cpu_for_each(cpu, i) {
        if (plat.cpu_stop && i != cpu_id() && cpu_is_online(i))
            plat.cpu_stop(cpu);
    }
}

static bool all_idle(void)
{
    u64 online = __atomic_load_n(&cpus_online, __ATOMIC_RELAXED);
    return !(online & ~__atomic_load_n(&cpus_idle, __ATOMIC_RELAXED));
}

static void look(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, watch_timer);
    struct cpu *next = next_online(rq->cpu);
    u32 beats = __atomic_load_n(&next->rq->beats, __ATOMIC_RELAXED);
    bool idle = __atomic_load_n(&cpus_idle, __ATOMIC_RELAXED) & cpu_bit(next->arch.id);

    if (all_idle()) {
        __atomic_store_n(&watching, false, __ATOMIC_RELAXED);
        return;
    }
    rq->missed = idle || beats != rq->seen_beats ? 0 : rq->missed + 1;
    rq->seen_beats = idle ? NOT_ASKED : beats;
    if (rq->missed == LOOK_MISSES)
        report(next);
    if (!idle && next != rq->cpu)
        irq_pend_on(next, PEND_KICK);
    timer_set(timer, time_after_ns(LOOK_NS));
}

void watch_init(struct runqueue *rq)
{
    timer_init(&rq->watch_timer, look);
}

void watch_kicked(struct runqueue *rq)
{
    __atomic_store_n(&rq->beats, rq->beats + 1, __ATOMIC_RELAXED);
    if (!__atomic_load_n(&watching, __ATOMIC_RELAXED) || timer_is_set(&rq->watch_timer))
        return;
    rq->missed = 0;
    rq->seen_beats = NOT_ASKED;
    timer_set(&rq->watch_timer, time_after_ns(LOOK_NS));
}

void watch_start(void)
{
    if (__atomic_exchange_n(&watching, true, __ATOMIC_SEQ_CST))
        return;
    cpu_for_each_in(i, __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE))
        irq_pend_on(cpus[i], PEND_KICK);
}
