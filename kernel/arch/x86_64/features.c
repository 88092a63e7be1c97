/* CPUID, and the control registers that follow from it (SDM 2A CPUID, 3A 2.5 and 13). */
#include "arch/features.h"

#include "abi/patch.h"
#include "arch/cpu.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "lib/crc32c.h"

struct arch_features arch_features;
extern u8 copy_by_bytes, copy_by_moves; /* copy.S */

enum {
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_FMASK = 0xc0000084,
};

enum {
    CR4_PAE = 1 << 5,
    CR4_PGE = 1 << 7,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_FSGSBASE = 1 << 16,
    CR4_OSXSAVE = 1 << 18,
};

static void read_hypervisor(struct arch_features *f)
{
    struct cpuid_regs r = cpuid(0x40000000, 0);
    f->hypervisor_max_leaf = r.eax;
    f->tcg = r.ebx == 0x54474354;                        /* "TCGT" */
    f->kvm = r.ebx == 0x4b4d564b && r.ecx == 0x564b4d56; /* "KVMKVMKVM" */
    if (r.eax >= 0x40000010 && r.eax < 0x40010000)
        f->tsc_khz = cpuid(0x40000010, 0).eax;
}

/* Leaf 0x15: the crystal times ebx/eax; a crystal of 0 is one the leaf does not know. */
static void read_tsc_rate(struct arch_features *f, u32 max_leaf)
{
    if (f->tsc_khz || max_leaf < 0x15)
        return;
    struct cpuid_regs r = cpuid(0x15, 0);
    if (r.eax && r.ebx && r.ecx)
        f->tsc_khz = (u32)((u64)r.ecx * r.ebx / r.eax / 1000);
    else if (r.eax && r.ebx && max_leaf >= 0x16)
        f->tsc_khz = (cpuid(0x16, 0).eax & 0xffff) * 1000;
}

/* Components that programs use: x87, SSE, AVX, AVX-512.  Not PKRU, and not AMX, which Linux too
 * gives only on request. */
static void read_vector(struct arch_features *f)
{
    f->vector_size = 512;
    if (!f->xsave)
        return;
    struct cpuid_regs r = cpuid(0xd, 0);
    f->xcr0 = r.eax & 0xe7 & (arch_in_process ? f->xcr0_host : ~0u);
    if ((f->xcr0 & 0xe0) != 0xe0 || !(f->xcr0 & 4))
        f->xcr0 &= ~0xe0ul;
    f->xsaveopt = cpuid(0xd, 1).eax & 1;
    f->vector_size = 576;
    for (u32 i = 2; i < 8; i++) {
        if (!(f->xcr0 & BIT(i)))
            continue;
        r = cpuid(0xd, i);
        f->vector_size = max(f->vector_size, r.ebx + r.eax);
    }
    f->vector_size = ALIGN_UP(f->vector_size, 64u);
}

void arch_features_init(void)
{
    struct arch_features *f = &arch_features;
    u32 max_leaf = cpuid(0, 0).eax;
    struct cpuid_regs r = cpuid(1, 0);

    f->hwcap = r.edx;
    crc32c_by_instruction = r.ecx & BIT(20);
    f->x2apic = r.ecx & BIT(21);
    f->tsc_deadline = r.ecx & BIT(24);
    f->xsave = r.ecx & BIT(26);
    f->rdrand = r.ecx & BIT(30);
    f->hypervisor = r.ecx & BIT(31);
    if (max_leaf >= 7) {
        r = cpuid(7, 0);
        f->fsgsbase = r.ebx & BIT(0);
        f->copy_bytes = r.ebx & BIT(9);
        f->rdseed = r.ebx & BIT(18);
        f->rdpid = r.ecx & BIT(22);
    }
    if (cpuid(0x80000000, 0).eax >= 0x80000001) {
        r = cpuid(0x80000001, 0);
        f->gib_pages = r.edx & BIT(26);
        f->rdtscp = r.edx & BIT(27);
    }
    if (f->hypervisor)
        read_hypervisor(f);
    if (f->tcg)
        f->copy_bytes = false; /* TCG moves one element an iteration */
    copy_by_bytes = f->copy_bytes;
    copy_by_moves = f->tcg;
    crc32c_by_table = f->tcg;
    read_tsc_rate(f, max_leaf);
    read_vector(f);
    f->quick_switch = f->fsgsbase && f->xsaveopt;
}

/* CPUID is dear where the host is a VM itself, so only what is needed is asked, and not twice. */
static struct cpuid_regs cpuid_known(const struct cpuid_table *known, u32 leaf, u32 sub)
{
    for (u32 i = 0; i < known->count; i++) {
        const struct cpuid_entry *e = &known->at[i];
        if (e->leaf == leaf && (e->subleaf == sub || e->subleaf == CPUID_ANY_SUBLEAF))
            return (struct cpuid_regs){e->eax, e->ebx, e->ecx, e->edx};
    }
    return cpuid(leaf, sub);
}

/* The area's size as the host has it: less what it may have enabled beyond what we keep.  Leaf 0xD
 * tells it for what is enabled where it is asked, which is the same on all CPUs of a host. */
static void read_vector_process(struct arch_features *f, const struct cpuid_table *known)
{
    enum { KEPT_LAST = 0xe7, PKRU = 0x200 };
    u32 low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    f->xcr0_host = low;
    if (low & ~(u32)(KEPT_LAST | PKRU)) {
        read_vector(f);
        return;
    }
    f->xcr0 = low & KEPT_LAST;
    f->xsaveopt = cpuid_known(known, 0xd, 1).eax & 1;
    f->vector_size = ALIGN_UP(cpuid_known(known, 0xd, 0).ebx, 64u);
}

void arch_features_init_process(bool fsgsbase, const struct cpuid_table *known)
{
    struct arch_features *f = &arch_features;
    struct cpuid_regs r = cpuid_known(known, 1, 0);

    f->fsgsbase = fsgsbase;
    f->hwcap = r.edx;
    crc32c_by_instruction = r.ecx & BIT(20);
    f->rdrand = r.ecx & BIT(30);
    f->xsave = r.ecx & BIT(27); /* OSXSAVE: the host uses it */
    f->vector_size = 512;
    if (!f->xsave)
        return;
    read_vector_process(f, known); /* leaf 7 is not asked: rep movsq is as quick where it matters */
    f->quick_switch = f->fsgsbase && f->xsaveopt;
}

void arch_cpu_setup(void)
{
    const struct arch_features *f = &arch_features;
    u64 cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;

    if (f->fsgsbase)
        cr4 |= CR4_FSGSBASE;
    if (f->xsave)
        cr4 |= CR4_OSXSAVE;
    __asm__ volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
    if (f->xsave)
        __asm__ volatile("xsetbv" ::"c"(0), "a"((u32)f->xcr0), "d"(0));
    __asm__ volatile("fninit");

    wrmsr(MSR_STAR, (u64)SEL_CODE << 32);
    wrmsr(MSR_LSTAR, (u64)(uintptr_t)syscall_entry);
    wrmsr(MSR_FMASK, RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC);
}
