/* Physical pages: a buddy allocator with per-CPU lists, fed lazily.
 * A page has a `struct page` only once the allocator's frontier has passed it; memory that was
 * never handed out was never touched.  Pages of an initrd or a device have none: see
 * page_of_phys(). */
#pragma once

#include "lib/list.h"
#include "plat/plat.h"

typedef u64 paddr_t; /* a physical address, in bytes */

enum { PAGE_MAX_ORDER = 10 }; /* the largest block: 4 MiB */

/** What page_alloc() may do; combined by |. */
enum page_alloc_flags {
    PAGE_ZERO = 1,     /* cleared memory */
    PAGE_NORECLAIM = 2 /* fail rather than shrink caches: the caller holds their locks */
};

/** Bits of page.flags that belong to mm; all others are the owner's, zero in a new page. */
enum page_flags {
    PAGE_ANON = 0x8000,    /* anonymous memory of the program's: a sole owner may write it */
    PAGE_FREE = 0x4000,    /* first page of a free block */
    PAGE_REPORTED = 0x2000 /* the same, and the host knows that it is free */
};

struct page {
    u32 refs;  /* [A] owners; the last page_put() frees */
    u16 flags; /* [A] owner's marks (dirty, uptodate, locked, lru) and enum page_flags */
    u8 order;  /* [I] while allocated: the block is 1 << order pages, named by its first */
    u8 spare;  /* the owner's; zero in a new page; of PAGE_ANON: see pin.h */
    struct list_head lru; /* the owner's: free list, page-cache LRU */
    void *owner;          /* the owner's: page cache, slab */
    u64 index;            /* the owner's: index in the file, objects in the slab */
};

/**
 * Allocate 1 << @order pages, naturally aligned, with one reference.
 * Returns NULL where there is no such block even after the registered shrinkers ran.
 * Thread context; does not sleep unless a shrinker does (PAGE_NORECLAIM forbids them).
 */
struct page *page_alloc(unsigned order, unsigned flags);
/**
 * Make a block of pages into single pages with as many references each, which are freed each by its
 * own page_put(). @page is the first of the block. Flags and .spare are copied.
 */
void page_split(struct page *page);
/** Take another reference. */
static inline void page_get(struct page *page)
{
    __atomic_fetch_add(&page->refs, 1, __ATOMIC_RELAXED);
}
/** Drop a reference; the last one frees the block. */
void page_put(struct page *page);
/** The same, for who is seldom the last. */
static inline void page_put_shared(struct page *page)
{
    u32 before = __atomic_fetch_sub(&page->refs, 1, __ATOMIC_ACQ_REL);

    if (likely(before > 1))
        return;
    page->refs = before; /* nobody else knows it any more */
    page_put(page);
}
/** As page_put() of a single page that nobody else has, and whose bytes are all zero: it need not
 * be cleared again. */
void page_put_clean(struct page *page);
/* Where frame 0 would be in the array of all pages, and the frames of the largest region, in which
 * most lookups end; fixed once the allocator runs. */
extern struct page *page_map;
extern u64 page_main_first, page_main_count;
/** page_of_phys() of a frame elsewhere. */
struct page *page_of_other_frame(u64 frame);
/** The page at physical address @pa, or NULL if the allocator does not own it. */
static inline struct page *page_of_phys(paddr_t pa)
{
    u64 frame = pa >> PAGE_SHIFT;

    return likely(frame - page_main_first < page_main_count) ? page_map + frame
                                                             : page_of_other_frame(frame);
}
/** Where the page's bytes are: physical address, and in the direct map. */
static inline paddr_t page_to_phys(const struct page *page)
{
    return (u64)(page - page_map) << PAGE_SHIFT;
}
static inline void *page_to_virt(const struct page *page)
{
    return phys_to_virt(page_to_phys(page));
}
/** The page behind direct-map address @virt; @virt must come from page_to_virt(). */
struct page *virt_to_page(const void *virt);

/** Memory by use, in pages of 4 KiB. */
struct page_stats {
    u64 total, free, page_cache, slab, anon, kernel_stacks, page_tables;
};
void page_get_stats(struct page_stats *out);
/** About how many free blocks there are of 1 << @order pages, at most PAGE_MAX_ORDER. */
u64 page_free_blocks(unsigned order);
/** The field .total alone: it never changes. */
u64 page_total(void);
/**
 * Account @pages (may be negative) to the field at @offset of struct page_stats; not to total and
 * free, which the allocator counts. Any thread context.
 */
void page_account(size_t offset, s64 pages);
/** Free pages, roughly (without other CPUs' lists) and cheaply. */
u64 page_free_estimate(void);

/**
 * A free block of at least 1 << @order pages that was not given back by page_give_reported(), with
 * one reference, so that the host can be told of it.  NULL: there is none.
 */
struct page *page_take_unreported(unsigned order);
/** Give such a block back, of which the host has been told. */
void page_give_reported(struct page *page);

/** A cache that can give pages back. @shrink frees up to @want pages and returns how many it freed.
 */
struct shrinker {
    struct list_head node;
    u64 (*shrink)(u64 want);
};
/** Ask @shrinker, borrowed for ever, where memory is short. */
void page_register_shrinker(struct shrinker *shrinker);
