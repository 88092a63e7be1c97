/* Integers in network order, of alignment 1; a forgotten swap does not compile. */
#pragma once

#include "lib/types.h"

typedef struct {
    u16 raw;
} __attribute__((packed)) be16;
typedef struct {
    u32 raw;
} __attribute__((packed)) be32;
typedef struct {
    u64 raw;
} __attribute__((packed)) be64;

/** Its value, and one made of a value. */
static inline u16 be16_get(be16 v)
{
    return __builtin_bswap16(v.raw);
}
static inline u32 be32_get(be32 v)
{
    return __builtin_bswap32(v.raw);
}
static inline u64 be64_get(be64 v)
{
    return __builtin_bswap64(v.raw);
}
static inline be16 be16_of(u16 v)
{
    return (be16){__builtin_bswap16(v)};
}
static inline be32 be32_of(u32 v)
{
    return (be32){__builtin_bswap32(v)};
}
static inline be64 be64_of(u64 v)
{
    return (be64){__builtin_bswap64(v)};
}
