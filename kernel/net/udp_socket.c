/* UDP sockets: the operations, and sending. A message becomes one packet, or several under
 * UDP_SEGMENT, which the interface cuts where it can. */
#include "net/udp_priv.h"

#include "abi/ip_options.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/net_priv.h"
#include "net/stats.h"

enum { HEADER = sizeof(struct udp_hdr), MAX_SEGMENTS = 64 };

static int udp_create(struct socket *sock)
{
    struct udp_sock *u = kzalloc(sizeof(*u));

    if (!u)
        return -ENOMEM;
    mutex_init(&u->send_lock);
    dgram_init(&u->dgram, sock);
    u->dgram.is_udp = true;
    return 0;
}

static void udp_close(struct socket *sock)
{
    struct udp_sock *u = udp_of(sock);

    udp_unbind(u);
    dgram_fini(&u->dgram);
    if (u->corked)
        pkt_free(u->corked);
    kfree(u);
}

static bool is_bound(const struct udp_sock *u)
{
    return u->dgram.local.port != 0;
}

static int autobind(struct udp_sock *u)
{
    struct endpoint any = {.addr.family =
                               u->dgram.sock->family == AF_INET ? ADDR_INET : ADDR_INET6};

    if (any.addr.family == ADDR_INET)
        any.addr = addr_from_v4(0);
    return is_bound(u) ? 0 : udp_bind(u, &any);
}

static int udp_bind_op(struct socket *sock, const struct sock_addr *addr)
{
    struct udp_sock *u = udp_of(sock);
    struct endpoint local;
    int err = endpoint_from_addr(addr, sock->family, &local);

    if (err)
        return err;
    if (is_bound(u))
        return -EINVAL;
    if (local.addr.family == ADDR_INET && sock->family == AF_INET6 && u->dgram.ip.v6_only)
        return -EINVAL;
    err = dgram_check_bind(&u->dgram, &local.addr);
    if (err) {
        err = net_wait_configured();
        err = err ? err : dgram_check_bind(&u->dgram, &local.addr);
    }
    if (err)
        return err;
    if (local.scope && !u->dgram.ifindex)
        u->dgram.ifindex = local.scope;
    return udp_bind(u, &local);
}

static int disconnect(struct udp_sock *u)
{
    udp_set_remote(u, &(struct endpoint){0});
    u->dgram.route.generation = 0;
    return 0;
}

static int udp_connect(struct socket *sock, const struct sock_addr *addr)
{
    struct udp_sock *u = udp_of(sock);
    struct sock_msg msg = {.addr = (struct sock_addr *)(uintptr_t)addr};
    struct dgram_target target;

    if (sock_addr_is_unspec(addr))
        return disconnect(u);
    (void)sock_take_error(sock); /* of the end we leave */
    int err = dgram_target(&u->dgram, &msg, &target);
    if (!err)
        err = autobind(u);
    if (err)
        return err;
    if (addr_is_any(&u->dgram.local.addr))
        u->dgram.local.addr = target.route.source;
    udp_set_remote(u, &target.to);
    spin_lock(&u->dgram.lock);
    u->dgram.route = target.route;
    spin_unlock(&u->dgram.lock);
    return 0;
}

/* ---- sending ---- */

/* RFC 8085, 3.2: whole where it fits, in pieces where the program allows it. */
static void choose_fragmenting(const struct udp_sock *u, struct dgram_target *t, u32 total)
{
    u32 header = t->to.addr.family == ADDR_INET ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr);
    u8 mode = u->dgram.ip.pmtu_mode;

    if (unlikely(u->dgram.ip.frag_size6) && t->to.addr.family == ADDR_INET6)
        t->route.mtu = min(t->route.mtu, (u32)u->dgram.ip.frag_size6);
    t->meta.fragment = mode == IP_PMTUDISC_DONT || mode == IP_PMTUDISC_OMIT ||
                       (mode == IP_PMTUDISC_WANT && total + header > t->route.mtu);
}

/* Put the header on and send. Takes @pkt. */
static int send_one(struct udp_sock *u, struct pkt *pkt, struct dgram_target *t, u16 segment)
{
    const struct ip_addr *src = t->source.family ? &t->source : &t->route.source;
    struct udp_hdr *hdr = (void *)pkt_push(pkt, HEADER);
    u32 len = pkt->total;

    *hdr = (struct udp_hdr){
        .src = be16_of(u->dgram.local.port), .dst = be16_of(t->to.port), .len = be16_of((u16)len)};
    bool none = u->no_check && t->to.addr.family == ADDR_INET && !segment;
    if (!none) {
        hdr->csum.raw = csum_fold_partial(ip_pseudo_csum(src, &t->to.addr, IP_UDP, len));
        pkt->csum = CSUM_PARTIAL;
        pkt->csum_start = 0;
        pkt->csum_offset = offsetof(struct udp_hdr, csum);
    }
    if (segment) {
        pkt->gso = GSO_UDP;
        pkt->gso_size = segment;
    } else {
        choose_fragmenting(u, t, len);
    }
    NET_COUNT(udp_out_datagrams);
    return ip_output(pkt, &t->route, src, &t->to.addr, IP_UDP, &t->meta);
}

/* Cut what UDP_SEGMENT says, where the interface cannot. Takes @pkt. */
static int send_segments(struct udp_sock *u, struct pkt *pkt, struct dgram_target *t, u16 segment)
{
    u32 headers = HEADER + sizeof(struct ip6_hdr);

    if (segment + headers > t->route.mtu || pkt->total > (u32)segment * MAX_SEGMENTS) {
        pkt_free(pkt);
        return -EINVAL;
    }
    if (t->route.netif->flags & NETIF_USO && !(t->route.netif->flags & NETIF_LOOPBACK))
        return send_one(u, pkt, t, segment);
    int err = 0;
    for (u32 at = 0; at < pkt->total && !err; at += segment) {
        struct pkt *part = pkt_slice(pkt, at, min((u32)segment, pkt->total - at));
        err = part ? send_one(u, part, t, 0) : -ENOBUFS;
    }
    pkt_free(pkt);
    return err;
}

static int send_whole(struct udp_sock *u, struct pkt *pkt, struct dgram_target *t)
{
    u16 segment = t->segment ? t->segment : u->segment;

    /* Groups that we are in ourselves hear it too. */
    if (unlikely(t->route.cast != IP_UNICAST) && u->dgram.ip.mcast_loop &&
        !(t->route.netif->flags & NETIF_LOOPBACK)) {
        struct pkt *copy = pkt_slice(pkt, 0, pkt->total);
        struct dgram_target own = *t;
        own.route.netif = &loopback;
        own.route.neigh = NULL;
        own.route.mtu = loopback.mtu;
        if (!own.source.family)
            own.source = t->route.source;
        if (copy)
            (void)send_one(u, copy, &own, 0); /* who listens here hears what it hears */
    }
    if (unlikely(segment && pkt->total > segment))
        return send_segments(u, pkt, t, segment);
    return send_one(u, pkt, t, 0);
}

/* MSG_MORE and UDP_CORK: bytes gather in one packet until a call comes without. */
static ssize_t send_corked(struct udp_sock *u, struct sock_msg *msg, struct dgram_target *t,
                           bool more)
{
    ssize_t n = (ssize_t)msg->data->left;
    int err = 0;

    mutex_lock(&u->send_lock);
    if (!u->corked) {
        u->corked = pkt_alloc();
        u->corked_target = *t;
    }
    struct pkt *pkt = u->corked;
    if (!pkt)
        err = -ENOBUFS;
    else if (pkt->total + (u64)n > IP_MAX_LEN - HEADER - sizeof(struct ip4_hdr))
        err = -EMSGSIZE;
    else
        err = pkt_from_iter(pkt, msg->data, (u32)n);
    if (pkt && (err || !more)) {
        u->corked = NULL;
        if (err)
            pkt_free(pkt);
        else
            err = send_whole(u, pkt, &u->corked_target);
    }
    mutex_unlock(&u->send_lock);
    return err ? err : n;
}

static ssize_t udp_send(struct socket *sock, struct sock_msg *msg)
{
    struct udp_sock *u = udp_of(sock);
    struct dgram_target t;
    u64 n = msg->data->left;

    if (msg->flags & MSG_OOB)
        return -EOPNOTSUPP;
    int err = dgram_target(&u->dgram, msg, &t);
    if (err)
        return err;
    if (!t.to.port)
        return -EINVAL;
    if (unlikely(!is_bound(u))) {
        err = autobind(u);
        if (err)
            return err;
    }
    bool more = u->cork || msg->flags & MSG_MORE;
    if (unlikely(more || u->corked))
        return send_corked(u, msg, &t, more);
    if (n > IP_MAX_LEN - HEADER - sizeof(struct ip4_hdr))
        return -EMSGSIZE;
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return -ENOBUFS;
    err = pkt_from_iter(pkt, msg->data, (u32)n);
    if (err) {
        pkt_free(pkt);
        return err;
    }
    err = send_whole(u, pkt, &t);
    return err ? err : (ssize_t)n;
}

/* ---- options ---- */

static int push_corked(struct udp_sock *u)
{
    int err = 0;

    mutex_lock(&u->send_lock);
    struct pkt *pkt = u->corked;
    u->corked = NULL;
    if (pkt)
        err = send_whole(u, pkt, &u->corked_target);
    mutex_unlock(&u->send_lock);
    return err;
}

static int udp_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct udp_sock *u = udp_of(sock);
    s32 number;

    if (level == SOL_SOCKET && name == SO_NO_CHECK && len >= sizeof(number)) {
        memcpy(&number, value, sizeof(number));
        u->no_check = number != 0;
        return 0;
    }
    if (level != SOL_UDP)
        return dgram_setopt(sock, level, name, value, len);
    if (len < sizeof(number))
        return -EINVAL;
    memcpy(&number, value, sizeof(number));
    switch (name) {
    case UDP_CORK:
        u->cork = number != 0;
        return u->cork ? 0 : push_corked(u);
    case UDP_SEGMENT:
        if (number < 0 || number > (s32)UINT16_MAX)
            return -EINVAL;
        u->segment = (u16)number;
        return 0;
    case UDP_GRO:
        u->dgram.join = number != 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int udp_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    const struct udp_sock *u = udp_of(sock);
    s32 number;

    if (level != SOL_UDP)
        return dgram_getopt(sock, level, name, value, len);
    switch (name) {
    case UDP_CORK:
        number = u->cork;
        break;
    case UDP_SEGMENT:
        number = u->segment;
        break;
    case UDP_GRO:
        number = u->dgram.join;
        break;
    default:
        return -ENOPROTOOPT;
    }
    *len = min(*len, (u32)sizeof(number));
    memcpy(value, &number, *len);
    return 0;
}

const struct proto_ops udp4_ops = {.family = AF_INET,
                                   .type = SOCK_DGRAM,
                                   .protocol = IPPROTO_UDP,
                                   .create = udp_create,
                                   .close = udp_close,
                                   .bind = udp_bind_op,
                                   .connect = udp_connect,
                                   .send = udp_send,
                                   .recv = dgram_recv,
                                   .shutdown = dgram_shutdown,
                                   .name = dgram_name,
                                   .ready = dgram_ready,
                                   .setopt = udp_setopt,
                                   .getopt = udp_getopt,
                                   .ioctl = dgram_ioctl};
const struct proto_ops udp6_ops = {.family = AF_INET6,
                                   .type = SOCK_DGRAM,
                                   .protocol = IPPROTO_UDP,
                                   .create = udp_create,
                                   .close = udp_close,
                                   .bind = udp_bind_op,
                                   .connect = udp_connect,
                                   .send = udp_send,
                                   .recv = dgram_recv,
                                   .shutdown = dgram_shutdown,
                                   .name = dgram_name,
                                   .ready = dgram_ready,
                                   .setopt = udp_setopt,
                                   .getopt = udp_getopt,
                                   .ioctl = dgram_ioctl};
