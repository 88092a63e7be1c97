/* ELF files as an attacker or a bad disk would write them. */
#include "fake/elf.h"
#include "image/elf_file.h"
#include "unit/test.h"

static u8 file[FAKE_ELF_SIZE];

static int parse(size_t len, struct elf_file *elf, struct err *err)
{
    /* On the heap and of exact size, so that the sanitizer sees a read behind the end. */
    u8 *copy = malloc(len ? len : 1);
    memcpy(copy, file, len);
    int status = elf_parse(copy, len, elf, err);
    if (status == 0) {
        (void)elf_names(elf, "puts"); /* reads every byte of the names */
        elf_file_free(elf);
    }
    free(copy);
    return status;
}

TEST(elf_parse_reads_what_the_linker_reads)
{
    const struct fake_elf fake = {.interp = "/lib64/ld-linux-x86-64.so.2",
                                  .soname = "libx.so.1",
                                  .rpath = "/a:/b",
                                  .runpath = "$ORIGIN",
                                  .needed = {"libm.so.6", "libc.so.6"}};
    struct elf_file elf;

    fake_elf_make(&fake, file);
    REQUIRE(elf_parse(file, sizeof(file), &elf, NULL) == 0, NULL);
    EXPECT_STR(elf.interp, fake.interp, NULL);
    EXPECT_STR(elf.soname, "libx.so.1", NULL);
    EXPECT_STR(elf.rpath, "/a:/b", NULL);
    EXPECT_STR(elf.runpath, "$ORIGIN", NULL);
    EXPECT_EQ(elf.nr_needed, 2, NULL);
    EXPECT_STR(elf.needed[1], "libc.so.6", NULL);
    EXPECT_TRUE(elf_names(&elf, "libm.so.6"), "a whole name of the string table");
    EXPECT_FALSE(elf_names(&elf, "m.so.6"), "the end of a name is not a name");
    elf_file_free(&elf);
}

TEST(elf_parse_says_what_a_file_is_that_is_no_program)
{
    struct elf_file elf;
    struct err err;

    EXPECT_EQ(parse(0, &elf, &err), -ENOEXEC, NULL);
    EXPECT_STR(err.text, "an empty file", NULL);
    memcpy(file, "#!/bin/sh\n", 10);
    EXPECT_EQ(parse(10, &elf, &err), -ENOEXEC, NULL);
    EXPECT_STR(err.text, "not an ELF program", NULL);
    fake_elf_make(&(struct fake_elf){.machine = EM_AARCH64}, file);
    EXPECT_EQ(parse(sizeof(file), &elf, &err), -ENOEXEC, NULL);
    EXPECT_STR(err.text, "a program for aarch64; Ingot runs x86-64 programs", NULL);
    fake_elf_make(&(struct fake_elf){.type = ET_REL}, file);
    EXPECT_EQ(parse(sizeof(file), &elf, &err), -ENOEXEC, NULL);
}

TEST(elf_parse_refuses_every_truncation)
{
    struct elf_file elf;

    fake_elf_make(&(struct fake_elf){.interp = "/ld.so", .needed = {"a"}}, file);
    for (size_t len = 0; len < sizeof(file); len++)
        EXPECT_TRUE(parse(len, &elf, NULL) < 0, "a segment is cut");
}

TEST(elf_parse_survives_every_byte_changed)
{
    static const u8 values[] = {0, 1, 0x7f, 0x80, 0xff};
    const struct fake_elf fake = {.interp = "/ld.so", .soname = "s", .needed = {"a", "b"}};
    struct elf_file elf;

    for (size_t at = 0; at < sizeof(file); at++) {
        for (size_t v = 0; v < ARRAY_LEN(values); v++) {
            fake_elf_make(&fake, file);
            file[at] = values[v];
            parse(sizeof(file), &elf, NULL); /* any answer will do */
        }
    }
}

TEST(elf_parse_refuses_names_outside_of_the_string_table)
{
    Elf64_Dyn dyn = {.d_tag = DT_NEEDED, .d_un.d_val = UINT64_MAX - 2};
    struct elf_file elf;
    struct err err;

    fake_elf_make(&(struct fake_elf){.needed = {"a"}}, file);
    memcpy(file + 1024, &dyn, sizeof(dyn));
    EXPECT_EQ(parse(sizeof(file), &elf, &err), -EINVAL, "the sum wraps");
    EXPECT_STR(err.text, "damaged ELF file: a name lies outside of the dynamic string table", NULL);
}
