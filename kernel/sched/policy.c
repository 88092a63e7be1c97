/* What a thread's share of the CPU is and where it may run: nice, policy, affinity (sched(7)). */
#include "sched/queue.h"

#include "core/irq.h"

enum { IDLE_WEIGHT = 3 /* of SCHED_IDLE */ };

/** Linux's weights: each step of nice is about a quarter of the CPU. */
static const u32 nice_weight[40] = {
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906,  3121,  2501,  1991,  1586,  1277,  1024,  820,   655,   526,   423,  335,  272,  215,
    172,   137,   110,   87,    70,    56,    45,    36,    29,    23,    18,   15,
};

/** Its share, as nice and policy say. [L] held. */
static void set_weight_locked(struct thread *t)
{
    t->weight = t->policy == SCHED_IDLE ? IDLE_WEIGHT : nice_weight[t->nice + 20];
}

void thread_set_nice(struct thread *t, int nice)
{
    struct runqueue *rq = sched_lock_rq_of(t);
    t->nice = min(max(nice, -20), 19);
    if (!sched_is_realtime(t))
        set_weight_locked(t);
    spin_unlock(&rq->lock);
}

bool sched_is_realtime(const struct thread *t)
{
    return t->policy == SCHED_FIFO || t->policy == SCHED_RR;
}

/** Its place among the others, as its policy says. [L] held, in no queue. */
static void set_place_locked(struct runqueue *rq, struct thread *t, bool was_realtime)
{
    if (sched_is_realtime(t)) {
        t->weight = 0;
        t->vruntime = realtime_place(t);
        return;
    }
    set_weight_locked(t);
    if (was_realtime)
        t->vruntime = rq->min_vruntime;
}

void sched_inherit(struct thread *t, const struct thread *from)
{
    t->nice = from->nice;
    if (likely(from->policy == SCHED_OTHER && !from->reset_on_fork)) {
        t->weight = from->weight;
        return;
    }
    if (from->reset_on_fork)
        t->nice = max(from->nice, 0);
    if (!from->reset_on_fork || !sched_is_realtime(from)) {
        t->policy = from->policy;
        t->rt_priority = from->rt_priority;
    }
    set_place_locked(this_cpu()->rq, t, false);
}

void thread_set_policy(struct thread *t, u32 policy, u32 priority)
{
    struct runqueue *rq = sched_lock_rq_of(t);
    bool was_realtime = sched_is_realtime(t);
    bool waits = !list_empty(&t->run_node);

    if (waits) {
        list_remove(&t->run_node);
        rq->nr_queued--;
    }
    t->policy = policy;
    t->rt_priority = priority;
    set_place_locked(rq, t, was_realtime);
    if (waits)
        enqueue_from_head(rq, t);
    if (rq->nr_queued && !rq->idle) /* somebody may stand before who runs now */
        thread_set_work(rq->running, WORK_RESCHED);
    spin_unlock(&rq->lock);
}

void thread_set_affinity(struct thread *t, u64 mask)
{
    struct runqueue *rq = sched_lock_rq_of(t);
    t->affinity = mask;
    bool moves = !cpu_allowed(t, rq->cpu->arch.id);
    bool waits = moves && !list_empty(&t->run_node);
    if (waits) {
        list_remove(&t->run_node);
        rq->nr_queued--;
    }
    spin_unlock(&rq->lock);
    if (waits)
        sched_move_elsewhere(t);
    else if (moves) /* it looks before it goes on */
        thread_set_work(t, WORK_RESCHED);
}
