/* The journal of ext4 on disk, JBD2 (the kernel's filesystems/ext4/journal).  Big endian. */
#pragma once

#include "lib/be.h"

enum { JBD2_MAGIC = 0xc03b3998u };
enum jbd2_block_type {
    JBD2_DESCRIPTOR = 1,
    JBD2_COMMIT = 2,
    JBD2_SUPERBLOCK_V1 = 3,
    JBD2_SUPERBLOCK_V2 = 4,
    JBD2_REVOKE = 5,
};
enum jbd2_incompat {
    JBD2_INCOMPAT_REVOKE = 1,
    JBD2_INCOMPAT_64BIT = 2,
    JBD2_INCOMPAT_ASYNC_COMMIT = 4,
    JBD2_INCOMPAT_CSUM_V2 = 8,
    JBD2_INCOMPAT_CSUM_V3 = 0x10,
    JBD2_INCOMPAT_FAST_COMMIT = 0x20,
};
enum { JBD2_COMPAT_CHECKSUM = 1, JBD2_CRC32C = 4 };

struct jbd2_header {
    be32 magic;
    be32 type;
    be32 sequence;
};

struct jbd2_superblock {
    struct jbd2_header header;
    be32 blocksize;
    be32 maxlen;
    be32 first;
    be32 sequence; /* first one expected in the log */
    be32 start;    /* block of the log's start; 0: empty */
    be32 error;
    be32 feature_compat;
    be32 feature_incompat;
    be32 feature_ro_compat;
    u8 uuid[16];
    be32 nr_users;
    be32 dynsuper;
    be32 max_transaction;
    be32 max_trans_data;
    u8 checksum_type;
    u8 padding2[3];
    be32 num_fc_blocks;
    be32 head;
    be32 padding[40];
    be32 checksum; /* crc32c of all with this field zero */
    u8 users[16 * 48];
};
static_assert(sizeof(struct jbd2_superblock) == 1024, "on disk");
static_assert(offsetof(struct jbd2_superblock, checksum) == 0xfc, "on disk");

enum jbd2_tag_flags { JBD2_ESCAPE = 1, JBD2_SAME_UUID = 2, JBD2_DELETED = 4, JBD2_LAST_TAG = 8 };
struct jbd2_tag3 { /* with CSUM_V3 */
    be32 blocknr;
    be32 flags;
    be32 blocknr_high;
    be32 checksum;
};
struct jbd2_tag { /* without; .blocknr_high only with 64BIT, 2 bytes more with CSUM_V2 */
    be32 blocknr;
    be16 checksum;
    be16 flags;
    be32 blocknr_high;
};
struct jbd2_block_tail {
    be32 checksum;
};
struct jbd2_revoke_header {
    struct jbd2_header header;
    be32 count; /* bytes used in the block, this header included */
};
struct jbd2_commit_header {
    struct jbd2_header header;
    u8 chksum_type;
    u8 chksum_size;
    u8 padding[2];
    be32 chksum[8];
    be64 commit_sec;
    be32 commit_nsec;
};
static_assert(sizeof(struct jbd2_commit_header) == 60, "on disk");
