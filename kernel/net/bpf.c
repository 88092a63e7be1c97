/* Classic BPF: checking and running. bpf(4), linux/filter.h. */
#include "net/bpf.h"

#include "abi/errno.h"
#include "core/percpu.h"
#include "core/random.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/uaccess.h"
#include "net/pkt.h"

/* ---- checking ---- */

static bool is_load_mode(u16 mode)
{
    return mode == BPF_IMM || mode == BPF_ABS || mode == BPF_IND || mode == BPF_MEM ||
           mode == BPF_LEN;
}

static bool load_ok(const struct bpf_insn_abi *insn)
{
    u16 size = insn->code & 0x18, mode = insn->code & 0xe0;

    if ((insn->code & 7) == BPF_LDX) {
        if (mode == BPF_MSH)
            return size == BPF_B;
        return size == BPF_W &&
               (mode == BPF_IMM || mode == BPF_LEN || (mode == BPF_MEM && insn->k < BPF_MEMWORDS));
    }
    if (!is_load_mode(mode))
        return false;
    if (mode == BPF_ABS || mode == BPF_IND)
        return size != 0x18;
    return size == BPF_W && (mode != BPF_MEM || insn->k < BPF_MEMWORDS);
}

static bool alu_ok(const struct bpf_insn_abi *insn)
{
    u16 op = insn->code & 0xf0;
    bool constant = !(insn->code & BPF_X);

    switch (op) {
    case BPF_DIV:
    case BPF_MOD:
        return !constant || insn->k;
    case BPF_LSH:
    case BPF_RSH:
        return !constant || insn->k < 32;
    case BPF_NEG:
        return constant;
    default:
        return op <= BPF_XOR;
    }
}

/* @left: instructions behind this one. */
static bool jump_ok(const struct bpf_insn_abi *insn, u32 left)
{
    u16 op = insn->code & 0xf0;

    if (op == BPF_JA)
        return !(insn->code & BPF_X) && insn->k < left;
    return op <= BPF_JSET && insn->jt < left && insn->jf < left;
}

static bool insn_ok(const struct bpf_insn_abi *insn, u32 left)
{
    u16 code = insn->code;

    if (code > 0xff)
        return false;
    switch (code & 7) {
    case BPF_LD:
    case BPF_LDX:
        return load_ok(insn);
    case BPF_ST:
    case BPF_STX:
        return code <= 7 && insn->k < BPF_MEMWORDS;
    case BPF_ALU:
        return alu_ok(insn);
    case BPF_JMP:
        return jump_ok(insn, left);
    case BPF_RET:
        return code == (BPF_RET | BPF_K) || code == (BPF_RET | BPF_A);
    default:
        return code == (BPF_MISC | BPF_TAX) || code == (BPF_MISC | BPF_TXA);
    }
}

int bpf_check(const struct bpf_insn_abi *insns, u32 n)
{
    if (!n || n > BPF_MAXINSNS || (insns[n - 1].code & 7) != BPF_RET)
        return -EINVAL;
    for (u32 i = 0; i < n; i++)
        if (!insn_ok(&insns[i], n - 1 - i))
            return -EINVAL;
    return 0;
}

/* ---- the packet ---- */

u32 bpf_view_len(const struct bpf_view *view)
{
    return view->head_len + view->pkt->total;
}

bool bpf_view_read(const struct bpf_view *view, u32 at, void *to, u32 n)
{
    u32 len = bpf_view_len(view);
    u8 *out = to;

    if (at > len || n > len - at)
        return false;
    while (n && at < view->head_len) {
        *out++ = view->head[at++];
        n--;
    }
    return !n || pkt_copy_out(view->pkt, at - view->head_len, out, n);
}

/* What Linux knows of a packet besides its bytes. False: a word that it does not have either. */
static bool load_extra(const struct bpf_view *view, u32 which, u32 x, u32 *a)
{
    switch (which) {
    case SKF_AD_PROTOCOL:
        *a = view->protocol;
        return true;
    case SKF_AD_PKTTYPE:
        *a = view->type;
        return true;
    case SKF_AD_IFINDEX:
        *a = view->ifindex;
        return true;
    case SKF_AD_HATYPE:
        *a = view->hatype;
        return true;
    case SKF_AD_CPU:
        *a = cpu_id();
        return true;
    case SKF_AD_ALU_XOR_X:
        *a ^= x;
        return true;
    case SKF_AD_RANDOM:
        *a = (u32)random_u64();
        return true;
    case SKF_AD_MARK:
    case SKF_AD_QUEUE:
    case SKF_AD_RXHASH:
    case SKF_AD_VLAN_TAG:
    case SKF_AD_VLAN_TAG_PRESENT:
    case SKF_AD_VLAN_TPID:
        *a = 0; /* tags stand in the packet */
        return true;
    default:
        return false;
    }
}

/* Offsets below zero name other places to count from. False: outside of the packet. */
static bool load_bytes(const struct bpf_view *view, u32 offset, u32 size, u32 *out)
{
    s32 at = (s32)offset;
    s64 from = view->start;
    u8 bytes[4] = {0};

    if (at < 0 && at >= SKF_NET_OFF) {
        from = view->network;
        at -= SKF_NET_OFF;
    } else if (at < 0 && at >= SKF_LL_OFF) {
        from = 0;
        at -= SKF_LL_OFF;
    }
    if (at < 0 || !bpf_view_read(view, (u32)min(from + at, (s64)UINT32_MAX), bytes, size))
        return false;
    u32 value = 0;
    for (u32 i = 0; i < size; i++)
        value = value << 8 | bytes[i];
    *out = value;
    return true;
}

/* ---- running ---- */

struct machine {
    const struct bpf_view *view;
    u32 a, x, mem[BPF_MEMWORDS];
};

static u32 size_of(u16 code)
{
    u16 size = code & 0x18;

    return size == BPF_W ? 4 : size == BPF_H ? 2 : 1;
}

/* False: the packet is too short, which drops it. */
static bool load(struct machine *m, const struct bpf_insn_abi *insn)
{
    const struct bpf_view *view = m->view;

    switch (insn->code & 0xe0) {
    case BPF_IMM:
        m->a = insn->k;
        return true;
    case BPF_MEM:
        m->a = m->mem[insn->k];
        return true;
    case BPF_LEN:
        m->a = bpf_view_len(view) - view->start;
        return true;
    case BPF_IND:
        return load_bytes(view, insn->k + m->x, size_of(insn->code), &m->a);
    default:
        if ((s32)insn->k < 0 && (s32)insn->k >= SKF_AD_OFF)
            return load_extra(view, insn->k - (u32)SKF_AD_OFF, m->x, &m->a);
        return load_bytes(view, insn->k, size_of(insn->code), &m->a);
    }
}

static bool load_x(struct machine *m, const struct bpf_insn_abi *insn)
{
    switch (insn->code & 0xe0) {
    case BPF_IMM:
        m->x = insn->k;
        return true;
    case BPF_MEM:
        m->x = m->mem[insn->k];
        return true;
    case BPF_LEN:
        m->x = bpf_view_len(m->view) - m->view->start;
        return true;
    default: /* BPF_MSH: the length of an IP header */
        if (!load_bytes(m->view, insn->k, 1, &m->x))
            return false;
        m->x = (m->x & 15) * 4;
        return true;
    }
}

/* False: a division by zero, which drops the packet. */
static bool compute(struct machine *m, const struct bpf_insn_abi *insn)
{
    u32 v = insn->code & BPF_X ? m->x : insn->k;

    switch (insn->code & 0xf0) {
    case BPF_ADD:
        m->a += v;
        return true;
    case BPF_SUB:
        m->a -= v;
        return true;
    case BPF_MUL:
        m->a *= v;
        return true;
    case BPF_DIV:
        m->a = v ? m->a / v : 0;
        return v != 0;
    case BPF_MOD:
        m->a = v ? m->a % v : 0;
        return v != 0;
    case BPF_OR:
        m->a |= v;
        return true;
    case BPF_AND:
        m->a &= v;
        return true;
    case BPF_XOR:
        m->a ^= v;
        return true;
    case BPF_LSH:
        m->a = m->a << (v & 31);
        return true;
    case BPF_RSH:
        m->a = m->a >> (v & 31);
        return true;
    default: /* BPF_NEG */
        m->a = 0 - m->a;
        return true;
    }
}

/* How many instructions to skip. */
static u32 jump(const struct machine *m, const struct bpf_insn_abi *insn)
{
    u32 v = insn->code & BPF_X ? m->x : insn->k;

    switch (insn->code & 0xf0) {
    case BPF_JA:
        return insn->k;
    case BPF_JEQ:
        return m->a == v ? insn->jt : insn->jf;
    case BPF_JGT:
        return m->a > v ? insn->jt : insn->jf;
    case BPF_JGE:
        return m->a >= v ? insn->jt : insn->jf;
    default: /* BPF_JSET */
        return m->a & v ? insn->jt : insn->jf;
    }
}

u32 bpf_run(const struct bpf_program *program, const struct bpf_view *view)
{
    struct machine m = {.view = view};

    for (const struct bpf_insn_abi *insn = program->insns;; insn++) {
        bool ok = true;
        switch (insn->code & 7) {
        case BPF_LD:
            ok = load(&m, insn);
            break;
        case BPF_LDX:
            ok = load_x(&m, insn);
            break;
        case BPF_ST:
            m.mem[insn->k] = m.a;
            break;
        case BPF_STX:
            m.mem[insn->k] = m.x;
            break;
        case BPF_ALU:
            ok = compute(&m, insn);
            break;
        case BPF_JMP:
            insn += jump(&m, insn);
            break;
        case BPF_RET:
            return insn->code & BPF_A ? m.a : insn->k;
        default: /* BPF_MISC */
            if (insn->code & BPF_TXA)
                m.a = m.x;
            else
                m.x = m.a;
        }
        if (!ok)
            return 0;
    }
}

int bpf_from_user(const void *value, u32 len, struct bpf_program **out)
{
    struct sock_fprog_abi prog;

    if (len < sizeof(prog))
        return -EINVAL;
    memcpy(&prog, value, sizeof(prog));
    if (!prog.len || prog.len > BPF_MAXINSNS)
        return -EINVAL;
    size_t bytes = prog.len * sizeof(struct bpf_insn_abi);
    struct bpf_program *program = kmalloc(sizeof(*program) + bytes);
    if (!program)
        return -ENOMEM;
    program->len = prog.len;
    int err = copy_from_user(program->insns, prog.filter, bytes);
    if (!err)
        err = bpf_check(program->insns, program->len);
    if (err) {
        kfree(program);
        return err;
    }
    *out = program;
    return 0;
}
