/* Descriptors that name a process. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/format.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/file.h"

enum { PIDFD_NONBLOCK = O_NONBLOCK };

/** Readable once the process has ended, which ours sees of no other. */
static u32 pidfd_ready(struct file *file)
{
    (void)file;
    return 0;
}

static size_t pidfd_fdinfo(struct file *file, char *buf, size_t size)
{
    const struct process *p = file->data;
    return (size_t)format(buf, size, "Pid:\t%d\nNSpid:\t%d\n", p->pid, p->pid);
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

long sys_pidfd_open(int pid, unsigned flags)
{
    if (pid <= 0 || flags & ~(unsigned)PIDFD_NONBLOCK)
        return -EINVAL;
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    struct file *file = file_create_anon(&pidfd_ops, p, "[pidfd]", O_RDWR | flags);
    if (!file) {
        process_put(p);
        return -ENOMEM;
    }
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}

/** The process behind @fd with a new reference, or NULL. */
struct process *pidfd_process(int fd)
{
    struct file *file = fd_get(fd);
    struct process *p = NULL;
    if (file && file->ops == &pidfd_ops)
        p = process_find(((struct process *)file->data)->pid);
    if (file)
        file_put(file);
    return p;
}

long sys_pidfd_send_signal(int pidfd, int sig, uaddr_t uinfo, unsigned flags)
{
    if (flags || sig < 0 || sig > SIGRTMAX)
        return -EINVAL;
    struct process *p = pidfd_process(pidfd);
    if (!p)
        return -EBADF;
    int pid = p->pid;
    process_put(p);
    return uinfo ? sys_rt_sigqueueinfo(pid, sig, uinfo) : sys_kill(pid, sig);
}

/** With one process it is dup(2). */
long sys_pidfd_getfd(int pidfd, int targetfd, unsigned flags)
{
    if (flags)
        return -EINVAL;
    struct process *p = pidfd_process(pidfd);
    if (!p)
        return -EBADF;
    process_put(p);
    struct file *file = fd_get_raw(targetfd);
    if (!file)
        return -EBADF;
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}
