/* Bytes between AF_UNIX stream sockets. */
#include "net/unix_priv.h"

#include "mm/heap.h"

enum { PIECE_MAX = 16000 }; /* of a long write: what lies in one block of memory */

/* Queue one piece at @peer. 0 or -EPIPE. Takes @msg on success. */
static int deliver(struct unix_sock *peer, struct unix_msg *msg, struct unix_send *send)
{
    bool files = unlikely(send->scm != NULL);
    int err = 0;

    msg->cred = send->cred;
    if (files)
        spin_lock(&unix_lock);
    spin_lock(&peer->lock);
    if (unlikely(peer->closed || peer->shutdown & UNIX_NO_RECV)) {
        err = -EPIPE;
    } else {
        if (files)
            unix_scm_attach_locked(msg, send);
        unix_enqueue_locked(peer, msg);
    }
    spin_unlock(&peer->lock);
    if (files)
        spin_unlock(&unix_lock);
    return err;
}

static ssize_t send_pieces(struct socket *sock, struct sock_msg *msg, struct unix_send *send)
{
    struct unix_sock *u = unix_of(sock), *peer = u->peer; /* it stays until we close */
    struct iov_iter *from = msg->data;
    ssize_t sent = 0;

    while (from->left) {
        struct unix_msg *piece;
        u32 n = (u32)min(from->left, (u64)PIECE_MAX);
        int err = unix_wait_room(sock, msg->flags);
        if (!err)
            err = unix_msg_create(u, from, n, &piece);
        if (!err) {
            err = deliver(peer, piece, send);
            if (err)
                unix_msg_free(piece);
        }
        if (err)
            return sent ? sent : err;
        sent += n;
    }
    return sent;
}

ssize_t unix_stream_send(struct socket *sock, struct sock_msg *msg)
{
    struct unix_send send;

    if (unlikely(msg->flags & MSG_OOB))
        return -EOPNOTSUPP;
    bool connected = __atomic_load_n(&unix_of(sock)->state, __ATOMIC_ACQUIRE) == UNIX_CONNECTED;
    if (unlikely(msg->addr != NULL))
        return connected ? -EISCONN : -EOPNOTSUPP;
    if (unlikely(!connected))
        return -ENOTCONN;
    int err = unix_send_begin(msg, &send);
    if (unlikely(err))
        return err;
    ssize_t n = send_pieces(sock, msg, &send);
    unix_send_end(&send);
    return n;
}

/* Where a reader is in its call. */
struct reader {
    struct socket *sock;
    struct sock_msg *msg;
    struct unix_msg *piece; /* the one being looked at */
    u64 done, want;         /* bytes; at least .want before the call is over */
    u32 peeked;             /* pieces to skip, where MSG_PEEK has seen them */
    bool have_cred;
    struct ucred_abi cred;
};

/* Bytes of different senders stay apart where the reader wants to know them. */
static bool is_other_sender(struct reader *r)
{
    if (likely(!r->sock->options.passcred))
        return false;
    if (!r->have_cred) {
        r->cred = r->piece->cred;
        r->have_cred = true;
        return false;
    }
    const struct ucred_abi *c = &r->piece->cred;
    return c->pid != r->cred.pid || c->uid != r->cred.uid || c->gid != r->cred.gid;
}

/* The piece to read next. read_lock held. */
static struct unix_msg *next_piece(struct reader *r)
{
    struct unix_sock *u = unix_of(r->sock);
    struct unix_msg *piece = unix_first(u);

    if (likely(!r->peeked) || !piece)
        return piece;
    spin_lock(&u->lock);
    for (u32 i = 0; i < r->peeked && &piece->node != &u->queue; i++)
        piece = list_first(&piece->node, struct unix_msg, node);
    if (&piece->node == &u->queue)
        piece = NULL;
    spin_unlock(&u->lock);
    return piece;
}

/* @n bytes of the piece are used up. */
static void consume(struct unix_sock *u, struct unix_msg *piece, u32 n)
{
    spin_lock(&u->lock);
    piece->used += n;
    u->queued_bytes -= n;
    bool empty = piece->used == piece->len;
    if (likely(empty)) {
        list_remove(&piece->node);
        __atomic_store_n(&u->nr_queued, u->nr_queued - 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&u->lock);
    if (likely(empty))
        unix_msg_free(piece);
}

/* Read of one piece. 1: go on, 0: the call is over, or -EFAULT. */
static int read_piece(struct reader *r)
{
    struct unix_sock *u = unix_of(r->sock);
    bool peek = r->msg->flags & MSG_PEEK, files = r->piece->scm != NULL;
    struct unix_msg *piece = r->piece;

    if (is_other_sender(r))
        return 0;
    if (r->msg->addr && !r->msg->addr->len)
        unix_show_sender(piece->from, r->msg->addr);
    size_t want = min((u64)(piece->len - piece->used), r->msg->data->left);
    size_t got = unix_msg_copy_out(piece, piece->used, want, r->msg->data);
    r->done += got;
    if (unlikely(!got && want))
        return -EFAULT;
    if (unlikely(files || (r->done == got && r->sock->options.passcred)))
        unix_recv_control(r->sock, r->msg, piece, peek);
    bool whole = piece->used + got == piece->len;
    if (peek)
        r->peeked++;
    else
        consume(u, piece, (u32)got);
    return whole && !files && got == want;
}

/* Nothing is there. 1: look again, 0: the call is over, or a negative errno. read_lock held. */
static int wait_for_piece(struct reader *r)
{
    struct unix_sock *u = unix_of(r->sock);

    if (r->done >= r->want)
        return 0;
    int err = sock_take_error(r->sock);
    if (err)
        return err;
    if (__atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_RECV)
        return unix_first(u) && !r->peeked; /* it came just before the end */
    if (r->peeked)
        return 0; /* what is there already has been seen, and waiting would find it again */
    mutex_unlock(&u->read_lock);
    err = unix_wait_message(r->sock, r->msg->flags);
    mutex_lock(&u->read_lock);
    return err ? err : 1;
}

ssize_t unix_stream_recv(struct socket *sock, struct sock_msg *msg)
{
    struct unix_sock *u = unix_of(sock);
    struct reader r = {.sock = sock, .msg = msg};
    int go = 1;

    if (unlikely(msg->flags & MSG_OOB))
        return -EOPNOTSUPP;
    if (unlikely(__atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED))
        return -EINVAL;
    r.want = msg->flags & MSG_WAITALL ? msg->data->left
                                      : min((u64)sock->options.recv_low, msg->data->left);
    r.want = max(r.want, (u64)1);
    if (msg->addr)
        msg->addr->len = 0;
    mutex_lock(&u->read_lock);
    while (go > 0) {
        r.piece = next_piece(&r);
        go = likely(r.piece != NULL) ? read_piece(&r) : wait_for_piece(&r);
        if (!msg->data->left)
            break;
    }
    mutex_unlock(&u->read_lock);
    return r.done ? (ssize_t)r.done : min(go, 0);
}
