/* tmpfs: directories.  Entries hang in a hash table and in a list by age; an entry's cookie is its
 * readdir position, which stays true whatever else comes and goes.  In a directory that stands on
 * layers an entry hides the layers' name, and a whiteout hides it without showing anything. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/panic.h"
#include "fs/tmpfs_priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"

enum { FIRST_BUCKETS = 8 };

static u32 hash_of(const char *name, size_t len)
{
    u32 hash = 2166136261u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (u8)name[i]) * 16777619u;
    return hash ^ hash >> 16;
}

struct mem_entry *mem_find(struct inode *dir, const char *name, size_t len)
{
    struct mem_inode *mem = mem_of(dir);
    u32 hash = hash_of(name, len);

    if (!mem->nr_entries)
        return NULL;
    for (struct mem_entry *e = mem->buckets[hash & mem->bucket_mask]; e; e = e->hash_next)
        if (e->hash == hash && e->len == len && !memcmp(e->name, name, len))
            return e;
    return NULL;
}

/* Room for one more. 0 or -ENOMEM (only where there was no table at all). */
static int grow(struct mem_inode *mem)
{
    u32 nr = mem->buckets ? (mem->bucket_mask + 1) * 2 : FIRST_BUCKETS;
    struct mem_entry *entry;

    if (mem->buckets && mem->nr_entries <= mem->bucket_mask)
        return 0;
    struct mem_entry **buckets = kcalloc(nr, sizeof(*buckets));
    if (!buckets)
        return mem->buckets ? 0 : -ENOMEM;
    kfree(mem->buckets);
    mem->buckets = buckets;
    mem->bucket_mask = nr - 1;
    list_for_each(entry, &mem->entries, node) {
        entry->hash_next = buckets[entry->hash & mem->bucket_mask];
        buckets[entry->hash & mem->bucket_mask] = entry;
    }
    return 0;
}

/* The entry of a name, made as a whiteout where there is none; *@fresh says so. */
static int reserve(struct inode *dir, const char *name, size_t len, struct mem_entry **out,
                   bool *fresh)
{
    struct mem_inode *mem = mem_of(dir);

    *out = mem_find(dir, name, len);
    *fresh = !*out;
    if (*out)
        return 0;
    int covers = mem->nr_lowers ? overlay_has(dir, name, len) : 0;
    if (covers < 0)
        return covers;
    struct mem_entry *entry = kzalloc(sizeof(*entry) + len + 1);
    if (!entry || grow(mem)) {
        kfree(entry);
        return -ENOMEM;
    }
    memcpy(entry->name, name, len);
    entry->len = (u16)len;
    entry->hash = hash_of(name, len);
    entry->covers = covers;
    entry->cookie = mem->next_cookie++;
    list_add_tail(&mem->entries, &entry->node);
    entry->hash_next = mem->buckets[entry->hash & mem->bucket_mask];
    mem->buckets[entry->hash & mem->bucket_mask] = entry;
    mem->nr_entries++;
    mem_pin(dir);
    *out = entry;
    return 0;
}

static void free_entry(struct inode *dir, struct mem_entry *entry)
{
    struct mem_inode *mem = mem_of(dir);
    struct mem_entry **link = &mem->buckets[entry->hash & mem->bucket_mask];

    while (*link != entry)
        link = &(*link)->hash_next;
    *link = entry->hash_next;
    list_remove(&entry->node);
    mem->nr_entries--;
    kfree(entry);
}

/* The name shows nothing any more; the entry goes unless a layer would shine through. */
static void clear_entry(struct inode *dir, struct mem_entry *entry)
{
    struct inode *inode = entry->inode;

    entry->inode = NULL;
    if (!entry->covers)
        free_entry(dir, entry);
    inode_put(inode);
}

void mem_empty(struct super_block *sb)
{
    struct inode *root = sb->root->inode, *dir = root;

    while (mem_of(root)->nr_entries) {
        struct mem_inode *mem = mem_of(dir);
        if (!mem->nr_entries) { /* nobody knows who is above it */
            dir = root;
            continue;
        }
        struct mem_entry *entry = list_first(&mem->entries, struct mem_entry, node);
        struct inode *inode = entry->inode;
        if (inode && S_ISDIR(inode->mode) && mem_of(inode)->nr_entries) {
            dir = inode;
            continue;
        }
        free_entry(dir, entry);
        inode_put(inode);
    }
}

void mem_free_entries(struct inode *dir)
{
    struct mem_inode *mem = mem_of(dir);
    struct mem_entry *entry, *next;

    list_for_each_safe(entry, next, &mem->entries, node)
    {
        inode_put(entry->inode);
        kfree(entry);
    }
    kfree(mem->buckets);
}

static int dir_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct mem_entry *entry = mem_find(dir, name, len);

    if (entry) {
        if (!entry->inode)
            return -ENOENT;
        inode_get(entry->inode);
        *out = entry->inode;
        return 0;
    }
    return mem_of(dir)->nr_lowers ? overlay_lookup(dir, name, len, out) : -ENOENT;
}

/* Show @inode, to which a reference is taken, under @name. */
static int enter(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct mem_entry *entry;
    bool fresh;

    int err = reserve(dir, name, len, &entry, &fresh);
    if (err)
        return err;
    if (!fresh) { /* an old whiteout: the new name comes last */
        list_remove(&entry->node);
        list_add_tail(&mem_of(dir)->entries, &entry->node);
        entry->cookie = mem_of(dir)->next_cookie++;
    }
    inode_get(inode);
    entry->inode = inode;
    if (S_ISDIR(inode->mode))
        dir->nlink++;
    inode_touch(dir, true);
    return 0;
}

/* Enter a new inode, whose reference goes to the caller; on failure it is gone. */
static int enter_new(struct inode *dir, const char *name, size_t len, struct inode *inode,
                     struct inode **out)
{
    int err = enter(dir, name, len, inode);

    if (err)
        inode_put(inode);
    else
        *out = inode;
    return err;
}

static int dir_create(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                      struct inode **out)
{
    struct inode *inode = mem_inode_create(dir->sb, mode, rdev);
    if (!inode)
        return -ENOMEM;
    inode_init_owner(inode, dir);
    return enter_new(dir, name, len, inode, out);
}

static int dir_symlink(struct inode *dir, const char *name, size_t len, const char *target,
                       struct inode **out)
{
    struct inode *inode = mem_inode_create(dir->sb, S_IFLNK | 0777, 0);
    if (!inode)
        return -ENOMEM;
    inode_init_owner(inode, dir);
    mem_of(inode)->target = kstrdup(target);
    if (!mem_of(inode)->target) {
        inode_put(inode);
        return -ENOMEM;
    }
    inode->size = strlen(target);
    return enter_new(dir, name, len, inode, out);
}

static int dir_tmpfile(struct inode *dir, u32 mode, struct inode **out)
{
    *out = mem_inode_create(dir->sb, mode, 0);
    if (!*out)
        return -ENOMEM;
    inode_init_owner(*out, dir);
    (*out)->nlink = 0;
    return 0;
}

static int dir_link(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    if (inode->nlink >= INT32_MAX)
        return -EMLINK;
    int err = enter(dir, name, len, inode);
    if (err)
        return err;
    inode->nlink++;
    inode_touch(inode, false);
    mem_pin(inode);
    return 0;
}

static int dir_unlink(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    struct mem_entry *entry;
    bool fresh;

    int err = reserve(dir, name, len, &entry, &fresh);
    if (err)
        return err;
    clear_entry(dir, entry);
    inode_touch(dir, true);
    mem_drop_link(inode, 1);
    return 0;
}

struct first_name {
    struct dir_sink sink;
    bool found;
};

static bool stop_at_first(struct dir_sink *sink, const char *name, size_t len, u64 ino,
                          u64 next_pos, u8 dt_type)
{
    (void)name, (void)len, (void)ino, (void)next_pos, (void)dt_type;
    container_of(sink, struct first_name, sink)->found = true;
    return false;
}

static int dir_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink);

static int check_empty(struct inode *dir)
{
    struct first_name first = {.sink = {stop_at_first}};
    u64 pos = READDIR_FIRST;
    int err = dir_iterate(dir, &pos, &first.sink);

    return err ? err : first.found ? -ENOTEMPTY : 0;
}

static int dir_rmdir(struct inode *dir, const char *name, size_t len, struct inode *inode)
{
    int err = check_empty(inode);
    if (!err)
        err = dir_unlink(dir, name, len, inode);
    if (err)
        return err;
    dir->nlink--;
    mem_drop_link(inode, inode->nlink);
    return 0;
}

/* Links of directories and of what was replaced, after the entries have changed. */
static void count_links(struct inode *old_dir, struct inode *inode, struct inode *new_dir,
                        struct inode *replaced, bool exchange)
{
    bool is_dir = S_ISDIR(inode->mode);
    bool was_dir = replaced && S_ISDIR(replaced->mode);

    if (is_dir) {
        old_dir->nlink--;
        new_dir->nlink++;
    }
    if (was_dir) {
        new_dir->nlink--;
        if (exchange)
            old_dir->nlink++;
    }
    inode_touch(old_dir, true);
    inode_touch(new_dir, true);
    inode_touch(inode, false);
    mem_pin(inode);
    if (replaced && exchange) {
        inode_touch(replaced, false);
        mem_pin(replaced);
    } else if (replaced) {
        mem_drop_link(replaced, was_dir ? replaced->nlink : 1);
    }
}

static int dir_rename(struct inode *old_dir, const char *old_name, size_t old_len,
                      struct inode *inode, struct inode *new_dir, const char *new_name,
                      size_t new_len, struct inode *replaced, u32 flags)
{
    bool exchange = flags & RENAME_EXCHANGE, old_fresh, new_fresh;
    struct mem_entry *old, *new;

    int err = replaced && !exchange && S_ISDIR(replaced->mode) ? check_empty(replaced) : 0;
    if (!err)
        err = reserve(old_dir, old_name, old_len, &old, &old_fresh);
    if (err)
        return err;
    err = reserve(new_dir, new_name, new_len, &new, &new_fresh);
    if (err) {
        if (old_fresh) /* a layer's name must show again */
            free_entry(old_dir, old);
        return err;
    }
    struct inode *was_old = old->inode, *was_new = new->inode;
    inode_get(inode);
    new->inode = inode;
    old->inode = NULL;
    if (exchange) {
        inode_get(replaced);
        old->inode = replaced;
    } else if (!old->covers) {
        free_entry(old_dir, old);
    }
    inode_put(was_old);
    inode_put(was_new);
    count_links(old_dir, inode, new_dir, replaced, exchange);
    return 0;
}

static int dir_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    struct mem_inode *mem = mem_of(dir);
    struct mem_entry *entry;

    if (*pos >= OVERLAY_FIRST_POS)
        return overlay_iterate(dir, pos, sink);
    list_for_each(entry, &mem->entries, node) {
        if (entry->cookie < *pos || !entry->inode)
            continue;
        if (!sink->add(sink, entry->name, entry->len, entry->inode->ino, entry->cookie + 1,
                       mode_to_dt(entry->inode->mode)))
            return 0;
        *pos = entry->cookie + 1;
    }
    if (!mem->nr_lowers)
        return 0;
    *pos = OVERLAY_FIRST_POS;
    return overlay_iterate(dir, pos, sink);
}

const struct inode_ops mem_dir_ops = {
    .lookup = dir_lookup,
    .create = dir_create,
    .symlink = dir_symlink,
    .link = dir_link,
    .unlink = dir_unlink,
    .rmdir = dir_rmdir,
    .rename = dir_rename,
    .tmpfile = dir_tmpfile,
    .iterate = dir_iterate,
    .setattr = mem_setattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
};
