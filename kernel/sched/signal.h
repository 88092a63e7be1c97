/* Signals: queues, masks, delivery.  Numbers and structures are Linux's (abi/signal.h). */
#pragma once

#include "abi/signal.h"
#include "lib/list.h"

struct thread;
struct process;
struct trap_frame;

typedef u64 sigset64_t; /* bit n-1 is signal n */

/** Pending signals: a mask, and what came with each (one entry for 1..31, a queue for real-time).
 */
struct sigqueue {
    sigset64_t pending;
    struct list_head entries;
};

/** As the ABI's struct sigaction (x86-64). */
struct sigaction64 {
    u64 handler;
    u64 flags;
    u64 restorer;
    sigset64_t mask;
};
struct sigaltstack64 {
    u64 sp;
    s32 flags;
    u32 pad;
    u64 size;
};

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
/** Take one pending signal of @set. Returns its number, or 0. */
int signal_dequeue(struct thread *thread, sigset64_t set, struct siginfo64 *info);
/** The StopSignal (serial break, power button) for the first process. Safe-point context. */
void signal_stop_program(void);
