/* AF_PACKET: sockets that see and send whole frames.  packet(7). */
#pragma once

#include "net/socket.h"

/** Make AF_PACKET known to socket(2). Once, by net_init. */
void packet_init(void);

/** A socket as /proc/net/packet shows it. */
struct packet_entry {
    u16 protocol; /* EtherType; 3: all */
    u32 ifindex;  /* 0: all */
    u32 queued;
    const struct socket *sock;
};
/** Walk all until @fn returns non-zero; a spinlock is held. */
int packet_for_each(int (*fn)(const struct packet_entry *entry, void *arg), void *arg);
