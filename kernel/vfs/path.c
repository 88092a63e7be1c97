/* From text to a place.  A walk goes through the name cache under the read side of the name lock
 * and takes no reference on its way; where the cache knows nothing it pins the directory, asks the
 * file system, and goes on.  POSIX.1-2017 4.13; openat2(2) for the flags. */
#include "vfs/path.h"

#include "abi/errno.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/mount.h"
#include "vfs/permission.h"
#include "vfs/walk.h"

enum { SHORT_LINK = 128 }; /* bytes; longer ones of files without a size are asked for twice */

/* Where a walk stands.  Under the name lock .at needs no reference, as .held or a descendant or
 * ancestor of it keeps what it must; between two stretches under the lock .held is .at.dentry. */
struct walk {
    struct path at;
    struct dentry *held;      /* owns; NULL: nothing */
    const char *next;         /* what is left of the text */
    char *heap;               /* owns; the text, once it came out of a symlink */
    const struct path *start; /* borrows; the root of LOOKUP_IN_ROOT, the limit of BENEATH */
    struct path_last *last;
    u32 flags;
    u32 links;   /* followed so far */
    bool checks; /* each directory: the walker has not all rights */
};

static struct path walk_root(const struct walk *w)
{
    return w->flags & (LOOKUP_IN_ROOT | LOOKUP_BENEATH) ? *w->start : current_fs()->root;
}

int lookup_locked(struct dentry *dir, const char *name, u32 len, u32 hash, struct dentry **out)
{
    struct inode *inode = NULL;
    const struct inode_ops *ops = dir->inode->ops;

    names_read_lock();
    struct dentry *dentry = dentry_find(dir, name, len, hash);
    if (dentry)
        dentry_get(dentry);
    names_read_unlock();
    if (!dentry) {
        if (!ops->lookup)
            return -ENOTDIR;
        int err = ops->lookup(dir->inode, name, len, &inode);
        if (err && err != -ENOENT)
            return err;
        dentry = dentry_create(dir, name, len, err ? NULL : inode);
        if (!dentry) {
            inode_put(err ? NULL : inode);
            return -ENOMEM;
        }
        /* No name is remembered in a directory that was removed: the last of them would take the
         * directory along wherever memory is short. */
        if (!ops->uncached && (dentry->inode || dir->inode->nlink))
            dentry_add(dentry);
    }
    *out = dentry;
    return 0;
}

/* Name lock held on entry, and on return where the result is 0: .at.dentry is the child then. */
static int walk_miss(struct walk *w, u32 len, u32 hash, const char *name)
{
    struct dentry *dir = w->at.dentry, *child;

    dentry_get(dir);
    names_read_unlock();
    dentry_put(w->held);
    w->held = dir;
    mutex_lock(&dir->inode->lock);
    int err = lookup_locked(dir, name, len, hash, &child);
    mutex_unlock(&dir->inode->lock);
    if (err)
        return err;
    w->held = child;
    dentry_put(dir);
    names_read_lock();
    w->at.dentry = child;
    return 0;
}

/* One step up.  Name lock held. */
static int walk_up(struct walk *w)
{
    struct path root = walk_root(w);

    while (w->at.dentry == w->at.mount->root) {
        if ((w->at.dentry == root.dentry && w->at.mount == root.mount) || !w->at.mount->parent)
            return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
        if (w->flags & LOOKUP_NO_XDEV)
            return -EXDEV;
        w->at.dentry = w->at.mount->mountpoint;
        w->at.mount = w->at.mount->parent;
    }
    if (w->at.dentry == root.dentry && w->at.mount == root.mount)
        return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
    w->at.dentry = w->at.dentry->parent;
    return 0;
}

/* Go to what @path refers to, whose references are taken.  No lock held. */
static void walk_jump(struct walk *w, struct path path)
{
    dentry_put(w->held);
    w->at = path;
    w->held = path.dentry;
}

/* The link's text, then what was left: the new text.  Links without a size are short, mostly. */
static int join_link(struct inode *link, const char *rest, char **out)
{
    size_t rest_len = strlen(rest);
    size_t room = link->size ? min(link->size + 1, (u64)LINUX_PATH_MAX) : SHORT_LINK;
    char *text = kmalloc(room + rest_len + 16);

    if (!text)
        return -ENOMEM;
    ssize_t n = link->ops->readlink ? link->ops->readlink(link, text, room) : -EINVAL;
    if ((n == SHORT_LINK || n == -ENAMETOOLONG) && !link->size) {
        kfree(text);
        text = kmalloc(LINUX_PATH_MAX + rest_len + 16);
        if (!text)
            return -ENOMEM;
        n = link->ops->readlink(link, text, LINUX_PATH_MAX);
    }
    if (n <= 0) {
        kfree(text);
        return n ? (int)n : -ENOENT;
    }
    memcpy(text + n, rest, rest_len);
    memset(text + n + rest_len, 0, 16); /* hashed a word at a time */
    *out = text;
    return 0;
}

/* Follow the symlink @link found in .at.  Name lock held; held again where the result is 0. */
static int walk_link(struct walk *w, struct dentry *link)
{
    struct path target;
    char *text = NULL;
    int err = -ELOOP;

    if (w->flags & LOOKUP_NO_SYMLINKS || ++w->links > LINUX_SYMLOOP_MAX) {
        names_read_unlock();
        return err;
    }
    struct dentry *dir = w->at.dentry;
    dentry_get(dir);
    dentry_get(link);
    names_read_unlock();
    dentry_put(w->held);
    w->held = dir;
    struct inode *inode = link->inode;
    if (inode->ops->follow) {
        err = w->flags & (LOOKUP_NO_MAGIC | LOOKUP_BENEATH | LOOKUP_IN_ROOT)
                  ? (w->flags & LOOKUP_NO_MAGIC ? -ELOOP : -EXDEV)
                  : inode->ops->follow(inode, &target);
        if (!err)
            walk_jump(w, target);
    } else {
        err = join_link(inode, w->next, &text);
    }
    dentry_put(link);
    if (err)
        return err;
    names_read_lock();
    if (!text)
        return 0;
    kfree(w->heap);
    w->heap = text;
    w->next = text;
    if (*text == '/') {
        if (w->flags & LOOKUP_BENEATH) {
            names_read_unlock();
            return -EXDEV;
        }
        w->at = walk_root(w);
    }
    return 0;
}

/* Remember the last component for LOOKUP_PARENT; the walk ends in its directory. */
static void walk_stop(struct walk *w, const char *name, u32 len, u32 hash, u8 dots, bool trailing)
{
    *w->last = (struct path_last){
        .name = name, .len = dots ? 0 : len, .hash = hash, .dots = dots, .trailing = trailing};
}

/* ".": 1, "..": 2, a name: 0. */
static inline u8 dots_of(const char *name, u32 len)
{
    if (likely(name[0] != '.') || len > 2)
        return 0;
    return len == 1 ? 1 : name[1] == '.' ? 2 : 0;
}

/* Go into the child @name; name lock held, and dropped where the result is an error. */
static int walk_into(struct walk *w, const char *name, u32 len, u32 hash, bool last, bool trailing)
{
    struct path dir = w->at;
    struct dentry *child = dentry_find(dir.dentry, name, len, hash);

    if (unlikely(!child)) {
        int err = walk_miss(w, len, hash, name);
        if (err)
            return err;
        child = w->at.dentry;
    }
    struct inode *inode = child->inode;
    if (unlikely(!inode)) {
        names_read_unlock();
        return -ENOENT;
    }
    if (unlikely(S_ISLNK(inode->mode)) && (!last || trailing || w->flags & LOOKUP_FOLLOW)) {
        w->at = dir;
        if (child->parent != dir.dentry) /* renamed while we looked it up: its place is there now */
            w->at.dentry = child->parent;
        return walk_link(w, child);
    }
    w->at.dentry = child;
    struct mount *mount;
    while (unlikely(w->at.dentry->mounted != NULL) && (mount = mount_on(&w->at))) {
        if (w->flags & LOOKUP_NO_XDEV) {
            names_read_unlock();
            return -EXDEV;
        }
        w->at = (struct path){mount, mount->root};
    }
    return 0;
}

/* The common part of a walk: names that are cached, neither dots nor links.  Where anything else
 * comes it leaves the rest to walk_components().  True: the whole path is walked.  Name lock held;
 * a function of its own, so that the loop keeps its state in registers. */
static __attribute__((noinline)) bool walk_cached(struct walk *w)
{
    struct dentry *at = w->at.dentry, *child;
    const char *text = w->next;
    const bool to_parent = w->last != NULL;
    char end = 1;

    if (unlikely(!at->inode || !S_ISDIR(at->inode->mode)))
        return false;
    do {
        u32 hash, len;
        u64 tail;
        while (*text == '/')
            text++;
        len = name_scan(text, &hash, &tail);
        const char *next = text + len;
        if (unlikely(*text == '.' || len - 1 >= LINUX_NAME_MAX) || (to_parent && !*next))
            break;
        child = dentry_find_scanned(at, text, len, hash, tail);
        if (unlikely(!child || !child->inode || child->mounted))
            break;
        u32 kind = child->inode->mode & S_IFMT;
        if (unlikely(kind != S_IFDIR && (*next || kind == S_IFLNK)))
            break;
        at = child;
        text = next;
        end = *text;
    } while (end);
    w->at.dentry = at;
    w->next = text;
    return !end;
}

/* Name lock held on entry; held on return only where the result is 0. */
static __attribute__((noinline)) int walk_components(struct walk *w)
{
    bool trailing = false;
    u64 tail;

    for (;;) {
        u32 hash, len;
        const char *name = w->next;
        while (*name == '/')
            name++;
        if (!*name)
            break;
        len = name_scan(name, &hash, &tail);
        const char *end = name + len, *after = end;
        while (*after == '/')
            after++;
        trailing = after != end;
        w->next = end;
        bool last = !*after;
        int err = 0;
        struct inode *dir = w->at.dentry->inode;
        if (unlikely(!dir || !S_ISDIR(dir->mode)))
            err = -ENOTDIR;
        else if (unlikely(w->checks))
            err = inode_permission_of(current_creds(), dir, X_OK);
        if (unlikely(len > LINUX_NAME_MAX) && !err)
            err = -ENAMETOOLONG;
        if (unlikely(err)) {
            names_read_unlock();
            return err;
        }
        u8 dots = dots_of(name, len);
        if (last && w->last) {
            walk_stop(w, name, len, hash, dots, trailing);
            return 0;
        }
        if (unlikely(dots)) {
            err = dots == 2 ? walk_up(w) : 0;
            if (err) {
                names_read_unlock();
                return err;
            }
            trailing = true; /* a directory it must be */
            continue;
        }
        err = walk_into(w, name, len, hash, last, trailing);
        if (unlikely(err))
            return err;
    }
    struct inode *inode = w->at.dentry->inode;
    if (unlikely(trailing || w->flags & LOOKUP_DIRECTORY) && !(inode && S_ISDIR(inode->mode))) {
        names_read_unlock();
        return -ENOTDIR;
    }
    return 0;
}

int path_walk(const struct path *start, const char *text, u32 flags, struct path *out,
              struct path_last *last)
{
    struct walk w; /* field by field: as one it would be cleared first */

    w.held = NULL;
    w.next = text;
    w.heap = NULL;
    w.start = start;
    w.last = last;
    w.flags = flags;
    w.links = 0;
    w.checks = !may_everything();
    if (last)
        *last = (struct path_last){0};
    if (*text == '/' && flags & LOOKUP_BENEATH)
        return -EXDEV;
    names_read_lock();
    if (*text == '/')
        w.at = walk_root(&w);
    else
        w.at = start ? *start : current_fs()->cwd;
    int err = 0;
    if (unlikely(w.checks || !walk_cached(&w) || flags & LOOKUP_DIRECTORY))
        err = walk_components(&w);
    else if (*text == '/' && !last && !(flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)))
        known_path_note(text, (u32)(w.next - text), &w.at);
    if (!err) {
        dentry_get(w.at.dentry);
        names_read_unlock();
        *out = w.at;
    }
    if (unlikely(w.held != NULL))
        dentry_put(w.held);
    if (last && !err)
        last->heap = w.heap;
    else if (unlikely(w.heap != NULL))
        kfree(w.heap);
    return err;
}

int path_start(int dirfd, char first, struct path *start)
{
    *start = (struct path){NULL, NULL};
    if (dirfd == AT_FDCWD || first == '/')
        return 0;
    struct fd_ref ref = fd_borrow_raw(dirfd);
    if (!ref.file)
        return -EBADF;
    int err = 0;
    if (!ref.file->dentry || !ref.file->mount)
        err = first ? -ENOTDIR : -EINVAL;
    else
        *start = (struct path){ref.file->mount, ref.file->dentry};
    if (!err)
        path_get(start);
    fd_return(ref);
    return err;
}

static int lookup(int dirfd, const struct name_buf *name, u32 flags, struct path *out,
                  struct path_last *last)
{
    struct path start;

    if (likely(*name->text == '/' && !(flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)))) {
        known_path_count();
        return path_walk(NULL, name->text, flags, out, last);
    }

    if (!name->len && !(flags & LOOKUP_EMPTY))
        return -ENOENT;
    bool confined = flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT);
    int err = path_start(dirfd, confined ? 'x' : *name->text, &start);
    if (err)
        return err;
    if (confined && !start.dentry) {
        names_read_lock();
        start = current_fs()->cwd;
        path_get(&start);
        names_read_unlock();
    }
    err = path_walk(start.dentry ? &start : NULL, name->text, flags, out, last);
    if (start.dentry)
        path_put(&start);
    return err;
}

int path_lookup(int dirfd, const struct name_buf *name, u32 flags, struct path *out)
{
    const u32 other = LOOKUP_BENEATH | LOOKUP_IN_ROOT | LOOKUP_DIRECTORY;
    bool plain = *name->text == '/' && !(flags & other);

    if (likely(plain) && known_path_find(name->text, name->len, out))
        return 0;
    int err = lookup(dirfd, name, flags, out, NULL);
    if (unlikely(err == -ENOENT && vfs_trace_missing) && !(flags & LOOKUP_QUIET))
        missing_report(dirfd, name->text);
    return err;
}

int path_lookup_parent(int dirfd, const struct name_buf *name, u32 flags, struct path *dir,
                       struct path_last *last)
{
    return lookup(dirfd, name, flags | LOOKUP_PARENT, dir, last);
}

void path_last_free(struct path_last *last)
{
    kfree(last->heap);
}

int path_lookup_kernel(const char *text, u32 flags, struct path *out)
{
    struct name_buf name;
    int err = name_from_kernel(&name, text);

    if (err)
        return err;
    err = path_lookup(AT_FDCWD, &name, flags, out);
    name_free(&name);
    return err;
}
