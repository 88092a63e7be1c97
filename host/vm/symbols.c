#include "vm/symbols.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SYMBOLS_FILE_MAX = 64 << 20,
};

/* Is [@offset, @offset + @size) inside a file of @len bytes? */
static bool symbols_inside(size_t len, u64 offset, u64 size)
{
    u64 end;

    return !__builtin_add_overflow(offset, size, &end) && end <= len;
}

/* The section header table; NULL unless this is an ELF64 file that has one. */
static const Elf64_Shdr *symbols_sections(const struct buf *file)
{
    const Elf64_Ehdr *header = (const void *)file->data;

    if (file->len < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_shentsize != sizeof(Elf64_Shdr) ||
        header->e_shoff % alignof(Elf64_Shdr) ||
        !symbols_inside(file->len, header->e_shoff, header->e_shnum * sizeof(Elf64_Shdr)))
        return NULL;
    return (const void *)(file->data + header->e_shoff);
}

static u64 symbols_base(const struct buf *file)
{
    const Elf64_Ehdr *header = (const void *)file->data;
    u64 base = UINT64_MAX;

    if (header->e_phoff % alignof(Elf64_Phdr) ||
        !symbols_inside(file->len, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr)))
        return 0;
    const Elf64_Phdr *segment = (const void *)(file->data + header->e_phoff);
    for (size_t i = 0; i < header->e_phnum; i++)
        if (segment[i].p_type == PT_LOAD)
            base = min(base, (u64)segment[i].p_vaddr);
    return base == UINT64_MAX ? 0 : base;
}

static int symbols_compare(const void *a, const void *b)
{
    const struct symbol *left = a, *right = b;

    return (left->address > right->address) - (left->address < right->address);
}

static void symbols_read(struct symbols *symbols, const struct buf *file, const Elf64_Shdr *table,
                         const Elf64_Shdr *names)
{
    if (!symbols_inside(file->len, table->sh_offset, table->sh_size) ||
        !symbols_inside(file->len, names->sh_offset, names->sh_size) || !names->sh_size ||
        table->sh_offset % alignof(Elf64_Sym) ||
        file->data[names->sh_offset + names->sh_size - 1] != 0)
        return;
    const Elf64_Sym *symbol = (const void *)(file->data + table->sh_offset);
    size_t count = table->sh_size / sizeof(*symbol);
    symbols->at = mem_new((count + 1) * sizeof(*symbols->at));
    for (size_t i = 0; i < count; i++) {
        if (ELF64_ST_TYPE(symbol[i].st_info) != STT_FUNC || symbol[i].st_shndx == SHN_UNDEF ||
            symbol[i].st_name >= names->sh_size)
            continue;
        symbols->at[symbols->len++] = (struct symbol){
            .address = symbol[i].st_value,
            .size = symbol[i].st_size,
            .name = file->data + names->sh_offset + symbol[i].st_name,
        };
    }
    qsort(symbols->at, symbols->len, sizeof(*symbols->at), symbols_compare);
}

static void symbols_read_kind(struct symbols *symbols, const struct buf *file, u32 kind)
{
    const Elf64_Shdr *section = symbols_sections(file);
    size_t count = section ? ((const Elf64_Ehdr *)(const void *)file->data)->e_shnum : 0;

    for (size_t i = 0; i < count; i++)
        if (section[i].sh_type == kind && section[i].sh_link < count && !symbols->at)
            symbols_read(symbols, file, &section[i], &section[section[i].sh_link]);
}

void symbols_take(struct symbols *symbols, struct buf *file)
{
    memset(symbols, 0, sizeof(*symbols));
    if (!symbols_sections(file))
        return;
    symbols_read_kind(symbols, file, SHT_SYMTAB);
    symbols_read_kind(symbols, file, SHT_DYNSYM); /* what a stripped one still has */
    symbols->base = symbols_base(file);
    symbols->file = buf_take(file);
}

void symbols_load(struct symbols *symbols, const char *path)
{
    struct buf file CLEANUP(buf_free) = {0};

    memset(symbols, 0, sizeof(*symbols));
    if (fs_read(path, SYMBOLS_FILE_MAX, &file, NULL) == 0)
        symbols_take(symbols, &file);
}

void symbols_fini(struct symbols *symbols)
{
    free(symbols->at);
    free(symbols->file);
    memset(symbols, 0, sizeof(*symbols));
}

/* The function that holds @address: the last that begins at or before it. */
static const struct symbol *symbols_find(const struct symbols *symbols, u64 address)
{
    size_t low = 0, high = symbols->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbols->at[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    const struct symbol *found = low ? &symbols->at[low - 1] : NULL;
    if (found && found->size && address - found->address >= found->size)
        return NULL;
    return found;
}

const char *symbols_name(const struct symbols *symbols, u64 address)
{
    const struct symbol *found = symbols_find(symbols, address);

    return found ? found->name : NULL;
}

void symbols_annotate(const struct symbols *symbols, const char *line, char *out, size_t size)
{
    static const char mark[] = "kernel+0x";
    struct buf text CLEANUP(buf_free) = {0};

    for (const char *hit; (hit = strstr(line, mark));) {
        char *end;
        u64 offset = strtoull(hit + sizeof(mark) - 1, &end, 16);
        buf_add(&text, line, (size_t)(end - line));
        const struct symbol *symbol = symbols_find(symbols, symbols->base + offset);
        if (symbol)
            buf_printf(&text, " (%s+0x%llx)", symbol->name,
                       (unsigned long long)(symbols->base + offset - symbol->address));
        line = end;
    }
    buf_puts(&text, line);
    snprintf(out, size, "%s", buf_text(&text));
}
