/* The server of shared folders against guests, good and hostile. */
#include "unit/test.h"

#include "device/offer.h"
#include "device/share.h"
#include "fake/device_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ASK = GUEST_DATA, ANSWER = GUEST_DATA + 0x4000, ROOM = 0x2000, ROOT = 1, NEW = 2 };
enum { SIZE = 0, TYPE = 4, TAG = 5, BODY = 7 };

struct world {
    struct fake_guest fake;
    struct share *share;
    char top[64], folder[96]; /* the folder is "in" in top, beside the file "secret" */
    u32 len;                  /* of the message that is being made */
    u32 used;                 /* bytes of the last answer */
};

static void write_text(int dir, const char *name, const char *text)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), name);
    close(fd);
}

static void up(struct world *w, bool readonly)
{
    *w = (struct world){.top = "/tmp/share-test-XXXXXX"};
    REQUIRE(mkdtemp(w->top), "a folder");
    snprintf(w->folder, sizeof(w->folder), "%s/in", w->top);
    mkdir(w->folder, 0755);
    int top = open(w->top, O_PATH), in = open(w->folder, O_PATH);
    write_text(top, "secret", "secret");
    write_text(in, "file", "0123456789");
    mkdirat(in, "dir", 0755);
    symlinkat("../secret", in, "link");
    symlinkat("..", in, "up");
    mkfifoat(in, "fifo", 0600);
    close(top);

    w->share = calloc(1, sizeof(*w->share));
    w->share->root = in;
    w->share->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    w->share->readonly = readonly;
    fake_guest_init(&w->fake, 1);
    offer_init(w->fake.window);
    offer_share(w->fake.window, 0);
    device_init(&w->share->dev, &w->fake.guest, 0, "share", -1);
    fake_start(&w->fake, &w->share->dev, BIT(DEVICE_F_VERSION_1), 1);
}

static void down(struct world *w)
{
    char command[128];

    share_forget(w->share);
    close(w->share->root);
    close(w->share->proc_fd);
    free(w->share);
    fake_guest_fini(&w->fake);
    snprintf(command, sizeof(command), "rm -rf %s", w->top);
    EXPECT_EQ(system(command), 0, command);
}

/* A message of @words: "1", "2", "4" and "8" are numbers of so many bytes, "s" is a string, "b"
 * bytes (their count is a u32 before them). */
static void begin(struct world *w, u8 type, const char *words, va_list args)
{
    u8 *to = fake_at(&w->fake, ASK);

    w->len = BODY;
    to[TYPE] = type;
    memcpy(to + TAG, &(u16){0x55}, 2);
    for (; *words; words++) {
        if (*words == 's' || *words == 'b') {
            const char *text = va_arg(args, const char *);
            u32 len = (u32)strlen(text), width = *words == 's' ? 2 : 4;
            memcpy(to + w->len, &len, width);
            memcpy(to + w->len + width, text, len);
            w->len += width + len;
        } else {
            u64 value = *words == '8' ? va_arg(args, u64) : va_arg(args, u32);
            memcpy(to + w->len, &value, (size_t)(*words - '0'));
            w->len += (u32)(*words - '0');
        }
    }
    memcpy(to + SIZE, &w->len, sizeof(w->len));
}

/* 0, or the errno of the answer; the message is at ASK, w->len bytes of it. */
static int send_it(struct world *w, u32 room)
{
    const u8 *to = fake_at(&w->fake, ASK), *from = fake_at(&w->fake, ANSWER);
    u32 size, code = 0;

    *fake_desc(&w->fake, 0, 0) = (struct fake_desc){ASK, w->len, DESC_NEXT, 1};
    *fake_desc(&w->fake, 0, 1) =
        (struct fake_desc){ANSWER, min(room, 20u), DESC_WRITE | DESC_NEXT, 2};
    *fake_desc(&w->fake, 0, 2) =
        (struct fake_desc){ANSWER + min(room, 20u), room - min(room, 20u), DESC_WRITE, 0};
    fake_offer(&w->fake, 0, 0);
    share_serve(w->share);
    if (w->share->dev.broken)
        return -1;
    (void)fake_used(&w->fake, 0, &w->used);
    memcpy(&size, from + SIZE, sizeof(size));
    EXPECT_EQ(size, w->used, "the answer's length");
    EXPECT_EQ(from[TAG], 0x55, "its tag");
    if (from[TYPE] != P9_LERROR) {
        EXPECT_EQ(from[TYPE], to[TYPE] + 1, "its type");
        return 0;
    }
    memcpy(&code, from + BODY, sizeof(code));
    return (int)code;
}

static int ask(struct world *w, u8 type, const char *words, ...)
{
    va_list args;

    va_start(args, words);
    begin(w, type, words, args);
    va_end(args);
    return send_it(w, ROOM);
}

static void attach_root(struct world *w)
{
    EXPECT_EQ(ask(w, P9_VERSION, "4s", 65536, "9P2000.L"), 0, "version");
    EXPECT_EQ(ask(w, P9_ATTACH, "44ss4", ROOT, ~0u, "", "", 0), 0, "attach");
}

/* The fid NEW on @name of the root's. */
static int walk_to(struct world *w, const char *name)
{
    (void)ask(w, P9_CLUNK, "4", NEW); /* it may not be there */
    return ask(w, P9_WALK, "442s", ROOT, NEW, 1, name);
}

TEST(share_reads_and_writes_a_file)
{
    struct world w;
    char text[16] = "";

    up(&w, false);
    attach_root(&w);
    EXPECT_EQ(walk_to(&w, "file"), 0, "walk");
    EXPECT_EQ(ask(&w, P9_READ, "484", NEW, (u64)0, 4), EBADF, "not open yet");
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDWR), 0, "open");
    EXPECT_EQ(ask(&w, P9_WRITE, "48b", NEW, (u64)8, "xyz"), 0, "write");
    EXPECT_EQ(ask(&w, P9_READ, "484", NEW, (u64)1, 64), 0, "read");
    EXPECT_EQ(w.used, P9_DATA_HEADER + 10, "to the end");
    memcpy(text, (char *)fake_at(&w.fake, ANSWER + P9_DATA_HEADER), 10);
    EXPECT_STR(text, "1234567xyz", "over two buffers");
    EXPECT_EQ(ask(&w, P9_READ, "484", NEW, (u64)99, 64), 0, "past the end");
    EXPECT_EQ(w.used, P9_DATA_HEADER, "nothing");
    EXPECT_EQ(ask(&w, P9_READ, "484", NEW, ~(u64)0, 64), EINVAL, "no position");
    EXPECT_EQ(ask(&w, P9_FSYNC, "44", NEW, 0), 0, "sync");
    EXPECT_EQ(ask(&w, P9_CLUNK, "4", NEW), 0, "clunk");
    EXPECT_EQ(ask(&w, P9_CLUNK, "4", NEW), EBADF, "once");
    down(&w);
}

TEST(share_has_no_name_for_what_is_outside)
{
    static const char *const names[] = {"..",  ".", "", "/", "../secret", "dir/../../secret",
                                        "/etc"};
    struct world w;

    up(&w, false);
    attach_root(&w);
    for (u32 i = 0; i < ARRAY_LEN(names); i++) {
        const char *name = names[i];
        EXPECT_EQ(walk_to(&w, name), EINVAL, name);
        EXPECT_EQ(ask(&w, P9_MKDIR, "4s44", ROOT, name, 0755, 0), EINVAL, name);
        EXPECT_EQ(ask(&w, P9_UNLINKAT, "4s4", ROOT, name, 0), EINVAL, name);
        EXPECT_EQ(ask(&w, P9_RENAMEAT, "4s4s", ROOT, "file", ROOT, name), EINVAL, name);
        EXPECT_EQ(ask(&w, P9_SYMLINK, "4ss4", ROOT, name, "x", 0), EINVAL, name);
        EXPECT_EQ(ask(&w, P9_LCREATE, "4s444", ROOT, name, O_RDWR, 0644, 0), EINVAL, name);
    }
    EXPECT_EQ(walk_to(&w, "link"), 0, "the link itself");
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDONLY), ENXIO, "is not followed");
    EXPECT_EQ(ask(&w, P9_SETATTR, "4444488888", NEW, P9_SET_SIZE, 0, 0, 0, (u64)0, (u64)0, (u64)0,
                  (u64)0, (u64)0),
              ENXIO, "nor cut");
    EXPECT_EQ(ask(&w, P9_CLUNK, "4", NEW), 0, NULL);
    EXPECT_EQ(ask(&w, P9_WALK, "442ss", ROOT, NEW, 2, "up", "secret"), 0, "one step");
    EXPECT_EQ(*(u8 *)fake_at(&w.fake, ANSWER + BODY), 1, "and no more");
    EXPECT_EQ(ask(&w, P9_GETATTR, "48", NEW, (u64)P9_GET_BASIC), EBADF, "without a fid");
    EXPECT_FALSE(w.share->dev.broken, "these are answers");
    down(&w);
}

TEST(share_makes_moves_and_removes_names)
{
    struct world w;
    struct stat st;

    up(&w, false);
    attach_root(&w);
    EXPECT_EQ(ask(&w, P9_WALK, "442", ROOT, NEW, 0), 0, "a copy of the fid");
    EXPECT_EQ(ask(&w, P9_LCREATE, "4s444", NEW, "made", O_WRONLY, 0640, 0), 0, "create");
    EXPECT_EQ(ask(&w, P9_WRITE, "48b", NEW, (u64)0, "new"), 0, "and write");
    EXPECT_EQ(ask(&w, P9_LINK, "44s", ROOT, NEW, "hard"), 0, "a second name");
    EXPECT_EQ(ask(&w, P9_MKDIR, "4s44", ROOT, "sub", 0755, 0), 0, "a folder");
    EXPECT_EQ(ask(&w, P9_MKDIR, "4s44", ROOT, "sub", 0755, 0), EEXIST, "is there");
    EXPECT_EQ(ask(&w, P9_RENAMEAT, "4s4s", ROOT, "made", ROOT, "moved"), 0, "rename");
    EXPECT_EQ(fstatat(w.share->root, "moved", &st, 0), 0, "it is there");
    EXPECT_EQ(st.st_mode, S_IFREG | 0640, "its mode");
    EXPECT_EQ(st.st_nlink, 2, "its names");
    EXPECT_EQ(ask(&w, P9_UNLINKAT, "4s4", ROOT, "moved", 0), 0, "unlink");
    EXPECT_EQ(ask(&w, P9_UNLINKAT, "4s4", ROOT, "sub", 0), EISDIR, "not a folder");
    EXPECT_EQ(ask(&w, P9_UNLINKAT, "4s4", ROOT, "sub", AT_REMOVEDIR), 0, "but so");
    EXPECT_EQ(ask(&w, P9_UNLINKAT, "4s4", ROOT, "hard", 8), EINVAL, "an unknown flag");
    EXPECT_EQ(ask(&w, P9_MKNOD, "4s4444", ROOT, "null", S_IFCHR | 0666, 1, 3, 0), EPERM, "device");
    EXPECT_EQ(ask(&w, P9_MKNOD, "4s4444", ROOT, "pipe", S_IFIFO | 0600, 0, 0, 0), 0, "fifo");
    EXPECT_EQ(walk_to(&w, "fifo"), 0, NULL);
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDONLY), ENXIO, "nobody waits for its other end");
    EXPECT_EQ(ask(&w, P9_SYMLINK, "4ss4", ROOT, "points", "/no where", 0), 0, "symlink");
    EXPECT_EQ(walk_to(&w, "points"), 0, NULL);
    EXPECT_EQ(ask(&w, P9_READLINK, "4", NEW), 0, "readlink");
    EXPECT_MEM(fake_at(&w.fake, ANSWER + BODY + 2), "/no where", 9, "its target");
    EXPECT_EQ(ask(&w, P9_READLINK, "4", ROOT), EINVAL, "no link");
    down(&w);
}

TEST(share_that_is_read_only_stays_as_it_is)
{
    struct world w;

    up(&w, true);
    attach_root(&w);
    EXPECT_EQ(walk_to(&w, "file"), 0, NULL);
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDWR), EROFS, "open for writing");
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDONLY | O_TRUNC), EROFS, "cut");
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDONLY), 0, "open for reading");
    EXPECT_EQ(ask(&w, P9_WRITE, "48b", NEW, (u64)0, "x"), EROFS, "write");
    EXPECT_EQ(ask(&w, P9_MKDIR, "4s44", ROOT, "sub", 0755, 0), EROFS, "mkdir");
    EXPECT_EQ(ask(&w, P9_UNLINKAT, "4s4", ROOT, "file", 0), EROFS, "unlink");
    EXPECT_EQ(ask(&w, P9_SETATTR, "4444488888", NEW, P9_SET_MODE, 0, 0, 0, (u64)0, (u64)0, (u64)0,
                  (u64)0, (u64)0),
              EROFS, "chmod");
    down(&w);
}

TEST(share_lists_a_folder_in_pieces)
{
    struct world w;
    u64 offset = 0;
    u32 names = 0;

    up(&w, false);
    attach_root(&w);
    for (u32 i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "dir/%u", i);
        close(openat(w.share->root, name, O_CREAT | O_WRONLY, 0600));
    }
    EXPECT_EQ(walk_to(&w, "dir"), 0, NULL);
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDONLY), 0, NULL);
    for (u32 got = 1; got;) {
        EXPECT_EQ(ask(&w, P9_READDIR, "484", NEW, offset, 400), 0, "some");
        const u8 *at = fake_at(&w.fake, ANSWER + P9_DATA_HEADER), *end;
        memcpy(&got, at - 4, sizeof(got));
        for (end = at + got; at < end; names++) {
            u16 len;
            memcpy(&offset, at + P9_QID, sizeof(offset));
            memcpy(&len, at + P9_QID + 9, sizeof(len));
            at += P9_QID + 11 + len;
        }
        REQUIRE(at == end && names <= 302, "whole names, each once");
    }
    EXPECT_EQ(names, 302, "all of them");
    EXPECT_EQ(ask(&w, P9_READDIR, "484", NEW, (u64)0, 10), EINVAL, "no room for one");
    down(&w);
}

TEST(share_follows_a_file_whatever_its_name_is)
{
    struct world w;

    up(&w, false);
    attach_root(&w);
    EXPECT_EQ(walk_to(&w, "file"), 0, NULL);
    EXPECT_EQ(renameat(w.share->root, "file", w.share->root, "other"), 0, "by the host");
    EXPECT_EQ(ask(&w, P9_LOPEN, "44", NEW, O_RDONLY), 0, "it is the same");
    EXPECT_EQ(unlinkat(w.share->root, "other", 0), 0, "removed");
    EXPECT_EQ(ask(&w, P9_READ, "484", NEW, (u64)0, 64), 0, "it is there while it is open");
    EXPECT_EQ(w.used, P9_DATA_HEADER + 10, "with its bytes");
    EXPECT_EQ(walk_to(&w, "other"), ENOENT, "but has no name");
    EXPECT_EQ(unlinkat(w.share->root, "dir", AT_REMOVEDIR), 0, NULL);
    down(&w);
}

TEST(share_shuts_off_a_guest_that_breaks_the_protocol)
{
    static const struct {
        const char *what;
        u8 type;
        u32 size, len, room; /* said, sent, for the answer */
    } wrong[] = {
        {"no header", P9_CLUNK, 7, 6, ROOM},
        {"longer than sent", P9_CLUNK, 99, 11, ROOM},
        {"shorter than itself", P9_CLUNK, 3, 11, ROOM},
        {"no room", P9_CLUNK, 11, 11, 8},
        {"half a number", P9_CLUNK, 9, 11, ROOM},
        {"too long", P9_MKDIR, 9000, 9000, ROOM},
        {"a name that ends too late", P9_MKDIR, 13, 13, ROOM},
    };

    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        struct world w;
        up(&w, false);
        attach_root(&w);
        u8 *to = fake_at(&w.fake, ASK);
        memset(to, 1, 64);
        memcpy(to, &wrong[i].size, 4);
        to[TYPE] = wrong[i].type;
        to[BODY] = ROOT, to[BODY + 1] = to[BODY + 2] = to[BODY + 3] = 0;
        w.len = wrong[i].len;
        (void)send_it(&w, wrong[i].room);
        EXPECT_TRUE(w.share->dev.broken, wrong[i].what);
        down(&w);
    }
}

TEST(share_answers_what_it_cannot_do)
{
    struct world w;

    up(&w, false);
    EXPECT_EQ(ask(&w, P9_WALK, "442", ROOT, NEW, 0), EBADF, "no root yet");
    EXPECT_EQ(ask(&w, P9_VERSION, "4s", 65536, "9P2000"), 0, "another version");
    EXPECT_MEM(fake_at(&w.fake, ANSWER + BODY + 6), "unknown", 7, "is unknown");
    attach_root(&w);
    EXPECT_EQ(ask(&w, 30, "4", ROOT), EOPNOTSUPP, "xattrs");
    EXPECT_EQ(ask(&w, 200, "4", ROOT), EOPNOTSUPP, "no such message");
    EXPECT_EQ(ask(&w, P9_ATTACH, "44ss4", ROOT, ~0u, "", "", 0), EBADF, "a fid that is taken");
    EXPECT_EQ(ask(&w, P9_STATFS, "4", ROOT), 0, "statfs");
    EXPECT_EQ(ask(&w, P9_WRITE, "48b", ROOT, (u64)0, "x"), EBADF, "a folder that is not open");
    attach_root(&w); /* a new version forgets all */
    EXPECT_EQ(w.share->nr_fids, 1, "but the new root");
    EXPECT_FALSE(w.share->dev.broken, "all of these are answers");
    down(&w);
}
