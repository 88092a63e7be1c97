/* What the CPU says of itself.  The instruction elsewhere in the command answers for a plain x86-64
 * (image/patch/start.h). */
#pragma once

#include "lib/types.h"

struct cpuid_answer {
    u32 eax, ebx, ecx, edx;
};

/** Ask the CPU; the caller knows that it has @leaf.  It may take microseconds. */
void host_cpuid(u32 leaf, u32 subleaf, struct cpuid_answer *answer);

/** The same; false and zeros if the CPU has no such leaf. */
static inline bool host_cpuid_if_any(u32 leaf, u32 subleaf, struct cpuid_answer *answer)
{
    host_cpuid(leaf & 0xc0000000, 0, answer);
    bool known = answer->eax >= leaf;
    *answer = (struct cpuid_answer){0};
    if (known)
        host_cpuid(leaf, subleaf, answer);
    return known;
}
