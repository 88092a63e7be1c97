#include "core/spinlock.h"

/* Wait on a plain read, so that the line stays shared until it is worth trying. */
void spin_lock_slow(struct spinlock *l)
{
    do {
        while (spin_held(l))
            cpu_relax();
    } while (!spin_trylock(l));
}
