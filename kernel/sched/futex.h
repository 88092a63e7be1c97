/* futex(2): waiting for a word of the program's.  Waiters lie in hashed buckets; a wake of nobody
 * looks at one counter and takes no lock.  Words are named by (address space, address), those in
 * shared mappings by their physical address. */
#pragma once

#include "abi/futex.h"
#include "mm/mm.h"

struct thread;

/* @shared: the word may be in a shared mapping (FUTEX_PRIVATE_FLAG is absent).  All: thread
 * context, may sleep; -EINVAL for an unaligned address, -EFAULT for one that cannot be read. */

/**
 * Sleep while the word is @val.  @deadline_ns: monotonic, or NO_DEADLINE.
 * 0 woken, -EAGAIN (the word differs), -ETIMEDOUT, or -ERESTARTSYS / -ERESTART_RESTARTBLOCK.
 */
int futex_wait(uaddr_t addr, bool shared, u32 val, u32 bitset, u64 deadline_ns);
/** The current thread leaves its memory, by its end or by execve: robust futexes, clear_child_tid.
 */
void futex_leave_memory(struct thread *thread);
/** Wake up to @nr waiters whose bitset meets @bitset. How many were woken. */
int futex_wake(uaddr_t addr, bool shared, int nr, u32 bitset);
/**
 * Wake up to @nr_wake waiters of @from, move up to @nr_move others to @to.  @expected: unless NULL,
 * the word at @from must be it, else -EAGAIN.  How many were woken; those moved count too with
 * @expected.
 */
int futex_requeue(uaddr_t from, bool shared, uaddr_t to, int nr_wake, int nr_move,
                  const u32 *expected);
/** FUTEX_WAKE_OP: change the word at @to by @encoded, wake there if its old value says so. */
int futex_wake_op(uaddr_t from, bool shared, uaddr_t to, int nr_from, int nr_to, u32 encoded);
/** Wait for any of @count words. The index of a woken one, or as futex_wait(). */
int futex_waitv(const struct linux_futex_waitv *words, unsigned count, u64 deadline_ns);

/** Priority-inheriting locks: the word holds the owner's tid.  0, -EDEADLK, -ESRCH (no such
 * owner), -ETIMEDOUT, -EAGAIN (@try and taken), -EPERM (unlock: not the owner). */
int futex_lock_pi(uaddr_t addr, bool shared, u64 deadline_ns, bool try);
int futex_unlock_pi(uaddr_t addr, bool shared);
/** Wait at @addr, whose word is @val, to be moved to the lock at @lock, and own that: 0.  -EAGAIN
 * where a signal came after the move, else as futex_lock_pi(). */
int futex_wait_requeue_pi(uaddr_t addr, bool shared, u32 val, u64 deadline_ns, uaddr_t lock);
/** Give the first who waits so at @from the lock at @to if it is free, and move it and @nr_move
 * others there.  How many, or -EAGAIN (the word is not @expected), -EINVAL (somebody waits
 * otherwise). */
int futex_cmp_requeue_pi(uaddr_t from, bool shared, uaddr_t to, int nr_move, u32 expected);

/** The thread leaves its memory, by its end or by execve: robust futexes, clear_child_tid. */
void futex_leave_memory(struct thread *thread);
