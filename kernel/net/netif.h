/* Network interfaces: what a driver gives to the stack and the stack to a driver. */
#pragma once

#include "core/percpu.h"
#include "core/spinlock.h"
#include "net/addr.h"
#include "net/pkt.h"

struct netif;

enum netif_flags {
    NETIF_UP = 1, /* has a link, and is not switched off */
    NETIF_LOOPBACK = 2,
    NETIF_CSUM = 4, /* finishes checksums of what it sends */
    NETIF_TSO4 = 8, /* segments TCP */
    NETIF_TSO6 = 16,
    NETIF_USO = 32,
    NETIF_CONFIGURING = 64, /* DHCP is asking: takes IPv4 packets for any address */
    NETIF_GRO = 128,        /* its packets may be joined: the device does not do it */
    NETIF_LINK = 256,       /* the device has a link */
    NETIF_OFF = 512,        /* the program has switched it off */
};

struct netif_ops {
    /**
     * Send @pkt (taken), an Ethernet frame (an IP packet on loopback): at once, or with the burst
     * it is part of. On a full queue it is dropped and counted. Thread context, may not sleep.
     */
    void (*send)(struct netif *netif, struct pkt *pkt);
    /** See that all that was sent leaves: within a tenth of a second, or it is not waited for. */
    void (*flush)(struct netif *netif);
    /** Take received packets now, without waiting for the interrupt: polling under load. */
    void (*poll)(struct netif *netif);
};

/** u64 only: the sum walks it as an array. */
struct netif_stats {
    u64 rx_packets, rx_bytes, rx_dropped, rx_errors;
    u64 tx_packets, tx_bytes, tx_dropped, tx_errors;
};

enum { NETIF_ADDRS = 8 };

enum netif_addr_flags {
    ADDR_TENTATIVE = 1,  /* nobody has said yet that it is his: it serves, and claims nothing */
    ADDR_DYNAMIC = 2,    /* a router's: it has an end */
    ADDR_DEPRECATED = 4, /* past its preferred time */
};
/* How long the owner of an address has to answer: RFC 4861's RetransTimer; one probe is what RFC
 * 4862, 5.1 asks for. */
#define ADDR_PROBE_NS 1000000000ull
struct slaac;

/* Fields: [I], [N] under net_config_lock, read without it by value. */
struct netif {
    char name[16];               /* [I] "eth0" */
    const struct netif_ops *ops; /* [I] */
    u32 index;                   /* [I] from 1 */
    u32 flags;                   /* [N] enum netif_flags */
    u32 mtu;                     /* [N] of IP packets */
    u32 max_mtu;                 /* [I] the device's, or 0: it has told none */
    union {
        u8 mac[6];    /* [I] */
        u64 mac_word; /* the same, the rest is 0 */
    };
    struct netif_addr {
        struct ip_addr addr; /* family 0: unused */
        u8 prefix;
        u8 flags;                      /* enum netif_addr_flags */
        u64 probed_ns;                 /* ADDR_TENTATIVE: when it has been long enough */
        u64 preferred_ns, valid_ns;    /* until when it is a source by choice, and ours at all */
    } addrs[NETIF_ADDRS];              /* [N] */
    u32 nr_addrs;                      /* [N] slots from here on were never used */
    struct ip_addr gateway4, gateway6; /* [N] family 0: none */
    struct netif_stats *stats;         /* [I] cpu_count of them, [C] each CPU its own */
    struct list_head node;             /* [I] */
    struct slaac *slaac;               /* [I] once set; NULL: it has no IPv6 of its own */
    u64 defended_ns; /* [C] of who receives: when we last said that an address is ours */
    void *driver;    /* [I] the driver's own */
    /** [A] Packet sockets, while there are any: look at every frame, @sent or received; borrows.
     */
    void (*tap)(struct netif *netif, struct pkt *pkt, bool sent);
};

/* Of interfaces' addresses, routes and name servers; a leaf. Whoever writes ends with
 * net_config_changed(). */
extern struct spinlock net_config_lock;
/** Every route found before this is stale: see route_valid(). */
void net_config_changed(void);
extern u32 net_generation; /* [A] counts the changes */

/** Make an interface known, before it may receive; the driver owns it for ever. Only from an
 * offer's start(). */
void netif_add(struct netif *netif);

/** The running CPU's counters. */
static inline struct netif_stats *netif_count(const struct netif *netif)
{
    return &netif->stats[cpu_id()];
}
/** The sum over all CPUs, not a snapshot of one moment. */
struct netif_stats netif_sum_stats(const struct netif *netif);

/* A device whose driver waits until somebody has use for a network. */
struct netif_offer {
    struct list_head node;
    /** Start the device and netif_add() it, or log why not. Must not sleep. */
    void (*start)(struct netif_offer *offer);
};

/** For drivers, at start: @offer->start() is called once, by net_init. Borrows for ever. */
void netif_offer(struct netif_offer *offer);
/** Take up all offers: net_init's first step. */
void netif_start_offers(void);
/** Is there an offer that was not taken up? */
bool netif_is_offered(void);
/** The first one that is up and not loopback, or NULL. */
struct netif *netif_default(void);
/** Give it an address for ever, with the route to its network. 0, -EEXIST, -ENOSPC. */
int netif_add_addr(struct netif *netif, const struct ip_addr *addr, u8 prefix);
/** The same with flags and lifetimes; an IPv6 address is probed where it is tentative. */
int netif_add_addr_for(struct netif *netif, const struct netif_addr *line);
/** IFA_F_* of the ABI. */
u32 netif_addr_abi_flags(const struct netif_addr *line);
/** Change flags and times of the one with @line's address. 0 or -EADDRNOTAVAIL. */
int netif_change_addr(struct netif *netif, const struct netif_addr *line);
/** The line of one of its addresses. */
bool netif_get_addr(struct netif *netif, const struct ip_addr *addr, struct netif_addr *out);
/** Take an address and its route away. 0 or -EADDRNOTAVAIL. */
int netif_remove_addr(struct netif *netif, const struct ip_addr *addr);
/** Another MTU; -EINVAL below what IP needs (RFC 791) or above what the device takes. */
int netif_set_mtu(struct netif *netif, u32 mtu);
/** The driver has seen the link come or go. */
void netif_link_changed(struct netif *netif, bool has_link);
/** Switch it on or off: its addresses and routes stay, but are not used meanwhile. */
void netif_set_up(struct netif *netif, bool up);
/** The address of @family on @netif that @dst would see as its peer's, or NULL. */
const struct ip_addr *netif_source(const struct netif *netif, const struct ip_addr *dst);
/* The rare ways of netif_send(). */
void netif_send_any(struct netif *netif, struct pkt *pkt);
/** Send a whole frame: finishes its checksum where the device does not; counts. Takes @pkt. */
static inline void netif_send(struct netif *netif, struct pkt *pkt)
{
    if (unlikely(netif->tap || (pkt->csum == CSUM_PARTIAL && !(netif->flags & NETIF_CSUM)))) {
        netif_send_any(netif, pkt);
        return;
    }
    struct netif_stats *stats = netif_count(netif);
    stats->tx_packets++;
    stats->tx_bytes += pkt->total;
    netif->ops->send(netif, pkt);
}
/** See that what was sent leaves, on all interfaces; may take a tenth of a second. */
void netif_flush_all(void);
/** Look for received packets on all interfaces, without an interrupt. */
void netif_poll_all(void);
/** Tell the network where our addresses live: the guest has moved. */
void netif_announce(struct netif *netif);
/** IFF_* of the ABI. */
u32 netif_abi_flags(const struct netif *netif);
struct netif *netif_by_name(const char *name);
struct netif *netif_by_index(u32 index);
/** Walk all interfaces until @fn returns non-zero. */
int netif_for_each(int (*fn)(struct netif *netif, void *arg), void *arg);
/** A driver received a frame: takes @pkt, .data at the Ethernet header. Safe-point context. */
void netif_receive(struct netif *netif, struct pkt *pkt);
/** A driver's burst is over: deliver what was gathered (GRO, wake-ups in batches). */
void netif_receive_done(struct netif *netif);
