/* Operands are found by the bytes before them, without decoding instructions from their beginning:
 * what is taken for one by mistake comes back all the same.
 * Source: Intel SDM volume 2, appendix A (opcodes), 2.2.1.6 (addresses relative to RIP). */
#include "export/absolute.h"

#include "export/bytes.h"
#include "lib/buf.h"
#include "lib/cleanup.h"

#include <stdlib.h>
#include <string.h>

enum {
    OPERAND = 4,
    WINDOW = 4096, /* bytes in which code has WINDOW_LEAST operands */
    WINDOW_LEAST = 64,
    MARKERS_TRIED = 32,
};

/* Opcodes with a ModRM byte, of those that programs have; the second kind stands behind 0x0f. */
static const bool one_byte[256] = {
    [0x01] = 1, [0x03] = 1, [0x09] = 1, [0x0b] = 1, [0x21] = 1, [0x23] = 1, [0x29] = 1,
    [0x2b] = 1, [0x31] = 1, [0x33] = 1, [0x38] = 1, [0x39] = 1, [0x3a] = 1, [0x3b] = 1,
    [0x63] = 1, [0x69] = 1, [0x6b] = 1, [0x80] = 1, [0x81] = 1, [0x83] = 1, [0x85] = 1,
    [0x87] = 1, [0x88] = 1, [0x89] = 1, [0x8a] = 1, [0x8b] = 1, [0x8d] = 1, [0xc1] = 1,
    [0xc6] = 1, [0xc7] = 1, [0xf6] = 1, [0xf7] = 1, [0xff] = 1,
};
static const bool two_byte[256] = {
    [0x0d] = 1, [0x10] = 1, [0x11] = 1, [0x12] = 1,          [0x16] = 1, [0x18] = 1, [0x28] = 1,
    [0x29] = 1, [0x2e] = 1, [0x2f] = 1, [0x40 ... 0x4f] = 1, [0x54] = 1, [0x57] = 1, [0x58] = 1,
    [0x59] = 1, [0x5c] = 1, [0x6f] = 1, [0x74] = 1,          [0x76] = 1, [0x7e] = 1, [0x7f] = 1,
    [0xab] = 1, [0xaf] = 1, [0xb0] = 1, [0xb1] = 1,          [0xb3] = 1, [0xb6] = 1, [0xb7] = 1,
    [0xbb] = 1, [0xbe] = 1, [0xbf] = 1, [0xc0] = 1,          [0xc1] = 1, [0xd4] = 1, [0xd6] = 1,
    [0xdb] = 1, [0xef] = 1, [0xfe] = 1,
};

struct operand {
    u32 at, to; /* from the first byte */
};

struct absolute {
    u8 *data;
    size_t begin, end, limit;
    struct operand *operands; /* by .at */
    size_t nr_operands;
    u8 *inside; /* of each byte of the range: it belongs to an operand */
};

/* Of an opcode that may begin at @at: the bytes before its operand; 0: it has none. */
static size_t opcode_len(const struct absolute *a, size_t at)
{
    const u8 *p = a->data + at;

    if (p[0] == 0xe8 || p[0] == 0xe9) /* call, jmp */
        return 1;
    if (p[0] == 0x0f && p[1] >= 0x80 && p[1] <= 0x8f) /* jcc */
        return 2;
    bool extended = at > a->begin && p[-1] == 0x0f;
    if ((p[1] & 0xc7) != 0x05) /* mod 0, rm 5: relative to RIP */
        return 0;
    return one_byte[p[0]] || (extended && two_byte[p[0]]) ? 2 : 0;
}

static void find_operands(struct absolute *a)
{
    size_t at = a->begin;

    while (at + 2 + OPERAND <= a->end) {
        size_t len = opcode_len(a, at), field = at + len;
        u32 relative = 0;
        memcpy(&relative, a->data + field, OPERAND);
        u32 to = (u32)(field + OPERAND) + relative;
        if (len && to < a->limit) {
            a->operands[a->nr_operands++] = (struct operand){(u32)field, to};
            at = field + OPERAND;
        } else {
            at++;
        }
    }
}

/* Data has few of them, which only cost. */
static void drop_sparse(struct absolute *a)
{
    size_t kept = 0;

    for (size_t i = 0, next; i < a->nr_operands; i = next) {
        for (next = i; next < a->nr_operands; next++)
            if (a->operands[next].at / WINDOW != a->operands[i].at / WINDOW)
                break;
        if (next - i < WINDOW_LEAST)
            continue;
        memmove(a->operands + kept, a->operands + i, (next - i) * sizeof(*a->operands));
        kept += next - i;
    }
    a->nr_operands = kept;
    for (size_t i = 0; i < kept; i++)
        memset(a->inside + (a->operands[i].at - a->begin), 1, OPERAND);
}

/* Which pairs of bytes there are outside of operands, and how often each byte is. */
static void count_pairs(const struct absolute *a, bool (*pairs)[256], size_t *bytes)
{
    for (size_t at = a->begin; at < a->end; at++) {
        if (a->inside[at - a->begin])
            continue;
        u8 byte = a->data[at];
        bytes[byte]++;
        if (at + 1 < a->end)
            pairs[byte][a->data[at + 1]] = true;
        else /* who knows what follows */
            memset(pairs[byte], true, sizeof(pairs[byte]));
    }
}

/* @count bytes in a row of which none follows @marker; 256: there are none. */
static unsigned find_first(bool (*pairs)[256], unsigned marker, unsigned count)
{
    unsigned found = 0;

    for (unsigned next = 0; next < 256; next++) {
        found = pairs[marker][next] || next == marker ? 0 : found + 1;
        if (found == count)
            return next + 1 - count;
    }
    return 256;
}

/* The rarest byte that can be a marker; bytes[] of those that cannot becomes SIZE_MAX. */
static bool choose_marker(bool (*pairs)[256], size_t *bytes, struct absolute_form *form)
{
    while (1) {
        unsigned best = 0;
        for (unsigned byte = 1; byte < 256; byte++)
            best = bytes[byte] < bytes[best] ? byte : best;
        if (bytes[best] == SIZE_MAX)
            return false;
        bytes[best] = SIZE_MAX;
        unsigned first = find_first(pairs, best, form->count);
        if (first < 256) {
            form->marker = (u8)best;
            form->first = (u8)first;
            return true;
        }
    }
}

static void store_operands(const struct absolute *a, const struct absolute_form *form, u8 *out)
{
    for (size_t i = 0; i < a->nr_operands; i++) {
        const struct operand *operand = &a->operands[i];
        u8 *field = out + operand->at, middle = (u8)(operand->to >> 8), low = (u8)operand->to;
        /* No marker within, and none before that would see what comes later. */
        if (middle == form->marker || low == form->marker || field[-1] == form->marker)
            continue;
        field[0] = form->marker;
        field[1] = (u8)(form->first + (operand->to >> 16));
        field[2] = middle;
        field[3] = low;
    }
}

/* What the kernel does with it. */
static void undo(u8 *base, const struct absolute_form *form)
{
    for (size_t at = form->begin; at + OPERAND <= form->end; at++) {
        u8 *p = base + at;
        if (p[0] != form->marker || (u8)(p[1] - form->first) >= form->count)
            continue;
        u32 to = (u32)(u8)(p[1] - form->first) << 16 | (u32)p[2] << 8 | p[3];
        bytes_put(p, 0, (u32)(to - (at + OPERAND)), OPERAND);
        at += OPERAND - 1;
    }
}

/* With the marker of @form; true if it comes back as it was. */
static bool try_marker(const struct absolute *a, const struct absolute_form *form, u8 *copy,
                       u8 *out)
{
    memcpy(out, a->data, a->end);
    store_operands(a, form, out);
    memcpy(copy, out, a->end);
    undo(copy, form);
    return memcmp(copy, a->data, a->end) == 0;
}

static void absolute_try(struct absolute *a, struct absolute_form *form)
{
    bool(*pairs)[256] CLEANUP(mem_free) = mem_new(256 * sizeof(*pairs));
    u8 *copy CLEANUP(mem_free) = mem_new(a->end), *out CLEANUP(mem_free) = mem_new(a->end);
    size_t bytes[256] = {0};

    form->count = (u8)((a->limit + 0xffff) >> 16);
    count_pairs(a, pairs, bytes);
    for (unsigned tries = 0; tries < MARKERS_TRIED && choose_marker(pairs, bytes, form); tries++) {
        if (!try_marker(a, form, copy, out))
            continue;
        memcpy(a->data, out, a->end);
        return;
    }
    form->count = 0;
}

void absolute_make(u8 *data, size_t begin, size_t end, size_t limit, struct absolute_form *form)
{
    struct absolute a = {.data = data, .begin = begin};

    a.limit = limit < ABSOLUTE_LIMIT ? limit : ABSOLUTE_LIMIT;
    a.end = end < a.limit ? end : a.limit;
    *form = (struct absolute_form){0};
    if (a.end <= begin)
        return;
    a.end -= (a.end - begin) % ABSOLUTE_BLOCK;
    u8 *inside CLEANUP(mem_free) = a.inside = mem_new(a.end - begin + OPERAND);
    struct operand *operands CLEANUP(mem_free) = a.operands =
        mem_new(((a.end - begin) / OPERAND + 1) * sizeof(*operands));
    find_operands(&a);
    drop_sparse(&a);
    if (!a.nr_operands)
        return;
    /* What lies before the first and behind the last need not be looked at. */
    size_t before = (a.operands[0].at - 1 - begin) / ABSOLUTE_BLOCK * ABSOLUTE_BLOCK;
    a.begin = begin += before;
    a.inside += before;
    size_t blocks =
        (a.operands[a.nr_operands - 1].at + OPERAND - begin + ABSOLUTE_BLOCK - 1) / ABSOLUTE_BLOCK;
    a.end = begin + blocks * ABSOLUTE_BLOCK;
    form->begin = (u32)begin;
    form->end = (u32)a.end;
    absolute_try(&a, form);
}
