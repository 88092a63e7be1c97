/* The frame a signal handler runs on, x86-64 (uapi/asm/sigcontext.h, uapi/asm/ucontext.h,
 * asm/sigframe.h). */
#pragma once

#include "abi/signal.h"

struct sigcontext64 {
    u64 r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2;
    u64 fpstate; /* address of the XSAVE image, 64-aligned, or 0 */
    u64 reserved[8];
};
static_assert(sizeof(struct sigcontext64) == 256, "ABI");
static_assert(offsetof(struct sigcontext64, rip) == 128, "ABI");
static_assert(offsetof(struct sigcontext64, fpstate) == 184, "ABI");

struct ucontext64 {
    u64 flags; /* UC_* */
    u64 link;
    struct sigaltstack64 stack;
    struct sigcontext64 mcontext;
    sigset64_t sigmask;
};
static_assert(offsetof(struct ucontext64, mcontext) == 40, "ABI");
static_assert(offsetof(struct ucontext64, sigmask) == 296, "ABI");

enum { UC_FP_XSTATE = 1, UC_SIGCONTEXT_SS = 2, UC_STRICT_RESTORE_SS = 4 };

/** On the program's stack; the handler returns to .pretcode. */
struct rt_sigframe64 {
    u64 pretcode;
    struct ucontext64 uc;
    struct siginfo64 info;
};
static_assert(offsetof(struct rt_sigframe64, uc) == 8, "ABI");
static_assert(offsetof(struct rt_sigframe64, info) == 312, "ABI");
static_assert(sizeof(struct rt_sigframe64) == 440, "ABI");

/* The selectors a 64-bit program of Linux sees in its frames. */
enum { LINUX_USER_CS = 0x33, LINUX_USER_SS = 0x2b };
