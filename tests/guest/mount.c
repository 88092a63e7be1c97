/* mount(2) and umount2(2): what a program may add to the tree, and take away. */
#define _GNU_SOURCE
#include "t.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static char top[64];

/* A tree of mounts of our own on Linux; only with all rights. */
static bool begin(void)
{
    static bool own;

    if (geteuid() || (!own && unshare(CLONE_NEWNS) && errno != ENOSYS)) /* there the tree is ours */
        return false;
    if (!own)
        NEED(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    own = true;
    NEED(*top || getcwd(top, sizeof(top)));
    return true;
}

static const char *in(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];

    snprintf(path, 128, "%s/%s", top, name);
    return path;
}

static void make_dir(const char *name)
{
    NEED(!mkdir(in(name), 0755) || errno == EEXIST);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    NEED(fd >= 0);
    NEED(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static bool is_file(const char *path)
{
    return !access(path, F_OK);
}

/* The line of /proc/self/mountinfo about @path, or NULL. */
static const char *info_of(const char *path)
{
    static char line[512];
    char place[256];
    FILE *file = fopen("/proc/self/mountinfo", "r");

    NEED(file);
    bool found = false;
    while (!found && fgets(line, sizeof(line), file))
        found = sscanf(line, "%*s %*s %*s %*s %255s", place) == 1 && !strcmp(place, path);
    fclose(file);
    return found ? line : NULL;
}

CASE(a_tmpfs_comes_and_goes)
{
    struct statfs fs;
    struct stat st;

    if (!begin())
        return;
    make_dir("a");
    write_file(in("a/below"), "below");
    CHECK(
        !mount("scratch pad", in("a"), "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=0750,uid=7"));
    CHECK(!is_file(in("a/below")));
    CHECK(!statfs(in("a"), &fs));
    CHECK_EQ(fs.f_blocks * (u_long)fs.f_bsize, 65536);
    CHECK(!stat(in("a"), &st));
    CHECK_EQ(st.st_mode & 07777, 0750);
    CHECK_EQ(st.st_uid, 7);
    const char *line = info_of(in("a"));
    CHECK(line && strstr(line, " / ") && strstr(line, "rw,nosuid,nodev") &&
          strstr(line, " - tmpfs scratch\\040pad "));
    write_file(in("a/inside"), "inside");
    CHECK(is_file(in("a/../a/inside")));
    CHECK_ERR(rmdir(in("a")), EBUSY);
    CHECK_ERR(rename(in("a/inside"), in("inside")), EXDEV);
    CHECK(!umount(in("a")));
    CHECK(is_file(in("a/below")));
    CHECK(!info_of(in("a")));
    CHECK_ERR(umount(in("a")), EINVAL);
}

CASE(what_is_unmounted_gives_its_memory_back)
{
    enum { TURNS = 40, BYTES = 4 << 20 };
    static char bytes[BYTES];

    if (!begin())
        return;
    make_dir("m");
    make_dir("b");
    memset(bytes, 1, sizeof(bytes));
    for (int i = 0; i < TURNS; i++) {
        NEED(!mount("m", in("m"), "tmpfs", 0, NULL));
        NEED(!mkdir(in("m/d"), 0755) && !mkdir(in("m/d/e"), 0755));
        int fd = open(in("m/d/e/f"), O_CREAT | O_WRONLY, 0644);
        NEED(fd >= 0);
        NEED(write(fd, bytes, sizeof(bytes)) == BYTES);
        close(fd);
        if (i) { /* shown twice, and unmounted one after the other */
            NEED(!mount(in("m"), in("b"), NULL, MS_BIND, NULL));
            NEED(!umount(in(i % 2 ? "m" : "b")));
            CHECK(is_file(in(i % 2 ? "b/d/e/f" : "m/d/e/f")));
        }
        NEED(!umount(in(i % 2 ? "b" : "m")));
    }
}

CASE(one_that_is_used_is_busy_and_can_be_let_go)
{
    char text[8] = "";

    if (!begin())
        return;
    make_dir("u");
    CHECK(!mount("u", in("u"), "tmpfs", 0, NULL));
    write_file(in("u/f"), "still");
    int fd = open(in("u/f"), O_RDONLY);
    CHECK_ERR(umount(in("u")), EBUSY);
    make_dir("u/v");
    CHECK(!mount("v", in("u/v"), "tmpfs", 0, NULL));
    CHECK_ERR(umount(in("u")), EBUSY);
    CHECK(!umount2(in("u"), MNT_DETACH));
    CHECK(!is_file(in("u/f")));
    CHECK(!info_of(in("u/v")));
    CHECK_EQ(read(fd, text, sizeof(text)), 5);
    close(fd);
    CHECK_ERR(umount2(in("u"), 0x40), EINVAL);
}

CASE(the_working_directory_keeps_a_mount)
{
    char cwd[128];

    if (!begin())
        return;
    make_dir("w");
    CHECK(!mount("w", in("w"), "tmpfs", 0, NULL));
    NEED(!chdir(in("w")));
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, in("w")));
    CHECK_ERR(umount(in("w")), EBUSY);
    CHECK(!chdir(".."));
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, top));
    CHECK(!umount(in("w")));
    NEED(!chdir(top));
}

CASE(a_bind_shows_a_place_twice)
{
    struct stat a, b;
    char cwd[128];

    if (!begin())
        return;
    make_dir("from");
    make_dir("from/sub");
    make_dir("to");
    write_file(in("from/sub/f"), "one");
    CHECK(!mount(in("from/sub"), in("to"), NULL, MS_BIND, NULL));
    CHECK(!stat(in("from/sub/f"), &a) && !stat(in("to/f"), &b));
    CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    write_file(in("to/g"), "two");
    CHECK(is_file(in("from/sub/g")));
    NEED(!chdir(in("to")));
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, in("to")));
    CHECK(!chdir("..") && getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, top));
    NEED(!chdir(top));
    CHECK_ERR(rename(in("to/g"), in("from/sub/h")), EXDEV);
    const char *line = info_of(in("to"));
    CHECK(line && strstr(line, "/from/sub "));
    CHECK(!mount("t", in("to"), "tmpfs", 0, NULL)); /* over the bind, and nowhere else */
    CHECK(is_file(in("from/sub/f")) && !is_file(in("to/f")));
    CHECK(!umount(in("to")) && is_file(in("to/f")));
    CHECK(!umount(in("to")) && !is_file(in("to/f")));
    CHECK(is_file(in("from/sub/f")));
}

CASE(a_bind_of_a_file)
{
    if (!begin())
        return;
    write_file(in("one"), "one");
    write_file(in("two"), "other");
    make_dir("dir");
    CHECK(!mount(in("one"), in("two"), NULL, MS_BIND, NULL));
    CHECK(!strcmp(get_file(in("two")), "one"));
    int fd = open(in("two"), O_CREAT | O_RDONLY, 0644);
    CHECK(fd >= 0);
    char text[8] = "";
    CHECK_EQ(read(fd, text, sizeof(text)), 3);
    close(fd);
    CHECK_ERR(unlink(in("two")), EBUSY);
    CHECK_ERR(mount(in("one"), in("dir"), NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_ERR(mount(in("dir"), in("one"), NULL, MS_BIND, NULL), ENOTDIR);
    CHECK(!umount(in("two")));
    CHECK(!strcmp(get_file(in("two")), "other"));
}

CASE(a_recursive_bind_brings_what_is_mounted_below)
{
    if (!begin())
        return;
    make_dir("tree");
    make_dir("flat");
    make_dir("deep");
    CHECK(!mount("t", in("tree"), "tmpfs", 0, NULL));
    make_dir("tree/x");
    CHECK(!mount("x", in("tree/x"), "tmpfs", 0, NULL));
    make_dir("tree/x/y");
    CHECK(!mount("y", in("tree/x/y"), "tmpfs", 0, NULL));
    write_file(in("tree/x/y/f"), "f");
    CHECK(!mount(in("tree"), in("flat"), NULL, MS_BIND, NULL));
    CHECK(!mount(in("tree"), in("deep"), NULL, MS_BIND | MS_REC, NULL));
    CHECK(is_file(in("flat/x")) && !is_file(in("flat/x/y")));
    CHECK(is_file(in("deep/x/y/f")));
    CHECK(!umount(in("tree/x/y")));
    CHECK(is_file(in("deep/x/y/f")));
    CHECK(!umount2(in("deep"), MNT_DETACH) && !umount(in("flat")));
    CHECK(!umount(in("tree/x")) && !umount(in("tree")));
}

CASE(read_only_means_it)
{
    if (!begin())
        return;
    make_dir("r");
    CHECK(!mount("r", in("r"), "tmpfs", 0, NULL));
    write_file(in("r/f"), "f");
    CHECK(!mount(NULL, in("r"), NULL, MS_REMOUNT | MS_RDONLY, NULL));
    CHECK_ERR(open(in("r/f"), O_WRONLY), EROFS);
    CHECK_ERR(mkdir(in("r/d"), 0755), EROFS);
    CHECK(strstr(info_of(in("r")), " ro,"));
    CHECK(!mount(NULL, in("r"), NULL, MS_REMOUNT, "size=1m"));
    CHECK(!mkdir(in("r/d"), 0755));
    struct statfs fs;
    CHECK(!statfs(in("r"), &fs) && fs.f_blocks * (u_long)fs.f_bsize == 1 << 20);
    CHECK_ERR(mount(NULL, in("r/d"), NULL, MS_REMOUNT, NULL), EINVAL);
    make_dir("ro");
    CHECK(!mount(in("r"), in("ro"), NULL, MS_BIND, NULL));
    CHECK(!mount(NULL, in("ro"), NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    CHECK_ERR(unlink(in("ro/f")), EROFS);
    CHECK(!unlink(in("r/f")));
    CHECK(!umount(in("ro")) && !umount(in("r")));
}

CASE(no_programs_and_no_devices)
{
    if (!begin())
        return;
    make_dir("n");
    CHECK(!mount("n", in("n"), "tmpfs", MS_NOEXEC | MS_NODEV, NULL));
    write_file(in("n/p"), "#!/bin/true\n");
    execl(in("n/p"), "p", NULL);
    CHECK(errno == EACCES || errno == ENOSYS); /* where there is one program only */
    int fd = open(in("n/p"), O_RDONLY);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED &&
          errno == EPERM);
    close(fd);
    if (!mknod(in("n/null"), S_IFCHR | 0666, makedev(1, 3)))
        CHECK_ERR(open(in("n/null"), O_RDONLY), EACCES);
    CHECK(!umount(in("n")));
}

CASE(proc_at_another_place)
{
    if (!begin())
        return;
    make_dir("proc");
    CHECK(!mount("proc", in("proc"), "proc", 0, NULL));
    CHECK(is_file(in("proc/self/status")));
    CHECK(!umount(in("proc")));
    CHECK(is_file("/proc/self/status"));
}

CASE(what_cannot_be_mounted_says_so)
{
    if (!begin())
        return;
    make_dir("e");
    write_file(in("f"), "f");
    CHECK_ERR(mount("x", in("e"), "nosuchfs", 0, NULL), ENODEV);
    CHECK_ERR(mount("x", in("missing"), "tmpfs", 0, NULL), ENOENT);
    CHECK_ERR(mount("x", in("f"), "tmpfs", 0, NULL), ENOTDIR);
    CHECK_ERR(mount("x", in("e"), "tmpfs", 0, "size=banana"), EINVAL);
    CHECK_ERR(mount("x", in("e"), "tmpfs", 0, "colour=red"), EINVAL);
    CHECK_ERR(mount(in("missing"), in("e"), NULL, MS_BIND, NULL), ENOENT);
    CHECK_ERR(mount("x", in("e"), (const char *)8, 0, NULL), EFAULT);
    CHECK_ERR(mount("x", in("e"), NULL, MS_PRIVATE, NULL), EINVAL);
    CHECK_ERR(umount(in("e")), EINVAL);
    NEED(!chmod(top, 0755));
    NEED(!syscall(SYS_setresuid, -1, 4242, -1));
    CHECK_ERR(mount("x", in("e"), "tmpfs", 0, NULL), EPERM);
    CHECK_ERR(umount(in("e")), EPERM);
    NEED(!syscall(SYS_setresuid, -1, 0, -1));
}
