/* Timers of the program: timer_create and its family, setitimer, alarm.  Those on CPU time look
 * when the time could be reached at the earliest and set themselves again. */
#pragma once

#include "abi/signal.h"
#include "lib/types.h"

struct process;

/* Times in ns; value is what remains, 0: not set. */
struct timer_setting {
    u64 value, interval;
};

/** A new timer of the current process. @event: NULL for SIGALRM. 0 and *@id, -EINVAL, -EAGAIN. */
int posix_timer_create(int clock, const struct linux_sigevent *event, int *id);
/** @absolute: new->value is on the timer's clock. @old may be NULL. 0 or -EINVAL (no such timer).
 */
int posix_timer_set(int id, bool absolute, const struct timer_setting *new,
                    struct timer_setting *old);
int posix_timer_get(int id, struct timer_setting *out);
/** Expiries that the signal taken last stood for beyond one, or -EINVAL. */
int posix_timer_overrun(int id);
int posix_timer_delete(int id);

enum { ITIMER_REAL = 0, ITIMER_VIRTUAL = 1, ITIMER_PROF = 2 };
/** Either may be NULL. 0, -EINVAL, -ENOMEM. */
int itimer_set(int which, const struct timer_setting *new, struct timer_setting *old);

/** Delete the timers of the current process (execve); at its end (@itimers) those of setitimer too.
 */
void posix_timers_drop(struct process *process, bool itimers);

/** Now, on a clock of clock_gettime(2). 0 and *@ns, or -EINVAL. */
int clock_now(int clock, u64 *ns);
/** A deadline on @clock as one on the monotonic clock; CPU clocks: the earliest it can come. */
u64 clock_deadline(int clock, u64 ns);
/** At start. */
void posix_timers_init(void);
