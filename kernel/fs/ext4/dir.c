/* Directories: blocks of entries, searched one after the other where there is no index (dx.c).
 * A block is checked when it comes into memory; afterwards its entries can be followed. */
#include "abi/errno.h"
#include "fs/ext4/dir_priv.h"
#include "lib/string.h"

u8 ext4_file_type_of(u32 mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return EXT4_FT_REG;
    case S_IFDIR:
        return EXT4_FT_DIR;
    case S_IFCHR:
        return EXT4_FT_CHR;
    case S_IFBLK:
        return EXT4_FT_BLK;
    case S_IFIFO:
        return EXT4_FT_FIFO;
    case S_IFSOCK:
        return EXT4_FT_SOCK;
    case S_IFLNK:
        return EXT4_FT_SYMLINK;
    default:
        return EXT4_FT_UNKNOWN;
    }
}

u8 ext4_dt_of(u8 file_type)
{
    static const u32 modes[] = {0, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK, S_IFLNK};

    return file_type < ARRAY_LEN(modes) ? mode_to_dt(modes[file_type]) : 0;
}

/* Four bytes at a time, of which the last may be no part of the name. */
static bool has_slash(const struct ext4_dir_entry *e)
{
    for (u32 i = 0; i < e->name_len; i += 4) {
        u32 word;
        memcpy(&word, e->name + i, 4);
        word ^= 0x2f2f2f2f;
        if (unlikely((word - 0x01010101) & ~word & 0x80808080))
            return memchr(e->name + i, '/', min(4u, e->name_len - i)) != NULL;
    }
    return false;
}

static bool entry_ok(const struct ext4_fs *fs, const struct ext4_dir_entry *e, u32 at)
{
    u32 len = dir_rec_len(e);

    return len >= EXT4_DIR_HEAD + 4 && !(len & 3) && len <= fs->block_size - at &&
           dir_entry_len(e->name_len) <= len && le32_get(e->inode) <= fs->nr_inodes &&
           (!le32_get(e->inode) || (e->name_len && !has_slash(e)));
}

static bool leaf_ok(const struct ext4_fs *fs, const u8 *data)
{
    u32 at = 0;

    while (at < fs->block_size) {
        const struct ext4_dir_entry *e = dir_entry_at(data, at);
        if (!entry_ok(fs, e, at))
            return false;
        at += dir_rec_len(e);
    }
    return at == fs->block_size;
}

/* The first block of a directory begins with "." and "..". */
static bool dots_ok(const u8 *data)
{
    const struct ext4_dir_entry *dot = dir_entry_at(data, 0);
    const struct ext4_dir_entry *dots = dir_entry_at(data, dir_rec_len(dot));

    return dot->name_len == 1 && dot->name[0] == '.' && dir_rec_len(dot) == 12 &&
           dots->name_len == 2 && dots->name[0] == '.' && dots->name[1] == '.';
}

static enum ext4_kind kind_of(const struct inode *dir, u32 index, const u8 *data)
{
    const struct ext4_dir_entry *e = dir_entry_at(data, 0);

    if (!is_indexed(dir))
        return EXT4_DIR_LEAF;
    if (!index)
        return EXT4_DX_ROOT;
    return !le32_get(e->inode) && dir_rec_len(e) == ext4_of(dir->sb)->block_size ? EXT4_DX_NODE
                                                                                 : EXT4_DIR_LEAF;
}

static int check_block(struct inode *dir, u32 index, struct ext4_buf *buf)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    enum ext4_kind kind = kind_of(dir, index, buf->data);
    u32 seed = ext4_i(dir)->seed;

    if (!(buf->flags & (BUF_TX | BUF_HOME)) && !ext4_csum_ok(fs, buf, kind, seed))
        return -EUCLEAN;
    if (!leaf_ok(fs, buf->data) || (!index && !dots_ok(buf->data)))
        return -EUCLEAN;
    buf->kind = (u8)kind;
    buf->seed = seed;
    __atomic_or_fetch(&buf->flags, BUF_CHECKED, __ATOMIC_RELAXED);
    return 0;
}

/* Was the block checked as what it is here, and has nobody else changed it since?  On a damaged
 * volume one block may be several things. */
static bool is_known(const struct inode *dir, u32 index, const struct ext4_buf *buf)
{
    bool indexed = is_indexed(dir);

    if (!(buf->flags & BUF_CHECKED) || buf->seed != ext4_i(dir)->seed)
        return false;
    if (!index)
        return buf->kind == (indexed ? EXT4_DX_ROOT : EXT4_DIR_LEAF);
    return buf->kind == EXT4_DIR_LEAF || (indexed && buf->kind == EXT4_DX_NODE);
}

int ext4_dir_block(struct inode *dir, u32 index, struct ext4_buf **out)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    struct ext4_inode *ei = ext4_i(dir);
    struct ext4_run run;

    mutex_lock(&ei->map_lock);
    int err = ext4_map(dir, index, 1, &run);
    mutex_unlock(&ei->map_lock);
    if (!err && run.state != MAP_WRITTEN)
        err = -EUCLEAN;
    if (!err)
        err = buf_read(fs, run.start, out);
    if (err && err != -EUCLEAN)
        return err;
    if (!err && unlikely(!is_known(dir, index, *out))) {
        err = check_block(dir, index, *out);
        if (err)
            buf_put(fs, *out);
    }
    if (err)
        ext4_error(fs, "directory %llu: block %u is damaged", (unsigned long long)dir->ino, index);
    return err;
}

void ext4_dir_init_leaf(const struct ext4_fs *fs, u8 *data)
{
    struct ext4_dir_entry *e = dir_entry_at(data, 0);

    memset(data, 0, fs->block_size);
    e->rec_len = le16_of((u16)dir_room(fs));
    if (!fs->csum)
        return;
    struct ext4_dir_tail *tail = (void *)(data + dir_room(fs));
    tail->rec_len = le16_of(EXT4_DIR_TAIL_LEN);
    tail->reserved_ft = EXT4_DIR_TAIL_TYPE;
}

struct ext4_dir_entry *ext4_leaf_find(struct ext4_fs *fs, u8 *data, const char *name, size_t len,
                                      struct ext4_dir_entry **before)
{
    struct ext4_dir_entry *last = NULL;
    u32 room = dir_room(fs);

    for (u32 at = 0; at < room;) {
        struct ext4_dir_entry *e = dir_entry_at(data, at);
        if (e->name_len == len && le32_get(e->inode) && !memcmp(e->name, name, len)) {
            if (before)
                *before = last;
            return e;
        }
        last = e;
        at += dir_rec_len(e);
    }
    return NULL;
}

static void fill_entry(struct ext4_dir_entry *e, const char *name, size_t len, u32 ino, u8 type)
{
    e->inode = le32_of(ino);
    e->name_len = (u8)len;
    e->file_type = type;
    memcpy(e->name, name, len);
}

bool ext4_leaf_add(struct ext4_fs *fs, u8 *data, const char *name, size_t len, u32 ino, u8 type)
{
    u32 need = dir_entry_len(len), room = dir_room(fs);

    for (u32 at = 0; at < room;) {
        struct ext4_dir_entry *e = dir_entry_at(data, at);
        u32 have = dir_rec_len(e), used = le32_get(e->inode) ? dir_entry_len(e->name_len) : 0;
        if (have >= used + need) {
            if (used) {
                struct ext4_dir_entry *new = dir_entry_at(data, at + used);
                e->rec_len = le16_of((u16)used);
                new->rec_len = le16_of((u16)(have - used));
                e = new;
            }
            fill_entry(e, name, len, ino, type);
            return true;
        }
        at += have;
    }
    return false;
}

static int find_linear(struct inode *dir, const char *name, size_t len, struct ext4_found *out)
{
    struct ext4_fs *fs = ext4_of(dir->sb);

    for (u32 i = 0; i < dir_blocks(dir); i++) {
        int err = ext4_dir_block(dir, i, &out->buf);
        if (err)
            return err;
        out->entry = ext4_leaf_find(fs, out->buf->data, name, len, &out->before);
        if (out->entry)
            return 0;
        buf_put(fs, out->buf);
    }
    return -ENOENT;
}

static int find_indexed(struct inode *dir, const char *name, size_t len, struct ext4_found *out)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    struct dx_path path;

    int err = dx_find_path(dir, NULL, name, len, &path);
    if (err)
        return err;
    do {
        err = ext4_dir_block(dir, dx_leaf(&path), &out->buf);
        if (err)
            break;
        out->entry = ext4_leaf_find(fs, out->buf->data, name, len, &out->before);
        if (out->entry)
            break;
        buf_put(fs, out->buf);
        err = dx_next_leaf(dir, &path, true);
        if (!err)
            err = -ENOENT;
    } while (err > 0);
    dx_put_path(fs, &path);
    return err < 0 ? err : 0;
}

int ext4_dir_find(struct inode *dir, const char *name, size_t len, struct ext4_found *out)
{
    return is_indexed(dir) ? find_indexed(dir, name, len, out) : find_linear(dir, name, len, out);
}

int ext4_dir_append(struct ext4_handle *h, struct inode *dir, struct ext4_buf **out, u32 *index)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_inode *ei = ext4_i(dir);
    struct ext4_buf *buf;

    *index = dir_blocks(dir);
    mutex_lock(&ei->map_lock);
    u64 goal = ei->hit_len ? ei->hit_start + ei->hit_len : ei->goal;
    int err = ext4_new_meta(h, goal, false, &buf);
    if (err)
        goto unlock;
    err = ext4_insert_extent(h, dir, *index, buf->block, 1, false, false);
    if (err) {
        (void)ext4_free_blocks(h, buf->block, 1, true); /* the first error counts */
        buf_put(fs, buf);
        goto unlock;
    }
    handle_change(h, buf, EXT4_DIR_LEAF, ei->seed);
    ext4_dir_init_leaf(fs, buf->data);
    *out = buf;
    ext4_count_blocks(dir, 1);
    dir->size += fs->block_size;
unlock:
    mutex_unlock(&ei->map_lock);
    return err;
}

static int add_linear(struct ext4_handle *h, struct inode *dir, const char *name, size_t len,
                      u32 ino, u8 type)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_buf *buf;
    u32 index, nr = dir_blocks(dir);

    for (u32 i = 0; i < nr; i++) {
        int err = ext4_dir_block(dir, i, &buf);
        if (err)
            return err;
        handle_change(h, buf, EXT4_DIR_LEAF, ext4_i(dir)->seed);
        bool added = ext4_leaf_add(fs, buf->data, name, len, ino, type);
        buf_put(fs, buf);
        if (added)
            return 0;
    }
    if (nr == 1 && fs->compat & EXT4_COMPAT_DIR_INDEX) {
        int err = dx_make_root(h, dir);
        return err ? err : dx_add(h, dir, name, len, ino, type);
    }
    int err = ext4_dir_append(h, dir, &buf, &index);
    if (err)
        return err;
    (void)ext4_leaf_add(fs, buf->data, name, len, ino, type); /* it is empty */
    buf_put(fs, buf);
    return 0;
}

int ext4_dir_add(struct ext4_handle *h, struct inode *dir, const char *name, size_t len,
                 struct inode *inode)
{
    u8 type = ext4_file_type_of(inode->mode);
    u32 ino = (u32)inode->ino;

    if (len > EXT4_NAME_MAX)
        return -ENAMETOOLONG;
    return is_indexed(dir) ? dx_add(h, dir, name, len, ino, type)
                           : add_linear(h, dir, name, len, ino, type);
}

void ext4_dir_remove(struct ext4_handle *h, struct inode *dir, struct ext4_found *found)
{
    struct ext4_dir_entry *e = found->entry, *before = found->before;

    handle_change(h, found->buf, found->buf->kind, ext4_i(dir)->seed);
    if (before) {
        before->rec_len = le16_of((u16)(dir_rec_len(before) + dir_rec_len(e)));
        memset(e, 0, EXT4_DIR_HEAD);
    } else {
        e->inode = le32_of(0);
    }
}

void ext4_dir_retarget(struct ext4_handle *h, struct inode *dir, struct ext4_found *found,
                       struct inode *inode)
{
    handle_change(h, found->buf, found->buf->kind, ext4_i(dir)->seed);
    found->entry->inode = le32_of((u32)inode->ino);
    found->entry->file_type = ext4_file_type_of(inode->mode);
}

/* Positions are bytes, beyond the two of "." and ".." that vfs has. */
static int iterate_linear(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    u64 from = *pos - READDIR_FIRST;

    for (u64 i = from >> fs->block_bits; i < dir_blocks(dir); i++) {
        struct ext4_buf *buf;
        int err = ext4_dir_block(dir, (u32)i, &buf);
        if (err)
            return err;
        for (u32 at = 0; at < dir_room(fs);) {
            const struct ext4_dir_entry *e = dir_entry_at(buf->data, at);
            u64 here = (i << fs->block_bits) + at;
            bool dots =
                !i && (!at || at == 12) && e->name_len && e->name[0] == '.' && e->name_len <= 2;
            at += dir_rec_len(e);
            if (here < from || !le32_get(e->inode) || dots)
                continue;
            u64 next = (i << fs->block_bits) + at + READDIR_FIRST;
            if (!sink->add(sink, e->name, e->name_len, le32_get(e->inode), next,
                           ext4_dt_of(e->file_type))) {
                *pos = here + READDIR_FIRST;
                buf_put(fs, buf);
                return 0;
            }
            *pos = next;
        }
        buf_put(fs, buf);
    }
    return 0;
}

int ext4_dir_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    return is_indexed(dir) ? dx_iterate(dir, pos, sink) : iterate_linear(dir, pos, sink);
}

int ext4_dir_is_empty(struct inode *dir)
{
    struct ext4_fs *fs = ext4_of(dir->sb);

    for (u32 i = 0; i < dir_blocks(dir); i++) {
        struct ext4_buf *buf;
        int err = ext4_dir_block(dir, i, &buf);
        if (err)
            return err;
        bool empty = true;
        u32 room = buf->kind == EXT4_DIR_LEAF ? dir_room(fs) : 0;
        for (u32 at = 0; at < room && empty; at += dir_rec_len(dir_entry_at(buf->data, at)))
            empty = !le32_get(dir_entry_at(buf->data, at)->inode) || (!i && at <= 12);
        buf_put(fs, buf);
        if (!empty)
            return -ENOTEMPTY;
    }
    return 0;
}
