/* The one list of usable RAM, whatever the boot protocol said: sorted, merged, page-aligned.
 * Pure functions over struct boot_info, so that unit tests and the fuzzer can run them. */
#pragma once

#include "plat/plat.h"

/** Add RAM; what overlaps or touches is merged.  What does not fit in the list is left out. */
void memory_map_add(struct boot_info *bi, u64 base, u64 len);

/** Take a range out, rounded outwards to pages. */
void memory_map_remove(struct boot_info *bi, u64 base, u64 len);
