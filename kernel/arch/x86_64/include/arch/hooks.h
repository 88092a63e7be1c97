/* What arch calls in the rooms above.  They are plain functions found by the linker, because these
 * paths are too hot for a table. */
#pragma once

/** Slots of the table; the last one answers for all greater numbers. */
#define SYSCALL_SLOTS 512

#ifndef __ASSEMBLER__
#include "lib/types.h"

struct trap_frame;

/** A system call: arguments as in the registers; the result goes to RAX, negative errno for errors.
 */
typedef long (*syscall_fn)(u64, u64, u64, u64, u64, u64);

/** By number; every slot is filled.  Owned by kernel/sys.  Handlers find their frame by
 * current_frame(). */
extern const syscall_fn syscall_table[SYSCALL_SLOTS];

/** The table in use: syscall_table, or one of kernel/sys' own that traces. */
extern const syscall_fn *syscall_active;

/**
 * Called before going back to program code when the CPU's pending word is not 0, and after every
 * interrupt of program code.  Runs pending interrupts, reschedules, delivers signals.
 * May change the whole frame.  Thread context, interrupts on.  Owned by sched.
 */
void program_exit_work(struct trap_frame *frame);

/**
 * Program or kernel code touched @addr and faulted.  @error: FAULT_* bits.
 * Returns 0 to run the instruction again; else the number of the signal (low byte) with its si_code
 * in bits 8..15 (SEGV_MAPERR 1, SEGV_ACCERR 2, BUS_ADRERR 2).  For kernel code any value but 0
 * means: take the exception table's fixup.  May sleep.  Owned by mm.
 */
int page_fault(struct trap_frame *frame, u64 addr, u32 error);

/**
 * Program code raised an exception that ends in a signal: @sig with @si_code and @addr (si_addr).
 * Vector and error code are in the frame.  Queues the signal; it is delivered by
 * program_exit_work(), which is called next.  Owned by sched.
 */
void program_trap(struct trap_frame *frame, int sig, int si_code, u64 addr);

/** The program shall stop (power button, serial break): deliver its StopSignal.  Any thread
 * context. */
void stop_requested(void);

/** An exception was taken; @frame is what it interrupted.  Owned by the platform. */
void trap_dispatch(struct trap_frame *frame);

/** Another CPU wants translations of ours forgotten.  In the interrupt itself, on its small stack.
 * Owned by the platform. */
void tlb_interrupt(void);

/** A kernel stack has run over while @frame's predecessor was being built.  Owned by the platform.
 */
_Noreturn void trap_stack_overflow(struct trap_frame *frame);

/** Where the end of an interrupt is written, NULL: the x2APIC register.  Set by the platform. */
extern volatile u32 *arch_eoi_register;

/* Labels of entry.S. */
extern char syscall_entry[], syscall_gate_entry[], trap_stubs[], irq_spurious[], irq_tlb[];
#endif
