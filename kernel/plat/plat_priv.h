/* What the grounds share below struct plat_ops: x86's faults, its tables, relocation. */
#pragma once

#include "lib/types.h"

struct trap_frame;

/** An exception other than NMI, #DF and #MC: resolve it, make it a signal, or panic.  @addr: what a
 * page fault touched.  Thread context; may sleep. */
void plat_take_trap(struct trap_frame *frame, u64 addr);

extern u64 relr_start[], relr_end[]; /* kernel.lds: SHT_RELR of the generic ABI */

/**
 * Add @delta to every word of the image at [@from, @to) that holds an address.  @here: where the
 * image is now, less its link address.  Needs nothing relocated itself.
 */
static inline void plat_relocate(u64 here, u64 delta, u64 from, u64 to)
{
    u64 at = 0;

    for (const u64 *r = relr_start; r < relr_end; r++) {
        if (!(*r & 1)) {
            at = here + *r;
            if (at >= from && at < to)
                *(u64 *)(uintptr_t)at += delta;
            at += sizeof(u64);
            continue;
        }
        u64 p = at;
        for (u64 bits = *r >> 1; bits; bits >>= 1, p += sizeof(u64))
            if ((bits & 1) && p >= from && p < to)
                *(u64 *)(uintptr_t)p += delta;
        at += 63 * sizeof(u64);
    }
}
