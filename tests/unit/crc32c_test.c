#include "unit/test.h"

#include <string.h>

#include "lib/crc32c.h"

enum { LEN = 5000 };

/* A bit at a time: what the polynomial says. */
static u32 by_bits(u32 crc, const u8 *p, size_t len)
{
    for (; len; p++, len--) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return crc;
}

static void fill(u8 *data, u32 zeros_of_4)
{
    u32 state = 7;

    for (u32 i = 0; i < LEN; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = i / 64 % 4 < zeros_of_4 ? 0 : (u8)(state >> 24);
    }
}

static void compare(const u8 *data, const char *way)
{
    static const size_t lens[] = {0, 1, 7, 8, 63, 64, 65, 200, 1024, 2047, 2048, 4096, LEN - 3};

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        for (u32 at = 0; at < 3; at++)
            EXPECT_EQ(crc32c(UINT32_MAX, data + at, lens[i]), by_bits(~0u, data + at, lens[i]),
                      way);
}

TEST(the_sum_of_the_rfc)
{
    u8 data[32] = {0};

    /* RFC 3720, B.4; there it is inverted in the end. */
    EXPECT_EQ(~crc32c(UINT32_MAX, data, sizeof(data)), 0x8a9136aau, NULL);
    EXPECT_EQ(~crc32c(UINT32_MAX, "123456789", 9), 0xe3069283u, NULL);
}

TEST(tables_and_instruction_give_what_bits_give)
{
    static u8 data[LEN];

    for (u32 zeros_of_4 = 0; zeros_of_4 <= 4; zeros_of_4++) {
        fill(data, zeros_of_4);
        crc32c_by_instruction = false;
        compare(data, "tables");
        if (!__builtin_cpu_supports("sse4.2"))
            continue;
        crc32c_by_instruction = true;
        compare(data, "instruction");
        crc32c_by_table = true;
        compare(data, "both");
        crc32c_by_table = false;
    }
}
