#include "unit/tcp_peer.h"

struct seg peer_out[OUT_MAX];
u32 peer_nr_out;
u16 peer_port;
int peer_recv_buffer;

const struct tcp_options peer_modern = {
    .saw_mss = true,
    .mss = 1460,
    .saw_sack_ok = true,
    .saw_ts = true,
    .tsval = 5000,
    .saw_wscale = true,
    .wscale = 7,
};
const struct tcp_options peer_plain = {.saw_mss = true, .mss = 1460};

static int output(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst,
                  const struct ip_meta *meta)
{
    static u8 bytes[65536];
    u32 header = (u32)(pkt->data[12] >> 4) * 4;

    (void)src, (void)dst;
    pkt_copy_out(pkt, 0, bytes, pkt->total);
    if (peer_nr_out == OUT_MAX)
        abort();
    struct seg *seg = &peer_out[peer_nr_out++];
    *seg = (struct seg){
        .flags = bytes[13],
        .src_port = wire_get16(bytes),
        .dst_port = wire_get16(bytes + 2),
        .seq = wire_get32(bytes + 4),
        .ack = wire_get32(bytes + 8),
        .window = wire_get16(bytes + 14),
        .urgent = wire_get16(bytes + 18),
        .len = pkt->total - header,
        .ecn = meta->tos & 3,
        .gso_size = pkt->gso ? pkt->gso_size : 0,
    };
    memcpy(seg->data, bytes + header, min((size_t)seg->len, sizeof(seg->data)));
    tcp_decode_options(bytes + 20, header - 20, bytes[13] & TCP_SYN, &seg->options);
    pkt_free(pkt);
    return 0;
}

void peer_start(void)
{
    tcp_world_start(1);
    world_output = output;
}

struct pkt *peer_packet(struct seg seg)
{
    u8 bytes[60 + 4096] = {0};

    if (seg.len > 4096)
        abort();
    u32 options = seg.flags & TCP_SYN ? tcp_encode_syn_options(bytes + 20, &seg.options)
                                      : tcp_encode_options(bytes + 20, &seg.options);
    u16 from = peer_port ? peer_port : PEER_PORT;
    wire_put16(bytes, seg.src_port ? seg.src_port : from);
    wire_put16(bytes + 2, seg.dst_port ? seg.dst_port : OUR_PORT);
    wire_put32(bytes + 4, seg.seq);
    wire_put32(bytes + 8, seg.ack);
    bytes[12] = (u8)((20 + options) << 2);
    bytes[13] = seg.flags;
    wire_put16(bytes + 14, seg.window);
    wire_put16(bytes + 18, seg.urgent);
    for (u32 i = 0; i < seg.len; i++)
        bytes[20 + options + i] = (u8)('a' + (seg.seq + i) % 26);
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return NULL;
    if (!pkt_append(pkt, bytes, 20 + options + seg.len)) {
        pkt_free(pkt);
        return NULL;
    }
    pkt->csum = CSUM_GOOD;
    return pkt;
}

void peer_send(struct seg seg)
{
    struct ip_addr us = world_addr(ADDR_INET, 1), peer = world_addr(ADDR_INET, 2);
    struct pkt *pkt = peer_packet(seg);

    if (pkt)
        world_deliver(pkt, &peer, &us, seg.ecn);
}

struct seg peer_take(void)
{
    struct seg first = {0};

    if (!peer_nr_out)
        return first;
    first = peer_out[0];
    memmove(peer_out, peer_out + 1, --peer_nr_out * sizeof(*peer_out));
    return first;
}

void peer_wait(u64 ms)
{
    tcp_world_run_to(world_ns + ms * NSEC_PER_MSEC);
}

struct socket *peer_listener(int backlog)
{
    struct ip_addr us = world_addr(ADDR_INET, 1);
    struct sock_addr addr = world_sockaddr(&us, OUR_PORT);
    struct socket *sock = world_socket(AF_INET);

    if (peer_recv_buffer)
        socket_setopt(sock, SOL_SOCKET, SO_RCVBUF, &peer_recv_buffer, sizeof(int));
    if (sock->ops->bind(sock, &addr))
        abort();
    while (sock->ops->listen(sock, backlog)) /* a fault that is played is met once */
        ;
    return sock;
}

struct link_up peer_connects(const struct tcp_options *options, u16 window)
{
    struct link_up l = {.listener = peer_listener(5), .theirs = PEER_ISS + 1};

    peer_send(
        (struct seg){.flags = TCP_SYN, .seq = PEER_ISS, .window = window, .options = *options});
    struct seg synack = peer_take();
    l.ours = synack.seq + 1;
    struct seg ack = {.flags = TCP_ACK, .seq = l.theirs, .ack = l.ours, .window = window};
    ack.options.saw_ts = options->saw_ts;
    ack.options.tsval = options->tsval;
    ack.options.tsecr = synack.options.tsval;
    peer_send(ack);
    l.sock = world_accept(l.listener);
    if (!l.sock)
        abort();
    l.c = l.sock->data;
    peer_forget();
    return l;
}

struct seg plain(const struct link_up *l, u8 flags, u32 len)
{
    return (struct seg){
        .flags = flags, .seq = l->theirs, .ack = l->ours, .window = 60000, .len = len};
}

void finish(struct link_up *l)
{
    if (l->sock)
        world_close(l->sock);
    world_close(l->listener);
    peer_send((struct seg){.flags = TCP_RST, .seq = l->c ? l->theirs : 0});
    peer_wait(3600 * 1000);
    EXPECT_EQ(shards[0]->nr_conns, 0, "nothing is left");
    EXPECT_EQ(shards[0]->memory, 0, "nothing is charged");
}
