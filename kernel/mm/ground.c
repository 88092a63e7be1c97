/* Areas where the ground has demand paging of its own (struct plat_areas): private memory,
 * anonymous or of a file that lies in memory for good, is handed over as a whole, and no fault of
 * it comes back.  Everything else goes by faults as on a machine. */
#include "mm/mm_priv.h"

#include "abi/errno.h"

static void put_run(paddr_t pa, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        struct page *page = page_of_phys(pa + i * PAGE_SIZE);
        if (page)
            page_put(page);
    }
}

/* What of the file lies in memory for good; the rest comes by faults. */
static int map_files(struct mm *mm, struct vma *vma, u64 at, u64 end)
{
    u32 prot = plat_prot_of(vma->prot);

    while (at < end) {
        paddr_t pa;
        u32 n = (u32)min((end - at) >> PAGE_SHIFT, (u64)INT32_MAX);
        n = vma->backing->ops->cached(vma->backing, area_index(vma, at), n, &pa);
        if (!n)
            return 0;
        u64 len = (u64)n << PAGE_SHIFT;
        int err = page_of_phys(pa) ? -EINVAL : plat.areas->map_file(&mm->as, at, pa, len, prot);
        if (err) {
            put_run(pa, n);
            return err == -EINVAL ? 0 : err;
        }
        mm->resident_pages += n;
        area_note_page(vma, at);
        at += len;
    }
    return 0;
}

int ground_map(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    assert(mm_lock_held(&mm->lock));
    if (likely(!plat.areas) || start >= end)
        return 0;
    if (!vma->backing)
        return plat.areas->map(&mm->as, start, end - start, plat_prot_of(vma->prot));
    if (area_is_shared(vma) || !vma->backing->ops->cached)
        return 0;
    return map_files(mm, vma, start, end);
}

/* Clean pages of files come back from the host's own cache; most were mapped around those that a
 * start needed, or are of code that nobody runs any more. */
static bool forget_clean(struct mm *mm, void *unused)
{
    (void)unused;
    for (struct vma *vma = area_find(mm, 0); vma; vma = area_next(vma))
        if (vma->backing && !area_is_shared(vma) && !(vma->prot & PROT_WRITE) && !vma->copied)
            (void)plat.areas->discard(&mm->as, vma->start, vma->end - vma->start); /* or stays */
    return true;
}

void ground_rest(void)
{
    if (plat.areas)
        mm_try_each(forget_clean, NULL);
}
