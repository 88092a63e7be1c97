/* Write-back: one thread that brings to disk what is dirty for long, or what is too much, and the
 * limits that make writers wait.  The thread starts with the first file system that can be dirty.
 */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

/** What a file system hands in. */
struct writeback {
    struct list_head node;
    /**
     * Write what has been dirty since before @older_than_ns; @memory: pages are wanted, write them
     * first and wait for nobody who may wait for memory. True: something is still dirty.
     */
    bool (*run)(struct writeback *wb, u64 older_than_ns, bool memory);
};

/** Have @wb written back in turn from here on, and no more. May sleep. */
void writeback_add(struct writeback *wb);
void writeback_remove(struct writeback *wb);

/** Something became dirty. */
void writeback_dirtied(void);
/** Are there more dirty pages than a writer may leave behind? */
bool writeback_over_limit(void);
/** Are there so many that they should go now? Then the thread has been told. */
bool writeback_over_background(void);
/** More or fewer dirty pages. */
void writeback_count(s64 pages);
u64 writeback_dirty_pages(void);
/** Wait, a second at most, until some dirty pages are clean. False: there are none, or it was in
 * vain. Hold no lock that write-back takes. */
bool writeback_wait(void);
