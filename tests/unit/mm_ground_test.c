/* Areas where the ground pages by itself (struct plat_areas): after any calls the ground has
 * exactly the anonymous memory that the areas say, with their protection. */
#include "unit/test.h"

#include "abi/errno.h"
#include "fake/machine.h"
#include "mm/heap.h"
#include "mm/mm_priv.h"
#include "mm/page_priv.h"

enum { WINDOW = 256, ABSENT = 0xff };
#define BASE 0x10000000ull

static const struct mem_region ram[] = {{MIB(1), MIB(15)}};

static u8 ground[WINDOW]; /* what the ground has at each page: its protection, or ABSENT */
static u32 discarded;     /* pages */
static bool refuse;       /* the ground has no memory */

static u8 *page_at(u64 va)
{
    REQUIRE(va >= BASE && va < BASE + WINDOW * PAGE_SIZE, "outside the window");
    return &ground[(va - BASE) / PAGE_SIZE];
}

static int fill(u64 va, u64 len, u8 value)
{
    if (refuse)
        return -ENOMEM;
    for (u64 at = 0; at < len; at += PAGE_SIZE)
        *page_at(va + at) = value;
    return 0;
}

static int ground_area_map(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    (void)as;
    return fill(va, len, (u8)prot);
}
static int ground_area_unmap(struct plat_as *as, u64 va, u64 len)
{
    (void)as;
    for (u64 at = 0; at < len; at += PAGE_SIZE)
        *page_at(va + at) = ABSENT;
    return 0;
}
static int ground_area_protect(struct plat_as *as, u64 va, u64 len, u32 prot)
{
    (void)as;
    for (u64 at = 0; at < len; at += PAGE_SIZE)
        EXPECT_TRUE(*page_at(va + at) != ABSENT, "protect where nothing is");
    return fill(va, len, (u8)prot);
}
static int ground_area_discard(struct plat_as *as, u64 va, u64 len)
{
    (void)as, (void)va;
    discarded += (u32)(len / PAGE_SIZE);
    return 0;
}
static int ground_area_move(struct plat_as *as, u64 from, u64 to, u64 len)
{
    (void)as;
    for (u64 at = 0; at < len; at += PAGE_SIZE) {
        *page_at(to + at) = *page_at(from + at);
        *page_at(from + at) = ABSENT;
    }
    return 0;
}

static const struct plat_areas areas = {
    .map = ground_area_map,
    .unmap = ground_area_unmap,
    .protect = ground_area_protect,
    .discard = ground_area_discard,
    .move = ground_area_move,
};

static struct mm *start(void)
{
    REQUIRE(!machine_create(ram, ARRAY_LEN(ram)), NULL);
    heap_init();
    struct mm *mm = mm_create();
    REQUIRE(mm, NULL);
    mm_set_layout(mm, BASE + 200 * PAGE_SIZE, BASE + WINDOW * PAGE_SIZE);
    mm_switch(mm);
    plat.areas = &areas;
    for (u32 i = 0; i < WINDOW; i++)
        ground[i] = ABSENT;
    refuse = false;
    discarded = 0;
    return mm;
}

static int map(struct mm *mm, u32 page, u32 pages, u32 prot)
{
    u64 out;

    return mm_map(mm, BASE + page * PAGE_SIZE, pages * PAGE_SIZE, prot,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0, NULL, &out);
}

static void expect_agreement(struct mm *mm)
{
    for (u32 i = 0; i < WINDOW; i++) {
        u64 va = BASE + i * PAGE_SIZE;
        const struct vma *vma = area_find(mm, va);
        bool there = vma && vma->start <= va;
        u8 want = there ? (u8)plat_prot_of(vma->prot) : ABSENT;
        EXPECT_EQ(ground[i], want, "a page of the ground");
    }
}

TEST(memory_comes_and_goes_with_its_area)
{
    struct mm *mm = start();

    EXPECT_EQ(map(mm, 10, 20, PROT_READ | PROT_WRITE), 0, NULL);
    EXPECT_EQ(mm_protect(mm, BASE + 12 * PAGE_SIZE, 3 * PAGE_SIZE, PROT_READ), 0, NULL);
    EXPECT_EQ(mm_unmap(mm, BASE + 20 * PAGE_SIZE, 4 * PAGE_SIZE), 0, NULL);
    expect_agreement(mm);
    EXPECT_EQ(ground[12], PLAT_READ, NULL);
    EXPECT_EQ(ground[20], ABSENT, NULL);
    EXPECT_EQ(mm_advise(mm, BASE + 24 * PAGE_SIZE, 2 * PAGE_SIZE, MADV_DONTNEED), 0, NULL);
    EXPECT_EQ(discarded, 2, NULL);
    mm_switch(NULL);
    mm_put(mm);
    for (u32 i = 0; i < WINDOW; i++)
        EXPECT_EQ(ground[i], ABSENT, "left behind");
}

TEST(the_heap_is_the_grounds_too)
{
    struct mm *mm = start();
    u64 heap = mm_brk(mm, 0);

    EXPECT_EQ(mm_brk(mm, heap + 5 * PAGE_SIZE), heap + 5 * PAGE_SIZE, NULL);
    expect_agreement(mm);
    EXPECT_EQ(mm_brk(mm, heap + PAGE_SIZE), heap + PAGE_SIZE, NULL);
    expect_agreement(mm);
    refuse = true;
    EXPECT_EQ(mm_brk(mm, heap + 9 * PAGE_SIZE), heap + PAGE_SIZE, "no memory: the break stays");
    refuse = false;
    expect_agreement(mm);
}

TEST(a_ground_without_memory_is_told_and_nothing_is_left)
{
    struct mm *mm = start();

    refuse = true;
    EXPECT_EQ(map(mm, 10, 20, PROT_READ), -ENOMEM, NULL);
    refuse = false;
    expect_agreement(mm);
    EXPECT_EQ(area_find(mm, 0) == NULL, true, "an area without memory");
}

TEST(any_calls_leave_ground_and_areas_in_agreement)
{
    struct mm *mm = start();

    for (u32 round = 0; round < 4000; round++) {
        u32 page = (u32)(machine_random() % 150), pages = 1 + (u32)(machine_random() % 20);
        u64 va = BASE + page * PAGE_SIZE, len = pages * PAGE_SIZE, out;
        u32 prot = (u32)(machine_random() % 4);
        refuse = machine_random() % 50 == 0;
        switch (machine_random() % 4) {
        case 0:
            (void)map(mm, page, pages, prot);
            break;
        case 1:
            (void)mm_unmap(mm, va, len);
            break;
        case 2:
            refuse = false; /* what was changed before a refusal stays changed, as on Linux */
            (void)mm_protect(mm, va, len, prot);
            break;
        default:
            refuse = false;
            /* what moved before makes room, or this would leave the window */
            (void)mm_unmap(mm, BASE + 180 * PAGE_SIZE, (WINDOW - 180) * PAGE_SIZE);
            (void)mm_remap(mm, va, len, (1 + machine_random() % 20) * PAGE_SIZE, MREMAP_MAYMOVE, 0,
                           &out);
        }
        refuse = false;
        expect_agreement(mm);
    }
}
