/* Pipes and fifos.  A write of up to PIPE_BUF waits until all of it fits; a longer one goes in as
 * room comes.  Two queues, so that a reader's wake-up does not disturb readers. */
#include "vfs/anon/pipe.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/signal.h"
#include "abi/termios.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "vfs/anon/anon_inode.h"
#include "vfs/anon/pipe_impl.h"

static struct list_head fifos = LIST_INIT(fifos);                            /* under fifos_lock */
static struct mutex fifos_lock = {.waiters = LIST_INIT(fifos_lock.waiters)}; /* before a pipe's */

ssize_t pipe_broken(void)
{
    struct siginfo64 info = {.si_signo = SIGPIPE, .si_code = SI_USER};

    info.kill.pid = current_process()->pid;
    (void)signal_send_thread(current, &info); /* not a queued signal: cannot fail */
    return -EPIPE;
}

void pipe_tell_writers(struct pipe *pipe)
{
    if (pipe_ring_room(&pipe->ring) < PIPE_BUF_BYTES)
        return;
    waitq_wake(&pipe->write_wait, POLLOUT | POLLWRNORM, 1);
    if (pipe->both_ways)
        waitq_wake(&pipe->read_wait, POLLOUT | POLLWRNORM, 0);
}

/* What a reader waits for. */
static bool may_read(struct pipe *pipe)
{
    return pipe_ring_used(&pipe->ring) || !__atomic_load_n(&pipe->writers, __ATOMIC_ACQUIRE);
}

static bool may_write(struct pipe *pipe, size_t room)
{
    return pipe_ring_room(&pipe->ring) >= room ||
           !__atomic_load_n(&pipe->readers, __ATOMIC_ACQUIRE);
}

int pipe_wait_readable(struct pipe *pipe, bool nonblock)
{
    if (nonblock)
        return -EAGAIN;
    mutex_unlock(&pipe->lock);
    pipe_wake_writers(pipe);
    int err = wait_event(&pipe->read_wait, may_read(pipe), true, NO_DEADLINE);
    mutex_lock(&pipe->lock);
    return err ? -ERESTARTSYS : 0;
}

int pipe_wait_writable(struct pipe *pipe, size_t room, bool nonblock)
{
    if (nonblock)
        return -EAGAIN;
    mutex_unlock(&pipe->lock);
    pipe_wake_readers(pipe);
    int err = wait_event(&pipe->write_wait, may_write(pipe, room), true, NO_DEADLINE);
    mutex_lock(&pipe->lock);
    return err ? -ERESTARTSYS : 0;
}

/* Take out of the @used bytes that are there. Pipe locked. */
static inline ssize_t read_some(struct pipe *pipe, struct iov_iter *to, u32 used)
{
    size_t n = pipe_ring_drain(&pipe->ring, to, min((size_t)used, to->left));

    return likely(n) ? (ssize_t)n : -EFAULT;
}

/* Wait for bytes and take them; 0 at the end of file. Pipe locked. */
static __attribute__((noinline)) ssize_t read_waiting(struct pipe *pipe, struct iov_iter *to,
                                                      bool nonblock)
{
    int err = 0;
    u32 used;

    while (!(used = pipe_ring_used(&pipe->ring)) && pipe->writers && !err)
        err = pipe_wait_readable(pipe, nonblock);
    return err ? err : used ? read_some(pipe, to, used) : 0;
}

static ssize_t pipe_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    struct pipe *pipe = file->data;

    if (unlikely(!to->left))
        return 0;
    mutex_lock(&pipe->lock);
    u32 used = pipe_ring_used(&pipe->ring);
    ssize_t n =
        likely(used) ? read_some(pipe, to, used) : read_waiting(pipe, to, file->flags & O_NONBLOCK);
    mutex_unlock(&pipe->lock);
    pipe_wake_writers(pipe);
    return n;
}

/* Put in what may go in now: bytes, 0 for no room, or a negative errno. @whole: all or nothing. */
static ssize_t write_some(struct pipe *pipe, struct iov_iter *from, bool whole)
{
    size_t room = pipe_ring_room(&pipe->ring);

    if (unlikely(!pipe->readers))
        return pipe_broken();
    if (unlikely(!room || (whole && room < from->left)))
        return 0;
    size_t want = min(room, from->left);
    size_t n = pipe_ring_fill(&pipe->ring, from, want);
    return likely(n) ? (ssize_t)n : -EFAULT;
}

/* Whatever the small write does not do: waiting, and writes in parts. Pipe locked. */
static __attribute__((noinline)) ssize_t write_waiting(struct pipe *pipe, struct iov_iter *from,
                                                       bool nonblock)
{
    bool whole = from->left <= PIPE_BUF_BYTES;
    ssize_t done = 0;

    for (;;) {
        ssize_t n = write_some(pipe, from, whole);
        done += n > 0 ? n : 0;
        if (!from->left)
            return done;
        if (!n)
            n = pipe_wait_writable(pipe, min(from->left, (size_t)PIPE_BUF_BYTES), nonblock);
        if (n < 0)
            return done ? done : n;
    }
}

static ssize_t pipe_write(struct file *file, struct iov_iter *from,
                          s64 *pos __attribute__((unused)))
{
    struct pipe *pipe = file->data;
    size_t want = from->left;
    ssize_t n;

    if (unlikely(!want))
        return 0;
    mutex_lock(&pipe->lock);
    if (likely(pipe->readers && pipe_ring_room(&pipe->ring) >= want))
        n = (ssize_t)pipe_ring_fill(&pipe->ring, from, want);
    else
        n = write_waiting(pipe, from, file->flags & O_NONBLOCK);
    mutex_unlock(&pipe->lock);
    if (unlikely(!n))
        return -EFAULT; /* or no memory for the first byte */
    pipe_wake_readers(pipe);
    return n;
}

static u32 pipe_ready(struct file *file)
{
    struct pipe *pipe = file->data;
    u32 mask = 0;

    if (file->mode & FILE_READ) {
        if (pipe_ring_used(&pipe->ring))
            mask |= POLLIN | POLLRDNORM;
        /* a fifo opened before any writer came has not been hung up */
        if (!pipe->writers && file->pos != pipe->writer_opens)
            mask |= POLLHUP;
    }
    if (file->mode & FILE_WRITE) {
        if (pipe_ring_room(&pipe->ring) >= PIPE_BUF_BYTES)
            mask |= POLLOUT | POLLWRNORM;
        if (!pipe->readers)
            mask |= POLLERR;
    }
    return mask;
}

static int pipe_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    struct pipe *pipe = file->data;

    if (cmd != FIONREAD)
        return -ENOTTY;
    int used = (int)pipe_ring_used(&pipe->ring);
    return copy_to_user(arg, &used, sizeof(used));
}

static s64 set_size(struct pipe *pipe, u64 want)
{
    u32 size = PAGE_SIZE;

    if (!want || want > 1ull << 31)
        return -EINVAL;
    if (want > PIPE_MAX_BYTES)
        return -EPERM;
    while (size < want)
        size *= 2;
    mutex_lock(&pipe->lock);
    int err = pipe_ring_resize(&pipe->ring, size);
    mutex_unlock(&pipe->lock);
    pipe_wake_writers(pipe);
    return err ? err : (s64)size;
}

static s64 pipe_fcntl(struct file *file, int cmd, u64 arg)
{
    struct pipe *pipe = file->data;

    if (cmd == F_GETPIPE_SZ)
        return pipe->ring.size;
    return cmd == F_SETPIPE_SZ ? set_size(pipe, (u32)arg) : -EINVAL;
}

static void pipe_free(void *data)
{
    struct pipe *pipe = data;

    pipe_ring_fini(&pipe->ring);
    kfree(pipe);
}

static struct pipe *pipe_alloc(void)
{
    struct pipe *pipe = kzalloc(sizeof(*pipe));

    if (!pipe)
        return NULL;
    mutex_init(&pipe->lock);
    waitq_init(&pipe->read_wait);
    waitq_init(&pipe->write_wait);
    pipe_ring_init(&pipe->ring);
    return pipe;
}

static void wake_everyone(struct pipe *pipe, u32 events)
{
    waitq_wake_all(&pipe->read_wait, events);
    waitq_wake_all(&pipe->write_wait, events);
}

/* Count an end in, with the pipe locked, or out. */
static void count_end(struct pipe *pipe, const struct file *file, int by)
{
    if (file->mode & FILE_READ)
        __atomic_fetch_add(&pipe->readers, (u32)by, __ATOMIC_ACQ_REL);
    if (file->mode & FILE_WRITE)
        __atomic_fetch_add(&pipe->writers, (u32)by, __ATOMIC_ACQ_REL);
}

/* A fifo goes with the last file on it. */
static void fifo_forget(struct pipe *pipe)
{
    mutex_lock(&fifos_lock);
    bool last = !--pipe->fifo_files;
    if (last)
        list_remove(&pipe->fifo_node);
    mutex_unlock(&fifos_lock);
    if (last)
        pipe_free(pipe);
}

/* Without the lock: an end may go while the pipe is locked by this very thread, with the message
 * that had it, on a socket that is spliced into the pipe. */
static void pipe_release(struct file *file)
{
    struct pipe *pipe = file->data;

    count_end(pipe, file, -1);
    wake_everyone(pipe, POLLIN | POLLOUT | POLLHUP | POLLERR);
    if (pipe->fifo)
        fifo_forget(pipe);
}

static const struct file_ops pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .ready = pipe_ready,
    .ioctl = pipe_ioctl,
    .fcntl = pipe_fcntl,
    .release = pipe_release,
};

struct pipe *pipe_of_file(struct file *file)
{
    return file->ops == &pipe_ops ? file->data : NULL;
}

/* Make @file an end of @pipe. Pipe locked. */
static void join(struct pipe *pipe, struct file *file)
{
    file->ops = &pipe_ops;
    file->data = pipe;
    file->anon_name = "pipe";
    file->waitq = file->mode & FILE_READ ? &pipe->read_wait : &pipe->write_wait;
    file->pos = file->mode & FILE_READ && !pipe->writers ? (s64)pipe->writer_opens : -1;
    pipe->both_ways |= file->mode & FILE_READ && file->mode & FILE_WRITE;
    count_end(pipe, file, 1);
    pipe->reader_opens += file->mode & FILE_READ ? 1 : 0;
    pipe->writer_opens += file->mode & FILE_WRITE ? 1 : 0;
}

/* Wait until the other side has been opened since. Pipe locked. */
static int wait_for_other(struct pipe *pipe, const u32 *opens)
{
    u32 before = *opens;

    mutex_unlock(&pipe->lock);
    int err = wait_event(&pipe->read_wait, __atomic_load_n(opens, __ATOMIC_ACQUIRE) != before, true,
                         NO_DEADLINE);
    mutex_lock(&pipe->lock);
    return err ? -ERESTARTSYS : 0;
}

/* open(2) of an end, by the rules of fifo(7). Pipe locked. */
static int join_waiting(struct pipe *pipe, struct file *file)
{
    bool reads = file->mode & FILE_READ, writes = file->mode & FILE_WRITE;
    bool nonblock = file->flags & O_NONBLOCK;
    int err = 0;

    if (writes && !reads && nonblock && !pipe->readers)
        return -ENXIO;
    join(pipe, file);
    wake_everyone(pipe, POLLIN | POLLOUT);
    if (nonblock || (reads && writes))
        return 0;
    if (reads && !pipe->writers)
        err = wait_for_other(pipe, &pipe->writer_opens);
    else if (writes && !pipe->readers)
        err = wait_for_other(pipe, &pipe->reader_opens);
    if (reads)
        file->pos = -1;
    if (err)
        count_end(pipe, file, -1);
    return err;
}

/* By its link in /proc: nobody waits for another end, which may have come and gone (a shell's
 * <(...) whose command was quick). */
static int pipe_reopen(struct inode *inode, struct file *file)
{
    struct pipe *pipe = inode->data;

    mutex_lock(&pipe->lock);
    join(pipe, file);
    if (file->mode & FILE_READ)
        file->pos = -1;
    wake_everyone(pipe, POLLIN | POLLOUT);
    mutex_unlock(&pipe->lock);
    return 0;
}

static const struct anon_kind pipe_kind = {.ops = {.open = pipe_reopen}, .evict = pipe_free};

static struct file *pipe_end(struct inode *inode, u32 flags)
{
    struct file *file = anon_inode_file(inode, &pipe_ops, "pipe", flags);

    if (file)
        join(inode->data, file);
    return file;
}

int pipe_create(struct file *ends[2], u32 flags)
{
    struct pipe *pipe = pipe_alloc();
    struct inode *inode = pipe ? anon_inode_create(S_IFIFO | 0600, &pipe_kind, pipe) : NULL;

    if (!inode) {
        if (pipe)
            pipe_free(pipe);
        return -ENOMEM;
    }
    struct file *out = pipe_end(inode, O_WRONLY | flags);
    struct file *in = out ? pipe_end(inode, O_RDONLY | flags) : NULL;
    inode_put(inode); /* the files hold it now */
    if (!in) {
        if (out)
            file_put(out);
        return -ENOMEM;
    }
    ends[0] = in;
    ends[1] = out;
    return 0;
}

/* The pipe of a fifo's inode, made by its first opener, with a file counted in. */
static struct pipe *fifo_find(struct inode *inode)
{
    struct pipe *pipe;

    mutex_lock(&fifos_lock);
    list_for_each(pipe, &fifos, fifo_node) {
        if (pipe->fifo == inode)
            goto found;
    }
    pipe = pipe_alloc();
    if (!pipe)
        goto out;
    pipe->fifo = inode;
    list_add(&fifos, &pipe->fifo_node);
found:
    pipe->fifo_files++;
out:
    mutex_unlock(&fifos_lock);
    return pipe;
}

int pipe_open_fifo(struct inode *inode, struct file *file)
{
    struct pipe *pipe = fifo_find(inode);

    if (!pipe)
        return -ENOMEM;
    mutex_lock(&pipe->lock);
    int err = join_waiting(pipe, file);
    mutex_unlock(&pipe->lock);
    if (!err) {
        file->anon_name = NULL; /* it has a name of its own */
        return 0;
    }
    wake_everyone(pipe, POLLHUP | POLLERR);
    file->ops = NULL; /* nothing to release: we have left already */
    fifo_forget(pipe);
    return err;
}
