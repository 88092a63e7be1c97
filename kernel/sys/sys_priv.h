/* What the files of this folder share. */
#pragma once

#include "core/time.h"
#include "mm/uaccess.h"
#include "sched/thread.h"

/** A time of the program's in ns. 0, -EFAULT, or -EINVAL if it is no valid time. */
int get_timespec_ns(uaddr_t from, u64 *ns);
int put_timespec_ns(uaddr_t to, u64 ns);
/** Copy @len bytes of @src to @to unless @to is 0. 0 or -EFAULT. */
int put_optional(uaddr_t to, const void *src, size_t len);
/** The thread @tid of the current process (0: the current one) with a new reference, or NULL. */
struct thread *get_thread(int tid);
/** The process a pidfd names, with a new reference; NULL: @fd is no pidfd. */
struct process *pidfd_process(int fd);
/** The process @pid (0: the current one) with a new reference, or NULL. */
struct process *get_process(int pid);
