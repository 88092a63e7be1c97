/* Ping sockets (SOCK_DGRAM with IPPROTO_ICMP) and raw sockets of both families. */
#pragma once

#include "net/addr.h"

struct ip_info;
struct pkt;
struct socket;

/** Makes them known to socket(2). By net_init. */
void raw_init(void);

/** An ICMP message that a ping socket may wait for, .data at its header. Borrows @pkt. */
void ping_input(const struct pkt *pkt, const struct ip_info *info);

/** A line of /proc/net/raw, icmp and their likes for IPv6. */
struct raw_entry {
    struct endpoint local, remote; /* .local.port: the protocol, or the echo's identifier */
    bool ping, ipv6_socket;
    u32 queued, dropped;
    struct socket *sock; /* only to be looked into inside of @fn */
};
/** Call @fn for every such socket until it returns non-zero; returns that. @fn must not sleep. */
int raw_for_each(int (*fn)(const struct raw_entry *entry, void *arg), void *arg);
