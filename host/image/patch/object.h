/* An ELF file as the patcher looks at it: by virtual address.  The bytes are anybody's: every place
 * is proven inside the file before it is read. */
#pragma once

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/types.h"

#include <elf.h>

struct object {
    const u8 *data; /* borrowed */
    size_t len;
    Elf64_Ehdr header;
    Elf64_Phdr *loads; /* PT_LOAD with bytes in the file, in order of address; owned */
    size_t nr_loads;
    Elf64_Shdr *sections; /* owned; none in a fully stripped file */
    size_t nr_sections;
    u64 low, high;    /* page-aligned ends of all that is loaded */
    u64 eh_frame_hdr; /* address, 0: none */
    u64 dynamic, dynamic_len;
};

/** 0, or -ENOEXEC: no x86-64 program or library, or one that cannot be patched; @err says why. */
int object_open(const u8 *data, size_t len, struct object *o, struct err *err);

/** Free what it owns; fit for CLEANUP. */
void object_close(struct object *o);

/** The file's bytes at @addr and in *@left how many follow them there; NULL: none. */
const u8 *object_at(const struct object *o, u64 addr, u64 *left);

/** Copy @len bytes at @addr.  False if the file does not have them. */
bool object_read(const struct object *o, u64 addr, void *out, size_t len);

/** The executable segment of @addr, or NULL. */
const Elf64_Phdr *object_code(const struct object *o, u64 addr);

/** The section called @name, or NULL. */
const Elf64_Shdr *object_section(const struct object *o, const char *name);

/** The bytes of a section; NULL if it has none in the file. */
const u8 *object_section_bytes(const struct object *o, const Elf64_Shdr *section);

/* What must not move: the bytes of a relocation, and what one points to. */

/** Does the dynamic linker write into code?  Such a file is left as it is. */
bool object_has_code_relocations(const struct object *o);

/** Call @fn for each address that the dynamic linker puts into data. */
void object_each_pointer(const struct object *o, void (*fn)(void *arg, u64 target), void *arg);
