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
extern u64 names_generation; /* [N] counts the changes, from 1 */

/** Read the tree; nests not, sleeps not. */
static inline void names_read_lock(void)
{
    spin_lock(&name_locks[cpu_id()].lock);
}
static inline void names_read_unlock(void)
{
    spin_unlock(&name_locks[cpu_id()].lock);
}
/** Change the tree.  Each time is another generation. */
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

/** One more reference; the caller has one, or the name lock. */
static inline void dentry_get(struct dentry *dentry)
{
    ref_get(&dentry->refs);
}
/** Drop a reference; NULL is ignored. May free the dentry and its inode, and so sleep. */
void dentry_put(struct dentry *dentry);

/* Names are hashed and compared a word at a time, so they must be readable up to a multiple of 8
 * bytes; those of dentries are filled up with zeros. */

#define NAME_EACH_BYTE(b) (0x0101010101010101ull * (b))

/** Names are hashed eight bytes at a time, at any address. */
static inline u64 name_word(const char *p)
{
    u64 word;
    __builtin_memcpy(&word, p, sizeof(word));
    return word;
}
static inline u64 name_mix(u64 hash, u64 word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}
/** The lowest set bit is the top bit of the first zero byte. */
static inline u64 name_zero_byte(u64 word)
{
    return (word - NAME_EACH_BYTE(0x01)) & ~word & NAME_EACH_BYTE(0x80);
}

/**
 * Length and hash of the path component at @text, which ends at a slash or NUL; *@tail is its last
 * word, cut off behind it.
 */
static inline u32 name_scan(const char *text, u32 *hash, u64 *tail)
{
    u64 h = 0, word, end;
    u32 len = 0;

    for (;; len += 8) {
        word = name_word(text + len);
        end = name_zero_byte(word) | name_zero_byte(word ^ NAME_EACH_BYTE('/'));
        if (end)
            break;
        h = name_mix(h, word);
    }
    word &= (end ^ (end - 1)) >> 8; /* the bytes below the one that ends it */
    *tail = word;
    *hash = (u32)name_mix(h, word);
    return len + (u32)__builtin_ctzll(end) / 8;
}
/** Hash of a name of @len bytes, as name_scan has it. */
u32 name_hash(const char *name, size_t len);

/* The table; [N]. */
extern struct dentry **name_buckets;
extern u32 name_bucket_mask;

/** Where a name of @parent is in the table. */
static inline u32 name_bucket_of(const struct dentry *parent, u32 hash)
{
    return (hash ^ (u32)((uintptr_t)parent >> 7)) & name_bucket_mask;
}

/** As dentry_find(), right after name_scan(). Name lock held. */
static inline struct dentry *dentry_find_scanned(struct dentry *parent, const char *name, u32 len,
                                                 u32 hash, u64 tail)
{
    struct dentry *d = name_buckets[name_bucket_of(parent, hash)];

    for (; d; d = d->hash_next) {
        if (d->hash != hash || d->parent != parent)
            continue;
        const char *own = d->name;
        u32 left = len; /* zeros behind each name make the last words differ if lengths do */
        for (; unlikely(left >= 8) && name_word(name + (len - left)) == name_word(own); left -= 8)
            own += 8;
        if (likely(left < 8 && name_word(own) == tail))
            break;
    }
    if (d && unlikely(!(d->flags & DENTRY_REFERENCED)))
        d->flags |= DENTRY_REFERENCED;
    return d;
}

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

/** At start: the hash table. */
void dentry_init(void);
