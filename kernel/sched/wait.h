/* Waiting.  A wait queue holds entries; each entry says what happens when the queue is woken: a
 * thread becomes runnable, an epoll item becomes ready, a poll call is told.  This is the one
 * readiness primitive: every descriptor that can be waited for has one queue and a ready() mask. */
#pragma once

#include "core/panic.h"
#include "core/percpu.h"
#include "lib/list.h"

struct thread;
struct wait_entry;

#define NO_DEADLINE UINT64_MAX

struct waitq {
    struct spinlock lock;     /* a leaf but for a run queue's lock and an epoll's ready lock */
    struct list_head waiters; /* [L] struct wait_entry; exclusive ones at the tail */
};

/** Called with the queue locked; @events are POLL* bits. Returns true if an exclusive wake was
 * used. */
typedef bool wake_fn(struct wait_entry *entry, u32 events);

struct wait_entry {
    struct list_head node; /* [L] of the queue */
    wake_fn *wake;         /* [I] while queued */
    struct thread *thread; /* [I] for wake_thread; else free for the owner */
    bool exclusive;        /* [I] */
};

#ifdef INGOT_DEBUG
#define waitq_init(q)                                                                              \
    ({                                                                                             \
        struct waitq *waitq_ = (q);                                                                \
        static struct lock_class lock_class_ = LOCK_CLASS(q);                                      \
        waitq_->lock = (struct spinlock){0, &lock_class_};                                         \
        list_init(&waitq_->waiters);                                                               \
    })
#else
/** A queue with nobody in it. */
void waitq_init(struct waitq *q);
#endif
/** Wake every shared waiter and up to @nr_exclusive exclusive ones; POLL* bits in @events. */
void waitq_wake(struct waitq *q, u32 events, unsigned nr_exclusive);
/** Wake all of them. */
static inline void waitq_wake_all(struct waitq *q, u32 events);
/** As waitq_wake(), for who has seen waitq_has_waiters(). */
void waitq_wake_waiters(struct waitq *q, u32 events, unsigned nr_exclusive);
/** Wake all, with q->lock held: for who must not touch the queue once it is unlocked. */
void waitq_wake_locked(struct waitq *q, u32 events);
/** Prepare @entry to wake the current thread. */
void wait_entry_init(struct wait_entry *entry);
/** Queue @entry, whose memory is the caller's until waitq_remove(); an exclusive one at the tail.
 */
void waitq_add(struct waitq *q, struct wait_entry *entry);
/** Take @entry off; no wake function of it runs when this returns. */
void waitq_remove(struct waitq *q, struct wait_entry *entry);
/** Does anybody wait? A full barrier, between what the caller did and who looks for it. */
static inline bool waitq_has_waiters(const struct waitq *q)
{
    mb(); /* who waits has added itself before it looked at the condition */
    return !list_empty(&q->waiters);
}

static inline void waitq_wake_all(struct waitq *q, u32 events)
{
    waitq_wake(q, events, UINT32_MAX);
}

/**
 * Sleep until @condition holds: the loop every blocking call uses.
 * @interruptible: a signal ends the wait. @deadline_ns: on the monotonic clock, or NO_DEADLINE.
 * Value: 0, -EINTR (callers return -ERESTARTSYS where Linux restarts), or -ETIMEDOUT.
 */
#define wait_event(q, condition, interruptible, deadline_ns)                                       \
    ({                                                                                             \
        int wait_result_ = 0;                                                                      \
        may_sleep();                                                                               \
        if (!(condition)) {                                                                        \
            struct wait_entry wait_entry_;                                                         \
            wait_entry_init(&wait_entry_);                                                         \
            waitq_add((q), &wait_entry_);                                                          \
            for (;;) {                                                                             \
                thread_prepare_sleep(interruptible);                                               \
                if (condition)                                                                     \
                    break;                                                                         \
                wait_result_ = thread_sleep_until(deadline_ns);                                    \
                if (wait_result_)                                                                  \
                    break;                                                                         \
            }                                                                                      \
            thread_finish_sleep();                                                                 \
            waitq_remove((q), &wait_entry_);                                                       \
            if (wait_result_ && (condition))                                                       \
                wait_result_ = 0;                                                                  \
        }                                                                                          \
        wait_result_;                                                                              \
    })

/** Mark the current thread asleep; a wake between here and thread_sleep_until() is not lost. */
void thread_prepare_sleep(bool interruptible);
/** Give up the CPU until woken. 0 woken, -EINTR (signal pending, interruptible), -ETIMEDOUT. */
int thread_sleep_until(u64 deadline_ns);
/** Mark the current thread running again. */
void thread_finish_sleep(void);

/** [I] A look at devices without interrupts, as a handler of one is called: by who waits for many
 * things, and with @rests by a CPU before it rests, which will have an interrupt then. Has
 * something come? */
extern bool (*sched_look)(bool rests);

/** A lock that sleeps. Not recursive; unlocked by its owner; never taken with a spinlock held. */
struct mutex {
    struct spinlock lock;
    struct thread *owner;     /* [A] NULL: free; taken by compare and exchange where uncontended */
    struct list_head waiters; /* [L] */
#ifdef INGOT_DEBUG
    struct lock_class *class; /* [I] */
#endif
};
#ifdef INGOT_DEBUG
/** mutex_init() with a class of the caller's; debug kernel only. */
void mutex_init_class(struct mutex *m, struct lock_class *class);
#define mutex_init(m)                                                                              \
    ({                                                                                             \
        static struct lock_class lock_class_ = LOCK_CLASS(m);                                      \
        mutex_init_class((m), &lock_class_);                                                       \
    })
#else
static inline void mutex_init(struct mutex *m)
{
    spin_init(&m->lock);
    m->owner = NULL;
    list_init(&m->waiters);
}
#endif
/** Take it; who finds it taken looks for some microseconds while its owner runs, then sleeps, and
 * no signal ends that.  Thread context. */
void mutex_lock(struct mutex *m);
/** Take it if it is free; true if so.  Never sleeps. */
bool mutex_trylock(struct mutex *m);
/** Let go: the first who sleeps for it is its owner at once, so that nobody waits for ever. */
void mutex_unlock(struct mutex *m);
/** The same two in line, for the few calls that do little else. */
#ifdef INGOT_DEBUG
#define mutex_lock_inline   mutex_lock
#define mutex_unlock_inline mutex_unlock
#else
static inline void mutex_lock_inline(struct mutex *m)
{
    struct thread *nobody = NULL;

    if (unlikely(!__atomic_compare_exchange_n(&m->owner, &nobody, current_thread(), false,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
        mutex_lock(m);
}
static inline void mutex_unlock_inline(struct mutex *m)
{
    struct thread *self = current_thread();

    if (unlikely(!__atomic_compare_exchange_n(&m->owner, &self, NULL, false, __ATOMIC_RELEASE,
                                              __ATOMIC_RELAXED)))
        mutex_unlock(m);
}
#endif
/** True if the current thread holds it. */
bool mutex_held(const struct mutex *m);
