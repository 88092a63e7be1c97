/* Pages of a file, by index: what read, write, mmap and sendfile share.
 * The first page, all that most files have, and for the others a radix tree of 64-way nodes,
 * changed under a spinlock.  A lookup takes a page reference; a read takes neither lock nor
 * reference and looks afterwards whether a page has been taken out meanwhile: page_cache_read().
 * Pages of a cache that is `reclaimable` stand in one LRU and go when memory is wanted and nobody
 * else holds them; a file system that lives in memory only (tmpfs) has caches that are not.
 * Dirty pages stand in a list of their cache instead, until write-back takes them. */
#pragma once

#include "abi/errno.h"
#include "core/spinlock.h"
#include "mm/page.h"
#include "mm/uaccess.h"

struct inode;

/** Marks in page.flags; the bits below 8 are mm's. */
enum page_cache_flags {
    PAGE_DIRTY = 0x100,
    PAGE_CACHED = 0x200,
    PAGE_REFERENCED = 0x400,
    PAGE_MAPPED_WRITE = 0x800, /* a program may have it mapped so that it can write */
    PAGE_BLOCKS = 0x1000,      /* the file system knows a place for each of its bytes */
};

/* [L] under .lock, [A] written under it and read without, [I]. */
struct page_cache {
    struct spinlock lock;   /* a leaf but for the LRU's */
    u32 removals;           /* [A] how often pages were taken out; counted before they are let go */
    struct page *first;     /* [A] index 0 */
    uintptr_t root;         /* [A] address of the top node | levels of nodes below it and itself */
    u64 nr_pages;           /* [L] */
    struct inode *inode;    /* [I] borrows: whose pages these are */
    bool reclaimable;       /* [I] */
    struct list_head dirty; /* [L] pages, by page.lru */
    u64 nr_dirty;           /* [L] */
    u64 released;           /* [L] sum of page.spare of pages taken out: blocks promised to them */
    u32 error;              /* [A] errseq: what write-back failed with */
};

/** The empty cache of @inode. @reclaimable: clean pages may be dropped when memory is short. */
void page_cache_init(struct page_cache *pc, struct inode *inode, bool reclaimable);
/** Drop all pages. Nobody uses the cache any more. */
void page_cache_fini(struct page_cache *pc);

/* The page at @index, which is not 0, or NULL. */
struct page *page_cache_peek_deep(const struct page_cache *pc, u64 index);

/**
 * The page at @index without a reference, or NULL: for who keeps it from being taken out, as the
 * lock does, or the inode's lock where the cache is not reclaimable; or who finds out later.
 */
static inline struct page *page_cache_peek(const struct page_cache *pc, u64 index)
{
    if (likely(!index))
        return __atomic_load_n(&pc->first, __ATOMIC_ACQUIRE);
    return page_cache_peek_deep(pc, index);
}

/** The page at @index with a reference, or NULL. */
struct page *page_cache_find(struct page_cache *pc, u64 index);
/** How many of the pages [@index, +@n) are there in consecutive frames, with a reference each; the
 * first frame in *@pa. */
u32 page_cache_find_run(struct page_cache *pc, u64 index, u32 n, paddr_t *pa);

/**
 * Move up to @n bytes of the page at @index from @offset on into @to; they lie in that page.
 * Bytes moved, short only on a fault; or -EAGAIN, with @to as it was: no such page, or it has to be
 * looked up with page_cache_find().  The bytes are those of one moment at which the page was there:
 * a page that was taken out during the copy, and may hold anything since, is noticed after it.
 */
static inline ssize_t page_cache_read(struct page_cache *pc, u64 index, size_t offset,
                                      struct iov_iter *to, size_t n)
{
    u32 removals = __atomic_load_n(&pc->removals, __ATOMIC_ACQUIRE);
    const struct page *page = page_cache_peek(pc, index);

    if (unlikely(!page || !(page->flags & PAGE_REFERENCED)))
        return -EAGAIN;
    size_t done = iter_write(to, (const u8 *)page_to_virt(page) + offset, n);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (likely(__atomic_load_n(&pc->removals, __ATOMIC_RELAXED) == removals))
        return (ssize_t)done;
    iter_revert(to, done);
    return -EAGAIN;
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

/**
 * Mark a page of the cache dirty. @promise: blocks that were promised for it, kept in page.spare.
 * True: it took the promise (there was none yet, and the page is still in the cache).
 */
bool page_cache_mark_dirty(struct page_cache *pc, struct page *page, u8 promise);
/**
 * Take up to @max dirty pages of [first, last] for write-back, in order of their index, a reference
 * each, and clean from now on. Returns how many; where there are more than @max of them, some.
 */
u32 page_cache_take_dirty(struct page_cache *pc, u64 first, u64 last, struct page **out, u32 max);
/** Sum of the promises of pages that were taken out since the last call. */
u64 page_cache_take_released(struct page_cache *pc);

/** At start: reclaim may ask the caches from here on. */
void page_cache_start(void);
