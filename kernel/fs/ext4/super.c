/* ext4: mounting, unmounting, the super block, what to do about damage. */
#include "abi/errno.h"
#include "block/block.h"
#include "core/log.h"
#include "core/time.h"
#include "fs/ext4/priv.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/dentry.h"
#include "vfs/mount.h"

#include <stdarg.h>

enum { EXT4_MAGIC_STATFS = 0xef53 };

static const u32 known_incompat =
    EXT4_INCOMPAT_FILETYPE | EXT4_INCOMPAT_RECOVER | EXT4_INCOMPAT_META_BG | EXT4_INCOMPAT_EXTENTS |
    EXT4_INCOMPAT_64BIT | EXT4_INCOMPAT_FLEX_BG | EXT4_INCOMPAT_CSUM_SEED | EXT4_INCOMPAT_LARGEDIR;
static const u32 known_ro = EXT4_RO_SPARSE_SUPER | EXT4_RO_LARGE_FILE | EXT4_RO_HUGE_FILE |
                            EXT4_RO_GDT_CSUM | EXT4_RO_DIR_NLINK | EXT4_RO_EXTRA_ISIZE |
                            EXT4_RO_METADATA_CSUM | EXT4_RO_ORPHAN_PRESENT;

struct feature {
    u32 bit;
    const char *name;
};
static const struct feature incompat_names[] = {
    {EXT4_INCOMPAT_COMPRESSION, "compression"},
    {EXT4_INCOMPAT_JOURNAL_DEV, "journal_dev"},
    {EXT4_INCOMPAT_MMP, "mmp"},
    {EXT4_INCOMPAT_EA_INODE, "ea_inode"},
    {EXT4_INCOMPAT_DIRDATA, "dirdata"},
    {EXT4_INCOMPAT_INLINE_DATA, "inline_data"},
    {EXT4_INCOMPAT_ENCRYPT, "encrypt"},
    {EXT4_INCOMPAT_CASEFOLD, "casefold"},
    {0, NULL},
};
static const struct feature ro_names[] = {
    {EXT4_RO_QUOTA, "quota"},     {EXT4_RO_BIGALLOC, "bigalloc"}, {EXT4_RO_READONLY, "read-only"},
    {EXT4_RO_PROJECT, "project"}, {EXT4_RO_VERITY, "verity"},     {0, NULL},
};

/* The names of the features in @bits, as mke2fs has them. */
static void name_features(u32 bits, const struct feature *names, char *text, size_t size)
{
    size_t at = 0;

    for (u32 i = 0; i < 32; i++) {
        const struct feature *f = names;
        if (!(bits >> i & 1))
            continue;
        while (f->name && f->bit != 1u << i)
            f++;
        if (f->name)
            at += (size_t)format(text + at, size - at, "%s%s", at ? ", " : "", f->name);
        else
            at += (size_t)format(text + at, size - at, "%s0x%x", at ? ", " : "", 1u << i);
        at = min(at, size - 1);
    }
}

void ext4_error(struct ext4_fs *fs, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    format_va(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_err("ext4: %s: %s", fs->bd->name, text);
    if (__atomic_exchange_n(&fs->readonly, true, __ATOMIC_ACQ_REL) || !fs->sb || !fs->super_buf)
        return;
    log_err("ext4: %s: read-only from now on; e2fsck mends it", fs->bd->name);
    if (!fs->journal.error)
        fs->journal.error = -EIO;
    if (fs->bd->readonly)
        return;
    struct ext4_super_block *super = ext4_super(fs);
    super->state = le16_of((u16)(le16_get(super->state) | EXT4_ERROR_FS));
    super->error_count = le32_of(le32_get(super->error_count) + 1);
    super->last_error_time = le32_of((u32)(time_real_ns() / NSEC_PER_SEC));
    if (!le32_get(super->first_error_time))
        super->first_error_time = super->last_error_time;
    if (fs->csum)
        super->checksum = le32_of(ext4_super_csum(super));
    (void)buf_write_home(fs, fs->super_buf); /* nothing more can be done */
}

static int count_groups(struct ext4_fs *fs)
{
    u64 blocks = 0, inodes = 0;

    for (u32 i = 0; i < fs->nr_groups; i++) {
        struct ext4_group_desc *desc;
        struct ext4_buf *buf;
        int err = group_desc(fs, i, &buf, &desc);
        if (err)
            return err;
        fs->groups[i].free = group_free_blocks(fs, desc);
        blocks += fs->groups[i].free;
        inodes += group_free_inodes(fs, desc);
        buf_put(fs, buf);
    }
    fs->free_blocks = (s64)blocks;
    fs->free_inodes = (s64)inodes;
    return 0;
}

int ext4_count_free(struct ext4_fs *fs)
{
    int err = 0;

    if (likely(__atomic_load_n(&fs->counted, __ATOMIC_ACQUIRE)))
        return 0;
    mutex_lock(&fs->count_lock);
    if (!fs->counted)
        err = count_groups(fs);
    if (!err)
        __atomic_store_n(&fs->counted, true, __ATOMIC_RELEASE);
    mutex_unlock(&fs->count_lock);
    return err;
}

/* ---- the super block ---- */

static const char *check_sizes(const struct ext4_fs *fs, const struct ext4_super_block *super)
{
    u32 bits = fs->block_size * 8;

    if (fs->inode_size < EXT4_GOOD_OLD_INODE_SIZE || fs->inode_size > fs->block_size ||
        fs->inode_size & (fs->inode_size - 1))
        return "the inode size is impossible";
    if (fs->desc_size < 32 || fs->desc_size > fs->block_size || fs->desc_size & (fs->desc_size - 1))
        return "the size of group descriptors is impossible";
    if (!fs->blocks_per_group || fs->blocks_per_group > bits || fs->blocks_per_group & 7)
        return "the number of blocks in a group is impossible";
    if (!fs->inodes_per_group || fs->inodes_per_group > bits || fs->inodes_per_group & 7)
        return "the number of inodes in a group is impossible";
    if (fs->first_data_block != (fs->block_size == 1024 ? 1u : 0u))
        return "the first data block is impossible";
    if (fs->nr_blocks <= fs->first_data_block + 8ull || fs->nr_blocks >> 48)
        return "the number of blocks is impossible";
    if (fs->nr_blocks > fs->bd->sectors >> (fs->block_bits - 9))
        return "the volume is larger than its disk";
    if (le32_get(super->inodes_count) != (u64)fs->nr_groups * fs->inodes_per_group ||
        fs->first_ino < 11)
        return "the number of inodes is impossible";
    return NULL;
}

static u64 block_count(const struct ext4_fs *fs, le32 lo, le32 hi)
{
    return le32_get(lo) |
           (ext4_has_incompat(fs, EXT4_INCOMPAT_64BIT) ? (u64)le32_get(hi) << 32 : 0);
}

static void read_geometry(struct ext4_fs *fs, const struct ext4_super_block *super)
{
    bool dynamic = le32_get(super->rev_level) > 0;

    fs->nr_blocks = block_count(fs, super->blocks_count_lo, super->blocks_count_hi);
    fs->first_data_block = le32_get(super->first_data_block);
    fs->blocks_per_group = le32_get(super->blocks_per_group);
    fs->inodes_per_group = le32_get(super->inodes_per_group);
    fs->nr_inodes = le32_get(super->inodes_count);
    fs->inode_size = dynamic ? le16_get(super->inode_size) : EXT4_GOOD_OLD_INODE_SIZE;
    fs->first_ino = dynamic ? le32_get(super->first_ino) : 11;
    fs->desc_size = ext4_has_incompat(fs, EXT4_INCOMPAT_64BIT) ? le16_get(super->desc_size) : 32;
    fs->desc_per_block = fs->desc_size ? fs->block_size / fs->desc_size : 0;
    if (fs->blocks_per_group && fs->nr_blocks > fs->first_data_block)
        fs->nr_groups = (u32)min(DIV_UP(fs->nr_blocks - fs->first_data_block, fs->blocks_per_group),
                                 (u64)UINT32_MAX);
}

static void read_seeds(struct ext4_fs *fs, const struct ext4_super_block *super)
{
    u32 extra = max((u32)le16_get(super->want_extra_isize), 32u);
    bool is_unsigned = le32_get(super->flags) & EXT4_FLAGS_UNSIGNED_HASH;

    fs->csum = fs->ro_compat & EXT4_RO_METADATA_CSUM;
    fs->seed = ext4_has_incompat(fs, EXT4_INCOMPAT_CSUM_SEED)
                   ? le32_get(super->checksum_seed)
                   : crc32c(UINT32_MAX, super->uuid, sizeof(super->uuid));
    for (u32 i = 0; i < 4; i++)
        fs->hash_seed[i] = le32_get(super->hash_seed[i]);
    fs->hash_version = super->def_hash_version;
    if (fs->hash_version <= EXT4_HASH_TEA && is_unsigned)
        fs->hash_version = (u8)(fs->hash_version + 3);
    fs->extra_isize = fs->inode_size > EXT4_GOOD_OLD_INODE_SIZE
                          ? min(extra, fs->inode_size - EXT4_GOOD_OLD_INODE_SIZE)
                          : 0;
}

/* Features that decide whether, and how, the volume can be mounted. */
static int check_features(struct ext4_fs *fs, bool *readonly, char *why, size_t why_size)
{
    u32 unknown = fs->incompat & ~known_incompat, ro = fs->ro_compat & ~known_ro;
    char names[96] = "";

    if (unknown) {
        name_features(unknown, incompat_names, names, sizeof(names));
        format(why, why_size, "feature not supported: %s", names);
        return -EOPNOTSUPP;
    }
    if (!ext4_has_incompat(fs, EXT4_INCOMPAT_EXTENTS) ||
        !ext4_has_incompat(fs, EXT4_INCOMPAT_FILETYPE)) {
        format(why, why_size, "not ext4: it has no extents (ext2 or ext3)");
        return -EOPNOTSUPP;
    }
    if (ro && !*readonly) {
        name_features(ro, ro_names, names, sizeof(names));
        format(why, why_size, "read-only: feature not supported for writing: %s", names);
        *readonly = true;
    }
    return 0;
}

static int read_super(struct ext4_fs *fs, char *why, size_t why_size)
{
    struct ext4_super_block *super = kmalloc(sizeof(*super));
    int err = super ? block_read(fs->bd, EXT4_SUPER_OFFSET / SECTOR_SIZE, super,
                                 sizeof(*super) / SECTOR_SIZE)
                    : -ENOMEM;
    const char *text = "it cannot be read";

    if (err == -EINVAL || (!err && le16_get(super->magic) != EXT4_SUPER_MAGIC)) {
        text = "not an ext4 volume";
        err = -EINVAL;
    }
    u32 log = err ? 0 : le32_get(super->log_block_size);
    if (!err && log > 2) {
        text = "block size not supported: 1024, 2048 and 4096 are";
        err = -EOPNOTSUPP;
    }
    if (!err) {
        fs->block_bits = 10 + log;
        fs->block_size = 1u << fs->block_bits;
        fs->super_offset = fs->block_size == 1024 ? 0 : EXT4_SUPER_OFFSET;
        fs->compat = le32_get(super->feature_compat);
        fs->incompat = le32_get(super->feature_incompat);
        fs->ro_compat = le32_get(super->feature_ro_compat);
        if (fs->ro_compat & EXT4_RO_METADATA_CSUM &&
            le32_get(super->checksum) != ext4_super_csum(super)) {
            text = "corrupt: the super block has a wrong checksum";
            err = -EUCLEAN;
        }
    }
    if (!err && fs->ro_compat & EXT4_RO_BIGALLOC) { /* its sizes would look impossible */
        text = "feature not supported: bigalloc";
        err = -EOPNOTSUPP;
    }
    if (!err) {
        read_geometry(fs, super);
        read_seeds(fs, super);
        text = check_sizes(fs, super);
        err = text ? -EUCLEAN : 0;
    }
    if (err)
        format(why, why_size, "%s%s",
               err == -EUCLEAN && !str_starts(text, "corrupt") ? "corrupt: " : "", text);
    kfree(super);
    return err;
}

/* ---- mount ---- */

static void update_counts(struct ext4_fs *fs)
{
    struct ext4_super_block *super = ext4_super(fs);
    u64 free = (u64)max(fs->free_blocks + fs->freed, (s64)0);

    if (fs->counted) {
        super->free_blocks_count_lo = le32_of((u32)free);
        super->free_blocks_count_hi = le32_of((u32)(free >> 32));
        super->free_inodes_count = le32_of((u32)max(fs->free_inodes, (s64)0));
    }
    super->wtime = le32_of((u32)(time_real_ns() / NSEC_PER_SEC));
}

static int ext4_sync(struct super_block *sb)
{
    return ext4_sync_all(ext4_of(sb));
}

static int ext4_statfs(struct super_block *sb, struct statfs64 *out)
{
    struct ext4_fs *fs = ext4_of(sb);
    const struct ext4_super_block *super = ext4_super(fs);
    u64 root = block_count(fs, super->r_blocks_count_lo, super->r_blocks_count_hi);

    int err = ext4_count_free(fs);
    if (err)
        return err;
    s64 free = __atomic_load_n(&fs->free_blocks, __ATOMIC_RELAXED) +
               __atomic_load_n(&fs->freed, __ATOMIC_RELAXED) -
               __atomic_load_n(&fs->reserved, __ATOMIC_RELAXED);
    out->f_blocks = fs->nr_blocks - min((u64)le32_get(super->overhead_clusters), fs->nr_blocks);
    out->f_bfree = (u64)max(free, (s64)0);
    out->f_bavail = out->f_bfree - min(root, out->f_bfree);
    out->f_files = fs->nr_inodes;
    out->f_ffree = (u64)max(fs->free_inodes, (s64)0);
    out->f_namelen = EXT4_NAME_MAX;
    return 0;
}

/* Files that are gone but open, or mapped, go now: nobody will come back to them. */
static void drop_orphans(struct ext4_fs *fs)
{
    u32 left = fs->nr_inodes;

    while (!list_empty(&fs->orphans) && left--) {
        struct inode *inode = list_first(&fs->orphans, struct ext4_inode, orphan)->inode;
        if (inode->nlink)
            break;
        ext4_delete(inode);
    }
}

static void ext4_free(struct super_block *sb)
{
    struct ext4_fs *fs = ext4_of(sb);

    buf_put(fs, fs->super_buf);
    journal_fini(fs);
    if (fs->bufs.next)
        buf_fini(fs);
    for (u32 i = 0; fs->groups && i < fs->nr_groups; i++)
        kfree(fs->groups[i].taken);
    kfree(fs->groups);
    kfree(fs);
}

static bool ever_written(const struct ext4_fs *fs)
{
    return fs->journal.running.tid > 1 || fs->journal.running.nr_bufs;
}

/* Bring everything home and say that the volume is clean. */
static int shut_down(struct ext4_fs *fs)
{
    struct ext4_handle h;

    int err = ext4_sync_all(fs);
    if (err || !ever_written(fs))
        return err;
    drop_orphans(fs);
    err = handle_start(fs, CREDITS_SUPER, &h);
    if (err)
        return err;
    handle_change(&h, fs->super_buf, EXT4_SUPER, 0);
    update_counts(fs);
    handle_stop(&h);
    err = journal_checkpoint(fs);
    if (err)
        return err;
    return journal_mark_super(fs, false);
}

static void ext4_unmount(struct super_block *sb)
{
    struct ext4_fs *fs = ext4_of(sb);

    writeback_remove(&fs->writeback);
    if (!ext4_check_writable(fs)) {
        int err = shut_down(fs);
        if (err)
            log_err("ext4: %s: not unmounted cleanly (error %d)", fs->bd->name, -err);
    }
    __atomic_store_n(&fs->shut, true, __ATOMIC_RELEASE);
    ext4_forget_dirty(fs);
}

static const struct super_ops ext4_super_ops = {
    .evict = ext4_evict,
    .statfs = ext4_statfs,
    .sync = ext4_sync,
    .unmount = ext4_unmount,
    .free = ext4_free,
};

static int init_fs(struct ext4_fs *fs)
{
    fs->groups = kcalloc(fs->nr_groups, sizeof(*fs->groups));
    if (!fs->groups)
        return -ENOMEM;
    for (u32 i = 0; i < fs->nr_groups; i++)
        mutex_init(&fs->groups[i].lock);
    mutex_init(&fs->count_lock);
    mutex_init(&fs->orphan_lock);
    mutex_init(&fs->dirty_lock);
    list_init(&fs->orphans);
    list_init(&fs->dirty);
    fs->next_generation = (u32)time_real_ns();
    buf_init(fs);
    journal_init(fs);
    return 0;
}

static int load_super(struct ext4_fs *fs)
{
    return buf_read(fs, EXT4_SUPER_OFFSET / fs->block_size, &fs->super_buf);
}

/* After a replay everything that was read before may be old. */
static int forget_all(struct ext4_fs *fs, char *why, size_t why_size)
{
    buf_put(fs, fs->super_buf);
    fs->super_buf = NULL;
    buf_fini(fs);
    memset(fs->buckets, 0, sizeof(fs->buckets));
    fs->nr_bufs = 0;
    buf_init(fs);
    int err = read_super(fs, why, why_size);
    return err ? err : load_super(fs);
}

static int recover(struct ext4_fs *fs, char *why, size_t why_size)
{
    const char *text;

    if (!(fs->compat & EXT4_COMPAT_HAS_JOURNAL)) {
        fs->journal.max_tx = 1024;
        return 0;
    }
    int err = journal_load(fs, &text);
    if (!err && ext4_has_incompat(fs, EXT4_INCOMPAT_RECOVER)) {
        if (fs->bd->readonly) {
            text = "the journal must be replayed, and the disk is read-only";
            err = -EROFS;
        } else {
            err = journal_replay(fs, &text);
            if (!err)
                err = forget_all(fs, why, why_size);
        }
    }
    if (err && !*why)
        format(why, why_size, "%s%s", err == -EUCLEAN ? "corrupt: " : "", text);
    return err;
}

static int mount_root_dir(struct ext4_fs *fs, char *why, size_t why_size)
{
    struct inode *root;

    int err = ext4_iget(fs->sb, EXT4_ROOT_INO, false, &root);
    if (!err && !S_ISDIR(root->mode)) {
        inode_put(root);
        err = -EUCLEAN;
    }
    if (!err) {
        fs->sb->root = dentry_create_root(root);
        if (!fs->sb->root) {
            inode_put(root);
            err = -ENOMEM;
        }
    }
    if (err)
        format(why, why_size, "%sthe root directory", err == -EUCLEAN ? "corrupt: " : "");
    return err;
}

static int mount_fs(struct ext4_fs *fs, bool readonly, char *why, size_t why_size)
{
    int err = read_super(fs, why, why_size);
    if (!err)
        err = check_features(fs, &readonly, why, why_size);
    if (!err)
        err = init_fs(fs);
    if (!err)
        err = load_super(fs);
    if (err)
        return err;
    fs->sb->block_size = fs->block_size;
    readonly |= fs->bd->readonly;
    char note[120] = "";
    str_copy(note, why, sizeof(note));
    *why = '\0';
    err = recover(fs, why, why_size);
    if (err)
        return err;
    if (le16_get(ext4_super(fs)->state) & EXT4_ERROR_FS)
        log_warn("ext4: %s: has errors; e2fsck mends them", fs->bd->name);
    if (!readonly && ext4_orphans_clean(fs))
        readonly = true;
    if (fs->readonly) /* damage was found meanwhile */
        readonly = true;
    fs->readonly = fs->sb->readonly = readonly;
    err = mount_root_dir(fs, why, why_size);
    if (!err)
        str_copy(why, note, why_size);
    return err;
}

int ext4_mount(struct block_dev *bd, bool readonly, char *why, size_t why_size,
               struct super_block **out)
{
    struct super_block *sb = super_create("ext4", EXT4_MAGIC_STATFS);
    struct ext4_fs *fs = kzalloc(sizeof(*fs));

    format(why, why_size, "out of memory");
    if (!sb || !fs) {
        kfree(fs);
        super_destroy(sb);
        return -ENOMEM;
    }
    *why = '\0';
    fs->bd = bd;
    fs->sb = sb;
    sb->data = fs;
    sb->dev = bd->dev;
    sb->ops = &ext4_super_ops;
    sb->inode_extra = sizeof(struct ext4_inode);
    int err = mount_fs(fs, readonly, why, why_size);
    if (err) {
        fs->shut = true;
        super_destroy(sb);
        return err;
    }
    fs->writeback.run = ext4_writeback;
    writeback_add(&fs->writeback);
    *out = sb;
    return 0;
}
