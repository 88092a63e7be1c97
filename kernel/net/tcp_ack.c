/* What an acknowledgement tells: bytes that have arrived, round trips, the peer's window.
 * RFC 9293 3.10.7.4 (fifth check), RFC 6298, RFC 2018, RFC 2883, RFC 5961 5. */
#include "net/tcp_priv.h"

enum { MIN_RTT_WINDOW_MS = 300000 }; /* an estimate older than that gives way to a larger one */

void tcp_rtt_sample(struct tcp_conn *c, u32 rtt_us)
{
    u32 now = c->shard->now;

    if (!c->min_rtt_us || rtt_us <= c->min_rtt_us || now - c->min_rtt_tick > MIN_RTT_WINDOW_MS) {
        c->min_rtt_us = max(rtt_us, 1u);
        c->min_rtt_tick = now;
    }
    rtt_us = min(rtt_us, (u32)TCP_RTO_MAX * 1000);
    if (!c->srtt_us8) {
        c->srtt_us8 = max(rtt_us * 8, 1u);
        c->rttvar_us4 = rtt_us * 2;
    } else {
        s32 error = (s32)(rtt_us - c->srtt_us8 / 8);
        u32 size = (u32)(error < 0 ? -error : error);
        c->rttvar_us4 += size - c->rttvar_us4 / 4;
        c->srtt_us8 = max((u32)((s32)c->srtt_us8 + error), 1u);
    }
    u32 spread_ms = max(c->rttvar_us4 / 1000, (u32)TCP_RTO_MIN);
    c->rto_ms = min(c->srtt_us8 / 8000 + spread_ms, (u32)TCP_RTO_MAX);
}

/* Record @sent is known to have arrived for the first time. */
static void delivered(struct tcp_conn *c, const struct sent *sent, struct ack_news *news)
{
    news->delivered += sent->end - sent->seq;
    rack_delivered(c, sent);
    if (sent->flags & SENT_RETRANS)
        return;
    u64 rtt_us = (c->shard->now_ns - sent->time_ns) / NSEC_PER_USEC + 1;
    news->rtt_us = (u32)min(rtt_us, (u64)UINT32_MAX);
    if (!seq_after(sent->end, c->high_seq))
        news->original = true;
}

static void sack_block(struct tcp_conn *c, const struct seq_range *block, struct ack_news *news)
{
    u32 i = sent_find(&c->sent, block->start);

    for (; i < c->sent.count; i++) {
        struct sent *sent = sent_at(&c->sent, i);
        if (!seq_before(sent->seq, block->end))
            return;
        if (sent->flags & SENT_SACKED)
            continue;
        if (seq_before(sent->seq, block->start)) {
            if (!sent_split(&c->sent, i, block->start))
                return;
            continue;
        }
        if (seq_after(sent->end, block->end) && !sent_split(&c->sent, i, block->end))
            return;
        sent = sent_at(&c->sent, i);
        delivered(c, sent, news);
        news->sacked += sent->end - sent->seq;
        sent_mark(&c->sent, sent, SENT_SACKED, SENT_LOST);
    }
}

/* RFC 2883 5: the first block tells of a duplicate if it lies below the ACK or within the second.
 */
static bool is_dsack(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    const struct seq_range *first = &seg->options.sack[0], *second = first + 1;

    if (!seq_before(first->start, first->end) || seq_after(first->end, c->snd_nxt))
        return false;
    if (seq_before(first->start, seg->ack))
        return !seq_after(first->end, seg->ack) &&
               !seq_before(first->start, seg->ack - max(c->max_window, 1u << 16));
    return seg->options.nr_sack > 1 && !seq_before(first->start, second->start) &&
           !seq_after(first->end, second->end);
}

static void note_dsack(struct tcp_conn *c, const struct seq_range *block, struct ack_news *news)
{
    u32 len = block->end - block->start;

    news->dsack = true;
    c->dsack_dups++;
    c->shard->stats.dsacks_recv++;
    if (c->can_undo && !seq_before(block->start, c->undo_una))
        c->undo_bytes -= min(c->undo_bytes, len);
}

static void sacks(struct tcp_conn *c, const struct tcp_segment *seg, struct ack_news *news)
{
    u32 first = 0;

    if (is_dsack(c, seg)) {
        note_dsack(c, &seg->options.sack[0], news);
        first = 1;
    }
    for (u32 i = first; i < seg->options.nr_sack; i++) {
        const struct seq_range *block = &seg->options.sack[i];
        if (seq_before(block->start, block->end) && !seq_before(block->start, c->snd_una) &&
            !seq_before(block->start, seg->ack) && !seq_after(block->end, c->snd_nxt))
            sack_block(c, block, news);
    }
}

/* Records below @ack are through. */
static void clean(struct tcp_conn *c, u32 ack, struct ack_news *news)
{
    u32 n = 0;

    for (; n < c->sent.count; n++) {
        struct sent *sent = sent_at(&c->sent, n);
        if (seq_after(sent->end, ack)) {
            if (!seq_before(sent->seq, ack) || !sent_split(&c->sent, n, ack))
                break;
            sent = sent_at(&c->sent, n);
        }
        if (!(sent->flags & SENT_SACKED))
            delivered(c, sent, news);
    }
    sent_drop(&c->sent, n);
    struct sent *head = c->sent.count ? sent_at(&c->sent, 0) : NULL;
    if (unlikely(head && seq_before(head->seq, ack))) { /* could not be split */
        u8 flags = head->flags;
        sent_mark(&c->sent, head, 0, SENT_SACKED | SENT_LOST);
        head->seq = ack;
        sent_mark(&c->sent, head, flags & (SENT_SACKED | SENT_LOST), 0);
    }
    u32 data = min(ack - c->snd_una, c->sendq.bytes);
    sendq_trim(&c->sendq, data);
    tcp_charge(c->shard, -(s64)data);
    c->bytes_acked += data;
    c->snd_una = ack;
}

/* RFC 9293 3.10.7.4: the newest segment's window counts. Has it changed? */
static bool update_window(struct tcp_conn *c, const struct tcp_segment *seg)
{
    u32 window = seg->window << c->snd_wscale;

    if (!seq_before(c->snd_wl1, seg->seq) &&
        (c->snd_wl1 != seg->seq || seq_after(c->snd_wl2, seg->ack)))
        return false;
    bool changed = window != c->snd_wnd;
    c->snd_wnd = window;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    c->max_window = max(c->max_window, window);
    return changed;
}

static void grow_send_buffer(struct tcp_conn *c)
{
    if (2 * c->cwnd <= c->sndbuf || c->sndbuf >= TCP_SNDBUF_MAX ||
        (c->sock && c->sock->options.send_buffer_fixed) || c->shard->memory > c->shard->memory_high)
        return;
    c->sndbuf = min(2 * c->cwnd, (u32)TCP_SNDBUF_MAX);
}

void tcp_wake_writer_now(struct tcp_conn *c)
{
    grow_send_buffer(c);
    if (!__atomic_load_n(&c->want_room, __ATOMIC_RELAXED) || !tcp_writable(c))
        return;
    __atomic_store_n(&c->want_room, false, __ATOMIC_RELAXED);
    tcp_wake(c, POLLOUT | POLLWRNORM);
}

/* What progress means to timers and counts. */
static void progress(struct tcp_conn *c, const struct ack_news *news)
{
    c->retries = c->backoff = c->mtu_probes = 0;
    c->dupacks = 0;
    if (news->rtt_us)
        tcp_rtt_sample(c, news->rtt_us);
    if (c->sent.count || tcp_timer_is_set(c, TIMER_RTX))
        tcp_timer_rearm(c);
    tcp_wake_writer(c);
}

/* The whole of what is in flight was one run, sent once, and is acknowledged: nearly always. */
static bool acks_all(const struct tcp_conn *c, const struct tcp_segment *seg)
{
    return seg->ack == c->snd_nxt && c->sent.count == 1 && c->ca == CA_OPEN &&
           !sent_at(&c->sent, 0)->flags && !seg->options.nr_sack && !c->tlp_out &&
           !c->cwnd_limited && c->snd_una != seg->ack;
}

static void all_acked(struct tcp_conn *c)
{
    const struct sent *sent = sent_at(&c->sent, 0);
    struct rack *rack = &c->rack;
    u64 rtt_us = (c->shard->now_ns - sent->time_ns) / NSEC_PER_USEC + 1;

    rack->xmit_ns = sent->time_ns;
    rack->end_seq = rack->fack = sent->end;
    rack->rtt_us = (u32)min(rtt_us, (u64)UINT32_MAX);
    rack->valid = true;
    sent_clear(&c->sent);
    u32 data = c->snd_nxt - c->snd_una;
    sendq_trim(&c->sendq, data);
    tcp_charge(c->shard, -(s64)data);
    c->bytes_acked += data;
    c->snd_una = c->snd_nxt;
    c->retries = c->backoff = c->mtu_probes = 0;
    c->dupacks = 0;
    tcp_rtt_sample(c, rack->rtt_us);
    if (unlikely(tcp_unsent(c)))
        tcp_timer_rearm(c);
    else
        tcp_timer_clear(c, TIMER_RTX);
    tcp_wake_writer(c);
}

bool tcp_ack(struct tcp_conn *c, const struct tcp_segment *seg)
{

    if (unlikely(seq_after(seg->ack, c->snd_nxt))) {
        tcp_challenge_ack(c);
        return false;
    }
    if (unlikely(seq_before(seg->ack, c->snd_una))) {
        if (seq_before(seg->ack, c->snd_una - c->max_window)) { /* RFC 5961 5.2 */
            tcp_challenge_ack(c);
            return false;
        }
        if (c->sack_ok && seg->options.nr_sack && c->sent.count) {
            struct ack_news news = {0};
            sacks(c, seg, &news);
            tcp_recovery_ack(c, seg, &news);
        }
        return true;
    }
    c->last_ack_recv = c->shard->now;
    c->probes = 0;
    bool window_update = update_window(c, seg);
    if (likely(acks_all(c, seg))) {
        all_acked(c);
        return true;
    }
    if (!c->sent.count) {
        if (unlikely(window_update && tcp_unsent(c)))
            tcp_timer_rearm(c);
        return true;
    }
    struct ack_news news = {.window_update = window_update};
    if (unlikely(c->sack_ok && seg->options.nr_sack))
        sacks(c, seg, &news);
    news.acked = seg->ack - c->snd_una;
    bool repeated = !news.acked && !seg->len && !news.window_update && !(seg->flags & TCP_FIN);
    if (repeated) {
        c->dupacks++;
        news.delivered += c->sack_ok ? 0 : c->mss;
    }
    if (news.acked) {
        clean(c, seg->ack, &news);
        progress(c, &news);
    }
    tcp_recovery_ack(c, seg, &news);
    return true;
}
