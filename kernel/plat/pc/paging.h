/* Page tables: four levels, 4 KiB and 2 MiB leaves (SDM 3A 4.5).
 * An entry is empty (0), a table, a leaf, or a leaf that is there but must not be touched
 * (PTE_NONE, without PTE_P).  Tables are freed when unmap() covers all they span, and with the
 * address space. The owner of an address space serialises its changes; the hardware sets A and D
 * behind our back, so entries it may see are taken away with an exchange.
 *
 * An entry that holds a table of the lowest level says in bits that the hardware ignores which
 * parts of it may have leaves: tables are sparse, and who looks through one need not read all of
 * it. */
#pragma once

#include "lib/string.h"
#include "plat/pc/pc.h"

enum {
    LEVEL_PT = 0, /* 4 KiB leaves */
    LEVEL_PD = 1, /* 2 MiB leaves */
    LEVEL_TOP = 3,
    PART = 64, /* entries of a part of a lowest table; one bit of PARTS_SHIFT and on each */
    ALL_PARTS = 255,
    PARTS_SHIFT = 52,
};

/** Where tables come from and go to; see plat_set_page_source(). */
extern u64 (*table_page_alloc)(void);
extern void (*table_page_release)(u64 pa, bool clean);

/* --- entries --- */

/** Bytes that an entry of a table of @level covers; LEVEL_PT: a page. */
static inline u64 span_of(u32 level)
{
    return 1ul << (PAGE_SHIFT + 9 * level);
}

/** Which entry of a table of @level @va has. */
static inline u32 index_of(u64 va, u32 level)
{
    return va >> (PAGE_SHIFT + 9 * level) & 511;
}

/** The table below an entry that is_table(). */
static inline u64 *table_of(u64 entry)
{
    return phys_to_virt(entry & PTE_PA_MASK);
}

/** Does the entry lead to a table, and not to memory? */
static inline bool is_table(u64 entry, u32 level)
{
    return level > LEVEL_PT && (entry & PTE_P) && !(entry & PTE_PS);
}

/** The bits of an entry that maps memory with @prot, PLAT_*. */
static inline u64 leaf_bits(u32 prot, u32 level)
{
    u64 bits = prot & PLAT_READ ? PTE_P | PTE_A : PTE_NONE;

    if (prot & PLAT_WRITE)
        bits |= PTE_W | PTE_D;
    if (!(prot & PLAT_EXEC))
        bits |= PTE_NX;
    if (prot & PLAT_UNCACHED)
        bits |= PTE_PCD | PTE_PWT;
    if (prot & PLAT_STATIC)
        bits |= PTE_STATIC;
    if (level == LEVEL_PD)
        bits |= PTE_PS;
    return bits;
}

/* Physical address of a leaf; a 2 MiB one has its PAT bit within the mask, which we never set. */
static inline u64 leaf_pa(u64 entry)
{
    return entry & PTE_PA_MASK;
}

/* The parts of the lowest table in @entry that may have leaves, a bit each. */
static inline u32 parts_of(u64 entry)
{
    return entry >> PARTS_SHIFT & ALL_PARTS;
}

/* Before a leaf is written at @va in the table that @e holds. */
static inline void note_part(u64 *e, u64 entry, u64 va)
{
    u64 bit = 1ul << (PARTS_SHIFT + index_of(va, LEVEL_PT) / PART);

    if (unlikely(!(entry & bit)))
        __atomic_fetch_or(e, bit, __ATOMIC_SEQ_CST);
}

/* Are eight entries from @e on, a line of the cache, empty? */
static inline bool line_is_empty(const u64 *e)
{
    return !(e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7]);
}

/* The lowest entry on the way to @va, not below @lowest: a leaf, the empty entry where the way
 * ends, or, at @lowest, a table. */
static inline u64 *entry_above(u64 *table, u64 va, u32 lowest, u32 *level)
{
    u32 l = LEVEL_TOP;
    u64 *e = &table[index_of(va, l)];

    while (l > lowest && is_table(*e, l)) {
        l--;
        e = &table_of(*e)[index_of(va, l)];
    }
    *level = l;
    return e;
}

/** The entry for @va at @level, where the caller will put a leaf, making tables on the way; NULL
 * without memory, or if a larger leaf is in the way (the caller knows there is none where it maps).
 * @as: NULL for the kernel's own tables. */
u64 *entry_make(struct plat_as *as, u64 *table, u64 va, u32 level);
/** The 2 MiB leaf @e becomes a table of 512 small ones with the same marks. 0 or -ENOMEM. */
int split_leaf(struct plat_as *as, u64 *e);

/* --- TLB --- */

/* In a host process these tables only tell what is mapped: what the host has is changed by who
 * changes them (plat/hosted/memory.c). */
static inline void flush_range(struct plat_as *as, u64 va, u64 len)
{
    if (likely(!arch_in_process))
        pc_tlb_flush(as, va, len, false);
}

/* Page tables that were taken out are about to be freed. */
static inline void flush_tables(struct plat_as *as, u64 va, u64 len)
{
    if (likely(!arch_in_process))
        pc_tlb_flush(as, va, len, true);
}
