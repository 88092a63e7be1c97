/* madvise, msync, mincore, and faulting in ahead of use. */
#include "mm/mm_priv.h"

#include "abi/errno.h"
#include "lib/string.h"

/* Does @advice to [start, end), which lies in @vma. */
typedef int advise_fn(struct mm *mm, struct vma *vma, u64 start, u64 end);

static int drop_pages(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    return pages_drop(mm, vma, start, end);
}

/* Freed at once: the caller may not count on what it reads either way. */
static int free_pages(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    return vma->backing ? -EINVAL : pages_drop(mm, vma, start, end);
}

static int punch_hole(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    if (!vma->backing || !area_is_shared(vma) || !(vma->prot & PROT_WRITE))
        return -EINVAL;
    if (!vma->backing->ops->punch)
        return -EOPNOTSUPP;
    int err = pages_drop(mm, vma, start, end);
    if (err)
        return err;
    return vma->backing->ops->punch(vma->backing, area_index(vma, start),
                                    (end - start) >> PAGE_SHIFT);
}

static int set_marks(struct mm *mm, u64 start, u64 end, u32 set, u32 clear)
{
    int err = area_split_range(mm, start, end);
    if (err)
        return err;
    struct vma *vma = area_find(mm, start);
    vma->marks = (vma->marks & ~clear) | set;
    return 0;
}

static int mark_huge(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    (void)vma;
    return set_marks(mm, start, end, VMA_HUGE, VMA_NOHUGE);
}
static int mark_nohuge(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    (void)vma;
    return set_marks(mm, start, end, VMA_NOHUGE, VMA_HUGE);
}
static int mark_dontfork(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    (void)vma;
    return set_marks(mm, start, end, VMA_DONTFORK, 0);
}
static int mark_dofork(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    (void)vma;
    return set_marks(mm, start, end, 0, VMA_DONTFORK);
}
static int mark_wipe(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    return vma->backing ? -EINVAL : set_marks(mm, start, end, VMA_WIPEFORK, 0);
}
static int mark_keep(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    (void)vma;
    return set_marks(mm, start, end, 0, VMA_WIPEFORK);
}
static int no_effect(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    (void)mm, (void)vma, (void)start, (void)end;
    return 0;
}

static advise_fn *const advisers[] = {
    [MADV_NORMAL] = no_effect,       [MADV_RANDOM] = no_effect,
    [MADV_SEQUENTIAL] = no_effect,   [MADV_WILLNEED] = no_effect,
    [MADV_DONTNEED] = drop_pages,    [MADV_FREE] = free_pages,
    [MADV_REMOVE] = punch_hole,      [MADV_DONTFORK] = mark_dontfork,
    [MADV_DOFORK] = mark_dofork,     [MADV_MERGEABLE] = no_effect,
    [MADV_UNMERGEABLE] = no_effect,  [MADV_HUGEPAGE] = mark_huge,
    [MADV_NOHUGEPAGE] = mark_nohuge, [MADV_DONTDUMP] = no_effect,
    [MADV_DODUMP] = no_effect,       [MADV_WIPEONFORK] = mark_wipe,
    [MADV_KEEPONFORK] = mark_keep,   [MADV_COLD] = no_effect,
    [MADV_PAGEOUT] = no_effect,      [MADV_DONTNEED_LOCKED] = drop_pages,
    [MADV_COLLAPSE] = no_effect,
};

/* Holes are skipped, and told of at the end, as on Linux. */
static int advise_range(struct mm *mm, u64 start, u64 end, advise_fn *advise)
{
    bool hole = false;
    int err = 0;

    for (u64 at = start; at < end && !err;) {
        struct vma *vma = area_find(mm, at);
        if (!vma || vma->start > at)
            hole = true;
        if (!vma || vma->start >= end)
            break;
        u64 from = max(at, vma->start), to = min(end, vma->end);
        at = to;
        err = advise(mm, vma, from, to);
    }
    if (advise != drop_pages && advise != free_pages) /* the others may have cut areas */
        area_merge_range(mm, start, end);
    return err ? err : hole ? -ENOMEM : 0;
}

/* A thread that ends gives back what its stack never had: that is seen side by side with others. */
static bool has_nothing(struct mm *mm, u64 start, u64 end)
{
    bool none;

    mm_lock_shared(&mm->lock);
    struct vma *vma = area_find(mm, start);
    for (;;) {
        none = vma && vma->start <= start && !area_is_ground(vma) &&
               !area_may_have(vma, min(end, vma->end));
        if (!none || vma->end >= end)
            break;
        start = vma->end;
        vma = area_next(vma);
    }
    mm_unlock_shared(&mm->lock);
    return none;
}

int mm_advise(struct mm *mm, u64 addr, u64 len, int advice)
{
    int err = range_check(addr, &len);
    if (err)
        return err;
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
        return mm_populate(mm, addr, len, advice == MADV_POPULATE_WRITE);
    if (advice < 0 || (size_t)advice >= ARRAY_LEN(advisers) || !advisers[advice])
        return -EINVAL;
    if (advice == MADV_DONTNEED && has_nothing(mm, addr, addr + len))
        return 0;
    mm_lock(&mm->lock);
    err = advise_range(mm, addr, addr + len, advisers[advice]);
    mm_unlock(&mm->lock);
    return err;
}

/* Part of [index, index + n) of the backing that @vma shows, as addresses; false: none of it. */
static bool shown_range(const struct vma *vma, u64 index, u64 n, u64 *start, u64 *end)
{
    u64 first = vma->offset >> PAGE_SHIFT;
    u64 last = first + ((vma->end - vma->start) >> PAGE_SHIFT), stop;

    if (__builtin_add_overflow(index, n, &stop))
        stop = UINT64_MAX;
    if (index >= last || stop <= first)
        return false;
    *start = vma->start + ((max(index, first) - first) << PAGE_SHIFT);
    *end = vma->start + ((min(stop, last) - first) << PAGE_SHIFT);
    return true;
}

/* Pages of a file, in whatever address space. */
struct file_range {
    bool (*is_file)(struct vm_backing *backing, void *arg);
    void *arg;
    u64 index, n;
};

static bool forget_in(struct mm *mm, void *arg)
{
    const struct file_range *f = arg;
    u64 start, end;

    mm_lock(&mm->lock);
    for (struct vma *vma = area_find(mm, 0); vma; vma = area_next(vma))
        if (vma->backing && area_is_touched(vma) && f->is_file(vma->backing, f->arg) &&
            shown_range(vma, f->index, f->n, &start, &end))
            (void)pages_drop(mm, vma, start, end); /* no 2 MiB page: it cannot fail */
    mm_unlock(&mm->lock);
    return true;
}

void mm_forget(bool (*is_file)(struct vm_backing *backing, void *arg), void *arg, u64 index, u64 n)
{
    struct file_range f = {is_file, arg, index, n};

    mm_for_each(forget_in, &f);
}

static void protect_range(struct mm *mm, const struct vma *vma, u64 start, u64 end)
{
    for (u64 va = start; va < end; va += PAGE_SIZE) {
        u32 prot;
        if (plat.query(&mm->as, va, NULL, &prot) && prot & PLAT_WRITE)
            (void)plat.protect(&mm->as, va, PAGE_SIZE,
                               plat_prot_of(vma->prot & ~(u32)PROT_WRITE)); /* a 4 KiB leaf */
    }
}

static bool protect_in(struct mm *mm, void *arg)
{
    const struct file_range *f = arg;
    u64 start, end;

    mm_lock(&mm->lock);
    for (struct vma *vma = area_find(mm, 0); vma; vma = area_next(vma))
        if (vma->backing && area_is_touched(vma) && area_is_shared(vma) &&
            f->is_file(vma->backing, f->arg) && shown_range(vma, f->index, f->n, &start, &end))
            protect_range(mm, vma, start, end);
    mm_unlock(&mm->lock);
    return true;
}

void mm_write_protect(bool (*is_file)(struct vm_backing *backing, void *arg), void *arg, u64 index,
                      u64 n)
{
    struct file_range f = {is_file, arg, index, n};

    mm_for_each(protect_in, &f);
}

static int populate_page(struct mm *mm, u64 va, bool write)
{
    struct vma *vma = area_find(mm, va);
    int code;

    if (!vma || vma->start > va)
        return -ENOMEM;
    bool may_write = write && area_allows(vma, ACCESS_WRITE);
    if (!may_write && !area_allows(vma, ACCESS_READ))
        return -EFAULT;
    u32 prot;
    if (plat.query(&mm->as, va, NULL, &prot) && (!may_write || (prot & PLAT_WRITE)))
        return 0;
    return fault_locked(mm, vma, va, may_write, true, &code) ? -EFAULT : 0;
}

int mm_populate(struct mm *mm, u64 addr, u64 len, bool write)
{
    int err = range_check(addr, &len);

    /* The lock is given up between pages: others may fault meanwhile. */
    for (u64 va = addr; va < addr + len && !err; va += PAGE_SIZE) {
        mm_lock(&mm->lock);
        err = populate_page(mm, va, write);
        mm_unlock(&mm->lock);
    }
    return err;
}

int mm_resident(struct mm *mm, u64 addr, u64 pages, u8 *resident)
{
    int err = 0;

    mm_lock(&mm->lock);
    for (u64 i = 0; i < pages && !err; i++) {
        u64 va = addr + (i << PAGE_SHIFT);
        const struct vma *vma = area_find(mm, va);
        if (!vma || vma->start > va)
            err = -ENOMEM;
        else
            resident[i] = area_is_ground(vma) || plat.query(&mm->as, va, NULL, NULL);
    }
    mm_unlock(&mm->lock);
    return err;
}

/* Tell the backing of each dirty page and watch for the next write. */
static void tell_dirty(struct mm *mm, struct vma *vma, u64 start, u64 end)
{
    const struct vm_backing_ops *ops = vma->backing->ops;

    for (u64 va = start; va < end; va += PAGE_SIZE) {
        u32 prot;
        if (!ops->dirty || !plat.query(&mm->as, va, NULL, &prot) || !(prot & PLAT_DIRTY))
            continue;
        ops->dirty(vma->backing, area_index(vma, va));
        plat.clear_marks(&mm->as, va, PAGE_SIZE);
    }
}

/* Gives the lock up while the backing writes. */
static int sync_area(struct mm *mm, struct vma *vma, u64 start, u64 end, u32 flags)
{
    struct vm_backing *backing = vma->backing;
    u64 index = area_index(vma, start);

    tell_dirty(mm, vma, start, end);
    if (!(flags & MS_SYNC) || !backing->ops->sync)
        return 0;
    backing->ops->get(backing);
    mm_unlock(&mm->lock);
    int err = backing->ops->sync(backing, index, (end - start) >> PAGE_SHIFT);
    backing->ops->put(backing);
    mm_lock(&mm->lock);
    return err;
}

int mm_sync(struct mm *mm, u64 addr, u64 len, u32 flags)
{
    if (flags & ~(u32)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC) || !IS_ALIGNED(addr, PAGE_SIZE))
        return -EINVAL;
    if (range_check(addr, &len))
        return -ENOMEM;

    bool hole = false;
    int err = 0;
    mm_lock(&mm->lock);
    for (u64 at = addr; at < addr + len && !err;) {
        struct vma *vma = area_find(mm, at);
        if (!vma || vma->start > at)
            hole = true;
        if (!vma || vma->start >= addr + len)
            break;
        u64 to = min(addr + len, vma->end);
        if (vma->backing && area_is_shared(vma))
            err = sync_area(mm, vma, max(at, vma->start), to, flags);
        at = to;
    }
    mm_unlock(&mm->lock);
    return err ? err : hole ? -ENOMEM : 0;
}
