/* The arithmetic of interval timers, apart so that it can be tested alone. */
#pragma once

#include "lib/types.h"

/**
 * How often a timer due at @due_ns and every @interval_ns after (0: once) has expired by @now_ns,
 * moving *@due_ns to the first time after now (UINT64_MAX: never again).
 */
static inline u64 timerfd_expire(u64 *due_ns, u64 interval_ns, u64 now_ns)
{
    if (*due_ns > now_ns)
        return 0;
    if (!interval_ns) {
        *due_ns = UINT64_MAX;
        return 1;
    }
    u64 n = (now_ns - *due_ns) / interval_ns + 1, step;
    if (__builtin_mul_overflow(n, interval_ns, &step) ||
        __builtin_add_overflow(*due_ns, step, due_ns))
        *due_ns = UINT64_MAX;
    return n;
}

/** A time of a clock that is @offset_ns ahead of the monotonic one, on the monotonic one; what has
 * passed is 0. */
static inline u64 timerfd_to_mono(u64 clock_ns, u64 offset_ns)
{
    if (clock_ns == UINT64_MAX)
        return clock_ns;
    return clock_ns > offset_ns ? clock_ns - offset_ns : 0;
}
