#include "unit/test.h"

#include "fake/random.h"
#include "sys/json.h"

static struct json_node nodes[64];

/* Parse a copy that ends where its memory does, so that a byte too far is seen. */
static int parse(const char *text, char **copy)
{
    size_t len = strlen(text);

    *copy = malloc(len ? len : 1);
    memcpy(*copy, text, len);
    return json_parse(*copy, len, nodes, ARRAY_LEN(nodes), NULL);
}

static void expect(const char *text, int want)
{
    char *copy;

    EXPECT_EQ(parse(text, &copy), want, text);
    free(copy);
}

TEST(json_reads_an_image_config)
{
    char *copy;
    EXPECT_EQ(parse("{\"architecture\":\"amd64\", \"config\" : {\"Env\":[\"A=b c\",\"D=\"],"
                    "\"Cmd\":null,\"n\":-1.5e+3,\"Labels\":{}}}\n",
                    &copy),
              9, "nodes");
    const struct json_node *config = json_member(nodes, &nodes[0], "config");
    const struct json_node *env = json_member(nodes, config, "Env");
    const struct json_node *first = json_first(nodes, env);

    EXPECT_STR(json_string(first), "A=b c", NULL);
    EXPECT_STR(json_string(json_next(nodes, first)), "D=", NULL);
    EXPECT_EQ(json_next(nodes, json_next(nodes, first)), NULL, NULL);
    EXPECT_EQ(json_member(nodes, config, "Cmd")->type, JSON_NULL, NULL);
    EXPECT_EQ(json_first(nodes, json_member(nodes, config, "Labels")), NULL, "empty");
    EXPECT_EQ(json_member(nodes, config, "nothing"), NULL, NULL);
    EXPECT_EQ(json_member(nodes, env, "Env"), NULL, "no object");
    EXPECT_EQ(json_string(env), NULL, "no string");
    free(copy);
}

TEST(json_unescapes_in_place)
{
    char *copy;

    EXPECT_EQ(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", &copy), 1,
              NULL);
    EXPECT_STR(json_string(&nodes[0]), "\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
               NULL);
    free(copy);
}

TEST(json_is_strict)
{
    static const char *const bad[] = {
        "",           " ",           "{",           "}",           "[",
        "[1,]",       "[,1]",        "[1 2]",       "{\"a\"}",     "{\"a\":}",
        "{\"a\":1,}", "{a:1}",       "'a'",         "\"a",         "\"\\x\"",
        "\"\\u12\"",  "\"\\u0000\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"",
        "\"\n\"",     "01",          "+1",          "1.",          ".5",
        "1e",         "-",           "tru",         "nulll",       "1 1",
        "[1]]",       "\"a\"b",      "/**/1",       "\"\\",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect(bad[i], -EINVAL);
    expect("0", 1);
    expect("-0.0e-1", 1);
    expect(" [ ] ", 1);
    expect("[[],{},\"\",true,false,null]", 7);
}

TEST(json_depth_and_size_are_bounded)
{
    char deep[200];

    memset(deep, '[', 100);
    memset(deep + 100, ']', 99);
    deep[199] = 0;
    expect(deep, -EINVAL);
    memset(deep, '[', JSON_MAX_DEPTH);
    memset(deep + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
    deep[2 * JSON_MAX_DEPTH] = 0;
    expect(deep, JSON_MAX_DEPTH);
    for (int i = 0; i < 99; i++)
        memcpy(deep + i * 2, i ? ",1" : "[1", 2);
    deep[198] = ']';
    expect(deep, -E2BIG);
}

TEST(json_survives_mutations)
{
    static const char sample[] =
        "{\"config\":{\"Env\":[\"A=\\u00e9\",\"B\"],\"x\":[1,-2.5e3,true]}}";

    for (int i = 0; i < 300000; i++) {
        size_t len = fake_random() % sizeof(sample);
        char *copy = malloc(len ? len : 1);
        memcpy(copy, sample, len);
        for (u64 n = fake_random() % 4; n > 0 && len; n--)
            copy[fake_random() % len] = "{}[]\",:\\u0aD8\n1-e. tfn\xff"[fake_random() % 24];
        int count = json_parse(copy, len, nodes, ARRAY_LEN(nodes), NULL);
        for (int k = 0; k < count; k++) {
            EXPECT_TRUE(nodes[k].next < (u32)count && nodes[k].first < (u32)count, NULL);
            if (nodes[k].text) /* its NUL lies inside the buffer */
                EXPECT_TRUE(nodes[k].text + strlen(nodes[k].text) < copy + len, NULL);
        }
        free(copy);
    }
}
