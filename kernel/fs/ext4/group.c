/* Group descriptors and block bitmaps. */
#include "abi/errno.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"

static bool is_wide(const struct ext4_fs *fs)
{
    return fs->desc_size >= sizeof(struct ext4_group_desc);
}

static u64 join(const struct ext4_fs *fs, le32 lo, le32 hi)
{
    return le32_get(lo) | (is_wide(fs) ? (u64)le32_get(hi) << 32 : 0);
}
static u32 join16(const struct ext4_fs *fs, le16 lo, le16 hi)
{
    return le16_get(lo) | (is_wide(fs) ? (u32)le16_get(hi) << 16 : 0);
}
static void cut16(const struct ext4_fs *fs, u32 n, le16 *lo, le16 *hi)
{
    *lo = le16_of((u16)n);
    if (is_wide(fs))
        *hi = le16_of((u16)(n >> 16));
}

u64 group_block_bitmap(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join(fs, desc->block_bitmap_lo, desc->block_bitmap_hi);
}
u64 group_inode_bitmap(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join(fs, desc->inode_bitmap_lo, desc->inode_bitmap_hi);
}
u64 group_inode_table(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join(fs, desc->inode_table_lo, desc->inode_table_hi);
}
u32 group_free_blocks(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join16(fs, desc->free_blocks_count_lo, desc->free_blocks_count_hi);
}
void group_set_free_blocks(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n)
{
    cut16(fs, n, &desc->free_blocks_count_lo, &desc->free_blocks_count_hi);
}
u32 group_free_inodes(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join16(fs, desc->free_inodes_count_lo, desc->free_inodes_count_hi);
}
void group_set_free_inodes(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n)
{
    cut16(fs, n, &desc->free_inodes_count_lo, &desc->free_inodes_count_hi);
}
u32 group_used_dirs(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join16(fs, desc->used_dirs_count_lo, desc->used_dirs_count_hi);
}
void group_set_used_dirs(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n)
{
    cut16(fs, n, &desc->used_dirs_count_lo, &desc->used_dirs_count_hi);
}
u32 group_itable_unused(const struct ext4_fs *fs, const struct ext4_group_desc *desc)
{
    return join16(fs, desc->itable_unused_lo, desc->itable_unused_hi);
}
void group_set_itable_unused(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n)
{
    cut16(fs, n, &desc->itable_unused_lo, &desc->itable_unused_hi);
}

u32 group_size(const struct ext4_fs *fs, u32 group)
{
    u64 left = fs->nr_blocks - group_first_block(fs, group);

    return (u32)min(left, (u64)fs->blocks_per_group);
}

static bool is_power_of(u32 n, u32 base)
{
    while (n > 1 && n % base == 0)
        n /= base;
    return n == 1;
}

bool group_has_super(const struct ext4_fs *fs, u32 group)
{
    if (!group)
        return true;
    if (fs->compat & EXT4_COMPAT_SPARSE_SUPER2) {
        const struct ext4_super_block *super = ext4_super(fs);
        return group == le32_get(super->backup_bgs[0]) || group == le32_get(super->backup_bgs[1]);
    }
    if (group == 1 || !(fs->ro_compat & EXT4_RO_SPARSE_SUPER))
        return true;
    return group & 1 && (is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7));
}

static bool uses_meta_bg(const struct ext4_fs *fs, u32 desc_block)
{
    return ext4_has_incompat(fs, EXT4_INCOMPAT_META_BG) &&
           desc_block >= le32_get(ext4_super(fs)->first_meta_bg);
}

/* Where block @i of the descriptors lies. */
static u64 desc_block(const struct ext4_fs *fs, u32 i)
{
    if (!uses_meta_bg(fs, i))
        return fs->first_data_block + 1 + i;
    u32 group = i * fs->desc_per_block;
    return group_first_block(fs, group) + group_has_super(fs, group);
}

static bool range_ok(const struct ext4_fs *fs, u64 block, u64 len)
{
    return block_range_ok(fs, block, len);
}

static bool desc_ok(struct ext4_fs *fs, u32 group, const struct ext4_group_desc *desc)
{
    u64 table_blocks = DIV_UP((u64)fs->inodes_per_group * fs->inode_size, fs->block_size);

    if ((fs->csum || fs->ro_compat & EXT4_RO_GDT_CSUM) &&
        le16_get(desc->checksum) != ext4_group_csum(fs, group, desc))
        return false;
    return range_ok(fs, group_block_bitmap(fs, desc), 1) &&
           range_ok(fs, group_inode_bitmap(fs, desc), 1) &&
           range_ok(fs, group_inode_table(fs, desc), table_blocks) &&
           group_free_blocks(fs, desc) <= group_size(fs, group) &&
           group_free_inodes(fs, desc) <= fs->inodes_per_group &&
           group_itable_unused(fs, desc) <= fs->inodes_per_group;
}

static bool block_ok(struct ext4_fs *fs, u32 first, const struct ext4_buf *buf)
{
    for (u32 i = 0; i < fs->desc_per_block && first + i < fs->nr_groups; i++)
        if (!desc_ok(fs, first + i, (void *)(buf->data + i * fs->desc_size)))
            return false;
    return true;
}

int group_desc(struct ext4_fs *fs, u32 group, struct ext4_buf **buf, struct ext4_group_desc **desc)
{
    u32 i = group / fs->desc_per_block;

    if (group >= fs->nr_groups)
        return -EUCLEAN;
    int err = buf_read(fs, desc_block(fs, i), buf);
    if (err)
        return err;
    if (unlikely(!((*buf)->flags & BUF_CHECKED))) {
        if (!block_ok(fs, i * fs->desc_per_block, *buf)) {
            buf_put(fs, *buf);
            ext4_error(fs, "descriptors of groups %u and on are damaged", i * fs->desc_per_block);
            return -EUCLEAN;
        }
        __atomic_or_fetch(&(*buf)->flags, BUF_CHECKED, __ATOMIC_RELAXED);
    }
    *desc = (void *)((*buf)->data + group % fs->desc_per_block * fs->desc_size);
    return 0;
}

void group_desc_seal(struct ext4_fs *fs, u32 group, struct ext4_group_desc *desc)
{
    if (fs->csum || fs->ro_compat & EXT4_RO_GDT_CSUM)
        desc->checksum = le16_of(ext4_group_csum(fs, group, desc));
}

/* Blocks at a group's start that hold a copy of the super block and of the descriptors. */
static u32 base_meta_blocks(const struct ext4_fs *fs, u32 group)
{
    u32 i = group / fs->desc_per_block;
    bool super = group_has_super(fs, group);

    if (!uses_meta_bg(fs, i)) {
        u32 blocks = DIV_UP(fs->nr_groups, fs->desc_per_block);
        if (ext4_has_incompat(fs, EXT4_INCOMPAT_META_BG))
            blocks = le32_get(ext4_super(fs)->first_meta_bg);
        return super ? 1 + blocks + le16_get(ext4_super(fs)->reserved_gdt_blocks) : 0;
    }
    u32 at = group % fs->desc_per_block; /* copies: first, second and last of a meta group */
    return super + (at == 0 || at == 1 || at == fs->desc_per_block - 1);
}

static void set_range(struct ext4_fs *fs, u32 group, u8 *bits, u64 block, u32 len)
{
    u64 first = group_first_block(fs, group);

    for (u64 b = block; b < block + len; b++)
        if (b >= first && b < first + group_size(fs, group))
            bit_set(bits, (u32)(b - first));
}

/* A bitmap that the disk never had: only the group's own metadata is in use. */
static void make_bitmap(struct ext4_fs *fs, u32 group, const struct ext4_group_desc *desc, u8 *bits)
{
    u32 table = (u32)DIV_UP((u64)fs->inodes_per_group * fs->inode_size, fs->block_size);
    u32 base = min(base_meta_blocks(fs, group), group_size(fs, group));

    memset(bits, 0, fs->block_size);
    for (u32 i = 0; i < base; i++)
        bit_set(bits, i);
    set_range(fs, group, bits, group_block_bitmap(fs, desc), 1);
    set_range(fs, group, bits, group_inode_bitmap(fs, desc), 1);
    set_range(fs, group, bits, group_inode_table(fs, desc), table);
    for (u32 i = group_size(fs, group); i < fs->block_size * 8; i++)
        bit_set(bits, i);
}

static bool bitmap_csum_ok(struct ext4_fs *fs, const struct ext4_group_desc *desc, const u8 *bits)
{
    u32 crc = ext4_bitmap_csum(fs, bits, fs->blocks_per_group);
    u32 want = join16(fs, desc->block_bitmap_csum_lo, desc->block_bitmap_csum_hi);

    return !fs->csum || (is_wide(fs) ? crc : (crc & 0xffff)) == want;
}

int group_read_bitmap(struct ext4_fs *fs, u32 group, struct ext4_buf **out)
{
    struct ext4_group_desc *desc;
    struct ext4_buf *desc_buf, *buf;

    int err = group_desc(fs, group, &desc_buf, &desc);
    if (err)
        return err;
    if (le16_get(desc->flags) & EXT4_BG_BLOCK_UNINIT) {
        struct ext4_buf *old = buf_find(fs, group_block_bitmap(fs, desc));
        bool made = old && old->flags & BUF_CHECKED;
        buf_put(fs, old);
        err = made ? buf_read(fs, group_block_bitmap(fs, desc), &buf)
                   : buf_new(fs, group_block_bitmap(fs, desc), &buf);
        if (!err && !made)
            make_bitmap(fs, group, desc, buf->data);
    } else {
        err = buf_read(fs, group_block_bitmap(fs, desc), &buf);
        if (!err && !(buf->flags & (BUF_CHECKED | BUF_TX | BUF_HOME)) &&
            !bitmap_csum_ok(fs, desc, buf->data)) {
            buf_put(fs, buf);
            err = -EUCLEAN;
        }
    }
    buf_put(fs, desc_buf);
    if (err)
        return err;
    __atomic_or_fetch(&buf->flags, BUF_CHECKED, __ATOMIC_RELAXED);
    *out = buf;
    return 0;
}
