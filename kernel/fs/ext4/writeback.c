/* Write-back.  The data comes first: blocks are claimed in memory, written, and only when they are
 * written does a transaction record them in bitmap and extent tree.  So no commit ever refers to
 * data that is not on the disk, and a crash in between leaves free blocks with odd contents. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/time.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/errseq.h"

enum { BATCH_PAGES = 256, FEW_PAGES = 8, MAX_NEW = 32, SMALL = 16 /* blocks */ };

/* What was written to blocks that the tree does not show as written yet. */
struct fresh {
    u32 block, len;
    u64 start;
    bool claimed; /* else it is an unwritten extent's */
};

struct round {
    struct inode *inode;
    struct block_batch batch;
    struct fresh fresh[MAX_NEW];
    u32 nr;
    u64 disk_size; /* what the file's size may be on the disk after this */
};

/* Claimed blocks become the file's; they are nobody's where that fails. */
static int enter_claimed(struct ext4_handle *h, struct inode *inode, const struct fresh *f)
{
    int err = ext4_record(h, f->start, f->len);

    if (err) {
        ext4_unclaim(h->fs, f->start, f->len);
        return err;
    }
    err = ext4_insert_extent(h, inode, f->block, f->start, f->len, false, true);
    if (err) {
        (void)ext4_free_blocks(h, f->start, f->len, false); /* the first error counts */
        return err;
    }
    ext4_count_blocks(inode, f->len);
    ext4_i(inode)->goal = f->start + f->len;
    return 0;
}

/* Enter one piece in the tree, and write the inode, which has the root. */
static int enter_fresh(struct ext4_handle *h, struct inode *inode, const struct fresh *f)
{
    struct ext4_inode *ei = ext4_i(inode);
    int err = handle_extend(h, ext4_tree_credits(inode) + CREDITS_ALLOC + 8);

    if (err) {
        if (f->claimed)
            ext4_unclaim(h->fs, f->start, f->len);
        h->fs = NULL; /* it is closed */
        return err;
    }
    mutex_lock(&ei->map_lock);
    err = f->claimed ? enter_claimed(h, inode, f) : ext4_mark_written(h, inode, f->block, f->len);
    if (!err)
        err = ext4_inode_write(h, inode);
    mutex_unlock(&ei->map_lock);
    return err;
}

static void unclaim(struct ext4_fs *fs, const struct fresh *f, u32 nr)
{
    for (u32 i = 0; i < nr; i++)
        if (f[i].claimed)
            ext4_unclaim(fs, f[i].start, f[i].len);
}

static int record(struct round *r)
{
    struct inode *inode = r->inode;
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_handle h;
    u32 done = 0;

    if (!r->nr && r->disk_size <= ei->disk_size)
        return 0;
    int err = handle_start(fs, ext4_tree_credits(inode) + CREDITS_ALLOC + 8, &h);
    if (err) {
        unclaim(fs, r->fresh, r->nr);
        return err;
    }
    for (; done < r->nr && !err; done++)
        err = enter_fresh(&h, inode, &r->fresh[done]);
    if (!err && r->disk_size > ei->disk_size) {
        mutex_lock(&ei->map_lock);
        ei->disk_size = r->disk_size;
        mutex_unlock(&ei->map_lock);
        __atomic_or_fetch(&ei->dirty, DIRTY_DATA, __ATOMIC_RELAXED);
        err = ext4_inode_write(&h, inode);
    }
    if (err)
        unclaim(fs, r->fresh + done, r->nr - done);
    if (h.fs)
        handle_stop(&h);
    return err;
}

/* Wait for what is under way, then record it. */
static int finish_round(struct round *r)
{
    struct ext4_fs *fs = ext4_of(r->inode->sb);

    int err = block_batch_finish(&r->batch);
    __atomic_store_n(&fs->unflushed, true, __ATOMIC_RELEASE);
    if (err)
        unclaim(fs, r->fresh, r->nr);
    else
        err = record(r);
    r->nr = 0;
    block_batch_init(&r->batch, fs->bd, BLOCK_WRITE);
    return err;
}

/* Where the first @len blocks of a file had best be. Small files lie one behind the other, and
 * where others were before, which is quicker for the disk; large ones are kept apart. */
static u64 first_goal(const struct ext4_fs *fs, const struct ext4_inode *ei, u32 len)
{
    bool small = len <= SMALL && block_range_ok(fs, ei->goal, 1);

    return small ? group_first_block(fs, group_of_block(fs, ei->goal)) : ei->goal;
}

/* A place for [block, +len): what the tree has, or new ones. */
static int place(struct round *r, u32 block, u32 len, struct ext4_run *run)
{
    struct inode *inode = r->inode;
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_run before;

    mutex_lock(&ei->map_lock);
    int err = ext4_map(inode, block, len, run);
    u64 goal = inode->blocks || err ? ei->goal : first_goal(fs, ei, run->len);
    if (!err && run->state == MAP_HOLE && block && !r->nr &&
        !ext4_map(inode, block - 1, 1, &before) && before.state != MAP_HOLE)
        goal = before.start + 1;
    mutex_unlock(&ei->map_lock);
    if (err || run->state == MAP_WRITTEN)
        return err;
    bool claimed = run->state == MAP_HOLE;
    if (claimed) {
        if (r->nr && r->fresh[r->nr - 1].claimed)
            goal = r->fresh[r->nr - 1].start + r->fresh[r->nr - 1].len;
        u32 want = min(run->len, (u32)EXT4_EXTENT_MAX_LEN);
        err = ext4_claim(fs, goal, want, true, &run->start, &run->len);
    }
    if (!err)
        r->fresh[r->nr++] = (struct fresh){block, run->len, run->start, claimed};
    return err;
}

/* Write the blocks [first, end) of consecutive pages, the first of which holds block @base. */
static int write_blocks(struct round *r, struct page **pages, u32 base, u32 end)
{
    struct ext4_fs *fs = ext4_of(r->inode->sb);
    u32 bits = PAGE_SHIFT - fs->block_bits;
    struct ext4_run run;

    for (u32 at = base; at < end; at += run.len) {
        int err = r->nr == MAX_NEW ? finish_round(r) : 0;
        if (!err)
            err = place(r, at, end - at, &run);
        if (err)
            return err;
        for (u32 i = 0; i < run.len; i++) {
            u32 b = at - base + i;
            u8 *data =
                (u8 *)page_to_virt(pages[b >> bits]) + ((b & ((1u << bits) - 1)) << fs->block_bits);
            block_batch_add(&r->batch, (run.start + i) << (fs->block_bits - 9), data,
                            fs->block_size);
        }
    }
    return 0;
}

static bool is_ours(const struct inode *inode, const struct page *page)
{
    return page->owner == &ext4_i(inode)->cache;
}

/* Consecutive pages. */
static int write_run(struct round *r, struct page **pages, u32 n)
{
    struct inode *inode = r->inode;
    struct ext4_fs *fs = ext4_of(inode->sb);
    u64 size = __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);
    u64 from = pages[0]->index << PAGE_SHIFT, to = min(from + ((u64)n << PAGE_SHIFT), size);

    if (from >= size)
        return 0;
    if (to & (PAGE_SIZE - 1)) { /* the end of the file: what follows it in its page is zero */
        u8 *data = page_to_virt(pages[(to - from) >> PAGE_SHIFT]);
        memset(data + (to & (PAGE_SIZE - 1)), 0, PAGE_SIZE - (to & (PAGE_SIZE - 1)));
    }
    int err =
        write_blocks(r, pages, (u32)(from >> fs->block_bits), (u32)DIV_UP(to, fs->block_size));
    r->disk_size = max(r->disk_size, to);
    return err;
}

static u32 run_length(struct inode *inode, struct page **pages, u32 n)
{
    u32 i = 1;

    while (i < n && is_ours(inode, pages[i]) && pages[i]->index == pages[0]->index + i)
        i++;
    return i;
}

static int write_all_runs(struct round *r, struct page **pages, u32 n)
{
    int err = 0;

    for (u32 i = 0, len; i < n && !err; i += len) {
        len = 1;
        if (!is_ours(r->inode, pages[i]))
            continue; /* truncated meanwhile */
        len = run_length(r->inode, pages + i, n - i);
        err = write_run(r, pages + i, len);
    }
    int failed = finish_round(r);
    return err ? err : failed;
}

/* Their promises are kept, or cannot be. */
static void release_promises(struct ext4_fs *fs, struct page **pages, u32 n)
{
    u64 sum = 0;

    for (u32 i = 0; i < n; i++)
        sum += __atomic_exchange_n(&pages[i]->spare, 0, __ATOMIC_ACQ_REL);
    ext4_unreserve(fs, sum);
}

/* @pages are taken as clean. */
static int write_batch(struct inode *inode, struct page **pages, u32 n)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    struct round *r = kmalloc(sizeof(*r));
    int err = -ENOMEM;

    for (u32 i = 0; i < n; i++) {
        if (!(pages[i]->flags & PAGE_MAPPED_WRITE))
            continue;
        __atomic_and_fetch(&pages[i]->flags, (u16)~PAGE_MAPPED_WRITE, __ATOMIC_RELAXED);
        inode_clean_mapped(inode, pages[i]->index, 1);
    }
    gate_enter(&ei->gate);
    if (r) {
        r->inode = inode;
        r->nr = 0;
        r->disk_size = 0;
        block_batch_init(&r->batch, fs->bd, BLOCK_WRITE);
        err = write_all_runs(r, pages, n);
    }
    if (err == -ENOMEM) { /* they are still to be written */
        for (u32 i = 0; i < n; i++)
            (void)page_cache_mark_dirty(&ei->cache, pages[i], 0);
    } else {
        release_promises(fs, pages, n);
    }
    gate_leave(&ei->gate);
    kfree(r);
    if (err && err != -ENOMEM) {
        errseq_set(&ei->cache.error, err == -ENOSPC ? err : -EIO);
        errseq_set(&fs->sb->error, err == -ENOSPC ? err : -EIO);
    }
    return err;
}

int ext4_write_pages(struct inode *inode, u64 first, u64 last, u64 max_pages)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct page *few[FEW_PAGES], **pages;
    u32 room = BATCH_PAGES, n;
    int err = 0;

    if (!__atomic_load_n(&ei->cache.nr_dirty, __ATOMIC_ACQUIRE)) {
        mutex_lock(&ei->wb_lock); /* who is at it has finished */
        mutex_unlock(&ei->wb_lock);
        return 0;
    }
    pages = kmalloc(BATCH_PAGES * sizeof(struct page *));
    if (!pages) {
        pages = few;
        room = FEW_PAGES;
    }
    mutex_lock(&ei->wb_lock);
    int failed = 0;
    while (max_pages && failed != -ENOMEM) { /* then they are dirty still */
        n = page_cache_take_dirty(&ei->cache, first, last, pages, (u32)min(max_pages, (u64)room));
        if (!n)
            break;
        failed = write_batch(inode, pages, n);
        if (!err)
            err = failed;
        for (u32 i = 0; i < n; i++)
            page_put(pages[i]);
        max_pages -= n;
    }
    mutex_unlock(&ei->wb_lock);
    if (pages != few)
        kfree(pages);
    return err;
}

/* Bring the inode's own fields into a transaction, if they wait for that. */
static int write_dirty_inode(struct inode *inode, u32 what)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_handle h;

    if (!(__atomic_load_n(&ei->dirty, __ATOMIC_ACQUIRE) & what))
        return 0;
    int err = handle_start(ext4_of(inode->sb), CREDITS_INODE, &h);
    if (err)
        return err;
    mutex_lock(&ei->map_lock);
    err = ext4_inode_write_dirty(&h, inode);
    mutex_unlock(&ei->map_lock);
    handle_stop(&h);
    return err;
}

/* Write all pages, after which the size may be on the disk as it is: its end may be a hole, which
 * no page speaks for. */
static int write_whole(struct inode *inode)
{
    struct ext4_inode *ei = ext4_i(inode);
    u64 size = __atomic_load_n(&inode->size, __ATOMIC_ACQUIRE);

    int err = ext4_write_pages(inode, 0, UINT64_MAX, UINT64_MAX);
    if (err || likely(ei->disk_size >= size))
        return err;
    mutex_lock(&ei->map_lock);
    ei->disk_size = max(ei->disk_size, min(size, inode->size));
    mutex_unlock(&ei->map_lock);
    ext4_inode_dirty(inode, DIRTY_DATA);
    return 0;
}

static int flush_if_needed(struct ext4_fs *fs)
{
    if (!__atomic_exchange_n(&fs->unflushed, false, __ATOMIC_ACQ_REL))
        return 0;
    int err = block_flush(fs->bd);
    if (err)
        __atomic_store_n(&fs->unflushed, true, __ATOMIC_RELEASE);
    return err;
}

int ext4_fsync_inode(struct inode *inode, bool data_only)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    int err = 0;

    if (fs->readonly)
        return fs->journal.error ? -EIO : 0;
    if (S_ISREG(inode->mode))
        err = write_whole(inode);
    if (!err)
        err = write_dirty_inode(inode, data_only ? DIRTY_DATA : DIRTY_DATA | DIRTY_TIMES);
    if (err)
        return err;
    u32 tid = __atomic_load_n(data_only ? &ei->data_tid : &ei->sync_tid, __ATOMIC_ACQUIRE);
    if (tid)
        err = journal_commit(fs, tid);
    return err ? err : flush_if_needed(fs);
}

/* The next inode that has been dirty since before @older_than_ns, with its reference. */
static struct inode *next_dirty(struct ext4_fs *fs, u64 older_than_ns)
{
    struct inode *inode = NULL;

    mutex_lock(&fs->dirty_lock);
    if (!list_empty(&fs->dirty)) {
        struct ext4_inode *ei = list_first(&fs->dirty, struct ext4_inode, dirty_node);
        if (ei->dirty_since <= older_than_ns) {
            list_remove(&ei->dirty_node);
            __atomic_and_fetch(&ei->dirty, ~(u32)DIRTY_LISTED, __ATOMIC_ACQ_REL);
            inode = ei->inode;
        }
    }
    mutex_unlock(&fs->dirty_lock);
    return inode;
}

void ext4_forget_dirty(struct ext4_fs *fs)
{
    struct inode *inode;

    while ((inode = next_dirty(fs, UINT64_MAX)))
        inode_put(inode);
}

static int write_inodes(struct ext4_fs *fs, u64 older_than_ns)
{
    struct inode *inode;
    int first = 0;

    while ((inode = next_dirty(fs, older_than_ns))) {
        int err = S_ISREG(inode->mode) ? write_whole(inode) : 0;
        if (!err)
            err = write_dirty_inode(inode, DIRTY_DATA | DIRTY_TIMES);
        if (err == -ENOMEM) {
            ext4_inode_dirty(inode, DIRTY_TIMES); /* another time */
            older_than_ns = 0;
        }
        inode_put(inode);
        if (!first)
            first = err;
    }
    return first;
}

static bool is_running(const struct ext4_fs *fs)
{
    const struct ext4_tx *tx = &fs->journal.running;

    return tx->nr_bufs || !list_empty(&tx->freed);
}

int ext4_sync_all(struct ext4_fs *fs)
{
    if (fs->readonly)
        return fs->journal.error ? -EIO : 0;
    int err = write_inodes(fs, time_ns());
    if (is_running(fs)) {
        int failed = journal_commit(fs, fs->journal.running.tid);
        err = err ? err : failed;
    }
    int failed = flush_if_needed(fs);
    return err ? err : failed;
}

bool ext4_writeback(struct writeback *wb, u64 older_than_ns, bool memory)
{
    struct ext4_fs *fs = container_of(wb, struct ext4_fs, writeback);

    if (fs->readonly)
        return false;
    (void)write_inodes(fs, older_than_ns); /* who asks is told by fsync */
    u64 started = fs->journal.running.started_ns;
    if (is_running(fs) && (memory || started <= older_than_ns))
        (void)journal_commit(fs, fs->journal.running.tid);
    return !list_empty(&fs->dirty) || is_running(fs);
}
