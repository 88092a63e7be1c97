/* Segments as the input says, near enough to what a connection expects to be taken seriously:
 * sequence and acknowledgement numbers are offsets from the right ones.  Between them the program
 * reads, writes and lets time pass.  At the end everything must be gone. */
#include "fuzz/fuzz.h"

#include "core/time.h"
#include "fake/tcp_world.h"
#include "net/tcp_priv.h"

enum { PORT = 80, PEER_ISS = 1000 };

struct input {
    const uint8_t *data;
    size_t left;
};

static u32 take(struct input *in, u32 bytes)
{
    u32 v = 0;

    for (; bytes && in->left; bytes--, in->left--)
        v = v << 8 | *in->data++;
    return v;
}

static struct socket *listener, *sock;
static u16 peer_port;

static void deliver(const u8 *bytes, u32 len, u8 ecn)
{
    struct ip_addr us = world_addr(ADDR_INET, 1), peer = world_addr(ADDR_INET, 2);
    struct pkt *pkt = pkt_alloc();

    FUZZ_ASSERT(pkt && pkt_append(pkt, bytes, len));
    pkt->csum = CSUM_GOOD;
    world_deliver(pkt, &peer, &us, ecn);
}

static void segment(u8 flags, u32 seq, u32 ack, u16 window, const u8 *options, u32 options_len,
                    u32 data)
{
    u8 bytes[60 + 2048] = {0};

    wire_put16(bytes, peer_port);
    wire_put16(bytes + 2, PORT);
    wire_put32(bytes + 4, seq);
    wire_put32(bytes + 8, ack);
    bytes[12] = (u8)((20 + options_len) << 2);
    bytes[13] = flags;
    wire_put16(bytes + 14, window);
    wire_put16(bytes + 18, (u16)(data / 2));
    memcpy(bytes + 20, options, options_len);
    deliver(bytes, 20 + options_len + data, (u8)(seq & 3));
}

/* Where the connection stands: the numbers that the peer would use. */
static void expected(u32 *seq, u32 *ack)
{
    const struct tcp_conn *c = sock ? sock->data : NULL;
    const struct tcp_request *r = shards[0]->nr_requests ? shards[0]->requests[0] : NULL;

    *seq = PEER_ISS;
    *ack = 0;
    for (u32 i = 0; !c && shards[0]->nr_requests && i < SHARD_REQUESTS && !r; i++)
        r = shards[0]->requests[i];
    if (c) {
        *seq = c->rcv_nxt;
        *ack = c->snd_nxt;
    } else if (r) {
        *seq = r->irs + 1;
        *ack = r->iss + 1;
    }
}

static void near_segment(struct input *in)
{
    u8 options[40] = {0}, flags = (u8)take(in, 1), shape = (u8)take(in, 1);
    u32 seq, ack, options_len = (shape & 7) > 5 ? 40 : (shape & 7) * 4u;

    expected(&seq, &ack);
    seq += (u32)(s32)(s16)take(in, 2) * (shape & 8 ? 1000 : 1);
    ack += (u32)(s32)(s8)take(in, 1) * (shape & 16 ? 700 : 1);
    for (u32 i = 0; i < options_len; i++)
        options[i] = (u8)take(in, 1);
    segment(flags, seq, ack, (u16)take(in, 2), options, options_len, take(in, 1) * 8);
}

static void raw_segment(struct input *in)
{
    u8 bytes[256];
    u32 len = take(in, 1);

    for (u32 i = 0; i < len; i++)
        bytes[i] = (u8)take(in, 1);
    deliver(bytes, len, 0);
}

static void icmp_error(struct input *in)
{
    struct ip_addr us = world_addr(ADDR_INET, 1), peer = world_addr(ADDR_INET, 2);
    u8 quoted[8];
    u32 seq, ack;

    expected(&seq, &ack);
    wire_put16(quoted, PORT);
    wire_put16(quoted + 2, peer_port);
    wire_put32(quoted + 4, ack - take(in, 1));
    world_error(&us, &peer, EMSGSIZE, take(in, 2), quoted);
}

static void program(struct input *in)
{
    static u8 buf[8192];
    u32 what = take(in, 1), n = take(in, 1) * 32 + 1;

    if (!sock)
        sock = world_accept(listener);
    if (!sock)
        return;
    if (what < 100)
        world_send(sock, buf, n, what & 1 ? MSG_MORE : 0);
    else if (what < 220)
        world_recv(sock, buf, n, what & 1 ? MSG_PEEK : what & 2 ? MSG_OOB : 0);
    else if (what < 240)
        sock->ops->shutdown(sock, (int)n % 3);
    else
        sock->ops->ready(sock);
}

static void begin(void)
{
    struct ip_addr us = world_addr(ADDR_INET, 1);
    struct sock_addr addr = world_sockaddr(&us, PORT);

    if (!listener) {
        tcp_world_start(1);
        world_netif.flags |= NETIF_TSO4;
    }
    peer_port++;
    listener = world_socket(AF_INET);
    FUZZ_ASSERT(!listener->ops->bind(listener, &addr));
    FUZZ_ASSERT(!listener->ops->listen(listener, 2));
    sock = NULL;
}

static void finish(void)
{
    struct socket *waiting;

    while ((waiting = world_accept(listener)))
        world_close(waiting);
    if (sock)
        world_close(sock);
    world_close(listener);
    tcp_world_run_to(world_ns + 4 * 3600 * NSEC_PER_SEC);
    FUZZ_ASSERT(!shards[0]->nr_conns && !shards[0]->nr_requests && !shards[0]->tw.count);
    FUZZ_ASSERT(!shards[0]->memory && !shards[0]->wheel.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    u8 none[1];

    begin();
    if (take(&in, 1) & 1) { /* most begin with a connection */
        static const u8 options[] = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7};
        u32 seq, ack;
        segment(TCP_SYN, PEER_ISS, 0, 500, options, sizeof(options), 0);
        expected(&seq, &ack);
        segment(TCP_ACK, seq, ack, 500, none, 0, 0);
        sock = world_accept(listener);
    }
    while (in.left)
        switch (take(&in, 1) % 8) {
        case 0:
            raw_segment(&in);
            break;
        case 1:
            tcp_world_run_to(world_ns + take(&in, 2) * NSEC_PER_MSEC);
            break;
        case 2:
            icmp_error(&in);
            break;
        case 3:
        case 4:
            program(&in);
            break;
        default:
            near_segment(&in);
            break;
        }
    finish();
    return 0;
}
