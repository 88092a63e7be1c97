/* What the files of the file-system calls share. */
#pragma once

#include "vfs/path.h"

/** Has it a position (regular files, directories, some devices)? */
static inline bool file_is_seekable(const struct file *file)
{
    return file->mode & FILE_SEEK || file->ops->seek;
}

/**
 * Look up the program's @path from @dirfd. @flags: LOOKUP_*; with LOOKUP_EMPTY an empty path means
 * @dirfd itself. 0 and *@out with references, or the error.
 */
int user_path(int dirfd, uaddr_t path, u32 flags, struct path *out);

/**
 * The place behind a descriptor, with references; @out->dentry is NULL for nameless files.
 * 0 or -EBADF (also for O_PATH, unless @raw).
 */
int fd_path(int fd, bool raw, struct path *out);

/** RLIMIT_FSIZE: cut @from to what may be written to @file at @pos. 0, or -EFBIG with SIGXFSZ. */
int rw_limit_size(const struct file *file, struct iov_iter *from, s64 pos);
/** The same of a file that becomes @size bytes long. */
int rw_limit_new_size(const struct inode *inode, u64 size);
