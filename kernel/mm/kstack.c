/* Kernel stacks.  Each has a slot in the vmap area, from its end down: one guard page that is never
 * mapped, then the stack.  Freed ones stay mapped, since threads come and go; when there are many,
 * most of them give their pages back together, as every CPU is asked to forget where they were. */
#include "core/panic.h"
#include "core/spinlock.h"
#include "mm/heap.h"
#include "mm/mm_priv.h"
#include "mm/page_priv.h"

enum {
    SLOT_SIZE = 4096 + KSTACK_SIZE,
    MAX_SLOTS = 32768,
    KEEP = 4,  /* mapped stacks kept for the next threads */
    MANY = 32, /* so many are too many */
    STACK_ORDER = 2,
    STACK_PAGES = 1 << STACK_ORDER,
};
static_assert(STACK_PAGES * 4096 == KSTACK_SIZE, "one block a stack");

/* A place for a stack; it is never freed. */
struct slot {
    u64 va;             /* [I] */
    struct page *pages; /* what is mapped there */
    struct slot *next;  /* [L] in one of the lists */
};

/* [L] all, under .lock. */
static struct {
    struct spinlock lock;
    u32 nr_used; /* slots below this one have been used */
    u32 nr_kept;
    struct slot *kept; /* mapped stacks of nobody */
    struct slot *free; /* slots without pages */
} pool;

static struct slot *slot_create(void)
{
    struct slot *slot = kmalloc(sizeof(*slot));
    u32 number;

    if (!slot)
        return NULL;
    spin_lock(&pool.lock);
    number = pool.nr_used < MAX_SLOTS ? ++pool.nr_used : 0;
    spin_unlock(&pool.lock);
    if (!number) {
        kfree(slot);
        return NULL;
    }
    slot->va = vmap_base + vmap_size - (u64)number * SLOT_SIZE + PAGE_SIZE;
    return slot;
}

static struct slot *list_take(struct slot **list)
{
    struct slot *slot = *list;

    if (slot)
        *list = slot->next;
    return slot;
}

static void list_give(struct slot **list, struct slot *slot)
{
    slot->next = *list;
    *list = slot;
}

static struct slot *kept_take(void)
{
    spin_lock(&pool.lock);
    struct slot *slot = list_take(&pool.kept);
    pool.nr_kept -= slot != NULL;
    spin_unlock(&pool.lock);
    return slot;
}

static struct slot *free_take(void)
{
    spin_lock(&pool.lock);
    struct slot *slot = list_take(&pool.free);
    spin_unlock(&pool.lock);
    return slot ? slot : slot_create();
}

static void free_give(struct slot *slot)
{
    spin_lock(&pool.lock);
    list_give(&pool.free, slot);
    spin_unlock(&pool.lock);
}

/* Which slot a stack is in: above it, where a page is written to anyway. */
static struct slot **note_of(void *stack)
{
    return (struct slot **)(void *)((char *)stack + KSTACK_SIZE - KSTACK_KEPT);
}

void *kstack_alloc(void)
{
    struct slot *slot = kept_take();
    if (slot)
        return (void *)(uintptr_t)slot->va;

    struct page *pages = page_alloc(STACK_ORDER, 0);
    if (!pages)
        return NULL;
    slot = free_take();
    if (!slot)
        goto free_pages;
    if (plat.kernel_map(slot->va, page_to_phys(pages), KSTACK_SIZE, PLAT_READ | PLAT_WRITE))
        goto free_slot;
    slot->pages = pages;
    *note_of((void *)(uintptr_t)slot->va) = slot;
    page_account(offsetof(struct page_stats, kernel_stacks), STACK_PAGES);
    return (void *)(uintptr_t)slot->va;

free_slot:
    free_give(slot);
free_pages:
    page_put(pages);
    return NULL;
}

/* Take kept stacks away until there are @left.  Returns how many pages that gave. */
static u64 give_back(u32 left)
{
    struct slot *slots[MANY];
    u64 starts[MANY];
    u32 n = 0;

    spin_lock(&pool.lock);
    for (; pool.nr_kept > left && n < MANY; pool.nr_kept--, n++) {
        slots[n] = list_take(&pool.kept);
        starts[n] = slots[n]->va;
    }
    spin_unlock(&pool.lock);
    if (!n)
        return 0;
    plat.kernel_unmap(starts, n, KSTACK_SIZE);
    for (u32 i = 0; i < n; i++) {
        page_put(slots[i]->pages);
        free_give(slots[i]);
    }
    page_account(offsetof(struct page_stats, kernel_stacks), -(s64)n * STACK_PAGES);
    return (u64)n * STACK_PAGES;
}

void kstack_free(void *stack)
{
    if (!stack)
        return;
    struct slot *slot = *note_of(stack);
    assert((u64)(uintptr_t)slot >= direct_map_base && slot->va == (u64)(uintptr_t)stack);

    spin_lock(&pool.lock);
    list_give(&pool.kept, slot);
    bool many = ++pool.nr_kept >= MANY;
    spin_unlock(&pool.lock);
    if (unlikely(many))
        (void)give_back(KEEP);
}

static u64 shrink(u64 want)
{
    (void)want; /* one shoot-down for one is as dear as for all */
    return give_back(0);
}

void kstack_init(void)
{
    static struct shrinker shrinker = {.shrink = shrink};

    page_register_shrinker(&shrinker);
}
