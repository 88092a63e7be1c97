/* CPU time: how much each thread had, which part of it in the kernel, how busy the CPUs are.
 *
 * The sum is exact: the scheduler charges who leaves the CPU.  Which part was the kernel's is found
 * by samples, as to measure it would cost every system call: from when somebody first asks, each
 * CPU that is busy looks every few milliseconds where it is, and what the thread had since the last
 * look counts as of that kind.  What a reader is told stays divided as he was told it: neither
 * falls. */
#include "sched/sched_priv.h"

#include "arch/frame.h"
#include "core/irq.h"
#include "core/time.h"
#include "lib/string.h"

enum { SAMPLE_NS = 4000000, PROFILE_NS = 1000000 };

bool sampling;

/* ---- samples ---- */

/** Was the program interrupted, or does this run at the end of what it called? */
static bool is_in_program(const struct thread *t)
{
    const struct trap_frame *frame = arch_frame_of(t->kstack_top);

    return t->process && frame->vector >= VECTOR_LINES && frame->vector < FRAME_SYSCALL;
}

static void sample(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, sample_timer);

    spin_lock(&rq->lock);
    struct thread *t = rq->running;
    bool idle = rq->idle;
    if (!idle && t->state == THREAD_RUNNING) {
        sched_charge(t, time_ns());
        u64 delta = t->cpu_time_ns - t->divided_ns;
        t->divided_ns = t->cpu_time_ns;
        if (!is_in_program(t)) {
            t->system_ns += delta;
            rq->system_ns += delta;
        }
    }
    spin_unlock(&rq->lock);
    if (idle)
        return; /* who ends to idle sets it again */
    if (unlikely(profiling) && t == current && t->process)
        thread_set_work(t, WORK_PROFILE);
    timer_set(timer, time_after_ns(profiling ? PROFILE_NS : SAMPLE_NS));
}

void account_init(struct runqueue *rq)
{
    timer_init(&rq->sample_timer, sample);
}

void account_start(struct runqueue *rq)
{
    if (!timer_is_set(&rq->sample_timer))
        timer_set(&rq->sample_timer, time_after_ns(SAMPLE_NS));
}

void cpu_times_begin(void)
{
    if (likely(__atomic_load_n(&sampling, __ATOMIC_RELAXED)) ||
        __atomic_exchange_n(&sampling, true, __ATOMIC_SEQ_CST))
        return;
    cpu_for_each_in(i, __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE))
        irq_pend_on(cpus[i], PEND_KICK);
}

/* ---- asking ---- */

static u64 charged_until_now(const struct runqueue *rq, const struct thread *t)
{
    u64 now = time_ns();
    bool runs = rq->running == t && !rq->idle && now > t->run_start_ns;

    return t->cpu_time_ns + (runs ? now - t->run_start_ns : 0);
}

u64 thread_cpu_time(struct thread *t)
{
    struct runqueue *rq = sched_lock_rq_of(t);
    u64 ns = charged_until_now(rq, t);
    spin_unlock(&rq->lock);
    return ns;
}

struct cpu_times cpu_times_divide_locked(struct thread *t, u64 all)
{
    if (t->divided_ns && all > t->divided_ns) {
        u64 thousandths = t->system_ns / (t->divided_ns / 1000 + 1);
        t->system_ns += (all - t->divided_ns) / 1000 * min(thousandths, (u64)1000);
    }
    t->divided_ns = max(all, t->divided_ns);
    return (struct cpu_times){t->divided_ns - t->system_ns, t->system_ns};
}

struct cpu_times thread_cpu_times(struct thread *t)
{
    cpu_times_begin();
    struct runqueue *rq = sched_lock_rq_of(t);
    struct cpu_times times = cpu_times_divide_locked(t, charged_until_now(rq, t));
    spin_unlock(&rq->lock);
    return times;
}

u64 process_cpu_time(struct process *p)
{
    struct thread *t;

    spin_lock(&p->siglock); /* a thread is counted among the ended or among these */
    u64 sum = p->ended_cpu_times.user_ns + p->ended_cpu_times.system_ns;
    list_for_each(t, &p->threads, process_node)
        sum += thread_cpu_time(t);
    spin_unlock(&p->siglock);
    return sum;
}

struct cpu_times process_cpu_times(struct process *p)
{
    struct thread *t;

    cpu_times_begin();
    spin_lock(&p->siglock);
    struct cpu_times sum = p->ended_cpu_times;
    list_for_each(t, &p->threads, process_node) {
        struct cpu_times times = thread_cpu_times(t);
        sum.user_ns += times.user_ns;
        sum.system_ns += times.system_ns;
    }
    spin_unlock(&p->siglock);
    return sum;
}

bool io_counting;

void io_counts_begin(void)
{
    if (!__atomic_exchange_n(&io_counting, true, __ATOMIC_SEQ_CST) && process_hooks.count_io)
        process_hooks.count_io();
}

void io_counts_add(struct io_counts *sum, const struct io_counts *more)
{
    sum->read_chars += more->read_chars;
    sum->written_chars += more->written_chars;
    sum->reads += more->reads;
    sum->writes += more->writes;
    sum->read_bytes += more->read_bytes;
    sum->written_bytes += more->written_bytes;
}

struct io_counts process_io_counts(struct process *p)
{
    struct thread *t;

    spin_lock(&p->siglock);
    struct io_counts sum = p->ended_io;
    list_for_each(t, &p->threads, process_node)
        io_counts_add(&sum, &t->io);
    spin_unlock(&p->siglock);
    return sum;
}

char thread_state_letter(const struct thread *t)
{
    static const char letters[] = {
        [THREAD_RUNNING] = 'R', [THREAD_SLEEP] = 'D', [THREAD_SLEEP_INTR] = 'S',
        [THREAD_STOPPED] = 'T', [THREAD_DEAD] = 'X',  [THREAD_MOVING] = 'R'};
    return letters[t->state];
}

/* ---- CPUs ---- */

void sched_get_cpu_stats(u32 cpu, struct sched_stats *out)
{
    struct runqueue *rq = cpus[cpu]->rq;
    u64 now = time_ns();

    spin_lock(&rq->lock);
    *out = (struct sched_stats){
        .switches = rq->switches,
        .idle_ns = rq->idle_ns,
        .system_ns = rq->system_ns,
        .running = rq->nr_queued + !rq->idle,
    };
    if (rq->idle && now > rq->idle_since_ns)
        out->idle_ns += now - rq->idle_since_ns;
    spin_unlock(&rq->lock);
}

void sched_get_stats(struct sched_stats *out)
{
    *out = (struct sched_stats){0};
    thread_count(&out->created, &out->threads);
    for (u32 i = 0; i < cpu_count; i++) {
        struct sched_stats one;
        sched_get_cpu_stats(i, &one);
        out->switches += one.switches;
        out->idle_ns += one.idle_ns;
        out->system_ns += one.system_ns;
        out->running += one.running;
    }
}

/* Load is the share of time in which CPUs were busy, smoothed when somebody asks: there is no tick
 * that could sample it.  x / (1 + x) stands for 1 - exp(-x). */
void sched_get_load(u64 out[3])
{
    static const u64 period_ns[3] = {60 * NSEC_PER_SEC, 300 * NSEC_PER_SEC, 900 * NSEC_PER_SEC};
    static struct spinlock lock;
    static u64 load[3], last_ns, last_idle_ns;

    struct sched_stats stats;
    sched_get_stats(&stats);
    spin_lock(&lock);
    u64 now = time_ns(), dt = now - last_ns;
    if (dt >= NSEC_PER_MSEC) {
        u64 all = dt * cpu_count, idle = min(stats.idle_ns - last_idle_ns, all);
        u64 busy = ((all - idle) >> 10) * 2048 / max(dt >> 10, (u64)1);
        for (int i = 0; i < 3; i++) {
            s64 step = (s64)(busy - load[i]) * (s64)(dt >> 20) / (s64)((period_ns[i] + dt) >> 20);
            load[i] += (u64)step;
        }
        last_ns = now;
        last_idle_ns = stats.idle_ns;
    }
    memcpy(out, load, sizeof(load));
    spin_unlock(&lock);
}
