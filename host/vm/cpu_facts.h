/* What every run wants to know of this machine's CPU, found once a boot: the rate of its counter
 * and what CPUID says.  Each CPUID takes microseconds where the machine is a VM itself. */
#pragma once

#include "abi/hosted.h"

/** The facts; they stay valid and in place.  Never NULL. */
const struct hosted_facts *cpu_facts(void);

/** The file with them, for a guest to read; the descriptor stays ours.  -1: there is none. */
int cpu_facts_fd(void);
