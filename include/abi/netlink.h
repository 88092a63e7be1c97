/* Netlink and its route family in the Linux ABI (linux/netlink.h, linux/rtnetlink.h). */
#pragma once

#include "lib/types.h"

struct sockaddr_nl_abi {
    u16 family, pad;
    u32 port, groups;
};
static_assert(sizeof(struct sockaddr_nl_abi) == 12, "ABI");

/** Before each message; all is aligned to 4 bytes. */
struct nlmsghdr_abi {
    u32 len; /* header included */
    u16 type, flags;
    u32 seq, port;
};
static_assert(sizeof(struct nlmsghdr_abi) == 16, "ABI");

struct rtattr_abi {
    u16 len; /* header included */
    u16 type;
};

/** Protocols of AF_NETLINK. */
enum { NETLINK_ROUTE = 0, NETLINK_SOCK_DIAG = 4 };
/** Options at SOL_NETLINK. */
enum { NETLINK_ADD_MEMBERSHIP = 1, NETLINK_DROP_MEMBERSHIP = 2 };
/** Groups of NETLINK_ROUTE. */
enum rtnl_group {
    RTNLGRP_LINK = 1,
    RTNLGRP_NEIGH = 3,
    RTNLGRP_IPV4_IFADDR = 5,
    RTNLGRP_IPV4_ROUTE = 7,
    RTNLGRP_IPV6_IFADDR = 9,
    RTNLGRP_IPV6_ROUTE = 11,
};

enum netlink_type { NLMSG_NOOP = 1, NLMSG_ERROR = 2, NLMSG_DONE = 3, NLMSG_MIN_TYPE = 16 };
enum netlink_flags {
    NLM_F_REQUEST = 1,
    NLM_F_MULTI = 2,
    NLM_F_ACK = 4,
    NLM_F_DUMP = 0x300, /* ROOT or MATCH */
    /* Of what changes something. */
    NLM_F_REPLACE = 0x100,
    NLM_F_EXCL = 0x200,
    NLM_F_CREATE = 0x400,
    NLM_F_APPEND = 0x800,
};

enum rtm_type {
    RTM_NEWLINK = 16,
    RTM_GETLINK = 18,
    RTM_SETLINK = 19,
    RTM_NEWADDR = 20,
    RTM_DELADDR = 21,
    RTM_GETADDR = 22,
    RTM_NEWROUTE = 24,
    RTM_DELROUTE = 25,
    RTM_GETROUTE = 26,
    RTM_NEWNEIGH = 28,
    RTM_DELNEIGH = 29,
    RTM_GETNEIGH = 30,
    RTM_GETRULE = 34,
};

struct ifinfomsg_abi {
    u8 family, pad;
    u16 type;
    s32 index;
    u32 flags, change;
};
enum ifla_type {
    IFLA_ADDRESS = 1,
    IFLA_BROADCAST = 2,
    IFLA_IFNAME = 3,
    IFLA_MTU = 4,
    IFLA_QDISC = 6,
    IFLA_TXQLEN = 13,
    IFLA_OPERSTATE = 16,
    IFLA_LINKMODE = 17,
    IFLA_STATS64 = 23,
    IFLA_GROUP = 27,
    IFLA_CARRIER = 33,
};
enum { IF_OPER_UNKNOWN = 0, IF_OPER_DOWN = 2, IF_OPER_UP = 6, IF_STATS64_WORDS = 24 };

struct ifaddrmsg_abi {
    u8 family, prefix, flags, scope;
    u32 index;
};
enum ifa_type {
    IFA_ADDRESS = 1,
    IFA_LOCAL = 2,
    IFA_LABEL = 3,
    IFA_BROADCAST = 4,
    IFA_CACHEINFO = 6,
    IFA_FLAGS = 8
};
struct ifa_cacheinfo_abi {
    u32 preferred, valid, created, updated; /* seconds; ~0: for ever */
};
enum ifa_flags {
    IFA_F_NODAD = 0x02,
    IFA_F_OPTIMISTIC = 0x04,
    IFA_F_DEPRECATED = 0x20,
    IFA_F_TENTATIVE = 0x40,
    IFA_F_PERMANENT = 0x80
};

struct rtmsg_abi {
    u8 family, dst_len, src_len, tos, table, protocol, scope, type;
    u32 flags;
};
enum rta_type {
    RTA_DST = 1,
    RTA_OIF = 4,
    RTA_GATEWAY = 5,
    RTA_PRIORITY = 6,
    RTA_PREFSRC = 7,
    RTA_TABLE = 15,
    RTA_PREF = 20,
    RTA_UID = 25,
};
enum rt_values {
    RT_TABLE_MAIN = 254,
    RTPROT_KERNEL = 2,
    RTPROT_BOOT = 3,
    RTPROT_RA = 9,
    RTPROT_DHCP = 16,
    RTM_F_CLONED = 0x200,
    RTN_UNICAST = 1,
    RTN_LOCAL = 2,
    RT_SCOPE_UNIVERSE = 0,
    RT_SCOPE_LINK = 253,
    RT_SCOPE_HOST = 254,
};

struct ndmsg_abi {
    u8 family, pad[3];
    s32 index;
    u16 state;
    u8 flags, type;
};
enum nda_type { NDA_DST = 1, NDA_LLADDR = 2 };
enum nud_state {
    NUD_INCOMPLETE = 0x01,
    NUD_REACHABLE = 0x02,
    NUD_STALE = 0x04,
    NUD_PROBE = 0x10,
    NUD_FAILED = 0x20,
    NUD_PERMANENT = 0x80
};
