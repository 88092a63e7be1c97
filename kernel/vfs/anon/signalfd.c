/* signalfd: pending signals that are read.  As on Linux the reader's own signals count, whoever
 * made the file: it is inherited by fork and outlives its maker.  So it has a wait queue of its
 * own, and a relay in that of each process that has asked for its signals. */
#include "vfs/anon/signalfd.h"

#include "abi/errno.h"
#include "abi/eventpoll.h"
#include "abi/fcntl.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "sched/thread.h"

/* Passes on that a process has got a signal. All [I] but .next. */
struct relay {
    struct wait_entry wait;  /* in the process's signal_wait */
    struct process *process; /* owns a reference, so the queue is there */
    struct signalfd *s;
    struct relay *next; /* [L] */
};

/* Fields: [A], [L] under .lock. */
struct signalfd {
    sigset64_t mask;      /* [A] */
    struct spinlock lock; /* a leaf */
    struct relay *relays; /* [L] owns */
    struct waitq waitq;
};

static sigset64_t mask_of(const struct file *file)
{
    const struct signalfd *s = file->data;

    return __atomic_load_n(&s->mask, __ATOMIC_RELAXED);
}

static void convert(const struct siginfo64 *info, struct signalfd_siginfo_abi *out)
{
    *out = (struct signalfd_siginfo_abi){
        .signo = (u32)info->si_signo,
        .err = info->si_errno,
        .code = info->si_code,
        .pid = (u32)info->kill.pid,
        .uid = info->kill.uid,
    };
    if (info->si_code == SI_TIMER) {
        out->pid = out->uid = 0;
        out->tid = (u32)info->timer.timerid;
        out->overrun = (u32)info->timer.overrun;
    }
    if (info->si_code < 0 && info->si_code != SI_TKILL) {
        out->ptr = info->rt.value;
        out->int_value = (s32)info->rt.value;
    }
    if (info->si_signo == SIGCHLD) {
        out->status = info->child.status;
        out->utime = (u64)info->child.utime;
        out->stime = (u64)info->child.stime;
    }
}

static bool pass_on(struct wait_entry *entry, u32 events)
{
    waitq_wake_all(&container_of(entry, struct relay, wait)->s->waitq, events);
    return false;
}

static void free_relays(struct relay *relay)
{
    while (relay) {
        struct relay *next = relay->next;
        waitq_remove(&relay->process->signal_wait, &relay->wait);
        process_put(relay->process);
        kfree(relay);
        relay = next;
    }
}

/* Take out the relays of processes that have ended. Lock held. */
static struct relay *take_ended(struct signalfd *s)
{
    struct relay *ended = NULL, **link = &s->relays;

    while (*link) {
        struct relay *relay = *link;
        if (__atomic_load_n(&relay->process->zombie, __ATOMIC_ACQUIRE)) {
            *link = relay->next;
            relay->next = ended;
            ended = relay;
        } else {
            link = &relay->next;
        }
    }
    return ended;
}

static bool has_relay(struct signalfd *s, const struct process *process)
{
    spin_lock(&s->lock);
    const struct relay *relay = s->relays;
    while (relay && relay->process != process)
        relay = relay->next;
    spin_unlock(&s->lock);
    return relay;
}

/* From now on the queue is woken by the current process's signals. Without memory it is not, but
 * for reads.  Two threads at once make two relays, which does no harm. */
static void listen(struct signalfd *s)
{
    struct process *process = current_process();

    if (!process || has_relay(s, process))
        return;
    struct relay *relay = kzalloc(sizeof(*relay));
    if (!relay)
        return;
    relay->wait.wake = pass_on;
    relay->process = process;
    relay->s = s;
    process_get(process);
    waitq_add(&process->signal_wait, &relay->wait);
    spin_lock(&s->lock);
    struct relay *ended = take_ended(s);
    relay->next = s->relays;
    s->relays = relay;
    spin_unlock(&s->lock);
    free_relays(ended);
}

static u32 signalfd_ready(struct file *file)
{
    listen(file->data);
    return signal_pending_set(current) & mask_of(file) ? POLLIN | POLLRDNORM : 0;
}

static ssize_t signalfd_read(struct file *file, struct iov_iter *to,
                             s64 *pos __attribute__((unused)))
{
    struct signalfd_siginfo_abi out;
    struct siginfo64 info;
    ssize_t done = 0;

    if (to->left < sizeof(out))
        return -EINVAL;
    while (to->left >= sizeof(out)) {
        if (signal_dequeue(current, mask_of(file), &info)) {
            convert(&info, &out);
            if (iter_write(to, &out, sizeof(out)) != sizeof(out))
                return done ? done : -EFAULT;
            done += (ssize_t)sizeof(out);
            continue;
        }
        if (done)
            break;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event(&current_process()->signal_wait, signalfd_ready(file), true, NO_DEADLINE))
            return -ERESTARTSYS;
    }
    return done;
}

static size_t signalfd_fdinfo(struct file *file, char *buf, size_t size)
{
    return (size_t)format(buf, size, "sigmask:\t%016lx\n", (unsigned long)mask_of(file));
}

static void signalfd_release(struct file *file)
{
    struct signalfd *s = file->data;

    free_relays(s->relays);
    kfree(s);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .ready = signalfd_ready,
    .fdinfo = signalfd_fdinfo,
    .release = signalfd_release,
};

struct file *signalfd_create(sigset64_t mask, u32 flags)
{
    struct signalfd *s = kzalloc(sizeof(*s));
    struct file *file = s ? file_create_anon(&signalfd_ops, s, "[signalfd]", O_RDWR | flags) : NULL;

    if (!file) {
        kfree(s);
        return NULL;
    }
    s->mask = mask & ~SIGNALS_UNBLOCKABLE;
    spin_init(&s->lock);
    waitq_init(&s->waitq);
    file->waitq = &s->waitq;
    return file;
}

int signalfd_set(struct file *file, sigset64_t mask)
{
    if (file->ops != &signalfd_ops)
        return -EINVAL;
    struct signalfd *s = file->data;
    __atomic_store_n(&s->mask, mask & ~SIGNALS_UNBLOCKABLE, __ATOMIC_RELAXED);
    waitq_wake_all(&s->waitq, POLLIN);
    waitq_wake_all(&current_process()->signal_wait, POLLIN); /* who reads waits there */
    return 0;
}
