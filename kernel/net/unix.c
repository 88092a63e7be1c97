/* AF_UNIX sockets: life, connections, readiness.  See unix(7) and, for what it leaves open, the
 * behaviour of Linux 6.1. */
#include "net/unix_priv.h"

#include "core/panic.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"

struct spinlock unix_lock;
struct list_head unix_all = LIST_INIT(unix_all);
const struct unix_files *unix_files;
static u32 nr_sockets; /* [T] */

struct ucred_abi unix_own_cred(void)
{
    const struct process *process = current_process();

    return (struct ucred_abi){process->pid, process->creds.euid, process->creds.egid};
}

/* ---- life ---- */

static bool relay_wake(struct wait_entry *entry, u32 events)
{
    struct unix_sock *u = container_of(entry, struct unix_sock, relay);

    unix_wake(u, events);
    return false;
}

static struct unix_sock *unix_sock_create(int type)
{
    struct unix_sock *u = kzalloc(sizeof(*u));

    if (!u)
        return NULL;
    ref_init(&u->refs);
    u->type = type;
    u->backlog = UNIX_DGRAM_BACKLOG;
    spin_init(&u->lock);
    list_init(&u->name_node);
    list_init(&u->queue);
    list_init(&u->accept_node);
    mutex_init(&u->read_lock);
    waitq_init(&u->peer_wait);
    list_init(&u->relay.node);
    u->relay.wake = relay_wake;
    u->cred = unix_own_cred();
    u->peer_cred = (struct ucred_abi){0, UINT32_MAX, UINT32_MAX};
    spin_lock(&unix_lock);
    list_add_tail(&unix_all, &u->all_node);
    nr_sockets++;
    spin_unlock(&unix_lock);
    return u;
}

void unix_put(struct unix_sock *u)
{
    if (!ref_put(&u->refs))
        return;
    unix_name_put(u->name);
    kfree(u);
}

static int unix_create(struct socket *sock)
{
    struct unix_sock *u = unix_sock_create(sock->type);

    if (!u)
        return -ENOMEM;
    u->sock = sock;
    sock->data = u;
    return 0;
}

void unix_wake_locked(struct unix_sock *u, u32 events)
{
    if (likely(u->sock != NULL))
        waitq_wake_all(&u->sock->waitq, events);
}

void unix_wake(struct unix_sock *u, u32 events)
{
    spin_lock(&u->lock);
    unix_wake_locked(u, events);
    spin_unlock(&u->lock);
}

struct unix_sock *unix_peer_get(struct unix_sock *u)
{
    spin_lock(&u->lock);
    struct unix_sock *peer = u->peer;
    if (peer)
        unix_get(peer);
    spin_unlock(&u->lock);
    return peer;
}

void unix_set_relay(struct unix_sock *u, struct unix_sock *from, struct unix_sock *to)
{
    if (from)
        waitq_remove(&from->peer_wait, &u->relay);
    if (to)
        waitq_add(&to->peer_wait, &u->relay);
}

/* Our side of a connection is gone: the other end has been hung up. @reset: data were lost. */
static void hang_up(struct unix_sock *peer, bool reset)
{
    spin_lock(&peer->lock);
    __atomic_store_n(&peer->shutdown, UNIX_SHUT, __ATOMIC_RELEASE);
    if (reset && peer->sock)
        sock_set_error(peer->sock, ECONNRESET);
    else if (reset)
        peer->pending_error = ECONNRESET;
    unix_wake_locked(peer, POLLIN | POLLRDNORM | POLLOUT | POLLHUP | POLLRDHUP |
                               (reset ? (u32)POLLERR : 0));
    spin_unlock(&peer->lock);
}

static void release(struct unix_sock *u, bool embryo);

/* Free what nobody will receive any more. */
static void drop_queue(struct list_head *queue, bool listener)
{
    while (!list_empty(queue)) {
        if (listener) {
            struct unix_sock *embryo = list_first(queue, struct unix_sock, accept_node);
            list_remove(&embryo->accept_node);
            release(embryo, true);
        } else {
            struct unix_msg *msg = list_first(queue, struct unix_msg, node);
            list_remove(&msg->node);
            unix_msg_free(msg);
        }
    }
}

/* Take everything out of @u that others could find. The queue's contents go to @queue. */
static struct unix_sock *unlink_sock(struct unix_sock *u, struct list_head *queue, bool *listener)
{
    spin_lock(&unix_lock);
    list_remove(&u->all_node);
    nr_sockets--;
    unix_unhash_locked(u);
    *listener = u->state == UNIX_LISTENING;
    __atomic_store_n(&u->state, UNIX_FREE, __ATOMIC_RELEASE);
    spin_lock(&u->lock);
    u->sock = NULL;
    u->closed = true;
    u->shutdown = UNIX_SHUT;
    struct unix_sock *peer = u->peer;
    u->peer = NULL;
    if (!list_empty(&u->queue)) {
        list_add(&u->queue, queue);
        list_remove(&u->queue);
    }
    u->nr_queued = 0;
    spin_unlock(&u->lock);
    spin_unlock(&unix_lock);
    return peer;
}

static void release(struct unix_sock *u, bool embryo)
{
    struct list_head queue = LIST_INIT(queue);
    bool listener;
    struct unix_sock *peer = unlink_sock(u, &queue, &listener);
    bool lost = embryo || !list_empty(&queue);

    waitq_wake_all(&u->peer_wait, POLLOUT | POLLWRNORM | POLLWRBAND);
    if (peer && u->type != SOCK_DGRAM)
        hang_up(peer, lost);
    else if (peer)
        unix_set_relay(u, peer, NULL);
    if (peer)
        unix_put(peer);
    drop_queue(&queue, listener);
    unix_put(u);
}

static void unix_close(struct socket *sock)
{
    release(unix_of(sock), false);
    unix_collect();
}

/* ---- connections ---- */

/* Two fresh ends know each other. unix_lock held. */
static void join_locked(struct unix_sock *a, struct unix_sock *b)
{
    unix_get(a);
    unix_get(b);
    a->peer = b;
    b->peer = a;
    a->peer_cred = b->cred;
    b->peer_cred = a->cred;
    if (a->type == SOCK_DGRAM)
        return;
    a->state = UNIX_CONNECTED;
    b->state = UNIX_CONNECTED;
}

static int unix_pair(struct socket *a, struct socket *b)
{
    spin_lock(&unix_lock);
    join_locked(unix_of(a), unix_of(b));
    spin_unlock(&unix_lock);
    if (a->type == SOCK_DGRAM) {
        unix_set_relay(unix_of(a), NULL, unix_of(b));
        unix_set_relay(unix_of(b), NULL, unix_of(a));
    }
    return 0;
}

static int unix_listen(struct socket *sock, int backlog)
{
    struct unix_sock *u = unix_of(sock);
    int err = 0;

    if (!u->name)
        return -EINVAL;
    spin_lock(&unix_lock);
    if (u->state == UNIX_CONNECTED) {
        err = -EINVAL;
    } else {
        __atomic_store_n(&u->state, UNIX_LISTENING, __ATOMIC_RELEASE);
        __atomic_store_n(&u->backlog, min((u32)backlog, (u32)SOMAXCONN), __ATOMIC_RELAXED);
        u->cred = unix_own_cred();
    }
    spin_unlock(&unix_lock);
    waitq_wake_all(&u->peer_wait, POLLOUT); /* the queue may have become longer */
    return err;
}

/* Put @embryo, the far end of @u, into the queue of @listener. 0, 1 (it is full) or an errno. */
static int queue_embryo(struct unix_sock *u, struct unix_sock *listener, struct unix_sock *embryo)
{
    int err = 0;

    spin_lock(&unix_lock);
    if (u->state != UNIX_FREE)
        err = u->state == UNIX_CONNECTED ? -EISCONN : -EINVAL;
    else if (listener->state != UNIX_LISTENING || listener->shutdown & UNIX_NO_RECV)
        err = -ECONNREFUSED;
    else if (unix_is_full(listener))
        err = 1;
    if (!err) {
        embryo->cred = listener->cred;
        u->cred = unix_own_cred();
        join_locked(u, embryo);
        embryo->name = listener->name;
        ref_get(&embryo->name->refs);
        spin_lock(&listener->lock);
        list_add_tail(&listener->queue, &embryo->accept_node);
        __atomic_store_n(&listener->nr_queued, listener->nr_queued + 1, __ATOMIC_RELEASE);
        unix_wake_locked(listener, POLLIN | POLLRDNORM);
        spin_unlock(&listener->lock);
    }
    spin_unlock(&unix_lock);
    return err;
}

static bool may_connect(struct unix_sock *listener)
{
    return !unix_is_full(listener) ||
           __atomic_load_n(&listener->state, __ATOMIC_ACQUIRE) != UNIX_LISTENING ||
           __atomic_load_n(&listener->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_RECV;
}

static int wait_for_listener(struct socket *sock, struct unix_sock *listener, u64 deadline_ns)
{
    if (sock_is_nonblocking(sock))
        return -EAGAIN;
    int err = wait_event(&listener->peer_wait, may_connect(listener), true, deadline_ns);
    return err ? sock_wait_error(err, sock->options.send_timeout_ns) : 0;
}

int unix_stream_connect(struct socket *sock, const struct sock_addr *addr)
{
    u64 deadline_ns = sock_deadline(sock->options.send_timeout_ns);
    struct unix_sock *u = unix_of(sock), *listener;
    int err = 0;

    if (sock->options.passcred && !u->name)
        err = unix_autobind(u);
    if (err)
        return err;
    struct unix_sock *embryo = unix_sock_create(sock->type);
    if (!embryo)
        return -ENOMEM;
    do {
        err = unix_lookup(addr, sock->type, &listener);
        if (err)
            break;
        err = queue_embryo(u, listener, embryo);
        if (err == 1) {
            err = wait_for_listener(sock, listener, deadline_ns);
            err = err ? err : 1;
        }
        unix_put(listener);
    } while (err == 1);
    if (err)
        release(embryo, false);
    else
        unix_wake(u, POLLOUT | POLLWRNORM);
    return err;
}

static bool may_accept(struct unix_sock *u)
{
    return __atomic_load_n(&u->nr_queued, __ATOMIC_ACQUIRE) ||
           __atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE) & UNIX_NO_RECV;
}

static struct unix_sock *take_embryo(struct unix_sock *u)
{
    struct unix_sock *embryo = NULL;

    spin_lock(&u->lock);
    if (!list_empty(&u->queue)) {
        embryo = list_first(&u->queue, struct unix_sock, accept_node);
        list_remove(&embryo->accept_node);
        __atomic_store_n(&u->nr_queued, u->nr_queued - 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&u->lock);
    return embryo;
}

static int unix_accept(struct socket *sock, struct socket *fresh)
{
    struct unix_sock *u = unix_of(sock), *embryo;
    u64 timeout_ns = sock->options.recv_timeout_ns, deadline_ns = sock_deadline(timeout_ns);

    if (u->state != UNIX_LISTENING)
        return -EINVAL;
    while (!(embryo = take_embryo(u))) {
        if (u->shutdown & UNIX_NO_RECV)
            return -EINVAL;
        if (sock_is_nonblocking(sock))
            return -EAGAIN;
        int err = wait_event(&sock->waitq, may_accept(u), true, deadline_ns);
        if (err)
            return sock_wait_error(err, timeout_ns);
    }
    waitq_wake_all(&u->peer_wait, POLLOUT | POLLWRNORM | POLLWRBAND);
    fresh->data = embryo;
    spin_lock(&embryo->lock);
    embryo->sock = fresh;
    fresh->error = embryo->pending_error;
    spin_unlock(&embryo->lock);
    fresh->options.passcred = sock->options.passcred;
    return 0;
}

static void shut(struct unix_sock *u, u32 how)
{
    spin_lock(&u->lock);
    __atomic_store_n(&u->shutdown, u->shutdown | how, __ATOMIC_RELEASE);
    u32 events = POLLIN | POLLRDNORM | POLLRDHUP | POLLOUT | POLLWRNORM;
    unix_wake_locked(u, u->shutdown == UNIX_SHUT ? events | POLLHUP : events);
    spin_unlock(&u->lock);
}

static int unix_shutdown(struct socket *sock, int how)
{
    struct unix_sock *u = unix_of(sock), *peer = unix_peer_get(u);
    u32 mode = (u32)how + 1; /* SHUT_RD is 0 */

    shut(u, mode);
    if (mode & UNIX_NO_RECV)
        waitq_wake_all(&u->peer_wait, POLLOUT);
    if (!peer)
        return 0;
    if (u->type != SOCK_DGRAM)
        shut(peer,
             (mode & UNIX_NO_RECV ? UNIX_NO_SEND : 0) | (mode & UNIX_NO_SEND ? UNIX_NO_RECV : 0));
    unix_put(peer);
    return 0;
}

/* ---- what is asked of them ---- */

static int unix_get_name(struct socket *sock, struct sock_addr *out, bool peer)
{
    struct unix_sock *u = unix_of(sock);

    if (!peer) {
        unix_show_name(u, out);
        return 0;
    }
    u = unix_peer_get(u);
    if (!u)
        return -ENOTCONN;
    unix_show_name(u, out);
    unix_put(u);
    return 0;
}

/* A datagram socket connected to one that is not connected back waits for room there. */
static bool peer_has_room(struct unix_sock *u)
{
    bool room = true;

    spin_lock(&u->lock);
    if (u->peer && u->peer->peer != u)
        room = !unix_is_full(u->peer);
    spin_unlock(&u->lock);
    return room;
}

static u32 unix_ready(struct socket *sock)
{
    struct unix_sock *u = unix_of(sock);
    u32 shutdown = __atomic_load_n(&u->shutdown, __ATOMIC_ACQUIRE), state = u->state, mask = 0;

    if (__atomic_load_n(&sock->error, __ATOMIC_RELAXED))
        mask |= POLLERR;
    if (shutdown == UNIX_SHUT)
        mask |= POLLHUP;
    if (shutdown & UNIX_NO_RECV)
        mask |= POLLRDHUP | POLLIN | POLLRDNORM;
    if (__atomic_load_n(&u->nr_queued, __ATOMIC_ACQUIRE))
        mask |= POLLIN | POLLRDNORM;
    if (u->type != SOCK_DGRAM && state == UNIX_FREE)
        mask |= POLLHUP;
    if (state != UNIX_LISTENING &&
        __atomic_load_n(&u->charged, __ATOMIC_ACQUIRE) <= unix_send_limit(sock) / 4 &&
        (u->type == SOCK_STREAM || peer_has_room(u)))
        mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
    return mask;
}

static int unix_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    if (name != SO_PEERCRED)
        return -ENOPROTOOPT;
    *len = min(*len, (u32)sizeof(struct ucred_abi));
    memcpy(value, &unix_of(sock)->peer_cred, *len);
    return 0;
}

static int unix_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    (void)sock, (void)value, (void)len;
    if (level != SOL_SOCKET)
        return -EOPNOTSUPP;
    return name == SO_REUSEPORT ? -EOPNOTSUPP : -ENOPROTOOPT;
}

/* Bytes to read now: of a stream all, else of the first message. */
static int bytes_queued(struct unix_sock *u)
{
    int n = 0;

    spin_lock(&u->lock);
    if (u->type == SOCK_STREAM)
        n = (int)u->queued_bytes;
    else if (!list_empty(&u->queue))
        n = (int)list_first(&u->queue, struct unix_msg, node)->len;
    spin_unlock(&u->lock);
    return n;
}

static int unix_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    struct unix_sock *u = unix_of(sock);
    int n;

    switch (cmd) {
    case SIOCINQ:
        if (u->state == UNIX_LISTENING)
            return -EINVAL;
        n = bytes_queued(u);
        break;
    case SIOCOUTQ:
        n = (int)__atomic_load_n(&u->charged, __ATOMIC_RELAXED);
        break;
    case SIOCATMARK:
        n = 0;
        break;
    default:
        return -ENOTTY;
    }
    return copy_to_user(arg, &n, sizeof(n));
}

/* ---- for /proc ---- */

enum { SS_UNCONNECTED = 1, SS_CONNECTED = 3, SO_ACCEPTCON = 0x10000 };

static void describe(struct unix_sock *u, struct unix_info *info)
{
    bool listens = u->state == UNIX_LISTENING;

    *info = (struct unix_info){.id = u, .refs = ref_count(&u->refs), .type = (u32)u->type};
    info->flags = listens ? SO_ACCEPTCON : 0;
    info->state = u->state == UNIX_CONNECTED ? SS_CONNECTED : SS_UNCONNECTED;
    spin_lock(&u->lock);
    info->ino = u->sock ? u->sock->ino : 0;
    info->recv_queue = listens ? u->nr_queued : (u32)u->queued_bytes;
    spin_unlock(&u->lock);
    info->send_queue = listens ? u->backlog : __atomic_load_n(&u->charged, __ATOMIC_RELAXED);
    if (u->peer) {
        spin_lock(&u->peer->lock);
        info->peer_ino = u->peer->sock ? u->peer->sock->ino : 0;
        spin_unlock(&u->peer->lock);
    }
    unix_show_name(u, &info->name);
}

int unix_for_each(int (*fn)(const struct unix_info *info, void *arg), void *arg)
{
    struct unix_info info;
    struct unix_sock *u;
    int stop = 0;

    spin_lock(&unix_lock);
    list_for_each(u, &unix_all, all_node) {
        describe(u, &info);
        stop = fn(&info, arg);
        if (stop)
            break;
    }
    spin_unlock(&unix_lock);
    return stop;
}

u32 unix_count(void)
{
    return __atomic_load_n(&nr_sockets, __ATOMIC_RELAXED);
}

#define UNIX_COMMON                                                                                \
    .family = AF_UNIX, .protocol = AF_UNIX, .create = unix_create, .close = unix_close,            \
    .bind = unix_bind, .pair = unix_pair, .shutdown = unix_shutdown, .name = unix_get_name,        \
    .ready = unix_ready, .getopt = unix_getopt, .setopt = unix_setopt, .ioctl = unix_ioctl

static const struct proto_ops stream_ops = {
    UNIX_COMMON,
    .type = SOCK_STREAM,
    .connect = unix_stream_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .send = unix_stream_send,
    .recv = unix_stream_recv,
};

static const struct proto_ops dgram_ops = {
    UNIX_COMMON,
    .type = SOCK_DGRAM,
    .connect = unix_dgram_connect,
    .send = unix_dgram_send,
    .recv = unix_dgram_recv,
};

static const struct proto_ops seqpacket_ops = {
    UNIX_COMMON,
    .type = SOCK_SEQPACKET,
    .connect = unix_stream_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .send = unix_seqpacket_send,
    .recv = unix_seqpacket_recv,
};

void unix_init(const struct unix_files *files)
{
    unix_files = files;
    proto_register(&stream_ops);
    proto_register(&dgram_ops);
    proto_register(&seqpacket_ops);
}
