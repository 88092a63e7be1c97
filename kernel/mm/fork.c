/* A second address space like the first, and a look into another one.  Private pages are shared
 * read-only until somebody writes (fault.c makes the copy); pages that a private mapping has of its
 * file, and shared memory, come again by faults. */
#include "mm/mm_priv.h"

#include "abi/errno.h"
#include "arch/page.h"
#include "lib/string.h"

bool mm_can_fork(void)
{
    return plat.copy && !plat.areas;
}

static void share_page(void *arg, u64 pa)
{
    struct page *page = page_of_phys(pa);
    s64 *anon = arg;

    if (!page)
        return;
    page_get(page);
    if (page->flags & PAGE_ANON)
        ++*anon;
}

static void split_page(void *arg, u64 pa)
{
    struct page *page = page_of_phys(pa);

    (void)arg;
    if (page && page->order)
        page_split(page);
}

/** Must the child see what is in the pages now, and can it not find it again by itself? */
static bool needs_pages(const struct vma *vma)
{
    if (area_is_shared(vma) || !area_is_touched(vma) || (vma->marks & VMA_WIPEFORK))
        return false;
    return !vma->backing || vma->copied;
}

/* Give the child a copy of the page at @va before anything is shared, where both would write to it
 * at once: that saves each a fault.  Nothing has to succeed. */
static void copy_early(struct mm *to, struct mm *from, u64 va)
{
    const struct vma *vma = area_find(from, va);
    u32 prot;
    u64 pa;

    va = ALIGN_DOWN(va, PAGE_SIZE);
    if (!vma || vma->start > va || vma->marks & VMA_DONTFORK || !needs_pages(vma) ||
        !plat.query(&from->as, va, &pa, &prot) || !(prot & PLAT_WRITE) || prot & PLAT_HUGE)
        return;
    const struct page *page = page_of_phys(pa);
    struct page *copy = page && page->flags & PAGE_ANON ? page_alloc(0, 0) : NULL;
    if (!copy)
        return;
    copy_page(page_to_virt(copy), page_to_virt(page));
    copy->flags = PAGE_ANON;
    if (plat.map_page(&to->as, va, page_to_phys(copy), plat_prot_of(vma->prot))) {
        copy->flags = 0;
        page_put(copy); /* twice the same page, or no memory */
        return;
    }
    to->resident_pages++;
    page_account(offsetof(struct page_stats, anon), 1);
}

struct forking {
    struct mm *from, *to;
    bool shared; /* pages of @from lost the right to write */
    bool leaves_out;
};

/* @own is the copy of @vma. */
static int fork_area(struct vma *vma, struct vma *own, void *arg)
{
    struct forking *fork = arg;
    struct mm *to = fork->to;

    if (vma->marks & VMA_DONTFORK) {
        fork->leaves_out = true;
        return 0;
    }
    if (!needs_pages(vma))
        return 0;
    s64 anon = 0;
    struct plat_copy copy = {
        .share = share_page,
        .split = split_page,
        .arg = &anon,
        /* faults find them again, but for a single page, the gate's, which is worth it */
        .leave_static =
            vma->backing && !(vma->prot & PROT_WRITE) && vma->end - vma->start > PAGE_SIZE,
    };
    int err = plat.copy(&to->as, &fork->from->as, vma->start, vma->end - vma->start, &copy);
    own->lowest = vma->lowest;
    own->copied = fork->shared = true;
    to->resident_pages += copy.copied;
    page_account(offsetof(struct page_stats, anon), anon);
    return err;
}

static void leave_out(struct mm *to)
{
    for (struct vma *next, *own = area_find(to, 0); own; own = next) {
        next = area_next(own);
        if (own->marks & VMA_DONTFORK)
            area_destroy(to, own);
    }
}

/* 0, 1: pages of @from lost the right to write, or -ENOMEM. */
static int fork_areas(struct mm *to, struct mm *from)
{
    struct forking fork = {.from = from, .to = to};

    to->brk_start = from->brk_start;
    to->brk = from->brk;
    to->mmap_top = from->mmap_top;
    to->stack_limit = from->stack_limit;
    to->wx_strict = from->wx_strict;
    to->tells = from->tells;
    to->shares = from->shares;
    to->stands_in = from->stands_in;
    int err = area_copy_all(to, from, fork_area, &fork);
    if (fork.shared && err)
        plat.as_flush(&from->as);
    if (fork.leaves_out && !err)
        leave_out(to);
    return err ? err : fork.shared;
}

struct mm *mm_fork(struct mm *from, const u64 *written, u32 nr_written)
{
    struct mm *to = mm_can_fork() ? mm_create() : NULL;

    if (!to)
        return NULL;
    mm_lock(&from->lock);
    for (u32 i = 0; i < nr_written; i++)
        copy_early(to, from, written[i]);
    int err = fork_areas(to, from);
    if (err > 0)
        plat.as_flush(&from->as);
    mm_unlock(&from->lock);
    if (err >= 0)
        return to;
    mm_put(to);
    return NULL;
}

/* ---- another's memory ---- */

/* May the kernel write there by the direct map?  Who is to hear of what changes in a file would
 * not. */
static bool may_write(const struct vma *vma)
{
    return area_allows(vma, ACCESS_WRITE) &&
           !(area_is_shared(vma) && vma->backing && vma->backing->ops->dirty);
}

/* Where the page of @va lies, faulted in. NULL: the program could not touch it so. */
static char *page_at(struct mm *mm, u64 va, bool write)
{
    struct vma *vma = area_find(mm, va);
    u64 base = ALIGN_DOWN(va, PAGE_SIZE), pa;
    u32 prot, wanted = write ? PLAT_READ | PLAT_WRITE : PLAT_READ;
    int code;

    if (!vma || vma->start > va || area_is_ground(vma) ||
        !(write ? may_write(vma) : area_allows(vma, ACCESS_READ)))
        return NULL;
    for (int tries = 0; tries < 2; tries++) {
        if (plat.query(&mm->as, va, &pa, &prot) && (prot & wanted) == wanted)
            return phys_to_virt(pa);
        if (fault_locked(mm, vma, base, write, true, &code))
            return NULL;
    }
    return NULL;
}

static size_t move(struct mm *mm, u64 addr, char *buf, size_t len, bool write)
{
    size_t done = 0;

    while (done < len && addr + done < USER_TOP) {
        u64 at = addr + done;
        size_t n = min(len - done, (size_t)(PAGE_SIZE - (at & PAGE_MASK)));
        mm_lock(&mm->lock);
        char *page = page_at(mm, at, write);
        if (page)
            memcpy(write ? page : buf + done, write ? buf + done : page, n);
        mm_unlock(&mm->lock);
        if (!page)
            break;
        done += n;
    }
    return done;
}

size_t mm_read(struct mm *mm, u64 addr, void *buf, size_t len)
{
    return move(mm, addr, buf, len, false);
}

size_t mm_write(struct mm *mm, u64 addr, const void *buf, size_t len)
{
    return move(mm, addr, (char *)(uintptr_t)buf, len, true);
}
