/* The driver of virtio-net against a device that is played, and that does not play by the rules. */
#include "test.h"

#include "drv/virtio_net_priv.h"
#include "drv/virtq_ring.h"
#include "fake/net_world.h"
#include "fake/played_device.h"
#include "mm/page.h"
#include "net/ip6.h"
#include "sched/wait.h"

#include <arpa/inet.h>

enum { RX, TX, CTRL, HDR = 12 };
enum { RX2 = 2, TX2 = 3, CTRL_MQ = 4 }; /* with two pairs */

static u8 frame[4096];

static void start(void)
{
    EXPECT_EQ(played_start(&virtio_net_driver), 0, "a driver");
    netif_start_offers();
}

static void up(void)
{
    played_features = BIT(F_CSUM) | BIT(F_GUEST_CSUM) | BIT(F_MAC) | BIT(F_GUEST_TSO4) |
                      BIT(F_MRG_RXBUF) | BIT(F_STATUS);
    memcpy(played_config, "\x02\0\0\0\0\x77\x01\0", 8);
    world_up("off");
    start();
    memset(frame, 0xff, HDR + 6); /* a broadcast */
    memset(frame, 0, HDR);
    frame[10] = 1; /* one buffer */
}

static struct netif *ours(void)
{
    return netif_by_index(world_netif.index == 2 ? 3 : 2);
}

static void receive(u32 len)
{
    REQUIRE(played_fill(RX, frame, len), "a buffer");
    played_interrupt();
    world_settle();
}

TEST(frames_are_received_and_counted)
{
    up();
    u64 before = netif_sum_stats(ours()).rx_packets;
    for (u32 i = 0; i < 1000; i++)
        receive(HDR + 60 + i);
    EXPECT_EQ(netif_sum_stats(ours()).rx_packets, before + 1000, NULL);
    EXPECT_FALSE(played.broken, played_why);
    EXPECT_TRUE(world_pages <= 64, "none was lost");
}

TEST(impossible_frames_shut_the_device_off)
{
    static const struct {
        u32 len;
        u16 buffers;
        const char *why;
    } lies[] = {
        {0, 1, "impossible size"},
        {HDR, 1, "impossible size"},
        {HDR - 1, 1, "impossible size"},
        {HDR + 60, 0, "impossible size"},
        {HDR + 60, 20000, "impossible size"},
        {HDR + 60, 3, "did not fill"},
        {PAGE_SIZE + 1, 1, "past a buffer"},
    };
    up();
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        if (i)
            start();
        memcpy(frame + 10, &lies[i].buffers, 2);
        played_why[0] = 0;
        receive(lies[i].len);
        EXPECT_TRUE(played.broken, "shut off");
        EXPECT_TRUE(strstr(played_why, lies[i].why) != NULL, played_why);
    }
}

TEST(used_entries_that_were_never_made_shut_the_device_off)
{
    static const u32 ids[] = {32, 4711, UINT32_MAX, 0x10000};

    up();
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        if (i)
            start();
        played_use(i & 1 ? TX : RX, ids[i], 70);
        played_use(RX, ids[i], 70);
        played_interrupt();
        EXPECT_TRUE(played.broken, "shut off");
    }
    played_use(RX, 0, 70);
    played_interrupt(); /* it is not looked at any more */
}

TEST(the_same_buffer_twice_shuts_the_device_off)
{
    up();
    REQUIRE(played_fill(RX, frame, HDR + 2000), "a buffer"); /* which is kept: it is large */
    played_use(RX, played_head, HDR + 2000);
    played_interrupt();
    EXPECT_TRUE(played.broken, "shut off");
    EXPECT_TRUE(strstr(played_why, "never made") != NULL, played_why);
}

/* Offsets that point outside are ignored; ASan looks on. */
TEST(any_header_is_survived)
{
    up();
    srand(3);
    for (u32 i = 0; i < 50000; i++) {
        for (u32 k = 0; k < 10; k++)
            frame[k] = (u8)rand();
        for (u32 k = HDR + 6; k < HDR + 80; k++)
            frame[k] = (u8)rand();
        memcpy(frame + HDR + 12, rand() & 1 ? "\x08\0\x45" : "\x86\xdd\x60", 3);
        receive(HDR + 14 + (u32)rand() % 1500);
    }
    EXPECT_FALSE(played.broken, played_why);
}

TEST(a_link_that_goes_down_is_seen)
{
    up();
    EXPECT_TRUE(ours()->flags & NETIF_UP, "up at first");
    played_config[6] = 0;
    played.config_changed(&played);
    EXPECT_FALSE(ours()->flags & NETIF_UP, NULL);
    played_config[6] = 1;
    played.config_changed(&played);
    EXPECT_TRUE(ours()->flags & NETIF_UP, NULL);
}

/* ---- commands and several queues ---- */

static u8 command[8], verdict;
static int command_len;
static u32 ctrl_queue;

static void answer(struct virtq *vq)
{
    if (vq->index == ctrl_queue)
        command_len = played_answer(vq->index, command, sizeof(command), verdict);
}

static void listen_to_commands(u32 q, u8 with)
{
    ctrl_queue = q;
    verdict = with;
    command_len = -1;
    played_notified = answer;
}

/* Frames that the device got; the last in .sent. */
static u8 sent[2048];
static u32 take_sent(u32 q)
{
    u32 count = 0;

    while (played_take(q, sent, sizeof(sent)) >= 0)
        count++;
    return count;
}

TEST(a_guest_that_has_moved_says_where_it_is)
{
    up();
    played_features |= BIT(F_CTRL_VQ) | BIT(F_GUEST_ANNOUNCE);
    listen_to_commands(CTRL, 0);
    start();
    struct netif *netif = netif_by_index(ours()->index + 1);
    struct ip_addr addr = addr_from_v4(htonl(0x0a4d0002)), addr6 = ip6_link_local(netif);
    EXPECT_EQ(command_len, -1, "nothing to say at the start");
    EXPECT_EQ(netif_add_addr(netif, &addr, 24), 0, NULL);
    EXPECT_EQ(netif_add_addr(netif, &addr6, 64), 0, NULL);
    world_settle();
    take_sent(TX);
    played_config[6] = 1;
    played.config_changed(&played);
    world_settle();
    EXPECT_EQ(take_sent(TX), 0, "nobody asked");
    played_config[6] = 3;
    played.config_changed(&played);
    world_settle();
    EXPECT_EQ(take_sent(TX), 2, "one a address");
    EXPECT_EQ(command_len, 2, "and told the device so");
    EXPECT_EQ(command[0], 3, "VIRTIO_NET_CTRL_ANNOUNCE");
    EXPECT_EQ(command[1], 0, "_ACK");
    EXPECT_FALSE(played.broken, played_why);
}

static struct netif *two_pairs(u8 answer_with)
{
    up();
    played_features |= BIT(F_CTRL_VQ) | BIT(F_MQ);
    memcpy(played_config + 8, "\x02", 2);
    cpu_count = 2;
    listen_to_commands(CTRL_MQ, answer_with);
    start();
    return netif_by_index(ours()->index + 1);
}

TEST(with_two_cpus_both_pairs_receive)
{
    struct netif *netif = two_pairs(0);

    EXPECT_EQ(command_len, 4, "a command");
    EXPECT_EQ(memcmp(command, "\x04\0\x02\0", 4), 0, "VQ_PAIRS_SET 2");
    for (u32 i = 0; i < 300; i++) {
        REQUIRE(played_fill(i & 1 ? RX2 : RX, frame, HDR + 60 + i), "a buffer");
        played_interrupt();
        world_settle();
    }
    EXPECT_EQ(netif_sum_stats(netif).rx_packets, 300, NULL);
    EXPECT_FALSE(played.broken, played_why);
}

/* @count times what netif_announce() sends, as if by the second CPU. */
static void announce_elsewhere(struct netif *netif, u32 count)
{
    this_cpu()->arch.id = 1;
    while (count--)
        netif_announce(netif);
    world_settle();
    this_cpu()->arch.id = 0;
}

TEST(each_cpu_collects_what_it_has_sent)
{
    struct netif *netif = two_pairs(0);
    struct vnet_pair *second = &to_vnet(netif)->pairs[1];
    struct ip_addr addr = addr_from_v4(htonl(0x0a4d0002));

    EXPECT_EQ(netif_add_addr(netif, &addr, 24), 0, NULL);
    world_settle();
    cpus_online = 3;
    cpus[1] = cpus[0];
    announce_elsewhere(netif, 3);
    REQUIRE(take_sent(TX2) >= 3, "by the second pair");
    played_interrupt();
    world_settle();
    EXPECT_TRUE(second->tx.nr_free < second->tx.size, "the first CPU leaves it to the second");

    announce_elsewhere(netif, second->tx.size + 10);
    REQUIRE(second->nr_backlog, "more than the ring has room for");
    take_sent(TX2);
    played_interrupt();
    world_settle();
    EXPECT_EQ(second->nr_backlog, 0, "who waits for room is told");
    EXPECT_FALSE(played.broken, played_why);
}

TEST(a_device_that_refuses_more_pairs_is_used_with_one)
{
    struct netif *netif = two_pairs(1);
    struct ip_addr addr = addr_from_v4(htonl(0x0a4d0002));

    EXPECT_EQ(netif_add_addr(netif, &addr, 24), 0, NULL);
    netif_announce(netif);
    world_settle();
    EXPECT_TRUE(take_sent(TX) > 0, "by the first");
    EXPECT_EQ(take_sent(TX2), 0, "not by the second");
    EXPECT_FALSE(played.broken, played_why);
}

static bool interrupts_are_wanted(void)
{
    return !(played_queues[RX]->avail->flags & NO_INTERRUPT);
}

TEST(a_busy_machine_is_looked_at_without_interrupts)
{
    up();
    receive(HDR + 60);
    EXPECT_FALSE(interrupts_are_wanted(), "somebody will look");
    u64 before = netif_sum_stats(ours()).rx_packets;

    REQUIRE(played_fill(RX, frame, HDR + 60), "a buffer");
    EXPECT_TRUE(sched_look(false), "it is found");
    EXPECT_EQ(netif_sum_stats(ours()).rx_packets, before + 1, NULL);
    EXPECT_FALSE(sched_look(false), "there is no other");
    EXPECT_FALSE(interrupts_are_wanted(), "still");
    EXPECT_FALSE(sched_look(true), "nor before the CPU rests");
    EXPECT_TRUE(interrupts_are_wanted(), "who rests wants to be told");
    receive(HDR + 60);
    EXPECT_EQ(netif_sum_stats(ours()).rx_packets, before + 2, NULL);
}

TEST(a_machine_that_computes_has_interrupts_again)
{
    up();
    receive(HDR + 60);
    u64 before = netif_sum_stats(ours()).rx_packets;

    for (u32 i = 1; i <= 8; i++) {
        REQUIRE(played_fill(RX, frame, HDR + 60), "a buffer");
        world_pass(2 * NSEC_PER_MSEC);
        EXPECT_EQ(netif_sum_stats(ours()).rx_packets, before + i, "the timer looks");
    }
    for (u32 i = 0; i < 60; i++) {
        EXPECT_TRUE(interrupts_are_wanted(), "nobody has looked for long");
        receive(HDR + 60);
    }
    for (u32 i = 0; i < 10; i++)
        receive(HDR + 60);
    EXPECT_FALSE(interrupts_are_wanted(), "and once more");
}

TEST(a_broken_device_is_not_looked_at_for_ever)
{
    up();
    receive(HDR + 60);
    played_use(RX, 4711, 70);
    EXPECT_TRUE(sched_look(false), "something");
    EXPECT_TRUE(played.broken, "shut off");
    EXPECT_FALSE(sched_look(true), "nothing any more");
}
