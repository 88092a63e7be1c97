/* Packet sockets and classic BPF in the Linux ABI (linux/if_packet.h, linux/filter.h,
 * linux/bpf_common.h). */
#pragma once

#include "lib/types.h"

enum { SOL_PACKET = 263, ETH_P_ALL = 3 };

struct sockaddr_ll_abi {
    u16 family;
    u16 protocol; /* in network order */
    s32 ifindex;
    u16 hatype;
    u8 pkttype, halen;
    u8 addr[8];
};
static_assert(sizeof(struct sockaddr_ll_abi) == 20, "ABI");
enum { SOCKADDR_LL_ETHER = 18 }; /* bytes of one with a MAC address */

enum packet_type {
    PACKET_HOST = 0,
    PACKET_BROADCAST = 1,
    PACKET_MULTICAST = 2,
    PACKET_OTHERHOST = 3,
    PACKET_OUTGOING = 4,
};

enum packet_option {
    PACKET_ADD_MEMBERSHIP = 1,
    PACKET_DROP_MEMBERSHIP = 2,
    PACKET_RX_RING = 5,
    PACKET_STATISTICS = 6,
    PACKET_COPY_THRESH = 7,
    PACKET_AUXDATA = 8,
    PACKET_ORIGDEV = 9,
    PACKET_VERSION = 10,
    PACKET_HDRLEN = 11,
    PACKET_RESERVE = 12,
    PACKET_TX_RING = 13,
    PACKET_LOSS = 14,
    PACKET_TIMESTAMP = 17,
    PACKET_QDISC_BYPASS = 20,
    PACKET_IGNORE_OUTGOING = 23,
};

struct packet_mreq_abi {
    s32 ifindex;
    u16 type, alen;
    u8 address[8];
};
enum packet_mr_type {
    PACKET_MR_MULTICAST = 0,
    PACKET_MR_PROMISC = 1,
    PACKET_MR_ALLMULTI = 2,
    PACKET_MR_UNICAST = 3,
};

struct tpacket_stats_abi {
    u32 packets, drops;
};

struct tpacket_auxdata_abi {
    u32 status, len, snaplen;
    u16 mac, net, vlan_tci, vlan_tpid;
};
static_assert(sizeof(struct tpacket_auxdata_abi) == 20, "ABI");

/** Versions of the ring. */
enum { TPACKET_V1 = 0, TPACKET_V2 = 1, TPACKET_V3 = 2, TPACKET_ALIGNMENT = 16 };

struct tpacket_req_abi {
    u32 block_size, block_nr, frame_size, frame_nr;
};

/** At the start of each frame of a ring of version 2; a sockaddr_ll follows. */
struct tpacket2_hdr_abi {
    u32 status, len, snaplen;
    u16 mac, net;
    u32 sec, nsec;
    u16 vlan_tci, vlan_tpid;
    u8 pad[4];
};
static_assert(sizeof(struct tpacket2_hdr_abi) == 32, "ABI");

enum tpacket_status {
    TP_STATUS_KERNEL = 0,
    TP_STATUS_USER = 1,
    TP_STATUS_COPY = 2,
    TP_STATUS_LOSING = 4,
    TP_STATUS_CSUMNOTREADY = 8,
    TP_STATUS_CSUM_VALID = 128,
};

/* ---- classic BPF ---- */

struct bpf_insn_abi {
    u16 code;
    u8 jt, jf;
    u32 k;
};
static_assert(sizeof(struct bpf_insn_abi) == 8, "ABI");

struct sock_fprog_abi {
    u16 len, pad[3];
    u64 filter;
};
static_assert(sizeof(struct sock_fprog_abi) == 16, "ABI");

enum { BPF_MAXINSNS = 4096, BPF_MEMWORDS = 16 };

enum bpf_class {
    BPF_LD = 0,
    BPF_LDX = 1,
    BPF_ST = 2,
    BPF_STX = 3,
    BPF_ALU = 4,
    BPF_JMP = 5,
    BPF_RET = 6,
    BPF_MISC = 7,
};
enum bpf_size { BPF_W = 0x00, BPF_H = 0x08, BPF_B = 0x10 };
enum bpf_mode {
    BPF_IMM = 0x00,
    BPF_ABS = 0x20,
    BPF_IND = 0x40,
    BPF_MEM = 0x60,
    BPF_LEN = 0x80,
    BPF_MSH = 0xa0,
};
enum bpf_op {
    BPF_ADD = 0x00,
    BPF_SUB = 0x10,
    BPF_MUL = 0x20,
    BPF_DIV = 0x30,
    BPF_OR = 0x40,
    BPF_AND = 0x50,
    BPF_LSH = 0x60,
    BPF_RSH = 0x70,
    BPF_NEG = 0x80,
    BPF_MOD = 0x90,
    BPF_XOR = 0xa0,
    BPF_JA = 0x00,
    BPF_JEQ = 0x10,
    BPF_JGT = 0x20,
    BPF_JGE = 0x30,
    BPF_JSET = 0x40,
};
enum bpf_source { BPF_K = 0x00, BPF_X = 0x08, BPF_A = 0x10, BPF_TAX = 0x00, BPF_TXA = 0x80 };

/** Offsets of loads that mean something else than the packet's bytes. */
#define SKF_AD_OFF  (-0x1000)
#define SKF_NET_OFF (-0x100000)
#define SKF_LL_OFF  (-0x200000)
enum skf_ad {
    SKF_AD_PROTOCOL = 0,
    SKF_AD_PKTTYPE = 4,
    SKF_AD_IFINDEX = 8,
    SKF_AD_MARK = 20,
    SKF_AD_QUEUE = 24,
    SKF_AD_HATYPE = 28,
    SKF_AD_RXHASH = 32,
    SKF_AD_CPU = 36,
    SKF_AD_ALU_XOR_X = 40,
    SKF_AD_VLAN_TAG = 44,
    SKF_AD_VLAN_TAG_PRESENT = 48,
    SKF_AD_RANDOM = 56,
    SKF_AD_VLAN_TPID = 60,
    SKF_AD_MAX = 64,
};
