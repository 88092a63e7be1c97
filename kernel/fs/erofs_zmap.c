/* EROFS: where the extents of compressed files are.  A file is cut into logical clusters of 4096
 * bytes, each with an entry in the index: where in it an extent begins, and the block of that one's
 * bytes, or how far back the extent began that it lies in.  The full index has 8 bytes an entry,
 * the compact one packs of 2 entries in 8 bytes and of 16 in 32.  Source: see disk/erofs.h. */
#include "abi/errno.h"
#include "fs/erofs_priv.h"
#include "lib/string.h"

enum {
    CLUSTER_BITS = 12,
    CLUSTER = 1 << CLUSTER_BITS,
    LOW_BITS = 12, /* of a compact entry: offset, distance or blocks; then 2 of the type */
    LOW_MASK = (1 << LOW_BITS) - 1,
    PACK_MAX = 32,
    FULL_PADDING = 8,
    FRAGMENTS_ALL = 0x80,
    EXTENT_MAX = 12 << 20, /* as Linux has it */
    PLEN_MAX = 1 << 20,
};

/* An entry, whichever index it is from. */
struct entry {
    u32 cluster;
    enum erofs_cluster type;
    u32 offset;   /* heads: where the extent begins in the cluster */
    u32 blkaddr;  /* heads */
    u32 back;     /* inside: at least 1 */
    u32 blocks;   /* inside, the first: of the physical cluster; 0: not told */
    u64 pack_end; /* in the image */
};

static int load_full(const struct erofs *fs, const struct erofs_inode *ei, struct entry *out)
{
    u64 pos = ei->index_pos + FULL_PADDING + (u64)out->cluster * sizeof(struct erofs_full_index);
    struct erofs_full_index raw;

    int err = erofs_copy(fs, pos, &raw, sizeof(raw));
    if (err)
        return err;
    out->type = le16_get(raw.advise) & EROFS_CLUSTER_MASK;
    out->pack_end = pos + sizeof(raw);
    if (out->type != EROFS_CLUSTER_INSIDE) {
        out->offset = le16_get(raw.offset);
        out->blkaddr = le32_get(raw.u.blkaddr);
        return out->offset < CLUSTER ? 0 : -EUCLEAN;
    }
    out->back = le16_get(raw.u.delta[0]);
    if (out->back & EROFS_DELTA_IS_BLOCKS) {
        out->blocks = out->back & ~(u32)EROFS_DELTA_IS_BLOCKS;
        out->back = 1;
    }
    return out->back ? 0 : -EUCLEAN;
}

/* A pack: its entries bit by bit, then the block before its first head's. */
struct pack {
    u8 bytes[PACK_MAX];
    u32 count, bits; /* entries, and bits of one */
    bool big;
};

static u32 pack_low(const struct pack *pack, u32 i, enum erofs_cluster *type)
{
    u32 bit = i * pack->bits, value = 0;

    memcpy(&value, pack->bytes + bit / 8, sizeof(value)); /* a le32 is behind the last */
    value >>= bit % 8;
    *type = value >> LOW_BITS & EROFS_CLUSTER_MASK;
    return value & LOW_MASK;
}

/* The block of head @i: those before it in the pack are counted, a head a cluster. */
static int pack_block(const struct pack *pack, u32 i, u32 *blkaddr)
{
    u32 nr = pack->big ? 0 : 1, base;
    enum erofs_cluster type;

    while (i > 0) {
        u32 low = pack_low(pack, --i, &type), skip = 0;
        if (type != EROFS_CLUSTER_INSIDE) {
            nr++;
            continue;
        }
        if (pack->big && low & EROFS_DELTA_IS_BLOCKS) {
            nr += low & ~(u32)EROFS_DELTA_IS_BLOCKS;
            skip = 1; /* its head, whose blocks these are */
        } else if (pack->big) {
            if (low <= 1)
                return -EUCLEAN;
            skip = low - 2; /* to the one that says how many blocks */
        } else {
            if (low > i)
                break; /* its head is in an earlier pack */
            i -= low;
            nr++;
            continue;
        }
        i -= min(skip, i);
    }
    memcpy(&base, pack->bytes + pack->count * pack->bits / 8, sizeof(base));
    *blkaddr = base + nr;
    return 0;
}

/* The last entry of a pack has the distance to the next head in its place: it is one further from
 * its head than the one before it. */
static u32 pack_back(const struct pack *pack, u32 i)
{
    enum erofs_cluster type;
    u32 low = pack_low(pack, i, &type);

    if (i + 1 != pack->count || !i)
        return low;
    low = pack_low(pack, i - 1, &type);
    if (type != EROFS_CLUSTER_INSIDE)
        return 1;
    return (low & EROFS_DELTA_IS_BLOCKS ? 1 : low) + 1;
}

static int unpack(const struct pack *pack, u32 i, struct entry *out)
{
    u32 low = pack_low(pack, i, &out->type);

    if (out->type != EROFS_CLUSTER_INSIDE) {
        out->offset = low;
        return pack_block(pack, i, &out->blkaddr);
    }
    if (low & EROFS_DELTA_IS_BLOCKS) {
        if (!pack->big)
            return -EUCLEAN;
        out->blocks = low & ~(u32)EROFS_DELTA_IS_BLOCKS;
        out->back = 1;
        return 0;
    }
    out->back = pack_back(pack, i);
    return out->back ? 0 : -EUCLEAN;
}

/* Entries of 4 bytes up to a boundary of 32, then packs of 16 with 2 bytes an entry where the file
 * wants that, then 4 bytes again. */
static int load_compact(const struct erofs *fs, const struct erofs_inode *ei, struct entry *out)
{
    u32 at_first = (u32)((PACK_MAX - ei->index_pos % PACK_MAX) / 4) & 7, at = out->cluster;
    u32 of_two = 0, width = 4;
    u64 pos = ei->index_pos;

    if (ei->advise & EROFS_ADVISE_COMPACT_2B && at_first < ei->nr_clusters)
        of_two = ALIGN_DOWN(ei->nr_clusters - at_first, 16u);
    if (at >= at_first) {
        pos += at_first * 4ull;
        at -= at_first;
        if (at < of_two)
            width = 2;
        else
            pos += of_two * 2ull, at -= of_two;
    }
    pos += (u64)at * width;

    struct pack pack = {.count = width == 2 ? 16 : 2, .big = ei->advise & EROFS_ADVISE_BIG_1};
    u32 len = pack.count * width;
    pack.bits = (len - (u32)sizeof(le32)) * 8 / pack.count;
    u64 start = ALIGN_DOWN(pos, (u64)len);
    int err = erofs_copy(fs, start, pack.bytes, len);
    out->pack_end = start + len;
    return err ? err : unpack(&pack, (u32)(pos - start) / width, out);
}

static int load(struct inode *inode, u32 cluster, struct entry *out)
{
    const struct erofs_inode *ei = erofs_inode_of(inode);

    *out = (struct entry){.cluster = cluster};
    if (cluster >= ei->nr_clusters)
        return -EUCLEAN;
    int err = ei->layout == EROFS_COMPRESSED_FULL ? load_full(erofs_of(inode), ei, out)
                                                  : load_compact(erofs_of(inode), ei, out);
    if (err)
        return err;
    return out->type == EROFS_CLUSTER_HEAD2 ? -EUCLEAN : 0; /* the feature is not known */
}

/* The head of the extent that @e lies in, or that ends in @e. */
static int find_head(struct inode *inode, struct entry *e, u32 back)
{
    do {
        if (back > e->cluster)
            return -EUCLEAN;
        int err = load(inode, e->cluster - back, e);
        if (err)
            return err;
        back = e->back;
    } while (e->type == EROFS_CLUSTER_INSIDE);
    return 0;
}

/* Where the extent ends that the cluster before @next is still in; at least @until if it can. */
static int find_end(struct inode *inode, u32 next, u64 until, u64 *end)
{
    struct entry e;

    for (;; next++) {
        u64 at = (u64)next << CLUSTER_BITS;
        if (at >= inode->size || at >= until) {
            *end = min(at, inode->size);
            return 0;
        }
        int err = load(inode, next, &e);
        if (err)
            return err;
        if (e.type != EROFS_CLUSTER_INSIDE) {
            *end = min(at + e.offset, inode->size);
            return 0;
        }
    }
}

/* Bytes of the physical cluster of @head: the first cluster inside tells, if there is one. */
static int physical_len(struct inode *inode, const struct entry *head, u32 *len)
{
    const struct erofs_inode *ei = erofs_inode_of(inode);
    struct entry next;

    *len = CLUSTER;
    if (head->type == EROFS_CLUSTER_STORED || !(ei->advise & EROFS_ADVISE_BIG_1) ||
        head->cluster + 1 == ei->nr_clusters)
        return 0;
    int err = load(inode, head->cluster + 1, &next);
    if (err || next.type != EROFS_CLUSTER_INSIDE)
        return err;
    if (!next.blocks || next.blocks > PLEN_MAX / EROFS_BLOCK_SIZE)
        return -EUCLEAN;
    *len = next.blocks << EROFS_BLOCK_BITS;
    return 0;
}

int erofs_zextent(struct inode *inode, u64 offset, u64 until, struct erofs_zextent *out)
{
    const struct erofs_inode *ei = erofs_inode_of(inode);
    struct entry e;

    int err = load(inode, (u32)(offset >> CLUSTER_BITS), &e);
    if (err)
        return err;
    bool inside = e.type == EROFS_CLUSTER_INSIDE, before = !inside && offset % CLUSTER < e.offset;
    if (before)
        out->end = min(((u64)e.cluster << CLUSTER_BITS) + e.offset, inode->size);
    else
        err = find_end(inode, e.cluster + 1, until, &out->end);
    if (!err && (inside || before))
        err = find_head(inode, &e, inside ? e.back : 1);
    if (err)
        return err;
    out->start = ((u64)e.cluster << CLUSTER_BITS) + e.offset;
    out->stored = e.type == EROFS_CLUSTER_STORED;
    out->pos = (u64)e.blkaddr << EROFS_BLOCK_BITS;
    err = physical_len(inode, &e, &out->len);
    if (ei->inline_len && e.cluster == ei->inline_head) {
        out->pos = ei->inline_pos;
        out->len = ei->inline_len;
    } else if (err)
        return err;
    if (out->start > offset || out->end <= offset || out->end - out->start > EXTENT_MAX ||
        !out->pos || !erofs_has(erofs_of(inode), out->pos, out->len))
        return -EUCLEAN;
    return 0;
}

/* The last extent lies behind the index. */
static int place_inline(struct erofs *fs, struct inode *inode, u32 len)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    struct entry e;

    int err = load(inode, ei->nr_clusters - 1, &e);
    if (err)
        return err;
    ei->inline_pos = e.pack_end;
    ei->inline_len = len;
    bool before = e.type != EROFS_CLUSTER_INSIDE && (inode->size - 1) % CLUSTER < e.offset;
    if (e.type == EROFS_CLUSTER_INSIDE || before)
        err = find_head(inode, &e, before ? 1 : e.back);
    ei->inline_head = e.cluster;
    if (!err && (!len || ei->inline_pos % EROFS_BLOCK_SIZE + len > EROFS_BLOCK_SIZE ||
                 !erofs_has(fs, ei->inline_pos, len)))
        err = -EUCLEAN;
    return err;
}

int erofs_place_compressed(struct erofs *fs, struct inode *inode, u64 end)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    struct erofs_map_header header = {0};
    u64 pos = ALIGN_UP(end, (u64)sizeof(header));

    int err = erofs_copy(fs, pos, &header, sizeof(header));
    if (err || !inode->size)
        return err;
    if (inode->size > (u64)UINT32_MAX << CLUSTER_BITS)
        return -EFBIG;
    ei->nr_clusters = (u32)DIV_UP(inode->size, (u64)CLUSTER);
    ei->index_pos = pos + sizeof(header);
    if (!fs->has_headers && ei->layout == EROFS_COMPRESSED_FULL)
        return 0; /* the first format: always LZ4, whatever stands there */
    ei->advise = le16_get(header.advise);
    ei->algorithm = header.algorithms & 0xf;
    if (header.cluster_bits & FRAGMENTS_ALL || ei->advise & EROFS_ADVISE_FRAGMENT ||
        header.cluster_bits & 7)
        return -EOPNOTSUPP;
    if (ei->algorithm > EROFS_LZMA || !(fs->algorithms & BIT(ei->algorithm)))
        return -EUCLEAN;
    if (ei->advise & EROFS_ADVISE_INLINE)
        return place_inline(fs, inode, le16_get(header.inline_size));
    return 0;
}
