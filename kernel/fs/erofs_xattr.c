/* EROFS: extended attributes, those that follow the inode and those that inodes share. */
#include "abi/errno.h"
#include "fs/erofs_priv.h"
#include "lib/string.h"

enum { NAME_SIZE = 256 + 32 };

/* Called for each attribute: its whole name, and where its value is. Non-zero stops. */
typedef ssize_t visit_fn(struct erofs *fs, const char *name, u64 value_pos, u32 value_len,
                         void *arg);

static const char *prefix_of(u8 index)
{
    static const char *const prefixes[] = {
        "",   "user.",    "system.posix_acl_access", "system.posix_acl_default", "trusted.",
        NULL, "security."};

    return index < ARRAY_LEN(prefixes) ? prefixes[index] : NULL;
}

/* One entry at @pos; *@size is what it takes with its padding. */
static ssize_t visit_entry(struct erofs *fs, u64 pos, u64 *size, visit_fn *visit, void *arg)
{
    struct erofs_xattr_entry entry;
    char name[NAME_SIZE];

    int err = erofs_copy(fs, pos, &entry, sizeof(entry));
    if (err)
        return err;
    u32 value_len = le16_get(entry.value_size);
    u64 value_pos = pos + sizeof(entry) + entry.name_len;
    *size = ALIGN_UP(sizeof(entry) + entry.name_len + (u64)value_len, (u64)4);
    const char *prefix = prefix_of(entry.name_index);
    if (!prefix)
        return 0; /* of a kind we do not know: not there */
    size_t len = str_copy(name, prefix, sizeof(name));
    err = erofs_copy(fs, pos + sizeof(entry), name + len, entry.name_len);
    if (err)
        return err;
    name[len + entry.name_len] = 0;
    return visit(fs, name, value_pos, value_len, arg);
}

static ssize_t visit_all(struct inode *inode, visit_fn *visit, void *arg)
{
    struct erofs *fs = erofs_of(inode);
    struct erofs_inode *ei = erofs_inode_of(inode);
    struct erofs_xattr_header header;
    u64 size;

    if (!ei->xattr_len)
        return 0;
    int err = erofs_copy(fs, ei->xattr_pos, &header, sizeof(header));
    if (err)
        return err;
    u64 at = sizeof(header), end = ei->xattr_len;
    if (at + header.shared_count * sizeof(le32) > end)
        return -EUCLEAN;
    for (u32 i = 0; i < header.shared_count; i++, at += sizeof(le32)) {
        le32 id;
        err = erofs_copy(fs, ei->xattr_pos + at, &id, sizeof(id));
        if (err)
            return err;
        ssize_t stop = visit_entry(fs, fs->xattr_pos + 4ull * le32_get(id), &size, visit, arg);
        if (stop)
            return stop;
    }
    while (at + sizeof(struct erofs_xattr_entry) <= end) {
        ssize_t stop = visit_entry(fs, ei->xattr_pos + at, &size, visit, arg);
        if (stop)
            return stop;
        at += size;
    }
    return at > end ? -EUCLEAN : 0;
}

struct wanted {
    const char *name;
    void *buf;
    size_t size;
    ssize_t result;
};

static ssize_t take_value(struct erofs *fs, const char *name, u64 value_pos, u32 value_len,
                          void *arg)
{
    struct wanted *wanted = arg;

    if (strcmp(name, wanted->name))
        return 0;
    wanted->result = value_len;
    if (wanted->size) {
        int err =
            value_len > wanted->size ? -ERANGE : erofs_copy(fs, value_pos, wanted->buf, value_len);
        if (err)
            wanted->result = err;
    }
    return 1;
}

ssize_t erofs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct wanted wanted = {name, buf, size, -ENODATA};
    ssize_t stop = visit_all(inode, take_value, &wanted);

    return stop < 0 ? stop : wanted.result;
}

struct listing {
    char *buf;
    size_t size, len;
};

static ssize_t take_name(struct erofs *fs, const char *name, u64 value_pos, u32 value_len,
                         void *arg)
{
    struct listing *list = arg;
    size_t n = strlen(name) + 1;

    (void)fs, (void)value_pos, (void)value_len;
    if (list->size) {
        if (n > list->size - list->len)
            return -ERANGE;
        memcpy(list->buf + list->len, name, n);
    }
    list->len += n;
    return 0;
}

ssize_t erofs_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct listing list = {buf, size, 0};
    ssize_t stop = visit_all(inode, take_name, &list);

    return stop < 0 ? stop : (ssize_t)list.len;
}
