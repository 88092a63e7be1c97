/* What TCP must do while data flows, by the documents that say so, and its tables; one peer made by
 * hand.  States are tcp_test.c's, streams over bad links tcp_sim_test.c's. */
#include "net/tcp_cookie.h"
#include "unit/tcp_peer.h"

#include "lib/siphash.h"

/* ---- RFC 9293 3.10.7.1: no connection ---- */

TEST(acks_wait_for_company_but_not_long)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    u32 full = 1460;
    int off = 0;

    l.sock->ops->setopt(l.sock, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
    peer_send(plain(&l, TCP_ACK, full));
    NOTHING("one segment");
    l.theirs += full;
    peer_send(plain(&l, TCP_ACK, full));
    IS(peer_take(), TCP_ACK, l.ours, l.theirs + full, "every second: RFC 9293 3.8.6.3");
    l.theirs += full;
    peer_send(plain(&l, TCP_ACK, 10));
    NOTHING("a small one");
    peer_wait(TCP_DELACK + TCP_SLACK);
    IS(peer_take(), TCP_ACK, l.ours, l.theirs + 10, "well within 500 ms");
    l.theirs += 10;
    peer_send(plain(&l, TCP_ACK, 10));
    EXPECT_EQ(world_send(l.sock, "answer", 6, 0), 6, "an answer");
    IS(peer_take(), TCP_PSH | TCP_ACK, l.ours, l.theirs + 10, "carries the ACK");
    peer_wait(TCP_DELACK + 1);
    NOTHING("which is not sent again");
    l.theirs += 10;
    finish(&l);
}

TEST(the_first_request_is_acknowledged_soon)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);

    peer_send(plain(&l, TCP_ACK, 10));
    peer_wait(2);
    IS(peer_take(), TCP_ACK, l.ours, l.theirs + 10, "quick");
    l.theirs += 10;
    finish(&l);
}

TEST(holes_are_reported_at_once_most_recent_first)
{
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    static const u32 at[] = {100, 300, 500, 200};
    struct seg s = plain(&l, TCP_ACK, 50), ack;

    s.options = (struct tcp_options){.saw_ts = true, .tsval = peer_modern.tsval};
    for (u32 i = 0; i < ARRAY_LEN(at); i++) {
        s.seq = l.theirs + at[i];
        peer_send(s);
        ack = peer_take();
        EXPECT_EQ(ack.ack, l.theirs, "a duplicate: RFC 5681 4.2");
        EXPECT_EQ(ack.options.nr_sack, min(i + 1, 3u), "SACK, RFC 2018");
        EXPECT_EQ(ack.options.sack[0].start, l.theirs + at[i], "what came last, first");
        EXPECT_EQ(ack.options.sack[0].end, l.theirs + at[i] + 50, "its end");
    }
    peer_send(s);
    ack = peer_take();
    EXPECT_EQ(ack.options.sack[0].start, l.theirs + 200, "a duplicate of it: RFC 2883");
    EXPECT_EQ(ack.options.sack[0].end, l.theirs + 250, "D-SACK");
    EXPECT_EQ(ack.options.sack[1].start, l.theirs + 200, "and the block that holds it");
    s.seq = l.theirs;
    s.len = 100;
    peer_send(s);
    ack = peer_take();
    EXPECT_EQ(ack.ack, l.theirs + 150, "the hole is filled");
    s.seq = l.theirs + 10;
    s.len = 20;
    peer_send(s);
    ack = peer_take();
    EXPECT_EQ(ack.options.sack[0].start, l.theirs + 10, "D-SACK below the ACK");
    EXPECT_EQ(ack.options.sack[0].end, l.theirs + 30, "its end");
    l.theirs += 150;
    finish(&l);
}

/* ---- sending: 3.8.6, 3.7.4, RFC 6298 ---- */

static void set(struct link_up *l, int name, int value)
{
    EXPECT_EQ(l->sock->ops->setopt(l->sock, IPPROTO_TCP, name, &value, sizeof(value)), 0, "set");
}

TEST(nagle_holds_back_a_second_small_segment)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);

    world_send(l.sock, "one", 3, 0);
    IS(peer_take(), TCP_PSH | TCP_ACK, l.ours, l.theirs, "the first goes");
    world_send(l.sock, "two", 3, 0);
    NOTHING("the second waits");
    l.ours += 3;
    peer_send(plain(&l, TCP_ACK, 0));
    IS(peer_take(), TCP_PSH | TCP_ACK, l.ours, l.theirs, "for the ACK");
    set(&l, TCP_NODELAY, 1);
    world_send(l.sock, "three", 5, 0);
    EXPECT_EQ(peer_take().len, 5, "unless told otherwise");
    l.ours += 8;
    peer_send(plain(&l, TCP_ACK, 0));
    world_send(l.sock, "four", 4, MSG_MORE);
    NOTHING("MSG_MORE");
    world_send(l.sock, "five", 4, 0);
    EXPECT_EQ(peer_take().len, 8, "both at once");
    l.ours += 8;
    peer_send(plain(&l, TCP_ACK, 0));
    set(&l, TCP_CORK, 1);
    world_send(l.sock, "six", 3, 0);
    NOTHING("a cork");
    peer_wait(TCP_CORK_MS + 2);
    EXPECT_EQ(peer_take().len, 3, "holds for 200 ms");
    world_send(l.sock, "seven", 5, 0);
    set(&l, TCP_CORK, 0);
    EXPECT_EQ(peer_take().len, 5, "or until it is drawn");
    l.ours += 8;
    peer_send(plain(&l, TCP_ACK, 0));
    world_send(l.sock, "eight", 5, MSG_MORE);
    set(&l, TCP_CORK, 0);
    peer_wait(TCP_CORK_MS + 2);
    EXPECT_EQ(peer_take().len, 5, "what MSG_MORE holds goes though no cork was there to draw");
    l.ours += 5;
    finish(&l);
}

TEST(retransmission_backs_off_and_gives_up)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    u64 last = world_ns, gap = 0;
    u32 n = 0;

    world_send(l.sock, "lost", 4, 0);
    u32 seq = peer_take().seq;
    while (l.c->state == TCP_ESTABLISHED) {
        peer_wait(50);
        if (!peer_nr_out)
            continue;
        struct seg again = peer_take();
        if (again.flags & TCP_RST)
            break;
        EXPECT_EQ(again.seq, seq, "the same bytes");
        EXPECT_EQ(again.len, 4, "all of them");
        EXPECT_TRUE(world_ns - last + 100 * NSEC_PER_MSEC >= min(gap * 2, 120 * NSEC_PER_SEC),
                    "twice as late: RFC 6298 5.5");
        gap = world_ns - last;
        last = world_ns;
        n++;
    }
    EXPECT_EQ(n, TCP_RETRIES_MAX, "R2 of 3.8.3");
    EXPECT_EQ(l.sock->error, ETIMEDOUT, "the program learns it");
    finish(&l);
}

TEST(user_timeout_gives_up_sooner)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);

    set(&l, TCP_USER_TIMEOUT, 5000);
    world_send(l.sock, "lost", 4, 0);
    peer_wait(4 * 1000);
    EXPECT_EQ(l.c->state, TCP_ESTABLISHED, "not yet");
    peer_wait(8 * 1000);
    EXPECT_EQ(l.c->state, TCP_CLOSE, "RFC 5482");
    finish(&l);
}

TEST(three_duplicates_mean_a_loss)
{
    static u8 data[14600];

    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    world_send(l.sock, data, sizeof(data), 0);
    EXPECT_EQ(peer_nr_out, 10, "IW10: RFC 6928");
    peer_forget();
    for (u32 i = 0; i < 2; i++)
        peer_send(plain(&l, TCP_ACK, 0));
    NOTHING("two");
    peer_send(plain(&l, TCP_ACK, 0));
    struct seg s = peer_take();
    EXPECT_EQ(s.seq, l.ours, "fast retransmission: RFC 5681 3.2");
    EXPECT_EQ(s.len, 1460, "one segment");
    EXPECT_TRUE(l.c->ssthresh < 14600, "and less speed");
    l.ours += 14600;
    peer_send(plain(&l, TCP_ACK, 0));
    EXPECT_EQ(l.c->ca, CA_OPEN, "recovered");
    finish(&l);
}

TEST(the_tail_is_probed_for)
{
    static u8 data[4000];

    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    struct seg ack = plain(&l, TCP_ACK, 0);
    ack.options = (struct tcp_options){.saw_ts = true, .tsval = peer_modern.tsval};
    world_send(l.sock, data, sizeof(data), 0);
    peer_wait(5);
    ack.ack = l.ours + 1448;
    peer_send(ack);
    peer_forget();
    peer_wait(60);
    EXPECT_EQ(peer_nr_out, 1, "long before an RTO: RFC 8985 7");
    EXPECT_EQ(peer_take().seq, l.ours + 2896, "the last segment");
    ack.ack = l.ours + 4000;
    peer_send(ack);
    l.ours += 4000;
    finish(&l);
}

TEST(a_shut_window_is_probed)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 3);
    struct seg s = plain(&l, TCP_ACK, 0);

    world_send(l.sock, "abcdef", 6, 0);
    EXPECT_EQ(peer_take().len, 3, "as much as fits");
    l.ours += 3;
    s.ack = l.ours;
    s.window = 0;
    peer_send(s);
    NOTHING("shut");
    for (u32 i = 0; i < 4; i++) {
        peer_wait(TCP_RTO_INITIAL << i);
        EXPECT_TRUE(peer_nr_out >= 1, "a probe: 3.8.6.1");
        EXPECT_EQ(peer_take().seq, l.ours - 1, "below the window");
        peer_send(s);
        peer_forget();
    }
    EXPECT_EQ(l.c->state, TCP_ESTABLISHED, "as long as the peer answers");
    s.window = 100;
    peer_send(s);
    EXPECT_EQ(peer_take().len, 3, "open");
    l.ours += 3;
    finish(&l);
}

TEST(no_silly_windows_are_offered)
{
    static u8 buf[65536];

    peer_start();
    peer_recv_buffer = 8000;
    struct link_up l = peer_connects(&peer_plain, 60000);
    u32 window = 1;
    while (window) {
        peer_send(plain(&l, TCP_ACK, min(window, 1460u)));
        l.theirs = l.c->rcv_nxt;
        peer_wait(300);
        while (peer_nr_out)
            window = peer_take().window;
    }
    EXPECT_EQ(world_recv(l.sock, buf, 100, 0), 100, "a little room");
    NOTHING("is not told: 3.8.6.2.2");
    EXPECT_TRUE(world_recv(l.sock, buf, sizeof(buf), 0) > 1000, "much room");
    EXPECT_TRUE(peer_take().window >= 1460, "is");
    finish(&l);
}

/* ---- path MTU, ECN, keepalive, urgent data ---- */

TEST(a_smaller_path_is_believed_if_it_speaks_of_what_is_sent)
{
    struct ip_addr us = world_addr(ADDR_INET, 1), peer = world_addr(ADDR_INET, 2);
    static u8 data[2920];
    u8 quoted[8];

    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    world_send(l.sock, data, sizeof(data), 0);
    peer_forget();
    wire_put16(quoted, OUR_PORT);
    wire_put16(quoted + 2, PEER_PORT);
    wire_put32(quoted + 4, l.ours - 1);
    world_error(&us, &peer, EMSGSIZE, 600, quoted);
    EXPECT_EQ(l.c->mss, 1460, "about nothing under way: RFC 5927 4.1");
    wire_put32(quoted + 4, l.ours);
    world_error(&us, &peer, EMSGSIZE, 600, quoted);
    EXPECT_EQ(l.c->mss, 560, "smaller segments");
    EXPECT_EQ(peer_take().len, 560, "at once");
    world_error(&us, &peer, ECONNREFUSED, 0, quoted);
    EXPECT_EQ(l.c->state, TCP_ESTABLISHED, "no error ends a connection: RFC 1122 4.2.3.9");
    finish(&l);
}

TEST(congestion_marks_are_echoed_and_obeyed)
{
    peer_start();
    struct socket *listener = peer_listener(5);

    peer_send((struct seg){.flags = TCP_SYN | TCP_ECE | TCP_CWR,
                           .seq = PEER_ISS,
                           .window = 60000,
                           .options = peer_plain});
    struct seg s = peer_take();
    EXPECT_EQ(s.flags, TCP_SYN | TCP_ACK | TCP_ECE, "RFC 3168 6.1.1");
    struct link_up l = {.listener = listener, .theirs = PEER_ISS + 1, .ours = s.seq + 1};
    peer_send(plain(&l, TCP_ACK, 0));
    l.sock = world_accept(listener);
    l.c = l.sock->data;
    struct seg data = plain(&l, TCP_ACK, 10);
    data.ecn = 3;
    peer_send(data);
    EXPECT_TRUE(peer_take().flags & TCP_ECE, "told at once");
    l.theirs += 10;
    world_send(l.sock, "x", 1, 0);
    s = peer_take();
    EXPECT_TRUE(s.flags & TCP_ECE, "until they have heard");
    EXPECT_EQ(s.ecn, 2, "our data is capable");
    l.ours++;
    peer_send(plain(&l, TCP_ACK | TCP_CWR, 10));
    l.theirs += 10;
    u32 before = l.c->cwnd;
    world_send(l.sock, "y", 1, 0);
    EXPECT_FALSE(peer_take().flags & TCP_ECE, "they have");
    l.ours++;
    peer_send(plain(&l, TCP_ACK | TCP_ECE, 0));
    EXPECT_TRUE(l.c->cwnd < before, "we slow down");
    world_send(l.sock, "z", 1, 0);
    EXPECT_TRUE(peer_take().flags & TCP_CWR, "and say so");
    l.ours++;
    finish(&l);
}

TEST(keepalive_finds_a_dead_peer)
{
    int on = 1;

    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    socket_setopt(l.sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    set(&l, TCP_KEEPIDLE, 10);
    set(&l, TCP_KEEPINTVL, 2);
    set(&l, TCP_KEEPCNT, 3);
    peer_wait(9 * 1000);
    NOTHING("not yet");
    peer_wait(2 * 1000);
    IS(peer_take(), TCP_ACK, l.ours - 1, l.theirs, "a probe: 3.8.4");
    peer_send(plain(&l, TCP_ACK, 0));
    peer_wait(9 * 1000);
    NOTHING("alive");
    peer_wait(4 * 1000);
    EXPECT_EQ(peer_nr_out, 2, "two probes");
    peer_wait(4 * 1000);
    EXPECT_EQ(l.c->state, TCP_CLOSE, "dead");
    EXPECT_EQ(l.sock->error, ETIMEDOUT, "says why");
    finish(&l);
}

TEST(urgent_data_stands_beside_the_stream)
{
    u8 buf[16];

    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    struct seg s = plain(&l, TCP_ACK | TCP_URG, 5);
    s.urgent = 3; /* the third byte */
    peer_send(s);
    EXPECT_TRUE(l.sock->ops->ready(l.sock) & POLLPRI, "announced");
    EXPECT_EQ(world_recv(l.sock, buf, 1, MSG_OOB), 1, "read apart");
    EXPECT_EQ(buf[0], 'a' + (l.theirs + 2) % 26, "the third");
    EXPECT_EQ(world_recv(l.sock, buf, sizeof(buf), 0), 2, "the stream stops before it");
    EXPECT_EQ(world_recv(l.sock, buf, sizeof(buf), 0), 2, "and goes on behind");
    EXPECT_EQ(buf[0], 'a' + (l.theirs + 3) % 26, "with the fourth");
    l.theirs += 5;
    peer_forget();
    world_send(l.sock, "ab!", 3, MSG_OOB);
    s = peer_take();
    EXPECT_TRUE(s.flags & TCP_URG, "sent likewise");
    EXPECT_EQ(s.urgent, 3, "pointing behind the last byte");
    l.ours += 3;
    finish(&l);
}

/* ---- many ---- */

TEST(a_flood_of_syns_gets_cookies)
{
    u32 accepted = 0;

    peer_start();
    struct socket *l = peer_listener(4);
    struct seg syn = {.flags = TCP_SYN, .seq = 77, .window = 600, .options = peer_modern};
    for (u32 i = 0; i < 1000; i++) {
        syn.src_port = (u16)(10000 + i);
        peer_send(syn);
        struct seg s = peer_take();
        if (s.flags != (TCP_SYN | TCP_ACK) || i < 990)
            continue;
        struct seg ack = {.flags = TCP_ACK,
                          .seq = 78,
                          .ack = s.seq + 1,
                          .window = 600,
                          .src_port = syn.src_port,
                          .options = {.saw_ts = true, .tsval = 5001, .tsecr = s.options.tsval}};
        ack.ack += 100; /* a guess */
        peer_send(ack);
        EXPECT_EQ(peer_take().flags, TCP_RST, "refused");
        ack.ack -= 100;
        peer_send(ack);
        struct socket *sock = world_accept(l);
        if (!sock)
            continue;
        struct tcp_conn *c = sock->data;
        accepted++;
        EXPECT_EQ(c->snd_wscale, 7, "the scale is remembered");
        EXPECT_TRUE(c->sack_ok && c->ts_ok, "and the rest");
        EXPECT_EQ(c->peer_mss, 1460, "MSS too");
        world_close(sock);
        peer_forget();
    }
    EXPECT_EQ(accepted, 10, "who answers is served");
    EXPECT_TRUE(shards[0]->nr_requests <= 16, "little is remembered");
    EXPECT_TRUE(shards[0]->stats.syncookies_sent > 900, "most got a cookie");
    world_close(l);
}

TEST(an_old_cookie_is_refused)
{
    struct flow flow = {.local_port = 80, .remote_port = 9};
    u16 mss = 1460;

    peer_start();
    u32 now = 1000000, cookie = tcp_cookie_make(&flow, 5, &mss, now);
    EXPECT_TRUE(tcp_cookie_check(&flow, 5, cookie, now + 60000, &mss), "a minute later");
    EXPECT_FALSE(tcp_cookie_check(&flow, 5, cookie, now + 200000, &mss), "three minutes");
    EXPECT_FALSE(tcp_cookie_check(&flow, 500, cookie, now, &mss), "another number");
    flow.remote_port = 10;
    EXPECT_FALSE(tcp_cookie_check(&flow, 5, cookie, now, &mss), "another's port");
}

TEST(connections_wait_where_the_queue_is_full)
{
    peer_start();
    struct socket *l = peer_listener(1);

    for (u32 i = 0; i < 4; i++) {
        struct seg syn = {.flags = TCP_SYN, .seq = 77, .window = 600, .src_port = (u16)(100 + i)};
        peer_forget();
        peer_send(syn);
        struct seg s = peer_take();
        EXPECT_EQ(s.flags, i < 2 ? TCP_SYN | TCP_ACK : 0, "a backlog of 1 holds two, as Linux");
        peer_send((struct seg){.flags = TCP_ACK,
                               .seq = 78,
                               .ack = s.seq + 1,
                               .window = 600,
                               .src_port = syn.src_port});
    }
    struct socket *first = world_accept(l);
    struct sock_addr addr;
    EXPECT_EQ(first->ops->name(first, &addr, true), 0, "the first");
    EXPECT_EQ(addr.bytes[3], 100, "in order");
    world_close(first);
    peer_forget();
    world_close(l);
    EXPECT_TRUE(peer_take().flags & TCP_RST, "who waits when the listener closes is told");
}

TEST(defer_accept_waits_for_data)
{
    int seconds = 5;

    peer_start();
    struct socket *l = peer_listener(4);
    l->ops->setopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
    peer_send((struct seg){.flags = TCP_SYN, .seq = 77, .window = 600});
    struct seg s = peer_take();
    struct seg ack = {.flags = TCP_ACK, .seq = 78, .ack = s.seq + 1, .window = 600};
    peer_send(ack);
    EXPECT_TRUE(world_accept(l) == NULL, "nothing said yet");
    ack.len = 4;
    peer_send(ack);
    struct socket *sock = world_accept(l);
    REQUIRE(sock, "now");
    EXPECT_EQ(tcp_available(sock->data), 4, "with what was said");
    world_close(sock);
    world_close(l);
}

static int try_bind(int family, const char *what, bool reuse_addr, bool reuse_port, bool v6only,
                    struct socket **out)
{
    struct ip_addr addr = {.family = family == AF_INET ? ADDR_INET : ADDR_INET6};
    int on = 1;

    if (family == AF_INET)
        addr = addr_from_v4(0);
    if (!strcmp(what, "one"))
        addr = world_addr(addr.family, 1);
    struct sock_addr sa = world_sockaddr(&addr, 7777);
    *out = world_socket(family);
    if (reuse_addr)
        socket_setopt(*out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (reuse_port)
        socket_setopt(*out, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (v6only)
        (*out)->ops->setopt(*out, IPPROTO_IPV6, 26, &on, sizeof(on));
    int err = (*out)->ops->bind(*out, &sa);
    return err ? err : (*out)->ops->listen(*out, 5);
}

TEST(ports_are_shared_only_as_asked)
{
    static const struct {
        int family;
        const char *what;
        bool reuse_addr, reuse_port, v6only;
        int other_family;
        const char *other;
        bool other_reuse_addr, other_reuse_port, other_v6only;
        int result;
    } cases[] = {
        {AF_INET, "any", 0, 0, 0, AF_INET, "any", 0, 0, 0, -EADDRINUSE},
        {AF_INET, "any", 1, 0, 0, AF_INET, "any", 1, 0, 0, -EADDRINUSE},
        {AF_INET, "any", 0, 1, 0, AF_INET, "any", 0, 1, 0, 0},
        {AF_INET, "any", 0, 1, 0, AF_INET, "any", 0, 0, 0, -EADDRINUSE},
        {AF_INET, "any", 0, 0, 0, AF_INET, "one", 0, 0, 0, -EADDRINUSE},
        {AF_INET6, "any", 0, 0, 0, AF_INET, "any", 0, 0, 0, -EADDRINUSE},
        {AF_INET6, "any", 0, 0, 1, AF_INET, "any", 0, 0, 0, 0},
        {AF_INET, "any", 0, 0, 0, AF_INET6, "any", 0, 0, 1, 0},
        {AF_INET6, "one", 0, 0, 0, AF_INET, "any", 0, 0, 0, 0},
    };

    peer_start();
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        struct socket *a, *b;
        EXPECT_EQ(try_bind(cases[i].family, cases[i].what, cases[i].reuse_addr, cases[i].reuse_port,
                           cases[i].v6only, &a),
                  0, "the first");
        int err = try_bind(cases[i].other_family, cases[i].other, cases[i].other_reuse_addr,
                           cases[i].other_reuse_port, cases[i].other_v6only, &b);
        EXPECT_EQ(err, cases[i].result, "the second");
        world_close(a);
        world_close(b);
    }
}

/* The port that a new connection to the peer comes from. */
static u16 port_of_a_connection(struct socket **sock)
{
    struct ip_addr addr = world_addr(ADDR_INET, 2);
    struct sock_addr sa = world_sockaddr(&addr, PEER_PORT);

    *sock = world_socket(AF_INET);
    EXPECT_EQ((*sock)->ops->connect(*sock, &sa), -EINPROGRESS, "under way");
    return peer_take().src_port;
}

/* Who came from the port of a listener here, and asked it, would be connected with himself. */
TEST(a_connection_comes_from_a_port_that_nobody_is_bound_to)
{
    struct socket *listener, *socks[2];

    peer_start();
    u16 first = port_of_a_connection(&socks[0]);
    u16 next = first == 60999 ? 32768 : first + 1; /* RFC 6056 3.3.3: they follow each other */
    struct ip_addr any = addr_from_v4(0);
    struct sock_addr sa = world_sockaddr(&any, next);
    listener = world_socket(AF_INET);
    EXPECT_EQ(listener->ops->bind(listener, &sa), 0, "the next one is taken");
    EXPECT_EQ(listener->ops->listen(listener, 5), 0, "and listens");
    u16 second = port_of_a_connection(&socks[1]);
    EXPECT_EQ(second, next == 60999 ? 32768 : next + 1, "the one behind it");
    for (u32 i = 0; i < 2; i++)
        world_close(socks[i]);
    world_close(listener);
}

TEST(a_group_of_listeners_shares_the_load)
{
    struct socket *l[4];
    u32 got[4] = {0};

    peer_start();
    for (u32 i = 0; i < 4; i++)
        EXPECT_EQ(try_bind(AF_INET, "any", false, true, false, &l[i]), 0, "SO_REUSEPORT");
    for (u32 i = 0; i < 400; i++) {
        struct seg syn = {.flags = TCP_SYN, .seq = 77, .window = 600};
        syn.src_port = (u16)(1000 + i);
        syn.dst_port = 7777;
        peer_send(syn);
        struct seg ack = {.flags = TCP_ACK, .seq = 78, .ack = peer_take().seq + 1};
        ack.src_port = syn.src_port;
        ack.dst_port = 7777;
        peer_send(ack);
        for (u32 k = 0; k < 4; k++) {
            struct socket *sock = world_accept(l[k]);
            if (!sock)
                continue;
            got[k]++;
            world_close(sock);
            peer_forget();
        }
    }
    for (u32 k = 0; k < 4; k++) {
        EXPECT_TRUE(got[k] > 50, "each has its part");
        world_close(l[k]);
    }
}

TEST(a_hundred_thousand_short_connections_leave_nothing)
{
    peer_start();
    struct socket *l = peer_listener(5);
    u32 seq = 1;

    for (u32 i = 0; i < 100000; i++, seq += 100) {
        struct seg s = {.flags = TCP_SYN, .seq = seq, .window = 600, .options = peer_plain};
        s.src_port = (u16)(1024 + i % 28000);
        peer_send(s);
        struct seg synack = peer_take();
        REQUIRE(synack.flags == (TCP_SYN | TCP_ACK), "no stall");
        s = (struct seg){.flags = TCP_ACK,
                         .seq = seq + 1,
                         .ack = synack.seq + 1,
                         .window = 600,
                         .src_port = s.src_port};
        peer_send(s);
        struct socket *sock = world_accept(l);
        REQUIRE(sock, "accepted");
        world_close(sock);
        peer_forget();
        s.flags = TCP_FIN | TCP_ACK;
        s.ack++;
        peer_send(s);
        peer_forget();
        if (i % 100 == 0)
            peer_wait(1);
    }
    EXPECT_EQ(shards[0]->nr_conns, 0, "closed");
    EXPECT_TRUE(shards[0]->tw.count <= 28000, "records of ports, not of connections");
    peer_wait(61 * 1000);
    EXPECT_EQ(shards[0]->tw.count, 0, "and they go");
    world_close(l);
}

TEST(time_wait_records_are_bounded)
{
    peer_start();
    struct socket *l = peer_listener(5);
    struct tcp_conn *c;

    shards[0]->tw.max_chunks = 1;
    for (u32 i = 0; i < 1000; i++) {
        REQUIRE(c = tcp_conn_create(), "memory");
        c->flow = (struct flow){.local_port = (u16)i, .remote_port = 5};
        c->hash = flow_hash(&c->flow);
        tw_add(c);
        tcp_conn_free(c);
    }
    EXPECT_EQ(shards[0]->tw.count, TW_CHUNK, "no more than there is room for");
    struct flow first = {.local_port = 0, .remote_port = 5}, last = first;
    last.local_port = 999;
    EXPECT_TRUE(!tw_find(shards[0], &first, flow_hash(&first)), "the oldest made room");
    EXPECT_TRUE(tw_find(shards[0], &last, flow_hash(&last)), "for the newest");
    world_close(l);
}

/* ---- pieces ---- */

static void note_fired(struct shard *shard, struct wheel_timer *timer)
{
    (void)shard, (void)timer;
}

TEST(the_wheel_fires_each_timer_at_its_tick)
{
    static struct wheel wheel;
    static struct wheel_timer timers[2000];
    u32 now = 0xfffff000u, left = ARRAY_LEN(timers), tick; /* it wraps */

    tcp_world_start(3);
    wheel_init(&wheel, now);
    for (u32 i = 0; i < ARRAY_LEN(timers); i++) {
        wheel_timer_init(&timers[i], note_fired);
        u32 reach = 1u << world_below(22);
        wheel_set(&wheel, &timers[i], now + 1 + (u32)world_below(reach), now);
    }
    for (u32 i = 0; i < 100; i++) {
        wheel_cancel(&wheel, &timers[i * 7]);
        left--;
    }
    while (wheel_next(&wheel, &tick)) {
        struct wheel_timer *timer;
        now = tick;
        while ((timer = wheel_pop(&wheel, now))) {
            EXPECT_EQ(timer->tick, now, "neither early nor late");
            left--;
        }
    }
    EXPECT_EQ(left, 0, "all of them");
    EXPECT_EQ(wheel.count, 0, "counted");
}

TEST(siphash_has_the_value_of_its_authors)
{
    struct siphash_key key = {{0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull}};
    u64 word = 0x0706050403020100ull;

    EXPECT_EQ(siphash(&key, NULL, 0), 0x726fdb47dd0e0e31ull, "no bytes");
    EXPECT_EQ(siphash(&key, &word, 1), 0x93f5f5799a932462ull, "eight bytes");
}

TEST(malformed_options_end_the_list)
{
    static const struct {
        u8 bytes[12];
        u32 len;
        bool mss, ts;
        const char *why;
    } cases[] = {
        {{2, 4, 5, 180}, 4, 1, 0, "MSS"},
        {{2, 4, 5}, 3, 0, 0, "cut"},
        {{2, 0, 5, 180}, 4, 0, 0, "no length"},
        {{2, 1, 2, 4, 5, 180}, 6, 0, 0, "a length below two"},
        {{1, 1, 2, 4, 5, 180}, 6, 1, 0, "behind NOPs"},
        {{0, 2, 4, 5, 180}, 5, 0, 0, "behind the end"},
        {{253, 2, 2, 4, 5, 180}, 6, 1, 0, "behind an unknown one"},
        {{253, 200, 2, 4, 5, 180}, 6, 0, 0, "a length beyond"},
        {{8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 10, 0, 1, "timestamps without NOPs"},
        {{8, 9, 0, 0, 0, 1, 0, 0, 0}, 9, 0, 0, "timestamps of a wrong length"},
    };

    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        struct tcp_options o;
        u8 *exact = malloc(cases[i].len); /* so that one byte too many is seen */
        memcpy(exact, cases[i].bytes, cases[i].len);
        tcp_decode_options(exact, cases[i].len, true, &o);
        EXPECT_EQ(o.saw_mss, cases[i].mss, cases[i].why);
        EXPECT_EQ(o.saw_ts, cases[i].ts, cases[i].why);
        free(exact);
    }
}

/* A connection, both ways a little data, and its end, whatever fails. */
static void short_life(void)
{
    struct seg s = {.flags = TCP_SYN, .seq = 77, .window = 600, .options = peer_modern};
    struct socket *l = peer_listener(5), *sock;
    static u8 data[3000];

    peer_send(s);
    struct seg synack = peer_take();
    s = (struct seg){.flags = TCP_ACK, .seq = 78, .ack = synack.seq + 1, .window = 600, .len = 30};
    s.options = (struct tcp_options){.saw_ts = true, .tsval = 5001, .tsecr = synack.options.tsval};
    peer_send(s);
    s.seq += 60;
    peer_send(s);
    sock = world_accept(l);
    if (sock) {
        world_recv(sock, data, sizeof(data), 0);
        world_send(sock, data, sizeof(data), 0);
        peer_wait(1000);
        world_close(sock);
    }
    world_close(l);
    peer_wait(3600 * 1000);
    peer_forget();
    EXPECT_EQ(shards[0]->nr_conns + shards[0]->nr_requests, 0, "nothing is left");
    EXPECT_EQ(shards[0]->memory, 0, "nothing is charged");
}

TEST(any_allocation_may_fail)
{
    peer_start();
    short_life();
    FOR_EACH_FAULT(fault) {
        short_life();
    }
}
