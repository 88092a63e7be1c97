/* inotify: every event, their order, what is merged, and what becomes of watches. */
#define _GNU_SOURCE
#include "t.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

static char events[65536] __attribute__((aligned(8)));
static size_t events_len, events_at;

/* A new instance with a watch on "d", which is made anew. */
static int watch_dir(uint32_t mask, int *wd)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    NEED(fd >= 0);
    NEED(mkdir("d", 0755) == 0);
    *wd = inotify_add_watch(fd, "d", mask);
    NEED(*wd >= 1);
    events_len = events_at = 0;
    return fd;
}

static const struct inotify_event *next(int fd)
{
    if (events_at == events_len) {
        ssize_t n = read(fd, events, sizeof(events));
        events_at = 0;
        events_len = n > 0 ? (size_t)n : 0;
        if (n <= 0)
            return NULL;
    }
    const struct inotify_event *e = (const void *)(events + events_at);
    events_at += sizeof(*e) + e->len;
    return e;
}

/* The next event is this one; its cookie. */
static uint32_t expect_at(int line, int fd, int wd, uint32_t mask, const char *name)
{
    const struct inotify_event *e = next(fd);

    if (!e) {
        t_problem(line, "no event, want %#x '%s'", mask, name);
        return 0;
    }
    if (e->wd != wd || e->mask != mask || strcmp(e->len ? e->name : "", name))
        t_problem(line, "event wd %d mask %#x '%s', want %d %#x '%s'", e->wd, e->mask,
                  e->len ? e->name : "", wd, mask, name);
    return e->cookie;
}
#define EXPECT(wd, mask, name) expect_at(__LINE__, fd, wd, mask, name)
#define EXPECT_NONE()          CHECK(next(fd) == NULL)

CASE(all_that_happens_to_a_file_in_a_directory)
{
    int wd, fd = watch_dir(IN_ALL_EVENTS, &wd);
    char c;

    int file = open("d/f", O_RDWR | O_CREAT, 0644);
    EXPECT(wd, IN_CREATE, "f");
    EXPECT(wd, IN_OPEN, "f");
    CHECK_EQ(write(file, "abc", 3), 3);
    EXPECT(wd, IN_MODIFY, "f");
    CHECK_EQ(pread(file, &c, 1, 0), 1);
    EXPECT(wd, IN_ACCESS, "f");
    CHECK_EQ(ftruncate(file, 1), 0);
    EXPECT(wd, IN_MODIFY, "f");
    CHECK_EQ(fchmod(file, 0600), 0);
    EXPECT(wd, IN_ATTRIB, "f");
    CHECK_EQ(futimens(file, NULL), 0);
    EXPECT(wd, IN_ATTRIB, "f");
    close(file);
    EXPECT(wd, IN_CLOSE_WRITE, "f");
    file = open("d/f", O_RDONLY);
    EXPECT(wd, IN_OPEN, "f");
    close(file);
    EXPECT(wd, IN_CLOSE_NOWRITE, "f");
    CHECK_EQ(link("d/f", "d/g"), 0);
    EXPECT(wd, IN_CREATE, "g");
    CHECK_EQ(symlink("f", "d/l"), 0);
    EXPECT(wd, IN_CREATE, "l");
    CHECK_EQ(mkdir("d/sub", 0755), 0);
    EXPECT(wd, IN_CREATE | IN_ISDIR, "sub");
    CHECK_EQ(rmdir("d/sub"), 0);
    EXPECT(wd, IN_DELETE | IN_ISDIR, "sub");
    CHECK_EQ(truncate("d/f", 0), 0);
    EXPECT(wd, IN_MODIFY, "f");
    EXPECT_NONE();
    CHECK_EQ(unlink("d/l"), 0);
    EXPECT(wd, IN_DELETE, "l");
    EXPECT_NONE();
    unlink("d/f"), unlink("d/g");
    close(fd);
    rmdir("d");
}

CASE(moves_share_a_cookie)
{
    int wd, fd = watch_dir(IN_MOVE | IN_MOVE_SELF, &wd);

    NEED(mkdir("e", 0755) == 0 && put_file("d/f", "x") && mkdir("d/sub", 0755) == 0);
    int other = inotify_add_watch(fd, "e", IN_MOVE),
        self = inotify_add_watch(fd, "d/f", IN_MOVE_SELF);
    CHECK(other > wd && self > other);
    CHECK_EQ(rename("d/f", "e/g"), 0);
    uint32_t cookie = EXPECT(wd, IN_MOVED_FROM, "f");
    CHECK(cookie != 0);
    CHECK_EQ(EXPECT(other, IN_MOVED_TO, "g"), cookie);
    CHECK_EQ(EXPECT(self, IN_MOVE_SELF, ""), 0);
    CHECK_EQ(rename("d/sub", "d/sub2"), 0);
    uint32_t second = EXPECT(wd, IN_MOVED_FROM | IN_ISDIR, "sub");
    CHECK(second != cookie);
    CHECK_EQ(EXPECT(wd, IN_MOVED_TO | IN_ISDIR, "sub2"), second);
    EXPECT_NONE();
    close(fd);
    unlink("e/g"), rmdir("e"), rmdir("d/sub2"), rmdir("d");
}

CASE(the_end_of_what_is_watched)
{
    int wd, fd = watch_dir(IN_DELETE_SELF | IN_ATTRIB, &wd);

    NEED(put_file("d/f", "x"));
    int self = inotify_add_watch(fd, "d/f", IN_ATTRIB | IN_DELETE_SELF);
    int file = open("d/f", O_RDONLY);
    CHECK_EQ(unlink("d/f"), 0);
    EXPECT(self, IN_ATTRIB, ""); /* the count of its names */
    EXPECT_NONE();
    close(file); /* now it is gone */
    EXPECT(self, IN_DELETE_SELF, "");
    EXPECT(self, IN_IGNORED, "");
    CHECK_ERR(inotify_rm_watch(fd, self), EINVAL);
    CHECK_EQ(rmdir("d"), 0);
    EXPECT(wd, IN_DELETE_SELF, "");
    EXPECT(wd, IN_IGNORED, "");
    EXPECT_NONE();
    close(fd);
}

CASE(a_watch_is_changed_added_to_and_taken_away)
{
    int wd, fd = watch_dir(IN_CREATE, &wd);

    CHECK_EQ(inotify_add_watch(fd, "d", IN_DELETE), wd);
    NEED(put_file("d/f", ""));
    CHECK_EQ(inotify_add_watch(fd, "d", IN_CREATE | IN_MASK_ADD), wd);
    CHECK_ERR(inotify_add_watch(fd, "d", IN_CREATE | IN_MASK_CREATE), EEXIST);
    CHECK_ERR(inotify_add_watch(fd, "d/f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
    CHECK_ERR(inotify_add_watch(fd, "d", 0), EINVAL);
    CHECK_ERR(inotify_add_watch(fd, "none", IN_CREATE), ENOENT);
    CHECK_ERR(inotify_add_watch(0, "d", IN_CREATE), EINVAL);
    NEED(put_file("d/g", ""));
    EXPECT(wd, IN_CREATE, "g");
    unlink("d/f");
    EXPECT(wd, IN_DELETE, "f");
    CHECK_EQ(inotify_rm_watch(fd, wd), 0);
    EXPECT(wd, IN_IGNORED, "");
    CHECK_ERR(inotify_rm_watch(fd, wd), EINVAL);
    unlink("d/g");
    EXPECT_NONE();
    int once = inotify_add_watch(fd, "d", IN_CREATE | IN_ONESHOT);
    CHECK(once != wd);
    NEED(put_file("d/f", "") && put_file("d/g", ""));
    EXPECT(once, IN_CREATE, "f");
    EXPECT(once, IN_IGNORED, "");
    EXPECT_NONE();
    close(fd);
    unlink("d/f"), unlink("d/g"), rmdir("d");
}

CASE(the_same_event_twice_is_one)
{
    int wd, fd = watch_dir(IN_MODIFY, &wd), left;

    int file = open("d/f", O_WRONLY | O_CREAT, 0644), other = open("d/g", O_WRONLY | O_CREAT, 0644);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(write(file, "x", 1), 1);
    CHECK_EQ(write(other, "x", 1), 1);
    CHECK_EQ(write(file, "x", 1), 1);
    CHECK_EQ(ioctl(fd, FIONREAD, &left), 0);
    CHECK_EQ(left, 3 * (sizeof(struct inotify_event) + 16));
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    EXPECT(wd, IN_MODIFY, "f");
    EXPECT(wd, IN_MODIFY, "g");
    EXPECT(wd, IN_MODIFY, "f");
    EXPECT_NONE();
    CHECK(poll(&p, 1, 0) == 0);
    close(file), close(other), close(fd);
    unlink("d/f"), unlink("d/g"), rmdir("d");
}

CASE(too_many_events_are_told_once)
{
    int wd, fd = watch_dir(IN_ATTRIB, &wd),
            most = atoi(get_file("/proc/sys/fs/inotify/max_queued_events"));
    const struct inotify_event *e, *last = NULL;
    int count = 0;

    NEED(most > 0 && most <= 65536);
    NEED(put_file("d/f", "") && put_file("d/g", ""));
    for (int i = 0; i < most + 100; i++)
        chmod(i & 1 ? "d/f" : "d/g", 0600);
    static struct inotify_event end;
    while ((e = next(fd))) {
        count++;
        end = *e;
        last = &end;
    }
    CHECK_EQ(count, most + 1);
    CHECK(last && last->mask == IN_Q_OVERFLOW && last->wd == -1);
    chmod("d/f", 0644);
    EXPECT(wd, IN_ATTRIB, "f");
    close(fd);
    unlink("d/f"), unlink("d/g"), rmdir("d");
}

CASE(a_watch_is_of_the_file_and_not_of_its_name)
{
    int wd, fd = watch_dir(IN_MODIFY | IN_EXCL_UNLINK, &wd);

    NEED(put_file("d/f", "x"));
    EXPECT(wd, IN_MODIFY, "f");
    CHECK_EQ(rename("d", "moved"), 0);
    int file = open("moved/f", O_WRONLY);
    CHECK_EQ(write(file, "y", 1), 1);
    EXPECT(wd, IN_MODIFY, "f");
    CHECK_EQ(link("moved/f", "hard"), 0);
    int through = open("hard", O_WRONLY);
    CHECK_EQ(write(through, "y", 1), 1); /* by a name that nobody watches */
    EXPECT_NONE();
    CHECK_EQ(unlink("moved/f"), 0);
    CHECK_EQ(write(file, "z", 1), 1);
    EXPECT_NONE();
    close(file), close(through), close(fd);
    unlink("hard"), rmdir("moved");
}

CASE(a_small_buffer_takes_what_fits)
{
    int wd, fd = watch_dir(IN_CREATE, &wd);
    char small[sizeof(struct inotify_event) + 16];

    CHECK_ERR(read(fd, small, 0), EAGAIN);
    NEED(put_file("d/a", "") && put_file("d/a_name_of_more_than_sixteen", ""));
    CHECK_ERR(read(fd, small, sizeof(struct inotify_event)), EINVAL);
    CHECK_EQ(read(fd, small, sizeof(small)), sizeof(small));
    CHECK_ERR(read(fd, small, sizeof(small)), EINVAL);
    const struct inotify_event *e = next(fd);
    CHECK(e && e->len == 32 && !strcmp(e->name, "a_name_of_more_than_sixteen"));
    close(fd);
    unlink("d/a"), unlink("d/a_name_of_more_than_sixteen"), rmdir("d");
}
