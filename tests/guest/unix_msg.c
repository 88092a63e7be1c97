/* AF_UNIX messages; descriptors and credentials on their way; options and readiness. */
#define _GNU_SOURCE
#include "un.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>

static int shared[2];

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

/* ---- messages ---- */

CASE(datagrams_keep_their_bounds)
{
    int fds[2], n = 0;
    char buf[8];
    NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
    CHECK_EQ(send(fds[0], "12345", 5, 0), 5);
    CHECK_EQ(send(fds[0], "", 0, 0), 0);
    CHECK_EQ(send(fds[0], "xyz", 3, 0), 3);
    CHECK(ioctl(fds[1], FIONREAD, &n) == 0 && n == 5);
    CHECK_EQ(recv(fds[1], buf, 2, MSG_PEEK | MSG_TRUNC), 5);
    struct iovec iov = {buf, 2};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(fds[1], &msg, 0), 2);
    CHECK_EQ(msg.msg_flags, MSG_TRUNC);
    CHECK_EQ(recv(fds[1], buf, 8, 0), 0);
    iov.iov_len = 8;
    CHECK_EQ(recvmsg(fds[1], &msg, MSG_TRUNC), 3);
    CHECK_EQ(msg.msg_flags, 0);
    CHECK_ERR(recv(fds[1], buf, 8, MSG_DONTWAIT), EAGAIN);
    close(fds[1]);
    CHECK_ERR(send(fds[0], "x", 1, 0), ECONNREFUSED);
    CHECK_ERR(send(fds[0], "x", 1, 0), ENOTCONN);
    close(fds[0]);
}

CASE(datagrams_by_name)
{
    struct sockaddr_un addr, from;
    socklen_t len = name_addr(&addr, "d1"), got = sizeof(from);
    char buf[8];
    int a = bound(SOCK_DGRAM, "d1"), b = bound(SOCK_DGRAM, "d2"),
        c = socket(AF_UNIX, SOCK_DGRAM, 0);
    NEED(a >= 0 && b >= 0 && c >= 0);
    CHECK_EQ(sendto(b, "hello", 5, 0, (void *)&addr, len), 5);
    CHECK_EQ(recvfrom(a, buf, 8, 0, (void *)&from, &got), 5);
    CHECK(got == len && !strcmp(from.sun_path, "d2"));
    CHECK_EQ(sendto(a, "hi", 2, 0, (void *)&from, got), 2);
    CHECK_EQ(recv(b, buf, 8, 0), 2);
    CHECK_EQ(sendto(c, "anon", 4, 0, (void *)&addr, len), 4);
    got = sizeof(from);
    CHECK_EQ(recvfrom(a, buf, 8, 0, (void *)&from, &got), 4);
    CHECK_EQ(got, 0);
    CHECK_ERR(send(c, "x", 1, 0), ENOTCONN);
    len = name_addr(&addr, "d2");
    CHECK_EQ(connect(a, (void *)&addr, len), 0);
    CHECK_EQ(send(a, "conn", 4, 0), 4);
    CHECK_EQ(recv(b, buf, 8, 0), 4);
    len = name_addr(&addr, "d1"); /* connected to another: takes from that one alone */
    CHECK_ERR(sendto(c, "x", 1, 0, (void *)&addr, len), EPERM);
    CHECK_ERR(connect(c, (void *)&addr, len), EPERM);
    CHECK_EQ(sendto(b, "ok", 2, 0, (void *)&addr, len), 2);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK_EQ(connect(a, &none, sizeof(none)), 0);
    CHECK_ERR(send(a, "x", 1, 0), ENOTCONN);
    CHECK_EQ(sendto(c, "x", 1, 0, (void *)&addr, len), 1);
    close(a);
    CHECK_ERR(sendto(c, "x", 1, 0, (void *)&addr, len), ECONNREFUSED);
    unlink("d1"), unlink("d2");
    CHECK_ERR(sendto(c, "x", 1, 0, (void *)&addr, len), ENOENT);
    CHECK_ERR(listen(c, 1), EOPNOTSUPP);
    CHECK_ERR(accept(c, NULL, NULL), EOPNOTSUPP);
    close(b), close(c);
}

CASE(a_full_queue_of_datagrams)
{
    struct sockaddr_un addr;
    int n = 0;
    char c;
    int a = bound(SOCK_DGRAM, "d3"), b = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t len = name_addr(&addr, "d3");
    NEED(a >= 0 && connect(b, (void *)&addr, len) == 0);
    CHECK_EQ(ready(b), POLLOUT);
    while (n < 1000 && send(b, "x", 1, 0) == 1)
        n++;
    CHECK(errno == EAGAIN && n > 1 && n < 1000);
    CHECK_EQ(ready(b), 0);
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLOUT | EPOLLET};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev) == 0 && epoll_wait(ep, &ev, 1, 0) == 0);
    CHECK_EQ(recv(a, &c, 1, 0), 1);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 100), 1);
    CHECK_EQ(send(b, "x", 1, 0), 1);
    close(a), close(b), close(ep);
    unlink("d3");
}

CASE(a_large_datagram)
{
    static char out[100000], in[100001];
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 13 + (i >> 12));
    CHECK_EQ(send(fds[0], out, sizeof(out), 0), (long)sizeof(out));
    CHECK_EQ(recv(fds[1], in, sizeof(in), 0), (long)sizeof(out));
    CHECK(!memcmp(in, out, sizeof(out)));
    static char huge[300000];
    CHECK_ERR(send(fds[0], huge, sizeof(huge), 0), EMSGSIZE);
    close(fds[0]), close(fds[1]);
}

CASE(seqpackets)
{
    char buf[8];
    int fd = listener(SOCK_SEQPACKET, "s1", 3);
    NEED(fd >= 0);
    int c = connected(SOCK_SEQPACKET, "s1"), s = accept(fd, NULL, NULL);
    NEED(c >= 0 && s >= 0);
    CHECK_EQ(send(c, "abc", 3, MSG_EOR), 3);
    CHECK_EQ(send(c, "de", 2, 0), 2);
    CHECK_EQ(recv(s, buf, 8, 0), 3);
    CHECK_EQ(recv(s, buf, 1, 0), 1);
    CHECK_EQ(shutdown(c, SHUT_WR), 0);
    CHECK_EQ(recv(s, buf, 8, 0), 0);
    CHECK_EQ(recv(s, buf, 8, MSG_DONTWAIT), 0);
    CHECK_EQ(ready(s), POLLIN | POLLOUT | POLLRDHUP);
    int fresh = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK_ERR(send(fresh, "x", 1, 0), ENOTCONN);
    CHECK_ERR(recv(fresh, buf, 1, 0), ENOTCONN);
    close(c), close(s), close(fd), close(fresh);
    unlink("s1");
}

CASE(messages_in_batches)
{
    struct mmsghdr out[4], in[6];
    struct iovec iov[4], back[6];
    char buf[6][8];
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
    memset(out, 0, sizeof(out));
    memset(in, 0, sizeof(in));
    for (int i = 0; i < 4; i++) {
        iov[i] = (struct iovec){(void *)"message", (size_t)i + 1};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    for (int i = 0; i < 6; i++) {
        back[i] = (struct iovec){buf[i], 8};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &back[i], .msg_iovlen = 1};
    }
    CHECK_EQ(sendmmsg(fds[0], out, 4, 0), 4);
    CHECK_EQ(out[2].msg_len, 3);
    CHECK_EQ(recvmmsg(fds[1], in, 6, MSG_WAITFORONE, NULL), 4);
    CHECK_EQ(in[3].msg_len, 4);
    CHECK_ERR(recvmmsg(fds[1], in, 6, MSG_DONTWAIT, NULL), EAGAIN);
    close(fds[0]), close(fds[1]);
}

/* ---- ancillary data ---- */

union control {
    char buf[512];
    struct cmsghdr align;
};

static ssize_t send_fds(int to, const int *fds, int n, const char *text)
{
    union control control = {0};
    struct iovec iov = {(void *)text, strlen(text)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
    return sendmsg(to, &msg, 0);
}

/* The bytes in @text; the descriptors in @fds, their number in *@n. */
static ssize_t recv_fds(int from, int *fds, int *n, char *text, size_t room, int flags,
                        int *out_flags)
{
    union control control = {0};
    struct iovec iov = {text, room};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    msg.msg_controllen = CMSG_SPACE((size_t)*n * sizeof(int));
    *n = 0;
    ssize_t got = recvmsg(from, &msg, flags);
    if (got < 0)
        return got;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)*n * sizeof(int));
    }
    if (out_flags)
        *out_flags = msg.msg_flags;
    return got;
}

CASE(descriptors_are_passed)
{
    int fds[2], pipe_fds[2], got[8], n = 4, flags;
    char buf[8];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && pipe(pipe_fds) == 0);
    CHECK_EQ(send_fds(fds[0], pipe_fds, 2, "two"), 3);
    close(pipe_fds[0]);
    CHECK_EQ(recv_fds(fds[1], got, &n, buf, 8, MSG_CMSG_CLOEXEC, &flags), 3);
    NEED(n == 2);
    CHECK_EQ(flags, MSG_CMSG_CLOEXEC);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(pipe_fds[1], "via", 3), 3);
    CHECK_EQ(read(got[0], buf, 8), 3);
    close(got[0]), close(got[1]), close(pipe_fds[1]);
    int bad = 1000;
    CHECK_ERR(send_fds(fds[0], &bad, 1, "x"), EBADF);
    close(fds[0]), close(fds[1]);
}

CASE(descriptors_part_the_stream)
{
    int fds[2], null = open("/dev/null", O_RDWR), got[8], n = 4;
    char buf[16];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(write(fds[0], "ab", 2), 2);
    CHECK_EQ(send_fds(fds[0], &null, 1, "cd"), 2);
    CHECK_EQ(write(fds[0], "ef", 2), 2);
    CHECK_EQ(recv_fds(fds[1], got, &n, buf, 16, 0, NULL), 4);
    CHECK_EQ(n, 1);
    close(got[0]);
    CHECK(read(fds[1], buf, 16) == 2 && !memcmp(buf, "ef", 2));
    close(fds[0]), close(fds[1]), close(null);
}

CASE(too_little_room_for_descriptors)
{
    int fds[2], null = open("/dev/null", O_RDWR), three[3] = {null, null, null}, got[8], n = 1,
                flags;
    char buf[8];
    NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
    CHECK_EQ(send_fds(fds[0], three, 3, "x"), 1);
    CHECK_EQ(recv_fds(fds[1], got, &n, buf, 8, 0, &flags), 1);
    CHECK(n >= 1 && n <= 2); /* the padding may hold one more */
    CHECK_EQ(flags, MSG_CTRUNC);
    for (int i = 0; i < n; i++)
        close(got[i]);
    CHECK_EQ(send_fds(fds[0], three, 3, "y"), 1);
    CHECK_EQ(recv(fds[1], buf, 8, 0), 1); /* without control data they are dropped */
    close(fds[0]), close(fds[1]), close(null);
}

CASE(peeking_at_descriptors)
{
    int fds[2], null = open("/dev/null", O_RDWR), got[8], n = 2;
    char buf[8];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(send_fds(fds[0], &null, 1, "x"), 1);
    CHECK_EQ(recv_fds(fds[1], got, &n, buf, 8, MSG_PEEK, NULL), 1);
    NEED(n == 1);
    close(got[0]);
    n = 2;
    CHECK_EQ(recv_fds(fds[1], got, &n, buf, 8, 0, NULL), 1);
    CHECK_EQ(n, 1);
    close(got[0]);
    close(fds[0]), close(fds[1]), close(null);
}

CASE(a_socket_in_itself_is_freed)
{
    for (int i = 0; i < 10000; i++) {
        int fds[2];
        NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
        NEED(send_fds(fds[0], &fds[1], 1, "x") == 1);
        NEED(send_fds(fds[1], &fds[0], 1, "x") == 1);
        close(fds[0]), close(fds[1]);
    }
    int fds[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    close(fds[0]), close(fds[1]);
}

CASE(a_chain_of_sockets_is_freed)
{
    int outer[2], inner[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, outer) == 0);
    for (int i = 0; i < 300; i++) {
        NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, inner) == 0);
        NEED(send_fds(inner[0], outer, 2, "x") == 1);
        close(outer[0]), close(outer[1]);
        outer[0] = inner[0];
        outer[1] = inner[1];
    }
    close(outer[0]), close(outer[1]);
}

static void *write_much(void *arg)
{
    static char buf[400000];

    CHECK_EQ(write((int)(long)arg, buf, sizeof(buf)), (long)sizeof(buf));
    return arg;
}

CASE(a_larger_buffer_wakes_who_waits_for_room)
{
    int fds[2], little = 4096, much = 100000;
    static char buf[400000];
    pthread_t thread;
    size_t have = 0;
    ssize_t n;

    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
    NEED(pthread_create(&thread, NULL, write_much, (void *)(long)fds[0]) == 0);
    sleep_ms(20);
    int before = 0, after = 0;
    CHECK_EQ(ioctl(fds[1], FIONREAD, &before), 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &much, sizeof(much)), 0);
    for (int i = 0; i < 5000 && after <= before; i++) {
        sleep_ms(2);
        CHECK_EQ(ioctl(fds[1], FIONREAD, &after), 0);
    }
    CHECK(after > before);
    while (have < sizeof(buf) && (n = read(fds[1], buf, sizeof(buf))) > 0)
        have += (size_t)n;
    CHECK_EQ(have, sizeof(buf));
    NEED(pthread_join(thread, NULL) == 0);
    close(fds[0]), close(fds[1]);
}

CASE(credentials)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int fds[2], on = 1;
    char buf[8];
    union control control;
    struct iovec iov = {buf, 8};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && len == sizeof(cred));
    CHECK(cred.pid == getpid() && cred.uid == geteuid() && cred.gid == getegid());
    CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
    CHECK_EQ(write(fds[0], "hi", 2), 2);
    msg.msg_controllen = sizeof(control);
    CHECK_EQ(recvmsg(fds[1], &msg, 0), 2);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    NEED(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS);
    memcpy(&cred, CMSG_DATA(c), sizeof(cred));
    CHECK(cred.pid == getpid() && cred.uid == getuid());
    CHECK_EQ(msg.msg_controllen, CMSG_SPACE(sizeof(cred)));
    int fresh = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(getsockopt(fresh, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == 0);
    CHECK_EQ((int)cred.uid, -1);
    close(fds[0]), close(fds[1]), close(fresh);
}

CASE(bad_control_data)
{
    union control control = {0};
    struct iovec iov = {(void *)"x", 1};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control};
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    msg.msg_controllen = sizeof(struct cmsghdr);
    control.align =
        (struct cmsghdr){.cmsg_len = 100, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    CHECK_ERR(sendmsg(fds[0], &msg, 0), EINVAL);
    control.align.cmsg_len = 3;
    CHECK_ERR(sendmsg(fds[0], &msg, 0), EINVAL);
    control.align = (struct cmsghdr){sizeof(struct cmsghdr), SOL_SOCKET, 77};
    CHECK_ERR(sendmsg(fds[0], &msg, 0), EINVAL);
    msg.msg_controllen = 1 << 30;
    CHECK_ERR(sendmsg(fds[0], &msg, 0), ENOBUFS);
    msg.msg_control = (void *)1;
    msg.msg_controllen = 64;
    CHECK_ERR(sendmsg(fds[0], &msg, 0), EFAULT);
    msg.msg_controllen = 0;
    msg.msg_iovlen = 2000;
    CHECK_ERR(sendmsg(fds[0], &msg, 0), EMSGSIZE);
    CHECK_ERR(send(fds[0], (void *)1, 5, 0), EFAULT);
    CHECK_EQ(write(fds[0], "abc", 3), 3);
    CHECK_ERR(recv(fds[1], (void *)1, 5, 0), EFAULT);
    CHECK_ERR(sendmsg(fds[0], (void *)1, 0), EFAULT);
    close(fds[0]), close(fds[1]);
}

/* ---- options, readiness ---- */

CASE(options)
{
    int v, fds[2];
    socklen_t len = sizeof(v);
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    v = 10000;
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &v, &len) == 0 && v == 20000);
    v = 1;
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)), 0);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &v, &len) == 0 && v == 4608);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_DOMAIN, &v, &len) == 0 && v == AF_UNIX);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &v, &len) == 0 && v == SOCK_STREAM);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_ERROR, &v, &len) == 0 && v == 0);
    CHECK_ERR(setsockopt(fds[0], SOL_SOCKET, 9999, &v, sizeof(v)), ENOPROTOOPT);
    CHECK_ERR(getsockopt(fds[0], SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
    CHECK_ERR(setsockopt(fds[0], SOL_SOCKET, SO_KEEPALIVE, &v, 1), EINVAL);
    CHECK_ERR(setsockopt(fds[0], 6, 1, &v, sizeof(v)), EOPNOTSUPP);
    struct linger linger = {1, 5}, back = {0, 0};
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    len = sizeof(back);
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_LINGER, &back, &len) == 0 && back.l_onoff == 1 &&
          back.l_linger == 5);
    len = 2;
    v = -1;
    CHECK(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &v, &len) == 0 && len == 2);
    close(fds[0]), close(fds[1]);
}

CASE(edges_of_epoll)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got;
    int fds[2], ep = epoll_create1(0);
    char buf[8];
    NEED(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    NEED(epoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &ev) == 0);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(write(fds[0], "abc", 3), 3);
    CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.events == EPOLLIN);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(read(fds[1], buf, 1), 1);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(write(fds[0], "d", 1), 1);
    CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.events == EPOLLIN);
    CHECK_EQ(shutdown(fds[0], SHUT_WR), 0);
    CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.events == (EPOLLIN | EPOLLRDHUP));
    close(fds[0]);
    CHECK(epoll_wait(ep, &got, 1, 0) == 1 && got.events == (EPOLLIN | EPOLLRDHUP | EPOLLHUP));
    close(fds[1]), close(ep);
}

CASE(files_and_pipes_into_sockets)
{
    char buf[64];
    int fds[2], pipe_fds[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 && pipe(pipe_fds) == 0);
    NEED(put_file("page", "the contents of a file"));
    int file = open("page", O_RDONLY);
    off_t at = 4;
    CHECK_EQ(sendfile(fds[0], file, &at, 8), 8);
    CHECK(at == 12 && read(fds[1], buf, 64) == 8 && !memcmp(buf, "contents", 8));
    CHECK_EQ(sendfile(fds[0], file, NULL, 1000), 22);
    CHECK_EQ(sendfile(fds[0], file, NULL, 1000), 0);
    CHECK_EQ(read(fds[1], buf, 64), 22);
    CHECK_EQ(write(fds[0], "into a pipe", 11), 11);
    CHECK_EQ(splice(fds[1], NULL, pipe_fds[1], NULL, 64, 0), 11);
    CHECK_EQ(splice(pipe_fds[0], NULL, fds[0], NULL, 64, 0), 11);
    CHECK(read(fds[1], buf, 64) == 11 && !memcmp(buf, "into a pipe", 11));
    close(fds[0]), close(fds[1]), close(pipe_fds[0]), close(pipe_fds[1]), close(file);
}

CASE(names_in_proc)
{
    struct stat st;
    char path[64], link[64] = "", want[64];
    int fds[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    CHECK(readlink(path, link, sizeof(link) - 1) > 0 && !strncmp(link, "socket:[", 8));
    NEED(fstat(fds[0], &st) == 0);
    snprintf(want, sizeof(want), "socket:[%lu]", (unsigned long)st.st_ino);
    CHECK(!strcmp(link, want));
    CHECK_ERR(open(path, O_RDWR), ENXIO);
    close(fds[0]), close(fds[1]);
}

static void on_alarm(int sig)
{
    (void)sig;
}

CASE(signals_end_or_restart_a_wait)
{
    struct sigaction act = {.sa_handler = on_alarm};
    struct timeval tv = {10, 0};
    pthread_t thread;
    char c;
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, shared) == 0);
    sigaction(SIGALRM, &act, NULL);
    struct itimerval it = {{0, 20000}, {0, 20000}}; /* the first may come before the call */
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK_ERR(recv(shared[1], &c, 1, 0), EINTR);
    act.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &act, NULL);
    NEED(pthread_create(&thread, NULL, write_in_parts, NULL) == 0);
    it.it_value.tv_usec = 5000;
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK_EQ(recv(shared[1], &c, 1, 0), 1);
    pthread_join(thread, NULL);
    char rest[64];
    CHECK_EQ(recv(shared[1], rest, sizeof(rest), 0), 19);
    setsockopt(shared[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    it.it_value.tv_usec = 20000;
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK_ERR(recv(shared[1], &c, 1, 0), EINTR); /* with a timeout never restarted */
    it = (struct itimerval){0};
    setitimer(ITIMER_REAL, &it, NULL);
    signal(SIGALRM, SIG_DFL);
    close(shared[0]), close(shared[1]);
}
