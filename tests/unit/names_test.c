/* Names that users write: image references, first lines of scripts, misspelt words. */
#include "image/reference.h"
#include "image/script.h"
#include "lib/buf.h"
#include "unit/test.h"

static void expect_full(const char *text, const char *want)
{
    char *full = reference_full(text, NULL);

    if (want)
        EXPECT_STR(full ? full : "(refused)", want, text);
    else
        EXPECT_EQ(full, NULL, text);
    free(full);
}

TEST(reference_completes_and_refuses)
{
    expect_full("hello", "hello:latest");
    expect_full("hello:1", "hello:1");
    expect_full("host:5000/me/x", "host:5000/me/x:latest");
    expect_full("host:5000/me/x:V1.2-rc_3", "host:5000/me/x:V1.2-rc_3");
    expect_full("Hello", NULL);
    expect_full("", NULL);
    expect_full("a:", NULL);
    expect_full("../x", NULL);
    expect_full("a b", NULL);
    expect_full("a:b c", NULL);
}

TEST(reference_from_makes_a_name_of_anything)
{
    static const char *const pairs[][2] = {{"Hello World", "helloworld"},
                                           {"a..", "a"},
                                           {"--x", "x"},
                                           {"\xff", "image"},
                                           {"", "image"}};

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char *name = reference_from(pairs[i][0]);
        EXPECT_STR(name, pairs[i][1], NULL);
        free(name);
    }
}

static bool script(const char *text, struct script *out)
{
    return script_parse((const u8 *)text, strlen(text), out);
}

TEST(script_reads_the_first_line_as_linux_does)
{
    struct script s;

    REQUIRE(script("#! /usr/bin/env  -S python3 -u \nrest", &s), NULL);
    EXPECT_STR(s.interpreter, "/usr/bin/env", NULL);
    EXPECT_STR(s.argument, "-S python3 -u", NULL);
    script_free(&s);
    REQUIRE(script("#!/bin/sh", &s), "no newline, no argument");
    EXPECT_STR(s.interpreter, "/bin/sh", NULL);
    EXPECT_EQ(s.argument, NULL, NULL);
    script_free(&s);
    EXPECT_FALSE(script("#!", &s), NULL);
    EXPECT_FALSE(script("#!\n", &s), NULL);
    EXPECT_FALSE(script("#!sh\n", &s), "no absolute path");
    EXPECT_FALSE(script("\x7f"
                        "ELF",
                        &s),
                 NULL);
}

TEST(str_nearest_forgives_a_slip_and_no_more)
{
    static const char *const words[] = {"build", "images", "inspect", "rmi", "run"};

    EXPECT_STR(str_nearest("biuld", words, 5), "build", "two letters swapped");
    EXPECT_STR(str_nearest("rum", words, 5), "run", NULL);
    EXPECT_STR(str_nearest("imagse", words, 5), "images", NULL);
    EXPECT_STR(str_nearest("imag", words, 5), "images", "it begins so");
    EXPECT_STR(str_nearest("health", (const char *[]){"help", "health-cmd"}, 2), "health-cmd",
               "rather than another with two slips");
    EXPECT_EQ(str_nearest("xyzzy", words, 5), NULL, NULL);
}
