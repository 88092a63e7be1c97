#include "unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "plat/pc/memory_map.h"

static struct boot_info bi;

static const char *map_text(void)
{
    static char text[512];
    size_t len = 0;

    text[0] = 0;
    for (u32 i = 0; i < bi.nr_regions; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%lx-%lx ", bi.regions[i].base,
                                bi.regions[i].base + bi.regions[i].len);
    return text;
}

TEST(memory_map_sorts_merges_and_aligns)
{
    bi.nr_regions = 0;
    memory_map_add(&bi, 0x100000, 0x10000);
    memory_map_add(&bi, 0x1001, 0x8fff);
    memory_map_add(&bi, 0x110000, 0x1000);
    memory_map_add(&bi, 0x108000, 0x10000);
    memory_map_add(&bi, 0x200123, 0x100);
    EXPECT_STR(map_text(), "2000-a000 100000-118000 ", NULL);
    memory_map_add(&bi, 0x9000, 0x200000);
    EXPECT_STR(map_text(), "2000-209000 ", "one that bridges all");
}

TEST(memory_map_cuts_holes_outwards)
{
    bi.nr_regions = 0;
    memory_map_add(&bi, 0x1000, 0x9000);
    memory_map_remove(&bi, 0x3800, 0x1000);
    EXPECT_STR(map_text(), "1000-3000 5000-a000 ", NULL);
    memory_map_remove(&bi, 0, 0x1001);
    memory_map_remove(&bi, 0x9fff, 0x100000);
    EXPECT_STR(map_text(), "2000-3000 5000-9000 ", NULL);
    memory_map_remove(&bi, 0x2000, 0x1000);
    EXPECT_STR(map_text(), "5000-9000 ", NULL);
    memory_map_remove(&bi, 0x6000, 0);
    EXPECT_STR(map_text(), "5000-9000 ", "nothing to remove");
}

TEST(memory_map_refuses_what_wraps)
{
    bi.nr_regions = 0;
    memory_map_add(&bi, UINT64_MAX - 0x1000, 0x4000);
    memory_map_add(&bi, 1ul << 60, 0x4000);
    EXPECT_EQ(bi.nr_regions, 0, NULL);
    memory_map_add(&bi, 0x1000, 0x4000);
    memory_map_remove(&bi, 0x3000, UINT64_MAX);
    EXPECT_STR(map_text(), "1000-3000 ", "a hole without end");
}

/* Against a map of single pages. */
TEST(memory_map_agrees_with_pages)
{
    enum { PAGES = 200 };
    static bool page[PAGES];

    srand(7);
    bi.nr_regions = 0;
    for (int step = 0; step < 3000; step++) {
        u64 from = (u64)(rand() % PAGES), n = (u64)(rand() % 20);
        n = min(n, PAGES - from);
        bool add = rand() % 2 && bi.nr_regions < 32;
        if (add)
            memory_map_add(&bi, from * PAGE_SIZE, n * PAGE_SIZE);
        else
            memory_map_remove(&bi, from * PAGE_SIZE, n * PAGE_SIZE);
        memset(page + from, add, n);

        static bool got[PAGES];
        memset(got, 0, sizeof(got));
        for (u32 i = 0; i < bi.nr_regions; i++)
            for (u64 p = 0; p < bi.regions[i].len / PAGE_SIZE; p++)
                got[bi.regions[i].base / PAGE_SIZE + p] = true;
        if (memcmp(got, page, sizeof(got))) {
            EXPECT_TRUE(false, "a page is wrong");
            return;
        }
    }
    EXPECT_TRUE(true, NULL);
}
