/* Clocks, sleeping, timers. */
#include "abi/errno.h"
#include "abi/resource.h"
#include "sched/posix_timer.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/anon/timerfd.h"

long sys_clock_gettime(int clock, uaddr_t ts)
{
    u64 ns;
    int err = clock_now(clock, &ns);
    return err ? err : put_timespec_ns(ts, ns);
}

long sys_clock_getres(int clock, uaddr_t ts)
{
    u64 ns;
    int err = clock_now(clock, &ns);
    if (err)
        return err;
    return ts ? put_timespec_ns(ts, 1) : 0;
}

long sys_clock_settime(int clock, uaddr_t ts)
{
    u64 ns;
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    int err = get_timespec_ns(ts, &ns);
    if (!err && !capable(CAP_SYS_TIME))
        err = -EPERM;
    if (err)
        return err;
    time_set_real(ns);
    timerfd_clock_was_set();
    return 0;
}

long sys_gettimeofday(uaddr_t tv, uaddr_t tz)
{
    u64 ns = time_real_ns();
    struct linux_timeval now = {(s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
    s32 zone[2] = {0};
    if (put_optional(tv, &now, sizeof(now)) || put_optional(tz, zone, sizeof(zone)))
        return -EFAULT;
    return 0;
}

long sys_time(uaddr_t tloc)
{
    s64 now = (s64)(time_real_ns() / NSEC_PER_SEC);
    return put_optional(tloc, &now, sizeof(now)) ? -EFAULT : now;
}

long sys_times(uaddr_t buf)
{
    struct process *p = current_process();
    struct cpu_times own = process_cpu_times(p);
    struct linux_tms tms = {
        .utime = (s64)(own.user_ns / TICK_NS),
        .stime = (s64)(own.system_ns / TICK_NS),
        .cutime = (s64)(p->children_cpu_times.user_ns / TICK_NS),
        .cstime = (s64)(p->children_cpu_times.system_ns / TICK_NS),
    };
    if (put_optional(buf, &tms, sizeof(tms)))
        return -EFAULT;
    return (long)(time_ns() / TICK_NS);
}

/* ---- sleeping ---- */

static int sleep_until(u64 deadline_ns)
{
    int err = 0;
    while (!err) {
        thread_prepare_sleep(true);
        err = thread_sleep_until(deadline_ns);
    }
    thread_finish_sleep();
    return err == -ETIMEDOUT ? 0 : err;
}

/** Sleep; where a signal ends it, write what remains and leave word how to go on. */
static long sleep_or_restart(u64 deadline_ns, uaddr_t rem);

static long restart_sleep(struct thread *t)
{
    return sleep_or_restart(t->restart.args[0], t->restart.args[1]);
}

static long sleep_or_restart(u64 deadline_ns, uaddr_t rem)
{
    if (!sleep_until(deadline_ns))
        return 0;
    u64 now = time_ns();
    if (now >= deadline_ns)
        return 0;
    if (rem && put_timespec_ns(rem, deadline_ns - now))
        return -EFAULT;
    current->restart = (struct restart_block){.fn = restart_sleep, .args = {deadline_ns, rem}};
    return -ERESTART_RESTARTBLOCK;
}

long sys_nanosleep(uaddr_t req, uaddr_t rem)
{
    u64 ns;
    int err = get_timespec_ns(req, &ns);
    return err ? err : sleep_or_restart(time_after_ns(ns), rem);
}

/** CPU time passes while others run: look again when it could have been reached. */
static long sleep_cpu_time(int clock, u64 due)
{
    u64 now;
    for (;;) {
        int err = clock_now(clock, &now);
        if (err || now >= due)
            return err;
        if (sleep_until(clock_deadline(clock, due)))
            return -ERESTARTNOHAND;
    }
}

long sys_clock_nanosleep(int clock, int flags, uaddr_t req, uaddr_t rem)
{
    u64 ns, now;
    int err = get_timespec_ns(req, &ns);
    if (err)
        return err;
    if (clock == CLOCK_THREAD_CPUTIME_ID || clock_now(clock, &now))
        return -EINVAL;
    bool absolute = flags & TIMER_ABSTIME;
    if (clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID)
        return sleep_cpu_time(clock, absolute ? ns : now + ns);
    if (!absolute)
        return sleep_or_restart(time_after_ns(ns), rem);
    return sleep_until(clock_deadline(clock, ns)) ? -ERESTARTNOHAND : 0;
}

/* ---- timers ---- */

static int read_itimerspec(uaddr_t from, struct timer_setting *out)
{
    struct linux_itimerspec its;
    if (copy_from_user(&its, from, sizeof(its)))
        return -EFAULT;
    if (!timespec_valid(&its.it_value) || !timespec_valid(&its.it_interval))
        return -EINVAL;
    out->value = timespec_to_ns(&its.it_value);
    out->interval = timespec_to_ns(&its.it_interval);
    return 0;
}

static int write_itimerspec(uaddr_t to, const struct timer_setting *setting)
{
    struct linux_itimerspec its = {ns_to_timespec(setting->interval),
                                   ns_to_timespec(setting->value)};
    return copy_to_user(to, &its, sizeof(its));
}

long sys_timer_create(int clock, uaddr_t sevp, uaddr_t timerid)
{
    struct linux_sigevent event;
    int id;
    if (sevp && copy_from_user(&event, sevp, sizeof(event)))
        return -EFAULT;
    int err = posix_timer_create(clock, sevp ? &event : NULL, &id);
    if (err)
        return err;
    if (!copy_to_user(timerid, &id, sizeof(id)))
        return 0;
    posix_timer_delete(id);
    return -EFAULT;
}

long sys_timer_settime(int timerid, int flags, uaddr_t new, uaddr_t old)
{
    struct timer_setting setting, before;
    int err = new ? read_itimerspec(new, &setting) : -EINVAL;
    if (!err)
        err = posix_timer_set(timerid, flags & TIMER_ABSTIME, &setting, &before);
    if (!err && old)
        err = write_itimerspec(old, &before);
    return err;
}

long sys_timer_gettime(int timerid, uaddr_t value)
{
    struct timer_setting setting;
    int err = posix_timer_get(timerid, &setting);
    return err ? err : write_itimerspec(value, &setting);
}

long sys_timer_getoverrun(int timerid)
{
    return posix_timer_overrun(timerid);
}

long sys_timer_delete(int timerid)
{
    return posix_timer_delete(timerid);
}

static int timeval_to_ns(const struct linux_timeval *tv, u64 *ns)
{
    struct linux_timespec ts = {tv->tv_sec, tv->tv_usec * (s64)NSEC_PER_USEC};
    if (tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= 1000000)
        return -EINVAL;
    *ns = timespec_to_ns(&ts);
    return 0;
}

/** Rounded up: a timer that runs never reads as 0. */
static struct linux_timeval ns_to_timeval(u64 ns)
{
    u64 us = ns / NSEC_PER_USEC + !!(ns % NSEC_PER_USEC);
    return (struct linux_timeval){(s64)(us / 1000000), (s64)(us % 1000000)};
}

static int write_itimerval(uaddr_t to, const struct timer_setting *setting)
{
    struct linux_itimerval itv = {ns_to_timeval(setting->interval), ns_to_timeval(setting->value)};
    return copy_to_user(to, &itv, sizeof(itv));
}

long sys_setitimer(int which, uaddr_t value, uaddr_t old)
{
    struct linux_itimerval itv = {0}; /* Linux: no value is a value of 0 */
    struct timer_setting new, before;
    if (value && copy_from_user(&itv, value, sizeof(itv)))
        return -EFAULT;
    if (timeval_to_ns(&itv.it_value, &new.value) || timeval_to_ns(&itv.it_interval, &new.interval))
        return -EINVAL;
    int err = itimer_set(which, &new, &before);
    if (!err && old)
        err = write_itimerval(old, &before);
    return err;
}

long sys_getitimer(int which, uaddr_t value)
{
    struct timer_setting setting;
    int err = itimer_set(which, NULL, &setting);
    return err ? err : write_itimerval(value, &setting);
}

long sys_alarm(unsigned seconds)
{
    struct timer_setting new = {.value = seconds * NSEC_PER_SEC}, old;
    int err = itimer_set(ITIMER_REAL, &new, &old);
    if (err)
        return 0; /* alarm(2) cannot fail */
    u64 left = old.value / NSEC_PER_SEC;
    if ((old.value && !left) || old.value % NSEC_PER_SEC >= NSEC_PER_SEC / 2)
        left++;
    return (long)left;
}
