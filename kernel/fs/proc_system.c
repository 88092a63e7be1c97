/* /proc/meminfo, stat, vmstat: the machine's numbers. */
#include "core/percpu.h"
#include "core/time.h"
#include "fs/proc.h"
#include "mm/mm.h"
#include "sched/thread.h"

enum { TICKS_PER_SEC = 100 };

static void add_pages(struct text *out, const char *name, u64 pages)
{
    char label[24];
    size_t len = 0;

    while (name[len] && len < sizeof(label) - 2) {
        label[len] = name[len];
        len++;
    }
    label[len++] = ':';
    label[len] = 0;
    text_add(out, "%-16s%8lu kB\n", label, (unsigned long)(pages * 4));
}

int proc_show_meminfo(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct page_stats s;

    page_get_stats(&s);
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"MemTotal", s.total},
        {"MemFree", s.free},
        {"MemAvailable", s.free + s.page_cache},
        {"Buffers", 0},
        {"Cached", s.page_cache},
        {"SwapCached", 0},
        {"Active", s.anon + s.page_cache},
        {"Inactive", 0},
        {"Active(anon)", s.anon},
        {"Inactive(anon)", 0},
        {"Active(file)", s.page_cache},
        {"Inactive(file)", 0},
        {"Unevictable", 0},
        {"Mlocked", 0},
        {"SwapTotal", 0},
        {"SwapFree", 0},
        {"Dirty", 0},
        {"Writeback", 0},
        {"AnonPages", s.anon},
        {"Mapped", 0},
        {"Shmem", 0},
        {"KReclaimable", 0},
        {"Slab", s.slab},
        {"SReclaimable", 0},
        {"SUnreclaim", s.slab},
        {"KernelStack", s.kernel_stacks},
        {"PageTables", s.page_tables},
        {"CommitLimit", s.total / 2},
        {"Committed_AS", s.anon},
        {"AnonHugePages", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        add_pages(out, lines[i].name, lines[i].pages);
    text_add(out, "VmallocTotal:   34359738367 kB\nVmallocUsed:           0 kB\n"
                  "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
                  "HugePages_Surp:        0\nHugepagesize:       2048 kB\n");
    return 0;
}

static u64 to_ticks(u64 ns)
{
    return ns / (NSEC_PER_SEC / TICKS_PER_SEC);
}

static void add_cpu_times(struct text *out, const struct sched_stats *s, u64 all)
{
    u64 idle = min(to_ticks(s->idle_ns), all), system = min(to_ticks(s->system_ns), all - idle);

    text_add(out, " %lu 0 %lu %lu 0 0 0 0 0 0\n", (unsigned long)(all - idle - system),
             (unsigned long)system, (unsigned long)idle);
}

int proc_show_stat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct sched_stats s;
    u64 irqs = 0, all = to_ticks(time_ns());

    cpu_times_begin();
    sched_get_stats(&s);
    text_add(out, "cpu ");
    add_cpu_times(out, &s, all * cpu_count);
    for (u32 cpu = 0; cpu < cpu_count; cpu++) {
        text_add(out, "cpu%u", cpu);
        struct sched_stats one;
        sched_get_cpu_stats(cpu, &one);
        add_cpu_times(out, &one, all);
        irqs += cpus[cpu]->stat_irqs;
    }
    u64 boot = (time_real_ns() - time_ns()) / NSEC_PER_SEC;
    text_add(out, "intr %lu\nctxt %lu\nbtime %lu\nprocesses %u\n", (unsigned long)irqs,
             (unsigned long)s.switches, (unsigned long)boot, (u32)s.created);
    text_add(out, "procs_running %u\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n", s.running);
    return 0;
}

int proc_show_vmstat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct page_stats s;

    page_get_stats(&s);
    text_add(out,
             "nr_free_pages %lu\nnr_anon_pages %lu\nnr_file_pages %lu\nnr_slab_unreclaimable %lu\n",
             (unsigned long)s.free, (unsigned long)s.anon, (unsigned long)s.page_cache,
             (unsigned long)s.slab);
    text_add(out,
             "pgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault %lu\npgmajfault 0\noom_kill 0\n",
             (unsigned long)mm_faults());
    return 0;
}

/* What /proc/schedstat of a kernel without domains has: of each CPU how long threads ran, how long
 * they waited to (which nobody measures), and how many turns there were. */
int proc_show_schedstat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    u64 now = time_ns();

    text_add(out, "version 15\ntimestamp %lu\n", (unsigned long)(now / NSEC_PER_MSEC));
    for (u32 cpu = 0; cpu < cpu_count; cpu++) {
        struct sched_stats s;
        sched_get_cpu_stats(cpu, &s);
        text_add(out, "cpu%u 0 0 0 0 0 0 %lu 0 %lu\n", cpu,
                 (unsigned long)(now - min(s.idle_ns, now)), (unsigned long)s.switches);
    }
    return 0;
}

/* The heap as a whole, in pages. */
int proc_show_slabinfo(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct page_stats s;

    page_get_stats(&s);
    unsigned long n = s.slab;
    text_add(
        out,
        "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> "
        "<objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata "
        "<active_slabs> <num_slabs> <sharedavail>\n"
        "heap              %6lu %6lu   4096    1    1 : tunables    0    0    0 : slabdata "
        "%6lu %6lu      0\n",
        n, n, n, n);
    return 0;
}

int proc_show_buddyinfo(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "Node 0, zone   Normal");
    for (unsigned order = 0; order <= PAGE_MAX_ORDER; order++)
        text_add(out, " %6lu", (unsigned long)page_free_blocks(order));
    text_add(out, " \n");
    return 0;
}
