/* wait4, waitid. */
#include "abi/errno.h"
#include "abi/resource.h"
#include "lib/string.h"
#include "sched/family.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

#define KNOWN_FLAGS (WAIT_NOTHREAD | WAIT_ANY | WAIT_CLONE)
enum { P_ALL = 0, P_PID = 1, P_PGID = 2, P_PIDFD = 3 };

static struct linux_timeval to_timeval(u64 ns)
{
    return (struct linux_timeval){(s64)(ns / NSEC_PER_SEC),
                                  (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
}

static int put_usage(uaddr_t to, const struct wait_result *r)
{
    struct linux_rusage usage = {
        .utime = to_timeval(r->cpu_times.user_ns),
        .stime = to_timeval(r->cpu_times.system_ns),
        .maxrss = (s64)(r->peak_pages * PAGE_SIZE / 1024),
        .nvcsw = (s64)r->switches,
    };
    return put_optional(to, &usage, sizeof(usage));
}

long sys_wait4(int pid, uaddr_t ustatus, int options, uaddr_t rusage)
{
    struct wait_request request = {.options = (u32)options | WEXITED};
    struct wait_result result;

    if ((u32)options & ~(u32)(WNOHANG | WUNTRACED | WCONTINUED | KNOWN_FLAGS))
        return -EINVAL;
    if (pid == INT_MIN)
        return -ESRCH;
    request.which = pid > 0 ? WAIT_PID : pid == -1 ? WAIT_ALL : WAIT_PGID;
    request.id = pid > 0 ? pid : pid ? -pid : current_process()->pgid;
    int err = family_wait(&request, &result);
    if (err || !result.pid)
        return err;
    int status = wait_status(&result);
    if (put_optional(ustatus, &status, sizeof(status)) || put_usage(rusage, &result))
        return -EFAULT;
    return result.pid;
}

/* Whom waitid(2) names. 0, -EINVAL or -EBADF. */
static int read_which(int which, int id, struct wait_request *request)
{
    switch (which) {
    case P_ALL:
        request->which = WAIT_ALL;
        return 0;
    case P_PID:
        request->which = WAIT_PID;
        request->id = id;
        return id > 0 ? 0 : -EINVAL;
    case P_PGID:
        request->which = WAIT_PGID;
        request->id = id ? id : current_process()->pgid;
        return id >= 0 ? 0 : -EINVAL;
    case P_PIDFD: {
        bool nonblock;
        struct process *p = id >= 0 ? pidfd_process_flags(id, &nonblock) : NULL;
        if (!p)
            return id < 0 ? -EINVAL : -EBADF;
        request->which = WAIT_PID;
        request->id = p->pid;
        process_put(p);
        return nonblock && !(request->options & WNOHANG) ? -EAGAIN : 0;
    }
    default:
        return -EINVAL;
    }
}

long sys_waitid(int which, int id, uaddr_t uinfo, int options, uaddr_t rusage)
{
    const u32 events = WEXITED | WUNTRACED | WCONTINUED;
    struct wait_request request = {.options = (u32)options};
    struct wait_result result;

    if ((u32)options & ~(u32)(events | WNOHANG | WNOWAIT | KNOWN_FLAGS) || !((u32)options & events))
        return -EINVAL;
    int err = read_which(which, id, &request);
    bool nonblock = err == -EAGAIN; /* the descriptor's: tell so instead of 0 */
    if (nonblock) {
        request.options |= WNOHANG;
        err = 0;
    }
    if (!err)
        err = family_wait(&request, &result);
    if (!err && nonblock && !result.pid)
        err = -EAGAIN;
    if (err)
        return err;
    struct siginfo64 info = {0};
    if (result.pid) {
        info.si_signo = SIGCHLD;
        info.si_code = result.code;
        info.child.pid = result.pid;
        info.child.uid = result.uid;
        info.child.status = result.status;
    }
    if (put_optional(uinfo, &info, sizeof(info)) || (result.pid && put_usage(rusage, &result)))
        return -EFAULT;
    return 0;
}
