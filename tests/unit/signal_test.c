/* Signals: queues, who gets them, what is delivered in which order; timers of the program. */
#include "unit/test.h"

#include "arch/frame.h"
#include "core/time.h"
#include "fake/threads.h"
#include "sched/posix_timer.h"
#include "sched/sched_priv.h"

static struct siginfo64 info_of(int sig, u64 value)
{
    struct siginfo64 info = {.si_signo = sig, .si_code = SI_QUEUE};
    info.rt.value = value;
    return info;
}

static int add(struct sigqueue *q, int sig, u64 value, u32 *counter)
{
    struct siginfo64 info = info_of(sig, value);
    return sigqueue_add(q, &info, counter, 4);
}

TEST(queue_order_is_faults_then_low_numbers_then_arrival)
{
    struct sigqueue q;
    struct siginfo64 info;
    u32 counter = 0;
    sigqueue_init(&q);
    add(&q, SIGRTMIN + 3, 1, &counter);
    add(&q, SIGRTMIN + 3, 2, &counter);
    add(&q, SIGUSR1, 3, &counter);
    add(&q, SIGSEGV, 4, &counter);
    EXPECT_EQ(sigqueue_take(&q, ~0ull, &info, &counter), SIGSEGV, NULL);
    EXPECT_EQ(sigqueue_take(&q, ~0ull, &info, &counter), SIGUSR1, NULL);
    EXPECT_EQ(sigqueue_take(&q, sigmask(SIGHUP), &info, &counter), 0, "not in the set");
    EXPECT_EQ(sigqueue_take(&q, ~0ull, &info, &counter), SIGRTMIN + 3, NULL);
    EXPECT_EQ(info.rt.value, 1, "first in, first out");
    EXPECT_TRUE(q.pending, "one more");
    sigqueue_take(&q, ~0ull, &info, &counter);
    EXPECT_EQ(info.rt.value, 2, NULL);
    EXPECT_EQ(q.pending, 0, NULL);
    EXPECT_EQ(counter, 0, NULL);
}

TEST(queue_merges_classic_signals_and_limits_real_time_ones)
{
    struct sigqueue q;
    struct siginfo64 info;
    u32 counter = 0;
    sigqueue_init(&q);
    add(&q, SIGUSR1, 1, &counter);
    add(&q, SIGUSR1, 2, &counter);
    EXPECT_EQ(counter, 1, "one entry for a classic signal");
    for (int i = 0; i < 3; i++)
        EXPECT_EQ(add(&q, SIGRTMIN, i, &counter), 0, NULL);
    EXPECT_EQ(add(&q, SIGRTMIN, 9, &counter), -EAGAIN, "the limit");
    EXPECT_EQ(add(&q, SIGUSR2, 9, &counter), 0, "a classic one loses its information");
    EXPECT_EQ(sigqueue_take(&q, sigmask(SIGUSR2), &info, &counter), SIGUSR2, NULL);
    EXPECT_EQ(info.si_code, SI_USER, NULL);
    sigqueue_flush(&q, &counter);
    EXPECT_EQ(counter, 0, NULL);
}

/* ---- with threads ---- */

static struct trap_frame frame = {.orig_rax = (u64)-1};

static void set_handler(int sig, u64 flags)
{
    struct sigaction64 act = {.handler = 0x1000, .flags = flags};
    signal_action(sig, &act, NULL);
}

static int send(int sig)
{
    struct siginfo64 info = info_of(sig, 0);
    return signal_send_process(current->process, &info);
}

static int got;

static void takes_signals(void)
{
    signal_set_blocked(sigmask(SIGUSR2));
    thread_prepare_sleep(true);
    int err = thread_sleep_until(NO_DEADLINE);
    thread_finish_sleep();
    (void)err;
    program_exit_work(&frame);
    got++;
}

TEST(a_signal_interrupts_and_runs_its_handler)
{
    machine_start();
    set_handler(SIGUSR1, 0);
    set_handler(SIGUSR2, 0);
    current->blocked = ~0ull; /* the boot thread takes none */
    struct thread *t = machine_thread(takes_signals);
    t->blocked = 0;
    machine_settle();
    send(SIGUSR2);
    machine_settle();
    EXPECT_EQ(machine_nr_delivered, 0, "blocked: stays pending");
    send(SIGUSR1);
    machine_settle();
    EXPECT_EQ(machine_nr_delivered, 1, NULL);
    EXPECT_EQ(machine_delivered[0], SIGUSR1, NULL);
    EXPECT_EQ(got, 1, NULL);
}

static int waited;

static void waits_for_usr1(void)
{
    struct siginfo64 info;
    signal_set_blocked(sigmask(SIGUSR1) | sigmask(SIGCHLD));
    waited = signal_wait(sigmask(SIGUSR1) | sigmask(SIGCHLD), &info, time_ns() + NSEC_PER_SEC);
}

TEST(sigtimedwait_takes_even_what_would_be_ignored)
{
    machine_start();
    current->blocked = ~0ull;
    machine_thread(waits_for_usr1);
    machine_settle();
    send(SIGCHLD);
    machine_settle();
    EXPECT_EQ(waited, SIGCHLD, NULL);
}

static void restarts(void)
{
    struct trap_frame f = {.orig_rax = 202, .rip = 0x1002};
    f.rax = (u64)-ERESTARTSYS;
    thread_set_work(current, WORK_SIGNAL);
    program_exit_work(&f);
    EXPECT_EQ(f.rax, 202, "no handler: the call again");
    EXPECT_EQ(f.rip, 0x1000, NULL);

    set_handler(SIGUSR1, 0);
    f = (struct trap_frame){.orig_rax = 202, .rip = 0x1002, .rax = (u64)-ERESTARTSYS};
    send(SIGUSR1);
    program_exit_work(&f);
    EXPECT_EQ((s64)f.rax, -EINTR, "a handler without SA_RESTART");

    set_handler(SIGUSR1, SA_RESTART);
    signal_set_blocked(0); /* the handler has returned */
    f = (struct trap_frame){.orig_rax = 202, .rip = 0x1002, .rax = (u64)-ERESTARTSYS};
    send(SIGUSR1);
    program_exit_work(&f);
    EXPECT_EQ(f.rip, 0x1000, "SA_RESTART");

    f = (struct trap_frame){.orig_rax = 35, .rip = 0x1002, .rax = (u64)-ERESTART_RESTARTBLOCK};
    thread_set_work(current, WORK_SIGNAL);
    program_exit_work(&f);
    EXPECT_EQ(f.rax, 219, "restart_syscall");
    got = 1;
}

TEST(interrupted_calls_restart_as_signal_7_says)
{
    machine_start();
    current->blocked = ~0ull;
    struct thread *t = machine_thread(restarts);
    t->blocked = 0;
    machine_settle();
    EXPECT_EQ(got, 1, NULL);
}

static void raises_term(void)
{
    send(SIGTERM);
    program_exit_work(&frame);
    got = 1;
}

TEST(the_default_of_a_stop_signal_ends_the_first_process)
{
    machine_start();
    current->blocked = ~0ull;
    struct thread *t = machine_thread(raises_term);
    t->blocked = 0;
    machine_settle();
    EXPECT_EQ(machine_ended, 1 << 8 | SIGTERM, "VM_SIGNAL");
    EXPECT_EQ(got, 0, "it did not go on");
}

static void faults_with_bad_handler(void)
{
    struct sigaction64 act = {.handler = SIG_IGN + 1};
    signal_action(SIGSEGV, &act, NULL);
    signal_force(SIGSEGV, SEGV_MAPERR, 0x10, &frame);
    program_exit_work(&frame);
    got = 1;
}

TEST(a_fault_whose_handler_cannot_run_is_fatal)
{
    machine_start();
    current->blocked = ~0ull;
    struct thread *t = machine_thread(faults_with_bad_handler);
    t->blocked = 0;
    machine_settle();
    EXPECT_EQ(machine_ended, 1 << 8 | SIGSEGV, NULL);
}

TEST(an_alternate_stack_is_checked)
{
    struct sigaltstack64 stack = {.sp = 0x10000, .size = 8192}, old;
    machine_start();
    EXPECT_EQ(signal_altstack(&stack, &old, 0x5000), 0, NULL);
    EXPECT_EQ(signal_altstack(NULL, &old, 0x5000), 0, NULL);
    EXPECT_EQ(old.flags, 0, "not on it");
    signal_altstack(NULL, &old, 0x11000);
    EXPECT_EQ(old.flags, SS_ONSTACK, NULL);
    EXPECT_EQ(signal_altstack(&stack, NULL, 0x11000), -EPERM, "in use");
    stack.size = 100;
    EXPECT_EQ(signal_altstack(&stack, NULL, 0x5000), -ENOMEM, "too small");
    stack.flags = 77;
    EXPECT_EQ(signal_altstack(&stack, NULL, 0x5000), -EINVAL, NULL);
}

/* ---- timers ---- */

static void lives(void)
{
    thread_prepare_sleep(false);
    thread_sleep_until(NO_DEADLINE);
}

TEST(a_timer_that_is_late_counts_its_overruns)
{
    int id;
    struct siginfo64 info;
    struct linux_sigevent event = {.signo = SIGRTMIN, .notify = SIGEV_SIGNAL, .value = 77};
    machine_start();
    set_handler(SIGRTMIN, 0);
    struct thread *t = machine_thread(lives);
    t->blocked = ~0ull;
    machine_settle();
    EXPECT_EQ(posix_timer_create(CLOCK_MONOTONIC, &event, &id), 0, NULL);
    struct timer_setting setting = {.value = 1000000, .interval = 1000000}, left;
    EXPECT_EQ(posix_timer_set(id, false, &setting, NULL), 0, NULL);
    machine_advance(10500000);
    EXPECT_EQ(signal_dequeue(t, sigmask(SIGRTMIN), &info), SIGRTMIN, NULL);
    EXPECT_EQ(info.si_code, SI_TIMER, NULL);
    EXPECT_EQ(info.timer.value, 77, NULL);
    EXPECT_EQ(info.timer.overrun, 9, "ten expiries, one signal");
    EXPECT_EQ(posix_timer_overrun(id), 9, NULL);
    EXPECT_EQ(posix_timer_get(id, &left), 0, NULL);
    EXPECT_TRUE(left.value > 0 && left.value <= 1000000, "it goes on");
    EXPECT_EQ(posix_timer_delete(id), 0, NULL);
    EXPECT_EQ(posix_timer_delete(id), -EINVAL, "gone");
    EXPECT_EQ(posix_timer_create(99, &event, &id), -EINVAL, "no such clock");
}

TEST(timer_ids_are_the_lowest_free)
{
    int a, b, c;
    machine_start();
    posix_timer_create(CLOCK_REALTIME, NULL, &a);
    posix_timer_create(CLOCK_REALTIME, NULL, &b);
    EXPECT_EQ(b, a + 1, NULL);
    posix_timer_delete(a);
    posix_timer_create(CLOCK_REALTIME, NULL, &c);
    EXPECT_EQ(c, a, NULL);
    posix_timer_delete(b);
    posix_timer_delete(c);
}

TEST(an_interval_timer_tells_what_is_left)
{
    struct timer_setting new = {.value = 2 * NSEC_PER_SEC}, old;
    machine_start();
    EXPECT_EQ(itimer_set(ITIMER_REAL, &new, &old), 0, NULL);
    EXPECT_EQ(old.value, 0, NULL);
    machine_advance(500000000);
    new.value = 0;
    EXPECT_EQ(itimer_set(ITIMER_REAL, &new, &old), 0, NULL);
    EXPECT_TRUE(old.value > 1400000000 && old.value <= 1500000000, NULL);
    EXPECT_EQ(itimer_set(3, &new, &old), -EINVAL, NULL);
}
