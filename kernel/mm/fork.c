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
    u64 *anon = arg;

    anon[0]++;
    if (!page)
        return;
    page_get(page);
    if (page->flags & PAGE_ANON)
        anon[1]++;
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
    if (area_is_shared(vma) || !vma->touched || (vma->marks & VMA_WIPEFORK))
        return false;
    return !vma->backing || vma->copied;
}

/* @own is the copy of @vma. */
static int fork_area(struct mm *to, struct mm *from, struct vma *vma, struct vma *own, bool *shared)
{
    if (!needs_pages(vma))
        return 0;
    u64 counts[2] = {0}; /* all pages, anonymous ones */
    const struct plat_copy copy = {share_page, split_page, counts};
    own->touched = own->copied = *shared = true;
    int err = plat.copy(&to->as, &from->as, vma->start, vma->end - vma->start, &copy);
    to->resident_pages += counts[0];
    page_account(offsetof(struct page_stats, anon), (s64)counts[1]);
    return err;
}

static int fork_areas(struct mm *to, struct mm *from)
{
    bool shared = false;
    int err = area_copy_all(to, from);

    to->brk_start = from->brk_start;
    to->brk = from->brk;
    to->mmap_top = from->mmap_top;
    to->stack_limit = from->stack_limit;
    to->wx_strict = from->wx_strict;
    to->stands_in = from->stands_in;
    struct vma *vma = area_find(from, 0), *own = err ? NULL : area_find(to, 0);
    for (struct vma *next; own && !err; vma = area_next(vma), own = next) {
        next = area_next(own);
        if (vma->marks & VMA_DONTFORK)
            area_destroy(to, own);
        else
            err = fork_area(to, from, vma, own, &shared);
    }
    if (shared)
        plat.as_flush(&from->as);
    return err;
}

struct mm *mm_fork(struct mm *from)
{
    struct mm *to = mm_can_fork() ? mm_create() : NULL;

    if (!to)
        return NULL;
    mm_lock(&from->lock);
    int err = fork_areas(to, from);
    mm_unlock(&from->lock);
    if (!err)
        return to;
    mm_put(to);
    return NULL;
}

/* ---- another's memory ---- */

/* Where the page of @va lies, faulted in. NULL: the program could not touch it so. */
static char *page_at(struct mm *mm, u64 va, bool write)
{
    struct vma *vma = area_find(mm, va);
    u64 base = ALIGN_DOWN(va, PAGE_SIZE), pa;
    u32 prot;
    int code;

    if (!vma || vma->start > va || !area_allows(vma, write ? ACCESS_WRITE : ACCESS_READ))
        return NULL;
    for (int tries = 0; tries < 2; tries++) {
        if (plat.query(&mm->as, va, &pa, &prot) && (prot & PLAT_READ) &&
            (!write || (prot & PLAT_WRITE)))
            return phys_to_virt(pa);
        if (fault_locked(mm, vma, base, write, true, &code))
            return NULL;
    }
    return NULL;
}

static size_t copy_other(struct mm *mm, u64 addr, char *buf, size_t len, bool write)
{
    size_t done = 0;

    while (done < len && addr + done < USER_TOP) {
        u64 at = addr + done;
        size_t n = min(len - done, (size_t)(PAGE_SIZE - (at & PAGE_MASK)));
        mm_lock(&mm->lock);
        char *page = page_at(mm, at, write);
        if (page && write)
            memcpy(page, buf + done, n);
        else if (page)
            memcpy(buf + done, page, n);
        mm_unlock(&mm->lock);
        if (!page)
            break;
        done += n;
    }
    return done;
}

size_t mm_read(struct mm *mm, u64 addr, void *buf, size_t len)
{
    return copy_other(mm, addr, buf, len, false);
}

size_t mm_write(struct mm *mm, u64 addr, const void *buf, size_t len)
{
    return copy_other(mm, addr, (char *)(uintptr_t)buf, len, true);
}
