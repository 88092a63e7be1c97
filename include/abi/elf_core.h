/* Notes of a core file of x86-64 Linux: core(5), linux/elfcore.h, asm/elf.h, sys/procfs.h. */
#pragma once

#include "lib/types.h"

struct elf64_nhdr {
    u32 n_namesz, n_descsz, n_type;
};

enum elf_note {
    NT_PRSTATUS = 1,
    NT_FPREGSET = 2,
    NT_PRPSINFO = 3,
    NT_AUXV = 6,
    NT_FILE = 0x46494c45,
    NT_SIGINFO = 0x53494749,
};

struct elf_registers {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax;
    u64 rip, cs, rflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
};

struct elf_prstatus {
    s32 si_signo, si_code, si_errno;
    s16 cursig;
    u16 pad;
    u64 pending, blocked;
    s32 pid, ppid, pgrp, sid;
    u64 times[8]; /* user, system, of children: seconds and microseconds each */
    struct elf_registers registers;
    s32 fpvalid;
    u32 pad2;
};
static_assert(sizeof(struct elf_prstatus) == 336, "sys/procfs.h");

struct elf_prpsinfo {
    char state, letter, zombie;
    s8 nice;
    u32 pad;
    u64 flags;
    u32 uid, gid;
    s32 pid, ppid, pgrp, sid;
    char name[16];
    char args[80];
};
static_assert(sizeof(struct elf_prpsinfo) == 136, "sys/procfs.h");
