/* The two halves of the start, called by the entry code. */
#pragma once

#include "lib/types.h"

struct hvm_start_info;

/** At the physical address, on identity tables; see boot.c. */
u64 pc_boot_early(const struct hvm_start_info *si);

/** At the final address. */
_Noreturn void pc_boot_high(void);
