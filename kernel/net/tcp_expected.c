/* The segment that a connection waits for, in one pass from the network's header to the program:
 * established, the next bytes in order or none, an ACK of all that is under way or of nothing new,
 * timestamps and no other option.  Anything else is refused with nothing changed and goes the long
 * way (tcp_input.c), which does the same for such a segment: RFC 9293 3.10.7.4, 7323, and
 * Jacobson's header prediction. */
#include "net/tcp_priv.h"
#include "net/tcp_table.h"
#include "net/wire.h"

enum {
    HEADER = TCP_HEADER + TCP_TS_OPTION,
    OFFSET_FLAGS = (HEADER / 4) << 12 | TCP_ACK, /* PSH besides */
};

/* What the segment says. */
struct news {
    u32 seq, ack, len, window, tsval, tsecr;
};

static void read_news(struct news *news, const struct tcp_conn *c, const u8 *h, u32 len)
{
    news->seq = wire_get32(h + 4);
    news->ack = wire_get32(h + 8);
    news->window = (u32)wire_get16(h + 14) << c->snd_wscale;
    news->tsval = wire_get32(h + 24);
    news->tsecr = wire_get32(h + 28);
    news->len = len;
}

/* Nothing is sent and unanswered that recovery would have to look after; nothing waits. */
static inline bool sends_calmly(const struct tcp_conn *c, u32 ack)
{
    if (c->write_seq != c->snd_nxt)
        return false;
    if (!c->sent.count)
        return ack == c->snd_una;
    return ack == c->snd_nxt && ack != c->snd_una && c->sent.count == 1 && c->ca == CA_OPEN &&
           !sent_at(&c->sent, 0)->flags && !c->tlp_out && !c->cwnd_limited;
}

/* No hole, no FIN, room in the window and in memory, somebody to read. */
static inline bool receives_calmly(const struct tcp_conn *c, u32 len)
{
    return (s32)(c->rcv_adv - c->rcv_nxt - len) >= 0 && !c->recvq.nr_ooo && !c->fin_pending &&
           c->recvq.charged <= c->rcvbuf && c->shard->memory <= c->shard->memory_high &&
           (c->sock || c->listener);
}

static inline bool is_expected(const struct tcp_conn *c, const struct news *news)
{
    return c->state == TCP_ESTABLISHED && c->ts_ok && !c->ecn_ok && news->seq == c->rcv_nxt &&
           !seq_before(news->tsval, c->ts_recent) && sends_calmly(c, news->ack) &&
           receives_calmly(c, news->len);
}

/* All that was under way has arrived. */
static inline void take_ack(struct tcp_conn *c)
{
    const struct sent *sent = sent_at(&c->sent, 0);
    struct rack *rack = &c->rack;
    u64 rtt_us = (c->shard->now_ns - sent->time_ns) / NSEC_PER_USEC + 1;
    u32 data = c->snd_nxt - c->snd_una;

    rack->xmit_ns = sent->time_ns;
    rack->end_seq = rack->fack = sent->end;
    rack->rtt_us = (u32)min(rtt_us, (u64)UINT32_MAX);
    rack->valid = true;
    sent_clear(&c->sent);
    sendq_trim(&c->sendq, data);
    tcp_charge(c->shard, -(s64)data);
    c->bytes_acked += data;
    c->snd_una = c->snd_nxt;
    c->retries = c->backoff = c->mtu_probes = 0;
    c->dupacks = 0;
    tcp_rtt_sample(c, rack->rtt_us);
    tcp_timer_clear(c, TIMER_RTX);
    tcp_wake_writer(c);
}

static __attribute__((always_inline)) inline void take_headers(struct tcp_conn *c,
                                                               const struct news *news)
{
    u32 now = c->shard->now;

    c->segs_in++;
    if (!seq_after(news->seq, c->rcv_acked)) {
        c->ts_recent = news->tsval;
        c->ts_recent_tick = now;
    }
    c->last_ack_recv = now;
    c->probes = 0;
    if (likely((s32)(news->seq - c->snd_wl1) >= 0 && !seq_after(c->snd_wl2, news->ack))) {
        c->snd_wnd = news->window;
        c->snd_wl1 = news->seq;
        c->snd_wl2 = news->ack;
        c->max_window = max(c->max_window, news->window);
    }
    if (c->sent.count)
        take_ack(c);
}

/* What each of the two below becomes a whole of, with what it knows. */
static __attribute__((always_inline)) inline bool
take_expected(struct pkt *pkt, u32 skip, struct flow *flow, const struct netif *netif)
{
    const u8 *h = pkt->data + skip;
    struct news news;

    if (unlikely(pkt->len < skip + HEADER || pkt->csum == CSUM_NONE ||
                 (wire_get16(h + 12) & ~TCP_PSH) != OFFSET_FLAGS ||
                 wire_get32(h + TCP_HEADER) != TCP_TS_PREFIX))
        return false;
    flow->remote_port = wire_get16(h);
    flow->local_port = wire_get16(h + 2);
    u32 hash = flow_hash(flow);
    struct shard *shard = shard_of_hash(hash);
    shard_lock(shard);
    struct tcp_conn *c = shard_find(shard, flow, hash);
    bool found = c && (!netif || (c->route.netif == netif && route_valid(&c->route)));
    if (likely(found))
        read_news(&news, c, h, pkt->total - skip - HEADER);
    if (unlikely(!found || !is_expected(c, &news))) {
        spin_unlock(&shard->lock); /* no timer was touched */
        return false;
    }
    shard->stats.in_segs++;
    take_headers(c, &news);
    if (likely(news.len)) {
        pkt_strip(pkt, skip + HEADER);
        tcp_receive_expected(c, pkt, news.tsecr);
    } else {
        pkt_free(pkt);
    }
    if (c->ack_now)
        tcp_send_ack(c);
    shard_unlock(shard);
    return true;
}

bool tcp_input_expected(struct pkt *pkt, u32 skip, struct flow *flow, const struct netif *netif)
{
    return take_expected(pkt, skip, flow, netif);
}

bool tcp_input_expected4(struct netif *netif, struct pkt *pkt, u32 src, u32 dst)
{
    struct flow flow;

    flow.local[0] = flow.remote[0] = 0;
    flow.local[1] = ADDR_MAPPED | (u64)dst << 32;
    flow.remote[1] = ADDR_MAPPED | (u64)src << 32;
    return take_expected(pkt, sizeof(struct ip4_hdr), &flow, netif);
}
