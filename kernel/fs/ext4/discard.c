/* What is free goes back to the host: FITRIM, and large pieces when the transaction that freed them
 * is on the disk.  Nobody can have a block while it is discarded: it is taken in memory until then.
 */
#include "abi/errno.h"
#include "block/block.h"
#include "fs/ext4/priv.h"
#include "mm/uaccess.h"

enum { FITRIM = 0xc0185879, FS_IOC_FIEMAP = 0xc020660b, DISCARD_BYTES = 64 * 1024, MAX_RUN = 8192 };

struct fstrim_range {
    u64 start, len, minlen; /* bytes */
};

static int discard(struct ext4_fs *fs, u64 block, u32 len)
{
    u32 bits = fs->block_bits - 9;

    return block_discard(fs->bd, block << bits, (u64)len << bits);
}

void ext4_discard_freed(struct ext4_fs *fs, u64 block, u32 len)
{
    if (fs->bd->has_discard && (u64)len << fs->block_bits >= DISCARD_BYTES)
        (void)discard(fs, block, len); /* the disk may keep what it likes */
}

/* The free runs of a group in [from, to), by its own numbers; each is taken while it is discarded.
 */
static int trim_group(struct ext4_fs *fs, u32 group, u32 from, u32 to, u32 least, u64 *trimmed)
{
    u64 block;
    u32 got;

    while (from < to) {
        int err = ext4_claim_run(fs, group, &from, to, min(to - from, (u32)MAX_RUN), &block, &got);
        if (err || !got)
            return err;
        if (got >= least)
            err = discard(fs, block, got);
        ext4_unclaim(fs, block, got);
        if (err)
            return err;
        *trimmed += got >= least ? got : 0;
        from += got;
    }
    return 0;
}

static int trim(struct ext4_fs *fs, struct fstrim_range *range)
{
    u64 first = max(range->start >> fs->block_bits, (u64)fs->first_data_block), end, trimmed = 0;
    u32 least = (u32)min(max(range->minlen >> fs->block_bits, 1ull), (u64)UINT32_MAX);

    if (__builtin_add_overflow(range->start, range->len, &end))
        end = UINT64_MAX;
    end = min(end >> fs->block_bits, fs->nr_blocks);
    if (first >= fs->nr_blocks)
        return -EINVAL;
    int err = ext4_count_free(fs);
    if (!err)
        err = journal_commit(fs, fs->journal.running.tid); /* what was freed can be had then */
    while (first < end && !err) {
        u32 group = group_of_block(fs, first);
        u64 base = group_first_block(fs, group);
        u32 size = group_size(fs, group);
        err = trim_group(fs, group, (u32)(first - base), (u32)min(end - base, (u64)size), least,
                         &trimmed);
        first = base + size;
    }
    range->len = trimmed << fs->block_bits;
    return err;
}

int ext4_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    struct ext4_fs *fs = ext4_of(file->inode->sb);
    struct fstrim_range range;

    if (cmd == FS_IOC_FIEMAP)
        return ext4_fiemap(file->inode, arg);
    if (cmd != FITRIM)
        return -ENOTTY;
    if (!fs->bd->has_discard)
        return -EOPNOTSUPP;
    int err = ext4_check_writable(fs);
    if (err)
        return err;
    if (copy_from_user(&range, arg, sizeof(range)))
        return -EFAULT;
    err = trim(fs, &range);
    return err ? err : copy_to_user(arg, &range, sizeof(range)) ? -EFAULT : 0;
}
