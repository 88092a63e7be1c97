#include "fake/tcp_world.h"

#include <asm/prctl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

u64 world_ns = 1000 * NSEC_PER_SEC, world_pages;
struct netif world_netif;
u32 world_scarcity;
int (*world_output)(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst,
                    const struct ip_meta *meta);

static struct cpu cpu;
struct cpu *cpus[MAX_CPUS] = {&cpu};
u32 cpu_count = 1;
u64 cpus_online = 1;
char percpu_reads;
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

static struct timer *timers[64];
static u32 nr_timers;

u64 time_ns(void)
{
    return world_ns;
}

u64 time_real_ns(void)
{
    return world_ns;
}

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
    *t = (struct timer){.fn = fn};
}

bool timer_cancel(struct timer *t)
{
    for (u32 i = 0; i < nr_timers; i++)
        if (timers[i] == t) {
            timers[i] = timers[--nr_timers];
            t->cpu = NULL;
            return true;
        }
    return false;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
    timer_cancel(t);
    if (nr_timers == ARRAY_LEN(timers))
        abort();
    t->deadline_ns = deadline_ns;
    t->cpu = &cpu;
    timers[nr_timers++] = t;
}

static struct timer *first_timer(void)
{
    struct timer *first = NULL;

    for (u32 i = 0; i < nr_timers; i++)
        if (!first || timers[i]->deadline_ns < first->deadline_ns)
            first = timers[i];
    return first;
}

u64 tcp_world_next_ns(void)
{
    struct timer *first = first_timer();

    return first ? first->deadline_ns : TIME_NEVER;
}

void tcp_world_run_to(u64 ns)
{
    struct timer *first;

    while ((first = first_timer()) && first->deadline_ns <= ns) {
        world_ns = max(world_ns, first->deadline_ns);
        timer_cancel(first);
        first->fn(first);
    }
    world_ns = max(world_ns, ns);
}

/* ---- memory: blocks of an arena, poisoned while they are free ---- */

enum { ARENA_PAGES = 32768, ORDERS = 4 };

static struct page page_array[ARENA_PAGES];
struct page *page_map = page_array;
u64 direct_map_base;
static u32 arena_used;
static struct page *free_blocks[ORDERS]; /* linked by .owner */

static struct page *take_block(unsigned order)
{
    struct page *page = free_blocks[order];

    if (page) {
        free_blocks[order] = page->owner;
        return page;
    }
    if (!direct_map_base)
        direct_map_base = (u64)(uintptr_t)aligned_alloc(PAGE_SIZE, ARENA_PAGES * PAGE_SIZE);
    page = &page_array[arena_used];
    arena_used += 1u << order;
    if (!direct_map_base || arena_used > ARENA_PAGES)
        abort();
    return page;
}

struct page *page_alloc(unsigned order, unsigned flags)
{
    size_t size = (size_t)PAGE_SIZE << order;

    if (fault_point(-ENOMEM, "page_alloc") || (world_scarcity && world_chance(world_scarcity)))
        return NULL;
    struct page *page = take_block(order);
    *page = (struct page){.refs = 1, .order = (u8)order};
    ASAN_UNPOISON_MEMORY_REGION(page_to_virt(page), size);
    memset(page_to_virt(page), flags & PAGE_ZERO ? 0 : 0xa5, size);
    world_pages += 1ull << order;
    return page;
}

void page_put(struct page *page)
{
    if (!page->refs)
        abort();
    if (--page->refs)
        return;
    world_pages -= 1ull << page->order;
    ASAN_POISON_MEMORY_REGION(page_to_virt(page), (size_t)PAGE_SIZE << page->order);
    page->owner = free_blocks[page->order];
    free_blocks[page->order] = page;
}

struct page *virt_to_page(const void *virt)
{
    return &page_array[((u64)(uintptr_t)virt - direct_map_base) >> PAGE_SHIFT];
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

size_t arch_copy_user(void *dst, const void *src, size_t n)
{
    memcpy(dst, src, n);
    return 0;
}

size_t arch_clear_user(void *dst, size_t n)
{
    memset(dst, 0, n);
    return 0;
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

void assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
}

void panic(const char *fmt, ...)
{
    fprintf(stderr, "panic: %s\n", fmt);
    abort();
}

void log_print(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

void tcp_world_start(u64 seed)
{
    cpu.arch.self = &cpu.arch;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu);
    states[0] = seed;
    states[1] = ~seed * 0xd1342543de82ef95ull;
    world_netif = (struct netif){.name = "eth0", .index = 2, .flags = NETIF_UP, .mtu = 1500};
    tcp_init();
}

/* ---- sockets ---- */

struct ip_addr world_addr(u16 family, u8 host)
{
    u32 v4 = __builtin_bswap32(0x0a000000u | host);

    if (family == ADDR_INET)
        return addr_from_v4(v4);
    return (struct ip_addr){
        .bytes = {[0] = 0xfd, [15] = host},
          .family = ADDR_INET6
    };
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
