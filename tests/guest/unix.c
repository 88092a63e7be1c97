/* AF_UNIX streams: kinds, bytes, ends, names, listening. */
#define _GNU_SOURCE
#include "un.h"

#include <sys/ioctl.h>

#ifndef SIOCOUTQ
#define SIOCOUTQ 0x5411
#endif

/* ---- making them ---- */

CASE(kinds_that_exist)
{
    int fd;
    CHECK((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    close(fd);
    CHECK((fd = socket(AF_UNIX, SOCK_DGRAM, 1)) >= 0);
    close(fd);
    CHECK((fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
    close(fd);
    CHECK((fd = socket(AF_UNIX, SOCK_RAW, 0)) >= 0);
    int type = 0;
    socklen_t len = sizeof(type);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_DGRAM);
    close(fd);
    CHECK_ERR(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 6), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, 11, 0), EINVAL);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM | 0x100000, 0), EINVAL);
    CHECK_ERR(socket(46, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    int fds[2];
    CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)1), EFAULT);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    CHECK_EQ(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    struct stat st;
    CHECK(fstat(fds[0], &st) == 0 && S_ISSOCK(st.st_mode));
    CHECK_ERR(lseek(fds[0], 0, SEEK_CUR), ESPIPE);
    CHECK_ERR(pread(fds[0], &st, 1, 0), ESPIPE);
    close(fds[0]), close(fds[1]);
}

CASE(not_a_socket)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct msghdr msg = {0};
    int fd = open("/dev/null", O_RDWR);
    char c;
    CHECK_ERR(send(fd, "x", 1, 0), ENOTSOCK);
    CHECK_ERR(recv(fd, &c, 1, 0), ENOTSOCK);
    CHECK_ERR(sendmsg(fd, &msg, 0), ENOTSOCK);
    CHECK_ERR(listen(fd, 1), ENOTSOCK);
    CHECK_ERR(accept(fd, NULL, NULL), ENOTSOCK);
    CHECK_ERR(bind(fd, (void *)&addr, sizeof(addr)), ENOTSOCK);
    CHECK_ERR(connect(fd, (void *)&addr, sizeof(addr)), ENOTSOCK);
    CHECK_ERR(shutdown(fd, 0), ENOTSOCK);
    close(fd);
    CHECK_ERR(send(fd, "x", 1, 0), EBADF);
    CHECK_ERR(shutdown(-1, 0), EBADF);
}

/* ---- streams ---- */

CASE(a_pair_moves_bytes_both_ways)
{
    int fds[2], n = -1;
    char buf[16];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(write(fds[0], "abc", 3), 3);
    CHECK_EQ(send(fds[0], "def", 3, 0), 3);
    CHECK(ioctl(fds[1], FIONREAD, &n) == 0 && n == 6);
    CHECK(ioctl(fds[0], SIOCOUTQ, &n) == 0 && n > 0);
    CHECK(recv(fds[1], buf, 16, MSG_PEEK) == 6 && !memcmp(buf, "abcdef", 6));
    CHECK(read(fds[1], buf, 4) == 4 && !memcmp(buf, "abcd", 4));
    CHECK(recv(fds[1], buf, 16, 0) == 2 && !memcmp(buf, "ef", 2));
    CHECK(ioctl(fds[0], SIOCOUTQ, &n) == 0 && n == 0);
    CHECK_ERR(recv(fds[1], buf, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(fds[1], "back", 4), 4);
    CHECK(read(fds[0], buf, 16) == 4 && !memcmp(buf, "back", 4));
    CHECK_EQ(read(fds[0], buf, 0), 0);
    CHECK_EQ(write(fds[0], buf, 0), 0);
    close(fds[0]), close(fds[1]);
}

CASE(the_end_of_a_stream)
{
    int fds[2];
    char buf[4];
    signal(SIGPIPE, SIG_IGN);
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(ready(fds[0]), POLLOUT);
    CHECK_EQ(write(fds[1], "zz", 2), 2);
    CHECK_EQ(ready(fds[0]), POLLOUT | POLLIN);
    close(fds[1]);
    CHECK_EQ(ready(fds[0]), POLLOUT | POLLIN | POLLHUP | POLLRDHUP);
    CHECK_EQ(read(fds[0], buf, 4), 2);
    CHECK_EQ(read(fds[0], buf, 4), 0);
    CHECK_ERR(write(fds[0], "x", 1), EPIPE);
    CHECK_ERR(send(fds[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(fds[0]);
}

CASE(unread_data_resets_the_peer)
{
    int fds[2];
    char c;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(write(fds[0], "lost", 4), 4);
    close(fds[1]);
    CHECK_EQ(ready(fds[0]), POLLOUT | POLLIN | POLLHUP | POLLRDHUP | POLLERR);
    CHECK_ERR(read(fds[0], &c, 1), ECONNRESET);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    close(fds[0]);
}

CASE(shutdown_of_one_side)
{
    int fds[2];
    char buf[8];
    signal(SIGPIPE, SIG_IGN);
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(write(fds[0], "abc", 3), 3);
    CHECK_EQ(shutdown(fds[0], SHUT_WR), 0);
    CHECK_ERR(write(fds[0], "x", 1), EPIPE);
    CHECK_EQ(ready(fds[0]), POLLOUT);
    CHECK_EQ(ready(fds[1]), POLLOUT | POLLIN | POLLRDHUP);
    CHECK_EQ(read(fds[1], buf, 8), 3);
    CHECK_EQ(read(fds[1], buf, 8), 0);
    CHECK_EQ(write(fds[1], "back", 4), 4);
    CHECK_EQ(read(fds[0], buf, 8), 4);
    CHECK_EQ(shutdown(fds[0], SHUT_RD), 0);
    CHECK_EQ(read(fds[0], buf, 8), 0);
    CHECK_ERR(write(fds[1], "x", 1), EPIPE);
    CHECK_EQ(ready(fds[0]), POLLOUT | POLLIN | POLLHUP | POLLRDHUP);
    CHECK_ERR(shutdown(fds[0], 3), EINVAL);
    close(fds[0]), close(fds[1]);
}

static volatile int sigpipes;
static void on_sigpipe(int sig)
{
    (void)sig;
    sigpipes++;
}

CASE(sigpipe_unless_unwanted)
{
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    close(fds[1]);
    signal(SIGPIPE, on_sigpipe);
    CHECK_ERR(write(fds[0], "x", 1), EPIPE);
    CHECK_EQ(sigpipes, 1);
    CHECK_ERR(send(fds[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(sigpipes, 1);
    close(fds[0]);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
    close(fds[1]);
    CHECK_ERR(write(fds[0], "x", 1), EPIPE);
    CHECK_EQ(sigpipes, 1);
    signal(SIGPIPE, SIG_DFL);
    close(fds[0]);
}

CASE(a_full_stream_is_not_writable)
{
    static char buf[65536];
    int fds[2];
    long sent = 0, n;
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    while ((n = write(fds[0], buf, sizeof(buf))) > 0)
        sent += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent >= 100000 && sent < 1000000);
    CHECK_EQ(ready(fds[0]), 0);
    long got = 0;
    while (got < sent && (n = read(fds[1], buf, sizeof(buf))) > 0)
        got += n;
    CHECK_EQ(got, sent);
    CHECK_EQ(ready(fds[0]), POLLOUT);
    close(fds[0]), close(fds[1]);
}

static int shared[2];

static void *write_much(void *arg)
{
    static char buf[1 << 20];
    (void)arg;
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (char)(i * 7 + (i >> 13));
    return (void *)write(shared[0], buf, sizeof(buf));
}

CASE(a_large_blocking_write_is_complete)
{
    static char buf[30000];
    pthread_t thread;
    size_t have = 0, bad = 0;
    void *wrote;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, shared) == 0);
    NEED(pthread_create(&thread, NULL, write_much, NULL) == 0);
    while (have < 1 << 20) {
        ssize_t n = recv(shared[1], buf, have % 2 ? 3000 : sizeof(buf), 0);
        NEED(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            size_t at = have + (size_t)i;
            bad += buf[i] != (char)(at * 7 + (at >> 13));
        }
        have += (size_t)n;
    }
    pthread_join(thread, &wrote);
    CHECK(bad == 0 && (long)wrote == 1 << 20);
    close(shared[0]), close(shared[1]);
}

static void *write_in_parts(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++) {
        sleep_ms(10);
        if (write(shared[0], "abcd", 4) != 4)
            return (void *)1;
    }
    return NULL;
}

CASE(waitall_waits_for_all)
{
    pthread_t thread;
    char buf[20];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, shared) == 0);
    NEED(pthread_create(&thread, NULL, write_in_parts, NULL) == 0);
    CHECK_EQ(recv(shared[1], buf, 20, MSG_WAITALL), 20);
    CHECK(!memcmp(buf, "abcdabcdabcdabcdabcd", 20));
    pthread_join(thread, NULL);
    close(shared[0]), close(shared[1]);
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
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    NEED(pthread_create(&thread, NULL, close_later, (void *)(long)fds[1]) == 0);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    pthread_join(thread, NULL);
    close(fds[0]);
}

CASE(timeouts)
{
    struct timeval tv = {0, 30000}, got;
    socklen_t len = sizeof(got);
    int fds[2];
    char c;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len) == 0 && len == sizeof(got));
    CHECK(got.tv_sec == 0 && got.tv_usec >= 30000 && got.tv_usec < 40000);
    long long before = now_ms();
    CHECK_ERR(recv(fds[0], &c, 1, 0), EAGAIN);
    CHECK(now_ms() - before >= 25);
    tv.tv_usec = 1000000;
    CHECK_ERR(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), EDOM);
    CHECK_ERR(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &tv, 4), EINVAL);
    close(fds[0]), close(fds[1]);
}

/* ---- names ---- */

CASE(bind_makes_a_node)
{
    struct sockaddr_un addr;
    socklen_t len = name_addr(&addr, "sock");
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t got = sizeof(addr);
    struct sockaddr_un back;
    CHECK(getsockname(fd, (void *)&back, &got) == 0 && got == 2 && back.sun_family == AF_UNIX);
    mode_t old = umask(027);
    CHECK_EQ(bind(fd, (void *)&addr, len), 0);
    umask(old);
    CHECK(stat("sock", &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0750);
    got = sizeof(back);
    CHECK(getsockname(fd, (void *)&back, &got) == 0 && got == len &&
          !strcmp(back.sun_path, "sock"));
    CHECK_ERR(bind(fd, (void *)&addr, len), EADDRINUSE);
    CHECK_ERR(bind(other, (void *)&addr, len), EADDRINUSE);
    CHECK_ERR(open("sock", O_RDWR), ENXIO);
    CHECK_ERR(connect(other, (void *)&addr, len), ECONNREFUSED);
    unlink("sock");
    CHECK_ERR(connect(other, (void *)&addr, len), ENOENT);
    put_file("plain", "x");
    len = name_addr(&addr, "plain");
    CHECK_ERR(connect(other, (void *)&addr, len), ECONNREFUSED);
    CHECK_ERR(bind(other, (void *)&addr, len), EADDRINUSE);
    len = name_addr(&addr, "no/such");
    CHECK_ERR(bind(other, (void *)&addr, len), ENOENT);
    CHECK_ERR(bind(other, (void *)&addr, 1), EINVAL);
    CHECK_ERR(bind(other, (void *)&addr, 200), EINVAL);
    addr.sun_family = AF_INET;
    CHECK_ERR(bind(other, (void *)&addr, len), EINVAL);
    close(fd), close(other);
}

CASE(a_long_path_needs_no_nul)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memset(addr.sun_path, 'p', sizeof(addr.sun_path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(fd, (void *)&addr, sizeof(addr)), 0);
    socklen_t len = 200;
    char back[200];
    CHECK_EQ(getsockname(fd, (void *)back, &len), 0);
    CHECK_EQ(len, sizeof(addr) + 1);
    char path[109];
    memset(path, 'p', 108);
    path[108] = 0;
    CHECK_EQ(unlink(path), 0);
    close(fd);
}

CASE(abstract_names)
{
    struct sockaddr_un addr, back;
    socklen_t len = abstract_addr(&addr, "ingot test"), got = sizeof(back);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(fd, (void *)&addr, len), 0);
    CHECK_ERR(bind(other, (void *)&addr, len), EADDRINUSE);
    CHECK(getsockname(fd, (void *)&back, &got) == 0 && got == len && !memcmp(&addr, &back, len));
    CHECK_ERR(connect(other, (void *)&addr, len), ECONNREFUSED); /* it does not listen */
    CHECK_EQ(listen(fd, 4), 0);
    CHECK_ERR(connect(other, (void *)&addr, len - 1), ECONNREFUSED);
    CHECK_EQ(connect(other, (void *)&addr, len), 0);
    got = sizeof(back);
    CHECK(getpeername(other, (void *)&back, &got) == 0 && got == len);
    close(fd), close(other);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(bind(fd, (void *)&addr, len), 0); /* the name went with its owner */
    close(fd);
}

CASE(a_name_made_up_by_the_kernel)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX}, back;
    socklen_t got = sizeof(back);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(bind(fd, (void *)&addr, sizeof(sa_family_t)), 0);
    CHECK(getsockname(fd, (void *)&back, &got) == 0 && got == 8 && back.sun_path[0] == 0);
    CHECK_EQ(bind(fd, (void *)&addr, sizeof(sa_family_t)), 0);
    close(fd);
}

/* ---- listening ---- */

CASE(connect_and_accept)
{
    struct sockaddr_un addr;
    socklen_t len = sizeof(addr);
    int one = 0;
    char buf[8];
    int fd = listener(SOCK_STREAM, "l1", 5);
    NEED(fd >= 0);
    CHECK_EQ(ready(fd), 0);
    int c = connected(SOCK_STREAM, "l1");
    NEED(c >= 0);
    CHECK_EQ(write(c, "early", 5), 5);
    CHECK_EQ(ready(fd), POLLIN);
    int s = accept4(fd, (void *)&addr, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    NEED(s >= 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(s, F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK(read(s, buf, 8) == 5 && !memcmp(buf, "early", 5));
    CHECK_ERR(read(s, buf, 8), EAGAIN);
    len = sizeof(addr);
    CHECK(getsockname(s, (void *)&addr, &len) == 0 && !strcmp(addr.sun_path, "l1"));
    len = sizeof(addr);
    CHECK(getpeername(c, (void *)&addr, &len) == 0 && !strcmp(addr.sun_path, "l1"));
    len = sizeof(addr);
    CHECK(getpeername(s, (void *)&addr, &len) == 0 && len == 2);
    len = sizeof(one);
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &one, &len) == 0 && one == 1);
    CHECK(getsockopt(c, SOL_SOCKET, SO_ACCEPTCONN, &one, &len) == 0 && one == 0);
    CHECK_ERR(connect(c, (void *)&addr, 2), EINVAL);
    len = name_addr(&addr, "l1");
    CHECK_ERR(connect(c, (void *)&addr, len), EISCONN);
    CHECK_ERR(accept4(fd, NULL, NULL, 1), EINVAL);
    CHECK_ERR(accept(c, NULL, NULL), EINVAL);
    CHECK_ERR(listen(c, 1), EINVAL);
    close(fd), close(c), close(s);
    unlink("l1");
}

CASE(a_listener_without_work)
{
    int fd = listener(SOCK_STREAM, "l2", 1);
    NEED(fd >= 0);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERR(accept(fd, NULL, NULL), EAGAIN);
    char c;
    CHECK_ERR(read(fd, &c, 1), EINVAL);
    CHECK_ERR(write(fd, &c, 1), ENOTCONN);
    int fresh = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(ready(fresh), POLLOUT | POLLHUP);
    CHECK_ERR(listen(fresh, 1), EINVAL);
    CHECK_ERR(accept(fresh, NULL, NULL), EINVAL);
    CHECK_ERR(read(fresh, &c, 1), EINVAL);
    CHECK_ERR(write(fresh, &c, 1), ENOTCONN);
    socklen_t len = 0;
    CHECK_ERR(getpeername(fresh, NULL, &len), ENOTCONN);
    close(fd), close(fresh);
}

CASE(a_full_backlog)
{
    struct sockaddr_un addr;
    int fds[8], n = 0;
    int fd = listener(SOCK_STREAM, "l3", 2);
    socklen_t len = name_addr(&addr, "l3");
    NEED(fd >= 0);
    while (n < 8) {
        fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fds[n], (void *)&addr, len))
            break;
        n++;
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(n, 3);
    int s = accept(fd, NULL, NULL);
    CHECK(s >= 0);
    CHECK_EQ(connect(fds[n], (void *)&addr, len), 0);
    close(s);
    close(fd);
    char c;
    CHECK_ERR(read(fds[1], &c, 1), ECONNRESET); /* never accepted */
    for (int i = 0; i <= n; i++)
        close(fds[i]);
    unlink("l3");
}

static void *connect_late(void *arg)
{
    (void)arg;
    sleep_ms(30);
    return (void *)(long)connected(SOCK_STREAM, "l4");
}

CASE(accept_waits)
{
    pthread_t thread;
    void *other;
    int fd = listener(SOCK_STREAM, "l4", 2);
    NEED(fd >= 0);
    NEED(pthread_create(&thread, NULL, connect_late, NULL) == 0);
    int s = accept(fd, NULL, NULL);
    CHECK(s >= 0);
    pthread_join(thread, &other);
    close(s), close(fd), close((int)(long)other);
    unlink("l4");
}

CASE(a_wrong_type_is_told)
{
    int fd = listener(SOCK_STREAM, "l5", 2);
    NEED(fd >= 0);
    CHECK_ERR(connected(SOCK_DGRAM, "l5"), EPROTOTYPE);
    CHECK_ERR(connected(SOCK_SEQPACKET, "l5"), EPROTOTYPE);
    close(fd);
    unlink("l5");
}
