/* tmpfs: the bytes of files.  A page is, in this order: our own in the page cache; the layer's, as
 * far as .lower_size goes; zeros.  Pages are made under inode->lock by writers, and without it by
 * faults, so the cache decides who was first. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "fs/tmpfs_priv.h"
#include "lib/string.h"
#include "mm/page.h"
#include "vfs/notify.h"

enum { SEALS_KNOWN = 31 };

/* Bytes of the layer that belong into the page at @offset. */
static int fill_from_lower(struct mem_inode *mem, u64 offset, u8 *dst)
{
    u64 len = min(mem->lower_size - offset, PAGE_SIZE);
    struct iov_iter to;
    struct iovec iov;

    iter_init_kernel(&to, &iov, dst, len);
    ssize_t n = inode_read(mem->lower, &to, offset);
    return n < 0 ? (int)n : (u64)n == len ? 0 : -EIO;
}

/* The file's own page at @index, made where there is none. @whole: all of it will be written. */
static int own_page(struct inode *inode, u64 index, bool whole, struct page **out)
{
    struct mem_inode *mem = mem_of(inode);
    u64 offset = index << PAGE_SHIFT;

    *out = page_cache_find(&mem->cache, index);
    if (*out)
        return 0;
    int err = mem_charge(inode->sb, 1);
    if (err)
        return err;
    bool lower = offset < mem->lower_size;
    struct page *page = page_alloc(0, whole ? 0 : PAGE_ZERO);
    err = page ? 0 : -ENOSPC;
    if (!err && lower && !whole)
        err = fill_from_lower(mem, offset, page_to_virt(page));
    if (!err)
        err = page_cache_insert(&mem->cache, index, page);
    if (!err) {
        mem_pin(inode);
        *out = page;
        return 0;
    }
    mem_uncharge(inode->sb, 1);
    if (page)
        page_put(page);
    if (err != -EEXIST)
        return err;
    *out = page_cache_find(&mem->cache, index); /* a fault was faster; writers are locked out */
    return *out ? 0 : -EIO;
}

/* One run of bytes at @pos, up to @left. */
static ssize_t read_run(struct inode *inode, struct iov_iter *to, u64 pos, u64 left)
{
    struct mem_inode *mem = mem_of(inode);
    u64 in_page = pos & (PAGE_SIZE - 1);

    if (mem->cache.nr_pages) {
        left = min(left, PAGE_SIZE - in_page);
        ssize_t n = page_cache_read(&mem->cache, pos >> PAGE_SHIFT, in_page, to, left);
        if (likely(n != -EAGAIN))
            return n;
        struct page *page = page_cache_find(&mem->cache, pos >> PAGE_SHIFT);
        if (unlikely(page)) { /* another one was taken out */
            n = (ssize_t)iter_write(to, (u8 *)page_to_virt(page) + in_page, left);
            page_put(page);
            return n;
        }
    }
    if (pos < mem->lower_size)
        return inode_read_some(mem->lower, to, pos, min(left, mem->lower_size - pos));
    return (ssize_t)iter_zero(to, left);
}

static __attribute__((noinline)) ssize_t read_runs(struct inode *inode, struct iov_iter *to, u64 at,
                                                   u64 want)
{
    u64 done = 0;

    while (done < want) {
        ssize_t n = read_run(inode, to, at + done, want - done);
        if (unlikely(n <= 0)) {
            if (!done)
                return n ? n : -EFAULT;
            break;
        }
        done += (u64)n;
    }
    return (ssize_t)done;
}

static ssize_t file_read_(struct file *file, struct iov_iter *to, s64 *pos)
{
    struct inode *inode = file->inode;
    u64 at = (u64)*pos, in_page = at & (PAGE_SIZE - 1);
    u64 size = __atomic_load_n(&inode->size, __ATOMIC_RELAXED);
    ssize_t n = -EAGAIN;

    if (unlikely(at >= size))
        return 0;
    u64 want = min(to->left, size - at);
    if (likely(in_page + want <= PAGE_SIZE))
        n = page_cache_read(&mem_of(inode)->cache, at >> PAGE_SHIFT, in_page, to, want);
    if (unlikely(n <= 0)) {
        n = read_runs(inode, to, at, want);
        if (n <= 0)
            return n;
    }
    *pos = (s64)at + n;
    return n;
}

static int check_seals(const struct mem_inode *mem, const struct inode *inode, u64 end)
{
    if (likely(!mem->seals))
        return 0;
    if (mem->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
        return -EPERM;
    return mem->seals & F_SEAL_GROW && end > inode->size ? -EPERM : 0;
}

/* Make the page to write at @index; who has the layer's frame of it mapped shall see the new one.
 * Locked, and no reference is taken: only under that lock pages are taken out of such a cache. */
static int page_to_write(struct inode *inode, u64 index, struct page **out)
{
    const struct mem_inode *mem = mem_of(inode);
    u64 before = mem->cache.nr_pages;
    int err = own_page(inode, index, false, out);

    if (!err && mem->cache.nr_pages != before && index << PAGE_SHIFT < mem->lower_size)
        inode_forget_mapped(inode, index, 1);
    if (!err)
        page_put(*out);
    return err;
}

/* Locked. */
static ssize_t write_locked(struct inode *inode, struct iov_iter *from, u64 at)
{
    u64 end, done = 0, want = from->left;
    int err = 0;

    if (__builtin_add_overflow(at, want, &end) || end > INT64_MAX)
        return -EFBIG;
    err = check_seals(mem_of(inode), inode, end);
    while (!err && done < want) {
        u64 in_page = (at + done) & (PAGE_SIZE - 1);
        u64 n = min(PAGE_SIZE - in_page, want - done);
        struct page *page = page_cache_peek(&mem_of(inode)->cache, (at + done) >> PAGE_SHIFT);
        err = likely(page) ? 0 : page_to_write(inode, (at + done) >> PAGE_SHIFT, &page);
        if (unlikely(err))
            break;
        size_t moved = iter_read(from, (u8 *)page_to_virt(page) + in_page, n);
        done += moved;
        if (moved < n)
            err = -EFAULT;
    }
    if (!done)
        return err;
    if (at + done > inode->size)
        __atomic_store_n(&inode->size, at + done, __ATOMIC_RELEASE);
    inode_touch(inode, true);
    mem_pin(inode);
    return (ssize_t)done;
}

static ssize_t file_write_(struct file *file, struct iov_iter *from, s64 *pos)
{
    struct inode *inode = file->inode;

    if (!from->left)
        return 0;
    mutex_lock(&inode->lock);
    u64 at = file->flags & O_APPEND ? inode->size : (u64)*pos;
    ssize_t n = write_locked(inode, from, at);
    mutex_unlock(&inode->lock);
    if (n > 0)
        *pos = (s64)at + n;
    return n;
}

/* Clear [from, to) of one page where it is our own. */
static void clear_in_page(struct inode *inode, u64 from, u64 to)
{
    struct page *page = page_cache_find(&mem_of(inode)->cache, from >> PAGE_SHIFT);

    if (!page)
        return;
    memset((u8 *)page_to_virt(page) + (from & (PAGE_SIZE - 1)), 0, to - from);
    page_put(page);
}

static void remove_pages(struct inode *inode, u64 first, u64 last)
{
    struct mem_inode *mem = mem_of(inode);

    if (mem->cache.nr_pages && first <= last)
        mem_uncharge(inode->sb, page_cache_remove(&mem->cache, first, last));
}

int mem_truncate(struct inode *inode, u64 size)
{
    struct mem_inode *mem = mem_of(inode);
    u64 old = inode->size;

    if ((size < old && mem->seals & F_SEAL_SHRINK) || (size > old && mem->seals & F_SEAL_GROW))
        return -EPERM;
    __atomic_store_n(&inode->size, size, __ATOMIC_RELEASE);
    if (size < old) {
        mem->lower_size = min(mem->lower_size, size);
        remove_pages(inode, DIV_UP(size, PAGE_SIZE), UINT64_MAX);
        inode_forget_mapped(inode, DIV_UP(size, PAGE_SIZE), UINT64_MAX);
        if (size & (PAGE_SIZE - 1))
            clear_in_page(inode, size, ALIGN_UP(size, PAGE_SIZE));
    }
    inode_touch(inode, true);
    mem_pin(inode);
    return 0;
}

static int file_truncate(struct file *file, u64 size)
{
    mutex_lock(&file->inode->lock);
    int err = mem_truncate(file->inode, size);
    mutex_unlock(&file->inode->lock);
    return err;
}

/* Make every page of [from, to) our own. */
static int make_pages(struct inode *inode, u64 from, u64 to)
{
    for (u64 index = from >> PAGE_SHIFT; index < DIV_UP(to, PAGE_SIZE); index++) {
        struct page *page;
        int err = own_page(inode, index, false, &page);
        if (err)
            return err;
        page_put(page);
    }
    return 0;
}

/* Zeros in [from, to), and no memory where whole pages are. */
static int punch(struct inode *inode, u64 from, u64 to)
{
    struct mem_inode *mem = mem_of(inode);

    to = min(to, inode->size);
    if (from >= to)
        return 0;
    if (from < mem->lower_size) { /* the layer must not shine through */
        int err = make_pages(inode, 0, mem->lower_size);
        if (err)
            return err;
        mem->lower_size = 0;
    }
    u64 first = ALIGN_UP(from, PAGE_SIZE), last = ALIGN_DOWN(to, PAGE_SIZE);
    if (first > last) {
        clear_in_page(inode, from, to);
        return 0;
    }
    if (from < first)
        clear_in_page(inode, from, first);
    if (last < to)
        clear_in_page(inode, last, to);
    if (first < last)
        remove_pages(inode, first >> PAGE_SHIFT, (last >> PAGE_SHIFT) - 1);
    inode_forget_mapped(inode, first >> PAGE_SHIFT, (last - first) >> PAGE_SHIFT);
    return 0;
}

static int allocate_locked(struct inode *inode, int mode, u64 offset, u64 end)
{
    bool keep = mode & FALLOC_FL_KEEP_SIZE;
    int err = check_seals(mem_of(inode), inode, keep ? 0 : end);

    if (!err && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        err = punch(inode, offset, end);
    if (!err && !(mode & FALLOC_FL_PUNCH_HOLE)) {
        u64 pages = DIV_UP(end, PAGE_SIZE) - (offset >> PAGE_SHIFT);
        err = mem_charge(inode->sb, pages); /* all or nothing where there is clearly no room */
        if (!err) {
            mem_uncharge(inode->sb, pages);
            err = make_pages(inode, offset, end);
        }
    }
    if (err)
        return err;
    if (!keep && end > inode->size)
        __atomic_store_n(&inode->size, end, __ATOMIC_RELEASE);
    inode_touch(inode, true);
    mem_pin(inode);
    return 0;
}

static int file_allocate(struct file *file, int mode, u64 offset, u64 len)
{
    const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    u64 end;

    if (mode & ~known || (mode & FALLOC_FL_PUNCH_HOLE && !(mode & FALLOC_FL_KEEP_SIZE)))
        return -EOPNOTSUPP;
    if (__builtin_add_overflow(offset, len, &end) || end > INT64_MAX)
        return -EFBIG;
    mutex_lock(&file->inode->lock);
    int err = allocate_locked(file->inode, mode, offset, end);
    mutex_unlock(&file->inode->lock);
    return err;
}

/* The first byte of data, or of a hole, at or after @offset. */
static s64 seek_data(struct inode *inode, u64 offset, bool hole)
{
    struct mem_inode *mem = mem_of(inode);

    if (offset >= inode->size)
        return -ENXIO;
    for (u64 at = offset; at < inode->size;) {
        u64 index = at >> PAGE_SHIFT, next = index;
        struct page *page = page_cache_next(&mem->cache, &next);
        if (page)
            page_put(page);
        bool data = (page && next == index) || at < mem->lower_size;
        if (data != hole)
            return (s64)at;
        if (!data && !page)
            return -ENXIO; /* nothing but a hole is left */
        at = (data ? index + 1 : next) << PAGE_SHIFT;
    }
    return hole ? (s64)inode->size : -ENXIO;
}

static s64 file_seek(struct file *file, s64 offset, int whence)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return generic_file_seek(file, offset, whence);
    if (offset < 0)
        return -ENXIO;
    mutex_lock(&file->inode->lock);
    s64 pos = seek_data(file->inode, (u64)offset, whence == SEEK_HOLE);
    mutex_unlock(&file->inode->lock);
    if (pos >= 0)
        file->pos = pos;
    return pos;
}

static s64 file_fcntl(struct file *file, int cmd, u64 arg)
{
    struct mem_inode *mem = mem_of(file->inode);
    s64 result = 0;

    if (cmd != F_ADD_SEALS && cmd != F_GET_SEALS)
        return -EINVAL;
    mutex_lock(&file->inode->lock);
    u32 seals = mem->sealable ? mem->seals : (u32)F_SEAL_SEAL;
    if (cmd == F_GET_SEALS)
        result = seals;
    else if (!(file->mode & FILE_WRITE) || seals & F_SEAL_SEAL)
        result = -EPERM;
    else if (arg & ~(u64)SEALS_KNOWN)
        result = -EINVAL;
    else if (arg & F_SEAL_WRITE && inode_is_mapped_writable(file->inode))
        result = -EBUSY;
    else
        mem->seals |= (u32)arg;
    mutex_unlock(&file->inode->lock);
    return result;
}

static int file_mmap(struct file *file, u32 prot, u32 flags)
{
    enum { MAP_SHARED_BIT = 1, PROT_WRITE_BIT = 2 };
    bool writes = flags & MAP_SHARED_BIT && prot & PROT_WRITE_BIT;

    return writes && mem_of(file->inode)->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) ? -EPERM : 0;
}

/* The layer's own frame will do for one who only reads, if all of its bytes are still ours. */
static bool layer_page_serves(const struct mem_inode *mem, u64 offset, u64 size)
{
    u64 end = min(offset + PAGE_SIZE, mem->lower ? mem->lower->size : 0);

    return offset < mem->lower_size && end <= mem->lower_size &&
           (end == offset + PAGE_SIZE || size == end) && !mem->seals;
}

static u32 cached_run(struct inode *inode, u64 index, u32 n, paddr_t *pa)
{
    struct mem_inode *mem = mem_of(inode);
    struct page *page = mem->cache.nr_pages ? page_cache_find(&mem->cache, index) : NULL;

    if (page) {
        *pa = page_to_phys(page);
        return 1;
    }
    if (mem->cache.nr_pages) /* some pages are our own: one by one */
        n = 1;
    u64 last = min(index + n, DIV_UP(inode->size, PAGE_SIZE)) - 1;
    if (!layer_page_serves(mem, index << PAGE_SHIFT, inode->size) ||
        !layer_page_serves(mem, last << PAGE_SHIFT, inode->size))
        return 0;
    return inode_cached_run(mem->lower, index, n, pa);
}

/* Called without inode->lock, with mm->lock held. */
static int map_page(struct inode *inode, u64 index, bool write, paddr_t *pa)
{
    struct mem_inode *mem = mem_of(inode);
    u64 offset = index << PAGE_SHIFT, size = inode->size;
    struct page *page;

    if (index >= DIV_UP(size, PAGE_SIZE))
        return -EFAULT;
    page = page_cache_find(&mem->cache, index);
    if (!page && !write && layer_page_serves(mem, offset, size))
        return inode_map_page(mem->lower, index, false, pa);
    int err = page ? 0 : own_page(inode, index, false, &page);
    if (err)
        return err;
    *pa = page_to_phys(page);
    return 0;
}

int mem_setattr(struct inode *inode, const struct inode_attr *attr)
{
    if (attr->valid & ATTR_SIZE) {
        if (!S_ISREG(inode->mode))
            return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
        int err = mem_truncate(inode, attr->size);
        if (err)
            return err;
    }
    inode_set_attr(inode, attr);
    mem_pin(inode);
    return 0;
}

int mem_getattr(struct inode *inode)
{
    struct mem_inode *mem = mem_of(inode);
    u64 lower = min(DIV_UP(mem->lower_size, PAGE_SIZE), DIV_UP(inode->size, PAGE_SIZE));

    inode->blocks = max(mem->cache.nr_pages, lower) * (PAGE_SIZE / 512);
    return 0;
}

/* The layer's file may have changed by itself; what was written here stays. */
static int follow_lower(struct inode *inode)
{
    struct mem_inode *mem = mem_of(inode);
    struct inode *lower = mem->lower;

    mutex_lock(&inode->lock);
    if (!mem->cache.nr_pages && mem->lower_size == inode->size) {
        (void)lower->ops->getattr(lower); /* or it stays as it is */
        mem->lower_size = lower->size;
        __atomic_store_n(&inode->size, lower->size, __ATOMIC_RELEASE);
        inode->mtime = lower->mtime;
        inode->ctime = lower->ctime;
    }
    mutex_unlock(&inode->lock);
    return 0;
}

static int live_getattr(struct inode *inode)
{
    (void)follow_lower(inode);
    return mem_getattr(inode);
}

static int live_open(struct inode *inode, struct file *file)
{
    return file->mode & FILE_WRITE ? 0 : follow_lower(inode);
}

static struct inode *origin(struct inode *inode)
{
    const struct mem_inode *mem = mem_of(inode);
    struct inode *lower = mem->lower;

    return lower && !mem->cache.nr_pages && mem->lower_size == lower->size &&
                   inode->size == lower->size
               ? lower
               : NULL;
}

static ssize_t link_read(struct inode *inode, char *buf, size_t size)
{
    struct mem_inode *mem = mem_of(inode);

    if (mem->lower)
        return mem->lower->ops->readlink(mem->lower, buf, size);
    size_t len = min((size_t)inode->size, size);
    memcpy(buf, mem->target, len);
    return (ssize_t)len;
}

const struct file_ops mem_file_ops = {
    .read = file_read_,
    .write = file_write_,
    .seek = file_seek,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .mmap = file_mmap,
    .fcntl = file_fcntl,
    .sync = generic_file_sync,
};
const struct inode_ops mem_file_ops_inode = {
    .map_page = map_page,
    .cached_run = cached_run,
    .origin = origin,
    .setattr = mem_setattr,
    .getattr = mem_getattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
};
const struct inode_ops mem_live_file_ops = {
    .open = live_open,
    .map_page = map_page,
    .cached_run = cached_run,
    .origin = origin,
    .setattr = mem_setattr,
    .getattr = live_getattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
};
const struct inode_ops mem_symlink_ops = {
    .readlink = link_read,
    .setattr = mem_setattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
};
const struct inode_ops mem_node_ops = {
    .setattr = mem_setattr,
    .getxattr = mem_getxattr,
    .setxattr = mem_setxattr,
    .listxattr = mem_listxattr,
    .removexattr = mem_removexattr,
};
