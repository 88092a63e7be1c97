/* What the end of a thread does to futexes: locks it still holds are marked and passed on (robust
 * list, as the C library keeps it), and who joins it is woken.  All of this memory is the
 * program's: what cannot be read ends the walk. */
#include "sched/futex.h"

#include "abi/errno.h"
#include "mm/uaccess.h"
#include "sched/futex_priv.h"
#include "sched/sched_priv.h"

/** The owner of the lock at @addr has died. @pending: it was about to take or leave it. */
static int mark_dead(uaddr_t addr, bool pi, bool pending)
{
    u32 self = (u32)current->tid, word, seen;
    int err = user_load32(addr, &word);
    for (; !err; word = seen) {
        if (pending && !pi && !word) { /* freed, but the wake was still to come */
            futex_wake_and_leave(addr, true, 1, FUTEX_BITSET_MATCH_ANY);
            return 0;
        }
        if ((word & FUTEX_TID_MASK) != self)
            return 0;
        err = user_cmpxchg32(addr, word, (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen);
        if (err || seen != word)
            continue;
        if (!pi && word & FUTEX_WAITERS)
            futex_wake_and_leave(addr, true, 1, FUTEX_BITSET_MATCH_ANY);
        return 0;
    }
    return err;
}

/** Split a list pointer: bit 0 says that the entry is a PI lock. */
static bool is_pi(u64 *entry)
{
    bool pi = *entry & 1;
    *entry &= ~1ull;
    return pi;
}

static void walk_robust_list(uaddr_t list)
{
    struct linux_robust_list_head head;
    u64 first, last;
    if (user_get64(&first, list + offsetof(struct linux_robust_list_head, list)) ||
        user_get64(&last, list + offsetof(struct linux_robust_list_head, list_op_pending)))
        return;
    if (likely(first == list && !last)) /* it holds none */
        return;
    if (copy_from_user(&head, list, sizeof(head)))
        return;
    u64 pending = head.list_op_pending, entry = head.list;
    bool pending_pi = is_pi(&pending), pi = is_pi(&entry);
    u64 offset = (u64)head.futex_offset;

    for (int i = 0; entry != list && i < ROBUST_LIST_LIMIT; i++) {
        u64 next;
        int err = copy_from_user(&next, entry, sizeof(next)); /* before who waits may free it */
        bool next_pi = !err && is_pi(&next);
        if (entry != pending && mark_dead(entry + offset, pi, false))
            return;
        if (err)
            return;
        entry = next;
        pi = next_pi;
    }
    if (pending)
        mark_dead(pending + offset, pending_pi, true);
}

void futex_leave_memory(struct thread *t)
{
    if (t->robust_list)
        walk_robust_list(t->robust_list);
    futex_pi_exit(t);
    if (!t->clear_child_tid || mm_users(t->mm) + t->process->nr_threads < 3)
        return; /* nobody else sees the memory */
    if (!user_put32(t->clear_child_tid, 0))
        futex_wake_and_leave(t->clear_child_tid, true, 1, FUTEX_BITSET_MATCH_ANY);
}
