/* Numbers that outsiders must not guess: initial sequence numbers (RFC 6528), where timestamps
 * begin (RFC 7323 7.1), and SYN cookies, which are an initial number that remembers what a request
 * would have (RFC 4987 3.6). */
#include "net/tcp_cookie.h"
#include "core/random.h"
#include "net/tcp_priv.h"

enum {
    COOKIE_BITS = 24,
    COOKIE_MASK = (1 << COOKIE_BITS) - 1,
    COOKIE_PERIOD_MS = 64 * 1024, /* the counter's step; a cookie lives for two */
    COOKIE_MAX_AGE = 2,
    TS_BITS = 6,
    TS_WSCALE = 0xf, /* of a peer without window scaling */
    TS_SACK = 1 << 4,
    TS_ECN = 1 << 5,
};

static const u16 cookie_mss[] = {TCP_MIN_MSS, 536, 1220, 1300, 1400, 1440, 1460, 8960};

static struct siphash_key isn_key, ts_key, cookie_keys[2]; /* [I] */

void tcp_secrets_init(void)
{
    random_bytes(&isn_key, sizeof(isn_key));
    random_bytes(&ts_key, sizeof(ts_key));
    random_bytes(cookie_keys, sizeof(cookie_keys));
}

static u64 flow_secret(const struct siphash_key *key, const struct flow *flow, u64 more)
{
    u64 words[6] = {flow->local[0],
                    flow->local[1],
                    flow->remote[0],
                    flow->remote[1],
                    (u64)flow->local_port << 16 | flow->remote_port,
                    more};

    return siphash(key, words, 6);
}

u32 tcp_isn(const struct flow *flow, u64 now_ns)
{
    return (u32)flow_secret(&isn_key, flow, 0) + (u32)(now_ns >> 6);
}

/* By hosts, not by flow: a host's timestamps must go on from one connection to the next for it to
 * be recognised in TIME-WAIT. */
u32 tcp_ts_offset(const struct flow *flow)
{
    u64 words[4] = {flow->local[0], flow->local[1], flow->remote[0], flow->remote[1]};

    return (u32)siphash(&ts_key, words, 4);
}

static u32 cookie_base(const struct flow *flow, u32 irs)
{
    return (u32)flow_secret(&cookie_keys[0], flow, 0) + irs;
}

static u32 cookie_part(const struct flow *flow, u32 count)
{
    return (u32)flow_secret(&cookie_keys[1], flow, count);
}

u32 tcp_cookie_make(const struct flow *flow, u32 irs, u16 *mss, u32 now)
{
    u32 count = now / COOKIE_PERIOD_MS, index = ARRAY_LEN(cookie_mss) - 1;

    while (index && cookie_mss[index] > *mss)
        index--;
    *mss = cookie_mss[index];
    return cookie_base(flow, irs) + (count << COOKIE_BITS) +
           ((cookie_part(flow, count) + index) & COOKIE_MASK);
}

bool tcp_cookie_check(const struct flow *flow, u32 irs, u32 cookie, u32 now, u16 *mss)
{
    u32 count = now / COOKIE_PERIOD_MS;

    cookie -= cookie_base(flow, irs);
    u32 age = (count - (cookie >> COOKIE_BITS)) & (UINT32_MAX >> COOKIE_BITS);
    if (age >= COOKIE_MAX_AGE)
        return false;
    u32 index = (cookie - cookie_part(flow, count - age)) & COOKIE_MASK;
    if (index >= ARRAY_LEN(cookie_mss))
        return false;
    *mss = cookie_mss[index];
    return true;
}

u32 tcp_cookie_ts(u32 ts_now, const struct tcp_options *options, bool ecn)
{
    u32 bits = options->saw_wscale ? options->wscale : TS_WSCALE;
    u32 ts;

    bits |= (options->saw_sack_ok ? TS_SACK : 0) | (ecn ? TS_ECN : 0);
    ts = (ts_now & ~((1u << TS_BITS) - 1)) | bits;
    return seq_after(ts, ts_now) ? ts - (1u << TS_BITS) : ts;
}

void tcp_cookie_ts_decode(u32 tsecr, struct tcp_request *r)
{
    r->wscale_ok = (tsecr & TS_WSCALE) != TS_WSCALE;
    r->snd_wscale = r->wscale_ok ? tsecr & TS_WSCALE : 0;
    r->sack_ok = tsecr & TS_SACK;
    r->ecn_ok = tsecr & TS_ECN;
}
