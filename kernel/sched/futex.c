/* Futexes but for the PI locks (futex_pi.c) and the end of a thread (futex_exit.c). */
#include "sched/futex.h"

#include "abi/errno.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sched/futex_priv.h"
#include "sched/sched_priv.h"

static struct futex_bucket buckets[FUTEX_BUCKETS];

void futex_init(void)
{
    for (unsigned i = 0; i < FUTEX_BUCKETS; i++) {
        mutex_init(&buckets[i].lock);
        list_init(&buckets[i].waiters);
    }
}

struct futex_bucket *futex_bucket_at(unsigned index)
{
    return &buckets[index];
}

static inline struct futex_bucket *bucket_at(u64 addr)
{
    u64 hash = (addr >> 2) * 0x9e3779b97f4a7c15ull;
    return &buckets[hash >> 57];
}

struct futex_bucket *futex_bucket_of(const struct futex_key *key)
{
    return bucket_at(key->addr);
}
static_assert(FUTEX_BUCKETS == 1 << (64 - 57), "the hash yields this many bits");

int futex_key_get(uaddr_t addr, bool shared, struct futex_key *key)
{
    if (!IS_ALIGNED(addr, 4))
        return -EINVAL;
    if (addr >= USER_TOP)
        return -EFAULT;
    key->space = (u64)(uintptr_t)mm_current();
    key->addr = addr;
    if (!shared)
        return 0;
    u32 word;
    int err = user_load32(addr, &word); /* now the page is there */
    if (err)
        return err;
    paddr_t pa;
    if (mm_shared_page(mm_current(), addr, &pa))
        *key = (struct futex_key){FUTEX_PHYSICAL, pa};
    return 0;
}

/* ---- the queue ---- */

void futex_waiter_init(struct futex_waiter *w, const struct futex_key *key, u32 bitset)
{
    w->key = *key;
    w->thread = current;
    w->bitset = bitset;
    w->pi_owner = 0;
    w->pi_addr = 0;
    w->woken = false;
}

struct futex_bucket *futex_queue_lock(struct futex_waiter *w)
{
    struct futex_bucket *b = futex_bucket_of(&w->key);
    __atomic_fetch_add(&b->nr_waiters, 1, __ATOMIC_SEQ_CST);
    mutex_lock(&b->lock);
    w->bucket = b;
    list_add_tail(&b->waiters, &w->node);
    return b;
}

void futex_unqueue_locked(struct futex_waiter *w)
{
    list_remove(&w->node);
    __atomic_fetch_sub(&w->bucket->nr_waiters, 1, __ATOMIC_SEQ_CST);
}

void futex_wake_waiter_locked(struct futex_waiter *w)
{
    struct thread *t = w->thread;

    futex_unqueue_locked(w);
    __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&w->woken, true,
                     __ATOMIC_RELEASE); /* from here on @w may be gone, and so may @t */
    thread_wake(t);
    thread_put(t);
}

/** Lock the bucket that @w is in, which a requeue may change. */
static struct futex_bucket *lock_bucket_of(struct futex_waiter *w)
{
    for (;;) {
        struct futex_bucket *b = __atomic_load_n(&w->bucket, __ATOMIC_ACQUIRE);
        mutex_lock(&b->lock);
        if (likely(b == w->bucket))
            return b;
        mutex_unlock(&b->lock);
    }
}

bool futex_unqueue(struct futex_waiter *w)
{
    if (likely(__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE)))
        return true; /* who woke us has let go of it */
    struct futex_bucket *b = lock_bucket_of(w);
    bool woken = w->woken;
    if (!woken)
        futex_unqueue_locked(w);
    mutex_unlock(&b->lock);
    return woken;
}

int futex_sleep(struct futex_waiter *w, u64 deadline_ns)
{
    int err = 0;
    while (!err) {
        thread_prepare_sleep(true);
        if (__atomic_load_n(&w->woken, __ATOMIC_ACQUIRE))
            break;
        err = thread_sleep_until(deadline_ns);
    }
    thread_finish_sleep();
    return err;
}

/* ---- wait ---- */

int futex_queue_if_equal(struct futex_waiter *w, uaddr_t addr, u32 val)
{
    u32 seen;
    struct futex_bucket *b = futex_queue_lock(w);
    int err = user_get32(&seen, addr); /* aligned, since it has a key */
    if (!err && seen != val)
        err = -EAGAIN;
    if (err)
        futex_unqueue_locked(w);
    mutex_unlock(&b->lock);
    return err;
}

static long restart_wait(struct thread *t)
{
    const u64 *args = t->restart.args;
    return futex_wait(args[0], args[1], (u32)args[2], (u32)args[3], args[4]);
}

int futex_wait(uaddr_t addr, bool shared, u32 val, u32 bitset, u64 deadline_ns)
{
    struct futex_key key;
    struct futex_waiter w;
    if (!bitset)
        return -EINVAL;
    int err = futex_key_get(addr, shared, &key);
    if (err)
        return err;
    futex_waiter_init(&w, &key, bitset);
    err = futex_queue_if_equal(&w, addr, val);
    if (err)
        return err;
    err = futex_sleep(&w, deadline_ns);
    if (futex_unqueue(&w))
        return 0;
    if (err != -EINTR)
        return err;
    if (deadline_ns == NO_DEADLINE)
        return -ERESTARTSYS;
    current->restart = (struct restart_block){.fn = restart_wait,
                                              .args = {addr, shared, val, bitset, deadline_ns}};
    return -ERESTART_RESTARTBLOCK;
}

/** Take the first @count of @waiters out. The index of one that was woken, or -1. */
static int unqueue_all(struct futex_waiter *waiters, unsigned count)
{
    int woken = -1;
    for (unsigned i = 0; i < count; i++)
        if (futex_unqueue(&waiters[i]))
            woken = (int)i;
    return woken;
}

static int wait_many(struct futex_waiter *waiters, const struct linux_futex_waitv *words,
                     unsigned count, u64 deadline_ns)
{
    for (unsigned i = 0; i < count; i++) {
        struct futex_key key;
        int err = futex_key_get(words[i].uaddr, !(words[i].flags & FUTEX2_PRIVATE), &key);
        if (!err) {
            futex_waiter_init(&waiters[i], &key, FUTEX_BITSET_MATCH_ANY);
            err = futex_queue_if_equal(&waiters[i], words[i].uaddr, (u32)words[i].val);
        }
        if (err) {
            int woken = unqueue_all(waiters, i);
            return woken >= 0 ? woken : err;
        }
    }
    int err = 0;
    bool woken = false;
    while (!err && !woken) {
        thread_prepare_sleep(true);
        for (unsigned i = 0; i < count; i++)
            woken |= __atomic_load_n(&waiters[i].woken, __ATOMIC_ACQUIRE);
        if (!woken)
            err = thread_sleep_until(deadline_ns);
    }
    thread_finish_sleep();
    int index = unqueue_all(waiters, count);
    if (index >= 0)
        return index;
    return err == -EINTR ? -ERESTARTSYS : err;
}

int futex_waitv(const struct linux_futex_waitv *words, unsigned count, u64 deadline_ns)
{
    struct futex_waiter *waiters = kcalloc(count, sizeof(*waiters));
    if (!waiters)
        return -ENOMEM;
    int result = wait_many(waiters, words, count, deadline_ns);
    kfree(waiters);
    return result;
}

/* ---- wake ---- */

/** Wake up to @nr waiters of @key in the locked bucket @b. */
static int wake_key_locked(struct futex_bucket *b, const struct futex_key *key, int nr, u32 bitset)
{
    struct futex_waiter *w, *next;
    int woken = 0;
    list_for_each_safe(w, next, &b->waiters, node)
    {
        if (woken >= nr)
            break;
        if (!futex_key_equal(&w->key, key) || !(w->bitset & bitset) || w->pi_addr)
            continue;
        futex_wake_waiter_locked(w);
        woken++;
    }
    return woken;
}

/** False if certainly nobody waits in @b. */
static inline bool has_waiters(const struct futex_bucket *b)
{
    mb(); /* the program's store to the word, then our look at the waiters */
    return __atomic_load_n(&b->nr_waiters, __ATOMIC_RELAXED) != 0;
}

static __attribute__((noinline)) int wake_slow(uaddr_t addr, bool shared, int nr, u32 bitset)
{
    struct futex_key key;
    int err = futex_key_get(addr, shared, &key);
    if (err)
        return err;
    struct futex_bucket *b = futex_bucket_of(&key);
    if (!has_waiters(b))
        return 0;
    mutex_lock(&b->lock);
    int woken = wake_key_locked(b, &key, nr, bitset);
    mutex_unlock(&b->lock);
    return woken;
}

int futex_wake(uaddr_t addr, bool shared, int nr, u32 bitset)
{
    if (!bitset)
        return -EINVAL;
    if (!shared && IS_ALIGNED(addr, 4) && addr < USER_TOP && !has_waiters(bucket_at(addr)))
        return 0;
    return wake_slow(addr, shared, nr, bitset);
}

/* ---- two words ---- */

int futex_pair_lock(struct futex_pair *p, uaddr_t addr1, uaddr_t addr2, bool shared)
{
    int err = futex_key_get(addr1, shared, &p->key1);
    if (!err)
        err = futex_key_get(addr2, shared, &p->key2);
    if (err)
        return err;
    p->b1 = futex_bucket_of(&p->key1);
    p->b2 = futex_bucket_of(&p->key2);
    mutex_lock(&min(p->b1, p->b2)->lock);
    if (p->b1 != p->b2)
        mutex_lock(&max(p->b1, p->b2)->lock);
    return 0;
}

void futex_pair_unlock(struct futex_pair *p)
{
    mutex_unlock(&p->b1->lock);
    if (p->b1 != p->b2)
        mutex_unlock(&p->b2->lock);
}

void futex_move_waiter(struct futex_pair *p, struct futex_waiter *w)
{
    list_remove(&w->node);
    list_add_tail(&p->b2->waiters, &w->node);
    w->key = p->key2;
    if (p->b1 == p->b2)
        return;
    __atomic_fetch_add(&p->b2->nr_waiters, 1, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&p->b1->nr_waiters, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&w->bucket, p->b2, __ATOMIC_RELEASE);
}

static int move_key_locked(struct futex_pair *p, int nr)
{
    struct futex_waiter *w, *next;
    int moved = 0;
    list_for_each_safe(w, next, &p->b1->waiters, node)
    {
        if (moved >= nr)
            break;
        if (!futex_key_equal(&w->key, &p->key1) || w->pi_addr)
            continue;
        futex_move_waiter(p, w);
        moved++;
    }
    return moved;
}

int futex_requeue(uaddr_t from, bool shared, uaddr_t to, int nr_wake, int nr_move,
                  const u32 *expected)
{
    struct futex_pair p;
    if (nr_wake < 0 || nr_move < 0)
        return -EINVAL;
    int err = futex_pair_lock(&p, from, to, shared);
    if (err)
        return err;
    u32 seen;
    if (expected) {
        err = user_load32(from, &seen);
        if (!err && seen != *expected)
            err = -EAGAIN;
    }
    int woken = 0, moved = 0;
    if (!err) {
        woken = wake_key_locked(p.b1, &p.key1, nr_wake, FUTEX_BITSET_MATCH_ANY);
        if (!futex_key_equal(&p.key1, &p.key2))
            moved = move_key_locked(&p, nr_move);
    }
    futex_pair_unlock(&p);
    if (err)
        return err;
    return expected ? woken + moved : woken;
}

static u32 apply_op(u32 op, u32 old, u32 arg)
{
    switch (op) {
    case FUTEX_OP_SET:
        return arg;
    case FUTEX_OP_ADD:
        return old + arg;
    case FUTEX_OP_OR:
        return old | arg;
    case FUTEX_OP_ANDN:
        return old & ~arg;
    default:
        return old ^ arg;
    }
}

static bool compare_op(u32 cmp, s32 old, s32 arg)
{
    switch (cmp) {
    case FUTEX_OP_CMP_EQ:
        return old == arg;
    case FUTEX_OP_CMP_NE:
        return old != arg;
    case FUTEX_OP_CMP_LT:
        return old < arg;
    case FUTEX_OP_CMP_LE:
        return old <= arg;
    case FUTEX_OP_CMP_GT:
        return old > arg;
    default:
        return old >= arg;
    }
}

static s32 sign_extend12(u32 v)
{
    return (s32)(v << 20) >> 20;
}

/** Change the word atomically. 0 and *@old, or -EFAULT. */
static int change_word(uaddr_t addr, u32 op, u32 arg, u32 *old)
{
    u32 expected, seen;
    int err = user_load32(addr, &seen);
    do {
        if (err)
            return err;
        expected = seen;
        err = user_cmpxchg32(addr, expected, apply_op(op, expected, arg), &seen);
    } while (err || seen != expected);
    *old = seen;
    return 0;
}

int futex_wake_op(uaddr_t from, bool shared, uaddr_t to, int nr_from, int nr_to, u32 encoded)
{
    u32 op = encoded >> 28 & 7, cmp = encoded >> 24 & 15;
    s32 op_arg = sign_extend12(encoded >> 12), cmp_arg = sign_extend12(encoded);
    if (encoded >> 28 & FUTEX_OP_ARG_SHIFT) {
        if (op_arg < 0 || op_arg > 31)
            op_arg &= 31;
        op_arg = (s32)(1u << op_arg);
    }
    if (op > FUTEX_OP_XOR || cmp > FUTEX_OP_CMP_GE)
        return -ENOSYS;

    struct futex_pair p;
    u32 old;
    int err = futex_pair_lock(&p, from, to, shared);
    if (err)
        return err;
    int woken = change_word(to, op, (u32)op_arg, &old);
    if (!woken) {
        woken = wake_key_locked(p.b1, &p.key1, nr_from, FUTEX_BITSET_MATCH_ANY);
        if (compare_op(cmp, (s32)old, cmp_arg))
            woken += wake_key_locked(p.b2, &p.key2, nr_to, FUTEX_BITSET_MATCH_ANY);
    }
    futex_pair_unlock(&p);
    return woken;
}
