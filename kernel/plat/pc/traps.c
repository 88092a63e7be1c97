/* Exceptions: page faults to mm, the program's own mistakes to signals, ours to panic. */
#include "arch/frame.h"
#include "arch/hooks.h"
#include "core/panic.h"
#include "plat/pc/cpu.h"
#include "plat/pc/pc.h"
#include "plat/plat_priv.h"

/* Signals and si_code of the Linux ABI (asm-generic/siginfo.h). */
enum {
    SIG_ILL = 4,
    SIG_TRAP = 5,
    SIG_BUS = 7,
    SIG_FPE = 8,
    SIG_SEGV = 11,
    ILL_ILLOPN = 2,
    TRAP_TRACE = 2,
    BUS_ADRALN = 1,
    FPE_INTDIV = 1,
    FPE_FLTDIV = 3,
    FPE_FLTOVF = 4,
    FPE_FLTUND = 5,
    FPE_FLTRES = 6,
    FPE_FLTINV = 7,
    FROM_KERNEL = 0x80,
    KSTACK_MAX = 64 * 1024,
};

/* Both offsets are relative to their own place. */
struct ex_entry {
    s32 at, fixup;
};
extern const struct ex_entry ex_table_start[], ex_table_end[];

static const char *const trap_names[] = {
    [TRAP_DE] = "divide error",
    [TRAP_DB] = "debug",
    [TRAP_NMI] = "non-maskable interrupt",
    [TRAP_BP] = "breakpoint",
    [TRAP_UD] = "invalid opcode",
    [TRAP_NM] = "no vector unit",
    [TRAP_DF] = "double fault",
    [TRAP_GP] = "general protection",
    [TRAP_PF] = "page fault",
    [TRAP_MC] = "machine check",
};

bool plat_fix_up(struct trap_frame *frame)
{
    for (const struct ex_entry *e = ex_table_start; e < ex_table_end; e++) {
        if ((u64)(uintptr_t)&e->at + (u64)(s64)e->at != frame->rip)
            continue;
        frame->rip = (u64)(uintptr_t)&e->fixup + (u64)(s64)e->fixup;
        return true;
    }
    return false;
}

static _Noreturn void kernel_trap(struct trap_frame *frame, u64 addr)
{
    const char *name = frame->vector < ARRAY_LEN(trap_names) ? trap_names[frame->vector] : NULL;

    if (frame->vector == TRAP_PF)
        panic_frame(frame, "page fault at %#lx, error %#x", addr, frame->error);
    panic_frame(frame, "%s (vector %u, error %#x)", name ? name : "trap", frame->vector,
                frame->error);
}

/* Which of the exceptions that are flagged and not masked (SDM 1 8.5, 11.5). */
static int float_code(u32 flags, u32 masks)
{
    u32 hit = flags & ~masks & 0x3f;

    if (hit & 1)
        return FPE_FLTINV;
    if (hit & 4)
        return FPE_FLTDIV;
    if (hit & 8)
        return FPE_FLTOVF;
    if (hit & 0x12)
        return FPE_FLTUND;
    return hit & 0x20 ? FPE_FLTRES : 0;
}

static int x87_code(void)
{
    u16 fsw, fcw;
    __asm__ volatile("fnstsw %0\n fnstcw %1" : "=m"(fsw), "=m"(fcw));
    return float_code(fsw, fcw);
}

static int sse_code(void)
{
    u32 mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return float_code(mxcsr, mxcsr >> 7);
}

static void program_exception(struct trap_frame *frame)
{
    switch (frame->vector) {
    case TRAP_DE:
        program_trap(frame, SIG_FPE, FPE_INTDIV, frame->rip);
        return;
    case TRAP_DB:
        program_trap(frame, SIG_TRAP, TRAP_TRACE, frame->rip);
        return;
    case TRAP_BP:
        program_trap(frame, SIG_TRAP, FROM_KERNEL, 0);
        return;
    case TRAP_UD:
        program_trap(frame, SIG_ILL, ILL_ILLOPN, frame->rip);
        return;
    case TRAP_SS:
        program_trap(frame, SIG_BUS, FROM_KERNEL, 0);
        return;
    case TRAP_AC:
        program_trap(frame, SIG_BUS, BUS_ADRALN, 0);
        return;
    case TRAP_MF:
        program_trap(frame, SIG_FPE, x87_code(), frame->rip);
        return;
    case TRAP_XM:
        program_trap(frame, SIG_FPE, sse_code(), frame->rip);
        return;
    default: /* #GP, and vectors nobody sends, such as int 0x80 */
        program_trap(frame, SIG_SEGV, FROM_KERNEL, 0);
    }
}

static void take_page_fault(struct trap_frame *frame, u64 addr)
{
    int verdict = page_fault(frame, addr, frame->error);

    if (!verdict)
        return;
    if (frame_is_program(frame))
        program_trap(frame, verdict & 0xff, verdict >> 8, addr);
    else if (!plat_fix_up(frame))
        kernel_trap(frame, addr);
}

static bool on_kernel_stack(u64 rsp)
{
    return (u64)(uintptr_t)this_cpu()->arch.kstack_top - rsp < KSTACK_MAX;
}

/* A program that steps through its own code has jumped through the gate. */
static bool is_step_through_gate(const struct trap_frame *frame)
{
    return frame->vector == TRAP_DB && frame->rip == (u64)(uintptr_t)syscall_gate_entry;
}

/* Go on as if it had come by the instruction, which saves the flags and clears this one. */
static void step_through_gate(struct trap_frame *frame)
{
    frame->r11 = frame->rflags;
    frame->rflags = RFLAGS_FIXED | RFLAGS_IF;
    frame->rip = (u64)(uintptr_t)syscall_entry;
}

void plat_take_trap(struct trap_frame *frame, u64 addr)
{
    if (frame_is_program(frame) && on_kernel_stack(frame->rsp))
        panic_frame(frame, "the kernel went to %#lx", frame->rip);
    if (frame->vector == TRAP_PF)
        take_page_fault(frame, addr);
    else if (frame_is_program(frame))
        program_exception(frame);
    else if (is_step_through_gate(frame))
        step_through_gate(frame);
    else if (!plat_fix_up(frame))
        kernel_trap(frame, addr);
}

static u64 read_fault_address(void)
{
    struct pc_cpu *pc = pc_cpu_of(this_cpu());
    u64 addr;

    __asm__ volatile("mov %%cr2, %0" : "=r"(addr));
    if (unlikely(--pc->faults_to_growth == 0))
        pc_tlb_grow(pc);
    return addr;
}

static bool stop_was_asked(void)
{
    return __atomic_exchange_n(&pc_cpu_of(this_cpu())->stop_asked, false, __ATOMIC_SEQ_CST);
}

void trap_dispatch(struct trap_frame *frame)
{
    u64 addr = 0;

    if (frame->vector == TRAP_NMI && stop_was_asked()) {
        cpu_stopped(frame);
        return;
    }
    if (frame->vector == TRAP_PF)
        addr = read_fault_address();
    if (frame->vector == TRAP_NMI || frame->vector == TRAP_DF || frame->vector == TRAP_MC)
        kernel_trap(frame, addr);
    if (frame->rflags & RFLAGS_IF)
        __asm__ volatile("sti" ::: "memory");
    plat_take_trap(frame, addr);
}

_Noreturn void trap_stack_overflow(struct trap_frame *frame)
{
    panic_frame(frame, "kernel stack overflow near %#lx", frame->rsp);
}
