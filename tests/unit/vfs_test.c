/* Paths, directories, files, descriptors and locks by their rules, on a tmpfs. */
#include "unit/test.h"

#include <fcntl.h>
#include <unistd.h>

#include "fake/vfs_calls.h"
#include "fake/vfs_world.h"
#include "fs/tmpfs.h"
#include "mm/page.h"
#include "vfs/fd.h"
#include "vfs/lock.h"
#include "vfs/mount.h"
#include "vfs/notify.h"
#include "vfs/page_cache.h"

static void start(void)
{
    world_create();
    struct super_block *sb = tmpfs_mount();
    REQUIRE(sb, "a tmpfs");
    world_mount_root(sb);
}

TEST(a_path_walks_dots_slashes_and_links)
{
    start();
    EXPECT_EQ(vfs_mkdir("/a", 0755), 0, NULL);
    EXPECT_EQ(vfs_mkdir("/a/b", 0755), 0, NULL);
    EXPECT_EQ(vfs_mkdir("/a/b/", 0755), -EEXIST, NULL);
    EXPECT_EQ(vfs_mkdir("/a/c/", 0755), 0, "a slash behind a new directory");
    EXPECT_EQ(k_touch("/a/b/file"), 0, NULL);
    EXPECT_STR(k_name_of("//a/./b/../b//file"), "/a/b/file", NULL);
    EXPECT_STR(k_name_of("/../../a/.."), "/", "nothing is above the root");
    EXPECT_EQ(k_find("/a/b/file/", 0), -ENOTDIR, NULL);
    EXPECT_EQ(k_find("/a/b/file/x", 0), -ENOTDIR, NULL);
    EXPECT_EQ(k_find("/a/b/file/.", 0), -ENOTDIR, NULL);
    EXPECT_EQ(k_find("/a/b/none", 0), -ENOENT, NULL);
    EXPECT_EQ(k_find("/a/b/none", 0), -ENOENT, "remembered");
    EXPECT_EQ(k_find("", 0), -ENOENT, NULL);
    EXPECT_EQ(k_symlink("b/file", "/a/relative"), 0, NULL);
    EXPECT_EQ(k_symlink("/a/b", "/a/absolute"), 0, NULL);
    EXPECT_STR(k_name_of("/a/relative"), "/a/b/file", NULL);
    EXPECT_STR(k_name_of("/a/absolute/file"), "/a/b/file", NULL);
    EXPECT_STR(k_name_of("/a/absolute/../c"), "/a/c", NULL);
    EXPECT_EQ(k_find("/a/relative/", 0), -ENOTDIR, NULL);
    EXPECT_EQ(k_symlink("/loop2", "/loop1"), 0, NULL);
    EXPECT_EQ(k_symlink("loop1", "/loop2"), 0, NULL);
    EXPECT_EQ(k_find("/loop1", LOOKUP_FOLLOW), -ELOOP, NULL);
    EXPECT_EQ(k_find("/loop1", 0), 0, "the link itself");
    EXPECT_EQ(k_find("/a/relative", LOOKUP_NO_SYMLINKS | LOOKUP_FOLLOW), -ELOOP, NULL);
    EXPECT_EQ(k_symlink("/a/new", "/dangling"), 0, NULL);
    EXPECT_EQ(k_find("/dangling", LOOKUP_FOLLOW), -ENOENT, NULL);
    EXPECT_EQ(k_touch("/dangling"), 0, "O_CREAT goes through it");
    EXPECT_STR(k_name_of("/dangling"), "/a/new", NULL);
    EXPECT_EQ(k_touch("/loop1"), -ELOOP, NULL);
    world_destroy();
}

TEST(a_path_that_comes_again_is_walked_anew_when_names_change)
{
    start();
    EXPECT_EQ(vfs_mkdir("/directory", 0755), 0, NULL);
    EXPECT_EQ(vfs_mkdir("/directory/inner", 0755), 0, NULL);
    EXPECT_EQ(k_touch("/directory/inner/file"), 0, NULL);
    for (int i = 0; i < 1000; i++) /* by then it is known whole */
        EXPECT_EQ(k_find("/directory/inner/file", LOOKUP_FOLLOW), 0, NULL);
    EXPECT_EQ(k_find("/directory/inner/file", LOOKUP_DIRECTORY), -ENOTDIR, NULL);
    EXPECT_EQ(k_find("/directory/inner/filf", 0), -ENOENT, "another of its length");
    EXPECT_EQ(k_rename("/directory/inner/file", "/directory/inner/moved", 0), 0, NULL);
    EXPECT_EQ(k_find("/directory/inner/file", 0), -ENOENT, NULL);
    for (int i = 0; i < 2; i++)
        EXPECT_EQ(k_find("/directory/inner/moved", 0), 0, NULL);
    EXPECT_EQ(k_rename("/directory/inner", "/directory/other", 0), 0, "above it");
    EXPECT_EQ(k_find("/directory/inner/moved", 0), -ENOENT, NULL);
    for (int i = 0; i < 2; i++)
        EXPECT_STR(k_name_of("/directory/other/moved"), "/directory/other/moved", NULL);
    EXPECT_EQ(k_symlink("other", "/directory/inner"), 0, NULL);
    for (int i = 0; i < 2; i++)
        EXPECT_STR(k_name_of("/directory/inner/moved"), "/directory/other/moved", "by a link");
    world_destroy();
}

TEST(names_have_limits)
{
    char path[4200];

    start();
    memset(path, 'n', sizeof(path));
    path[0] = '/';
    path[256] = 0;
    EXPECT_EQ(k_touch(path), 0, "255 bytes");
    EXPECT_EQ(k_find(path, 0), 0, NULL);
    path[256] = 'n';
    path[257] = 0;
    EXPECT_EQ(k_touch(path), -ENAMETOOLONG, "256");
    EXPECT_EQ(k_find(path, 0), -ENAMETOOLONG, NULL);
    memset(path, '/', sizeof(path));
    path[4095] = 0;
    EXPECT_EQ(k_find(path, 0), 0, "4095 bytes");
    path[4095] = '/';
    path[4096] = 0;
    EXPECT_EQ(k_find(path, 0), -ENAMETOOLONG, "4096");
    for (int len = 1; len < 200; len++) { /* every length around word and inline bounds */
        snprintf(path, sizeof(path), "/%0*d", len, 7);
        EXPECT_EQ(k_touch(path), 0, NULL);
        EXPECT_EQ(k_find(path, 0), 0, NULL);
        EXPECT_STR(k_name_of(path), path, NULL);
        path[1] = '1';
        EXPECT_EQ(k_find(path, 0), -ENOENT, path);
    }
    world_destroy();
}

TEST(removing_and_renaming_keep_the_rules)
{
    start();
    vfs_mkdir("/d", 0755);
    vfs_mkdir("/d/e", 0755);
    k_touch("/f");
    EXPECT_EQ(k_rmdir("/d"), -ENOTEMPTY, NULL);
    EXPECT_EQ(k_rmdir("/f"), -ENOTDIR, NULL);
    EXPECT_EQ(k_unlink("/d"), -EISDIR, NULL);
    EXPECT_EQ(k_unlink("/f/"), -ENOTDIR, NULL);
    EXPECT_EQ(k_rmdir("/d/."), -EINVAL, NULL);
    EXPECT_EQ(k_rmdir("/d/.."), -ENOTEMPTY, NULL);
    EXPECT_EQ(k_rmdir("/"), -EBUSY, NULL);
    EXPECT_EQ(k_rename("/d", "/d/e/x", 0), -EINVAL, "into itself");
    EXPECT_EQ(k_rename("/d/e", "/d", 0), -ENOTEMPTY, "onto its parent");
    EXPECT_EQ(k_rename("/f", "/d", 0), -EISDIR, NULL);
    EXPECT_EQ(k_rename("/d", "/f", 0), -ENOTDIR, NULL);
    EXPECT_EQ(k_rename("/f", "/d", RENAME_NOREPLACE), -EEXIST, NULL);
    EXPECT_EQ(k_rename("/f", "/none", RENAME_EXCHANGE), -ENOENT, NULL);
    EXPECT_EQ(k_rename("/f", "/d/e", RENAME_EXCHANGE), 0, NULL);
    EXPECT_EQ(k_find("/f", LOOKUP_DIRECTORY), 0, "they have changed places");
    EXPECT_EQ(k_find("/d/e", LOOKUP_DIRECTORY), -ENOTDIR, NULL);
    EXPECT_EQ(
        k_rename("/d/e", "/a name that is longer than what a dentry keeps inside of itself", 0), 0,
        NULL);
    EXPECT_EQ(k_rename("/f", "/d", 0), 0, "onto an empty directory");
    EXPECT_EQ(k_find("/f", 0), -ENOENT, NULL);
    world_destroy();
}

TEST(a_removed_directory_takes_no_new_names)
{
    struct file *dir, *file;
    struct name_buf name;

    start();
    vfs_mkdir("/gone", 0755);
    REQUIRE(!k_open("/gone", O_RDONLY | O_DIRECTORY, 0, &dir), NULL);
    int fd = fd_install(dir, 0, false);
    EXPECT_EQ(k_rmdir("/gone"), 0, NULL);
    name_from_kernel(&name, "new");
    EXPECT_EQ(vfs_openat(fd, &name, O_CREAT | O_WRONLY, 0644, 0, &file), -ENOENT, NULL);
    char text[64];
    EXPECT_TRUE(file_path_name(dir, text, sizeof(text)) > 0, NULL);
    EXPECT_STR(text, "/gone (deleted)", NULL);
    world_destroy();
}

static int dead_puts;

static bool count_dead_puts(struct inode *inode)
{
    (void)inode;
    dead_puts++;
    return false;
}

/* What was removed ends where it was let go of, never in the midst of some allocation. */
TEST(names_remembered_below_a_removed_directory_do_not_keep_it)
{
    struct file *dir, *file;
    struct name_buf name;

    start();
    vfs_mkdir("/removed", 0755);
    vfs_mkdir("/replaced", 0755);
    vfs_mkdir("/new", 0755);
    vfs_mkdir("/open", 0755);
    EXPECT_EQ(k_find("/removed/x", 0), -ENOENT, NULL);
    EXPECT_EQ(k_find("/replaced/x", 0), -ENOENT, NULL);
    EXPECT_EQ(k_find("/open/x", 0), -ENOENT, NULL);
    REQUIRE(!k_open("/open", O_RDONLY | O_DIRECTORY, 0, &dir), NULL);
    int fd = fd_install(dir, 0, false);
    EXPECT_EQ(k_rmdir("/removed"), 0, NULL);
    EXPECT_EQ(k_rename("/new", "/replaced", 0), 0, NULL);
    EXPECT_EQ(k_rmdir("/open"), 0, NULL);
    name_from_kernel(&name, "y");
    EXPECT_EQ(vfs_openat(fd, &name, O_RDONLY, 0, 0, &file), -ENOENT, "looked up when it is gone");
    fd_close(fd);
    fsnotify_put_handler = count_dead_puts;
    dentry_shrink(UINT64_MAX);
    dentry_shrink(UINT64_MAX);
    fsnotify_put_handler = NULL;
    EXPECT_EQ(dead_puts, 0, "nothing of it is left");
    world_destroy();
}

TEST(openat2_confines)
{
    struct file *file;
    struct name_buf name;

    start();
    vfs_mkdir("/jail", 0755);
    k_touch("/jail/in");
    k_touch("/out");
    k_symlink("/in", "/jail/abs");
    k_symlink("../out", "/jail/up");
    REQUIRE(!k_open("/jail", O_RDONLY, 0, &file), NULL);
    int fd = fd_install(file, 0, false);
    static const struct {
        const char *path;
        u32 resolve;
        int err;
    } cases[] = {
        {"in", LOOKUP_BENEATH, 0},        {"../out", LOOKUP_BENEATH, -EXDEV},
        {"up", LOOKUP_BENEATH, -EXDEV},   {"abs", LOOKUP_BENEATH, -EXDEV},
        {"/out", LOOKUP_BENEATH, -EXDEV}, {"abs", LOOKUP_IN_ROOT, 0},
        {"/in", LOOKUP_IN_ROOT, 0},       {"../in", LOOKUP_IN_ROOT, 0},
        {"up", LOOKUP_IN_ROOT, -ENOENT},
    };
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        name_from_kernel(&name, cases[i].path);
        int err = vfs_openat(fd, &name, O_RDONLY, 0, cases[i].resolve, &file);
        EXPECT_EQ(err, cases[i].err, cases[i].path);
        if (!err)
            file_put(file);
    }
    world_destroy();
}

static int count_one(int fd, struct file *file, void *arg)
{
    (void)fd, (void)file;
    ++*(int *)arg;
    return 0;
}

TEST(descriptors_are_the_lowest_free_ones)
{
    struct file *file;
    int open = 0;

    start();
    REQUIRE(!k_open("/x", O_CREAT | O_RDWR, 0644, &file), NULL);
    for (int i = 0; i < 1000; i++) {
        file_get(file);
        EXPECT_EQ(fd_install(file, 0, i % 2), i, "in order, past the first array");
    }
    EXPECT_EQ(fd_close(500), 0, NULL);
    EXPECT_EQ(fd_close(500), -EBADF, NULL);
    EXPECT_EQ(fd_close(70), 0, NULL);
    file_get(file);
    EXPECT_EQ(fd_install(file, 100, false), 500, "the lowest from 100 on");
    file_get(file);
    EXPECT_EQ(fd_install(file, 0, false), 70, NULL);
    file_get(file);
    EXPECT_EQ(fd_install_at(file, 1023, false), 1023, "the last one allowed");
    EXPECT_EQ(fd_install_at(file, 1024, false), -EBADF, NULL);
    EXPECT_EQ(fd_install(file, 1023, false), -EMFILE, NULL);
    EXPECT_EQ(fd_install(file, 1024, false), -EINVAL, NULL);
    EXPECT_EQ(fd_get_flags(1), FD_CLOEXEC, NULL);
    EXPECT_TRUE(!fd_get(-1) && !fd_get(5000), "no such");
    struct fd_table *copy = fd_table_clone(current_process()->files);
    fd_close_on_exec(current_process()->files);
    fd_for_each(current_process()->files, count_one, &open);
    EXPECT_EQ(open, 501, "the marked half is gone");
    open = 0;
    fd_for_each(copy, count_one, &open);
    EXPECT_EQ(open, 1001, "the copy is another table");
    fd_table_put(copy);
    file_put(file);
    world_destroy();
}

TEST(a_write_survives_any_failed_allocation)
{
    static char data[3 * 4096 + 100], back[sizeof(data)];

    memset(data, 'x', sizeof(data));
    world_create();
    world_mount_root(tmpfs_mount());
    FOR_EACH_FAULT(fault) {
        struct file *file;
        k_unlink("/file"); /* of the run before */
        int err = k_open("/file", O_CREAT | O_RDWR, 0644, &file);
        if (err) {
            EXPECT_EQ(err, -ENOMEM, fault.what);
            continue;
        }
        ssize_t n = k_write(file, data, sizeof(data), 4000);
        EXPECT_TRUE(n == sizeof(data) || (fault.err && (n > 0 || n == -ENOMEM || n == -ENOSPC)),
                    fault.what);
        if (n > 0) {
            EXPECT_EQ(file->inode->size, 4000 + n, "as much as was written");
            EXPECT_EQ(file_read_kernel(file, back, (size_t)n, 4000), n, fault.what);
            EXPECT_MEM(back, data, (size_t)n, fault.what);
        }
        file_put(file);
    }
    k_unlink("/file");
    EXPECT_EQ(world_pages(), 0, "all pages are back");
    world_destroy();
}

TEST(holes_are_found_and_punched)
{
    struct file *file;
    char byte;

    start();
    REQUIRE(!k_open("/sparse", O_CREAT | O_RDWR, 0644, &file), NULL);
    k_write(file, "a", 1, 0);
    k_write(file, "b", 1, 1 << 20);
    k_write(file, "c", 1, 1ll << 40);
    EXPECT_EQ(world_pages(), 3, "three pages");
    EXPECT_EQ(file->ops->seek(file, 1, SEEK_HOLE), 4096, NULL);
    EXPECT_EQ(file->ops->seek(file, 4096, SEEK_DATA), 1 << 20, NULL);
    EXPECT_EQ(file->ops->seek(file, (1 << 20) + 4096, SEEK_DATA), 1ll << 40, NULL);
    EXPECT_EQ(file->ops->seek(file, (1ll << 40) + 1, SEEK_DATA), -ENXIO, "behind the end");
    EXPECT_EQ(file->ops->allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 21), 0,
              NULL);
    EXPECT_EQ(world_pages(), 1, "two are gone");
    EXPECT_EQ(file_read_kernel(file, &byte, 1, 1 << 20), 1, NULL);
    EXPECT_EQ(byte, 0, NULL);
    EXPECT_EQ(file->ops->truncate(file, 10), 0, NULL);
    EXPECT_EQ(world_pages(), 0, NULL);
    EXPECT_EQ(file->ops->allocate(file, 0, 0, 1ull << 45), -ENOSPC, "more than there is");
    EXPECT_EQ(world_pages(), 0, "and nothing taken");
    EXPECT_EQ(k_write(file, "x", 1, INT64_MAX), -EFBIG, NULL);
    file_put(file);
    world_destroy();
}

static struct file *victim;
static struct page *reused;

static void truncate_and_reuse(void)
{
    EXPECT_EQ(victim->ops->truncate(victim, 0), 0, NULL);
    reused = page_alloc(0, 0);
    memset(page_to_virt(reused), 'X', PAGE_SIZE);
    EXPECT_EQ(victim->ops->truncate(victim, 8192), 0, NULL);
}

TEST(a_read_never_returns_what_a_page_became)
{
    static const s64 places[] = {0, 4096};
    char buf[100], zeros[100] = {0};
    struct iov_iter to;

    start();
    REQUIRE(!k_open("/racing", O_CREAT | O_RDWR, 0644, &victim), NULL);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        s64 pos = places[i];
        memset(buf, 'a', sizeof(buf));
        EXPECT_EQ(k_write(victim, buf, sizeof(buf), pos), 100, NULL);
        iter_init_user(&to, (uaddr_t)(uintptr_t)buf, sizeof(buf));
        world_before_copy = truncate_and_reuse;
        EXPECT_EQ(file_read(victim, &to, &pos), 100, "as long as it was when the read began");
        EXPECT_MEM(buf, zeros, sizeof(buf), "but of the file as it is now");
        EXPECT_EQ(to.left, 0, NULL);
        page_put(reused);
    }
    file_put(victim);
    world_destroy();
}

TEST(a_page_is_found_at_any_index)
{
    static const u64 indexes[] = {0, 1, 63, 64, 4095, 4096, 1ull << 24, (1ull << 51) - 1};
    struct page_cache pc;
    u64 index = 0;

    start();
    page_cache_init(&pc, NULL, false);
    for (size_t i = ARRAY_LEN(indexes); i-- > 0;) {
        struct page *page = page_alloc(0, 0);
        EXPECT_EQ(page_cache_insert(&pc, indexes[i], page), 0, NULL);
        EXPECT_EQ(page_cache_insert(&pc, indexes[i], page), -EEXIST, NULL);
        EXPECT_TRUE(page_cache_peek(&pc, indexes[i]) == page, "here it is");
        EXPECT_FALSE(page_cache_peek(&pc, indexes[i] + 2), "and not there");
        page_put(page);
    }
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++, index++) {
        struct page *page = page_cache_next(&pc, &index);
        REQUIRE(page, "another one");
        EXPECT_EQ(index, indexes[i], "in order");
        page_put(page);
    }
    EXPECT_FALSE(page_cache_next(&pc, &index), "no more");
    EXPECT_EQ(page_cache_remove(&pc, 64, 1ull << 24), 4, NULL);
    EXPECT_EQ(pc.removals, 4, NULL);
    page_cache_fini(&pc);
    EXPECT_EQ(world_pages(), 0, NULL);
    world_destroy();
}

TEST(record_locks_split_and_join)
{
    struct file *a, *b;
    struct linux_flock lock = {.l_type = F_WRLCK, .l_start = 0, .l_len = 100};

    start();
    k_open("/l", O_CREAT | O_RDWR, 0644, &a);
    k_open("/l", O_RDWR, 0644, &b);
    EXPECT_EQ(lock_set(a, &lock, true, false), 0, "[0, 100) for a");
    EXPECT_EQ(lock_set(b, &lock, true, false), -EAGAIN, NULL);
    lock = (struct linux_flock){.l_type = F_UNLCK, .l_start = 40, .l_len = 20};
    EXPECT_EQ(lock_set(a, &lock, true, false), 0, "a hole in the middle");
    lock.l_type = F_WRLCK;
    EXPECT_EQ(lock_set(b, &lock, true, false), 0, "which b takes");
    lock = (struct linux_flock){.l_type = F_WRLCK, .l_start = 50, .l_len = 0};
    EXPECT_EQ(lock_test(b, &lock, true), 0, NULL);
    EXPECT_EQ(lock.l_start, 60, "a's upper half is in the way");
    EXPECT_EQ(lock.l_len, 40, NULL);
    file_put(a); /* its locks go with it */
    lock = (struct linux_flock){.l_type = F_WRLCK, .l_start = 0, .l_len = 0};
    EXPECT_EQ(lock_set(b, &lock, true, false), 0, NULL);
    EXPECT_EQ(lock_flock(b, LOCK_EX | LOCK_NB), 0, "another family");
    file_put(b);
    world_destroy();
}
