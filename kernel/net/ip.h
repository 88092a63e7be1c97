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
    u8 cast;               /* enum ip_cast of the destination */
    struct neigh *neigh;   /* of .next; NULL on loopback; good while the route is valid */
};

/** What an address is. */
enum ip_cast { IP_UNICAST, IP_BROADCAST, IP_MULTICAST, IP_NOT_OURS };

/** Find the way to @dst (from @src, if its family is set). 0, -ENETUNREACH, -EHOSTUNREACH. */
int route_find(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex,
               struct route *out);
/** True while @route is still what route_find would say. One load. */
static inline bool route_valid(const struct route *route)
{
    return route->generation == __atomic_load_n(&net_generation, __ATOMIC_ACQUIRE);
}

/** A line of the routing table: what route(8) and netlink show. */
struct route_entry {
    struct ip_addr dst;
    u8 prefix;
    struct ip_addr gateway; /* family 0: on-link */
    struct netif *netif;
    u32 metric;
};
/** Add a line; -EEXIST, -ENOSPC. The host bits of .dst are cleared. */
int route_add(const struct route_entry *entry);
/** Remove the first line with this destination and prefix, and with this interface, gateway and
 * metric where they are given. -ESRCH. */
int route_remove(const struct route_entry *entry);
/** The first line with this destination, prefix and metric. False: there is none. */
bool route_get_same(const struct route_entry *entry, struct route_entry *out);
/** The interface on whose own network @gateway is; NULL: on none. */
struct netif *route_link_of(const struct ip_addr *gateway);
/** Line @i of the table, in no order. False: past the end. */
bool route_get(u32 i, struct route_entry *out);

/** Per-packet words for ip_output; zero is the default. */
struct ip_meta {
    u8 ttl, tos;
    bool dont_fragment; /* IPv4's DF, and fail rather than fragment */
    bool fragment;      /* never DF, and fragment here where the path's MTU asks for it */
    u32 flow_label;     /* IPv6; network order, the low 20 bits of the first word */
};

/**
 * Send @pkt (taken; .data at the transport header, csum set) from @src to @dst by @route: IP
 * header, neighbour, interface. Fragments what is too big unless told not to: then -EMSGSIZE and
 * the packet is freed. 0, or a negative errno that the transport may show or ignore. Does not
 * sleep.
 */
int ip_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
              const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta);
/**
 * The same for a segment of TCP over IPv4 that fits @route whole or is to be cut by the interface:
 * never a fragment. @src, @dst: in network order; @ttl: 0 is the default.
 */
void ip4_output_segment(struct pkt *pkt, const struct route *route, u32 src, u32 dst, u8 ttl,
                        u8 tos);

/** What arrived for a transport: header stripped, lengths checked, reassembled. */
struct ip_info {
    struct ip_addr src, dst;
    u8 protocol, ttl, tos;
    u8 cast; /* enum ip_cast: unicast, broadcast or multicast */
    u16 id;  /* IPv4's */
    struct netif *netif;
    bool refused; /* by the transport's .expected4 */
};

/** A transport's entry points; @input takes the packet. Safe-point context; must not sleep. */
struct transport {
    u8 protocol;
    void (*input)(struct pkt *pkt, const struct ip_info *info);
    /** An ICMP error about a packet of ours: @quoted is its transport header's first 8 bytes. */
    void (*error)(const struct ip_info *about, int err, u32 mtu, const u8 *quoted);
    /**
     * An IPv4 packet without options, whole and with a good header, .data at that header, from and
     * to addresses that nobody has looked at: take it if it is what a connection over @netif waits
     * for. False: it is not, nothing has changed. NULL: nothing is ever expected.
     */
    bool (*expected4)(struct netif *netif, struct pkt *pkt, u32 src, u32 dst);
};
void transport_register(const struct transport *transport);
/** For a transport without a taker: ICMP port unreachable to the sender. Borrows @pkt. */
void ip_port_unreachable(const struct pkt *pkt, const struct ip_info *info);

/** The pseudo-header's sum, not folded. */
u32 ip_pseudo_csum(const struct ip_addr *src, const struct ip_addr *dst, u8 protocol, u32 len);
/** Is @addr one of ours (or loopback)? */
bool ip_is_local(const struct ip_addr *addr);

/**
 * Start-up: loopback, interfaces' addresses from ip= or DHCP in the background. Called by
 * the first socket, or a while after the start; later calls do nothing. May sleep. Without memory
 * for it nothing is started, there are no interfaces, and the next call tries again.
 */
void net_init(void);
/**
 * Wait until the interfaces have their addresses, at most a few seconds after start. At once where
 * they have, or where nothing is to come. Thread context; sleeps. 0 or -EINTR.
 */
int net_wait_configured(void);
/** As route_find, but waits for the interface's first address where there is no way yet. For
 * connect and send; thread context, sleeps. */
int route_find_wait(const struct ip_addr *dst, const struct ip_addr *src, u32 ifindex,
                    struct route *out);
/** Name servers and domain as ip= or DHCP gave them, for /etc/resolv.conf; up to 3. */
u32 net_name_servers(struct ip_addr out[3]);
/** When name servers or domain changed last, in ns since boot; 0: never. */
u64 net_resolver_changed_ns(void);
