#include "vm/report.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "vm/guest_log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_TRIES = 100,
    NAME_SIZE = 48,
    ROOM_FOR_TEXT = 256 << 10,
};

void report_init(struct report *report, int dir)
{
    *report = (struct report){.dir = dir, .core = -1};
}

bool report_is_inside(const struct report *report)
{
    return report->head_len != 0;
}

/* ---- files ---- */

/* "crash-12.txt": 12; 0 for other names. */
static unsigned number_of(const char *name)
{
    char *end;

    if (!str_starts(name, "crash-") || !isdigit((unsigned char)name[6]))
        return 0;
    unsigned long n = strtoul(name + 6, &end, 10);
    return n < UINT_MAX && (!strcmp(end, ".txt") || !strcmp(end, ".core")) ? (unsigned)n : 0;
}

static DIR *open_folder(const struct report *report)
{
    int fd = openat(report->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? NULL : fdopendir(fd);
}

static unsigned greatest_number(const struct report *report)
{
    DIR *dir = open_folder(report);
    unsigned greatest = 0;

    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        greatest = max(greatest, number_of(entry->d_name));
    if (dir)
        closedir(dir);
    return greatest;
}

static void remove_old(const struct report *report)
{
    DIR *dir = open_folder(report);

    for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        unsigned n = number_of(entry->d_name);
        if (n && n + REPORT_KEEP <= report->number)
            (void)unlinkat(report->dir, entry->d_name, 0); /* the next one tries again */
    }
    if (dir)
        closedir(dir);
}

static const char *file_name(char *name, const char *prefix, unsigned number, const char *end)
{
    snprintf(name, NAME_SIZE, "%scrash-%u.%s", prefix, number, end);
    return name;
}

static int open_new(const struct report *report, const char *prefix, const char *end)
{
    char name[NAME_SIZE];

    return openat(report->dir, file_name(name, prefix, report->number, end),
                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* What stopped it first is what counts. */
void report_lack(struct report *report, const char *text)
{
    if (!*report->why)
        str_copy(report->why, text, sizeof(report->why));
}

/* ---- reports ---- */

static void write_head(struct report *report, const char *program, u32 pid, int sig)
{
    time_t now = time(NULL);
    struct tm tm;
    char when[40];

    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    fprintf(report->text, "guest: %s\ntime: %s\n", report->title ? report->title : "", when);
    if (sig)
        fprintf(report->text, "program: %s (process %u)\ndied of: SIG%s (%d)\n", program, pid,
                sigabbrev_np(sig) ? sigabbrev_np(sig) : "?", sig);
    else
        fprintf(report->text, "kernel: %s\n", program);
}

bool report_begin(struct report *report, const char *program, u32 pid, int sig)
{
    int fd = -1;

    if (report->dir < 0)
        return false;
    report_end(report, 0); /* one that the guest left */
    report->number = greatest_number(report);
    for (int i = 0; i < NAME_TRIES && fd < 0 && (!i || errno == EEXIST); i++) {
        report->number++;
        fd = open_new(report, ".", "txt");
    }
    report->text = fd < 0 ? NULL : fdopen(fd, "w");
    if (!report->text) {
        fprintf(stderr, "ingot run: no crash report can be written: %s\n", strerror(errno));
        fd_close(&fd);
        report->number = 0;
        return false;
    }
    report->room = REPORT_CORE_MAX;
    report->why[0] = 0;
    write_head(report, program, pid, sig);
    return true;
}

int report_core(struct report *report)
{
    if (report->core < 0 && report->number && !*report->why) {
        report->core = open_new(report, "", "core");
        if (report->core < 0)
            report_lack(report, strerror(errno));
    }
    return report->core;
}

static void write_tail(struct report *report)
{
    if (!report->log)
        return;
    fputs("last lines of the log:\n", report->text);
    guest_log_print_tail(report->log, report->text, "  ", report->symbolize, report->context);
}

/* Where the user finds it; the folder may have been renamed since. */
static void say_where(const struct report *report, const char *name)
{
    char link[64], path[PATH_MAX];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", report->dir);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[max(len, (ssize_t)0)] = 0;
    fprintf(stderr, "ingot run: crash report: %s/%s\n", path, name);
}

static void end_core(struct report *report, u64 size)
{
    if (report->core >= 0 && size && ftruncate(report->core, (off_t)size) < 0)
        report_lack(report, strerror(errno)); /* a hole at its end */
    if (report->core < 0 && !*report->why)
        fputs("core file: none\n", report->text);
    else if (*report->why)
        fprintf(report->text, "core file: incomplete: %s\n", report->why);
    else
        fprintf(report->text, "core file: crash-%u.core, for: ingot debug --core crash-%u.core\n",
                report->number, report->number);
    fd_close(&report->core);
    report->core = -1;
}

void report_end(struct report *report, u64 size)
{
    char from[NAME_SIZE], to[NAME_SIZE];

    if (!report->number)
        return;
    end_core(report, size);
    write_tail(report);
    file_name(from, ".", report->number, "txt");
    file_name(to, "", report->number, "txt");
    bool whole = !ferror(report->text);
    if (fclose(report->text) || !whole)
        fprintf(stderr, "ingot run: the crash report is not whole: %s\n", strerror(errno));
    if (renameat(report->dir, from, report->dir, to) < 0)
        fprintf(stderr, "ingot run: crash report '%s': %s\n", to, strerror(errno));
    else
        say_where(report, to);
    remove_old(report);
    report->text = NULL;
    report->last_written = report->number;
    report->number = 0;
}

void report_fini(struct report *report)
{
    if (report->number)
        report_lack(report, "the guest ended before it was written");
    report_end(report, 0);
    mem_free(&report->sample);
}

/* ---- records ---- */

/* On a full disk the words about it matter more than the end of the core file. */
static void leave_room(const struct report *report, int fd)
{
    u64 end = report->at > ROOM_FOR_TEXT ? report->at - ROOM_FOR_TEXT : 0;

    (void)ftruncate(fd, (off_t)ALIGN_DOWN(end, 4096)); /* else there is no room, which is said */
}

static void take_core(struct report *report, const char *bytes, size_t len)
{
    if (*report->why)
        return;
    if (len > report->room || report->at > INT64_MAX - len) {
        report_lack(report, "it is larger than 1 GiB");
        return;
    }
    int fd = report_core(report);
    report->room -= len;
    for (size_t done = 0; fd >= 0 && done < len;) {
        ssize_t put = pwrite(fd, bytes + done, len - done, (off_t)(report->at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            report_lack(report, strerror(errno));
            leave_room(report, fd);
            return;
        }
        done += (size_t)put;
    }
}

/* Words of an untrusted guest, for a terminal. */
static void take_text(struct report *report, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && report->text; i++)
        fputc(bytes[i] == '\n' || isprint((unsigned char)bytes[i]) ? bytes[i] : '.', report->text);
}

/* It may come in pieces; what is too long is cut. */
static void take_name(struct report *report, const char *bytes, size_t len)
{
    size_t at = report->head.len - report->left;

    for (size_t i = 0; i < len && at + i < sizeof(report->name) - 1; i++) {
        report->name[at + i] = isprint((unsigned char)bytes[i]) ? bytes[i] : '.';
        report->name[at + i + 1] = 0;
    }
    if (len == report->left)
        (void)report_begin(report, report->name, report->head.pid,
                           (int)(report->head.offset & 0x7f));
}

static void take_sample(struct report *report, const char *bytes, size_t len)
{
    size_t at = report->head.len - report->left;

    if (!report->profile)
        return;
    if (!report->sample)
        report->sample = mem_new(REPORT_DATA_MAX);
    memcpy(report->sample + at, bytes, len);
    if (len == report->left)
        report->take_sample(report->profile, report->sample, report->head.len);
}

static void take_data(struct report *report, const char *bytes, size_t len)
{
    if (report->head.kind == REPORT_CRASH)
        take_name(report, bytes, len);
    else if (report->head.kind == REPORT_SAMPLE)
        take_sample(report, bytes, len);
    else if (report->head.kind == REPORT_TEXT)
        take_text(report, bytes, len);
    else if (report->head.kind == REPORT_CORE && report->number)
        take_core(report, bytes, len);
    report->at += len;
}

/* The head is there. */
static void take_head(struct report *report)
{
    const struct report_head *head = &report->head;

    if (head->magic != REPORT_MAGIC || head->len > REPORT_DATA_MAX) {
        report->head_len = 0; /* no record: only its first byte was */
        return;
    }
    report->left = head->len;
    report->at = head->offset;
    if (head->kind == REPORT_END)
        report_end(report, min(head->offset, (u64)INT64_MAX));
}

size_t report_feed(struct report *report, const char *bytes, size_t len)
{
    size_t taken = 0;

    if (report->head_len < sizeof(report->head)) {
        taken = min(len, sizeof(report->head) - report->head_len);
        memcpy((char *)&report->head + report->head_len, bytes, taken);
        report->head_len += taken;
        if (report->head_len == sizeof(report->head))
            take_head(report);
    }
    if (report->head_len == sizeof(report->head)) {
        size_t n = min(len - taken, (size_t)report->left);
        if (n)
            take_data(report, bytes + taken, n);
        taken += n;
        report->left -= (u32)n;
        if (!report->left)
            report->head_len = 0;
    }
    return taken;
}
