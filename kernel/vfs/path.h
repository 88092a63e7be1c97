/* Paths: from text to a place in the tree, and back. */
#pragma once

#include "abi/fcntl.h"
#include "arch/atomic.h"
#include "mm/mm.h"
#include "vfs/inode.h"

struct process;

/* What relative paths start from.  A process has one; CLONE_FS shares it.  [N] name lock. */
struct fs_context {
    ref_t refs;
    u32 umask;        /* [A] */
    struct path root; /* [N] owns */
    struct path cwd;  /* [N] owns */
};

/** The boot context's, and what the first process starts with. */
extern struct fs_context init_fs_context;

/** A copy with references of its own, or NULL. */
struct fs_context *fs_context_clone(struct fs_context *from);
void fs_context_get(struct fs_context *fs);
void fs_context_put(struct fs_context *fs);
/** Of any process with a new reference; NULL: it has ended. */
struct fs_context *fs_context_of(struct process *process);
/** Of the running thread's process; init_fs_context for kernel threads. */
struct fs_context *current_fs(void);

/** Take or drop the references of a place. */
void path_get(const struct path *path);
void path_put(const struct path *path);

enum lookup_flags {
    LOOKUP_FOLLOW = 1,       /* follow a symlink in the last component */
    LOOKUP_DIRECTORY = 2,    /* the result must be a directory */
    LOOKUP_EMPTY = 4,        /* "" is the starting place itself (AT_EMPTY_PATH) */
    LOOKUP_NO_XDEV = 8,      /* -EXDEV instead of entering another mount */
    LOOKUP_NO_SYMLINKS = 16, /* -ELOOP at any symlink */
    LOOKUP_NO_MAGIC = 32,    /* -ELOOP at a magic link */
    LOOKUP_BENEATH = 64,     /* -EXDEV on leaving the starting directory */
    LOOKUP_IN_ROOT = 128,    /* the starting directory is "/" */
    LOOKUP_PARENT = 256,     /* stop at the last component's directory: struct walk_last */
    LOOKUP_QUIET = 512,      /* a miss is not reported by ingot.missing=1 */
};

/* A path in kernel memory, readable 8 bytes past its NUL (names are hashed a word at a time). */
struct name_buf {
    const char *text;
    char *heap; /* owns; NULL for a short one */
    u32 len;
    char inline_text[236];
};
/** Copy a path in. 0, -EFAULT, -ENAMETOOLONG (PATH_MAX with the NUL) or -ENOMEM. */
int name_from_user(struct name_buf *name, uaddr_t path);
/** The same from kernel memory, which need not be readable past its NUL. */
int name_from_kernel(struct name_buf *name, const char *path);
/** Free what name_from_user() or name_from_kernel() made. */
void name_free(struct name_buf *name);

/**
 * Resolve a path. @dirfd: AT_FDCWD or an open directory; ignored for an absolute path.
 * 0 and *@out with references, or -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG, -EBADF, -ENOMEM, -EIO,
 * -EXDEV (resolve flags).
 */
int path_lookup(int dirfd, const struct name_buf *name, u32 flags, struct path *out);

/* The last component that LOOKUP_PARENT stopped at. */
struct path_last {
    char *heap;       /* owns; the text, if it came out of a symlink */
    const char *name; /* not NUL-terminated; readable to a multiple of 8 bytes */
    u32 len;          /* 0: the path was "/" or ended in "." or ".." (see .dots) */
    u32 hash;
    u8 dots;       /* 1: ".", 2: ".." */
    bool trailing; /* a slash follows: only a directory will do */
};
/** The directory that holds the last component. Call path_last_free() after success. */
int path_lookup_parent(int dirfd, const struct name_buf *name, u32 flags, struct path *dir,
                       struct path_last *last);
/** What path_lookup_parent() may have kept of a symlink's text. */
void path_last_free(struct path_last *last);

/** As path_lookup(AT_FDCWD), for kernel text. */
int path_lookup_kernel(const char *text, u32 flags, struct path *out);

/**
 * Absolute path of a place, as seen from the process's root, with a NUL; " (deleted)" is appended
 * to a name that is gone. Its length, or -ENAMETOOLONG. Any context; does not sleep.
 */
ssize_t path_name(const struct path *path, char *buf, size_t size);
/** As path_name() of an open file; anonymous ones as /proc/self/fd shows them ("pipe:[7]"). */
ssize_t file_path_name(struct file *file, char *buf, size_t size);

/** Change the working or root directory (references are taken). */
void fs_set_cwd(struct fs_context *fs, const struct path *path);
void fs_set_root(struct fs_context *fs, const struct path *path);

/** Open a file from the kernel (boot context or a thread's). O_* flags; *@out with a reference. */
int vfs_open(const char *path, u32 flags, u32 mode, struct file **out);
/** As openat(2), without a descriptor. @resolve: LOOKUP_* of openat2. */
int vfs_openat(int dirfd, const struct name_buf *name, u32 flags, u32 mode, u32 resolve,
               struct file **out);
/** The same of what servers do with each request: read a file whose path is known.  1: it is
 * something else, nothing has happened. */
int vfs_open_known(const struct name_buf *name, u32 flags, struct file **out);
/** Open a place that was looked up already. */
int vfs_open_path(const struct path *path, u32 flags, struct file **out);

/* The calls that change directories; each takes names as path_lookup() does and answers with the
 * errno of its system call. */
int vfs_mknod(int dirfd, const struct name_buf *name, u32 mode, u64 rdev);
/** The same for kernel text; the new inode, referenced, in *@out unless NULL (bind of a socket). */
int vfs_create_node(const char *path, u32 mode, u64 rdev, struct inode **out);
int vfs_mkdir(const char *path, u32 mode);
int vfs_symlink(int dirfd, const struct name_buf *name, const char *target);
int vfs_link(const struct path *from, int dirfd, const struct name_buf *name);
int vfs_unlink(int dirfd, const struct name_buf *name, bool directory);
int vfs_rename(int old_dirfd, const struct name_buf *old_name, int new_dirfd,
               const struct name_buf *new_name, u32 flags);
/** Change attributes; fills ctime. -EROFS on a read-only mount; -EPERM, -EACCES: not theirs. */
int vfs_setattr(const struct path *path, const struct inode_attr *attr);
/** The same for an inode without a name; nobody is told. */
int vfs_setattr_inode(struct inode *inode, const struct inode_attr *attr);
/** Cut or extend; who knows the name tells inotify. */
int vfs_truncate(struct inode *inode, u64 size);
/** The link's text without a NUL; bytes, -EINVAL (no link). */
ssize_t vfs_readlink(const struct path *path, char *buf, size_t size);
/**
 * May the process do @mask (R_OK, W_OK, X_OK) here, by its real ids or by those that are in force?
 * 0, -EACCES or -EROFS.
 */
int vfs_access(const struct path *path, int mask, bool effective);

/** What becomes of paths that are looked for and not found (ingot.missing=). */
enum missing_mode {
    MISSING_OFF = 0,
    MISSING_PRINT = 1,  /* a line "missing: PATH" each, once */
    MISSING_AT_END = 2, /* the last of them, if the program fails */
};

/** Set the mode, an enum missing_mode; anything else is off.  Once, while the kernel starts. */
void missing_begin(u64 mode);

extern u8 vfs_trace_missing; /* [I] enum missing_mode; set by missing_begin() */
