/* UDP: RFC 768, 8085; what the rest of the kernel may ask. */
#pragma once

#include "net/addr.h"

struct socket;

/** Registers the transport and the protocols. Once, by net_init. */
void udp_init(void);

/** A line of /proc/net/udp and udp6. */
struct udp_entry {
    struct endpoint local, remote;
    bool ipv6_socket, connected;
    u32 queued, dropped;
    struct socket *sock; /* only to be looked into inside of @fn */
};
/** Call @fn for every bound socket until it returns non-zero; returns that. @fn must not sleep. */
int udp_for_each(int (*fn)(const struct udp_entry *entry, void *arg), void *arg);
