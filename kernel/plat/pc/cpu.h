/* What a CPU of a PC needs besides struct cpu. */
#pragma once

#include "core/percpu.h"
#include "core/spinlock.h"

struct __attribute__((packed)) tss {
    u32 reserved0;
    u64 rsp[3];
    u64 reserved1;
    u64 ist[7];
    u64 reserved2;
    u16 reserved3;
    u16 io_map;
};
static_assert(sizeof(struct tss) == 104, "SDM 3A 8.7");

enum tlb_state { TLB_ACTIVE, TLB_RESTS, TLB_RESTS_STALE };

/* What other CPUs want this one to forget.  [T] under .lock, which is taken with interrupts off
 * because the handler takes it too; [A] atomic. */
struct tlb_wishes {
    struct spinlock lock;
    u64 start, end;        /* [T] addresses; none: start is not below end */
    struct plat_as *leave; /* [T] an address space that goes away, or NULL */
    u64 asked;             /* [T] counts wishes */
    u64 answered;          /* [A] the last one that was fulfilled */
    u32 state;             /* [A] enum tlb_state */
};

/* Fields: [C] own CPU only. */
struct pc_cpu {
    struct cpu cpu;
    u64 gdt[5];     /* [C] */
    struct tss tss; /* [C] */
    struct tlb_wishes tlb;
    u64 faults_to_growth; /* [C] page faults until pc_tlb_grow(); 0: none ever */
    u64 growth_step;      /* [C] page faults between the last two */
    bool polls;           /* [A] looks at its pending word all the time: no interrupt is needed */
    bool stop_asked;      /* [A] the next NMI is another CPU's wish */
    alignas(16) u8 common_stack[1024]; /* a frame passes through; the TLB's handler runs here */
    alignas(16) u8 nmi_stack[4096];
    alignas(16) u8 fault_stack[4096]; /* #DF and #MC: both end in panic */
};

static inline struct pc_cpu *pc_cpu_of(struct cpu *cpu)
{
    static_assert(offsetof(struct pc_cpu, cpu) == 0, "plat.cpu_size says so");
    return (struct pc_cpu *)(void *)cpu;
}
