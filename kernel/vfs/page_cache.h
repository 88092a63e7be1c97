/* Pages of a file, by index: what read, write, mmap and sendfile share.
 * A radix tree of 64-way nodes under a spinlock; a lookup takes a page reference.  Pages of a cache
 * that is `reclaimable` stand in one LRU and go when memory is wanted and nobody else holds them;
 * a file system that lives in memory only (tmpfs) has caches that are not. */
#pragma once

#include "core/spinlock.h"
#include "mm/page.h"

struct inode;

/** Marks in page.flags; the bits below 8 are mm's. */
enum page_cache_flags { PAGE_DIRTY = 0x100, PAGE_CACHED = 0x200, PAGE_REFERENCED = 0x400 };

/* [L] under .lock, [I]. */
struct page_cache {
    struct spinlock lock; /* a leaf but for the LRU's */
    u32 height;           /* [L] levels of nodes; 0: only index 0, in .root */
    void *root;           /* [L] struct page * or struct radix_node * */
    u64 nr_pages;         /* [L] */
    struct inode *inode;  /* [I] borrows: whose pages these are */
    bool reclaimable;     /* [I] */
};

void page_cache_init(struct page_cache *pc, struct inode *inode, bool reclaimable);
/** Drop all pages. Nobody uses the cache any more. */
void page_cache_fini(struct page_cache *pc);

/* As page_cache_find(), for trees of more than one node. */
struct page *page_cache_find_deep(struct page_cache *pc, u64 index);

enum { RADIX_BITS = 6, RADIX_SLOTS = 1 << RADIX_BITS };
struct radix_node {
    void *slots[RADIX_SLOTS];
};

/** The page at @index with a reference, or NULL. */
static inline struct page *page_cache_find(struct page_cache *pc, u64 index)
{
    struct page *page = NULL;

    if (unlikely(pc->height > 1 || pc->reclaimable))
        return page_cache_find_deep(pc, index);
    spin_lock(&pc->lock);
    if (likely(pc->height == 1)) {
        if (index < RADIX_SLOTS)
            page = ((struct radix_node *)pc->root)->slots[index];
    } else if (!pc->height && !index) {
        page = (struct page *)pc->root;
    }
    if (page)
        page_get(page);
    bool grown = unlikely(pc->height > 1);
    spin_unlock(&pc->lock);
    return likely(page || !grown) ? page : page_cache_find_deep(pc, index);
}
/**
 * Put @page at @index; the cache takes a reference of its own.
 * 0, -EEXIST (one is there), -ENOMEM.
 */
int page_cache_insert(struct page_cache *pc, u64 index, struct page *page);
/** The page at @index or the next one after it, with a reference; NULL: none. Sets *@index. */
struct page *page_cache_next(struct page_cache *pc, u64 *index);
/** Take out the pages of [first, last]; returns how many there were. */
u64 page_cache_remove(struct page_cache *pc, u64 first, u64 last);

void page_cache_start(void);
