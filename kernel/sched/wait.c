/* Wait queues, timed sleep and the sleeping lock. */
#include "sched/wait.h"

#include "abi/errno.h"
#include "arch/cpu.h"
#include "core/panic.h"
#include "core/time.h"
#include "mm/lock.h"
#include "sched/sched_priv.h"

#ifndef INGOT_DEBUG
void waitq_init(struct waitq *q)
{
    spin_init(&q->lock);
    list_init(&q->waiters);
}
#endif

static bool wake_thread(struct wait_entry *entry, u32 events)
{
    (void)events; /* the thread looks for itself */
    return thread_wake(entry->thread);
}

void wait_entry_init(struct wait_entry *entry)
{
    list_init(&entry->node);
    entry->wake = wake_thread;
    entry->thread = current;
    entry->exclusive = false;
}

void waitq_add(struct waitq *q, struct wait_entry *entry)
{
    spin_lock(&q->lock);
    if (entry->exclusive)
        list_add_tail(&q->waiters, &entry->node);
    else
        list_add(&q->waiters, &entry->node);
    spin_unlock(&q->lock);
}

void waitq_remove(struct waitq *q, struct wait_entry *entry)
{
    spin_lock(&q->lock);
    list_remove(&entry->node);
    spin_unlock(&q->lock);
}

static inline __attribute__((always_inline)) void wake_locked(struct waitq *q, u32 events,
                                                              unsigned nr_exclusive)
{
    struct wait_entry *entry, *next;

    list_for_each_safe(entry, next, &q->waiters, node)
    {
        if (likely(!entry->exclusive))
            entry->wake(entry, events);
        else if (!nr_exclusive)
            break;
        else
            nr_exclusive -= entry->wake(entry, events);
    }
}

static __attribute__((noinline)) void wake_several_locked(struct waitq *q, u32 events,
                                                          unsigned nr_exclusive)
{
    wake_locked(q, events, nr_exclusive);
}

void waitq_wake_waiters(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    spin_lock(&q->lock);
    struct wait_entry *first = list_first(&q->waiters, struct wait_entry, node);
    bool is_last = first->node.next == &q->waiters; /* and none, where it is the queue itself */
    if (likely(is_last && !list_empty(&q->waiters) && !first->exclusive))
        first->wake(first, events); /* most sockets have one: of an epoll */
    else
        wake_several_locked(q, events, nr_exclusive);
    spin_unlock(&q->lock);
}

void waitq_wake_locked(struct waitq *q, u32 events)
{
    wake_locked(q, events, UINT32_MAX);
}

void waitq_wake(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    if (waitq_has_waiters(q))
        waitq_wake_waiters(q, events, nr_exclusive);
}

void thread_prepare_sleep(bool interruptible)
{
    thread_prepare_sleep_inline(interruptible);
}

void thread_finish_sleep(void)
{
    __atomic_store_n(&current->state, THREAD_RUNNING, __ATOMIC_RELAXED);
}

int thread_sleep_until(u64 deadline_ns)
{
    may_sleep();
    struct thread *t = current;
    if (t->state == THREAD_SLEEP_INTR && signal_pending())
        return -EINTR;
    if (deadline_ns == NO_DEADLINE) {
        schedule();
        return 0;
    }
    if (deadline_ns <= time_ns())
        return -ETIMEDOUT;
    t->timed_out = false;
    timer_set(&t->sleep_timer, deadline_ns);
    schedule();
    timer_cancel(&t->sleep_timer);
    return t->timed_out ? -ETIMEDOUT : 0;
}

/* ---- for the locks of mm, which lies below ---- */

static void *self(void)
{
    return current;
}

static void wait_for_mm(struct mm_waiter *w)
{
    for (;;) {
        thread_prepare_sleep(false);
        if (!mm_waits(w))
            break;
        thread_sleep_until(NO_DEADLINE);
    }
    thread_finish_sleep();
}

static void wake_for_mm(void *thread)
{
    thread_wake(thread);
}

void wait_init(void)
{
    static const struct mm_lock_hooks hooks = {self, wait_for_mm, wake_for_mm};
    mm_set_lock_hooks(&hooks);
}

/* ---- mutex: the owner's address, with bit 0 set while somebody waits ---- */

enum {
    MUTEX_WAITED = 1,
    SPIN_US = 5, /* some switches away and back */
};

struct mutex_waiter {
    struct list_head node;
    struct thread *thread;
};

static bool mutex_swap(struct mutex *m, uintptr_t old, uintptr_t new)
{
    struct thread *expected = (struct thread *)old;
    return __atomic_compare_exchange_n(&m->owner, &expected, (struct thread *)new, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static uintptr_t mutex_owner(const struct mutex *m)
{
    return (uintptr_t)__atomic_load_n(&m->owner, __ATOMIC_ACQUIRE);
}

#ifdef INGOT_DEBUG

void mutex_init_class(struct mutex *m, struct lock_class *class)
{
    *m = (struct mutex){.class = class};
    spin_init(&m->lock);
    list_init(&m->waiters);
}

static void check_mutex_order(struct mutex *m)
{
    static struct lock_class uninitialised = LOCK_CLASS(a mutex that nobody initialised);

    if (!m->waiters.next) /* who has to wait would link himself to nothing */
        panic("the mutex %p was never initialised", (void *)m);
    if (!m->class)
        m->class = &uninitialised;
    lock_check_order(m, m->class, true);
}

static void note_mutex_taken(struct mutex *m, u64 since)
{
    lock_check_taken(m, m->class, true, since ? rdtsc() - since : 0);
}

#endif

bool mutex_held(const struct mutex *m)
{
    return (mutex_owner(m) & ~(uintptr_t)MUTEX_WAITED) == (uintptr_t)current;
}

static inline bool take_if_free(struct mutex *m)
{
    return mutex_swap(m, 0, (uintptr_t)current);
}

bool mutex_trylock(struct mutex *m)
{
    bool taken = take_if_free(m);
#ifdef INGOT_DEBUG
    if (taken && m->class)
        note_mutex_taken(m, 0);
#endif
    return taken;
}

/** Is @thread, which may be gone, on another CPU just now? */
static bool runs_elsewhere(uintptr_t thread)
{
    cpu_for_each_in(i, cpus_busy_elsewhere()) {
        if ((uintptr_t)__atomic_load_n(&cpus[i]->arch.thread, __ATOMIC_RELAXED) == thread)
            return true;
    }
    return false;
}

/* Nearly all are held for far less than it takes to sleep and be woken; and a lock that is handed
 * over to a sleeper is one that everybody else comes to sleep for. */
static bool take_soon(struct mutex *m)
{
    u64 until = rdtsc() + boot_info.tsc_khz * SPIN_US / 1000;

    do {
        uintptr_t owner = mutex_owner(m);
        if (!owner && take_if_free(m))
            return true;
        if (owner & MUTEX_WAITED || (owner && !runs_elsewhere(owner)))
            return false;
        cpu_relax();
    } while (rdtsc() < until);
    return false;
}

/** Queue up; the unlocking thread hands the mutex over. */
static __attribute__((noinline)) void mutex_lock_slow(struct mutex *m)
{
    assert(!mutex_held(m));
    if (cpu_count > 1 && take_soon(m))
        return;
    struct mutex_waiter waiter = {.thread = current};
    spin_lock(&m->lock);
    for (;;) { /* either it has become free, or its owner learns that we wait */
        uintptr_t owner = mutex_owner(m);
        if (!owner && take_if_free(m)) {
            spin_unlock(&m->lock);
            return;
        }
        if (owner && (owner & MUTEX_WAITED || mutex_swap(m, owner, owner | MUTEX_WAITED)))
            break;
    }
    list_add_tail(&m->waiters, &waiter.node);
    spin_unlock(&m->lock);

    for (;;) {
        thread_prepare_sleep(false);
        if (mutex_held(m))
            break;
        thread_sleep_until(NO_DEADLINE);
    }
    thread_finish_sleep();
    spin_lock(&m->lock); /* until who handed it over has let go of us and of the mutex */
    spin_unlock(&m->lock);
}

void mutex_lock(struct mutex *m)
{
#ifdef INGOT_DEBUG
    u64 since = 0;
    check_mutex_order(m);
    if (!take_if_free(m)) {
        since = rdtsc();
        mutex_lock_slow(m);
    }
    note_mutex_taken(m, since);
#else
    if (unlikely(!take_if_free(m)))
        mutex_lock_slow(m);
#endif
}

/** Hand the mutex over to the first waiter. */
static __attribute__((noinline)) void mutex_unlock_slow(struct mutex *m)
{
    spin_lock(&m->lock);
    struct mutex_waiter *waiter = list_first(&m->waiters, struct mutex_waiter, node);
    struct thread *next = waiter->thread;
    list_remove(&waiter->node); /* before the owner is set: then the waiter's frame may be gone */
    uintptr_t owner = (uintptr_t)next | (list_empty(&m->waiters) ? 0 : MUTEX_WAITED);
    __atomic_store_n(&m->owner, (struct thread *)owner, __ATOMIC_RELEASE);
    thread_wake(next);
    spin_unlock(&m->lock);
}

void mutex_unlock(struct mutex *m)
{
    debug_assert(mutex_held(m));
#ifdef INGOT_DEBUG
    lock_check_released(m, true);
#endif
    if (unlikely(!mutex_swap(m, (uintptr_t)current, 0)))
        mutex_unlock_slow(m);
}
