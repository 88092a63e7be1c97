/* EROFS: the super block and inodes.  Source: see disk/erofs.h. */
#include "fs/erofs.h"

#include "abi/errno.h"
#include "block/block.h"
#include "fs/erofs_priv.h"
#include "lib/crc32c.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"
#include "vfs/page_cache.h"

static const u32 known_incompat = EROFS_INCOMPAT_ZERO_PADDING | EROFS_INCOMPAT_COMPR_CFGS |
                                  EROFS_INCOMPAT_CHUNKED_FILE | EROFS_INCOMPAT_ZTAILPACKING;
static const u32 known_algorithms = BIT(EROFS_LZ4) | BIT(EROFS_LZMA);

enum { DICT_LEAST = 4096, DICT_MOST = 8 << 20 };

static int refuse(const char **why, int err, const char *what)
{
    *why = what;
    return err;
}

/* The first feature of the image that we lack, in words. */
static const char *missing_feature(u32 incompat)
{
    static const char *const names[] = {
        [3] = "more than one device or algorithm",
        [5] = "compressed files with fragments or shared blocks",
        [6] = "long xattr name prefixes",
        [7] = "48-bit block addresses",
    };
    u32 bit = (u32)__builtin_ctz(incompat & ~known_incompat);

    return bit < ARRAY_LEN(names) && names[bit] ? names[bit] : "a feature newer than this kernel";
}

/* Of the rest of the first block, with the field itself as zero. */
static u32 checksum(const u8 *block)
{
    static const u8 zero[sizeof(le32)];
    enum {
        FIELD = EROFS_SUPER_OFFSET + offsetof(struct erofs_super_block, checksum),
        REST = FIELD + sizeof(le32)
    };
    u32 crc = crc32c(~0u, block + EROFS_SUPER_OFFSET, FIELD - EROFS_SUPER_OFFSET);

    crc = crc32c(crc, zero, sizeof(zero));
    return crc32c(crc, block + REST, EROFS_BLOCK_SIZE - REST);
}

/* @block: the first block of the image. */
static int check_super(const u8 *block, const char **why)
{
    struct erofs_super_block sb;

    memcpy(&sb, block + EROFS_SUPER_OFFSET, sizeof(sb));
    if (le32_get(sb.magic) != EROFS_SUPER_MAGIC)
        return refuse(why, -EINVAL, "no EROFS super block");
    if (sb.blkszbits != EROFS_BLOCK_BITS)
        return refuse(why, -EOPNOTSUPP, "the block size is not 4096");
    if (le32_get(sb.feature_compat) & EROFS_COMPAT_SB_CHKSUM &&
        checksum(block) != le32_get(sb.checksum))
        return refuse(why, -EUCLEAN, "the checksum of the super block is wrong");
    if (le32_get(sb.feature_incompat) & ~known_incompat)
        return refuse(why, -EOPNOTSUPP, missing_feature(le32_get(sb.feature_incompat)));
    if (sb.dirblkbits)
        return refuse(why, -EOPNOTSUPP, "directory blocks larger than 4096");
    return 0;
}

/* What the super block says of compression; the configurations are behind its slots. */
static int read_algorithms(struct erofs *fs, const struct erofs_super_block *sb, const u8 *block,
                           const char **why)
{
    u32 at = EROFS_SUPER_OFFSET + (u32)sizeof(*sb) + sb->sb_extslots * 16u;
    struct erofs_lzma_config lzma = {0};
    le16 len;

    fs->zero_padding = le32_get(sb->feature_incompat) & EROFS_INCOMPAT_ZERO_PADDING;
    fs->has_headers =
        le32_get(sb->feature_incompat) & (EROFS_INCOMPAT_COMPR_CFGS | EROFS_INCOMPAT_ZTAILPACKING);
    fs->algorithms = BIT(EROFS_LZ4);
    if (!(le32_get(sb->feature_incompat) & EROFS_INCOMPAT_COMPR_CFGS))
        return 0;
    fs->algorithms = le16_get(sb->compr_algs);
    if (fs->algorithms & ~known_algorithms)
        return refuse(why, -EOPNOTSUPP, "a compression that is neither lz4 nor lzma");
    for (u32 i = EROFS_LZ4; i <= EROFS_LZMA; i++) {
        if (!(fs->algorithms & BIT(i)))
            continue;
        if (at + sizeof(len) > EROFS_BLOCK_SIZE)
            return refuse(why, -EUCLEAN, "a configuration lies outside of its block");
        memcpy(&len, block + at, sizeof(len));
        at += (u32)sizeof(len);
        if (le16_get(len) > EROFS_BLOCK_SIZE - at)
            return refuse(why, -EUCLEAN, "a configuration lies outside of its block");
        if (i == EROFS_LZMA)
            memcpy(&lzma, block + at, min((size_t)le16_get(len), sizeof(lzma)));
        at += le16_get(len);
    }
    fs->dict_size = le32_get(lzma.dict_size);
    if (le16_get(lzma.format))
        return refuse(why, -EOPNOTSUPP, "another format of lzma");
    if (fs->algorithms & BIT(EROFS_LZMA) &&
        (fs->dict_size < DICT_LEAST || fs->dict_size > DICT_MOST))
        return refuse(why, -EUCLEAN, "a dictionary of lzma that cannot be");
    return 0;
}

/* @max: bytes that are there. */
static int read_super(struct erofs *fs, const u8 *block, u64 max, const char **why)
{
    struct erofs_super_block sb;
    int err = check_super(block, why);

    if (err)
        return err;
    memcpy(&sb, block + EROFS_SUPER_OFFSET, sizeof(sb));
    fs->size = (u64)le32_get(sb.blocks) << EROFS_BLOCK_BITS;
    if (!fs->size || fs->size > max)
        return refuse(why, -EUCLEAN, "the image is cut short");
    fs->meta_pos = (u64)le32_get(sb.meta_blkaddr) << EROFS_BLOCK_BITS;
    fs->xattr_pos = (u64)le32_get(sb.xattr_blkaddr) << EROFS_BLOCK_BITS;
    fs->root_nid = le16_get(sb.root_nid);
    fs->build_time.tv_sec = (s64)le64_get(sb.build_time);
    fs->build_time.tv_nsec = le32_get(sb.build_time_nsec);
    if (fs->meta_pos >= fs->size || fs->xattr_pos >= fs->size)
        return refuse(why, -EUCLEAN, "an area lies outside of the image");
    if (fs->build_time.tv_nsec >= (s64)NSEC_PER_SEC)
        fs->build_time.tv_nsec = 0;
    return read_algorithms(fs, &sb, block, why);
}

u64 erofs_image_size(const void *base, u64 max)
{
    struct erofs_super_block sb;

    if (max < EROFS_BLOCK_SIZE)
        return 0;
    memcpy(&sb, (const u8 *)base + EROFS_SUPER_OFFSET, sizeof(sb));
    if (le32_get(sb.magic) != EROFS_SUPER_MAGIC)
        return 0;
    return (u64)le32_get(sb.blocks) << EROFS_BLOCK_BITS;
}

static void evict(struct inode *inode)
{
    inode_free_pages(inode);
}

static int statfs(struct super_block *sb, struct statfs64 *out)
{
    out->f_blocks = ((struct erofs *)sb->data)->size >> EROFS_BLOCK_BITS;
    return 0;
}

static const struct super_ops super_ops = {.evict = evict, .statfs = statfs};

static ssize_t link_read(struct inode *inode, char *buf, size_t size)
{
    struct erofs *fs = erofs_of(inode);
    u64 len = min(inode->size, (u64)size), done = 0;

    while (done < len) {
        u64 pos, run;
        int err = erofs_extent(inode, done, &pos, &run);
        if (!err && !pos)
            err = -EUCLEAN;
        run = min(run, len - done);
        if (!err)
            err = erofs_copy(fs, pos, buf + done, run);
        if (err)
            return err;
        done += run;
    }
    return (ssize_t)done;
}

static struct inode *origin(struct inode *inode)
{
    return inode;
}

static const struct inode_ops dir_ops = {
    .lookup = erofs_lookup,
    .iterate = erofs_iterate,
    .getxattr = erofs_getxattr,
    .listxattr = erofs_listxattr,
};
static const struct inode_ops file_ops = {
    .direct = erofs_direct,
    .readpages = erofs_readpages,
    .origin = origin,
    .getxattr = erofs_getxattr,
    .listxattr = erofs_listxattr,
};
static const struct inode_ops other_ops = {
    .readlink = link_read,
    .getxattr = erofs_getxattr,
    .listxattr = erofs_listxattr,
};

/* The fields of either kind of inode; *@size is that of the kind. */
static int decode(struct erofs *fs, const u8 *raw, u32 *size, u32 *u, struct inode *inode)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    struct erofs_inode_extended x;
    struct erofs_inode_compact c;
    u16 format, icount;

    memcpy(&x, raw, sizeof(x));
    memcpy(&c, raw, sizeof(c));
    format = le16_get(c.format);
    icount = le16_get(c.xattr_icount);
    if (format & ~EROFS_FORMAT_KNOWN)
        return -EUCLEAN;
    if (format & EROFS_INODE_EXTENDED) {
        *size = sizeof(x);
        *u = le32_get(x.u);
        inode->size = le64_get(x.size);
        inode->uid = le32_get(x.uid);
        inode->gid = le32_get(x.gid);
        inode->nlink = le32_get(x.nlink);
        inode->mtime.tv_sec = (s64)le64_get(x.mtime);
        inode->mtime.tv_nsec = le32_get(x.mtime_nsec);
    } else {
        *size = sizeof(c);
        *u = le32_get(c.u);
        inode->size = le32_get(c.size);
        inode->uid = le16_get(c.uid);
        inode->gid = le16_get(c.gid);
        inode->nlink = le16_get(c.nlink);
        inode->mtime = fs->build_time;
    }
    if (inode->size > INT64_MAX || inode->mtime.tv_nsec >= (s64)NSEC_PER_SEC || !inode->nlink)
        return -EUCLEAN;
    inode->mode = le16_get(c.mode);
    inode->atime = inode->ctime = inode->btime = inode->mtime;
    ei->layout = format >> EROFS_LAYOUT_SHIFT & EROFS_LAYOUT_MASK;
    ei->xattr_len = icount ? (u32)sizeof(struct erofs_xattr_header) + 4 * ((u32)icount - 1) : 0;
    return 0;
}

/* Whole blocks from @blkaddr on, and what follows the inode. @end: behind inode and attributes. */
static int place_flat(struct erofs *fs, struct inode *inode, u32 blkaddr, u64 end)
{
    struct erofs_inode *ei = erofs_inode_of(inode);

    ei->head_pos = (u64)blkaddr << EROFS_BLOCK_BITS;
    ei->head_len = inode->size;
    if (ei->layout == EROFS_FLAT_INLINE && inode->size) {
        ei->head_len = ALIGN_DOWN(inode->size - 1, (u64)EROFS_BLOCK_SIZE);
        u64 tail_len = inode->size - ei->head_len;
        if (end % EROFS_BLOCK_SIZE + tail_len > EROFS_BLOCK_SIZE || !erofs_has(fs, end, tail_len))
            return -EUCLEAN;
        ei->tail_pos = end;
        ei->tail = fs->base ? fs->base + end : NULL;
    }
    if (ei->head_len && !erofs_has(fs, ei->head_pos, ei->head_len))
        return -EUCLEAN;
    ei->head = fs->base ? fs->base + ei->head_pos : NULL;
    return 0;
}

static int place_chunks(struct erofs *fs, struct inode *inode, u32 format, u64 end)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    u64 table_len;

    if (format & ~(u32)EROFS_CHUNK_KNOWN)
        return -EUCLEAN;
    ei->chunk_bits = (u8)(EROFS_BLOCK_BITS + (format & EROFS_CHUNK_BITS_MASK));
    ei->chunk_unit = format & EROFS_CHUNK_INDEXES ? sizeof(struct erofs_chunk_index) : sizeof(le32);
    ei->tail_pos = ALIGN_UP(end, (u64)ei->chunk_unit);
    u64 chunks = (inode->size >> ei->chunk_bits) + !!(inode->size & (BIT(ei->chunk_bits) - 1));
    if (__builtin_mul_overflow(chunks, (u64)ei->chunk_unit, &table_len) ||
        !erofs_has(fs, ei->tail_pos, table_len))
        return -EUCLEAN;
    return 0;
}

/* Where the data is; @end as above. */
static int place_data(struct erofs *fs, struct inode *inode, u32 u, u64 end)
{
    struct erofs_inode *ei = erofs_inode_of(inode);

    switch (inode->mode & S_IFMT) {
    case S_IFCHR:
    case S_IFBLK:
        inode->rdev = u;
        return 0;
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFREG:
    case S_IFDIR:
        break;
    case S_IFLNK:
        if (!inode->size || inode->size >= EROFS_BLOCK_SIZE)
            return -EUCLEAN;
        break;
    default:
        return -EUCLEAN;
    }
    inode->blocks = DIV_UP(inode->size, (u64)512);
    switch (ei->layout) {
    case EROFS_FLAT_PLAIN:
    case EROFS_FLAT_INLINE:
        return place_flat(fs, inode, u, end);
    case EROFS_CHUNK_BASED:
        return place_chunks(fs, inode, u, end);
    case EROFS_COMPRESSED_FULL:
    case EROFS_COMPRESSED_COMPACT:
        inode->blocks = (u64)u << (EROFS_BLOCK_BITS - 9);
        return S_ISREG(inode->mode) ? erofs_place_compressed(fs, inode, end) : -EUCLEAN;
    default:
        return -EUCLEAN;
    }
}

static void set_ops(struct inode *inode)
{
    inode->ops = &other_ops;
    if (S_ISDIR(inode->mode)) {
        inode->ops = &dir_ops;
        inode->fops = &generic_dir_file_ops;
    } else if (S_ISREG(inode->mode)) {
        inode->ops = &file_ops;
        inode->fops = &generic_ro_file_ops;
    }
}

static int fill_inode(struct erofs *fs, struct inode *inode, u64 pos)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    u8 raw[sizeof(struct erofs_inode_extended)] = {0};
    u32 size, u;

    u64 room = fs->size - pos; /* the last inode of an image may be a compact one */
    int err = erofs_copy(fs, pos, raw, min(room, (u64)sizeof(raw)));
    if (!err)
        err = decode(fs, raw, &size, &u, inode);
    if (!err && !erofs_has(fs, pos, (u64)size + ei->xattr_len))
        err = -EUCLEAN;
    if (err)
        return err;
    ei->xattr_pos = pos + size;
    err = place_data(fs, inode, u, pos + size + ei->xattr_len);
    if (!err && S_ISREG(inode->mode))
        err = inode_alloc_pages(inode, true);
    return err;
}

int erofs_iget(struct super_block *sb, u64 nid, struct inode **out)
{
    struct erofs *fs = sb->data;
    u64 offset, pos;

    struct inode *inode = inode_find(sb, nid);
    if (inode) {
        *out = inode;
        return 0;
    }
    if (__builtin_mul_overflow(nid, (u64)EROFS_SLOT_SIZE, &offset) ||
        __builtin_add_overflow(fs->meta_pos, offset, &pos) ||
        !erofs_has(fs, pos, sizeof(struct erofs_inode_compact)))
        return -EUCLEAN;
    inode = inode_create(sb, 0);
    if (!inode)
        return -ENOMEM;
    inode->ino = nid;
    int err = fill_inode(fs, inode, pos);
    if (err) {
        inode_put(inode);
        return err;
    }
    set_ops(inode);
    *out = inode_add(inode);
    return 0;
}

static void destroy(struct super_block *sb)
{
    struct erofs *fs = sb->data;

    if (fs)
        inode_put(fs->disk);
    kfree(fs);
    super_destroy(sb);
}

static struct super_block *create(void)
{
    struct super_block *sb = super_create("erofs", LINUX_EROFS_MAGIC);
    if (!sb)
        return NULL;
    sb->ops = &super_ops;
    sb->readonly = true;
    sb->inode_extra = sizeof(struct erofs_inode);
    sb->data = kzalloc(sizeof(struct erofs));
    if (!sb->data) {
        destroy(sb);
        return NULL;
    }
    return sb;
}

static int add_root(struct super_block *sb, const char **why)
{
    struct inode *root;
    struct erofs *fs = sb->data;

    int err = erofs_iget(sb, fs->root_nid, &root);
    if (err)
        return refuse(why, err, "the root directory cannot be read");
    if (!S_ISDIR(root->mode)) {
        inode_put(root);
        return refuse(why, -EUCLEAN, "the root is not a directory");
    }
    sb->root = dentry_create_root(root);
    if (!sb->root) {
        inode_put(root);
        return refuse(why, -ENOMEM, "no memory");
    }
    return 0;
}

static int finish(struct super_block *sb, const u8 *block, u64 max, struct super_block **out,
                  const char **why)
{
    int err = read_super(sb->data, block, max, why);
    if (!err)
        err = add_root(sb, why);
    if (err) {
        destroy(sb);
        return err;
    }
    *out = sb;
    return 0;
}

int erofs_mount_memory(const void *base, u64 max, struct super_block **out, const char **why)
{
    if (max < EROFS_BLOCK_SIZE)
        return refuse(why, -EINVAL, "it is smaller than a super block");
    struct super_block *sb = create();
    if (!sb)
        return refuse(why, -ENOMEM, "no memory");
    ((struct erofs *)sb->data)->base = base;
    return finish(sb, base, max, out, why);
}

int erofs_mount_disk(struct block_dev *bd, struct super_block **out, const char **why)
{
    u64 max = bd->sectors * SECTOR_SIZE;
    struct erofs_buf buf;
    const u8 *block;

    if (max < EROFS_BLOCK_SIZE)
        return refuse(why, -EINVAL, "it is smaller than a super block");
    struct super_block *sb = create();
    if (!sb)
        return refuse(why, -ENOMEM, "no memory");
    struct erofs *fs = sb->data;
    fs->bd = bd;
    fs->size = max;
    fs->disk = inode_create(sb, S_IFBLK);
    int err = fs->disk ? inode_alloc_pages(fs->disk, true) : -ENOMEM;
    if (!err) {
        fs->disk->size = ALIGN_DOWN(max, (u64)EROFS_BLOCK_SIZE);
        fs->disk->ops = &erofs_disk_ops;
        err = erofs_map(fs, 0, EROFS_BLOCK_SIZE, &buf, &block);
    }
    if (err) {
        destroy(sb);
        return refuse(why, err, err == -ENOMEM ? "no memory" : "the disk cannot be read");
    }
    err = finish(sb, block, max, out, why);
    erofs_unmap(&buf);
    return err;
}
