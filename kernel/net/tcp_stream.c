/* Bytes between a program and its connection.  They are copied with no lock held: a writer copies
 * into pages first, a reader marks the queue's head as its own. */
#include "abi/tcp.h"

#include "lib/string.h"
#include "mm/page.h"
#include "net/tcp_priv.h"

enum {
    COPY_AT_ONCE = 64 << 10, /* bytes between two looks at the connection */
    PARTS = 18,              /* pieces these may be in */
    SMALL = 2048,            /* bytes that go by the short way */
    COPY_BELOW = 1024,       /* bytes of a file that are cheaper to copy than to point to */
};

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

/* may_send(), where there is more to it. */
static __attribute__((noinline)) int may_send_else(struct tcp_conn *c, u32 flags)
{
    struct socket *sock = c->sock;

    if (unlikely(tcp_is_opening(c))) {
        if (flags & MSG_DONTWAIT)
            return -EAGAIN;
        u64 timeout = sock->options.send_timeout_ns;
        int err = wait_event(&sock->waitq, !tcp_is_opening(c), true, sock_deadline(timeout));
        if (err)
            return sock_wait_error(err, timeout);
    }
    int err = sock_take_error(sock);
    if (unlikely(err))
        return err;
    return likely(tcp_can_send(c->state) && !c->fin_queued) ? 0 : -EPIPE;
}

/* May bytes be queued now? 0, or what send(2) answers. */
static inline int may_send(struct tcp_conn *c, u32 flags)
{
    if (likely(c->state == TCP_ESTABLISHED && !c->fin_queued && !c->sock->error))
        return 0;
    return may_send_else(c, flags);
}

/* Queue one piece, whose reference is taken. Under the lock. 0 or a negative errno. */
static inline int queue_piece(struct tcp_conn *c, struct page *page, u8 *data, u32 len)
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

/* Send what may go of what was queued. Under the lock; the time is taken where it matters. */
static void send_queued(struct tcp_conn *c, u32 flags)
{
    bool cork = c->cork;

    if (unlikely(flags & MSG_OOB)) {
        c->urgent_out = true;
        c->snd_urgent = c->write_seq;
    }
    c->cork |= !!(flags & MSG_MORE);
    if (!tcp_is_corked(c)) {
        shard_now(c->shard);
        tcp_output(c);
    } else if (!tcp_timer_is_set(c, TIMER_CORK)) {
        shard_now(c->shard);
        tcp_cork_hold(c);
    }
    c->cork = cork;
}

/* Queue and send @len bytes of our own page, whose reference is taken. Bytes, or a negative errno.
 */
static inline ssize_t send_piece(struct tcp_conn *c, struct page *page, u8 *data, u32 len,
                                 u32 flags)
{
    struct shard *shard = tcp_conn_lock_quick(c);
    int err = queue_piece(c, page, data, len);

    if (likely(!err))
        send_queued(c, flags);
    shard_unlock(shard);
    if (unlikely(err))
        page_put(page);
    return err ? err : (ssize_t)len;
}

/* A message that fits one piece: most. Bytes, or a negative errno. */
static ssize_t send_small(struct tcp_conn *c, struct sock_msg *msg)
{
    u32 want = (u32)msg->data->left, room;
    u8 *data;
    struct page *page = send_room(want, &data, &room);

    if (unlikely(!page))
        return -ENOMEM;
    room = (u32)iter_read(msg->data, data, room);
    if (unlikely(!room)) {
        page_put(page);
        return -EFAULT;
    }
    return send_piece(c, page, data, room, msg->flags | (msg->data->left ? MSG_MORE : 0));
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
        piece->len = (u32)iter_read_bulk(msg->data, piece->data, room);
        done += piece->len;
        n++;
        if (piece->len < room) {
            err = -EFAULT;
            break;
        }
    }
    if (!done)
        goto drop;
    struct shard *shard = tcp_conn_lock_quick(c);
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

ssize_t tcp_stream_send(struct socket *sock, struct sock_msg *msg)
{
    struct tcp_conn *c = tcp_conn_of(sock);
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
        ssize_t part = msg->data->left <= SMALL ? send_small(c, msg) : send_part(c, msg);
        if (part < 0)
            return done ? done : part;
        done += part;
    }
    return done;
}

/* A small piece is copied behind the header that was written before it: to point at its page would
 * be 200 instructions more, and a descriptor of the device's. Bytes, or 0: there is no room. */
static ssize_t send_copied(struct tcp_conn *c, const struct pkt_frag *frag, u32 flags)
{
    u32 room;
    u8 *data;
    struct page *page = send_room(frag->len, &data, &room);

    if (unlikely(!page))
        return 0;
    if (unlikely(room < frag->len)) {
        page_put(page);
        return 0;
    }
    memcpy(data, frag->data, room);
    return send_piece(c, page, data, room, flags);
}

ssize_t tcp_stream_send_pages(struct socket *sock, const struct pkt_frag *frags, u32 n, u32 flags)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    ssize_t done = 0;

    int err = may_send(c, flags);
    if (!err && tcp_send_space(c) <= 0)
        err = wait_room(c, flags);
    if (err)
        return err;
    if (n == 1 && frags->len <= COPY_BELOW)
        done = send_copied(c, frags, flags);
    if (done)
        return done;
    struct shard *shard = tcp_conn_lock_quick(c);
    for (u32 i = 0; i < n && tcp_send_space(c) > 0; i++) {
        if (frags[i].page)
            page_get(frags[i].page);
        err = queue_piece(c, frags[i].page, frags[i].data, frags[i].len);
        if (err && frags[i].page)
            page_put(frags[i].page);
        if (err)
            break;
        done += frags[i].len;
    }
    if (done)
        send_queued(c, flags);
    shard_unlock(shard);
    return done ? done : err;
}

/* ---- corks ---- */

static void begin_cork(struct tcp_conn *c)
{
    struct shard *shard = tcp_conn_lock_quick(c);

    c->cork = true;
    shard_unlock(shard);
}

static __attribute__((noinline)) void end_cork(struct tcp_conn *c)
{
    struct shard *shard = tcp_conn_lock_quick(c);
    bool was = c->cork;

    c->cork = false;
    if (was && tcp_synchronized(c->state)) {
        tcp_timer_clear(c, TIMER_CORK);
        c->cork_over = true; /* what it held goes at once, whatever Nagle says */
        shard_now(shard);
        tcp_output(c);
    }
    shard_unlock(shard);
}

/* Servers set and clear the cork around each answer; the rest is rare. */
int tcp_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    int on;

    if (unlikely(level != IPPROTO_TCP || name != TCP_CORK || len < sizeof(on)))
        return tcp_setopt_any(c, level, name, value, len);
    __builtin_memcpy(&on, value, sizeof(on));
    if (on)
        begin_cork(c);
    else
        end_cork(c);
    return 0;
}

/* ---- receiving ---- */

/* Only one reader takes from the queue's head at a time; it may fault while it copies. */
static void own_reading(struct tcp_conn *c)
{
    while (unlikely(!tcp_recvq_claim(c))) {
        __atomic_store_n(&c->rx_waited, true, __ATOMIC_SEQ_CST);
        wait_event(&c->sock->waitq, !__atomic_load_n(&c->rx_busy, __ATOMIC_ACQUIRE), false,
                   NO_DEADLINE);
    }
}

static void end_reading(struct tcp_conn *c)
{
    tcp_recvq_release(c);
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

/* @n bytes have been read. */
static void consume(struct tcp_conn *c, u32 n)
{
    __atomic_store_n(&c->copied, c->copied + n, __ATOMIC_RELEASE);
    while (!list_empty(&c->recvq.pkts)) {
        struct pkt *pkt = list_first(&c->recvq.pkts, struct pkt, node);
        if (seq_after(pkt->end_seq, c->copied))
            break;
        list_remove(&pkt->node);
        tcp_uncharge(c, pkt);
        pkt_free(pkt);
    }
    if (n)
        tcp_receive_taken(c);
}

/* Where reading must stop: the urgent byte is not part of the stream unless asked for. The queue's
 * head is the caller's. */
static u32 up_to_mark(struct tcp_conn *c, u32 n)
{
    if (likely(!c->urgent_valid) || c->sock->options.oob_inline)
        return n;
    u32 ahead = c->urgent_seq - c->copied;
    if (!ahead && n) { /* pass over it */
        __atomic_store_n(&c->copied, c->copied + 1, __ATOMIC_RELEASE);
        c->urgent_valid = false;
        return n - 1;
    }
    return (s32)ahead > 0 ? min(n, ahead) : n;
}

/* One step of recv: what is there, up to @want. Bytes, or -EFAULT. */
static ssize_t take(struct tcp_conn *c, struct sock_msg *msg, u64 want)
{
    bool fault = false;
    u32 done = 0;

    own_reading(c);
    u32 n = up_to_mark(c, (u32)min((u64)tcp_available(c), want));
    if (n)
        done = copy_queue(c, msg, n, &fault);
    struct shard *shard = tcp_conn_lock_quick(c);
    if (!(msg->flags & MSG_PEEK))
        consume(c, done);
    end_reading(c);
    shard_unlock(shard);
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
    return tcp_available(c) >= low || tcp_at_end(c) || c->sock->error;
}

/* All other ways to receive. */
static __attribute__((noinline)) ssize_t recv_any(struct socket *sock, struct sock_msg *msg)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    u64 timeout = sock->options.recv_timeout_ns, left = msg->data->left, done = 0;

    if (unlikely(msg->flags & MSG_OOB))
        return recv_urgent(c, msg);
    if (unlikely(msg->flags & MSG_ERRQUEUE))
        return -EAGAIN; /* errors of streams are SO_ERROR's */
    u64 least = msg->flags & MSG_WAITALL ? left : min((u64)sock->options.recv_low, left);
    u64 deadline = 0;
    while (left) {
        ssize_t part = tcp_available(c) ? take(c, msg, left) : 0;
        if (part < 0)
            return done ? (ssize_t)done : part;
        done += (u64)part;
        left -= (u64)part;
        if (done >= max(least, (u64)1) || (part && msg->flags & MSG_PEEK))
            break;
        if (part)
            continue;
        if (done && (tcp_at_end(c) || msg->flags & MSG_DONTWAIT || sock->error))
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

/* What recv_one() takes: all that is there, in the first packet's linear part. The queue's head is
 * the caller's. NULL: it is not so. */
static inline struct pkt *only_packet(struct tcp_conn *c, u64 room, u32 *n)
{
    *n = tcp_available(c);
    if (!*n || *n > room || c->urgent_valid || c->fin_rcvd)
        return NULL;
    struct pkt *pkt = list_first(&c->recvq.pkts, struct pkt, node);
    return pkt->seq == c->copied && pkt->total == *n && pkt->len == *n ? pkt : NULL;
}

/* One small packet is there and fits the program's buffer: most. Bytes, or 0: it is not so. */
static inline ssize_t recv_one(struct tcp_conn *c, struct sock_msg *msg)
{
    enum { OTHERWISE = MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_ERRQUEUE };
    u32 n, done = 0;

    if (unlikely(msg->flags & OTHERWISE || c->sock->options.recv_low > 1 || !tcp_recvq_claim(c)))
        return 0;
    struct pkt *pkt = only_packet(c, msg->data->left, &n);
    if (likely(pkt))
        done = (u32)iter_write(msg->data, pkt->data, n);
    if (unlikely(!pkt || done < n)) {
        iter_revert(msg->data, done);
        end_reading(c);
        return 0;
    }
    struct shard *shard = tcp_conn_lock_quick(c);
    __atomic_store_n(&c->copied, c->copied + n, __ATOMIC_RELEASE);
    list_remove(&pkt->node);
    tcp_uncharge(c, pkt);
    pkt_free(pkt);
    tcp_receive_taken(c);
    end_reading(c);
    shard_unlock(shard);
    return n;
}

ssize_t tcp_stream_recv(struct socket *sock, struct sock_msg *msg)
{
    struct tcp_conn *c = tcp_conn_of(sock);
    ssize_t quick = recv_one(c, msg);

    if (likely(quick))
        return quick;
    return recv_any(sock, msg);
}
