/* mremap: grow in place, move, shrink, duplicate a shared area. */
#include "mm/mm_priv.h"

#include "abi/errno.h"

struct remap {
    u64 old, old_len, new, new_len;
    u32 flags;
};

static int check(struct remap *r)
{
    if (r->flags & ~(u32)(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if ((r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(r->flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if ((r->flags & MREMAP_DONTUNMAP) &&
        ALIGN_UP(r->old_len, PAGE_SIZE) != ALIGN_UP(r->new_len, PAGE_SIZE))
        return -EINVAL;
    if (range_check(r->old, &r->old_len) || range_check(0, &r->new_len) || !r->new_len)
        return -EINVAL;
    if (!(r->flags & MREMAP_FIXED))
        return 0;
    if (range_check(r->new, &r->new_len) || r->new < USER_BASE)
        return -EINVAL;
    bool overlap = r->new < r->old + r->old_len && r->old < r->new + r->new_len;
    return overlap ? -EINVAL : 0;
}

/* The new place of the area: where the caller says, or where there is room. */
static int choose_place(struct mm *mm, struct remap *r, const struct vma *vma)
{
    if (r->flags & MREMAP_FIXED)
        return unmap_locked(mm, r->new, r->new + r->new_len);
    u64 align = !vma->backing && r->new_len >= HUGE_SIZE ? HUGE_SIZE : PAGE_SIZE;
    r->new = area_find_gap(mm, r->new_len, align, USER_BASE, mm->mmap_top);
    return r->new ? 0 : -ENOMEM;
}

static struct vma moved_area(const struct vma *vma, const struct remap *r)
{
    struct vma moved = *vma;

    moved.start = r->new;
    moved.end = r->new + r->new_len;
    if (area_is_touched(vma))
        moved.lowest = r->new;
    if (vma->backing)
        moved.offset += r->old - vma->start;
    return moved;
}

static int move_pages(struct mm *mm, const struct vma *vma, u64 from, u64 to, u64 len)
{
    return area_is_ground(vma) ? plat.areas->move(&mm->as, from, to, len)
                               : plat.move(&mm->as, from, to, len);
}

static int move_area(struct mm *mm, struct remap *r)
{
    struct vma *vma = area_find(mm, r->old);
    int err = choose_place(mm, r, vma);
    if (err)
        return err;

    vma = area_find(mm, r->old); /* the place may have been cut out of the same area */
    struct vma moved = moved_area(vma, r);
    u64 kept = min(r->old_len, r->new_len);
    huge_break(mm, vma, r->old);
    huge_break(mm, vma, r->old + kept);
    if (!area_extend(mm, &moved) && !area_create(mm, &moved))
        return -ENOMEM;
    vma = area_find(mm, r->old);
    struct vma *to = area_find(mm, r->new);
    err = kept ? move_pages(mm, to, r->old, r->new, kept) : 0;
    if (err)
        goto undo;
    err = ground_map(mm, to, r->new + kept, r->new + r->new_len);
    if (err)
        goto undo;
    if (!r->old_len)
        return 0;
    if (r->flags & MREMAP_DONTUNMAP)
        return area_is_ground(vma) ? ground_map(mm, vma, r->old, r->old + kept) : 0;
    return unmap_locked(mm, r->old, r->old + r->old_len);

undo:
    /* Some leaves may lie at the new place already: back with them; no memory is needed there. */
    (void)move_pages(mm, to, r->new, r->old, kept);
    (void)unmap_locked(mm, r->new, r->new + r->new_len);
    return err;
}

static bool grow_in_place(struct mm *mm, const struct remap *r, struct vma *vma)
{
    u64 end = r->old + r->new_len;

    if (vma->end != r->old + r->old_len || end > USER_TOP || !area_is_free(mm, vma->end, end))
        return false;
    u64 old_end = vma->end;
    area_resize(mm, vma, vma->start, end);
    if (ground_map(mm, vma, old_end, end)) {
        area_resize(mm, vma, vma->start, old_end);
        return false;
    }
    area_merge(mm, vma);
    return true;
}

static int remap_locked(struct mm *mm, struct remap *r)
{
    struct vma *vma = area_find(mm, r->old);

    if (!vma || vma->start > r->old)
        return -EFAULT;
    if (r->old_len == 0 && (!area_is_shared(vma) || !(r->flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (r->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
        return r->old + r->old_len > vma->end ? -EFAULT : move_area(mm, r);
    if (r->old_len && r->new_len <= r->old_len) {
        u64 end = r->old + r->old_len;
        r->new = r->old;
        return r->new_len < r->old_len ? unmap_locked(mm, r->old + r->new_len, end) : 0;
    }
    if (r->old + r->old_len > vma->end)
        return -EFAULT;
    if (r->old_len && grow_in_place(mm, r, vma)) {
        r->new = r->old;
        return 0;
    }
    return r->flags & MREMAP_MAYMOVE ? move_area(mm, r) : -ENOMEM;
}

int mm_remap(struct mm *mm, u64 old_addr, u64 old_len, u64 new_len, u32 flags, u64 new_addr,
             u64 *out)
{
    struct remap r = {old_addr, old_len, new_addr, new_len, flags};
    int err = check(&r);
    if (err)
        return err;
    mm_lock(&mm->lock);
    err = remap_locked(mm, &r);
    mm_unlock(&mm->lock);
    if (!err)
        *out = r.new;
    return err;
}
