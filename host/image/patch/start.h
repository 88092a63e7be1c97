/* The start of our own command.  A C library asks CPUID some fifty times before main(), 4 us each
 * where the host is a VM itself: a fifth of the whole command.  So these instructions of the linked
 * file become jumps to code that answers for a CPU which every x86-64 is at least: no later
 * extensions, ordinary caches.  What wants the truth asks host_cpuid() (lib/cpuid.h). */
#pragma once

#include "lib/err.h"
#include "lib/types.h"

/**
 * Change the @len bytes at @data, an executable that is linked with lib/cpuid.S.
 * 0; -ENOEXEC: it is none, and @err says why; -ENOENT: the disassembler's library is missing.
 */
int patch_start(u8 *data, size_t len, struct err *err);
