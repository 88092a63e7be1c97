/* O_DIRECT: past the page cache, between the disk and the program's own frames, or through a buffer
 * where the device cannot have those.  Coherent with the cache: dirty pages of the range are
 * written before, and pages that a write made old go after it. */
#include "abi/errno.h"
#include "block/block.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "mm/pin.h"

enum {
    CHUNK = 128 * 1024, /* of the buffer, and of a segment */
    TURN = 2 << 20      /* of what is held */
};

/* Memory that is moved at a time. */
struct direct {
    struct mm_pins pins; /* the program's; else one piece, .copy */
    u8 *copy;            /* owns; CHUNK bytes; NULL: was not needed yet */
    bool copied;
};

static void direct_init(struct direct *d)
{
    d->copy = NULL;
    d->pins.nr = 0;
}

/* What lies @offset bytes behind the start of @piece, and in *@len, at most what it was, how much
 * of it in one run. Both go on to the piece where that is. */
static u8 *piece_at(const struct mm_piece **piece, u64 *offset, u64 *len)
{
    while (*offset >= (*piece)->len)
        *offset -= (*piece)++->len;
    *len = min(*len, (*piece)->len - *offset);
    return (*piece)->at + *offset;
}

/* Move [at, at + len), whole sectors, between what is held and the disk; holes read as zero. The
 * gate is held. -ENOTBLK: a write would need blocks. */
static int transfer(struct inode *inode, enum block_op op, u64 at, const struct mm_pins *pins,
                    u64 len)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    const struct mm_piece *piece = pins->pieces;
    struct ext4_run run = {.len = 0};
    struct block_batch batch;
    u64 offset = 0, mapped = 0; /* where @run ends, from @at on */
    int err = 0;

    block_batch_init(&batch, fs->bd, op);
    for (u64 done = 0, n; done < len && !err; done += n, offset += n) {
        u64 pos = at + done, in_block = pos & (fs->block_size - 1);
        u32 block = (u32)(pos >> fs->block_bits);
        if (done >= mapped) {
            mutex_lock(&ei->map_lock);
            err = ext4_map(inode, block, (u32)DIV_UP(in_block + len - done, fs->block_size), &run);
            mutex_unlock(&ei->map_lock);
            if (err)
                break;
            mapped = min(done + ((u64)run.len << fs->block_bits) - in_block, len);
        }
        n = min(mapped - done, (u64)CHUNK);
        u8 *data = piece_at(&piece, &offset, &n);
        if (run.state == MAP_WRITTEN)
            block_batch_add(&batch,
                            ((run.start + block - run.block) << (fs->block_bits - 9)) +
                                in_block / SECTOR_SIZE,
                            data, (u32)n);
        else if (op == BLOCK_READ)
            memset(data, 0, n);
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

/* Hold the program's own memory, whole sectors of it. How many bytes of @most. */
static u64 hold_own(struct mm_pins *pins, struct iov_iter *it, bool write, u64 most)
{
    u64 done = 0, got = 0;

    while (done < most) {
        size_t run = 0;
        uaddr_t place = (uaddr_t)(uintptr_t)iter_run(it, &run);
        u64 n = min(most - done, (u64)run);
        if (!place || !n || !IS_ALIGNED(place | n, SECTOR_SIZE))
            break;
        got = mm_pin(place, n, write, pins);
        iter_skip(it, got);
        done += got;
        if (got < n)
            break;
    }
    return done;
}

/* What the next transfer moves, at most @left bytes, and where: own memory, which @it has gone over
 * then, or a buffer, which the caller fills or empties. 0: no memory. */
static u64 hold(struct direct *d, struct iov_iter *it, bool write, u64 left)
{
    u64 whole = min(ALIGN_DOWN(left, (u64)SECTOR_SIZE), (u64)TURN);
    bool is_own = !it->iov || !it->kernel;
    u64 n = is_own ? hold_own(&d->pins, it, write, whole) : 0;

    d->copied = !n;
    if (n)
        return n;
    if (!d->copy)
        d->copy = kmalloc(min(ALIGN_UP(left, (u64)SECTOR_SIZE), (u64)CHUNK));
    if (!d->copy)
        return 0;
    n = min(left, (u64)CHUNK);
    d->pins.pieces[0] = (struct mm_piece){d->copy, (u32)ALIGN_UP(n, (u64)SECTOR_SIZE), false};
    d->pins.nr = 1;
    return n;
}

static void let_go(struct direct *d)
{
    if (d->copied)
        d->pins.nr = 0;
    else
        mm_unpin(&d->pins);
}

/* One turn: bytes that were read, or an error. */
static ssize_t read_some(struct inode *inode, struct direct *d, struct iov_iter *to, u64 at,
                         u64 left)
{
    struct ext4_inode *ei = ext4_i(inode);
    u64 n = hold(d, to, true, left);

    if (!n)
        return -ENOMEM;
    gate_enter(&ei->gate);
    int err = transfer(inode, BLOCK_READ, at, &d->pins, ALIGN_UP(n, (u64)SECTOR_SIZE));
    gate_leave(&ei->gate);
    if (!err && d->copied) {
        n = iter_write(to, d->copy, n);
        err = n ? 0 : -EFAULT;
    }
    let_go(d);
    return err ? err : (ssize_t)n;
}

ssize_t ext4_direct_read(struct file *file, struct iov_iter *to, u64 at)
{
    struct inode *inode = file->inode;
    struct direct d;
    u64 size = inode->size, done = 0;

    if (!is_aligned(to, at))
        return -EINVAL;
    if (at >= size || !to->left)
        return 0;
    direct_init(&d);
    u64 want = min(to->left, size - at);
    ssize_t n = ext4_write_pages(inode, at >> PAGE_SHIFT, (at + want) >> PAGE_SHIFT, UINT64_MAX);
    while (n >= 0 && done < want) {
        n = read_some(inode, &d, to, at + done, want - done);
        if (n > 0)
            done += (u64)n;
    }
    kfree(d.copy);
    return done ? (ssize_t)done : n;
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

static int write_held(struct inode *inode, u64 at, const struct mm_pins *pins, u64 n)
{
    struct ext4_inode *ei = ext4_i(inode);
    u64 first = at >> PAGE_SHIFT, last = (at + n - 1) >> PAGE_SHIFT;

    gate_enter(&ei->gate);
    int err = transfer(inode, BLOCK_WRITE, at, pins, n);
    gate_leave(&ei->gate);
    gate_close(&ei->gate);
    page_cache_remove(&ei->cache, first, last);
    ext4_unreserve(ext4_of(inode->sb), page_cache_take_released(&ei->cache));
    gate_open(&ei->gate);
    inode_forget_mapped(inode, first, last - first + 1);
    return err;
}

/* One turn: bytes that were written, or an error. */
static ssize_t write_some(struct inode *inode, struct direct *d, struct iov_iter *from, u64 at,
                          u64 left)
{
    u64 n = hold(d, from, false, left), moved = n;

    if (!n)
        return -ENOMEM;
    if (d->copied)
        moved = iter_read(from, d->copy, n);
    n = ALIGN_DOWN(moved, (u64)SECTOR_SIZE);
    int err = n ? write_held(inode, at, &d->pins, n) : -EFAULT;
    if (err)
        n = 0;
    iter_revert(from, moved - n);
    let_go(d);
    return err ? err : (ssize_t)n;
}

ssize_t ext4_direct_write(struct inode *inode, struct iov_iter *from, u64 at)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct direct d;
    u64 want = from->left, done = 0;

    if (!is_aligned(from, at))
        return -EINVAL;
    ssize_t n = ext4_write_pages(inode, at >> PAGE_SHIFT, (at + want) >> PAGE_SHIFT, UINT64_MAX);
    if (n < 0)
        return n;
    if (!is_in_place(inode, at, want))
        return -ENOTBLK;
    direct_init(&d);
    while (n >= 0 && done < want) {
        n = write_some(inode, &d, from, at + done, want - done);
        if (n > 0)
            done += (u64)n;
    }
    kfree(d.copy);
    __atomic_store_n(&fs->unflushed, true, __ATOMIC_RELEASE);
    if (done) {
        inode_touch(inode, true);
        ext4_inode_dirty(inode, DIRTY_TIMES);
    }
    return done ? (ssize_t)done : n;
}
