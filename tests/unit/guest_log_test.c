/* The guest's console as the runner reads it: a guest may write anything there. */
#include "unit/test.h"
#include "vm/guest_log.h"

static char seen[4096];

static void collect(void *context, enum guest_line kind, const char *text)
{
    (void)context;
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof(seen) - used, "%d:%s|", (int)kind, text);
}

static int ended(const char *text, struct guest_log *log)
{
    guest_log_init(log, NULL, NULL);
    guest_log_feed(log, text, strlen(text));
    guest_log_flush(log);
    return (int)log->end;
}

TEST(guest_log_sorts_lines_in_any_pieces)
{
    static const char text[] =
        "[    0.000001] hello\r\n\ntrace: a(1)\nmissing: /x\ningot: exit 3\n";

    for (size_t piece = 1; piece < sizeof(text); piece++) {
        struct guest_log log;
        seen[0] = 0;
        guest_log_init(&log, collect, NULL);
        for (size_t at = 0; at < sizeof(text) - 1; at += piece)
            guest_log_feed(&log, text + at, min(piece, sizeof(text) - 1 - at));
        EXPECT_STR(seen, "0:hello|1:a(1)|2:/x|3:ingot: exit 3|", NULL);
        EXPECT_EQ(guest_log_status(&log), 3, NULL);
        guest_log_fini(&log);
    }
}

TEST(guest_log_knows_every_end)
{
    static const struct {
        const char *text;
        enum guest_end end;
        int status;
    } cases[] = {
        {"ingot: exit 0\n", GUEST_EXIT, 0},
        {"[    1.000000] ingot: exit 255", GUEST_EXIT, 255},
        {"ingot: signal 11\n", GUEST_SIGNAL, 139},
        {"ingot: panic: x\n", GUEST_PANIC, 125},
        {"ingot: error: /a: no such file\n", GUEST_ERROR, 127},
        {"ingot: error: /a: not executable\n", GUEST_ERROR, 126},
        {"ingot: error: corrupt EROFS\n", GUEST_ERROR, 125},
        {"ingot: exit 256\n", GUEST_RUNNING, 125},
        {"ingot: exit -1\n", GUEST_RUNNING, 125},
        {"ingot: exit 1x\n", GUEST_RUNNING, 125},
        {"ingot: signal 99999999999999999999\n", GUEST_RUNNING, 125},
        {"not ingot: exit 0\n", GUEST_RUNNING, 125},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct guest_log log;
        EXPECT_EQ(ended(cases[i].text, &log), cases[i].end, cases[i].text);
        EXPECT_EQ(guest_log_status(&log), cases[i].status, cases[i].text);
        guest_log_fini(&log);
    }
}

TEST(guest_log_keeps_the_last_lines_and_cuts_long_ones)
{
    struct guest_log log;
    char line[64];

    guest_log_init(&log, NULL, NULL);
    for (int i = 0; i < 3 * GUEST_LOG_TAIL; i++) {
        int len = snprintf(line, sizeof(line), "line %d\n", i);
        guest_log_feed(&log, line, (size_t)len);
    }
    EXPECT_EQ(log.nr_lines, 3 * GUEST_LOG_TAIL, NULL);
    EXPECT_STR(log.tail[0], "line 200", "the oldest that is kept");
    for (int i = 0; i < 10000; i++)
        guest_log_feed(&log, "x", 1);
    guest_log_feed(&log, "\n", 1);
    EXPECT_EQ(strlen(log.tail[0]), GUEST_LOG_LINE - 1, NULL);
    guest_log_fini(&log);
}

TEST(guest_log_lets_nothing_steer_the_terminal)
{
    struct guest_log log;
    static const char text[] = "a\x1b[2J\0b\x7f\tc\n";

    guest_log_init(&log, NULL, NULL);
    guest_log_feed(&log, text, sizeof(text) - 1);
    EXPECT_STR(log.tail[0], "a.[2Jb.\tc", NULL);
    guest_log_fini(&log);
}
