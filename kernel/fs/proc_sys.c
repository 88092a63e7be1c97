/* /proc/sys: the settings that programs read, and the few that they may write.  What has no meaning
 * here takes a write and keeps its value. */
#include "abi/errno.h"
#include "core/hostname.h"
#include "core/random.h"
#include "core/version.h"
#include "fs/proc.h"
#include "lib/string.h"

static int keep(const struct pseudo_ref *ref __attribute__((unused)),
                const char *buf __attribute__((unused)), size_t n __attribute__((unused)))
{
    return 0;
}

static int show_hostname(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    text_add(out, "%s\n", hostname);
    return 0;
}

static int store_hostname(const struct pseudo_ref *ref __attribute__((unused)), const char *buf,
                          size_t n)
{
    size_t len = 0;

    while (len < n && buf[len] && buf[len] != '\n')
        len++;
    if (len > HOSTNAME_MAX)
        return -EINVAL;
    memcpy(hostname, buf, len);
    hostname[len] = 0;
    return 0;
}

/* RFC 4122, version 4. */
static void add_uuid(struct text *out, u8 id[16])
{
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    for (int i = 0; i < 16; i++)
        text_add(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id[i]);
    text_add(out, "\n");
}

static int show_uuid(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    u8 id[16];

    random_bytes(id, sizeof(id));
    add_uuid(out, id);
    return 0;
}

static int show_boot_id(struct text *out, const struct pseudo_ref *ref __attribute__((unused)))
{
    static u8 id[16];
    static struct mutex lock = {.waiters = LIST_INIT(lock.waiters)};
    static bool made; /* under lock */

    mutex_lock(&lock);
    if (!made)
        random_bytes(id, sizeof(id));
    made = true;
    add_uuid(out, id);
    mutex_unlock(&lock);
    return 0;
}

static const struct pseudo_node random_nodes[] = {
    PSEUDO_FILE("boot_id", show_boot_id),
    PSEUDO_FILE("uuid", show_uuid),
    PSEUDO_TEXT("entropy_avail", "256\n"),
    PSEUDO_TEXT("poolsize", "256\n"),
};

static const struct pseudo_node kernel_nodes[] = {
    PSEUDO_TEXT("ostype", VERSION_SYSNAME "\n"),
    PSEUDO_TEXT("osrelease", VERSION_RELEASE "\n"),
    PSEUDO_TEXT("version", VERSION_BUILD "\n"),
    PSEUDO_STORE("hostname", show_hostname, store_hostname),
    PSEUDO_VALUE("domainname", "(none)\n", keep),
    PSEUDO_VALUE("pid_max", "4194304\n", keep),
    PSEUDO_VALUE("threads-max", "32768\n", keep),
    PSEUDO_TEXT("ngroups_max", "65536\n"),
    PSEUDO_TEXT("cap_last_cap", "40\n"),
    PSEUDO_VALUE("overflowuid", "65534\n", keep),
    PSEUDO_VALUE("overflowgid", "65534\n", keep),
    PSEUDO_VALUE("core_pattern", "core\n", keep),
    PSEUDO_VALUE("core_uses_pid", "0\n", keep),
    PSEUDO_VALUE("randomize_va_space", "2\n", keep),
    PSEUDO_VALUE("panic", "0\n", keep),
    PSEUDO_VALUE("printk", "4\t4\t1\t7\n", keep),
    PSEUDO_VALUE("dmesg_restrict", "0\n", keep),
    PSEUDO_VALUE("kptr_restrict", "2\n", keep),
    PSEUDO_VALUE("perf_event_paranoid", "4\n", keep),
    PSEUDO_VALUE("sched_autogroup_enabled", "0\n", keep),
    PSEUDO_TEXT("sched_rr_timeslice_ms", "100\n"),
    PSEUDO_VALUE("shmmax", "18446744073692774399\n", keep),
    PSEUDO_VALUE("shmall", "18446744073692774399\n", keep),
    PSEUDO_VALUE("shmmni", "4096\n", keep),
    PSEUDO_VALUE("msgmax", "8192\n", keep),
    PSEUDO_VALUE("msgmnb", "16384\n", keep),
    PSEUDO_VALUE("msgmni", "32000\n", keep),
    PSEUDO_VALUE("sem", "32000\t1024000000\t500\t32000\n", keep),
    PSEUDO_VALUE("numa_balancing", "0\n", keep),
    PSEUDO_VALUE("tainted", "0\n", keep),
    PSEUDO_DIR("random", random_nodes),
};

static const struct pseudo_node vm_nodes[] = {
    PSEUDO_VALUE("overcommit_memory", "1\n", keep), /* no mapping is refused for its size */
    PSEUDO_VALUE("overcommit_ratio", "50\n", keep),
    PSEUDO_VALUE("max_map_count", "65530\n", keep),
    PSEUDO_VALUE("mmap_min_addr", "65536\n", keep),
    PSEUDO_VALUE("swappiness", "0\n", keep),
    PSEUDO_VALUE("nr_hugepages", "0\n", keep),
    PSEUDO_VALUE("dirty_ratio", "20\n", keep),
    PSEUDO_VALUE("dirty_background_ratio", "10\n", keep),
    PSEUDO_VALUE("drop_caches", "0\n", keep),
    PSEUDO_VALUE("vfs_cache_pressure", "100\n", keep),
    PSEUDO_VALUE("panic_on_oom", "0\n", keep),
    PSEUDO_VALUE("overcommit_kbytes", "0\n", keep),
    PSEUDO_VALUE("zone_reclaim_mode", "0\n", keep),
};

static const struct pseudo_node inotify_nodes[] = {
    PSEUDO_VALUE("max_queued_events", "16384\n", keep),
    PSEUDO_VALUE("max_user_instances", "128\n", keep),
    PSEUDO_VALUE("max_user_watches", "65536\n", keep),
};

static const struct pseudo_node epoll_nodes[] = {
    PSEUDO_VALUE("max_user_watches", "1048576\n", keep),
};

static const struct pseudo_node fs_nodes[] = {
    PSEUDO_VALUE("file-max", "9223372036854775807\n", keep),
    PSEUDO_TEXT("file-nr", "64\t0\t9223372036854775807\n"),
    PSEUDO_VALUE("nr_open", "1048576\n", keep),
    PSEUDO_VALUE("pipe-max-size", "1048576\n", keep),
    PSEUDO_VALUE("pipe-user-pages-soft", "16384\n", keep),
    PSEUDO_VALUE("aio-max-nr", "65536\n", keep),
    PSEUDO_VALUE("protected_hardlinks", "0\n", keep),
    PSEUDO_VALUE("protected_symlinks", "0\n", keep),
    PSEUDO_DIR("inotify", inotify_nodes),
    PSEUDO_DIR("epoll", epoll_nodes),
};

static const struct pseudo_node net_core_nodes[] = {
    PSEUDO_VALUE("somaxconn", "4096\n", keep),
    PSEUDO_VALUE("rmem_max", "212992\n", keep),
    PSEUDO_VALUE("wmem_max", "212992\n", keep),
    PSEUDO_VALUE("rmem_default", "212992\n", keep),
    PSEUDO_VALUE("wmem_default", "212992\n", keep),
    PSEUDO_VALUE("netdev_max_backlog", "1000\n", keep),
};

static const struct pseudo_node net_ipv4_nodes[] = {
    PSEUDO_VALUE("ip_local_port_range", "32768\t60999\n", keep),
    PSEUDO_VALUE("ip_unprivileged_port_start", "0\n", keep),
    PSEUDO_TEXT("ip_forward", "0\n"),
    PSEUDO_TEXT("tcp_available_congestion_control", "cubic\n"),
    PSEUDO_VALUE("tcp_congestion_control", "cubic\n", keep),
    PSEUDO_VALUE("tcp_syncookies", "1\n", keep),
    PSEUDO_VALUE("tcp_fin_timeout", "60\n", keep),
    PSEUDO_VALUE("tcp_keepalive_time", "7200\n", keep),
    PSEUDO_VALUE("tcp_keepalive_intvl", "75\n", keep),
    PSEUDO_VALUE("tcp_keepalive_probes", "9\n", keep),
    PSEUDO_VALUE("tcp_max_syn_backlog", "512\n", keep),
    PSEUDO_VALUE("tcp_rmem", "4096\t131072\t6291456\n", keep),
    PSEUDO_VALUE("tcp_wmem", "4096\t16384\t4194304\n", keep),
};

static const struct pseudo_node net_ipv6_nodes[] = {
    PSEUDO_VALUE("bindv6only", "0\n", keep),
};

static const struct pseudo_node net_nodes[] = {
    PSEUDO_DIR("core", net_core_nodes),
    PSEUDO_DIR("ipv4", net_ipv4_nodes),
    PSEUDO_DIR("ipv6", net_ipv6_nodes),
};

const struct pseudo_node proc_sys_nodes[PROC_SYS_NODES] = {
    PSEUDO_DIR("kernel", kernel_nodes),
    PSEUDO_DIR("vm", vm_nodes),
    PSEUDO_DIR("fs", fs_nodes),
    PSEUDO_DIR("net", net_nodes),
};
