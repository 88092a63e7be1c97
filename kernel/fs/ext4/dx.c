/* Indexed directories: finding, adding and splitting by hash.  filesystems/ext4, "hash tree
 * directories".  The index is at most three levels deep; what is full is split from the top, and
 * the search begun anew. */
#include "abi/errno.h"
#include "fs/ext4/dir_priv.h"
#include "lib/string.h"
#include "mm/heap.h"

static int damaged(struct inode *dir, const char *what)
{
    ext4_error(ext4_of(dir->sb), "directory %llu: the index is damaged: %s",
               (unsigned long long)dir->ino, what);
    return -EUCLEAN;
}

static u32 entry_limit(const struct ext4_fs *fs, bool root)
{
    u32 room = fs->block_size - (root ? EXT4_DX_ROOT_ENTRIES : EXT4_DX_NODE_ENTRIES);

    return (room - (fs->csum ? (u32)sizeof(struct ext4_dx_tail) : 0)) /
           (u32)sizeof(struct ext4_dx_entry);
}

static bool entries_ok(const struct inode *dir, const struct ext4_dx_entry *entries, bool root)
{
    const struct ext4_fs *fs = ext4_of(dir->sb);
    u32 n = dx_count(entries);

    if (dx_limit(entries) != entry_limit(fs, root) || !n || n > dx_limit(entries))
        return false;
    for (u32 i = 0; i < n; i++)
        if ((le32_get(entries[i].block) & 0x0fffffff) >= dir_blocks(dir) ||
            (i > 1 && le32_get(entries[i].hash) < le32_get(entries[i - 1].hash)))
            return false;
    return true;
}

static u32 search(const struct ext4_dx_entry *entries, u32 hash)
{
    u32 low = 1, high = dx_count(entries);

    while (low < high) {
        u32 mid = (low + high) / 2;
        if (le32_get(entries[mid].hash) <= hash)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

void dx_put_path(struct ext4_fs *fs, struct dx_path *path)
{
    for (u32 i = 0; i < path->nr; i++)
        buf_put(fs, path->frames[i].buf);
    path->nr = 0;
}

/* The node at directory block @index as the next frame. */
static int push(struct inode *dir, struct dx_path *path, u32 index)
{
    struct dx_frame *frame = &path->frames[path->nr];
    bool root = !path->nr;

    int err = ext4_dir_block(dir, index, &frame->buf);
    if (err)
        return err;
    path->nr++;
    frame->entries =
        (void *)(frame->buf->data + (root ? EXT4_DX_ROOT_ENTRIES : EXT4_DX_NODE_ENTRIES));
    frame->at = 0;
    if (frame->buf->kind != (root ? EXT4_DX_ROOT : EXT4_DX_NODE) ||
        !entries_ok(dir, frame->entries, root))
        return damaged(dir, "a node");
    return 0;
}

static struct ext4_dx_info *info_of(const struct dx_path *path)
{
    return (void *)(path->frames[0].buf->data + EXT4_DX_INFO_OFFSET);
}

static u32 max_levels(const struct ext4_fs *fs)
{
    return ext4_has_incompat(fs, EXT4_INCOMPAT_LARGEDIR) ? DX_MAX_LEVELS : DX_MAX_LEVELS - 1;
}

static int check_info(struct inode *dir, const struct ext4_dx_info *info)
{
    if (info->info_length != 8 || info->unused_flags & 1 || info->hash_version > EXT4_HASH_TEA ||
        info->indirect_levels >= max_levels(ext4_of(dir->sb)))
        return damaged(dir, "its head");
    return 0;
}

static u8 version_of(const struct ext4_fs *fs, const struct ext4_dx_info *info)
{
    bool is_unsigned = fs->hash_version > EXT4_HASH_TEA;

    return (u8)(info->hash_version + (is_unsigned ? 3 : 0));
}

int dx_find_path(struct inode *dir, const struct ext4_hash *hash, const char *name, size_t len,
                 struct dx_path *path)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    u32 levels = 0;

    path->nr = 0;
    int err = push(dir, path, 0);
    if (!err) {
        err = check_info(dir, info_of(path));
        levels = info_of(path)->indirect_levels;
        path->hash_version = version_of(fs, info_of(path));
    }
    if (!err && hash)
        path->hash = *hash;
    else if (!err)
        ext4_hash_name(fs, path->hash_version, name, len, &path->hash);
    for (u32 i = 0; !err; i++) {
        struct dx_frame *frame = &path->frames[i];
        frame->at = search(frame->entries, path->hash.major);
        if (i == levels)
            return 0;
        err = push(dir, path, le32_get(frame->entries[frame->at].block) & 0x0fffffff);
    }
    dx_put_path(fs, path);
    return err;
}

int dx_next_leaf(struct inode *dir, struct dx_path *path, bool same)
{
    u32 levels = path->nr, level = levels;
    struct dx_frame *frame;

    do { /* up to where there is a next entry */
        if (!level)
            return 0;
        frame = &path->frames[--level];
    } while (frame->at + 1 >= dx_count(frame->entries));
    u32 hash = dx_hash(frame->entries, frame->at + 1);
    if (same && (hash & ~1u) != path->hash.major)
        return 0;
    frame->at++;
    while (path->nr > level + 1)
        buf_put(ext4_of(dir->sb), path->frames[--path->nr].buf);
    while (path->nr < levels) {
        frame = &path->frames[path->nr - 1];
        int err = push(dir, path, le32_get(frame->entries[frame->at].block) & 0x0fffffff);
        if (err)
            return err;
    }
    return 1;
}

/* ---- adding ---- */

static void change(struct ext4_handle *h, struct inode *dir, struct dx_frame *frame)
{
    handle_change(h, frame->buf, frame->buf->kind, ext4_i(dir)->seed);
}

static void insert_entry(struct dx_frame *frame, u32 at, u32 hash, u32 block)
{
    u32 n = dx_count(frame->entries);

    memmove(&frame->entries[at + 1], &frame->entries[at], (n - at) * sizeof(struct ext4_dx_entry));
    frame->entries[at] = (struct ext4_dx_entry){le32_of(hash), le32_of(block)};
    dx_set_count(frame->entries, n + 1);
}

/* A new block of the directory as an empty node. */
static int new_node(struct ext4_handle *h, struct inode *dir, struct dx_frame *out, u32 *index)
{
    struct ext4_fs *fs = h->fs;

    int err = ext4_dir_append(h, dir, &out->buf, index);
    if (err)
        return err;
    memset(out->buf->data, 0, fs->block_size);
    handle_change(h, out->buf, EXT4_DX_NODE, ext4_i(dir)->seed);
    dir_entry_at(out->buf->data, 0)->rec_len = le16_of((u16)fs->block_size);
    out->entries = (void *)(out->buf->data + EXT4_DX_NODE_ENTRIES);
    dx_set_limit(out->entries, entry_limit(fs, false));
    return 0;
}

/* Entries from @first on of one node become those of another, empty one. */
static void move_entries(struct dx_frame *to, struct dx_frame *from, u32 first)
{
    u32 n = dx_count(from->entries) - first, limit = dx_limit(to->entries);

    memcpy(to->entries, &from->entries[first], n * sizeof(struct ext4_dx_entry));
    dx_set_limit(to->entries, limit); /* they lie over the first hash */
    dx_set_count(to->entries, n);
}

/* The root is full: what it has goes into a node below it. */
static int grow(struct ext4_handle *h, struct inode *dir, struct dx_path *path)
{
    struct dx_frame *root = &path->frames[0], below;
    u32 index;

    if (info_of(path)->indirect_levels + 1u >= max_levels(h->fs))
        return -ENOSPC;
    int err = new_node(h, dir, &below, &index);
    if (err)
        return err;
    change(h, dir, root);
    move_entries(&below, root, 0);
    dx_set_count(root->entries, 1);
    root->entries[0].block = le32_of(index);
    info_of(path)->indirect_levels++;
    buf_put(h->fs, below.buf);
    return 0;
}

static int split_node(struct ext4_handle *h, struct inode *dir, struct dx_path *path, u32 level)
{
    struct dx_frame *node = &path->frames[level], *parent = node - 1, new;
    u32 half = dx_count(node->entries) / 2, index;

    int err = new_node(h, dir, &new, &index);
    if (err)
        return err;
    change(h, dir, node);
    change(h, dir, parent);
    u32 hash = dx_hash(node->entries, half);
    move_entries(&new, node, half);
    dx_set_count(node->entries, half);
    insert_entry(parent, parent->at + 1, hash, index);
    buf_put(h->fs, new.buf);
    return 0;
}

/* One step towards room for one more entry in the lowest node. 1: there is. */
static int make_room(struct ext4_handle *h, struct inode *dir, struct dx_path *path)
{
    u32 level = path->nr;

    while (level &&
           dx_count(path->frames[level - 1].entries) == dx_limit(path->frames[level - 1].entries))
        level--;
    if (level == path->nr)
        return 1;
    return level ? split_node(h, dir, path, level) : grow(h, dir, path);
}

struct hashed {
    u32 hash;
    u16 at, len;
};

static void sort_hashed(struct hashed *map, u32 n)
{
    for (u32 gap = n / 2; gap; gap = gap > 2 ? gap * 5 / 11 : gap / 2) {
        for (u32 i = gap; i < n; i++) {
            struct hashed one = map[i];
            u32 at = i;
            for (; at >= gap && map[at - gap].hash > one.hash; at -= gap)
                map[at] = map[at - gap];
            map[at] = one;
        }
    }
}

static u32 map_leaf(const struct ext4_fs *fs, u8 version, const u8 *data, struct hashed *map)
{
    u32 n = 0;

    for (u32 at = 0; at < dir_room(fs); at += dir_rec_len(dir_entry_at(data, at))) {
        const struct ext4_dir_entry *e = dir_entry_at(data, at);
        struct ext4_hash hash;
        if (!le32_get(e->inode))
            continue;
        ext4_hash_name(fs, version, e->name, e->name_len, &hash);
        map[n++] = (struct hashed){hash.major, (u16)at, (u16)dir_entry_len(e->name_len)};
    }
    return n;
}

/* Entries [first, end) of @map, which point into @from, fill @to one behind the other. */
static void copy_mapped(const struct ext4_fs *fs, u8 *to, const u8 *from, const struct hashed *map,
                        u32 first, u32 end)
{
    u32 at = 0, last = 0;

    ext4_dir_init_leaf(fs, to);
    for (u32 i = first; i < end; i++) {
        memcpy(to + at, from + map[i].at, map[i].len);
        dir_entry_at(to, at)->rec_len = le16_of(map[i].len);
        last = at;
        at += map[i].len;
    }
    if (end > first)
        dir_entry_at(to, last)->rec_len = le16_of((u16)(dir_room(fs) - last));
}

/* Half of the leaf at the end of @path goes to a new one; the index has room. */
static int split_leaf(struct ext4_handle *h, struct inode *dir, struct dx_path *path,
                      struct ext4_buf *leaf)
{
    struct ext4_fs *fs = h->fs;
    struct dx_frame *frame = &path->frames[path->nr - 1];
    struct hashed *map = kmalloc(fs->block_size / 12 * sizeof(*map));
    u8 *old = kmalloc(fs->block_size);
    struct ext4_buf *new;
    u32 index, half = 0, bytes = 0;
    int err = map && old ? ext4_dir_append(h, dir, &new, &index) : -ENOMEM;

    if (err)
        goto free;
    handle_change(h, leaf, EXT4_DIR_LEAF, ext4_i(dir)->seed);
    change(h, dir, frame);
    memcpy(old, leaf->data, fs->block_size);
    u32 n = map_leaf(fs, path->hash_version, old, map);
    sort_hashed(map, n);
    while (half + 1 < n && (!half || bytes + map[half].len <= fs->block_size / 2))
        bytes += map[half++].len;
    bool continued = half && map[half].hash == map[half - 1].hash;
    copy_mapped(fs, new->data, old, map, half, n);
    copy_mapped(fs, leaf->data, old, map, 0, half);
    insert_entry(frame, frame->at + 1, map[half].hash + continued, index);
    buf_put(fs, new);
free:
    kfree(map);
    kfree(old);
    return err;
}

/* 1: added; 0: try again, something was split. */
static int try_add(struct ext4_handle *h, struct inode *dir, struct dx_path *path, const char *name,
                   size_t len, u32 ino, u8 type)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_buf *leaf;

    int err = ext4_dir_block(dir, dx_leaf(path), &leaf);
    if (err)
        return err;
    handle_change(h, leaf, EXT4_DIR_LEAF, ext4_i(dir)->seed);
    if (ext4_leaf_add(fs, leaf->data, name, len, ino, type)) {
        err = 1;
    } else {
        err = make_room(h, dir, path);
        if (err == 1)
            err = split_leaf(h, dir, path, leaf);
    }
    buf_put(fs, leaf);
    return err;
}

int dx_add(struct ext4_handle *h, struct inode *dir, const char *name, size_t len, u32 ino, u8 type)
{
    struct dx_path path;
    int err = 0;

    while (!err) {
        err = dx_find_path(dir, NULL, name, len, &path);
        if (err)
            break;
        err = try_add(h, dir, &path, name, len, ino, type);
        dx_put_path(h->fs, &path);
    }
    return err < 0 ? err : 0;
}

int dx_make_root(struct ext4_handle *h, struct inode *dir)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_inode *ei = ext4_i(dir);
    struct ext4_buf *root, *leaf;
    u32 index;

    int err = ext4_dir_block(dir, 0, &root);
    if (err)
        return err;
    err = ext4_dir_append(h, dir, &leaf, &index);
    if (err) {
        buf_put(fs, root);
        return err;
    }
    for (u32 at = 0; at < dir_room(fs); at += dir_rec_len(dir_entry_at(root->data, at))) {
        const struct ext4_dir_entry *e = dir_entry_at(root->data, at);
        if (at > 12 && le32_get(e->inode))
            (void)ext4_leaf_add(fs, leaf->data, e->name, e->name_len, le32_get(e->inode),
                                e->file_type); /* as large as the block it comes from */
    }
    handle_change(h, root, EXT4_DX_ROOT, ei->seed);
    dir_entry_at(root->data, 12)->rec_len = le16_of((u16)(fs->block_size - 12));
    memset(root->data + EXT4_DX_INFO_OFFSET, 0, fs->block_size - EXT4_DX_INFO_OFFSET);
    struct ext4_dx_info *info = (void *)(root->data + EXT4_DX_INFO_OFFSET);
    info->hash_version = fs->hash_version % 3;
    info->info_length = 8;
    struct ext4_dx_entry *entries = (void *)(root->data + EXT4_DX_ROOT_ENTRIES);
    dx_set_limit(entries, entry_limit(fs, true));
    dx_set_count(entries, 1);
    entries[0].block = le32_of(index);
    ei->iflags |= EXT4_INDEX_FL;
    buf_put(fs, leaf);
    buf_put(fs, root);
    return 0;
}
