/* Addresses of both families in one form; IPv4 lies in the last four bytes as v4-mapped IPv6 has
 * it, so that one comparison serves both. Bytes are in network order. */
#pragma once

#include "lib/types.h"

enum addr_family { ADDR_NONE = 0, ADDR_INET = 2, ADDR_INET6 = 10 };

struct ip_addr {
    union {
        u8 bytes[16];
        u32 words[4];
        u64 halves[2];
    };
    u16 family; /* enum addr_family */
};

/** An end of a connection; the port in host order. */
struct endpoint {
    struct ip_addr addr;
    u16 port;
    u32 scope; /* interface index of a link-local address; 0 else */
};

/** The word before an IPv4 address: v4-mapped. */
#define ADDR_MAPPED __builtin_bswap32(0xffff)

/** From an address as it lies in an IPv4 header: @raw in network order. */
static inline struct ip_addr addr_from_v4(u32 raw)
{
    return (struct ip_addr){.words = {0, 0, ADDR_MAPPED, raw}, .family = ADDR_INET};
}

/** From the 16 bytes of an IPv6 header or a sockaddr_in6; v4-mapped ones stay IPv6. */
static inline struct ip_addr addr_from_v6(const void *bytes)
{
    struct ip_addr addr = {.family = ADDR_INET6};

    __builtin_memcpy(addr.bytes, bytes, sizeof(addr.bytes));
    return addr;
}

/** The IPv4 address in network order. */
static inline u32 addr_v4(const struct ip_addr *addr)
{
    return addr->words[3];
}

/** Equal bytes; a v4-mapped IPv6 address equals its IPv4 one. */
static inline bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return ((a->halves[0] ^ b->halves[0]) | (a->halves[1] ^ b->halves[1])) == 0;
}

static inline bool addr_is_v4_mapped(const struct ip_addr *addr)
{
    return addr->halves[0] == 0 && addr->words[2] == ADDR_MAPPED;
}

/** 0.0.0.0 or ::, or no address at all. */
static inline bool addr_is_any(const struct ip_addr *addr)
{
    return addr->halves[0] == 0 && (addr->words[2] == 0 || addr->words[2] == ADDR_MAPPED) &&
           addr->words[3] == 0;
}

/** 127/8 or ::1. */
static inline bool addr_is_loopback(const struct ip_addr *addr)
{
    if (addr_is_v4_mapped(addr))
        return addr->bytes[12] == 127;
    return addr->halves[0] == 0 && addr->words[2] == 0 && addr->words[3] == __builtin_bswap32(1);
}

/** 224/4 or ff00::/8. */
static inline bool addr_is_multicast(const struct ip_addr *addr)
{
    if (addr_is_v4_mapped(addr))
        return (addr->bytes[12] & 0xf0) == 0xe0;
    return addr->bytes[0] == 0xff;
}

/** 169.254/16, fe80::/10, or multicast of link scope. */
static inline bool addr_is_link_local(const struct ip_addr *addr)
{
    if (addr_is_v4_mapped(addr))
        return addr->bytes[12] == 169 && addr->bytes[13] == 254;
    return (addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80) ||
           (addr->bytes[0] == 0xff && (addr->bytes[1] & 0x0f) == 2);
}

/** Bits of the family's own form: 32 or 128. */
static inline u32 addr_bits(const struct ip_addr *addr)
{
    return addr->family == ADDR_INET ? 32 : 128;
}

/** Do the first @prefix bits of two addresses of one family agree? */
bool addr_in_prefix(const struct ip_addr *addr, const struct ip_addr *net, u32 prefix);
/** Number of leading bits that agree, in the family's own form. */
u32 addr_common_bits(const struct ip_addr *a, const struct ip_addr *b);

enum { ADDR_TEXT_MAX = 46 };
/** Write the usual text form (RFC 5952 for IPv6) into @buf of ADDR_TEXT_MAX bytes; returns it. */
char *addr_format(const struct ip_addr *addr, char *buf);
/** Parse text of either family, all of it. False: it is none. */
bool addr_parse(const char *text, struct ip_addr *out);
