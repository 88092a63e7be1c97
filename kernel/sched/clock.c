/* The clocks of clock_gettime(2), those of CPU time of threads and processes included. */
#include "sched/posix_timer.h"

#include "abi/errno.h"
#include "core/time.h"
#include "sched/sched_priv.h"

/* A negative clock names a process or thread: ~pid << 3, bit 2 for a thread, then which time. */
enum { CPU_CLOCK_THREAD = 4, CPU_CLOCK_WHICH = 3, CPU_CLOCK_FD = 3 };

static int cpu_clock_now(int clock, u64 *ns)
{
    int pid = ~(clock >> 3);
    if ((clock & CPU_CLOCK_WHICH) == CPU_CLOCK_FD)
        return -EINVAL;
    if (clock & CPU_CLOCK_THREAD) {
        struct thread *t = thread_find(pid ? pid : current->tid);
        if (!t)
            return -EINVAL;
        *ns = thread_cpu_time(t);
        thread_put(t);
        return 0;
    }
    struct process *p = process_find(pid ? pid : current_process()->pid);
    if (!p)
        return -EINVAL;
    *ns = process_cpu_time(p);
    process_put(p);
    return 0;
}

int clock_now(int clock, u64 *ns)
{
    if (clock < 0)
        return cpu_clock_now(clock, ns);
    switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        *ns = time_ns();
        return 0;
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        *ns = time_real_ns();
        return 0;
    case CLOCK_PROCESS_CPUTIME_ID:
        *ns = process_cpu_time(current_process());
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = thread_cpu_time(current);
        return 0;
    default:
        return -EINVAL;
    }
}

u64 clock_deadline(int clock, u64 ns)
{
    u64 now;
    if (ns == TIME_NEVER || clock_now(clock, &now))
        return TIME_NEVER;
    return ns > now ? time_after_ns(ns - now) : 0;
}
