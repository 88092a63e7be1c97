/* What the program asks about the system and itself: names, memory, limits, usage, random numbers.
 */
#include "abi/errno.h"
#include "abi/resource.h"
#include "core/hostname.h"
#include "core/log.h"
#include "core/random.h"
#include "core/version.h"
#include "lib/string.h"
#include "mm/page.h"
#include "sched/family.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

/* ---- names ---- */

long sys_uname(uaddr_t buf)
{
    struct linux_utsname uts = {
        .sysname = VERSION_SYSNAME,
        .release = VERSION_RELEASE,
        .version = VERSION_BUILD,
        .machine = VERSION_MACHINE,
        .domainname = "(none)",
    };
    str_copy(uts.nodename, hostname, sizeof(uts.nodename));
    return copy_to_user(buf, &uts, sizeof(uts));
}

long sys_sethostname(uaddr_t name, u64 len)
{
    char new[HOSTNAME_MAX + 1] = {0};
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (len >= sizeof(new))
        return -EINVAL;
    if (copy_from_user(new, name, len))
        return -EFAULT;
    memcpy(hostname, new, sizeof(new));
    return 0;
}

/* ---- the clock ---- */

/* Nobody steers it: what Linux says before somebody does. */
long sys_clock_adjtime(int clock, uaddr_t buf)
{
    struct linux_timex timex;
    u64 ns = time_real_ns();

    if (clock != CLOCK_REALTIME)
        return -EOPNOTSUPP;
    if (copy_from_user(&timex, buf, sizeof(timex)))
        return -EFAULT;
    if (timex.modes)
        return -EPERM;
    timex = (struct linux_timex){
        .maxerror = 16000000,
        .esterror = 16000000,
        .status = STA_UNSYNC,
        .constant = 2,
        .precision = 1,
        .tolerance = 500 << 16, /* parts of a million */
        .time = {(s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)},
        .tick = 10000,
    };
    return copy_to_user(buf, &timex, sizeof(timex)) ? -EFAULT : TIME_ERROR;
}

long sys_adjtimex(uaddr_t buf)
{
    return sys_clock_adjtime(CLOCK_REALTIME, buf);
}

/* ---- memory and load ---- */

long sys_sysinfo(uaddr_t uinfo)
{
    struct page_stats pages;
    struct sched_stats sched;
    struct linux_sysinfo info = {.mem_unit = 1};
    page_get_stats(&pages);
    sched_get_stats(&sched);
    sched_get_load(info.loads);
    for (int i = 0; i < 3; i++)
        info.loads[i] <<= 16 - 11; /* fixed point: 16 bits here */
    info.uptime = (s64)(time_ns() / NSEC_PER_SEC);
    info.totalram = pages.total * PAGE_SIZE;
    info.freeram = pages.free * PAGE_SIZE;
    info.bufferram = pages.page_cache * PAGE_SIZE;
    info.procs = (u16)sched.threads;
    return copy_to_user(uinfo, &info, sizeof(info));
}

static struct linux_timeval ns_to_timeval(u64 ns)
{
    return (struct linux_timeval){(s64)(ns / NSEC_PER_SEC),
                                  (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};
}

static void set_times(struct linux_rusage *ru, struct cpu_times times)
{
    ru->utime = ns_to_timeval(times.user_ns);
    ru->stime = ns_to_timeval(times.system_ns);
}

struct switch_count {
    s64 voluntary, forced;
};

static int add_switches(struct thread *t, void *arg)
{
    struct switch_count *sum = arg;
    sum->voluntary += (s64)t->switches;
    sum->forced += (s64)t->preemptions;
    return 0;
}

long sys_getrusage(int who, uaddr_t usage)
{
    struct linux_rusage ru = {0};
    struct process *p = current_process();
    struct switch_count switches = {0};
    struct mm_usage mem;
    switch (who) {
    case RUSAGE_SELF:
        set_times(&ru, process_cpu_times(p));
        switches.voluntary = (s64)p->ended_switches;
        process_for_each_thread(p, add_switches, &switches);
        break;
    case RUSAGE_THREAD:
        set_times(&ru, thread_cpu_times(current));
        add_switches(current, &switches);
        break;
    case RUSAGE_CHILDREN:
        set_times(&ru, p->children_cpu_times);
        ru.maxrss = (s64)(p->children_peak_pages * PAGE_SIZE / 1024);
        ru.nvcsw = (s64)p->children_switches;
        return copy_to_user(usage, &ru, sizeof(ru));
    default:
        return -EINVAL;
    }
    mm_get_usage(p->mm, &mem);
    ru.maxrss = (s64)(mem.peak_pages * PAGE_SIZE / 1024);
    ru.minflt = (s64)mem.faults;
    ru.nvcsw = switches.voluntary;
    ru.nivcsw = switches.forced;
    return copy_to_user(usage, &ru, sizeof(ru));
}

/* ---- limits ---- */

static long set_limit(struct process *p, unsigned resource, const struct rlimit64 *new)
{
    const u64 nr_open = 1048576;
    if (new->cur > new->max)
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && new->max > nr_open)
        return -EPERM;
    spin_lock(&p->siglock);
    bool allowed = new->max <= p->rlimits[resource].max || capable(CAP_SYS_RESOURCE);
    if (allowed)
        p->rlimits[resource] = *new;
    spin_unlock(&p->siglock);
    struct mm *mm = allowed && resource == RLIMIT_STACK ? process_mm(p) : NULL;
    if (mm) {
        mm_set_stack_limit(mm, new->cur);
        mm_put(mm);
    }
    return allowed ? 0 : -EPERM;
}

long sys_prlimit64(int pid, unsigned resource, uaddr_t new, uaddr_t old)
{
    struct rlimit64 limit, before;
    if (resource >= RLIM_NLIMITS)
        return -EINVAL;
    if (new &&copy_from_user(&limit, new, sizeof(limit)))
        return -EFAULT;
    struct process *p = get_process(pid);
    if (!p)
        return -ESRCH;
    before = p->rlimits[resource];
    long err = process_may_inspect(p) ? 0 : -EPERM;
    if (!err && new)
        err = set_limit(p, resource, &limit);
    process_put(p);
    if (!err)
        err = put_optional(old, &before, sizeof(before));
    return err;
}

long sys_getrlimit(unsigned resource, uaddr_t rlim)
{
    return rlim ? sys_prlimit64(0, resource, 0, rlim) : -EFAULT;
}

long sys_setrlimit(unsigned resource, uaddr_t rlim)
{
    return rlim ? sys_prlimit64(0, resource, rlim, 0) : -EFAULT;
}

/* ---- the kernel log ---- */

enum {
    SYSLOG_CLOSE = 0,
    SYSLOG_OPEN = 1,
    SYSLOG_READ_ALL = 3,
    SYSLOG_READ_CLEAR = 4,
    SYSLOG_CLEAR = 5,
    SYSLOG_CONSOLE_OFF = 6,
    SYSLOG_CONSOLE_ON = 7,
    SYSLOG_CONSOLE_LEVEL = 8,
    SYSLOG_SIZE_UNREAD = 9,
    SYSLOG_SIZE_BUFFER = 10,
    LOG_BUFFER_SIZE = 65536,
};

static long read_log(uaddr_t buf, int len)
{
    if (!buf || len < 0)
        return -EINVAL;
    char chunk[256];
    u64 pos = 0;
    int done = 0;
    while (done < len) {
        size_t n = log_read(&pos, chunk, min(sizeof(chunk), (size_t)(len - done)));
        if (!n)
            break;
        if (copy_to_user(buf + (u64)done, chunk, n))
            return -EFAULT;
        done += (int)n;
    }
    return done;
}

long sys_syslog(int type, uaddr_t buf, int len)
{
    switch (type) {
    case SYSLOG_READ_ALL:
    case SYSLOG_READ_CLEAR:
        return read_log(buf, len);
    case SYSLOG_CONSOLE_LEVEL:
        return len < 1 || len > 8 ? -EINVAL : 0;
    case SYSLOG_SIZE_BUFFER:
        return LOG_BUFFER_SIZE;
    case SYSLOG_CLOSE:
    case SYSLOG_OPEN:
    case SYSLOG_CLEAR:
    case SYSLOG_CONSOLE_OFF:
    case SYSLOG_CONSOLE_ON:
    case SYSLOG_SIZE_UNREAD:
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- random numbers ---- */

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };

long sys_getrandom(uaddr_t buf, u64 count, unsigned flags)
{
    u8 chunk[256];
    if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    u64 done = 0;
    count = min(count, (u64)INT_MAX);
    while (done < count) {
        size_t n = min(sizeof(chunk), (size_t)(count - done));
        random_bytes(chunk, n);
        if (copy_to_user(buf + done, chunk, n))
            return done ? (long)done : -EFAULT;
        done += n;
        sched_point();
        if (signal_pending() && done < count)
            return (long)done;
    }
    return (long)done;
}
