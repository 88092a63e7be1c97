/* futex(2): decoding of operations; the work is in sched/futex.c. */
#include "sched/futex.h"

#include "abi/errno.h"
#include "mm/heap.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

static bool takes_timeout(int cmd)
{
    return cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
           cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_REQUEUE_PI;
}

/** The deadline on the monotonic clock. FUTEX_WAIT alone has a relative timeout. */
static int read_deadline(int op, uaddr_t timeout, u64 *deadline_ns)
{
    int cmd = op & FUTEX_CMD_MASK;
    *deadline_ns = NO_DEADLINE;
    if (!timeout || !takes_timeout(cmd))
        return 0;
    u64 ns;
    int err = get_timespec_ns(timeout, &ns);
    if (err)
        return err;
    bool real = op & FUTEX_CLOCK_REALTIME || cmd == FUTEX_LOCK_PI;
    if (cmd == FUTEX_WAIT)
        *deadline_ns = time_after_ns(ns);
    else if (real && ns != TIME_NEVER)
        *deadline_ns = ns > time_real_offset_ns() ? ns - time_real_offset_ns() : 0;
    else
        *deadline_ns = ns;
    return 0;
}

static __attribute__((noinline)) long futex_any(uaddr_t uaddr, int op, unsigned val, u64 timeout,
                                                uaddr_t uaddr2, unsigned val3)
{
    bool shared = !(op & FUTEX_PRIVATE_FLAG);
    int cmd = op & FUTEX_CMD_MASK;
    if (cmd == FUTEX_WAKE)
        return futex_wake(uaddr, shared, (int)val, FUTEX_BITSET_MATCH_ANY);

    u64 deadline_ns;
    int err = read_deadline(op, timeout, &deadline_ns);
    if (err)
        return err;
    int nr2 = (int)timeout; /* the operations on two words have a number in its place */
    switch (cmd) {
    case FUTEX_WAIT:
        return futex_wait(uaddr, shared, val, FUTEX_BITSET_MATCH_ANY, deadline_ns);
    case FUTEX_WAIT_BITSET:
        return futex_wait(uaddr, shared, val, val3, deadline_ns);
    case FUTEX_WAKE_BITSET:
        return futex_wake(uaddr, shared, (int)val, val3);
    case FUTEX_REQUEUE:
        return futex_requeue(uaddr, shared, uaddr2, (int)val, nr2, NULL);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(uaddr, shared, uaddr2, (int)val, nr2, &val3);
    case FUTEX_WAKE_OP:
        return futex_wake_op(uaddr, shared, uaddr2, (int)val, nr2, val3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return futex_lock_pi(uaddr, shared, deadline_ns, false);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(uaddr, shared, NO_DEADLINE, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(uaddr, shared);
    case FUTEX_WAIT_REQUEUE_PI:
        return futex_wait_requeue_pi(uaddr, shared, val, deadline_ns, uaddr2);
    case FUTEX_CMP_REQUEUE_PI:
        return val == 1 ? futex_cmp_requeue_pi(uaddr, shared, uaddr2, nr2, val3) : -EINVAL;
    default:
        return -ENOSYS;
    }
}

/* The wake and the waits that a program calls most go the short way: FUTEX_WAIT is the C library's
 * of a mutex, FUTEX_WAIT_BITSET without a timeout that of all else. */
long sys_futex(uaddr_t uaddr, int op, unsigned val, u64 timeout, uaddr_t uaddr2, unsigned val3)
{
    if (op == (FUTEX_WAKE | FUTEX_PRIVATE_FLAG))
        return futex_wake(uaddr, false, (int)val, FUTEX_BITSET_MATCH_ANY);
    if (!timeout) {
        if (op == (FUTEX_WAIT | FUTEX_PRIVATE_FLAG))
            return futex_wait(uaddr, false, val, FUTEX_BITSET_MATCH_ANY, NO_DEADLINE);
        if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET)
            return futex_wait(uaddr, !(op & FUTEX_PRIVATE_FLAG), val, val3, NO_DEADLINE);
    }
    return futex_any(uaddr, op, val, timeout, uaddr2, val3);
}

static int check_waitv(const struct linux_futex_waitv *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (words[i].reserved || words[i].flags & ~(u32)(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE) ||
            (words[i].flags & FUTEX2_SIZE_MASK) != FUTEX2_SIZE_U32)
            return -EINVAL;
    return 0;
}

static int read_waitv_deadline(uaddr_t timeout, int clock, u64 *deadline_ns)
{
    *deadline_ns = NO_DEADLINE;
    if (!timeout)
        return 0;
    if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
        return -EINVAL;
    int op = FUTEX_WAIT_BITSET | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
    return read_deadline(op, timeout, deadline_ns);
}

long sys_futex_waitv(uaddr_t waiters, unsigned count, unsigned flags, uaddr_t timeout, int clock)
{
    if (flags || !count || count > FUTEX_WAITV_MAX || !waiters)
        return -EINVAL;
    u64 deadline_ns;
    long result = read_waitv_deadline(timeout, clock, &deadline_ns);
    if (result)
        return result;
    struct linux_futex_waitv *words = kcalloc(count, sizeof(*words));
    if (!words)
        return -ENOMEM;
    result = copy_from_user(words, waiters, count * sizeof(*words));
    if (!result)
        result = check_waitv(words, count);
    if (!result)
        result = futex_waitv(words, count, deadline_ns);
    kfree(words);
    return result;
}
