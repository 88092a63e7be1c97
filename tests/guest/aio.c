/* io_setup(2), io_submit(2), io_getevents(2) and their kin, as libaio calls them. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

enum { PAGE = 4096, MANY = 64 };

struct aio_sigset {
    const sigset_t *mask;
    size_t size;
};

static long setup(unsigned nr, aio_context_t *ctx)
{
    return syscall(SYS_io_setup, nr, ctx);
}

static long destroy(aio_context_t ctx)
{
    return syscall(SYS_io_destroy, ctx);
}

static long submit(aio_context_t ctx, long nr, struct iocb **list)
{
    return syscall(SYS_io_submit, ctx, nr, list);
}

static long getevents(aio_context_t ctx, long least, long most, struct io_event *events,
                      struct timespec *timeout)
{
    return syscall(SYS_io_getevents, ctx, least, most, events, timeout);
}

static struct iocb transfer(int opcode, int fd, const void *buf, size_t n, long long at)
{
    return (struct iocb){.aio_data = 0x1234,
                         .aio_lio_opcode = (uint16_t)opcode,
                         .aio_fildes = (uint32_t)fd,
                         .aio_buf = (uint64_t)(uintptr_t)buf,
                         .aio_nbytes = n,
                         .aio_offset = at};
}

/* Submit one and wait for it; its result, or -1 with errno where it was not taken. */
static long long one(aio_context_t ctx, struct iocb cb)
{
    struct iocb *list[] = {&cb};
    struct io_event event = {0};

    if (submit(ctx, 1, list) != 1)
        return -1;
    CHECK(getevents(ctx, 1, 1, &event, NULL) == 1);
    CHECK(event.data == cb.aio_data && event.obj == (uint64_t)(uintptr_t)&cb);
    return event.res;
}

/* A file of @pages pages, each full of its number. */
static int make_file(const char *name, int pages, int flags)
{
    static char page[PAGE];
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

    NEED(fd >= 0);
    for (int i = 0; i < pages; i++) {
        memset(page, i + 1, sizeof(page));
        NEED(write(fd, page, PAGE) == PAGE);
    }
    NEED(fsync(fd) == 0);
    close(fd);
    fd = open(name, O_RDWR | flags);
    if (fd < 0 && flags & O_DIRECT) /* tmpfs of older kernels */
        fd = open(name, O_RDWR);
    NEED(fd >= 0);
    return fd;
}

static char *pages(int n)
{
    char *at =
        mmap(NULL, (size_t)n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(at != MAP_FAILED);
    return at;
}

CASE(io_setup_wants_an_empty_name_and_some_requests)
{
    aio_context_t ctx = 0, second = 0;

    CHECK_ERR(setup(0, &ctx), EINVAL);
    CHECK_ERR(setup(1, NULL), EFAULT);
    CHECK_ERR(setup(UINT_MAX, &ctx), EINVAL);
    NEED(setup(1, &ctx) == 0);
    CHECK(ctx != 0);
    CHECK_ERR(setup(1, &ctx), EINVAL);
    CHECK(setup(4, &second) == 0 && second != ctx);
    CHECK(*(volatile uint32_t *)ctx != 0xffffffff); /* libaio reads there */
    CHECK(destroy(second) == 0);
    CHECK(destroy(ctx) == 0);
    CHECK_ERR(destroy(ctx), EINVAL);
    CHECK_ERR(destroy(0x1000), EINVAL);
}

static void move_there_and_back(int flags)
{
    char *buf = pages(2);
    aio_context_t ctx = 0;
    int fd = make_file("f", 4, flags);

    NEED(setup(8, &ctx) == 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf, 2 * PAGE, PAGE)), 2 * PAGE);
    CHECK(buf[0] == 2 && buf[PAGE] == 3 && buf[2 * PAGE - 1] == 3);
    memset(buf, 77, PAGE);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, buf, PAGE, 3 * PAGE)), PAGE);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf + PAGE, PAGE, 3 * PAGE)), PAGE);
    CHECK(buf[PAGE] == 77 && buf[2 * PAGE - 1] == 77);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf, PAGE, 4 * PAGE)), 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, buf, PAGE, 8 * PAGE)), PAGE);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 9 * PAGE);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_FSYNC, fd, NULL, 0, 0)), 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_FDSYNC, fd, NULL, 0, 0)), 0);
    CHECK(destroy(ctx) == 0);
    close(fd);
    munmap(buf, 2 * PAGE);
}

CASE(reads_and_writes_move_bytes)
{
    move_there_and_back(0);
}

CASE(reads_and_writes_move_bytes_past_the_cache)
{
    move_there_and_back(O_DIRECT);
}

static void vectors(int flags)
{
    char *buf = pages(3);
    struct iovec iov[3] = {{buf + 2 * PAGE, PAGE}, {buf, PAGE}, {buf + PAGE, PAGE}};
    aio_context_t ctx = 0;
    int fd = make_file("v", 4, flags);

    NEED(setup(8, &ctx) == 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREADV, fd, iov, 3, PAGE)), 3 * PAGE);
    CHECK(buf[2 * PAGE] == 2 && buf[0] == 3 && buf[PAGE] == 4);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITEV, fd, iov, 2, 0)), 2 * PAGE);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf + PAGE, PAGE, PAGE)), PAGE);
    CHECK(buf[PAGE] == 3);
    CHECK(destroy(ctx) == 0);
    close(fd);
    munmap(buf, 3 * PAGE);
}

CASE(vectors_are_gathered_and_scattered)
{
    vectors(0);
    vectors(O_DIRECT);
}

/* The list that was submitted need not live on: all that counts was read. */
CASE(many_at_once_all_come_back)
{
    char *buf = pages(MANY);
    struct io_event events[MANY];
    aio_context_t ctx = 0;
    int fd = make_file("m", MANY, O_DIRECT), seen[MANY] = {0};

    NEED(setup(MANY, &ctx) == 0);
    for (int round = 0; round < 20; round++) {
        struct iocb cbs[MANY], *list[MANY];
        for (int i = 0; i < MANY; i++) {
            cbs[i] =
                transfer(IOCB_CMD_PREAD, fd, buf + (size_t)i * PAGE, PAGE, (long long)i * PAGE);
            cbs[i].aio_data = (uint64_t)i;
            list[i] = &cbs[i];
        }
        memset(buf, 0, MANY * PAGE);
        memset(seen, 0, sizeof(seen));
        long put = 0, got = 0;
        while (put < MANY) {
            long n = submit(ctx, MANY - put, list + put);
            NEED(n > 0);
            put += n;
        }
        memset(list, 0xff, sizeof(list));
        while (got < MANY) {
            long n = getevents(ctx, 1, MANY, events, NULL);
            NEED(n > 0);
            for (long i = 0; i < n; i++) {
                NEED(events[i].data < MANY && events[i].res == PAGE);
                seen[events[i].data]++;
            }
            got += n;
        }
        for (int i = 0; i < MANY; i++)
            NEED(seen[i] == 1 && buf[(size_t)i * PAGE] == (char)(i + 1));
    }
    CHECK(destroy(ctx) == 0);
    close(fd);
    munmap(buf, MANY * PAGE);
}

CASE(io_submit_says_what_is_wrong)
{
    char *buf = pages(1);
    aio_context_t ctx = 0;
    int fd = make_file("w", 1, 0), only_read = open("w", O_RDONLY),
        only_write = open("w", O_WRONLY);
    struct iocb good = transfer(IOCB_CMD_PREAD, fd, buf, PAGE, 0), bad, *list[] = {&good, &bad};
    struct io_event events[2];

    NEED(setup(8, &ctx) == 0);
    CHECK_ERR(submit(ctx, -1, list), EINVAL);
    CHECK_ERR(submit(0x1000, 1, list), EINVAL);
    CHECK_ERR(submit(ctx, 1, NULL), EFAULT);
    CHECK_EQ(submit(ctx, 0, NULL), 0);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PREAD, 999, buf, PAGE, 0)), EBADF);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PREAD, only_write, buf, PAGE, 0)), EBADF);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PWRITE, only_read, buf, PAGE, 0)), EBADF);
    CHECK_ERR(one(ctx, transfer(99, fd, buf, PAGE, 0)), EINVAL);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf, PAGE, -1)), EINVAL);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf, (size_t)-1, 0)), EINVAL);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PREAD, fd, (void *)-PAGE, PAGE, 0)), EFAULT);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_PREADV, fd, (void *)8, 2, 0)), EFAULT);
    CHECK_ERR(one(ctx, transfer(IOCB_CMD_FSYNC, fd, buf, 0, 0)), EINVAL);
    bad = good;
    bad.aio_reserved2 = 1;
    CHECK_ERR(one(ctx, bad), EINVAL);
    bad = good;
    bad.aio_rw_flags = 0x40000000;
    CHECK_ERR(one(ctx, bad), EOPNOTSUPP);
    bad = good;
    bad.aio_flags = IOCB_FLAG_RESFD;
    bad.aio_resfd = 999;
    CHECK_ERR(one(ctx, bad), EBADF);
    bad.aio_resfd = (uint32_t)fd;
    CHECK_ERR(one(ctx, bad), EINVAL);
    CHECK_EQ(submit(ctx, 2, list), 1); /* up to the bad one */
    CHECK_EQ(getevents(ctx, 1, 2, events, NULL), 1);
    CHECK_EQ(events[0].res, PAGE);
    CHECK(destroy(ctx) == 0);
    close(fd);
    close(only_read);
    close(only_write);
    munmap(buf, PAGE);
}

/* What goes wrong later is in the event. */
CASE(a_bad_buffer_is_told_by_the_event)
{
    char *buf = pages(1);
    aio_context_t ctx = 0;
    int fd = make_file("b", 1, 0), direct = make_file("c", 1, O_DIRECT);

    NEED(setup(8, &ctx) == 0);
    NEED(mprotect(buf, PAGE, PROT_NONE) == 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, fd, buf, PAGE, 0)), -EFAULT);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, buf, PAGE, 0)), -EFAULT);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, direct, buf, PAGE, 0)), -EFAULT);
    CHECK(destroy(ctx) == 0);
    close(fd);
    close(direct);
    munmap(buf, PAGE);
}

CASE(there_are_as_many_requests_as_were_asked_for)
{
    char *buf = pages(1);
    static struct io_event events[10000];
    aio_context_t ctx = 0;
    int fd = make_file("s", 1, 0), n = 0;
    struct iocb cb = transfer(IOCB_CMD_PREAD, fd, buf, PAGE, 0), *list[] = {&cb};

    NEED(setup(1, &ctx) == 0);
    while (n < 10000 && submit(ctx, 1, list) == 1)
        n++;
    CHECK(errno == EAGAIN && n >= 1 && n < 10000);
    CHECK_EQ(getevents(ctx, n, 10000, events, NULL), n);
    CHECK_EQ(submit(ctx, 1, list), 1);
    CHECK(destroy(ctx) == 0); /* with an event that nobody took */
    close(fd);
    munmap(buf, PAGE);
}

CASE(io_getevents_waits_as_long_as_it_is_told)
{
    struct timespec none = {0, 0}, some = {0, 30000000}, start, end;
    struct io_event event;
    aio_context_t ctx = 0;

    NEED(setup(1, &ctx) == 0);
    CHECK_EQ(getevents(ctx, 1, 1, &event, &none), 0);
    CHECK_EQ(getevents(ctx, 0, 1, &event, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK_EQ(getevents(ctx, 1, 1, &event, &some), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((end.tv_sec - start.tv_sec) * 1000000000ll + end.tv_nsec - start.tv_nsec >= 30000000);
    CHECK_ERR(getevents(ctx, 2, 1, &event, &none), EINVAL);
    CHECK_ERR(getevents(ctx, -1, 1, &event, &none), EINVAL);
    CHECK_ERR(getevents(0x1000, 1, 1, &event, &none), EINVAL);
    CHECK_ERR(getevents(ctx, 1, 1, &event, (void *)8), EFAULT);
    CHECK(destroy(ctx) == 0);
}

static void nothing(int sig)
{
    (void)sig;
}

CASE(a_signal_ends_the_wait)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 20000}, {0, 20000}}, never = {0};
    struct timespec some = {0, 50000000};
    struct io_event event;
    aio_context_t ctx = 0;
    sigset_t mask;
    struct aio_sigset set = {&mask, 8};

    NEED(setup(1, &ctx) == 0);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    CHECK_ERR(getevents(ctx, 1, 1, &event, NULL), EINTR);
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    CHECK_EQ(syscall(SYS_io_pgetevents, ctx, 1, 1, &event, &some, &set), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    set.size = 3;
    CHECK_ERR(syscall(SYS_io_pgetevents, ctx, 1, 1, &event, &some, &set), EINVAL);
    CHECK(destroy(ctx) == 0);
}

CASE(an_eventfd_counts_what_is_done)
{
    char *buf = pages(4);
    aio_context_t ctx = 0;
    int fd = make_file("e", 4, O_DIRECT), efd = eventfd(0, 0);
    struct iocb cbs[4], *list[4];
    struct io_event events[4];
    uint64_t sum = 0, n;

    NEED(setup(4, &ctx) == 0 && efd >= 0);
    for (int i = 0; i < 4; i++) {
        cbs[i] = transfer(IOCB_CMD_PREAD, fd, buf + i * PAGE, PAGE, i * PAGE);
        cbs[i].aio_flags = IOCB_FLAG_RESFD;
        cbs[i].aio_resfd = (uint32_t)efd;
        list[i] = &cbs[i];
    }
    NEED(submit(ctx, 4, list) == 4);
    while (sum < 4) {
        struct pollfd p = {efd, POLLIN, 0};
        NEED(poll(&p, 1, 10000) == 1);
        NEED(read(efd, &n, 8) == 8);
        sum += n;
    }
    CHECK_EQ(getevents(ctx, 0, 4, events, NULL), 4);
    CHECK(destroy(ctx) == 0);
    close(fd);
    close(efd);
    munmap(buf, 4 * PAGE);
}

/* As Linux does it: within the call. */
CASE(pipes_and_appends_go_too)
{
    int fds[2], fd = open("a", O_CREAT | O_RDWR | O_APPEND | O_TRUNC, 0644);
    aio_context_t ctx = 0;
    char text[8] = "";

    NEED(pipe(fds) == 0 && setup(4, &ctx) == 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fds[1], "hello", 5, 0)), 5);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PREAD, fds[0], text, sizeof(text), 0)), 5);
    CHECK(!strcmp(text, "hello"));
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, "ab", 2, 0)), 2);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, "cd", 2, 0)), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 4);
    CHECK(destroy(ctx) == 0);
    close(fd);
    close(fds[0]);
    close(fds[1]);
}

CASE(nothing_that_is_under_way_can_be_cancelled)
{
    char *buf = pages(1);
    aio_context_t ctx = 0;
    int fd = make_file("n", 1, O_DIRECT);
    struct iocb cb = transfer(IOCB_CMD_PREAD, fd, buf, PAGE, 0), *list[] = {&cb};
    struct io_event event;

    NEED(setup(4, &ctx) == 0);
    NEED(submit(ctx, 1, list) == 1);
    CHECK_ERR(syscall(SYS_io_cancel, ctx, &cb, &event), EINVAL);
    CHECK_ERR(syscall(SYS_io_cancel, ctx, NULL, &event), EFAULT);
    CHECK_EQ(getevents(ctx, 1, 1, &event, NULL), 1);
    CHECK(destroy(ctx) == 0);
    close(fd);
    munmap(buf, PAGE);
}

/* A descriptor that is closed meanwhile, and a context that is ended with requests under way. */
CASE(the_end_waits_for_what_is_under_way)
{
    char *buf = pages(MANY);

    for (int round = 0; round < 10; round++) {
        struct iocb cbs[MANY], *list[MANY];
        aio_context_t ctx = 0;
        int fd = make_file("d", MANY, O_DIRECT);
        NEED(setup(MANY, &ctx) == 0);
        for (int i = 0; i < MANY; i++) {
            cbs[i] =
                transfer(IOCB_CMD_PREAD, fd, buf + (size_t)i * PAGE, PAGE, (long long)i * PAGE);
            list[i] = &cbs[i];
        }
        long n = submit(ctx, MANY, list);
        NEED(n > 0);
        close(fd);
        CHECK(destroy(ctx) == 0);
        for (long i = 0; i < n; i++)
            CHECK(buf[i * PAGE] == (char)(i + 1));
        memset(buf, 0, MANY * PAGE);
    }
    munmap(buf, MANY * PAGE);
}

static aio_context_t shared_ctx;
static int shared_fd, sum_of_events;

static void *reaper(void *arg)
{
    struct io_event events[4];

    (void)arg;
    for (;;) {
        long n = getevents(shared_ctx, 1, 4, events, NULL);
        if (n <= 0)
            return NULL;
        for (long i = 0; i < n; i++)
            __atomic_fetch_add(&sum_of_events, events[i].res == PAGE, __ATOMIC_SEQ_CST);
    }
}

static void *submitter(void *arg)
{
    char *buf = arg;

    for (int i = 0; i < 200; i++) {
        struct iocb cb = transfer(IOCB_CMD_PREAD, shared_fd, buf, PAGE, i % 4 * PAGE),
                    *list[] = {&cb};
        while (submit(shared_ctx, 1, list) != 1)
            usleep(100);
    }
    return NULL;
}

CASE(threads_share_a_context)
{
    char *buf = pages(2);
    pthread_t threads[4];

    shared_ctx = 0;
    sum_of_events = 0;
    shared_fd = make_file("t", 4, O_DIRECT);
    NEED(setup(8, &shared_ctx) == 0);
    for (int i = 0; i < 4; i++)
        NEED(pthread_create(&threads[i], NULL, i < 2 ? reaper : submitter, buf + (i & 1) * PAGE) ==
             0);
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
    while (__atomic_load_n(&sum_of_events, __ATOMIC_SEQ_CST) < 400)
        usleep(1000);
    CHECK(destroy(shared_ctx) == 0); /* the reapers wait there */
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    close(shared_fd);
    munmap(buf, 2 * PAGE);
}

CASE(a_size_limit_holds)
{
    struct rlimit old, limit;
    aio_context_t ctx = 0;
    int fd = make_file("l", 1, 0);
    char *buf = pages(1);

    NEED(getrlimit(RLIMIT_FSIZE, &old) == 0 && setup(4, &ctx) == 0);
    limit = old;
    limit.rlim_cur = PAGE + 100;
    signal(SIGXFSZ, SIG_IGN);
    NEED(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, buf, PAGE, PAGE)), 100);
    CHECK_EQ(one(ctx, transfer(IOCB_CMD_PWRITE, fd, buf, PAGE, 2 * PAGE)), -EFBIG);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    CHECK(destroy(ctx) == 0);
    close(fd);
    munmap(buf, PAGE);
}
