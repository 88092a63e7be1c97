/* How an interface gets its addresses and loses them: DHCP, routers, and other hosts that have the
 * same one. Each test runs in a process of its own, so each brings the stack up anew. */
#include "test.h"

#include "fake/net_world.h"
#include "net/ip.h"
#include "net/ip6.h"
#include "net_frames.h"

static void skip_sent(void)
{
    while (world_sent())
        ;
}

/* ---- DHCP ---- */

static struct {
    u8 hdr[240], options[320];
} dhcp;

static u32 dhcp_xid(void)
{
    const struct world_frame *f;
    u32 xid = 0;

    while ((f = world_sent()))
        if (f->len > 282 && f->bytes[13] == 0 && f->bytes[23] == IP_UDP && f->bytes[37] == 67)
            memcpy(&xid, f->bytes + 42 + 4, 4);
    return xid;
}

static void dhcp_answer(u32 xid, const u8 *options, u32 n)
{
    memset(&dhcp, 0, sizeof(dhcp));
    dhcp.hdr[0] = 2;
    memcpy(dhcp.hdr + 4, &xid, 4);
    memcpy(dhcp.hdr + 16, (u8[]){10, 0, 0, 2}, 4);
    memcpy(dhcp.hdr + 28, our_mac, 6);
    memcpy(dhcp.hdr + 236, (u8[]){0x63, 0x82, 0x53, 0x63}, 4);
    memcpy(dhcp.options, options, n);
    memcpy(frame + L4_AT + 8, &dhcp, 240 + n);
    struct udp_hdr *udp = (void *)(frame + L4_AT);
    *udp = (struct udp_hdr){.src = be16_of(67), .dst = be16_of(68), .len = be16_of((u16)(248 + n))};
    world_receive(frame, put_ip4(IP_UDP, PEER, 0xffffffff, 248 + n, 0), false, CSUM_GOOD);
}

/* Of the first IPv4 address; 0: there is none. */
static u8 our_prefix(void)
{
    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (world_netif.addrs[i].addr.family == ADDR_INET)
            return world_netif.addrs[i].prefix;
    return 0;
}

TEST(dhcp_gets_an_address_routes_and_names_and_renews)
{
    static const u8 offer[] = {53, 1, 2, 54, 4, 10, 0, 0, 1, 255};
    static const u8 ack[] = {53, 1, 5, 54, 4,  10,  0,   0,  1,  1,   4,   255, 255, 0,  0,
                             51, 4, 0, 0,  1,  0,   3,   4,  10, 0,   0,   9,   121, 13, 0,
                             10, 0, 0, 7,  16, 192, 168, 10, 0,  0,   8,   0,   6,   8,  10,
                             0,  0, 3, 10, 0,  0,   4,   15, 3,  'l', 'a', 'n', 255};
    struct ip_addr dns[3], far = addr_from_v4(be32_of(0x08080808).raw);
    struct route route;

    world_up("dhcp");
    u32 xid = dhcp_xid();
    REQUIRE(xid, "it asks");
    dhcp_answer(xid ^ 1, offer, sizeof(offer));
    EXPECT_FALSE(dhcp_xid(), "an answer to somebody else");
    dhcp_answer(xid, offer, sizeof(offer));
    EXPECT_EQ(dhcp_xid(), xid, "it requests what was offered");
    dhcp_answer(xid, ack, sizeof(ack));
    EXPECT_EQ(our_prefix(), 16, "option 1");
    EXPECT_EQ(route_find(&far, NULL, 0, &route), 0, NULL);
    EXPECT_EQ(route.next.bytes[15], 7, "option 121 goes before option 3");
    EXPECT_EQ(net_name_servers(dns), 2, "option 6");
    EXPECT_FALSE(world_netif.flags & NETIF_CONFIGURING, "done");
    put_arp(ARP_REQUEST, PEER, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    skip_sent();
    world_pass(130 * NSEC_PER_SEC);
    xid = dhcp_xid();
    EXPECT_TRUE(xid, "it renews at half the time");
    dhcp_answer(xid, ack, sizeof(ack));
    world_pass(120 * NSEC_PER_SEC);
    EXPECT_EQ(our_prefix(), 16, "still there");
    world_pass(300 * NSEC_PER_SEC);
    EXPECT_TRUE(route_find(&far, NULL, 0, &route), "nobody renewed: all of it is gone");
}

/* Frames sent that are ARP with this sender and target; all that was sent is looked at. */
static u32 count_arps(u32 sender, u32 target)
{
    const struct world_frame *f;
    u32 n = 0;

    while ((f = world_sent())) {
        const struct arp_hdr *arp = (const void *)(f->bytes + 14);
        n += f->bytes[12] == 8 && f->bytes[13] == 6 && be32_get(arp->sender_ip) == sender &&
             be32_get(arp->target_ip) == target;
    }
    return n;
}

static const u8 offer[] = {53, 1, 2, 54, 4, 10, 0, 0, 1, 255};
/* For 1,000 s. */
static const u8 short_ack[] = {53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 3, 232, 255};
static const u8 nak[] = {53, 1, 6, 54, 4, 10, 0, 0, 1, 255};

static void get_lease(void)
{
    world_up("dhcp");
    u32 xid = dhcp_xid();
    dhcp_answer(xid, offer, sizeof(offer));
    EXPECT_EQ(dhcp_xid(), xid, "it requests");
    dhcp_answer(xid, short_ack, sizeof(short_ack));
    EXPECT_EQ(our_prefix(), 24, "it has the address");
}

/* The last DHCP message that was sent: its type, where to, and the client's address in it. */
static u8 dhcp_sent(u32 *dst, u32 *client)
{
    const struct world_frame *f;
    u8 type = 0;

    while ((f = world_sent())) {
        if (f->len <= 284 || f->bytes[13] != 0 || f->bytes[23] != IP_UDP || f->bytes[37] != 67)
            continue;
        memcpy(dst, f->bytes + 30, 4);
        memcpy(client, f->bytes + 42 + 12, 4);
        type = f->bytes[42 + 240 + 2];
    }
    return type;
}

TEST(dhcp_probes_a_new_address_and_then_announces_it)
{
    get_lease();
    EXPECT_EQ(count_arps(0, OURS), 1, "a probe at once");
    world_pass(600 * NSEC_PER_MSEC);
    EXPECT_EQ(count_arps(0, OURS), 1, "and another");
    world_pass(600 * NSEC_PER_MSEC);
    EXPECT_EQ(count_arps(OURS, OURS), 1, "nobody said anything: it is announced");
}

TEST(dhcp_declines_what_another_host_has)
{
    u32 dst, client;

    for (u32 how = 0; how < 2; how++) {
        if (!how)
            get_lease();
        skip_sent();
        put_arp(how ? ARP_REQUEST : ARP_REPLY, how ? 0 : OURS, how ? OURS : 0);
        world_receive(frame, ARP_LEN, false, CSUM_NONE);
        EXPECT_EQ(our_prefix(), 0, "it is taken away at once");
        EXPECT_EQ(dhcp_sent(&dst, &client), 4, "DHCPDECLINE");
        EXPECT_EQ(dst, UINT32_MAX, "to everybody");
        EXPECT_EQ(client, 0, "from nobody");
        world_pass(9 * NSEC_PER_SEC);
        EXPECT_FALSE(dhcp_xid(), "RFC 2131, 3.1.5: not before ten seconds");
        world_pass(2 * NSEC_PER_SEC);
        u32 xid = dhcp_xid();
        REQUIRE(xid, "then it asks again");
        dhcp_answer(xid, offer, sizeof(offer));
        dhcp_answer(xid, short_ack, sizeof(short_ack));
        EXPECT_EQ(our_prefix(), 24, "and gets one");
    }
}

TEST(an_address_is_defended_once_and_then_given_back)
{
    u32 dst, client;

    get_lease();
    world_pass(60 * NSEC_PER_SEC);
    skip_sent();
    put_arp(ARP_REQUEST, OURS, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    EXPECT_EQ(our_prefix(), 24, "still ours");
    EXPECT_EQ(count_arps(OURS, OURS), 1, "and told");
    world_pass(11 * NSEC_PER_SEC);
    put_arp(ARP_REQUEST, OURS, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    EXPECT_EQ(count_arps(OURS, OURS), 1, "again: the last time was long ago");
    put_arp(ARP_REQUEST, OURS, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    EXPECT_EQ(dhcp_sent(&dst, &client), 4, "the other does not give in");
    EXPECT_EQ(our_prefix(), 0, NULL);
}

TEST(a_fixed_address_is_defended_and_kept)
{
    world_up("10.0.0.2::10.0.0.1:255.255.255.0:::off");
    EXPECT_EQ(count_arps(OURS, OURS), 1, "announced at the start");
    for (u32 i = 0; i < 5; i++) {
        put_arp(ARP_REQUEST, OURS, OURS);
        world_receive(frame, ARP_LEN, false, CSUM_NONE);
    }
    EXPECT_EQ(count_arps(OURS, OURS), 1, "not more than once in ten seconds");
    EXPECT_EQ(our_prefix(), 24, "still ours");
}

TEST(dhcp_renews_rebinds_and_ends)
{
    u32 dst, client, ours = be32_of(OURS).raw;

    get_lease();
    put_arp(ARP_REQUEST, PEER, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    world_pass(499 * NSEC_PER_SEC);
    EXPECT_EQ(dhcp_sent(&dst, &client), 0, "nothing before half of the time");
    world_pass(2 * NSEC_PER_SEC);
    put_arp(ARP_REPLY, PEER, OURS); /* who is quiet for long is asked after */
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    EXPECT_EQ(dhcp_sent(&dst, &client), 3, "DHCPREQUEST");
    EXPECT_EQ(dst, be32_of(PEER).raw, "to the server that gave it");
    EXPECT_EQ(client, ours, NULL);
    world_pass(380 * NSEC_PER_SEC);
    EXPECT_EQ(dhcp_sent(&dst, &client), 3, "after seven eighths");
    EXPECT_EQ(dst, UINT32_MAX, "to any");
    EXPECT_EQ(client, ours, NULL);
    EXPECT_EQ(our_prefix(), 24, "still there");
    world_pass(130 * NSEC_PER_SEC);
    EXPECT_EQ(our_prefix(), 0, "its time is over");
    EXPECT_EQ(dhcp_sent(&dst, &client), 1, "DHCPDISCOVER");
    EXPECT_EQ(client, 0, NULL);
}

TEST(a_refused_renewal_takes_the_address)
{
    get_lease();
    world_pass(501 * NSEC_PER_SEC);
    put_arp(ARP_REPLY, PEER, OURS);
    world_receive(frame, ARP_LEN, false, CSUM_NONE);
    u32 xid = dhcp_xid();
    REQUIRE(xid, "it renews");
    dhcp_answer(xid, nak, sizeof(nak));
    EXPECT_EQ(our_prefix(), 0, "a NAK");
    EXPECT_TRUE(dhcp_xid() != xid, "and it asks anew");
}

TEST(dhcp_survives_any_cut_or_changed_answer)
{
    static const u8 ack[] = {53, 1,   5, 54, 4,  10, 0, 0, 1,  51, 4, 0,  0,  1,
                             0,  121, 6, 33, 10, 0,  0, 7, 52, 1,  3, 12, 200};

    world_up("dhcp");
    u32 xid = dhcp_xid();
    for (u32 n = 0; n <= sizeof(ack); n++)
        dhcp_answer(xid, ack, n);
    EXPECT_TRUE(world_netif.flags & NETIF_CONFIGURING, "an ACK that nobody asked for");
}

/* ---- IPv6 ---- */

enum { NS_LEN = 24, OPTION_LEN = 8 };
static const u8 link_local[16] = {0xfe, 0x80, [11] = 0xff, 0xfe, [15] = 2};
static const u8 router[16] = {0xfe, 0x80, [15] = 1}, all_nodes[16] = {0xff, 2, [15] = 1};
static const u8 nobody[16], our_group[16] = {0xff, 2, [11] = 1, 0xff, [15] = 2};

static const struct netif_addr *line_of(const u8 *bytes)
{
    struct ip_addr addr = addr_from_v6(bytes);

    for (u32 i = 0; i < NETIF_ADDRS; i++)
        if (world_netif.addrs[i].addr.family && addr_equal(&world_netif.addrs[i].addr, &addr))
            return &world_netif.addrs[i];
    return NULL;
}

static void neighbour_says(u8 type, const u8 *src, const u8 *dst, const u8 *target, u8 option,
                           const u8 *value)
{
    u8 *nd = frame + L4_AT6;

    memset(nd, 0, NS_LEN + OPTION_LEN);
    nd[0] = type;
    memcpy(nd + 8, target, 16);
    nd[NS_LEN] = option;
    nd[NS_LEN + 1] = 1;
    memcpy(nd + NS_LEN + 2, value, 6);
    world_receive(frame, put_icmp6(src, dst, NS_LEN + (option ? OPTION_LEN : 0u)), false,
                  CSUM_NONE);
}

/* The oldest message of this type that was sent and not looked at; NULL: none. */
static const struct world_frame *sent_icmp6(u8 type)
{
    const struct world_frame *f;

    while ((f = world_sent()))
        if (f->bytes[12] == 0x86 && f->bytes[20] == IP_ICMP6 && f->bytes[L4_AT6] == type)
            return f;
    return NULL;
}

TEST(an_ipv6_address_is_probed_and_serves_meanwhile)
{
    world_up("off");
    const struct world_frame *f = sent_icmp6(ICMP6_NEIGH_SOLICIT);
    REQUIRE(f, "a question");
    EXPECT_MEM(f->bytes + 22, nobody, 16, "from nobody");
    EXPECT_MEM(f->bytes + 38, our_group, 16, "to who might have it");
    EXPECT_MEM(f->bytes + L4_AT6 + 8, link_local, 16, NULL);
    EXPECT_EQ(f->bytes[L4_AT6 + NS_LEN], 14, "with a mark");
    u8 nonce[6];
    memcpy(nonce, f->bytes + L4_AT6 + NS_LEN + 2, 6);
    skip_sent();

    neighbour_says(ICMP6_NEIGH_SOLICIT, nobody, our_group, link_local, 14, nonce);
    REQUIRE(line_of(link_local), "it was our own, which came back");
    EXPECT_TRUE(line_of(link_local)->flags & ADDR_TENTATIVE, NULL);
    neighbour_says(ICMP6_NEIGH_SOLICIT, router, our_group, link_local, 1, peer_mac);
    f = sent_icmp6(ICMP6_NEIGH_ADVERT);
    REQUIRE(f, "it answers who asks for it");
    EXPECT_EQ(f->bytes[L4_AT6 + 4], 0x40, "and overrides nobody: RFC 4429");
    world_pass(2 * NSEC_PER_SEC);
    EXPECT_FALSE(line_of(link_local)->flags & ADDR_TENTATIVE, "nobody else has it");
    f = sent_icmp6(ICMP6_NEIGH_ADVERT);
    REQUIRE(f, "it is announced");
    EXPECT_EQ(f->bytes[L4_AT6 + 4], 0x20, NULL);
    neighbour_says(ICMP6_NEIGH_SOLICIT, nobody, our_group, link_local, 0, peer_mac);
    EXPECT_TRUE(sent_icmp6(ICMP6_NEIGH_ADVERT), "and defended against who wants it later");
    EXPECT_TRUE(line_of(link_local), NULL);
}

TEST(an_ipv6_address_that_another_has_or_wants_is_given_up)
{
    for (u32 how = 0; how < 2; how++) {
        struct ip_addr addr = addr_from_v6(link_local);
        if (!how)
            world_up("off");
        else
            EXPECT_EQ(netif_add_addr(&world_netif, &addr, 64), 0, "once more");
        if (how)
            neighbour_says(ICMP6_NEIGH_SOLICIT, nobody, our_group, link_local, 14, peer_mac);
        else
            neighbour_says(ICMP6_NEIGH_ADVERT, link_local, all_nodes, link_local, 2, peer_mac);
        EXPECT_FALSE(line_of(link_local), how ? "both want it" : "the other has it");
    }
}

/* A router's advertisement of so many seconds, with the prefix 2001:db8::/64 and a name server. */
static void router_says(u32 router_s, u32 valid_s, u32 preferred_s, u32 server_s)
{
    static const u8 prefix[16] = {0x20, 1, 0xd, 0xb8},
                    server[16] = {0x20, 1, 0xd, 0xb8, [15] = 0x53};
    u8 *ra = frame + L4_AT6;
    be32 valid = be32_of(valid_s), preferred = be32_of(preferred_s), lives = be32_of(server_s);

    memset(ra, 0, 72);
    ra[0] = ICMP6_ROUTER_ADVERT;
    ra[6] = (u8)(router_s >> 8);
    ra[7] = (u8)router_s;
    memcpy(ra + 16, (u8[]){3, 4, 64, 0xc0}, 4);
    memcpy(ra + 20, &valid, 4);
    memcpy(ra + 24, &preferred, 4);
    memcpy(ra + 32, prefix, 16);
    ra[48] = 25;
    ra[49] = 3;
    memcpy(ra + 52, &lives, 4);
    memcpy(ra + 56, server, 16);
    world_receive(frame, put_icmp6(router, all_nodes, 72), false, CSUM_NONE);
}

static const u8 global[16] = {0x20, 1, 0xd, 0xb8, [11] = 0xff, 0xfe, [15] = 2};
static const u8 far[16] = {0x20, 1, 0xd, 0xb9, [15] = 1}, near[16] = {0x20, 1, 0xd, 0xb8, [15] = 9};

static int way_to(const u8 *bytes, struct route *route)
{
    struct ip_addr dst = addr_from_v6(bytes);

    return route_find(&dst, NULL, 0, route);
}

TEST(what_a_router_tells_has_an_end)
{
    struct ip_addr dns[3];
    struct route route;

    world_up("off");
    router_says(1800, 4000, 3000, 600);
    REQUIRE(line_of(global), "an address of the prefix");
    EXPECT_EQ(way_to(far, &route), 0, "the way out");
    EXPECT_MEM(route.next.bytes, router, 16, NULL);
    EXPECT_EQ(way_to(near, &route), 0, "the link's own");
    EXPECT_FALSE(route.next.family, "without the router");
    EXPECT_EQ(net_name_servers(dns), 1, NULL);
    world_pass(601 * NSEC_PER_SEC);
    EXPECT_EQ(net_name_servers(dns), 0, "a name server");
    world_pass(1201 * NSEC_PER_SEC);
    EXPECT_TRUE(way_to(far, &route), "the router");
    EXPECT_EQ(way_to(near, &route), 0, NULL);
    EXPECT_MEM(route.source.bytes, global, 16, NULL);
    world_pass(1201 * NSEC_PER_SEC);
    EXPECT_TRUE(line_of(global)->flags & ADDR_DEPRECATED, "it is no source by choice");
    world_pass(1001 * NSEC_PER_SEC);
    EXPECT_FALSE(line_of(global), "the address");
    EXPECT_TRUE(way_to(near, &route), "the prefix");
}

TEST(what_a_router_tells_again_goes_on_and_what_it_withdraws_ends)
{
    struct ip_addr dns[3];
    struct route route;

    world_up("off");
    for (u32 i = 0; i < 10; i++) {
        router_says(100, 100, 100, 100);
        world_pass(90 * NSEC_PER_SEC);
    }
    REQUIRE(line_of(global), "kept up");
    EXPECT_EQ(way_to(far, &route), 0, NULL);
    EXPECT_EQ(net_name_servers(dns), 1, NULL);
    router_says(1800, 86400, 86400, 1800);
    router_says(0, 0, 0, 0);
    EXPECT_TRUE(way_to(far, &route), "no router");
    EXPECT_EQ(net_name_servers(dns), 0, "no name server");
    REQUIRE(line_of(global), "RFC 4862, 5.5.3 (e): who withdraws an address may lie");
    EXPECT_TRUE(line_of(global)->flags & ADDR_DEPRECATED, "it serves what uses it");
    world_pass(7201 * NSEC_PER_SEC);
    EXPECT_FALSE(line_of(global), "for two hours");
}

TEST(routers_that_tell_of_too_much_are_borne)
{
    struct route_entry line;
    u32 routes = 0;

    world_up("off");
    for (u32 i = 0; i < 1000; i++) {
        u8 *ra = frame + L4_AT6;
        memset(ra, 0, 48);
        ra[0] = ICMP6_ROUTER_ADVERT;
        ra[7] = 9;
        memcpy(ra + 16, (u8[]){3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1}, 11);
        memcpy(ra + 32, (u8[]){0x20, 1, 0xd, 0xb8, (u8)(i >> 8), (u8)i}, 6);
        world_receive(frame, put_icmp6(router, all_nodes, 48), false, CSUM_NONE);
    }
    while (route_get(routes, &line))
        routes++;
    EXPECT_TRUE(routes < 30, "routes are bounded");
    world_pass(300 * NSEC_PER_SEC);
    for (routes = 0; route_get(routes, &line); routes++)
        EXPECT_TRUE(line.netif->flags & NETIF_LOOPBACK || addr_is_link_local(&line.dst),
                    "left over");
}
