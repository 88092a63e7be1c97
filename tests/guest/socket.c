/* AF_INET and AF_INET6 over loopback: what servers and clients rely on, and the errors they see. */
#define _GNU_SOURCE
#include "t.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int port_of(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    return getsockname(fd, (void *)&addr, &len) ? -1 : ntohs(addr.sin_port);
}

/* Bound to a port of the kernel's choice on loopback. */
static int bound(int type)
{
    struct sockaddr_in addr = loopback(0);
    int fd = socket(AF_INET, type, 0);
    if (fd >= 0 && bind(fd, (void *)&addr, sizeof(addr))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int listener(int backlog)
{
    int fd = bound(SOCK_STREAM);
    if (fd >= 0 && listen(fd, backlog)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connected(int port)
{
    struct sockaddr_in addr = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (void *)&addr, sizeof(addr))) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

/* Both ends of a connection. */
static bool tcp_pair(int fds[2])
{
    int l = listener(4);
    fds[0] = l < 0 ? -1 : connected(port_of(l));
    fds[1] = fds[0] < 0 ? -1 : accept(l, NULL, NULL);
    close(l);
    return fds[1] >= 0;
}

static int ready(int fd, int timeout_ms, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, timeout_ms) < 0 ? -1 : p.revents;
}

static int option(int fd, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);
    return getsockopt(fd, level, name, &v, &len) ? -errno : v;
}

static int set(int fd, int level, int name, int v)
{
    return setsockopt(fd, level, name, &v, sizeof(v));
}

/* ---- making them ---- */

CASE(kinds_that_exist)
{
    int fd;
    CHECK((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP)) >= 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    close(fd);
    CHECK((fd = socket(AF_INET6, SOCK_DGRAM, 0)) >= 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
    close(fd);
    CHECK_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    int fds[2];
    CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, fds), EOPNOTSUPP);
}

/* ---- UDP ---- */

CASE(udp_echo)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char buf[16];
    int n, a = bound(SOCK_DGRAM), b = bound(SOCK_DGRAM);
    NEED(a >= 0 && b >= 0);
    struct sockaddr_in to = loopback(port_of(a));
    CHECK_EQ(ready(b, 0, POLLIN | POLLOUT), POLLOUT);
    CHECK_EQ(sendto(b, "hello", 5, 0, (void *)&to, sizeof(to)), 5);
    CHECK_EQ(ready(a, 10000, POLLIN), POLLIN);
    CHECK(ioctl(a, FIONREAD, &n) == 0 && n == 5);
    CHECK_EQ(recvfrom(a, buf, 3, MSG_PEEK | MSG_TRUNC, (void *)&from, &len), 5);
    CHECK(len == sizeof(from) && ntohs(from.sin_port) == port_of(b));
    CHECK_EQ(recv(a, buf, 16, 0), 5);
    CHECK(!memcmp(buf, "hello", 5));
    CHECK_ERR(recv(a, buf, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_ERR(send(b, "x", 1, 0), EDESTADDRREQ);
    CHECK_EQ(connect(b, (void *)&to, sizeof(to)), 0);
    CHECK_EQ(send(b, "", 0, 0), 0);
    CHECK_EQ(recv(a, buf, 16, 0), 0);
    CHECK_ERR(listen(a, 1), EOPNOTSUPP);
    CHECK_ERR(accept(a, NULL, NULL), EOPNOTSUPP);
    len = sizeof(from);
    CHECK_ERR(getpeername(a, (void *)&from, &len), ENOTCONN);
    CHECK(getpeername(b, (void *)&from, &len) == 0 && ntohs(from.sin_port) == port_of(a));
    close(a), close(b);
}

CASE(udp_port_nobody_has)
{
    char c;
    int a = bound(SOCK_DGRAM), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = loopback(port_of(a));
    close(a);
    NEED(connect(b, (void *)&to, sizeof(to)) == 0);
    CHECK_EQ(send(b, "x", 1, 0), 1);
    CHECK(ready(b, 10000, POLLIN) & POLLERR);
    CHECK_ERR(recv(b, &c, 1, MSG_DONTWAIT), ECONNREFUSED);
    CHECK_ERR(recv(b, &c, 1, MSG_DONTWAIT), EAGAIN);
    close(b);
}

/* An address that this host may get later: 192.0.2.0/24 is nobody's. */
CASE(addresses_that_are_not_here_yet)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (unsigned i = 0; i < COUNT(types); i++) {
        int fd = socket(AF_INET, types[i], 0), on = 1, value = 7;
        socklen_t len = sizeof(value);
        NEED(fd >= 0);
        CHECK_ERR(bind(fd, (void *)&at, sizeof(at)), EADDRNOTAVAIL);
        CHECK_EQ(getsockopt(fd, IPPROTO_IP, IP_FREEBIND, &value, &len), 0);
        CHECK_EQ(value, 0);
        CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)), 0);
        CHECK_EQ(getsockopt(fd, IPPROTO_IP, IP_FREEBIND, &value, &len), 0);
        CHECK_EQ(value, 1);
        CHECK_EQ(bind(fd, (void *)&at, sizeof(at)), 0);
        if (types[i] == SOCK_STREAM)
            CHECK_EQ(listen(fd, 5), 0);
        close(fd);
    }
}

/* Each error with the address that it is about, in order. */
CASE(errors_wait_in_a_queue)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    CHECK_EQ(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    for (int i = 1; i <= 3; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)i), /* which nobody has */
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)) < 0) /* tells of the one before */
            CHECK_EQ(sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)), 1);
        usleep(20000);
    }
    for (int i = 1; i <= 3; i++) {
        struct sockaddr_in about = {0};
        char control[256];
        struct msghdr msg = {.msg_name = &about,
                             .msg_namelen = sizeof(about),
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
        NEED(recvmsg(fd, &msg, MSG_ERRQUEUE) >= 0);
        CHECK_EQ(ntohs(about.sin_port), i);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        NEED(c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR);
        uint32_t number;
        memcpy(&number, CMSG_DATA(c), sizeof(number));
        CHECK_EQ(number, ECONNREFUSED);
    }
    CHECK_ERR(recv(fd, &on, 1, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
    close(fd);
}

CASE(udp_in_batches)
{
    struct mmsghdr out[3] = {0}, in[4] = {0};
    struct iovec iov[3], back[4];
    char buf[4][8];
    int a = bound(SOCK_DGRAM), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = loopback(port_of(a));
    NEED(connect(b, (void *)&to, sizeof(to)) == 0);
    for (int i = 0; i < 3; i++) {
        iov[i] = (struct iovec){(void *)"message", (size_t)i + 1};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    for (int i = 0; i < 4; i++) {
        back[i] = (struct iovec){buf[i], 8};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &back[i], .msg_iovlen = 1};
    }
    CHECK_EQ(sendmmsg(b, out, 3, 0), 3);
    CHECK_EQ(recvmmsg(a, in, 4, MSG_WAITFORONE, NULL), 3);
    CHECK_EQ(in[2].msg_len, 3);
    close(a), close(b);
}

CASE(addresses_in_use)
{
    int a = bound(SOCK_DGRAM), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = loopback(port_of(a));
    CHECK_ERR(bind(b, (void *)&to, sizeof(to)), EADDRINUSE);
    CHECK_ERR(bind(a, (void *)&to, sizeof(to)), EINVAL);
    to.sin_addr.s_addr = htonl(0x08080808);
    CHECK_ERR(bind(b, (void *)&to, sizeof(to)), EADDRNOTAVAIL);
    CHECK_ERR(bind(b, (void *)&to, 8), EINVAL);
    to.sin_family = 99;
    CHECK_ERR(bind(b, (void *)&to, sizeof(to)), EAFNOSUPPORT);
    close(a), close(b);
    a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    NEED(set(a, SOL_SOCKET, SO_REUSEPORT, 1) == 0 && set(b, SOL_SOCKET, SO_REUSEPORT, 1) == 0);
    to = loopback(0);
    CHECK_EQ(bind(a, (void *)&to, sizeof(to)), 0);
    to = loopback(port_of(a));
    CHECK_EQ(bind(b, (void *)&to, sizeof(to)), 0);
    close(a), close(b);
}

/* ---- TCP ---- */

CASE(tcp_echo)
{
    int fds[2], n;
    char buf[16];
    NEED(tcp_pair(fds));
    CHECK_EQ(send(fds[0], "hello", 5, 0), 5);
    CHECK_EQ(recv(fds[1], buf, 16, MSG_PEEK), 5);
    CHECK(ioctl(fds[1], FIONREAD, &n) == 0 && n == 5);
    CHECK_EQ(read(fds[1], buf, 2), 2);
    CHECK_EQ(recv(fds[1], buf, 3, MSG_WAITALL), 3);
    CHECK_ERR(recv(fds[1], buf, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(fds[1], "back", 4), 4);
    CHECK_EQ(read(fds[0], buf, 16), 4);
    CHECK_EQ(ready(fds[0], 0, POLLIN | POLLOUT | POLLRDHUP), POLLOUT);
    struct sockaddr_in addr, peer;
    socklen_t len = sizeof(addr), peer_len = sizeof(peer);
    CHECK(getsockname(fds[0], (void *)&addr, &len) == 0);
    CHECK(getpeername(fds[1], (void *)&peer, &peer_len) == 0);
    CHECK(!memcmp(&addr, &peer, 8));
    close(fds[0]), close(fds[1]);
}

CASE(accept_takes_flags_and_tells_the_peer)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    int l = listener(4);
    NEED(l >= 0);
    CHECK_EQ(fcntl(l, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERR(accept(l, NULL, NULL), EAGAIN);
    CHECK_EQ(ready(l, 0, POLLIN), 0);
    int c = connected(port_of(l));
    NEED(c >= 0);
    CHECK_EQ(ready(l, 10000, POLLIN), POLLIN);
    int s = accept4(l, (void *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    NEED(s >= 0);
    CHECK(len == sizeof(addr) && ntohs(addr.sin_port) == port_of(c));
    CHECK_EQ(fcntl(s, F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(option(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
    close(s), close(c);
    c = connected(port_of(l));
    s = accept(l, NULL, NULL); /* O_NONBLOCK is not inherited */
    CHECK(s >= 0 && fcntl(s, F_GETFL) == O_RDWR);
    CHECK_ERR(accept4(l, NULL, NULL, 1), EINVAL);
    close(s), close(c), close(l);
}

CASE(half_close)
{
    int fds[2];
    char buf[8];
    NEED(tcp_pair(fds));
    signal(SIGPIPE, SIG_IGN);
    CHECK_EQ(write(fds[0], "last", 4), 4);
    CHECK_EQ(shutdown(fds[0], SHUT_WR), 0);
    CHECK_ERR(write(fds[0], "x", 1), EPIPE);
    CHECK_EQ(ready(fds[1], 10000, POLLRDHUP), POLLRDHUP);
    CHECK_EQ(read(fds[1], buf, 8), 4);
    CHECK_EQ(read(fds[1], buf, 8), 0);
    CHECK_EQ(ready(fds[1], 0, POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(write(fds[1], "reply", 5), 5);
    CHECK_EQ(read(fds[0], buf, 8), 5);
    close(fds[1]);
    CHECK_EQ(read(fds[0], buf, 8), 0);
    CHECK(ready(fds[0], 10000, POLLIN | POLLRDHUP) & POLLHUP);
    close(fds[0]);
}

CASE(closing_with_unread_data_resets)
{
    int fds[2];
    char c;
    NEED(tcp_pair(fds));
    CHECK_EQ(write(fds[0], "unread", 6), 6);
    CHECK_EQ(ready(fds[1], 10000, POLLIN), POLLIN);
    close(fds[1]);
    CHECK(ready(fds[0], 10000, POLLIN) & POLLERR);
    CHECK_ERR(read(fds[0], &c, 1), ECONNRESET);
    CHECK_EQ(read(fds[0], &c, 1), 0);
    close(fds[0]);
}

CASE(linger_zero_resets)
{
    struct linger linger = {1, 0};
    int fds[2];
    char c;
    NEED(tcp_pair(fds));
    CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fds[1]);
    CHECK_ERR(read(fds[0], &c, 1), ECONNRESET);
    close(fds[0]);
}

CASE(nobody_listens)
{
    int l = listener(1), port = port_of(l);
    close(l);
    CHECK_ERR(connected(port), ECONNREFUSED);
    struct sockaddr_in addr = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (void *)&addr, sizeof(addr)))
        CHECK(errno == EINPROGRESS || errno == ECONNREFUSED);
    if (errno == EINPROGRESS) {
        CHECK(ready(fd, 10000, POLLOUT) & POLLERR);
        CHECK_EQ(option(fd, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
        CHECK_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
    }
    close(fd);
}

CASE(connect_without_waiting)
{
    int l = listener(4), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in addr = loopback(port_of(l));
    CHECK_EQ(ready(fd, 0, POLLIN | POLLOUT), POLLOUT | POLLHUP);
    if (connect(fd, (void *)&addr, sizeof(addr)))
        CHECK_EQ(errno, EINPROGRESS);
    CHECK_EQ(ready(fd, 10000, POLLOUT), POLLOUT);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_ERROR), 0);
    (void)connect(fd, (void *)&addr, sizeof(addr)); /* once says that it is done */
    CHECK_ERR(connect(fd, (void *)&addr, sizeof(addr)), EISCONN);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    close(s), close(fd), close(l);
}

CASE(not_connected)
{
    char c;
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(send(fd, "x", 1, 0), EPIPE);
    CHECK_ERR(recv(fd, &c, 1, 0), ENOTCONN);
    CHECK_ERR(shutdown(fd, SHUT_RDWR), ENOTCONN);
    CHECK_ERR(getpeername(fd, (void *)&addr, &len), ENOTCONN);
    CHECK_ERR(accept(fd, NULL, NULL), EINVAL);
    CHECK(getsockname(fd, (void *)&addr, &len) == 0 && len == sizeof(addr) && !addr.sin_port);
    CHECK_EQ(listen(fd, 1), 0); /* binds itself */
    CHECK(port_of(fd) > 0);
    close(fd);
}

CASE(ports_of_streams)
{
    int a = listener(1), b = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in addr = loopback(port_of(a));
    CHECK_ERR(bind(b, (void *)&addr, sizeof(addr)), EADDRINUSE);
    CHECK_EQ(set(b, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_ERR(bind(b, (void *)&addr, sizeof(addr)), EADDRINUSE); /* it listens */
    close(a), close(b);
    a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0);
    set(a, SOL_SOCKET, SO_REUSEPORT, 1), set(b, SOL_SOCKET, SO_REUSEPORT, 1);
    addr = loopback(0);
    CHECK(bind(a, (void *)&addr, sizeof(addr)) == 0 && listen(a, 8) == 0);
    addr = loopback(port_of(a));
    CHECK(bind(b, (void *)&addr, sizeof(addr)) == 0 && listen(b, 8) == 0);
    int clients[8], served = 0;
    fcntl(a, F_SETFL, O_NONBLOCK), fcntl(b, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 8; i++)
        clients[i] = connected(port_of(a));
    /* connect() returns with the answer to its SYN; its ACK may still be on the way */
    for (int i = 0, s; i < 10000 && served < 8; i++, sleep_ms(1)) {
        while ((s = accept(i % 2 ? a : b, NULL, NULL)) >= 0) {
            served++;
            close(s);
        }
    }
    CHECK_EQ(served, 8);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    close(a), close(b);
}

/* A listener that one thread ends while others accept from it or look at it. */
static int ended;
static volatile bool over;

static void *accept_until_the_end(void *arg)
{
    int fd;

    while ((fd = accept(ended, NULL, NULL)) >= 0)
        close(fd);
    CHECK(errno == EINVAL || errno == EAGAIN);
    return arg;
}

static void *look_all_the_time(void *arg)
{
    while (!over)
        ready(ended, 0, POLLIN);
    return arg;
}

static void *end_it(void *arg)
{
    sleep_ms(1);
    CHECK(!shutdown(ended, SHUT_RDWR) || errno == ENOTCONN);
    return arg;
}

CASE(a_listener_ends_under_those_who_accept)
{
    static void *(*const parts[])(void *) = {accept_until_the_end, accept_until_the_end,
                                             look_all_the_time, end_it, end_it};
    pthread_t threads[5];

    for (int round = 0; round < 20; round++) {
        over = false;
        NEED((ended = listener(8)) >= 0);
        for (int i = 0; i < 5; i++)
            NEED(pthread_create(&threads[i], NULL, parts[i], NULL) == 0);
        close(connected(port_of(ended)));
        for (int i = 0; i < 5; i++) {
            over = i == 2;
            NEED(pthread_join(threads[i], NULL) == 0);
        }
        CHECK_EQ(listen(ended, 1), 0);
        int client = connected(port_of(ended)), server = accept(ended, NULL, NULL);
        CHECK(client >= 0 && server >= 0);
        close(client), close(server), close(ended);
    }
}

static struct sockaddr_in target;
static int beginner, begun;

static void *begin_all_at_once(void *arg)
{
    if (!connect(beginner, (void *)&target, sizeof(target)))
        __atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED);
    else
        CHECK(errno == EISCONN || errno == EALREADY);
    return arg;
}

CASE(several_threads_connect_one_socket)
{
    pthread_t threads[4];
    int l = listener(8);

    target = loopback(port_of(l));
    for (int round = 0; round < 50; round++) {
        begun = 0;
        NEED((beginner = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
        for (int i = 0; i < 4; i++)
            NEED(pthread_create(&threads[i], NULL, begin_all_at_once, NULL) == 0);
        for (int i = 0; i < 4; i++)
            NEED(pthread_join(threads[i], NULL) == 0);
        CHECK(begun >= 1);
        close(accept(l, NULL, NULL));
        close(beginner);
    }
    close(l);
}

static void *pour(void *arg)
{
    static char buf[1 << 20];
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (char)(i * 7 + (i >> 13));
    long n = write((int)(long)arg, buf, sizeof(buf));
    shutdown((int)(long)arg, SHUT_WR);
    return (void *)n;
}

CASE(a_megabyte_arrives_whole)
{
    static char buf[40000];
    pthread_t thread;
    size_t have = 0, bad = 0;
    void *wrote;
    int fds[2];
    ssize_t n;
    NEED(tcp_pair(fds));
    NEED(pthread_create(&thread, NULL, pour, (void *)(long)fds[0]) == 0);
    while ((n = read(fds[1], buf, sizeof(buf))) > 0)
        for (ssize_t i = 0; i < n; i++, have++)
            bad += buf[i] != (char)(have * 7 + (have >> 13));
    pthread_join(thread, &wrote);
    CHECK(n == 0 && have == 1 << 20 && bad == 0 && (long)wrote == 1 << 20);
    close(fds[0]), close(fds[1]);
}

CASE(a_full_stream_is_not_writable)
{
    static char buf[65536];
    long sent = 0, got = 0, n;
    int fds[2];
    NEED(tcp_pair(fds));
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    do { /* what the other side still takes makes room again */
        while ((n = write(fds[0], buf, sizeof(buf))) > 0)
            sent += n;
        CHECK_EQ(errno, EAGAIN);
    } while (ready(fds[0], 500, POLLOUT));
    CHECK(sent > 10000);
    CHECK_EQ(ready(fds[0], 0, POLLOUT), 0);
    while (got < sent && (n = read(fds[1], buf, sizeof(buf))) > 0)
        got += n;
    CHECK_EQ(got, sent);
    CHECK_EQ(ready(fds[0], 10000, POLLOUT), POLLOUT);
    close(fds[0]), close(fds[1]);
}

/* As nginx answers: a header, a small file that was in the image (this program), then the cork
 * goes. */
CASE(a_cork_joins_a_header_and_a_small_file)
{
    enum { HEADER = 240, FILE_BYTES = 612, FROM = 100 };
    char header[HEADER], want[FILE_BYTES], got[2048];
    struct iovec iov = {header, sizeof(header)};
    int fds[2], on = 1, off = 0, file = open("/proc/self/exe", O_RDONLY);
    off_t at = FROM;

    memset(header, 'h', sizeof(header));
    NEED(file >= 0 && pread(file, want, sizeof(want), FROM) == FILE_BYTES && tcp_pair(fds));
    CHECK_EQ(setsockopt(fds[0], IPPROTO_TCP, TCP_CORK, &on, sizeof(on)), 0);
    CHECK_EQ(writev(fds[0], &iov, 1), HEADER);
    CHECK_EQ(sendfile(fds[0], file, &at, FILE_BYTES), FILE_BYTES);
    CHECK_EQ(at, FROM + FILE_BYTES);
    CHECK_ERR(recv(fds[1], got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(setsockopt(fds[0], IPPROTO_TCP, TCP_CORK, &off, sizeof(off)), 0);
    CHECK_EQ(recv(fds[1], got, HEADER + FILE_BYTES, MSG_WAITALL), HEADER + FILE_BYTES);
    CHECK_EQ(memcmp(got, header, HEADER), 0);
    CHECK_EQ(memcmp(got + HEADER, want, FILE_BYTES), 0);
    close(file);
    close(fds[0]);
    close(fds[1]);
}

CASE(sendfile_sends_a_file)
{
    static char buf[100000], back[100000];
    size_t have = 0;
    ssize_t n;
    int fds[2], file = open("page", O_RDWR | O_CREAT, 0600);
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (char)(i * 11 + (i >> 12));
    NEED(write(file, buf, sizeof(buf)) == sizeof(buf) && tcp_pair(fds));
    off_t at = 0;
    CHECK_EQ(sendfile(fds[0], file, &at, 1 << 20), (long)sizeof(buf));
    CHECK_EQ(at, (long)sizeof(buf));
    close(fds[0]);
    while ((n = read(fds[1], back + have, sizeof(back) - have)) > 0)
        have += (size_t)n;
    CHECK(have == sizeof(buf) && !memcmp(buf, back, have));
    close(fds[1]), close(file);
}

CASE(edges_of_epoll)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET}, got;
    int fds[2], ep = epoll_create1(0);
    char buf[8];
    NEED(tcp_pair(fds) && epoll_ctl(ep, EPOLL_CTL_ADD, fds[1], &ev) == 0);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(write(fds[0], "abc", 3), 3);
    CHECK(epoll_wait(ep, &got, 1, 10000) == 1 && got.events == EPOLLIN);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(read(fds[1], buf, 1), 1);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    CHECK_EQ(write(fds[0], "d", 1), 1);
    CHECK(epoll_wait(ep, &got, 1, 10000) == 1 && got.events == EPOLLIN);
    CHECK_EQ(shutdown(fds[0], SHUT_WR), 0);
    CHECK(epoll_wait(ep, &got, 1, 10000) == 1 && got.events == (EPOLLIN | EPOLLRDHUP));
    close(fds[0]), close(fds[1]), close(ep);
}

CASE(urgent_data)
{
    char c = 0;
    int fds[2];
    NEED(tcp_pair(fds));
    CHECK_EQ(send(fds[0], "!", 1, MSG_OOB), 1);
    CHECK_EQ(ready(fds[1], 10000, POLLPRI), POLLPRI);
    CHECK(recv(fds[1], &c, 1, MSG_OOB) == 1 && c == '!');
    CHECK_ERR(recv(fds[1], &c, 1, MSG_OOB), EINVAL);
    close(fds[0]), close(fds[1]);
}

/* ---- options ---- */

CASE(options_that_servers_set)
{
    static const int on[][2] = {
        {SOL_SOCKET, SO_REUSEADDR},      {SOL_SOCKET, SO_REUSEPORT},  {SOL_SOCKET, SO_KEEPALIVE},
        {SOL_SOCKET, SO_OOBINLINE},      {IPPROTO_TCP, TCP_NODELAY},  {IPPROTO_TCP, TCP_CORK},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT}, {IPPROTO_TCP, TCP_QUICKACK},
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    for (size_t i = 0; i < COUNT(on); i++) {
        if (set(fd, on[i][0], on[i][1], 1))
            t_problem(__LINE__, "option %d of level %d: %s", on[i][1], on[i][0], strerror(errno));
        CHECK_EQ(option(fd, on[i][0], on[i][1]), 1);
    }
    CHECK(set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60) == 0 &&
          set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 7) == 0);
    CHECK(set(fd, IPPROTO_TCP, TCP_KEEPCNT, 4) == 0 && option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    CHECK(set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 9000) == 0);
    CHECK_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 9000);
    CHECK(set(fd, IPPROTO_IP, IP_TOS, 0x10) == 0 && option(fd, IPPROTO_IP, IP_TOS) == 0x10);
    CHECK(set(fd, SOL_SOCKET, SO_RCVBUF, 20000) == 0);
    CHECK_EQ(option(fd, SOL_SOCKET, SO_RCVBUF), 40000);
    CHECK(option(fd, IPPROTO_TCP, TCP_MAXSEG) > 0);
    CHECK_ERR(set(fd, SOL_SOCKET, 4711, 1), ENOPROTOOPT);
    CHECK_ERR(set(fd, IPPROTO_TCP, 4711, 1), ENOPROTOOPT);
    CHECK_ERR(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, "", 1), EINVAL);
    CHECK_ERR(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (void *)1, 4), EFAULT);
    close(fd);
}

/* ---- IPv6 ---- */

CASE(ipv6_takes_ipv4_too)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6}, peer;
    socklen_t len = sizeof(any);
    char text[64];
    int l = socket(AF_INET6, SOCK_STREAM, 0);
    NEED(l >= 0 && bind(l, (void *)&any, sizeof(any)) == 0 && listen(l, 4) == 0);
    NEED(getsockname(l, (void *)&any, &len) == 0 && len == sizeof(any));
    int c = connected(ntohs(any.sin6_port));
    NEED(c >= 0);
    len = sizeof(peer);
    int s = accept(l, (void *)&peer, &len);
    CHECK(s >= 0 && len == sizeof(peer) && IN6_IS_ADDR_V4MAPPED(&peer.sin6_addr));
    CHECK(!strcmp(inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof(text)), "::ffff:127.0.0.1"));
    close(s), close(c);
    c = socket(AF_INET6, SOCK_STREAM, 0);
    any.sin6_addr = in6addr_loopback;
    CHECK_EQ(connect(c, (void *)&any, sizeof(any)), 0);
    len = sizeof(peer);
    s = accept(l, (void *)&peer, &len);
    CHECK(s >= 0 && IN6_IS_ADDR_LOOPBACK(&peer.sin6_addr));
    close(s), close(c), close(l);
    l = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK_EQ(set(l, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    close(l);
}

/* ---- interfaces ---- */

CASE(interfaces_are_listed)
{
    struct ifaddrs *all, *a;
    bool v4 = false, link = false;
    NEED(getifaddrs(&all) == 0);
    for (a = all; a; a = a->ifa_next) {
        if (strcmp(a->ifa_name, "lo"))
            continue;
        CHECK(a->ifa_flags & IFF_LOOPBACK && a->ifa_flags & IFF_UP);
        v4 |= a->ifa_addr && a->ifa_addr->sa_family == AF_INET;
        link |= a->ifa_addr && a->ifa_addr->sa_family == AF_PACKET;
    }
    CHECK(v4 && link);
    freeifaddrs(all);
    CHECK_EQ(if_nametoindex("lo"), 1);
    char name[IF_NAMESIZE];
    CHECK(if_indextoname(1, name) && !strcmp(name, "lo"));
    CHECK_ERR((int)if_nametoindex("nosuch") - 1, ENODEV);
}

CASE(interfaces_by_ioctl)
{
    struct ifreq reqs[8], req = {.ifr_name = "lo"};
    struct ifconf conf = {.ifc_len = sizeof(reqs), .ifc_req = reqs};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool found = false;
    NEED(ioctl(fd, SIOCGIFCONF, &conf) == 0 && conf.ifc_len % (int)sizeof(reqs[0]) == 0);
    for (int i = 0; i < conf.ifc_len / (int)sizeof(reqs[0]); i++)
        found |= !strcmp(reqs[i].ifr_name, "lo");
    CHECK(found);
    CHECK(ioctl(fd, SIOCGIFADDR, &req) == 0);
    CHECK_EQ(((struct sockaddr_in *)&req.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK(ioctl(fd, SIOCGIFNETMASK, &req) == 0);
    CHECK_EQ(((struct sockaddr_in *)&req.ifr_addr)->sin_addr.s_addr, htonl(0xff000000));
    CHECK(ioctl(fd, SIOCGIFFLAGS, &req) == 0 && req.ifr_flags & IFF_LOOPBACK);
    CHECK(ioctl(fd, SIOCGIFMTU, &req) == 0 && req.ifr_mtu >= 16384);
    CHECK(ioctl(fd, SIOCGIFINDEX, &req) == 0 && req.ifr_ifindex == 1);
    CHECK(ioctl(fd, SIOCGIFHWADDR, &req) == 0 && req.ifr_hwaddr.sa_family == 772);
    strcpy(req.ifr_name, "nosuch");
    CHECK_ERR(ioctl(fd, SIOCGIFADDR, &req), ENODEV);
    CHECK_ERR(ioctl(fd, 0x1234, &req), ENOTTY);
    close(fd);
}

CASE(tables_in_proc)
{
    char want[32];
    int l = listener(4);
    snprintf(want, sizeof(want), " 0100007F:%04X 00000000:0000 0A", port_of(l));
    CHECK(strstr(get_file("/proc/net/tcp"), want));
    int u = bound(SOCK_DGRAM);
    snprintf(want, sizeof(want), " 0100007F:%04X 00000000:0000 07", port_of(u));
    CHECK(strstr(get_file("/proc/net/udp"), want));
    CHECK(strstr(get_file("/proc/net/dev"), "lo:"));
    CHECK(strstr(get_file("/proc/net/snmp"), "Udp: "));
    close(l), close(u);
}
/* As unbound sets it, so that no router has to cut its answers. */
CASE(pieces_of_datagrams_are_as_small_as_a_program_wants)
{
    struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    static char sent[4000], got[sizeof(sent)];
    socklen_t len = sizeof(addr);
    int in = socket(AF_INET6, SOCK_DGRAM, 0), out = socket(AF_INET6, SOCK_DGRAM, 0);

    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)(i * 7 >> 3);
    CHECK_EQ(bind(in, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(getsockname(in, (struct sockaddr *)&addr, &len), 0);
    CHECK_ERR(setsockopt(out, SOL_IPV6, IPV6_MTU, &(int){1279}, sizeof(int)), EINVAL);
    CHECK_EQ(setsockopt(out, SOL_IPV6, IPV6_MTU, &(int){0}, sizeof(int)), 0);
    CHECK_EQ(setsockopt(out, SOL_IPV6, IPV6_MTU, &(int){1280}, sizeof(int)), 0);
    int stream = socket(AF_INET6, SOCK_STREAM, 0); /* where nothing comes of it, as nsd sets it */
    CHECK_ERR(setsockopt(stream, SOL_IPV6, IPV6_MTU, &(int){1279}, sizeof(int)), EINVAL);
    CHECK_EQ(setsockopt(stream, SOL_IPV6, IPV6_MTU, &(int){1280}, sizeof(int)), 0);
    close(stream);
    CHECK_EQ(sendto(out, sent, sizeof(sent), 0, (struct sockaddr *)&addr, sizeof(addr)),
             (ssize_t)sizeof(sent));
    CHECK_EQ(recv(in, got, sizeof(got), 0), (ssize_t)sizeof(sent));
    CHECK_EQ(memcmp(sent, got, sizeof(sent)), 0);
    close(in);
    close(out);
}
