/* Signals: handlers, masks, stacks, waiting for them, timers, interrupted calls. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile int seen_signal, seen_count, seen_value, seen_code;
static volatile pid_t seen_pid;
static char *volatile seen_stack;

static void on_signal(int sig)
{
    char here;
    seen_signal = sig;
    seen_stack = &here;
    seen_count++;
}

static void on_info(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    on_signal(sig);
    seen_code = info->si_code;
    seen_pid = info->si_pid;
    seen_value = info->si_value.sival_int;
    if (uc->uc_mcontext.gregs[REG_RIP] == 0)
        seen_count = -1000;
}

static void handle(int sig, void (*handler)(int), int flags)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    sigaction(sig, &sa, NULL);
    seen_signal = seen_count = 0;
}

static void handle_info(int sig, int flags)
{
    struct sigaction sa = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | flags};
    sigaction(sig, &sa, NULL);
    seen_signal = seen_count = 0;
}

static void mask(int how, int sig)
{
    sigset_t set;
    sigemptyset(&set);
    if (sig)
        sigaddset(&set, sig);
    sigprocmask(how, &set, NULL);
}

CASE(a_handler_runs_and_the_program_goes_on)
{
    handle(SIGUSR1, on_signal, 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(seen_signal == SIGUSR1 && seen_count == 1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(seen_count, 2);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1), 0);
    CHECK_EQ(seen_count, 3);
    CHECK_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
    CHECK_EQ(seen_count, 4);
    CHECK_EQ(kill(getpid(), 0), 0);
    CHECK_ERR(kill(getpid(), 99), EINVAL);
    CHECK_ERR(kill(0x3fffffff, 0), ESRCH);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), 0x3fffffff, SIGUSR1), ESRCH);
}

CASE(ignored_signals_are_gone)
{
    handle(SIGUSR1, on_signal, 0);
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    handle(SIGUSR1, SIG_IGN, 0); /* throws away what is pending */
    handle(SIGUSR1, on_signal, 0);
    mask(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(seen_count, 0);
    signal(SIGCHLD, SIG_DFL);
    raise(SIGCHLD);
    signal(SIGURG, SIG_DFL);
    raise(SIGURG);
    signal(SIGWINCH, SIG_DFL);
    raise(SIGWINCH);
}

CASE(sigaction_gives_back_what_was_set)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_NODEFER}, old;
    sigaddset(&sa.sa_mask, SIGUSR2);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &old), 0);
    CHECK(old.sa_handler == on_signal && sigismember(&old.sa_mask, SIGUSR2) == 1);
    CHECK_EQ(old.sa_flags & (SA_RESTART | SA_NODEFER), SA_RESTART | SA_NODEFER);
    CHECK_ERR(sigaction(SIGKILL, &sa, NULL), EINVAL);
    CHECK_ERR(sigaction(SIGSTOP, &sa, NULL), EINVAL);
    CHECK_ERR(sigaction(0, &sa, NULL), EINVAL);
    CHECK_ERR(sigaction(65, &sa, NULL), EINVAL);
}

CASE(a_blocked_signal_waits)
{
    sigset_t set;
    handle(SIGUSR1, on_signal, 0);
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    raise(SIGUSR1);
    CHECK_EQ(seen_count, 0);
    CHECK(sigpending(&set) == 0 && sigismember(&set, SIGUSR1) == 1);
    mask(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(seen_count, 1); /* standard signals do not queue */
    CHECK(sigpending(&set) == 0 && sigismember(&set, SIGUSR1) == 0);
    CHECK_ERR(sigprocmask(99, &set, NULL), EINVAL);
    sigfillset(&set);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &set), 0);
    CHECK(!sigismember(&set, SIGKILL) && !sigismember(&set, SIGSTOP) && sigismember(&set, SIGHUP));
    mask(SIG_SETMASK, 0);
}

CASE(real_time_signals_queue_in_order)
{
    handle_info(SIGRTMIN, 0);
    mask(SIG_BLOCK, SIGRTMIN);
    for (int i = 1; i <= 5; i++)
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}), 0);
    mask(SIG_UNBLOCK, SIGRTMIN);
    CHECK_EQ(seen_count, 5);
    CHECK(seen_value == 5 || seen_value == 1);
    CHECK(seen_code == SI_QUEUE && seen_pid == getpid());
}

CASE(siginfo_says_who_sent_it)
{
    handle_info(SIGUSR1, 0);
    kill(getpid(), SIGUSR1);
    CHECK(seen_code == SI_USER && seen_pid == getpid());
    raise(SIGUSR1);
    CHECK(seen_code == SI_TKILL && seen_pid == getpid());
}

CASE(sa_resethand_is_once)
{
    struct sigaction old;
    handle(SIGUSR1, on_signal, SA_RESETHAND);
    raise(SIGUSR1);
    CHECK_EQ(seen_count, 1);
    CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
}

static volatile int depth, max_depth;
static void on_nested(int sig)
{
    if (++depth > max_depth)
        max_depth = depth;
    if (seen_count++ < 3)
        raise(sig);
    depth--;
}

CASE(nodefer_nests_and_the_default_does_not)
{
    handle(SIGUSR1, on_nested, 0);
    max_depth = depth = 0;
    raise(SIGUSR1);
    CHECK(seen_count == 4 && max_depth == 1);
    handle(SIGUSR1, on_nested, SA_NODEFER);
    max_depth = depth = 0;
    raise(SIGUSR1);
    CHECK(seen_count == 4 && max_depth == 4);
}

static volatile sigset_t *mask_seen;
static void on_mask(int sig)
{
    (void)sig;
    static sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    mask_seen = &set;
}

CASE(the_mask_of_a_handler)
{
    struct sigaction sa = {.sa_handler = on_mask};
    sigset_t after;
    sigaddset(&sa.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
    NEED(mask_seen);
    CHECK(sigismember((sigset_t *)mask_seen, SIGUSR1) &&
          sigismember((sigset_t *)mask_seen, SIGUSR2));
    sigprocmask(SIG_BLOCK, NULL, &after);
    CHECK(!sigismember(&after, SIGUSR1) && !sigismember(&after, SIGUSR2));
}

CASE(the_alternate_stack)
{
    static char stack[64 * 1024];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)}, old;
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    handle(SIGUSR1, on_signal, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(seen_stack >= stack && seen_stack < stack + sizeof(stack));
    handle(SIGUSR1, on_signal, 0);
    raise(SIGUSR1);
    CHECK(seen_stack < stack || seen_stack >= stack + sizeof(stack));
    CHECK(sigaltstack(NULL, &old) == 0 && old.ss_sp == stack && old.ss_flags == 0);
    ss.ss_size = 100;
    CHECK_ERR(sigaltstack(&ss, NULL), ENOMEM);
    ss.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    CHECK(sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE));
}

static sigjmp_buf overflow_jump;
static void on_overflow(int sig)
{
    on_signal(sig);
    siglongjmp(overflow_jump, 1);
}

__attribute__((noinline)) static int recurse(int n)
{
    volatile char fill[1024];
    fill[0] = (char)n;
    if (n < 0)
        return 0;
    return recurse(n + 1) + fill[0];
}

CASE(stack_overflow_is_caught_on_the_alternate_stack)
{
    static char stack[64 * 1024];
    stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
    CHECK_EQ(sigaltstack(&ss, NULL), 0);
    handle(SIGSEGV, on_overflow, SA_ONSTACK);
    if (sigsetjmp(overflow_jump, 1) == 0)
        recurse(0);
    CHECK_EQ(seen_signal, SIGSEGV);
    if (sigsetjmp(overflow_jump, 1) == 0)
        recurse(0);
    CHECK_EQ(seen_count, 2);
    signal(SIGSEGV, SIG_DFL);
    ss.ss_flags = SS_DISABLE;
    sigaltstack(&ss, NULL);
}

CASE(siglongjmp_restores_the_mask)
{
    sigset_t set;
    handle(SIGUSR1, on_overflow, 0);
    for (int i = 0; i < 100; i++)
        if (sigsetjmp(overflow_jump, 1) == 0)
            raise(SIGUSR1);
    CHECK_EQ(seen_count, 100);
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK(!sigismember(&set, SIGUSR1));
}

static void on_edit(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig, (void)info;
    uc->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
    uc->uc_mcontext.gregs[REG_RAX] = 77;
}

CASE(a_handler_may_edit_the_registers)
{
    struct sigaction sa = {.sa_sigaction = on_edit, .sa_flags = SA_SIGINFO};
    long rax = 0, rbx = 0x1234;
    sigaction(SIGILL, &sa, NULL);
    __asm__ volatile("ud2" : "+a"(rax), "+b"(rbx)::"memory");
    CHECK(rax == 77 && rbx == 0x1234);
    signal(SIGILL, SIG_DFL);
}

static void on_fpe(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig;
    seen_code = info->si_code;
    uc->uc_mcontext.gregs[REG_RCX] = 1;
}

CASE(a_division_by_zero_may_be_mended)
{
    struct sigaction sa = {.sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO};
    int quotient = 84, rest = 0;
    sigaction(SIGFPE, &sa, NULL);
    __asm__ volatile("idivl %%ecx" : "+a"(quotient), "+d"(rest) : "c"(0) : "memory");
    CHECK(quotient == 84 && seen_code == FPE_INTDIV);
    signal(SIGFPE, SIG_DFL);
}

static void on_vector(int sig)
{
    on_signal(sig);
    __asm__ volatile("pxor %%xmm0, %%xmm0; pxor %%xmm7, %%xmm7; pxor %%xmm15, %%xmm15" ::
                         : "xmm0", "xmm7", "xmm15");
}

CASE(vector_registers_survive_a_signal)
{
    double in[2] = {1.5, -2.25}, out[2] = {0};
    long pid = getpid(), nr = SYS_kill, ret;
    handle(SIGUSR1, on_vector, 0);
    __asm__ volatile("movupd %2, %%xmm7\n"
                     "syscall\n"
                     "movupd %%xmm7, %1\n"
                     : "=a"(ret), "=m"(out)
                     : "m"(in), "a"(nr), "D"(pid), "S"((long)SIGUSR1)
                     : "rcx", "r11", "memory", "xmm7");
    CHECK(ret == 0 && seen_count == 1);
    CHECK(out[0] == in[0] && out[1] == in[1]);
}

CASE(registers_and_the_red_zone_survive_a_call)
{
    long before[4] = {0x1111, 0x2222, 0x3333, 0x4444}, after[4] = {0}, nr = SYS_kill, red = 0;
    handle(SIGUSR1, on_signal, 0);
    __asm__ volatile("movq 0(%3), %%r8; movq 8(%3), %%r9; movq 16(%3), %%r10; movq 24(%3), %%r15\n"
                     "movq $0x5555, -64(%%rsp)\n"
                     "syscall\n"
                     "movq -64(%%rsp), %1\n"
                     "movq %%r8, 0(%4); movq %%r9, 8(%4); movq %%r10, 16(%4); movq %%r15, 24(%4)\n"
                     : "+a"(nr), "=&b"(red)
                     : "D"((long)getpid()), "r"(before), "r"(after), "S"((long)SIGUSR1)
                     : "rcx", "r8", "r9", "r10", "r11", "r15", "memory");
    CHECK(nr == 0 && seen_count == 1 && red == 0x5555);
    CHECK(!memcmp(before, after, sizeof(before)));
}

CASE(sigsuspend_waits_with_another_mask)
{
    sigset_t none, set;
    sigemptyset(&none);
    handle(SIGUSR1, on_signal, 0);
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    CHECK_ERR(sigsuspend(&none), EINTR);
    CHECK_EQ(seen_count, 1);
    sigprocmask(SIG_BLOCK, NULL, &set);
    CHECK(sigismember(&set, SIGUSR1) == 1);
    mask(SIG_UNBLOCK, SIGUSR1);
}

CASE(sigwait_takes_a_pending_signal)
{
    sigset_t set;
    siginfo_t info;
    struct timespec ts = {0, 30000000};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    handle(SIGUSR1, on_signal, 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_signo, SIGUSR1);
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 9});
    CHECK_EQ(sigtimedwait(&set, &info, &ts), SIGRTMIN + 1);
    CHECK_EQ(info.si_value.sival_int, 9);
    long long start = now_ms();
    CHECK_ERR(sigtimedwait(&set, &info, &ts), EAGAIN);
    CHECK(now_ms() - start >= 29);
    CHECK_EQ(seen_count, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool interrupted; /* [A] */

static void *send_later(void *main_thread)
{
    char stat[64];

    snprintf(stat, sizeof(stat), "/proc/self/task/%d/stat", getpid());
    falls_asleep(stat);
    while (!__atomic_load_n(&interrupted, __ATOMIC_SEQ_CST)) {
        pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
        sleep_ms(20); /* it was awake: again */
    }
    return NULL;
}

/* Start a thread that interrupts the caller once it sleeps. */
static pthread_t interrupt_me(void)
{
    static pthread_t me;
    pthread_t thread;
    me = pthread_self();
    interrupted = false;
    pthread_create(&thread, NULL, send_later, &me);
    return thread;
}

static void end_of_interrupts(pthread_t thread)
{
    __atomic_store_n(&interrupted, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
}

CASE(a_blocked_read_is_interrupted)
{
    char c;
    int fds[2];
    NEED(pipe(fds) == 0);
    handle(SIGUSR1, on_signal, 0);
    pthread_t thread = interrupt_me();
    CHECK_ERR(read(fds[0], &c, 1), EINTR);
    end_of_interrupts(thread);
    CHECK(seen_count >= 1);
    close(fds[0]), close(fds[1]);
}

static int restart_fd;
static void on_restart(int sig)
{
    on_signal(sig);
    if (write(restart_fd, "r", 1) != 1)
        seen_count = -1000;
}

CASE(sa_restart_goes_on_reading)
{
    char c = 0;
    int fds[2];
    NEED(pipe(fds) == 0);
    restart_fd = fds[1];
    handle(SIGUSR1, on_restart, SA_RESTART);
    pthread_t thread = interrupt_me();
    CHECK_EQ(read(fds[0], &c, 1), 1);
    end_of_interrupts(thread);
    CHECK(c == 'r' && seen_count >= 1);
    close(fds[0]), close(fds[1]);
}

CASE(nanosleep_tells_what_remains)
{
    struct timespec ts = {100, 0}, rest = {0, 0};
    handle(SIGUSR1, on_signal, SA_RESTART);
    pthread_t thread = interrupt_me();
    CHECK_ERR(nanosleep(&ts, &rest), EINTR);
    end_of_interrupts(thread);
    CHECK(rest.tv_sec >= 50 && rest.tv_sec < 100 && rest.tv_nsec < 1000000000);
    CHECK(seen_count >= 1);
}

CASE(pause_returns_after_a_handler)
{
    handle(SIGUSR1, on_signal, SA_RESTART);
    pthread_t thread = interrupt_me();
    CHECK_ERR(pause(), EINTR);
    end_of_interrupts(thread);
}

CASE(alarm_and_setitimer)
{
    struct itimerval it = {.it_value = {0, 30000}}, later = {.it_value = {100, 500000}}, old;
    handle(SIGALRM, on_signal, 0);
    CHECK_EQ(alarm(100), 0);
    CHECK(alarm(0) >= 50);
    CHECK_EQ(setitimer(ITIMER_REAL, &later, NULL), 0);
    CHECK(getitimer(ITIMER_REAL, &old) == 0 && old.it_value.tv_sec >= 50);
    CHECK(old.it_value.tv_sec <= 100 && old.it_value.tv_usec < 1000000);
    long long start = now_ms();
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    while (!seen_count) /* no pause(): it may fire just before */
        sleep_ms(1);
    CHECK(now_ms() - start >= 29);
    it.it_interval.tv_usec = 5000;
    seen_count = 0;
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    while (seen_count < 5)
        pause();
    memset(&it, 0, sizeof(it));
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    CHECK_ERR(setitimer(99, &it, NULL), EINVAL);
}

CASE(posix_timers)
{
    struct sigevent ev = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 31};
    struct itimerspec it = {.it_value = {0, 20000000}, .it_interval = {0, 10000000}}, now;
    timer_t timer;
    handle_info(SIGUSR2, 0);
    NEED(timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0);
    CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
    CHECK_EQ(timer_gettime(timer, &now), 0);
    CHECK(now.it_value.tv_nsec > 0 && now.it_interval.tv_nsec == 10000000);
    while (seen_count < 3)
        sleep_ms(1);
    CHECK(seen_code == SI_TIMER && seen_value == 31);
    CHECK(timer_getoverrun(timer) >= 0);
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_ERR(timer_settime(timer, 0, &it, NULL), EINVAL);
    CHECK_ERR(timer_create(1234, &ev, &timer), EINVAL);
}

static volatile unsigned long spins;
static volatile sig_atomic_t cpu_alarms;

static void count_cpu_alarm(int sig)
{
    (void)sig;
    cpu_alarms++;
}

static long long ns_between(const struct timespec *from, const struct timespec *to)
{
    return (to->tv_sec - from->tv_sec) * 1000000000LL + to->tv_nsec - from->tv_nsec;
}

/* The C library asks for the caller's own clocks by names that say so: ~0 << 3 and which. */
CASE(timers_of_cpu_time_stand_still_while_everybody_sleeps)
{
    static const clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, -6, -2};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec spec = {{0, 0}, {0, 30000000}};
    signal(SIGUSR1, count_cpu_alarm);
    for (size_t i = 0; i < COUNT(clocks); i++) {
        struct timespec start, now;
        int id;
        cpu_alarms = 0;
        clock_gettime(clocks[i], &start);
        NEED(!syscall(SYS_timer_create, clocks[i], &event, &id));
        NEED(!syscall(SYS_timer_settime, id, 0, &spec, NULL));
        sleep_ms(60);
        int alarms = cpu_alarms; /* none, or the clock knows why: a guest's host was busy */
        clock_gettime(clocks[i], &now);
        CHECK(!alarms || ns_between(&start, &now) >= 30000000);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
        do
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        while (!cpu_alarms && now.tv_sec - start.tv_sec < 5);
        CHECK_EQ(cpu_alarms, 1);
        CHECK(!syscall(SYS_timer_delete, id));
    }
    signal(SIGUSR1, SIG_DFL);
}

CASE(a_timer_interrupts_a_busy_loop)
{
    struct itimerval it = {.it_value = {0, 20000}};
    handle(SIGALRM, on_signal, 0);
    NEED(setitimer(ITIMER_REAL, &it, NULL) == 0);
    long long start = now_ms();
    while (!seen_count && now_ms() - start < 20000)
        spins++;
    CHECK_EQ(seen_count, 1);
}

static pthread_t handler_thread;
static void on_which_thread(int sig)
{
    on_signal(sig);
    handler_thread = pthread_self();
}

static void *wait_unblocked(void *unused)
{
    (void)unused;
    mask(SIG_UNBLOCK, SIGUSR1);
    while (!seen_count)
        sleep_ms(1);
    return NULL;
}

CASE(a_process_signal_goes_to_a_thread_that_takes_it)
{
    pthread_t thread;
    handle(SIGUSR1, on_which_thread, 0);
    mask(SIG_BLOCK, SIGUSR1);
    NEED(pthread_create(&thread, NULL, wait_unblocked, NULL) == 0);
    sleep_ms(20);
    kill(getpid(), SIGUSR1);
    pthread_join(thread, NULL);
    CHECK(pthread_equal(handler_thread, thread));
    mask(SIG_UNBLOCK, SIGUSR1);
}

static pthread_barrier_t mask_gate;
static volatile bool masks_over;

static void *block_in_each_round(void *unused)
{
    for (;;) {
        mask(SIG_UNBLOCK, SIGUSR1);
        pthread_barrier_wait(&mask_gate);
        mask(SIG_BLOCK, SIGUSR1);
        if (masks_over)
            return unused;
        pthread_barrier_wait(&mask_gate);
    }
}

static void *take_always(void *unused)
{
    mask(SIG_UNBLOCK, SIGUSR1);
    while (!masks_over)
        sched_yield();
    return unused;
}

CASE(a_process_signal_finds_a_thread_while_another_blocks_it)
{
    pthread_t blocks, takes;
    bool seen = true;

    handle(SIGUSR1, on_signal, 0);
    mask(SIG_BLOCK, SIGUSR1);
    pthread_barrier_init(&mask_gate, NULL, 2);
    masks_over = false;
    NEED(pthread_create(&blocks, NULL, block_in_each_round, NULL) == 0); /* found first */
    NEED(pthread_create(&takes, NULL, take_always, NULL) == 0);
    for (int i = 0; i < 500 && seen; i++) {
        seen_count = 0;
        pthread_barrier_wait(&mask_gate);
        kill(getpid(), SIGUSR1);
        long long start = now_ms();
        while (!seen_count && now_ms() - start < 20000)
            sched_yield();
        seen = seen_count == 1;
        pthread_barrier_wait(&mask_gate);
    }
    CHECK(seen);
    masks_over = true;
    pthread_barrier_wait(&mask_gate);
    pthread_join(blocks, NULL);
    pthread_join(takes, NULL);
    pthread_barrier_destroy(&mask_gate);
    mask(SIG_UNBLOCK, SIGUSR1);
}

CASE(a_storm_of_signals_to_a_busy_thread)
{
    handle(SIGUSR1, on_signal, SA_NODEFER);
    double x = 1.0;
    for (int i = 0; i < 20000; i++) {
        raise(SIGUSR1);
        x = x * 1.0001;
    }
    CHECK_EQ(seen_count, 20000);
    CHECK(x > 7.38 && x < 7.39);
}
