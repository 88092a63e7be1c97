/* Threads and processes.  One kernel thread for each of the program's; kernel threads (no process)
 * run kernel code only.  What processes are to each other (parents, groups, sessions) is in
 * sched/family.h.  See docs/locking.md for the order. */
#pragma once

#include "abi/resource.h"
#include "arch/thread.h"
#include "core/percpu.h"
#include "core/timer.h"
#include "mm/mm.h"
#include "sched/cred.h"
#include "sched/signal.h"
#include "sched/wait.h"

struct process;
struct fd_table;   /* vfs/fd.h */
struct fs_context; /* vfs/path.h: root, working directory, umask */
struct file;
struct trap_frame;

/** The last two are left by a switch that has to do more than to switch. */
enum thread_state {
    THREAD_RUNNING,
    THREAD_SLEEP,
    THREAD_SLEEP_INTR,
    THREAD_STOPPED,
    THREAD_DEAD,
    THREAD_MOVING, /* awake, but may not run where it ran */
};

/** Bits of thread.work: what has to be done before the program goes on.  While the thread runs and
 * work is not 0, PEND_KICK is pending on its CPU. */
enum thread_work {
    WORK_SIGNAL = 1,   /* a deliverable signal may be pending */
    WORK_RESCHED = 2,  /* another thread should run */
    WORK_EXIT = 4,     /* the thread must end */
    WORK_PARK = 8,     /* the machine ends: the thread must run no more of its program */
    WORK_PROFILE = 32, /* somebody wants to know where it is */
    WORK_RSEQ = 16     /* the thread's struct rseq must be looked at (sched/rseq.h) */
};

/** CPU time in the program, and in the kernel for it. */
struct cpu_times {
    u64 user_ns, system_ns;
};

/** What was read and written, as /proc/PID/io tells it (proc(5)); counted from when somebody first
 * asks. */
struct io_counts {
    u64 read_chars, written_chars; /* bytes that calls have moved */
    u64 reads, writes;             /* those calls */
    u64 read_bytes, written_bytes; /* from disks; into pages that go to disks */
};

/* Fields: [C] the thread itself or its CPU, [I] fixed once started, [A] atomic, [Q] its run queue's
 * lock, [S] the process's signal lock, [T] the thread table's lock. */
struct thread {
    u32 work;                  /* [A] thread_work bits */
    u32 state;                 /* [Q] enum thread_state; the thread itself sets it to sleep */
    void *kstack;              /* [I] owns; NULL for the boot thread */
    void *kstack_top;          /* [I] its end */
    struct arch_thread arch;   /* [C] */
    struct process *process;   /* [I] NULL for a kernel thread; owns a reference */
    struct mm *mm;             /* [C] borrowed: its process's, or the one execve fills */
    int tid;                   /* [C] 0 for a kernel thread; execve may change it */
    u32 cpu;                   /* [Q] whose run queue */
    struct list_head run_node; /* [Q] in the run queue unless running or asleep */
    u64 vruntime;     /* [Q] ns of CPU time, weighted; of a real-time thread fixed and small */
    u32 weight;       /* [Q] 1024: nice 0; 0: a real-time thread */
    u64 run_start_ns; /* [Q] when it was last charged for its time */
    u64 cpu_time_ns;  /* [Q] */
    u64 divided_ns, system_ns; /* [Q] how much of that has been divided; the kernel's part */
    u64 switches, preemptions; /* [Q] voluntary and other */
#ifdef INGOT_DEBUG
    struct locks_held locks_held; /* [C] those that sleep */
#endif
    int nice;                 /* [Q] -20 .. 19 */
    u32 policy, rt_priority;  /* [Q] SCHED_*; 1 .. 99, or 0 */
    bool reset_on_fork;       /* [Q] threads it makes are of the fair class again */
    u64 affinity;             /* [Q] one bit a CPU */
    u32 refs;                 /* [A] */
    bool timed_out;           /* [C] sleep_timer has fired */
    struct timer sleep_timer; /* [C] */
    u64 start_time_ns;        /* [I] */

    struct thread *hash_next;      /* [T] */
    struct list_head process_node; /* [S] in process.threads */

    sigset64_t blocked;            /* [A] written by the thread itself only */
    sigset64_t saved_blocked;      /* [C] mask to restore after sigsuspend, ppoll, ... */
    sigset64_t waiting_for;        /* [S] of sigtimedwait */
    bool restore_blocked;          /* [C] */
    struct sigqueue pending;       /* [S] directed at this thread */
    struct sigaltstack64 altstack; /* [C] */
    u64 fault_addr;                /* [C] CR2 of the last fault, for the frame */
    u32 fault_vector, fault_error; /* [C] likewise */

    uaddr_t set_child_tid;   /* [C] where it writes its tid first of all, or 0 */
    uaddr_t clear_child_tid; /* [C] */
    uaddr_t robust_list;     /* [C] */
    bool left_locks;         /* [A] what it owned is others': nobody waits for it any more */
    uaddr_t rseq;            /* [C] its struct rseq, or 0; read where it moves */
    u32 rseq_sig;            /* [C] */
    char name[16];           /* [C] PR_SET_NAME */
    struct io_counts io;     /* [C] read by others as it is */
    struct restart_block {
        long (*fn)(struct thread *thread);
        u64 args[6]; /* of .fn: nothing without it */
    } restart;       /* [C] for calls that continue after a handler; the last member */
};

/* What a process runs, as /proc shows it.  Counted, because forks share it; [I] once in use. */
struct program {
    u32 refs;      /* [A] */
    char *exe;     /* path; owns; NULL: unknown */
    char *cmdline; /* arguments, NUL between; owns */
    size_t cmdline_len;
    u64 auxv[64];                                            /* pairs */
    u32 auxv_len;                                            /* in bytes */
    u64 arg_start, arg_end, env_start, env_end, stack_start; /* where they lie */
};
/** With one reference and all of it empty, or NULL. */
struct program *program_create(void);
/** Drop a reference; the last one frees it. */
void program_put(struct program *program);

/* Fields: [I], [A], [C], [S] under .siglock, [F] under the family lock (sched/family.h), [T] under
 * the thread table's. */
struct process {
    int pid;                  /* [I] */
    int ppid, pgid, sid;      /* [F] changes; read without */
    u32 refs;                 /* [A] */
    struct mm *mm;            /* [S] changes; owns a reference; NULL once it has ended */
    struct fd_table *files;   /* [S] changes; owned by vfs through process_hooks; NULL likewise */
    struct fs_context *fs;    /* [S] likewise */
    struct spinlock siglock;  /* after a wait queue's, before a run queue's */
    struct list_head threads; /* [S] */
    u32 nr_threads;           /* [S] */
    struct sigaction64 actions[64]; /* [S] */
    sigset64_t acted;               /* [S] signals whose action is not all zeros */
    struct sigqueue pending;        /* [S] for any thread */
    u32 nr_queued;                  /* [A] signals in all queues, against RLIMIT_SIGPENDING */
    struct waitq signal_wait;       /* signalfd; woken after a signal was queued */
    bool exiting;                   /* [S] */
    struct thread *exec_thread;     /* [S] in execve, waiting for all others to end */
    struct waitq threads_wait;      /* likewise: woken when a thread has ended */
    bool stopped;                   /* [S] by SIGSTOP and its like */
    bool stop_taken;        /* [S] one of these was, and neither continue nor end has come since */
    bool continued;         /* [S] by SIGCONT, which the parent is still to hear of */
    struct waitq stop_wait; /* stopped threads */
    u32 nr_halted;          /* [A] how many wait there */
    bool dumping;           /* [S] a thread writes its core file */
    int exit_status;        /* [S] as wait(2) reports it: code << 8, or the signal */
    struct rlimit64 rlimits[RLIM_NLIMITS]; /* [S] */
    struct creds creds;                    /* [S] */
    struct list_head all_node;             /* [F] in the list of all */
    struct process *hash_next;             /* [T] */
    u64 start_time_ns;                     /* [I] */

    struct process *parent;    /* [F] borrowed; NULL: the first one, or not born yet */
    struct list_head children; /* [F] zombies too */
    struct list_head sibling;  /* [F] in the parent's .children */
    struct waitq child_wait;   /* threads in wait(2) */
    struct waitq end_wait;     /* of pidfds: woken when it ends */
    int exit_signal;           /* [F] what the parent gets when it ends, 0: nothing */
    bool zombie;               /* [F] ended; only what wait(2) tells is left */
    bool executed;             /* [A] has called execve: setpgid of the parent comes too late */
    bool subreaper;            /* [A] orphans below it become its children */
    int pdeath_signal;         /* [A] to be sent when the parent ends, 0: none */
    int stop_report;      /* [F] signal that stopped it, which wait(2) has not told yet, or 0 */
    bool continue_report; /* [F] likewise */
    bool shares_parent_memory; /* [S] vfork: the parent waits at .vfork_wait until it is false */
    struct waitq vfork_wait;
    struct cpu_times children_cpu_times; /* [F] of children that were waited for, and theirs */
    u64 children_switches;               /* [F] likewise */
    u64 peak_pages, children_peak_pages; /* [F] at its end; the greatest of theirs */
    char comm[16];                       /* [S] name of the last thread, once that has ended */

    struct cpu_times ended_cpu_times;      /* [S] of threads that have ended */
    struct io_counts ended_io;             /* [S] likewise */
    u64 ended_switches;                    /* [S] likewise */
    int nice;                              /* [S] for threads to come */
    int oom_adj;                           /* [A] -1000 .. 1000: who ends first for memory */
    u32 personality;                       /* [A] */
    bool dumpable, no_new_privs, keepcaps; /* [A] as prctl set them; only reported */
    struct program *program;               /* [S] changes; owns a reference; NULL: none yet */
    struct list_head posix_timers;         /* [S] sched/posix_timer.c */
    struct itimers *itimers;               /* [S] sched/posix_timer.c; NULL until first used */
    struct sem_undo *sem_undo;             /* sys/sem.c: under the lock of semaphore sets */
    struct aio_context *aio;               /* sys/aio.c: under the lock of contexts */
};

#define current_process() (current->process)

/** The running process's; NULL: a kernel thread or the start, which may everything. */
static inline const struct creds *current_creds(void)
{
    const struct thread *thread = current;
    return thread && thread->process ? &thread->process->creds : NULL;
}
/** Is capability @cap (CAP_*) in force? */
static inline bool capable(u32 cap)
{
    const struct creds *c = current_creds();
    return !c || creds_capable(c, cap);
}

/* ---- starting and ending ---- */

/** Make the boot context a thread and start this CPU's run queue. */
void sched_init(void);
/** A kernel thread running fn(arg); not started. NULL: no memory. */
struct thread *thread_create_kernel(void (*fn)(void *), void *arg, const char *name);
/**
 * A thread of @process that will enter the program with @frame.  The first one gets the process's
 * pid as its tid.  Signal mask, name, nice and affinity are those of the current thread if it is of
 * the same process.  Not started; thread_start() makes it runnable.
 * Returns 0 and *@out, or -ENOMEM, -EAGAIN.
 */
int thread_create(struct process *process, const struct trap_frame *frame, struct thread **out);
/** Make a thread that was created runnable. */
void thread_start(struct thread *thread);
/** Undo thread_create() of a thread that was not started. */
void thread_destroy(struct thread *thread);
/** End the current thread; the last one ends its process. Never returns. */
void thread_exit(void) __attribute__((noreturn));
/** End the current thread, a kernel thread, and start @next in its place. Never returns. */
void thread_exit_to(struct thread *next) __attribute__((noreturn));
/**
 * Before the machine ends: no other thread goes on with its program.  Those that are in the kernel
 * come as far as its border.  Returns when no other CPU runs a program, or after half a second
 * where one does not come to a safe point.  Thread context, with no lock held.
 */
void sched_stop_programs(void);
/** End the whole process with @status as wait(2) reports it; the first process ends the VM. */
void process_exit(int status) __attribute__((noreturn));
/** A process without threads, with the next pid, the caller's reference, no files, no mm.  NULL: no
 * memory. */
struct process *process_create(void);
/** References; the last one frees a process that has ended and was waited for. */
void process_get(struct process *process);
void process_put(struct process *process);
/** Its address space or program with a new reference, or NULL: it has ended. */
struct mm *process_mm(struct process *process);
struct program *process_program(struct process *process);
/**
 * End all other threads of the current process, and wait until they are gone; the current one then
 * has the process's pid as its tid.  0, or -EAGAIN where the process ends or another thread is at
 * the same: then the current thread ends on its way back to the program.
 */
int process_become_single(void);
/** The program of a vfork child has memory of its own, or has ended: let the parent go on. */
void process_release_parent(struct process *process);

/* What the rooms above keep in a process; set once at start, any may be NULL. */
struct process_hooks {
    /** The last thread of a process ends: drop process->files and ->fs. May sleep. */
    void (*exit)(struct process *process);
    /** Count from now on what calls read and write, in thread.io. Called once. */
    void (*count_io)(void);
    /** A session's leader has ended: hang up its terminal. May sleep. */
    void (*session_end)(int sid);
};
extern struct process_hooks process_hooks;

/* ---- finding ---- */

/** The thread with @tid, with a new reference, or NULL. */
struct thread *thread_find(int tid);
/** Drop a reference; the last one frees a thread that has ended. */
void thread_put(struct thread *thread);
/** The process with @pid, with a new reference, or NULL. */
struct process *process_find(int pid);
/** Processes alive or waiting to be waited for, and how many there may be; 0 changes nothing. */
u32 process_count(void);
u32 process_limit(u32 new_limit);
/** Call @fn for each thread until it returns non-zero, and return that. Under siglock: no sleep. */
int process_for_each_thread(struct process *process, int (*fn)(struct thread *, void *), void *arg);
/** The process after the one with pid @pid (0: the first) with a new reference; NULL: no more. */
struct process *process_next(int pid);
/** The tid after @tid in @process (0: the first), 0: no more. */
int process_next_tid(struct process *process, int tid);
/** The letter that /proc/PID/stat shows: R, S, D or T. */
char thread_state_letter(const struct thread *thread);
/** Nanoseconds of CPU time of a thread, and of a whole process. */
u64 thread_cpu_time(struct thread *thread);
u64 process_cpu_time(struct process *process);
/** The same with the kernel's part apart, which is known from when somebody first asks. */
struct cpu_times thread_cpu_times(struct thread *thread);
struct cpu_times process_cpu_times(struct process *process);
/** What a process has read and written since somebody first asked. */
struct io_counts process_io_counts(struct process *process);
/** Begin to count it. */
void io_counts_begin(void);
extern bool io_counting; /* [A] */
/** Bytes that the current thread has had read from a disk, or made dirty. */
static inline void io_count_disk(u64 read_bytes, u64 written_bytes)
{
    if (unlikely(__atomic_load_n(&io_counting, __ATOMIC_RELAXED))) {
        current->io.read_bytes += read_bytes;
        current->io.written_bytes += written_bytes;
    }
}
/** Begin to tell the program's time from the kernel's, by samples (sched/account.c). */
void cpu_times_begin(void);

struct sched_stats {
    u64 switches, created;  /* context switches and threads since boot */
    u64 idle_ns, system_ns; /* all CPUs */
    u32 running, threads;   /* runnable now, alive now */
};
/** Of all CPUs, not of one moment. */
void sched_get_stats(struct sched_stats *out);
/** Of one CPU: all but .created and .threads. */
void sched_get_cpu_stats(u32 cpu, struct sched_stats *out);
/** Load averages of 1, 5 and 15 minutes as fixed point with 11 bits of fraction. */
void sched_get_load(u64 out[3]);

/** Begin to sample where programs are, if `ingot.profile=1` and somebody listens. */
void profile_start(void);

/* ---- running ---- */

/** Make @thread runnable if it sleeps. True if it did. */
bool thread_wake(struct thread *thread);
/**
 * The same for who calls thread_give_way() next, with no lock held, or ends: that way a switch to
 * @thread costs neither the exit work of a call nor a second look at the clock.
 */
bool thread_wake_giving_way(struct thread *thread);
/** What thread_give_way() does where there is somebody. */
void thread_leave_for_woken(void);
static inline void thread_give_way(void)
{
    if (unlikely(__atomic_load_n(&current->work, __ATOMIC_RELAXED) & WORK_RESCHED))
        thread_leave_for_woken();
}
/** Let another thread run. */
void schedule(void);
/** sched_yield(2): behind all that wait; a real-time thread behind those of its priority. */
void thread_yield(void);
/** Set thread_work bits and make the thread's CPU look at them. */
void thread_set_work(struct thread *thread, u32 bits);
/** Change the policy: SCHED_OTHER, _BATCH, _IDLE, or _FIFO and _RR with @priority 1..99. */
void thread_set_policy(struct thread *thread, u32 policy, u32 priority);
/** Change nice (-20..19) or affinity (a non-empty subset of the CPUs there are). */
void thread_set_nice(struct thread *thread, int nice);
void thread_set_affinity(struct thread *thread, u64 mask);
/** Sleep until one CPU of @mask runs: they come a little later than the program, or, what cannot be
 * helped, not at all within a second. */
void cpu_wait_online(u64 mask);
/** In a long loop: serve pending interrupts and let others run if it is time. */
void sched_point(void);
/** What runs before going back to the program: interrupts, signals, rescheduling. */
void program_exit_work(struct trap_frame *frame);

/** True if an interruptible sleep must end now. */
static inline bool signal_pending(void)
{
    return __atomic_load_n(&current->work, __ATOMIC_RELAXED) & (WORK_SIGNAL | WORK_EXIT);
}
