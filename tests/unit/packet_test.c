/* Packet sockets and their filters against frames made by hand. */
#include "test.h"

#include "fake/net_world.h"
#include "mm/heap.h"
#include "net/bpf.h"
#include "net/pkt.h"
#include "net/socket.h"

static u8 frame[256];
static struct socket sock;
static struct file_stub {
    u32 flags;
} stub;

static void up(void)
{
    world_up("10.0.0.2::10.0.0.1:255.255.255.0:::off");
    while (world_sent())
        ;
    for (u32 i = 0; i < sizeof(frame); i++)
        frame[i] = (u8)i;
}

/* ---- filters ---- */

static u32 run_on(const struct bpf_insn_abi *insns, u32 n, struct pkt *pkt)
{
    struct bpf_program *program = kmalloc(sizeof(*program) + n * sizeof(*insns));
    struct bpf_view view = {
        .pkt = pkt, .network = 14, .protocol = 0x0800, .type = PACKET_OTHERHOST, .ifindex = 7};

    program->len = n;
    memcpy(program->insns, insns, n * sizeof(*insns));
    u32 result = bpf_check(insns, n) ? 0xbad : bpf_run(program, &view);
    kfree(program);
    return result;
}

/* A packet of 64 bytes, each its own number, the last 24 in a page. */
static struct pkt *numbers(void)
{
    struct pkt *pkt = pkt_alloc();
    struct page *page = page_alloc(0, 0);

    memcpy(pkt_put(pkt, 40), frame, 40);
    memcpy(page_to_virt(page), frame + 40, 24);
    pkt_add_frag(pkt, page, page_to_virt(page), 24);
    return pkt;
}

#define RET_A                                                                                      \
    {                                                                                              \
        BPF_RET | BPF_A, 0, 0, 0                                                                   \
    }

TEST(filters_compute_as_the_manual_says)
{
    static const struct {
        struct bpf_insn_abi insns[5];
        u32 n, want;
        const char *what;
    } cases[] = {
        {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 4}, RET_A}, 2, 0x04050607, "a word, big-endian"},
        {{{BPF_LD | BPF_H | BPF_ABS, 0, 0, 39}, RET_A}, 2, 0x2728, "across pieces"},
        {{{BPF_LD | BPF_B | BPF_ABS, 0, 0, 63}, RET_A}, 2, 63, "the last byte"},
        {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 61}, RET_A}, 2, 0, "past the end drops"},
        {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0x7fffffff}, RET_A}, 2, 0, "far past it"},
        {{{BPF_LDX | BPF_IMM, 0, 0, 0xffffffff}, {BPF_LD | BPF_B | BPF_IND, 0, 0, 6}, RET_A},
         3,
         5,
         "sums wrap"},
        {{{BPF_LD | BPF_LEN, 0, 0, 0}, RET_A}, 2, 64, "the length"},
        {{{BPF_LDX | BPF_B | BPF_MSH, 0, 0, 5}, {BPF_MISC | BPF_TXA, 0, 0, 0}, RET_A},
         3,
         20,
         "an IP header's length"},
        {{{BPF_LD | BPF_B | BPF_ABS, 0, 0, (u32)SKF_NET_OFF + 1}, RET_A},
         2,
         15,
         "from the network"},
        {{{BPF_LD | BPF_B | BPF_ABS, 0, 0, (u32)SKF_LL_OFF + 1}, RET_A}, 2, 1, "from the link"},
        {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, (u32)SKF_AD_OFF + SKF_AD_PKTTYPE}, RET_A},
         2,
         PACKET_OTHERHOST,
         "the packet's type"},
        {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, (u32)SKF_AD_OFF + SKF_AD_IFINDEX}, RET_A},
         2,
         7,
         "where"},
        {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, (u32)SKF_AD_OFF + 12}, RET_A}, 2, 0, "not one of ours"},
        {{{BPF_LD | BPF_IMM, 0, 0, 7},
          {BPF_ST, 0, 0, 15},
          {BPF_LD | BPF_IMM, 0, 0, 1},
          {BPF_LD | BPF_MEM, 0, 0, 15},
          RET_A},
         5,
         7,
         "memory"},
        {{{BPF_LD | BPF_MEM, 0, 0, 3}, RET_A}, 2, 0, "memory that nobody has written"},
        {{{BPF_LD | BPF_IMM, 0, 0, 7}, {BPF_ALU | BPF_DIV | BPF_X, 0, 0, 0}, RET_A},
         3,
         0,
         "a division by zero drops"},
        {{{BPF_LD | BPF_IMM, 0, 0, 7}, {BPF_ALU | BPF_MOD | BPF_K, 0, 0, 4}, RET_A},
         3,
         3,
         "modulo"},
        {{{BPF_LD | BPF_IMM, 0, 0, 7}, {BPF_ALU | BPF_NEG, 0, 0, 0}, RET_A}, 3, -7u, "negation"},
        {{{BPF_JMP | BPF_JA, 0, 0, 1}, {BPF_RET | BPF_K, 0, 0, 1}, {BPF_RET | BPF_K, 0, 0, 2}},
         3,
         2,
         "a jump"},
        {{{BPF_LD | BPF_IMM, 0, 0, 7},
          {BPF_JMP | BPF_JSET | BPF_K, 1, 0, 2},
          {BPF_RET | BPF_K, 0, 0, 1},
          {BPF_RET | BPF_K, 0, 0, 2}},
         4,
         2,
         "a choice"},
        {{{BPF_JMP | BPF_JA, 0, 0, 2}, {BPF_RET | BPF_K, 0, 0, 1}, {BPF_RET | BPF_K, 0, 0, 2}},
         3,
         0xbad,
         "a jump past the end"},
        {{{BPF_STX, 0, 0, 16}, RET_A}, 2, 0xbad, "memory that is not there"},
    };
    up();
    u64 before = world_pages;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pkt *pkt = numbers();
        EXPECT_EQ(run_on(cases[i].insns, cases[i].n, pkt), cases[i].want, cases[i].what);
        pkt_free(pkt);
    }
    EXPECT_EQ(world_pages, before, "no page was lost");
}

/* Whatever passes the check ends and stays inside: ASan looks on. */
TEST(random_filters_do_no_harm)
{
    struct bpf_insn_abi insns[16];
    u32 ran = 0;

    up();
    srand(1);
    struct pkt *pkt = numbers();
    for (u32 round = 0; round < 200000; round++) {
        for (u32 i = 0; i < ARRAY_LEN(insns); i++) {
            u32 r = (u32)rand();
            insns[i] = (struct bpf_insn_abi){.code = (u16)(r & 0xff & ~(r >> 8 & 0x5a)),
                                             .jt = (u8)(r >> 16 & 3),
                                             .jf = (u8)(r >> 18 & 3),
                                             .k = r & 1 << 20 ? (u32)rand() : (u32)rand() % 20};
        }
        insns[ARRAY_LEN(insns) - 1].code = BPF_RET | BPF_A;
        u32 n = 1 + (u32)rand() % 4, from = (u32)ARRAY_LEN(insns) - n;
        ran += run_on(insns + from, n, pkt) != 0xbad;
    }
    EXPECT_TRUE(ran > 1000, "enough of them were run");
    pkt_free(pkt);
}

/* ---- sockets ---- */

static void open_socket(int type)
{
    int err;
    const struct proto_ops *ops = proto_find(AF_PACKET, type, __builtin_bswap16(ETH_P_ALL), &err);

    REQUIRE(ops, "there are packet sockets");
    socket_init(&sock, ops, __builtin_bswap16(ETH_P_ALL));
    sock.file_flags = &stub.flags;
    REQUIRE(!ops->create(&sock), "it is made");
}

static ssize_t receive(void *buf, size_t len)
{
    struct iovec iov;
    struct iov_iter to;
    struct sock_msg msg = {.data = &to, .flags = MSG_DONTWAIT};

    iter_init_kernel(&to, &iov, buf, len);
    return sock.ops->recv(&sock, &msg);
}

TEST(frames_for_others_are_heard_and_a_full_queue_drops)
{
    u8 buf[256];
    u32 got = 0, n = 0;

    up();
    open_socket(SOCK_RAW);
    frame[0] = frame[6] = 2; /* from one station to another */
    u64 before = world_pages;
    world_receive(frame, 100, true, CSUM_NONE);
    EXPECT_EQ(receive(buf, sizeof(buf)), 100, "all of it");
    EXPECT_MEM(buf, frame, 100, NULL);
    EXPECT_EQ(receive(buf, sizeof(buf)), -EAGAIN, "once");

    for (u32 i = 0; i < 1000; i++)
        world_receive(frame, 60, i & 1, CSUM_NONE);
    struct tpacket_stats_abi stats;
    u32 len = sizeof(stats);
    EXPECT_EQ(sock.ops->getopt(&sock, SOL_PACKET, PACKET_STATISTICS, &stats, &len), 0, NULL);
    EXPECT_EQ(stats.packets, 1001, NULL);
    while (receive(buf, sizeof(buf)) == 60)
        n++;
    got = n + stats.drops;
    EXPECT_EQ(got, 1000, "each was heard or counted");
    EXPECT_TRUE(n > 20 && stats.drops > 100, "some of both");
    sock.ops->close(&sock);
    EXPECT_EQ(world_pages, before, "no page was lost");
    EXPECT_FALSE(world_netif.tap, "nobody listens any more");
}

TEST(a_ring_survives_what_the_program_writes_into_it)
{
    struct tpacket_req_abi req = {4096, 2, 512, 16};
    u32 version = TPACKET_V2;

    up();
    u64 before = world_pages;
    open_socket(SOCK_DGRAM);
    frame[0] = frame[6] = 2;
    EXPECT_EQ(sock.ops->setopt(&sock, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)), -EINVAL,
              "version 1");
    EXPECT_EQ(sock.ops->setopt(&sock, SOL_PACKET, PACKET_VERSION, &version, 4), 0, NULL);
    EXPECT_EQ(sock.ops->setopt(&sock, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)), 0, NULL);
    struct page *page = sock.ops->map_page(&sock, 0);
    REQUIRE(page, "it can be mapped");
    EXPECT_FALSE(sock.ops->map_page(&sock, 2), "as far as it goes");
    u8 *map = page_to_virt(page);
    for (u32 round = 0; round < 100; round++) {
        world_receive(frame, 14 + round, true, CSUM_NONE);
        memset(map, round % 3 ? 0 : 0xff, PAGE_SIZE);
    }
    EXPECT_EQ(sock.ops->setopt(&sock, SOL_PACKET, PACKET_VERSION, &version, 4), -EBUSY, NULL);
    sock.ops->close(&sock);
    page_put(page);
    EXPECT_EQ(world_pages, before, "no page was lost");
}

TEST(rings_are_refused_or_made_whole)
{
    static const struct tpacket_req_abi bad[] = {
        {0, 1, 512, 8},
        {4095, 1, 512, 8},
        {12288, 1, 512, 24},
        {4096, 1, 0, 8},
        {4096, 1, 511, 8},
        {4096, 1, 16, 256},
        {4096, 1, 8192, 0},
        {4096, 2, 512, 8},
        {1u << 31, 1, 512, 1u << 22},
        {4096, 0x80000001, 2048, 2},
        {4096, 1u << 20, 4096, 1u << 20},
    };
    u32 version = TPACKET_V2;

    up();
    open_socket(SOCK_RAW);
    EXPECT_EQ(sock.ops->setopt(&sock, SOL_PACKET, PACKET_VERSION, &version, 4), 0, NULL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_TRUE(sock.ops->setopt(&sock, SOL_PACKET, PACKET_RX_RING, &bad[i], sizeof(bad[i])) <
                        0,
                    "refused");
    struct tpacket_req_abi req = {4096, 3, 1024, 12};
    u64 before = world_pages;
    FOR_EACH_FAULT(fault) {
        int err = sock.ops->setopt(&sock, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req));
        EXPECT_EQ(err, fault.err, fault.what);
        EXPECT_EQ(world_pages, before + (err ? 0 : 3), "all or nothing");
    }
    sock.ops->close(&sock);
}
