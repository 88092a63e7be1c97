/* Page tables: what is mapped, changed and unmapped in them; paging.h has what they look like. */
#include "plat/pc/paging.h"

#include "abi/errno.h"
#include "arch/cpu.h"
#include "core/panic.h"
#include "lib/string.h"

enum { BATCH = 16 }; /* leaves gathered before a flush */

u64 (*table_page_alloc)(void) = pc_boot_page;
void (*table_page_release)(u64 pa, bool clean);

void plat_set_page_source(u64 (*alloc)(void), void (*release)(u64 pa, bool clean))
{
    table_page_alloc = alloc;
    table_page_release = release;
}

static u32 prot_of(u64 entry, u32 level)
{
    u32 prot = 0;

    if (entry & PTE_P)
        prot |= PLAT_READ;
    if (entry & PTE_W)
        prot |= PLAT_WRITE;
    if (!(entry & PTE_NX))
        prot |= PLAT_EXEC;
    if (entry & PTE_PCD)
        prot |= PLAT_UNCACHED;
    if (entry & PTE_A)
        prot |= PLAT_ACCESSED;
    if (entry & PTE_D)
        prot |= PLAT_DIRTY;
    if (level == LEVEL_PD)
        prot |= PLAT_HUGE;
    return prot;
}

/* --- walks --- */

/* The entry @e of @level holds a table from here on.  @as: NULL for the kernel's own tables. */
static void note_table(struct plat_as *as, const u64 *e, u32 level)
{
    if (!as)
        return;
    u32 at = __atomic_fetch_add(&as->nr_tables, 1, __ATOMIC_RELAXED);
    if (at < PLAT_AS_TABLES)
        as->tables[at] = (u64)(uintptr_t)e | level;
}

/* It holds it no longer.  The caller is alone. */
static void forget_table(struct plat_as *as, const u64 *e)
{
    if (!as || as->nr_tables > PLAT_AS_TABLES)
        return;
    for (u32 i = 0; i < as->nr_tables; i++)
        if ((const u64 *)ALIGN_DOWN(as->tables[i], 8) == e) {
            as->tables[i] = as->tables[--as->nr_tables];
            return;
        }
}

/* Fill the empty entry @e with a table, unless another CPU is quicker; what it is then, or 0. */
static __attribute__((noinline)) u64 add_table(struct plat_as *as, u64 *e, u32 level)
{
    u64 pa = table_page_alloc(), entry = pa | PTE_P | PTE_W | PTE_A, old = 0;

    if (!pa)
        return 0;
    if (__atomic_compare_exchange_n(e, &old, entry, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
        note_table(as, e, level);
        return entry;
    }
    table_page_release(pa, true);
    return old;
}

static inline u64 *make_way(struct plat_as *as, u64 *table, u64 va, u32 level)
{
    for (u32 l = LEVEL_TOP; l > level; l--) {
        u64 *e = &table[index_of(va, l)];
        u64 entry = __atomic_load_n(e, __ATOMIC_ACQUIRE);
        if (!entry)
            entry = add_table(as, e, l);
        if (!is_table(entry, l))
            return NULL;
        if (l == LEVEL_PD)
            note_part(e, entry, va);
        table = table_of(entry);
    }
    return &table[index_of(va, level)];
}

u64 *entry_make(struct plat_as *as, u64 *table, u64 va, u32 level)
{
    return level == LEVEL_PT ? make_way(as, table, va, LEVEL_PT) : make_way(as, table, va, level);
}

/* The lowest entry on the way to @va: a leaf, or the empty entry where the way ends. */
static u64 *entry_find(u64 *table, u64 va, u32 *level)
{
    return entry_above(table, va, LEVEL_PT, level);
}

/* --- mapping --- */

int pc_map_page(struct plat_as *as, u64 va, u64 pa, u32 prot)
{
    u64 *e = entry_make(as, as->top, va, LEVEL_PT);

    u64 empty = 0;

    if (unlikely(!e)) /* no memory, or another CPU was quicker, and with 2 MiB */
        return pc_query(as, va, NULL, NULL) ? -EEXIST : -ENOMEM;
    return __atomic_compare_exchange_n(e, &empty, pa | leaf_bits(prot, LEVEL_PT), false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED)
               ? 0
               : -EEXIST;
}

u32 pc_map_around(struct plat_as *as, u64 va, u64 pa, u32 n, u32 prot)
{
    u64 *e = entry_make(as, as->top, va, LEVEL_PT);
    u64 bits = leaf_bits(prot, LEVEL_PT), last = va + (n - 1) * PAGE_SIZE;
    u32 mapped = 0;

    if (unlikely(index_of(va, LEVEL_PT) / PART != index_of(last, LEVEL_PT) / PART))
        (void)entry_make(as, as->top, last, LEVEL_PT);

    if (!e)
        return 0;
    bits |= pa;
    for (u32 bit = 1; n > 0; n--, e++, bit <<= 1, bits += PAGE_SIZE) {
        u64 empty = 0;
        if (__atomic_compare_exchange_n(e, &empty, bits, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            mapped |= bit;
    }
    return mapped;
}

/* One leaf of 2 MiB. */
static int map_huge(struct plat_as *as, u64 *top, u64 va, u64 leaf)
{
    u64 *e = entry_make(as, top, va, LEVEL_PD);

    if (!e)
        return -ENOMEM;
    if (is_table(*e, LEVEL_PD)) { /* left over from small pages, and empty by contract */
        u64 table = *e & PTE_PA_MASK;
        *e = 0;
        forget_table(as, e);
        flush_tables(as, va, HUGE_SIZE);
        table_page_release(table, false);
    }
    if (as)
        as->huge = true;
    *e = leaf;
    return 0;
}

/* @len bytes of one part of a table: there is one way to all of them. */
static int map_part(struct plat_as *as, u64 *top, u64 va, u64 len, u64 leaf)
{
    u64 *e = entry_make(as, top, va, LEVEL_PT);

    if (!e)
        return -ENOMEM;
    for (; len; len -= PAGE_SIZE, leaf += PAGE_SIZE)
        *e++ = leaf;
    return 0;
}

static int map_range(struct plat_as *as, u64 *top, u64 va, u64 pa, u64 len, u64 bits, u32 prot)
{
    int err = 0;

    for (u64 step; len && !err; va += step, pa += step, len -= step) {
        bool huge = !((va | pa) & (HUGE_SIZE - 1)) && len >= HUGE_SIZE;
        if (huge) {
            step = HUGE_SIZE;
            err = map_huge(as, top, va, pa | leaf_bits(prot, LEVEL_PD) | bits);
        } else {
            step = min(len, (PART - index_of(va, LEVEL_PT) % PART) * PAGE_SIZE);
            err = map_part(as, top, va, step, pa | leaf_bits(prot, LEVEL_PT) | bits);
        }
    }
    return err;
}

int pc_map(struct plat_as *as, u64 va, u64 pa, u64 len, u32 prot)
{
    return map_range(as, as->top, va, pa, len, 0, prot);
}

int split_leaf(struct plat_as *as, u64 *e)
{
    u64 pa = table_page_alloc();
    if (!pa)
        return -ENOMEM;
    u64 *table = phys_to_virt(pa), old = *e;
    for (u64 i = 0; i < 512; i++)
        table[i] = (old & ~(u64)PTE_PS) + i * PAGE_SIZE;
    *e = pa | PTE_P | PTE_W | PTE_A | (u64)ALL_PARTS << PARTS_SHIFT;
    note_table(as, e, LEVEL_PD);
    return 0;
}

/* Make sure that no 2 MiB leaf lies across @va. */
static int split_at(struct plat_as *as, u64 va)
{
    u32 level;

    if (!(va & (HUGE_SIZE - 1)))
        return 0;
    u64 *e = entry_find(as->top, va, &level);
    if (level != LEVEL_PD || !*e)
        return 0;
    int err = split_leaf(as, e);
    if (!err)
        flush_range(as, ALIGN_DOWN(va, HUGE_SIZE), HUGE_SIZE);
    return err;
}

int pc_replace(struct plat_as *as, u64 va, u64 pa, u32 prot)
{
    u32 level;
    u64 *e = entry_find(as->top, va, &level);

    if (level == LEVEL_PD && *e) {
        int err = split_leaf(as, e);
        if (err)
            return err;
        e = entry_find(as->top, va, &level);
    } else if (level != LEVEL_PT || !*e) {
        e = entry_make(as, as->top, va, LEVEL_PT);
        if (!e)
            return -ENOMEM;
    }
    if (__atomic_exchange_n(e, pa | leaf_bits(prot, LEVEL_PT), __ATOMIC_SEQ_CST))
        flush_range(as, va, PAGE_SIZE);
    return 0;
}

/* --- unmapping --- */

/* Leaves and tables taken out of the tree that the TLB may still know. */
struct batch {
    u32 nr_leaves, nr_tables;
    u64 start, end; /* what to flush */
    struct plat_as *as;
    plat_gone_fn gone;
    void *arg;
    struct {
        u64 va, entry;
        u32 level;
    } leaves[BATCH];
    u64 tables[BATCH];
};

static void batch_clear(struct batch *b)
{
    b->nr_leaves = b->nr_tables = 0;
    b->start = UINT64_MAX;
    b->end = 0;
}

static void batch_flush(struct batch *b)
{
    if (b->end > b->start && b->nr_tables)
        flush_tables(b->as, b->start, b->end - b->start);
    else if (b->end > b->start)
        flush_range(b->as, b->start, b->end - b->start);
    for (u32 i = 0; b->gone && i < b->nr_leaves; i++)
        b->gone(b->arg, b->leaves[i].va, leaf_pa(b->leaves[i].entry), span_of(b->leaves[i].level),
                prot_of(b->leaves[i].entry, b->leaves[i].level));
    for (u32 i = 0; i < b->nr_tables; i++)
        table_page_release(b->tables[i], true); /* all it held was taken out of it */
    batch_clear(b);
}

static void batch_leaf(struct batch *b, u64 va, u64 *e, u32 level)
{
    if (b->nr_leaves == BATCH)
        batch_flush(b);
    b->leaves[b->nr_leaves].entry = __atomic_exchange_n(e, 0, __ATOMIC_SEQ_CST);
    b->leaves[b->nr_leaves].va = va;
    b->leaves[b->nr_leaves++].level = level;
    b->start = min(b->start, va);
    b->end = max(b->end, va + span_of(level));
}

static void batch_table(struct batch *b, u64 va, u64 *e, u32 level)
{
    if (b->nr_tables == BATCH)
        batch_flush(b);
    b->tables[b->nr_tables++] = *e & PTE_PA_MASK;
    *e = 0;
    forget_table(b->as, e);
    b->start = min(b->start, va);
    b->end = max(b->end, va + span_of(level)); /* also drops what the MMU cached of the way down */
}

/* The first address from @va on, short of @end, that has an entry in the lowest @table, of which
 * @parts may have any.  Large ranges are sparse (a thread's stack), so empty entries are passed by
 * parts and by lines. */
static u64 skip_empty(const u64 *table, u32 parts, u64 va, u64 end)
{
    u32 first = index_of(va, LEVEL_PT), at = first;
    u32 last = first + (u32)DIV_UP(end - va, PAGE_SIZE);

    while (at < last) {
        if (!(parts >> at / PART & 1))
            at = ALIGN_DOWN(at, (u32)PART) + PART;
        else if (table[at])
            break;
        else if (at % 8 == 0 && line_is_empty(&table[at]))
            at += 8;
        else
            at++;
    }
    return min(va + (u64)(at - first) * PAGE_SIZE, end);
}

static void unmap_level(struct batch *b, u64 *table, u32 parts, u32 level, u64 va, u64 end)
{
    u64 span = span_of(level);

    while (va < end) {
        if (level == LEVEL_PT && (va = skip_empty(table, parts, va, end)) == end)
            return;
        u64 *e = &table[index_of(va, level)];
        u64 next = min(ALIGN_DOWN(va, span) + span, end);
        if (is_table(*e, level)) {
            unmap_level(b, table_of(*e), parts_of(*e), level - 1, va, next);
            if (next - va == span)
                batch_table(b, va, e, level);
        } else if (*e) {
            batch_leaf(b, va, e, level);
        }
        va = next;
    }
}

int pc_unmap(struct plat_as *as, u64 va, u64 len, plat_gone_fn gone, void *arg)
{
    struct batch b;
    int err = split_at(as, va);

    if (!err)
        err = split_at(as, va + len);
    if (err)
        return err;
    b.as = as;
    b.gone = gone;
    b.arg = arg;
    batch_clear(&b);
    unmap_level(&b, as->top, ALL_PARTS, LEVEL_TOP, va, va + len);
    batch_flush(&b);
    return 0;
}

/* --- changing --- */

/* Returns whether something was taken away that a TLB may still know. */
typedef bool (*change_fn)(u64 *e, u32 level, u32 prot);

static bool change_level(u64 *table, u32 parts, u32 level, u64 va, u64 end, change_fn fn, u32 prot)
{
    u64 span = span_of(level);
    bool less = false;

    while (va < end) {
        if (level == LEVEL_PT && (va = skip_empty(table, parts, va, end)) == end)
            return less;
        u64 *e = &table[index_of(va, level)];
        u64 next = min(ALIGN_DOWN(va, span) + span, end);
        if (is_table(*e, level))
            less |= change_level(table_of(*e), parts_of(*e), level - 1, va, next, fn, prot);
        else if (*e)
            less |= fn(e, level, prot);
        va = next;
    }
    return less;
}

/* The dirty mark must outlive the change, and a fresh write permission does not make a page dirty.
 */
static bool set_protection(u64 *e, u32 level, u32 prot)
{
    u64 bits = leaf_bits(prot, level) & ~(u64)(PTE_A | PTE_D), old = *e;

    while (!__atomic_compare_exchange_n(e, &old, (old & (PTE_PA_MASK | PTE_A | PTE_D)) | bits,
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    return (old & ~bits & (PTE_P | PTE_W)) || (bits & ~old & PTE_NX);
}

static bool clear_mark(u64 *e, u32 level, u32 prot)
{
    (void)level;
    (void)prot;
    return __atomic_fetch_and(e, ~(u64)(PTE_A | PTE_D), __ATOMIC_SEQ_CST) & (PTE_A | PTE_D);
}

int pc_protect(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    int err = split_at(as, va);

    if (!err)
        err = split_at(as, va + len);
    if (err)
        return err;
    if (change_level(as->top, ALL_PARTS, LEVEL_TOP, va, va + len, set_protection, prot))
        flush_range(as, va, len);
    return 0;
}

void pc_clear_marks(struct plat_as *as, u64 va, u64 len)
{
    if (change_level(as->top, ALL_PARTS, LEVEL_TOP, va, va + len, clear_mark, 0))
        flush_range(as, va, len);
}

bool pc_query(struct plat_as *as, u64 va, u64 *pa, u32 *prot)
{
    u32 level;
    u64 e = *entry_find(as->top, va, &level);

    if (!e)
        return false;
    if (pa)
        *pa = leaf_pa(e) + (va & (span_of(level) - 1));
    if (prot)
        *prot = prot_of(e, level);
    return true;
}

__attribute__((cold)) u64 pc_next_page(struct plat_as *as, u64 va, u64 end)
{
    u32 level;

    while (va < end && !*entry_find(as->top, va, &level))
        va = ALIGN_DOWN(va, span_of(level)) + span_of(level);
    return min(va, end);
}

/* Small pages move one by one; a 2 MiB leaf as a whole where both ends allow, else split. */
int pc_move(struct plat_as *as, u64 from, u64 to, u64 len)
{
    u64 start = from, end = from + len;
    int err = split_at(as, from);

    if (!err)
        err = split_at(as, end);
    while (!err && from < end) {
        u32 level;
        u64 *e = entry_find(as->top, from, &level);
        if (!*e) {
            u64 next = min(ALIGN_DOWN(from, span_of(level)) + span_of(level), end);
            to += next - from;
            from = next;
            continue;
        }
        if (level == LEVEL_PD && (to & (HUGE_SIZE - 1))) {
            err = split_leaf(as, e);
            continue;
        }
        u64 *dest = entry_make(as, as->top, to, level);
        if (dest && is_table(*dest, level)) { /* an empty table where a 2 MiB leaf would go */
            err = split_leaf(as, e);
            continue;
        }
        if (!dest) {
            err = -ENOMEM;
            break;
        }
        *dest = __atomic_exchange_n(e, 0, __ATOMIC_SEQ_CST);
        from += span_of(level);
        to += span_of(level);
    }
    flush_range(as, start, len);
    return err;
}

/* --- the kernel's own half --- */

int pc_kernel_map(u64 va, u64 pa, u64 len, u32 prot)
{
    return map_range(NULL, kernel_pml4, va, pa, len, PTE_G, prot);
}

static void kernel_unmap(u64 va, u64 end)
{
    for (; va < end; va += PAGE_SIZE) {
        u32 level;
        u64 *e = entry_find(kernel_pml4, va, &level);
        if (level != LEVEL_PT)
            continue;
        __atomic_exchange_n(e, 0, __ATOMIC_SEQ_CST);
    }
}

void pc_kernel_unmap(const u64 *starts, u32 n, u64 len)
{
    u64 start = UINT64_MAX, end = 0;

    for (u32 i = 0; i < n; i++) {
        kernel_unmap(starts[i], starts[i] + len);
        start = min(start, starts[i]);
        end = max(end, starts[i] + len);
    }
    flush_range(NULL, start, end - start);
}

/* Device registers appear in the direct map at their own address, uncached, by whole 2 MiB pages:
 * those of a PC share a few of them.  One that holds RAM too is refused. */
void *pc_map_device(u64 pa, u64 len)
{
    u64 end;

    if (!len || __builtin_add_overflow(pa, len, &end) || end > GIB(512))
        return NULL;
    for (u64 at = ALIGN_DOWN(pa, HUGE_SIZE); at < end; at += HUGE_SIZE) {
        u64 *e = entry_make(NULL, kernel_pml4, direct_map_base + at, LEVEL_PD);
        if (!e || (*e && !(*e & PTE_PCD)))
            return NULL;
        *e = at | leaf_bits(PLAT_READ | PLAT_WRITE | PLAT_UNCACHED, LEVEL_PD) | PTE_G;
    }
    return phys_to_virt(pa);
}

/* The firmware's tables lie in memory that the map calls reserved; RAM around them is mapped
 * already. */
void *pc_map_firmware(u64 pa, u64 len)
{
    u64 end;

    if (!pa || __builtin_add_overflow(pa, len, &end) || end > GIB(512))
        return NULL;
    for (u64 at = ALIGN_DOWN(pa, HUGE_SIZE); at < end; at += HUGE_SIZE) {
        u32 level;
        if (*entry_find(kernel_pml4, direct_map_base + at, &level))
            continue;
        u64 *e = entry_make(NULL, kernel_pml4, direct_map_base + at, LEVEL_PD);
        if (!e)
            return NULL;
        *e = at | leaf_bits(PLAT_READ, LEVEL_PD) | PTE_G;
    }
    return phys_to_virt(pa);
}
