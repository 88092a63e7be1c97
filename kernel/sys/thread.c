/* Threads: clone in the shape that makes a thread, exit, and what the C library sets per thread.
 * A clone that makes a process is in fork.c. */
#include "abi/errno.h"
#include "abi/futex.h"
#include "abi/prctl.h"
#include "abi/sched.h"
#include "arch/frame.h"
#include "core/log.h"
#include "lib/string.h"
#include "sched/rseq.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

/* All that a thread must share; what it may ask for on top. */
#define THREAD_NEEDS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)
#define THREAD_KNOWS                                                                               \
    (THREAD_NEEDS | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |  \
     CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED | CLONE_UNTRACED | CLONE_PTRACE |  \
     CLONE_PARENT)

/** What clone(2) refuses before it looks at anything else. */
static long check_flags(u64 flags)
{
    if (flags & CLONE_SIGHAND && !(flags & CLONE_VM))
        return -EINVAL;
    if (flags & CLONE_THREAD && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if (flags & CLONE_THREAD && flags & ~THREAD_KNOWS)
        return -EINVAL;
    return 0;
}

static long create_thread(const struct linux_clone_args *args)
{
    long err = check_flags(args->flags);
    if (err)
        return err;
    if (!(args->flags & CLONE_THREAD))
        return fork_process(args, "clone");
    struct thread *t;
    err = thread_create(current_process(), current_frame(), &t);
    if (err)
        return err;
    struct trap_frame *frame = arch_frame_of(t->kstack_top);
    frame->rax = 0;
    frame->orig_rax = (u64)-1;
    if (args->stack)
        frame->rsp = args->stack;
    if (args->flags & CLONE_SETTLS)
        t->arch.fs_base = args->tls;
    if (args->flags & CLONE_CHILD_CLEARTID)
        t->clear_child_tid = args->child_tid;

    int tid = t->tid;
    if (args->flags & CLONE_PARENT_SETTID && user_put32(args->parent_tid, (u32)tid))
        goto fault;
    if (args->flags & CLONE_CHILD_SETTID && user_put32(args->child_tid, (u32)tid))
        goto fault;
    thread_start(t);
    return tid;

fault:
    thread_destroy(t);
    return -EFAULT;
}

long sys_clone(u64 flags, u64 stack, uaddr_t parent_tid, uaddr_t child_tid, u64 tls)
{
    struct linux_clone_args args = {
        .flags = (u32)flags & ~CSIGNAL,
        .exit_signal = flags & CSIGNAL,
        .stack = stack,
        .pidfd = parent_tid, /* the older call has one word for both */
        .parent_tid = parent_tid,
        .child_tid = child_tid,
        .tls = tls,
    };
    return create_thread(&args);
}

long sys_clone3(uaddr_t uargs, u64 size)
{
    struct linux_clone_args args;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    long err = copy_struct_from_user(&args, sizeof(args), uargs, size);
    if (err)
        return err;
    if (!args.stack != !args.stack_size || args.flags & (CSIGNAL | CLONE_DETACHED))
        return -EINVAL;
    if (args.set_tid_size || args.exit_signal & ~CSIGNAL)
        return -EINVAL;
    if (args.flags & CLONE_THREAD && args.exit_signal)
        return -EINVAL;
    args.stack += args.stack_size;
    return create_thread(&args);
}

long sys_exit(int status)
{
    struct process *p = current_process();
    if (current->tid == p->pid)
        p->exit_status = (status & 0xff) << 8; /* what the process ends with, after the last one */
    thread_exit();
}

long sys_exit_group(int status)
{
    process_exit((status & 0xff) << 8);
}

long sys_gettid(void)
{
    return current->tid;
}

long sys_set_tid_address(uaddr_t tidptr)
{
    current->clear_child_tid = tidptr;
    return current->tid;
}

long sys_set_robust_list(uaddr_t head, u64 len)
{
    if (len != sizeof(struct linux_robust_list_head))
        return -EINVAL;
    current->robust_list = head;
    return 0;
}

long sys_get_robust_list(int pid, uaddr_t head, uaddr_t len)
{
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    u64 list = t->robust_list, size = sizeof(struct linux_robust_list_head);
    thread_put(t);
    if (copy_to_user(len, &size, sizeof(size)) || copy_to_user(head, &list, sizeof(list)))
        return -EFAULT;
    return 0;
}

long sys_rseq(uaddr_t rseq, unsigned len, int flags, unsigned sig)
{
    return rseq_register(rseq, len, flags, sig);
}

long sys_arch_prctl(int code, uaddr_t addr)
{
    switch (code) {
    case ARCH_SET_FS:
        if (addr >= USER_TOP)
            return -EPERM;
        arch_set_fs(addr);
        return 0;
    case ARCH_GET_FS: {
        u64 base = arch_get_fs();
        return copy_to_user(addr, &base, sizeof(base));
    }
    case ARCH_SET_GS: /* GS is the kernel's: there is no swap on entry */
        log_warn_once("the program asks for a GS base of its own, which it cannot have");
        return -EPERM;
    case ARCH_GET_GS: {
        u64 base = 0;
        return copy_to_user(addr, &base, sizeof(base));
    }
    case ARCH_GET_CPUID:
        return 1;
    case ARCH_SET_CPUID:
        return addr ? 0 : -ENODEV;
    default:
        return -EINVAL;
    }
}
