/* What the files of ext4 share.
 *
 * Locks, in order: inode.lock (names, size, attributes) · ext4_inode.wb_lock (one write-back of a
 * file at a time) · mm->lock · ext4_inode.gate (shared: pages are filled or written; exclusive:
 * blocks go away) · a journal handle · ext4_inode.map_lock (the extent tree) · fs.orphan_lock ·
 * group.lock (bitmaps and counts of a group) · fs.buf_lock (spins).  Nobody copies from or to the
 * program, commits, or opens another handle while he has a handle.
 * Field letters: [I] fixed after mount, [A] atomic, [J] under journal.lock, [G] the group's lock,
 * [M] under inode.lock, [X] under map_lock, [B] under fs.buf_lock, [W] under wb_lock. */
#pragma once

#include "abi/errno.h"
#include "core/spinlock.h"
#include "disk/ext4.h"
#include "fs/ext4.h"
#include "lib/crc32c.h"
#include "lib/list.h"
#include "sched/wait.h"
#include "vfs/inode.h"
#include "vfs/page_cache.h"
#include "vfs/writeback.h"

struct ext4_fs;
struct ext4_handle;

/* ---- metadata blocks: buf.c ---- */

/** What a block is, so that its checksum can be made and checked. */
enum ext4_kind {
    EXT4_PLAIN, /* inode tables and descriptors carry checksums of their own; or none */
    EXT4_SUPER,
    EXT4_BLOCK_BITMAP,
    EXT4_INODE_BITMAP,
    EXT4_EXTENT_NODE,
    EXT4_DIR_LEAF,
    EXT4_DX_ROOT,
    EXT4_DX_NODE,
    EXT4_XATTR_BLOCK,
};

enum ext4_buf_flags {
    BUF_VALID = 1,    /* .data is what the block holds, or shall hold */
    BUF_HOME = 2,     /* committed, and not yet written to its place */
    BUF_TX = 4,       /* in the running transaction */
    BUF_USED = 8,     /* since the shrinker passed */
    BUF_CHECKED = 16, /* its contents were found to make sense */
};

/* One block of metadata in memory.  Its bytes belong to who holds the lock of the object. */
struct ext4_buf {
    struct ext4_buf *hash_next; /* [B] */
    struct list_head lru;       /* [B] all of them */
    struct list_head tx;        /* [J] in the transaction */
    struct list_head home;      /* [J] BUF_HOME */
    u64 block;                  /* [I] */
    u32 refs;                   /* [B] */
    u32 flags;                  /* [A] */
    u8 kind;                    /* enum ext4_kind; set with the first change or check */
    u32 seed;                   /* of its checksum, where the kind needs one */
    struct mutex lock;          /* while it is read in */
    u8 *data;                   /* [I] owns; a block */
};

/* ---- groups: group.c, balloc.c, ialloc.c ---- */

struct ext4_group {
    struct mutex lock;
    bool loaded;    /* [G] the fields below are set */
    bool bad;       /* [G] the bitmap is damaged: nothing is allocated here */
    u8 *taken;      /* [G] owns; NULL until needed: bits of blocks that cannot be had */
    u32 free;       /* [G] zero bits of .taken, or what the descriptor says until it is there */
    u32 hint;       /* [G] no free block below it */
    u32 inode_hint; /* [G] no free inode below it */
};

/* Blocks that were freed and may be used once the transaction is on disk. */
struct ext4_freed {
    struct list_head node; /* [J] */
    u64 block;
    u32 len;
};

/* ---- the journal: journal.c, commit.c, replay.c ---- */

struct ext4_tx {
    struct list_head bufs;    /* [J] BUF_TX */
    struct list_head freed;   /* [J] struct ext4_freed */
    struct list_head revoked; /* [J] struct ext4_freed: blocks whose older copies are void */
    u32 nr_bufs, nr_revoked;  /* [J] */
    u32 promised;             /* [J] blocks that open handles may still add */
    u32 handles;              /* [J] open */
    u32 tid;                  /* [I] */
    u64 started_ns;           /* [J] when the first handle was opened; 0: none */
};

/* What is freed must be noted; with these for when memory is short a file can still go. */
enum { EXT4_SPARE_RECORDS = 32 };

struct ext4_journal {
    struct mutex lock;        /* a leaf but for buf_lock */
    struct waitq wait;        /* .barrier cleared, or handles closed */
    bool barrier;             /* [J] no new handles */
    int error;                /* [A] it was given up */
    struct ext4_tx running;   /* [J] */
    struct mutex commit_lock; /* one commit or checkpoint at a time; before .lock */
    u32 committed;            /* [A] the last tid that is on disk */
    struct list_head home;    /* [J] BUF_HOME */
    u32 nr_home;              /* [J] */
    u32 max_tx;               /* [I] blocks a transaction may have */
    bool on_disk;             /* [I] there is a journal; else commits write to the places */
    struct list_head spare;   /* [J] those of .records that are free */
    struct ext4_freed records[EXT4_SPARE_RECORDS];
    /* the rest only with one; under commit_lock */
    u64 *map; /* [I] owns; runs of the journal: see journal_block() */
    u32 nr_runs;
    u32 first, maxlen; /* [I] */
    u32 head, free;
    u32 sequence; /* of the next transaction */
    bool live;    /* the log is known not to be empty */
    u32 seed;     /* [I] of checksums */
    u8 uuid[16];  /* [I] */
};

struct ext4_handle {
    struct ext4_fs *fs;
    u32 credits;
};

/* ---- one file system ---- */

enum { EXT4_BUF_BUCKETS = 1024 };

struct ext4_fs {
    struct super_block *sb;
    struct block_dev *bd;
    struct ext4_buf *super_buf;                        /* holds a reference */
    u32 super_offset;                                  /* [I] of the super block in that */
    u32 block_bits, block_size;                        /* [I] */
    u64 nr_blocks;                                     /* [I] */
    u32 first_data_block;                              /* [I] */
    u32 blocks_per_group, inodes_per_group, nr_groups; /* [I] */
    u32 desc_size, desc_per_block, inode_size;         /* [I] */
    u32 nr_inodes, first_ino;                          /* [I] */
    u32 compat, incompat, ro_compat;                   /* [I] but for RECOVER, ORPHAN_PRESENT */
    u32 seed;                                          /* [I] of metadata checksums */
    u32 hash_seed[4];                                  /* [I] */
    u8 hash_version;                                   /* [I] the default, signedness included */
    bool csum, readonly;                               /* [I]; [A] */
    bool shut;                                         /* [A] unmounted */
    u32 extra_isize;                                   /* [I] of new inodes */

    struct spinlock buf_lock;
    struct ext4_buf *buckets[EXT4_BUF_BUCKETS]; /* [B] */
    struct list_head bufs;                      /* [B] oldest first */
    u32 nr_bufs, max_bufs;                      /* [B] */
    struct list_head all_node;                  /* of all file systems, for the shrinker */

    struct ext4_group *groups; /* [I] owns */
    s64 free_blocks;           /* [A] */
    s64 reserved;              /* [A] of them, for pages that have none yet */
    s64 freed;                 /* [A] freed by transactions that are not on disk yet */
    s64 free_inodes;           /* [A] */
    bool counted;              /* [A] the two are known */
    struct mutex count_lock;

    struct mutex orphan_lock;
    struct list_head orphans; /* under orphan_lock: ext4_inode.orphan, the newest first */
    struct ext4_journal journal;
    struct mutex dirty_lock;
    struct list_head dirty; /* under dirty_lock: ext4_inode.dirty_node, oldest first */
    struct writeback writeback;
    bool unflushed;      /* [A] data was written since the last flush */
    u32 next_generation; /* [A] */
};

enum ext4_dirty { DIRTY_TIMES = 1, DIRTY_DATA = 2 /* what fdatasync needs */, DIRTY_LISTED = 4 };

/* Sleeps; shared or exclusive. */
struct ext4_gate {
    struct mutex lock;
    struct waitq wait;
    u32 readers;
    bool writer;
};

/* Behind each inode. */
struct ext4_inode {
    struct page_cache cache; /* regular files */
    struct inode *inode;     /* [I] */
    u32 seed;                /* [I] of checksums of what belongs to it; without them its number */
    u32 generation;          /* [I] */
    u32 iflags;              /* [M] */
    u64 disk_size;           /* [X] what the disk says, or shall say: no more than was written */
    u64 file_acl;            /* [M] block of attributes; 0: none */
    u8 block[60];            /* [X] root of the extent tree, a short link, a device number */
    u16 extra_isize;         /* [I] */
    u32 dirty;               /* [A] enum ext4_dirty */
    u64 dirty_since;         /* ns; when it was listed */
    struct list_head dirty_node;
    struct list_head orphan; /* under fs.orphan_lock */
    u32 next_orphan;         /* likewise: what the disk has in .dtime */
    u32 sync_tid, data_tid;  /* [A] the last transactions with changes of it */
    bool may_have_xattrs;    /* [M] in the inode */
    struct mutex wb_lock;
    struct ext4_gate gate;
    struct mutex map_lock;
    /* the extent found last; [X] */
    u32 hit_block, hit_len;
    u64 hit_start;
    bool hit_unwritten;
    u64 goal;       /* [X] where the next block had best be */
    u64 ahead_next; /* where a reader who goes on would miss next; a guess */
    u32 ahead_pages;
    u32 dir_goal; /* [M] directories: where a search for room starts */
};

/** What is behind a super block, and behind an inode. */
static inline struct ext4_fs *ext4_of(const struct super_block *sb)
{
    return sb->data;
}
static inline struct ext4_inode *ext4_i(const struct inode *inode)
{
    return inode->data;
}
/** Does the volume have EXT4_INCOMPAT_* @feature? */
static inline bool ext4_has_incompat(const struct ext4_fs *fs, u32 feature)
{
    return fs->incompat & feature;
}
/** The super block as the disk has it; changed under a handle, by change of fs->super_buf. */
static inline struct ext4_super_block *ext4_super(const struct ext4_fs *fs)
{
    return (struct ext4_super_block *)(void *)(fs->super_buf->data + fs->super_offset);
}

/* ---- super.c ---- */

/** The file system is damaged or its disk failed: say so, mark it, write nothing any more. */
void ext4_error(struct ext4_fs *fs, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** 0 or -EROFS. */
static inline int ext4_check_writable(const struct ext4_fs *fs)
{
    return unlikely(__atomic_load_n(&fs->readonly, __ATOMIC_ACQUIRE) ||
                    __atomic_load_n(&fs->shut, __ATOMIC_ACQUIRE))
               ? -EROFS
               : 0;
}
/** Blocks and inodes that are free, from the descriptors, once. 0 or an error. */
int ext4_count_free(struct ext4_fs *fs);

/* ---- gate.c ---- */

/** Handles enter and leave; who closes the gate waits until all have left, and they wait until it
 * opens. */
void gate_init(struct ext4_gate *gate);
void gate_enter(struct ext4_gate *gate);
void gate_leave(struct ext4_gate *gate);
void gate_close(struct ext4_gate *gate);
void gate_open(struct ext4_gate *gate);

/* ---- buf.c ---- */

/** The block's buffer with a reference, read in. 0, -EUCLEAN (no such block), -EIO, -ENOMEM. */
int buf_read(struct ext4_fs *fs, u64 block, struct ext4_buf **out);
/** As buf_read, and its checksum as @kind, with @seed, is right; -EUCLEAN and an error told. */
int buf_read_kind(struct ext4_fs *fs, u64 block, enum ext4_kind kind, u32 seed,
                  struct ext4_buf **out);
/** The buffer of a block that is all new, with a reference: cleared, not read. 0 or -ENOMEM. */
int buf_new(struct ext4_fs *fs, u64 block, struct ext4_buf **out);
/** Let go of a reference; NULL is none. */
void buf_put(struct ext4_fs *fs, struct ext4_buf *buf);
/** The buffer if it is in memory, with a reference, or NULL. */
struct ext4_buf *buf_find(struct ext4_fs *fs, u64 block);
/** Write it to its place now, by itself, and flush. For the super block. */
int buf_write_home(struct ext4_fs *fs, struct ext4_buf *buf);
/** At the mount: no buffers, and the shrinker knows of them; and free all, which nobody uses. */
void buf_init(struct ext4_fs *fs);
void buf_fini(struct ext4_fs *fs);

/* ---- csum.c ---- */

/** Make the checksum of @buf true, by its kind. */
void ext4_seal(struct ext4_fs *fs, struct ext4_buf *buf);
/**
 * Is the checksum that @buf holds right for @kind and @seed?  True where the kind has none, or the
 * volume.
 */
bool ext4_csum_ok(struct ext4_fs *fs, const struct ext4_buf *buf, enum ext4_kind kind, u32 seed);
/** The checksums of other things, as they stand on the disk; of @nr bits of a bitmap, of which 8
 * make a byte.  An inode's seed is that of all that belongs to it. */
u16 ext4_group_csum(struct ext4_fs *fs, u32 group, const struct ext4_group_desc *desc);
u32 ext4_inode_csum(const struct ext4_fs *fs, u32 seed, const struct ext4_disk_inode *raw);
u32 ext4_inode_seed(const struct ext4_fs *fs, u32 ino, u32 generation);
u32 ext4_bitmap_csum(struct ext4_fs *fs, const u8 *bits, u32 nr);
u32 ext4_super_csum(const struct ext4_super_block *super);

/* ---- journal.c: transactions ---- */

/** An empty journal, at the mount; and free what waits in it. */
void journal_init(struct ext4_fs *fs);
void journal_fini(struct ext4_fs *fs);
/**
 * Open a handle that will change at most @credits blocks. May wait for a commit.
 * 0, -EROFS (given up, or read-only) or -ENOMEM (of that commit).
 */
int handle_start(struct ext4_fs *fs, u32 credits, struct ext4_handle *h);
/** Close it: its changes go to the disk with the transaction, all or none. */
void handle_stop(struct ext4_handle *h);
/** Room for @credits more, for long work: may close the handle and open it again. Hold no lock that
 * is taken under a handle. 0 or -EROFS (then it is closed). */
int handle_extend(struct ext4_handle *h, u32 credits);
/** @buf will be changed under the handle, as @kind with @seed. */
void handle_change(struct ext4_handle *h, struct ext4_buf *buf, enum ext4_kind kind, u32 seed);
/**
 * Records for @len blocks that are to be freed, put into the empty list @records. 0 or -ENOMEM.
 * @meta: they held metadata
 */
int handle_take_records(struct ext4_handle *h, u32 len, bool meta, struct list_head *records);
/** Give records back that are not needed, or any more. */
void journal_put_records(struct ext4_journal *j, struct list_head *records);
/** [block, +len) is free once the transaction is on disk; takes the records that were taken for
 * it. */
void handle_free_blocks(struct ext4_handle *h, u64 block, u32 len, bool meta,
                        struct list_head *records);
/** The transaction that the handle's changes belong to. */
static inline u32 handle_tid(const struct ext4_handle *h)
{
    return h->fs->journal.running.tid;
}

/* ---- commit.c ---- */

/** Wait until transaction @tid is on disk. 0 or -EIO. No handle open. */
int journal_commit(struct ext4_fs *fs, u32 tid);
/** Commit all, write everything to its place, empty the log. */
int journal_checkpoint(struct ext4_fs *fs);
/** The physical block of the journal's block @index. */
u64 journal_block(const struct ext4_journal *j, u32 index);
/** Give up: nothing is written any more. */
void journal_abort(struct ext4_fs *fs, int err);
/** Set or clear RECOVER in the super block on the disk, and flush. */
int journal_mark_super(struct ext4_fs *fs, bool recover);
/** Write and flush the journal's super block: the log begins at @start (0: it is empty), with
 * @sequence. 0, -EIO or -ENOMEM. */
int journal_write_super(struct ext4_fs *fs, u32 start, u32 sequence);

/* ---- replay.c ---- */

/** Bring the committed transactions of the log to their places. 0 or an error; @why. */
int journal_replay(struct ext4_fs *fs, const char **why);
/** Read and check the journal's super block. */
int journal_load(struct ext4_fs *fs, const char **why);

/* ---- group.c ---- */

/** The descriptor of @group in its buffer, which gets a reference. */
int group_desc(struct ext4_fs *fs, u32 group, struct ext4_buf **buf, struct ext4_group_desc **desc);
/** Make the checksum of a changed descriptor true. */
void group_desc_seal(struct ext4_fs *fs, u32 group, struct ext4_group_desc *desc);
/** The fields of a descriptor that stand in two halves; changed under the group's lock and a
 * handle, then sealed. */
u64 group_block_bitmap(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
u64 group_inode_bitmap(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
u64 group_inode_table(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
u32 group_free_blocks(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
void group_set_free_blocks(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n);
u32 group_free_inodes(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
void group_set_free_inodes(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n);
u32 group_used_dirs(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
void group_set_used_dirs(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n);
u32 group_itable_unused(const struct ext4_fs *fs, const struct ext4_group_desc *desc);
void group_set_itable_unused(const struct ext4_fs *fs, struct ext4_group_desc *desc, u32 n);
/** Blocks of the group: the last one may be short. */
u32 group_size(const struct ext4_fs *fs, u32 group);
/** Does @group begin with a copy of the super block and the descriptors? */
bool group_has_super(const struct ext4_fs *fs, u32 group);
/** The block bitmap, made where the disk never had one. Group locked. */
int group_read_bitmap(struct ext4_fs *fs, u32 group, struct ext4_buf **out);
static inline u64 group_first_block(const struct ext4_fs *fs, u32 group)
{
    return fs->first_data_block + (u64)group * fs->blocks_per_group;
}
static inline u32 group_of_block(const struct ext4_fs *fs, u64 block)
{
    return (u32)((block - fs->first_data_block) / fs->blocks_per_group);
}
/** Is [block, block + len) inside of the file system, past its super block? */
static inline bool block_range_ok(const struct ext4_fs *fs, u64 block, u64 len)
{
    return block > fs->first_data_block && block < fs->nr_blocks && len <= fs->nr_blocks - block;
}
/* Bits of a bitmap, the lowest of each byte first. */
static inline bool bit_test(const u8 *bits, u32 i)
{
    return bits[i >> 3] >> (i & 7) & 1;
}
static inline void bit_set(u8 *bits, u32 i)
{
    bits[i >> 3] = (u8)(bits[i >> 3] | 1u << (i & 7));
}
static inline void bit_clear(u8 *bits, u32 i)
{
    bits[i >> 3] = (u8)(bits[i >> 3] & ~(1u << (i & 7)));
}

/* ---- balloc.c ---- */

/** Promise @n blocks. 0 or -ENOSPC. No handle open: may commit, so that freed ones come back. */
int ext4_reserve(struct ext4_fs *fs, u32 n);
/** Take @n promises back. */
void ext4_unreserve(struct ext4_fs *fs, u64 n);
/**
 * Take up to @want blocks in a row, near @goal, in memory only: nobody else gets them.
 * @reserved: they were promised. 0, *@block and *@got (at least 1); -ENOSPC, -EIO.
 */
int ext4_claim(struct ext4_fs *fs, u64 goal, u32 want, bool reserved, u64 *block, u32 *got);
/**
 * Take the first free run of @group at or behind *@from, up to @to and @most blocks, wherever it is
 * promised to; soon given back by ext4_unclaim(). *@got is 0 where there is none.
 */
int ext4_claim_run(struct ext4_fs *fs, u32 group, u32 *from, u32 to, u32 most, u64 *block,
                   u32 *got);
/** Give back what was claimed and not recorded. */
void ext4_unclaim(struct ext4_fs *fs, u64 block, u32 len);
/** Enter claimed blocks in the bitmap: for good. */
int ext4_record(struct ext4_handle *h, u64 block, u32 len);
/** Clear blocks in the bitmap; they can be had after the commit. @meta: they held metadata. */
int ext4_free_blocks(struct ext4_handle *h, u64 block, u32 len, bool meta);
/**
 * A block for metadata, near @goal: recorded in the bitmap, its buffer cleared, with a reference.
 * @reserved: it was promised. 0, or with nothing changed -ENOSPC, -EIO, -ENOMEM.
 */
int ext4_new_meta(struct ext4_handle *h, u64 goal, bool reserved, struct ext4_buf **out);
enum { CREDITS_ALLOC = 2, CREDITS_SUPER = 1 };

/* ---- discard.c ---- */

/** Let the host have the space of blocks that were freed and are still taken in memory. */
void ext4_discard_freed(struct ext4_fs *fs, u64 block, u32 len);
/** FITRIM, FIEMAP. */
int ext4_ioctl(struct file *file, unsigned cmd, uaddr_t arg);

/* ---- fiemap.c ---- */

/** @arg: struct fiemap. */
int ext4_fiemap(struct inode *inode, uaddr_t arg);

/* ---- ialloc.c ---- */

/** A free inode number near @dir's (a directory: elsewhere, by Orlov), marked as used. */
int ext4_alloc_ino(struct ext4_handle *h, struct inode *dir, bool is_dir, u32 *ino);
/** The number is free again; -EUCLEAN where it was. */
int ext4_free_ino(struct ext4_handle *h, u32 ino, bool is_dir);

/* ---- extent.c, extent_change.c ---- */

enum { MAP_HOLE, MAP_WRITTEN, MAP_UNWRITTEN };
struct ext4_run {
    u32 block; /* logical */
    u32 len;   /* a hole's length may be less than it is */
    u64 start; /* physical */
    u8 state;  /* MAP_* */
};
/** What is at logical @block, for up to @max blocks. map_lock held. */
int ext4_map(struct inode *inode, u32 block, u32 max, struct ext4_run *run);
/** Add [block, +len) at @start; it was a hole. map_lock held. @reserved: for nodes of the tree. */
int ext4_insert_extent(struct ext4_handle *h, struct inode *inode, u32 block, u64 start, u32 len,
                       bool unwritten, bool reserved);
/** [block, +len) lies in one unwritten extent, and is written now. */
int ext4_mark_written(struct ext4_handle *h, struct inode *inode, u32 block, u32 len);
/**
 * Free what lies in [from, to), beginning at the end, as far as the handle's credits go.
 * 0: done; 1: call again with a fresh handle; or an error.
 */
int ext4_remove_extents(struct ext4_handle *h, struct inode *inode, u32 from, u32 to);
/** An empty tree. */
void ext4_init_tree(struct ext4_inode *ei);
/** Credits for one change of the tree of @inode. */
u32 ext4_tree_credits(const struct inode *inode);
enum { EXT4_END_BLOCK = UINT32_MAX };

/** A node of an extent tree on the way to a leaf. */
struct ext4_node {
    struct ext4_buf *buf; /* NULL: the root, in the inode */
    struct ext4_extent_header *head;
    u32 at; /* the entry on the way */
};
struct ext4_path {
    u32 depth;
    struct ext4_node nodes[EXT4_EXTENT_MAX_DEPTH + 1];
};
/**
 * The way to the leaf where logical @block belongs: the last entry at or before it, or the first.
 * map_lock held.  0, and ext4_put_path() is due; -EUCLEAN (told), -EIO, -ENOMEM.
 */
int ext4_find_path(struct inode *inode, u32 block, struct ext4_path *path);
void ext4_put_path(struct ext4_fs *fs, struct ext4_path *path);
/** What stands behind a leaf's head, and behind another node's. */
static inline struct ext4_extent *node_extents(const struct ext4_node *node)
{
    return (struct ext4_extent *)(void *)(node->head + 1);
}
static inline struct ext4_extent_idx *node_indices(const struct ext4_node *node)
{
    return (struct ext4_extent_idx *)(void *)(node->head + 1);
}
/** Physical block, and length in blocks; more than EXT4_EXTENT_MAX_LEN says unwritten. */
static inline u64 extent_start(const struct ext4_extent *e)
{
    return (u64)le16_get(e->start_hi) << 32 | le32_get(e->start_lo);
}
static inline u32 extent_len(const struct ext4_extent *e)
{
    u32 len = le16_get(e->len);
    return len > EXT4_EXTENT_MAX_LEN ? len - EXT4_EXTENT_MAX_LEN : len;
}
static inline bool extent_unwritten(const struct ext4_extent *e)
{
    return le16_get(e->len) > EXT4_EXTENT_MAX_LEN;
}
/** The block of the node below. */
static inline u64 idx_leaf(const struct ext4_extent_idx *idx)
{
    return (u64)le16_get(idx->leaf_hi) << 32 | le32_get(idx->leaf_lo);
}

/* ---- inode.c ---- */

/** The inode of a number, with a reference. -EUCLEAN, -EIO, -ENOMEM, -ESTALE (free). */
int ext4_iget(struct super_block *sb, u32 ino, bool orphan, struct inode **out);
/** A new one in @dir, with one link, written under the handle; *@out has a reference. */
int ext4_inode_new(struct ext4_handle *h, struct inode *dir, u32 mode, u64 rdev, bool linked,
                   struct inode **out);
/** Write the inode into its table's buffer. */
int ext4_inode_write(struct ext4_handle *h, struct inode *inode);
/** As it, for what ext4_inode_dirty() was told of and nothing else. */
int ext4_inode_write_dirty(struct ext4_handle *h, struct inode *inode);
/** The raw inode in its buffer, which gets a reference. */
int ext4_inode_raw(struct ext4_fs *fs, u32 ino, struct ext4_buf **buf,
                   struct ext4_disk_inode **raw);
/** Make the checksum of a changed raw inode true. */
void ext4_inode_seal(struct ext4_fs *fs, const struct ext4_inode *ei, struct ext4_disk_inode *raw);
void ext4_inode_dirty_slow(struct inode *inode, u32 what);
/** It differs from the disk: write-back will see to it. @what: DIRTY_*. */
static inline void ext4_inode_dirty(struct inode *inode, u32 what)
{
    u32 dirty = __atomic_load_n(&ext4_i(inode)->dirty, __ATOMIC_RELAXED);

    if (unlikely(~dirty & (what | DIRTY_LISTED)))
        ext4_inode_dirty_slow(inode, what);
}
/** It is gone, or will be with its last reference: write-back need not hold it. */
void ext4_inode_undirty(struct inode *inode);
/** The last reference goes: free what is behind @inode, and on the disk what has no link. */
void ext4_evict(struct inode *inode);
/** Free what an inode without links has, and its number. */
void ext4_delete(struct inode *inode);
/** As inode_ops have them; locked. */
int ext4_setattr(struct inode *inode, const struct inode_attr *attr);
int ext4_getattr(struct inode *inode);
/** Count @blocks of the file system, which may be negative, in inode->blocks. */
void ext4_count_blocks(struct inode *inode, s64 blocks);
enum { CREDITS_INODE = 1 };

/* ---- orphan.c ---- */

/** On the list of inodes to be freed or cut at the next mount, and off it. 0, or why the
 * blocks could not be read. */
int ext4_orphan_add(struct ext4_handle *h, struct inode *inode);
int ext4_orphan_remove(struct ext4_handle *h, struct inode *inode);
/** Finish what a crash left: delete and truncate. */
int ext4_orphans_clean(struct ext4_fs *fs);
enum { CREDITS_ORPHAN = 3 };

/* ---- truncate.c ---- */

/** Set the size; locked. */
int ext4_truncate(struct inode *inode, u64 size);
/** Free all blocks from the size on; wb_lock held or nobody else has the inode. */
int ext4_free_tail(struct inode *inode);
/** fallocate(2): @mode FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE. 0, -EOPNOTSUPP, -EFBIG,
 * -ENOSPC, -EIO. */
int ext4_allocate(struct file *file, int mode, u64 offset, u64 len);
/** Clear what is past the end in the last page, as the file is about to grow; locked. */
int ext4_zero_tail(struct inode *inode, u64 old_size);

/* ---- read.c ---- */

/** The page at @index with a reference, read if need be. As inode_get_page(). */
int ext4_get_page(struct inode *inode, u64 index, struct page **out);
/** As it, with the gate held already. */
int ext4_fill_page(struct inode *inode, u64 index, struct page **out);

/* ---- file.c ---- */

extern const struct file_ops ext4_file_ops;
extern const struct inode_ops ext4_file_inode_ops;
/** Reserve what the page lacks and mark it dirty. */
int ext4_dirty_page(struct inode *inode, struct page *page);
/** Write through the page cache, for which blocks are promised; locked. Bytes, or an error. */
ssize_t ext4_write_buffered(struct inode *inode, struct iov_iter *from, u64 at);

/* ---- writeback.c ---- */

/** Write the dirty pages of [first, last], at most @max. 0 or the error. No handle, no gate. */
int ext4_write_pages(struct inode *inode, u64 first, u64 last, u64 max);
/** fsync(2) and fdatasync(2) of one file, and sync of all: 0 once it is on the disk, else -EIO,
 * -ENOMEM. */
int ext4_fsync_inode(struct inode *inode, bool data_only);
int ext4_sync_all(struct ext4_fs *fs);
/** Let go of the inodes that wait to be written: nothing is written any more. */
void ext4_forget_dirty(struct ext4_fs *fs);
/** Write what has been dirty since @older_than_ns or longer, or all under memory @pressure. True:
 * there is more to come.  See vfs/writeback.h. */
bool ext4_writeback(struct writeback *wb, u64 older_than_ns, bool pressure);

/* ---- direct.c ---- */

/** O_DIRECT: bytes moved, -EINVAL (not aligned), -EIO, -EFAULT, -ENOMEM. */
ssize_t ext4_direct_read(struct file *file, struct iov_iter *to, u64 at);
/** Likewise; -ENOTBLK: do it through the cache, then ext4_write_pages. */
ssize_t ext4_direct_write(struct inode *inode, struct iov_iter *from, u64 at);

/* ---- namei.c, dir.c: what inodes of each kind have; dir_priv.h has the rest ---- */

extern const struct inode_ops ext4_dir_inode_ops;
extern const struct inode_ops ext4_symlink_inode_ops;
extern const struct inode_ops ext4_special_inode_ops;
extern const struct file_ops ext4_dir_file_ops;
/** Credits for a new name in a directory. */
enum { CREDITS_NAME = 40 };

/* ---- xattr.c ---- */

/** As inode_ops have them, for "user.", "trusted.", "security." and "system.posix_acl_access":
 * -ENODATA, -ERANGE, -EEXIST, -ENOSPC (one block in all beside the inode), -EOPNOTSUPP. */
ssize_t ext4_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int ext4_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags);
ssize_t ext4_listxattr(struct inode *inode, char *buf, size_t size);
int ext4_removexattr(struct inode *inode, const char *name);
/** The inode goes: drop its share in the attribute block. */
int ext4_xattr_free(struct ext4_handle *h, struct inode *inode);
