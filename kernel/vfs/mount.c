/* Kinds of file systems, super blocks, and what is mounted where.  The list of mounts is only ever
 * added to; one that is unmounted is marked in it. */
#include "vfs/mount.h"

#include "abi/errno.h"
#include "core/init.h"
#include "core/panic.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/mount_priv.h"
#include "vfs/page_cache.h"
#include "vfs/path.h"

enum { KINDS_MAX = 16 };

static struct {
    const char *name;
    fs_mount_fn *mount;
} kinds[KINDS_MAX]; /* [I] after start */
static u32 nr_kinds;

struct list_head mount_list = LIST_INIT(mount_list); /* [N] */
static u32 next_minor = 1;                           /* [A] of st_dev */

void fs_register(const char *name, fs_mount_fn *mount)
{
    assert(nr_kinds < KINDS_MAX);
    kinds[nr_kinds].name = name;
    kinds[nr_kinds++].mount = mount;
}

fs_mount_fn *fs_find(const char *name)
{
    for (u32 i = 0; i < nr_kinds; i++)
        if (!strcmp(kinds[i].name, name))
            return kinds[i].mount;
    return NULL;
}

struct super_block *super_create(const char *type, u64 magic)
{
    struct super_block *sb = kzalloc(sizeof(*sb));
    if (!sb)
        return NULL;
    sb->type = type;
    sb->magic = magic;
    sb->block_size = (u32)PAGE_SIZE;
    sb->dev = dev_make(0, __atomic_fetch_add(&next_minor, 1, __ATOMIC_RELAXED));
    return sb;
}

void super_destroy(struct super_block *sb)
{
    if (!sb)
        return;
    dentry_put(sb->root);
    if (sb->ops && sb->ops->free)
        sb->ops->free(sb);
    kfree(sb);
}

struct mount *mount_create(struct super_block *sb, const char *source, u32 flags)
{
    static u32 next_id = 20; /* as small numbers have meanings elsewhere */
    struct mount *mount = kzalloc(sizeof(*mount));

    if (!mount)
        return NULL;
    mount->sb = sb;
    mount->root = sb->root;
    mount->source = source;
    mount->flags = flags | (sb->readonly ? MOUNT_READONLY : 0);
    mount->id = __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
    return mount;
}

int mount_root(struct super_block *sb, const char *source)
{
    struct mount *mount = mount_create(sb, source, 0);
    if (!mount)
        return -ENOMEM;
    list_add_tail(&mount_list, &mount->node);
    struct path root = {mount, mount->root};
    fs_set_root(&init_fs_context, &root);
    fs_set_cwd(&init_fs_context, &root);
    return 0;
}

struct mount *mount_on(const struct path *at)
{
    struct mount *mount = at->dentry->mounted;

    while (mount && mount->parent != at->mount)
        mount = mount->beside;
    return mount;
}

/* The names from the file system's root down, right-aligned in @buf.  Name lock held. */
static char *name_below_root(const struct dentry *dentry, char *buf, size_t size)
{
    char *text = buf + size - 1;

    *text = '\0';
    for (; dentry->parent != dentry; dentry = dentry->parent) {
        if ((size_t)(text - buf) < dentry->name_len + 1u)
            return NULL;
        text -= dentry->name_len;
        memcpy(text, dentry->name, dentry->name_len);
        *--text = '/';
    }
    if (!*text)
        *--text = '/';
    return text;
}

bool mount_place(struct mount *mount, struct path *at, char *root)
{
    names_read_lock();
    char *name = mount->parent ? name_below_root(mount->root, root, LINUX_PATH_MAX) : NULL;
    if (name) {
        *at = (struct path){mount->parent, mount->mountpoint};
        dentry_get(at->dentry);
        memmove(root, name, strlen(name) + 1);
    }
    names_read_unlock();
    return name != NULL;
}

void mount_attach(struct mount *mount, const struct path *at)
{
    mount->parent = at->mount;
    mount->mountpoint = at->dentry;
    names_write_lock();
    mount->beside = at->dentry->mounted;
    at->dentry->mounted = mount;
    list_add_tail(&mount_list, &mount->node);
    names_write_unlock();
}

int mount_at(struct super_block *sb, const char *source, const char *path, bool readonly)
{
    struct path at;

    int err = path_lookup_kernel(path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &at);
    if (err)
        return err;
    struct mount *mount = mount_create(sb, source, readonly ? MOUNT_READONLY : 0);
    if (!mount) {
        path_put(&at);
        return -ENOMEM;
    }
    if (at.dentry == at.mount->root) {
        path_put(&at);
        kfree(mount);
        return -EBUSY;
    }
    mount->begun_readonly = readonly;
    mount_attach(mount, &at); /* takes the reference */
    return 0;
}

int mount_for_each(int (*fn)(struct mount *mount, void *arg), void *arg)
{
    struct mount *mount;

    list_for_each(mount, &mount_list, node) {
        int stop = mount_is_gone(mount) ? 0 : fn(mount, arg);
        if (stop)
            return stop;
    }
    return 0;
}

static int sync_one(struct mount *mount, void *arg)
{
    int *first = arg;
    const struct super_ops *ops = mount->sb->ops;
    int err = ops && ops->sync ? ops->sync(mount->sb) : 0;

    if (err && !*first)
        *first = err;
    return 0;
}

int mount_sync_all(void)
{
    int first = 0;

    mount_for_each(sync_one, &first);
    return first;
}

void vfs_init(void)
{
    dentry_init();
    page_cache_start();
}
