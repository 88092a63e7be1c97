/* splice(2) and tee(2), by copying: one copy from or to the pipe's own pages.  The pipe stays
 * locked while the other file works, so that nothing is lost when that takes less. */
#include "abi/errno.h"
#include "lib/string.h"
#include "vfs/anon/pipe_impl.h"

static ssize_t file_move(struct file *file, char *buf, size_t n, s64 *pos, bool write)
{
    struct iovec iov;
    struct iov_iter it;

    iter_init_kernel(&it, &iov, buf, n);
    return write ? file_write(file, &it, pos) : file_read(file, &it, pos);
}

ssize_t pipe_splice_in(struct pipe *pipe, struct file *in, s64 *pos, size_t len, bool nonblock)
{
    ssize_t n = 0;
    size_t done = 0;

    mutex_lock(&pipe->lock);
    while (done < len && n >= 0) {
        size_t room;
        char *to = pipe_ring_reserve(&pipe->ring, &room);
        if (!pipe->readers)
            n = pipe_broken();
        else if (room && !to)
            n = -ENOMEM;
        else if (!room)
            n = done ? -EAGAIN : pipe_wait_writable(pipe, PIPE_BUF_BYTES, nonblock);
        if (n < 0 || !to)
            continue;
        size_t want = min(room, len - done);
        n = file_move(in, to, want, pos, false);
        if (n <= 0)
            break;
        pipe_ring_produced(&pipe->ring, (size_t)n);
        done += (size_t)n;
        if ((size_t)n < want)
            break;
    }
    mutex_unlock(&pipe->lock);
    pipe_wake_readers(pipe);
    return done ? (ssize_t)done : n;
}

/* The next unread piece, waiting for it unless @done already. 0 and *@from NULL at the end. */
static int next_piece(struct pipe *pipe, bool done, bool nonblock, char **from, size_t *len)
{
    int err = 0;

    while (!(*from = pipe_ring_peek(&pipe->ring, 0, len)) && pipe->writers && !done && !err)
        err = pipe_wait_readable(pipe, nonblock);
    return err;
}

ssize_t pipe_splice_out(struct pipe *pipe, struct file *out, s64 *pos, size_t len, bool nonblock)
{
    ssize_t n = 0;
    size_t done = 0;

    mutex_lock(&pipe->lock);
    while (done < len) {
        char *from;
        size_t have;
        n = next_piece(pipe, done, nonblock, &from, &have);
        if (n || !from)
            break;
        size_t want = min(have, len - done);
        n = file_move(out, from, want, pos, true);
        if (n <= 0)
            break;
        pipe_ring_consumed(&pipe->ring, (size_t)n);
        done += (size_t)n;
        if ((size_t)n < want)
            break;
    }
    mutex_unlock(&pipe->lock);
    pipe_wake_writers(pipe);
    return done ? (ssize_t)done : n;
}

static void lock_both(struct pipe *a, struct pipe *b)
{
    mutex_lock(a < b ? &a->lock : &b->lock);
    mutex_lock(a < b ? &b->lock : &a->lock);
}

/* Copy what both sides allow. Bytes, or -ENOMEM. Both locked. */
static ssize_t copy_between(struct pipe *from, struct pipe *to, size_t len, bool keep)
{
    size_t done = 0;

    while (done < len) {
        size_t have, room;
        const char *src = pipe_ring_peek(&from->ring, keep ? (u32)done : 0, &have);
        char *dst = src ? pipe_ring_reserve(&to->ring, &room) : NULL;
        if (src && room && !dst && !done)
            return -ENOMEM;
        if (!dst)
            break;
        size_t n = min(have, room);
        n = min(n, len - done);
        memcpy(dst, src, n);
        pipe_ring_produced(&to->ring, n);
        if (!keep)
            pipe_ring_consumed(&from->ring, n);
        done += n;
    }
    return (ssize_t)done;
}

/* Wait for whichever side is in the way. Neither is locked. 1: try again, 0: the end of file. */
static int wait_either(struct pipe *from, struct pipe *to, bool nonblock)
{
    int err = 0;

    mutex_lock(&from->lock);
    bool empty = !pipe_ring_used(&from->ring), ended = empty && !from->writers;
    if (empty && !ended)
        err = pipe_wait_readable(from, nonblock);
    mutex_unlock(&from->lock);
    if (err || ended)
        return err;
    mutex_lock(&to->lock);
    if (!empty && !pipe_ring_room(&to->ring) && to->readers)
        err = pipe_wait_writable(to, 1, nonblock);
    mutex_unlock(&to->lock);
    return err ? err : 1;
}

ssize_t pipe_to_pipe(struct pipe *from, struct pipe *to, size_t len, bool nonblock, bool keep)
{
    int again;

    if (from == to)
        return -EINVAL;
    if (!len)
        return 0;
    do {
        lock_both(from, to);
        ssize_t n = to->readers ? copy_between(from, to, len, keep) : pipe_broken();
        mutex_unlock(&from->lock);
        mutex_unlock(&to->lock);
        if (n) {
            pipe_wake_readers(to);
            pipe_wake_writers(from);
            return n;
        }
        again = wait_either(from, to, nonblock);
    } while (again > 0);
    return again;
}
