/* The page cache: a radix tree of 64-way nodes an inode, and one LRU over all reclaimable pages.
 * Nodes are made before the lock is taken, for an allocation may want pages from this very cache;
 * empty ones go with the cache.  The LRU is a clock: PAGE_REFERENCED gives a second chance. */
#include "vfs/page_cache.h"

#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/inode.h"

static struct spinlock lru_lock; /* after a cache's lock */
static struct list_head lru = LIST_INIT(lru);

void page_cache_init(struct page_cache *pc, struct inode *inode, bool reclaimable)
{
    *pc = (struct page_cache){.inode = inode, .reclaimable = reclaimable};
    spin_init(&pc->lock);
}

static inline bool fits(const struct page_cache *pc, u64 index)
{
    u32 bits = pc->height * RADIX_BITS;
    return bits >= 64 || !(index >> bits);
}

static inline u32 slot_of(u64 index, u32 level)
{
    return index >> level * RADIX_BITS & (RADIX_SLOTS - 1);
}

/* Where the page of @index hangs; NULL: a node on the way is missing.  Locked. */
static void **find_slot(struct page_cache *pc, u64 index)
{
    if (!fits(pc, index))
        return NULL;
    void **slot = &pc->root;
    for (u32 level = pc->height; level-- > 0;) {
        struct radix_node *node = *slot;
        if (!node)
            return NULL;
        slot = &node->slots[slot_of(index, level)];
    }
    return slot;
}

struct page *page_cache_find_deep(struct page_cache *pc, u64 index)
{
    spin_lock(&pc->lock);
    void **slot = find_slot(pc, index);
    struct page *page = slot ? *slot : NULL;
    if (page) {
        page_get(page);
        if (!(page->flags & PAGE_REFERENCED))
            __atomic_or_fetch(&page->flags, PAGE_REFERENCED, __ATOMIC_RELAXED);
    }
    spin_unlock(&pc->lock);
    return page;
}

/* One more node on the way to @index, taken from *@spare.  Locked. True if one was wanting. */
static bool add_node(struct page_cache *pc, u64 index, struct radix_node **spare)
{
    if (!fits(pc, index)) {
        struct radix_node *node = *spare;
        node->slots[0] = pc->root;
        pc->root = node;
        pc->height++;
        *spare = NULL;
        return true;
    }
    void **slot = &pc->root;
    for (u32 level = pc->height; level-- > 0;) {
        if (!*slot) {
            *slot = *spare;
            *spare = NULL;
            return true;
        }
        slot = &((struct radix_node *)*slot)->slots[slot_of(index, level)];
    }
    return false;
}

static void lru_add(struct page *page)
{
    spin_lock(&lru_lock);
    list_add_tail(&lru, &page->lru);
    spin_unlock(&lru_lock);
}

static void lru_remove(struct page *page)
{
    spin_lock(&lru_lock);
    list_remove(&page->lru);
    spin_unlock(&lru_lock);
}

int page_cache_insert(struct page_cache *pc, u64 index, struct page *page)
{
    struct radix_node *spare = NULL;
    int err = 0;

    spin_lock(&pc->lock);
    void **slot = find_slot(pc, index);
    while (unlikely(!slot)) {
        if (!spare) {
            spin_unlock(&pc->lock);
            spare = kzalloc(sizeof(*spare));
            if (!spare)
                return -ENOMEM;
            spin_lock(&pc->lock);
        } else {
            add_node(pc, index, &spare);
        }
        slot = find_slot(pc, index);
    }
    if (*slot) {
        err = -EEXIST;
    } else {
        page_get(page);
        page->owner = pc;
        page->index = index;
        list_init(&page->lru);
        __atomic_or_fetch(&page->flags, PAGE_CACHED, __ATOMIC_RELAXED);
        *slot = page;
        pc->nr_pages++;
        if (pc->reclaimable)
            lru_add(page);
    }
    spin_unlock(&pc->lock);
    kfree(spare);
    if (!err)
        page_account(offsetof(struct page_stats, page_cache), 1);
    return err;
}

/* The first page at or after *@index below @slot, whose subtree has @level levels and starts at
 * @base. */
static struct page *next_below(void *slot, u32 level, u64 base, u64 *index)
{
    if (!slot)
        return NULL;
    if (!level) {
        *index = base;
        return slot;
    }
    struct radix_node *node = slot;
    u32 shift = (level - 1) * RADIX_BITS;
    u32 first = *index > base ? (u32)min((*index - base) >> shift, (u64)RADIX_SLOTS) : 0;
    for (u32 i = first; i < RADIX_SLOTS; i++) {
        struct page *page = next_below(node->slots[i], level - 1, base + ((u64)i << shift), index);
        if (page)
            return page;
    }
    return NULL;
}

struct page *page_cache_next(struct page_cache *pc, u64 *index)
{
    struct page *page = NULL;

    spin_lock(&pc->lock);
    if (pc->height ? fits(pc, *index) : !*index)
        page = next_below(pc->root, pc->height, 0, index);
    if (page)
        page_get(page);
    spin_unlock(&pc->lock);
    return page;
}

static void drop_page(struct page *page, bool reclaimable)
{
    if (reclaimable)
        lru_remove(page);
    __atomic_and_fetch(&page->flags, (u16) ~(PAGE_CACHED | PAGE_DIRTY), __ATOMIC_RELAXED);
    page->owner = NULL;
    page_account(offsetof(struct page_stats, page_cache), -1);
    page_put(page);
}

u64 page_cache_remove(struct page_cache *pc, u64 first, u64 last)
{
    u64 removed = 0;

    for (u64 index = first; index <= last; index++) {
        struct page *page = page_cache_next(pc, &index);
        if (!page)
            break;
        if (index <= last) {
            spin_lock(&pc->lock);
            void **slot = find_slot(pc, index);
            bool ours = slot && *slot == page;
            if (ours) {
                *slot = NULL;
                pc->nr_pages--;
            }
            spin_unlock(&pc->lock);
            if (ours) {
                drop_page(page, pc->reclaimable);
                removed++;
            }
        }
        page_put(page);
        if (index == UINT64_MAX)
            break;
    }
    return removed;
}

static void free_nodes(void *slot, u32 level)
{
    if (!slot || !level)
        return;
    struct radix_node *node = slot;
    for (u32 i = 0; level > 1 && i < RADIX_SLOTS; i++)
        free_nodes(node->slots[i], level - 1);
    kfree(node);
}

void page_cache_fini(struct page_cache *pc)
{
    if (pc->nr_pages)
        page_cache_remove(pc, 0, UINT64_MAX);
    if (pc->reclaimable) { /* the shrinker may have taken the last page and still hold our lock */
        spin_lock(&lru_lock);
        spin_unlock(&lru_lock);
    }
    free_nodes(pc->root, pc->height);
    pc->root = NULL;
    pc->height = 0;
}

/* Take the page out of its cache if nobody but the cache holds it.  The LRU is locked, which keeps
 * the cache alive: a cache drops its pages from the LRU before it goes. */
static bool try_evict(struct page *page)
{
    struct page_cache *pc = page->owner;
    bool gone = false;

    if (!spin_trylock(&pc->lock)) /* the usual order is the other way round */
        return false;
    void **slot = find_slot(pc, page->index);
    if (slot && *slot == page && __atomic_load_n(&page->refs, __ATOMIC_ACQUIRE) == 1 &&
        !(page->flags & PAGE_DIRTY)) {
        *slot = NULL;
        pc->nr_pages--;
        list_remove(&page->lru);
        gone = true;
    }
    spin_unlock(&pc->lock);
    return gone;
}

static u64 shrink_pages(u64 want)
{
    struct list_head gone = LIST_INIT(gone), kept = LIST_INIT(kept);
    struct page *page, *next;
    u64 freed = 0;

    spin_lock(&lru_lock);
    list_for_each_safe(page, next, &lru, lru)
    {
        if (freed >= want)
            break;
        if (page->flags & PAGE_REFERENCED) {
            __atomic_and_fetch(&page->flags, (u16)~PAGE_REFERENCED, __ATOMIC_RELAXED);
            list_remove(&page->lru);
            list_add_tail(&kept, &page->lru);
        } else if (try_evict(page)) {
            list_add(&gone, &page->lru);
            freed++;
        }
    }
    list_for_each_safe(page, next, &kept, lru)
    {
        list_remove(&page->lru);
        list_add_tail(&lru, &page->lru);
    }
    spin_unlock(&lru_lock);
    list_for_each_safe(page, next, &gone, lru) drop_page(page, true);
    return freed;
}

void page_cache_start(void)
{
    static struct shrinker shrinker = {.shrink = shrink_pages};

    page_register_shrinker(&shrinker);
}
