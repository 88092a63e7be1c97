/* POSIX timers, interval timers and alarm.  Each is a kernel timer whose callback queues a signal;
 * a signal still pending is not queued again, its expiries are counted. */
#include "sched/posix_timer.h"

#include "abi/errno.h"
#include "core/time.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/sched_priv.h"

enum {
    CPU_POLL_NS = 1000000,
    LEAST_NS = 50000, /* from one expiry to the next: the program shall have time between them */
    MAX_TIMERS = 4096
};

/* [S] under the process's siglock, [I] fixed. */
struct posix_timer {
    struct timer timer;
    struct list_head node;       /* [S] in process.posix_timers, by id */
    struct process *process;     /* [I] borrowed: the timer goes first */
    int id;                      /* [I] */
    int clock;                   /* [I] */
    struct linux_sigevent event; /* [I] */
    u64 due;                     /* [S] on .clock; 0: not set */
    u64 interval;                /* [S] */
    u32 pending_expiries; /* [S] since its signal was queued, that one included; 0: none is */
    u32 overrun;          /* [S] of the signal taken last */
};

struct itimers {
    struct posix_timer timers[3];
};

/** Expiries up to now, and the next due time. */
static u32 advance(struct posix_timer *t, u64 now)
{
    if (!t->interval) {
        t->due = 0;
        return 1;
    }
    u64 n = (now - t->due) / t->interval + 1;
    t->due += n * t->interval;
    return (u32)min(n, (u64)INT_MAX);
}

/** To the thread that SIGEV_THREAD_ID names; to nobody once that has ended, as its number may be
 * another's. */
static int send_to_thread(const struct posix_timer *t, const struct siginfo64 *info)
{
    struct thread *target = thread_find(t->event.tid);
    int err = target && target->process == t->process ? signal_send_thread(target, info) : -ESRCH;
    if (target)
        thread_put(target);
    return err;
}

static void send_expiry(struct posix_timer *t)
{
    struct siginfo64 info = {.si_signo = t->event.signo, .si_code = SI_TIMER};
    info.timer.timerid = t->id;
    info.timer.value = t->event.value;
    if (t->id < 0) /* setitimer(2): no more than the number */
        info = (struct siginfo64){.si_signo = t->event.signo, .si_code = SI_KERNEL};
    bool to_thread = t->event.notify & SIGEV_THREAD_ID;
    int err = to_thread ? send_to_thread(t, &info) : signal_send_process(t->process, &info);
    if (err)
        t->pending_expiries = 0; /* nobody will take it: the next expiry tries again */
}

static void expired(struct timer *timer)
{
    struct posix_timer *t = container_of(timer, struct posix_timer, timer);
    struct process *p = t->process;
    u64 now;
    if (clock_now(t->clock, &now))
        return; /* the thread whose time it was has ended */

    spin_lock(&p->siglock);
    bool fires = t->due && now >= t->due, first = false;
    if (fires) {
        first = t->pending_expiries == 0;
        t->pending_expiries += advance(t, now);
        if (t->id < 0)
            t->pending_expiries = 0; /* a classic signal merges by itself */
    }
    u64 due = t->due;
    spin_unlock(&p->siglock);

    if (fires && first && t->event.notify != SIGEV_NONE)
        send_expiry(t);
    if (!due)
        return;
    u64 deadline = max(clock_deadline(t->clock, due), time_after_ns(LEAST_NS));
    if (t->clock < 0) /* CPU time may stand still: do not look all the time */
        deadline = max(deadline, time_after_ns(CPU_POLL_NS));
    timer_set(&t->timer, deadline);
}

static void set_locked(struct posix_timer *t, u64 due, u64 interval)
{
    t->due = due;
    t->interval = interval;
    t->pending_expiries = 0;
}

static void get_locked(const struct posix_timer *t, u64 now, struct timer_setting *out)
{
    out->interval = t->interval;
    out->value = !t->due ? 0 : t->due > now ? t->due - now : 1;
}

/** Set @t; the kernel timer is stopped first, so that its callback does not see half of it. */
static int change(struct posix_timer *t, bool absolute, const struct timer_setting *new,
                  struct timer_setting *old)
{
    u64 now;
    int err = clock_now(t->clock, &now);
    if (err)
        return err;
    u64 due = 0;
    if (new &&new->value && __builtin_add_overflow(absolute ? 0 : now, new->value, &due))
        due = TIME_NEVER;
    if (new)
        timer_cancel(&t->timer);
    spin_lock(&t->process->siglock);
    if (old)
        get_locked(t, now, old);
    if (new)
        set_locked(t, due, new->interval);
    spin_unlock(&t->process->siglock);
    if (new &&due)
        timer_set(&t->timer, clock_deadline(t->clock, due));
    return 0;
}

/** The timer @id of the current process. [S] held. */
static struct posix_timer *find_locked(int id)
{
    struct posix_timer *t;
    list_for_each(t, &current_process()->posix_timers, node)
        if (t->id == id)
            return t;
    return NULL;
}

/* Only the process's own threads delete its timers, and a program that deletes one while another of
 * its threads uses it has a race of its own; but ours must not crash of it: memory is kept until no
 * call is inside.  Calls on timers of one process therefore exclude each other. */
static struct mutex calls;

static struct posix_timer *find(int id)
{
    struct process *p = current_process();
    spin_lock(&p->siglock);
    struct posix_timer *t = id < 0 ? NULL : find_locked(id);
    spin_unlock(&p->siglock);
    return t;
}

static bool event_valid(const struct linux_sigevent *e)
{
    int notify = e->notify & ~SIGEV_THREAD_ID;
    if (e->notify == SIGEV_NONE)
        return true;
    if (notify != SIGEV_SIGNAL && notify != SIGEV_THREAD)
        return false;
    if (e->signo < 1 || e->signo > SIGRTMAX)
        return false;
    if (!(e->notify & SIGEV_THREAD_ID))
        return true;
    struct thread *t = thread_find(e->tid);
    bool ours = t && t->process == current_process();
    if (t)
        thread_put(t);
    return ours;
}

/** The clock as clock_now() takes it from any thread, and where none runs: "this thread" and "this
 * process", for which the C library has names of its own, are told which. */
static int absolute_clock(int clock)
{
    enum { NOBODY = ~7, THREAD = 4, WHICH = 3, SCHED = 2 };
    bool unnamed = clock < 0 && (clock & NOBODY) == NOBODY;

    if (clock == CLOCK_THREAD_CPUTIME_ID || (unnamed && clock & THREAD))
        return (int)(~(u32)current->tid << 3 | THREAD | (unnamed ? clock & WHICH : SCHED));
    if (clock == CLOCK_PROCESS_CPUTIME_ID || unnamed)
        return (int)(~(u32)current_process()->pid << 3 | (unnamed ? clock & WHICH : SCHED));
    return clock;
}

static void init_timer(struct posix_timer *t, int id, int clock, const struct linux_sigevent *event)
{
    timer_init(&t->timer, expired);
    list_init(&t->node);
    t->process = current_process();
    t->id = id;
    t->clock = absolute_clock(clock);
    t->event = *event;
}

/** Link @t under the lowest free id. False if there are too many. */
static bool add(struct posix_timer *t)
{
    struct process *p = t->process;
    struct posix_timer *other;
    int id = 0;
    spin_lock(&p->siglock);
    struct list_head *place = &p->posix_timers;
    list_for_each(other, &p->posix_timers, node) {
        if (other->id != id) {
            place = &other->node;
            break;
        }
        id++;
    }
    bool fits = id < MAX_TIMERS;
    if (fits) {
        t->id = id;
        list_insert_between(&t->node, place->prev, place);
    }
    spin_unlock(&p->siglock);
    return fits;
}

int posix_timer_create(int clock, const struct linux_sigevent *event, int *id)
{
    u64 now;
    if (clock_now(clock, &now) || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
        clock == CLOCK_REALTIME_COARSE || (event && !event_valid(event)))
        return -EINVAL;
    struct posix_timer *t = kzalloc(sizeof(*t));
    if (!t)
        return -EAGAIN;
    const struct linux_sigevent alarm = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
    init_timer(t, 0, clock, event ? event : &alarm);
    mutex_lock(&calls); /* a thread that guesses its number may delete it */
    bool added = add(t);
    if (added && !event)
        t->event.value = (u64)t->id;
    if (added)
        *id = t->id;
    mutex_unlock(&calls);
    if (!added)
        kfree(t);
    return added ? 0 : -EAGAIN;
}

int posix_timer_set(int id, bool absolute, const struct timer_setting *new,
                    struct timer_setting *old)
{
    mutex_lock(&calls);
    struct posix_timer *t = find(id);
    int err = t ? change(t, absolute, new, old) : -EINVAL;
    mutex_unlock(&calls);
    return err;
}

int posix_timer_get(int id, struct timer_setting *out)
{
    return posix_timer_set(id, false, NULL, out);
}

int posix_timer_overrun(int id)
{
    mutex_lock(&calls);
    struct posix_timer *t = find(id);
    int overrun = t ? (int)min(t->overrun, (u32)INT_MAX) : -EINVAL;
    mutex_unlock(&calls);
    return overrun;
}

int posix_timer_delete(int id)
{
    mutex_lock(&calls);
    struct posix_timer *t = find(id);
    if (t) {
        struct process *p = t->process;
        spin_lock(&p->siglock);
        list_remove(&t->node);
        t->due = 0;
        spin_unlock(&p->siglock);
        timer_cancel(&t->timer);
        kfree(t);
    }
    mutex_unlock(&calls);
    return t ? 0 : -EINVAL;
}

void posix_timer_taken(struct process *p, struct siginfo64 *info)
{
    struct posix_timer *t;
    list_for_each(t, &p->posix_timers, node) {
        if (t->id != info->timer.timerid)
            continue;
        t->overrun = t->pending_expiries ? t->pending_expiries - 1 : 0;
        t->pending_expiries = 0;
        info->timer.overrun = (s32)t->overrun;
    }
}

/* ---- setitimer ---- */

static struct itimers *itimers_of(struct process *p)
{
    if (p->itimers)
        return p->itimers;
    struct itimers *all = kzalloc(sizeof(*all));
    if (!all)
        return NULL;
    static const struct {
        int clock, sig;
    } kinds[3] = {
        [ITIMER_REAL] = {CLOCK_MONOTONIC, SIGALRM},
        [ITIMER_VIRTUAL] = {CLOCK_PROCESS_CPUTIME_ID, SIGVTALRM},
        [ITIMER_PROF] = {CLOCK_PROCESS_CPUTIME_ID, SIGPROF},
    };
    for (int i = 0; i < 3; i++) {
        struct linux_sigevent event = {.signo = kinds[i].sig, .notify = SIGEV_SIGNAL};
        init_timer(&all->timers[i], -1, kinds[i].clock, &event);
    }
    p->itimers = all;
    return all;
}

int itimer_set(int which, const struct timer_setting *new, struct timer_setting *old)
{
    if (which < ITIMER_REAL || which > ITIMER_PROF)
        return -EINVAL;
    mutex_lock(&calls);
    struct itimers *all = itimers_of(current_process());
    int err = all ? change(&all->timers[which], false, new, old) : -ENOMEM;
    mutex_unlock(&calls);
    return err;
}

/** Stop and free @t, which nobody finds any more. */
static void drop(struct posix_timer *t)
{
    t->due = 0;
    timer_cancel(&t->timer);
    kfree(t);
}

void posix_timers_drop(struct process *p, bool itimers)
{
    struct list_head gone = LIST_INIT(gone);
    struct posix_timer *t, *next;

    if (likely(list_empty(&p->posix_timers) && !(itimers && p->itimers)))
        return;
    mutex_lock(&calls);
    spin_lock(&p->siglock);
    list_for_each_safe(t, next, &p->posix_timers, node)
    {
        list_remove(&t->node);
        list_add_tail(&gone, &t->node);
    }
    spin_unlock(&p->siglock);
    list_for_each_safe(t, next, &gone, node) drop(t);
    for (int i = 0; itimers && p->itimers && i < 3; i++) {
        p->itimers->timers[i].due = 0;
        timer_cancel(&p->itimers->timers[i].timer);
    }
    mutex_unlock(&calls);
}

void posix_timers_init(void)
{
    mutex_init(&calls);
}
