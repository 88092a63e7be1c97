/* ICMP for IPv4: RFC 792, 1122 3.2.2, 1812 4.3. Echoes are answered, errors sent and understood. */
#include "abi/errno.h"
#include "core/time.h"
#include "lib/string.h"
#include "net/net_priv.h"
#include "net/ping.h"
#include "net/stats.h"

enum { QUOTE_MAX = 576 - 2 * sizeof(struct ip4_hdr) - sizeof(struct icmp_hdr) };
enum { ERRORS_PER_SECOND = 1000, ERRORS_BURST = 50 };

bool icmp_error_allowed(void)
{
    static struct bucket {
        u64 since_ns;
        u32 spent;       /* so that all of it is there at the start */
    } buckets[MAX_CPUS]; /* [C] */
    struct bucket *b = &buckets[cpu_id()];
    u64 now = time_ns(), earned = (now - b->since_ns) / (NSEC_PER_SEC / ERRORS_PER_SECOND);

    if (earned) {
        b->spent -= (u32)min((u64)b->spent, earned);
        b->since_ns = now;
    }
    if (b->spent == ERRORS_BURST) {
        NET_COUNT(icmp_out_rate_limited);
        return false;
    }
    b->spent++;
    return true;
}

/* Send an ICMP message back to who wrote to us. .data at the ICMP header. Takes @pkt. */
static void reply(struct pkt *pkt, const struct ip_info *info)
{
    const struct ip_addr *source = info->cast == IP_UNICAST ? &info->dst : NULL;
    struct icmp_hdr *hdr = (void *)pkt->data;
    struct route route;

    if (route_find(&info->src, source, 0, &route)) {
        NET_COUNT(icmp_out_errors);
        pkt_free(pkt);
        return;
    }
    hdr->csum.raw = 0;
    hdr->csum.raw = csum_fold(pkt_csum(pkt, 0, pkt->total, 0));
    pkt->csum = CSUM_NONE;
    NET_COUNT(icmp_out_msgs);
    (void)ip_output(pkt, &route, &route.source, &info->src, IP_ICMP,
                    &(struct ip_meta){.fragment = true}); /* who asked asks again */
}

/* The IPv4 header of what came, as far as it is remembered: enough for the sender to find out. */
static struct ip4_hdr rebuild_header(const struct pkt *pkt, const struct ip_info *info)
{
    struct ip4_hdr hdr = {.version_ihl = 0x45,
                          .tos = info->tos,
                          .total_len = be16_of((u16)(pkt->total + sizeof(hdr))),
                          .id = be16_of(info->id),
                          .ttl = info->ttl,
                          .protocol = info->protocol,
                          .src = {addr_v4(&info->src)},
                          .dst = {addr_v4(&info->dst)}};

    hdr.csum.raw = csum_fold(csum_add(&hdr, sizeof(hdr), 0));
    return hdr;
}

static void count_error(u8 type)
{
    if (type == ICMP_UNREACHABLE)
        NET_COUNT(icmp_out_unreachs);
    else if (type == ICMP_TIME_EXCEEDED)
        NET_COUNT(icmp_out_time_excds);
}

static void send_error4(const struct pkt *pkt, const struct ip_info *info, enum icmp_why why)
{
    static const struct {
        u8 type, code;
    } meaning[] = {
        [WHY_PORT] = {ICMP_UNREACHABLE, ICMP_PORT_UNREACHABLE},
        [WHY_PROTOCOL] = {ICMP_UNREACHABLE, ICMP_PROTO_UNREACHABLE},
        [WHY_REASSEMBLY_TIME] = {ICMP_TIME_EXCEEDED, 1},
        [WHY_PARAMETER] = {ICMP_PARAMETER, 0},
    };
    struct pkt *out = pkt_alloc();
    if (!out)
        return;
    struct icmp_hdr *icmp = (void *)pkt_put(out, sizeof(*icmp));
    struct ip4_hdr *quoted = (void *)pkt_put(out, sizeof(*quoted));
    u32 n = min(pkt->total, (u32)QUOTE_MAX);

    *icmp = (struct icmp_hdr){.type = meaning[why].type, .code = meaning[why].code};
    *quoted = rebuild_header(pkt, info);
    pkt_copy_out(pkt, 0, pkt_put(out, n), n);
    count_error(icmp->type);
    reply(out, info);
}

void icmp_send_error(const struct pkt *pkt, const struct ip_info *info, enum icmp_why why,
                     u32 pointer)
{
    if (addr_is_any(&info->src) || addr_is_multicast(&info->src) || !icmp_error_allowed())
        return;
    if (info->src.family == ADDR_INET)
        send_error4(pkt, info, why);
    else
        icmp6_send_error(pkt, info, why, pointer);
}

void icmp_deliver_error(const struct ip_info *about, int err, u32 mtu, const u8 *quoted)
{
    const struct transport *transport = transport_find(about->protocol);

    if (transport && transport->error)
        transport->error(about, err, mtu, quoted);
}

static int errno_of(u8 type, u8 code)
{
    static const u8 unreachable[] = {ENETUNREACH,  EHOSTUNREACH, ENOPROTOOPT,  ECONNREFUSED,
                                     EMSGSIZE,     EOPNOTSUPP,   ENETUNREACH,  EHOSTDOWN,
                                     ENETUNREACH,  ENETUNREACH,  EHOSTUNREACH, ENETUNREACH,
                                     EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH};

    if (type == ICMP_UNREACHABLE)
        return code < ARRAY_LEN(unreachable) ? unreachable[code] : EHOSTUNREACH;
    return type == ICMP_PARAMETER ? EPROTO : EHOSTUNREACH;
}

/* RFC 1191, 5: a router that does not know better sends 0. */
static u32 path_mtu(const struct icmp_hdr *icmp, const struct ip4_hdr *quoted)
{
    static const u16 plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 576};
    u32 mtu = be32_get(icmp->word) & 0xffff, sent = be16_get(quoted->total_len);

    for (u32 i = 0; !mtu && i < ARRAY_LEN(plateaus); i++)
        if (plateaus[i] < sent)
            mtu = plateaus[i];
    return max(mtu, (u32)IP4_MIN_MTU);
}

/* An error about a packet that we are said to have sent. */
static void take_error(struct pkt *pkt, const struct ip_info *info)
{
    enum { AT = sizeof(struct icmp_hdr), MIN = AT + sizeof(struct ip4_hdr) + 8 };
    const struct icmp_hdr *icmp = (const void *)pkt_linear(pkt, MIN);
    if (!icmp)
        goto bad;
    const struct ip4_hdr *quoted = (const void *)(pkt->data + AT);
    u32 header_len = (quoted->version_ihl & 15) * 4u;
    u8 transport[8];
    struct ip_info about = {.src = addr_from_v4(quoted->src.raw),
                            .dst = addr_from_v4(quoted->dst.raw),
                            .protocol = quoted->protocol,
                            .netif = info->netif};
    if (quoted->version_ihl >> 4 != 4 || header_len < sizeof(*quoted) ||
        (be16_get(quoted->frag) & IP4_OFFSET) || !ip_is_local(&about.src) ||
        !pkt_copy_out(pkt, AT + header_len, transport, sizeof(transport)))
        goto bad;

    u32 mtu = 0;
    if (icmp->type == ICMP_UNREACHABLE && icmp->code == ICMP_FRAG_NEEDED)
        mtu = path_mtu(icmp, quoted);
    icmp_deliver_error(&about, errno_of(icmp->type, icmp->code), mtu, transport);
    return;

bad:
    NET_COUNT(icmp_in_errors);
}

static void take_echo(struct pkt *pkt, const struct ip_info *info)
{
    NET_COUNT(icmp_in_echos);
    if (info->cast != IP_UNICAST) { /* as Linux: no amplifier */
        pkt_free(pkt);
        return;
    }
    /* Not in place: the pages may be shared, and the room in front may be gone. */
    struct pkt *out = pkt_slice(pkt, 0, pkt->total);
    if (out && pkt_linear(out, sizeof(struct icmp_hdr))) {
        ((struct icmp_hdr *)(void *)out->data)->type = ICMP_ECHO_REPLY;
        NET_COUNT(icmp_out_echo_reps);
        reply(out, info);
    } else if (out) {
        pkt_free(out);
    }
    pkt_free(pkt);
}

static bool csum_ok(const struct pkt *pkt)
{
    return pkt->csum != CSUM_NONE || !csum_fold(pkt_csum(pkt, 0, pkt->total, 0));
}

static void icmp_input(struct pkt *pkt, const struct ip_info *info)
{
    const struct icmp_hdr *icmp = (const void *)pkt_linear(pkt, sizeof(*icmp));

    NET_COUNT(icmp_in_msgs);
    if (!icmp || !csum_ok(pkt)) {
        NET_COUNT(icmp_in_errors);
        if (icmp)
            NET_COUNT(icmp_in_csum_errors);
        pkt_free(pkt);
        return;
    }
    switch (icmp->type) {
    case ICMP_ECHO:
        take_echo(pkt, info);
        return;
    case ICMP_UNREACHABLE:
        NET_COUNT(icmp_in_unreachs);
        take_error(pkt, info);
        break;
    case ICMP_TIME_EXCEEDED:
        NET_COUNT(icmp_in_time_excds);
        __attribute__((fallthrough));
    case ICMP_PARAMETER:
        take_error(pkt, info);
        break;
    case ICMP_ECHO_REPLY:
        NET_COUNT(icmp_in_echo_reps);
        ping_input(pkt, info);
        break;
    default: /* redirects and the rest are none of a host's business: RFC 6633, 6918 */
        break;
    }
    pkt_free(pkt);
}

static const struct transport icmp_transport = {.protocol = IP_ICMP, .input = icmp_input};

void icmp_init(void)
{
    transport_register(&icmp_transport);
}
