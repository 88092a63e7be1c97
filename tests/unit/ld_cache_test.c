/* The linker's cache: what we write, glibc must find by halving; what we read may be anything. */
#include "image/ld_cache.h"
#include "unit/test.h"

static void make(struct buf *out)
{
    static const char *const paths[] = {"/lib/libm.so.6", "/lib/libc.so.6", "/lib/libz.so.1",
                                        "/lib/libx.so.10", "/lib/libx.so.9"};
    struct strs list = {0};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        strs_add(&list, paths[i]);
    ld_cache_write(&list, out);
    strs_free(&list);
}

TEST(ld_cache_finds_what_it_wrote)
{
    struct buf out = {0};
    struct ld_cache cache;

    make(&out);
    REQUIRE(ld_cache_open((const u8 *)out.data, out.len, &cache), NULL);
    EXPECT_EQ(cache.count, 5, NULL);
    EXPECT_STR(ld_cache_find(&cache, "libz.so.1"), "/lib/libz.so.1", NULL);
    EXPECT_STR(ld_cache_find(&cache, "libx.so.9"), "/lib/libx.so.9", NULL);
    EXPECT_EQ(ld_cache_find(&cache, "libq.so"), NULL, NULL);
    buf_free(&out);
}

TEST(ld_cache_is_sorted_downwards_with_numbers_as_numbers)
{
    static const char *const order[] = {"libz.so.1", "libx.so.10", "libx.so.9", "libm.so.6",
                                        "libc.so.6"};
    struct buf out = {0};

    make(&out);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        u32 name;
        memcpy(&name, out.data + 48 + 24 * i + 4, sizeof(name));
        EXPECT_STR(out.data + name, order[i], NULL);
    }
    buf_free(&out);
}

TEST(ld_cache_survives_truncation_and_any_byte_changed)
{
    struct buf out = {0};
    struct ld_cache cache;

    make(&out);
    for (size_t len = 0; len <= out.len; len++) {
        u8 *copy = malloc(len + 1);
        memcpy(copy, out.data, len);
        if (ld_cache_open(copy, len, &cache))
            ld_cache_find(&cache, "libc.so.6");
        free(copy);
    }
    for (size_t at = 0; at < out.len; at++) {
        u8 *copy = malloc(out.len);
        memcpy(copy, out.data, out.len);
        copy[at] ^= 0xff;
        if (ld_cache_open(copy, out.len, &cache))
            ld_cache_find(&cache, "libc.so.6");
        free(copy);
    }
    buf_free(&out);
}
