#include "image/patch/ranges.h"

#include "lib/cleanup.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOOK_BACK = 64,       /* ranges that may begin before an address and still hold it */
    FEW = 8,              /* entries of an unwind table that only start-up code has */
    SPAN_MAX = 256 << 20, /* bytes of an object that is looked through call by call */
};

void ranges_free(struct code_ranges *ranges)
{
    free(ranges->at);
    *ranges = (struct code_ranges){0};
}

void ranges_add(const struct object *o, struct code_ranges *ranges, u64 start, u64 len, bool pads)
{
    const Elf64_Phdr *p = object_code(o, start);

    if (!p || !len || len > p->p_filesz - (start - p->p_vaddr))
        return;
    if (ranges->len == ranges->cap) {
        ranges->cap = ranges->cap ? 2 * ranges->cap : 1024;
        ranges->at = mem_resize(ranges->at, ranges->cap, sizeof(*ranges->at));
    }
    ranges->at[ranges->len++] = (struct code_range){start, start + len, pads};
}

/* STT_FUNC of one symbol table. */
static void add_symbols(const struct object *o, const Elf64_Shdr *table, struct code_ranges *out)
{
    const u8 *bytes = object_section_bytes(o, table);

    if (!bytes || table->sh_entsize != sizeof(Elf64_Sym))
        return;
    for (u64 i = 0; i + sizeof(Elf64_Sym) <= table->sh_size; i += sizeof(Elf64_Sym)) {
        Elf64_Sym sym;
        memcpy(&sym, bytes + i, sizeof(sym));
        u8 type = ELF64_ST_TYPE(sym.st_info);
        if ((type == STT_FUNC || type == STT_GNU_IFUNC) && sym.st_shndx != SHN_UNDEF)
            ranges_add(o, out, sym.st_value, sym.st_size, false);
    }
}

/* Go's table of functions: runtime/symtab.go.  Three layouts, told apart by their first word. */
enum { GO_1_2 = 0xfffffffb, GO_1_16 = 0xfffffffa, GO_1_18 = 0xfffffff0, GO_1_20 = 0xfffffff1 };

struct go_table {
    const u8 *entries, *end;
    u64 count, text;
    size_t word; /* bytes of each of the two words of an entry */
};

static u64 go_word(const u8 *at, size_t size)
{
    u64 word = 0;

    memcpy(&word, at, size);
    return word;
}

static bool go_open(const struct object *o, const u8 *bytes, u64 size, struct go_table *table)
{
    u64 place;

    if (size < 80 || bytes[7] != 8)
        return false;
    u32 magic = (u32)go_word(bytes, 4);
    *table = (struct go_table){.end = bytes + size, .count = go_word(bytes + 8, 8), .word = 8};
    if (magic == GO_1_2) {
        place = 16;
    } else if (magic == GO_1_16) {
        place = go_word(bytes + 8 + 6 * 8, 8);
    } else if (magic == GO_1_18 || magic == GO_1_20) {
        const Elf64_Shdr *text = object_section(o, ".text");
        place = go_word(bytes + 8 + 7 * 8, 8);
        table->text = go_word(bytes + 8 + 2 * 8, 8);
        if (!table->text && text) /* the dynamic linker fills it in */
            table->text = text->sh_addr;
        table->word = 4;
    } else {
        return false;
    }
    if (place > size || table->count >= (size - place) / (2 * table->word))
        return false;
    table->entries = bytes + place;
    return true;
}

static void add_go(const struct object *o, struct code_ranges *out)
{
    const Elf64_Shdr *section = object_section(o, ".gopclntab");
    struct go_table table;

    if (!section)
        section = object_section(o, ".data.rel.ro.gopclntab");
    const u8 *bytes = object_section_bytes(o, section);
    if (!bytes || !go_open(o, bytes, section->sh_size, &table))
        return;
    for (u64 i = 0; i < table.count; i++) { /* the entry behind the last one has the end only */
        const u8 *entry = table.entries + i * 2 * table.word;
        u64 start = go_word(entry, table.word), end;
        if (i + 1 == table.count && entry + 3 * table.word > table.end)
            break;
        end = go_word(entry + 2 * table.word, table.word);
        if (end > start)
            ranges_add(o, out, table.text + start, end - start, false);
    }
}

static int compare(const void *a, const void *b)
{
    const struct code_range *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The same function is often named more than once. */
static void merge_equal(struct code_ranges *ranges)
{
    size_t kept = 0;

    for (size_t i = 0; i < ranges->len; i++) {
        struct code_range *last = kept ? &ranges->at[kept - 1] : NULL;
        if (last && last->start == ranges->at[i].start && last->end == ranges->at[i].end)
            last->pads |= ranges->at[i].pads;
        else
            ranges->at[kept++] = ranges->at[i];
    }
    ranges->len = kept;
}

void ranges_find(const struct object *o, struct code_ranges *out)
{
    ranges_from_eh_frame(o, out);
    bool unwindable = out->len > FEW;
    for (size_t i = 0; i < o->nr_sections; i++)
        if (o->sections[i].sh_type == SHT_SYMTAB || o->sections[i].sh_type == SHT_DYNSYM)
            add_symbols(o, &o->sections[i], out);
    size_t before = out->len;
    add_go(o, out);
    if (!unwindable && out->len == before && o->high - o->low < SPAN_MAX)
        ranges_follow_calls(o, out);
    if (out->len)
        qsort(out->at, out->len, sizeof(*out->at), compare);
    merge_equal(out);
}

const struct code_range *ranges_at(const struct code_ranges *ranges, u64 addr)
{
    size_t low = 0, high = ranges->len;

    while (low < high) { /* the first one that starts above */
        size_t middle = low + (high - low) / 2;
        if (ranges->at[middle].start <= addr)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = 0; i < LOOK_BACK && i < low; i++)
        if (ranges->at[low - 1 - i].end > addr)
            return &ranges->at[low - 1 - i];
    return NULL;
}
