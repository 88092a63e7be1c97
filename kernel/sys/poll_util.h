/* What the calls that wait for files share: deadlines and signal masks. */
#pragma once

#include "sys/sys_priv.h"

/** Milliseconds as poll has them: negative is for ever. 0 stays 0: not to wait. */
u64 deadline_of_ms(int ms);
/** A relative struct timespec, or for ever where @from is 0. 0, -EFAULT or -EINVAL. */
int deadline_of_timespec(uaddr_t from, u64 *deadline_ns);
/** Write what is left until @deadline_ns to @to, unless that is 0; faults are ignored. */
void put_timespec_left(uaddr_t to, u64 deadline_ns);
/** Nanoseconds until @deadline_ns, at least 0. */
u64 time_left_ns(u64 deadline_ns);
/** Block the signals of the set at @sigmask, unless that is 0, for this call.
 * 0, -EFAULT, or -EINVAL for a wrong @size. */
int begin_sigmask(uaddr_t sigmask, u64 size);
/** The call is over with @result; where it was interrupted the handler's return restores the mask.
 */
void end_sigmask(uaddr_t sigmask, long result);
