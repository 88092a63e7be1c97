/* What the dynamic linker would read in an ELF file: x86-64, 64 bits, little-endian.
 * A pure function over bytes that nobody has checked: every offset is proven inside the file
 * before it is used, every string inside the string table.  Source: System V gABI ch. 4 and 5. */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

enum elf_kind {
    ELF_EXEC,   /* a program at a fixed address (ET_EXEC) */
    ELF_SHARED, /* a shared library or a position-independent program (ET_DYN) */
};

/** Facts of one file.  Strings are borrowed from the bytes that were parsed. */
struct elf_file {
    enum elf_kind kind;
    const char *interp;  /* PT_INTERP; NULL in libraries and static programs */
    const char *soname;  /* DT_SONAME or NULL */
    const char *rpath;   /* DT_RPATH or NULL */
    const char *runpath; /* DT_RUNPATH or NULL */
    const char **needed; /* DT_NEEDED in order; the array is owned */
    size_t nr_needed;
    bool dynamic;      /* has PT_DYNAMIC */
    bool pie;          /* DT_FLAGS_1 says it is a program */
    const char *names; /* the dynamic string table: names imported and exported */
    size_t names_len;
};

/**
 * Parse @len bytes at @data.  Returns 0; -ENOEXEC when this is no ELF file, or one of another
 * machine, class or type; -EINVAL when it is damaged.  @err says which, without the file's name.
 * On success @out is freed with elf_file_free(); it is untouched on failure.
 */
int elf_parse(const u8 *data, size_t len, struct elf_file *out, struct err *err);

/** Free what @file owns, and empty it; fit for CLEANUP. */
void elf_file_free(struct elf_file *file);

/** Does the dynamic string table name @symbol, as import or export? */
bool elf_names(const struct elf_file *file, const char *symbol);

/** A file in memory, mapped; fit for CLEANUP through elf_unmap. */
struct elf_map {
    const u8 *data;
    size_t len;
};

/** Map a whole regular file, read-only. An empty file gives a NULL map of length 0. */
int elf_map(const char *path, struct elf_map *map, struct err *err);

/** Undo elf_map(); fit for CLEANUP. */
void elf_unmap(struct elf_map *map);
