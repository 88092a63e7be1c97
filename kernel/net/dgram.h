/* What the sockets of UDP, ping and raw share: addresses, the queue of what arrived, the options of
 * IP and their ancillary data. */
#pragma once

#include "net/ip.h"
#include "net/socket.h"

struct bpf_program;

enum { DGRAM_ERRORS = 32 }; /* that wait for MSG_ERRQUEUE; then the oldest is forgotten */
enum { DGRAM_GROUPS = 20 }; /* memberships of one socket: Linux's igmp_max_memberships */

/* Options at SOL_IP and SOL_IPV6. [D] under .lock, read by value. */
struct ip_options {
    s16 ttl, mcast_ttl; /* -1: the default */
    u8 tos;
    u8 pmtu_mode; /* enum ip_pmtudisc */
    bool mcast_loop, mcast_all, v6_only, freebind, header_included;
    bool recv_pktinfo, recv_ttl, recv_tos, recv_err;      /* IPv4 packets' */
    bool recv_pktinfo6, recv_hops, recv_class, recv_err6; /* and IPv6 */
    u16 frag_size6; /* IPV6_MTU: larger packets go in pieces; 0: what the route takes */
    u32 mcast_ifindex, unicast_ifindex;
    struct ip_addr mcast_source; /* family 0: the interface's */
};

/* An error that came back, for MSG_ERRQUEUE. */
struct dgram_error {
    int err;
    u32 info;
    struct endpoint about; /* where the packet went */
};

/* Fields: [I], [D] under .lock, [P] by the protocol's tables. */
struct dgram {
    struct socket *sock;           /* [I] */
    struct list_head node;         /* [P] by local port, or the list of all */
    struct list_head conn_node;    /* [P] by both ends */
    struct endpoint local, remote; /* [P] family 0: none */
    u32 ifindex;                   /* [P] SO_BINDTODEVICE's or the scope's; 0: any */
    struct route route;            /* [D] of .remote, as long as it is valid */
    struct spinlock lock;          /* after the protocol's tables, before the wait queue's */
    struct list_head queue;        /* [D] packets with a struct dgram_info */
    u32 queued;                    /* [D] bytes of memory in it */
    u32 dropped;                   /* [D] for want of room */
    bool shut_read, shut_write;    /* [D] */
    struct dgram_error
        *errors;          /* [D] owns: DGRAM_ERRORS of them, the oldest first; NULL: none yet */
    u32 nr_errors;        /* [D] */
    struct ip_options ip; /* [D] */
    struct bpf_program *filter; /* [D] owns: SO_ATTACH_FILTER's, or NULL */
    bool filter_locked;         /* [D] */
    bool is_udp;                /* [I] filters see a UDP header in front */
    bool join;                  /* [D] UDP_GRO: what belongs together is read together */
    struct dgram_group {
        struct ip_addr addr;
        struct netif *netif;
    } groups[DGRAM_GROUPS]; /* [D] netif NULL: free */
    void *protocol;         /* the protocol's own */
};

/* What is known about a packet in a queue, kept in its scratch room. */
struct dgram_info {
    struct endpoint from;
    struct ip_addr to;
    u32 ifindex;
    u16 segment; /* size of its parts where GRO has joined them, or 0 */
    u8 ttl, tos;
};
static_assert(sizeof(struct dgram_info) <= PKT_HEADROOM, "pkt_scratch");
/** What dgram_enqueue() noted of a queued packet; in it. */
struct dgram_info *dgram_info_of(const struct pkt *pkt);

/** Set up what datagram sockets share; .sock is @sock. 0, or -ENOMEM. */
int dgram_init(struct dgram *d, struct socket *sock);
/** Leaves groups and frees the queue; in no table any more. */
void dgram_fini(struct dgram *d);
/** Queue a packet, .data at what the program reads. False: no room; @pkt is still the caller's. */
bool dgram_enqueue(struct dgram *d, struct pkt *pkt, const struct ip_info *info, u16 port);
/**
 * Does @d's filter, which is there, let @pkt from @port pass? Then it is as long as the filter
 * says. Under .lock.
 */
bool dgram_filter_locked(struct dgram *d, struct pkt *pkt, u16 port);
/** Would this socket hear what came to a group? */
bool dgram_in_group(const struct dgram *d, const struct ip_addr *group, const struct netif *netif);
/** recv() of a datagram socket. */
ssize_t dgram_recv(struct socket *sock, struct sock_msg *msg);
/** What proto_ops of UDP and raw sockets share. */
u32 dgram_ready(struct socket *sock);
int dgram_shutdown(struct socket *sock, int how);
int dgram_name(struct socket *sock, struct sock_addr *out, bool peer);
/** SIOCINQ and SIOCOUTQ. */
int dgram_ioctl(struct socket *sock, unsigned cmd, uaddr_t arg);
int dgram_setopt(struct socket *sock, int level, int name, const void *value, u32 len);
int dgram_getopt(struct socket *sock, int level, int name, void *value, u32 *len);
/** An error about something that this socket sent. */
void dgram_set_error(struct dgram *d, const struct endpoint *about, int err, u32 info);

/* Where a message goes. */
struct dgram_target {
    struct endpoint to;
    struct ip_addr source; /* family 0: the route's */
    u32 ifindex;
    u16 segment; /* UDP_SEGMENT's, or 0 */
    struct route route;
    struct ip_meta meta;
};
/**
 * Find out where @msg goes, from its address, ancillary data and what the socket is bound and
 * connected to; with the route. Waits for the interface's first address. 0 or a negative errno.
 */
int dgram_target(struct dgram *d, const struct sock_msg *msg, struct dgram_target *out);
/** Is @addr one that a socket may bind to? 0, -EADDRNOTAVAIL. */
int dgram_check_bind(const struct dgram *d, const struct ip_addr *addr);
/** Give up the connection's far end: connect() to AF_UNSPEC. */
static inline bool sock_addr_is_unspec(const struct sock_addr *addr)
{
    return addr->len >= sizeof(addr->family) && addr->family == AF_UNSPEC;
}
