/* When to send what: lost segments first, then new data as the peer's window, cwnd and Nagle allow
 * (RFC 9293 3.8.6, RFC 1122 4.2.3.4).  One call builds packets of up to 64 KiB for an interface
 * that cuts them itself, segment by segment for others. */
#include "net/tcp_priv.h"

#include "lib/string.h"

/* Most bytes of data in one packet. */
static u32 packet_limit(const struct tcp_conn *c, u32 mss)
{
    u32 needed = c->family == ADDR_INET ? NETIF_TSO4 : NETIF_TSO6;

    if (!c->route.netif || !(c->route.netif->flags & needed) || mss > TCP_GSO_MAX)
        return mss;
    return TCP_GSO_MAX - TCP_GSO_MAX % mss;
}

/* Options of this very segment (SACK blocks) may take room from the data. */
static u32 segment_size(struct tcp_conn *c)
{
    return likely(!tcp_has_sack(c)) ? c->mss : c->mss - tcp_sack_len(c);
}

/* May a segment smaller than MSS, which is all there is, go out now? */
static bool small_may_go(const struct tcp_conn *c)
{
    if (c->fin_queued)
        return true;
    if (c->cork && !c->cork_over)
        return false;
    if (c->nodelay || c->cork_over)
        return true;
    if (c->snd_nxt == c->snd_una)
        return true;

    return !seq_after(c->snd_small, c->snd_una); /* no other small one is on its way */
}

/* How many bytes to send next in one packet; 0: none now. */
static u32 next_len(struct tcp_conn *c, u32 mss, u32 limit)
{
    u32 unsent = tcp_unsent(c), used = c->snd_nxt - c->snd_una, flight = tcp_flight(c);
    u32 window = c->snd_wnd > used ? c->snd_wnd - used : 0;
    u32 room = c->cwnd > flight ? c->cwnd - flight : 0;

    if (likely(unsent < mss && unsent <= window && unsent <= room))
        return small_may_go(c) ? unsent : 0;
    if (room < unsent && room < mss && room <= window)
        c->cwnd_limited = true;
    u32 allowed = min(window, limit), len = min(unsent, allowed);
    if (len > room) {
        c->cwnd_limited = true;
        /* cwnd counts whole segments; the rest of one waits for the next ACK. */
        len = room >= mss ? room : flight ? 0 : min(len, mss);
    }
    if (len >= mss) {
        u32 part = len % mss;
        bool tail = len == unsent && (!part || small_may_go(c));
        return tail ? len : len - part;
    }
    if (len == unsent)
        return len && small_may_go(c) ? len : 0;
    /* The window ends inside a segment: wait for more of it unless half of the largest is here
     * (RFC 9293 3.8.6.2.1); the probe timer ends the wait. */
    return len && len >= c->max_window / 2 && len == window ? len : 0;
}

/* cwnd after a pause longer than RTO: RFC 5681 4.1, halved for each RTO as RFC 2861 has it. */
static void restart_after_idle(struct tcp_conn *c)
{
    u32 idle = c->shard->now - c->last_send;
    u32 least = min(c->cwnd, (u32)TCP_INITIAL_WINDOW * c->mss);

    if (idle <= c->rto_ms || c->ca != CA_OPEN)
        return;
    c->ssthresh = max(c->ssthresh, c->cwnd / 2 + c->cwnd / 4);
    for (; idle > c->rto_ms && c->cwnd > least; idle -= c->rto_ms)
        c->cwnd /= 2;
    c->cwnd = max(c->cwnd, least);
    cubic_restart(c);
}

/* Data that answers what has just come in: its ACK rode along, so may those to come. */
static void note_data_sent(struct tcp_conn *c, u32 len)
{
    u32 now = c->shard->now;

    if (!c->interactive && now - c->last_recv < TCP_DELACK)
        c->interactive = true;
    c->last_send = now;
    c->data_segs_out++;
    c->bytes_sent += len;
}

/* Put [@seq, @seq + @len) on the wire for the first time and remember it. */
static ssize_t send_new(struct tcp_conn *c, u32 len, u32 mss)
{
    bool last = c->snd_nxt + len == c->write_seq, fin = last && c->fin_queued;
    u8 flags = (u8)((last ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));

    if (sent_reserve(&c->sent))
        return -ENOMEM;
    if (unlikely(c->snd_nxt == c->snd_una))
        restart_after_idle(c);
    ssize_t sent = tcp_send_segment(c, c->snd_nxt, len, flags);
    if (sent < 0)
        return sent;
    fin = fin && (u32)sent == len;
    u32 end = c->snd_nxt + (u32)sent + fin;
    sent_append(&c->sent, c->snd_nxt, end, c->shard->now_ns, fin ? SENT_FIN : 0);
    if ((u32)sent < mss)
        c->snd_small = end;
    c->snd_nxt = end;
    c->fin_sent |= fin;
    c->prr_out += (u32)sent;
    note_data_sent(c, (u32)sent);
    if (!tcp_timer_is_set(c, TIMER_RTX) || c->rtx_kind == RTX_PROBE_TAIL ||
        c->rtx_kind == RTX_WINDOW)
        tcp_timer_rearm(c);
    return sent;
}

u32 tcp_send_new(struct tcp_conn *c, u32 most)
{
    u32 used = c->snd_nxt - c->snd_una, window = c->snd_wnd > used ? c->snd_wnd - used : 0;
    u32 allowed = min(window, most), len = min(tcp_unsent(c), allowed);
    ssize_t sent = len ? send_new(c, len, segment_size(c)) : 0;

    return sent > 0 ? (u32)sent : 0;
}

bool tcp_retransmit(struct tcp_conn *c, u32 i, u32 most)
{
    struct sent *sent = sent_at(&c->sent, i);
    bool fin = sent->flags & SENT_FIN;
    u32 data = sent->end - sent->seq - fin;

    if (unlikely(c->mtu_probe_size))
        tcp_mtu_probe_unclear(c);
    if (data > most) {
        if (!sent_split(&c->sent, i, sent->seq + most))
            return false;
        sent = sent_at(&c->sent, i);
        data = most;
        fin = false;
    }
    u8 flags = (u8)((sent->end == c->write_seq + fin ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
    ssize_t done = tcp_send_segment(c, sent->seq, data, flags);
    if (done < 0)
        return false;
    if ((u32)done < data) {
        if (!done || !sent_split(&c->sent, i, sent->seq + (u32)done))
            return false;
        sent = sent_at(&c->sent, i);
    }
    u32 len = sent->end - sent->seq;
    sent_mark(&c->sent, sent, SENT_RETRANS, SENT_LOST);
    sent->time_ns = c->shard->now_ns;
    if (!c->retrans_ts)
        c->retrans_ts = max(tcp_ts_now(c), 1u);
    c->undo_bytes += len;
    c->prr_out += len;
    c->total_retrans++;
    c->bytes_retrans += len;
    c->shard->stats.retrans_segs++;
    c->last_send = c->shard->now;
    return true;
}

/* Lost segments again, as far as cwnd goes; the first one always if nothing is in flight. */
static void send_lost(struct tcp_conn *c, u32 mss)
{
    for (u32 i = 0; i < c->sent.count && c->sent.lost; i++) {
        if (!(sent_at(&c->sent, i)->flags & SENT_LOST))
            continue;
        u32 flight = tcp_flight(c), room = c->cwnd > flight ? c->cwnd - flight : 0;
        u32 limit = min(packet_limit(c, mss), max(room - room % mss, mss));
        if (room < mss && flight)
            return;
        if (i && seq_after(sent_at(&c->sent, i)->end, c->snd_una + c->snd_wnd))
            return; /* the peer has taken its window back */
        bool first = i == 0;
        if (!tcp_retransmit(c, i, limit))
            return;
        if (first)
            tcp_timer_rearm(c);
    }
}

static bool may_send_data(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT ||
           ((c->state == TCP_FIN_WAIT1 || c->state == TCP_CLOSING || c->state == TCP_LAST_ACK) &&
            !c->fin_sent);
}

/* A FIN without data behind everything that was sent; it needs no window. */
static void send_fin(struct tcp_conn *c)
{
    if (c->fin_queued && !c->fin_sent && c->snd_nxt == c->write_seq)
        send_new(c, 0, 0);
}

/* What could not go because the window is shut or too small is probed for; what Nagle or a cork
 * holds back has its own end. */
static void watch_rest(struct tcp_conn *c)
{
    if (!tcp_unsent(c))
        return;
    if (!c->sent.count && !tcp_timer_is_set(c, TIMER_RTX))
        tcp_timer_rearm(c);
    if (c->cork)
        tcp_cork_hold(c);
}

/* New data, packet by packet, as much as may go. */
static void send_data(struct tcp_conn *c)
{
    u32 mss, len;

    c->cwnd_limited = false;
    if (unlikely(c->mtu_search) && tcp_mtu_search(c))
        return;
    do {
        mss = segment_size(c); /* SACK blocks go out, and the path may shrink */
        len = next_len(c, mss, packet_limit(c, mss));
        if (!len)
            break;
        ssize_t sent = send_new(c, len, mss);
        if (unlikely(sent <= 0) && sent != -EMSGSIZE)
            break;
    } while (tcp_unsent(c));
}

/* Is all that waits one segment, the only one under way, which nothing holds back? */
static inline bool sends_alone(const struct tcp_conn *c)
{
    u32 unsent = c->write_seq - c->snd_nxt;

    return c->snd_nxt == c->snd_una && !c->sent.count && unsent - 1 < c->mss &&
           unsent <= c->snd_wnd && unsent <= c->cwnd && !c->cork && !c->fin_queued &&
           c->state == TCP_ESTABLISHED && !tcp_has_sack(c);
}

/* What send_data() and send_new() would do with it. */
static void send_alone(struct tcp_conn *c)
{
    u32 seq = c->snd_nxt, unsent = c->write_seq - seq;

    c->cwnd_limited = c->cork_over = false;
    if (unlikely(c->shard->now - c->last_send > c->rto_ms))
        restart_after_idle(c);
    ssize_t sent = tcp_send_segment(c, seq, unsent, TCP_PSH);
    if (unlikely(sent <= 0)) {
        watch_rest(c);
        return;
    }
    u32 end = seq + (u32)sent;
    sent_append(&c->sent, seq, end, c->shard->now_ns, 0);
    if ((u32)sent < c->mss)
        c->snd_small = end;
    c->snd_nxt = end;
    c->prr_out += (u32)sent;
    note_data_sent(c, (u32)sent);
    tcp_timer_rearm(c);
}

void tcp_output(struct tcp_conn *c)
{
    if (tcp_is_corked(c)) {
        tcp_cork_hold(c);
        return;
    }
    if (likely(sends_alone(c))) {
        send_alone(c);
        if (likely(!tcp_unsent(c)))
            return;
    }
    if (unlikely(c->sent.lost) && !(c->frto && c->frto_new) && tcp_synchronized(c->state))
        send_lost(c, segment_size(c));
    if (unlikely(!may_send_data(c)))
        return;
    if (likely(tcp_unsent(c)))
        send_data(c);
    if (unlikely(c->fin_queued))
        send_fin(c);
    if (unlikely(tcp_unsent(c)))
        watch_rest(c);
    c->cork_over = false;
}

void tcp_send_ack(struct tcp_conn *c)
{
    if (likely(tcp_send_segment(c, c->snd_nxt, 0, 0) != -ENOMEM))
        return;
    list_remove(&c->ack_node); /* it waits for longer than others now */
    tcp_timer_set(c, TIMER_DELACK, c->shard->now + TCP_RTO_MIN);
}

void tcp_schedule_ack(struct tcp_conn *c)
{
    if (tcp_timer_is_set(c, TIMER_DELACK))
        return;
    if (c->quick_acks && !c->interactive)
        tcp_timer_set(c, TIMER_DELACK, c->shard->now + TCP_DELACK_QUICK);
    else
        tcp_timer_delack(c);
}

void tcp_send_syn(struct tcp_conn *c)
{
    bool answer = c->state == TCP_SYN_RECV;
    struct tcp_options options = {
        .saw_mss = true,
        .mss = c->advmss,
        .saw_wscale = !answer || c->wscale_ok,
        .wscale = c->rcv_wscale,
        .saw_sack_ok = !answer || c->sack_ok,
        .saw_ts = !answer || c->ts_ok,
        .tsval = tcp_ts_now(c),
        .tsecr = c->ts_recent,
    };
    u32 window = min(tcp_window(c), 65535u);
    struct tcp_reply reply = {
        .flow = &c->flow,
        .family = c->family,
        .flags = answer ? TCP_SYN | TCP_ACK : TCP_SYN,
        .seq = c->iss,
        .ack = c->rcv_nxt,
        .window = (u16)window,
        .route = &c->route,
        .options = &options,
    };

    if (!tcp_conn_route_ok(c) && tcp_conn_route(c))
        return;
    c->rcv_adv = c->rcv_nxt + window;
    c->rcv_acked = c->rcv_nxt;
    c->snd_nxt = c->iss + 1;
    c->segs_out++;
    tcp_send_reply(c->shard, &reply);
}

void tcp_send_reset(struct tcp_conn *c)
{
    struct tcp_reply reply = {
        .flow = &c->flow,
        .family = c->family,
        .flags = TCP_RST | TCP_ACK,
        .seq = c->snd_nxt,
        .ack = c->rcv_nxt,
        .ifindex = c->scope,
    };

    tcp_send_reply(c->shard, &reply);
}

void tcp_reset_segment(struct shard *shard, const struct tcp_segment *seg, u32 ifindex)
{
    struct tcp_reply reply = {.flow = &seg->flow, .family = seg->family, .ifindex = ifindex};

    if (seg->flags & TCP_RST)
        return;
    if (seg->flags & TCP_ACK) {
        reply.flags = TCP_RST;
        reply.seq = seg->ack;
    } else {
        reply.flags = TCP_RST | TCP_ACK;
        reply.ack = segment_end(seg);
    }
    tcp_send_reply(shard, &reply);
}
