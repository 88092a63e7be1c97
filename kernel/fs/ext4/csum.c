/* Checksums of metadata, each kind in its own way: filesystems/ext4, "checksums". */
#include "fs/ext4/dir_priv.h"
#include "lib/string.h"

static const u8 zeros[8];

u32 ext4_inode_seed(const struct ext4_fs *fs, u32 ino, u32 generation)
{
    u32 crc = crc32c(fs->seed, &ino, sizeof(ino));

    return crc32c(crc, &generation, sizeof(generation));
}

u32 ext4_super_csum(const struct ext4_super_block *super)
{
    return crc32c(UINT32_MAX, super, offsetof(struct ext4_super_block, checksum));
}

u32 ext4_bitmap_csum(struct ext4_fs *fs, const u8 *bits, u32 nr)
{
    return crc32c(fs->seed, bits, nr / 8);
}

u32 ext4_inode_csum(const struct ext4_fs *fs, u32 seed, const struct ext4_disk_inode *raw)
{
    const u8 *bytes = (const u8 *)raw;
    const u32 lo = offsetof(struct ext4_disk_inode, checksum_lo);
    const u32 hi = offsetof(struct ext4_disk_inode, checksum_hi);
    u32 crc = crc32c(seed, bytes, lo), at = EXT4_GOOD_OLD_INODE_SIZE;

    crc = crc32c(crc, zeros, 2);
    crc = crc32c(crc, bytes + lo + 2, at - lo - 2);
    if (fs->inode_size <= at)
        return crc & 0xffff;
    bool has_hi = le16_get(raw->extra_isize) >= hi + 2 - at;
    if (has_hi) {
        crc = crc32c(crc, bytes + at, hi - at);
        crc = crc32c(crc, zeros, 2);
        at = hi + 2;
    }
    crc = crc32c(crc, bytes + at, fs->inode_size - at);
    return has_hi ? crc : crc & 0xffff;
}

static u16 crc16(u16 crc, const void *data, size_t len)
{
    const u8 *p = data;

    while (len--) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = (u16)(crc >> 1 ^ (crc & 1 ? 0xa001 : 0));
    }
    return crc;
}

u16 ext4_group_csum(struct ext4_fs *fs, u32 group, const struct ext4_group_desc *desc)
{
    const u32 at = offsetof(struct ext4_group_desc, checksum);
    const u8 *bytes = (const u8 *)desc;

    if (fs->csum) {
        u32 crc = crc32c(fs->seed, &group, sizeof(group));
        crc = crc32c(crc, bytes, at);
        crc = crc32c(crc, zeros, 2);
        return (u16)crc32c(crc, bytes + at + 2, fs->desc_size - at - 2);
    }
    if (!(fs->ro_compat & EXT4_RO_GDT_CSUM))
        return 0;
    u16 crc = crc16(UINT16_MAX, ext4_super(fs)->uuid, 16);
    crc = crc16(crc, &group, sizeof(group));
    crc = crc16(crc, bytes, at);
    return crc16(crc, bytes + at + 2, fs->desc_size - at - 2);
}

static u32 *extent_tail(const struct ext4_fs *fs, const u8 *data)
{
    const struct ext4_extent_header *head = (const void *)data;
    u32 at = (u32)sizeof(*head) + le16_get(head->max) * (u32)sizeof(struct ext4_extent);

    return at + 4 <= fs->block_size ? (u32 *)(uintptr_t)(data + at) : NULL;
}

static u32 *leaf_tail(const struct ext4_fs *fs, const u8 *data)
{
    struct ext4_dir_tail *tail =
        (struct ext4_dir_tail *)(uintptr_t)(data + fs->block_size - EXT4_DIR_TAIL_LEN);

    if (le32_get(tail->reserved_zero1) || tail->reserved_zero2 ||
        le16_get(tail->rec_len) != EXT4_DIR_TAIL_LEN || tail->reserved_ft != EXT4_DIR_TAIL_TYPE)
        return NULL;
    return &tail->checksum.raw;
}

/* The tail of an index block, behind the last entry there may be; *@used: bytes before it that
 * count. */
static struct ext4_dx_tail *dx_tail(const struct ext4_fs *fs, const u8 *data, bool root, u32 *used)
{
    u32 at = root ? EXT4_DX_ROOT_ENTRIES : EXT4_DX_NODE_ENTRIES;
    const struct ext4_dx_entry *entries = (const void *)(data + at);
    u32 limit = dx_limit(entries), end = at + limit * (u32)sizeof(*entries);

    if (end + sizeof(struct ext4_dx_tail) > fs->block_size || dx_count(entries) > limit)
        return NULL;
    *used = at + dx_count(entries) * (u32)sizeof(*entries);
    return (struct ext4_dx_tail *)(uintptr_t)(data + end);
}

static u32 dx_csum(const u8 *data, u32 used, const struct ext4_dx_tail *tail, u32 seed)
{
    u32 crc = crc32c(seed, data, used);

    crc = crc32c(crc, tail, offsetof(struct ext4_dx_tail, checksum));
    return crc32c(crc, zeros, 4);
}

static u32 xattr_csum(const struct ext4_fs *fs, const struct ext4_buf *buf)
{
    const u32 at = offsetof(struct ext4_xattr_header, checksum);
    u32 crc = crc32c(fs->seed, &buf->block, sizeof(buf->block));

    crc = crc32c(crc, buf->data, at);
    crc = crc32c(crc, zeros, 4);
    return crc32c(crc, buf->data + at + 4, fs->block_size - at - 4);
}

/* Where @buf keeps its checksum, NULL: it has no room for one; and what it should be. */
static u32 *find_csum(const struct ext4_fs *fs, const struct ext4_buf *buf, enum ext4_kind kind,
                      u32 seed, u32 *want)
{
    u8 *data = buf->data;
    struct ext4_dx_tail *tail;
    u32 *at = NULL, used;

    switch (kind) {
    case EXT4_SUPER:
        *want = ext4_super_csum((void *)(data + fs->super_offset));
        return &((struct ext4_super_block *)(void *)(data + fs->super_offset))->checksum.raw;
    case EXT4_EXTENT_NODE:
        at = extent_tail(fs, data);
        if (at)
            *want = crc32c(seed, data, (size_t)((u8 *)at - data));
        return at;
    case EXT4_DIR_LEAF:
        at = leaf_tail(fs, data);
        *want = crc32c(seed, data, fs->block_size - EXT4_DIR_TAIL_LEN);
        return at;
    case EXT4_DX_ROOT:
    case EXT4_DX_NODE:
        tail = dx_tail(fs, data, kind == EXT4_DX_ROOT, &used);
        if (tail)
            *want = dx_csum(data, used, tail, seed);
        return tail ? &tail->checksum.raw : NULL;
    case EXT4_XATTR_BLOCK:
        *want = xattr_csum(fs, buf);
        return &((struct ext4_xattr_header *)(void *)data)->checksum.raw;
    default:
        return NULL;
    }
}

void ext4_seal(struct ext4_fs *fs, struct ext4_buf *buf)
{
    u32 want, *at = fs->csum ? find_csum(fs, buf, buf->kind, buf->seed, &want) : NULL;

    if (at)
        *at = want;
}

bool ext4_csum_ok(struct ext4_fs *fs, const struct ext4_buf *buf, enum ext4_kind kind, u32 seed)
{
    u32 want, *at;

    if (!fs->csum || kind == EXT4_PLAIN || kind == EXT4_BLOCK_BITMAP || kind == EXT4_INODE_BITMAP)
        return true; /* a bitmap's is in its group's descriptor */
    at = find_csum(fs, buf, kind, seed, &want);
    return at && *at == want;
}
