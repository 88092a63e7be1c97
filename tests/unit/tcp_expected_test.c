/* The quick way through TCP: what it takes and what it leaves to the long way, untouched; and that
 * both ways do the same. */
#include "unit/tcp_peer.h"

#include "lib/string.h"

/* The next segment in order of a modern peer. */
static struct seg next(const struct link_up *l, u32 len)
{
    struct seg s = plain(l, TCP_ACK | TCP_PSH, len);

    s.options = (struct tcp_options){.saw_ts = true, .tsval = l->c->ts_recent + 1, .tsecr = 1};
    return s;
}

static struct ip_info from_peer(void)
{
    return (struct ip_info){.src = world_addr(ADDR_INET, 2),
                            .dst = world_addr(ADDR_INET, 1),
                            .protocol = IPPROTO_TCP,
                            .netif = &world_netif};
}

/* Offer @pkt to the quick way; freed if it does not want it. */
static bool takes_packet(struct pkt *pkt)
{
    struct ip_info info = from_peer();
    struct flow flow = {0};

    flow_set(flow.local, &info.dst);
    flow_set(flow.remote, &info.src);
    bool taken = tcp_input_expected(pkt, 0, &flow, NULL);
    if (!taken)
        pkt_free(pkt);
    return taken;
}

static bool takes(struct seg seg)
{
    return takes_packet(peer_packet(seg));
}

/* Refused, and neither the connection nor its shard has changed. */
static bool leaves(struct link_up *l, struct seg seg)
{
    struct tcp_conn before = *l->c;
    struct tcp_stats stats = l->c->shard->stats;

    return !takes(seg) && !memcmp(&before, l->c, sizeof(before)) &&
           !memcmp(&stats, &l->c->shard->stats, sizeof(stats)) && !peer_nr_out;
}

TEST(the_next_data_is_taken)
{
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    char buf[64];

    EXPECT_TRUE(takes(next(&l, 10)), "data");
    l.theirs += 10;
    EXPECT_EQ(l.sock->ops->ready(l.sock) & POLLIN, POLLIN, "the program is told");
    EXPECT_EQ(world_recv(l.sock, buf, sizeof(buf), 0), 10, "and reads it");
    EXPECT_EQ(world_send(l.sock, "answer", 6, 0), 6, "an answer");
    IS(peer_take(), TCP_PSH | TCP_ACK, l.ours, l.theirs, "goes out at once");
    l.ours += 6;
    EXPECT_TRUE(takes(next(&l, 10)), "data that acknowledges the answer");
    l.theirs += 10;
    EXPECT_EQ(l.c->sent.count, 0, "nothing is under way");
    EXPECT_EQ(l.c->sendq.bytes, 0, "or kept");
    EXPECT_TRUE(takes(next(&l, 0)), "an ACK of nothing new");
    finish(&l);
}

TEST(what_is_not_expected_is_left_untouched)
{
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    struct seg s = next(&l, 10);

    s.seq += 5;
    EXPECT_TRUE(leaves(&l, s), "ahead of order");
    s = next(&l, 10);
    s.seq -= 5;
    EXPECT_TRUE(leaves(&l, s), "partly known");
    s = next(&l, 10);
    s.flags |= TCP_FIN;
    EXPECT_TRUE(leaves(&l, s), "a FIN with data");
    s = next(&l, 10);
    s.flags |= TCP_URG;
    s.urgent = 3;
    EXPECT_TRUE(leaves(&l, s), "urgent data");
    s = next(&l, 0);
    s.flags = TCP_RST | TCP_ACK;
    EXPECT_TRUE(leaves(&l, s), "a reset");
    s = next(&l, 10);
    s.options.tsval = l.c->ts_recent - 1;
    EXPECT_TRUE(leaves(&l, s), "an old timestamp: RFC 7323 5.3");
    s = next(&l, 10);
    s.options.saw_ts = false;
    EXPECT_TRUE(leaves(&l, s), "no timestamp");
    s = next(&l, 10);
    s.ack = l.ours + 1;
    EXPECT_TRUE(leaves(&l, s), "an ACK of what was never sent");
    s.ack = l.ours - 1;
    EXPECT_TRUE(leaves(&l, s), "an old ACK");
    finish(&l);
}

TEST(a_checksum_must_be_known_to_be_good)
{
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    struct pkt *pkt = peer_packet(next(&l, 10));

    pkt->csum = CSUM_NONE;
    EXPECT_FALSE(takes_packet(pkt), "nobody has looked");
    finish(&l);
}

TEST(holes_and_full_windows_go_the_long_way)
{
    peer_recv_buffer = 2048;
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    struct seg s = next(&l, 10);

    u32 window = l.c->rcv_adv - l.c->rcv_nxt;
    EXPECT_TRUE(leaves(&l, next(&l, window + 1)), "more than the window");
    s.seq += 100;
    peer_send(s); /* behind a hole */
    peer_forget();
    EXPECT_TRUE(leaves(&l, next(&l, 10)), "while something waits behind a hole");
    peer_send(next(&l, 100));
    l.theirs += 110;
    peer_forget();
    EXPECT_TRUE(takes(next(&l, 10)), "once it is filled");
    l.theirs += 10;
    finish(&l);
}

TEST(what_recovery_looks_after_goes_the_long_way)
{
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);

    world_send(l.sock, "one", 3, 0);
    EXPECT_EQ(peer_take().len, 3, "under way");
    EXPECT_TRUE(leaves(&l, next(&l, 10)), "data that acknowledges none of it");
    peer_wait(TCP_RTO_INITIAL + TCP_SLACK);
    EXPECT_EQ(peer_take().len, 3, "again");
    peer_forget();
    l.ours += 3;
    EXPECT_TRUE(leaves(&l, next(&l, 10)), "the ACK of what was sent twice");
    peer_send(next(&l, 0));
    EXPECT_TRUE(takes(next(&l, 10)), "when it is over");
    l.theirs += 10;
    finish(&l);
}

/* ---- the two ways compared ---- */

/* Connections from two ports of the peer's, the second of which has only the long way. */
struct pair {
    struct link_up way[2];
    u16 port[2];
};

static void give(struct pair *pair, u32 i, struct seg seg)
{
    struct ip_info info = from_peer();
    struct link_up *l = &pair->way[i];

    info.refused = i == 1;
    seg.src_port = pair->port[i];
    seg.seq += l->theirs;
    seg.ack += l->ours;
    struct pkt *pkt = peer_packet(seg);
    if (!pkt)
        abort();
    tcp_input(pkt, &info);
}

/* A step of the peer's: seq and ack from what comes next, rarely what is expected. */
static struct seg random_segment(u32 *tsval)
{
    struct seg s = {.flags = TCP_ACK | (world_chance(500) ? TCP_PSH : 0), .window = 600};

    *tsval += (u32)world_below(3);
    s.options = (struct tcp_options){.saw_ts = true, .tsval = *tsval, .tsecr = 1};
    s.len = world_chance(300) ? 0 : (u32)world_below(1400);
    if (world_chance(100))
        s.seq += (u32)world_below(3000) - 1500;
    if (world_chance(100))
        s.ack -= (u32)world_below(500);
    if (world_chance(50))
        s.options.tsval -= 10;
    if (world_chance(30))
        s.flags |= TCP_URG, s.urgent = (u16)world_below(50);
    if (world_chance(50))
        s.window = (u16)world_below(4);
    return s;
}

static void same_numbers(struct pair *pair)
{
    struct tcp_conn *a = pair->way[0].c, *b = pair->way[1].c;

    EXPECT_EQ(a->state, b->state, "state");
    EXPECT_EQ(a->rcv_nxt - a->irs, b->rcv_nxt - b->irs, "rcv_nxt");
    EXPECT_EQ(a->rcv_adv - a->irs, b->rcv_adv - b->irs, "rcv_adv");
    EXPECT_EQ(a->snd_una - a->iss, b->snd_una - b->iss, "snd_una");
    EXPECT_EQ(a->snd_nxt - a->iss, b->snd_nxt - b->iss, "snd_nxt");
    EXPECT_EQ(a->snd_wnd, b->snd_wnd, "snd_wnd");
    EXPECT_EQ(a->max_window, b->max_window, "max_window");
    EXPECT_EQ(a->ts_recent, b->ts_recent, "ts_recent");
    EXPECT_EQ(a->srtt_us8, b->srtt_us8, "srtt");
    EXPECT_EQ(a->rto_ms, b->rto_ms, "rto");
    EXPECT_EQ(a->cwnd, b->cwnd, "cwnd");
    EXPECT_EQ(a->rcv_mss, b->rcv_mss, "rcv_mss");
    EXPECT_EQ(a->timers, b->timers, "timers");
    EXPECT_EQ(a->quick_acks, b->quick_acks, "quick_acks");
    EXPECT_EQ(a->interactive, b->interactive, "interactive");
    EXPECT_EQ(a->recvq.charged, b->recvq.charged, "memory");
    EXPECT_EQ(a->bytes_acked, b->bytes_acked, "bytes acked");
    EXPECT_EQ(a->bytes_received, b->bytes_received, "bytes received");
    EXPECT_EQ(a->segs_in, b->segs_in, "segments in");
    EXPECT_EQ(a->segs_out, b->segs_out, "segments out");
    EXPECT_EQ(a->data_segs_in, b->data_segs_in, "data in");
}

/* What was sent to each, since the last look, says the same. */
static void same_words(struct pair *pair)
{
    struct seg said[2][OUT_MAX];
    u32 n[2] = {0, 0};

    while (peer_nr_out) {
        struct seg seg = peer_take();
        u32 i = seg.dst_port == pair->port[1];
        seg.seq -= pair->way[i].c->iss;
        seg.ack -= pair->way[i].c->irs;
        said[i][n[i]++] = seg;
    }
    EXPECT_EQ(n[0], n[1], "as many segments");
    for (u32 i = 0; i < min(n[0], n[1]); i++) {
        EXPECT_EQ(said[0][i].flags, said[1][i].flags, "flags");
        EXPECT_EQ(said[0][i].seq, said[1][i].seq, "seq");
        EXPECT_EQ(said[0][i].ack, said[1][i].ack, "ack");
        EXPECT_EQ(said[0][i].len, said[1][i].len, "length");
        EXPECT_EQ(said[0][i].window, said[1][i].window, "window");
        EXPECT_EQ(said[0][i].options.nr_sack, said[1][i].options.nr_sack, "SACK blocks");
    }
}

/* The same of the programs, in writes that one piece holds; numbers go on with what they sent. */
static void programs_step(struct pair *pair)
{
    static char buf[4096];
    u32 want = (u32)world_below(sizeof(buf)), len = (u32)world_below(256) + 1;
    bool reads = world_chance(700), sends = world_chance(400);
    ssize_t got[2];

    for (u32 i = 0; i < 2; i++) {
        got[i] = reads ? world_recv(pair->way[i].sock, buf, want, MSG_DONTWAIT) : 0;
        if (sends)
            world_send(pair->way[i].sock, buf, len, MSG_DONTWAIT);
    }
    EXPECT_EQ(got[0], got[1], "bytes read");
}

TEST(both_ways_do_the_same)
{
    peer_start();
    struct pair pair = {.port = {4001, 4002}};
    u32 tsval = peer_modern.tsval;

    for (u32 i = 0; i < 2; i++) {
        peer_port = pair.port[i];
        pair.way[i] = peer_connects(&peer_modern, 600);
        world_close(pair.way[i].listener);
    }
    for (u32 step = 0; step < 20000 && pair.way[0].c->state == TCP_ESTABLISHED; step++) {
        struct seg seg = random_segment(&tsval);
        for (u32 i = 0; i < 2; i++) {
            pair.way[i].theirs = pair.way[i].c->rcv_nxt;
            pair.way[i].ours = pair.way[i].c->snd_nxt;
            give(&pair, i, seg);
        }
        programs_step(&pair);
        if (world_chance(300))
            peer_wait(world_below(60));
        same_words(&pair);
        same_numbers(&pair);
    }
    EXPECT_EQ(pair.way[0].c->state, TCP_ESTABLISHED, "to the end");
    for (u32 i = 0; i < 2; i++)
        world_close(pair.way[i].sock);
}
