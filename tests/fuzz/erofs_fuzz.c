/* An EROFS image in memory: mounted, walked, every inode read in every way. */
#include "fuzz/fuzz.h"

#include "abi/errno.h"
#include "fake/machine.h"
#include "fs/erofs.h"
#include "mm/heap.h"
#include "mm/page_priv.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/writeback.h"

enum { DEPTH = 4, NAMES = 24, VISITS = 200 };

/* The first names of a directory. */
struct names {
    struct dir_sink sink;
    char name[NAMES][256];
    size_t len[NAMES];
    int count;
};

static int visits;

/* Nothing here is ever written. */
void writeback_count(s64 pages)
{
    FUZZ_ASSERT(pages == 0);
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
    names->len[names->count++] = len;
    return true;
}

static void read_attributes(struct inode *inode)
{
    char list[512], value[256];
    ssize_t len = inode->ops->listxattr(inode, list, sizeof(list) - 1);

    FUZZ_ASSERT(len <= (ssize_t)sizeof(list) - 1);
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1) {
        list[len] = 0;
        inode->ops->getxattr(inode, list + at, value, sizeof(value));
    }
    inode->ops->getxattr(inode, "user.none", value, sizeof(value));
}

/* What is not there as it is comes in pages: the first ones, and the last. */
static void read_pages(struct inode *inode)
{
    u64 last = (inode->size - 1) / PAGE_SIZE;
    struct page *page;

    for (u64 i = 0; i < 20; i++)
        if (!inode_get_page(inode, i == 19 ? last : min(i * 3, last), &page))
            page_put(page);
}

/* Every byte that the file lets us see must be ours. */
static void read_file(struct inode *inode)
{
    volatile u8 sum = 0;
    u64 len;

    for (u64 at = 0, n = 0; at < inode->size && n < 64; at += len, n++) {
        const u8 *bytes = inode->ops->direct(inode, at, &len);
        if (!bytes) {
            read_pages(inode);
            return;
        }
        FUZZ_ASSERT(len > 0);
        sum = (u8)(sum + bytes[0] + bytes[min(len, inode->size - at) - 1]);
    }
}

static void read_link(struct inode *inode)
{
    char small[3], *target = malloc(4096);

    FUZZ_ASSERT(inode->ops->readlink(inode, target, 4096) <= 4096);
    FUZZ_ASSERT(inode->ops->readlink(inode, small, sizeof(small)) <= (ssize_t)sizeof(small));
    free(target);
}

static void visit(struct inode *inode, int depth);

static void visit_children(struct inode *dir, int depth)
{
    struct names *names = calloc(1, sizeof(*names));
    struct inode *child;
    u64 pos = READDIR_FIRST;

    names->sink.add = add_name;
    dir->ops->iterate(dir, &pos, &names->sink);
    for (int i = 0; i < names->count; i++) {
        if (dir->ops->lookup(dir, names->name[i], names->len[i], &child))
            continue;
        visit(child, depth + 1);
        inode_put(child);
    }
    if (!dir->ops->lookup(dir, "no such name", 12, &child))
        inode_put(child);
    free(names);
}

static void visit(struct inode *inode, int depth)
{
    if (depth > DEPTH || ++visits > VISITS)
        return;
    read_attributes(inode);
    if ((inode->mode & S_IFMT) == S_IFDIR)
        visit_children(inode, depth);
    else if ((inode->mode & S_IFMT) == S_IFREG)
        read_file(inode);
    else if ((inode->mode & S_IFMT) == S_IFLNK)
        read_link(inode);
}

static void start_machine(void)
{
    static const struct mem_region regions[] = {{.base = 1 << 20, .len = 64 << 20}};
    static bool started;

    if (started)
        return;
    FUZZ_ASSERT(!machine_create(regions, 1));
    heap_init();
    started = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct super_block *sb;
    const char *why = NULL;
    u8 *image = aligned_alloc(4096, (size + 4095) / 4096 * 4096 + 4096);
    u8 *base = image + (4096 - size % 4096) % 4096; /* ends where the block ends */

    start_machine();
    memcpy(base, data, size);
    if (size > 1024 + 16)
        base[1024 + 8] &= 0xfe; /* no checksum of the super block, or all would end there */
    erofs_image_size(base, size);
    int err = erofs_mount_memory(base, size, &sb, &why);
    FUZZ_ASSERT(!err || why || err == -ENOMEM);
    if (!err) {
        visits = 0;
        visit(sb->root->inode, 0);
        super_destroy(sb);
    }
    free(image);
    return 0;
}
