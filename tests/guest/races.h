/* What the races share: threads that call one function again and again for a while. */
#pragma once

#include "t.h"

#include <sched.h>
#include <sys/syscall.h>

enum { RACERS = 6, RACE_MS = 200 };

static bool race_ends;           /* [A] */
static int racers_left;          /* [A] */
static pid_t racer_tids[RACERS]; /* [A] 0: not there */
static __thread unsigned int luck;

static bool racing(void)
{
    return !__atomic_load_n(&race_ends, __ATOMIC_RELAXED);
}

/* 0 to @n - 1 */
__attribute__((unused)) static int pick(int n)
{
    luck = luck * 1103515245 + 12345;
    return (int)((luck >> 8) % (unsigned int)n);
}

static void ignore_it(int sig)
{
    (void)sig;
}

static void *race_along(void *arg)
{
    void (**fn)(int) = arg;
    int me = (int)__atomic_fetch_add(&racers_left, 1, __ATOMIC_SEQ_CST);

    luck = (unsigned int)(me * 7919 + now_ms());
    __atomic_store_n(&racer_tids[me], gettid(), __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&racers_left, __ATOMIC_SEQ_CST) < RACERS && racing())
        sched_yield();
    while (racing())
        (*fn)(me);
    __atomic_store_n(&racer_tids[me], 0, __ATOMIC_SEQ_CST);
    return arg;
}

/* Have @fn called by all racers again and again for a while; who sleeps at the end is interrupted
 * until it has come back. */
__attribute__((unused)) static void race(void (*fn)(int))
{
    struct sigaction action = {.sa_handler = ignore_it};
    pthread_t threads[RACERS];
    bool all_back = false;

    NEED(sigaction(SIGUSR1, &action, NULL) == 0);
    racers_left = 0;
    race_ends = false;
    for (int i = 0; i < RACERS; i++)
        NEED(pthread_create(&threads[i], NULL, race_along, &fn) == 0);
    sleep_ms(RACE_MS);
    __atomic_store_n(&race_ends, true, __ATOMIC_SEQ_CST);
    for (long long end = now_ms() + 20000; !all_back && now_ms() < end; sleep_ms(1)) {
        all_back = true;
        for (int i = 0; i < RACERS; i++) {
            pid_t tid = __atomic_load_n(&racer_tids[i], __ATOMIC_SEQ_CST);
            all_back &= !tid;
            if (tid)
                syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
        }
    }
    NEED(all_back);
    for (int i = 0; i < RACERS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

__attribute__((unused)) static void sleep_us(long us)
{
    struct timespec ts = {0, us * 1000};

    nanosleep(&ts, NULL);
}

/* Read all of @path and forget it. */
__attribute__((unused)) static void look_at(const char *path)
{
    char buf[4096];
    int fd = open(path, O_RDONLY);

    while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
        ;
    if (fd >= 0)
        close(fd);
}

/* A few descriptors that all racers know, which are open or not. */
enum { FIRST_SLOT = 100, SLOTS = 8 };

__attribute__((unused)) static int a_slot(void)
{
    return FIRST_SLOT + pick(SLOTS);
}

/* Put @fd into a slot, whatever was there. */
__attribute__((unused)) static void put_into_slot(int fd)
{
    if (fd < 0)
        return;
    dup2(fd, a_slot());
    close(fd);
}
