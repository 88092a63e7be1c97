/* One line is one write, so lines of many processes do not mix. */
#include "instance/events.h"

#include "instance/instance.h"
#include "lib/cleanup.h"
#include "lib/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 1 << 20, /* bytes of one file */
};

static char *events_path(const char *suffix)
{
    char *root CLEANUP(mem_free) = instance_root();

    return str_printf("%s/events%s", root, suffix);
}

/* Whoever finds the file full moves it; the lock and the second look let only one do so. */
static void make_room(int fd, const char *path)
{
    struct stat ours, now;
    char *old CLEANUP(mem_free) = events_path(".1");

    if (fstat(fd, &ours) < 0 || ours.st_size < EVENTS_MAX || flock(fd, LOCK_EX) < 0)
        return;
    if (stat(path, &now) == 0 && now.st_ino == ours.st_ino)
        rename(path, old);
}

void event_write(const char *name, const char *action, json_t *more)
{
    char time[40];
    s64 now = instance_clock();
    char *path CLEANUP(mem_free) = events_path("");
    json_t *event CLEANUP(json_put) =
        json_pack("{s:s, s:s, s:s, s:I}", "Name", name, "Action", action, "Time",
                  instance_time(now, time), "TimeNano", (json_int_t)now);

    if (more)
        json_object_update(event, more);
    json_decref(more);
    char *text CLEANUP(mem_free) = json_text(event, 0);
    char *line CLEANUP(mem_free) = str_printf("%s\n", text);
    int fd CLEANUP(fd_close) = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    make_room(fd, path);
    (void)!write(fd, line, strlen(line)); /* a full disk has no events */
}

static void show_line(const struct event_query *query, const char *line, size_t len)
{
    json_t *event CLEANUP(json_put) = json_loadb(line, len, 0, NULL);
    s64 when = json_int(event, "TimeNano", 0);

    if (event && when >= query->since && (!query->until || when <= query->until))
        query->show(event, query->context);
}

static void show_file(const struct event_query *query, FILE *file)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    clearerr(file);
    while ((len = getline(&line, &cap, file)) > 0)
        show_line(query, line, (size_t)len);
    free(line);
}

static FILE *open_events(const char *suffix)
{
    char *path CLEANUP(mem_free) = events_path(suffix);

    return fopen(path, "re");
}

static bool moved_on(FILE *file)
{
    char *path CLEANUP(mem_free) = events_path("");
    struct stat ours, now;

    return stat(path, &now) == 0 &&
           (!file || fstat(fileno(file), &ours) < 0 || ours.st_ino != now.st_ino);
}

static void follow(const struct event_query *query, FILE **file)
{
    char *root CLEANUP(mem_free) = instance_root();
    int notify CLEANUP(fd_close) = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char buffer[4096];

    if (notify >= 0)
        inotify_add_watch(notify, root, IN_MODIFY | IN_CREATE | IN_MOVED_TO);
    while (!query->until || instance_clock() < query->until) {
        if (*file)
            show_file(query, *file);
        if (moved_on(*file)) {
            file_close(file);
            *file = open_events("");
            continue;
        }
        if (fflush(stdout) || ferror(stdout))
            return; /* main says why */
        s64 left = query->until ? (query->until - instance_clock()) / 1000000 + 1 : 1000;
        struct pollfd entry = {.fd = notify, .events = POLLIN};
        poll(&entry, 1, (int)max(min(left, (s64)1000), (s64)0));
        while (notify >= 0 && read(notify, buffer, sizeof(buffer)) > 0)
            ;
    }
}

int event_read(const struct event_query *query, struct err *err)
{
    char *root CLEANUP(mem_free) = instance_root();
    int failed = fs_mkdirs(root, err);

    if (failed)
        return failed;
    FILE *old CLEANUP(file_close) = open_events(".1");
    FILE *file CLEANUP(file_close) = open_events("");
    if (old)
        show_file(query, old);
    if (file)
        show_file(query, file);
    if (query->follow)
        follow(query, &file);
    return 0;
}
