/* Extended attributes: xattr(7).  Each call comes for a path, a path whose link is not followed,
 * and a descriptor; all end in one function for an inode. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/fs.h"
#include "syscalls.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/mount.h"
#include "vfs/permission.h"

enum { NAME_MAX_BYTES = 255, VALUE_MAX = 65536, XATTR_FLAGS = 3 };

/* One call's arguments. */
struct xattr_call {
    long (*run)(struct inode *inode, const struct xattr_call *call);
    uaddr_t name, buf;
    u64 size;
    int flags;
    bool writes;
};

static int import_name(uaddr_t from, char name[NAME_MAX_BYTES + 1])
{
    ssize_t len = strncpy_from_user(name, from, NAME_MAX_BYTES + 1);

    if (len == -ENAMETOOLONG || !len)
        return -ERANGE;
    if (len < 0)
        return (int)len;
    const char *rest = strchr(name, '.');
    if (str_starts(name, "user.") || str_starts(name, "trusted.") || str_starts(name, "security."))
        return rest[1] ? 0 : -EINVAL;
    return -EOPNOTSUPP;
}

/* xattr(7): trusted ones are the administrator's, security's are his to write, and a user's follow
 * the mode, on files and folders only. */
static int may_xattr(const struct inode *inode, const char *name, int mask)
{
    if (!str_starts(name, "user.")) {
        bool open = capable(CAP_SYS_ADMIN) || (mask == R_OK && str_starts(name, "security."));
        return open ? 0 : mask == R_OK ? -ENODATA : -EPERM;
    }
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        return mask == R_OK ? -ENODATA : -EPERM;
    if (S_ISDIR(inode->mode) && inode->mode & S_ISVTX && mask == W_OK && !inode_is_own(inode))
        return -EPERM;
    return inode_permission(inode, mask);
}

static long run_set(struct inode *inode, const struct xattr_call *call)
{
    char name[NAME_MAX_BYTES + 1];
    void *value = NULL;

    if (call->flags & ~XATTR_FLAGS)
        return -EINVAL;
    int err = import_name(call->name, name);
    if (err)
        return err;
    if (call->size > VALUE_MAX)
        return -E2BIG;
    err = may_xattr(inode, name, W_OK);
    if (err)
        return err;
    if (!inode->ops->setxattr)
        return -EOPNOTSUPP;
    if (call->size) {
        value = kmalloc(call->size);
        if (!value)
            return -ENOMEM;
        err = copy_from_user(value, call->buf, call->size);
    }
    if (!err) {
        mutex_lock(&inode->lock);
        err = inode->ops->setxattr(inode, name, value, call->size, call->flags);
        mutex_unlock(&inode->lock);
    }
    kfree(value);
    return err;
}

static long run_remove(struct inode *inode, const struct xattr_call *call)
{
    char name[NAME_MAX_BYTES + 1];

    int err = import_name(call->name, name);
    if (err)
        return err;
    if (!inode->ops->removexattr)
        return -EOPNOTSUPP;
    err = may_xattr(inode, name, W_OK);
    if (err)
        return err;
    mutex_lock(&inode->lock);
    err = inode->ops->removexattr(inode, name);
    mutex_unlock(&inode->lock);
    return err;
}

/* Through a buffer of our own, as the file system fills it under the lock. @name NULL: the list. */
static long read_out(struct inode *inode, const char *name, const struct xattr_call *call)
{
    u64 size = min(call->size, (u64)VALUE_MAX);
    void *buf = size ? kmalloc(size) : NULL;

    if (size && !buf)
        return -ENOMEM;
    mutex_lock(&inode->lock);
    ssize_t n = name ? inode->ops->getxattr(inode, name, buf, size)
                     : inode->ops->listxattr(inode, buf, size);
    mutex_unlock(&inode->lock);
    if (n > 0 && size && copy_to_user(call->buf, buf, (size_t)n))
        n = -EFAULT;
    kfree(buf);
    return n;
}

static long run_get(struct inode *inode, const struct xattr_call *call)
{
    char name[NAME_MAX_BYTES + 1];

    int err = import_name(call->name, name);
    if (!err)
        err = may_xattr(inode, name, R_OK);
    if (err)
        return err;
    return inode->ops->getxattr ? read_out(inode, name, call) : -EOPNOTSUPP;
}

static long run_list(struct inode *inode, const struct xattr_call *call)
{
    return inode->ops->listxattr ? read_out(inode, NULL, call) : 0;
}

static long on_path(uaddr_t path, u32 lookup, struct xattr_call call)
{
    struct path at;

    long result = user_path(AT_FDCWD, path, lookup, &at);
    if (result)
        return result;
    result =
        call.writes && mount_is_readonly(at.mount) ? -EROFS : call.run(at.dentry->inode, &call);
    path_put(&at);
    return result;
}

static long on_fd(int fd, struct xattr_call call)
{
    struct fd_ref ref = fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    long result = -EOPNOTSUPP;
    if (ref.file->inode && ref.file->inode->ops)
        result = call.run(ref.file->inode, &call);
    fd_return(ref);
    return result;
}

#define SET_CALL  ((struct xattr_call){run_set, name, value, size, flags, true})
#define GET_CALL  ((struct xattr_call){run_get, name, value, size, 0, false})
#define LIST_CALL ((struct xattr_call){run_list, 0, list, size, 0, false})
#define DROP_CALL ((struct xattr_call){run_remove, name, 0, 0, 0, true})

long sys_setxattr(uaddr_t path, uaddr_t name, uaddr_t value, u64 size, int flags)
{
    return on_path(path, LOOKUP_FOLLOW, SET_CALL);
}

long sys_lsetxattr(uaddr_t path, uaddr_t name, uaddr_t value, u64 size, int flags)
{
    return on_path(path, 0, SET_CALL);
}

long sys_fsetxattr(int fd, uaddr_t name, uaddr_t value, u64 size, int flags)
{
    return on_fd(fd, SET_CALL);
}

long sys_getxattr(uaddr_t path, uaddr_t name, uaddr_t value, u64 size)
{
    return on_path(path, LOOKUP_FOLLOW, GET_CALL);
}

long sys_lgetxattr(uaddr_t path, uaddr_t name, uaddr_t value, u64 size)
{
    return on_path(path, 0, GET_CALL);
}

long sys_fgetxattr(int fd, uaddr_t name, uaddr_t value, u64 size)
{
    return on_fd(fd, GET_CALL);
}

long sys_listxattr(uaddr_t path, uaddr_t list, u64 size)
{
    return on_path(path, LOOKUP_FOLLOW, LIST_CALL);
}

long sys_llistxattr(uaddr_t path, uaddr_t list, u64 size)
{
    return on_path(path, 0, LIST_CALL);
}

long sys_flistxattr(int fd, uaddr_t list, u64 size)
{
    return on_fd(fd, LIST_CALL);
}

long sys_removexattr(uaddr_t path, uaddr_t name)
{
    return on_path(path, LOOKUP_FOLLOW, DROP_CALL);
}

long sys_lremovexattr(uaddr_t path, uaddr_t name)
{
    return on_path(path, 0, DROP_CALL);
}

long sys_fremovexattr(int fd, uaddr_t name)
{
    return on_fd(fd, DROP_CALL);
}
