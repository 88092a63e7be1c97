/* Kinds of file systems, super blocks, and what is mounted where.  Mounts are made at start and
 * stay; the list is only ever added to. */
#include "vfs/mount.h"

#include "abi/errno.h"
#include "core/init.h"
#include "core/panic.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/page_cache.h"
#include "vfs/path.h"

enum { KINDS_MAX = 16 };

static struct {
    const char *name;
    fs_mount_fn *mount;
} kinds[KINDS_MAX]; /* [I] after start */
static u32 nr_kinds;

static struct list_head mounts = LIST_INIT(mounts); /* [N] */
static u32 next_minor = 1;                          /* [A] of st_dev */

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

static struct mount *mount_create(struct super_block *sb, const char *source, bool readonly)
{
    static u32 next_id = 20; /* as small numbers have meanings elsewhere */
    struct mount *mount = kzalloc(sizeof(*mount));

    if (!mount)
        return NULL;
    mount->sb = sb;
    mount->root = sb->root;
    mount->source = source;
    mount->readonly = readonly || sb->readonly;
    mount->id = __atomic_add_fetch(&next_id, 1, __ATOMIC_RELAXED);
    return mount;
}

int mount_root(struct super_block *sb, const char *source)
{
    struct mount *mount = mount_create(sb, source, false);
    if (!mount)
        return -ENOMEM;
    list_add_tail(&mounts, &mount->node);
    struct path root = {mount, mount->root};
    fs_set_root(&init_fs_context, &root);
    fs_set_cwd(&init_fs_context, &root);
    return 0;
}

int mount_at(struct super_block *sb, const char *source, const char *path, bool readonly)
{
    struct path at;

    int err = path_lookup_kernel(path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &at);
    if (err)
        return err;
    struct mount *mount = mount_create(sb, source, readonly);
    if (!mount) {
        path_put(&at);
        return -ENOMEM;
    }
    if (at.dentry == at.mount->root) {
        path_put(&at);
        kfree(mount);
        return -EBUSY;
    }
    mount->parent = at.mount;
    mount->mountpoint = at.dentry; /* takes the reference */
    names_write_lock();
    at.dentry->mounted = mount;
    list_add_tail(&mounts, &mount->node);
    names_write_unlock();
    return 0;
}

int mount_for_each(int (*fn)(struct mount *mount, void *arg), void *arg)
{
    struct mount *mount;

    list_for_each(mount, &mounts, node) {
        int stop = fn(mount, arg);
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
