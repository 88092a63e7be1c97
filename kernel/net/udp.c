/* UDP: which socket a datagram is for. Sockets are found by both ends where they are connected,
 * else by local port; each bucket has its lock, and a packet is queued under it, so that a socket
 * that was found cannot go away. RFC 768. */
#include "net/udp_priv.h"

#include "core/random.h"
#include "lib/string.h"
#include "net/config.h"
#include "net/mcast.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { BUCKETS = 256, PORT_FIRST = 32768, PORT_LAST = 60999, DHCP_PORT = 68 };

struct bucket {
    struct spinlock lock; /* before a socket's queue; two are never held */
    struct list_head sockets;
};

static struct bucket by_port[BUCKETS], by_ends[BUCKETS];

static struct bucket *port_bucket(u16 port)
{
    return &by_port[port % BUCKETS];
}

static struct bucket *ends_bucket(u16 local_port, const struct endpoint *remote)
{
    u32 h = remote->addr.words[0] ^ remote->addr.words[1] ^ remote->addr.words[2] ^
            remote->addr.words[3] ^ ((u32)remote->port << 16 | local_port);

    return &by_ends[(h * 0x9e3779b1u) >> 24];
}
static_assert(BUCKETS == 1 << 8, "ends_bucket");

/* ---- ports ---- */

static bool families_meet(const struct dgram *a, const struct dgram *b)
{
    bool a6 = a->sock->family == AF_INET6, b6 = b->sock->family == AF_INET6;

    return a6 == b6 || (a6 ? !a->ip.v6_only : !b->ip.v6_only);
}

/* Would both want the same packets, and one not allow it? */
static bool conflicts(const struct dgram *a, const struct dgram *b)
{
    const struct sock_options *x = &a->sock->options, *y = &b->sock->options;

    if (!families_meet(a, b) || (a->ifindex && b->ifindex && a->ifindex != b->ifindex))
        return false;
    if (!addr_is_any(&a->local.addr) && !addr_is_any(&b->local.addr) &&
        !addr_equal(&a->local.addr, &b->local.addr))
        return false;
    return !(x->reuse_addr && y->reuse_addr) && !(x->reuse_port && y->reuse_port);
}

static bool try_port(struct udp_sock *u, u16 port)
{
    struct dgram *d = &u->dgram, *other;
    struct bucket *bucket = port_bucket(port);
    bool ok = true;

    spin_lock(&bucket->lock);
    list_for_each(other, &bucket->sockets, node) {
        if (other->local.port == port && conflicts(d, other)) {
            ok = false;
            break;
        }
    }
    if (ok) {
        d->local.port = port;
        list_add_tail(&bucket->sockets, &d->node);
    }
    spin_unlock(&bucket->lock);
    return ok;
}

int udp_bind(struct udp_sock *u, const struct endpoint *local)
{
    enum { PORTS = PORT_LAST - PORT_FIRST + 1 };
    u32 start = (u32)random_below(PORTS);

    u->dgram.local = (struct endpoint){local->addr, 0, local->scope};
    if (local->port)
        return try_port(u, local->port) ? 0 : -EADDRINUSE;
    for (u32 i = 0; i < PORTS; i++)
        if (try_port(u, (u16)(PORT_FIRST + (start + i) % PORTS)))
            return 0;
    return -EAGAIN;
}

void udp_set_remote(struct udp_sock *u, const struct endpoint *remote)
{
    struct dgram *d = &u->dgram;

    if (d->remote.addr.family) {
        struct bucket *old = ends_bucket(d->local.port, &d->remote);
        spin_lock(&old->lock);
        list_remove(&d->conn_node);
        spin_unlock(&old->lock);
    }
    d->remote = *remote;
    if (!remote->addr.family)
        return;
    struct bucket *bucket = ends_bucket(d->local.port, remote);
    spin_lock(&bucket->lock);
    list_add_tail(&bucket->sockets, &d->conn_node);
    spin_unlock(&bucket->lock);
}

void udp_unbind(struct udp_sock *u)
{
    struct dgram *d = &u->dgram;

    udp_set_remote(u, &(struct endpoint){0});
    struct bucket *bucket = port_bucket(d->local.port);
    spin_lock(&bucket->lock);
    list_remove(&d->node);
    spin_unlock(&bucket->lock);
}

int udp_for_each(int (*fn)(const struct udp_entry *entry, void *arg), void *arg)
{
    int result = 0;

    for (u32 i = 0; i < BUCKETS && !result; i++) {
        struct dgram *d;
        spin_lock(&by_port[i].lock);
        list_for_each(d, &by_port[i].sockets, node) {
            struct udp_entry entry = {.local = d->local,
                                      .remote = d->remote,
                                      .ipv6_socket = d->sock->family == AF_INET6,
                                      .connected = d->remote.addr.family != ADDR_NONE,
                                      .queued = d->queued,
                                      .dropped = d->dropped,
                                      .sock = d->sock};
            result = fn(&entry, arg);
            if (result)
                break;
        }
        spin_unlock(&by_port[i].lock);
    }
    return result;
}

/* ---- packets ---- */

struct arrival {
    const struct ip_info *info;
    u16 from, to;
};

static bool accepts_family(const struct dgram *d, const struct ip_info *info)
{
    if (d->sock->family == AF_INET)
        return info->dst.family == ADDR_INET;
    return info->dst.family == ADDR_INET6 || !d->ip.v6_only;
}

/* 0: not for this socket; else how closely it fits. */
static u32 score(const struct dgram *d, const struct arrival *a)
{
    u32 points = 1;

    if (d->local.port != a->to || !accepts_family(d, a->info) ||
        (d->ifindex && d->ifindex != a->info->netif->index))
        return 0;
    if (!addr_is_any(&d->local.addr)) {
        if (!addr_equal(&d->local.addr, &a->info->dst))
            return 0;
        points += 4;
    }
    if (d->remote.addr.family) {
        if (d->remote.port != a->from || !addr_equal(&d->remote.addr, &a->info->src))
            return 0;
        points += 8;
    }
    return points + (d->ifindex ? 2 : 0);
}

/* Count and free, or queue: the end of every datagram with a taker. */
static void enqueue(struct dgram *d, struct pkt *pkt, const struct arrival *a)
{
    if (likely(dgram_enqueue(d, pkt, a->info, a->from))) {
        NET_COUNT(udp_in_datagrams);
        return;
    }
    NET_COUNT(udp_rcvbuf_errors);
    NET_COUNT(udp_in_errors);
    pkt_free(pkt);
}

static bool deliver_connected(struct pkt *pkt, const struct arrival *a)
{
    struct endpoint remote = {.addr = a->info->src, .port = a->from};
    struct bucket *bucket = ends_bucket(a->to, &remote);
    struct dgram *d;
    bool taken = false;

    spin_lock(&bucket->lock);
    list_for_each(d, &bucket->sockets, conn_node) {
        if (!score(d, a))
            continue;
        enqueue(d, pkt, a);
        taken = true;
        break;
    }
    spin_unlock(&bucket->lock);
    return taken;
}

static u32 spread(const struct arrival *a)
{
    u32 h = a->info->src.words[3] ^ a->info->src.words[1] ^ ((u32)a->from << 16 | a->to);

    h *= 0x9e3779b1u;
    return h ^ h >> 15;
}

/* The best fit; of several that fit alike (SO_REUSEPORT) the one that the flow's hash says. */
static struct dgram *best_locked(struct bucket *bucket, const struct arrival *a)
{
    struct dgram *d, *best = NULL;
    u32 best_score = 0, alike = 0, h = 0;

    list_for_each(d, &bucket->sockets, node) {
        u32 s = score(d, a);
        if (!s || s < best_score)
            continue;
        if (s > best_score) {
            best_score = s;
            best = d;
            alike = 1;
            continue;
        }
        if (!d->sock->options.reuse_port) { /* SO_REUSEADDR: the newest */
            best = d;
            continue;
        }
        h = ++alike == 2 ? spread(a) : h * 1664525 + 1013904223;
        if (((u64)h * alike) >> 32 == 0) /* one chance in as many as there are so far */
            best = d;
    }
    return best;
}

static bool deliver_by_port(struct pkt *pkt, const struct arrival *a)
{
    struct bucket *bucket = port_bucket(a->to);

    spin_lock(&bucket->lock);
    struct dgram *best = best_locked(bucket, a);
    if (best)
        enqueue(best, pkt, a);
    spin_unlock(&bucket->lock);
    return best != NULL;
}

/* Groups and broadcasts: a copy to each socket that listens. Takes @pkt. */
static void deliver_to_all(struct pkt *pkt, const struct arrival *a)
{
    struct bucket *bucket = port_bucket(a->to);
    struct dgram *d;

    spin_lock(&bucket->lock);
    list_for_each(d, &bucket->sockets, node) {
        bool group = a->info->cast == IP_MULTICAST;
        if (!score(d, a) || (group && !dgram_in_group(d, &a->info->dst, a->info->netif)))
            continue;
        struct pkt *copy = pkt_slice(pkt, 0, pkt->total);
        if (copy)
            enqueue(d, copy, a);
    }
    spin_unlock(&bucket->lock);
    pkt_free(pkt);
}

static bool csum_ok(const struct pkt *pkt, const struct ip_info *info, const struct udp_hdr *hdr)
{
    if (pkt->csum != CSUM_NONE)
        return true;
    if (!hdr->csum.raw)
        return info->src.family == ADDR_INET; /* "none"; not allowed in IPv6: RFC 8200, 8.1 */
    u32 sum = ip_pseudo_csum(&info->src, &info->dst, IP_UDP, pkt->total);
    return !csum_fold(pkt_csum(pkt, 0, pkt->total, sum));
}

static void udp_input(struct pkt *pkt, const struct ip_info *info)
{
    const struct udp_hdr *hdr = (const void *)pkt_linear(pkt, sizeof(*hdr));
    if (unlikely(!hdr))
        goto bad;
    u32 len = be16_get(hdr->len);
    if (unlikely(len < sizeof(*hdr) || len > pkt->total))
        goto bad;
    pkt_trim(pkt, len);
    if (unlikely(!csum_ok(pkt, info, hdr))) {
        NET_COUNT(udp_in_csum_errors);
        goto bad;
    }
    struct arrival a = {info, be16_get(hdr->src), be16_get(hdr->dst)};
    if (unlikely(a.to == DHCP_PORT && info->src.family == ADDR_INET)) {
        pkt_strip(pkt, sizeof(*hdr));
        dhcp_input(pkt, info);
        pkt_push(pkt, sizeof(*hdr));
    }
    if (unlikely(info->cast != IP_UNICAST)) {
        pkt_strip(pkt, sizeof(*hdr));
        deliver_to_all(pkt, &a);
        return;
    }
    pkt_strip(pkt, sizeof(*hdr));
    if (likely(deliver_connected(pkt, &a) || deliver_by_port(pkt, &a)))
        return;
    NET_COUNT(udp_no_ports);
    pkt_push(pkt, sizeof(*hdr));
    if (a.to != DHCP_PORT)
        ip_port_unreachable(pkt, info);
    pkt_free(pkt);
    return;

bad:
    NET_COUNT(udp_in_errors);
    pkt_free(pkt);
}

static void tell_locked(struct dgram *d, const struct arrival *a, int err, u32 mtu)
{
    struct endpoint about = {.addr = a->info->src, .port = a->from};

    if (err != EMSGSIZE || d->ip.recv_err || d->ip.recv_err6) /* the new MTU is known: no news */
        dgram_set_error(d, &about, err, mtu);
}

/* @about is our own packet's; turned round it looks like the answer whose socket we want. */
static void udp_error(const struct ip_info *about, int err, u32 mtu, const u8 *quoted)
{
    const struct udp_hdr *hdr = (const void *)quoted;
    struct ip_info back = {.src = about->dst, .dst = about->src, .netif = about->netif};
    struct arrival a = {&back, be16_get(hdr->dst), be16_get(hdr->src)};
    struct endpoint remote = {.addr = about->dst, .port = a.from};
    struct bucket *bucket = ends_bucket(a.to, &remote);
    struct dgram *d;
    bool told = false;

    if (mtu)
        pmtu_update(&about->dst, mtu);
    if (!back.netif)
        back.netif = &loopback;
    spin_lock(&bucket->lock);
    list_for_each(d, &bucket->sockets, conn_node) {
        if (!told && score(d, &a)) {
            tell_locked(d, &a, err, mtu);
            told = true;
        }
    }
    spin_unlock(&bucket->lock);
    if (told)
        return;
    bucket = port_bucket(a.to);
    spin_lock(&bucket->lock);
    d = best_locked(bucket, &a);
    if (d)
        tell_locked(d, &a, err, mtu);
    spin_unlock(&bucket->lock);
}

static const struct transport udp_transport = {
    .protocol = IP_UDP, .input = udp_input, .error = udp_error};

void udp_init(void)
{
    for (u32 i = 0; i < BUCKETS; i++) {
        list_init(&by_port[i].sockets);
        list_init(&by_ends[i].sockets);
    }
    transport_register(&udp_transport);
    proto_register(&udp4_ops);
    proto_register(&udp6_ops);
}
