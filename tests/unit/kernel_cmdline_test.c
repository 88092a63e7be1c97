#include "unit/test.h"

#include <errno.h>
#include <string.h>

#include "core/cmdline.h"

static struct cmdline cl;
static char text[8192];

static int parse(const char *line)
{
    snprintf(text, sizeof(text), "%s", line);
    return cmdline_parse(&cl, text);
}

TEST(cmdline_splits_at_blanks_and_dashes)
{
    EXPECT_EQ(parse("  a=1\tro  -- x -- y "), 0, NULL);
    EXPECT_EQ(cl.nr_options, 2, NULL);
    EXPECT_EQ(cl.nr_words, 5, "a second -- is an argument");
    EXPECT_STR(cl.words[0], "a=1", NULL);
    EXPECT_STR(cl.words[2], "x", NULL);
    EXPECT_STR(cl.words[3], "--", NULL);
    EXPECT_STR(cl.words[4], "y", NULL);
}

TEST(cmdline_resolves_quotes_and_escapes)
{
    EXPECT_EQ(parse("A=\"x y\" \"B=\\\"\\\\\\n\\x41\" c\"\"d -- \"\" \"--\""), 0, NULL);
    EXPECT_STR(cl.words[0], "A=x y", NULL);
    EXPECT_STR(cl.words[1], "B=\"\\\nA", NULL);
    EXPECT_STR(cl.words[2], "cd", NULL);
    EXPECT_STR(cl.words[3], "", "an empty argument");
    EXPECT_EQ(cl.nr_words, 5, NULL);
}

TEST(cmdline_keeps_a_backslash_outside_quotes)
{
    EXPECT_EQ(parse("a\\n"), 0, NULL);
    EXPECT_STR(cl.words[0], "a\\n", NULL);
}

TEST(cmdline_tells_of_bad_input_and_keeps_all_words)
{
    EXPECT_EQ(parse("a \"b c"), -EINVAL, "an open quote");
    EXPECT_EQ(cl.nr_words, 2, NULL);
    EXPECT_STR(cl.words[1], "b c", NULL);
    EXPECT_EQ(parse("\"\\q\" b"), -EINVAL, "a bad escape");
    EXPECT_STR(cl.words[0], "\\q", "taken literally");
    EXPECT_EQ(parse("\"\\x0\" b"), -EINVAL, "half a number");
    EXPECT_EQ(parse("\"\\x00\""), -EINVAL, "a NUL cannot be in a word");
    EXPECT_EQ(cl.nr_words, 1, NULL);
}

TEST(cmdline_limits_the_number_of_words)
{
    size_t len = 0;
    for (int i = 0; i < CMDLINE_MAX_WORDS + 1; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "w ");
    EXPECT_EQ(cmdline_parse(&cl, text), -E2BIG, NULL);
    EXPECT_EQ(cl.nr_words, CMDLINE_MAX_WORDS, NULL);
}

TEST(cmdline_find_takes_the_last_and_the_whole_key)
{
    parse("root=a rootx=c root=b quiet -- root=d");
    EXPECT_STR(cmdline_find(&cl, "root"), "b", NULL);
    EXPECT_STR(cmdline_find(&cl, "quiet"), "", NULL);
    EXPECT_TRUE(!cmdline_find(&cl, "roo"), NULL);
}

TEST(cmdline_knows_the_kernel_words)
{
    EXPECT_TRUE(cmdline_is_kernel_word("root=/dev/vda"), NULL);
    EXPECT_TRUE(cmdline_is_kernel_word("quiet"), NULL);
    EXPECT_TRUE(!cmdline_is_kernel_word("roo=1"), NULL);
    EXPECT_TRUE(!cmdline_is_kernel_word("HOME=/"), NULL);
}
