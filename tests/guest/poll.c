/* Readiness: poll, select and epoll over pipes and eventfds, in every mode. */
#define _GNU_SOURCE
#include "t.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

static int epoll_wait_for(int ep, struct epoll_event *events, int max, int timeout)
{
    memset(events, 0, sizeof(*events) * (size_t)max);
    return epoll_wait(ep, events, max, timeout);
}

static int epoll_set(int ep, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)fd};
    return epoll_ctl(ep, op, fd, &event);
}

static void bump(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, 8) != 8)
        t_problem(__LINE__, "eventfd write");
}

static void drain(int fd)
{
    uint64_t value;
    if (read(fd, &value, 8) != 8)
        t_problem(__LINE__, "eventfd read");
}

CASE(poll_reports_each_descriptor)
{
    int fds[2], fd = open("f", O_RDWR | O_CREAT, 0600);
    NEED(pipe(fds) == 0);
    struct pollfd p[4] = {
        {fds[0], POLLIN, 0}, {fd, POLLIN | POLLOUT, 0}, {-1, POLLIN, 9}, {999, 0, 0}};
    CHECK_EQ(poll(p, 4, -1), 2);
    CHECK(p[0].revents == 0 && p[1].revents == (POLLIN | POLLOUT));
    CHECK(p[2].revents == 0 && p[3].revents == POLLNVAL);
    CHECK_EQ(poll(NULL, 0, 0), 0);
    CHECK_ERR(poll(p, 1 << 30, 0), EINVAL);
    close(fds[0]), close(fds[1]), close(fd);
}

CASE(timeouts_are_kept)
{
    int fds[2];
    NEED(pipe(fds) == 0);
    struct pollfd p = {fds[0], POLLIN, 0};
    struct timespec ts = {0, 30000000};
    long long start = now_ms();
    CHECK_EQ(poll(&p, 1, 30), 0);
    CHECK(now_ms() - start >= 29 && now_ms() - start < 10000);
    start = now_ms();
    CHECK_EQ(ppoll(&p, 1, &ts, NULL), 0);
    CHECK(now_ms() - start >= 29);
    struct timeval tv = {0, 30000};
    start = now_ms();
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    CHECK(now_ms() - start >= 29);
    int ep = epoll_create1(0);
    struct epoll_event event;
    start = now_ms();
    CHECK_EQ(epoll_wait_for(ep, &event, 1, 30), 0);
    CHECK(now_ms() - start >= 29 && now_ms() - start < 10000);
    ts.tv_nsec = -1;
    CHECK_ERR(ppoll(&p, 1, &ts, NULL), EINVAL);
    close(ep), close(fds[0]), close(fds[1]);
}

CASE(select_sets)
{
    int fds[2];
    fd_set in, out, err;
    struct timeval tv = {0, 0};
    NEED(pipe(fds) == 0);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&err);
    FD_SET(fds[0], &in);
    FD_SET(fds[1], &out);
    FD_SET(fds[0], &err);
    CHECK_EQ(select(fds[1] + 1, &in, &out, &err, &tv), 1);
    CHECK(!FD_ISSET(fds[0], &in) && FD_ISSET(fds[1], &out) && !FD_ISSET(fds[0], &err));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    FD_SET(fds[0], &in);
    CHECK_EQ(select(fds[1] + 1, &in, NULL, NULL, NULL), 1);
    CHECK(FD_ISSET(fds[0], &in));
    FD_ZERO(&in);
    FD_SET(60, &in);
    CHECK_ERR(select(61, &in, NULL, NULL, &tv), EBADF);
    CHECK_ERR(select(-1, NULL, NULL, NULL, &tv), EINVAL);
    struct timespec ts = {0, 0};
    FD_ZERO(&in);
    FD_SET(fds[0], &in);
    CHECK_EQ(pselect(fds[0] + 1, &in, NULL, NULL, &ts, NULL), 1);
    close(fds[0]), close(fds[1]);
}

CASE(epoll_control)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, 0);
    struct epoll_event event = {0};
    CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    CHECK_ERR(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN), EEXIST);
    CHECK_EQ(epoll_set(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT), 0);
    CHECK_EQ(epoll_set(ep, EPOLL_CTL_DEL, fd, 0), 0);
    CHECK_ERR(epoll_set(ep, EPOLL_CTL_DEL, fd, 0), ENOENT);
    CHECK_ERR(epoll_set(ep, EPOLL_CTL_MOD, fd, EPOLLIN), ENOENT);
    CHECK_ERR(epoll_set(ep, EPOLL_CTL_ADD, 999, EPOLLIN), EBADF);
    CHECK_ERR(epoll_set(ep, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
    CHECK_ERR(epoll_set(fd, EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
    CHECK_ERR(epoll_ctl(ep, 99, fd, &event), EINVAL);
    CHECK_ERR(epoll_wait(ep, &event, 0, 0), EINVAL);
    CHECK_ERR(epoll_wait(fd, &event, 1, 0), EINVAL);
    CHECK_ERR(epoll_wait(-1, &event, 1, 0), EBADF);
    CHECK_ERR(epoll_create1(0x1234), EINVAL);
    int file = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_ERR(epoll_set(ep, EPOLL_CTL_ADD, file, EPOLLIN), EPERM);
    close(file), close(ep), close(fd);
}

CASE(level_triggered_repeats)
{
    int ep = epoll_create1(0), fd = eventfd(0, 0);
    struct epoll_event e[4];
    NEED(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN) == 0);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 0);
    bump(fd);
    for (int i = 0; i < 3; i++)
        CHECK(epoll_wait_for(ep, e, 4, -1) == 1 && e[0].events == EPOLLIN &&
              e[0].data.u32 == (uint32_t)fd);
    drain(fd);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 0);
    close(ep), close(fd);
}

CASE(edge_triggered_tells_once_a_change)
{
    int ep = epoll_create1(0), fds[2];
    struct epoll_event e[4];
    char c;
    NEED(pipe2(fds, O_NONBLOCK) == 0);
    NEED(epoll_set(ep, EPOLL_CTL_ADD, fds[0], EPOLLIN | EPOLLET) == 0);
    CHECK_EQ(write(fds[1], "ab", 2), 2);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 0);
    CHECK_EQ(read(fds[0], &c, 1), 1);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 0);
    CHECK_EQ(write(fds[1], "c", 1), 1);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1);
    /* A MOD arms it again when it is ready. */
    CHECK_EQ(epoll_set(ep, EPOLL_CTL_MOD, fds[0], EPOLLIN | EPOLLET), 0);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1);
    close(fds[1]);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1);
    CHECK_EQ(e[0].events, EPOLLIN | EPOLLHUP);
    close(ep), close(fds[0]);
}

CASE(oneshot_is_silent_until_armed)
{
    int ep = epoll_create1(0), fd = eventfd(1, 0);
    struct epoll_event e[4];
    NEED(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT) == 0);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1);
    bump(fd);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 0);
    CHECK_EQ(epoll_set(ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1);
    close(ep), close(fd);
}

CASE(a_closed_descriptor_leaves_the_set)
{
    int ep = epoll_create1(0), fd = eventfd(1, 0);
    struct epoll_event e[4];
    NEED(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN) == 0);
    int other = dup(fd);
    close(fd);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 1); /* the open file lives on in the dup */
    close(other);
    CHECK_EQ(epoll_wait_for(ep, e, 4, 0), 0);
    close(ep);
}

CASE(four_hundred_descriptors_take_turns)
{
    enum { N = 400 };
    static int fds[N];
    static struct epoll_event e[N];
    int ep = epoll_create1(0), seen = 0;
    for (int i = 0; i < N; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK);
        NEED(fds[i] >= 0 && epoll_set(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN) == 0);
    }
    CHECK_EQ(epoll_wait_for(ep, e, N, 0), 0);
    for (int i = 0; i < N; i += 4)
        bump(fds[i]);
    CHECK_EQ(epoll_wait_for(ep, e, N, 0), N / 4);
    /* With room for few, each ready one has its turn. */
    for (int round = 0; round < N / 4 / 10; round++) {
        int n = epoll_wait_for(ep, e, 10, 0);
        CHECK_EQ(n, 10);
        for (int i = 0; i < n; i++) {
            drain((int)e[i].data.u32);
            seen++;
        }
    }
    CHECK_EQ(seen, N / 4);
    CHECK_EQ(epoll_wait_for(ep, e, N, 0), 0);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    close(ep);
}

CASE(an_epoll_in_an_epoll)
{
    int outer = epoll_create1(0), inner = epoll_create1(0), fd = eventfd(0, 0);
    struct epoll_event e[4];
    NEED(epoll_set(inner, EPOLL_CTL_ADD, fd, EPOLLIN) == 0);
    NEED(epoll_set(outer, EPOLL_CTL_ADD, inner, EPOLLIN) == 0);
    CHECK_ERR(epoll_set(inner, EPOLL_CTL_ADD, outer, EPOLLIN), ELOOP);
    CHECK_EQ(epoll_wait_for(outer, e, 4, 0), 0);
    bump(fd);
    CHECK(epoll_wait_for(outer, e, 4, 0) == 1 && e[0].data.u32 == (uint32_t)inner);
    struct pollfd p = {outer, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    drain(fd);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EQ(epoll_wait_for(outer, e, 4, 0), 0);
    close(outer), close(inner), close(fd);
}

static void *bump_later(void *arg)
{
    sleep_ms(30);
    bump((int)(long)arg);
    return NULL;
}

CASE(another_thread_wakes_every_kind_of_wait)
{
    int fd = eventfd(0, 0), ep = epoll_create1(0);
    struct epoll_event e;
    struct pollfd p = {fd, POLLIN, 0};
    pthread_t thread;
    fd_set in;
    NEED(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN) == 0);
    for (int kind = 0; kind < 3; kind++) {
        NEED(pthread_create(&thread, NULL, bump_later, (void *)(long)fd) == 0);
        FD_ZERO(&in);
        FD_SET(fd, &in);
        if (kind == 0)
            CHECK_EQ(epoll_wait_for(ep, &e, 1, 5000), 1);
        else if (kind == 1)
            CHECK_EQ(poll(&p, 1, 5000), 1);
        else
            CHECK_EQ(select(fd + 1, &in, NULL, NULL, NULL), 1);
        pthread_join(thread, NULL);
        drain(fd);
    }
    close(fd), close(ep);
}

static int woken;
static pid_t exclusive_tids[4];
static int exclusive_fd;

static void *wait_exclusive(void *tid)
{
    int ep = epoll_create1(0);
    struct epoll_event e;
    epoll_set(ep, EPOLL_CTL_ADD, exclusive_fd, EPOLLIN | EPOLLEXCLUSIVE);
    __atomic_store_n((pid_t *)tid, gettid(), __ATOMIC_SEQ_CST);
    if (epoll_wait(ep, &e, 1, -1) == 1)
        __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    close(ep);
    return NULL;
}

CASE(exclusive_wakes_at_least_one)
{
    pthread_t threads[4];
    exclusive_fd = eventfd(0, EFD_SEMAPHORE);
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, wait_exclusive, &exclusive_tids[i]) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(thread_falls_asleep(&exclusive_tids[i]));
    bump(exclusive_fd);
    for (int ms = 0; ms < 10000 && !__atomic_load_n(&woken, __ATOMIC_SEQ_CST); ms++)
        sleep_ms(1);
    CHECK(woken >= 1);
    for (int ms = 0; ms < 10000 && __atomic_load_n(&woken, __ATOMIC_SEQ_CST) < 4; ms++) {
        bump(exclusive_fd);
        sleep_ms(1);
    }
    NEED(woken == 4);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    close(exclusive_fd);
}

CASE(an_event_is_added_while_another_thread_waits)
{
    int ep = epoll_create1(0), fd = eventfd(0, 0), quiet = eventfd(0, 0);
    struct epoll_event e;
    pthread_t thread;
    NEED(epoll_set(ep, EPOLL_CTL_ADD, quiet, EPOLLIN) == 0);
    NEED(pthread_create(&thread, NULL, bump_later, (void *)(long)fd) == 0);
    NEED(epoll_set(ep, EPOLL_CTL_ADD, fd, EPOLLIN) == 0);
    CHECK(epoll_wait_for(ep, &e, 1, 5000) == 1 && e.data.u32 == (uint32_t)fd);
    pthread_join(thread, NULL);
    close(ep), close(fd), close(quiet);
}

static void on_signal(int sig)
{
    (void)sig;
}

CASE(epoll_pwait_takes_a_mask)
{
    int ep = epoll_create1(0);
    struct epoll_event e;
    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    signal(SIGUSR1, on_signal);
    sigprocmask(SIG_BLOCK, &block, NULL);
    raise(SIGUSR1);
    CHECK_EQ(epoll_wait_for(ep, &e, 1, 10), 0);
    CHECK_ERR(epoll_pwait(ep, &e, 1, 1000, &none), EINTR);
    raise(SIGUSR1);
    struct timespec ts = {1, 0};
    CHECK_ERR(ppoll(NULL, 0, &ts, &none), EINTR);
    raise(SIGUSR1);
    CHECK_ERR(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    close(ep);
}
