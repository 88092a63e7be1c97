/* Small helpers of the system calls. */
#include "abi/errno.h"
#include "sys/sys_priv.h"

int get_timespec_ns(uaddr_t from, u64 *ns)
{
    struct linux_timespec ts;
    if (copy_from_user(&ts, from, sizeof(ts)))
        return -EFAULT;
    if (!timespec_valid(&ts))
        return -EINVAL;
    *ns = timespec_to_ns(&ts);
    return 0;
}

int put_timespec_ns(uaddr_t to, u64 ns)
{
    struct linux_timespec ts = ns_to_timespec(ns);
    return copy_to_user(to, &ts, sizeof(ts));
}

int put_optional(uaddr_t to, const void *src, size_t len)
{
    return to ? copy_to_user(to, src, len) : 0;
}

struct thread *get_thread(int tid)
{
    struct thread *t = thread_find(tid ? tid : current->tid);
    if (t && t->process == current_process())
        return t;
    if (t)
        thread_put(t);
    return NULL;
}

struct process *get_process(int pid)
{
    return process_find(pid ? pid : current_process()->pid);
}
