#include "mm/lock.h"

#include "arch/atomic.h"

enum { PATIENCE = 16 }; /* times to come too late */

#ifdef INGOT_DEBUG
struct lock_class mm_lock_class = LOCK_CLASS(&mm->lock);
#endif

/* Before anybody can sleep there is nobody to wait for but another CPU. */
static void *nobody(void)
{
    return NULL;
}

static void spin_wait(struct mm_waiter *waiter)
{
    while (mm_waits(waiter))
        cpu_relax();
}

static void wake_nobody(void *thread)
{
    (void)thread;
}

static const struct mm_lock_hooks spin_hooks = {nobody, spin_wait, wake_nobody};
static const struct mm_lock_hooks *hooks = &spin_hooks;

void mm_set_lock_hooks(const struct mm_lock_hooks *new)
{
    hooks = new;
}

void mm_lock_init(struct mm_lock *lock)
{
    lock->state = 0;
    spin_init(&lock->queue);
    list_init(&lock->waiters);
}

static bool change(struct mm_lock *lock, u32 *state, u32 new)
{
    return __atomic_compare_exchange_n(&lock->state, state, new, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

static u32 state_of(const struct mm_lock *lock)
{
    return __atomic_load_n(&lock->state, __ATOMIC_RELAXED);
}

/* Take the first waiter out and wake it. [Q] held. */
static void wake_first(struct mm_lock *lock, enum mm_wake how)
{
    struct mm_waiter *w = list_first(&lock->waiters, struct mm_waiter, node);
    void *thread = w->thread;

    list_remove(&w->node);
    __atomic_store_n(&w->how, how, __ATOMIC_RELEASE); /* it still waits for our [Q] */
    hooks->wake(thread);
}

static bool first_shares(const struct mm_lock *lock)
{
    return !list_empty(&lock->waiters) &&
           list_first(&lock->waiters, struct mm_waiter, node)->shared;
}

/* The first waiter, who has come too late too often, gets it if it is free; if not, who has it
 * comes here again. [Q] held. */
static void hand_over(struct mm_lock *lock)
{
    u32 state = state_of(lock), mine = first_shares(lock) ? 1 : MM_LOCK_OWNED;
    bool more = lock->waiters.next->next != &lock->waiters;

    while (!(state & (MM_LOCK_OWNED | MM_LOCK_SHARED))) {
        if (!change(lock, &state, mine | (more ? MM_LOCK_WAITED : 0)))
            continue;
        wake_first(lock, MM_HAS_IT);
        return;
    }
}

/* Nobody has it, or he lets go of it: let the first waiter try, and with him all behind him who
 * share it as he does. [Q] held. */
static void wake_next(struct mm_lock *lock)
{
    if (list_empty(&lock->waiters))
        return;
    if (list_first(&lock->waiters, struct mm_waiter, node)->tries >= PATIENCE) {
        hand_over(lock);
        return;
    }
    bool shared = first_shares(lock);
    do
        wake_first(lock, MM_TRIES);
    while (shared && first_shares(lock));
    if (list_empty(&lock->waiters))
        __atomic_fetch_and(&lock->state, ~MM_LOCK_WAITED, __ATOMIC_RELAXED);
}

/* Who has tried before keeps his place. [Q] held. */
static void enqueue(struct mm_lock *lock, struct mm_waiter *w)
{
    w->how = MM_WAITS;
    if (w->tries++)
        list_add(&lock->waiters, &w->node);
    else
        list_add_tail(&lock->waiters, &w->node);
}

/* [Q] is held, and let go of. True: it is ours; else we are to try. */
static bool wait_for_turn(struct mm_lock *lock, struct mm_waiter *w)
{
    spin_unlock(&lock->queue);
    hooks->wait(w);
    spin_lock(&lock->queue); /* until who has woken us has let go of us and of the lock */
    spin_unlock(&lock->queue);
    return w->how == MM_HAS_IT;
}

void mm_lock_slow(struct mm_lock *lock)
{
    struct mm_waiter w = {.thread = hooks->self()};

    do {
        spin_lock(&lock->queue);
        for (u32 state = state_of(lock);;) { /* either it is free, or who has it learns of us */
            bool free = !(state & (MM_LOCK_OWNED | MM_LOCK_SHARED));
            if (!change(lock, &state, state | (free ? MM_LOCK_OWNED : MM_LOCK_WAITED)))
                continue;
            if (!free)
                break;
            spin_unlock(&lock->queue);
            return;
        }
        enqueue(lock, &w);
    } while (!wait_for_turn(lock, &w));
}

/* We have counted ourselves, so nobody can own it if nobody does.  True: it is ours; false: we are
 * counted no more, and who has it learns of us. [Q] held. */
static bool may_share(struct mm_lock *lock, bool tries)
{
    u32 state = state_of(lock);

    do {
        bool last_in = state & MM_LOCK_WAITED && (state & MM_LOCK_SHARED) > 1;
        if (!(state & MM_LOCK_OWNED) && (tries || !last_in))
            return true;
    } while (!change(lock, &state, (state - 1) | MM_LOCK_WAITED));
    return false;
}

/* We have counted ourselves already. */
void mm_lock_shared_slow(struct mm_lock *lock)
{
    struct mm_waiter w = {.thread = hooks->self(), .shared = true};

    for (;;) {
        spin_lock(&lock->queue);
        if (may_share(lock, w.tries)) {
            spin_unlock(&lock->queue);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            return;
        }
        enqueue(lock, &w);
        if (!(state_of(lock) & (MM_LOCK_OWNED | MM_LOCK_SHARED)))
            wake_next(lock); /* who let go meanwhile has taken us for one who has it */
        if (wait_for_turn(lock, &w))
            return;
        u32 before = __atomic_fetch_add(&lock->state, 1, __ATOMIC_ACQUIRE);
        if (!(before & MM_LOCK_OWNED))
            return;
    }
}

/* The last of those who shared it. */
void mm_unlock_shared_slow(struct mm_lock *lock)
{
    spin_lock(&lock->queue);
    wake_next(lock);
    spin_unlock(&lock->queue);
}

/* Somebody waits, or has counted himself for a moment. */
void mm_unlock_slow(struct mm_lock *lock)
{
    spin_lock(&lock->queue);
    __atomic_fetch_and(&lock->state, ~MM_LOCK_OWNED, __ATOMIC_RELEASE);
    wake_next(lock);
    spin_unlock(&lock->queue);
}
