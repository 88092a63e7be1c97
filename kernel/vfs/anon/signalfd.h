/* signalfd(2). */
#pragma once

#include "sched/signal.h"
#include "vfs/file.h"

/** Signals of @mask become readable; @flags: O_NONBLOCK. NULL: no memory. */
struct file *signalfd_create(sigset64_t mask, u32 flags);
/** Change what a signalfd takes. -EINVAL where @file is none. */
int signalfd_set(struct file *file, sigset64_t mask);
