/* Finding losses and mending them: RACK-TLP (RFC 8985) with SACK, duplicate ACKs without (RFC
 * 6582), proportional rate reduction (RFC 6937), F-RTO (RFC 5682), and taking back what was wrong
 * (RFC 4015 by timestamps, RFC 3708 by D-SACK).
 *
 * Each record of the scoreboard is in flight, SACKed, or lost; sending it again puts it back in
 * flight.  So what is in flight is snd_nxt - snd_una - SACKed - lost, whatever happened before. */
#include "net/tcp_priv.h"

enum { REO_MULT_MAX = 16, REO_PERSIST = 16, TLP_ACK_DELAY_MS = 200, PTO_SLACK_MS = 2 };

/* ---- RACK ---- */

static bool sent_after(const struct rack *rack, const struct sent *sent)
{
    return sent->time_ns > rack->xmit_ns ||
           (sent->time_ns == rack->xmit_ns && seq_after(sent->end, rack->end_seq));
}

void rack_delivered(struct tcp_conn *c, const struct sent *sent)
{
    struct rack *rack = &c->rack;
    u64 rtt_us = (c->shard->now_ns - sent->time_ns) / NSEC_PER_USEC;

    if (sent->flags & SENT_RETRANS) {
        if (rtt_us < c->min_rtt_us) /* it is the first transmission that arrived */
            return;
    } else if (seq_before(sent->end, rack->fack)) {
        rack->reordering = true;
    }
    rack->fack = seq_max(rack->fack, sent->end);
    if (rack->valid && !sent_after(rack, sent))
        return;
    rack->valid = true;
    rack->rtt_us = (u32)min(rtt_us, (u64)UINT32_MAX);
    rack->xmit_ns = sent->time_ns;
    rack->end_seq = sent->end;
}

/* 6.2.4 and 6.2.5 step 4: how much later than its followers a segment may come. In us. */
static u32 reorder_window(const struct tcp_conn *c)
{
    const struct rack *rack = &c->rack;

    if (!rack->reordering && (c->ca >= CA_RECOVERY || c->sent.sacked >= (u32)TCP_DUPACKS * c->mss))
        return 0;
    u32 window = c->min_rtt_us / 4 * (rack->reo_mult ? rack->reo_mult : 1);
    return min(window, c->srtt_us8 / 8);
}

/* D-SACKs say that the window was too small: once a round trip it grows. */
static void adapt_window(struct tcp_conn *c, bool dsack)
{
    struct rack *rack = &c->rack;

    if (!dsack || seq_before(c->snd_una, rack->dsack_round))
        return;
    rack->dsack_round = c->snd_nxt;
    u32 mult = max(rack->reo_mult, 1u) + 1;
    rack->reo_mult = min(mult, (u32)REO_MULT_MAX);
    rack->reo_persist = REO_PERSIST;
}

static void forget_window(struct tcp_conn *c)
{
    struct rack *rack = &c->rack;

    if (rack->reo_persist && --rack->reo_persist == 0)
        rack->reo_mult = 1;
}

/* Mark what was sent too long before something that has arrived; set the timer for the rest. */
static void detect(struct tcp_conn *c)
{
    const struct rack *rack = &c->rack;
    u64 now = c->shard->now_ns, wait = 0;

    if (!rack->valid)
        return;
    u64 allowed = ((u64)rack->rtt_us + reorder_window(c)) * NSEC_PER_USEC;
    for (u32 i = 0; i < c->sent.count; i++) {
        struct sent *sent = sent_at(&c->sent, i);
        if ((sent->flags & (SENT_SACKED | SENT_LOST)) || sent_after(rack, sent) ||
            (sent->time_ns == rack->xmit_ns && sent->end == rack->end_seq))
            continue;
        u64 deadline = sent->time_ns + allowed;
        if (deadline <= now)
            sent_mark(&c->sent, sent, SENT_LOST, 0);
        else
            wait = max(wait, deadline - now);
    }
    if (wait && c->ca != CA_LOSS) {
        c->rtx_kind = RTX_REORDER;
        tcp_timer_set(c, TIMER_RTX, c->shard->now + (u32)(wait / NSEC_PER_MSEC) + 1);
    }
}

/* ---- without SACK ---- */

static void mark_head_lost(struct tcp_conn *c)
{
    struct sent *head = sent_at(&c->sent, 0);

    if (head->flags & SENT_LOST)
        return;
    if (head->end - head->seq > c->mss && !sent_split(&c->sent, 0, head->seq + c->mss))
        return;
    sent_mark(&c->sent, sent_at(&c->sent, 0), SENT_LOST, 0);
}

/* RFC 6582: three duplicates mean a loss; in recovery each partial ACK means the next one. */
static void reno_detect(struct tcp_conn *c, const struct ack_news *news)
{
    if (!c->sent.count || c->ca == CA_LOSS)
        return;
    if (c->ca == CA_RECOVERY ? news->acked != 0 : c->dupacks == TCP_DUPACKS)
        mark_head_lost(c);
}

/* ---- states ---- */

static void begin(struct tcp_conn *c, u8 ca)
{
    if (c->ca < CA_CWR || !seq_before(c->snd_una, c->high_seq)) { /* once for each window */
        c->prior_cwnd = c->cwnd;
        c->prior_ssthresh = c->ssthresh;
        c->ssthresh = cubic_reduce(c);
    }
    c->ca = ca;
    c->high_seq = c->snd_nxt;
    c->prr_delivered = c->prr_out = 0;
    c->recover_flight = max(c->snd_nxt - c->snd_una, (u32)c->mss);
    c->tlp_out = false;
    c->can_undo = ca != CA_CWR;
    c->undo_una = c->snd_una;
    c->undo_bytes = 0;
    c->retrans_ts = 0;
}

static void end(struct tcp_conn *c)
{
    if (c->ca == CA_RECOVERY || c->ca == CA_CWR)
        c->cwnd = max(c->ssthresh, c->mss * 2u);
    if (c->ca == CA_RECOVERY)
        forget_window(c);
    c->ca = CA_OPEN;
    c->frto = c->frto_new = false;
    c->dupacks = 0;
}

static void undo(struct tcp_conn *c)
{
    c->shard->stats.undone++;
    for (u32 i = 0; i < c->sent.count; i++)
        sent_mark(&c->sent, sent_at(&c->sent, i), 0, SENT_LOST);
    c->cwnd = max(c->cwnd, c->prior_cwnd);
    c->ssthresh = max(c->ssthresh, c->prior_ssthresh);
    c->can_undo = c->frto = c->frto_new = false;
    c->ca = c->sent.sacked ? CA_DISORDER : CA_OPEN;
    c->backoff = 0;
    c->dupacks = 0;
    cubic_restart(c);
}

/* Were all retransmissions needless? */
static bool was_spurious(const struct tcp_conn *c, const struct tcp_segment *seg,
                         const struct ack_news *news)
{
    if (!c->can_undo)
        return false;
    if (news->acked && c->ts_ok && seg->options.saw_ts && seg->options.tsecr && c->retrans_ts &&
        seq_before(seg->options.tsecr, c->retrans_ts))
        return true; /* the answer to a first transmission */
    return news->dsack && c->retrans_ts && !c->undo_bytes;
}

/* RFC 5682 3 for SACK: an ACK of what was sent once only shows that the RTO was too early. */
static void frto_step(struct tcp_conn *c, const struct ack_news *news)
{
    if (news->original) {
        c->shard->stats.spurious_rtos++;
        undo(c);
        return;
    }
    if (news->acked && !c->frto_new && tcp_unsent(c) && c->snd_wnd > c->snd_nxt - c->snd_una) {
        c->frto_new = true; /* new data tells more than sending old data again */
        c->cwnd = tcp_flight(c) + 2u * c->mss;
        return;
    }
    c->frto = c->frto_new = false;
}

/* RFC 6937. */
static void reduce_rate(struct tcp_conn *c, const struct ack_news *news)
{
    u32 flight = tcp_flight(c);
    u64 out;

    c->prr_delivered += news->delivered;
    if (flight > c->ssthresh) {
        out = ((u64)c->prr_delivered * c->ssthresh + c->recover_flight - 1) / c->recover_flight;
        out -= min(out, (u64)c->prr_out);
    } else {
        u32 surplus = c->prr_delivered - min(c->prr_delivered, c->prr_out);
        out = min(c->ssthresh - flight, max(surplus, news->delivered) + c->mss);
    }
    if (!c->prr_out)
        out = max(out, (u64)c->mss); /* the fast retransmission itself */
    c->cwnd = flight + (u32)out;
}

/* ---- tail loss probes ---- */

static void probe_answered(struct tcp_conn *c, const struct tcp_segment *seg,
                           const struct ack_news *news)
{
    if (!c->tlp_out || seq_before(seg->ack, c->tlp_seq))
        return;
    if (!c->tlp_retrans || news->dsack) {
        c->tlp_out = false;
    } else if (seq_after(seg->ack, c->tlp_seq)) {
        c->tlp_out = false; /* the probe has mended a loss that nothing else told of */
        if (c->ca < CA_CWR) {
            c->ssthresh = cubic_reduce(c);
            c->cwnd = min(c->cwnd, c->ssthresh);
        }
    } else if (!news->acked && !news->sacked) {
        c->tlp_out = false;
    }
}

void tcp_recovery_probe(struct tcp_conn *c)
{
    u32 most = c->mss;

    c->tlp_retrans = !tcp_send_new(c, most);
    if (c->tlp_retrans) {
        u32 last = c->sent.count - 1;
        struct sent *sent = sent_at(&c->sent, last);
        u32 len = sent->end - sent->seq;
        if (len > most && sent_split(&c->sent, last, sent->end - most))
            last++;
        if (!tcp_retransmit(c, last, most)) {
            tcp_timer_rearm(c);
            return;
        }
        c->undo_bytes = 0;
    }
    c->shard->stats.loss_probes++;
    c->tlp_out = true;
    c->tlp_seq = c->snd_nxt;
    tcp_timer_rearm(c);
}

/* ---- events ---- */

/* Then the path is too narrow, not too full: it is sent again in pieces, and nothing is reduced. */
static bool only_mtu_probe_lost(struct tcp_conn *c)
{
    return c->mtu_probe_size && tcp_mtu_probe_lost(c);
}

static void find_losses(struct tcp_conn *c, const struct ack_news *news)
{
    if (!c->sack_ok)
        reno_detect(c, news);
    else if (c->sent.sacked || c->ca >= CA_RECOVERY || c->sent.lost)
        detect(c);
    if (c->ca <= CA_CWR && c->sent.lost && !only_mtu_probe_lost(c)) {
        c->shard->stats.fast_retrans++;
        begin(c, CA_RECOVERY);
    } else if (c->ca <= CA_DISORDER) {
        c->ca = c->sent.sacked || c->dupacks ? CA_DISORDER : CA_OPEN;
    }
}

void tcp_recovery_ack(struct tcp_conn *c, const struct tcp_segment *seg, struct ack_news *news)
{
    if (unlikely(c->tlp_out))
        probe_answered(c, seg, news);
    if (likely(c->ca == CA_OPEN && !c->sent.sacked && !c->dupacks)) {
        if (news->acked && c->cwnd_limited)
            cubic_acked(c, news->acked);
        if (likely(!news->dsack))
            return;
    }
    adapt_window(c, news->dsack);
    if ((c->ca >= CA_RECOVERY || news->dsack) && was_spurious(c, seg, news))
        undo(c);
    if (c->ca == CA_LOSS && c->frto && (news->acked || news->sacked || news->dsack))
        frto_step(c, news);
    if (c->ca >= CA_CWR && !seq_before(c->snd_una, c->high_seq))
        end(c);
    find_losses(c, news);
    if (c->ca == CA_RECOVERY || c->ca == CA_CWR)
        reduce_rate(c, news);
    else if (news->acked && (c->ca == CA_LOSS || c->cwnd_limited) && !c->frto_new)
        cubic_acked(c, c->ca == CA_LOSS ? news->delivered : news->acked);
}

/* The peer may throw away what it has SACKed: RFC 2018 8. */
static void check_reneging(struct tcp_conn *c)
{
    if (!(sent_at(&c->sent, 0)->flags & SENT_SACKED))
        return;
    for (u32 i = 0; i < c->sent.count; i++)
        sent_mark(&c->sent, sent_at(&c->sent, i), 0, SENT_SACKED);
}

void tcp_recovery_timeout(struct tcp_conn *c)
{
    bool fresh = c->ca < CA_LOSS || !seq_before(c->snd_una, c->high_seq);

    c->shard->stats.timeouts++;
    if (fresh)
        begin(c, CA_LOSS);
    c->frto = fresh && c->sack_ok;
    c->frto_new = false;
    c->high_seq = c->snd_nxt;
    c->tlp_out = false;
    check_reneging(c);
    for (u32 i = 0; i < c->sent.count; i++) {
        struct sent *sent = sent_at(&c->sent, i);
        if (!(sent->flags & SENT_SACKED))
            sent_mark(&c->sent, sent, SENT_LOST, 0);
    }
    c->cwnd = tcp_flight(c) + c->mss;
}

void tcp_recovery_reorder(struct tcp_conn *c)
{
    struct ack_news news = {0};

    detect(c);
    if (c->sent.lost && c->ca <= CA_CWR && !only_mtu_probe_lost(c)) {
        c->shard->stats.fast_retrans++;
        begin(c, CA_RECOVERY);
    }
    if (c->ca == CA_RECOVERY)
        reduce_rate(c, &news);
    if (!tcp_timer_is_set(c, TIMER_RTX))
        tcp_timer_rearm(c);
}

void tcp_recovery_ecn(struct tcp_conn *c)
{
    if (c->ca >= CA_CWR)
        return;
    begin(c, CA_CWR);
    u32 most = max(tcp_flight(c), c->ssthresh);
    c->cwnd = min(c->cwnd, most);
    c->cwr_due = true;
}
