/* The driver of virtio-vsock and the streams above it against a device that is played. */
#include "test.h"

#include "abi/vsock.h"
#include "fake/net_world.h"
#include "fake/played_device.h"
#include "net/socket.h"
#include "net/vsock.h"

enum { RX, TX, EVENT };
enum { OURS = 7, HOST = 2, PORT = 1234, HOST_PORT = 99, ALLOC = 256 << 10 };

static struct socket listener, stream;
static u32 nonblock = O_NONBLOCK;
static u8 packet[8192];

static void open_listener(void)
{
    struct sockaddr_vm_abi vm = {.family = AF_VSOCK, .cid = VMADDR_CID_ANY, .port = PORT};
    struct sock_addr addr = {.len = sizeof(vm)};
    int err;
    const struct proto_ops *ops = proto_find(AF_VSOCK, SOCK_STREAM, 0, &err);

    REQUIRE(ops, "there is AF_VSOCK");
    memcpy(addr.bytes, &vm, sizeof(vm));
    socket_init(&listener, ops, 0);
    socket_init(&stream, ops, 0);
    listener.file_flags = stream.file_flags = &nonblock;
    REQUIRE(!ops->create(&listener) && !ops->bind(&listener, &addr) && !ops->listen(&listener, 1),
            "it listens");
}

static void up(void)
{
    u64 cid = OURS;

    world_up("off");
    memcpy(played_config, &cid, sizeof(cid));
    REQUIRE(!played_start(&virtio_vsock_driver), "a driver");
    open_listener();
}

static bool host_sends(u16 op, u32 flags, u32 len, u32 fwd_cnt)
{
    struct vsock_hdr hdr = {.src_cid = HOST,
                            .dst_cid = OURS,
                            .src_port = HOST_PORT,
                            .dst_port = PORT,
                            .len = len,
                            .type = VSOCK_TYPE_STREAM,
                            .op = op,
                            .flags = flags,
                            .buf_alloc = ALLOC,
                            .fwd_cnt = fwd_cnt};

    memcpy(packet, &hdr, sizeof(hdr));
    bool taken = played_fill(RX, packet, (u32)sizeof(hdr) + len);
    played_interrupt();
    world_settle();
    return taken;
}

/* The operation of the next packet that the guest sent, 0: none; *@out its header. */
static u16 guest_sent(struct vsock_hdr *out)
{
    static u8 buf[65536];
    played_interrupt(); /* what waits for room */
    int n = played_take(TX, buf, sizeof(buf));

    if (n < (int)sizeof(*out))
        return 0;
    memcpy(out, buf, sizeof(*out));
    EXPECT_EQ(out->len, (u32)n - sizeof(*out), "the header tells the length");
    EXPECT_EQ(out->src_cid, OURS, NULL);
    EXPECT_EQ(out->dst_cid, HOST, NULL);
    return out->op;
}

static void connect_host(void)
{
    struct vsock_hdr hdr;

    up();
    REQUIRE(host_sends(VSOCK_REQUEST, 0, 0, 0), "a buffer");
    EXPECT_EQ(guest_sent(&hdr), VSOCK_RESPONSE, NULL);
    EXPECT_EQ(hdr.dst_port, HOST_PORT, NULL);
    EXPECT_EQ(hdr.buf_alloc, ALLOC, "it says what it has room for");
    EXPECT_EQ(listener.ops->accept(&listener, &stream), 0, NULL);
}

static ssize_t move(u8 *buf, size_t n, bool send)
{
    struct iovec iov;
    struct iov_iter it;
    struct sock_msg msg = {.data = &it, .flags = MSG_DONTWAIT};

    iter_init_kernel(&it, &iov, buf, n);
    return send ? stream.ops->send(&stream, &msg) : stream.ops->recv(&stream, &msg);
}

TEST(bytes_pass_both_ways_and_credit_is_returned)
{
    static u8 buf[ALLOC];
    struct vsock_hdr hdr;
    u32 got = 0;

    connect_host();
    for (u32 i = 0; i < 64; i++) {
        REQUIRE(host_sends(VSOCK_RW, 0, 2000, 0), "a buffer");
        ssize_t n = move(buf, sizeof(buf), false);
        got += (u32)n;
    }
    EXPECT_EQ(got, 64 * 2000, "all of it");
    EXPECT_EQ(guest_sent(&hdr), VSOCK_CREDIT_UPDATE, "once it was worth it");
    EXPECT_TRUE(hdr.fwd_cnt >= ALLOC / 4 && hdr.fwd_cnt < ALLOC / 4 + 2000, NULL);

    EXPECT_EQ(move(buf, 100000, true), 100000, "pieces of a long write");
    u32 sent = 0;
    while (guest_sent(&hdr) == VSOCK_RW)
        sent += hdr.len;
    EXPECT_EQ(sent, 100000, NULL);
    EXPECT_EQ(move(buf, sizeof(buf), true), ALLOC - 100000, "as far as credit goes");
    EXPECT_EQ(move(buf, 1, true), -EAGAIN, "no further");
    while (guest_sent(&hdr))
        ;
    host_sends(VSOCK_CREDIT_UPDATE, 0, 0, ALLOC);
    EXPECT_EQ(move(buf, 1, true), 1, "until there is room");
    stream.ops->close(&stream);
    EXPECT_EQ(guest_sent(&hdr), VSOCK_RW, NULL);
    EXPECT_EQ(guest_sent(&hdr), VSOCK_SHUTDOWN, "it says goodbye");
    EXPECT_EQ(hdr.flags, VSOCK_NOTHING, NULL);
}

TEST(the_end_is_told_and_answered)
{
    u8 buf[16];
    struct vsock_hdr hdr;

    connect_host();
    host_sends(VSOCK_RW, 0, 3, 0);
    host_sends(VSOCK_SHUTDOWN, VSOCK_NOTHING, 0, 0);
    EXPECT_EQ(guest_sent(&hdr), VSOCK_RST, "so that the host may forget it");
    EXPECT_EQ(move(buf, sizeof(buf), false), 3, "what came before is there");
    EXPECT_EQ(move(buf, sizeof(buf), false), 0, NULL);
    EXPECT_EQ(move(buf, 1, true), -EPIPE, NULL);
    host_sends(VSOCK_REQUEST, 0, 0, 0);
    EXPECT_EQ(guest_sent(&hdr), VSOCK_RESPONSE, "the port takes another");
    stream.ops->close(&stream);
    listener.ops->close(&listener);
    EXPECT_EQ(guest_sent(&hdr), VSOCK_RST, "who was not accepted");
    host_sends(VSOCK_REQUEST, 0, 0, 0);
    EXPECT_EQ(guest_sent(&hdr), VSOCK_RST, "nobody listens");
    host_sends(VSOCK_RST, 0, 0, 0);
    EXPECT_EQ(guest_sent(&hdr), 0, "a reset is not answered");
}

TEST(more_than_there_is_room_for_ends_the_stream)
{
    struct vsock_hdr hdr;
    u32 n = 0;

    connect_host();
    while (host_sends(VSOCK_RW, 0, 4000, 0) && !guest_sent(&hdr) && n < 1000)
        n++;
    EXPECT_EQ(n, ALLOC / 4000, "up to the last byte");
    EXPECT_EQ(hdr.op, VSOCK_RST, NULL);
    EXPECT_FALSE(played.broken, "one stream's fault is not the device's");
}

TEST(a_reset_of_the_transport_ends_all_streams)
{
    u8 buf[4];
    u32 reset = 0;
    u64 cid = OURS + 1;

    connect_host();
    memcpy(played_config, &cid, sizeof(cid));
    REQUIRE(played_fill(EVENT, &reset, sizeof(reset)), "a buffer for events");
    played_interrupt();
    EXPECT_EQ(stream.error, ECONNRESET, NULL);
    EXPECT_EQ(move(buf, 1, true), -EPIPE, NULL);
}

TEST(any_packet_at_all_is_survived)
{
    struct vsock_hdr hdr;

    connect_host();
    srand(2);
    for (u32 i = 0; i < 100000; i++) {
        u32 r = (u32)rand();
        struct vsock_hdr h = {.src_cid = r & 1 ? HOST : r >> 8 & 3,
                              .dst_cid = r & 2 ? OURS : r >> 10 & 7,
                              .src_port = r & 4 ? HOST_PORT : r >> 12,
                              .dst_port = r & 8 ? PORT : r >> 14,
                              .len = r & 16 ? r >> 20 : (u32)rand(),
                              .type = r & 32 || r & 64 ? VSOCK_TYPE_STREAM : (u16)(r >> 16),
                              .op = (u16)(r >> 7 & 15),
                              .flags = r >> 22,
                              .buf_alloc = r & 128 ? ALLOC : (u32)rand(),
                              .fwd_cnt = (u32)rand()};
        memcpy(packet, &h, sizeof(h));
        REQUIRE(played_fill(RX, packet, r % 4096), "the driver goes on");
        played_interrupt();
        world_settle();
        static u8 sent[4096];
        while (played_take(TX, sent, sizeof(sent)) >= 0)
            ;
    }
    (void)hdr;
    EXPECT_FALSE(played.broken, played_why);
    stream.ops->close(&stream);
    listener.ops->close(&listener);
    played_interrupt();
    EXPECT_TRUE(world_pages <= 32, "only what the device has");
}

TEST(a_device_that_lies_is_shut_off)
{
    static const struct {
        u32 id, len;
        const char *why;
    } lies[] = {
        {4711, 8, "a request that was never made"},
        {UINT32_MAX, 8, "never made"},
        {0, 4097, "past a buffer"},
    };
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        if (!i)
            up();
        else
            REQUIRE(!played_start(&virtio_vsock_driver), "a driver");
        played_use(RX, lies[i].id, lies[i].len);
        played_interrupt();
        EXPECT_TRUE(played.broken, NULL);
        EXPECT_TRUE(strstr(played_why, lies[i].why) != NULL, played_why);
    }
}
