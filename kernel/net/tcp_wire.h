/* A TCP segment as it lies on the wire, and decoded.  RFC 9293 3.1, 7323, 2018. */
#pragma once

#include "lib/types.h"
#include "net/shard.h"

struct pkt;
struct ip_info;

enum tcp_flags {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80
};

enum {
    TCP_HEADER = 20,
    TCP_HEADER_MAX = 60,
    TCP_TS_OPTION = 12, /* with its padding */
    TCP_SACK_BLOCKS = 4,
    TCP_MAX_WSCALE = 14
};

struct seq_range {
    u32 start, end;
};

/* Options as decoded; .saw says which. */
struct tcp_options {
    bool saw_ts, saw_mss, saw_wscale, saw_sack_ok;
    u8 wscale, nr_sack;
    u16 mss;
    u32 tsval, tsecr;
    struct seq_range sack[TCP_SACK_BLOCKS];
};

struct tcp_segment {
    struct flow flow; /* .local is the destination */
    u32 hash;
    u16 family; /* enum addr_family */
    u8 flags;   /* enum tcp_flags */
    u8 ecn;     /* IP's two bits */
    u8 header;  /* bytes of header and options */
    u16 urgent;
    u32 seq, ack;
    u32 len;    /* of data */
    u32 window; /* not yet scaled */
    struct tcp_options options;
};

/** The sequence number behind the segment; SYN and FIN take one each. */
static inline u32 segment_end(const struct tcp_segment *seg)
{
    return seg->seq + seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
}

/* Sequence numbers: a circle. */
static inline bool seq_before(u32 a, u32 b)
{
    return (s32)(a - b) < 0;
}
static inline bool seq_after(u32 a, u32 b)
{
    return seq_before(b, a);
}
static inline u32 seq_max(u32 a, u32 b)
{
    return seq_before(a, b) ? b : a;
}
static inline u32 seq_min(u32 a, u32 b)
{
    return seq_before(a, b) ? a : b;
}

/** Numbers in network order at any address. */
static inline u16 wire_get16(const u8 *p)
{
    u16 v;
    __builtin_memcpy(&v, p, sizeof(v));
    return __builtin_bswap16(v);
}
static inline u32 wire_get32(const u8 *p)
{
    u32 v;
    __builtin_memcpy(&v, p, sizeof(v));
    return __builtin_bswap32(v);
}
static inline void wire_put16(u8 *p, u16 v)
{
    v = __builtin_bswap16(v);
    __builtin_memcpy(p, &v, sizeof(v));
}
static inline void wire_put32(u8 *p, u32 v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(p, &v, sizeof(v));
}

/** What a segment's decoding ended in. */
enum tcp_decode { DECODE_OK, DECODE_BAD, DECODE_BAD_CSUM };

/** Look at the checksum if nobody has yet: pkt->csum stays CSUM_NONE only where it is wrong. */
void tcp_check_csum(struct pkt *pkt, const struct ip_info *info);
/**
 * Check and decode the segment in @pkt (.data at the TCP header, which is made linear). Options are
 * decoded too. Addresses, hash and all come from @info.
 */
enum tcp_decode tcp_decode(struct pkt *pkt, const struct ip_info *info, struct tcp_segment *seg);
/** Decode @len bytes of options; malformed ones end the list, unknown ones are passed over. */
void tcp_decode_options(const u8 *p, u32 len, bool syn, struct tcp_options *out);
/** Write the options that a SYN or SYN-ACK carries; the number of bytes, a multiple of 4. */
u32 tcp_encode_syn_options(u8 *p, const struct tcp_options *options);
/** NOP NOP TS 10, as nearly every segment has it: RFC 7323 appendix A. */
#define TCP_TS_PREFIX 0x0101080au
static inline void tcp_encode_ts(u8 *p, u32 tsval, u32 tsecr)
{
    wire_put32(p, TCP_TS_PREFIX);
    wire_put32(p + 4, tsval);
    wire_put32(p + 8, tsecr);
}
/** Write timestamp and SACK blocks as a segment of a connection carries them; a multiple of 4. */
u32 tcp_encode_options(u8 *p, const struct tcp_options *options);
