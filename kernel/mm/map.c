/* mmap, munmap, brk: areas come and go; pages follow on demand. */
#include "mm/mm_priv.h"

#include "abi/errno.h"
#include "core/random.h"

enum { BRK_GAP_PAGES = 0x2000 }; /* up to 32 MiB between the program and its heap, as Linux */

/* Flags that an area keeps; the others only say how to make it. */
#define AREA_FLAGS (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN)

int range_check(u64 addr, u64 *len)
{
    u64 end;

    if (!IS_ALIGNED(addr, PAGE_SIZE) || *len > USER_TOP)
        return -EINVAL;
    *len = ALIGN_UP(*len, PAGE_SIZE);
    if (__builtin_add_overflow(addr, *len, &end) || end > USER_TOP)
        return -EINVAL;
    return 0;
}

/* Remove areas, or the parts of them, in [start, end); their pages are gone. */
static int remove_areas(struct mm *mm, u64 start, u64 end)
{
    struct vma *vma = area_find(mm, start), *next;

    if (vma && vma->start < start && vma->end > end) { /* a hole: the only case that needs memory */
        int err = area_split(mm, vma, end);
        if (err)
            return err;
    }
    for (; vma && vma->start < end; vma = next) {
        next = vma->end < end ? area_next(vma) : NULL;
        if (vma->start < start)
            area_resize(mm, vma, vma->start, start);
        else if (vma->end > end)
            area_resize(mm, vma, end, vma->end);
        else
            area_destroy(mm, vma);
    }
    return 0;
}

int unmap_locked(struct mm *mm, u64 start, u64 end)
{
    assert(mm_lock_held(&mm->lock));
    for (struct vma *vma = area_find(mm, start); vma && vma->start < end; vma = area_next(vma)) {
        int err = pages_remove(mm, vma, max(start, vma->start), min(end, vma->end));
        if (err)
            return err;
        if (vma->end >= end)
            break;
    }
    return remove_areas(mm, start, end);
}

int mm_unmap(struct mm *mm, u64 addr, u64 len)
{
    int err = range_check(addr, &len);
    if (err || !len)
        return -EINVAL;
    u64 end = addr + len;
    mm_lock(&mm->lock);
    const struct vma *vma = area_find(mm, addr);
    if (vma && vma->backing && unlikely(vma->backing->ops->unmap_end))
        end = vma->backing->ops->unmap_end(vma->backing, addr, end);
    err = unmap_locked(mm, addr, end);
    mm_unlock(&mm->lock);
    return err;
}

/* Where large areas may use 2 MiB pages they begin where one can. */
static u64 find_place(struct mm *mm, const struct vma *want, u64 hint, u64 len, u32 flags)
{
    u64 high = mm->mmap_top;

    if (flags & MAP_32BIT)
        high = min(high, GIB(2));
    hint = ALIGN_UP(hint, PAGE_SIZE);
    u64 top = flags & MAP_32BIT ? GIB(2) : USER_TOP;
    if (len <= top && hint >= USER_BASE && hint <= top - len && area_is_free(mm, hint, hint + len))
        return hint;
    if (!want->backing && len >= HUGE_SIZE && !(want->marks & VMA_NOHUGE)) {
        u64 place = area_find_gap(mm, len, HUGE_SIZE, USER_BASE, high);
        if (place)
            return place;
    }
    u64 place = area_find_gap(mm, len, PAGE_SIZE, USER_BASE, high);
    if (!place && !(flags & MAP_32BIT)) /* above the usual area, as Linux does when it is full */
        place = area_find_gap(mm, len, PAGE_SIZE, USER_BASE, USER_TOP);
    return place;
}

static int place_area(struct mm *mm, struct vma *want, u64 addr, u64 len, u32 flags)
{
    if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE))) {
        want->start = find_place(mm, want, addr, len, flags);
        want->end = want->start + len;
        return want->start ? 0 : -ENOMEM;
    }
    u64 end;
    if (!IS_ALIGNED(addr, PAGE_SIZE))
        return -EINVAL;
    if (__builtin_add_overflow(addr, len, &end) || end > USER_TOP)
        return -ENOMEM;
    if (addr < USER_BASE)
        return -EPERM;
    want->start = addr;
    want->end = end;
    if (area_is_free(mm, addr, end))
        return 0;
    return flags & MAP_FIXED_NOREPLACE ? -EEXIST : unmap_locked(mm, addr, end);
}

static int check_request(struct mm *mm, u64 len, u32 prot, u32 flags, u64 offset)
{
    u32 type = flags & MAP_TYPE;
    u64 end;

    if (!len || (type != MAP_SHARED && type != MAP_PRIVATE) || !IS_ALIGNED(offset, PAGE_SIZE) ||
        __builtin_add_overflow(offset, len, &end))
        return -EINVAL;
    if (len > USER_TOP - USER_BASE)
        return -ENOMEM;
    if (mm->wx_strict && (prot & PROT_WRITE) && (prot & PROT_EXEC))
        return -EPERM;
    /* As Linux's heuristic: only what can never be true is refused. */
    if (type == MAP_PRIVATE && (prot & PROT_WRITE) && !(flags & MAP_NORESERVE) &&
        (len >> PAGE_SHIFT) > page_total())
        return -ENOMEM;
    return 0;
}

/* An area of its own, or a part of a neighbour. */
static int add_area(struct mm *mm, const struct vma *want)
{
    struct vma *vma = area_extend(mm, want);

    if (!vma)
        vma = area_create(mm, want);
    if (!vma)
        return -ENOMEM;
    int err = ground_map(mm, vma, want->start, want->end);
    if (err)
        (void)remove_areas(mm, want->start, want->end); /* of what is left the ground knows */
    return err;
}

static int map_locked(struct mm *mm, u64 addr, u64 len, u32 flags, struct vma *want)
{
    int err = place_area(mm, want, addr, len, flags);
    if (err)
        return err;
    return add_area(mm, want);
}

int mm_map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags, struct vm_backing *backing,
           u64 offset, const char *name, u64 *out)
{
    len = len > USER_TOP ? USER_TOP : ALIGN_UP(len, PAGE_SIZE);
    int err = check_request(mm, len, prot, flags, offset);
    if (err)
        return err;

    struct vm_backing *shm = NULL;
    if (!backing && (flags & MAP_SHARED)) {
        shm = backing = shm_create(len);
        if (!shm)
            return -ENOMEM;
    }
    struct vma want = {
        .prot = prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
        .flags = flags & AREA_FLAGS,
        .marks = (flags & MAP_STACK ? VMA_NOHUGE : 0) | (flags & MM_MAP_NOWRITE ? VMA_NOWRITE : 0),
        .lowest = NO_PAGE,
        .offset = backing ? offset : 0,
        .backing = backing,
        .name = name,
    };
    if (backing && unlikely(backing->ops->shown_pc))
        mm->stands_in = true;
    mm_lock(&mm->lock);
    err = map_locked(mm, addr, len, flags, &want);
    mm_unlock(&mm->lock);
    if (shm)
        shm->ops->put(shm);
    if (err)
        return err;
    *out = want.start;
    if ((flags & (MAP_POPULATE | MAP_LOCKED)) && !(flags & MAP_NONBLOCK))
        (void)mm_populate(mm, want.start, len, true); /* best effort, as on Linux */
    return 0;
}

static int grow_heap(struct mm *mm, u64 from, u64 to)
{
    struct vma want = {
        .start = from,
        .end = to,
        .lowest = NO_PAGE,
        .prot = PROT_READ | PROT_WRITE,
        .flags = MAP_PRIVATE | MAP_ANONYMOUS,
        .name = "[heap]",
    };

    if (!area_is_free(mm, from, min(to + PAGE_SIZE, USER_TOP)))
        return -ENOMEM;
    return add_area(mm, &want);
}

u64 mm_brk(struct mm *mm, u64 new_break)
{
    mm_lock(&mm->lock);
    u64 old_end = ALIGN_UP(mm->brk, PAGE_SIZE), new_end = ALIGN_UP(new_break, PAGE_SIZE);
    int err = 0;

    if (new_break < mm->brk_start || new_break > USER_TOP - PAGE_SIZE)
        err = -EINVAL;
    else if (new_end > old_end)
        err = grow_heap(mm, old_end, new_end);
    else if (new_end < old_end)
        err = unmap_locked(mm, new_end, old_end);
    if (!err)
        mm->brk = new_break;
    u64 result = mm->brk;
    mm_unlock(&mm->lock);
    return result;
}
