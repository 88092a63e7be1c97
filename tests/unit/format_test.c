#include "unit/test.h"

#include <string.h>

#include "lib/format.h"

static char ours[128], theirs[128];

/* Both must agree, in text and length. */
#define SAME(...)                                                                                  \
    do {                                                                                           \
        int n = format(ours, sizeof(ours), __VA_ARGS__);                                           \
        int m = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                     \
        EXPECT_STR(ours, theirs, NULL);                                                            \
        EXPECT_EQ(n, m, NULL);                                                                     \
    } while (0)

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat-overflow"

TEST(format_prints_numbers_as_libc)
{
    SAME("%d %d %d", 0, -1, 2147483647);
    SAME("%d %i", -2147483647 - 1, 7);
    SAME("%u %x %X %o", 4294967295u, 0xbeefu, 0xbeefu, 8u);
    SAME("%lx %llx %zu %jd %td", 1ul << 63, 1ull << 40, (size_t)5, (intmax_t)-5, (ptrdiff_t)3);
    SAME("%hhd %hd %hhu", 300, 70000, 511);
    SAME("[%5d] [%-5d] [%05d] [%+d] [% d] [%.3d] [%8.3d]", 42, 42, -42, 42, 42, 7, 7);
    SAME("[%#x] [%#10x] [%#010x] [%#o] [%#x]", 255, 255, 255, 8, 0);
    SAME("[%*d] [%-*d] [%*d]", 6, 1, 6, 1, -6, 1);
    SAME("[%.0d] [%.0d]", 0, 1);
}

TEST(format_prints_strings_as_libc)
{
    SAME("%s|%10s|%-10s|%.2s|%.*s", "abc", "abc", "abc", "abc", 1, "abc");
    SAME("%c%c %5c %%", 'a', 'b', 'c');
    SAME("%p", (void *)0x1234);
}

TEST(format_cuts_off_and_counts_on)
{
    char small[4] = "zzz";

    EXPECT_EQ(format(small, sizeof(small), "%s", "abcdef"), 6, NULL);
    EXPECT_STR(small, "abc", NULL);
    EXPECT_EQ(format(NULL, 0, "%d", 12345), 5, NULL);
}

TEST(format_leaves_what_it_does_not_know)
{
    format(ours, sizeof(ours), "%k %");
    EXPECT_STR(ours, "%k %", NULL);
    format(ours, sizeof(ours), "%s", (char *)NULL);
    EXPECT_STR(ours, "(null)", NULL);
}

TEST(format_alternate_octal_of_zero_is_one_zero)
{
    char buf[8];

    format(buf, sizeof(buf), "%#o", 0);
    EXPECT_STR(buf, "0", NULL);
    format(buf, sizeof(buf), "%#o", 8);
    EXPECT_STR(buf, "010", NULL);
}
