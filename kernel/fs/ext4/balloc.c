/* Blocks: promised, claimed, recorded, freed.
 * Each group that was used has a map in memory of what cannot be had: used on disk, claimed by a
 * write-back that has not recorded it yet, or freed by a transaction that is not on disk yet.
 * .free_blocks counts its zero bits over all groups; pages without a place hold promises of it. */
#include "abi/errno.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/heap.h"

enum { SPARE_FOR_TREES = 8, PAGES_A_TREE_BLOCK = 64 };

/* Make the group's map. Locked. 0, or the group is bad. */
static int load(struct ext4_fs *fs, u32 group)
{
    struct ext4_group *g = &fs->groups[group];
    struct ext4_buf *buf;

    if (likely(g->taken != NULL))
        return 0;
    if (g->bad)
        return -EUCLEAN;
    int err = group_read_bitmap(fs, group, &buf);
    if (err) {
        g->bad = err == -EUCLEAN;
        if (g->bad)
            ext4_error(fs, "group %u: the block bitmap is damaged", group);
        return err;
    }
    u8 *taken = kmalloc(fs->block_size);
    if (taken) {
        memcpy(taken, buf->data, fs->block_size);
        u32 size = group_size(fs, group), free = 0;
        for (u32 i = 0; i < size; i++)
            free += !bit_test(taken, i);
        for (u32 i = size; i < fs->block_size * 8; i++)
            bit_set(taken, i);
        __atomic_add_fetch(&fs->free_blocks, (s64)free - (s64)g->free, __ATOMIC_RELAXED);
        g->free = free;
        g->taken = taken;
    }
    buf_put(fs, buf);
    return taken ? 0 : -ENOMEM;
}

/* ---- promises ---- */

static bool try_reserve(struct ext4_fs *fs, u32 n)
{
    s64 reserved = __atomic_add_fetch(&fs->reserved, n, __ATOMIC_ACQ_REL);
    s64 spare = SPARE_FOR_TREES + reserved / PAGES_A_TREE_BLOCK;

    if (reserved + spare <= __atomic_load_n(&fs->free_blocks, __ATOMIC_ACQUIRE))
        return true;
    __atomic_sub_fetch(&fs->reserved, n, __ATOMIC_ACQ_REL);
    return false;
}

int ext4_reserve(struct ext4_fs *fs, u32 n)
{
    int err = ext4_count_free(fs);

    if (err)
        return err;
    if (likely(try_reserve(fs, n)))
        return 0;
    bool freed = !list_empty(&fs->journal.running.freed);
    if (freed)
        err = journal_commit(fs, fs->journal.running.tid);
    return err ? err : freed && try_reserve(fs, n) ? 0 : -ENOSPC;
}

void ext4_unreserve(struct ext4_fs *fs, u64 n)
{
    __atomic_sub_fetch(&fs->reserved, (s64)n, __ATOMIC_ACQ_REL);
}

/* ---- claims ---- */

static u64 word_at(const u8 *bits, u32 i)
{
    u64 word;
    __builtin_memcpy(&word, bits + i / 64 * 8, sizeof(word));
    return word;
}

/* The first zero bit at or after @from, @end if there is none; 64 at a time. */
static u32 next_free(const u8 *bits, u32 from, u32 end)
{
    while (from < end) {
        u64 word = ~word_at(bits, from) >> (from & 63);
        if (word)
            return min(from + (u32)__builtin_ctzll(word), end);
        from = (from | 63) + 1;
    }
    return end;
}

static u32 run_length(const u8 *bits, u32 from, u32 end)
{
    u32 at = from;

    while (at < end) {
        u64 word = word_at(bits, at) >> (at & 63);
        if (word)
            return min(at + (u32)__builtin_ctzll(word), end) - from;
        at = (at | 63) + 1;
    }
    return end - from;
}

/* The first run of @want free bits from @goal on, going round; else the longest. 0: none. */
static u32 find_run(const u8 *bits, u32 size, u32 goal, u32 want, u32 *first)
{
    u32 best = 0;

    for (int round = 0; round < 2; round++) {
        u32 at = round ? 0 : goal, end = round ? goal : size;
        while ((at = next_free(bits, at, end)) < end) {
            u32 len = run_length(bits, at, min(size, at + want));
            if (len > best) {
                best = len;
                *first = at;
            }
            if (best >= want || (at == goal && len)) /* right behind what is there already */
                return best;
            at += len;
        }
    }
    return best;
}

static int claim_in(struct ext4_fs *fs, u32 group, u32 goal, u32 want, u64 *block, u32 *got)
{
    struct ext4_group *g = &fs->groups[group];
    u32 first = 0, len = 0;

    mutex_lock(&g->lock);
    int err = load(fs, group);
    if (!err && g->free) {
        goal = max(goal, g->hint);
        len = find_run(g->taken, group_size(fs, group), goal < group_size(fs, group) ? goal : 0,
                       want, &first);
    }
    for (u32 i = 0; i < len; i++)
        bit_set(g->taken, first + i);
    if (len && first == g->hint)
        g->hint = first + len;
    g->free -= len;
    __atomic_sub_fetch(&fs->free_blocks, len, __ATOMIC_ACQ_REL);
    mutex_unlock(&g->lock);
    if (err && err != -EUCLEAN)
        return err;
    *block = group_first_block(fs, group) + first;
    *got = len;
    return len ? 0 : -ENOSPC;
}

int ext4_claim_run(struct ext4_fs *fs, u32 group, u32 *from, u32 to, u32 most, u64 *block, u32 *got)
{
    struct ext4_group *g = &fs->groups[group];
    s64 spare = __atomic_load_n(&fs->free_blocks, __ATOMIC_ACQUIRE) -
                __atomic_load_n(&fs->reserved, __ATOMIC_ACQUIRE);
    u32 len = 0;

    mutex_lock(&g->lock);
    int err = load(fs, group);
    if (!err && g->free && spare > 4) { /* leave the most to who writes meanwhile */
        *from = next_free(g->taken, *from, to);
        most = (u32)min((u64)most, (u64)spare / 4);
        len = *from < to ? run_length(g->taken, *from, min(to, *from + most)) : 0;
    }
    s64 left = __atomic_sub_fetch(&fs->free_blocks, len, __ATOMIC_SEQ_CST);
    if (len && left < __atomic_load_n(&fs->reserved, __ATOMIC_SEQ_CST)) {
        __atomic_add_fetch(&fs->free_blocks, len, __ATOMIC_SEQ_CST);
        len = 0;
    }
    for (u32 i = 0; i < len; i++)
        bit_set(g->taken, *from + i);
    g->free -= len;
    mutex_unlock(&g->lock);
    *block = group_first_block(fs, group) + *from;
    *got = len;
    return err == -EUCLEAN ? 0 : err;
}

/* Others may not take what was promised to pages. */
static bool may_take(struct ext4_fs *fs, bool reserved)
{
    s64 free = __atomic_load_n(&fs->free_blocks, __ATOMIC_ACQUIRE);

    return free > (reserved ? 0 : __atomic_load_n(&fs->reserved, __ATOMIC_ACQUIRE));
}

int ext4_claim(struct ext4_fs *fs, u64 goal, u32 want, bool reserved, u64 *block, u32 *got)
{
    int err = ext4_count_free(fs);

    if (err)
        return err;
    if (!may_take(fs, reserved))
        return -ENOSPC;
    if (!block_range_ok(fs, goal, 1))
        goal = fs->first_data_block + 1;
    u32 first = group_of_block(fs, goal);
    u32 in_group = (u32)(goal - group_first_block(fs, first));
    for (u32 i = 0; i < fs->nr_groups; i++) {
        u32 group = (first + i) % fs->nr_groups;
        if (!fs->groups[group].free)
            continue;
        err = claim_in(fs, group, i ? 0 : in_group, want, block, got);
        if (err != -ENOSPC)
            return err;
    }
    return -ENOSPC;
}

void ext4_unclaim(struct ext4_fs *fs, u64 block, u32 len)
{
    while (len) {
        u32 group = group_of_block(fs, block), i = (u32)(block - group_first_block(fs, group));
        u32 n = min(len, fs->blocks_per_group - i);
        struct ext4_group *g = &fs->groups[group];
        mutex_lock(&g->lock);
        for (u32 b = 0; g->taken && b < n; b++)
            bit_clear(g->taken, i + b);
        g->free += n;
        g->hint = min(g->hint, i);
        mutex_unlock(&g->lock);
        __atomic_add_fetch(&fs->free_blocks, n, __ATOMIC_ACQ_REL);
        block += n;
        len -= n;
    }
}

/* ---- on disk ---- */

/* Set or clear the bits [i, i + n) of @group. Locked. */
static int change_bits(struct ext4_handle *h, u32 group, u32 i, u32 n, bool set)
{
    struct ext4_fs *fs = h->fs;
    struct ext4_group_desc *desc;
    struct ext4_buf *desc_buf, *buf;

    int err = group_desc(fs, group, &desc_buf, &desc);
    if (err)
        return err;
    err = group_read_bitmap(fs, group, &buf);
    if (err)
        goto put_desc;
    for (u32 b = i; b < i + n; b++)
        if (bit_test(buf->data, b) == set)
            err = -EUCLEAN;
    if (err) {
        ext4_error(fs, "group %u: blocks %u+%u are %s already", group, i, n,
                   set ? "in use" : "free");
        goto put_bits;
    }
    handle_change(h, buf, EXT4_BLOCK_BITMAP, group);
    handle_change(h, desc_buf, EXT4_PLAIN, 0);
    for (u32 b = i; b < i + n; b++) {
        if (set)
            bit_set(buf->data, b);
        else
            bit_clear(buf->data, b);
    }
    u32 free = group_free_blocks(fs, desc);
    if (le16_get(desc->flags) & EXT4_BG_BLOCK_UNINIT) {
        desc->flags = le16_of((u16)(le16_get(desc->flags) & ~EXT4_BG_BLOCK_UNINIT));
        free = 0;
        for (u32 b = 0; b < group_size(fs, group); b++)
            free += !bit_test(buf->data, b);
        free += set ? n : 0;
        free -= set ? 0 : n;
    }
    group_set_free_blocks(fs, desc, set ? free - min(n, free) : free + n);
    group_desc_seal(fs, group, desc);
put_bits:
    buf_put(fs, buf);
put_desc:
    buf_put(fs, desc_buf);
    return err;
}

static int change_range(struct ext4_handle *h, u64 block, u32 len, bool set)
{
    struct ext4_fs *fs = h->fs;
    int err = ext4_count_free(fs); /* load() goes by it */

    if (!block_range_ok(fs, block, len)) {
        ext4_error(fs, "blocks %llu+%u are not of this volume", (unsigned long long)block, len);
        return -EUCLEAN;
    }
    while (len && !err) {
        u32 group = group_of_block(fs, block), i = (u32)(block - group_first_block(fs, group));
        u32 n = min(len, fs->blocks_per_group - i);
        mutex_lock(&fs->groups[group].lock);
        err = load(fs, group); /* what is freed is taken until the commit */
        if (!err)
            err = change_bits(h, group, i, n, set);
        mutex_unlock(&fs->groups[group].lock);
        block += n;
        len -= n;
    }
    return err;
}

int ext4_record(struct ext4_handle *h, u64 block, u32 len)
{
    return change_range(h, block, len, true);
}

/* Metadata of the volume itself is never a file's. */
static bool is_system_block(struct ext4_fs *fs, u64 block, u32 len)
{
    u32 group = group_of_block(fs, block);
    struct ext4_group_desc *desc;
    struct ext4_buf *buf;

    if (group_desc(fs, group, &buf, &desc))
        return true;
    u64 table = group_inode_table(fs, desc), bitmap = group_block_bitmap(fs, desc);
    u64 inodes = group_inode_bitmap(fs, desc), end = block + len;
    u64 table_end = table + DIV_UP((u64)fs->inodes_per_group * fs->inode_size, fs->block_size);
    buf_put(fs, buf);
    return (block < table_end && end > table) || (block <= bitmap && end > bitmap) ||
           (block <= inodes && end > inodes);
}

int ext4_free_blocks(struct ext4_handle *h, u64 block, u32 len, bool meta)
{
    if (!block_range_ok(h->fs, block, len) || is_system_block(h->fs, block, len)) {
        ext4_error(h->fs, "blocks %llu+%u cannot be freed: the volume's own",
                   (unsigned long long)block, len);
        return -EUCLEAN;
    }
    struct list_head records = LIST_INIT(records);
    int err = handle_take_records(h, len, meta, &records);
    if (err)
        return err;
    err = change_range(h, block, len, false);
    if (err) {
        journal_put_records(&h->fs->journal, &records);
        return err;
    }
    handle_free_blocks(h, block, len, meta, &records);
    __atomic_add_fetch(&h->fs->freed, len, __ATOMIC_RELAXED);
    return 0;
}

int ext4_new_meta(struct ext4_handle *h, u64 goal, bool reserved, struct ext4_buf **out)
{
    struct ext4_buf *buf;
    u64 block;
    u32 got;

    int err = ext4_claim(h->fs, goal, 1, reserved, &block, &got);
    if (err)
        return err;
    err = buf_new(h->fs, block, &buf);
    if (err)
        goto unclaim;
    err = ext4_record(h, block, 1);
    if (err)
        goto put_buf;
    *out = buf;
    return 0;

put_buf:
    buf_put(h->fs, buf);
unclaim:
    ext4_unclaim(h->fs, block, 1);
    return err;
}
