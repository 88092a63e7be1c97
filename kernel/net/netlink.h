/* Netlink sockets, between the socket itself (netlink.c) and the families that answer. */
#pragma once

#include "abi/netlink.h"
#include "net/socket.h"

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
    int err;                   /* -ENOBUFS: no memory, or the program does not read */
};

/** Open a message with its family's header of @len bytes. */
void nl_begin(struct nl_reply *r, u16 type, const void *header, u32 len);
void nl_attr(struct nl_reply *r, u16 type, const void *data, u32 len);
void nl_attr_u32(struct nl_reply *r, u16 type, u32 value);
/** Close it. */
void nl_end(struct nl_reply *r);
/** The data of an attribute behind @header_len bytes of the body, at least @len of them. NULL: it
 * is not there. */
const void *nl_find(const struct nl_request *request, u32 header_len, u16 type, u32 len);

/** Answer a request of NETLINK_ROUTE. 0 or a negative errno for the program. */
int rtnetlink_request(const struct nl_request *request, struct nl_reply *reply);
