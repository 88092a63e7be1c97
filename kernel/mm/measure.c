/* What of an area is in memory, page by page, as /proc/PID/smaps tells it (proc(5)).  How many have
 * a page is read off its references: of a file's page the cache holds one, of anonymous memory who
 * reads or writes it directly some. */
#include "mm/mm_priv.h"

#include "mm/pin.h"

/* At least 1.  The image's own pages nobody counts. */
static u64 owners_of(const struct page *page)
{
    if (!page)
        return 1;
    u64 refs = __atomic_load_n(&page->refs, __ATOMIC_RELAXED);
    u64 others = page->flags & PAGE_ANON ? page->spare : 1;
    return refs > others ? refs - others : 1;
}

static void add_pages(struct area_usage *out, u64 pages, u64 owners, bool anon, bool dirty)
{
    u64 share = pages * PAGE_SIZE / owners;

    out->resident += pages;
    out->share += share;
    if (anon) {
        out->anonymous += pages;
        out->anonymous_share += share;
    }
    if (dirty)
        out->dirty_share += share;
    u64 *kind = owners > 1 ? dirty ? &out->shared_dirty : &out->shared_clean
                : dirty    ? &out->private_dirty
                           : &out->private_clean;
    *kind += pages;
}

static void measure_leaf(const struct vma *vma, u64 pa, u32 prot, u64 pages, struct area_usage *out)
{
    const struct page *page = page_of_phys(pa);

    if (!page && !vma->backing) /* the page of zeros: nobody's memory */
        return;
    bool anon = page && page->flags & PAGE_ANON;
    add_pages(out, pages, owners_of(page), anon, anon || prot & PLAT_DIRTY);
    if (prot & PLAT_ACCESSED || anon)
        out->referenced += pages;
    if (prot & PLAT_HUGE)
        out->huge += pages;
}

/* What of it was touched is known to the host alone. */
static void measure_ground(const struct vma *vma, struct area_usage *out)
{
    u64 pages = (vma->end - vma->start) >> PAGE_SHIFT;

    if (!(vma->prot & PROT_WRITE))
        return;
    add_pages(out, pages, 1, true, true);
    out->referenced += pages;
}

void mm_measure(struct vma *vma, struct area_usage *out)
{
    struct plat_as *as = &vma->mm->as;
    u64 pa;
    u32 prot;

    assert(mm_lock_held(&vma->mm->lock));
    if (area_is_ground(vma)) {
        measure_ground(vma, out);
        return;
    }
    for (u64 va = vma->start; (va = plat.next_page(as, va, vma->end)) < vma->end;) {
        (void)plat.query(as, va, &pa, &prot); /* finds it: the lock keeps it there */
        u64 next = prot & PLAT_HUGE ? ALIGN_DOWN(va, HUGE_SIZE) + HUGE_SIZE : va + PAGE_SIZE;
        next = min(next, vma->end);
        measure_leaf(vma, pa, prot, (next - va) >> PAGE_SHIFT, out);
        va = next;
    }
}
