/* The patch of one program or library: its `syscall` instructions found, and the file that lets the
 * kernel turn them into jumps (abi/patch.h).  Pure: bytes in, bytes out, the same for the same. */
#pragma once

#include "abi/patch.h"
#include "lib/buf.h"
#include "lib/err.h"

/**
 * Make the patch of the ELF file of @len bytes at @data, which people know as @name.
 * @out gets the patch; it stays empty where the file has neither a `syscall` nor a `cpuid`.
 * 0; -ENOEXEC: no x86-64 program, or one that is not patched, and @err says why; -ENOENT: the
 * disassembler's library is missing.
 */
int patch_make(const char *name, const u8 *data, size_t len, struct buf *out, struct err *err);

/**
 * Check a patch of @len bytes that comes from anywhere, and copy its header out.
 * False: damaged, or of another version.
 */
bool patch_check(const void *bytes, size_t len, struct patch_header *out);
