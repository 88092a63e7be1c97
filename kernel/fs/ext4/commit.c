/* Commit and checkpoint.
 * A commit closes the running transaction, waits for its handles, makes checksums, copies its
 * blocks and lets the next transaction begin; then it writes the copies to the log, flushes, writes
 * the commit block and flushes again.  File data that the transaction refers to was written before
 * (writeback.c), so the first flush makes it durable too: ordered mode.
 * A checkpoint commits with the door kept closed, writes every block to its place and empties the
 * log.  Without a journal a commit is a checkpoint. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "core/panic.h"
#include "core/time.h"
#include "disk/jbd2.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/errseq.h"

enum { MAX_TX_BLOCKS = 2048, HOME_SHARE = 16 };

u64 journal_block(const struct ext4_journal *j, u32 index)
{
    const u64 *run = j->map; /* pairs: blocks in the run, its first physical block */

    for (u32 i = 0; i < j->nr_runs; i++, run += 2) {
        if (index < run[0])
            return run[1] + index;
        index -= (u32)run[0];
    }
    return 0; /* maxlen was checked against the map */
}

static u64 sector_of(const struct ext4_fs *fs, u64 block)
{
    return block << (fs->block_bits - 9);
}

void journal_abort(struct ext4_fs *fs, int err)
{
    if (__atomic_exchange_n(&fs->journal.error, err, __ATOMIC_ACQ_REL))
        return;
    errseq_set(&fs->sb->error, err);
    ext4_error(fs, "the journal cannot be written (error %d)", -err);
}

/* ---- the log ---- */

static u32 log_next(struct ext4_journal *j)
{
    u32 at = j->head;

    if (++j->head == j->maxlen)
        j->head = j->first;
    j->free--;
    return at;
}

int journal_write_super(struct ext4_fs *fs, u32 start, u32 sequence)
{
    struct ext4_journal *j = &fs->journal;
    u8 *block = kmalloc(fs->block_size);
    u64 sector = sector_of(fs, journal_block(j, 0));

    if (!block)
        return -ENOMEM;
    int err = block_read(fs->bd, sector, block, fs->block_size / SECTOR_SIZE);
    struct jbd2_superblock *super = (void *)block;
    if (!err) {
        u32 incompat = be32_get(super->feature_incompat);
        incompat &= ~(u32)(JBD2_INCOMPAT_CSUM_V2 | JBD2_INCOMPAT_CSUM_V3);
        incompat |= JBD2_INCOMPAT_REVOKE | (fs->csum ? (u32)JBD2_INCOMPAT_CSUM_V3 : 0);
        if (ext4_has_incompat(fs, EXT4_INCOMPAT_64BIT))
            incompat |= JBD2_INCOMPAT_64BIT;
        super->feature_incompat = be32_of(incompat);
        super->feature_compat =
            be32_of(be32_get(super->feature_compat) & ~(u32)JBD2_COMPAT_CHECKSUM);
        super->checksum_type = fs->csum ? JBD2_CRC32C : 0;
        super->start = be32_of(start);
        super->sequence = be32_of(sequence);
        super->checksum = be32_of(0);
        if (fs->csum)
            super->checksum = be32_of(crc32c(UINT32_MAX, super, sizeof(*super)));
        err = block_write(fs->bd, sector, block, fs->block_size / SECTOR_SIZE);
    }
    if (!err)
        err = block_flush(fs->bd);
    kfree(block);
    return err;
}

/* One write of the log under way: where blocks of our own making go. */
struct log_writer {
    struct ext4_fs *fs;
    struct block_batch batch;
    u32 sequence;
    u8 *block; /* the descriptor or revoke block that is being filled; owned by the pool */
    u32 used;  /* bytes of it */
    u32 at;    /* its place in the log */
    u8 **pool; /* blocks of our own, all freed at the end */
    u32 nr_pool;
};

static void writer_add(struct log_writer *w, u32 at, void *data)
{
    block_batch_add(&w->batch, sector_of(w->fs, journal_block(&w->fs->journal, at)), data,
                    w->fs->block_size);
}

static u32 tail_len(const struct ext4_fs *fs)
{
    return fs->csum ? sizeof(struct jbd2_block_tail) : 0;
}

/* A fresh block of ours of @type. The pool has room for all: see pool_size(). */
static void writer_begin(struct log_writer *w, u32 type, u32 head_len)
{
    w->block = w->pool[w->nr_pool++];
    memset(w->block, 0, w->fs->block_size);
    *(struct jbd2_header *)w->block =
        (struct jbd2_header){be32_of(JBD2_MAGIC), be32_of(type), be32_of(w->sequence)};
    w->used = head_len;
    w->at = log_next(&w->fs->journal);
}

static void writer_end(struct log_writer *w)
{
    struct ext4_fs *fs = w->fs;

    if (fs->csum) {
        be32 *sum = (be32 *)(w->block + fs->block_size - sizeof(struct jbd2_block_tail));
        *sum = be32_of(crc32c(fs->journal.seed, w->block, fs->block_size));
    }
    writer_add(w, w->at, w->block);
    w->block = NULL;
}

static u32 tag_len(const struct ext4_fs *fs)
{
    if (fs->csum)
        return sizeof(struct jbd2_tag3);
    return ext4_has_incompat(fs, EXT4_INCOMPAT_64BIT) ? 12 : 8;
}

/* Enter @data, the copy of @block that goes to the log, in the descriptor. */
static void writer_tag(struct log_writer *w, u64 block, const void *data, u32 flags)
{
    struct ext4_fs *fs = w->fs;
    bool first = w->used == sizeof(struct jbd2_header);
    u8 *at = w->block + w->used;

    flags |= first ? 0u : (u32)JBD2_SAME_UUID;
    if (fs->csum) {
        be32 sequence = be32_of(w->sequence);
        u32 crc = crc32c(fs->journal.seed, &sequence, sizeof(sequence));
        struct jbd2_tag3 tag = {be32_of((u32)block), be32_of(flags), be32_of((u32)(block >> 32)),
                                be32_of(crc32c(crc, data, fs->block_size))};
        memcpy(at, &tag, sizeof(tag));
    } else {
        struct jbd2_tag tag = {be32_of((u32)block), be16_of(0), be16_of((u16)flags),
                               be32_of((u32)(block >> 32))};
        memcpy(at, &tag, tag_len(fs));
    }
    w->used += tag_len(fs);
    if (first) {
        memcpy(w->block + w->used, fs->journal.uuid, 16);
        w->used += 16;
    }
}

/* Big-endian flags end at the eighth byte in all kinds of tags. */
static void set_last_tag(struct log_writer *w, u32 tag_at)
{
    w->block[tag_at + 7] |= JBD2_LAST_TAG;
}

static u32 tags_per_block(const struct ext4_fs *fs)
{
    return (fs->block_size - (u32)sizeof(struct jbd2_header) - 16 - tail_len(fs)) / tag_len(fs);
}

static u32 revokes_per_block(const struct ext4_fs *fs)
{
    u32 size = ext4_has_incompat(fs, EXT4_INCOMPAT_64BIT) ? 8 : 4;

    return (fs->block_size - (u32)sizeof(struct jbd2_revoke_header) - tail_len(fs)) / size;
}

static u32 own_blocks(const struct ext4_fs *fs, u32 nr_bufs, u32 nr_revoked)
{
    return DIV_UP(nr_bufs, tags_per_block(fs)) + DIV_UP(nr_revoked, revokes_per_block(fs)) + 1;
}

static void write_revokes(struct log_writer *w, struct list_head *revoked)
{
    struct ext4_freed *r;
    u32 size = ext4_has_incompat(w->fs, EXT4_INCOMPAT_64BIT) ? 8 : 4, left = 0;

    list_for_each(r, revoked, node) {
        if (!left) {
            writer_begin(w, JBD2_REVOKE, sizeof(struct jbd2_revoke_header));
            left = revokes_per_block(w->fs);
        }
        be64 wide = be64_of(r->block);
        be32 narrow = be32_of((u32)r->block);
        memcpy(w->block + w->used, size == 8 ? (void *)&wide : (void *)&narrow, size);
        w->used += size;
        ((struct jbd2_revoke_header *)w->block)->count = be32_of(w->used);
        if (!--left || r->node.next == revoked)
            writer_end(w);
    }
}

/* One block of the transaction as it goes to the log. */
struct log_copy {
    u64 block;
    u8 *data; /* owned, or the buffer's own */
    struct ext4_buf *buf;
    bool owned, escaped; /* escaped and not owned: the buffer lacks its first word meanwhile */
};

/* Descriptors, and behind each the blocks that it names: in the order in which they lie in the log,
 * so that all of it is one request where it is not long. */
static void write_blocks(struct log_writer *w, struct log_copy *copies, u32 n)
{
    for (u32 i = 0, end; i < n; i = end) {
        u32 last_tag = 0;
        end = i + min(n - i, tags_per_block(w->fs));
        writer_begin(w, JBD2_DESCRIPTOR, sizeof(struct jbd2_header));
        for (u32 k = i; k < end; k++) {
            last_tag = w->used;
            writer_tag(w, copies[k].block, copies[k].data, copies[k].escaped ? JBD2_ESCAPE : 0);
        }
        set_last_tag(w, last_tag);
        writer_end(w);
        for (u32 k = i; k < end; k++)
            writer_add(w, log_next(&w->fs->journal), copies[k].data);
    }
}

static int write_commit(struct log_writer *w)
{
    struct ext4_fs *fs = w->fs;
    u64 now = time_real_ns();

    writer_begin(w, JBD2_COMMIT, 0);
    struct jbd2_commit_header *commit = (void *)w->block;
    commit->commit_sec = be64_of(now / NSEC_PER_SEC);
    commit->commit_nsec = be32_of((u32)(now % NSEC_PER_SEC));
    if (fs->csum)
        commit->chksum[0] = be32_of(crc32c(fs->journal.seed, w->block, fs->block_size));
    struct block_request request = {
        .op = BLOCK_WRITE,
        .fua = true,
        .sector = sector_of(fs, journal_block(&fs->journal, w->at)),
        .nr_segments = 1,
        .segments = {{w->block, fs->block_size}},
    };
    return block_run(fs->bd, &request, 1);
}

/* ---- one transaction ---- */

/* A transaction on its way to the disk. */
struct commit {
    struct ext4_fs *fs;
    struct list_head freed, revoked;
    u32 tid, nr, nr_revoked;
    struct log_copy *copies; /* owns; .nr of them */
    u8 **pool;               /* owns; blocks for descriptors and the like */
    u32 nr_pool;
};

static void move_list(struct list_head *to, struct list_head *from)
{
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    list_init(from);
}

/* Checksums of bitmaps are in their groups' descriptors, which the transaction has as well. */
static void seal_bitmap(struct ext4_fs *fs, struct ext4_buf *bitmap)
{
    struct ext4_group_desc *desc;
    struct ext4_buf *buf;
    bool inodes = bitmap->kind == EXT4_INODE_BITMAP;

    if (!fs->csum || group_desc(fs, bitmap->seed, &buf, &desc))
        return;
    u32 crc =
        ext4_bitmap_csum(fs, bitmap->data, inodes ? fs->inodes_per_group : fs->blocks_per_group);
    bool wide = fs->desc_size >= sizeof(*desc);
    if (inodes) {
        desc->inode_bitmap_csum_lo = le16_of((u16)crc);
        if (wide)
            desc->inode_bitmap_csum_hi = le16_of((u16)(crc >> 16));
    } else {
        desc->block_bitmap_csum_lo = le16_of((u16)crc);
        if (wide)
            desc->block_bitmap_csum_hi = le16_of((u16)(crc >> 16));
    }
    group_desc_seal(fs, bitmap->seed, desc);
    buf_put(fs, buf);
}

static void seal_all(struct ext4_fs *fs)
{
    struct ext4_buf *buf;

    list_for_each(buf, &fs->journal.running.bufs, tx) {
        if (buf->kind == EXT4_BLOCK_BITMAP || buf->kind == EXT4_INODE_BITMAP)
            seal_bitmap(fs, buf);
        else
            ext4_seal(fs, buf);
    }
}

/* The memory that a commit needs, before anything is changed. */
static int prepare(struct commit *c)
{
    struct ext4_fs *fs = c->fs;
    const struct ext4_tx *tx = &fs->journal.running;
    u32 own = fs->journal.on_disk ? own_blocks(fs, tx->nr_bufs, tx->nr_revoked) : 0;

    c->copies = kcalloc(max(tx->nr_bufs, 1u), sizeof(*c->copies));
    c->pool = kcalloc(own + 1, sizeof(*c->pool));
    if (!c->copies || !c->pool)
        return -ENOMEM;
    for (u32 i = 0; i < own; i++) {
        c->pool[i] = kmalloc(fs->block_size);
        if (!c->pool[i])
            return -ENOMEM;
        c->nr_pool++;
    }
    return 0;
}

static void release(struct commit *c)
{
    for (u32 i = 0; c->copies && i < c->nr; i++)
        if (c->copies[i].owned)
            kfree(c->copies[i].data);
    for (u32 i = 0; i < c->nr_pool; i++)
        kfree(c->pool[i]);
    kfree(c->copies);
    kfree(c->pool);
}

static bool looks_like_journal(const u8 *data)
{
    be32 word;

    memcpy(&word, data, sizeof(word));
    return be32_get(word) == JBD2_MAGIC;
}

/* A frozen copy of each block.  False: not enough memory for one, the door must stay closed. */
static bool copy_blocks(struct commit *c, bool need)
{
    bool all = true;

    for (u32 i = 0; i < c->nr; i++) {
        struct log_copy *copy = &c->copies[i];
        copy->escaped = looks_like_journal(copy->buf->data);
        copy->data = need || copy->escaped ? kmalloc(c->fs->block_size) : NULL;
        copy->owned = copy->data != NULL;
        if (copy->owned)
            memcpy(copy->data, copy->buf->data, c->fs->block_size);
        else
            copy->data = copy->buf->data;
        if (copy->escaped)
            memset(copy->data, 0, sizeof(be32));
        all &= copy->owned;
    }
    return all;
}

/* What copy_blocks() took away from buffers that it could not copy. */
static void restore_escaped(struct commit *c)
{
    be32 magic = be32_of(JBD2_MAGIC);

    for (u32 i = 0; i < c->nr; i++)
        if (c->copies[i].escaped && !c->copies[i].owned)
            memcpy(c->copies[i].data, &magic, sizeof(magic));
}

/* Take the running transaction over and start the next one. The door is closed, no handle open. */
static void take_running(struct commit *c)
{
    struct ext4_journal *j = &c->fs->journal;
    struct ext4_tx *tx = &j->running;
    struct ext4_buf *buf, *next;

    c->tid = tx->tid;
    c->nr_revoked = tx->nr_revoked;
    move_list(&c->freed, &tx->freed);
    move_list(&c->revoked, &tx->revoked);
    list_for_each_safe(buf, next, &tx->bufs, tx)
    {
        c->copies[c->nr++] = (struct log_copy){.block = buf->block, .buf = buf};
        list_remove(&buf->tx);
        if (!(buf->flags & BUF_HOME)) {
            list_add_tail(&j->home, &buf->home);
            j->nr_home++;
        }
        __atomic_or_fetch(&buf->flags, BUF_HOME, __ATOMIC_RELEASE);
        __atomic_and_fetch(&buf->flags, ~(u32)BUF_TX, __ATOMIC_RELEASE);
    }
    u32 tid = tx->tid + 1;
    *tx = (struct ext4_tx){.tid = tid};
    list_init(&tx->bufs);
    list_init(&tx->freed);
    list_init(&tx->revoked);
}

/* The super block on the disk gets or loses RECOVER.  What is in memory may have changes of the
 * running transaction, which must not be on the disk before it. */
int journal_mark_super(struct ext4_fs *fs, bool recover)
{
    u64 sector = EXT4_SUPER_OFFSET / SECTOR_SIZE;
    struct ext4_super_block *mine = ext4_super(fs), *super = kmalloc(sizeof(*super));
    const u32 bit = EXT4_INCOMPAT_RECOVER;

    if (!super)
        return -ENOMEM;
    int err = block_read(fs->bd, sector, super, sizeof(*super) / SECTOR_SIZE);
    u32 had = err ? 0 : le32_get(super->feature_incompat);
    u32 want = recover ? had | bit : had & ~bit;
    mine->feature_incompat = le32_of(recover ? le32_get(mine->feature_incompat) | bit
                                             : le32_get(mine->feature_incompat) & ~bit);
    if (!err && had != want) {
        super->feature_incompat = le32_of(want);
        if (fs->csum)
            super->checksum = le32_of(ext4_super_csum(super));
        err = block_write(fs->bd, sector, super, sizeof(*super) / SECTOR_SIZE);
        if (!err)
            err = block_flush(fs->bd);
    }
    kfree(super);
    return err;
}

/* Before the first transaction: the volume needs its journal replayed from here on. */
static int go_live(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;
    int err = 0;

    if (!(le32_get(ext4_super(fs)->feature_incompat) & EXT4_INCOMPAT_RECOVER))
        err = journal_mark_super(fs, true);
    if (!err)
        err = journal_write_super(fs, j->head, j->sequence);
    j->live = !err;
    return err;
}

static int write_log(struct commit *c)
{
    struct ext4_fs *fs = c->fs;
    struct ext4_journal *j = &fs->journal;
    struct log_writer *w = kmalloc(sizeof(*w));

    if (!w)
        return -ENOMEM;
    *w = (struct log_writer){.fs = fs, .sequence = j->sequence, .pool = c->pool};
    block_batch_init(&w->batch, fs->bd, BLOCK_WRITE);
    write_revokes(w, &c->revoked);
    write_blocks(w, c->copies, c->nr);
    int err = block_batch_finish(&w->batch);
    if (!err)
        err = block_flush(fs->bd);
    if (!err)
        err = write_commit(w);
    if (!err)
        j->sequence++;
    kfree(w);
    return err;
}

static void free_records(struct ext4_fs *fs, struct list_head *list, bool give_back)
{
    const struct ext4_freed *freed;

    list_for_each(freed, list, node) {
        if (!give_back)
            break;
        ext4_discard_freed(fs, freed->block, freed->len);
        ext4_unclaim(fs, freed->block, freed->len);
        __atomic_sub_fetch(&fs->freed, freed->len, __ATOMIC_RELAXED);
    }
    journal_put_records(&fs->journal, list);
}

static void close_door(struct ext4_journal *j)
{
    mutex_lock(&j->lock);
    __atomic_store_n(&j->barrier, true, __ATOMIC_RELEASE);
    mutex_unlock(&j->lock);
    (void)wait_event(&j->wait, !__atomic_load_n(&j->running.handles, __ATOMIC_ACQUIRE), false,
                     NO_DEADLINE); /* nobody new comes in */
}

static void open_door(struct ext4_journal *j)
{
    if (!j->barrier)
        return;
    mutex_lock(&j->lock);
    __atomic_store_n(&j->barrier, false, __ATOMIC_RELEASE);
    mutex_unlock(&j->lock);
    waitq_wake_all(&j->wait, 0);
}

static bool is_empty(const struct ext4_tx *tx)
{
    return !tx->nr_bufs && !tx->nr_revoked && list_empty(&tx->freed);
}

/* Commit what runs; the door is closed, and @keep says that it stays so. */
static int commit_running(struct ext4_fs *fs, bool keep)
{
    struct ext4_journal *j = &fs->journal;
    struct commit c = {.fs = fs};

    if (is_empty(&j->running)) {
        __atomic_store_n(&j->committed, j->running.tid, __ATOMIC_RELEASE);
        j->running.tid++;
        j->running.started_ns = 0;
        return block_flush(fs->bd);
    }
    int err = prepare(&c);
    if (!err && j->on_disk && !j->live)
        err = go_live(fs);
    if (err) {
        release(&c);
        return err;
    }
    seal_all(fs);
    take_running(&c);
    bool frozen = j->on_disk && copy_blocks(&c, !keep);
    if (frozen && !keep)
        open_door(j);
    __atomic_store_n(&fs->unflushed, false, __ATOMIC_RELEASE);
    if (j->on_disk)
        err = write_log(&c);
    restore_escaped(&c);
    if (!err)
        __atomic_store_n(&j->committed, c.tid, __ATOMIC_RELEASE);
    free_records(fs, &c.freed, !err);
    free_records(fs, &c.revoked, false);
    release(&c);
    return err;
}

/* Write every block that is committed to its place: nothing runs, nobody changes one. */
static int write_home(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;
    struct ext4_buf *buf, *next;
    struct block_batch batch;

    block_batch_init(&batch, fs->bd, BLOCK_WRITE);
    list_for_each(buf, &j->home, home)
        block_batch_add(&batch, sector_of(fs, buf->block), buf->data, fs->block_size);
    int err = block_batch_finish(&batch);
    if (!err)
        err = block_flush(fs->bd);
    if (err)
        return err;
    list_for_each_safe(buf, next, &j->home, home)
    {
        list_remove(&buf->home);
        __atomic_and_fetch(&buf->flags, ~(u32)BUF_HOME, __ATOMIC_RELEASE);
    }
    j->nr_home = 0;
    return 0;
}

/* commit_lock held. */
static int checkpoint_locked(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;

    close_door(j);
    int err = j->error ? j->error : commit_running(fs, true);
    if (!err)
        err = write_home(fs);
    if (!err && j->on_disk && j->live) {
        err = journal_write_super(fs, 0, j->sequence);
        j->live = false;
        j->head = j->first;
        j->free = j->maxlen - j->first;
    }
    open_door(j);
    return err;
}

static bool needs_checkpoint(const struct ext4_fs *fs)
{
    const struct ext4_journal *j = &fs->journal;
    u64 bytes = (u64)j->nr_home << fs->block_bits;

    return !j->on_disk || j->free < 2 * (j->max_tx + own_blocks(fs, j->max_tx, j->max_tx)) ||
           bytes > page_total() * PAGE_SIZE / HOME_SHARE;
}

static int commit_locked(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;

    close_door(j);
    int err = j->on_disk ? commit_running(fs, false) : 0;
    open_door(j);
    if (!err && needs_checkpoint(fs))
        err = checkpoint_locked(fs);
    return err;
}

/* @tid counts on; the difference says which is older. */
static bool is_committed(const struct ext4_journal *j, u32 tid)
{
    return (s32)(__atomic_load_n(&j->committed, __ATOMIC_ACQUIRE) - tid) >= 0;
}

int journal_commit(struct ext4_fs *fs, u32 tid)
{
    struct ext4_journal *j = &fs->journal;

    if (is_committed(j, tid))
        return j->error;
    mutex_lock(&j->commit_lock);
    int err = j->error;
    if (!err && !is_committed(j, tid)) {
        err = commit_locked(fs);
        if (err && err != -ENOMEM)
            journal_abort(fs, err);
    }
    mutex_unlock(&j->commit_lock);
    return err;
}

int journal_checkpoint(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;

    mutex_lock(&j->commit_lock);
    int err = j->error ? j->error : checkpoint_locked(fs);
    if (err && err != -ENOMEM)
        journal_abort(fs, err);
    mutex_unlock(&j->commit_lock);
    return err;
}
