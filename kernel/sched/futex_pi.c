/* PI futexes: a lock whose word holds its owner's tid.  All threads have the same class of
 * priority, so nothing is inherited; what is kept is the protocol: who waits is handed the lock in
 * order of arrival, and an owner that dies passes it on with FUTEX_OWNER_DIED.  It cannot write
 * the word for who waits in another address space, who is woken to take the lock himself. */
#include "sched/futex.h"

#include "abi/errno.h"
#include "mm/uaccess.h"
#include "sched/futex_priv.h"
#include "sched/sched_priv.h"

static u32 nr_pi_waiters; /* [A] so that the end of a thread need not look at all buckets */

/** The first waiter for the PI lock @key, and whether there are more. */
static struct futex_waiter *first_waiter(struct futex_bucket *b, const struct futex_key *key,
                                         bool *more)
{
    struct futex_waiter *w, *first = NULL;
    *more = false;
    list_for_each(w, &b->waiters, node) {
        if (!w->pi_owner || !futex_key_equal(&w->key, key))
            continue;
        if (first) {
            *more = true;
            break;
        }
        first = w;
    }
    return first;
}

/** Is there somebody who will hand on what he owns? */
static bool owner_exists(u32 tid)
{
    struct thread *t = thread_find((int)tid);
    if (!t)
        return false;
    bool stays = !__atomic_load_n(&t->left_locks, __ATOMIC_SEQ_CST);
    thread_put(t);
    return stays;
}

/** All who wait for the lock @key wait for @tid. The bucket is locked. */
static void name_owner_locked(struct futex_bucket *b, const struct futex_key *key, int tid)
{
    struct futex_waiter *w;

    list_for_each(w, &b->waiters, node)
        if (w->pi_owner && futex_key_equal(&w->key, key))
            w->pi_owner = tid;
}

/** What was @w woken with? 0: the lock. -EOWNERDEAD: its owner *@dead, in another address space. */
static int granted(const struct futex_waiter *w, u32 *dead)
{
    if (w->pi_owner >= 0)
        return 0;
    *dead = (u32)-w->pi_owner;
    return -EOWNERDEAD;
}

/**
 * Take the lock for the thread @self if it is free or the dead thread @dead's (0: nobody), else
 * mark it as waited for; the bucket is locked. 0 taken, -EINPROGRESS marked (@owner is its owner),
 * -EAGAIN taken by another (@try), or an error.
 */
static int take_or_mark(uaddr_t addr, u32 self, bool waited, bool try, u32 dead, u32 *owner)
{
    u32 word, seen;
    int err = user_load32(addr, &word);
    for (; !err; word = seen) {
        u32 tid = word & FUTEX_TID_MASK, want;
        bool is_free = !tid || tid == dead;
        if (tid == self)
            return -EDEADLK;
        if (is_free)
            want = self | (tid ? FUTEX_OWNER_DIED : word & FUTEX_OWNER_DIED) |
                   (waited ? FUTEX_WAITERS : 0);
        else if (try)
            return -EAGAIN;
        else if (!owner_exists(tid)) {
            err = user_load32(addr, &seen); /* the last that he did may have been to mark it */
            if (!err && seen == word)
                return -ESRCH;
            continue;
        } else
            want = word | FUTEX_WAITERS;
        err = user_cmpxchg32(addr, word, want, &seen);
        if (err || seen != word)
            continue;
        *owner = tid;
        return is_free ? 0 : -EINPROGRESS;
    }
    return err;
}

/** Once: -EOWNERDEAD where the owner, now *@dead, could not hand it on. */
static int lock_pi(uaddr_t addr, bool shared, u64 deadline_ns, bool try, u32 *dead)
{
    struct futex_key key;
    struct futex_waiter w;
    bool more;
    u32 owner = 0;
    int err = futex_key_get(addr, shared, &key);
    if (err)
        return err;
    futex_waiter_init(&w, &key, FUTEX_BITSET_MATCH_ANY);
    __atomic_fetch_add(&nr_pi_waiters, 1, __ATOMIC_SEQ_CST); /* before the owner is looked at */
    struct futex_bucket *b = futex_queue_lock(&w);
    bool waited = first_waiter(b, &key, &more) != NULL;
    err = take_or_mark(addr, (u32)current->tid, waited, try, *dead, &owner);
    if (err != -EINPROGRESS) {
        futex_unqueue_locked(&w);
        if (!err && waited)
            name_owner_locked(b, &key, current->tid);
        mutex_unlock(&b->lock);
        __atomic_fetch_sub(&nr_pi_waiters, 1, __ATOMIC_SEQ_CST);
        return err;
    }
    w.pi_owner = (int)owner;
    w.pi_addr = addr;
    mutex_unlock(&b->lock);

    err = futex_sleep(&w, deadline_ns);
    bool woken = futex_unqueue(&w);
    __atomic_fetch_sub(&nr_pi_waiters, 1, __ATOMIC_SEQ_CST);
    if (woken)
        return granted(&w, dead);
    return err == -EINTR ? -ERESTARTNOINTR : err;
}

static int lock_pi_after(uaddr_t addr, bool shared, u64 deadline_ns, bool try, u32 dead)
{
    int err;
    do
        err = lock_pi(addr, shared, deadline_ns, try, &dead);
    while (err == -EOWNERDEAD);
    return err;
}

int futex_lock_pi(uaddr_t addr, bool shared, u64 deadline_ns, bool try)
{
    return lock_pi_after(addr, shared, deadline_ns, try, 0);
}

/** Give the lock whose word is @word to the first who waits, or free it. The bucket is locked. */
static int hand_over_locked(struct futex_bucket *b, const struct futex_key *key, uaddr_t addr,
                            u32 word, u32 flags)
{
    bool more;
    struct futex_waiter *next = first_waiter(b, key, &more);
    u32 seen, want = flags;
    if (next)
        want |= (u32)next->thread->tid | (more ? FUTEX_WAITERS : 0);
    int err = user_cmpxchg32(addr, word, want, &seen);
    if (err)
        return err;
    if (seen != word)
        return -EAGAIN;
    if (!next)
        return 0;
    name_owner_locked(b, key, next->thread->tid);
    futex_wake_waiter_locked(next);
    return 0;
}

int futex_unlock_pi(uaddr_t addr, bool shared)
{
    struct futex_key key;
    u32 word;
    int err = futex_key_get(addr, shared, &key);
    if (err)
        return err;
    struct futex_bucket *b = futex_bucket_of(&key);
    mutex_lock(&b->lock);
    do {
        err = user_load32(addr, &word);
        if (!err && (word & FUTEX_TID_MASK) != (u32)current->tid)
            err = -EPERM;
        if (!err)
            err = hand_over_locked(b, &key, addr, word, 0);
    } while (err == -EAGAIN);
    mutex_unlock(&b->lock);
    return err;
}

/* ---- a condition whose waiters are moved to its lock ---- */

int futex_wait_requeue_pi(uaddr_t addr, bool shared, u32 val, u64 deadline_ns, uaddr_t lock)
{
    struct futex_key key, pi_key;
    struct futex_waiter w;

    int err = futex_key_get(addr, shared, &key);
    if (!err)
        err = futex_key_get(lock, shared, &pi_key);
    if (!err && (futex_key_equal(&key, &pi_key) || !lock))
        err = -EINVAL;
    if (err)
        return err;
    futex_waiter_init(&w, &key, FUTEX_BITSET_MATCH_ANY);
    w.pi_addr = lock;
    w.pi_key = pi_key;
    __atomic_fetch_add(&nr_pi_waiters, 1, __ATOMIC_SEQ_CST);
    err = futex_queue_if_equal(&w, addr, val);
    bool queued = !err, woken = false;
    u32 dead;
    if (queued) {
        err = futex_sleep(&w, deadline_ns);
        woken = futex_unqueue(&w);
    }
    __atomic_fetch_sub(&nr_pi_waiters, 1, __ATOMIC_SEQ_CST);
    if (woken && !granted(&w, &dead))
        return 0;
    if (woken)
        err = lock_pi_after(lock, shared, deadline_ns, false, dead);
    if (!queued || (err != -EINTR && err != -ERESTARTNOINTR))
        return err;
    return w.pi_owner ? -EAGAIN : -ERESTARTNOINTR;
}

/** Let @w have the lock, whose word is at @lock for us, or wait for it: the pair is locked. */
static int give_or_move(struct futex_pair *p, struct futex_waiter *w, uaddr_t lock)
{
    u32 owner = 0;
    bool more;

    if (!w->pi_addr || w->pi_owner || !futex_key_equal(&w->pi_key, &p->key2))
        return -EINVAL;
    bool waited = first_waiter(p->b2, &p->key2, &more) != NULL;
    int err = take_or_mark(lock, (u32)w->thread->tid, waited, false, 0, &owner);
    if (!err) {
        name_owner_locked(p->b2, &p->key2, w->thread->tid);
        futex_wake_waiter_locked(w);
        return 0;
    }
    if (err != -EINPROGRESS)
        return err;
    w->pi_owner = (int)owner;
    futex_move_waiter(p, w);
    return 0;
}

int futex_cmp_requeue_pi(uaddr_t from, bool shared, uaddr_t to, int nr_move, u32 expected)
{
    struct futex_pair p;
    struct futex_waiter *w, *next;
    int done = 0;
    u32 seen;

    if (nr_move < 0)
        return -EINVAL;
    int err = futex_pair_lock(&p, from, to, shared);
    if (err)
        return err;
    err = futex_key_equal(&p.key1, &p.key2) ? -EINVAL : user_load32(from, &seen);
    if (!err && seen != expected)
        err = -EAGAIN;
    list_for_each_safe(w, next, &p.b1->waiters, node)
    {
        if (err || done > nr_move)
            break;
        if (!futex_key_equal(&w->key, &p.key1))
            continue;
        err = give_or_move(&p, w, to);
        done += !err;
    }
    futex_pair_unlock(&p);
    return done ? done : err;
}

/* ---- the end of an owner ---- */

/** The first waiter in @b for a lock of @tid. */
static struct futex_waiter *waiter_for(struct futex_bucket *b, int tid)
{
    struct futex_waiter *w;
    list_for_each(w, &b->waiters, node)
        if (w->pi_owner == tid)
            return w;
    return NULL;
}

/** Hand on the lock that @w waits for. If its memory is gone, the waiter stays. */
static void pass_on_locked(struct futex_bucket *b, struct futex_waiter *w)
{
    struct futex_key key = w->key;
    u32 word;
    int err;
    if (w->thread->mm != current->mm) {
        w->pi_owner = -w->pi_owner;
        futex_wake_waiter_locked(w);
        return;
    }
    do {
        err = user_load32(w->pi_addr, &word);
        if (!err)
            err = hand_over_locked(b, &key, w->pi_addr, word, FUTEX_OWNER_DIED);
    } while (err == -EAGAIN);
    if (err)
        w->pi_owner = -1; /* nobody */
}

static __attribute__((noinline)) void pass_on_all(int tid)
{
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++) {
        struct futex_bucket *b = futex_bucket_at(i);
        struct futex_waiter *w;
        mutex_lock(&b->lock);
        while ((w = waiter_for(b, tid)))
            pass_on_locked(b, w);
        mutex_unlock(&b->lock);
    }
}

/* Who waits counts himself and then looks whether the owner is leaving; we do it the other way
 * round. */
void futex_pi_exit(struct thread *t)
{
    __atomic_store_n(&t->left_locks, true, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&nr_pi_waiters, __ATOMIC_SEQ_CST)))
        pass_on_all(t->tid);
}
