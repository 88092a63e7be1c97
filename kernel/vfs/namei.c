/* The calls that change directories: each locks the directory, asks the file system, and makes the
 * name cache follow.  Two directories are locked in the order: one above the other first, else by
 * address; renames between directories are one at a time, so that what is above what stays true. */
#include "abi/errno.h"
#include "core/panic.h"
#include "lib/string.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"
#include "vfs/notify.h"
#include "vfs/permission.h"
#include "vfs/walk.h"

/* Before all inode locks. */
static struct mutex rename_lock = {.waiters = LIST_INIT(rename_lock.waiters)};

/* A directory that is locked, and the name in it. */
struct slot {
    struct path dir;
    struct path_last last;
    struct dentry *dentry;
};

static void slot_close(struct slot *slot)
{
    mutex_unlock(&slot->dir.dentry->inode->lock);
    dentry_put(slot->dentry);
    path_last_free(&slot->last);
    path_put(&slot->dir);
}

enum { REMOVING = 1 }; /* a dots_error: rmdir has one for each kind */

static int check_last(const struct path_last *last, int dots_error)
{
    static const int removing[] = {-EBUSY, -EINVAL, -ENOTEMPTY};

    if (!last->len)
        return dots_error == REMOVING ? removing[last->dots] : dots_error;
    return last->len > LINUX_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* Lock the directory of @name and look the last component up. @dots_error: for "/", "." and "..".
 */
static int slot_open(int dirfd, const struct name_buf *name, int dots_error, struct slot *slot)
{
    int err = path_lookup_parent(dirfd, name, 0, &slot->dir, &slot->last);
    if (err)
        return err;
    err = check_last(&slot->last, dots_error);
    if (err)
        goto put;
    mutex_lock(&slot->dir.dentry->inode->lock);
    err = lookup_locked(slot->dir.dentry, slot->last.name, slot->last.len, slot->last.hash,
                        &slot->dentry);
    if (!err)
        return 0;
    mutex_unlock(&slot->dir.dentry->inode->lock);
put:
    path_last_free(&slot->last);
    path_put(&slot->dir);
    return err;
}

/* May something be made in the slot? @directory: a slash behind the name is fine. */
static int check_create(const struct slot *slot, bool directory)
{
    if (slot->dentry->inode)
        return -EEXIST;
    if (is_dead_dir(slot->dir.dentry->inode))
        return -ENOENT;
    if (slot->last.trailing && !directory)
        return -ENOENT;
    return mount_is_readonly(slot->dir.mount) ? -EROFS : may_create_in(slot->dir.dentry->inode);
}

static int create_node(int dirfd, const struct name_buf *name, u32 mode, u64 rdev,
                       struct inode **out)
{
    struct slot slot;
    struct inode *inode;

    int err = slot_open(dirfd, name, -EEXIST, &slot);
    if (err)
        return err;
    struct inode *dir = slot.dir.dentry->inode;
    err = check_create(&slot, S_ISDIR(mode));
    if (!err && !dir->ops->create)
        err = -EROFS;
    if (!err)
        err = dir->ops->create(dir, slot.dentry->name, slot.dentry->name_len, mode, rdev, &inode);
    if (!err) {
        if (out) {
            inode_get(inode);
            *out = inode;
        }
        dentry_instantiate(slot.dentry, inode);
        fsnotify(dir, FS_CREATE | (S_ISDIR(mode) ? FS_ISDIR : 0), slot.dentry->name, 0);
    }
    slot_close(&slot);
    return err;
}

int vfs_mknod(int dirfd, const struct name_buf *name, u32 mode, u64 rdev)
{
    return create_node(dirfd, name, mode, rdev, NULL);
}

int vfs_create_node(const char *path, u32 mode, u64 rdev, struct inode **out)
{
    struct name_buf name;
    int err = name_from_kernel(&name, path);

    if (err)
        return err;
    err = create_node(AT_FDCWD, &name, mode, rdev, out);
    name_free(&name);
    return err;
}

int vfs_mkdir(const char *path, u32 mode)
{
    return vfs_create_node(path, S_IFDIR | (mode & 07777), 0, NULL);
}

int vfs_symlink(int dirfd, const struct name_buf *name, const char *target)
{
    struct slot slot;
    struct inode *inode;

    if (!*target)
        return -ENOENT;
    int err = slot_open(dirfd, name, -EEXIST, &slot);
    if (err)
        return err;
    struct inode *dir = slot.dir.dentry->inode;
    err = check_create(&slot, false);
    if (!err && !dir->ops->symlink)
        err = -EROFS;
    if (!err)
        err = dir->ops->symlink(dir, slot.dentry->name, slot.dentry->name_len, target, &inode);
    if (!err) {
        dentry_instantiate(slot.dentry, inode);
        fsnotify(dir, FS_CREATE, slot.dentry->name, 0);
    }
    slot_close(&slot);
    return err;
}

int vfs_link(const struct path *from, int dirfd, const struct name_buf *name)
{
    struct slot slot;
    struct inode *inode = from->dentry->inode;

    int err = slot_open(dirfd, name, -EEXIST, &slot);
    if (err)
        return err;
    struct inode *dir = slot.dir.dentry->inode;
    err = check_create(&slot, false);
    if (err)
        goto close;
    if (S_ISDIR(inode->mode))
        err = -EPERM;
    else if (!inode->nlink && !(inode->flags & INODE_LINKABLE))
        err = -ENOENT;
    else if (from->mount != slot.dir.mount)
        err = -EXDEV;
    else if (!dir->ops->link)
        err = -EROFS;
    else
        err = dir->ops->link(dir, slot.dentry->name, slot.dentry->name_len, inode);
    if (err)
        goto close;
    inode_get(inode);
    dentry_instantiate(slot.dentry, inode);
    fsnotify(inode, FS_ATTRIB, NULL, 0);
    fsnotify(dir, FS_CREATE, slot.dentry->name, 0);
close:
    slot_close(&slot);
    return err;
}

/* May the name in the slot be removed as a file or a @directory? */
static int check_remove(const struct slot *slot, bool directory)
{
    const struct inode *inode = slot->dentry->inode;

    if (!inode)
        return -ENOENT;
    int err = may_remove_from(slot->dir.dentry->inode, inode);
    if (err)
        return err;
    if (directory && !S_ISDIR(inode->mode))
        return -ENOTDIR;
    if (!directory && S_ISDIR(inode->mode))
        return -EISDIR;
    if (!directory && slot->last.trailing)
        return -ENOTDIR;
    if (slot->dentry->mounted)
        return -EBUSY;
    return mount_is_readonly(slot->dir.mount) ? -EROFS : 0;
}

static int remove_locked(struct slot *slot, bool directory)
{
    struct inode *dir = slot->dir.dentry->inode, *inode = slot->dentry->inode;
    struct dentry *dentry = slot->dentry;
    int (*op)(struct inode *, const char *, size_t, struct inode *) =
        directory ? dir->ops->rmdir : dir->ops->unlink;

    if (!op)
        return -EROFS;
    int err = op(dir, dentry->name, dentry->name_len, inode);
    if (err)
        return err;
    if (!directory)
        fsnotify(inode, FS_ATTRIB, NULL, 0); /* the count of its names */
    fsnotify(dir, FS_DELETE | (directory ? FS_ISDIR : 0), dentry->name, 0);
    dentry_delete(dentry);
    return 0;
}

int vfs_unlink(int dirfd, const struct name_buf *name, bool directory)
{
    struct slot slot;

    int err = slot_open(dirfd, name, directory ? REMOVING : -EISDIR, &slot);
    if (err)
        return err;
    err = check_remove(&slot, directory);
    struct inode *inode = err ? NULL : slot.dentry->inode;
    if (inode) {
        inode_get(inode);
        mutex_lock(&inode->lock);
        err = remove_locked(&slot, directory);
        mutex_unlock(&inode->lock);
    }
    slot_close(&slot);
    inode_put(inode); /* may free what the name was the last holder of */
    return err;
}

/* Both directories of a rename, in the one order that cannot deadlock. */
static void lock_two(struct dentry *a, struct dentry *b)
{
    if (a == b) {
        mutex_lock(&a->inode->lock);
        return;
    }
    names_read_lock();
    bool a_first = dentry_is_below(b, a) || (!dentry_is_below(a, b) && a < b);
    names_read_unlock();
    mutex_lock(a_first ? &a->inode->lock : &b->inode->lock);
    mutex_lock(a_first ? &b->inode->lock : &a->inode->lock);
}

static void unlock_two(struct dentry *a, struct dentry *b)
{
    mutex_unlock(&a->inode->lock);
    if (a != b)
        mutex_unlock(&b->inode->lock);
}

static int check_kinds(const struct inode *inode, const struct inode *replaced)
{
    if (S_ISDIR(inode->mode) && !S_ISDIR(replaced->mode))
        return -ENOTDIR;
    if (!S_ISDIR(inode->mode) && S_ISDIR(replaced->mode))
        return -EISDIR;
    return 0;
}

/* Would a directory end up inside itself? */
static int check_loops(struct dentry *old, struct dentry *new, struct dentry *old_dir,
                       struct dentry *new_dir, u32 flags)
{
    int err = 0;

    names_read_lock();
    if (dentry_is_below(new_dir, old))
        err = -EINVAL;
    else if (dentry_is_below(old_dir, new))
        err = flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    names_read_unlock();
    return err;
}

/* Both names, and a folder that moves gets another "..". */
static int may_rename(const struct slot *old, const struct slot *new, u32 flags)
{
    const struct inode *inode = old->dentry->inode, *replaced = new->dentry->inode;
    const struct inode *from = old->dir.dentry->inode, *to = new->dir.dentry->inode;

    int err = may_remove_from(from, inode);
    if (!err)
        err = replaced ? may_remove_from(to, replaced) : may_create_in(to);
    if (!err && from != to && S_ISDIR(inode->mode))
        err = inode_permission(inode, W_OK);
    if (!err && from != to && flags & RENAME_EXCHANGE && S_ISDIR(replaced->mode))
        err = inode_permission(replaced, W_OK);
    return err;
}

static int check_rename(const struct slot *old, const struct slot *new, u32 flags)
{
    const struct inode *inode = old->dentry->inode, *replaced = new->dentry->inode;

    if (!inode)
        return -ENOENT;
    if (!S_ISDIR(inode->mode) && (old->last.trailing || (new->last.trailing && !replaced)))
        return -ENOTDIR;
    if (is_dead_dir(new->dir.dentry->inode))
        return -ENOENT;
    if (replaced && flags & RENAME_NOREPLACE)
        return -EEXIST;
    if (!replaced && flags & RENAME_EXCHANGE)
        return -ENOENT;
    if (mount_is_readonly(old->dir.mount))
        return -EROFS;
    int err = may_rename(old, new, flags);
    if (!err)
        err = check_loops(old->dentry, new->dentry, old->dir.dentry, new->dir.dentry, flags);
    if (err)
        return err;
    if (old->dentry->mounted || new->dentry->mounted)
        return -EBUSY;
    if (replaced && !(flags & RENAME_EXCHANGE))
        return check_kinds(inode, replaced);
    return 0;
}

static void notify_rename(const struct slot *old, const struct slot *new, const char *old_name,
                          struct inode *inode, struct inode *replaced)
{
    static u32 next_cookie;
    u32 cookie = __atomic_add_fetch(&next_cookie, 1, __ATOMIC_RELAXED);
    u32 is_dir = S_ISDIR(inode->mode) ? FS_ISDIR : 0;

    fsnotify(old->dir.dentry->inode, FS_MOVED_FROM | is_dir, old_name, cookie);
    fsnotify(new->dir.dentry->inode, FS_MOVED_TO | is_dir, old->dentry->name, cookie);
    fsnotify(inode, FS_MOVE_SELF, NULL, 0);
    if (replaced)
        fsnotify(replaced, FS_ATTRIB, NULL, 0);
}

/* Both directories locked, both names looked up. */
static int rename_locked(struct slot *old, struct slot *new, u32 flags)
{
    struct inode *inode = old->dentry->inode, *replaced = new->dentry->inode;
    struct inode *old_dir = old->dir.dentry->inode;
    char old_name[LINUX_NAME_MAX + 1] = "";

    int err = check_rename(old, new, flags);
    if (err || inode == replaced) /* two names of one file: nothing to do */
        return err;
    if (!old_dir->ops->rename)
        return -EROFS;
    err = old_dir->ops->rename(old_dir, old->dentry->name, old->dentry->name_len, inode,
                               new->dir.dentry->inode, new->dentry->name, new->dentry->name_len,
                               replaced, flags);
    if (err)
        return err;
    bool heard = fsnotify_handler != NULL;
    if (heard)
        memcpy(old_name, old->dentry->name, old->dentry->name_len);
    dentry_move(old->dentry, new->dentry, flags & RENAME_EXCHANGE);
    if (heard)
        notify_rename(old, new, old_name, inode, flags & RENAME_EXCHANGE ? NULL : replaced);
    return 0;
}

static int lookup_slot(struct slot *slot)
{
    return lookup_locked(slot->dir.dentry, slot->last.name, slot->last.len, slot->last.hash,
                         &slot->dentry);
}

static int rename_slots(struct slot *old, struct slot *new, u32 flags)
{
    int err = check_last(&old->last, -EBUSY);
    if (!err)
        err = check_last(&new->last, flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY);
    if (!err && old->dir.mount != new->dir.mount)
        err = -EXDEV;
    if (err)
        return err;
    mutex_lock(&rename_lock);
    lock_two(old->dir.dentry, new->dir.dentry);
    err = lookup_slot(old);
    if (!err) {
        err = lookup_slot(new);
        struct inode *replaced = err ? NULL : new->dentry->inode;
        if (replaced)
            inode_get(replaced);
        if (!err) {
            err = rename_locked(old, new, flags);
            dentry_put(new->dentry);
        }
        dentry_put(old->dentry);
        unlock_two(old->dir.dentry, new->dir.dentry);
        inode_put(replaced);
    } else {
        unlock_two(old->dir.dentry, new->dir.dentry);
    }
    mutex_unlock(&rename_lock);
    return err;
}

int vfs_rename(int old_dirfd, const struct name_buf *old_name, int new_dirfd,
               const struct name_buf *new_name, u32 flags)
{
    struct slot old, new;

    if (flags & ~(u32)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        (flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)) == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int err = path_lookup_parent(old_dirfd, old_name, 0, &old.dir, &old.last);
    if (err)
        return err;
    err = path_lookup_parent(new_dirfd, new_name, 0, &new.dir, &new.last);
    if (!err) {
        err = rename_slots(&old, &new, flags);
        path_last_free(&new.last);
        path_put(&new.dir);
    }
    path_last_free(&old.last);
    path_put(&old.dir);
    return err;
}
