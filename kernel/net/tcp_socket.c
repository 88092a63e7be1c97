/* What programs do with streams: the operations of socket.h.  Bytes are copied with no lock held:
 * a reader marks the queue's head as its own, a writer copies into pages first. */
#include "net/tcp_priv.h"

#include "lib/string.h"
#include "mm/page.h"
#include "net/tcp.h"

enum {
    COPY_AT_ONCE = 64 << 10, /* bytes between two looks at the connection */
    PARTS = 18,              /* pieces these may be in */
    BACKLOG_MAX = SOMAXCONN,
};

static struct tcp_conn *conn_of(const struct socket *sock)
{
    return sock->data;
}

static int create(struct socket *sock)
{
    struct tcp_conn *c = tcp_conn_create();

    if (!c)
        return -ENOMEM;
    c->sock = sock;
    sock->data = c;
    return 0;
}

/* ---- names ---- */

static int bind(struct socket *sock, const struct sock_addr *addr)
{
    struct tcp_conn *c = conn_of(sock);
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
    } else if (!ip_is_local(&at.addr)) {
        return -EADDRNOTAVAIL;
    }
    c->scope = at.scope;
    return tcp_port_bind(c, &at.addr, at.port);
}

static int name(struct socket *sock, struct sock_addr *out, bool peer)
{
    const struct tcp_conn *c = conn_of(sock);
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
        struct shard *shard = claim_flow(flow, isn_above);
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
    c->rcv_nxt = c->copied = c->rcv_adv = 0;
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

static bool is_opening(const struct tcp_conn *c)
{
    u8 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

    return state == TCP_SYN_SENT || state == TCP_SYN_RECV;
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

static int connect(struct socket *sock, const struct sock_addr *addr)
{
    struct tcp_conn *c = conn_of(sock);
    struct endpoint to;

    if (addr->len >= sizeof(addr->family) && addr->family == AF_UNSPEC) {
        if (c->state == TCP_LISTEN)
            return -EISCONN;
        start_over(c);
        return 0;
    }
    if (c->connecting) {
        if (is_opening(c) && sock_is_nonblocking(sock))
            return -EALREADY;
    } else {
        if (c->state != TCP_CLOSE)
            return -EISCONN;
        int err = endpoint_from_addr(addr, sock->family, &to);
        if (err)
            return err;
        if (c->v6only && to.addr.family == ADDR_INET)
            return -ENETUNREACH;
        if (c->flow.remote_port)
            start_over(c);
        err = start_connect(c, &to);
        if (err)
            return err;
        if (is_opening(c) && sock_is_nonblocking(sock))
            return -EINPROGRESS;
    }
    u64 timeout = sock->options.send_timeout_ns;
    int err = wait_event(&sock->waitq, !is_opening(c), true, sock_deadline(timeout));
    if (err)
        return err == -ETIMEDOUT ? -EINPROGRESS : sock_wait_error(err, timeout);
    return connect_result(c);
}

/* ---- listening ---- */

static int listen(struct socket *sock, int backlog)
{
    struct tcp_conn *c = conn_of(sock);
    u32 most = (u32)backlog > BACKLOG_MAX ? BACKLOG_MAX : (u32)backlog;

    if (c->state == TCP_LISTEN) {
        c->listener->backlog = most;
        return 0;
    }
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

static int accept(struct socket *sock, struct socket *fresh)
{
    struct tcp_conn *l = conn_of(sock), *c;
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

/* ---- sending ---- */

s64 tcp_send_space(const struct tcp_conn *c)
{
    return (s64)c->sndbuf - (s64)c->sendq.bytes;
}

bool tcp_writable(struct tcp_conn *c)
{
    s64 space = tcp_send_space(c);

    if (c->notsent_low != UINT32_MAX && tcp_unsent(c) >= c->notsent_low)
        return false;
    return space > 0 && (u64)space >= c->sendq.bytes / 2 && !tcp_memory_short(c);
}

/* Wait until there is room, or something else to say. */
static int wait_room(struct tcp_conn *c, u32 flags)
{
    struct socket *sock = c->sock;
    u64 timeout = sock->options.send_timeout_ns;

    __atomic_store_n(&c->want_room, true, __ATOMIC_SEQ_CST);
    if (flags & MSG_DONTWAIT)
        return tcp_writable(c) ? 0 : -EAGAIN;
    int err = wait_event(&sock->waitq,
                         (__atomic_store_n(&c->want_room, true, __ATOMIC_SEQ_CST),
                          tcp_writable(c) || !tcp_can_send(c->state) || sock->error),
                         true, sock_deadline(timeout));
    return err ? sock_wait_error(err, timeout) : 0;
}

/* May bytes be queued now? 0, or what send(2) answers. */
static int may_send(struct tcp_conn *c, u32 flags)
{
    struct socket *sock = c->sock;

    if (unlikely(is_opening(c))) {
        if (flags & MSG_DONTWAIT)
            return -EAGAIN;
        u64 timeout = sock->options.send_timeout_ns;
        int err = wait_event(&sock->waitq, !is_opening(c), true, sock_deadline(timeout));
        if (err)
            return sock_wait_error(err, timeout);
    }
    int err = sock_take_error(sock);
    if (unlikely(err))
        return err;
    return likely(tcp_can_send(c->state) && !c->fin_queued) ? 0 : -EPIPE;
}

/* Queue one piece, whose reference is taken. Under the lock. 0 or a negative errno. */
static int queue_piece(struct tcp_conn *c, struct page *page, u8 *data, u32 len)
{
    if (unlikely(!tcp_can_send(c->state) || c->fin_queued))
        return -EPIPE;
    int err = sendq_append(&c->sendq, page, data, len);
    if (unlikely(err))
        return err;
    tcp_charge(c->shard, len);
    c->write_seq += len;
    return 0;
}

/* Send what may go of what was queued. Under the lock. */
static void send_queued(struct tcp_conn *c, u32 flags)
{
    bool cork = c->cork;

    if (unlikely(flags & MSG_OOB)) {
        c->urgent_out = true;
        c->snd_urgent = c->write_seq;
    }
    c->cork |= !!(flags & MSG_MORE);
    tcp_output(c);
    c->cork = cork;
}

/* Copy up to a packet's worth from the program and queue it. Bytes, or a negative errno. */
static ssize_t send_part(struct tcp_conn *c, struct sock_msg *msg)
{
    struct send_frag pieces[PARTS];
    u64 space = (u64)max(tcp_send_space(c), (s64)1);
    u64 fits = min(space, (u64)COPY_AT_ONCE);
    u32 want = (u32)min(msg->data->left, fits), done = 0, n = 0, i = 0;
    int err = -ENOMEM;

    while (done < want && n < PARTS) {
        struct send_frag *piece = &pieces[n];
        piece->page = send_room(want - done, &piece->data, &piece->len);
        if (!piece->page)
            break;
        u32 room = piece->len;
        piece->len = (u32)iter_read(msg->data, piece->data, room);
        done += piece->len;
        n++;
        if (piece->len < room) {
            err = -EFAULT;
            break;
        }
    }
    if (!done)
        goto drop;
    struct shard *shard = tcp_conn_lock(c);
    for (done = 0; i < n && pieces[i].len; done += pieces[i++].len) {
        err = queue_piece(c, pieces[i].page, pieces[i].data, pieces[i].len);
        if (err)
            break;
    }
    if (done)
        send_queued(c, msg->flags | (msg->data->left ? MSG_MORE : 0));
    shard_unlock(shard);
drop:
    for (; i < n; i++)
        page_put(pieces[i].page);
    return done ? (ssize_t)done : err;
}

static ssize_t send(struct socket *sock, struct sock_msg *msg)
{
    struct tcp_conn *c = conn_of(sock);
    ssize_t done = 0;

    int err = may_send(c, msg->flags);
    if (unlikely(err))
        return err;
    while (msg->data->left) {
        if (unlikely(tcp_send_space(c) <= 0 || tcp_memory_short(c))) {
            err = wait_room(c, msg->flags);
            if (!err)
                err = may_send(c, msg->flags);
            if (err)
                return done ? done : err;
            continue;
        }
        ssize_t part = send_part(c, msg);
        if (part < 0)
            return done ? done : part;
        done += part;
    }
    return done;
}

static ssize_t send_pages(struct socket *sock, const struct pkt_frag *frags, u32 n, u32 flags)
{
    struct tcp_conn *c = conn_of(sock);
    ssize_t done = 0;

    int err = may_send(c, flags);
    if (!err && tcp_send_space(c) <= 0)
        err = wait_room(c, flags);
    if (err)
        return err;
    struct shard *shard = tcp_conn_lock(c);
    for (u32 i = 0; i < n && tcp_send_space(c) > 0; i++) {
        err = queue_piece(c, frags[i].page, frags[i].data, frags[i].len);
        if (err)
            break;
        if (frags[i].page)
            page_get(frags[i].page);
        done += frags[i].len;
    }
    if (done)
        send_queued(c, flags);
    shard_unlock(shard);
    return done ? done : err;
}

/* ---- receiving ---- */

static u32 available(const struct tcp_conn *c)
{
    u32 next = __atomic_load_n(&c->rcv_nxt, __ATOMIC_ACQUIRE);

    return next - c->copied - c->fin_rcvd;
}

/* No more will come. */
static bool at_end(const struct tcp_conn *c)
{
    return c->fin_rcvd || c->shut_read || (c->state == TCP_CLOSE && c->flow.remote_port);
}

/* Only one reader takes from the queue at a time; it may fault while it copies. */
static void own_reading(struct tcp_conn *c, struct shard **shard)
{
    while (unlikely(c->rx_busy)) {
        c->rx_waited = true;
        shard_unlock(*shard);
        wait_event(&c->sock->waitq, !__atomic_load_n(&c->rx_busy, __ATOMIC_ACQUIRE), false,
                   NO_DEADLINE);
        *shard = tcp_conn_lock(c);
    }
    c->rx_busy = true;
}

static void end_reading(struct tcp_conn *c)
{
    __atomic_store_n(&c->rx_busy, false, __ATOMIC_RELEASE);
    if (unlikely(c->rx_waited)) {
        c->rx_waited = false;
        waitq_wake_all(&c->sock->waitq, POLLIN);
    }
}

/* Copy up to @want bytes from the head of the queue, which is ours. Without the lock. */
static u32 copy_queue(struct tcp_conn *c, struct sock_msg *msg, u32 want, bool *fault)
{
    struct pkt *pkt = list_first(&c->recvq.pkts, struct pkt, node);
    u32 done = 0;

    while (done < want) {
        u32 at = c->copied + done - pkt->seq, part = min(pkt->total - at, want - done);
        u32 moved = msg->flags & MSG_TRUNC ? part : (u32)pkt_to_iter(pkt, at, part, msg->data);
        done += moved;
        if (moved < part) {
            *fault = true;
            break;
        }
        if (done < want)
            pkt = list_first(&pkt->node, struct pkt, node);
    }
    return done;
}

/* Packets that have been read go to @freed. */
static void consume(struct tcp_conn *c, u32 n, struct list_head *freed)
{
    __atomic_store_n(&c->copied, c->copied + n, __ATOMIC_RELEASE);
    while (!list_empty(&c->recvq.pkts)) {
        struct pkt *pkt = list_first(&c->recvq.pkts, struct pkt, node);
        if (seq_after(pkt->end_seq, c->copied))
            break;
        list_remove(&pkt->node);
        tcp_uncharge(c, pkt);
        list_add_tail(freed, &pkt->node);
    }
    if (n)
        tcp_receive_taken(c);
}

/* Where reading must stop: the urgent byte is not part of the stream unless asked for. */
static u32 up_to_mark(struct tcp_conn *c, u32 n)
{
    if (likely(!c->urgent_valid) || c->sock->options.oob_inline)
        return n;
    u32 ahead = c->urgent_seq - c->copied;
    if (!ahead && n) { /* pass over it */
        c->copied++;
        c->urgent_valid = false;
        return n - 1;
    }
    return (s32)ahead > 0 ? min(n, ahead) : n;
}

/* One step of recv: what is there, up to @want. Bytes, or -EFAULT. */
static ssize_t take(struct tcp_conn *c, struct sock_msg *msg, u64 want)
{
    struct list_head freed = LIST_INIT(freed);
    struct shard *shard = tcp_conn_lock(c);
    bool fault = false;
    u32 done = 0;

    own_reading(c, &shard);
    u32 n = up_to_mark(c, (u32)min((u64)available(c), want));
    if (n) {
        shard_unlock(shard);
        done = copy_queue(c, msg, n, &fault);
        shard = tcp_conn_lock(c);
    }
    if (!(msg->flags & MSG_PEEK))
        consume(c, done, &freed);
    end_reading(c);
    shard_unlock(shard);
    if (!list_empty(&freed))
        pkt_free_list(&freed);
    return done || !fault ? (ssize_t)done : -EFAULT;
}

static ssize_t recv_urgent(struct tcp_conn *c, struct sock_msg *msg)
{
    struct shard *shard = tcp_conn_lock(c);
    u32 at = c->urgent_seq;
    bool here = c->urgent_valid && !c->urgent_read && !c->sock->options.oob_inline &&
                seq_before(at, c->rcv_nxt) && !seq_before(at, c->copied);
    u8 byte = 0;

    if (here) {
        struct pkt *pkt;
        list_for_each(pkt, &c->recvq.pkts, node) {
            if (!seq_before(at, pkt->seq) && seq_before(at, pkt->end_seq))
                pkt_copy_out(pkt, at - pkt->seq, &byte, 1);
        }
        c->urgent_read = !(msg->flags & MSG_PEEK);
    }
    bool none = !c->urgent_valid || c->urgent_read;
    shard_unlock(shard);
    if (!here)
        return none ? -EINVAL : -EAGAIN;
    msg->flags |= MSG_OOB;
    return iter_write(msg->data, &byte, 1) == 1 ? 1 : -EFAULT;
}

/* Nothing is there: why? 0 to wait; 1: the end; or a negative errno. */
static int why_empty(struct tcp_conn *c, u32 flags)
{
    int err = sock_take_error(c->sock);

    if (err)
        return err;
    if (c->fin_rcvd || c->shut_read)
        return 1;
    if (c->state == TCP_CLOSE)
        return c->done ? 1 : -ENOTCONN;
    if (c->state == TCP_LISTEN)
        return -ENOTCONN;
    return flags & MSG_DONTWAIT ? -EAGAIN : 0;
}

static bool has_enough(const struct tcp_conn *c, u32 low)
{
    return available(c) >= low || at_end(c) || c->sock->error;
}

static ssize_t recv(struct socket *sock, struct sock_msg *msg)
{
    struct tcp_conn *c = conn_of(sock);
    u64 timeout = sock->options.recv_timeout_ns, left = msg->data->left, done = 0;

    if (unlikely(msg->flags & MSG_OOB))
        return recv_urgent(c, msg);
    u64 least = msg->flags & MSG_WAITALL ? left : min((u64)sock->options.recv_low, left);
    u64 deadline = 0;
    while (left) {
        ssize_t part = available(c) ? take(c, msg, left) : 0;
        if (part < 0)
            return done ? (ssize_t)done : part;
        done += (u64)part;
        left -= (u64)part;
        if (done >= max(least, (u64)1) || (part && msg->flags & MSG_PEEK))
            break;
        if (part)
            continue;
        if (done && (at_end(c) || msg->flags & MSG_DONTWAIT || sock->error))
            break;
        int why = why_empty(c, msg->flags);
        if (why)
            return why > 0 ? 0 : why;
        if (!deadline)
            deadline = sock_deadline(timeout);
        int err = wait_event(&sock->waitq, has_enough(c, 1), true, deadline);
        if (err)
            return done ? (ssize_t)done : sock_wait_error(err, timeout);
    }
    return (ssize_t)done;
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

static int shutdown(struct socket *sock, int how)
{
    struct tcp_conn *c = conn_of(sock);

    if (c->state == TCP_LISTEN && how != SHUT_WR) {
        tcp_unlisten(c);
        tcp_set_state(c, TCP_CLOSE);
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

static void linger(struct tcp_conn *c)
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
    } else if (available(c) && tcp_synchronized(c->state)) {
        stats->abort_on_close++; /* unread bytes: the peer must not think that they arrived */
        tcp_conn_abort(c, 0);
    } else if (o->linger_on && !o->linger_s) {
        stats->abort_on_linger++;
        tcp_conn_abort(c, 0);
    } else {
        send_fin(c);
    }
}

static void close(struct socket *sock)
{
    struct tcp_conn *c = conn_of(sock);

    if (c->state == TCP_LISTEN) {
        tcp_unlisten(c);
        tcp_set_state(c, TCP_CLOSE);
    }
    struct shard *shard = tcp_conn_lock(c);
    begin_close(c);
    shard_unlock(shard);
    linger(c);
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

    if (available(c) >= max(low, 1u) || at_end(c))
        bits |= POLLIN | POLLRDNORM;
    if (at_end(c))
        bits |= POLLRDHUP;
    if (c->urgent_valid && !c->urgent_read)
        bits |= POLLPRI;
    return bits;
}

static u32 ready_out(struct tcp_conn *c)
{
    if (is_opening(c))
        return 0;
    if (!tcp_can_send(c->state) || tcp_writable(c))
        return POLLOUT | POLLWRNORM;
    __atomic_store_n(&c->want_room, true, __ATOMIC_SEQ_CST);
    return tcp_writable(c) ? POLLOUT | POLLWRNORM : 0; /* room may have come meanwhile */
}

static u32 ready(struct socket *sock)
{
    struct tcp_conn *c = conn_of(sock);
    u8 state = __atomic_load_n(&c->state, __ATOMIC_ACQUIRE);

    if (state == TCP_LISTEN)
        return has_waiting(c->listener) ? POLLIN | POLLRDNORM : 0;
    u32 bits = ready_out(c) | (is_opening(c) ? 0 : ready_in(c));
    bool both_shut = c->fin_queued && (c->fin_rcvd || c->shut_read);
    if (state == TCP_CLOSE || both_shut)
        bits |= POLLHUP;
    return bits | (sock->error ? POLLERR : 0);
}

/* ---- ioctl ---- */

static int ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    struct tcp_conn *c = conn_of(sock);
    u32 value;

    if (c->state == TCP_LISTEN && (cmd == SIOCINQ || cmd == SIOCOUTQ))
        return -EINVAL;
    switch (cmd) {
    case SIOCINQ:
        value = c->state == TCP_SYN_SENT ? 0 : available(c);
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
        .family = family_, .type = SOCK_STREAM, .protocol = IPPROTO_TCP, .create = create,         \
        .close = close, .bind = bind, .connect = connect, .listen = listen, .accept = accept,      \
        .send = send, .recv = recv, .shutdown = shutdown, .name = name, .ready = ready,            \
        .setopt = tcp_setopt, .getopt = tcp_getopt, .ioctl = ioctl, .send_pages = send_pages,      \
    }

static const struct proto_ops tcp_ops[] = {TCP_OPS(AF_INET), TCP_OPS(AF_INET6)};

void tcp_init(void)
{
    static const struct transport transport = {IPPROTO_TCP, tcp_input, tcp_error};

    tcp_secrets_init();
    shards_init();
    transport_register(&transport);
    for (u32 i = 0; i < ARRAY_LEN(tcp_ops); i++)
        proto_register(&tcp_ops[i]);
}
