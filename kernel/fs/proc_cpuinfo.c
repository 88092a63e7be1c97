/* /proc/cpuinfo, from CPUID (Intel SDM vol. 2A, AMD APM vol. 3).  The flags have Linux's names, one
 * table a register; "" is a bit without a name. */
#include "arch/cpu.h"
#include "core/percpu.h"
#include "fs/proc.h"
#include "lib/string.h"
#include "plat/plat.h"

enum register_name { EAX, EBX, ECX, EDX };

struct flag_word {
    u32 leaf, sub;
    enum register_name reg;
    const char *names; /* 32 words, "-" for none */
};

static const struct flag_word flag_words[] = {
    {1, 0, EDX,
     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts "
     "acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"},
    {0x80000001, 0, EDX,
     "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm "
     "3dnowext 3dnow"},
    {1, 0, ECX,
     "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid "
     "dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand "
     "hypervisor"},
    {0x80000001, 0, ECX,
     "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop "
     "skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc "
     "perfctr_llc mwaitx - -"},
    {7, 0, EBX,
     "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f "
     "avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd "
     "sha_ni avx512bw avx512vl"},
    {7, 0, ECX,
     "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni "
     "avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - "
     "movdiri movdir64b enqcmd - -"},
    {7, 0, EDX,
     "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - "
     "tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 - - flush_l1d "
     "arch_capabilities - -"},
    {0xd, 1, EAX,
     "xsaveopt xsavec xgetbv1 xsaves - - - - - - - - - - - - - - - - - - - - - - - - - - - -"},
};

static struct cpuid_regs cpuid_or_zero(u32 leaf, u32 sub)
{
    if (cpuid(leaf & 0x80000000, 0).eax < leaf)
        return (struct cpuid_regs){0};
    return cpuid(leaf, sub);
}

static u32 pick(const struct cpuid_regs *r, enum register_name reg)
{
    const u32 values[] = {[EAX] = r->eax, [EBX] = r->ebx, [ECX] = r->ecx, [EDX] = r->edx};

    return values[reg];
}

static void add_flags(struct text *out, const struct flag_word *word)
{
    struct cpuid_regs r = cpuid_or_zero(word->leaf, word->sub);
    u32 bits = pick(&r, word->reg);
    const char *name = word->names;

    for (u32 bit = 0; bit < 32 && *name; bit++) {
        const char *end = strchr(name, ' ');
        size_t len = end ? (size_t)(end - name) : strlen(name);
        if ((bits >> bit & 1) && name[0] != '-') {
            text_add(out, " ");
            text_add_bytes(out, name, len);
        }
        name += len + (end != NULL);
    }
}

struct cpu_model {
    char vendor[13], brand[49];
    u32 family, model, stepping, clflush, phys_bits, virt_bits;
};

static void get_model(struct cpu_model *m)
{
    struct cpuid_regs r = cpuid(0, 0);
    u32 vendor[3] = {r.ebx, r.edx, r.ecx};

    memset(m, 0, sizeof(*m));
    memcpy(m->vendor, vendor, sizeof(vendor));
    r = cpuid(1, 0);
    m->family = r.eax >> 8 & 0xf;
    m->model = r.eax >> 4 & 0xf;
    m->stepping = r.eax & 0xf;
    if (m->family == 6 || m->family == 15)
        m->model |= r.eax >> 12 & 0xf0;
    if (m->family == 15)
        m->family += r.eax >> 20 & 0xff;
    m->clflush = (r.ebx >> 8 & 0xff) * 8;
    for (u32 i = 0; i < 3; i++) {
        r = cpuid_or_zero(0x80000002 + i, 0);
        memcpy(m->brand + i * sizeof(r), &r, sizeof(r));
    }
    r = cpuid_or_zero(0x80000008, 0);
    m->phys_bits = r.eax & 0xff;
    m->virt_bits = r.eax >> 8 & 0xff;
}

static void add_cpu(struct text *out, u32 cpu, const struct cpu_model *m)
{
    u64 khz = boot_info.tsc_khz;
    unsigned mhz = (unsigned)(khz / 1000), rest = (unsigned)(khz % 1000);

    text_add(out, "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", cpu,
             m->vendor, m->family, m->model);
    text_add(out, "model name\t: %s\nstepping\t: %u\nmicrocode\t: 0x1\ncpu MHz\t\t: %u.%03u\n",
             m->brand[0] ? m->brand : "unknown", m->stepping, mhz, rest);
    text_add(out, "cache size\t: 16384 KB\nphysical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\n",
             cpu_count, cpu);
    text_add(out, "cpu cores\t: %u\napicid\t\t: %u\ninitial apicid\t: %u\nfpu\t\t: yes\n",
             cpu_count, cpus[cpu]->apic_id, cpus[cpu]->apic_id);
    text_add(out,
             "fpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:", cpuid(0, 0).eax);
    for (size_t i = 0; i < ARRAY_LEN(flag_words); i++)
        add_flags(out, &flag_words[i]);
    text_add(out, "\nbugs\t\t:\nbogomips\t: %u.%02u\nclflush size\t: %u\ncache_alignment\t: 64\n",
             mhz * 2, rest / 5 % 100, m->clflush);
    text_add(out, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
             m->phys_bits, m->virt_bits);
}

int proc_show_cpuinfo(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct cpu_model model;

    get_model(&model);
    for (u32 cpu = 0; cpu < cpu_count; cpu++)
        add_cpu(out, cpu, &model);
    return 0;
}
