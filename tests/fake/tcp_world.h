/* What TCP stands on, for the host: a virtual clock and its timers, pages, random numbers of a
 * seed, and a network layer that hands each packet to a function of the test's.  Heap blocks are
 * the C library's, so that ASan sees every misuse and every leak. */
#pragma once

#include "fake/net_ground.h"
#include "net/ip.h"
#include "net/socket.h"

/** Start over with @seed: sockets, shards and interface as new. Once a process. */
void tcp_world_start(u64 seed);
/** Let time pass to @ns; timers that are due fire, each at its own time. */
void tcp_world_run_to(u64 ns);
/** When the next timer fires; TIME_NEVER: none is set. */
u64 tcp_world_next_ns(void);
/** A random number that the seed decides; apart from those that the stack takes. */
u64 world_random(void);
static inline u64 world_below(u64 limit)
{
    return world_random() % limit;
}
/** True in @percent of a hundred cases; parts of a thousand, in truth: 10 is 1 %. */
static inline bool world_chance(u32 permille)
{
    return world_below(1000) < permille;
}

/** Every packet that the stack sends: .data at the transport header; taken. NULL: they vanish. */
extern int (*world_output)(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst,
                           const struct ip_meta *meta);
/** The only interface; its flags and MTU are the test's to set. */
extern struct netif world_netif;
/** Give a segment to the stack as if IP had received it; takes @pkt. */
void world_deliver(struct pkt *pkt, const struct ip_addr *src, const struct ip_addr *dst, u8 ecn);
/** Tell the stack of an ICMP error. @quoted: first 8 bytes of its transport header. */
void world_error(const struct ip_addr *src, const struct ip_addr *dst, int err, u32 mtu,
                 const u8 *quoted);

/** A stream socket of @family, not blocking. Never NULL. */
struct socket *world_socket(int family);
/** A connection of the queue, or NULL. */
struct socket *world_accept(struct socket *listener);
/** Close and free. */
void world_close(struct socket *sock);
/** The address 10.0.0.@host, or fd00::@host. */
struct ip_addr world_addr(u16 family, u8 host);
struct sock_addr world_sockaddr(const struct ip_addr *addr, u16 port);
ssize_t world_send(struct socket *sock, const void *data, size_t len, u32 flags);
ssize_t world_recv(struct socket *sock, void *data, size_t len, u32 flags);
/** Of a thousand allocations of pages, so many fail. */
extern u32 world_scarcity;
