/* How fast this machine's time stamp counter runs.  Guests cannot tell cheaply: under emulation
 * they see the host's counter without the leaves that describe it. */
#pragma once

#include "lib/types.h"

/**
 * The rate in kHz, or 0 if there is no counter of constant rate.
 * From CPUID where it says so, else measured in 2 ms against the raw monotonic clock.  cpu_facts()
 * remembers it.
 */
u64 tsc_find(void);
