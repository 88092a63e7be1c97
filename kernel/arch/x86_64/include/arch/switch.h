/* The switch from one thread to another, in line: who calls it keeps its registers anyway. */
#pragma once

#include "arch/cpu.h"
#include "arch/thread.h"
#include "arch/vector.h"

#ifdef __INGOT_KERNEL__

/** As below where a thread has no vector state, or the CPU is an odd one. */
void arch_switch_state_any(struct arch_thread *prev, struct arch_thread *next);

/* A kernel-only thread leaves the program's registers where they are, so going through idle and
 * back to the same program thread costs neither save nor load of FS; the vector state is saved when
 * its thread leaves (another CPU may take it) but loaded only if the registers hold another's. */
static inline void arch_switch_state(struct arch_thread *prev, struct arch_thread *next)
{
    struct arch_cpu *cpu;

    if (unlikely(!arch_features.quick_switch || !prev->vector || !next->vector)) {
        arch_switch_state_any(prev, next);
        return;
    }
    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    __asm__ volatile("rdfsbase %0" : "=r"(prev->fs_base));
    __asm__ volatile("xsaveopt64 (%0)" ::"r"(prev->vector), "a"((u32)arch_features.xcr0), "d"(0)
                     : "memory");
    prev->loaded_on = cpu;
    __asm__ volatile("wrfsbase %0" ::"r"(next->fs_base));
    __asm__ volatile("xrstor64 (%0)" ::"r"(next->vector), "a"((u32)arch_features.xcr0), "d"(0)
                     : "memory");
    cpu->vector_owner = NULL; /* the registers run ahead of the memory from here on */
}

/**
 * Leave @prev, go on in @next; returns when somebody switches back to @prev.
 * The caller has set the CPU's current thread and kernel stack top (core/percpu.h) before.
 * Stack, callee-saved registers, FS base and vector state are switched.  Thread context.
 */
static inline __attribute__((always_inline)) void arch_switch(struct arch_thread *prev,
                                                              struct arch_thread *next)
{
    arch_switch_state(prev, next);
    __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "movq %%rsp, (%0)\n\t"
                     "movq (%1), %%rsp\n\t"
                     "ret\n"
                     "1:"
                     : "+D"(prev), "+S"(next)
                     :
                     : "rax", "rbx", "rcx", "rdx", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
                       "r14", "r15", "memory", "cc");
}
static_assert(offsetof(struct arch_thread, rsp) == 0, "arch_switch()");

#else /* tests have fibers */
void arch_switch(struct arch_thread *prev, struct arch_thread *next);
#endif
