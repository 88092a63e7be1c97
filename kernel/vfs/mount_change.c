/* mount(2) and umount2(2) below the system calls: what programs add to the mounts of the start, and
 * take away again.  All changes are made one after the other. */
#include "abi/errno.h"
#include "abi/stat.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/mount_priv.h"
#include "vfs/path.h"

static struct mutex changing = {.waiters = LIST_INIT(changing.waiters)};

/* ---- add ---- */

/* Give what was not attached back. */
static void discard(struct mount *mount)
{
    if (!mount)
        return;
    dentry_put(mount->root);
    kfree(mount->source);
    kfree(mount);
}

static struct mount *make(struct super_block *sb, struct dentry *root, const char *source,
                          u32 flags)
{
    char *name = kstrdup(source);
    struct mount *mount = name ? mount_create(sb, name, flags) : NULL;

    if (!mount) {
        kfree(name);
        return NULL;
    }
    dentry_get(root);
    mount->root = root;
    mount->by_program = true;
    return mount;
}

static void attach_to(struct mount *mount, struct mount *parent, struct dentry *on)
{
    struct path at = {parent, on};

    dentry_get(on);
    mount_attach(mount, &at);
}

/* A tree of mounts is copied in one pass, since who is mounted in another comes after it. */
struct copying {
    struct mount *from;  /* what is mounted in it ... */
    struct dentry *root; /* ... below this comes along */
    struct mount *last;  /* of those that were there before */
};

static bool is_below(const struct copying *c, const struct mount *mount)
{
    names_read_lock();
    bool below = dentry_is_below(mount->mountpoint, c->root);
    names_read_unlock();
    return below;
}

/* 1: all that was there before has been seen. */
static int copy_visit(struct mount *mount, void *arg)
{
    struct copying *c = arg;
    struct mount *parent = mount->parent ? mount->parent->copy : NULL;

    if (parent && (mount->parent != c->from || is_below(c, mount))) {
        mount->copy = make(mount->sb, mount->root, mount->source, mount->flags);
        if (!mount->copy)
            return -ENOMEM;
        attach_to(mount->copy, parent, mount->mountpoint);
    }
    return mount == c->last;
}

static int forget_copy(struct mount *mount, void *arg)
{
    (void)arg;
    mount->copy = NULL;
    return 0;
}

static int note_last(struct mount *mount, void *arg)
{
    struct copying *c = arg;

    c->last = mount;
    return 0;
}

/* Is the same mounted right here? */
static bool is_here(const struct super_block *sb, const struct dentry *root, const struct path *at)
{
    return at->dentry == at->mount->root && at->mount->sb == sb && at->mount->root == root;
}

static int add_locked(struct mount *mount, const struct path *at, struct mount *below)
{
    struct copying c = {.from = below, .root = mount->root};

    mount_for_each(note_last, &c);
    attach_to(mount, at->mount, at->dentry);
    if (!below)
        return 0;
    below->copy = mount;
    int err = min(mount_for_each(copy_visit, &c), 0);
    mount_for_each(forget_copy, NULL);
    return err;
}

int mount_add(struct super_block *sb, struct dentry *root, const char *source, u32 flags,
              const struct path *at, struct mount *below)
{
    if (S_ISDIR(root->inode->mode) != S_ISDIR(at->dentry->inode->mode))
        return -ENOTDIR;
    if (!below && is_here(sb, root, at))
        return -EBUSY;
    struct mount *mount = make(sb, root, source, flags);
    if (!mount)
        return -ENOMEM;
    mutex_lock(&changing);
    int err = mount_is_gone(at->mount) ? -ENOENT : add_locked(mount, at, below);
    bool attached = mount->mountpoint != NULL;
    mutex_unlock(&changing);
    if (!attached)
        discard(mount);
    return err;
}

/* ---- remove ---- */

/* What a walk over all mounts finds of one. */
struct census {
    const struct mount *mount;
    u32 inside; /* mounted in it */
    u32 same;   /* other mounts of its file system, those that are gone left out */
};

static int count_visit(struct mount *mount, void *arg)
{
    struct census *c = arg;

    c->inside += mount->parent == c->mount;
    c->same += mount->sb == c->mount->sb && mount != c->mount && !mount_is_gone(mount);
    return 0;
}

static struct census census_of(const struct mount *mount)
{
    struct census c = {.mount = mount};

    mount_for_each(count_visit, &c);
    return c;
}

/* Open files and directories hold their names, and those the root's. @known: references to it that
 * mean no use. */
static bool is_used(const struct super_block *sb, u32 known)
{
    u32 idle = 0; /* passes that freed nothing: one may only have taken second chances away */

    while (ref_count(&sb->root->refs) > known && idle < 2) /* those without children go first */
        idle = dentry_shrink(UINT64_MAX) ? 0 : idle + 1;
    return ref_count(&sb->root->refs) > known;
}

/* Nobody finds it any more.  For who is in there it ends at its root, which is only compared. */
static void detach(struct mount *mount)
{
    struct dentry *on = mount->mountpoint;
    struct mount **link = &on->mounted;

    names_write_lock();
    while (*link != mount)
        link = &(*link)->beside;
    *link = mount->beside;
    mount->parent = NULL;
    mount->mountpoint = NULL;
    __atomic_store_n(&mount->gone, true, __ATOMIC_RELEASE);
    names_write_unlock();
    dentry_put(on);
    dentry_put(mount->root);
}

/* Those in it, which come after it, go with it. */
static int detach_visit(struct mount *mount, void *arg)
{
    (void)arg;
    if (mount->parent && mount_is_gone(mount->parent))
        detach(mount);
    return 0;
}

/* What is in memory only goes when nobody can come back to it: at once, or when the last user has
 * gone and something else is unmounted.  Its super block stays, as do mounts. */
static void empty_unused(void)
{
    struct mount *mount;

    list_for_each(mount, &mount_list, node) {
        struct super_block *sb = mount->sb;
        if (!mount_is_gone(mount) || mount->emptied || census_of(mount).same || is_used(sb, 1))
            continue;
        mount->emptied = true;
        if (sb->ops && sb->ops->empty)
            sb->ops->empty(sb);
    }
}

static int remove_locked(struct mount *mount, u32 held, bool lazy)
{
    struct census c = census_of(mount);

    if (!mount->by_program)
        return -EBUSY;
    if (mount_is_gone(mount))
        return -EINVAL;
    /* Which of several mounts of a file system is in use nobody knows. */
    bool used = c.inside || (!c.same && mount->root == mount->sb->root && is_used(mount->sb, held));
    if (used && !lazy)
        return -EBUSY;
    detach(mount);
    mount_for_each(detach_visit, NULL);
    return 0;
}

int mount_remove(struct path *at, bool lazy)
{
    enum { SUPER_S_MOUNT_S_AND_OURS = 3 };
    struct mount *mount = at->mount;
    int err = -EINVAL;

    mutex_lock(&changing);
    if (at->dentry == mount->root)
        err = remove_locked(mount, SUPER_S_MOUNT_S_AND_OURS, lazy);
    path_put(at);
    if (!err)
        empty_unused();
    mutex_unlock(&changing);
    return err;
}

/* ---- change ---- */

int mount_change(const struct path *at, u32 flags)
{
    struct mount *mount = at->mount;

    if (at->dentry != mount->root)
        return -EINVAL;
    bool stays = mount->sb->readonly || mount->begun_readonly;
    if (stays && !(flags & MOUNT_READONLY))
        return -EROFS;
    __atomic_store_n(&mount->flags, flags, __ATOMIC_RELAXED);
    return 0;
}

static int find_visit(struct mount *mount, void *arg)
{
    struct mount **found = arg;

    if (strcmp(mount->sb->type, (*found)->source))
        return 0;
    *found = mount;
    return 1;
}

struct mount *mount_find(const char *type)
{
    struct mount wanted = {.source = type}, *found = &wanted;

    return mount_for_each(find_visit, &found) ? found : NULL;
}
