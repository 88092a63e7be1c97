/* Regular files: reading and writing through the page cache, mappings, the calls of a file.
 * A write changes pages and promises blocks to them; places are chosen when they are written back.
 */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/page.h"
#include "vfs/errseq.h"

enum { THROTTLE_PAGES = 1024 };

static u64 max_size(const struct inode *inode)
{
    return min((u64)UINT32_MAX << ext4_of(inode->sb)->block_bits, (u64)INT64_MAX);
}

/* Blocks of the page that have no place yet. */
static int count_holes(struct inode *inode, u64 index, u32 *holes)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    u32 bits = PAGE_SHIFT - fs->block_bits, at = (u32)(index << bits), end = at + (1u << bits);
    struct ext4_run run;
    int err = 0;

    *holes = 0;
    mutex_lock(&ei->map_lock);
    for (; at < end && !err; at += run.len) {
        err = ext4_map(inode, at, end - at, &run);
        if (!err && run.state == MAP_HOLE)
            *holes += run.len;
    }
    mutex_unlock(&ei->map_lock);
    return err;
}

static inline bool is_dirty_with_blocks(const struct page *page)
{
    return page->flags & PAGE_DIRTY && (page->flags & PAGE_BLOCKS || page->spare);
}

int ext4_dirty_page(struct inode *inode, struct page *page)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    u32 holes = 0;

    if (likely(is_dirty_with_blocks(page)))
        return 0;
    int err = ext4_check_writable(fs);
    if (!err && !(page->flags & PAGE_BLOCKS) && !page->spare) {
        err = count_holes(inode, page->index, &holes);
        if (!err && holes)
            err = ext4_reserve(fs, holes);
        else if (!err)
            __atomic_or_fetch(&page->flags, PAGE_BLOCKS, __ATOMIC_RELAXED);
    }
    if (err)
        return err == -EUCLEAN ? -EIO : err;
    if (!page_cache_mark_dirty(&ei->cache, page, (u8)holes) && holes)
        ext4_unreserve(fs, holes);
    return 0;
}

/* Into a page that is dirty and has, or was promised, its blocks. */
static inline ssize_t fill_page(struct inode *inode, struct page *page, struct iov_iter *from,
                                u64 offset, u64 n)
{
    size_t moved = iter_read(from, (u8 *)page_to_virt(page) + offset, n);
    if (unlikely(!(page->flags & PAGE_DIRTY))) /* write-back took it before the bytes were there */
        (void)page_cache_mark_dirty(&ext4_i(inode)->cache, page, 0);
    return likely(moved) ? (ssize_t)moved : -EFAULT;
}

/* Into a page that is in the cache. */
static ssize_t write_cached(struct inode *inode, struct page *page, struct iov_iter *from,
                            u64 offset, u64 n)
{
    int err = ext4_dirty_page(inode, page);

    return unlikely(err) ? err : fill_page(inode, page, from, offset, n);
}

/* Into a page that is not, and whose bytes on the disk do not matter: filled before anybody can see
 * it.  -EAGAIN: do it the other way. */
static ssize_t write_new(struct inode *inode, u64 index, struct iov_iter *from, u64 offset, u64 n)
{
    struct ext4_inode *ei = ext4_i(inode);
    bool past_end = index << PAGE_SHIFT >= inode->size;
    struct page *page = page_alloc(0, n == PAGE_SIZE ? 0 : PAGE_ZERO);

    if (!page)
        return -ENOMEM;
    size_t moved = iter_read(from, (u8 *)page_to_virt(page) + offset, n);
    ssize_t result = (ssize_t)moved;
    if (!moved)
        result = -EFAULT;
    else if (moved < n && !past_end)
        result = -EAGAIN;
    else if (moved < n)
        memset((u8 *)page_to_virt(page) + offset + moved, 0, PAGE_SIZE - offset - moved);
    if (result > 0) {
        int err = page_cache_insert(&ei->cache, index, page);
        if (!err)
            err = ext4_dirty_page(inode, page);
        if (err && err != -EEXIST)
            page_cache_remove(&ei->cache, index, index);
        if (err)
            result = err == -EEXIST ? -EAGAIN : err;
    }
    if (result < 0)
        iter_revert(from, moved);
    page_put(page);
    return result;
}

static ssize_t write_page(struct inode *inode, struct iov_iter *from, u64 at, u64 n)
{
    struct ext4_inode *ei = ext4_i(inode);
    u64 index = at >> PAGE_SHIFT, offset = at & (PAGE_SIZE - 1);
    struct page *page = page_cache_find(&ei->cache, index);
    ssize_t moved = -EAGAIN;

    if (unlikely(!page)) {
        if (n == PAGE_SIZE || index << PAGE_SHIFT >= inode->size)
            moved = write_new(inode, index, from, offset, n);
        if (moved != -EAGAIN)
            return moved;
        int err = ext4_get_page(inode, index, &page);
        if (err)
            return err == -EFAULT ? -EIO : err;
    }
    moved = write_cached(inode, page, from, offset, n);
    page_put(page);
    return moved;
}

/* What most writes of a database are: inside of one page that is dirty already. -EAGAIN: another
 * one. */
static inline ssize_t write_again(struct inode *inode, struct iov_iter *from, u64 at)
{
    u64 offset = at & (PAGE_SIZE - 1), n = from->left;

    if (unlikely(offset + n > PAGE_SIZE || at + n > inode->size))
        return -EAGAIN;
    struct page *page = page_cache_find(&ext4_i(inode)->cache, at >> PAGE_SHIFT);
    ssize_t moved = -EAGAIN;
    if (unlikely(!page))
        return moved;
    if (likely(is_dirty_with_blocks(page)))
        moved = fill_page(inode, page, from, offset, n);
    page_put(page);
    return moved;
}

static __attribute__((noinline)) ssize_t write_pages(struct inode *inode, struct iov_iter *from,
                                                     u64 at)
{
    u64 done = 0, want = from->left, size = inode->size;
    ssize_t n = 0;

    if (at >> PAGE_SHIFT > size >> PAGE_SHIFT && size & (PAGE_SIZE - 1))
        n = ext4_zero_tail(inode, size);
    while (done < want && n >= 0) {
        u64 pos = at + done;
        u64 chunk = min(PAGE_SIZE - (pos & (PAGE_SIZE - 1)), want - done);
        n = write_page(inode, from, pos, chunk);
        if (n < 0)
            break;
        done += (u64)n;
        if (pos + (u64)n > inode->size)
            __atomic_store_n(&inode->size, pos + (u64)n, __ATOMIC_RELEASE);
        if ((u64)n < chunk)
            break;
    }
    return done ? (ssize_t)done : n;
}

ssize_t ext4_write_buffered(struct inode *inode, struct iov_iter *from, u64 at)
{
    ssize_t n = write_again(inode, from, at);

    if (unlikely(n == -EAGAIN))
        n = write_pages(inode, from, at);
    if (likely(n > 0)) {
        inode_touch(inode, true);
        ext4_inode_dirty(inode, DIRTY_TIMES);
    }
    return n;
}

static ssize_t write_locked(struct file *file, struct iov_iter *from, u64 at)
{
    struct inode *inode = file->inode;

    if (unlikely(at + from->left > inode->size)) { /* no sum of the two wraps */
        if (at >= max_size(inode))
            return -EFBIG;
        from->left = min(from->left, max_size(inode) - at);
    }
    int err = ext4_check_writable(ext4_of(inode->sb));
    if (err)
        return err;
    if (unlikely(file->flags & O_DIRECT)) {
        u64 want = from->left;
        ssize_t n = ext4_direct_write(inode, from, at);
        if (n != -ENOTBLK)
            return n;
        n = ext4_write_buffered(inode, from, at);
        if (n <= 0)
            return n;
        err = ext4_write_pages(inode, at >> PAGE_SHIFT, (at + want) >> PAGE_SHIFT, UINT64_MAX);
        return err ? err : n;
    }
    return ext4_write_buffered(inode, from, at);
}

/* Who writes faster than the disk waits for it. */
static __attribute__((noinline)) void throttle(struct inode *inode)
{
    if (!writeback_over_limit())
        return;
    (void)ext4_write_pages(inode, 0, UINT64_MAX, THROTTLE_PAGES); /* fsync tells of a failure */
    if (writeback_over_limit())
        (void)writeback_wait(); /* others' pages */
}

static ssize_t file_write_(struct file *file, struct iov_iter *from, s64 *pos)
{
    struct inode *inode = file->inode;

    if (!from->left)
        return 0;
    mutex_lock(&inode->lock);
    u64 at = file->flags & O_APPEND ? inode->size : (u64)*pos;
    ssize_t n = write_locked(file, from, at);
    mutex_unlock(&inode->lock);
    if (n <= 0)
        return n;
    *pos = (s64)at + n;
    if (unlikely(file->flags & (O_DSYNC | O_SYNC))) {
        int err = file->ops->sync(file, (file->flags & O_SYNC) != O_SYNC);
        return err ? err : n;
    }
    if (unlikely(writeback_over_background()))
        throttle(inode);
    return n;
}

static ssize_t file_read_(struct file *file, struct iov_iter *to, s64 *pos)
{
    struct inode *inode = file->inode;
    u64 at = (u64)*pos, in_page = at & (PAGE_SIZE - 1);
    u64 size = __atomic_load_n(&inode->size, __ATOMIC_RELAXED);
    ssize_t n = -EAGAIN;

    if (unlikely(at >= size))
        return 0;
    u64 want = min(to->left, size - at);
    if (unlikely(file->flags & O_DIRECT))
        n = ext4_direct_read(file, to, at);
    else if (likely(in_page + want <= PAGE_SIZE)) /* what most reads are: of one cached page */
        n = page_cache_read(&ext4_i(inode)->cache, at >> PAGE_SHIFT, in_page, to, want);
    if (unlikely(n <= 0)) {
        if (!(file->flags & O_DIRECT))
            n = inode_read(inode, to, at);
        if (n <= 0)
            return n;
    }
    *pos = (s64)at + n;
    return n;
}

static int file_sync(struct file *file, bool data_only)
{
    int err = ext4_fsync_inode(file->inode, data_only);
    int told = errseq_take(&ext4_i(file->inode)->cache.error, &file->error_seen);

    return told ? told : err;
}

static int file_truncate(struct file *file, u64 size)
{
    mutex_lock(&file->inode->lock);
    int err = ext4_truncate(file->inode, size);
    mutex_unlock(&file->inode->lock);
    return err;
}

/* The first byte of data, or of a hole, at or after @offset. Everything has a place by now. */
static s64 seek_in_map(struct inode *inode, u64 offset, bool hole)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_run run;
    u64 at = offset;

    mutex_lock(&ei->map_lock);
    while (at < inode->size) {
        u32 block = (u32)(at >> fs->block_bits);
        int err = ext4_map(inode, block, EXT4_END_BLOCK - block, &run);
        if (err) {
            mutex_unlock(&ei->map_lock);
            return err;
        }
        if ((run.state != MAP_WRITTEN) == hole)
            break;
        at = ((u64)block + run.len) << fs->block_bits;
    }
    mutex_unlock(&ei->map_lock);
    if (at >= inode->size)
        return hole ? (s64)inode->size : -ENXIO;
    return (s64)at;
}

static s64 file_seek(struct file *file, s64 offset, int whence)
{
    struct inode *inode = file->inode;

    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return generic_file_seek(file, offset, whence);
    if (offset < 0 || (u64)offset >= inode->size)
        return -ENXIO;
    int err = ext4_write_pages(inode, 0, UINT64_MAX, UINT64_MAX);
    s64 found = err ? err : seek_in_map(inode, (u64)offset, whence == SEEK_HOLE);
    if (found >= 0)
        file->pos = found;
    return found;
}

static int file_mmap(struct file *file, u32 prot, u32 flags)
{
    (void)file, (void)prot, (void)flags;
    return 0;
}

/* What has no name any more goes with its last file, not with the next write-back. */
static void file_release_(struct file *file)
{
    if (unlikely(!file->inode->nlink))
        ext4_inode_undirty(file->inode);
}

const struct file_ops ext4_file_ops = {
    .release = file_release_,
    .read = file_read_,
    .write = file_write_,
    .seek = file_seek,
    .sync = file_sync,
    .truncate = file_truncate,
    .allocate = ext4_allocate,
    .ioctl = ext4_ioctl,
    .mmap = file_mmap,
};

static int file_open(struct inode *inode, struct file *file)
{
    file->backing.ops = &tracked_backing_ops;
    file->error_seen = errseq_sample(&ext4_i(inode)->cache.error);
    return 0;
}

/* With mm->lock held.  A shared mapping that is about to be written: the page gets its blocks
 * promised, and is dirty from now on. */
static int map_page(struct inode *inode, u64 index, bool write, paddr_t *pa)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct page *page;

    gate_enter(&ei->gate);
    int err = ext4_fill_page(inode, index, &page);
    if (!err && write) {
        __atomic_or_fetch(&page->flags, PAGE_MAPPED_WRITE, __ATOMIC_RELAXED);
        err = ext4_dirty_page(inode, page);
        if (err)
            page_put(page);
    }
    gate_leave(&ei->gate);
    if (err)
        return err;
    if (write) {
        inode_touch(inode, true);
        ext4_inode_dirty(inode, DIRTY_TIMES);
    }
    *pa = page_to_phys(page);
    return 0;
}

static u32 cached_run(struct inode *inode, u64 index, u32 n, paddr_t *pa)
{
    return page_cache_find_run(&ext4_i(inode)->cache, index, n, pa);
}

const struct inode_ops ext4_file_inode_ops = {
    .open = file_open,
    .get_page = ext4_get_page,
    .map_page = map_page,
    .cached_run = cached_run,
    .setattr = ext4_setattr,
    .getattr = ext4_getattr,
    .getxattr = ext4_getxattr,
    .setxattr = ext4_setxattr,
    .listxattr = ext4_listxattr,
    .removexattr = ext4_removexattr,
};
