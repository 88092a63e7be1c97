/* A network device (virtio 1.2, 5.1): its queues, over one of two networks.  A tap moves frames
 * between its file and the guest's own buffers; the user's network (libslirp) gets copies.  Queues
 * come in pairs, received and sent; this side serves pair 0, and has numbers for eight. */
#pragma once

#include "device/device.h"

enum {
    NET_F_CSUM = 0,
    NET_F_GUEST_CSUM = 1,
    NET_F_MAC = 5,
    NET_F_GUEST_TSO4 = 7,
    NET_F_GUEST_TSO6 = 8,
    NET_F_HOST_TSO4 = 11,
    NET_F_HOST_TSO6 = 12,
    NET_F_MRG_RXBUF = 15,
    NET_F_STATUS = 16,
};
enum { NET_RX = 0, NET_TX = 1 };

/** Before each frame, either way. */
struct net_hdr {
    u8 flags, gso_type;
    u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct net_hdr) == 12, "virtio 1.2, 5.1.6");

enum {
    NET_HDR_DATA_VALID = 2,
    NET_HELD = 256, /* receive buffers that are taken and not used yet */
    NET_FRAME_MAX = 65550 + sizeof(struct net_hdr),
    NET_BURST = 64, /* frames each way before the other has its turn */
};

struct user_net;

/* Buffers for what is received, in the order they will be used: one piece each. */
struct net_held {
    u32 first, count;
    u64 bytes; /* of all pieces */
    struct iovec piece[NET_HELD];
    u16 head[NET_HELD];
};

struct net {
    struct device dev;
    int tap;               /* -1: user's network */
    int pcap;              /* -1: no capture */
    struct user_net *user; /* NULL: tap */
    struct net_held held;
    struct ring_chain chain;   /* the one being sent */
    char frame[NET_FRAME_MAX]; /* in one piece, for the user's network */
};

/** Serve until the guest is gone. */
void net_run(struct net *net);

/** Take buffers up to NET_HELD.  The number of bytes they have room for. */
u64 net_hold(struct net *net);
/** Is there room for the largest frame, or all that the guest can give?  Else it will give more. */
bool net_has_room(struct net *net);
/** The first @bytes of what is held are filled, their header too: give them to the guest. */
void net_received(struct net *net, u64 bytes);
/** Copy @frame, without a header, to the guest.  False: there is no room now. */
bool net_deliver(struct net *net, const void *frame, size_t len);

/* tap.c */
/** Move frames both ways.  How many. */
u32 tap_serve(struct net *net);
/** Its header is ours.  0 or -errno. */
int tap_prepare(int fd);
/** The driver has agreed on features: tell the tap what it may send.  0 or -errno. */
int tap_start(struct net *net);

/* pcap.c */
/** The file's header.  0 or -errno. */
int pcap_start(int fd);
/** One frame, of which the first @skip bytes are left out. */
void pcap_frame(int fd, const struct iovec *pieces, u32 count, u64 skip, u64 len);

/* user.c */
/** A port of the host that leads to the guest. */
struct user_port {
    bool udp;
    char ip[48];
    u16 host, guest;
};
/** The user's network, with its ports bound.  NULL: said on standard error. */
struct user_net *user_create(struct net *net, const struct user_port *ports, u32 nr_ports);
/** A frame of the guest's. */
void user_input(struct user_net *user, const void *frame, size_t len);
/** What could not be delivered before.  True if nothing waits any more. */
bool user_flush(struct user_net *user);
/** Wait for the guest or the network, and let the network work.  @ignored: as device_wait() */
void user_wait(struct user_net *user, u32 ignored);
