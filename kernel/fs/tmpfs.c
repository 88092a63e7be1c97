/* tmpfs: super block, inodes, limits. */
#include "fs/tmpfs.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/tmpfs_priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"

int mem_charge(struct super_block *sb, u64 pages)
{
    struct mem_fs *fs = sb->data;
    u64 used = __atomic_add_fetch(&fs->used_pages, pages, __ATOMIC_RELAXED);

    if (likely(used <= fs->max_pages))
        return 0;
    mem_uncharge(sb, pages);
    return -ENOSPC;
}

void mem_uncharge(struct super_block *sb, u64 pages)
{
    struct mem_fs *fs = sb->data;

    __atomic_sub_fetch(&fs->used_pages, pages, __ATOMIC_RELAXED);
}

static void set_ops(struct inode *inode)
{
    struct mem_inode *mem = mem_of(inode);

    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        inode->ops = &mem_file_ops_inode;
        inode->fops = &mem_file_ops;
        inode->pages = &mem->cache;
        page_cache_init(&mem->cache, inode, false);
        break;
    case S_IFDIR:
        inode->ops = &mem_dir_ops;
        inode->fops = &generic_dir_file_ops;
        inode->nlink = 2;
        inode->size = PAGE_SIZE;
        break;
    case S_IFLNK:
        inode->ops = &mem_symlink_ops;
        break;
    default:
        inode->ops = &mem_node_ops;
    }
}

struct inode *mem_inode_create(struct super_block *sb, u32 mode, u64 rdev)
{
    struct inode *inode = inode_create(sb, mode);
    if (!inode)
        return NULL;
    struct mem_inode *mem = mem_of(inode);
    list_init(&mem->entries);
    list_init(&mem->xattrs);
    mem->next_cookie = READDIR_FIRST;
    inode->rdev = rdev;
    set_ops(inode);
    __atomic_add_fetch(&mem_fs_of(inode)->used_inodes, 1, __ATOMIC_RELAXED);
    return inode;
}

void mem_pin(struct inode *inode)
{
    struct mem_inode *mem = mem_of(inode);

    if (mem->pinned || !(inode->flags & INODE_HASHED) || !inode->nlink)
        return;
    mem->pinned = true;
    inode_get(inode);
}

void mem_drop_link(struct inode *inode, u32 links)
{
    struct mem_inode *mem = mem_of(inode);

    inode->nlink -= min(inode->nlink, links);
    inode_touch(inode, false);
    if (inode->nlink) {
        mem_pin(inode);
    } else if (mem->pinned) {
        mem->pinned = false;
        inode_put(inode); /* the caller has a reference of its own */
    }
}

static void evict(struct inode *inode)
{
    struct mem_inode *mem = mem_of(inode);

    if (inode->pages) {
        u64 pages = mem->cache.nr_pages;
        page_cache_fini(&mem->cache);
        mem_uncharge(inode->sb, pages);
    }
    mem_free_entries(inode);
    mem_free_xattrs(inode);
    kfree(mem->target);
    inode_put(mem->lower);
    for (u32 i = 0; i < mem->nr_lowers; i++)
        inode_put(mem->lowers[i]);
    kfree(mem->lowers);
    __atomic_sub_fetch(&mem_fs_of(inode)->used_inodes, 1, __ATOMIC_RELAXED);
}

static int statfs(struct super_block *sb, struct statfs64 *out)
{
    struct mem_fs *fs = sb->data;
    u64 used = __atomic_load_n(&fs->used_pages, __ATOMIC_RELAXED);

    out->f_blocks = fs->max_pages;
    out->f_bfree = out->f_bavail = fs->max_pages - min(used, fs->max_pages);
    out->f_files = fs->max_pages;
    out->f_ffree = fs->max_pages - min(fs->used_inodes, fs->max_pages);
    return 0;
}

static void free_super(struct super_block *sb)
{
    kfree(sb->data);
}

static const struct super_ops super_ops = {
    .evict = evict, .statfs = statfs, .empty = mem_empty, .free = free_super};

static int make_root(struct super_block *sb, struct inode **out)
{
    if (((struct mem_fs *)sb->data)->nr_layers)
        return overlay_root(sb, out);
    *out = mem_inode_create(sb, S_IFDIR | 01777, 0);
    return *out ? 0 : -ENOMEM;
}

struct super_block *mem_mount(const char *type, u64 magic, struct super_block *const *layers,
                              u32 nr)
{
    struct super_block *sb = super_create(type, magic);
    struct mem_fs *fs = kzalloc(sizeof(*fs));
    struct inode *root;

    if (!sb || !fs)
        goto fail;
    fs->max_pages = page_total() / 2;
    fs->nr_layers = nr;
    for (u32 i = 0; i < nr; i++)
        fs->layers[i] = layers[i];
    sb->ops = &super_ops;
    sb->inode_extra = sizeof(struct mem_inode);
    sb->data = fs;
    sb->next_ino = nr ? 1ull << (OVERLAY_LAYER_SHIFT - 1) : 0; /* above what the layers use */
    if (make_root(sb, &root))
        goto fail;
    sb->root = dentry_create_root(root);
    if (sb->root)
        return sb;
    inode_put(root);
fail:
    if (!sb || !sb->ops)
        kfree(fs);
    super_destroy(sb);
    return NULL;
}

struct super_block *tmpfs_mount(void)
{
    return mem_mount("tmpfs", LINUX_TMPFS_MAGIC, NULL, 0);
}

struct super_block *tmpfs_mount_sized(u64 bytes)
{
    struct super_block *sb = tmpfs_mount();

    if (sb && bytes)
        ((struct mem_fs *)sb->data)->max_pages = DIV_UP(bytes, PAGE_SIZE);
    return sb;
}

int tmpfs_resize(struct super_block *sb, u64 bytes)
{
    struct mem_fs *fs = sb->data;
    u64 pages = bytes / PAGE_SIZE + (bytes % PAGE_SIZE != 0);

    if (__atomic_load_n(&fs->used_pages, __ATOMIC_RELAXED) > pages)
        return -EINVAL;
    __atomic_store_n(&fs->max_pages, pages, __ATOMIC_RELAXED);
    return 0;
}

struct super_block *overlay_mount(struct super_block *const *layers, u32 nr)
{
    return nr > OVERLAY_LAYERS_MAX ? NULL : mem_mount("overlay", LINUX_OVERLAYFS_MAGIC, layers, nr);
}

int tmpfs_create_anon(const char *anon_name, u32 flags, bool seals, struct file **out)
{
    static struct super_block *sb; /* made on first use; [A] */
    struct super_block *made, *none = NULL;

    if (!__atomic_load_n(&sb, __ATOMIC_ACQUIRE)) {
        made = tmpfs_mount();
        if (!made)
            return -ENOMEM;
        if (!__atomic_compare_exchange_n(&sb, &none, made, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            kfree(made->data);
            made->data = NULL; /* lost the race; the root inode stays behind */
        }
    }
    struct inode *inode = mem_inode_create(sb, S_IFREG | 0777, 0);
    if (!inode)
        return -ENOMEM;
    inode_init_owner(inode, NULL);
    inode->nlink = 0;
    mem_of(inode)->sealable = seals;
    struct file *file = file_create(inode, NULL, NULL, flags);
    inode_put(inode);
    if (!file)
        return -ENOMEM;
    file->ops = inode->fops;
    file->mode |= FILE_SEEK;
    file->anon_name = anon_name;
    file->backing.ops = &generic_backing_ops;
    *out = file;
    return 0;
}

void tmpfs_register(void)
{
    fs_register("tmpfs", tmpfs_mount);
}
