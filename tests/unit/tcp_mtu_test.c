/* The search for a path's MTU (RFC 4821): streams over a link that swallows what is too large for
 * it, or says so, or takes more after a while. */
#include "unit/test.h"

#include "core/time.h"
#include "fake/tcp_world.h"
#include "net/tcp_priv.h"
#include "sim/link.h"

enum { SERVER_PORT = 80, HEADERS = 40 };

static struct socket *client, *server;
static u64 sent, received;
static u8 buf[200000];

static void step(void)
{
    u64 next = min(link_next_ns(), tcp_world_next_ns());

    tcp_world_run_to(next);
    link_run_to(next);
}

static struct tcp_conn *sender(void)
{
    return client->data;
}

/* A connection over links that take packets of @mtu bytes. */
static void start(u32 mtu, bool black_hole)
{
    struct sock_addr any = {.len = 28, .family = AF_INET6};
    struct ip_addr to = world_addr(ADDR_INET, 2);
    struct sock_addr addr = world_sockaddr(&to, SERVER_PORT);

    tcp_world_start(7);
    link_start();
    world_netif.mtu = 1500;
    for (u32 i = 0; i < 2; i++)
        links[i] = (struct link){.delay_ns = 5 * NSEC_PER_MSEC,
                                 .ns_per_byte = 20000,
                                 .queue_bytes = 100000000,
                                 .mtu = mtu,
                                 .black_hole = black_hole};
    any.bytes[3] = SERVER_PORT;
    struct socket *listener = world_socket(AF_INET6);
    REQUIRE(!listener->ops->bind(listener, &any) && !listener->ops->listen(listener, 1), "listen");
    client = world_socket(AF_INET);
    REQUIRE(client->ops->connect(client, &addr) == -EINPROGRESS, "connect");
    while (!(server = world_accept(listener)))
        step();
    world_close(listener);
}

/* Send and receive for so long, if there is that much to do. */
static void run_for(u64 seconds)
{
    u64 end = world_ns + seconds * NSEC_PER_SEC;
    ssize_t n;

    while (world_ns < end) {
        while ((n = world_send(client, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
            sent += (u64)n;
        while ((n = world_recv(server, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
            received += (u64)n;
        step();
    }
}

/* The largest packet that it sends now. */
static u32 packet(void)
{
    return sender()->mss + HEADERS + (sender()->ts_ok ? TCP_TS_OPTION : 0u);
}

static void stop(void)
{
    ssize_t n;

    EXPECT_TRUE(received > 1000000, "data flowed");
    world_close(client);
    while (min(link_next_ns(), tcp_world_next_ns()) != TIME_NEVER) {
        step();
        while (server && (n = world_recv(server, buf, sizeof(buf), MSG_DONTWAIT)) >= 0) {
            received += (u64)n;
            if (n)
                continue;
            world_close(server);
            server = NULL;
        }
    }
    EXPECT_EQ(received, sent, "all of it arrived");
}

TEST(behind_a_black_hole_the_path_is_found_again)
{
    start(1300, true);
    run_for(60);
    EXPECT_TRUE(packet() <= 1300, "not more than it takes");
    EXPECT_TRUE(packet() > 1300 - 40, "and hardly less");
    u64 lost = links[0].lost;
    run_for(120);
    EXPECT_EQ(links[0].lost, lost, "and then it is left alone");
    stop();
}

TEST(a_probe_that_is_lost_does_not_slow_the_stream)
{
    start(1300, true);
    run_for(20);
    u32 cwnd = sender()->cwnd;
    run_for(600);
    EXPECT_TRUE(links[0].lost > 1, "it has probed");
    EXPECT_TRUE(sender()->cwnd >= cwnd / 2, "and no more");
    EXPECT_EQ(sender()->ca, CA_OPEN, NULL);
    stop();
}

TEST(a_path_that_has_become_wide_is_used)
{
    start(1200, true);
    run_for(60);
    EXPECT_TRUE(packet() <= 1200, "narrow at first");
    links[0].mtu = links[1].mtu = 0;
    run_for(700);
    EXPECT_EQ(packet(), 1500, "all of it: RFC 1191, 6.3, after ten minutes");
    EXPECT_FALSE(sender()->mtu_search, "there is nothing left to find");
    stop();
}

TEST(what_a_router_says_is_believed_for_ten_minutes)
{
    start(1300, false);
    run_for(60);
    EXPECT_EQ(packet(), 1300, "as told");
    links[0].mtu = links[1].mtu = 0;
    run_for(500);
    EXPECT_EQ(packet(), 1300, "still");
    run_for(200);
    EXPECT_EQ(packet(), 1500, "then it is tried");
    stop();
}
