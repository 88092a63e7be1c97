/* Names: look up, create, link, remove, rename.  The directories, and an inode that loses a name,
 * are locked by vfs.  Everything that may be refused is looked at before the handle is opened. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/ext4/dir_priv.h"
#include "lib/string.h"

enum { CREDITS_NEW_INODE = 2 + CREDITS_INODE };

static int ext4_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct ext4_found found;

    if (len > EXT4_NAME_MAX)
        return -ENAMETOOLONG;
    int err = ext4_dir_find(dir, name, len, &found);
    if (err)
        return err;
    u32 ino = le32_get(found.entry->inode);
    buf_put(ext4_of(dir->sb), found.buf);
    err = ext4_iget(dir->sb, ino, false, out);
    if (err == -ESTALE) {
        ext4_error(ext4_of(dir->sb), "directory %llu names inode %u, which is free",
                   (unsigned long long)dir->ino, ino);
        err = -EUCLEAN;
    }
    return err;
}

static void inc_link(struct inode *dir)
{
    if (dir->nlink > 1 && ++dir->nlink >= EXT4_LINK_MAX)
        dir->nlink = 1; /* too many to count */
}

static void dec_link(struct inode *dir)
{
    if (dir->nlink > 2)
        dir->nlink--;
}

/* Enter @inode, and write both; the directory's times change. */
static int enter(struct ext4_handle *h, struct inode *dir, const char *name, size_t len,
                 struct inode *inode)
{
    int err = ext4_dir_add(h, dir, name, len, inode);

    if (err)
        return err;
    inode_touch(dir, true);
    err = ext4_inode_write(h, dir);
    return err ? err : ext4_inode_write(h, inode);
}

/* The first block of a new directory. */
static int init_dir(struct ext4_handle *h, struct inode *dir, struct inode *inode)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_buf *buf;
    u32 index;

    int err = ext4_dir_append(h, inode, &buf, &index);
    if (err)
        return err;
    struct ext4_dir_entry *dot = dir_entry_at(buf->data, 0), *dots = dir_entry_at(buf->data, 12);
    dot->rec_len = le16_of(12);
    dots->rec_len = le16_of((u16)(dir_room(fs) - 12));
    dot->inode = le32_of((u32)inode->ino);
    dots->inode = le32_of((u32)dir->ino);
    dot->file_type = dots->file_type = EXT4_FT_DIR;
    dot->name_len = 1;
    dots->name_len = 2;
    memcpy(dot->name, ".", 1);
    memcpy(dots->name, "..", 2);
    inode->nlink = 2;
    buf_put(fs, buf);
    return 0;
}

/* Undo a creation that failed half way: the inode goes with its reference, after the handle. */
static int finish_new(struct ext4_handle *h, int err, struct inode *inode, struct inode **out)
{
    if (err && inode) {
        inode->nlink = 0;
        (void)ext4_orphan_add(h, inode); /* the first error counts */
    }
    handle_stop(h);
    if (err)
        inode_put(inode);
    else
        *out = inode;
    return err;
}

static int ext4_create(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                       struct inode **out)
{
    struct inode *inode = NULL;
    struct ext4_handle h;

    if (len > EXT4_NAME_MAX)
        return -ENAMETOOLONG;
    int err = handle_start(ext4_of(dir->sb),
                           CREDITS_NEW_INODE + CREDITS_NAME + CREDITS_ORPHAN +
                               (S_ISDIR(mode) ? CREDITS_ALLOC + 4 : 0),
                           &h);
    if (err)
        return err;
    err = ext4_inode_new(&h, dir, mode, rdev, true, &inode);
    if (!err && S_ISDIR(mode))
        err = init_dir(&h, dir, inode);
    if (!err && S_ISDIR(mode))
        inc_link(dir);
    if (!err)
        err = enter(&h, dir, name, len, inode);
    if (err && inode && S_ISDIR(mode) && inode->nlink == 2)
        dec_link(dir);
    return finish_new(&h, err, inode, out);
}

/* A target that does not fit into the inode has a block of its own, which the journal carries. */
static int write_target(struct ext4_handle *h, struct inode *inode, const char *target, size_t len)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_buf *buf;

    inode->size = len;
    if (len < sizeof(ei->block)) {
        memcpy(ei->block, target, len);
        return 0;
    }
    ext4_init_tree(ei);
    ei->iflags |= EXT4_EXTENTS_FL;
    int err = ext4_new_meta(h, ei->goal, false, &buf);
    if (err)
        return err;
    err = ext4_insert_extent(h, inode, 0, buf->block, 1, false, false);
    if (err) {
        (void)ext4_free_blocks(h, buf->block, 1, true); /* the first error counts */
        buf_put(fs, buf);
        return err;
    }
    handle_change(h, buf, EXT4_PLAIN, 0);
    memcpy(buf->data, target, len);
    buf_put(fs, buf);
    ext4_count_blocks(inode, 1);
    return 0;
}

static int ext4_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                        struct inode **out)
{
    struct inode *inode = NULL;
    struct ext4_handle h;
    size_t target_len = strlen(target);

    if (len > EXT4_NAME_MAX || target_len >= ext4_of(dir->sb)->block_size)
        return -ENAMETOOLONG;
    int err =
        handle_start(ext4_of(dir->sb),
                     CREDITS_NEW_INODE + CREDITS_NAME + CREDITS_ORPHAN + CREDITS_ALLOC + 1, &h);
    if (err)
        return err;
    err = ext4_inode_new(&h, dir, S_IFLNK | 0777, 0, true, &inode);
    if (!err)
        err = write_target(&h, inode, target, target_len);
    if (!err)
        err = enter(&h, dir, name, len, inode);
    return finish_new(&h, err, inode, out);
}

static int ext4_tmpfile(struct inode *dir, u32 mode, struct inode **out)
{
    struct inode *inode = NULL;
    struct ext4_handle h;

    int err = handle_start(ext4_of(dir->sb), CREDITS_NEW_INODE + CREDITS_ORPHAN, &h);
    if (err)
        return err;
    err = ext4_inode_new(&h, dir, mode, 0, false, &inode);
    if (!err)
        err = ext4_orphan_add(&h, inode);
    return finish_new(&h, err, inode, out);
}

static int ext4_link(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct ext4_handle h;

    if (len > EXT4_NAME_MAX)
        return -ENAMETOOLONG;
    if (inode->nlink >= EXT4_LINK_MAX)
        return -EMLINK;
    int err = handle_start(ext4_of(dir->sb), CREDITS_NAME + CREDITS_INODE + CREDITS_ORPHAN, &h);
    if (err)
        return err;
    if (!inode->nlink)
        err = ext4_orphan_remove(&h, inode);
    if (!err) {
        inode->nlink++;
        inode_touch(inode, false);
        err = enter(&h, dir, name, len, inode);
        if (err)
            inode->nlink--;
    }
    if (err && !inode->nlink)
        (void)ext4_orphan_add(&h, inode); /* as it was; the first error counts */
    handle_stop(&h);
    return err;
}

/* The inode has lost a name. */
static int drop_link(struct ext4_handle *h, struct inode *inode)
{
    int err = 0;

    inode->nlink = S_ISDIR(inode->mode) ? 0 : inode->nlink - 1;
    inode_touch(inode, false);
    if (!inode->nlink) {
        ext4_inode_undirty(inode); /* vfs has a reference */
        err = ext4_orphan_add(h, inode);
    }
    return err ? err : ext4_inode_write(h, inode);
}

static int remove_name(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct ext4_fs *fs = ext4_of(dir->sb);
    struct ext4_found found;
    struct ext4_handle h;

    int err = ext4_dir_find(dir, name, len, &found);
    if (err)
        return err;
    err = handle_start(fs, 1 + 2 * CREDITS_INODE + CREDITS_ORPHAN, &h);
    if (err) {
        buf_put(fs, found.buf);
        return err;
    }
    ext4_dir_remove(&h, dir, &found);
    buf_put(fs, found.buf);
    inode_touch(dir, true);
    if (S_ISDIR(inode->mode))
        dec_link(dir);
    err = ext4_inode_write(&h, dir);
    if (!err)
        err = drop_link(&h, inode);
    handle_stop(&h);
    return err;
}

static int ext4_unlink(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    return remove_name(dir, name, len, inode);
}

static int ext4_rmdir(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    int err = ext4_dir_is_empty(inode);

    return err ? err : remove_name(dir, name, len, inode);
}

/* Let ".." of @inode, a directory, be @parent. */
static int set_parent(struct ext4_handle *h, struct inode *inode, struct inode *parent)
{
    struct ext4_found found = {.before = NULL};

    int err = ext4_dir_block(inode, 0, &found.buf);
    if (err)
        return err;
    found.entry = dir_entry_at(found.buf->data, 12);
    ext4_dir_retarget(h, inode, &found, parent);
    buf_put(h->fs, found.buf);
    return 0;
}

/* Let the name, which is there, be @inode's. */
static int retarget(struct ext4_handle *h, struct inode *dir, const char *name, size_t len,
                    struct inode *inode)
{
    struct ext4_found found;

    int err = ext4_dir_find(dir, name, len, &found);
    if (err)
        return err;
    ext4_dir_retarget(h, dir, &found, inode);
    buf_put(h->fs, found.buf);
    return 0;
}

static int remove_entry(struct ext4_handle *h, struct inode *dir, const char *name, size_t len)
{
    struct ext4_found found;

    int err = ext4_dir_find(dir, name, len, &found);
    if (err)
        return err;
    ext4_dir_remove(h, dir, &found);
    buf_put(h->fs, found.buf);
    return 0;
}

struct renaming {
    struct inode *old_dir, *new_dir, *inode, *replaced; /* .replaced may be NULL */
    const char *old_name, *new_name;
    size_t old_len, new_len;
};

/* "..", and the counts that go with it. */
static int move_dirs(struct ext4_handle *h, const struct renaming *r, bool exchange)
{
    bool is_dir = S_ISDIR(r->inode->mode), was_dir = r->replaced && S_ISDIR(r->replaced->mode);
    int err = 0;

    if (was_dir && !exchange)
        dec_link(r->new_dir);
    if (r->old_dir == r->new_dir) {
        return 0;
    }
    if (is_dir) {
        dec_link(r->old_dir);
        inc_link(r->new_dir);
        err = set_parent(h, r->inode, r->new_dir);
    }
    if (was_dir && exchange && !err) {
        dec_link(r->new_dir);
        inc_link(r->old_dir);
        err = set_parent(h, r->replaced, r->old_dir);
    }
    return err;
}

static int move_names(struct ext4_handle *h, const struct renaming *r, bool exchange)
{
    int err = r->replaced ? retarget(h, r->new_dir, r->new_name, r->new_len, r->inode)
                          : ext4_dir_add(h, r->new_dir, r->new_name, r->new_len, r->inode);

    if (err)
        return err;
    err = exchange ? retarget(h, r->old_dir, r->old_name, r->old_len, r->replaced)
                   : remove_entry(h, r->old_dir, r->old_name, r->old_len);
    if (err)
        ext4_error(h->fs, "a rename in directory %llu was cut short",
                   (unsigned long long)r->old_dir->ino);
    return err;
}

static int write_all(struct ext4_handle *h, const struct renaming *r, bool exchange)
{
    int err = 0;

    inode_touch(r->old_dir, true);
    inode_touch(r->new_dir, true);
    inode_touch(r->inode, false);
    if (r->replaced && !exchange)
        err = drop_link(h, r->replaced);
    else if (r->replaced)
        inode_touch(r->replaced, false);
    if (!err && r->replaced && exchange)
        err = ext4_inode_write(h, r->replaced);
    if (!err)
        err = ext4_inode_write(h, r->inode);
    if (!err)
        err = ext4_inode_write(h, r->old_dir);
    return err ? err : ext4_inode_write(h, r->new_dir);
}

static int ext4_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                       struct inode *inode, struct inode *new_dir, const char *new_name,
                       size_t new_len, struct inode *replaced, u32 flags)
{
    const struct renaming r = {old_dir,  new_dir,  inode,   replaced,
                               old_name, new_name, old_len, new_len};
    bool exchange = flags & RENAME_EXCHANGE;
    struct ext4_found found;
    struct ext4_handle h;

    if (new_len > EXT4_NAME_MAX)
        return -ENAMETOOLONG;
    int err = replaced && !exchange && S_ISDIR(replaced->mode) ? ext4_dir_is_empty(replaced) : 0;
    if (!err)
        err = ext4_dir_find(old_dir, old_name, old_len, &found);
    if (err)
        return err;
    buf_put(ext4_of(old_dir->sb), found.buf);
    err = handle_start(ext4_of(old_dir->sb), CREDITS_NAME + 3 + 4 * CREDITS_INODE + CREDITS_ORPHAN,
                       &h);
    if (err)
        return err;
    err = move_names(&h, &r, exchange);
    if (!err)
        err = move_dirs(&h, &r, exchange);
    if (!err)
        err = write_all(&h, &r, exchange);
    handle_stop(&h);
    return err;
}

static ssize_t ext4_readlink(struct inode *inode, char *buf, size_t size)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    size_t len = min((size_t)inode->size, size);
    struct ext4_buf *block;
    struct ext4_run run;

    if (!(ei->iflags & EXT4_EXTENTS_FL)) {
        memcpy(buf, ei->block, len);
        return (ssize_t)len;
    }
    mutex_lock(&ei->map_lock);
    int err = ext4_map(inode, 0, 1, &run);
    mutex_unlock(&ei->map_lock);
    if (!err && run.state != MAP_WRITTEN)
        err = -EUCLEAN;
    if (!err)
        err = buf_read(fs, run.start, &block);
    if (err)
        return err;
    memcpy(buf, block->data, len);
    buf_put(fs, block);
    return (ssize_t)len;
}

static int dir_sync(struct file *file, bool data_only)
{
    (void)data_only; /* names are all a directory has */
    return ext4_fsync_inode(file->inode, false);
}

static s64 dir_seek(struct file *file, s64 offset, int whence)
{
    return generic_dir_file_ops.seek(file, offset, whence);
}

static int dir_readdir(struct file *file, struct dir_sink *sink)
{
    return generic_dir_file_ops.readdir(file, sink);
}

const struct file_ops ext4_dir_file_ops = {
    .seek = dir_seek,
    .readdir = dir_readdir,
    .sync = dir_sync,
    .ioctl = ext4_ioctl,
};

const struct inode_ops ext4_dir_inode_ops = {
    .lookup = ext4_lookup,
    .create = ext4_create,
    .symlink = ext4_symlink,
    .link = ext4_link,
    .unlink = ext4_unlink,
    .rmdir = ext4_rmdir,
    .rename = ext4_rename,
    .tmpfile = ext4_tmpfile,
    .iterate = ext4_dir_iterate,
    .setattr = ext4_setattr,
    .getattr = ext4_getattr,
    .getxattr = ext4_getxattr,
    .setxattr = ext4_setxattr,
    .listxattr = ext4_listxattr,
    .removexattr = ext4_removexattr,
};
const struct inode_ops ext4_symlink_inode_ops = {
    .readlink = ext4_readlink,
    .setattr = ext4_setattr,
    .getattr = ext4_getattr,
    .getxattr = ext4_getxattr,
    .setxattr = ext4_setxattr,
    .listxattr = ext4_listxattr,
    .removexattr = ext4_removexattr,
};
const struct inode_ops ext4_special_inode_ops = {
    .setattr = ext4_setattr,
    .getattr = ext4_getattr,
    .getxattr = ext4_getxattr,
    .setxattr = ext4_setxattr,
    .listxattr = ext4_listxattr,
    .removexattr = ext4_removexattr,
};
