#include "image/erofs_owner.h"

#include "disk/erofs.h"
#include "image/elf_file.h"
#include "image/erofs_read.h"
#include "image/tree.h"
#include "lib/cleanup.h"
#include "lib/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static int owner_put(int fd, u64 at, const void *bytes, size_t len, const char *path,
                     struct err *err)
{
    ssize_t done = pwrite(fd, bytes, len, (off_t)at);

    return done == (ssize_t)len ? 0 : err_errno(err, done < 0 ? errno : EIO, "%s", path);
}

/* What this program has to read while it makes a layer. */
static mode_t owner_mode(const struct tree_node *node)
{
    return node->kind == TREE_DIR ? 0500 : node->kind == TREE_FILE && node->scratch ? 0400 : 0;
}

static bool owner_differs(const struct tree_node *node)
{
    return node->uid || node->gid || owner_mode(node) & ~node->mode;
}

static int owner_set(const struct erofs_view *view, int fd, const struct tree_node *node,
                     const char *path, struct err *err)
{
    u64 at;

    if (!erofs_inode(view, node->path, &at))
        return err_set(err, EINVAL, "%s: the layer lacks what it was made of", node->path);
    struct erofs_inode_compact there;
    memcpy(&there, view->data + at, sizeof(there));
    const u16 mode = le16_get(there.mode) & (u16) ~(owner_mode(node) & ~node->mode);
    int failed = owner_put(fd, at + offsetof(struct erofs_inode_compact, mode), &mode, sizeof(mode),
                           path, err);
    if (failed)
        return failed;
    if (view->data[at] & EROFS_INODE_EXTENDED) {
        const u32 ids[] = {node->uid, node->gid};
        static_assert(offsetof(struct erofs_inode_extended, gid) ==
                          offsetof(struct erofs_inode_extended, uid) + sizeof(ids[0]),
                      "side by side");
        return owner_put(fd, at + offsetof(struct erofs_inode_extended, uid), ids, sizeof(ids),
                         path, err);
    }
    const u16 ids[] = {(u16)node->uid, (u16)node->gid}; /* erofs_write() saw to it that they fit */
    return owner_put(fd, at + offsetof(struct erofs_inode_compact, uid), ids, sizeof(ids), path,
                     err);
}

/* The checksum covers the first block, in which inodes may stand. */
static int owner_sum(int fd, const char *path, struct err *err)
{
    u8 block[EROFS_BLOCK_SIZE] = {0};
    struct erofs_super_block *sb = (void *)(block + EROFS_SUPER_OFFSET);

    if (pread(fd, block, sizeof(block), 0) != sizeof(block))
        return err_errno(err, EIO, "%s", path);
    if (!(le32_get(sb->feature_compat) & EROFS_COMPAT_SB_CHKSUM))
        return 0;
    sb->checksum = (le32){0};
    u32 sum = crc32c(~0u, sb, sizeof(block) - EROFS_SUPER_OFFSET);
    return owner_put(fd, EROFS_SUPER_OFFSET + offsetof(struct erofs_super_block, checksum), &sum,
                     sizeof(sum), path, err);
}

int erofs_set_owners(const struct tree *tree, const char *path, struct err *err)
{
    struct elf_map map CLEANUP(elf_unmap) = {0};
    int fd CLEANUP(fd_close) = -1;
    int failed = 0;

    for (size_t i = 0; i < tree->len && !failed; i++) {
        const struct tree_node *node = tree->nodes[i];
        if (!owner_differs(node))
            continue;
        if (fd < 0) {
            failed = elf_map(path, &map, err);
            fd = failed ? -1 : open(path, O_RDWR | O_CLOEXEC);
            if (!failed && fd < 0)
                failed = err_errno(err, errno, "%s", path);
        }
        if (!failed)
            failed = owner_set(&(struct erofs_view){map.data, map.len}, fd, node, path, err);
    }
    return failed || fd < 0 ? failed : owner_sum(fd, path, err);
}
