/* NETLINK_SOCK_DIAG: the sockets of TCP, UDP, raw and AF_UNIX as ss(8) asks for them.  Filters that
 * ss sends along are its own to apply again; all sockets of the wanted states are told.
 * sock_diag(7). */
#include "abi/sock_diag.h"
#include "abi/tcp.h"
#include "lib/string.h"
#include "net/netlink.h"
#include "net/ping.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "net/unix.h"

/* What a walk carries along. */
struct walk {
    struct nl_reply *reply;
    struct inet_diag_req_abi asked;
    bool ping;
};

/* One socket of the internet families. */
struct entry {
    struct endpoint local, remote;
    bool v6;
    u8 state, timer, retrans;
    u32 timer_ms, rqueue, wqueue, drops;
    const struct socket *sock; /* NULL: nobody's */
};

static bool asked_for(const struct walk *w, u8 attribute)
{
    return w->asked.ext >> (attribute - 1) & 1;
}

static void put_end(u8 port[2], u32 addr[4], const struct endpoint *end, bool v6)
{
    port[0] = (u8)(end->port >> 8);
    port[1] = (u8)end->port;
    if (!end->addr.family)
        return;
    if (v6)
        memcpy(addr, end->addr.bytes, sizeof(end->addr.bytes));
    else
        addr[0] = end->addr.words[3];
}

static void put_memory(struct nl_reply *r, const struct entry *e)
{
    u32 v[SK_MEMINFO_VARS] = {[SK_MEMINFO_RMEM] = e->rqueue,
                              [SK_MEMINFO_RCVBUF] = e->sock->options.recv_buffer,
                              [SK_MEMINFO_WMEM] = e->wqueue,
                              [SK_MEMINFO_SNDBUF] = e->sock->options.send_buffer,
                              [SK_MEMINFO_DROPS] = e->drops};

    nl_attr(r, INET_DIAG_SKMEMINFO, v, sizeof(v));
}

/* False: not one that was asked for, so that nothing was begun. */
static bool begin_entry(const struct walk *w, const struct entry *e)
{
    if (e->v6 != (w->asked.family == AF_INET6) || !(w->asked.states >> e->state & 1))
        return false;
    u32 ino = e->sock ? (u32)e->sock->ino : 0;
    struct inet_diag_msg_abi msg = {.family = w->asked.family,
                                    .state = e->state,
                                    .timer = e->timer,
                                    .retrans = e->retrans,
                                    .id = {.cookie = {ino}},
                                    .expires = e->timer_ms,
                                    .rqueue = e->rqueue,
                                    .wqueue = e->wqueue,
                                    .inode = ino};
    put_end(msg.id.sport, msg.id.src, &e->local, e->v6);
    put_end(msg.id.dport, msg.id.dst, &e->remote, e->v6);
    nl_begin(w->reply, SOCK_DIAG_BY_FAMILY, &msg, sizeof(msg));
    if (e->sock && asked_for(w, INET_DIAG_SKMEMINFO))
        put_memory(w->reply, e);
    return true;
}

static int show_tcp(const struct tcp_entry *t, void *arg)
{
    const struct walk *w = arg;
    struct entry e = {
        .local = {.addr = t->local, .port = t->local_port},
        .remote = {.addr = t->remote, .port = t->remote_port},
        .v6 = t->ipv6_socket,
        .state = t->state,
        .timer = t->timer,
        .retrans = t->retransmits,
        .timer_ms = t->timer_ms,
        .rqueue = t->recv_queue,
        .wqueue = t->send_queue,
        .sock = t->sock,
    };

    if (!begin_entry(w, &e))
        return 0;
    if (t->conn && asked_for(w, INET_DIAG_INFO)) {
        struct tcp_info_abi info;
        tcp_conn_info(t->conn, &info);
        nl_attr(w->reply, INET_DIAG_INFO, &info, sizeof(info));
    }
    if (t->conn && asked_for(w, INET_DIAG_CONG))
        nl_attr(w->reply, INET_DIAG_CONG, "cubic", sizeof("cubic"));
    nl_end(w->reply);
    return w->reply->err;
}

static int show_udp(const struct udp_entry *u, void *arg)
{
    const struct walk *w = arg;
    struct entry e = {.local = u->local,
                      .remote = u->remote,
                      .v6 = u->ipv6_socket,
                      .state = u->connected ? TCP_ESTABLISHED : TCP_CLOSE,
                      .rqueue = u->queued,
                      .drops = u->dropped,
                      .sock = u->sock};

    if (begin_entry(w, &e))
        nl_end(w->reply);
    return w->reply->err;
}

static int show_raw(const struct raw_entry *raw, void *arg)
{
    const struct walk *w = arg;
    struct entry e = {.local = raw->local,
                      .remote = raw->remote,
                      .v6 = raw->ipv6_socket,
                      .state = raw->remote.addr.family ? TCP_ESTABLISHED : TCP_CLOSE,
                      .rqueue = raw->queued,
                      .drops = raw->dropped,
                      .sock = raw->sock};

    if (!raw->ping && begin_entry(w, &e))
        nl_end(w->reply);
    return w->reply->err;
}

static int dump_inet(const struct nl_request *q, struct nl_reply *r)
{
    struct walk w = {.reply = r};

    if (q->body_len < sizeof(w.asked))
        return -EINVAL;
    memcpy(&w.asked, q->body, sizeof(w.asked));
    switch (w.asked.protocol) {
    case IPPROTO_TCP:
        return tcp_for_each(show_tcp, &w);
    case IPPROTO_UDP:
        return udp_for_each(show_udp, &w);
    case IPPROTO_RAW:
        return raw_for_each(show_raw, &w);
    default:
        r->err = -ENOENT; /* told at the end of the list, as Linux does */
        return 0;
    }
}

/* ---- AF_UNIX ---- */

struct unix_walk {
    struct nl_reply *reply;
    struct unix_diag_req_abi asked;
};

static u8 unix_state(const struct unix_info *info)
{
    enum { LISTENS = 0x10000, CONNECTED = 3 };

    if (info->flags & LISTENS)
        return TCP_LISTEN;
    return info->state == CONNECTED ? TCP_ESTABLISHED : TCP_CLOSE;
}

static int show_unix(const struct unix_info *info, void *arg)
{
    const struct unix_walk *w = arg;
    struct unix_diag_msg_abi msg = {.family = AF_UNIX,
                                    .type = (u8)info->type,
                                    .state = unix_state(info),
                                    .ino = (u32)info->ino,
                                    .cookie = {(u32)info->ino}};
    u32 queues[2] = {info->recv_queue, info->send_queue};

    if (!(w->asked.states >> msg.state & 1) || !info->ino)
        return 0;
    nl_begin(w->reply, SOCK_DIAG_BY_FAMILY, &msg, sizeof(msg));
    if (info->name.len > sizeof(u16))
        nl_attr(w->reply, UNIX_DIAG_NAME, info->name.bytes + sizeof(u16),
                info->name.len - (u32)sizeof(u16));
    if (info->peer_ino)
        nl_attr_u32(w->reply, UNIX_DIAG_PEER, (u32)info->peer_ino);
    nl_attr(w->reply, UNIX_DIAG_RQLEN, queues, sizeof(queues));
    nl_end(w->reply);
    return w->reply->err;
}

static int dump_unix(const struct nl_request *q, struct nl_reply *r)
{
    struct unix_walk w = {.reply = r};

    if (q->body_len < sizeof(w.asked))
        return -EINVAL;
    memcpy(&w.asked, q->body, sizeof(w.asked));
    return unix_for_each(show_unix, &w);
}

int sock_diag_request(const struct nl_request *q, struct nl_reply *r)
{
    if (q->head->type == SOCK_DESTROY)
        return -EOPNOTSUPP;
    if (q->head->type != SOCK_DIAG_BY_FAMILY)
        return -ENOENT; /* the older requests, one a protocol */
    if (!q->body_len)
        return -EINVAL;
    if (!(r->flags & NLM_F_MULTI))
        return -EOPNOTSUPP; /* one socket alone: checkpoint tools ask for that */
    switch (q->body[0]) {
    case AF_INET:
    case AF_INET6:
        return dump_inet(q, r);
    case AF_UNIX:
        return dump_unix(q, r);
    default:
        return -ENOENT;
    }
}
