/* Packets: one linear part for headers and small data, then pieces of pages.  A packet belongs to
 * exactly one holder at a time; handing it to a function that *takes* it ends the caller's right.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct netif;
struct page;

enum {
    PKT_HEADROOM = 128, /* room before .data for Ethernet, IP and TCP headers with options */
    PKT_LINEAR = 512,   /* bytes of the linear part, headroom included */
    PKT_FRAGS = 18,     /* 64 KiB of pages and a partial one at each end */
};

/** What is known about the transport checksum. */
enum pkt_csum {
    CSUM_NONE,    /* received: to be verified; to send: complete in the packet */
    CSUM_GOOD,    /* received: the device verified it */
    CSUM_PARTIAL, /* to send (or received from our own host): the pseudo-header's sum is in place,
                   * the device or the reader finishes from csum_start */
};

enum pkt_gso { GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP };

struct pkt_frag {
    struct page *page; /* owns a reference; NULL: memory that outlives the packet (an image page) */
    u8 *data;          /* direct-map address */
    u32 len;
};

struct pkt {
    struct list_head node;
    u8 *data;   /* first byte of the linear part not yet stripped */
    u32 len;    /* bytes at .data in the linear part */
    u32 total;  /* .len and all pieces */
    u8 *start;  /* of the linear buffer */
    u32 linear; /* its size */
    u8 nr_frags;
    u8 csum;        /* enum pkt_csum */
    u8 gso;         /* enum pkt_gso */
    u8 ecn;         /* IP ECN bits of a received packet */
    u16 csum_start; /* from .data, at the time the packet goes to a device */
    u16 csum_offset;
    u16 gso_size;                     /* payload bytes of each segment */
    u16 protocol;                     /* EtherType in host order */
    u32 hash;                         /* of the flow; 0: not computed */
    struct netif *netif;              /* where it came from */
    u64 time_ns;                      /* received at, for timestamps; 0: not taken */
    u32 seq, end_seq;                 /* TCP's own while it queues the packet */
    void *owner;                      /* the holder's own */
    void (*release)(struct pkt *pkt); /* how the linear buffer goes back; NULL: the pool's */
    struct pkt_frag frags[PKT_FRAGS];
};

/** A packet with an empty linear part behind PKT_HEADROOM. NULL: no memory. Does not sleep. */
struct pkt *pkt_alloc(void);
/** Free the packet and its page references. */
void pkt_free(struct pkt *pkt);
/** Make room for @n bytes of header in front and return them; @n must fit the headroom. */
u8 *pkt_push(struct pkt *pkt, u32 n);
/** Strip @n bytes from the front, crossing into pieces if need be. False: it is shorter. */
bool pkt_pull(struct pkt *pkt, u32 n);
/** Make the first @n bytes linear. NULL: shorter than that, or more than PKT_LINEAR; else .data. */
u8 *pkt_linear(struct pkt *pkt, u32 n);
/** Cut the packet to @total bytes. */
void pkt_trim(struct pkt *pkt, u32 total);
/** Append linear room for @n bytes; NULL where it does not fit. */
u8 *pkt_put(struct pkt *pkt, u32 n);
/** Append a piece of a page; takes one reference of the caller's. False: no slot left. */
bool pkt_add_frag(struct pkt *pkt, struct page *page, u8 *data, u32 len);
/** Copy @n bytes from offset @at into kernel memory. False: too short. */
bool pkt_copy_out(const struct pkt *pkt, u32 at, void *dst, u32 n);
/** Internet checksum over [@at, @at+@n), added to @sum, not folded: RFC 1071. */
u32 pkt_csum(const struct pkt *pkt, u32 at, u32 n, u32 sum);
u32 csum_add(const void *data, u32 n, u32 sum);
u16 csum_fold(u32 sum);
