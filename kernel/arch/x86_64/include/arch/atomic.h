/* Atomic integers.  Every operation that returns a value is a full barrier; loads acquire, stores
 * release. */
#pragma once

#include "lib/types.h"

typedef struct {
    u32 raw;
} atomic32_t;
typedef struct {
    u64 raw;
} atomic64_t;

#define ATOMIC_DEFINE(bits)                                                                        \
    static inline u##bits atomic##bits##_load(const atomic##bits##_t *a)                           \
    {                                                                                              \
        return __atomic_load_n(&a->raw, __ATOMIC_ACQUIRE);                                         \
    }                                                                                              \
    static inline void atomic##bits##_store(atomic##bits##_t *a, u##bits v)                        \
    {                                                                                              \
        __atomic_store_n(&a->raw, v, __ATOMIC_RELEASE);                                            \
    }                                                                                              \
    /** Returns the value before. */                                                               \
    static inline u##bits atomic##bits##_add(atomic##bits##_t *a, u##bits v)                       \
    {                                                                                              \
        return __atomic_fetch_add(&a->raw, v, __ATOMIC_SEQ_CST);                                   \
    }                                                                                              \
    /** Returns the value before. */                                                               \
    static inline u##bits atomic##bits##_sub(atomic##bits##_t *a, u##bits v)                       \
    {                                                                                              \
        return __atomic_fetch_sub(&a->raw, v, __ATOMIC_SEQ_CST);                                   \
    }                                                                                              \
    /** Returns the value before. */                                                               \
    static inline u##bits atomic##bits##_or(atomic##bits##_t *a, u##bits v)                        \
    {                                                                                              \
        return __atomic_fetch_or(&a->raw, v, __ATOMIC_SEQ_CST);                                    \
    }                                                                                              \
    /** Returns the value before. */                                                               \
    static inline u##bits atomic##bits##_and(atomic##bits##_t *a, u##bits v)                       \
    {                                                                                              \
        return __atomic_fetch_and(&a->raw, v, __ATOMIC_SEQ_CST);                                   \
    }                                                                                              \
    static inline u##bits atomic##bits##_xchg(atomic##bits##_t *a, u##bits v)                      \
    {                                                                                              \
        return __atomic_exchange_n(&a->raw, v, __ATOMIC_SEQ_CST);                                  \
    }                                                                                              \
    /** Store @v if the value is *@old; else put the value found into *@old. */                    \
    static inline bool atomic##bits##_cmpxchg(atomic##bits##_t *a, u##bits *old, u##bits v)        \
    {                                                                                              \
        return __atomic_compare_exchange_n(&a->raw, old, v, false, __ATOMIC_SEQ_CST,               \
                                           __ATOMIC_ACQUIRE);                                      \
    }

ATOMIC_DEFINE(32)
ATOMIC_DEFINE(64)

/** A reference count.  The last ref_put() returns true and the caller frees the object. */
typedef struct {
    u32 raw;
} ref_t;

/** One reference, the caller's. */
static inline void ref_init(ref_t *r)
{
    r->raw = 1;
}
/** One more; a reference that stays, or a lock, keeps the object meanwhile. */
static inline void ref_get(ref_t *r)
{
    __atomic_fetch_add(&r->raw, 1, __ATOMIC_RELAXED);
}
/** Let go of one. True: it was the last, and the object is the caller's to free. */
static inline bool ref_put(ref_t *r)
{
    return __atomic_sub_fetch(&r->raw, 1, __ATOMIC_ACQ_REL) == 0;
}
/** Drop a reference unless it is the last one; returns whether it was dropped. */
static inline bool ref_put_unless_last(ref_t *r)
{
    u32 n = __atomic_load_n(&r->raw, __ATOMIC_RELAXED);
    while (n > 1)
        if (__atomic_compare_exchange_n(&r->raw, &n, n - 1, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}
/** Take a reference unless the count has fallen to zero already; returns whether it was taken. */
static inline bool ref_get_unless_zero(ref_t *r)
{
    u32 n = __atomic_load_n(&r->raw, __ATOMIC_RELAXED);
    while (n)
        if (__atomic_compare_exchange_n(&r->raw, &n, n + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}
/** How many there are, as far as that is known without a lock: 1 stays 1 for its holder. */
static inline u32 ref_count(const ref_t *r)
{
    return __atomic_load_n(&r->raw, __ATOMIC_RELAXED);
}

/** In a loop that looks: another thread of the core may go first. */
static inline void cpu_relax(void)
{
    __builtin_ia32_pause();
}
/** Full barrier, between a store and a load as well. */
static inline void mb(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
/** Order against a device that reads memory: x86 keeps loads and stores in order, the compiler must
 * too. */
static inline void rmb(void)
{
    __asm__ volatile("" ::: "memory");
}
static inline void wmb(void)
{
    __asm__ volatile("" ::: "memory");
}
