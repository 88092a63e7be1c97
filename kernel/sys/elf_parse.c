#include "sys/elf.h"

#include "abi/errno.h"
#include "abi/mman.h"
#include "lib/string.h"

enum { PAGE = 4096 };
#define ADDRESS_LIMIT 0x7ffffffff000ull

static int refuse(const char **why, const char *text)
{
    *why = text;
    return -ENOEXEC;
}

static const char *machine_refusal(u16 machine)
{
    switch (machine) {
    case EM_386:
        return "a program for another machine (32-bit x86)";
    case EM_ARM:
        return "a program for another machine (32-bit ARM)";
    case EM_AARCH64:
        return "a program for another machine (AArch64)";
    case EM_RISCV:
        return "a program for another machine (RISC-V)";
    default:
        return "a program for another machine";
    }
}

int elf_parse_header(const struct elf64_ehdr *h, size_t len, u64 file_size, const char **why)
{
    u64 end;

    if (len < EI_NIDENT || memcmp(h->e_ident, "\177ELF", 4))
        return refuse(why, "neither an ELF program nor a #! script");
    if (len < sizeof(*h))
        return refuse(why, "a truncated ELF file");
    if (h->e_ident[EI_DATA] != ELFDATA2LSB)
        return refuse(why, "a program for another machine (big endian)");
    if (h->e_machine != EM_X86_64)
        return refuse(why, machine_refusal(h->e_machine));
    if (h->e_ident[EI_CLASS] != ELFCLASS64)
        return refuse(why, "a program for another machine (x32)");
    if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        return refuse(why, "an ELF file but no program (object or core file)");
    if (h->e_phentsize != sizeof(struct elf64_phdr) || !h->e_phnum || h->e_phnum > ELF_MAX_PHDRS)
        return refuse(why, "a damaged ELF file (program headers)");
    if (__builtin_add_overflow(h->e_phoff, h->e_phnum * sizeof(struct elf64_phdr), &end) ||
        end > file_size)
        return refuse(why, "a truncated ELF file (program headers)");
    return 0;
}

static u32 prot_of_flags(u32 flags)
{
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
           (flags & PF_X ? PROT_EXEC : 0);
}

static int check_load(const struct elf64_phdr *p, u64 file_size, u64 floor, const char **why)
{
    u64 end;

    if (p->p_filesz > p->p_memsz)
        return refuse(why, "a damaged ELF file (a segment is larger than its memory)");
    if (__builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > file_size)
        return refuse(why, "a truncated ELF file (a segment lies past its end)");
    if (__builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) || end > ADDRESS_LIMIT)
        return refuse(why, "a damaged ELF file (a segment lies outside the address space)");
    if ((p->p_vaddr ^ p->p_offset) % PAGE)
        return refuse(why, "an ELF file whose segments are not page-aligned");
    if (p->p_align & (p->p_align - 1))
        return refuse(why, "a damaged ELF file (alignment)");
    if (p->p_vaddr < floor)
        return refuse(why, "a damaged ELF file (segments overlap or are out of order)");
    if ((p->p_flags & PF_W) && (p->p_flags & PF_X))
        return refuse(why, "a segment is writable and executable, which is refused");
    return 0;
}

static int add_load(const struct elf64_phdr *p, u64 file_size, struct elf_image *out,
                    const char **why)
{
    const struct elf_segment *last = out->nr_segments ? &out->segments[out->nr_segments - 1] : NULL;

    int err = check_load(p, file_size, last ? last->vaddr + last->memsz : 0, why);
    if (err)
        return err;
    if (!p->p_memsz)
        return 0;
    if (out->nr_segments == ELF_MAX_SEGMENTS)
        return refuse(why, "an ELF file with too many segments");
    if (!out->nr_segments)
        out->low = ALIGN_DOWN(p->p_vaddr, PAGE);
    out->high = ALIGN_UP(p->p_vaddr + p->p_memsz, PAGE);
    out->align = max(out->align, p->p_align);
    out->segments[out->nr_segments++] = (struct elf_segment){
        .vaddr = p->p_vaddr,
        .offset = p->p_offset,
        .filesz = p->p_filesz,
        .memsz = p->p_memsz,
        .prot = prot_of_flags(p->p_flags),
    };
    return 0;
}

static int set_interp(const struct elf64_phdr *p, u64 file_size, struct elf_image *out,
                      const char **why)
{
    u64 end;

    if (p->p_filesz < 2 || p->p_filesz > ELF_INTERP_MAX ||
        __builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > file_size)
        return refuse(why, "a damaged ELF file (interpreter)");
    out->interp_offset = p->p_offset;
    out->interp_len = p->p_filesz;
    return 0;
}

static int take_phdr(const struct elf64_phdr *p, u64 file_size, struct elf_image *out,
                     const char **why)
{
    switch (p->p_type) {
    case PT_LOAD:
        return add_load(p, file_size, out, why);
    case PT_INTERP:
        return set_interp(p, file_size, out, why);
    case PT_GNU_STACK:
        out->exec_stack = p->p_flags & PF_X;
        return 0;
    default:
        return 0;
    }
}

/* The headers as the program sees them: in the segment that holds their bytes of the file. */
static u64 phdrs_in_memory(const struct elf64_ehdr *h, const struct elf_image *image)
{
    for (u32 i = 0; i < image->nr_segments; i++) {
        const struct elf_segment *s = &image->segments[i];
        u64 at = h->e_phoff - s->offset;
        u64 len = h->e_phnum * sizeof(struct elf64_phdr);
        if (h->e_phoff >= s->offset && s->filesz >= len && at <= s->filesz - len)
            return s->vaddr + at;
    }
    return 0;
}

int elf_parse_segments(const struct elf64_ehdr *h, const struct elf64_phdr *phdrs, u64 file_size,
                       struct elf_image *out, const char **why)
{
    memset(out, 0, sizeof(*out));
    out->fixed = h->e_type == ET_EXEC;
    out->entry = h->e_entry;
    out->align = PAGE;
    out->nr_phdrs = h->e_phnum;
    for (u32 i = 0; i < h->e_phnum; i++) {
        int err = take_phdr(&phdrs[i], file_size, out, why);
        if (err)
            return err;
    }
    if (!out->nr_segments)
        return refuse(why, "an ELF file with nothing to load");
    if (out->align > GIB(1))
        return refuse(why, "an ELF file with an alignment over 1 GiB");
    out->phdr_vaddr = phdrs_in_memory(h, out);
    return 0;
}
