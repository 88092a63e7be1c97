/* /proc/PID and /proc/PID/task/TID.  An inode keeps the numbers, never the process: each use looks
 * it up, so what has ended answers ESRCH or ENOENT. */
#include "abi/errno.h"
#include "fs/proc.h"
#include "fs/proc_net.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/uaccess.h"
#include "sched/family.h"
#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/path.h"

int proc_number(const char *text, size_t len)
{
    int n = 0;

    if (!len || len > 9 || (text[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

/* Call @fn with the process of @ref. Its result, or -ESRCH. */
static int with_process(struct text *out, const struct pseudo_ref *ref,
                        void (*fn)(struct text *, struct process *))
{
    struct process *process = process_find(ref->pid);

    if (!process)
        return -ESRCH;
    fn(out, process);
    process_put(process);
    return 0;
}

static void add_cmdline(struct text *out, struct process *process)
{
    struct program *program = process_program(process);

    if (program && program->cmdline && !process->zombie)
        text_add_bytes(out, program->cmdline, program->cmdline_len);
    if (program)
        program_put(program);
}

static int show_cmdline(struct text *out, const struct pseudo_ref *ref)
{
    return with_process(out, ref, add_cmdline);
}

/* The environment lies in the program's memory, where it may have changed it. */
static void add_environ(struct text *out, struct process *process)
{
    struct program *program = process_program(process);
    struct mm *mm = process_mm(process);
    char buf[256];

    for (u64 at = program ? program->env_start : 0; mm && program && at < program->env_end;) {
        size_t n = mm_read(mm, at, buf, min(program->env_end - at, (u64)sizeof(buf)));
        if (!n)
            break;
        text_add_bytes(out, buf, n);
        at += n;
    }
    if (mm)
        mm_put(mm);
    if (program)
        program_put(program);
}

static int show_environ(struct text *out, const struct pseudo_ref *ref)
{
    return with_process(out, ref, add_environ);
}

static void add_auxv(struct text *out, struct process *process)
{
    struct program *program = process_program(process);

    if (!program)
        return;
    text_add_bytes(out, program->auxv, min((size_t)program->auxv_len, sizeof(program->auxv)));
    program_put(program);
}

static int show_auxv(struct text *out, const struct pseudo_ref *ref)
{
    return with_process(out, ref, add_auxv);
}

static int show_comm(struct text *out, const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);
    struct thread *thread = process ? proc_thread_of(process, ref->tid) : NULL;
    bool found = thread || (process && ref->tid == ref->pid);

    if (found)
        text_add(out, "%.15s\n", thread ? thread->name : process->comm);
    if (thread)
        thread_put(thread);
    if (process)
        process_put(process);
    return found ? 0 : -ESRCH;
}

static int store_comm(const struct pseudo_ref *ref, const char *buf, size_t n)
{
    struct thread *thread = thread_find(ref->tid);

    if (!thread)
        return -ESRCH;
    n = n && buf[n - 1] == '\n' ? n - 1 : n;
    str_copy(thread->name, buf, min(n + 1, sizeof(thread->name)));
    thread_put(thread);
    return 0;
}

static void add_limits(struct text *out, struct process *process)
{
    static const struct {
        const char *name, *unit;
    } limits[RLIM_NLIMITS] = {
        [RLIMIT_CPU] = {"Max cpu time", "seconds"},
        [RLIMIT_FSIZE] = {"Max file size", "bytes"},
        [RLIMIT_DATA] = {"Max data size", "bytes"},
        [RLIMIT_STACK] = {"Max stack size", "bytes"},
        [RLIMIT_CORE] = {"Max core file size", "bytes"},
        [RLIMIT_RSS] = {"Max resident set", "bytes"},
        [RLIMIT_NPROC] = {"Max processes", "processes"},
        [RLIMIT_NOFILE] = {"Max open files", "files"},
        [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
        [RLIMIT_AS] = {"Max address space", "bytes"},
        [RLIMIT_LOCKS] = {"Max file locks", "locks"},
        [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
        [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
        [RLIMIT_NICE] = {"Max nice priority", ""},
        [RLIMIT_RTPRIO] = {"Max realtime priority", ""},
        [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
    };

    text_add(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        const u64 values[2] = {process->rlimits[i].cur, process->rlimits[i].max};
        text_add(out, "%-25s", limits[i].name);
        for (int v = 0; v < 2; v++) {
            if (values[v] == RLIM64_INFINITY)
                text_add(out, " %-20s", "unlimited");
            else
                text_add(out, " %-20lu", (unsigned long)values[v]);
        }
        text_add(out, " %-10s\n", limits[i].unit);
    }
}

static int show_limits(struct text *out, const struct pseudo_ref *ref)
{
    return with_process(out, ref, add_limits);
}

static void add_io(struct text *out, const struct io_counts *io)
{
    text_add(out,
             "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: %lu\n"
             "write_bytes: %lu\ncancelled_write_bytes: 0\n",
             (unsigned long)io->read_chars, (unsigned long)io->written_chars,
             (unsigned long)io->reads, (unsigned long)io->writes, (unsigned long)io->read_bytes,
             (unsigned long)io->written_bytes);
}

static void add_process_io(struct text *out, struct process *process)
{
    struct io_counts io = process_io_counts(process);

    add_io(out, &io);
}

static int show_io(struct text *out, const struct pseudo_ref *ref)
{
    io_counts_begin();
    if (!proc_of_thread(ref))
        return with_process(out, ref, add_process_io);
    struct thread *thread = thread_find(ref->tid);
    if (!thread)
        return -ESRCH;
    add_io(out, &thread->io);
    thread_put(thread);
    return 0;
}

/* Who may look where a process's links lead to: -EACCES, or 0, also where it is gone. */
static int check_inspect(const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);
    int err = process && !process_may_inspect(process) ? -EACCES : 0;

    if (process)
        process_put(process);
    return err;
}

/* The program's path, which the caller drops; NULL: unknown. */
static struct program *exe_of(const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);
    struct program *program = process && !process->zombie ? process_program(process) : NULL;

    if (process)
        process_put(process);
    if (program && !program->exe) {
        program_put(program);
        program = NULL;
    }
    return program;
}

static ssize_t read_exe(const struct pseudo_ref *ref, char *buf, size_t size)
{
    int err = check_inspect(ref);
    struct program *program = err ? NULL : exe_of(ref);

    if (!program)
        return err ? err : -ENOENT;
    ssize_t len = (ssize_t)min(strlen(program->exe), size);
    memcpy(buf, program->exe, (size_t)len);
    program_put(program);
    return len;
}

static int follow_exe(const struct pseudo_ref *ref, struct path *out)
{
    int err = check_inspect(ref);
    struct program *program = err ? NULL : exe_of(ref);

    if (!program)
        return err ? err : -ENOENT;
    err = path_lookup_kernel(program->exe, LOOKUP_FOLLOW, out);
    program_put(program);
    return err;
}

/* The working or root directory, with references. */
static int directory_of(const struct pseudo_ref *ref, bool root, struct path *out)
{
    int err = check_inspect(ref);
    struct process *process = err ? NULL : process_find(ref->pid);

    if (!process)
        return err ? err : -ENOENT;
    struct fs_context *fs = fs_context_of(process);
    process_put(process);
    if (!fs)
        return -ENOENT;
    names_read_lock();
    *out = root ? fs->root : fs->cwd;
    dentry_get(out->dentry);
    names_read_unlock();
    fs_context_put(fs);
    return 0;
}

static ssize_t read_directory(const struct pseudo_ref *ref, bool root, char *buf, size_t size)
{
    struct path path;
    int err = directory_of(ref, root, &path);

    if (err)
        return err;
    ssize_t len = path_name(&path, buf, size);
    path_put(&path);
    return len;
}

static int follow_cwd(const struct pseudo_ref *ref, struct path *out)
{
    return directory_of(ref, false, out);
}

static ssize_t read_cwd(const struct pseudo_ref *ref, char *buf, size_t size)
{
    return read_directory(ref, false, buf, size);
}

static int follow_root(const struct pseudo_ref *ref, struct path *out)
{
    return directory_of(ref, true, out);
}

static ssize_t read_root(const struct pseudo_ref *ref, char *buf, size_t size)
{
    return read_directory(ref, true, buf, size);
}

/* ---- who ends where memory ends ---- */

enum { OOM_ADJ_MAX = 1000 };

static int show_oom_adj(struct text *out, const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);

    if (!process)
        return -ESRCH;
    text_add(out, "%d\n", process->oom_adj);
    process_put(process);
    return 0;
}

/* As Linux: 0 to 2000, of which a third is what can be asked for. */
static int show_oom_score(struct text *out, const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);

    if (!process)
        return -ESRCH;
    struct mm *mm = process_mm(process);
    u64 share = mm ? mm_resident_pages(mm) * OOM_ADJ_MAX / page_total() : 0;
    int adj = process->oom_adj;
    text_add(out, "%d\n", adj == -OOM_ADJ_MAX ? 0 : (OOM_ADJ_MAX + (int)share + adj) * 2 / 3);
    if (mm)
        mm_put(mm);
    process_put(process);
    return 0;
}

/* @text: a number with or without a sign, and perhaps a line's end. */
static bool parse_adj(const char *text, size_t n, int *out)
{
    bool minus = n && *text == '-';

    text += minus;
    n -= minus;
    n -= n && text[n - 1] == '\n';
    int number = proc_number(text, n);
    *out = minus ? -number : number;
    return number >= 0 && number <= OOM_ADJ_MAX;
}

static int store_oom_adj(const struct pseudo_ref *ref, const char *buf, size_t n)
{
    int adj;

    if (!parse_adj(buf, n, &adj))
        return -EINVAL;
    struct process *process = process_find(ref->pid);
    if (!process)
        return -ESRCH;
    bool allowed = adj >= process->oom_adj || capable(CAP_SYS_RESOURCE);
    if (allowed)
        __atomic_store_n(&process->oom_adj, adj, __ATOMIC_RELAXED);
    process_put(process);
    return allowed ? 0 : -EACCES;
}

/* How long it ran, how long it waited to (which nobody measures), and how often it ran. */
static int show_schedstat(struct text *out, const struct pseudo_ref *ref)
{
    struct thread *thread = thread_find(ref->tid);

    if (!thread)
        return -ESRCH;
    text_add(out, "%lu 0 %lu\n", (unsigned long)thread_cpu_time(thread),
             (unsigned long)(thread->switches + thread->preemptions));
    thread_put(thread);
    return 0;
}

static int store_nothing(const struct pseudo_ref *ref __attribute__((unused)),
                         const char *buf __attribute__((unused)), size_t n __attribute__((unused)))
{
    return 0;
}

static int find_task(const struct pseudo_ref *dir, const char *name, size_t len,
                     struct pseudo_ref *child);
static bool next_task(const struct pseudo_ref *dir, int after, struct pseudo_ref *child,
                      char name[32]);

/* One of each, by the names that Linux gives the first ones. */
static const struct pseudo_node ns_nodes[] = {
    PSEUDO_LINK("cgroup", "cgroup:[4026531835]"),
    PSEUDO_LINK("ipc", "ipc:[4026531839]"),
    PSEUDO_LINK("mnt", "mnt:[4026531841]"),
    PSEUDO_LINK("net", "net:[4026531840]"),
    PSEUDO_LINK("pid", "pid:[4026531836]"),
    PSEUDO_LINK("pid_for_children", "pid:[4026531836]"),
    PSEUDO_LINK("time", "time:[4026531834]"),
    PSEUDO_LINK("time_for_children", "time:[4026531834]"),
    PSEUDO_LINK("user", "user:[4026531837]"),
    PSEUDO_LINK("uts", "uts:[4026531838]"),
};

/* The first is of processes alone; a thread's has all the others. */
static const struct pseudo_node pid_nodes[] = {
    PSEUDO_DYNAMIC_DIR("task", find_task, next_task),
    PSEUDO_FILE("maps", proc_show_maps),
    PSEUDO_FILE("smaps", proc_show_smaps),
    PSEUDO_FILE("smaps_rollup", proc_show_smaps_rollup),
    PSEUDO_FILE("numa_maps", proc_show_numa_maps),
    PSEUDO_FILE("stat", proc_show_pid_stat),
    PSEUDO_FILE("statm", proc_show_pid_statm),
    PSEUDO_FILE("status", proc_show_pid_status),
    PSEUDO_FILE("cmdline", show_cmdline),
    PSEUDO_PRIVATE("environ", show_environ),
    PSEUDO_STORE("comm", show_comm, store_comm),
    PSEUDO_TEXT("cgroup", "0::/\n"),
    PSEUDO_PRIVATE("auxv", show_auxv),
    PSEUDO_FILE("limits", show_limits),
    PSEUDO_FILE("mounts", proc_show_mounts),
    PSEUDO_FILE("mountinfo", proc_show_mountinfo),
    PSEUDO_FILE("oom_score", show_oom_score),
    PSEUDO_STORE("oom_score_adj", show_oom_adj, store_oom_adj),
    PSEUDO_FILE("schedstat", show_schedstat),
    PSEUDO_TEXT("cpuset", "/\n"),
    PSEUDO_VALUE("timerslack_ns", "50000\n", store_nothing),
    PSEUDO_FILE("mountstats", proc_show_mountstats),
    PSEUDO_DIR("ns", ns_nodes),
    PSEUDO_VALUE("projid_map", "", store_nothing),
    PSEUDO_VALUE("oom_adj", "0\n", store_nothing),
    PSEUDO_TEXT("wchan", "0"),
    PSEUDO_TEXT("loginuid", "4294967295"),
    PSEUDO_TEXT("sessionid", "4294967295"),
    PSEUDO_TEXT("personality", "00000000\n"),
    PSEUDO_PRIVATE("io", show_io),
    PSEUDO_VALUE("coredump_filter", "00000033\n", store_nothing),
    PSEUDO_VALUE("setgroups", "allow\n", store_nothing),
    PSEUDO_VALUE("uid_map", "         0          0 4294967295\n", store_nothing),
    PSEUDO_VALUE("gid_map", "         0          0 4294967295\n", store_nothing),
    PSEUDO_MAGIC("exe", read_exe, follow_exe),
    PSEUDO_MAGIC("cwd", read_cwd, follow_cwd),
    PSEUDO_MAGIC("root", read_root, follow_root),
    PSEUDO_PRIVATE_DIR("fd", proc_find_fd, proc_next_fd),
    PSEUDO_DYNAMIC_DIR("fdinfo", proc_find_fdinfo, proc_next_fdinfo),
    PSEUDO_DIR("net", proc_net_nodes),
};

const struct pseudo_node proc_pid_dir = PSEUDO_DIR("", pid_nodes);

static const struct pseudo_node task_dir = {
    .name = "",
    .mode = S_IFDIR | 0555,
    .children = pid_nodes + 1,
    .nr_children = ARRAY_LEN(pid_nodes) - 1,
};

static int find_task(const struct pseudo_ref *dir, const char *name, size_t len,
                     struct pseudo_ref *child)
{
    int tid = proc_number(name, len);
    struct thread *thread = tid > 0 ? thread_find(tid) : NULL;

    if (!thread)
        return -ENOENT;
    bool ours = thread->process && thread->process->pid == dir->pid;
    thread_put(thread);
    child->node = &task_dir;
    child->tid = child->number = tid;
    return ours ? 0 : -ENOENT;
}

static bool next_task(const struct pseudo_ref *dir, int after, struct pseudo_ref *child,
                      char name[32])
{
    struct process *process = process_find(dir->pid);
    int tid = process ? process_next_tid(process, max(after, 0)) : 0;

    if (process)
        process_put(process);
    child->node = &task_dir;
    child->number = tid;
    format(name, 32, "%d", tid);
    return tid > 0;
}

int proc_find_pid(const struct pseudo_ref *dir __attribute__((unused)), const char *name,
                  size_t len, struct pseudo_ref *child)
{
    int tid = proc_number(name, len);
    struct thread *thread = tid > 0 ? thread_find(tid) : NULL;
    struct process *process = thread || tid <= 0 ? NULL : process_find(tid); /* a zombie */

    child->node = &proc_pid_dir;
    child->pid = thread && thread->process ? thread->process->pid : process ? tid : 0;
    child->tid = tid;
    if (thread)
        thread_put(thread);
    if (process)
        process_put(process);
    return child->pid ? 0 : -ENOENT;
}

bool proc_next_pid(const struct pseudo_ref *dir __attribute__((unused)), int after,
                   struct pseudo_ref *child, char name[32])
{
    struct process *process = process_next(max(after, 0));

    if (!process)
        return false;
    child->node = &proc_pid_dir;
    child->number = process->pid;
    format(name, 32, "%d", process->pid);
    process_put(process);
    return true;
}

int proc_pid_of_folder(const struct inode *inode)
{
    const struct pseudo_ref *ref = pseudo_ref_of(inode);

    return ref && ref->node == &proc_pid_dir ? ref->pid : 0;
}
