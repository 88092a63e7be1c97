/* Root images folded by `ingot export` and unfolded by the kernel. */
#include "unit/test.h"

#include "abi/fold.h"
#include "export/fold.h"
#include "lib/buf.h"
#include "plat/pc/memory_map.h"
#include "plat/pc/unfold.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 40, LEN = PAGES * 4096 };

u64 direct_map_base;

static u8 image[LEN], back[LEN];

static u32 next_random(u32 *state)
{
    return *state = *state * 1664525 + 1013904223;
}

/* Random pages, of which the second half repeats the first but for a byte each 1500. */
static void make_image(u32 seed)
{
    for (u32 i = 0; i < LEN / 2; i++)
        image[i] = (u8)(next_random(&seed) >> 24);
    memcpy(image + LEN / 2, image, LEN / 2);
    for (u32 i = LEN / 2; i < LEN; i += 1500)
        image[i] ^= 1;
}

TEST(fold_keeps_one_of_two_and_unfold_gives_both)
{
    struct buf out = {0};

    make_image(1);
    fold(image, LEN, &out);
    EXPECT_TRUE(out.len < LEN / 2 + LEN / 20, "one half, and some runs");
    EXPECT_EQ(unfold_size((u8 *)out.data, out.len), LEN, "its size");
    EXPECT_TRUE(unfold((u8 *)out.data, out.len, back), "unfolded");
    EXPECT_MEM(back, image, LEN, "the same bytes");
    buf_free(&out);
}

TEST(fold_of_what_has_no_repetition_and_of_zeroes)
{
    for (u32 round = 0; round < 2; round++) {
        struct buf out = {0};
        u32 seed = 7;
        for (u32 i = 0; i < LEN; i++)
            image[i] = round ? 0 : (u8)(next_random(&seed) >> 24);
        fold(image, LEN, &out);
        EXPECT_TRUE(unfold((u8 *)out.data, out.len, back), "unfolded");
        EXPECT_MEM(back, image, LEN, "the same bytes");
        buf_free(&out);
    }
}

TEST(unfold_refuses_what_is_damaged)
{
    struct buf out = {0};
    u32 seed = 3, accepted = 0;

    make_image(2);
    fold(image, LEN, &out);
    u8 *copy = malloc(out.len);
    for (u32 i = 0; i < 3000; i++) {
        size_t len = i % 3 ? out.len : next_random(&seed) % out.len;
        u8 *exact = malloc(len ? len : 1); /* so that a byte too many is seen */
        memcpy(copy, out.data, out.len);
        size_t damaged = next_random(&seed) % (sizeof(struct fold_header) + 200);
        copy[damaged] ^= (u8)(1 + next_random(&seed) % 255);
        memcpy(exact, copy, len);
        if (unfold_size(exact, len) <= LEN)
            accepted += unfold(exact, len, back);
        free(exact);
    }
    EXPECT_TRUE(accepted < 3000, "not all");
    EXPECT_EQ(unfold_size((const u8 *)"PK", 2), 0, "what is too short");
    free(copy);
    buf_free(&out);
}

static struct boot_info machine(void *memory, size_t folded, size_t ram)
{
    struct boot_info bi = {.initrd_pa = 0x1000, .initrd_len = folded};

    direct_map_base = (uintptr_t)memory;
    memory_map_add(&bi, 0x1000 + ALIGN_UP(folded, PAGE_SIZE), ram);
    return bi;
}

TEST(an_initrd_is_unfolded_into_ram_and_its_own_is_given_back)
{
    enum { RAM = 4 << 20 };
    struct buf out = {0};
    u8 *memory = calloc(1, RAM);

    make_image(4);
    fold(image, LEN, &out);
    memcpy(memory + 0x1000, out.data, out.len);
    struct boot_info bi = machine(memory, out.len, 1 << 20);
    u64 folded_pages = ALIGN_DOWN(out.len, PAGE_SIZE);
    unfold_initrd(&bi);
    EXPECT_TRUE(!bi.initrd_fault, "no fault");
    EXPECT_EQ(bi.initrd_len, LEN, "its size");
    EXPECT_MEM(memory + bi.initrd_pa, image, LEN, "its bytes");
    u64 free_bytes = 0;
    for (u32 i = 0; i < bi.nr_regions; i++)
        free_bytes += bi.regions[i].len;
    EXPECT_EQ(free_bytes, (1 << 20) - LEN + folded_pages, "what is free now");

    bi = machine(memory, out.len, LEN / 2);
    unfold_initrd(&bi);
    EXPECT_TRUE(bi.initrd_fault && strstr(bi.initrd_fault, "out of memory"), "too little RAM");
    EXPECT_EQ(bi.initrd_pa, 0x1000, "it stays where it was");

    memory[0x1000 + sizeof(struct fold_header) + 7] ^= 0x80; /* of the first run's copy */
    bi = machine(memory, out.len, 1 << 20);
    unfold_initrd(&bi);
    EXPECT_TRUE(bi.initrd_fault && strstr(bi.initrd_fault, "damaged"), "a damaged run");
    free(memory);
    buf_free(&out);
}
