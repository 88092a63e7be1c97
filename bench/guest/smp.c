/* What two CPUs are good for: `NAME VALUE` a line, the least of several tries.  As a guest's init,
 * with the argument "reboot", it ends the machine.  Each thread executes MARK(1) where its part
 * begins and MARK(2) where it ends, for bench/plugin/cpus.c. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "plugin/marker.h"

enum { TRIES = 7, PAGE = 4096, FAULTS = 1500, ROUNDS = 2000, LOCKS = 2000, HELD = 300 };

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void run_on(int cpu)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
}

static pthread_barrier_t gate;
static bool spread; /* a thread a CPU, else all on the first */

/* Each thread notes its own times: who made them may not run until all is over. */
static double begun[8], ended[8];

static inline void begin(const void *thread)
{
    begun[(long)thread] = now_us();
    MARK(1);
}

static inline void end(const void *thread)
{
    MARK(2);
    ended[(long)thread] = now_us();
}

/* Microseconds from the first beginning to the last end of @n threads of @fn. */
static double race(int n, void *(*fn)(void *))
{
    pthread_t threads[8];

    pthread_barrier_init(&gate, NULL, (unsigned)n + 1);
    for (long i = 0; i < n; i++)
        pthread_create(&threads[i], NULL, fn, (void *)i);
    pthread_barrier_wait(&gate);
    double first = 1e18, last = 0;
    for (int i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
        first = begun[i] < first ? begun[i] : first;
        last = ended[i] > last ? ended[i] : last;
    }
    return last - first;
}

static void report(const char *name, int n, void *(*fn)(void *), double per)
{
    double least = 1e18;

    for (int i = 0; i < TRIES; i++) {
        double us = race(n, fn);
        least = us < least ? us : least;
    }
    printf("%s %.0f\n", name, least / per * 1000);
    fflush(stdout);
}

static void *touch(void *arg)
{
    char *p = mmap(NULL, (size_t)FAULTS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);

    run_on(spread ? (int)(long)arg : 0);
    madvise(p, (size_t)FAULTS * PAGE, MADV_NOHUGEPAGE);
    pthread_barrier_wait(&gate);
    begin(arg);
    for (long i = 0; i < FAULTS; i++)
        ((volatile char *)p)[i * PAGE] = 1;
    end(arg);
    munmap(p, (size_t)FAULTS * PAGE);
    return arg;
}

static int word;

static void *ping_pong(void *arg)
{
    int me = (int)(long)arg;

    run_on(spread ? me : 0);
    if (!me)
        word = 0;
    pthread_barrier_wait(&gate);
    begin(arg);
    for (int i = 0; i < ROUNDS; i++) {
        int now;
        while ((now = __atomic_load_n(&word, __ATOMIC_ACQUIRE)) % 2 != me)
            syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, now, NULL);
        __atomic_store_n(&word, now + 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
    }
    end(arg);
    return arg;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile long counter;

static void *fight(void *arg)
{
    pthread_barrier_wait(&gate);
    begin(arg);
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_lock(&mutex);
        for (int held = 0; held < HELD; held++) /* so long that the others come to wait */
            counter++;
        pthread_mutex_unlock(&mutex);
    }
    end(arg);
    return arg;
}

static void *compute(void *arg)
{
    run_on(spread ? (int)(long)arg : 0);
    pthread_barrier_wait(&gate);
    begin(arg);
    for (volatile long i = 0; i < 1000000; i++)
        ;
    end(arg);
    return arg;
}

int main(int argc, char **argv)
{
    report("compute_1", 1, compute, 1e6);
    spread = true;
    report("compute_2", 2, compute, 2e6);
    report("fault_1", 1, touch, FAULTS);
    report("fault_2", 2, touch, 2.0 * FAULTS);
    report("ping_pong_across", 2, ping_pong, ROUNDS);
    spread = false;
    report("ping_pong_one", 2, ping_pong, ROUNDS);
    report("mutex_storm", 4, fight, 4.0 * LOCKS);
    report("mutex_alone", 1, fight, LOCKS);
    if (argc > 1 && !strcmp(argv[1], "reboot"))
        reboot(RB_AUTOBOOT);
    return 0;
}
