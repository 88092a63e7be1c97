/* The name cache.  A dentry is one name in one directory; negative ones remember what is not there.
 *
 * One lock guards the whole tree: reading costs one uncontended exchange on the CPU's own line,
 * and a walk over a whole path takes it once; a writer takes every CPU's.  Under it lie hash
 * chains, names, parents, inodes of dentries, mount points, and every fs_context's root and cwd.
 * Its holder must not sleep.  An unused dentry (no references) stays cached until memory is
 * wanted. */
#pragma once

#include "arch/atomic.h"
#include "core/percpu.h"
#include "core/spinlock.h"
#include "lib/list.h"

struct inode;
struct mount;
struct super_block;

enum { DENTRY_INLINE_NAME = 56 }; /* makes the struct two cache lines */

enum dentry_flags {
    DENTRY_HASHED = 1,     /* can be found; cleared when the name goes away */
    DENTRY_REFERENCED = 2, /* used since the shrinker passed */
};

/* Fields: [N] under the name lock, [I], [A]. */
struct dentry {
    struct dentry *hash_next; /* [N] */
    struct dentry *parent;    /* [N] owns; itself for a root */
    struct inode *inode;      /* [N] owns; NULL: negative */
    u32 hash;                 /* [N] of parent and name */
    u16 name_len;             /* [N] bytes, without the NUL */
    u8 flags;                 /* [N] DENTRY_*; REFERENCED is set by readers too, losing nothing */
    u8 pad;
    ref_t refs;            /* [A] users and children */
    struct mount *mounted; /* [N] what is mounted here */
    struct list_head all;  /* [N] every hashed dentry, oldest first */
    char *name;            /* [N] with a NUL and zeros up to 8 bytes; .short_name, or owned */
    char short_name[DENTRY_INLINE_NAME];
};

struct name_lock_slot {
    struct spinlock lock;
    u8 pad[60]; /* a cache line each */
};
extern struct name_lock_slot name_locks[MAX_CPUS];

/** Read the tree; nests not, sleeps not. */
static inline void names_read_lock(void)
{
    spin_lock(&name_locks[cpu_id()].lock);
}
static inline void names_read_unlock(void)
{
    spin_unlock(&name_locks[cpu_id()].lock);
}
/** Change the tree. */
void names_write_lock(void);
void names_write_unlock(void);

/** The root of a file system: takes the reference to @inode; one reference, or NULL. */
struct dentry *dentry_create_root(struct inode *inode);

/**
 * A dentry for @name in @parent, referenced, not hashed.  Takes the reference to @inode on success
 * (NULL: negative).  NULL: no memory.
 */
struct dentry *dentry_create(struct dentry *parent, const char *name, size_t len,
                             struct inode *inode);

static inline void dentry_get(struct dentry *dentry)
{
    ref_get(&dentry->refs);
}
/** Drop a reference; NULL is ignored. May free the dentry and its inode, and so sleep. */
void dentry_put(struct dentry *dentry);

/** Hash of a name of @len bytes; readable up to a multiple of 8 bytes. */
u32 name_hash(const char *name, size_t len);
/** Length and hash of the path component at @text, which ends at a slash or NUL. */
u32 name_scan(const char *text, u32 *hash);

/** The cached child, or NULL. Name lock held; no reference is taken. */
struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len, u32 hash);

/** Let a new dentry be found. Its parent directory is locked. */
void dentry_add(struct dentry *dentry);
/**
 * The name is gone (unlink, rmdir). With no other user the dentry becomes negative, else no lookup
 * finds it any more and it keeps its inode. The caller holds a reference.
 */
void dentry_delete(struct dentry *dentry);
/** A negative dentry becomes @inode's: takes the reference. */
void dentry_instantiate(struct dentry *dentry, struct inode *inode);
/**
 * Give @dentry the name and place of @target, whose directories are locked.
 * @exchange: and @target those of @dentry; else @target's name is gone.
 */
void dentry_move(struct dentry *dentry, struct dentry *target, bool exchange);

/** Free up to @want unused dentries; returns how many were freed. */
u64 dentry_shrink(u64 want);

/** Is @ancestor the directory itself or above it in the same file system? Name lock held. */
bool dentry_is_below(const struct dentry *dentry, const struct dentry *ancestor);

void dentry_init(void);
