/* What a socket does with every flag of send and recv, with splice, epoll's modes and the sharing
 * of ports: the same questions to streams, datagrams and packets in sequence, of AF_INET, AF_INET6
 * and AF_UNIX. */
#define _GNU_SOURCE
#include "t.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

static const struct kind {
    int family, type;
    const char *name;
} kinds[] = {
    {AF_INET, SOCK_STREAM, "tcp"},         {AF_INET6, SOCK_STREAM, "tcp6"},
    {AF_UNIX, SOCK_STREAM, "unix stream"}, {AF_UNIX, SOCK_SEQPACKET, "unix seqpacket"},
    {AF_INET, SOCK_DGRAM, "udp"},          {AF_INET6, SOCK_DGRAM, "udp6"},
    {AF_UNIX, SOCK_DGRAM, "unix dgram"},
};

static bool is_stream(const struct kind *k)
{
    return k->type == SOCK_STREAM;
}

static socklen_t any_port(const struct kind *k, struct sockaddr_storage *addr)
{
    struct sockaddr_in *in = (void *)addr;
    struct sockaddr_in6 *in6 = (void *)addr;

    memset(addr, 0, sizeof(*addr));
    addr->ss_family = (sa_family_t)k->family;
    if (k->family == AF_INET)
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        in6->sin6_addr = in6addr_loopback;
    return k->family == AF_INET ? sizeof(*in) : sizeof(*in6);
}

static int bound_to(const struct kind *k, struct sockaddr_storage *addr, bool reuse_port)
{
    int fd = socket(k->family, k->type, 0), one = 1;
    socklen_t len = any_port(k, addr);

    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, (void *)addr, len) || getsockname(fd, (void *)addr, &len)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool inet_stream_pair(const struct kind *k, int fds[2])
{
    struct sockaddr_storage addr;
    int one = 1, server = bound_to(k, &addr, false);

    fds[0] = socket(k->family, k->type, 0);
    if (server < 0 || listen(server, 1) || connect(fds[0], (void *)&addr, sizeof(addr)))
        return false;
    fds[1] = accept(server, NULL, NULL);
    close(server);
    setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fds[1] >= 0;
}

static bool inet_dgram_pair(const struct kind *k, int fds[2])
{
    struct sockaddr_storage a, b;

    fds[0] = bound_to(k, &a, false);
    fds[1] = bound_to(k, &b, false);
    return !connect(fds[0], (void *)&b, sizeof(b)) && !connect(fds[1], (void *)&a, sizeof(a));
}

/* Two ends that are connected; the case ends where there are none. */
static void open_pair(const struct kind *k, int fds[2])
{
    struct timeval patience = {.tv_sec = 20};
    bool ok = k->family == AF_UNIX ? !socketpair(k->family, k->type, 0, fds)
              : is_stream(k)       ? inet_stream_pair(k, fds)
                                   : inet_dgram_pair(k, fds);

    if (!ok)
        printf("# %s\n", k->name);
    NEED(ok);
    for (int i = 0; i < 2; i++)
        setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

#define EACH_PAIR(k, fds)                                                                          \
    for (const struct kind *k = kinds; k < kinds + COUNT(kinds); k++)                              \
        for (int fds[2] = {-1, -1}, once = (open_pair(k, fds), 1); once; close_pair(fds), once = 0)

/* What is wrong is said with the kind it is wrong with. */
#define CHECK_KIND(k, cond)                                                                        \
    do {                                                                                           \
        if (!CHECK(cond))                                                                          \
            printf("#   with %s\n", (k)->name);                                                    \
    } while (0)

static bool readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) == 1 && p.revents & POLLIN;
}

/* ---- receiving ---- */

CASE(peeked_bytes_come_again)
{
    char buf[16];

    EACH_PAIR(k, fds)
    {
        CHECK_KIND(k, send(fds[0], "hello", 5, 0) == 5);
        CHECK_KIND(k, recv(fds[1], buf, 3, MSG_PEEK) == 3 && !memcmp(buf, "hello", 3));
        CHECK_KIND(k, recv(fds[1], buf, sizeof(buf), MSG_PEEK) == 5 && !memcmp(buf, "hello", 5));
        CHECK_KIND(k, recv(fds[1], buf, sizeof(buf), 0) == 5 && !memcmp(buf, "hello", 5));
        CHECK_KIND(k, recv(fds[1], buf, 1, MSG_DONTWAIT | MSG_PEEK) == -1 && errno == EAGAIN);
    }
}

CASE(a_message_that_is_cut_says_so)
{
    char buf[16];

    EACH_PAIR(k, fds)
    {
        struct iovec iov = {buf, 2};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        send(fds[0], "first", 5, 0);
        if (is_stream(k)) {
            CHECK_KIND(k, recvmsg(fds[1], &msg, 0) == 2 && !(msg.msg_flags & MSG_TRUNC));
            CHECK_KIND(k, recv(fds[1], buf, sizeof(buf), 0) == 3);
            continue;
        }
        CHECK_KIND(k, recvmsg(fds[1], &msg, MSG_PEEK) == 2 && msg.msg_flags & MSG_TRUNC);
        CHECK_KIND(k, recv(fds[1], buf, 2, MSG_PEEK | MSG_TRUNC) == 5);
        CHECK_KIND(k, recvmsg(fds[1], &msg, 0) == 2 && msg.msg_flags & MSG_TRUNC);
        send(fds[0], "second", 6, 0);
        CHECK_KIND(k, recv(fds[1], NULL, 0, MSG_TRUNC) == 6);
        CHECK_KIND(k, recv(fds[1], buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    }
}

CASE(trunc_on_tcp_throws_bytes_away)
{
    char buf[16];

    for (const struct kind *k = kinds; k < kinds + 2; k++) {
        int fds[2];
        open_pair(k, fds);
        send(fds[0], "discarded, kept", 15, 0);
        CHECK_KIND(k, recv(fds[1], NULL, 11, MSG_TRUNC) == 11);
        CHECK_KIND(k, recv(fds[1], buf, sizeof(buf), 0) == 4 && !memcmp(buf, "kept", 4));
        close_pair(fds);
    }
}

CASE(who_does_not_wait_gets_eagain)
{
    char buf[1];
    struct mmsghdr batch[1] = {{.msg_hdr = {.msg_iov = &(struct iovec){buf, 1}, .msg_iovlen = 1}}};

    EACH_PAIR(k, fds)
    {
        CHECK_KIND(k, recv(fds[1], buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
        CHECK_KIND(k, recv(fds[1], buf, 1, MSG_DONTWAIT | MSG_WAITALL) == -1 && errno == EAGAIN);
        CHECK_KIND(k, recvmmsg(fds[1], batch, 1, MSG_DONTWAIT, NULL) == -1 && errno == EAGAIN);
        fcntl(fds[1], F_SETFL, O_NONBLOCK);
        CHECK_KIND(k, recv(fds[1], buf, 1, 0) == -1 && errno == EAGAIN);
        CHECK_KIND(k, read(fds[1], buf, 1) == -1 && errno == EAGAIN);
    }
}

static void *send_the_rest(void *arg)
{
    usleep(20000);
    send(*(int *)arg, "later", 5, 0);
    return NULL;
}

CASE(waitall_fills_the_buffer_of_a_stream_alone)
{
    char buf[16];
    pthread_t thread;

    EACH_PAIR(k, fds)
    {
        send(fds[0], "first", 5, 0);
        NEED(pthread_create(&thread, NULL, send_the_rest, &fds[0]) == 0);
        ssize_t n = recv(fds[1], buf, 10, MSG_WAITALL);
        CHECK_KIND(k, n == (is_stream(k) ? 10 : 5));
        CHECK_KIND(k, !memcmp(buf, "firstlater", (size_t)n));
        pthread_join(thread, NULL);
    }
}

CASE(nothing_is_urgent_but_on_tcp)
{
    char c;

    EACH_PAIR(k, fds)
    {
        bool tcp = is_stream(k) && k->family != AF_UNIX;
        if ((k->family == AF_UNIX && is_stream(k)) || (k->family == AF_INET6 && !is_stream(k)))
            continue; /* newer Linux has it, older refuses it; Linux's UDP for IPv6 overlooks it */
        CHECK_KIND(k, send(fds[0], "!", 1, MSG_OOB) == (tcp ? 1 : -1));
        if (!tcp) {
            CHECK_KIND(k, errno == EOPNOTSUPP);
            continue;
        }
        struct pollfd p = {.fd = fds[1], .events = POLLPRI};
        CHECK_KIND(k, poll(&p, 1, 5000) == 1 && p.revents & POLLPRI);
        CHECK_KIND(k, recv(fds[1], &c, 1, MSG_OOB) == 1 && c == '!');
        CHECK_KIND(k, recv(fds[1], &c, 1, MSG_OOB) == -1 && errno == EINVAL);
    }
}

CASE(an_error_queue_without_errors_is_empty)
{
    char buf[8];

    EACH_PAIR(k, fds)
    if (k->family != AF_UNIX)
        CHECK_KIND(k, recv(fds[1], buf, sizeof(buf), MSG_ERRQUEUE) == -1 && errno == EAGAIN);
}

CASE(many_errors_wait)
{
    struct sockaddr_storage addr;
    struct kind k = kinds[4];
    int gone = bound_to(&k, &addr, false), one = 1, errors = 0;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char buf[512], control[512];

    close(gone);
    CHECK_EQ(setsockopt(fd, SOL_IP, IP_RECVERR, &one, sizeof(one)), 0);
    for (int i = 0; i < 10; i++) {
        sendto(fd, "x", 1, 0, (void *)&addr,
               sizeof(struct sockaddr_in)); /* tells of the last one */
        usleep(1000);
    }
    for (int i = 0; i < 20; i++) {
        struct iovec iov = {buf, sizeof(buf)};
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 512};
        errors +=
            recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0 && msg.msg_flags & MSG_ERRQUEUE;
    }
    CHECK(errors >= 5); /* every other send reports what came before it */
    close(fd);
}

CASE(a_batch_ends_with_what_is_there)
{
    char bufs[4][8];
    struct iovec iov[4];
    struct mmsghdr batch[4];

    EACH_PAIR(k, fds)
    {
        if (is_stream(k))
            continue;
        for (int i = 0; i < 4; i++) {
            iov[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
            batch[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
        }
        send(fds[0], "a", 1, 0);
        send(fds[0], "bb", 2, 0);
        CHECK_KIND(k, recvmmsg(fds[1], batch, 4, MSG_WAITFORONE, NULL) == 2);
        CHECK_KIND(k, batch[0].msg_len == 1 && batch[1].msg_len == 2);
    }
}

/* ---- sending ---- */

static volatile int pipes_broken;

static void on_pipe(int number)
{
    (void)number;
    pipes_broken++;
}

CASE(a_peer_that_is_gone_is_a_signal_unless_unwanted)
{
    signal(SIGPIPE, on_pipe);
    EACH_PAIR(k, fds)
    {
        bool connection = k->type != SOCK_DGRAM;
        shutdown(fds[0], SHUT_WR);
        pipes_broken = 0;
        CHECK_KIND(k, send(fds[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
        CHECK_KIND(k, pipes_broken == 0);
        CHECK_KIND(k, send(fds[0], "x", 1, 0) == -1 && errno == EPIPE);
        CHECK_KIND(k, pipes_broken == is_stream(k) || !connection || k->type == SOCK_SEQPACKET);
        if (is_stream(k)) {
            CHECK_KIND(k, write(fds[0], "x", 1) == -1 && errno == EPIPE);
            CHECK_KIND(k, pipes_broken == 2);
        }
    }
    signal(SIGPIPE, SIG_DFL);
}

CASE(more_gathers_and_the_last_call_sends)
{
    char buf[16];

    EACH_PAIR(k, fds)
    {
        CHECK_KIND(k, send(fds[0], "one ", 4, MSG_MORE) == 4);
        CHECK_KIND(k, send(fds[0], "two", 3, 0) == 3);
        bool joined = k->family != AF_UNIX || is_stream(k);
        ssize_t n = joined ? recv(fds[1], buf, 7, MSG_WAITALL) : recv(fds[1], buf, 7, 0);
        CHECK_KIND(k, n == (joined ? 7 : 4));
        CHECK_KIND(k, !memcmp(buf, "one two", (size_t)n));
    }
}

CASE(flags_without_effect_are_taken)
{
    char c;

    EACH_PAIR(k, fds)
    {
        CHECK_KIND(k, send(fds[0], "x", 1, MSG_CONFIRM | MSG_DONTROUTE | MSG_NOSIGNAL) == 1);
        CHECK_KIND(k, recv(fds[1], &c, 1, MSG_NOSIGNAL) == 1);
        CHECK_KIND(k, send(fds[0], "x", 1, MSG_EOR) == 1);
    }
}

CASE(a_full_socket_does_not_wait_with_dontwait)
{
    static char block[4096];

    EACH_PAIR(k, fds)
    {
        ssize_t n = 0;
        int small = 8192, rounds = 0;
        if (k->type == SOCK_DGRAM && k->family != AF_UNIX)
            continue; /* drops instead */
        setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        while (n >= 0 && rounds++ < 10000)
            n = send(fds[0], block, sizeof(block), MSG_DONTWAIT);
        CHECK_KIND(k, n == -1 && errno == EAGAIN);
    }
}

/* ---- ancillary data ---- */

static bool send_fd(int to, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {(char *)"f", 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    return sendmsg(to, &msg, 0) == 1;
}

/* The descriptor that comes, or -1; *@flags gets msg_flags. */
static int receive_fd(int from, int with, int *flags, struct ucred *creds)
{
    char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))], byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(from, &msg, with) != 1)
        return -1;
    *flags = msg.msg_flags;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && creds)
            memcpy(creds, CMSG_DATA(c), sizeof(*creds));
    }
    return fd;
}

CASE(descriptors_and_credentials_come_with_all_kinds_of_unix)
{
    int ends[2];

    NEED(pipe(ends) == 0);
    EACH_PAIR(k, fds)
    {
        struct ucred creds = {.pid = -1};
        int flags = 0, one = 1;
        char c = 0;
        if (k->family != AF_UNIX)
            continue;
        CHECK_KIND(k, send_fd(fds[0], ends[1]));
        int fd = receive_fd(fds[1], MSG_CMSG_CLOEXEC, &flags, NULL);
        CHECK_KIND(k, fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
        CHECK_KIND(k, flags == MSG_CMSG_CLOEXEC);
        CHECK_KIND(k, write(fd, "p", 1) == 1 && read(ends[0], &c, 1) == 1 && c == 'p');
        close(fd);
        CHECK_KIND(k, send_fd(fds[0], ends[1]));
        fd = receive_fd(fds[1], 0, &flags, NULL);
        CHECK_KIND(k, fd >= 0 && fcntl(fd, F_GETFD) == 0);
        close(fd);
        setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
        CHECK_KIND(k, send(fds[0], "c", 1, 0) == 1);
        CHECK_KIND(k, receive_fd(fds[1], 0, &flags, &creds) == -1);
        CHECK_KIND(k, creds.pid == getpid() && creds.uid == getuid());
    }
    close(ends[0]);
    close(ends[1]);
}

/* ---- splice and its family ---- */

CASE(bytes_are_spliced_teed_and_gifted_through_sockets)
{
    static char text[] = "spliced bytes", buf[64];
    size_t len = sizeof(text);

    EACH_PAIR(k, fds)
    {
        int in[2], out[2], copy[2];
        if (k->type == SOCK_DGRAM)
            continue;
        NEED(!pipe(in) && !pipe(out) && !pipe(copy));
        struct iovec iov = {text, len};
        CHECK_KIND(k, vmsplice(in[1], &iov, 1, 0) == (ssize_t)len);
        CHECK_KIND(k, tee(in[0], copy[1], len, 0) == (ssize_t)len);
        CHECK_KIND(k, splice(in[0], NULL, fds[0], NULL, len, 0) == (ssize_t)len);
        CHECK_KIND(k, splice(copy[0], NULL, fds[0], NULL, len, SPLICE_F_MORE) == (ssize_t)len);
        send(fds[0], ".", 1, 0); /* what waits for more goes with it */
        for (size_t got = 0; got < 2 * len;) {
            ssize_t n = splice(fds[1], NULL, out[1], NULL, 2 * len - got, SPLICE_F_MOVE);
            CHECK_KIND(k, n > 0);
            if (n <= 0)
                break;
            got += (size_t)n;
        }
        CHECK_KIND(k, read(out[0], buf, len) == (ssize_t)len && !memcmp(buf, text, len));
        CHECK_KIND(k, read(out[0], buf, len) == (ssize_t)len && !memcmp(buf, text, len));
        CHECK_KIND(k, recv(fds[1], buf, 1, MSG_WAITALL) == 1 && buf[0] == '.');
        fcntl(fds[1], F_SETFL, O_NONBLOCK);
        CHECK_KIND(k, splice(fds[1], NULL, out[1], NULL, 1, SPLICE_F_NONBLOCK) == -1 &&
                          errno == EAGAIN);
        close_pair(in);
        close_pair(out);
        close_pair(copy);
    }
}

CASE(files_are_sent_from_where_they_stand)
{
    char text[] = "a file's text", buf[64];
    int file = open("f", O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK_EQ(write(file, text, sizeof(text)), (ssize_t)sizeof(text));
    EACH_PAIR(k, fds)
    {
        off_t at = 2;
        if (k->type == SOCK_DGRAM)
            continue;
        CHECK_KIND(k, sendfile(fds[0], file, &at, 100) == (ssize_t)sizeof(text) - 2);
        CHECK_KIND(k, at == (off_t)sizeof(text));
        CHECK_KIND(k, recv(fds[1], buf, sizeof(text) - 2, is_stream(k) ? MSG_WAITALL : 0) ==
                          (ssize_t)sizeof(text) - 2);
        CHECK_KIND(k, !strcmp(buf, text + 2));
    }
    close(file);
}

/* ---- options ---- */

enum { TCP4, UDP4, TCP6, UDP6 };
static const struct wanted {
    const char *by;
    int kind, level, name, value;
} wanted[] = {
    {"curl", TCP4, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1},
    {"haproxy", TCP4, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000},
    {"haproxy", TCP4, IPPROTO_TCP, TCP_QUICKACK, 0},
    {"haproxy, nginx", TCP4, IPPROTO_TCP, TCP_FASTOPEN, 10},
    {"haproxy, nginx", TCP4, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1},
    {"nginx", TCP4, IPPROTO_TCP, TCP_CORK, 1},
    {"nginx", TCP4, SOL_SOCKET, SO_REUSEPORT, 1},
    {"all", TCP4, SOL_SOCKET, SO_REUSEADDR, 1},
    {"all", TCP4, SOL_SOCKET, SO_KEEPALIVE, 1},
    {"all", TCP4, IPPROTO_TCP, TCP_NODELAY, 1},
    {"all", TCP4, IPPROTO_TCP, TCP_KEEPIDLE, 30},
    {"all", TCP4, IPPROTO_TCP, TCP_KEEPINTVL, 10},
    {"all", TCP4, IPPROTO_TCP, TCP_KEEPCNT, 3},
    {"Go", TCP4, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384},
    {"node, JVM", TCP4, SOL_SOCKET, SO_RCVBUF, 65536},
    {"node, JVM", TCP4, SOL_SOCKET, SO_SNDBUF, 65536},
    {"JVM", TCP4, SOL_SOCKET, SO_OOBINLINE, 1},
    {"JVM", TCP4, SOL_IP, IP_TOS, 8},
    {"JVM, node, redis", TCP6, SOL_IPV6, IPV6_V6ONLY, 0},
    {"JVM", TCP6, SOL_IPV6, IPV6_TCLASS, 8},
    {"JVM", TCP6, SOL_SOCKET, SO_REUSEPORT, 1},
    {"node, JVM", UDP4, SOL_SOCKET, SO_BROADCAST, 1},
    {"node", UDP4, SOL_IP, IP_TTL, 5},
    {"node, JVM", UDP4, SOL_IP, IP_MULTICAST_TTL, 2},
    {"node, JVM", UDP4, SOL_IP, IP_MULTICAST_LOOP, 1},
    {"dnsmasq", UDP4, SOL_IP, IP_PKTINFO, 1},
    {"dnsmasq", UDP4, SOL_IP, IP_MTU_DISCOVER, 0},
    {"systemd, dnsmasq", UDP4, SOL_IP, IP_FREEBIND, 1},
    {"QUIC", UDP4, SOL_IP, IP_RECVTOS, 1},
    {"QUIC", UDP4, SOL_UDP, UDP_GRO, 1},
    {"JVM", UDP6, SOL_IPV6, IPV6_MULTICAST_HOPS, 1},
    {"JVM", UDP6, SOL_IPV6, IPV6_MULTICAST_LOOP, 1},
    {"JVM", UDP6, SOL_IPV6, IPV6_MULTICAST_IF, 1},
    {"JVM, dnsmasq", UDP6, SOL_IPV6, IPV6_RECVPKTINFO, 1},
    {"QUIC", UDP6, SOL_IPV6, IPV6_RECVTCLASS, 1},
    {"QUIC", UDP6, SOL_IPV6, IPV6_DONTFRAG, 1},
    {"JVM, a dual socket", UDP6, SOL_IP, IP_MULTICAST_TTL, 2},
    {"JVM, a dual socket", UDP6, SOL_IP, IP_TOS, 8},
};

CASE(what_real_programs_set_is_taken_and_told)
{
    for (const struct wanted *w = wanted; w < wanted + COUNT(wanted); w++) {
        int fd = socket(w->kind < TCP6 ? AF_INET : AF_INET6,
                        w->kind == TCP4 || w->kind == TCP6 ? SOCK_STREAM : SOCK_DGRAM, 0);
        int told = -1;
        socklen_t len = sizeof(told);
        bool ok = !setsockopt(fd, w->level, w->name, &w->value, sizeof(w->value)) &&
                  !getsockopt(fd, w->level, w->name, &told, &len);
        bool buffer = w->level == SOL_SOCKET && (w->name == SO_RCVBUF || w->name == SO_SNDBUF);
        if (len == 1) /* some tell a byte where it fits */
            told &= 0xff;
        if (!CHECK(ok && told == (buffer ? 2 * w->value : w->value)))
            printf("#   level %d, option %d, set by %s: told %d\n", w->level, w->name, w->by, told);
        close(fd);
    }
}

/* ---- ports that are shared ---- */

enum { SHARERS = 4, FLOWS = 200 };

CASE(datagrams_to_a_shared_port_are_spread_by_flow)
{
    for (const struct kind *k = kinds + 4; k < kinds + 6; k++) {
        struct sockaddr_storage addr;
        int servers[SHARERS], got[SHARERS] = {0}, fds[FLOWS], all = 0;
        socklen_t len = sizeof(addr);

        servers[0] = bound_to(k, &addr, true);
        for (int i = 1, one = 1; i < SHARERS; i++) {
            servers[i] = socket(k->family, k->type, 0);
            setsockopt(servers[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
            CHECK_KIND(k, bind(servers[i], (void *)&addr, len) == 0);
        }
        for (int i = 0; i < FLOWS; i++) {
            fds[i] = socket(k->family, k->type, 0);
            CHECK_KIND(k, connect(fds[i], (void *)&addr, len) == 0);
            for (int n = 0; n < 2; n++)
                CHECK_KIND(k, send(fds[i], &i, sizeof(i), 0) == sizeof(i));
        }
        for (int s = 0; s < SHARERS; s++) {
            bool seen[FLOWS] = {false};
            for (int i; readable(servers[s], 100) &&
                        recv(servers[s], &i, sizeof(i), MSG_DONTWAIT) == sizeof(i);) {
                got[s]++;
                seen[i] = !seen[i]; /* both of a flow, or none */
            }
            for (int i = 0; i < FLOWS; i++)
                CHECK_KIND(k, !seen[i]);
            CHECK_KIND(k, got[s] > FLOWS / SHARERS / 2);
            all += got[s];
            close(servers[s]);
        }
        CHECK_KIND(k, all == 2 * FLOWS);
        for (int i = 0; i < FLOWS; i++)
            close(fds[i]);
    }
}

CASE(connections_to_a_shared_port_are_spread)
{
    for (const struct kind *k = kinds; k < kinds + 2; k++) {
        struct sockaddr_storage addr;
        int servers[SHARERS], got[SHARERS] = {0}, fds[FLOWS], all = 0;
        socklen_t len = sizeof(addr);

        servers[0] = bound_to(k, &addr, true);
        for (int i = 1, one = 1; i < SHARERS; i++) {
            servers[i] = socket(k->family, k->type, 0);
            setsockopt(servers[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
            CHECK_KIND(k, bind(servers[i], (void *)&addr, len) == 0);
        }
        for (int i = 0; i < SHARERS; i++)
            CHECK_KIND(k, listen(servers[i], FLOWS) == 0);
        for (int i = 0; i < FLOWS; i++) {
            fds[i] = socket(k->family, k->type, 0);
            CHECK_KIND(k, connect(fds[i], (void *)&addr, len) == 0);
        }
        for (int s = 0; s < SHARERS; s++)
            fcntl(servers[s], F_SETFL, O_NONBLOCK);
        /* connect() returns with the answer to its SYN; its ACK may still be on the way */
        for (int tries = 0; tries < 10000 && all < FLOWS; tries++, usleep(1000)) {
            for (int s = 0, fd; s < SHARERS; s++)
                for (; (fd = accept(servers[s], NULL, NULL)) >= 0; got[s]++, all++)
                    close(fd);
        }
        for (int s = 0; s < SHARERS; s++) {
            CHECK_KIND(k, got[s] > FLOWS / SHARERS / 4); /* a half is four sigmas away */
            close(servers[s]);
        }
        CHECK_KIND(k, all == FLOWS);
        for (int i = 0; i < FLOWS; i++)
            close(fds[i]);
    }
}

/* ---- epoll ---- */

static int waits(int epoll, int ms)
{
    struct epoll_event event;

    return epoll_wait(epoll, &event, 1, ms);
}

static int watching(int fd, uint32_t how)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | how};

    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
    return epoll;
}

CASE(epoll_tells_by_level_by_edge_and_once)
{
    char buf[8];

    EACH_PAIR(k, fds)
    {
        int level = watching(fds[1], 0), edge = watching(fds[1], EPOLLET),
            once_only = watching(fds[1], EPOLLONESHOT);
        struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT};
        CHECK_KIND(k, waits(level, 0) == 0 && waits(edge, 0) == 0 && waits(once_only, 0) == 0);
        send(fds[0], "a", 1, 0);
        CHECK_KIND(k, waits(level, 5000) == 1 && waits(level, 0) == 1);
        CHECK_KIND(k, waits(edge, 5000) == 1 && waits(edge, 0) == 0);
        CHECK_KIND(k, waits(once_only, 5000) == 1 && waits(once_only, 0) == 0);
        send(fds[0], "b", 1, 0);
        CHECK_KIND(k, waits(edge, 5000) == 1 && waits(edge, 0) == 0);
        CHECK_KIND(k, waits(once_only, 0) == 0);
        CHECK_KIND(k, epoll_ctl(once_only, EPOLL_CTL_MOD, fds[1], &again) == 0);
        CHECK_KIND(k, waits(once_only, 0) == 1 && waits(once_only, 0) == 0);
        while (recv(fds[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
            ;
        CHECK_KIND(k, waits(level, 0) == 0);
        close(level);
        close(edge);
        close(once_only);
    }
}

enum { WAITERS = 6 };
static int woken, epolls[WAITERS];
static pid_t tids[WAITERS];

static void *wait_once(void *arg)
{
    __atomic_store_n(&tids[(long)arg], gettid(), __ATOMIC_SEQ_CST);
    if (waits(epolls[(long)arg], -1) == 1)
        __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static bool wakes(int n)
{
    for (int ms = 0; ms < 10000 && __atomic_load_n(&woken, __ATOMIC_SEQ_CST) < n; ms++)
        usleep(1000);
    return __atomic_load_n(&woken, __ATOMIC_SEQ_CST) >= n;
}

CASE(exclusive_wakes_some_but_not_all_of_those_that_accept)
{
    struct sockaddr_storage addr;
    int server = bound_to(&kinds[0], &addr, false), fds[WAITERS];
    pthread_t threads[WAITERS];

    NEED(listen(server, WAITERS) == 0);
    for (long i = 0; i < WAITERS; i++) {
        epolls[i] = watching(server, EPOLLEXCLUSIVE);
        NEED(pthread_create(&threads[i], NULL, wait_once, (void *)i) == 0);
    }
    for (int i = 0; i < WAITERS; i++)
        CHECK(thread_falls_asleep(&tids[i]));
    for (int i = 0; i < WAITERS; i++) { /* each of the others by one more */
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(connect(fds[i], (void *)&addr, sizeof(addr)), 0);
        NEED(wakes(i + 1));
        if (i)
            continue;
        usleep(200000);
        CHECK(__atomic_load_n(&woken, __ATOMIC_SEQ_CST) < WAITERS);
    }
    for (int i = 0; i < WAITERS; i++) {
        pthread_join(threads[i], NULL);
        close(epolls[i]), close(fds[i]);
    }
    close(server);
}

/* ---- UDP in large pieces ---- */

CASE(datagrams_are_cut_and_joined_again)
{
    static char text[5000], buf[65536];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7 + i / 251);
    for (const struct kind *k = kinds + 4; k < kinds + 6; k++) {
        int fds[2], segment = 700, one = 1, size = 0;
        char control[CMSG_SPACE(sizeof(int))];
        open_pair(k, fds);
        CHECK_KIND(k, setsockopt(fds[0], SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)) == 0);
        CHECK_KIND(k, setsockopt(fds[1], SOL_UDP, UDP_GRO, &one, sizeof(one)) == 0);
        CHECK_KIND(k, send(fds[0], text, sizeof(text), 0) == sizeof(text));
        size_t got = 0;
        int calls = 0;
        while (got < sizeof(text)) {
            struct iovec iov = {buf + got, sizeof(buf) - got};
            struct msghdr msg = {.msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
            ssize_t n = recvmsg(fds[1], &msg, 0);
            NEED(n > 0);
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            if (c && c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
                memcpy(&size, CMSG_DATA(c), sizeof(size));
            got += (size_t)n;
            calls++;
        }
        CHECK_KIND(k, got == sizeof(text) && !memcmp(buf, text, sizeof(text)));
        CHECK_KIND(k, size == segment);
        CHECK_KIND(k, calls < 8); /* fewer than there were datagrams */
        int none = 0;
        setsockopt(fds[1], SOL_UDP, UDP_GRO, &none, sizeof(none));
        send(fds[0], text, sizeof(text), 0);
        CHECK_KIND(k, recv(fds[1], buf, sizeof(buf), 0) == segment);
        close_pair(fds);
    }
}

CASE(what_does_not_belong_together_is_not_joined)
{
    struct sockaddr_storage addr;
    struct kind k = kinds[4];
    int server = bound_to(&k, &addr, false), one = 1, others[2];
    char buf[64];

    setsockopt(server, SOL_UDP, UDP_GRO, &one, sizeof(one));
    for (int i = 0; i < 2; i++) {
        others[i] = socket(AF_INET, SOCK_DGRAM, 0);
        NEED(connect(others[i], (void *)&addr, sizeof(struct sockaddr_in)) == 0);
    }
    send(others[0], "aaaa", 4, 0);
    send(others[1], "bbbb", 4, 0);
    send(others[0], "longer", 6, 0);
    CHECK(recv(server, buf, sizeof(buf), 0) == 4 && buf[0] == 'a');
    CHECK(recv(server, buf, sizeof(buf), 0) == 4 && buf[0] == 'b');
    CHECK(recv(server, buf, sizeof(buf), 0) == 6);
    close(server);
    close(others[0]);
    close(others[1]);
}
