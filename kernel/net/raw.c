/* Raw and ping sockets: RFC 791, 792 as programs see them. All are in one list: they are few, and
 * packets look at it only while it is not empty. A ping socket sends echoes whose identifier is its
 * "port" and hears the answers to them; a raw one hears all of its protocol, IPv4 with the header.
 */
#include "net/ping.h"

#include "abi/ip_options.h"
#include "core/random.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "net/dgram.h"
#include "net/net_priv.h"

enum { FILTER_WORDS = 8 };

/* Fields: [I], [D] under .dgram.lock. */
struct raw_sock {
    struct dgram dgram;       /* first; .local.port is the identifier of a ping socket */
    bool ping;                /* [I] */
    u8 protocol;              /* [I] IPPROTO_RAW: sends only */
    u32 filter[FILTER_WORDS]; /* [D] a bit for each ICMP type that is not wanted */
    s32 csum_offset;          /* [D] IPV6_CHECKSUM; -1: none */
};

static struct spinlock lock = SPINLOCK_INIT; /* before a socket's queue */
static struct list_head sockets = LIST_INIT(sockets);

static struct raw_sock *raw_of(struct dgram *d)
{
    return container_of(d, struct raw_sock, dgram);
}

static bool is_v6(const struct raw_sock *r)
{
    return r->dgram.sock->family == AF_INET6;
}

/* ---- arrivals ---- */

static bool listens(const struct raw_sock *r, const struct ip_info *info)
{
    const struct dgram *d = &r->dgram;

    if (is_v6(r) != (info->src.family == ADDR_INET6) ||
        (d->ifindex && d->ifindex != info->netif->index))
        return false;
    if (d->local.addr.family && !addr_is_any(&d->local.addr) &&
        !addr_equal(&d->local.addr, &info->dst))
        return false;
    return !d->remote.addr.family || addr_equal(&d->remote.addr, &info->src);
}

static bool is_filtered(const struct raw_sock *r, u8 type)
{
    return r->filter[type / 32] >> type % 32 & 1;
}

/* With the header rebuilt: options are gone, which Linux keeps. */
static struct pkt *copy_with_header(const struct pkt *pkt, const struct ip_info *info)
{
    struct ip4_hdr hdr = {.version_ihl = 0x45,
                          .tos = info->tos,
                          .total_len = be16_of((u16)(pkt->total + sizeof(hdr))),
                          .id = be16_of(info->id),
                          .ttl = info->ttl,
                          .protocol = info->protocol,
                          .src = {addr_v4(&info->src)},
                          .dst = {addr_v4(&info->dst)}};
    struct pkt *copy = pkt_alloc(), *rest = pkt_slice(pkt, 0, pkt->total);

    hdr.csum.raw = csum_fold(csum_add(&hdr, sizeof(hdr), 0));
    if (copy && rest && pkt_append(copy, &hdr, sizeof(hdr)) && pkt_join(copy, rest))
        return copy;
    if (copy)
        pkt_free(copy);
    if (rest)
        pkt_free(rest);
    return NULL;
}

static void queue_copy(struct raw_sock *r, const struct pkt *pkt, const struct ip_info *info,
                       bool with_header)
{
    struct pkt *copy = with_header ? copy_with_header(pkt, info) : pkt_slice(pkt, 0, pkt->total);

    if (!copy)
        return;
    if (!dgram_enqueue(&r->dgram, copy, info, 0))
        pkt_free(copy);
}

void ping_input(const struct pkt *pkt, const struct ip_info *info)
{
    struct icmp_hdr hdr;
    struct dgram *d;

    if (list_empty(&sockets) || !pkt_copy_out(pkt, 0, &hdr, sizeof(hdr)))
        return;
    spin_lock(&lock);
    list_for_each(d, &sockets, node) {
        struct raw_sock *r = raw_of(d);
        if (r->ping && d->local.port == be16_get(hdr.id) && listens(r, info))
            queue_copy(r, pkt, info, false);
    }
    spin_unlock(&lock);
}

/* Every packet for us passes here; a copy goes to each raw socket of its protocol. */
static bool raw_input(const struct pkt *pkt, const struct ip_info *info)
{
    struct dgram *d;
    bool taken = false;
    u8 type = 0;

    if (likely(list_empty(&sockets)))
        return false;
    bool icmp = info->protocol == IP_ICMP || info->protocol == IP_ICMP6;
    if (icmp && !pkt_copy_out(pkt, 0, &type, 1))
        return false;
    spin_lock(&lock);
    list_for_each(d, &sockets, node) {
        struct raw_sock *r = raw_of(d);
        if (r->ping || r->protocol != info->protocol || !listens(r, info) ||
            (icmp && is_filtered(r, type)))
            continue;
        queue_copy(r, pkt, info, !is_v6(r));
        taken = true;
    }
    spin_unlock(&lock);
    return taken;
}

/* ---- life ---- */

static int raw_create(struct socket *sock)
{
    struct raw_sock *r = kzalloc(sizeof(*r));

    if (!r)
        return -ENOMEM;
    dgram_init(&r->dgram, sock);
    r->ping = sock->type == SOCK_DGRAM;
    r->protocol = (u8)sock->protocol;
    r->csum_offset = r->protocol == IPPROTO_ICMPV6 ? 2 : -1;
    r->dgram.ip.header_included = r->protocol == IPPROTO_RAW;
    spin_lock(&lock);
    list_add_tail(&sockets, &r->dgram.node);
    if (!r->ping)
        ip_raw_input = raw_input; /* from here on packets are looked at */
    spin_unlock(&lock);
    return 0;
}

static void raw_close(struct socket *sock)
{
    struct raw_sock *r = sock->data;

    spin_lock(&lock);
    list_remove(&r->dgram.node);
    spin_unlock(&lock);
    dgram_fini(&r->dgram);
    kfree(r);
}

/* Is @id free? With the lock held. */
static bool id_is_free(const struct raw_sock *self, u16 id)
{
    struct dgram *d;

    list_for_each(d, &sockets, node) {
        if (raw_of(d)->ping && d != &self->dgram && d->local.port == id &&
            d->sock->family == self->dgram.sock->family)
            return false;
    }
    return true;
}

static int choose_id(struct raw_sock *r, u16 wanted)
{
    int err = -EADDRINUSE;

    spin_lock(&lock);
    for (u32 tries = 0; tries < 1000 && err; tries++) {
        u16 id = wanted ? wanted : (u16)(1 + random_below(UINT16_MAX));
        if (id_is_free(r, id)) {
            r->dgram.local.port = id;
            err = 0;
        }
        if (wanted)
            break;
    }
    spin_unlock(&lock);
    return err;
}

static int raw_bind(struct socket *sock, const struct sock_addr *addr)
{
    struct raw_sock *r = sock->data;
    struct endpoint local;
    int err = endpoint_from_addr(addr, sock->family, &local);

    if (!err)
        err = dgram_check_bind(&r->dgram, &local.addr);
    if (!err && r->ping)
        err = choose_id(r, local.port);
    if (err)
        return err;
    r->dgram.local.addr = local.addr;
    return 0;
}

static int raw_connect(struct socket *sock, const struct sock_addr *addr)
{
    struct raw_sock *r = sock->data;
    struct sock_msg msg = {.addr = (struct sock_addr *)(uintptr_t)addr};
    struct dgram_target target;

    if (sock_addr_is_unspec(addr)) {
        r->dgram.remote.addr.family = ADDR_NONE;
        return 0;
    }
    int err = dgram_target(&r->dgram, &msg, &target);
    if (!err && r->ping && !r->dgram.local.port)
        err = choose_id(r, 0);
    if (err)
        return err;
    r->dgram.local.addr = target.route.source;
    r->dgram.remote = target.to;
    return 0;
}

/* ---- sending ---- */

static u8 echo_type(const struct raw_sock *r)
{
    return is_v6(r) ? ICMP6_ECHO : ICMP_ECHO;
}

/* The message is the program's; identifier and checksum are ours. */
static int finish_ping(struct raw_sock *r, struct pkt *pkt, const struct ip_addr *src,
                       const struct ip_addr *dst)
{
    struct icmp_hdr *hdr = (void *)pkt_linear(pkt, sizeof(*hdr));

    if (!hdr || hdr->type != echo_type(r) || hdr->code)
        return -EINVAL;
    hdr->id = be16_of(r->dgram.local.port);
    hdr->csum.raw = 0;
    u32 sum = is_v6(r) ? ip_pseudo_csum(src, dst, IP_ICMP6, pkt->total) : 0;
    hdr->csum.raw = csum_fold(pkt_csum(pkt, 0, pkt->total, sum));
    return 0;
}

static int finish_csum6(const struct raw_sock *r, struct pkt *pkt, const struct ip_addr *src,
                        const struct ip_addr *dst)
{
    u32 at = (u32)r->csum_offset;
    u8 *p = pkt_linear(pkt, at + 2);

    if (!p)
        return -EINVAL;
    memset(p + at, 0, 2);
    u32 sum = ip_pseudo_csum(src, dst, r->protocol, pkt->total);
    u16 value = csum_fold(pkt_csum(pkt, 0, pkt->total, sum));
    memcpy(p + at, &value, 2);
    return 0;
}

/* IP_HDRINCL: the header is the program's, but for what Linux fills in (raw(7)). Takes @pkt. */
static int send_with_header(struct pkt *pkt, const struct dgram_target *t)
{
    struct ip4_hdr *hdr = (void *)pkt_linear(pkt, sizeof(*hdr));
    u32 header_len = hdr ? (hdr->version_ihl & 15) * 4u : 0;

    if (header_len < sizeof(*hdr) || !pkt_linear(pkt, header_len) || pkt->total > t->route.mtu) {
        int err = pkt->total > t->route.mtu ? -EMSGSIZE : -EINVAL;
        pkt_free(pkt);
        return err;
    }
    hdr = (void *)pkt->data;
    hdr->total_len = be16_of((u16)pkt->total);
    if (!hdr->src.raw)
        hdr->src.raw = addr_v4(&t->route.source);
    if (!hdr->id.raw)
        hdr->id.raw = (u16)random_u64();
    hdr->csum.raw = 0;
    hdr->csum.raw = csum_fold(csum_add(hdr, header_len, 0));
    ip_transmit(pkt, &t->route, ETH_IP4);
    return 0;
}

static int send_packet(struct raw_sock *r, struct pkt *pkt, struct dgram_target *t)
{
    const struct ip_addr *src = t->source.family ? &t->source : &t->route.source;
    int err = 0;

    if (!r->ping && !is_v6(r) && r->dgram.ip.header_included)
        return send_with_header(pkt, t);
    if (r->ping)
        err = finish_ping(r, pkt, src, &t->to.addr);
    else if (is_v6(r) && r->csum_offset >= 0)
        err = finish_csum6(r, pkt, src, &t->to.addr);
    if (err) {
        pkt_free(pkt);
        return err;
    }
    u8 mode = r->dgram.ip.pmtu_mode;
    t->meta.fragment = mode == IP_PMTUDISC_DONT || mode == IP_PMTUDISC_WANT;
    return ip_output(pkt, &t->route, src, &t->to.addr, r->protocol, &t->meta);
}

static ssize_t raw_send(struct socket *sock, struct sock_msg *msg)
{
    struct raw_sock *r = sock->data;
    u64 n = msg->data->left;
    struct dgram_target t;
    int err = dgram_target(&r->dgram, msg, &t);

    if (err)
        return err;
    if (n > IP_MAX_LEN - sizeof(struct ip6_hdr))
        return -EMSGSIZE;
    if (r->ping && !r->dgram.local.port) {
        err = choose_id(r, 0);
        if (err)
            return err;
    }
    struct pkt *pkt = pkt_alloc();
    if (!pkt)
        return -ENOBUFS;
    err = pkt_from_iter(pkt, msg->data, (u32)n);
    if (err) {
        pkt_free(pkt);
        return err;
    }
    err = send_packet(r, pkt, &t);
    return err ? err : (ssize_t)n;
}

/* ---- options ---- */

static int raw_setopt(struct socket *sock, int level, int name, const void *value, u32 len)
{
    struct raw_sock *r = sock->data;
    bool v6 = sock->family == AF_INET6;

    if ((level == SOL_RAW && !v6 && name == ICMP_FILTER) ||
        (level == SOL_ICMPV6 && v6 && name == ICMPV6_FILTER)) {
        memset(r->filter, 0, sizeof(r->filter));
        memcpy(r->filter, value, min(len, (u32)sizeof(r->filter)));
        return 0;
    }
    if (v6 && name == IPV6_CHECKSUM && (level == SOL_IPV6 || level == SOL_RAW)) {
        s32 offset;
        bool fixed = r->protocol == IPPROTO_ICMPV6 && level == SOL_IPV6; /* RFC 3542, 3.1 */
        if (len < sizeof(offset) || fixed)
            return -EINVAL;
        memcpy(&offset, value, sizeof(offset));
        if (offset < -1 || offset > 512 || (offset > 0 && offset & 1))
            return -EINVAL;
        r->csum_offset = offset;
        return 0;
    }
    return dgram_setopt(sock, level, name, value, len);
}

static int raw_getopt(struct socket *sock, int level, int name, void *value, u32 *len)
{
    struct raw_sock *r = sock->data;

    if ((level == SOL_RAW || level == SOL_ICMPV6) && name == ICMP_FILTER) {
        *len = min(*len, (u32)(level == SOL_RAW ? 4 : sizeof(r->filter)));
        memcpy(value, r->filter, *len);
        return 0;
    }
    return dgram_getopt(sock, level, name, value, len);
}

int raw_for_each(int (*fn)(const struct raw_entry *entry, void *arg), void *arg)
{
    struct dgram *d;
    int result = 0;

    spin_lock(&lock);
    list_for_each(d, &sockets, node) {
        struct raw_sock *r = raw_of(d);
        struct raw_entry entry = {.local = d->local,
                                  .remote = d->remote,
                                  .ping = r->ping,
                                  .ipv6_socket = is_v6(r),
                                  .queued = d->queued,
                                  .dropped = d->dropped,
                                  .sock = d->sock};
        if (!r->ping)
            entry.local.port = r->protocol;
        result = fn(&entry, arg);
        if (result)
            break;
    }
    spin_unlock(&lock);
    return result;
}

#define RAW_OPS                                                                                    \
    .create = raw_create, .close = raw_close, .bind = raw_bind, .connect = raw_connect,            \
    .send = raw_send, .recv = dgram_recv, .shutdown = dgram_shutdown, .name = dgram_name,          \
    .ready = dgram_ready, .setopt = raw_setopt, .getopt = raw_getopt, .ioctl = dgram_ioctl

static const struct proto_ops ops[] = {
    {.family = AF_INET, .type = SOCK_DGRAM, .protocol = IPPROTO_ICMP, RAW_OPS},
    {.family = AF_INET6, .type = SOCK_DGRAM, .protocol = IPPROTO_ICMPV6, RAW_OPS},
    {.family = AF_INET, .type = SOCK_RAW, .protocol = 0, RAW_OPS},
    {.family = AF_INET6, .type = SOCK_RAW, .protocol = 0, RAW_OPS},
};

void raw_init(void)
{
    for (u32 i = 0; i < ARRAY_LEN(ops); i++)
        proto_register(&ops[i]);
}
