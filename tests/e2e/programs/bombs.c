/* Too many threads, processes or too much memory, as the first argument says; each ends by itself
 * where the guest refuses more, and says after how many. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void *sleep_on(void *arg)
{
    pause();
    return arg;
}

static int threads(long most)
{
    pthread_attr_t attr;
    pthread_t thread;
    int err = 0;
    long n = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 16384);
    pthread_attr_setguardsize(&attr, 0);
    while (n < most && !(err = pthread_create(&thread, &attr, sleep_on, NULL)))
        n++;
    printf("%ld threads: %s\n", n, err ? strerror(err) : "all");
    return 0;
}

static int processes(void)
{
    pid_t child;
    long n = 0;

    signal(SIGTERM, SIG_IGN);
    while ((child = fork()) > 0)
        n++;
    if (!child) {
        signal(SIGTERM, SIG_DFL);
        pause();
        _exit(0);
    }
    printf("%ld processes: %s\n", n, strerror(errno));
    do { /* again and again: a child that has not run yet still ignores it */
        kill(0, SIGTERM);
        usleep(10000);
        while ((child = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
    } while (child == 0);
    printf("all waited for: %s\n", fork() >= 0 ? "there is room again" : strerror(errno));
    return 0;
}

/* Everybody forks, for some seconds. */
static int fork_bomb(void)
{
    time_t end = time(NULL) + 3;
    pid_t first = getpid();

    while (time(NULL) < end)
        if (fork() < 0)
            usleep(1000);
    if (getpid() != first)
        _exit(0);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    puts("over");
    return 0;
}

static void *take_memory(void *arg)
{
    for (;;) {
        char *p = malloc(1 << 20);
        if (p)
            memset(p, 1, 1 << 20);
    }
    return arg;
}

/* By several threads, or by a child. */
static int memory(int in_child)
{
    pthread_t thread;
    int status;

    if (in_child && fork()) {
        wait(&status);
        printf("the child ended with %#x\n", status);
        return 0;
    }
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, take_memory, NULL);
    take_memory(NULL);
    return 0;
}

/* All CPUs have something to do, all the time. */
static void *compute(void *arg)
{
    for (;;)
        ;
    return arg;
}

static int busy(void)
{
    pthread_t thread;

    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, compute, NULL);
    puts("busy");
    sleep(300); /* until it is ended */
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(what, "threads"))
        return threads(argc > 2 ? atol(argv[2]) : 1000000);
    if (!strcmp(what, "processes"))
        return processes();
    if (!strcmp(what, "fork-bomb"))
        return fork_bomb();
    if (!strcmp(what, "memory"))
        return memory(0);
    if (!strcmp(what, "memory-child"))
        return memory(1);
    return !strcmp(what, "busy") ? busy() : 2;
}
