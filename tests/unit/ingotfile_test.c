#include "unit/test.h"

#include "image/ingotfile.h"

#include <errno.h>

static struct err err;

static int parse(const char *text, struct ingotfile *file)
{
    err_clear(&err);
    return ingotfile_parse(text, strlen(text), file, &err);
}

TEST(ingotfile_reads_every_keyword)
{
    struct ingotfile file;

    REQUIRE(
        parse("# comment\nFROM scratch\nCOPY a b /c/\nPROGRAM ./x --flag\nENV A=1 B=\"two words\"\n"
              "WORKDIR /srv\nUSER a:b\nEXPOSE 80/tcp 53/udp\nVOLUME /data\nENTRYPOINT [\"/x\", "
              "\"-v\"]\n"
              "CMD [\"go\"]\nSTOPSIGNAL SIGINT\nEXEC sh @image\nHEALTHCHECK tcp:80\nCOMPRESS "
              "lz4\nLABEL k=v\n",
              &file) == 0,
        err.text);
    EXPECT_EQ(file.len, INGOT_VERBS, "one line each");
    EXPECT_EQ(file.lines[0].verb, INGOT_FROM, NULL);
    EXPECT_EQ(file.lines[1].line, 3, "counted from 1, comments too");
    EXPECT_EQ(file.lines[1].args.len, 3, NULL);
    EXPECT_STR(file.lines[3].args.at[1], "B=two words", NULL);
    EXPECT_STR(file.lines[8].args.at[1], "-v", NULL);
    ingotfile_free(&file);
}

TEST(ingotfile_replaces_variables_of_earlier_lines)
{
    struct ingotfile file;

    REQUIRE(parse("FROM scratch\nENV ROOT=/opt\nWORKDIR ${ROOT}/app\n", &file) == 0, err.text);
    EXPECT_STR(file.lines[2].args.at[0], "/opt/app", NULL);
    ingotfile_free(&file);
}

TEST(ingotfile_names_the_line_and_the_word)
{
    static const struct {
        const char *text, *line, *word;
    } bad[] = {
        {"FROM scratch\nENTRYPOIN [\"/x\"]\n", "line 2", "ENTRYPOIN"},
        {"FROM scratch\n\nCMD [\"/x\"\n", "line 3", ""},
        {"FROM scratch\nENV =x\n", "line 2", ""},
        {"FROM scratch\nCOPY only\n", "line 2", "COPY"},
        {"FROM scratch\nRUN apt-get update\n", "line 2", "RUN"},
        {"FROM scratch\nENV A=\"open\n", "line 2", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ingotfile file = {0};
        EXPECT_EQ(parse(bad[i].text, &file), -EINVAL, bad[i].text);
        EXPECT_TRUE(strstr(err.text, bad[i].line), err.text);
        EXPECT_TRUE(strstr(err.text, bad[i].word), err.text);
        EXPECT_EQ(file.len, 0, "empty on failure");
    }
}

static void refuse(const char *text, const char *want)
{
    struct ingotfile file;

    EXPECT_EQ(parse(text, &file), -EINVAL, text);
    EXPECT_STR(err.text, want, text);
}

TEST(ingotfile_answers_mistakes_with_the_line_and_the_remedy)
{
    refuse("FROM scratch\nCOPPY a b\n", "line 2: unknown keyword 'COPPY'; did you mean COPY?");
    refuse("RUN make\n", "line 1: RUN: nothing runs inside an image while it is built; build "
                         "outside and COPY the result");
    refuse("\n\nCOPY a\n", "line 3: COPY: write COPY SOURCE... TARGET");
    refuse("EXPOSE 99999\n",
           "line 1: EXPOSE: '99999' is no port; write 1...65535, /tcp or /udp behind");
    refuse("ENV =x\n", "line 1: ENV: '=x' has no '='; write ENV NAME=VALUE...");
    refuse("CMD [\"a\", 1]\n", "line 1: not a JSON array of strings: write every word in quotes");
    refuse("CMD \"a\n", "line 1: a quote is not closed");
    refuse("ENV A=1\nFROM x\n",
           "line 2: FROM comes first, and once: build the other image by itself and name it here");
    refuse("STOPSIGNAL SIGFOO\n", "line 1: STOPSIGNAL: 'SIGFOO' is no signal; write a name like "
                                  "SIGTERM, or a number");
    refuse("# nothing\n", "line 1: nothing but comments; begin with FROM scratch");
    refuse("", "line 1: nothing but comments; begin with FROM scratch");
    refuse("VOLUME data\n", "line 1: VOLUME: 'data' is no absolute path");
}
