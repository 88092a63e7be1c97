/* The kernel file into memory: text and constants are the page cache's, data our own copies. */
#include "tender/tender.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { LINK_BASE = 0x100000, HEADER_SIZE = 512 };

static u64 first_byte; /* [I] of the image, as the file has it */

static const struct hosted_note *find_note(u64 start, u64 len)
{
    for (u64 at = start; at + sizeof(Elf64_Nhdr) < start + len;) {
        const Elf64_Nhdr *n = (const void *)(uintptr_t)at;
        u64 desc = at + sizeof(*n) + ALIGN_UP(n->n_namesz, 4u);
        if (n->n_type == HOSTED_NOTE_TYPE && n->n_descsz == sizeof(struct hosted_note) &&
            *(const u32 *)(n + 1) == 0x6f676e49) /* "Ingo" */
            return (const void *)(uintptr_t)desc;
        at = desc + ALIGN_UP(n->n_descsz, 4u);
    }
    return NULL;
}

static void map_at(u64 at, u64 len, u32 prot, u32 flags, s32 fd, u64 offset)
{
    if (sys6(__NR_mmap, at, len, prot, flags | MAP_FIXED, (u64)(s64)fd, offset) != (long)at)
        tender_fail("cannot map the kernel", 0);
}

/* Data is read, not mapped: that is a mapping and a page of a file less, and what lies behind it is
 * one with it.  Into pages that are there already. */
static void read_data(u64 at, const Elf64_Phdr *p)
{
    if (sys6(__NR_pread64, FD_KERNEL, at, p->p_filesz, p->p_offset, 0, 0) != (long)p->p_filesz)
        tender_fail("cannot read the kernel", 0);
}

/* Constants are writable until the kernel has put its addresses into them, if it has to. */
static void map_segment(const struct hosted_boot *boot, u64 private_end, const Elf64_Phdr *p)
{
    u64 at = boot->kernel_base + p->p_vaddr - first_byte;
    u64 end = ALIGN_UP(at + p->p_memsz, 4096ull);
    u32 prot = p->p_flags & PF_X                   ? PROT_READ | PROT_EXEC
               : boot->features & HOSTED_RELOCATED ? PROT_READ
                                                   : PROT_READ | PROT_WRITE;

    if (p->p_flags & PF_W)
        map_at(at, (end > private_end ? end : private_end) - at, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else
        map_at(at, end - at, prot, MAP_PRIVATE, FD_KERNEL, p->p_offset);
}

static bool is_ours(const Elf64_Ehdr *h, long len)
{
    return len == HEADER_SIZE && h->e_ident[EI_CLASS] == ELFCLASS64 && h->e_machine == EM_X86_64 &&
           h->e_ident[EI_MAG0] == ELFMAG0 && h->e_phentsize == sizeof(Elf64_Phdr) &&
           h->e_phoff + h->e_phnum * sizeof(Elf64_Phdr) <= HEADER_SIZE;
}

static alignas(8) u8 header[HEADER_SIZE];

static bool is_place(u64 at, u64 end)
{
    return at >= hosted_memory_at(0) - HOSTED_PLACE_ALIGN && end <= hosted_memory_at(~0ull) &&
           at % 4096 == 0;
}

u64 tender_open_kernel(u64 *place)
{
    const Elf64_Ehdr *h = (const void *)header;
    u64 start = ~0ull, end = 0;

    if (!is_ours(h, sys6(__NR_pread64, FD_KERNEL, ptr(header), HEADER_SIZE, 0, 0, 0)))
        tender_fail("the kernel is no ELF file of x86-64", 0);
    const Elf64_Phdr *p = (const void *)(header + h->e_phoff);
    for (u32 i = 0; i < h->e_phnum; i++) {
        if (p[i].p_type != PT_LOAD)
            continue;
        start = p[i].p_vaddr < start ? p[i].p_vaddr : start;
        end = p[i].p_vaddr + p[i].p_memsz > end ? p[i].p_vaddr + p[i].p_memsz : end;
    }
    *place = start == LINK_BASE ? 0 : start;
    if (*place && !is_place(start, end))
        tender_fail("the copy of the kernel is for no place that there is", 0);
    first_byte = start;
    return ALIGN_UP(end - start, HOSTED_KERNEL_ALIGN);
}

void tender_map_kernel(struct hosted_boot *boot, u64 private_end, struct tender_kernel *kernel)
{
    const Elf64_Ehdr *h = (const void *)header;
    const Elf64_Phdr *p = (const void *)(header + h->e_phoff);
    const Elf64_Phdr *data = NULL;
    const struct hosted_note *note = NULL;
    u64 base = boot->kernel_base;

    for (u32 i = 0; i < h->e_phnum; i++) {
        if (p[i].p_type == PT_LOAD)
            map_segment(boot, private_end, &p[i]);
        if (p[i].p_type == PT_LOAD && p[i].p_flags & PF_W)
            data = &p[i];
        if (p[i].p_type == PT_LOAD && p[i].p_flags == PF_R)
            boot->regions[boot->nr_regions++] =
                (struct hosted_region){.pa = boot->kernel_pa + p[i].p_vaddr - first_byte,
                                       .len = ALIGN_UP(p[i].p_filesz, 4096ull),
                                       .offset = p[i].p_offset,
                                       .fd = FD_KERNEL};
        if (p[i].p_type == PT_NOTE)
            note = find_note(base + p[i].p_vaddr - first_byte, p[i].p_filesz);
    }
    if (!note || !data)
        tender_fail("the kernel cannot run as a process: it is another version", 0);
    *kernel = (struct tender_kernel){
        .base = base,
        .entry = base + note->entry,
        .stub_start = base + note->stub_start,
        .stub_end = base + note->stub_end,
        .on_signal = base + note->on_signal,
        .restorer = base + note->restorer,
        .signal_stack = base + note->signal_stack,
        .signal_stack_size = note->signal_stack_size,
        .cpu_entry = base + note->cpu_entry,
    };
    tender_touch(base + note->hot_start, note->hot_end - note->hot_start);
    read_data(base + data->p_vaddr - first_byte, data);
}
