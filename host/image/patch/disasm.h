/* One x86-64 instruction at a time, as much of it as the patcher asks about.  Zydis decodes; it is
 * loaded when the first image is patched, so that a plain `ingot run` does not pay for it. */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

/** What an instruction does to EAX. */
enum eax_effect {
    EAX_KEPT,
    EAX_SET,     /* to something */
    EAX_CONST,   /* to .value */
    EAX_LOW,     /* its lowest byte to .value */
    EAX_POPPED,  /* to what was pushed last */
    EAX_CLOBBER, /* by a call, which is no way to make a number */
};

/** How an instruction ends. */
enum flow {
    FLOW_NEXT,   /* goes on behind itself */
    FLOW_BRANCH, /* may go elsewhere: conditional jumps, calls */
    FLOW_END,    /* does not go on: jumps, returns, traps */
};

struct insn {
    u64 addr;
    u8 len;
    u8 disp_at; /* offset of a 32-bit displacement that is relative to RIP; 0: none */
    bool syscall;
    bool cpuid;
    bool movable; /* does the same elsewhere, once that displacement is mended */
    bool odd;     /* nothing that programs have: in, out, hlt, segment loads */
    bool nop;
    bool pop;
    enum flow flow;
    enum eax_effect eax;
    u32 value;
    s8 eax_from;     /* EAX_SET by a move from this register (0 is RAX, as encoded); else -1 */
    u16 writes;      /* general registers that change, a bit each */
    s64 written;     /* the constant that the one of .writes becomes; else -1 */
    s64 pushed;      /* push of a constant: the constant; else -1 */
    bool has_target; /* a direct jump or call: */
    u64 target;      /* to here; or what a displacement relative to RIP names */
};

/** Load the decoder.  ENOENT: its library is not installed; the text says which package has it. */
int disasm_open(struct err *err);

/** Decode what is at @code, at most @len bytes, which lies at @addr.  False: no instruction. */
bool disasm(const u8 *code, size_t len, u64 addr, struct insn *out);
