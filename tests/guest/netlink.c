/* Netlink beyond getifaddrs: sockets as ss(8) lists them, and notices of what changes. */
#define _GNU_SOURCE
#include "t.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
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
    /* The guest's other interface, played by a tap that nobody reads. */
    struct ifreq tap = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI};
    int tun = open("/dev/net/tun", O_RDWR);
    if (tun >= 0)
        ioctl(tun, TUNSETIFF, &tap);
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
    } req = {.head = {.nlmsg_len = (unsigned int)NLMSG_LENGTH(len),
                      .nlmsg_type = (unsigned short)type,
                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                      .nlmsg_seq = 77}};
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
    } req = {.head = {.nlmsg_len = sizeof(req),
                      .nlmsg_type = (unsigned short)type,
                      .nlmsg_flags =
                          NLM_F_REQUEST | NLM_F_ACK | (type == RTM_NEWADDR ? NLM_F_CREATE : 0)},
             .msg = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = if_nametoindex("lo")},
             .attr = {.rta_len = RTA_LENGTH(4), .rta_type = IFA_LOCAL},
             .addr = htonl(0x0a630001)};
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
    for (int i = 0; i < 10 && hears(fd, 10000); i++) {
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

/* ---- changes, as ip(8) makes them ---- */

struct request {
    struct nlmsghdr head;
    char body[256];
};

static void put_attr(struct request *req, int type, const void *data, size_t len)
{
    struct rtattr *attr = (void *)((char *)req + NLMSG_ALIGN(req->head.nlmsg_len));

    attr->rta_type = (unsigned short)type;
    attr->rta_len = (unsigned short)RTA_LENGTH(len);
    memcpy(RTA_DATA(attr), data, len);
    req->head.nlmsg_len = NLMSG_ALIGN(req->head.nlmsg_len) + (unsigned int)RTA_SPACE(len);
}

static struct request begin(int type, int flags, const void *body, size_t len)
{
    struct request req = {
        .head = {.nlmsg_len = (unsigned int)NLMSG_LENGTH(len),
                 .nlmsg_type = (unsigned short)type,
                 .nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags)}};

    memcpy(req.body, body, len);
    return req;
}

/* 0 or minus an errno. */
static int ask(const struct request *req)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr err;
        char more[1024];
    } reply;
    int fd = nl_socket(NETLINK_ROUTE, 0);

    if (send(fd, req, req->head.nlmsg_len, 0) < 0 || recv(fd, &reply, sizeof(reply), 0) <= 0)
        return -errno;
    close(fd);
    return reply.err.error;
}

static int set_link(unsigned flags, uint32_t mtu)
{
    struct ifinfomsg msg = {
        .ifi_index = (int)if_nametoindex("eth0"), .ifi_flags = flags, .ifi_change = IFF_UP};
    struct request req = begin(RTM_NEWLINK, 0, &msg, sizeof(msg));

    if (mtu)
        put_attr(&req, IFLA_MTU, &mtu, sizeof(mtu));
    return ask(&req);
}

static int change_eth0_addr(int type, uint32_t addr, int prefix)
{
    struct ifaddrmsg msg = {.ifa_family = AF_INET,
                            .ifa_prefixlen = (unsigned char)prefix,
                            .ifa_index = if_nametoindex("eth0")};
    struct request req =
        begin(type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0, &msg, sizeof(msg));

    addr = htonl(addr);
    put_attr(&req, IFA_LOCAL, &addr, 4);
    return ask(&req);
}

/* 10.96.0.0/16 by a gateway (0: by eth0 itself) with this metric. */
static int change_route(int type, int flags, uint32_t gateway, uint32_t metric)
{
    struct rtmsg msg = {.rtm_family = AF_INET,
                        .rtm_dst_len = 16,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = type == RTM_NEWROUTE ? RTPROT_BOOT : 0,
                        .rtm_scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE
                                     : gateway            ? RT_SCOPE_UNIVERSE
                                                          : RT_SCOPE_LINK,
                        .rtm_type = type == RTM_NEWROUTE ? RTN_UNICAST : 0};
    struct request req = begin(type, flags, &msg, sizeof(msg));
    uint32_t dst = htonl(0x0a600000), via = htonl(gateway), index = if_nametoindex("eth0");

    put_attr(&req, RTA_DST, &dst, 4);
    if (gateway)
        put_attr(&req, RTA_GATEWAY, &via, 4);
    else if (type == RTM_NEWROUTE)
        put_attr(&req, RTA_OIF, &index, 4);
    if (metric)
        put_attr(&req, RTA_PRIORITY, &metric, 4);
    return ask(&req);
}

/* How many lines there are to 10.96.0.0/16, and the last one's gateway. */
static int count_routes(uint32_t *gateway)
{
    struct rtmsg body = {.rtm_family = AF_INET};
    int left = dump(NETLINK_ROUTE, RTM_GETROUTE, &body, sizeof(body)), count = 0;

    *gateway = 0;
    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
        struct rtmsg *m = NLMSG_DATA(h);
        int n = (int)RTM_PAYLOAD(h);
        uint32_t dst = 0, via = 0;
        if (h->nlmsg_type != RTM_NEWROUTE)
            continue;
        for (struct rtattr *a = RTM_RTA(m); RTA_OK(a, n); a = RTA_NEXT(a, n)) {
            if (a->rta_type == RTA_DST)
                dst = *(uint32_t *)RTA_DATA(a);
            if (a->rta_type == RTA_GATEWAY)
                via = *(uint32_t *)RTA_DATA(a);
        }
        if (dst != htonl(0x0a600000) || m->rtm_dst_len != 16)
            continue;
        count++;
        *gateway = ntohl(via);
    }
    return count;
}

/* eth0 at 10.97.0.2/24, up. */
static bool have_eth0(void)
{
    if (!if_nametoindex("eth0"))
        return false;
    CHECK_EQ(set_link(IFF_UP, 0), 0);
    CHECK_EQ(change_eth0_addr(RTM_NEWADDR, 0x0a610002, 24), 0);
    return true;
}

static void leave_eth0(void)
{
    CHECK_EQ(change_eth0_addr(RTM_DELADDR, 0x0a610002, 24), 0);
}

CASE(routes_are_added_replaced_and_removed)
{
    enum { A = 0x0a610001, B = 0x0a610003, ADD = NLM_F_CREATE | NLM_F_EXCL };
    uint32_t gateway;

    if (!have_eth0())
        return;
    CHECK_EQ(change_route(RTM_NEWROUTE, ADD, A, 0), 0);
    CHECK_EQ(change_route(RTM_NEWROUTE, ADD, B, 0), -EEXIST);
    CHECK_EQ(change_route(RTM_NEWROUTE, ADD, B, 7), 0);
    CHECK_EQ(count_routes(&gateway), 2);
    CHECK_EQ(change_route(RTM_DELROUTE, 0, 0, 7), 0);
    CHECK_EQ(change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, B, 0), 0);
    CHECK_EQ(count_routes(&gateway), 1);
    CHECK_EQ(gateway, B);
    CHECK_EQ(change_route(RTM_DELROUTE, 0, A, 0), -ESRCH);
    CHECK_EQ(change_route(RTM_DELROUTE, 0, 0, 0), 0);
    CHECK_EQ(count_routes(&gateway), 0);
    CHECK_EQ(change_route(RTM_NEWROUTE, ADD, 0x0a5f0001, 0), -ENETUNREACH);
    CHECK_EQ(change_route(RTM_NEWROUTE, ADD, 0, 0), 0);
    CHECK_EQ(change_route(RTM_DELROUTE, 0, 0, 0), 0);
    leave_eth0();
}

CASE(one_of_two_addresses_goes_and_the_network_stays)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a610009)};

    if (!have_eth0())
        return;
    CHECK_EQ(change_eth0_addr(RTM_NEWADDR, 0x0a610005, 24), 0);
    CHECK_EQ(change_eth0_addr(RTM_NEWADDR, 0x0a610005, 24), -EEXIST);
    CHECK_EQ(change_eth0_addr(RTM_DELADDR, 0x0a610005, 24), 0);
    CHECK_EQ(change_eth0_addr(RTM_DELADDR, 0x0a610005, 24), -EADDRNOTAVAIL);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    CHECK_EQ(connect(fd, (void *)&to, sizeof(to)), 0);
    CHECK_EQ(getsockname(fd, (void *)&own, &len), 0);
    CHECK_EQ(ntohl(own.sin_addr.s_addr), 0x0a610002);
    close(fd);
    leave_eth0();
}

static const unsigned char far_mac[6] = {2, 0, 0, 0, 0, 9};

static int change_neighbour(int type, int flags, int state)
{
    struct ndmsg msg = {.ndm_family = AF_INET,
                        .ndm_ifindex = (int)if_nametoindex("eth0"),
                        .ndm_state = (unsigned short)state};
    struct request req = begin(type, flags, &msg, sizeof(msg));
    uint32_t addr = htonl(0x0a610063);

    put_attr(&req, NDA_DST, &addr, 4);
    if (type == RTM_NEWNEIGH)
        put_attr(&req, NDA_LLADDR, far_mac, 6);
    return ask(&req);
}

/* The state of 10.97.0.99 in the table; 0: it is not there. */
static int neighbour_state(void)
{
    struct ndmsg body = {.ndm_family = AF_INET};
    int left = dump(NETLINK_ROUTE, RTM_GETNEIGH, &body, sizeof(body)), state = 0;

    for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
        if (h->nlmsg_type == RTM_NEWNEIGH && memmem(h, h->nlmsg_len, "\x0a\x61\0\x63", 4))
            state = ((struct ndmsg *)NLMSG_DATA(h))->ndm_state;
    return state;
}

/* As programs ask that look for a client's hardware address: squid, arp(8). */
static void neighbour_by_ioctl(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct arpreq req = {.arp_dev = "eth0"};
    struct sockaddr_in *to = (void *)&req.arp_pa;

    CHECK_ERR(ioctl(fd, SIOCGARP, &req), EPFNOSUPPORT);
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a610063)};
    CHECK_EQ(ioctl(fd, SIOCGARP, &req), 0);
    CHECK_EQ(req.arp_ha.sa_family, ARPHRD_ETHER);
    CHECK_EQ(memcmp(req.arp_ha.sa_data, far_mac, 6), 0);
    CHECK_EQ(req.arp_flags, ATF_COM | ATF_PERM);
    to->sin_addr.s_addr = htonl(0x0a610055);
    CHECK_ERR(ioctl(fd, SIOCGARP, &req), ENXIO);
    strcpy(req.arp_dev, "nosuch0");
    CHECK_ERR(ioctl(fd, SIOCGARP, &req), ENODEV);
    CHECK_ERR(ioctl(fd, SIOCGARP, (void *)8), EFAULT);
    close(fd);
}

CASE(neighbours_are_set_told_of_and_removed)
{
    if (!have_eth0())
        return;
    int fd = nl_socket(NETLINK_ROUTE, RTMGRP_NEIGH), heard = 0;
    NEED(fd >= 0);
    CHECK_EQ(change_neighbour(RTM_NEWNEIGH, NLM_F_REPLACE, NUD_PERMANENT), -ENOENT);
    CHECK_EQ(change_neighbour(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, NUD_PERMANENT), 0);
    CHECK_EQ(change_neighbour(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, NUD_PERMANENT), -EEXIST);
    CHECK_EQ(neighbour_state(), NUD_PERMANENT);
    neighbour_by_ioctl();
    for (int i = 0; i < 5 && !heard && hears(fd, 10000); i++) {
        int left = (int)recv(fd, answer, sizeof(answer), 0);
        for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
            heard |= h->nlmsg_type == RTM_NEWNEIGH && memmem(h, h->nlmsg_len, far_mac, 6);
    }
    CHECK_EQ(heard, 1);
    CHECK_EQ(change_neighbour(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, NUD_STALE), 0);
    CHECK_EQ(neighbour_state(), NUD_STALE);
    CHECK_EQ(change_neighbour(RTM_DELNEIGH, 0, 0), 0);
    int state = neighbour_state();
    CHECK(state == 0 || state == NUD_FAILED); /* Linux keeps it for a while */
    close(fd);
    leave_eth0();
}

CASE(a_link_that_is_down_carries_nothing)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a610009)};
    struct ifreq req = {.ifr_name = "eth0"};

    if (!have_eth0())
        return;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(connect(fd, (void *)&to, sizeof(to)), 0);
    CHECK_EQ(set_link(0, 1300), 0);
    CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &req), 0);
    CHECK_EQ(req.ifr_flags & IFF_UP, 0);
    CHECK_EQ(ioctl(fd, SIOCGIFMTU, &req), 0);
    CHECK_EQ(req.ifr_mtu, 1300);
    CHECK_ERR(connect(socket(AF_INET, SOCK_DGRAM, 0), (void *)&to, sizeof(to)), ENETUNREACH);
    CHECK_EQ(set_link(IFF_UP, 1500), 0);
    CHECK_EQ(connect(fd, (void *)&to, sizeof(to)), 0);
    close(fd);
    CHECK_EQ(set_link(IFF_UP, 10), -EINVAL);
    leave_eth0();
}

/* ---- the same by ioctl, as ifconfig(8) and route(8) ---- */

static struct ifreq ifreq_of(uint32_t addr)
{
    struct ifreq req = {.ifr_name = "eth0"};
    struct sockaddr_in *in = (void *)&req.ifr_addr;

    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(addr);
    return req;
}

static uint32_t addr_in(const struct ifreq *req)
{
    return ntohl(((const struct sockaddr_in *)(const void *)&req->ifr_addr)->sin_addr.s_addr);
}

CASE(addresses_masks_flags_and_routes_are_set_by_ioctl)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq req = {.ifr_name = "eth0", .ifr_flags = IFF_UP};
    struct rtentry rt = {.rt_flags = RTF_UP | RTF_GATEWAY};
    uint32_t gateway;

    if (ioctl(fd, SIOCGIFINDEX, &req))
        return;
    req.ifr_flags = IFF_UP;
    CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &req), 0);
    req = ifreq_of(0x0a610002);
    CHECK_EQ(ioctl(fd, SIOCSIFADDR, &req), 0);
    req = ifreq_of(0);
    CHECK_EQ(ioctl(fd, SIOCGIFNETMASK, &req), 0);
    CHECK_EQ(addr_in(&req), 0xff000000);
    req = ifreq_of(0xff00ff00);
    CHECK_ERR(ioctl(fd, SIOCSIFNETMASK, &req), EINVAL);
    req = ifreq_of(0xffffff00);
    CHECK_EQ(ioctl(fd, SIOCSIFNETMASK, &req), 0);
    req = ifreq_of(0);
    CHECK_EQ(ioctl(fd, SIOCGIFNETMASK, &req), 0);
    CHECK_EQ(addr_in(&req), 0xffffff00);
    req.ifr_mtu = 1400;
    CHECK_EQ(ioctl(fd, SIOCSIFMTU, &req), 0);
    req.ifr_mtu = 1500;
    CHECK_EQ(ioctl(fd, SIOCSIFMTU, &req), 0);

    *(struct sockaddr_in *)(void *)&rt.rt_dst =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a600000)};
    *(struct sockaddr_in *)(void *)&rt.rt_genmask =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xffff0000)};
    *(struct sockaddr_in *)(void *)&rt.rt_gateway =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a610007)};
    CHECK_EQ(ioctl(fd, SIOCADDRT, &rt), 0);
    CHECK_ERR(ioctl(fd, SIOCADDRT, &rt), EEXIST);
    CHECK_EQ(count_routes(&gateway), 1);
    CHECK_EQ(gateway, 0x0a610007);
    CHECK_EQ(ioctl(fd, SIOCDELRT, &rt), 0);
    CHECK_ERR(ioctl(fd, SIOCDELRT, &rt), ESRCH);
    req = ifreq_of(0);
    CHECK_EQ(ioctl(fd, SIOCSIFADDR, &req), 0);
    CHECK_ERR(ioctl(fd, SIOCGIFADDR, &req), EADDRNOTAVAIL);
    close(fd);
}
