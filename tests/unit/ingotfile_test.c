/* The language of Ingotfiles. */
#include "image/ingotfile.h"
#include "unit/test.h"

static int parse(const char *text, struct ingotfile *file, struct err *err)
{
    return ingotfile_parse(text, strlen(text), file, err);
}

static void refuse(const char *text, const char *want)
{
    struct ingotfile file;
    struct err err = {0};

    EXPECT_EQ(parse(text, &file, &err), -EINVAL, text);
    EXPECT_STR(err.text, want, text);
}

TEST(ingotfile_parses_every_keyword)
{
    static const char text[] = "# a comment\n"
                               "from scratch\n"
                               "COPY a b/ \\\n"
                               "  # between\n"
                               "  /srv/\n"
                               "ENV A=1 B=\"two words\" C='$A'\n"
                               "ENV OLD old form\n"
                               "WORKDIR /srv/$A/${B}\n"
                               "EXPOSE 80 53/udp\r\n"
                               "VOLUME [\"/data\"]\n"
                               "ENTRYPOINT [\"/bin/x\", \"-a b\"]\n"
                               "CMD one \"two three\"\n"
                               "STOPSIGNAL SIGQUIT\n"
                               "LABEL k=v\n"
                               "PROGRAM /bin/ls -l";
    struct ingotfile file;
    struct err err = {0};

    REQUIRE(parse(text, &file, &err) == 0, err.text);
    EXPECT_EQ(file.len, 12, NULL);
    EXPECT_EQ(file.lines[1].line, 3, NULL);
    EXPECT_EQ(file.lines[1].args.len, 3, "joined over a comment");
    EXPECT_STR(file.lines[2].args.at[1], "B=two words", NULL);
    EXPECT_STR(file.lines[2].args.at[2], "C=$A", "no variables in '...'");
    EXPECT_STR(file.lines[3].args.at[0], "OLD=old form", NULL);
    EXPECT_STR(file.lines[4].args.at[0], "/srv/1/two words", NULL);
    EXPECT_EQ(file.lines[4].line, 8, "counted with continued lines");
    EXPECT_STR(file.lines[5].args.at[1], "53/udp", NULL);
    EXPECT_STR(file.lines[6].args.at[0], "/data", NULL);
    EXPECT_STR(file.lines[7].args.at[1], "-a b", NULL);
    EXPECT_STR(file.lines[8].args.at[1], "two three", NULL);
    EXPECT_EQ(file.lines[11].verb, INGOT_PROGRAM, NULL);
    ingotfile_free(&file);
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

TEST(ingotfile_survives_any_text)
{
    static const char text[] = "FROM scratch\nCOPY \"a b\" c\\\nd\nENV A=$B${C C=\\\nCMD [\"x\"]\n";
    struct ingotfile file;

    for (size_t len = 0; len <= sizeof(text); len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, text, len);
        if (ingotfile_parse(copy, len, &file, NULL) == 0)
            ingotfile_free(&file);
        free(copy);
    }
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (const char *c = "\\\"'$[{\n# \xff"; *c; c++) {
            char copy[sizeof(text)];
            memcpy(copy, text, sizeof(text));
            copy[at] = *c;
            if (ingotfile_parse(copy, sizeof(text) - 1, &file, NULL) == 0)
                ingotfile_free(&file);
        }
    }
}
