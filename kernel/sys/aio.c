/* Asynchronous I/O as libaio has it: io_setup(2), io_submit(2), io_getevents(2).
 * Reads and writes of files with O_DIRECT, and syncs, are done by kernel threads of the context
 * that use the program's memory.  All others are done within io_submit, as Linux does them too. The
 * context's name is the address of a page of the program's, where Linux has its ring: libaio looks
 * at it, finds no ring there and calls the kernel. */
#include "sys/aio.h"

#include "abi/aio.h"
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "mm/heap.h"
#include "sys/fs.h"
#include "sys/poll_util.h"
#include "syscalls.h"
#include "vfs/anon/eventfd.h"
#include "vfs/fd.h"
#include "vfs/inode.h"

enum { MAX_WORKERS = 32, MAX_REQUESTS = 65536 /* in the system */, NR_REFUSED = 1 << 23 };
enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4 };

/* Until it is done it belongs to who runs it, then to the context. */
struct request {
    struct list_head node;       /* [L] of the context: in .queue or .done */
    struct file *file;           /* owns, until it is done */
    struct file *notify;         /* owns, until it is done: an eventfd, or NULL */
    struct linux_io_event event; /* .res once it is done */
    u16 opcode;
    u32 rw_flags;
    int err; /* it is not to be tried: what it gives */
    s64 pos;
    struct iov_iter it;
    struct iovec small[USER_VEC_INLINE], *heap; /* owns, until it is done */
};

struct aio_context {
    struct aio_context *next;     /* under contexts_lock */
    uaddr_t id;                   /* [I] */
    struct mm *mm;                /* [I] borrowed: it stays until the workers have gone */
    u32 max;                      /* [I] requests at a time */
    u32 refs;                     /* [A] the process, calls, workers */
    struct spinlock lock;         /* before a run queue's */
    u32 nr_taken;                 /* [L] requests of .max that are under way or not asked for yet */
    struct list_head queue, done; /* [L] struct request */
    u32 nr_done;                  /* [A] written under .lock */
    struct list_head resting;     /* [L] struct worker, the last one first */
    u32 nr_workers;               /* [A] likewise */
    bool dead;                    /* [A] likewise */
    struct waitq wait;            /* something is done, or a worker has gone */
};

/* A worker that rests; on its stack. */
struct worker {
    struct list_head node;
    struct thread *thread;
    bool woken;
};

static struct spinlock contexts_lock; /* lists of contexts; a leaf */
static u32 nr_requests;               /* [A] .max of all contexts */

static bool is_sync(u16 opcode)
{
    return opcode == IOCB_CMD_FSYNC || opcode == IOCB_CMD_FDSYNC;
}

static bool is_write(u16 opcode)
{
    return opcode == IOCB_CMD_PWRITE || opcode == IOCB_CMD_PWRITEV;
}

/* ---- contexts ---- */

static void context_put(struct aio_context *ctx)
{
    struct request *r, *next;

    if (__atomic_sub_fetch(&ctx->refs, 1, __ATOMIC_ACQ_REL))
        return;
    list_for_each_safe(r, next, &ctx->done, node) kfree(r);
    __atomic_sub_fetch(&nr_requests, ctx->max, __ATOMIC_RELAXED);
    kfree(ctx);
}

/* The context with a new reference, or NULL.  @take: it is not the process's any more, and the
 * process's reference is the caller's. */
static struct aio_context *find(uaddr_t id, bool take)
{
    struct aio_context *ctx, **link;

    spin_lock(&contexts_lock);
    for (link = &current_process()->aio; (ctx = *link) && ctx->id != id; link = &ctx->next)
        ;
    if (ctx && take)
        *link = ctx->next;
    else if (ctx)
        __atomic_fetch_add(&ctx->refs, 1, __ATOMIC_RELAXED);
    spin_unlock(&contexts_lock);
    return ctx;
}

static bool is_dead(const struct aio_context *ctx)
{
    return __atomic_load_n(&ctx->dead, __ATOMIC_ACQUIRE);
}

static u32 nr_done(const struct aio_context *ctx)
{
    return __atomic_load_n(&ctx->nr_done, __ATOMIC_ACQUIRE);
}

static void wake_worker_locked(struct aio_context *ctx)
{
    struct worker *w = list_first(&ctx->resting, struct worker, node);

    list_remove(&w->node);
    w->woken = true;
    thread_wake(w->thread);
}

/* No more requests come; returns when all are done and the workers have gone.  Takes the
 * reference. */
static void shut(struct aio_context *ctx)
{
    spin_lock(&ctx->lock);
    __atomic_store_n(&ctx->dead, true, __ATOMIC_RELEASE);
    while (!list_empty(&ctx->resting))
        wake_worker_locked(ctx);
    spin_unlock(&ctx->lock);
    waitq_wake_all(&ctx->wait, 0);
    (void)wait_event(&ctx->wait, !__atomic_load_n(&ctx->nr_workers, __ATOMIC_ACQUIRE), false,
                     NO_DEADLINE); /* nothing ends it but they */
    context_put(ctx);
}

void aio_process_gone(struct process *p)
{
    struct aio_context *ctx;

    for (;;) {
        spin_lock(&contexts_lock);
        ctx = p->aio;
        if (ctx)
            p->aio = ctx->next;
        spin_unlock(&contexts_lock);
        if (!ctx)
            return;
        shut(ctx);
    }
}

static int create(u32 nr, struct aio_context **out)
{
    struct mm *mm = mm_current();
    struct aio_context *ctx = kzalloc(sizeof(*ctx));

    if (!ctx)
        return -ENOMEM;
    int err = mm_map(mm, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL, 0,
                     NULL, &ctx->id);
    if (err) {
        kfree(ctx);
        return err;
    }
    ctx->mm = mm;
    ctx->max = nr;
    ctx->refs = 1;
    spin_init(&ctx->lock);
    waitq_init(&ctx->wait);
    list_init(&ctx->queue);
    list_init(&ctx->done);
    list_init(&ctx->resting);
    *out = ctx;
    return 0;
}

long sys_io_setup(unsigned nr, uaddr_t to)
{
    struct aio_context *ctx;
    u64 id;

    if (user_get64(&id, to))
        return -EFAULT;
    if (id || !nr || nr > NR_REFUSED)
        return -EINVAL;
    if (__atomic_add_fetch(&nr_requests, nr, __ATOMIC_RELAXED) > MAX_REQUESTS) {
        __atomic_sub_fetch(&nr_requests, nr, __ATOMIC_RELAXED);
        return -EAGAIN;
    }
    int err = create(nr, &ctx);
    if (err) {
        __atomic_sub_fetch(&nr_requests, nr, __ATOMIC_RELAXED);
        return err;
    }
    if (copy_to_user(to, &ctx->id, sizeof(ctx->id))) {
        (void)mm_unmap(ctx->mm, ctx->id, PAGE_SIZE); /* nobody knows it */
        context_put(ctx);
        return -EFAULT;
    }
    spin_lock(&contexts_lock);
    ctx->next = current_process()->aio;
    current_process()->aio = ctx;
    spin_unlock(&contexts_lock);
    return 0;
}

long sys_io_destroy(u64 id)
{
    struct aio_context *ctx = find(id, true);

    if (!ctx)
        return -EINVAL;
    shut(ctx);
    (void)mm_unmap(mm_current(), id, PAGE_SIZE); /* the program may have done so */
    return 0;
}

/* ---- doing it ---- */

static void request_free(struct request *r)
{
    if (r->file)
        file_put(r->file);
    if (r->notify)
        file_put(r->notify);
    kfree(r->heap);
    kfree(r);
}

static ssize_t move(struct request *r)
{
    struct file *file = r->file;
    s64 *pos = file_is_seekable(file) ? &r->pos : NULL;
    bool write = is_write(r->opcode);

    ssize_t n = write ? file_write(file, &r->it, pos) : file_read(file, &r->it, pos);
    if (n <= 0 || !write || !(r->rw_flags & (RWF_DSYNC | RWF_SYNC)) || !file->ops->sync)
        return n;
    int err = file->ops->sync(file, !(r->rw_flags & RWF_SYNC));
    return err ? err : n;
}

static void do_request(struct aio_context *ctx, struct request *r)
{
    struct file *notify = r->notify;
    ssize_t n = r->err;

    if (!n)
        n = is_sync(r->opcode) ? r->file->ops->sync(r->file, r->opcode == IOCB_CMD_FDSYNC)
                               : move(r);
    r->event.res = n == -ERESTARTSYS || n == -ERESTARTNOINTR ? -EINTR : n;
    file_put(r->file);
    kfree(r->heap);
    r->file = r->notify = NULL;
    r->heap = NULL;
    spin_lock(&ctx->lock);
    list_add_tail(&ctx->done, &r->node);
    __atomic_store_n(&ctx->nr_done, ctx->nr_done + 1, __ATOMIC_RELEASE);
    spin_unlock(&ctx->lock);
    if (waitq_has_waiters(&ctx->wait))
        waitq_wake_all(&ctx->wait, 0);
    if (notify) {
        eventfd_signal(notify);
        file_put(notify);
    }
}

/* The next one; waits for it. NULL: there will be none. */
static struct request *next_request(struct aio_context *ctx)
{
    struct worker own = {.thread = current};
    struct request *r = NULL;

    spin_lock(&ctx->lock);
    while (list_empty(&ctx->queue) && !ctx->dead) {
        own.woken = false;
        list_add(&ctx->resting, &own.node);
        thread_prepare_sleep(false);
        spin_unlock(&ctx->lock);
        (void)thread_sleep_until(NO_DEADLINE); /* looked at again */
        thread_finish_sleep();
        spin_lock(&ctx->lock);
        if (!own.woken)
            list_remove(&own.node);
    }
    if (!list_empty(&ctx->queue)) {
        r = list_first(&ctx->queue, struct request, node);
        list_remove(&r->node);
    }
    spin_unlock(&ctx->lock);
    return r;
}

static void use_mm(struct mm *mm)
{
    current->mm = mm;
    mm_switch(mm);
}

static void worker_gone(struct aio_context *ctx)
{
    __atomic_sub_fetch(&ctx->nr_workers, 1, __ATOMIC_ACQ_REL);
    waitq_wake_all(&ctx->wait, 0);
    context_put(ctx);
}

static void work(void *arg)
{
    struct aio_context *ctx = arg;
    struct request *r;

    use_mm(ctx->mm);
    while ((r = next_request(ctx)))
        do_request(ctx, r);
    use_mm(NULL);
    worker_gone(ctx);
}

/* ---- io_submit ---- */

static bool is_for_workers(const struct request *r)
{
    const struct inode *inode = r->file->inode;

    if (is_sync(r->opcode))
        return true;
    return !r->err && r->file->flags & O_DIRECT && inode && S_ISREG(inode->mode);
}

static void queue_locked(struct aio_context *ctx, struct request *r)
{
    list_add_tail(&ctx->queue, &r->node);
    if (!list_empty(&ctx->resting))
        wake_worker_locked(ctx);
}

/* With one more worker.  False: there is no memory for it. */
static bool queue_with_worker(struct aio_context *ctx, struct request *r)
{
    struct thread *t = thread_create_kernel(work, ctx, "aio");

    if (!t) {
        worker_gone(ctx);
        return false;
    }
    spin_lock(&ctx->lock);
    queue_locked(ctx, r);
    spin_unlock(&ctx->lock);
    thread_start(t);
    return true;
}

/* False: no worker can have it. */
static bool give_to_worker(struct aio_context *ctx, struct request *r)
{
    spin_lock(&ctx->lock);
    bool more = list_empty(&ctx->resting) && ctx->nr_workers < MAX_WORKERS && !ctx->dead;
    bool queued = !more && ctx->nr_workers && !ctx->dead;
    if (queued)
        queue_locked(ctx, r);
    if (more) { /* it is waited for from now on */
        __atomic_fetch_add(&ctx->nr_workers, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&ctx->refs, 1, __ATOMIC_RELAXED);
    }
    spin_unlock(&ctx->lock);
    return queued || (more && queue_with_worker(ctx, r));
}

static int set_up_sync(struct request *r, const struct linux_iocb *cb)
{
    if (cb->buf || cb->offset || cb->nbytes || cb->rw_flags || !r->file->ops->sync)
        return -EINVAL;
    return 0;
}

static int set_up_transfer(struct request *r, const struct linux_iocb *cb)
{
    bool write = is_write(r->opcode);
    const struct file *file = r->file;

    if (cb->rw_flags & ~(u32)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC))
        return -EOPNOTSUPP;
    if (!(file->mode & (write ? FILE_WRITE : FILE_READ)))
        return -EBADF;
    if (write ? !file->ops->write : !file->ops->read)
        return -EINVAL;
    if (cb->opcode == IOCB_CMD_PREADV || cb->opcode == IOCB_CMD_PWRITEV) {
        int err = user_vec(cb->buf, cb->nbytes, r->small, &r->heap, &r->it);
        if (err)
            return err;
    } else {
        if (!is_user_range(cb->buf, cb->nbytes))
            return -EFAULT;
        iter_init_user(&r->it, cb->buf, min(cb->nbytes, (u64)USER_RW_MAX));
    }
    r->pos = cb->offset;
    r->rw_flags = cb->rw_flags;
    if (file_is_seekable(file) && r->pos < 0)
        return -EINVAL;
    if (write)
        r->err = rw_limit_size(file, &r->it, r->pos);
    return 0;
}

static int set_up(struct request *r, const struct linux_iocb *cb)
{
    r->file = fd_get((int)cb->fd);
    if (!r->file)
        return -EBADF;
    if (cb->flags & IOCB_FLAG_RESFD) {
        r->notify = fd_get((int)cb->resfd);
        if (!r->notify)
            return -EBADF;
        if (!file_is_eventfd(r->notify))
            return -EINVAL;
    }
    switch (cb->opcode) {
    case IOCB_CMD_FSYNC:
    case IOCB_CMD_FDSYNC:
        return set_up_sync(r, cb);
    case IOCB_CMD_PREAD:
    case IOCB_CMD_PWRITE:
    case IOCB_CMD_PREADV:
    case IOCB_CMD_PWRITEV:
        return set_up_transfer(r, cb);
    default:
        return -EINVAL;
    }
}

static int take_slot(struct aio_context *ctx)
{
    spin_lock(&ctx->lock);
    bool free = ctx->nr_taken < ctx->max;
    ctx->nr_taken += free;
    bool dead = ctx->dead;
    spin_unlock(&ctx->lock);
    if (dead)
        return -EINVAL;
    return free ? 0 : -EAGAIN;
}

static void give_slots(struct aio_context *ctx, u32 n)
{
    spin_lock(&ctx->lock);
    ctx->nr_taken -= n;
    spin_unlock(&ctx->lock);
}

static int submit(struct aio_context *ctx, uaddr_t at)
{
    const u32 key = 0; /* io_cancel() wants it back */
    struct linux_iocb cb;

    if (copy_from_user(&cb, at, sizeof(cb)))
        return -EFAULT;
    if (cb.reserved2 || cb.nbytes > INT64_MAX)
        return -EINVAL;
    int err = take_slot(ctx);
    if (err)
        return err;
    struct request *r = kzalloc(sizeof(*r));
    if (!r) {
        give_slots(ctx, 1);
        return -EAGAIN;
    }
    r->opcode = cb.opcode;
    r->event = (struct linux_io_event){.data = cb.data, .obj = at};
    err = set_up(r, &cb);
    if (!err && copy_to_user(at + offsetof(struct linux_iocb, key), &key, sizeof(key)))
        err = -EFAULT;
    if (err) {
        request_free(r);
        give_slots(ctx, 1);
        return err;
    }
    if (!is_for_workers(r) || !give_to_worker(ctx, r))
        do_request(ctx, r);
    return 0;
}

long sys_io_submit(u64 id, s64 nr, uaddr_t iocbs)
{
    s64 done = 0;
    u64 at;
    int err = 0;

    if (nr < 0)
        return -EINVAL;
    struct aio_context *ctx = find(id, false);
    if (!ctx)
        return -EINVAL;
    nr = min(nr, (s64)ctx->max);
    for (; done < nr && !err; done += !err) {
        err = user_get64(&at, iocbs + (u64)done * sizeof(at)) ? -EFAULT : 0;
        if (!err)
            err = submit(ctx, at);
    }
    context_put(ctx);
    return done ? done : err;
}

/* Nothing that is under way can be called back, as on Linux. */
long sys_io_cancel(u64 id, uaddr_t iocb, uaddr_t result)
{
    u32 key;

    (void)result;
    (void)id;
    if (copy_from_user(&key, iocb + offsetof(struct linux_iocb, key), sizeof(key)))
        return -EFAULT;
    return -EINVAL;
}

/* ---- io_getevents ---- */

static struct request *take_done(struct aio_context *ctx)
{
    struct request *r = NULL;

    spin_lock(&ctx->lock);
    if (!list_empty(&ctx->done)) {
        r = list_first(&ctx->done, struct request, node);
        list_remove(&r->node);
        __atomic_store_n(&ctx->nr_done, ctx->nr_done - 1, __ATOMIC_RELEASE);
        ctx->nr_taken--;
    }
    spin_unlock(&ctx->lock);
    return r;
}

static void put_back(struct aio_context *ctx, struct request *r)
{
    spin_lock(&ctx->lock);
    list_add(&ctx->done, &r->node);
    __atomic_store_n(&ctx->nr_done, ctx->nr_done + 1, __ATOMIC_RELEASE);
    ctx->nr_taken++;
    spin_unlock(&ctx->lock);
}

/* What is there, @most of it.  How many, or -EFAULT. */
static s64 take_events(struct aio_context *ctx, uaddr_t to, s64 most)
{
    s64 n = 0;

    while (n < most) {
        struct request *r = take_done(ctx);
        if (!r)
            break;
        if (copy_to_user(to + (u64)n * sizeof(r->event), &r->event, sizeof(r->event))) {
            put_back(ctx, r);
            return n ? n : -EFAULT;
        }
        kfree(r);
        n++;
    }
    return n;
}

static s64 get_events(struct aio_context *ctx, s64 least, s64 most, uaddr_t to, u64 deadline_ns)
{
    int ended = 0;
    s64 n = 0;

    for (;;) {
        s64 got = take_events(ctx, to + (u64)n * sizeof(struct linux_io_event), most - n);
        if (got < 0)
            return n ? n : got;
        n += got;
        if (n >= least || ended || !deadline_ns)
            break;
        if (is_dead(ctx))
            return n ? n : -EINVAL;
        ended = wait_event(&ctx->wait, (s64)nr_done(ctx) >= least - n || is_dead(ctx), true,
                           deadline_ns);
    }
    return !n && ended == -EINTR ? -EINTR : n;
}

static long getevents(u64 id, s64 least, s64 most, uaddr_t to, u64 deadline_ns)
{
    struct aio_context *ctx = find(id, false);

    if (!ctx)
        return -EINVAL;
    s64 n = -EINVAL;
    if (least >= 0 && least <= most)
        n = get_events(ctx, least, most, to, deadline_ns);
    context_put(ctx);
    return n;
}

long sys_io_getevents(u64 id, s64 least, s64 most, uaddr_t to, uaddr_t timeout)
{
    u64 deadline_ns;
    int err = deadline_of_timespec(timeout, &deadline_ns);

    return err ? err : getevents(id, least, most, to, deadline_ns);
}

long sys_io_pgetevents(u64 id, s64 least, s64 most, uaddr_t to, uaddr_t timeout, uaddr_t sigset)
{
    struct linux_aio_sigset set = {0};
    u64 deadline_ns;

    int err = deadline_of_timespec(timeout, &deadline_ns);
    if (!err && sigset && copy_from_user(&set, sigset, sizeof(set)))
        err = -EFAULT;
    if (!err)
        err = begin_sigmask(set.sigmask, set.size);
    if (err)
        return err;
    long n = getevents(id, least, most, to, deadline_ns);
    end_sigmask(set.sigmask, n);
    return n;
}
