/* Calls on names that are C strings, as tests of vfs make them. */
#pragma once

#include <fcntl.h>

#include "mm/uaccess.h"
#include "vfs/dentry.h"
#include "vfs/inode.h"
#include "vfs/path.h"

static inline int k_open(const char *path, int flags, int mode, struct file **out)
{
    return vfs_open(path, (u32)flags, (u32)mode, out);
}

static inline int k_touch(const char *path)
{
    struct file *file;
    int err = k_open(path, O_CREAT | O_WRONLY, 0644, &file);

    if (!err)
        file_put(file);
    return err;
}

static inline int k_on_name(const char *path,
                            int (*fn)(const struct name_buf *name, const void *arg),
                            const void *arg)
{
    struct name_buf name;
    int err = name_from_kernel(&name, path);

    if (err)
        return err;
    err = fn(&name, arg);
    name_free(&name);
    return err;
}

static inline int do_symlink(const struct name_buf *name, const void *target)
{
    return vfs_symlink(AT_FDCWD, name, target);
}

static inline int do_unlink(const struct name_buf *name, const void *directory)
{
    return vfs_unlink(AT_FDCWD, name, directory != NULL);
}

static inline int k_symlink(const char *target, const char *path)
{
    return k_on_name(path, do_symlink, target);
}

static inline int k_unlink(const char *path)
{
    return k_on_name(path, do_unlink, NULL);
}

static inline int k_rmdir(const char *path)
{
    return k_on_name(path, do_unlink, "");
}

struct rename_args {
    const char *to;
    u32 flags;
};

static inline int do_rename(const struct name_buf *name, const void *arg)
{
    const struct rename_args *args = arg;
    struct name_buf to;
    int err = name_from_kernel(&to, args->to);

    if (err)
        return err;
    err = vfs_rename(AT_FDCWD, name, AT_FDCWD, &to, args->flags);
    name_free(&to);
    return err;
}

static inline int k_rename(const char *from, const char *to, u32 flags)
{
    struct rename_args args = {to, flags};

    return k_on_name(from, do_rename, &args);
}

static inline int do_link(const struct name_buf *name, const void *from)
{
    struct path path;
    int err = path_lookup_kernel(from, 0, &path);

    if (err)
        return err;
    err = vfs_link(&path, AT_FDCWD, name);
    path_put(&path);
    return err;
}

static inline int k_link(const char *from, const char *to)
{
    return k_on_name(to, do_link, from);
}

static inline int k_find(const char *path, u32 flags)
{
    struct path at;
    int err = path_lookup_kernel(path, flags, &at);

    if (!err)
        path_put(&at);
    return err;
}

static inline const char *k_name_of(const char *path)
{
    static char text[4200];
    struct path at;

    if (path_lookup_kernel(path, LOOKUP_FOLLOW, &at))
        return NULL;
    ssize_t len = path_name(&at, text, sizeof(text));
    path_put(&at);
    return len < 0 ? NULL : text;
}

static inline ssize_t k_write(struct file *file, const void *buf, size_t n, s64 pos)
{
    struct iov_iter from;
    struct iovec iov;

    iter_init_kernel(&from, &iov, (void *)(uintptr_t)buf, n);
    return file_write(file, &from, &pos);
}
