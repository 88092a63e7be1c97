/* Kernel stacks.  Each has a slot in the vmap area, from its end down: one guard page that is never
 * mapped, then the stack.  A few freed ones stay mapped, since threads come and go; the rest give
 * their pages back.
 */
#include "core/panic.h"
#include "core/spinlock.h"
#include "mm/heap.h"
#include "mm/page.h"

enum {
    SLOT_SIZE = 4096 + KSTACK_SIZE,
    MAX_SLOTS = 32768,
    KEEP = 4, /* mapped stacks kept for the next thread */
    STACK_ORDER = 2,
    STACK_PAGES = 1 << STACK_ORDER,
};
static_assert(STACK_PAGES * 4096 == KSTACK_SIZE, "one block a stack");

/* [L] all, under .lock. */
static struct {
    struct spinlock lock;
    u32 nr_used; /* slots below this one have been used */
    u32 nr_kept;
    void *kept[KEEP];
    void *free_slot; /* struct free_slot of a slot without pages, linked */
} pool;

/* Where a free slot is remembered: it has no pages of its own. */
struct free_slot {
    struct free_slot *next;
    u64 va;
};

/* The address of a slot's stack, 0: none left. */
static u64 slot_take(void)
{
    struct free_slot *slot;
    u64 va = 0;

    spin_lock(&pool.lock);
    slot = pool.free_slot;
    if (slot)
        pool.free_slot = slot->next;
    else if (pool.nr_used < MAX_SLOTS)
        va = vmap_base + vmap_size - (u64)++pool.nr_used * SLOT_SIZE + PAGE_SIZE;
    spin_unlock(&pool.lock);
    if (slot) {
        va = slot->va;
        kfree(slot);
    }
    return va;
}

/* Without memory to remember it, the slot's addresses are lost, not its pages. */
static void slot_give(u64 va)
{
    struct free_slot *slot = kmalloc(sizeof(*slot));

    if (!slot)
        return;
    slot->va = va;
    spin_lock(&pool.lock);
    slot->next = pool.free_slot;
    pool.free_slot = slot;
    spin_unlock(&pool.lock);
}

static void *kept_take(void)
{
    void *stack = NULL;

    spin_lock(&pool.lock);
    if (pool.nr_kept)
        stack = pool.kept[--pool.nr_kept];
    spin_unlock(&pool.lock);
    return stack;
}

/* Which pages are behind a stack: above it, where a page is written to anyway. */
static struct page **note_of(void *stack)
{
    return (struct page **)(void *)((char *)stack + KSTACK_SIZE - KSTACK_KEPT);
}

void *kstack_alloc(void)
{
    void *stack = kept_take();
    if (stack)
        return stack;

    struct page *pages = page_alloc(STACK_ORDER, 0);
    if (!pages)
        return NULL;
    u64 va = slot_take();
    if (!va)
        goto free_pages;
    if (plat.kernel_map(va, page_to_phys(pages), KSTACK_SIZE, PLAT_READ | PLAT_WRITE))
        goto free_slot;
    stack = (void *)(uintptr_t)va;
    *note_of(stack) = pages;
    pages->owner = stack;
    page_account(offsetof(struct page_stats, kernel_stacks), STACK_PAGES);
    return stack;

free_slot:
    slot_give(va);
free_pages:
    page_put(pages);
    return NULL;
}

void kstack_free(void *stack)
{
    bool kept = false;

    if (!stack)
        return;
    struct page *pages = *note_of(stack);
    assert((u64)(uintptr_t)pages >= direct_map_base && pages->owner == stack);

    spin_lock(&pool.lock);
    if (pool.nr_kept < KEEP) {
        pool.kept[pool.nr_kept++] = stack;
        kept = true;
    }
    spin_unlock(&pool.lock);
    if (kept)
        return;
    plat.kernel_unmap((u64)(uintptr_t)stack, KSTACK_SIZE);
    slot_give((u64)(uintptr_t)stack);
    page_account(offsetof(struct page_stats, kernel_stacks), -STACK_PAGES);
    pages->owner = NULL;
    page_put(pages);
}
