/* Joining TCP segments of one flow that arrive in one burst, where the device does not: what is
 * above then handles one packet instead of twenty. Only what another stack could cut apart again
 * into the same frames is joined: in order, same headers but for length, sequence and checksum. */
#include "core/percpu.h"
#include "lib/string.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { MAX_FLOWS = 8, TCP_HDR = 20, TCP_MAX_HDR = 60 };
enum { TCP_FLAG_PSH = 8, TCP_FLAG_ACK = 16 };

/* Where the parts of a packet lie, .data at its IP header. */
struct shape {
    u32 ip_len, tcp_len, payload;
    u32 seq;
    u8 flags;
};

/* [C] Packets that may grow until the burst is over. */
static struct gro_cpu {
    u32 count;
    struct held {
        struct pkt *pkt;
        struct shape shape; /* of the first segment */
        u32 next_seq;
    } held[MAX_FLOWS];
} gro_cpus[MAX_CPUS];

static u32 get32(const u8 *p)
{
    be32 v;
    memcpy(&v, p, 4);
    return be32_get(v);
}

/* The length of an IP header that has nothing unusual about it, and the packet's in all; 0: it has.
 */
static u32 plain_ip(const struct pkt *pkt, u32 *total)
{
    const u8 *p = pkt->data;

    if (pkt->protocol == ETH_IP4 && pkt->len >= sizeof(struct ip4_hdr)) {
        const struct ip4_hdr *ip = (const void *)p;
        *total = be16_get(ip->total_len);
        bool plain = ip->version_ihl == 0x45 && ip->protocol == IP_TCP &&
                     !(be16_get(ip->frag) & (IP4_MF | IP4_OFFSET)) &&
                     !csum_fold(csum_add(ip, sizeof(*ip), 0));
        return plain ? sizeof(*ip) : 0;
    }
    if (pkt->protocol == ETH_IP6 && pkt->len >= sizeof(struct ip6_hdr)) {
        const struct ip6_hdr *ip = (const void *)p;
        *total = sizeof(*ip) + be16_get(ip->payload_len);
        return p[0] >> 4 == 6 && ip->next == IP_TCP ? sizeof(*ip) : 0;
    }
    return 0;
}

static bool csum_ok(const struct pkt *pkt, const struct shape *shape)
{
    const u8 *p = pkt->data;
    bool v4 = shape->ip_len == sizeof(struct ip4_hdr);
    u32 len = pkt->total - shape->ip_len;

    if (pkt->csum != CSUM_NONE)
        return true;
    u32 sum = csum_add(p + (v4 ? 12 : 8), v4 ? 8 : 32, __builtin_bswap16(IP_TCP));
    sum = csum_add2(sum, __builtin_bswap32(len));
    return !csum_fold(pkt_csum(pkt, shape->ip_len, len, sum));
}

/* True for a TCP segment that may be joined with others: then its checksum has been verified. */
static bool get_shape(struct pkt *pkt, struct shape *shape)
{
    u32 total, ip_len = plain_ip(pkt, &total);

    if (!ip_len || total > pkt->total || total < ip_len + TCP_HDR || pkt->gso)
        return false;
    const u8 *tcp = pkt->data + ip_len;
    if (pkt->len < ip_len + TCP_MAX_HDR && pkt->len < total)
        return false;
    *shape = (struct shape){
        .ip_len = ip_len, .tcp_len = (tcp[12] >> 4) * 4u, .seq = get32(tcp + 4), .flags = tcp[13]};
    if (shape->tcp_len < TCP_HDR || ip_len + shape->tcp_len >= total ||
        (shape->flags & ~TCP_FLAG_PSH) != TCP_FLAG_ACK)
        return false;
    pkt_trim(pkt, total); /* Ethernet pads */
    shape->payload = total - ip_len - shape->tcp_len;
    if (!csum_ok(pkt, shape))
        return false;
    pkt->csum = CSUM_GOOD;
    return true;
}

/* Addresses and ports. */
static bool same_flow(const struct pkt *a, const struct pkt *b)
{
    bool v4 = a->protocol == ETH_IP4;
    u32 at = v4 ? 12 : 8, ports = v4 ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr);

    return a->protocol == b->protocol && a->netif == b->netif && b->len >= ports + 4 &&
           !memcmp(a->data + at, b->data + at, ports - at + 4);
}

/* All else that a segment's headers say: class, hops, acknowledgement, window, options. */
static bool same_headers(const struct held *held, const struct pkt *pkt, const struct shape *shape)
{
    const u8 *a = held->pkt->data, *b = pkt->data, *tcp_a = a + shape->ip_len,
             *tcp_b = b + shape->ip_len;
    bool v4 = pkt->protocol == ETH_IP4;

    if (held->shape.tcp_len != shape->tcp_len || tcp_a[12] != tcp_b[12])
        return false;
    if (v4 ? a[1] != b[1] || a[8] != b[8] || a[6] != b[6] : memcmp(a, b, 4) || a[7] != b[7])
        return false;
    return !memcmp(tcp_a + 8, tcp_b + 8, 4) && !memcmp(tcp_a + 14, tcp_b + 14, 2) &&
           !memcmp(tcp_a + TCP_HDR, tcp_b + TCP_HDR, shape->tcp_len - TCP_HDR);
}

/* The lengths of a packet that has grown. */
static void finish(struct held *held)
{
    struct pkt *pkt = held->pkt;

    if (!pkt->gso_size)
        return;
    pkt->gso = pkt->protocol == ETH_IP4 ? GSO_TCPV4 : GSO_TCPV6;
    if (pkt->protocol == ETH_IP6) {
        struct ip6_hdr *ip = (void *)pkt->data;
        ip->payload_len = be16_of((u16)(pkt->total - sizeof(*ip)));
        return;
    }
    struct ip4_hdr *ip = (void *)pkt->data;
    ip->total_len = be16_of((u16)pkt->total);
    ip->csum.raw = 0;
    ip->csum.raw = csum_fold(csum_add(ip, sizeof(*ip), 0));
}

static void let_go(struct gro_cpu *gro, u32 i)
{
    struct held held = gro->held[i];

    gro->held[i] = gro->held[--gro->count];
    finish(&held);
    ip_input(held.pkt->netif, held.pkt);
}

/* Add @pkt to what is held. False: it does not fit there. */
static bool join(struct held *held, struct pkt *pkt, const struct shape *shape)
{
    struct pkt *whole = held->pkt;

    if (shape->seq != held->next_seq || shape->payload > held->shape.payload ||
        whole->total + shape->payload > IP_MAX_LEN || !same_headers(held, pkt, shape))
        return false;
    u32 headers = shape->ip_len + shape->tcp_len;
    pkt_strip(pkt, headers);
    if (!pkt_join(whole, pkt)) {
        pkt_push(pkt, headers);
        return false;
    }
    whole->gso_size = (u16)held->shape.payload;
    whole->data[shape->ip_len + 13] |= shape->flags;
    held->next_seq += shape->payload;
    return true;
}

static void hold(struct gro_cpu *gro, struct pkt *pkt, const struct shape *shape)
{
    if (gro->count == MAX_FLOWS)
        let_go(gro, 0);
    gro->held[gro->count++] = (struct held){pkt, *shape, shape->seq + shape->payload};
}

void gro_receive(struct netif *netif, struct pkt *pkt)
{
    struct gro_cpu *gro = &gro_cpus[cpu_id()];
    struct shape shape = {0};
    u32 i = 0;

    bool joinable = get_shape(pkt, &shape);
    while (i < gro->count && !same_flow(gro->held[i].pkt, pkt))
        i++;
    bool known = i < gro->count;
    if (joinable && known && join(&gro->held[i], pkt, &shape)) {
        bool last = shape.payload < gro->held[i].shape.payload || shape.flags & TCP_FLAG_PSH;
        if (last)
            let_go(gro, i);
        return;
    }
    if (known) /* a flow's packets stay in order */
        let_go(gro, i);
    if (joinable && !(shape.flags & TCP_FLAG_PSH))
        hold(gro, pkt, &shape);
    else
        ip_input(netif, pkt);
}

void gro_flush(void)
{
    struct gro_cpu *gro = &gro_cpus[cpu_id()];

    while (gro->count)
        let_go(gro, 0);
}
