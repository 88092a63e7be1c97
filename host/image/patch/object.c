#include "image/patch/object.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECT_SECTIONS_MAX = 4096, PAGE = 4096 };

static bool object_inside(const struct object *o, u64 offset, u64 size)
{
    u64 end;

    return !__builtin_add_overflow(offset, size, &end) && end <= o->len;
}

static int object_refuse(struct err *err, const char *why)
{
    return err_set(err, ENOEXEC, "%s", why);
}

static int object_check_header(struct object *o, struct err *err)
{
    if (o->len < sizeof(o->header))
        return object_refuse(err, "not an ELF file");
    memcpy(&o->header, o->data, sizeof(o->header));
    const Elf64_Ehdr *h = &o->header;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_X86_64 ||
        (h->e_type != ET_EXEC && h->e_type != ET_DYN))
        return object_refuse(err, "no x86-64 program or library");
    if (h->e_phentsize != sizeof(Elf64_Phdr) ||
        !object_inside(o, h->e_phoff, (u64)h->e_phnum * sizeof(Elf64_Phdr)))
        return object_refuse(err, "damaged program headers");
    return 0;
}

static int object_add_load(struct object *o, const Elf64_Phdr *p, struct err *err)
{
    u64 end;

    if (p->p_filesz > p->p_memsz || !object_inside(o, p->p_offset, p->p_filesz) ||
        __builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) || end > (1ull << 47) ||
        (p->p_vaddr ^ p->p_offset) % PAGE)
        return object_refuse(err, "damaged segments");
    if (o->high && ALIGN_DOWN(p->p_vaddr, (u64)PAGE) < ALIGN_DOWN(o->high - 1, (u64)PAGE))
        return object_refuse(err, "segments out of order");
    if ((p->p_flags & PF_X) && (p->p_flags & PF_W))
        return object_refuse(err, "code that is writable");
    if (!o->high)
        o->low = ALIGN_DOWN(p->p_vaddr, (u64)PAGE);
    o->high = ALIGN_UP(end, (u64)PAGE);
    if (!p->p_filesz)
        return 0;
    o->loads = mem_resize(o->loads, o->nr_loads + 1, sizeof(*p));
    o->loads[o->nr_loads++] = *p;
    return 0;
}

static int object_read_segments(struct object *o, struct err *err)
{
    for (u16 i = 0; i < o->header.e_phnum; i++) {
        Elf64_Phdr p;
        memcpy(&p, o->data + o->header.e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_GNU_EH_FRAME)
            o->eh_frame_hdr = p.p_vaddr;
        if (p.p_type == PT_DYNAMIC) {
            o->dynamic = p.p_vaddr;
            o->dynamic_len = p.p_filesz;
        }
        int failed = p.p_type == PT_LOAD ? object_add_load(o, &p, err) : 0;
        if (failed)
            return failed;
    }
    return o->nr_loads ? 0 : object_refuse(err, "nothing to load");
}

/* Sections are a help where they are there; what is wrong with them only makes them useless. */
static void object_read_sections(struct object *o)
{
    const Elf64_Ehdr *h = &o->header;
    u64 len = (u64)h->e_shnum * sizeof(Elf64_Shdr);

    if (h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shnum > OBJECT_SECTIONS_MAX || !len ||
        h->e_shstrndx >= h->e_shnum || !object_inside(o, h->e_shoff, len))
        return;
    o->sections = mem_new(len);
    memcpy(o->sections, o->data + h->e_shoff, len);
    o->nr_sections = h->e_shnum;
}

int object_open(const u8 *data, size_t len, struct object *o, struct err *err)
{
    *o = (struct object){.data = data, .len = len};
    int failed = object_check_header(o, err);
    if (!failed)
        failed = object_read_segments(o, err);
    if (failed) {
        object_close(o);
        return failed;
    }
    object_read_sections(o);
    return 0;
}

void object_close(struct object *o)
{
    free(o->loads);
    free(o->sections);
    *o = (struct object){0};
}

const u8 *object_at(const struct object *o, u64 addr, u64 *left)
{
    for (size_t i = 0; i < o->nr_loads; i++) {
        const Elf64_Phdr *p = &o->loads[i];
        if (addr < p->p_vaddr || addr - p->p_vaddr >= p->p_filesz)
            continue;
        *left = p->p_filesz - (addr - p->p_vaddr);
        return o->data + p->p_offset + (addr - p->p_vaddr);
    }
    *left = 0;
    return NULL;
}

bool object_read(const struct object *o, u64 addr, void *out, size_t len)
{
    u64 left;
    const u8 *bytes = object_at(o, addr, &left);

    if (!bytes || left < len)
        return false;
    memcpy(out, bytes, len);
    return true;
}

const Elf64_Phdr *object_code(const struct object *o, u64 addr)
{
    for (size_t i = 0; i < o->nr_loads; i++) {
        const Elf64_Phdr *p = &o->loads[i];
        if ((p->p_flags & PF_X) && addr >= p->p_vaddr && addr - p->p_vaddr < p->p_filesz)
            return p;
    }
    return NULL;
}

const Elf64_Shdr *object_section(const struct object *o, const char *name)
{
    size_t len = strlen(name) + 1;

    for (size_t i = 0; i < o->nr_sections; i++) {
        const Elf64_Shdr *names = &o->sections[o->header.e_shstrndx];
        u64 at = o->sections[i].sh_name;
        if (!object_inside(o, names->sh_offset, names->sh_size) || at >= names->sh_size)
            continue;
        if (names->sh_size - at >= len && !memcmp(o->data + names->sh_offset + at, name, len))
            return &o->sections[i];
    }
    return NULL;
}

const u8 *object_section_bytes(const struct object *o, const Elf64_Shdr *section)
{
    if (!section || section->sh_type == SHT_NOBITS ||
        !object_inside(o, section->sh_offset, section->sh_size))
        return NULL;
    return o->data + section->sh_offset;
}

static u64 dynamic_value(const struct object *o, s64 tag, bool *found)
{
    Elf64_Dyn dyn;

    *found = false;
    for (u64 at = 0; at + sizeof(dyn) <= o->dynamic_len; at += sizeof(dyn)) {
        if (!object_read(o, o->dynamic + at, &dyn, sizeof(dyn)) || dyn.d_tag == DT_NULL)
            break;
        if (dyn.d_tag != tag)
            continue;
        *found = true;
        return dyn.d_un.d_val;
    }
    return 0;
}

/* One table of DT_RELA entries. */
static void each_rela(const struct object *o, s64 table, s64 size,
                      void (*fn)(void *arg, const Elf64_Rela *rela), void *arg)
{
    bool found, sized;
    u64 at = dynamic_value(o, table, &found), len = dynamic_value(o, size, &sized), left;
    const u8 *bytes = found && sized ? object_at(o, at, &left) : NULL;

    if (!bytes)
        return;
    for (u64 i = 0; i + sizeof(Elf64_Rela) <= min(len, left); i += sizeof(Elf64_Rela)) {
        Elf64_Rela rela;
        memcpy(&rela, bytes + i, sizeof(rela));
        fn(arg, &rela);
    }
}

struct code_check {
    const struct object *o;
    bool hit;
};

static void check_rela(void *arg, const Elf64_Rela *rela)
{
    struct code_check *check = arg;

    check->hit |= object_code(check->o, rela->r_offset) != NULL;
}

bool object_has_code_relocations(const struct object *o)
{
    struct code_check check = {o, false};
    bool found;

    (void)dynamic_value(o, DT_TEXTREL, &found);
    if (found)
        return true;
    u64 flags = dynamic_value(o, DT_FLAGS, &found);
    if (found && (flags & DF_TEXTREL))
        return true;
    each_rela(o, DT_RELA, DT_RELASZ, check_rela, &check);
    return check.hit;
}

struct pointer_sink {
    void (*fn)(void *arg, u64 target);
    void *arg;
};

static void pass_rela(void *arg, const Elf64_Rela *rela)
{
    const struct pointer_sink *sink = arg;

    if (rela->r_addend > 0)
        sink->fn(sink->arg, (u64)rela->r_addend);
}

void object_each_pointer(const struct object *o, void (*fn)(void *arg, u64 target), void *arg)
{
    struct pointer_sink sink = {fn, arg};

    each_rela(o, DT_RELA, DT_RELASZ, pass_rela, &sink);
    /* Words of data: pointers of a fixed program, and those that DT_RELR will only add to. */
    for (size_t i = 0; i < o->nr_loads; i++) {
        const Elf64_Phdr *p = &o->loads[i];
        u64 first = ALIGN_UP(p->p_vaddr, 8u) - p->p_vaddr;
        for (u64 at = first; !(p->p_flags & PF_X) && at + 8 <= p->p_filesz; at += 8) {
            u64 word;
            memcpy(&word, o->data + p->p_offset + at, sizeof(word));
            if (word >= o->low && word < o->high)
                fn(arg, word);
        }
    }
}
