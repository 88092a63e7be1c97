/* AF_VSOCK: streams between a guest and its host (virtio 1.2, 5.10), and within the guest.  A
 * driver hands packets in and out; without one only VMADDR_CID_LOCAL can be reached. */
#pragma once

#include "net/pkt.h"

enum vsock_op {
    VSOCK_REQUEST = 1,
    VSOCK_RESPONSE = 2,
    VSOCK_RST = 3,
    VSOCK_SHUTDOWN = 4,
    VSOCK_RW = 5,
    VSOCK_CREDIT_UPDATE = 6,
    VSOCK_CREDIT_REQUEST = 7,
};
enum { VSOCK_TYPE_STREAM = 1 };
/** .flags of VSOCK_SHUTDOWN: what the sender will not do any more. */
enum { VSOCK_NO_RECV = 1, VSOCK_NO_SEND = 2, VSOCK_NOTHING = 3 };

/** Before each packet, in little-endian order. */
struct vsock_hdr {
    u64 src_cid, dst_cid;
    u32 src_port, dst_port, len;
    u16 type, op;
    u32 flags, buf_alloc, fwd_cnt;
} __attribute__((packed));
static_assert(sizeof(struct vsock_hdr) == 44, "virtio 1.2, 5.10.6");

struct vsock_transport {
    /** Send @pkt (taken), .data at its vsock_hdr, in order. Called under a spinlock. */
    void (*send)(struct vsock_transport *transport, struct pkt *pkt);
    u64 cid; /* ours */
};

/** Make AF_VSOCK known to socket(2). Once, by net_init. */
void vsock_init(void);
/** The device that leads to the host; borrowed for ever. The first one counts. */
void vsock_set_transport(struct vsock_transport *transport);
/** A packet came; .data at its vsock_hdr. Takes @pkt. Safe-point context. */
void vsock_receive(struct pkt *pkt);
/** The device has forgotten all connections, and may have another .cid (5.10.6.7). */
void vsock_reset_all(void);
