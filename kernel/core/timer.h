/* One-shot timers on absolute monotonic deadlines, one heap a CPU, tickless.
 * Callbacks run at safe points in thread context (whatever thread is there) and must not sleep. */
#pragma once

#include "lib/pheap.h"
#include "lib/types.h"

struct cpu;

struct timer {
    struct pheap_node node;     /* [T] by the timer lock of .cpu */
    u64 deadline_ns;            /* [T] monotonic */
    void (*fn)(struct timer *); /* [I] may set the timer again */
    struct cpu *cpu;            /* [T] whose heap it is in, NULL: not set */
};

/** A timer that is not set.  @fn: see above. */
void timer_init(struct timer *t, void (*fn)(struct timer *));

/** Set (or move) the timer to @deadline_ns on the running CPU; past deadlines fire at the next safe
 * point. */
void timer_set(struct timer *t, u64 deadline_ns);

/**
 * Unset it.  Returns true if it was set and will not fire; false if it was not, or its callback
 * ran. When it returns the callback is not running on another CPU, so the memory may be freed. Must
 * not be called from the callback itself, nor holding a lock the callback takes.
 */
bool timer_cancel(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
    return t->cpu != NULL;
}

/** Run what is due and arm the hardware for the next.  Called through PEND_TIMER. */
void timers_run(void);

/** The next deadline on this CPU, TIME_NEVER if none. */
u64 timer_next_ns(void);

/** At start, once a CPU. */
void timers_init(void);
