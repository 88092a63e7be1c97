/* Errors: set where they are known, prefixed on the way up, never overrun. */
#include "lib/err.h"
#include "unit/test.h"

TEST(err_reads_from_the_outside_in)
{
    struct err err = {0};

    EXPECT_EQ(err_set(&err, EINVAL, "unknown word '%s'", "x"), -EINVAL, NULL);
    EXPECT_EQ(err_prefix(&err, "line %d", 12), -EINVAL, NULL);
    EXPECT_STR(err.text, "line 12: unknown word 'x'", NULL);
    EXPECT_EQ(err_errno(&err, ENOENT, "%s", "/a"), -ENOENT, NULL);
    EXPECT_STR(err.text, "/a: No such file or directory", NULL);
    err_clear(&err);
    EXPECT_EQ(err.code, 0, NULL);
}

TEST(err_may_be_nobodys)
{
    EXPECT_EQ(err_set(NULL, EIO, "x"), -EIO, NULL);
    EXPECT_TRUE(err_prefix(NULL, "x") < 0, NULL);
    err_clear(NULL);
}

TEST(err_cuts_what_is_too_long)
{
    char longest[4 * sizeof(((struct err *)0)->text)];
    struct err err = {0};

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    err_set(&err, EIO, "%s", longest);
    EXPECT_EQ(strlen(err.text), sizeof(err.text) - 1, NULL);
    err_prefix(&err, "%s", longest);
    EXPECT_EQ(strlen(err.text), sizeof(err.text) - 1, NULL);
    err_errno(&err, EIO, "%s", longest);
    EXPECT_EQ(strlen(err.text), sizeof(err.text) - 1, NULL);
}
