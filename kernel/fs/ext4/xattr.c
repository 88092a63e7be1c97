/* Extended attributes: behind the fixed part of the inode while there is room, the others in one
 * block, which may be shared.  A change gathers all, and lays them out anew. */
#include "abi/errno.h"
#include "fs/ext4/priv.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { XATTR_CREATE = 1, XATTR_REPLACE = 2, MAX_ATTRS = 256 };
enum { ENTRY = sizeof(struct ext4_xattr_entry), END_MARK = 4 };

/* One attribute; name and value lie where they were found, or are the caller's. */
struct attr {
    u8 index, name_len;
    const char *name;
    const u8 *value;
    u32 size;
};

/* All of an inode's. */
struct attrs {
    struct ext4_buf *inode_buf, *block; /* references; .block may be NULL */
    u8 *body;                           /* behind the inode: the magic number */
    u32 body_size;                      /* 0: no room there */
    u32 nr;
    struct attr list[MAX_ATTRS + 1];
};

static const struct {
    u8 index;
    const char *prefix;
} prefixes[] = {
    {1, "user."},
    {4, "trusted."},
    {6, "security."},
    {2, "system.posix_acl_access"},
};

static const char *prefix_of(u8 index)
{
    for (u32 i = 0; i < ARRAY_LEN(prefixes); i++)
        if (prefixes[i].index == index)
            return prefixes[i].prefix;
    return NULL;
}

static int split_name(const char *name, struct attr *out)
{
    for (u32 i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (!str_starts(name, prefixes[i].prefix))
            continue;
        out->index = prefixes[i].index;
        out->name = name + strlen(prefixes[i].prefix);
        size_t len = strlen(out->name);
        if (len > 255)
            return -ERANGE;
        out->name_len = (u8)len;
        return 0;
    }
    return -EOPNOTSUPP;
}

/* Read entries from @at up to @end; values count from @base. */
static int parse(struct attrs *all, const u8 *at, const u8 *base, const u8 *end)
{
    while (at + END_MARK <= end) {
        const struct ext4_xattr_entry *e = (const void *)at;
        u32 mark;
        memcpy(&mark, at, sizeof(mark));
        if (!mark)
            return 0;
        u32 size = at + ENTRY <= end ? le32_get(e->value_size) : UINT32_MAX;
        if (size > (u64)(end - base) || at + ENTRY + e->name_len > end ||
            (size && le16_get(e->value_offs) + (u64)size > (u64)(end - base)) ||
            le32_get(e->value_inum) || all->nr == MAX_ATTRS)
            return -EUCLEAN;
        all->list[all->nr++] = (struct attr){e->name_index, e->name_len, e->name,
                                             base + le16_get(e->value_offs), size};
        at += ENTRY + ALIGN_UP((u32)e->name_len, 4u);
    }
    return at <= end ? 0 : -EUCLEAN;
}

static void attrs_put(struct ext4_fs *fs, struct attrs *all)
{
    if (!all)
        return;
    buf_put(fs, all->block);
    buf_put(fs, all->inode_buf);
    kfree(all);
}

static int read_block(struct ext4_fs *fs, u64 block, struct ext4_buf **out)
{
    int err = buf_read_kind(fs, block, EXT4_XATTR_BLOCK, 0, out);

    if (err)
        return err;
    const struct ext4_xattr_header *head = (const void *)(*out)->data;
    if (le32_get(head->magic) == EXT4_XATTR_MAGIC && le32_get(head->blocks) == 1 &&
        le32_get(head->refcount))
        return 0;
    buf_put(fs, *out);
    *out = NULL;
    return -EUCLEAN;
}

static int gather(struct inode *inode, struct attrs **out)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct attrs *all = kzalloc(sizeof(*all));
    struct ext4_disk_inode *raw;
    u32 fixed = EXT4_GOOD_OLD_INODE_SIZE + ei->extra_isize;

    if (!all)
        return -ENOMEM;
    int err = ext4_inode_raw(fs, (u32)inode->ino, &all->inode_buf, &raw);
    if (!err && ei->extra_isize && fixed + 8 <= fs->inode_size) {
        u32 magic;
        all->body = (u8 *)raw + fixed;
        all->body_size = fs->inode_size - fixed;
        memcpy(&magic, all->body, sizeof(magic));
        if (magic == EXT4_XATTR_MAGIC)
            err = parse(all, all->body + 4, all->body + 4, all->body + all->body_size);
    }
    if (!err && ei->file_acl) {
        err = read_block(fs, ei->file_acl, &all->block);
        if (!err)
            err = parse(all, all->block->data + sizeof(struct ext4_xattr_header), all->block->data,
                        all->block->data + fs->block_size);
    }
    if (err == -EUCLEAN)
        ext4_error(fs, "inode %llu: attributes are damaged", (unsigned long long)inode->ino);
    if (err)
        attrs_put(fs, all);
    else
        *out = all;
    return err;
}

static bool same_name(const struct attr *a, const struct attr *b)
{
    return a->index == b->index && a->name_len == b->name_len &&
           !memcmp(a->name, b->name, a->name_len);
}

static struct attr *find(struct attrs *all, const struct attr *key)
{
    for (u32 i = 0; i < all->nr; i++)
        if (same_name(&all->list[i], key))
            return &all->list[i];
    return NULL;
}

ssize_t ext4_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct attr key;
    struct attrs *all;

    int err = split_name(name, &key);
    if (!err)
        err = gather(inode, &all);
    if (err)
        return err == -EUCLEAN ? -EIO : err;
    const struct attr *found = find(all, &key);
    ssize_t result = found ? (ssize_t)found->size : -ENODATA;
    if (found && size && size < found->size)
        result = -ERANGE;
    else if (found && size)
        memcpy(buf, found->value, found->size);
    attrs_put(ext4_of(inode->sb), all);
    return result;
}

ssize_t ext4_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct attrs *all;
    size_t done = 0;

    int err = gather(inode, &all);
    if (err)
        return err == -EUCLEAN ? -EIO : err;
    for (u32 i = 0; i < all->nr && !err; i++) {
        const struct attr *a = &all->list[i];
        const char *prefix = prefix_of(a->index);
        size_t len = prefix ? strlen(prefix) + a->name_len + 1 : 0;
        if (!prefix)
            continue;
        if (size && len > size - done) {
            err = -ERANGE;
        } else if (size) {
            memcpy(buf + done, prefix, strlen(prefix));
            memcpy(buf + done + strlen(prefix), a->name, a->name_len);
            buf[done + len - 1] = '\0';
        }
        done += len;
    }
    attrs_put(ext4_of(inode->sb), all);
    return err ? err : (ssize_t)done;
}

/* ---- changing ---- */

static u32 space_of(const struct attr *a)
{
    return ENTRY + ALIGN_UP((u32)a->name_len, 4u) + ALIGN_UP(a->size, 4u);
}

static bool comes_before(const struct attr *a, const struct attr *b)
{
    if (a->index != b->index)
        return a->index < b->index;
    if (a->name_len != b->name_len)
        return a->name_len < b->name_len;
    return memcmp(a->name, b->name, a->name_len) < 0;
}

static void sort(struct attr *list, u32 n)
{
    for (u32 i = 1; i < n; i++) {
        struct attr one = list[i];
        u32 at = i;
        for (; at && comes_before(&one, &list[at - 1]); at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

static u32 hash_of(const struct attr *a)
{
    u32 hash = 0;

    for (u32 i = 0; i < a->name_len; i++)
        hash = hash << 5 ^ hash >> 27 ^ (u8)a->name[i];
    for (u32 at = 0; at < a->size; at += 4) {
        u32 word = 0;
        memcpy(&word, a->value + at, min(a->size - at, 4u));
        hash = hash << 16 ^ hash >> 16 ^ word;
    }
    return hash;
}

/* Write @n attributes from @at on; values from @base + @room downward. Returns the hash of all. */
static u32 pack(const struct attr *list, u32 n, u8 *at, u8 *base, u32 room, bool hashed)
{
    u32 hash = 0;

    for (u32 i = 0; i < n; i++) {
        const struct attr *a = &list[i];
        room -= ALIGN_UP(a->size, 4u);
        struct ext4_xattr_entry e = {
            .name_len = a->name_len,
            .name_index = a->index,
            .value_offs = le16_of((u16)(a->size ? room : 0)),
            .value_size = le32_of(a->size),
            .hash = le32_of(hashed ? hash_of(a) : 0),
        };
        memcpy(at, &e, ENTRY);
        memcpy(at + ENTRY, a->name, a->name_len);
        if (a->size)
            memcpy(base + room, a->value, a->size);
        at += ENTRY + ALIGN_UP((u32)a->name_len, 4u);
        hash = hash << 16 ^ hash >> 16 ^ le32_get(e.hash);
    }
    return hash;
}

/* Which go into the inode: the first that fit. They come first in the list. */
static u32 partition(struct attrs *all, u32 room, u32 *block_bytes)
{
    u32 used = END_MARK, first = 0;

    *block_bytes = sizeof(struct ext4_xattr_header) + END_MARK;
    for (u32 i = 0; i < all->nr; i++) {
        struct attr a = all->list[i];
        if (room >= used + space_of(&a)) {
            used += space_of(&a);
            all->list[i] = all->list[first];
            all->list[first++] = a;
        } else {
            *block_bytes += space_of(&a);
        }
    }
    return first;
}

/* Give up the share in the attribute block. */
static int drop_block(struct ext4_handle *h, struct inode *inode, struct ext4_buf *block)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_xattr_header *head = (void *)block->data;
    u32 refs = le32_get(head->refcount);
    int err = 0;

    if (refs > 1) {
        handle_change(h, block, EXT4_XATTR_BLOCK, 0);
        head->refcount = le32_of(refs - 1);
    } else {
        err = ext4_free_blocks(h, ei->file_acl, 1, true);
    }
    if (err)
        return err;
    ext4_count_blocks(inode, -1);
    ei->file_acl = 0;
    return 0;
}

int ext4_xattr_free(struct ext4_handle *h, struct inode *inode)
{
    struct ext4_buf *block;

    if (!ext4_i(inode)->file_acl)
        return 0;
    int err = read_block(h->fs, ext4_i(inode)->file_acl, &block);
    if (err)
        return err;
    err = drop_block(h, inode, block);
    buf_put(h->fs, block);
    return err;
}

/* The block that shall hold @image: our own old one, or a new one. */
static int write_block(struct ext4_handle *h, struct inode *inode, struct attrs *all,
                       const u8 *image)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_buf *old = all->block, *buf = old;
    bool own = buf && le32_get(((struct ext4_xattr_header *)(void *)buf->data)->refcount) == 1;

    if (!own) {
        int err = ext4_new_meta(h, ei->goal, false, &buf);
        if (err)
            return err;
        if (old)
            (void)drop_block(h, inode, old); /* others have it too: nothing is freed */
        ei->file_acl = buf->block;
        ext4_count_blocks(inode, 1);
    }
    handle_change(h, buf, EXT4_XATTR_BLOCK, 0);
    memcpy(buf->data, image, fs->block_size);
    if (!own)
        buf_put(fs, buf);
    return 0;
}

static int store(struct ext4_handle *h, struct inode *inode, struct attrs *all, u8 *body, u8 *block)
{
    int err = 0;

    if (block)
        err = write_block(h, inode, all, block);
    else if (all->block)
        err = drop_block(h, inode, all->block);
    if (err)
        return err;
    handle_change(h, all->inode_buf, EXT4_PLAIN, 0);
    if (all->body_size)
        memcpy(all->body, body, all->body_size);
    inode_touch(inode, false);
    return ext4_inode_write(h, inode); /* the checksum covers it all */
}

/* Lay all of @all out in the inode and the block. */
static int write_attrs(struct inode *inode, struct attrs *all)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    u32 room = all->body_size > 8 ? all->body_size - 4 : 0, block_bytes;
    u32 first = partition(all, room, &block_bytes), rest = all->nr - first;
    struct ext4_handle h;

    if (rest && block_bytes > fs->block_size)
        return -ENOSPC;
    u8 *body = kzalloc(max(all->body_size, 4u)), *block = rest ? kzalloc(fs->block_size) : NULL;
    int err = body && (block || !rest) ? 0 : -ENOMEM;
    if (!err && first) {
        u32 magic = EXT4_XATTR_MAGIC;
        memcpy(body, &magic, sizeof(magic));
        pack(all->list, first, body + 4, body + 4, room, false);
    }
    if (!err && rest) {
        struct ext4_xattr_header *head = (void *)block;
        sort(all->list + first, rest);
        head->magic = le32_of(EXT4_XATTR_MAGIC);
        head->refcount = head->blocks = le32_of(1);
        head->hash = le32_of(
            pack(all->list + first, rest, block + sizeof(*head), block, fs->block_size, true));
    }
    if (!err)
        err = handle_start(fs, CREDITS_INODE + 2 * CREDITS_ALLOC + 2, &h);
    if (!err) {
        err = store(&h, inode, all, body, block);
        handle_stop(&h);
    }
    kfree(body);
    kfree(block);
    return err;
}

int ext4_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct attr key;
    struct attrs *all;

    int err = ext4_check_writable(fs);
    if (!err)
        err = split_name(name, &key);
    if (!err && key.index == 1 && !S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        err = -EPERM;
    if (!err && size > fs->block_size)
        err = -ENOSPC;
    if (!err)
        err = gather(inode, &all);
    if (err)
        return err == -EUCLEAN ? -EIO : err;
    key.value = value;
    key.size = (u32)size;
    struct attr *old = find(all, &key);
    if (old && flags & XATTR_CREATE)
        err = -EEXIST;
    else if (!old && flags & XATTR_REPLACE)
        err = -ENODATA;
    else if (!old && all->nr == MAX_ATTRS)
        err = -ENOSPC;
    if (!err) {
        if (old)
            *old = key;
        else
            all->list[all->nr++] = key;
        err = write_attrs(inode, all);
    }
    attrs_put(fs, all);
    return err;
}

int ext4_removexattr(struct inode *inode, const char *name)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct attr key;
    struct attrs *all;

    int err = ext4_check_writable(fs);
    if (!err)
        err = split_name(name, &key);
    if (!err)
        err = gather(inode, &all);
    if (err)
        return err == -EUCLEAN ? -EIO : err;
    struct attr *old = find(all, &key);
    if (old) {
        *old = all->list[--all->nr];
        err = write_attrs(inode, all);
    }
    attrs_put(fs, all);
    return old ? err : -ENODATA;
}
