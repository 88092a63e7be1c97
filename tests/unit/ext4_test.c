/* ext4 over a disk in memory; mke2fs makes it and e2fsck judges what is left of it. */
#include "test.h"

#include "abi/fcntl.h"
#include "fake/disk.h"
#include "fake/vfs_calls.h"
#include "fake/vfs_world.h"
#include "fs/ext4.h"
#include "fs/ext4/dir_priv.h"
#include "vfs/mount.h"
#include "vfs/page_cache.h"

#include <unistd.h>

static struct super_block *mounted;

static int try_mount(struct fake_disk *disk)
{
    char why[200];
    int err = ext4_mount(&disk->bd, false, why, sizeof(why), &mounted);

    if (err)
        fprintf(stderr, "mount: %d %s\n", err, why);
    return err;
}

static struct fake_disk *start(const char *options, u32 kib)
{
    struct fake_disk *disk = disk_mke2fs(options, kib);

    world_create();
    if (!disk || try_mount(disk))
        abort();
    world_mount_root(mounted);
    return disk;
}

static void finish(struct fake_disk *disk)
{
    world_destroy();
    mounted->ops->unmount(mounted);
    EXPECT_EQ(disk_e2fsck(disk), 0, "e2fsck finds nothing");
    disk_free(disk);
    fflush(stdout);
    _exit(test_has_failed()); /* what is cached is the kernel's for good */
}

static ssize_t k_read(struct file *file, void *buf, size_t n, s64 pos)
{
    return file_read_kernel(file, buf, n, pos);
}

TEST(an_empty_volume_is_mounted_and_left_as_it_was)
{
    struct fake_disk *disk = start("-b 4096", 65536);
    struct fake_disk *before = disk_copy(disk);

    EXPECT_EQ(k_find("/lost+found", LOOKUP_DIRECTORY), 0, NULL);
    mounted->ops->unmount(mounted);
    EXPECT_TRUE(!memcmp(before->bytes, disk->bytes, disk->size), "nothing was written");
    disk_free(before);
    finish(disk);
}

static void write_and_read(const char *options)
{
    struct fake_disk *disk = start(options, 32768);
    static u8 data[300000], back[300000];
    struct file *file;

    for (u32 i = 0; i < sizeof(data); i++)
        data[i] = (u8)(i * 7 + (i >> 8));
    EXPECT_EQ(k_open("/a", O_CREAT | O_RDWR, 0644, &file), 0, NULL);
    EXPECT_EQ(k_write(file, data, sizeof(data), 0), sizeof(data), NULL);
    EXPECT_EQ(k_read(file, back, sizeof(back), 0), sizeof(back), NULL);
    EXPECT_MEM(back, data, sizeof(data), NULL);
    EXPECT_EQ(file->ops->sync(file, false), 0, NULL);
    page_cache_remove(file->inode->pages, 0, UINT64_MAX);
    memset(back, 0, sizeof(back));
    EXPECT_EQ(k_read(file, back, sizeof(back), 0), sizeof(back), "from the disk");
    EXPECT_MEM(back, data, sizeof(data), NULL);
    file_put(file);
    finish(disk);
}

TEST(what_was_written_is_read_4k)
{
    write_and_read("-b 4096");
}
TEST(what_was_written_is_read_1k)
{
    write_and_read("-b 1024");
}
TEST(what_was_written_is_read_2k_without_checksums)
{
    write_and_read("-b 2048 -O ^metadata_csum,^64bit");
}
TEST(what_was_written_is_read_without_journal)
{
    write_and_read("-b 4096 -O ^has_journal,uninit_bg,^metadata_csum");
}
TEST(what_was_written_is_read_with_seed_and_orphan_file)
{
    write_and_read("-b 4096 -O metadata_csum_seed,orphan_file");
}

TEST(inodes_of_128_bytes_are_read_to_their_end)
{
    struct fake_disk *disk = start("-b 1024 -I 128", 16384);
    char name[20];

    for (u32 i = 0; i < 40; i++) { /* some are the last of their block */
        snprintf(name, sizeof(name), "/f%u", i);
        EXPECT_EQ(k_touch(name), 0, name);
    }
    EXPECT_EQ(mounted->ops->sync(mounted), 0, NULL);
    dentry_shrink(UINT64_MAX);
    for (u32 i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "/f%u", i);
        EXPECT_EQ(k_find(name, 0), 0, name);
    }
    finish(disk);
}

TEST(names_come_and_go)
{
    struct fake_disk *disk = start("-b 1024", 16384);

    EXPECT_EQ(vfs_mkdir("/d", 0755), 0, NULL);
    EXPECT_EQ(k_touch("/d/f"), 0, NULL);
    EXPECT_EQ(k_link("/d/f", "/d/g"), 0, NULL);
    EXPECT_EQ(k_symlink("short", "/d/s"), 0, NULL);
    char target[300];
    memset(target, 'x', sizeof(target));
    target[299] = 0;
    EXPECT_EQ(k_symlink(target, "/d/l"), 0, NULL);
    EXPECT_EQ(k_rename("/d/f", "/e", 0), 0, NULL);
    EXPECT_EQ(k_rename("/e", "/d/g2", 0), 0, NULL);
    EXPECT_EQ(vfs_mkdir("/x", 0755), 0, NULL);
    EXPECT_EQ(vfs_mkdir("/x/y", 0755), 0, NULL);
    EXPECT_EQ(k_rename("/x/y", "/d/y", 0), 0, "a directory moves");
    EXPECT_EQ(k_rename("/x", "/d/y", RENAME_EXCHANGE), 0, NULL);
    EXPECT_EQ(k_rmdir("/d"), -ENOTEMPTY, NULL);
    EXPECT_EQ(k_unlink("/d/g"), 0, NULL);
    EXPECT_EQ(k_unlink("/d/g2"), 0, NULL);
    EXPECT_EQ(k_unlink("/d/l"), 0, NULL);
    EXPECT_EQ(k_unlink("/d/s"), 0, NULL);
    finish(disk);
}

static void many_names(const char *options, u32 n)
{
    struct fake_disk *disk = start(options, 131072);
    char name[64];

    EXPECT_EQ(vfs_mkdir("/d", 0755), 0, NULL);
    for (u32 i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "/d/a-name-of-some-length-%u", i);
        if (!EXPECT_EQ(k_link("/lost+found/../f", name) == -ENOENT ? k_touch(name) : 0, 0, name))
            break;
    }
    for (u32 i = 0; i < n; i += 3) {
        snprintf(name, sizeof(name), "/d/a-name-of-some-length-%u", i);
        EXPECT_EQ(k_unlink(name), 0, name);
    }
    dentry_shrink(UINT64_MAX);
    for (u32 i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "/d/a-name-of-some-length-%u", i);
        EXPECT_EQ(k_find(name, 0), i % 3 ? 0 : -ENOENT, name);
    }
    finish(disk);
}

TEST(a_large_directory_4k)
{
    many_names("-b 4096 -N 30000", 20000);
}
TEST(a_large_directory_1k)
{
    many_names("-b 1024 -N 30000", 8000);
}
TEST(a_large_directory_tea_without_checksums)
{
    many_names(
        "-b 1024 -N 30000 -E hash_seed=12345678-1234-1234-1234-123456789abc -O ^metadata_csum",
        4000);
}
/* e2fsck makes the hashes again by its own function. */
static void names_of_all_kinds(const char *options)
{
    struct fake_disk *disk = start(options, 65536);
    char name[90];

    EXPECT_EQ(vfs_mkdir("/d", 0755), 0, NULL);
    for (u32 i = 0; i < 2000; i++) {
        u32 len = 3 + i % 70;
        memcpy(name, "/d/", 3);
        for (u32 k = 0; k < len; k++)
            name[3 + k] = (char)(i % 3 ? 'a' + (i * 7 + k * k) % 26 : 0x80 + (i + k) % 100);
        snprintf(name + 3 + len, sizeof(name) - 3 - len, "%u", i);
        EXPECT_EQ(k_touch(name), 0, name);
    }
    finish(disk);
}

TEST(names_of_all_kinds_half_md4)
{
    names_of_all_kinds("-b 1024");
}
TEST(names_of_all_kinds_with_a_seed_without_checksums)
{
    names_of_all_kinds(
        "-b 1024 -E hash_seed=00112233-4455-6677-8899-aabbccddeeff -O ^metadata_csum");
}

/* Four names at a time have the hashes that each has alone: of any length, with bytes above 127
 * among them, and what is left over. */
TEST(hashes_by_lanes_are_those_of_single_names)
{
    struct ext4_fs fs = {.hash_seed = {0x12345678, 0x9abcdef0, 0x0fedcba9, 0x87654321}};
    struct ext4_hashed names[31];
    u8 *leaf = calloc(31, 264);

    for (u8 version = EXT4_HASH_LEGACY; version <= EXT4_HASH_TEA + 3; version++) {
        for (u32 i = 0; i < 31; i++) {
            struct ext4_dir_entry *e = (struct ext4_dir_entry *)(leaf + i * 264);
            e->name_len = (u8)(1 + (i * 37 + version) % (i % 4 ? 40 : 255));
            for (u32 k = 0; k < e->name_len; k++)
                e->name[k] = (char)(i * 11 + k * 7 + (i % 5 ? 0 : 128)) & (i % 3 ? 127 : 255);
            names[i] = (struct ext4_hashed){.entry = e};
        }
        ext4_hash_entries(&fs, version, names, 31);
        for (u32 i = 0; i < 31; i++) {
            struct ext4_hash hash;
            ext4_hash_name(&fs, version, names[i].entry->name, names[i].entry->name_len, &hash);
            EXPECT_EQ(names[i].order, ext4_hash_order(&hash), NULL);
        }
    }
    free(leaf);
}

TEST(a_large_directory_without_index)
{
    many_names("-b 4096 -N 30000 -O ^dir_index", 1000);
}

TEST(a_sparse_file_has_a_deep_tree)
{
    struct fake_disk *disk = start("-b 1024", 65536);
    struct file *file;
    u32 i;

    EXPECT_EQ(k_open("/a", O_CREAT | O_RDWR, 0644, &file), 0, NULL);
    for (i = 0; i < 3000; i++)
        if (k_write(file, &i, 4, (s64)((i * 7919u % 3000) * 8192)) != 4)
            break;
    EXPECT_EQ(i, 3000, NULL);
    EXPECT_EQ(file->ops->sync(file, false), 0, NULL);
    page_cache_remove(file->inode->pages, 0, UINT64_MAX);
    for (i = 0; i < 3000; i++) {
        u32 got = 0;
        EXPECT_EQ(k_read(file, &got, 4, (s64)((i * 7919u % 3000) * 8192)), 4, NULL);
        if (!EXPECT_EQ(got, i, NULL))
            break;
    }
    EXPECT_EQ(file->ops->truncate(file, 8192 * 1000 + 17), 0, NULL);
    EXPECT_EQ(file->ops->allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 5000, 3000000),
              0, NULL);
    EXPECT_EQ(file->ops->allocate(file, 0, 0, 9000000), 0, "fallocate fills the holes");
    file_put(file);
    finish(disk);
}

TEST(a_full_volume_refuses_and_is_whole)
{
    struct fake_disk *disk = start("-b 1024", 8192);
    static u8 data[65536];
    struct file *file;
    ssize_t n = 0;
    s64 pos = 0;

    EXPECT_EQ(k_open("/a", O_CREAT | O_RDWR, 0644, &file), 0, NULL);
    do {
        n = k_write(file, data, sizeof(data), pos);
        pos += n > 0 ? n : 0;
    } while (n > 0);
    EXPECT_EQ(n, -ENOSPC, NULL);
    EXPECT_EQ(file->ops->sync(file, false), 0, "everything that was taken has a place");
    char name[32];
    int err = 0;
    for (int i = 0; i < 3000 && !err; i++) {
        snprintf(name, sizeof(name), "/f%d", i);
        err = vfs_mkdir(name, 0755);
    }
    EXPECT_EQ(err, -ENOSPC, NULL);
    file_put(file);
    EXPECT_EQ(k_unlink("/a"), 0, NULL);
    EXPECT_EQ(k_open("/b", O_CREAT | O_RDWR, 0644, &file), 0, NULL);
    EXPECT_EQ(k_write(file, data, sizeof(data), 0), sizeof(data), "and there is room again");
    file_put(file);
    finish(disk);
}

TEST(attributes_in_inode_and_block)
{
    struct fake_disk *disk = start("-b 1024", 16384);
    struct file *file;
    char buf[900], list[400];

    memset(buf, 'v', sizeof(buf));
    EXPECT_EQ(k_open("/a", O_CREAT | O_RDWR, 0644, &file), 0, NULL);
    struct inode *inode = file->inode;
    EXPECT_EQ(inode->ops->setxattr(inode, "user.small", "x", 1, 0), 0, NULL);
    EXPECT_EQ(inode->ops->setxattr(inode, "user.large", buf, 800, 0), 0, NULL);
    EXPECT_EQ(inode->ops->setxattr(inode, "trusted.t", buf, 30, 0), 0, NULL);
    EXPECT_EQ(inode->ops->setxattr(inode, "user.more", buf, 300, 0), -ENOSPC, NULL);
    EXPECT_EQ(inode->ops->setxattr(inode, "user.small", "yz", 2, 1), -EEXIST, NULL);
    EXPECT_EQ(inode->ops->setxattr(inode, "user.small", "yz", 2, 2), 0, NULL);
    EXPECT_EQ(inode->ops->getxattr(inode, "user.small", list, 10), 2, NULL);
    EXPECT_EQ(inode->ops->getxattr(inode, "user.large", NULL, 0), 800, NULL);
    EXPECT_EQ(inode->ops->listxattr(inode, list, sizeof(list)), 11 + 11 + 10, NULL);
    EXPECT_EQ(inode->ops->removexattr(inode, "user.small"), 0, NULL);
    EXPECT_EQ(inode->ops->removexattr(inode, "user.small"), -ENODATA, NULL);
    file_put(file);
    finish(disk);
}

TEST(what_is_free_is_discarded_and_nothing_else)
{
    struct {
        u64 start, len, minlen;
    } range = {0, UINT64_MAX, 0};
    struct fake_disk *disk = start("-b 1024 -J size=1", 16384);
    static u8 data[300000], back[300000];
    struct file *kept, *gone;

    memset(data, 0x77, sizeof(data));
    EXPECT_EQ(k_open("/kept", O_CREAT | O_RDWR, 0644, &kept), 0, NULL);
    EXPECT_EQ(k_write(kept, data, sizeof(data), 0), sizeof(data), NULL);
    EXPECT_EQ(k_open("/gone", O_CREAT | O_RDWR, 0644, &gone), 0, NULL);
    EXPECT_EQ(k_write(gone, data, sizeof(data), 0), sizeof(data), NULL);
    EXPECT_EQ(mounted->ops->sync(mounted), 0, NULL);
    EXPECT_EQ(disk->discarded, 0, "nothing was freed");
    file_put(gone);
    EXPECT_EQ(k_unlink("/gone"), 0, NULL);
    dentry_shrink(UINT64_MAX);
    EXPECT_EQ(disk->discarded, 0, "not before it is committed");
    EXPECT_EQ(mounted->ops->sync(mounted), 0, NULL);
    EXPECT_TRUE(disk->discarded > 200000, "what was freed");
    disk->discarded = 0;
    EXPECT_EQ(kept->ops->ioctl(kept, 0xc0185879, (uaddr_t)&range), 0, "FITRIM");
    EXPECT_EQ(range.len, disk->discarded, "it says how much");
    EXPECT_TRUE(range.len > 8 << 20, "most of the volume is free");
    page_cache_remove(kept->inode->pages, 0, UINT64_MAX);
    EXPECT_EQ(k_read(kept, back, sizeof(back), 0), sizeof(back), NULL);
    EXPECT_MEM(back, data, sizeof(data), "from the disk");
    EXPECT_EQ(kept->ops->ioctl(kept, 1, 0), -ENOTTY, NULL);
    file_put(kept);
    finish(disk);
}

TEST(an_unlinked_file_lives_until_it_is_closed)
{
    struct fake_disk *disk = start("-b 4096", 16384);
    static u8 data[100000];
    struct file *file;

    EXPECT_EQ(k_open("/a", O_CREAT | O_RDWR, 0644, &file), 0, NULL);
    EXPECT_EQ(k_write(file, data, sizeof(data), 0), sizeof(data), NULL);
    EXPECT_EQ(k_unlink("/a"), 0, NULL);
    EXPECT_EQ(file->ops->sync(file, false), 0, NULL);
    EXPECT_EQ(k_write(file, data, sizeof(data), 50000), sizeof(data), NULL);
    file_put(file);
    finish(disk);
}

TEST(a_write_error_is_told_once_to_each_file)
{
    struct fake_disk *disk = start("-b 4096", 16384);
    struct file *a, *b;

    EXPECT_EQ(k_open("/a", O_CREAT | O_RDWR, 0644, &a), 0, NULL);
    EXPECT_EQ(k_open("/a", O_RDWR, 0, &b), 0, NULL);
    EXPECT_EQ(k_write(a, "abc", 3, 0), 3, NULL);
    EXPECT_EQ(a->ops->sync(a, false), 0, NULL);
    EXPECT_EQ(k_write(a, "abd", 3, 0), 3, NULL);
    disk->fails_at = disk->ops + 1;
    EXPECT_EQ(a->ops->sync(a, false), -EIO, NULL);
    EXPECT_EQ(a->ops->sync(a, false), 0, "once");
    EXPECT_EQ(b->ops->sync(b, false), -EIO, "to the other as well");
    EXPECT_EQ(b->ops->sync(b, false), 0, NULL);
    file_put(a);
    file_put(b);
    finish(disk);
}
