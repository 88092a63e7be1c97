#include "sched/family.h"

#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/sched_priv.h"

enum { MEMORY_PER_PROCESS = 256 << 10, LIMIT_MIN = 64, LIMIT_MAX = 16384 };

/* All [F], which is .lock: after a terminal's lock, before a wait queue's. */
static struct {
    struct spinlock lock;
    struct list_head all; /* by birth */
    struct process *first;
    u32 count, limit;
} family = {.all = LIST_INIT(family.all)};

void family_lock(void)
{
    spin_lock(&family.lock);
}

void family_unlock(void)
{
    spin_unlock(&family.lock);
}

u32 process_count(void)
{
    return __atomic_load_n(&family.count, __ATOMIC_RELAXED);
}

static u32 default_limit(void)
{
    u64 by_memory = boot_info.ram_bytes / MEMORY_PER_PROCESS;
    return (u32)min(max(by_memory, (u64)LIMIT_MIN), (u64)LIMIT_MAX);
}

u32 process_limit(u32 new_limit)
{
    if (new_limit)
        family.limit = new_limit;
    else if (!family.limit)
        family.limit = default_limit();
    return family.limit;
}

static void link_locked(struct process *p)
{
    list_add_tail(&family.all, &p->all_node);
    family.count++;
}

void family_add(struct process *p)
{
    process_hash(p);
    family_lock();
    link_locked(p);
    if (!family.first)
        family.first = p;
    family_unlock();
}

static void unlink_locked(struct process *p)
{
    list_remove(&p->all_node);
    list_init(&p->all_node);
    process_unhash(p);
    family.count--;
    if (family.first == p)
        family.first = NULL;
}

void family_remove(struct process *p)
{
    if (list_empty(&p->all_node)) /* nobody else can reach it any more */
        return;
    family_lock();
    unlink_locked(p);
    family_unlock();
}

void family_set_work(u32 work)
{
    struct process *p;
    struct thread *t;
    family_lock();
    list_for_each(p, &family.all, all_node) {
        spin_lock(&p->siglock);
        list_for_each(t, &p->threads, process_node)
            if (t != current)
                thread_set_work(t, work);
        spin_unlock(&p->siglock);
    }
    family_unlock();
}

struct process *process_next(int pid)
{
    struct process *p, *next = NULL;
    family_lock();
    list_for_each(p, &family.all, all_node)
        if (p->pid > pid && (!next || p->pid < next->pid))
            next = p;
    if (next)
        process_get(next); /* what is in the list has a reference of its own */
    family_unlock();
    return next;
}

/** A number that was used before may still be that of a group or a session. */
static int pid_alloc(void)
{
    struct process *p;
    for (;;) {
        int pid = tid_alloc();
        bool used = false;
        if (likely(!tid_has_wrapped()))
            return pid;
        family_lock();
        list_for_each(p, &family.all, all_node)
            used |= p->pgid == pid || p->sid == pid;
        family_unlock();
        if (!used)
            return pid;
    }
}

/* ---- birth ---- */

struct process *process_clone(void)
{
    struct process *from = current_process(), *p = process_alloc();
    if (!p)
        return NULL;
    spin_lock(&from->siglock);
    p->acted = from->acted;
    for (sigset64_t left = p->acted; left; left &= left - 1) {
        int i = __builtin_ctzll(left);
        p->actions[i] = from->actions[i];
    }
    memcpy(p->rlimits, from->rlimits, sizeof(p->rlimits));
    p->creds = from->creds;
    p->program = from->program;
    if (p->program)
        __atomic_fetch_add(&p->program->refs, 1, __ATOMIC_RELAXED);
    spin_unlock(&from->siglock);
    p->nice = from->nice;
    p->oom_adj = from->oom_adj;
    p->personality = from->personality;
    p->dumpable = from->dumpable;
    p->no_new_privs = from->no_new_privs;
    p->keepcaps = from->keepcaps;
    p->pid = pid_alloc();
    return p;
}

/** RLIMIT_NPROC is of a user's processes, and not of root's. [F] held. */
static bool over_limit_locked(const struct process *from)
{
    const struct creds *c = &from->creds;
    u64 limit = from->rlimits[RLIMIT_NPROC].cur, own = 0;
    const struct process *p;

    if (family.count < limit || !c->uid || creds_capable(c, CAP_SYS_RESOURCE) ||
        creds_capable(c, CAP_SYS_ADMIN))
        return false;
    list_for_each(p, &family.all, all_node) {
        own += p->creds.uid == c->uid;
    }
    return own >= limit;
}

/** Why the current process may have no child now. [F] held. */
static int may_join(const struct process *from)
{
    if (signal_pending())
        return -ERESTARTNOINTR;
    return family.count >= process_limit(0) || over_limit_locked(from) ? -EAGAIN : 0;
}

int process_join(struct process *p, int exit_signal, bool sibling)
{
    struct process *from = current_process();
    family_lock();
    int err = may_join(from);
    if (!err) {
        struct process *parent = sibling && from->parent ? from->parent : from;
        p->parent = parent;
        p->ppid = parent->pid;
        p->pgid = from->pgid;
        p->sid = from->sid;
        p->exit_signal = exit_signal;
        list_add_tail(&parent->children, &p->sibling);
        process_get(p); /* until it is waited for */
        link_locked(p);
        process_hash(p);
    }
    family_unlock();
    return err;
}

/* ---- end ---- */

static void add_times(struct cpu_times *sum, const struct cpu_times *times)
{
    sum->user_ns += times->user_ns;
    sum->system_ns += times->system_ns;
}

/** Out of the tree and the table; the caller drops the reference. [F] held. */
static void reap_locked(struct process *p)
{
    struct process *parent = p->parent;
    if (parent) {
        add_times(&parent->children_cpu_times, &p->ended_cpu_times);
        add_times(&parent->children_cpu_times, &p->children_cpu_times);
        parent->children_switches += p->ended_switches + p->children_switches;
        u64 peak = max(p->peak_pages, p->children_peak_pages);
        parent->children_peak_pages = max(parent->children_peak_pages, peak);
    }
    list_remove(&p->sibling);
    list_init(&p->sibling);
    unlink_locked(p);
}

static struct siginfo64 info_of_child(const struct process *p, int sig, int code, int status)
{
    struct siginfo64 info = {.si_signo = sig, .si_code = code};
    info.child.pid = p->pid;
    info.child.uid = p->creds.uid;
    info.child.status = status;
    info.child.utime = (s64)(p->ended_cpu_times.user_ns / TICK_NS);
    info.child.stime = (s64)(p->ended_cpu_times.system_ns / TICK_NS);
    return info;
}

static int end_code(int status, int *value)
{
    int sig = status & 0x7f;
    *value = sig ? sig : status >> 8 & 0xff;
    if (!sig)
        return CLD_EXITED;
    return status & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

/** True if @parent wants to hear nothing of children that end. */
static bool ignores_children(struct process *parent, bool *silent)
{
    spin_lock(&parent->siglock);
    struct sigaction64 action = parent->actions[SIGCHLD - 1];
    spin_unlock(&parent->siglock);
    *silent = action.handler == SIG_IGN;
    return *silent || action.flags & SA_NOCLDWAIT;
}

/** Tell the parent of a zombie; true if nobody will wait for it, so that it must be reaped. */
static bool tell_end_locked(struct process *p)
{
    struct process *parent = p->parent;
    bool silent = false, reap = false;
    int sig = p->exit_signal, status;

    if (sig == SIGCHLD)
        reap = ignores_children(parent, &silent);
    int code = end_code(p->exit_status, &status);
    if (sig && !silent) {
        struct siginfo64 info = info_of_child(p, sig, code, status);
        (void)signal_send_process(parent, &info); /* full queues lose it, as on Linux */
    }
    waitq_wake_all(&parent->child_wait, 0);
    return reap;
}

/** Who takes the children of @p: the next ancestor that wants to, or the first process. */
static struct process *reaper_of(const struct process *p)
{
    struct process *at = p->parent;
    while (at && at->parent && (!at->subreaper || at->zombie || at->exiting))
        at = at->parent;
    return at ? at : family.first;
}

/** True if some process of group @pgid but @but can start it again: it has a parent in another
 * group of the session. */
static bool has_controller_locked(int pgid, int sid, const struct process *but)
{
    struct process *p;
    list_for_each(p, &family.all, all_node)
        if (p != but && p->pgid == pgid && !p->zombie && p->parent && p->parent->pgid != pgid &&
            p->parent->sid == sid)
            return true;
    return false;
}

static bool has_stopped_locked(int pgid)
{
    struct process *p;
    list_for_each(p, &family.all, all_node)
        if (p->pgid == pgid && p->stopped)
            return true;
    return false;
}

bool signal_may_send(const struct process *to, const struct siginfo64 *info)
{
    const struct process *from = current_process();

    if (info->si_code > 0 || !from || from == to || creds_capable(&from->creds, CAP_KILL))
        return true;
    const struct creds *c = &from->creds, *t = &to->creds;
    return c->euid == t->suid || c->euid == t->uid || c->uid == t->suid || c->uid == t->uid ||
           (info->si_signo == SIGCONT && from->sid == to->sid);
}

bool process_may_inspect(const struct process *p)
{
    const struct process *from = current_process();

    if (!from || from == p || creds_capable(&from->creds, CAP_SYS_PTRACE))
        return true;
    const struct creds *c = &from->creds, *t = &p->creds;
    return c->uid == t->uid && c->uid == t->euid && c->uid == t->suid && c->gid == t->gid &&
           c->gid == t->egid && c->gid == t->sgid && p->dumpable;
}

static int send_group_locked(int pgid, const struct siginfo64 *info)
{
    struct process *p;
    int err = -ESRCH;
    list_for_each(p, &family.all, all_node) {
        if (pgid == -1 ? p == family.first || p == current_process() : p->pgid != pgid)
            continue;
        int result = !signal_may_send(p, info) ? -EPERM
                     : info->si_signo          ? signal_send_process(p, info)
                                               : 0;
        err = err == -ESRCH || !result ? result : err;
    }
    return err;
}

/** A group that nobody can start again must not stay stopped. */
static void free_orphaned_group_locked(int pgid, int sid, const struct process *leaving)
{
    if (!has_stopped_locked(pgid) || has_controller_locked(pgid, sid, leaving))
        return;
    struct siginfo64 hang_up = {.si_signo = SIGHUP, .si_code = SI_KERNEL};
    struct siginfo64 go_on = {.si_signo = SIGCONT, .si_code = SI_KERNEL};
    (void)send_group_locked(pgid, &hang_up);
    (void)send_group_locked(pgid, &go_on);
}

/** Give the children of @p away; those to be reaped go to @gone. */
static void give_children_away_locked(struct process *p, struct list_head *gone)
{
    struct process *child, *next, *reaper = reaper_of(p);
    list_for_each_safe(child, next, &p->children, sibling)
    {
        list_remove(&child->sibling);
        list_add_tail(&reaper->children, &child->sibling);
        child->parent = reaper;
        child->ppid = reaper->pid;
        child->exit_signal = SIGCHLD;
        if (child->pdeath_signal && !child->zombie) {
            struct siginfo64 info = {.si_signo = child->pdeath_signal, .si_code = SI_USER};
            info.kill.pid = p->pid;
            (void)signal_send_process(child, &info);
        }
        if (child->zombie && tell_end_locked(child)) {
            reap_locked(child);
            list_add_tail(gone, &child->sibling);
        }
        if (child->pgid != p->pgid)
            free_orphaned_group_locked(child->pgid, child->sid, p);
    }
}

void family_leave(struct process *p)
{
    struct list_head gone = LIST_INIT(gone);
    struct process *child, *next;

    if (p->sid == p->pid && process_hooks.session_end)
        process_hooks.session_end(p->sid);
    family_lock();
    give_children_away_locked(p, &gone);
    if (p->parent->sid == p->sid && p->parent->pgid != p->pgid)
        free_orphaned_group_locked(p->pgid, p->sid, p);
    p->zombie = true;
    if (tell_end_locked(p)) {
        reap_locked(p);
        list_add_tail(&gone, &p->sibling);
    }
    family_unlock();
    waitq_wake_all(&p->end_wait, 1); /* POLLIN */
    list_for_each_safe(child, next, &gone, sibling) process_put(child);
}

bool family_has_daemon(void)
{
    int sid = current_process()->sid;
    bool found = false;
    struct process *p;
    family_lock();
    list_for_each(p, &family.all, all_node) {
        /* A helper that was started as a session of its own is none. */
        found |= p->sid != sid && !p->zombie && !p->executed;
    }
    family_unlock();
    return found;
}

void family_report_stop(int sig)
{
    struct process *p = current_process();
    family_lock();
    struct process *parent = p->parent;
    bool goes_on = sig == SIGCONT;
    p->stop_report = goes_on ? 0 : sig;
    p->continue_report = goes_on;
    if (parent) {
        spin_lock(&parent->siglock);
        bool wanted = !(parent->actions[SIGCHLD - 1].flags & SA_NOCLDSTOP);
        spin_unlock(&parent->siglock);
        struct siginfo64 info =
            info_of_child(p, SIGCHLD, goes_on ? CLD_CONTINUED : CLD_STOPPED, sig);
        if (wanted)
            (void)signal_send_process(parent, &info);
        waitq_wake_all(&parent->child_wait, 0);
    }
    family_unlock();
}

/* ---- waiting ---- */

static bool matches(const struct process *p, const struct wait_request *r)
{
    if ((r->which == WAIT_PID && p->pid != r->id) || (r->which == WAIT_PGID && p->pgid != r->id))
        return false;
    bool clone = p->exit_signal != SIGCHLD;
    return r->options & WAIT_ANY || clone == !!(r->options & WAIT_CLONE);
}

/** Fill @out if there is something to tell of @p. [F] held. */
static bool tell_locked(struct process *p, u32 options, struct wait_result *out)
{
    bool keep = options & WNOWAIT;
    *out = (struct wait_result){.pid = p->pid, .uid = p->creds.uid};
    if (p->zombie) {
        if (!(options & WEXITED))
            return false;
        out->code = end_code(p->exit_status, &out->status);
        out->cpu_times = p->ended_cpu_times;
        add_times(&out->cpu_times, &p->children_cpu_times);
        out->switches = p->ended_switches;
        out->peak_pages = p->peak_pages;
        if (!keep)
            reap_locked(p);
        return true;
    }
    out->cpu_times = p->ended_cpu_times;
    if (options & WUNTRACED && p->stop_report) {
        out->code = CLD_STOPPED;
        out->status = p->stop_report;
        p->stop_report = keep ? p->stop_report : 0;
        return true;
    }
    if (options & WCONTINUED && p->continue_report) {
        out->code = CLD_CONTINUED;
        out->status = SIGCONT;
        p->continue_report = keep;
        return true;
    }
    return false;
}

/** 1: something was told. 0: not yet. -ECHILD: there is nobody. */
static int look(const struct wait_request *r, struct wait_result *out)
{
    struct process *self = current_process(), *p, *next;
    int found = -ECHILD;
    bool reaped = false;

    family_lock();
    list_for_each_safe(p, next, &self->children, sibling)
    {
        if (!matches(p, r))
            continue;
        found = tell_locked(p, r->options, out);
        if (found) {
            reaped = list_empty(&p->all_node);
            break;
        }
    }
    family_unlock();
    if (found == 1 && reaped)
        process_put(p);
    return found;
}

int family_wait(const struct wait_request *r, struct wait_result *out)
{
    int found = look(r, out);
    if (!found && r->options & WNOHANG) {
        *out = (struct wait_result){0};
        return 0;
    }
    if (!found &&
        wait_event(&current_process()->child_wait, (found = look(r, out)) != 0, true, NO_DEADLINE))
        return -ERESTARTSYS;
    return min(found, 0);
}

int wait_status(const struct wait_result *r)
{
    switch (r->code) {
    case CLD_EXITED:
        return (r->status & 0xff) << 8;
    case CLD_DUMPED:
        return r->status | 0x80;
    case CLD_STOPPED:
        return r->status << 8 | 0x7f;
    case CLD_CONTINUED:
        return 0xffff;
    default:
        return r->status;
    }
}

/* ---- groups and sessions ---- */

static bool has_group_locked(int pgid, int sid)
{
    struct process *p;
    list_for_each(p, &family.all, all_node)
        if (p->pgid == pgid && p->sid == sid)
            return true;
    return false;
}

bool family_has_group(int pgid, int sid)
{
    family_lock();
    bool has = has_group_locked(pgid, sid);
    family_unlock();
    return has;
}

static int set_group_locked(struct process *self, int pid, int pgid)
{
    struct process *p = self;
    if (pid && pid != self->pid) {
        thread_table_lock();
        p = process_lookup_locked(pid);
        thread_table_unlock();
        if (!p || p->parent != self)
            return -ESRCH;
        if (p->sid != self->sid)
            return -EPERM;
        if (p->executed)
            return -EACCES;
    }
    pgid = pgid ? pgid : p->pid;
    if (p->sid == p->pid) /* a session leader stays in its group */
        return -EPERM;
    if (pgid != p->pid && !has_group_locked(pgid, p->sid))
        return -EPERM;
    p->pgid = pgid;
    return 0;
}

int family_set_group(int pid, int pgid)
{
    family_lock();
    int err = set_group_locked(current_process(), pid, pgid);
    family_unlock();
    return err;
}

int family_new_session(void)
{
    struct process *self = current_process(), *p;
    int sid = self->pid;
    family_lock();
    list_for_each(p, &family.all, all_node)
        if (p->pgid == self->pid)
            sid = -EPERM; /* it leads a group, or a group has its number */
    if (sid > 0)
        self->sid = self->pgid = sid;
    family_unlock();
    return sid;
}

int signal_send_group(int pgid, const struct siginfo64 *info)
{
    family_lock();
    int err = send_group_locked(pgid, info);
    family_unlock();
    return err;
}

bool family_group_is_orphaned(void)
{
    const struct process *p = current_process();
    family_lock();
    bool orphaned = !has_controller_locked(p->pgid, p->sid, NULL);
    family_unlock();
    return orphaned;
}
