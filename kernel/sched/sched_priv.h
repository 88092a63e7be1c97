/* What the files of this folder share. */
#pragma once

#include "abi/errno.h"
#include "core/panic.h"
#include "sched/thread.h"

/* [L] under .lock, [C] own CPU only, [I] fixed.  The running thread is not in the queue; a thread
 * that found nothing else to run idles in place, on its own stack, and stays .running. */
struct runqueue {
    struct spinlock lock;      /* held across a switch; after all other locks but the timers' */
    bool idle;                 /* [L] the CPU waits for work */
    struct cpu *cpu;           /* [I] */
    struct thread *running;    /* [L] */
    struct thread *home;       /* [I] sleeps, in no queue: to be switched to where nobody else can;
                                  NULL: one CPU, where nobody must leave */
    struct thread *last;       /* [C] whom the switch now under way leaves */
    struct list_head queue;    /* [L] runnable threads by vruntime */
    u32 nr_queued;             /* [L] */
    u64 min_vruntime;          /* [L] never falls; where sleepers are placed near */
    struct timer slice_timer;  /* [C] set while somebody waits */
    u64 idle_ns, switches;     /* [L] */
    u64 idle_since_ns;         /* [L] where .idle is true */
    u32 rt_slices;             /* [C] that real-time threads had while others waited */
    bool fair_turn;            /* [L] after many of them: one slice for the others */
    struct timer sample_timer; /* [C] see account.c */
    u64 system_ns;             /* [L] found by samples */
    struct timer watch_timer;  /* [C] see watch.c */
    u32 beats;                 /* [A] kicks it has come to see to */
    u32 seen_beats, missed;    /* [C] of the CPU it watches */
};

/* ---- smp.c ---- */

extern bool programs_stopped; /* [A] no thread goes back to its program any more */

/* ---- watch.c ---- */

extern bool watching; /* [A] */
void watch_start(void);
/** A CPU has something to do: let each be watched by another. */
static inline void watch_begin(void)
{
    if (unlikely(!__atomic_load_n(&watching, __ATOMIC_RELAXED)))
        watch_start();
}
/** @rq's CPU, which is the running one, has come to a safe point and found a kick. */
void watch_kicked(struct runqueue *rq);
void watch_init(struct runqueue *rq);

/* ---- thread.c ---- */

/** What a thread does first after it was switched to, and after every switch. */
void sched_finish_switch(void);
/** Free a thread whose last reference is gone; it is not running any more. */
void thread_free(struct thread *thread);
/** Give the process its number. */
int tid_alloc(void);
/** Have numbers been used twice? */
bool tid_has_wrapped(void);
/** The current thread, the only one left, takes its process's number. */
void thread_become_leader(void);
/** The lock of the table of threads and processes, [T]. */
void thread_table_lock(void);
void thread_table_unlock(void);
/** Threads that were ever made, and those alive. */
void thread_count(u64 *created, u32 *alive);

/* ---- process.c ---- */

/** All zero, with one reference, and in no table; NULL: no memory. */
struct process *process_alloc(void);
/** Into and out of the table by pid. */
void process_hash(struct process *process);
void process_unhash(struct process *process);
/** [T] held; no reference. */
struct process *process_lookup_locked(int pid);
/** The current thread was the last one of its process. */
void process_finish(struct process *process);

/* ---- family.c ---- */

/** Into the list of all, without a parent; and out of it, if it is there. */
void family_add(struct process *process);
void family_remove(struct process *process);
/** Every thread of every process but the current one shall do @work. */
void family_set_work(u32 work);

/* ---- account.c ---- */

void io_counts_add(struct io_counts *sum, const struct io_counts *more);
extern bool sampling; /* [A] */
/** @thread has had @all ns: what was not divided yet is divided as what came before. [Q] held. */
struct cpu_times cpu_times_divide_locked(struct thread *thread, u64 all);
void account_init(struct runqueue *rq);
void account_start(struct runqueue *rq);
/** A CPU has something to do, on itself: see to it that it is sampled, if any is. */
static inline void account_begin(struct runqueue *rq)
{
    if (unlikely(__atomic_load_n(&sampling, __ATOMIC_RELAXED)))
        account_start(rq);
}

/* ---- profile.c ---- */

extern bool profiling; /* [I] once the program runs */
/** Tell the host where the current thread is, which is about to go back to its program. */
void profile_take(const struct trap_frame *frame);

/* ---- sched.c ---- */

/**
 * Lock the queue on whose CPU @thread waits, runs or sleeps.  Who is being moved between two is in
 * neither, and is linked under the lock of where it goes: it arrives soon, as nobody sleeps with
 * it.
 */
struct runqueue *sched_lock_rq_of(struct thread *thread);
/** Charge the running thread for the time since it was last charged. [L] held. */
void sched_charge(struct thread *thread, u64 now);
/** Charge the current thread for the time until now.  What it has had, all of it the program's
 * where nobody has asked yet. */
struct cpu_times sched_charge_current(void);
/** @thread, which is awake, in no queue and has left its CPU, may not run there any more. */
void sched_move_elsewhere(struct thread *thread);

/** One bit a CPU; only kept where there are several. [A] */
extern u64 cpus_idle;
/** The other CPUs that have something to do. */
static inline u64 cpus_busy_elsewhere(void)
{
    return __atomic_load_n(&cpus_online, __ATOMIC_RELAXED) &
           ~__atomic_load_n(&cpus_idle, __ATOMIC_RELAXED) & ~cpu_bit(cpu_id());
}
/** An empty queue, @cpu's. */
void runqueue_init(struct runqueue *rq, struct cpu *cpu);
/** Fill what the scheduler keeps of a new thread. */
void sched_thread_init(struct thread *thread);
/** Put a new thread into a run queue. */
void sched_thread_start(struct thread *thread);
/** Make it runnable only if it sleeps interruptibly (signals) or is stopped. */
bool thread_wake_interruptible(struct thread *thread);
/** Sleep for ever, as the machine ends. */
void sched_park(void) __attribute__((noreturn));
/** Leave the CPU for ever. @charged: the thread has just been, for the time until now. */
void sched_exit(bool charged) __attribute__((noreturn));

/* ---- policy.c ---- */

/** A new thread gets nice and policy of @from. */
void sched_inherit(struct thread *thread, const struct thread *from);
/** [L] held. */
bool sched_is_realtime(const struct thread *thread);

/* ---- wait.c ---- */

/** Let locks of the rooms below sleep. */
void wait_init(void);

/* thread_prepare_sleep() and thread_sleep_until() without a deadline (sched/wait.h) in line. */
static inline void thread_prepare_sleep_inline(bool interruptible)
{
    /* A full barrier: the state is seen before the condition is looked at. */
    __atomic_exchange_n(&current->state, interruptible ? THREAD_SLEEP_INTR : THREAD_SLEEP,
                        __ATOMIC_SEQ_CST);
}
static inline int thread_sleep(void)
{
    may_sleep();
    if (current->state == THREAD_SLEEP_INTR && signal_pending())
        return -EINTR;
    schedule();
    return 0;
}

/* ---- signal.c ---- */

/** Let other threads take what the process has pending, after one has gone. [S] held. */
void signal_retarget_locked(struct process *process);

/** What a signal without a handler does. */
bool signal_default_ignores(int sig);
bool signal_default_stops(int sig);

/* ---- posix_timer.c ---- */

/** A timer's signal was taken: tell how many expiries it stands for. [S] held. */
void posix_timer_taken(struct process *process, struct siginfo64 *info);

/* ---- crash.c ---- */

/** Say on the log what the program died of. */
void crash_report(int sig, const struct siginfo64 *info, const struct trap_frame *frame);

/** Is @addr the program's code, behind a call?  Then it is a return address, or has been one. */
bool crash_follows_call(u64 addr);

/* ---- core_dump.c ---- */

/**
 * Report to the host, if it wants that, that the current process dies of @sig: its memory map, its
 * threads, and a core file as RLIMIT_CORE and PR_SET_DUMPABLE allow.  Sleeps.  The other threads
 * stay halted.  Returns whether there is a core file.
 */
bool core_dump(int sig, const struct siginfo64 *info, const struct trap_frame *frame);
