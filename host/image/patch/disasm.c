#include "image/patch/disasm.h"

#include <Zydis/Zydis.h>
#include <dlfcn.h>
#include <errno.h>

/* The library whose header we were compiled with. */
static const char library[] = "libZydis.so.4.0";
_Static_assert(ZYDIS_VERSION_MAJOR(ZYDIS_VERSION) == 4 && ZYDIS_VERSION_MINOR(ZYDIS_VERSION) == 0,
               "another Zydis has another soname, and perhaps other structures");

static __typeof__(ZydisDecoderDecodeFull) *decode_full;
static __typeof__(ZydisRegisterGetLargestEnclosing) *enclosing;
static ZydisDecoder decoder;

int disasm_open(struct err *err)
{
    if (decode_full)
        return 0;
    void *lib = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        return err_set(err, ENOENT, "%s is missing: install the package libzydis4.0", library);
    __typeof__(ZydisDecoderInit) *init =
        (__typeof__(ZydisDecoderInit) *)dlsym(lib, "ZydisDecoderInit");
    enclosing = (__typeof__(ZydisRegisterGetLargestEnclosing) *)dlsym(
        lib, "ZydisRegisterGetLargestEnclosing");
    decode_full = (__typeof__(ZydisDecoderDecodeFull) *)dlsym(lib, "ZydisDecoderDecodeFull");
    if (!init || !enclosing || !decode_full ||
        ZYAN_FAILED(init(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64))) {
        decode_full = NULL;
        return err_set(err, ENOENT, "%s is not the library that it should be", library);
    }
    return 0;
}

/* The number of a general register, of whatever width; -1: another one. */
static s8 general(const ZydisDecodedOperand *op)
{
    if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
        return -1;
    ZydisRegister whole = enclosing(ZYDIS_MACHINE_MODE_LONG_64, op->reg.value);
    return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15
               ? (s8)(whole - ZYDIS_REGISTER_RAX)
               : -1;
}

static bool is_rax(const ZydisDecodedOperand *op)
{
    return op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
           enclosing(ZYDIS_MACHINE_MODE_LONG_64, op->reg.value) == ZYDIS_REGISTER_RAX;
}

static bool writes_rax(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
    for (u32 i = 0; i < in->operand_count; i++)
        if (is_rax(&ops[i]) && (ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            return true;
    return false;
}

static bool same_register(const ZydisDecodedOperand *ops)
{
    return ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER && ops[0].reg.value == ops[1].reg.value;
}

static void find_eax(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops,
                     struct insn *out)
{
    if (in->mnemonic == ZYDIS_MNEMONIC_CALL) {
        out->eax = EAX_CLOBBER;
        return;
    }
    if (!writes_rax(in, ops))
        return;
    out->eax = EAX_SET;
    if (in->mnemonic == ZYDIS_MNEMONIC_POP) {
        out->eax = EAX_POPPED;
    } else if (in->mnemonic == ZYDIS_MNEMONIC_XOR || in->mnemonic == ZYDIS_MNEMONIC_SUB) {
        out->eax = same_register(ops) && ops[0].size >= 32 ? EAX_CONST : EAX_SET;
    } else if (in->mnemonic == ZYDIS_MNEMONIC_MOV && ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        out->value = (u32)ops[1].imm.value.u;
        out->eax = ops[0].size >= 32                       ? EAX_CONST
                   : ops[0].reg.value == ZYDIS_REGISTER_AL ? EAX_LOW
                                                           : EAX_SET;
    }
}

/* Which registers change, and to what. */
static void find_writes(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops,
                        struct insn *out)
{
    bool move = in->mnemonic == ZYDIS_MNEMONIC_MOV && ops[0].size >= 32;

    out->written = out->eax_from = -1;
    for (u32 i = 0; i < in->operand_count; i++)
        if (general(&ops[i]) >= 0 && (ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
            out->writes |= (u16)(1u << general(&ops[i]));
    if (move && ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        out->written = (u32)ops[1].imm.value.u;
    if (in->mnemonic == ZYDIS_MNEMONIC_XOR && same_register(ops) && ops[0].size >= 32)
        out->written = 0;
    if (move && out->eax == EAX_SET)
        out->eax_from = general(&ops[1]);
}

static enum flow flow_of(const ZydisDecodedInstruction *in)
{
    switch (in->meta.category) {
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_RET:
        return FLOW_END;
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
        return in->mnemonic == ZYDIS_MNEMONIC_INT3 ? FLOW_END : FLOW_BRANCH;
    default:
        break;
    }
    if (in->mnemonic == ZYDIS_MNEMONIC_XBEGIN || in->mnemonic == ZYDIS_MNEMONIC_XABORT ||
        in->mnemonic == ZYDIS_MNEMONIC_XEND)
        return FLOW_BRANCH;
    if (in->mnemonic == ZYDIS_MNEMONIC_UD0 || in->mnemonic == ZYDIS_MNEMONIC_UD1 ||
        in->mnemonic == ZYDIS_MNEMONIC_UD2 || in->mnemonic == ZYDIS_MNEMONIC_HLT)
        return FLOW_END;
    return FLOW_NEXT;
}

static bool is_odd(const ZydisDecodedInstruction *in)
{
    if (in->mnemonic == ZYDIS_MNEMONIC_HLT) /* how glibc says that nobody gets here */
        return false;
    return in->meta.category == ZYDIS_CATEGORY_IO ||
           in->meta.category == ZYDIS_CATEGORY_IOSTRINGOP ||
           in->meta.category == ZYDIS_CATEGORY_SEGOP || in->mnemonic == ZYDIS_MNEMONIC_ENTER ||
           in->mnemonic == ZYDIS_MNEMONIC_XLAT || (in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED);
}

/* The displacement or the target that is relative to RIP. */
static void find_relative(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops,
                          struct insn *out)
{
    u64 next = out->addr + out->len;

    for (u32 i = 0; i < in->operand_count_visible; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && ops[i].imm.is_relative) {
            out->has_target = true;
            out->target = next + (u64)ops[i].imm.value.s;
        }
        if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].mem.base == ZYDIS_REGISTER_RIP &&
            in->raw.disp.size == 32) {
            out->disp_at = in->raw.disp.offset;
            out->target = next + (u64)in->raw.disp.value;
        }
        if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].mem.base == ZYDIS_REGISTER_EIP)
            out->movable = false;
    }
}

bool disasm(const u8 *code, size_t len, u64 addr, struct insn *out)
{
    ZydisDecodedInstruction in;
    ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

    if (ZYAN_FAILED(decode_full(&decoder, code, len, &in, ops)))
        return false;
    *out = (struct insn){
        .addr = addr,
        .len = in.length,
        .syscall = in.mnemonic == ZYDIS_MNEMONIC_SYSCALL && in.length == 2,
        .cpuid = in.mnemonic == ZYDIS_MNEMONIC_CPUID && in.length == 2,
        .odd = is_odd(&in),
        .nop = in.mnemonic == ZYDIS_MNEMONIC_NOP || in.mnemonic == ZYDIS_MNEMONIC_INT3,
        .flow = flow_of(&in),
        .pushed = -1,
    };
    out->movable = out->flow == FLOW_NEXT && !out->odd;
    find_eax(&in, ops, out);
    find_writes(&in, ops, out);
    out->pop = in.mnemonic == ZYDIS_MNEMONIC_POP;
    find_relative(&in, ops, out);
    if (in.mnemonic == ZYDIS_MNEMONIC_PUSH && ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
        out->pushed = (s64)(u32)ops[0].imm.value.u;
    return true;
}
