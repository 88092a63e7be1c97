/* What the files of this folder share. */
#pragma once

#include "abi/sched.h"
#include "core/time.h"
#include "mm/uaccess.h"
#include "sched/thread.h"

/** A time of the program's in ns. 0, -EFAULT, or -EINVAL if it is no valid time. */
int get_timespec_ns(uaddr_t from, u64 *ns);
int put_timespec_ns(uaddr_t to, u64 ns);
/**
 * The program's structure of @size bytes as the @known ones that we know: a shorter one has zeros
 * behind, and a longer one must. 0, -EFAULT or -E2BIG.
 */
int copy_struct_from_user(void *to, size_t known, uaddr_t from, u64 size);
/** Copy @len bytes of @src to @to unless @to is 0. 0 or -EFAULT. */
int put_optional(uaddr_t to, const void *src, size_t len);
/** The thread @tid of any process (0: the current one) with a new reference, or NULL. */
struct thread *get_thread(int tid);
/** The process a pidfd names, with a new reference; NULL: @fd is no pidfd. */
struct process *pidfd_process(int fd);
/** The same, also of an open /proc/PID, to which Linux lets signals be sent. 0, -EBADF, or -ESRCH:
 * its process is gone. */
int pidfd_or_folder(int fd, struct process **out);
struct process *pidfd_process_flags(int fd, bool *nonblock);
/** A descriptor for @process, whose reference is taken in any case. O_*. It, or a negative errno.
 */
int pidfd_install(struct process *process, u32 flags);
/** clone(2) without CLONE_THREAD; @call for the log. The child's pid, or a negative errno. */
long fork_process(const struct linux_clone_args *args, const char *call);
struct file;
/** Who @process will be once it runs the program in @file: capabilities(7), execve(2). */
void creds_after_exec(const struct process *process, const struct file *file, struct creds *out);
/** prctl(2) of the bounding and ambient sets. */
long capability_prctl(int option, u64 arg2, u64 arg3);
/** May there be other processes and programs?  If not it is said once on the log. */
bool processes_allowed(const char *call);
/** For process_hooks.count_io. */
void io_count_calls(void);
/** At start: what the command line says of processes. */
void processes_init(void);
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
