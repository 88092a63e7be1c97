/* Making packets.  A small segment is one linear piece, headers and data; a large one points into
 * the pages of the send queue and is cut by the interface where that can.  RFC 9293 3.1. */
#include "lib/string.h"
#include "net/tcp_priv.h"
#include "net/wire.h"

enum { LINEAR_DATA = 512 }; /* more than that is not copied but pointed to */
static_assert(LINEAR_DATA <= PKT_LINEAR - PKT_HEADROOM, "take_data()");

/* The pseudo-header's sum, for the device to finish; no urgent data. */
static inline void put_partial_csum(struct pkt *pkt, u8 *h, u32 pseudo)
{
    u32 check = csum_fold_partial(csum_add2(pseudo, __builtin_bswap16((u16)pkt->total)));

    memcpy(h + 16, &check, sizeof(check));
    pkt->csum = CSUM_PARTIAL;
    pkt->csum_start = 0;
    pkt->csum_offset = 16;
}

/* Headers of a segment whose data is in place. */
static void put_header(struct pkt *pkt, const struct flow *flow, u32 seq, u32 ack, u8 flags,
                       u32 window, const u8 *options, u32 options_len, u32 pseudo)
{
    u8 *h = pkt_push(pkt, TCP_HEADER + options_len);

    wire_put16(h, flow->local_port);
    wire_put16(h + 2, flow->remote_port);
    wire_put32(h + 4, seq);
    wire_put32(h + 8, flags & TCP_ACK ? ack : 0);
    h[12] = (u8)((TCP_HEADER + options_len) << 2);
    h[13] = flags;
    wire_put16(h + 14, (u16)window);
    memcpy(h + TCP_HEADER, options, options_len);
    put_partial_csum(pkt, h, pseudo);
}

u32 tcp_sack_len(struct tcp_conn *c)
{
    struct seq_range blocks[TCP_SACK_BLOCKS];
    u32 n = tcp_sack_blocks(c, blocks, c->ts_ok ? 3 : 4);
    return n ? 4 + 8 * n : 0;
}

static u32 put_sacks(struct tcp_conn *c, u8 *to)
{
    struct tcp_options options;

    options.saw_ts = c->ts_ok;
    options.tsval = tcp_ts_now(c);
    options.tsecr = c->ts_recent;
    options.nr_sack = (u8)tcp_sack_blocks(c, options.sack, c->ts_ok ? 3 : 4);
    c->recvq.dsack.start = c->recvq.dsack.end; /* each is reported once: RFC 2883 4 */
    return tcp_encode_options(to, &options);
}

/* The queue's only piece, from @at bytes on: copied, or pointed to. */
static inline void take_piece(const struct send_frag *piece, u32 at, u32 len, struct pkt *pkt)
{
    assert(at + len <= piece->len);
    pkt->total = len;
    if (len <= LINEAR_DATA) {
        memcpy(pkt->data, piece->data + at, len);
        pkt->len = len;
        return;
    }
    if (piece->page)
        page_get(piece->page);
    pkt->frags[0] = (struct pkt_frag){piece->page, piece->data + at, len};
    pkt->nr_frags = 1;
}

/* @len bytes of the queue from @seq; may end up with fewer. */
static inline struct pkt *take_data(struct tcp_conn *c, u32 seq, u32 len)
{
    struct pkt *pkt = pkt_alloc();

    if (unlikely(!pkt || !len))
        return pkt;
    u32 at = seq - (c->write_seq - c->sendq.bytes);
    if (likely(c->sendq.count == 1)) {
        take_piece(&c->sendq.frags[c->sendq.head], at, len, pkt);
        return pkt;
    }
    if (len <= LINEAR_DATA) {
        sendq_copy(&c->sendq, at, pkt_put(pkt, len), len);
        return pkt;
    }
    sendq_attach(&c->sendq, at, len, pkt);
    return pkt;
}

/* All has been read, and no more was promised than is now: a window as the last of that kind. */
static inline bool offers_the_whole(const struct tcp_conn *c)
{
    return c->rcv_whole && c->copied == c->rcv_nxt &&
           (s32)(c->rcv_adv - c->rcv_nxt) <= (s32)c->rcv_whole &&
           c->shard->memory <= c->shard->memory_high;
}

static __attribute__((noinline)) u32 window_anew(struct tcp_conn *c)
{
    u32 window = tcp_window(c), unit = 1u << c->rcv_wscale;
    u32 space = min(tcp_window_space(c) & ~(unit - 1), 65535u << c->rcv_wscale);

    c->rcv_whole = space;
    return min((window + unit - 1) & ~(unit - 1), 65535u << c->rcv_wscale);
}

/* The window field; what it promises is remembered. */
static inline u32 advertise(struct tcp_conn *c)
{
    u32 window = likely(offers_the_whole(c)) ? c->rcv_whole : window_anew(c);

    debug_assert(!offers_the_whole(c) || window == tcp_window(c));
    c->rcv_adv = c->rcv_nxt + window;
    c->rcv_acked = c->rcv_nxt;
    return window >> c->rcv_wscale;
}

/* What an ACK that goes out settles. */
static void ack_sent(struct tcp_conn *c)
{
    c->ack_now = false;
    if (!tcp_timer_is_set(c, TIMER_DELACK))
        return;
    tcp_timer_clear(c, TIMER_DELACK);
    list_remove(&c->ack_node);
    c->quick_acks -= c->quick_acks != 0;
}

static u8 tos_of(const struct tcp_conn *c, u32 len)
{
    bool capable = c->ecn_ok && len; /* not on pure ACKs: RFC 3168 6.1.4 */

    return (u8)((c->tos & ~3) | (capable ? 2 : 0));
}

/* The path takes less than we thought; false: it does not say so. */
static bool shrink(struct tcp_conn *c)
{
    u32 before = c->mss;

    c->route.netif = NULL;
    if (tcp_conn_route(c))
        return false;
    tcp_conn_set_mss(c);
    return c->mss < before;
}

/* Headers of a segment of @c: four words, the checksum, and timestamps, nearly always. */
static u32 put_own_header(struct tcp_conn *c, struct pkt *pkt, u32 seq, u8 flags)
{
    u32 len = c->ts_ok ? TCP_TS_OPTION : 0, field = advertise(c);

    if (tcp_has_sack(c)) {
        u8 options[TCP_HEADER_MAX - TCP_HEADER];
        len = put_sacks(c, options);
        put_header(pkt, &c->flow, seq, c->rcv_nxt, flags, field, options, len, c->pseudo);
        return len;
    }
    u8 *h = pkt_push(pkt, TCP_HEADER + len);
    wire_put32(h, (u32)c->flow.local_port << 16 | c->flow.remote_port);
    wire_put32(h + 4, seq);
    wire_put32(h + 8, c->rcv_nxt);
    wire_put32(h + 12, (TCP_HEADER + len) << 26 | (u32)flags << 16 | field);
    put_partial_csum(pkt, h, c->pseudo);
    if (likely(len))
        tcp_encode_ts(h + TCP_HEADER, tcp_ts_now(c), c->ts_recent);
    return len;
}

/* What is to be said besides; rarely anything. */
static u8 rare_flags(struct tcp_conn *c, u32 seq, u32 len, u8 flags)
{
    if (c->ece)
        flags |= TCP_ECE;
    if (c->cwr_due && len && seq == c->snd_nxt) {
        flags |= TCP_CWR;
        c->cwr_due = false;
    }
    if (c->urgent_out && seq_after(c->snd_urgent, seq))
        flags |= TCP_URG;
    return flags;
}

/* By the short way where it is IPv4 and fits, as nearly always. */
static inline int output(struct tcp_conn *c, struct pkt *pkt, u32 len)
{
    u8 tos = tos_of(c, len);

    if (likely(c->family == ADDR_INET &&
               (u64)pkt->total + sizeof(struct ip4_hdr) <= c->route.mtu)) {
        ip4_output_segment(pkt, &c->route, addr_v4(&c->local), addr_v4(&c->remote), c->ttl, tos);
        return 0;
    }
    struct ip_meta meta = {.ttl = c->ttl, .tos = tos, .dont_fragment = true};
    return ip_output(pkt, &c->route, &c->local, &c->remote, IPPROTO_TCP, &meta);
}

ssize_t tcp_send_segment(struct tcp_conn *c, u32 seq, u32 len, u8 flags)
{
    if (unlikely(!tcp_conn_route_ok(c)) && tcp_conn_route(c))
        return len; /* as if lost on the way */
    struct pkt *pkt = take_data(c, seq, len);
    if (unlikely(!pkt))
        return -ENOMEM;
    if (unlikely(pkt->total < len)) {
        len = pkt->total;
        flags &= (u8) ~(TCP_FIN | TCP_PSH);
    }
    flags |= TCP_ACK;
    if (unlikely(c->ece | c->cwr_due | c->urgent_out))
        flags = rare_flags(c, seq, len, flags);
    u32 options_len = put_own_header(c, pkt, seq, flags);
    if (unlikely(flags & TCP_URG))
        wire_put16(pkt->data + 18, (u16)min(c->snd_urgent - seq, 65535u));
    u32 whole = c->mss + (c->ts_ok ? TCP_TS_OPTION : 0u);
    if (len + options_len > whole) {
        pkt->gso = c->family == ADDR_INET ? GSO_TCPV4 : GSO_TCPV6;
        pkt->gso_size = (u16)(whole - options_len);
    }
    pkt->hash = c->hash;
    ack_sent(c);
    c->segs_out++;
    c->shard->stats.out_segs++;

    int err = output(c, pkt, len);
    if (unlikely(err == -EMSGSIZE) && len && shrink(c))
        return -EMSGSIZE;
    return len;
}

void tcp_send_reply(struct shard *shard, const struct tcp_reply *reply)
{
    struct ip_addr from = flow_local(reply->flow, reply->family);
    struct ip_addr to = flow_remote(reply->flow, reply->family);
    u8 options[TCP_HEADER_MAX - TCP_HEADER];
    u32 options_len = 0;
    struct route found;

    if (!reply->route && route_find(&to, &from, reply->ifindex, &found))
        return;
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return;
    if (reply->options)
        options_len = reply->flags & TCP_SYN ? tcp_encode_syn_options(options, reply->options)
                                             : tcp_encode_options(options, reply->options);
    put_header(pkt, reply->flow, reply->seq, reply->ack, reply->flags, reply->window, options,
               options_len, ip_pseudo_csum(&from, &to, IPPROTO_TCP, 0));
    shard->stats.out_segs++;
    shard->stats.out_rsts += !!(reply->flags & TCP_RST);
    struct ip_meta meta = {.dont_fragment = true};
    ip_output(pkt, reply->route ? reply->route : &found, &from, &to, IPPROTO_TCP, &meta);
}
