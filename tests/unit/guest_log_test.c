/* The guest's console as the runner reads it: a guest may write anything there. */
#include "unit/test.h"
#include "vm/guest_log.h"
#include "vm/report.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- records between the lines ---- */

static size_t put_record(char *to, u32 kind, u64 offset, const char *data)
{
    struct report_head head = {
        .magic = REPORT_MAGIC, .kind = kind, .offset = offset, .len = (u32)strlen(data), .pid = 7};

    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), data, head.len);
    return sizeof(head) + head.len;
}

static size_t read_file(int dir, const char *name, char *text, size_t size)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);

    text[got < 0 ? 0 : got] = 0;
    if (fd >= 0)
        close(fd);
    return got < 0 ? 0 : (size_t)got;
}

TEST(records_between_lines_become_files_however_they_are_cut)
{
    char stream[1024], folder[] = "/tmp/ingot-report-XXXXXX", text[4096];
    struct guest_log log;
    struct report report;
    size_t len = 0;

    EXPECT_TRUE(mkdtemp(folder) != NULL, "a folder");
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    len += (size_t)sprintf(stream, "[    0.000001] before\n");
    len += put_record(stream + len, REPORT_CRASH, 11, "pro\033gram");
    len += put_record(stream + len, REPORT_TEXT, 0, "memory map:\n\033[2J\n");
    len += put_record(stream + len, REPORT_CORE, 5, "after a hole");
    len += (size_t)sprintf(stream + len, "[    0.000002] between\n");
    len += put_record(stream + len, REPORT_END, 100, "");
    len += (size_t)sprintf(stream + len, "ingot: signal 11\n");
    for (size_t step = 1; step < 60; step++) {
        guest_log_init(&log, NULL, NULL);
        report_init(&report, dir);
        report.log = &log;
        log.report = &report;
        for (size_t at = 0; at < len; at += step)
            guest_log_feed(&log, stream + at, len - at < step ? len - at : step);
        EXPECT_EQ(log.end, GUEST_SIGNAL, "the last line was seen");
        EXPECT_EQ(log.nr_lines, 3, "no record is taken for a line");
        char name[32];
        snprintf(name, sizeof(name), "crash-%zu.txt", step);
        read_file(dir, name, text, sizeof(text));
        EXPECT_TRUE(strstr(text, "program: pro.gram (process 7)\ndied of: SIGSEGV") != NULL, text);
        EXPECT_TRUE(strstr(text, "memory map:\n.[2J\n") != NULL, "nothing steers a terminal");
        EXPECT_TRUE(strstr(text, "between") != NULL, "the log's end");
        snprintf(name, sizeof(name), "crash-%zu.core", step);
        EXPECT_EQ(read_file(dir, name, text, sizeof(text)), 100, "as long as was said");
        EXPECT_TRUE(!memcmp(text, "\0\0\0\0\0after a hole\0", 18), "at its place");
        report_fini(&report);
        guest_log_fini(&log);
    }
    EXPECT_EQ(report.last_written, 59, "one a turn");
    EXPECT_EQ(faccessat(dir, "crash-54.txt", F_OK, 0), -1, "the oldest went");
    EXPECT_EQ(faccessat(dir, "crash-55.txt", F_OK, 0), 0, "five stay");
    close(dir);
    pid_t child = fork();
    if (child == 0)
        execlp("rm", "rm", "-r", folder, NULL);
    waitpid(child, NULL, 0);
}

TEST(records_that_lie_harm_nobody)
{
    char stream[256], folder[] = "/tmp/ingot-report-XXXXXX";
    struct report_head head = {.magic = REPORT_MAGIC, .kind = REPORT_CORE, .len = 1u << 30};
    struct report report;

    EXPECT_TRUE(mkdtemp(folder) != NULL, "a folder");
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    report_init(&report, dir);
    EXPECT_EQ(report_feed(&report, (char *)&head, sizeof(head)), sizeof(head), "too long");
    EXPECT_TRUE(!report_is_inside(&report), "it is none");
    size_t len = put_record(stream, REPORT_CORE, UINT64_MAX - 2, "data");
    EXPECT_EQ(report_feed(&report, stream, len), len, "before any crash");
    len = put_record(stream, REPORT_CRASH, 6, "p");
    EXPECT_EQ(report_feed(&report, stream, len), len, "a crash");
    len = put_record(stream, REPORT_CORE, UINT64_MAX - 2, "data");
    EXPECT_EQ(report_feed(&report, stream, len), len, "beyond all files");
    len = put_record(stream, REPORT_END, UINT64_MAX, "");
    EXPECT_EQ(report_feed(&report, stream, len), len, "longer than all files");
    EXPECT_EQ(report.last_written, 1, "told all the same");
    report_fini(&report);
    EXPECT_EQ(unlinkat(dir, "crash-1.txt", 0), 0, "there");
    EXPECT_EQ(unlinkat(dir, "crash-1.core", 0), -1, "none was made");
    close(dir);
    EXPECT_EQ(rmdir(folder), 0, "and nothing else");
}
