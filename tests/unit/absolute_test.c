/* Code with absolute operands, made by `ingot export`, undone by the kernel's assembler. */
#include "unit/test.h"

#include "export/absolute.h"

#include <string.h>

enum { LEN = 256 << 10, MIDDLE = 64 << 10, BEHIND = 64 };

void absolute_undo(u8 *base, const struct absolute_form *form); /* plat/pc/absolute.h */

static u8 code[LEN + BEHIND], stored[LEN + BEHIND];

static u32 next_random(u32 *state)
{
    return *state = *state * 1664525 + 1013904223;
}

/* Calls of few functions among random bytes below @highest. */
static void make_code(u32 seed, u32 highest)
{
    for (u32 i = 0; i < sizeof(code); i++)
        code[i] = (u8)((next_random(&seed) >> 16) % highest);
    for (u32 at = 0; at + 32 < LEN; at += 8 + (next_random(&seed) >> 16) % 24) {
        u32 relative = (next_random(&seed) >> 16) % 50 * 1000 - (at + 5);
        code[at] = 0xe8;
        memcpy(code + at + 1, &relative, 4);
    }
}

static struct absolute_form store(size_t begin, size_t end, size_t limit)
{
    struct absolute_form form;

    memcpy(stored, code, sizeof(code));
    absolute_make(stored, begin, end, limit, &form);
    return form;
}

TEST(absolute_operands_are_the_same_bytes_and_come_back)
{
    for (u32 seed = 1; seed < 40; seed++) {
        u32 begin = seed * 7, end = LEN - seed * 3;
        make_code(seed, 200);
        struct absolute_form form = store(begin, end, LEN);
        EXPECT_TRUE(form.count, "there is a marker");
        EXPECT_TRUE(form.begin >= begin && form.end <= end && (form.end - form.begin) % 64 == 0,
                    "whole blocks of the range");
        u32 changed = 0;
        for (u32 i = 0; i < sizeof(code); i++)
            changed += code[i] != stored[i];
        EXPECT_TRUE(changed > LEN / 20, "most calls");
        EXPECT_MEM(stored, code, form.begin, "nothing before it");
        EXPECT_MEM(stored + form.end, code + form.end, sizeof(code) - form.end, "nor behind");
        absolute_undo(stored, &form);
        EXPECT_MEM(stored, code, sizeof(code), "the same bytes");
    }
}

TEST(absolute_leaves_what_has_no_free_marker_and_what_is_no_code)
{
    make_code(3, 256);
    for (u32 pair = 0; pair < 256 * 256; pair++) { /* all there are, between calls */
        code[MIDDLE + 2 * pair] = (u8)pair;
        code[MIDDLE + 2 * pair + 1] = (u8)(pair >> 8);
    }
    EXPECT_EQ(store(0, LEN, LEN).count, 0, "data");
    EXPECT_MEM(stored, code, sizeof(code), "as it was");
    EXPECT_EQ(store(0, 10, LEN).count, 0, "too short");
    EXPECT_EQ(store(LEN, LEN, LEN).count, 0, "empty");
    make_code(4, 200);
    EXPECT_EQ(store(0, LEN, 4).count, 0, "nothing that can be referred to");
}
