/* CUBIC, RFC 9438, in bytes and milliseconds.  C = 0.4, beta = 0.7. */
#include "net/tcp_priv.h"

enum {
    BETA = 7,         /* tenths */
    FAST = 85,        /* (1 + beta) / 2, hundredths: 4.7 */
    CURVE_MAX = 60000 /* ms from the plateau; beyond, growth is bounded otherwise */
};

void cubic_init(struct tcp_conn *c)
{
    c->cubic = (struct cubic){0};
}

void cubic_restart(struct tcp_conn *c)
{
    c->cubic.started = false;
}

u32 cubic_reduce(struct tcp_conn *c)
{
    struct cubic *q = &c->cubic;
    u64 cwnd = c->cwnd;

    q->started = false;
    q->w_max = (u32)(cwnd < q->w_max ? cwnd * FAST / 100 : cwnd);
    q->prior_cwnd = c->cwnd;
    return max((u32)(cwnd * BETA / 10), 2u * c->mss);
}

static u32 cube_root(u64 x)
{
    u64 root = 0;

    for (s32 shift = 63; shift >= 0; shift -= 3) {
        root *= 2;
        u64 step = 3 * root * (root + 1) + 1;
        if (x >> shift >= step) {
            x -= step << shift;
            root++;
        }
    }
    return (u32)root;
}

/* A stage of congestion avoidance begins: where the curve's plateau is, and how far. */
static void start(struct tcp_conn *c)
{
    struct cubic *q = &c->cubic;

    q->started = true;
    q->epoch = c->shard->now;
    q->w_est = c->cwnd;
    q->est_part = 0;
    q->origin = max(q->w_max, c->cwnd);
    /* K = cbrt((w_max - cwnd) / C) seconds, windows in segments: in ms, 10^9 / 0.4 = 25 * 10^8 */
    u64 below = min(q->origin - c->cwnd, 1u << 30);
    q->k_ms = cube_root(below * 2500000000ull / c->mss);
}

/* W_cubic(@ms after the stage began): origin + C * (t - K)^3. */
static u64 curve(const struct tcp_conn *c, u32 ms)
{
    const struct cubic *q = &c->cubic;
    bool before = ms < q->k_ms;
    u64 d = min(before ? q->k_ms - ms : ms - q->k_ms, (u32)CURVE_MAX);
    u64 change = d * d * d / 1000000 * c->mss / 2500;

    if (before)
        return q->origin > change ? q->origin - change : 0;
    return q->origin + change;
}

/* The window that Reno would have: 4.3; alpha is 9/17 until the old window is reached again. */
static void grow_estimate(struct tcp_conn *c, u32 acked)
{
    struct cubic *q = &c->cubic;
    bool below = q->w_est < q->prior_cwnd;

    q->est_part += (u64)acked * c->mss * (below ? 9 : 17);
    u64 unit = (u64)c->cwnd * 17;
    q->w_est += (u32)(q->est_part / unit);
    q->est_part %= unit;
}

void cubic_acked(struct tcp_conn *c, u32 acked)
{
    struct cubic *q = &c->cubic;
    u32 most = TCP_SNDBUF_MAX * 4u;

    if (c->cwnd < c->ssthresh) {
        c->cwnd = min(c->cwnd + acked, most);
        return;
    }
    if (!q->started)
        start(c);
    grow_estimate(c, acked);
    u64 target = curve(c, c->shard->now - q->epoch + c->min_rtt_us / 1000);
    target = min(target, (u64)c->cwnd + c->cwnd / 2);
    if (target > c->cwnd)
        q->grow_part += (target - c->cwnd) * acked;
    else
        q->grow_part += (u64)acked * c->mss / 100; /* barely: at the plateau */
    u32 cwnd = c->cwnd + (u32)(q->grow_part / c->cwnd);
    q->grow_part %= c->cwnd;
    cwnd = max(cwnd, q->w_est);
    c->cwnd = min(cwnd, most);
}
