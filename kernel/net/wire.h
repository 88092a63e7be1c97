/* Headers as they lie on the wire: Ethernet, ARP (RFC 826), IPv4 (791), IPv6 (8200), ICMP (792,
 * 4443), UDP (768).  All fields have alignment 1, so a header may lie anywhere. */
#pragma once

#include "lib/be.h"

enum ether_type { ETH_IP4 = 0x0800, ETH_ARP = 0x0806, ETH_VLAN = 0x8100, ETH_IP6 = 0x86dd };

struct eth_hdr {
    u8 dst[6], src[6];
    be16 type;
};
static_assert(sizeof(struct eth_hdr) == 14, "IEEE 802.3");

enum arp_op { ARP_REQUEST = 1, ARP_REPLY = 2 };

struct arp_hdr {
    be16 hw_type, proto_type;
    u8 hw_len, proto_len;
    be16 op;
    u8 sender_mac[6];
    be32 sender_ip;
    u8 target_mac[6];
    be32 target_ip;
};
static_assert(sizeof(struct arp_hdr) == 28, "RFC 826");

enum ip_proto {
    IP_HOP_BY_HOP = 0,
    IP_ICMP = 1,
    IP_IGMP = 2,
    IP_TCP = 6,
    IP_UDP = 17,
    IP_ROUTING = 43,
    IP_FRAGMENT = 44,
    IP_AUTH = 51,
    IP_ICMP6 = 58,
    IP_NO_NEXT = 59,
    IP_DST_OPTIONS = 60,
};

enum ip4_frag { IP4_DF = 0x4000, IP4_MF = 0x2000, IP4_OFFSET = 0x1fff };

struct ip4_hdr {
    u8 version_ihl, tos;
    be16 total_len, id, frag;
    u8 ttl, protocol;
    be16 csum;
    be32 src, dst;
};
static_assert(sizeof(struct ip4_hdr) == 20, "RFC 791");

struct ip6_hdr {
    be32 version_class_flow;
    be16 payload_len;
    u8 next, hop_limit;
    u8 src[16], dst[16];
};
static_assert(sizeof(struct ip6_hdr) == 40, "RFC 8200");

struct ip6_frag_hdr {
    u8 next, reserved;
    be16 offset; /* in units of 8 bytes << 3; bit 0: more follow */
    be32 id;
};
static_assert(sizeof(struct ip6_frag_hdr) == 8, "RFC 8200");

struct icmp_hdr {
    u8 type, code;
    be16 csum;
    union {
        struct {
            be16 id, seq;
        };
        be32 word; /* next-hop MTU, parameter pointer, reserved */
    };
};
static_assert(sizeof(struct icmp_hdr) == 8, "RFC 792");

enum icmp_type {
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_REDIRECT = 5,
    ICMP_ECHO = 8,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER = 12,
};
enum icmp_unreachable_code {
    ICMP_NET_UNREACHABLE = 0,
    ICMP_HOST_UNREACHABLE = 1,
    ICMP_PROTO_UNREACHABLE = 2,
    ICMP_PORT_UNREACHABLE = 3,
    ICMP_FRAG_NEEDED = 4,
};
enum icmp6_type {
    ICMP6_UNREACHABLE = 1,
    ICMP6_TOO_BIG = 2,
    ICMP6_TIME_EXCEEDED = 3,
    ICMP6_PARAMETER = 4,
    ICMP6_ECHO = 128,
    ICMP6_ECHO_REPLY = 129,
    ICMP6_MLD_QUERY = 130,
    ICMP6_ROUTER_SOLICIT = 133,
    ICMP6_ROUTER_ADVERT = 134,
    ICMP6_NEIGH_SOLICIT = 135,
    ICMP6_NEIGH_ADVERT = 136,
    ICMP6_MLD2_REPORT = 143,
};

struct udp_hdr {
    be16 src, dst, len, csum;
};
static_assert(sizeof(struct udp_hdr) == 8, "RFC 768");

enum { IP4_MIN_MTU = 576, IP6_MIN_MTU = 1280, IP_MAX_LEN = 65535 };
