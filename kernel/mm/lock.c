#include "mm/lock.h"

#include "arch/atomic.h"

#ifdef INGOT_DEBUG
struct lock_class mm_lock_class = LOCK_CLASS(&mm->lock);
#endif

/* Before anybody can sleep there is nobody to wait for but another CPU. */
static void spin_wait(u32 *word, u32 value)
{
    if (__atomic_load_n(word, __ATOMIC_RELAXED) == value)
        cpu_relax();
}

static void wake_nobody(u32 *word)
{
    (void)word;
}

static const struct mm_lock_hooks spin_hooks = {spin_wait, wake_nobody};
static const struct mm_lock_hooks *hooks = &spin_hooks;

void mm_set_lock_hooks(const struct mm_lock_hooks *new)
{
    hooks = new;
}

/* Say in the word that we wait, and sleep until it changes. */
static void wait_while(struct mm_lock *lock, u32 state)
{
    u32 waited = state | MM_LOCK_WAITED;

    if (state == waited || __atomic_compare_exchange_n(&lock->state, &state, waited, false,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        hooks->wait(&lock->state, waited);
}

void mm_lock_slow(struct mm_lock *lock)
{
    for (;;) {
        u32 state = __atomic_load_n(&lock->state, __ATOMIC_RELAXED);
        if (state & (MM_LOCK_OWNED | MM_LOCK_SHARED))
            wait_while(lock, state);
        else if (__atomic_compare_exchange_n(&lock->state, &state, state | MM_LOCK_OWNED, false,
                                             __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
    }
}

/* We have counted ourselves already. */
void mm_lock_shared_slow(struct mm_lock *lock)
{
    mm_unlock_shared(lock);
    for (;;) {
        u32 state = __atomic_load_n(&lock->state, __ATOMIC_RELAXED);
        if (state & (MM_LOCK_OWNED | MM_LOCK_WAITED))
            wait_while(lock, state);
        else if (__atomic_compare_exchange_n(&lock->state, &state, state + 1, false,
                                             __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
    }
}

/* The last of those who shared it; somebody else may have it already, who will wake the others. */
void mm_unlock_shared_slow(struct mm_lock *lock)
{
    u32 waited = MM_LOCK_WAITED;

    if (__atomic_compare_exchange_n(&lock->state, &waited, 0, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        hooks->wake(&lock->state);
}

/* Somebody waits, or has counted himself for a moment: all look again. */
void mm_unlock_slow(struct mm_lock *lock)
{
    u32 before = __atomic_fetch_and(&lock->state, MM_LOCK_SHARED, __ATOMIC_RELEASE);

    if (before & MM_LOCK_WAITED)
        hooks->wake(&lock->state);
}
