/* A root of layers: what is in a read-only layer is changed, moved and hidden above it.  On Linux
 * it is an overlay mount of our own, which needs root and a folder that is no overlay; in the guest
 * the layer comes with the image ("/lower", --file). */
#define _GNU_SOURCE
#include "t.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/xattr.h>

static const char *const files[] = {"plain",      "mapped", "dir/a", "dir/b",
                                    "dir/deep/c", "gone/x", "xa"};
static bool ready;

static bool make_lower(const char *at)
{
    char path[256];

    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", at, files[i]);
        for (char *p = path + strlen(at) + 1; (p = strchr(p, '/')); *p++ = '/')
            *p = 0, mkdir(path, 0755);
        if (!put_file(path, files[i]))
            return false;
    }
    return true;
}

/* Go to a fresh merged folder; once for all cases, which each use files of their own. */
static void enter(void)
{
    if (!ready && access("/lower/plain", R_OK) == 0) {
        NEED(chdir("/lower") == 0);
    } else if (!ready && geteuid()) {
        printf("# left out: only root mounts an overlay\n");
        longjmp(t_end, 1);
    } else if (!ready) {
        NEED(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        NEED(mkdir("all", 0755) == 0 && mount("none", "all", "tmpfs", 0, NULL) == 0);
        NEED(chdir("all") == 0 && mkdir("lower", 0755) == 0 && mkdir("upper", 0755) == 0 &&
             mkdir("work", 0755) == 0 && mkdir("merged", 0755) == 0 && make_lower("lower"));
        NEED(mount("overlay", "merged", "overlay", 0,
                   "lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=on,xino=on") == 0);
        NEED(chdir("merged") == 0);
    }
    ready = true;
}

static int count_names(const char *path)
{
    struct dirent *entry;
    int count = 0;

    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

CASE(writing_copies_up_and_reading_does_not)
{
    struct stat before, after;

    enter();
    NEED(stat("plain", &before) == 0);
    CHECK(!strcmp(get_file("plain"), "plain"));
    int fd = open("plain", O_WRONLY | O_APPEND);
    NEED(fd >= 0 && write(fd, " more", 5) == 5);
    close(fd);
    CHECK(!strcmp(get_file("plain"), "plain more"));
    CHECK(stat("plain", &after) == 0 && after.st_size == 10 && after.st_mode == before.st_mode);
    CHECK_EQ(after.st_ino, before.st_ino);
    CHECK_EQ(chmod("plain", 0600), 0);
    CHECK(stat("plain", &after) == 0 && (after.st_mode & 07777) == 0600);
    CHECK_EQ(truncate("plain", 3), 0);
    CHECK(!strcmp(get_file("plain"), "pla"));
}

CASE(a_mapping_from_before_keeps_its_bytes)
{
    enter();
    int fd = open("mapped", O_RDONLY);
    NEED(fd >= 0);
    const char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    NEED(map != MAP_FAILED && !memcmp(map, "mapped", 6));
    int writer = open("mapped", O_RDWR);
    CHECK_EQ(pwrite(writer, "MAPPED", 6, 0), 6);
    CHECK(!strcmp(get_file("mapped"), "MAPPED"));
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    NEED(shared != MAP_FAILED && !memcmp(shared, "MAPPED", 6));
    shared[0] = 'm';
    CHECK(!strcmp(get_file("mapped"), "mAPPED"));
    CHECK(!memcmp(map + 1, "apped", 5) || !memcmp(map + 1, "APPED", 5)); /* either, but whole */
    munmap((void *)(uintptr_t)map, 4096);
    munmap(shared, 4096);
    close(fd), close(writer);
}

CASE(names_are_hidden_and_made_again)
{
    enter();
    CHECK_EQ(unlink("gone/x"), 0);
    CHECK_ERR(open("gone/x", O_RDONLY), ENOENT);
    CHECK_EQ(count_names("gone"), 0);
    CHECK_EQ(rmdir("gone"), 0);
    CHECK_ERR(access("gone", F_OK), ENOENT);
    CHECK_EQ(mkdir("gone", 0755), 0); /* opaque: the old one is not behind it */
    CHECK_EQ(count_names("gone"), 0);
    CHECK_ERR(access("gone/x", F_OK), ENOENT);
    NEED(put_file("gone/x", "new"));
    CHECK(!strcmp(get_file("gone/x"), "new"));
    CHECK_ERR(rmdir("gone"), ENOTEMPTY);
    CHECK_EQ(unlink("gone/x"), 0);
    CHECK_EQ(rmdir("gone"), 0);
}

CASE(a_lower_directory_moves_with_all_in_it)
{
    enter();
    CHECK_EQ(rename("dir", "moved"), 0);
    CHECK_ERR(access("dir/a", F_OK), ENOENT);
    CHECK(!strcmp(get_file("moved/a"), "dir/a") && !strcmp(get_file("moved/deep/c"), "dir/deep/c"));
    CHECK_EQ(count_names("moved"), 3);
    CHECK_EQ(link("moved/a", "moved/hard"), 0);
    struct stat a, hard;
    CHECK(stat("moved/a", &a) == 0 && stat("moved/hard", &hard) == 0);
    CHECK(a.st_ino == hard.st_ino && a.st_nlink == 2);
    int fd = open("moved/hard", O_WRONLY | O_TRUNC);
    CHECK_EQ(write(fd, "both", 4), 4);
    close(fd);
    CHECK(!strcmp(get_file("moved/a"), "both"));
    CHECK_EQ(rename("moved/deep/c", "c"), 0);
    CHECK_EQ(rename("c", "moved/b"), 0); /* over one of the layer */
    CHECK(!strcmp(get_file("moved/b"), "dir/deep/c"));
    CHECK_EQ(rmdir("moved/deep"), 0);
    CHECK_EQ(count_names("moved"), 3);
    CHECK_EQ(symlink("moved/a", "link"), 0);
    CHECK(!strcmp(get_file("link"), "both"));
}

CASE(attributes_go_up_with_the_file)
{
    char value[16];

    enter();
    CHECK_EQ(setxattr("xa", "user.tag", "one", 3, 0), 0);
    CHECK_EQ(getxattr("xa", "user.tag", value, sizeof(value)), 3);
    CHECK(!strcmp(get_file("xa"), "xa"));
    CHECK_EQ(chmod("xa", 0640), 0);
    CHECK_EQ(getxattr("xa", "user.tag", value, sizeof(value)), 3);
    CHECK_EQ(rename("xa", "xb"), 0);
    CHECK_EQ(getxattr("xb", "user.tag", value, sizeof(value)), 3);
    CHECK_EQ(removexattr("xb", "user.tag"), 0);
    CHECK_ERR(getxattr("xb", "user.tag", value, sizeof(value)), ENODATA);
}

/* For the guest: files of a layer, made where the runner wants them. */
CASE(make_the_lower_layer)
{
    const char *at = getenv("LOWER");

    if (at)
        NEED((mkdir(at, 0755) == 0 || errno == EEXIST) && make_lower(at));
}
