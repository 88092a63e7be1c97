/* A hierarchical timer wheel: four levels of 64 slots, ticks of a millisecond, setting and
 * cancelling in constant time.  Beyond 4.6 hours a timer fires early and its owner sets it again.
 * The owner locks. */
#pragma once

#include "lib/list.h"

enum { WHEEL_LEVELS = 4, WHEEL_SLOT_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS };

struct shard;

struct wheel_timer {
    struct list_head node; /* unlinked: not set */
    u32 tick;              /* when it fires */
    /** [I] called by who pops it, with the owner locked; may set it again */
    void (*fire)(struct shard *shard, struct wheel_timer *timer);
};

struct wheel {
    u32 now;                /* all before this have been popped */
    u32 count;              /* timers that are set */
    u64 used[WHEEL_LEVELS]; /* slots that may hold something */
    struct list_head slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/** An empty wheel at tick @now. */
void wheel_init(struct wheel *wheel, u32 now);
/** A timer that is not set. */
static inline void wheel_timer_init(struct wheel_timer *timer,
                                    void (*fire)(struct shard *, struct wheel_timer *))
{
    list_init(&timer->node);
    timer->fire = fire;
}
static inline bool wheel_timer_is_set(const struct wheel_timer *timer)
{
    return !list_empty(&timer->node);
}
/** Set or move @timer to @tick; a tick that is past becomes the next one. @now: the present tick.
 */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, u32 tick, u32 now);
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);
/** The next timer due at or before @now, unlinked; NULL: no more, and the wheel stands at @now. */
struct wheel_timer *wheel_pop(struct wheel *wheel, u32 now);
/** When the wheel has to be looked at next, in *@tick; false: it is empty. */
bool wheel_next(const struct wheel *wheel, u32 *tick);
