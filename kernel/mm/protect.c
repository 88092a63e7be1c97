/* mprotect. */
#include "mm/mm_priv.h"

#include "abi/errno.h"

/* What the pages of the area may have at once: a page whose first write must be seen (copy on
 * write, the zero page, dirty tracking) gets the right to write by a fault. */
static u32 page_prot(const struct vma *vma, u32 prot)
{
    bool shared = area_is_shared(vma), watched = !shared || vma->backing->ops->dirty;
    u32 copy = !shared && (prot & PROT_WRITE) ? PLAT_COPY : 0;

    return plat_prot_of(watched ? prot & ~(u32)PROT_WRITE : prot) | copy;
}

static int protect_area(struct mm *mm, struct vma *vma, u64 start, u64 end, u32 prot)
{
    if (vma->prot == prot)
        return 0;
    if ((prot & PROT_WRITE) && (vma->marks & VMA_NOWRITE))
        return -EACCES;
    if (area_is_ground(vma))
        return plat.areas->protect(&mm->as, start, end - start, plat_prot_of(prot));
    if (!area_may_have(vma, end))
        return 0;
    huge_break(mm, vma, start);
    huge_break(mm, vma, end);
    return plat.protect(&mm->as, start, end - start, page_prot(vma, prot));
}

/* Linux applies the change area by area up to the first that refuses; so do we. */
static int protect_range(struct mm *mm, u64 start, u64 end, u32 prot)
{
    struct vma *vma = area_find(mm, start);
    int err = 0;

    if (!vma || vma->start > start)
        return -ENOMEM;
    for (u64 at = start; at < end; at = vma->end, vma = area_next(vma)) {
        if (!vma || vma->start > at)
            return -ENOMEM;
        if (vma->prot == prot)
            continue;
        u64 to = min(end, vma->end);
        err = protect_area(mm, vma, at, to, prot);
        if (!err)
            err = area_split_range(mm, at, to);
        if (err)
            return err;
        vma = area_find(mm, at);
        vma->copied |= plat.areas && (vma->prot & PROT_WRITE); /* its copies are not ours to see */
        vma->prot = prot;
    }
    return 0;
}

int mm_protect(struct mm *mm, u64 addr, u64 len, u32 prot)
{
    u32 grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);

    prot &= ~grows;
    if (prot & ~(u32)(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) || grows & PROT_GROWSUP)
        return -EINVAL;
    prot &= ~(u32)PROT_SEM;
    if (!IS_ALIGNED(addr, PAGE_SIZE))
        return -EINVAL;
    if (range_check(addr, &len))
        return -ENOMEM;
    if (!len)
        return 0;
    if (mm->wx_strict && (prot & PROT_WRITE) && (prot & PROT_EXEC))
        return -EPERM;

    mm_lock(&mm->lock);
    u64 start = addr, end = addr + len;
    struct vma *vma = area_find(mm, addr);
    int err = -EINVAL;
    if (!grows || (vma && (vma->flags & MAP_GROWSDOWN))) {
        if (grows)
            start = min(start, vma->start);
        err = protect_range(mm, start, end, prot);
        area_merge_range(mm, start, end);
    }
    mm_unlock(&mm->lock);
    return err;
}
