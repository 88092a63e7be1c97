/* The scheduler: one queue a CPU, ordered by virtual run time, so that the thread which had least
 * of the CPU runs next.  Real-time threads stand before all others in the same order: theirs is a
 * small number for their priority, and does not grow.  A sleeper that wakes is placed a little
 * before the others. Tickless: the slice timer runs only while somebody waits.  A thread that
 * sleeps with nothing else to run idles in place: the next wake of it needs no switch. */
#include "sched/thread.h"

#include "abi/sched.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "arch/switch.h"
#include "core/irq.h"
#include "core/panic.h"
#include "core/time.h"
#include "lib/string.h"
#include "plat/plat.h"
#include "sched/futex.h"
#include "sched/posix_timer.h"
#include "sched/queue.h"
#include "sched/rseq.h"
#include "sched/sched_priv.h"

enum {
    SLICE_NS = 4000000,         /* how long a thread runs while others wait */
    WAKE_CREDIT_NS = 2000000,   /* how far before the queue a sleeper may be placed */
    WAKE_PREEMPTS_NS = 1000000, /* how much a woken thread must be behind to take the CPU */
    RT_SLICES = 19,             /* of these in a row the twentieth is for the others */
};

static struct runqueue boot_runqueue;
u64 cpus_idle; /* [A] a bit for each CPU that idles and has got nothing to do yet; only kept where
                  there are several */

static struct runqueue *rq_of(const struct thread *t)
{
    return cpus[__atomic_load_n(&t->cpu, __ATOMIC_RELAXED)]->rq;
}

struct runqueue *sched_lock_rq_of(struct thread *t)
{
    for (;;) {
        struct runqueue *rq = rq_of(t);
        spin_lock(&rq->lock);
        bool is_linked = !list_empty(&t->run_node);
        bool is_awake = t->state == THREAD_RUNNING || t->state == THREAD_MOVING;
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* linked there: then its CPU is that, too */
        if (likely((is_linked || !is_awake || rq->running == t) && rq == rq_of(t)))
            return rq;
        spin_unlock(&rq->lock);
        cpu_relax();
    }
}

void sched_charge(struct thread *t, u64 now)
{
    charge(t, now);
}

struct cpu_times sched_charge_current(void)
{
    struct runqueue *rq = this_cpu()->rq;
    struct thread *t = current;

    spin_lock(&rq->lock);
    charge(t, time_ns());
    struct cpu_times times = {.user_ns = t->cpu_time_ns};
    if (unlikely(__atomic_load_n(&sampling, __ATOMIC_RELAXED)))
        times = cpu_times_divide_locked(t, t->cpu_time_ns);
    spin_unlock(&rq->lock);
    return times;
}

/** A CPU that idles and may run @t, or none: MAX_CPUS. */
static u32 idle_cpu_for(const struct thread *t)
{
    u64 idle = __atomic_load_n(&cpus_idle, __ATOMIC_RELAXED) & t->affinity;
    return idle ? (u32)__builtin_ctzll(idle) : MAX_CPUS;
}

/** A CPU that idles has got something to do: what else wakes, in the same interrupt perhaps, had
 * better look for another. */
static void end_idling(const struct runqueue *rq)
{
    if (cpu_count > 1)
        __atomic_fetch_and(&cpus_idle, ~cpu_bit(rq->cpu->arch.id), __ATOMIC_RELAXED);
}

static bool cpu_idles(u32 id)
{
    return __atomic_load_n(&cpus_idle, __ATOMIC_RELAXED) >> id & 1;
}

/** A CPU idles while a thread waits here: let it come for it. */
static void call_idle_cpu(struct runqueue *rq)
{
    struct thread *t;
    u32 id = MAX_CPUS;

    spin_lock(&rq->lock);
    list_for_each(t, &rq->queue, run_node) {
        id = idle_cpu_for(t);
        if (id != MAX_CPUS)
            break;
    }
    spin_unlock(&rq->lock);
    if (id != MAX_CPUS)
        irq_pend_on(cpus[id], PEND_KICK);
}

/** Somebody waits for this CPU: see to it that the running thread's slice ends. */
static void start_slice_timer(struct runqueue *rq)
{
    if (rq->nr_queued && !timer_is_set(&rq->slice_timer))
        timer_set(&rq->slice_timer, time_after_ns(SLICE_NS));
}

static void share_queue(struct runqueue *rq);

/** Whether who runs must let others: one of SCHED_FIFO need not for those that are not before it.
 */
static bool slice_ends(struct runqueue *rq)
{
    const struct thread *running = rq->running;

    if (likely(running->weight) || rq->fair_turn) {
        rq->rt_slices = 0;
        rq->fair_turn = false;
        return true;
    }
    if (++rq->rt_slices >= RT_SLICES && list_last(&rq->queue, struct thread, run_node)->weight) {
        rq->fair_turn = true;
        return true;
    }
    return running->policy != SCHED_FIFO ||
           list_first(&rq->queue, struct thread, run_node)->vruntime < running->vruntime;
}

static void slice_ended(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, slice_timer);
    spin_lock(&rq->lock);
    bool waiting = rq->nr_queued != 0;
    bool ends = waiting && slice_ends(rq);
    spin_unlock(&rq->lock);
    if (!waiting)
        return;
    if (unlikely(__atomic_load_n(&cpus_idle, __ATOMIC_RELAXED)))
        call_idle_cpu(rq);
    else if (cpu_count > 1)
        share_queue(rq);
    if (ends)
        thread_set_work(rq->running, WORK_RESCHED);
    timer_set(&rq->slice_timer, time_after_ns(SLICE_NS));
}

/** PEND_KICK: another CPU has queued something here, or marked the running thread. */
static void kicked(void *arg)
{
    struct runqueue *rq = this_cpu()->rq;

    (void)arg;
    start_slice_timer(rq);
    account_begin(rq);
    if (unlikely(cpu_count > 1))
        watch_kicked(rq);
}

void thread_set_work(struct thread *t, u32 bits)
{
    __atomic_fetch_or(&t->work, bits, __ATOMIC_SEQ_CST);
    struct cpu *cpu = cpus[__atomic_load_n(&t->cpu, __ATOMIC_RELAXED)];
    if (__atomic_load_n(&cpu->arch.thread, __ATOMIC_RELAXED) != t)
        return; /* sees its work when it is switched to */
    if (cpu == this_cpu())
        irq_pend(PEND_KICK);
    else
        irq_pend_on(cpu, PEND_KICK);
}

/** If the running thread has work, have PEND_KICK set, which a safe point may have consumed. */
static void pend_own_work(void)
{
    if (unlikely(__atomic_load_n(&current->work, __ATOMIC_RELAXED)))
        irq_pend(PEND_KICK);
}

/* ---- waking ---- */

/** The CPU that @t may use with the fewest threads waiting. */
static struct runqueue *least_loaded(const struct thread *t)
{
    struct runqueue *best = NULL;
    cpu_for_each_in(i, t->affinity & __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE)) {
        struct runqueue *rq = cpus[i]->rq;
        if (!best || rq->nr_queued < best->nr_queued)
            best = rq;
    }
    return best ? best : rq_of(t); /* all it may use are still starting */
}

/** Where @t should run: where it ran if that CPU idles or none does, else an idle one. */
static __attribute__((noinline)) struct runqueue *choose_of_many(struct runqueue *own,
                                                                 const struct thread *t)
{
    bool own_allowed = cpu_allowed(t, own->cpu->arch.id);
    if (own_allowed && cpu_idles(own->cpu->arch.id))
        return own;
    u32 id = idle_cpu_for(t);
    if (id != MAX_CPUS)
        return cpus[id]->rq;
    return own_allowed ? own : least_loaded(t);
}

static inline struct runqueue *choose_rq(struct runqueue *own, const struct thread *t)
{
    return likely(cpu_count == 1) ? own : choose_of_many(own, t);
}

/** @t, which does not run, belongs to @rq's CPU from now on. */
static void set_cpu(struct thread *t, const struct runqueue *rq)
{
    u32 id = rq->cpu->arch.id;

    if (t->cpu == id)
        return;
    if (t->rseq)
        __atomic_fetch_or(&t->work, (u32)WORK_RSEQ, __ATOMIC_RELAXED);
    __atomic_store_n(&t->cpu, id, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* before it is linked: sched_lock_rq_of() */
}

/** May @t wait though it is far behind? */
static bool defers(const struct thread *t, const struct runqueue *rq)
{
    return t->policy == SCHED_BATCH || t->policy == SCHED_IDLE ||
           (rq->fair_turn && !t->weight); /* the turn ends with its slice */
}

/** Where a new thread should run: it has nothing in any cache, so where the fewest are. */
static struct runqueue *choose_rq_of_new(const struct thread *t)
{
    struct runqueue *rq = choose_rq(rq_of(t), t);

    if (likely(cpu_count == 1) || cpu_idles(rq->cpu->arch.id))
        return rq;
    struct runqueue *least = least_loaded(t);
    return __atomic_load_n(&least->nr_queued, __ATOMIC_RELAXED) <
                   __atomic_load_n(&rq->nr_queued, __ATOMIC_RELAXED)
               ? least
               : rq;
}

/** Queue the woken or new thread @t on @rq, which is locked, and preempt who runs if it is due; if
 * that is the caller and it @gives_way itself, it is not told by PEND_KICK. The
 * CPU to be kicked once @rq is unlocked, or NULL: a CPU that is kicked wants the lock at once, and
 * may be given the very processor of the host that its holder was on. */
static inline __attribute__((always_inline)) struct cpu *
place_woken_locked(struct runqueue *rq, struct thread *t, bool gives_way)
{
    struct cpu *here = this_cpu();
    struct thread *running = rq->running;
    u64 now = time_ns();
    if (!rq->idle && running->state == THREAD_RUNNING) {
        charge(running, now);
        advance_min(rq, running->vruntime);
    }
    u64 floor = rq->min_vruntime - WAKE_CREDIT_NS;
    if ((s64)(t->vruntime - floor) < 0 && likely(t->weight))
        t->vruntime = floor;
    set_cpu(t, rq);
    enqueue_from_head(rq, t);

    struct cpu *other = rq->cpu != here ? rq->cpu : NULL;
    if (rq->idle) { /* an idle CPU looks at its queue before it sleeps */
        end_idling(rq);
        return other;
    }
    if (t->vruntime + WAKE_PREEMPTS_NS < running->vruntime && !defers(t, rq)) {
        __atomic_fetch_or(&running->work, (u32)WORK_RESCHED, __ATOMIC_SEQ_CST);
        if (!other && !gives_way)
            irq_pend(PEND_KICK);
    }
    if (!other && running->state != THREAD_DEAD && !timer_is_set(&rq->slice_timer))
        timer_set(&rq->slice_timer, now + SLICE_NS);
    return other;
}

static struct cpu *queue_woken_locked(struct runqueue *rq, struct thread *t)
{
    return place_woken_locked(rq, t, false);
}

static void kick_if(struct cpu *cpu)
{
    if (unlikely(cpu))
        irq_pend_on(cpu, PEND_KICK);
}

static void queue_woken(struct runqueue *rq, struct thread *t, u64 from_min)
{
    spin_lock(&rq->lock); /* @t is awake and in no queue: nobody else touches it */
    shift_vruntime(t, rq->min_vruntime, from_min);
    struct cpu *kicked = queue_woken_locked(rq, t);
    spin_unlock(&rq->lock);
    kick_if(kicked);
}

/** The same of who has not left the CPU yet, or idles in place. */
static void wake_in_place_and_unlock(struct runqueue *rq)
{
    struct cpu *rests = rq->idle && rq->cpu != this_cpu() ? rq->cpu : NULL;

    if (rq->idle)
        end_idling(rq);
    spin_unlock(&rq->lock);
    kick_if(rests);
}

/** Make @t, whose state the caller knows to be asleep, run; @rq is locked and is unlocked here. */
static inline __attribute__((always_inline)) void wake_and_unlock(struct runqueue *rq,
                                                                  struct thread *t, bool gives_way)
{
    t->state = THREAD_RUNNING;
    if (rq->running == t) {
        wake_in_place_and_unlock(rq);
        return;
    }
    struct runqueue *to = choose_rq(rq, t);
    if (unlikely(to != rq)) {
        u64 from_min = rq->min_vruntime;
        spin_unlock(&rq->lock);
        queue_woken(to, t, from_min);
        return;
    }
    struct cpu *busy = place_woken_locked(rq, t, gives_way);
    spin_unlock(&rq->lock);
    kick_if(busy);
}

/* Who was between two queues when we locked the first may have run and sleep again, on the other:
 * its state is read first, and then whose lock we need for it. */
static bool wake(struct thread *t, bool interruptible_only, bool gives_way)
{
    for (;;) {
        u32 id = __atomic_load_n(&t->cpu, __ATOMIC_RELAXED);
        struct runqueue *rq = cpus[id]->rq;
        spin_lock(&rq->lock);
        u32 state = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);
        if (unlikely(state != THREAD_SLEEP_INTR && (interruptible_only || state != THREAD_SLEEP))) {
            spin_unlock(&rq->lock);
            return false;
        }
        if (likely(id == __atomic_load_n(&t->cpu, __ATOMIC_RELAXED))) {
            wake_and_unlock(rq, t, gives_way);
            return true;
        }
        spin_unlock(&rq->lock);
    }
}

/* Packets of one burst wake the same thread again and again: 35 instructions of 3,100 of redis. */
bool thread_wake(struct thread *t)
{
    mb(); /* what it is woken for, then its state: it writes and reads them the other way round */
    if (__atomic_load_n(&t->state, __ATOMIC_RELAXED) == THREAD_RUNNING)
        return false;
    return wake(t, false, false);
}

bool thread_wake_giving_way(struct thread *t)
{
    return wake(t, false, true);
}

bool thread_wake_interruptible(struct thread *t)
{
    return wake(t, true, false);
}

static void sleep_ended(struct timer *timer)
{
    struct thread *t = container_of(timer, struct thread, sleep_timer);
    t->timed_out = true;
    thread_wake(t);
}

void sched_thread_init(struct thread *t)
{
    timer_init(&t->sleep_timer, sleep_ended);
    list_init(&t->run_node);
    t->cpu = cpu_id();
    t->affinity = ~0ull;
    t->weight = NICE_0_WEIGHT;
    t->vruntime = this_cpu()->rq->min_vruntime;
    t->state = THREAD_SLEEP;
}

void sched_thread_start(struct thread *t)
{
    if (unlikely(__atomic_load_n(&programs_stopped, __ATOMIC_RELAXED)) && t->process)
        t->work |= WORK_PARK;
    struct runqueue *own = rq_of(t), *rq = choose_rq_of_new(t);
    spin_lock(
        &own->lock); /* others may have found it, and believe its state while they have this */
    t->state = THREAD_RUNNING;
    if (rq != own) {
        spin_unlock(&own->lock);
        spin_lock(&rq->lock);
    }
    if (likely(t->weight))
        t->vruntime = rq->min_vruntime + WAKE_CREDIT_NS; /* a child never preempts its parent */
    struct cpu *busy = queue_woken_locked(rq, t);
    spin_unlock(&rq->lock);
    kick_if(busy);
}

/* ---- switching ---- */

/** Take a thread from another queue that @rq's CPU may run. True if there was one. */
static bool steal(struct runqueue *rq)
{
    struct cpu *cpu;
    cpu_for_each(cpu, i) {
        struct runqueue *from = cpu->rq;
        if (from == rq || !__atomic_load_n(&from->nr_queued, __ATOMIC_RELAXED) ||
            !spin_trylock(&from->lock))
            continue;
        struct thread *t, *found = NULL;
        list_for_each(t, &from->queue, run_node)
            if (cpu_allowed(t, rq->cpu->arch.id))
                found = t; /* the last one, whose cache is coldest */
        if (found) {
            list_remove(&found->run_node);
            from->nr_queued--;
            shift_vruntime(found, 0, from->min_vruntime);
        }
        spin_unlock(&from->lock);
        if (!found)
            continue;
        spin_lock(&rq->lock);
        shift_vruntime(found, rq->min_vruntime, 0);
        set_cpu(found, rq);
        enqueue_from_head(rq, found);
        spin_unlock(&rq->lock);
        return true;
    }
    return false;
}

bool (*sched_look)(bool rests);

/** Nothing to run: wait for an interrupt on the current thread's stack. @rq is locked, before and
 * after. */
static __attribute__((noinline)) void idle_locked(struct runqueue *rq)
{
    u64 since = time_ns();
    u64 bit = cpu_count > 1 ? cpu_bit(rq->cpu->arch.id) : 0;
    rq->idle = true;
    rq->idle_since_ns = since;
    spin_unlock(&rq->lock);
    if (unlikely(bit)) /* a barrier: who queues a thread elsewhere sees us, or we see it */
        __atomic_fetch_or(&cpus_idle, bit, __ATOMIC_SEQ_CST);
    if (!bit || !steal(rq)) {
        if (!irq_is_pending() && !(sched_look && sched_look(true)))
            plat.cpu_idle();
        irq_run_pending();
    }
    if (unlikely(bit)) {
        __atomic_fetch_and(&cpus_idle, ~bit, __ATOMIC_RELAXED);
        watch_begin();
    }
    spin_lock(&rq->lock);
    rq->idle = false;
    if (rq->nr_queued || rq->running->state == THREAD_RUNNING)
        account_begin(rq); /* else it was woken for nothing, by a sample perhaps */
    u64 now = time_ns();
    rq->idle_ns += now - since;
    rq->running->run_start_ns = now;
}

/** Must @prev not even idle here?  One that has ended would keep its memory, one that runs belongs
 * to another CPU. */
static bool must_leave(const struct runqueue *rq, const struct thread *prev)
{
    if (prev->state == THREAD_DEAD)
        return true;
    return prev->state == THREAD_RUNNING && !cpu_allowed(prev, rq->cpu->arch.id);
}

/** Nobody waits, or @prev may not stay: who runs next, or NULL: see who is first in the queue now.
 */
static __attribute__((noinline)) struct thread *wait_for_next_locked(struct runqueue *rq,
                                                                     struct thread *prev)
{
    if (unlikely(rq->home) && must_leave(rq, prev)) {
        if (prev->state == THREAD_RUNNING)
            prev->state = THREAD_MOVING;
        return rq->nr_queued ? NULL : rq->home;
    }
    if (prev->state == THREAD_RUNNING)
        return prev;
    idle_locked(rq);
    return NULL;
}

/** Who runs next; waits until there is somebody. @rq is locked. */
static inline struct thread *pick_next_locked(struct runqueue *rq, struct thread *prev)
{
    bool again;

    while (again = prev->state == THREAD_RUNNING,
           unlikely(!rq->nr_queued) || (again && unlikely(rq->home) && must_leave(rq, prev))) {
        struct thread *next = wait_for_next_locked(rq, prev);
        if (next)
            return next;
    }
    if (again)
        enqueue_again(rq, prev);
    return dequeue_first(rq);
}

void sched_move_elsewhere(struct thread *t)
{
    struct runqueue *own = rq_of(t), *to = choose_rq(own, t);
    u64 from_min = own->min_vruntime;
    t->state = THREAD_RUNNING;
    queue_woken(to, t, from_min);
}

static inline void finish_switch(void)
{
    struct runqueue *rq = this_cpu()->rq;
    struct thread *last = rq->last;
    u32 state = last->state;
    spin_unlock(&rq->lock);
    mb(); /* we are current: who marks us after this interrupts us; before, we see the mark */
    if (unlikely(state >= THREAD_DEAD)) {
        if (state == THREAD_DEAD)
            thread_put(last);
        else
            sched_move_elsewhere(last);
    }
    pend_own_work();
}

void sched_finish_switch(void)
{
    finish_switch();
}

static inline void switch_to(struct runqueue *rq, struct thread *prev, struct thread *next)
{
    struct cpu *cpu = rq->cpu;
    rq->switches++;
    rq->running = next;
    rq->last = prev;
    cpu->arch.thread = next;
    cpu->arch.kstack_top = next->kstack_top;
    if (next->mm && next->mm != cpu->mm)
        mm_switch(next->mm);
    arch_switch(&prev->arch, &next->arch);
    finish_switch(); /* perhaps on another CPU than before */
}

/** @charged: the current thread has just been, when it woke another. @rq, its own, is locked and is
 * unlocked here. */
static void leave_cpu_and_unlock(struct runqueue *rq, bool charged)
{
    struct thread *prev = current;

    if (likely(!charged))
        charge(prev, time_ns());
    if (prev->work & WORK_RESCHED)
        __atomic_fetch_and(&prev->work, ~(u32)WORK_RESCHED, __ATOMIC_RELAXED);
    if (prev->state == THREAD_RUNNING)
        prev->preemptions++;
    else
        prev->switches++;
    struct thread *next = pick_next_locked(rq, prev);
    if (next == prev) {
        spin_unlock(&rq->lock);
        pend_own_work();
        return;
    }
    if (prev->rseq && !frame_is_syscall(arch_frame_of(prev->kstack_top)))
        __atomic_fetch_or(&prev->work, (u32)WORK_RSEQ, __ATOMIC_RELAXED);
    next->run_start_ns = prev->run_start_ns;
    switch_to(rq, prev, next);
}

void schedule(void)
{
    struct runqueue *rq = this_cpu()->rq;

    may_sleep();
    spin_lock(&rq->lock);
    leave_cpu_and_unlock(rq, false);
}

void thread_leave_for_woken(void)
{
    struct runqueue *rq = this_cpu()->rq;

    may_sleep();
    spin_lock(&rq->lock);
    leave_cpu_and_unlock(rq, true);
}

void sched_exit(bool charged)
{
    struct runqueue *rq = this_cpu()->rq;

    may_sleep();
    spin_lock(&rq->lock); /* a waker that has just seen us asleep writes the state too */
    current->state = THREAD_DEAD;
    leave_cpu_and_unlock(rq, charged);
    panic("a dead thread ran again");
}

void thread_yield(void)
{
    struct runqueue *rq = this_cpu()->rq;
    if (!rq->nr_queued)
        return;
    spin_lock(&rq->lock);
    charge(current, time_ns());
    if (unlikely(!current->weight)) {
        current->vruntime = realtime_place(current) + 1; /* behind those of its priority */
    } else if (rq->nr_queued) {                          /* behind all that wait now */
        struct thread *last = list_last(&rq->queue, struct thread, run_node);
        if (current->vruntime < last->vruntime)
            current->vruntime = last->vruntime;
    }
    spin_unlock(&rq->lock);
    schedule();
    if (unlikely(!current->weight))
        current->vruntime = realtime_place(current);
}

void sched_point(void)
{
    if (likely(!irq_is_pending()))
        return;
    irq_run_pending();
    if (__atomic_load_n(&current->work, __ATOMIC_RELAXED) & WORK_RESCHED)
        schedule();
    pend_own_work();
}

void sched_park(void)
{
    for (;;) {
        thread_prepare_sleep(false);
        schedule();
    }
}

/** Once for each mark. */
static void take_sample(const struct trap_frame *frame)
{
    __atomic_fetch_and(&current->work, ~(u32)WORK_PROFILE, __ATOMIC_ACQ_REL);
    profile_take(frame);
}

void program_exit_work(struct trap_frame *frame)
{
    for (;;) {
        if (irq_is_pending())
            irq_run_pending();
        u32 work = __atomic_load_n(&current->work, __ATOMIC_ACQUIRE);
        if (!work)
            return;
        if (unlikely(work & WORK_PARK))
            sched_park();
        if (work & WORK_EXIT)
            thread_exit();
        if (work & WORK_RESCHED)
            schedule();
        if (work & WORK_RSEQ)
            rseq_update(frame);
        if (unlikely(work & WORK_PROFILE))
            take_sample(frame);
        if (work & WORK_SIGNAL)
            signal_deliver(frame);
    }
}

/** Threads wait here, and none idles: give one to a CPU that has at least two fewer. */
static void share_queue(struct runqueue *rq)
{
    struct thread *t, *given = NULL;
    struct runqueue *to = NULL;

    spin_lock(&rq->lock);
    list_for_each(t, &rq->queue, run_node) {
        to = least_loaded(t);
        if (__atomic_load_n(&to->nr_queued, __ATOMIC_RELAXED) + 2 <= rq->nr_queued)
            given = t; /* the last one, whose cache is coldest */
    }
    if (given) {
        to = least_loaded(given);
        list_remove(&given->run_node);
        rq->nr_queued--;
    }
    u64 from_min = rq->min_vruntime;
    spin_unlock(&rq->lock);
    if (!given)
        return;
    queue_woken(to, given, from_min);
}

void runqueue_init(struct runqueue *rq, struct cpu *cpu)
{
    rq->cpu = cpu;
    list_init(&rq->queue);
    rq->min_vruntime = 1ull << 40; /* so that a credit never wraps */
    timer_init(&rq->slice_timer, slice_ended);
    watch_init(rq);
    account_init(rq);
    cpu->rq = rq;
}

#ifdef INGOT_DEBUG
static struct locks_held *held_by_current(void)
{
    return current ? &current->locks_held : NULL;
}
#endif

void sched_init(void)
{
    static struct thread boot_thread;
    struct cpu *cpu = this_cpu();
    struct runqueue *rq = &boot_runqueue;

    runqueue_init(rq, cpu);

    struct thread *t = &boot_thread;
    sched_thread_init(t);
    t->state = THREAD_RUNNING;
    t->refs = 2; /* never freed */
    t->kstack_top = cpu->arch.kstack_top;
    memcpy(t->name, "boot", 5);
    list_init(&t->process_node);
    rq->running = t;
    cpu->idle = t;
    cpu->arch.thread = t;
#ifdef INGOT_DEBUG
    lock_check_set_thread(held_by_current);
#endif
    irq_set_handler(PEND_KICK, kicked, NULL);
    wait_init();
    posix_timers_init();
}
