#include "core/spinlock.h"

#ifdef INGOT_DEBUG

#include "arch/cpu.h"

static bool try_once(struct spinlock *l)
{
    return __atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE) == 0;
}

static struct lock_class *class_of(struct spinlock *l, struct lock_class *site)
{
    struct lock_class *class = NULL;

    if (__atomic_compare_exchange_n(&l->class, &class, site, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        return site;
    return class;
}

void spin_lock_checked(struct spinlock *l, struct lock_class *site)
{
    struct lock_class *class = class_of(l, site);
    u64 wait_ticks = 0;

    lock_check_order(l, class, false);
    if (!try_once(l)) {
        u64 since = rdtsc();
        do {
            while (spin_held(l))
                cpu_relax();
        } while (!try_once(l));
        wait_ticks = rdtsc() - since;
    }
    lock_check_taken(l, class, false, wait_ticks);
}

bool spin_trylock_checked(struct spinlock *l, struct lock_class *site)
{
    if (!try_once(l))
        return false;
    lock_check_taken(l, class_of(l, site), false, 0);
    return true;
}

void spin_unlock(struct spinlock *l)
{
    lock_check_released(l, false);
    __atomic_store_n(&l->locked, 0, __ATOMIC_RELEASE);
}

#else

#include "plat/plat.h"

enum { LOOKS = 1024 }; /* some 40 us: longer than any lock is held by a CPU that runs */

/* Wait on a plain read, so that the line stays shared until it is worth trying. */
void spin_lock_slow(struct spinlock *l)
{
    u32 looks = 0;

    do {
        while (spin_held(l)) {
            cpu_relax();
            if (++looks % LOOKS == 0 && plat.cpu_yield)
                plat.cpu_yield();
        }
    } while (!spin_trylock(l));
}

#endif
