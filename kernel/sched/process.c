/* Processes as objects: the table of pids, references, the end of all threads of one.  What they
 * are to each other is in family.c. */
#include "sched/thread.h"

#include "abi/errno.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/family.h"
#include "sched/posix_timer.h"
#include "sched/sched_priv.h"

enum { PID_BUCKETS = 64 };

static struct process *buckets[PID_BUCKETS]; /* [T] */

struct process_hooks process_hooks;

static void set_default_limits(struct process *p)
{
    for (int i = 0; i < RLIM_NLIMITS; i++)
        p->rlimits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    p->rlimits[RLIMIT_STACK].cur = MIB(8);
    p->rlimits[RLIMIT_NOFILE] = (struct rlimit64){1024, 1048576};
    p->rlimits[RLIMIT_NPROC] = (struct rlimit64){16384, 16384};
    p->rlimits[RLIMIT_SIGPENDING] = (struct rlimit64){8192, 8192};
    p->rlimits[RLIMIT_MSGQUEUE] = (struct rlimit64){819200, 819200};
    p->rlimits[RLIMIT_NICE] = (struct rlimit64){0, 0};
    p->rlimits[RLIMIT_RTPRIO] = (struct rlimit64){0, 0};
}

/** Root with every capability, as PID 1 of a virtual machine is. */
static void set_default_creds(struct creds *c)
{
    c->cap_effective = c->cap_permitted = c->cap_bounding = CAP_ALL;
}

struct process *process_alloc(void)
{
    struct process *p = kzalloc(sizeof(*p));
    if (!p)
        return NULL;
    p->refs = 1;
    list_init(&p->threads);
    list_init(&p->posix_timers);
    list_init(&p->all_node);
    list_init(&p->children);
    list_init(&p->sibling);
    sigqueue_init(&p->pending);
    waitq_init(&p->signal_wait);
    waitq_init(&p->stop_wait);
    waitq_init(&p->threads_wait);
    waitq_init(&p->child_wait);
    waitq_init(&p->end_wait);
    waitq_init(&p->vfork_wait);
    p->start_time_ns = time_ns();
    return p;
}

struct process *process_create(void)
{
    struct process *p = process_alloc();
    if (!p)
        return NULL;
    set_default_limits(p);
    set_default_creds(&p->creds);
    p->dumpable = true;
    p->pid = p->pgid = p->sid = tid_alloc();
    family_add(p);
    return p;
}

void process_get(struct process *p)
{
    __atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
}

void process_put(struct process *p)
{
    if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    family_remove(p);
    sigqueue_flush(&p->pending, &p->nr_queued);
    if (p->mm)
        mm_put(p->mm);
    if (p->program)
        program_put(p->program);
    kfree(p->itimers);
    kfree(p);
}

/* ---- the program ---- */

struct program *program_create(void)
{
    struct program *program = kzalloc(sizeof(*program));
    if (program)
        program->refs = 1;
    return program;
}

void program_put(struct program *program)
{
    if (__atomic_sub_fetch(&program->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    kfree(program->exe);
    kfree(program->cmdline);
    kfree(program);
}

struct program *process_program(struct process *p)
{
    spin_lock(&p->siglock);
    struct program *program = p->program;
    if (program)
        __atomic_fetch_add(&program->refs, 1, __ATOMIC_RELAXED);
    spin_unlock(&p->siglock);
    return program;
}

struct mm *process_mm(struct process *p)
{
    spin_lock(&p->siglock);
    struct mm *mm = p->mm;
    if (mm)
        mm_get(mm);
    spin_unlock(&p->siglock);
    return mm;
}

/* ---- the end ---- */

/** Make all threads but the current one end. [S] held. */
static __attribute__((cold)) void end_others_locked(struct process *p)
{
    struct thread *t;
    p->stopped = p->stop_taken = false;
    list_for_each(t, &p->threads, process_node) {
        if (t == current)
            continue;
        thread_set_work(t, WORK_EXIT);
        thread_wake_interruptible(t);
    }
}

/** The first process takes the machine with it. */
static _Noreturn void end_machine(int status)
{
    int sig = status & 0x7f;
    if (sig)
        vm_end(VM_SIGNAL, sig);
    if (!status && family_has_daemon())
        log_warn("%s went into the background, and its end is the machine's: "
                 "servers stay in the foreground (-f, -F, -D, 'daemon off;' ...)",
                 current->name);
    vm_end(VM_EXIT, status >> 8 & 0xff);
}

void process_exit(int status)
{
    struct process *p = current_process();
    spin_lock(&p->siglock);
    bool first = !p->exiting;
    if (first) {
        p->exiting = true;
        p->exit_status = status;
        if (p->nr_threads > 1 && p->parent)
            end_others_locked(p);
    }
    spin_unlock(&p->siglock);
    if (p->parent) {
        waitq_wake_all(&p->stop_wait, 0);
        thread_exit();
    }
    if (!first)
        sched_park(); /* another thread is at it already, and may look at us */
    end_machine(status);
}

void process_release_parent(struct process *p)
{
    spin_lock(&p->siglock);
    p->shares_parent_memory = false;
    spin_unlock(&p->siglock);
    waitq_wake_all(&p->vfork_wait, 0);
}

void process_finish(struct process *p)
{
    struct thread *t = current;
    if (!p->parent)
        end_machine(p->exit_status);
    posix_timers_drop(p, true);
    if (process_hooks.exit)
        process_hooks.exit(p);
    spin_lock(&p->siglock);
    p->exiting = true;
    struct mm *mm = p->mm;
    p->mm = NULL;
    spin_unlock(&p->siglock);
    t->mm = NULL;
    mm_switch(NULL);
    if (mm) {
        p->peak_pages = mm_peak_pages(mm);
        mm_put(mm);
    }
    process_release_parent(p);
    family_leave(p);
}

static bool is_alone(struct process *p)
{
    return __atomic_load_n(&p->nr_threads, __ATOMIC_ACQUIRE) == 1;
}

__attribute__((cold)) int process_become_single(void)
{
    struct process *p = current_process();
    spin_lock(&p->siglock);
    bool mine = !p->exiting && !p->exec_thread;
    if (mine && p->nr_threads > 1) {
        p->exec_thread = current;
        end_others_locked(p);
    }
    spin_unlock(&p->siglock);
    if (!mine)
        return -EAGAIN;
    waitq_wake_all(&p->stop_wait, 0);
    wait_event(&p->threads_wait, is_alone(p), false, NO_DEADLINE);
    spin_lock(&p->siglock);
    p->exec_thread = NULL;
    bool ends = p->exiting;
    spin_unlock(&p->siglock);
    if (ends) /* before it could be stopped from doing so */
        return -EAGAIN;
    thread_become_leader();
    return 0;
}

/* ---- finding ---- */

static struct process *get_locked(struct process *p)
{
    u32 refs = __atomic_load_n(&p->refs, __ATOMIC_RELAXED);
    while (refs) /* one that is being freed is still in the table for a moment */
        if (__atomic_compare_exchange_n(&p->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return p;
    return NULL;
}

struct process *process_lookup_locked(int pid)
{
    struct process *p = buckets[(u32)pid % PID_BUCKETS];
    while (p && p->pid != pid)
        p = p->hash_next;
    return p;
}

void process_hash(struct process *p)
{
    thread_table_lock();
    struct process **bucket = &buckets[(u32)p->pid % PID_BUCKETS];
    p->hash_next = *bucket;
    *bucket = p;
    thread_table_unlock();
}

void process_unhash(struct process *p)
{
    thread_table_lock();
    struct process **link = &buckets[(u32)p->pid % PID_BUCKETS];
    while (*link != p)
        link = &(*link)->hash_next;
    *link = p->hash_next;
    thread_table_unlock();
}

struct process *process_find(int pid)
{
    thread_table_lock();
    struct process *p = process_lookup_locked(pid);
    if (p)
        p = get_locked(p);
    thread_table_unlock();
    return p;
}

int process_for_each_thread(struct process *p, int (*fn)(struct thread *, void *), void *arg)
{
    struct thread *t;
    int result = 0;
    spin_lock(&p->siglock);
    list_for_each(t, &p->threads, process_node) {
        result = fn(t, arg);
        if (result)
            break;
    }
    spin_unlock(&p->siglock);
    return result;
}

int process_next_tid(struct process *p, int tid)
{
    struct thread *t;
    int next = 0;
    spin_lock(&p->siglock);
    list_for_each(t, &p->threads, process_node)
        if (t->tid > tid && (!next || t->tid < next))
            next = t->tid;
    spin_unlock(&p->siglock);
    return next;
}
