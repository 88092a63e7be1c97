/* /proc/sys: the settings that programs read, and the few that they may write.  What has no meaning
 * here takes a write and keeps its value. */
#include "abi/errno.h"
#include "core/hostname.h"
#include "core/random.h"
#include "core/version.h"
#include "fs/proc.h"
#include "lib/string.h"

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

static const char kernel_settings[] = "domainname (none)\n"
                                      "pid_max 4194304\n"
                                      "threads-max 32768\n"
                                      "overflowuid 65534\n"
                                      "overflowgid 65534\n"
                                      "core_pattern core\n"
                                      "core_uses_pid 0\n"
                                      "randomize_va_space 2\n"
                                      "panic 0\n"
                                      "printk 4\t4\t1\t7\n"
                                      "dmesg_restrict 0\n"
                                      "kptr_restrict 2\n"
                                      "perf_event_paranoid 4\n"
                                      "sched_autogroup_enabled 0\n"
                                      "shmmax 18446744073692774399\n"
                                      "shmall 18446744073692774399\n"
                                      "shmmni 4096\n"
                                      "msgmax 8192\n"
                                      "msgmnb 16384\n"
                                      "msgmni 32000\n"
                                      "sem 32000\t1024000000\t500\t32000\n"
                                      "numa_balancing 0\n"
                                      "tainted 0\n"
                                      "panic_on_oops 0\n"
                                      "sysrq 0\n"
                                      "modules_disabled 1\n"
                                      "watchdog 1\n"
                                      "unprivileged_bpf_disabled 2\n"
                                      "sched_child_runs_first 0\n"
                                      "sched_rt_period_us 1000000\n"
                                      "sched_rt_runtime_us 950000\n"
                                      "core_pipe_limit 0\n"
                                      "shm_rmid_forced 0\n";

static const struct pseudo_node kernel_nodes[] = {
    PSEUDO_TEXT("ostype", VERSION_SYSNAME "\n"),
    PSEUDO_TEXT("osrelease", VERSION_RELEASE "\n"),
    PSEUDO_TEXT("version", VERSION_BUILD "\n"),
    PSEUDO_STORE("hostname", show_hostname, store_hostname),
    PSEUDO_TEXT("ngroups_max", "65536\n"),
    PSEUDO_TEXT("cap_last_cap", "40\n"),
    PSEUDO_TEXT("sched_rr_timeslice_ms", "100\n"),
    PSEUDO_DIR("random", random_nodes),
};

/* No mapping is refused for its size: overcommit_memory. */
static const char vm_settings[] = "overcommit_memory 1\n"
                                  "overcommit_ratio 50\n"
                                  "max_map_count 65530\n"
                                  "mmap_min_addr 65536\n"
                                  "swappiness 0\n"
                                  "nr_hugepages 0\n"
                                  "dirty_ratio 20\n"
                                  "dirty_background_ratio 10\n"
                                  "drop_caches 0\n"
                                  "vfs_cache_pressure 100\n"
                                  "panic_on_oom 0\n"
                                  "overcommit_kbytes 0\n"
                                  "zone_reclaim_mode 0\n"
                                  "dirty_bytes 0\n"
                                  "dirty_background_bytes 0\n"
                                  "dirty_expire_centisecs 3000\n"
                                  "dirty_writeback_centisecs 500\n"
                                  "page-cluster 3\n"
                                  "user_reserve_kbytes 0\n"
                                  "admin_reserve_kbytes 0\n"
                                  "nr_overcommit_hugepages 0\n"
                                  "hugetlb_shm_group 0\n"
                                  "oom_kill_allocating_task 0\n"
                                  "legacy_va_layout 0\n"
                                  "stat_interval 1\n";

static const char inotify_settings[] = "max_queued_events 16384\n"
                                       "max_user_instances 128\n"
                                       "max_user_watches 65536\n";

static const char epoll_settings[] = "max_user_watches 1048576\n";

static const char fs_settings[] = "file-max 9223372036854775807\n"
                                  "nr_open 1048576\n"
                                  "pipe-max-size 1048576\n"
                                  "pipe-user-pages-soft 16384\n"
                                  "aio-max-nr 65536\n"
                                  "protected_hardlinks 0\n"
                                  "protected_symlinks 0\n"
                                  "suid_dumpable 0\n"
                                  "leases-enable 1\n"
                                  "lease-break-time 45\n"
                                  "mount-max 100000\n"
                                  "protected_fifos 0\n"
                                  "protected_regular 0\n"
                                  "pipe-user-pages-hard 0\n"
                                  "aio-nr 0\n"
                                  "overflowuid 65534\n"
                                  "overflowgid 65534\n";

static const struct pseudo_node fs_nodes[] = {
    PSEUDO_TEXT("file-nr", "64\t0\t9223372036854775807\n"),
    PSEUDO_SETTINGS("inotify", inotify_settings),
    PSEUDO_SETTINGS("epoll", epoll_settings),
};

static const char net_core_settings[] = "somaxconn 4096\n"
                                        "rmem_max 212992\n"
                                        "wmem_max 212992\n"
                                        "rmem_default 212992\n"
                                        "wmem_default 212992\n"
                                        "netdev_max_backlog 1000\n"
                                        "optmem_max 20480\n"
                                        "netdev_budget 300\n"
                                        "busy_poll 0\n"
                                        "busy_read 0\n"
                                        "default_qdisc noqueue\n";

static const char net_ipv4_settings[] = "ip_local_port_range 32768\t60999\n"
                                        "ip_unprivileged_port_start 0\n"
                                        "tcp_congestion_control cubic\n"
                                        "tcp_syncookies 1\n"
                                        "tcp_fin_timeout 60\n"
                                        "tcp_keepalive_time 7200\n"
                                        "tcp_keepalive_intvl 75\n"
                                        "tcp_keepalive_probes 9\n"
                                        "tcp_max_syn_backlog 512\n"
                                        "tcp_rmem 4096\t131072\t6291456\n"
                                        "tcp_wmem 4096\t16384\t4194304\n"
                                        "ip_default_ttl 64\n"
                                        "ip_local_reserved_ports \n"
                                        "ip_nonlocal_bind 0\n"
                                        "icmp_echo_ignore_all 0\n"
                                        "ping_group_range 0\t2147483647\n"
                                        "tcp_allowed_congestion_control cubic\n"
                                        "tcp_ecn 2\n"
                                        "tcp_fastopen 0\n"
                                        "tcp_moderate_rcvbuf 1\n"
                                        "tcp_mtu_probing 1\n"
                                        "tcp_no_metrics_save 1\n"
                                        "tcp_notsent_lowat 4294967295\n"
                                        "tcp_orphan_retries 0\n"
                                        "tcp_retries1 3\n"
                                        "tcp_retries2 15\n"
                                        "tcp_sack 1\n"
                                        "tcp_slow_start_after_idle 1\n"
                                        "tcp_syn_retries 6\n"
                                        "tcp_synack_retries 5\n"
                                        "tcp_timestamps 1\n"
                                        "tcp_tw_reuse 2\n"
                                        "tcp_window_scaling 1\n";

static const struct pseudo_node net_ipv4_nodes[] = {
    PSEUDO_TEXT("ip_forward", "0\n"),
    PSEUDO_TEXT("tcp_available_congestion_control", "cubic\n"),
};

static const char net_ipv6_settings[] = "bindv6only 0\n";

static const struct pseudo_node net_nodes[] = {
    PSEUDO_SETTINGS("core", net_core_settings),
    PSEUDO_SETTINGS_DIR("ipv4", net_ipv4_settings, net_ipv4_nodes),
    PSEUDO_SETTINGS("ipv6", net_ipv6_settings),
};

const struct pseudo_node proc_sys_nodes[PROC_SYS_NODES] = {
    PSEUDO_SETTINGS_DIR("kernel", kernel_settings, kernel_nodes),
    PSEUDO_SETTINGS("vm", vm_settings),
    PSEUDO_SETTINGS_DIR("fs", fs_settings, fs_nodes),
    PSEUDO_DIR("net", net_nodes),
};
