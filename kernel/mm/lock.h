/* The lock of an address space: one may change it, or several may look and resolve faults.  It may
 * be held across I/O, so waiters sleep, in order of arrival: who lets go hands it over to the
 * first, and with him to all behind him who share it as he does.  Sleeping belongs to a higher
 * room, which hands its functions down with mm_set_lock_hooks(). */
#pragma once

#include "core/spinlock.h"
#include "lib/list.h"

/* Bits of mm_lock.state; the others count those who share it. */
#define MM_LOCK_OWNED  0x80000000u /* by one alone */
#define MM_LOCK_WAITED 0x40000000u /* somebody waits; nobody else comes in before him */
#define MM_LOCK_SHARED 0x3fffffffu

struct mm_lock {
    u32 state;                /* [A]; WAITED is set where .waiters are, and changes under [Q] */
    struct spinlock queue;    /* Q: after all that spin but a run queue's */
    struct list_head waiters; /* [Q] struct mm_waiter in order of arrival */
};

/* What a waiter does: once it is woken it has the lock, or is to try for it again. */
enum mm_wake { MM_WAITS, MM_TRIES, MM_HAS_IT };

/* On the stack of a thread that waits. */
struct mm_waiter {
    struct list_head node; /* [Q] */
    void *thread;          /* [I] as the hooks know it */
    bool shared;           /* [I] */
    u32 tries;             /* [C] how often it has queued up */
    enum mm_wake how;      /* [A] set under Q; MM_WAITS where it is in the queue */
};

/** Is it still in the queue?  Without a lock: what its waker wrote before is seen. */
static inline bool mm_waits(const struct mm_waiter *w)
{
    return __atomic_load_n(&w->how, __ATOMIC_ACQUIRE) == MM_WAITS;
}

/** Who runs; sleep while mm_waits(@waiter); wake that thread. */
struct mm_lock_hooks {
    void *(*self)(void);
    void (*wait)(struct mm_waiter *waiter);
    void (*wake)(void *thread);
};
/** At start, before a second program thread exists. @hooks is borrowed for ever. */
void mm_set_lock_hooks(const struct mm_lock_hooks *hooks);

/** A free one. */
void mm_lock_init(struct mm_lock *lock);
/** What mm_lock() and the other three do where somebody else has the lock, or waits for it. */
void mm_lock_slow(struct mm_lock *lock);
void mm_lock_shared_slow(struct mm_lock *lock);
void mm_unlock_slow(struct mm_lock *lock);
void mm_unlock_shared_slow(struct mm_lock *lock);

#ifdef INGOT_DEBUG
/* What the debug kernel looks at; elsewhere nothing. */
extern struct lock_class mm_lock_class;
static inline void mm_lock_check_taken(struct mm_lock *lock)
{
    lock_check_taken(lock, &mm_lock_class, true, 0);
}
static inline void mm_lock_check(struct mm_lock *lock)
{
    lock_check_order(lock, &mm_lock_class, true);
    mm_lock_check_taken(lock);
}
static inline void mm_lock_check_released(struct mm_lock *lock)
{
    lock_check_released(lock, true);
}
#else
static inline void mm_lock_check_taken(struct mm_lock *lock)
{
    (void)lock;
}
static inline void mm_lock_check(struct mm_lock *lock)
{
    (void)lock;
}
static inline void mm_lock_check_released(struct mm_lock *lock)
{
    (void)lock;
}
#endif

/** mm_trylock() without a word to the debug kernel. */
static inline bool mm_lock_is_got(struct mm_lock *lock)
{
    u32 free = 0;

    return __atomic_compare_exchange_n(&lock->state, &free, MM_LOCK_OWNED, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}
/** Take it alone if nobody has it and nobody waits. */
static inline bool mm_trylock(struct mm_lock *lock)
{
    bool got = mm_lock_is_got(lock);

    if (got)
        mm_lock_check_taken(lock);
    return got;
}
/** Take it alone. */
static inline void mm_lock(struct mm_lock *lock)
{
    mm_lock_check(lock);
    if (unlikely(!mm_lock_is_got(lock)))
        mm_lock_slow(lock);
}
/** Let go of it, who had it alone. */
static inline void mm_unlock(struct mm_lock *lock)
{
    u32 owned = MM_LOCK_OWNED;

    mm_lock_check_released(lock);
    if (unlikely(!__atomic_compare_exchange_n(&lock->state, &owned, 0, false, __ATOMIC_RELEASE,
                                              __ATOMIC_RELAXED)))
        mm_unlock_slow(lock);
}

/** Take it together with others who do no more than look and map pages where none are. */
static inline void mm_lock_shared(struct mm_lock *lock)
{
    mm_lock_check(lock);
    u32 before = __atomic_fetch_add(&lock->state, 1, __ATOMIC_ACQUIRE);

    if (unlikely(before & (MM_LOCK_OWNED | MM_LOCK_WAITED)))
        mm_lock_shared_slow(lock);
}
/** Let go of it, who had it with others. */
static inline void mm_unlock_shared(struct mm_lock *lock)
{
    mm_lock_check_released(lock);
    if (unlikely(__atomic_sub_fetch(&lock->state, 1, __ATOMIC_RELEASE) == MM_LOCK_WAITED))
        mm_unlock_shared_slow(lock);
}

/** For assertions: somebody holds it, alone or not. */
static inline bool mm_lock_held(const struct mm_lock *lock)
{
    return __atomic_load_n(&lock->state, __ATOMIC_RELAXED) & (MM_LOCK_OWNED | MM_LOCK_SHARED);
}
