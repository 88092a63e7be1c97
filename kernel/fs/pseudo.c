/* Inodes and files over tables of nodes. */
#include "fs/pseudo.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/device.h"
#include "vfs/mount.h"

enum { STORE_MAX = 4096 };

static const struct inode_ops pseudo_ops, pseudo_volatile_ops, pseudo_magic_ops;
static const struct file_ops pseudo_file_ops;

static const struct pseudo_ref *ref_of(const struct inode *inode)
{
    return inode->data;
}

/* FNV-1a: numbers stay the same from one visit to the next, and tell nothing of addresses. */
static u64 child_ino(u64 parent, const char *name, size_t len)
{
    u32 hash = 2166136261u ^ (u32)parent;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (u8)name[i]) * 16777619u;
    return hash | 0x100000000ull;
}

/* What tells of a process is its user's. */
static void give_to_process(struct inode *inode, int pid)
{
    struct process *process = process_find(pid);

    if (!process)
        return;
    inode->uid = process->creds.euid;
    inode->gid = process->creds.egid;
    process_put(process);
}

static struct inode *pseudo_inode(struct super_block *sb, const struct pseudo_ref *ref, u64 ino)
{
    const struct pseudo_node *node = ref->node;
    struct pseudo_ref *own = kmalloc(sizeof(*own));
    struct inode *inode = own ? inode_create(sb, node->mode) : NULL;

    if (!inode) {
        kfree(own);
        return NULL;
    }
    *own = *ref;
    inode->ino = ino;
    inode->nlink = S_ISDIR(node->mode) ? 2 : 1;
    inode->ops = node->follow           ? &pseudo_magic_ops
                 : node->volatile_names ? &pseudo_volatile_ops
                                        : &pseudo_ops;
    inode->fops = S_ISDIR(node->mode) ? &generic_dir_file_ops : &pseudo_file_ops;
    inode->data = own;
    if (ref->pid)
        give_to_process(inode, ref->pid);
    if (node->fill)
        node->fill(own, inode);
    return inode;
}

static void pseudo_evict(struct inode *inode)
{
    inode_free_pages(inode);
    kfree(inode->data);
}

static int pseudo_statfs(struct super_block *sb, struct statfs64 *out)
{
    out->f_type = (s64)sb->magic;
    out->f_bsize = out->f_frsize = sb->block_size;
    out->f_namelen = 255;
    return 0;
}

static const struct super_ops pseudo_super_ops = {.evict = pseudo_evict, .statfs = pseudo_statfs};

struct super_block *pseudo_mount(const char *type, u64 magic, const struct pseudo_node *root)
{
    struct super_block *sb = super_create(type, magic);
    struct pseudo_ref ref = {.node = root};

    if (!sb)
        return NULL;
    sb->ops = &pseudo_super_ops;
    sb->block_size = 4096;
    sb->ownerless = true;
    struct inode *inode = pseudo_inode(sb, &ref, 1);
    sb->root = inode ? dentry_create_root(inode) : NULL;
    if (!sb->root) {
        inode_put(inode);
        super_destroy(sb);
        return NULL;
    }
    return sb;
}

static bool name_is(const struct pseudo_node *node, const char *name, size_t len)
{
    return *node->name == *name && !strncmp(node->name, name, len) && !node->name[len];
}

/* ---- settings: names with values that nobody changes ---- */

static size_t length_until(const char *text, char end)
{
    size_t n = 0;

    while (text[n] && text[n] != end)
        n++;
    return n;
}

static int show_setting(struct text *out, const struct pseudo_ref *ref)
{
    const char *at = ref->settings + ref->number;

    at += length_until(at, ' ') + 1;
    text_add_bytes(out, at, length_until(at, '\n') + 1);
    return 0;
}

static int keep_setting(const struct pseudo_ref *ref __attribute__((unused)),
                        const char *buf __attribute__((unused)), size_t n __attribute__((unused)))
{
    return 0;
}

static const struct pseudo_node setting = PSEUDO_STORE("", show_setting, keep_setting);

static int find_setting(const char *settings, const char *name, size_t len,
                        struct pseudo_ref *child)
{
    for (const char *at = settings; *at; at += length_until(at, '\n') + 1) {
        if (strncmp(at, name, len) || at[len] != ' ')
            continue;
        child->node = &setting;
        child->settings = settings;
        child->number = (int)(at - settings);
        return 0;
    }
    return -ENOENT;
}

static int find_child(const struct pseudo_ref *dir, const char *name, size_t len,
                      struct pseudo_ref *child)
{
    const struct pseudo_node *node = dir->node;

    *child = *dir;
    for (u32 i = 0; i < node->nr_children; i++) {
        if (!name_is(&node->children[i], name, len))
            continue;
        child->node = &node->children[i];
        return 0;
    }
    if (node->settings && !find_setting(node->settings, name, len, child))
        return 0;
    return node->find ? node->find(dir, name, len, child) : -ENOENT;
}

static int pseudo_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct pseudo_ref child;
    int err = find_child(ref_of(dir), name, len, &child);

    if (err)
        return err;
    struct inode *inode = pseudo_inode(dir->sb, &child, child_ino(dir->ino, name, len));
    if (!inode)
        return -ENOMEM;
    *out = inode;
    return 0;
}

static ssize_t pseudo_readlink(struct inode *inode, char *buf, size_t size)
{
    const struct pseudo_ref *ref = ref_of(inode);

    if (ref->node->readlink)
        return ref->node->readlink(ref, buf, size);
    if (!ref->node->value)
        return -EINVAL;
    size_t n = min(strlen(ref->node->value), size);
    memcpy(buf, ref->node->value, n);
    return (ssize_t)n;
}

static int pseudo_follow(struct inode *inode, struct path *out)
{
    const struct pseudo_ref *ref = ref_of(inode);

    return ref->node->follow(ref, out);
}

/* Devices and the socket of the log take a new owner and mode for as long as they are in use;
 * truncation means nothing. */
static int pseudo_setattr(struct inode *inode, const struct inode_attr *attr)
{
    u32 what = attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID);

    if (what && !S_ISCHR(inode->mode) && !S_ISSOCK(inode->mode))
        return -EPERM;
    if (what & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & ~(u32)S_IFMT);
    if (what & ATTR_UID)
        inode->uid = attr->uid;
    if (what & ATTR_GID)
        inode->gid = attr->gid;
    return 0;
}

static int pseudo_open(struct inode *inode, struct file *file)
{
    if (S_ISCHR(inode->mode))
        return char_device_open(inode, file);
    if ((file->mode & FILE_WRITE) && !ref_of(inode)->node->store)
        return -EACCES;
    return 0;
}

static int make_text(struct file *file)
{
    const struct pseudo_ref *ref = ref_of(file->inode);
    struct text *text = file->data;

    if (!text)
        file->data = text = kzalloc(sizeof(*text));
    if (!text)
        return -ENOMEM;
    text->len = 0;
    int err = 0;
    if (ref->node->show)
        err = ref->node->show(text, ref);
    else if (ref->node->value)
        text_add(text, "%s", ref->node->value);
    return err ? err : text->failed ? -ENOMEM : 0;
}

static ssize_t pseudo_read(struct file *file, struct iov_iter *to, s64 *pos)
{
    int err = *pos == 0 || !file->data ? make_text(file) : 0;

    if (err)
        return err;
    const struct text *text = file->data;
    if (*pos < 0 || (u64)*pos >= text->len)
        return 0;
    size_t want = min(text->len - (size_t)*pos, to->left);
    size_t n = iter_write(to, text->buf + *pos, want);
    *pos += (s64)n;
    return n || !want ? (ssize_t)n : -EFAULT;
}

static ssize_t pseudo_write(struct file *file, struct iov_iter *from, s64 *pos)
{
    const struct pseudo_ref *ref = ref_of(file->inode);
    size_t n = min(from->left, (size_t)STORE_MAX);
    char *buf = kmalloc(n + 1);

    if (!buf)
        return -ENOMEM;
    int err = iter_read(from, buf, n) == n ? 0 : -EFAULT;
    buf[n] = 0;
    if (!err)
        err = ref->node->store ? ref->node->store(ref, buf, n) : -EINVAL;
    kfree(buf);
    if (err)
        return err;
    *pos += (s64)n;
    return (ssize_t)n;
}

static s64 pseudo_seek(struct file *file, s64 offset, int whence)
{
    s64 base = whence == SEEK_CUR ? file->pos : 0, to;

    if (whence != SEEK_SET && whence != SEEK_CUR)
        return -EINVAL;
    if (__builtin_add_overflow(base, offset, &to) || to < 0)
        return -EINVAL;
    file->pos = to;
    return to;
}

static void pseudo_release(struct file *file)
{
    struct text *text = file->data;

    if (text)
        text_free(text);
    kfree(text);
}

/* Positions: the children of the table, the settings by where their names begin, then numbers from
 * POS_DYNAMIC up. */
enum { POS_DYNAMIC = 1 << 16 };

static bool add_children(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    const struct pseudo_node *node = ref_of(dir)->node;

    for (; *pos < READDIR_FIRST + node->nr_children; ++*pos) {
        const struct pseudo_node *child = &node->children[*pos - READDIR_FIRST];
        size_t len = strlen(child->name);
        if (!sink->add(sink, child->name, len, child_ino(dir->ino, child->name, len), *pos + 1,
                       mode_to_dt(child->mode)))
            return false;
    }
    return true;
}

static bool add_settings(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    const struct pseudo_node *node = ref_of(dir)->node;
    u64 first = READDIR_FIRST + node->nr_children;

    for (const char *at = node->settings; *at;) {
        const char *next = at + length_until(at, '\n') + 1;
        size_t len = length_until(at, ' ');
        u64 after = first + (u64)(next - node->settings);
        bool due = *pos <= first + (u64)(at - node->settings);
        if (due &&
            !sink->add(sink, at, len, child_ino(dir->ino, at, len), after, mode_to_dt(S_IFREG)))
            return false;
        *pos = due ? after : *pos;
        at = next;
    }
    return true;
}

static void add_dynamic(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    const struct pseudo_ref *ref = ref_of(dir);
    struct pseudo_ref child = *ref;
    char name[32];

    *pos = max(*pos, (u64)POS_DYNAMIC);
    while (ref->node->next(ref, (int)(*pos - POS_DYNAMIC) - 1, &child, name)) {
        size_t len = strlen(name);
        u64 next_pos = (u64)POS_DYNAMIC + (u64)child.number + 1;
        if (!sink->add(sink, name, len, child_ino(dir->ino, name, len), next_pos,
                       mode_to_dt(child.node->mode)))
            return;
        *pos = next_pos;
    }
}

static int pseudo_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink)
{
    if (*pos > POS_DYNAMIC + (u64)INT32_MAX) /* lseek can lead anywhere */
        return 0;
    const struct pseudo_node *node = ref_of(dir)->node;
    bool more = *pos >= POS_DYNAMIC || add_children(dir, pos, sink);
    if (more && node->settings)
        more = add_settings(dir, pos, sink);
    if (more && node->next)
        add_dynamic(dir, pos, sink);
    return 0;
}

#define PSEUDO_INODE_OPS                                                                           \
    .lookup = pseudo_lookup, .iterate = pseudo_iterate, .readlink = pseudo_readlink,               \
    .setattr = pseudo_setattr, .open = pseudo_open

static const struct inode_ops pseudo_ops = {PSEUDO_INODE_OPS};
static const struct inode_ops pseudo_volatile_ops = {PSEUDO_INODE_OPS, .uncached = true};
static const struct inode_ops pseudo_magic_ops = {PSEUDO_INODE_OPS, .follow = pseudo_follow};
static const struct file_ops pseudo_file_ops = {
    .read = pseudo_read,
    .write = pseudo_write,
    .seek = pseudo_seek,
    .release = pseudo_release,
};

const struct pseudo_ref *pseudo_ref_of(const struct inode *inode)
{
    return inode->sb && inode->sb->ops == &pseudo_super_ops ? ref_of(inode) : NULL;
}
