#include "unit/test.h"

#include "fake/machine.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "mm/page_priv.h"

enum { BLOCKS = 3000 };

static const struct mem_region ram[] = {{MIB(1), MIB(15)}};
static struct {
    u8 *at;
    size_t size;
    u8 value;
} blocks[BLOCKS];

static void start(void)
{
    REQUIRE(!machine_create(ram, 1), NULL);
    heap_init();
}

static u64 free_pages(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.free;
}

static bool holds_value(u32 i)
{
    for (size_t at = 0; at < blocks[i].size; at++)
        if (blocks[i].at[at] != blocks[i].value)
            return false;
    return true;
}

static void take(u32 i, size_t size)
{
    u8 *p = kmalloc(size);
    if (!p)
        return;
    EXPECT_TRUE(IS_ALIGNED((uintptr_t)p, size >= 64 ? 64 : 16), "alignment");
    blocks[i].at = p;
    blocks[i].size = size;
    blocks[i].value = (u8)machine_random();
    memset(p, blocks[i].value, size);
}

static void give(u32 i)
{
    EXPECT_TRUE(holds_value(i), "nobody wrote into it");
    kfree(blocks[i].at);
    blocks[i].at = NULL;
}

static size_t random_size(void)
{
    return 1 + machine_random() % (machine_random() % 10 ? 300 : 9000);
}

static bool share_a_page(const void *a, const void *b)
{
    return ((uintptr_t)a ^ (uintptr_t)b) < PAGE_SIZE;
}

TEST(a_few_objects_lie_among_larger_ones)
{
    enum { MANY = 100 };
    void *few[MANY];

    start();
    void *large = kmalloc(64);
    for (u32 i = 0; i < MANY; i++)
        few[i] = kmalloc(48);
    EXPECT_TRUE(share_a_page(large, few[0]), "the first takes no page of its own");
    EXPECT_TRUE(!share_a_page(large, few[MANY - 1]), "many do");
    for (u32 i = 0; i < MANY; i++) {
        memset(few[i], 0xff, 48);
        kfree(few[i]);
    }
    kfree(large);
    EXPECT_EQ(kmalloc(64), large, "each went back where it came from");
}

TEST(heap_storm_keeps_contents_apart_and_gives_pages_back)
{
    start();
    u64 before = free_pages();

    for (int i = 0; i < 200000; i++) {
        u32 which = (u32)(machine_random() % BLOCKS);
        if (!blocks[which].at) {
            take(which, random_size());
        } else if (machine_random() % 8) {
            give(which);
        } else {
            size_t size = random_size(), kept = min(size, blocks[which].size);
            u8 *p = krealloc(blocks[which].at, size);
            REQUIRE(p, "there is memory");
            blocks[which].at = p;
            blocks[which].size = kept;
            EXPECT_TRUE(holds_value(which), "krealloc keeps what fits");
            memset(p, blocks[which].value, size);
            blocks[which].size = size;
        }
    }
    for (u32 i = 0; i < BLOCKS; i++)
        if (blocks[i].at)
            give(i);
    EXPECT_TRUE(before - free_pages() < 80, "but for what the CPU keeps");
}

TEST(heap_fails_cleanly_and_recovers)
{
    start();
    u32 got = 0;
    void *list = NULL;

    for (void **p; (p = kmalloc(1000)); got++) {
        *p = list;
        list = p;
    }
    EXPECT_TRUE(got > 3600 * 4, "4 a page, nearly all pages");
    EXPECT_EQ(kmalloc(100000), NULL, NULL);
    while (list) {
        void *next = *(void **)list;
        kfree(list);
        list = next;
    }
    EXPECT_TRUE(kmalloc(MIB(4)) != NULL, "a large block again");
}

TEST(heap_refuses_sizes_that_wrap)
{
    start();
    EXPECT_EQ(kcalloc(SIZE_MAX / 2, 3), NULL, NULL);
    EXPECT_EQ(kmalloc(SIZE_MAX), NULL, NULL);
    EXPECT_EQ(kmalloc(MIB(4) + 1), NULL, "more than the largest block");
    kfree(NULL);
    char *copy = kstrdup("text");
    EXPECT_STR(copy, "text", NULL);
    kfree(copy);
}
