/* What the tmpfs*.c and overlay.c share.
 *
 * An overlay is a tmpfs whose inodes may stand on one of a read-only layer.  Such an inode is made
 * when it is looked up and shows the layer's bytes, names and attributes; what changes is kept in
 * memory: entries and whiteouts of a directory, pages of a file, fields of the inode.  Nothing is
 * ever copied up as a whole.  A changed inode is pinned, so that the next lookup finds it again by
 * its number, which comes from the layer. */
#pragma once

#include "fs/tmpfs.h"
#include "vfs/inode.h"
#include "vfs/page_cache.h"

enum { OVERLAY_LAYERS_MAX = 17, OVERLAY_LAYER_SHIFT = 40 };

/** readdir positions of entries are below this; those of layer n's names begin at n + 1 times it.
 */
#define OVERLAY_FIRST_POS (1ull << 56)

/* [I], [A]. */
struct mem_fs {
    u64 max_pages;                                  /* [A] */
    u64 used_pages;                                 /* [A] */
    u64 used_inodes;                                /* [A] */
    u32 nr_layers;                                  /* [I] */
    struct super_block *layers[OVERLAY_LAYERS_MAX]; /* [I] the top one first; borrows */
};

/* A name that was made or changed here. [M] of the directory's lock. */
struct mem_entry {
    struct list_head node; /* in order of cookie */
    struct mem_entry *hash_next;
    u64 cookie;          /* position for readdir */
    struct inode *inode; /* owns; NULL: a whiteout */
    u32 hash;
    u16 len;
    bool covers; /* a layer has the name too */
    char name[];
};

struct mem_xattr {
    struct list_head node;
    size_t size;
    u8 *value; /* behind the name, in the same allocation */
    char name[];
};

/* Behind each inode.  [M] under inode.lock, [I]. */
struct mem_inode {
    struct page_cache cache;    /* regular files: what was written here */
    struct inode *lower;        /* [I] owns; the layer's inode; NULL: made here, or a directory */
    u64 lower_size;             /* [M] so many bytes of .lower are still the file's */
    struct inode **lowers;      /* [I] owns; directories: the layers' ones, the top one first */
    u32 nr_lowers;              /* [I] */
    u32 nr_entries;             /* [M] whiteouts too */
    struct list_head entries;   /* [M] */
    struct mem_entry **buckets; /* [M] owns */
    u32 bucket_mask;
    u64 next_cookie;         /* [M] */
    char *target;            /* [I] owns; symlinks made here */
    struct list_head xattrs; /* [M] */
    bool own_xattrs;         /* [M] .xattrs is the whole truth */
    bool pinned;             /* [M] holds a reference to itself */
    bool sealable;           /* [I] */
    u32 seals;               /* [M] F_SEAL_* */
};

/** What is behind an inode's file system, and behind the inode. */
static inline struct mem_fs *mem_fs_of(const struct inode *inode)
{
    return inode->sb->data;
}
static inline struct mem_inode *mem_of(const struct inode *inode)
{
    return inode->data;
}

/* tmpfs.c */
/** A fresh inode of @mode with its operations, or NULL. */
struct inode *mem_inode_create(struct super_block *sb, u32 mode, u64 rdev);
/** Keep an inode that stands on a layer, because it differs from there now. Locked. */
void mem_pin(struct inode *inode);
/** A link to @inode is gone; locked, or its directory is. */
void mem_drop_link(struct inode *inode, u32 links);
/** A tmpfs, or, with @nr layers, the uppermost first, an overlay over them; borrowed for ever.
 * NULL: no memory. */
struct super_block *mem_mount(const char *type, u64 magic, struct super_block *const *layers,
                              u32 nr);
/** Count @pages against the limit. 0 or -ENOSPC. */
int mem_charge(struct super_block *sb, u64 pages);
/** Take @pages off again. */
void mem_uncharge(struct super_block *sb, u64 pages);

/* tmpfs_dir.c */
extern const struct inode_ops mem_dir_ops;
/** The entry of a name, maybe a whiteout; NULL: none. Locked. */
struct mem_entry *mem_find(struct inode *dir, const char *name, size_t len);
/** Let go of all entries; the directory goes. */
void mem_free_entries(struct inode *dir);
/** Free a tmpfs's files, however deep they are, when nobody can see them any more. */
void mem_empty(struct super_block *sb);

/* tmpfs_file.c */
extern const struct inode_ops mem_file_ops_inode;
/** Likewise, on a layer's file that changes by itself. */
extern const struct inode_ops mem_live_file_ops;
extern const struct inode_ops mem_symlink_ops;
extern const struct inode_ops mem_node_ops;
extern const struct file_ops mem_file_ops;
/** Cut or extend the file; locked. */
int mem_truncate(struct inode *inode, u64 size);
int mem_setattr(struct inode *inode, const struct inode_attr *attr);
int mem_getattr(struct inode *inode);

/* tmpfs_xattr.c */
ssize_t mem_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int mem_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t mem_listxattr(struct inode *inode, char *buf, size_t size);
int mem_removexattr(struct inode *inode, const char *name);
/** The inode goes. */
void mem_free_xattrs(struct inode *inode);

/* overlay.c */
/** The name as the layers have it: 0 and *@out with a reference, -ENOENT, or an error. */
int overlay_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);
/** Does any layer show the name? 1, 0 or a negative errno. */
int overlay_has(struct inode *dir, const char *name, size_t len);
/** The layers' names that no entry hides, from *@pos on. */
int overlay_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink);
/** The layers' roots, merged: 0 and *@out with a reference, or -ENOMEM. */
int overlay_root(struct super_block *sb, struct inode **out);
