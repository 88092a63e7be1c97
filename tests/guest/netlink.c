/* Netlink beyond getifaddrs: sockets as ss(8) lists them, and notices of what changes. */
#define _GNU_SOURCE
#include "t.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

/* On Linux a network of our own, that may be changed; the guest is alone anyway. */
__attribute__((constructor)) static void be_alone(void)
{
    struct ifreq req = {.ifr_name = "lo"};

    if (unshare(CLONE_NEWNET))
        return;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    req.ifr_flags = IFF_UP;
    ioctl(fd, SIOCSIFFLAGS, &req);
    close(fd);
}

static int nl_socket(int protocol, unsigned int groups)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd >= 0 && bind(fd, (void *)&own, sizeof(own))) {
        close(fd);
        return -1;
    }
    return fd;
}

static char answer[65536] __attribute__((aligned(16)));

/* Send a dump request with @body and read all the answers; their bytes, or minus an errno. */
static int dump(int protocol, int type, const void *body, size_t len)
{
    struct {
        struct nlmsghdr head;
        char body[128];
    } req = {
        .head = {.nlmsg_len = (unsigned int)NLMSG_LENGTH(len),
                 .nlmsg_type = (unsigned short)type,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                 .nlmsg_seq = 77}
    };
    int fd = nl_socket(protocol, 0), total = 0;

    memcpy(req.body, body, len);
    if (send(fd, &req, req.head.nlmsg_len, 0) < 0)
        return -errno;
    for (bool done = false; !done;) {
        ssize_t n = recv(fd, answer + total, sizeof(answer) - (size_t)total, 0);
        if (n <= 0)
            break;
        int left = (int)n;
        for (struct nlmsghdr *h = (void *)(answer + total); NLMSG_OK(h, left);
             h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_seq != 77)
                total = -EPROTO - (int)n;
            if (h->nlmsg_type == NLMSG_ERROR)
                total = ((struct nlmsgerr *)NLMSG_DATA(h))->error - (int)n;
            if (h->nlmsg_type == NLMSG_DONE && *(int *)NLMSG_DATA(h))
                total = *(int *)NLMSG_DATA(h) - (int)n;
            done |= h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
        }
        total += (int)n;
    }
    close(fd);
    return total;
}

static int dump_inet(int family, int protocol, unsigned int states)
{
    struct inet_diag_req_v2 req = {.sdiag_family = (uint8_t)family,
                                   .sdiag_protocol = (uint8_t)protocol,
                                   .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                                   .idiag_states = states};
    return dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &req, sizeof(req));
}

/* The socket with these ports in @len bytes of answers; *@info its TCP_INFO. */
static struct inet_diag_msg *find(int len, int sport, int dport, struct tcp_info **info)
{
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        struct inet_diag_msg *m = NLMSG_DATA(h);
        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || ntohs(m->id.idiag_sport) != sport ||
            ntohs(m->id.idiag_dport) != dport)
            continue;
        int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
        for (struct rtattr *a = (void *)(m + 1); info && RTA_OK(a, left); a = RTA_NEXT(a, left))
            if (a->rta_type == INET_DIAG_INFO)
                *info = RTA_DATA(a);
        return m;
    }
    return NULL;
}

static int port_of(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);
    return getsockname(fd, (void *)&addr, &len) ? -1 : ntohs(addr.sin_port);
}

static unsigned int inode_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? 0 : (unsigned int)st.st_ino;
}

CASE(streams_are_listed_with_their_state_and_queues)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    struct tcp_info *info = NULL;
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    NEED(!bind(l, (void *)&addr, sizeof(addr)) && !listen(l, 7) &&
         !getsockname(l, (void *)&addr, &size) && !connect(c, (void *)&addr, sizeof(addr)));

    int len = dump_inet(AF_INET, IPPROTO_TCP, 1 << TCP_LISTEN);
    NEED(len > 0);
    struct inet_diag_msg *m = find(len, port_of(l), 0, NULL);
    NEED(m != NULL);
    CHECK_EQ(m->idiag_state, TCP_LISTEN);
    CHECK_EQ(m->idiag_rqueue, 1);
    CHECK_EQ(m->idiag_wqueue, 7);
    CHECK_EQ(m->idiag_inode, inode_of(l));
    CHECK_EQ(m->id.idiag_src[0], htonl(INADDR_LOOPBACK));
    CHECK(!find(len, port_of(c), port_of(l), NULL));

    int s = accept(l, NULL, NULL);
    CHECK_EQ(write(c, "hello", 5), 5);
    char byte;
    CHECK_EQ(recv(s, &byte, 1, MSG_PEEK), 1);
    len = dump_inet(AF_INET, IPPROTO_TCP, -1u);
    m = find(len, port_of(l), port_of(c), &info);
    NEED(m != NULL && info != NULL);
    CHECK_EQ(m->idiag_state, TCP_ESTABLISHED);
    CHECK_EQ(m->idiag_rqueue, 5);
    CHECK_EQ(m->idiag_inode, inode_of(s));
    CHECK_EQ(info->tcpi_state, TCP_ESTABLISHED);
    CHECK(info->tcpi_snd_mss > 500);
    CHECK_EQ(dump_inet(AF_INET6, IPPROTO_TCP, -1u) > 0, 1);
    close(l);
    close(c);
    close(s);
}

CASE(datagram_sockets_are_listed)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int u = socket(AF_INET, SOCK_DGRAM, 0);
    NEED(!bind(u, (void *)&addr, sizeof(addr)));

    int len = dump_inet(AF_INET, IPPROTO_UDP, -1u);
    NEED(len > 0);
    struct inet_diag_msg *m = find(len, port_of(u), 0, NULL);
    NEED(m != NULL);
    CHECK_EQ(m->idiag_state, TCP_CLOSE);
    CHECK_EQ(m->idiag_inode, inode_of(u));
    len = dump_inet(AF_INET, IPPROTO_UDP, 1 << TCP_ESTABLISHED);
    CHECK(!find(len, port_of(u), 0, NULL));
    close(u);
}

CASE(local_sockets_are_listed_with_their_peers)
{
    struct unix_diag_req req = {.sdiag_family = AF_UNIX,
                                .udiag_states = -1u,
                                .udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN | UDIAG_SHOW_NAME};
    int fds[2], seen = 0;
    NEED(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    CHECK_EQ(write(fds[1], "abc", 3), 3);

    int len = dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &req, sizeof(req));
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
        struct unix_diag_msg *m = NLMSG_DATA(h);
        if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || m->udiag_ino != inode_of(fds[0]))
            continue;
        CHECK_EQ(m->udiag_type, SOCK_STREAM);
        CHECK_EQ(m->udiag_state, TCP_ESTABLISHED);
        int left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
        for (struct rtattr *a = (void *)(m + 1); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
            uint32_t value = *(uint32_t *)RTA_DATA(a);
            if (a->rta_type == UNIX_DIAG_PEER)
                seen += value == inode_of(fds[1]);
            if (a->rta_type == UNIX_DIAG_RQLEN)
                seen += value == 3;
        }
    }
    CHECK_EQ(seen, 2);
    close(fds[0]);
    close(fds[1]);
}

CASE(what_cannot_be_listed_is_enoent)
{
    struct inet_diag_req_v2 req = {.sdiag_family = AF_INET, .sdiag_protocol = 200};
    CHECK_EQ(dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &req, sizeof(req)), -ENOENT);
    CHECK_ERR(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
}

/* ---- notices ---- */

/* Add 10.99.0.1/32 to loopback, or take it away; 0 or minus an errno. */
static int change_addr(int type)
{
    struct {
        struct nlmsghdr head;
        struct ifaddrmsg msg;
        struct rtattr attr;
        uint32_t addr;
    } req = {
        .head = {.nlmsg_len = sizeof(req),
                 .nlmsg_type = (unsigned short)type,
                 .nlmsg_flags =
                     NLM_F_REQUEST | NLM_F_ACK | (type == RTM_NEWADDR ? NLM_F_CREATE : 0)},
        .msg = {.ifa_family = AF_INET,                                  .ifa_prefixlen = 32,              .ifa_index = if_nametoindex("lo")},
        .attr = {.rta_len = RTA_LENGTH(4), .rta_type = IFA_LOCAL},
        .addr = htonl(0x0a630001)
    };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr err;
    } reply;
    int fd = nl_socket(NETLINK_ROUTE, 0);

    if (send(fd, &req, sizeof(req), 0) < 0 || recv(fd, &reply, sizeof(reply), 0) <= 0)
        return -errno;
    close(fd);
    return reply.err.error;
}

static bool hears(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

/* A notice about 10.99.0.1 of this type waits. */
static bool told(int fd, int type)
{
    for (int i = 0; i < 10 && hears(fd, 1000); i++) {
        int left = (int)recv(fd, answer, sizeof(answer), 0);
        for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
            if (h->nlmsg_type == type && memmem(h, h->nlmsg_len, "\x0a\x63\0\1", 4))
                return true;
    }
    return false;
}

CASE(who_listens_hears_of_addresses)
{
    int fd = nl_socket(NETLINK_ROUTE, RTMGRP_IPV4_IFADDR), other = nl_socket(NETLINK_ROUTE, 0);
    NEED(fd >= 0);
    CHECK_EQ(change_addr(RTM_NEWADDR), 0);
    CHECK(told(fd, RTM_NEWADDR));
    CHECK(!hears(other, 0));
    CHECK_EQ(change_addr(RTM_NEWADDR) == 0, 0);

    int group = RTNLGRP_IPV4_IFADDR;
    CHECK_EQ(setsockopt(other, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)), 0);
    CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &group, sizeof(group)), 0);
    CHECK_EQ(change_addr(RTM_DELADDR), 0);
    CHECK(told(other, RTM_DELADDR));
    CHECK(!hears(fd, 0));
    close(fd);
    close(other);
}

CASE(a_listener_that_does_not_read_is_told_that_it_missed_something)
{
    int fd = nl_socket(NETLINK_ROUTE, RTMGRP_IPV4_IFADDR), small = 1, err = 0;
    NEED(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(change_addr(RTM_NEWADDR), 0);
        CHECK_EQ(change_addr(RTM_DELADDR), 0);
    }
    for (int i = 0; i < 200 && !err; i++)
        if (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) < 0)
            err = errno;
    CHECK_EQ(err, ENOBUFS);
    close(fd);
}
