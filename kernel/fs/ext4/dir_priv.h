/* Directories of ext4: leaves of entries, and the index over them, a tree by the hashes of names
 * (dir.c, dx.c, dx_iterate.c, hash.c, namei.c).  A directory's inode.lock is held by who looks, and
 * by who changes together with a handle.  Blocks come from ext4_dir_block() checked, so that walks
 * over their entries end.  Source: Documentation/filesystems/ext4/directory.rst. */
#pragma once

#include "fs/ext4/priv.h"

/* ---- names: dir.c ---- */

/** A name in its block, which has a reference. */
struct ext4_found {
    struct ext4_buf *buf;
    struct ext4_dir_entry *entry;
    struct ext4_dir_entry *before; /* in the same block, or NULL */
};
/**
 * Look for a name of @len bytes.
 * 0 and *@out, whose .buf the caller puts; -ENOENT, -EUCLEAN, -EIO, -ENOMEM.
 */
int ext4_dir_find(struct inode *dir, const char *name, size_t len, struct ext4_found *out);
/**
 * Enter a name, which is not there, for @inode; the folder may grow, or get its index.
 * 0, -ENAMETOOLONG, -ENOSPC, -EUCLEAN, -EIO, -ENOMEM.  The caller writes the folder's inode.
 */
int ext4_dir_add(struct ext4_handle *h, struct inode *dir, const char *name, size_t len,
                 struct inode *inode);
/** Take a found name away; its block stays the caller's to put. */
void ext4_dir_remove(struct ext4_handle *h, struct inode *dir, struct ext4_found *found);
/** Let a found name be @inode's from now on. */
void ext4_dir_retarget(struct ext4_handle *h, struct inode *dir, struct ext4_found *found,
                       struct inode *inode);
/** The block at logical @index of a directory, checked; an index or a leaf. */
int ext4_dir_block(struct inode *dir, u32 index, struct ext4_buf **out);
/**
 * One more block at the end, an empty leaf, with a reference; *@index is its logical number.
 * 0, or with nothing changed -ENOSPC, -EIO, -ENOMEM.  The caller writes the folder's inode.
 */
int ext4_dir_append(struct ext4_handle *h, struct inode *dir, struct ext4_buf **out, u32 *index);
/** One free entry over all of a leaf, and its tail. */
void ext4_dir_init_leaf(const struct ext4_fs *fs, u8 *data);
/** Give @sink the names from *@pos on, which moves with them.  0 or an error; see vfs/inode.h. */
int ext4_dir_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink);
/** 0: nothing but "." and ".."; -ENOTEMPTY, or why its blocks could not be read. */
int ext4_dir_is_empty(struct inode *dir);
/** Bytes an entry with a name of @len needs. */
static inline u32 dir_entry_len(size_t len)
{
    return ALIGN_UP(EXT4_DIR_HEAD + (u32)len, 4u);
}
/** Bytes of a block that hold entries. */
static inline u32 dir_room(const struct ext4_fs *fs)
{
    return fs->csum ? fs->block_size - EXT4_DIR_TAIL_LEN : fs->block_size;
}
/** From this entry to the next, in bytes; checked by ext4_dir_block(). */
static inline u32 dir_rec_len(const struct ext4_dir_entry *entry)
{
    return le16_get(entry->rec_len);
}
/** The entry @at bytes into a block. */
static inline struct ext4_dir_entry *dir_entry_at(const u8 *data, u32 at)
{
    return (struct ext4_dir_entry *)(uintptr_t)(data + at);
}
/** The name in one block. NULL: it is not there. */
struct ext4_dir_entry *ext4_leaf_find(struct ext4_fs *fs, u8 *data, const char *name, size_t len,
                                      struct ext4_dir_entry **before);
/** Enter a name where there is room. False: none. */
bool ext4_leaf_add(struct ext4_fs *fs, u8 *data, const char *name, size_t len, u32 ino, u8 type);
/** EXT4_FT_* of a mode, as entries have it; and the DT_* of readdir for one. */
u8 ext4_file_type_of(u32 mode);
u8 ext4_dt_of(u8 file_type);

/* ---- hashes: hash.c ---- */

/** Of a name; the lowest bit of .major is clear. */
struct ext4_hash {
    u32 major, minor;
};
/** @version: EXT4_HASH_*, as the index says */
void ext4_hash_name(const struct ext4_fs *fs, u8 version, const char *name, size_t len,
                    struct ext4_hash *out);

/* A name of a leaf and where it stands: both halves of its hash, the lowest bit of the first, which
 * is always clear, left out. */
struct ext4_hashed {
    u64 order;
    const struct ext4_dir_entry *entry;
};
/** Both halves as one number, by which names are in order. */
static inline u64 ext4_hash_order(const struct ext4_hash *hash)
{
    return (u64)hash->major << 31 | hash->minor;
}
/** Fill in .order of @nr names: four at a time, by vector registers. */
void ext4_hash_entries(const struct ext4_fs *fs, u8 version, struct ext4_hashed *names, u32 nr);

/* ---- the index: dx.c, dx_iterate.c ---- */

enum { DX_MAX_LEVELS = 3 };

/** A node of the index on the way to a leaf. */
struct dx_frame {
    struct ext4_buf *buf;
    struct ext4_dx_entry *entries; /* entries[0] has limit and count */
    u32 at;                        /* which of them */
};

/** From the root to the entry that names the leaf. */
struct dx_path {
    u32 nr; /* frames, each with a reference */
    u8 hash_version;
    struct ext4_hash hash;
    struct dx_frame frames[DX_MAX_LEVELS];
};
/** How many entries a node has, how many it has room for, and the hash at which one begins. */
static inline u32 dx_count(const struct ext4_dx_entry *entries)
{
    return le16_get(((const struct ext4_dx_countlimit *)(const void *)entries)->count);
}
static inline u32 dx_limit(const struct ext4_dx_entry *entries)
{
    return le16_get(((const struct ext4_dx_countlimit *)(const void *)entries)->limit);
}
static inline void dx_set_count(struct ext4_dx_entry *entries, u32 count)
{
    ((struct ext4_dx_countlimit *)(void *)entries)->count = le16_of((u16)count);
}
static inline void dx_set_limit(struct ext4_dx_entry *entries, u32 limit)
{
    ((struct ext4_dx_countlimit *)(void *)entries)->limit = le16_of((u16)limit);
}
static inline u32 dx_hash(const struct ext4_dx_entry *entries, u32 i)
{
    return i ? le32_get(entries[i].hash) : 0;
}
/**
 * The way to the leaf where @hash belongs; @hash NULL: that of the name, which path->hash has then.
 * 0, and dx_put_path() is due; -EUCLEAN, -EIO, -ENOMEM.
 */
int dx_find_path(struct inode *dir, const struct ext4_hash *hash, const char *name, size_t len,
                 struct dx_path *path);
void dx_put_path(struct ext4_fs *fs, struct dx_path *path);
/** Move on to the next leaf. 1: there; 0: no more, or, with @same, none that may have the hash. */
int dx_next_leaf(struct inode *dir, struct dx_path *path, bool same);
/** The leaf's logical block. */
static inline u32 dx_leaf(const struct dx_path *path)
{
    const struct dx_frame *f = &path->frames[path->nr - 1];
    return le32_get(f->entries[f->at].block) & 0x0fffffff;
}
/** ext4_dir_add() and ext4_dir_iterate() of a folder with an index. */
int dx_add(struct ext4_handle *h, struct inode *dir, const char *name, size_t len, u32 ino,
           u8 type);
int dx_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink);
/** The directory has one full block: give it an index. 0, -ENOSPC, -EIO, -ENOMEM. */
int dx_make_root(struct ext4_handle *h, struct inode *dir);
static inline bool is_indexed(const struct inode *dir)
{
    return ext4_i(dir)->iflags & EXT4_INDEX_FL;
}
/** Its size in blocks. */
static inline u32 dir_blocks(const struct inode *dir)
{
    return (u32)(dir->size >> ext4_of(dir->sb)->block_bits);
}
