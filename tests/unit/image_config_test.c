/* The OCI image configuration, in both directions, and from texts that are none. */
#include "image/config.h"
#include "unit/test.h"

static int parse(const char *text, struct image_config *config, struct err *err)
{
    return config_parse_text(text, strlen(text), config, err);
}

TEST(config_reads_what_it_writes)
{
    static const char text[] =
        "{\"config\":{\"Cmd\":[\"-x\"],\"Entrypoint\":[\"/bin/a\"],\"Env\":[\"A=1\"],"
        "\"ExposedPorts\":{\"80/tcp\":{}},"
        "\"Healthcheck\":{\"Interval\":5,\"Retries\":2,\"Test\":[\"CMD\",\"tcp:80\"]},\"Labels\":{"
        "\"k\":\"v=w\"},\"StopSignal\":\"SIGINT\","
        "\"Volumes\":{\"/d\":{}},\"WorkingDir\":\"/w\"}}";
    struct image_config config = {0};
    struct err err = {0};

    REQUIRE(parse(text, &config, &err) == 0, err.text);
    EXPECT_STR(config.entrypoint.at[0], "/bin/a", NULL);
    EXPECT_STR(config.labels.at[0], "k=v=w", NULL);
    json_t *root = json_pack("{s:o}", "config", config_json(&config));
    char *again = json_text(root, 0);
    EXPECT_STR(again, text, NULL);
    free(again);
    json_decref(root);
    image_config_free(&config);
}

TEST(config_fills_in_what_is_absent)
{
    struct image_config config = {0};

    REQUIRE(parse("{}", &config, NULL) == 0, NULL);
    EXPECT_STR(config.workdir, "/", NULL);
    EXPECT_STR(config.stopsignal, "SIGTERM", NULL);
    image_config_free(&config);
    REQUIRE(parse("{\"config\":{\"Cmd\":null,\"WorkingDir\":\"\"}}", &config, NULL) == 0, NULL);
    EXPECT_STR(config.workdir, "/", NULL);
    image_config_free(&config);
}

TEST(config_refuses_what_makes_no_sense)
{
    static const char *const texts[] = {"",
                                        "[]",
                                        "{\"config\":1}",
                                        "{\"config\":{\"Cmd\":\"x\"}}",
                                        "{\"config\":{\"Cmd\":[1]}}",
                                        "{\"config\":{\"Env\":{}}}",
                                        "{\"config\":{\"WorkingDir\":\"rel\"}}",
                                        "{\"config\":{\"WorkingDir\":7}}",
                                        "{\"config\":{\"StopSignal\":\"SIGNOT\"}}",
                                        "{\"config\":{\"Volumes\":[]}}",
                                        "{\"config\":{\"Labels\":{\"a\":1}}}",
                                        "{\"config\":{},\"config\":{}}"};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct image_config config = {0};
        EXPECT_EQ(parse(texts[i], &config, NULL), -EINVAL, texts[i]);
        EXPECT_EQ(config.workdir, NULL, "left empty");
    }
}

TEST(config_knows_signals_by_name_and_number)
{
    EXPECT_EQ(config_signal("SIGTERM"), 15, NULL);
    EXPECT_EQ(config_signal("term"), 15, NULL);
    EXPECT_EQ(config_signal("9"), 9, NULL);
    EXPECT_EQ(config_signal("SIGRTMIN+3"), 37, NULL);
    EXPECT_EQ(config_signal("0"), 0, NULL);
    EXPECT_EQ(config_signal("65"), 0, NULL);
    EXPECT_EQ(config_signal(""), 0, NULL);
    EXPECT_EQ(config_signal("SIG"), 0, NULL);
}

TEST(config_setenv_replaces)
{
    struct strs env = {0};

    config_setenv(&env, "AB=1");
    config_setenv(&env, "A=2");
    config_setenv(&env, "AB=3");
    EXPECT_EQ(env.len, 2, NULL);
    EXPECT_STR(config_getenv(&env, "AB"), "3", NULL);
    EXPECT_STR(config_getenv(&env, "A"), "2", NULL);
    EXPECT_EQ(config_getenv(&env, "B"), NULL, NULL);
    strs_free(&env);
}
