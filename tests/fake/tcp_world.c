#include "fake/tcp_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/uaccess.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "core/random.h"
#include "core/timer.h"
#include "fake/fault.h"
#include "mm/page.h"
#include "net/stats.h"
#include "net/tcp_priv.h"
#include "sched/thread.h"

struct netif world_netif;
u32 world_scarcity;
int (*world_output)(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst,
                    const struct ip_meta *meta);

u32 net_generation;
struct net_counters net_counters[MAX_CPUS];
static const struct transport *transport;
static const u32 nonblocking = O_NONBLOCK;

/* ---- numbers ---- */

static u64 states[2]; /* the stack's and the test's */

static u64 step(u64 *state)
{
    u64 z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

u64 world_random(void)
{
    return step(&states[1]);
}

u64 random_u64(void)
{
    return step(&states[0]);
}

u64 random_below(u64 limit)
{
    return random_u64() % limit;
}

void random_bytes(void *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((u8 *)buf)[i] = (u8)random_u64();
}

/* ---- time ---- */

u64 tcp_world_next_ns(void)
{
    return world_next_timer_ns();
}

void tcp_world_run_to(u64 ns)
{
    while (world_run_timer(ns))
        ;
    world_ns = max(world_ns, ns);
}

/* ---- memory ---- */

static bool is_scarce(void)
{
    return world_scarcity && world_chance(world_scarcity);
}

u64 page_total(void)
{
    return 64 << 10;
}

u64 page_free_estimate(void)
{
    return 64 << 10;
}

void page_get_stats(struct page_stats *out)
{
    *out = (struct page_stats){.total = 64 << 10, .free = 64 << 10};
}

/* ---- the network layer ---- */

void transport_register(const struct transport *t)
{
    transport = t;
}

int route_find(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex, struct route *out)
{
    (void)ifindex;
    u8 host = dst->bytes[15] == 1 ? 2 : 1; /* there are but two */
    *out = (struct route){
        .netif = &world_netif,
        .source = src && src->family ? *src : world_addr(dst->family, host),
        .mtu = world_netif.mtu,
        .generation = net_generation,
    };
    return 0;
}

int route_find_wait(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex,
                    struct route *out)
{
    return route_find(dst, src, ifindex, out);
}

bool ip_is_local(const struct ip_addr *addr)
{
    return addr->family != ADDR_NONE;
}

u32 ip_pseudo_csum(const struct ip_addr *src, const struct ip_addr *dst, u8 protocol, u32 len)
{
    bool v4 = dst->family == ADDR_INET;
    u32 sum = csum_add2(__builtin_bswap16(protocol), __builtin_bswap32(len)), skip = v4 ? 12 : 0;

    sum = csum_add2(sum, csum_add(src->bytes + skip, 16 - skip, 0));
    return csum_add2(sum, csum_add(dst->bytes + skip, 16 - skip, 0));
}

int ip_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
              const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta)
{
    u32 header = dst->family == ADDR_INET ? 20 : 40;

    if (protocol != IPPROTO_TCP || pkt->total < TCP_HEADER || pkt->total > 65535 - header)
        abort();
    if (!pkt->gso && pkt->total + header > route->mtu) {
        pkt_free(pkt);
        return -EMSGSIZE;
    }
    if (world_output)
        return world_output(pkt, src, dst, meta);
    pkt_free(pkt);
    return 0;
}

void ip4_output_segment(struct pkt *pkt, const struct route *route, u32 src, u32 dst, u8 ttl,
                        u8 tos)
{
    struct ip_addr from = addr_from_v4(src), to = addr_from_v4(dst);
    struct ip_meta meta = {.ttl = ttl, .tos = tos, .dont_fragment = true};

    (void)ip_output(pkt, route, &from, &to, IPPROTO_TCP, &meta); /* it fits: tcp_segment.c */
}

void world_deliver(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst, u8 ecn)
{
    struct ip_info info = {
        .src = *src, .dst = *dst, .protocol = IPPROTO_TCP, .tos = ecn, .netif = &world_netif};

    transport->input(pkt, &info);
}

void world_error(const struct ip_addr *src, const struct ip_addr *dst, int err, u32 mtu,
                 const u8 *quoted)
{
    struct ip_info about = {.src = *src, .dst = *dst, .protocol = IPPROTO_TCP};

    transport->error(&about, err, mtu, quoted);
}

/* ---- the kernel's ends ---- */

void panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    abort();
}

void tcp_world_start(u64 seed)
{
    world_ground();
    world_page_fails = is_scarce;
    states[0] = seed;
    states[1] = ~seed * 0xd1342543de82ef95ull;
    world_netif = (struct netif){.name = "eth0", .index = 2, .flags = NETIF_UP, .mtu = 1500};
    if (!tcp_init())
        abort();
}

/* ---- sockets ---- */

struct ip_addr world_addr(u16 family, u8 host)
{
    u32 v4 = __builtin_bswap32(0x0a000000u | host);

    if (family == ADDR_INET)
        return addr_from_v4(v4);
    return (struct ip_addr){.bytes = {[0] = 0xfd, [15] = host}, .family = ADDR_INET6};
}

struct sock_addr world_sockaddr(const struct ip_addr *addr, u16 port)
{
    struct endpoint at = {.addr = *addr, .port = port};
    struct sock_addr out;

    endpoint_to_addr(&at, addr->family == ADDR_INET ? AF_INET : AF_INET6, &out);
    return out;
}

static struct socket *make_socket(const struct proto_ops *ops)
{
    struct socket *sock = malloc(sizeof(*sock));

    if (!sock)
        abort();
    socket_init(sock, ops, 0);
    sock->file_flags = &nonblocking;
    return sock;
}

struct socket *world_socket(int family)
{
    int err;
    struct socket *sock = make_socket(proto_find(family, SOCK_STREAM, 0, &err));

    while (sock->ops->create(sock)) /* a fault that is played is met once */
        ;
    return sock;
}

struct socket *world_accept(struct socket *listener)
{
    struct socket *sock = make_socket(listener->ops);

    if (!listener->ops->accept(listener, sock))
        return sock;
    free(sock);
    return NULL;
}

void world_close(struct socket *sock)
{
    sock->ops->close(sock);
    free(sock);
}

ssize_t world_send(struct socket *sock, const void *data, size_t len, u32 flags)
{
    struct iovec iov;
    struct iov_iter iter;
    struct sock_msg msg = {.data = &iter, .flags = flags | MSG_DONTWAIT};

    iter_init_kernel(&iter, &iov, (void *)(uintptr_t)data, len);
    return sock->ops->send(sock, &msg);
}

ssize_t world_recv(struct socket *sock, void *data, size_t len, u32 flags)
{
    struct iovec iov;
    struct iov_iter iter;
    struct sock_msg msg = {.data = &iter, .flags = flags | MSG_DONTWAIT};

    iter_init_kernel(&iter, &iov, data, len);
    return sock->ops->recv(sock, &msg);
}

struct netif *netif_by_name(const char *name)
{
    return strcmp(name, world_netif.name) ? NULL : &world_netif;
}

struct netif *netif_by_index(u32 index)
{
    return index == world_netif.index ? &world_netif : NULL;
}

/* ---- the end, which no test comes to ---- */

void vm_end_hook(void (*fn)(void))
{
    (void)fn;
}

void sched_stop_programs(void)
{
}

void netif_flush_all(void)
{
}
