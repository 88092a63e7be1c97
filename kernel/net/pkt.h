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
    PKT_LINEAR = 800,   /* bytes of the linear part, headroom included */
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
/**
 * A packet whose linear part is @len bytes at @offset of @page: takes the caller's reference. For
 * drivers that receive into pages. NULL: no memory (the reference stays the caller's).
 */
struct pkt *pkt_alloc_page(struct page *page, u32 offset, u32 len);
/** Free the packet and its page references. */
void pkt_free(struct pkt *pkt);
/** Free all of a list of packets; the list is empty then. */
void pkt_free_list(struct list_head *list);
/** Bytes of memory the packet holds: for the limits of socket buffers. */
u32 pkt_truesize(const struct pkt *pkt);
/**
 * PKT_HEADROOM bytes of the packet's own for who queues it: where headers were that have been
 * stripped. Until the next pkt_push() or pkt_linear() beyond .len.
 */
void *pkt_scratch(const struct pkt *pkt);
/** Make room for @n bytes of header in front and return them; @n must fit the headroom. */
static inline u8 *pkt_push(struct pkt *pkt, u32 n)
{
    pkt->data -= n;
    pkt->len += n;
    pkt->total += n;
    pkt->csum_start = (u16)(pkt->csum_start + n);
    return pkt->data;
}
/** As pkt_pull, where the @n bytes are known to be linear. */
static inline void pkt_strip(struct pkt *pkt, u32 n)
{
    pkt->data += n;
    pkt->len -= n;
    pkt->total -= n;
    pkt->csum_start = (u16)(pkt->csum_start - n);
}
/** Bytes that pkt_push may still take. */
static inline u32 pkt_headroom(const struct pkt *pkt)
{
    return (u32)(pkt->data - pkt->start);
}
/** Strip @n bytes from the front, crossing into pieces if need be. False: it is shorter. */
bool pkt_pull(struct pkt *pkt, u32 n);
u8 *pkt_linear_slow(struct pkt *pkt, u32 n);
/** Make the first @n bytes linear. NULL: shorter than that, or more than PKT_LINEAR; else .data. */
static inline u8 *pkt_linear(struct pkt *pkt, u32 n)
{
    return likely(n <= pkt->len) ? pkt->data : pkt_linear_slow(pkt, n);
}
/** Cut the packet to @total bytes. */
void pkt_trim(struct pkt *pkt, u32 total);
/** Append linear room for @n bytes; NULL where it does not fit, or pieces follow already. */
u8 *pkt_put(struct pkt *pkt, u32 n);
/** Bytes that pkt_put may still take. */
u32 pkt_tailroom(const struct pkt *pkt);
/** Append a piece of a page; takes one reference of the caller's. False: no slot left. */
bool pkt_add_frag(struct pkt *pkt, struct page *page, u8 *data, u32 len);
/**
 * Append @from's bytes to @to without copying pages, and free @from. False: no slots left, and
 * nothing has changed.
 */
bool pkt_join(struct pkt *to, struct pkt *from);
/**
 * A new packet of bytes [@at, @at + @n): pages are shared, what is linear in a pool's packet is
 * copied. NULL: no memory, or shorter than that.
 */
struct pkt *pkt_slice(const struct pkt *pkt, u32 at, u32 n);
/** Append @n bytes of kernel memory, in the linear part and in new pages. False: no memory. */
bool pkt_append(struct pkt *pkt, const void *data, u32 n);
/** Copy @n bytes from offset @at into kernel memory. False: too short. */
bool pkt_copy_out(const struct pkt *pkt, u32 at, void *dst, u32 n);

struct iov_iter;
/**
 * Move bytes [@at, @at + @n) to the reader. Bytes moved; short only on a fault or at the packet's
 * end. Thread context; may sleep.
 */
size_t pkt_to_iter(const struct pkt *pkt, u32 at, u32 n, struct iov_iter *to);
/** Append @n bytes of the writer's. 0, -ENOMEM, -EFAULT, -EMSGSIZE (no slots). May sleep. */
int pkt_from_iter(struct pkt *pkt, struct iov_iter *from, u32 n);

/** Internet checksum over [@at, @at+@n), added to @sum, not folded: RFC 1071. */
u32 pkt_csum(const struct pkt *pkt, u32 at, u32 n, u32 sum);
/** Finish a CSUM_PARTIAL packet in software; it is CSUM_NONE then. False: malformed. */
bool pkt_csum_finish(struct pkt *pkt);
/** Add the checksum of @n bytes to @sum. Sums are in the memory's own byte order throughout. */
u32 csum_add(const void *data, u32 n, u32 sum);
/** Add two sums. */
static inline u32 csum_add2(u32 a, u32 b)
{
    u32 sum = a + b;
    return sum + (sum < b);
}
/** What goes into a header's field: folded and complemented. A correct whole gives 0. */
static inline u16 csum_fold(u32 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16) ~(sum + (sum >> 16));
}
/** What goes into the field of a CSUM_PARTIAL packet: folded, not complemented. */
static inline u16 csum_fold_partial(u32 sum)
{
    return (u16)~csum_fold(sum);
}
