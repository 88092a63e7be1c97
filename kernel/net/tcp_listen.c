/* Listening: who waits for whom (with SO_REUSEPORT groups), requests between SYN and ACK, SYN
 * cookies when there are too many, and the queue to accept from.  RFC 9293 3.10.7.2, RFC 4987. */
#include "core/log.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/tcp_cookie.h"
#include "net/tcp_priv.h"

enum {
    BUCKETS = 64,
    BACKLOG_MIN_REQUESTS = 16,
    SHARD_REQUESTS_MAX = 16384,
    SYNACK_AGAIN_MS = 100, /* a repeated SYN is not answered more often */
    COOKIE_LIFE_MS = 128 * 1024,
};

static struct spinlock table_lock;          /* after a shard's, before a listener's */
static struct tcp_listener *table[BUCKETS]; /* [table_lock] by port */

void tcp_listener_put(struct tcp_listener *l)
{
    if (ref_put(&l->refs))
        kfree(l);
}

/* How well @l suits; 0: not at all. */
static u32 score(const struct tcp_listener *l, const struct flow *flow, u16 family)
{
    bool v6 = family == ADDR_INET6;

    if (l->port != flow->local_port || (v6 && !l->v6) || (!v6 && l->v6only))
        return 0;
    if (!l->addr.family)
        return l->v6 == v6 ? 2 : 1;
    return l->addr.halves[0] == flow->local[0] && l->addr.halves[1] == flow->local[1] ? 3 : 0;
}

/* The best one; of several equal ones of a SO_REUSEPORT group, the one the flow's hash says. */
static struct tcp_listener *choose(const struct flow *flow, u16 family, u32 hash)
{
    struct tcp_listener *first = table[flow->local_port % BUCKETS], *best = NULL;
    u32 best_score = 0, equals = 0;

    for (struct tcp_listener *l = first; l; l = l->next) {
        u32 s = score(l, flow, family);
        if (!s || s < best_score)
            continue;
        equals = s > best_score ? 1 : equals + 1;
        if (s > best_score)
            best = l;
        best_score = s;
    }
    if (equals < 2)
        return best;
    u32 pick = (u32)(((u64)(hash * 2654435761u) * equals) >> 32);
    for (struct tcp_listener *l = best; l; l = l->next)
        if (score(l, flow, family) == best_score && !pick--)
            return l;
    return best;
}

struct tcp_listener *tcp_listener_find(const struct flow *flow, u16 family, u32 hash)
{
    spin_lock(&table_lock);
    struct tcp_listener *l = choose(flow, family, hash);
    if (l)
        ref_get(&l->refs);
    spin_unlock(&table_lock);
    return l;
}

static struct tcp_listener *listener_create(const struct tcp_conn *c)
{
    struct tcp_listener *l = kzalloc(sizeof(*l));

    if (!l)
        return NULL;
    ref_init(&l->refs);
    spin_init(&l->lock);
    list_init(&l->queue);
    l->addr = c->bind_addr;
    l->port = c->bind_port;
    l->v6 = c->sock->family == AF_INET6 && !c->v4_any;
    l->v6only = l->v6 && (c->v6only || (l->addr.family == ADDR_INET6));
    if (l->addr.family == ADDR_INET)
        l->v6 = l->v6only = false;
    return l;
}

/* Where the table refers to @l, or to nothing. Locked. */
static struct tcp_listener **find_link(const struct tcp_listener *l)
{
    struct tcp_listener **link = &table[l->port % BUCKETS];

    while (*link && *link != l)
        link = &(*link)->next;
    return link;
}

static void link_locked(struct tcp_conn *c, struct tcp_listener *l)
{
    spin_lock(&l->lock);
    l->conn = c;
    spin_unlock(&l->lock);
    l->next = table[l->port % BUCKETS];
    table[l->port % BUCKETS] = l;
    tcp_set_state(c, TCP_LISTEN);
}

int tcp_listen(struct tcp_conn *c, u32 backlog)
{
    struct tcp_listener *fresh = c->listener ? NULL : listener_create(c);
    int err = 0;

    if (!c->listener && !fresh)
        return -ENOMEM;
    spin_lock(&table_lock);
    if (!c->listener) {
        __atomic_store_n(&c->listener, fresh, __ATOMIC_RELEASE);
        fresh = NULL;
    }
    __atomic_store_n(&c->listener->backlog, backlog, __ATOMIC_RELAXED);
    if (c->state == TCP_CLOSE)
        link_locked(c, c->listener);
    else if (c->state != TCP_LISTEN)
        err = -EINVAL;
    spin_unlock(&table_lock);
    kfree(fresh);
    return err;
}

struct tcp_conn *tcp_listener_pop(struct tcp_listener *l)
{
    struct tcp_conn *c = NULL;

    spin_lock(&l->lock);
    if (!list_empty(&l->queue)) {
        c = list_first(&l->queue, struct tcp_conn, accept_node);
        list_remove(&c->accept_node);
        l->queued--;
    }
    spin_unlock(&l->lock);
    return c;
}

/* A connection that nobody will accept any more. */
static void abandon(struct tcp_conn *c)
{
    struct shard *shard = tcp_conn_lock(c);

    tcp_listener_put(c->listener);
    c->listener = NULL;
    tcp_conn_abort(c, 0);
    tcp_conn_reap(c);
    shard_unlock(shard);
}

void tcp_unlisten(struct tcp_conn *c)
{
    struct tcp_listener *l = c->listener, **link;
    struct tcp_conn *waiting;

    spin_lock(&table_lock);
    link = find_link(l);
    if (*link) { /* else another thread is at it */
        *link = l->next;
        if (c->state == TCP_LISTEN)
            tcp_set_state(c, TCP_CLOSE);
    }
    spin_lock(&l->lock);
    l->conn = NULL; /* nothing is queued from here on; requests find out when they are looked at */
    spin_unlock(&l->lock);
    spin_unlock(&table_lock);
    while ((waiting = tcp_listener_pop(l)))
        abandon(waiting);
}

/* Under the table's lock; false: it is closing. */
static bool describe(struct tcp_listener *l, struct tcp_entry *entry)
{
    spin_lock(&l->lock);
    bool open = l->conn;
    if (open)
        *entry = (struct tcp_entry){
            .local = l->addr,
            .local_port = l->port,
            .state = TCP_LISTEN,
            .ipv6_socket = l->conn->sock->family == AF_INET6,
            .send_queue = l->backlog,
            .recv_queue = l->queued,
            .sock = l->conn->sock,
        };
    spin_unlock(&l->lock);
    return open;
}

int tcp_for_each_listener(int (*fn)(const struct tcp_entry *entry, void *arg), void *arg)
{
    struct tcp_entry entry;
    int result = 0;

    spin_lock(&table_lock);
    for (u32 i = 0; i < BUCKETS && !result; i++)
        for (struct tcp_listener *l = table[i]; l && !result; l = l->next)
            if (describe(l, &entry))
                result = fn(&entry, arg);
    spin_unlock(&table_lock);
    return result;
}

static bool queue_full(struct tcp_listener *l)
{
    return __atomic_load_n(&l->queued, __ATOMIC_RELAXED) > l->backlog;
}

/* ---- requests ---- */

static struct tcp_request **request_bucket(struct shard *shard, u32 hash)
{
    return &shard->requests[hash % SHARD_REQUESTS];
}

struct tcp_request *tcp_request_find(struct shard *shard, const struct flow *flow, u32 hash)
{
    if (likely(!shard->nr_requests))
        return NULL;
    struct tcp_request *r = *request_bucket(shard, hash);
    while (r && (r->hash != hash || !flow_equal(&r->flow, flow)))
        r = r->hash_next;
    return r;
}

void tcp_request_remove(struct shard *shard, struct tcp_request *r)
{
    struct tcp_request **link = request_bucket(shard, r->hash);

    while (*link != r)
        link = &(*link)->hash_next;
    *link = r->hash_next;
    shard->nr_requests--;
    wheel_cancel(&shard->wheel, &r->timer);
    __atomic_fetch_sub(&r->listener->nr_requests, 1, __ATOMIC_RELAXED);
    tcp_listener_put(r->listener);
    kfree(r);
}

static u16 mss_to_offer(const struct route *route, u16 family, u16 user_mss)
{
    u32 mtu = min(route->netif->mtu, 65535u), header = family == ADDR_INET ? 40 : 60;
    u32 mss = max(mtu - min(mtu, header), (u32)TCP_MIN_MSS);

    return (u16)(user_mss ? min(mss, (u32)user_mss) : mss);
}

/* SYN-ACK for a request, which may live on the stack (for a cookie). @tsval is in its place. */
static void send_synack(struct shard *shard, struct tcp_request *r, u32 tsval)
{
    struct ip_addr from = flow_local(&r->flow, r->family), to = flow_remote(&r->flow, r->family);
    struct route route;

    if (route_find(&to, &from, r->ifindex, &route))
        return;
    struct tcp_options options = {
        .saw_mss = true,
        .mss = mss_to_offer(&route, r->family, r->user_mss),
        .saw_wscale = r->wscale_ok,
        .wscale = TCP_WSCALE,
        .saw_sack_ok = r->sack_ok,
        .saw_ts = r->ts_ok,
        .tsval = tsval,
        .tsecr = r->ts_recent,
    };
    struct tcp_reply reply = {
        .flow = &r->flow,
        .family = r->family,
        .window = (u16)min(r->recv_space, 65535u),
        .flags = (u8)(TCP_SYN | TCP_ACK | (r->ecn_ok ? TCP_ECE : 0)),
        .seq = r->iss,
        .ack = r->irs + 1,
        .route = &route,
        .options = &options,
    };
    r->sent_tick = shard->now;
    tcp_send_reply(shard, &reply);
}

static u32 request_ts(const struct shard *shard, const struct tcp_request *r)
{
    return shard->now + r->ts_offset;
}

static u32 retry_after(const struct tcp_request *r)
{
    return TCP_RTO_INITIAL << r->retries;
}

/* The SYN-ACK again, while there is hope. With DEFER_ACCEPT an ACK without data leaves the request
 * here; its retries then count how long it waits. */
static void request_due(struct shard *shard, struct wheel_timer *timer)
{
    struct tcp_request *r = container_of(timer, struct tcp_request, timer);
    bool closed = !__atomic_load_n(&r->listener->conn, __ATOMIC_ACQUIRE);

    if (closed || r->retries >= TCP_SYNACK_RETRIES) {
        tcp_request_remove(shard, r);
        return;
    }
    r->retries++;
    send_synack(shard, r, request_ts(shard, r));
    shard->stats.retrans_segs++;
    shard_timer_set(shard, &r->timer, shard->now + retry_after(r));
}

static void fill_request(struct tcp_request *r, struct shard *shard, struct tcp_listener *l,
                         const struct tcp_segment *seg)
{
    const struct tcp_options *o = &seg->options;

    *r = (struct tcp_request){
        .flow = seg->flow,
        .hash = seg->hash,
        .family = seg->family,
        .listener = l,
        .irs = seg->seq,
        .window = seg->window,
        .ts_ok = o->saw_ts,
        .ts_recent = o->saw_ts ? o->tsval : 0,
        .ts_offset = o->saw_ts ? tcp_ts_offset(&seg->flow) : 0,
        .sack_ok = o->saw_sack_ok,
        .wscale_ok = o->saw_wscale,
        .snd_wscale = o->saw_wscale ? o->wscale : 0,
        .ecn_ok = (seg->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR),
        .recv_space = TCP_RCVBUF / 2,
        .begun = shard->now,
    };
    r->mss = o->saw_mss                 ? max(o->mss, (u16)TCP_MIN_MSS)
             : seg->family == ADDR_INET ? TCP_DEFAULT_MSS4
                                        : TCP_DEFAULT_MSS6;
    wheel_timer_init(&r->timer, request_due);
    spin_lock(&l->lock);
    if (l->conn) {
        u32 fixed = l->conn->sock->options.recv_buffer;
        r->recv_space = fixed ? fixed / 2 : r->recv_space;
        r->user_mss = l->conn->user_mss;
        r->defer_s = l->conn->defer_s;
    }
    spin_unlock(&l->lock);
}

/* Remember the request; @isn_above: number of an old connection that must be passed. */
static void add_request(struct shard *shard, struct tcp_listener *l, const struct tcp_segment *seg,
                        u32 ifindex, const u32 *isn_above)
{
    struct tcp_request *r = kmalloc(sizeof(*r));

    if (!r) {
        shard->stats.listen_drops++;
        return;
    }
    fill_request(r, shard, l, seg);
    ref_get(&l->refs);
    __atomic_fetch_add(&l->nr_requests, 1, __ATOMIC_RELAXED);
    r->ifindex = ifindex;
    r->iss = tcp_isn(&seg->flow, shard->now_ns);
    if (isn_above && seq_before(r->iss, *isn_above))
        r->iss = *isn_above;
    struct tcp_request **bucket = request_bucket(shard, r->hash);
    r->hash_next = *bucket;
    *bucket = r;
    shard->nr_requests++;
    send_synack(shard, r, request_ts(shard, r));
    shard_timer_set(shard, &r->timer, shard->now + retry_after(r));
}

static void send_cookie(struct shard *shard, struct tcp_listener *l, const struct tcp_segment *seg,
                        u32 ifindex)
{
    struct tcp_request r;

    fill_request(&r, shard, l, seg);
    r.ifindex = ifindex;
    r.iss = tcp_cookie_make(&seg->flow, seg->seq, &r.mss, shard->now);
    if (!r.ts_ok) /* then there is no place to remember them */
        r.sack_ok = r.wscale_ok = r.ecn_ok = false;
    l->cookie_tick = shard->now;
    l->cookies = true;
    shard->stats.syncookies_sent++;
    send_synack(shard, &r, tcp_cookie_ts(request_ts(shard, &r), &seg->options, r.ecn_ok));
}

static void syn(struct shard *shard, struct tcp_listener *l, const struct tcp_segment *seg,
                u32 ifindex, const u32 *isn_above)
{
    u32 most = max(l->backlog, (u32)BACKLOG_MIN_REQUESTS);

    if (queue_full(l)) {
        shard->stats.listen_overflows++;
        shard->stats.listen_drops++;
        return;
    }
    if (__atomic_load_n(&l->nr_requests, __ATOMIC_RELAXED) >= most ||
        shard->nr_requests >= SHARD_REQUESTS_MAX)
        send_cookie(shard, l, seg, ifindex);
    else
        add_request(shard, l, seg, ifindex, isn_above);
}

/* ---- becoming a connection ---- */

/* What a listener's program has asked for holds for its connections. Under l->lock. */
static void inherit(struct tcp_conn *c, const struct tcp_conn *from)
{
    const struct sock_options *o = &from->sock->options;

    c->nodelay = from->nodelay;
    c->cork = from->cork;
    c->tos = from->tos;
    c->ttl = from->ttl;
    c->user_mss = from->user_mss;
    c->keep_idle_s = from->keep_idle_s;
    c->keep_interval_s = from->keep_interval_s;
    c->keep_probes_max = from->keep_probes_max;
    c->user_timeout_ms = from->user_timeout_ms;
    c->linger2_s = from->linger2_s;
    c->notsent_low = from->notsent_low;
    c->window_clamp = from->window_clamp;
    c->sndbuf = o->send_buffer ? o->send_buffer : c->sndbuf;
    c->rcvbuf = o->recv_buffer ? o->recv_buffer : c->rcvbuf;
}

static void from_request(struct tcp_conn *c, const struct tcp_request *r,
                         const struct tcp_segment *seg)
{
    c->peer_mss = r->mss;
    c->ts_ok = r->ts_ok;
    c->sack_ok = r->sack_ok;
    c->wscale_ok = r->wscale_ok;
    c->ecn_ok = r->ecn_ok;
    c->snd_wscale = r->snd_wscale;
    c->rcv_wscale = r->wscale_ok ? TCP_WSCALE : 0;
    c->ts_recent = r->ts_recent;
    c->ts_recent_tick = c->shard->now;
    c->irs = r->irs;
    c->rcv_nxt = c->rcv_acked = c->copied = r->irs + 1;
    c->rcv_adv = c->rcv_nxt + min(r->recv_space, 65535u);
    c->iss = r->iss;
    c->snd_una = c->snd_nxt = c->write_seq = r->iss + 1;
    c->snd_wnd = seg->window << r->snd_wscale;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    if (!r->retries)
        tcp_rtt_sample(c, max(c->shard->now - r->sent_tick, 1u) * 1000);
}

/* Behind the others in the queue. False: closed, or full. */
static bool enqueue(struct tcp_listener *l, struct tcp_conn *c)
{
    spin_lock(&l->lock);
    bool ok = l->conn && l->queued <= l->backlog;
    if (ok) {
        inherit(c, l->conn);
        c->listener = l;
        ref_get(&l->refs);
        list_add_tail(&l->queue, &c->accept_node);
        l->queued++;
    }
    spin_unlock(&l->lock);
    return ok;
}

static void tell_listener(struct tcp_listener *l)
{
    spin_lock(&l->lock);
    if (l->conn && l->conn->sock && waitq_has_waiters(&l->conn->sock->waitq))
        waitq_wake(&l->conn->sock->waitq, POLLIN | POLLRDNORM, 1);
    spin_unlock(&l->lock);
}

/* The ACK that ends the handshake: a connection, in the table and in the queue. Takes @pkt. */
static void establish(struct shard *shard, const struct tcp_request *r, struct pkt *pkt,
                      const struct tcp_segment *seg)
{
    struct tcp_conn *c = tcp_conn_create();

    if (!c)
        goto drop;
    c->scope = r->ifindex;
    if (tcp_conn_attach(c, shard, &r->flow, r->family) || !enqueue(r->listener, c))
        goto free_conn;
    from_request(c, r, seg);
    shard_insert(shard, c);
    tcp_conn_established(c);
    shard->stats.passive_opens++;
    tcp_conn_input(c, pkt, seg);
    tell_listener(r->listener);
    return;

free_conn:
    tcp_conn_free(c);
drop:
    shard->stats.listen_overflows++;
    shard->stats.listen_drops++;
    pkt_free(pkt);
}

/* An ACK for a listener: perhaps the answer to a cookie. Takes @pkt. */
static void cookie_ack(struct shard *shard, struct tcp_listener *l, struct pkt *pkt,
                       const struct tcp_segment *seg, u32 ifindex)
{
    struct tcp_request r;

    fill_request(&r, shard, l, seg);
    r.irs = seg->seq - 1;
    r.iss = seg->ack - 1;
    r.ifindex = ifindex;
    r.ts_offset = tcp_ts_offset(&seg->flow);
    r.sent_tick = shard->now;
    r.retries = 1; /* no round trip to be learnt from it */
    bool recent = l->cookies && shard->now - l->cookie_tick < COOKIE_LIFE_MS;
    if (!recent || !tcp_cookie_check(&seg->flow, r.irs, r.iss, shard->now, &r.mss)) {
        shard->stats.syncookies_failed += recent;
        tcp_reset_segment(shard, seg, ifindex);
        pkt_free(pkt);
        return;
    }
    r.sack_ok = r.wscale_ok = r.ecn_ok = false;
    r.snd_wscale = 0;
    if (r.ts_ok)
        tcp_cookie_ts_decode(seg->options.tsecr, &r);
    shard->stats.syncookies_recv++;
    establish(shard, &r, pkt, seg);
}

/* A user who published a port of a program that listens on 127.0.0.1 sees a closed connection and
 * nothing else: say why, once. */
static __attribute__((cold)) void tell_of_loopback(const struct flow *flow)
{
    static bool told; /* [table_lock] */
    const struct ip_addr to = {.halves = {flow->local[0], flow->local[1]}};
    bool only_inside = false;

    spin_lock(&table_lock);
    for (const struct tcp_listener *l = table[flow->local_port % BUCKETS]; l; l = l->next)
        only_inside |= l->port == flow->local_port && l->addr.family && addr_is_loopback(&l->addr);
    only_inside = only_inside && !told && !addr_is_loopback(&to);
    told |= only_inside;
    spin_unlock(&table_lock);
    if (only_inside)
        log_warn("refused a connection to port %u: the program listens there on 127.0.0.1 only, "
                 "which nobody outside reaches; have it listen on 0.0.0.0",
                 flow->local_port);
}

void tcp_listen_input(struct shard *shard, struct pkt *pkt, const struct tcp_segment *seg,
                      u32 ifindex, const u32 *isn_above)
{
    struct tcp_listener *l = tcp_listener_find(&seg->flow, seg->family, seg->hash);

    if (!l) {
        if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
            tell_of_loopback(&seg->flow);
        tcp_reset_segment(shard, seg, ifindex);
        pkt_free(pkt);
        return;
    }
    if ((seg->flags & (TCP_ACK | TCP_RST | TCP_SYN)) == TCP_ACK) {
        cookie_ack(shard, l, pkt, seg, ifindex);
    } else {
        if ((seg->flags & (TCP_ACK | TCP_RST)) == TCP_ACK)
            tcp_reset_segment(shard, seg, ifindex);
        else if ((seg->flags & (TCP_SYN | TCP_RST | TCP_FIN)) == TCP_SYN)
            syn(shard, l, seg, ifindex, isn_above);
        pkt_free(pkt);
    }
    tcp_listener_put(l);
}

/* What a request hears before it is complete. True: @seg is the ACK that makes it so. */
static bool completes(struct shard *shard, struct tcp_request *r, const struct tcp_segment *seg)
{
    u32 next = r->irs + 1;
    bool old = r->ts_ok && seg->options.saw_ts && seq_before(seg->options.tsval, r->ts_recent);

    if (seg->flags & TCP_RST) {
        if (seg->seq == next)
            tcp_request_remove(shard, r);
        return false;
    }
    if ((seg->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && seg->seq == r->irs) {
        if (shard->now - r->sent_tick >= SYNACK_AGAIN_MS)
            send_synack(shard, r, request_ts(shard, r));
        return false;
    }
    if (seq_before(seg->seq, next) || seq_after(seg->seq, next + r->recv_space) || old ||
        seg->flags & TCP_SYN) {
        if (shard->now - r->sent_tick >= SYNACK_AGAIN_MS)
            send_synack(shard, r, request_ts(shard, r));
        return false;
    }
    if (!(seg->flags & TCP_ACK))
        return false;
    if (seg->ack != r->iss + 1) {
        tcp_reset_segment(shard, seg, r->ifindex);
        return false;
    }
    return true;
}

/* TCP_DEFER_ACCEPT: nobody is woken for a connection that says nothing yet. */
static bool defers(const struct shard *shard, const struct tcp_request *r,
                   const struct tcp_segment *seg)
{
    if (!r->defer_s || seg->len || seg->flags & TCP_FIN)
        return false;
    return (shard->now - r->begun) / 1000 < r->defer_s;
}

void tcp_request_input(struct shard *shard, struct tcp_request *r, struct pkt *pkt,
                       const struct tcp_segment *seg)
{
    struct tcp_listener *l = r->listener;

    if (!completes(shard, r, seg) || defers(shard, r, seg) || queue_full(l)) {
        pkt_free(pkt);
        return;
    }
    if (!__atomic_load_n(&l->conn, __ATOMIC_ACQUIRE)) {
        tcp_reset_segment(shard, seg, r->ifindex);
        pkt_free(pkt);
    } else {
        if (r->ts_ok && seg->options.saw_ts)
            r->ts_recent = seg->options.tsval;
        establish(shard, r, pkt, seg);
    }
    tcp_request_remove(shard, r);
}
