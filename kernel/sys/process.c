/* The process as a whole.  There is one: fork and execve say so, with an error that fork(2)
 * documents for systems that cannot, and one line on the log that names who asked. */
#include "abi/errno.h"
#include "abi/prctl.h"
#include "core/log.h"
#include "lib/string.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

long refuse_process(const char *call);

long refuse_process(const char *call)
{
    static u32 said;
    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
        log_warn("%s[%d] wants a second process (%s), which this kernel does not have (ENOSYS)",
                 current->name, current->tid, call);
    return -ENOSYS;
}

long sys_fork(void)
{
    return refuse_process("fork");
}

long sys_vfork(void)
{
    return refuse_process("vfork");
}

static long refuse_exec(uaddr_t path)
{
    char name[256];
    ssize_t len = strncpy_from_user(name, path, sizeof(name));
    if (len == -EFAULT)
        return len;
    if (len < 0)
        str_copy(name, "(a long name)", sizeof(name));
    log_warn("%s[%d] wants to execute '%s': an image runs one program (ENOSYS)", current->name,
             current->tid, name);
    return -ENOSYS;
}

long sys_execve(uaddr_t path, uaddr_t argv, uaddr_t envp)
{
    (void)argv, (void)envp;
    return refuse_exec(path);
}

long sys_execveat(int dirfd, uaddr_t path, uaddr_t argv, uaddr_t envp, int flags)
{
    (void)dirfd, (void)argv, (void)envp, (void)flags;
    return refuse_exec(path);
}

enum {
    WNOHANG = 1,
    WUNTRACED = 2,
    WEXITED = 4,
    WCONTINUED = 8,
    WNOWAIT = 0x1000000,
    WAIT_FLAGS = 0xe0000000, /* __WNOTHREAD, __WALL, __WCLONE */
    P_PIDFD = 3
};

long sys_wait4(int pid, uaddr_t status, int options, uaddr_t rusage)
{
    (void)status, (void)rusage;
    if ((u32)options & ~(u32)(WNOHANG | WUNTRACED | WCONTINUED | WAIT_FLAGS))
        return -EINVAL;
    return pid == INT_MIN ? -ESRCH : -ECHILD;
}

long sys_waitid(int which, int pid, uaddr_t info, int options, uaddr_t rusage)
{
    (void)pid, (void)info, (void)rusage;
    const u32 events = WEXITED | WUNTRACED | WCONTINUED;
    if ((u32)options & ~(events | WNOHANG | WNOWAIT | (u32)WAIT_FLAGS) ||
        !((u32)options & events) || which < 0 || which > P_PIDFD)
        return -EINVAL;
    return -ECHILD;
}

long sys_getpid(void)
{
    return current_process()->pid;
}

long sys_getppid(void)
{
    return current_process()->ppid;
}

long sys_setpgid(int pid, int pgid)
{
    struct process *p = current_process();
    if (pgid < 0)
        return -EINVAL;
    if (pid && pid != p->pid)
        return -ESRCH;
    if (p->sid == p->pid) /* a session leader stays in its group */
        return -EPERM;
    p->pgid = pgid ? pgid : p->pid;
    return 0;
}

long sys_getpgid(int pid)
{
    struct process *p = get_process(pid);
    if (!p)
        return -ESRCH;
    int pgid = p->pgid;
    process_put(p);
    return pgid;
}

long sys_getpgrp(void)
{
    return current_process()->pgid;
}

long sys_getsid(int pid)
{
    struct process *p = get_process(pid);
    if (!p)
        return -ESRCH;
    int sid = p->sid;
    process_put(p);
    return sid;
}

long sys_setsid(void)
{
    struct process *p = current_process();
    if (p->pgid == p->pid) /* a group leader cannot: the first process always is one */
        return -EPERM;
    p->sid = p->pgid = p->pid;
    return p->sid;
}

long sys_personality(unsigned persona)
{
    struct process *p = current_process();
    u32 old = p->personality;
    if (persona != 0xffffffff)
        p->personality = persona;
    return old;
}

/* ---- prctl ---- */

static long set_name(uaddr_t from)
{
    char name[16] = {0};
    ssize_t len = strncpy_from_user(name, from, sizeof(name));
    if (len == -ENAMETOOLONG) { /* Linux cuts it */
        if (copy_from_user(name, from, sizeof(name)))
            return -EFAULT;
    } else if (len < 0) {
        return len;
    }
    name[sizeof(name) - 1] = 0;
    memcpy(current->name, name, sizeof(name));
    return 0;
}

static long set_bool(bool *flag, u64 value)
{
    if (value > 1)
        return -EINVAL;
    *flag = value;
    return 0;
}

static long put_int(uaddr_t to, int value)
{
    return copy_to_user(to, &value, sizeof(value));
}

static long has_capability(u64 set, u64 cap)
{
    return cap > CAP_LAST_CAP ? -EINVAL : (long)(set >> cap & 1);
}

long sys_prctl(int option, u64 arg2, u64 arg3, u64 arg4, u64 arg5)
{
    (void)arg3, (void)arg4, (void)arg5;
    struct process *p = current_process();
    switch (option) {
    case PR_SET_NAME:
        return set_name(arg2);
    case PR_GET_NAME:
        return copy_to_user(arg2, current->name, sizeof(current->name));
    case PR_SET_PDEATHSIG: /* the parent is the machine */
        return arg2 > SIGRTMAX ? -EINVAL : 0;
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
        return put_int(arg2, 0);
    case PR_SET_DUMPABLE:
        return set_bool(&p->dumpable, arg2);
    case PR_GET_DUMPABLE:
        return p->dumpable;
    case PR_SET_KEEPCAPS:
        return set_bool(&p->keepcaps, arg2);
    case PR_GET_KEEPCAPS:
        return p->keepcaps;
    case PR_SET_NO_NEW_PRIVS:
        return arg2 == 1 ? set_bool(&p->no_new_privs, arg2) : -EINVAL;
    case PR_GET_NO_NEW_PRIVS:
        return p->no_new_privs;
    case PR_CAPBSET_READ:
        return has_capability(p->creds.cap_bounding, arg2);
    case PR_CAPBSET_DROP:
        if (arg2 > CAP_LAST_CAP)
            return -EINVAL;
        p->creds.cap_bounding &= ~(1ull << arg2);
        return 0;
    case PR_CAP_AMBIENT:
        return arg2 == PR_CAP_AMBIENT_IS_SET || arg2 == PR_CAP_AMBIENT_CLEAR_ALL ? 0 : -EPERM;
    case PR_GET_TIMERSLACK:
        return 50000;
    case PR_GET_SECCOMP:
    case PR_GET_SECUREBITS:
    case PR_GET_THP_DISABLE:
    case PR_SET_TIMERSLACK:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_THP_DISABLE:
    case PR_SET_PTRACER:
        return 0;
    case PR_SET_VMA: /* names of anonymous areas: not kept, and EINVAL as without the option */
    case PR_SET_SECCOMP:
    case PR_SET_MM:
    default:
        return -EINVAL;
    }
}
