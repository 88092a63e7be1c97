/* Signals: queues, masks, delivery.  Numbers and structures are Linux's (abi/signal.h). */
#pragma once

#include "abi/signal.h"
#include "lib/list.h"

struct thread;
struct process;
struct trap_frame;

/* What a handler returns when a signal ends its sleep; never seen by the program (Linux's numbers).
 */
enum restart_errno {
    ERESTARTSYS = 512,    /* start again if the action has SA_RESTART or there is no handler */
    ERESTARTNOINTR = 513, /* always start again */
    ERESTARTNOHAND = 514, /* start again only where no handler ran, else EINTR */
    ERESTART_RESTARTBLOCK = 516, /* likewise, but go on with thread.restart */
};

#define sigmask(sig) (1ull << ((sig)-1))

/* Signals that cannot be blocked, caught or ignored. */
#define SIGNALS_UNBLOCKABLE (sigmask(SIGKILL) | sigmask(SIGSTOP))

/** Pending signals: a mask, and what came with each (one entry for 1..31, a queue for real-time).
 */
struct sigqueue {
    sigset64_t pending;
    struct list_head entries;
};

/** An empty queue. */
void sigqueue_init(struct sigqueue *queue);
/** Forget everything; the entries are freed and taken off *@counter. */
void sigqueue_flush(struct sigqueue *queue, u32 *counter);
/** Forget the signals of @set. */
void sigqueue_remove(struct sigqueue *queue, sigset64_t set, u32 *counter);
/**
 * Add @info.  0; -EAGAIN where a queued signal finds no memory or *@counter at @limit (signals
 * below SIGRTMIN are then pending without their information, as in Linux, and 0 is returned).
 */
int sigqueue_add(struct sigqueue *queue, const struct siginfo64 *info, u32 *counter, u64 limit);
/** Take the lowest pending signal of @set (faults first), or the oldest of a real-time one. Its
 * number, or 0. */
int sigqueue_take(struct sigqueue *queue, sigset64_t set, struct siginfo64 *info, u32 *counter);

/** Send @info->si_signo to a thread. 0, or -EAGAIN where the queue is full. Any context of a
 * thread. */
int signal_send_thread(struct thread *thread, const struct siginfo64 *info);
/** Send to a process: any thread that does not block it takes it. */
int signal_send_process(struct process *process, const struct siginfo64 *info);
/** A fault of the current thread: cannot be blocked or ignored (then the process dies of it). */
void signal_force(int sig, int code, u64 addr, struct trap_frame *frame);
/** Deliver what is pending: called on the way back to the program. */
void signal_deliver(struct trap_frame *frame);
/** Recompute WORK_SIGNAL of the current thread after its mask changed. */
void signal_update_work(void);
/** Set the mask of the current thread; SIGKILL and SIGSTOP stay unblocked. */
void signal_set_blocked(sigset64_t mask);
/** Block @mask for the current call only (ppoll, sigsuspend): the old mask comes back after the
 * handler has run, or by signal_restore_mask() where the call ends without one. */
void signal_set_temporary_mask(sigset64_t mask);
void signal_restore_mask(void);
/** Take one pending signal of @set. Returns its number, or 0. */
int signal_dequeue(struct thread *thread, sigset64_t set, struct siginfo64 *info);
/** What is pending for the thread: its own and its process's. */
sigset64_t signal_pending_set(struct thread *thread);
/**
 * Wait for a signal of @set until @deadline_ns.  Its number and *@info, -EAGAIN at the deadline, or
 * -EINTR where another one has to be handled.
 */
int signal_wait(sigset64_t set, struct siginfo64 *info, u64 deadline_ns);
/** rt_sigaction: either may be NULL. 0 or -EINVAL. */
int signal_action(int sig, const struct sigaction64 *act, struct sigaction64 *old);
/** sigaltstack: either may be NULL; @sp is the program's stack pointer. 0, -EINVAL, -ENOMEM or
 * -EPERM. */
int signal_altstack(const struct sigaltstack64 *new, struct sigaltstack64 *old, u64 sp);
/** Restore what the handler's frame at the program's stack pointer holds.  False: it is bad. */
bool signal_return(struct trap_frame *frame);
/** The StopSignal (serial break, power button) for the first process. Safe-point context. */
void signal_stop_program(void);
/** Which signal that is: SIGTERM unless the command line or the image says otherwise. */
void signal_set_stop_signal(int sig);
/** "SIGSEGV", "SIGRT_3", ... into @buf. */
const char *signal_name(int sig, char *buf, size_t size);
