/* Descriptors that name a process. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/proc.h"
#include "lib/format.h"
#include "sched/family.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/file.h"

enum { PIDFD_NONBLOCK = O_NONBLOCK };

/** Readable once the process has ended. */
static u32 pidfd_ready(struct file *file)
{
    const struct process *p = file->data;
    return __atomic_load_n(&p->zombie, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
}

static size_t pidfd_fdinfo(struct file *file, char *buf, size_t size)
{
    const struct process *p = file->data;
    int pid = process_is_reaped(p) ? -1 : p->pid;
    return (size_t)format(buf, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static void pidfd_release(struct file *file)
{
    process_put(file->data);
}

static const struct file_ops pidfd_ops = {
    .ready = pidfd_ready,
    .fdinfo = pidfd_fdinfo,
    .release = pidfd_release,
};

int pidfd_install(struct process *p, u32 flags)
{
    struct file *file = file_create_anon(&pidfd_ops, p, "[pidfd]", O_RDWR | (flags & O_NONBLOCK));
    if (!file) {
        process_put(p);
        return -ENOMEM;
    }
    file->waitq = &p->end_wait;
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}

long sys_pidfd_open(int pid, unsigned flags)
{
    if (pid <= 0 || flags & ~(unsigned)PIDFD_NONBLOCK)
        return -EINVAL;
    struct process *p = process_find(pid);
    return p ? pidfd_install(p, flags) : -ESRCH;
}

struct process *pidfd_process_flags(int fd, bool *nonblock)
{
    struct file *file = fd_get(fd);
    struct process *p = NULL;
    if (file && file->ops == &pidfd_ops) {
        p = file->data;
        process_get(p);
        *nonblock = file->flags & O_NONBLOCK;
    }
    if (file)
        file_put(file);
    return p;
}

struct process *pidfd_process(int fd)
{
    bool nonblock;
    return pidfd_process_flags(fd, &nonblock);
}

int pidfd_or_folder(int fd, struct process **out)
{
    *out = pidfd_process(fd);
    if (*out)
        return 0;
    struct file *file = fd_get(fd);
    int pid = file && file->inode ? proc_pid_of_folder(file->inode) : 0;

    if (file)
        file_put(file);
    *out = pid ? process_find(pid) : NULL;
    return *out ? 0 : pid ? -ESRCH : -EBADF;
}

long sys_pidfd_getfd(int pidfd, int targetfd, unsigned flags)
{
    if (flags)
        return -EINVAL;
    struct process *p = pidfd_process(pidfd);
    if (!p)
        return -EBADF;
    bool allowed = process_may_inspect(p);
    struct fd_table *table = allowed ? fd_table_of(p) : NULL;
    process_put(p);
    if (!table)
        return allowed ? -ESRCH : -EPERM;
    struct file *file = targetfd < 0 ? NULL : fd_get_shared(table, targetfd);
    fd_table_put(table);
    if (!file)
        return -EBADF;
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}
