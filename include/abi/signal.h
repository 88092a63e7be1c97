/* Signals of the Linux ABI on x86-64 (uapi/asm/signal.h, asm-generic/siginfo.h). */
#pragma once

#include "lib/types.h"

enum linux_signal {
    SIGHUP = 1,
    SIGINT = 2,
    SIGQUIT = 3,
    SIGILL = 4,
    SIGTRAP = 5,
    SIGABRT = 6,
    SIGBUS = 7,
    SIGFPE = 8,
    SIGKILL = 9,
    SIGUSR1 = 10,
    SIGSEGV = 11,
    SIGUSR2 = 12,
    SIGPIPE = 13,
    SIGALRM = 14,
    SIGTERM = 15,
    SIGSTKFLT = 16,
    SIGCHLD = 17,
    SIGCONT = 18,
    SIGSTOP = 19,
    SIGTSTP = 20,
    SIGTTIN = 21,
    SIGTTOU = 22,
    SIGURG = 23,
    SIGXCPU = 24,
    SIGXFSZ = 25,
    SIGVTALRM = 26,
    SIGPROF = 27,
    SIGWINCH = 28,
    SIGIO = 29,
    SIGPWR = 30,
    SIGSYS = 31,
    SIGRTMIN = 32, /* the kernel's; the C library keeps the first two or three for itself */
    SIGRTMAX = 64,
};

/* Handler values. */
enum { SIG_DFL = 0, SIG_IGN = 1 };

/* struct sigaction64.flags. */
enum linux_sa_flags {
    SA_NOCLDSTOP = 1,
    SA_NOCLDWAIT = 2,
    SA_SIGINFO = 4,
    SA_UNSUPPORTED = 0x400,
    SA_EXPOSE_TAGBITS = 0x800,
    SA_RESTORER = 0x04000000,
    SA_ONSTACK = 0x08000000,
    SA_RESTART = 0x10000000,
    SA_NODEFER = 0x40000000,
};
#define SA_RESETHAND 0x80000000u

/* rt_sigprocmask's how. */
enum { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 };

/* struct sigaltstack64.flags. */
enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM (1u << 31)
enum { MINSIGSTKSZ = 2048 };

/* si_code: who sent it, then why a fault happened. */
enum linux_si_code {
    SI_USER = 0,
    SI_KERNEL = 0x80,
    SI_QUEUE = -1,
    SI_TIMER = -2,
    SI_MESGQ = -3,
    SI_ASYNCIO = -4,
    SI_SIGIO = -5,
    SI_TKILL = -6,
    SEGV_MAPERR = 1,
    SEGV_ACCERR = 2,
    BUS_ADRALN = 1,
    BUS_ADRERR = 2,
    BUS_OBJERR = 3,
    ILL_ILLOPN = 2,
    FPE_INTDIV = 1,
    TRAP_BRKPT = 1,
    TRAP_TRACE = 2,
    CLD_EXITED = 1,
    CLD_KILLED = 2,
    CLD_DUMPED = 3,
    CLD_STOPPED = 5,
    CLD_CONTINUED = 6,
};

/* timer_create's way to tell. */
enum linux_sigev { SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4 };

struct linux_sigevent {
    u64 value;
    s32 signo;
    s32 notify;
    s32 tid; /* SIGEV_THREAD_ID */
    s32 pad[11];
};
static_assert(sizeof(struct linux_sigevent) == 64, "ABI");

/** What comes with a signal. */
struct siginfo64 {
    s32 si_signo;
    s32 si_errno;
    s32 si_code;
    s32 pad;
    union {
        struct {
            s32 pid;
            u32 uid;
        } kill;
        struct {
            s32 timerid;
            s32 overrun;
            u64 value;
            s32 sys_private;
        } timer;
        struct {
            s32 pid;
            u32 uid;
            u64 value;
        } rt;
        struct {
            s32 pid;
            u32 uid;
            s32 status;
            s64 utime, stime;
        } child;
        struct {
            u64 addr;
            s16 addr_lsb;
        } fault;
        struct {
            s64 band;
            s32 fd;
        } poll;
        u64 raw[14];
    };
};
static_assert(sizeof(struct siginfo64) == 128, "ABI");
static_assert(offsetof(struct siginfo64, fault.addr) == 16, "ABI");
static_assert(offsetof(struct siginfo64, rt.value) == 24, "ABI");
static_assert(offsetof(struct siginfo64, timer.value) == 24, "ABI");

typedef u64 sigset64_t; /* bit n-1 is signal n */

/** As rt_sigaction(2) passes it. */
struct sigaction64 {
    u64 handler;
    u64 flags;
    u64 restorer;
    sigset64_t mask;
};
static_assert(sizeof(struct sigaction64) == 32, "ABI");

struct sigaltstack64 {
    u64 sp;
    s32 flags;
    u32 pad;
    u64 size;
};
static_assert(sizeof(struct sigaltstack64) == 24, "ABI");
