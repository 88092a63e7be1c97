/* What futex.c and futex_pi.c share. */
#pragma once

#include "sched/futex.h"
#include "sched/thread.h"

struct futex_key {
    u64 space; /* the struct mm, or FUTEX_PHYSICAL */
    u64 addr;
};
enum { FUTEX_PHYSICAL = 1 };

/* [B] under the bucket's lock.  The lock sleeps, because the word is looked at while it is held and
 * its page may have to be read in. */
struct futex_bucket {
    struct mutex lock;
    struct list_head waiters; /* [B] in order of arrival */
    u32 nr_waiters;           /* [A] counted up before the word is looked at */
    u8 looks_missed;          /* [A] looks in a row that did not see the word change */
    u8 looks_left_out;        /* [A] waits since the last look */
} __attribute__((aligned(64)));

/* On the waiting thread's stack. */
struct futex_waiter {
    struct list_head node;       /* [B] */
    struct futex_key key;        /* [B] */
    struct futex_bucket *bucket; /* [B] changes with a requeue */
    struct thread *thread;       /* [I] */
    u32 bitset;                  /* [I] */
    int pi_owner;                /* [B] tid of the owner it waits for, negative: woken as that one
                                  * is dead; 0: no PI lock */
    uaddr_t pi_addr;         /* [I] its word, 0: none; FUTEX_WAIT_REQUEUE_PI is to be moved there */
    struct futex_key pi_key; /* [I] likewise, of the latter */
    bool woken;              /* [B] and out of the list; read without to end the sleep */
};

/** Name the word. 0, -EINVAL or -EFAULT. */
int futex_key_get(uaddr_t addr, bool shared, struct futex_key *key);
/** As futex_wake(), for a thread that ends: it gives way to whom it has woken anyway. */
int futex_wake_and_leave(uaddr_t addr, bool shared, int nr, u32 bitset);
/** Where waiters for the word are; others may be there as well. */
struct futex_bucket *futex_bucket_of(const struct futex_key *key);
/** Do they name the same word? */
static inline bool futex_key_equal(const struct futex_key *a, const struct futex_key *b)
{
    return a->addr == b->addr && a->space == b->space;
}
/** A waiter of the current thread, in no bucket; @bitset: FUTEX_WAIT_BITSET's. */
void futex_waiter_init(struct futex_waiter *w, const struct futex_key *key, u32 bitset);
/** Put @w at the end of its key's bucket and return that with its lock held. */
struct futex_bucket *futex_queue_lock(struct futex_waiter *w);
/** Queue @w if the word at @addr is @val. 0, -EAGAIN, -EFAULT, -EINVAL. */
int futex_queue_if_equal(struct futex_waiter *w, uaddr_t addr, u32 val);

/* Two words, whose buckets may be one. */
struct futex_pair {
    struct futex_key key1, key2;
    struct futex_bucket *b1, *b2;
};
/** Name them and lock their buckets. 0, -EINVAL or -EFAULT. */
int futex_pair_lock(struct futex_pair *pair, uaddr_t addr1, uaddr_t addr2, bool shared);
/** Unlock both buckets, or the one that they are. */
void futex_pair_unlock(struct futex_pair *pair);
/** @w, which waits for the first word, shall wait for the second. */
void futex_move_waiter(struct futex_pair *pair, struct futex_waiter *w);
/** Take @w out, its bucket being locked. */
void futex_unqueue_locked(struct futex_waiter *w);
/** Take @w out wherever it is. True if it had been woken. */
bool futex_unqueue(struct futex_waiter *w);
/** Take @w out and wake it. The bucket is locked. */
void futex_wake_waiter_locked(struct futex_waiter *w);
/** Sleep until woken. 0, -EINTR or -ETIMEDOUT. */
int futex_sleep(struct futex_waiter *w, u64 deadline_ns);
/** @thread, the current one, ends: hand the PI locks it owns to who waits. */
void futex_pi_exit(struct thread *thread);
/** Bucket @index, below FUTEX_BUCKETS: for who walks over all. */
struct futex_bucket *futex_bucket_at(unsigned index);
enum { FUTEX_BUCKETS = 128 };
