#include "unit/test.h"

#include "fake/machine.h"
#include "mm/page.h"

enum { MAX_BLOCKS = 4096 };

static struct page *blocks[MAX_BLOCKS];
static u32 nr_blocks;
static u8 owned[65536]; /* by frame: somebody has it */

static const struct mem_region small[] = {{0x1000, 0x9e000}, {0x180000, 0x280000}};
/* A hole so large that the array's pages for it are worth having. */
static const struct mem_region holed[] = {{MIB(1), MIB(30)}, {MIB(160), MIB(64)}};

static u64 free_pages(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.free;
}

/* Record the block and see that nobody else has any of it. */
static void take(struct page *page)
{
    u64 frame = page_to_phys(page) >> PAGE_SHIFT;

    EXPECT_TRUE(IS_ALIGNED(frame, 1UL << page->order), "naturally aligned");
    for (u64 i = 0; i < 1UL << page->order; i++) {
        EXPECT_FALSE(owned[frame + i], "nobody else's");
        owned[frame + i] = 1;
        EXPECT_EQ(page_of_phys((frame + i) << PAGE_SHIFT), page + i, "has a struct page");
    }
    memset(page_to_virt(page), 0x5a, PAGE_SIZE << page->order);
    blocks[nr_blocks++] = page;
}

static void give(u32 which)
{
    struct page *page = blocks[which];
    u64 frame = page_to_phys(page) >> PAGE_SHIFT;

    memset(&owned[frame], 0, 1UL << page->order);
    blocks[which] = blocks[--nr_blocks];
    page_put(page);
}

static void storm(int rounds, unsigned max_order)
{
    for (int i = 0; i < rounds; i++) {
        bool want = machine_random() % 100 < 55;
        if (want && nr_blocks < MAX_BLOCKS) {
            struct page *page = page_alloc((unsigned)(machine_random() % (max_order + 1)), 0);
            if (page)
                take(page);
        } else if (nr_blocks) {
            give((u32)(machine_random() % nr_blocks));
        }
    }
}

TEST(page_storm_gives_nobody_the_same_page_and_loses_none)
{
    REQUIRE(!machine_create(small, 2), NULL);
    u64 before = free_pages();

    storm(20000, 5);
    while (nr_blocks)
        give(0);
    EXPECT_EQ(free_pages(), before, "all came back");
}

TEST(page_memory_is_usable_to_the_last_page)
{
    REQUIRE(!machine_create(small, 2), NULL);
    u64 free = free_pages(), got = 0;

    for (struct page *page; (page = page_alloc(0, 0)); got++)
        take(page);
    EXPECT_EQ(got, free, "every page");
    EXPECT_EQ(free_pages(), 0, NULL);
    while (nr_blocks)
        give(nr_blocks - 1);
    EXPECT_EQ(free_pages(), free, NULL);
    struct page *large = page_alloc(8, 0);
    EXPECT_TRUE(large != NULL, "single pages became blocks again");
}

TEST(page_array_over_a_hole_is_memory_too)
{
    REQUIRE(!machine_create(holed, 2), NULL);
    struct page_stats stats;
    u64 got = 0;

    page_get_stats(&stats);
    EXPECT_TRUE(stats.free > MIB(93) >> PAGE_SHIFT, "the array costs 1 % of what there is");
    EXPECT_EQ(page_of_phys(MIB(100)), NULL, "in the hole");
    EXPECT_EQ(page_of_phys(GIB(5)), NULL, "past the end");
    EXPECT_EQ(page_of_phys(0x1000), NULL, "before the start");
    for (struct page *page; (page = page_alloc(0, 0)); got++) {
        u64 frame = page_to_phys(page) >> PAGE_SHIFT;
        REQUIRE(!owned[frame], "nobody else's");
        owned[frame] = 1;
        memset(page_to_virt(page), 0xff, PAGE_SIZE);
    }
    EXPECT_EQ(got, stats.free, "writing to all of them broke no struct page");
}

TEST(page_zero_is_zero)
{
    REQUIRE(!machine_create(small, 2), NULL);
    static const u8 zeros[4096];

    for (int i = 0; i < 300; i++) {
        struct page *page = page_alloc(0, PAGE_ZERO);
        EXPECT_MEM(page_to_virt(page), zeros, PAGE_SIZE, NULL);
        memset(page_to_virt(page), 0x77, PAGE_SIZE);
        page_put(page);
    }
}

TEST(page_with_two_references_lives_until_the_second_is_put)
{
    REQUIRE(!machine_create(small, 2), NULL);
    u64 before = free_pages();
    struct page *page = page_alloc(2, 0);

    page_get(page);
    page_put(page);
    EXPECT_EQ(free_pages(), before - 4, "one reference left");
    page_put(page);
    EXPECT_EQ(free_pages(), before, NULL);
}

TEST(page_split_makes_single_pages_that_merge_again)
{
    REQUIRE(!machine_create(small, 2), NULL);
    u64 before = free_pages();
    struct page *page = page_alloc(8, 0);

    REQUIRE(page, "1 MiB");
    page_split(page);
    for (u32 i = 0; i < 256; i++)
        page_put(page + ((i * 167) % 256));
    EXPECT_EQ(free_pages(), before, NULL);
    EXPECT_TRUE(page_alloc(8, 0) != NULL, "one block again");
}

TEST(page_alloc_refuses_orders_that_cannot_be)
{
    REQUIRE(!machine_create(small, 2), NULL);
    EXPECT_EQ(page_alloc(PAGE_MAX_ORDER, 0), NULL, "4 MiB of less");
    EXPECT_EQ(page_alloc(PAGE_MAX_ORDER + 1, 0), NULL, NULL);
    EXPECT_EQ(page_alloc(63, 0), NULL, NULL);
}

static u64 asked, kept_back;
static struct page *cache[64];

static u64 shrink_cache(u64 want)
{
    u64 got = 0;

    asked++;
    for (; got < want && kept_back; got++)
        page_put(cache[--kept_back]);
    return got;
}

TEST(page_alloc_shrinks_caches_before_it_fails)
{
    static struct shrinker shrinker = {.shrink = shrink_cache};

    REQUIRE(!machine_create(small, 2), NULL);
    page_register_shrinker(&shrinker);
    while (kept_back < 64)
        cache[kept_back++] = page_alloc(0, 0);
    while (page_alloc(0, PAGE_NORECLAIM))
        ;
    EXPECT_EQ(asked, 0, "not when the caller forbids it");
    for (int i = 0; i < 64; i++)
        EXPECT_TRUE(page_alloc(0, 0) != NULL, "the cache's pages");
    EXPECT_EQ(page_alloc(0, 0), NULL, "then there is none");
}

TEST(page_init_puts_its_array_where_it_is_told)
{
    machine_before_array = 16 * PAGE_SIZE;
    REQUIRE(!machine_create(small, 2), NULL);
    u64 before = free_pages();
    struct page *first = page_alloc(0, 0);
    EXPECT_TRUE(page_to_phys(first) - small[1].base < 16 * PAGE_SIZE, "what is before it first");
    EXPECT_EQ(virt_to_phys(page_map + (small[0].base >> PAGE_SHIFT)),
              small[1].base + 16 * PAGE_SIZE, NULL);
    page_put(first);
    storm(20000, 5);
    while (nr_blocks)
        give(0);
    EXPECT_EQ(free_pages(), before, "all came back");
}

TEST(the_first_pages_are_handed_out_in_one_piece_of_2_mib_with_what_tells_of_them)
{
    static const struct mem_region large[] = {{0x220000, MIB(200)}};

    REQUIRE(!machine_create(large, 1), NULL);
    for (int i = 0; i < 256; i++) {
        struct page *page = page_alloc(0, 0);
        EXPECT_EQ(page_to_phys(page) >> 21, 1, "beside the kernel's end");
        EXPECT_EQ(virt_to_phys(page) >> 21, 1, "as its struct page is");
    }
    EXPECT_TRUE(page_alloc(PAGE_MAX_ORDER, 0) != NULL, "there is more");
}

TEST(page_init_refuses_memory_without_room_for_its_own_array)
{
    static const struct mem_region tiny[] = {{0, 0x1000}, {MIB(200), 0x1000}};

    EXPECT_EQ(machine_create(tiny, 2), -ENOMEM, NULL);
}
