/* Sending signals and the masks.  Delivery is in signal_deliver.c.
 * PID 1 differs from Linux on purpose: there the first process ignores every signal it has no
 * handler for; here such a signal does what its default says, so that a StopSignal ends the program
 * (docs/decisions/0007-stop-signal-and-pid-1.md). */
#include "sched/signal.h"

#include "abi/errno.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "core/log.h"
#include "core/panic.h"
#include "sched/sched_priv.h"

#define SIGNALS_IGNORED (sigmask(SIGCHLD) | sigmask(SIGURG) | sigmask(SIGWINCH) | sigmask(SIGCONT))
#define SIGNALS_STOP    (sigmask(SIGSTOP) | sigmask(SIGTSTP) | sigmask(SIGTTIN) | sigmask(SIGTTOU))

bool signal_default_ignores(int sig)
{
    return sigmask(sig) & SIGNALS_IGNORED;
}

bool signal_default_stops(int sig)
{
    return sigmask(sig) & SIGNALS_STOP;
}

static bool ignored_locked(struct process *p, int sig)
{
    u64 handler = p->actions[sig - 1].handler;
    return handler == SIG_IGN || (handler == SIG_DFL && signal_default_ignores(sig));
}

/** True if @t would act on @sig at once. */
static bool wants(const struct thread *t, int sig)
{
    return !(t->blocked & sigmask(sig)) || t->waiting_for & sigmask(sig);
}

/** Make @t notice. [S] held. */
static void notify_thread(struct thread *t, int sig)
{
    if (!(t->blocked & sigmask(sig)))
        thread_set_work(t, WORK_SIGNAL);
    thread_wake_interruptible(t);
}

/** Choose who takes a signal of the process: the first thread that would and has nothing else to
 * take, as Linux does.  Programs of many threads count on the main one. */
static struct thread *choose_thread(struct process *p, int sig)
{
    struct thread *t, *busy = NULL;
    list_for_each(t, &p->threads, process_node) {
        if (!wants(t, sig))
            continue;
        if (!(__atomic_load_n(&t->work, __ATOMIC_RELAXED) & WORK_SIGNAL))
            return t;
        busy = busy ? busy : t;
    }
    return busy;
}

void signal_retarget_locked(struct process *p)
{
    sigset64_t left = p->pending.pending;
    while (left) {
        int sig = __builtin_ctzll(left) + 1;
        left &= left - 1;
        struct thread *t = choose_thread(p, sig);
        if (t)
            notify_thread(t, sig);
    }
}

static __attribute__((noinline)) void remove_everywhere(struct process *p, sigset64_t set)
{
    struct thread *t;
    sigqueue_remove(&p->pending, set, &p->nr_queued);
    list_for_each(t, &p->threads, process_node)
        sigqueue_remove(&t->pending, set, &p->nr_queued);
}

/** A stop takes back a pending continue and the other way round; SIGCONT and SIGKILL wake the
 * stopped. */
static void stop_and_continue_locked(struct process *p, int sig)
{
    if (signal_default_stops(sig))
        remove_everywhere(p, sigmask(SIGCONT));
    else if (sig == SIGCONT)
        remove_everywhere(p, SIGNALS_STOP);
    if (sig == SIGCONT || sig == SIGKILL)
        p->stop_taken = false;
    if (p->stopped && (sig == SIGCONT || sig == SIGKILL)) {
        p->stopped = false;
        p->continued = sig == SIGCONT;
    }
}

/** True if some thread blocks @sig or waits for it: then it is kept even if it would be ignored. */
static bool kept_locked(struct process *p, struct thread *target, int sig)
{
    struct thread *t = target ? target : list_first(&p->threads, struct thread, process_node);
    return (t->blocked | t->waiting_for) & sigmask(sig);
}

static int send_signal(struct process *p, struct thread *target, const struct siginfo64 *info)
{
    int sig = info->si_signo, err = 0;
    spin_lock(&p->siglock);
    if (p->exiting || list_empty(target ? &target->process_node : &p->threads))
        goto out; /* a thread that has left takes nothing more, and what it kept would be lost */
    stop_and_continue_locked(p, sig);
    if (ignored_locked(p, sig) && !kept_locked(p, target, sig))
        goto out;
    err = sigqueue_add(target ? &target->pending : &p->pending, info, &p->nr_queued,
                       p->rlimits[RLIMIT_SIGPENDING].cur);
    if (err)
        goto out;
    mb(); /* what is pending, then the masks: who changes his does it the other way round */
    struct thread *t = target ? target : choose_thread(p, sig);
    if (t)
        notify_thread(t, sig);
out:
    spin_unlock(&p->siglock);
    waitq_wake_all(&p->signal_wait, 1); /* POLLIN */
    if (sig == SIGCONT || sig == SIGKILL)
        waitq_wake_all(&p->stop_wait, 0);
    return err;
}

int signal_send_thread(struct thread *t, const struct siginfo64 *info)
{
    return t->process ? send_signal(t->process, t, info) : 0;
}

int signal_send_process(struct process *p, const struct siginfo64 *info)
{
    return send_signal(p, NULL, info);
}

void signal_force(int sig, int code, u64 addr, struct trap_frame *frame)
{
    (void)frame;
    struct thread *t = current;
    struct process *p = t->process;
    struct siginfo64 info = {.si_signo = sig, .si_code = code, .fault.addr = addr};

    spin_lock(&p->siglock);
    struct sigaction64 *action = &p->actions[sig - 1];
    if (t->blocked & sigmask(sig) || action->handler == SIG_IGN) {
        action->handler = SIG_DFL;
        t->blocked &= ~sigmask(sig);
    }
    sigqueue_add(&t->pending, &info, &p->nr_queued, UINT64_MAX); /* a fault is always pending */
    spin_unlock(&p->siglock);
    thread_set_work(t, WORK_SIGNAL);
}

sigset64_t signal_pending_set(struct thread *t)
{
    return __atomic_load_n(&t->pending.pending, __ATOMIC_RELAXED) |
           __atomic_load_n(&t->process->pending.pending, __ATOMIC_RELAXED);
}

static inline void update_work(struct thread *t)
{
    if (signal_pending_set(t) & ~t->blocked)
        thread_set_work(t, WORK_SIGNAL);
    else if (__atomic_load_n(&t->work, __ATOMIC_RELAXED) & WORK_SIGNAL)
        __atomic_fetch_and(&t->work, ~(u32)WORK_SIGNAL, __ATOMIC_RELAXED);
}

void signal_update_work(void)
{
    update_work(current);
}

/** The mask of @t, the current thread, has changed while something was pending. */
static __attribute__((noinline)) void mask_has_changed(struct thread *t, bool blocks_more)
{
    spin_lock(&t->process->siglock);
    update_work(t);
    if (blocks_more && t->process->pending.pending && t->process->nr_threads > 1)
        signal_retarget_locked(t->process); /* what we were to take, another may */
    spin_unlock(&t->process->siglock);
}

/* The C library does this four times for each thread that it makes: without the lock where nothing
 * is pending. */
void signal_set_blocked(sigset64_t mask)
{
    struct thread *t = current;
    sigset64_t before = t->blocked;

    mask &= ~SIGNALS_UNBLOCKABLE;
    if (mask == before)
        return;
    /* A full barrier: who sends sees the new mask, or we see what it has sent. */
    __atomic_exchange_n(&t->blocked, mask, __ATOMIC_SEQ_CST);
    if (unlikely(signal_pending_set(t)) ||
        unlikely(__atomic_load_n(&t->work, __ATOMIC_RELAXED) & WORK_SIGNAL))
        mask_has_changed(t, mask & ~before);
}

void signal_set_temporary_mask(sigset64_t mask)
{
    current->saved_blocked = current->blocked;
    current->restore_blocked = true;
    signal_set_blocked(mask);
}

void signal_restore_mask(void)
{
    struct thread *t = current;
    if (!t->restore_blocked)
        return;
    t->restore_blocked = false;
    signal_set_blocked(t->saved_blocked);
}

int signal_dequeue(struct thread *t, sigset64_t set, struct siginfo64 *info)
{
    struct process *p = t->process;
    spin_lock(&p->siglock);
    int sig = sigqueue_take(&t->pending, set, info, &p->nr_queued);
    if (!sig)
        sig = sigqueue_take(&p->pending, set, info, &p->nr_queued);
    if (sig && info->si_code == SI_TIMER)
        posix_timer_taken(p, info);
    if (unlikely(sig && signal_default_stops(sig)))
        p->stop_taken = true;
    if (t == current)
        signal_update_work();
    spin_unlock(&p->siglock);
    return sig;
}

int signal_wait(sigset64_t set, struct siginfo64 *info, u64 deadline_ns)
{
    struct thread *t = current;
    set &= ~SIGNALS_UNBLOCKABLE;
    int sig = 0, err = 0;

    t->waiting_for = set;
    for (;;) {
        thread_prepare_sleep(true);
        sig = signal_dequeue(t, set, info);
        if (sig || err)
            break;
        err = thread_sleep_until(deadline_ns);
    }
    thread_finish_sleep();
    t->waiting_for = 0;
    if (sig)
        return sig;
    return err == -ETIMEDOUT ? -EAGAIN : err;
}

int signal_action(int sig, const struct sigaction64 *act, struct sigaction64 *old)
{
    struct process *p = current_process();
    if (sig < 1 || sig > SIGRTMAX || (act && sigmask(sig) & SIGNALS_UNBLOCKABLE))
        return -EINVAL;
    spin_lock(&p->siglock);
    struct sigaction64 *action = &p->actions[sig - 1];
    if (old)
        *old = *action;
    if (act) {
        *action = *act;
        action->mask &= ~SIGNALS_UNBLOCKABLE;
        p->acted |= sigmask(sig);
        if (ignored_locked(p, sig)) /* POSIX: ignoring a signal forgets a pending one */
            remove_everywhere(p, sigmask(sig));
    }
    spin_unlock(&p->siglock);
    return 0;
}

/* ---- hooks of the rooms below ---- */

static int stop_signal = SIGTERM;

void signal_set_stop_signal(int sig)
{
    if (sig >= 1 && sig <= SIGRTMAX)
        stop_signal = sig;
    else
        log_warn("no such signal: %d; the StopSignal stays %d", sig, stop_signal);
}

void signal_stop_program(void)
{
    struct process *p = process_next(0);
    if (!p) /* not started yet, and it would not have caught it */
        vm_end(VM_SIGNAL, stop_signal);
    struct siginfo64 info = {.si_signo = stop_signal, .si_code = SI_KERNEL};
    log_info("stop: signal %d to the program", stop_signal);
    signal_send_process(p, &info); /* fails only for queued real-time signals: nothing to add */
    process_put(p);
}

void stop_requested(void)
{
    signal_stop_program();
}

void program_trap(struct trap_frame *frame, int sig, int si_code, u64 addr)
{
    struct thread *t = current;
    t->fault_vector = frame->vector;
    t->fault_error = frame->error;
    if (frame->vector == TRAP_PF)
        t->fault_addr = addr;
    signal_force(sig, si_code, addr, frame);
}
