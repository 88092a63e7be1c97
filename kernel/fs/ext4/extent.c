/* Extent trees: looking things up.  Every node is checked before it is used: the header when the
 * path goes through it, the entries when the block comes into memory. */
#include "abi/errno.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"

static u32 max_entries(const struct ext4_fs *fs, bool root)
{
    u32 bytes = root ? 60 : fs->block_size;

    return (bytes - (u32)sizeof(struct ext4_extent_header)) / (u32)sizeof(struct ext4_extent);
}

static bool extents_ok(const struct ext4_fs *fs, const struct ext4_node *node, u32 n)
{
    const struct ext4_extent *e = node_extents(node);
    u64 end = 0;

    for (u32 i = 0; i < n; i++) {
        u32 block = le32_get(e[i].block), len = extent_len(&e[i]);
        if (!len || block < end || (u64)block + len > UINT32_MAX ||
            !block_range_ok(fs, extent_start(&e[i]), len))
            return false;
        end = (u64)block + len;
    }
    return true;
}

static bool indices_ok(const struct ext4_fs *fs, const struct ext4_node *node, u32 n)
{
    const struct ext4_extent_idx *idx = node_indices(node);

    for (u32 i = 0; i < n; i++)
        if ((i && le32_get(idx[i].block) <= le32_get(idx[i - 1].block)) ||
            !block_range_ok(fs, idx_leaf(&idx[i]), 1))
            return false;
    return n > 0;
}

static bool head_ok(const struct ext4_fs *fs, const struct ext4_node *node, u32 depth)
{
    const struct ext4_extent_header *head = node->head;
    u32 max = le16_get(head->max), n = le16_get(head->entries);

    return le16_get(head->magic) == EXT4_EXTENT_MAGIC && le16_get(head->depth) == depth && max &&
           max <= max_entries(fs, !node->buf) && n <= max;
}

static bool entries_ok(const struct ext4_fs *fs, const struct ext4_node *node)
{
    u32 n = le16_get(node->head->entries);

    return le16_get(node->head->depth) ? indices_ok(fs, node, n) : extents_ok(fs, node, n);
}

/* The last entry that begins at or before @block; 0 where all begin later. */
static u32 search(const struct ext4_node *node, u32 block)
{
    const struct ext4_extent *e = node_extents(node); /* an index begins alike */
    u32 low = 1, high = le16_get(node->head->entries);

    while (low < high) {
        u32 mid = (low + high) / 2;
        if (le32_get(e[mid].block) <= block)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

static int read_node(struct ext4_fs *fs, struct ext4_inode *ei, u64 block, struct ext4_node *node)
{
    struct ext4_buf *buf = buf_find(fs, block);
    bool known =
        buf && buf->flags & BUF_CHECKED && buf->kind == EXT4_EXTENT_NODE && buf->seed == ei->seed;

    buf_put(fs, buf);
    int err = buf_read_kind(fs, block, EXT4_EXTENT_NODE, ei->seed, &node->buf);
    if (err)
        return err;
    node->head = (void *)node->buf->data;
    if (known)
        return 0;
    if (!head_ok(fs, node, le16_get(node->head->depth)) ||
        le16_get(node->head->depth) > EXT4_EXTENT_MAX_DEPTH || !entries_ok(fs, node)) {
        __atomic_and_fetch(&node->buf->flags, ~(u32)BUF_CHECKED, __ATOMIC_RELAXED);
        buf_put(fs, node->buf);
        node->buf = NULL;
        return -EUCLEAN;
    }
    return 0;
}

void ext4_put_path(struct ext4_fs *fs, struct ext4_path *path)
{
    for (u32 i = 1; i <= path->depth; i++)
        buf_put(fs, path->nodes[i].buf);
}

int ext4_find_path(struct inode *inode, u32 block, struct ext4_path *path)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_node *node = &path->nodes[0];
    int err = 0;

    *path = (struct ext4_path){.depth = 0};
    node->head = (void *)ei->block;
    u32 depth = le16_get(node->head->depth);
    if (depth > EXT4_EXTENT_MAX_DEPTH || !head_ok(fs, node, depth) || !entries_ok(fs, node))
        err = -EUCLEAN;
    for (u32 i = 0; !err; i++) {
        node = &path->nodes[i];
        node->at = search(node, block);
        if (i == depth)
            return 0;
        err = read_node(fs, ei, idx_leaf(&node_indices(node)[node->at]), &node[1]);
        if (err)
            break;
        path->depth = i + 1;
        if (!head_ok(fs, &node[1], depth - i - 1) ||
            (depth - i - 1 && !le16_get(node[1].head->entries)))
            err = -EUCLEAN;
    }
    ext4_put_path(fs, path);
    path->depth = 0;
    if (err == -EUCLEAN)
        ext4_error(fs, "inode %llu: the extent tree is damaged", (unsigned long long)inode->ino);
    return err;
}

/* Where the first extent behind the path's place begins, as far as the leaf knows. */
static u32 next_begin(const struct ext4_path *path, u32 block)
{
    const struct ext4_node *leaf = &path->nodes[path->depth];
    const struct ext4_extent *e = node_extents(leaf);
    u32 n = le16_get(leaf->head->entries);

    for (u32 i = leaf->at; i < n; i++)
        if (le32_get(e[i].block) > block)
            return le32_get(e[i].block);
    for (u32 level = path->depth; level-- > 0;) {
        const struct ext4_node *node = &path->nodes[level];
        if (node->at + 1u < le16_get(node->head->entries))
            return le32_get(node_indices(node)[node->at + 1].block);
    }
    return EXT4_END_BLOCK;
}

static bool from_hit(const struct ext4_inode *ei, u32 block, u32 max, struct ext4_run *run)
{
    u32 into = block - ei->hit_block;

    if (block < ei->hit_block || into >= ei->hit_len)
        return false;
    run->start = ei->hit_start + into;
    run->len = min(ei->hit_len - into, max);
    run->state = ei->hit_unwritten ? MAP_UNWRITTEN : MAP_WRITTEN;
    return true;
}

int ext4_map(struct inode *inode, u32 block, u32 max, struct ext4_run *run)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_path path;

    run->block = block;
    if (likely(from_hit(ei, block, max, run)))
        return 0;
    int err = ext4_find_path(inode, block, &path);
    if (err)
        return err;
    const struct ext4_node *leaf = &path.nodes[path.depth];
    const struct ext4_extent *e = &node_extents(leaf)[leaf->at];
    if (le16_get(leaf->head->entries) && block - le32_get(e->block) < extent_len(e)) {
        ei->hit_block = le32_get(e->block);
        ei->hit_len = extent_len(e);
        ei->hit_start = extent_start(e);
        ei->hit_unwritten = extent_unwritten(e);
        (void)from_hit(ei, block, max, run); /* it is the one */
    } else {
        run->state = MAP_HOLE;
        run->start = 0;
        run->len = min(next_begin(&path, block) - block, max);
    }
    ext4_put_path(ext4_of(inode->sb), &path);
    return 0;
}

void ext4_init_tree(struct ext4_inode *ei)
{
    struct ext4_extent_header *head = (void *)ei->block;

    memset(ei->block, 0, sizeof(ei->block));
    head->magic = le16_of(EXT4_EXTENT_MAGIC);
    head->max = le16_of(4);
    ei->hit_len = 0;
}

/* A change may split a node at each level, and the root: a block, its bitmap and descriptor each;
 * then the inode. */
u32 ext4_tree_credits(const struct inode *inode)
{
    const struct ext4_extent_header *head = (const void *)ext4_i(inode)->block;

    return (le16_get(head->depth) + 2u) * 3 + CREDITS_INODE;
}
