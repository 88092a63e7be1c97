/* Inodes in no directory.  They live in a super block that is mounted nowhere; it is made at the
 * first use and stays. */
#include "vfs/anon/anon_inode.h"

#include "abi/errno.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"

enum { PIPEFS_MAGIC = 0x50495045 };

static struct mutex setup_lock = {.waiters = LIST_INIT(setup_lock.waiters)};
static struct mount anon_mount; /* .sb is set last, under setup_lock */

static void anon_evict(struct inode *inode)
{
    const struct anon_kind *kind = (const void *)inode->ops; /* its first member */

    if (kind->evict)
        kind->evict(inode->data);
}

static const struct super_ops anon_super_ops = {.evict = anon_evict};

static struct super_block *anon_super(void)
{
    struct super_block *sb = __atomic_load_n(&anon_mount.sb, __ATOMIC_ACQUIRE);

    if (sb)
        return sb;
    mutex_lock(&setup_lock);
    sb = anon_mount.sb;
    if (!sb)
        sb = super_create("pipefs", PIPEFS_MAGIC);
    if (sb) {
        sb->ops = &anon_super_ops;
        sb->block_size = 4096;
        anon_mount.source = "pipefs";
        __atomic_store_n(&anon_mount.sb, sb, __ATOMIC_RELEASE);
    }
    mutex_unlock(&setup_lock);
    return sb;
}

struct inode *anon_inode_create(u32 mode, const struct anon_kind *kind, void *data)
{
    struct super_block *sb = anon_super();
    struct inode *inode = sb ? inode_create(sb, mode) : NULL;

    if (!inode)
        return NULL;
    inode_init_owner(inode, NULL);
    inode->ops = &kind->ops;
    inode->data = data;
    return inode;
}

struct file *anon_inode_file(struct inode *inode, const struct file_ops *ops, const char *anon_name,
                             u32 flags)
{
    struct file *file = file_create(inode, NULL, NULL, flags);

    if (!file)
        return NULL;
    file->ops = ops;
    file->data = inode->data;
    file->anon_name = anon_name;
    return file;
}

int anon_inode_path(struct file *file, struct path *out)
{
    if (!file->inode)
        return -ENXIO;
    inode_get(file->inode);
    struct dentry *dentry = dentry_create_root(file->inode);
    if (!dentry) {
        inode_put(file->inode);
        return -ENOMEM;
    }
    *out = (struct path){.mount = &anon_mount, .dentry = dentry};
    return 0;
}
