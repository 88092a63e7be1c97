/* Metadata blocks in memory, by number.  A clean block may go when memory is wanted; one that a
 * transaction has, or that is not at its place yet, stays. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/panic.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

enum { LEAST_BUFS = 64, MEMORY_SHARE = 16 };

static struct spinlock all_lock; /* of the list of file systems; before a buf_lock */
static struct list_head all = LIST_INIT(all);

static struct ext4_buf **bucket_of(struct ext4_fs *fs, u64 block)
{
    return &fs->buckets[(block * 0x9e3779b97f4a7c15ull >> 40) % EXT4_BUF_BUCKETS];
}

static bool is_held(const struct ext4_buf *buf)
{
    return buf->refs || __atomic_load_n(&buf->flags, __ATOMIC_RELAXED) & (BUF_HOME | BUF_TX);
}

/* Out of the table.  Locked. */
static void unhash(struct ext4_fs *fs, struct ext4_buf *buf)
{
    struct ext4_buf **link = bucket_of(fs, buf->block);

    while (*link != buf)
        link = &(*link)->hash_next;
    *link = buf->hash_next;
    list_remove(&buf->lru);
    fs->nr_bufs--;
}

static void buf_free(struct ext4_buf *buf)
{
    kfree(buf->data);
    kfree(buf);
}

/* Up to @want buffers that nobody holds, by a clock. */
static u64 shrink_fs(struct ext4_fs *fs, u64 want)
{
    struct list_head gone = LIST_INIT(gone);
    struct ext4_buf *buf, *next;
    u64 freed = 0;

    spin_lock(&fs->buf_lock);
    u32 left = fs->nr_bufs;
    list_for_each_safe(buf, next, &fs->bufs, lru)
    {
        if (freed >= want || !left--)
            break;
        if (is_held(buf))
            continue;
        if (buf->flags & BUF_USED) {
            __atomic_and_fetch(&buf->flags, ~(u32)BUF_USED, __ATOMIC_RELAXED);
            list_remove(&buf->lru);
            list_add_tail(&fs->bufs, &buf->lru);
            continue;
        }
        unhash(fs, buf);
        list_add(&gone, &buf->lru);
        freed++;
    }
    spin_unlock(&fs->buf_lock);
    list_for_each_safe(buf, next, &gone, lru)
    {
        buf_free(buf);
    }
    return freed;
}

static u64 shrink_all(u64 want)
{
    struct ext4_fs *fs;
    u64 freed = 0;

    spin_lock(&all_lock);
    list_for_each(fs, &all, all_node)
        freed += shrink_fs(fs, want);
    spin_unlock(&all_lock);
    return freed;
}

void buf_init(struct ext4_fs *fs)
{
    static struct shrinker shrinker = {.shrink = shrink_all};
    u64 bytes = page_total() * PAGE_SIZE / MEMORY_SHARE;

    spin_init(&fs->buf_lock);
    list_init(&fs->bufs);
    fs->max_bufs = (u32)max(bytes / fs->block_size, (u64)LEAST_BUFS);
    if (!shrinker.node.next)
        page_register_shrinker(&shrinker);
    spin_lock(&all_lock);
    list_add_tail(&all, &fs->all_node);
    spin_unlock(&all_lock);
}

void buf_fini(struct ext4_fs *fs)
{
    struct ext4_buf *buf, *next;

    spin_lock(&all_lock);
    list_remove(&fs->all_node);
    spin_unlock(&all_lock);
    list_for_each_safe(buf, next, &fs->bufs, lru)
    {
        list_remove(&buf->lru);
        buf_free(buf);
    }
}

static struct ext4_buf *find_locked(struct ext4_fs *fs, u64 block)
{
    struct ext4_buf *buf = *bucket_of(fs, block);

    while (buf && buf->block != block)
        buf = buf->hash_next;
    if (buf) {
        buf->refs++;
        if (!(buf->flags & BUF_USED))
            __atomic_or_fetch(&buf->flags, BUF_USED, __ATOMIC_RELAXED);
    }
    return buf;
}

struct ext4_buf *buf_find(struct ext4_fs *fs, u64 block)
{
    spin_lock(&fs->buf_lock);
    struct ext4_buf *buf = find_locked(fs, block);
    spin_unlock(&fs->buf_lock);
    return buf;
}

static struct ext4_buf *buf_create(struct ext4_fs *fs, u64 block)
{
    struct ext4_buf *buf = kzalloc(sizeof(*buf));

    if (!buf)
        return NULL;
    buf->data = kmalloc(fs->block_size);
    if (!buf->data) {
        kfree(buf);
        return NULL;
    }
    buf->block = block;
    buf->refs = 1;
    list_init(&buf->lru);
    list_init(&buf->tx);
    list_init(&buf->home);
    mutex_init(&buf->lock);
    return buf;
}

/* The block's buffer, valid or not, with a reference. */
static struct ext4_buf *buf_lookup(struct ext4_fs *fs, u64 block)
{
    struct ext4_buf *buf = buf_find(fs, block), *made;

    if (likely(buf != NULL))
        return buf;
    if (fs->nr_bufs >= fs->max_bufs)
        (void)shrink_fs(fs, fs->nr_bufs - fs->max_bufs + 8); /* a limit that may be exceeded */
    made = buf_create(fs, block);
    if (!made)
        return NULL;
    spin_lock(&fs->buf_lock);
    buf = find_locked(fs, block);
    if (!buf) {
        made->hash_next = *bucket_of(fs, block);
        *bucket_of(fs, block) = made;
        list_add_tail(&fs->bufs, &made->lru);
        fs->nr_bufs++;
    }
    spin_unlock(&fs->buf_lock);
    if (!buf)
        return made;
    buf_free(made);
    return buf;
}

void buf_put(struct ext4_fs *fs, struct ext4_buf *buf)
{
    if (!buf)
        return;
    spin_lock(&fs->buf_lock);
    assert(buf->refs);
    buf->refs--;
    spin_unlock(&fs->buf_lock);
}

static u64 sector_of(const struct ext4_fs *fs, u64 block)
{
    return block << (fs->block_bits - 9);
}

static int fill(struct ext4_fs *fs, struct ext4_buf *buf)
{
    int err = 0;

    mutex_lock(&buf->lock);
    if (!(buf->flags & BUF_VALID))
        err =
            block_read(fs->bd, sector_of(fs, buf->block), buf->data, fs->block_size / SECTOR_SIZE);
    if (!err)
        __atomic_or_fetch(&buf->flags, BUF_VALID, __ATOMIC_RELEASE);
    mutex_unlock(&buf->lock);
    return err;
}

int buf_read(struct ext4_fs *fs, u64 block, struct ext4_buf **out)
{
    if (unlikely(block >= fs->nr_blocks))
        return -EUCLEAN;
    struct ext4_buf *buf = buf_lookup(fs, block);
    if (!buf)
        return -ENOMEM;
    int err =
        likely(__atomic_load_n(&buf->flags, __ATOMIC_ACQUIRE) & BUF_VALID) ? 0 : fill(fs, buf);
    if (err)
        buf_put(fs, buf);
    else
        *out = buf;
    return err;
}

int buf_read_kind(struct ext4_fs *fs, u64 block, enum ext4_kind kind, u32 seed,
                  struct ext4_buf **out)
{
    struct ext4_buf *buf;
    int err = buf_read(fs, block, &buf);

    if (err)
        return err;
    if (likely(buf->flags & BUF_CHECKED && buf->kind == kind)) {
        *out = buf;
        return 0;
    }
    if (!(buf->flags & (BUF_TX | BUF_HOME)) && !ext4_csum_ok(fs, buf, kind, seed)) {
        buf_put(fs, buf);
        ext4_error(fs, "block %llu: wrong checksum", (unsigned long long)block);
        return -EUCLEAN;
    }
    buf->kind = (u8)kind;
    buf->seed = seed;
    __atomic_or_fetch(&buf->flags, BUF_CHECKED, __ATOMIC_RELAXED);
    *out = buf;
    return 0;
}

int buf_new(struct ext4_fs *fs, u64 block, struct ext4_buf **out)
{
    struct ext4_buf *buf = buf_lookup(fs, block);

    if (!buf)
        return -ENOMEM;
    memset(buf->data, 0, fs->block_size);
    __atomic_and_fetch(&buf->flags, ~(u32)BUF_CHECKED, __ATOMIC_RELAXED);
    __atomic_or_fetch(&buf->flags, BUF_VALID, __ATOMIC_RELEASE);
    *out = buf;
    return 0;
}

int buf_write_home(struct ext4_fs *fs, struct ext4_buf *buf)
{
    int err =
        block_write(fs->bd, sector_of(fs, buf->block), buf->data, fs->block_size / SECTOR_SIZE);
    return err ? err : block_flush(fs->bd);
}
