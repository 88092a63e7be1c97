/* Saving and loading the vector registers: the inside of arch_switch(), and for kernel code that
 * uses some of them.  The mask matters in a host process, whose host may have enabled more than our
 * areas hold. */
#pragma once

#include "arch/features.h"

/** Save all vector and x87 registers to @area, as the CPU can (XSAVE or FXSAVE), and back. */
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

/* What functions with target("sse2") may change. */
struct sse_regs {
    u8 xmm[16][16];
};

/** Keep the program's registers while the kernel uses them itself; it must not sleep meanwhile. */
static inline void sse_save(struct sse_regs *regs)
{
    __asm__ volatile("movups %%xmm0, 0x00(%0); movups %%xmm1, 0x10(%0);"
                     "movups %%xmm2, 0x20(%0); movups %%xmm3, 0x30(%0);"
                     "movups %%xmm4, 0x40(%0); movups %%xmm5, 0x50(%0);"
                     "movups %%xmm6, 0x60(%0); movups %%xmm7, 0x70(%0);"
                     "movups %%xmm8, 0x80(%0); movups %%xmm9, 0x90(%0);"
                     "movups %%xmm10, 0xa0(%0); movups %%xmm11, 0xb0(%0);"
                     "movups %%xmm12, 0xc0(%0); movups %%xmm13, 0xd0(%0);"
                     "movups %%xmm14, 0xe0(%0); movups %%xmm15, 0xf0(%0)" ::"r"(regs->xmm)
                     : "memory");
}

/** The program's registers again. */
static inline void sse_load(const struct sse_regs *regs)
{
    __asm__ volatile("movups 0x00(%0), %%xmm0; movups 0x10(%0), %%xmm1;"
                     "movups 0x20(%0), %%xmm2; movups 0x30(%0), %%xmm3;"
                     "movups 0x40(%0), %%xmm4; movups 0x50(%0), %%xmm5;"
                     "movups 0x60(%0), %%xmm6; movups 0x70(%0), %%xmm7;"
                     "movups 0x80(%0), %%xmm8; movups 0x90(%0), %%xmm9;"
                     "movups 0xa0(%0), %%xmm10; movups 0xb0(%0), %%xmm11;"
                     "movups 0xc0(%0), %%xmm12; movups 0xd0(%0), %%xmm13;"
                     "movups 0xe0(%0), %%xmm14; movups 0xf0(%0), %%xmm15" ::"r"(regs->xmm)
                     : "memory");
}
