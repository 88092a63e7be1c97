/* What the device process gives up once everything it needs is open.  The guest speaks to it
 * through memory, so it is treated as if the guest could take it over: then it has the user's
 * network or a tap, and the files and folders it serves, and nothing else.
 *
 * Namespaces need no right where the host lets users make user namespaces; where it does not, the
 * filter alone holds: docs/guide/isolation.md says what that is. */
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESOLV_CONF "/etc/resolv.conf"

/* ---- namespaces ---- */

static bool write_text(const char *path, const char *text, size_t len, int flags)
{
    int fd = open(path, flags | O_WRONLY | O_CLOEXEC, 0644);
    bool done = fd >= 0 && write(fd, text, len) == (ssize_t)len;

    if (fd >= 0)
        close(fd);
    return done;
}

/* We stay who we are, and nobody else is there. */
static bool map_ids(uid_t uid, gid_t gid)
{
    char text[64];

    (void)write_text("/proc/self/setgroups", "deny", 4, 0); /* older hosts have none to deny */
    int len = snprintf(text, sizeof(text), "%u %u 1", uid, uid);
    if (!write_text("/proc/self/uid_map", text, (size_t)len, 0))
        return false;
    len = snprintf(text, sizeof(text), "%u %u 1", gid, gid);
    return write_text("/proc/self/gid_map", text, (size_t)len, 0);
}

/* An empty file system, but for the names of name servers, which libslirp reads. */
static bool enter_empty_root(bool resolver)
{
    char text[4096];
    int fd = resolver ? open(RESOLV_CONF, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : 0;

    if (fd >= 0)
        close(fd);
    if (mount("none", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64k") ||
        chdir("/tmp"))
        return false;
    if (len > 0 &&
        (mkdir("etc", 0755) || !write_text("etc/resolv.conf", text, (size_t)len, O_CREAT)))
        return false;
    return !chroot(".");
}

/* In the place of @fd a mount of its own that begins with the folder: no ".." leads out of it,
 * whoever says it, and it has no devices.  Without the right to it @fd stays what it is. */
static void detach_folder(int fd, bool readonly)
{
    const struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                                MOUNT_ATTR_NOEXEC |
                                                (readonly ? (u64)MOUNT_ATTR_RDONLY : 0)};
    char link[64], path[PATH_MAX];
    struct stat before, after;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len <= 0)
        return;
    path[len] = 0;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return;
    bool same = !fstat(fd, &before) && !fstat(tree, &after) && before.st_dev == after.st_dev &&
                before.st_ino == after.st_ino;
    if (same &&
        !syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)))
        (void)dup3(tree, fd, O_CLOEXEC);
    close(tree);
}

static void detach_folders(const struct confine_needs *needs)
{
    for (u32 i = 0; i < needs->nr_folders; i++)
        detach_folder(needs->folders[i].fd, needs->folders[i].readonly);
    if (needs->nr_folders)
        detach_folder(needs->proc_fd, false);
}

/* Root needs no user namespace, and files keep their owners without one. */
static bool enter_namespaces(bool folders)
{
    const int others = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    uid_t uid = geteuid();
    gid_t gid = getegid();

    if (folders && !uid && !unshare(others))
        return true;
    return !unshare(CLONE_NEWUSER | others) && map_ids(uid, gid);
}

void confine_namespaces(const struct confine_needs *needs)
{
    if (!enter_namespaces(needs->nr_folders))
        return;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return;
    detach_folders(needs);
    (void)enter_empty_root(needs->sockets); /* as far as the host lets us */
}

/* ---- rights ---- */

void confine_rights(bool files)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct left[_LINUX_CAPABILITY_U32S_3] = {0};
    const u32 over_files =
        1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE | 1u << CAP_FOWNER | 1u << CAP_FSETID;

    if (files && !geteuid())
        left[0].effective = left[0].permitted = over_files;
    (void)syscall(SYS_capset, &header, left); /* without rights there is nothing to drop */
}

static void drop_limits(void)
{
    const struct rlimit zero = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &zero); /* what is refused was not ours either */
    (void)setrlimit(RLIMIT_NPROC, &zero);
    (void)setrlimit(RLIMIT_MEMLOCK, &zero);
}

/* ---- the filter ---- */

enum { ALWAYS = -1, MAX_CODE = 512 };

/* A call that passes if @mask of its argument @arg is @value. */
struct rule {
    int nr, arg;
    u32 mask, value;
};

static const struct rule common[] = {
    {SYS_read, ALWAYS, 0, 0},         {SYS_write, ALWAYS, 0, 0},
    {SYS_readv, ALWAYS, 0, 0},        {SYS_writev, ALWAYS, 0, 0},
    {SYS_preadv, ALWAYS, 0, 0},       {SYS_pwritev, ALWAYS, 0, 0},
    {SYS_pwrite64, ALWAYS, 0, 0},     {SYS_fdatasync, ALWAYS, 0, 0},
    {SYS_fallocate, ALWAYS, 0, 0},    {SYS_poll, ALWAYS, 0, 0},
    {SYS_sched_yield, ALWAYS, 0, 0},  {SYS_clock_gettime, ALWAYS, 0, 0},
    {SYS_futex, ALWAYS, 0, 0},        {SYS_restart_syscall, ALWAYS, 0, 0},
    {SYS_rt_sigreturn, ALWAYS, 0, 0}, {SYS_exit, ALWAYS, 0, 0},
    {SYS_exit_group, ALWAYS, 0, 0},   {SYS_brk, ALWAYS, 0, 0},
    {SYS_munmap, ALWAYS, 0, 0},       {SYS_madvise, ALWAYS, 0, 0},
    {SYS_mremap, ALWAYS, 0, 0},       {SYS_mmap, 2, PROT_EXEC, 0},
    {SYS_mprotect, 2, PROT_EXEC, 0},  {SYS_pidfd_send_signal, 1, ~0u, SIGALRM},
};

static const struct rule for_tap[] = {
    {SYS_ioctl, 1, ~0u, TUNSETOFFLOAD},
};

/* Sockets of the Internet only; files to read, of which there is one where the root is empty. */
static const struct rule for_sockets[] = {
    {SYS_socket, 0, ~0u, AF_INET},
    {SYS_socket, 0, ~0u, AF_INET6},
    {SYS_bind, ALWAYS, 0, 0},
    {SYS_connect, ALWAYS, 0, 0},
    {SYS_listen, ALWAYS, 0, 0},
    {SYS_accept, ALWAYS, 0, 0},
    {SYS_accept4, ALWAYS, 0, 0},
    {SYS_sendto, ALWAYS, 0, 0},
    {SYS_recvfrom, ALWAYS, 0, 0},
    {SYS_sendmsg, ALWAYS, 0, 0},
    {SYS_recvmsg, ALWAYS, 0, 0},
    {SYS_shutdown, ALWAYS, 0, 0},
    {SYS_getsockname, ALWAYS, 0, 0},
    {SYS_getpeername, ALWAYS, 0, 0},
    {SYS_getsockopt, ALWAYS, 0, 0},
    {SYS_setsockopt, ALWAYS, 0, 0},
    {SYS_fcntl, ALWAYS, 0, 0},
    {SYS_close, ALWAYS, 0, 0},
    {SYS_ioctl, 1, ~0u, FIONREAD},
    {SYS_ioctl, 1, ~0u, FIONBIO},
    {SYS_openat, 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SYS_newfstatat, ALWAYS, 0, 0},
    {SYS_fstat, ALWAYS, 0, 0},
    {SYS_lseek, ALWAYS, 0, 0},
    {SYS_getrandom, ALWAYS, 0, 0},
    {SYS_getpid, ALWAYS, 0, 0},
};

/* All of them by a descriptor that was there before, or that one of these made. */
static const struct rule for_folders[] = {
    {SYS_openat, ALWAYS, 0, 0},     {SYS_close, ALWAYS, 0, 0},      {SYS_dup, ALWAYS, 0, 0},
    {SYS_fstat, ALWAYS, 0, 0},      {SYS_newfstatat, ALWAYS, 0, 0}, {SYS_fstatfs, ALWAYS, 0, 0},
    {SYS_getdents64, ALWAYS, 0, 0}, {SYS_lseek, ALWAYS, 0, 0},      {SYS_readlinkat, ALWAYS, 0, 0},
    {SYS_linkat, ALWAYS, 0, 0},     {SYS_symlinkat, ALWAYS, 0, 0},  {SYS_mkdirat, ALWAYS, 0, 0},
    {SYS_mknodat, ALWAYS, 0, 0},    {SYS_renameat, ALWAYS, 0, 0},   {SYS_unlinkat, ALWAYS, 0, 0},
    {SYS_fchmodat, ALWAYS, 0, 0},   {SYS_fchownat, ALWAYS, 0, 0},   {SYS_utimensat, ALWAYS, 0, 0},
    {SYS_ftruncate, ALWAYS, 0, 0},  {SYS_fsync, ALWAYS, 0, 0},
};

struct filter {
    struct sock_filter code[MAX_CODE];
    u16 len;
};

static void put(struct filter *f, u16 code, u32 k, u8 yes, u8 no)
{
    f->code[f->len++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct filter *f, size_t offset)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, (u32)offset, 0, 0);
}

/* The accumulator is the number of the call, before and after. */
static void put_rule(struct filter *f, const struct rule *rule)
{
    if (rule->arg == ALWAYS) {
        put(f, BPF_JMP | BPF_JEQ | BPF_K, (u32)rule->nr, 0, 1);
        put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
        return;
    }
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (u32)rule->nr, 0, 5);
    load(f, offsetof(struct seccomp_data, args) + (size_t)rule->arg * sizeof(u64));
    put(f, BPF_ALU | BPF_AND | BPF_K, rule->mask, 0, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, rule->value, 0, 1);
    put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    load(f, offsetof(struct seccomp_data, nr));
}

static void put_rules(struct filter *f, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put_rule(f, &rules[i]);
}

int confine_calls(const struct confine_needs *needs)
{
    static struct filter f;

    drop_limits();
    load(&f, offsetof(struct seccomp_data, arch));
    put(&f, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    put(&f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    load(&f, offsetof(struct seccomp_data, nr));
    put_rules(&f, common, ARRAY_LEN(common));
    if (needs->tap)
        put_rules(&f, for_tap, ARRAY_LEN(for_tap));
    if (needs->sockets)
        put_rules(&f, for_sockets, ARRAY_LEN(for_sockets));
    if (needs->nr_folders)
        put_rules(&f, for_folders, ARRAY_LEN(for_folders));
    put(&f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
    const struct sock_fprog program = {.len = f.len, .filter = f.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
        return -errno;
    return 0;
}
