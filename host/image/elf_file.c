#include "image/elf_file.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    ELF_NEEDED_MAX = 4096, /* no real program comes near; bounds the work on a crafted file */
};

/* The bytes under parsing, with what was decoded so far. */
struct elf_reader {
    const u8 *data;
    size_t len;
    u64 phoff;
    u16 phnum;
    struct err *err;
};

static int elf_damaged(const struct elf_reader *r, const char *what)
{
    return err_set(r->err, EINVAL, "damaged ELF file: %s", what);
}

static bool elf_inside(const struct elf_reader *r, u64 offset, u64 size)
{
    u64 end;

    return !__builtin_add_overflow(offset, size, &end) && end <= r->len;
}

/* Copied out, since nothing says that offsets in a file are aligned. */
static bool elf_get(const struct elf_reader *r, u64 offset, void *out, size_t size)
{
    if (!elf_inside(r, offset, size))
        return false;
    memcpy(out, r->data + offset, size);
    return true;
}

static bool elf_phdr(const struct elf_reader *r, u16 index, Elf64_Phdr *out)
{
    return elf_get(r, r->phoff + (u64)index * sizeof(*out), out, sizeof(*out));
}

static const char *elf_machine_name(u16 machine)
{
    switch (machine) {
    case EM_386:
        return "i386";
    case EM_ARM:
        return "arm";
    case EM_AARCH64:
        return "aarch64";
    case EM_RISCV:
        return "riscv";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390x";
    default:
        return NULL;
    }
}

static int elf_check_machine(const struct elf_reader *r, const Elf64_Ehdr *header)
{
    const char *name = elf_machine_name(header->e_machine);

    if (header->e_ident[EI_DATA] != ELFDATA2LSB)
        return err_set(r->err, ENOEXEC, "a big-endian ELF program; Ingot runs x86-64 programs");
    if (header->e_machine != EM_X86_64 && name)
        return err_set(r->err, ENOEXEC, "a program for %s; Ingot runs x86-64 programs", name);
    if (header->e_machine != EM_X86_64)
        return err_set(r->err, ENOEXEC, "a program for ELF machine %u; Ingot runs x86-64 programs",
                       header->e_machine);
    if (header->e_ident[EI_CLASS] != ELFCLASS64)
        return err_set(r->err, ENOEXEC, "a 32-bit program; Ingot runs 64-bit x86-64 programs");
    return 0;
}

static int elf_read_header(struct elf_reader *r, struct elf_file *file)
{
    Elf64_Ehdr header;

    if (r->len == 0)
        return err_set(r->err, ENOEXEC, "an empty file");
    if (r->len < SELFMAG || memcmp(r->data, ELFMAG, SELFMAG) != 0)
        return err_set(r->err, ENOEXEC, "not an ELF program");
    if (!elf_get(r, 0, &header, sizeof(header)))
        return elf_damaged(r, "shorter than its header");
    int failed = elf_check_machine(r, &header);
    if (failed)
        return failed;
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
        return err_set(r->err, ENOEXEC, "%s, not a program",
                       header.e_type == ET_REL    ? "an object file; link it first"
                       : header.e_type == ET_CORE ? "a core dump"
                                                  : "an ELF file of unknown type");
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        !elf_inside(r, header.e_phoff, (u64)header.e_phnum * sizeof(Elf64_Phdr)))
        return elf_damaged(r, "program headers lie outside of the file");
    r->phoff = header.e_phoff;
    r->phnum = header.e_phnum;
    file->kind = header.e_type == ET_EXEC ? ELF_EXEC : ELF_SHARED;
    return 0;
}

/* The string at @offset of the file, ending before @limit; NULL if it does not end. */
static const char *elf_string(const struct elf_reader *r, u64 offset, u64 limit)
{
    if (offset >= limit || limit > r->len || !memchr(r->data + offset, 0, limit - offset))
        return NULL;
    return (const char *)r->data + offset;
}

static int elf_read_interp(const struct elf_reader *r, const Elf64_Phdr *phdr,
                           struct elf_file *file)
{
    if (!elf_inside(r, phdr->p_offset, phdr->p_filesz))
        return elf_damaged(r, "the interpreter's name lies outside of the file");
    file->interp = elf_string(r, phdr->p_offset, phdr->p_offset + phdr->p_filesz);
    if (!file->interp || file->interp[0] != '/')
        return elf_damaged(r, "the interpreter is no absolute path");
    return 0;
}

/* Where in the file @address is, by the loadable segments.  Returns false if it is in none. */
static bool elf_offset_of(const struct elf_reader *r, u64 address, u64 *offset)
{
    Elf64_Phdr phdr;

    for (u16 i = 0; i < r->phnum; i++) {
        if (!elf_phdr(r, i, &phdr) || phdr.p_type != PT_LOAD)
            continue;
        if (address < phdr.p_vaddr || address - phdr.p_vaddr >= phdr.p_filesz)
            continue;
        return !__builtin_add_overflow(phdr.p_offset, address - phdr.p_vaddr, offset) &&
               *offset < r->len;
    }
    return false;
}

/* What of the dynamic section is needed before its strings can be read. */
struct elf_dynamic {
    u64 offset, count;      /* of the entries in the file */
    u64 strtab, strtab_end; /* file offsets */
};

static bool elf_dyn(const struct elf_reader *r, const struct elf_dynamic *dynamic, u64 index,
                    Elf64_Dyn *out)
{
    return index < dynamic->count &&
           elf_get(r, dynamic->offset + index * sizeof(*out), out, sizeof(*out)) &&
           out->d_tag != DT_NULL;
}

static int elf_find_strtab(const struct elf_reader *r, struct elf_dynamic *dynamic)
{
    u64 address = 0, size = 0;
    Elf64_Dyn dyn;

    for (u64 i = 0; elf_dyn(r, dynamic, i, &dyn); i++) {
        if (dyn.d_tag == DT_STRTAB)
            address = dyn.d_un.d_ptr;
        else if (dyn.d_tag == DT_STRSZ)
            size = dyn.d_un.d_val;
    }
    if (!address)
        return 0;
    if (!elf_offset_of(r, address, &dynamic->strtab) || !elf_inside(r, dynamic->strtab, size))
        return elf_damaged(r, "the dynamic string table lies outside of the file");
    dynamic->strtab_end = dynamic->strtab + size;
    return 0;
}

/* Where the text of a string-valued entry goes; NULL for entries without text. */
static const char **elf_text_of(struct elf_file *file, s64 tag)
{
    switch (tag) {
    case DT_NEEDED:
        if (file->nr_needed == ELF_NEEDED_MAX)
            return NULL;
        file->needed = mem_resize(file->needed, file->nr_needed + 1, sizeof(*file->needed));
        return &file->needed[file->nr_needed++];
    case DT_SONAME:
        return &file->soname;
    case DT_RPATH:
        return &file->rpath;
    case DT_RUNPATH:
        return &file->runpath;
    default:
        return NULL;
    }
}

static int elf_read_dynamic(const struct elf_reader *r, const Elf64_Phdr *phdr,
                            struct elf_file *file)
{
    struct elf_dynamic dynamic = {.offset = phdr->p_offset,
                                  .count = phdr->p_filesz / sizeof(Elf64_Dyn)};
    Elf64_Dyn dyn;

    if (!elf_inside(r, phdr->p_offset, phdr->p_filesz))
        return elf_damaged(r, "the dynamic section lies outside of the file");
    int failed = elf_find_strtab(r, &dynamic);
    if (failed)
        return failed;
    file->dynamic = true;
    file->names = (const char *)r->data + dynamic.strtab;
    file->names_len = dynamic.strtab_end - dynamic.strtab;
    for (u64 i = 0; elf_dyn(r, &dynamic, i, &dyn); i++) {
        if (dyn.d_tag == DT_FLAGS_1)
            file->pie = dyn.d_un.d_val & DF_1_PIE;
        const char **text = elf_text_of(file, dyn.d_tag);
        if (!text)
            continue;
        u64 at;
        *text = NULL;
        if (!__builtin_add_overflow(dynamic.strtab, dyn.d_un.d_val, &at))
            *text = elf_string(r, at, dynamic.strtab_end);
        if (!*text)
            return elf_damaged(r, "a name lies outside of the dynamic string table");
    }
    return 0;
}

static int elf_read_segments(const struct elf_reader *r, struct elf_file *file)
{
    Elf64_Phdr phdr;
    bool loads = false;
    int failed = 0;

    for (u16 i = 0; i < r->phnum && !failed; i++) {
        if (!elf_phdr(r, i, &phdr))
            return elf_damaged(r, "program headers lie outside of the file");
        if (phdr.p_type == PT_LOAD && !elf_inside(r, phdr.p_offset, phdr.p_filesz))
            return elf_damaged(r, "cut short: a segment lies outside of the file");
        loads |= phdr.p_type == PT_LOAD;
        if (phdr.p_type == PT_INTERP)
            failed = elf_read_interp(r, &phdr, file);
        else if (phdr.p_type == PT_DYNAMIC && !file->dynamic)
            failed = elf_read_dynamic(r, &phdr, file);
    }
    if (!failed && !loads)
        return elf_damaged(r, "it has nothing to load");
    return failed;
}

int elf_parse(const u8 *data, size_t len, struct elf_file *out, struct err *err)
{
    struct elf_reader reader = {.data = data, .len = len, .err = err};
    struct elf_file file = {0};

    int failed = elf_read_header(&reader, &file);
    if (!failed)
        failed = elf_read_segments(&reader, &file);
    if (failed) {
        elf_file_free(&file);
        return failed;
    }
    *out = file;
    return 0;
}

void elf_file_free(struct elf_file *file)
{
    free(file->needed);
    *file = (struct elf_file){0};
}

bool elf_names(const struct elf_file *file, const char *symbol)
{
    size_t len = strlen(symbol) + 1;
    const char *at = file->names, *end = file->names ? at + file->names_len : NULL;

    while (at && (at = memmem(at, (size_t)(end - at), symbol, len))) {
        if (at > file->names && at[-1] == 0)
            return true;
        at++;
    }
    return false;
}

int elf_map(const char *path, struct elf_map *map, struct err *err)
{
    int fd CLEANUP(fd_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return err_errno(err, EISDIR, "%s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ENOEXEC, "%s: not a regular file", path);
    *map = (struct elf_map){.len = (size_t)st.st_size};
    if (map->len == 0)
        return 0;
    void *data = mmap(NULL, map->len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return err_errno(err, errno, "%s", path);
    map->data = data;
    return 0;
}

void elf_unmap(struct elf_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->len);
    *map = (struct elf_map){0};
}
