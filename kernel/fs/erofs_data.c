/* EROFS: where bytes are, and how they come into pages. */
#include "abi/errno.h"
#include "block/block.h"
#include "fs/erofs_priv.h"
#include "lib/string.h"
#include "mm/page.h"

int erofs_map(const struct erofs *fs, u64 pos, u64 len, struct erofs_buf *buf, const u8 **out)
{
    buf->page = NULL;
    if (!erofs_has(fs, pos, len) || pos % EROFS_BLOCK_SIZE + len > EROFS_BLOCK_SIZE)
        return -EUCLEAN;
    if (fs->base) {
        *out = fs->base + pos;
        return 0;
    }
    int err = inode_get_page(fs->disk, pos >> EROFS_BLOCK_BITS, &buf->page);
    if (err)
        return err == -EFAULT ? -EUCLEAN : err;
    *out = (const u8 *)page_to_virt(buf->page) + pos % EROFS_BLOCK_SIZE;
    return 0;
}

void erofs_unmap(struct erofs_buf *buf)
{
    if (buf->page)
        page_put(buf->page);
}

int erofs_copy(const struct erofs *fs, u64 pos, void *dst, u64 len)
{
    if (!erofs_has(fs, pos, len))
        return -EUCLEAN;
    if (fs->base) {
        memcpy(dst, fs->base + pos, len);
        return 0;
    }
    for (u64 done = 0, run; done < len; done += run) {
        struct erofs_buf buf;
        const u8 *bytes;
        run = min(len - done, EROFS_BLOCK_SIZE - (pos + done) % EROFS_BLOCK_SIZE);
        int err = erofs_map(fs, pos + done, run, &buf, &bytes);
        if (err)
            return err;
        memcpy((u8 *)dst + done, bytes, run);
        erofs_unmap(&buf);
    }
    return 0;
}

/* The first block of a chunk; EROFS_NULL_ADDR for a hole. */
static int chunk_block(struct inode *inode, u64 chunk, u32 *blkaddr)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    u64 pos = ei->tail_pos + chunk * ei->chunk_unit;
    struct erofs_chunk_index index;
    le32 addr;

    if (ei->chunk_unit == sizeof(addr)) {
        int err = erofs_copy(erofs_of(inode), pos, &addr, sizeof(addr));
        if (!err)
            *blkaddr = le32_get(addr);
        return err;
    }
    int err = erofs_copy(erofs_of(inode), pos, &index, sizeof(index));
    if (err)
        return err;
    if (le16_get(index.device_id))
        return -EOPNOTSUPP;
    *blkaddr = le32_get(index.blkaddr);
    return 0;
}

static int chunk_extent(struct inode *inode, u64 offset, u64 *pos, u64 *len)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    u64 in_chunk = offset & (BIT(ei->chunk_bits) - 1);
    u32 blkaddr;

    int err = chunk_block(inode, offset >> ei->chunk_bits, &blkaddr);
    if (err)
        return err;
    *len = min(BIT(ei->chunk_bits) - in_chunk, inode->size - offset);
    *pos = 0;
    if (blkaddr == EROFS_NULL_ADDR)
        return 0;
    *pos = ((u64)blkaddr << EROFS_BLOCK_BITS) + in_chunk;
    return *pos && erofs_has(erofs_of(inode), *pos, *len) ? 0 : -EUCLEAN;
}

int erofs_extent(struct inode *inode, u64 offset, u64 *pos, u64 *len)
{
    struct erofs_inode *ei = erofs_inode_of(inode);

    if (offset >= inode->size)
        return -EUCLEAN;
    if (ei->layout == EROFS_CHUNK_BASED)
        return chunk_extent(inode, offset, pos, len);
    if (offset < ei->head_len) {
        *pos = ei->head_pos + offset;
        *len = ei->head_len - offset;
    } else {
        *pos = ei->tail_pos + (offset - ei->head_len);
        *len = inode->size - offset;
    }
    return *pos ? 0 : -EUCLEAN;
}

const void *erofs_direct(struct inode *inode, u64 offset, u64 *len)
{
    struct erofs_inode *ei = erofs_inode_of(inode);
    u64 pos;

    if (likely(offset < ei->head_len && ei->head)) {
        *len = ei->head_len - offset;
        return ei->head + offset;
    }
    if (ei->tail) {
        *len = inode->size - offset;
        return ei->tail + (offset - ei->head_len);
    }
    const u8 *base = erofs_of(inode)->base;
    if (!base || ei->layout != EROFS_CHUNK_BASED)
        return NULL;
    return chunk_extent(inode, offset, &pos, len) || !pos ? NULL : base + pos;
}

/* Read @nr whole pages from the disk at @pos, in as few requests as the device allows. */
static int read_disk(struct block_dev *bd, u64 pos, struct page **pages, u32 nr)
{
    u32 room =
        bd->max_segments ? min(bd->max_segments, (u32)BLOCK_MAX_SEGMENTS) : (u32)BLOCK_MAX_SEGMENTS;

    if (bd->max_bytes)
        room = max(min(room, bd->max_bytes >> PAGE_SHIFT), 1u);
    for (u32 i = 0, count; i < nr; i += count) {
        struct block_request request = {.op = BLOCK_READ};
        count = min(nr - i, room);
        request.sector = (pos + ((u64)i << PAGE_SHIFT)) / SECTOR_SIZE;
        request.nr_segments = count;
        for (u32 s = 0; s < count; s++)
            request.segments[s] = (struct block_segment){page_to_virt(pages[i + s]), PAGE_SIZE};
        int err = block_run(bd, &request, 1);
        if (err)
            return err;
    }
    return 0;
}

/* Fill one page piece by piece. */
static int fill_page(struct inode *inode, u64 offset, u8 *dst)
{
    u64 end = min(offset + PAGE_SIZE, inode->size), at = offset;

    memset(dst, 0, PAGE_SIZE);
    while (at < end) {
        u64 pos, len;
        int err = erofs_extent(inode, at, &pos, &len);
        if (err)
            return err;
        len = min(len, end - at);
        err = pos ? erofs_copy(erofs_of(inode), pos, dst + (at - offset), len) : 0;
        if (err)
            return err;
        at += len;
    }
    return 0;
}

/* How many of @nr pages from @offset on lie in one piece of the disk as whole blocks: *@pos. */
static u32 whole_run(struct inode *inode, u64 offset, u32 nr, u64 *pos)
{
    u64 len;

    if (!erofs_of(inode)->bd || erofs_extent(inode, offset, pos, &len))
        return 0;
    if (!*pos || *pos % EROFS_BLOCK_SIZE)
        return 0;
    return (u32)min(len >> PAGE_SHIFT, (u64)nr);
}

int erofs_readpages(struct inode *inode, u64 index, struct page **pages, u32 nr)
{
    if (erofs_inode_of(inode)->nr_clusters)
        return erofs_zreadpages(inode, index, pages, nr);
    for (u32 i = 0; i < nr;) {
        u64 offset = (index + i) << PAGE_SHIFT, pos;
        u32 run = whole_run(inode, offset, nr - i, &pos);
        int err = run ? read_disk(erofs_of(inode)->bd, pos, pages + i, run)
                      : fill_page(inode, offset, page_to_virt(pages[i]));
        if (err)
            return err;
        i += run ? run : 1;
    }
    return 0;
}

static int disk_readpages(struct inode *disk, u64 index, struct page **pages, u32 nr)
{
    return read_disk(erofs_of(disk)->bd, index << PAGE_SHIFT, pages, nr);
}

const struct inode_ops erofs_disk_ops = {.readpages = disk_readpages};
