#include "unit/test.h"

#include "fake/cmdline.h"

#include "abi/errno.h"
#include "mm/heap.h"
#include "sys/config.h"
#include "sys/json.h"

static struct program_config config;

static void free_config(void)
{
    for (u32 i = 0; i < config.argv.count; i++)
        kfree(config.argv.items[i]);
    for (u32 i = 0; i < config.env.count; i++)
        kfree(config.env.items[i]);
    kfree(config.argv.items);
    kfree(config.env.items);
    kfree(config.cwd);
    kfree(config.stop_signal);
    kfree(config.user);
}

static int load(const char *json, const char *boot_line)
{
    char text[1024];
    size_t where;

    fake_cmdline(boot_line);
    snprintf(text, sizeof(text), "%s", json);
    return config_load(&config, text, strlen(text), false, &where);
}

static const char *joined(const struct string_list *list)
{
    static char text[256];

    text[0] = 0;
    for (u32 i = 0; i < list->count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 list->items[i]);
    return text;
}

static const char image[] =
    "{\"config\":{\"Entrypoint\":[\"/bin/server\",\"-v\"],\"Cmd\":[\"start\"],"
    "\"Env\":[\"A=1\",\"B=two\"],\"WorkingDir\":\"/"
    "srv\",\"StopSignal\":\"SIGINT\",\"User\":\"web\"}}";

TEST(config_takes_entrypoint_and_cmd)
{
    EXPECT_EQ(load(image, ""), 0, NULL);
    EXPECT_STR(joined(&config.argv), "/bin/server -v start", NULL);
    EXPECT_STR(config.cwd, "/srv", NULL);
    EXPECT_STR(config.stop_signal, "SIGINT", NULL);
    EXPECT_STR(config.user, "web", NULL);
    EXPECT_STR(config_env(&config, "B"), "two", NULL);
    EXPECT_TRUE(config_env(&config, "PATH"), "a default");
    free_config();
}

TEST(config_lets_the_command_line_win)
{
    EXPECT_EQ(load(image, "A=9 ingot.cwd=/x ingot.stopsignal=15 ingot.user=7:8 -- stop now"), 0,
              NULL);
    EXPECT_STR(joined(&config.argv), "/bin/server -v stop now", "arguments replace Cmd");
    EXPECT_STR(config_env(&config, "A"), "9", NULL);
    EXPECT_STR(config.cwd, "/x", NULL);
    EXPECT_STR(config.stop_signal, "15", NULL);
    EXPECT_STR(config.user, "7:8", NULL);
    free_config();
    EXPECT_EQ(load(image, "init=/bin/other -- one"), 0, NULL);
    EXPECT_STR(joined(&config.argv), "/bin/other one", "init= ignores both");
    free_config();
}

TEST(config_refuses_wrong_types_and_bad_json)
{
    static const char *const bad[] = {
        "{\"config\":{\"Entrypoint\":[1]}}",
        "{\"config\":{\"Env\":[{}]}}",
        "{",
        "",
        "{\"a\":}",
        "[1,2",
        "{\"a\":\"\\u12\"}",
        "nul",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        EXPECT_EQ(load(bad[i], ""), -EINVAL, bad[i]);
        free_config();
    }
}

TEST(config_survives_every_failing_allocation)
{
    FOR_EACH_FAULT(fault) {
        EXPECT_EQ(load(image, "X=1 -- arg"), fault.err, fault.what);
        free_config();
    }
}

TEST(signal_numbers_by_name)
{
    EXPECT_EQ(signal_number("SIGTERM"), 15, NULL);
    EXPECT_EQ(signal_number("TERM"), 15, NULL);
    EXPECT_EQ(signal_number("9"), 9, NULL);
    EXPECT_EQ(signal_number("SIGRTMIN+3"), 37, NULL);
    EXPECT_EQ(signal_number("RTMAX-1"), 63, NULL);
    EXPECT_EQ(signal_number("SIGNOPE"), 0, NULL);
    EXPECT_EQ(signal_number("65"), 0, NULL);
    EXPECT_EQ(signal_number(""), 0, NULL);
}

static int parse_json(const char *source, struct json_node *nodes, u32 max)
{
    static char text[512];
    size_t where = 0;

    snprintf(text, sizeof(text), "%s", source);
    return json_parse(text, strlen(text), nodes, max, &where);
}

TEST(json_reads_values_and_escapes)
{
    struct json_node nodes[32];

    REQUIRE(parse_json("{\"s\":\"a\\u00e9\\n\\ud83d\\ude00\",\"l\":[true,null,-1.5e3],\"o\":{}}",
                       nodes, 32) > 0,
            NULL);
    EXPECT_STR(json_string(json_member(nodes, nodes, "s")), "a\xc3\xa9\n\xf0\x9f\x98\x80", NULL);
    const struct json_node *list = json_member(nodes, nodes, "l"), *n = json_first(nodes, list);
    EXPECT_EQ(n->type, JSON_TRUE, NULL);
    n = json_next(nodes, json_next(nodes, n));
    EXPECT_EQ(n->type, JSON_NUMBER, NULL);
    EXPECT_TRUE(!json_next(nodes, n), "the last");
    EXPECT_TRUE(!json_first(nodes, json_member(nodes, nodes, "o")), "empty");
    EXPECT_TRUE(!json_member(nodes, NULL, "x"), "no object");
}

TEST(json_bounds_nodes_and_depth)
{
    struct json_node nodes[64];
    char deep[128];

    EXPECT_EQ(parse_json("[1,2,3,4]", nodes, 3), -E2BIG, NULL);
    memset(deep, '[', JSON_MAX_DEPTH + 8);
    memset(deep + JSON_MAX_DEPTH + 8, ']', JSON_MAX_DEPTH + 8);
    deep[2 * (JSON_MAX_DEPTH + 8)] = 0;
    EXPECT_TRUE(parse_json(deep, nodes, 64) < 0, "too deep");
}

TEST(json_refuses_what_the_rfc_refuses)
{
    static const char *const bad[] = {
        "{a:1}",         "[01]", "[1.]", "[+1]", "[\"\t\"]",      "[\"\\x\"]",
        "[\"\\ud800\"]", "[1,]", "{,}",  "1 2",  "[\"\\u0000\"]",
    };
    struct json_node nodes[32];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_EQ(parse_json(bad[i], nodes, 32), -EINVAL, bad[i]);
}
