/* Pages of files from the disk, some ahead of a reader who goes on. */
#include "abi/errno.h"
#include "block/block.h"
#include "fs/ext4/priv.h"
#include "lib/string.h"
#include "mm/page.h"

enum { AHEAD_FIRST = 4, AHEAD_MAX = 32 };

/* Read or clear the @nr pages from @index on. */
static __attribute__((noinline)) int read_pages(struct inode *inode, u64 index, struct page **pages,
                                                u32 nr)
{
    struct ext4_fs *fs = ext4_of(inode->sb);
    struct ext4_inode *ei = ext4_i(inode);
    u32 page_bits = PAGE_SHIFT - fs->block_bits;
    u32 first = (u32)(index << page_bits), end = first + (nr << page_bits), at = first;
    struct block_batch batch;
    struct ext4_run run;
    int err = 0;

    block_batch_init(&batch, fs->bd, BLOCK_READ);
    mutex_lock(&ei->map_lock);
    for (; at < end && !err; at += run.len) {
        err = ext4_map(inode, at, end - at, &run);
        for (u32 i = 0; i < run.len && !err; i++) {
            u32 b = at + i - first;
            struct page *page = pages[b >> page_bits];
            u8 *data = (u8 *)page_to_virt(page) + ((b & ((1u << page_bits) - 1)) << fs->block_bits);
            if (run.state == MAP_WRITTEN)
                block_batch_add(&batch, (run.start + i) << (fs->block_bits - 9), data,
                                fs->block_size);
            else
                memset(data, 0, fs->block_size);
            if (run.state == MAP_HOLE)
                page->flags &= (u16)~PAGE_BLOCKS;
        }
    }
    mutex_unlock(&ei->map_lock);
    int failed = block_batch_finish(&batch);
    return err ? err : failed;
}

static void clear_past_end(const struct inode *inode, u64 index, struct page *page)
{
    u64 at = index << PAGE_SHIFT;

    if (inode->size < at + PAGE_SIZE && inode->size >= at)
        memset((u8 *)page_to_virt(page) + (inode->size - at), 0, at + PAGE_SIZE - inode->size);
}

/* How many pages to read for who wants @index. */
static u32 window(struct inode *inode, u64 index)
{
    struct ext4_inode *ei = ext4_i(inode);
    u64 left = DIV_UP(inode->size, PAGE_SIZE) - index;

    if (index == ei->ahead_next && index)
        ei->ahead_pages = min(max(ei->ahead_pages, (u32)AHEAD_FIRST) * 2, (u32)AHEAD_MAX);
    else
        ei->ahead_pages = AHEAD_FIRST;
    return (u32)min((u64)ei->ahead_pages, left);
}

/* Pages for [index, ...) up to the first that is there already; at least one, or 0: no memory. */
static u32 alloc_pages(struct inode *inode, u64 index, struct page **pages, u32 nr)
{
    u32 n = 0;

    for (; n < nr; n++) {
        if (n && page_cache_peek(&ext4_i(inode)->cache, index + n))
            break;
        pages[n] = page_alloc(0, 0);
        if (!pages[n])
            break;
        pages[n]->flags |= PAGE_BLOCKS;
    }
    return n;
}

static int read_run(struct inode *inode, u64 index, u32 want)
{
    struct ext4_inode *ei = ext4_i(inode);
    struct page *pages[AHEAD_MAX];
    u32 nr = alloc_pages(inode, index, pages, want);

    if (!nr)
        return -ENOMEM;
    int err = read_pages(inode, index, pages, nr);
    for (u32 i = 0; i < nr; i++) {
        if (!err) {
            clear_past_end(inode, index + i, pages[i]);
            int failed = page_cache_insert(&ei->cache, index + i, pages[i]);
            if (failed && failed != -EEXIST && !i)
                err = failed; /* the pages behind the first one were a guess */
        }
        page_put(pages[i]);
    }
    if (err && nr > 1)
        return read_run(inode, index, 1); /* what was not asked for shall not fail the read */
    ei->ahead_next = index + nr;
    return err;
}

int ext4_fill_page(struct inode *inode, u64 index, struct page **out)
{
    for (;;) {
        struct page *page = page_cache_find(&ext4_i(inode)->cache, index);
        if (page) {
            *out = page;
            return 0;
        }
        if (index >= DIV_UP(inode->size, PAGE_SIZE))
            return -EFAULT;
        int err = read_run(inode, index, window(inode, index));
        if (err)
            return err == -EUCLEAN ? -EIO : err;
    }
}

int ext4_get_page(struct inode *inode, u64 index, struct page **out)
{
    gate_enter(&ext4_i(inode)->gate);
    int err = ext4_fill_page(inode, index, out);
    gate_leave(&ext4_i(inode)->gate);
    return err;
}
