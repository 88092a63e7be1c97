/* Threads and processes.  One kernel thread for each of the program's; kernel threads (no process)
 * run kernel code only.  See docs/locking.md for the order. */
#pragma once

#include "arch/x86_64/thread.h"
#include "core/percpu.h"
#include "core/timer.h"
#include "mm/mm.h"
#include "sched/signal.h"
#include "sched/wait.h"

struct process;
struct fd_table;   /* vfs/fd.h */
struct fs_context; /* vfs/path.h: root, working directory, umask */
struct file;

enum thread_state { THREAD_RUNNING, THREAD_SLEEP, THREAD_SLEEP_INTR, THREAD_STOPPED, THREAD_DEAD };

/** Bits of thread.work: what the exit of a system call has to do before the program goes on. */
enum thread_work {
    WORK_SIGNAL = 1,  /* a deliverable signal may be pending */
    WORK_RESCHED = 2, /* another thread should run */
    WORK_EXIT = 4,    /* the process is ending */
    WORK_TRACE = 8    /* print the system call */
};

/* Fields: [C] the thread itself or its CPU, [I] fixed once started, [A] atomic, [Q] its run queue's
 * lock, [S] the process's signal lock. */
struct thread {
    u32 work;                  /* [A] thread_work bits; first, because the entry code tests it */
    u32 state;                 /* [Q] enum thread_state */
    void *kstack_top;          /* [I] */
    struct arch_thread arch;   /* [C] */
    struct process *process;   /* [I] NULL for a kernel thread */
    int tid;                   /* [I] */
    u32 cpu;                   /* [Q] whose run queue */
    void *kstack;              /* [I] owns */
    struct list_head run_node; /* [Q] */
    struct list_head process_node;             /* [S] in process.threads */
    u64 vruntime, slice_start_ns, cpu_time_ns; /* [Q] */
    int nice;                                  /* [Q] */
    u64 affinity;                              /* [Q] one bit a CPU */
    bool wake_pending;                         /* [Q] woken between prepare and sleep */
    struct timer sleep_timer;                  /* [C] */
    u32 refs;                                  /* [A] */

    sigset64_t blocked;            /* [S] written by the thread itself only */
    sigset64_t saved_blocked;      /* [C] mask to restore after sigsuspend, ppoll, ... */
    bool restore_blocked;          /* [C] */
    struct sigqueue pending;       /* [S] directed at this thread */
    struct sigaltstack64 altstack; /* [C] */
    uaddr_t clear_child_tid;       /* [C] */
    uaddr_t robust_list;           /* [C] */
    char name[16];                 /* [C] PR_SET_NAME */
    u64 syscall_nr;                /* [C] the call being served, for restart and trace */
    struct restart_block {
        int (*fn)(struct thread *thread);
        u64 args[5];
    } restart; /* [C] for calls that continue after a handler */
};

struct rlimit64 {
    u64 cur, max;
};

/* Fields: [I], [A], [S] under .siglock, [P] under the process-table lock. */
struct process {
    int pid, ppid, pgid, sid;           /* [P] */
    u32 refs;                           /* [A] */
    struct mm *mm;                      /* [I] until execve; owns a reference */
    struct fd_table *files;             /* [I] owns a reference */
    struct fs_context *fs;              /* [I] owns a reference */
    struct spinlock siglock;            /* after a wait queue's, before a run queue's */
    struct list_head threads;           /* [S] */
    u32 nr_threads;                     /* [S] */
    struct sigaction64 actions[64];     /* [S] */
    struct sigqueue pending;            /* [S] for any thread */
    struct waitq signal_wait;           /* signalfd and sigtimedwait */
    bool exiting;                       /* [S] */
    int exit_status;                    /* [S] as wait(2) reports it: code << 8, or the signal */
    struct rlimit64 rlimits[16];        /* [S] */
    struct list_head children, sibling; /* [P] */
    struct waitq child_wait;
    u64 start_time_ns; /* [I] */
    u64 cpu_time_ns;   /* [A] of threads that have ended */
    char *exe;         /* [I] path of the program; owns */
    char *cmdline;     /* [I] arguments, NUL between; owns */
    size_t cmdline_len;
    u64 auxv[64];                                            /* [I] for /proc/self/auxv; pairs */
    u32 auxv_len;                                            /* in bytes */
    u64 arg_start, arg_end, env_start, env_end, stack_start; /* [I] for /proc/self/stat */
    struct timer itimer_real;                                /* setitimer(ITIMER_REAL) */
    void *posix_timers;                                      /* sched/posix_timer.c's own */
    u32 umask_unused;
};

#define current_process() (current->process)

/** Make the boot context a thread and start this CPU's run queue. */
void sched_init(void);
/** A kernel thread running fn(arg); not started. NULL: no memory. */
struct thread *thread_create_kernel(void (*fn)(void *), void *arg, const char *name);
/**
 * A thread of @process that will enter the program with @frame.
 * Not started; thread_start() makes it runnable. Returns 0 and *@out, or -ENOMEM, -EAGAIN.
 */
int thread_create(struct process *process, const struct trap_frame *frame, struct thread **out);
void thread_start(struct thread *thread);
/** End the current thread (not the process). Never returns. */
void thread_exit(void) __attribute__((noreturn));
/** End the whole process with @status as wait(2) reports it; the first process ends the VM. */
void process_exit(int status) __attribute__((noreturn));
struct process *process_create(void);
void process_put(struct process *process);
/** The thread with @tid, with a new reference, or NULL. */
struct thread *thread_find(int tid);
struct process *process_find(int pid);
void thread_put(struct thread *thread);
/** Make @thread runnable if it sleeps. True if it did. */
bool thread_wake(struct thread *thread);
/** Let another thread run. */
void schedule(void);
void thread_yield(void);
/** In a long loop: serve pending interrupts and let others run if it is time. */
void sched_point(void);
/** What runs before going back to the program: interrupts, signals, rescheduling. */
void program_exit_work(struct trap_frame *frame);
/** True if an interruptible sleep must end now. */
bool signal_pending(void);
/** Nanoseconds of CPU time of a thread, and of a whole process. */
u64 thread_cpu_time(struct thread *thread);
u64 process_cpu_time(struct process *process);
