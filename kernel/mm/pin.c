#include "mm/pin.h"

#include "core/percpu.h"
#include "mm/mm_priv.h"

enum { PINS_MAX = UINT8_MAX };

/* The page that counts for @pa, which lies in a leaf with @prot; NULL: none that a device may have
 * (a part of a block has no count of its own), or @write and it is not the program's to change. */
static struct page *owner_of(u64 pa, u32 prot, bool write)
{
    struct page *page = page_of_phys(prot & PLAT_HUGE ? ALIGN_DOWN(pa, HUGE_SIZE) : pa);

    if (!page || !(prot & PLAT_READ) || !__atomic_load_n(&page->refs, __ATOMIC_RELAXED))
        return NULL;
    if (prot & PLAT_HUGE && !page->order) /* a cut that failed half way */
        return NULL;
    if (write && (!(prot & PLAT_WRITE) || !(page->flags & PAGE_ANON)))
        return NULL;
    return page;
}

/* False: too many have it. */
static bool hold(struct page *page)
{
    if (page->flags & PAGE_ANON) {
        if (__atomic_load_n(&page->spare, __ATOMIC_RELAXED) > PINS_MAX / 2)
            return false;
        __atomic_fetch_add(&page->spare, 1, __ATOMIC_RELAXED);
    }
    page_get(page);
    return true;
}

static void let_go(struct page *page)
{
    if (page->flags & PAGE_ANON)
        __atomic_fetch_sub(&page->spare, 1, __ATOMIC_RELEASE);
    page_put(page);
}

/* Where @pins can take more: behind the last piece, if that is what is wanted. */
static bool add(struct mm_pins *pins, u8 *at, u32 len, bool huge)
{
    struct mm_piece *last = pins->nr ? &pins->pieces[pins->nr - 1] : NULL;

    if (last && last->at + last->len == at && !huge && !last->huge) {
        last->len += len;
        return true;
    }
    if (pins->nr == MM_PINS)
        return false;
    pins->pieces[pins->nr++] = (struct mm_piece){at, len, huge};
    return true;
}

/* What is there from @addr on. @mm is locked, so that nobody takes it away meanwhile. */
static u64 pin_present(struct mm *mm, u64 addr, u64 len, bool write, struct mm_pins *pins)
{
    u64 done = 0, pa;
    u32 prot;

    while (done < len && plat.query(&mm->as, addr + done, &pa, &prot)) {
        u64 size = prot & PLAT_HUGE ? HUGE_SIZE : PAGE_SIZE;
        u32 n = (u32)min(len - done, size - ((addr + done) & (size - 1)));
        struct page *page = owner_of(pa, prot, write);
        if (!page || !hold(page))
            break;
        if (!add(pins, phys_to_virt(pa), n, prot & PLAT_HUGE)) {
            let_go(page);
            break;
        }
        done += n;
    }
    return done;
}

u64 mm_pin(uaddr_t addr, u64 len, bool write, struct mm_pins *pins)
{
    struct mm *mm = mm_current();
    u64 done = 0, faulted = 0;
    int code;

    if (!mm || plat.areas) /* there the program's memory is the host's */
        return 0;
    for (;;) {
        mm_lock_shared(&mm->lock);
        done += pin_present(mm, addr + done, len - done, write, pins);
        mm_unlock_shared(&mm->lock);
        u64 va = addr + done;
        if (done == len || pins->nr == MM_PINS || faulted == va ||
            mm_fault(mm, va, write ? ACCESS_WRITE : ACCESS_READ, &code))
            return done;
        faulted = va; /* once */
    }
}

/* Many single ones, or a 2 MiB page, which may have become single ones: each of them was held then,
 * by page_split(). */
static void unpin(const struct mm_piece *piece)
{
    u64 first = virt_to_phys(piece->at), end = first + piece->len;

    if (!piece->huge) {
        for (u64 pa = ALIGN_DOWN(first, PAGE_SIZE); pa < end; pa += PAGE_SIZE)
            let_go(page_of_phys(pa));
        return;
    }
    struct page *page = page_of_phys(ALIGN_DOWN(first, HUGE_SIZE));
    u64 nr = page->order ? 1 : HUGE_SIZE >> PAGE_SHIFT;
    for (u64 i = 0; i < nr; i++)
        let_go(page + i);
}

void mm_unpin(struct mm_pins *pins)
{
    struct mm *mm = mm_current();
    bool huge = false;

    for (u32 i = 0; i < pins->nr; i++)
        huge |= pins->pieces[i].huge;
    if (huge) /* nobody cuts one meanwhile */
        mm_lock_shared(&mm->lock);
    for (u32 i = 0; i < pins->nr; i++)
        unpin(&pins->pieces[i]);
    if (huge)
        mm_unlock_shared(&mm->lock);
    pins->nr = 0;
}
