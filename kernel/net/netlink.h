/* Netlink sockets, between the socket itself (netlink.c) and the families that answer. */
#pragma once

#include "abi/netlink.h"
#include "net/socket.h"

struct ip_addr;
struct nl_sock;

/** Make AF_NETLINK known to socket(2). Once, by net_init. */
void netlink_init(void);

/* A request of the program's, checked to be whole. */
struct nl_request {
    const struct nlmsghdr_abi *head;
    const u8 *body; /* behind the header */
    u32 body_len;
};

/* The answer to it in the making; nl_ functions do nothing once .err is set. */
struct nl_reply {
    struct nl_sock *nl;
    const struct nl_request *request;
    struct nl_piece *piece;    /* what is being filled; NULL: nothing yet */
    struct nlmsghdr_abi *head; /* of the message that is open */
    u16 flags;                 /* NLM_F_MULTI in a dump */
    bool notice;               /* nobody has asked: from the kernel to a group */
    int err;                   /* -ENOBUFS: no memory, or the program does not read */
};

/** Open a message with its family's header of @len bytes. */
void nl_begin(struct nl_reply *r, u16 type, const void *header, u32 len);
/** Append an attribute of @len bytes; after an error nothing more is appended. */
void nl_attr(struct nl_reply *r, u16 type, const void *data, u32 len);
void nl_attr_u32(struct nl_reply *r, u16 type, u32 value);
/** Close it. */
void nl_end(struct nl_reply *r);
/** The data of an attribute behind @header_len bytes of the body, at least @len of them. NULL: it
 * is not there. */
const void *nl_find(const struct nl_request *request, u32 header_len, u16 type, u32 len);

/** The fixed header of a request; what the program left out is zero. */
void nl_get_header(const struct nl_request *request, void *header, u32 len);
/** An attribute behind @header_len bytes that is an address of @family. False: it is not there. */
bool nl_get_addr(const struct nl_request *request, u32 header_len, u16 type, u8 family,
                 struct ip_addr *out);

/** Would anybody hear of it? */
bool netlink_is_heard(u32 group);
/**
 * Tell every NETLINK_ROUTE socket in @group (RTNLGRP_*) what @fill puts into its reply. May be
 * called under other locks; does not sleep.
 */
void netlink_notify(u32 group, void (*fill)(struct nl_reply *reply, const void *arg),
                    const void *arg);

struct netif;
struct netif_addr;
struct neigh_info;
struct route_entry;
/** An interface, an address or a route has changed, come (@added) or gone: tell who listens. */
void rtnetlink_tell_link(struct netif *netif);
void rtnetlink_tell_addr(struct netif *netif, const struct netif_addr *line, bool added);
void rtnetlink_tell_neigh(const struct neigh_info *neigh, bool added);
void rtnetlink_tell_route(const struct route_entry *line, bool added);

/** Answer a request of NETLINK_SOCK_DIAG. 0 or a negative errno for the program. */
int sock_diag_request(const struct nl_request *request, struct nl_reply *reply);
/** Answer a request of NETLINK_ROUTE. 0 or a negative errno for the program. */
int rtnetlink_request(const struct nl_request *request, struct nl_reply *reply);
/** Those requests that change something. -EOPNOTSUPP: it is none. */
int rtnetlink_change(const struct nl_request *request);
