/* The other CPUs.  The first one makes what each needs, has it started and goes on; the new one
 * joins when it has come so far.  Where memory ends, or the ground has no more, there are fewer. */
#include "core/init.h"

#include "abi/errno.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/time.h"
#include "mm/heap.h"
#include "plat/plat.h"
#include "sched/sched_priv.h"
#include "sched/wait.h"

enum {
    START_NS = 1000000000, /* one that has not come by then is reported */
    STOP_NS = 500000000,   /* one that has not stopped its program by then is left alone */
};

static struct waitq arrivals; /* who wants to run on a CPU that has not come yet */

/* What a CPU does when there is nothing to do and nobody left to do it. */
static void stay_home(void *arg)
{
    (void)arg;
    for (;;) {
        thread_prepare_sleep(false);
        schedule();
    }
}

/* A thread that is in no queue, with a stack of its own. */
static struct thread *create_home(struct cpu *cpu)
{
    struct thread *t = thread_create_kernel(stay_home, NULL, "idle");
    if (t)
        t->cpu = cpu->arch.id;
    return t;
}

static struct cpu *cpu_create(u32 id)
{
    struct cpu *cpu = kzalloc(max(plat.cpu_size, PAGE_SIZE)); /* whole pages: lines of its own */
    struct runqueue *rq = kzalloc(sizeof(*rq));
    if (!cpu || !rq)
        goto free_both;
    cpu->arch.self = &cpu->arch;
    cpu->arch.id = id;
    cpu->timer_armed_ns = TIME_NEVER;
    if (mm_cpu_create(cpu))
        goto free_both;
    runqueue_init(rq, cpu);
    struct thread *home = create_home(cpu);
    if (!home)
        goto free_lists;
    rq->home = rq->running = cpu->idle = cpu->arch.thread = home;
    cpu->arch.kstack_top = home->kstack_top;
    return cpu;

free_lists:
    mm_cpu_destroy(cpu);
free_both:
    kfree(rq);
    kfree(cpu);
    return NULL;
}

static int start_cpu(u32 id)
{
    struct cpu *cpu = cpu_create(id);
    if (!cpu)
        return -ENOMEM;
    cpus[id] = cpu;
    __atomic_store_n(&cpu_count, id + 1, __ATOMIC_RELEASE);
    int err = plat.cpu_start(cpu);
    if (err) /* it keeps what it has got: that it never runs is not sure */
        __atomic_store_n(&cpu_count, id, __ATOMIC_RELEASE);
    return err;
}

static void check_started(struct timer *timer)
{
    struct cpu *cpu;

    (void)timer;
    cpu_for_each(cpu, i) {
        if (!cpu_is_online(i))
            log_warn("cpu %u does not start", i);
    }
}

void smp_init(void)
{
    static struct timer check;
    u32 wanted = min(boot_info.nr_cpus, (u32)MAX_CPUS);

    if (boot_info.nr_cpus > wanted)
        log_warn("%u CPUs, of which %u are used", boot_info.nr_cpus, wanted);
    struct runqueue *rq = this_cpu()->rq;
    rq->home = create_home(this_cpu());
    if (!plat.cpu_start || !rq->home)
        return;
    waitq_init(&arrivals);
    for (u32 id = 1; id < wanted; id++) {
        int err = start_cpu(id);
        if (!err)
            continue;
        log_warn("cpu %u cannot be started (%d): going on with %u", id, err, cpu_count);
        break;
    }
    timer_init(&check, check_started);
    timer_set(&check, time_after_ns(START_NS));
}

static bool is_any_online(u64 mask)
{
    return mask & __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE);
}

void cpu_wait_online(u64 mask)
{
    if (unlikely(!is_any_online(mask)))
        (void)wait_event(&arrivals, is_any_online(mask), false, time_after_ns(START_NS));
}

void cpu_main(void)
{
    struct cpu *cpu = this_cpu();

    log_debug("cpu %u runs", cpu->arch.id);
    __atomic_fetch_or(&cpus_online, cpu_bit(cpu->arch.id), __ATOMIC_SEQ_CST);
    waitq_wake_all(&arrivals, 0);
    stay_home(NULL);
    panic("a CPU has no home");
}

/* ---- the end ---- */

bool programs_stopped;

/* A CPU that has seen to a kick since then looks at its thread's work before it goes on with the
 * program. */
static void wait_for_beat(struct cpu *cpu, u32 beats, u64 deadline_ns)
{
    while (__atomic_load_n(&cpu->rq->beats, __ATOMIC_ACQUIRE) == beats && time_ns() < deadline_ns)
        cpu_relax();
}

void sched_stop_programs(void)
{
    u32 beats[MAX_CPUS];
    u64 others = __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE) & ~cpu_bit(cpu_id());

    __atomic_store_n(&programs_stopped, true, __ATOMIC_SEQ_CST);
    family_set_work(WORK_PARK);
    cpu_for_each_in(i, others) {
        beats[i] = __atomic_load_n(&cpus[i]->rq->beats, __ATOMIC_SEQ_CST);
        irq_pend_on(cpus[i], PEND_KICK);
    }
    u64 deadline_ns = time_after_ns(STOP_NS);
    cpu_for_each_in(i, others)
        wait_for_beat(cpus[i], beats[i], deadline_ns);
}
