/* Nanoseconds an operation, the least of many tries: `NAME NS` a line.  For pairs of runs:
 * natively, and as a guest that sees the same clock. */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 40, PAGE = 4096 };

static int pipes[2], back[2], event, epoll;
static volatile long sink;
static int word;

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void op_getpid(void)
{
    sink = getpid();
}
static void op_clock_gettime(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
}
static void op_futex_pair(void)
{
    sink = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL);
    sink = syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1);
}
static void op_eventfd(void)
{
    unsigned long value = 1;

    sink = write(event, &value, sizeof(value));
    sink = read(event, &value, sizeof(value));
}
static void op_epoll_wait(void)
{
    struct epoll_event e;

    sink = epoll_wait(epoll, &e, 1, 0);
}
static void op_pipe(void)
{
    char c = 0;

    sink = write(pipes[1], &c, 1);
    sink = read(pipes[0], &c, 1);
}
static void op_file(void)
{
    struct stat st;
    char buf[64];
    int fd = open("/etc/hostname", O_RDONLY);

    fstat(fd, &st);
    sink = read(fd, buf, sizeof(buf));
    close(fd);
}
static void op_mmap(void)
{
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *(volatile char *)p = 1;
    munmap(p, PAGE);
}
static void *nothing(void *arg)
{
    return arg;
}
static void op_thread(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, nothing, NULL);
    pthread_join(thread, NULL);
}
static void *echo(void *arg)
{
    char c;

    while (read(pipes[0], &c, 1) == 1 && c)
        sink = write(back[1], &c, 1);
    return arg;
}
static void op_ping_pong(void)
{
    char c = 1;

    sink = write(pipes[1], &c, 1);
    sink = read(back[0], &c, 1);
}

static void measure(const char *name, void (*op)(void), int rounds)
{
    double least = 1e18;

    for (int t = 0; t < TRIES; t++) {
        double start = now_ns();
        for (int i = 0; i < rounds; i++)
            op();
        double each = (now_ns() - start) / rounds;
        least = each < least ? each : least;
    }
    printf("%s %.1f\n", name, least);
}

int main(void)
{
    struct epoll_event e = {.events = EPOLLIN};
    pthread_t thread;

    if (pipe(pipes) || pipe(back) || (event = eventfd(0, 0)) < 0 ||
        (epoll = epoll_create1(0)) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, event, &e))
        return 1;
    measure("getpid", op_getpid, 2000);
    measure("clock_gettime", op_clock_gettime, 2000);
    measure("futex_pair", op_futex_pair, 1000);
    measure("eventfd", op_eventfd, 1000);
    measure("epoll_wait", op_epoll_wait, 1000);
    measure("pipe", op_pipe, 1000);
    measure("file", op_file, 200);
    measure("mmap", op_mmap, 200);
    measure("thread", op_thread, 50);
    pthread_create(&thread, NULL, echo, NULL);
    measure("ping_pong", op_ping_pong, 200);
    fflush(stdout);
    _exit(0);
}
