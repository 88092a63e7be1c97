/* Signals of the host stand for exceptions, interrupts and system calls that are made by the
 * instruction.  The handler makes the frame where the kernel expects it and leaves the signal's
 * stack for good; only where kernel code was interrupted for nothing but a pending bit it returns.
 */
#include "abi/signal.h"
#include "abi/errno.h"
#include "abi/ucontext.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "arch/thread.h"
#include "core/irq.h"
#include "core/panic.h"
#include "plat/hosted/hosted.h"
#include "plat/plat_priv.h"

enum {
    SYS_SECCOMP = 1, /* si_code of SIGSYS */
    AUDIT_X86_64 = 0xc000003e,
    LAST_TRAP = TRAP_XM,
};

/* Labels of arch's entry.S. */
extern char syscall_exit_check[], syscall_exit_jump[], exit_process_check[], exit_process_jump[];

u32 hosted_stop_line, hosted_tick_line, hosted_signalled;

static u64 addr_of(const char *label)
{
    return (u64)(uintptr_t)label;
}

static bool is_between(u64 at, const char *first, const char *last)
{
    return at - addr_of(first) <= addr_of(last) - addr_of(first);
}

static void fill_frame(struct trap_frame *f, const struct sigcontext64 *mc)
{
    *f = (struct trap_frame){
        .r8 = mc->r8,
        .r9 = mc->r9,
        .r10 = mc->r10,
        .r11 = mc->r11,
        .r12 = mc->r12,
        .r13 = mc->r13,
        .r14 = mc->r14,
        .r15 = mc->r15,
        .rdi = mc->rdi,
        .rsi = mc->rsi,
        .rbp = mc->rbp,
        .rbx = mc->rbx,
        .rdx = mc->rdx,
        .rax = mc->rax,
        .rcx = mc->rcx,
        .orig_rax = (u64)-1,
        .rip = mc->rip,
        .rsp = mc->rsp,
        .rflags = mc->rflags,
        .cs = LINUX_USER_CS,
        .ss = LINUX_USER_SS,
    };
}

static bool is_program(const struct sigcontext64 *mc)
{
    return mc->rip < arch_kernel_base;
}

/* At the top of the kernel stack, or below what kernel code has used of its stack. */
static struct trap_frame *make_frame(const struct sigcontext64 *mc)
{
    struct trap_frame *f;

    if (is_program(mc) || mc->rsp < arch_kernel_base)
        f = arch_frame_of(this_cpu()->arch.kstack_top);
    else
        f = (struct trap_frame *)(uintptr_t)ALIGN_DOWN(mc->rsp - sizeof(*f), 16ul);
    fill_frame(f, mc);
    return f;
}

/* Only the pending word has changed.  In program code that is a reason to look at it now; at the
 * end of a call, where it has been looked at already, to look again. */
static void take_interrupt(struct sigcontext64 *mc)
{
    u64 frame = (u64)(uintptr_t)arch_frame_of(this_cpu()->arch.kstack_top);

    if (mc->rip == addr_of(syscall_exit_jump))
        mc->rip = mc->rcx; /* all registers are the program's already */
    if (is_program(mc)) {
        struct trap_frame *f = make_frame(mc);
        f->vector = VECTOR_LINES; /* which one does not matter */
        hosted_enter_exit(f, 0, mc->fpstate);
    }
    if (is_between(mc->rip, syscall_exit_check, syscall_exit_jump)) {
        mc->rip = addr_of(syscall_exit_check);
    } else if (is_between(mc->rip, exit_process_check, exit_process_jump)) {
        mc->rip = addr_of(exit_process_check);
        mc->rsp = frame;
    } else if (is_between(mc->rip, host_wait_check, host_wait_call)) {
        mc->rip = addr_of(host_wait_skip);
    }
}

/* The program made a call by the instruction; the filter has kept it from the host. */
static void take_call(const struct siginfo64 *info, const struct sigcontext64 *mc)
{
    u32 arch = (u32)(info->raw[1] >> 32);

    if (!is_program(mc))
        panic("a host call outside the stub at %#lx", mc->rip);
    struct trap_frame *f = make_frame(mc);
    this_vcpu()->depth--;
    if (info->si_code != SYS_SECCOMP || arch != AUDIT_X86_64) {
        f->vector = TRAP_GP; /* int 0x80, as a machine answers it */
        hosted_enter_trap(f, 0, mc->fpstate);
    }
    f->vector = FRAME_SYSCALL;
    f->orig_rax = mc->rax;
    hosted_enter_call(f, 0, mc->fpstate);
}

/* A file of the host ended before its mapping, or cannot be read. */
static bool is_lost_page(int sig, const struct siginfo64 *info)
{
    return sig == SIGBUS && info->si_code > BUS_ADRALN && info->si_code != SI_KERNEL;
}

/* A program that jumps to where nothing is above its own memory is told as if it had gone to 0. */
static void note_far_jump(struct sigcontext64 *mc)
{
    if (unlikely(!is_program(mc) && mc->trapno == TRAP_PF && mc->cr2 == mc->rip &&
                 mc->rsp < arch_kernel_base))
        mc->rip = 0;
}

static void take_fault(int sig, const struct siginfo64 *info, struct sigcontext64 *mc)
{
    note_far_jump(mc);
    struct trap_frame *f = make_frame(mc);

    this_vcpu()->depth--;
    f->vector = mc->trapno <= LAST_TRAP ? (u32)mc->trapno : TRAP_GP;
    f->error = (u32)mc->err;
    if (info->si_code == SI_TKILL || info->si_code == SI_USER)
        f->vector = TRAP_GP;
    if (is_lost_page(sig, info))
        f->vector = TRAP_MC;
    hosted_enter_trap(f, mc->cr2, mc->fpstate);
}

/* The host may tell us something before there is anybody to tell. */
static bool listening, stop_came_early;

void hosted_listen(void)
{
    listening = true;
    if (stop_came_early)
        irq_pend(hosted_stop_line);
}

static bool is_interrupt(int sig)
{
    return (sig >= HOSTED_SIG_TIMER && sig <= HOSTED_SIG_HALT) || sig == HOSTED_SIG_TICK;
}

/* To a CPU that has not been started: only that it has been, or that all shall stop, is news. */
static void take_early(int sig, struct sigcontext64 *mc)
{
    if (is_between(mc->rip, hosted_park_check, hosted_park_call))
        mc->rip = addr_of(hosted_park_check);
    if (sig != HOSTED_SIG_STOP)
        return;
    stop_came_early = true;
    if (!listening)
        return;
    __atomic_fetch_or(&cpus[0]->arch.pending, 1u << hosted_stop_line, __ATOMIC_SEQ_CST);
    hosted_cpu_kick(cpus[0]);
}

static void take_halt(const struct sigcontext64 *mc)
{
    struct trap_frame frame;

    fill_frame(&frame, mc);
    cpu_stopped(&frame);
}

static void pend(u32 line)
{
    __atomic_fetch_or(&hosted_signalled, 1u << line, __ATOMIC_SEQ_CST);
    irq_pend(line);
}

void hosted_on_signal(int sig, const struct siginfo64 *info, struct ucontext64 *uc)
{
    struct sigcontext64 *mc = &uc->mcontext;

    if (is_interrupt(sig) && (unlikely(!listening) || hosted_cpu_waits())) {
        take_early(sig, mc);
        return;
    }
    switch (sig) {
    case HOSTED_SIG_TIMER:
        pend(PEND_TIMER);
        take_interrupt(mc);
        return;
    case HOSTED_SIG_STOP:
        pend(hosted_stop_line);
        take_interrupt(mc);
        return;
    case HOSTED_SIG_TICK:
        pend(hosted_tick_line);
        take_interrupt(mc);
        return;
    case HOSTED_SIG_KICK: /* the bit is there already; one that comes later is a new signal's */
        __atomic_store_n(&this_vcpu()->kicked, 0, __ATOMIC_SEQ_CST);
        take_interrupt(mc);
        return;
    case HOSTED_SIG_HALT:
        take_halt(mc);
        return;
    case SIGSYS:
        this_vcpu()->depth++;
        take_call(info, mc);
        return;
    default:
        if (sig == SIGSEGV && (hosted_relocate_cold(mc->cr2) || hosted_map_rest(mc->cr2)))
            return;
        if (this_vcpu()->depth++) {
            struct trap_frame f;
            fill_frame(&f, mc);
            panic_frame(&f, "kernel stack overflow, or a fault in a fault, at %#lx", mc->cr2);
        }
        take_fault(sig, info, mc);
    }
}

void hosted_trap(struct trap_frame *frame, u64 addr)
{
    if (frame->vector == TRAP_MC) {
        if (!frame_is_program(frame) && plat_fix_up(frame))
            return;
        if (!frame_is_program(frame))
            panic_frame(frame, "a file of the image cannot be read, near %#lx", addr);
        program_trap(frame, SIGBUS, BUS_ADRERR, addr);
        return;
    }
    if (frame->vector == TRAP_PF)
        frame->error |= FAULT_PRESENT; /* the host may have paged what it has mapped */
    plat_take_trap(frame, addr);
}
