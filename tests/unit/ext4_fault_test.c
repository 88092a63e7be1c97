/* ext4 where memory runs out: each allocation of a row of calls fails in turn, in a process of its
 * own, and e2fsck must find a whole volume whatever the calls said. */
#include "test.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fake/disk.h"
#include "fake/fault.h"
#include "fake/vfs_calls.h"
#include "fake/vfs_world.h"
#include "fs/ext4.h"
#include "fs/ext4/priv.h"
#include "vfs/page_cache.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WHOLE = 0, DAMAGED = 1, THROUGH = 2, NAME_LEN = 200 };

static u8 data[40000];

/* "/d/AAAA...": five fill a block of 1 KiB. */
static const char *long_name(u32 i)
{
    static char name[NAME_LEN + 4];

    memset(name, 'a' + (int)(i % 26), sizeof(name) - 1);
    memcpy(name, "/d/", 3);
    name[3] = (char)('A' + i / 26);
    return name;
}

/* ---- what is done before memory fails, and then ---- */

static void make_folder(void)
{
    if (vfs_mkdir("/d", 0755))
        abort();
    for (u32 i = 0; i < 4; i++)
        (void)k_touch(long_name(i));
}

static void fill_folder(void)
{
    for (u32 i = 4; i < 16; i++)
        (void)k_touch(long_name(i));
}

static void make_large_folder(void)
{
    make_folder();
    for (u32 i = 4; i < 40; i++)
        (void)k_touch(long_name(i));
}

static void change_folder(void)
{
    for (u32 i = 40; i < 52; i++)
        (void)k_touch(long_name(i));
    (void)k_unlink(long_name(3));
    (void)k_rename("/d", "/e", 0);
    (void)k_symlink(long_name(1), "/l");
}

static void make_file(void)
{
    struct file *file;

    if (k_open("/f", O_CREAT | O_RDWR, 0644, &file) || k_write(file, data, 5000, 0) != 5000)
        abort();
    file_put(file);
}

static void change_file(void)
{
    struct file *file;

    if (k_open("/f", O_RDWR, 0, &file))
        return;
    struct inode *inode = file->inode;
    for (s64 at = 0; at < 24; at += 2) /* more pieces than the inode has room for */
        (void)k_write(file, data, 1024, at * 4096);
    (void)file->ops->sync(file, false);
    (void)inode->ops->setxattr(inode, "user.small", "x", 1, 0);
    (void)inode->ops->setxattr(inode, "user.large", data, 700, 0);
    (void)k_write(file, data, sizeof(data), 200000);
    (void)file->ops->sync(file, false);
    (void)ext4_truncate(inode, 10000);
    file_put(file);
    (void)k_unlink("/f");
}

struct story {
    void (*before)(void);
    void (*then)(void);
};

static int run_one(const struct fake_disk *made, const struct story *story, u32 nth)
{
    struct fault fault = {.nth = nth - 1, .err = -1}, none = {.nth = 1};
    struct fake_disk *disk = disk_copy(made);
    struct super_block *mounted;
    char why[200];

    world_create();
    if (ext4_mount(&disk->bd, false, why, sizeof(why), &mounted))
        abort();
    world_mount_root(mounted);
    story->before();
    (void)fault_arm(&fault);
    story->then();
    (void)fault_arm(&none);
    world_destroy();
    mounted->ops->unmount(mounted);
    if (!fault.err)
        return THROUGH;
    if (fault.err == -EIO) /* a disk that fails marks the volume, which is another story */
        return WHOLE;
    if (!disk_e2fsck(disk))
        return WHOLE;
    printf("failed %u: %s\n", nth, fault.what);
    return DAMAGED;
}

static int run_apart(const struct fake_disk *made, const struct story *story, u32 nth)
{
    int status = 0;

    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        int result = run_one(made, story, nth);
        fflush(stdout);
        _exit(result);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child, "a process");
    return WIFEXITED(status) ? WEXITSTATUS(status) : DAMAGED;
}

/* FAULT_STEP=1 fails each of them. */
static void fail_each(const char *options, const struct story *story)
{
    const char *wish = getenv("FAULT_STEP");
    u32 step = wish ? (u32)atoi(wish) : 7, nth = 1;
    struct fake_disk *made = disk_mke2fs(options, 8192);

    REQUIRE(made != NULL, "mke2fs");
    for (int result = WHOLE; result != THROUGH && nth < 100000; nth += step) {
        result = run_apart(made, story, nth);
        EXPECT_TRUE(result != DAMAGED, "a whole volume");
    }
    disk_free(made);
}

TEST(no_memory_for_names_in_a_folder_that_gets_its_index)
{
    fail_each("-b 1024", &(struct story){make_folder, fill_folder});
}

TEST(no_memory_for_names_in_a_folder_without_index)
{
    fail_each("-b 1024 -O ^dir_index", &(struct story){make_folder, fill_folder});
}

TEST(no_memory_for_names_in_a_large_folder)
{
    fail_each("-b 1024", &(struct story){make_large_folder, change_folder});
}

TEST(no_memory_for_a_file_of_many_pieces)
{
    fail_each("-b 1024", &(struct story){make_file, change_file});
}

TEST(no_memory_for_a_file_without_journal)
{
    fail_each("-b 1024 -O ^has_journal", &(struct story){make_file, change_file});
}
