/* What programs do with stream sockets but for moving bytes (tcp_stream.c): the operations of
 * socket.h, and readiness. */
#include "net/tcp_cookie.h"
#include "net/tcp_priv.h"
#include "net/tcp_table.h"

#include "lib/string.h"
#include "net/tcp.h"
#include "sched/thread.h"

enum { BACKLOG_MAX = SOMAXCONN };

static int stream_create(struct socket *sock)
{
    struct tcp_conn *c = tcp_conn_create();

    if (!c)
        return -ENOMEM;
    c->sock = sock;
    sock->data = c;
    return 0;
}

/* ---- names ---- */

static int stream_bind(struct socket *sock, const struct sock_addr *addr)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    struct endpoint at;

    int err = endpoint_from_addr(addr, sock->family, &at);
    if (err)
        return err;
    if (c->state != TCP_CLOSE || c->bind_port)
        return -EINVAL;
    if (sock->family == AF_INET6 && c->v6only && at.addr.family == ADDR_INET)
        return -EINVAL;
    if (addr_is_multicast(&at.addr))
        return -EADDRNOTAVAIL;
    if (addr_is_any(&at.addr)) {
        bool v4 = sock->family == AF_INET6 && at.addr.family == ADDR_INET;
        at.addr.family = ADDR_NONE;
        c->v4_any = v4;
    } else if (!c->freebind && !ip_is_local(&at.addr)) {
        return -EADDRNOTAVAIL;
    }
    c->scope = at.scope;
    return tcp_port_bind(c, &at.addr, at.port);
}

static int stream_name(struct socket *sock, struct sock_addr *out, bool peer)
{
    const struct tcp_conn *c = tcp_conn_of(sock);
    bool connected = c->flow.remote_port != 0;
    struct endpoint at = {.scope = c->scope};

    if (peer && (!connected || c->state == TCP_CLOSE || c->state == TCP_SYN_SENT))
        return -ENOTCONN;
    if (peer) {
        at.addr = flow_remote(&c->flow, c->family);
        at.port = c->flow.remote_port;
    } else if (connected) {
        at.addr = flow_local(&c->flow, c->family);
        at.port = c->flow.local_port;
    } else {
        at.addr = c->bind_addr;
        at.port = c->bind_port;
    }
    endpoint_to_addr(&at, sock->family, out);
    return 0;
}

/* ---- connecting ---- */

/* The flow's shard, locked, if nobody else has that flow; NULL: taken. *@isn_above: as tw_input(),
 * 0 where there was no record. */
static struct shard *claim_flow(const struct flow *flow, u32 *isn_above)
{
    u32 hash = flow_hash(flow);
    struct shard *shard = shard_of_hash(hash);

    *isn_above = 0;
    shard_lock(shard);
    struct tcp_tw *tw = tw_find(shard, flow, hash);
    bool recyclable = tw && tw->ts_recent &&
                      (s32)(tw->expires - shard->now) < TCP_TIME_WAIT_MS - 1000; /* RFC 6191 */
    if (!shard_find(shard, flow, hash) && !tcp_request_find(shard, flow, hash) &&
        (!tw || recyclable)) {
        if (tw) {
            *isn_above = tw->snd_nxt + (1 << 16);
            tw_remove(shard, tw);
        }
        return shard;
    }
    shard_unlock(shard);
    return NULL;
}

static struct shard *claim_any(struct flow *flow, u32 *isn_above)
{
    for (u32 attempt = 0;; attempt++) {
        flow->local_port = tcp_port_candidate(flow, attempt);
        if (!flow->local_port)
            return NULL;
        struct shard *shard =
            tcp_port_is_bound(flow->local_port) ? NULL : claim_flow(flow, isn_above);
        if (shard)
            return shard;
    }
}

/* Our wishes for the receive side, before anything is received. */
static void start_windows(struct tcp_conn *c)
{
    const struct sock_options *o = &c->sock->options;

    c->sndbuf = o->send_buffer ? o->send_buffer : c->sndbuf;
    c->rcvbuf = o->recv_buffer ? o->recv_buffer : c->rcvbuf;
    c->rcv_wscale = TCP_WSCALE;
    c->rcv_nxt = c->copied = c->rcv_adv = c->rcv_whole = 0;
}

static void send_first_syn(struct tcp_conn *c, u32 isn_above)
{
    struct shard *shard = c->shard;

    c->iss = tcp_isn(&c->flow, shard->now_ns);
    if (isn_above && seq_before(c->iss, isn_above))
        c->iss = isn_above;
    c->snd_una = c->iss;
    c->snd_nxt = c->write_seq = c->iss + 1;
    c->syn_ns = shard->now_ns;
    c->connecting = true;
    c->retries = c->backoff = 0;
    c->stalled_since = shard->now;
    tcp_set_state(c, TCP_SYN_SENT);
    shard_insert(shard, c);
    shard->stats.active_opens++;
    c->rtx_kind = RTX_RTO;
    tcp_timer_set(c, TIMER_RTX, shard->now + TCP_RTO_INITIAL);
    tcp_send_syn(c);
}

static int start_connect(struct tcp_conn *c, struct endpoint *to)
{
    const struct ip_addr *source = c->bind_addr.family ? &c->bind_addr : NULL;
    struct route route;
    struct flow flow = {.remote_port = to->port, .local_port = c->bind_port};
    u32 isn_above;

    if (addr_is_any(&to->addr)) /* means this host */
        to->addr = to->addr.family == ADDR_INET
                       ? addr_from_v4(__builtin_bswap32(0x7f000001))
                       : (struct ip_addr){.bytes = {[15] = 1}, .family = ADDR_INET6};
    if (addr_is_multicast(&to->addr))
        return -ENETUNREACH;
    u32 scope = to->scope ? to->scope : c->sock->options.bind_ifindex;
    int err = route_find_wait(&to->addr, source, scope, &route);
    if (err)
        return err;
    flow_set(flow.local, source ? source : &route.source);
    flow_set(flow.remote, &to->addr);
    struct shard *shard =
        c->bind_port ? claim_flow(&flow, &isn_above) : claim_any(&flow, &isn_above);
    if (!shard)
        return -EADDRNOTAVAIL;
    c->scope = scope;
    err = tcp_conn_attach(c, shard, &flow, to->addr.family);
    if (!err) {
        start_windows(c);
        send_first_syn(c, isn_above);
    }
    shard_unlock(shard);
    return err;
}

/* What connect(2) says of a connection that has left SYN_SENT. */
static int connect_result(struct tcp_conn *c)
{
    int err = sock_take_error(c->sock);

    c->connecting = false;
    if (tcp_synchronized(c->state))
        return 0;
    return err ? err : -ECONNABORTED;
}

/* Forget the last connection so that the socket can be used again: connect to AF_UNSPEC, or after a
 * failure. */
static void start_over(struct tcp_conn *c)
{
    struct shard *shard = tcp_conn_lock(c);

    tcp_conn_abort(c, 0);
    recvq_fini(c);
    recvq_init(&c->recvq);
    c->flow = (struct flow){.local_port = 0};
    c->done = c->fin_rcvd = c->fin_sent = c->fin_queued = c->fin_pending = c->shut_read = false;
    c->ts_ok = c->sack_ok = c->wscale_ok = c->ecn_ok = c->urgent_valid = false;
    c->snd_wscale = c->rcv_wscale = 0;
    c->srtt_us8 = c->min_rtt_us = 0;
    c->rto_ms = TCP_RTO_INITIAL;
    c->ca = CA_OPEN;
    c->rack = (struct rack){0};
    c->frto = c->frto_new = c->tlp_out = c->can_undo = false;
    shard_unlock(shard);
}

/* One thread at a time: the others find it connecting. */
static int begin_connect(struct tcp_conn *c, struct endpoint *to)
{
    if (__atomic_exchange_n(&c->beginning, true, __ATOMIC_ACQUIRE))
        return -EALREADY;
    int err = c->state == TCP_CLOSE ? 0 : -EISCONN;
    if (!err && c->flow.remote_port)
        start_over(c);
    if (!err)
        err = start_connect(c, to);
    __atomic_store_n(&c->beginning, false, __ATOMIC_RELEASE);
    return err;
}

static int stream_connect(struct socket *sock, const struct sock_addr *addr)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    struct endpoint to;

    if (addr->len >= sizeof(addr->family) && addr->family == AF_UNSPEC) {
        if (c->state == TCP_LISTEN)
            return -EISCONN;
        start_over(c);
        return 0;
    }
    if (c->connecting) {
        if (tcp_is_opening(c) && sock_is_nonblocking(sock))
            return -EALREADY;
    } else {
        if (c->state != TCP_CLOSE)
            return -EISCONN;
        int err = endpoint_from_addr(addr, sock->family, &to);
        if (err)
            return err;
        if (c->v6only && to.addr.family == ADDR_INET)
            return -ENETUNREACH;
        err = begin_connect(c, &to);
        if (err)
            return err;
        if (tcp_is_opening(c) && sock_is_nonblocking(sock))
            return -EINPROGRESS;
    }
    u64 timeout = sock->options.send_timeout_ns;
    int err = wait_event(&sock->waitq, !tcp_is_opening(c), true, sock_deadline(timeout));
    if (err)
        return err == -ETIMEDOUT ? -EINPROGRESS : sock_wait_error(err, timeout);
    return connect_result(c);
}

/* ---- listening ---- */

static int stream_listen(struct socket *sock, int backlog)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    u32 most = (u32)backlog > BACKLOG_MAX ? BACKLOG_MAX : (u32)backlog;

    if (c->state == TCP_LISTEN)
        return tcp_listen(c, most);
    if (c->state != TCP_CLOSE || c->flow.remote_port)
        return -EINVAL;
    if (!c->bind_port) {
        int err = tcp_port_bind(c, &c->bind_addr, 0);
        if (err)
            return err;
    } else if (!tcp_port_may_listen(c)) {
        return -EADDRINUSE;
    }
    return tcp_listen(c, most);
}

static bool has_waiting(const struct tcp_listener *l)
{
    return !list_empty(&l->queue);
}

static int stream_accept(struct socket *sock, struct socket *fresh)
{
    struct tcp_conn *l = tcp_conn_of(sock), *c;
    u64 timeout = sock->options.recv_timeout_ns, deadline = sock_deadline(timeout);

    if (l->state != TCP_LISTEN)
        return -EINVAL;
    while (!(c = tcp_listener_pop(l->listener))) {
        if (sock_is_nonblocking(sock))
            return -EAGAIN;
        int err = wait_event(&sock->waitq, has_waiting(l->listener) || l->state != TCP_LISTEN, true,
                             deadline);
        if (err)
            return sock_wait_error(err, timeout);
        if (l->state != TCP_LISTEN)
            return -EINVAL;
    }
    fresh->options = sock->options;
    fresh->data = c;
    struct shard *shard = tcp_conn_lock(c);
    tcp_listener_put(c->listener);
    c->listener = NULL;
    c->sock = fresh;
    if (c->state == TCP_CLOSE && !c->fin_rcvd)
        sock_set_error(fresh, ECONNRESET); /* it was, meanwhile */
    tcp_timer_keepalive(c);
    shard_unlock(shard);
    return 0;
}

/* ---- the end ---- */

/* Our FIN goes behind what is queued: RFC 9293 3.10.4. */
static void send_fin(struct tcp_conn *c)
{
    if (c->state == TCP_ESTABLISHED)
        tcp_set_state(c, TCP_FIN_WAIT1);
    else if (c->state == TCP_CLOSE_WAIT)
        tcp_set_state(c, TCP_LAST_ACK);
    else
        return;
    c->fin_queued = true;
    tcp_output(c);
}

static int stream_shutdown(struct socket *sock, int how)
{
    struct tcp_conn *c = tcp_conn_of(sock);

    if (c->state == TCP_LISTEN && how != SHUT_WR) {
        tcp_unlisten(c);
        waitq_wake_all(&sock->waitq, POLLIN | POLLHUP);
        return 0;
    }
    struct shard *shard = tcp_conn_lock(c);
    int err = 0;
    if (c->state == TCP_CLOSE || c->state == TCP_LISTEN)
        err = -ENOTCONN;
    else if (c->state == TCP_SYN_SENT)
        tcp_conn_close(c, -ECONNRESET);
    if (!err && how != SHUT_WR)
        c->shut_read = true;
    if (!err && how != SHUT_RD)
        send_fin(c);
    if (!err)
        tcp_wake(c, POLLIN | POLLOUT | POLLRDNORM | POLLRDHUP | POLLHUP);
    shard_unlock(shard);
    return err;
}

static bool is_sent(const struct tcp_conn *c)
{
    u8 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

    return state != TCP_FIN_WAIT1 && state != TCP_CLOSING && state != TCP_LAST_ACK;
}

static void stream_linger(struct tcp_conn *c)
{
    struct socket *sock = c->sock;

    if (sock->options.linger_on && sock->options.linger_s)
        wait_event(&sock->waitq, is_sent(c), true,
                   sock_deadline(sock->options.linger_s * NSEC_PER_SEC));
}

/* close(2) of a connection: RFC 9293 3.10.4, RFC 1122 4.2.2.13. */
static void begin_close(struct tcp_conn *c)
{
    const struct sock_options *o = &c->sock->options;
    struct tcp_stats *stats = &c->shard->stats;

    if (c->state == TCP_SYN_SENT) {
        tcp_conn_close(c, 0);
    } else if (c->state == TCP_SYN_RECV) {
        tcp_conn_abort(c, 0);
    } else if (tcp_available(c) && tcp_synchronized(c->state)) {
        stats->abort_on_close++; /* unread bytes: the peer must not think that they arrived */
        tcp_conn_abort(c, 0);
    } else if (o->linger_on && !o->linger_s) {
        stats->abort_on_linger++;
        tcp_conn_abort(c, 0);
    } else {
        send_fin(c);
    }
}

static void stream_close(struct socket *sock)
{
    struct tcp_conn *c = tcp_conn_of(sock);

    if (c->listener) {
        tcp_unlisten(c);
        tcp_listener_put(c->listener);
        c->listener = NULL;
    }
    struct shard *shard = tcp_conn_lock(c);
    begin_close(c);
    shard_unlock(shard);
    stream_linger(c);
    tcp_port_release(c);
    shard = tcp_conn_lock(c);
    c->sock = NULL;
    sock->data = NULL;
    recvq_fini(c);
    recvq_init(&c->recvq);
    if (c->state == TCP_FIN_WAIT2)
        tcp_timer_set(c, TIMER_STATE,
                      shard->now + (c->linger2_s ? c->linger2_s * 1000 : TCP_FIN_TIMEOUT));
    tcp_conn_reap(c);
    shard_unlock(shard);
}

/* ---- readiness: no lock, since it may be asked for under any ---- */

static u32 ready_in(const struct tcp_conn *c)
{
    u32 low = c->sock->options.recv_low, bits = 0;

    if (tcp_available(c) >= max(low, 1u) || tcp_at_end(c))
        bits |= POLLIN | POLLRDNORM;
    if (tcp_at_end(c))
        bits |= POLLRDHUP;
    if (c->urgent_valid && !c->urgent_read)
        bits |= POLLPRI;
    return bits;
}

static u32 ready_out(struct tcp_conn *c)
{
    if (tcp_is_opening(c))
        return 0;
    if (!tcp_can_send(c->state) || tcp_writable(c))
        return POLLOUT | POLLWRNORM;
    __atomic_store_n(&c->want_room, true, __ATOMIC_SEQ_CST);
    return tcp_writable(c) ? POLLOUT | POLLWRNORM : 0; /* room may have come meanwhile */
}

/* Nothing is to be told but bytes to read and room to write. */
static inline bool is_open_both_ways(const struct tcp_conn *c)
{
    return c->state == TCP_ESTABLISHED && !c->fin_rcvd && !c->shut_read && !c->urgent_valid &&
           !c->sock->error && c->notsent_low == UINT32_MAX;
}

static u32 stream_ready(struct socket *sock)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    u8 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

    u32 queued = c->sendq.bytes;
    bool room = queued < TCP_SEND_ALWAYS && queued <= c->sndbuf / 2; /* tcp_writable(), then */

    if (likely(room && is_open_both_ways(c) && c->sock->options.recv_low == 1))
        return POLLOUT | POLLWRNORM | (tcp_available(c) ? POLLIN | POLLRDNORM : 0);
    if (state == TCP_LISTEN)
        return has_waiting(c->listener) ? POLLIN | POLLRDNORM : 0;
    u32 bits = ready_out(c) | (tcp_is_opening(c) ? 0 : ready_in(c));
    bool both_shut = c->fin_queued && (c->fin_rcvd || c->shut_read);
    if (state == TCP_CLOSE || both_shut)
        bits |= POLLHUP;
    return bits | (sock->error ? POLLERR : 0);
}

/* ---- ioctl ---- */

static int stream_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    u32 value;

    if (c->state == TCP_LISTEN && (cmd == SIOCINQ || cmd == SIOCOUTQ))
        return -EINVAL;
    switch (cmd) {
    case SIOCINQ:
        value = c->state == TCP_SYN_SENT ? 0 : tcp_available(c);
        break;
    case SIOCOUTQ:
        value = c->sendq.bytes;
        break;
    case SIOCATMARK:
        value = c->urgent_valid && c->urgent_seq == c->copied;
        break;
    default:
        return -ENOTTY;
    }
    return copy_to_user(arg, &value, sizeof(value));
}

#define TCP_OPS(family_)                                                                           \
    {                                                                                              \
        .family = family_, .type = SOCK_STREAM, .protocol = IPPROTO_TCP, .create = stream_create,  \
        .close = stream_close, .bind = stream_bind, .connect = stream_connect,                     \
        .listen = stream_listen, .accept = stream_accept, .send = tcp_stream_send,                 \
        .recv = tcp_stream_recv, .shutdown = stream_shutdown, .name = stream_name,                 \
        .ready = stream_ready, .setopt = tcp_setopt, .getopt = tcp_getopt, .ioctl = stream_ioctl,  \
        .send_pages = tcp_stream_send_pages,                                                       \
    }

static const struct proto_ops tcp_ops[] = {TCP_OPS(AF_INET), TCP_OPS(AF_INET6)};

/* ---- the end of the machine ---- */

/* What the program leaves open is closed as at the end of any process. */
static __attribute__((cold)) int close_one(const struct tcp_entry *entry, void *arg)
{
    struct tcp_conn *c = entry->conn;

    (void)arg;
    if (!tcp_can_send(entry->state) || c->route.netif->flags & NETIF_LOOPBACK)
        return 0;
    if (entry->sock)
        begin_close(c);
    else
        tcp_conn_abort(c, 0); /* nobody has accepted it */
    return 0;
}

static __attribute__((cold)) void close_all(void)
{
    sched_stop_programs();
    (void)tcp_for_each(close_one, NULL); /* which does not fail */
    netif_flush_all();
}

bool tcp_init(void)
{
    static const struct transport transport = {
        .protocol = IPPROTO_TCP,
        .input = tcp_input,
        .error = tcp_error,
        .expected4 = tcp_input_expected4,
    };

    if (!shards_init())
        return false;
    tcp_secrets_init();
    transport_register(&transport);
    for (u32 i = 0; i < ARRAY_LEN(tcp_ops); i++)
        proto_register(&tcp_ops[i]);
    vm_end_hook(close_all);
    return true;
}
