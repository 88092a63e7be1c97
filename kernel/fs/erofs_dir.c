/* EROFS: directories.  Names are sorted, within a block and from block to block, so a lookup is two
 * binary searches; every offset comes from the image and is checked where it is used. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/erofs_priv.h"
#include "lib/string.h"

/* One block of a directory.  [I]. */
struct dir_block {
    struct erofs_buf buf;
    const u8 *bytes;
    u32 len; /* bytes of it that belong to the directory */
    u32 nr;  /* entries, at least 1 */
};

struct dir_name {
    const char *text;
    u32 len;
    u64 nid;
    u8 type;
};

static int read_block(struct inode *dir, u64 block, struct dir_block *out)
{
    u64 offset = block << EROFS_BLOCK_BITS, pos, run;
    struct erofs_dirent first;

    int err = erofs_extent(dir, offset, &pos, &run);
    if (err)
        return err;
    out->len = (u32)min((u64)EROFS_BLOCK_SIZE, dir->size - offset);
    if (!pos || run < out->len || out->len < sizeof(first))
        return -EUCLEAN;
    err = erofs_map(erofs_of(dir), pos, out->len, &out->buf, &out->bytes);
    if (err)
        return err;
    memcpy(&first, out->bytes, sizeof(first));
    u32 names = le16_get(first.nameoff);
    out->nr = names / (u32)sizeof(first);
    if (!out->nr || names % sizeof(first) || names > out->len) {
        erofs_unmap(&out->buf);
        return -EUCLEAN;
    }
    return 0;
}

static int read_name(const struct dir_block *block, u32 i, struct dir_name *out)
{
    struct erofs_dirent entry, next;
    u32 end = block->len;

    memcpy(&entry, block->bytes + i * sizeof(entry), sizeof(entry));
    u32 start = le16_get(entry.nameoff);
    if (i + 1 < block->nr) {
        memcpy(&next, block->bytes + (i + 1) * sizeof(next), sizeof(next));
        end = le16_get(next.nameoff);
    }
    if (start < block->nr * sizeof(entry) || end <= start || end > block->len)
        return -EUCLEAN;
    out->text = (const char *)block->bytes + start;
    out->len = i + 1 < block->nr ? end - start : (u32)strnlen(out->text, end - start);
    out->nid = le64_get(entry.nid);
    out->type = entry.file_type;
    if (!out->len || out->len > LINUX_NAME_MAX || memchr(out->text, '/', out->len) ||
        memchr(out->text, 0, out->len))
        return -EUCLEAN;
    return 0;
}

static int compare(const char *name, size_t len, const struct dir_name *other)
{
    int order = memcmp(name, other->text, min(len, (size_t)other->len));

    return order ? order : (len > other->len) - (len < other->len);
}

/* The entry called @name in a block: 0 and *@nid, -ENOENT, or -EUCLEAN. *@first: how the name
 * stands to the block's first one. */
static int search_block(const struct dir_block *block, const char *name, size_t len, int *first,
                        u64 *nid)
{
    u32 low = 0, high = block->nr;
    struct dir_name entry;

    while (low < high) {
        u32 mid = low ? (low + high) / 2 : 0; /* the first one first: it picks the block */
        int err = read_name(block, mid, &entry);
        if (err)
            return err;
        int order = compare(name, len, &entry);
        if (!mid)
            *first = order;
        if (!order) {
            *nid = entry.nid;
            return 0;
        }
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return -ENOENT;
}

static int find_nid(struct inode *dir, const char *name, size_t len, u64 *nid)
{
    u64 low = 0, high = DIV_UP(dir->size, (u64)EROFS_BLOCK_SIZE);

    while (low < high) {
        u64 mid = (low + high) / 2;
        struct dir_block block;
        int first = 0;
        int err = read_block(dir, mid, &block);
        if (err)
            return err;
        err = search_block(&block, name, len, &first, nid);
        erofs_unmap(&block.buf);
        if (err != -ENOENT)
            return err;
        if (first < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return -ENOENT;
}

/* A name above this block's last one and below the next block's first one is in neither, which two
 * more halvings find out: no special case is worth it. */
int erofs_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    u64 nid;
    int err = find_nid(dir, name, len, &nid);

    return err ? err : erofs_iget(dir->sb, nid, out);
}

static bool is_dots(const struct dir_name *name)
{
    return name->text[0] == '.' && (name->len == 1 || (name->len == 2 && name->text[1] == '.'));
}

/* Entries of one block from number @i on; *@pos follows. 1: the sink is full. */
static int iterate_block(const struct dir_block *block, u32 i, u64 base, u64 *pos,
                         struct dir_sink *sink)
{
    static const u8 types[] = {0, 8, 4, 2, 6, 1, 12, 10}; /* FT_* to DT_* */

    for (; i < block->nr; i++) {
        struct dir_name name;
        u64 next = base + (i + 1 == block->nr ? (u64)EROFS_BLOCK_SIZE : i + 1);
        int err = read_name(block, i, &name);
        if (err)
            return err;
        u8 type = name.type < sizeof(types) ? types[name.type] : 0;
        if (!is_dots(&name) && !sink->add(sink, name.text, name.len, name.nid, next, type))
            return 1;
        *pos = next;
    }
    *pos = base + EROFS_BLOCK_SIZE;
    return 0;
}

/* A position is READDIR_FIRST + block * 4096 + the entry's number. */
int erofs_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    while (*pos - READDIR_FIRST < dir->size) {
        struct dir_block block;
        u64 at = *pos - READDIR_FIRST, base = ALIGN_DOWN(at, (u64)EROFS_BLOCK_SIZE);
        int err = read_block(dir, at >> EROFS_BLOCK_BITS, &block);
        if (err)
            return err;
        err = iterate_block(&block, (u32)(at - base), base + READDIR_FIRST, pos, sink);
        erofs_unmap(&block.buf);
        if (err)
            return err < 0 ? err : 0;
    }
    return 0;
}
