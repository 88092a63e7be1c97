/* The clocks of a PC. */
#pragma once

#include "lib/types.h"

/** Ticks of the TSC in ns, and a monotonic time as a TSC value; after pc_clock_init(). */
u64 pc_tsc_to_ns(u64 ticks);
u64 pc_ns_to_tsc(u64 ns);
