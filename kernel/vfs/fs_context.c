/* Where relative paths start, the text of paths on their way in, and the way back from a place to
 * its path. */
#include "vfs/path.h"

#include "abi/errno.h"
#include "core/log.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/mount.h"
#include "vfs/walk.h"

enum { NAME_PADDING = 8 };

struct fs_context init_fs_context = {.refs = {1}, .umask = 022};

struct fs_context *current_fs(void)
{
    struct thread *thread = current;
    return thread && thread->process ? thread->process->fs : &init_fs_context;
}

struct fs_context *fs_context_clone(struct fs_context *from)
{
    struct fs_context *fs = kzalloc(sizeof(*fs));
    if (!fs)
        return NULL;
    ref_init(&fs->refs);
    fs->umask = from->umask;
    names_read_lock();
    fs->root = from->root;
    fs->cwd = from->cwd;
    path_get(&fs->root);
    path_get(&fs->cwd);
    names_read_unlock();
    return fs;
}

void fs_context_get(struct fs_context *fs)
{
    ref_get(&fs->refs);
}

struct fs_context *fs_context_of(struct process *process)
{
    spin_lock(&process->siglock);
    struct fs_context *fs = process->fs;
    if (fs)
        ref_get(&fs->refs);
    spin_unlock(&process->siglock);
    return fs;
}

void fs_context_put(struct fs_context *fs)
{
    if (!ref_put(&fs->refs))
        return;
    path_put(&fs->root);
    path_put(&fs->cwd);
    kfree(fs);
}

void path_get(const struct path *path)
{
    dentry_get(path->dentry);
}

void path_put(const struct path *path)
{
    dentry_put(path->dentry);
}

static void set_path(struct path *which, const struct path *path)
{
    path_get(path);
    names_write_lock();
    struct path old = *which;
    *which = *path;
    names_write_unlock();
    if (old.dentry)
        path_put(&old);
}

void fs_set_cwd(struct fs_context *fs, const struct path *path)
{
    set_path(&fs->cwd, path);
}

void fs_set_root(struct fs_context *fs, const struct path *path)
{
    set_path(&fs->root, path);
}

static int name_on_heap(struct name_buf *name)
{
    name->heap = kmalloc(LINUX_PATH_MAX + NAME_PADDING);
    if (!name->heap)
        return -ENOMEM;
    name->text = name->heap;
    return 0;
}

static __attribute__((noinline)) int long_name_from_user(struct name_buf *name, uaddr_t path)
{
    int err = name_on_heap(name);
    if (err)
        return err;
    ssize_t len = strncpy_from_user(name->heap, path, LINUX_PATH_MAX);
    if (len < 0) {
        kfree(name->heap);
        return (int)len;
    }
    name->len = (u32)len;
    return 0;
}

int name_from_user(struct name_buf *name, uaddr_t path)
{
    char *text = name->inline_text;

    name->heap = NULL;
    name->text = text;
    ssize_t len = strncpy_from_user(text, path, sizeof(name->inline_text) - NAME_PADDING);
    if (unlikely(len < 0))
        return len == -ENAMETOOLONG ? long_name_from_user(name, path) : (int)len;
    name->len = (u32)len;
    return 0;
}

int name_from_kernel(struct name_buf *name, const char *path)
{
    size_t len = strlen(path);
    char *text = name->inline_text;

    name->heap = NULL;
    name->text = text;
    if (len >= LINUX_PATH_MAX)
        return -ENAMETOOLONG;
    if (len >= sizeof(name->inline_text) - NAME_PADDING) {
        int err = name_on_heap(name);
        if (err)
            return err;
        text = name->heap;
    }
    memcpy(text, path, len + 1);
    name->len = (u32)len;
    return 0;
}

void name_free(struct name_buf *name)
{
    if (unlikely(name->heap != NULL))
        kfree(name->heap);
}

/* Put @n bytes before *@at, which must not pass @buf. */
static bool prepend(char *buf, char **at, const char *text, size_t n)
{
    if ((size_t)(*at - buf) < n)
        return false;
    *at -= n;
    memcpy(*at, text, n);
    return true;
}

/* The path, right-aligned in the buffer; name lock held. NULL: it does not fit. */
static char *build_name(const struct path *path, const struct path *root, char *buf, size_t size)
{
    static const char deleted[] = " (deleted)";
    struct path at = *path;
    char *text = buf + size;

    if (!prepend(buf, &text, "", 1))
        return NULL;
    if (at.dentry != at.mount->root && !(at.dentry->flags & DENTRY_HASHED) && at.dentry->inode &&
        !at.dentry->parent->inode->ops->uncached &&
        !prepend(buf, &text, deleted, sizeof(deleted) - 1))
        return NULL;
    char *end = text;
    while (at.dentry != root->dentry || at.mount != root->mount) {
        if (at.dentry == at.mount->root) {
            if (!at.mount->parent)
                break;
            at.dentry = at.mount->mountpoint;
            at.mount = at.mount->parent;
            continue;
        }
        if (!prepend(buf, &text, at.dentry->name, at.dentry->name_len) ||
            !prepend(buf, &text, "/", 1))
            return NULL;
        at.dentry = at.dentry->parent;
    }
    if (text == end && !prepend(buf, &text, "/", 1))
        return NULL;
    return text;
}

ssize_t path_name(const struct path *path, char *buf, size_t size)
{
    struct fs_context *fs = current_fs();

    names_read_lock();
    char *text = build_name(path, &fs->root, buf, size);
    names_read_unlock();
    if (!text)
        return -ENAMETOOLONG;
    size_t len = (size_t)(buf + size - text) - 1;
    memmove(buf, text, len + 1);
    return (ssize_t)len;
}

ssize_t file_path_name(struct file *file, char *buf, size_t size)
{
    const char *name = file->anon_name ? file->anon_name : "";
    int len;

    if (file->dentry && file->mount) {
        struct path path = {file->mount, file->dentry};
        return path_name(&path, buf, size);
    }
    if (*name == '[')
        len = format(buf, size, "anon_inode:%s", name);
    else if (*name == '/' || !file->inode)
        len = format(buf, size, "%s", name);
    else
        len = format(buf, size, "%s:[%llu]", name, (unsigned long long)file->inode->ino);
    return (size_t)len < size ? len : -ENAMETOOLONG;
}
