/* timerfd: expirations that are read.  A periodic timer that has fired is set again only when
 * somebody looks, and then makes up for what it missed, so a forgotten fast one costs nothing. */
#include "vfs/anon/timerfd.h"

#include "abi/errno.h"
#include "abi/eventpoll.h"
#include "abi/fcntl.h"
#include "core/time.h"
#include "core/timer.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "sched/signal.h"
#include "vfs/anon/timerfd_math.h"

/* Fields: [I], [L] under .lock, [W] under wall_lock. */
struct timerfd {
    struct timer timer; /* set with .lock held, so that it follows .due_ns; cancelled without, for
                           its callback takes it */
    struct spinlock lock;
    int clock;          /* [I] */
    u64 due_ns;         /* [L] next expiration, monotonic; UINT64_MAX: not armed */
    u64 interval_ns;    /* [L] */
    u64 ticks;          /* [L] expirations not read yet */
    bool wall_absolute; /* [L] due at a time of the wall clock */
    u64 wall_offset_ns; /* [L] of the wall clock when it was armed */
    bool cancel_on_set; /* [L] TFD_TIMER_CANCEL_ON_SET */
    bool canceled;      /* [L] the wall clock was set since */
    int settime_flags;  /* [L] for fdinfo */
    struct waitq waitq;
    struct list_head wall_node; /* [W] in wall_timers */
};

static struct list_head wall_timers = LIST_INIT(wall_timers);
static struct spinlock wall_lock; /* before a timerfd's */

static bool is_wall_clock(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
}

/* Count what has expired. True if the timer has to be set to due_ns. Locked. */
static void catch_up(struct timerfd *t)
{
    t->ticks += timerfd_expire(&t->due_ns, t->interval_ns, time_ns());
}

/* Locked. */
static void set_timer(struct timerfd *t)
{
    if (t->due_ns != TIME_NEVER)
        timer_set(&t->timer, t->due_ns);
}

static void timer_fired(struct timer *timer)
{
    struct timerfd *t = container_of(timer, struct timerfd, timer);

    spin_lock(&t->lock);
    bool early = t->due_ns > time_ns(); /* it was set anew meanwhile */
    if (early)
        set_timer(t);
    else
        catch_up(t);
    spin_unlock(&t->lock);
    if (!early)
        waitq_wake_all(&t->waitq, POLLIN | POLLRDNORM);
}

static u32 timerfd_ready(struct file *file)
{
    struct timerfd *t = file->data;

    bool ready = __atomic_load_n(&t->ticks, __ATOMIC_ACQUIRE) || t->canceled;
    return ready ? POLLIN | POLLRDNORM : 0;
}

/* Take the expirations and set the timer for the next one. */
static s64 take_ticks(struct timerfd *t)
{
    spin_lock(&t->lock);
    if (t->canceled) {
        t->canceled = false;
        spin_unlock(&t->lock);
        return -ECANCELED;
    }
    if (t->ticks)
        catch_up(t);
    s64 ticks = (s64)t->ticks;
    t->ticks = 0;
    if (ticks)
        set_timer(t);
    spin_unlock(&t->lock);
    return ticks;
}

static ssize_t timerfd_read(struct file *file, struct iov_iter *to,
                            s64 *pos __attribute__((unused)))
{
    struct timerfd *t = file->data;
    s64 ticks;

    if (to->left < sizeof(ticks))
        return -EINVAL;
    while (!(ticks = take_ticks(t))) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event(&t->waitq, timerfd_ready(file), true, NO_DEADLINE))
            return -ERESTARTSYS;
    }
    if (ticks < 0)
        return (ssize_t)ticks;
    return iter_write(to, &ticks, sizeof(ticks)) == sizeof(ticks) ? (ssize_t)sizeof(ticks)
                                                                  : -EFAULT;
}

static int timerfd_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    struct timerfd *t = file->data;
    u64 ticks;

    if (cmd != TFD_IOC_SET_TICKS)
        return -ENOTTY;
    if (copy_from_user(&ticks, arg, sizeof(ticks)))
        return -EFAULT;
    if (!ticks)
        return -EINVAL;
    spin_lock(&t->lock);
    t->ticks = ticks;
    spin_unlock(&t->lock);
    waitq_wake_all(&t->waitq, POLLIN | POLLRDNORM);
    return 0;
}

/* What is left, and the interval. Locked. */
static void get_setting(struct timerfd *t, struct linux_itimerspec *out)
{
    u64 now = time_ns();

    if (t->ticks)
        catch_up(t);
    u64 left = t->due_ns == TIME_NEVER ? 0 : t->due_ns > now ? t->due_ns - now : 1;
    out->it_value = ns_to_timespec(left);
    out->it_interval = ns_to_timespec(t->interval_ns);
}

void timerfd_gettime(struct file *file, struct linux_itimerspec *now)
{
    struct timerfd *t = file->data;

    spin_lock(&t->lock);
    get_setting(t, now);
    spin_unlock(&t->lock);
}

/* When @value comes, on the monotonic clock. Locked. */
static u64 due_of(struct timerfd *t, int flags, const struct linux_timespec *value)
{
    u64 ns = timespec_to_ns(value);

    t->wall_absolute = ns && is_wall_clock(t->clock) && (flags & TFD_TIMER_ABSTIME);
    t->wall_offset_ns = time_real_offset_ns();
    if (!ns)
        return TIME_NEVER;
    if (!(flags & TFD_TIMER_ABSTIME))
        return time_after_ns(ns);
    return t->wall_absolute ? timerfd_to_mono(ns, t->wall_offset_ns) : ns;
}

/* The wall clock is now @offset_ns ahead. wall_lock held. */
static void move_with_clock(struct timerfd *t, u64 offset_ns)
{
    spin_lock(&t->lock);
    u64 moved = offset_ns - t->wall_offset_ns; /* modulo 2^64: may be negative */
    if (t->due_ns != TIME_NEVER)
        t->due_ns = (s64)moved > 0 && moved > t->due_ns ? 0 : t->due_ns - moved;
    t->wall_offset_ns = offset_ns;
    t->canceled |= t->cancel_on_set && moved;
    set_timer(t);
    spin_unlock(&t->lock);
    waitq_wake_all(&t->waitq, POLLIN | POLLRDNORM);
}

/* Be in the list, or not, as the setting wants it that is in force by now; the clock may have been
 * set since that was made. */
static void follow_wall_clock(struct timerfd *t)
{
    spin_lock(&wall_lock);
    list_remove(&t->wall_node);
    spin_lock(&t->lock);
    bool follow = t->wall_absolute;
    u64 seen = t->wall_offset_ns, offset_ns = time_real_offset_ns();
    spin_unlock(&t->lock);
    if (follow)
        list_add(&wall_timers, &t->wall_node);
    if (follow && seen != offset_ns)
        move_with_clock(t, offset_ns);
    spin_unlock(&wall_lock);
}

int timerfd_settime(struct file *file, int flags, const struct linux_itimerspec *new,
                    struct linux_itimerspec *old)
{
    struct timerfd *t = file->data;

    if (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) || !timespec_valid(&new->it_value) ||
        !timespec_valid(&new->it_interval))
        return -EINVAL;
    timer_cancel(&t->timer);
    spin_lock(&t->lock);
    if (old)
        get_setting(t, old);
    t->due_ns = due_of(t, flags, &new->it_value);
    t->interval_ns = timespec_to_ns(&new->it_interval);
    t->ticks = 0;
    t->cancel_on_set = t->wall_absolute && (flags & TFD_TIMER_CANCEL_ON_SET);
    t->settime_flags = flags;
    int err = t->cancel_on_set && t->canceled ? -ECANCELED : 0;
    t->canceled = false;
    set_timer(t);
    spin_unlock(&t->lock);
    if (is_wall_clock(t->clock))
        follow_wall_clock(t);
    return err;
}

void timerfd_clock_was_set(void)
{
    struct timerfd *t;

    spin_lock(&wall_lock);
    list_for_each(t, &wall_timers, wall_node)
        move_with_clock(t, time_real_offset_ns());
    spin_unlock(&wall_lock);
}

static size_t timerfd_fdinfo(struct file *file, char *buf, size_t size)
{
    struct timerfd *t = file->data;
    struct linux_itimerspec now;

    timerfd_gettime(file, &now);
    return (size_t)format(buf, size,
                          "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%ld, %ld)\n"
                          "it_interval: (%ld, %ld)\n",
                          t->clock, (unsigned long)t->ticks, (u32)t->settime_flags,
                          now.it_value.tv_sec, now.it_value.tv_nsec, now.it_interval.tv_sec,
                          now.it_interval.tv_nsec);
}

static void timerfd_release(struct file *file)
{
    struct timerfd *t = file->data;

    spin_lock(&wall_lock);
    list_remove(&t->wall_node);
    spin_unlock(&wall_lock);
    timer_cancel(&t->timer);
    kfree(t);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read,
    .ready = timerfd_ready,
    .ioctl = timerfd_ioctl,
    .fdinfo = timerfd_fdinfo,
    .release = timerfd_release,
};

bool file_is_timerfd(const struct file *file)
{
    return file->ops == &timerfd_ops;
}

static bool known_clock(int clock)
{
    return is_wall_clock(clock) || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
           clock == CLOCK_BOOTTIME_ALARM;
}

int timerfd_create(int clock, u32 flags, struct file **out)
{
    if (!known_clock(clock))
        return -EINVAL;
    struct timerfd *t = kzalloc(sizeof(*t));
    struct file *file = t ? file_create_anon(&timerfd_ops, t, "[timerfd]", O_RDWR | flags) : NULL;
    if (!file) {
        kfree(t);
        return -ENOMEM;
    }
    timer_init(&t->timer, timer_fired);
    spin_init(&t->lock);
    waitq_init(&t->waitq);
    list_init(&t->wall_node);
    t->clock = clock;
    t->due_ns = TIME_NEVER;
    file->waitq = &t->waitq;
    *out = file;
    return 0;
}
