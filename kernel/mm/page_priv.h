/* What the files of mm share about pages. */
#pragma once

#include "mm/page.h"

enum { PAGE_CPU_MAX = 62, PAGE_CLEAN_MAX = 24 };

/* Free single pages of one CPU, the last freed on top.  [C] all. */
struct page_cpu {
    u32 count;
    u32 nr_clean;
    struct page *pages[PAGE_CPU_MAX];
    struct page *clean[PAGE_CLEAN_MAX]; /* likewise, and all zeros */
    s64 stats[sizeof(struct page_stats) / sizeof(u64)];
};

/**
 * Take over the free memory of @regions (see struct boot_info), up to @end; the array of pages is
 * laid out inside the largest one, untouched: near its start, or at its end where that leaves no
 * memory behind it, or right behind the first @before_array bytes of it, whole pages, if that is
 * not 0. 0, or -ENOMEM where there is no room for the array.
 */
int page_init(const struct mem_region *regions, u32 nr_regions, u32 before_array);
/** Start with the CPU's own lists at @lists, which are zero. */
void page_init_cpu(struct page_cpu *lists);

/** Start the heap, after pages. */
void heap_init(void);
/* Let kept kernel stacks go where memory is short. */
void kstack_init(void);
/** Bytes of a CPU's part of it, which begins as zeros. */
size_t heap_cpu_size(void);

/**
 * reclaim.c: take some unchanged pages of files out of the page tables that nobody has locked, so
 * that their caches can give them back.  Returns how many.  Does not sleep.
 */
u64 mm_try_give(void);
/**
 * Are there more pages of files than programs need to run at all?  With fewer, what is taken comes
 * back by the next fault, for ever: memory has ended then.
 */
bool page_may_take_files(void);
