/* Descriptor tables of one CPU (SDM 3A 2.1 and 6.10-6.14). */
#include "plat/pc/cpu.h"
#include "arch/features.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "lib/string.h"
#include "plat/pc/ap.h"
#include "plat/pc/pc.h"

enum {
    IST_COMMON = 1,
    IST_NMI = 2,
    IST_DF = 3,
    IST_MC = 4,
    GATE_INTERRUPT = 0x8e,
    FIRST_GROWTH = 64, /* page faults of a CPU before the first pc_tlb_grow() */
};

struct gate {
    u16 offset_low;
    u16 selector;
    u8 ist;
    u8 type;
    u16 offset_mid;
    u32 offset_high;
    u32 reserved;
};
static_assert(sizeof(struct gate) == 16, "SDM 3A 6.14.1");

struct __attribute__((packed)) table_register {
    u16 limit;
    u64 base;
};

static struct pc_cpu boot_pc_cpu;
static alignas(16) struct gate idt[256];
struct cpu *cpus[MAX_CPUS];
u32 cpu_count;
u64 cpus_online;
char percpu_reads;

static void set_gate(u32 vector, u64 to)
{
    idt[vector] = (struct gate){.offset_low = (u16)to,
                                .selector = SEL_CODE,
                                .ist = IST_COMMON,
                                .type = GATE_INTERRUPT,
                                .offset_mid = (u16)(to >> 16),
                                .offset_high = (u32)(to >> 32)};
}

static void fill_idt(void)
{
    u64 stub = (uintptr_t)trap_stubs;

    for (u32 v = 0; v < 256; v++, stub += 16)
        set_gate(v, stub);
    set_gate(VECTOR_SPURIOUS, (uintptr_t)irq_spurious);
    set_gate(VECTOR_TLB, (uintptr_t)irq_tlb);
    idt[TRAP_NMI].ist = IST_NMI;
    idt[TRAP_DF].ist = IST_DF;
    idt[TRAP_MC].ist = IST_MC;
}

static void load_tables(struct pc_cpu *pc)
{
    u64 base = (uintptr_t)&pc->tss;
    u64 limit = sizeof(pc->tss) - 1;

    pc->tss.io_map = sizeof(pc->tss);
    pc->tss.ist[IST_COMMON - 1] = (uintptr_t)(pc->common_stack + sizeof(pc->common_stack));
    pc->tss.ist[IST_NMI - 1] = (uintptr_t)(pc->nmi_stack + sizeof(pc->nmi_stack));
    pc->tss.ist[IST_DF - 1] = (uintptr_t)(pc->fault_stack + sizeof(pc->fault_stack));
    pc->tss.ist[IST_MC - 1] = pc->tss.ist[IST_DF - 1];
    pc->gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
    pc->gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
    pc->gdt[SEL_TSS / 8] =
        limit | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
    pc->gdt[SEL_TSS / 8 + 1] = base >> 32;

    /* Hidden from the compiler, or a constant of odd alignment would need its own relocation. */
    u64 idt_base = (uintptr_t)idt;
    __asm__("" : "+r"(idt_base));

    struct table_register gdtr = {sizeof(pc->gdt) - 1, (uintptr_t)pc->gdt};
    struct table_register idtr = {sizeof(idt) - 1, idt_base};
    __asm__ volatile("lgdt %0\n lidt %1\n ltr %w2" ::"m"(gdtr), "m"(idtr), "r"(SEL_TSS) : "memory");
}

void pc_cpu_setup(struct cpu *cpu)
{
    struct pc_cpu *pc = pc_cpu_of(cpu);

    cpu->arch.panic_stack_top = pc->fault_stack + sizeof(pc->fault_stack);
    if (arch_features.tcg)
        pc->faults_to_growth = pc->growth_step = FIRST_GROWTH;
    load_tables(pc);
    wrmsr(MSR_GS_BASE, (uintptr_t)cpu);
    arch_cpu_setup();
    if (arch_features.rdtscp || arch_features.rdpid)
        wrmsr(MSR_TSC_AUX, cpu->arch.id);
}

void pc_boot_cpu_init(void)
{
    extern char boot_stack_top[];
    struct cpu *cpu = &boot_pc_cpu.cpu;

    arch_features_init();
    fill_idt();
    cpu->arch.self = &cpu->arch;
    cpu->arch.kstack_top = boot_stack_top;
    cpu->timer_armed_ns = UINT64_MAX;
    cpus[0] = cpu;
    pc_cpu_setup(cpu);
    cpu_count = 1;
    cpus_online = 1;
}
