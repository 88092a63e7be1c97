/* The words every file speaks: fixed-width integers and the few helpers that C lacks.
 * Pure C17 plus GNU extensions; used by kernel and host alike. */
#pragma once

#include <limits.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef static_assert /* C17 has it as a macro of assert.h, which a kernel does not have */
#define static_assert _Static_assert
#endif

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
#ifdef __INGOT_KERNEL__
typedef long ssize_t;
#else
#include <sys/types.h>
#endif

/** An integer as it lies on a disk or a wire; a forgotten swap does not compile. */
typedef struct {
    u16 raw;
} le16;
typedef struct {
    u32 raw;
} le32;
typedef struct {
    u64 raw;
} le64;

/** Its value, and one made of a value. */
static inline u16 le16_get(le16 v)
{
    return v.raw;
}
static inline u32 le32_get(le32 v)
{
    return v.raw;
}
static inline u64 le64_get(le64 v)
{
    return v.raw;
}

static inline le16 le16_of(u16 v)
{
    return (le16){v};
}
static inline le32 le32_of(u32 v)
{
    return (le32){v};
}
static inline le64 le64_of(u64 v)
{
    return (le64){v};
}

#define ARRAY_LEN(array)                (sizeof(array) / sizeof((array)[0]))
#define KIB(n)                          ((u64)(n) << 10)
#define MIB(n)                          ((u64)(n) << 20)
#define GIB(n)                          ((u64)(n) << 30)
#define BIT(n)                          (1UL << (n))
#define ALIGN_UP(x, to)                 (((x) + ((typeof(x))(to)-1)) & ~((typeof(x))(to)-1))
#define ALIGN_DOWN(x, to)               ((x) & ~((typeof(x))(to)-1))
#define IS_ALIGNED(x, to)               (((x) & ((typeof(x))(to)-1)) == 0)
#define DIV_UP(n, d)                    (((n) + (d)-1) / (d))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define min(a, b)                                                                                  \
    ({                                                                                             \
        typeof(a) min_a_ = (a);                                                                    \
        typeof(b) min_b_ = (b);                                                                    \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define max(a, b)                                                                                  \
    ({                                                                                             \
        typeof(a) max_a_ = (a);                                                                    \
        typeof(b) max_b_ = (b);                                                                    \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
