/* The page allocator.  Memory lies in regions; each has a frontier, below which pages are known and
 * above which nothing was ever touched.  Free blocks of 2^order pages hang in lists; a block merges
 * with its buddy.  Only the first page of a block has a meaningful struct page, so that passing the
 * frontier costs one write a block.  Single pages go through a stack of each CPU. */
#include "mm/page.h"

#include "abi/errno.h"
#include "arch/page.h"
#include "core/panic.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "lib/string.h"
#include "mm/page_priv.h"

enum {
    MAX_REGIONS = 68,
    BATCH = 16,
    LEAST_FILES = 64,
    NEAR_PAGES = KIB(512), /* at least so much memory lies before the array */
    NEAR_ARRAY = KIB(64),  /* the array's part that tells of it */
};

struct region {
    u64 first, end; /* [I] page frame numbers */
    u64 frontier;   /* [L] frames from here to end were never handed out */
};

/* [I] after start, [L] under .lock. */
static struct {
    struct spinlock lock;              /* a leaf */
    u32 nr_regions;                    /* [I] the largest region first */
    u32 growing;                       /* [L] regions before this one have no frontier left */
    u64 nr_free;                       /* [L] pages in the lists */
    u64 nr_untouched;                  /* [L] pages above the frontiers */
    u64 nr_blocks[PAGE_MAX_ORDER + 1]; /* [L] in each list; read without */
    u64 total;                         /* [I] */
    struct list_head free[PAGE_MAX_ORDER + 1]; /* [L] */
    struct region regions[MAX_REGIONS];
} zone;

struct page *page_map; /* only frames of regions exist */
u64 page_main_first, page_main_count;

static struct list_head shrinkers = LIST_INIT(shrinkers);

static u64 frame_of(const struct page *page)
{
    return (u64)(page - page_map);
}

static struct region *region_of(u64 frame)
{
    struct region *region = zone.regions;

    for (u32 i = 0; i < zone.nr_regions; i++, region++)
        if (frame - region->first < region->end - region->first)
            return region;
    return NULL;
}

struct page *page_of_other_frame(u64 frame)
{
    /* Most of them are those of an initrd. */
    if (frame - (boot_info.initrd_pa >> PAGE_SHIFT) < boot_info.initrd_len >> PAGE_SHIFT)
        return NULL;
    return region_of(frame) ? page_map + frame : NULL;
}

struct page *virt_to_page(const void *virt)
{
    return page_map + (virt_to_phys(virt) >> PAGE_SHIFT);
}

static void list_block(struct page *page, unsigned order)
{
    page->refs = 0;
    page->flags = PAGE_FREE;
    page->order = (u8)order;
    list_add(&zone.free[order], &page->lru);
    zone.nr_free += 1UL << order;
    zone.nr_blocks[order]++;
}

static void unlist_block(struct page *page)
{
    list_remove(&page->lru);
    zone.nr_free -= 1UL << page->order;
    zone.nr_blocks[page->order]--;
    page->flags = 0;
}

/* The largest block that may begin at @frame and ends by @end. */
static unsigned largest_order(u64 frame, u64 end)
{
    unsigned order = PAGE_MAX_ORDER;

    while ((frame & ((1UL << order) - 1)) || frame + (1UL << order) > end)
        order--;
    return order;
}

/* Move a frontier by one block; returns its order. */
static unsigned grow_region(struct region *region)
{
    unsigned got = largest_order(region->frontier, region->end);

    list_block(page_map + region->frontier, got);
    region->frontier += 1UL << got;
    zone.nr_untouched -= 1UL << got;
    return got;
}

/* Move frontiers until a block of @order is listed; false where memory is used up. */
static bool grow_locked(unsigned order)
{
    while (zone.growing < zone.nr_regions) {
        struct region *region = &zone.regions[zone.growing];
        if (region->frontier == region->end) {
            zone.growing++;
            continue;
        }
        if (grow_region(region) >= order)
            return true;
    }
    return false;
}

static struct page *take_locked(unsigned order)
{
    assert(spin_held(&zone.lock));
    for (;;) {
        unsigned from = order;
        while (from <= PAGE_MAX_ORDER && list_empty(&zone.free[from]))
            from++;
        if (from <= PAGE_MAX_ORDER) {
            struct page *page = list_first(&zone.free[from], struct page, lru);
            unlist_block(page);
            while (from-- > order)
                list_block(page + (1UL << from), from);
            page->order = (u8)order;
            return page;
        }
        if (!grow_locked(order))
            return NULL;
    }
}

/* The buddy of @frame if it is free as a whole.  A frame below its region's frontier that begins a
 * possible buddy has a meaningful struct page: blocks are naturally aligned, and the first page of
 * each half is written when a block is split. */
static struct page *free_buddy(u64 frame, unsigned order, const struct region *region)
{
    u64 buddy = frame ^ (1UL << order);

    if (buddy < region->first || buddy >= region->frontier)
        return NULL;
    struct page *page = page_map + buddy;
    return (page->flags & PAGE_FREE) && page->order == order ? page : NULL;
}

static void give_locked(struct page *page, unsigned order)
{
    assert(spin_held(&zone.lock));
    u64 frame = frame_of(page);
    const struct region *region = region_of(frame);

    while (order < PAGE_MAX_ORDER) {
        struct page *buddy = free_buddy(frame, order, region);
        if (!buddy)
            break;
        unlist_block(buddy);
        frame &= ~(1UL << order);
        order++;
    }
    list_block(page_map + frame, order);
}

/* Blocks that are reported go to the end of their list, and any others to its head. */
struct page *page_take_unreported(unsigned order)
{
    struct page *page = NULL;

    spin_lock(&zone.lock);
    for (unsigned from = PAGE_MAX_ORDER; from >= order && !page; from--) {
        if (list_empty(&zone.free[from]))
            continue;
        page = list_first(&zone.free[from], struct page, lru);
        if (page->flags & PAGE_REPORTED) {
            page = NULL;
            continue;
        }
        unlist_block(page);
        page->refs = 1;
    }
    spin_unlock(&zone.lock);
    return page;
}

/* One that merges is another block, and reported once more. */
void page_give_reported(struct page *page)
{
    unsigned order = page->order;

    page->refs = 0;
    page->flags = 0;
    spin_lock(&zone.lock);
    give_locked(page, order);
    if (page->flags & PAGE_FREE && page->order == order) {
        page->flags |= PAGE_REPORTED;
        list_remove(&page->lru);
        list_add_tail(&zone.free[order], &page->lru);
    }
    spin_unlock(&zone.lock);
}

/* Pages of a CPU beyond @keep go back to the blocks. */
static void drain(struct page_cpu *lists, u32 keep)
{
    if (lists->count <= keep)
        return;
    spin_lock(&zone.lock);
    while (lists->count > keep)
        give_locked(lists->pages[--lists->count], 0);
    spin_unlock(&zone.lock);
}

/* Clean pages are lent to who does not care, as many as there is room for. */
static bool use_clean(struct page_cpu *lists)
{
    while (lists->nr_clean && lists->count < PAGE_CPU_MAX)
        lists->pages[lists->count++] = lists->clean[--lists->nr_clean];
    return lists->count > 0;
}

/* A batch where memory is plentiful; the last pages one by one. */
static bool refill_once(struct page_cpu *lists)
{
    spin_lock(&zone.lock);
    u64 left = zone.nr_free + zone.nr_untouched;
    u32 have = lists->count, want = max(left > 64 * BATCH ? (u32)BATCH : 1, have), n = want;
    while (n > have) { /* the first one on top: pages that are taken in a row lie in a row */
        struct page *page = take_locked(0);
        if (!page)
            break;
        lists->pages[--n] = page;
    }
    spin_unlock(&zone.lock);
    if (unlikely(n > have))
        memmove(&lists->pages[have], &lists->pages[n], (want - n) * sizeof(lists->pages[0]));
    lists->count = want - (n - have);
    return lists->count > 0;
}

static u64 shrink_caches(u64 want)
{
    struct shrinker *shrinker;
    u64 got = 0;

#ifdef INGOT_DEBUG
    lock_check_reclaim(true);
#endif
    list_for_each(shrinker, &shrinkers, node) {
        got += shrinker->shrink(want - got);
        if (got >= want)
            break;
    }
#ifdef INGOT_DEBUG
    lock_check_reclaim(false);
#endif
    return got;
}

bool page_may_take_files(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.page_cache > max((u64)LEAST_FILES, stats.total / 32);
}

/* What caches can give; then, what they can once programs have let go of it.  The first time they
 * may only have noted that it is not used. */
static u64 shrink(u64 want)
{
    u64 got = shrink_caches(want);

    for (u32 empty = 0; !got && empty < 2 && page_may_take_files();) {
        empty = mm_try_give() ? 0 : empty + 1;
        got = shrink_caches(want);
        if (!got)
            got = shrink_caches(want);
    }
    return got;
}

#ifdef INGOT_DEBUG
/* Caches are asked now and then though there is memory, by whoever happens to want some. */
static void practise(unsigned flags)
{
    static u32 turns;

    if (!(flags & PAGE_NORECLAIM) && __atomic_add_fetch(&turns, 1, __ATOMIC_RELAXED) % 64 == 0)
        shrink_caches(1);
}
#else
static void practise(unsigned flags)
{
    (void)flags;
}
#endif

static bool refill(struct page_cpu *lists, unsigned flags)
{
    practise(flags);
    while (!refill_once(lists)) {
        if (use_clean(lists))
            return true;
        if ((flags & PAGE_NORECLAIM) || !shrink(BATCH))
            return lists->count > 0;
        if (lists->count) /* what the shrinker freed lies there already */
            return true;
    }
    return true;
}

static struct page *take_block(unsigned order, unsigned flags)
{
    for (;;) {
        spin_lock(&zone.lock);
        struct page *page = take_locked(order);
        spin_unlock(&zone.lock);
        if (page)
            return page;
        if (use_clean(this_cpu()->pages)) { /* they may be what keeps blocks apart */
            drain(this_cpu()->pages, 0);
            continue;
        }
        if ((flags & PAGE_NORECLAIM) || !shrink(1UL << order))
            return NULL;
    }
}

struct page *page_alloc(unsigned order, unsigned flags)
{
    struct page *page;

    if (!(flags & PAGE_NORECLAIM))
        may_reclaim();
    if (likely(order == 0)) {
        struct page_cpu *lists = this_cpu()->pages;
        if (flags & PAGE_ZERO && lists->nr_clean) {
            page = lists->clean[--lists->nr_clean];
            page->refs = 1;
            return page;
        }
        if (unlikely(!lists->count) && !refill(lists, flags))
            return NULL;
        page = lists->pages[--lists->count];
    } else {
        page = order <= PAGE_MAX_ORDER ? take_block(order, flags) : NULL;
        if (!page)
            return NULL;
    }
    page->refs = 1;
    if (flags & PAGE_ZERO)
        clear_pages(page_to_virt(page), PAGE_SIZE << order);
    return page;
}

/* Not inlined, so that letting go of one reference of several saves no registers. */
static __attribute__((noinline)) void page_free(struct page *page)
{
    struct page_cpu *lists = this_cpu()->pages;

    debug_assert(!page->spare);
    page->flags = 0;
    if (unlikely(page->order)) {
        spin_lock(&zone.lock);
        give_locked(page, page->order);
        spin_unlock(&zone.lock);
        return;
    }
    if (unlikely(lists->count == PAGE_CPU_MAX))
        drain(lists, PAGE_CPU_MAX / 2);
    lists->pages[lists->count++] = page;
}

static inline bool put_is_last(struct page *page)
{
    u32 before = __atomic_fetch_sub(&page->refs, 1, __ATOMIC_ACQ_REL);

    assert(before != 0);
    return before == 1;
}

void page_put(struct page *page)
{
    /* A sole owner needs no atomic operation: nobody else knows the page. */
    if (likely(__atomic_load_n(&page->refs, __ATOMIC_ACQUIRE) == 1))
        page->refs = 0;
    else if (!put_is_last(page))
        return;
    page_free(page);
}

/* For debug kernels: are all its bytes zero? */
__attribute__((unused)) static bool is_clean(const struct page *page)
{
    const u64 *words = page_to_virt(page);
    u64 all = 0;

    for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
        all |= words[i];
    return !all;
}

void page_put_clean(struct page *page)
{
    struct page_cpu *lists = this_cpu()->pages;

    debug_assert(is_clean(page));
    if (lists->nr_clean == PAGE_CLEAN_MAX) {
        page_put(page);
        return;
    }
    page->refs = 0;
    page->flags = 0;
    lists->clean[lists->nr_clean++] = page;
}

void page_split(struct page *page)
{
    u32 refs = page->refs;
    u16 flags = page->flags;
    u8 spare = page->spare;
    u64 count = 1UL << page->order;

    for (u64 i = 0; i < count; i++) {
        page[i].refs = refs;
        page[i].flags = flags;
        page[i].spare = spare;
        page[i].order = 0;
    }
}

void page_account(size_t offset, s64 pages)
{
    this_cpu()->pages->stats[offset / sizeof(u64)] += pages;
}

u64 page_free_estimate(void)
{
    const struct page_cpu *lists = this_cpu()->pages;

    return zone.nr_free + zone.nr_untouched + lists->count + lists->nr_clean;
}

u64 page_total(void)
{
    return zone.total;
}

void page_get_stats(struct page_stats *out)
{
    u64 sums[sizeof(*out) / sizeof(u64)] = {0};
    u64 in_lists = 0;

    for (u32 cpu = 0; cpu < cpu_count; cpu++) {
        const struct page_cpu *lists = cpus[cpu]->pages;
        if (!lists)
            continue;
        in_lists += lists->count + lists->nr_clean;
        for (size_t i = 0; i < ARRAY_LEN(sums); i++)
            sums[i] += (u64)lists->stats[i];
    }
    spin_lock(&zone.lock);
    u64 blocks = zone.nr_free + zone.nr_untouched;
    spin_unlock(&zone.lock);
    *out = (struct page_stats){
        .total = zone.total,
        .free = blocks + in_lists,
        .page_cache = sums[offsetof(struct page_stats, page_cache) / sizeof(u64)],
        .slab = sums[offsetof(struct page_stats, slab) / sizeof(u64)],
        .anon = sums[offsetof(struct page_stats, anon) / sizeof(u64)],
        .kernel_stacks = sums[offsetof(struct page_stats, kernel_stacks) / sizeof(u64)],
        .page_tables = sums[offsetof(struct page_stats, page_tables) / sizeof(u64)],
    };
}

u64 page_free_blocks(unsigned order)
{
    u64 untouched = order == PAGE_MAX_ORDER ? zone.nr_untouched >> order : 0;

    return zone.nr_blocks[order] + untouched;
}

void page_register_shrinker(struct shrinker *shrinker)
{
    list_add_tail(&shrinkers, &shrinker->node);
}

/* Keep the list sorted, the largest first: lookups mostly end at the first. */
static void add_region(u64 first, u64 end)
{
    u32 at = zone.nr_regions;

    if (first >= end || at == MAX_REGIONS)
        return;
    for (; at > 0; at--) {
        const struct region *before = &zone.regions[at - 1];
        if (before->end - before->first >= end - first)
            break;
        zone.regions[at] = *before;
    }
    zone.regions[at] = (struct region){first, end, first};
    zone.nr_regions++;
    zone.nr_untouched += end - first;
}

/* Bytes of the array between two frames, as whole pages of it that hold nothing else; how many. */
static u64 add_hole(u64 array_pa, u64 first_frame, u64 gap_first, u64 gap_end)
{
    u64 from = array_pa + (gap_first - first_frame) * sizeof(struct page);
    u64 to = array_pa + (gap_end - first_frame) * sizeof(struct page);
    u64 before = zone.nr_untouched;

    add_region(ALIGN_UP(from, PAGE_SIZE) >> PAGE_SHIFT, to >> PAGE_SHIFT);
    return zone.nr_untouched - before;
}

static u32 largest_region(const struct mem_region *regions, u32 nr_regions)
{
    u32 largest = 0;

    for (u32 i = 1; i < nr_regions; i++)
        if (regions[i].len > regions[largest].len)
            largest = i;
    return largest;
}

/* Hosts give memory in pieces of 2 MiB, which they clear: the first pages of a machine's memory are
 * in one with the kernel's end, and so shall the array's beginning, which tells of them, be. */
static u64 place_array(const struct mem_region *region, u64 size, u32 before)
{
    u64 near = ALIGN_UP(region->base + NEAR_PAGES, HUGE_SIZE) - NEAR_ARRAY;

    if (before)
        return region->base + before;
    return near + size < region->base + region->len ? near : region->base + region->len - size;
}

/* The pages from frame @first on are to be handed out before all others. */
static void grow_first(u64 first)
{
    for (u32 i = 0; i < zone.nr_regions; i++)
        while (zone.regions[i].first == first && zone.regions[i].frontier < zone.regions[i].end)
            grow_region(&zone.regions[i]);
}

int page_init(const struct mem_region *regions, u32 nr_regions, u32 before_array)
{
    for (unsigned i = 0; i <= PAGE_MAX_ORDER; i++)
        list_init(&zone.free[i]);
    if (!nr_regions)
        return -ENOMEM;

    /* One array over all frames from the first to the last, in the largest region; the parts of it
     * that stand for holes are given out as memory again. */
    u32 host = largest_region(regions, nr_regions);
    const struct mem_region *last = &regions[nr_regions - 1];
    u64 first_frame = regions[0].base >> PAGE_SHIFT;
    u64 frames = ((last->base + last->len) >> PAGE_SHIFT) - first_frame;
    u64 size = ALIGN_UP(frames * sizeof(struct page), PAGE_SIZE);
    if (size + before_array >= regions[host].len)
        return -ENOMEM;
    u64 array_pa = place_array(&regions[host], size, before_array);
    u64 array_pages = size >> PAGE_SHIFT;
    page_map = (struct page *)phys_to_virt(array_pa) - first_frame;

    for (u32 i = 0; i < nr_regions; i++) {
        u64 first = regions[i].base >> PAGE_SHIFT;
        u64 end = (regions[i].base + regions[i].len) >> PAGE_SHIFT;
        if (i == host) {
            add_region(first, array_pa >> PAGE_SHIFT);
            first = (array_pa + size) >> PAGE_SHIFT;
        }
        add_region(first, end);
        if (i + 1 < nr_regions)
            array_pages -= add_hole(array_pa, first_frame, end, regions[i + 1].base >> PAGE_SHIFT);
    }
    if (array_pa + size < regions[host].base + regions[host].len)
        grow_first(regions[host].base >> PAGE_SHIFT);
    page_main_first = zone.regions[0].first;
    page_main_count = zone.regions[0].end - zone.regions[0].first;
    zone.total = zone.nr_free + zone.nr_untouched + array_pages;
    return 0;
}

void page_init_cpu(struct page_cpu *lists)
{
    this_cpu()->pages = lists;
}
