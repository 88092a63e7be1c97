/* Futexes but for the PI locks (futex_pi.c) and the end of a thread (futex_exit.c). */
#include "sched/futex.h"

#include "abi/errno.h"
#include "core/irq.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "sched/futex_priv.h"
#include "sched/sched_priv.h"

enum {
    LOOK_US = 2,        /* about what a switch away and back, a wait and a wake cost */
    LOOK_ALONE_US = 20, /* where the CPU would do nothing else */
    MAX_LEFT_OUT = 5,   /* log 2 of the waits without a look after looks in vain */
};

static struct futex_bucket buckets[FUTEX_BUCKETS];

static bool are_ready; /* [A] */
static struct spinlock ready_lock;

/* Two pages, which a program that never waits does not touch. */
static __attribute__((noinline, cold)) void make_ready(void)
{
    spin_lock(&ready_lock);
    for (unsigned i = 0; i < FUTEX_BUCKETS && !are_ready; i++) {
        mutex_init(&buckets[i].lock);
        list_init(&buckets[i].waiters);
    }
    __atomic_store_n(&are_ready, true, __ATOMIC_RELEASE);
    spin_unlock(&ready_lock);
}

/** Before a lock of a bucket is taken, unless somebody waits in it. */
static inline void be_ready(void)
{
    if (unlikely(!__atomic_load_n(&are_ready, __ATOMIC_ACQUIRE)))
        make_ready();
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
    be_ready();
    return bucket_at(key->addr);
}
static_assert(FUTEX_BUCKETS == 1 << (64 - 57), "the hash yields this many bits");

/** The word at @addr, which is in the program's memory, may be other processes' as well. */
static __attribute__((noinline)) int shared_key(uaddr_t addr, struct futex_key *key)
{
    u32 word;
    if (user_get32(&word, addr)) /* else the page is there now */
        return -EFAULT;
    paddr_t pa;
    if (mm_shared_page(mm_current(), addr, &pa))
        *key = (struct futex_key){FUTEX_PHYSICAL, pa};
    return 0;
}

static inline int get_key(uaddr_t addr, bool shared, struct futex_key *key)
{
    if (unlikely(!IS_ALIGNED(addr, 4)))
        return -EINVAL;
    if (unlikely(addr >= USER_TOP))
        return -EFAULT;
    key->space = (u64)(uintptr_t)mm_current();
    key->addr = addr;
    return shared ? shared_key(addr, key) : 0;
}

int futex_key_get(uaddr_t addr, bool shared, struct futex_key *key)
{
    return get_key(addr, shared, key);
}

/* ---- the queue ---- */

/** All but the key. */
static inline void init_waiter(struct futex_waiter *w, u32 bitset)
{
    w->thread = current;
    w->bitset = bitset;
    w->pi_owner = 0;
    w->pi_addr = 0;
    w->woken = false;
}

void futex_waiter_init(struct futex_waiter *w, const struct futex_key *key, u32 bitset)
{
    w->key = *key;
    init_waiter(w, bitset);
}

static inline struct futex_bucket *lock_and_queue(struct futex_waiter *w)
{
    be_ready();
    struct futex_bucket *b = bucket_at(w->key.addr);
    __atomic_fetch_add(&b->nr_waiters, 1, __ATOMIC_SEQ_CST);
    mutex_lock_inline(&b->lock);
    w->bucket = b;
    list_add_tail(&b->waiters, &w->node);
    return b;
}

struct futex_bucket *futex_queue_lock(struct futex_waiter *w)
{
    return lock_and_queue(w);
}

/** @w is in no list of its own afterwards: nobody looks at its links again. */
static inline void unlink_waiter(struct futex_waiter *w)
{
    w->node.prev->next = w->node.next;
    w->node.next->prev = w->node.prev;
    __atomic_fetch_sub(&w->bucket->nr_waiters, 1, __ATOMIC_SEQ_CST);
}

void futex_unqueue_locked(struct futex_waiter *w)
{
    unlink_waiter(w);
}

/** Take @w out and wake it. Its bucket is locked, and thread_give_way() is called once it is not.
 */
static inline void wake_giving_way(struct futex_waiter *w)
{
    struct thread *t = w->thread;

    unlink_waiter(w);
    __atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&w->woken, true,
                     __ATOMIC_RELEASE); /* from here on @w may be gone, and so may @t */
    thread_wake_giving_way(t);
    thread_put(t);
}

void futex_wake_waiter_locked(struct futex_waiter *w)
{
    wake_giving_way(w);
    if (unlikely(__atomic_load_n(&current->work, __ATOMIC_RELAXED)))
        irq_pend(PEND_KICK); /* the caller does not give way, but on the way back to its program */
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

static __attribute__((noinline)) bool unqueue_slow(struct futex_waiter *w)
{
    struct futex_bucket *b = lock_bucket_of(w);
    bool woken = w->woken;
    if (!woken)
        futex_unqueue_locked(w);
    mutex_unlock(&b->lock);
    return woken;
}

static inline bool is_woken(const struct futex_waiter *w)
{
    return __atomic_load_n(&w->woken, __ATOMIC_ACQUIRE);
}

static inline bool unqueue(struct futex_waiter *w)
{
    return likely(is_woken(w)) || /* who woke us has let go of it */
           unqueue_slow(w);
}

bool futex_unqueue(struct futex_waiter *w)
{
    return unqueue(w);
}

/* 0: woken. Who comes back from schedule() has been made runnable by others and need not say so
 * itself. */
static inline int sleep_for(struct futex_waiter *w, u64 deadline_ns)
{
    do {
        int err = 0;
        thread_prepare_sleep_inline(true);
        if (likely(!is_woken(w)))
            err = likely(deadline_ns == NO_DEADLINE) ? thread_sleep()
                                                     : thread_sleep_until(deadline_ns);
        if (unlikely(current->state != THREAD_RUNNING))
            thread_finish_sleep();
        if (unlikely(err))
            return err;
    } while (unlikely(!is_woken(w)));
    return 0;
}

int futex_sleep(struct futex_waiter *w, u64 deadline_ns)
{
    return sleep_for(w, deadline_ns);
}

/* ---- wait ---- */

/** Does another CPU run a thread of this process, which may be about to change a word? */
static inline bool runs_elsewhere(void)
{
    const struct mm *mm = mm_current();

    cpu_for_each_in(i, cpus_busy_elsewhere()) {
        if (__atomic_load_n(&cpus[i]->mm, __ATOMIC_RELAXED) == mm)
            return true;
    }
    return false;
}

static inline bool look_until_changed(uaddr_t addr, u32 val)
{
    bool others_wait = __atomic_load_n(&this_cpu()->rq->nr_queued, __ATOMIC_RELAXED);
    u64 until = rdtsc() + (boot_info.tsc_khz * (others_wait ? LOOK_US : LOOK_ALONE_US) >> 10);
    u32 seen;

    do {
        if (user_get32(&seen, addr))
            return false;
        if (seen != val)
            return true;
        cpu_relax();
    } while (!irq_is_pending() && rdtsc() < until);
    return false;
}

/* Looks in vain are left out more and more often. */
static __attribute__((noinline)) bool look_rarely(struct futex_bucket *b, uaddr_t addr, u32 val)
{
    u32 missed = __atomic_load_n(&b->looks_missed, __ATOMIC_RELAXED);
    u32 left_out = __atomic_load_n(&b->looks_left_out, __ATOMIC_RELAXED) + 1u;
    bool looks = left_out >= 1u << missed;

    __atomic_store_n(&b->looks_left_out, looks ? 0 : (u8)left_out, __ATOMIC_RELAXED);
    if (!looks)
        return false;
    bool changed = look_until_changed(addr, val);
    missed = changed ? 0 : min(missed + 1, (u32)MAX_LEFT_OUT);
    __atomic_store_n(&b->looks_missed, (u8)missed, __ATOMIC_RELAXED);
    return changed;
}

/* Who holds a lock for less than it takes to sleep and be woken is waited for here. Woken each time
 * by who wants the lock again at once, threads would hand it over at every turn. */
static __attribute__((noinline)) bool changes_soon(uaddr_t addr, u32 val)
{
    if (unlikely(!IS_ALIGNED(addr, 4)) || !runs_elsewhere())
        return false;
    struct futex_bucket *b = bucket_at(addr);
    if (unlikely(__atomic_load_n(&b->looks_missed, __ATOMIC_RELAXED)))
        return look_rarely(b, addr, val);
    if (likely(look_until_changed(addr, val)))
        return true;
    __atomic_store_n(&b->looks_missed, 1, __ATOMIC_RELAXED);
    return false;
}

static inline int queue_if_equal(struct futex_waiter *w, uaddr_t addr, u32 val)
{
    u32 seen;
    struct futex_bucket *b = lock_and_queue(w);
    int err = user_get32(&seen, addr); /* aligned, since it has a key */
    if (!err && unlikely(seen != val))
        err = -EAGAIN;
    if (unlikely(err))
        unlink_waiter(w);
    mutex_unlock_inline(&b->lock);
    return err;
}

__attribute__((noinline)) int futex_queue_if_equal(struct futex_waiter *w, uaddr_t addr, u32 val)
{
    return queue_if_equal(w, addr, val);
}

static long restart_wait(struct thread *t)
{
    const u64 *args = t->restart.args;
    return futex_wait(args[0], args[1], (u32)args[2], (u32)args[3], args[4]);
}

static __attribute__((noinline)) int end_wait(int err, uaddr_t addr, bool shared, u32 val,
                                              u32 bitset, u64 deadline_ns)
{
    if (err != -EINTR)
        return err;
    if (deadline_ns == NO_DEADLINE)
        return -ERESTARTSYS;
    current->restart = (struct restart_block){.fn = restart_wait,
                                              .args = {addr, shared, val, bitset, deadline_ns}};
    return -ERESTART_RESTARTBLOCK;
}

static __attribute__((noinline)) int wait_asleep(uaddr_t addr, bool shared, u32 val, u32 bitset,
                                                 u64 deadline_ns)
{
    struct futex_waiter w;
    int err = get_key(addr, shared, &w.key);
    if (unlikely(err))
        return err;
    init_waiter(&w, bitset);
    err = queue_if_equal(&w, addr, val);
    if (err)
        return err;
    err = sleep_for(&w, deadline_ns);
    if (likely(!err) || unqueue(&w))
        return 0;
    return end_wait(err, addr, shared, val, bitset, deadline_ns);
}

int futex_wait(uaddr_t addr, bool shared, u32 val, u32 bitset, u64 deadline_ns)
{
    if (unlikely(!bitset))
        return -EINVAL;
    if (cpu_count > 1 && cpus_busy_elsewhere() && changes_soon(addr, val))
        return -EAGAIN;
    return wait_asleep(addr, shared, val, bitset, deadline_ns);
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

/** Wake up to @nr waiters of @key in the locked bucket @b; thread_give_way() is the caller's. */
static inline __attribute__((always_inline)) int
wake_in_line(struct futex_bucket *b, const struct futex_key *key, int nr, u32 bitset)
{
    struct futex_waiter *w, *next;
    int woken = 0;
    list_for_each_safe(w, next, &b->waiters, node)
    {
        if (woken >= nr)
            break;
        if (!futex_key_equal(&w->key, key) || !(w->bitset & bitset) || w->pi_addr)
            continue;
        wake_giving_way(w);
        woken++;
    }
    return woken;
}

/* The same for calls that do more. */
static __attribute__((noinline)) int
wake_key_locked(struct futex_bucket *b, const struct futex_key *key, int nr, u32 bitset)
{
    return wake_in_line(b, key, nr, bitset);
}

/** False if certainly nobody waits in @b. */
static inline bool has_waiters(const struct futex_bucket *b)
{
    mb(); /* the program's store to the word, then our look at the waiters */
    return __atomic_load_n(&b->nr_waiters, __ATOMIC_RELAXED) != 0;
}

static __attribute__((noinline)) int wake_some(struct futex_bucket *b, uaddr_t addr, int nr,
                                               u32 bitset)
{
    struct futex_key key = {(u64)(uintptr_t)mm_current(), addr};

    mutex_lock_inline(&b->lock);
    int woken = wake_in_line(b, &key, nr, bitset);
    mutex_unlock_inline(&b->lock);
    return woken;
}

static __attribute__((noinline)) int wake_any(uaddr_t addr, bool shared, int nr, u32 bitset)
{
    struct futex_key key;
    int err = get_key(addr, shared, &key);
    if (err)
        return err;
    struct futex_bucket *b = bucket_at(key.addr);
    if (!has_waiters(b))
        return 0;
    mutex_lock(&b->lock);
    int woken = wake_key_locked(b, &key, nr, bitset);
    mutex_unlock(&b->lock);
    return woken;
}

int futex_wake_and_leave(uaddr_t addr, bool shared, int nr, u32 bitset)
{
    return wake_any(addr, shared, nr, bitset);
}

int futex_wake(uaddr_t addr, bool shared, int nr, u32 bitset)
{
    int woken;

    if (unlikely(!bitset))
        return -EINVAL;
    if (likely(!shared && IS_ALIGNED(addr, 4) && addr < USER_TOP)) {
        struct futex_bucket *b = bucket_at(addr);
        if (!has_waiters(b))
            return 0;
        woken = wake_some(b, addr, nr, bitset);
    } else {
        woken = wake_any(addr, shared, nr, bitset);
    }
    thread_give_way();
    return woken;
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
    thread_give_way();
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
    thread_give_way();
    return woken;
}
