/* Groups that we listen to: IGMPv3 (RFC 3376) and MLDv2 (RFC 3810) for a host that joins groups
 * from any source, so all records say "exclude nobody" or "include nobody". A query is answered
 * with one report of all groups, after a random part of the time it allows. */
#include "net/mcast.h"

#include "abi/errno.h"
#include "core/random.h"
#include "core/time.h"
#include "core/timer.h"
#include "lib/string.h"
#include "net/ip6.h"
#include "net/net_priv.h"

enum { MAX_GROUPS = 64, REPORTS = 2 }; /* robustness: a change is told twice */
enum record_type { MODE_IS_EXCLUDE = 2, TO_INCLUDE = 3, TO_EXCLUDE = 4 };
enum { IGMP_QUERY = 0x11, IGMP3_REPORT = 0x22, IGMP_LEN = 8, ROUTER_ALERT_LEN = 4 };

struct igmp3_report {
    u8 type, reserved;
    be16 csum, reserved2, nr_records;
};
struct igmp3_record {
    u8 type, aux_len;
    be16 nr_sources;
    be32 group;
};
struct mld2_record {
    u8 type, aux_len;
    be16 nr_sources;
    u8 group[16];
};
struct hop_by_hop {
    u8 next, len, alert[4], pad[2];
};

/* [L] */
struct group {
    struct ip_addr addr;
    struct netif *netif; /* NULL: free */
    u32 users;
    u32 reports_left; /* of the change */
};

static struct spinlock lock; /* a leaf */
static struct group groups[MAX_GROUPS];
static struct timer report_timer; /* answers to queries, and repetitions */
static bool answer_all;           /* [L] a query waits */

static struct group *find_locked(const struct netif *netif, const struct ip_addr *addr)
{
    for (u32 i = 0; i < MAX_GROUPS; i++)
        if (groups[i].netif == netif && (!netif || addr_equal(&groups[i].addr, addr)))
            return &groups[i];
    return NULL;
}

/* Groups that are never told of: RFC 3376, 5; RFC 3810, 6. */
static bool is_silent(const struct netif *netif, const struct ip_addr *addr)
{
    return netif->flags & NETIF_LOOPBACK || addr_equal(addr, &ip6_all_nodes) ||
           (addr->family == ADDR_INET && addr_v4(addr) == __builtin_bswap32(0xe0000001));
}

/* RFC 3376, 4: to 224.0.0.22, one hop, with the router alert option, which ip4_output() has not. */
static void send_igmp(struct netif *netif, const struct ip_addr *group, u8 type)
{
    struct ip_addr dst = addr_from_v4(__builtin_bswap32(0xe0000016));
    const struct ip_addr *src = netif_source(netif, &dst);
    struct neigh *neigh = neigh_get(netif, &dst);
    struct pkt *pkt = pkt_alloc();
    if (!pkt || !neigh) {
        if (pkt)
            pkt_free(pkt);
        return;
    }
    enum { HEADER = sizeof(struct ip4_hdr) + ROUTER_ALERT_LEN };
    struct ip4_hdr *ip = (void *)pkt_put(pkt, HEADER);
    struct igmp3_report *report = (void *)pkt_put(pkt, sizeof(*report));
    struct igmp3_record *record = (void *)pkt_put(pkt, sizeof(*record));

    *record = (struct igmp3_record){.type = type, .group = {addr_v4(group)}};
    *report = (struct igmp3_report){.type = IGMP3_REPORT, .nr_records = be16_of(1)};
    report->csum.raw = csum_fold(csum_add(report, sizeof(*report) + sizeof(*record), 0));
    *ip = (struct ip4_hdr){.version_ihl = 0x40 | HEADER / 4,
                           .tos = 0xc0,
                           .total_len = be16_of((u16)pkt->total),
                           .frag = be16_of(IP4_DF),
                           .ttl = 1,
                           .protocol = IP_IGMP,
                           .src = {src ? addr_v4(src) : 0},
                           .dst = {addr_v4(&dst)}};
    memcpy(ip + 1, (u8[]){0x94, 4, 0, 0}, ROUTER_ALERT_LEN);
    ip->csum.raw = csum_fold(csum_add(ip, HEADER, 0));
    neigh_send(neigh, pkt, ETH_IP4);
}

/* RFC 3810, 5.2: to ff02::16, one hop, behind a hop-by-hop header with the router alert. */
static void send_mld(struct netif *netif, const struct ip_addr *group, u8 type)
{
    struct ip_addr dst = {.bytes = {0xff, 2, [15] = 0x16}, .family = ADDR_INET6};
    const struct ip_addr *own = netif_source(netif, &dst);
    struct ip_addr src =
        own && addr_is_link_local(own) ? *own : (struct ip_addr){.family = ADDR_INET6};
    struct neigh *neigh = neigh_get(netif, &dst);
    struct pkt *pkt = pkt_alloc();
    if (!pkt || !neigh) {
        if (pkt)
            pkt_free(pkt);
        return;
    }
    struct icmp_hdr *icmp = (void *)pkt_put(pkt, sizeof(*icmp));
    struct mld2_record *record = (void *)pkt_put(pkt, sizeof(*record));

    *icmp = (struct icmp_hdr){.type = ICMP6_MLD2_REPORT, .word = be32_of(1)};
    *record = (struct mld2_record){.type = type};
    memcpy(record->group, group->bytes, 16);
    icmp->csum.raw =
        csum_fold(pkt_csum(pkt, 0, pkt->total, ip_pseudo_csum(&src, &dst, IP_ICMP6, pkt->total)));
    struct hop_by_hop *hbh = (void *)pkt_push(pkt, sizeof(*hbh));
    *hbh = (struct hop_by_hop){.next = IP_ICMP6, .alert = {5, 2, 0, 0}, .pad = {1, 0}};
    struct route route = {.netif = netif, .mtu = netif->mtu, .neigh = neigh};
    (void)ip6_output(pkt, &route, &src, &dst, IP_HOP_BY_HOP,
                     &(struct ip_meta){.ttl = 1}); /* told again */
}

static void send_report(struct netif *netif, const struct ip_addr *group, u8 type)
{
    if (is_silent(netif, group))
        return;
    if (group->family == ADDR_INET)
        send_igmp(netif, group, type);
    else
        send_mld(netif, group, type);
}

/* Group @i, if it is to be reported now; says how. */
static bool take_due(u32 i, bool all, struct group *out, u8 *type)
{
    spin_lock(&lock);
    struct group *g = &groups[i];
    bool due = g->netif && (all || g->reports_left);
    if (due) {
        *type = g->reports_left ? TO_EXCLUDE : MODE_IS_EXCLUDE;
        if (g->reports_left)
            g->reports_left--;
        *out = *g;
    }
    spin_unlock(&lock);
    return due;
}

static void report(struct timer *t)
{
    spin_lock(&lock);
    bool all = answer_all, more = false;
    answer_all = false;
    spin_unlock(&lock);

    for (u32 i = 0; i < MAX_GROUPS; i++) {
        struct group g;
        u8 type;
        if (!take_due(i, all, &g, &type))
            continue;
        send_report(g.netif, &g.addr, type);
        more |= g.reports_left > 0;
    }
    if (more)
        timer_set(t, time_after_ns(NSEC_PER_SEC + random_below(NSEC_PER_SEC)));
}

int mcast_join(struct netif *netif, const struct ip_addr *addr)
{
    spin_lock(&lock);
    struct group *g = find_locked(netif, addr);
    bool fresh = !g;
    if (fresh) {
        g = find_locked(NULL, addr);
        if (g)
            *g = (struct group){*addr, netif, 0, REPORTS - 1};
    }
    if (g)
        g->users++;
    spin_unlock(&lock);
    if (!g)
        return -ENOBUFS;
    if (!fresh || is_silent(netif, addr))
        return 0;
    send_report(netif, addr, TO_EXCLUDE);
    if (!timer_is_set(&report_timer))
        timer_set(&report_timer, time_after_ns(NSEC_PER_SEC));
    return 0;
}

void mcast_leave(struct netif *netif, const struct ip_addr *addr)
{
    spin_lock(&lock);
    struct group *g = find_locked(netif, addr);
    bool gone = g && --g->users == 0;
    if (gone)
        g->netif = NULL;
    spin_unlock(&lock);
    if (gone)
        send_report(netif, addr, TO_INCLUDE);
}

bool mcast_is_member(const struct netif *netif, const struct ip_addr *addr)
{
    spin_lock(&lock);
    bool member = find_locked(netif, addr) != NULL;
    spin_unlock(&lock);
    return member;
}

/* How long a query lets us wait, in ms. */
static u32 query_time_ms(struct pkt *pkt, const struct ip_info *info)
{
    if (info->src.family == ADDR_INET) {
        const u8 *igmp = pkt_linear(pkt, IGMP_LEN);
        return igmp && igmp[1] && igmp[1] < 128 ? igmp[1] * 100u : 1000;
    }
    const struct icmp_hdr *icmp = (const void *)pkt_linear(pkt, sizeof(*icmp));
    u32 code = icmp ? be32_get(icmp->word) >> 16 : 0;
    return code && code < 32768 ? code : 1000;
}

void mcast_query(struct pkt *pkt, const struct ip_info *info)
{
    u64 delay = random_below(query_time_ms(pkt, info) * NSEC_PER_MSEC);

    spin_lock(&lock);
    bool waiting = answer_all;
    answer_all = true;
    spin_unlock(&lock);
    if (!waiting)
        timer_set(&report_timer, time_after_ns(delay));
}

static void igmp_input(struct pkt *pkt, const struct ip_info *info)
{
    const u8 *igmp = pkt_linear(pkt, IGMP_LEN);

    if (igmp && igmp[0] == IGMP_QUERY && info->src.family == ADDR_INET &&
        !csum_fold(pkt_csum(pkt, 0, pkt->total, 0)))
        mcast_query(pkt, info);
    pkt_free(pkt);
}

static const struct transport igmp_transport = {.protocol = IP_IGMP, .input = igmp_input};

void mcast_init(void)
{
    timer_init(&report_timer, report);
    transport_register(&igmp_transport);
}
