/* The lock of an address space: it may be held across I/O, so waiters sleep.  Sleeping belongs to a
 * higher room, which hands its two functions down with mm_set_lock_hooks(). */
#pragma once

#include "lib/types.h"

struct mm_lock {
    u32 state; /* [A] 0 free, 1 held, 2 held and somebody waits */
};

/** Sleep while *@word is @value, and wake everybody who sleeps on @word. */
struct mm_lock_hooks {
    void (*wait)(u32 *word, u32 value);
    void (*wake)(u32 *word);
};
/** At start, before a second program thread exists. @hooks is borrowed for ever. */
void mm_set_lock_hooks(const struct mm_lock_hooks *hooks);

void mm_lock_slow(struct mm_lock *lock);
void mm_unlock_slow(struct mm_lock *lock);

static inline void mm_lock(struct mm_lock *lock)
{
    u32 free = 0;

    if (unlikely(!__atomic_compare_exchange_n(&lock->state, &free, 1, false, __ATOMIC_ACQUIRE,
                                              __ATOMIC_RELAXED)))
        mm_lock_slow(lock);
}
static inline void mm_unlock(struct mm_lock *lock)
{
    if (unlikely(__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2))
        mm_unlock_slow(lock);
}
static inline bool mm_lock_held(const struct mm_lock *lock)
{
    return __atomic_load_n(&lock->state, __ATOMIC_RELAXED) != 0;
}
