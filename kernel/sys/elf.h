/* Programs as ELF files.  Parsing is a pure function over buffers, so that it can be fuzzed;
 * mapping is another step.  Source: System V gABI chapters 4 and 5. */
#pragma once

#include "abi/elf.h"

enum { ELF_MAX_SEGMENTS = 24, ELF_MAX_PHDRS = 128, ELF_INTERP_MAX = 4096 };

struct elf_segment {
    u64 vaddr, offset; /* congruent modulo 4096 */
    u64 filesz, memsz; /* filesz <= memsz, memsz > 0 */
    u32 prot;          /* PROT_* */
};

/* What the headers say, checked: segments rise, do not overlap and end below the address limit;
 * their file parts lie in the file. */
struct elf_image {
    bool fixed;      /* ET_EXEC: addresses are as given; else they are relative */
    bool exec_stack; /* PT_GNU_STACK asks for it */
    u64 entry;
    u64 phdr_vaddr; /* where the program headers are in memory; 0: nowhere */
    u64 align;      /* the greatest p_align of a segment, a power of two, at least 4096 */
    u64 low, high;  /* page-aligned ends of all segments */
    u64 interp_offset, interp_len; /* path of the interpreter with its NUL; len 0: none */
    u16 nr_phdrs;
    u16 nr_segments;
    struct elf_segment segments[ELF_MAX_SEGMENTS];
};

/**
 * Check a file header of @len bytes read from the start of a file.
 * 0, -ENOEXEC: not for us, and *@why says what it is instead: "a truncated ELF file".
 */
int elf_parse_header(const struct elf64_ehdr *header, size_t len, u64 file_size, const char **why);

/**
 * Make *@out of the program headers (header->e_phnum of them; @header has passed the check above).
 * 0, or -ENOEXEC with *@why.
 */
int elf_parse_segments(const struct elf64_ehdr *header, const struct elf64_phdr *phdrs,
                       u64 file_size, struct elf_image *out, const char **why);
