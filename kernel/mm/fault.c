/* Page faults: what makes areas into memory.  The common case, the first touch of anonymous memory,
 * is one page, cleared and mapped; everything else branches off it. */
#include "mm/mm_priv.h"

#include "abi/errno.h"
#include "arch/frame.h"
#include "arch/hooks.h"
#include "arch/page.h"
#include "core/percpu.h"

enum {
    SIGKILL_NR = 9,
    SIGBUS_NR = 7,
    SIGSEGV_NR = 11,
    SEGV_MAPERR_CODE = 1,
    SEGV_ACCERR_CODE = 2,
    BUS_ADRERR_CODE = 2,
    STACK_AHEAD = 256 * 1024,
    AROUND = 16,     /* pages mapped at once where they are in memory already */
    AHEAD_ORDER = 3, /* log2 of the pages that who writes one after the other is given ahead */
};

/* What an untouched page of anonymous memory reads as. */
static alignas(4096) u8 zero_page[4096];

bool (*mm_wait_for_memory)(void);

static paddr_t zero_page_pa(void)
{
    return image_to_phys(zero_page);
}

static void count_mapped(struct mm *mm, u64 pages)
{
    __atomic_fetch_add(&mm->resident_pages, pages, __ATOMIC_RELAXED);
}

static int sigbus(int *code)
{
    *code = BUS_ADRERR_CODE;
    return -SIGBUS_NR;
}

/* An error of a backing or of plat as the program shall see it. */
static int signal_of(int err, int *code)
{
    return err == -ENOMEM ? -SIGKILL_NR : sigbus(code);
}

/* Give @page, which we own, to the program at @va. */
static int map_anon(struct mm *mm, struct vma *vma, u64 va, struct page *page)
{
    page->flags = PAGE_ANON;
    int err = plat.map_page(&mm->as, va, page_to_phys(page), plat_prot_of(vma->prot));
    if (unlikely(err)) {
        page->flags = 0;
        page_put(page);
        return err;
    }
    page_account(offsetof(struct page_stats, anon), 1);
    count_mapped(mm, 1);
    return 0;
}

/* A 2 MiB page pays where the area has room for it and memory is plentiful. */
static bool wants_huge(const struct vma *vma, u64 va)
{
    u64 base = ALIGN_DOWN(va, HUGE_SIZE);

    if (base < vma->start || vma->end - base < HUGE_SIZE || base == vma->mm->not_huge ||
        (vma->marks & VMA_NOHUGE) || (vma->flags & MAP_GROWSDOWN))
        return false;
    u64 total = boot_info.ram_bytes >> PAGE_SHIFT;
    return total >= MIB(64) >> PAGE_SHIFT && page_free_estimate() > total / 4;
}

static bool map_huge(struct mm *mm, struct vma *vma, u64 va)
{
    u64 base = ALIGN_DOWN(va, HUGE_SIZE);

    mm->not_huge = base; /* do not look again if it fails */
    for (u64 at = base; at < base + HUGE_SIZE; at += PAGE_SIZE)
        if (plat.query(&mm->as, at, NULL, NULL))
            return false;
    struct page *page = page_alloc(HUGE_SHIFT - PAGE_SHIFT, PAGE_NORECLAIM);
    if (!page)
        return false;
    clear_pages(page_to_virt(page), HUGE_SIZE);
    page->flags = PAGE_ANON;
    if (plat.map(&mm->as, base, page_to_phys(page), HUGE_SIZE, plat_prot_of(vma->prot))) {
        page->flags = 0;
        page_put(page);
        return false;
    }
    page_account(offsetof(struct page_stats, anon), HUGE_SIZE >> PAGE_SHIFT);
    count_mapped(mm, HUGE_SIZE >> PAGE_SHIFT);
    return true;
}

/* A program that writes page after page is given the next ones too, where they lie in one block and
 * memory is plentiful: nothing here can fail the fault. */
static __attribute__((noinline)) void fault_ahead(struct mm *mm, struct vma *vma, u64 va)
{
    u64 len = PAGE_SIZE << AHEAD_ORDER, total = page_total();

    if (vma->end - va < len || va % HUGE_SIZE > HUGE_SIZE - len ||
        page_free_estimate() <= total / 4)
        return;
    struct page *block = page_alloc(AHEAD_ORDER, PAGE_ZERO | PAGE_NORECLAIM);
    if (!block)
        return;
    block->flags = PAGE_ANON;
    page_split(block);
    u32 nr = 1 << AHEAD_ORDER;
    u32 mapped = plat.map_around(&mm->as, va, page_to_phys(block), nr, plat_prot_of(vma->prot));
    for (u32 left = ~mapped & (BIT(1 << AHEAD_ORDER) - 1); unlikely(left); left &= left - 1) {
        struct page *page = block + __builtin_ctz(left); /* touched meanwhile by another CPU */
        page->flags = 0;
        page_put(page);
        nr--;
    }
    page_account(offsetof(struct page_stats, anon), nr);
    count_mapped(mm, nr);
    this_cpu()->next_touch = va + len;
}

static int fault_anon_small(struct mm *mm, struct vma *vma, u64 va, bool write)
{
    if (!write) {
        int err =
            plat.map_page(&mm->as, va, zero_page_pa(), plat_prot_of(vma->prot & ~(u32)PROT_WRITE));
        if (!err)
            count_mapped(mm, 1);
        return err;
    }
    struct page *page = page_alloc(0, PAGE_ZERO);
    int err = page ? map_anon(mm, vma, va, page) : -ENOMEM;
    if (unlikely(err))
        return err;
    u64 expected = this_cpu()->next_touch;
    this_cpu()->next_touch = va + PAGE_SIZE;
    if (va == expected)
        fault_ahead(mm, vma, va + PAGE_SIZE);
    return 0;
}

static int fault_anon(struct mm *mm, struct vma *vma, u64 va, bool write)
{
    if (area_is_ground(vma)) /* another CPU was changing it, or a new try will end in SIGBUS */
        return 0;
    if (unlikely(wants_huge(vma, va)) && map_huge(mm, vma, va))
        return 0;
    return fault_anon_small(mm, vma, va, write);
}

static void put_phys(paddr_t pa)
{
    struct page *page = page_of_phys(pa);

    if (page)
        page_put(page);
}

/* A copy of the page at @pa with the program as its owner, or NULL. */
static struct page *copy_of(paddr_t pa)
{
    if (pa == zero_page_pa())
        return page_alloc(0, PAGE_ZERO);
    struct page *page = page_alloc(0, 0);
    if (page)
        copy_page(page_to_virt(page), phys_to_virt(pa));
    return page;
}

/* Map what lies around @va in the file and is in memory anyway.  False: @va is not. */
static bool fault_around(struct mm *mm, struct vma *vma, u64 va, u32 prot)
{
    u64 window = ALIGN_DOWN(va, AROUND * PAGE_SIZE);
    u64 at = max(vma->start, window), end = min(vma->end, window + AROUND * PAGE_SIZE);
    bool found = false;

    while (at < end) {
        paddr_t pa;
        u32 n = vma->backing->ops->cached(vma->backing, area_index(vma, at),
                                          (u32)((end - at) >> PAGE_SHIFT), &pa);
        bool counted = n && (page_of_phys(pa) || page_of_phys(pa + (n - 1) * PAGE_SIZE));
        u32 how = counted ? prot : prot | PLAT_STATIC;
        u32 mapped = n ? plat.map_around(&mm->as, at, pa, n, how) : 0, fresh = n;
        for (u64 left = ~mapped & (BIT(n) - 1); left; left &= left - 1, fresh--)
            if (counted) /* mapped before */
                put_phys(pa + (u64)__builtin_ctzll(left) * PAGE_SIZE);
        count_mapped(mm, fresh);
        found |= va - at < n * PAGE_SIZE && mapped & BIT((va - at) / PAGE_SIZE);
        at += max(n, 1u) * PAGE_SIZE;
    }
    return found;
}

static int fault_file(struct mm *mm, struct vma *vma, u64 va, bool write)
{
    const struct vm_backing_ops *ops = vma->backing->ops;
    bool shared = area_is_shared(vma);
    u32 prot = plat_prot_of(vma->prot);
    paddr_t pa;

    if (!write && (!shared || ops->dirty))
        prot &= ~(u32)PLAT_WRITE; /* the first write shall be seen */
    if (!write && ops->cached && fault_around(mm, vma, va, prot))
        return 0;
    int err = ops->page(vma->backing, area_index(vma, va), shared && write, &pa);
    if (err)
        return err;
    if (write && !shared) {
        struct page *copy = copy_of(pa);
        put_phys(pa);
        return copy ? map_anon(mm, vma, va, copy) : -ENOMEM;
    }
    struct page *page = page_of_phys(pa);
    err = plat.map_page(&mm->as, va, pa, page ? prot : prot | PLAT_STATIC);
    if (err) {
        put_phys(pa);
        return err;
    }
    count_mapped(mm, 1);
    return 0;
}

/* A write to a shared page that was mapped for reading: its backing may move it. */
static int write_shared(struct mm *mm, struct vma *vma, u64 va, paddr_t old)
{
    u32 prot = plat_prot_of(vma->prot);
    paddr_t pa;

    int err = vma->backing->ops->page(vma->backing, area_index(vma, va), true, &pa);
    if (err)
        return err;
    err = plat.replace(&mm->as, va, pa, prot);
    put_phys(err ? pa : old); /* one reference too many either way */
    return err;
}

/* Has the page no owner but the mapping, leaving out devices that are at work on it (pin.h)? */
static bool is_sole(const struct page *page)
{
    u32 pins = __atomic_load_n(&page->spare, __ATOMIC_ACQUIRE);

    return page->flags & PAGE_ANON && __atomic_load_n(&page->refs, __ATOMIC_ACQUIRE) == 1 + pins;
}

/* @va, which shares @old of @page (NULL: it has none), gets a copy of its own. */
static int replace_by_copy(struct mm *mm, struct vma *vma, u64 va, paddr_t old,
                           const struct page *page)
{
    struct page *copy = copy_of(old);
    if (!copy)
        return -ENOMEM;
    copy->flags = PAGE_ANON;
    int err = plat.replace(&mm->as, va, page_to_phys(copy), plat_prot_of(vma->prot));
    if (err) {
        copy->flags = 0;
        page_put(copy);
        return err;
    }
    if (!page || !(page->flags & PAGE_ANON))
        page_account(offsetof(struct page_stats, anon), 1);
    put_phys(old);
    return 0;
}

/* A program that writes page after page of a private file has the next ones copied too, where they
 * are mapped already and memory is plentiful: nothing here can fail the fault. */
static void copy_ahead(struct mm *mm, struct vma *vma, u64 va)
{
    u64 end = min(vma->end, va + (PAGE_SIZE << AHEAD_ORDER));

    if (page_free_estimate() <= page_total() / 4)
        return;
    for (; va < end; va += PAGE_SIZE) {
        paddr_t pa;
        u32 prot;
        if (!plat.query(&mm->as, va, &pa, &prot) || !(prot & PLAT_READ) ||
            prot & (PLAT_WRITE | PLAT_HUGE))
            break;
        const struct page *page = page_of_phys(pa);
        if ((page && page->flags & PAGE_ANON) || replace_by_copy(mm, vma, va, pa, page))
            break;
    }
    this_cpu()->next_touch = va;
}

/* Copy on write, or the write at last of a page that nobody shares any more. */
static int write_private(struct mm *mm, struct vma *vma, u64 va, paddr_t old, u32 mapped)
{
    u64 size = mapped & PLAT_HUGE ? HUGE_SIZE : PAGE_SIZE;
    const struct page *page = page_of_phys(ALIGN_DOWN(old, size));

    if (page && is_sole(page))
        return plat.protect(&mm->as, ALIGN_DOWN(va, size), size, plat_prot_of(vma->prot));
    int err = replace_by_copy(mm, vma, va, old, page);
    if (unlikely(err))
        return err;
    u64 expected = this_cpu()->next_touch;
    this_cpu()->next_touch = va + PAGE_SIZE;
    if (va == expected && vma->backing)
        copy_ahead(mm, vma, va + PAGE_SIZE);
    return 0;
}

/* The page is there, but not as the access needs it; or it is, and another CPU was quicker. */
static int fault_present(struct mm *mm, struct vma *vma, u64 va, bool write)
{
    paddr_t pa;
    u32 prot;

    if (!plat.query(&mm->as, va, &pa, &prot))
        return -EAGAIN;
    if (!(prot & PLAT_READ)) { /* an mprotect that ran out of memory half way */
        u64 size = prot & PLAT_HUGE ? HUGE_SIZE : PAGE_SIZE;
        return plat.protect(&mm->as, ALIGN_DOWN(va, size), size,
                            plat_prot_of(vma->prot & ~(u32)PROT_WRITE));
    }
    if (!write || (prot & PLAT_WRITE))
        return 0;
    return area_is_shared(vma) ? write_shared(mm, vma, va, pa)
                               : write_private(mm, vma, va, pa, prot);
}

int fault_locked(struct mm *mm, struct vma *vma, u64 va, bool write, bool present, int *code)
{
    int err = present ? fault_present(mm, vma, va, write) : -EAGAIN;

    area_note_page(vma, vma->backing ? 0 : ALIGN_DOWN(va, HUGE_SIZE)); /* or those around it */
    if (write)
        vma->copied = true;
    if (err == -EAGAIN)
        err = vma->backing ? fault_file(mm, vma, va, write) : fault_anon(mm, vma, va, write);
    if (err == -EEXIST)
        err = fault_present(mm, vma, va, write);
    return likely(!err) ? 0 : signal_of(err, code);
}

bool area_allows(const struct vma *vma, enum fault_access access)
{
    if (access == ACCESS_WRITE)
        return vma->prot & PROT_WRITE;
    if (access == ACCESS_EXEC)
        return vma->prot & PROT_EXEC;
    return vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Where a stack that needs to reach @start might as well reach, within the same bounds. */
static u64 grow_ahead(const struct mm *mm, const struct vma *vma, const struct vma *below,
                      u64 start)
{
    u64 floor = below ? below->end + STACK_GUARD : USER_BASE;
    u64 limit = vma->end - min(ALIGN_DOWN(mm->stack_limit, PAGE_SIZE), vma->end);
    u64 ahead = start - min(start, (u64)STACK_AHEAD);

    ahead = max(ahead, floor);
    ahead = max(ahead, limit);
    return min(start, ahead);
}

/* Make a stack reach down to @addr, if that is what the program may expect. */
static bool grow_stack(struct mm *mm, struct vma *vma, u64 addr)
{
    u64 start = ALIGN_DOWN(addr, PAGE_SIZE);
    const struct vma *below = area_prev(vma);

    if (!(vma->flags & MAP_GROWSDOWN) || start < USER_BASE || vma->end - start > mm->stack_limit)
        return false;
    if (below && start - below->end < STACK_GUARD && (below->prot || start < below->end))
        return false;
    u64 old = vma->start;
    if (plat.areas) /* faults are dear there */
        start = grow_ahead(mm, vma, below, start);
    area_resize(mm, vma, start, vma->end);
    return !ground_map(mm, vma, start, old);
}

static int fault_area(struct mm *mm, u64 addr, enum fault_access access, bool present, int *code)
{
    struct vma *vma = area_find(mm, addr);

    *code = SEGV_MAPERR_CODE;
    if (!vma || (vma->start > addr && !grow_stack(mm, vma, addr)))
        return -SIGSEGV_NR;
    *code = SEGV_ACCERR_CODE;
    if (!area_allows(vma, access))
        return -SIGSEGV_NR;
    return fault_locked(mm, vma, ALIGN_DOWN(addr, PAGE_SIZE), access == ACCESS_WRITE, present,
                        code);
}

/* Can this fault be resolved side by side with others?  It maps a page where none is, and whoever
 * is quicker with the same page is as right.  A 2 MiB page is mapped by one alone: between the look
 * at what is there and the mapping nobody may put a small one. */
static bool may_share(const struct vma *vma, u64 va, bool write)
{
    if (vma->backing)
        return !write || !area_is_shared(vma);
    return !area_is_ground(vma) && !wants_huge(vma, va);
}

/* The common faults; -EAGAIN: to be looked at by one alone. */
static int fault_side_by_side(struct mm *mm, u64 addr, enum fault_access access, int *code)
{
    struct vma *vma = area_find(mm, addr);
    u64 va = ALIGN_DOWN(addr, PAGE_SIZE);
    bool write = access == ACCESS_WRITE;

    if (!vma || vma->start > addr || !area_allows(vma, access) || !may_share(vma, va, write))
        return -EAGAIN;
    area_note_page(vma, vma->backing ? 0 : va);
    if (write)
        vma->copied = true;
    int err = vma->backing ? fault_file(mm, vma, va, write) : fault_anon_small(mm, vma, va, write);
    if (likely(!err) || err == -EEXIST) /* what is there now will do, or fault again */
        return 0;
    return err == -EAGAIN ? sigbus(code) : signal_of(err, code);
}

int mm_fault(struct mm *mm, u64 addr, enum fault_access access, int *code)
{
    mm_lock(&mm->lock);
    int result = fault_area(mm, addr, access, true, code);
    mm_unlock(&mm->lock);
    return result;
}

static enum mm_rescue (*kill_somebody)(void);

void mm_set_killer(enum mm_rescue (*kill)(void))
{
    kill_somebody = kill;
}

/* There is no page to be had.  Where another process can be ended the fault comes again. */
static enum mm_rescue out_of_memory(struct mm *mm)
{
    enum mm_rescue rescue = kill_somebody ? kill_somebody() : MM_HOPELESS;

    if (rescue != MM_HOPELESS)
        return rescue;
    fatal_error("out of memory: the program holds %llu of %llu KiB",
                (unsigned long long)(mm->resident_pages << (PAGE_SHIFT - 10)),
                (unsigned long long)(boot_info.ram_bytes >> 10));
}

int page_fault(struct trap_frame *frame, u64 addr, u32 error)
{
    struct mm *mm = mm_current();
    int code = SEGV_MAPERR_CODE;
    enum fault_access access = error & FAULT_FETCH   ? ACCESS_EXEC
                               : error & FAULT_WRITE ? ACCESS_WRITE
                                                     : ACCESS_READ;

    (void)frame;
    if (unlikely(!mm || addr >= USER_TOP))
        return SIGSEGV_NR | code << 8;
    __atomic_fetch_add(&mm->faults, 1, __ATOMIC_RELAXED);
    int result = -EAGAIN;
    if (likely(!(error & FAULT_PRESENT))) {
        mm_lock_shared(&mm->lock);
        result = fault_side_by_side(mm, addr, access, &code);
        mm_unlock_shared(&mm->lock);
    }
    if (unlikely(result == -EAGAIN)) {
        mm_lock(&mm->lock);
        result = fault_area(mm, addr, access, error & FAULT_PRESENT, &code);
        mm_unlock(&mm->lock);
    }
    if (likely(!result))
        return 0;
    if (result == -SIGKILL_NR && (mm_reclaim() || (mm_wait_for_memory && mm_wait_for_memory())))
        return 0; /* it faults again */
    if (result == -SIGKILL_NR && out_of_memory(mm) == MM_TRY_AGAIN)
        return 0;
    return -result | code << 8;
}
