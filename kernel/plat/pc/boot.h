/* The two halves of the start, called by the entry code. */
#pragma once

#include "lib/types.h"

struct boot_info;

/** At the physical address, on identity tables; see boot.c.  @handed: a struct hvm_start_info, or
 * the zero page of Linux's protocol. */
u64 pc_boot_early(const void *handed);

/** Add RAM that a loader told of; what lies beyond the direct map is left out.  Early. */
void boot_add_ram(struct boot_info *bi, u64 base, u64 len);

/** At the final address. */
_Noreturn void pc_boot_high(void);
