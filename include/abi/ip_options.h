/* Options and ancillary data of internet sockets in the Linux ABI (linux/in.h, linux/in6.h,
 * linux/udp.h, linux/icmp.h, linux/icmpv6.h, linux/errqueue.h). */
#pragma once

#include "lib/types.h"

enum { SOL_IP = 0, SOL_UDP = 17, SOL_IPV6 = 41, SOL_ICMPV6 = 58, SOL_RAW = 255 };

enum ip_option {
    IP_TOS = 1,
    IP_TTL = 2,
    IP_HDRINCL = 3,
    IP_OPTIONS = 4,
    IP_RECVOPTS = 6,
    IP_PKTINFO = 8,
    IP_MTU_DISCOVER = 10,
    IP_RECVERR = 11,
    IP_RECVTTL = 12,
    IP_RECVTOS = 13,
    IP_MTU = 14,
    IP_FREEBIND = 15,
    IP_TRANSPARENT = 19,
    IP_RECVORIGDSTADDR = 20,
    IP_MINTTL = 21,
    IP_CHECKSUM = 23,
    IP_BIND_ADDRESS_NO_PORT = 24,
    IP_RECVFRAGSIZE = 25,
    IP_MULTICAST_IF = 32,
    IP_MULTICAST_TTL = 33,
    IP_MULTICAST_LOOP = 34,
    IP_ADD_MEMBERSHIP = 35,
    IP_DROP_MEMBERSHIP = 36,
    MCAST_JOIN_GROUP = 42,
    MCAST_LEAVE_GROUP = 45,
    IP_MULTICAST_ALL = 49,
    IP_UNICAST_IF = 50,
    IP_LOCAL_PORT_RANGE = 51,
};

enum ipv6_option {
    IPV6_UNICAST_HOPS = 16,
    IPV6_MULTICAST_IF = 17,
    IPV6_MULTICAST_HOPS = 18,
    IPV6_MULTICAST_LOOP = 19,
    IPV6_JOIN_GROUP = 20,
    IPV6_LEAVE_GROUP = 21,
    IPV6_MTU_DISCOVER = 23,
    IPV6_MTU = 24,
    IPV6_RECVERR = 25,
    IPV6_V6ONLY = 26,
    IPV6_MULTICAST_ALL = 29,
    IPV6_AUTOFLOWLABEL = 70,
    IPV6_CHECKSUM = 7,
    IPV6_RECVPKTINFO = 49,
    IPV6_PKTINFO = 50,
    IPV6_RECVHOPLIMIT = 51,
    IPV6_HOPLIMIT = 52,
    IPV6_RECVTCLASS = 66,
    IPV6_TCLASS = 67,
    IPV6_DONTFRAG = 62,
    IPV6_FREEBIND = 78,
};

/** Values of IP_MTU_DISCOVER. */
enum ip_pmtudisc {
    IP_PMTUDISC_DONT = 0,
    IP_PMTUDISC_WANT = 1,
    IP_PMTUDISC_DO = 2,
    IP_PMTUDISC_PROBE = 3,
    IP_PMTUDISC_INTERFACE = 4,
    IP_PMTUDISC_OMIT = 5,
};

enum udp_option { UDP_CORK = 1, UDP_SEGMENT = 103, UDP_GRO = 104 };
enum { ICMP_FILTER = 1, ICMPV6_FILTER = 1 };

struct in_pktinfo_abi {
    s32 ifindex;
    u8 spec_dst[4], addr[4];
};
struct in6_pktinfo_abi {
    u8 addr[16];
    u32 ifindex;
};
struct ip_mreq_abi {
    u8 group[4], address[4];
};
struct ip_mreqn_abi {
    u8 group[4], address[4];
    s32 ifindex;
};
struct ipv6_mreq_abi {
    u8 group[16];
    s32 ifindex;
};
/** MCAST_JOIN_GROUP: a sockaddr_storage behind the index. */
struct group_req_abi {
    u32 ifindex, pad;
    u8 group[128];
};
static_assert(sizeof(struct group_req_abi) == 136, "ABI");

/** IP_RECVERR's data; the offender's address follows. */
struct sock_extended_err_abi {
    u32 err;
    u8 origin, type, code, pad;
    u32 info, data;
};
enum { SO_EE_ORIGIN_LOCAL = 1, SO_EE_ORIGIN_ICMP = 2, SO_EE_ORIGIN_ICMP6 = 3 };
