/* Decoding of what arrives, encoding of options.  Nothing on the wire is trusted: lengths are
 * checked before they are used, and a malformed option ends the list. */
#include "net/tcp_wire.h"

#include "lib/string.h"
#include "net/ip.h"
#include "net/pkt.h"
#include "net/tcp_priv.h"

enum option_kind {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_WSCALE = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5,
    OPT_TS = 8,
};

static void decode_sack(const u8 *p, u32 len, struct tcp_options *out)
{
    if ((len - 2) % 8)
        return;
    for (u32 at = 2; at < len && out->nr_sack < TCP_SACK_BLOCKS; at += 8)
        out->sack[out->nr_sack++] = (struct seq_range){wire_get32(p + at), wire_get32(p + at + 4)};
}

static void decode_one(const u8 *p, u32 len, bool syn, struct tcp_options *out)
{
    switch (p[0]) {
    case OPT_MSS:
        if (len == 4 && syn) {
            out->saw_mss = true;
            out->mss = wire_get16(p + 2);
        }
        break;
    case OPT_WSCALE:
        if (len == 3 && syn) {
            out->saw_wscale = true;
            out->wscale = min(p[2], (u8)TCP_MAX_WSCALE); /* RFC 7323 2.3 */
        }
        break;
    case OPT_SACK_OK:
        if (len == 2 && syn)
            out->saw_sack_ok = true;
        break;
    case OPT_SACK:
        if (!syn)
            decode_sack(p, len, out);
        break;
    case OPT_TS:
        if (len == 10) {
            out->saw_ts = true;
            out->tsval = wire_get32(p + 2);
            out->tsecr = wire_get32(p + 6);
        }
        break;
    default:
        break;
    }
}

void tcp_decode_options(const u8 *p, u32 len, bool syn, struct tcp_options *out)
{
    out->saw_ts = out->saw_mss = out->saw_wscale = out->saw_sack_ok = false;
    out->nr_sack = 0;
    if (likely(len == TCP_TS_OPTION && wire_get32(p) == TCP_TS_PREFIX)) {
        out->saw_ts = true;
        out->tsval = wire_get32(p + 4);
        out->tsecr = wire_get32(p + 8);
        return;
    }
    while (len && p[0] != OPT_END) {
        u32 size = 1;
        if (p[0] != OPT_NOP) {
            if (len < 2 || p[1] < 2 || p[1] > len)
                return;
            size = p[1];
            decode_one(p, size, syn, out);
        }
        p += size;
        len -= size;
    }
}

void tcp_check_csum(struct pkt *pkt, const struct ip_info *info)
{
    if (likely(pkt->csum != CSUM_NONE)) /* the device says so, or it never left this machine */
        return;
    u32 sum = ip_pseudo_csum(&info->src, &info->dst, IPPROTO_TCP, pkt->total);
    if (!csum_fold(pkt_csum(pkt, 0, pkt->total, sum)))
        pkt->csum = CSUM_GOOD;
}

enum tcp_decode tcp_decode(struct pkt *pkt, const struct ip_info *info, struct tcp_segment *seg)
{
    const u8 *h = pkt_linear(pkt, TCP_HEADER);

    if (!h)
        return DECODE_BAD;
    u32 header = (u32)(h[12] >> 4) * 4;
    if (header < TCP_HEADER)
        return DECODE_BAD;
    h = pkt_linear(pkt, header);
    if (!h)
        return DECODE_BAD;
    tcp_check_csum(pkt, info);
    if (pkt->csum == CSUM_NONE)
        return DECODE_BAD_CSUM;

    flow_set(seg->flow.local, &info->dst);
    flow_set(seg->flow.remote, &info->src);
    seg->flow.remote_port = wire_get16(h);
    seg->flow.local_port = wire_get16(h + 2);
    seg->seq = wire_get32(h + 4);
    seg->ack = wire_get32(h + 8);
    seg->header = (u8)header;
    seg->flags = h[13];
    seg->window = wire_get16(h + 14);
    seg->urgent = wire_get16(h + 18);
    seg->family = info->dst.family;
    seg->ecn = info->tos & 3;
    seg->len = pkt->total - header;
    seg->hash = flow_hash(&seg->flow);
    tcp_decode_options(h + TCP_HEADER, header - TCP_HEADER, seg->flags & TCP_SYN, &seg->options);
    return DECODE_OK;
}

static u8 *put_ts(u8 *p, const struct tcp_options *options)
{
    tcp_encode_ts(p, options->tsval, options->tsecr);
    return p + TCP_TS_OPTION;
}

u32 tcp_encode_syn_options(u8 *p, const struct tcp_options *options)
{
    u8 *start = p;

    if (options->saw_mss) {
        wire_put32(p, OPT_MSS << 24 | 4 << 16 | options->mss);
        p += 4;
    }
    if (options->saw_sack_ok) {
        wire_put32(p, OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK_OK << 8 | 2);
        p += 4;
    }
    if (options->saw_ts)
        p = put_ts(p, options);
    if (options->saw_wscale) {
        wire_put32(p, OPT_NOP << 24 | OPT_WSCALE << 16 | 3 << 8 | (u32)options->wscale);
        p += 4;
    }
    return (u32)(p - start);
}

u32 tcp_encode_options(u8 *p, const struct tcp_options *options)
{
    u8 *start = p;

    if (options->saw_ts)
        p = put_ts(p, options);
    if (options->nr_sack) {
        wire_put32(p,
                   OPT_NOP << 24 | OPT_NOP << 16 | OPT_SACK << 8 | (2 + 8 * (u32)options->nr_sack));
        p += 4;
    }
    for (u32 i = 0; i < options->nr_sack; i++, p += 8) {
        wire_put32(p, options->sack[i].start);
        wire_put32(p + 4, options->sack[i].end);
    }
    return (u32)(p - start);
}
