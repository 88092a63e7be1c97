/* What the files of the stack's lower half share: interfaces, neighbours, routes, IP, ICMP. */
#pragma once

#include "net/ip.h"
#include "net/wire.h"

enum { LOOPBACK_INDEX = 1 };

/* ---- Ethernet ---- */

enum { ETH_HDR_LEN = sizeof(struct eth_hdr) };
#define MAC_BROADCAST 0xffffffffffffull
static inline u64 mac_load(const u8 *mac)
{
    u64 v = 0;
    __builtin_memcpy(&v, mac, 6);
    return v;
}

/** Put the Ethernet header on and send. @dst: the MAC address in its low 48 bits. Takes @pkt. */
static inline void eth_send(struct netif *netif, struct pkt *pkt, u64 dst, u16 type)
{
    /* Two stores: the destination with two bytes too many, then source and type over them. */
    u8 *hdr = pkt_push(pkt, ETH_HDR_LEN);
    u64 rest = netif->mac_word | (u64)__builtin_bswap16(type) << 48;

    __builtin_memcpy(hdr, &dst, 8);
    __builtin_memcpy(hdr + 6, &rest, 8);
    netif_send(netif, pkt);
}

/* ---- Neighbours ---- */

enum neigh_state {
    NEIGH_FAILED,     /* nobody answers; asked again when next used */
    NEIGH_INCOMPLETE, /* asked, packets wait */
    /* From here on .mac is good. */
    NEIGH_STALE,
    NEIGH_PROBE, /* confirming by unicast */
    NEIGH_REACHABLE,
    NEIGH_PERMANENT, /* multicast, broadcast, or said to be so */
};

/* Never freed, at most given to another address, which makes all routes stale.
 * Fields: [A], [L] under the table's lock. */
struct neigh {
    struct list_head node;  /* [L] of its bucket */
    struct ip_addr addr;    /* [L] */
    struct netif *netif;    /* [L] */
    u64 mac;                /* [A] low 48 bits, as it lies in memory */
    u8 state;               /* [A] enum neigh_state */
    bool used;              /* [A] since the last tick */
    u8 probes;              /* [L] sent and not answered */
    u8 nr_queued;           /* [L] */
    bool is_group;          /* [L] multicast, broadcast: nobody's address, and not shown */
    u64 since_ns;           /* [L] last confirmation */
    struct list_head queue; /* [L] packets, without their Ethernet header */
};

/** The entry for @addr on @netif, made if need be. NULL: no memory. */
struct neigh *neigh_get(struct netif *netif, const struct ip_addr *addr);
/* neigh_send() to whom we have not sent for a while, or whose address is not known. */
void neigh_send_any(struct neigh *neigh, struct pkt *pkt, u16 type);
/** Send an IP packet of EtherType @type to it, or let it wait. Takes @pkt. */
static inline void neigh_send(struct neigh *neigh, struct pkt *pkt, u16 type)
{
    if (likely(__atomic_load_n(&neigh->state, __ATOMIC_ACQUIRE) >= NEIGH_STALE && neigh->used))
        eth_send(neigh->netif, pkt, __atomic_load_n(&neigh->mac, __ATOMIC_RELAXED), type);
    else
        neigh_send_any(neigh, pkt, type);
}
/**
 * Somebody says that @addr lives at @mac.
 * @create: also if nobody asked. @solicited: an answer to us: reachable. @override: may change it.
 */
void neigh_learn(struct netif *netif, const struct ip_addr *addr, u64 mac, bool create,
                 bool solicited, bool override);
/** Ask for @neigh: by ARP or ND; by unicast where @mac is not 0. */
void arp_solicit(struct netif *netif, const struct ip_addr *addr, u64 mac);
void ndp_solicit(struct netif *netif, const struct ip_addr *addr, u64 mac);

/** An ARP packet, .data behind the Ethernet header. Takes @pkt. */
void arp_receive(struct netif *netif, struct pkt *pkt);
/** Tell the network that we have @addr (RFC 5227, 2.3). */
void arp_announce(struct netif *netif, const struct ip_addr *addr);
/** Ask whether anybody has @addr, which is to be ours (RFC 5227, 2.1.1). */
void arp_probe(struct netif *netif, const struct ip_addr *addr);
/** Announce by ND: an unsolicited advertisement (RFC 4861, 7.2.6). */
void ndp_announce(struct netif *netif, const struct ip_addr *addr);

/* ---- IP ---- */

/** An IP packet, .data at its header, .protocol its EtherType. Takes @pkt. */
void ip_receive(struct netif *netif, struct pkt *pkt);
void ip4_init(void);
void ip4_receive(struct netif *netif, struct pkt *pkt);
void ip6_receive(struct netif *netif, struct pkt *pkt);
/** The same, past the gathering. */
void ip_input(struct netif *netif, struct pkt *pkt);
/** The burst is over: deliver what was gathered. */
void ip_receive_done(void);
/** As ip_receive, but TCP segments of one flow may be joined until gro_flush(). Takes @pkt. */
void gro_receive(struct netif *netif, struct pkt *pkt);
void gro_flush(void);
/** Hand a whole datagram's payload to its transport. False: nobody takes it (@pkt is still ours).
 */
bool ip_deliver(struct pkt *pkt, const struct ip_info *info);
extern const struct transport *transports[256]; /* [I] after start; by protocol */
static inline const struct transport *transport_find(u8 protocol)
{
    return transports[protocol];
}
/** [A] Raw sockets, while there are any: sees every whole datagram first; was it heard? Borrows. */
extern bool (*ip_raw_input)(const struct pkt *pkt, const struct ip_info *info);

/** Put the header on and send, in fragments where it must be; .data at the payload. 0 or what
 * the device or the route says (-EMSGSIZE, -ENOBUFS, ...). Takes @pkt. */
int ip4_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
               const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta);
int ip6_output(struct pkt *pkt, const struct route *route, const struct ip_addr *src,
               const struct ip_addr *dst, u8 protocol, const struct ip_meta *meta);
/** The last step: to the neighbour, or over loopback. .data at the IP header. Takes @pkt. */
static inline void ip_transmit(struct pkt *pkt, const struct route *route, u16 type)
{
    if (likely(route->neigh)) {
        neigh_send(route->neigh, pkt, type);
        return;
    }
    pkt->protocol = type;
    netif_send(route->netif, pkt);
}

/** A neighbour did not answer: tell the transport of the packet of ours, which is freed. */
void ip_unreachable_neighbour(struct pkt *pkt);

/** What an address that a packet came for is to us. */
enum ip_cast ip4_cast(const struct netif *netif, u32 dst);

/* ---- Fragments ---- */

/** At start: the table of datagrams that are being put together. */
void frag_init(void);
/** Cut what is too big for the route and send the pieces; .data at the IP header. Takes @pkt. */
int ip4_fragment(struct pkt *pkt, const struct route *route);

struct frag_key {
    struct ip_addr src, dst;
    u32 id;
    u8 protocol;
};

/**
 * Take in one fragment: payload bytes at @offset, @more to follow. Returns the whole payload once
 * it is complete (.data at its first byte), else NULL. Takes @pkt.
 */
struct pkt *reasm_add(const struct frag_key *key, struct netif *netif, struct pkt *pkt, u32 offset,
                      bool more);

/* ---- ICMP ---- */

enum icmp_why {
    WHY_PORT,
    WHY_PROTOCOL,
    WHY_REASSEMBLY_TIME,
    WHY_PARAMETER,
};

/** At start: become the transport of ICMP and of ICMPv6. */
void icmp_init(void);
void icmp6_init(void);
/** Tell the sender of @pkt (borrowed, .data behind the IP header) why not; rate-limited. */
void icmp_send_error(const struct pkt *pkt, const struct ip_info *info, enum icmp_why why,
                     u32 pointer);
void icmp6_send_error(const struct pkt *pkt, const struct ip_info *info, enum icmp_why why,
                      u32 pointer);
/** May another ICMP error leave now? */
bool icmp_error_allowed(void);
/** Tell the transport of an error about what we sent. @quoted: at least 8 bytes. */
void icmp_deliver_error(const struct ip_info *about, int err, u32 mtu, const u8 *quoted);

/* ---- Loopback ---- */

/** The interface "lo", LOOPBACK_INDEX; there from the start of the network on. */
extern struct netif loopback;
void loopback_init(void);

/** Remember that packets to @dst must not be larger. */
void pmtu_update(const struct ip_addr *dst, u32 mtu);
u32 pmtu_get(const struct ip_addr *dst, u32 mtu);
