/* Clocks.  All kernel times are u64 nanoseconds; UINT64_MAX means never.  The same numbers are on
 * the vDSO's data page, so a program reads them without a call. */
#pragma once

#include "abi/time.h"
#include "lib/types.h"

#define NSEC_PER_SEC  1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull
#define TIME_NEVER    UINT64_MAX

/** Monotonic time since boot, in ns. */
u64 time_ns(void);

/** Wall time since 1970, in ns. */
u64 time_real_ns(void);

/** Step the wall clock (settimeofday).  @ns since 1970. */
void time_set_real(u64 ns);

/** Monotonic time plus this is wall time, in ns. */
u64 time_real_offset_ns(void);

/** The same as seconds and nanoseconds. */
static inline struct linux_timespec ns_to_timespec(u64 ns)
{
    return (struct linux_timespec){(s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC)};
}
/** Neither negative, nor with a second of nanoseconds or more. */
static inline bool timespec_valid(const struct linux_timespec *ts)
{
    return ts->tv_sec >= 0 && (u64)ts->tv_nsec < NSEC_PER_SEC;
}
/** In ns; saturates at TIME_NEVER. */
static inline u64 timespec_to_ns(const struct linux_timespec *ts)
{
    u64 ns;
    if (__builtin_mul_overflow((u64)ts->tv_sec, NSEC_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, (u64)ts->tv_nsec, &ns))
        return TIME_NEVER;
    return ns;
}

/** now + delta, saturating at TIME_NEVER: a deadline. */
static inline u64 time_after_ns(u64 delta_ns)
{
    u64 t;
    return __builtin_add_overflow(time_ns(), delta_ns, &t) ? TIME_NEVER : t;
}
