/* Signal frames.  Layout and order as Linux's arch/x86 documents them through its ABI headers: from
 * the stack pointer up struct rt_sigframe64, then the XSAVE image, 64-aligned.
 * The program may have written anything into a frame that it returns through. */
#include "arch/sigframe.h"

#include "abi/errno.h"
#include "abi/ucontext.h"
#include "arch/frame.h"
#include "arch/layout.h"
#include "arch/thread.h"
#include "arch/uaccess.h"

enum { RED_ZONE = 128 };

static bool in_program(u64 addr, u64 len)
{
    return addr < arch_program_end && len <= arch_program_end - addr;
}

static void *program_ptr(u64 addr)
{
    return (void *)(uintptr_t)addr;
}

static void save_registers(struct sigcontext64 *mc, const struct trap_frame *f)
{
    *mc = (struct sigcontext64){
        .r8 = f->r8,
        .r9 = f->r9,
        .r10 = f->r10,
        .r11 = f->r11,
        .r12 = f->r12,
        .r13 = f->r13,
        .r14 = f->r14,
        .r15 = f->r15,
        .rdi = f->rdi,
        .rsi = f->rsi,
        .rbp = f->rbp,
        .rbx = f->rbx,
        .rdx = f->rdx,
        .rax = f->rax,
        .rcx = f->rcx,
        .rsp = f->rsp,
        .rip = f->rip,
        .rflags = f->rflags,
        .cs = LINUX_USER_CS,
        .ss = LINUX_USER_SS,
    };
}

static void load_registers(struct trap_frame *f, const struct sigcontext64 *mc)
{
    f->r8 = mc->r8;
    f->r9 = mc->r9;
    f->r10 = mc->r10;
    f->r11 = mc->r11;
    f->r12 = mc->r12;
    f->r13 = mc->r13;
    f->r14 = mc->r14;
    f->r15 = mc->r15;
    f->rdi = mc->rdi;
    f->rsi = mc->rsi;
    f->rbp = mc->rbp;
    f->rbx = mc->rbx;
    f->rdx = mc->rdx;
    f->rax = mc->rax;
    f->rcx = mc->rcx;
    f->rsp = mc->rsp;
    f->rip = mc->rip;
    f->rflags = (mc->rflags & RFLAGS_PROGRAM) | RFLAGS_FIXED | RFLAGS_IF;
}

/** The stack pointer below which the frame goes, or 0 if the alternate stack would overflow. */
static u64 frame_top(const struct trap_frame *f, const struct sigframe_args *args)
{
    const struct sigaltstack64 *alt = args->altstack;
    u64 sp = f->rsp - RED_ZONE;
    if (sigaltstack_contains(alt, f->rsp))
        return sigaltstack_contains(alt, sp) ? sp : 0;
    if (args->action->flags & SA_ONSTACK && alt->size)
        return alt->sp + alt->size;
    return sp;
}

int arch_sigframe_push(struct trap_frame *f, const struct sigframe_args *args)
{
    const struct sigaction64 *action = args->action;
    u64 top = frame_top(f, args);
    if (!top || !(action->flags & SA_RESTORER) || !in_program(action->handler, 1))
        return -EFAULT;

    u64 fp_size = arch_fpstate_size();
    u64 fp = ALIGN_DOWN(top - fp_size, 64ull);
    /* As after a call: the stack is 16-aligned before the return address was pushed. */
    u64 sp = ALIGN_DOWN(fp - sizeof(struct rt_sigframe64), 16ull) - 8;
    if (!in_program(sp, top - sp) || sp >= top)
        return -EFAULT;
    if (sigaltstack_contains(args->altstack, top - 1) && sp <= args->altstack->sp)
        return -EFAULT;

    struct rt_sigframe64 frame = {
        .pretcode = action->restorer,
        .uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
        .uc.stack = *args->altstack,
        .uc.sigmask = args->mask,
        .info = *args->info,
    };
    save_registers(&frame.uc.mcontext, f);
    frame.uc.mcontext.err = args->error;
    frame.uc.mcontext.trapno = args->trapno;
    frame.uc.mcontext.oldmask = args->mask;
    frame.uc.mcontext.cr2 = args->cr2;
    frame.uc.mcontext.fpstate = fp;
    if (arch_fpstate_save(program_ptr(fp)) ||
        arch_copy_user(program_ptr(sp), &frame, sizeof(frame)))
        return -EFAULT;

    if ((u32)args->altstack->flags & SS_AUTODISARM)
        *args->altstack = (struct sigaltstack64){.flags = SS_DISABLE};
    f->rdi = (u64)args->sig;
    f->rsi = sp + offsetof(struct rt_sigframe64, info);
    f->rdx = sp + offsetof(struct rt_sigframe64, uc);
    f->rax = 0;
    f->rip = action->handler;
    f->rsp = sp;
    f->rflags &= ~(u64)(RFLAGS_DF | RFLAGS_TF);
    f->orig_rax = (u64)-1;
    return 0;
}

int arch_sigframe_pop(struct trap_frame *f, sigset64_t *mask, struct sigaltstack64 *stack)
{
    u64 sp = f->rsp - 8; /* the handler's return has popped .pretcode */
    struct ucontext64 uc;
    if (!in_program(sp, sizeof(struct rt_sigframe64)) ||
        arch_copy_user(&uc, program_ptr(sp + offsetof(struct rt_sigframe64, uc)), sizeof(uc)))
        return -EFAULT;

    u64 fp = uc.mcontext.fpstate;
    if (!in_program(uc.mcontext.rip, 1) || (fp && !in_program(fp, arch_fpstate_size())))
        return -EFAULT;
    if (arch_fpstate_restore(fp ? program_ptr(fp) : NULL))
        return -EFAULT;
    load_registers(f, &uc.mcontext);
    *mask = uc.sigmask;
    *stack = uc.stack;
    return 0;
}
