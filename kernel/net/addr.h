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
