/* The closure against a folder of small ELF files: the linker's search rules one by one. */
#include "fake/elf.h"
#include "image/closure.h"
#include "image/lib_search.h"
#include "image/tree.h"
#include "lib/fs.h"
#include "unit/test.h"

#include <sys/stat.h>
#include <unistd.h>

static char *root;

static char *at(const char *name)
{
    static char paths[8][512];
    static size_t next;
    char *path = paths[next++ % ARRAY_LEN(paths)];

    snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
    return path;
}

static void begin(void)
{
    root = fs_tmpdir(NULL, NULL);
    REQUIRE(root, NULL);
    fs_mkdirs(at("lib/deep"), NULL);
}

static struct tree tree;
static struct closure closure;

static int add(const char *name, struct err *err)
{
    closure_init(&closure, &tree);
    return closure_add_program(&closure, at(name), false, err);
}

static void end(void)
{
    closure_free(&closure);
    tree_free(&tree);
    fs_tmpdir_remove(&root);
}

TEST(closure_follows_runpath_with_origin)
{
    struct err err = {0};

    begin();
    fake_elf_write(&(struct fake_elf){.runpath = "$ORIGIN/lib", .needed = {"liba.so"}}, at("prog"));
    fake_elf_write(&(struct fake_elf){.soname = "liba.so"}, at("lib/liba.so"));
    EXPECT_EQ(add("prog", &err), 0, err.text);
    EXPECT_TRUE(tree_find(&tree, at("lib/liba.so")), NULL);
    end();
}

TEST(closure_lets_rpath_reach_down_but_not_runpath)
{
    struct err err = {0};

    begin();
    fake_elf_write(&(struct fake_elf){.rpath = "${ORIGIN}/lib", .needed = {"liba.so"}}, at("r"));
    fake_elf_write(&(struct fake_elf){.runpath = "$ORIGIN/lib", .needed = {"liba.so"}}, at("p"));
    fake_elf_write(&(struct fake_elf){.needed = {"libingotb.so"}}, at("lib/liba.so"));
    fake_elf_write(&(struct fake_elf){0}, at("lib/libingotb.so"));
    EXPECT_EQ(add("r", &err), 0, err.text);
    closure_free(&closure);
    EXPECT_EQ(add("p", &err), -ENOENT, "RUNPATH holds for the object's own needs only");
    EXPECT_TRUE(strstr(err.text, "libingotb.so: library not found; needed by "), err.text);
    EXPECT_TRUE(strstr(err.text, "lib/liba.so; looked in "), err.text);
    end();
}

TEST(closure_keeps_links_as_links)
{
    struct err err = {0};

    begin();
    fake_elf_write(&(struct fake_elf){.runpath = "$ORIGIN/link", .needed = {"liba.so"}},
                   at("prog"));
    fake_elf_write(&(struct fake_elf){0}, at("lib/deep/liba.so.1.2"));
    EXPECT_EQ(symlink("lib/deep", at("link")), 0, NULL);
    EXPECT_EQ(symlink("liba.so.1.2", at("lib/deep/liba.so")), 0, NULL);
    EXPECT_EQ(add("prog", &err), 0, err.text);
    const struct tree_node *node = tree_find(&tree, at("link"));
    REQUIRE(node, NULL);
    EXPECT_EQ(node->kind, TREE_LINK, NULL);
    EXPECT_STR(node->source, "lib/deep", NULL);
    node = tree_find(&tree, at("lib/deep/liba.so"));
    REQUIRE(node, NULL);
    EXPECT_EQ(node->kind, TREE_LINK, NULL);
    EXPECT_TRUE(tree_find(&tree, at("lib/deep/liba.so.1.2")), NULL);
    EXPECT_EQ(tree_follow(&tree, at("link/liba.so"))->kind, TREE_FILE, NULL);
    end();
}

TEST(closure_passes_over_libraries_of_other_machines)
{
    struct err err = {0};

    begin();
    fake_elf_write(
        &(struct fake_elf){.rpath = "$ORIGIN/lib:$ORIGIN/lib/deep", .needed = {"liba.so"}},
        at("prog"));
    fake_elf_write(&(struct fake_elf){.machine = EM_AARCH64}, at("lib/liba.so"));
    fake_elf_write(&(struct fake_elf){0}, at("lib/deep/liba.so"));
    EXPECT_EQ(add("prog", &err), 0, err.text);
    EXPECT_FALSE(tree_find(&tree, at("lib/liba.so")), NULL);
    EXPECT_TRUE(tree_find(&tree, at("lib/deep/liba.so")), NULL);
    end();
}

TEST(closure_ends_where_libraries_need_each_other)
{
    struct err err = {0};

    begin();
    fake_elf_write(&(struct fake_elf){.rpath = "$ORIGIN/lib", .needed = {"liba.so"}}, at("prog"));
    fake_elf_write(&(struct fake_elf){.soname = "liba.so", .needed = {"libb.so"}},
                   at("lib/liba.so"));
    fake_elf_write(&(struct fake_elf){.soname = "libb.so", .needed = {"liba.so", "libb.so"}},
                   at("lib/libb.so"));
    EXPECT_EQ(add("prog", &err), 0, err.text);
    EXPECT_EQ(closure.len, 3, NULL);
    end();
}

TEST(closure_names_a_missing_interpreter)
{
    struct err err = {0};

    begin();
    fake_elf_write(&(struct fake_elf){.interp = "/nowhere/ld.so"}, at("prog"));
    EXPECT_EQ(add("prog", &err), -ENOENT, NULL);
    EXPECT_TRUE(strstr(err.text, "/nowhere/ld.so: interpreter not found; needed by "), err.text);
    end();
}

TEST(search_expand_replaces_tokens)
{
    struct strs dirs = {0};

    search_expand("$ORIGIN/../lib:${LIB}:/x/$LIB:rel:/a/$PLATFORM:/$ORIGINAL", "/opt/bin", "lib64",
                  &dirs);
    EXPECT_EQ(dirs.len, 4, "relative ones are left out");
    EXPECT_STR(dirs.at[0], "/opt/lib", NULL);
    EXPECT_STR(dirs.at[1], "/x/lib64", NULL);
    EXPECT_STR(dirs.at[2], "/a/x86_64", NULL);
    strs_free(&dirs);
}

TEST(search_reads_ld_so_conf_with_includes)
{
    struct strs dirs = {0};
    static const char conf[] = "# comment\ninclude conf.d/*.conf\n/opt/lib # behind\n\n";
    static const char more[] = "/one\n/two\n";

    begin();
    fs_mkdirs(at("conf.d"), NULL);
    fs_write(at("ld.so.conf"), conf, strlen(conf), 0644, NULL);
    fs_write(at("conf.d/a.conf"), more, strlen(more), 0644, NULL);
    search_read_conf(at("ld.so.conf"), &dirs);
    EXPECT_EQ(dirs.len, 3, NULL);
    EXPECT_STR(dirs.at[0], "/one", NULL);
    EXPECT_STR(dirs.at[2], "/opt/lib", NULL);
    strs_free(&dirs);
    fs_tmpdir_remove(&root);
}

TEST(search_knows_what_musl_is_itself)
{
    EXPECT_TRUE(search_musl_itself("libc.so"), NULL);
    EXPECT_TRUE(search_musl_itself("libpthread.so.0"), NULL);
    EXPECT_TRUE(search_musl_itself("ld-musl-x86_64.so.1"), NULL);
    EXPECT_FALSE(search_musl_itself("libcrypto.so.3"), NULL);
    EXPECT_FALSE(search_musl_itself("libz.so.1"), NULL);
}
