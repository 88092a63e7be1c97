/* A pipe from inside, for its own files. */
#pragma once

#include "vfs/anon/pipe.h"
#include "vfs/anon/pipe_ring.h"

/* Fields: [L] under .lock, [A] also read without it, [I]. */
struct pipe {
    struct mutex lock; /* before mm->lock: a copy may fault */
    struct pipe_ring ring;
    u32 readers, writers;           /* [A] open ends; more only under .lock */
    u32 reader_opens, writer_opens; /* [A] how often, ever: what open(2) of a fifo waits for */
    struct waitq read_wait, write_wait;
    bool both_ways;             /* [L] some file is both ends, and listens on read_wait alone */
    struct inode *fifo;         /* [I] borrowed from its files; NULL: no name */
    u32 fifo_files;             /* under fifos_lock */
    struct list_head fifo_node; /* under fifos_lock */
};

/** Room has come up and somebody waits for it, or may. */
void pipe_tell_writers(struct pipe *pipe);

/** Bytes came in: wake who waits. Pipe not locked. */
static inline void pipe_wake_readers(struct pipe *pipe)
{
    if (waitq_has_waiters(&pipe->read_wait))
        waitq_wake_waiters(&pipe->read_wait, POLLIN | POLLRDNORM, 1);
}

/** Room came up: wake who waits. Pipe not locked. */
static inline void pipe_wake_writers(struct pipe *pipe)
{
    if (unlikely(waitq_has_waiters(&pipe->write_wait) || pipe->both_ways))
        pipe_tell_writers(pipe);
}
/** Unlock, wait for bytes (or @room), lock again. 0, -EAGAIN (@nonblock) or -ERESTARTSYS. */
int pipe_wait_readable(struct pipe *pipe, bool nonblock);
int pipe_wait_writable(struct pipe *pipe, size_t room, bool nonblock);
