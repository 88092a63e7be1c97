/* A connection's life: made, given its flow, established, closed, freed.  RFC 9293 3.3, 3.6. */
#include "lib/string.h"
#include "mm/heap.h"
#include "net/tcp_cookie.h"
#include "net/tcp_priv.h"

enum { IP4_HEADER = 20, IP6_HEADER = 40, MTU_MAX = 65535 };

static u32 header_of(u16 family)
{
    return (family == ADDR_INET ? IP4_HEADER : IP6_HEADER) + TCP_HEADER;
}

void flow_set(u64 halves[2], const struct ip_addr *addr)
{
    halves[0] = addr->halves[0];
    halves[1] = addr->halves[1];
}

static struct ip_addr address(const u64 halves[2], u16 family)
{
    struct ip_addr addr = {.family = family};

    addr.halves[0] = halves[0];
    addr.halves[1] = halves[1];
    return addr;
}

struct ip_addr flow_local(const struct flow *flow, u16 family)
{
    return address(flow->local, family);
}

struct ip_addr flow_remote(const struct flow *flow, u16 family)
{
    return address(flow->remote, family);
}

struct tcp_conn *tcp_conn_create(void)
{
    struct tcp_conn *c = kzalloc(sizeof(*c));

    if (!c)
        return NULL;
    c->state = TCP_CLOSE;
    c->shard = shards[0];
    list_init(&c->accept_node);
    list_init(&c->bind_node);
    list_init(&c->ack_node);
    sendq_init(&c->sendq);
    sent_init(&c->sent);
    recvq_init(&c->recvq);
    wheel_timer_init(&c->timer, tcp_timer_fire);
    c->sndbuf = TCP_SNDBUF;
    c->rcvbuf = TCP_RCVBUF;
    c->rto_ms = TCP_RTO_INITIAL;
    c->path_mtu = MTU_MAX;
    c->syn_retries = TCP_SYN_RETRIES;
    c->keep_probes_max = TCP_KEEP_PROBES;
    c->keep_idle_s = TCP_KEEP_IDLE_S;
    c->keep_interval_s = TCP_KEEP_INTERVAL_S;
    c->notsent_low = UINT32_MAX;
    return c;
}

void tcp_conn_free(struct tcp_conn *c)
{
    assert(!c->hashed && !wheel_timer_is_set(&c->timer) && list_empty(&c->ack_node));
    sendq_fini(&c->sendq);
    sent_fini(&c->sent);
    recvq_fini(c);
    kfree(c);
}

int tcp_conn_route(struct tcp_conn *c)
{
    struct route route;

    int err = route_find(&c->remote, &c->local, c->scope, &route);
    if (err)
        return err;
    c->route = route;
    return 0;
}

void tcp_conn_set_mss(struct tcp_conn *c)
{
    u32 mtu = min(c->route.mtu, c->path_mtu);
    u32 header = header_of(c->family), mss = mtu > header ? mtu - header : 0;

    if (c->peer_mss)
        mss = min(mss, (u32)c->peer_mss);
    if (c->user_mss)
        mss = min(mss, (u32)c->user_mss);
    mss = max(mss, (u32)TCP_MIN_MSS);
    c->mss = (u16)(mss - (c->ts_ok ? TCP_TS_OPTION : 0));
}

/* What we offer: what our interface takes, whatever the path does. RFC 6691. */
static u16 offered_mss(const struct tcp_conn *c)
{
    u32 mtu = min(c->route.netif->mtu, (u32)MTU_MAX);
    u32 mss = max(mtu - min(mtu, header_of(c->family)), (u32)TCP_MIN_MSS);

    return (u16)(c->user_mss ? min(mss, (u32)c->user_mss) : mss);
}

int tcp_conn_attach(struct tcp_conn *c, struct shard *shard, const struct flow *flow, u16 family)
{
    struct ip_addr from = address(flow->local, family), to = address(flow->remote, family);
    struct route route;

    int err = route_find(&to, &from, c->scope, &route);
    if (err)
        return err;
    c->route = route;
    c->flow = *flow;
    c->family = family;
    c->local = from;
    c->remote = to;
    c->hash = flow_hash(flow);
    c->pseudo = ip_pseudo_csum(&from, &to, IPPROTO_TCP, 0);
    c->ts_offset = tcp_ts_offset(flow);
    c->advmss = offered_mss(c);
    c->rcv_mss = min(c->advmss, (u16)TCP_DEFAULT_MSS4);
    __atomic_store_n(&c->shard, shard, __ATOMIC_RELEASE);
    tcp_conn_set_mss(c);
    return 0;
}

void tcp_conn_established(struct tcp_conn *c)
{
    u32 now = c->shard->now;

    tcp_conn_set_mss(c);
    c->max_window = c->snd_wnd;
    c->cwnd = TCP_INITIAL_WINDOW * (u32)c->mss;
    c->ssthresh = UINT32_MAX / 2;
    cubic_init(c);
    c->quick_acks = 16;
    c->last_recv = c->last_ack_recv = c->last_send = now;
    c->copied_mark = c->copied;
    c->copied_mark_tick = now;
    c->snd_small = c->high_seq = c->snd_una;
    c->rack.fack = c->snd_una;
    c->retries = c->backoff = 0;
    c->done = true;
    tcp_timer_clear(c, TIMER_RTX);
    tcp_set_state(c, TCP_ESTABLISHED);
    tcp_timer_keepalive(c);
}

void tcp_set_state(struct tcp_conn *c, u8 state)
{
    struct tcp_stats *stats = &c->shard->stats;
    bool was = c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT;
    bool is = state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT;

    stats->established += (u64)is - (u64)was;
    __atomic_store_n(&c->state, state, __ATOMIC_RELEASE);
}

static void drop_send_queue(struct tcp_conn *c)
{
    tcp_charge(c->shard, -(s64)c->sendq.bytes);
    sendq_fini(&c->sendq);
    sent_fini(&c->sent);
    c->write_seq = c->snd_nxt = c->snd_una;
}

void tcp_conn_close(struct tcp_conn *c, int err)
{
    if (c->state == TCP_CLOSE)
        return;
    if (err && (c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT))
        c->shard->stats.estab_resets++;
    if (err && (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECV))
        c->shard->stats.attempt_fails++;
    tcp_set_state(c, TCP_CLOSE);
    if (c->hashed)
        shard_remove(c->shard, c);
    c->timers = 0;
    list_remove(&c->ack_node);
    wheel_cancel(&c->shard->wheel, &c->timer);
    drop_send_queue(c);
    if (err && c->sock)
        sock_set_error(c->sock, -err);
    tcp_wake(c, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLHUP | POLLRDHUP |
                    (err ? POLLERR : 0));
}

void tcp_conn_reap(struct tcp_conn *c)
{
    if (likely(c->state != TCP_CLOSE) || c->sock || c->listener)
        return;
    tcp_port_release(c);
    tcp_conn_free(c);
}

void tcp_conn_abort(struct tcp_conn *c, int err)
{
    if (tcp_synchronized(c->state) || c->state == TCP_SYN_RECV)
        tcp_send_reset(c);
    tcp_conn_close(c, err);
}

void tcp_conn_time_wait(struct tcp_conn *c)
{
    tw_add(c);
    tcp_conn_close(c, 0);
}

void tcp_wake(struct tcp_conn *c, u32 events)
{
    if (likely(c->sock) && waitq_has_waiters(&c->sock->waitq))
        waitq_wake_all(&c->sock->waitq, events);
}
