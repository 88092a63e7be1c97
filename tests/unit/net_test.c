/* The lower half of the stack against frames made by hand: what is answered, what is dropped, what
 * is held. Each test runs in a process of its own, so each brings the stack up anew. */
#include "test.h"

#include "fake/net_world.h"
#include "mm/page.h"
#include "net/ip.h"
#include "net/stats.h"
#include "net_frames.h"

static const char fixed[] = "10.0.0.2::10.0.0.1:255.255.255.0:::off";

static void put_echo(u32 n)
{
    struct icmp_hdr *icmp = (void *)(frame + L4_AT);

    *icmp = (struct icmp_hdr){.type = ICMP_ECHO, .id = be16_of(5), .seq = be16_of(6)};
    for (u32 i = sizeof(*icmp); i < n; i++)
        frame[L4_AT + i] = (u8)(i * 7);
    icmp->csum.raw = csum_fold(csum_add(icmp, n, 0));
}

static struct net_counters counters(void)
{
    struct net_counters c;

    net_counters_sum(&c);
    return c;
}

static void skip_sent(void)
{
    while (world_sent())
        ;
}

/* Start, with the peer's address known. */
static void up(void)
{
    world_up(fixed);
    put_arp(ARP_REQUEST, PEER, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    skip_sent();
}

TEST(arp_requests_for_us_are_answered)
{
    world_up(fixed);
    skip_sent();
    put_arp(ARP_REQUEST, PEER, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);

    const struct world_frame *f = world_sent();
    REQUIRE(f, "an answer");
    const struct arp_hdr *arp = (const void *)(f->bytes + 14);
    EXPECT_EQ(be16_get(arp->op), ARP_REPLY, NULL);
    EXPECT_MEM(arp->sender_mac, our_mac, 6, NULL);
    EXPECT_MEM(f->bytes, peer_mac, 6, "to who asked");

    put_arp(ARP_REQUEST, PEER, OURS + 1);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    EXPECT_FALSE(world_sent(), "somebody else's address");
    world_receive(frame, ARP_LEN - 1, false, CSUM_NONE);
    EXPECT_EQ(counters().arp_in_errors, 1, "cut short");
}

TEST(echoes_are_answered_with_their_data)
{
    up();
    for (u32 n = 8; n < 1400; n += 173)
        for (u32 paged = 0; paged < 2; paged++) {
            put_echo(n);
            world_receive(frame, put_ip4(IP_ICMP, PEER, OURS, n, 0), paged, CSUM_NONE);
            const struct world_frame *f = world_sent();
            REQUIRE(f, "an answer");
            EXPECT_EQ(f->len, L4_AT + n, NULL);
            EXPECT_EQ(f->bytes[L4_AT], ICMP_ECHO_REPLY, NULL);
            EXPECT_EQ(csum_fold(csum_add(f->bytes + L4_AT, n, 0)), 0, "checksum");
            EXPECT_EQ(csum_fold(csum_add(f->bytes + IP_AT, 20, 0)), 0, "header checksum");
            EXPECT_MEM(f->bytes + L4_AT + 4, frame + L4_AT + 4, n - 4, "data");
        }
    EXPECT_EQ(world_pages, 0, "all pages came back");
}

TEST(packets_wait_for_the_neighbour_and_time_out)
{
    world_up(fixed);
    skip_sent();
    put_echo(64);
    world_receive(frame, put_ip4(IP_ICMP, PEER, OURS, 64, 0), false, CSUM_NONE);
    const struct world_frame *f = world_sent();
    REQUIRE(f, "a question");
    EXPECT_EQ(f->bytes[13], 6, "by ARP");
    EXPECT_FALSE(world_sent(), "nothing else");
    put_arp(ARP_REPLY, PEER, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    f = world_sent();
    REQUIRE(f, "what waited");
    EXPECT_EQ(f->bytes[L4_AT], ICMP_ECHO_REPLY, NULL);

    put_echo(64);
    world_receive(frame, put_ip4(IP_ICMP, PEER + 8, OURS, 64, 0), false, CSUM_NONE);
    world_pass(10 * NSEC_PER_SEC);
    u32 asked = 0;
    while ((f = world_sent()))
        asked += f->bytes[13] == 6 && f->bytes[41] == ((PEER + 8) & 255);
    EXPECT_EQ(asked, 3, "RFC 4861: MAX_MULTICAST_SOLICIT");
}

TEST(malformed_ipv4_is_counted_and_dropped)
{
    up();
    put_echo(64);
    u32 len = put_ip4(IP_ICMP, PEER, OURS, 64, 0);
    for (u32 n = 14; n < len; n++)
        world_receive(frame, n, n & 1, CSUM_NONE);
    EXPECT_EQ(counters().ip_in_truncated, len - 14, "every shorter frame");

    frame[IP_AT + 8]++;
    world_receive(frame, len, false, CSUM_NONE);
    EXPECT_EQ(counters().ip_in_csum_errors, 1, "header checksum");
    put_ip4(IP_ICMP, PEER, OURS, 64, 0);
    frame[IP_AT] = 0x44;
    world_receive(frame, len, false, CSUM_NONE);
    frame[IP_AT] = 0x65;
    world_receive(frame, len, false, CSUM_NONE);
    EXPECT_EQ(counters().ip_in_hdr_errors, 3, "length and version");

    static const u32 spoofed[] = {0x7f000001, 0xe0000001, 0xffffffff, OURS, 0x0a0000ff};
    for (u32 i = 0; i < ARRAY_LEN(spoofed); i++)
        world_receive(frame, put_ip4(IP_ICMP, spoofed[i], OURS, 64, 0), false, CSUM_NONE);
    EXPECT_EQ(counters().ip_in_addr_errors, ARRAY_LEN(spoofed), "sources that cannot be");
    world_receive(frame, put_ip4(IP_ICMP, PEER, 0x7f000001, 64, 0), false, CSUM_NONE);
    world_receive(frame, put_ip4(IP_ICMP, PEER, OURS + 9, 64, 0), false, CSUM_NONE);
    EXPECT_EQ(counters().ip_in_addr_errors, ARRAY_LEN(spoofed) + 2, "not for us");
    EXPECT_FALSE(world_sent(), "none was answered");
    EXPECT_EQ(world_pages, 0, NULL);
}

/* One fragment of an echo of @total bytes that stands in @whole. */
static void send_fragment(const u8 *whole, u32 at, u32 n, u32 total)
{
    memcpy(frame + L4_AT, whole + at, n);
    u16 frag = (u16)(at / 8 | (at + n < total ? IP4_MF : 0));
    world_receive(frame, put_ip4(IP_ICMP, PEER, OURS, n, frag), n > 200, CSUM_NONE);
}

TEST(fragments_are_joined_in_any_order)
{
    static const u32 orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 1, 0, 3}};
    static u8 whole[1400];

    up();
    put_echo(sizeof(whole));
    memcpy(whole, frame + L4_AT, sizeof(whole));
    for (u32 o = 0; o < ARRAY_LEN(orders); o++) {
        for (u32 i = 0; i < 4; i++)
            send_fragment(whole, orders[o][i] * 352, min(352u, 1400 - orders[o][i] * 352), 1400);
        if (o == 3) {
            EXPECT_FALSE(world_sent(), "one is missing, one came twice");
            send_fragment(whole, 2 * 352, 352, 1400);
        }
        const struct world_frame *f = world_sent();
        REQUIRE(f, "an answer");
        EXPECT_EQ(f->len, L4_AT + 1400, NULL);
        EXPECT_MEM(f->bytes + L4_AT + 4, whole + 4, 1396, NULL);
    }
    EXPECT_EQ(counters().ip_reasm_oks, 4, NULL);
    EXPECT_EQ(world_pages, 0, NULL);
}

TEST(overlapping_fragments_kill_the_datagram)
{
    static u8 whole[1400];

    up();
    send_fragment(whole, 0, 352, 1400);
    send_fragment(whole, 344, 352, 1400);
    send_fragment(whole, 352, 1048, 1400);
    EXPECT_EQ(counters().ip_reasm_overlaps, 1, NULL);
    EXPECT_EQ(counters().ip_reasm_oks, 0, NULL);
    frame[0] = our_mac[0];
    memset(frame + L4_AT, 0, 64);
    world_receive(frame, put_ip4(IP_ICMP, PEER, OURS, 64, 0x1fff), false, CSUM_NONE);
    EXPECT_EQ(counters().ip_reasm_fails, 2, "and what lies past 65535");
    world_pass(40 * NSEC_PER_SEC);
    EXPECT_EQ(world_pages, 0, "nothing is held after the time");
}

TEST(fragments_are_bounded_in_number_and_time)
{
    up();
    for (u32 i = 0; i < 1000; i++) {
        memset(frame + L4_AT, 0, 64);
        u32 len = put_ip4(IP_ICMP, PEER, OURS, 64, IP4_MF);
        struct ip4_hdr *ip = (void *)(frame + IP_AT);
        ip->id = be16_of((u16)i);
        ip->csum.raw = 0;
        ip->csum.raw = csum_fold(csum_add(ip, 20, 0));
        world_receive(frame, len, true, CSUM_NONE);
    }
    EXPECT_TRUE(world_pages <= 64, "the oldest went");
    world_pass(31 * NSEC_PER_SEC);
    EXPECT_EQ(world_pages, 0, NULL);
    EXPECT_EQ(counters().ip_reasm_timeout, 64, NULL);
}

static u32 put_udp(u16 dst, u32 n)
{
    struct udp_hdr *udp = (void *)(frame + L4_AT);
    struct ip_addr a = addr_from_v4(be32_of(PEER).raw), b = addr_from_v4(be32_of(OURS).raw);

    *udp =
        (struct udp_hdr){.src = be16_of(9999), .dst = be16_of(dst), .len = be16_of((u16)(8 + n))};
    udp->csum.raw = csum_fold(csum_add(udp, 8 + n, ip_pseudo_csum(&a, &b, IP_UDP, 8 + n)));
    return put_ip4(IP_UDP, PEER, OURS, 8 + n, 0);
}

TEST(closed_ports_and_unknown_protocols_are_told)
{
    up();
    world_receive(frame, put_udp(1234, 100), false, CSUM_NONE);
    const struct world_frame *f = world_sent();
    REQUIRE(f, "an error");
    EXPECT_EQ(f->bytes[L4_AT], ICMP_UNREACHABLE, NULL);
    EXPECT_EQ(f->bytes[L4_AT + 1], ICMP_PORT_UNREACHABLE, NULL);
    EXPECT_MEM(f->bytes + L4_AT + 8, frame + IP_AT, 28, "quotes both headers");
    world_receive(frame, put_ip4(200, PEER, OURS, 20, 0), false, CSUM_NONE);
    f = world_sent();
    REQUIRE(f, "an error");
    EXPECT_EQ(f->bytes[L4_AT + 1], ICMP_PROTO_UNREACHABLE, NULL);

    frame[L4_AT + 8] ^= 1;
    u32 len = put_udp(1234, 100);
    frame[L4_AT + 9] ^= 1;
    world_receive(frame, len, false, CSUM_NONE);
    EXPECT_EQ(counters().udp_in_csum_errors, 1, "corrupt ones are not");
    for (u32 i = 0; i < 500; i++)
        world_receive(frame, put_udp(1234, 10), false, CSUM_NONE);
    EXPECT_TRUE(counters().icmp_out_rate_limited > 400, "and not more than so many");
}

/* ---- addresses ---- */

TEST(addresses_are_read_and_written_as_rfc_5952_says)
{
    static const char *const good[] = {"::",
                                       "::1",
                                       "1::",
                                       "fe80::1:2",
                                       "1:2:3:4:5:6:7:8",
                                       "0.0.0.0",
                                       "2001:db8::1:0:0:1",
                                       "255.255.255.255",
                                       "::ffff:1.2.3.4",
                                       "2001:db8:0:1:1:1:1:1"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":::",
                                      "1::2::3",
                                      "1:2:3:4:5:6:7",
                                      "1.2.3",
                                      "1.2.3.256",
                                      "1:2:3:4:5:6:7:8:9",
                                      "12345::",
                                      "1.2.3.4.5",
                                      "::1.2.3",
                                      "1:",
                                      ":1",
                                      "g::"};
    struct ip_addr a;
    char text[ADDR_TEXT_MAX];

    for (u32 i = 0; i < ARRAY_LEN(good); i++)
        EXPECT_STR(addr_parse(good[i], &a) ? addr_format(&a, text) : "refused", good[i], NULL);
    for (u32 i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_FALSE(addr_parse(bad[i], &a), bad[i]);
}

TEST(checksums_do_not_depend_on_how_bytes_are_cut)
{
    u8 bytes[900];

    world_up("off");
    for (u32 i = 0; i < sizeof(bytes); i++)
        bytes[i] = (u8)(i * 31 + i / 7);
    for (u32 n = 0; n < sizeof(bytes); n += 13) {
        u32 want = 0;
        for (u32 i = 0; i < n; i++)
            want += i & 1 ? (u32)bytes[i] << 8 : bytes[i];
        struct pkt *pkt = pkt_alloc();
        REQUIRE(pkt_append(pkt, bytes, sizeof(bytes)), NULL);
        EXPECT_EQ(csum_fold(pkt_csum(pkt, 0, n, 0)), csum_fold(want), NULL);
        struct pkt *part = pkt_slice(pkt, n, sizeof(bytes) - n), *head = pkt_slice(pkt, 0, n);
        REQUIRE(part && head, NULL);
        u32 sum = pkt_csum(pkt, n, sizeof(bytes) - n, 0);
        EXPECT_EQ(csum_fold(pkt_csum(part, 0, part->total, 0)), csum_fold(sum), NULL);
        pkt_free(head);
        pkt_free(part);
        pkt_free(pkt);
    }
    EXPECT_EQ(world_pages, 0, NULL);
}

/* ---- joining segments ---- */

static u32 got_packets, got_bytes;

static void tcp_taker(struct pkt *pkt, const struct ip_info *info)
{
    u8 flags = 0;

    (void)info;
    pkt_copy_out(pkt, 13, &flags, 1);
    EXPECT_TRUE(flags & 16, "an ACK");
    got_packets++;
    got_bytes += pkt->total - 20;
    pkt_free(pkt);
}

static struct pkt *segment(u32 seq, u32 n, u8 flags)
{
    u8 *tcp = frame + L4_AT;
    struct ip_addr a = addr_from_v4(be32_of(PEER).raw), b = addr_from_v4(be32_of(OURS).raw);
    struct page *page = page_alloc(0, 0);

    memset(tcp, 0, 20 + n);
    memcpy(tcp, (u8[]){0, 80, 0, 90}, 4);
    *(be32 *)(void *)(tcp + 4) = be32_of(seq);
    tcp[12] = 0x50;
    tcp[13] = flags;
    u16 sum = csum_fold(csum_add(tcp, 20 + n, ip_pseudo_csum(&a, &b, IP_TCP, 20 + n)));
    memcpy(tcp + 16, &sum, 2);
    u32 len = put_ip4(IP_TCP, PEER, OURS, 20 + n, 0);
    memcpy(page_to_virt(page), frame, len);
    return pkt_alloc_page(page, 0, len);
}

TEST(segments_of_a_flow_are_joined_in_order_alone)
{
    static const struct transport taker = {.protocol = IP_TCP, .input = tcp_taker};
    static const struct {
        u32 seq, n;
        u8 flags;
    } rows[] = {
        {1000, 1000, 16}, {2000, 1000, 16}, {3000, 500, 24}, /* one, ended by PSH */
        {3500, 1000, 16}, {5000, 1000, 16}, {4500, 500, 16}, /* a hole: three */
        {9000, 1000, 17}, {9100, 100, 18},                   /* FIN and SYN: as they are */
    };

    up();
    transport_register(&taker);
    for (u32 i = 0; i < ARRAY_LEN(rows); i++)
        netif_receive(&world_netif, segment(rows[i].seq, rows[i].n, rows[i].flags));
    netif_receive_done(&world_netif);
    EXPECT_EQ(got_packets, 6, NULL);
    EXPECT_EQ(got_bytes, 6100, "none is lost");
    struct pkt *bad = segment(1, 1000, 16);
    bad->data[80] ^= 1;
    netif_receive(&world_netif, bad);
    netif_receive_done(&world_netif);
    EXPECT_EQ(got_packets, 7, "a wrong checksum is TCP's to find");
    EXPECT_EQ(world_pages, 0, NULL);
}
