/* Address spaces as a whole: made, copied, loaded and destroyed. */
#include "plat/pc/paging.h"

#include "abi/errno.h"
#include "arch/cpu.h"

static u64 spare_roots[MAX_CPUS]; /* [C] an empty address space's, ready to be used again */

int pc_as_create(struct plat_as *as)
{
    u64 *spare = &spare_roots[cpu_id()], pa = *spare;

    *spare = 0;
    if (!pa) {
        pa = table_page_alloc();
        if (!pa)
            return -ENOMEM;
        u64 *top = phys_to_virt(pa);
        if (likely(!arch_in_process)) /* who has no MMU to read it */
            memcpy(top + 256, kernel_pml4 + 256, 256 * sizeof(u64));
    }
    as->root = pa;
    as->top = phys_to_virt(pa);
    as->cpus = 0;
    as->nr_tables = 0;
    as->huge = false;
    return 0;
}

/* --- the end of an address space --- */

/* What is told of what was mapped. */
struct sweep {
    plat_gone_fn gone;
    void *arg;
};

/* Are eight entries from @e on those of memory that nobody counts? */
static inline bool line_is_static(const u64 *e)
{
    return e[0] & e[1] & e[2] & e[3] & e[4] & e[5] & e[6] & e[7] & PTE_STATIC;
}

/* Empty the @count entries from @table on, a multiple of 8 of which few are in use; @tables: those
 * they hold go too, and theirs. */
static void sweep_table(const struct sweep *sweep, u64 *table, u32 level, u32 count, bool tables)
{
    for (u64 *e = table; e < table + count; e += 8) {
        if (line_is_empty(e))
            continue;
        rmb(); /* for the compiler: reading again is less than keeping eight of every empty line */
        if (level == LEVEL_PT && line_is_static(e)) {
            for (u32 i = 0; i < 8; i++)
                e[i] = 0;
            continue;
        }
        for (u32 i = 0; i < 8; i++) {
            u64 entry = e[i];
            if (!entry || (is_table(entry, level) && !tables))
                continue;
            e[i] = 0;
            if (is_table(entry, level)) {
                sweep_table(sweep, table_of(entry), level - 1, 512, true);
                table_page_release(entry & PTE_PA_MASK, true);
            } else if (!(entry & PTE_STATIC)) {
                sweep->gone(sweep->arg, 0, leaf_pa(entry), span_of(level), 0);
            }
        }
    }
}

/* The tables are known: leaves are in the lowest, and in those above where there were large ones.
 */
static void sweep_noted(const struct sweep *sweep, struct plat_as *as)
{
    for (u32 i = 0; i < as->nr_tables; i++) {
        u64 *e = (u64 *)ALIGN_DOWN(as->tables[i], 8);
        u32 level = (as->tables[i] & 7) - 1;

        if (level == LEVEL_PT)
            for (u32 parts = parts_of(*e); parts; parts &= parts - 1)
                sweep_table(sweep, table_of(*e) + __builtin_ctz(parts) * PART, level, PART, false);
        else if (level == LEVEL_PD && as->huge)
            sweep_table(sweep, table_of(*e), level, 512, false);
        as->tables[i] = *e & PTE_PA_MASK;
        *e = 0;
    }
    for (u32 i = 0; i < as->nr_tables; i++)
        table_page_release(as->tables[i], true);
}

void pc_as_destroy(struct plat_as *as, plat_gone_fn gone, void *arg)
{
    const struct sweep sweep = {gone, arg};

    if (!arch_in_process)
        pc_tlb_leave(as);
    if (likely(as->nr_tables <= PLAT_AS_TABLES))
        sweep_noted(&sweep, as);
    else
        sweep_table(&sweep, as->top, LEVEL_TOP, 256, true);
    u64 *spare = &spare_roots[cpu_id()];
    if (*spare)
        table_page_release(as->root, false);
    else
        *spare = as->root;
    as->top = NULL;
}

void pc_as_switch(struct plat_as *as)
{
    struct cpu *cpu = this_cpu();
    u64 bit = BIT(cpu->arch.id);
    u64 root = as ? as->root : image_to_phys(kernel_pml4);

    if (as)
        __atomic_fetch_or(&as->cpus, bit, __ATOMIC_SEQ_CST);
    __asm__ volatile("cli" ::: "memory"); /* the old one may be taken away from us meanwhile */
    __asm__ volatile("mov %0, %%cr3" ::"r"(root) : "memory");
    if (cpu->as && cpu->as != as)
        __atomic_fetch_and(&cpu->as->cpus, ~bit, __ATOMIC_SEQ_CST);
    cpu->as = as;
    __asm__ volatile("sti" ::: "memory");
}

/* --- copying --- */

/* The leaf @e, which is @entry, as both shall have it. */
static inline u64 share_leaf(u64 *e, u64 entry, struct plat_copy *copy)
{
    copy->copied++;
    if (entry & PTE_STATIC)
        return entry;
    if (entry & PTE_W)
        entry = __atomic_and_fetch(e, ~(u64)PTE_W, __ATOMIC_SEQ_CST);
    copy->share(copy->arg, leaf_pa(entry));
    return entry;
}

/* Share the leaves of [va, end), which lies in one part of a lowest table; @from is the first's. */
static int share_part(struct plat_as *to, u64 *from, u64 va, u64 end, struct plat_copy *copy)
{
    const u64 *last = from + (end - va) / PAGE_SIZE;
    u64 *own = NULL;

    for (u64 *e = from; e < last; e++) {
        u64 entry = *e;
        if (!entry) {
            if (!((uintptr_t)e % 64) && last - e >= 8 && line_is_empty(e))
                e += 7;
            continue;
        }
        if (entry & PTE_STATIC && copy->leave_static)
            continue;
        if (!own && !(own = entry_make(to, to->top, va, LEVEL_PT)))
            return -ENOMEM;
        if (likely(!own[e - from]))
            own[e - from] = share_leaf(e, entry, copy);
    }
    return 0;
}

/* The same of the lowest table in @entry. */
static int share_table(struct plat_as *to, u64 entry, u64 va, u64 end, struct plat_copy *copy)
{
    const u64 span = PART * PAGE_SIZE;
    int err = 0;

    for (u64 next; va < end && !err; va = next) {
        u32 at = index_of(va, LEVEL_PT);
        next = min(ALIGN_DOWN(va, span) + span, end);
        if (parts_of(entry) >> at / PART & 1)
            err = share_part(to, table_of(entry) + at, va, next, copy);
    }
    return err;
}

int pc_copy(struct plat_as *to, struct plat_as *from, u64 va, u64 len, struct plat_copy *copy)
{
    for (u64 end = va + len, next; va < end; va = next) {
        u32 level;
        u64 *e = entry_above(from->top, va, LEVEL_PD, &level);
        next = min(ALIGN_DOWN(va, span_of(level)) + span_of(level), end);
        if (!*e)
            continue;
        if (!is_table(*e, level)) {
            copy->split(copy->arg, leaf_pa(*e));
            if (split_leaf(from, e))
                return -ENOMEM;
        }
        int err = share_table(to, *e, va, next, copy);
        if (err)
            return err;
    }
    return 0;
}

/* The caller of copy() is done: nobody writes through an old translation any more. */
void pc_as_flush(struct plat_as *as)
{
    flush_range(as, 0, USER_END);
}
