#include "vm/cpu_facts.h"

#include "lib/cleanup.h"
#include "lib/cpuid.h"
#include "vm/boot_cache.h"
#include "vm/tsc.h"

#include <stdlib.h>
#include <unistd.h>

/* Leaves whose answer depends on ECX, and how many answers there are at most (SDM 2A; APM 3). */
static const struct {
    u32 leaf, count;
} by_subleaf[] = {
    {0x4, 4}, {0x7, 2}, {0xb, 2}, {0xd, 9}, {0x14, 2}, {0x1f, 2}, {0x8000001d, 5},
};

/* What C libraries, compilers' run-time libraries and cryptography ask; there is room for it all.
 */
static const struct {
    u32 first, last;
} asked[] = {
    {0, 0x1f},
    {0x80000000, 0x80000008},
    {0x80000019, 0x8000001e},
    {0x40000000, 0x40000001},
};

static const char fact_name[] = "cpu";

static void add_entry(struct cpuid_table *t, u32 leaf, u32 subleaf)
{
    struct cpuid_answer a;

    if (t->count == CPUID_ENTRIES_MAX)
        return;
    host_cpuid(leaf, subleaf == CPUID_ANY_SUBLEAF ? 0 : subleaf, &a);
    t->at[t->count++] = (struct cpuid_entry){leaf, subleaf, a.eax, a.ebx, a.ecx, a.edx};
}

static void add_leaf(struct cpuid_table *t, u32 leaf)
{
    for (size_t i = 0; i < ARRAY_LEN(by_subleaf); i++) {
        if (by_subleaf[i].leaf != leaf)
            continue;
        for (u32 sub = 0; sub < by_subleaf[i].count; sub++)
            add_entry(t, leaf, sub);
        return;
    }
    add_entry(t, leaf, CPUID_ANY_SUBLEAF);
}

static void add_leaves(struct cpuid_table *t, u32 first, u32 last)
{
    u32 base = first & 0xc0000000;
    struct cpuid_answer a;

    host_cpuid(base, 0, &a);
    if (a.eax < base || a.eax - base > 0x1000)
        return;
    for (u32 leaf = first; leaf <= min(last, a.eax); leaf++)
        add_leaf(t, leaf);
}

static void find_facts(struct hosted_facts *facts)
{
    *facts = (struct hosted_facts){
        .magic = HOSTED_MAGIC, .version = HOSTED_FACTS_VERSION, .tsc_khz = tsc_find()};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++)
        add_leaves(&facts->cpuids, asked[i].first, asked[i].last);
}

static bool still_says(const struct cpuid_table *t, u32 leaf)
{
    struct cpuid_answer a;

    for (u32 i = 0; i < t->count; i++) {
        const struct cpuid_entry *e = &t->at[i];
        if (e->leaf != leaf)
            continue;
        host_cpuid(leaf, 0, &a);
        return e->eax == a.eax && (e->ebx == a.ebx || leaf == 1) && e->ecx == a.ecx &&
               e->edx == a.edx;
    }
    return leaf != 1;
}

/* A machine that is a VM may wake up on another CPU, in the same boot.  (Leaf 1 has the number of
 * the CPU in EBX.) */
static bool read_facts(int fd, struct hosted_facts *facts)
{
    return read(fd, facts, sizeof(*facts)) == (ssize_t)sizeof(*facts) &&
           facts->magic == HOSTED_MAGIC && facts->version == HOSTED_FACTS_VERSION &&
           facts->cpuids.count <= CPUID_ENTRIES_MAX && still_says(&facts->cpuids, 1) &&
           still_says(&facts->cpuids, 7);
}

static int facts_fd = -1; /* the file, once cpu_facts() has been called */

const struct hosted_facts *cpu_facts(void)
{
    static struct hosted_facts facts;
    static bool known;

    if (known)
        return &facts;
    known = true;
    facts_fd = boot_cache_open(fact_name);
    if (facts_fd >= 0 && read_facts(facts_fd, &facts))
        return &facts;
    find_facts(&facts);
    boot_cache_put_bytes(fact_name, &facts, sizeof(facts));
    fd_close(&facts_fd);
    facts_fd = boot_cache_open(fact_name);
    return &facts;
}

int cpu_facts_fd(void)
{
    (void)cpu_facts(); /* so that there is a file, and one that is right */
    return facts_fd;
}
