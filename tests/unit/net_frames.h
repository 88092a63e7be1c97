/* Frames made by hand, for the one interface of net_world: a peer's, to us. */
#pragma once

#include "lib/types.h"
#include "net/wire.h"

extern const u8 peer_mac[6], our_mac[6];
enum { PEER = 0x0a000001, OURS = 0x0a000002 };
enum { ARP_LEN = 42, IP_AT = 14, L4_AT = 34, L4_AT6 = 54 };

/* The frame in the making. */
extern u8 frame[65536];

/** The Ethernet header; returns its length. */
u32 put_eth(const u8 *dst, u16 type);
/** A whole ARP message of ARP_LEN bytes, from the peer's MAC address. */
void put_arp(u16 op, u32 sender, u32 target);
/** The header of an IPv4 packet with @n bytes behind it, which the caller has put at L4_AT. Returns
 * the frame's length. */
u32 put_ip4(u8 protocol, u32 src, u32 dst, u32 n, u16 frag);
/** The header of an ICMPv6 message of @n bytes at L4_AT6, with its checksum and hop limit 255. */
u32 put_icmp6(const u8 *src, const u8 *dst, u32 n);
