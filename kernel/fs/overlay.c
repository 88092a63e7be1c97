/* The overlay: what the read-only layers show, merged, under what tmpfs keeps of changes.
 * The marks of removed and opaque names are those of Linux' overlayfs. */
#include "abi/errno.h"
#include "fs/tmpfs_priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"

static bool is_whiteout(const struct inode *lower)
{
    return S_ISCHR(lower->mode) && !lower->rdev;
}

static bool is_opaque(struct inode *lower)
{
    char mark = 0;

    if (!lower->ops->getxattr)
        return false;
    if (lower->ops->getxattr(lower, "trusted.overlay.opaque", &mark, 1) == 1 && mark == 'y')
        return true;
    return lower->ops->getxattr(lower, "user.overlay.opaque", &mark, 1) == 1 && mark == 'y';
}

/* Numbers of the lowest layer are as they are; each other one has a range of its own. */
static u64 ino_of(const struct mem_fs *fs, const struct super_block *layer, u64 ino)
{
    u32 i = 0;

    while (fs->layers[i] != layer)
        i++;
    return (u64)(fs->nr_layers - 1 - i) << OVERLAY_LAYER_SHIFT | ino;
}

static void put_all(struct inode **inodes, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        inode_put(inodes[i]);
}

static void copy_attributes(struct inode *to, const struct inode *from)
{
    to->uid = from->uid;
    to->gid = from->gid;
    to->nlink = from->nlink;
    to->size = from->size;
    to->atime = from->atime;
    to->mtime = from->mtime;
    to->ctime = from->ctime;
    to->btime = from->btime;
}

/* The inode that stands on @found (@nr: the first one counts, the others are merged directories),
 * whose references are taken in any case. */
static int instantiate(struct super_block *sb, struct inode **found, u32 nr, struct inode **out)
{
    u64 ino = ino_of(sb->data, found[0]->sb, found[0]->ino);
    struct inode *inode = inode_find(sb, ino);

    if (inode) {
        put_all(found, nr);
        *out = inode;
        return 0;
    }
    inode = mem_inode_create(sb, found[0]->mode, found[0]->rdev);
    if (!inode)
        goto no_memory;
    struct mem_inode *mem = mem_of(inode);
    copy_attributes(inode, found[0]);
    inode->ino = ino;
    mem->lower = found[0];
    if (S_ISDIR(inode->mode)) {
        mem->lower = NULL;
        mem->lowers = kcalloc(nr, sizeof(*mem->lowers));
        if (!mem->lowers)
            goto no_memory;
        memcpy(mem->lowers, found, nr * sizeof(*found));
        mem->nr_lowers = nr;
        for (u32 i = 1; i < nr; i++) /* at least as many as there are directories inside */
            inode->nlink += found[i]->nlink - min(found[i]->nlink, 2u);
    } else if (S_ISREG(inode->mode)) {
        mem->lower_size = inode->size;
        if (found[0]->ops->getattr)
            inode->ops = &mem_live_file_ops;
    }
    *out = inode_add(inode);
    return 0;
no_memory:
    inode_put(inode);
    put_all(found, nr);
    return -ENOMEM;
}

int overlay_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct mem_inode *mem = mem_of(dir);
    struct inode *found[OVERLAY_LAYERS_MAX], *child;
    u32 nr = 0;

    for (u32 i = 0; i < mem->nr_lowers; i++) {
        struct inode *lower = mem->lowers[i];
        int err = lower->ops->lookup(lower, name, len, &child);
        if (err == -ENOENT)
            continue;
        if (err) {
            put_all(found, nr);
            return err;
        }
        bool is_dir = S_ISDIR(child->mode);
        bool hidden = nr && (!is_dir || is_opaque(found[nr - 1]));
        if (hidden || is_whiteout(child)) { /* hides what lies below */
            inode_put(child);
            break;
        }
        found[nr++] = child;
        if (!is_dir)
            break;
    }
    return nr ? instantiate(dir->sb, found, nr, out) : -ENOENT;
}

/* As the topmost of the first @nr layers has it: 1 shown, 2 whited out, 0 not there, or an error.
 */
static int probe(const struct mem_inode *mem, u32 nr, const char *name, size_t len)
{
    struct inode *child;

    for (u32 i = 0; i < nr; i++) {
        struct inode *lower = mem->lowers[i];
        int err = lower->ops->lookup(lower, name, len, &child);
        if (err == -ENOENT)
            continue;
        if (err)
            return err;
        int shown = is_whiteout(child) ? 2 : 1;
        inode_put(child);
        return shown;
    }
    return 0;
}

int overlay_has(struct inode *dir, const char *name, size_t len)
{
    int found = probe(mem_of(dir), mem_of(dir)->nr_lowers, name, len);

    return found == 2 ? 0 : found;
}

/* Passes on the names of one layer that nothing hides. */
struct merge_sink {
    struct dir_sink sink;
    struct dir_sink *out;
    struct inode *dir;
    u32 layer;
    bool full;
};

static bool merge_add(struct dir_sink *sink, const char *name, size_t len, u64 ino, u64 next_pos,
                      u8 dt_type)
{
    struct merge_sink *merge = container_of(sink, struct merge_sink, sink);
    struct mem_inode *mem = mem_of(merge->dir);
    struct inode *lower = mem->lowers[merge->layer];

    if (mem_find(merge->dir, name, len))
        return true;
    if (merge->layer && probe(mem, merge->layer, name, len))
        return true; /* an error shows when the name is looked up */
    if (dt_type == mode_to_dt(S_IFCHR) && !overlay_has(merge->dir, name, len))
        return true;
    merge->full =
        !merge->out->add(merge->out, name, len, ino_of(mem_fs_of(merge->dir), lower->sb, ino),
                         (u64)(merge->layer + 1) * OVERLAY_FIRST_POS + next_pos, dt_type);
    return !merge->full;
}

int overlay_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    struct mem_inode *mem = mem_of(dir);
    struct merge_sink merge = {.sink = {merge_add}, .out = sink, .dir = dir};

    for (u64 i = *pos / OVERLAY_FIRST_POS - 1; i < mem->nr_lowers; i++) {
        u64 base = (i + 1) * OVERLAY_FIRST_POS;
        u64 at = max(*pos - base, (u64)READDIR_FIRST);
        merge.layer = (u32)i;
        int err = mem->lowers[i]->ops->iterate(mem->lowers[i], &at, &merge.sink);
        *pos = base + at;
        if (err || merge.full)
            return err;
        *pos = base + OVERLAY_FIRST_POS;
    }
    return 0;
}

int overlay_root(struct super_block *sb, struct inode **out)
{
    struct mem_fs *fs = sb->data;
    struct inode *roots[OVERLAY_LAYERS_MAX];

    for (u32 i = 0; i < fs->nr_layers; i++) {
        roots[i] = fs->layers[i]->root->inode;
        inode_get(roots[i]);
    }
    return instantiate(sb, roots, fs->nr_layers, out);
}
