/* The ext4 on-disk format, as the kernel's documentation (filesystems/ext4) names it.  Little
 * endian throughout; block numbers of 48 bits come in two halves. */
#pragma once

#include "lib/types.h"

enum {
    EXT4_SUPER_OFFSET = 1024,
    EXT4_SUPER_MAGIC = 0xef53,
    EXT4_ROOT_INO = 2,
    EXT4_JOURNAL_INO = 8,
    EXT4_GOOD_OLD_INODE_SIZE = 128,
    EXT4_NAME_MAX = 255,
    EXT4_LINK_MAX = 65000,
    EXT4_N_BLOCKS = 15,
};

enum ext4_state { EXT4_VALID_FS = 1, EXT4_ERROR_FS = 2, EXT4_ORPHAN_FS = 4 };
enum ext4_flags { EXT4_FLAGS_SIGNED_HASH = 1, EXT4_FLAGS_UNSIGNED_HASH = 2 };

enum ext4_compat {
    EXT4_COMPAT_HAS_JOURNAL = 4,
    EXT4_COMPAT_EXT_ATTR = 8,
    EXT4_COMPAT_DIR_INDEX = 0x20,
    EXT4_COMPAT_SPARSE_SUPER2 = 0x200,
    EXT4_COMPAT_ORPHAN_FILE = 0x1000,
};
enum ext4_incompat {
    EXT4_INCOMPAT_COMPRESSION = 1,
    EXT4_INCOMPAT_FILETYPE = 2,
    EXT4_INCOMPAT_RECOVER = 4,
    EXT4_INCOMPAT_JOURNAL_DEV = 8,
    EXT4_INCOMPAT_META_BG = 0x10,
    EXT4_INCOMPAT_EXTENTS = 0x40,
    EXT4_INCOMPAT_64BIT = 0x80,
    EXT4_INCOMPAT_MMP = 0x100,
    EXT4_INCOMPAT_FLEX_BG = 0x200,
    EXT4_INCOMPAT_EA_INODE = 0x400,
    EXT4_INCOMPAT_DIRDATA = 0x1000,
    EXT4_INCOMPAT_CSUM_SEED = 0x2000,
    EXT4_INCOMPAT_LARGEDIR = 0x4000,
    EXT4_INCOMPAT_INLINE_DATA = 0x8000,
    EXT4_INCOMPAT_ENCRYPT = 0x10000,
    EXT4_INCOMPAT_CASEFOLD = 0x20000,
};
enum ext4_ro_compat {
    EXT4_RO_SPARSE_SUPER = 1,
    EXT4_RO_LARGE_FILE = 2,
    EXT4_RO_HUGE_FILE = 8,
    EXT4_RO_GDT_CSUM = 0x10,
    EXT4_RO_DIR_NLINK = 0x20,
    EXT4_RO_EXTRA_ISIZE = 0x40,
    EXT4_RO_QUOTA = 0x100,
    EXT4_RO_BIGALLOC = 0x200,
    EXT4_RO_METADATA_CSUM = 0x400,
    EXT4_RO_READONLY = 0x1000,
    EXT4_RO_PROJECT = 0x2000,
    EXT4_RO_VERITY = 0x8000,
    EXT4_RO_ORPHAN_PRESENT = 0x10000,
};

struct ext4_super_block {
    le32 inodes_count;
    le32 blocks_count_lo;
    le32 r_blocks_count_lo;
    le32 free_blocks_count_lo;
    le32 free_inodes_count;
    le32 first_data_block;
    le32 log_block_size;
    le32 log_cluster_size;
    le32 blocks_per_group;
    le32 clusters_per_group;
    le32 inodes_per_group;
    le32 mtime;
    le32 wtime;
    le16 mnt_count;
    le16 max_mnt_count;
    le16 magic;
    le16 state;
    le16 errors;
    le16 minor_rev_level;
    le32 lastcheck;
    le32 checkinterval;
    le32 creator_os;
    le32 rev_level;
    le16 def_resuid;
    le16 def_resgid;
    le32 first_ino;
    le16 inode_size;
    le16 block_group_nr;
    le32 feature_compat;
    le32 feature_incompat;
    le32 feature_ro_compat;
    u8 uuid[16];
    char volume_name[16];
    char last_mounted[64];
    le32 algorithm_usage_bitmap;
    u8 prealloc_blocks;
    u8 prealloc_dir_blocks;
    le16 reserved_gdt_blocks;
    u8 journal_uuid[16];
    le32 journal_inum;
    le32 journal_dev;
    le32 last_orphan;
    le32 hash_seed[4];
    u8 def_hash_version;
    u8 jnl_backup_type;
    le16 desc_size;
    le32 default_mount_opts;
    le32 first_meta_bg;
    le32 mkfs_time;
    le32 jnl_blocks[17];
    le32 blocks_count_hi;
    le32 r_blocks_count_hi;
    le32 free_blocks_count_hi;
    le16 min_extra_isize;
    le16 want_extra_isize;
    le32 flags;
    le16 raid_stride;
    le16 mmp_update_interval;
    le64 mmp_block;
    le32 raid_stripe_width;
    u8 log_groups_per_flex;
    u8 checksum_type;
    le16 reserved_pad;
    le64 kbytes_written;
    le32 snapshot_inum;
    le32 snapshot_id;
    le64 snapshot_r_blocks_count;
    le32 snapshot_list;
    le32 error_count;
    le32 first_error_time;
    le32 first_error_ino;
    le64 first_error_block;
    char first_error_func[32];
    le32 first_error_line;
    le32 last_error_time;
    le32 last_error_ino;
    le32 last_error_line;
    le64 last_error_block;
    char last_error_func[32];
    char mount_opts[64];
    le32 usr_quota_inum;
    le32 grp_quota_inum;
    le32 overhead_clusters;
    le32 backup_bgs[2];
    u8 encrypt_algos[4];
    u8 encrypt_pw_salt[16];
    le32 lpf_ino;
    le32 prj_quota_inum;
    le32 checksum_seed;
    u8 wtime_hi, mtime_hi, mkfs_time_hi, lastcheck_hi;
    u8 first_error_time_hi, last_error_time_hi;
    u8 first_error_errcode, last_error_errcode;
    le16 encoding;
    le16 encoding_flags;
    le32 orphan_file_inum;
    le32 reserved[94];
    le32 checksum; /* crc32c of all before it */
};
static_assert(sizeof(struct ext4_super_block) == 1024, "on disk");
static_assert(offsetof(struct ext4_super_block, checksum_seed) == 0x270, "on disk");

/** Group descriptors are 32 bytes, or desc_size with 64BIT: then all of this is there. */
struct ext4_group_desc {
    le32 block_bitmap_lo;
    le32 inode_bitmap_lo;
    le32 inode_table_lo;
    le16 free_blocks_count_lo;
    le16 free_inodes_count_lo;
    le16 used_dirs_count_lo;
    le16 flags;
    le32 exclude_bitmap_lo;
    le16 block_bitmap_csum_lo;
    le16 inode_bitmap_csum_lo;
    le16 itable_unused_lo;
    le16 checksum;
    le32 block_bitmap_hi;
    le32 inode_bitmap_hi;
    le32 inode_table_hi;
    le16 free_blocks_count_hi;
    le16 free_inodes_count_hi;
    le16 used_dirs_count_hi;
    le16 itable_unused_hi;
    le32 exclude_bitmap_hi;
    le16 block_bitmap_csum_hi;
    le16 inode_bitmap_csum_hi;
    le32 reserved;
};
static_assert(sizeof(struct ext4_group_desc) == 64, "on disk");
enum ext4_group_flags {
    EXT4_BG_INODE_UNINIT = 1,
    EXT4_BG_BLOCK_UNINIT = 2,
    EXT4_BG_INODE_ZEROED = 4,
};

struct ext4_disk_inode {
    le16 mode;
    le16 uid_lo;
    le32 size_lo;
    le32 atime;
    le32 ctime;
    le32 mtime;
    le32 dtime; /* of an orphan: the next one's number */
    le16 gid_lo;
    le16 links_count;
    le32 blocks_lo;
    le32 flags;
    le32 version;
    u8 block[60]; /* extent tree, fast symlink, device number */
    le32 generation;
    le32 file_acl_lo;
    le32 size_hi;
    le32 obso_faddr;
    le16 blocks_hi;
    le16 file_acl_hi;
    le16 uid_hi;
    le16 gid_hi;
    le16 checksum_lo;
    le16 reserved;
    /* from here on only where the inode size has room; extra_isize says how much is used */
    le16 extra_isize;
    le16 checksum_hi;
    le32 ctime_extra;
    le32 mtime_extra;
    le32 atime_extra;
    le32 crtime;
    le32 crtime_extra;
    le32 version_hi;
    le32 projid;
};
static_assert(sizeof(struct ext4_disk_inode) == 160, "on disk");
static_assert(offsetof(struct ext4_disk_inode, extra_isize) == 128, "on disk");

enum ext4_inode_flags {
    EXT4_IMMUTABLE_FL = 0x10,
    EXT4_APPEND_FL = 0x20,
    EXT4_NOATIME_FL = 0x80,
    EXT4_ENCRYPT_FL = 0x800,
    EXT4_INDEX_FL = 0x1000,
    EXT4_HUGE_FILE_FL = 0x40000, /* .blocks counts file system blocks */
    EXT4_EXTENTS_FL = 0x80000,
    EXT4_EA_INODE_FL = 0x200000,
    EXT4_INLINE_DATA_FL = 0x10000000,
    /* what a new inode takes over from its directory */
    EXT4_INHERITED_FL = 0x80 | 0x8 | 0x40 | 0x1 | 0x2 | 0x4,
};

/* Extent trees: a header, then extents (depth 0) or indices, all of 12 bytes; in a block a checksum
 * follows the last possible entry. */
struct ext4_extent_header {
    le16 magic;
    le16 entries;
    le16 max;
    le16 depth;
    le32 generation;
};
enum { EXT4_EXTENT_MAGIC = 0xf30a, EXT4_EXTENT_MAX_DEPTH = 5 };
struct ext4_extent {
    le32 block; /* first logical block */
    le16 len;   /* above 32768: that much more, unwritten */
    le16 start_hi;
    le32 start_lo;
};
enum { EXT4_EXTENT_MAX_LEN = 32768, EXT4_UNWRITTEN_MAX_LEN = 32767 };
struct ext4_extent_idx {
    le32 block;
    le32 leaf_lo;
    le16 leaf_hi;
    le16 unused;
};
static_assert(sizeof(struct ext4_extent) == 12 && sizeof(struct ext4_extent_idx) == 12 &&
                  sizeof(struct ext4_extent_header) == 12,
              "on disk");

/* Directories. */
struct ext4_dir_entry {
    le32 inode; /* 0: free */
    le16 rec_len;
    u8 name_len;
    u8 file_type;
    char name[];
};
enum { EXT4_DIR_HEAD = 8, EXT4_DIR_TAIL_TYPE = 0xde, EXT4_DIR_TAIL_LEN = 12 };
struct ext4_dir_tail {
    le32 reserved_zero1;
    le16 rec_len; /* 12 */
    u8 reserved_zero2;
    u8 reserved_ft; /* EXT4_DIR_TAIL_TYPE */
    le32 checksum;
};
static_assert(sizeof(struct ext4_dir_tail) == EXT4_DIR_TAIL_LEN, "on disk");
enum ext4_file_type {
    EXT4_FT_UNKNOWN,
    EXT4_FT_REG,
    EXT4_FT_DIR,
    EXT4_FT_CHR,
    EXT4_FT_BLK,
    EXT4_FT_FIFO,
    EXT4_FT_SOCK,
    EXT4_FT_SYMLINK,
};

/* Hashed directories: block 0 has "." and ".." and behind them dx_info; then entries, the first of
 * which holds limit and count in place of its hash. */
enum ext4_hash_version {
    EXT4_HASH_LEGACY,
    EXT4_HASH_HALF_MD4,
    EXT4_HASH_TEA,
    EXT4_HASH_LEGACY_UNSIGNED,
    EXT4_HASH_HALF_MD4_UNSIGNED,
    EXT4_HASH_TEA_UNSIGNED,
};
struct ext4_dx_info {
    le32 reserved_zero;
    u8 hash_version;
    u8 info_length; /* 8 */
    u8 indirect_levels;
    u8 unused_flags;
};
struct ext4_dx_entry {
    le32 hash;
    le32 block;
};
struct ext4_dx_countlimit {
    le16 limit;
    le16 count;
};
struct ext4_dx_tail {
    le32 reserved;
    le32 checksum;
};
enum { EXT4_DX_INFO_OFFSET = 24, EXT4_DX_ROOT_ENTRIES = 32, EXT4_DX_NODE_ENTRIES = 8 };

/* Extended attributes: behind the inode's fixed part (a magic, then entries), and in a block. */
enum { EXT4_XATTR_MAGIC = 0xea020000u, EXT4_XATTR_REFCOUNT_MAX = 1024 };
struct ext4_xattr_header {
    le32 magic;
    le32 refcount;
    le32 blocks;
    le32 hash;
    le32 checksum;
    le32 reserved[3];
};
static_assert(sizeof(struct ext4_xattr_header) == 32, "on disk");
struct ext4_xattr_entry {
    u8 name_len;
    u8 name_index;
    le16 value_offs; /* from the first entry (in an inode) or from the block's start */
    le32 value_inum;
    le32 value_size;
    le32 hash;
    char name[];
};
static_assert(sizeof(struct ext4_xattr_entry) == 16, "on disk");

/* The orphan file: blocks of inode numbers, 0 for a free place, then this. */
enum { EXT4_ORPHAN_BLOCK_MAGIC = 0x0b10ca04 };
struct ext4_orphan_tail {
    le32 magic;
    le32 checksum;
};
