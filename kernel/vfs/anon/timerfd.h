/* timerfd_create(2). */
#pragma once

#include "abi/time.h"
#include "vfs/file.h"

/** @clock: one of Linux's; @flags: O_NONBLOCK. 0 and *@out, -EINVAL or -ENOMEM. */
int timerfd_create(int clock, u32 flags, struct file **out);
bool file_is_timerfd(const struct file *file);
/** timerfd_settime(2): @old may be NULL. 0, -EINVAL, or -ECANCELED (the clock was set since). */
int timerfd_settime(struct file *file, int flags, const struct linux_itimerspec *new,
                    struct linux_itimerspec *old);
void timerfd_gettime(struct file *file, struct linux_itimerspec *now);
/** The wall clock was set: timers on it move, some are cancelled. After time_set_real(). */
void timerfd_clock_was_set(void);
