/* Orphans: inodes without a name that are still open, and truncations under way.  The disk has them
 * in a list through the inodes, so that the next mount finishes what a crash cut short.  An orphan
 * file, which other systems use, is read at mount; new orphans always go to the list. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"

static void change_super(struct ext4_handle *h, u32 first)
{
    handle_change(h, h->fs->super_buf, EXT4_SUPER, 0);
    ext4_super(h->fs)->last_orphan = le32_of(first);
}

/* Let @ei's inode on the disk name @next as the one after it. */
static int set_next(struct ext4_handle *h, struct ext4_inode *ei, u32 next)
{
    struct ext4_disk_inode *raw;
    struct ext4_buf *buf;

    int err = ext4_inode_raw(h->fs, (u32)ei->inode->ino, &buf, &raw);
    if (err)
        return err;
    handle_change(h, buf, EXT4_PLAIN, 0);
    ei->next_orphan = next;
    raw->dtime = le32_of(next);
    ext4_inode_seal(h->fs, ei, raw);
    buf_put(h->fs, buf);
    return 0;
}

int ext4_orphan_add(struct ext4_handle *h, struct inode *inode)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_inode *ei = ext4_i(inode);
    int err = 0;

    mutex_lock(&fs->orphan_lock);
    if (list_empty(&ei->orphan)) {
        err = set_next(h, ei, le32_get(ext4_super(fs)->last_orphan));
        if (!err) {
            change_super(h, (u32)inode->ino);
            list_add(&fs->orphans, &ei->orphan);
        }
    }
    mutex_unlock(&fs->orphan_lock);
    return err;
}

int ext4_orphan_remove(struct ext4_handle *h, struct inode *inode)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_inode *ei = ext4_i(inode);
    int err = 0;

    mutex_lock(&fs->orphan_lock);
    if (!list_empty(&ei->orphan)) {
        u32 next = ei->next_orphan;
        if (fs->orphans.next == &ei->orphan)
            change_super(h, next);
        else
            err = set_next(h, list_entry(ei->orphan.prev, struct ext4_inode, orphan), next);
        if (!err) {
            list_remove(&ei->orphan);
            err = set_next(h, ei, 0);
        }
    }
    mutex_unlock(&fs->orphan_lock);
    return err;
}

/* Finish one: it goes with its last reference, or loses what is past its size. Takes it. */
static int finish(struct inode *inode)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_handle h;
    int err = 0;

    if (inode->nlink && S_ISREG(inode->mode)) {
        err = ext4_free_tail(inode);
        if (!err)
            err = handle_start(fs, CREDITS_ORPHAN + CREDITS_INODE, &h);
        if (!err) {
            err = ext4_orphan_remove(&h, inode);
            handle_stop(&h);
        }
    }
    inode_put(inode);
    return err;
}

/* Read the list into memory, each with a reference. */
static int read_list(struct ext4_fs *fs, u32 *count)
{
    u32 ino = le32_get(ext4_super(fs)->last_orphan);
    struct inode *inode;

    for (*count = 0; ino; ++*count) {
        int err = ext4_iget(fs->sb, ino, true, &inode);
        if (err)
            return err;
        struct ext4_inode *ei = ext4_i(inode);
        struct ext4_disk_inode *raw;
        struct ext4_buf *buf;
        if (!list_empty(&ei->orphan)) { /* the list bites its tail */
            inode_put(inode);
            return -EUCLEAN;
        }
        err = ext4_inode_raw(fs, ino, &buf, &raw);
        if (err) {
            inode_put(inode);
            return err;
        }
        ei->next_orphan = le32_get(raw->dtime);
        buf_put(fs, buf);
        list_add_tail(&fs->orphans, &ei->orphan);
        ino = ei->next_orphan;
    }
    return 0;
}

static int clean_list(struct ext4_fs *fs, u32 *count)
{
    int err = read_list(fs, count);

    while (!list_empty(&fs->orphans)) {
        struct inode *inode = list_first(&fs->orphans, struct ext4_inode, orphan)->inode;
        if (err) { /* not all could be read: leave them as they are */
            list_remove(&ext4_i(inode)->orphan);
            inode->nlink = 1;
            inode_put(inode);
            continue;
        }
        err = finish(inode);
    }
    return err;
}

static int clean_file_block(struct ext4_fs *fs, struct inode *file, u32 index)
{
    u32 nr = (fs->block_size - (u32)sizeof(struct ext4_orphan_tail)) / 4;
    struct ext4_run run;
    struct ext4_buf *buf;
    struct ext4_handle h;

    int err = ext4_map(file, index, 1, &run);
    if (err || run.state != MAP_WRITTEN)
        return err;
    err = buf_read(fs, run.start, &buf);
    if (err)
        return err;
    le32 *entries = (void *)buf->data;
    struct ext4_orphan_tail *tail = (void *)(entries + nr);
    if (le32_get(tail->magic) != EXT4_ORPHAN_BLOCK_MAGIC)
        err = -EUCLEAN;
    for (u32 i = 0; i < nr && !err; i++) {
        struct inode *inode;
        if (!le32_get(entries[i]))
            continue;
        err = ext4_iget(fs->sb, le32_get(entries[i]), true, &inode);
        if (!err)
            err = finish(inode);
        if (!err)
            err = handle_start(fs, 1, &h);
        if (err)
            break;
        handle_change(&h, buf, EXT4_PLAIN, 0);
        entries[i] = le32_of(0);
        if (fs->csum) {
            u32 crc = crc32c(ext4_i(file)->seed, &buf->block, sizeof(buf->block));
            tail->checksum = le32_of(crc32c(crc, buf->data, (size_t)nr * 4));
        }
        handle_stop(&h);
    }
    buf_put(fs, buf);
    return err;
}

static int clean_file(struct ext4_fs *fs)
{
    struct ext4_super_block *super = ext4_super(fs);
    struct ext4_handle h;
    struct inode *file;

    int err = ext4_iget(fs->sb, le32_get(super->orphan_file_inum), false, &file);
    if (err)
        return err;
    for (u32 i = 0; i < file->size >> fs->block_bits && !err; i++)
        err = clean_file_block(fs, file, i);
    inode_put(file);
    if (!err)
        err = handle_start(fs, 1, &h);
    if (err)
        return err;
    handle_change(&h, fs->super_buf, EXT4_SUPER, 0);
    fs->ro_compat &= ~(u32)EXT4_RO_ORPHAN_PRESENT;
    super->feature_ro_compat = le32_of(fs->ro_compat);
    handle_stop(&h);
    return 0;
}

int ext4_orphans_clean(struct ext4_fs *fs)
{
    u32 count = 0;
    int err = 0;

    if (le32_get(ext4_super(fs)->last_orphan))
        err = clean_list(fs, &count);
    if (!err && fs->ro_compat & EXT4_RO_ORPHAN_PRESENT && fs->compat & EXT4_COMPAT_ORPHAN_FILE)
        err = clean_file(fs);
    if (count && !err)
        log_info("ext4: %s: %u orphans finished", fs->bd->name, count);
    return err;
}
