/* Mounted file systems.  A mount stays for the life of the VM, so nobody counts references to it;
 * one file system is mounted at one place. */
#pragma once

#include "lib/list.h"
#include "lib/types.h"

struct dentry;
struct super_block;

/* Fields: [I]. */
struct mount {
    struct super_block *sb;
    struct dentry *root;       /* of .sb */
    struct mount *parent;      /* NULL for the root file system */
    struct dentry *mountpoint; /* in .parent; owns */
    const char *source;        /* first word of /proc/mounts; static */
    u32 id;
    bool readonly;
    struct list_head node; /* in mount order; only ever added to */
};

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
/** Walk the mounts in mount order, until @fn returns non-zero. */
int mount_for_each(int (*fn)(struct mount *mount, void *arg), void *arg);
/** Write everything to its device: sync(2). 0 or the first error. */
int mount_sync_all(void);
