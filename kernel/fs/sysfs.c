/* /sys: CPUs and the one memory node as topology readers want them; and the cgroup that the program
 * finds itself in, without limits but those of the machine. */
#include "fs/sysfs.h"

#include "abi/errno.h"
#include "core/percpu.h"
#include "core/time.h"
#include "fs/proc.h"
#include "fs/proc_net.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "vfs/mount.h"

enum { CGROUP2_MAGIC = 0x63677270 };

static int keep(const struct pseudo_ref *ref __attribute__((unused)),
                const char *buf __attribute__((unused)), size_t n __attribute__((unused)))
{
    return 0;
}

static int show_cpus(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, cpu_count > 1 ? "0-%u\n" : "%u\n", cpu_count - 1);
    return 0;
}

/* All CPUs as a mask. */
static int show_cpu_mask(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    u64 mask = cpu_count < 64 ? BIT(cpu_count) - 1 : UINT64_MAX;

    if (mask >> 32)
        text_add(out, "%08x,%08x\n", (u32)(mask >> 32), (u32)mask);
    else
        text_add(out, "%x\n", (u32)mask);
    return 0;
}

static int show_own_number(struct text *out, const struct pseudo_ref *ref)
{
    text_add(out, "%d\n", ref->number);
    return 0;
}

static int show_own_mask(struct text *out, const struct pseudo_ref *ref)
{
    text_add(out, "%lx\n", BIT(ref->number));
    return 0;
}

static const struct pseudo_node topology_nodes[] = {
    PSEUDO_TEXT("physical_package_id", "0\n"),
    PSEUDO_TEXT("die_id", "0\n"),
    PSEUDO_FILE("core_id", show_own_number),
    PSEUDO_FILE("thread_siblings", show_own_mask),
    PSEUDO_FILE("thread_siblings_list", show_own_number),
    PSEUDO_FILE("core_cpus", show_own_mask),
    PSEUDO_FILE("core_cpus_list", show_own_number),
    PSEUDO_FILE("core_siblings", show_cpu_mask),
    PSEUDO_FILE("core_siblings_list", show_cpus),
    PSEUDO_FILE("package_cpus", show_cpu_mask),
    PSEUDO_FILE("package_cpus_list", show_cpus),
};

static const struct pseudo_node one_cpu_nodes[] = {
    PSEUDO_DIR("topology", topology_nodes),
    PSEUDO_TEXT("online", "1\n"),
};

static const struct pseudo_node one_cpu = PSEUDO_DIR("", one_cpu_nodes);

static int find_cpu(const struct pseudo_ref *dir __attribute__((unused)), const char *name,
                    size_t len, struct pseudo_ref *child)
{
    int cpu = len > 3 && !strncmp(name, "cpu", 3) ? proc_number(name + 3, len - 3) : -1;

    if (cpu < 0 || (u32)cpu >= cpu_count)
        return -ENOENT;
    child->node = &one_cpu;
    child->number = cpu;
    return 0;
}

static bool next_cpu(const struct pseudo_ref *dir __attribute__((unused)), int after,
                     struct pseudo_ref *child, char name[32])
{
    child->node = &one_cpu;
    child->number = after + 1;
    format(name, 32, "cpu%d", after + 1);
    return after + 1 < (int)cpu_count;
}

static const struct pseudo_node cpu_nodes[] = {
    PSEUDO_FILE("online", show_cpus),  PSEUDO_FILE("possible", show_cpus),
    PSEUDO_FILE("present", show_cpus), PSEUDO_TEXT("offline", "\n"),
    PSEUDO_TEXT("isolated", "\n"),     PSEUDO_TEXT("kernel_max", "63\n"),
};

static int show_node_meminfo(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct page_stats s;

    page_get_stats(&s);
    text_add(out,
             "Node 0 MemTotal:       %8lu kB\nNode 0 MemFree:        %8lu kB\n"
             "Node 0 MemUsed:        %8lu kB\n",
             (unsigned long)(s.total * 4), (unsigned long)(s.free * 4),
             (unsigned long)((s.total - s.free) * 4));
    return 0;
}

static const struct pseudo_node node0_nodes[] = {
    PSEUDO_FILE("cpulist", show_cpus),
    PSEUDO_FILE("cpumap", show_cpu_mask),
    PSEUDO_FILE("meminfo", show_node_meminfo),
    PSEUDO_TEXT("distance", "10\n"),
};

static const struct pseudo_node node_nodes[] = {
    PSEUDO_TEXT("online", "0\n"),
    PSEUDO_TEXT("possible", "0\n"),
    PSEUDO_TEXT("has_cpu", "0\n"),
    PSEUDO_TEXT("has_memory", "0\n"),
    PSEUDO_TEXT("has_normal_memory", "0\n"),
    PSEUDO_DIR("node0", node0_nodes),
};

static const struct pseudo_node clock_nodes[] = {
    PSEUDO_VALUE("current_clocksource", "tsc\n", keep),
    PSEUDO_TEXT("available_clocksource", "tsc\n"),
};

static const struct pseudo_node clocksource_nodes[] = {PSEUDO_DIR("clocksource0", clock_nodes)};

static const struct pseudo_node system_nodes[] = {
    PSEUDO_DIR("clocksource", clocksource_nodes),
    PSEUDO_OPEN_DIR("cpu", cpu_nodes, find_cpu, next_cpu),
    PSEUDO_DIR("node", node_nodes),
};

static const struct pseudo_node devices_nodes[] = {PSEUDO_DIR("system", system_nodes)};

static const struct pseudo_node huge_nodes[] = {
    PSEUDO_VALUE("enabled", "[always] madvise never\n", keep),
    PSEUDO_VALUE("defrag", "always defer defer+madvise [madvise] never\n", keep),
    PSEUDO_VALUE("shmem_enabled", "always within_size advise [never] deny force\n", keep),
    PSEUDO_TEXT("hpage_pmd_size", "2097152\n"),
    PSEUDO_VALUE("use_zero_page", "0\n", keep),
};

static const struct pseudo_node kernel_mm_nodes[] = {
    PSEUDO_DIR("transparent_hugepage", huge_nodes),
    PSEUDO_EMPTY_DIR("hugepages", 0555),
};

static const struct pseudo_node kernel_nodes[] = {
    PSEUDO_DIR("mm", kernel_mm_nodes),
    PSEUDO_EMPTY_DIR("debug", 0700),
    PSEUDO_EMPTY_DIR("security", 0755),
};

static int show_memory_current(struct text *out,
                               const struct pseudo_ref *ref __attribute__((unused)))
{
    struct page_stats s;

    page_get_stats(&s);
    text_add(out, "%lu\n",
             (unsigned long)((s.anon + s.page_cache + s.slab + s.kernel_stacks + s.page_tables) *
                             PAGE_SIZE));
    return 0;
}

static int show_memory_stat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct page_stats s;

    page_get_stats(&s);
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"anon", s.anon},
        {"file", s.page_cache},
        {"kernel", s.slab + s.kernel_stacks + s.page_tables},
        {"kernel_stack", s.kernel_stacks},
        {"pagetables", s.page_tables},
        {"inactive_anon", 0},
        {"active_anon", s.anon},
        {"inactive_file", 0},
        {"active_file", s.page_cache},
        {"slab_reclaimable", 0},
        {"slab_unreclaimable", s.slab},
        {"slab", s.slab},
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        text_add(out, "%s %lu\n", lines[i].name, (unsigned long)(lines[i].pages * PAGE_SIZE));
    return 0;
}

static int show_cpu_stat(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct sched_stats s;

    cpu_times_begin();
    sched_get_stats(&s);
    u64 all = time_ns() * cpu_count, used = all - min(s.idle_ns, all);
    u64 system = min(s.system_ns, used);
    text_add(out, "usage_usec %lu\nuser_usec %lu\nsystem_usec %lu\n", (unsigned long)(used / 1000),
             (unsigned long)((used - system) / 1000), (unsigned long)(system / 1000));
    text_add(out, "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n");
    return 0;
}

static int show_pids(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct sched_stats s;

    sched_get_stats(&s);
    text_add(out, "%u\n", s.threads);
    return 0;
}

/* A container's own cgroup, as its root shows itself inside: cgroup-v2. */
static const struct pseudo_node cgroup_nodes[] = {
    PSEUDO_TEXT("cgroup.controllers", "cpu memory pids\n"),
    PSEUDO_VALUE("cgroup.subtree_control", "", keep),
    PSEUDO_VALUE("cgroup.procs", "1\n", keep),
    PSEUDO_TEXT("cgroup.type", "domain\n"),
    PSEUDO_TEXT("cgroup.events", "populated 1\nfrozen 0\n"),
    PSEUDO_VALUE("memory.max", "max\n", keep),
    PSEUDO_VALUE("memory.high", "max\n", keep),
    PSEUDO_VALUE("memory.swap.max", "0\n", keep),
    PSEUDO_FILE("memory.current", show_memory_current),
    PSEUDO_TEXT("memory.swap.current", "0\n"),
    PSEUDO_FILE("memory.stat", show_memory_stat),
    PSEUDO_TEXT("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n"),
    PSEUDO_VALUE("cpu.max", "max 100000\n", keep),
    PSEUDO_VALUE("cpu.weight", "100\n", keep),
    PSEUDO_FILE("cpu.stat", show_cpu_stat),
    PSEUDO_FILE("cpuset.cpus.effective", show_cpus),
    PSEUDO_TEXT("cpuset.mems.effective", "0\n"),
    PSEUDO_VALUE("pids.max", "max\n", keep),
    PSEUDO_FILE("pids.current", show_pids),
};

static const struct pseudo_node fs_nodes[] = {PSEUDO_DIR("cgroup", cgroup_nodes)};

static const struct pseudo_node class_nodes[] = {
    PSEUDO_DYNAMIC_DIR("net", sys_find_netif, sys_next_netif),
    PSEUDO_EMPTY_DIR("block", 0755),
    PSEUDO_EMPTY_DIR("power_supply", 0755),
    PSEUDO_EMPTY_DIR("tty", 0755),
};

static const struct pseudo_node root_nodes[] = {
    PSEUDO_DIR("devices", devices_nodes), PSEUDO_DIR("kernel", kernel_nodes),
    PSEUDO_DIR("fs", fs_nodes),           PSEUDO_DIR("class", class_nodes),
    PSEUDO_EMPTY_DIR("block", 0755),      PSEUDO_EMPTY_DIR("bus", 0755),
    PSEUDO_EMPTY_DIR("module", 0755),
};

static const struct pseudo_node sys_root = PSEUDO_DIR("", root_nodes);
static const struct pseudo_node cgroup_root = PSEUDO_DIR("", cgroup_nodes);

static struct super_block *sysfs_mount(void)
{
    return pseudo_mount("sysfs", LINUX_SYSFS_MAGIC, &sys_root);
}

static struct super_block *cgroup_mount(void)
{
    return pseudo_mount("cgroup2", CGROUP2_MAGIC, &cgroup_root);
}

void sysfs_register(void)
{
    fs_register("sysfs", sysfs_mount);
    fs_register("cgroup2", cgroup_mount);
}
