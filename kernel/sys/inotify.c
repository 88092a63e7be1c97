/* inotify_init, inotify_add_watch, inotify_rm_watch. */
#include "vfs/anon/inotify.h"

#include "abi/errno.h"
#include "abi/eventpoll.h"
#include "syscalls.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/path.h"
#include "vfs/permission.h"

#define IN_KNOWN                                                                                   \
    (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW |       \
     IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)

long sys_inotify_init1(int flags)
{
    if (flags & ~(IN_NONBLOCK_FLAG | IN_CLOEXEC_FLAG))
        return -EINVAL;
    struct file *file = inotify_create((u32)flags & IN_NONBLOCK_FLAG);
    if (!file)
        return -ENOMEM;
    int fd = fd_install(file, 0, flags & IN_CLOEXEC_FLAG);
    if (fd < 0)
        file_put(file);
    return fd;
}

long sys_inotify_init(void)
{
    return sys_inotify_init1(0);
}

/* The inotify file behind @fd: 0, -EBADF, or -EINVAL where it is something else. */
static int borrow_inotify(int fd, struct fd_ref *ref)
{
    *ref = fd_borrow(fd);
    if (!ref->file)
        return -EBADF;
    if (file_is_inotify(ref->file))
        return 0;
    fd_return(*ref);
    return -EINVAL;
}

static int add_by_path(struct file *file, uaddr_t user_path, u32 mask)
{
    u32 flags =
        (mask & IN_DONT_FOLLOW ? 0 : LOOKUP_FOLLOW) | (mask & IN_ONLYDIR ? LOOKUP_DIRECTORY : 0);
    struct name_buf name;
    struct path path;

    int err = name_from_user(&name, user_path);
    if (err)
        return err;
    err = path_lookup(AT_FDCWD, &name, flags, &path);
    name_free(&name);
    if (err)
        return err;
    int wd =
        inode_permission(path.dentry->inode, R_OK) ?: inotify_add(file, path.dentry->inode, mask);
    path_put(&path);
    return wd;
}

long sys_inotify_add_watch(int fd, uaddr_t path, unsigned mask)
{
    struct fd_ref ref;

    if (!(mask & IN_KNOWN) || (mask & ~IN_KNOWN))
        return -EINVAL;
    if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
        return -EINVAL;
    int wd = borrow_inotify(fd, &ref);
    if (wd)
        return wd;
    wd = add_by_path(ref.file, path, mask);
    fd_return(ref);
    return wd;
}

long sys_inotify_rm_watch(int fd, int wd)
{
    struct fd_ref ref;
    int err = borrow_inotify(fd, &ref);

    if (err)
        return err;
    err = inotify_remove(ref.file, wd);
    fd_return(ref);
    return err;
}
