/* Bytes of shared files: read and write ask the server each time, so that both sides see what the
 * other writes.  Files can be mapped for reading, or privately; a mapping shows the file as it was
 * when it was mapped. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "fs/9p/priv.h"
#include "lib/string.h"
#include "mm/page.h"
#include "vfs/page_cache.h"

enum { OPEN_FLAGS = O_ACCMODE | O_NOFOLLOW };

static int p9_file_open(struct inode *inode, struct file *file)
{
    struct p9_fid *fid;

    int err = p9_getattr(inode);
    if (!err)
        err = p9_open(inode, file->flags & OPEN_FLAGS, &fid);
    if (!err)
        file->data = fid;
    return err;
}

static void p9_release(struct file *file)
{
    p9_fid_put(file->data);
}

static int read_at(struct p9_fid *fid, u64 at, void *buf, u32 len, u32 *got)
{
    struct p9_msg m;

    int err = p9_begin(fid->client, &m, P9_READ);
    if (err)
        return err;
    p9_put32(&m, fid->nr);
    p9_put64(&m, at);
    p9_put32(&m, len);
    err = p9_call_read(&m, buf, len, got);
    int bad = p9_end(&m);
    return err ? err : bad;
}

static int write_at(struct p9_fid *fid, u64 at, const void *buf, u32 len, u32 *done)
{
    struct p9_msg m;

    int err = p9_begin(fid->client, &m, P9_WRITE);
    if (err)
        return err;
    p9_put32(&m, fid->nr);
    p9_put64(&m, at);
    p9_put32(&m, len);
    err = p9_call(&m, buf, len);
    *done = err ? 0 : p9_get32(&m);
    int bad = p9_end(&m);
    if (err || bad)
        return err ? err : bad;
    return *done > len ? -EIO : 0;
}

/* One answer's worth. Bytes, less than asked for at the end of the file, or an error. */
static ssize_t read_some(struct file *file, struct iov_iter *to, s64 pos, void *buf, bool *last)
{
    u32 want = (u32)min(to->left, (u64)P9_DATA_MAX), got;

    int err = read_at(file->data, (u64)pos, buf, want, &got);
    if (err)
        return err;
    size_t copied = iter_write(to, buf, got);
    *last = got < want || copied < got;
    return copied || !got ? (ssize_t)copied : -EFAULT;
}

static ssize_t write_some(struct file *file, struct iov_iter *from, s64 pos, void *buf, bool *last)
{
    u32 want = (u32)min(from->left, (u64)P9_DATA_MAX), done;
    size_t copied = iter_read(from, buf, want);

    if (!copied)
        return -EFAULT;
    int err = write_at(file->data, (u64)pos, buf, (u32)copied, &done);
    if (err)
        return err;
    *last = done < want;
    return done;
}

typedef ssize_t transfer_fn(struct file *file, struct iov_iter *it, s64 pos, void *buf, bool *last);

static ssize_t transfer(struct file *file, struct iov_iter *it, s64 *pos, transfer_fn *some)
{
    struct page *page = page_alloc(P9_DATA_ORDER, 0);
    ssize_t total = 0, n = 0;
    bool last = false;

    if (!page)
        return -ENOMEM;
    while (it->left && !last) {
        n = some(file, it, *pos, page_to_virt(page), &last);
        if (n < 0)
            break;
        *pos += n;
        total += n;
    }
    page_put(page);
    return total ? total : n;
}

static ssize_t p9_read(struct file *file, struct iov_iter *to, s64 *pos)
{
    return transfer(file, to, pos, read_some);
}

static ssize_t p9_write(struct file *file, struct iov_iter *from, s64 *pos)
{
    struct inode *inode = file->inode;

    mutex_lock(&inode->lock);
    int err = file->flags & O_APPEND ? p9_getattr(inode) : 0;
    if (!err && file->flags & O_APPEND)
        *pos = (s64)inode->size;
    u64 room = (u64)INT64_MAX - (u64)*pos;
    if (!err && from->left > room)
        err = -EFBIG;
    ssize_t n = err ? err : transfer(file, from, pos, write_some);
    if (n > 0 && (u64)*pos > inode->size)
        __atomic_store_n(&inode->size, (u64)*pos, __ATOMIC_RELAXED);
    mutex_unlock(&inode->lock);
    return n;
}

static s64 p9_seek(struct file *file, s64 offset, int whence)
{
    int err = whence == SEEK_SET || whence == SEEK_CUR ? 0 : p9_getattr(file->inode);

    return err ? err : generic_file_seek(file, offset, whence);
}

static int p9_sync(struct file *file, bool data_only)
{
    struct p9_fid *fid = file->data;
    struct p9_msg m;

    int err = p9_begin(fid->client, &m, P9_FSYNC);
    if (err)
        return err;
    p9_put32(&m, fid->nr);
    p9_put32(&m, data_only);
    return p9_finish(&m);
}

/* The fid through which pages are read; it stays open as long as the inode lives. */
static int map_fid(struct inode *inode, struct p9_fid **out)
{
    struct p9_fid **place = &p9_inode_of(inode)->map_fid, *none = NULL;

    *out = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (*out)
        return 0;
    int err = p9_open(inode, O_RDONLY, out);
    if (err ||
        __atomic_compare_exchange_n(place, &none, *out, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return err;
    p9_fid_put(*out); /* another thread was quicker */
    *out = none;
    return 0;
}

/* Pages of an older state go, and who has them mapped sees the new one. */
static int prepare_map(struct inode *inode)
{
    struct p9_inode *pi = p9_inode_of(inode);

    int err = p9_getattr(inode);
    if (err)
        return err;
    if (memcmp(&pi->map_time, &inode->mtime, sizeof(pi->map_time))) {
        page_cache_remove(inode->pages, 0, UINT64_MAX);
        inode_forget_mapped(inode, 0, UINT64_MAX >> PAGE_SHIFT);
        pi->map_time = inode->mtime;
    }
    return 0;
}

static int p9_mmap(struct file *file, u32 prot, u32 flags)
{
    (void)prot;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && file->mode & FILE_WRITE)
        return -ENODEV; /* the other side would not see what is written */
    mutex_lock(&file->inode->lock);
    int err = prepare_map(file->inode);
    mutex_unlock(&file->inode->lock);
    return err;
}

static int p9_truncate(struct file *file, u64 size)
{
    const struct inode_attr attr = {.valid = ATTR_SIZE, .size = size};

    return file->inode->ops->setattr(file->inode, &attr);
}

static int p9_readpages(struct inode *inode, u64 index, struct page **pages, u32 nr)
{
    struct p9_fid *fid;

    int failed = map_fid(inode, &fid);
    if (failed)
        return failed;
    for (u32 i = 0; i < nr; i++) {
        u8 *bytes = page_to_virt(pages[i]);
        u32 done = 0, got = 1;
        while (done < PAGE_SIZE && got) {
            u64 at = ((index + i) << PAGE_SHIFT) + done;
            int err = read_at(fid, at, bytes + done, (u32)PAGE_SIZE - done, &got);
            if (err)
                return err;
            done += got;
        }
        memset(bytes + done, 0, PAGE_SIZE - done);
    }
    return 0;
}

const struct inode_ops p9_file_ops = {
    .open = p9_file_open,
    .readpages = p9_readpages,
    .getattr = p9_getattr,
    .setattr = p9_setattr,
};
const struct file_ops p9_file_file_ops = {
    .read = p9_read,
    .write = p9_write,
    .seek = p9_seek,
    .sync = p9_sync,
    .mmap = p9_mmap,
    .truncate = p9_truncate,
    .release = p9_release,
};
