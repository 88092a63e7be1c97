/* Threads as the instruction set sees them: first frame, switch, FS base. */
#include "arch/thread.h"

#include "arch/cpu.h"
#include "arch/features.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "arch/switch.h"
#include "arch/vector.h"
#include "lib/string.h"

enum { MSR_FS_BASE = 0xc0000100 };

extern char arch_thread_begin[];

volatile u32 *arch_eoi_register;

void arch_thread_init(struct arch_thread *t, void *stack_top, void (*entry)(void *), void *arg)
{
    u64 *sp = (u64 *)(void *)arch_frame_of(stack_top);

    *--sp = 0;                     /* keeps the stack as a call would have left it */
    *--sp = (u64)(uintptr_t)entry; /* what arch_thread_begin takes off */
    *--sp = (u64)(uintptr_t)arg;
    *--sp = (u64)(uintptr_t)arch_thread_begin;
    t->rsp = (u64)(uintptr_t)sp;
    t->loaded_on = NULL;
}

void (*arch_process_set_fs)(u64 base);

static struct arch_cpu *this_arch_cpu(void)
{
    struct arch_cpu *cpu;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static void process_set_fs(u64 base)
{
    this_arch_cpu()->process_fs = base;
    arch_process_set_fs(base);
}

void arch_set_fs(u64 base)
{
    if (arch_features.fsgsbase)
        __asm__ volatile("wrfsbase %0" ::"r"(base));
    else if (arch_in_process)
        process_set_fs(base);
    else
        wrmsr(MSR_FS_BASE, base);
}

u64 arch_get_fs(void)
{
    u64 base;
    if (!arch_features.fsgsbase)
        return arch_in_process ? this_arch_cpu()->process_fs : rdmsr(MSR_FS_BASE);
    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

void arch_switch_state_any(struct arch_thread *prev, struct arch_thread *next)
{
    struct arch_cpu *cpu = this_arch_cpu();

    if (prev->vector) {
        prev->fs_base = arch_get_fs();
        vector_save(prev->vector);
        prev->loaded_on = cpu;
        cpu->vector_owner = prev;
    }
    if (next->vector) {
        arch_set_fs(next->fs_base);
        if (cpu->vector_owner != next || next->loaded_on != cpu)
            vector_load(next->vector);
        cpu->vector_owner = NULL; /* the registers run ahead of the memory from here on */
    }
}

void arch_frame_init(struct trap_frame *frame, u64 rip, u64 rsp)
{
    memset(frame, 0, sizeof(*frame));
    frame->vector = FRAME_SYSCALL;
    frame->orig_rax = -1ul;
    frame->rip = rip;
    frame->rsp = rsp;
    frame->rflags = RFLAGS_FIXED | RFLAGS_IF;
    frame->cs = SEL_CODE;
    frame->ss = SEL_DATA;
}
