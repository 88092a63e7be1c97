/* Transactions: handles join the running one and name the blocks they change; commit.c brings it to
 * disk.  There is no second version of a block in memory: a commit waits for the open handles and
 * copies what it writes. */
#include "abi/errno.h"
#include "core/panic.h"
#include "core/time.h"
#include "fs/ext4/priv.h"
#include "mm/heap.h"
#include "mm/page.h"

static void tx_init(struct ext4_tx *tx, u32 tid)
{
    *tx = (struct ext4_tx){.tid = tid};
    list_init(&tx->bufs);
    list_init(&tx->freed);
    list_init(&tx->revoked);
}

void journal_init(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;

    mutex_init(&j->lock);
    mutex_init(&j->commit_lock);
    waitq_init(&j->wait);
    list_init(&j->home);
    list_init(&j->spare);
    for (u32 i = 0; i < EXT4_SPARE_RECORDS; i++)
        list_add_tail(&j->spare, &j->records[i].node);
    tx_init(&j->running, 1);
}

static bool is_spare(const struct ext4_journal *j, const struct ext4_freed *record)
{
    return record >= j->records && record < j->records + EXT4_SPARE_RECORDS;
}

void journal_put_records(struct ext4_journal *j, struct list_head *records)
{
    struct ext4_freed *record, *next;

    list_for_each_safe(record, next, records, node)
    {
        list_remove(&record->node);
        if (!is_spare(j, record)) {
            kfree(record);
            continue;
        }
        mutex_lock(&j->lock);
        list_add_tail(&j->spare, &record->node);
        mutex_unlock(&j->lock);
    }
}

static struct ext4_freed *take_record(struct ext4_journal *j)
{
    struct ext4_freed *record = kmalloc(sizeof(*record));

    if (likely(record != NULL))
        return record;
    mutex_lock(&j->lock);
    if (!list_empty(&j->spare)) {
        record = list_first(&j->spare, struct ext4_freed, node);
        list_remove(&record->node);
    }
    mutex_unlock(&j->lock);
    return record;
}

void journal_fini(struct ext4_fs *fs)
{
    struct ext4_journal *j = &fs->journal;

    if (j->running.bufs.next) {
        journal_put_records(j, &j->running.freed);
        journal_put_records(j, &j->running.revoked);
    }
    kfree(j->map);
}

static bool has_room(const struct ext4_journal *j, u32 credits)
{
    const struct ext4_tx *tx = &j->running;

    if (tx->nr_revoked > j->max_tx / 2)
        return !tx->handles && !tx->nr_bufs;
    return tx->nr_bufs + tx->promised + credits <= j->max_tx || (!tx->nr_bufs && !tx->handles);
}

/* 0 with a place in the running transaction; -EAGAIN: a commit goes on; -ENOSPC: it is full. */
static int try_join(struct ext4_fs *fs, u32 credits)
{
    struct ext4_journal *j = &fs->journal;
    int err = 0;

    mutex_lock(&j->lock);
    if (j->barrier) {
        err = -EAGAIN;
    } else if (!has_room(j, credits)) {
        err = -ENOSPC;
    } else {
        if (!j->running.started_ns)
            j->running.started_ns = time_ns();
        j->running.handles++;
        j->running.promised += credits;
    }
    mutex_unlock(&j->lock);
    return err;
}

int handle_start(struct ext4_fs *fs, u32 credits, struct ext4_handle *h)
{
    struct ext4_journal *j = &fs->journal;

    for (;;) {
        int err = ext4_check_writable(fs);
        if (err)
            return err;
        err = try_join(fs, credits);
        if (likely(!err))
            break;
        if (err == -ENOSPC)
            err = journal_commit(fs, j->running.tid);
        else
            (void)wait_event(&j->wait, !__atomic_load_n(&j->barrier, __ATOMIC_ACQUIRE), false,
                             NO_DEADLINE); /* looked at again */
        if (err == -ENOMEM)
            return err;
    }
    *h = (struct ext4_handle){fs, credits};
    return 0;
}

void handle_stop(struct ext4_handle *h)
{
    struct ext4_journal *j = &h->fs->journal;

    mutex_lock(&j->lock);
    j->running.promised -= h->credits;
    u32 left = j->running.handles - 1;
    __atomic_store_n(&j->running.handles, left, __ATOMIC_RELEASE);
    bool wake = !left && j->barrier;
    mutex_unlock(&j->lock);
    if (unlikely(wake))
        waitq_wake_all(&j->wait, 0);
    writeback_dirtied();
}

int handle_extend(struct ext4_handle *h, u32 credits)
{
    struct ext4_journal *j = &h->fs->journal;

    if (h->credits >= credits)
        return 0;
    mutex_lock(&j->lock);
    u32 more = credits - h->credits;
    bool room = !j->barrier && has_room(j, more);
    if (room) {
        j->running.promised += more;
        h->credits = credits;
    }
    mutex_unlock(&j->lock);
    if (room)
        return 0;
    handle_stop(h);
    return handle_start(h->fs, credits, h);
}

void handle_change(struct ext4_handle *h, struct ext4_buf *buf, enum ext4_kind kind, u32 seed)
{
    struct ext4_journal *j = &h->fs->journal;

    buf->kind = (u8)kind;
    buf->seed = seed;
    if (likely(__atomic_load_n(&buf->flags, __ATOMIC_ACQUIRE) & BUF_TX))
        return;
    mutex_lock(&j->lock);
    if (!(buf->flags & BUF_TX)) {
        __atomic_or_fetch(&buf->flags, BUF_TX | BUF_CHECKED, __ATOMIC_RELEASE);
        list_add_tail(&j->running.bufs, &buf->tx);
        j->running.nr_bufs++;
        if (h->credits) {
            h->credits--;
            j->running.promised--;
        }
    }
    mutex_unlock(&j->lock);
}

/* A block that held metadata is metadata no more: no copy of it shall be written any more, neither
 * from memory nor, by @revoke, from the log. */
static void forget(struct ext4_fs *fs, u64 block, struct ext4_freed *revoke)
{
    struct ext4_journal *j = &fs->journal;
    struct ext4_buf *buf = buf_find(fs, block);

    mutex_lock(&j->lock);
    if (buf && buf->flags & BUF_TX) {
        list_remove(&buf->tx);
        j->running.nr_bufs--;
    }
    if (buf && buf->flags & BUF_HOME) {
        list_remove(&buf->home);
        j->nr_home--;
    }
    if (buf)
        __atomic_and_fetch(&buf->flags, ~(u32)(BUF_TX | BUF_HOME | BUF_VALID | BUF_CHECKED),
                           __ATOMIC_RELEASE);
    if (revoke) {
        revoke->block = block;
        revoke->len = 1;
        list_add_tail(&j->running.revoked, &revoke->node);
        j->running.nr_revoked++;
    }
    mutex_unlock(&j->lock);
    buf_put(fs, buf);
}

int handle_take_records(struct ext4_handle *h, u32 len, bool meta, struct list_head *records)
{
    struct ext4_journal *j = &h->fs->journal;
    u64 nr = 1 + (meta && j->on_disk ? (u64)len : 0);

    for (u64 i = 0; i < nr; i++) {
        struct ext4_freed *record = take_record(j);
        if (!record) {
            journal_put_records(j, records);
            return -ENOMEM;
        }
        list_add(records, &record->node);
    }
    return 0;
}

static struct ext4_freed *next_record(struct list_head *records)
{
    struct ext4_freed *record = list_first(records, struct ext4_freed, node);

    list_remove(&record->node);
    return record;
}

void handle_free_blocks(struct ext4_handle *h, u64 block, u32 len, bool meta,
                        struct list_head *records)
{
    struct ext4_journal *j = &h->fs->journal;
    struct ext4_freed *freed = next_record(records);

    for (u32 i = 0; meta && i < len; i++)
        forget(h->fs, block + i, j->on_disk ? next_record(records) : NULL);
    freed->block = block;
    freed->len = len;
    mutex_lock(&j->lock);
    list_add_tail(&j->running.freed, &freed->node);
    mutex_unlock(&j->lock);
}
