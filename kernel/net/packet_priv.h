/* What the files of AF_PACKET share: packet.c has the operations, packet_tap.c takes frames in,
 * packet_ring.c has the ring that libpcap maps. */
#pragma once

#include "lib/list.h"
#include "net/bpf.h"
#include "net/packet.h"

struct netif;
struct page;

/* Frames in memory that the program maps: each is the kernel's or the program's, as the first word
 * says.  The program may write anything anywhere: nothing is read from it but that word. */
struct packet_ring {
    u32 block_size, nr_blocks, frame_size, nr_frames, frames_a_block;
    u32 head;              /* the next frame to fill */
    struct page *blocks[]; /* first page of each; page_split */
};

/* Fields: [I], [L] under packet_lock. */
struct packet_sock {
    struct socket *sock;           /* [I] */
    struct list_head node;         /* [L] */
    bool cooked;                   /* [I] SOCK_DGRAM: without the link header */
    u16 protocol;                  /* [L] EtherType; 0: hears nothing */
    u32 ifindex;                   /* [L] 0: all */
    struct bpf_program *filter;    /* [L] owns, or NULL */
    bool filter_locked;            /* [L] */
    bool auxdata, ignore_outgoing; /* [L] */
    struct list_head queue;        /* [L] packets with a struct packet_info */
    u32 queued;                    /* [L] bytes of memory in it */
    u32 packets, drops;            /* [L] since PACKET_STATISTICS */
    u32 version, reserve;          /* [L] of a ring to come */
    struct packet_ring *ring;      /* [L] owns, or NULL: then frames are queued */
};

/* What is known about a frame in a queue, kept in its scratch room. */
struct packet_info {
    struct sockaddr_ll_abi from;
    u64 real_ns;
    u32 len; /* before the filter cut it */
    bool csum_partial;
};

/** Of the list of sockets and all in them; taken under a shard's or a bucket's. A wait queue's may
 * follow. */
extern struct spinlock packet_lock;

/** Hear from now on what .protocol and .ifindex say; packet_lock not held. */
void packet_add(struct packet_sock *p);
/** Nobody hands it packets when this returns. */
void packet_remove(struct packet_sock *p);
struct packet_info *packet_info_of(const struct pkt *pkt);

/** A ring as @req says, of cleared memory. 0, -EINVAL or -ENOMEM. */
int packet_ring_create(const struct tpacket_req_abi *req, u32 reserve, struct packet_ring **out);
/** The program may have it mapped still: pages go when it unmaps them. NULL is none. */
void packet_ring_free(struct packet_ring *ring);
/** Put a frame in. False: the program still has the place. packet_lock held. */
bool packet_ring_put(struct packet_sock *p, const struct bpf_view *view, u32 keep,
                     const struct packet_info *info);
/** Is the newest frame the program's? packet_lock held. */
bool packet_ring_ready(const struct packet_ring *ring);
/** Page @index of it with a reference, or NULL; packet_lock held. */
struct page *packet_ring_page(const struct packet_ring *ring, u64 index);
