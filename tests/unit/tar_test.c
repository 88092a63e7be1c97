/* Tar archives as others write them, whole and damaged; layers of container images on a tree. */
#include "image/layer.h"
#include "image/tar.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 512 };

/* Append a header and @data to @out; @type and the rest as they stand in the archive. */
static void put(struct buf *out, const char *name, char type, const char *link, const char *mode,
                const void *data, size_t len)
{
    char header[BLOCK] = {0};
    unsigned sum = 0;

    memcpy(header, name, strnlen(name, 100));
    memcpy(header + 100, mode, strlen(mode));
    strcpy(header + 108, "0001750");
    strcpy(header + 116, "0000062");
    snprintf(header + 124, 12, "%011zo", len);
    strcpy(header + 136, "14524562400");
    memset(header + 148, ' ', 8);
    header[156] = type;
    memcpy(header + 157, link, strnlen(link, 100));
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    buf_add(out, header, BLOCK);
    buf_add(out, data, len);
    while (out->len % BLOCK)
        buf_add(out, "", 1);
}

static void put_file(struct buf *out, const char *name, const char *text)
{
    put(out, name, '0', "", "0000644", text, strlen(text));
}

static int next(const struct buf *archive, size_t skip, struct tar_entry *out, struct tar *tar)
{
    static struct err err;
    int more = 1;

    *tar = (struct tar){.data = (const u8 *)archive->data, .len = archive->len};
    for (size_t i = 0; i <= skip && more > 0; i++)
        more = tar_next(tar, out, &err);
    return more;
}

TEST(tar_reads_what_a_header_says)
{
    struct buf archive = {0};
    struct tar_entry e;
    struct tar tar;

    put_file(&archive, "./a", "hello");
    put(&archive, "l", '2', "to", "0000777", "", 0);
    put(&archive, "d/", '0', "", "0041755", "", 0);
    EXPECT_EQ(next(&archive, 0, &e, &tar), 1, NULL);
    EXPECT_STR(e.path, "./a", NULL);
    EXPECT_EQ(e.type, TAR_FILE, NULL);
    EXPECT_EQ(e.size, 5, NULL);
    EXPECT_EQ(memcmp(e.data, "hello", 5), 0, NULL);
    EXPECT_EQ(e.mode, 0644, NULL);
    EXPECT_EQ(e.uid, 1000, NULL);
    EXPECT_EQ(e.gid, 50, NULL);
    EXPECT_EQ(e.mtime, 1699931392, NULL);
    tar_free(&tar);
    EXPECT_EQ(next(&archive, 1, &e, &tar), 1, NULL);
    EXPECT_EQ(e.type, TAR_LINK, NULL);
    EXPECT_STR(e.target, "to", NULL);
    tar_free(&tar);
    EXPECT_EQ(next(&archive, 2, &e, &tar), 1, NULL);
    EXPECT_EQ(e.type, TAR_DIR, "an old archive's folder");
    EXPECT_EQ(e.mode, 01755, NULL);
    tar_free(&tar);
    EXPECT_EQ(next(&archive, 3, &e, &tar), 0, "its end");
    tar_free(&tar);
    buf_free(&archive);
}

TEST(tar_takes_long_names_of_both_kinds)
{
    struct buf archive = {0};
    struct tar_entry e;
    struct tar tar;
    static const char pax[] = "12 path=a b\n24 mtime=1700000000.250\n13 uid=70000\n";
    char name[300];

    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = 0;
    put(&archive, "x", 'x', "", "0", pax, strlen(pax));
    put_file(&archive, "short", "1");
    put(&archive, "L", 'L', "", "0", name, sizeof(name));
    put(&archive, "K", 'K', "", "0", "far", 4);
    put(&archive, "short", '1', "near", "0000644", "", 0);
    EXPECT_EQ(next(&archive, 0, &e, &tar), 1, NULL);
    EXPECT_STR(e.path, "a b", NULL);
    EXPECT_EQ(e.uid, 70000, NULL);
    EXPECT_EQ(e.mtime, 1700000000, NULL);
    EXPECT_EQ(e.mtime_ns, 250000000, NULL);
    tar_free(&tar);
    EXPECT_EQ(next(&archive, 1, &e, &tar), 1, NULL);
    EXPECT_STR(e.path, name, NULL);
    EXPECT_STR(e.target, "far", NULL);
    EXPECT_EQ(e.type, TAR_HARD_LINK, NULL);
    tar_free(&tar);
    buf_free(&archive);
}

TEST(tar_refuses_what_is_damaged)
{
    struct buf archive = {0};
    struct tar_entry e;
    struct tar tar;

    put_file(&archive, "a", "hello");
    for (size_t len = 1; len < archive.len; len++) {
        struct buf cut = {.data = archive.data, .len = len};
        int more = next(&cut, 0, &e, &tar);
        EXPECT_EQ(more, len < BLOCK + 5 ? -EINVAL : 1, "cut off");
        tar_free(&tar);
    }
    archive.data[3] ^= 1;
    EXPECT_EQ(next(&archive, 0, &e, &tar), -EINVAL, "a flipped bit");
    tar_free(&tar);
    buf_free(&archive);
    put(&archive, "s", 'S', "", "0000644", "", 0);
    EXPECT_EQ(next(&archive, 0, &e, &tar), -ENOTSUP, "sparse");
    tar_free(&tar);
    buf_free(&archive);
    static const char *const records[] = {
        "5 a=b\n",      "99 a=b\n",    "6 a=b",  "0 a=b\n",   "x",
        "11 size=1x\n", "10 uid=-1\n", "5 ab\n", "7 a=\0b\n", "22 GNU.sparse.major=1\n"};
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        put(&archive, "x", 'x', "", "0", records[i], i == 8 ? 7 : strlen(records[i]));
        put_file(&archive, "a", "");
        EXPECT_EQ(next(&archive, 0, &e, &tar), -EINVAL, records[i]);
        tar_free(&tar);
        buf_free(&archive);
    }
}

static int apply(struct tree *tree, const struct buf *archive, const char *dir, size_t *count,
                 struct err *err)
{
    const struct slice bytes = {(const u8 *)archive->data, archive->len};

    return layer_apply(tree, &bytes, dir, count, err);
}

TEST(layer_whiteouts_speak_of_the_layers_below)
{
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, NULL);
    struct buf below = {0}, above = {0};
    struct tree tree = {0};
    struct err err = {0};
    size_t count = 0;

    put(&below, "d", '5', "", "0000755", "", 0);
    put_file(&below, "d/a", "1");
    put_file(&below, "d/b", "2");
    put_file(&below, "c", "3");
    put(&below, "l", '2', "d", "0000777", "", 0);
    put_file(&above, "l/new", "4"); /* before the whiteout that does not speak of it */
    put_file(&above, "d/.wh..wh..opq", "");
    put_file(&above, ".wh.c", "");
    put(&above, "hard", '1', "d/new", "0000644", "", 0);
    EXPECT_EQ(apply(&tree, &below, dir, &count, &err), 0, err.text);
    EXPECT_EQ(apply(&tree, &above, dir, &count, &err), 0, err.text);
    EXPECT_TRUE(tree_find(&tree, "/d/new"), "behind the link");
    EXPECT_FALSE(tree_find(&tree, "/d/a") || tree_find(&tree, "/d/b"), "emptied");
    EXPECT_FALSE(tree_find(&tree, "/c"), "gone");
    EXPECT_FALSE(tree_find(&tree, "/d/.wh..wh..opq"), "no file of its own");
    EXPECT_STR(tree_find(&tree, "/hard")->source, tree_find(&tree, "/d/new")->source, NULL);
    EXPECT_EQ(tree_find(&tree, "/hard")->uid, 1000, NULL);
    tree_free(&tree);
    buf_free(&below);
    buf_free(&above);
}

TEST(layer_that_grows_beyond_its_bound_is_refused)
{
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, NULL);
    char *packed CLEANUP(mem_free) = fs_join(dir, "zeros.gz"), *out CLEANUP(mem_free) = NULL;
    char *command CLEANUP(mem_free) = str_printf("head -c 3000000 /dev/zero | gzip > %s", packed);
    struct buf bytes = {0};
    struct err err = {0};

    EXPECT_EQ(system(command), 0, NULL);
    EXPECT_EQ(fs_read(packed, 1 << 20, &bytes, &err), 0, NULL);
    const struct slice slice = {(const u8 *)bytes.data, bytes.len};
    EXPECT_EQ(layer_inflate(&slice, dir, 1 << 20, &out, &err), -EFBIG, err.text);
    EXPECT_FALSE(out, "nothing came of it");
    EXPECT_EQ(layer_inflate(&slice, dir, 4 << 20, &out, &err), 0, err.text);
    struct stat st = {0};
    EXPECT_EQ(stat(out, &st), 0, NULL);
    EXPECT_EQ(st.st_size, 3000000, NULL);
    buf_free(&bytes);
}
