/* Inodes and super blocks: what a file system fills in.  Names are in vfs/dentry.h, mounts in
 * vfs/mount.h, paths in vfs/path.h.
 * Lock order: inode->lock (a parent's before a child's) before mm->lock, because a write faults in
 * the program's pages under it; so vm_backing_ops.page must not take it. */
#pragma once

#include "abi/stat.h"
#include "arch/atomic.h"
#include "core/time.h"
#include "sched/wait.h"
#include "vfs/file.h"

struct super_block;
struct page;
struct page_cache;
struct file_locks;
struct mount;
struct dentry;

/** A place: a name in a mounted file system; owns a reference to the dentry, where it says so. */
struct path {
    struct mount *mount;
    struct dentry *dentry;
};

/* Fields: [I], [A], [M] under .lock. */
struct inode {
    ref_t refs;                                       /* [A] */
    u32 mode;                                         /* [M] S_IF* and permissions */
    u32 uid, gid;                                     /* [M] */
    u32 nlink;                                        /* [M] */
    u64 ino;                                          /* [I] */
    u64 size;                                         /* [M] bytes; read without the lock */
    u64 blocks;                                       /* [M] of 512 bytes */
    u64 rdev;                                         /* [I] for device nodes */
    struct linux_timespec atime, mtime, ctime, btime; /* [M] */
    struct super_block *sb;                           /* [I] */
    const struct inode_ops *ops;                      /* [I] */
    const struct file_ops *fops;                      /* [I] given to files opened on it */
    struct page_cache *pages;                         /* [I] regular files; NULL else */
    struct mutex lock;                                /* a parent's before a child's */
    void *data;                                       /* [I] the file system's own */
    struct list_head watches;                         /* inotify, under its own lock */
    struct file_locks *locks;                         /* [A] vfs/lock.c's own; made on first use */
    struct inode *hash_next;                          /* inode_find()'s, under its lock */
    u32 flags;                                        /* [M] INODE_* */
    s32 writers;                                      /* [A] vfs/busy.h */
    bool tail_is_zero;                                /* [A] .direct only: found so once */
};

enum inode_flags {
    INODE_HASHED = 1,
    INODE_LINKABLE = 2, /* may get a first name: O_TMPFILE */
};

struct inode_attr {
    u32 valid; /* ATTR_* */
    u32 mode, uid, gid;
    u64 size;
    struct linux_timespec atime, mtime;
};
enum {
    ATTR_MODE = 1,
    ATTR_UID = 2,
    ATTR_GID = 4,
    ATTR_SIZE = 8,
    ATTR_ATIME = 16,
    ATTR_MTIME = 32,
    ATTR_TIMES_GIVEN = 64, /* not now: for the owner only */
};

/** Operations on a directory (@dir is locked by the caller) or an inode. NULL answers as in
 * brackets. */
struct inode_ops {
    /** Find @name in @dir: 0 with a new reference in *@out, or -ENOENT (cached as negative).
     * [ENOTDIR] */
    int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **out);
    /** Make a regular file, directory, node, fifo or socket, by @mode. [EROFS] */
    int (*create)(struct inode *dir, const char *name, size_t len, u32 mode, u64 rdev,
                  struct inode **out);
    int (*symlink)(struct inode *dir, const char *name, size_t len, const char *target,
                   struct inode **out);                                                /* [EROFS] */
    int (*link)(struct inode *dir, const char *name, size_t len, struct inode *inode); /* [EROFS] */
    int (*unlink)(struct inode *dir, const char *name, size_t len, struct inode *inode);
    int (*rmdir)(struct inode *dir, const char *name, size_t len, struct inode *inode);
    /** Both directories locked; RENAME_* in @flags. */
    int (*rename)(struct inode *old_dir, const char *old_name, size_t old_len, struct inode *inode,
                  struct inode *new_dir, const char *new_name, size_t new_len,
                  struct inode *replaced, u32 flags);
    /** The target, into @buf of @size, without a NUL; its length. [EINVAL] */
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size);
    /** A magic link (/proc/self/fd/3): the place itself, with references. NULL: use readlink. */
    int (*follow)(struct inode *inode, struct path *out);
    int (*setattr)(struct inode *inode, const struct inode_attr *attr); /* [EROFS] */
    /** Bring size and times up to date before stat reads the fields. [nothing] */
    int (*getattr)(struct inode *inode);
    /** Called when a file is opened on it; may replace file->ops, ->data, ->waitq. [nothing] */
    int (*open)(struct inode *inode, struct file *file);
    ssize_t (*getxattr)(struct inode *inode, const char *name, void *buf,
                        size_t size); /* [ENODATA] */
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size,
                    int flags);                                        /* [EOPNOTSUPP] */
    ssize_t (*listxattr)(struct inode *inode, char *buf, size_t size); /* [0] */
    int (*removexattr)(struct inode *inode, const char *name);         /* [EOPNOTSUPP] */
    /** Names but "." and ".." of directory @dir, which is locked, from *@pos (READDIR_FIRST: the
     * first) on, until the sink is full; *@pos follows. For generic_dir_file_ops. [ENOTDIR] */
    int (*iterate)(struct inode *dir, u64 *pos, struct dir_sink *sink);
    /** A file without a name (O_TMPFILE). [EOPNOTSUPP] */
    int (*tmpfile)(struct inode *dir, u32 mode, struct inode **out);
    /**
     * Bytes of a regular file that lie in memory for good: the address of the one at @offset (which
     * is below the size), and in *@len how many follow it there. NULL: use the page cache. No
     * locks. [NULL]
     */
    const void *(*direct)(struct inode *inode, u64 offset, u64 *len);
    /** Fill @nr consecutive pages from @index on; bytes past the size are cleared. Sleeps. [EIO] */
    int (*readpages)(struct inode *inode, u64 index, struct page **pages, u32 nr);
    /** As inode_get_page(), for who reads ahead and locks by himself. [by .readpages] */
    int (*get_page)(struct inode *inode, u64 index, struct page **out);
    /** As vm_backing_ops.page; inode->lock must not be taken. [.direct, then .readpages] */
    int (*map_page)(struct inode *inode, u64 index, bool write, paddr_t *pa);
    /** As inode_cached_run(), for inodes with .map_page. [0] */
    u32 (*cached_run)(struct inode *inode, u64 index, u32 n, paddr_t *pa);
    /** The inode of a read-only layer that has exactly the bytes of this regular file; borrowed.
     * NULL: there is none, or the file was changed. [NULL] */
    struct inode *(*origin)(struct inode *inode);
    /** Names are not cached: they appear and vanish by themselves (/proc). */
    bool uncached;
};

struct super_block {
    const struct super_ops *ops; /* [I] */
    const char *type;            /* [I] "tmpfs"; static */
    u64 dev;                     /* [I] st_dev */
    u64 magic;                   /* [I] f_type of statfs */
    u32 block_size;              /* [I] bytes */
    u64 next_ino;                /* [A] for file systems that number as they go */
    u32 inode_extra;             /* [I] bytes behind each struct inode, where .data points */
    bool readonly;               /* [I] */
    bool ownerless;              /* [I] whoever asks is taken for the owner (proc, sysfs) */
    u32 error;                   /* [A] errseq: what write-back failed with; for syncfs */
    struct dentry *root;         /* [I] owns */
    void *data;                  /* [I] the file system's own */
};
struct super_ops {
    /** The last reference to @inode is gone: free the file system's part. */
    void (*evict)(struct inode *inode);
    /** Fill blocks, free blocks, files, free files of statfs; struct statfs64 is in abi/stat.h. */
    int (*statfs)(struct super_block *sb, struct statfs64 *out);
    int (*sync)(struct super_block *sb);
    /** Write everything and leave the disk clean; whoever still has files on it gets errors. */
    void (*unmount)(struct super_block *sb);
    /** Nobody can see it any more, though it stays: let go of what is in it. [none is needed] */
    void (*empty)(struct super_block *sb);
    /** After .unmount and the last inode: free .data. */
    void (*free)(struct super_block *sb);
};

/** A fresh inode with one reference, times set to now, nlink 1 and the next number, or NULL.
 * .ops, .fops, .pages and .data are the caller's to set. */
struct inode *inode_create(struct super_block *sb, u32 mode);
/**
 * Give a fresh inode to who makes it: user and group for files of the running process, or the group
 * of @dir where that is a setgid directory, which a new directory then becomes too. Source:
 * inode(7), setgid bit.
 */
void inode_init_owner(struct inode *inode, const struct inode *dir);
static inline void inode_get(struct inode *inode)
{
    ref_get(&inode->refs);
}
/** Drop a reference; the last one evicts. NULL is ignored. */
void inode_put(struct inode *inode);
/** The live inode of @sb that was added under @ino, with a reference, or NULL. */
struct inode *inode_find(struct super_block *sb, u64 ino);
/**
 * Let inode_find() find it by its .ino. Returns @inode, or the one that was there first with a
 * reference (then @inode's own is dropped).
 */
struct inode *inode_add(struct inode *inode);
/** A new page cache for a regular file in .pages; evict frees it with inode_free_pages(). 0,
 * -ENOMEM. */
int inode_alloc_pages(struct inode *inode, bool reclaimable);
void inode_free_pages(struct inode *inode);
/** vm_backing_ops.page for any regular file: by inode_ops.map_page, else .direct and .readpages. */
int inode_map_page(struct inode *inode, u64 index, bool write, paddr_t *pa);
/** Unmap @n pages from @index wherever a program has them mapped: the file no longer has them, or
 * has others. inode->lock may be held, mm->lock not. */
void inode_forget_mapped(struct inode *inode, u64 index, u64 n);
/** Let the next write to these pages through a shared mapping be seen again: .map_page is asked.
 * mm->lock not held. */
void inode_clean_mapped(struct inode *inode, u64 index, u64 n);
/** Has the current program a shared mapping of it that is writable, or may become so? */
bool inode_is_mapped_writable(struct inode *inode);
/** vm_backing_ops.cached for any regular file. */
u32 inode_cached_run(struct inode *inode, u64 index, u32 n, paddr_t *pa);
/** The page at @index of an inode with .readpages, read if need be. 0 and *@out with a reference.
 */
int inode_get_page(struct inode *inode, u64 index, struct page **out);
/** Set mtime and ctime, or ctime alone, to now. */
void inode_touch(struct inode *inode, bool mtime);
/** Take mode, owner and times from @attr as its .valid says, and set ctime to now; the size is the
 * file system's to change. inode->lock held. */
void inode_set_attr(struct inode *inode, const struct inode_attr *attr);
static inline struct linux_timespec current_timespec(void)
{
    return ns_to_timespec(time_real_ns());
}

/** Positions below are those of "." and "..". */
enum { READDIR_FIRST = 2 };

/** Where readdir puts names; returns false where the caller's buffer is full (then stop). */
struct dir_sink {
    bool (*add)(struct dir_sink *sink, const char *name, size_t len, u64 ino, u64 next_pos,
                u8 dt_type);
};
