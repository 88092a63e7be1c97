/* Translations that other CPUs may still have (SDM 3A 4.10.5).  Who takes something out of page
 * tables names the range to each CPU that has them loaded, interrupts it and waits for its answer.
 * Wishes that come before the answer are joined.  The answer is given by the interrupt handler: who
 * waits may hold locks, so it must not depend on a safe point. A CPU that sleeps uses no
 * translation of the program's: it forgets all when it wakes, unless page tables themselves are
 * about to be freed, which the hardware might walk at any time. */
#include "arch/cpu.h"
#include "arch/hooks.h"
#include "plat/pc/cpu.h"
#include "plat/pc/pc.h"

enum {
    FLUSH_SINGLE = 32, /* beyond so many pages the whole TLB goes */
    X2APIC_EOI = 0x80b,
    CR4_PGE = 1 << 7,
    GROWTH_PAGES = 4, /* for each fault: those mapped with it, and the kernel's */
    GROWTH_PAGES_MAX = 8192,
};

static inline void flush_page(u64 va)
{
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}

static void flush_program(void)
{
    u64 cr3;
    __asm__ volatile("mov %%cr3, %0\n mov %0, %%cr3" : "=r"(cr3)::"memory");
}

/* The kernel's entries too, which are global. */
static void flush_everything(void)
{
    u64 cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4\n mov %1, %%cr4" ::"r"(cr4 & ~(u64)CR4_PGE), "r"(cr4)
                     : "memory");
}

static const struct mem_region *largest_region(void)
{
    const struct mem_region *largest = boot_info.regions;

    for (u32 i = 1; i < boot_info.nr_regions; i++)
        if (boot_info.regions[i].len > largest->len)
            largest = &boot_info.regions[i];
    return largest;
}

/* Any pages will do to have the TLB in use: in a row they fill it without holes. */
void pc_tlb_grow(struct pc_cpu *pc)
{
    const struct mem_region *ram = largest_region();
    u64 pages = min(pc->growth_step * GROWTH_PAGES, (u64)GROWTH_PAGES_MAX);
    u64 len = min(pages * PAGE_SIZE, ram->len);

    for (u64 at = 0; at < len; at += PAGE_SIZE)
        (void)*(const volatile u8 *)phys_to_virt(ram->base + at);
    pc->faults_to_growth = pc->growth_step;
    pc->growth_step *= 2;
    flush_program(); /* TCG forgets the kernel's as well */
}

static void flush_here(u64 start, u64 end)
{
    if ((end - start) / PAGE_SIZE > FLUSH_SINGLE) {
        if (end > USER_END)
            flush_everything();
        else
            flush_program();
        return;
    }
    for (u64 va = start; va < end; va += PAGE_SIZE)
        flush_page(va);
}

/* --- being asked --- */

/* The handler may come anywhere between two steps of a switch; CR3 tells what is loaded. */
static void leave_here(struct cpu *cpu, struct plat_as *as)
{
    u64 cr3;

    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    if (cr3 == as->root)
        __asm__ volatile("mov %0, %%cr3" ::"r"(image_to_phys(kernel_pml4)) : "memory");
    if (cpu->as != as)
        return;
    cpu->as = NULL;
    cpu->mm = NULL;
}

/* Interrupts are off. */
static void answer(struct cpu *cpu)
{
    struct tlb_wishes *tlb = &pc_cpu_of(cpu)->tlb;

    spin_lock(&tlb->lock);
    u64 start = tlb->start, end = tlb->end, asked = tlb->asked;
    struct plat_as *leave = tlb->leave;
    tlb->start = UINT64_MAX;
    tlb->end = 0;
    tlb->leave = NULL;
    spin_unlock(&tlb->lock);

    if (start < end)
        flush_here(start, end);
    if (leave)
        leave_here(cpu, leave);
    __atomic_store_n(&tlb->answered, asked, __ATOMIC_RELEASE);
}

void tlb_interrupt(void)
{
#ifdef INGOT_DEBUG
    lock_check_interrupt(true);
#endif
    answer(this_cpu());
#ifdef INGOT_DEBUG
    lock_check_interrupt(false);
#endif
    if (arch_eoi_register)
        *arch_eoi_register = 0;
    else
        wrmsr(X2APIC_EOI, 0);
}

/* --- asking --- */

static void interrupts_off(void)
{
    __asm__ volatile("cli" ::: "memory");
}

static void interrupts_on(void)
{
    __asm__ volatile("sti" ::: "memory");
}

/* Leave a wish with @cpu; returns its number.  @leave: only one at a time is asked for, by the last
 * user of an address space; a second one waits until the first was answered. */
static u64 ask(struct cpu *cpu, u64 start, u64 end, struct plat_as *leave)
{
    struct tlb_wishes *tlb = &pc_cpu_of(cpu)->tlb;

    for (;;) {
        interrupts_off();
        spin_lock(&tlb->lock);
        if (!leave || !tlb->leave)
            break;
        spin_unlock(&tlb->lock);
        interrupts_on();
        cpu_relax();
    }
    bool on_the_way = tlb->asked != __atomic_load_n(&tlb->answered, __ATOMIC_RELAXED) &&
                      (tlb->start < tlb->end || tlb->leave);
    if (!tlb->asked) /* the first ever: there is no range yet */
        tlb->start = UINT64_MAX;
    tlb->start = min(tlb->start, start);
    tlb->end = max(tlb->end, end);
    if (leave)
        tlb->leave = leave;
    u64 number = ++tlb->asked;
    spin_unlock(&tlb->lock);
    if (!on_the_way)
        pc_apic_send(cpu->apic_id, VECTOR_TLB);
    interrupts_on();
    return number;
}

static void await(const struct cpu *cpu, u64 number)
{
    const struct tlb_wishes *tlb = &((const struct pc_cpu *)(const void *)cpu)->tlb;

    while (__atomic_load_n(&tlb->answered, __ATOMIC_ACQUIRE) < number)
        cpu_relax();
}

/* True if @cpu sleeps and will forget everything before it does anything else. */
static bool rests(struct cpu *cpu)
{
    u32 state = TLB_RESTS;
    return __atomic_compare_exchange_n(&pc_cpu_of(cpu)->tlb.state, &state, TLB_RESTS_STALE, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) ||
           state == TLB_RESTS_STALE;
}

static void ask_others(u64 targets, u64 start, u64 end, bool tables)
{
    u64 numbers[MAX_CPUS], asked = 0;

    cpu_for_each_in(i, targets) {
        if (!tables && rests(cpus[i]))
            continue;
        numbers[i] = ask(cpus[i], start, end, NULL);
        asked |= cpu_bit((u32)i);
    }
    cpu_for_each_in(k, asked)
        await(cpus[k], numbers[k]);
}

void pc_tlb_flush(struct plat_as *as, u64 va, u64 len, bool tables)
{
    const struct cpu *here = this_cpu();

    if (!as || here->as == as)
        flush_here(va, va + len);
    if (likely(cpu_count == 1))
        return;
    mb(); /* the tables have changed before we look who has them loaded */
    u64 targets = __atomic_load_n(as ? &as->cpus : &cpus_online, __ATOMIC_RELAXED);
    targets &= ~cpu_bit(here->arch.id);
    if (targets)
        ask_others(targets, va, va + len, tables);
}

/* An interrupt that asks for nothing; who rests passes a barrier before he runs a program. */
void pc_tlb_barrier(void)
{
    u64 targets = __atomic_load_n(&cpus_online, __ATOMIC_RELAXED);

    mb();
    ask_others(targets & ~cpu_bit(cpu_id()), UINT64_MAX, 0, false);
}

void pc_tlb_leave(struct plat_as *as)
{
    struct cpu *here = this_cpu();
    u64 targets = __atomic_load_n(&as->cpus, __ATOMIC_ACQUIRE);

    interrupts_off();
    leave_here(here, as);
    interrupts_on();
    cpu_for_each_in(i, targets & ~cpu_bit(here->arch.id))
        await(cpus[i], ask(cpus[i], UINT64_MAX, 0, as));
}

/* --- sleeping --- */

void pc_tlb_rest(struct cpu *cpu)
{
    __atomic_store_n(&pc_cpu_of(cpu)->tlb.state, TLB_RESTS, __ATOMIC_RELEASE);
}

void pc_tlb_resume(struct cpu *cpu)
{
    u32 *state = &pc_cpu_of(cpu)->tlb.state;

    if (__atomic_exchange_n(state, TLB_ACTIVE, __ATOMIC_SEQ_CST) == TLB_RESTS_STALE)
        flush_everything();
}
