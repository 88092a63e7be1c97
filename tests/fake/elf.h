/* Small ELF files for tests: one loadable segment with the dynamic section and its strings. */
#pragma once

#include "lib/types.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    FAKE_ELF_SIZE = 4096,
};

struct fake_elf {
    const char *interp, *soname, *rpath, *runpath;
    const char *needed[4];
    u16 type;    /* 0: ET_DYN */
    u16 machine; /* 0: EM_X86_64 */
};

static inline u64 fake_elf_text(u8 *file, u64 *used, const char *text)
{
    u64 at = *used;

    memcpy(file + 2048 + at, text, strlen(text) + 1);
    *used += strlen(text) + 1;
    return at;
}

static inline void fake_elf_dyn(Elf64_Dyn **dyn, s64 tag, u64 value)
{
    (*dyn)->d_tag = tag;
    ((*dyn)++)->d_un.d_val = value;
}

/** Fill @file, FAKE_ELF_SIZE bytes: headers at 0, dynamic section at 1024, strings at 2048. */
static inline void fake_elf_make(const struct fake_elf *elf, u8 *file)
{
    Elf64_Ehdr ehdr = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                       .e_type = elf->type ? elf->type : ET_DYN,
                       .e_machine = elf->machine ? elf->machine : EM_X86_64,
                       .e_phoff = sizeof(ehdr),
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = elf->interp ? 3 : 2};
    Elf64_Phdr phdr[3] = {{.p_type = PT_LOAD, .p_filesz = FAKE_ELF_SIZE, .p_memsz = FAKE_ELF_SIZE},
                          {.p_type = PT_DYNAMIC, .p_offset = 1024, .p_vaddr = 1024}};
    Elf64_Dyn entries[16], *dyn = entries;
    u64 used = 1; /* the empty string comes first */

    memset(file, 0, FAKE_ELF_SIZE);
    for (size_t i = 0; i < ARRAY_LEN(elf->needed) && elf->needed[i]; i++)
        fake_elf_dyn(&dyn, DT_NEEDED, fake_elf_text(file, &used, elf->needed[i]));
    if (elf->soname)
        fake_elf_dyn(&dyn, DT_SONAME, fake_elf_text(file, &used, elf->soname));
    if (elf->rpath)
        fake_elf_dyn(&dyn, DT_RPATH, fake_elf_text(file, &used, elf->rpath));
    if (elf->runpath)
        fake_elf_dyn(&dyn, DT_RUNPATH, fake_elf_text(file, &used, elf->runpath));
    fake_elf_dyn(&dyn, DT_STRTAB, 2048);
    fake_elf_dyn(&dyn, DT_STRSZ, used);
    fake_elf_dyn(&dyn, DT_NULL, 0);
    phdr[1].p_filesz = (u64)((u8 *)dyn - (u8 *)entries);
    if (elf->interp) {
        phdr[2] = (Elf64_Phdr){
            .p_type = PT_INTERP, .p_offset = 3072, .p_filesz = strlen(elf->interp) + 1};
        memcpy(file + 3072, elf->interp, strlen(elf->interp) + 1);
    }
    memcpy(file, &ehdr, sizeof(ehdr));
    memcpy(file + sizeof(ehdr), phdr, sizeof(phdr));
    memcpy(file + 1024, entries, phdr[1].p_filesz);
}

/** Write such a file to @path, executable. */
static inline bool fake_elf_write(const struct fake_elf *elf, const char *path)
{
    u8 file[FAKE_ELF_SIZE];
    FILE *out = fopen(path, "w");

    fake_elf_make(elf, file);
    if (!out)
        return false;
    bool ok = fwrite(file, sizeof(file), 1, out) == 1;
    return fclose(out) == 0 && ok && chmod(path, 0755) == 0;
}
