/* Segments: whose they are, and what they do in each state.  RFC 9293 3.10.7, with the checks of
 * RFC 5961 against guessed segments and of RFC 7323 5 against old ones. */
#include "lib/string.h"
#include "net/tcp_priv.h"
#include "net/tcp_table.h"

enum { PAWS_IDLE_MS = 24 * 24 * 3600 * 1000 }; /* 24 days: RFC 7323 5.5 */

static bool too_soon(struct tcp_conn *c)
{
    u32 now = c->shard->now;

    if (c->last_challenge && now - c->last_challenge < TCP_CHALLENGE_INTERVAL)
        return true;
    c->last_challenge = now ? now : 1;
    return false;
}

/* Limited for each connection: a common limit would tell an outsider of others (RFC 5961 10). */
void tcp_challenge_ack(struct tcp_conn *c)
{
    if (too_soon(c))
        return;
    c->shard->stats.challenge_acks++;
    tcp_send_ack(c);
}

/* An ACK for what lies outside of the window, so that a peer that has lost its way finds back. Two
 * ends that do so for each other's empty ones must not go on for ever. */
static void answer_outside(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (!seg->len && !(seg->flags & (TCP_SYN | TCP_FIN)) && too_soon(c))
        return;
    if (seg->len && c->sack_ok && !seq_after(segment_end(seg), c->rcv_nxt)) {
        c->recvq.dsack = (struct seq_range){seg->seq, seg->seq + seg->len};
        c->shard->stats.dsacks_sent++;
    }
    tcp_send_ack(c);
}

static bool is_old(struct tcp_conn *c, const struct tcp_segment *seg)
{
    return c->ts_ok && seg->options.saw_ts && seq_before(seg->options.tsval, c->ts_recent) &&
           c->shard->now - c->ts_recent_tick < PAWS_IDLE_MS;
}

/* First check: is any of it, or the place it speaks from, in the window? */
static bool in_window(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    return !seq_before(segment_end(seg), c->rcv_nxt) &&
           !seq_after(seg->seq, seq_max(c->rcv_adv, c->rcv_nxt));
}

static void reset_received(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (seg->seq != c->rcv_nxt) { /* RFC 5961 3.2 */
        tcp_challenge_ack(c);
        return;
    }
    int err = c->state == TCP_SYN_RECV     ? -ECONNREFUSED
              : c->state == TCP_CLOSE_WAIT ? -EPIPE
                                           : -ECONNRESET;
    tcp_conn_close(c, err);
}

/* First to fourth check, all in all: may @seg be processed? */
static bool acceptable(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (likely(seg->seq == c->rcv_nxt && !(seg->flags & (TCP_RST | TCP_SYN)) && !is_old(c, seg)))
        return seg->flags & TCP_ACK;
    if (!(seg->flags & TCP_RST) && is_old(c, seg)) {
        c->shard->stats.paws_dropped++;
        answer_outside(c, seg);
        return false;
    }
    if (!in_window(c, seg)) {
        if (!(seg->flags & TCP_RST))
            answer_outside(c, seg);
        return false;
    }
    if (seg->flags & TCP_RST) {
        reset_received(c, seg);
        return false;
    }
    if (seg->flags & TCP_SYN) { /* RFC 5961 4.2 */
        tcp_challenge_ack(c);
        return false;
    }
    return seg->flags & TCP_ACK;
}

static void note_timestamp(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (!c->ts_ok || !seg->options.saw_ts || seq_after(seg->seq, c->rcv_acked))
        return;
    c->ts_recent = seg->options.tsval; /* not older: acceptable() has seen to that */
    c->ts_recent_tick = c->shard->now;
}

/* What both sides' SYNs have agreed on. */
static void take_options(struct tcp_conn *c, const struct tcp_segment *seg)
{
    const struct tcp_options *o = &seg->options;

    c->peer_mss = o->saw_mss               ? max(o->mss, (u16)TCP_MIN_MSS)
                  : c->family == ADDR_INET ? TCP_DEFAULT_MSS4
                                           : TCP_DEFAULT_MSS6;
    c->ts_ok = o->saw_ts;
    c->ts_recent = o->saw_ts ? o->tsval : 0;
    c->ts_recent_tick = c->shard->now;
    c->sack_ok = o->saw_sack_ok;
    c->wscale_ok = o->saw_wscale;
    c->snd_wscale = o->saw_wscale ? o->wscale : 0;
    if (!o->saw_wscale)
        c->rcv_wscale = 0;
    c->rcv_whole = 0;
}

static void syn_received(struct tcp_conn *c, const struct tcp_segment *seg)
{
    take_options(c, seg);
    c->irs = seg->seq;
    c->rcv_nxt = c->rcv_acked = c->copied = seg->seq + 1;
    c->rcv_adv = c->rcv_nxt + min(tcp_window_space(c), 65535u);
    c->snd_wnd = seg->window; /* a SYN's is not scaled */
    c->snd_wl1 = seg->seq;
}

/* SYN-SENT: 3.10.7.3. */
static void syn_sent_input(struct tcp_conn *c, const struct tcp_segment *seg)
{
    bool ack = seg->flags & TCP_ACK;

    if (ack && seg->ack != c->iss + 1) {
        tcp_reset_segment(c->shard, seg, c->scope);
        return;
    }
    if (seg->flags & TCP_RST) {
        if (ack)
            tcp_conn_close(c, -ECONNREFUSED);
        return;
    }
    if (!(seg->flags & TCP_SYN))
        return;
    syn_received(c, seg);
    if (!ack) { /* both have called at once: 3.5, figure 7 */
        tcp_set_state(c, TCP_SYN_RECV);
        tcp_send_syn(c);
        return;
    }
    c->snd_una = c->iss + 1;
    c->snd_wl2 = seg->ack;
    if (!c->retries)
        tcp_rtt_sample(c, (u32)((c->shard->now_ns - c->syn_ns) / NSEC_PER_USEC) + 1);
    tcp_conn_established(c);
    c->ack_now = !tcp_unsent(c);
    tcp_wake(c, POLLOUT | POLLWRNORM);
}

/* SYN-RECEIVED after a simultaneous open; false: the segment goes no further. */
static bool syn_recv_input(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (seg->ack != c->iss + 1) {
        tcp_reset_segment(c->shard, seg, c->scope);
        return false;
    }
    c->snd_una = seg->ack;
    c->snd_wnd = seg->window << c->snd_wscale;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    tcp_conn_established(c);
    tcp_wake(c, POLLOUT | POLLWRNORM);
    return true;
}

/* The peer has all, our FIN included: fifth check, second part. */
static void fin_acked(struct tcp_conn *c)
{
    switch (c->state) {
    case TCP_FIN_WAIT1:
        tcp_set_state(c, TCP_FIN_WAIT2);
        if (!c->sock)
            tcp_timer_set(c, TIMER_STATE, c->shard->now + TCP_FIN_TIMEOUT);
        tcp_wake(c, POLLOUT | POLLWRNORM | POLLHUP);
        break;
    case TCP_CLOSING:
        tcp_conn_time_wait(c);
        break;
    case TCP_LAST_ACK:
        tcp_conn_close(c, 0);
        break;
    default:
        break;
    }
}

/* RFC 9293 3.8.5; the mark lies before the byte, as everybody has it. */
static void urgent(struct tcp_conn *c, const struct tcp_segment *seg)
{
    u32 at = seg->seq + seg->urgent - 1;

    if (!seg->urgent || seq_before(at, c->copied) || seq_before(at, c->rcv_nxt) ||
        (c->urgent_valid && !seq_after(at, c->urgent_seq)))
        return;
    c->urgent_seq = at;
    c->urgent_valid = true;
    c->urgent_read = false;
    tcp_wake(c, POLLPRI);
}

static void congestion_marks(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (seg->flags & TCP_CWR)
        c->ece = false;
    if (seg->ecn == 3 && seg->len) {
        c->ece = true; /* told until they say that they have slowed down: RFC 3168 6.1.3 */
        c->ack_now = true;
    }
    if (seg->flags & TCP_ECE)
        tcp_recovery_ecn(c);
}

static bool nobody_reads(const struct tcp_conn *c)
{
    return !c->sock && !c->listener;
}

/* Data for a program that is gone: RFC 9293 3.10.4 and RFC 2525 2.17 want it known. */
static bool refuse_data(struct tcp_conn *c, const struct tcp_segment *seg)
{
    if (!nobody_reads(c) || !seq_after(seg->seq + seg->len, c->rcv_nxt))
        return false;
    c->shard->stats.abort_on_data++;
    tcp_conn_abort(c, 0);
    return true;
}

static void note_fin(struct tcp_conn *c, const struct tcp_segment *seg)
{
    u32 at = seg->seq + seg->len;

    if (c->fin_rcvd || c->fin_pending || seq_after(at, seq_max(c->rcv_adv, c->rcv_nxt)))
        return;
    c->fin_pending = true;
    c->fin_seq = at;
    c->ack_now = true;
}

static bool receives(u8 state)
{
    return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2;
}

/* Sixth to eighth check. True: @pkt was taken. */
static bool take_text(struct tcp_conn *c, struct pkt *pkt, const struct tcp_segment *seg)
{
    bool taken = false;

    if (unlikely(!receives(c->state))) {
        c->ack_now |= seg->len || seg->flags & TCP_FIN; /* again, behind its own FIN */
        return false;
    }
    if (unlikely(seg->flags & TCP_URG))
        urgent(c, seg);
    if (unlikely(seg->flags & TCP_FIN))
        note_fin(c, seg);
    if (seg->len && !refuse_data(c, seg)) {
        tcp_receive(c, pkt, seg);
        taken = true;
    }
    if (unlikely(c->fin_pending) && c->state != TCP_CLOSE)
        tcp_receive_fin(c);
    return taken;
}

/* From the fifth check on. True: @pkt was taken. */
static bool process(struct tcp_conn *c, struct pkt *pkt, const struct tcp_segment *seg)
{
    if (unlikely(c->state == TCP_SYN_RECV) && !syn_recv_input(c, seg))
        return false;
    note_timestamp(c, seg);
    if (!tcp_ack(c, seg))
        return false;
    if (unlikely(c->ecn_ok))
        congestion_marks(c, seg);
    if (unlikely(c->fin_sent) && c->snd_una == c->snd_nxt)
        fin_acked(c);
    if (c->state == TCP_CLOSE || !(seg->len || seg->flags & (TCP_FIN | TCP_URG)))
        return false;
    return take_text(c, pkt, seg);
}

void tcp_conn_input(struct tcp_conn *c, struct pkt *pkt, const struct tcp_segment *seg)
{
    bool taken = false;

    c->segs_in++;
    if (unlikely(c->state == TCP_SYN_SENT))
        syn_sent_input(c, seg);
    else if (likely(acceptable(c, seg)))
        taken = process(c, pkt, seg);
    if (!taken)
        pkt_free(pkt);
    if (unlikely(c->state == TCP_CLOSE))
        return;
    if (tcp_unsent(c) || c->sent.lost || c->fin_queued)
        tcp_output(c);
    if (c->ack_now)
        tcp_send_ack(c);
}

static void no_connection(struct shard *shard, struct pkt *pkt, const struct tcp_segment *seg,
                          u32 ifindex)
{
    struct tcp_request *r = tcp_request_find(shard, &seg->flow, seg->hash);
    struct tcp_tw *tw = r ? NULL : tw_find(shard, &seg->flow, seg->hash);
    u32 isn_above;

    if (r) {
        tcp_request_input(shard, r, pkt, seg);
    } else if (!tw) {
        tcp_listen_input(shard, pkt, seg, ifindex, NULL);
    } else if (tw_input(shard, tw, seg, &isn_above)) {
        tcp_listen_input(shard, pkt, seg, ifindex, &isn_above);
    } else {
        pkt_free(pkt);
    }
}

static u32 scope_of(const struct ip_info *info)
{
    return info->netif && addr_is_link_local(&info->src) ? info->netif->index : 0;
}

/* It has no flow, so no shard: all CPUs count in the first one's. */
static void count_bad(bool bad_csum)
{
    __atomic_fetch_add(&shards[0]->stats.in_errs, 1, __ATOMIC_RELAXED);
    if (bad_csum)
        __atomic_fetch_add(&shards[0]->stats.in_csum_errs, 1, __ATOMIC_RELAXED);
}

void tcp_input(struct pkt *pkt, const struct ip_info *info)
{
    struct tcp_segment seg;

    if (!info->refused) {
        flow_set(seg.flow.local, &info->dst);
        flow_set(seg.flow.remote, &info->src);
        tcp_check_csum(pkt, info);
        if (tcp_input_expected(pkt, 0, &seg.flow, NULL))
            return;
    }
    enum tcp_decode decoded = tcp_decode(pkt, info, &seg);

    if (unlikely(decoded != DECODE_OK || addr_is_multicast(&info->dst) ||
                 addr_is_multicast(&info->src))) {
        count_bad(decoded == DECODE_BAD_CSUM);
        pkt_free(pkt);
        return;
    }
    struct shard *shard = shard_of_hash(seg.hash);
    shard_lock(shard);
    shard->stats.in_segs++;
    struct tcp_conn *c = shard_find(shard, &seg.flow, seg.hash);
    if (likely(c)) {
        tcp_conn_input(c, pkt, &seg);
        tcp_conn_reap(c);
    } else {
        no_connection(shard, pkt, &seg, scope_of(info));
    }
    shard_unlock(shard);
}

/* RFC 1191, 8201: smaller segments, and again what was too big. */
static void path_shrank(struct tcp_conn *c, u32 mtu)
{
    u32 before = c->mss;

    c->route.netif = NULL; /* find it anew: the network layer has learnt too */
    if (mtu >= c->path_mtu || mtu < TCP_MIN_MSS + 60)
        return;
    c->path_mtu = mtu;
    tcp_mtu_shrunk(c, true);
    if (tcp_conn_route(c))
        return;
    tcp_conn_set_mss(c);
    if (c->mss >= before)
        return;
    for (u32 i = 0; i < c->sent.count; i++) {
        struct sent *sent = sent_at(&c->sent, i);
        if (!(sent->flags & SENT_SACKED))
            sent_mark(&c->sent, sent, SENT_LOST, 0);
    }
    tcp_output(c);
}

/* Errors end only what is not yet established: RFC 1122 4.2.3.9, RFC 5927. */
static void conn_error(struct tcp_conn *c, int err, u32 mtu, u32 seq)
{
    bool opening = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECV;

    if (seq_before(seq, c->snd_una) || !seq_before(seq, c->snd_nxt))
        return; /* about nothing that is under way: not believed */
    if (err == EMSGSIZE) {
        if (!opening)
            path_shrank(c, mtu);
        return;
    }
    if (opening)
        tcp_conn_close(c, -err);
}

void tcp_error(const struct ip_info *about, int err, u32 mtu, const u8 *quoted)
{
    struct flow flow = {
        .local_port = wire_get16(quoted),
        .remote_port = wire_get16(quoted + 2),
    };

    flow_set(flow.local, &about->src); /* the packet was ours */
    flow_set(flow.remote, &about->dst);
    u32 hash = flow_hash(&flow);
    struct shard *shard = shard_of_hash(hash);
    shard_lock(shard);
    struct tcp_conn *c = shard_find(shard, &flow, hash);
    if (c) {
        conn_error(c, err, mtu, wire_get32(quoted + 4));
        tcp_conn_reap(c);
    }
    shard_unlock(shard);
}
