/* Delivering signals on the way back to the program: handlers, default actions, and what becomes of
 * an interrupted system call (signal(7), "Interruption of system calls"). */
#include "sched/signal.h"

#include "abi/errno.h"
#include "arch/frame.h"
#include "arch/sigframe.h"
#include "sched/family.h"
#include "sched/rseq.h"
#include "sched/sched_priv.h"

enum { SYSCALL_INSTRUCTION_LEN = 2, NR_RESTART_SYSCALL = 219 };
enum { DIED_WITH_CORE = 0x80 }; /* of the status that wait(2) gives */

#define SIGNALS_CORE                                                                               \
    (sigmask(SIGQUIT) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGABRT) | sigmask(SIGBUS) |  \
     sigmask(SIGFPE) | sigmask(SIGSEGV) | sigmask(SIGXCPU) | sigmask(SIGXFSZ) | sigmask(SIGSYS))

/** Make the system call of @frame start again, as number @nr. */
static void restart_call(struct trap_frame *frame, u64 nr)
{
    frame->rax = nr;
    frame->rip -= SYSCALL_INSTRUCTION_LEN;
}

/** The interrupted call's result, if a handler with @flags runs now. */
static void settle_call_for_handler(struct trap_frame *frame, u64 flags)
{
    if (!frame_is_syscall(frame))
        return;
    switch (-(s64)frame->rax) {
    case ERESTART_RESTARTBLOCK:
    case ERESTARTNOHAND:
        frame->rax = (u64)-EINTR;
        break;
    case ERESTARTSYS:
        if (!(flags & SA_RESTART)) {
            frame->rax = (u64)-EINTR;
            break;
        }
        restart_call(frame, frame->orig_rax);
        break;
    case ERESTARTNOINTR:
        restart_call(frame, frame->orig_rax);
        break;
    }
    frame->orig_rax = (u64)-1; /* settled: not again for the next signal */
}

/** Likewise where no handler ran. */
static void settle_call(struct trap_frame *frame)
{
    if (!frame_is_syscall(frame))
        return;
    switch (-(s64)frame->rax) {
    case ERESTARTSYS:
    case ERESTARTNOINTR:
    case ERESTARTNOHAND:
        restart_call(frame, frame->orig_rax);
        break;
    case ERESTART_RESTARTBLOCK:
        restart_call(frame, NR_RESTART_SYSCALL);
        break;
    default:
        return;
    }
    frame->orig_rax = (u64)-1;
}

static void die_of(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
    __attribute__((noreturn));

static void die_of(int sig, const struct siginfo64 *info, const struct trap_frame *frame)
{
    if (sigmask(sig) & SIGNALS_CORE) {
        crash_report(sig, info, frame);
        if (core_dump(sig, info, frame))
            process_exit(sig | DIED_WITH_CORE);
    }
    process_exit(sig);
}

static bool still_stopped(struct process *p)
{
    return __atomic_load_n(&p->stopped, __ATOMIC_ACQUIRE);
}

/** SIGSTOP and its like: all threads of the process wait for SIGCONT or SIGKILL, unless one of
 * these, or the end, has come since it was taken. */
static void stop_process(struct process *p, int sig)
{
    struct thread *t;
    if (sig != SIGSTOP && p->parent && family_group_is_orphaned())
        return; /* nobody could start it again */
    spin_lock(&p->siglock);
    bool stops = p->stop_taken;
    p->stopped |= stops;
    list_for_each(t, &p->threads, process_node)
        if (stops && t != current)
            thread_set_work(t, WORK_SIGNAL);
    spin_unlock(&p->siglock);
    if (stops)
        family_report_stop(sig);
}

/** May the current thread of @p go on, if only to its end? */
static bool goes_on(struct process *p)
{
    return !still_stopped(p) || __atomic_load_n(&current->work, __ATOMIC_RELAXED) & WORK_EXIT;
}

/** Sleep until the process may go on; its first thread to do so tells the parent. */
static void wait_until_continued(struct process *p)
{
    __atomic_fetch_add(&p->nr_halted, 1, __ATOMIC_ACQ_REL);
    wait_event(&p->stop_wait, goes_on(p), false, NO_DEADLINE);
    __atomic_fetch_sub(&p->nr_halted, 1, __ATOMIC_ACQ_REL);
    if (__atomic_exchange_n(&p->continued, false, __ATOMIC_ACQ_REL))
        family_report_stop(SIGCONT);
}

/** Run the handler of @sig: a frame on the program's stack, and the mask it asks for. */
static void run_handler(struct trap_frame *frame, int sig, const struct siginfo64 *info,
                        const struct sigaction64 *action)
{
    struct thread *t = current;
    settle_call_for_handler(frame, action->flags);
    if (t->rseq)
        rseq_update(frame);
    frame->rip = mm_shown_pc(t->mm, frame->rip);

    struct sigframe_args args = {
        .sig = sig,
        .info = info,
        .action = action,
        .mask = t->restore_blocked ? t->saved_blocked : t->blocked,
        .altstack = &t->altstack,
        .trapno = t->fault_vector,
        .error = t->fault_error,
        .cr2 = t->fault_addr,
    };
    if (arch_sigframe_push(frame, &args)) {
        /* No room for the frame: the stack has overflowed, or the handler is nonsense. */
        if (sig == SIGSEGV)
            die_of(sig, info, frame);
        signal_force(SIGSEGV, SI_KERNEL, 0, frame);
        return;
    }
    t->restore_blocked = false;
    sigset64_t mask = t->blocked | action->mask;
    if (!(action->flags & SA_NODEFER))
        mask |= sigmask(sig);
    signal_set_blocked(mask);
}

/** Take the next signal and its action; 0 when there is none. */
static int next_signal(struct thread *t, struct siginfo64 *info, struct sigaction64 *action)
{
    struct process *p = t->process;
    int sig = signal_dequeue(t, ~t->blocked, info);
    if (!sig)
        return 0;
    spin_lock(&p->siglock);
    *action = p->actions[sig - 1];
    if (action->flags & SA_RESETHAND && action->handler > SIG_IGN)
        p->actions[sig - 1].handler = SIG_DFL;
    spin_unlock(&p->siglock);
    return sig;
}

void signal_deliver(struct trap_frame *frame)
{
    struct thread *t = current;
    struct process *p = t->process;
    struct siginfo64 info;
    struct sigaction64 action;
    int sig;

    for (;;) {
        if (unlikely(still_stopped(p)))
            wait_until_continued(p);
        if (unlikely(t->work & WORK_EXIT)) /* told so while it was stopped */
            break;
        sig = next_signal(t, &info, &action);
        if (!sig)
            break;
        if (action.handler > SIG_IGN)
            run_handler(frame, sig, &info, &action);
        else if (action.handler == SIG_IGN || signal_default_ignores(sig))
            continue;
        else if (signal_default_stops(sig))
            stop_process(p, sig);
        else
            die_of(sig, &info, frame);
    }
    settle_call(frame);
    signal_restore_mask();
}

int signal_altstack(const struct sigaltstack64 *new, struct sigaltstack64 *old, u64 sp)
{
    struct sigaltstack64 *stack = &current->altstack;
    bool on_it = sigaltstack_contains(stack, sp);
    struct sigaltstack64 was = *stack;
    if (new) {
        u32 mode = (u32) new->flags & ~SS_AUTODISARM;
        if (on_it)
            return -EPERM;
        if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
            return -EINVAL;
        if (mode != SS_DISABLE && new->size < MINSIGSTKSZ)
            return -ENOMEM;
        *stack = *new;
        stack->flags &= ~SS_ONSTACK;
        if (mode == SS_DISABLE) {
            stack->sp = 0;
            stack->size = 0;
        }
    }
    if (old) {
        *old = was;
        old->flags = (s32)((u32)was.flags & SS_AUTODISARM);
        old->flags |= !was.size ? SS_DISABLE : on_it ? SS_ONSTACK : 0;
    }
    return 0;
}

bool signal_return(struct trap_frame *frame)
{
    sigset64_t mask;
    struct sigaltstack64 stack;
    if (arch_sigframe_pop(frame, &mask, &stack))
        return false;
    frame->orig_rax = (u64)-1;
    /* SS_AUTODISARM had taken it away; what the program wrote there that is no stack is ignored. */
    signal_altstack(&stack, NULL, frame->rsp);
    signal_set_blocked(mask);
    return true;
}
