/* Directories: reading them, the working directory, and making and removing names. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sys/fs.h"
#include "syscalls.h"
#include "vfs/dentry.h"
#include "vfs/fd.h"
#include "vfs/inode.h"
#include "vfs/permission.h"

enum { ENTRY_MAX = 24 + LINUX_NAME_MAX + 9 };

/* Writes entries into the program's buffer, in the new or the old form. */
struct user_sink {
    struct dir_sink sink;
    uaddr_t buf;
    size_t size, done;
    bool old;
    int err;
};

static bool add_entry(struct dir_sink *sink, const char *name, size_t len, u64 ino, u64 next_pos,
                      u8 dt_type)
{
    struct user_sink *out = container_of(sink, struct user_sink, sink);
    char raw[ENTRY_MAX];
    struct linux_dirent64 *entry = (struct linux_dirent64 *)(void *)raw;
    size_t start = out->old ? LINUX_DIRENT64_NAME - 1 : LINUX_DIRENT64_NAME;
    size_t total = ALIGN_UP(start + len + (out->old ? 2 : 1), (size_t)8);

    if (len > LINUX_NAME_MAX || total > out->size - out->done) {
        out->err = out->done ? 0 : -EINVAL;
        return false;
    }
    memset(raw + total - 16, 0, 16); /* what follows the name; the rest is written below */
    entry->d_ino = ino;
    entry->d_off = (s64)next_pos;
    entry->d_reclen = (u16)total;
    if (out->old)
        raw[total - 1] = (char)dt_type;
    else
        entry->d_type = dt_type;
    memcpy(raw + start, name, len);
    if (copy_to_user(out->buf + out->done, raw, total)) {
        out->err = out->done ? 0 : -EFAULT;
        return false;
    }
    out->done += total;
    return true;
}

static long getdents(int fd, uaddr_t buf, unsigned count, bool old)
{
    struct user_sink out = {.sink = {add_entry}, .buf = buf, .size = count, .old = old};
    struct fd_ref ref = fd_borrow(fd);

    if (!ref.file)
        return -EBADF;
    int err = file_readdir(ref.file, &out.sink);
    fd_return(ref);
    if (out.done)
        return (long)out.done;
    return err ? err : out.err;
}

long sys_getdents64(int fd, uaddr_t buf, unsigned count)
{
    return getdents(fd, buf, count, false);
}

long sys_getdents(int fd, uaddr_t buf, unsigned count)
{
    return getdents(fd, buf, count, true);
}

/* The working directory's path into @text: its length with the NUL. */
static long cwd_name(char *text, size_t room)
{
    struct fs_context *fs = current_fs();

    names_read_lock();
    const struct dentry *dentry = fs->cwd.dentry;
    bool gone = !(dentry->flags & DENTRY_HASHED) && dentry->parent != dentry && dentry->inode &&
                !dentry->inode->nlink;
    names_read_unlock();
    if (gone)
        return -ENOENT;
    ssize_t len = path_name(&fs->cwd, text, room);
    return len < 0 ? len : len + 1;
}

long sys_getcwd(uaddr_t buf, u64 size)
{
    char *text = kmalloc(LINUX_PATH_MAX);
    if (!text)
        return -ENOMEM;
    long len = cwd_name(text, LINUX_PATH_MAX);
    if (len > 0 && (u64)len > size)
        len = -ERANGE;
    if (len > 0 && copy_to_user(buf, text, (size_t)len))
        len = -EFAULT;
    kfree(text);
    return len;
}

long sys_chdir(uaddr_t path)
{
    struct path at;

    int err = user_path(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &at);
    if (err)
        return err;
    err = inode_permission(at.dentry->inode, X_OK);
    if (!err)
        fs_set_cwd(current_fs(), &at);
    path_put(&at);
    return err;
}

long sys_fchdir(int fd)
{
    struct path at;

    int err = fd_path(fd, true, &at);
    if (err)
        return err;
    if (!at.dentry)
        return -ENOTDIR;
    err = S_ISDIR(at.dentry->inode->mode) ? inode_permission(at.dentry->inode, X_OK) : -ENOTDIR;
    if (!err)
        fs_set_cwd(current_fs(), &at);
    path_put(&at);
    return err;
}

long sys_chroot(uaddr_t path)
{
    struct path at;

    int err = user_path(AT_FDCWD, path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &at);
    if (err)
        return err;
    fs_set_root(current_fs(), &at);
    path_put(&at);
    return 0;
}

long sys_umask(unsigned mask)
{
    return __atomic_exchange_n(&current_fs()->umask, mask & 0777, __ATOMIC_RELAXED);
}

static long make_node(int dirfd, uaddr_t path, u32 mode, u64 rdev)
{
    struct name_buf name;

    int err = name_from_user(&name, path);
    if (err)
        return err;
    u32 kept = S_ISDIR(mode) ? 01777 : 07777;
    err = vfs_mknod(dirfd, &name, (mode & S_IFMT) | (mode & kept & ~current_fs()->umask), rdev);
    name_free(&name);
    return err;
}

long sys_mkdirat(int dirfd, uaddr_t path, unsigned mode)
{
    return make_node(dirfd, path, S_IFDIR | (mode & 07777), 0);
}

long sys_mkdir(uaddr_t path, unsigned mode)
{
    return sys_mkdirat(AT_FDCWD, path, mode);
}

long sys_mknodat(int dirfd, uaddr_t path, unsigned mode, unsigned dev)
{
    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return make_node(dirfd, path, mode, S_ISCHR(mode) || S_ISBLK(mode) ? dev : 0);
}

long sys_mknod(uaddr_t path, unsigned mode, unsigned dev)
{
    return sys_mknodat(AT_FDCWD, path, mode, dev);
}

static long remove_name(int dirfd, uaddr_t path, bool directory)
{
    struct name_buf name;

    int err = name_from_user(&name, path);
    if (err)
        return err;
    err = vfs_unlink(dirfd, &name, directory);
    name_free(&name);
    return err;
}

long sys_unlink(uaddr_t path)
{
    return remove_name(AT_FDCWD, path, false);
}

long sys_rmdir(uaddr_t path)
{
    return remove_name(AT_FDCWD, path, true);
}

long sys_unlinkat(int dirfd, uaddr_t path, int flags)
{
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return remove_name(dirfd, path, flags & AT_REMOVEDIR);
}

long sys_renameat2(int olddirfd, uaddr_t oldpath, int newdirfd, uaddr_t newpath, unsigned flags)
{
    struct name_buf old, new;

    int err = name_from_user(&old, oldpath);
    if (err)
        return err;
    err = name_from_user(&new, newpath);
    if (!err) {
        err = vfs_rename(olddirfd, &old, newdirfd, &new, flags);
        name_free(&new);
    }
    name_free(&old);
    return err;
}

long sys_renameat(int olddirfd, uaddr_t oldpath, int newdirfd, uaddr_t newpath)
{
    return sys_renameat2(olddirfd, oldpath, newdirfd, newpath, 0);
}

long sys_rename(uaddr_t oldpath, uaddr_t newpath)
{
    return sys_renameat2(AT_FDCWD, oldpath, AT_FDCWD, newpath, 0);
}

long sys_linkat(int olddirfd, uaddr_t oldpath, int newdirfd, uaddr_t newpath, int flags)
{
    struct name_buf name;
    struct path from;

    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    u32 lookup = (flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0u) |
                 (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0u);
    int err = user_path(olddirfd, oldpath, lookup, &from);
    if (err)
        return err;
    err = name_from_user(&name, newpath);
    if (!err) {
        err = vfs_link(&from, newdirfd, &name);
        name_free(&name);
    }
    path_put(&from);
    return err;
}

long sys_link(uaddr_t oldpath, uaddr_t newpath)
{
    return sys_linkat(AT_FDCWD, oldpath, AT_FDCWD, newpath, 0);
}

long sys_symlinkat(uaddr_t target, int dirfd, uaddr_t path)
{
    struct name_buf text, name;

    int err = name_from_user(&text, target);
    if (err)
        return err;
    err = name_from_user(&name, path);
    if (!err) {
        err = vfs_symlink(dirfd, &name, text.text);
        name_free(&name);
    }
    name_free(&text);
    return err;
}

long sys_symlink(uaddr_t target, uaddr_t path)
{
    return sys_symlinkat(target, AT_FDCWD, path);
}
