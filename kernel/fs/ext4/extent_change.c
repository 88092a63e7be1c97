/* Extent trees: adding, splitting, converting, removing.  A node that is full is split first and
 * the search begun anew, so that one change touches one node alone. */
#include "abi/errno.h"
#include "core/panic.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"

enum { ENTRY = sizeof(struct ext4_extent) };

static u32 nr_entries(const struct ext4_node *node)
{
    return le16_get(node->head->entries);
}
static bool is_full(const struct ext4_node *node)
{
    return nr_entries(node) >= le16_get(node->head->max);
}
static void set_entries(struct ext4_node *node, u32 n)
{
    node->head->entries = le16_of((u16)n);
}
static u8 *entry_at(const struct ext4_node *node, u32 i)
{
    return (u8 *)(node->head + 1) + (size_t)i * ENTRY;
}

static struct ext4_extent make_extent(u32 block, u64 start, u32 len, bool unwritten)
{
    return (struct ext4_extent){
        .block = le32_of(block),
        .len = le16_of((u16)(unwritten ? len + EXT4_EXTENT_MAX_LEN : len)),
        .start_hi = le16_of((u16)(start >> 32)),
        .start_lo = le32_of((u32)start),
    };
}

static struct ext4_extent_idx make_idx(u32 block, u64 leaf)
{
    return (struct ext4_extent_idx){
        .block = le32_of(block),
        .leaf_lo = le32_of((u32)leaf),
        .leaf_hi = le16_of((u16)(leaf >> 32)),
    };
}

/* The node will be changed; the root is in the inode, which the caller writes at the end. */
static void change_node(struct ext4_handle *h, struct inode *inode, struct ext4_node *node)
{
    if (node->buf)
        handle_change(h, node->buf, EXT4_EXTENT_NODE, ext4_i(inode)->seed);
    ext4_i(inode)->hit_len = 0;
}

static void insert_entry(struct ext4_node *node, u32 at, const void *entry)
{
    u32 n = nr_entries(node);

    memmove(entry_at(node, at + 1), entry_at(node, at), (size_t)(n - at) * ENTRY);
    memcpy(entry_at(node, at), entry, ENTRY);
    set_entries(node, n + 1);
}

static void delete_entry(struct ext4_node *node, u32 at)
{
    u32 n = nr_entries(node);

    memmove(entry_at(node, at), entry_at(node, at + 1), (size_t)(n - at - 1) * ENTRY);
    set_entries(node, n - 1);
}

/* The first entry at @level begins elsewhere now: so do the indices above it. */
static void fix_keys(struct ext4_handle *h, struct inode *inode, struct ext4_path *path, u32 level)
{
    le32 block = ((struct ext4_extent *)(void *)entry_at(&path->nodes[level], 0))->block;

    while (level-- > 0) {
        struct ext4_node *node = &path->nodes[level];
        change_node(h, inode, node);
        node_indices(node)[node->at].block = block;
        if (node->at)
            return;
    }
}

/* A new, empty node for entries like those of @like. */
static int new_node(struct ext4_handle *h, struct inode *inode, const struct ext4_node *like,
                    bool reserved, struct ext4_node *out)
{
    struct ext4_fs *fs = h->fs;

    int err = ext4_new_meta(h, ext4_i(inode)->goal, reserved, &out->buf);
    if (err)
        return err;
    ext4_count_blocks(inode, 1);
    out->head = (void *)out->buf->data;
    change_node(h, inode, out);
    out->head->magic = le16_of(EXT4_EXTENT_MAGIC);
    out->head->max =
        le16_of((u16)((fs->block_size - sizeof(*out->head)) / sizeof(struct ext4_extent)));
    out->head->depth = like->head->depth;
    return 0;
}

static void move_entries(struct ext4_node *to, struct ext4_node *from, u32 first)
{
    u32 n = nr_entries(from) - first;

    memcpy(entry_at(to, 0), entry_at(from, first), (size_t)n * ENTRY);
    set_entries(to, n);
    set_entries(from, first);
}

/* What the root has goes into a new node below it. */
static int grow_root(struct ext4_handle *h, struct inode *inode, bool reserved)
{
    struct ext4_node root = {.head = (void *)ext4_i(inode)->block}, below;
    u32 depth = le16_get(root.head->depth);

    if (depth == EXT4_EXTENT_MAX_DEPTH)
        return -EFBIG;
    int err = new_node(h, inode, &root, reserved, &below);
    if (err)
        return err;
    le32 first = ((struct ext4_extent *)(void *)entry_at(&root, 0))->block;
    change_node(h, inode, &root);
    move_entries(&below, &root, 0);
    struct ext4_extent_idx idx = make_idx(le32_get(first), below.buf->block);
    insert_entry(&root, 0, &idx);
    root.head->depth = le16_of((u16)(depth + 1));
    buf_put(h->fs, below.buf);
    return 0;
}

/* Cut the node at @level in two; its parent has room.  Who appends leaves full nodes behind. */
static int split(struct ext4_handle *h, struct inode *inode, struct ext4_path *path, u32 level,
                 bool reserved)
{
    struct ext4_node *node = &path->nodes[level], *parent = node - 1, new;
    u32 n = nr_entries(node), from = node->at + 1 == n ? n - 1 : n / 2;

    int err = new_node(h, inode, node, reserved, &new);
    if (err)
        return err;
    change_node(h, inode, node);
    change_node(h, inode, parent);
    move_entries(&new, node, from);
    le32 first = ((struct ext4_extent *)(void *)entry_at(&new, 0))->block;
    struct ext4_extent_idx idx = make_idx(le32_get(first), new.buf->block);
    insert_entry(parent, parent->at + 1, &idx);
    buf_put(h->fs, new.buf);
    return 0;
}

/* The leaf of @path is full: split what is full from the top. One step; then search again. */
static int make_room(struct ext4_handle *h, struct inode *inode, struct ext4_path *path,
                     bool reserved)
{
    u32 level = path->depth;

    while (level && is_full(&path->nodes[level - 1]))
        level--;
    return level ? split(h, inode, path, level, reserved) : grow_root(h, inode, reserved);
}

static u32 max_len(bool unwritten)
{
    return unwritten ? EXT4_UNWRITTEN_MAX_LEN : EXT4_EXTENT_MAX_LEN;
}

/* Does @b continue @a, so that one extent could hold both? */
static bool can_join(const struct ext4_extent *a, const struct ext4_extent *b)
{
    u32 len = extent_len(a);

    return extent_unwritten(a) == extent_unwritten(b) &&
           le32_get(a->block) + len == le32_get(b->block) &&
           extent_start(a) + len == extent_start(b) &&
           len + extent_len(b) <= max_len(extent_unwritten(a));
}

static void join(struct ext4_extent *a, const struct ext4_extent *b)
{
    *a = make_extent(le32_get(a->block), extent_start(a), extent_len(a) + extent_len(b),
                     extent_unwritten(a));
}

/* Join the entry @at with its neighbours in the leaf. */
static void join_neighbours(struct ext4_handle *h, struct inode *inode, struct ext4_path *path,
                            u32 at)
{
    struct ext4_node *leaf = &path->nodes[path->depth];
    struct ext4_extent *e = node_extents(leaf);

    (void)h, (void)inode;
    if (at + 1 < nr_entries(leaf) && can_join(&e[at], &e[at + 1])) {
        join(&e[at], &e[at + 1]);
        delete_entry(leaf, at + 1);
    }
    if (at && can_join(&e[at - 1], &e[at])) {
        join(&e[at - 1], &e[at]);
        delete_entry(leaf, at);
    }
}

/* Where in the leaf of @path an extent that begins at @block belongs. */
static u32 place_of(const struct ext4_node *leaf, u32 block)
{
    const struct ext4_extent *e = node_extents(leaf);

    return nr_entries(leaf) && le32_get(e[leaf->at].block) <= block ? leaf->at + 1 : leaf->at;
}

int ext4_insert_extent(struct ext4_handle *h, struct inode *inode, u32 block, u64 start, u32 len,
                       bool unwritten, bool reserved)
{
    struct ext4_extent new = make_extent(block, start, len, unwritten);
    struct ext4_path path;

    for (;;) {
        int err = ext4_find_path(inode, block, &path);
        if (err)
            return err;
        struct ext4_node *leaf = &path.nodes[path.depth];
        struct ext4_extent *e = node_extents(leaf);
        u32 at = place_of(leaf, block);
        bool joins = at && can_join(&e[at - 1], &new);
        if (joins || !is_full(leaf)) {
            change_node(h, inode, leaf);
            if (joins)
                join(&e[at - 1], &new);
            else
                insert_entry(leaf, at, &new);
            if (!at && !joins)
                fix_keys(h, inode, &path, path.depth);
            join_neighbours(h, inode, &path, joins ? at - 1 : at);
            ext4_put_path(h->fs, &path);
            return 0;
        }
        err = make_room(h, inode, &path, reserved);
        ext4_put_path(h->fs, &path);
        if (err)
            return err;
    }
}

int ext4_mark_written(struct ext4_handle *h, struct inode *inode, u32 block, u32 len)
{
    struct ext4_path path;
    int err = ext4_find_path(inode, block, &path);

    if (err)
        return err;
    struct ext4_node *leaf = &path.nodes[path.depth];
    struct ext4_extent *e = &node_extents(leaf)[leaf->at];
    u32 first = le32_get(e->block), all = extent_len(e), before = block - first;
    u64 start = extent_start(e);
    if (!nr_entries(leaf) || block < first || before >= all || len > all - before ||
        !extent_unwritten(e)) {
        ext4_put_path(h->fs, &path);
        return -EUCLEAN;
    }
    change_node(h, inode, leaf);
    u32 after = all - before - len;
    if (before) {
        *e = make_extent(first, start, before, true);
    } else {
        *e = make_extent(block, start, len, false);
        join_neighbours(h, inode, &path, leaf->at);
    }
    ext4_put_path(h->fs, &path);
    if (before)
        err = ext4_insert_extent(h, inode, block, start + before, len, false, true);
    if (!err && after)
        err = ext4_insert_extent(h, inode, block + len, start + before + len, after, true, true);
    return err;
}

/* The leaf of @path has lost its last entry: it goes, and what that leaves empty above it. */
static int drop_empty(struct ext4_handle *h, struct inode *inode, struct ext4_path *path)
{
    u32 level = path->depth;

    for (; level && !nr_entries(&path->nodes[level]); level--) {
        struct ext4_node *node = &path->nodes[level], *parent = node - 1;
        int err = ext4_free_blocks(h, node->buf->block, 1, true);
        if (err)
            return err; /* an empty leaf is a leaf */
        change_node(h, inode, parent);
        delete_entry(parent, parent->at);
        ext4_count_blocks(inode, -1);
        if (nr_entries(parent) && !parent->at)
            fix_keys(h, inode, path, level - 1);
    }
    if (!level && !nr_entries(&path->nodes[0])) {
        struct ext4_extent_header *root = path->nodes[0].head;
        root->depth = le16_of(0);
        root->max = le16_of(4);
    }
    return 0;
}

/* Take [from, to) out of the entry of @path, which overlaps it. */
static int cut_extent(struct ext4_handle *h, struct inode *inode, struct ext4_path *path, u32 from,
                      u32 to)
{
    struct ext4_node *leaf = &path->nodes[path->depth];
    struct ext4_extent *e = &node_extents(leaf)[leaf->at], old = *e;
    u32 first = le32_get(old.block), end = first + extent_len(&old);
    u32 cut_from = max(from, first), cut_to = min(to, end);
    u64 start = extent_start(&old);
    bool unwritten = extent_unwritten(&old);

    if (cut_from > first && cut_to < end && is_full(leaf)) /* it will be two */
        return -EAGAIN;
    int err = ext4_free_blocks(h, start + (cut_from - first), cut_to - cut_from,
                               !S_ISREG(inode->mode)); /* first: it may fail */
    if (err)
        return err;
    change_node(h, inode, leaf);
    if (cut_from > first && cut_to < end) {
        struct ext4_extent behind =
            make_extent(cut_to, start + (cut_to - first), end - cut_to, unwritten);
        *e = make_extent(first, start, cut_from - first, unwritten);
        insert_entry(leaf, leaf->at + 1, &behind);
    } else if (cut_from > first) {
        *e = make_extent(first, start, cut_from - first, unwritten);
    } else if (cut_to < end) {
        *e = make_extent(cut_to, start + (cut_to - first), end - cut_to, unwritten);
        if (!leaf->at)
            fix_keys(h, inode, path, path->depth);
    } else {
        delete_entry(leaf, leaf->at);
        if (nr_entries(leaf) && !leaf->at)
            fix_keys(h, inode, path, path->depth);
    }
    ext4_count_blocks(inode, -(s64)(cut_to - cut_from));
    return nr_entries(leaf) ? 0 : drop_empty(h, inode, path);
}

/* How much of the extent that ends last before @to may go under the handle: each group costs. */
static u32 affordable_from(const struct ext4_handle *h, const struct ext4_extent *e, u32 from,
                           u32 to)
{
    u32 first = max(from, le32_get(e->block));
    u32 end = min(to, le32_get(e->block) + extent_len(e));
    u32 most = max(h->fs->blocks_per_group, 1u);

    return end - first > most ? end - most : first;
}

/* The last extent that overlaps [from, to): @path leads to it. 0 found, 1 none, or an error. */
static int find_last(struct inode *inode, u32 from, u32 to, struct ext4_path *path)
{
    int err = ext4_find_path(inode, to - 1, path);

    if (err)
        return err;
    const struct ext4_node *leaf = &path->nodes[path->depth];
    const struct ext4_extent *e = &node_extents(leaf)[leaf->at];
    if (nr_entries(leaf) && le32_get(e->block) < to && le32_get(e->block) + extent_len(e) > from)
        return 0;
    ext4_put_path(ext4_of(inode->sb), path);
    return 1;
}

int ext4_remove_extents(struct ext4_handle *h, struct inode *inode, u32 from, u32 to)
{
    struct ext4_path path;

    while (from < to) {
        if (h->credits < ext4_tree_credits(inode) + 8)
            return 1;
        int err = find_last(inode, from, to, &path);
        if (err)
            return err < 0 ? err : 0;
        const struct ext4_node *leaf = &path.nodes[path.depth];
        u32 begin = affordable_from(h, &node_extents(leaf)[leaf->at], from, to);
        err = cut_extent(h, inode, &path, begin, to);
        if (err == -EAGAIN)
            err = make_room(h, inode, &path, true);
        else if (!err)
            to = begin;
        ext4_put_path(h->fs, &path);
        if (err)
            return err;
    }
    return 0;
}
