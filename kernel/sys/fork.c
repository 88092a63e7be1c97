/* clone(2) in the shapes that make a process: fork, vfork, posix_spawn and what lies between.
 * CLONE_SIGHAND without CLONE_THREAD copies the actions instead of sharing them: nothing but the
 * oldest thread libraries asks for that. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "arch/frame.h"
#include "core/cmdline.h"
#include "core/log.h"
#include "drv/tty.h"
#include "sched/family.h"
#include "sched/rseq.h"
#include "sys/aio.h"
#include "sys/sem.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/path.h"

/* What a process may ask for; namespaces and cgroups are not here. */
#define FORK_KNOWS                                                                                 \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_PIDFD | CLONE_PTRACE |              \
     CLONE_VFORK | CLONE_PARENT | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |             \
     CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED | CLONE_UNTRACED |                 \
     CLONE_CLEAR_SIGHAND)

static bool single; /* ingot.single=1: the user wants one process, whatever the program says */

static void process_gone(struct process *p)
{
    aio_process_gone(p); /* before its files and its memory */
    spin_lock(&p->siglock);
    struct fd_table *files = p->files;
    struct fs_context *fs = p->fs;
    p->files = NULL;
    p->fs = NULL;
    spin_unlock(&p->siglock);
    if (files)
        fd_table_put(files);
    if (fs)
        fs_context_put(fs);
    if (p->sem_undo) /* only its own threads add to it */
        sem_process_gone(p);
}

void processes_init(void)
{
    u64 limit = cmdline_get_u64("ingot.pids", 0);

    single = cmdline_get_u64("ingot.single", 0) != 0;
    mm_set_killer(oom_kill);
    process_hooks.exit = process_gone;
    process_hooks.count_io = io_count_calls;
    process_hooks.session_end = tty_session_ended;
    if (limit)
        process_limit((u32)min(limit, (u64)UINT16_MAX));
}

bool processes_allowed(const char *call)
{
    static u32 said;

    if (likely(!single && mm_can_fork()))
        return true;
    if (__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
        return false;
    log_warn("%s[%d] wants a second process or program (%s), which %s (ENOSYS)", current->name,
             current->tid, call,
             single ? "--single forbids"
                    : "only a virtual machine has: run it with --isolation vm");
    return false;
}

/* What the child works with: memory, files, places. */
static int give_resources(struct process *p, const struct linux_clone_args *args)
{
    struct process *from = current_process();
    const u64 written[] = {current_frame()->rsp, args->child_tid};
    u64 flags = args->flags;

    if (flags & CLONE_VM)
        mm_get(from->mm);
    p->mm = flags & CLONE_VM ? from->mm : mm_fork(from->mm, written, ARRAY_LEN(written));
    if (flags & CLONE_FILES)
        fd_table_get(from->files);
    p->files = flags & CLONE_FILES ? from->files : fd_table_clone(from->files);
    if (flags & CLONE_FS)
        fs_context_get(from->fs);
    p->fs = flags & CLONE_FS ? from->fs : fs_context_clone(from->fs);
    if (flags & CLONE_CLEAR_SIGHAND)
        for (int i = 0; i < 64; i++)
            if (p->actions[i].handler != SIG_IGN)
                p->actions[i] = (struct sigaction64){.handler = SIG_DFL};
    p->shares_parent_memory = flags & CLONE_VFORK;
    return p->mm && p->files && p->fs ? 0 : -ENOMEM;
}

static int make_thread(struct process *p, const struct linux_clone_args *args, struct thread **out)
{
    struct trap_frame frame = *current_frame();
    struct thread *t;

    frame.rax = 0;
    frame.orig_rax = (u64)-1;
    if (args->stack)
        frame.rsp = args->stack;
    int err = thread_create(p, &frame, &t);
    if (err)
        return err;
    if (args->flags & CLONE_SETTLS)
        t->arch.fs_base = args->tls;
    if (args->flags & CLONE_CHILD_SETTID)
        t->set_child_tid = args->child_tid;
    if (args->flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = args->child_tid;
    if ((args->flags & (CLONE_VM | CLONE_VFORK)) != CLONE_VM)
        t->altstack = current->altstack;
    if (!(args->flags & CLONE_VM))
        rseq_inherit(t, current);
    *out = t;
    return 0;
}

/* Numbers that the parent wants to find in its memory. */
static int tell_parent(struct process *p, const struct linux_clone_args *args, int *pidfd)
{
    int pid = p->pid;

    if (args->flags & CLONE_PARENT_SETTID && copy_to_user(args->parent_tid, &pid, sizeof(pid)))
        return -EFAULT;
    if (!(args->flags & CLONE_PIDFD))
        return 0;
    process_get(p);
    *pidfd = pidfd_install(p, O_CLOEXEC);
    if (*pidfd < 0)
        return *pidfd;
    return copy_to_user(args->pidfd, pidfd, sizeof(*pidfd));
}

static bool has_memory_back(const struct process *child)
{
    return !__atomic_load_n(&child->shares_parent_memory, __ATOMIC_ACQUIRE);
}

/* vfork: the child runs on the parent's stack. Only what ends the parent ends the wait early. */
static void wait_for_memory(struct process *child)
{
    int err = wait_event(&child->vfork_wait, has_memory_back(child), true, NO_DEADLINE);

    if (!err || __atomic_load_n(&current->work, __ATOMIC_RELAXED) & WORK_EXIT ||
        signal_pending_set(current) & sigmask(SIGKILL))
        return;
    sigset64_t blocked = current->blocked;
    signal_set_blocked(~(sigset64_t)0); /* but for what ends it: there is no blocking that */
    (void)wait_event(&child->vfork_wait, has_memory_back(child), true, NO_DEADLINE);
    signal_set_blocked(blocked);
}

static long check(const struct linux_clone_args *args)
{
    u64 flags = args->flags;

    if (flags & ~FORK_KNOWS)
        return -EINVAL;
    if (flags & CLONE_CLEAR_SIGHAND && flags & CLONE_SIGHAND)
        return -EINVAL;
    if (args->exit_signal > SIGRTMAX)
        return -EINVAL;
    if (!current_process()->parent && flags & CLONE_PARENT)
        return -EINVAL; /* a sibling of the first process would have no parent */
    return 0;
}

long fork_process(const struct linux_clone_args *args, const char *call)
{
    long err = check(args);
    if (err)
        return err;
    if (!processes_allowed(call))
        return -ENOSYS;
    if (process_count() >= process_limit(0)) {
        log_warn_once(
            "there are %u processes, as many as may be (EAGAIN): ingot.pids=N allows more",
            process_count());
        return -EAGAIN;
    }
    cpu_times_begin(); /* wait(2) will be asked for them */
    struct process *p = process_clone();
    if (!p)
        return -ENOMEM;
    struct thread *t = NULL;
    int pidfd = -1;
    err = give_resources(p, args);
    if (!err)
        err = make_thread(p, args, &t);
    if (!err)
        err = tell_parent(p, args, &pidfd);
    if (!err)
        err = process_join(p, (int)args->exit_signal, args->flags & CLONE_PARENT);
    if (err) {
        if (pidfd >= 0)
            (void)fd_close(pidfd);
        if (t)
            thread_destroy(t);
        process_gone(p);
        process_put(p);
        return err;
    }
    int pid = p->pid;
    thread_start(t);
    if (args->flags & CLONE_VFORK)
        wait_for_memory(p);
    process_put(p);
    return pid;
}

long sys_fork(void)
{
    const struct linux_clone_args args = {.exit_signal = SIGCHLD};

    return fork_process(&args, "fork");
}

long sys_vfork(void)
{
    const struct linux_clone_args args = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};

    return fork_process(&args, "vfork");
}
