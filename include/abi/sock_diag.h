/* NETLINK_SOCK_DIAG in the Linux ABI: how ss(8) lists sockets (linux/sock_diag.h,
 * linux/inet_diag.h, linux/unix_diag.h). */
#pragma once

#include "lib/types.h"

enum { SOCK_DIAG_BY_FAMILY = 20, SOCK_DESTROY = 21 };

struct inet_diag_sockid_abi {
    u8 sport[2], dport[2]; /* network order */
    u32 src[4], dst[4];
    u32 ifindex;
    u32 cookie[2];
};
static_assert(sizeof(struct inet_diag_sockid_abi) == 48, "ABI");

struct inet_diag_req_abi {
    u8 family, protocol, ext, pad;
    u32 states; /* a bit for each state */
    struct inet_diag_sockid_abi id;
};
static_assert(sizeof(struct inet_diag_req_abi) == 56, "ABI");

struct inet_diag_msg_abi {
    u8 family, state, timer, retrans;
    struct inet_diag_sockid_abi id;
    u32 expires, rqueue, wqueue, uid, inode;
};
static_assert(sizeof(struct inet_diag_msg_abi) == 72, "ABI");

enum inet_diag_type {
    INET_DIAG_INFO = 2,
    INET_DIAG_CONG = 4,
    INET_DIAG_SKMEMINFO = 7,
};
enum {
    SK_MEMINFO_RMEM = 0,
    SK_MEMINFO_RCVBUF = 1,
    SK_MEMINFO_WMEM = 2,
    SK_MEMINFO_SNDBUF = 3,
    SK_MEMINFO_DROPS = 8,
    SK_MEMINFO_VARS = 9
};

struct unix_diag_req_abi {
    u8 family, protocol;
    u16 pad;
    u32 states, ino, show, cookie[2];
};
static_assert(sizeof(struct unix_diag_req_abi) == 24, "ABI");

struct unix_diag_msg_abi {
    u8 family, type, state, pad;
    u32 ino, cookie[2];
};
static_assert(sizeof(struct unix_diag_msg_abi) == 16, "ABI");

enum unix_diag_type {
    UNIX_DIAG_NAME = 0,
    UNIX_DIAG_PEER = 2,
    UNIX_DIAG_RQLEN = 4,
    UNIX_DIAG_SHUTDOWN = 6,
};
