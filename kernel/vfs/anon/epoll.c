/* epoll: a set of watched files, and of these a list of those that may be ready.
 *
 * A watched file's wake-up puts its item on the ready list; only that list is looked at by
 * epoll_wait, so the number of idle files costs nothing.  An item on the list is asked again before
 * it is reported, for it may have become unready; with level triggering it goes back on the list
 * after it was reported.
 *
 * Locks: nest_lock (adding an epoll to an epoll) - a stripe of file_locks (file->watchers, and an
 * item's life) - ep->lock (the set, one scan at a time; a parent's before a child's) - a file's
 * wait queue - ep->ready_lock (a leaf).  An item is removed with its file's stripe and ep->lock
 * held, so either keeps it alive.  ready() of files is never called under ready_lock. */
#include "vfs/anon/epoll.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/panic.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "sched/thread.h"

enum { NEST_MAX = 5, FILE_LOCKS = 16, FIRST_BUCKETS = 16 };

/* The bits of an item's events that are not poll bits. */
#define EP_PRIVATE (EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET)
#define EP_ALWAYS  (POLLERR | POLLHUP)
#define EP_EXCLUSIVE_OK                                                                            \
    (POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

/* Fields: [I], [L] ep->lock, [F] the file's stripe, [R] ep->ready_lock. */
struct epoll_item {
    struct wait_entry wait;      /* in file->waitq */
    struct list_head ready_node; /* [R] in ep->ready, or in a scan's batch; else unlinked */
    struct list_head file_node;  /* [F] in file->watchers */
    struct epoll_item *next;     /* [L] in its bucket */
    struct epoll *ep;            /* [I] */
    struct file *file;           /* [I] no reference: the file's release removes the item */
    int fd;                      /* [I] */
    u32 events;                  /* [L], read under the file's wait queue */
    u64 data;                    /* [L] */
};

struct epoll {
    struct mutex lock;
    struct spinlock ready_lock;
    struct list_head ready;      /* [R] */
    struct list_head taken;      /* [R] in .ready where a scan has what was there: it is not empty
                                    to who is about to sleep, or to look */
    struct waitq waitq;          /* epoll_wait and whoever watches the epoll itself */
    struct epoll_item **buckets; /* [L] nr_buckets, a power of two; owns */
    u32 nr_buckets, nr_items;    /* [L] */
    u32 above;                   /* under nest_lock: epolls above, at most so many ever */
};

static struct mutex nest_lock = {.waiters = LIST_INIT(nest_lock.waiters)};
static struct mutex file_locks[FILE_LOCKS];

static const struct file_ops epoll_ops;

bool file_is_epoll(const struct file *file)
{
    return file->ops == &epoll_ops;
}

static struct mutex *file_lock(const struct file *file)
{
    return &file_locks[((uintptr_t)file >> 8) % FILE_LOCKS];
}

/* ---- the set ---- */

static struct epoll_item **bucket_of(struct epoll *ep, int fd)
{
    return &ep->buckets[(u32)fd & (ep->nr_buckets - 1)];
}

static struct epoll_item *find_item(struct epoll *ep, int fd, const struct file *file)
{
    struct epoll_item *item = ep->buckets ? *bucket_of(ep, fd) : NULL;

    while (item && (item->fd != fd || item->file != file))
        item = item->next;
    return item;
}

static bool grow_buckets(struct epoll *ep)
{
    u32 nr = ep->nr_buckets ? ep->nr_buckets * 2 : FIRST_BUCKETS, old_nr = ep->nr_buckets;
    struct epoll_item **old = ep->buckets, **buckets = kcalloc(nr, sizeof(*buckets));

    if (!buckets)
        return old != NULL; /* longer chains, then */
    ep->buckets = buckets;
    ep->nr_buckets = nr;
    for (u32 i = 0; i < old_nr; i++) {
        for (struct epoll_item *item = old[i], *next; item; item = next) {
            next = item->next;
            item->next = *bucket_of(ep, item->fd);
            *bucket_of(ep, item->fd) = item;
        }
    }
    kfree(old);
    return true;
}

static bool insert_item(struct epoll *ep, struct epoll_item *item)
{
    if (ep->nr_items >= ep->nr_buckets && !grow_buckets(ep))
        return false;
    item->next = *bucket_of(ep, item->fd);
    *bucket_of(ep, item->fd) = item;
    ep->nr_items++;
    return true;
}

static void unlink_item(struct epoll *ep, struct epoll_item *item)
{
    struct epoll_item **at = bucket_of(ep, item->fd);

    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    ep->nr_items--;
}

/* ---- readiness ---- */

/* Put the item on the ready list and tell who waits. True if somebody waited. */
static __attribute__((noinline)) bool mark_ready(struct epoll_item *item)
{
    struct epoll *ep = item->ep;

    spin_lock(&ep->ready_lock);
    if (list_empty(&item->ready_node))
        list_add_tail(&ep->ready, &item->ready_node);
    spin_unlock(&ep->ready_lock);
    if (!waitq_has_waiters(&ep->waitq))
        return false;
    waitq_wake_waiters(&ep->waitq, POLLIN | POLLRDNORM, 1);
    return true;
}

/* The file's wait queue is locked here. */
static bool item_wake(struct wait_entry *entry, u32 events)
{
    struct epoll_item *item = container_of(entry, struct epoll_item, wait);
    u32 wanted = item->events & ~EP_PRIVATE;

    if (!list_empty(&item->ready_node)) /* told already; who takes it off looks again after that */
        return false;
    if (!wanted || (events && !(events & wanted))) /* not armed, or for others */
        return false;
    return mark_ready(item);
}

static inline u32 item_ready(struct epoll_item *item)
{
    struct file *file = item->file; /* has a ready(): check_ctl() */

    return file->ops->ready(file) & item->events & ~EP_PRIVATE;
}

/* ---- adding and removing ---- */

static struct epoll_item *create_item(struct epoll *ep, int fd, struct file *file,
                                      const struct epoll_event_abi *event)
{
    struct epoll_item *item = kzalloc(sizeof(*item));

    if (!item)
        return NULL;
    item->wait.wake = item_wake;
    item->wait.exclusive = event->events & EPOLLEXCLUSIVE;
    list_init(&item->ready_node);
    item->ep = ep;
    item->file = file;
    item->fd = fd;
    item->events = event->events | EP_ALWAYS;
    item->data = event->data;
    return item;
}

/* Stripe and ep locked. */
static int add_item(struct epoll *ep, int fd, struct file *file,
                    const struct epoll_event_abi *event)
{
    if (find_item(ep, fd, file))
        return -EEXIST;
    struct epoll_item *item = create_item(ep, fd, file, event);
    if (!item || !insert_item(ep, item)) {
        kfree(item);
        return -ENOMEM;
    }
    list_add_tail(&file->watchers, &item->file_node);
    if (file->waitq)
        waitq_add(file->waitq, &item->wait);
    if (item_ready(item)) /* after queueing, so that nothing falls between */
        mark_ready(item);
    return 0;
}

/* Stripe and ep locked. */
static void remove_item(struct epoll_item *item)
{
    struct epoll *ep = item->ep;

    if (item->file->waitq)
        waitq_remove(item->file->waitq, &item->wait);
    spin_lock(&ep->ready_lock);
    list_remove(&item->ready_node);
    spin_unlock(&ep->ready_lock);
    list_remove(&item->file_node);
    unlink_item(ep, item);
    kfree(item);
}

/* Stripe and ep locked. */
static int modify_item(struct epoll *ep, int fd, struct file *file,
                       const struct epoll_event_abi *event)
{
    struct epoll_item *item = find_item(ep, fd, file);

    if (!item)
        return -ENOENT;
    if ((item->events | event->events) & EPOLLEXCLUSIVE)
        return -EINVAL;
    item->data = event->data;
    __atomic_store_n(&item->events, event->events | EP_ALWAYS, __ATOMIC_SEQ_CST);
    if (item_ready(item))
        mark_ready(item);
    return 0;
}

static int delete_item(struct epoll *ep, int fd, const struct file *file)
{
    struct epoll_item *item = find_item(ep, fd, file);

    if (!item)
        return -ENOENT;
    remove_item(item);
    return 0;
}

/* ---- epolls in epolls ---- */

/* The number of levels below @ep, itself included, or NEST_MAX + 1 for too many or a way to @top.
 * nest_lock held. */
static u32 levels_below(struct epoll *ep, const struct epoll *top, u32 level)
{
    u32 deepest = 1;

    if (ep == top || level > NEST_MAX)
        return NEST_MAX + 1;
    mutex_lock(&ep->lock);
    for (u32 i = 0; i < ep->nr_buckets; i++) {
        for (struct epoll_item *item = ep->buckets[i]; item; item = item->next) {
            if (!file_is_epoll(item->file))
                continue;
            u32 below = levels_below(item->file->data, top, level + 1);
            deepest = max(deepest, below + 1);
        }
    }
    mutex_unlock(&ep->lock);
    return min(deepest, (u32)NEST_MAX + 1);
}

/* Note that @ep has at least @above epolls over it. nest_lock held. */
static void raise_above(struct epoll *ep, u32 above)
{
    if (ep->above >= above || above > NEST_MAX)
        return;
    ep->above = above;
    mutex_lock(&ep->lock);
    for (u32 i = 0; i < ep->nr_buckets; i++) {
        for (struct epoll_item *item = ep->buckets[i]; item; item = item->next)
            if (file_is_epoll(item->file))
                raise_above(item->file->data, above + 1);
    }
    mutex_unlock(&ep->lock);
}

static int allow_nesting(struct epoll *ep, struct epoll *child)
{
    if (ep->above + 1 + levels_below(child, ep, 0) > NEST_MAX)
        return -ELOOP;
    raise_above(child, ep->above + 1);
    return 0;
}

/* ---- the interface ---- */

static int check_ctl(struct file *ep, int op, struct file *file,
                     const struct epoll_event_abi *event)
{
    if (!file->ops || !file->ops->ready)
        return -EPERM;
    if (ep == file || !file_is_epoll(ep))
        return -EINVAL;
    if (op == EPOLL_CTL_DEL || !(event->events & EPOLLEXCLUSIVE))
        return 0;
    bool allowed =
        op == EPOLL_CTL_ADD && !file_is_epoll(file) && !(event->events & ~(u32)EP_EXCLUSIVE_OK);
    return allowed ? 0 : -EINVAL;
}

static int ctl_locked(struct epoll *ep, int op, int fd, struct file *file,
                      const struct epoll_event_abi *event)
{
    struct mutex *stripe = file_lock(file);
    int err = -EINVAL;

    mutex_lock(stripe);
    mutex_lock(&ep->lock);
    if (op == EPOLL_CTL_ADD)
        err = add_item(ep, fd, file, event);
    else if (op == EPOLL_CTL_MOD)
        err = modify_item(ep, fd, file, event);
    else if (op == EPOLL_CTL_DEL)
        err = delete_item(ep, fd, file);
    mutex_unlock(&ep->lock);
    mutex_unlock(stripe);
    return err;
}

int epoll_ctl(struct file *ep, int op, int fd, struct file *file,
              const struct epoll_event_abi *event)
{
    int err = check_ctl(ep, op, file, event);

    if (err)
        return err;
    if (op != EPOLL_CTL_ADD || !file_is_epoll(file))
        return ctl_locked(ep->data, op, fd, file, event);
    mutex_lock(&nest_lock);
    err = allow_nesting(ep->data, file->data);
    if (!err)
        err = ctl_locked(ep->data, op, fd, file, event);
    mutex_unlock(&nest_lock);
    return err;
}

static bool any_listed(const struct epoll *ep)
{
    return __atomic_load_n(&ep->ready.next, __ATOMIC_ACQUIRE) != &ep->ready;
}

/* The first item of @batch, taken off it, or NULL. ep locked. */
static inline struct epoll_item *next_listed(struct epoll *ep, struct list_head *batch)
{
    struct epoll_item *item = NULL;

    spin_lock(&ep->ready_lock);
    if (!list_empty(batch)) {
        item = list_first(batch, struct epoll_item, ready_node);
        list_remove(&item->ready_node);
    }
    spin_unlock(&ep->ready_lock);
    mb(); /* off the list, then the look at the file: against item_wake() */
    return item;
}

/* Back on the ready list, unless a wake-up has put it there meanwhile. @first: where it was. */
static inline void list_again(struct epoll *ep, struct epoll_item *item, bool first)
{
    spin_lock(&ep->ready_lock);
    if (!list_empty(&item->ready_node))
        list_remove(&item->ready_node);
    if (first)
        list_add(&ep->ready, &item->ready_node);
    else
        list_add_tail(&ep->ready, &item->ready_node);
    spin_unlock(&ep->ready_lock);
}

/* Take what is listed for a scan. ep locked. */
static void take_listed(struct epoll *ep, struct list_head *batch)
{
    struct list_head *ready = &ep->ready;

    spin_lock(&ep->ready_lock);
    if (!list_empty(ready)) {
        *batch = *ready;
        batch->next->prev = batch->prev->next = batch;
    }
    ep->taken = (struct list_head){ready, ready};
    ready->prev = &ep->taken;
    __atomic_store_n(&ready->next, &ep->taken, __ATOMIC_RELAXED); /* never itself in between */
    spin_unlock(&ep->ready_lock);
}

/* Give back, before all others, what the scan has left. ep locked. */
static void return_listed(struct epoll *ep, struct list_head *batch)
{
    struct list_head *ready = &ep->ready;

    spin_lock(&ep->ready_lock);
    if (!list_empty(batch)) {
        struct list_head *first = batch->next, *last = batch->prev;
        last->next = ready->next;
        ready->next->prev = last;
        first->prev = ready;
        __atomic_store_n(&ready->next, first, __ATOMIC_RELAXED);
    }
    list_remove(&ep->taken);
    spin_unlock(&ep->ready_lock);
}

/* Report one item. 1, 0 (not ready after all), or -EFAULT. ep locked. */
static inline int report(struct epoll *ep, struct epoll_item *item, uaddr_t to)
{
    u32 events = item_ready(item);

    if (!events)
        return 0;
    if (user_put32(to + offsetof(struct epoll_event_abi, events), events) ||
        user_put64(to + offsetof(struct epoll_event_abi, data), item->data)) {
        list_again(ep, item, true);
        return -EFAULT;
    }
    if (item->events & EPOLLONESHOT)
        item->events &= EP_PRIVATE;
    else if (!(item->events & EPOLLET))
        list_again(ep, item, false);
    return 1;
}

/* One pass over what is listed now. Events reported, or -EFAULT if the first could not be. */
static int scan(struct epoll *ep, uaddr_t events, int max)
{
    struct list_head batch = LIST_INIT(batch);
    struct epoll_item *item;
    int n = 0, got = 0;

    mutex_lock(&ep->lock);
    take_listed(ep, &batch);
    while (n < max && (item = next_listed(ep, &batch)) != NULL) {
        got = report(ep, item, events + (uaddr_t)n * sizeof(struct epoll_event_abi));
        if (got < 0)
            break;
        n += got;
    }
    return_listed(ep, &batch);
    mutex_unlock(&ep->lock);
    if (any_listed(ep))
        waitq_wake(&ep->waitq, POLLIN | POLLRDNORM, 1);
    return n ? n : min(got, 0);
}

/* Who is woken leaves the queue, so that the rest of a burst finds nobody to wake.  ep's wait queue
 * is locked here. */
static bool wake_waiter(struct wait_entry *entry, u32 events)
{
    (void)events;
    bool woken = thread_wake(entry->thread);

    if (woken)
        list_remove(&entry->node);
    return woken;
}

/* Sleep until something is listed. 0, -ETIMEDOUT or -EINTR. */
static int wait_listed(struct epoll *ep, u64 deadline_ns)
{
    struct wait_entry entry;
    int err = 0;

    wait_entry_init(&entry);
    entry.wake = wake_waiter;
    entry.exclusive = true;
    waitq_add(&ep->waitq, &entry);
    for (;;) {
        thread_prepare_sleep(true);
        if (any_listed(ep))
            break;
        err = thread_sleep_until(deadline_ns);
        if (err || any_listed(ep))
            break;
        waitq_remove(&ep->waitq, &entry); /* it may have been taken out, or be just now */
        waitq_add(&ep->waitq, &entry);
    }
    thread_finish_sleep();
    waitq_remove(&ep->waitq, &entry);
    return any_listed(ep) ? 0 : err;
}

bool epoll_is_idle(const struct file *file)
{
    return file->ops == &epoll_ops && !any_listed(file->data);
}

int epoll_wait(struct file *file, uaddr_t events, int max, u64 deadline_ns)
{
    struct epoll *ep = file->data;

    if (sched_look)
        (void)sched_look(false); /* what has come is in this round */
    for (;;) {
        int n = any_listed(ep) ? scan(ep, events, max) : 0;
        if (n || !deadline_ns)
            return n;
        int err = wait_listed(ep, deadline_ns);
        if (err)
            return err == -ETIMEDOUT ? 0 : err;
    }
}

/* For whoever watches an epoll: is one of the listed items really ready?  If a scan is going on,
 * believe the list; the scan's end wakes who was misled. */
static u32 epoll_ready(struct file *file)
{
    struct epoll *ep = file->data;
    struct list_head batch = LIST_INIT(batch);
    struct epoll_item *item;
    bool found = false;

    if (!any_listed(ep))
        return 0;
    if (!mutex_trylock(&ep->lock))
        return POLLIN | POLLRDNORM;
    take_listed(ep, &batch);
    while (!found && (item = next_listed(ep, &batch)) != NULL) {
        found = item_ready(item);
        if (found)
            list_again(ep, item, true);
    }
    return_listed(ep, &batch);
    mutex_unlock(&ep->lock);
    return found ? POLLIN | POLLRDNORM : 0;
}

/* Any item of the set, its file's stripe locked as well as ep; NULL: the set is empty. */
static struct epoll_item *lock_any_item(struct epoll *ep, struct mutex **stripe)
{
    for (;;) {
        struct epoll_item *item = NULL;
        mutex_lock(&ep->lock);
        for (u32 i = 0; i < ep->nr_buckets && !item; i++)
            item = ep->buckets[i];
        if (!item) {
            mutex_unlock(&ep->lock);
            return NULL;
        }
        int fd = item->fd;
        const struct file *file = item->file; /* only compared from here on */
        mutex_unlock(&ep->lock);
        *stripe = file_lock(file);
        mutex_lock(*stripe);
        mutex_lock(&ep->lock);
        item = find_item(ep, fd, file);
        if (item)
            return item;
        mutex_unlock(&ep->lock);
        mutex_unlock(*stripe);
    }
}

static void epoll_release(struct file *file)
{
    struct epoll *ep = file->data;
    struct epoll_item *item;
    struct mutex *stripe;

    while ((item = lock_any_item(ep, &stripe)) != NULL) {
        remove_item(item);
        mutex_unlock(&ep->lock);
        mutex_unlock(stripe);
    }
    kfree(ep->buckets);
    kfree(ep);
}

/* The last descriptor of a watched file is closed. */
static void forget_file(struct file *file)
{
    struct mutex *stripe = file_lock(file);

    mutex_lock(stripe);
    while (!list_empty(&file->watchers)) {
        struct epoll_item *item = list_first(&file->watchers, struct epoll_item, file_node);
        struct epoll *ep = item->ep; /* cannot go before its items, which need the stripe */
        mutex_lock(&ep->lock);
        remove_item(item);
        mutex_unlock(&ep->lock);
    }
    mutex_unlock(stripe);
}

static size_t epoll_fdinfo(struct file *file, char *buf, size_t size)
{
    struct epoll *ep = file->data;
    size_t len = 0;

    mutex_lock(&ep->lock);
    for (u32 i = 0; i < ep->nr_buckets; i++) {
        for (struct epoll_item *item = ep->buckets[i]; item && len < size; item = item->next)
            len += (size_t)format(buf + len, size - len, "tfd: %8d events: %8x data: %16lx\n",
                                  item->fd, item->events, (unsigned long)item->data);
    }
    mutex_unlock(&ep->lock);
    return min(len, size);
}

static const struct file_ops epoll_ops = {
    .ready = epoll_ready,
    .fdinfo = epoll_fdinfo,
    .release = epoll_release,
};

static void epoll_setup(void)
{
    mutex_lock(&nest_lock);
    if (!file_watchers_gone) {
        for (u32 i = 0; i < FILE_LOCKS; i++)
            mutex_init(&file_locks[i]);
        __atomic_store_n(&file_watchers_gone, forget_file, __ATOMIC_RELEASE);
    }
    mutex_unlock(&nest_lock);
}

struct file *epoll_create(void)
{
    struct epoll *ep = kzalloc(sizeof(*ep));
    struct file *file = ep ? file_create_anon(&epoll_ops, ep, "[eventpoll]", O_RDWR) : NULL;

    if (!file) {
        kfree(ep);
        return NULL;
    }
    epoll_setup();
    mutex_init(&ep->lock);
    spin_init(&ep->ready_lock);
    list_init(&ep->ready);
    waitq_init(&ep->waitq);
    file->waitq = &ep->waitq;
    return file;
}
