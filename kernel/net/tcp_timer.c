/* What time brings.  A connection has one timer in its shard's wheel and a few deadlines; moving a
 * deadline back costs a store, since the wheel is only told of earlier ones and a timer that finds
 * nothing due sets itself again.  Delayed ACKs, which nearly always ride on an answer and would
 * have it fire in vain all the time, wait in a list of the shard's with one timer.  RFC 6298, 8985
 * 7, 9293 3.8.3, 3.8.4, 3.8.6.1, 5482. */
#include "net/tcp_priv.h"

enum { PTO_SLACK_MS = 2, RTO_SHIFT_MAX = 12 };

void tcp_timer_set(struct tcp_conn *c, enum tcp_timers which, u32 tick)
{
    c->due[which] = tick;
    c->timers |= (u8)(1u << which);
    if (wheel_timer_is_set(&c->timer) && (s32)(tick - c->timer.tick) >= 0)
        return;
    shard_timer_set(c->shard, &c->timer, tick);
}

static u32 backed_off(const struct tcp_conn *c)
{
    u32 rto = c->rto_ms << min(c->backoff, (u8)RTO_SHIFT_MAX);

    return min(rto, (u32)TCP_RTO_MAX);
}

/* RFC 8985 7.2; UINT32_MAX: no probe now. For a single segment the wait would include the longest
 * delay of an ACK, and RTO comes before that. */
static u32 probe_timeout(const struct tcp_conn *c)
{
    if (c->snd_nxt - c->snd_una <= c->mss || c->ca != CA_OPEN || !c->sack_ok || c->sent.sacked ||
        c->tlp_out || c->backoff || !c->srtt_us8)
        return UINT32_MAX;
    u32 pto = c->srtt_us8 / 4000 + PTO_SLACK_MS;

    return max(pto, (u32)TCP_PTO_MIN);
}

static void set_rtx(struct tcp_conn *c, enum tcp_rtx kind, u32 after_ms)
{
    c->rtx_kind = kind;
    u32 tick = c->shard->now + after_ms;
    tcp_timer_set(c, TIMER_RTX, after_ms < TCP_RTO_MIN ? tick : tcp_timer_round(tick));
}

/* Is the window what holds the rest back? Else it was memory, or a cork. */
static bool window_blocks(const struct tcp_conn *c)
{
    return c->snd_wnd < min(tcp_unsent(c), (u32)c->mss);
}

void tcp_timer_rearm(struct tcp_conn *c)
{
    if (c->sent.count) {
        u32 rto = backed_off(c), pto = probe_timeout(c);
        set_rtx(c, pto < rto ? RTX_PROBE_TAIL : RTX_RTO, min(pto, rto));
    } else if (tcp_unsent(c) && (!c->cork || window_blocks(c))) {
        set_rtx(c, RTX_WINDOW, window_blocks(c) ? backed_off(c) : TCP_RTO_MIN);
    } else {
        tcp_timer_clear(c, TIMER_RTX);
    }
}

static void give_up(struct tcp_conn *c)
{
    c->shard->stats.abort_on_timeout++;
    tcp_conn_abort(c, -ETIMEDOUT);
}

/* RFC 5482 where the program has said how long, else R2. */
static bool out_of_patience(const struct tcp_conn *c, u32 tries)
{
    if (c->user_timeout_ms && c->shard->now - c->stalled_since >= c->user_timeout_ms)
        return true;
    return tries > (u32)(c->sock || c->listener ? TCP_RETRIES_MAX : TCP_ORPHAN_RETRIES);
}

static void syn_timeout(struct tcp_conn *c)
{
    if (c->retries >= c->syn_retries || out_of_patience(c, c->retries)) {
        tcp_conn_close(c, -ETIMEDOUT);
        return;
    }
    c->retries++;
    c->backoff++;
    tcp_send_syn(c);
    set_rtx(c, RTX_RTO, backed_off(c));
}

/* RFC 4821 7.7: where large segments vanish again and again, smaller ones may pass. */
static void suspect_black_hole(struct tcp_conn *c)
{
    u32 before = c->mss;

    if (c->mtu_probe_size)
        tcp_mtu_probe_failed(c);
    if (c->retries < TCP_BLACKHOLE_RETRIES || c->mtu_probes || c->mss <= TCP_PROBE_MTU_BASE ||
        (c->route.netif && c->route.netif->flags & NETIF_LOOPBACK))
        return;
    c->mtu_probes = 1;
    c->path_mtu = TCP_PROBE_MTU_BASE + (c->family == ADDR_INET ? 40 : 60);
    tcp_conn_set_mss(c);
    tcp_mtu_shrunk(c, false);
    c->cwnd = c->cwnd / before * c->mss + c->mss;
}

static void retransmit_timeout(struct tcp_conn *c)
{
    if (!tcp_synchronized(c->state)) {
        syn_timeout(c);
        return;
    }
    if (!c->sent.count)
        return;
    if (!c->retries)
        c->stalled_since = c->shard->now;
    c->retries++;
    if (out_of_patience(c, c->retries)) {
        give_up(c);
        return;
    }
    suspect_black_hole(c);
    tcp_recovery_timeout(c);
    if (c->retries > TCP_BLACKHOLE_RETRIES)
        c->route.netif = NULL; /* perhaps there is another way by now */
    c->backoff++;
    tcp_output(c);
    tcp_timer_rearm(c);
}

static void window_timeout(struct tcp_conn *c)
{
    u32 before = c->snd_nxt;

    tcp_output(c);
    if (c->snd_nxt != before || !tcp_unsent(c))
        return;
    if (!c->probes)
        c->stalled_since = c->shard->now;
    c->probes++;
    if (out_of_patience(c, c->probes)) {
        give_up(c);
        return;
    }
    tcp_send_segment(c, c->snd_una - 1, 0, 0);
    c->backoff += c->backoff < RTO_SHIFT_MAX;
    tcp_timer_rearm(c);
}

static void rtx_due(struct tcp_conn *c)
{
    switch (c->rtx_kind) {
    case RTX_PROBE_TAIL:
        if (c->sent.count)
            tcp_recovery_probe(c);
        break;
    case RTX_REORDER:
        tcp_recovery_reorder(c);
        tcp_output(c);
        break;
    case RTX_WINDOW:
        window_timeout(c);
        break;
    default:
        retransmit_timeout(c);
        break;
    }
}

static void delack_due(struct tcp_conn *c)
{
    c->shard->stats.delayed_acks++;
    c->quick_acks -= c->quick_acks != 0;
    tcp_send_ack(c);
}

static void keep_due(struct tcp_conn *c)
{
    u32 now = c->shard->now, idle = now - seq_max(c->last_recv, c->last_ack_recv);
    u64 idle_max = (u64)c->keep_idle_s * 1000, interval = (u64)c->keep_interval_s * 1000;

    if (!c->sock || !c->sock->options.keepalive)
        return;
    if (c->sent.count || tcp_unsent(c) || idle < idle_max) { /* alive, or under other watch */
        c->keep_probes = 0;
        u64 rest = idle < idle_max ? idle_max - idle : idle_max;
        tcp_timer_set(c, TIMER_KEEP, now + (u32)rest);
        return;
    }
    bool late = c->user_timeout_ms ? c->keep_probes && idle >= c->user_timeout_ms
                                   : c->keep_probes >= c->keep_probes_max;
    if (late) {
        give_up(c);
        return;
    }
    c->keep_probes++;
    tcp_send_segment(c, c->snd_una - 1, 0, 0);
    tcp_timer_set(c, TIMER_KEEP, now + (u32)interval);
}

void tcp_timer_keepalive(struct tcp_conn *c)
{
    tcp_timer_clear(c, TIMER_KEEP);
    c->keep_probes = 0;
    if (c->sock && c->sock->options.keepalive && tcp_synchronized(c->state))
        tcp_timer_set(c, TIMER_KEEP, c->shard->now + c->keep_idle_s * 1000);
}

/* A FIN_WAIT2 that nobody holds open any more. */
static void state_due(struct tcp_conn *c)
{
    if (c->state == TCP_FIN_WAIT2 && !c->sock)
        tcp_conn_time_wait(c);
}

static void cork_due(struct tcp_conn *c)
{
    c->cork_over = true;
    tcp_output(c);
}

/* Those that .timer stands for. */
static u32 own_timers(const struct tcp_conn *c)
{
    return list_empty(&c->ack_node) ? c->timers : c->timers & ~(1u << TIMER_DELACK);
}

void tcp_timer_fire(struct shard *shard, struct wheel_timer *timer)
{
    static void (*const due[NR_TCP_TIMERS])(struct tcp_conn *) = {
        [TIMER_RTX] = rtx_due,     [TIMER_DELACK] = delack_due, [TIMER_KEEP] = keep_due,
        [TIMER_STATE] = state_due, [TIMER_CORK] = cork_due,
    };
    struct tcp_conn *c = container_of(timer, struct tcp_conn, timer);

    for (u32 left = own_timers(c); left; left &= left - 1) {
        u32 i = (u32)__builtin_ctz(left);
        if ((s32)(c->due[i] - shard->now) > 0 || !tcp_timer_is_set(c, i))
            continue;
        tcp_timer_clear(c, i);
        due[i](c);
    }
    for (u32 left = own_timers(c); left; left &= left - 1) {
        u32 i = (u32)__builtin_ctz(left);
        tcp_timer_set(c, i, c->due[i]);
    }
    tcp_conn_reap(c);
}

/* ---- delayed ACKs ---- */

void tcp_timer_delack(struct tcp_conn *c)
{
    struct shard *shard = c->shard;
    u32 tick = tcp_timer_round(shard->now + TCP_DELACK);

    c->due[TIMER_DELACK] = tick;
    c->timers |= 1u << TIMER_DELACK;
    list_add_tail(&shard->acks, &c->ack_node);
    if (unlikely(!wheel_timer_is_set(&shard->ack_timer)))
        shard_timer_set(shard, &shard->ack_timer, tick);
}

void tcp_acks_fire(struct shard *shard, struct wheel_timer *timer)
{
    while (!list_empty(&shard->acks)) {
        struct tcp_conn *c = list_first(&shard->acks, struct tcp_conn, ack_node);
        if ((s32)(c->due[TIMER_DELACK] - shard->now) > 0) {
            shard_timer_set(shard, timer, c->due[TIMER_DELACK]);
            return;
        }
        list_remove(&c->ack_node);
        tcp_timer_clear(c, TIMER_DELACK);
        delack_due(c);
        tcp_conn_reap(c);
    }
}
