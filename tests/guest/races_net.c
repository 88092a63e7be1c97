/* Threads that close, reset, shut down and poll connections and terminals that others use at that
 * moment. */
#define _GNU_SOURCE
#include "races.h"
#include "t.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <termios.h>

enum { PORTS = 3 };

static void close_slots(void)
{
    for (int fd = FIRST_SLOT; fd < FIRST_SLOT + SLOTS; fd++)
        close(fd);
}

/* 127.0.0.1 or ::1, any port or one of a few. */
static socklen_t an_address(struct sockaddr_storage *to, int family)
{
    uint16_t port = htons((uint16_t)(17100 + pick(PORTS)));
    struct sockaddr_in *in = (void *)to;
    struct sockaddr_in6 *in6 = (void *)to;

    memset(to, 0, sizeof(*to));
    if (family == AF_INET) {
        *in = (struct sockaddr_in){AF_INET, port, {htonl(INADDR_LOOPBACK)}, {0}};
        return sizeof(*in);
    }
    *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    in6->sin6_addr = in6addr_loopback;
    return sizeof(*in6);
}

static void make_listener(void)
{
    int family = pick(2) ? AF_INET : AF_INET6, fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_storage at;
    socklen_t len = an_address(&at, family);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){pick(2)}, sizeof(int));
    bind(fd, (struct sockaddr *)&at, len);
    listen(fd, pick(4));
    put_into_slot(fd);
}

static void make_connection(void)
{
    int family = pick(2) ? AF_INET : AF_INET6;
    int fd = socket(family, (pick(4) ? SOCK_STREAM : SOCK_DGRAM) | pick(2) * SOCK_NONBLOCK, 0);
    struct timeval soon = {.tv_usec = 2000};
    struct sockaddr_storage to;
    socklen_t len = an_address(&to, family);

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
    connect(fd, (struct sockaddr *)&to, len);
    put_into_slot(fd);
}

static void set_option(int fd)
{
    struct linger at_once = {1, 0};
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

    switch (pick(7)) {
    case 0:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        break;
    case 1:
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){pick(100000)}, sizeof(int));
        break;
    case 2:
        setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){pick(2)}, sizeof(int));
        break;
    case 3:
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        break;
    case 4:
        connect(fd, &nowhere, sizeof(nowhere)); /* ends the connection */
        break;
    case 5:
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
        break;
    default:
        shutdown(fd, pick(3));
    }
}

static void ask_netlink(void)
{
    struct {
        struct nlmsghdr head;
        struct rtgenmsg gen;
    } ask = {{sizeof(ask), (uint16_t)(pick(2) ? RTM_GETLINK : RTM_GETADDR),
              NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
             {AF_UNSPEC}};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_ROUTE);

    send(fd, &ask, sizeof(ask), 0);
    put_into_slot(fd);
}

static void wait_for_some(void)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT * pick(2) | EPOLLET * pick(2)}, got[4];
    struct pollfd fds[SLOTS];

    if (pick(2)) {
        for (int i = 0; i < SLOTS; i++)
            fds[i] = (struct pollfd){.fd = FIRST_SLOT + i, .events = POLLIN};
        poll(fds, SLOTS, pick(2));
        return;
    }
    int ep = epoll_create1(0);
    for (int i = 0; i < 4; i++)
        epoll_ctl(ep, EPOLL_CTL_ADD, a_slot(), &event);
    epoll_wait(ep, got, 4, pick(2));
    close(ep);
}

static void use_connections(int me)
{
    static char buf[20000];
    struct iovec iov[2] = {{buf, 3000}, {buf, (size_t)pick(5000)}};
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);

    switch (pick(16)) {
    case 0:
        make_listener();
        break;
    case 1:
    case 2:
        make_connection();
        break;
    case 3:
    case 4:
        put_into_slot(accept4(a_slot(), NULL, NULL, SOCK_NONBLOCK));
        break;
    case 5:
        close(a_slot());
        break;
    case 6:
    case 7:
        send(a_slot(), buf, (size_t)pick(sizeof(buf)), MSG_NOSIGNAL | (pick(2) ? MSG_DONTWAIT : 0));
        break;
    case 8:
    case 9:
        recv(a_slot(), buf, (size_t)pick(sizeof(buf)), pick(4) ? MSG_DONTWAIT : MSG_PEEK);
        break;
    case 10:
        if (writev(a_slot(), iov, 2) < 0 || readv(a_slot(), iov, 2) < 0)
            break;
        break;
    case 11:
        set_option(a_slot());
        break;
    case 12:
        wait_for_some();
        break;
    case 13:
        getsockname(a_slot(), (struct sockaddr *)&at, &len);
        getpeername(a_slot(), (struct sockaddr *)&at, &len);
        ioctl(a_slot(), FIONREAD, &len);
        break;
    case 14:
        look_at(pick(2) ? "/proc/net/tcp" : "/proc/net/udp");
        break;
    default:
        ask_netlink();
    }
    (void)me;
}

CASE(connections_are_closed_and_reset_while_others_use_them)
{
    signal(SIGPIPE, SIG_IGN);
    race(use_connections);
    race(use_connections);
    close_slots();
}

/* ---- terminals ---- */

static void use_terminals(int me)
{
    struct winsize size = {.ws_row = 1};
    struct termios mode;
    char buf[300] = "abc\n";
    int fd, number;

    switch (pick(9)) {
    case 0:
        fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
        if (!ioctl(fd, TIOCSPTLCK, &(int){0}) && !ioctl(fd, TIOCGPTN, &number)) {
            snprintf(buf, sizeof(buf), "/dev/pts/%d", number);
            put_into_slot(open(buf, O_RDWR | O_NOCTTY | pick(2) * O_NONBLOCK));
        }
        put_into_slot(fd);
        break;
    case 1:
        close(a_slot());
        break;
    case 2:
    case 3:
        if (read(a_slot(), buf, sizeof(buf)) < 0)
            break;
        break;
    case 4:
    case 5:
        if (write(a_slot(), buf, (size_t)pick(sizeof(buf))) < 0)
            break;
        break;
    case 6:
        fd = a_slot();
        if (!tcgetattr(fd, &mode)) {
            mode.c_lflag ^= ICANON | (pick(2) ? ECHO : 0);
            tcsetattr(fd, TCSANOW, &mode);
        }
        ioctl(fd, TIOCSWINSZ, &size);
        break;
    case 7:
        tcflush(a_slot(), TCIOFLUSH);
        break;
    default:
        wait_for_some();
    }
    (void)me;
}

CASE(terminals_are_closed_while_others_use_them)
{
    race(use_terminals);
    close_slots();
}
