/* The driver of virtio-net against a device that is played, and that does not play by the rules. */
#include "test.h"

#include "fake/net_world.h"
#include "fake/played_device.h"
#include "mm/page.h"

enum { RX, TX, HDR = 12 };
enum { F_CSUM = 0, F_GUEST_CSUM = 1, F_MAC = 5, F_GUEST_TSO4 = 7, F_MRG_RXBUF = 15, F_STATUS = 16 };

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
    u64 before = ours()->stats.rx_packets;
    for (u32 i = 0; i < 1000; i++)
        receive(HDR + 60 + i);
    EXPECT_EQ(ours()->stats.rx_packets, before + 1000, NULL);
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
        {0,             1,     "impossible size"},
        {HDR,           1,     "impossible size"},
        {HDR - 1,       1,     "impossible size"},
        {HDR + 60,      0,     "impossible size"},
        {HDR + 60,      20000, "impossible size"},
        {HDR + 60,      3,     "did not fill"   },
        {PAGE_SIZE + 1, 1,     "past a buffer"  },
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
