/* What a program or a library is called where its patch is kept (abi/patch.h): its GNU build id, or
 * a hash of its headers where it has none.  Reads the first page of the file only, and costs the
 * kernel a few hundred instructions at each load. */
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
