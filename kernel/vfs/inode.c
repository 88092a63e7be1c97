/* Inodes: their life, their numbers, and the bytes of those that file systems read for us.
 * A file system that can meet one inode under several names finds it again by inode_find(). */
#include "vfs/inode.h"

#include "abi/errno.h"
#include "core/panic.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "sched/thread.h"
#include "vfs/lock.h"
#include "vfs/notify.h"
#include "vfs/page_cache.h"

enum { INODE_BUCKETS = 1024, READ_AHEAD_PAGES = 32 };

bool (*fsnotify_put_handler)(struct inode *inode);

static struct spinlock table_lock; /* a leaf */
static struct inode *table[INODE_BUCKETS];

struct inode *inode_create(struct super_block *sb, u32 mode)
{
    struct inode *inode = kzalloc(sizeof(*inode) + sb->inode_extra);
    if (!inode)
        return NULL;
    ref_init(&inode->refs);
    inode->mode = mode;
    inode->nlink = 1;
    inode->sb = sb;
    inode->ino = __atomic_add_fetch(&sb->next_ino, 1, __ATOMIC_RELAXED);
    inode->btime = current_timespec();
    inode->atime = inode->mtime = inode->ctime = inode->btime;
    mutex_init(&inode->lock);
    list_init(&inode->watches);
    if (sb->inode_extra)
        inode->data = inode + 1;
    return inode;
}

void inode_init_owner(struct inode *inode, const struct inode *dir)
{
    const struct creds *c = current_creds();
    bool inherits = dir && dir->mode & S_ISGID;

    inode->uid = c ? c->fsuid : 0;
    inode->gid = inherits ? dir->gid : c ? c->fsgid : 0;
    if (!inherits)
        return;
    if (S_ISDIR(inode->mode))
        inode->mode |= S_ISGID;
    else if (inode->mode & S_IXGRP && c && !creds_capable(c, CAP_FSETID) &&
             !creds_in_group(c, inode->gid))
        inode->mode &= ~(u32)S_ISGID; /* no program gets the rights of a group its author lacks */
}

/* Numbers of one file system are neighbours mostly, and so are their buckets: a start, which has a
 * dozen inodes, touches one page of the table. */
static struct inode **bucket_of(const struct super_block *sb, u64 ino)
{
    u64 key = (ino ^ ino / INODE_BUCKETS) + ((u64)(uintptr_t)sb >> 6);

    return &table[key % INODE_BUCKETS];
}

static struct inode *find_locked(struct super_block *sb, u64 ino)
{
    for (struct inode *i = *bucket_of(sb, ino); i; i = i->hash_next)
        if (i->ino == ino && i->sb == sb && ref_get_unless_zero(&i->refs))
            return i;
    return NULL;
}

struct inode *inode_find(struct super_block *sb, u64 ino)
{
    spin_lock(&table_lock);
    struct inode *inode = find_locked(sb, ino);
    spin_unlock(&table_lock);
    return inode;
}

struct inode *inode_add(struct inode *inode)
{
    spin_lock(&table_lock);
    struct inode *first = find_locked(inode->sb, inode->ino);
    if (!first) {
        struct inode **bucket = bucket_of(inode->sb, inode->ino);
        inode->hash_next = *bucket;
        *bucket = inode;
        inode->flags |= INODE_HASHED;
    }
    spin_unlock(&table_lock);
    if (!first)
        return inode;
    inode_put(inode);
    return first;
}

static void unhash(struct inode *inode)
{
    spin_lock(&table_lock);
    struct inode **link = bucket_of(inode->sb, inode->ino);
    while (*link != inode)
        link = &(*link)->hash_next;
    *link = inode->hash_next;
    spin_unlock(&table_lock);
}

void inode_put(struct inode *inode)
{
    if (!inode)
        return;
    if (!inode->nlink)
        may_sleep(); /* if it is the last reference: freeing what it has */
    bool (*watched)(struct inode *) = fsnotify_put_handler;
    if (unlikely(watched != NULL) && !inode->nlink && watched(inode))
        return;
    if (!ref_put(&inode->refs))
        return;
    if (inode->flags & INODE_HASHED)
        unhash(inode);
    if (inode->sb->ops && inode->sb->ops->evict)
        inode->sb->ops->evict(inode);
    if (unlikely(inode->locks != NULL))
        locks_free(inode);
    kfree(inode);
}

int inode_alloc_pages(struct inode *inode, bool reclaimable)
{
    inode->pages = kmalloc(sizeof(*inode->pages));
    if (!inode->pages)
        return -ENOMEM;
    page_cache_init(inode->pages, inode, reclaimable);
    return 0;
}

void inode_free_pages(struct inode *inode)
{
    if (!inode->pages)
        return;
    page_cache_fini(inode->pages);
    kfree(inode->pages);
    inode->pages = NULL;
}

void inode_touch(struct inode *inode, bool mtime)
{
    inode->ctime = current_timespec();
    if (mtime)
        inode->mtime = inode->ctime;
}

/* Allocate pages for [index, index + nr) as far as memory goes; returns how many. */
static u32 alloc_run(struct page **pages, u32 nr)
{
    for (u32 i = 0; i < nr; i++) {
        pages[i] = page_alloc(0, 0);
        if (!pages[i])
            return i;
    }
    return nr;
}

/* What to read for who wants @index, which is missing: what is missing of the window that it lies
 * in, as far as that is in one piece.  Windows are aligned, since programs touch files in no order,
 * and faults map what lies around them. */
static u64 missing_run(const struct inode *inode, u64 index, u32 *nr)
{
    u64 window = ALIGN_DOWN(index, READ_AHEAD_PAGES), first = index, end = index + 1;
    u64 limit = min(DIV_UP(inode->size, PAGE_SIZE), window + READ_AHEAD_PAGES);

    while (first > window && !page_cache_peek(inode->pages, first - 1))
        first--;
    while (end < limit && !page_cache_peek(inode->pages, end))
        end++;
    *nr = (u32)(end - first);
    return first;
}

/* Read @want pages from @first on into the cache. */
static int read_run(struct inode *inode, u64 first, u32 want)
{
    struct page *pages[READ_AHEAD_PAGES];
    u32 nr = alloc_run(pages, want);

    int err = nr < want ? -ENOMEM : inode->ops->readpages(inode, first, pages, nr);
    for (u32 i = 0; i < nr; i++) {
        int failed = err ? 0 : page_cache_insert(inode->pages, first + i, pages[i]);
        page_put(pages[i]);
        if (failed && failed != -EEXIST)
            err = failed;
    }
    return err;
}

int inode_get_page(struct inode *inode, u64 index, struct page **out)
{
    if (inode->ops->get_page)
        return inode->ops->get_page(inode, index, out);
    if (!inode->pages || !inode->ops->readpages)
        return -EIO;
    for (;;) {
        struct page *page = page_cache_find(inode->pages, index);
        if (page) {
            *out = page;
            return 0;
        }
        if (index >= DIV_UP(inode->size, PAGE_SIZE))
            return -EFAULT;
        u32 nr;
        u64 first = missing_run(inode, index, &nr);
        int err = read_run(inode, first, nr);
        if (err && nr > 1)
            err = read_run(inode, index, 1); /* the others were a guess */
        if (err)
            return err;
    }
}

/* @p is 8-aligned. */
static bool is_zero(const u8 *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8)
        if (*(const u64 *)(const void *)p)
            return false;
    for (; n && !*p; n--)
        p++;
    return !n;
}

/* What follows the end of the file in its last frame must read as zero. Looked at once: neither
 * changes, and whoever sends a small file again and again would pay for the rest of the frame. */
static bool is_tail_zero(struct inode *inode, const u8 *bytes, u64 len)
{
    u64 from = ALIGN_UP(len, 8);

    bool zero = __atomic_load_n(&inode->tail_is_zero, __ATOMIC_RELAXED);
    if (!zero) {
        zero = is_zero(bytes + from, PAGE_SIZE - from) &&
               (from == len || !memcmp(bytes + len, "\0\0\0\0\0\0\0", from - len));
        __atomic_store_n(&inode->tail_is_zero, zero, __ATOMIC_RELAXED);
    }
    return zero;
}

/* Of @n pages from @index, which is below the size: how many lie in memory for good in consecutive
 * frames that can be mapped as they are. */
static u32 direct_run(struct inode *inode, u64 index, u32 n, paddr_t *pa)
{
    u64 len, at = index << PAGE_SHIFT;
    const u8 *bytes = inode->ops->direct ? inode->ops->direct(inode, at, &len) : NULL;

    if (!bytes || !IS_ALIGNED((uintptr_t)bytes, PAGE_SIZE))
        return 0;
    *pa = virt_to_phys(bytes);
    u64 whole = len >> PAGE_SHIFT, rest = len & (PAGE_SIZE - 1);
    if (whole >= n)
        return n;
    bool tail = rest && at + len == inode->size && is_tail_zero(inode, bytes + len - rest, rest);
    return (u32)whole + tail;
}

u32 inode_cached_run(struct inode *inode, u64 index, u32 n, paddr_t *pa)
{
    if (index >= DIV_UP(inode->size, PAGE_SIZE))
        return 0;
    if (inode->ops->map_page)
        return inode->ops->cached_run ? inode->ops->cached_run(inode, index, n, pa) : 0;
    u32 run = direct_run(inode, index, n, pa);
    if (run)
        return run;
    return inode->pages ? page_cache_find_run(inode->pages, index, n, pa) : 0;
}

int inode_map_page(struct inode *inode, u64 index, bool write, paddr_t *pa)
{
    struct page *page;

    if (inode->ops->map_page)
        return inode->ops->map_page(inode, index, write, pa);
    if (index >= DIV_UP(inode->size, PAGE_SIZE))
        return -EFAULT;
    if (direct_run(inode, index, 1, pa))
        return 0;
    int err = inode_get_page(inode, index, &page);
    if (!err)
        *pa = page_to_phys(page);
    return err;
}

ssize_t inode_read_some(struct inode *inode, struct iov_iter *to, u64 pos, u64 left)
{
    struct page *page;
    u64 len;

    if (inode->ops->direct) {
        const void *bytes = inode->ops->direct(inode, pos, &len);
        if (bytes)
            return (ssize_t)iter_write(to, bytes, min(len, left));
    }
    u64 offset = pos & (PAGE_SIZE - 1);
    len = min(PAGE_SIZE - offset, left);
    ssize_t done = -EAGAIN;
    if (likely(inode->pages != NULL))
        done = page_cache_read(inode->pages, pos >> PAGE_SHIFT, offset, to, len);
    if (likely(done != -EAGAIN))
        return done;
    int err = inode_get_page(inode, pos >> PAGE_SHIFT, &page);
    if (err)
        return err == -EFAULT ? 0 : err;
    done = (ssize_t)iter_write(to, (const u8 *)page_to_virt(page) + offset, len);
    page_put(page);
    return done;
}

ssize_t inode_read(struct inode *inode, struct iov_iter *to, u64 pos)
{
    u64 size = __atomic_load_n(&inode->size, __ATOMIC_RELAXED);
    u64 end, done = 0;

    if (pos >= size || !to->left)
        return 0;
    end = min(to->left, size - pos);
    while (done < end) {
        ssize_t n = inode_read_some(inode, to, pos + done, end - done);
        if (n <= 0)
            return done ? (ssize_t)done : n ? n : -EFAULT;
        done += (u64)n;
    }
    return (ssize_t)done;
}

void inode_set_attr(struct inode *inode, const struct inode_attr *attr)
{
    if (attr->valid & ATTR_MODE)
        inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    if (attr->valid & ATTR_UID)
        inode->uid = attr->uid;
    if (attr->valid & ATTR_GID)
        inode->gid = attr->gid;
    if (attr->valid & ATTR_ATIME)
        inode->atime = attr->atime;
    if (attr->valid & ATTR_MTIME)
        inode->mtime = attr->mtime;
    inode->ctime = current_timespec();
}
