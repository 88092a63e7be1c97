/* Pipes and what else is a stream of bytes inside one program: blocking, ends, atomic writes. */
#define _GNU_SOURCE
#include "t.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

CASE(bytes_come_out_in_order)
{
    int fds[2];
    char buf[16];
    NEED(pipe(fds) == 0);
    CHECK_EQ(write(fds[1], "abc", 3), 3);
    CHECK_EQ(write(fds[1], "def", 3), 3);
    CHECK_EQ(read(fds[0], buf, 4), 4);
    CHECK(!memcmp(buf, "abcd", 4));
    int queued = 0;
    CHECK(ioctl(fds[0], FIONREAD, &queued) == 0 && queued == 2);
    CHECK_EQ(read(fds[0], buf, 16), 2);
    CHECK_ERR(write(fds[0], "x", 1), EBADF);
    CHECK_ERR(read(fds[1], buf, 1), EBADF);
    CHECK_ERR(lseek(fds[0], 0, SEEK_CUR), ESPIPE);
    CHECK_ERR(pread(fds[0], buf, 1, 0), ESPIPE);
    struct stat st;
    CHECK(fstat(fds[0], &st) == 0 && S_ISFIFO(st.st_mode));
    close(fds[0]), close(fds[1]);
}

CASE(eof_after_the_last_writer)
{
    int fds[2];
    char c;
    NEED(pipe(fds) == 0);
    int other = dup(fds[1]);
    CHECK_EQ(write(fds[1], "z", 1), 1);
    close(fds[1]);
    CHECK_EQ(read(fds[0], &c, 1), 1);
    CHECK_EQ(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    CHECK_ERR(read(fds[0], &c, 1), EAGAIN);
    close(other);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    close(fds[0]);
}

static volatile int pipe_signals;
static void on_sigpipe(int sig)
{
    (void)sig;
    pipe_signals++;
}

CASE(no_reader_is_sigpipe)
{
    int fds[2];
    NEED(pipe(fds) == 0);
    close(fds[0]);
    signal(SIGPIPE, on_sigpipe);
    CHECK_ERR(write(fds[1], "x", 1), EPIPE);
    CHECK_EQ(pipe_signals, 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(write(fds[1], "x", 1), EPIPE);
    CHECK_EQ(pipe_signals, 1);
    signal(SIGPIPE, SIG_DFL);
    close(fds[1]);
}

CASE(nonblocking_ends)
{
    static char buf[100000];
    int fds[2];
    NEED(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    CHECK_ERR(read(fds[0], buf, 1), EAGAIN);
    CHECK_EQ(write(fds[1], buf, sizeof(buf)), 65536);
    CHECK_ERR(write(fds[1], buf, 1), EAGAIN);
    CHECK_EQ(read(fds[0], buf, 4095), 4095);
    CHECK_EQ(read(fds[0], buf, 1), 1);
    CHECK_EQ(write(fds[1], buf, 4096), 4096);
    CHECK_ERR(write(fds[1], buf, 4096), EAGAIN);
    CHECK_EQ(read(fds[0], buf, sizeof(buf)), 65536);
    CHECK_ERR(pipe2(fds, 0x12345), EINVAL);
}

CASE(a_small_write_is_all_or_nothing)
{
    static char buf[65536];
    int fds[2];
    NEED(pipe2(fds, O_NONBLOCK) == 0);
    CHECK_EQ(write(fds[1], buf, 65536 - 100), 65536 - 100);
    CHECK_ERR(write(fds[1], buf, PIPE_BUF), EAGAIN);
    CHECK_EQ(read(fds[0], buf, 65536), 65536 - 100);
    close(fds[0]), close(fds[1]);
}

enum { RECORD = 512, RECORDS = 400 };
static int shared_fds[2];
static void *write_records(void *arg)
{
    char record[RECORD];
    memset(record, (int)(long)arg, RECORD);
    for (int i = 0; i < RECORDS; i++)
        if (write(shared_fds[1], record, RECORD) != RECORD)
            return (void *)1;
    return NULL;
}

CASE(records_of_several_writers_do_not_mix)
{
    pthread_t threads[3];
    char record[RECORD];
    int bad = 0;
    NEED(pipe(shared_fds) == 0);
    for (long i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, write_records, (void *)('a' + i)) == 0);
    for (int i = 0; i < 3 * RECORDS; i++) {
        size_t have = 0;
        while (have < RECORD) {
            ssize_t n = read(shared_fds[0], record + have, RECORD - have);
            NEED(n > 0);
            have += (size_t)n;
        }
        for (int j = 1; j < RECORD; j++)
            bad += record[j] != record[0];
    }
    CHECK_EQ(bad, 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    close(shared_fds[0]), close(shared_fds[1]);
}

static void *write_much(void *arg)
{
    static char buf[1 << 20];
    (void)arg;
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (char)(i * 7);
    return (void *)write(shared_fds[1], buf, sizeof(buf));
}

CASE(a_large_blocking_write_is_complete)
{
    pthread_t thread;
    char buf[3000];
    size_t have = 0, bad = 0;
    void *wrote;
    NEED(pipe(shared_fds) == 0);
    NEED(pthread_create(&thread, NULL, write_much, NULL) == 0);
    while (have < 1 << 20) {
        ssize_t n = read(shared_fds[0], buf, sizeof(buf));
        NEED(n > 0);
        for (ssize_t i = 0; i < n; i++)
            bad += buf[i] != (char)((have + (size_t)i) * 7);
        have += (size_t)n;
    }
    pthread_join(thread, &wrote);
    CHECK(bad == 0 && (long)wrote == 1 << 20);
    close(shared_fds[0]), close(shared_fds[1]);
}

static void *close_later(void *arg)
{
    sleep_ms(30);
    close((int)(long)arg);
    return NULL;
}

CASE(a_blocked_reader_sees_the_close)
{
    pthread_t thread;
    int fds[2];
    char c;
    NEED(pipe(fds) == 0);
    NEED(pthread_create(&thread, NULL, close_later, (void *)(long)fds[1]) == 0);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    pthread_join(thread, NULL);
    close(fds[0]);
}

/* Once who writes has filled it. */
static void *close_when_full(void *arg)
{
    for (int left = 0; left < 65536; sleep_ms(1))
        ioctl((int)(long)arg, FIONREAD, &left);
    return close_later(arg);
}

CASE(a_blocked_writer_sees_the_close)
{
    static char buf[200000];
    pthread_t thread;
    int fds[2];
    NEED(pipe(fds) == 0);
    signal(SIGPIPE, SIG_IGN);
    NEED(pthread_create(&thread, NULL, close_when_full, (void *)(long)fds[0]) == 0);
    CHECK_EQ(write(fds[1], buf, sizeof(buf)), 65536);
    CHECK_ERR(write(fds[1], buf, 1), EPIPE);
    pthread_join(thread, NULL);
    close(fds[1]);
}

CASE(the_size_can_be_changed)
{
    int fds[2];
    NEED(pipe2(fds, O_NONBLOCK) == 0);
    CHECK_EQ(fcntl(fds[1], F_GETPIPE_SZ), 65536);
    CHECK_EQ(fcntl(fds[1], F_SETPIPE_SZ, 5000), 8192);
    CHECK_EQ(fcntl(fds[0], F_GETPIPE_SZ), 8192);
    static char buf[10000];
    CHECK_EQ(write(fds[1], buf, sizeof(buf)), 8192);
    CHECK_ERR(fcntl(fds[1], F_SETPIPE_SZ, 4096), EBUSY);
    close(fds[0]), close(fds[1]);
}

CASE(readiness_of_both_ends)
{
    static char buf[65536];
    int fds[2];
    NEED(pipe2(fds, O_NONBLOCK) == 0);
    struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}};
    CHECK(poll(p, 2, 0) == 1 && p[0].revents == 0 && p[1].revents == POLLOUT);
    NEED(write(fds[1], buf, sizeof(buf)) == sizeof(buf));
    CHECK(poll(p, 2, 0) == 1 && p[0].revents == POLLIN && p[1].revents == 0);
    CHECK_EQ(read(fds[0], buf, sizeof(buf)), (long)sizeof(buf));
    CHECK(poll(p, 2, 0) == 1 && p[1].revents == POLLOUT);
    close(fds[1]);
    CHECK(poll(p, 1, 0) == 1 && p[0].revents == POLLHUP);
    close(fds[0]);
    NEED(pipe(fds) == 0);
    close(fds[0]);
    p[1].fd = fds[1];
    CHECK(poll(p + 1, 1, 0) == 1 && p[1].revents == (POLLOUT | POLLERR));
    close(fds[1]);
}

CASE(splice_and_tee)
{
    int a[2], b[2];
    char buf[16];
    NEED(pipe(a) == 0 && pipe(b) == 0);
    CHECK_EQ(write(a[1], "twelve bytes", 12), 12);
    CHECK_EQ(tee(a[0], b[1], 6, 0), 6);
    CHECK(read(b[0], buf, 16) == 6 && !memcmp(buf, "twelve", 6));
    int fd = open("spliced", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(splice(a[0], NULL, fd, NULL, 100, 0), 12);
    CHECK(pread(fd, buf, 16, 0) == 12 && !memcmp(buf, "twelve bytes", 12));
    loff_t at = 7;
    CHECK_EQ(splice(fd, &at, a[1], NULL, 5, 0), 5);
    CHECK(at == 12 && read(a[0], buf, 16) == 5 && !memcmp(buf, "bytes", 5));
    struct iovec iov = {(void *)"vec", 3};
    CHECK_EQ(vmsplice(a[1], &iov, 1, 0), 3);
    CHECK(read(a[0], buf, 16) == 3 && !memcmp(buf, "vec", 3));
    CHECK_ERR(splice(fd, NULL, fd, NULL, 5, 0), EINVAL);
    close(fd);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

CASE(a_thousand_pipes)
{
    enum { N = 400 };
    static int fds[N][2];
    char c;
    for (int i = 0; i < N; i++) {
        NEED(pipe(fds[i]) == 0);
        c = (char)i;
        NEED(write(fds[i][1], &c, 1) == 1);
    }
    for (int i = 0; i < N; i++) {
        NEED(read(fds[i][0], &c, 1) == 1 && c == (char)i);
        close(fds[i][0]), close(fds[i][1]);
    }
}

CASE(a_pipe_is_opened_again_by_its_link)
{
    int fds[2];
    char path[64], link[64] = "", buf[8];
    NEED(pipe(fds) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]);
    CHECK(readlink(path, link, sizeof(link) - 1) > 0 && !strncmp(link, "pipe:[", 6));
    int again = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600); /* as a shell redirects */
    NEED(again >= 0);
    close(fds[1]);
    CHECK_EQ(write(again, "more", 4), 4);
    CHECK_EQ(read(fds[0], buf, 8), 4);
    close(again);
    CHECK_EQ(read(fds[0], buf, 8), 0);
    close(fds[0]);
}

CASE(a_pipe_without_writers_is_opened_again_at_once)
{
    int fds[2];
    char path[64], text[8];
    NEED(pipe(fds) == 0);
    CHECK_EQ(write(fds[1], "left", 4), 4);
    close(fds[1]);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    int again = open(path, O_RDONLY);
    CHECK_EQ(read(again, text, sizeof(text)), 4);
    CHECK_EQ(read(again, text, sizeof(text)), 0);
    close(again);
    close(fds[0]);
}

CASE(a_fifo_is_opened_by_both_sides)
{
    char buf[8];
    unlink("fifo");
    NEED(mkfifo("fifo", 0600) == 0);
    CHECK_ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    int in = open("fifo", O_RDONLY | O_NONBLOCK);
    NEED(in >= 0);
    struct pollfd p = {.fd = in, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 0), 0); /* no writer yet is no hang-up */
    CHECK_EQ(read(in, buf, 8), 0);
    int out = open("fifo", O_WRONLY);
    NEED(out >= 0);
    CHECK_EQ(write(out, "hey", 3), 3);
    CHECK_EQ(read(in, buf, 8), 3);
    CHECK_ERR(read(in, buf, 8), EAGAIN);
    close(out);
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLHUP);
    close(in);
    unlink("fifo");
}

CASE(a_pseudo_terminal_edits_lines)
{
    char buf[64], *name = NULL;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    NEED(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && (name = ptsname(master)));
    int slave = open(name, O_RDWR | O_NOCTTY);
    NEED(slave >= 0);
    CHECK(isatty(slave));
    CHECK_EQ(write(master, "ab\177c\n", 5), 5);
    CHECK(read(slave, buf, sizeof(buf)) == 3 && !memcmp(buf, "ac\n", 3));
    CHECK(read(master, buf, sizeof(buf)) == 8 && !memcmp(buf, "ab\b \bc\r\n", 8));
    CHECK_EQ(write(slave, "x\n", 2), 2);
    CHECK(read(master, buf, sizeof(buf)) == 3 && !memcmp(buf, "x\r\n", 3));
    close(slave);
    CHECK_ERR(read(master, buf, sizeof(buf)), EIO);
    close(master);
}

/* A writer to the slave that signals interrupt all the time, and a master that reads slowly. */
enum { PTY_LINES = 3000 };

static void nothing(int sig)
{
    (void)sig;
}

static bool quiet;

static void *interrupt_often(void *thread)
{
    while (!__atomic_load_n(&quiet, __ATOMIC_SEQ_CST)) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        usleep(100);
    }
    return NULL;
}

static void *write_lines(void *arg)
{
    char line[16];
    for (int i = 0; i < PTY_LINES; i++) {
        int len = snprintf(line, sizeof(line), "%08d\n", i);
        for (int done = 0; done < len;) {
            ssize_t n = write((int)(intptr_t)arg, line + done, (size_t)(len - done));
            if (n < 0 && errno != EINTR)
                return NULL;
            done += n > 0 ? (int)n : 0;
        }
    }
    return arg;
}

static bool read_lines(int master)
{
    char line[11];
    for (int i = 0; i < PTY_LINES; i++) {
        for (size_t done = 0; done < 10;) {
            ssize_t n = read(master, line + done, 10 - done);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return false;
            done += (size_t)n;
        }
        line[10] = 0;
        if (atoi(line) != i || strcmp(line + 8, "\r\n")) {
            t_problem(__LINE__, "line %d is %.8s", i, line);
            return false;
        }
        if (i % 50 == 0)
            sleep_ms(1);
    }
    return true;
}

CASE(signals_cost_a_terminal_no_output)
{
    struct sigaction sa = {.sa_handler = nothing}, old;
    pthread_t writers[2];
    char *name = NULL;
    void *good;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    NEED(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && (name = ptsname(master)));
    int slave = open(name, O_RDWR | O_NOCTTY);
    NEED(slave >= 0 && !sigaction(SIGUSR1, &sa, &old));
    NEED(!pthread_create(&writers[0], NULL, write_lines, (void *)(intptr_t)slave));
    NEED(!pthread_create(&writers[1], NULL, interrupt_often, &writers[0]));
    if (!CHECK(read_lines(master))) {
        close(master); /* the writer gets EIO */
        master = -1;
    }
    __atomic_store_n(&quiet, true, __ATOMIC_SEQ_CST);
    pthread_join(writers[1], NULL); /* the other thread must be there while it runs */
    pthread_join(writers[0], &good);
    CHECK(good || master < 0);
    sigaction(SIGUSR1, &old, NULL);
    close(slave);
    close(master);
}
