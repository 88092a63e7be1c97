/* Pages on their way out of an area: references dropped, dirty ones reported, counts kept. */
#include "mm/mm_priv.h"

#include "abi/errno.h"

struct drop {
    struct vma *vma;
    u64 resident;
    s64 anon;
};

void pages_put(struct page *page, u64 pages)
{
    if (pages == 1 || page->order) {
        page_put(page);
        return;
    }
    for (u64 i = 0; i < pages; i++)
        page_put(page + i);
}

static void page_gone(void *arg, u64 va, u64 pa, u64 size, u32 prot)
{
    struct drop *drop = arg;
    struct vma *vma = drop->vma;
    u64 pages = size >> PAGE_SHIFT;

    drop->resident += pages;
    if (vma->backing && (prot & PLAT_DIRTY) && area_is_shared(vma) && vma->backing->ops->dirty)
        vma->backing->ops->dirty(vma->backing, area_index(vma, va));
    struct page *page = page_of_phys(pa);
    if (!page)
        return;
    if (page->flags & PAGE_ANON)
        drop->anon += (s64)pages;
    pages_put(page, pages);
}

void huge_break(struct mm *mm, const struct vma *vma, u64 va)
{
    u64 base = ALIGN_DOWN(va, HUGE_SIZE), pa;
    u32 prot;

    if (base == va || base < vma->start || base + HUGE_SIZE > vma->end || vma->backing)
        return;
    if (!plat.query(&mm->as, va, &pa, &prot) || !(prot & PLAT_HUGE))
        return;
    struct page *page = page_of_phys(ALIGN_DOWN(pa, HUGE_SIZE));
    if (page && page->order)
        page_split(page);
}

int pages_remove(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    return area_is_ground(vma) ? plat.areas->unmap(&mm->as, start, end - start)
                               : pages_drop(mm, vma, start, end);
}

int pages_drop(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    struct drop drop = {.vma = vma};

    if (area_is_ground(vma))
        return plat.areas->discard(&mm->as, start, end - start);
    if (!area_may_have(vma, end))
        return 0;
    huge_break(mm, vma, start);
    huge_break(mm, vma, end);
    int err = plat.unmap(&mm->as, start, end - start, page_gone, &drop);
    if (mm->resident_pages > mm->peak_pages)
        mm->peak_pages = mm->resident_pages;
    mm->resident_pages -= drop.resident;
    if (drop.anon)
        page_account(offsetof(struct page_stats, anon), -drop.anon);
    return err;
}
