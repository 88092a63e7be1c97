/* AF_PACKET on loopback: what tcpdump and dhclient rely on: frames with and without link header,
 * filters, statistics, the ring that libpcap maps.  And what datagram sockets say in msg_flags. */
#define _GNU_SOURCE
#include "t.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* On Linux a network of our own, where nobody else sends; the guest is alone anyway. */
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

static int lo(void)
{
    return (int)if_nametoindex("lo");
}

/* Listens to all of loopback. */
static int tap(int type)
{
    struct sockaddr_ll ll = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = lo()};
    int fd = socket(AF_PACKET, type, 0);
    if (fd >= 0 && bind(fd, (void *)&ll, sizeof(ll))) {
        close(fd);
        return -1;
    }
    return fd;
}

static const char payload[] = "a datagram to be seen";

/* A datagram over loopback; its port. */
static int send_datagram(size_t len)
{
    static char big[2048];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(to);
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0), port = -1;

    memcpy(big, payload, sizeof(payload));
    if (!bind(in, (void *)&to, sizeof(to)) && !getsockname(in, (void *)&to, &size) &&
        sendto(out, big, len, 0, (void *)&to, sizeof(to)) == (ssize_t)len &&
        recv(in, big, sizeof(big), 0) == (ssize_t)len)
        port = ntohs(to.sin_port);
    close(in);
    close(out);
    return port;
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) > 0 && p.revents & POLLIN;
}

/* The next packet whose UDP header, behind @link bytes and an IP header, goes to @port; its length.
 * Other things may pass on loopback. */
static ssize_t find(int fd, size_t link, int port, uint8_t *buf, size_t size,
                    struct sockaddr_ll *from)
{
    for (int i = 0; i < 50 && readable(fd, 10000); i++) {
        socklen_t len = sizeof(*from);
        ssize_t n = recvfrom(fd, buf, size, 0, (void *)from, &len);
        const struct udphdr *udp = (const void *)(buf + link + sizeof(struct iphdr));
        if (n >= (ssize_t)(link + 28) && buf[link + 9] == IPPROTO_UDP && ntohs(udp->dest) == port)
            return n;
    }
    return -1;
}

CASE(frames_are_seen_twice_on_loopback_with_a_link_header)
{
    uint8_t buf[2048];
    struct sockaddr_ll from;
    int fd = tap(SOCK_RAW);
    NEED(fd >= 0);
    int port = send_datagram(sizeof(payload));

    NEED(find(fd, ETH_HLEN, port, buf, sizeof(buf), &from) == 14 + 28 + sizeof(payload));
    CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
    CHECK_EQ(from.sll_ifindex, lo());
    CHECK_EQ(from.sll_hatype, 772);
    CHECK_EQ(ntohs(from.sll_protocol), ETH_P_IP);
    CHECK_EQ(buf[12] << 8 | buf[13], ETH_P_IP);
    CHECK(!memcmp(buf + 14 + 28, payload, sizeof(payload)));
    NEED(find(fd, ETH_HLEN, port, buf, sizeof(buf), &from) > 0);
    CHECK_EQ(from.sll_pkttype, PACKET_HOST);
    close(fd);
}

CASE(cooked_sockets_see_no_link_header)
{
    uint8_t buf[2048];
    struct sockaddr_ll from;
    int one = 1, fd = tap(SOCK_DGRAM);
    NEED(fd >= 0);
    CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
    int port = send_datagram(1400);

    NEED(find(fd, 0, port, buf, sizeof(buf), &from) == 28 + 1400);
    CHECK_EQ(buf[0] >> 4, 4);
    CHECK_EQ(from.sll_pkttype, PACKET_HOST);
    CHECK_EQ(from.sll_halen, 6);
    CHECK_ERR(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    close(fd);
}

CASE(a_socket_without_a_protocol_hears_nothing)
{
    uint8_t buf[256];
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    NEED(fd >= 0);
    CHECK(send_datagram(10) > 0);
    CHECK_ERR(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);

    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_ifindex = 4711};
    CHECK_ERR(bind(fd, (void *)&ll, sizeof(ll)), ENODEV);
    CHECK_ERR(bind(fd, (void *)&ll, sizeof(ll) - 1), EINVAL);
    ll.sll_ifindex = lo();
    ll.sll_protocol = htons(ETH_P_IP);
    CHECK_EQ(bind(fd, (void *)&ll, sizeof(ll)), 0);
    struct sockaddr_ll own;
    socklen_t len = sizeof(own);
    CHECK_EQ(getsockname(fd, (void *)&own, &len), 0);
    CHECK_EQ(own.sll_ifindex, lo());
    CHECK_EQ(own.sll_halen, 6);
    CHECK_EQ(ntohs(own.sll_protocol), ETH_P_IP);
    close(fd);
}

/* udp and dst port PORT, as tcpdump compiles it for Ethernet; keeps 60 bytes. */
static int attach_port_filter(int fd, int port)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_H | BPF_ABS, 0, 0, 12},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 8, ETH_P_IP},
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 23},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 6, IPPROTO_UDP},
        {BPF_LD | BPF_H | BPF_ABS, 0, 0, 20},
        {BPF_JMP | BPF_JSET | BPF_K, 4, 0, 0x1fff},
        {BPF_LDX | BPF_B | BPF_MSH, 0, 0, 14},
        {BPF_LD | BPF_H | BPF_IND, 0, 0, 16},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)port},
        {BPF_RET | BPF_K, 0, 0, 60},
        {BPF_RET | BPF_K, 0, 0, 0},
    };
    struct sock_fprog prog = {COUNT(code), code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

CASE(a_filter_chooses_and_cuts)
{
    uint8_t buf[2048];
    struct sockaddr_ll from;
    int fd = tap(SOCK_RAW);
    NEED(fd >= 0);
    int none = send_datagram(100);
    while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
        ;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    NEED(!bind(in, (void *)&to, sizeof(to)) && !getsockname(in, (void *)&to, &len));
    CHECK_EQ(attach_port_filter(fd, ntohs(to.sin_port)), 0);
    CHECK(none > 0 && send_datagram(100) > 0);
    CHECK_EQ(sendto(out, payload, sizeof(payload), 0, (void *)&to, sizeof(to)), sizeof(payload));

    NEED(readable(fd, 10000));
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(fd, &msg, 0), 60);
    CHECK_EQ(msg.msg_flags & MSG_TRUNC, 0);
    CHECK_EQ(find(fd, ETH_HLEN, ntohs(to.sin_port), buf, sizeof(buf), &from), 60);
    CHECK_ERR(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &len, sizeof(len)), 0);
    CHECK_ERR(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &len, sizeof(len)), ENOENT);
    close(fd);
    close(in);
    close(out);
}

static int attach(int fd, struct sock_filter *code, unsigned short n)
{
    struct sock_fprog prog = {n, code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* A UDP socket's filter sees the header too, and the length that it answers counts from there. */
CASE(a_filter_on_a_udp_socket)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 8}, /* the first byte of what was sent */
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'k'},
        {BPF_RET | BPF_K, 0, 0, 12},
        {BPF_RET | BPF_K, 0, 0, 0},
    };
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    char buf[64];
    int in = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0), on = 1, off = 0;
    NEED(!bind(in, (void *)&to, sizeof(to)) && !getsockname(in, (void *)&to, &len));
    CHECK_EQ(attach(in, code, COUNT(code)), 0);
    CHECK_EQ(sendto(out, "drop me", 7, 0, (void *)&to, sizeof(to)), 7);
    CHECK_EQ(sendto(out, "keep me", 7, 0, (void *)&to, sizeof(to)), 7);
    NEED(readable(in, 10000));
    CHECK_EQ(recv(in, buf, sizeof(buf), 0), 4);
    CHECK_ERR(recv(in, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(setsockopt(in, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)), 0);
    CHECK_ERR(setsockopt(in, SOL_SOCKET, SO_LOCK_FILTER, &off, sizeof(off)), EPERM);
    CHECK_ERR(setsockopt(in, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)), EPERM);
    CHECK_EQ(attach(out, code, COUNT(code)), 0);
    CHECK_EQ(setsockopt(out, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)), 0);
    CHECK_ERR(setsockopt(out, SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)), ENOENT);
    close(in);
    close(out);
}

/* As ping does it: echo replies with its own number, the IP header in front. */
/* RFC 3542 has it fixed; Linux lets who speaks of SOL_RAW say it all the same, as radvd does. */
CASE(the_checksum_of_icmpv6_is_where_it_is)
{
    int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), offset = 2;
    NEED(fd >= 0);
    CHECK_EQ(setsockopt(fd, SOL_RAW, IPV6_CHECKSUM, &offset, sizeof(offset)), 0);
    CHECK_ERR(setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, &offset, sizeof(offset)), EINVAL);
    offset = 3;
    CHECK_ERR(setsockopt(fd, SOL_RAW, IPV6_CHECKSUM, &offset, sizeof(offset)), EINVAL);
    CHECK_ERR(setsockopt(fd, SOL_RAW, IPV6_CHECKSUM, &offset, 2), EINVAL);
    close(fd);
}

CASE(a_filter_on_a_raw_socket)
{
    struct sock_filter code[] = {
        {BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0},
        {BPF_LD | BPF_H | BPF_IND, 0, 0, 4},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x4712},
        {BPF_RET | BPF_K, 0, 0, 65535},
        {BPF_RET | BPF_K, 0, 0, 0},
    };
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t echo[8] = {8, 0, 0, 0, 0x47, 0x11}, buf[128];
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    NEED(fd >= 0);
    CHECK_EQ(attach(fd, code, COUNT(code)), 0);
    for (int i = 0; i < 2; i++) {
        echo[5] = (uint8_t)(0x11 + i);
        uint16_t sum = (uint16_t) ~(0x0800 + 0x4711 + i);
        echo[2] = (uint8_t)(sum >> 8);
        echo[3] = (uint8_t)sum;
        CHECK_EQ(sendto(fd, echo, sizeof(echo), 0, (void *)&to, sizeof(to)), sizeof(echo));
    }
    NEED(readable(fd, 10000)); /* the request itself, then the reply */
    CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 28);
    CHECK_EQ(buf[25], 0x12);
    NEED(readable(fd, 10000));
    CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 28);
    CHECK_EQ(buf[25], 0x12);
    CHECK_ERR(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
    close(fd);
}

CASE(filters_that_could_do_harm_are_refused)
{
    int fd = tap(SOCK_RAW);
    NEED(fd >= 0);
    struct sock_filter ret = {BPF_RET | BPF_K, 0, 0, 1};
    struct sock_filter bad[][2] = {
        {{BPF_JMP | BPF_JA, 0, 0, 1}, ret},          /* past it */
        {{BPF_JMP | BPF_JA, 0, 0, 0xffffffff}, ret}, /* back */
        {{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0}, ret},  {{BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0}, ret},
        {{BPF_ALU | BPF_LSH | BPF_K, 0, 0, 32}, ret}, {{BPF_ST, 0, 0, 16}, ret},
        {{BPF_LD | BPF_MEM, 0, 0, 16}, ret},          {{0xffff, 0, 0, 0}, ret},
        {ret, {BPF_LD | BPF_IMM, 0, 0, 0}}, /* no end */
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        CHECK_ERR(attach(fd, bad[i], 2), EINVAL);
    CHECK_ERR(attach(fd, &ret, 0), EINVAL);
    CHECK_ERR(attach(fd, (void *)8, 1), EFAULT);
    CHECK_EQ(attach(fd, &ret, 1), 0);
    close(fd);
}

CASE(statistics_count_and_start_again)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof(stats);
    int fd = tap(SOCK_RAW);
    NEED(fd >= 0);
    for (int i = 0; i < 5; i++)
        CHECK(send_datagram(10) > 0);
    CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len), 0);
    CHECK(stats.tp_packets >= 10);
    CHECK_EQ(stats.tp_drops, 0);
    CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len), 0);
    CHECK(stats.tp_packets < 10);
    close(fd);
}

enum { BLOCK = 8192, BLOCKS = 4, FRAME = 2048, FRAMES = BLOCK / FRAME * BLOCKS };

static int ring(int fd, unsigned int frame, unsigned int nr)
{
    struct tpacket_req req = {BLOCK, BLOCKS, frame, nr};
    return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req));
}

CASE(the_ring_of_version_2_is_filled_and_given_back)
{
    int version = TPACKET_V2, v = TPACKET_V2, fd = tap(SOCK_RAW), seen = 0;
    socklen_t len = sizeof(v);
    NEED(fd >= 0);
    CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &v, &len), 0);
    CHECK_EQ(v, sizeof(struct tpacket2_hdr));
    CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)), 0);
    CHECK_ERR(ring(fd, FRAME + 1, FRAMES), EINVAL);
    CHECK_ERR(ring(fd, FRAME, FRAMES + 1), EINVAL);
    NEED(ring(fd, FRAME, FRAMES) == 0);
    uint8_t *map = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(map != MAP_FAILED);

    int port = send_datagram(sizeof(payload));
    CHECK(readable(fd, 10000));
    for (int i = 0; i < FRAMES; i++) {
        struct tpacket2_hdr *hdr = (void *)(map + i * FRAME);
        const struct sockaddr_ll *ll = (const void *)((uint8_t *)hdr + TPACKET_ALIGN(sizeof(*hdr)));
        if (!(__atomic_load_n(&hdr->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            break;
        uint8_t *ip = (uint8_t *)hdr + hdr->tp_net;
        const struct udphdr *udp = (const void *)(ip + 20);
        if (ip[9] == IPPROTO_UDP && ntohs(udp->dest) == port) {
            seen++;
            CHECK_EQ(hdr->tp_net - hdr->tp_mac, ETH_HLEN);
            CHECK_EQ(hdr->tp_len, 14 + 28 + sizeof(payload));
            CHECK_EQ(hdr->tp_snaplen, hdr->tp_len);
            CHECK(!memcmp(ip + 28, payload, sizeof(payload)));
            CHECK_EQ(ll->sll_ifindex, lo());
            CHECK(labs((long)hdr->tp_sec - (long)time(NULL)) < 5);
        }
        __atomic_store_n(&hdr->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
    CHECK_EQ(seen, 2);
    CHECK(!readable(fd, 0));
    munmap(map, BLOCK * BLOCKS);
    close(fd);
}

CASE(a_full_ring_drops_and_says_so)
{
    struct tpacket_stats stats;
    int version = TPACKET_V2, fd = tap(SOCK_RAW);
    socklen_t len = sizeof(stats);
    NEED(fd >= 0);
    NEED(!setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)));
    NEED(ring(fd, FRAME, FRAMES) == 0);
    uint8_t *map = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    NEED(map != MAP_FAILED);
    for (int i = 0; i < FRAMES; i++)
        CHECK(send_datagram(10) > 0);
    CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len), 0);
    CHECK(stats.tp_packets >= 2 * FRAMES);
    CHECK(stats.tp_drops >= FRAMES);
    /* Long frames are cut to what a place holds. */
    memset(map, 0, BLOCK * BLOCKS);
    CHECK(send_datagram(2048) > 0);
    bool cut = false;
    for (int i = 0; i < FRAMES; i++) {
        const struct tpacket2_hdr *hdr = (const void *)(map + i * FRAME);
        cut |= hdr->tp_len == 14 + 28 + 2048 && hdr->tp_snaplen < FRAME && hdr->tp_snaplen > 1900;
    }
    CHECK(cut);
    close(fd); /* mapped still */
    CHECK_EQ(map[4] | 1, map[4] | 1);
    munmap(map, BLOCK * BLOCKS);
}

CASE(frames_can_be_sent)
{
    enum { EXPERIMENTAL = 0x88b5 }; /* IEEE 802 keeps it for this */
    uint8_t frame[14 + 4] = {[12] = EXPERIMENTAL >> 8, [13] = EXPERIMENTAL & 0xff}, buf[64];
    struct sockaddr_ll ll = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(EXPERIMENTAL),
                             .sll_ifindex = lo(),
                             .sll_halen = 6};
    struct sockaddr_ll from;
    socklen_t len = sizeof(from);
    int in = socket(AF_PACKET, SOCK_DGRAM, 0), fd = socket(AF_PACKET, SOCK_RAW, 0);
    NEED(fd >= 0 && !bind(in, (void *)&ll, sizeof(ll)));

    memcpy(frame + 14, "ping", 4);
    CHECK_ERR(send(fd, frame, sizeof(frame), 0), ENXIO);
    CHECK_EQ(sendto(fd, frame, sizeof(frame), 0, (void *)&ll, sizeof(ll)), sizeof(frame));
    NEED(readable(in, 10000));
    CHECK_EQ(recvfrom(in, buf, sizeof(buf), 0, (void *)&from, &len), 4);
    CHECK(!memcmp(buf, "ping", 4));
    CHECK_EQ(ntohs(from.sll_protocol), EXPERIMENTAL);
    CHECK_EQ(sendto(in, "pong", 4, 0, (void *)&ll, sizeof(ll)), 4);
    NEED(readable(in, 10000));
    CHECK_EQ(recv(in, buf, sizeof(buf), 0), 4);
    CHECK(!memcmp(buf, "pong", 4));
    ll.sll_family = 0; /* which stress-ng leaves out */
    CHECK_ERR(bind(in, (void *)&ll, sizeof(ll)), EINVAL);
    CHECK_EQ(sendto(in, "more", 4, 0, (void *)&ll, sizeof(ll)), 4);
    NEED(readable(in, 10000));
    CHECK_EQ(recv(in, buf, sizeof(buf), 0), 4);
    close(in);
    close(fd);
}

CASE(a_datagram_that_is_cut_says_so_in_msg_flags)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    char buf[4];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    NEED(!bind(fd, (void *)&to, sizeof(to)) && !getsockname(fd, (void *)&to, &len));
    CHECK_EQ(sendto(fd, payload, 8, 0, (void *)&to, sizeof(to)), 8);
    CHECK_EQ(recvmsg(fd, &msg, 0), 4);
    CHECK_EQ(msg.msg_flags, MSG_TRUNC);
    close(fd);
}
