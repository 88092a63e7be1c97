/* Names for the addresses of a kernel panic, from the kernel file's own symbol table. */
#pragma once

#include "lib/types.h"

struct buf;

struct symbol {
    u64 address, size;
    const char *name; /* into the file's text */
};

struct symbols {
    struct symbol *at; /* functions, by address */
    size_t len;
    u64 base;   /* link address of the image's first byte */
    char *file; /* the ELF file's bytes */
};

/** Read the functions of the ELF64 file @path.  A file that has none, or is none, leaves it empty.
 */
void symbols_load(struct symbols *symbols, const char *path);

/** As symbols_load(), of the bytes of a file, which are taken. */
void symbols_take(struct symbols *symbols, struct buf *file);

/** The function that holds the link address @address, borrowed; NULL: none does. */
const char *symbols_name(const struct symbols *symbols, u64 address);

/** Free all. */
void symbols_fini(struct symbols *symbols);

/** Copy @line to @out of @size bytes, with " (name+0x12)" behind each "kernel+0x...". */
void symbols_annotate(const struct symbols *symbols, const char *line, char *out, size_t size);
