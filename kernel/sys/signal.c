/* Signals: actions, masks, sending, waiting. */
#include "sched/signal.h"

#include "abi/errno.h"
#include "arch/frame.h"
#include "sched/family.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

long sys_rt_sigaction(int sig, uaddr_t act, uaddr_t oldact, u64 size)
{
    struct sigaction64 new, old;

    if (size != sizeof(sigset64_t))
        return -EINVAL;
    if (act && copy_from_user(&new, act, sizeof(new)))
        return -EFAULT;
    int err = signal_action(sig, act ? &new : NULL, oldact ? &old : NULL);
    return err || !oldact ? err : copy_to_user(oldact, &old, sizeof(old));
}

long sys_rt_sigprocmask(int how, uaddr_t set, uaddr_t oldset, u64 size)
{
    sigset64_t old = current->blocked, mask;
    if (size != sizeof(mask))
        return -EINVAL;
    if (set) {
        if (user_get64(&mask, set))
            return -EFAULT;
        switch (how) {
        case SIG_BLOCK:
            mask |= old;
            break;
        case SIG_UNBLOCK:
            mask = old & ~mask;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        signal_set_blocked(mask);
    }
    return oldset ? user_put64(oldset, old) : 0;
}

long sys_rt_sigpending(uaddr_t set, u64 size)
{
    sigset64_t pending = signal_pending_set(current) & current->blocked;
    if (size > sizeof(pending))
        return -EINVAL;
    return copy_to_user(set, &pending, size);
}

/* A frame that is not one is answered as Linux does: with SIGSEGV. */
long sys_rt_sigreturn(void)
{
    struct trap_frame *frame = current_frame();
    if (!signal_return(frame)) {
        frame->orig_rax = (u64)-1;
        signal_force(SIGSEGV, SI_KERNEL, 0, frame);
    }
    frame->rip = mm_real_pc(mm_current(), frame->rip);
    arch_enter_program(frame);
}

long sys_sigaltstack(uaddr_t ss, uaddr_t uold)
{
    struct sigaltstack64 new, old;
    if (ss && copy_from_user(&new, ss, sizeof(new)))
        return -EFAULT;
    int err = signal_altstack(ss ? &new : NULL, &old, current_frame()->rsp);
    return err ? err : put_optional(uold, &old, sizeof(old));
}

/* ---- sending ---- */

static bool valid_signal(int sig)
{
    return sig >= 0 && sig <= SIGRTMAX;
}

static struct siginfo64 info_from_self(int sig, int code)
{
    struct siginfo64 info = {.si_signo = sig, .si_code = code};
    info.kill.pid = current_process()->pid;
    info.kill.uid = current_process()->creds.uid;
    return info;
}

/** Signal 0 only asks whether it may be sent. */
static long send(struct process *p, const struct siginfo64 *info)
{
    if (!signal_may_send(p, info))
        return -EPERM;
    return info->si_signo ? signal_send_process(p, info) : 0;
}

static long send_to_process(int pid, const struct siginfo64 *info)
{
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    long err = send(p, info);
    process_put(p);
    return err;
}

static long send_to_thread(int tgid, int tid, const struct siginfo64 *info)
{
    if (tid <= 0)
        return -EINVAL;
    struct thread *t = thread_find(tid);
    if (!t)
        return -ESRCH;
    long err = -ESRCH;
    if (t->process && (tgid < 0 || t->process->pid == tgid))
        err = signal_may_send(t->process, info) ? 0 : -EPERM;
    if (!err && info->si_signo)
        err = signal_send_thread(t, info);
    thread_put(t);
    return err;
}

long sys_kill(int pid, int sig)
{
    if (!valid_signal(sig))
        return -EINVAL;
    struct siginfo64 info = info_from_self(sig, SI_USER);
    if (pid > 0)
        return send_to_process(pid, &info);
    if (pid == INT_MIN)
        return -ESRCH;
    return signal_send_group(pid == -1 ? -1 : pid ? -pid : current_process()->pgid, &info);
}

long sys_tgkill(int tgid, int tid, int sig)
{
    if (!valid_signal(sig) || tgid <= 0)
        return -EINVAL;
    struct siginfo64 info = info_from_self(sig, SI_TKILL);
    return send_to_thread(tgid, tid, &info);
}

long sys_tkill(int tid, int sig)
{
    if (!valid_signal(sig))
        return -EINVAL;
    struct siginfo64 info = info_from_self(sig, SI_TKILL);
    return send_to_thread(-1, tid, &info);
}

/** What a program sends as siginfo. Only to itself may it claim to be the kernel. */
static int read_info(uaddr_t from, int sig, bool to_self, struct siginfo64 *info)
{
    if (!valid_signal(sig))
        return -EINVAL;
    if (copy_from_user(info, from, sizeof(*info)))
        return -EFAULT;
    info->si_signo = sig;
    if ((info->si_code >= 0 || info->si_code == SI_TKILL) && !to_self)
        return -EPERM;
    if (info->si_code == SI_TIMER) /* would be taken for a timer's own */
        info->si_code = SI_QUEUE;
    return 0;
}

long sys_rt_sigqueueinfo(int pid, int sig, uaddr_t uinfo)
{
    struct siginfo64 info;
    int err = read_info(uinfo, sig, pid == current_process()->pid, &info);
    return err ? err : send_to_process(pid, &info);
}

/* To the process itself, whoever has its number by now. */
long sys_pidfd_send_signal(int pidfd, int sig, uaddr_t uinfo, unsigned flags)
{
    struct siginfo64 info;
    if (flags || !valid_signal(sig))
        return -EINVAL;
    struct process *p;
    long err = pidfd_or_folder(pidfd, &p);
    if (err)
        return err;
    if (uinfo)
        err = read_info(uinfo, sig, p == current_process(), &info);
    else
        info = info_from_self(sig, SI_USER);
    if (!err)
        err = process_is_reaped(p) ? -ESRCH : send(p, &info);
    process_put(p);
    return err;
}

long sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, uaddr_t uinfo)
{
    struct siginfo64 info;
    if (tgid <= 0 || tid <= 0)
        return -EINVAL;
    int err = read_info(uinfo, sig, tgid == current_process()->pid, &info);
    return err ? err : send_to_thread(tgid, tid, &info);
}

/* ---- waiting ---- */

static long sleep_for_signal(void)
{
    while (!signal_pending()) {
        thread_prepare_sleep(true);
        thread_sleep_until(NO_DEADLINE);
        thread_finish_sleep();
    }
    return -ERESTARTNOHAND;
}

long sys_pause(void)
{
    return sleep_for_signal();
}

long sys_rt_sigsuspend(uaddr_t set, u64 size)
{
    sigset64_t mask;
    if (size != sizeof(mask))
        return -EINVAL;
    if (copy_from_user(&mask, set, sizeof(mask)))
        return -EFAULT;
    signal_set_temporary_mask(mask);
    return sleep_for_signal();
}

long sys_rt_sigtimedwait(uaddr_t set, uaddr_t uinfo, uaddr_t timeout, u64 size)
{
    sigset64_t mask;
    struct siginfo64 info;
    u64 ns, deadline_ns = NO_DEADLINE;
    if (size != sizeof(mask))
        return -EINVAL;
    if (copy_from_user(&mask, set, sizeof(mask)))
        return -EFAULT;
    if (timeout) {
        int err = get_timespec_ns(timeout, &ns);
        if (err)
            return err;
        deadline_ns = time_after_ns(ns);
    }
    int sig = signal_wait(mask, &info, deadline_ns);
    if (sig > 0 && put_optional(uinfo, &info, sizeof(info)))
        return -EFAULT;
    return sig;
}

long sys_restart_syscall(void)
{
    long (*fn)(struct thread *) = current->restart.fn;
    current->restart.fn = NULL;
    return fn ? fn(current) : -EINTR;
}
