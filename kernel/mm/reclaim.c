/* When there is no page to be had: pages of files that programs have mapped and not changed go from
 * the page tables, so that the page cache, which has them too, can give them back.  They come again
 * by faults.  A cursor goes round each address space, some pages at a time, so that what has just
 * come is the last to go. */
#include "mm/mm_priv.h"
#include "mm/page_priv.h"

enum { AT_ONCE = 128 };

/* Private, since a page of a shared mapping may have been written; not of the ground's. */
static bool may_give(const struct vma *vma)
{
    return vma->backing && vma->backing->ops->cached && !area_is_shared(vma) &&
           area_is_touched(vma);
}

/* Is the page at @va the file's, and one that the allocator owns? */
static bool is_files(struct mm *mm, u64 va)
{
    paddr_t pa;
    u32 prot;

    if (!plat.query(&mm->as, va, &pa, &prot) || prot & PLAT_HUGE)
        return false;
    const struct page *page = page_of_phys(pa);
    return page && !(page->flags & PAGE_ANON);
}

/* Unmap up to @most pages of @vma from *@at on, which moves on. Returns how many. */
static u64 give_area(struct vma *vma, u64 *at, u64 most)
{
    u64 given = 0;

    while (*at < vma->end && given < most) {
        u64 first = *at;
        while (*at < vma->end && given < most && is_files(vma->mm, *at)) {
            *at += PAGE_SIZE;
            given++;
        }
        if (*at > first)
            (void)pages_drop(vma->mm, vma, first, *at); /* no 2 MiB page is cut: cannot fail */
        else
            *at += PAGE_SIZE;
    }
    return given;
}

/* @mm is locked. */
static bool give_some(struct mm *mm, void *arg)
{
    u64 *given = arg, here = 0, at = mm->reclaim_at;
    struct vma *vma = area_find(mm, at);

    while (vma && here < AT_ONCE) {
        at = max(at, vma->start);
        if (may_give(vma))
            here += give_area(vma, &at, AT_ONCE - here);
        if (here < AT_ONCE)
            vma = area_next(vma);
    }
    mm->reclaim_at = vma ? at : 0;
    *given += here;
    return true;
}

static bool lock_and_give(struct mm *mm, void *arg)
{
    mm_lock(&mm->lock);
    give_some(mm, arg);
    mm_unlock(&mm->lock);
    return true;
}

u64 mm_try_give(void)
{
    u64 given = 0;

    mm_try_each(give_some, &given);
    return given;
}

bool mm_reclaim(void)
{
    for (u32 empty = 0;
         empty < 2 &&
         page_may_take_files();) { /* a round that begins in the middle sees the end alone */
        u64 given = 0;
        mm_for_each(lock_and_give, &given);
        struct page *page = page_alloc(0, 0);
        if (page) {
            page_put(page);
            return true;
        }
        empty = given ? 0 : empty + 1;
    }
    return false;
}
