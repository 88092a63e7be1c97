/* What a program or a library is called where its patch is kept (abi/patch.h), and whether such a
 * file can be what it says.  The name is the GNU build id, or a hash of the ELF headers where there
 * is none: it takes the first page of the object only, and a few hundred instructions. */
#pragma once

#include "abi/patch.h"

struct patch_id {
    u32 len; /* bytes of .bytes: 8 for a hash, else those of the build id */
    u8 bytes[32];
};

enum { PATCH_NAME_SIZE = 2 * 32 + sizeof(PATCH_SUFFIX) };

/**
 * Find the id of the ELF file of @size bytes that begins with the @len bytes at @head (a page, or
 * the whole file).  False: no ELF file for x86-64, or its program headers lie elsewhere.
 */
bool patch_id_of(const u8 *head, size_t len, u64 size, struct patch_id *out);

/** The name of its patch: hex digits and PATCH_SUFFIX.  Returns its length. */
size_t patch_id_name(const struct patch_id *id, char name[PATCH_NAME_SIZE]);

/**
 * Look at the header of a patch of @size bytes that anybody may have made.
 * NULL: all that it speaks of lies in the file; else what is wrong with it.
 */
const char *patch_header_fault(const struct patch_header *h, u64 size);
