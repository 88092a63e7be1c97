/* IP, version 4 and 6: routing, output, and the way up to the transports.  RFC 791, 8200. */
#pragma once

#include "net/netif.h"

/** Where a flow goes: found once, kept by the connection, checked by generation. */
struct route {
    struct netif *netif; /* NULL: unreachable */
    struct ip_addr next; /* the neighbour to ask for; family 0: the destination itself is on-link */
    struct ip_addr source; /* ours, for this destination */
    u32 mtu;               /* path MTU known so far */
    u32 generation;        /* of the configuration it was found under */
};

/** Find the way to @dst (from @src, if its family is set). 0, -ENETUNREACH, -EHOSTUNREACH. */
int route_find(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex,
               struct route *out);
/** True while @route is still what route_find would say. One load. */
bool route_valid(const struct route *route);

/** Per-packet words for ip_output; zero is the default. */
struct ip_meta {
    u8 ttl, tos;
    bool dont_fragment;
};

/**
 * Send @pkt (taken; .data at the transport header, csum set) from @src to @dst by @route: IP
 * header, neighbour, interface. Fragments what is too big unless told not to: then -EMSGSIZE and
 * the packet is freed. 0, or a negative errno that the transport may show or ignore. Does not
 * sleep.
 */
int ip_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
              const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta);

/** What arrived for a transport: header stripped, lengths checked, reassembled. */
struct ip_info {
    struct ip_addr src, dst;
    u8 protocol, ttl, tos;
    struct netif *netif;
};

/** A transport's entry points; @input takes the packet. Safe-point context; must not sleep. */
struct transport {
    u8 protocol;
    void (*input)(struct pkt *pkt, const struct ip_info *info);
    /** An ICMP error about a packet of ours: @quoted is its transport header's first 8 bytes. */
    void (*error)(const struct ip_info *about, int err, u32 mtu, const u8 *quoted);
};
void transport_register(const struct transport *transport);

/** The pseudo-header's sum, not folded. */
u32 ip_pseudo_csum(const struct ip_addr *src, const struct ip_addr *dst, u8 protocol, u32 len);
/** Is @addr one of ours (or loopback)? */
bool ip_is_local(const struct ip_addr *addr);

/** Start-up: loopback, interfaces' addresses from ip= or DHCP in the background. After drv_init. */
void net_init(void);
/** Name servers and domain as ip= or DHCP gave them, for /etc/resolv.conf; up to 3. */
u32 net_name_servers(struct ip_addr out[3]);
