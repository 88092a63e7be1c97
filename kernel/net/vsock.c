/* AF_VSOCK sockets: the operations.  vsock(7). */
#include "abi/vsock.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/vsock_priv.h"

enum {
    PIECE_MAX = 32 << 10, /* of a long write */
    BUFFER_LEAST = 4096,
    BUFFER_MOST = 256 << 10,
};

static struct vsock *vsock_of(const struct socket *sock)
{
    return sock->data;
}

static int vsock_create(struct socket *sock)
{
    struct vsock *v = vsock_alloc();

    if (!v)
        return -ENOMEM;
    v->sock = sock;
    sock->data = v;
    return 0;
}

/* Say goodbye: with unread bytes the peer learns that they were lost. */
static void leave_locked(struct vsock *v)
{
    if (v->state == VSOCK_CONNECTED)
        vsock_send_locked(v, v->queued ? VSOCK_RST : VSOCK_SHUTDOWN, VSOCK_NOTHING, NULL);
    else if (v->state == VSOCK_CONNECTING)
        vsock_send_locked(v, VSOCK_RST, 0, NULL);
    v->state = VSOCK_CLOSED;
    vsock_unbind_locked(v);
}

static struct vsock *next_embryo_locked(struct vsock *listener)
{
    if (list_empty(&listener->accepting))
        return NULL;
    struct vsock *v = list_first(&listener->accepting, struct vsock, accept_node);
    list_remove(&v->accept_node);
    listener->nr_accepting--;
    return v;
}

static void vsock_close(struct socket *sock)
{
    struct vsock *v = vsock_of(sock), *embryo;

    spin_lock(&vsock_lock);
    leave_locked(v);
    v->sock = NULL;
    while ((embryo = next_embryo_locked(v))) {
        vsock_send_locked(embryo, VSOCK_RST, 0, NULL);
        embryo->state = VSOCK_CLOSED;
        vsock_unbind_locked(embryo);
        vsock_free(embryo);
    }
    spin_unlock(&vsock_lock);
    vsock_free(v);
}

static int get_address(const struct sock_addr *addr, struct sockaddr_vm_abi *out)
{
    if (addr->len < sizeof(*out))
        return -EINVAL;
    memcpy(out, addr->bytes, sizeof(*out));
    if (out->family != AF_VSOCK)
        return -EAFNOSUPPORT;
    return 0;
}

static int vsock_bind(struct socket *sock, const struct sock_addr *addr)
{
    struct vsock *v = vsock_of(sock);
    struct sockaddr_vm_abi vm;
    int err = get_address(addr, &vm);

    if (err)
        return err;
    if (vm.cid != VMADDR_CID_ANY && vm.cid != vsock_own_cid(vm.cid))
        return -EADDRNOTAVAIL;
    spin_lock(&vsock_lock);
    err = v->port ? -EINVAL : vsock_bind_locked(v, vm.port);
    spin_unlock(&vsock_lock);
    return err;
}

static int vsock_name(struct socket *sock, struct sock_addr *out, bool peer)
{
    struct vsock *v = vsock_of(sock);
    struct sockaddr_vm_abi vm = {.family = AF_VSOCK};

    spin_lock(&vsock_lock);
    int err = peer && v->state != VSOCK_CONNECTED ? -ENOTCONN : 0;
    if (peer) {
        vm.cid = (u32)v->peer_cid;
        vm.port = v->peer_port;
    } else {
        vm.cid = v->was_connected ? (u32)vsock_own_cid(v->peer_cid) : VMADDR_CID_ANY;
        vm.port = v->port ? v->port : VMADDR_PORT_ANY;
    }
    spin_unlock(&vsock_lock);
    memcpy(out->bytes, &vm, sizeof(vm));
    out->len = sizeof(vm);
    return err;
}

/* ---- connections ---- */

static int start_connect_locked(struct vsock *v, const struct sockaddr_vm_abi *to)
{
    if (v->state != VSOCK_CLOSED)
        return v->state == VSOCK_CONNECTED    ? -EISCONN
               : v->state == VSOCK_CONNECTING ? -EALREADY
                                              : -EINVAL;
    if (v->was_connected)
        return -EINVAL; /* its stream has ended */
    if (!vsock_is_reachable(to->cid))
        return -ENODEV;
    int err = v->port ? 0 : vsock_bind_locked(v, VMADDR_PORT_ANY);
    if (err)
        return err;
    v->peer_cid = to->cid;
    v->peer_port = to->port;
    v->state = VSOCK_CONNECTING;
    vsock_send_locked(v, VSOCK_REQUEST, 0, NULL);
    return 0;
}

static u8 state_of(const struct vsock *v)
{
    return __atomic_load_n(&v->state, __ATOMIC_ACQUIRE);
}

static void give_up_connecting(struct vsock *v)
{
    spin_lock(&vsock_lock);
    if (v->state == VSOCK_CONNECTING) {
        vsock_send_locked(v, VSOCK_RST, 0, NULL);
        v->state = VSOCK_CLOSED;
    }
    spin_unlock(&vsock_lock);
}

static int vsock_connect(struct socket *sock, const struct sock_addr *addr)
{
    struct vsock *v = vsock_of(sock);
    struct sockaddr_vm_abi to;
    int err = get_address(addr, &to);

    if (err)
        return err;
    spin_lock(&vsock_lock);
    err = start_connect_locked(v, &to);
    spin_unlock(&vsock_lock);
    if (err)
        return err;
    if (sock_is_nonblocking(sock))
        return -EINPROGRESS;
    u64 deadline = sock_deadline(v->connect_timeout_ns);
    err = wait_event(&sock->waitq, state_of(v) != VSOCK_CONNECTING, true, deadline);
    if (err) {
        give_up_connecting(v);
        return err == -ETIMEDOUT ? err : -EINTR;
    }
    err = sock_take_error(sock);
    return err ? err : state_of(v) == VSOCK_CONNECTED ? 0 : -ECONNRESET;
}

static int vsock_listen(struct socket *sock, int backlog)
{
    struct vsock *v = vsock_of(sock);

    spin_lock(&vsock_lock);
    int err = !v->port || v->was_connected || v->state == VSOCK_CONNECTING ? -EINVAL : 0;
    if (!err) {
        v->state = VSOCK_LISTENING;
        v->backlog = (u32)max(backlog, 1);
    }
    spin_unlock(&vsock_lock);
    return err;
}

static int vsock_accept(struct socket *sock, struct socket *fresh)
{
    u64 timeout = sock->options.recv_timeout_ns, deadline = sock_deadline(timeout);
    struct vsock *v = vsock_of(sock), *embryo;

    for (;;) {
        if (state_of(v) != VSOCK_LISTENING)
            return -EINVAL;
        spin_lock(&vsock_lock);
        embryo = next_embryo_locked(v);
        if (embryo) {
            embryo->sock = fresh;
            fresh->data = embryo;
        }
        spin_unlock(&vsock_lock);
        if (embryo)
            return 0;
        if (sock_is_nonblocking(sock))
            return -EAGAIN;
        int err = wait_event(&sock->waitq, !list_empty(&v->accepting), true, deadline);
        if (err)
            return sock_wait_error(err, timeout);
    }
}

static int vsock_shutdown(struct socket *sock, int how)
{
    static const u8 bits[] = {
        [SHUT_RD] = VSOCK_NO_RECV, [SHUT_WR] = VSOCK_NO_SEND, [SHUT_RDWR] = VSOCK_NOTHING};
    struct vsock *v = vsock_of(sock);

    spin_lock(&vsock_lock);
    int err = v->state == VSOCK_CONNECTED ? 0 : -ENOTCONN;
    if (!err) {
        v->own_shut |= bits[how];
        vsock_send_locked(v, VSOCK_SHUTDOWN, v->own_shut, NULL);
        vsock_wake_locked(v, POLLIN | POLLOUT | POLLRDHUP);
    }
    spin_unlock(&vsock_lock);
    return err;
}

/* ---- bytes ---- */

/* May it send? 0 or the errno. */
static int check_send_locked(const struct vsock *v)
{
    if (v->state != VSOCK_CONNECTED)
        return v->was_connected ? -EPIPE : -ENOTCONN;
    return v->own_shut & VSOCK_NO_SEND || v->peer_shut & VSOCK_NO_RECV ? -EPIPE : 0;
}

/* How much may go now: 0, while there is reason to wait; or an errno. */
static ssize_t room_to_send(struct vsock *v)
{
    spin_lock(&vsock_lock);
    ssize_t room = check_send_locked(v);
    if (!room)
        room = (ssize_t)vsock_credit_locked(v);
    spin_unlock(&vsock_lock);
    return room;
}

static ssize_t wait_for_room(struct socket *sock, u32 flags)
{
    u64 timeout = sock->options.send_timeout_ns, deadline = sock_deadline(timeout);
    struct vsock *v = vsock_of(sock);
    ssize_t room = room_to_send(v);

    if (room || flags & MSG_DONTWAIT)
        return room ? room : -EAGAIN;
    int err = wait_event(&sock->waitq, (room = room_to_send(v)) != 0, true, deadline);
    return err ? sock_wait_error(err, timeout) : room;
}

/* A piece that there was room for; another writer may have taken the room meanwhile. Takes @pkt.
 * Bytes sent, 0: wait again; or an errno. */
static ssize_t send_piece(struct vsock *v, struct pkt *pkt)
{
    ssize_t n = (ssize_t)pkt->total;

    spin_lock(&vsock_lock);
    ssize_t err = check_send_locked(v);
    if (!err && vsock_credit_locked(v) >= pkt->total) {
        vsock_send_locked(v, VSOCK_RW, 0, pkt);
        pkt = NULL;
    }
    spin_unlock(&vsock_lock);
    if (!pkt)
        return n;
    pkt_free(pkt);
    return err;
}

static ssize_t vsock_send(struct socket *sock, struct sock_msg *msg)
{
    struct vsock *v = vsock_of(sock);
    ssize_t sent = 0, err = 0;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (msg->addr)
        return state_of(v) == VSOCK_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    if (!msg->data->left) {
        spin_lock(&vsock_lock);
        err = check_send_locked(v);
        spin_unlock(&vsock_lock);
    }
    while (msg->data->left && err >= 0) {
        err = wait_for_room(sock, msg->flags);
        if (err < 0)
            break;
        u64 room = min((u64)err, (u64)PIECE_MAX);
        u32 n = (u32)min(room, msg->data->left);
        struct pkt *pkt = pkt_alloc();
        if (!pkt) {
            err = -ENOMEM;
            break;
        }
        err = pkt_from_iter(pkt, msg->data, n);
        if (err) {
            pkt_free(pkt);
            break;
        }
        err = send_piece(v, pkt);
        if (err > 0)
            sent += err;
        else if (!err)
            iter_revert(msg->data, n);
    }
    return sent ? sent : err;
}

/* Tell the peer of the room that reading has made, once that is worth a packet. */
static void return_credit(struct vsock *v, u32 n)
{
    spin_lock(&vsock_lock);
    v->queued -= n;
    v->fwd_cnt += n;
    if (v->state == VSOCK_CONNECTED && v->fwd_cnt - v->told_fwd_cnt >= v->buf_alloc / 4)
        vsock_send_locked(v, VSOCK_CREDIT_UPDATE, 0, NULL);
    spin_unlock(&vsock_lock);
}

static struct pkt *take_first(struct vsock *v)
{
    struct pkt *pkt = NULL;

    spin_lock(&vsock_lock);
    if (!list_empty(&v->queue)) {
        pkt = list_first(&v->queue, struct pkt, node);
        list_remove(&pkt->node);
    }
    spin_unlock(&vsock_lock);
    return pkt;
}

static void put_first(struct vsock *v, struct pkt *pkt)
{
    spin_lock(&vsock_lock);
    list_add(&v->queue, &pkt->node);
    spin_unlock(&vsock_lock);
}

/* Move what is there to the reader. Bytes or -EFAULT. read_lock held. */
static ssize_t read_queue(struct vsock *v, struct sock_msg *msg)
{
    bool peek = msg->flags & MSG_PEEK;
    ssize_t done = 0;
    struct pkt *pkt;

    while (msg->data->left && (pkt = take_first(v))) {
        u32 want = (u32)min(msg->data->left, (u64)pkt->total);
        u32 n = (u32)pkt_to_iter(pkt, 0, want, msg->data);
        done += n;
        if (!peek) {
            (void)pkt_pull(pkt, n); /* it is that long */
            return_credit(v, n);
        }
        if (pkt->total)
            put_first(v, pkt);
        else
            pkt_free(pkt);
        if (n != want)
            return done ? done : -EFAULT;
        if (peek)
            break; /* the first piece */
    }
    return done;
}

static bool is_over(const struct vsock *v)
{
    return v->state != VSOCK_CONNECTED || v->peer_shut & VSOCK_NO_SEND ||
           v->own_shut & VSOCK_NO_RECV;
}

/* Something to read, or nothing will come. */
static bool is_readable(struct vsock *v)
{
    spin_lock(&vsock_lock);
    bool readable = !list_empty(&v->queue) || is_over(v);
    spin_unlock(&vsock_lock);
    return readable;
}

/* One round: bytes, 0 at the end of the stream, -EAGAIN where there are none yet. */
static ssize_t read_once(struct vsock *v, struct sock_msg *msg)
{
    mutex_lock(&v->read_lock);
    ssize_t n = read_queue(v, msg);
    mutex_unlock(&v->read_lock);
    if (n)
        return n;
    if (!v->was_connected)
        return -ENOTCONN;
    return is_readable(v) && list_empty(&v->queue) ? 0 : -EAGAIN;
}

static ssize_t vsock_recv(struct socket *sock, struct sock_msg *msg)
{
    u64 timeout = sock->options.recv_timeout_ns, deadline = sock_deadline(timeout);
    bool all = msg->flags & MSG_WAITALL && !(msg->flags & MSG_PEEK);
    struct vsock *v = vsock_of(sock);
    ssize_t done = 0;

    if (msg->flags & (MSG_OOB | MSG_ERRQUEUE))
        return msg->flags & MSG_OOB ? -EOPNOTSUPP : -EAGAIN;
    if (!msg->data->left)
        return 0;
    for (;;) {
        ssize_t n = read_once(v, msg);
        if (n > 0)
            done += n;
        if (n >= 0 && (!n || !all || !msg->data->left))
            return done;
        if (n < 0 && n != -EAGAIN)
            return done ? done : n;
        if (n > 0)
            continue;
        int err = sock_take_error(sock);
        if (err || msg->flags & MSG_DONTWAIT)
            return done ? done : err ? err : -EAGAIN;
        err = wait_event(&sock->waitq, is_readable(v) || sock->error, true, deadline);
        if (err)
            return done ? done : sock_wait_error(err, timeout);
    }
}

static u32 vsock_ready(struct socket *sock)
{
    struct vsock *v = vsock_of(sock);
    u32 events = 0;

    spin_lock(&vsock_lock);
    if (v->state == VSOCK_LISTENING) {
        events = list_empty(&v->accepting) ? 0 : POLLIN | POLLRDNORM;
    } else if (v->state != VSOCK_CONNECTING) {
        bool over = is_over(v);
        if (!list_empty(&v->queue) || (over && v->was_connected))
            events |= POLLIN | POLLRDNORM;
        if (check_send_locked(v) || vsock_credit_locked(v))
            events |= POLLOUT | POLLWRNORM;
        if (v->peer_shut & VSOCK_NO_SEND)
            events |= POLLRDHUP;
        if (v->state == VSOCK_CLOSED)
            events |= POLLHUP;
    }
    if (sock->error)
        events |= POLLERR;
    spin_unlock(&vsock_lock);
    return events;
}

/* ---- options ---- */

static void set_buffer(struct vsock *v, u64 bytes)
{
    bytes = bytes < BUFFER_LEAST ? BUFFER_LEAST : bytes > BUFFER_MOST ? BUFFER_MOST : bytes;
    spin_lock(&vsock_lock);
    v->buf_alloc = max((u32)bytes, v->queued);
    spin_unlock(&vsock_lock);
}

static int vsock_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct vsock *v = vsock_of(sock);
    u64 number[2];

    if (level != AF_VSOCK)
        return -ENOPROTOOPT;
    if (len < sizeof(number[0]))
        return -EINVAL;
    memcpy(number, value, min(len, (u32)sizeof(number)));
    switch (name) {
    case SO_VM_SOCKETS_BUFFER_SIZE:
        set_buffer(v, number[0]);
        return 0;
    case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
    case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
        return 0; /* ours are fixed */
    case SO_VM_SOCKETS_CONNECT_TIMEOUT:
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
        if (len < sizeof(number) || number[1] >= NSEC_PER_SEC / NSEC_PER_USEC ||
            number[0] > UINT32_MAX)
            return -EINVAL;
        v->connect_timeout_ns = number[0] * NSEC_PER_SEC + number[1] * NSEC_PER_USEC;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int vsock_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    struct vsock *v = vsock_of(sock);
    u64 number[2] = {0};
    u32 size = sizeof(number[0]);

    if (level != AF_VSOCK)
        return -ENOPROTOOPT;
    switch (name) {
    case SO_VM_SOCKETS_BUFFER_SIZE:
        number[0] = v->buf_alloc;
        break;
    case SO_VM_SOCKETS_BUFFER_MIN_SIZE:
        number[0] = BUFFER_LEAST;
        break;
    case SO_VM_SOCKETS_BUFFER_MAX_SIZE:
        number[0] = BUFFER_MOST;
        break;
    case SO_VM_SOCKETS_CONNECT_TIMEOUT:
    case SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW:
        number[0] = v->connect_timeout_ns / NSEC_PER_SEC;
        number[1] = v->connect_timeout_ns % NSEC_PER_SEC / NSEC_PER_USEC;
        size = sizeof(number);
        break;
    default:
        return -ENOPROTOOPT;
    }
    if (*len < size)
        return -EINVAL;
    *len = size;
    memcpy(value, number, size);
    return 0;
}

static int vsock_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    struct vsock *v = vsock_of(sock);
    s32 bytes = 0;
    u32 cid = (u32)vsock_own_cid(VMADDR_CID_HOST);

    switch (cmd) {
    case IOCTL_VM_SOCKETS_GET_LOCAL_CID:
        return copy_to_user(arg, &cid, sizeof(cid));
    case SIOCINQ:
        bytes = (s32)v->queued;
        return copy_to_user(arg, &bytes, sizeof(bytes));
    case SIOCOUTQ:
        bytes = (s32)(v->tx_cnt - v->peer_fwd_cnt);
        return copy_to_user(arg, &bytes, sizeof(bytes));
    default:
        return -ENOTTY;
    }
}

static const struct proto_ops vsock_ops = {.family = AF_VSOCK,
                                           .type = SOCK_STREAM,
                                           .protocol = AF_VSOCK,
                                           .create = vsock_create,
                                           .close = vsock_close,
                                           .bind = vsock_bind,
                                           .connect = vsock_connect,
                                           .listen = vsock_listen,
                                           .accept = vsock_accept,
                                           .send = vsock_send,
                                           .recv = vsock_recv,
                                           .shutdown = vsock_shutdown,
                                           .name = vsock_name,
                                           .ready = vsock_ready,
                                           .setopt = vsock_setopt,
                                           .getopt = vsock_getopt,
                                           .ioctl = vsock_ioctl};

void vsock_init(void)
{
    vsock_packets_init();
    proto_register(&vsock_ops);
}
