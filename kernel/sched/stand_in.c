/* Stand-ins for parts of this room that are not linked in yet. */
#include "sched/sched_priv.h"

__attribute__((weak)) void futex_exit_thread(struct thread *thread)
{
    (void)thread;
}

__attribute__((weak)) void posix_timer_taken(struct process *process, struct siginfo64 *info)
{
    (void)process, (void)info;
}

__attribute__((weak)) void crash_report(int sig, const struct siginfo64 *info,
                                        const struct trap_frame *frame)
{
    (void)sig, (void)info, (void)frame;
}
