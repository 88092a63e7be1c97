/* The journal at mount: its super block, where it lies, and the replay of what a crash left in it.
 * Three passes, as its documentation has them: find the end of the log, gather the revoked blocks,
 * copy the others to their places. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "disk/jbd2.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"

enum { JOURNAL_LEAST = 256, MAX_TX = 2048, TX_SHARE = 6 };

struct revoked {
    u64 block;
    u32 sequence;
};

struct replay {
    struct ext4_fs *fs;
    u32 compat, incompat;    /* of the journal */
    u32 start, sequence;     /* where the log begins */
    u32 end;                 /* the first sequence that is not whole */
    u8 *block;               /* owns: a descriptor */
    u8 *data;                /* owns: a copy */
    struct revoked *revoked; /* owns */
    u32 nr_revoked, max_revoked;
    u64 restored;
};

static int read_log(struct ext4_fs *fs, u32 index, void *data)
{
    u64 block = journal_block(&fs->journal, index);

    return block_read(fs->bd, block << (fs->block_bits - 9), data, fs->block_size / SECTOR_SIZE);
}

static u32 advance(const struct ext4_journal *j, u32 at, u32 by)
{
    at += by;
    return at >= j->maxlen ? at - (j->maxlen - j->first) : at;
}

static bool has(const struct replay *r, u32 feature)
{
    return r->incompat & feature;
}

static bool has_csum(const struct replay *r)
{
    return has(r, JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_CSUM_V3);
}

static bool block_csum_ok(const struct replay *r, u32 at)
{
    be32 want, zero = be32_of(0);

    if (!has_csum(r))
        return true;
    memcpy(&want, r->block + at, sizeof(want));
    u32 crc = crc32c(r->fs->journal.seed, r->block, at);
    crc = crc32c(crc, &zero, sizeof(zero));
    crc = crc32c(crc, r->block + at + 4, r->fs->block_size - at - 4);
    return crc == be32_get(want);
}

static u32 tag_bytes(const struct replay *r)
{
    if (has(r, JBD2_INCOMPAT_CSUM_V3))
        return sizeof(struct jbd2_tag3);
    return 8 + (has(r, JBD2_INCOMPAT_64BIT) ? 4 : 0) + (has(r, JBD2_INCOMPAT_CSUM_V2) ? 2 : 0);
}

struct tag {
    u64 block;
    u32 flags, checksum;
};

/* The next tag of the descriptor in .block at *@at; false: there is no more. */
static bool next_tag(const struct replay *r, u32 *at, struct tag *out)
{
    u32 end = r->fs->block_size - (has_csum(r) ? (u32)sizeof(struct jbd2_block_tail) : 0);
    const u8 *p = r->block + *at;

    if (*at + tag_bytes(r) > end)
        return false;
    if (has(r, JBD2_INCOMPAT_CSUM_V3)) {
        struct jbd2_tag3 tag;
        memcpy(&tag, p, sizeof(tag));
        *out = (struct tag){be32_get(tag.blocknr), be32_get(tag.flags), be32_get(tag.checksum)};
        if (has(r, JBD2_INCOMPAT_64BIT))
            out->block |= (u64)be32_get(tag.blocknr_high) << 32;
    } else {
        struct jbd2_tag tag = {0};
        memcpy(&tag, p, has(r, JBD2_INCOMPAT_64BIT) ? 12 : 8);
        *out = (struct tag){be32_get(tag.blocknr), be16_get(tag.flags), be16_get(tag.checksum)};
        out->block |= (u64)be32_get(tag.blocknr_high) << 32;
    }
    *at += tag_bytes(r);
    if (!(out->flags & JBD2_SAME_UUID))
        *at += 16;
    return true;
}

static bool data_csum_ok(const struct replay *r, const struct tag *tag, u32 sequence)
{
    be32 word = be32_of(sequence);

    if (!has_csum(r))
        return true;
    u32 crc = crc32c(r->fs->journal.seed, &word, sizeof(word));
    crc = crc32c(crc, r->data, r->fs->block_size);
    return has(r, JBD2_INCOMPAT_CSUM_V3) ? crc == tag->checksum : (u16)crc == (u16)tag->checksum;
}

static bool is_revoked(const struct replay *r, u64 block, u32 sequence)
{
    u32 low = 0, high = r->nr_revoked;

    while (low < high) {
        u32 mid = (low + high) / 2;
        if (r->revoked[mid].block < block)
            low = mid + 1;
        else
            high = mid;
    }
    /* sorted by block, then the latest first */
    return low < r->nr_revoked && r->revoked[low].block == block &&
           (s32)(r->revoked[low].sequence - sequence) >= 0;
}

/* Copy the block of @tag, which lies in the log at @at, to its place. */
static int restore(struct replay *r, const struct tag *tag, u32 at, u32 sequence)
{
    struct ext4_fs *fs = r->fs;
    be32 magic = be32_of(JBD2_MAGIC);

    if (is_revoked(r, tag->block, sequence))
        return 0;
    if (tag->block >= fs->nr_blocks)
        return -EUCLEAN;
    int err = read_log(fs, at, r->data);
    if (err)
        return err;
    if (!data_csum_ok(r, tag, sequence)) {
        log_err("ext4: %s: journal: block %llu has a wrong checksum", fs->bd->name,
                (unsigned long long)tag->block);
        return -EUCLEAN;
    }
    if (tag->flags & JBD2_ESCAPE)
        memcpy(r->data, &magic, sizeof(magic));
    r->restored++;
    return block_write(fs->bd, tag->block << (fs->block_bits - 9), r->data,
                       fs->block_size / SECTOR_SIZE);
}

/* Walk the tags of a descriptor; @restoring: copy them. Returns how many blocks follow it. */
static int walk_descriptor(struct replay *r, u32 at, u32 sequence, bool restoring, u32 *count)
{
    u32 pos = sizeof(struct jbd2_header), n = 0;
    struct tag tag = {.flags = 0};
    int err = 0, first = 0;

    while (!(tag.flags & JBD2_LAST_TAG) && next_tag(r, &pos, &tag)) {
        n++;
        if (restoring)
            err = restore(r, &tag, advance(&r->fs->journal, at, n), sequence);
        if (err && !first)
            first = err;
    }
    *count = n;
    return first;
}

static int add_revoked(struct replay *r, u64 block, u32 sequence)
{
    if (r->nr_revoked == r->max_revoked) {
        u32 max = r->max_revoked ? r->max_revoked * 2 : 64;
        struct revoked *more = krealloc(r->revoked, max * sizeof(*more));
        if (!more)
            return -ENOMEM;
        r->revoked = more;
        r->max_revoked = max;
    }
    r->revoked[r->nr_revoked++] = (struct revoked){block, sequence};
    return 0;
}

static int walk_revokes(struct replay *r, u32 sequence)
{
    const struct jbd2_revoke_header *head = (void *)r->block;
    u32 end = be32_get(head->count), size = has(r, JBD2_INCOMPAT_64BIT) ? 8 : 4;
    u32 room = r->fs->block_size - (has_csum(r) ? (u32)sizeof(struct jbd2_block_tail) : 0);

    if (end > room)
        return -EUCLEAN;
    for (u32 at = sizeof(*head); at + size <= end; at += size) {
        be64 wide;
        be32 narrow;
        memcpy(&narrow, r->block + at, 4);
        if (size == 8)
            memcpy(&wide, r->block + at, 8);
        int err = add_revoked(r, size == 8 ? be64_get(wide) : be32_get(narrow), sequence);
        if (err)
            return err;
    }
    return 0;
}

static bool revoked_before(const struct revoked *a, const struct revoked *b)
{
    return a->block != b->block ? a->block < b->block : (s32)(a->sequence - b->sequence) > 0;
}

static void sort_revoked(struct replay *r)
{
    for (u32 gap = r->nr_revoked / 2; gap; gap = gap > 2 ? gap * 5 / 11 : gap / 2) {
        for (u32 i = gap; i < r->nr_revoked; i++) {
            struct revoked one = r->revoked[i];
            u32 at = i;
            for (; at >= gap && revoked_before(&one, &r->revoked[at - gap]); at -= gap)
                r->revoked[at] = r->revoked[at - gap];
            r->revoked[at] = one;
        }
    }
}

enum pass { PASS_SCAN, PASS_REVOKE, PASS_RESTORE };

/* One block of the log: what it is, and how many further ones belong to it. 1: the log ends. */
static int walk_block(struct replay *r, enum pass pass, u32 at, u32 *sequence, u32 *count)
{
    const struct jbd2_header *head = (void *)r->block;
    u32 tail = r->fs->block_size - (u32)sizeof(struct jbd2_block_tail);
    int err = 0;

    *count = 0;
    if (be32_get(head->magic) != JBD2_MAGIC || be32_get(head->sequence) != *sequence)
        return 1;
    switch (be32_get(head->type)) {
    case JBD2_DESCRIPTOR:
        if (!block_csum_ok(r, tail))
            return 1;
        return walk_descriptor(r, at, *sequence, pass == PASS_RESTORE, count);
    case JBD2_REVOKE:
        if (!block_csum_ok(r, tail))
            return 1;
        return pass == PASS_REVOKE ? walk_revokes(r, *sequence) : 0;
    case JBD2_COMMIT:
        if (!block_csum_ok(r, offsetof(struct jbd2_commit_header, chksum)))
            return 1;
        ++*sequence;
        return err;
    default:
        return 1;
    }
}

static int walk(struct replay *r, enum pass pass)
{
    const struct ext4_journal *j = &r->fs->journal;
    u32 at = r->start, sequence = r->sequence, left = j->maxlen - j->first, count;

    while (left && (pass == PASS_SCAN || sequence != r->end)) {
        int err = read_log(r->fs, at, r->block);
        if (!err)
            err = walk_block(r, pass, at, &sequence, &count);
        if (err > 0)
            break;
        if (err < 0)
            return err;
        if (count + 1 > left)
            break;
        left -= count + 1;
        at = advance(j, at, count + 1);
    }
    if (pass == PASS_SCAN)
        r->end = sequence;
    return 0;
}

/* The runs of the journal's file, as pairs. */
static int map_journal(struct ext4_fs *fs, struct inode *inode)
{
    struct ext4_journal *j = &fs->journal;
    u32 at = 0, max = 0;

    while (at < j->maxlen) {
        struct ext4_run run;
        int err = ext4_map(inode, at, j->maxlen - at, &run);
        if (err)
            return err;
        if (run.state != MAP_WRITTEN)
            return -EUCLEAN;
        if (j->nr_runs == max) {
            max = max ? max * 2 : 4;
            u64 *more = krealloc(j->map, max * 2 * sizeof(u64));
            if (!more)
                return -ENOMEM;
            j->map = more;
        }
        j->map[j->nr_runs * 2] = run.len;
        j->map[j->nr_runs * 2 + 1] = run.start;
        j->nr_runs++;
        at += run.len;
    }
    return 0;
}

static bool super_csum_ok(struct jbd2_superblock *super)
{
    be32 want = super->checksum;

    super->checksum = be32_of(0);
    bool ok = crc32c(UINT32_MAX, super, sizeof(*super)) == be32_get(want);
    super->checksum = want;
    return ok;
}

static const char *check_super(struct ext4_fs *fs, struct jbd2_superblock *super, u64 inode_size)
{
    const u32 known = JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_64BIT | JBD2_INCOMPAT_CSUM_V2 |
                      JBD2_INCOMPAT_CSUM_V3 | JBD2_INCOMPAT_ASYNC_COMMIT |
                      JBD2_INCOMPAT_FAST_COMMIT;
    u32 incompat = be32_get(super->feature_incompat), type = be32_get(super->header.type);
    u32 first = be32_get(super->first), maxlen = be32_get(super->maxlen);

    if (be32_get(super->header.magic) != JBD2_MAGIC ||
        (type != JBD2_SUPERBLOCK_V2 && type != JBD2_SUPERBLOCK_V1))
        return "the journal has no super block";
    if (be32_get(super->blocksize) != fs->block_size || maxlen < JOURNAL_LEAST ||
        maxlen > inode_size >> fs->block_bits || !first || first >= maxlen - JOURNAL_LEAST / 2 ||
        be32_get(super->start) >= maxlen)
        return "the journal's super block is damaged";
    if (type == JBD2_SUPERBLOCK_V2 && incompat & ~known)
        return "the journal has features that are not known";
    if (incompat & JBD2_INCOMPAT_FAST_COMMIT)
        return "fast_commit (the journal)";
    if (incompat & (JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_CSUM_V3) && !super_csum_ok(super))
        return "the journal's super block has a wrong checksum";
    return NULL;
}

static void set_limits(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;
    u32 memory = (u32)min(page_total() * PAGE_SIZE / 32 >> fs->block_bits, (u64)MAX_TX);

    j->max_tx = min((j->maxlen - j->first) / TX_SHARE, max(memory, 128u));
}

static int load(struct ext4_fs *fs, struct inode *inode, struct jbd2_superblock *super,
                const char **why)
{
    struct ext4_journal *j = &fs->journal;
    struct ext4_run run;

    *why = "the journal's first block";
    int err = ext4_map(inode, 0, 1, &run);
    if (!err && run.state != MAP_WRITTEN)
        err = -EUCLEAN;
    if (!err)
        err = block_read(fs->bd, run.start << (fs->block_bits - 9), super,
                         sizeof(*super) / SECTOR_SIZE);
    if (err)
        return err;
    *why = check_super(fs, super, inode->size);
    if (*why)
        return -EUCLEAN;
    j->first = be32_get(super->first);
    j->maxlen = be32_get(super->maxlen);
    j->sequence = be32_get(super->sequence);
    j->head = j->first;
    j->free = j->maxlen - j->first;
    j->on_disk = true;
    memcpy(j->uuid, super->uuid, sizeof(j->uuid));
    j->seed = crc32c(UINT32_MAX, j->uuid, sizeof(j->uuid));
    set_limits(fs);
    *why = "where the journal lies";
    return map_journal(fs, inode);
}

int journal_load(struct ext4_fs *fs, const char **why)
{
    u32 ino = le32_get(ext4_super(fs)->journal_inum);
    struct inode *inode;

    *why = "the journal's inode";
    int err = ext4_iget(fs->sb, ino, false, &inode);
    if (err)
        return err;
    struct jbd2_superblock *super = kmalloc(sizeof(*super));
    err = super ? load(fs, inode, super, why) : -ENOMEM;
    kfree(super);
    inode_put(inode);
    return err;
}

static int run_passes(struct replay *r)
{
    int err = walk(r, PASS_SCAN);

    if (!err)
        err = walk(r, PASS_REVOKE);
    if (err)
        return err;
    sort_revoked(r);
    err = walk(r, PASS_RESTORE);
    if (!err)
        err = block_flush(r->fs->bd);
    if (err)
        return err;
    r->fs->journal.sequence = r->end + 1; /* nothing that is in the log now may look like new */
    return journal_write_super(r->fs, 0, r->fs->journal.sequence);
}

int journal_replay(struct ext4_fs *fs, const char **why)
{
    struct replay r = {.fs = fs};
    struct jbd2_superblock *super;
    int err;

    *why = "replaying the journal";
    r.block = kmalloc(fs->block_size);
    r.data = kmalloc(fs->block_size);
    err = r.block && r.data ? read_log(fs, 0, r.block) : -ENOMEM;
    if (!err) {
        super = (void *)r.block;
        r.incompat = be32_get(super->feature_incompat);
        r.start = be32_get(super->start);
        r.sequence = be32_get(super->sequence);
    }
    if (!err && r.start && (r.start < fs->journal.first || r.start >= fs->journal.maxlen))
        err = -EUCLEAN;
    if (!err && r.start) {
        err = run_passes(&r);
        if (!err)
            log_info("ext4: %s: %u transactions replayed", fs->bd->name, r.end - r.sequence);
    }
    kfree(r.block);
    kfree(r.data);
    kfree(r.revoked);
    return err;
}
