/* O_DIRECT: past the page cache, through a buffer of the kernel's.  Coherent with it: dirty pages
 * of the range are written before, and pages that a write made old go after it. */
#include "abi/errno.h"
#include "block/block.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

enum { CHUNK = 128 * 1024 };

/* Move [at, at + len), whole sectors, between @data and the disk; holes read as zero. The gate is
 * held. -ENOTBLK: a write would need blocks. */
static int transfer(struct inode *inode, enum block_op op, u64 at, u8 *data, u64 len)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct block_batch batch;
    int err = 0;

    block_batch_init(&batch, fs->bd, op);
    for (u64 done = 0, n; done < len && !err; done += n) {
        u64 pos = at + done, in_block = pos & (fs->block_size - 1);
        struct ext4_run run;
        u32 block = (u32)(pos >> fs->block_bits);
        mutex_lock(&ei->map_lock);
        err = ext4_map(inode, block, (u32)DIV_UP(in_block + len - done, fs->block_size), &run);
        mutex_unlock(&ei->map_lock);
        if (err)
            break;
        n = min(((u64)run.len << fs->block_bits) - in_block, len - done);
        if (run.state == MAP_WRITTEN)
            block_batch_add(&batch, (run.start << (fs->block_bits - 9)) + in_block / SECTOR_SIZE,
                            data + done, (u32)n);
        else if (op == BLOCK_READ)
            memset(data + done, 0, n);
        else
            err = -ENOTBLK;
    }
    int failed = block_batch_finish(&batch);
    return err ? err : failed;
}

static bool is_aligned(const struct iov_iter *it, u64 at)
{
    return IS_ALIGNED(at | it->left, SECTOR_SIZE) && (it->iov || IS_ALIGNED(it->at, SECTOR_SIZE));
}

ssize_t ext4_direct_read(struct file *file, struct iov_iter *to, u64 at)
{
    struct inode *inode = file->inode;
    struct ext4_inode *ei = ext4_i(inode);
    u64 size = inode->size, done = 0;

    if (!is_aligned(to, at))
        return -EINVAL;
    if (at >= size || !to->left)
        return 0;
    u64 want = min(to->left, size - at);
    int err = ext4_write_pages(inode, at >> PAGE_SHIFT, (at + want) >> PAGE_SHIFT, UINT64_MAX);
    u8 *data = err ? NULL : kmalloc(min(ALIGN_UP(want, SECTOR_SIZE), (u64)CHUNK));
    if (!err && !data)
        err = -ENOMEM;
    while (!err && done < want) {
        u64 n = min(want - done, (u64)CHUNK);
        gate_enter(&ei->gate);
        err = transfer(inode, BLOCK_READ, at + done, data, ALIGN_UP(n, SECTOR_SIZE));
        gate_leave(&ei->gate);
        size_t moved = err ? 0 : iter_write(to, data, n);
        done += moved;
        if (!err && moved < n)
            err = -EFAULT;
    }
    kfree(data);
    return done ? (ssize_t)done : err;
}

/* Is all of the range written blocks inside of the file? */
static bool is_in_place(struct inode *inode, u64 at, u64 len)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    u32 block = (u32)(at >> fs->block_bits), end = (u32)DIV_UP(at + len, fs->block_size);
    struct ext4_run run = {.state = MAP_WRITTEN};

    if (at + len > inode->size)
        return false;
    mutex_lock(&ei->map_lock);
    for (; block < end && run.state == MAP_WRITTEN; block += run.len)
        if (ext4_map(inode, block, end - block, &run))
            run.state = MAP_HOLE;
    mutex_unlock(&ei->map_lock);
    return run.state == MAP_WRITTEN;
}

static int write_chunk(struct inode *inode, u64 at, u8 *data, u64 n)
{
    struct ext4_inode *ei = ext4_i(inode);
    u64 first = at >> PAGE_SHIFT, last = (at + n - 1) >> PAGE_SHIFT;

    gate_enter(&ei->gate);
    int err = transfer(inode, BLOCK_WRITE, at, data, n);
    gate_leave(&ei->gate);
    gate_close(&ei->gate);
    page_cache_remove(&ei->cache, first, last);
    ext4_unreserve(ext4_of(inode->sb), page_cache_take_released(&ei->cache));
    gate_open(&ei->gate);
    inode_forget_mapped(inode, first, last - first + 1);
    return err;
}

ssize_t ext4_direct_write(struct inode *inode, struct iov_iter *from, u64 at)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    u64 want = from->left, done = 0;

    if (!is_aligned(from, at))
        return -EINVAL;
    int err = ext4_write_pages(inode, at >> PAGE_SHIFT, (at + want) >> PAGE_SHIFT, UINT64_MAX);
    if (err)
        return err;
    if (!is_in_place(inode, at, want))
        return -ENOTBLK;
    u8 *data = kmalloc(min(want, (u64)CHUNK));
    if (!data)
        return -ENOMEM;
    while (!err && done < want) {
        u64 n = min(want - done, (u64)CHUNK);
        size_t moved = iter_read(from, data, n);
        n = ALIGN_DOWN(moved, (u64)SECTOR_SIZE);
        err = n ? write_chunk(inode, at + done, data, n) : -EFAULT;
        if (!err)
            done += n;
        if (moved > n)
            break;
    }
    kfree(data);
    __atomic_store_n(&fs->unflushed, true, __ATOMIC_RELEASE);
    if (done) {
        inode_touch(inode, true);
        ext4_inode_dirty(inode, DIRTY_TIMES);
    }
    return done ? (ssize_t)done : err;
}
