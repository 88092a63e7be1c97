/* What comes must go: each operation is repeated, and free memory, threads and descriptors are
 * counted before and after.  Free memory is compared only where LEAKS is set, in a guest of our
 * own: on a shared machine it belongs to everyone. */
#define _GNU_SOURCE
#include "t.h"

#include <dirent.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

/* WARM_UP is more than any operation's sizes, so that caches are as full before as after. */
enum { WARM_UP = 80, ROUNDS = 400, SLACK = 192 * 1024 };

static long free_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) ? 0 : (long)(info.freeram * info.mem_unit);
}

static int entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

/* A thread that has been joined may still be on its way out: it says so before it is gone. */
static int tasks(void)
{
    enum { ALONE = 3 /* itself, "." and ".." */ };
    int n = entries("/proc/self/task");

    for (int ms = 0; ms < 1000 && n > ALONE; ms++) {
        usleep(1000);
        n = entries("/proc/self/task");
    }
    return n;
}

static void repeat(void (*once)(int), int rounds)
{
    /* The network starts once, with the first socket or a little after the program, and keeps what
     * it takes. */
    close(socket(AF_INET, SOCK_DGRAM, 0));
    for (int i = 0; i < WARM_UP; i++)
        once(i);
    int fds = entries("/proc/self/fd"), threads = tasks();
    long before = free_bytes();
    for (int i = 0; i < rounds; i++)
        once(i);
    long lost = before - free_bytes();
    CHECK_EQ(entries("/proc/self/fd"), fds);
    CHECK_EQ(tasks(), threads);
    if (getenv("LEAKS") && lost > SLACK)
        t_problem(__LINE__, "%ld bytes are gone after %d rounds", lost, rounds);
}

static void use_memory(int i)
{
    size_t size = (size_t)(i % 64 + 1) * 4096;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, size);
    p = mremap(p, size, size * 2, MREMAP_MAYMOVE);
    mprotect(p, size / 2 / 4096 * 4096, PROT_READ);
    madvise(p, size, MADV_DONTNEED);
    munmap(p, size * 2);
}

CASE(mappings)
{
    repeat(use_memory, ROUNDS);
}

static void use_huge_memory(int i)
{
    char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int page = i % 7; page < 2048; page += 100)
        p[page * 4096] = 1;
    munmap(p + (3 << 20), 1 << 20);
    munmap(p, 8 << 20);
}

CASE(large_mappings)
{
    repeat(use_huge_memory, 60);
}

static void use_file(int i)
{
    char name[32], buf[8192];
    snprintf(name, sizeof(name), "file-%d", i % 10);
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    if (write(fd, buf, sizeof(buf)) != (ssize_t)sizeof(buf))
        t_problem(__LINE__, "write");
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, i % 2 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    p[5000] = 1;
    munmap(p, 8192);
    ftruncate(fd, 100);
    close(fd);
    unlink(name);
}

CASE(files)
{
    repeat(use_file, ROUNDS);
}

static void use_names(int i)
{
    struct stat st;
    (void)i;
    mkdir("dir", 0755);
    symlink("dir", "link");
    put_file("link/a", "x");
    link("dir/a", "dir/b");
    rename("dir/b", "dir/c");
    stat("link/c", &st);
    stat("link/none", &st);
    entries("dir");
    unlink("dir/a");
    unlink("dir/c");
    unlink("link");
    rmdir("dir");
}

CASE(names)
{
    repeat(use_names, ROUNDS);
}

static void use_missing_names(int i)
{
    struct stat st;
    char name[64];
    for (int j = 0; j < 50; j++) { /* always new ones, so that a cache of misses would grow */
        snprintf(name, sizeof(name), "missing-%d-%d", i, j);
        CHECK(stat(name, &st) == -1);
    }
}

CASE(names_that_are_not_there)
{
    repeat(use_missing_names, ROUNDS);
}

static void use_pipe(int i)
{
    char buf[10000];
    int fds[2];
    (void)i;
    pipe(fds);
    if (write(fds[1], buf, sizeof(buf)) < 0)
        t_problem(__LINE__, "write");
    close(fds[0]);
    close(fds[1]);
}

CASE(pipes_closed_while_full)
{
    repeat(use_pipe, ROUNDS);
}

/* A pair with bytes and one of its own ends under way, and a connection nobody accepts. */
static void use_sockets(int i)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                                sprintf(addr.sun_path + 1, "leak-%d", getpid()));
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec iov = {(void *)"bytes", 5};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    int fds[2], l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    socketpair(AF_UNIX, i % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, fds);
    msg.msg_controllen = sizeof(control);
    control.align = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.align), &fds[i % 3 > 0], sizeof(int));
    if (sendmsg(fds[0], &msg, 0) != 5 || bind(l, (void *)&addr, len) || listen(l, 4) ||
        connect(c, (void *)&addr, len) || write(c, "unread", 6) != 6)
        t_problem(__LINE__, "a socket call");
    close(fds[0]), close(fds[1]);
    close(l), close(c);
}

CASE(sockets_with_something_under_way)
{
    repeat(use_sockets, ROUNDS);
}

static void use_epoll(int i)
{
    struct epoll_event event = {.events = EPOLLIN | (i % 2 ? EPOLLET : 0)};
    int ep = epoll_create1(0), fd = eventfd(1, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec it = {.it_value = {100, 0}};
    timerfd_settime(timer, 0, &it, NULL);
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
    epoll_ctl(ep, EPOLL_CTL_ADD, timer, &event);
    epoll_wait(ep, &event, 1, 0);
    if (i % 3 == 0)
        close(ep);
    close(fd);
    close(timer);
    if (i % 3)
        close(ep);
}

CASE(epolls_and_timers)
{
    repeat(use_epoll, ROUNDS);
}

static void use_inotify(int i)
{
    int fd = inotify_init1(IN_NONBLOCK);
    (void)i;
    inotify_add_watch(fd, ".", IN_CREATE);
    put_file("seen", "");
    unlink("seen");
    close(fd);
}

CASE(inotify_watches)
{
    repeat(use_inotify, ROUNDS);
}

static void *nothing(void *arg)
{
    return arg;
}

static void use_thread(int i)
{
    pthread_t thread;
    (void)i;
    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

CASE(threads)
{
    repeat(use_thread, ROUNDS);
}

static void on_signal(int sig)
{
    (void)sig;
}

static void use_signal(int i)
{
    sigset_t set;
    siginfo_t info;
    struct timespec none = {0, 0};
    (void)i;
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int j = 0; j < 4; j++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){0});
    for (int j = 0; j < 4; j++)
        sigtimedwait(&set, &info, &none);
    timer_t timer;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    if (timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0)
        timer_delete(timer);
}

CASE(signals_and_timers)
{
    repeat(use_signal, ROUNDS);
}

static void use_poll_timeout(int i)
{
    struct timespec ts = {0, 100000};
    (void)i;
    ppoll(NULL, 0, &ts, NULL);
}

CASE(timeouts)
{
    repeat(use_poll_timeout, 100);
}
