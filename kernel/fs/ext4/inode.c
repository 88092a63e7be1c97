/* Inodes: read, written, made, deleted. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "core/time.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"

int ext4_inode_raw(struct ext4_fs *fs, u32 ino, struct ext4_buf **buf, struct ext4_disk_inode **raw)
{
    struct ext4_group_desc *desc;
    struct ext4_buf *desc_buf;

    if (!ino || ino > fs->nr_inodes)
        return -EUCLEAN;
    u32 group = (ino - 1) / fs->inodes_per_group, i = (ino - 1) % fs->inodes_per_group;
    int err = group_desc(fs, group, &desc_buf, &desc);
    if (err)
        return err;
    u64 at = (u64)i * fs->inode_size;
    err = buf_read(fs, group_inode_table(fs, desc) + (at >> fs->block_bits), buf);
    buf_put(fs, desc_buf);
    if (!err)
        *raw = (void *)((*buf)->data + (at & (fs->block_size - 1)));
    return err;
}

static bool has_extra(const struct ext4_fs *fs, u32 extra_isize, size_t end)
{
    return fs->inode_size > EXT4_GOOD_OLD_INODE_SIZE &&
           EXT4_GOOD_OLD_INODE_SIZE + extra_isize >= end;
}
#define HAS_EXTRA(fs, extra_isize, field)                                                          \
    has_extra(fs, extra_isize,                                                                     \
              offsetof(struct ext4_disk_inode, field) +                                            \
                  sizeof(((struct ext4_disk_inode *)NULL)->field))

/* Bytes past the first 128 that the inode's own fields take. */
static u16 extra_of(const struct ext4_fs *fs, const struct ext4_disk_inode *raw)
{
    return fs->inode_size > EXT4_GOOD_OLD_INODE_SIZE ? le16_get(raw->extra_isize) : 0;
}

void ext4_inode_seal(struct ext4_fs *fs, const struct ext4_inode *ei, struct ext4_disk_inode *raw)
{
    if (!fs->csum)
        return;
    u32 crc = ext4_inode_csum(fs, ei->seed, raw);
    raw->checksum_lo = le16_of((u16)crc);
    if (HAS_EXTRA(fs, extra_of(fs, raw), checksum_hi))
        raw->checksum_hi = le16_of((u16)(crc >> 16));
}

static bool csum_ok(const struct ext4_fs *fs, u32 seed, const struct ext4_disk_inode *raw)
{
    u32 have = le16_get(raw->checksum_lo);

    if (!fs->csum)
        return true;
    if (HAS_EXTRA(fs, extra_of(fs, raw), checksum_hi))
        have |= (u32)le16_get(raw->checksum_hi) << 16;
    return have == ext4_inode_csum(fs, seed, raw);
}

/* *@extra may lie behind the inode, in the next one, unless @wide. */
static struct linux_timespec get_time(le32 seconds, bool wide, const le32 *extra)
{
    struct linux_timespec t = {(s32)le32_get(seconds), 0};

    if (wide) {
        t.tv_sec += (s64)(le32_get(*extra) & 3) << 32;
        t.tv_nsec = le32_get(*extra) >> 2;
    }
    return t;
}

static void put_time(const struct linux_timespec *t, le32 *seconds, bool wide, le32 *extra)
{
    *seconds = le32_of((u32)t->tv_sec);
    if (wide)
        *extra = le32_of((u32)((t->tv_sec - (s32)t->tv_sec) >> 32 & 3) | (u32)t->tv_nsec << 2);
}

static void get_times(const struct ext4_fs *fs, struct inode *inode,
                      const struct ext4_disk_inode *raw)
{
    u32 extra = ext4_i(inode)->extra_isize;

    inode->atime = get_time(raw->atime, HAS_EXTRA(fs, extra, atime_extra), &raw->atime_extra);
    inode->ctime = get_time(raw->ctime, HAS_EXTRA(fs, extra, ctime_extra), &raw->ctime_extra);
    inode->mtime = get_time(raw->mtime, HAS_EXTRA(fs, extra, mtime_extra), &raw->mtime_extra);
    inode->btime = inode->ctime;
    if (HAS_EXTRA(fs, extra, crtime_extra))
        inode->btime = get_time(raw->crtime, true, &raw->crtime_extra);
}

static void put_times(const struct ext4_fs *fs, const struct inode *inode,
                      struct ext4_disk_inode *raw)
{
    u32 extra = ext4_i(inode)->extra_isize;

    put_time(&inode->atime, &raw->atime, HAS_EXTRA(fs, extra, atime_extra), &raw->atime_extra);
    put_time(&inode->ctime, &raw->ctime, HAS_EXTRA(fs, extra, ctime_extra), &raw->ctime_extra);
    put_time(&inode->mtime, &raw->mtime, HAS_EXTRA(fs, extra, mtime_extra), &raw->mtime_extra);
    if (HAS_EXTRA(fs, extra, crtime_extra))
        put_time(&inode->btime, &raw->crtime, true, &raw->crtime_extra);
}

/* Old device numbers in the first word, new ones in the second. */
static u64 get_rdev(const u8 block[60])
{
    u32 old, new;

    memcpy(&old, block, 4);
    memcpy(&new, block + 4, 4);
    if (old)
        return dev_make(old >> 8 & 0xff, old & 0xff);
    return dev_make(new >> 8 & 0xfff, (new & 0xff) | (new >> 12 & 0xfff00));
}

static void put_rdev(u8 block[60], u64 rdev)
{
    u32 maj = dev_major(rdev), min_nr = dev_minor(rdev), old = 0, new = 0;

    if (maj < 256 && min_nr < 256)
        old = maj << 8 | min_nr;
    else
        new = (min_nr & 0xff) | maj << 8 | (min_nr & ~0xffu) << 12;
    memcpy(block, &old, 4);
    memcpy(block + 4, &new, 4);
}

static int set_ops(struct inode *inode)
{
    struct ext4_inode *ei = ext4_i(inode);

    switch (inode->mode & S_IFMT) {
    case S_IFREG:
        inode->ops = &ext4_file_inode_ops;
        inode->fops = &ext4_file_ops;
        inode->pages = &ei->cache;
        break;
    case S_IFDIR:
        inode->ops = &ext4_dir_inode_ops;
        inode->fops = &ext4_dir_file_ops;
        break;
    case S_IFLNK:
        inode->ops = &ext4_symlink_inode_ops;
        break;
    case S_IFCHR:
    case S_IFBLK:
        inode->rdev = get_rdev(ei->block);
        inode->ops = &ext4_special_inode_ops;
        break;
    case S_IFIFO:
    case S_IFSOCK:
        inode->ops = &ext4_special_inode_ops;
        break;
    default:
        return -EUCLEAN;
    }
    return 0;
}

static void init_inode(struct inode *inode)
{
    struct ext4_inode *ei = ext4_i(inode);

    ei->inode = inode;
    list_init(&ei->dirty_node);
    list_init(&ei->orphan);
    mutex_init(&ei->wb_lock);
    mutex_init(&ei->map_lock);
    gate_init(&ei->gate);
    page_cache_init(&ei->cache, inode, true);
}

static bool size_ok(const struct ext4_fs *fs, const struct inode *inode, u32 flags)
{
    u64 max = (u64)UINT32_MAX << fs->block_bits;

    if (S_ISDIR(inode->mode))
        return inode->size && IS_ALIGNED(inode->size, fs->block_size) &&
               inode->size >> fs->block_bits <= INT32_MAX;
    if (S_ISLNK(inode->mode))
        return inode->size &&
               inode->size < (flags & EXT4_EXTENTS_FL ? fs->block_size
                                                      : sizeof(((struct ext4_inode *)0)->block));
    return inode->size <= max;
}

/* Fill @inode from the disk. */
static int decode(struct ext4_fs *fs, struct inode *inode, const struct ext4_disk_inode *raw,
                  bool orphan)
{
    struct ext4_inode *ei = ext4_i(inode);
    u32 flags = le32_get(raw->flags);

    ei->generation = le32_get(raw->generation);
    ei->seed = fs->csum ? ext4_inode_seed(fs, (u32)inode->ino, ei->generation) : (u32)inode->ino;
    if (!csum_ok(fs, ei->seed, raw))
        return -EUCLEAN;
    ei->extra_isize = extra_of(fs, raw);
    if ((u32)EXT4_GOOD_OLD_INODE_SIZE + ei->extra_isize > fs->inode_size || ei->extra_isize & 3)
        return -EUCLEAN;
    inode->mode = le16_get(raw->mode);
    inode->nlink = le16_get(raw->links_count);
    if (!inode->nlink && !orphan)
        return -ESTALE;
    inode->uid = le16_get(raw->uid_lo) | (u32)le16_get(raw->uid_hi) << 16;
    inode->gid = le16_get(raw->gid_lo) | (u32)le16_get(raw->gid_hi) << 16;
    inode->size = le32_get(raw->size_lo) | (u64)le32_get(raw->size_hi) << 32;
    ei->disk_size = inode->size;
    inode->blocks = le32_get(raw->blocks_lo) | (u64)le16_get(raw->blocks_hi) << 32;
    if (flags & EXT4_HUGE_FILE_FL)
        inode->blocks <<= fs->block_bits - 9;
    ei->file_acl = le32_get(raw->file_acl_lo) | (u64)le16_get(raw->file_acl_hi) << 32;
    ei->iflags = flags;
    ei->next_orphan = inode->nlink ? 0 : le32_get(raw->dtime);
    memcpy(ei->block, raw->block, sizeof(ei->block));
    get_times(fs, inode, raw);
    if (flags & (EXT4_ENCRYPT_FL | EXT4_INLINE_DATA_FL | EXT4_EA_INODE_FL))
        return -EOPNOTSUPP;
    if ((S_ISREG(inode->mode) || S_ISDIR(inode->mode)) && !(flags & EXT4_EXTENTS_FL))
        return -EOPNOTSUPP;
    if (!size_ok(fs, inode, flags) || (ei->file_acl && !block_range_ok(fs, ei->file_acl, 1)))
        return -EUCLEAN;
    return set_ops(inode);
}

int ext4_iget(struct super_block *sb, u32 ino, bool orphan, struct inode **out)
{
    struct ext4_fs *fs = ext4_of(sb);
    struct ext4_disk_inode *raw;
    struct ext4_buf *buf;

    struct inode *inode = inode_find(sb, ino);
    if (inode) {
        *out = inode;
        return 0;
    }
    int err = ext4_inode_raw(fs, ino, &buf, &raw);
    if (err)
        return err;
    inode = inode_create(sb, 0);
    if (!inode) {
        buf_put(fs, buf);
        return -ENOMEM;
    }
    init_inode(inode);
    inode->ino = ino;
    err = decode(fs, inode, raw, orphan);
    buf_put(fs, buf);
    if (err) {
        inode->nlink = 1; /* nothing of it is to be freed */
        inode->pages = NULL;
        inode_put(inode);
        if (err == -EUCLEAN)
            ext4_error(fs, "inode %u is damaged", ino);
        else if (err == -EOPNOTSUPP)
            log_warn("ext4: %s: inode %u needs a feature that is not supported", fs->bd->name, ino);
        return err;
    }
    *out = inode_add(inode);
    return 0;
}

static void encode_size(const struct ext4_fs *fs, const struct inode *inode,
                        struct ext4_disk_inode *raw, u32 *flags)
{
    const struct ext4_inode *ei = ext4_i(inode);
    u64 size = S_ISREG(inode->mode) ? ei->disk_size : inode->size, blocks = inode->blocks;

    raw->size_lo = le32_of((u32)size);
    raw->size_hi = le32_of((u32)(size >> 32));
    *flags &= ~(u32)EXT4_HUGE_FILE_FL;
    if (blocks >> 48) {
        blocks >>= fs->block_bits - 9;
        *flags |= EXT4_HUGE_FILE_FL;
    }
    raw->blocks_lo = le32_of((u32)blocks);
    raw->blocks_hi = le16_of((u16)(blocks >> 32));
}

static void encode(const struct ext4_fs *fs, const struct inode *inode, struct ext4_disk_inode *raw)
{
    const struct ext4_inode *ei = ext4_i(inode);
    u32 flags = ei->iflags;

    raw->mode = le16_of((u16)inode->mode);
    raw->uid_lo = le16_of((u16)inode->uid);
    raw->uid_hi = le16_of((u16)(inode->uid >> 16));
    raw->gid_lo = le16_of((u16)inode->gid);
    raw->gid_hi = le16_of((u16)(inode->gid >> 16));
    raw->links_count = le16_of((u16)inode->nlink);
    encode_size(fs, inode, raw, &flags);
    raw->dtime = le32_of(ei->next_orphan);
    raw->flags = le32_of(flags);
    memcpy(raw->block, ei->block, sizeof(raw->block));
    raw->generation = le32_of(ei->generation);
    raw->file_acl_lo = le32_of((u32)ei->file_acl);
    raw->file_acl_hi = le16_of((u16)(ei->file_acl >> 32));
    if (fs->inode_size > EXT4_GOOD_OLD_INODE_SIZE)
        raw->extra_isize = le16_of(ei->extra_isize);
    put_times(fs, inode, raw);
}

/* @times_only: where nothing but its times waits to be written, fdatasync need not care. */
static int write_inode(struct ext4_handle *h, struct inode *inode, bool times_only)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_disk_inode *raw;
    struct ext4_buf *buf;

    u32 was = __atomic_fetch_and(&ei->dirty, ~(u32)(DIRTY_TIMES | DIRTY_DATA), __ATOMIC_ACQ_REL);
    int err = ext4_inode_raw(h->fs, (u32)inode->ino, &buf, &raw);
    if (err) {
        __atomic_or_fetch(&ei->dirty, was, __ATOMIC_RELAXED);
        return err;
    }
    handle_change(h, buf, EXT4_PLAIN, 0);
    encode(h->fs, inode, raw);
    ext4_inode_seal(h->fs, ei, raw);
    buf_put(h->fs, buf);
    __atomic_store_n(&ei->sync_tid, handle_tid(h), __ATOMIC_RELEASE);
    if (!times_only || was & DIRTY_DATA)
        __atomic_store_n(&ei->data_tid, handle_tid(h), __ATOMIC_RELEASE);
    return 0;
}

int ext4_inode_write(struct ext4_handle *h, struct inode *inode)
{
    return write_inode(h, inode, false);
}

int ext4_inode_write_dirty(struct ext4_handle *h, struct inode *inode)
{
    return write_inode(h, inode, true);
}

/* Write the inode as one that was never used before, behind its fixed part too. */
static int write_first(struct ext4_handle *h, struct inode *inode)
{
    struct ext4_disk_inode *raw;
    struct ext4_buf *buf;

    int err = ext4_inode_raw(h->fs, (u32)inode->ino, &buf, &raw);
    if (err)
        return err;
    handle_change(h, buf, EXT4_PLAIN, 0);
    memset(raw, 0, h->fs->inode_size);
    buf_put(h->fs, buf);
    return ext4_inode_write(h, inode);
}

static void init_new(struct ext4_fs *fs, struct inode *dir, struct inode *inode, u64 rdev)
{
    struct ext4_inode *ei = ext4_i(inode);

    ei->generation = __atomic_add_fetch(&fs->next_generation, 1, __ATOMIC_RELAXED);
    ei->seed = fs->csum ? ext4_inode_seed(fs, (u32)inode->ino, ei->generation) : (u32)inode->ino;
    ei->extra_isize = (u16)fs->extra_isize;
    ei->iflags = ext4_i(dir)->iflags & EXT4_INHERITED_FL;
    if (!S_ISDIR(inode->mode))
        ei->iflags &= ~0x10000u; /* DIRSYNC */
    ei->goal = group_first_block(fs, (u32)((inode->ino - 1) / fs->inodes_per_group)) +
               (u64)(inode->ino % 16) * (fs->blocks_per_group / 16);
    if (S_ISREG(inode->mode) || S_ISDIR(inode->mode)) {
        ext4_init_tree(ei);
        ei->iflags |= EXT4_EXTENTS_FL;
    } else if (rdev) {
        put_rdev(ei->block, rdev);
    }
}

int ext4_inode_new(struct ext4_handle *h, struct inode *dir, u32 mode, u64 rdev, bool linked,
                   struct inode **out)
{
    struct ext4_fs *fs = h->fs;
    u32 ino;

    struct inode *inode = inode_create(dir->sb, mode);
    if (!inode)
        return -ENOMEM;
    inode_init_owner(inode, dir);
    init_inode(inode);
    inode->ino = 0;
    int err = ext4_alloc_ino(h, dir, S_ISDIR(mode), &ino);
    if (err)
        goto put;
    inode->ino = ino;
    inode->nlink = linked ? 1 : 0;
    init_new(fs, dir, inode, rdev);
    err = set_ops(inode);
    if (!err)
        err = write_first(h, inode);
    if (err) {
        (void)ext4_free_ino(h, ino, S_ISDIR(mode)); /* the first error counts */
        goto put;
    }
    *out = inode_add(inode);
    return 0;
put:
    inode->nlink = 1; /* nothing of it is to be freed */
    inode_put(inode);
    return err;
}

void ext4_inode_dirty_slow(struct inode *inode, u32 what)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_fs *fs = ext4_of(inode->sb);

    u32 was = __atomic_fetch_or(&ei->dirty, what | DIRTY_LISTED, __ATOMIC_ACQ_REL);
    if (was & DIRTY_LISTED)
        return;
    inode_get(inode);
    ei->dirty_since = time_ns();
    mutex_lock(&fs->dirty_lock);
    list_add_tail(&fs->dirty, &ei->dirty_node);
    mutex_unlock(&fs->dirty_lock);
    writeback_dirtied();
}

void ext4_inode_undirty(struct inode *inode)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_fs *fs = ext4_of(inode->sb);

    mutex_lock(&fs->dirty_lock);
    bool listed = !list_empty(&ei->dirty_node);
    if (listed) {
        list_remove(&ei->dirty_node);
        __atomic_and_fetch(&ei->dirty, ~(u32)DIRTY_LISTED, __ATOMIC_ACQ_REL);
    }
    mutex_unlock(&fs->dirty_lock);
    if (listed)
        inode_put(inode);
}

void ext4_count_blocks(struct inode *inode, s64 blocks)
{
    inode->blocks += (u64)blocks << (ext4_of(inode->sb)->block_bits - 9); /* modulo 2^64 */
}

int ext4_getattr(struct inode *inode)
{
    (void)inode; /* the fields are always true */
    return 0;
}

int ext4_setattr(struct inode *inode, const struct inode_attr *attr)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_handle h;

    if (attr->valid & ATTR_SIZE) {
        if (!S_ISREG(inode->mode))
            return S_ISDIR(inode->mode) ? -EISDIR : -EINVAL;
        int err = ext4_truncate(inode, attr->size);
        if (err || attr->valid == ATTR_SIZE)
            return err;
    }
    int err = handle_start(fs, CREDITS_INODE, &h);
    if (err)
        return err;
    inode_set_attr(inode, attr);
    err = ext4_inode_write(&h, inode);
    handle_stop(&h);
    return err;
}

/* The inode's number and blocks become free. */
static int finish_delete(struct inode *inode)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_disk_inode *raw;
    struct ext4_handle h;
    struct ext4_buf *buf;

    int err = handle_start(fs, CREDITS_INODE + CREDITS_ORPHAN + 2 * CREDITS_ALLOC + 2, &h);
    if (err)
        return err;
    err = ext4_xattr_free(&h, inode);
    if (!err)
        err = ext4_orphan_remove(&h, inode);
    ext4_i(inode)->disk_size = 0;
    if (!err)
        err = ext4_inode_write(&h, inode);
    if (!err)
        err = ext4_inode_raw(fs, (u32)inode->ino, &buf, &raw);
    if (!err) {
        raw->dtime = le32_of((u32)(time_real_ns() / NSEC_PER_SEC));
        ext4_inode_seal(fs, ext4_i(inode), raw);
        buf_put(fs, buf);
        err = ext4_free_ino(&h, (u32)inode->ino, S_ISDIR(inode->mode));
    }
    handle_stop(&h);
    return err;
}

void ext4_delete(struct inode *inode)
{
    struct ext4_inode *ei = ext4_i(inode);
    int err = 0;

    inode->size = 0;
    ei->disk_size = 0;
    if (ei->iflags & EXT4_EXTENTS_FL)
        err = ext4_free_tail(inode);
    if (!err)
        err = finish_delete(inode);
    if (err && err != -EROFS)
        log_warn("ext4: inode %llu could not be deleted (error %d)", (unsigned long long)inode->ino,
                 -err);
}

void ext4_evict(struct inode *inode)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct ext4_fs *fs = ext4_of(inode->sb);

    if (inode->pages)
        page_cache_remove(&ei->cache, 0, UINT64_MAX);
    ext4_unreserve(fs, page_cache_take_released(&ei->cache));
    if (!inode->nlink && inode->ino && !fs->readonly && !fs->shut)
        ext4_delete(inode);
    if (!list_empty(&ei->orphan)) {
        mutex_lock(&fs->orphan_lock);
        list_remove(&ei->orphan);
        mutex_unlock(&fs->orphan_lock);
    }
    page_cache_fini(&ei->cache);
}
