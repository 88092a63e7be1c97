/* Who runs how long: shares by nice and policy, real-time threads before all others, and what the
 * clocks of CPU time say of program and kernel. */
#define _GNU_SOURCE
#include "t.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>

enum { MS = 1000000, MAX_THREADS = 8 };

static long long cpu_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static long long to_ns(struct timeval tv)
{
    return tv.tv_sec * 1000000000ll + tv.tv_usec * 1000ll;
}

static struct rusage usage(int who)
{
    struct rusage r;

    CHECK_EQ(getrusage(who, &r), 0);
    return r;
}

static void compute(long long ns)
{
    long long end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

    while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 20000; i++)
            ;
}

/* The same, with so few calls that a sample hardly ever meets one: on a busy host there may be two
 * samples in all. */
static void compute_alone(long long ns)
{
    long long end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

    while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 2000000; i++)
            ;
}

static void call(long long ns)
{
    static char buf[1 << 16];
    long long end = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
    int fds[2];

    NEED(pipe(fds) == 0);
    while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        for (int i = 0; i < 10; i++)
            NEED(write(fds[1], buf, sizeof(buf)) == read(fds[0], buf, sizeof(buf)));
    close(fds[0]);
    close(fds[1]);
}

/* A machine cannot see that its host stopped it for a while: that time is one of whatever was
 * stopped, and may be the larger part of such a try.  Linux counts ticks, a thread's and a
 * process's apart, and what it has said once it does not take back: after few ticks the two may
 * differ. */
static bool tells_apart(void)
{
    struct rusage a = usage(RUSAGE_THREAD);
    compute_alone(200 * MS);
    struct rusage b = usage(RUSAGE_THREAD);
    call(200 * MS);
    struct rusage c = usage(RUSAGE_THREAD);

    long long computing = to_ns(b.ru_utime) - to_ns(a.ru_utime);
    long long calling = to_ns(c.ru_stime) - to_ns(b.ru_stime);
    struct tms t;
    CHECK(times(&t) > 0);
    return computing >= 120 * MS && calling >= 60 * MS &&
           to_ns(usage(RUSAGE_SELF).ru_stime) >= calling && t.tms_stime >= 5 && t.tms_utime >= 11;
}

CASE(program_and_kernel_time_are_told_apart)
{
    bool told = tells_apart();

    for (int more = 9; more > 0 && !told; more--)
        told = tells_apart();
    CHECK(told);
}

CASE(the_parts_never_fall_and_their_sum_is_the_clock)
{
    struct rusage last = usage(RUSAGE_THREAD);

    for (int i = 0; i < 200; i++) {
        if (i % 2)
            compute(MS / 2);
        else
            call(MS / 2);
        long long before = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
        struct rusage now = usage(RUSAGE_THREAD);
        long long after = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
        long long sum = to_ns(now.ru_utime) + to_ns(now.ru_stime);
        CHECK(to_ns(now.ru_utime) >= to_ns(last.ru_utime));
        CHECK(to_ns(now.ru_stime) >= to_ns(last.ru_stime));
        CHECK(sum >= before - 10 * MS && sum <= after + 10 * MS);
        last = now;
    }
}

/* ---- shares of one CPU ---- */

struct runner {
    int nice, policy, priority;
    long long ns; /* of CPU that it had */
};

static struct runner runners[MAX_THREADS];
static pthread_barrier_t gate;
static volatile bool stop;

static void *run(void *arg)
{
    struct runner *r = arg;
    struct sched_param param = {r->priority};

    if (r->nice)
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, r->nice), 0);
    if (r->policy)
        CHECK_EQ(sched_setscheduler(0, r->policy, &param), 0);
    CHECK_EQ(sched_getscheduler(0), r->policy);
    pthread_barrier_wait(&gate);
    long long start = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    while (!stop)
        ;
    r->ns = cpu_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    return arg;
}

/* Let @n runners have the CPUs of @set for @ms milliseconds. */
static void race(const cpu_set_t *set, int n, int ms)
{
    struct sched_param first = {90};
    pthread_t threads[MAX_THREADS];
    cpu_set_t all;

    NEED(sched_getaffinity(0, sizeof(all), &all) == 0);
    NEED(sched_setaffinity(0, sizeof(*set), set) == 0);
    NEED(sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first) == 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_FIFO | SCHED_RESET_ON_FORK);
    stop = false;
    pthread_barrier_init(&gate, NULL, (unsigned)n + 1);
    for (int i = 0; i < n; i++)
        NEED(pthread_create(&threads[i], NULL, run, &runners[i]) == 0);
    pthread_barrier_wait(&gate);
    sleep_ms((unsigned)ms);
    stop = true;
    for (int i = 0; i < n; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    first.sched_priority = 0;
    CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &first), 0);
    CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
}

/* A busy host takes its processor away from whoever runs, who is then taken to have had it: the
 * best of a few races counts. */
static void check_shares(const cpu_set_t *set, int n, int ms, bool (*right)(void))
{
    struct runner as_they_were[MAX_THREADS];
    bool ok = false;

    memcpy(as_they_were, runners, sizeof(runners));
    for (int tries = 0; tries < 5 && !ok; tries++) {
        memcpy(runners, as_they_were, sizeof(runners));
        race(set, n, ms);
        ok = right();
    }
    for (int i = 0; i < n && !ok; i++)
        printf("# thread %d had %lld ms\n", i, runners[i].ns / MS);
    CHECK(ok);
}

static cpu_set_t one_cpu(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    return one;
}

/* Real-time policies are the superuser's. */
static bool may_be_first(void)
{
    struct sched_param p = {1}, none = {0};

    return !sched_setscheduler(0, SCHED_FIFO, &p) && !sched_setscheduler(0, SCHED_OTHER, &none);
}

static bool are_shares_as_nice(void)
{
    long long full = runners[0].ns;

    return runners[1].ns < full / 3 && runners[1].ns > full / 40 && runners[2].ns < full / 8 &&
           runners[3].ns > full / 2;
}

CASE(nice_threads_have_less_of_a_cpu)
{
    cpu_set_t one = one_cpu();

    if (!may_be_first())
        return;
    runners[0] = (struct runner){0};
    runners[1] = (struct runner){.nice = 10};
    runners[2] = (struct runner){.policy = SCHED_IDLE};
    runners[3] = (struct runner){.policy = SCHED_BATCH};
    check_shares(&one, 4, 600, are_shares_as_nice);
}

static bool is_first_served_first(void)
{
    long long rest = runners[1].ns + runners[2].ns;

    return runners[0].ns > 1000 * MS && runners[1].ns < 150 * MS && runners[2].ns < 300 * MS &&
           rest > 5 * MS; /* the machine goes on */
}

CASE(real_time_threads_come_first_but_leave_a_little)
{
    cpu_set_t one = one_cpu();

    if (!may_be_first())
        return;
    runners[0] = (struct runner){.policy = SCHED_FIFO, .priority = 20};
    runners[1] = (struct runner){.policy = SCHED_FIFO, .priority = 10};
    runners[2] = (struct runner){0};
    check_shares(&one, 3, 1500, is_first_served_first);
}

static bool had_turns_each(void)
{
    return runners[0].ns > 80 * MS && runners[1].ns > 80 * MS && runners[2].ns > 80 * MS;
}

CASE(round_robin_threads_take_turns)
{
    cpu_set_t one = one_cpu();

    if (!may_be_first())
        return;
    for (int i = 0; i < 3; i++)
        runners[i] = (struct runner){.policy = SCHED_RR, .priority = 20};
    check_shares(&one, 3, 900, had_turns_each);
}

static bool went_one_on(void)
{
    return runners[0].ns < 100 * MS || runners[1].ns < 100 * MS;
}

CASE(a_thread_of_fifo_goes_on_until_it_sleeps)
{
    cpu_set_t one = one_cpu();

    if (!may_be_first())
        return;
    for (int i = 0; i < 2; i++)
        runners[i] = (struct runner){.policy = SCHED_FIFO, .priority = 20};
    check_shares(&one, 2, 300, went_one_on);
}

static bool are_shares_alike(void)
{
    long long least = 1ll << 62, most = 0;

    for (int i = 0; i < MAX_THREADS; i++) {
        least = runners[i].ns < least ? runners[i].ns : least;
        most = runners[i].ns > most ? runners[i].ns : most;
    }
    return least * 4 > most;
}

CASE(all_cpus_are_shared_by_all_threads)
{
    cpu_set_t all;

    if (!may_be_first())
        return;
    NEED(sched_getaffinity(0, sizeof(all), &all) == 0);
    for (int i = 0; i < MAX_THREADS; i++)
        runners[i] = (struct runner){0};
    check_shares(&all, MAX_THREADS, 1200, are_shares_alike);
}

CASE(policies_are_checked)
{
    struct sched_param p = {0};

    CHECK_ERR(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
    CHECK_ERR(sched_setscheduler(0, 4, &p), EINVAL);
    p.sched_priority = 100;
    CHECK_ERR(sched_setscheduler(0, SCHED_RR, &p), EINVAL);
    p.sched_priority = 1;
    CHECK_ERR(sched_setscheduler(0, SCHED_BATCH, &p), EINVAL);
    CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
    CHECK_EQ(sched_get_priority_max(SCHED_IDLE), 0);
    CHECK_ERR(sched_get_priority_max(42), EINVAL);
}
