/* Guest paths: cleaned, links followed as the guest follows them. */
#include "image/tree.h"
#include "unit/test.h"

static void expect_clean(const char *base, const char *path, const char *want)
{
    char *clean = path_clean(base, path);

    EXPECT_STR(clean, want, path);
    free(clean);
}

TEST(path_clean_takes_dots_and_slashes_away)
{
    expect_clean("/", "/a//b/./c/", "/a/b/c");
    expect_clean("/", "/a/../../b", "/b");
    expect_clean("/", "/", "/");
    expect_clean("/", "/..", "/");
    expect_clean("/w", "x/../y", "/w/y");
    expect_clean("/w", "../../..", "/");
}

TEST(tree_puts_files_behind_links)
{
    struct tree tree = {0};

    EXPECT_EQ(tree_add_link(&tree, "/lib", "usr/lib", NULL), 0, NULL);
    EXPECT_EQ(tree_add_data(&tree, "/lib/x", "1", 1, 0644, NULL), 0, NULL);
    EXPECT_STR(tree_find(&tree, "/lib/x")->path, "/usr/lib/x", NULL);
    EXPECT_EQ(tree_find(&tree, "/lib")->kind, TREE_LINK, NULL);
    EXPECT_EQ(tree_follow(&tree, "/lib")->kind, TREE_DIR, NULL);
    tree_free(&tree);
}

TEST(tree_refuses_loops_and_files_in_the_way)
{
    struct tree tree = {0};
    struct err err = {0};

    tree_add_link(&tree, "/a", "b", NULL);
    tree_add_link(&tree, "/b", "a", NULL);
    EXPECT_EQ(tree_add_data(&tree, "/a/x", "", 0, 0644, &err), -ELOOP, NULL);
    tree_add_data(&tree, "/f", "", 0, 0644, NULL);
    EXPECT_EQ(tree_add_data(&tree, "/f/x", "", 0, 0644, &err), -ENOTDIR, NULL);
    tree_add_dir(&tree, "/d", 0755, NULL);
    EXPECT_EQ(tree_add_data(&tree, "/d", "", 0, 0644, &err), -EISDIR, NULL);
    tree_free(&tree);
}

TEST(tree_sorts_folders_before_what_is_in_them)
{
    static const char *const order[] = {"/", "/a", "/a/b", "/a/b/c", "/a-b", "/a.b"};
    struct tree tree = {0};

    tree_add_data(&tree, "/a.b", "", 0, 0644, NULL);
    tree_add_data(&tree, "/a-b", "", 0, 0644, NULL);
    tree_add_data(&tree, "/a/b/c", "", 0, 0644, NULL);
    tree_sort(&tree);
    EXPECT_EQ(tree.len, ARRAY_LEN(order), NULL);
    for (size_t i = 0; i < tree.len; i++)
        EXPECT_STR(tree.nodes[i]->path, order[i], NULL);
    EXPECT_TRUE(tree_find(&tree, "/a/b/c"), "found again after sorting");
    tree_free(&tree);
}

TEST(tree_replaces_a_file_and_sets_a_folders_mode)
{
    struct tree tree = {0};

    tree_add_data(&tree, "/x", "old", 3, 0644, NULL);
    tree_add_data(&tree, "/x", "new!", 4, 0600, NULL);
    EXPECT_EQ(tree_find(&tree, "/x")->data.len, 4, NULL);
    tree_add_data(&tree, "/tmp/y", "", 0, 0644, NULL);
    tree_add_dir(&tree, "/tmp", 01777, NULL);
    EXPECT_EQ(tree_find(&tree, "/tmp")->mode, 01777, NULL);
    tree_free(&tree);
}
