/* The page cache: a radix tree of 64-way nodes an inode, and one LRU over all reclaimable pages.
 * Nodes are made before the lock is taken, for an allocation may want pages from this very cache;
 * empty ones go with the cache, so that who reads the tree without the lock finds nodes.  The LRU
 * is a clock: PAGE_REFERENCED gives a second chance. */
#include "vfs/page_cache.h"

#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/inode.h"
#include "vfs/writeback.h"

static struct spinlock lru_lock; /* after a cache's lock */
static struct list_head lru = LIST_INIT(lru);

void page_cache_init(struct page_cache *pc, struct inode *inode, bool reclaimable)
{
    *pc = (struct page_cache){.inode = inode, .reclaimable = reclaimable};
    spin_init(&pc->lock);
    list_init(&pc->dirty);
}

enum {
    RADIX_BITS = 6,
    RADIX_SLOTS = 1 << RADIX_BITS,
    LEVELS_MASK = 15, /* of page_cache.root; nodes are aligned to 16 */
};

struct radix_node {
    void *slots[RADIX_SLOTS];
};

static inline u32 levels_of(uintptr_t root)
{
    return root & LEVELS_MASK;
}

static inline struct radix_node *node_of(uintptr_t root)
{
    return (struct radix_node *)(root & ~(uintptr_t)LEVELS_MASK);
}

/* Has a tree of so many levels a place for @index?  Files are shorter than 2^64 bytes: 9 will do.
 */
static inline bool fits(u32 levels, u64 index)
{
    return !(index >> levels * RADIX_BITS);
}

static inline u32 slot_of(u64 index, u32 level)
{
    return index >> level * RADIX_BITS & (RADIX_SLOTS - 1);
}

/* Where the page of @index hangs; NULL: a node on the way is missing.  Slots of nodes are written
 * when what they point to is whole. */
static void **find_slot(const struct page_cache *pc, u64 index)
{
    uintptr_t root = __atomic_load_n(&pc->root, __ATOMIC_ACQUIRE);
    struct radix_node *node = node_of(root);
    u32 level = levels_of(root);

    if (!fits(level, index) || !level)
        return NULL;
    while (--level) {
        node = __atomic_load_n(&node->slots[slot_of(index, level)], __ATOMIC_ACQUIRE);
        if (!node)
            return NULL;
    }
    return &node->slots[slot_of(index, 0)];
}

struct page *page_cache_peek_deep(const struct page_cache *pc, u64 index)
{
    void **slot = find_slot(pc, index);

    return slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : NULL;
}

struct page *page_cache_find(struct page_cache *pc, u64 index)
{
    spin_lock(&pc->lock);
    struct page *page = page_cache_peek(pc, index);
    if (page) {
        page_get(page);
        if (unlikely(!(page->flags & PAGE_REFERENCED)))
            __atomic_or_fetch(&page->flags, PAGE_REFERENCED, __ATOMIC_RELAXED);
    }
    spin_unlock(&pc->lock);
    return page;
}

u32 page_cache_find_run(struct page_cache *pc, u64 index, u32 n, paddr_t *pa)
{
    struct page *first = NULL;
    u32 found = 0;

    spin_lock(&pc->lock);
    n = (u32)min((u64)n, RADIX_SLOTS - index % RADIX_SLOTS); /* those in one node */
    void **slot = find_slot(pc, index);
    for (; found < n; found++) {
        struct page *page = index + found ? slot ? slot[found] : NULL : pc->first;
        if (!page || (found && page != first + found))
            break;
        if (!found)
            first = page;
        page_get(page);
        if (unlikely(!(page->flags & PAGE_REFERENCED)))
            __atomic_or_fetch(&page->flags, PAGE_REFERENCED, __ATOMIC_RELAXED);
    }
    spin_unlock(&pc->lock);
    if (found)
        *pa = page_to_phys(first);
    return found;
}

/* One more node on the way to @index, which is not 0 and has no slot, from *@spare.  Locked. */
static void add_node(struct page_cache *pc, u64 index, struct radix_node **spare)
{
    struct radix_node *node = node_of(pc->root), *new = *spare;
    u32 level = levels_of(pc->root);

    *spare = NULL;
    if (!level || !fits(level, index)) {
        new->slots[0] = node;
        __atomic_store_n(&pc->root, (uintptr_t) new | (level + 1), __ATOMIC_RELEASE);
        return;
    }
    while (--level) {
        void **slot = &node->slots[slot_of(index, level)];
        if (!*slot) {
            __atomic_store_n(slot, new, __ATOMIC_RELEASE);
            return;
        }
        node = *slot;
    }
}

/* Put @page, or nothing, where it belongs; false where a node is missing.  Locked. */
static bool set_page(struct page_cache *pc, u64 index, struct page *page)
{
    void **slot = index ? find_slot(pc, index) : NULL;

    if (!index)
        __atomic_store_n(&pc->first, page, __ATOMIC_RELEASE);
    else if (slot)
        __atomic_store_n(slot, page, __ATOMIC_RELEASE);
    return !index || slot;
}

/* Out of the list of dirty ones.  Locked. */
static void clean_locked(struct page_cache *pc, struct page *page)
{
    list_remove(&page->lru);
    pc->nr_dirty--;
    writeback_count(-1);
    __atomic_and_fetch(&page->flags, (u16)~PAGE_DIRTY, __ATOMIC_RELAXED);
}

/* Take out the page at @index.  Locked; the caller lets go of the page after this. */
static void clear_page(struct page_cache *pc, u64 index)
{
    struct page *page = page_cache_peek(pc, index);

    set_page(pc, index, NULL);
    pc->nr_pages--;
    if (page->flags & PAGE_DIRTY)
        clean_locked(pc, page);
    pc->released += page->spare;
    page->spare = 0;
    __atomic_store_n(&pc->removals, pc->removals + 1, __ATOMIC_RELEASE);
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

/* Make the page the cache's, before anybody can find it there. */
static void adopt(struct page_cache *pc, u64 index, struct page *page)
{
    page_get(page);
    page->owner = pc;
    page->index = index;
    page->spare = 0;
    list_init(&page->lru);
    /* where nothing is reclaimed nobody needs to know which pages are used */
    u16 flags = pc->reclaimable ? PAGE_CACHED : PAGE_CACHED | PAGE_REFERENCED;
    __atomic_or_fetch(&page->flags, flags, __ATOMIC_RELAXED);
}

int page_cache_insert(struct page_cache *pc, u64 index, struct page *page)
{
    struct radix_node *spare = NULL;
    int err = 0;

    spin_lock(&pc->lock);
    while (index && unlikely(!find_slot(pc, index))) {
        if (spare) {
            add_node(pc, index, &spare);
            continue;
        }
        spin_unlock(&pc->lock);
        spare = kzalloc(sizeof(*spare));
        if (!spare)
            return -ENOMEM;
        spin_lock(&pc->lock);
    }
    if (page_cache_peek(pc, index)) {
        err = -EEXIST;
    } else {
        adopt(pc, index, page);
        set_page(pc, index, page);
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

/* The first page at or after *@index below @node, which is of @level (0: pages hang there) and
 * whose subtree starts at @base. */
static struct page *next_below(const struct radix_node *node, u32 level, u64 base, u64 *index)
{
    u32 shift = level * RADIX_BITS;
    u32 first = *index > base ? (u32)min((*index - base) >> shift, (u64)RADIX_SLOTS) : 0;

    for (u32 i = first; i < RADIX_SLOTS; i++) {
        u64 at = base + ((u64)i << shift);
        struct page *page = node->slots[i];
        if (page && level)
            page = next_below(node->slots[i], level - 1, at, index);
        else if (page)
            *index = at;
        if (page)
            return page;
    }
    return NULL;
}

struct page *page_cache_next(struct page_cache *pc, u64 *index)
{
    spin_lock(&pc->lock);
    u32 levels = levels_of(pc->root);
    struct page *page = *index ? NULL : pc->first;
    if (!page && levels && fits(levels, *index))
        page = next_below(node_of(pc->root), levels - 1, 0, index);
    if (page)
        page_get(page);
    spin_unlock(&pc->lock);
    return page;
}

static void drop_page(struct page *page, bool reclaimable)
{
    if (reclaimable)
        lru_remove(page);
    __atomic_and_fetch(&page->flags, (u16)~PAGE_CACHED, __ATOMIC_RELAXED);
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
            bool ours = page_cache_peek(pc, index) == page;
            if (ours)
                clear_page(pc, index);
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

bool page_cache_mark_dirty(struct page_cache *pc, struct page *page, u8 promise)
{
    bool took = false;

    spin_lock(&pc->lock);
    if (page->owner == pc) {
        took = promise && !page->spare;
        if (took)
            page->spare = promise;
        if (!(page->flags & PAGE_DIRTY)) {
            lru_remove(page);
            list_add_tail(&pc->dirty, &page->lru);
            pc->nr_dirty++;
            writeback_count(1);
            io_count_disk(0, PAGE_SIZE);
            __atomic_or_fetch(&page->flags, PAGE_DIRTY, __ATOMIC_RELAXED);
        }
    }
    spin_unlock(&pc->lock);
    return took;
}

/* Few are out of order: they became dirty one after the other. */
static void sort_by_index(struct page **pages, u32 n)
{
    for (u32 gap = n / 2; gap; gap = gap > 2 ? gap * 5 / 11 : gap / 2) {
        for (u32 i = gap; i < n; i++) {
            struct page *page = pages[i];
            u32 at = i;
            for (; at >= gap && pages[at - gap]->index > page->index; at -= gap)
                pages[at] = pages[at - gap];
            pages[at] = page;
        }
    }
}

u32 page_cache_take_dirty(struct page_cache *pc, u64 first, u64 last, struct page **out, u32 max)
{
    struct page *page, *next;
    u32 n = 0;

    spin_lock(&pc->lock);
    list_for_each_safe(page, next, &pc->dirty, lru)
    {
        if (n == max)
            break;
        if (page->index < first || page->index > last)
            continue;
        page_get(page);
        clean_locked(pc, page);
        lru_add(page);
        out[n++] = page;
    }
    spin_unlock(&pc->lock);
    sort_by_index(out, n);
    return n;
}

u64 page_cache_take_released(struct page_cache *pc)
{
    spin_lock(&pc->lock);
    u64 released = pc->released;
    pc->released = 0;
    spin_unlock(&pc->lock);
    return released;
}

static void free_nodes(struct radix_node *node, u32 level)
{
    for (u32 i = 0; level && i < RADIX_SLOTS; i++)
        if (node->slots[i])
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
    if (pc->root)
        free_nodes(node_of(pc->root), levels_of(pc->root) - 1);
    pc->root = 0;
}

/* Take the page out of its cache if nobody but the cache holds it.  The LRU is locked, which keeps
 * the cache alive: a cache drops its pages from the LRU before it goes. */
static bool try_evict(struct page *page)
{
    struct page_cache *pc = page->owner;
    bool gone = false;

    if (!spin_trylock(&pc->lock)) /* the usual order is the other way round */
        return false;
    if (page_cache_peek(pc, page->index) == page &&
        __atomic_load_n(&page->refs, __ATOMIC_ACQUIRE) == 1 && !(page->flags & PAGE_DIRTY)) {
        clear_page(pc, page->index);
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
