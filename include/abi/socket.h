/* Sockets of the Linux ABI on x86-64 (asm-generic/socket.h, linux/socket.h, linux/un.h, linux/in.h,
 * linux/in6.h, linux/sockios.h, linux/if.h). */
#pragma once

#include "lib/types.h"

enum sock_family {
    AF_UNSPEC = 0,
    AF_UNIX = 1,
    AF_INET = 2,
    AF_INET6 = 10,
    AF_NETLINK = 16,
    AF_PACKET = 17,
    AF_VSOCK = 40,
    AF_MAX = 46,
};

enum sock_type {
    SOCK_STREAM = 1,
    SOCK_DGRAM = 2,
    SOCK_RAW = 3,
    SOCK_RDM = 4,
    SOCK_SEQPACKET = 5,
    SOCK_DCCP = 6,
    SOCK_PACKET = 10,
    SOCK_MAX = 11,
    SOCK_TYPE_MASK = 0xf,
    SOCK_NONBLOCK = 04000,
    SOCK_CLOEXEC = 02000000,
};

enum sock_protocol {
    IPPROTO_IP = 0,
    IPPROTO_ICMP = 1,
    IPPROTO_TCP = 6,
    IPPROTO_UDP = 17,
    IPPROTO_IPV6 = 41,
    IPPROTO_ICMPV6 = 58,
    IPPROTO_RAW = 255,
};

enum sock_shutdown { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 };

enum { SOMAXCONN = 4096 };

enum msg_flags {
    MSG_OOB = 0x1,
    MSG_PEEK = 0x2,
    MSG_DONTROUTE = 0x4,
    MSG_CTRUNC = 0x8,
    MSG_TRUNC = 0x20,
    MSG_DONTWAIT = 0x40,
    MSG_EOR = 0x80,
    MSG_WAITALL = 0x100,
    MSG_CONFIRM = 0x800,
    MSG_ERRQUEUE = 0x2000,
    MSG_NOSIGNAL = 0x4000,
    MSG_MORE = 0x8000,
    MSG_WAITFORONE = 0x10000,
    MSG_ZEROCOPY = 0x4000000,
    MSG_FASTOPEN = 0x20000000,
    MSG_CMSG_CLOEXEC = 0x40000000,
};

/** Levels of options. */
enum { SOL_SOCKET = 1, SOL_NETLINK = 270 };

enum sock_option {
    SO_DEBUG = 1,
    SO_REUSEADDR = 2,
    SO_TYPE = 3,
    SO_ERROR = 4,
    SO_DONTROUTE = 5,
    SO_BROADCAST = 6,
    SO_SNDBUF = 7,
    SO_RCVBUF = 8,
    SO_KEEPALIVE = 9,
    SO_OOBINLINE = 10,
    SO_NO_CHECK = 11,
    SO_PRIORITY = 12,
    SO_LINGER = 13,
    SO_REUSEPORT = 15,
    SO_PASSCRED = 16,
    SO_PEERCRED = 17,
    SO_RCVLOWAT = 18,
    SO_SNDLOWAT = 19,
    SO_RCVTIMEO = 20,
    SO_SNDTIMEO = 21,
    SO_BINDTODEVICE = 25,
    SO_ATTACH_FILTER = 26,
    SO_DETACH_FILTER = 27,
    SO_PEERNAME = 28,
    SO_TIMESTAMP = 29,
    SO_ACCEPTCONN = 30,
    SO_PEERSEC = 31,
    SO_SNDBUFFORCE = 32,
    SO_RCVBUFFORCE = 33,
    SO_PASSSEC = 34,
    SO_TIMESTAMPNS = 35,
    SO_MARK = 36,
    SO_TIMESTAMPING = 37,
    SO_PROTOCOL = 38,
    SO_DOMAIN = 39,
    SO_RXQ_OVFL = 40,
    SO_WIFI_STATUS = 41,
    SO_PEEK_OFF = 42,
    SO_NOFCS = 43,
    SO_LOCK_FILTER = 44,
    SO_SELECT_ERR_QUEUE = 45,
    SO_BUSY_POLL = 46,
    SO_MAX_PACING_RATE = 47,
    SO_BPF_EXTENSIONS = 48,
    SO_INCOMING_CPU = 49,
    SO_ATTACH_BPF = 50,
    SO_ATTACH_REUSEPORT_CBPF = 51,
    SO_ATTACH_REUSEPORT_EBPF = 52,
    SO_CNX_ADVICE = 53,
    SO_MEMINFO = 55,
    SO_INCOMING_NAPI_ID = 56,
    SO_COOKIE = 57,
    SO_PEERGROUPS = 59,
    SO_ZEROCOPY = 60,
    SO_TXTIME = 61,
    SO_BINDTOIFINDEX = 62,
    SO_TIMESTAMP_NEW = 63,
    SO_TIMESTAMPNS_NEW = 64,
    SO_RCVTIMEO_NEW = 66,
    SO_SNDTIMEO_NEW = 67,
    SO_DETACH_REUSEPORT_BPF = 68,
    SO_PREFER_BUSY_POLL = 69,
    SO_BUSY_POLL_BUDGET = 70,
    SO_NETNS_COOKIE = 71,
    SO_BUF_LOCK = 72,
    SO_RESERVE_MEM = 73,
};

/** What comes at level SOL_SOCKET as ancillary data. */
enum sock_control {
    SCM_RIGHTS = 1,
    SCM_CREDENTIALS = 2,
    SCM_TIMESTAMP = SO_TIMESTAMP,
    SCM_TIMESTAMPNS = SO_TIMESTAMPNS,
};
enum { SCM_MAX_FD = 253 };

struct msghdr_abi {
    u64 name;
    s32 name_len;
    u32 pad;
    u64 iov;
    u64 iov_len;
    u64 control;
    u64 control_len;
    u32 flags;
    u32 pad2;
};
static_assert(sizeof(struct msghdr_abi) == 56, "ABI");

struct mmsghdr_abi {
    struct msghdr_abi hdr;
    u32 len;
    u32 pad;
};
static_assert(sizeof(struct mmsghdr_abi) == 64, "ABI");

/** Ancillary data: this header, padded to 8 bytes, then the data, padded likewise. */
struct cmsghdr_abi {
    u64 len; /* header and data, without the last padding */
    s32 level;
    s32 type;
};
static_assert(sizeof(struct cmsghdr_abi) == 16, "ABI");

struct ucred_abi {
    s32 pid;
    u32 uid, gid;
};

struct linger_abi {
    s32 onoff, seconds;
};

struct sockaddr_un_abi {
    u16 family;
    char path[108];
};

struct sockaddr_in_abi {
    u16 family;
    u8 port[2]; /* in network order, as the address */
    u8 addr[4];
    u8 zero[8];
};
static_assert(sizeof(struct sockaddr_in_abi) == 16, "ABI");

struct sockaddr_in6_abi {
    u16 family;
    u8 port[2];
    u32 flow_info;
    u8 addr[16];
    u32 scope;
};
static_assert(sizeof(struct sockaddr_in6_abi) == 28, "ABI");
enum { SOCKADDR_IN6_MIN = 24 }; /* without the scope: RFC 2133 */

enum sock_ioctl {
    SIOCINQ = 0x541b,
    SIOCOUTQ = 0x5411,
    FIOSETOWN = 0x8901,
    SIOCSPGRP = 0x8902,
    FIOGETOWN = 0x8903,
    SIOCGPGRP = 0x8904,
    SIOCATMARK = 0x8905,
    SIOCGSTAMP = 0x8906,
    SIOCADDRT = 0x890b,
    SIOCDELRT = 0x890c,
    SIOCGIFNAME = 0x8910,
    SIOCGIFCONF = 0x8912,
    SIOCGIFFLAGS = 0x8913,
    SIOCSIFFLAGS = 0x8914,
    SIOCGIFADDR = 0x8915,
    SIOCSIFADDR = 0x8916,
    SIOCGIFDSTADDR = 0x8917,
    SIOCGIFBRDADDR = 0x8919,
    SIOCSIFBRDADDR = 0x891a,
    SIOCGIFNETMASK = 0x891b,
    SIOCSIFNETMASK = 0x891c,
    SIOCGIFMETRIC = 0x891d,
    SIOCGIFMTU = 0x8921,
    SIOCSIFMTU = 0x8922,
    SIOCGIFHWADDR = 0x8927,
    SIOCGIFINDEX = 0x8933,
    SIOCGIFTXQLEN = 0x8942,
    SIOCETHTOOL = 0x8946,
    SIOCGARP = 0x8954,
    SIOCOUTQNSD = 0x894b,
    SIOCGIFMAP = 0x8970,
};

enum { IFNAMSIZ = 16 };

struct ifreq_abi {
    char name[IFNAMSIZ];
    union {
        u8 bytes[24];
        struct sockaddr_in_abi addr;
        struct {
            u16 family;
            u8 bytes[14];
        } hwaddr;
        s16 flags;
        s32 value;
    };
};
static_assert(sizeof(struct ifreq_abi) == 40, "ABI");

/** Of SIOCGARP: arp(7). */
struct arpreq_abi {
    struct sockaddr_in_abi addr;
    struct {
        u16 family;
        u8 bytes[14];
    } hwaddr;
    s32 flags; /* enum arp_flags */
    struct sockaddr_in_abi mask;
    char dev[IFNAMSIZ];
};
static_assert(sizeof(struct arpreq_abi) == 68, "ABI");
enum arp_flags { ATF_COM = 2, ATF_PERM = 4 };

/** Of SIOCADDRT and SIOCDELRT. */
struct rtentry_abi {
    u64 pad1;
    struct sockaddr_in_abi dst, gateway, mask;
    u16 flags; /* enum rt_flags */
    s16 pad2;
    u32 pad3;
    u64 pad4;
    u8 tos, class;
    s16 pad5[3];
    s16 metric; /* 1 more than it is; 0: none given */
    u32 pad6;
    u64 dev; /* the interface's name, or 0 */
    u64 mtu, window;
    u64 rtt;
};
static_assert(sizeof(struct rtentry_abi) == 120, "ABI");
static_assert(offsetof(struct rtentry_abi, metric) == 80, "ABI");
enum rt_flags { RTF_UP = 1, RTF_GATEWAY = 2, RTF_HOST = 4 };

struct ifconf_abi {
    s32 len; /* bytes of the buffer, then of what was put there */
    u32 pad;
    u64 buf;
};

enum if_flags {
    IFF_UP = 0x1,
    IFF_BROADCAST = 0x2,
    IFF_LOOPBACK = 0x8,
    IFF_RUNNING = 0x40,
    IFF_MULTICAST = 0x1000,
    IFF_LOWER_UP = 0x10000,
};
enum { ARPHRD_ETHER = 1, ARPHRD_LOOPBACK = 772 };
