/* What a program's registers look like once the kernel has been entered, by whatever way.
 * The frame of an entry from program code always lies at the very top of the thread's kernel stack
 * (current_frame()); a frame of an entry from kernel code lies below the interrupted stack pointer.
 * entry.S builds it and knows the offsets below. */
#pragma once

#ifndef __ASSEMBLER__
#include "arch/layout.h"

struct trap_frame {
    u64 r15, r14, r13, r12, rbp, rbx;
    u64 r11, r10, r9, r8;
    u64 rax, rcx, rdx, rsi, rdi;
    u32 vector;   /* the vector, FRAME_SYSCALL, or FRAME_PARTIAL */
    u32 error;    /* the exception's error code, else 0 */
    u64 orig_rax; /* the system call's number, or -1 if this is no system call */
    u64 rip, cs, rflags, rsp, ss;
};

static_assert(sizeof(struct trap_frame) == 22 * 8, "entry.S pushes 22 words");
static_assert(offsetof(struct trap_frame, rax) == 80 && offsetof(struct trap_frame, rip) == 136,
              "entry.S knows these");

/** True if the frame was made by a system call and not by a trap or an interrupt. */
static inline bool frame_is_syscall(const struct trap_frame *f)
{
    return (s64)f->orig_rax >= 0;
}

/** True if program code was interrupted. */
static inline bool frame_is_program(const struct trap_frame *f)
{
    return f->rip < arch_kernel_base;
}
#endif

#define FRAME_SIZE    176
#define FRAME_SYSCALL 0x100
/* A system call whose frame lacks rax, rcx, rbx, rbp and r11 to r15; see arch/full_frame.h. */
#define FRAME_PARTIAL 0x101

/* Exception vectors by the names of the manual (SDM 3A 6.3.1). */
#define TRAP_DE  0
#define TRAP_DB  1
#define TRAP_NMI 2
#define TRAP_BP  3
#define TRAP_OF  4
#define TRAP_BR  5
#define TRAP_UD  6
#define TRAP_NM  7
#define TRAP_DF  8
#define TRAP_TS  10
#define TRAP_NP  11
#define TRAP_SS  12
#define TRAP_GP  13
#define TRAP_PF  14
#define TRAP_MF  16
#define TRAP_AC  17
#define TRAP_MC  18
#define TRAP_XM  19

/* Page-fault error code bits (SDM 3A 4.7). */
#define FAULT_PRESENT 1u /* the page was there: a protection fault */
#define FAULT_WRITE   2u
#define FAULT_FETCH   16u

/* RFLAGS bits. */
#define RFLAGS_CF    0x1
#define RFLAGS_FIXED 0x2
#define RFLAGS_TF    0x100
#define RFLAGS_IF    0x200
#define RFLAGS_DF    0x400
#define RFLAGS_IOPL  0x3000
#define RFLAGS_NT    0x4000
#define RFLAGS_AC    0x40000

/* Vector of pending line 0; the other 31 follow. */
#define VECTOR_LINES 0x30

/* The bits a program may set through a signal frame (CF PF AF ZF SF TF DF OF AC). */
#define RFLAGS_PROGRAM 0x40dd5

/* Segment selectors.  The program runs in ring 0 and sees these. */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18
