/* eventfd(2): a counter that is read to zero, or by ones, and added to; no lock. */
#include "vfs/anon/eventfd.h"

#include "abi/errno.h"
#include "abi/eventpoll.h"
#include "abi/fcntl.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "sched/signal.h"

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    u64 count;      /* [A] at most COUNT_MAX */
    bool semaphore; /* [I] */
    struct waitq waitq;
};

static u64 load(const struct eventfd *e)
{
    return __atomic_load_n(&e->count, __ATOMIC_ACQUIRE);
}

/* Take what a read gives; 0 if there is nothing. */
static u64 take(struct eventfd *e)
{
    u64 old = load(e);

    while (old) {
        u64 left = e->semaphore ? old - 1 : 0;
        if (__atomic_compare_exchange_n(&e->count, &old, left, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_ACQUIRE))
            return old - left;
    }
    return 0;
}

static bool add(struct eventfd *e, u64 n)
{
    u64 old = load(e);

    while (n <= COUNT_MAX - old) {
        if (__atomic_compare_exchange_n(&e->count, &old, old + n, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

/* take() after a sleep. 0 with the value in *@n, or a negative errno. */
static __attribute__((noinline)) int take_waiting(struct file *file, u64 *n)
{
    struct eventfd *e = file->data;

    while (!(*n = take(e))) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event(&e->waitq, load(e), true, NO_DEADLINE))
            return -ERESTARTSYS;
    }
    return 0;
}

static ssize_t eventfd_read(struct file *file, struct iov_iter *to,
                            s64 *pos __attribute__((unused)))
{
    struct eventfd *e = file->data;

    if (unlikely(to->left < sizeof(u64)))
        return -EINVAL;
    u64 n = take(e);
    int err = likely(n) ? 0 : take_waiting(file, &n);
    if (unlikely(err))
        return err;
    waitq_wake(&e->waitq, POLLOUT | POLLWRNORM, 1);
    return iter_write(to, &n, sizeof(n)) == sizeof(n) ? (ssize_t)sizeof(n) : -EFAULT;
}

/* add() after a sleep. 0 or a negative errno. */
static __attribute__((noinline)) int add_waiting(struct file *file, u64 n)
{
    struct eventfd *e = file->data;

    while (!add(e, n)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event(&e->waitq, n <= COUNT_MAX - load(e), true, NO_DEADLINE))
            return -ERESTARTSYS;
    }
    return 0;
}

static ssize_t eventfd_write(struct file *file, struct iov_iter *from,
                             s64 *pos __attribute__((unused)))
{
    struct eventfd *e = file->data;
    u64 n;

    if (unlikely(from->left < sizeof(n)))
        return -EINVAL;
    if (unlikely(iter_read(from, &n, sizeof(n)) != sizeof(n)))
        return -EFAULT;
    if (unlikely(n > COUNT_MAX))
        return -EINVAL;
    int err = likely(add(e, n)) ? 0 : add_waiting(file, n);
    if (unlikely(err))
        return err;
    waitq_wake(&e->waitq, POLLIN | POLLRDNORM, 1);
    return sizeof(n);
}

static u32 eventfd_ready(struct file *file)
{
    const struct eventfd *e = file->data;
    u64 count = load(e);

    return (count ? POLLIN | POLLRDNORM : 0) | (count < COUNT_MAX ? POLLOUT | POLLWRNORM : 0);
}

static size_t eventfd_fdinfo(struct file *file, char *buf, size_t size)
{
    const struct eventfd *e = file->data;

    return (size_t)format(buf, size, "eventfd-count: %16lx\neventfd-semaphore: %d\n",
                          (unsigned long)load(e), e->semaphore);
}

static void eventfd_release(struct file *file)
{
    kfree(file->data);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .ready = eventfd_ready,
    .fdinfo = eventfd_fdinfo,
    .release = eventfd_release,
};

struct file *eventfd_create(u32 count, u32 flags)
{
    struct eventfd *e = kzalloc(sizeof(*e));
    struct file *file = NULL;

    if (e)
        file = file_create_anon(&eventfd_ops, e, "[eventfd]", O_RDWR | (flags & EFD_NONBLOCK));
    if (!file) {
        kfree(e);
        return NULL;
    }
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE;
    waitq_init(&e->waitq);
    file->waitq = &e->waitq;
    return file;
}

bool file_is_eventfd(const struct file *file)
{
    return file->ops == &eventfd_ops;
}

void eventfd_signal(struct file *file)
{
    struct eventfd *e = file->data;

    (void)add(e, 1); /* who reads it looks for all that is done */
    waitq_wake(&e->waitq, POLLIN | POLLRDNORM, 1);
}
