/* An error that happened behind everybody's back, told once to each who asks: low bits the errno, a
 * mark that somebody has seen it, a count above.  An object has one; each observer keeps what he
 * saw last.  An error that nobody has seen is told to observers that come later, too. */
#pragma once

#include "lib/types.h"

enum { ERRSEQ_ERRNO = 4095, ERRSEQ_SEEN = 1 << 12, ERRSEQ_ONE = 1 << 13 };

/** Remember @err, a negative errno. */
static inline void errseq_set(u32 *seq, int err)
{
    u32 old = __atomic_load_n(seq, __ATOMIC_RELAXED), new;

    do {
        new = (old & ~(u32)(ERRSEQ_ERRNO | ERRSEQ_SEEN)) | ((u32)-err & ERRSEQ_ERRNO);
        if (old & ERRSEQ_SEEN)
            new += ERRSEQ_ONE;
    } while (
        !__atomic_compare_exchange_n(seq, &old, new, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

/** Where a new observer starts. */
static inline u32 errseq_sample(const u32 *seq)
{
    u32 now = __atomic_load_n(seq, __ATOMIC_ACQUIRE);

    return now & ERRSEQ_SEEN ? now : 0;
}

/** The error since *@seen, told once: 0 or a negative errno. */
static inline int errseq_take(u32 *seq, u32 *seen)
{
    u32 now = __atomic_load_n(seq, __ATOMIC_ACQUIRE);

    if (likely(now == *seen))
        return 0;
    (void)__atomic_compare_exchange_n(seq, &now, now | ERRSEQ_SEEN, false, __ATOMIC_ACQ_REL,
                                      __ATOMIC_RELAXED); /* who was faster left a newer one */
    now |= ERRSEQ_SEEN;
    *seen = now;
    return -(int)(now & ERRSEQ_ERRNO);
}
