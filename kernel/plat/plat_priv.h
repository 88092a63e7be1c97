/* What the grounds share below struct plat_ops: x86's faults, its tables, relocation. */
#pragma once

#include "lib/types.h"

struct trap_frame;

/** An exception other than NMI, #DF and #MC: resolve it, make it a signal, or panic.  @addr: what a
 * page fault touched.  Thread context; may sleep. */
void plat_take_trap(struct trap_frame *frame, u64 addr);
/** Is the kernel's instruction one that may fault?  Then @frame goes on where it says so. */
bool plat_fix_up(struct trap_frame *frame);

/* kernel.lds: packed relative relocations (generic ELF ABI, SHT_RELR): an even word is an address,
 * an odd one a bitmap of the 63 words behind the last. */
extern u64 relr_start[], relr_end[];

/**
 * Add @delta to every word of the image at [@from, @to) that holds an address.  @here: where the
 * image is now, less its link address.  Needs nothing relocated itself.
 */
static inline void plat_relocate(u64 here, u64 delta, u64 from, u64 to)
{
    u64 at = 0; /* the word that the next bitmap's first bit stands for */

    for (const u64 *r = relr_start; r < relr_end; r++) {
        bool is_bitmap = *r & 1;
        u64 base = is_bitmap ? at : here + *r, bits = is_bitmap ? *r >> 1 : 1;

        at = base + (is_bitmap ? 63 : 1) * sizeof(u64);
        if (base >= to || at <= from)
            continue;
        if (base < from)
            bits &= ~0ul << (from - base) / sizeof(u64);
        if (at > to)
            bits &= ~(~0ul << (to - base) / sizeof(u64));
        for (; bits; bits &= bits - 1)
            ((u64 *)(uintptr_t)base)[__builtin_ctzl(bits)] += delta;
    }
}
