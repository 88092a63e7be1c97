/* Scheduling as the program asks for it.  SCHED_DEADLINE is not there, as in a kernel built
 * without. */
#include "abi/sched.h"

#include "abi/errno.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum { RT_PRIO_MIN = 1, RT_PRIO_MAX = 99, SLICE_NS = 4000000 };

long sys_sched_yield(void)
{
    thread_yield();
    return 0;
}

long sys_getcpu(uaddr_t cpu, uaddr_t node, uaddr_t cache)
{
    (void)cache;
    u32 id = cpu_id(), zero = 0;
    if (put_optional(cpu, &id, sizeof(id)) || put_optional(node, &zero, sizeof(zero)))
        return -EFAULT;
    return 0;
}

/* ---- affinity ---- */

static u64 all_cpus(void)
{
    return cpu_count == 64 ? ~0ull : (1ull << cpu_count) - 1;
}

long sys_sched_getaffinity(int pid, unsigned len, uaddr_t mask)
{
    if (len * 8 < cpu_count || len % sizeof(u64))
        return -EINVAL;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    u64 bits = t->affinity & all_cpus();
    thread_put(t);
    return copy_to_user(mask, &bits, sizeof(bits)) ? -EFAULT : (long)sizeof(bits);
}

long sys_sched_setaffinity(int pid, unsigned len, uaddr_t mask)
{
    u64 bits = 0;
    if (copy_from_user(&bits, mask, min((size_t)len, sizeof(bits))))
        return -EFAULT;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    bits &= all_cpus();
    if (bits) {
        cpu_wait_online(bits);
        thread_set_affinity(t, bits);
    }
    thread_put(t);
    return bits ? 0 : -EINVAL;
}

/* ---- nice ---- */

enum { PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2 };

static int set_nice(struct thread *t, void *arg)
{
    thread_set_nice(t, *(int *)arg);
    return 0;
}

/** The thread PRIO_PROCESS names, or the current one for its group and user. */
static struct thread *priority_target(int which, int who)
{
    if (which == PRIO_PROCESS)
        return get_thread(who);
    struct process *p = current_process();
    bool ours = which == PRIO_PGRP ? !who || who == p->pgid : !who || (u32)who == p->creds.uid;
    return ours ? get_thread(0) : NULL;
}

long sys_getpriority(int which, int who)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    struct thread *t = priority_target(which, who);
    if (!t)
        return -ESRCH;
    long result = 20 - t->nice; /* so that it is never negative */
    thread_put(t);
    return result;
}

long sys_setpriority(int which, int who, int prio)
{
    if (which < PRIO_PROCESS || which > PRIO_USER)
        return -EINVAL;
    struct thread *t = priority_target(which, who);
    if (!t)
        return -ESRCH;
    if (which == PRIO_PROCESS)
        thread_set_nice(t, prio);
    else
        process_for_each_thread(t->process, set_nice, &prio);
    thread_put(t);
    return 0;
}

/* ---- policies ---- */

static bool is_realtime(u32 policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool policy_known(u32 policy)
{
    return is_realtime(policy) || policy == SCHED_OTHER || policy == SCHED_BATCH ||
           policy == SCHED_IDLE;
}

static long set_policy(int pid, u32 policy, int priority)
{
    bool reset = policy & SCHED_RESET_ON_FORK;
    policy &= ~(u32)SCHED_RESET_ON_FORK;
    if (pid < 0 || !policy_known(policy))
        return -EINVAL;
    if (is_realtime(policy) ? priority < RT_PRIO_MIN || priority > RT_PRIO_MAX : priority != 0)
        return -EINVAL;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    thread_set_policy(t, policy, (u32)priority);
    t->reset_on_fork = reset;
    thread_put(t);
    return 0;
}

long sys_sched_setscheduler(int pid, int policy, uaddr_t param)
{
    int priority;
    if (policy < 0)
        return -EINVAL;
    if (copy_from_user(&priority, param, sizeof(priority)))
        return -EFAULT;
    return set_policy(pid, (u32)policy, priority);
}

long sys_sched_getscheduler(int pid)
{
    struct thread *t = pid < 0 ? NULL : get_thread(pid);
    if (!t)
        return pid < 0 ? -EINVAL : -ESRCH;
    long policy = t->policy | (t->reset_on_fork ? SCHED_RESET_ON_FORK : 0);
    thread_put(t);
    return policy;
}

long sys_sched_setparam(int pid, uaddr_t param)
{
    long policy = sys_sched_getscheduler(pid);
    return policy < 0 ? policy : sys_sched_setscheduler(pid, (int)policy, param);
}

long sys_sched_getparam(int pid, uaddr_t param)
{
    if (pid < 0 || !param)
        return -EINVAL;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    int priority = (int)t->rt_priority;
    thread_put(t);
    return copy_to_user(param, &priority, sizeof(priority));
}

long sys_sched_get_priority_max(int policy)
{
    if (policy < 0 || (!policy_known((u32)policy) && policy != SCHED_DEADLINE))
        return -EINVAL;
    return is_realtime((u32)policy) ? RT_PRIO_MAX : 0;
}

long sys_sched_get_priority_min(int policy)
{
    if (policy < 0 || (!policy_known((u32)policy) && policy != SCHED_DEADLINE))
        return -EINVAL;
    return is_realtime((u32)policy) ? RT_PRIO_MIN : 0;
}

long sys_sched_rr_get_interval(int pid, uaddr_t ts)
{
    if (pid < 0)
        return -EINVAL;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    u64 slice = t->policy == SCHED_FIFO ? 0 : SLICE_NS;
    thread_put(t);
    return put_timespec_ns(ts, slice);
}

/* Its size stands in it, 0 for the first version's; who gets that wrong is told ours. */
static long import_attr(uaddr_t from, struct linux_sched_attr *attr)
{
    u32 size;
    if (user_get32(&size, from))
        return -EFAULT;
    size = size ? size : sizeof(*attr);
    int err =
        size < sizeof(*attr) ? -E2BIG : copy_struct_from_user(attr, sizeof(*attr), from, size);
    return err == -E2BIG && user_put32(from, sizeof(*attr)) ? -EFAULT : err;
}

long sys_sched_setattr(int pid, uaddr_t uattr, unsigned flags)
{
    struct linux_sched_attr attr;
    if (flags || !uattr || pid < 0)
        return -EINVAL;
    long err = import_attr(uattr, &attr);
    if (err)
        return err;
    err = set_policy(pid, attr.policy, (int)attr.priority);
    if (err || is_realtime(attr.policy))
        return err;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    thread_set_nice(t, attr.nice);
    thread_put(t);
    return 0;
}

long sys_sched_getattr(int pid, uaddr_t uattr, unsigned size, unsigned flags)
{
    if (flags || !uattr || pid < 0 || size < sizeof(struct linux_sched_attr) || size > PAGE_SIZE)
        return -EINVAL;
    struct thread *t = get_thread(pid);
    if (!t)
        return -ESRCH;
    struct linux_sched_attr attr = {
        .size = sizeof(attr),
        .policy = t->policy,
        .nice = is_realtime(t->policy) ? 0 : t->nice,
        .priority = t->rt_priority,
    };
    thread_put(t);
    return copy_to_user(uattr, &attr, sizeof(attr));
}

/* ---- membarrier ---- */

/* Threads that do not run now pass through the scheduler's barriers before they go on. */
static void barrier_everywhere(void)
{
    mb();
    if (cpu_count > 1 && plat.cpu_barrier)
        plat.cpu_barrier();
}

long sys_membarrier(int cmd, unsigned flags, int cpu)
{
    (void)cpu;
    if (flags)
        return -EINVAL;
    switch (cmd) {
    case MEMBARRIER_CMD_QUERY:
        return MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
               MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
               MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
    case MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED:
        return 0;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
        barrier_everywhere();
        return 0;
    default:
        return -EINVAL;
    }
}
