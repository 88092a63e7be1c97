#include "image/patch/sites.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOVE_MAX = 12,          /* instructions that move to a stub */
    DEFINED_MAX = 64,       /* instructions between a number and its `syscall` */
    CPUID_DEFINED_MAX = 16, /* likewise, between a leaf and its `cpuid` */
    ODD_WINDOW = 8,         /* instructions around a site among which nothing odd is */
    DECODE_MAX = 1 << 20,   /* instructions of one function */
    SHORT_JUMP = 130,       /* how far a two-byte jump reaches, and a little */
};

/* One function, decoded, with the addresses that its code may be entered at. */
struct function {
    const struct object *o;
    const struct code_range *range;
    struct insn *insns;
    size_t len, cap;
    u64 *labels;
    size_t nr_labels, cap_labels;
    u64 changed_to; /* end of what earlier sites of it have changed */
};

static void function_fini(struct function *f)
{
    free(f->insns);
    free(f->labels);
    *f = (struct function){0};
}

void sites_free(struct sites *sites)
{
    free(sites->at);
    *sites = (struct sites){0};
}

static void add_label(void *arg, u64 target)
{
    struct function *f = arg;

    if (target < f->range->start || target >= f->range->end)
        return;
    if (f->nr_labels == f->cap_labels) {
        f->cap_labels = f->cap_labels ? 2 * f->cap_labels : 256;
        f->labels = mem_resize(f->labels, f->cap_labels, sizeof(*f->labels));
    }
    f->labels[f->nr_labels++] = target;
}

/* Decode [from, end) one instruction after the other; @keep: remember them. */
static void decode(struct function *f, u64 from, u64 end, bool keep)
{
    u64 left, at = from;
    const u8 *bytes = object_at(f->o, from, &left);
    struct insn insn;

    if (!bytes)
        return;
    for (left = min(left, end - from); left && f->len < DECODE_MAX; left -= insn.len) {
        if (!disasm(bytes + (at - from), left, at, &insn))
            return;
        at += insn.len;
        if (insn.has_target)
            add_label(f, insn.target);
        else if (insn.disp_at && !object_code(f->o, insn.target))
            targets_of_table(f->o, f->range, insn.target, add_label, f);
        if (!keep)
            continue;
        if (f->len == f->cap) {
            f->cap = f->cap ? 2 * f->cap : 1024;
            f->insns = mem_resize(f->insns, f->cap, sizeof(*f->insns));
        }
        f->insns[f->len++] = insn;
    }
}

static int compare_labels(const void *a, const void *b)
{
    u64 x = *(const u64 *)a, y = *(const u64 *)b;

    return x < y ? -1 : x > y;
}

/* Does anything lead to one of the bytes in (from, to)? */
static bool has_label_between(const struct function *f, u64 from, u64 to)
{
    size_t low = 0, high = f->nr_labels;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->labels[middle] <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < f->nr_labels && f->labels[low] < to;
}

/* Neighbours may jump here by two bytes, which nothing else looks for. */
static void decode_function(struct function *f, const struct code_ranges *ranges)
{
    const struct code_range *range = f->range;

    decode(f, range->start, range->end, true);
    const struct code_range *below = ranges_at(ranges, range->start - 1);
    const struct code_range *above = ranges_at(ranges, range->end);
    for (u32 i = 0; below && i < 4 && range->start - below->end < SHORT_JUMP; i++) {
        decode(f, below->start, below->end, false);
        below = ranges_at(ranges, below->start - 1);
    }
    if (above)
        decode(f, above->start, min(above->end, range->end + SHORT_JUMP), false);
    if (f->nr_labels)
        qsort(f->labels, f->nr_labels, sizeof(*f->labels), compare_labels);
}

/* What is known of EAX on the way through a function. */
struct eax {
    u32 age;    /* instructions since something was put there; DEFINED_MAX: nothing */
    bool known; /* to be .value */
    u32 value;
    s64 pushed; /* the constant that the instruction before pushed, or -1 */
};

static void eax_step(struct eax *eax, const struct function *f, const struct insn *insn)
{
    if (has_label_between(f, insn->addr - 1, insn->addr + 1))
        eax->known = false; /* others come in here with another value */
    eax->age += eax->age < DEFINED_MAX;
    if (insn->eax == EAX_CLOBBER || insn->flow == FLOW_END || insn->syscall) {
        *eax = (struct eax){.age = DEFINED_MAX, .pushed = -1};
        return;
    }
    if (insn->eax != EAX_KEPT)
        eax->age = 0;
    if (insn->eax == EAX_CONST) {
        eax->known = true;
        eax->value = insn->value;
    } else if (insn->eax == EAX_LOW) {
        eax->value = (eax->value & ~0xffu) | (insn->value & 0xff);
    } else if (insn->eax == EAX_POPPED) {
        eax->known = eax->pushed >= 0;
        eax->value = (u32)eax->pushed;
    } else if (insn->eax == EAX_SET) {
        eax->known = false;
    }
    eax->pushed = insn->pushed;
}

static bool all_plain(const struct function *f, size_t index)
{
    size_t first = index > ODD_WINDOW ? index - ODD_WINDOW : 0;

    for (size_t i = first; i < f->len && i < index + ODD_WINDOW; i++)
        if (f->insns[i].odd)
            return false;
    return true;
}

/* The nearest instruction before the `syscall` that a jump fits over, with a straight way from it.
 */
static bool choose_before(const struct function *f, size_t index, struct site *site)
{
    for (size_t n = 1; n <= MOVE_MAX && n <= index; n++) {
        const struct insn *insn = &f->insns[index - n];
        if (!insn->movable || insn->addr < f->changed_to)
            return false;
        if (insn->len < SITE_JUMP_LEN ||
            has_label_between(f, insn->addr, insn->addr + SITE_JUMP_LEN))
            continue;
        site->kind = SITE_BEFORE;
        site->from = insn->addr;
        site->to = site->addr;
        site->clear = insn->addr + SITE_JUMP_LEN;
        return true;
    }
    return false;
}

/* Behind a return: padding up to where the next function begins. */
static bool is_padding(const struct function *f, u64 from, u64 to)
{
    u64 left;
    const u8 *bytes = object_at(f->o, from, &left);
    struct insn insn;

    for (u64 at = from; at < to; at += insn.len)
        if (!bytes || !disasm(bytes + (at - from), left - (at - from), at, &insn) || !insn.nop)
            return false;
    return true;
}

static bool is_return(const struct function *f, const struct insn *insn)
{
    u8 byte;

    return insn->len == 1 && object_read(f->o, insn->addr, &byte, 1) && byte == 0xc3;
}

static bool choose_after(const struct function *f, size_t index, struct site *site)
{
    u64 at = site->addr + 2, end = site->addr + SITE_JUMP_LEN;

    for (size_t i = index + 1; i < f->len && at < end; i++) {
        const struct insn *insn = &f->insns[i];
        bool last = is_return(f, insn);
        if (!insn->movable && !last)
            return false;
        at += insn->len;
        if (last && at < end && !is_padding(f, at, end))
            return false;
        if (last) {
            site->returns = true;
            break;
        }
    }
    site->clear = max(at, end);
    if ((at < end && !site->returns) || has_label_between(f, site->addr, site->clear))
        return false;
    site->kind = SITE_AFTER;
    site->from = site->addr + 2;
    site->to = at;
    return true;
}

static bool add_number(struct site *site, u32 number)
{
    for (u32 i = 0; i < site->nr_numbers; i++)
        if (site->numbers[i] == number)
            return true;
    if (site->nr_numbers == SITE_NUMBERS_MAX)
        return false;
    site->numbers[site->nr_numbers++] = number;
    return true;
}

/* All that a register may hold where instruction @at reads it, if nothing but constants is ever put
 * into it in this function, one of them before: else what the caller had in it may be meant. */
static void numbers_of_register(const struct function *f, size_t at, u32 reg, struct site *site)
{
    bool before = false, constant = true;

    for (size_t i = 0; i < f->len && constant; i++) {
        const struct insn *insn = &f->insns[i];
        if (!(insn->writes >> reg & 1) || insn->pop || insn->eax == EAX_CLOBBER)
            continue;
        constant = insn->written >= 0 && add_number(site, (u32)insn->written);
        before |= i < at;
    }
    if (!before || !constant)
        site->nr_numbers = 0;
}

/* A compiler that needs a number twice keeps it in a register and moves it to EAX each time. */
static void find_numbers(const struct function *f, size_t index, const struct eax *eax,
                         struct site *site)
{
    if (eax->age >= index || has_label_between(f, site->addr - 1, site->addr + 1))
        return;
    size_t at = index - 1 - eax->age;
    const struct insn *def = &f->insns[at];
    if (eax->known)
        add_number(site, eax->value);
    else if (def->eax_from > 0 && !has_label_between(f, def->addr, site->addr))
        numbers_of_register(f, at, (u32)def->eax_from, site);
}

static void add_site(struct function *f, size_t index, const struct eax *eax, struct sites *out)
{
    struct site site = {.addr = f->insns[index].addr, .cpuid = f->insns[index].cpuid};

    if (!site.cpuid)
        find_numbers(f, index, eax, &site);
    /* Unwinders recognise the return from a signal handler by its bytes. */
    bool sigreturn = site.nr_numbers == 1 && site.numbers[0] == SITE_RT_SIGRETURN;
    if (!sigreturn && (choose_before(f, index, &site) || choose_after(f, index, &site)))
        f->changed_to = max(site.clear, site.kind == SITE_BEFORE ? site.addr + 2 : site.to);
    if (out->len == out->cap) {
        out->cap = out->cap ? 2 * out->cap : 256;
        out->at = mem_resize(out->at, out->cap, sizeof(*out->at));
    }
    out->at[out->len++] = site;
}

static bool is_site(const struct function *f, size_t index, const struct eax *eax)
{
    const struct insn *insn = &f->insns[index];
    u32 max_age = insn->syscall ? DEFINED_MAX : insn->cpuid ? CPUID_DEFINED_MAX : 0;

    return eax->age < max_age && all_plain(f, index);
}

/* The sites of one function; returns where decoding ended. */
static u64 find_in_range(const struct object *o, const struct code_ranges *ranges,
                         const struct code_range *range, struct sites *out)
{
    struct function f = {.o = o, .range = range};
    struct eax eax = {.age = DEFINED_MAX, .pushed = -1};

    decode_function(&f, ranges);
    for (size_t i = 0; i < f.len; i++) {
        if (is_site(&f, i, &eax))
            add_site(&f, i, &eax, out);
        eax_step(&eax, &f, &f.insns[i]);
    }
    function_fini(&f);
    return range->end;
}

static int compare_sites(const void *a, const void *b)
{
    const struct site *x = a, *y = b;

    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* The next place from @at on that has the bytes of one of the instructions, or @end. */
static const u8 *next_candidate(const u8 *at, const u8 *end)
{
    while ((at = memchr(at, 0x0f, (size_t)(end - at))) && end - at >= 2) {
        if (at[1] == 0x05 || at[1] == 0xa2)
            return at;
        at++;
    }
    return end;
}

/* Only functions that have the two bytes somewhere are decoded, each once. */
static void find_in_segment(const struct object *o, const struct code_ranges *ranges,
                            const Elf64_Phdr *p, struct sites *out)
{
    const u8 *bytes = o->data + p->p_offset, *end = bytes + p->p_filesz, *at = bytes;
    u64 done = 0;

    while ((at = next_candidate(at, end)) < end) {
        u64 addr = p->p_vaddr + (u64)(at - bytes);
        const struct code_range *range = addr >= done ? ranges_at(ranges, addr) : NULL;
        if (range)
            done = find_in_range(o, ranges, range, out);
        at++;
    }
}

void sites_find(const struct object *o, const struct code_ranges *ranges, struct sites *out)
{
    for (size_t i = 0; i < o->nr_loads; i++)
        if (o->loads[i].p_flags & PF_X)
            find_in_segment(o, ranges, &o->loads[i], out);
    if (out->len)
        qsort(out->at, out->len, sizeof(*out->at), compare_sites);
    sites_check_targets(o, out);
}
