/* Open files: made, counted, read and written.
 * Memory of a struct file is only ever used for files, because fd_get() may touch one that was just
 * freed: it takes a reference unless the count is zero and then looks again. */
#include "vfs/file.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "core/panic.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "vfs/busy.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/lock.h"
#include "vfs/notify.h"
#include "vfs/path.h"

enum { POOL_MAX = 64 }; /* free files a CPU keeps to itself; half of them go to the rest then */

/* Free files, linked through .data; [C] each CPU's own, [L] the shared one under its lock. */
static struct pool {
    struct file *first;
    u32 nr;
} pools[MAX_CPUS];
static struct pool shared;
static struct spinlock shared_lock; /* a leaf */

void (*file_watchers_gone)(struct file *file);

static struct file *pool_pop(struct pool *pool)
{
    struct file *file = pool->first;
    if (file) {
        pool->first = file->data;
        pool->nr--;
    }
    return file;
}

static void pool_push(struct pool *pool, struct file *file)
{
    file->data = pool->first;
    pool->first = file;
    pool->nr++;
}

/* One of those that all CPUs share, or a new one, whose .refs is 0; NULL: no memory. */
static struct file *file_alloc(void)
{
    struct file *file = NULL;

    if (shared.nr) {
        spin_lock(&shared_lock);
        file = pool_pop(&shared);
        spin_unlock(&shared_lock);
    }
    return file ? file : kzalloc(sizeof(*file));
}

static __attribute__((noinline)) void share_files(struct pool *pool)
{
    spin_lock(&shared_lock);
    while (pool->nr > POOL_MAX / 2)
        pool_push(&shared, pool_pop(pool));
    spin_unlock(&shared_lock);
}

static inline void file_free(struct file *file)
{
    struct pool *pool = &pools[cpu_id()];

    pool_push(pool, file);
    if (unlikely(pool->nr > POOL_MAX))
        share_files(pool);
}

static u32 mode_of_flags(u32 flags)
{
    if (flags & O_PATH)
        return FILE_PATH;
    switch (flags & O_ACCMODE) {
    case O_RDONLY:
        return FILE_READ;
    case O_WRONLY:
        return FILE_WRITE;
    default:
        return FILE_READ | FILE_WRITE;
    }
}

/* Of @file, which may have been another one, every field; .refs, 0 until now, is the last. */
static inline struct file *file_begin(struct file *file, struct inode *inode, struct dentry *dentry,
                                      struct mount *mount, u32 flags)
{
    file->flags = flags & ~(u32)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    file->mode = mode_of_flags(flags);
    file->ops = NULL;
    file->inode = inode;
    file->dentry = dentry;
    file->mount = mount;
    file->waitq = NULL;
    mutex_init(&file->pos_lock);
    file->pos = 0;
    file->data = NULL;
    file->anon_name = NULL;
    file->backing.ops = NULL;
    list_init(&file->watchers);
    file->error_seen = file->fs_error_seen = 0;
    __atomic_store_n(&file->refs.raw, 1, __ATOMIC_RELEASE);
    return file;
}

static __attribute__((noinline)) struct file *
file_create_slow(struct inode *inode, struct dentry *dentry, struct mount *mount, u32 flags)
{
    struct file *file = file_alloc();

    return file ? file_begin(file, inode, dentry, mount, flags) : NULL;
}

struct file *file_create_with(struct inode *inode, struct dentry *dentry, struct mount *mount,
                              u32 flags)
{
    struct file *file = pool_pop(&pools[cpu_id()]);

    if (unlikely(!file))
        return file_create_slow(inode, dentry, mount, flags);
    return file_begin(file, inode, dentry, mount, flags);
}

struct file *file_create(struct inode *inode, struct dentry *dentry, struct mount *mount, u32 flags)
{
    struct file *file = file_create_with(inode, dentry, mount, flags);

    if (unlikely(!file))
        return NULL;
    if (inode)
        inode_get(inode);
    if (dentry)
        dentry_get(dentry);
    return file;
}

struct file *file_create_anon(const struct file_ops *ops, void *data, const char *anon_name,
                              u32 flags)
{
    struct file *file = file_create(NULL, NULL, NULL, flags);
    if (!file)
        return NULL;
    file->ops = ops;
    file->data = data;
    file->anon_name = anon_name;
    return file;
}

/* What somebody else is to know of its end. */
static void tell_of_end(struct file *file)
{
    if (!list_empty(&file->watchers) && file_watchers_gone)
        file_watchers_gone(file);
    if (file->inode) {
        u32 closed = file->mode & FILE_WRITE ? FS_CLOSE_WRITE : FS_CLOSE_NOWRITE;
        if (!(file->mode & FILE_PATH))
            fsnotify_dentry(file->dentry, closed);
        if (unlikely(file->inode->locks != NULL))
            locks_release_file(file);
        if (file->mode & FILE_WRITER)
            inode_end_write(file->inode);
        else
            file_allow_write(file);
    }
    if (file->ops && file->ops->release)
        file->ops->release(file);
}

/* A regular file that was read, which nobody watches or locks. */
static inline bool ends_quietly(const struct file *file)
{
    return file->inode && !(file->mode & (FILE_PATH | FILE_WRITER | FILE_RUNS)) &&
           list_empty(&file->watchers) && !fsnotify_handler && !file->inode->locks && file->ops &&
           !file->ops->release;
}

static void file_release(struct file *file)
{
    if (!ends_quietly(file))
        tell_of_end(file);
    dentry_put(file->dentry);
    inode_put(file->inode);
    file_free(file);
}

int file_deny_write(struct file *file)
{
    int err = file->mode & FILE_RUNS ? 0 : inode_busy_add(file->inode, -1);

    if (!err)
        file->mode |= FILE_RUNS;
    return err;
}

void file_allow_write(struct file *file)
{
    if (!(file->mode & FILE_RUNS))
        return;
    file->mode &= ~(u32)FILE_RUNS;
    __atomic_fetch_add(&file->inode->writers, 1, __ATOMIC_RELEASE);
}

void file_put(struct file *file)
{
    may_sleep();
    if (ref_put(&file->refs))
        file_release(file);
}

ssize_t file_read(struct file *file, struct iov_iter *to, s64 *pos)
{
    if (unlikely(!(file->mode & FILE_READ)))
        return -EBADF;
    if (unlikely(!file->ops->read))
        return file->inode && S_ISDIR(file->inode->mode) ? -EISDIR : -EINVAL;
    ssize_t n = file->ops->read(file, to, pos);
    if (n > 0)
        fsnotify_dentry(file->dentry, FS_ACCESS);
    return n;
}

ssize_t file_write(struct file *file, struct iov_iter *from, s64 *pos)
{
    if (unlikely(!(file->mode & FILE_WRITE)))
        return -EBADF;
    if (unlikely(!file->ops->write))
        return -EINVAL;
    ssize_t n = file->ops->write(file, from, pos);
    if (n > 0)
        fsnotify_dentry(file->dentry, FS_MODIFY);
    return n;
}

ssize_t file_read_kernel(struct file *file, void *buf, size_t n, s64 pos)
{
    struct iov_iter to;
    struct iovec iov;
    size_t done = 0;

    if (!file->ops->read)
        return -EINVAL;
    while (done < n) {
        iter_init_kernel(&to, &iov, (char *)buf + done, n - done);
        ssize_t got = file->ops->read(file, &to, &pos);
        if (got <= 0)
            return done ? (ssize_t)done : got;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

u32 file_ready(struct file *file)
{
    if (!file->ops || !file->ops->ready)
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    return file->ops->ready(file);
}

ssize_t generic_file_read(struct file *file, struct iov_iter *to, s64 *pos)
{
    ssize_t n = inode_read(file->inode, to, (u64)*pos);
    if (n > 0)
        *pos += n;
    return n;
}

s64 generic_file_seek(struct file *file, s64 offset, int whence)
{
    s64 size = (s64)file->inode->size, base = 0;

    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = file->pos;
        break;
    case SEEK_END:
        base = size;
        break;
    case SEEK_DATA:
    case SEEK_HOLE: /* all of it is data, and the end is a hole */
        if (offset < 0 || offset >= size)
            return -ENXIO;
        offset = whence == SEEK_DATA ? offset : size;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, offset, &offset))
        return -EOVERFLOW;
    if (offset < 0)
        return -EINVAL;
    file->pos = offset;
    return offset;
}

int generic_file_mmap(struct file *file, u32 prot, u32 flags)
{
    (void)file, (void)prot, (void)flags;
    return 0;
}

int generic_file_sync(struct file *file, bool data_only)
{
    (void)file, (void)data_only;
    return 0;
}

const struct file_ops generic_ro_file_ops = {
    .read = generic_file_read,
    .seek = generic_file_seek,
    .mmap = generic_file_mmap,
    .sync = generic_file_sync,
};

static s64 dir_seek(struct file *file, s64 offset, int whence)
{
    if (whence == SEEK_CUR)
        offset += file->pos;
    else if (whence != SEEK_SET)
        return -EINVAL;
    if (offset < 0)
        return -EINVAL;
    file->pos = offset;
    return offset;
}

static int dir_readdir(struct file *file, struct dir_sink *sink)
{
    u64 pos = (u64)file->pos;

    if (!file->inode->ops->iterate)
        return -ENOTDIR;
    int err = file->inode->ops->iterate(file->inode, &pos, sink);
    file->pos = (s64)pos;
    return err;
}

/* "." and "..", which file systems need not keep. */
static bool add_dots(struct file *file, struct dir_sink *sink)
{
    static const char dots[] = "..";
    u64 ino = file->inode->ino;

    for (; file->pos < READDIR_FIRST; file->pos++) {
        u64 pos = (u64)file->pos;
        if (pos == 1 && file->dentry) {
            names_read_lock();
            ino = file->dentry->parent->inode->ino;
            names_read_unlock();
        }
        if (!sink->add(sink, dots, pos + 1, ino, pos + 1, mode_to_dt(S_IFDIR)))
            return false;
    }
    return true;
}

int file_readdir(struct file *file, struct dir_sink *sink)
{
    int err = -ENOTDIR;

    if (!file->ops->readdir || !file->inode)
        return err;
    mutex_lock(&file->pos_lock);
    mutex_lock(&file->inode->lock);
    if (!file->inode->nlink)
        err = -ENOENT;
    else
        err = add_dots(file, sink) ? file->ops->readdir(file, sink) : 0;
    mutex_unlock(&file->inode->lock);
    mutex_unlock(&file->pos_lock);
    return err;
}

const struct file_ops generic_dir_file_ops = {
    .seek = dir_seek,
    .readdir = dir_readdir,
    .sync = generic_file_sync,
};

static struct file *backing_file(struct vm_backing *backing)
{
    return container_of(backing, struct file, backing);
}

static void backing_get(struct vm_backing *backing)
{
    file_get(backing_file(backing));
}

static void backing_put(struct vm_backing *backing)
{
    file_put(backing_file(backing));
}

static bool is_backing_of(struct vm_backing *backing, void *inode)
{
    return backing->ops->get == backing_get && backing_file(backing)->inode == inode;
}

static int is_shared_writable(struct vma *vma, void *inode)
{
    return vma->backing && vma->flags & MAP_SHARED && !(vma->marks & VMA_NOWRITE) &&
           is_backing_of(vma->backing, inode);
}

struct mapped_search {
    struct inode *inode;
    bool found;
};

static bool maps_writable(struct mm *mm, void *arg)
{
    struct mapped_search *search = arg;

    search->found = mm_for_each_vma(mm, is_shared_writable, search->inode);
    return !search->found;
}

bool inode_is_mapped_writable(struct inode *inode)
{
    struct mapped_search search = {inode, false};

    mm_for_each(maps_writable, &search);
    return search.found;
}

void inode_forget_mapped(struct inode *inode, u64 index, u64 n)
{
    mm_forget(is_backing_of, inode, index, n);
}

void inode_clean_mapped(struct inode *inode, u64 index, u64 n)
{
    mm_write_protect(is_backing_of, inode, index, n);
}

static int backing_page(struct vm_backing *backing, u64 index, bool write, paddr_t *pa)
{
    return inode_map_page(backing_file(backing)->inode, index, write, pa);
}

static u32 backing_cached(struct vm_backing *backing, u64 index, u32 n, paddr_t *pa)
{
    return inode_cached_run(backing_file(backing)->inode, index, n, pa);
}

static void backing_dirty(struct vm_backing *backing, u64 index)
{
    (void)index;
    inode_touch(backing_file(backing)->inode, true);
}

static size_t backing_name(struct vm_backing *backing, char *buf, size_t size, u64 *dev, u64 *ino)
{
    struct file *file = backing_file(backing);
    ssize_t len = file_path_name(file, buf, size);

    *dev = file->inode ? file->inode->sb->dev : 0;
    *ino = file->inode ? file->inode->ino : 0;
    return len < 0 ? 0 : (size_t)len;
}

const struct vm_backing_ops generic_backing_ops = {
    .get = backing_get,
    .put = backing_put,
    .page = backing_page,
    .cached = backing_cached,
    .dirty = backing_dirty,
    .name = backing_name,
};

static void no_dirty(struct vm_backing *backing, u64 index)
{
    (void)backing, (void)index; /* the first write told */
}

static int backing_sync(struct vm_backing *backing, u64 index, u64 n)
{
    struct file *file = backing_file(backing);

    (void)index, (void)n;
    return file->ops->sync ? file->ops->sync(file, true) : 0;
}

const struct vm_backing_ops tracked_backing_ops = {
    .get = backing_get,
    .put = backing_put,
    .page = backing_page,
    .cached = backing_cached,
    .dirty = no_dirty,
    .sync = backing_sync,
    .name = backing_name,
};
