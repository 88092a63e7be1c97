/* What files have besides bytes: statx, attributes, times, holes, modes of directories, and the
 * file system's own account. */
#define _GNU_SOURCE
#include "t.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

CASE(statx_tells_what_stat_does_and_more)
{
    struct statx sx;
    struct stat st;

    NEED(put_file("f", "0123456789") && stat("f", &st) == 0);
    CHECK_EQ(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &sx), 0);
    CHECK_EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK(sx.stx_size == 10 && sx.stx_mode == st.st_mode && sx.stx_nlink == 1);
    CHECK(sx.stx_ino == st.st_ino && sx.stx_blocks == (uint64_t)st.st_blocks);
    CHECK(makedev(sx.stx_dev_major, sx.stx_dev_minor) == st.st_dev);
    CHECK_EQ(sx.stx_blksize, st.st_blksize);
    CHECK_EQ(sx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
    if (sx.stx_mask & STATX_BTIME)
        CHECK(sx.stx_btime.tv_sec <= sx.stx_mtime.tv_sec && sx.stx_btime.tv_sec > 0);
    int fd = open("f", O_RDONLY);
    CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &sx), 0);
    CHECK_EQ(sx.stx_size, 10);
    CHECK_ERR(statx(fd, "", 0, STATX_SIZE, &sx), ENOENT);
    CHECK_ERR(statx(AT_FDCWD, "f", 0, 0x80000000u, &sx), EINVAL);
    CHECK_ERR(statx(AT_FDCWD, "f", 0x4000000, STATX_SIZE, &sx), EINVAL);
    CHECK_ERR(statx(AT_FDCWD, "f", AT_STATX_SYNC_TYPE, STATX_SIZE, &sx), EINVAL);
    CHECK_EQ(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &sx), 0);
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &sx), 0);
    CHECK(S_ISLNK(sx.stx_mode));
    CHECK_EQ(statx(AT_FDCWD, "/", 0, STATX_BASIC_STATS, &sx), 0);
    CHECK(sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT &&
          sx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    close(fd);
    unlink("f"), unlink("l");
}

CASE(times_have_nanoseconds)
{
    struct timespec times[2] = {{1000000001, 123456789}, {1000000002, 987654321}};
    struct stat st, before;

    NEED(put_file("f", "x"));
    CHECK_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
    CHECK(stat("f", &st) == 0 && st.st_atim.tv_sec == 1000000001 &&
          st.st_atim.tv_nsec == 123456789);
    CHECK(st.st_mtim.tv_sec == 1000000002 && st.st_mtim.tv_nsec == 987654321);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    CHECK_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
    CHECK(stat("f", &st) == 0 && st.st_atim.tv_nsec == 123456789 && st.st_mtim.tv_sec > 1500000000);
    before = st;
    times[1].tv_nsec = UTIME_OMIT;
    CHECK_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
    CHECK(stat("f", &st) == 0 && st.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
    times[0].tv_nsec = 1000000000;
    CHECK_ERR(utimensat(AT_FDCWD, "f", times, 0), EINVAL);
    CHECK_EQ(symlink("none", "l"), 0);
    times[0] = times[1] = (struct timespec){77, 5};
    CHECK_ERR(utimensat(AT_FDCWD, "l", times, 0), ENOENT);
    CHECK_EQ(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW), 0);
    CHECK(lstat("l", &st) == 0 && st.st_mtim.tv_sec == 77 && st.st_mtim.tv_nsec == 5);
    sleep_ms(5);
    CHECK(stat("f", &before) == 0 && put_file("f", "y") && stat("f", &st) == 0);
    CHECK(st.st_mtim.tv_nsec != before.st_mtim.tv_nsec ||
          st.st_mtim.tv_sec != before.st_mtim.tv_sec);
    times[0] = times[1] = (struct timespec){-5, 0};
    CHECK_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
    CHECK(stat("f", &st) == 0 && st.st_mtim.tv_sec == -5);
    unlink("f"), unlink("l");
}

CASE(attributes_of_three_name_spaces)
{
    static const char *const names[] = {"user.one", "trusted.two", "security.three"};
    char list[256], value[32];

    NEED(put_file("f", "x") && mkdir("d", 0755) == 0 && symlink("f", "l") == 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        CHECK_EQ(setxattr("f", names[i], "value", 5, XATTR_CREATE), 0);
        CHECK_ERR(setxattr("f", names[i], "v", 1, XATTR_CREATE), EEXIST);
        CHECK_EQ(getxattr("f", names[i], value, sizeof(value)), 5);
        CHECK_EQ(getxattr("f", names[i], NULL, 0), 5);
        CHECK_ERR(getxattr("f", names[i], value, 3), ERANGE);
        CHECK_EQ(setxattr("f", names[i], "", 0, XATTR_REPLACE), 0);
        CHECK_EQ(getxattr("f", names[i], value, sizeof(value)), 0);
        CHECK_EQ(setxattr("d", names[i], "d", 1, 0), 0);
    }
    CHECK_ERR(setxattr("f", "user.none", "v", 1, XATTR_REPLACE), ENODATA);
    CHECK_ERR(getxattr("f", "user.none", value, 1), ENODATA);
    CHECK_ERR(setxattr("f", "nospace", "v", 1, 0), EOPNOTSUPP);
    CHECK_ERR(setxattr("f", "user.", "v", 1, 0), EINVAL);
    CHECK_ERR(setxattr("f", "", "v", 1, 0), ERANGE);
    CHECK_ERR(setxattr("f", "user.x", "v", 1, 77), EINVAL);
    ssize_t len = listxattr("f", list, sizeof(list));
    int found = 0;
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1)
        for (size_t i = 0; i < COUNT(names); i++)
            found += !strcmp(list + at, names[i]);
    CHECK_EQ(found, 3);
    CHECK_EQ(listxattr("f", NULL, 0), len);
    CHECK_ERR(listxattr("f", list, 3), ERANGE);
    CHECK_ERR(lsetxattr("l", "user.one", "v", 1, 0), EPERM);
    CHECK_EQ(lsetxattr("l", "trusted.two", "v", 1, 0), 0);
    CHECK_EQ(getxattr("l", "trusted.two", value, sizeof(value)), 0); /* of what it leads to */
    CHECK_EQ(removexattr("f", "user.one"), 0);
    CHECK_ERR(removexattr("f", "user.one"), ENODATA);
    int fd = open("f", O_RDWR);
    CHECK_EQ(fsetxattr(fd, "user.fd", "x", 1, 0), 0);
    CHECK_EQ(fgetxattr(fd, "user.fd", value, sizeof(value)), 1);
    CHECK_EQ(fremovexattr(fd, "user.fd"), 0);
    close(fd);
    unlink("f"), unlink("l"), rmdir("d");
}

CASE(holes_are_found)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    const long block = 65536;

    NEED(fd >= 0);
    CHECK_EQ(pwrite(fd, "x", 1, block), 1);
    CHECK_EQ(pwrite(fd, "x", 1, 3 * block), 1);
    CHECK_EQ(ftruncate(fd, 5 * block), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), block);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    CHECK_EQ(lseek(fd, block, SEEK_HOLE), block + 4096);
    CHECK_EQ(lseek(fd, block + 4096, SEEK_DATA), 3 * block);
    CHECK_ERR(lseek(fd, 4 * block, SEEK_DATA), ENXIO);
    CHECK_EQ(lseek(fd, 4 * block, SEEK_HOLE), 4 * block);
    CHECK_ERR(lseek(fd, 5 * block, SEEK_HOLE), ENXIO);
    CHECK_ERR(lseek(fd, -1, SEEK_DATA), ENXIO);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && st.st_blocks == 16);
    close(fd);
    unlink("f");
}

CASE(fallocate_in_each_way)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    char buf[8192], zero[8192] = {0};
    struct stat st;

    NEED(fd >= 0);
    CHECK_EQ(fallocate(fd, 0, 0, 16384), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 16384 && st.st_blocks == 32);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 16384, 4096), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 16384);
    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(pwrite(fd, buf, 8192, 0), 8192);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, 5000), 0);
    CHECK_EQ(pread(fd, buf, 8192, 0), 8192);
    CHECK(buf[99] == 'x' && !memcmp(buf + 100, zero, 5000) && buf[5100] == 'x');
    CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
    CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERR(fallocate(fd, 0, INT64_MAX, 10), EFBIG);
    close(fd);
    fd = open("f", O_RDONLY);
    CHECK_ERR(fallocate(fd, 0, 0, 10), EBADF);
    close(fd);
    unlink("f");
}

CASE(a_nameless_file_gets_a_name)
{
    char path[64];
    struct stat st;

    int fd = open(".", O_TMPFILE | O_RDWR, 0640);
    NEED(fd >= 0);
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_mode == (S_IFREG | 0640));
    CHECK_EQ(write(fd, "kept", 4), 4);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    CHECK(!strcmp(get_file("named"), "kept") && fstat(fd, &st) == 0 && st.st_nlink == 1);
    CHECK_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), EEXIST);
    CHECK_EQ(linkat(fd, "", AT_FDCWD, "second", AT_EMPTY_PATH), 0);
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
    NEED(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "third", AT_SYMLINK_FOLLOW), ENOENT);
    close(fd);
    CHECK_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
    unlink("named"), unlink("second");
}

CASE(rename_in_each_way)
{
    NEED(put_file("a", "a") && put_file("b", "b") && mkdir("d", 0755) == 0 && put_file("d/x", "x"));
    CHECK_ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    CHECK_EQ(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE), 0);
    CHECK_EQ(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE), 0);
    CHECK(!strcmp(get_file("c"), "b") && !strcmp(get_file("b"), "a"));
    CHECK_EQ(renameat2(AT_FDCWD, "d", AT_FDCWD, "b", RENAME_EXCHANGE), 0);
    CHECK(!strcmp(get_file("b/x"), "x") && !strcmp(get_file("d"), "a"));
    CHECK_ERR(renameat2(AT_FDCWD, "b", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
    CHECK_ERR(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    CHECK_ERR(renameat2(AT_FDCWD, "b", AT_FDCWD, "b/in", RENAME_EXCHANGE), ENOENT);
    CHECK_ERR(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", 8), EINVAL);
    unlink("b/x"), rmdir("b"), unlink("c"), unlink("d");
}

/* Run as another user for a while; file system ids are a thread's own. */
static void act_as(uid_t uid, gid_t gid)
{
    syscall(SYS_setfsgid, gid);
    syscall(SYS_setfsuid, uid);
}

CASE(a_sticky_directory_protects_names)
{
    if (geteuid())
        return;
    NEED(chmod(".", 0755) == 0);
    umask(0);
    NEED(mkdir("s", 01777) == 0 && mkdir("o", 0777) == 0 && put_file("s/root", "r"));
    act_as(1000, 1000);
    NEED(put_file("s/mine", "m"));
    act_as(2000, 2000);
    CHECK_ERR(unlink("s/mine"), EPERM);
    CHECK_ERR(rename("s/mine", "s/yours"), EPERM);
    CHECK_ERR(unlink("s/root"), EPERM);
    NEED(put_file("s/other", "o"));
    CHECK_ERR(rename("s/other", "s/mine"), EPERM);
    CHECK_EQ(unlink("s/other"), 0);
    act_as(1000, 1000);
    CHECK_EQ(unlink("s/mine"), 0);
    NEED(put_file("o/f", "f"));
    act_as(2000, 2000);
    CHECK_EQ(unlink("o/f"), 0);
    act_as(0, 0);
    CHECK_EQ(unlink("s/root"), 0);
    rmdir("s"), rmdir("o");
    umask(022);
}

CASE(other_users_are_refused)
{
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, then[2] = {{1, 0}, {1, 0}};

    if (geteuid())
        return;
    NEED(chmod(".", 0755) == 0);
    NEED(mkdir("p", 0700) == 0 && put_file("p/f", "secret") && put_file("r", "read"));
    NEED(chmod("r", 0644) == 0 && put_file("w", "write") && chmod("w", 0666) == 0);
    act_as(1000, 1000);
    CHECK_ERR(open("p/f", O_RDONLY), EACCES);
    CHECK_ERR(open("r", O_WRONLY), EACCES);
    CHECK_ERR(open("r", O_RDONLY | O_TRUNC), EACCES);
    CHECK_ERR(truncate("r", 0), EACCES);
    CHECK_ERR(unlink("r"), EACCES);
    CHECK_ERR(rename("r", "q"), EACCES);
    CHECK_ERR(open("new", O_WRONLY | O_CREAT, 0600), EACCES);
    CHECK_ERR(mkdir("newdir", 0700), EACCES);
    CHECK_ERR(symlink("x", "newlink"), EACCES);
    CHECK_ERR(chmod("w", 0600), EPERM);
    CHECK_ERR(chown("w", 1000, 1000), EPERM);
    CHECK_ERR(chdir("p"), EACCES);
    CHECK_ERR(setxattr("r", "user.x", "v", 1, 0), EACCES);
    CHECK_EQ(setxattr("w", "user.x", "v", 1, 0), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "w", now, 0), 0);
    CHECK_ERR(utimensat(AT_FDCWD, "w", then, 0), EPERM);
    CHECK_ERR(utimensat(AT_FDCWD, "r", now, 0), EACCES);
    act_as(0, 0);
    unlink("p/f"), rmdir("p"), unlink("r"), unlink("w");
}

CASE(a_socket_of_others_is_refused)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "sock"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

    if (geteuid())
        return;
    NEED(chmod(".", 0755) == 0);
    NEED(bind(listener, (void *)&name, sizeof(name)) == 0 && listen(listener, 1) == 0);
    NEED(chmod("sock", 0755) == 0);
    act_as(1000, 1000);
    CHECK_ERR(connect(client, (void *)&name, sizeof(name)), EACCES);
    act_as(0, 0);
    NEED(chmod("sock", 0777) == 0);
    act_as(1000, 1000);
    CHECK_EQ(connect(client, (void *)&name, sizeof(name)), 0);
    act_as(0, 0);
    close(listener), close(client);
    unlink("sock");
}

CASE(a_new_owner_takes_set_id_bits_away)
{
    struct stat st;

    if (geteuid())
        return;
    NEED(chmod(".", 0755) == 0 && put_file("f", "x") && chown("f", 1000, 1000) == 0);
    NEED(chmod("f", 06777) == 0);
    CHECK_EQ(chown("f", 1000, 1000), 0); /* takes them from a file, whoever does it */
    CHECK(stat("f", &st) == 0 && (st.st_mode & 07777) == 0777);
    unlink("f");
}

CASE(a_copy_within_the_kernel)
{
    char text[32] = "";
    off_t in = 3, out = 1;

    int from = open("from", O_RDWR | O_CREAT, 0644), to = open("to", O_RDWR | O_CREAT, 0644);
    NEED(from >= 0 && to >= 0 && write(from, "0123456789", 10) == 10);
    CHECK_EQ(copy_file_range(from, &in, to, &out, 4, 0), 4);
    CHECK(in == 7 && out == 5);
    CHECK_EQ(pread(to, text, 5, 0), 5);
    CHECK(!memcmp(text, "\0003456", 5));
    CHECK_EQ(copy_file_range(from, &in, to, &out, 100, 0), 3);
    CHECK_EQ(copy_file_range(from, &in, to, &out, 100, 0), 0);
    CHECK_ERR(copy_file_range(from, &in, to, &out, 1, 1), EINVAL);
    in = 0, out = 2;
    CHECK_ERR(copy_file_range(from, &in, from, &out, 5, 0), EINVAL); /* it overlaps */
    out = 20;
    CHECK_EQ(copy_file_range(from, &in, from, &out, 5, 0), 5);
    CHECK(ioctl(to, FICLONE, from) == -1 && (errno == EOPNOTSUPP || errno == EXDEV));
    int append = open("to", O_WRONLY | O_APPEND), dir = open(".", O_RDONLY);
    CHECK_ERR(copy_file_range(from, NULL, append, NULL, 1, 0), EBADF);
    CHECK_ERR(copy_file_range(dir, NULL, to, NULL, 1, 0), EISDIR);
    close(append), close(dir), close(from), close(to);
    unlink("from"), unlink("to");
}

CASE(mounts_are_listed)
{
    char line[16384];
    struct statvfs vfs;
    struct statfs fs;

    strcpy(line, get_file("/proc/self/mountinfo"));
    const char *proc = strstr(line, " /proc ");
    NEED(proc);
    CHECK(strstr(proc, " - proc proc rw"));
    unsigned id, parent, major, minor;
    CHECK_EQ(sscanf(line, "%u %u %u:%u", &id, &parent, &major, &minor), 4);
    CHECK(strstr(get_file("/proc/self/mounts"), " /proc proc rw"));
    CHECK(strstr(get_file("/proc/mounts"), " / "));
    CHECK(statfs("/proc", &fs) == 0 && fs.f_type == 0x9fa0);
    CHECK(statvfs(".", &vfs) == 0 && vfs.f_blocks > 0 && vfs.f_bfree <= vfs.f_blocks);
    CHECK(vfs.f_files > 0 && vfs.f_namemax == 255 && vfs.f_bsize == 4096);
}
