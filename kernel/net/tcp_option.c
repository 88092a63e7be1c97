/* Options of streams: level TCP, those of IP that matter to a connection, and what TCP has to do
 * when a shared one changes. */
#include "abi/ip_options.h"
#include "abi/tcp.h"
#include "lib/string.h"
#include "net/tcp_priv.h"
#include "net/wire.h"

enum { KEEP_MAX_S = 32767, KEEP_MAX_PROBES = 127, QUICK_ACKS = 16, CONGESTION_NAME = 16 };
static const char congestion[] = "cubic";

static bool in_range(int v, int low, int high)
{
    return v >= low && v <= high;
}

static void set_nodelay(struct tcp_conn *c, bool on)
{
    c->nodelay = on;
    if (on && tcp_synchronized(c->state))
        tcp_output(c);
}

static void set_quickack(struct tcp_conn *c, bool on)
{
    c->interactive = !on;
    c->quick_acks = on ? QUICK_ACKS : 0;
    if (on && tcp_timer_is_set(c, TIMER_DELACK))
        tcp_send_ack(c);
}

/* Those of level TCP that are an int. Under the lock. */
static int set_tcp(struct tcp_conn *c, int name, int v)
{
    switch (name) {
    case TCP_NODELAY:
        set_nodelay(c, v);
        return 0;
    case TCP_QUICKACK:
        set_quickack(c, v & 1);
        return 0;
    case TCP_MAXSEG:
        if (v && !in_range(v, TCP_MIN_MSS, 32767))
            return -EINVAL;
        c->user_mss = (u16)v;
        return 0;
    case TCP_KEEPIDLE:
        if (!in_range(v, 1, KEEP_MAX_S))
            return -EINVAL;
        c->keep_idle_s = (u32)v;
        tcp_timer_keepalive(c);
        return 0;
    case TCP_KEEPINTVL:
        if (!in_range(v, 1, KEEP_MAX_S))
            return -EINVAL;
        c->keep_interval_s = (u32)v;
        return 0;
    case TCP_KEEPCNT:
        if (!in_range(v, 1, KEEP_MAX_PROBES))
            return -EINVAL;
        c->keep_probes_max = (u8)v;
        return 0;
    case TCP_SYNCNT:
        if (!in_range(v, 1, KEEP_MAX_PROBES))
            return -EINVAL;
        c->syn_retries = (u8)v;
        return 0;
    case TCP_LINGER2:
        c->linger2_s = v > 0 ? (u32)min(v, 120) : 0;
        return 0;
    case TCP_DEFER_ACCEPT:
        c->defer_s = v > 0 ? (u32)v : 0;
        return 0;
    case TCP_WINDOW_CLAMP:
        if (v < 0)
            return -EINVAL;
        c->window_clamp = v ? max((u32)v, 2304u) : 0;
        c->rcv_whole = 0;
        return 0;
    case TCP_USER_TIMEOUT:
        if (v < 0)
            return -EINVAL;
        c->user_timeout_ms = (u32)v;
        return 0;
    case TCP_NOTSENT_LOWAT:
        c->notsent_low = v > 0 ? (u32)v : UINT32_MAX;
        return 0;
    case TCP_FASTOPEN:
        if (v < 0 || (c->state != TCP_CLOSE && c->state != TCP_LISTEN))
            return -EINVAL;
        c->fastopen = (u16)min(v, SOMAXCONN);
        return 0;
    case TCP_THIN_LINEAR_TIMEOUTS:
    case TCP_THIN_DUPACK:
        return 0; /* what they are for, RACK-TLP does */
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ip(struct tcp_conn *c, int name, int v)
{
    switch (name) {
    case IP_TOS:
        c->tos = (u8)v & (u8)~3;
        return 0;
    case IP_TTL:
        if (v != -1 && !in_range(v, 1, 255))
            return -EINVAL;
        c->ttl = v == -1 ? 0 : (u8)v;
        return 0;
    case IP_FREEBIND:
        c->freebind = v;
        return 0;
    case IP_BIND_ADDRESS_NO_PORT:
        c->bind_no_port = v;
        return 0;
    case IP_MTU_DISCOVER:
        if (!in_range(v, IP_PMTUDISC_DONT, IP_PMTUDISC_OMIT))
            return -EINVAL;
        c->pmtu_mode = (u8)v;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_ipv6(struct tcp_conn *c, int name, int v)
{
    switch (name) {
    case IPV6_V6ONLY:
        if (c->sock->family != AF_INET6)
            return -ENOPROTOOPT;
        if (c->bind_port || c->state != TCP_CLOSE)
            return -EINVAL;
        c->v6only = v;
        return 0;
    case IPV6_UNICAST_HOPS:
        return set_ip(c, IP_TTL, v);
    case IPV6_FREEBIND:
        return set_ip(c, IP_FREEBIND, v);
    case IPV6_MTU_DISCOVER:
        return set_ip(c, IP_MTU_DISCOVER, v);
    case IPV6_TCLASS:
        return set_ip(c, IP_TOS, v < 0 ? 0 : v);
    case IPV6_MTU: /* segments never go in pieces: as Linux has it, nothing comes of it */
        return v && (v < IP6_MIN_MTU || v > (int)UINT16_MAX) ? -EINVAL : 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* A shared option has changed: socket.h. */
static int note_shared(struct tcp_conn *c, int name)
{
    const struct sock_options *o = &c->sock->options;

    switch (name) {
    case SO_KEEPALIVE:
        tcp_timer_keepalive(c);
        return 0;
    case SO_SNDBUF:
    case SO_SNDBUFFORCE:
        c->sndbuf = o->send_buffer;
        return 0;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        c->rcvbuf = o->recv_buffer;
        c->rcv_whole = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_congestion(const void *value, u32 len)
{
    char want[CONGESTION_NAME] = {0};

    memcpy(want, value, min(len, (u32)sizeof(want) - 1));
    return strcmp(want, congestion) && strcmp(want, "reno") ? -ENOENT : 0;
}

int tcp_setopt_any(struct tcp_conn *c, int level, int name, const void *value, u32 len)
{
    int v = 0, err = -ENOPROTOOPT;

    if (level == IPPROTO_TCP && name == TCP_CONGESTION)
        return set_congestion(value, len);
    if (level != SOL_SOCKET && len < sizeof(v)) {
        bool byte = level == IPPROTO_IP && len == 1; /* as some programs have it */
        if (!byte)
            return -EINVAL;
        v = *(const u8 *)value;
    } else if (len >= sizeof(v)) {
        memcpy(&v, value, sizeof(v));
    }
    struct shard *shard = tcp_conn_lock(c);
    if (level == IPPROTO_TCP)
        err = set_tcp(c, name, v);
    else if (level == IPPROTO_IP)
        err = set_ip(c, name, v);
    else if (level == IPPROTO_IPV6)
        err = set_ipv6(c, name, v);
    else if (level == SOL_SOCKET)
        err = note_shared(c, name);
    shard_unlock(shard);
    return err;
}

/* ---- reading them ---- */

static u32 age(const struct tcp_conn *c, u32 tick)
{
    return tick ? c->shard->now - tick : 0;
}

static u32 segments(const struct tcp_conn *c, u32 bytes)
{
    return c->mss ? DIV_UP(bytes, c->mss) : 0;
}

void tcp_conn_info(const struct tcp_conn *c, struct tcp_info_abi *info)
{
    *info = (struct tcp_info_abi){
        .tcpi_state = c->state,
        .tcpi_ca_state = c->ca,
        .tcpi_retransmits = c->retries,
        .tcpi_probes = (u8)(c->probes + c->keep_probes),
        .tcpi_backoff = c->backoff,
        .tcpi_options =
            (u8)((c->ts_ok ? TCPI_OPT_TIMESTAMPS : 0) | (c->sack_ok ? TCPI_OPT_SACK : 0) |
                 (c->wscale_ok ? TCPI_OPT_WSCALE : 0) | (c->ecn_ok ? TCPI_OPT_ECN : 0)),
        .tcpi_wscale = (u8)(c->snd_wscale | c->rcv_wscale << 4),
        .tcpi_rto = c->rto_ms * 1000,
        .tcpi_ato = TCP_DELACK * 1000,
        .tcpi_snd_mss = c->mss,
        .tcpi_rcv_mss = c->rcv_mss,
        .tcpi_unacked = segments(c, c->snd_nxt - c->snd_una),
        .tcpi_sacked = segments(c, c->sent.sacked),
        .tcpi_lost = segments(c, c->sent.lost),
        .tcpi_retrans = c->retries,
        .tcpi_last_data_sent = age(c, c->last_send),
        .tcpi_last_data_recv = age(c, c->last_recv),
        .tcpi_last_ack_recv = age(c, c->last_ack_recv),
        .tcpi_pmtu = min(c->route.mtu, c->path_mtu),
        .tcpi_rcv_ssthresh = tcp_window_space(c),
        .tcpi_rtt = c->srtt_us8 / 8,
        .tcpi_rttvar = c->rttvar_us4 / 4,
        .tcpi_snd_ssthresh = segments(c, min(c->ssthresh, UINT32_MAX / 2)),
        .tcpi_snd_cwnd = segments(c, c->cwnd),
        .tcpi_advmss = c->advmss,
        .tcpi_reordering = TCP_DUPACKS,
        .tcpi_rcv_rtt = c->rcv_rtt_ms * 1000,
        .tcpi_rcv_space = tcp_window_space(c),
        .tcpi_total_retrans = c->total_retrans,
        .tcpi_pacing_rate = UINT64_MAX,
        .tcpi_max_pacing_rate = UINT64_MAX,
        .tcpi_bytes_acked = c->bytes_acked,
        .tcpi_bytes_received = c->bytes_received,
        .tcpi_segs_out = c->segs_out,
        .tcpi_segs_in = c->segs_in,
        .tcpi_notsent_bytes = tcp_unsent(c),
        .tcpi_min_rtt = c->min_rtt_us,
        .tcpi_data_segs_in = c->data_segs_in,
        .tcpi_data_segs_out = c->data_segs_out,
        .tcpi_delivered = segments(c, (u32)c->bytes_acked),
        .tcpi_bytes_sent = c->bytes_sent + c->bytes_retrans,
        .tcpi_bytes_retrans = c->bytes_retrans,
        .tcpi_dsack_dups = c->dsack_dups,
        .tcpi_reord_seen = c->rack.reordering,
        .tcpi_rcv_ooopack = c->ooo_packets,
        .tcpi_snd_wnd = c->snd_wnd,
    };
}

static int get_tcp(const struct tcp_conn *c, int name, int *v)
{
    switch (name) {
    case TCP_NODELAY:
        *v = c->nodelay;
        return 0;
    case TCP_CORK:
        *v = c->cork;
        return 0;
    case TCP_QUICKACK:
        *v = !c->interactive;
        return 0;
    case TCP_MAXSEG:
        *v = c->mss ? c->mss : c->user_mss ? c->user_mss : TCP_DEFAULT_MSS4;
        return 0;
    case TCP_KEEPIDLE:
        *v = (int)c->keep_idle_s;
        return 0;
    case TCP_KEEPINTVL:
        *v = (int)c->keep_interval_s;
        return 0;
    case TCP_KEEPCNT:
        *v = c->keep_probes_max;
        return 0;
    case TCP_SYNCNT:
        *v = c->syn_retries;
        return 0;
    case TCP_LINGER2:
        *v = c->linger2_s ? (int)c->linger2_s : TCP_FIN_TIMEOUT / 1000;
        return 0;
    case TCP_DEFER_ACCEPT:
        *v = (int)c->defer_s;
        return 0;
    case TCP_WINDOW_CLAMP:
        *v = (int)c->window_clamp;
        return 0;
    case TCP_USER_TIMEOUT:
        *v = (int)c->user_timeout_ms;
        return 0;
    case TCP_NOTSENT_LOWAT:
        *v = c->notsent_low == UINT32_MAX ? 0 : (int)c->notsent_low;
        return 0;
    case TCP_FASTOPEN:
        *v = c->fastopen;
        return 0;
    case TCP_THIN_LINEAR_TIMEOUTS:
    case TCP_THIN_DUPACK:
        *v = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int get_ip(const struct tcp_conn *c, int level, int name, int *v)
{
    bool v6 = level == IPPROTO_IPV6;

    if (name == (v6 ? IPV6_TCLASS : IP_TOS))
        *v = c->tos;
    else if (name == (v6 ? IPV6_UNICAST_HOPS : IP_TTL))
        *v = c->ttl ? c->ttl : 64;
    else if (name == (v6 ? IPV6_FREEBIND : IP_FREEBIND))
        *v = c->freebind;
    else if (name == (v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER))
        *v = c->pmtu_mode;
    else if (!v6 && name == IP_BIND_ADDRESS_NO_PORT)
        *v = c->bind_no_port;
    else if (v6 && name == IPV6_V6ONLY)
        *v = c->v6only;
    else
        return -ENOPROTOOPT;
    return 0;
}

/* An answer longer than the program's room is cut. */
static int put_value(void *to, u32 *len, const void *value, u32 size)
{
    *len = min(*len, size);
    memcpy(to, value, *len);
    return 0;
}

static int get_int(struct tcp_conn *c, int level, int name, int *v)
{
    switch (level) {
    case IPPROTO_TCP:
        return get_tcp(c, name, v);
    case IPPROTO_IP:
    case IPPROTO_IPV6:
        return get_ip(c, level, name, v);
    case SOL_SOCKET:
        if (name != SO_SNDBUF && name != SO_RCVBUF)
            return -ENOPROTOOPT;
        *v = (int)(name == SO_SNDBUF ? c->sndbuf : c->rcvbuf);
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int tcp_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    struct tcp_conn *c = sock->data;
    struct tcp_info_abi info;
    int v = 0;

    if (level == IPPROTO_TCP && name == TCP_CONGESTION) {
        char want[CONGESTION_NAME] = {0};
        memcpy(want, congestion, sizeof(congestion));
        return put_value(value, len, want, sizeof(want));
    }
    struct shard *shard = tcp_conn_lock(c);
    bool wants_info = level == IPPROTO_TCP && name == TCP_INFO;
    int err = wants_info ? 0 : get_int(c, level, name, &v);
    if (wants_info)
        tcp_conn_info(c, &info);
    shard_unlock(shard);
    if (err)
        return err;
    return wants_info ? put_value(value, len, &info, sizeof(info))
                      : put_value(value, len, &v, sizeof(v));
}
