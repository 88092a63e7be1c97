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

enum {
    USER_RW_MAX = 0x7ffff000, /* bytes that one call moves at most */
    USER_VEC_INLINE = 8,      /* pieces that need no allocation */
};

/**
 * The program's vector of @count pieces, at most USER_RW_MAX bytes of it. @small has
 * USER_VEC_INLINE slots; *@heap (NULL before) is the caller's to free, also after an error.
 * 0, -EINVAL, -EFAULT or -ENOMEM.
 */
int user_vec(uaddr_t from, u64 count, struct iovec *small, struct iovec **heap,
             struct iov_iter *it);
