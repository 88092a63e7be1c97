/* What TCP must do, by the documents that say so; one peer made by hand.  Streams over bad links
 * are tcp_sim_test.c's. */
#include "unit/tcp_peer.h"

/* ---- RFC 9293 3.10.7.1: no connection ---- */

TEST(a_closed_port_answers_with_reset)
{
    static const struct {
        struct seg in;
        u8 flags;
        u32 seq, ack;
        const char *why;
    } cases[] = {
        {{.flags = TCP_SYN, .seq = 7}, TCP_RST | TCP_ACK, 0, 8, "SYN"},
        {{.flags = TCP_SYN, .seq = 7, .len = 3}, TCP_RST | TCP_ACK, 0, 11, "with data"},
        {{.flags = TCP_ACK, .seq = 7, .ack = 90}, TCP_RST, 90, 0, "ACK"},
        {{.flags = TCP_FIN, .seq = 7}, TCP_RST | TCP_ACK, 0, 8, "FIN"},
        {{.flags = 0, .seq = 7, .len = 5}, TCP_RST | TCP_ACK, 0, 12, "no flags"},
        {{.flags = TCP_SYN | TCP_ACK, .seq = 7, .ack = 5}, TCP_RST, 5, 0, "SYN-ACK"},
        {{.flags = TCP_RST, .seq = 7}, 0, 0, 0, "RST"},
        {{.flags = TCP_RST | TCP_ACK, .ack = 7}, 0, 0, 0, "RST with ACK"},
    };

    peer_start();
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        peer_forget();
        peer_send(cases[i].in);
        IS(peer_take(), cases[i].flags, cases[i].seq, cases[i].ack, cases[i].why);
    }
}

/* ---- 3.10.7.2: LISTEN ---- */

TEST(a_listener_hears_only_syns)
{
    peer_start();
    struct socket *l = peer_listener(5);

    peer_send((struct seg){.flags = TCP_RST, .seq = 5});
    NOTHING("first check: RST");
    peer_send((struct seg){.flags = TCP_ACK, .seq = 5, .ack = 77});
    IS(peer_take(), TCP_RST, 77, 0, "second check: ACK");
    peer_send((struct seg){.flags = TCP_FIN, .seq = 5});
    NOTHING("neither");
    peer_send((struct seg){.flags = TCP_SYN | TCP_FIN, .seq = 5});
    NOTHING("SYN with FIN");
    peer_send((struct seg){.flags = TCP_SYN, .seq = 5, .window = 100, .options = peer_modern});
    struct seg s = peer_take();
    EXPECT_EQ(s.flags, TCP_SYN | TCP_ACK, "third check: SYN");
    EXPECT_EQ(s.ack, 6, "its number");
    EXPECT_TRUE(s.options.saw_mss && s.options.mss == 1460, "our MSS");
    EXPECT_TRUE(s.options.saw_ts && s.options.tsecr == peer_modern.tsval, "timestamps");
    EXPECT_TRUE(s.options.saw_sack_ok && s.options.saw_wscale, "SACK and scale");
    world_close(l);
}

TEST(only_what_the_peer_offers_is_used)
{
    peer_start();
    struct socket *l = peer_listener(5);

    peer_send((struct seg){.flags = TCP_SYN, .seq = 5, .window = 100});
    struct seg s = peer_take();
    EXPECT_FALSE(s.options.saw_ts || s.options.saw_sack_ok || s.options.saw_wscale, "nothing");
    EXPECT_TRUE(s.options.saw_mss, "MSS is always sent");
    world_close(l);
}

TEST(a_syn_ack_is_sent_again_with_backoff_and_given_up)
{
    peer_start();
    struct socket *l = peer_listener(5);
    static const u32 after_s[] = {1, 2, 4, 8, 16};

    peer_send((struct seg){.flags = TCP_SYN, .seq = 5, .window = 100});
    peer_forget();
    for (u32 i = 0; i < ARRAY_LEN(after_s); i++) {
        peer_wait(after_s[i] * 1000 - 10);
        NOTHING("not yet");
        peer_wait(10);
        EXPECT_EQ(peer_take().flags, TCP_SYN | TCP_ACK, "again");
    }
    peer_wait(200 * 1000);
    NOTHING("given up");
    EXPECT_EQ(shards[0]->nr_requests, 0, "and forgotten");
    world_close(l);
}

/* ---- 3.10.7.3: SYN-SENT ---- */

static struct socket *call(struct seg *syn)
{
    struct ip_addr peer = world_addr(ADDR_INET, 2);
    struct sock_addr addr = world_sockaddr(&peer, PEER_PORT);
    struct socket *sock = world_socket(AF_INET);

    EXPECT_EQ(sock->ops->connect(sock, &addr), -EINPROGRESS, "under way");
    *syn = peer_take();
    EXPECT_EQ(syn->flags, TCP_SYN, "a SYN");
    return sock;
}

static struct seg answer(const struct seg *syn, u8 flags, u32 ack)
{
    return (struct seg){
        .flags = flags, .seq = PEER_ISS, .ack = ack, .window = 1000, .dst_port = syn->src_port};
}

TEST(syn_sent_believes_only_acks_of_its_syn)
{
    struct seg syn;
    struct sock_addr addr;

    peer_start();
    struct socket *sock = call(&syn);
    struct tcp_conn *c = sock->data;
    peer_send(answer(&syn, TCP_SYN | TCP_ACK, syn.seq));
    IS(peer_take(), TCP_RST, syn.seq, 0, "an ACK below");
    peer_send(answer(&syn, TCP_SYN | TCP_ACK, syn.seq + 2));
    IS(peer_take(), TCP_RST, syn.seq + 2, 0, "an ACK beyond");
    peer_send(answer(&syn, TCP_RST | TCP_ACK, syn.seq));
    NOTHING("a RST with a wrong ACK");
    peer_send(answer(&syn, TCP_RST, 0));
    NOTHING("a RST without one");
    peer_send(answer(&syn, TCP_ACK, syn.seq + 1));
    NOTHING("no SYN");
    EXPECT_EQ(c->state, TCP_SYN_SENT, "nothing has happened");
    peer_send(answer(&syn, TCP_SYN | TCP_ACK, syn.seq + 1));
    IS(peer_take(), TCP_ACK, syn.seq + 1, PEER_ISS + 1, "established");
    EXPECT_EQ(c->state, TCP_ESTABLISHED, "indeed");
    EXPECT_EQ(sock->ops->name(sock, &addr, true), 0, "it has a peer");
    EXPECT_TRUE(sock->ops->ready(sock) & POLLOUT, "writable");
    world_close(sock);
}

TEST(a_refused_connection_says_so)
{
    struct seg syn;
    struct ip_addr peer = world_addr(ADDR_INET, 2);
    struct sock_addr addr = world_sockaddr(&peer, PEER_PORT);

    peer_start();
    struct socket *sock = call(&syn);
    EXPECT_EQ(sock->ops->connect(sock, &addr), -EALREADY, "still under way");
    EXPECT_EQ(sock->ops->ready(sock), 0, "nothing yet");
    peer_send(answer(&syn, TCP_RST | TCP_ACK, syn.seq + 1));
    EXPECT_EQ(sock->ops->ready(sock) & (POLLERR | POLLHUP | POLLOUT | POLLIN),
              POLLERR | POLLHUP | POLLOUT | POLLIN, "who waits is told");
    EXPECT_EQ(sock->ops->connect(sock, &addr), -ECONNREFUSED, "and why");
    EXPECT_EQ(sock->ops->connect(sock, &addr), -EINPROGRESS, "it may try again");
    world_close(sock);
}

TEST(a_syn_is_repeated_with_backoff_until_timeout)
{
    struct seg syn;
    u32 tries = 0;

    peer_start();
    struct socket *sock = call(&syn);
    struct tcp_conn *c = sock->data;
    for (u32 s = 0; s < 200 && c->state == TCP_SYN_SENT; s++) {
        peer_wait(1000);
        for (; peer_nr_out; tries++)
            EXPECT_EQ(peer_take().seq, syn.seq, "the same SYN");
    }
    EXPECT_EQ(tries, 6, "as Linux");
    EXPECT_EQ(sock->error, ETIMEDOUT, "then an error");
    world_close(sock);
}

TEST(both_may_call_at_once)
{
    struct seg syn;

    peer_start();
    struct socket *sock = call(&syn);
    struct tcp_conn *c = sock->data;
    peer_send(answer(&syn, TCP_SYN, 0));
    IS(peer_take(), TCP_SYN | TCP_ACK, syn.seq, PEER_ISS + 1, "figure 7");
    EXPECT_EQ(c->state, TCP_SYN_RECV, "SYN-RECEIVED");
    peer_send(answer(&syn, TCP_SYN | TCP_ACK, syn.seq + 1));
    peer_forget();
    struct seg ack = answer(&syn, TCP_ACK, syn.seq + 1);
    ack.seq++;
    peer_send(ack);
    EXPECT_EQ(c->state, TCP_ESTABLISHED, "established");
    world_close(sock);
}

/* ---- 3.10.7.4: the first check ---- */

TEST(what_lies_outside_the_window_is_answered_and_dropped)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    u32 right = l.c->rcv_adv - l.theirs;
    const struct {
        u32 at, len, taken; /* from the next expected */
        const char *why;
    } cases[] = {
        {right, 10, 0, "at the right edge"},
        {right + 1, 10, 0, "beyond"},
        {-10u, 5, 0, "old"},
        {-10u, 10, 0, "all old"},
        {5, 5, 0, "ahead: kept for later"},
        {-3u, 8, 10, "overlap on the left, and what was kept"},
    };
    u8 buf[64];

    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        peer_forget();
        struct seg s = plain(&l, TCP_ACK, cases[i].len);
        s.seq += cases[i].at;
        peer_send(s);
        EXPECT_TRUE(peer_nr_out >= 1, cases[i].why);
        struct seg ack = peer_take();
        EXPECT_EQ(ack.ack, l.theirs + cases[i].taken, cases[i].why);
        EXPECT_EQ(tcp_available(l.c), cases[i].taken, cases[i].why);
    }
    EXPECT_EQ(world_recv(l.sock, buf, sizeof(buf), 0), 10, "all ten");
    for (u32 i = 0; i < 10; i++)
        EXPECT_EQ(buf[i], 'a' + (l.theirs + i) % 26, "in order");
    l.theirs += 10;
    finish(&l);
}

/* ---- RFC 5961 ---- */

TEST(guessed_segments_get_a_challenge)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    static const struct {
        u8 flags;
        u32 at, ack_at;
        const char *why;
    } cases[] = {
        {TCP_RST, 1, 0, "RST in the window, not at its start: 3.2"},
        {TCP_SYN, 0, 0, "SYN at the next number: 4.2"},
        {TCP_SYN | TCP_ACK, 100, 0, "SYN in the window"},
        {TCP_ACK, 0, 5, "ACK of what was not sent: 5"},
        {TCP_ACK, 0, 0x80000000u, "ACK from far away"},
    };

    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        peer_wait(TCP_CHALLENGE_INTERVAL + 1);
        peer_forget();
        struct seg s = plain(&l, cases[i].flags, 0);
        s.seq += cases[i].at;
        s.ack += cases[i].ack_at;
        peer_send(s);
        IS(peer_take(), TCP_ACK, l.ours, l.theirs, cases[i].why);
        EXPECT_EQ(l.c->state, TCP_ESTABLISHED, cases[i].why);
        peer_send(s);
        NOTHING("limited in rate");
    }
    struct seg far = plain(&l, TCP_RST, 0);
    far.seq = l.c->rcv_adv + 1;
    peer_send(far);
    NOTHING("RST outside of the window");
    far.seq = l.theirs;
    peer_send(far);
    EXPECT_EQ(l.c->state, TCP_CLOSE, "RST at the next number");
    EXPECT_EQ(world_recv(l.sock, &far, 1, 0), -ECONNRESET, "the program learns it");
    EXPECT_EQ(world_recv(l.sock, &far, 1, 0), 0, "once");
    EXPECT_EQ(world_send(l.sock, &far, 1, 0), -EPIPE, "and can send no more");
    finish(&l);
}

/* ---- RFC 7323 5: PAWS ---- */

TEST(an_old_timestamp_is_not_believed)
{
    peer_start();
    struct link_up l = peer_connects(&peer_modern, 600);
    struct seg s = plain(&l, TCP_ACK, 4);

    s.options = (struct tcp_options){.saw_ts = true, .tsval = peer_modern.tsval - 1};
    peer_send(s);
    EXPECT_EQ(peer_take().ack, l.theirs, "dropped, with an ACK");
    EXPECT_EQ(shards[0]->stats.paws_dropped, 1, "counted");
    s.options.tsval += 11;
    peer_send(s);
    EXPECT_EQ(tcp_available(l.c), 4, "a newer one is taken");
    peer_wait(100);
    EXPECT_EQ(peer_take().options.tsecr, s.options.tsval, "and echoed");
    struct seg rst = plain(&l, TCP_RST, 0);
    rst.seq += 4;
    rst.options = (struct tcp_options){.saw_ts = true, .tsval = 1};
    peer_send(rst);
    EXPECT_EQ(l.c->state, TCP_CLOSE, "RST is not subject to it");
    finish(&l);
}

/* ---- closing: 3.6, 3.10.7.4 ---- */

static void ours_closed(struct link_up *l)
{
    world_close(l->sock);
    l->sock = NULL;
}

TEST(closing_first_ends_in_time_wait)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    struct tcp_conn *c = l.c;

    ours_closed(&l);
    IS(peer_take(), TCP_FIN | TCP_PSH | TCP_ACK, l.ours, l.theirs, "our FIN");
    EXPECT_EQ(c->state, TCP_FIN_WAIT1, "FIN-WAIT-1");
    l.ours++;
    peer_send(plain(&l, TCP_ACK, 0));
    EXPECT_EQ(c->state, TCP_FIN_WAIT2, "FIN-WAIT-2");
    peer_send(plain(&l, TCP_FIN | TCP_ACK, 0));
    IS(peer_take(), TCP_ACK, l.ours, l.theirs + 1, "its FIN is acknowledged");
    EXPECT_EQ(shards[0]->nr_conns, 0, "no connection any more");
    EXPECT_EQ(shards[0]->tw.count, 1, "but a record");
    peer_wait(30 * 1000);
    peer_send(plain(&l, TCP_FIN | TCP_ACK, 0));
    IS(peer_take(), TCP_ACK, l.ours, l.theirs + 1, "a repeated FIN is acknowledged");
    peer_wait(59 * 1000);
    EXPECT_EQ(shards[0]->tw.count, 1, "and the wait begins anew");
    peer_send(plain(&l, TCP_RST, 0));
    EXPECT_EQ(shards[0]->tw.count, 1, "RST does not end it: RFC 1337");
    peer_wait(2 * 1000);
    EXPECT_EQ(shards[0]->tw.count, 0, "2 MSL later it is gone");
    l.c = NULL;
    finish(&l);
}

TEST(both_may_close_at_once)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    struct tcp_conn *c = l.c;

    ours_closed(&l);
    peer_forget();
    peer_send(plain(&l, TCP_FIN | TCP_ACK, 0));
    IS(peer_take(), TCP_ACK, l.ours + 1, l.theirs + 1, "its FIN");
    EXPECT_EQ(c->state, TCP_CLOSING, "CLOSING");
    l.theirs++;
    l.ours++;
    peer_send(plain(&l, TCP_ACK, 0));
    EXPECT_EQ(shards[0]->tw.count, 1, "TIME-WAIT");
    l.c = NULL;
    finish(&l);
}

TEST(closing_second_needs_no_time_wait)
{
    u8 byte;

    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    struct tcp_conn *c = l.c;
    peer_send(plain(&l, TCP_FIN | TCP_ACK, 3));
    IS(peer_take(), TCP_ACK, l.ours, l.theirs + 4, "data and FIN");
    EXPECT_EQ(c->state, TCP_CLOSE_WAIT, "CLOSE-WAIT");
    EXPECT_EQ(l.sock->ops->ready(l.sock) & (POLLIN | POLLRDHUP | POLLHUP), POLLIN | POLLRDHUP,
              "half closed");
    EXPECT_EQ(world_recv(l.sock, &byte, 1, 0), 1, "the data");
    EXPECT_EQ(world_recv(l.sock, &(u16){0}, 2, 0), 2, "the rest");
    EXPECT_EQ(world_recv(l.sock, &byte, 1, 0), 0, "the end");
    EXPECT_EQ(world_send(l.sock, "x", 1, 0), 1, "we may go on");
    IS(peer_take(), TCP_PSH | TCP_ACK, l.ours, l.theirs + 4, "sent");
    ours_closed(&l);
    IS(peer_take(), TCP_FIN | TCP_PSH | TCP_ACK, l.ours + 1, l.theirs + 4, "our FIN");
    EXPECT_EQ(c->state, TCP_LAST_ACK, "LAST-ACK");
    l.theirs += 4;
    l.ours += 2;
    peer_send(plain(&l, TCP_ACK, 0));
    EXPECT_EQ(shards[0]->nr_conns + shards[0]->tw.count, 0, "all gone");
    l.c = NULL;
    finish(&l);
}

TEST(data_for_a_program_that_is_gone_is_refused)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);

    ours_closed(&l);
    peer_forget();
    peer_send(plain(&l, TCP_ACK, 5));
    EXPECT_TRUE(peer_take().flags & TCP_RST, "RFC 1122 4.2.2.13");
    EXPECT_EQ(shards[0]->nr_conns, 0, "and it is over");
    l.c = NULL;
    finish(&l);
}

TEST(closing_with_unread_bytes_resets)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);

    peer_send(plain(&l, TCP_ACK, 5));
    peer_forget();
    ours_closed(&l);
    IS(peer_take(), TCP_RST | TCP_ACK, l.ours, l.theirs + 5, "RFC 2525 2.17");
    l.c = NULL;
    finish(&l);
}

TEST(linger_of_zero_resets)
{
    struct linger_abi linger = {1, 0};

    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);
    socket_setopt(l.sock, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    ours_closed(&l);
    EXPECT_TRUE(peer_take().flags & TCP_RST, "at once");
    l.c = NULL;
    finish(&l);
}

TEST(a_forgotten_half_of_a_connection_ends_after_a_while)
{
    peer_start();
    struct link_up l = peer_connects(&peer_plain, 60000);

    ours_closed(&l);
    l.ours++;
    peer_send(plain(&l, TCP_ACK, 0));
    peer_wait(59 * 1000);
    EXPECT_EQ(shards[0]->nr_conns, 1, "FIN-WAIT-2 waits for the peer");
    peer_wait(2 * 1000);
    EXPECT_EQ(shards[0]->nr_conns, 0, "not for ever");
    l.c = NULL;
    finish(&l);
}

/* ---- TIME-WAIT and new connections ---- */

TEST(a_newer_syn_ends_time_wait)
{
    static const struct {
        s32 seq, ts;
        bool accepted;
        const char *why;
    } cases[] = {
        {1000, 10, true, "newer in both: RFC 6191"},
        {-1000, 10, true, "the timestamp decides"},
        {1000, -10, false, "an old timestamp"},
        {-1000, 0, false, "equal timestamps, older number"},
        {1000, 0, true, "equal timestamps, newer number"},
    };

    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        if (!i)
            peer_start();
        peer_port = (u16)(5000 + i);
        struct link_up l = peer_connects(&peer_modern, 600);
        struct seg s = plain(&l, TCP_FIN | TCP_ACK, 0);
        ours_closed(&l);
        s.options = (struct tcp_options){.saw_ts = true, .tsval = peer_modern.tsval};
        s.ack++;
        peer_send(s);
        EXPECT_EQ(shards[0]->tw.count, 1 + i - shards[0]->stats.timewait_recycled, "TIME-WAIT");
        peer_forget();
        struct seg syn = {.flags = TCP_SYN, .window = 600, .options = peer_modern};
        syn.seq = l.theirs + 1 + (u32)cases[i].seq;
        syn.options.tsval += (u32)cases[i].ts;
        peer_send(syn);
        EXPECT_EQ(peer_take().flags, cases[i].accepted ? TCP_SYN | TCP_ACK : TCP_ACK, cases[i].why);
        world_close(l.listener);
    }
}

/* ---- acknowledgements ---- */

/* A connection of another port of the peer's that delays its ACKs. */
static struct link_up patient(u16 port)
{
    peer_port = port;
    struct link_up l = peer_connects(&peer_plain, 60000);
    int off = 0;

    world_close(l.listener);
    l.sock->ops->setopt(l.sock, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
    return l;
}

static void hear_from(struct link_up *l, u16 port)
{
    peer_port = port;
    peer_send(plain(l, TCP_ACK, 10));
    l->theirs += 10;
}

TEST(each_connection_sends_its_delayed_ack_when_it_is_due)
{
    peer_start();
    struct link_up l[4];

    for (u16 i = 0; i < ARRAY_LEN(l); i++)
        l[i] = patient((u16)(5000 + i));
    peer_forget();
    for (u16 i = 0; i < ARRAY_LEN(l); i++) {
        hear_from(&l[i], (u16)(5000 + i));
        peer_wait(TCP_SLACK);
    }
    NOTHING("all wait");
    EXPECT_EQ(world_send(l[1].sock, "answer", 6, 0), 6, "one answers");
    peer_forget();
    world_close(l[2].sock); /* and one goes, resetting for the sake of what it has not read */
    peer_forget();
    peer_wait(TCP_DELACK - 3 * TCP_SLACK);
    IS(peer_take(), TCP_ACK, l[0].ours, l[0].theirs, "the first is due");
    NOTHING("the last is not yet");
    peer_wait(3 * TCP_SLACK);
    IS(peer_take(), TCP_ACK, l[3].ours, l[3].theirs, "now it is");
    NOTHING("no other owes one");
    EXPECT_TRUE(list_empty(&shards[0]->acks), "nobody waits");
    for (u32 i = 0; i < ARRAY_LEN(l); i++)
        if (i != 2)
            world_close(l[i].sock);
    peer_port = 0;
}
