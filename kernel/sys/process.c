/* The process as a whole: numbers, groups, sessions, prctl. */
#include "abi/errno.h"
#include "abi/prctl.h"
#include "lib/string.h"
#include "sched/family.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

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
    return pid < 0 || pgid < 0 ? -EINVAL : family_set_group(pid, pgid);
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
    return family_new_session();
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

long sys_prctl(int option, u64 arg2, u64 arg3, u64 arg4, u64 arg5)
{
    (void)arg4, (void)arg5;
    struct process *p = current_process();
    switch (option) {
    case PR_SET_NAME:
        return set_name(arg2);
    case PR_GET_NAME:
        return copy_to_user(arg2, current->name, sizeof(current->name));
    case PR_SET_PDEATHSIG:
        if (arg2 > SIGRTMAX)
            return -EINVAL;
        p->pdeath_signal = (int)arg2;
        return 0;
    case PR_GET_PDEATHSIG:
        return put_int(arg2, p->pdeath_signal);
    case PR_SET_CHILD_SUBREAPER:
        p->subreaper = arg2 != 0;
        return 0;
    case PR_GET_CHILD_SUBREAPER:
        return put_int(arg2, p->subreaper);
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
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
        return capability_prctl(option, arg2, arg3);
    case PR_GET_TIMERSLACK:
        return 50000;
    case PR_GET_SECCOMP:
    case PR_GET_SECUREBITS:
    case PR_GET_THP_DISABLE:
    case PR_SET_TIMERSLACK:
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
