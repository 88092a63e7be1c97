#include "mm/lock.h"

#include "arch/atomic.h"

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

void mm_lock_slow(struct mm_lock *lock)
{
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0)
        hooks->wait(&lock->state, 2);
}

void mm_unlock_slow(struct mm_lock *lock)
{
    hooks->wake(&lock->state);
}
