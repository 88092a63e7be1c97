/* tmpfs: extended attributes, a list an inode.  An inode that stands on a layer shows the layer's
 * until the first change, which copies them all. */
#include "abi/errno.h"
#include "fs/tmpfs_priv.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { XATTR_CREATE = 1, XATTR_REPLACE = 2, LIST_MAX = 65536 };

/* The layer's inode whose attributes show, or NULL. */
static struct inode *lower_of(const struct mem_inode *mem)
{
    struct inode *lower = mem->nr_lowers ? mem->lowers[0] : mem->lower;

    return mem->own_xattrs || !lower || !lower->ops->getxattr ? NULL : lower;
}

static struct mem_xattr *find(struct mem_inode *mem, const char *name)
{
    struct mem_xattr *xattr;

    list_for_each(xattr, &mem->xattrs, node)
        if (!strcmp(xattr->name, name))
            return xattr;
    return NULL;
}

static struct mem_xattr *create(const char *name, size_t size)
{
    size_t len = strlen(name) + 1;
    struct mem_xattr *xattr = kmalloc(sizeof(*xattr) + len + size);

    if (!xattr)
        return NULL;
    memcpy(xattr->name, name, len);
    xattr->value = (u8 *)xattr->name + len;
    xattr->size = size;
    return xattr;
}

void mem_free_xattrs(struct inode *inode)
{
    struct mem_xattr *xattr, *next;

    list_for_each_safe(xattr, next, &mem_of(inode)->xattrs, node)
    {
        list_remove(&xattr->node);
        kfree(xattr);
    }
}

static int copy_one(struct mem_inode *mem, struct inode *lower, const char *name)
{
    ssize_t size = lower->ops->getxattr(lower, name, NULL, 0);
    if (size < 0)
        return (int)size;
    struct mem_xattr *xattr = create(name, (size_t)size);
    if (!xattr)
        return -ENOMEM;
    if (size && lower->ops->getxattr(lower, name, xattr->value, (size_t)size) != size) {
        kfree(xattr);
        return -EIO;
    }
    list_add_tail(&mem->xattrs, &xattr->node);
    return 0;
}

/* Make the layer's attributes our own before the first change. */
static int take_over(struct inode *inode)
{
    struct mem_inode *mem = mem_of(inode);
    struct inode *lower = lower_of(mem);

    mem_pin(inode);
    if (!lower) {
        mem->own_xattrs = true;
        return 0;
    }
    ssize_t size = lower->ops->listxattr(lower, NULL, 0);
    if (size < 0)
        return (int)size;
    char *names = size ? kmalloc((size_t)size) : NULL;
    if (size && !names)
        return -ENOMEM;
    int err = 0;
    ssize_t len = size ? lower->ops->listxattr(lower, names, (size_t)size) : 0;
    for (ssize_t at = 0; at < len && !err; at += (ssize_t)strlen(names + at) + 1)
        err = copy_one(mem, lower, names + at);
    kfree(names);
    if (err)
        mem_free_xattrs(inode);
    else
        mem->own_xattrs = true;
    return err;
}

ssize_t mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    struct mem_inode *mem = mem_of(inode);
    struct inode *lower = lower_of(mem);

    if (lower)
        return lower->ops->getxattr(lower, name, buf, size);
    struct mem_xattr *xattr = find(mem, name);
    if (!xattr)
        return -ENODATA;
    if (size && size < xattr->size)
        return -ERANGE;
    if (size)
        memcpy(buf, xattr->value, xattr->size);
    return (ssize_t)xattr->size;
}

int mem_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct mem_inode *mem = mem_of(inode);

    if (str_starts(name, "user.") && !S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        return -EPERM;
    int err = take_over(inode);
    if (err)
        return err;
    struct mem_xattr *old = find(mem, name);
    if (old && flags & XATTR_CREATE)
        return -EEXIST;
    if (!old && flags & XATTR_REPLACE)
        return -ENODATA;
    struct mem_xattr *xattr = create(name, size);
    if (!xattr)
        return -ENOMEM;
    memcpy(xattr->value, value, size);
    list_add_tail(&mem->xattrs, &xattr->node);
    if (old) {
        list_remove(&old->node);
        kfree(old);
    }
    inode_touch(inode, false);
    return 0;
}

ssize_t mem_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct mem_inode *mem = mem_of(inode);
    struct inode *lower = lower_of(mem);
    struct mem_xattr *xattr;
    size_t done = 0;

    if (lower)
        return lower->ops->listxattr(lower, buf, size);
    list_for_each(xattr, &mem->xattrs, node) {
        size_t len = strlen(xattr->name) + 1;
        if (size && len > size - done)
            return -ERANGE;
        if (size)
            memcpy(buf + done, xattr->name, len);
        done += len;
    }
    return (ssize_t)done;
}

int mem_removexattr(struct inode *inode, const char *name)
{
    int err = take_over(inode);
    if (err)
        return err;
    struct mem_xattr *xattr = find(mem_of(inode), name);
    if (!xattr)
        return -ENODATA;
    list_remove(&xattr->node);
    kfree(xattr);
    inode_touch(inode, false);
    return 0;
}
