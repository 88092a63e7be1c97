/* What the files of mm share about address spaces. */
#pragma once

#include "abi/mman.h"
#include "core/panic.h"
#include "mm/lock.h"
#include "mm/mm.h"

enum {
    MAX_AREAS = 65530, /* vm.max_map_count */
    STACK_GUARD = 256 * 4096,
};

#define NO_PAGE UINT64_MAX /* vma.lowest of an area that nobody has touched */

/* [I], [A], [L] under .lock; [S] likewise, but atomic where it is held shared.  The lock is taken
 * before any inode or page-cache lock. */
struct mm {
    u32 refs;              /* [A] processes, and who looks at one */
    struct list_head node; /* under the lock of the list of all */
    struct mm_lock lock;
    struct plat_as as;    /* [L] changes; the CPU reads it freely */
    struct rb_root areas; /* [L] by address; each node knows the greatest gap below it */
    struct vma *hint;     /* [S] the area found last, or NULL */
    u64 last_end;         /* [L] end of the highest area, USER_BASE if none */
    u64 brk_start, brk;   /* [L] */
    u64 mmap_top;         /* [L] areas are placed from here downward */
    u64 stack_limit;      /* [L] bytes */
    u64 not_huge;         /* [L] a 2 MiB region that had pages when last looked at */
    u64 reclaim_at;       /* [L] where mm_reclaim() goes on */
    bool wx_strict;       /* [L] */
    bool tells;           /* [L] some area has been one whose file hears of writes */
    bool shares;          /* [A] some area has been a shared one */
    bool stands_in;       /* [A] some area has had code that stands in for other code */
    u32 nr_areas;         /* [L] */
    u64 virtual_pages;    /* [L] */
    u64 resident_pages;   /* [S] */
    u64 peak_pages;       /* [L] */
    u64 faults;           /* [A] so many page faults */
};

/* area.c: the tree of areas.  All under mm->lock; those that only look under the shared one too. */

/** An empty tree. */
void area_init(struct mm *mm);
/** The first area that ends above @addr, or NULL. */
struct vma *area_find(struct mm *mm, u64 addr);
/** The areas before and behind by address; NULL: none. */
struct vma *area_next(const struct vma *vma);
struct vma *area_prev(const struct vma *vma);
/** True if no area touches [start, end). */
bool area_is_free(struct mm *mm, u64 start, u64 end);
/** A copy of @template in the tree, with its own reference to the backing. NULL: no memory. */
struct vma *area_create(struct mm *mm, const struct vma *template);
/** Out of the tree, and free. */
void area_destroy(struct mm *mm, struct vma *vma);
/** The end of all areas, and of the tree; their pages are gone. */
void area_destroy_all(struct mm *mm);
/** The areas of @from in the empty tree of @to, untouched, and @fn called for each with its copy.
 * 0, -ENOMEM (some of them are there), or what @fn answered if that was not 0, and ended it. */
int area_copy_all(struct mm *to, struct mm *from,
                  int (*fn)(struct vma *vma, struct vma *copy, void *arg), void *arg);
/** Move the borders of an area within the free space around it; the offset follows the start. */
void area_resize(struct mm *mm, struct vma *vma, u64 start, u64 end);
/** Cut @vma at @addr, inside it; it keeps the lower part. 0 or -ENOMEM. */
int area_split(struct mm *mm, struct vma *vma, u64 addr);
/** Make [start, end) begin and end at area borders. 0 or -ENOMEM. */
int area_split_range(struct mm *mm, u64 start, u64 end);
/** Join @vma with its neighbours where they continue each other. Returns the joined area. */
struct vma *area_merge(struct mm *mm, struct vma *vma);
/** Join all areas that touch [start, end) where they continue each other. */
void area_merge_range(struct mm *mm, u64 start, u64 end);
/** Extend a neighbour over the free range of @template, if it continues it. NULL: none does. */
struct vma *area_extend(struct mm *mm, const struct vma *template);
/** The highest free place of @len bytes in [low, high), aligned to @align; 0: none. */
u64 area_find_gap(const struct mm *mm, u64 len, u64 align, u64 low, u64 high);

/* Pages under areas. */

/** Of a whole page: the area's backing index. */
static inline u64 area_index(const struct vma *vma, u64 va)
{
    return (vma->offset + (va - vma->start)) >> PAGE_SHIFT;
}
/** MAP_SHARED: what is written there others see. */
static inline bool area_is_shared(const struct vma *vma)
{
    return vma->flags & MAP_SHARED;
}
/** May pages of the area lie below @end?  Which of a large one never have, a thread's stack, is
 * told without a look at the page tables. */
static inline bool area_may_have(const struct vma *vma, u64 end)
{
    return __atomic_load_n(&vma->lowest, __ATOMIC_RELAXED) < end;
}
static inline bool area_is_touched(const struct vma *vma)
{
    return area_may_have(vma, vma->end);
}
/** Pages may lie in the area from @va on; 0: anywhere. */
static inline void area_note_page(struct vma *vma, u64 va)
{
    u64 lowest = __atomic_load_n(&vma->lowest, __ATOMIC_RELAXED);

    while (unlikely(va < lowest) &&
           !__atomic_compare_exchange_n(&vma->lowest, &lowest, va, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}
/** PROT_* as plat has it; anything that may be touched may be read, as on x86. */
static inline u32 plat_prot_of(u32 prot)
{
    u32 out = 0;

    if (prot & (PROT_READ | PROT_WRITE | PROT_EXEC))
        out |= PLAT_READ;
    if (prot & PROT_WRITE)
        out |= PLAT_WRITE;
    if (prot & PROT_EXEC)
        out |= PLAT_EXEC;
    return out;
}
/** True if the ground pages this area: the tables know nothing of it. */
static inline bool area_is_ground(const struct vma *vma)
{
    return plat.areas && !vma->backing;
}
/**
 * ground.c: hand [start, end), a part of @vma in which nothing is mapped or all may be replaced, to
 * a ground that pages by itself; nothing elsewhere.  0 or -ENOMEM.
 */
int ground_map(struct mm *mm, struct vma *vma, u64 start, u64 end);
/** plat.rest: let the host have clean pages of files back.  Does not sleep. */
void ground_rest(void);
/** unmap.c: drop the pages of [start, end), which lies in @vma. 0 or -ENOMEM. */
int pages_drop(struct mm *mm, struct vma *vma, u64 start, u64 end);
/** unmap.c: the same, and the area will be gone there. */
int pages_remove(struct mm *mm, struct vma *vma, u64 start, u64 end);
/** unmap.c: drop the references of @pages pages: a block that was one 2 MiB page, or has been
 * broken into single ones since. */
void pages_put(struct page *page, u64 pages);
/** If @va lies inside a 2 MiB page of @vma, let each of its pages count for itself. */
void huge_break(struct mm *mm, const struct vma *vma, u64 va);
/** map.c: mm_unmap() under the lock; the range is checked. */
int unmap_locked(struct mm *mm, u64 start, u64 end);
/** map.c: check that [addr, +len) is page-aligned and the program's; rounds *@len up. -EINVAL. */
int range_check(u64 addr, u64 *len);
/** fault.c: resolve a fault at page @va of @vma. 0, or the signal as mm_fault() has it. */
int fault_locked(struct mm *mm, struct vma *vma, u64 va, bool write, bool present, int *code);
/** True if the area may be touched so. */
bool area_allows(const struct vma *vma, enum fault_access access);

/**
 * reclaim.c: take unchanged pages of files out of page tables until a page can be had; false: none
 * can.  Waits for the locks of address spaces, one at a time.
 */
bool mm_reclaim(void);
/** mm.c: call @fn for each address space whose lock is free, with it held.  Does not sleep. */
void mm_try_each(bool (*fn)(struct mm *mm, void *arg), void *arg);
