/* readdir of an indexed directory: in the order of hashes, so that a position stays true while
 * leaves are split.  A position is the hash, both halves; leaves whose first hash goes on from the
 * one before are sorted with it. */
#include "abi/errno.h"
#include "fs/ext4/dir_priv.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { CHAIN_MAX = 16, BUCKET_BITS = 7, BUCKETS = 1 << BUCKET_BITS };

struct listing {
    struct ext4_buf *leaves[CHAIN_MAX];
    u32 nr_leaves, nr;
    struct ext4_hashed *entries; /* owns; as many again are room for the sort */
};

static struct ext4_hash hash_at(u64 pos)
{
    pos -= READDIR_FIRST;
    return (struct ext4_hash){(u32)(pos >> 32) << 1, (u32)pos};
}

static int add_leaf(struct inode *dir, const struct dx_path *path, struct listing *l)
{
    const struct ext4_fs *fs = ext4_of(dir->sb);
    struct ext4_buf *leaf;

    if (l->nr_leaves == CHAIN_MAX)
        return -EUCLEAN;
    int err = ext4_dir_block(dir, dx_leaf(path), &leaf);
    if (err)
        return err;
    l->leaves[l->nr_leaves++] = leaf;
    u32 before = l->nr, most = before + fs->block_size / 12;
    struct ext4_hashed *more = krealloc(l->entries, 2ul * most * sizeof(*more));
    if (!more)
        return -ENOMEM;
    l->entries = more;
    for (u32 at = 0; at < dir_room(fs); at += dir_rec_len(dir_entry_at(leaf->data, at))) {
        const struct ext4_dir_entry *e = dir_entry_at(leaf->data, at);
        if (le32_get(e->inode))
            l->entries[l->nr++].entry = e;
    }
    ext4_hash_entries(fs, path->hash_version, l->entries + before, l->nr - before);
    return 0;
}

/* Hashes of a leaf are spread evenly: by their upper bits into buckets first, which leaves little
 * for the sort by insertion. */
static void sort(struct listing *l)
{
    struct ext4_hashed *map = l->entries, *spread = map + l->nr;
    u64 low = UINT64_MAX, high = 0;
    u16 first[BUCKETS + 1] = {0};

    for (u32 i = 0; i < l->nr; i++) {
        low = min(low, map[i].order);
        high = max(high, map[i].order);
    }
    u32 bits = l->nr ? 64u - (u32)__builtin_clzll((high - low) | 1) : 0;
    u32 shift = bits > BUCKET_BITS ? bits - BUCKET_BITS : 0;
    for (u32 i = 0; i < l->nr; i++)
        first[((map[i].order - low) >> shift) + 1]++;
    for (u32 i = 1; i < BUCKETS; i++)
        first[i] = (u16)(first[i] + first[i - 1]);
    for (u32 i = 0; i < l->nr; i++)
        spread[first[(map[i].order - low) >> shift]++] = map[i];
    for (u32 i = 0; i < l->nr; i++) {
        struct ext4_hashed one = spread[i];
        u32 at = i;
        for (; at && map[at - 1].order > one.order; at--)
            map[at] = map[at - 1];
        map[at] = one;
    }
}

static void clear(struct ext4_fs *fs, struct listing *l)
{
    while (l->nr_leaves)
        buf_put(fs, l->leaves[--l->nr_leaves]);
    l->nr = 0;
}

/* Gather the leaf at @path and those that go on with its last hash. 1: @path is at the next one,
 * 0: there is none, or an error. */
static int gather(struct inode *dir, struct dx_path *path, struct listing *l)
{
    int err;

    do {
        err = add_leaf(dir, path, l);
        if (err)
            return err;
        err = dx_next_leaf(dir, path, false);
    } while (err > 0 &&
             dx_hash(path->frames[path->nr - 1].entries, path->frames[path->nr - 1].at) & 1);
    sort(l);
    return err;
}

/* True while the sink has room. */
static bool emit(struct listing *l, u64 *pos, struct dir_sink *sink)
{
    u64 from = *pos - READDIR_FIRST;

    for (u32 i = 0; i < l->nr; i++) {
        const struct ext4_hashed *one = &l->entries[i];
        const struct ext4_dir_entry *e = one->entry;
        u64 next = READDIR_FIRST + one->order + 1;
        if (one->order < from)
            continue;
        if (!sink->add(sink, e->name, e->name_len, le32_get(e->inode), next,
                       ext4_dt_of(e->file_type)))
            return false;
        *pos = next;
    }
    return true;
}

int dx_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    struct ext4_hash hash = hash_at(*pos);
    struct listing l = {.nr = 0};
    struct dx_path path;

    int err = dx_find_path(dir, &hash, NULL, 0, &path);
    if (err)
        return err;
    bool more = true;
    do {
        err = gather(dir, &path, &l);
        more = err >= 0 && emit(&l, pos, sink);
        clear(fs, &l);
    } while (err > 0 && more);
    dx_put_path(fs, &path);
    kfree(l.entries);
    return err < 0 ? err : 0;
}
