/* The parts of instances that are pure: what is said of them, and what they say. */
#include "unit/test.h"

#include "instance/health.h"
#include "instance/log.h"
#include "instance/supervisor.h"
#include "lib/cleanup.h"
#include "lib/duration.h"
#include "lib/fs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(lengths_of_time)
{
    static const struct {
        const char *text;
        bool good;
        u64 ms;
    } cases[] = {
        {"30s", true, 30000}, {"1m30s", true, 90000},     {"250ms", true, 250},
        {"5", true, 5000},    {"1d", true, 86400000},     {"", false, 0},
        {"s", false, 0},      {"-1s", false, 0},          {"1x", false, 0},
        {"1s ", false, 0},    {"99999999999s", false, 0}, {"0", true, 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        u64 ms = 0;
        EXPECT_EQ(duration_parse(cases[i].text, &ms), cases[i].good, cases[i].text);
        EXPECT_EQ(ms, cases[i].ms, cases[i].text);
    }
}

TEST(restart_policies)
{
    struct restart_policy policy;
    static const char *const bad[] = {
        "",         "never",     "on-failure:",           "on-failure:0", "on-failure:x",
        "always:3", "on-failur", "on-failure:99999999999"};

    EXPECT_EQ(restart_parse("on-failure:3", &policy, NULL), 0, "with a count");
    EXPECT_EQ(policy.kind, RESTART_ON_FAILURE, "kind");
    EXPECT_EQ(policy.max, 3u, "count");
    EXPECT_EQ(restart_parse("unless-stopped", &policy, NULL), 0, "without");
    EXPECT_EQ(policy.kind, RESTART_UNLESS_STOPPED, "kind");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_EQ(restart_parse(bad[i], &policy, NULL), -ERR_USAGE, bad[i]);
}

TEST(health_checks_in_words)
{
    static const struct {
        const char *words[5];
        enum health_kind kind;
        u16 port;
        const char *path;
    } cases[] = {
        {{"tcp:6379"}, HEALTH_TCP, 6379, NULL},
        {{"http:8080/health"}, HEALTH_HTTP, 8080, "/health"},
        {{"http:80"}, HEALTH_HTTP, 80, "/"},
        {{"NONE"}, HEALTH_NONE, 0, NULL},
        {{"CMD", "curl", "-f", "http://localhost:9000/up?x=1"}, HEALTH_HTTP, 9000, "/up?x=1"},
        {{"CMD-SHELL", "curl -f http://127.0.0.1/ || exit 1"}, HEALTH_HTTP, 80, "/"},
        {{"CMD-SHELL", "wget -qO- \"http://localhost:81/a\" || exit 1"}, HEALTH_HTTP, 81, "/a"},
        {{"CMD", "nc", "-z", "localhost", "5432"}, HEALTH_TCP, 5432, NULL},
    };
    static const char *const bad[] = {"pg_isready", "tcp:0",          "tcp:70000",
                                      "tcp:80x",    "http:80x",       "curl http://example.org/",
                                      "rsync 80",   "nc -z localhost"};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct health_plan plan = {0};
        size_t count = 0;
        while (count < 5 && cases[i].words[count])
            count++;
        EXPECT_EQ(health_parse(cases[i].words, count, &plan, NULL), 0, cases[i].words[0]);
        EXPECT_EQ(plan.kind, cases[i].kind, cases[i].words[0]);
        EXPECT_EQ(plan.guest_port, cases[i].port, cases[i].words[0]);
        if (cases[i].path)
            EXPECT_EQ(strcmp(plan.path, cases[i].path), 0, plan.path);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct health_plan plan = {0};
        EXPECT_EQ(health_parse(&bad[i], 1, &plan, NULL), -EINVAL, bad[i]);
        EXPECT_EQ(plan.kind, HEALTH_NONE, bad[i]);
    }
}

/* A log in a folder of its own; gives what its file holds. */
static void written(enum log_kind kind, u64 max_size, const char *const *pieces, struct buf *text)
{
    char *dir CLEANUP(fs_tmpdir_remove) = fs_tmpdir(NULL, NULL);
    int fd CLEANUP(fd_close) = open(dir, O_RDONLY | O_DIRECTORY);
    const struct log_options options = {.kind = kind, .max_size = max_size, .max_files = 2};
    struct log_writer log;

    log_init(&log, &options, fd);
    for (size_t i = 0; pieces[i]; i++)
        log_feed(&log, LOG_STDOUT, pieces[i], strlen(pieces[i]));
    log_fini(&log);
    char *path CLEANUP(mem_free) = fs_join(dir, "log");
    EXPECT_EQ(fs_read(path, MIB(16), text, NULL), 0, "the file");
}

TEST(lines_in_pieces_become_lines)
{
    static const char *const pieces[] = {"on", "e\ntw", "o\n", "three", NULL};
    struct buf text CLEANUP(buf_free) = {0};

    written(LOG_TEXT, 0, pieces, &text);
    EXPECT_EQ(strstr(text.data, " stdout F one\n") != NULL, true, text.data);
    EXPECT_EQ(strstr(text.data, " stdout F two\n") != NULL, true, text.data);
    EXPECT_EQ(str_ends(text.data, " stdout P three\n"), true, text.data);
}

TEST(json_of_any_bytes)
{
    static const char *const pieces[] = {"q\"\\\t\xc3\xa9\xff\xed\xa0\x80\n", NULL};
    struct buf text CLEANUP(buf_free) = {0};

    written(LOG_JSON, 0, pieces, &text);
    json_t *json CLEANUP(json_put) = json_loadb(text.data, text.len, 0, NULL);
    const char *line = json_str(json, "log", "(no JSON)");
    EXPECT_EQ(strcmp(line, "q\"\\\t\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n"), 0,
              text.data);
}

TEST(a_line_without_an_end_is_cut)
{
    char *big CLEANUP(mem_free) = mem_new(LOG_LINE_MAX * 2 + 10);
    struct buf text CLEANUP(buf_free) = {0};

    memset(big, 'x', LOG_LINE_MAX * 2 + 5);
    const char *const pieces[] = {big, "\n", NULL};
    written(LOG_TEXT, 0, pieces, &text);
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    EXPECT_EQ(lines, 3u, "two pieces and the end");
}

TEST(times_of_the_past)
{
    s64 ns = 0, ago = 0;

    EXPECT_EQ(log_parse_time("1970-01-02T00:00:01.5Z", &ns), true, "a time stamp");
    EXPECT_EQ(ns, 86401500000000, "its value");
    EXPECT_EQ(log_parse_time("10m", &ago), true, "ten minutes ago");
    EXPECT_EQ(ago < instance_clock() && ago > instance_clock() - 700000000000, true, "its value");
    EXPECT_EQ(log_parse_time("yesterday", &ns), false, "no time");
    EXPECT_EQ(log_parse_time("", &ns), false, "nothing");
}
