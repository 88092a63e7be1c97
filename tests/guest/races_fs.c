/* Threads that mount, unmount, move and empty what others use at that moment; on a volume the files
 * are those of ext4. */
#define _GNU_SOURCE
#include "races.h"
#include "t.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/xattr.h>

enum { PAGE = 4096, POINTS = 3 };

/* ---- mounts ---- */

static const char *a_point(void)
{
    static const char *const points[] = {"m0", "m1", "m0/in", "m1/in", "d"};
    return points[pick(COUNT(points))];
}

static const char *a_file(void)
{
    static const char *const files[] = {"m0/f", "m1/f",    "m0/in/f", "m1/in/f",
                                        "d/f",  "m0/in/g", "m1/in/g", "m0/../d/f"};
    return files[pick(COUNT(files))];
}

static void use_file(int fd)
{
    char text[300] = "x";

    for (int i = pick(4); i >= 0; i--) {
        switch (pick(5)) {
        case 0:
            if (write(fd, text, sizeof(text)) < 0)
                return;
            break;
        case 1:
            if (pread(fd, text, sizeof(text), pick(500)) < 0)
                return;
            break;
        case 2:
            if (ftruncate(fd, pick(20000)))
                return;
            break;
        case 3:
            fsync(fd);
            break;
        default:
            sched_yield();
        }
    }
}

static void use_mapping(int fd)
{
    if (ftruncate(fd, PAGE))
        return;
    char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (map != MAP_FAILED)
        munmap(map, PAGE);
}

static void change_mount(void)
{
    static const unsigned long flags[] = {MS_RDONLY, 0, 0, MS_NOEXEC, MS_NODEV | MS_NOSUID};

    switch (pick(9)) {
    case 0:
    case 1:
        mount("none", a_point(), "tmpfs", 0, pick(2) ? "size=65536" : "");
        break;
    case 2:
        mount(a_point(), a_point(), NULL, MS_BIND | (pick(2) ? MS_REC : 0), NULL);
        break;
    case 3:
        mount(NULL, a_point(), NULL, MS_REMOUNT | MS_BIND | flags[pick(5)], NULL);
        break;
    case 4:
        mount("proc", a_point(), "proc", 0, NULL);
        break;
    case 5:
        umount2(a_point(), MNT_EXPIRE);
        break;
    case 6:
        umount2(a_point(), MNT_DETACH);
        break;
    default:
        umount2(a_point(), UMOUNT_NOFOLLOW);
    }
}

static void look_around(void)
{
    char path[64], target[256];
    struct statfs fs;
    struct stat st;
    DIR *dir;

    switch (pick(5)) {
    case 0:
        statfs(a_point(), &fs);
        break;
    case 1:
        look_at("/proc/self/mountinfo");
        break;
    case 2:
        dir = opendir(a_point());
        while (dir && readdir(dir))
            ;
        if (dir)
            closedir(dir);
        break;
    case 3:
        snprintf(path, sizeof(path), "/proc/self/fd/%d", 3 + pick(12));
        if (readlink(path, target, sizeof(target)) < 0)
            break;
        break;
    default:
        stat(a_file(), &st);
    }
}

static void use_mounts(int me)
{
    int fd, dir;

    switch (pick(10)) {
    case 0:
    case 1:
        change_mount();
        break;
    case 2:
        mkdir(pick(2) ? "m0/in" : "m1/in", 0755);
        break;
    case 3:
        if (pick(2))
            rename(a_file(), a_file());
        else
            unlink(a_file());
        break;
    case 4:
        look_around();
        break;
    case 5: /* a file by a directory that may be below what is unmounted by then */
        dir = open(a_point(), O_PATH | O_DIRECTORY);
        fd = openat(dir, "f", O_RDWR | O_CREAT, 0644);
        use_file(fd);
        close(fd), close(dir);
        break;
    default:
        fd = open(a_file(), O_RDWR | O_CREAT, 0644);
        use_file(fd);
        if (pick(3) == 0)
            use_mapping(fd);
        close(fd);
    }
    (void)me;
}

/* How many mounts are below the folder we are in. */
static int mounts_left(void)
{
    char here[256];
    int n = 0;

    NEED(getcwd(here, sizeof(here) - 1));
    strcat(here, "/");
    for (const char *at = get_file("/proc/self/mountinfo"); (at = strstr(at, here)); at++)
        n++;
    return n;
}

CASE(file_systems_come_and_go_while_others_use_their_files)
{
    if (geteuid() || (unshare(CLONE_NEWNS) && errno != ENOSYS))
        return; /* on Linux it takes all rights and a tree of mounts of one's own */
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mkdir("m0", 0755), mkdir("m1", 0755), mkdir("d", 0755), mkdir("d/in", 0755);
    for (int i = 0; i < 3; i++)
        race(use_mounts);
    static const char *const points[] = {"m0/in", "m1/in", "m0", "m1", "d"};
    for (int i = 0; i < 10000 && mounts_left(); i++)
        umount2(points[i % (int)COUNT(points)], MNT_DETACH);
    CHECK_EQ(mounts_left(), 0);
    NEED(put_file("d/f", "whole"));
    CHECK(!strcmp(get_file("d/f"), "whole"));
}

/* ---- files ---- */

static int files[POINTS]; /* [A] open ones that all share */

static const char *a_name(void)
{
    static const char *const names[] = {"a", "b", "s/a", "s/b", "s/t/a", "s/t", "u"};
    return names[pick(COUNT(names))];
}

static void move_bytes(int from, int to)
{
    loff_t at = pick(30000), there = pick(30000);
    char buf[6000] = "y";
    struct iovec vec[2] = {{buf, 3000}, {buf, 3000}};

    switch (pick(7)) {
    case 0:
        if (copy_file_range(from, &at, to, &there, (size_t)pick(20000), 0) < 0)
            break;
        break;
    case 1:
        if (sendfile(to, from, &at, (size_t)pick(9000)) < 0)
            break;
        break;
    case 2:
        if (pwritev2(to, vec, 2, at, pick(2) ? RWF_DSYNC : RWF_APPEND) < 0)
            break;
        break;
    case 3:
        if (preadv(from, vec, 2, at) < 0)
            break;
        break;
    case 4:
        fallocate(to, pick(2) ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  at, 1 + pick(40000));
        break;
    case 5:
        fallocate(to, pick(2) ? FALLOC_FL_COLLAPSE_RANGE : FALLOC_FL_INSERT_RANGE,
                  pick(4) * (loff_t)PAGE, PAGE);
        break;
    default:
        sync_file_range(to, at, 5000, SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    }
}

static void replace_file(int *slot)
{
    static const int flags[] = {O_CREAT, O_CREAT | O_TRUNC, O_CREAT | O_SYNC, O_CREAT | O_EXCL};
    char path[64];
    int fd;

    if (pick(4)) {
        fd = open(a_name(), O_RDWR | flags[pick(4)], 0644);
    } else { /* one without a name, which it may get */
        fd = open("s", O_RDWR | O_TMPFILE, 0644);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (pick(2))
            linkat(AT_FDCWD, path, AT_FDCWD, a_name(), AT_SYMLINK_FOLLOW);
    }
    if (fd >= 0)
        close(__atomic_exchange_n(slot, fd, __ATOMIC_SEQ_CST));
}

static void change_attributes(void)
{
    char value[2000] = "z";
    struct statfs fs;

    switch (pick(6)) {
    case 0:
        setxattr(a_name(), pick(2) ? "user.a" : "user.b", value, (size_t)pick(sizeof(value)), 0);
        break;
    case 1:
        getxattr(a_name(), "user.a", value, sizeof(value));
        break;
    case 2:
        removexattr(a_name(), "user.a");
        break;
    case 3:
        truncate(a_name(), pick(70000));
        break;
    case 4:
        statfs(".", &fs);
        break;
    default:
        utimensat(AT_FDCWD, a_name(), NULL, 0);
    }
}

static void change_names(void)
{
    switch (pick(7)) {
    case 0:
        mkdir(pick(2) ? "s/t" : a_name(), 0755);
        break;
    case 1:
        remove(a_name());
        break;
    case 2:
        rename(a_name(), a_name());
        break;
    case 3:
        if (link(a_name(), a_name()))
            break;
        break;
    case 4:
        if (symlink("s/a", a_name()))
            break;
        break;
    case 5:
        syscall(SYS_renameat2, AT_FDCWD, a_name(), AT_FDCWD, a_name(), 1 + pick(2));
        break;
    default:
        unlink(a_name());
    }
}

static void use_files(int me)
{
    int fd;

    switch (pick(9)) {
    case 0:
        replace_file(&files[pick(POINTS)]);
        break;
    case 1:
        change_names();
        break;
    case 2:
        change_attributes();
        break;
    case 3:
        fd = files[pick(POINTS)];
        if (pick(8) == 0)
            syncfs(fd);
        else if (pick(2))
            fdatasync(fd);
        else
            fsync(fd);
        break;
    default:
        move_bytes(files[pick(POINTS)], files[pick(POINTS)]);
    }
    (void)me;
}

CASE(files_get_other_bytes_and_names_while_others_use_them)
{
    mkdir("s", 0755), mkdir("s/t", 0755);
    for (int i = 0; i < POINTS; i++)
        NEED((files[i] = open(a_name(), O_RDWR | O_CREAT | O_TRUNC, 0644)) >= 0);
    for (int i = 0; i < 5; i++)
        race(use_files);
    for (int i = 0; i < POINTS; i++)
        CHECK_EQ(close(files[i]), 0);
    sync();
    NEED(put_file("whole", "whole"));
    CHECK(!strcmp(get_file("whole"), "whole"));
}
