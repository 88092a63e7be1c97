/* The frame under a signal handler, exactly as Linux lays it out (abi/ucontext.h). */
#pragma once

#include "abi/signal.h"

struct trap_frame;

struct sigframe_args {
    int sig;
    const struct siginfo64 *info;
    const struct sigaction64 *action; /* with a handler */
    sigset64_t mask;                  /* what sigreturn restores */
    struct sigaltstack64 *altstack;   /* the thread's; SS_AUTODISARM takes it away */
    u64 trapno, error, cr2;           /* of the last fault */
};

/** True if the stack pointer @sp lies on @stack. */
static inline bool sigaltstack_contains(const struct sigaltstack64 *stack, u64 sp)
{
    return !((u32)stack->flags & SS_AUTODISARM) && sp > stack->sp && sp - stack->sp <= stack->size;
}

/**
 * Save the program's state on its stack (the alternate one with SA_ONSTACK) and make @frame enter
 * the handler.  The red zone of 128 bytes stays as it is.  0, or -EFAULT: @frame is untouched then.
 * Thread context; may sleep.
 */
int arch_sigframe_push(struct trap_frame *frame, const struct sigframe_args *args);

/**
 * rt_sigreturn: load @frame and the vector registers from the frame above the program's stack
 * pointer.  Whatever it holds, the kernel stays whole.  0 with *@mask and *@stack, or -EFAULT.
 */
int arch_sigframe_pop(struct trap_frame *frame, sigset64_t *mask, struct sigaltstack64 *stack);
