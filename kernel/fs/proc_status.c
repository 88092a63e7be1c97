/* /proc/PID/stat, statm and status. */
#include "abi/errno.h"
#include "core/time.h"
#include "fs/proc.h"
#include "lib/list.h"
#include "mm/mm.h"
#include "sched/thread.h"
#include "vfs/path.h"

enum { TICKS_PER_SEC = 100, PAGE_KIB = 4 };

static u64 to_ticks(u64 ns)
{
    return ns / (NSEC_PER_SEC / TICKS_PER_SEC);
}

struct thread *proc_thread_of(struct process *process, int tid)
{
    struct thread *thread = thread_find(tid);

    while (!thread && tid == process->pid) {
        int other = process_next_tid(process, 0);
        if (!other)
            break;
        thread = thread_find(other);
    }
    return thread;
}

/* The process and thread of @ref, with references; no thread of a zombie, or of who will be one in
 * a moment. 0 or -ESRCH. */
static int get_both(const struct pseudo_ref *ref, struct process **process, struct thread **thread)
{
    *process = process_find(ref->pid);
    *thread = *process ? proc_thread_of(*process, ref->tid) : NULL;
    if (*process && (*thread || ref->tid == ref->pid))
        return 0;
    if (*process)
        process_put(*process);
    if (*thread)
        thread_put(*thread);
    return -ESRCH;
}

/* What stands in for the thread of a zombie. */
static const struct thread no_thread = {.affinity = ~0ull};

static char state_letter(const struct process *process, const struct thread *thread)
{
    if (!thread)
        return 'Z';
    return process->stopped ? 'T' : thread_state_letter(thread);
}

static void put_both(struct process *process, struct thread *thread)
{
    process_put(process);
    if (thread)
        thread_put(thread);
}

static struct mm_usage usage_of(struct process *process)
{
    struct mm_usage usage = {0};
    struct mm *mm = process_mm(process);

    if (mm) {
        mm_get_usage(mm, &usage);
        mm_put(mm);
    }
    return usage;
}

struct signal_sets {
    sigset64_t ignored, caught;
};

static struct signal_sets signal_sets(struct process *process)
{
    struct signal_sets sets = {0};

    for (int sig = 1; sig <= SIGRTMAX; sig++) {
        u64 handler = process->actions[sig - 1].handler;
        if (handler == SIG_IGN)
            sets.ignored |= sigmask(sig);
        else if (handler != SIG_DFL)
            sets.caught |= sigmask(sig);
    }
    return sets;
}

int proc_show_pid_stat(struct text *out, const struct pseudo_ref *ref)
{
    bool whole = !proc_of_thread(ref);
    struct process *p;
    struct thread *t;
    int err = get_both(ref, &p, &t);

    if (err)
        return err;
    struct mm_usage usage = usage_of(p);
    struct signal_sets sets = signal_sets(p);
    struct program *program = process_program(p);
    static const struct program no_program;
    const struct program *prog = program ? program : &no_program;
    struct cpu_times times = whole || !t ? process_cpu_times(p) : thread_cpu_times(t);
    text_add(out, "%d (%.15s) %c %d %d %d 0 -1 4194560 %lu 0 0 0 ", whole ? p->pid : ref->tid,
             t ? t->name : p->comm, state_letter(p, t), p->ppid, p->pgid, p->sid,
             (unsigned long)usage.faults);
    struct thread *real = t;
    t = t ? t : (struct thread *)(uintptr_t)&no_thread;
    text_add(out, "%lu %lu %lu %lu ", (unsigned long)to_ticks(times.user_ns),
             (unsigned long)to_ticks(times.system_ns),
             (unsigned long)to_ticks(p->children_cpu_times.user_ns),
             (unsigned long)to_ticks(p->children_cpu_times.system_ns));
    text_add(out, "%d %d %u 0 %lu %lu %lu %lu ",
             t->rt_priority ? -1 - (int)t->rt_priority : 20 + t->nice, t->nice, p->nr_threads,
             (unsigned long)to_ticks(p->start_time_ns),
             (unsigned long)(usage.virtual_pages * PAGE_SIZE), (unsigned long)usage.resident_pages,
             (unsigned long)p->rlimits[RLIMIT_RSS].cur);
    text_add(out, "0 0 %lu 0 0 %lu %lu %lu %lu 0 0 0 17 %u %u %u 0 0 0 0 0 0 %lu %lu %lu %lu %d\n",
             (unsigned long)prog->stack_start,
             real ? (unsigned long)(u32)signal_pending_set(t) & 0x7fffffff : 0ul,
             (unsigned long)t->blocked & 0x7fffffff, (unsigned long)sets.ignored & 0x7fffffff,
             (unsigned long)sets.caught & 0x7fffffff, t->cpu, t->rt_priority, t->policy,
             (unsigned long)prog->arg_start, (unsigned long)prog->arg_end,
             (unsigned long)prog->env_start, (unsigned long)prog->env_end, p->exit_status);
    if (program)
        program_put(program);
    put_both(p, real);
    return 0;
}

int proc_show_pid_statm(struct text *out, const struct pseudo_ref *ref)
{
    struct process *process = process_find(ref->pid);

    if (!process)
        return -ESRCH;
    struct mm_usage usage = usage_of(process);
    text_add(out, "%lu %lu %lu %lu 0 %lu 0\n", (unsigned long)usage.virtual_pages,
             (unsigned long)usage.resident_pages, (unsigned long)usage.shared_pages,
             (unsigned long)usage.text_pages,
             (unsigned long)(usage.data_pages + usage.stack_pages));
    process_put(process);
    return 0;
}

static void add_kib(struct text *out, const char *name, u64 pages)
{
    text_add(out, "%s:\t%8lu kB\n", name, (unsigned long)(pages * PAGE_KIB));
}

static void add_memory(struct text *out, struct process *process)
{
    struct mm_usage usage = usage_of(process);

    add_kib(out, "VmPeak", max(usage.peak_pages, usage.virtual_pages));
    add_kib(out, "VmSize", usage.virtual_pages);
    add_kib(out, "VmLck", 0);
    add_kib(out, "VmPin", 0);
    add_kib(out, "VmHWM", max(usage.peak_pages, usage.resident_pages));
    add_kib(out, "VmRSS", usage.resident_pages);
    add_kib(out, "RssAnon", usage.resident_pages - min(usage.shared_pages, usage.resident_pages));
    add_kib(out, "RssFile", usage.shared_pages);
    add_kib(out, "RssShmem", 0);
    add_kib(out, "VmData", usage.data_pages);
    add_kib(out, "VmStk", usage.stack_pages);
    add_kib(out, "VmExe", usage.text_pages);
    add_kib(out, "VmLib", 0);
    add_kib(out, "VmPTE", usage.table_pages);
    add_kib(out, "VmSwap", 0);
}

static const char *state_name(char letter)
{
    switch (letter) {
    case 'R':
        return "R (running)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 'Z':
        return "Z (zombie)";
    default:
        return "S (sleeping)";
    }
}

static u32 umask_of(struct process *p)
{
    struct fs_context *fs = fs_context_of(p);
    u32 umask = fs ? fs->umask : 022;

    if (fs)
        fs_context_put(fs);
    return umask;
}

static void add_ids(struct text *out, struct process *p, const struct thread *t, int tid)
{
    const struct creds *c = &p->creds;
    u32 umask = umask_of(p);

    text_add(out, "Name:\t%.15s\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\n",
             t ? t->name : p->comm, umask, state_name(state_letter(p, t)), p->pid, tid);
    text_add(out, "PPid:\t%d\nTracerPid:\t0\n", p->ppid);
    text_add(out, "Uid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid, c->fsuid);
    text_add(out, "Gid:\t%u\t%u\t%u\t%u\nFDSize:\t64\nGroups:\t", c->gid, c->egid, c->sgid,
             c->fsgid);
    for (u32 i = 0; i < c->nr_groups; i++)
        text_add(out, "%u ", c->groups[i]);
    text_add(out, "\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", p->pid, tid, p->pgid,
             p->sid);
}

static void add_signals(struct text *out, struct process *p, struct thread *t)
{
    struct signal_sets sets = signal_sets(p);

    text_add(out, "Threads:\t%u\nSigQ:\t%u/%lu\n", p->nr_threads, p->nr_queued,
             (unsigned long)p->rlimits[RLIMIT_SIGPENDING].cur);
    text_add(out, "SigPnd:\t%016lx\nShdPnd:\t%016lx\n", (unsigned long)t->pending.pending,
             (unsigned long)p->pending.pending);
    text_add(out, "SigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\n", (unsigned long)t->blocked,
             (unsigned long)sets.ignored, (unsigned long)sets.caught);
}

static void add_privileges(struct text *out, const struct process *p)
{
    const struct creds *c = &p->creds;

    text_add(out, "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\nCapBnd:\t%016lx\n",
             (unsigned long)c->cap_inheritable, (unsigned long)c->cap_permitted,
             (unsigned long)c->cap_effective, (unsigned long)c->cap_bounding);
    text_add(out, "CapAmb:\t%016lx\nNoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n",
             (unsigned long)c->cap_ambient, p->no_new_privs);
}

static void add_cpus(struct text *out, const struct thread *t)
{
    u64 all = cpu_count < 64 ? BIT(cpu_count) - 1 : UINT64_MAX, mask = t->affinity & all;
    const char *comma = "";

    if (mask >> 32)
        text_add(out, "Cpus_allowed:\t%08x,%08x\nCpus_allowed_list:\t", (u32)(mask >> 32),
                 (u32)mask);
    else
        text_add(out, "Cpus_allowed:\t%x\nCpus_allowed_list:\t", (u32)mask);
    for (u32 cpu = 0; cpu < cpu_count; cpu++) {
        u32 last = cpu;
        while (last + 1 < cpu_count && mask >> (last + 1) & 1)
            last++;
        if (!(mask >> cpu & 1))
            continue;
        text_add(out, last > cpu ? "%s%u-%u" : "%s%u", comma, cpu, last);
        comma = ",";
        cpu = last;
    }
    text_add(out, "\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    text_add(out, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n",
             (unsigned long)t->switches, (unsigned long)t->preemptions);
}

int proc_show_pid_status(struct text *out, const struct pseudo_ref *ref)
{
    struct process *p;
    struct thread *t;
    int err = get_both(ref, &p, &t);

    if (err)
        return err;
    add_ids(out, p, t, ref->tid);
    if (t) {
        add_memory(out, p);
        add_signals(out, p, t);
        add_privileges(out, p);
        add_cpus(out, t);
    }
    put_both(p, t);
    return 0;
}
