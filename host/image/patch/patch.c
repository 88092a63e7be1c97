#include "image/patch/patch.h"

#include "image/patch/cpuid_stub.h"
#include "image/patch/maker.h"
#include "lib/cleanup.h"
#include "lib/patch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    INSN_LEN = 2, /* of `syscall` and of `cpuid` */

    /* A mapping costs a process 4 us and its faults: most of a text in one of them, for some
     * 100 KB of a static program and 700 of libc. */
    JOIN_MAX = 32,
};

void maker_free(struct maker *m)
{
    buf_free(&m->code);
    buf_free(&m->pcs);
    buf_free(&m->backs);
    buf_free(&m->pages);
    buf_free(&m->bytes);
}

/* From here on the stub does what the object does at @addr. */
static void mark(struct maker *m, u64 addr)
{
    struct patch_pc pc = {(u32)m->code.len, (u32)(addr - m->header.low)};

    buf_add(&m->pcs, &pc, sizeof(pc));
}

/* Whoever wants to go on at @addr shall do it here: the jump lies there. */
static void mark_back(struct maker *m, u64 addr)
{
    struct patch_pc pc = {(u32)m->code.len, (u32)(addr - m->header.low)};

    buf_add(&m->backs, &pc, sizeof(pc));
}

/* Opcode bytes, then the distance of @target from the end of the instruction. */
static void put_relative(struct maker *m, const char *opcode, size_t len, u64 target)
{
    buf_add(&m->code, opcode, len);
    s32 distance = (s32)(s64)(target - (m->stubs + m->code.len + 4));
    buf_add(&m->code, &distance, sizeof(distance));
}

static void put_gate(struct maker *m)
{
    u32 gate = GATE_ADDR;

    buf_add(&m->code, "\xff\x24\x25", 3);
    buf_add(&m->code, &gate, sizeof(gate));
}

/* The instructions of [from, to), each with what is relative to RIP mended. */
static void put_moved(struct maker *m, u64 from, u64 to, bool only_here)
{
    struct insn insn;
    u64 left;

    for (u64 at = from; at < to; at += insn.len) {
        const u8 *code = object_at(m->o, at, &left);
        if (!code || !disasm(code, left, at, &insn))
            return; /* cannot be: it was decoded before */
        mark(m, at);
        if (only_here)
            mark_back(m, at);
        u64 place = m->stubs + m->code.len;
        char *moved = buf_grow(&m->code, insn.len);
        memcpy(moved, code, insn.len);
        if (insn.disp_at) {
            s32 distance = (s32)(s64)(insn.target - (place + insn.len));
            memcpy(moved + insn.disp_at, &distance, sizeof(distance));
        }
    }
}

/* Its instructions have no place in the object: each is shown as itself. */
static void put_cpuid_code(struct maker *m)
{
    size_t len = (size_t)(m->answers_end - m->answers);
    struct insn insn;

    m->cpuid = m->stubs + m->code.len;
    for (size_t at = 0; at < len; at += insn.len) {
        mark(m, m->stubs + m->code.len);
        if (!disasm(m->answers + at, len - at, m->stubs + m->code.len, &insn))
            return; /* cannot be: we have written it */
        buf_add(&m->code, m->answers + at, insn.len);
    }
}

/* Have done what the instruction does, and go on at @target. */
static void put_instead(struct maker *m, const struct site *site, u64 target)
{
    if (site->cpuid) {
        put_relative(m, "\x48\x8d\x15", 3, target); /* lea target, %rdx */
        put_relative(m, "\xe9", 1, m->cpuid);
    } else {
        put_relative(m, "\x48\x8d\x0d", 3, target); /* lea target, %rcx */
        put_gate(m);
    }
}

static void put_before(struct maker *m, const struct site *site)
{
    mark_back(m, site->from); /* else a program that steps would never get past the jump */
    put_moved(m, site->from, site->to, false);
    mark(m, site->addr);
    put_instead(m, site, site->addr + INSN_LEN);
}

/* The `syscall` right before the return address is for calls that a signal makes start again. */
static void put_after(struct maker *m, const struct site *site)
{
    enum { LEA_LEN = 7, GATE_LEN = 7, JUMP_LEN = 5 };
    size_t len = LEA_LEN + (site->cpuid ? JUMP_LEN : GATE_LEN) + INSN_LEN;

    mark(m, site->addr);
    put_instead(m, site, m->stubs + m->code.len + len);
    mark_back(m, site->addr);
    buf_add(&m->code, site->cpuid ? "\x0f\xa2" : "\x0f\x05", INSN_LEN);
    put_moved(m, site->from, site->to, true);
    if (site->returns)
        return;
    mark(m, site->to);
    put_relative(m, "\xe9", 1, site->to);
}

/* The patched content of page @index of the file, made at its first use. */
static u8 *page_of(struct maker *m, u32 index)
{
    size_t count = m->pages.len / sizeof(u32);
    u32 last;

    /* Sites come in order, and a jump reaches into the next page at most. */
    for (size_t i = count; i > 0 && i + 2 > count; i--) {
        memcpy(&last, m->pages.data + (i - 1) * sizeof(u32), sizeof(last));
        if (last == index)
            return (u8 *)m->bytes.data + (i - 1) * PATCH_PAGE;
    }
    buf_add(&m->pages, &index, sizeof(index));
    u8 *page = (u8 *)buf_grow(&m->bytes, PATCH_PAGE);
    u64 at = (u64)index * PATCH_PAGE, len = min(m->o->len - at, (u64)PATCH_PAGE);
    memset(page, 0, PATCH_PAGE);
    memcpy(page, m->o->data + at, len);
    return page;
}

static void put_jump(struct maker *m, u64 from, u64 to)
{
    const Elf64_Phdr *p = object_code(m->o, from);
    u64 offset = p->p_offset + (from - p->p_vaddr);
    s32 distance = (s32)(s64)(to - (from + SITE_JUMP_LEN));
    u8 jump[SITE_JUMP_LEN] = {0xe9};

    memcpy(jump + 1, &distance, sizeof(distance));
    for (u32 i = 0; i < sizeof(jump); i++) {
        u64 at = offset + i;
        page_of(m, (u32)(at / PATCH_PAGE))[at % PATCH_PAGE] = jump[i];
    }
}

static void count(struct patch_header *h, const struct site *site)
{
    if (site->cpuid) {
        h->cpuids++;
        h->cpuids_patched += site->kind != SITE_LEFT;
        return;
    }
    h->sites++;
    h->sites_patched += site->kind != SITE_LEFT;
    h->sites_unknown += !site->nr_numbers;
    for (u32 i = 0; i < site->nr_numbers; i++)
        if (site->numbers[i] < PATCH_CALLS)
            h->calls[site->numbers[i] / 64] |= 1ull << site->numbers[i] % 64;
}

void maker_put_sites(struct maker *m)
{
    for (size_t i = 0; i < m->sites->len; i++) {
        const struct site *site = &m->sites->at[i];
        count(&m->header, site);
        if (site->kind == SITE_LEFT)
            continue;
        if (site->cpuid && !m->cpuid)
            put_cpuid_code(m);
        u64 stub = m->stubs + m->code.len;
        if (site->kind == SITE_BEFORE)
            put_before(m, site);
        else
            put_after(m, site);
        put_jump(m, site_jump(site), stub);
    }
}

static void pad_page(struct buf *buf)
{
    size_t len = ALIGN_UP(buf->len, (size_t)PATCH_PAGE) - buf->len;

    if (len)
        memset(buf_grow(buf, len), 0, len);
}

static int set_areas(struct maker *m, struct err *err)
{
    struct patch_header *h = &m->header;

    for (size_t i = 0; i < m->o->nr_loads; i++) {
        const Elf64_Phdr *p = &m->o->loads[i];
        if (!(p->p_flags & PF_X))
            continue;
        if (h->nr_areas == PATCH_AREAS_MAX)
            return err_set(err, ENOEXEC, "too many executable segments");
        u64 lead = p->p_vaddr % PATCH_PAGE;
        h->areas[h->nr_areas++] = (struct patch_area){
            p->p_vaddr - lead, p->p_offset - lead, ALIGN_UP(lead + p->p_filesz, (u64)PATCH_PAGE)};
    }
    return 0;
}

static int begin(struct maker *m, struct err *err)
{
    struct patch_id id;

    if (!patch_id_of(m->o->data, m->o->len, m->o->len, &id))
        return err_set(err, ENOEXEC, "program headers behind the first page");
    m->header = (struct patch_header){
        .magic = PATCH_MAGIC,
        .version = PATCH_VERSION,
        .gate = GATE_ADDR,
        .id_len = id.len,
        .file_size = m->o->len,
        .low = m->o->low,
        .span = m->o->high - m->o->low,
    };
    memcpy(m->header.id, id.bytes, sizeof(id.bytes));
    if (m->header.span > GIB(2) - 2 * PATCH_STUBS_MAX)
        return err_set(err, ENOEXEC, "larger than a jump reaches");
    if (object_has_code_relocations(m->o))
        return err_set(err, ENOEXEC, "the dynamic linker writes into its code");
    m->stubs = m->o->high;
    return set_areas(m, err);
}

static u32 append(struct buf *out, const struct buf *part)
{
    u32 at = (u32)out->len;

    if (part->len)
        buf_add(out, part->data, part->len);
    return at;
}

/* The executable segment that @page of the file is in: its pages are [*start, *end). */
static void find_area(const struct maker *m, u32 page, u32 *start, u32 *end)
{
    const struct patch_header *h = &m->header;

    for (u32 i = 0; i < h->nr_areas; i++) {
        *start = (u32)(h->areas[i].offset / PATCH_PAGE);
        *end = *start + (u32)(h->areas[i].len / PATCH_PAGE);
        if (page >= *start && page < *end)
            return;
    }
    *start = page;
    *end = page + 1;
}

static void add_page(struct maker *to, u32 index, const void *bytes)
{
    buf_add(&to->pages, &index, sizeof(index));
    buf_add(&to->bytes, bytes, PATCH_PAGE);
}

/* The object's own pages [@from, @to), if they are few. */
static void fill_gap(struct maker *joined, const struct maker *m, u32 from, u32 to)
{
    if (from >= to || to - from > JOIN_MAX || (u64)to * PATCH_PAGE > m->o->len)
        return;
    for (; from < to; from++)
        add_page(joined, from, m->o->data + (u64)from * PATCH_PAGE);
}

/* Each run of pages is a mapping of its own in the end, and what lies before, between and behind
 * them is another: fill the small gaps with the object's own. */
static void join_runs(struct maker *m)
{
    struct maker joined = {0};
    size_t count = m->pages.len / sizeof(u32);
    u32 index, start, end = 0, next = 0;

    for (size_t i = 0; i < count; i++, next = index + 1) {
        memcpy(&index, m->pages.data + i * sizeof(index), sizeof(index));
        if (index >= end) { /* another segment */
            fill_gap(&joined, m, next, end);
            find_area(m, index, &start, &end);
            next = max(next, start);
        }
        fill_gap(&joined, m, next, index);
        add_page(&joined, index, m->bytes.data + i * PATCH_PAGE);
    }
    fill_gap(&joined, m, next, end);
    buf_free(&m->pages);
    buf_free(&m->bytes);
    m->pages = joined.pages;
    m->bytes = joined.bytes;
}

static int finish(struct maker *m, struct buf *out, struct err *err)
{
    struct patch_header *h = &m->header;

    join_runs(m);
    if (m->code.len > PATCH_STUBS_MAX || m->pages.len / sizeof(u32) > PATCH_PAGES_MAX)
        return err_set(err, ENOEXEC, "too many system calls");
    h->nr_pages = (u32)(m->pages.len / sizeof(u32));
    h->nr_pcs = (u32)(m->pcs.len / sizeof(struct patch_pc));
    h->nr_backs = (u32)(m->backs.len / sizeof(struct patch_pc));
    buf_add(out, h, sizeof(*h));
    h->index_at = append(out, &m->pages);
    h->pcs_at = append(out, &m->pcs);
    h->backs_at = append(out, &m->backs);
    pad_page(out);
    pad_page(&m->code);
    h->stubs_len = (u32)m->code.len;
    h->stubs_at = append(out, &m->code);
    h->pages_at = append(out, &m->bytes);
    memcpy(out->data, h, sizeof(*h));
    return 0;
}

static int make(struct maker *m, const char *name, struct sites *sites, struct buf *out,
                struct err *err)
{
    struct code_ranges ranges CLEANUP(ranges_free) = {0};

    int failed = begin(m, err);
    if (failed)
        return failed;
    str_copy(m->header.name, name, sizeof(m->header.name));
    ranges_find(m->o, &ranges);
    sites_find(m->o, &ranges, sites);
    if (!sites->len)
        return 0;
    m->sites = sites;
    maker_put_sites(m);
    return finish(m, out, err);
}

int patch_make(const char *name, const u8 *data, size_t len, struct buf *out, struct err *err)
{
    struct object object CLEANUP(object_close) = {0};
    struct sites sites CLEANUP(sites_free) = {0};
    struct maker m CLEANUP(maker_free) = {
        .o = &object, .answers = cpuid_stub, .answers_end = cpuid_stub_end};

    int failed = disasm_open(err);
    if (!failed)
        failed = object_open(data, len, &object, err);
    return failed ? failed : make(&m, name, &sites, out, err);
}
