/* Sizes and holes: truncate, fallocate.  Blocks go in as many transactions as it takes; the orphan
 * list remembers a truncation that is not finished. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/page.h"

static u64 max_size(const struct inode *inode)
{
    return min((u64)UINT32_MAX << ext4_of(inode->sb)->block_bits, (u64)INT64_MAX);
}

/* Free the blocks [from, to). */
static int free_range(struct inode *inode, u32 from, u32 to)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_handle h;
    int more;

    do {
        int err = handle_start(fs, ext4_tree_credits(inode) + 24, &h);
        if (err)
            return err;
        mutex_lock(&ei->map_lock);
        more = ext4_remove_extents(&h, inode, from, to);
        if (more >= 0)
            err = ext4_inode_write(&h, inode);
        mutex_unlock(&ei->map_lock);
        handle_stop(&h);
        if (err)
            return err;
    } while (more == 1);
    return more;
}

int ext4_free_tail(struct inode *inode)
{
    u64 first = DIV_UP(inode->size, ext4_of(inode->sb)->block_size);

    return first >= EXT4_END_BLOCK ? 0 : free_range(inode, (u32)first, EXT4_END_BLOCK);
}

/* Has any block of the page a place, or a promise? */
static bool has_blocks(struct inode *inode, const struct page *page)
{
    struct ext4_inode *ei = ext4_i(inode);
    u32 bits = PAGE_SHIFT - ext4_of(inode->sb)->block_bits;
    struct ext4_run run;

    if (page->flags & (PAGE_DIRTY | PAGE_BLOCKS))
        return true;
    mutex_lock(&ei->map_lock);
    int err = ext4_map(inode, (u32)(page->index << bits), 1u << bits, &run);
    mutex_unlock(&ei->map_lock);
    return err || run.state != MAP_HOLE || run.len < 1u << bits;
}

/* Clear [from, to) of one page, on the disk too. */
static int clear_in_page(struct inode *inode, u64 from, u64 to)
{
    struct page *page;

    int err = ext4_get_page(inode, from >> PAGE_SHIFT, &page);
    if (err)
        return err == -EFAULT ? 0 : err;
    if (has_blocks(inode, page)) {
        err = ext4_dirty_page(inode, page);
        if (!err) {
            memset((u8 *)page_to_virt(page) + (from & (PAGE_SIZE - 1)), 0, to - from);
            (void)page_cache_mark_dirty(&ext4_i(inode)->cache, page, 0);
            ext4_inode_dirty(inode, DIRTY_TIMES);
        }
    }
    page_put(page);
    return err;
}

int ext4_zero_tail(struct inode *inode, u64 old_size)
{
    return old_size & (PAGE_SIZE - 1)
               ? clear_in_page(inode, old_size, ALIGN_UP(old_size, PAGE_SIZE))
               : 0;
}

/* The size in a transaction; @orphan: blocks are still to go. */
static int set_size(struct inode *inode, u64 size, bool orphan)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_handle h;

    int err = handle_start(ext4_of(inode->sb), CREDITS_INODE + CREDITS_ORPHAN, &h);
    if (err)
        return err;
    if (orphan)
        err = ext4_orphan_add(&h, inode);
    if (!err) {
        mutex_lock(&ei->map_lock);
        __atomic_store_n(&inode->size, size, __ATOMIC_RELEASE);
        ei->disk_size = orphan ? min(ei->disk_size, size) : size;
        inode_touch(inode, true);
        err = ext4_inode_write(&h, inode);
        mutex_unlock(&ei->map_lock);
    }
    handle_stop(&h);
    return err;
}

static int end_orphan(struct inode *inode)
{
    struct ext4_handle h;

    if (!inode->nlink)
        return 0; /* it is one for good */
    int err = handle_start(ext4_of(inode->sb), CREDITS_INODE + CREDITS_ORPHAN, &h);
    if (err)
        return err;
    err = ext4_orphan_remove(&h, inode);
    handle_stop(&h);
    return err;
}

/* Cached pages of [first, last] go, with what was promised to them. The gate is closed. */
static void drop_pages(struct inode *inode, u64 first, u64 last)
{
    struct ext4_inode *ei = ext4_i(inode);

    page_cache_remove(&ei->cache, first, last);
    ext4_unreserve(ext4_of(inode->sb), page_cache_take_released(&ei->cache));
}

static int shrink(struct inode *inode, u64 size)
{
    struct ext4_inode *ei = ext4_i(inode);
    int err = size & (PAGE_SIZE - 1)
                  ? clear_in_page(inode, size,
                                  min(ALIGN_UP(size, PAGE_SIZE), ALIGN_UP(inode->size, PAGE_SIZE)))
                  : 0;

    if (!err)
        err = set_size(inode, size, true);
    if (err)
        return err;
    mutex_lock(&ei->wb_lock);
    gate_close(&ei->gate);
    drop_pages(inode, DIV_UP(size, PAGE_SIZE), UINT64_MAX);
    err = ext4_free_tail(inode);
    gate_open(&ei->gate);
    mutex_unlock(&ei->wb_lock);
    inode_forget_mapped(inode, DIV_UP(size, PAGE_SIZE), UINT64_MAX);
    return err ? err : end_orphan(inode);
}

int ext4_truncate(struct inode *inode, u64 size)
{
    int err = ext4_check_writable(ext4_of(inode->sb));

    if (err)
        return err;
    if (size > max_size(inode))
        return -EFBIG;
    if (size < inode->size)
        return shrink(inode, size);
    err = size > inode->size ? ext4_zero_tail(inode, inode->size) : 0;
    if (err)
        return err;
    if (size > inode->size)
        return set_size(inode, size, false);
    mutex_lock(&ext4_i(inode)->wb_lock); /* the size stays; what was preallocated past it goes */
    err = ext4_free_tail(inode);
    mutex_unlock(&ext4_i(inode)->wb_lock);
    if (!err) {
        inode_touch(inode, true);
        ext4_inode_dirty(inode, DIRTY_TIMES);
    }
    return err;
}

/* Zeros in [from, to), and no blocks where whole pages are. */
static int punch(struct inode *inode, u64 from, u64 to)
{
    struct ext4_inode *ei = ext4_i(inode);
    u32 bits = PAGE_SHIFT - ext4_of(inode->sb)->block_bits;
    u64 first = DIV_UP(from, PAGE_SIZE), end = to >> PAGE_SHIFT;
    int err = 0;

    if (first > end) /* inside of one page */
        return clear_in_page(inode, from, to);
    if (from < first << PAGE_SHIFT)
        err = clear_in_page(inode, from, first << PAGE_SHIFT);
    if (!err && end << PAGE_SHIFT < to)
        err = clear_in_page(inode, end << PAGE_SHIFT, to);
    if (err || first >= end)
        return err;
    mutex_lock(&ei->wb_lock);
    gate_close(&ei->gate);
    drop_pages(inode, first, end - 1);
    err = free_range(inode, (u32)(first << bits), (u32)min(end << bits, (u64)EXT4_END_BLOCK));
    gate_open(&ei->gate);
    mutex_unlock(&ei->wb_lock);
    inode_forget_mapped(inode, first, end - first);
    return err;
}

/* One piece of a hole becomes an unwritten extent. */
static int allocate_run(struct inode *inode, const struct ext4_run *hole, u32 *len)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_handle h;
    u64 start;

    int err =
        ext4_claim(fs, ei->goal, min(hole->len, (u32)EXT4_UNWRITTEN_MAX_LEN), false, &start, len);
    if (err)
        return err;
    err = handle_start(fs, ext4_tree_credits(inode) + CREDITS_ALLOC + 8, &h);
    if (err) {
        ext4_unclaim(fs, start, *len);
        return err;
    }
    mutex_lock(&ei->map_lock);
    err = ext4_record(&h, start, *len);
    if (err)
        ext4_unclaim(fs, start, *len);
    if (!err) {
        err = ext4_insert_extent(&h, inode, hole->block, start, *len, true, false);
        if (err)
            (void)ext4_free_blocks(&h, start, *len, false); /* the first error counts */
    }
    if (!err) {
        ext4_count_blocks(inode, *len);
        ei->goal = start + *len;
    }
    int failed = ext4_inode_write(&h, inode);
    mutex_unlock(&ei->map_lock);
    handle_stop(&h);
    return err ? err : failed;
}

static int allocate_range(struct inode *inode, u32 from, u32 to)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_run run;
    int err = 0;

    mutex_lock(&ei->wb_lock);
    while (from < to && !err) {
        u32 len = 0;
        mutex_lock(&ei->map_lock);
        err = ext4_map(inode, from, to - from, &run);
        mutex_unlock(&ei->map_lock);
        if (!err && run.state == MAP_HOLE)
            err = allocate_run(inode, &run, &len);
        else
            len = run.len;
        from += len;
    }
    mutex_unlock(&ei->wb_lock);
    return err;
}

static int allocate_locked(struct inode *inode, int mode, u64 offset, u64 end)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    bool keep = mode & FALLOC_FL_KEEP_SIZE;
    int err = ext4_check_writable(fs);

    if (!err && !keep && end > inode->size && !(mode & FALLOC_FL_PUNCH_HOLE))
        err = ext4_zero_tail(inode, inode->size);
    if (!err && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        err = punch(inode, offset, end);
    if (!err && !(mode & FALLOC_FL_PUNCH_HOLE))
        err = allocate_range(inode, (u32)(offset >> fs->block_bits),
                             (u32)DIV_UP(end, fs->block_size));
    if (err)
        return err;
    if (!keep && end > inode->size)
        return set_size(inode, end, false);
    inode_touch(inode, true);
    ext4_inode_dirty(inode, DIRTY_TIMES | DIRTY_DATA);
    return 0;
}

int ext4_allocate(struct file *file, int mode, u64 offset, u64 len)
{
    const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    struct inode *inode = file->inode;
    u64 end;

    if (mode & ~known || (mode & FALLOC_FL_PUNCH_HOLE && !(mode & FALLOC_FL_KEEP_SIZE)))
        return -EOPNOTSUPP;
    if (__builtin_add_overflow(offset, len, &end) || end > max_size(inode))
        return -EFBIG;
    mutex_lock(&inode->lock);
    int err = allocate_locked(inode, mode, offset, end);
    mutex_unlock(&inode->lock);
    return err == -EUCLEAN ? -EIO : err;
}
