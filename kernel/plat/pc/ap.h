/* What ap.S and ap.c share about the start of other CPUs. */
#pragma once

#define AP_PAGE  0x1000 /* below 1 MiB; boot.c keeps it free */
#define AP_SLOTS 64

#ifndef __ASSEMBLER__
#include "core/percpu.h"

/* A CPU that is started, or nobody. */
struct ap_slot {
    u32 apic_id;
    struct cpu *cpu; /* [A] NULL: free; set last */
};

/** Send a CPU from wherever it is to AP_PAGE in real mode. */
void pc_apic_start_cpu(u32 apic_id);
/** The local APIC of a CPU that has just come up: as that of the first. */
void pc_apic_init_cpu(struct cpu *cpu);
/** Descriptor tables, GS base and MSRs of the running CPU, whose struct cpu is @cpu. */
void pc_cpu_setup(struct cpu *cpu);
_Noreturn void pc_ap_main(struct cpu *cpu);
#endif
