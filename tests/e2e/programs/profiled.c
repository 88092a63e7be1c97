/* A profiler as they are: SIGPROF by processor time, and in its handler a stack unwound from
 * wherever the program was: in its own code, in the C library's calls, right before and behind
 * them.  Each stack must lead to the function that was called from main(). */
#define _GNU_SOURCE
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static void *work_returns_to;
static volatile int stacks, complete, timed;
static char shown[2048];

static void take_stack(int sig)
{
    void *frames[64];
    int n = backtrace(frames, 64);

    (void)sig;
    stacks++;
    for (int i = 0; i < n; i++)
        if (frames[i] == work_returns_to) {
            complete++;
            return;
        }
    if (!shown[0])
        for (int i = 0; i < n; i++)
            sprintf(shown + strlen(shown), " %p", frames[i]);
}

static int in_order(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static __attribute__((noinline)) void a_bit_of_all(int pipes[2])
{
    static int numbers[512];
    char byte = 1, text[64];
    struct timespec t;

    for (int i = 0; i < 100; i++) {
        (void)!write(pipes[1], &byte, 1);
        (void)!read(pipes[0], &byte, 1);
        getppid();
        syscall(SYS_gettid);
        lseek(pipes[0], 0, SEEK_CUR);
        clock_gettime(CLOCK_MONOTONIC, &t);
        sched_yield();
    }
    for (int i = 0; i < 512; i++)
        numbers[i] = (i * 7919) % 512;
    qsort(numbers, 512, sizeof(int), in_order);
    snprintf(text, sizeof(text), "%d %f", numbers[7], (double)t.tv_nsec);
    free(malloc(100000));
}

static __attribute__((noinline)) void work(int pipes[2])
{
    work_returns_to = __builtin_return_address(0);
    struct sigaction action = {.sa_handler = take_stack, .sa_flags = SA_RESTART};
    sigaction(timed ? SIGPROF : SIGALRM, &action, NULL);
    struct itimerval every = {{0, 1000}, {0, 1000}};
    setitimer(timed ? ITIMER_PROF : ITIMER_REAL, &every, NULL);
    for (double end = cpu_now() + 0.7; cpu_now() < end;)
        a_bit_of_all(pipes);
    every = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(timed ? ITIMER_PROF : ITIMER_REAL, &every, NULL);
    __asm__ volatile("" ::: "memory");
}

int main(void)
{
    void *warm[4];
    int pipes[2];

    backtrace(warm, 4); /* which loads libgcc */
    if (pipe(pipes))
        return 1;
    for (timed = 0; timed < 2; timed++) {
        stacks = complete = 0;
        work(pipes);
        printf("%s: %s, %s\n", timed ? "SIGPROF" : "SIGALRM",
               stacks >= 20 ? "many stacks" : "few stacks",
               complete == stacks ? "all whole" : "some end early");
        if (complete != stacks)
            fprintf(stderr, "%d of %d, of %p:%s\n", complete, stacks, work_returns_to, shown);
        if (getenv("SHOW"))
            fprintf(stderr, "%d stacks\n", stacks);
    }
    return 0;
}
