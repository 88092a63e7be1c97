/* What the instruction set wants to keep of a thread; the switch between two is in arch/switch.h.
 * Kernel code uses general registers only, so the program's vector registers stay where they are
 * until the thread is switched away. */
#pragma once

#include "lib/types.h"

struct trap_frame;

struct arch_thread {
    u64 rsp;         /* [C] kernel stack pointer while switched away */
    u64 fs_base;     /* [C] the program's TLS; live in the register while the thread runs */
    void *vector;    /* [I] arch_vector_size() bytes, 64-aligned, the thread's; NULL: kernel only */
    void *loaded_on; /* [C] the CPU whose registers held .vector last, or NULL */
};

/**
 * Prepare @t to begin in @entry(@arg) when first switched to.
 * @stack_top: end of its kernel stack, 16-aligned; sizeof(struct trap_frame) below it are left free
 *             for the program's frame, which arch_frame_of() names
 * @entry must not return.  Leaves .vector as it is.
 */
void arch_thread_init(struct arch_thread *t, void *stack_top, void (*entry)(void *), void *arg);

/** The program's frame of a thread whose kernel stack ends at @stack_top. */
static inline struct trap_frame *arch_frame_of(void *stack_top)
{
    return (struct trap_frame *)(void *)((char *)stack_top - 176);
}

/**
 * Go (back) to the program with every register as in @frame, which must be the one at the top of
 * the current kernel stack.  Runs pending work first.  For a new thread, execve and rt_sigreturn.
 */
_Noreturn void arch_enter_program(struct trap_frame *frame);

/** Make @frame one that starts a program at @rip on stack @rsp: all other registers zero. */
void arch_frame_init(struct trap_frame *frame, u64 rip, u64 rsp);

/** How a host process without FSGSBASE sets it: the platform's. */
extern void (*arch_process_set_fs)(u64 base);

/** Set or get the FS base of the running thread. */
void arch_set_fs(u64 base);
u64 arch_get_fs(void);

/** Bytes of vector state of one thread (XSAVE area), multiple of 64; fixed after start. */
size_t arch_vector_size(void);

/** Give @area (64-aligned, arch_vector_size() bytes) the state a program starts with. */
void arch_vector_init(void *area);

/** Copy the running thread's vector state into @area, as clone() needs it. */
void arch_vector_copy_current(void *area);

/** Load the program-start state into the registers of the running thread (execve). */
void arch_vector_reset_current(void);

/* Signal frames carry the vector state in Linux's format: the XSAVE image, with the software bytes
 * (FP_XSTATE_MAGIC1, sizes, feature mask) at offset 464 and FP_XSTATE_MAGIC2 after the image. */

/** Bytes a signal frame needs for it; place it 64-aligned. */
size_t arch_fpstate_size(void);

/** Save the running thread's vector state to program memory at @fpstate.  0 or -EFAULT. */
int arch_fpstate_save(void *fpstate);

/**
 * Load the vector registers from program memory, which may hold anything.  @fpstate may be NULL
 * (start state).  0, -EFAULT, or -EINVAL if the image is malformed.
 */
int arch_fpstate_restore(const void *fpstate);
