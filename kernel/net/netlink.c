/* AF_NETLINK sockets.  A request is answered before send returns: the answers wait in the socket's
 * queue, one datagram each, as netlink(7) has them.  Who joins a group of NETLINK_ROUTE hears of
 * links, addresses and routes as they change. */
#include "net/netlink.h"

#include "lib/list.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"

enum {
    PIECE_BYTES = 3776,  /* a datagram that fits the page that C libraries read into */
    MESSAGE_MAX = 640,   /* no message of ours is longer */
    REQUEST_MAX = 16384, /* bytes of one send */
    QUEUE_MAX = 4096,    /* pieces that nobody has read */
    NOTICES_MAX = 64,    /* of which notices may be */
    GROUPS = 32,         /* those that a mask can name */
};

struct nl_piece {
    struct list_head node;
    u32 len;
    u8 data[PIECE_BYTES];
};

/* Fields: [L] under .lock. */
struct nl_sock {
    struct socket *sock; /* [I] */
    struct spinlock lock;
    struct list_head queue; /* [L] */
    u32 nr_queued;          /* [L] */
    u32 port, groups;       /* [L] */
    struct list_head node;  /* [H] in heard_by while .groups is not 0 */
};

static struct spinlock heard_lock = SPINLOCK_INIT; /* [H] before a socket's */
static struct list_head heard_by = LIST_INIT(heard_by);
static u32 heard_groups; /* [A] all that anybody is in */

/* ---- messages ---- */

static void finish_piece(struct nl_reply *r)
{
    struct nl_sock *nl = r->nl;

    if (!r->piece)
        return;
    spin_lock(&nl->lock);
    list_add_tail(&nl->queue, &r->piece->node);
    nl->nr_queued++;
    spin_unlock(&nl->lock);
    r->piece = NULL;
}

static void *put(struct nl_reply *r, const void *data, u32 len)
{
    u8 *to = r->piece->data + r->piece->len;

    memcpy(to, data, len);
    memset(to + len, 0, ALIGN_UP(len, 4) - len);
    r->piece->len += ALIGN_UP(len, 4);
    return to;
}

void nl_begin(struct nl_reply *r, u16 type, const void *header, u32 len)
{
    struct nlmsghdr_abi head = {.type = type, .flags = r->flags, .seq = r->request->head->seq};

    if (r->piece && r->piece->len + MESSAGE_MAX > PIECE_BYTES)
        finish_piece(r);
    if (!r->piece && r->nl->nr_queued < (r->notice ? NOTICES_MAX : QUEUE_MAX)) {
        r->piece = kmalloc(sizeof(*r->piece));
        if (r->piece)
            r->piece->len = 0;
    }
    if (!r->piece)
        r->err = -ENOBUFS;
    if (r->err)
        return;
    head.port = r->notice ? 0 : r->nl->port;
    r->head = put(r, &head, sizeof(head));
    put(r, header, len);
}

void nl_attr(struct nl_reply *r, u16 type, const void *data, u32 len)
{
    struct rtattr_abi head = {.len = (u16)(sizeof(head) + len), .type = type};

    if (r->err)
        return;
    put(r, &head, sizeof(head));
    put(r, data, len);
}

void nl_attr_u32(struct nl_reply *r, u16 type, u32 value)
{
    nl_attr(r, type, &value, sizeof(value));
}

void nl_end(struct nl_reply *r)
{
    if (!r->err)
        r->head->len = (u32)(r->piece->data + r->piece->len - (u8 *)r->head);
}

const void *nl_find(const struct nl_request *request, u32 header_len, u16 type, u32 len)
{
    u32 at = ALIGN_UP(header_len, 4);
    struct rtattr_abi head;

    while (at <= request->body_len && request->body_len - at >= sizeof(head)) {
        memcpy(&head, request->body + at, sizeof(head));
        if (head.len < sizeof(head) || head.len > request->body_len - at)
            return NULL;
        if (head.type == type && head.len - sizeof(head) >= len)
            return request->body + at + sizeof(head);
        at += ALIGN_UP((u32)head.len, 4);
    }
    return NULL;
}

/* ---- requests ---- */

static void acknowledge(struct nl_reply *r, int err)
{
    struct {
        s32 err;
        struct nlmsghdr_abi request;
    } body = {err, *r->request->head};

    r->err = 0;
    r->flags = 0;
    nl_begin(r, NLMSG_ERROR, &body, sizeof(body));
    nl_end(r);
}

static void finish_dump(struct nl_reply *r)
{
    s32 result = r->err;

    r->err = 0;
    nl_begin(r, NLMSG_DONE, &result, sizeof(result));
    nl_end(r);
}

static void serve(struct nl_sock *nl, const struct nl_request *request)
{
    const struct nlmsghdr_abi *head = request->head;
    bool dump = (head->flags & NLM_F_DUMP) == NLM_F_DUMP;
    struct nl_reply r = {.nl = nl, .request = request, .flags = dump ? NLM_F_MULTI : 0};
    int err = 0;

    if (!(head->flags & NLM_F_REQUEST))
        return;
    if (head->type >= NLMSG_MIN_TYPE)
        err = nl->sock->protocol == NETLINK_SOCK_DIAG ? sock_diag_request(request, &r)
                                                      : rtnetlink_request(request, &r);
    if (dump && !err)
        finish_dump(&r);
    else if (err || head->flags & NLM_F_ACK)
        acknowledge(&r, err);
    finish_piece(&r);
}

/* All the messages of one send. */
static void serve_all(struct nl_sock *nl, const u8 *at, u32 left)
{
    struct nlmsghdr_abi head;

    while (left >= sizeof(head)) {
        memcpy(&head, at, sizeof(head));
        if (head.len < sizeof(head) || head.len > left)
            return;
        struct nl_request request = {&head, at + sizeof(head), head.len - (u32)sizeof(head)};
        serve(nl, &request);
        u32 step = min(ALIGN_UP(head.len, 4), left);
        at += step;
        left -= step;
    }
}

/* ---- the socket ---- */

static struct nl_sock *nl_of(const struct socket *sock)
{
    return sock->data;
}

static int nl_create(struct socket *sock)
{
    if (sock->protocol != NETLINK_ROUTE && sock->protocol != NETLINK_SOCK_DIAG)
        return -EPROTONOSUPPORT;
    struct nl_sock *nl = kzalloc(sizeof(*nl));
    if (!nl)
        return -ENOMEM;
    nl->sock = sock;
    list_init(&nl->queue);
    list_init(&nl->node);
    sock->data = nl;
    return 0;
}

/* ---- groups ---- */

static void set_groups(struct nl_sock *nl, u32 groups)
{
    struct nl_sock *other;
    u32 all = 0;

    spin_lock(&heard_lock);
    nl->groups = groups;
    list_remove(&nl->node);
    if (groups && nl->sock->protocol == NETLINK_ROUTE)
        list_add_tail(&heard_by, &nl->node);
    list_for_each(other, &heard_by, node)
        all |= other->groups;
    __atomic_store_n(&heard_groups, all, __ATOMIC_RELAXED);
    spin_unlock(&heard_lock);
}

bool netlink_is_heard(u32 group)
{
    return __atomic_load_n(&heard_groups, __ATOMIC_RELAXED) >> (group - 1) & 1;
}

void netlink_notify(u32 group, void (*fill)(struct nl_reply *reply, const void *arg),
                    const void *arg)
{
    static const struct nlmsghdr_abi no_header;
    static const struct nl_request no_request = {.head = &no_header};
    struct nl_sock *nl;

    if (!netlink_is_heard(group))
        return;
    spin_lock(&heard_lock);
    list_for_each(nl, &heard_by, node) {
        struct nl_reply r = {.nl = nl, .request = &no_request, .notice = true};
        if (!(nl->groups >> (group - 1) & 1))
            continue;
        fill(&r, arg);
        finish_piece(&r);
        if (r.err)
            sock_set_error(nl->sock, ENOBUFS); /* it has missed something, and is told so */
        waitq_wake_all(&nl->sock->waitq, POLLIN | POLLRDNORM);
    }
    spin_unlock(&heard_lock);
}

static void nl_close(struct socket *sock)
{
    struct nl_sock *nl = nl_of(sock);

    set_groups(nl, 0);
    while (!list_empty(&nl->queue)) {
        struct nl_piece *piece = list_first(&nl->queue, struct nl_piece, node);
        list_remove(&piece->node);
        kfree(piece);
    }
    kfree(nl);
}

/* Port numbers need only differ: the process's for its first socket, then others. */
static void take_port(struct nl_sock *nl, u32 wanted)
{
    static u32 taken; /* [A] how many were given out */

    spin_lock(&nl->lock);
    if (!nl->port && wanted) {
        nl->port = wanted;
    } else if (!nl->port) {
        u32 n = __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
        nl->port = n ? (u32)-4096 - n : (u32)current_process()->pid;
    }
    spin_unlock(&nl->lock);
}

static int nl_bind(struct socket *sock, const struct sock_addr *addr)
{
    struct nl_sock *nl = nl_of(sock);
    struct sockaddr_nl_abi name;

    if (addr->len < sizeof(name) || addr->family != AF_NETLINK)
        return -EINVAL;
    memcpy(&name, addr->bytes, sizeof(name));
    if (nl->port && name.port != nl->port)
        return -EINVAL;
    take_port(nl, name.port);
    set_groups(nl, name.groups);
    return 0;
}

static int nl_connect(struct socket *sock, const struct sock_addr *addr)
{
    struct sockaddr_nl_abi name;

    if (addr->len >= sizeof(addr->family) && addr->family == AF_UNSPEC)
        return 0;
    if (addr->len < sizeof(name) || addr->family != AF_NETLINK)
        return -EINVAL;
    memcpy(&name, addr->bytes, sizeof(name));
    take_port(nl_of(sock), 0);
    return name.port ? -ECONNREFUSED : 0; /* there is nobody but the kernel */
}

static void put_name(struct sock_addr *out, u32 port, u32 groups)
{
    struct sockaddr_nl_abi name = {.family = AF_NETLINK, .port = port, .groups = groups};

    memcpy(out->bytes, &name, sizeof(name));
    out->len = sizeof(name);
}

static int nl_name(struct socket *sock, struct sock_addr *out, bool peer)
{
    const struct nl_sock *nl = nl_of(sock);

    put_name(out, peer ? 0 : nl->port, peer ? 0 : nl->groups);
    return 0;
}

static ssize_t nl_send(struct socket *sock, struct sock_msg *msg)
{
    struct nl_sock *nl = nl_of(sock);
    u32 len = (u32)min(msg->data->left, (u64)REQUEST_MAX + 1);
    struct sockaddr_nl_abi to = {0};

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (len > REQUEST_MAX)
        return -EMSGSIZE;
    if (msg->addr) {
        if (msg->addr->len < sizeof(to) || msg->addr->family != AF_NETLINK)
            return -EINVAL;
        memcpy(&to, msg->addr->bytes, sizeof(to));
    }
    if (to.port)
        return -ECONNREFUSED;
    u8 *request = kmalloc(max(len, 1u));
    if (!request)
        return -ENOBUFS;
    ssize_t n = iter_read(msg->data, request, len) == len ? (ssize_t)len : -EFAULT;
    if (n > 0) {
        take_port(nl, 0);
        serve_all(nl, request, len);
        waitq_wake_all(&sock->waitq, POLLIN | POLLRDNORM);
    }
    kfree(request);
    return n;
}

static bool has_pieces(struct nl_sock *nl)
{
    return __atomic_load_n(&nl->nr_queued, __ATOMIC_ACQUIRE);
}

/* The first piece, taken off; NULL: there is none. */
static struct nl_piece *take_piece(struct nl_sock *nl)
{
    struct nl_piece *piece = NULL;

    spin_lock(&nl->lock);
    if (!list_empty(&nl->queue)) {
        piece = list_first(&nl->queue, struct nl_piece, node);
        list_remove(&piece->node);
        nl->nr_queued--;
    }
    spin_unlock(&nl->lock);
    return piece;
}

static void return_piece(struct nl_sock *nl, struct nl_piece *piece)
{
    spin_lock(&nl->lock);
    list_add(&nl->queue, &piece->node);
    nl->nr_queued++;
    spin_unlock(&nl->lock);
}

static ssize_t nl_recv(struct socket *sock, struct sock_msg *msg)
{
    u64 timeout_ns = sock->options.recv_timeout_ns;
    struct nl_sock *nl = nl_of(sock);
    struct nl_piece *piece;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    while (!(piece = take_piece(nl))) {
        int missed = sock_take_error(sock);
        if (missed)
            return missed;
        if (msg->flags & MSG_DONTWAIT)
            return -EAGAIN;
        int err = wait_event(&sock->waitq, has_pieces(nl) || sock->error, true,
                             sock_deadline(timeout_ns));
        if (err)
            return sock_wait_error(err, timeout_ns);
    }
    size_t n = min((u64)piece->len, msg->data->left);
    ssize_t got = iter_write(msg->data, piece->data, n) == n ? (ssize_t)n : -EFAULT;
    if (n < piece->len)
        msg->out_flags |= MSG_TRUNC;
    if (got >= 0 && msg->flags & MSG_TRUNC)
        got = (ssize_t)piece->len;
    if (msg->addr)
        put_name(msg->addr, 0, 0);
    if (msg->flags & MSG_PEEK)
        return_piece(nl, piece);
    else
        kfree(piece);
    return got;
}

static u32 nl_ready(struct socket *sock)
{
    u32 mask = POLLOUT | POLLWRNORM | POLLWRBAND;

    if (sock->error)
        mask |= POLLERR;
    return has_pieces(nl_of(sock)) ? mask | POLLIN | POLLRDNORM : mask;
}

static int nl_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct nl_sock *nl = nl_of(sock);
    u32 group;

    if (level != SOL_NETLINK)
        return -ENOPROTOOPT;
    if (name != NETLINK_ADD_MEMBERSHIP && name != NETLINK_DROP_MEMBERSHIP)
        return 0; /* what they ask for is never sent */
    if (len < sizeof(group))
        return -EINVAL;
    memcpy(&group, value, sizeof(group));
    if (!group)
        return -EINVAL;
    if (group > GROUPS)
        return 0; /* nothing of theirs ever happens */
    u32 bit = 1u << (group - 1);
    set_groups(nl, name == NETLINK_ADD_MEMBERSHIP ? nl->groups | bit : nl->groups & ~bit);
    return 0;
}

#define NETLINK_COMMON                                                                             \
    .family = AF_NETLINK, .create = nl_create, .close = nl_close, .bind = nl_bind,                 \
    .connect = nl_connect, .name = nl_name, .send = nl_send, .recv = nl_recv, .ready = nl_ready,   \
    .setopt = nl_setopt

static const struct proto_ops raw_ops = {NETLINK_COMMON, .type = SOCK_RAW};
static const struct proto_ops dgram_ops = {NETLINK_COMMON, .type = SOCK_DGRAM};

void netlink_init(void)
{
    proto_register(&raw_ops);
    proto_register(&dgram_ops);
}
