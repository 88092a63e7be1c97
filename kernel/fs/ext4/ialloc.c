/* Inode numbers.  A directory goes where there is more than the average of free inodes and blocks,
 * next to its parent if that will do (Orlov); everything else goes into its directory's group. */
#include "abi/errno.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"

static u32 group_of_ino(const struct ext4_fs *fs, u32 ino)
{
    return (ino - 1) / fs->inodes_per_group;
}

static bool bitmap_csum_ok(struct ext4_fs *fs, const struct ext4_group_desc *desc, const u8 *bits)
{
    u32 crc = ext4_bitmap_csum(fs, bits, fs->inodes_per_group);
    bool wide = fs->desc_size >= sizeof(*desc);
    u32 want = le16_get(desc->inode_bitmap_csum_lo) |
               (wide ? (u32)le16_get(desc->inode_bitmap_csum_hi) << 16 : 0);

    return !fs->csum || (wide ? crc : (crc & 0xffff)) == want;
}

/* The inode bitmap of a group, made where the disk never had one. Locked. */
static int read_bitmap(struct ext4_fs *fs, const struct ext4_group_desc *desc,
                       struct ext4_buf **out)
{
    u64 block = group_inode_bitmap(fs, desc);
    struct ext4_buf *buf = buf_find(fs, block);
    int err = 0;

    if (buf && buf->flags & BUF_CHECKED) {
        *out = buf;
        return 0;
    }
    buf_put(fs, buf);
    if (le16_get(desc->flags) & EXT4_BG_INODE_UNINIT) {
        err = buf_new(fs, block, &buf);
        if (err)
            return err;
        for (u32 i = fs->inodes_per_group; i < fs->block_size * 8; i++)
            bit_set(buf->data, i);
    } else {
        err = buf_read(fs, block, &buf);
        if (err)
            return err;
        if (!bitmap_csum_ok(fs, desc, buf->data)) {
            buf_put(fs, buf);
            ext4_error(fs, "block %llu: the inode bitmap is damaged", (unsigned long long)block);
            return -EUCLEAN;
        }
    }
    __atomic_or_fetch(&buf->flags, BUF_CHECKED, __ATOMIC_RELAXED);
    *out = buf;
    return 0;
}

static void count_inode(struct ext4_fs *fs, u32 group, struct ext4_group_desc *desc, u32 i,
                        bool is_dir, bool used)
{
    u32 free = group_free_inodes(fs, desc), dirs = group_used_dirs(fs, desc);

    group_set_free_inodes(fs, desc, used ? free - (free > 0) : free + 1);
    if (is_dir)
        group_set_used_dirs(fs, desc, used ? dirs + 1 : dirs - (dirs > 0));
    if (used && (fs->csum || fs->ro_compat & EXT4_RO_GDT_CSUM)) {
        u32 was = le16_get(desc->flags) & EXT4_BG_INODE_UNINIT ? fs->inodes_per_group
                                                               : group_itable_unused(fs, desc);
        desc->flags = le16_of((u16)(le16_get(desc->flags) & ~EXT4_BG_INODE_UNINIT));
        group_set_itable_unused(fs, desc, min(was, fs->inodes_per_group - i - 1));
    }
    group_desc_seal(fs, group, desc);
    __atomic_add_fetch(&fs->free_inodes, used ? -1 : 1, __ATOMIC_RELAXED);
}

static u32 find_zero(const u8 *bits, u32 from, u32 end)
{
    while (from < end && bit_test(bits, from))
        from += bits[from >> 3] == 0xff ? 8 - (from & 7) : 1;
    return min(from, end);
}

/* A number in @group. -ENOSPC: none. */
static int take_in(struct ext4_handle *h, u32 group, bool is_dir, u32 *ino)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_group *g = &fs->groups[group];
    struct ext4_group_desc *desc;
    struct ext4_buf *desc_buf, *buf;

    mutex_lock(&g->lock);
    int err = group_desc(fs, group, &desc_buf, &desc);
    if (err)
        goto unlock;
    err = group_free_inodes(fs, desc) ? read_bitmap(fs, desc, &buf) : -ENOSPC;
    if (err)
        goto put_desc;
    u32 reserved = group ? 0 : fs->first_ino - 1;
    u32 i = find_zero(buf->data, max(g->inode_hint, reserved), fs->inodes_per_group);
    if (i == fs->inodes_per_group) {
        err = -ENOSPC;
        goto put_bits;
    }
    handle_change(h, buf, EXT4_INODE_BITMAP, group);
    handle_change(h, desc_buf, EXT4_PLAIN, 0);
    bit_set(buf->data, i);
    g->inode_hint = i + 1;
    count_inode(fs, group, desc, i, is_dir, true);
    *ino = group * fs->inodes_per_group + i + 1;
put_bits:
    buf_put(fs, buf);
put_desc:
    buf_put(fs, desc_buf);
unlock:
    mutex_unlock(&g->lock);
    return err;
}

/* Is there room for a directory and what will be in it? */
static bool suits_dir(struct ext4_fs *fs, u32 group, u64 inodes, u64 blocks)
{
    struct ext4_group_desc *desc;
    struct ext4_buf *buf;

    if (group_desc(fs, group, &buf, &desc))
        return false;
    bool ok = group_free_inodes(fs, desc) >= inodes && group_free_blocks(fs, desc) >= blocks &&
              group_free_inodes(fs, desc);
    buf_put(fs, buf);
    return ok;
}

static u32 start_group(struct ext4_fs *fs, struct inode *dir, bool is_dir)
{
    u32 parent = group_of_ino(fs, (u32)dir->ino);
    u64 inodes = (u64)max(fs->free_inodes, (s64)0) / fs->nr_groups * 3 / 4;
    u64 blocks = (u64)max(fs->free_blocks, (s64)0) / fs->nr_groups * 3 / 4;
    u32 from = parent;

    if (!is_dir)
        return parent;
    if (dir->ino == EXT4_ROOT_INO) /* directories of the root are spread */
        from = (u32)(dir->size + dir->nlink * 7u) % fs->nr_groups;
    for (u32 i = 0; i < fs->nr_groups; i++) {
        u32 group = (from + i) % fs->nr_groups;
        if (suits_dir(fs, group, inodes, blocks))
            return group;
    }
    return parent;
}

int ext4_alloc_ino(struct ext4_handle *h, struct inode *dir, bool is_dir, u32 *ino)
{
    struct ext4_fs *fs = h->fs;
    int err = ext4_count_free(fs);

    if (err)
        return err;
    u32 first = start_group(fs, dir, is_dir);
    for (u32 i = 0; i < fs->nr_groups; i++) {
        err = take_in(h, (first + i) % fs->nr_groups, is_dir, ino);
        if (err != -ENOSPC)
            return err;
    }
    return -ENOSPC;
}

int ext4_free_ino(struct ext4_handle *h, u32 ino, bool is_dir)
{
    struct ext4_fs *fs = h->fs;
    u32 group = group_of_ino(fs, ino), i = (ino - 1) % fs->inodes_per_group;
    struct ext4_group *g = &fs->groups[group];
    struct ext4_group_desc *desc;
    struct ext4_buf *desc_buf, *buf;

    mutex_lock(&g->lock);
    int err = group_desc(fs, group, &desc_buf, &desc);
    if (err)
        goto unlock;
    err = read_bitmap(fs, desc, &buf);
    if (err)
        goto put_desc;
    if (!bit_test(buf->data, i)) {
        ext4_error(fs, "inode %u is free already", ino);
        err = -EUCLEAN;
        goto put_bits;
    }
    handle_change(h, buf, EXT4_INODE_BITMAP, group);
    handle_change(h, desc_buf, EXT4_PLAIN, 0);
    bit_clear(buf->data, i);
    g->inode_hint = min(g->inode_hint, i);
    count_inode(fs, group, desc, i, is_dir, false);
put_bits:
    buf_put(fs, buf);
put_desc:
    buf_put(fs, desc_buf);
unlock:
    mutex_unlock(&g->lock);
    return err;
}
