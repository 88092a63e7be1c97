/* Clocks and sleeping: they agree, go forward, and sleep no shorter than asked. */
#define _GNU_SOURCE
#include "t.h"

#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>

static long long ns_of(clockid_t clock)
{
    struct timespec ts = {0, 0};
    clock_gettime(clock, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

CASE(every_clock_answers)
{
    static const clockid_t clocks[] = {CLOCK_REALTIME,           CLOCK_MONOTONIC,
                                       CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                       CLOCK_MONOTONIC_RAW,      CLOCK_REALTIME_COARSE,
                                       CLOCK_MONOTONIC_COARSE,   CLOCK_BOOTTIME};
    struct timespec ts, raw;
    for (size_t i = 0; i < COUNT(clocks); i++) {
        CHECK_EQ(clock_gettime(clocks[i], &ts), 0);
        CHECK(ts.tv_sec >= 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
        CHECK_EQ(syscall(SYS_clock_gettime, clocks[i], &raw), 0);
        CHECK(raw.tv_sec - ts.tv_sec <= 10);
        CHECK_EQ(clock_getres(clocks[i], &ts), 0);
        CHECK(ts.tv_sec == 0 && ts.tv_nsec > 0);
    }
    CHECK_ERR(clock_gettime(1234, &ts), EINVAL);
}

CASE(the_date_is_of_this_century)
{
    time_t now = time(NULL);
    struct timeval tv;
    CHECK(now > 1600000000 && now < 4000000000);
    CHECK(gettimeofday(&tv, NULL) == 0 && tv.tv_sec - now <= 10 && tv.tv_usec < 1000000);
    CHECK(labs(syscall(SYS_time, NULL) - now) <= 10);
}

CASE(monotonic_never_goes_back)
{
    long long last = 0;
    for (int i = 0; i < 100000; i++) {
        long long now = ns_of(CLOCK_MONOTONIC);
        NEED(now >= last);
        last = now;
    }
}

CASE(call_and_vdso_agree)
{
    for (int i = 0; i < 100; i++) {
        struct timespec ts;
        long long before = ns_of(CLOCK_MONOTONIC);
        NEED(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts) == 0);
        long long call = ts.tv_sec * 1000000000LL + ts.tv_nsec;
        long long after = ns_of(CLOCK_MONOTONIC);
        NEED(before <= call && call <= after);
    }
}

CASE(real_and_monotonic_run_equally_fast)
{
    /* The date is read between two looks at the other clock, which may be far apart. */
    long long m0 = ns_of(CLOCK_MONOTONIC), r0 = ns_of(CLOCK_REALTIME), m1 = ns_of(CLOCK_MONOTONIC);
    sleep_ms(100);
    long long m2 = ns_of(CLOCK_MONOTONIC), r = ns_of(CLOCK_REALTIME) - r0;
    long long m3 = ns_of(CLOCK_MONOTONIC);
    CHECK(r > m2 - m1 - 20000000 && r < m3 - m0 + 20000000);
}

CASE(sleeps_are_not_shorter)
{
    static const long times_us[] = {1, 100, 1000, 7000, 30000};
    for (size_t i = 0; i < COUNT(times_us); i++) {
        struct timespec ts = {0, times_us[i] * 1000};
        long long start = ns_of(CLOCK_MONOTONIC);
        CHECK_EQ(nanosleep(&ts, NULL), 0);
        long long took = ns_of(CLOCK_MONOTONIC) - start;
        CHECK(took >= times_us[i] * 1000);
        CHECK(took < times_us[i] * 1000 + 10000000000LL);
    }
}

CASE(absolute_sleeps)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000)
        ts.tv_sec++, ts.tv_nsec -= 1000000000;
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), 0);
    CHECK(ns_of(CLOCK_MONOTONIC) >= ts.tv_sec * 1000000000LL + ts.tv_nsec);
    clock_gettime(CLOCK_REALTIME, &ts);
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL), 0);
    ts.tv_nsec = 1000000000;
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL), EINVAL);
    ts.tv_nsec = -1;
    CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EINVAL);
}

static volatile unsigned long sink;
CASE(processor_time_counts_work_and_not_sleep)
{
    long long cpu = ns_of(CLOCK_PROCESS_CPUTIME_ID), wall = ns_of(CLOCK_MONOTONIC);
    long long worked = 0; /* of a busy machine we may get little */
    while (worked <= 5000000 && ns_of(CLOCK_MONOTONIC) - wall < 20000000000ll) {
        for (int i = 0; i < 100000; i++)
            sink++;
        worked = ns_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    }
    CHECK(worked > 5000000);
    long long asleep = 60000000; /* a guest takes what its host does meanwhile for its own work */
    for (int tries = 0; tries < 10 && asleep >= 40000000; tries++) {
        cpu = ns_of(CLOCK_THREAD_CPUTIME_ID);
        sleep_ms(60);
        asleep = ns_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    }
    CHECK(asleep < 40000000);
    CHECK(clock() > 0);
    struct tms tms;
    CHECK(times(&tms) != (clock_t)-1 && tms.tms_utime + tms.tms_stime >= 0);
}

CASE(the_vdso_is_an_elf_image)
{
    const unsigned char *vdso = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);
    NEED(vdso != NULL);
    CHECK(!memcmp(vdso, "\177ELF\2\1\1", 7));
}

CASE(broken_down_time)
{
    time_t stamp = 1700000000;
    struct tm tm;
    NEED(gmtime_r(&stamp, &tm));
    CHECK(tm.tm_year == 123 && tm.tm_mon == 10 && tm.tm_mday == 14 && tm.tm_hour == 22);
    CHECK_EQ(timegm(&tm), stamp);
}

enum { SLEEPERS = 20 };
static int order[SLEEPERS], woken;
static long long sleep_base, most_late;

static void *sleeper(void *arg)
{
    long long due = sleep_base + (20 + 15 * (long)arg) * 1000000ll;
    struct timespec at = {due / 1000000000, due % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    long long late = ns_of(CLOCK_MONOTONIC) - due;
    order[__atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST)] = late < 0 ? -1 : (int)(long)arg;
    if (late > __atomic_load_n(&most_late, __ATOMIC_SEQ_CST))
        __atomic_store_n(&most_late, late, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Never early; and in order, unless the machine itself stood still for longer than they are apart.
 */
CASE(many_sleepers_wake_in_order)
{
    enum { N = SLEEPERS };
    pthread_t threads[N];
    sleep_base = ns_of(CLOCK_MONOTONIC);
    for (long i = N - 1; i >= 0; i--)
        NEED(pthread_create(&threads[i], NULL, sleeper, (void *)i) == 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    int misplaced = 0;
    for (int i = 0; i < N; i++) {
        CHECK(order[i] >= 0);
        misplaced += abs(order[i] - i) > 2;
    }
    CHECK(!misplaced || most_late > 15000000);
}

CASE(how_the_clock_is_steered_may_be_asked)
{
    struct timex t = {0};
    struct timespec now;

    int state = adjtimex(&t);
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(state >= TIME_OK && state <= TIME_ERROR);
    CHECK_EQ(state == TIME_ERROR, (t.status & STA_UNSYNC) != 0);
    CHECK(t.tick >= 9000 && t.tick <= 11000 && t.tolerance > 0 && t.precision >= 1);
    CHECK(now.tv_sec - t.time.tv_sec >= 0 && now.tv_sec - t.time.tv_sec <= 20);
    CHECK_EQ(clock_adjtime(CLOCK_REALTIME, &t), state);
    CHECK_ERR(clock_adjtime(CLOCK_MONOTONIC, &t), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_adjtimex, 8), EFAULT);
}
