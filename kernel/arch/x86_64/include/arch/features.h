/* What this CPU can do, read once at start by arch_features_init(). */
#pragma once

#include "lib/types.h"

struct cpuid_table;

/* [I] */
struct arch_features {
    bool fsgsbase, xsave, xsaveopt, rdpid, rdtscp;
    bool gib_pages, x2apic, tsc_deadline, rdrand, rdseed;
    bool hypervisor, tcg, kvm;
    bool quick_switch;       /* fsgsbase and xsaveopt */
    bool copy_bytes;         /* rep movsb is the quick one (ERMS, and not under TCG) */
    u32 hypervisor_max_leaf; /* 0x40000000 and up */
    u32 tsc_khz;             /* what CPUID says of the TSC's rate; 0: nothing */
    u32 hwcap;               /* leaf 1, EDX: AT_HWCAP */
    u32 xcr0_host;           /* in a process: the components that the host has enabled */
    u64 xcr0;                /* vector components in use */
    u32 vector_size;         /* bytes of an XSAVE (or FXSAVE) area with them */
};
extern struct arch_features arch_features;

/** Read CPUID.  Before anything else of arch on the boot CPU. */
void arch_features_init(void);

/** Instead, in a host process, which has what its host lets it use.
 * @known: what CPUID says as far as it is known already. */
void arch_features_init_process(bool fsgsbase, const struct cpuid_table *known);

/** Set the control registers and system-call MSRs of the running CPU; GS base is set by the caller.
 */
void arch_cpu_setup(void);
