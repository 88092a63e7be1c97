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

/** What the macros below call: @site is the class of a lock that nobody has initialised. */
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

/** spin_lock() where somebody else has it: look until it is free. */
void spin_lock_slow(struct spinlock *l);

/** A free one. */
static inline void spin_init(struct spinlock *l)
{
    l->locked = 0;
}
/** Take the lock if it is free; returns whether it was taken. */
static inline bool spin_trylock(struct spinlock *l)
{
    return __atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE) == 0;
}
/** Take it, however long that takes; the holder must not sleep.  See the top for interrupts. */
static inline void spin_lock(struct spinlock *l)
{
    if (unlikely(!spin_trylock(l)))
        spin_lock_slow(l);
}
/** Let go: what was written under it is seen by who takes it next. */
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
