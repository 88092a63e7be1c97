/* Names: directories, links, renames, walks of every kind. */
#define _GNU_SOURCE
#include "t.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

static bool is_dir(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static nlink_t links_of(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 ? st.st_nlink : 0;
}

/* Every byte but two may be in a name; a kernel that checks itself must not take one for its own.
 */
CASE(names_of_any_byte)
{
    char name[256] = "";
    int bad = 0;
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/')
            continue;
        int len = byte == '.' ? 3 : 255;
        memset(name, byte, (size_t)len);
        name[len] = 0;
        int fd = open(name, O_CREAT | O_EXCL | O_RDWR, 0644);
        bad += fd < 0 || access(name, F_OK) || rename(name, "short") || rename("short", name) ||
               unlink(name) || !access(name, F_OK);
        close(fd);
    }
    CHECK_EQ(bad, 0);
}

CASE(mkdir_and_rmdir)
{
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK(is_dir("d"));
    CHECK_ERR(mkdir("d", 0755), EEXIST);
    CHECK_ERR(mkdir("none/d", 0755), ENOENT);
    CHECK_EQ(mkdir("d/e/", 0755), 0);
    CHECK_ERR(rmdir("d"), ENOTEMPTY);
    CHECK_ERR(rmdir("d/e/."), EINVAL);
    CHECK_EQ(rmdir("d/e"), 0);
    CHECK_EQ(rmdir("d"), 0);
    CHECK_ERR(rmdir("d"), ENOENT);
    NEED(put_file("f", ""));
    CHECK_ERR(rmdir("f"), ENOTDIR);
    CHECK_ERR(mkdir("f/x", 0755), ENOTDIR);
    CHECK_ERR(unlink("."), EISDIR);
    CHECK_EQ(mkdirat(AT_FDCWD, "at", 0700), 0);
    CHECK_EQ(unlinkat(AT_FDCWD, "at", AT_REMOVEDIR), 0);
    CHECK_ERR(mkdir("/", 0755), EEXIST);
}

CASE(rename_a_file)
{
    NEED(put_file("r1", "one") && put_file("r2", "two"));
    CHECK_EQ(rename("r1", "r3"), 0);
    CHECK_ERR(access("r1", F_OK), ENOENT);
    CHECK(!strcmp(get_file("r3"), "one"));
    CHECK_EQ(rename("r3", "r2"), 0);
    CHECK(!strcmp(get_file("r2"), "one"));
    CHECK_EQ(rename("r2", "r2"), 0);
    CHECK_ERR(rename("none", "x"), ENOENT);
    CHECK_ERR(rename("r2", "none/x"), ENOENT);
    CHECK_ERR(rename("r2", ""), ENOENT);
    CHECK_ERR(rename("r2", "r2/x"), ENOTDIR);
    NEED(link("r2", "r4") == 0);
    CHECK_EQ(rename("r2", "r4"), 0);
    CHECK_EQ(access("r2", F_OK), 0);
}

CASE(rename_a_directory)
{
    NEED(mkdir("rd", 0755) == 0 && mkdir("rd/sub", 0755) == 0 && put_file("rd/sub/f", "deep"));
    NEED(mkdir("empty", 0755) == 0 && mkdir("full", 0755) == 0 && put_file("full/f", ""));
    CHECK_ERR(rename("rd", "rd/sub/x"), EINVAL);
    CHECK_ERR(rename("rd/sub", "rd"), ENOTEMPTY);
    CHECK_ERR(rename("rd", "full"), ENOTEMPTY);
    CHECK_ERR(rename("rd", "full/f"), ENOTDIR);
    CHECK_ERR(rename("full/f", "rd"), EISDIR);
    CHECK_EQ(rename("rd", "empty"), 0);
    CHECK(!strcmp(get_file("empty/sub/f"), "deep"));
    CHECK_EQ(rename("empty/sub", "full/sub"), 0);
    CHECK(!strcmp(get_file("full/sub/f"), "deep"));
    CHECK(!strcmp(get_file("full/sub/../sub/f"), "deep"));
    CHECK_EQ(links_of("empty"), links_of("empty/."));
}

CASE(renameat2_flags)
{
    NEED(put_file("x1", "1") && put_file("x2", "2"));
    CHECK_ERR(renameat2(AT_FDCWD, "x1", AT_FDCWD, "x2", RENAME_NOREPLACE), EEXIST);
    CHECK_EQ(renameat2(AT_FDCWD, "x1", AT_FDCWD, "x2", RENAME_EXCHANGE), 0);
    CHECK(!strcmp(get_file("x1"), "2"));
    CHECK(!strcmp(get_file("x2"), "1"));
    CHECK_EQ(renameat2(AT_FDCWD, "x1", AT_FDCWD, "x3", RENAME_NOREPLACE), 0);
    CHECK_ERR(renameat2(AT_FDCWD, "x1", AT_FDCWD, "x2", RENAME_EXCHANGE), ENOENT);
    CHECK_ERR(renameat2(AT_FDCWD, "x3", AT_FDCWD, "x2", RENAME_EXCHANGE | RENAME_NOREPLACE),
              EINVAL);
}

CASE(hard_links)
{
    NEED(put_file("l1", "text"));
    CHECK_EQ(link("l1", "l2"), 0);
    CHECK(links_of("l1") == 2 && links_of("l2") == 2);
    CHECK_ERR(link("l1", "l2"), EEXIST);
    CHECK_ERR(link("none", "l3"), ENOENT);
    NEED(mkdir("ld", 0755) == 0);
    CHECK_ERR(link("ld", "ld2"), EPERM);
    CHECK_EQ(unlink("l1"), 0);
    CHECK(!strcmp(get_file("l2"), "text") && links_of("l2") == 1);
    NEED(symlink("l2", "ls") == 0);
    CHECK_EQ(linkat(AT_FDCWD, "ls", AT_FDCWD, "l4", AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(links_of("l2"), 2);
}

CASE(symbolic_links)
{
    char buf[64];
    struct stat st;
    NEED(put_file("target", "text"));
    CHECK_EQ(symlink("target", "sym"), 0);
    CHECK_EQ(readlink("sym", buf, sizeof(buf)), 6);
    CHECK(!memcmp(buf, "target", 6));
    CHECK_EQ(readlink("sym", buf, 3), 3);
    CHECK(lstat("sym", &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 6);
    CHECK(stat("sym", &st) == 0 && S_ISREG(st.st_mode));
    CHECK(!strcmp(get_file("sym"), "text"));
    CHECK_ERR(readlink("target", buf, 64), EINVAL);
    CHECK_ERR(readlink("sym", buf, 0), EINVAL);
    CHECK_ERR(open("sym", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERR(symlink("x", "sym"), EEXIST);
    CHECK_ERR(symlink("", "empty-link"), ENOENT);
    CHECK_EQ(symlink("nowhere", "dangling"), 0);
    CHECK_ERR(open("dangling", O_RDONLY), ENOENT);
    CHECK_ERR(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
    int fd = open("dangling", O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && access("nowhere", F_OK) == 0);
    close(fd);
    CHECK_EQ(unlink("sym"), 0);
    CHECK_EQ(access("target", F_OK), 0);
}

CASE(a_link_in_the_middle_and_at_the_end)
{
    NEED(mkdir("real", 0755) == 0 && put_file("real/f", "in") && symlink("real", "via") == 0);
    CHECK(!strcmp(get_file("via/f"), "in"));
    CHECK(!strcmp(get_file("via/../real/f"), "in"));
    CHECK_EQ(mkdir("via/sub", 0755), 0);
    CHECK(is_dir("real/sub"));
    CHECK_ERR(rmdir("via"), ENOTDIR);
    struct stat st;
    CHECK(lstat("via/", &st) == 0 && S_ISDIR(st.st_mode));
    char path[256];
    snprintf(path, sizeof(path), "%s/real", t_dir);
    NEED(symlink(path, "absolute") == 0);
    CHECK(!strcmp(get_file("absolute/f"), "in"));
}

CASE(loops_end)
{
    NEED(symlink("loop-b", "loop-a") == 0 && symlink("loop-a", "loop-b") == 0);
    CHECK_ERR(open("loop-a", O_RDONLY), ELOOP);
    CHECK_ERR(open("loop-a/x", O_RDONLY), ELOOP);
    struct stat st;
    CHECK_ERR(stat("loop-a", &st), ELOOP);
    CHECK_EQ(lstat("loop-a", &st), 0);
    /* Linux follows 40 links and no more. */
    char name[16], target[16];
    NEED(put_file("chain0", "end"));
    for (int i = 1; i <= 42; i++) {
        snprintf(name, sizeof(name), "chain%d", i);
        snprintf(target, sizeof(target), "chain%d", i - 1);
        NEED(symlink(target, name) == 0);
    }
    CHECK(!strcmp(get_file("chain40"), "end"));
    CHECK_ERR(open("chain41", O_RDONLY), ELOOP);
}

CASE(names_have_limits)
{
    char name[300], path[5000];
    struct stat st;
    memset(name, 'n', sizeof(name));
    name[256] = 0;
    CHECK_ERR(open(name, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
    CHECK_ERR(stat(name, &st), ENAMETOOLONG);
    name[255] = 0;
    int fd = open(name, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(unlink(name), 0);
    memset(path, '/', sizeof(path));
    path[4096] = 0;
    CHECK_ERR(stat(path, &st), ENAMETOOLONG);
    path[4095] = 0;
    CHECK_EQ(stat(path, &st), 0);
    for (int i = 0; i + 1 < 4095; i += 2)
        path[i] = '.';
    CHECK_EQ(stat(path, &st), 0);
}

CASE(a_deep_tree)
{
    char cwd[PATH_MAX];
    int depth = 150;
    NEED(getcwd(cwd, sizeof(cwd)));
    for (int i = 0; i < depth; i++)
        NEED(mkdir("deepdir", 0755) == 0 && chdir("deepdir") == 0);
    CHECK(put_file("bottom", "b"));
    char deep[PATH_MAX];
    CHECK(getcwd(deep, sizeof(deep)) && strlen(deep) == strlen(cwd) + 8 * (size_t)depth);
    CHECK_EQ(unlink("bottom"), 0);
    for (int i = 0; i < depth; i++)
        NEED(chdir("..") == 0 && rmdir("deepdir") == 0);
    CHECK(getcwd(deep, sizeof(deep)) && !strcmp(cwd, deep));
}

CASE(cwd_follows_chdir)
{
    char cwd[PATH_MAX], want[PATH_MAX];
    NEED(mkdir("cw", 0755) == 0);
    CHECK_EQ(chdir("cw"), 0);
    snprintf(want, sizeof(want), "%s/cw", t_dir);
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, want));
    CHECK_EQ(syscall(SYS_getcwd, cwd, sizeof(cwd)), (long)strlen(want) + 1);
    CHECK_ERR(syscall(SYS_getcwd, cwd, 3), ERANGE);
    CHECK_EQ(chdir(".."), 0);
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, t_dir));
    CHECK_ERR(chdir("none"), ENOENT);
    NEED(put_file("cwf", ""));
    CHECK_ERR(chdir("cwf"), ENOTDIR);
    int fd = open("cw", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(fchdir(fd), 0);
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, want));
    close(fd);
    /* A removed working directory: no new files in it, and no name for it. */
    CHECK_EQ(rmdir("../cw"), 0);
    CHECK_ERR(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
    CHECK_ERR(syscall(SYS_getcwd, cwd, sizeof(cwd)), ENOENT);
    CHECK_EQ(chdir(t_dir), 0);
    CHECK_EQ(chdir("/../../.."), 0);
    CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/"));
    CHECK_EQ(chdir(t_dir), 0);
}

CASE(getdents_lists_each_name_once)
{
    enum { N = 500 };
    unsigned char seen[N] = {0};
    int dots = 0, others = 0;
    char name[32];
    struct dirent *e;

    NEED(mkdir("many", 0755) == 0);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "many/file-%d", i);
        NEED(put_file(name, ""));
    }
    NEED(mkdir("many/dir", 0755) == 0 && symlink("dir", "many/link") == 0);
    DIR *dir = opendir("many");
    NEED(dir);
    while ((e = readdir(dir))) {
        int i = -1;
        if (sscanf(e->d_name, "file-%d", &i) == 1 && i >= 0 && i < N) {
            seen[i]++;
            CHECK(e->d_type == DT_REG || e->d_type == DT_UNKNOWN);
        } else if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) {
            dots++;
        } else {
            others++;
            CHECK(e->d_type == (strcmp(e->d_name, "dir") ? DT_LNK : DT_DIR) ||
                  e->d_type == DT_UNKNOWN);
        }
    }
    CHECK(dots == 2 && others == 2);
    int once = 0;
    for (int i = 0; i < N; i++)
        once += seen[i] == 1;
    CHECK_EQ(once, N);
    rewinddir(dir);
    int again = 0;
    while (readdir(dir))
        again++;
    CHECK_EQ(again, N + 4);
    closedir(dir);
}

/* ext4 makes the hashes of names with vector registers. */
CASE(getdents_leaves_vector_registers_alone)
{
    enum { N = 300 };
    static char buf[32768];
    unsigned char before[16][16], after[16][16];
    char name[32];
    long rounds = 0, n;

    NEED(mkdir("lanes", 0755) == 0);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "lanes/name-%d", i);
        NEED(put_file(name, ""));
    }
    for (size_t i = 0; i < sizeof(before); i++)
        before[i / 16][i % 16] = (unsigned char)(i * 7 + 1);
    int fd = open("lanes", O_RDONLY | O_DIRECTORY);
    NEED(fd >= 0);
    do {
        n = SYS_getdents64;
        __asm__ volatile("movups 0x00(%1), %%xmm0; movups 0x10(%1), %%xmm1;"
                         "movups 0x20(%1), %%xmm2; movups 0x30(%1), %%xmm3;"
                         "movups 0x40(%1), %%xmm4; movups 0x50(%1), %%xmm5;"
                         "movups 0x60(%1), %%xmm6; movups 0x70(%1), %%xmm7;"
                         "movups 0xf0(%1), %%xmm15; syscall;"
                         "movups %%xmm0, 0x00(%2); movups %%xmm1, 0x10(%2);"
                         "movups %%xmm2, 0x20(%2); movups %%xmm3, 0x30(%2);"
                         "movups %%xmm4, 0x40(%2); movups %%xmm5, 0x50(%2);"
                         "movups %%xmm6, 0x60(%2); movups %%xmm7, 0x70(%2);"
                         "movups %%xmm15, 0xf0(%2)"
                         : "+a"(n)
                         : "r"(before), "r"(after), "D"(fd), "S"(buf), "d"(sizeof(buf))
                         : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                           "xmm6", "xmm7", "xmm15");
        CHECK(!memcmp(before, after, 8 * sizeof(before[0])));
        CHECK(!memcmp(before[15], after[15], sizeof(before[15])));
        rounds += n > 0;
    } while (n > 0);
    CHECK(n == 0 && rounds > 0);
    close(fd);
}

CASE(removal_while_reading_skips_none_of_the_rest)
{
    enum { N = 300 };
    char name[64];
    int removed = 0;
    struct dirent *e;

    NEED(mkdir("rm", 0755) == 0);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "rm/f%d", i);
        NEED(put_file(name, ""));
    }
    DIR *dir = opendir("rm");
    NEED(dir);
    while ((e = readdir(dir))) {
        if (e->d_name[0] != 'f')
            continue;
        snprintf(name, sizeof(name), "rm/%.40s", e->d_name);
        removed += unlink(name) == 0;
    }
    closedir(dir);
    CHECK_EQ(removed, N);
    CHECK_EQ(rmdir("rm"), 0);
}

CASE(getdents_edge_cases)
{
    char buf[1024];
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    CHECK_ERR(syscall(SYS_getdents64, fd, buf, 1), EINVAL);
    CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) > 0);
    CHECK_ERR(read(fd, buf, 1), EISDIR);
    close(fd);
    NEED(put_file("gf", ""));
    fd = open("gf", O_RDONLY);
    CHECK_ERR(syscall(SYS_getdents64, fd, buf, sizeof(buf)), ENOTDIR);
    close(fd);
    CHECK_ERR(syscall(SYS_getdents64, -1, buf, sizeof(buf)), EBADF);
}

CASE(openat_and_o_path)
{
    char buf[64];
    struct stat st;
    NEED(mkdir("oa", 0755) == 0 && put_file("oa/f", "inside"));
    int dir = open("oa", O_RDONLY | O_DIRECTORY);
    int fd = openat(dir, "f", O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, 64) == 6);
    close(fd);
    CHECK_ERR(openat(fd, "f", O_RDONLY), EBADF);
    fd = openat(-1, "/", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    fd = openat(dir, "f", O_PATH);
    CHECK(fd >= 0);
    CHECK_ERR(read(fd, buf, 1), EBADF);
    CHECK_ERR(write(fd, buf, 1), EBADF);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 6);
    CHECK_ERR(openat(fd, "x", O_RDONLY), ENOTDIR);
    close(fd);
    int path = open("oa", O_PATH);
    fd = openat(path, "f", O_RDONLY);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(faccessat(path, "f", R_OK, 0), 0);
    CHECK_EQ(symlinkat("f", dir, "s"), 0);
    CHECK_EQ(readlinkat(dir, "s", buf, 64), 1);
    fd = openat(dir, "s", O_PATH | O_NOFOLLOW);
    CHECK(fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
    CHECK_EQ(readlinkat(fd, "", buf, 64), 1);
    close(fd);
    CHECK_EQ(renameat(dir, "f", AT_FDCWD, "f-out"), 0);
    CHECK_EQ(linkat(AT_FDCWD, "f-out", dir, "f", 0), 0);
    CHECK_EQ(unlinkat(dir, "f", 0), 0);
    close(path), close(dir);
}

CASE(openat2_resolves_as_told)
{
    struct open_how how = {.flags = O_RDONLY};
    NEED(put_file("o2", ""));
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, "o2", &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS)
        return;
    CHECK(fd >= 0);
    close(fd);
    how.resolve = RESOLVE_BENEATH;
    CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "/o2", &how, sizeof(how)), EXDEV);
    how.resolve = 1u << 30;
    CHECK_ERR(syscall(SYS_openat2, AT_FDCWD, "o2", &how, sizeof(how)), EINVAL);
}

CASE(an_unlinked_file_lives_while_it_is_open)
{
    char buf[8] = "";
    struct stat st;
    int fd = open("gone", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(write(fd, "still", 5), 5);
    CHECK_EQ(unlink("gone"), 0);
    CHECK_ERR(access("gone", F_OK), ENOENT);
    CHECK_EQ(pread(fd, buf, 8, 0), 5);
    CHECK(!memcmp(buf, "still", 5));
    CHECK_EQ(write(fd, "+", 1), 1);
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 6);
    int other = open("gone", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(lseek(other, 0, SEEK_END), 0);
    close(fd), close(other);
}

CASE(a_replaced_file_lives_while_it_is_open)
{
    char c = 0;
    NEED(put_file("old", "o") && put_file("new", "n"));
    int fd = open("old", O_RDONLY);
    CHECK_EQ(rename("new", "old"), 0);
    CHECK(read(fd, &c, 1) == 1 && c == 'o');
    close(fd);
    CHECK(!strcmp(get_file("old"), "n"));
}

CASE(mknod_makes_a_fifo)
{
    struct stat st;
    CHECK_EQ(mkfifo("fifo", 0600), 0);
    CHECK(stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    int fd = open("fifo", O_RDONLY | O_NONBLOCK);
    CHECK(fd >= 0);
    int w = open("fifo", O_WRONLY | O_NONBLOCK);
    CHECK(w >= 0 && write(w, "x", 1) == 1);
    char c;
    CHECK_EQ(read(fd, &c, 1), 1);
    close(w), close(fd);
    CHECK_ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK_EQ(mknod("plain", S_IFREG | 0600, 0), 0);
    CHECK(stat("plain", &st) == 0 && S_ISREG(st.st_mode));
}

CASE(dots_and_slashes)
{
    char cwd[PATH_MAX];
    struct stat a, b;
    NEED(mkdir("ds", 0755) == 0 && put_file("ds/f", "1"));
    CHECK(!strcmp(get_file(".//ds///./f"), "1"));
    CHECK(stat("ds/..", &a) == 0 && stat(".", &b) == 0 && a.st_ino == b.st_ino);
    CHECK_ERR(stat("ds/f/", &a), ENOTDIR);
    CHECK_ERR(stat("ds/f/.", &a), ENOTDIR);
    CHECK_ERR(mkdir("ds/.", 0755), EEXIST);
    CHECK(realpath("ds/../ds/./f", cwd) && strstr(cwd, "/ds/f"));
    CHECK(stat("/..", &a) == 0 && stat("/", &b) == 0 && a.st_ino == b.st_ino);
}
