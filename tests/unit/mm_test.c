/* Address spaces against a model: a window of pages, each with its protection and one byte. */
#include "unit/test.h"

#include "abi/errno.h"
#include "fake/machine.h"
#include "mm/heap.h"
#include "mm/mm_priv.h"
#include "mm/page_priv.h"
#include "mm/pin.h"
#include "mm/uaccess.h"

enum { WINDOW = 160 }; /* pages */
#define BASE 0x10000000ull

static const struct mem_region ram[] = {{0x1000, 0x9e000}, {MIB(1), MIB(15)}};
static const struct mem_region big_ram[] = {{MIB(2), MIB(200)}};

/* What the program may expect of a page. */
static struct {
    bool mapped;
    u32 prot;
    u8 value;
} model[WINDOW];

static struct mm *start(const struct mem_region *regions, u32 nr)
{
    REQUIRE(!machine_create(regions, nr), NULL);
    heap_init();
    struct mm *mm = mm_create();
    REQUIRE(mm, NULL);
    mm_set_layout(mm, 0x20000000, 0x60000000);
    mm_switch(mm);
    return mm;
}

static u64 free_pages(void)
{
    struct page_stats stats;

    page_get_stats(&stats);
    return stats.free;
}

static u64 map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 flags)
{
    u64 out = 0;
    int err = mm_map(mm, addr, len, prot, flags | MAP_ANONYMOUS, NULL, 0, NULL, &out);

    return err ? (u64)(s64)err : out;
}

static int put(u64 va, u8 value)
{
    return copy_to_user(va, &value, 1);
}

static int get(u64 va)
{
    u8 value;

    return copy_from_user(&value, va, 1) ? -1 : value;
}

/* ---- the tree ---- */

static u64 tree_gap(const struct mm *mm, struct rb_node *node)
{
    if (!node)
        return 0;
    const struct vma *vma = container_of(node, struct vma, node);
    u64 below = max(tree_gap(mm, node->left), tree_gap(mm, node->right));
    EXPECT_EQ(vma->max_gap, max(vma->gap, below), "greatest gap");
    return vma->max_gap;
}

static void check_tree(struct mm *mm)
{
    u64 end = USER_BASE, pages = 0;
    u32 count = 0;

    tree_gap(mm, mm->areas.node);
    for (struct rb_node *n = rb_first(&mm->areas); n; n = rb_next(n)) {
        const struct vma *vma = container_of(n, struct vma, node);
        REQUIRE(vma->start >= end && vma->start < vma->end, "in order, without overlap");
        EXPECT_EQ(vma->gap, vma->start - end, "gap");
        end = vma->end;
        pages += (vma->end - vma->start) >> PAGE_SHIFT;
        count++;
    }
    EXPECT_EQ(mm->last_end, end, NULL);
    EXPECT_EQ(mm->virtual_pages, pages, NULL);
    EXPECT_EQ(mm->nr_areas, count, NULL);
}

static void check_model(struct mm *mm)
{
    for (u32 i = 0; i < WINDOW; i++) {
        struct vma *vma = area_find(mm, BASE + i * PAGE_SIZE);
        bool mapped = vma && vma->start <= BASE + i * PAGE_SIZE;
        REQUIRE(mapped == model[i].mapped, "mapped");
        if (mapped)
            REQUIRE(vma->prot == model[i].prot, "protection");
    }
}

static u32 random_prot(void)
{
    static const u32 prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
                                PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC};

    return prots[machine_random() % ARRAY_LEN(prots)];
}

static void model_map(u32 first, u32 n, u32 prot)
{
    for (u32 i = first; i < first + n; i++) {
        model[i].mapped = true;
        model[i].prot = prot;
        model[i].value = 0;
    }
}

static void random_step(struct mm *mm)
{
    u32 first = (u32)(machine_random() % WINDOW), prot = random_prot();
    u32 n = 1 + (u32)(machine_random() % min(WINDOW - first, 24u));
    u64 addr = BASE + first * PAGE_SIZE, len = n * PAGE_SIZE;
    bool whole = true;

    for (u32 i = first; i < first + n; i++)
        whole = whole && model[i].mapped;
    switch (machine_random() % 8) {
    case 0:
    case 1:
        EXPECT_EQ(map(mm, addr, len, prot, MAP_FIXED | MAP_PRIVATE), addr, NULL);
        model_map(first, n, prot);
        break;
    case 2:
        EXPECT_EQ(mm_unmap(mm, addr, len), 0, NULL);
        for (u32 i = first; i < first + n; i++)
            model[i].mapped = false;
        break;
    case 3:
        EXPECT_EQ(mm_protect(mm, addr, len, prot), whole ? 0 : -ENOMEM, NULL);
        for (u32 i = first; i < first + n && model[i].mapped; i++)
            model[i].prot = prot;
        break;
    case 4:
        EXPECT_EQ(mm_advise(mm, addr, len, MADV_DONTNEED), whole ? 0 : -ENOMEM, NULL);
        for (u32 i = first; i < first + n; i++)
            model[i].value = 0;
        break;
    case 5:
    case 6: {
        bool may = model[first].mapped && (model[first].prot & PROT_WRITE);
        u8 value = (u8)machine_random();
        EXPECT_EQ(put(addr + machine_random() % 8 * 0, value), may ? 0 : -EFAULT, "a write");
        if (may)
            model[first].value = value;
        break;
    }
    default: {
        bool may = model[first].mapped && model[first].prot;
        EXPECT_EQ(get(addr), may ? model[first].value : -1, "a read");
    }
    }
}

TEST(mm_storm_agrees_with_a_model_and_leaks_nothing)
{
    struct mm *mm = start(ram, 2);
    u64 before = free_pages();

    for (int i = 0; i < 30000; i++) {
        random_step(mm);
        if (i % 50 == 0) {
            check_model(mm);
            check_tree(mm);
        }
    }
    EXPECT_EQ(mm_unmap(mm, BASE, WINDOW * PAGE_SIZE), 0, NULL);
    EXPECT_EQ(machine_mapped(), 0, "no page is left");
    EXPECT_EQ(mm->resident_pages, 0, NULL);
    EXPECT_TRUE(before - free_pages() < 16, "but for slabs");
    mm_put(mm);
}

TEST(mm_map_places_top_down_and_merges)
{
    struct mm *mm = start(ram, 2);
    u64 a = map(mm, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE);
    u64 b = map(mm, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE);

    EXPECT_EQ(a, 0x60000000 - PAGE_SIZE, "right below the top");
    EXPECT_EQ(b, a - PAGE_SIZE, "below the one before");
    EXPECT_EQ(mm->nr_areas, 1, "one area");
    EXPECT_EQ(mm_unmap(mm, a, PAGE_SIZE), 0, NULL);
    EXPECT_EQ(map(mm, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE), a, "the hole again");
    EXPECT_EQ(map(mm, 0x30000000, PAGE_SIZE, PROT_READ, MAP_PRIVATE), 0x30000000, "a hint");
    check_tree(mm);
    mm_put(mm);
}

TEST(mm_map_refuses_what_mmap_refuses)
{
    struct mm *mm = start(ram, 2);

    EXPECT_EQ(map(mm, 0, 0, PROT_READ, MAP_PRIVATE), -EINVAL, "no length");
    EXPECT_EQ(map(mm, 0, PAGE_SIZE, PROT_READ, 0), -EINVAL, "neither shared nor private");
    EXPECT_EQ(map(mm, BASE + 1, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED), -EINVAL, "odd");
    EXPECT_EQ(map(mm, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED), -EPERM, "page 0");
    EXPECT_EQ(map(mm, USER_TOP, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED), -ENOMEM, "top");
    EXPECT_EQ(map(mm, 0, UINT64_MAX, PROT_READ, MAP_PRIVATE), -ENOMEM, "all of it");
    EXPECT_EQ(map(mm, 0, GIB(4), PROT_READ | PROT_WRITE, MAP_PRIVATE), -ENOMEM, "never true");
    EXPECT_TRUE(map(mm, 0, GIB(1), PROT_NONE, MAP_PRIVATE) < USER_TOP, "a reservation");
    EXPECT_EQ(map(mm, BASE, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED), BASE, NULL);
    EXPECT_EQ(map(mm, BASE, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE), -EEXIST,
              NULL);
    mm_set_wx_policy(mm, true);
    EXPECT_EQ(map(mm, 0, PAGE_SIZE, 7, MAP_PRIVATE), -EPERM, "W^X");
    mm_put(mm);
}

TEST(mm_remap_moves_contents_and_grows_in_place)
{
    struct mm *mm = start(ram, 2);
    u64 a = map(mm, BASE, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED), b;

    for (u8 i = 0; i < 4; i++)
        put(a + i * PAGE_SIZE, (u8)(i + 1));
    EXPECT_EQ(mm_remap(mm, a, 4 * PAGE_SIZE, 6 * PAGE_SIZE, 0, 0, &b), 0, "there is room");
    EXPECT_EQ(b, a, NULL);
    EXPECT_EQ(map(mm, a + 6 * PAGE_SIZE, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED),
              a + 6 * PAGE_SIZE, NULL);
    EXPECT_EQ(mm_remap(mm, a, 6 * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0, &b), -ENOMEM, "no room now");
    EXPECT_EQ(mm_remap(mm, a, 6 * PAGE_SIZE, 8 * PAGE_SIZE, MREMAP_MAYMOVE, 0, &b), 0, NULL);
    for (u8 i = 0; i < 4; i++)
        EXPECT_EQ(get(b + i * PAGE_SIZE), i + 1, "moved");
    EXPECT_EQ(get(b + 7 * PAGE_SIZE), 0, "new");
    EXPECT_EQ(get(a), -1, "gone");
    EXPECT_EQ(mm_remap(mm, b, 8 * PAGE_SIZE, PAGE_SIZE, 0, 0, &b), 0, "shrink");
    EXPECT_EQ(get(b + PAGE_SIZE), -1, NULL);
    EXPECT_EQ(mm_remap(mm, b, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, a, &b), 0, NULL);
    EXPECT_EQ(get(a), 1, "to a fixed place");
    EXPECT_EQ(mm_remap(mm, a, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0, &b), 0,
              NULL);
    EXPECT_EQ(get(a), 0, "still there, and empty");
    EXPECT_EQ(get(b), 1, NULL);
    check_tree(mm);
    mm_put(mm);
    EXPECT_EQ(machine_mapped(), 0, NULL);
}

TEST(mm_shared_memory_is_one_memory)
{
    struct mm *mm = start(ram, 2);
    u64 before = free_pages();
    u64 a = map(mm, 0, MIB(1), PROT_READ | PROT_WRITE, MAP_SHARED), b;

    EXPECT_EQ(put(a + 5 * PAGE_SIZE, 42), 0, NULL);
    EXPECT_EQ(mm_remap(mm, a, 0, MIB(1), MREMAP_MAYMOVE, 0, &b), 0, "a second view");
    EXPECT_EQ(get(b + 5 * PAGE_SIZE), 42, NULL);
    EXPECT_EQ(put(b + 6 * PAGE_SIZE, 43), 0, NULL);
    EXPECT_EQ(get(a + 6 * PAGE_SIZE), 43, NULL);
    EXPECT_EQ(mm_advise(mm, a, MIB(1), MADV_DONTNEED), 0, NULL);
    EXPECT_EQ(get(a + 6 * PAGE_SIZE), 43, "unmapped, not forgotten");
    EXPECT_EQ(mm_unmap(mm, b, MIB(1)), 0, NULL);
    EXPECT_EQ(mm_advise(mm, a, MIB(1), MADV_REMOVE), 0, NULL);
    EXPECT_EQ(get(a + 6 * PAGE_SIZE), 0, "a hole");
    mm_unmap(mm, a, MIB(1));
    EXPECT_TRUE(before - free_pages() < 8, "but for slabs");
    mm_put(mm);
}

TEST(mm_stack_grows_to_its_limit_and_keeps_a_guard)
{
    struct mm *mm = start(ram, 2);
    u64 top = 0x50000000, low = top - 16 * PAGE_SIZE;

    mm_set_stack_limit(mm, MIB(1));
    EXPECT_EQ(map(mm, low, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_FIXED | MAP_GROWSDOWN),
              low, NULL);
    EXPECT_EQ(put(low - 1, 1), 0, "one page more");
    EXPECT_EQ(put(top - MIB(1), 1), 0, "as far as it may");
    EXPECT_EQ(put(top - MIB(1) - 1, 1), -EFAULT, "no further");
    mm_set_stack_limit(mm, MIB(8));
    EXPECT_EQ(map(mm, top - MIB(4), PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED), top - MIB(4),
              NULL);
    EXPECT_EQ(put(top - MIB(4) + PAGE_SIZE + STACK_GUARD, 1), 0, NULL);
    EXPECT_EQ(put(top - MIB(4) + PAGE_SIZE + STACK_GUARD - 1, 1), -EFAULT, "the guard");
    check_tree(mm);
    mm_put(mm);
}

TEST(mm_brk_grows_shrinks_and_clears)
{
    struct mm *mm = start(ram, 2);
    u64 start_brk = mm_brk(mm, 0);

    EXPECT_EQ(start_brk, 0x20000000, NULL);
    EXPECT_EQ(mm_brk(mm, start_brk + 10000), start_brk + 10000, NULL);
    EXPECT_EQ(put(start_brk + 9999, 7), 0, NULL);
    EXPECT_EQ(mm_brk(mm, start_brk + 1), start_brk + 1, NULL);
    EXPECT_EQ(mm_brk(mm, start_brk + 10000), start_brk + 10000, NULL);
    EXPECT_EQ(get(start_brk + 9999), 0, "fresh memory");
    EXPECT_EQ(mm_brk(mm, start_brk - 1), start_brk + 10000, "refused");
    map(mm, start_brk + 8 * PAGE_SIZE, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED);
    EXPECT_EQ(mm_brk(mm, start_brk + 9 * PAGE_SIZE), start_brk + 10000, "something is in the way");
    mm_put(mm);
}

TEST(mm_huge_pages_come_and_are_cut)
{
    struct mm *mm = start(big_ram, 1);
    u64 before = free_pages();
    u64 a = map(mm, 0, MIB(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);
    u32 prot;

    EXPECT_TRUE(IS_ALIGNED(a, HUGE_SIZE), "aligned");
    EXPECT_EQ(put(a + MIB(3), 9), 0, NULL);
    EXPECT_TRUE(plat.query(&mm->as, a + MIB(2), NULL, &prot) && (prot & PLAT_HUGE), "2 MiB");
    EXPECT_EQ(mm_unmap(mm, a + MIB(3) - PAGE_SIZE, PAGE_SIZE), 0, "a page out of it");
    EXPECT_EQ(get(a + MIB(3)), 9, "the rest stays");
    EXPECT_EQ(get(a + MIB(3) - 1), -1, NULL);
    EXPECT_EQ(put(a + MIB(5), 8), 0, NULL);
    EXPECT_EQ(mm_protect(mm, a + MIB(5), PAGE_SIZE, PROT_READ), 0, NULL);
    EXPECT_EQ(put(a + MIB(5), 1), -EFAULT, NULL);
    EXPECT_EQ(put(a + MIB(5) + PAGE_SIZE, 1), 0, "the next may be written");
    EXPECT_EQ(mm_advise(mm, a, HUGE_SIZE, MADV_NOHUGEPAGE), 0, NULL);
    EXPECT_EQ(put(a, 1), 0, NULL);
    EXPECT_TRUE(plat.query(&mm->as, a, NULL, &prot) && !(prot & PLAT_HUGE), "4 KiB");
    mm_unmap(mm, a, MIB(8));
    EXPECT_TRUE(before - free_pages() < 8, "all of it came back, but for slabs");
    EXPECT_EQ(machine_mapped(), 0, NULL);
    mm_put(mm);
}

TEST(mm_pin_holds_memory_whatever_becomes_of_its_mapping)
{
    struct mm *mm = start(ram, 2);
    struct mm_pins pins = {.nr = 0};
    u64 before = free_pages(), at = 0;
    u64 a = map(mm, 0, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

    put(a + PAGE_SIZE, 5);
    EXPECT_EQ(mm_pin(a + 512, 7 * PAGE_SIZE, true, &pins), 7 * PAGE_SIZE,
              "the others are faulted in");
    for (u32 i = 0; i < pins.nr; i++)
        at += pins.pieces[i].len;
    EXPECT_EQ(at, 7 * PAGE_SIZE, NULL);
    memset(pins.pieces[0].at, 7, 512);
    EXPECT_EQ(get(a + 512), 7, "it is the program's");
    EXPECT_EQ(get(a + 511), 0, NULL);

    EXPECT_EQ(mm_protect(mm, a, 8 * PAGE_SIZE, PROT_READ), 0, NULL);
    EXPECT_EQ(mm_protect(mm, a, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE), 0, NULL);
    EXPECT_EQ(put(a + 600, 1), 0, NULL);
    memset(pins.pieces[0].at, 8, 1);
    EXPECT_EQ(get(a + 512), 8, "a write of the program's made no copy");

    EXPECT_EQ(mm_unmap(mm, a, 8 * PAGE_SIZE), 0, NULL);
    EXPECT_TRUE(before - free_pages() >= 7, "held though unmapped");
    memset(pins.pieces[0].at, 9, pins.pieces[0].len);
    mm_unpin(&pins);
    EXPECT_TRUE(before - free_pages() < 8, "all of it came back, but for slabs");
    EXPECT_EQ(machine_mapped(), 0, NULL);
    mm_put(mm);
}

TEST(mm_pin_refuses_what_the_program_may_not_touch)
{
    struct mm *mm = start(ram, 2);
    struct mm_pins pins = {.nr = 0};
    u64 a = map(mm, 0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

    put(a, 1);
    put(a + PAGE_SIZE, 1);
    EXPECT_EQ(mm_protect(mm, a + PAGE_SIZE, PAGE_SIZE, PROT_READ), 0, NULL);
    EXPECT_EQ(mm_unmap(mm, a + 2 * PAGE_SIZE, PAGE_SIZE), 0, NULL);
    EXPECT_EQ(mm_pin(a, 4 * PAGE_SIZE, true, &pins), PAGE_SIZE, "up to what is read-only");
    mm_unpin(&pins);
    EXPECT_EQ(mm_pin(a, 4 * PAGE_SIZE, false, &pins), 2 * PAGE_SIZE, "up to the hole");
    mm_unpin(&pins);
    EXPECT_EQ(mm_pin(a + 2 * PAGE_SIZE, 512, false, &pins), 0, NULL);
    EXPECT_EQ(mm_pin(USER_TOP - 512, 512, false, &pins), 0, NULL);
    EXPECT_EQ(mm_pin(a + 3 * PAGE_SIZE, 512, false, &pins), 0, "the zero page is not counted");
    EXPECT_EQ(pins.nr, 0, NULL);
    mm_put(mm);
}

TEST(mm_pin_holds_a_2_mib_page_that_is_cut_meanwhile)
{
    struct mm *mm = start(big_ram, 1);
    struct mm_pins pins = {.nr = 0}, more = {.nr = 0};
    u64 before = free_pages();
    u64 a = map(mm, 0, MIB(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);

    put(a + MIB(2), 9);
    EXPECT_EQ(mm_pin(a + MIB(3), MIB(1), true, &pins), MIB(1), NULL);
    EXPECT_EQ(pins.nr, 1, "one piece");
    EXPECT_EQ(mm_pin(a + MIB(2), PAGE_SIZE, false, &more), PAGE_SIZE, "twice");
    EXPECT_EQ(mm_unmap(mm, a + MIB(3), PAGE_SIZE), 0, "a page out of it");
    memset(pins.pieces[0].at, 3, MIB(1));
    EXPECT_EQ(get(a + MIB(3)), -1, NULL);
    EXPECT_EQ(get(a + MIB(3) + PAGE_SIZE), 3, NULL);
    mm_unpin(&more);
    EXPECT_EQ(mm_unmap(mm, a, MIB(4)), 0, NULL);
    EXPECT_TRUE(before - free_pages() >= 512, "all of it is held");
    mm_unpin(&pins);
    EXPECT_TRUE(before - free_pages() < 8, "all of it came back, but for slabs");

    a = map(mm, 0, MIB(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);
    put(a + MIB(2), 9);
    EXPECT_EQ(mm_pin(a + MIB(2), MIB(2), true, &pins), MIB(2), NULL);
    EXPECT_EQ(mm_unmap(mm, a, MIB(8)), 0, "as a whole");
    mm_unpin(&pins);
    EXPECT_TRUE(before - free_pages() < 8, NULL);
    mm_put(mm);
}

TEST(mm_fault_without_memory_is_sigkill)
{
    struct mm *mm = start(ram, 2);
    u64 a = map(mm, 0, MIB(64), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    int code = 0, result = 0;

    for (u64 at = 0; at < MIB(64) && !result; at += PAGE_SIZE)
        result = mm_fault(mm, a + at, ACCESS_WRITE, &code);
    EXPECT_EQ(result, -9, NULL);
    EXPECT_EQ(mm_unmap(mm, a, MIB(64)), 0, "which can always be given back");
    EXPECT_TRUE(free_pages() > 3000, NULL);
    mm_put(mm);
}

/* ---- a file ---- */

static struct page *file_pages[8];
static u64 dirtied, file_refs;

static void file_get(struct vm_backing *backing)
{
    (void)backing;
    file_refs++;
}
static void file_put(struct vm_backing *backing)
{
    (void)backing;
    file_refs--;
}
static int file_page(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    (void)backing, (void)write;
    if (index >= ARRAY_LEN(file_pages))
        return -EFAULT;
    page_get(file_pages[index]);
    *pa = page_to_phys(file_pages[index]);
    return 0;
}
static u32 file_cached(struct vm_backing *backing, u64 index, u32 n, paddr_t *pa)
{
    return n && !file_page(backing, index, false, pa);
}
static void file_dirty(struct vm_backing *backing, u64 index)
{
    (void)backing;
    dirtied |= 1 << index;
}

static const struct vm_backing_ops file_ops = {.get = file_get,
                                               .put = file_put,
                                               .page = file_page,
                                               .cached = file_cached,
                                               .dirty = file_dirty};
static struct vm_backing file = {&file_ops};

static void make_file(void)
{
    for (u32 i = 0; i < ARRAY_LEN(file_pages); i++) {
        file_pages[i] = page_alloc(0, 0);
        memset(page_to_virt(file_pages[i]), (int)(0x10 + i), PAGE_SIZE);
    }
}

TEST(mm_private_file_is_copied_on_write)
{
    struct mm *mm = start(ram, 2);
    u64 a;

    make_file();
    EXPECT_EQ(mm_map(mm, 0, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, &file, 0, NULL, &a),
              0, NULL);
    EXPECT_EQ(get(a), 0x10, NULL);
    EXPECT_EQ(machine_mapped(), 8, "its neighbours came along");
    EXPECT_EQ(put(a, 0x55), 0, "after a read");
    EXPECT_EQ(mm_advise(mm, a + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED), 0, NULL);
    EXPECT_EQ(put(a + PAGE_SIZE, 0x56), 0, "at first touch");
    EXPECT_EQ(get(a), 0x55, NULL);
    EXPECT_EQ(get(a + PAGE_SIZE + 1), 0x11, "the rest is the file's");
    EXPECT_EQ(*(u8 *)page_to_virt(file_pages[0]), 0x10, "which is as it was");
    EXPECT_EQ(mm_advise(mm, a, PAGE_SIZE, MADV_DONTNEED), 0, NULL);
    EXPECT_EQ(get(a), 0x10, "the file again");
    mm_put(mm);
    EXPECT_EQ(file_refs, 0, NULL);
    EXPECT_EQ(dirtied, 0, NULL);
    for (u32 i = 0; i < ARRAY_LEN(file_pages); i++)
        EXPECT_EQ(file_pages[i]->refs, 1, "no reference is left");
}

/* As the page cache does: what only it holds. */
static u64 shrink_file(u64 want)
{
    u64 freed = 0;

    for (u32 i = 0; i < ARRAY_LEN(file_pages) && freed < want; i++)
        if (file_pages[i] && file_pages[i]->refs == 1) {
            page_put(file_pages[i]);
            file_pages[i] = NULL;
            freed++;
        }
    return freed;
}

TEST(mm_unchanged_pages_of_files_go_where_there_is_no_other)
{
    struct shrinker shrinker = {.shrink = shrink_file};
    struct mm *mm = start(ram, 2);
    u64 a, b;

    make_file();
    page_register_shrinker(&shrinker);
    EXPECT_EQ(mm_map(mm, 0, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, &file, 0, NULL, &a),
              0, NULL);
    EXPECT_EQ(mm_map(mm, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, &file, 7 * PAGE_SIZE, NULL, &b), 0,
              NULL);
    EXPECT_EQ(put(a, 0x55), 0, "a copy of its own");
    EXPECT_EQ(get(a + PAGE_SIZE), 0x11, "and the file's, with those around it");
    EXPECT_EQ(get(b), 0x17, "one is shared besides");
    while (page_alloc(0, PAGE_NORECLAIM)) /* the rest of memory is somebody's */
        ;
    u64 before = machine_mapped();
    EXPECT_TRUE(page_alloc(0, 0) != NULL, "one that only the file's cache had");
    EXPECT_FALSE(mm_reclaim(), "so few pages of files are those that programs run from");
    EXPECT_TRUE(page_alloc(0, 0) == NULL, NULL);
    page_account(offsetof(struct page_stats, page_cache), 1000);
    EXPECT_EQ(machine_mapped(), before, NULL);
    EXPECT_TRUE(page_alloc(0, 0) != NULL, "one that was mapped");
    EXPECT_TRUE(file_pages[0] == NULL && file_pages[1] == NULL, "of what was mapped and unchanged");
    EXPECT_TRUE(file_pages[7] != NULL, "the shared one stays");
    EXPECT_EQ(machine_mapped(), before - 7, NULL);
    EXPECT_EQ(get(a), 0x55, "the copy stays");
    EXPECT_TRUE(mm_reclaim(), "some are left");
    while (page_alloc(0, 0))
        ;
    EXPECT_FALSE(mm_reclaim(), "none is left");
    EXPECT_EQ(get(a), 0x55, NULL);
}

TEST(mm_shared_file_tells_of_its_dirty_pages)
{
    struct mm *mm = start(ram, 2);
    u64 a;

    make_file();
    EXPECT_EQ(mm_map(mm, 0, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, &file, 0, NULL, &a),
              0, NULL);
    EXPECT_EQ(get(a + PAGE_SIZE), 0x11, NULL);
    EXPECT_EQ(put(a + 2 * PAGE_SIZE, 1), 0, NULL);
    EXPECT_EQ(mm_sync(mm, a, 8 * PAGE_SIZE, MS_SYNC), 0, NULL);
    EXPECT_EQ(dirtied, 1 << 2, "the written one");
    EXPECT_EQ(put(a + 3 * PAGE_SIZE, 1), 0, NULL);
    EXPECT_EQ(get(a + 8 * PAGE_SIZE), -1, "past the end");
    int code = 0;
    EXPECT_EQ(mm_fault(mm, a + 8 * PAGE_SIZE, ACCESS_READ, &code), -7, "SIGBUS");
    EXPECT_EQ(mm_unmap(mm, a, 16 * PAGE_SIZE), 0, NULL);
    EXPECT_EQ(dirtied, 1 << 2 | 1 << 3, NULL);
    EXPECT_EQ(*(u8 *)page_to_virt(file_pages[3]), 1, NULL);
    mm_put(mm);
}

static bool is_the_file(struct vm_backing *backing, void *arg)
{
    return backing == arg;
}

TEST(mm_forget_takes_a_files_lost_pages_out_of_every_view)
{
    struct mm *mm = start(ram, 2);
    u64 shared, private;

    make_file();
    EXPECT_EQ(mm_map(mm, 0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, &file, 2 * PAGE_SIZE,
                     NULL, &shared),
              0, NULL);
    EXPECT_EQ(
        mm_map(mm, 0, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, &file, 0, NULL, &private),
        0, NULL);
    get(shared);
    get(private);
    u64 before = machine_mapped();
    EXPECT_EQ(before, 12, "all there");
    mm_forget(is_the_file, &file, 3, 2);
    EXPECT_EQ(machine_mapped(), before - 4, "pages 3 and 4, twice");
    EXPECT_EQ(plat.query(&mm->as, private + 2 * PAGE_SIZE, NULL, NULL), true, NULL);
    EXPECT_EQ(plat.query(&mm->as, private + 3 * PAGE_SIZE, NULL, NULL), false, NULL);
    EXPECT_EQ(plat.query(&mm->as, shared + 2 * PAGE_SIZE, NULL, NULL), false, NULL);
    mm_forget(is_the_file, &file, 5, UINT64_MAX);
    EXPECT_EQ(machine_mapped(), 4, "pages 2 (twice), 0 and 1");
    mm_forget(is_the_file, NULL, 0, UINT64_MAX);
    EXPECT_EQ(machine_mapped(), 4, "another file");
    mm_put(mm);
}

TEST(mm_shared_file_not_open_for_writing_stays_readonly)
{
    struct mm *mm = start(ram, 2);
    u64 a;

    make_file();
    EXPECT_EQ(mm_map(mm, 0, PAGE_SIZE, PROT_READ, MAP_SHARED | MM_MAP_NOWRITE, &file, 0, NULL, &a),
              0, NULL);
    EXPECT_EQ(mm_protect(mm, a, PAGE_SIZE, PROT_READ | PROT_WRITE), -EACCES, NULL);
    mm_put(mm);
}

TEST(mm_calls_undo_themselves_when_page_tables_cannot_be_had)
{
    struct mm *mm = start(ram, 2);

    FOR_EACH_FAULT(fault) {
        u64 a = map(mm, 0, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE), b = 0;
        int code = 0, err = mm_fault(mm, a, ACCESS_WRITE, &code);
        EXPECT_EQ(err, fault.err ? -9 : 0, fault.what);
        mm_remap(mm, a, 4 * PAGE_SIZE, 8 * PAGE_SIZE, MREMAP_MAYMOVE, 0, &b);
        mm_unmap(mm, b, 8 * PAGE_SIZE);
        EXPECT_EQ(mm->nr_areas, 0, NULL);
        EXPECT_EQ(machine_mapped(), 0, NULL);
    }
    mm_put(mm);
}

/* ---- copies ---- */

TEST(uaccess_refuses_ranges_that_leave_the_lower_half)
{
    struct mm *mm = start(ram, 2);
    char buf[16];

    EXPECT_EQ(copy_from_user(buf, USER_TOP - 8, 16), -EFAULT, "across the end");
    EXPECT_EQ(copy_from_user(buf, UINT64_MAX - 4, 16), -EFAULT, "the sum wraps");
    EXPECT_EQ(copy_to_user(USER_TOP, buf, 1), -EFAULT, NULL);
    EXPECT_EQ(clear_user(BASE, UINT64_MAX), -EFAULT, NULL);
    EXPECT_EQ(strncpy_from_user(buf, USER_TOP, 16), -EFAULT, NULL);
    EXPECT_EQ(user_load32(BASE + 2, (u32 *)buf), -EINVAL, "not aligned");
    map(mm, BASE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED);
    EXPECT_EQ(copy_to_user(BASE + 100, "hello", 6), 0, NULL);
    EXPECT_EQ(strncpy_from_user(buf, BASE + 100, 16), 5, NULL);
    EXPECT_STR(buf, "hello", NULL);
    EXPECT_EQ(strncpy_from_user(buf, BASE + 100, 5), -ENAMETOOLONG, NULL);
    mm_put(mm);
}

TEST(iter_crosses_segments_and_stops_at_a_fault)
{
    struct mm *mm = start(ram, 2);
    struct iovec iov[4] = {{BASE, 3}, {0, 0}, {BASE + 100, 4}, {BASE + PAGE_SIZE - 2, 10}};
    struct iov_iter it;
    char buf[32];

    map(mm, BASE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED);
    iter_init_vec(&it, iov, 4, 17);
    EXPECT_EQ(iter_write(&it, "abcdefghijklmnopq", 17), 9, "two bytes fit before the end");
    EXPECT_EQ(it.left, 8, NULL);
    iter_revert(&it, 9);
    EXPECT_EQ(it.left, 17, NULL);
    memset(buf, 0, sizeof(buf));
    EXPECT_EQ(iter_read(&it, buf, 8), 8, NULL);
    EXPECT_STR(buf, "abcdefgh", NULL);
    iter_revert(&it, 5);
    EXPECT_EQ(iter_zero(&it, 2), 2, NULL);
    iter_revert(&it, 5);
    EXPECT_EQ(iter_read(&it, buf, 7), 7, NULL);
    EXPECT_MEM(buf, "abc\0\0fg", 7, NULL);

    char place[8];
    iter_init_kernel(&it, iov, place, sizeof(place));
    EXPECT_EQ(iter_write(&it, "12345678xx", 10), 8, "no further than it is long");
    EXPECT_MEM(place, "12345678", 8, NULL);
    mm_put(mm);
}

TEST(iter_over_one_buffer_is_plain)
{
    struct mm *mm = start(ram, 2);
    struct iovec iov[2] = {{BASE, 3}, {USER_TOP, 3}};
    struct iov_iter it;
    char buf[8];
    size_t n;

    map(mm, BASE, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED);
    iter_init_user(&it, BASE + PAGE_SIZE - 6, 10);
    EXPECT_EQ(iter_write(&it, "abcdefghij", 10), 6, "up to the end of the page");
    EXPECT_EQ(it.left, 4, NULL);
    iter_revert(&it, 6);
    EXPECT_EQ(iter_zero(&it, 2), 2, NULL);
    EXPECT_EQ((uaddr_t)(uintptr_t)iter_run(&it, &n), BASE + PAGE_SIZE - 4, NULL);
    EXPECT_EQ(n, 8, NULL);
    iter_skip(&it, 1);
    EXPECT_EQ(iter_read(&it, buf, 20), 3, NULL);
    EXPECT_MEM(buf, "def", 3, NULL);

    iter_init_vec(&it, iov, 2, 6);
    EXPECT_EQ((uaddr_t)(uintptr_t)iter_run(&it, &n), BASE, NULL);
    EXPECT_EQ(n, 3, NULL);
    iter_skip(&it, 3);
    EXPECT_TRUE(!iter_run(&it, &n), "not the program's");
    mm_put(mm);
}
