/* Saving and loading the vector registers; the inside of arch_switch().  The mask matters in a host
 * process, whose host may have enabled more than our areas hold. */
#pragma once

#include "arch/features.h"

static inline void vector_save(void *area)
{
    if (arch_features.xsaveopt)
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(area), "a"((u32)arch_features.xcr0), "d"(0)
                         : "memory");
    else if (arch_features.xsave)
        __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((u32)arch_features.xcr0), "d"(0)
                         : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

static inline void vector_load(const void *area)
{
    if (arch_features.xsave)
        __asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"((u32)arch_features.xcr0), "d"(0)
                         : "memory");
    else
        __asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}
