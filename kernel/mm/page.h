/* Physical pages: a buddy allocator with per-CPU lists, fed lazily.
 * A page has a `struct page` only once the allocator's frontier has passed it; memory that was
 * never handed out was never touched.  Pages of an initrd or a device have none: see
 * page_of_phys(). */
#pragma once

#include "lib/list.h"
#include "plat/plat.h"

enum { PAGE_SHIFT = 12, HUGE_SHIFT = 21 };
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define HUGE_SIZE (1UL << HUGE_SHIFT)

/** What page_alloc() may do; combined by |. */
enum page_alloc_flags {
    PAGE_ZERO = 1,     /* cleared memory */
    PAGE_NORECLAIM = 2 /* fail rather than shrink caches: the caller holds their locks */
};

struct page {
    u32 refs;  /* [A] owners; the last page_put() frees */
    u16 flags; /* [A] PAGE_*: owner's marks (dirty, uptodate, locked, lru) */
    u8 order;  /* [I] while allocated: the block is 1 << order pages, named by its first */
    u8 pad;
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
/** Take another reference. */
void page_get(struct page *page);
/** Drop a reference; the last one frees the block. */
void page_put(struct page *page);
/** The page at physical address @pa, or NULL if the allocator does not own it. */
struct page *page_of_phys(paddr_t pa);
paddr_t page_to_phys(const struct page *page);
void *page_to_virt(const struct page *page);
/** The page behind direct-map address @virt; @virt must come from page_to_virt(). */
struct page *virt_to_page(const void *virt);

/** Memory by use, in pages of 4 KiB. */
struct page_stats {
    u64 total, free, page_cache, slab, anon, kernel_stacks, page_tables;
};
void page_get_stats(struct page_stats *out);
/** Account @pages (may be negative) to the field at @offset of struct page_stats. */
void page_account(size_t offset, s64 pages);

/** A cache that can give pages back. @shrink frees up to @want pages and returns how many it freed.
 */
struct shrinker {
    struct list_head node;
    u64 (*shrink)(u64 want);
};
void page_register_shrinker(struct shrinker *shrinker);
