/* What the manifest of a jar names, of archives made here; damaged ones name nothing and harm
 * nobody. */
#include "image/jar.h"
#include "lib/cleanup.h"
#include "lib/fs.h"
#include "lib/proc.h"
#include "unit/test.h"

#define MANIFEST "META-INF/MANIFEST.MF"

static void put(struct buf *to, u32 value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_add(to, &(u8){(u8)(value >> 8 * i)}, 1);
}

/* What a file's two headers have in common. */
static void put_entry(struct buf *to, u32 method, const struct buf *packed, u32 crc, u32 size,
                      const char *name)
{
    put(to, 20, 2), put(to, 0, 2), put(to, method, 2), put(to, 0, 4);
    put(to, crc, 4), put(to, (u32)packed->len, 4), put(to, size, 4);
    put(to, (u32)strlen(name), 2), put(to, 0, 2);
}

/** Add a file to the archive @to and its entry to @directory. */
static void add(struct buf *to, struct buf *directory, u32 method, const struct buf *packed,
                u32 crc, u32 size, const char *name)
{
    u32 at = (u32)to->len;

    buf_add(to, "PK\3\4", 4);
    put_entry(to, method, packed, crc, size, name);
    buf_puts(to, name);
    buf_add(to, packed->data, packed->len);
    buf_add(directory, "PK\1\2\24\0", 6);
    put_entry(directory, method, packed, crc, size, name);
    put(directory, 0, 4), put(directory, 0, 4), put(directory, 0, 2), put(directory, at, 4);
    buf_puts(directory, name);
}

/** The archive whose manifest is @text, as @method packs it, after a file of another name. */
static void make(struct buf *jar, u32 method, const char *text, const char *comment)
{
    struct buf directory CLEANUP(buf_free) = {0}, packed CLEANUP(buf_free) = {0};
    const struct buf none = {0};
    u32 crc = 0;

    buf_puts(&packed, text);
    if (method) { /* the sum and the bytes of a file of gzip */
        static const char *const argv[] = {"gzip", "-nc", "text", NULL};
        struct err err = {0};
        char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, &err);
        char *file CLEANUP(mem_free) = fs_join(dir, "text");
        struct buf zipped CLEANUP(buf_free) = {0};
        REQUIRE(!fs_write(file, text, strlen(text), 0600, &err), err.text);
        REQUIRE(!proc_check(&(struct proc){.argv = argv, .cwd = dir, .out = &zipped}, &err),
                err.text);
        memcpy(&crc, zipped.data + zipped.len - 8, 4);
        buf_free(&packed);
        buf_add(&packed, zipped.data + 10, zipped.len - 18);
    }
    add(jar, &directory, 0, &none, 0, 0, "META-INF/");
    add(jar, &directory, method, &packed, crc, (u32)strlen(text), MANIFEST);
    u32 at = (u32)jar->len;
    buf_add(jar, directory.data, directory.len);
    buf_add(jar, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    put(jar, (u32)directory.len, 4), put(jar, at, 4), put(jar, (u32)strlen(comment), 2);
    buf_puts(jar, comment);
}

/** The class path of an archive of these bytes, its words with a '|' behind each. */
static const char *read_path(const char *bytes, size_t len)
{
    static char text[512];
    struct err err = {0};
    struct strs words = {0};
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, &err);
    char *file CLEANUP(mem_free) = fs_join(dir, "a.jar");

    REQUIRE(!fs_write(file, bytes, len, 0600, &err), err.text);
    jar_class_path(file, &words);
    text[0] = 0;
    for (size_t i = 0; i < words.len && strlen(text) + strlen(words.at[i]) < 500; i++)
        strcat(strcat(text, words.at[i]), "|");
    strs_free(&words);
    return text;
}

static const char *path_of(u32 method, const char *text, const char *comment)
{
    struct buf jar CLEANUP(buf_free) = {0};

    make(&jar, method, text, comment);
    return read_path(jar.data, jar.len);
}

TEST(jar_words_of_the_class_path_are_told_however_they_are_packed)
{
    static const char text[] =
        "Manifest-Version: 1.0\r\nClass-Path: a.jar  lib/b.jar file:/c.jar\r\n"
        "Main-Class: x.Y\r\n";

    for (u32 method = 0; method <= 8; method += 8) {
        EXPECT_STR(path_of(method, text, ""), "a.jar|lib/b.jar|/c.jar|", NULL);
        EXPECT_STR(path_of(method, text, "PK, says the comment"), "a.jar|lib/b.jar|/c.jar|", NULL);
    }
    EXPECT_STR(path_of(12, text, ""), "", "bzip2, which the format allows and Java does not");
}

TEST(jar_a_line_goes_on_with_the_next)
{
    EXPECT_STR(path_of(0, "class-path: a.j\n ar b.jar\n  c.jar\nX: y\n z.jar\n", ""),
               "a.jar|b.jar|c.jar|", NULL);
    EXPECT_STR(path_of(0, " z.jar\nClass-Path:a.jar", ""), "a.jar|", NULL);
}

TEST(jar_that_needs_nothing_adds_nothing)
{
    EXPECT_STR(path_of(0, "", ""), "", NULL);
    EXPECT_STR(path_of(8, "", ""), "", NULL);
    EXPECT_STR(path_of(0, "Manifest-Version: 1.0\n", ""), "", NULL);
    EXPECT_STR(path_of(0, "Class-Path: \n\n", ""), "", NULL);
    EXPECT_STR(read_path("", 0), "", NULL);
    EXPECT_STR(read_path("PK\5\6", 4), "", NULL);
}

TEST(jar_survives_truncation_and_any_byte_changed)
{
    struct buf jar = {0};
    static const u8 values[] = {0, 1, 0x7f, 0x80, 0xff};

    make(&jar, 0, "Class-Path: a.jar\n", "note");
    for (size_t len = 0; len < jar.len; len++)
        read_path(jar.data, len);
    for (size_t at = 0; at < jar.len; at++) {
        char was = jar.data[at];
        for (size_t i = 0; i < sizeof(values); i++) {
            jar.data[at] = (char)values[i];
            read_path(jar.data, jar.len);
        }
        jar.data[at] = was;
    }
    EXPECT_STR(read_path(jar.data, jar.len), "a.jar|", NULL);
    buf_free(&jar);
}
