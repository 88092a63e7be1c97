/* /proc: the root directory, and the files that fit in a line or two. */
#include "abi/errno.h"
#include "core/cmdline.h"
#include "core/panic.h"
#include "core/time.h"
#include "core/version.h"
#include "fs/proc.h"
#include "lib/format.h"
#include "lib/string.h"
#include "sched/thread.h"
#include "vfs/device.h"
#include "vfs/mount.h"

enum { LOAD_SHIFT = 11 };

/* For a kernel thread the first process is as good as itself: /proc/net leads there. */
static int self_pid(void)
{
    return current_process() ? current_process()->pid : 1;
}

static ssize_t read_self(const struct pseudo_ref *ref __attribute__((unused)), char *buf,
                         size_t size)
{
    char text[24];
    size_t n = min(str_from_u64(text, (u64)self_pid()), size);

    memcpy(buf, text, n);
    return (ssize_t)n;
}

static ssize_t read_thread_self(const struct pseudo_ref *ref __attribute__((unused)), char *buf,
                                size_t size)
{
    int thread = current_process() ? current->tid : 1;

    return min(format(buf, size, "%d/task/%d", self_pid(), thread), (int)size);
}

static int show_cmdline(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "%s\n", cmdline_text());
    return 0;
}

static void add_centiseconds(struct text *out, u64 ns)
{
    text_add(out, "%lu.%02lu", (unsigned long)(ns / NSEC_PER_SEC),
             (unsigned long)(ns % NSEC_PER_SEC / 10000000));
}

static int show_uptime(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct sched_stats s;

    sched_get_stats(&s);
    add_centiseconds(out, time_ns());
    text_add(out, " ");
    add_centiseconds(out, s.idle_ns);
    text_add(out, "\n");
    return 0;
}

static int show_loadavg(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct sched_stats s;
    u64 load[3];

    sched_get_stats(&s);
    sched_get_load(load);
    for (int i = 0; i < 3; i++)
        text_add(out, "%lu.%02lu ", (unsigned long)(load[i] >> LOAD_SHIFT),
                 (unsigned long)((load[i] & (BIT(LOAD_SHIFT) - 1)) * 100 >> LOAD_SHIFT));
    text_add(out, "%u/%u %d\n", s.running, s.threads, current->tid);
    return 0;
}

static int show_devices(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    struct char_device *dev = NULL;

    text_add(out, "Character devices:\n");
    while ((dev = char_device_next(dev)) != NULL)
        text_add(out, "%3u %s\n", dev_major(dev->rdev), dev->name);
    text_add(out, "\nBlock devices:\n");
    return 0;
}

/* "c": a crash for who wants to see one, as on Linux; nothing else is heard. */
static int store_sysrq(const struct pseudo_ref *ref __attribute__((unused)), const char *buf,
                       size_t n)
{
    if (n && *buf == 'c')
        panic("somebody wrote c to /proc/sysrq-trigger");
    return 0;
}

static const struct pseudo_node pressure_nodes[] = {
    PSEUDO_TEXT("cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
    PSEUDO_TEXT("io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                      "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
    PSEUDO_TEXT("memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
                          "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
};

static const struct pseudo_node tty_nodes[] = {
    PSEUDO_TEXT("drivers", "/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
                           "/dev/console         /dev/console    5       1 system:console\n"
                           "/dev/ptmx            /dev/ptmx       5       2 system\n"
                           "serial               /dev/ttyS       4      64 serial\n"
                           "pty_slave            /dev/pts      136 0-1048575 pty:slave\n"),
};

static const struct pseudo_node root_nodes[] = {
    PSEUDO_MAGIC("self", read_self, NULL),
    PSEUDO_MAGIC("thread-self", read_thread_self, NULL),
    PSEUDO_DIR("sys", proc_sys_nodes),
    PSEUDO_FILE("meminfo", proc_show_meminfo),
    PSEUDO_FILE("cpuinfo", proc_show_cpuinfo),
    PSEUDO_FILE("stat", proc_show_stat),
    PSEUDO_FILE("vmstat", proc_show_vmstat),
    PSEUDO_FILE("buddyinfo", proc_show_buddyinfo),
    PSEUDO_FILE("uptime", show_uptime),
    PSEUDO_FILE("schedstat", proc_show_schedstat),
    PSEUDO_PRIVATE("slabinfo", proc_show_slabinfo),
    PSEUDO_DIR("tty", tty_nodes),
#ifdef INGOT_DEBUG
    PSEUDO_FILE("lock_stat", proc_show_lock_stat),
#endif
    PSEUDO_FILE("loadavg", show_loadavg),
    PSEUDO_TEXT("version",
                VERSION_SYSNAME " version " VERSION_RELEASE " (ingot) " VERSION_BUILD "\n"),
    PSEUDO_FILE("cmdline", show_cmdline),
    PSEUDO_TEXT("filesystems", "nodev\tsysfs\nnodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tproc\n"
                               "nodev\tcgroup2\nnodev\tpipefs\nnodev\toverlay\nnodev\t9p\n\text4\n"
                               "\terofs\n"),
    PSEUDO_LINK("mounts", "self/mounts"),
    PSEUDO_LINK("net", "self/net"),
    PSEUDO_FILE("devices", show_devices),
    PSEUDO_FILE("locks", proc_show_locks),
    PSEUDO_TEXT("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    PSEUDO_TEXT("modules", ""),
    PSEUDO_TEXT("interrupts", "            CPU0       \n"),
    PSEUDO_TEXT("softirqs", "                    CPU0       \n"),
    PSEUDO_FILE("partitions", proc_show_partitions),
    PSEUDO_FILE("diskstats", proc_show_diskstats),
    PSEUDO_TEXT("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
                           "cpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n"),
    PSEUDO_VALUE("sysrq-trigger", "", store_sysrq),
    PSEUDO_DIR("pressure", pressure_nodes),
    PSEUDO_DIR("sysvipc", proc_sysvipc_nodes),
};

static const struct pseudo_node proc_root = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = root_nodes,
    .nr_children = ARRAY_LEN(root_nodes),
    .find = proc_find_pid,
    .next = proc_next_pid,
    .volatile_names = true,
};

static struct super_block *procfs_mount(void)
{
    return pseudo_mount("proc", LINUX_PROC_MAGIC, &proc_root);
}

void procfs_register(void)
{
    fs_register("proc", procfs_mount);
}
