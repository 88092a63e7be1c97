/* The EROFS on-disk format, as far as Ingot reads it: the kernel's documentation
 * (filesystems/erofs) and erofs-utils' erofs_fs.h name the fields.  Little endian throughout. */
#pragma once

#include "lib/types.h"

enum {
    EROFS_SUPER_OFFSET = 1024,
    EROFS_SUPER_MAGIC = 0xe0f5e1e2u,
    EROFS_BLOCK_BITS = 12, /* the one block size Ingot takes */
    EROFS_BLOCK_SIZE = 1 << EROFS_BLOCK_BITS,
    EROFS_SLOT_SIZE = 32, /* a nid counts these from the start of the metadata area */
    EROFS_NULL_ADDR = 0xffffffffu,
};

enum erofs_compat { EROFS_COMPAT_SB_CHKSUM = 1, EROFS_COMPAT_MTIME = 2 };

enum erofs_incompat {
    EROFS_INCOMPAT_ZERO_PADDING = 1,
    EROFS_INCOMPAT_COMPR_CFGS = 2, /* and big physical clusters */
    EROFS_INCOMPAT_CHUNKED_FILE = 4,
    EROFS_INCOMPAT_DEVICE_TABLE = 8, /* and a second compression head */
    EROFS_INCOMPAT_ZTAILPACKING = 0x10,
    EROFS_INCOMPAT_FRAGMENTS = 0x20, /* and deduplication */
    EROFS_INCOMPAT_XATTR_PREFIXES = 0x40,
    EROFS_INCOMPAT_48BIT = 0x80,
};

struct erofs_super_block {
    le32 magic;
    le32 checksum; /* crc32c, all ones first, of the rest of the block with this field zero */
    le32 feature_compat;
    u8 blkszbits;
    u8 sb_extslots;
    le16 root_nid;
    le64 inos;
    le64 build_time;
    le32 build_time_nsec;
    le32 blocks;
    le32 meta_blkaddr;
    le32 xattr_blkaddr;
    u8 uuid[16];
    u8 volume_name[16];
    le32 feature_incompat;
    le16 compr_algs; /* bits of enum erofs_algorithm; without COMPR_CFGS the distance of LZ4 */
    le16 extra_devices;
    le16 devt_slotoff;
    u8 dirblkbits;
    u8 xattr_prefix_count;
    le32 xattr_prefix_start;
    le64 packed_nid;
    u8 reserved[24];
};
static_assert(sizeof(struct erofs_super_block) == 128, "on disk");

/** i_format: bit 0 is the version, bits 1 to 3 the layout of the data. */
enum erofs_layout {
    EROFS_FLAT_PLAIN = 0,
    EROFS_COMPRESSED_FULL = 1,
    EROFS_FLAT_INLINE = 2, /* the last block's bytes follow the inode */
    EROFS_COMPRESSED_COMPACT = 3,
    EROFS_CHUNK_BASED = 4,
};
enum { EROFS_INODE_EXTENDED = 1, EROFS_LAYOUT_SHIFT = 1, EROFS_LAYOUT_MASK = 7 };
enum { EROFS_FORMAT_KNOWN = 0xf };

struct erofs_inode_compact {
    le16 format;
    le16 xattr_icount;
    le16 mode;
    le16 nlink;
    le32 size;
    le32 reserved;
    le32 u; /* first block, device number, or format of the chunks */
    le32 ino;
    le16 uid;
    le16 gid;
    le32 reserved2;
};
static_assert(sizeof(struct erofs_inode_compact) == 32, "on disk");

struct erofs_inode_extended {
    le16 format;
    le16 xattr_icount;
    le16 mode;
    le16 reserved;
    le64 size;
    le32 u;
    le32 ino;
    le32 uid;
    le32 gid;
    le64 mtime;
    le32 mtime_nsec;
    le32 nlink;
    u8 reserved2[16];
};
static_assert(sizeof(struct erofs_inode_extended) == 64, "on disk");

enum { EROFS_CHUNK_BITS_MASK = 0x1f, EROFS_CHUNK_INDEXES = 0x20, EROFS_CHUNK_KNOWN = 0x3f };
struct erofs_chunk_index {
    le16 advise;
    le16 device_id;
    le32 blkaddr;
};
static_assert(sizeof(struct erofs_chunk_index) == 8, "on disk");

/** How clusters are compressed. */
enum erofs_algorithm { EROFS_LZ4 = 0, EROFS_LZMA = 1 };

/* Behind the super block and its slots, with COMPR_CFGS: for each algorithm a le16 length and so
 * many bytes. */
struct erofs_lzma_config {
    le32 dict_size;
    le16 format; /* 0: MicroLZMA */
    u8 reserved[8];
} __attribute__((packed));
static_assert(sizeof(struct erofs_lzma_config) == 14, "on disk");

/* Behind inode and attributes of a compressed file, aligned to 8; then an index entry for each
 * logical cluster (4096 bytes of the file). */
struct erofs_map_header {
    le16 reserved;
    le16 inline_size; /* with ADVISE_INLINE: bytes of the last cluster, which lies behind the index
                       */
    le16 advise;
    u8 algorithms;   /* of heads of type 1; of type 2 in the upper half */
    u8 cluster_bits; /* bits 0 to 2: logical clusters are 4096 << this; 7: all is in fragments */
};
static_assert(sizeof(struct erofs_map_header) == 8, "on disk");
enum {
    EROFS_ADVISE_COMPACT_2B = 1,
    EROFS_ADVISE_BIG_1 = 2, /* physical clusters of several blocks */
    EROFS_ADVISE_BIG_2 = 4,
    EROFS_ADVISE_INLINE = 8,
    EROFS_ADVISE_INTERLACED = 0x10, /* stored bytes lie as they will in their page */
    EROFS_ADVISE_FRAGMENT = 0x20,
};

/** What a logical cluster is: the bytes from .offset on begin a new extent, or none does. */
enum erofs_cluster {
    EROFS_CLUSTER_STORED = 0,
    EROFS_CLUSTER_HEAD = 1,
    EROFS_CLUSTER_INSIDE = 2,
    EROFS_CLUSTER_HEAD2 = 3,
    EROFS_CLUSTER_MASK = 3,
};

/* An entry of the full index, which begins 8 bytes behind the header. */
struct erofs_full_index {
    le16 advise; /* enum erofs_cluster */
    le16 offset;
    union {
        le32 blkaddr;
        le16 delta[2]; /* inside: clusters back to the head, and on to the next one */
    } u;
};
static_assert(sizeof(struct erofs_full_index) == 8, "on disk");
/* In the first inside cluster's distance: instead of it, the physical cluster's blocks. */
enum { EROFS_DELTA_IS_BLOCKS = 0x800 };

/* Each block of a directory begins with these, in order of name; the first one's nameoff tells how
 * many there are. */
struct __attribute__((packed)) erofs_dirent {
    le64 nid;
    le16 nameoff;
    u8 file_type;
    u8 reserved;
};
static_assert(sizeof(struct erofs_dirent) == 12, "on disk");

struct erofs_xattr_header {
    le32 name_filter;
    u8 shared_count;
    u8 reserved[7];
    /* le32 shared[shared_count], in units of 4 bytes; then entries */
};
static_assert(sizeof(struct erofs_xattr_header) == 12, "on disk");

struct erofs_xattr_entry {
    u8 name_len;
    u8 name_index;
    le16 value_size;
    /* name, value; padded to 4 bytes */
};
static_assert(sizeof(struct erofs_xattr_entry) == 4, "on disk");
