/* EROFS: pages of compressed files.  An extent is decompressed from its beginning to the end of
 * what is asked for, straight into the pages that are, and into spare ones before them. */
#include "fs/erofs_z.h"

#include "mm/heap.h"

enum { LZ4_REACH = 65536 };

/* ---- input ---- */

bool erofs_zin_next(struct erofs_zin *in)
{
    u64 run = min(in->left, EROFS_BLOCK_SIZE - in->pos % EROFS_BLOCK_SIZE);

    erofs_unmap(&in->buf);
    in->buf.page = NULL;
    in->at = in->end = NULL;
    if (!run || in->err)
        return false;
    in->err = erofs_map(in->fs, in->pos, run, &in->buf, &in->at);
    if (in->err)
        return false;
    in->end = in->at + run;
    in->pos += run;
    in->left -= run;
    return true;
}

/* Past the zeroes before the first compressed byte, which is in the first block. */
static int skip_padding(struct erofs_zin *in)
{
    if (!erofs_zin_next(in))
        return in->err ? in->err : -EUCLEAN;
    while (in->at < in->end && !*in->at)
        in->at++;
    return in->at < in->end ? 0 : -EUCLEAN;
}

/* ---- output ---- */

/* A page that no match can reach any more, or a new one. */
static struct page *take_spare(struct erofs_zout *out)
{
    u32 reached = out->done > out->reach ? (out->first + out->done - out->reach) / PAGE_SIZE : 0;

    for (; out->oldest < reached; out->oldest++) {
        struct page *page = out->spare[out->oldest];
        if (!page)
            continue;
        out->spare[out->oldest] = NULL;
        out->bytes[out->oldest] = NULL;
        return page;
    }
    return page_alloc(0, 0);
}

u8 *erofs_zroom(struct erofs_zout *out, u32 *room)
{
    u32 at = out->first + out->done, i = at / PAGE_SIZE;

    *room = min((u32)PAGE_SIZE - at % (u32)PAGE_SIZE, out->want - out->done);
    if (unlikely(!out->bytes[i])) {
        out->spare[i] = take_spare(out);
        if (!out->spare[i])
            return NULL;
        out->bytes[i] = page_to_virt(out->spare[i]);
    }
    return out->bytes[i] + at % PAGE_SIZE;
}

int erofs_zmove(struct erofs_zin *in, struct erofs_zout *out, u32 len)
{
    for (u32 n, room; len; len -= n) {
        if (in->at == in->end && !erofs_zin_next(in))
            return in->err ? in->err : -EUCLEAN;
        u8 *to = erofs_zroom(out, &room);
        if (!to)
            return -ENOMEM;
        room = min(room, (u32)(in->end - in->at));
        n = min(len, room);
        memcpy(to, in->at, n);
        in->at += n;
        out->done += n;
    }
    return 0;
}

/* @n bytes that lie @distance before @to, which may be fewer than @n. */
static void repeat_bytes(u8 *to, const u8 *from, u32 distance, u32 n)
{
    if (distance >= n)
        memcpy(to, from, n);
    else if (distance == 1)
        memset(to, *from, n);
    else
        for (u32 i = 0; i < n; i++)
            to[i] = from[i];
}

int erofs_zrepeat(struct erofs_zout *out, u32 distance, u32 len)
{
    if (!distance || distance > out->done || distance > out->reach)
        return -EUCLEAN;
    for (u32 n, room; len; len -= n) {
        u32 at = out->first + out->done - distance;
        u8 *to = erofs_zroom(out, &room);
        const u8 *from = out->bytes[at / PAGE_SIZE];
        if (!to)
            return -ENOMEM;
        if (!from)
            return -EUCLEAN;
        room = min(room, (u32)PAGE_SIZE - at % (u32)PAGE_SIZE);
        n = min(len, room);
        repeat_bytes(to, from + at % PAGE_SIZE, distance, n);
        out->done += n;
    }
    return 0;
}

u32 erofs_zpeek(const struct erofs_zout *out, u32 distance)
{
    u32 at = out->first + out->done - distance;
    const u8 *page = out->bytes[at / PAGE_SIZE];

    return page ? page[at % PAGE_SIZE] : 0;
}

static void out_fini(struct erofs_zout *out)
{
    for (u32 i = 0; out->spare && i < out->nr_pages; i++)
        if (out->spare[i])
            page_put(out->spare[i]);
    kfree(out->bytes);
    kfree(out->spare);
}

/* ---- files ---- */

/* A range of a file that somebody has pages for. */
struct wish {
    u64 start, end; /* bytes; the end may be the file's */
    struct page **pages;
};

/* Bytes as they are: from the extent's beginning on, or each where it will be in its page. */
static int read_stored(struct inode *inode, const struct erofs_zextent *x, const struct wish *wish)
{
    bool interlaced = erofs_inode_of(inode)->advise & EROFS_ADVISE_INTERLACED;
    u64 at = max(x->start, wish->start), end = min(x->end, wish->end);

    for (u64 n; at < end; at += n) {
        u64 in_page = at % PAGE_SIZE, from = interlaced ? in_page : at - x->start;
        u8 *to = page_to_virt(wish->pages[(at - wish->start) / PAGE_SIZE]);
        n = min(end - at, PAGE_SIZE - in_page);
        if (from + n > x->len)
            return -EUCLEAN;
        int err = erofs_copy(erofs_of(inode), x->pos + from, to + in_page, n);
        if (err)
            return err;
    }
    return 0;
}

static int out_init(struct erofs_zout *out, const struct erofs_zextent *x, const struct wish *wish,
                    u32 reach)
{
    u64 end = min(x->end, wish->end), base = ALIGN_DOWN(x->start, PAGE_SIZE);

    *out = (struct erofs_zout){
        .want = (u32)(end - x->start),
        .first = (u32)(x->start - base),
        .reach = reach,
        .nr_pages = (u32)DIV_UP(end - base, PAGE_SIZE),
    };
    out->bytes = kcalloc(out->nr_pages, sizeof(*out->bytes));
    out->spare = kcalloc(out->nr_pages, sizeof(*out->spare));
    if (!out->bytes || !out->spare)
        return -ENOMEM;
    u64 from = base > wish->start ? 0 : (wish->start - base) / PAGE_SIZE;
    for (u64 i = from; i < out->nr_pages; i++) {
        u64 page = (base + i * PAGE_SIZE - wish->start) / PAGE_SIZE;
        out->bytes[i] = page_to_virt(wish->pages[page]);
    }
    return 0;
}

static int decompress(struct inode *inode, const struct erofs_zextent *x, const struct wish *wish)
{
    struct erofs *fs = erofs_of(inode);
    struct erofs_zin in = {.fs = fs, .pos = x->pos, .left = x->len};
    struct erofs_zout out;

    bool lzma = erofs_inode_of(inode)->algorithm == EROFS_LZMA;
    int err = out_init(&out, x, wish, lzma ? fs->dict_size : LZ4_REACH);
    if (!err && (fs->zero_padding || lzma))
        err = skip_padding(&in);
    if (!err)
        err = lzma ? erofs_lzma(&in, &out) : erofs_lz4(&in, &out);
    erofs_unmap(&in.buf);
    out_fini(&out);
    return err;
}

int erofs_zreadpages(struct inode *inode, u64 index, struct page **pages, u32 nr)
{
    const struct wish wish = {.start = index << PAGE_SHIFT,
                              .end = min((index + nr) << PAGE_SHIFT, inode->size),
                              .pages = pages};
    struct erofs_zextent x;

    for (u32 i = 0; i < nr; i++)
        if ((index + i + 1) << PAGE_SHIFT > wish.end)
            memset(page_to_virt(pages[i]), 0, PAGE_SIZE);
    for (u64 at = wish.start; at < wish.end; at = x.end) {
        int err = erofs_zextent(inode, at, wish.end, &x);
        if (!err)
            err = x.stored ? read_stored(inode, &x, &wish) : decompress(inode, &x, &wish);
        if (err)
            return err;
    }
    return 0;
}
