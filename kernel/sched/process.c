/* Processes.  An image is one application, so there is one today, with pid 1; nothing here but
 * process_exit() counts on that. */
#include "sched/thread.h"

#include "abi/prctl.h"
#include "core/panic.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/sched_priv.h"

static struct list_head processes = LIST_INIT(processes); /* [T] by pid */

struct process_hooks process_hooks;

static void set_default_limits(struct process *p)
{
    for (int i = 0; i < RLIM_NLIMITS; i++)
        p->rlimits[i] = (struct rlimit64){RLIM64_INFINITY, RLIM64_INFINITY};
    p->rlimits[RLIMIT_STACK].cur = MIB(8);
    p->rlimits[RLIMIT_CORE].cur = 0;
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
    const u64 all = (2ull << CAP_LAST_CAP) - 1;
    c->cap_effective = c->cap_permitted = c->cap_bounding = all;
}

struct process *process_create(void)
{
    struct process *p = kzalloc(sizeof(*p));
    if (!p)
        return NULL;
    p->refs = 1;
    list_init(&p->threads);
    list_init(&p->posix_timers);
    sigqueue_init(&p->pending);
    waitq_init(&p->signal_wait);
    waitq_init(&p->stop_wait);
    set_default_limits(p);
    set_default_creds(&p->creds);
    p->dumpable = true;
    p->start_time_ns = time_ns();

    p->pid = p->pgid = p->sid = tid_alloc();
    thread_table_lock();
    list_add_tail(&processes, &p->sibling);
    thread_table_unlock();
    return p;
}

void process_put(struct process *p)
{
    if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    thread_table_lock();
    list_remove(&p->sibling);
    thread_table_unlock();
    sigqueue_flush(&p->pending, &p->nr_queued);
    if (p->mm)
        mm_put(p->mm);
    kfree(p->itimers);
    kfree(p->exe);
    kfree(p->cmdline);
    kfree(p);
}

void process_exit(int status)
{
    struct process *p = current_process();
    spin_lock(&p->siglock);
    bool first = !p->exiting;
    p->exiting = true;
    if (first)
        p->exit_status = status;
    spin_unlock(&p->siglock);
    if (!first)
        sched_exit(); /* another thread is at it already */

    if (process_hooks.exit)
        process_hooks.exit(p);
    int sig = status & 0x7f;
    if (sig)
        vm_end(VM_SIGNAL, sig);
    vm_end(VM_EXIT, status >> 8 & 0xff);
}

/* ---- finding ---- */

static struct process *get_locked(struct process *p)
{
    u32 refs = __atomic_load_n(&p->refs, __ATOMIC_RELAXED);
    while (refs) /* one that is being freed is still in the list for a moment */
        if (__atomic_compare_exchange_n(&p->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return p;
    return NULL;
}

struct process *process_find(int pid)
{
    struct process *p, *found = NULL;
    thread_table_lock();
    list_for_each(p, &processes, sibling)
        if (p->pid == pid)
            found = get_locked(p);
    thread_table_unlock();
    return found;
}

struct process *process_next(int pid)
{
    struct process *p, *found = NULL;
    thread_table_lock();
    list_for_each(p, &processes, sibling)
        if (!found && p->pid > pid)
            found = get_locked(p);
    thread_table_unlock();
    return found;
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

static int add_cpu_time(struct thread *t, void *sum)
{
    *(u64 *)sum += thread_cpu_time(t);
    return 0;
}

u64 process_cpu_time(struct process *p)
{
    u64 sum = p->ended_cpu_time_ns;
    process_for_each_thread(p, add_cpu_time, &sum);
    return sum;
}
