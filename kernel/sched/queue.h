/* The order of a run queue, for sched.c and policy.c alone: by virtual run time, so that who had
 * least comes first. Real-time threads stand before all others in the same order: theirs is a small
 * number for their priority, and does not grow.  All with the queue's lock held. */
#pragma once

#include "abi/sched.h"
#include "sched/sched_priv.h"

enum {
    NICE_0_WEIGHT = 1024,
    RT_PRIORITIES = 100,
    RT_STEP_NS = 2000000, /* so far before the next priority a real-time thread is */
};

/** May @t run on @cpu? */
static inline bool cpu_allowed(const struct thread *t, u32 cpu)
{
    return t->affinity >> cpu & 1;
}

/** What a thread of another weight than nice 0's is charged for @delta. */
static inline u64 weighted(const struct thread *t, u64 delta)
{
    return t->weight ? delta * NICE_0_WEIGHT / t->weight : 0;
}

/** @t has run from its .run_start_ns to @now, in ns. */
static inline void charge(struct thread *t, u64 now)
{
    u64 delta = likely(now > t->run_start_ns) ? now - t->run_start_ns : 0; /* clocks of two CPUs */
    t->run_start_ns = now;
    t->cpu_time_ns += delta;
    t->vruntime += likely(t->weight == NICE_0_WEIGHT) ? delta : weighted(t, delta);
}

/** Everybody on this queue has had so much: the running thread's @vruntime, and who waits. */
static inline void advance_min(struct runqueue *rq, u64 vruntime)
{
    if (rq->nr_queued)
        vruntime = min(vruntime, list_first(&rq->queue, struct thread, run_node)->vruntime);
    if (vruntime > rq->min_vruntime)
        rq->min_vruntime = vruntime;
}

/** Where a real-time thread stands in the queue: far before whoever has a run time. */
static inline u64 realtime_place(const struct thread *t)
{
    return (u64)(RT_PRIORITIES - t->rt_priority) * RT_STEP_NS;
}

/** Queue @t before @place, the list's head for the end. */
static inline void link_before(struct runqueue *rq, struct thread *t, struct list_head *place)
{
    list_insert_between(&t->run_node, place->prev, place);
    rq->nr_queued++;
}

/** A thread that gives up the CPU: its place is near the end. */
static inline void enqueue_from_tail(struct runqueue *rq, struct thread *t)
{
    struct list_head *place = &rq->queue;
    while (place->prev != &rq->queue &&
           list_entry(place->prev, struct thread, run_node)->vruntime > t->vruntime)
        place = place->prev;
    link_before(rq, t, place);
}

/** The running thread must wait; one of SCHED_FIFO stays the first of its priority. */
static inline void enqueue_again(struct runqueue *rq, struct thread *t)
{
    struct list_head *place = &rq->queue;

    if (likely(t->policy != SCHED_FIFO)) {
        enqueue_from_tail(rq, t);
        return;
    }
    do
        place = place->next;
    while (place != &rq->queue &&
           list_entry(place, struct thread, run_node)->vruntime < t->vruntime);
    link_before(rq, t, place);
}

/** A thread that wakes: its place is near the front. */
static inline void enqueue_from_head(struct runqueue *rq, struct thread *t)
{
    struct list_head *place = rq->queue.next;
    while (place != &rq->queue &&
           list_entry(place, struct thread, run_node)->vruntime <= t->vruntime)
        place = place->next;
    link_before(rq, t, place);
}

/** Who comes next where real-time threads have had their share: the first of the others. */
static inline struct thread *first_fair(struct runqueue *rq)
{
    struct thread *t;

    list_for_each(t, &rq->queue, run_node) {
        if (t->weight)
            return t;
    }
    rq->fair_turn = false;
    return list_first(&rq->queue, struct thread, run_node);
}

/** Take off who runs next; the queue is not empty. */
static inline struct thread *dequeue_first(struct runqueue *rq)
{
    struct thread *t = list_first(&rq->queue, struct thread, run_node);
    if (unlikely(rq->fair_turn))
        t = first_fair(rq);
    list_remove(&t->run_node);
    rq->nr_queued--;
    if (t->vruntime > rq->min_vruntime)
        rq->min_vruntime = t->vruntime;
    return t;
}

/** @t comes to a queue that is @to far from where its own was. */
static inline void shift_vruntime(struct thread *t, u64 to, u64 from)
{
    if (likely(t->weight))
        t->vruntime += to - from;
    else
        t->vruntime = realtime_place(t); /* perhaps it was not one before it left */
}
