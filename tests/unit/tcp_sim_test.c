/* Two hosts in one process over a link that a seed decides: streams must arrive byte for byte, both
 * ends must close, and nothing may be left.  Each seed runs in a process of its own, so that it
 * repeats exactly:
 *
 *     TCP_SEED=17 build/tests/unit/tcp_sim_test --here any_seed
 *     TCP_SEEDS=100000 ...                      as many from 1 on */
#include "unit/test.h"

#include "core/time.h"
#include "fake/tcp_world.h"
#include "net/tcp_priv.h"
#include "sim/link.h"
#include "sim/seeds.h"

enum { SECONDS_A_SEED = 30, HOURS = 4, PAIRS = 4, SERVER_PORT = 80 };

/* One end of a connection and its program. */
struct side {
    struct socket *sock;
    u64 stream;        /* seed of the bytes it sends */
    u64 to_send, sent; /* bytes */
    u64 to_receive, received;
    u32 write_max, read_max; /* bytes at once */
    u32 laziness;            /* of a thousand times it does not read */
    u64 think_ns, next_ns, idle_ns;
    bool shut, eof, closed, abrupt;
    u16 port; /* of a client */
    struct side *peer;
};

static struct side sides[PAIRS][2];
static u32 nr_pairs;
static struct socket *listener;
static u16 family;
static u64 seed;

static void give_up(const char *why)
{
    fprintf(stderr, "seed %llu at %llu ms: %s\n", (unsigned long long)seed,
            (unsigned long long)(world_ns / NSEC_PER_MSEC), why);
    for (u32 i = 0; i < nr_pairs; i++)
        for (u32 k = 0; k < 2; k++) {
            struct side *s = &sides[i][k];
            struct tcp_conn *c = s->sock && !s->closed ? s->sock->data : NULL;
            fprintf(stderr, "  pair %u end %u: sent %llu/%llu received %llu/%llu%s%s%s", i, k,
                    (unsigned long long)s->sent, (unsigned long long)s->to_send,
                    (unsigned long long)s->received, (unsigned long long)s->to_receive,
                    s->shut ? " shut" : "", s->eof ? " eof" : "", s->closed ? " closed" : "");
            if (c)
                fprintf(stderr,
                        " charged %u rcvbuf %u state %u una %u nxt %u write %u wnd %u cwnd %u ca "
                        "%u sacked %u lost %u "
                        "records %u timers %x kind %u retries %u err %d mss %u rcv_nxt %u adv %u "
                        "copied %u ooo %u",
                        c->recvq.charged, c->rcvbuf, c->state, c->snd_una - c->iss,
                        c->snd_nxt - c->iss, c->write_seq - c->iss, c->snd_wnd, c->cwnd, c->ca,
                        c->sent.sacked, c->sent.lost, c->sent.count, c->timers, c->rtx_kind,
                        c->retries, s->sock->error, c->mss, c->rcv_nxt - c->irs,
                        c->rcv_adv - c->irs, c->copied - c->irs, c->recvq.nr_ooo);
            fputc('\n', stderr);
        }
    seed_fail();
}

static void must(bool condition, const char *why)
{
    if (!condition)
        give_up(why);
}

static u8 byte_of(u64 stream, u64 at)
{
    u64 x = (stream ^ at / 8) * 0x9e3779b97f4a7c15ull;

    x ^= x >> 29;
    return (u8)(x >> (at % 8 * 8));
}

/* ---- what must hold at any time ---- */

static void check_sent(const struct tcp_conn *c)
{
    u32 at = c->snd_una, sacked = 0, lost = 0;

    for (u32 i = 0; i < c->sent.count; i++) {
        const struct sent *sent = sent_at(&c->sent, i);
        must(sent->seq == at && seq_before(sent->seq, sent->end), "a gap in the scoreboard");
        must((sent->flags & (SENT_SACKED | SENT_LOST)) != (SENT_SACKED | SENT_LOST),
             "lost, and SACKed");
        sacked += sent->flags & SENT_SACKED ? sent->end - sent->seq : 0;
        lost += sent->flags & SENT_LOST ? sent->end - sent->seq : 0;
        at = sent->end;
    }
    must(at == c->snd_nxt, "the scoreboard ends elsewhere");
    must(sacked == c->sent.sacked && lost == c->sent.lost, "the scoreboard's sums");
    must(c->sendq.bytes == c->write_seq - (c->snd_una - (c->fin_sent && c->snd_una == c->snd_nxt)),
         "bytes in the send queue");
}

static void check_received(const struct tcp_conn *c)
{
    u32 at = 0, charged = 0;
    bool first = true;
    struct pkt *pkt;

    list_for_each(pkt, &c->recvq.pkts, node) {
        must(first || pkt->seq == at, "a gap in the receive queue");
        must(pkt->total == pkt->end_seq - pkt->seq, "a packet's length");
        at = pkt->end_seq;
        first = false;
        charged += (u32)(uintptr_t)pkt->owner;
    }
    must(first || at == c->rcv_nxt - c->fin_rcvd, "the receive queue's end");
    for (u32 i = 0; i < c->recvq.nr_ooo; i++) {
        const struct ooo_range *range = &c->recvq.ooo[i];
        must(seq_after(range->start, i ? range[-1].end : c->rcv_nxt), "ranges touch");
        at = range->start;
        list_for_each(pkt, &range->pkts, node) {
            must(pkt->seq == at, "a gap in a range");
            at = pkt->end_seq;
            charged += (u32)(uintptr_t)pkt->owner;
        }
        must(at == range->end && !list_empty(&range->pkts), "a range's end");
    }
    must(charged == c->recvq.charged, "what the packets are charged");
    must(!seq_after(c->rcv_nxt, c->rcv_adv + 1), "more received than was allowed");
    must(c->recvq.charged <= 5 * c->rcvbuf + (1 << 17), "too much memory for one connection");
}

static bool waits_for_something(const struct tcp_conn *c)
{
    return c->sent.count || (tcp_unsent(c) && !c->cork) || c->state == TCP_SYN_SENT ||
           c->state == TCP_SYN_RECV;
}

static void check_conns(void)
{
    struct shard *shard = shards[0];

    for (u32 i = 0; i <= shard->conn_mask; i++)
        for (struct tcp_conn *c = shard->conns[i]; c; c = c->hash_next) {
            if (tcp_synchronized(c->state))
                check_sent(c);
            check_received(c);
            bool owes = !list_empty(&c->ack_node);
            must(!owes ||
                     (tcp_timer_is_set(c, TIMER_DELACK) && wheel_timer_is_set(&shard->ack_timer)),
                 "an ACK that will not be sent");
            must(!(c->timers & ~(owes ? 1u << TIMER_DELACK : 0)) || wheel_timer_is_set(&c->timer),
                 "a timer that will not fire");
            must(!waits_for_something(c) || tcp_timer_is_set(c, TIMER_RTX) ||
                     tcp_timer_is_set(c, TIMER_CORK),
                 "nobody will retry");
        }
}

/* ---- programs ---- */

static void write_some(struct side *s)
{
    static u8 buf[1 << 18];
    size_t n = 1 + world_below(s->write_max);

    n = min(n, (size_t)(s->to_send - s->sent));
    for (size_t i = 0; i < n; i++)
        buf[i] = byte_of(s->stream, s->sent + i);
    bool writable = s->sock->ops->ready(s->sock) & POLLOUT;
    ssize_t done = world_send(s->sock, buf, n, world_chance(100) ? MSG_MORE : 0);
    if (done == -EAGAIN) {
        must(!writable, "POLLOUT, but no room");
        return;
    }
    if (done == -ENOMEM && world_scarcity)
        return;
    if (done <= 0)
        fprintf(stderr, "send: %zd\n", done);
    must(done > 0, "send fails");
    s->sent += (u64)done;
    s->idle_ns = 0;
}

static void read_some(struct side *s)
{
    static u8 buf[1 << 18], peeked[64];
    size_t n = 1 + world_below(s->read_max);

    bool readable = s->sock->ops->ready(s->sock) & POLLIN;
    ssize_t ahead = world_chance(50) ? world_recv(s->sock, peeked, sizeof(peeked), MSG_PEEK) : 0;
    ssize_t done = world_recv(s->sock, buf, n, 0);
    if (done == -EAGAIN) {
        must(!readable, "POLLIN, but nothing to read");
        return;
    }
    if (done < 0)
        fprintf(stderr, "recv: %zd\n", done);
    must(readable && done >= 0, "recv fails");
    must(ahead <= 0 || !memcmp(peeked, buf, (size_t)min(ahead, done)), "peeked other bytes");
    for (ssize_t i = 0; i < done; i++)
        must(buf[i] == byte_of(s->peer->stream, s->received + (u64)i), "a wrong byte");
    s->received += (u64)done;
    must(s->received <= s->to_receive, "more than was sent");
    s->eof = done == 0;
    must(!s->eof || s->received == s->to_receive, "the end came too early");
    s->idle_ns = 0;
}

static void toggle_options(struct side *s)
{
    int on = world_chance(500);

    s->sock->ops->setopt(s->sock, IPPROTO_TCP, world_chance(500) ? 1 : 3, &on, sizeof(on));
}

static bool is_connected(const struct side *s)
{
    const struct tcp_conn *c = s->sock->data;

    if (s->sock->error)
        give_up("connecting fails");
    return c->state != TCP_SYN_SENT && c->state != TCP_SYN_RECV;
}

static void finish(struct side *s)
{
    int off = 0;

    if (s->sent == s->to_send && !s->shut && !(s->abrupt && s->received < s->to_receive)) {
        s->sock->ops->setopt(s->sock, IPPROTO_TCP, 3, &off, sizeof(off));
        must(!s->sock->ops->shutdown(s->sock, SHUT_WR), "shutdown fails");
        s->shut = true;
        s->idle_ns = 0;
    }
    if (s->shut && (s->eof || (s->abrupt && s->received == s->to_receive))) {
        world_close(s->sock);
        s->closed = true;
    }
}

static void act(struct side *s)
{
    s->idle_ns = min(s->idle_ns * 2 + s->think_ns, 200 * NSEC_PER_MSEC);
    if (is_connected(s)) {
        if (s->sent < s->to_send)
            write_some(s);
        if (!s->eof && !world_chance(s->laziness))
            read_some(s);
        if (world_chance(20) && s->sent < s->to_send)
            toggle_options(s);
        finish(s);
    }
    s->next_ns = world_ns + 1 + s->idle_ns / 2 + world_below(s->idle_ns + 1);
}

static struct side *next_side(void)
{
    struct side *next = NULL;

    for (u32 i = 0; i < nr_pairs; i++)
        for (u32 k = 0; k < 2; k++) {
            struct side *s = &sides[i][k];
            if (s->sock && !s->closed && (!next || s->next_ns < next->next_ns))
                next = s;
        }
    return next;
}

/* The first pair whose client has that port gets the accepted socket. */
static void accept_all(void)
{
    struct socket *sock;

    while ((sock = world_accept(listener))) {
        const struct tcp_conn *c = sock->data;
        for (u32 i = 0; i < nr_pairs; i++) {
            if (sides[i][0].port == c->flow.remote_port)
                sides[i][1].sock = sock;
        }
    }
}

static bool all_closed(void)
{
    for (u32 i = 0; i < nr_pairs; i++)
        for (u32 k = 0; k < 2; k++)
            if (!sides[i][k].closed)
                return false;
    return true;
}

/* ---- somebody who guesses ---- */

static u32 intrusions; /* of a thousand steps */

/* A segment of one of the flows with numbers out of the air: no data, since what happens to lie in
 * the window would be believed. */
static void intrude(void)
{
    static const u8 flags[] = {TCP_RST, TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK,
                               TCP_FIN, TCP_URG, TCP_RST | TCP_ACK, 0xff};
    struct side *pair = sides[world_below(nr_pairs)], *client = &pair[0];
    bool up = world_chance(500);
    struct ip_addr a = world_addr(family, 1), b = world_addr(family, 2);
    u8 bytes[40] = {0};

    if (!pair[1].sock) /* who calls would believe any SYN: both may call at once */
        return;
    wire_put16(bytes, up ? client->port : SERVER_PORT);
    wire_put16(bytes + 2, up ? SERVER_PORT : client->port);
    for (u32 i = 4; i < sizeof(bytes); i++)
        bytes[i] = (u8)world_random();
    bytes[12] = (u8)((5 + world_below(6)) << 4);
    bytes[13] = flags[world_below(ARRAY_LEN(flags))];
    struct pkt *pkt = pkt_alloc();
    if (!pkt || !pkt_append(pkt, bytes, (u32)(bytes[12] >> 4) * 4))
        give_up("no memory to intrude");
    pkt->csum = CSUM_GOOD;
    world_deliver(pkt, up ? &a : &b, up ? &b : &a, (u8)world_below(4));
}

/* ---- the world of a seed ---- */

static u64 below_square(u64 limit)
{
    return world_below(world_below(limit) + 1); /* small ones more often */
}

static void choose_link(struct link *link, u32 trouble)
{
    *link = (struct link){
        .loss = trouble > 1 ? (u32)below_square(120)
                : trouble   ? (u32)below_square(30)
                            : 0,
        .duplicate = trouble ? (u32)below_square(100) : 0,
        .reorder = trouble ? (u32)below_square(600) : 0,
        .corrupt = trouble ? (u32)below_square(30) : 0,
        .mark = world_chance(300) ? (u32)below_square(200) : 0,
        .delay_ns = below_square(150 * NSEC_PER_MSEC),
        .jitter_ns = below_square(60 * NSEC_PER_MSEC),
        .ns_per_byte = world_chance(500) ? 1 + below_square(2000) : 0,
        .queue_bytes = 10000 + (u32)world_below(200000),
    };
    link->verified = !link->corrupt && world_chance(500);
}

static void choose_network(void)
{
    static const u32 mtus[] = {1500, 1500, 1280, 9000, 65535, 576, 296, 1499};

    family = world_chance(300) ? ADDR_INET6 : ADDR_INET;
    world_netif.mtu = mtus[world_below(ARRAY_LEN(mtus))];
    if (family == ADDR_INET6)
        world_netif.mtu = max(world_netif.mtu, 1280u);
    if (world_chance(600))
        world_netif.flags |= NETIF_CSUM | NETIF_TSO4 | NETIF_TSO6;
    u32 trouble = (u32)world_below(3);
    choose_link(&links[0], trouble);
    choose_link(&links[1], trouble);
    if (world_chance(200) && world_netif.mtu >= 1400) {
        u32 mtu = 1280 + (u32)world_below(world_netif.mtu - 1280);
        links[0].mtu = links[1].mtu = mtu;
        links[0].black_hole = links[1].black_hole = world_chance(300);
    }
}

static void small_buffers(struct socket *sock)
{
    int v = 4000 + (int)world_below(30000);

    if (world_chance(200))
        socket_setopt(sock, SOL_SOCKET, SO_RCVBUF, &v, sizeof(v));
    if (world_chance(200))
        socket_setopt(sock, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v));
}

static void choose_side(struct side *s, struct side *peer)
{
    bool bulk = world_chance(300);

    s->peer = peer;
    s->stream = world_random();
    s->to_send = world_chance(100) ? 0 : bulk ? below_square(2000000) : below_square(60000);
    peer->to_receive = s->to_send;
    s->write_max = world_chance(300) ? 100 : bulk ? 200000 : 5000;
    s->read_max = world_chance(300) ? 300 : 200000;
    s->laziness = world_chance(300) ? 900 : (u32)below_square(500);
    s->think_ns = 1 + below_square(5 * NSEC_PER_MSEC);
    s->abrupt = world_chance(200);
    if (s->write_max < 1000)
        s->to_send = peer->to_receive = min(s->to_send, (u64)30000);
    s->next_ns = world_ns + below_square(100 * NSEC_PER_MSEC);
}

static void open_pair(struct side *client, struct side *server)
{
    struct ip_addr to = world_addr(family, 2);
    struct sock_addr addr = world_sockaddr(&to, SERVER_PORT);

    choose_side(client, server);
    choose_side(server, client);
    if (server->read_max < 1000)
        client->to_send = server->to_receive = min(client->to_send, (u64)20000);
    if (client->read_max < 1000)
        server->to_send = client->to_receive = min(server->to_send, (u64)20000);
    client->abrupt &= server->read_max > 1000; /* a slow reader is still at it in two minutes */
    server->abrupt &= client->read_max > 1000;
    client->sock = world_socket(family == ADDR_INET ? AF_INET : AF_INET6);
    small_buffers(client->sock);
    must(client->sock->ops->connect(client->sock, &addr) == -EINPROGRESS, "connect fails");
    client->port = ((struct tcp_conn *)client->sock->data)->flow.local_port;
}

static void open_listener(void)
{
    struct sock_addr any = {.len = 28, .family = AF_INET6};

    any.bytes[3] = SERVER_PORT;
    listener = world_socket(AF_INET6);
    small_buffers(listener);
    must(!listener->ops->bind(listener, &any), "bind fails");
    must(!listener->ops->listen(listener, (int)world_below(3)), "listen fails");
}

static void run(void)
{
    u64 end_ns = world_ns + HOURS * 3600 * NSEC_PER_SEC;

    while (!all_closed()) {
        struct side *s = next_side();
        u64 next = min(link_next_ns(), tcp_world_next_ns());
        next = s ? min(next, s->next_ns) : next;
        must(next != TIME_NEVER, "nothing will ever happen again");
        must(next < end_ns, "it takes for ever");
        tcp_world_run_to(next);
        link_run_to(next);
        if (world_chance(intrusions))
            intrude();
        check_conns();
        accept_all();
        if (s && !s->closed && s->next_ns <= next)
            act(s);
        check_conns();
    }
}

/* Everything has come to rest: what is left? */
static void check_end(void)
{
    struct shard *shard = shards[0];
    u64 end_ns = world_ns + HOURS * 3600 * NSEC_PER_SEC;

    world_close(listener);
    while (min(link_next_ns(), tcp_world_next_ns()) != TIME_NEVER) {
        u64 next = min(link_next_ns(), tcp_world_next_ns());
        must(next < end_ns, "it does not come to rest");
        tcp_world_run_to(next);
        link_run_to(next);
        check_conns();
    }
    must(!shard->nr_conns, "a connection is left");
    must(!shard->nr_requests, "a request is left");
    must(!shard->tw.count, "a TIME-WAIT record is left");
    must(!shard->memory, "memory is still charged");
    must(!shard->stats.established, "the count of connections");
    must(!shard->wheel.count, "a timer is left");
    must(world_pages <= 8 + 4, "pages are left");
}

static void run_seed(u64 which)
{
    seed = which;
    tcp_world_start(seed);
    link_start();
    choose_network();
    open_listener();
    nr_pairs = 1 + (u32)world_below(PAIRS);
    for (u32 i = 0; i < nr_pairs; i++)
        open_pair(&sides[i][0], &sides[i][1]);
    if (world_chance(200))
        intrusions = 1 + (u32)world_below(200);
    if (world_chance(150))
        world_scarcity = 1 + (u32)below_square(200);
    if (world_chance(100))
        link_down_until_ns = world_ns + world_below(20 * NSEC_PER_SEC);
    run();
    intrusions = 0;
    check_end();
}

TEST(any_seed)
{
    const char *one = getenv("TCP_SEED"), *many = getenv("TCP_SEEDS");
    u64 n = many ? strtoull(many, NULL, 0) : 200;

    if (one) {
        run_seed(strtoull(one, NULL, 0));
        return;
    }
    for (u64 i = 1; i <= n; i++)
        EXPECT_TRUE(seed_passes(i, run_seed, SECONDS_A_SEED),
                    "the streams arrive whole and nothing is left");
}
