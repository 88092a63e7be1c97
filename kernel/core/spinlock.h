/* A lock that keeps other CPUs out.  It never disables interrupts: interrupt handlers only set a
 * bit (docs/architecture.md, the one rule of context).  The holder must not sleep.  Order:
 * docs/locking.md. */
#pragma once

#include "arch/atomic.h"
#include "core/lock_check.h"

struct spinlock {
    u32 locked; /* 0 free, 1 held */
#ifdef INGOT_DEBUG
    struct lock_class *class; /* [A] NULL: nobody has taken it yet */
#endif
};

#define SPINLOCK_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

#ifdef INGOT_DEBUG

void spin_lock_checked(struct spinlock *l, struct lock_class *site);
bool spin_trylock_checked(struct spinlock *l, struct lock_class *site);
void spin_unlock(struct spinlock *l);

#define spin_init(l)                                                                               \
    ({                                                                                             \
        static struct lock_class lock_class_ = LOCK_CLASS(l);                                      \
        *(l) = (struct spinlock){0, &lock_class_};                                                 \
    })
#define spin_lock(l)                                                                               \
    ({                                                                                             \
        static struct lock_class lock_class_ = LOCK_CLASS(l);                                      \
        spin_lock_checked((l), &lock_class_);                                                      \
    })
#define spin_trylock(l)                                                                            \
    ({                                                                                             \
        static struct lock_class lock_class_ = LOCK_CLASS(l);                                      \
        spin_trylock_checked((l), &lock_class_);                                                   \
    })

#else

void spin_lock_slow(struct spinlock *l);

static inline void spin_init(struct spinlock *l)
{
    l->locked = 0;
}
/** Take the lock if it is free; returns whether it was taken. */
static inline bool spin_trylock(struct spinlock *l)
{
    return __atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE) == 0;
}
static inline void spin_lock(struct spinlock *l)
{
    if (unlikely(!spin_trylock(l)))
        spin_lock_slow(l);
}
static inline void spin_unlock(struct spinlock *l)
{
    __atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
}

#endif

/** For assertions: somebody holds it. */
static inline bool spin_held(const struct spinlock *l)
{
    return __atomic_load_n(&l->locked, __ATOMIC_RELAXED) != 0;
}

/* A sequence count: readers of a few words that never block the writer.  One writer at a time. */
struct seqcount {
    u32 seq; /* odd while a write is going on */
};

static inline u32 seq_read_begin(const struct seqcount *s)
{
    u32 v;
    while ((v = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE)) & 1)
        cpu_relax();
    return v;
}
static inline bool seq_read_retry(const struct seqcount *s, u32 start)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&s->seq, __ATOMIC_RELAXED) != start;
}
static inline void seq_write_begin(struct seqcount *s)
{
    __atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}
static inline void seq_write_end(struct seqcount *s)
{
    __atomic_store_n(&s->seq, s->seq + 1, __ATOMIC_RELEASE);
}
