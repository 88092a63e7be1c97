/* EROFS images of a tree of the host's, in memory and on a disk, under an overlay; and a storm of
 * calls there and on a tmpfs beside the same calls on a directory of the host's Linux. */
#include "unit/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake/fault.h"
#include "fake/random.h"
#include "fake/vfs_calls.h"
#include "fake/vfs_world.h"
#include "fs/erofs.h"
#include "fs/tmpfs.h"
#include "mm/page.h"
#include "vfs/mount.h"
#include "vfs/page_cache.h"

static bool host_random = true; /* some that do not compress */

/* Bytes that compress well, then words of a small vocabulary, then ones that do not compress. */
static int host_byte(size_t i, size_t size)
{
    u32 place = (u32)(i % 50000), word = ((u32)i / 8 * 2654435761u >> 20) % 200;

    if (size < 30000 || place < 10000)
        return (int)(i * 7 + size) & 0xff;
    u32 mixed = (place < 40000 || !host_random ? word * 8 + (u32)i % 8 : (u32)i) * 2246822519u;
    return (int)((mixed ^ mixed >> 15) * 3266489917u >> 24);
}

static void put_host_file(const char *dir, const char *name, size_t size)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    REQUIRE(file, path);
    for (size_t i = 0; i < size; i++)
        fputc(host_byte(i, size), file);
    fclose(file);
}

/* A tree of the host's: files of all sizes around a block, links, directories. */
static void make_host_tree(char *dir)
{
    static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 8192, 20000, 65000, 300000};
    char path[256], name[32];

    REQUIRE(mkdtemp(dir), "a directory");
    for (u32 i = 0; i < ARRAY_LEN(sizes); i++) {
        snprintf(name, sizeof(name), "f%zu", sizes[i]);
        put_host_file(dir, name, sizes[i]);
    }
    for (int d = 0; d < 4; d++) {
        snprintf(path, sizeof(path), "%s/d%d", dir, d);
        mkdir(path, 0755);
        for (int i = 0; i < (d == 3 ? 400 : 3); i++) {
            snprintf(name, sizeof(name), "d%d/n%d", d, i);
            put_host_file(dir, name, (size_t)i);
        }
    }
    snprintf(path, sizeof(path), "ln -s f100 %s/link; ln %s/f4097 %s/d1/hard", dir, dir, dir);
    REQUIRE(!system(path), "links");
}

static void remove_host_tree(const char *dir)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command))
        perror(command);
}

static void expect_same_file(const char *path, const char *host)
{
    static u8 want[400000], got[400000];
    struct file *file;

    FILE *in = fopen(host, "r");
    REQUIRE(in, host);
    size_t len = fread(want, 1, sizeof(want), in);
    fclose(in);
    if (!EXPECT_EQ(k_open(path, O_RDONLY, 0, &file), 0, path))
        return;
    EXPECT_EQ(file->inode->size, len, path);
    EXPECT_EQ(file_read_kernel(file, got, sizeof(got), 0), len, path);
    EXPECT_MEM(got, want, len, path);
    for (u64 i = 0; i < DIV_UP(len, PAGE_SIZE); i++) { /* as a mapping sees it */
        u64 n = min((u64)len - i * PAGE_SIZE, PAGE_SIZE);
        paddr_t pa = 0;
        EXPECT_EQ(inode_map_page(file->inode, i, false, &pa), 0, path);
        EXPECT_MEM(phys_to_virt(pa), want + i * PAGE_SIZE, n, path);
        for (u64 at = n; at < PAGE_SIZE; at++)
            if (!EXPECT_EQ(((u8 *)phys_to_virt(pa))[at], 0, "behind the end"))
                break;
        if (page_of_phys(pa))
            page_put(page_of_phys(pa));
    }
    file_put(file);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct listing {
    struct dir_sink sink;
    char *names[1000];
    int nr, room;
};

static bool list_add_name(struct dir_sink *sink, const char *name, size_t len, u64 ino,
                          u64 next_pos, u8 dt_type)
{
    struct listing *list = container_of(sink, struct listing, sink);

    (void)ino, (void)next_pos, (void)dt_type;
    if (!list->room--)
        return false;
    list->names[list->nr++] = strndup(name, len);
    return true;
}

static void list_free(struct listing *list)
{
    for (int i = 0; i < list->nr; i++)
        free(list->names[i]);
    list->nr = 0;
}

static void expect_same_dir(const char *path, const char *host)
{
    static struct listing got, want;
    struct dirent *entry;
    struct file *file;

    got.sink.add = list_add_name;
    DIR *dir = opendir(host);
    while ((entry = readdir(dir)))
        want.names[want.nr++] = strdup(entry->d_name);
    closedir(dir);
    if (!EXPECT_EQ(k_open(path, O_RDONLY, 0, &file), 0, path))
        return;
    for (int before = -1; before != got.nr;) { /* in small helpings */
        before = got.nr;
        got.room = 1 + (int)(fake_random() % 5);
        EXPECT_EQ(file_readdir(file, &got.sink), 0, path);
    }
    file_put(file);
    qsort(got.names, (size_t)got.nr, sizeof(char *), by_name);
    qsort(want.names, (size_t)want.nr, sizeof(char *), by_name);
    EXPECT_EQ(got.nr, want.nr, path);
    for (int i = 0; i < got.nr && i < want.nr; i++)
        EXPECT_STR(got.names[i], want.names[i], path);
    list_free(&got);
    list_free(&want);
}

static void expect_same_tree(const char *at, const char *host)
{
    char path[512], host_path[512], target[256], host_target[256];
    struct dirent *entry;
    struct stat st;

    expect_same_dir(at, host);
    DIR *dir = opendir(host);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s%s%s", at, at[1] ? "/" : "", entry->d_name);
        snprintf(host_path, sizeof(host_path), "%s/%s", host, entry->d_name);
        struct path place;
        if (!EXPECT_EQ(path_lookup_kernel(path, 0, &place), 0, path) || lstat(host_path, &st))
            continue;
        struct inode *inode = place.dentry->inode;
        EXPECT_EQ(inode->mode, st.st_mode, path);
        if (!S_ISDIR(st.st_mode))
            EXPECT_EQ(inode->nlink, st.st_nlink, path);
        if (S_ISDIR(st.st_mode))
            expect_same_tree(path, host_path);
        else if (S_ISREG(st.st_mode))
            expect_same_file(path, host_path);
        else if (S_ISLNK(st.st_mode)) {
            ssize_t n = vfs_readlink(&place, target, sizeof(target));
            EXPECT_EQ(n, readlink(host_path, host_target, sizeof(host_target)), path);
            EXPECT_MEM(target, host_target, (size_t)n, path);
        }
        path_put(&place);
    }
    closedir(dir);
}

static void mount_layers(struct super_block *layer)
{
    struct super_block *root = overlay_mount(&layer, 1);

    REQUIRE(root, "an overlay");
    world_mount_root(root);
}

static void compare_images(const char *options, bool disk)
{
    char dir[] = "/tmp/ingot-tree-XXXXXX";
    struct super_block *layer;
    const char *why = "";
    u64 len;

    make_host_tree(dir);
    u8 *image = world_make_erofs(dir, options, &len);
    REQUIRE(image, "mkfs.erofs");
    world_create();
    int err = disk ? erofs_mount_disk(world_disk(image, len), &layer, &why)
                   : erofs_mount_memory(image, len, &layer, &why);
    if (EXPECT_EQ(err, 0, why)) {
        mount_layers(layer);
        expect_same_tree("/", dir);
        expect_same_tree("/", dir); /* again, from the caches */
    }
    remove_host_tree(dir);
}

TEST(an_image_in_memory_shows_what_went_in)
{
    compare_images("", false);
}

TEST(compact_inodes_and_plain_files_too)
{
    compare_images("-T0 -Eforce-inode-compact,noinline_data", false);
}

TEST(chunks_too)
{
    compare_images("--chunksize=4096", false);
}

TEST(an_image_on_a_disk_shows_the_same)
{
    compare_images("", true);
}

TEST(chunks_on_a_disk_too)
{
    compare_images("--chunksize=8192", true);
}

TEST(compressed_files_too)
{
    compare_images("-zlz4hc", false);
}

TEST(compressed_files_with_a_full_index_too)
{
    compare_images("-zlz4 -Elegacy-compress", false);
}

TEST(large_and_packed_clusters_too)
{
    compare_images("-zlz4hc -C65536 -Eztailpacking", false);
}

TEST(lzma_too)
{
    host_random = false;
    compare_images("LZMA -zlz4hc -C8192", false);
    host_random = true;
}

TEST(lzma_with_a_full_index_on_a_disk_too)
{
    host_random = false;
    compare_images("LZMA -zlz4hc -C16384 -Elegacy-compress", true);
    host_random = true;
}

TEST(packed_clusters_with_a_full_index_on_a_disk_too)
{
    compare_images("-zlz4 -Eztailpacking,legacy-compress", true);
}

TEST(compressed_files_on_a_disk_too)
{
    compare_images("-zlz4hc -C8192", true);
}

TEST(damaged_images_are_refused_or_read_with_errors)
{
    char dir[] = "/tmp/ingot-tree-XXXXXX";
    struct super_block *layer;
    const char *why;
    u64 len;

    make_host_tree(dir);
    u8 *image = world_make_erofs(dir, "-T0", &len);
    REQUIRE(image, "mkfs.erofs");
    remove_host_tree(dir);
    world_create();
    EXPECT_EQ(erofs_mount_memory(image, 100, &layer, &why), -EINVAL, "hardly anything");
    EXPECT_EQ(erofs_mount_memory(image, len - 1, &layer, &why), -EUCLEAN, "cut short");
    image[1024 + 80] = 0x40;
    EXPECT_EQ(erofs_mount_memory(image, len, &layer, &why), -EUCLEAN, "the checksum tells");
    image[1024 + 8] = 0; /* without a checksum the feature is looked at */
    EXPECT_EQ(erofs_mount_memory(image, len, &layer, &why), -EOPNOTSUPP, NULL);
    EXPECT_STR(why, "long xattr name prefixes", NULL);
    free(image);
}

/* Bits of newer tools, which Debian's mkfs.erofs (1.5) does not set. */
TEST(features_that_are_lacking_are_named)
{
    static const struct {
        u8 bit;
        const char *why;
    } lacking[] = {
        {0x08, "more than one device or algorithm"},
        {0x20, "compressed files with fragments or shared blocks"},
        {0x40, "long xattr name prefixes"},
        {0x80, "48-bit block addresses"},
    };
    char dir[] = "/tmp/ingot-tree-XXXXXX";
    struct super_block *layer;
    u64 len;

    make_host_tree(dir);
    u8 *image = world_make_erofs(dir, "-T0", &len);
    REQUIRE(image, "mkfs.erofs");
    remove_host_tree(dir);
    world_create();
    image[1024 + 8] = 0; /* no checksum */
    for (u32 i = 0; i < ARRAY_LEN(lacking); i++) {
        const char *why = "";
        image[1024 + 80] = lacking[i].bit;
        EXPECT_EQ(erofs_mount_memory(image, len, &layer, &why), -EOPNOTSUPP, lacking[i].why);
        EXPECT_STR(why, lacking[i].why, NULL);
    }
    free(image);
}

/* Whatever stands in a cluster, reading it ends, with bytes or with an error, and inside of the
 * image, which is a block of memory of its own. */
TEST(damaged_clusters_are_errors)
{
    char dir[] = "/tmp/ingot-tree-XXXXXX";
    struct super_block *layer;
    const char *why = "";
    struct page *page;
    u32 errors = 0;
    u64 len;

    make_host_tree(dir);
    u8 *image = world_make_erofs(dir, "-T0 -zlz4hc -C65536 -Eztailpacking", &len);
    REQUIRE(image, "mkfs.erofs");
    remove_host_tree(dir);
    world_create();
    if (EXPECT_EQ(erofs_mount_memory(image, len, &layer, &why), 0, why)) {
        world_mount_root(layer);
        for (u32 round = 0; round < 60; round++) {
            struct file *file;
            for (u32 i = 0; i < 200; i++)
                image[4096 + fake_random() % (len - 4096)] = (u8)fake_random();
            if (k_open("/f300000", O_RDONLY, 0, &file))
                continue; /* its inode is among what was hit */
            for (u32 i = 0; i < 74; i++) {
                int err = inode_get_page(file->inode, i, &page);
                errors += err == -EUCLEAN;
                if (err)
                    EXPECT_EQ(err, -EUCLEAN, "the one error");
                else
                    page_put(page);
            }
            file_put(file);
            page_cache_remove(file->inode->pages, 0, UINT64_MAX);
        }
        EXPECT_TRUE(errors > 0, "some are noticed");
    }
    free(image);
}

static struct super_block *make_layer(const char *commands)
{
    char dir[] = "/tmp/ingot-layer-XXXXXX", command[1024];
    struct super_block *layer;
    const char *why = "mkfs.erofs";
    u64 len;

    REQUIRE(mkdtemp(dir), "a directory");
    snprintf(command, sizeof(command), "cd %s && %s", dir, commands);
    REQUIRE(!system(command), command);
    u8 *image = world_make_erofs(dir, "-T0", &len);
    REQUIRE(image && !erofs_mount_memory(image, len, &layer, &why), why);
    remove_host_tree(dir);
    return layer;
}

static u64 number_of(const char *path)
{
    struct path at;

    if (path_lookup_kernel(path, 0, &at))
        return 0;
    u64 ino = at.dentry->inode->ino;
    path_put(&at);
    return ino;
}

TEST(layers_merge_hide_and_white_out)
{
    char dir[] = "/tmp/ingot-merged-XXXXXX", command[512];

    world_create();
    struct super_block *layers[3];
    layers[2] = make_layer("mkdir -p a b/s c && echo 1 >a/x && echo 1 >a/y && echo 1 >b/z && "
                           "echo 1 >c/w && echo 1 >f");
    layers[1] = make_layer("mkdir -p a d && echo 22 >a/x && echo 22 >a/n && echo 22 >c && "
                           "mknod b c 0 0");
    layers[0] = make_layer("mkdir -p a b f && echo 333 >b/new && mknod a/y c 0 0");
    struct super_block *root = overlay_mount(layers, 3);
    REQUIRE(root, "an overlay");
    world_mount_root(root);
    REQUIRE(mkdtemp(dir), "a directory");
    snprintf(command, sizeof(command),
             "cd %s && mkdir a b d f && echo 22 >a/x && echo 22 >a/n && echo 22 >c && "
             "echo 333 >b/new",
             dir);
    REQUIRE(!system(command), command);
    expect_same_tree("/", dir);

    u64 number = number_of("/a/x");
    EXPECT_EQ(k_rename("/a", "/moved", 0), 0, "a directory of the layers");
    EXPECT_EQ(number_of("/moved/x"), number, "and what is in it stays what it is");
    EXPECT_EQ(vfs_mkdir("/a", 0755), 0, NULL);
    EXPECT_EQ(k_find("/a/x", 0), -ENOENT, "a new one of the name is empty");
    EXPECT_EQ(k_unlink("/moved/n"), 0, NULL);
    dentry_shrink(UINT64_MAX);
    EXPECT_EQ(k_find("/moved/n", 0), -ENOENT, "stays away");
    EXPECT_EQ(k_find("/moved/x", 0), 0, NULL);
    snprintf(command, sizeof(command), "cd %s && mv a moved && mkdir a && rm moved/n", dir);
    REQUIRE(!system(command), command);
    expect_same_tree("/", dir);
    remove_host_tree(dir);
}

/* ---- the storm: the same calls here and on Linux ---- */

enum { STORM_CALLS = 6000 };

static const char *const storm_names[] = {
    "d0",     "d1",       "d2",     "d3",     "f1",      "f100",  "f4097", "f20000",
    "link",   "new1",     "new2",   "d0/n1",  "d1/hard", "d1/n2", "d2/a",  "d2/b",
    "d0/sub", "d0/sub/x", "new1/y", "d1/new", "d3/n7",   "link/z"};

static const char *storm_name(void)
{
    return storm_names[fake_random() % ARRAY_LEN(storm_names)];
}

static int host_result(int result)
{
    return result < 0 ? -errno : 0;
}

static ssize_t host_write(const char *path, int flags, const void *data, size_t n, off_t pos)
{
    int fd = open(path, flags, 0644);

    if (fd < 0)
        return -errno;
    ssize_t done = n ? pwrite(fd, data, n, pos) : 0;
    done = done < 0 ? -errno : done;
    close(fd);
    return done;
}

static ssize_t guest_write(const char *path, int flags, const void *data, size_t n, off_t pos)
{
    struct file *file;
    int err = k_open(path, flags, 0644, &file);

    if (err)
        return err;
    ssize_t done = n ? k_write(file, data, n, pos) : 0;
    file_put(file);
    return done;
}

static int guest_truncate(const char *path, u64 size)
{
    struct path at;
    int err = path_lookup_kernel(path, LOOKUP_FOLLOW, &at);

    if (err)
        return err;
    u32 mode = at.dentry->inode->mode;
    err = S_ISDIR(mode) ? -EISDIR : vfs_truncate(at.dentry->inode, size);
    path_put(&at);
    return err;
}

static int guest_chmod(const char *path, u32 mode)
{
    struct inode_attr attr = {.valid = ATTR_MODE, .mode = mode};
    struct path at;
    int err = path_lookup_kernel(path, LOOKUP_FOLLOW, &at);

    if (err)
        return err;
    err = vfs_setattr(&at, &attr);
    path_put(&at);
    return err;
}

struct call {
    int op;
    const char *a, *b;
    size_t n;
    off_t pos;
    u8 data[9000];
};

static struct call *random_call(int nr)
{
    static struct call call;

    call.a = storm_name();
    call.b = storm_name();
    call.n = fake_random() % sizeof(call.data);
    call.pos = (off_t)(fake_random() % 20000);
    call.op = (int)(fake_random() % 12);
    memset(call.data, nr, sizeof(call.data));
    return &call;
}

static ssize_t guest_call(const struct call *c)
{
    switch (c->op) {
    case 0:
        return vfs_mkdir(c->a, 0755);
    case 1:
        return k_rmdir(c->a);
    case 2:
        return k_unlink(c->a);
    case 3:
    case 4:
        return k_rename(c->a, c->b, 0);
    case 5:
        return k_rename(c->a, c->b, RENAME_EXCHANGE);
    case 6:
        return k_link(c->a, c->b);
    case 7:
        return k_symlink("f100", c->a);
    case 8:
        return guest_truncate(c->a, (u64)c->pos);
    case 9:
        return guest_chmod(c->a, (u32)c->pos & 0777);
    default:
        return guest_write(c->a, c->op == 10 ? O_RDWR : O_RDWR | O_CREAT, c->data, c->n, c->pos);
    }
}

static ssize_t host_call(const struct call *c)
{
    switch (c->op) {
    case 0:
        return host_result(mkdir(c->a, 0755));
    case 1:
        return host_result(rmdir(c->a));
    case 2:
        return host_result(unlink(c->a));
    case 3:
    case 4:
        return host_result(rename(c->a, c->b));
    case 5:
        return host_result(renameat2(AT_FDCWD, c->a, AT_FDCWD, c->b, RENAME_EXCHANGE));
    case 6:
        return host_result(linkat(AT_FDCWD, c->a, AT_FDCWD, c->b, 0));
    case 7:
        return host_result(symlink("f100", c->a));
    case 8:
        return host_result(truncate(c->a, c->pos));
    case 9:
        return host_result(chmod(c->a, (mode_t)c->pos & 0777));
    default:
        return host_write(c->a, c->op == 10 ? O_RDWR : O_RDWR | O_CREAT, c->data, c->n, c->pos);
    }
}

/* One random call on both; the results must be the same.  @nth: so many allocations on memory is
 * short, 0: it never is; a call that could not be made for that has changed nothing, and a write is
 * as short as it says. */
static void storm_call(int nr, u32 nth)
{
    struct fault fault = {.nth = nth - 1, .err = -1}, none = {.nth = 1};
    struct call *call = random_call(nr);
    char what[160];

    if (nth && call->op == 11)
        call->n = 0; /* made is made, whatever becomes of what is written then */
    if (nth)
        (void)fault_arm(&fault);
    ssize_t guest = guest_call(call);
    (void)fault_arm(&none);
    bool failed = nth && fault.err;
    if (failed && (guest == -ENOMEM || guest == -ENOSPC))
        return;
    if (failed && guest > 0)
        call->n = (size_t)guest;
    ssize_t host = host_call(call);
    snprintf(what, sizeof(what), "call %d: op %d %s %s, failed: %s %u", nr, call->op, call->a,
             call->b, failed ? fault.what : "nothing", nth);
    EXPECT_EQ(guest, host, what);
}

static void storm(bool layered, bool short_of_memory)
{
    char dir[] = "/tmp/ingot-storm-XXXXXX";
    struct super_block *layer;
    const char *why;
    u64 len;

    umask(0);
    init_fs_context.umask = 0;
    make_host_tree(dir);
    u8 *image = world_make_erofs(dir, "-T0", &len);
    REQUIRE(image, "mkfs.erofs");
    world_create();
    if (layered) {
        REQUIRE(!erofs_mount_memory(image, len, &layer, &why), why);
        mount_layers(layer);
    } else {
        free(image);
        world_mount_root(tmpfs_mount());
        remove_host_tree(dir);
        mkdir(dir, 0755);
    }
    REQUIRE(!chdir(dir), dir);
    for (int i = 0; i < STORM_CALLS; i++) {
        storm_call(i, short_of_memory ? 1 + (u32)(fake_random() % 6) : 0);
        if (i % 500 == 0)
            dentry_shrink(i % 1000 ? UINT64_MAX : 10);
        if (i % 300 == 0)
            expect_same_tree("/", ".");
    }
    expect_same_tree("/", ".");
    remove_host_tree(dir);
}

TEST(a_storm_on_tmpfs_is_as_on_linux)
{
    storm(false, false);
}

TEST(a_storm_on_the_overlay_is_as_on_linux)
{
    storm(true, false);
}

TEST(a_storm_on_tmpfs_short_of_memory_does_what_it_says)
{
    storm(false, true);
}

TEST(a_storm_on_the_overlay_short_of_memory_does_what_it_says)
{
    storm(true, true);
}
