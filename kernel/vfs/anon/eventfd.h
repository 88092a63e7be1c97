/* eventfd(2). */
#pragma once

#include "vfs/file.h"

/** @flags: EFD_SEMAPHORE | EFD_NONBLOCK. NULL: no memory. */
struct file *eventfd_create(u32 count, u32 flags);
bool file_is_eventfd(const struct file *file);
/** Add one, but where the counter is full. Never sleeps. */
void eventfd_signal(struct file *file);
