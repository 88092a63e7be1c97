/* Pipes and fifos: pipe(7). */
#pragma once

#include "vfs/file.h"

struct inode;
struct pipe;

enum {
    PIPE_BUF_BYTES = 4096,        /* PIPE_BUF: writes up to this are not torn */
    PIPE_MAX_BYTES = 1024 * 1024, /* /proc/sys/fs/pipe-max-size */
};

/** A pipe: @ends[0] to read, @ends[1] to write, each with a reference. @flags: O_NONBLOCK.
 * 0 or -ENOMEM. */
int pipe_create(struct file *ends[2], u32 flags);

/**
 * Open a named fifo: waits for the other side unless O_NONBLOCK or O_RDWR. For inode_ops.open.
 * 0, -ENXIO (nobody reads, and O_NONBLOCK), -ENOMEM, -ERESTARTSYS.
 */
int pipe_open_fifo(struct inode *inode, struct file *file);

/** The pipe behind @file, or NULL where it is something else. */
struct pipe *pipe_of_file(struct file *file);

/** SIGPIPE to the current thread; -EPIPE. */
ssize_t pipe_broken(void);

/** splice(2) between a pipe and what is none. @pos NULL: the file's own, or a stream.
 * Bytes moved, 0 at the end of file, or a negative errno. */
ssize_t pipe_splice_in(struct pipe *pipe, struct file *in, s64 *pos, size_t len, bool nonblock);
ssize_t pipe_splice_out(struct pipe *pipe, struct file *out, s64 *pos, size_t len, bool nonblock);
/** Between two pipes; @keep: the bytes stay in @from as well (tee). -EINVAL if they are one. */
ssize_t pipe_to_pipe(struct pipe *from, struct pipe *to, size_t len, bool nonblock, bool keep);
