/* The device process against drivers, good and hostile. */
#include "unit/test.h"

#include "device/offer.h"
#include "fake/device_guest.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = GUEST_DATA, BUFFER = GUEST_DATA + 0x1000, STATUS = GUEST_DATA + 0x100 };
enum { DISK_BYTES = 64 * 512, READ = 0, WRITE = 1, FLUSH = 4, DISCARD = 11 };
#define VERSION_1 BIT(DEVICE_F_VERSION_1)

struct disk_world {
    struct fake_guest fake;
    struct disk disk;
};

static void disk_up(struct disk_world *w, bool readonly)
{
    fake_guest_init(&w->fake, 1);
    offer_init(w->fake.window);
    offer_disk(w->fake.window, DISK_BYTES, readonly);
    w->disk = (struct disk){.readonly = readonly, .sectors = DISK_BYTES / 512};
    w->disk.fd = memfd_create("disk", 0);
    REQUIRE(w->disk.fd >= 0 && !ftruncate(w->disk.fd, DISK_BYTES), "a file");
    device_init(&w->disk.dev, &w->fake.guest, 0, "disk", -1);
    fake_start(&w->fake, &w->disk.dev, VERSION_1 | BIT(13) * !readonly, 1);
}

static void disk_down(struct disk_world *w)
{
    close(w->disk.fd);
    fake_guest_fini(&w->fake);
}

static void set_header(struct disk_world *w, u32 type, u64 sector)
{
    u32 *header = fake_at(&w->fake, HEADER);

    header[0] = type;
    header[1] = 0;
    memcpy(header + 2, &sector, sizeof(sector));
    *(u8 *)fake_at(&w->fake, STATUS) = 255;
}

/* One request of @len bytes at BUFFER; its status. */
static u8 request(struct disk_world *w, u32 type, u64 sector, u32 len)
{
    bool in = type == READ;

    set_header(w, type, sector);
    *fake_desc(&w->fake, 0, 0) = (struct fake_desc){HEADER, 16, DESC_NEXT, 1};
    *fake_desc(&w->fake, 0, 1) =
        (struct fake_desc){BUFFER, len, (u16)(DESC_NEXT | (in ? DESC_WRITE : 0)), 2};
    *fake_desc(&w->fake, 0, 2) = (struct fake_desc){STATUS, 1, DESC_WRITE, 0};
    if (!len)
        fake_desc(&w->fake, 0, 0)->next = 2;
    fake_offer(&w->fake, 0, 0);
    disk_serve(&w->disk);
    return *(u8 *)fake_at(&w->fake, STATUS);
}

TEST(disk_reads_back_what_was_written)
{
    struct disk_world w;
    char want[1024];
    u32 len = 0;

    disk_up(&w, false);
    memset(want, 'x', sizeof(want));
    memset(fake_at(&w.fake, BUFFER), 'x', sizeof(want));
    EXPECT_EQ(request(&w, WRITE, 3, 1024), 0, "written");
    memset(fake_at(&w.fake, BUFFER), 0, sizeof(want));
    EXPECT_EQ(request(&w, READ, 3, 1024), 0, "read");
    EXPECT_MEM(fake_at(&w.fake, BUFFER), want, sizeof(want), "the bytes");
    EXPECT_EQ(fake_used(&w.fake, 0, &len), 2, "both came back");
    EXPECT_EQ(len, 1025, "data and status");
    EXPECT_EQ(request(&w, FLUSH, 0, 0), 0, "flushed");
    EXPECT_EQ(*(u32 *)fake_at(&w.fake, GUEST_PENDING), 1u << 5, "an interrupt on its line");
    disk_down(&w);
}

TEST(disk_discards_ranges)
{
    struct disk_world w;
    struct {
        u64 sector;
        u32 count, flags;
    } range = {2, 4, 0};
    static const char zeroes[4 * 512];

    disk_up(&w, false);
    memset(fake_at(&w.fake, BUFFER), 'x', 4096);
    EXPECT_EQ(request(&w, WRITE, 0, 4096), 0, NULL);
    memcpy(fake_at(&w.fake, BUFFER), &range, sizeof(range));
    EXPECT_EQ(request(&w, DISCARD, 0, sizeof(range)), 0, "discarded");
    EXPECT_EQ(request(&w, READ, 0, 4096), 0, NULL);
    EXPECT_MEM(fake_at(&w.fake, BUFFER + 1024), zeroes, sizeof(zeroes), "a hole is zero");
    EXPECT_EQ(*(char *)fake_at(&w.fake, BUFFER + 1023), 'x', "what is before is not");
    EXPECT_EQ(*(char *)fake_at(&w.fake, BUFFER + 1024 + 2048), 'x', "nor what is behind");
    range.sector = 63;
    memcpy(fake_at(&w.fake, BUFFER), &range, sizeof(range));
    EXPECT_EQ(request(&w, DISCARD, 0, sizeof(range)), 1, "past the end");
    EXPECT_EQ(request(&w, DISCARD, 0, sizeof(range) - 1), 1, "half a range");
    disk_down(&w);
}

TEST(disk_refuses_what_lies_past_its_end)
{
    struct disk_world w;

    disk_up(&w, false);
    EXPECT_EQ(request(&w, READ, 63, 512), 0, "the last");
    EXPECT_EQ(request(&w, READ, 63, 1024), 1, "one too many");
    EXPECT_EQ(request(&w, READ, 1ull << 55, 512), 1, "bytes wrap");
    EXPECT_EQ(request(&w, WRITE, ~0ull, 512), 1, "the sum wraps");
    EXPECT_EQ(request(&w, WRITE, 0, 511), 1, "no whole sector");
    EXPECT_EQ(request(&w, 77, 0, 512), 2, "no such request");
    EXPECT_FALSE(w.disk.dev.broken, "these are answers, not reasons to shut off");
    disk_down(&w);
}

TEST(disk_that_is_read_only_stays_as_it_is)
{
    struct disk_world w;

    disk_up(&w, true);
    memset(fake_at(&w.fake, BUFFER), 'x', 512);
    EXPECT_EQ(request(&w, WRITE, 0, 512), 1, "write");
    EXPECT_EQ(request(&w, DISCARD, 0, 16), 2, "not agreed on");
    EXPECT_EQ(request(&w, READ, 0, 512), 0, "read");
    EXPECT_EQ(*(char *)fake_at(&w.fake, BUFFER), 0, "unchanged");
    disk_down(&w);
}

/* ---- rings that are broken ---- */

static void expect_shut_off(struct disk_world *w, const char *word)
{
    disk_serve(&w->disk);
    fflush(w->fake.guest.words);
    EXPECT_TRUE(w->disk.dev.broken, word);
    EXPECT_TRUE(w->fake.words && strstr(w->fake.words, word), word);
    EXPECT_EQ(window_device(w->fake.window, 0)->trouble, WINDOW_STATUS_NEEDS_RESET, word);
    EXPECT_EQ(fake_used(&w->fake, 0, NULL), 0, "nothing was answered");
    disk_down(w);
}

TEST(a_chain_that_is_a_loop_shuts_the_device_off)
{
    struct disk_world w;

    disk_up(&w, false);
    *fake_desc(&w.fake, 0, 0) = (struct fake_desc){HEADER, 16, DESC_NEXT, 1};
    *fake_desc(&w.fake, 0, 1) = (struct fake_desc){BUFFER, 16, DESC_NEXT, 0};
    fake_offer(&w.fake, 0, 0);
    expect_shut_off(&w, "without an end");
}

TEST(addresses_outside_of_the_memory_shut_the_device_off)
{
    static const struct fake_desc bad[] = {
        {GUEST_MEMORY - 15, 16, 0, 0}, {GUEST_MEMORY, 1, 0, 0},      {~0ull, 1, 0, 0},
        {~0ull - 7, 16, 0, 0},         {HEADER, GUEST_MEMORY, 0, 0}, {1ull << 63, 0xffffffff, 0, 0},
        {GUEST_MEMORY + 1, 0, 0, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct disk_world w;
        disk_up(&w, false);
        *fake_desc(&w.fake, 0, 0) = bad[i];
        fake_offer(&w.fake, 0, 0);
        expect_shut_off(&w, "outside of the memory");
    }
}

TEST(indices_that_the_queue_does_not_have_shut_the_device_off)
{
    struct disk_world w;

    disk_up(&w, false);
    fake_offer(&w.fake, 0, GUEST_QUEUE);
    expect_shut_off(&w, "does not have");
    disk_up(&w, false);
    *fake_desc(&w.fake, 0, 0) = (struct fake_desc){HEADER, 16, DESC_NEXT, 0xffff};
    fake_offer(&w.fake, 0, 0);
    expect_shut_off(&w, "does not have");
    disk_up(&w, false);
    ((u16 *)fake_at(&w.fake, GUEST_RINGS + 0x100))[1] = GUEST_QUEUE + 1;
    expect_shut_off(&w, "more chains");
}

TEST(chains_of_the_wrong_kind_shut_the_device_off)
{
    struct disk_world w;

    disk_up(&w, false);
    *fake_desc(&w.fake, 0, 0) = (struct fake_desc){HEADER, 16, DESC_INDIRECT, 0};
    fake_offer(&w.fake, 0, 0);
    expect_shut_off(&w, "indirect");
    disk_up(&w, false);
    *fake_desc(&w.fake, 0, 0) = (struct fake_desc){HEADER, 16, DESC_NEXT | DESC_WRITE, 1};
    *fake_desc(&w.fake, 0, 1) = (struct fake_desc){BUFFER, 16, 0, 0};
    fake_offer(&w.fake, 0, 0);
    expect_shut_off(&w, "behind one to write");
    disk_up(&w, false);
    *fake_desc(&w.fake, 0, 0) = (struct fake_desc){HEADER, 16, 0, 0};
    fake_offer(&w.fake, 0, 0);
    expect_shut_off(&w, "without a header or a place for its status");
}

TEST(queues_that_cannot_be_shut_the_device_off)
{
    static const struct {
        u64 desc, avail, used;
        u16 size;
    } bad[] = {
        {GUEST_MEMORY, 0x1100, 0x1200, 8},     {0x1000, GUEST_MEMORY - 2, 0x1200, 8},
        {0x1000, 0x1100, GUEST_MEMORY - 4, 8}, {~0ull & ~15ull, 0x1100, 0x1200, 8},
        {0x1008, 0x1100, 0x1200, 8},           {0x1000, 0x1101, 0x1200, 8},
        {0x1000, 0x1100, 0x1202, 8},           {0x1000, 0x1100, 0x1200, 0},
        {0x1000, 0x1100, 0x1200, 7},           {0x1000, 0x1100, 0x1200, 0x8000},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct disk_world w;
        disk_up(&w, false);
        struct window_queue *queue = &w.disk.dev.page->queue[0];
        queue->desc = bad[i].desc;
        queue->avail = bad[i].avail;
        queue->used = bad[i].used;
        queue->size = bad[i].size;
        expect_shut_off(&w, "ingot-device: disk: shut off");
    }
}

TEST(features_that_were_not_offered_shut_the_device_off)
{
    struct disk_world w;

    disk_up(&w, true);
    w.disk.dev.page->features |= BIT(14);
    w.disk.dev.page->offered |= BIT(14); /* the guest may write there, which changes nothing */
    expect_shut_off(&w, "features");
    disk_up(&w, false);
    w.disk.dev.page->features = 0;
    expect_shut_off(&w, "features");
}

TEST(interrupts_go_nowhere_but_into_the_memory)
{
    static const u64 bad[] = {0, 2, GUEST_MEMORY - 3, GUEST_MEMORY, ~0ull};
    struct disk_world w;

    disk_up(&w, false);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        w.fake.window->cpu[0].pending = bad[i];
        EXPECT_EQ(request(&w, READ, 0, 512), 0, "served all the same");
    }
    w.fake.window->cpu[0].pending = GUEST_PENDING;
    w.disk.dev.page->queue[0].cpu = 255;
    EXPECT_EQ(request(&w, READ, 0, 512), 0, NULL);
    w.disk.dev.page->queue[0].cpu = 0;
    w.disk.dev.page->queue[0].line = 32;
    EXPECT_EQ(request(&w, READ, 0, 512), 0, NULL);
    EXPECT_EQ(*(u32 *)fake_at(&w.fake, GUEST_PENDING), 0, "nobody was told");
    disk_down(&w);
}

TEST(a_cpu_that_waits_gets_a_byte)
{
    struct disk_world w;
    char byte;

    disk_up(&w, false);
    w.fake.window->cpu[0].waiting = 1;
    EXPECT_EQ(request(&w, READ, 0, 512), 0, NULL);
    EXPECT_EQ(read(w.fake.irq[0], &byte, 1), 1, "a byte");
    disk_down(&w);
}

TEST(a_device_that_is_reset_lets_go)
{
    struct disk_world w;

    disk_up(&w, false);
    EXPECT_EQ(request(&w, READ, 0, 512), 0, NULL);
    w.disk.dev.page->status = 0;
    w.disk.dev.page->request++;
    fake_offer(&w.fake, 0, 0);
    EXPECT_FALSE(disk_serve(&w.disk), "nothing is taken");
    EXPECT_EQ(w.disk.dev.page->answer, w.disk.dev.page->request, "it says so");
    disk_down(&w);
}

/* ---- a network over a socket that plays the tap ---- */

struct net_world {
    struct fake_guest fake;
    struct net *net;
    int wire;
};

static void net_up(struct net_world *w)
{
    static const u8 mac[6] = {2};
    int pair[2];

    fake_guest_init(&w->fake, 1);
    offer_init(w->fake.window);
    offer_net(w->fake.window, mac, true);
    w->net = calloc(1, sizeof(*w->net));
    REQUIRE(w->net && !socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), "a wire");
    w->net->tap = pair[0];
    w->net->pcap = -1;
    w->wire = pair[1];
    device_init(&w->net->dev, &w->fake.guest, 0, "net", -1);
    fake_start(&w->fake, &w->net->dev, VERSION_1 | BIT(NET_F_MRG_RXBUF), 2);
    device_update(&w->net->dev);
}

static void net_down(struct net_world *w)
{
    close(w->net->tap);
    close(w->wire);
    free(w->net);
    fake_guest_fini(&w->fake);
}

TEST(net_sends_frames_with_their_header)
{
    struct net_world w;
    char got[128];

    net_up(&w);
    memset(fake_at(&w.fake, BUFFER), 'f', 80);
    *fake_desc(&w.fake, NET_TX, 3) = (struct fake_desc){BUFFER, 12, DESC_NEXT, 4};
    *fake_desc(&w.fake, NET_TX, 4) = (struct fake_desc){BUFFER + 12, 60, 0, 0};
    fake_offer(&w.fake, NET_TX, 3);
    EXPECT_EQ(tap_serve(w.net), 1, NULL);
    EXPECT_EQ(recv(w.wire, got, sizeof(got), 0), 72, "in one piece");
    EXPECT_EQ(fake_used(&w.fake, NET_TX, NULL), 1, "and gives the chain back");
    net_down(&w);
}

TEST(net_fills_as_many_buffers_as_a_frame_needs)
{
    struct net_world w;
    char frame[250];
    u32 len = 0;

    net_up(&w);
    memset(frame, 'r', sizeof(frame));
    for (u16 i = 0; i < 4; i++) {
        *fake_desc(&w.fake, NET_RX, i) = (struct fake_desc){BUFFER + i * 100u, 100, DESC_WRITE, 0};
        fake_offer(&w.fake, NET_RX, i);
    }
    EXPECT_EQ(send(w.wire, frame, sizeof(frame), 0), sizeof(frame), NULL);
    EXPECT_EQ(tap_serve(w.net), 1, NULL);
    device_publish(&w.net->dev, NET_RX);
    EXPECT_EQ(fake_used(&w.fake, NET_RX, &len), 3, "three of four");
    EXPECT_EQ(len, 50, "the rest is in the last");
    EXPECT_EQ(((struct net_hdr *)fake_at(&w.fake, BUFFER))->num_buffers, 3,
              "and the first says so");
    EXPECT_EQ(w.net->held.count, 1, "one is kept for the next frame");
    net_down(&w);
}

TEST(net_refuses_buffers_without_room_for_a_header)
{
    struct net_world w;

    net_up(&w);
    *fake_desc(&w.fake, NET_RX, 0) = (struct fake_desc){BUFFER, 11, DESC_WRITE, 0};
    fake_offer(&w.fake, NET_RX, 0);
    (void)tap_serve(w.net);
    EXPECT_TRUE(w.net->dev.broken, "shut off");
    net_down(&w);
}

TEST(net_delivers_nothing_where_there_is_no_room)
{
    static const char frame[300];
    struct net_world w;

    net_up(&w);
    EXPECT_FALSE(net_deliver(w.net, frame, sizeof(frame)), "no buffer");
    *fake_desc(&w.fake, NET_RX, 0) = (struct fake_desc){BUFFER, 200, DESC_WRITE, 0};
    fake_offer(&w.fake, NET_RX, 0);
    EXPECT_FALSE(net_deliver(w.net, frame, sizeof(frame)), "too small a buffer");
    *fake_desc(&w.fake, NET_RX, 1) = (struct fake_desc){BUFFER + 200, 200, DESC_WRITE, 0};
    fake_offer(&w.fake, NET_RX, 1);
    EXPECT_TRUE(net_deliver(w.net, frame, sizeof(frame)), "two are enough");
    net_down(&w);
}

/* What a capture says of its only record, and how long the file is. */
static off_t read_record(int fd, u32 *stored, u32 *len)
{
    enum { FILE_HEADER = 24, RECORD_HEADER = 16 };
    u32 record[RECORD_HEADER / sizeof(u32)] = {0};

    REQUIRE(pread(fd, record, sizeof(record), FILE_HEADER) == RECORD_HEADER, "a record");
    *stored = record[2];
    *len = record[3];
    return lseek(fd, 0, SEEK_END) - FILE_HEADER - RECORD_HEADER;
}

TEST(capture_stays_readable_whatever_a_driver_calls_a_frame)
{
    enum { MOST = 262144, PIECES = 200 };
    static char bytes[MOST + 1000];
    struct iovec whole = {bytes, sizeof(bytes)}, pieces[PIECES];
    u32 stored, len;
    int fd = memfd_create("capture", 0);

    REQUIRE(fd >= 0 && !pcap_start(fd), "a file");
    pcap_frame(fd, &whole, 1, sizeof(struct net_hdr), sizeof(bytes));
    EXPECT_EQ(read_record(fd, &stored, &len), MOST, "no more than the file's header promises");
    EXPECT_EQ(stored, MOST, "and the record says so");
    EXPECT_EQ(len, sizeof(bytes) - sizeof(struct net_hdr), "and how long the frame was");

    REQUIRE(!ftruncate(fd, 24) && lseek(fd, 24, SEEK_SET) == 24, "once more");
    for (u32 i = 0; i < PIECES; i++)
        pieces[i] = (struct iovec){bytes + i * 12ul, 12};
    pcap_frame(fd, pieces, PIECES, sizeof(struct net_hdr), PIECES * 12);
    off_t there = read_record(fd, &stored, &len);
    EXPECT_EQ(there, stored, "what did not fit is not promised");
    EXPECT_EQ(len, (PIECES - 1) * 12, "the frame's own length");
    close(fd);
}
