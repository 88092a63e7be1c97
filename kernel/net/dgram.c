/* Datagram sockets: the queue of what arrived, receiving, and where a message goes. */
#include "net/dgram.h"

#include "abi/ip_options.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/mcast.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { RECV_BUFFER = 212992 }; /* Linux's rmem_default */

struct dgram_info *dgram_info_of(const struct pkt *pkt)
{
    return pkt_scratch(pkt);
}

int dgram_init(struct dgram *d, struct socket *sock)
{
    *d = (struct dgram){.sock = sock,
                        .ip = {.ttl = -1,
                               .mcast_ttl = -1,
                               .mcast_loop = true,
                               .mcast_all = true,
                               .pmtu_mode = IP_PMTUDISC_WANT}};
    list_init(&d->node);
    list_init(&d->conn_node);
    list_init(&d->queue);
    sock->data = d;
    return 0;
}

void dgram_fini(struct dgram *d)
{
    for (u32 i = 0; i < DGRAM_GROUPS; i++)
        if (d->groups[i].netif)
            mcast_leave(d->groups[i].netif, &d->groups[i].addr);
    pkt_free_list(&d->queue);
    kfree(d->filter);
    kfree(d->errors);
}

static u32 recv_limit(const struct socket *sock)
{
    u32 set = sock->options.recv_buffer;

    return set ? set : RECV_BUFFER;
}

static void fill_info(struct dgram_info *to, const struct ip_info *info, u16 port)
{
    bool scoped = info->src.family == ADDR_INET6 && addr_is_link_local(&info->src);

    to->from = (struct endpoint){info->src, port, scoped ? info->netif->index : 0};
    to->to = info->dst;
    to->ifindex = info->netif->index;
    to->segment = 0;
    to->ttl = info->ttl;
    to->tos = info->tos;
}

/* UDP_GRO: append @pkt to the last datagram in the queue, where both are of one flow and the sender
 * could have cut them from one message: all parts of a size, but the last may be smaller. The
 * packet holds them as its slots allow. */
static bool join_locked(struct dgram *d, struct pkt *pkt)
{
    enum { MOST = IP_MAX_LEN - sizeof(struct udp_hdr) - sizeof(struct ip4_hdr) };
    if (list_empty(&d->queue))
        return false;
    struct pkt *last = list_last(&d->queue, struct pkt, node);
    struct dgram_info *a = dgram_info_of(last), *b = dgram_info_of(pkt);
    u32 segment = a->segment ? a->segment : last->total;

    if (!segment || !pkt->total || pkt->total > segment || last->total % segment ||
        last->total + pkt->total > MOST)
        return false;
    if (a->from.port != b->from.port || !addr_equal(&a->from.addr, &b->from.addr) ||
        !addr_equal(&a->to, &b->to) || a->ifindex != b->ifindex || a->ttl != b->ttl ||
        a->tos != b->tos)
        return false;
    u32 before = pkt_truesize(last);
    if (!pkt_join(last, pkt))
        return false;
    d->queued += pkt_truesize(last) - before;
    a->segment = (u16)segment;
    return true;
}

bool dgram_enqueue(struct dgram *d, struct pkt *pkt, const struct ip_info *info, u16 port)
{
    u32 size = pkt_truesize(pkt);

    fill_info(dgram_info_of(pkt), info, port);
    spin_lock(&d->lock);
    bool fits = !d->shut_read && d->queued + size <= recv_limit(d->sock);
    if (unlikely(d->filter) && fits)
        fits = dgram_filter_locked(d, pkt, port);
    if (!fits) {
        d->dropped++;
    } else if (likely(!d->join) || !join_locked(d, pkt)) {
        list_add_tail(&d->queue, &pkt->node);
        d->queued += size;
    }
    spin_unlock(&d->lock);
    if (fits && waitq_has_waiters(&d->sock->waitq))
        waitq_wake(&d->sock->waitq, POLLIN | POLLRDNORM, 1);
    return fits;
}

bool dgram_in_group(const struct dgram *d, const struct ip_addr *group, const struct netif *netif)
{
    for (u32 i = 0; i < DGRAM_GROUPS; i++)
        if (d->groups[i].netif == netif && addr_equal(&d->groups[i].addr, group))
            return true;
    return d->ip.mcast_all && group->family == ADDR_INET;
}

static struct dgram_error take_error_locked(struct dgram *d)
{
    struct dgram_error oldest = d->errors[0];

    memmove(d->errors, d->errors + 1, --d->nr_errors * sizeof(oldest));
    return oldest;
}

static void add_error_locked(struct dgram *d, const struct dgram_error *error)
{
    if (!d->errors)
        d->errors = kcalloc(DGRAM_ERRORS, sizeof(*d->errors));
    if (!d->errors)
        return; /* SO_ERROR tells of it */
    if (d->nr_errors == DGRAM_ERRORS)
        (void)take_error_locked(d);
    d->errors[d->nr_errors++] = *error;
}

void dgram_set_error(struct dgram *d, const struct endpoint *about, int err, u32 info)
{
    bool family6 = d->sock->family == AF_INET6;
    bool queue = d->ip.recv_err || (family6 && d->ip.recv_err6);

    /* RFC 1122, 4.1.3.3: an unconnected socket hears of it only where it asked to. */
    if (!queue && (!d->remote.addr.family || err == EHOSTUNREACH || err == ENETUNREACH))
        return;
    spin_lock(&d->lock);
    if (queue)
        add_error_locked(d, &(struct dgram_error){err, info, *about});
    spin_unlock(&d->lock);
    sock_set_error(d->sock, err);
    waitq_wake_all(&d->sock->waitq, POLLERR);
}

u32 dgram_ready(struct socket *sock)
{
    struct dgram *d = sock->data;
    u32 events = POLLOUT | POLLWRNORM;

    if (!list_empty(&d->queue) || d->shut_read)
        events |= POLLIN | POLLRDNORM;
    if (d->shut_read)
        events |= POLLRDHUP;
    if (d->shut_read && d->shut_write)
        events |= POLLHUP;
    if (sock->error || d->nr_errors)
        events |= POLLERR;
    return events;
}

int dgram_shutdown(struct socket *sock, int how)
{
    struct dgram *d = sock->data;

    if (!d->remote.addr.family)
        return -ENOTCONN;
    spin_lock(&d->lock);
    d->shut_read |= how != SHUT_WR;
    d->shut_write |= how != SHUT_RD;
    spin_unlock(&d->lock);
    waitq_wake_all(&sock->waitq, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
    return 0;
}

int dgram_name(struct socket *sock, struct sock_addr *out, bool peer)
{
    struct dgram *d = sock->data;

    if (peer && !d->remote.addr.family)
        return -ENOTCONN;
    endpoint_to_addr(peer ? &d->remote : &d->local, sock->family, out);
    return 0;
}

int dgram_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg)
{
    struct dgram *d = sock->data;
    s32 bytes = 0;

    if (cmd != SIOCINQ && cmd != SIOCOUTQ)
        return -ENOTTY;
    spin_lock(&d->lock);
    if (cmd == SIOCINQ && !list_empty(&d->queue))
        bytes = (s32)list_first(&d->queue, struct pkt, node)->total;
    spin_unlock(&d->lock);
    return copy_to_user(arg, &bytes, sizeof(bytes));
}

/* ---- receiving ---- */

static void put_pktinfo(const struct dgram *d, struct sock_msg *msg, const struct dgram_info *info)
{
    bool v4 = info->to.family == ADDR_INET;

    if (v4 && d->ip.recv_pktinfo) {
        struct in_pktinfo_abi p = {.ifindex = (s32)info->ifindex};
        memcpy(p.addr, info->to.bytes + 12, 4);
        memcpy(p.spec_dst, info->to.bytes + 12, 4);
        struct netif *netif = netif_by_index(info->ifindex);
        const struct ip_addr *own = netif ? netif_source(netif, &info->from.addr) : NULL;
        if (own && !ip_is_local(&info->to)) /* a group or broadcast: what an answer comes from */
            memcpy(p.spec_dst, own->bytes + 12, 4);
        sock_put_control(msg, SOL_IP, IP_PKTINFO, &p, sizeof(p));
    }
    if (d->ip.recv_pktinfo6 && d->sock->family == AF_INET6) {
        struct in6_pktinfo_abi p = {.ifindex = info->ifindex};
        memcpy(p.addr, info->to.bytes, 16);
        sock_put_control(msg, SOL_IPV6, IPV6_PKTINFO, &p, sizeof(p));
    }
}

static void put_control(struct dgram *d, struct sock_msg *msg, const struct pkt *pkt)
{
    const struct dgram_info *info = dgram_info_of(pkt);
    bool v4 = info->to.family == ADDR_INET;
    s32 ttl = info->ttl, class = info->tos, segment = info->segment;

    sock_put_timestamp(d->sock, msg, pkt->time_ns);
    put_pktinfo(d, msg, info);
    if (v4 && d->ip.recv_ttl)
        sock_put_control(msg, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
    if (v4 && d->ip.recv_tos)
        sock_put_control(msg, SOL_IP, IP_TOS, &info->tos, 1);
    if (!v4 && d->ip.recv_hops)
        sock_put_control(msg, SOL_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
    if (!v4 && d->ip.recv_class)
        sock_put_control(msg, SOL_IPV6, IPV6_TCLASS, &class, sizeof(class));
    if (segment)
        sock_put_control(msg, SOL_UDP, UDP_GRO, &segment, sizeof(segment));
}

static struct pkt *take(struct dgram *d)
{
    struct pkt *pkt = NULL;

    spin_lock(&d->lock);
    if (!list_empty(&d->queue)) {
        pkt = list_first(&d->queue, struct pkt, node);
        list_remove(&pkt->node);
        d->queued -= pkt_truesize(pkt);
    }
    spin_unlock(&d->lock);
    return pkt;
}

static void put_back(struct dgram *d, struct pkt *pkt)
{
    spin_lock(&d->lock);
    list_add(&d->queue, &pkt->node);
    d->queued += pkt_truesize(pkt);
    spin_unlock(&d->lock);
}

static bool something_came(const struct dgram *d)
{
    return !list_empty(&d->queue) || d->shut_read || d->sock->error;
}

/* A packet, or NULL with *@err set: 0 at the end of a socket that was shut down. */
static struct pkt *wait_for_packet(struct dgram *d, u32 flags, int *err)
{
    u64 timeout = d->sock->options.recv_timeout_ns, deadline = sock_deadline(timeout);
    struct pkt *pkt;

    while (!(pkt = take(d))) {
        *err = sock_take_error(d->sock);
        if (*err || d->shut_read)
            return NULL;
        netif_poll_all();
        if (!list_empty(&d->queue))
            continue;
        if (flags & MSG_DONTWAIT) {
            *err = -EAGAIN;
            return NULL;
        }
        int waited = wait_event(&d->sock->waitq, something_came(d), true, deadline);
        if (waited) {
            *err = sock_wait_error(waited, timeout);
            return NULL;
        }
    }
    return pkt;
}

/* MSG_ERRQUEUE: the oldest error, as Linux tells it. The next one is the socket's from here on. */
static ssize_t recv_error(struct dgram *d, struct sock_msg *msg)
{
    struct dgram_error e = {0};
    int next = 0;

    spin_lock(&d->lock);
    if (d->nr_errors)
        e = take_error_locked(d);
    if (d->nr_errors)
        next = d->errors[0].err;
    spin_unlock(&d->lock);
    if (!e.err)
        return -EAGAIN;
    (void)sock_take_error(d->sock); /* told by this */
    if (next)
        sock_set_error(d->sock, next);

    bool v4 = e.about.addr.family == ADDR_INET;
    struct {
        struct sock_extended_err_abi err;
        struct sockaddr_in6_abi offender;
    } data = {.err = {.err = (u32)e.err,
                      .origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6,
                      .info = e.info}};
    u32 len = v4 ? sizeof(data.err) + sizeof(struct sockaddr_in_abi) : sizeof(data);
    sock_put_control(msg, v4 ? SOL_IP : SOL_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &data, len);
    if (msg->addr)
        endpoint_to_addr(&e.about, d->sock->family, msg->addr);
    msg->out_flags |= MSG_ERRQUEUE;
    return 0;
}

ssize_t dgram_recv(struct socket *sock, struct sock_msg *msg)
{
    struct dgram *d = sock->data;
    u32 flags = msg->flags;
    int err = 0;

    if (unlikely(flags & MSG_ERRQUEUE))
        return recv_error(d, msg);
    struct pkt *pkt = wait_for_packet(d, flags, &err);
    if (!pkt)
        return err;

    u32 n = (u32)min((u64)pkt->total, msg->data->left);
    if (pkt_to_iter(pkt, 0, n, msg->data) != n) {
        pkt_free(pkt);
        return -EFAULT;
    }
    if (n < pkt->total)
        msg->out_flags |= MSG_TRUNC;
    if (msg->addr)
        endpoint_to_addr(&dgram_info_of(pkt)->from, sock->family, msg->addr);
    if (msg->control)
        put_control(d, msg, pkt);
    ssize_t result = flags & MSG_TRUNC ? (ssize_t)pkt->total : (ssize_t)n;
    if (flags & MSG_PEEK)
        put_back(d, pkt);
    else
        pkt_free(pkt);
    return result;
}

/* ---- sending ---- */

static int take_pktinfo4(struct dgram_target *t, const void *value, u64 len)
{
    struct in_pktinfo_abi p;
    u32 raw;

    if (len < sizeof(p))
        return -EINVAL;
    memcpy(&p, value, sizeof(p));
    memcpy(&raw, p.spec_dst, 4);
    if (raw)
        t->source = addr_from_v4(raw);
    if (p.ifindex)
        t->ifindex = (u32)p.ifindex;
    return 0;
}

static int take_pktinfo6(struct dgram_target *t, const void *value, u64 len)
{
    struct in6_pktinfo_abi p;

    if (len < sizeof(p))
        return -EINVAL;
    memcpy(&p, value, sizeof(p));
    struct ip_addr source = addr_from_v6(p.addr);
    if (addr_is_v4_mapped(&source))
        source.family = ADDR_INET;
    if (!addr_is_any(&source))
        t->source = source;
    if (p.ifindex)
        t->ifindex = p.ifindex;
    return 0;
}

static int take_control(struct dgram_target *t, const struct cmsghdr_abi *hdr, const void *value,
                        u64 len)
{
    s32 number = 0;

    memcpy(&number, value, min(len, (u64)sizeof(number)));
    if (hdr->level == SOL_IP && hdr->type == IP_PKTINFO)
        return take_pktinfo4(t, value, len);
    if (hdr->level == SOL_IPV6 && hdr->type == IPV6_PKTINFO)
        return take_pktinfo6(t, value, len);
    if ((hdr->level == SOL_IP && hdr->type == IP_TOS) ||
        (hdr->level == SOL_IPV6 && hdr->type == IPV6_TCLASS))
        t->meta.tos = (u8)number;
    else if ((hdr->level == SOL_IP && hdr->type == IP_TTL) ||
             (hdr->level == SOL_IPV6 && hdr->type == IPV6_HOPLIMIT))
        t->meta.ttl = number > 0 ? (u8)number : t->meta.ttl;
    else if (hdr->level == SOL_UDP && hdr->type == UDP_SEGMENT)
        t->segment = (u16)number;
    else if (hdr->level == SOL_IP || hdr->level == SOL_IPV6 || hdr->level == SOL_UDP)
        return -EINVAL;
    return 0;
}

static int walk_control(struct dgram_target *t, const struct sock_msg *msg)
{
    const u8 *p = msg->control;
    u32 left = p ? msg->control_len : 0;

    while (left >= sizeof(struct cmsghdr_abi)) {
        struct cmsghdr_abi hdr;
        memcpy(&hdr, p, sizeof(hdr));
        if (hdr.len < sizeof(hdr) || hdr.len > left)
            return -EINVAL;
        int err = take_control(t, &hdr, p + sizeof(hdr), hdr.len - sizeof(hdr));
        if (err)
            return err;
        u32 step = (u32)min(ALIGN_UP(hdr.len, 8), (u64)left);
        p += step;
        left -= step;
    }
    return 0;
}

static int find_target(struct dgram *d, struct dgram_target *t)
{
    bool group = addr_is_multicast(&t->to.addr);
    u32 ifindex = t->ifindex ? t->ifindex : t->to.scope;

    if (!ifindex)
        ifindex = d->ifindex ? d->ifindex : group ? d->ip.mcast_ifindex : d->ip.unicast_ifindex;
    if (!t->source.family && d->local.addr.family && !addr_is_any(&d->local.addr) &&
        !addr_is_multicast(&d->local.addr))
        t->source = d->local.addr;
    if (!t->source.family && group && d->ip.mcast_source.family)
        t->source = d->ip.mcast_source;
    if (addr_is_any(&t->to.addr)) { /* to nowhere means to ourselves, as in Linux */
        u16 family = t->to.addr.family;
        t->to.addr = family == ADDR_INET
                         ? addr_from_v4(__builtin_bswap32(0x7f000001))
                         : (struct ip_addr){.bytes = {[15] = 1}, .family = ADDR_INET6};
    }
    if (t->source.family && t->source.family != t->to.addr.family)
        return -EINVAL;
    int err =
        route_find_wait(&t->to.addr, t->source.family ? &t->source : NULL, ifindex, &t->route);
    if (err)
        return err;
    if (t->route.cast == IP_BROADCAST && !d->sock->options.broadcast)
        return -EACCES;
    s16 ttl = group ? (d->ip.mcast_ttl < 0 ? 1 : d->ip.mcast_ttl) : d->ip.ttl;
    if (!t->meta.ttl && ttl > 0)
        t->meta.ttl = (u8)ttl;
    return 0;
}

int dgram_target(struct dgram *d, const struct sock_msg *msg, struct dgram_target *t)
{
    bool to_peer = !msg->addr || !msg->addr->len;

    *t = (struct dgram_target){.meta = {.tos = d->ip.tos}};
    if (unlikely(d->shut_write))
        return -EPIPE;
    int err = sock_take_error(d->sock);
    if (err)
        return err;
    if (to_peer && !d->remote.addr.family)
        return -EDESTADDRREQ;
    if (msg->control_len) {
        err = walk_control(t, msg);
        if (err)
            return err;
    } else if (to_peer && route_valid(&d->route)) { /* what a connected socket does all day */
        t->to = d->remote;
        t->route = d->route;
        if (d->ip.ttl > 0)
            t->meta.ttl = (u8)d->ip.ttl;
        return 0;
    }
    if (to_peer)
        t->to = d->remote;
    else
        err = endpoint_from_addr(msg->addr, d->sock->family, &t->to);
    if (err)
        return err;
    if (t->to.addr.family == ADDR_INET && d->ip.v6_only && d->sock->family == AF_INET6)
        return -ENETUNREACH;
    err = find_target(d, t);
    if (!err && to_peer && !msg->control_len) {
        spin_lock(&d->lock);
        d->route = t->route;
        spin_unlock(&d->lock);
    }
    return err;
}

int dgram_check_bind(const struct dgram *d, const struct ip_addr *addr)
{
    if (addr_is_any(addr) || addr_is_multicast(addr) || d->ip.freebind || ip_is_local(addr))
        return 0;
    if (addr->family == ADDR_INET && netif_default() &&
        ip4_cast(netif_default(), addr_v4(addr)) == IP_BROADCAST)
        return 0;
    return -EADDRNOTAVAIL;
}
