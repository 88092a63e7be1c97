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
              "WORKDIR /srv\nEXPOSE 80/tcp 53/udp\nVOLUME /data\nENTRYPOINT [\"/x\", \"-v\"]\n"
              "CMD [\"go\"]\nSTOPSIGNAL SIGINT\nLABEL k=v\n",
              &file) == 0,
        err.text);
    EXPECT_EQ(file.len, INGOT_VERBS, "one line each");
    EXPECT_EQ(file.lines[0].verb, INGOT_FROM, NULL);
    EXPECT_EQ(file.lines[1].line, 3, "counted from 1, comments too");
    EXPECT_EQ(file.lines[1].args.len, 3, NULL);
    EXPECT_STR(file.lines[3].args.at[1], "B=two words", NULL);
    EXPECT_STR(file.lines[7].args.at[1], "-v", NULL);
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
        {"FROM scratch\n\nCMD [\"/x\"\n",      "line 3", ""         },
        {"FROM scratch\nENV =x\n",             "line 2", ""         },
        {"FROM scratch\nCOPY only\n",          "line 2", "COPY"     },
        {"FROM scratch\nRUN apt-get update\n", "line 2", "RUN"      },
        {"FROM scratch\nENV A=\"open\n",       "line 2", ""         },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ingotfile file = {0};
        EXPECT_EQ(parse(bad[i].text, &file), -EINVAL, bad[i].text);
        EXPECT_TRUE(strstr(err.text, bad[i].line), err.text);
        EXPECT_TRUE(strstr(err.text, bad[i].word), err.text);
        EXPECT_EQ(file.len, 0, "empty on failure");
    }
}
