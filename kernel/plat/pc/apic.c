/* Local APIC, its timer, and I/O APICs (SDM 3A 11; Intel 82093AA).
 * All lines are edge-triggered and go to the boot CPU; vector = VECTOR_LINES + line. */
#include "abi/errno.h"
#include "arch/atomic.h"
#include "arch/cpu.h"
#include "arch/features.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "core/irq.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/time.h"
#include "plat/pc/ap.h"
#include "plat/pc/clock.h"
#include "plat/pc/cpu.h"
#include "plat/pc/pc.h"

/* Register offsets of the xAPIC; x2APIC has them at MSR_X2APIC + offset / 16. */
enum {
    APIC_ID = 0x20,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

enum {
    SVR_ENABLE = 1 << 8,
    LVT_MASKED = 1 << 16,
    LVT_TSC_DEADLINE = 2 << 17,
    DIVIDE_BY_1 = 0xb,
    BASE_ENABLE = 1 << 11,
    BASE_X2APIC = 1 << 10,
    ICR_PENDING = 1 << 12,
    ICR_NMI = 4 << 8 | 1 << 14,
    ICR_INIT = 5 << 8 | 1 << 14,
    ICR_STARTUP = 6 << 8 | 1 << 14,
    MAX_IOAPICS = 8,
    ISA_IRQS = 16,
};

enum {
    IOAPIC_SELECT = 0x00,
    IOAPIC_WINDOW = 0x10,
    IOAPIC_VERSION = 0x01,
    IOAPIC_REDIRECT = 0x10,
    IOAPIC_DEFAULT_PA = 0xfec00000,
};

struct ioapic {
    volatile u32 *regs;
    u32 gsi_base, gsi_count;
};

static volatile u32 *lapic; /* NULL: x2APIC */
static struct ioapic ioapics[MAX_IOAPICS];
static u32 nr_ioapics;
static u64 ticks_per_ns_32; /* of the timer, times 2^32; 0: not measured yet */
static u64 timer_start_tsc;

static u32 apic_read(u32 reg)
{
    return lapic ? lapic[reg / 4] : (u32)rdmsr(MSR_X2APIC + reg / 16);
}

static void apic_write(u32 reg, u32 value)
{
    if (lapic)
        lapic[reg / 4] = value;
    else
        wrmsr(MSR_X2APIC + reg / 16, value);
}

/* --- I/O APICs --- */

static u32 ioapic_read(const struct ioapic *io, u32 reg)
{
    io->regs[IOAPIC_SELECT / 4] = reg;
    return io->regs[IOAPIC_WINDOW / 4];
}

static void ioapic_write(const struct ioapic *io, u32 reg, u32 value)
{
    io->regs[IOAPIC_SELECT / 4] = reg;
    io->regs[IOAPIC_WINDOW / 4] = value;
}

void pc_ioapic_add(u64 pa, u32 gsi_base)
{
    if (nr_ioapics == MAX_IOAPICS)
        return;
    struct ioapic *io = &ioapics[nr_ioapics];
    io->regs = pc_map_device(pa, PAGE_SIZE);
    if (!io->regs) {
        log_warn("ioapic at %#lx: not reachable", pa);
        return;
    }
    io->gsi_base = gsi_base;
    io->gsi_count = (ioapic_read(io, IOAPIC_VERSION) >> 16 & 0xff) + 1;
    nr_ioapics++;
}

static void ioapic_route(const struct ioapic *io, u32 pin, u32 line)
{
    ioapic_write(io, IOAPIC_REDIRECT + 2 * pin + 1, cpus[0]->apic_id << 24);
    ioapic_write(io, IOAPIC_REDIRECT + 2 * pin, VECTOR_LINES + line);
}

/* QEMU treats pin 0 of every I/O APIC as the ISA timer's, whose interrupts come in at pin 2. */
static bool pin_comes_in_at_2(const struct ioapic *io, u32 pin)
{
    return io->gsi_base && !pin && ioapic_read(io, IOAPIC_REDIRECT + 2 * 2) & LVT_MASKED;
}

int pc_irq_route_gsi(u32 gsi, u32 line)
{
    if (!nr_ioapics)
        pc_ioapic_add(IOAPIC_DEFAULT_PA, 0);
    for (u32 i = 0; i < nr_ioapics; i++) {
        const struct ioapic *io = &ioapics[i];
        if (gsi - io->gsi_base >= io->gsi_count)
            continue;
        u32 pin = gsi - io->gsi_base;
        ioapic_route(io, pin, line);
        if (pin_comes_in_at_2(io, pin))
            ioapic_route(io, 2, line);
        return 0;
    }
    return -EINVAL;
}

int pc_irq_route_msi(u32 line, u32 cpu, u64 *addr, u32 *data)
{
    if (cpus[cpu]->apic_id > 0xff)
        return -ENOSPC;
    *addr = 0xfee00000 | cpus[cpu]->apic_id << 12;
    *data = VECTOR_LINES + line;
    return 0;
}

/* --- the timer --- */

/* Hypervisors run it at 1 GHz.  Else compare it with the TSC since it was started, which needs some
 * microseconds to have passed to be exact. */
static void measure_timer(void)
{
    if (arch_features.tcg || arch_features.kvm) {
        ticks_per_ns_32 = 1ul << 32;
        return;
    }
    u64 ns;
    do
        ns = pc_tsc_to_ns(rdtsc() - timer_start_tsc);
    while (ns < 100 * NSEC_PER_USEC);
    u64 ticks = UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
    ticks_per_ns_32 = max((ticks << 32) / ns, 1ul);
}

void pc_timer_measure(void)
{
    if (!arch_features.tsc_deadline && !ticks_per_ns_32)
        measure_timer();
}

u64 pc_lapic_elapsed(void)
{
    return UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
}

static void arm_oneshot(u64 deadline_ns)
{
    if (!ticks_per_ns_32)
        measure_timer();
    if (deadline_ns == TIME_NEVER) {
        apic_write(APIC_TIMER_INITIAL, 0);
        return;
    }
    u64 now = time_ns();
    if (deadline_ns <= now) {
        irq_pend(PEND_TIMER);
        return;
    }
    /* one that is too far away fires early and is set again */
    u64 ns = min(deadline_ns - now, NSEC_PER_SEC);
    u64 ticks = (u64)((unsigned __int128)ns * ticks_per_ns_32 >> 32) + 1;
    apic_write(APIC_LVT_TIMER, VECTOR_LINES + PEND_TIMER);
    apic_write(APIC_TIMER_INITIAL, (u32)min(ticks, (u64)UINT32_MAX));
}

void pc_timer_arm(u64 deadline_ns)
{
    if (!arch_features.tsc_deadline) {
        arm_oneshot(deadline_ns);
        return;
    }
    u64 tsc = deadline_ns == TIME_NEVER ? 0 : pc_ns_to_tsc(deadline_ns);
    wrmsr(MSR_TSC_DEADLINE, tsc);
}

/* --- the local APIC --- */

/* Interrupts are off between the two words of the xAPIC: the TLB's handler sends nothing, but a
 * panic may. */
void pc_apic_send(u32 apic_id, u32 command)
{
    if (!lapic) {
        wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)apic_id << 32 | command);
        return;
    }
    while (apic_read(APIC_ICR) & ICR_PENDING)
        cpu_relax();
    apic_write(APIC_ICR_HIGH, apic_id << 24);
    apic_write(APIC_ICR, command);
}

void pc_cpu_kick(struct cpu *cpu)
{
    if (__atomic_load_n(&pc_cpu_of(cpu)->polls, __ATOMIC_RELAXED))
        return; /* it sees the bit, which was set with a full barrier */
    pc_apic_send(cpu->apic_id, VECTOR_LINES + PEND_KICK);
}

void pc_cpu_stop(struct cpu *cpu)
{
    __atomic_store_n(&pc_cpu_of(cpu)->stop_asked, true, __ATOMIC_SEQ_CST);
    pc_apic_send(cpu->apic_id, ICR_NMI);
}

/* Virtual machines want neither the pauses nor the second start-up interrupt of old processors. */
void pc_apic_start_cpu(u32 apic_id)
{
    pc_apic_send(apic_id, ICR_INIT);
    pc_apic_send(apic_id, ICR_STARTUP | AP_PAGE >> PAGE_SHIFT);
}

static void mask_pic(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

void pc_apic_init_cpu(struct cpu *cpu)
{
    if (!lapic)
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BASE_ENABLE | BASE_X2APIC);
    cpu->apic_id = lapic ? apic_read(APIC_ID) >> 24 : apic_read(APIC_ID);
    apic_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_write(APIC_LVT_LINT1, LVT_MASKED);
    apic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    if (arch_features.tsc_deadline) {
        apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | (VECTOR_LINES + PEND_TIMER));
        return;
    }
    apic_write(APIC_LVT_TIMER, LVT_MASKED);
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
}

void pc_apic_init(void)
{
    u64 base = rdmsr(MSR_APIC_BASE);

    mask_pic();
    if (!arch_features.x2apic) {
        wrmsr(MSR_APIC_BASE, base | BASE_ENABLE);
        lapic = pc_map_device(base & PTE_PA_MASK, PAGE_SIZE);
        if (!lapic)
            fatal_error("the local APIC at %#lx is not reachable", base & PTE_PA_MASK);
        arch_eoi_register = lapic + APIC_EOI / 4;
    }
    pc_apic_init_cpu(this_cpu());
    if (arch_features.tsc_deadline)
        return;
    apic_write(APIC_TIMER_INITIAL, UINT32_MAX); /* so that its rate can be measured */
    timer_start_tsc = rdtsc();
}
