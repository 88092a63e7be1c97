/* eventfd(2). */
#pragma once

#include "vfs/file.h"

/** @flags: EFD_SEMAPHORE | EFD_NONBLOCK. NULL: no memory. */
struct file *eventfd_create(u32 count, u32 flags);
