/* FIEMAP: where a file's bytes lie on the disk (filesystems/fiemap).  Dirty pages are written
 * first, whether or not FIEMAP_FLAG_SYNC asks for it, so that nothing is still to be allocated. */
#include "abi/errno.h"
#include "fs/ext4/priv.h"
#include "mm/uaccess.h"
#include "sched/thread.h"

enum { FLAG_SYNC = 1 };
enum { EXTENT_LAST = 1, EXTENT_UNWRITTEN = 0x800 };

struct fiemap {
    u64 start, length; /* bytes */
    u32 flags;
    u32 mapped;   /* out: extents that are told of, or would be */
    u32 room;     /* extents that follow; 0: only count */
    u32 reserved; /* then the extents */
};
static_assert(sizeof(struct fiemap) == 32, "the ABI's");

struct fiemap_extent {
    u64 logical, physical, length; /* bytes */
    u64 reserved64[2];
    u32 flags;
    u32 reserved[3];
};
static_assert(sizeof(struct fiemap_extent) == 56, "the ABI's");

/* The first extent, or rest of one, at or behind *@block. 1: @run, 0: none, or an error. */
static int next_extent(struct inode *inode, u32 *block, struct ext4_run *run)
{
    struct ext4_inode *ei = ext4_i(inode);

    while (*block < UINT32_MAX) {
        mutex_lock(&ei->map_lock);
        int err = ext4_map(inode, *block, UINT32_MAX - *block, run);
        mutex_unlock(&ei->map_lock);
        if (err)
            return err;
        if (run->state != MAP_HOLE)
            return 1;
        *block += run->len;
    }
    return 0;
}

static int tell(const struct ext4_fs *fs, uaddr_t to, const struct ext4_run *run, u32 len,
                bool is_last)
{
    struct fiemap_extent extent = {
        .logical = (u64)run->block << fs->block_bits,
        .physical = run->start << fs->block_bits,
        .length = (u64)len << fs->block_bits,
        .flags = (is_last ? EXTENT_LAST : 0u) |
                 (run->state == MAP_UNWRITTEN ? (u32)EXTENT_UNWRITTEN : 0u),
    };

    return copy_to_user(to, &extent, sizeof(extent)) ? -EFAULT : 0;
}

/* Extents of [block, end), to @to. */
static int map_range(struct inode *inode, struct fiemap *head, u32 block, u32 end, uaddr_t to)
{
    const struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_run run, next;

    int found = next_extent(inode, &block, &run);
    while (found > 0 && block < end && (!head->room || head->mapped < head->room)) {
        block += run.len;
        found = next_extent(inode, &block, &next);
        if (found < 0)
            break;
        int err = !head->room ? 0 : tell(fs, to, &run, min(run.len, end - run.block), !found);
        if (err)
            return err;
        to += sizeof(struct fiemap_extent);
        head->mapped++;
        run = next;
        sched_point();
    }
    return min(found, 0);
}

int ext4_fiemap(struct inode *inode, uaddr_t arg)
{
    const struct ext4_fs *fs = ext4_of(inode->sb);
    struct fiemap head;

    if (copy_from_user(&head, arg, sizeof(head)))
        return -EFAULT;
    if (head.room > UINT32_MAX / sizeof(struct fiemap_extent) || !head.length)
        return -EINVAL;
    u32 unknown = head.flags & ~(u32)FLAG_SYNC, most = UINT32_MAX;
    u64 end = head.length > UINT64_MAX - head.start ? UINT64_MAX : head.start + head.length;
    if (!unknown && head.start >> fs->block_bits >= most)
        return -EFBIG;
    int err = unknown ? -EBADR : 0;
    if (!err && S_ISREG(inode->mode))
        err = ext4_write_pages(inode, 0, UINT64_MAX, UINT64_MAX);
    head.mapped = 0;
    head.flags = err == -EBADR ? unknown : head.flags; /* which are not known */
    if (!err)
        err = map_range(inode, &head, (u32)(head.start >> fs->block_bits),
                        (u32)min((end - 1) >> fs->block_bits, (u64)most - 1) + 1,
                        arg + sizeof(struct fiemap));
    if (copy_to_user(arg, &head, sizeof(head)))
        return -EFAULT;
    return err == -EUCLEAN ? -EIO : err;
}
