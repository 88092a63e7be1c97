/* Open files: what a descriptor refers to.  Operations are a const table a kind of file. */
#pragma once

#include "abi/poll.h"
#include "arch/atomic.h"
#include "mm/mm.h"
#include "mm/uaccess.h"
#include "sched/wait.h"

struct file;
struct inode;
struct dentry;
struct dir_sink;

/** Operations; a NULL one answers with the errno in brackets. Thread context; all may sleep. */
struct file_ops {
    /** Read into @to at *@pos and advance *@pos; @pos is NULL for streams. [EINVAL] */
    ssize_t (*read)(struct file *file, struct iov_iter *to, s64 *pos);
    /** Write from @from at *@pos (the end, with O_APPEND) and advance *@pos. [EINVAL] */
    ssize_t (*write)(struct file *file, struct iov_iter *from, s64 *pos);
    /** What would not block now, as POLL* bits. Must not sleep. [always readable and writable] */
    u32 (*ready)(struct file *file);
    /** lseek. [generic for regular files, ESPIPE else] */
    s64 (*seek)(struct file *file, s64 offset, int whence);
    /** @arg is the program's. [ENOTTY] */
    int (*ioctl)(struct file *file, unsigned cmd, uaddr_t arg);
    /** Names but "." and ".." from file.pos (READDIR_FIRST: the first) on, until the sink is full;
     * the inode is locked. [ENOTDIR] */
    int (*readdir)(struct file *file, struct dir_sink *sink);
    /** Write to stable storage; @data_only as fdatasync. [EINVAL] */
    int (*sync)(struct file *file, bool data_only);
    int (*truncate)(struct file *file, u64 size);                      /* [EINVAL] */
    int (*allocate)(struct file *file, int mode, u64 offset, u64 len); /* [EOPNOTSUPP] */
    /** May the file be mapped so? 0, or 1 for anonymous memory in its place. [ENODEV] */
    int (*mmap)(struct file *file, u32 prot, u32 flags);
    /** fcntl commands of this kind of file alone (F_SETPIPE_SZ, F_ADD_SEALS). [EINVAL] */
    s64 (*fcntl)(struct file *file, int cmd, u64 arg);
    /** A line or two for /proc/self/fdinfo; returns bytes. [nothing] */
    size_t (*fdinfo)(struct file *file, char *buf, size_t size);
    /** A descriptor was closed (others may remain). [nothing] */
    void (*flush)(struct file *file);
    /** The last reference is gone. [nothing] */
    void (*release)(struct file *file);
};

/* Fields: [I] fixed at open, [A] atomic, [P] under .pos_lock. */
struct file {
    ref_t refs;                 /* [A] */
    u32 flags;                  /* [A] O_* as F_GETFL reports them */
    u32 mode;                   /* [I] FILE_READ | FILE_WRITE | ... */
    const struct file_ops *ops; /* [I] */
    struct inode *inode;        /* [I] owns; NULL for anonymous files without one */
    struct dentry *dentry;      /* [I] owns; NULL likewise */
    struct mount *mount;        /* [I] NULL likewise */
    struct waitq *waitq;        /* [I] woken when ready() may have changed; NULL: never changes */
    struct mutex pos_lock;      /* the first lock of a read, write or lseek */
    s64 pos;                    /* [P] */
    void *data;                 /* the kind's own */
    const char *anon_name;      /* [I] "pipe", "[eventfd]" ... for /proc/self/fd; static */
    struct vm_backing backing;  /* see mm.h */
    struct list_head watchers;  /* epoll items on this file; under epoll's own lock */
    u32 error_seen;             /* [P] errseq of the inode's page cache; for fsync */
    u32 fs_error_seen;          /* [P] of its file system; for syncfs */
};

enum file_mode {
    FILE_READ = 1,
    FILE_WRITE = 2,
    FILE_PATH = 4,
    FILE_SEEK = 8,
    FILE_WRITER = 32, /* counted in inode.writers, as one that writes */
    FILE_RUNS = 64,   /* or as one that is run */
};

/**
 * A file with no name: pipe, eventfd, epoll, ... with one reference.
 * @anon_name as /proc/self/fd shows it, static; @flags O_*. NULL: no memory.
 */
struct file *file_create_anon(const struct file_ops *ops, void *data, const char *anon_name,
                              u32 flags);
/** One more reference. */
static inline void file_get(struct file *file)
{
    ref_get(&file->refs);
}
/** Drop a reference; the last one releases. May sleep. */
void file_put(struct file *file);
ssize_t file_read(struct file *file, struct iov_iter *to, s64 *pos);
ssize_t file_write(struct file *file, struct iov_iter *from, s64 *pos);
/** Read from the kernel: up to @n bytes at @pos into @buf. Bytes, or a negative errno. */
ssize_t file_read_kernel(struct file *file, void *buf, size_t n, s64 pos);
u32 file_ready(struct file *file);
/** All names from file.pos on, "." and ".." first. 0, -ENOTDIR, -ENOENT (removed), or an error. */
int file_readdir(struct file *file, struct dir_sink *sink);
/** Called before a file with epoll items on it goes away; set by epoll. */
extern void (*file_watchers_gone)(struct file *file);

/** A file on @inode (a reference is taken to each of @inode, @dentry); the caller fills the rest.
 */
struct file *file_create(struct inode *inode, struct dentry *dentry, struct mount *mount,
                         u32 flags);
/** The same, which takes over the caller's references; not where it is NULL. */
struct file *file_create_with(struct inode *inode, struct dentry *dentry, struct mount *mount,
                              u32 flags);

/** Regular files whose bytes come from the page cache or inode_ops.direct (read-only ones). */
extern const struct file_ops generic_ro_file_ops;
/** Directories of file systems with inode_ops.iterate. */
extern const struct file_ops generic_dir_file_ops;
/** vm_backing of files on such inodes; other kinds set file.backing.ops themselves. */
extern const struct vm_backing_ops generic_backing_ops;
/** The same where inode_ops.map_page learns of every first write, and msync is file_ops.sync. */
extern const struct vm_backing_ops tracked_backing_ops;
/** What file_ops has, for regular files on inodes with a page cache: any of them may be mapped;
 * sync has nothing to do. */
ssize_t generic_file_read(struct file *file, struct iov_iter *to, s64 *pos);
s64 generic_file_seek(struct file *file, s64 offset, int whence);
/** Bytes of a regular file at @pos into @to, stopping at its size. Bytes or a negative errno. */
ssize_t inode_read(struct inode *inode, struct iov_iter *to, u64 pos);
/** One run of bytes that lie together at @pos, which is below the size; at most @left. 0: a fault.
 */
ssize_t inode_read_some(struct inode *inode, struct iov_iter *to, u64 pos, u64 left);
int generic_file_mmap(struct file *file, u32 prot, u32 flags);
int generic_file_sync(struct file *file, bool data_only);
