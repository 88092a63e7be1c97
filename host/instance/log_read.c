/* `ingot logs`: the files of an instance, the oldest first, and what comes while we look. */
#include "instance/instance.h"
#include "instance/log.h"

#include "lib/cleanup.h"
#include "lib/duration.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_MAX = 1000,
    FOLLOW_MS = 1000, /* a file system without inotify is looked at this often */
};

struct reader {
    int dir;
    const struct log_query *query;
    FILE *file; /* what is read now; NULL for none */
    char *line; /* getline()'s */
    size_t line_cap;
    struct buf half; /* the beginning of a line that is not whole yet */
    u64 skip;        /* lines to pass over */
    u64 count;
    bool counting;
    bool mid_line; /* the last piece had no end */
};

static bool parse_stamp(const char *text, s64 *ns)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    s64 fraction = 0, unit = 100000000;

    if (!end)
        end = strptime(text, "%Y-%m-%d", &tm);
    if (!end)
        return false;
    if (*end == '.')
        for (end++; isdigit((unsigned char)*end); end++, unit /= 10)
            fraction += (*end - '0') * unit;
    if (*end == 'Z')
        end++;
    *ns = (s64)timegm(&tm) * 1000000000 + fraction;
    return !*end || *end == ' ';
}

static bool parse_ago(const char *text, s64 *ns)
{
    u64 ms;

    if (!duration_parse(text, &ms) || ms > (u64)INT32_MAX * 1000)
        return false;
    *ns = instance_clock() - (s64)ms * 1000000;
    return true;
}

bool log_parse_time(const char *text, s64 *ns)
{
    return parse_stamp(text, ns) || parse_ago(text, ns);
}

/* One line of a file, taken apart. */
struct entry {
    const char *time, *text;
    size_t len;
    bool errors, whole;
    json_t *json; /* owned: the text is in it */
};

static bool parse_json_line(const char *line, size_t len, struct entry *entry)
{
    entry->json = json_loadb(line, len, 0, NULL);
    const json_t *text = json_object_get(entry->json, "log");
    const char *stream = json_str(entry->json, "stream", "stdout");

    entry->time = json_str(entry->json, "time", NULL);
    if (!entry->time || !json_is_string(text))
        return false;
    entry->text = json_string_value(text);
    entry->len = json_string_length(text);
    entry->errors = strcmp(stream, "stderr") == 0;
    entry->whole = entry->len && entry->text[entry->len - 1] == '\n';
    return true;
}

/* "TIME stdout F text\n"; the time's blank becomes its end. */
static bool parse_text_line(char *line, size_t len, struct entry *entry)
{
    char *stream = strchr(line, ' ');
    char *flag = stream ? strchr(stream + 1, ' ') : NULL;

    if (!flag || !flag[1] || flag[2] != ' ')
        return false;
    *stream = 0;
    entry->time = line;
    entry->errors = str_starts(stream + 1, "stderr ");
    entry->whole = flag[1] == 'F';
    entry->text = flag + 3;
    entry->len = len - (size_t)(flag + 3 - line) - !entry->whole; /* without the file's newline */
    return true;
}

static void entry_fini(struct entry *entry)
{
    json_decref(entry->json);
}

static bool wanted(const struct log_query *query, const char *time)
{
    s64 ns;

    if (!query->since && !query->until)
        return true;
    return parse_stamp(time, &ns) && ns >= query->since && (!query->until || ns <= query->until);
}

static void show(struct reader *reader, char *line, size_t len)
{
    struct entry entry CLEANUP(entry_fini) = {0};

    if (line[0] == '{' ? !parse_json_line(line, len, &entry) : !parse_text_line(line, len, &entry))
        return; /* half a line, of a disk that was full */
    if (!wanted(reader->query, entry.time))
        return;
    reader->count++;
    if (reader->counting || reader->count <= reader->skip)
        return;
    FILE *to = entry.errors ? stderr : stdout;
    if (reader->query->timestamps && !reader->mid_line)
        fprintf(to, "%s ", entry.time);
    fwrite(entry.text, 1, entry.len, to);
    reader->mid_line = !entry.whole;
}

static void read_lines(struct reader *reader)
{
    ssize_t len;

    clearerr(reader->file);
    while ((len = getline(&reader->line, &reader->line_cap, reader->file)) > 0) {
        buf_add(&reader->half, reader->line, (size_t)len);
        if (reader->line[len - 1] != '\n')
            break;
        show(reader, reader->half.data, reader->half.len);
        reader->half.len = 0;
    }
}

static bool open_file(struct reader *reader, unsigned number)
{
    char name[24] = "log";

    if (number)
        snprintf(name, sizeof(name), "log.%u", number);
    file_close(&reader->file);
    reader->half.len = 0;
    int fd = openat(reader->dir, name, O_RDONLY | O_CLOEXEC);
    reader->file = fd < 0 ? NULL : fdopen(fd, "r");
    return reader->file != NULL;
}

static void read_files(struct reader *reader, unsigned oldest)
{
    for (unsigned number = oldest + 1; number-- > 0;)
        if (open_file(reader, number))
            read_lines(reader);
}

/* The writer went on to a new file: what is read is not called `log` any more. */
static bool was_rotated(const struct reader *reader)
{
    struct stat ours, now;

    if (fstatat(reader->dir, "log", &now, 0) < 0)
        return false;
    return !reader->file || fstat(fileno(reader->file), &ours) < 0 || ours.st_ino != now.st_ino;
}

static void catch_up(struct reader *reader)
{
    if (reader->file)
        read_lines(reader);
    if (was_rotated(reader)) {
        if (reader->file)
            read_lines(reader); /* it may have grown before it was moved */
        if (open_file(reader, 0))
            read_lines(reader);
    }
}

static int follow(struct reader *reader)
{
    char events[4096], path[64];
    int notify CLEANUP(fd_close) = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    snprintf(path, sizeof(path), "/proc/self/fd/%d", reader->dir);
    if (notify >= 0)
        inotify_add_watch(notify, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    while (true) {
        struct pollfd set[] = {{.fd = notify, .events = POLLIN},
                               {.fd = reader->query->ended, .events = POLLIN}};
        bool over = !reader->query->alive(reader->query->context); /* asked before the last look */
        catch_up(reader);
        if (fflush(stdout) || ferror(stdout))
            return -errno;
        if (over)
            return 0;
        poll(set, ARRAY_LEN(set), FOLLOW_MS);
        while (notify >= 0 && read(notify, events, sizeof(events)) > 0)
            ;
    }
}

int log_print(int dir, const struct log_query *query)
{
    struct reader reader = {.dir = dir, .query = query};
    char name[24];
    unsigned oldest = 0;

    for (unsigned i = 1; i < FILES_MAX; i++) {
        snprintf(name, sizeof(name), "log.%u", i);
        if (faccessat(dir, name, F_OK, 0) == 0)
            oldest = i;
        else
            break;
    }
    if (query->tail >= 0) {
        reader.counting = true;
        read_files(&reader, oldest);
        reader.skip = reader.count > (u64)query->tail ? reader.count - (u64)query->tail : 0;
        reader.count = 0;
        reader.counting = reader.mid_line = false;
    }
    read_files(&reader, oldest);
    int failed = query->follow ? follow(&reader) : 0;
    file_close(&reader.file);
    free(reader.line);
    buf_free(&reader.half);
    return failed;
}
