/* Vector state of threads and signal frames.  Format of the latter: Linux's uapi asm/sigcontext.h.
 */
#include "abi/errno.h"
#include "arch/thread.h"
#include "arch/uaccess.h"
#include "arch/vector.h"
#include "lib/string.h"

enum {
    MAGIC1 = 0x46505853,
    MAGIC2 = 0x46505845,
    MXCSR_START = 0x1f80,
    FCW_START = 0x37f,
    FX_SIZE = 512,
    XSAVE_HEADER = 64,
};

/* The legacy part, with the software bytes that Linux keeps in its reserved tail. */
struct fx_image {
    u16 fcw, fsw;
    u8 ftw, reserved;
    u16 fop;
    u64 rip, rdp;
    u32 mxcsr, mxcsr_mask;
    u8 registers[432];
    struct {
        u32 magic1;
        u32 extended_size; /* all, with magic2 */
        u64 features;
        u32 xstate_size;
        u32 padding[7];
    } sw;
};
static_assert(sizeof(struct fx_image) == FX_SIZE, "SDM 1 10.5.1");
static_assert(offsetof(struct fx_image, sw) == 464, "uapi asm/sigcontext.h");

size_t arch_vector_size(void)
{
    return arch_features.vector_size;
}

void arch_vector_init(void *area)
{
    struct fx_image *fx = area;

    memset(area, 0, arch_features.vector_size);
    fx->fcw = FCW_START;
    fx->mxcsr = MXCSR_START;
    if (arch_features.xsave) /* XSTATE_BV: x87 and SSE as above, all else in its start state */
        *(u64 *)(void *)((char *)area + FX_SIZE) = 3;
}

/* xsaveopt may skip what it believes this area holds already, so a fresh copy takes plain xsave. */
void arch_vector_copy_current(void *area)
{
    if (!arch_features.xsave) {
        vector_save(area);
        return;
    }
    memset((char *)area + FX_SIZE, 0, XSAVE_HEADER);
    __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((u32)arch_features.xcr0), "d"(0) : "memory");
}

static void load_start_state(void)
{
    static const struct fx_image start = {.fcw = FCW_START, .mxcsr = MXCSR_START};
    alignas(64) u8 area[FX_SIZE + XSAVE_HEADER] = {0};

    memcpy(area, &start, FX_SIZE);
    if (arch_features.xsave)
        area[FX_SIZE] = 3; /* components absent from XSTATE_BV are initialised without being read */
    vector_load(area);
}

void arch_vector_reset_current(void)
{
    load_start_state();
}

size_t arch_fpstate_size(void)
{
    return arch_features.vector_size + (arch_features.xsave ? sizeof(u32) : 0);
}

/* Save or load at a program's address: a fault is reported, not taken. */
static int save_to_user(void *area)
{
    int err = 0;

    if (arch_features.xsave)
        __asm__ volatile("1: xsave64 (%1)\n2:\n"
                         ".pushsection .text.fixup, \"ax\"\n"
                         "3: movl %3, %0\n jmp 2b\n"
                         ".popsection\n"
                         ".pushsection __ex_table, \"a\"\n .long 1b - ., 3b - .\n .popsection"
                         : "+r"(err)
                         : "r"(area), "a"((u32)arch_features.xcr0), "i"(-EFAULT), "d"(0)
                         : "memory");
    else
        __asm__ volatile("1: fxsave64 (%1)\n2:\n"
                         ".pushsection .text.fixup, \"ax\"\n"
                         "3: movl %2, %0\n jmp 2b\n"
                         ".popsection\n"
                         ".pushsection __ex_table, \"a\"\n .long 1b - ., 3b - .\n .popsection"
                         : "+r"(err)
                         : "r"(area), "i"(-EFAULT)
                         : "memory");
    return err;
}

static int load_from_user(const void *area, u32 mask)
{
    int err = 0;

    if (arch_features.xsave)
        __asm__ volatile("1: xrstor64 (%1)\n2:\n"
                         ".pushsection .text.fixup, \"ax\"\n"
                         "3: movl %3, %0\n jmp 2b\n"
                         ".popsection\n"
                         ".pushsection __ex_table, \"a\"\n .long 1b - ., 3b - .\n .popsection"
                         : "+r"(err)
                         : "r"(area), "a"(mask), "i"(-EINVAL), "d"(0)
                         : "memory");
    else
        __asm__ volatile("1: fxrstor64 (%1)\n2:\n"
                         ".pushsection .text.fixup, \"ax\"\n"
                         "3: movl %2, %0\n jmp 2b\n"
                         ".popsection\n"
                         ".pushsection __ex_table, \"a\"\n .long 1b - ., 3b - .\n .popsection"
                         : "+r"(err)
                         : "r"(area), "i"(-EINVAL)
                         : "memory");
    return err;
}

int arch_fpstate_save(void *fpstate)
{
    char *area = fpstate;
    struct fx_image *fx = fpstate;
    u32 size = arch_features.vector_size, magic2 = MAGIC2;

    if (arch_features.xsave && arch_clear_user(area + FX_SIZE, XSAVE_HEADER))
        return -EFAULT;
    int err = save_to_user(area);
    if (err)
        return err;

    struct fx_image own = {0};
    if (arch_features.xsave) {
        own.sw.magic1 = MAGIC1;
        own.sw.extended_size = size + sizeof(magic2);
        own.sw.features = arch_features.xcr0;
        own.sw.xstate_size = size;
        if (arch_copy_user(area + size, &magic2, sizeof(magic2)))
            return -EFAULT;
    }
    return arch_copy_user(&fx->sw, &own.sw, sizeof(own.sw)) ? -EFAULT : 0;
}

/* A frame without the magic (a program built it by hand) has the legacy part only. */
int arch_fpstate_restore(const void *fpstate)
{
    struct {
        struct fx_image fx;
        u64 header[XSAVE_HEADER / 8];
    } own __attribute__((aligned(64)));
    u32 magic2 = 0, mask = 3;

    if (!fpstate) {
        load_start_state();
        return 0;
    }
    if ((uintptr_t)fpstate & (arch_features.xsave ? 63 : 15))
        return -EINVAL;
    if (arch_copy_user(&own.fx, fpstate, sizeof(own.fx)))
        return -EFAULT;
    if (own.fx.sw.magic1 == MAGIC1 && own.fx.sw.xstate_size == arch_features.vector_size) {
        if (arch_copy_user(&magic2, (const char *)fpstate + own.fx.sw.xstate_size, sizeof(magic2)))
            return -EFAULT;
        if (magic2 == MAGIC2)
            mask = (u32)(own.fx.sw.features & arch_features.xcr0);
    }
    if (mask != 3 && arch_features.xsave)
        return load_from_user(fpstate, mask);
    memset(&own.fx.sw, 0, sizeof(own.fx.sw));
    memset(own.header, 0, sizeof(own.header));
    own.header[0] = 3; /* x87 and SSE */
    return load_from_user(&own, mask);
}
