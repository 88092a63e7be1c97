/* Threads, waiting and futexes on a machine of one CPU whose threads are coroutines. */
#include "unit/test.h"

#include "core/time.h"
#include "fake/threads.h"
#include "sched/futex_priv.h"
#include "sched/sched_priv.h"

static char order[32];
static int steps;

static void step(char c)
{
    order[steps++ % 31] = c;
}

static void step_a(void)
{
    step('a');
    thread_yield();
    step('A');
}

static void step_b(void)
{
    step('b');
    thread_yield();
    step('B');
}

TEST(threads_of_equal_need_take_turns)
{
    machine_start();
    machine_thread(step_a);
    machine_thread(step_b);
    machine_settle();
    EXPECT_STR(order, "abAB", "yield goes behind the other");
}

static void slow(void)
{
    for (int i = 0; i < 4; i++) {
        step('s');
        machine_advance(3000000);
    }
}

TEST(a_slice_ends_only_while_somebody_waits)
{
    machine_start();
    machine_thread(slow);
    machine_settle();
    EXPECT_STR(order, "ssss", "alone it is not disturbed");
    machine_thread(slow);
    machine_thread(step_a);
    machine_settle();
    EXPECT_TRUE(strchr(order + 4, 'a') < strrchr(order, 's'), "the other ran in between");
}

static struct waitq queue;
static bool ready;
static int result;

static void sleeper(void)
{
    step('w');
    result = wait_event(&queue, ready, true, NO_DEADLINE);
    step('W');
}

TEST(a_wake_is_not_lost_and_the_condition_is_looked_at_again)
{
    machine_start();
    waitq_init(&queue);
    machine_thread(sleeper);
    machine_settle();
    EXPECT_STR(order, "w", "sleeps");
    waitq_wake_all(&queue, 0);
    machine_settle();
    EXPECT_STR(order, "w", "the condition does not hold yet");
    ready = true;
    waitq_wake_all(&queue, 0);
    machine_settle();
    EXPECT_STR(order, "wW", "woken");
    EXPECT_EQ(result, 0, NULL);
    EXPECT_TRUE(list_empty(&queue.waiters), "nothing stays in the queue");
}

TEST(a_sleep_ends_at_its_deadline)
{
    machine_start();
    waitq_init(&queue);
    u64 deadline = time_ns() + 5000000;
    EXPECT_EQ(wait_event(&queue, ready, true, deadline), -ETIMEDOUT, "the only thread idles");
    EXPECT_TRUE(time_ns() >= deadline, "not before");
    EXPECT_EQ(wait_event(&queue, ready, true, 1), -ETIMEDOUT, "a deadline in the past");
    EXPECT_FALSE(timer_is_set(&current->sleep_timer), "the timer is taken back");
}

static int nr_woken;

static void exclusive_sleeper(void)
{
    struct wait_entry entry;
    wait_entry_init(&entry);
    entry.exclusive = true;
    waitq_add(&queue, &entry);
    thread_prepare_sleep(false);
    thread_sleep_until(NO_DEADLINE);
    thread_finish_sleep();
    waitq_remove(&queue, &entry);
    nr_woken++;
}

TEST(a_queue_that_was_left_since_somebody_looked_wakes_nobody)
{
    waitq_init(&queue);
    waitq_wake_waiters(&queue, 0, 1);
    waitq_wake_waiters(&queue, 0, UINT32_MAX);
}

TEST(exclusive_waiters_are_woken_one_by_one)
{
    machine_start();
    waitq_init(&queue);
    for (int i = 0; i < 3; i++)
        machine_thread(exclusive_sleeper);
    machine_settle();
    waitq_wake(&queue, 0, 1);
    machine_settle();
    EXPECT_EQ(nr_woken, 1, NULL);
    waitq_wake_all(&queue, 0);
    machine_settle();
    EXPECT_EQ(nr_woken, 3, NULL);
}

static struct mutex mutex;

static void locker(void)
{
    mutex_lock(&mutex);
    step('l');
    thread_yield();
    step('L');
    mutex_unlock(&mutex);
}

TEST(a_mutex_is_handed_over_in_order)
{
    machine_start();
    mutex_init(&mutex);
    mutex_lock(&mutex);
    EXPECT_TRUE(mutex_held(&mutex), NULL);
    EXPECT_FALSE(mutex_trylock(&mutex), "not recursive");
    machine_thread(locker);
    machine_thread(locker);
    machine_settle();
    EXPECT_STR(order, "", "both wait");
    mutex_unlock(&mutex);
    EXPECT_FALSE(mutex_held(&mutex), "it is the first waiter's at once");
    machine_settle();
    EXPECT_STR(order, "lLlL", "one after the other");
    EXPECT_TRUE(mutex_trylock(&mutex), "free again");
}

/* ---- futexes ---- */

static u32 words[4];
static int results[8], nr_results;

static void record(int value)
{
    results[nr_results++] = value;
}

static uaddr_t addr_of(u32 *word)
{
    return (uaddr_t)(uintptr_t)word;
}

static void futex_waiter(void)
{
    record(futex_wait(addr_of(&words[0]), false, 0, 1, NO_DEADLINE));
}

static void bitset_waiter(void)
{
    record(futex_wait(addr_of(&words[0]), false, 0, 2, NO_DEADLINE));
}

TEST(futex_wait_refuses_a_word_that_differs)
{
    machine_start();
    words[0] = 1;
    EXPECT_EQ(futex_wait(addr_of(&words[0]), false, 0, 1, NO_DEADLINE), -EAGAIN, NULL);
    EXPECT_EQ(futex_wait(addr_of(&words[0]) + 1, false, 0, 1, NO_DEADLINE), -EINVAL, "unaligned");
    EXPECT_EQ(futex_wait(addr_of(&words[0]), false, 1, 0, NO_DEADLINE), -EINVAL, "no bits");
    EXPECT_EQ(futex_wait(8, false, 0, 1, NO_DEADLINE), -EFAULT, "not mapped");
    EXPECT_EQ(futex_wait(addr_of(&words[0]), false, 1, 1, time_ns() + 1000), -ETIMEDOUT, NULL);
    EXPECT_EQ(futex_wake(addr_of(&words[0]), false, 1, ~0u), 0, "nobody is left behind");
}

TEST(futex_wake_counts_and_matches_bits)
{
    machine_start();
    machine_thread(futex_waiter);
    machine_thread(bitset_waiter);
    machine_thread(futex_waiter);
    machine_settle();
    EXPECT_EQ(futex_wake(addr_of(&words[1]), false, 9, ~0u), 0, "another word");
    EXPECT_EQ(futex_wake(addr_of(&words[0]), false, 9, 2), 1, "by bits");
    EXPECT_EQ(futex_wake(addr_of(&words[0]), false, 1, ~0u), 1, "by number");
    machine_settle();
    EXPECT_EQ(nr_results, 2, NULL);
    EXPECT_EQ(futex_wake(addr_of(&words[0]), false, 9, ~0u), 1, "the rest");
    machine_settle();
    EXPECT_EQ(nr_results, 3, NULL);
}

TEST(futex_requeue_moves_without_waking)
{
    machine_start();
    for (int i = 0; i < 3; i++)
        machine_thread(futex_waiter);
    machine_settle();
    u32 expected = 7;
    EXPECT_EQ(futex_requeue(addr_of(&words[0]), false, addr_of(&words[1]), 1, 9, &expected),
              -EAGAIN, "the word differs");
    expected = 0;
    EXPECT_EQ(futex_requeue(addr_of(&words[0]), false, addr_of(&words[1]), 1, 9, &expected), 3,
              "one woken, two moved");
    machine_settle();
    EXPECT_EQ(nr_results, 1, NULL);
    EXPECT_EQ(futex_wake(addr_of(&words[0]), false, 9, ~0u), 0, "nobody at the old place");
    EXPECT_EQ(futex_wake(addr_of(&words[1]), false, 9, ~0u), 2, "both at the new one");
    machine_settle();
    EXPECT_EQ(nr_results, 3, NULL);
}

TEST(futex_wake_op_changes_and_compares)
{
    machine_start();
    words[1] = 5;
    u32 add_3_if_gt_4 = FUTEX_OP_ADD << 28 | FUTEX_OP_CMP_GT << 24 | 3 << 12 | 4;
    machine_thread(futex_waiter);
    machine_settle();
    EXPECT_EQ(futex_wake_op(addr_of(&words[0]), false, addr_of(&words[1]), 1, 1, add_3_if_gt_4), 1,
              NULL);
    EXPECT_EQ(words[1], 8, NULL);
    u32 minus_1 = FUTEX_OP_ADD << 28 | 0xfff << 12;
    futex_wake_op(addr_of(&words[0]), false, addr_of(&words[1]), 1, 1, minus_1);
    EXPECT_EQ(words[1], 7, "the argument is signed");
    u32 bit_4 = (u32)(FUTEX_OP_OR | FUTEX_OP_ARG_SHIFT) << 28 | 4 << 12;
    futex_wake_op(addr_of(&words[0]), false, addr_of(&words[1]), 1, 1, bit_4);
    EXPECT_EQ(words[1], 0x17, "a shifted argument");
    EXPECT_EQ(futex_wake_op(addr_of(&words[0]), false, addr_of(&words[1]), 1, 1, 7u << 28), -ENOSYS,
              "no such operation");
}

static void shared_waiter(void)
{
    record(futex_wait(addr_of(&words[0]), true, 0, 1, NO_DEADLINE));
}

TEST(a_shared_futex_is_one_under_both_its_addresses)
{
    machine_start();
    machine_alias(&words[0], &words[3]);
    machine_thread(shared_waiter);
    machine_settle();
    EXPECT_EQ(futex_wake(addr_of(&words[3]), false, 1, ~0u), 0, "private: by address");
    EXPECT_EQ(futex_wake(addr_of(&words[3]), true, 1, ~0u), 1, "shared: by page");
    machine_settle();
    EXPECT_EQ(nr_results, 1, NULL);
}

static void waitv(void)
{
    struct linux_futex_waitv many[3];
    for (int i = 0; i < 3; i++)
        many[i] = (struct linux_futex_waitv){.uaddr = addr_of(&words[i]),
                                             .flags = FUTEX2_SIZE_U32 | FUTEX2_PRIVATE};
    record(futex_waitv(many, 3, NO_DEADLINE));
}

TEST(futex_waitv_tells_which)
{
    machine_start();
    machine_thread(waitv);
    machine_settle();
    EXPECT_EQ(futex_wake(addr_of(&words[2]), false, 1, ~0u), 1, NULL);
    machine_settle();
    EXPECT_EQ(nr_results, 1, NULL);
    EXPECT_EQ(results[0], 2, NULL);
    EXPECT_EQ(futex_wake(addr_of(&words[0]), false, 1, ~0u), 0, "nothing is left queued");
}

static void pi_user(void)
{
    record(futex_lock_pi(addr_of(&words[0]), false, NO_DEADLINE, false));
    step((words[0] & FUTEX_TID_MASK) == (u32)current->tid ? 'p' : '?');
    record(futex_unlock_pi(addr_of(&words[0]), false));
}

TEST(a_pi_lock_is_handed_over)
{
    machine_start();
    /* The boot thread is not in the table: let a real thread own the lock. */
    struct thread *owner = machine_thread(futex_waiter);
    words[0] = 0;
    machine_settle();
    words[0] = (u32)owner->tid;
    EXPECT_EQ(futex_lock_pi(addr_of(&words[0]), false, NO_DEADLINE, true), -EAGAIN, "taken");
    machine_thread(pi_user);
    machine_thread(pi_user);
    machine_settle();
    EXPECT_TRUE(words[0] & FUTEX_WAITERS, "the owner learns of it");
    EXPECT_EQ(futex_unlock_pi(addr_of(&words[0]), false), -EPERM, "not ours");
    futex_pi_exit(owner); /* it dies: the next one gets the lock */
    machine_settle();
    EXPECT_STR(order, "pp", NULL);
    EXPECT_EQ(words[0] & FUTEX_TID_MASK, 0, "free");
    EXPECT_EQ(results[0] | results[1] | results[2] | results[3], 0, NULL);
    words[0] = 30000;
    EXPECT_EQ(futex_lock_pi(addr_of(&words[0]), false, NO_DEADLINE, false), -ESRCH,
              "no such owner");
    words[0] = (u32)current->tid;
    EXPECT_EQ(futex_lock_pi(addr_of(&words[0]), false, NO_DEADLINE, false), -EDEADLK, NULL);
}

/* ---- the end of a thread ---- */

static u32 robust_word;
static struct {
    u64 next;
    u32 *word;
} robust_entry;
static struct linux_robust_list_head robust;

static void dies_with_lock(void)
{
    robust_word = (u32)current->tid | FUTEX_WAITERS;
    robust_entry.next = addr_of((u32 *)&robust);
    robust.list = addr_of((u32 *)&robust_entry);
    robust.futex_offset = (s64)(addr_of(&robust_word) - robust.list);
    current->robust_list = addr_of((u32 *)&robust);
    current->clear_child_tid = addr_of(&words[0]);
}

TEST(the_end_of_a_thread_frees_its_locks_and_wakes_who_joins)
{
    machine_start();
    machine_thread(shared_waiter); /* joins: waits for words[0] */
    words[0] = 0;
    machine_settle();
    machine_thread(dies_with_lock);
    machine_settle();
    EXPECT_EQ(robust_word, FUTEX_WAITERS | FUTEX_OWNER_DIED, NULL);
    EXPECT_EQ(nr_results, 1, "the joiner was woken");
}

static void nothing(void)
{
}

TEST(threads_are_recycled_and_counted)
{
    struct sched_stats stats;
    machine_start();
    machine_thread(futex_waiter); /* keeps the process alive */
    machine_settle();
    struct thread *first = machine_thread(nothing);
    int tid = first->tid;
    machine_settle();
    EXPECT_TRUE(thread_find(tid) == NULL, "gone");
    struct thread *second = machine_thread(nothing);
    EXPECT_TRUE(second == first, "the memory is the same");
    EXPECT_EQ(second->tid, tid + 1, "the number is not");
    machine_settle();
    sched_get_stats(&stats);
    EXPECT_EQ(stats.threads, 1, NULL);
    EXPECT_EQ(stats.created, 3, NULL);
}

TEST(the_last_thread_ends_the_program)
{
    machine_start();
    current->process->exit_status = 7 << 8;
    machine_thread(nothing);
    machine_settle();
    EXPECT_EQ(machine_ended, 7, "VM_EXIT with its status");
}

TEST(thread_create_passes_on_any_one_failure)
{
    machine_start();
    machine_thread(futex_waiter);
    machine_settle();
    FOR_EACH_FAULT(fault) {
        struct thread *t = machine_thread(nothing);
        EXPECT_EQ(t == NULL, fault.err != 0, fault.what);
        machine_settle();
        EXPECT_EQ(current->process->nr_threads, 1, "nothing is left");
    }
}
