/* Messages between AF_UNIX datagram and seqpacket sockets. */
#include "net/unix_priv.h"

#include "lib/string.h"
#include "mm/heap.h"

/* ---- who the peer is ---- */

static struct mutex connect_lock = {.waiters = LIST_INIT(connect_lock.waiters)}; /* one at a time */

/* @u no longer has the peer it had, but @new (NULL: none), whose reference is taken. */
static void replace_peer(struct unix_sock *u, struct unix_sock *new)
{
    mutex_lock(&connect_lock);
    spin_lock(&unix_lock);
    spin_lock(&u->lock);
    struct unix_sock *old = u->peer;
    u->peer = new;
    spin_unlock(&u->lock);
    spin_unlock(&unix_lock);
    unix_set_relay(u, old, new);
    mutex_unlock(&connect_lock);
    if (!old)
        return;
    spin_lock(&old->lock);
    if (old != new && old->peer == u && old->sock) {
        sock_set_error(old->sock, ECONNRESET);
        unix_wake_locked(old, POLLERR);
    }
    spin_unlock(&old->lock);
    unix_put(old);
}

void unix_disconnect(struct unix_sock *u, struct unix_sock *peer)
{
    if (__atomic_load_n(&u->peer, __ATOMIC_ACQUIRE) == peer)
        replace_peer(u, NULL);
}

int unix_dgram_connect(struct socket *sock, const struct sock_addr *addr)
{
    struct unix_sock *u = unix_of(sock), *peer = NULL;
    int err = 0;

    if (addr->len >= sizeof(addr->family) && addr->family == AF_UNSPEC) {
        replace_peer(u, NULL);
        return 0;
    }
    if (sock->options.passcred && !u->name)
        err = unix_autobind(u);
    if (!err)
        err = unix_lookup(addr, sock->type, &peer);
    if (err)
        return err;
    struct unix_sock *theirs = __atomic_load_n(&peer->peer, __ATOMIC_ACQUIRE);
    if (theirs && theirs != u) {
        unix_put(peer);
        return -EPERM;
    }
    u->peer_cred = peer->cred;
    replace_peer(u, peer);
    unix_wake(u, POLLOUT | POLLWRNORM);
    return 0;
}

/* ---- sending ---- */

/* May @u's datagram go into @to's queue? 0, 1 (no room now) or a negative errno. @to locked. */
static int check_delivery(const struct unix_sock *u, const struct unix_sock *to)
{
    if (u->type == SOCK_DGRAM && to->peer && to->peer != u)
        return -EPERM;
    if (unlikely(to->closed))
        return u->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
    if (to->shutdown & UNIX_NO_RECV)
        return -EPIPE;
    return to != u && to->peer != u && unix_is_full(to);
}

static int deliver(struct unix_sock *u, struct unix_sock *to, struct unix_msg *msg,
                   struct unix_send *send)
{
    bool files = unlikely(send->scm != NULL);

    msg->cred = send->cred;
    if (files)
        spin_lock(&unix_lock);
    spin_lock(&to->lock);
    int err = check_delivery(u, to);
    if (!err) {
        if (files)
            unix_scm_attach_locked(msg, send);
        unix_enqueue_locked(to, msg);
    }
    spin_unlock(&to->lock);
    if (files)
        spin_unlock(&unix_lock);
    return err;
}

static bool may_deliver(struct unix_sock *u, struct unix_sock *to)
{
    return !unix_is_full(to) || __atomic_load_n(&to->closed, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&to->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_RECV ||
           __atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_SEND;
}

static int deliver_waiting(struct socket *sock, struct unix_sock *to, struct unix_msg *msg,
                           struct unix_send *send, u32 flags)
{
    struct unix_sock *u = unix_of(sock);
    u64 timeout_ns = sock->options.send_timeout_ns, deadline_ns = 0;
    int err;

    while ((err = deliver(u, to, msg, send)) == 1) {
        if (flags & MSG_DONTWAIT)
            return -EAGAIN;
        deadline_ns = deadline_ns ? deadline_ns : sock_deadline(timeout_ns);
        err = wait_event(&to->peer_wait, may_deliver(u, to), true, deadline_ns);
        if (err)
            return sock_wait_error(err, timeout_ns);
        if (u->shutdown & UNIX_NO_SEND)
            return -EPIPE;
    }
    return err;
}

/* One message to @to. */
static ssize_t send_to(struct socket *sock, struct unix_sock *to, struct sock_msg *msg)
{
    struct unix_sock *u = unix_of(sock);
    u64 len = msg->data->left;
    struct unix_send send;
    struct unix_msg *out;

    if (unlikely(len + UNIX_OVERHEAD > unix_send_limit(sock)))
        return -EMSGSIZE;
    if (unlikely(to == &unix_log)) {
        int failed = unix_files->log(msg->data, (u32)len, !(msg->flags & MSG_DONTWAIT));
        return failed ? failed : (ssize_t)len;
    }
    int err = unix_send_begin(msg, &send);
    if (unlikely(err))
        return err;
    err = unix_wait_room(sock, msg->flags);
    if (!err)
        err = unix_msg_create(u, msg->data, (u32)len, &out);
    if (!err) {
        err = deliver_waiting(sock, to, out, &send, msg->flags);
        if (err)
            unix_msg_free(out);
    }
    unix_send_end(&send);
    if (err == -ECONNREFUSED)
        unix_disconnect(u, to);
    return err ? err : (ssize_t)len;
}

ssize_t unix_dgram_send(struct socket *sock, struct sock_msg *msg)
{
    struct unix_sock *u = unix_of(sock), *to;
    int err = 0;

    if (unlikely(msg->flags & MSG_OOB))
        return -EOPNOTSUPP;
    if (unlikely(sock->options.passcred && !u->name))
        err = unix_autobind(u);
    if (err)
        return err;
    if (msg->addr)
        err = unix_lookup(msg->addr, sock->type, &to);
    else if (!(to = unix_peer_get(u)))
        err = -ENOTCONN;
    if (err)
        return err;
    ssize_t n = send_to(sock, to, msg);
    unix_put(to);
    return n;
}

ssize_t unix_seqpacket_send(struct socket *sock, struct sock_msg *msg)
{
    struct unix_sock *u = unix_of(sock);

    if (unlikely(msg->flags & MSG_OOB))
        return -EOPNOTSUPP;
    int err = sock_take_error(sock);
    if (err)
        return err;
    if (__atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED)
        return -ENOTCONN;
    return send_to(sock, u->peer, msg); /* it stays until we close */
}

/* ---- receiving ---- */

/* The first message, waiting for it. 0 and *@out, NULL for the end. read_lock held. */
static int wait_first(struct socket *sock, u32 flags, struct unix_msg **out)
{
    struct unix_sock *u = unix_of(sock);
    int err = 0;

    while (!err && !(*out = unix_first(u))) {
        err = sock_take_error(sock);
        if (err)
            break;
        if (__atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_RECV &&
            (u->type == SOCK_SEQPACKET || !(flags & MSG_DONTWAIT)))
            break;
        mutex_unlock(&u->read_lock);
        err = unix_wait_message(sock, flags);
        mutex_lock(&u->read_lock);
    }
    return err;
}

static ssize_t read_message(struct socket *sock, struct sock_msg *msg, struct unix_msg *in)
{
    size_t n = min((u64)in->len, msg->data->left);

    if (msg->addr)
        unix_show_sender(in->from, msg->addr);
    if (n < in->len)
        msg->out_flags |= MSG_TRUNC;
    if (unix_msg_copy_out(in, 0, n, msg->data) < n)
        return -EFAULT;
    if (unlikely(in->scm || sock->options.passcred || sock->options.timestamp)) {
        sock_put_timestamp(sock, msg, 0);
        unix_recv_control(sock, msg, in, msg->flags & MSG_PEEK);
    }
    return msg->flags & MSG_TRUNC ? (ssize_t)in->len : (ssize_t)n;
}

ssize_t unix_dgram_recv(struct socket *sock, struct sock_msg *msg)
{
    struct unix_sock *u = unix_of(sock);
    struct unix_msg *in = NULL;
    ssize_t n = 0;

    if (unlikely(msg->flags & MSG_OOB))
        return -EOPNOTSUPP;
    if (msg->addr)
        msg->addr->len = 0;
    mutex_lock(&u->read_lock);
    int err = wait_first(sock, msg->flags, &in);
    if (!err && in) {
        n = read_message(sock, msg, in);
        if (!(msg->flags & MSG_PEEK))
            unix_dequeue(u, in);
    }
    mutex_unlock(&u->read_lock);
    if (err || !in || msg->flags & MSG_PEEK)
        return err ? err : n;
    unix_msg_free(in);
    waitq_wake_all(&u->peer_wait, POLLOUT | POLLWRNORM | POLLWRBAND);
    return n;
}

ssize_t unix_seqpacket_recv(struct socket *sock, struct sock_msg *msg)
{
    if (__atomic_load_n(&unix_of(sock)->state, __ATOMIC_ACQUIRE) != UNIX_CONNECTED)
        return -ENOTCONN;
    return unix_dgram_recv(sock, msg);
}
