/* An address space as an object: birth, death, what it reports. */
#include "mm/mm.h"

#include "abi/errno.h"
#include "core/percpu.h"
#include "core/random.h"
#include "core/spinlock.h"
#include "mm/heap.h"
#include "mm/mm_priv.h"

static struct list_head all = LIST_INIT(all);
static struct spinlock all_lock; /* before what unmapping takes; nothing is allocated under it */
static u64 faults_before;        /* under it: of those that are gone */

struct mm *mm_create(void)
{
    struct mm *mm = kzalloc(sizeof(*mm));
    if (!mm)
        return NULL;
    if (plat.as_create(&mm->as)) {
        kfree(mm);
        return NULL;
    }
    mm->refs = 1;
    mm_lock_init(&mm->lock);
    area_init(mm);
    mm->mmap_top = USER_TOP;
    mm->stack_limit = MIB(8);
    spin_lock(&all_lock);
    list_add_tail(&all, &mm->node);
    spin_unlock(&all_lock);
    return mm;
}

void mm_get(struct mm *mm)
{
    __atomic_fetch_add(&mm->refs, 1, __ATOMIC_RELAXED);
}

u32 mm_users(const struct mm *mm)
{
    return __atomic_load_n(&mm->refs, __ATOMIC_RELAXED);
}

/* A page of an address space that nobody uses any more. */
static void page_left(void *arg, u64 va, u64 pa, u64 size, u32 prot)
{
    struct page *page = page_of_phys(pa);
    s64 *anon = arg;

    (void)va, (void)prot;
    if (!page)
        return;
    if (page->flags & PAGE_ANON)
        *anon += (s64)(size >> PAGE_SHIFT);
    pages_put(page, size >> PAGE_SHIFT);
}

/* Whom a file has to hear of, and what a ground pages by itself, goes area by area. */
static void drop_areas(struct mm *mm)
{
    for (struct vma *vma = area_find(mm, 0); vma; vma = area_next(vma))
        if (plat.areas || (area_is_touched(vma) && area_is_shared(vma) && vma->backing &&
                           vma->backing->ops->dirty))
            /* Whole areas go: no 2 MiB page is cut, so this cannot fail. */
            (void)pages_remove(mm, vma, vma->start, vma->end);
}

static void mm_destroy(struct mm *mm)
{
    s64 anon = 0;

    spin_lock(&all_lock);
    list_remove(&mm->node);
    faults_before += mm->faults;
    spin_unlock(&all_lock);
    if (mm->tells || plat.areas)
        drop_areas(mm);
    plat.as_destroy(&mm->as, page_left, &anon);
    if (anon)
        page_account(offsetof(struct page_stats, anon), -anon);
    area_destroy_all(mm);
    kfree(mm);
}

void mm_put(struct mm *mm)
{
    may_sleep();
    if (__atomic_sub_fetch(&mm->refs, 1, __ATOMIC_ACQ_REL) == 0)
        mm_destroy(mm);
}

/** A reference unless the last one is gone. */
static bool try_get(struct mm *mm)
{
    u32 refs = __atomic_load_n(&mm->refs, __ATOMIC_RELAXED);

    while (refs)
        if (__atomic_compare_exchange_n(&mm->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED))
            return true;
    return false;
}

/* The next one after @mm that somebody still uses, with a reference. */
static struct mm *next_mm(struct mm *mm)
{
    spin_lock(&all_lock);
    struct list_head *at = mm ? mm->node.next : all.next;
    struct mm *found = NULL;
    for (; !found && at != &all; at = at->next)
        if (try_get(list_entry(at, struct mm, node)))
            found = list_entry(at, struct mm, node);
    spin_unlock(&all_lock);
    return found;
}

void mm_for_each(bool (*fn)(struct mm *mm, void *arg), void *arg)
{
    bool more = true;

    for (struct mm *next, *mm = next_mm(NULL); mm; mm = next) {
        more = more && fn(mm, arg);
        next = more ? next_mm(mm) : NULL;
        mm_put(mm);
    }
}

/* One that is being destroyed waits for the list's lock first: it is still whole. */
void mm_try_each(bool (*fn)(struct mm *mm, void *arg), void *arg)
{
    struct mm *mm;

    spin_lock(&all_lock);
    list_for_each(mm, &all, node) {
        if (!mm_trylock(&mm->lock))
            continue;
        bool more = fn(mm, arg);
        mm_unlock(&mm->lock);
        if (!more)
            break;
    }
    spin_unlock(&all_lock);
}

void mm_switch(struct mm *mm)
{
    struct cpu *cpu = this_cpu();

    if (cpu->mm == mm)
        return;
    plat.as_switch(mm ? &mm->as : NULL);
    cpu->mm = mm; /* after: who destroys the old one takes it away from us until then */
}

void mm_set_layout(struct mm *mm, u64 brk_start, u64 mmap_top)
{
    mm_lock(&mm->lock);
    mm->brk_start = mm->brk = ALIGN_UP(brk_start, PAGE_SIZE);
    mm->mmap_top = ALIGN_DOWN(mmap_top, PAGE_SIZE);
    mm_unlock(&mm->lock);
}

void mm_set_wx_policy(struct mm *mm, bool strict)
{
    mm->wx_strict = strict;
}

bool mm_wx_policy(const struct mm *mm)
{
    return mm->wx_strict;
}

void mm_set_stack_limit(struct mm *mm, u64 bytes)
{
    mm->stack_limit = bytes;
}

int mm_for_each_vma(struct mm *mm, int (*fn)(struct vma *vma, void *arg), void *arg)
{
    int result = 0;

    mm_lock(&mm->lock);
    for (struct vma *vma = area_find(mm, 0); vma && !result; vma = area_next(vma))
        result = fn(vma, arg);
    mm_unlock(&mm->lock);
    return result;
}

static void count_area(const struct vma *vma, struct mm_usage *out)
{
    u64 pages = (vma->end - vma->start) >> PAGE_SHIFT;

    if (vma->flags & MAP_GROWSDOWN)
        out->stack_pages += pages;
    else if (vma->backing && (vma->prot & PROT_EXEC))
        out->text_pages += pages;
    else if (vma->prot & PROT_WRITE)
        out->data_pages += area_is_shared(vma) ? 0 : pages;
    if (area_is_shared(vma))
        out->shared_pages += pages;
}

void mm_get_usage(struct mm *mm, struct mm_usage *out)
{
    *out = (struct mm_usage){0};
    mm_lock(&mm->lock);
    for (struct vma *vma = area_find(mm, 0); vma; vma = area_next(vma))
        count_area(vma, out);
    out->virtual_pages = mm->virtual_pages;
    out->resident_pages = mm->resident_pages;
    if (plat.areas) /* what it gave back the host alone knows */
        out->resident_pages =
            max(mm->resident_pages, min(plat.areas->peak() >> PAGE_SHIFT, mm->virtual_pages));
    out->peak_pages = max(mm->peak_pages, out->resident_pages);
    out->faults = __atomic_load_n(&mm->faults, __ATOMIC_RELAXED);
    out->table_pages = mm->as.nr_tables + 1;
    mm_unlock(&mm->lock);
}

u64 mm_faults(void)
{
    spin_lock(&all_lock);
    u64 sum = faults_before;
    const struct mm *each;
    list_for_each(each, &all, node) {
        sum += __atomic_load_n(&each->faults, __ATOMIC_RELAXED);
    }
    spin_unlock(&all_lock);
    return sum;
}

u64 mm_peak_pages(const struct mm *mm)
{
    return max(mm->peak_pages, mm->resident_pages);
}

u64 mm_resident_pages(const struct mm *mm)
{
    return mm->resident_pages;
}

struct vm_backing *mm_backing_at(struct mm *mm, u64 addr, u64 *start)
{
    mm_lock(&mm->lock);
    const struct vma *vma = area_find(mm, addr);
    struct vm_backing *backing = vma && vma->start <= addr ? vma->backing : NULL;
    if (backing) {
        backing->ops->get(backing);
        *start = vma->start;
    }
    mm_unlock(&mm->lock);
    return backing;
}

static u64 translate(struct mm *mm, u64 pc, bool show)
{
    u64 start;

    if (likely(!mm->stands_in))
        return pc;
    struct vm_backing *backing = mm_backing_at(mm, pc, &start);
    if (!backing)
        return pc;
    u64 (*fn)(struct vm_backing *, u64) = show ? backing->ops->shown_pc : backing->ops->real_pc;
    if (fn)
        pc = fn(backing, pc);
    backing->ops->put(backing);
    return pc;
}

u64 mm_shown_pc(struct mm *mm, u64 pc)
{
    return translate(mm, pc, true);
}

u64 mm_real_pc(struct mm *mm, u64 pc)
{
    return translate(mm, pc, false);
}

static __attribute__((noinline)) bool find_shared_page(struct mm *mm, u64 addr, paddr_t *pa)
{
    mm_lock(&mm->lock);
    const struct vma *vma = area_find(mm, addr);
    bool shared =
        vma && vma->start <= addr && vma->flags & MAP_SHARED && plat.query(&mm->as, addr, pa, NULL);
    mm_unlock(&mm->lock);
    return shared;
}

bool mm_shared_page(struct mm *mm, u64 addr, paddr_t *pa)
{
    return __atomic_load_n(&mm->shares, __ATOMIC_RELAXED) && find_shared_page(mm, addr, pa);
}
