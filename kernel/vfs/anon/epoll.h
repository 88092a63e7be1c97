/* epoll(7). */
#pragma once

#include "abi/eventpoll.h"
#include "vfs/file.h"

/** @flags: O_CLOEXEC is the caller's. NULL: no memory. */
struct file *epoll_create(void);
bool file_is_epoll(const struct file *file);
/** It is an epoll, and epoll_wait() would have nothing to tell now. */
bool epoll_is_idle(const struct file *file);

/**
 * epoll_ctl(2) on @ep, a file of epoll_create().
 * @fd: the number under which @file is registered. 0, -EEXIST, -ENOENT, -ENOMEM, -EPERM (@file is
 * always ready), -ELOOP, -EINVAL.
 */
int epoll_ctl(struct file *ep, int op, int fd, struct file *file,
              const struct epoll_event_abi *event);

/**
 * epoll_wait(2): up to @max events to the program's memory at @events.
 * @deadline_ns: 0 not to wait, NO_DEADLINE. Their number, 0 at the deadline, -EINTR or -EFAULT.
 */
int epoll_wait(struct file *ep, uaddr_t events, int max, u64 deadline_ns);
