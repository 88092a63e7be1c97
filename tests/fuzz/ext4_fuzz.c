/* An ext4 volume with some of its metadata changed: mounted, its journal replayed, walked, read,
 * written and unmounted.  The first byte of the input chooses a volume, each four of the others
 * change a few bytes of it: so inputs stay short, and all of them reach past the super block. */
#include "fuzz/fuzz.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fake/disk.h"
#include "fake/vfs_calls.h"
#include "fake/vfs_world.h"
#include "fs/ext4.h"
#include "vfs/mount.h"

#include <stdio.h>

enum { BASES = 4, NAMES = 24, DEPTH = 4, VISITS = 120, CHUNK = 32, MAX_CHANGES = 100 };

/* A volume to start from, and which pieces of it hold something. */
struct base {
    struct fake_disk *disk;
    u32 *chunks, nr_chunks;
};

struct names {
    struct dir_sink sink;
    char name[NAMES][256];
    int count;
};

static struct base bases[BASES];
static struct super_block *last; /* its root is the name space's until the next one is mounted */
static int visits;

static struct super_block *mount_disk(struct fake_disk *disk)
{
    struct super_block *sb;
    char why[200];

    world_create();
    int err = ext4_mount(&disk->bd, false, why, sizeof(why), &sb);
    FUZZ_ASSERT(!err || *why);
    if (err)
        return NULL;
    world_mount_root(sb);
    super_destroy(last);
    last = sb;
    return sb;
}

static void let_go(struct super_block *sb)
{
    world_destroy();
    for (int i = 0; i < 64 && dentry_shrink(UINT64_MAX); i++)
        ;
    if (sb)
        sb->ops->unmount(sb);
}

static void write_at(const char *path, u64 at, size_t n)
{
    static u8 data[40000];
    struct file *file;

    memset(data, 0x5a, sizeof(data));
    if (k_open(path, O_CREAT | O_RDWR, 0644, &file))
        return;
    (void)!k_write(file, data, n, (s64)at);
    file_put(file);
}

static void set_attribute(const char *path, const char *name, size_t size)
{
    static u8 value[700];
    struct file *file;

    if (k_open(path, O_RDONLY, 0, &file))
        return;
    (void)file->inode->ops->setxattr(file->inode, name, value, size, 0);
    file_put(file);
}

/* A bit of everything: an index, a deep tree, holes, links, attributes in both places. */
static void fill(void)
{
    char name[80];

    FUZZ_ASSERT(!vfs_mkdir("/many", 0755) && !vfs_mkdir("/sub", 0700));
    for (u32 i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "/many/a-name-that-takes-some-room-of-the-block-%u", i);
        FUZZ_ASSERT(!k_touch(name));
    }
    for (u32 i = 0; i < 12; i++)
        write_at("/sparse", (u64)i * 5000, 1500);
    write_at("/sub/large", 0, 40000);
    write_at("/sub/small", 3, 100);
    (void)k_symlink("sub/small", "/link");
    memset(name, 'l', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    (void)k_symlink(name, "/sub/longlink");
    set_attribute("/sparse", "user.a", 20);
    set_attribute("/sub/large", "user.b", 600);
}

static struct fake_disk *make_disk(const char *options, bool cut)
{
    struct fake_disk *disk = disk_mke2fs(options, 3072), *left;
    struct super_block *sb = disk ? mount_disk(disk) : NULL;

    FUZZ_ASSERT(sb);
    fill();
    FUZZ_ASSERT(!sb->ops->sync(sb));
    if (cut) /* with a journal to replay, and an orphan */
        (void)k_unlink("/sub/large");
    left = cut ? disk_after_cut(disk, 1) : NULL;
    let_go(sb);
    if (!left)
        left = disk_copy(disk);
    disk_free(disk);
    return left;
}

static void find_chunks(struct base *base)
{
    static const u8 zeros[CHUNK];
    u32 n = (u32)(base->disk->size / CHUNK);

    base->chunks = calloc(n, sizeof(u32));
    for (u32 i = 0; i < n; i++) {
        const u8 *at = base->disk->bytes + (size_t)i * CHUNK;
        bool data = at[0] == 0x5a && !memcmp(at, at + 1, CHUNK - 1); /* a file's */
        if (memcmp(at, zeros, CHUNK) && !data)
            base->chunks[base->nr_chunks++] = i;
    }
}

static void make_bases(void)
{
    static const struct {
        const char *options;
        bool cut;
    } kinds[BASES] = {
        {"-N 128 -b 1024 -J size=1 -O ^metadata_csum,^resize_inode", false},
        {"-N 128 -b 1024 -J size=1 -O ^metadata_csum,^resize_inode", true},
        {"-N 128 -b 1024 -J size=1 -O metadata_csum,^resize_inode", true},
        {"-N 128 -b 1024 -O ^metadata_csum,^64bit,uninit_bg,^resize_inode,^has_journal -I 128",
         false},
    };

    for (int i = 0; i < BASES; i++) {
        bases[i].disk = make_disk(kinds[i].options, kinds[i].cut);
        find_chunks(&bases[i]);
    }
}

static bool add_name(struct dir_sink *sink, const char *name, size_t len, u64 ino, u64 next_pos,
                     u8 dt_type)
{
    struct names *names = (struct names *)(void *)sink;

    (void)ino, (void)next_pos, (void)dt_type;
    FUZZ_ASSERT(len > 0 && len < 256);
    if (names->count == NAMES)
        return false;
    memcpy(names->name[names->count], name, len);
    names->name[names->count++][len] = 0;
    return true;
}

static void read_attributes(struct inode *inode)
{
    char list[512], value[1024];
    ssize_t len = inode->ops->listxattr ? inode->ops->listxattr(inode, list, sizeof(list) - 1) : 0;

    FUZZ_ASSERT(len <= (ssize_t)sizeof(list) - 1);
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1) {
        list[len] = 0;
        inode->ops->getxattr(inode, list + at, value, sizeof(value));
    }
}

static void use_file(const char *path)
{
    static u8 back[20000];
    struct file *file;

    if (k_open(path, O_RDWR, 0, &file))
        return;
    for (s64 at = 0; at < 60000; at += (s64)sizeof(back))
        if (file_read_kernel(file, back, sizeof(back), at) <= 0)
            break;
    (void)file->ops->seek(file, 100, SEEK_HOLE);
    (void)!k_write(file, back, 3000, (s64)(file->inode->size & 0xffff));
    if (visits % 3 == 0)
        (void)file->ops->allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2000, 9000);
    if (visits % 3 == 1)
        (void)file->ops->truncate(file, file->inode->size / 2);
    file_put(file);
}

static void visit(const char *path, int depth);

static void visit_children(const char *path, int depth)
{
    struct names *names = calloc(1, sizeof(*names));
    char child[1100];
    struct file *file;
    u64 pos = READDIR_FIRST;

    names->sink.add = add_name;
    if (!k_open(path, O_RDONLY | O_DIRECTORY, 0, &file)) {
        (void)file->inode->ops->iterate(file->inode, &pos, &names->sink);
        file_put(file);
    }
    for (int i = 0; i < names->count; i++) {
        if (names->name[i][0] == '.' && (!names->name[i][1] || names->name[i][1] == '.'))
            continue;
        if (strlen(path) + strlen(names->name[i]) + 2 > sizeof(child))
            continue;
        snprintf(child, sizeof(child), "%s/%s", path, names->name[i]);
        visit(child, depth + 1);
    }
    free(names);
}

static void visit(const char *path, int depth)
{
    struct path found;

    if (depth > DEPTH || ++visits > VISITS || path_lookup_kernel(path, 0, &found))
        return;
    struct inode *inode = found.dentry->inode;
    u32 kind = inode->mode & S_IFMT;
    char target[1024];
    read_attributes(inode);
    if (kind == S_IFLNK)
        FUZZ_ASSERT(inode->ops->readlink(inode, target, sizeof(target)) <= (s64)sizeof(target));
    path_put(&found);
    if (kind == S_IFDIR)
        visit_children(path, depth);
    else if (kind == S_IFREG)
        use_file(path);
}

static void change_names(void)
{
    char name[80];

    for (u32 i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "/many/another-name-that-takes-some-room-%u", i);
        (void)k_touch(name);
    }
    (void)vfs_mkdir("/sub/new", 0755);
    (void)k_rename("/many", "/sub/new/many", 0);
    (void)k_rename("/sparse", "/sub/small", RENAME_EXCHANGE);
    (void)k_unlink("/sub/small");
    (void)k_unlink("/link");
    (void)k_rmdir("/sub");
    set_attribute("/sparse", "user.new", 300);
    set_attribute("/sparse", "user.a", 650);
    write_at("/new", 0, 30000);
}

/* Four bytes: which chunk, where in it and how, and a value. */
static void damage(struct fake_disk *disk, const struct base *base, const u8 *change)
{
    u32 chunk = base->chunks[(u32)(change[0] | change[1] << 8) % base->nr_chunks];
    u8 *at = disk->bytes + (size_t)chunk * CHUNK + change[2] % CHUNK;
    u32 how = change[2] / CHUNK;

    if (how < 5)
        *at = change[3];
    else if (how == 5)
        *at = (u8)(*at + change[3]);
    else if (how == 6)
        memset(at, change[3], 2);
    else
        *at ^= (u8)(1u << change[3] % 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!bases[0].disk)
        make_bases();
    if (!size)
        return 0;
    const struct base *base = &bases[data[0] % BASES];
    struct fake_disk *disk = disk_copy(base->disk);
    disk->no_cache = true;
    for (size_t i = 1, n = 0; i + 4 <= size && n < MAX_CHANGES; i += 4, n++)
        damage(disk, base, data + i);
    struct super_block *sb = mount_disk(disk);
    visits = 0;
    if (sb) {
        visit("/", 0);
        change_names();
        (void)sb->ops->sync(sb);
    }
    let_go(sb);
    disk_free(disk);
    return 0;
}
