/* Words on their way to the guest's command line. */
#include "unit/test.h"
#include "vm/cmdline.h"

#include "lib/buf.h"

static const char *added(struct buf *line, const char *word)
{
    buf_free(line);
    cmdline_add(line, word);
    return buf_text(line);
}

TEST(cmdline_add_quotes_only_what_needs_it)
{
    struct buf line = {0};

    EXPECT_STR(added(&line, "plain-word_1.2/3:4,5=6+7@8%"), "plain-word_1.2/3:4,5=6+7@8%", NULL);
    EXPECT_STR(added(&line, ""), "\"\"", "an empty word is a word");
    EXPECT_STR(added(&line, "a b"), "\"a b\"", NULL);
    EXPECT_STR(added(&line, "q\"q\\"), "\"q\\\"q\\\\\"", NULL);
    EXPECT_STR(added(&line, "n\nt\t\x7f"), "\"n\\nt\\x09\\x7f\"", NULL);
    EXPECT_STR(added(&line, "\xc3\xbc"), "\"\xc3\xbc\"", "UTF-8 passes as it is");
    buf_free(&line);
}

TEST(cmdline_add_separates_words_by_one_space)
{
    struct buf line = {0};

    cmdline_add(&line, "a");
    cmdline_add(&line, "b c");
    cmdline_add_pair(&line, "key", "");
    cmdline_add_pair(&line, "key", "v w");
    EXPECT_STR(buf_text(&line), "a \"b c\" key= key=\"v w\"", NULL);
    buf_free(&line);
}

TEST(cmdline_env_fits_refuses_what_the_kernel_would_take)
{
    EXPECT_TRUE(cmdline_env_fits("PATH", 4), NULL);
    EXPECT_TRUE(cmdline_env_fits("roots", 5), "only whole names are the kernel's");
    EXPECT_FALSE(cmdline_env_fits("root", 4), NULL);
    EXPECT_FALSE(cmdline_env_fits("init", 4), NULL);
    EXPECT_FALSE(cmdline_env_fits("a.b", 3), "a dot makes it a parameter of a module");
    EXPECT_FALSE(cmdline_env_fits("a b", 3), NULL);
    EXPECT_FALSE(cmdline_env_fits("", 0), NULL);
}
