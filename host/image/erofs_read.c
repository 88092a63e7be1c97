#include "image/erofs_read.h"

#include "disk/erofs.h"
#include "image/elf_file.h"
#include "lib/cleanup.h"

#include <string.h>
#include <sys/stat.h>

struct erofs_node {
    u32 mode;
    u64 size;
    u64 head, head_len; /* whole blocks */
    u64 tail;           /* what follows them */
};

static bool view_get(const struct erofs_view *view, u64 at, void *out, size_t len)
{
    if (at > view->len || view->len - at < len)
        return false;
    memcpy(out, view->data + at, len);
    return true;
}

static bool node_place(const struct erofs_view *view, struct erofs_node *node, u32 layout,
                       u32 block, u64 behind)
{
    if (layout != EROFS_FLAT_PLAIN && layout != EROFS_FLAT_INLINE)
        return false;
    node->head = (u64)block << EROFS_BLOCK_BITS;
    node->head_len = node->size;
    node->tail = behind;
    if (layout == EROFS_FLAT_INLINE && node->size)
        node->head_len = ALIGN_DOWN(node->size - 1, (u64)EROFS_BLOCK_SIZE);
    u64 tail_len = node->size - node->head_len;
    return (!node->head_len ||
            (node->head <= view->len && node->head_len <= view->len - node->head)) &&
           node->tail <= view->len && tail_len <= view->len - node->tail;
}

static bool node_open(const struct erofs_view *view, u64 nid, struct erofs_node *node)
{
    struct erofs_super_block sb;
    struct erofs_inode_compact c;
    struct erofs_inode_extended x;

    if (!view_get(view, EROFS_SUPER_OFFSET, &sb, sizeof(sb)) || nid > UINT32_MAX)
        return false;
    u64 at = ((u64)le32_get(sb.meta_blkaddr) << EROFS_BLOCK_BITS) + nid * EROFS_SLOT_SIZE;
    if (!view_get(view, at, &c, sizeof(c)))
        return false;
    u16 format = le16_get(c.format), icount = le16_get(c.xattr_icount);
    u64 size = sizeof(c);
    *node = (struct erofs_node){.mode = le16_get(c.mode), .size = le32_get(c.size)};
    u32 block = le32_get(c.u);
    if (format & EROFS_INODE_EXTENDED) {
        if (!view_get(view, at, &x, sizeof(x)))
            return false;
        size = sizeof(x);
        node->size = le64_get(x.size);
        block = le32_get(x.u);
    }
    if (icount)
        size += sizeof(struct erofs_xattr_header) + 4 * ((u64)icount - 1);
    return node_place(view, node, format >> EROFS_LAYOUT_SHIFT & EROFS_LAYOUT_MASK, block,
                      at + size);
}

/* The bytes from @at on, which end at a block or with the file. */
static const u8 *node_bytes(const struct erofs_view *view, const struct erofs_node *node, u64 at,
                            u64 *len)
{
    if (at < node->head_len) {
        *len = min(node->head_len - at, (u64)EROFS_BLOCK_SIZE);
        return view->data + node->head + at;
    }
    *len = node->size - at;
    return view->data + node->tail + (at - node->head_len);
}

/* Call @fn for each entry of one block of a folder until it returns true. */
static bool block_walk(const u8 *block, u64 len,
                       bool (*fn)(void *arg, const char *name, size_t name_len, u64 nid), void *arg)
{
    struct erofs_dirent first, entry, next;

    if (len < sizeof(first))
        return false;
    memcpy(&first, block, sizeof(first));
    u32 count = le16_get(first.nameoff) / sizeof(first);
    for (u32 i = 0; i < count && (i + 1) * sizeof(entry) <= len; i++) {
        memcpy(&entry, block + i * sizeof(entry), sizeof(entry));
        u64 from = le16_get(entry.nameoff), to = len;
        if (i + 1 < count && (i + 2) * sizeof(entry) <= len) {
            memcpy(&next, block + (i + 1) * sizeof(entry), sizeof(next));
            to = le16_get(next.nameoff);
        }
        if (from > to || to > len)
            return false;
        size_t name_len = strnlen((const char *)block + from, to - from);
        if (fn(arg, (const char *)block + from, name_len, le64_get(entry.nid)))
            return true;
    }
    return false;
}

static void folder_walk(const struct erofs_view *view, const struct erofs_node *folder,
                        bool (*fn)(void *arg, const char *name, size_t len, u64 nid), void *arg)
{
    u64 len;

    for (u64 at = 0; at < folder->size; at += len) {
        const u8 *block = node_bytes(view, folder, at, &len);
        if (block_walk(block, len, fn, arg))
            return;
    }
}

struct search {
    const char *name;
    size_t len;
    u64 nid;
    bool found;
};

static bool search_match(void *arg, const char *name, size_t len, u64 nid)
{
    struct search *search = arg;

    search->found = len == search->len && memcmp(name, search->name, len) == 0;
    search->nid = nid;
    return search->found;
}

static bool path_find(const struct erofs_view *view, const char *path, u64 *nid)
{
    struct erofs_super_block sb;
    struct erofs_node node;

    if (!view_get(view, EROFS_SUPER_OFFSET, &sb, sizeof(sb)) ||
        le32_get(sb.magic) != EROFS_SUPER_MAGIC || sb.blkszbits != EROFS_BLOCK_BITS)
        return false;
    *nid = le16_get(sb.root_nid);
    while (*(path += strspn(path, "/"))) {
        struct search search = {.name = path, .len = strcspn(path, "/")};
        if (!node_open(view, *nid, &node) || !S_ISDIR(node.mode))
            return false;
        folder_walk(view, &node, search_match, &search);
        if (!search.found)
            return false;
        *nid = search.nid;
        path += search.len;
    }
    return true;
}

static bool path_open(const struct erofs_view *view, const char *path, struct erofs_node *node)
{
    u64 nid;

    return path_find(view, path, &nid) && node_open(view, nid, node);
}

bool erofs_inode(const struct erofs_view *view, const char *path, u64 *at)
{
    struct erofs_super_block sb;
    struct erofs_inode_compact c;
    u64 nid;

    if (!path_find(view, path, &nid) || nid > UINT32_MAX ||
        !view_get(view, EROFS_SUPER_OFFSET, &sb, sizeof(sb)))
        return false;
    *at = ((u64)le32_get(sb.meta_blkaddr) << EROFS_BLOCK_BITS) + nid * EROFS_SLOT_SIZE;
    return view_get(view, *at, &c, sizeof(c));
}

struct listing {
    void (*fn)(void *arg, const char *name);
    void *arg;
};

static bool list_pass(void *arg, const char *name, size_t len, u64 nid)
{
    const struct listing *listing = arg;
    char text[256];

    (void)nid;
    if (len >= sizeof(text) || (len <= 2 && memcmp(name, "..", len) == 0))
        return false;
    memcpy(text, name, len);
    text[len] = 0;
    listing->fn(listing->arg, text);
    return false;
}

bool erofs_list(const struct erofs_view *view, const char *path,
                void (*fn)(void *arg, const char *name), void *arg)
{
    struct listing listing = {fn, arg};
    struct erofs_node node;

    if (!path_open(view, path, &node) || !S_ISDIR(node.mode))
        return false;
    folder_walk(view, &node, list_pass, &listing);
    return true;
}

bool erofs_read(const struct erofs_view *view, const char *path, struct buf *out)
{
    struct erofs_node node;
    u64 len;

    if (!path_open(view, path, &node) || !S_ISREG(node.mode))
        return false;
    for (u64 at = 0; at < node.size; at += len) {
        const u8 *bytes = node_bytes(view, &node, at, &len);
        buf_add(out, bytes, len);
    }
    return true;
}

bool erofs_read_layer(const char *layer, const char *path, struct buf *out)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};

    return !elf_map(layer, &map, NULL) &&
           erofs_read(&(struct erofs_view){map.data, map.len}, path, out);
}

bool erofs_layer_has(const char *layer, const char *path)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    u64 at;

    return !elf_map(layer, &map, NULL) &&
           erofs_inode(&(struct erofs_view){map.data, map.len}, path, &at);
}
