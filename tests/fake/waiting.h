/* Wait queues and sleeping locks for code that runs in one thread: a sleep runs a function of the
 * test's instead, as the rest of the world would run meanwhile. */
#pragma once

#include "sched/wait.h"
#include "vfs/file.h"

/** What happens while the thread sleeps; NULL: nothing, and the sleep times out. */
extern void (*fake_world)(void);
/** How often a thread was woken. */
extern unsigned fake_wakes;

/** A file that is ready for .ready_mask, with a wait queue. Freed by file_put(). */
struct fake_file {
    struct file file;
    struct waitq waitq;
    u32 ready_mask;
};
struct fake_file *fake_file_create(void);
/** Set the mask and wake who waits, as a driver would. */
void fake_file_set(struct fake_file *f, u32 mask);
