/* A bad link in user space, between an interface that a guest is on and a tap of this program's:
 * what comes in at one goes out at the other, late, twice, damaged, out of order, or not at all.
 *
 *   impair GUEST-INTERFACE TAP name=value...
 * seed; loss, dup, reorder, corrupt: in a thousand; delay, jitter: microseconds; rate: bytes a
 * millisecond; queue: bytes that wait; mtu: of IP, more is dropped; tell: 1 answers too large ones
 * by ICMP */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 66000, ETHER = 14, WAITING_MAX = 20000 };

static uint64_t seed = 1, loss, twice, reorder, corrupt, delay, jitter, rate, queue = 1 << 20,
                mtu = 65535, tell;

static const struct {
    const char *name;
    uint64_t *value;
} words[] = {
    {"seed", &seed},       {"loss", &loss},   {"dup", &twice},     {"reorder", &reorder},
    {"corrupt", &corrupt}, {"delay", &delay}, {"jitter", &jitter}, {"rate", &rate},
    {"queue", &queue},     {"mtu", &mtu},     {"tell", &tell},
};

struct frame {
    uint64_t due_us;
    int way;
    uint32_t len;
    unsigned char data[];
};

/* A heap by due time; equal times keep no order, so each frame is a microsecond after the last. */
static struct frame *heap[WAITING_MAX];
static uint32_t nr_waiting;
static uint64_t line_free_us[2], last_due_us[2];
static int ends[2]; /* 0: packet socket to the guest, 1: the tap */

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static bool chance(uint64_t thousandths)
{
    return draw(1000) < thousandths;
}

static void push(struct frame *frame)
{
    uint32_t at = nr_waiting++;

    for (; at && heap[(at - 1) / 2]->due_us > frame->due_us; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = frame;
}

static struct frame *pop(void)
{
    struct frame *first = heap[0], *last = heap[--nr_waiting];
    uint32_t at = 0;

    for (uint32_t child; (child = 2 * at + 1) < nr_waiting; at = child) {
        if (child + 1 < nr_waiting && heap[child + 1]->due_us < heap[child]->due_us)
            child++;
        if (heap[child]->due_us >= last->due_us)
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return first;
}

static uint32_t add_words(const unsigned char *data, uint32_t len, uint32_t sum)
{
    for (; len > 1; data += 2, len -= 2)
        sum += (uint32_t)data[0] << 8 | data[1];
    return len ? sum + ((uint32_t)data[0] << 8) : sum;
}

static void put_sum(unsigned char *at, uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    at[0] = (unsigned char)(~sum >> 8);
    at[1] = (unsigned char)~sum;
}

static void put16(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static void leave(int way, const unsigned char *frame, uint32_t len)
{
    static const struct virtio_net_hdr plain;
    unsigned char data[FRAME_MAX];

    if (way == 1) {
        (void)!write(ends[1], frame, len); /* refused is lost */
        return;
    }
    memcpy(data, &plain, sizeof(plain));
    memcpy(data + sizeof(plain), frame, len);
    (void)!send(ends[0], data, sizeof(plain) + len, 0); /* likewise */
}

/* "Too large", to who sent it, as a router between would say: RFC 792, RFC 1191. */
static void complain(int way, const unsigned char *frame)
{
    unsigned char answer[ETHER + 20 + 8 + 28] = {0}, *ip = answer + ETHER, *icmp = ip + 20;

    memcpy(answer, frame + 6, 6);
    memcpy(answer + 6, frame, 6);
    put16(answer + 12, ETHERTYPE_IP);
    ip[0] = 0x45;
    put16(ip + 2, sizeof(answer) - ETHER);
    ip[8] = 64;
    ip[9] = 1;
    memcpy(ip + 12, frame + ETHER + 16, 4);
    memcpy(ip + 16, frame + ETHER + 12, 4);
    put_sum(ip + 10, add_words(ip, 20, 0));
    icmp[0] = 3;
    icmp[1] = 4;
    put16(icmp + 6, (uint32_t)mtu);
    memcpy(icmp + 8, frame + ETHER, 28);
    put_sum(icmp + 2, add_words(icmp, 36, 0));
    leave(!way, answer, sizeof(answer));
}

/* One frame of the size of the wire enters the link. */
static void enter(int way, const unsigned char *data, uint32_t len)
{
    uint64_t now = now_us(), start = line_free_us[way] > now ? line_free_us[way] : now;

    if (len - ETHER > mtu) {
        if (tell && data[12] == 8 && data[13] == 0)
            complain(way, data);
        return;
    }
    if (rate && (start - now) * rate / 1000 > queue)
        return;
    line_free_us[way] = rate ? start + len * 1000 / rate : start;
    for (int copies = chance(twice) ? 2 : 1; copies; copies--) {
        if (chance(loss) || nr_waiting == WAITING_MAX)
            continue;
        struct frame *frame = malloc(sizeof(*frame) + len);
        if (!frame)
            return;
        frame->way = way;
        frame->len = len;
        memcpy(frame->data, data, len);
        if (chance(corrupt))
            frame->data[ETHER + draw(len - ETHER)] ^= (unsigned char)(1 << draw(8));
        frame->due_us = line_free_us[way] + delay + (jitter ? draw(jitter) : 0);
        if (frame->due_us <= last_due_us[way])
            frame->due_us = last_due_us[way] + 1;
        if (chance(reorder))
            frame->due_us += 300 + draw(2000); /* those behind it overtake it */
        else
            last_due_us[way] = frame->due_us;
        push(frame);
    }
}

/* What the guest left to its device: the checksum, and the cutting of long TCP segments over IPv4.
 */
static void finish_and_enter(const struct virtio_net_hdr *hdr, unsigned char *frame, uint32_t len)
{
    uint32_t start = hdr->csum_start, payload = len, headers = len;
    unsigned char *ip = frame + ETHER, *tcp = frame + start, one[2048];

    if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        enter(1, frame, len);
        return;
    }
    if ((hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4)
        headers = start + (tcp[12] >> 4) * 4u;
    else if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        return; /* nothing here sends the other kinds */
    payload = len - headers;
    for (uint32_t at = 0; at < payload || at == 0; at += hdr->gso_size) {
        uint32_t size = headers == len                 ? 0
                        : payload - at < hdr->gso_size ? payload - at
                                                       : hdr->gso_size;
        uint32_t total = headers + size;
        if (total > sizeof(one))
            return;
        memcpy(one, frame, headers);
        memcpy(one + headers, frame + headers + at, size);
        unsigned char *seg = one + start;
        if (size) {
            uint32_t seq = ntohl(*(uint32_t *)(void *)(tcp + 4)) + at;
            put16(seg + 4, seq >> 16);
            put16(seg + 6, seq);
            if (at + size < payload)
                seg[13] &= (unsigned char)~9; /* FIN and PSH are the last one's */
            put16(one + ETHER + 2, total - ETHER);
            put16(one + ETHER + 10, 0);
            put_sum(one + ETHER + 10, add_words(one + ETHER, start - ETHER, 0));
            /* The sum there covers addresses, protocol and the long length. */
            put16(seg + 16, 0);
            put_sum(seg + 16,
                    add_words(seg, total - start, add_words(ip + 12, 8, 6 + total - start)));
        } else {
            put_sum(seg + hdr->csum_offset, add_words(seg, total - start, 0));
        }
        enter(1, one, total);
        if (!size)
            return;
    }
}

static void from_guest(void)
{
    static unsigned char data[sizeof(struct virtio_net_hdr) + FRAME_MAX];
    struct virtio_net_hdr hdr;
    ssize_t len;

    while ((len = recv(ends[0], data, sizeof(data), MSG_DONTWAIT)) > 0) {
        memcpy(&hdr, data, sizeof(hdr));
        if (len > (ssize_t)sizeof(hdr) + ETHER)
            finish_and_enter(&hdr, data + sizeof(hdr), (uint32_t)len - sizeof(hdr));
    }
}

static void from_tap(void)
{
    static unsigned char data[FRAME_MAX];
    ssize_t len;

    while ((len = read(ends[1], data, sizeof(data))) > ETHER)
        enter(0, data, (uint32_t)len);
}

static int open_guest(const char *name)
{
    struct sockaddr_ll addr = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_ALL),
                               .sll_ifindex = (int)if_nametoindex(name)};
    int fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1, room = 8 << 20;

    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

static int open_tap(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) {
        perror(name);
        exit(1);
    }
    return fd;
}

static void set_words(char **argv)
{
    for (; *argv; argv++) {
        char *value = strchr(*argv, '=');
        bool known = false;
        for (size_t i = 0; value && i < sizeof(words) / sizeof(words[0]); i++) {
            if (strncmp(words[i].name, *argv, (size_t)(value - *argv)) == 0 &&
                strlen(words[i].name) == (size_t)(value - *argv)) {
                *words[i].value = strtoull(value + 1, NULL, 10);
                known = true;
            }
        }
        if (!known) {
            fprintf(stderr, "impair: unknown word '%s'\n", *argv);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: impair GUEST-INTERFACE TAP name=value...\n", stderr);
        return 2;
    }
    set_words(argv + 3);
    ends[0] = open_guest(argv[1]);
    ends[1] = open_tap(argv[2]);
    for (;;) {
        struct pollfd polls[2] = {{.fd = ends[0], .events = POLLIN},
                                  {.fd = ends[1], .events = POLLIN}};
        uint64_t now = now_us();
        while (nr_waiting && heap[0]->due_us <= now) {
            struct frame *frame = pop();
            leave(frame->way, frame->data, frame->len);
            free(frame);
        }
        struct timespec wait = {1, 0};
        if (nr_waiting) {
            uint64_t us = heap[0]->due_us - now;
            wait = (struct timespec){(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};
        }
        if (ppoll(polls, 2, &wait, NULL) < 0 && errno != EINTR)
            return 1;
        from_guest();
        from_tap();
    }
}
