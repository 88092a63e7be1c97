/* What the erofs*.c files share. */
#pragma once

#include "disk/erofs.h"
#include "fs/erofs.h"
#include "vfs/inode.h"

/* A mounted image.  [I]. */
struct erofs {
    const u8 *base;       /* NULL: on a disk */
    struct block_dev *bd; /* NULL: in memory */
    struct inode *disk;   /* the disk's blocks as a file, for metadata */
    u64 size;             /* bytes, checked against what is there */
    u64 meta_pos;         /* of nid 0 */
    u64 xattr_pos;        /* of shared attribute 0 */
    u64 root_nid;
    struct linux_timespec build_time;
    bool zero_padding; /* compressed bytes end with their cluster, zeroes are before */
    bool has_headers;  /* the headers of full indices mean something */
    u32 algorithms;    /* bits of enum erofs_algorithm */
    u32 dict_size;     /* of LZMA */
};

/* Behind each inode.  [I], checked against the size of the image when it is read. */
struct erofs_inode {
    u8 layout;
    u8 chunk_bits;  /* chunks are 1 << chunk_bits bytes */
    u8 chunk_unit;  /* bytes of an entry of the chunk table */
    u64 head_pos;   /* flat: where whole blocks are */
    u64 head_len;   /* bytes there */
    u64 tail_pos;   /* inline: what follows them; chunks: the table */
    u64 xattr_pos;  /* of the header */
    u32 xattr_len;  /* 0: none */
    const u8 *head; /* in memory, the same as addresses */
    const u8 *tail;
    /* Compressed: */
    u8 algorithm;
    u16 advise;
    u64 index_pos;   /* of the index */
    u32 nr_clusters; /* logical ones */
    u32 inline_head; /* the cluster where the extent begins that lies behind the index */
    u32 inline_len;  /* its bytes there; 0: there is none */
    u64 inline_pos;
};

/** What is behind an inode's file system, and behind the inode. */
static inline struct erofs *erofs_of(const struct inode *inode)
{
    return inode->sb->data;
}
static inline struct erofs_inode *erofs_inode_of(const struct inode *inode)
{
    return inode->data;
}

/* A piece of the image in memory, held until it is released. */
struct erofs_buf {
    struct page *page; /* owns; NULL for an image in memory */
};
/**
 * [pos, pos + len), which must lie in one block. 0 and *@out, -EUCLEAN (outside of the image),
 * -EIO, -ENOMEM.
 */
int erofs_map(const struct erofs *fs, u64 pos, u64 len, struct erofs_buf *buf, const u8 **out);
void erofs_unmap(struct erofs_buf *buf);
/** Copy from anywhere in the image. */
int erofs_copy(const struct erofs *fs, u64 pos, void *dst, u64 len);

/** The inode with number @nid, with a reference. */
int erofs_iget(struct super_block *sb, u64 nid, struct inode **out);
/** Where the byte at @offset is: *@pos (0: a hole) and how many follow it there. */
int erofs_extent(struct inode *inode, u64 offset, u64 *pos, u64 *len);

/** True if [pos, pos + len) lies inside of the image. */
static inline bool erofs_has(const struct erofs *fs, u64 pos, u64 len)
{
    return pos <= fs->size && len <= fs->size - pos;
}

/** Read the header of a compressed file. @end: behind inode and attributes. */
int erofs_place_compressed(struct erofs *fs, struct inode *inode, u64 end);

/* Bytes [start, end) of a file, which lie as [pos, pos + len) in the image. */
struct erofs_zextent {
    u64 start, end;
    u64 pos;
    u32 len;
    bool stored;
};
/** The extent with the byte at @offset; .end is at least @until where the extent goes on that far.
 */
int erofs_zextent(struct inode *inode, u64 offset, u64 until, struct erofs_zextent *out);
/** readpages of a compressed file. */
int erofs_zreadpages(struct inode *inode, u64 index, struct page **pages, u32 nr);

/* What inode_ops have.  All of it may meet damage: -EUCLEAN, or -EIO of the disk. */
int erofs_lookup(struct inode *dir, const char *name, size_t len, struct inode **out);
int erofs_iterate(struct inode *dir, u64 *pos, struct dir_sink *sink);
ssize_t erofs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
ssize_t erofs_listxattr(struct inode *inode, char *buf, size_t size);
const void *erofs_direct(struct inode *inode, u64 offset, u64 *len);
int erofs_readpages(struct inode *inode, u64 index, struct page **pages, u32 nr);
/** readpages of the disk itself. */
extern const struct inode_ops erofs_disk_ops;
