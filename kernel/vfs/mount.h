/* Mounted file systems: those of the start, and those that programs add with mount(2).  All
 * processes see the same.  A struct mount stays for the life of the VM, so nobody counts references
 * to it: one that is unmounted is no longer found, and what is open there goes on. */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct dentry;
struct path;
struct super_block;

enum mount_flags {
    MOUNT_READONLY = 1,
    MOUNT_NOEXEC = 2, /* execve and executable mappings are refused */
    MOUNT_NODEV = 4,  /* device nodes cannot be opened */
    MOUNT_NOSUID = 8, /* set-user-ID and set-group-ID mean nothing */
};

/* Fields: [I], [A], [N] under the name lock, [C] of who changes mounts, one at a time. */
struct mount {
    struct super_block *sb;    /* [I] */
    struct dentry *root;       /* [I] of .sb, or below its root; owns */
    struct mount *parent;      /* [N] NULL for the root file system, and when unmounted */
    struct dentry *mountpoint; /* [N] in .parent; owns; NULL likewise */
    struct mount *beside;      /* [N] the next one on the same dentry, in another mount */
    const char *source;        /* [I] first word of /proc/mounts; stays */
    u32 id;                    /* [I] */
    u32 flags;                 /* [A] MOUNT_* */
    bool by_program;           /* [I] not of the start: can be unmounted */
    bool begun_readonly;       /* [I] of the start, and never to be written to */
    bool gone;                 /* [A] unmounted */
    bool emptied;              /* [C] and what was in it is, too */
    struct mount *copy;        /* [C] while a tree of mounts is copied */
    struct list_head node;     /* in mount order; only ever added to */
};

static inline bool mount_has(const struct mount *mount, u32 flags)
{
    return __atomic_load_n(&mount->flags, __ATOMIC_RELAXED) & flags;
}
static inline bool mount_is_readonly(const struct mount *mount)
{
    return mount_has(mount, MOUNT_READONLY);
}

/** Where it is, with a reference, and below which name of its file system: "/" where that is its
 * root. @root: of LINUX_PATH_MAX bytes. False: nowhere, or the name does not fit. */
bool mount_place(struct mount *mount, struct path *at, char *root);
/** What is mounted on @at, whose dentry has mounts; NULL: nothing here, but elsewhere. Name lock.
 */
struct mount *mount_on(const struct path *at);

/** Makes a file system of a kind ("devtmpfs"); NULL: no memory. */
typedef struct super_block *fs_mount_fn(void);

/** Add a kind of file system; @name static. Its mount function runs when rootfs wants it. */
void fs_register(const char *name, fs_mount_fn *mount);
/** The mount function of a kind, or NULL. */
fs_mount_fn *fs_find(const char *name);

/** A super block with its own st_dev and no root yet; NULL: no memory. */
struct super_block *super_create(const char *type, u64 magic);
/** Free what super_create() made, and .data by its .free: after a failed mount, or after .unmount
 * when nobody has any of its inodes. */
void super_destroy(struct super_block *sb);

/** Mount @sb as the root of everything, and make it root and cwd of init_fs_context. 0, -ENOMEM. */
int mount_root(struct super_block *sb, const char *source);
/**
 * Mount @sb on the directory @path (looked up in the boot context).
 * 0, an error of the lookup, -ENOTDIR, -EBUSY (something is mounted there) or -ENOMEM.
 */
int mount_at(struct super_block *sb, const char *source, const char *path, bool readonly);
/**
 * Mount for a program: what lies below @root in @sb, on @at, both directories or neither.
 * @source is copied; @flags: MOUNT_*; @below: what is mounted in that mount below @root comes
 * along, or NULL. 0, -ENOTDIR, -ENOENT (@at is unmounted), -EBUSY (it is mounted right here) or
 * -ENOMEM, where some of what should come along may have.
 */
int mount_add(struct super_block *sb, struct dentry *root, const char *source, u32 flags,
              const struct path *at, struct mount *below);
/**
 * Unmount what @at, whose reference it takes, is the root of.  @lazy: even if it is in use, and
 * with all that is mounted in it. 0, -EINVAL (no root of a mount), or -EBUSY: in use, with mounts
 * in it, or of the start.
 */
int mount_remove(struct path *at, bool lazy);
/** Give the mount that @at is the root of @flags. 0, -EINVAL (no root), or -EROFS: it was read-only
 * from the start.  Files that are open for writing stay so. */
int mount_change(const struct path *at, u32 flags);
/** Its first mount of a kind that is still there, or NULL. */
struct mount *mount_find(const char *type);
/** Walk the mounts in mount order, until @fn returns non-zero. */
int mount_for_each(int (*fn)(struct mount *mount, void *arg), void *arg);
/** Write everything to its device: sync(2). 0 or the first error. */
int mount_sync_all(void);
