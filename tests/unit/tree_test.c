/* Guest paths: cleaned, links followed as the guest follows them. */
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "unit/test.h"

#include <unistd.h>

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

TEST(tree_walks_what_links_point_to_once)
{
    struct tree tree = {0};
    struct err err = {0};
    char *root = fs_tmpdir(NULL, NULL);
    REQUIRE(root, NULL);
    char *dir = fs_join(root, "dir"), *deep = fs_join(root, "other/deep");
    char *there = fs_join(root, "dir/there"), *back = fs_join(root, "other/back");
    char *file = fs_join(root, "other/deep/file");

    fs_mkdirs(dir, NULL);
    fs_mkdirs(deep, NULL);
    fs_write(file, "x", 1, 0644, NULL);
    EXPECT_EQ(symlink("../other", there), 0, NULL);
    EXPECT_EQ(symlink("../dir", back), 0, NULL);
    EXPECT_EQ(tree_add_tree(&tree, dir, dir, NULL, &err), 0, err.text);
    EXPECT_EQ(tree_find(&tree, there)->kind, TREE_LINK, NULL);
    EXPECT_TRUE(tree_find(&tree, file), "behind the link, outside of the folder");
    char *through CLEANUP(mem_free) = fs_join(there, "back/there/deep/file");
    EXPECT_EQ(tree_follow(&tree, through), tree_find(&tree, file), "as the guest follows it");
    tree_free(&tree);
    free(dir), free(deep), free(there), free(back), free(file);
    fs_tmpdir_remove(&root);
}
