/* The debug kernel's eye on locks: their order by class, recursion, sleeping with a lock that
 * spins, and how often and how long each class is held and waited for (/proc/lock_stat).
 *
 * A class is the place in the source that initialises a lock, or for one that nobody initialises
 * the place that took it first.  Two locks of one class may be held together in any order: the
 * order within a class (by address, from a parent to its child) is not seen.  Release builds have
 * none of this. */
#pragma once

#include "lib/types.h"

/* [I] but for the numbers, which are [A]. */
struct lock_class {
    const char *name, *file;
    u32 line;
    u32 id;         /* [A] 0: not seen yet */
    u64 taken;      /* times */
    u64 contended;  /* of these after a wait */
    u64 wait_ticks; /* of the TSC, in all */
    u64 hold_ticks; /* spinning ones only */
    u64 hold_max;
    u32 contexts; /* [A] in which it was taken; see lock_check.c */
};

#define LOCK_CLASS(lock)                                                                           \
    {                                                                                              \
        .name = #lock, .file = __FILE__, .line = __LINE__                                          \
    }

enum { LOCKS_HELD_MAX = 24, LOCK_CLASSES_MAX = 256 };

/* What a CPU (locks that spin) or a thread (those that sleep) holds, in the order of taking. */
struct locks_held {
    u32 count;
    struct {
        const void *lock;
        struct lock_class *class;
        u64 since; /* TSC */
    } locks[LOCKS_HELD_MAX];
};

/** Where the running thread notes the locks it sleeps with; NULL: there is no thread yet. */
void lock_check_set_thread(struct locks_held *(*held_by_thread)(void));

/** Before @lock of @class is waited for: panics where that may never end. */
void lock_check_order(const void *lock, struct lock_class *class, bool sleeps);
/** It is ours, after @wait_ticks. */
void lock_check_taken(const void *lock, struct lock_class *class, bool sleeps, u64 wait_ticks);
void lock_check_released(const void *lock, bool sleeps);
/** The caller may sleep: panics if its CPU holds a lock that spins. */
void lock_check_may_sleep(void);
/** At every allocation that may have caches give memory back: who holds a lock that one of them
 * takes would wait for itself where memory is short; panics though it is not. */
void lock_check_may_reclaim(void);
/** Around what caches do to give memory back, where nothing may sleep. */
void lock_check_reclaim(bool begins);
/** Handlers of interrupts run here: panics if the CPU holds a lock that spins, which one of them
 * may take. */
void lock_check_safe_point(void);
/** Around what an interrupt does at once: a lock that it takes must not be held elsewhere with
 * interrupts on. */
void lock_check_interrupt(bool begins);
/** Nothing is checked any more: the machine panics. */
void lock_check_off(void);
/** The class with this number, from 1 on; NULL: there are no more. */
const struct lock_class *lock_class_get(u32 id);
