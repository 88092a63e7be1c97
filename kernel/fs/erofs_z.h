/* What decompressors read from and write to.  Both sides are bounded: input is a range of the
 * image, held block by block; output is an extent's bytes, spread over pages.  Nothing that the
 * input says leads outside of either. */
#pragma once

#include "abi/errno.h"
#include "fs/erofs_priv.h"
#include "lib/string.h"
#include "mm/page.h"

/* Fields: the decompressing thread's own. */
struct erofs_zin {
    const struct erofs *fs;
    struct erofs_buf buf; /* the block that .at is in; owns */
    const u8 *at, *end;   /* bytes of that block */
    u64 pos, left;        /* what follows it in the image */
    int err;              /* a block that could not be read */
};

/* The pages of an extent up to where somebody wants it.  Those that nobody asked for are spare
 * ones, of which the oldest is used again once no match can reach it any more. */
struct erofs_zout {
    u32 done, want; /* bytes of the extent */
    u32 first;      /* where it begins in its first page */
    u32 reach;      /* how far back a match may lie */
    u32 oldest;     /* the first page that may have a spare one */
    u32 nr_pages;
    u8 **bytes;          /* of each page; NULL: none yet, or none any more */
    struct page **spare; /* of each page; owns; NULL: it is somebody else's */
    int err;             /* -ENOMEM: no spare page */
};

/** The next block. False: there is none. */
bool erofs_zin_next(struct erofs_zin *in);

/** The next byte; 0 where there is none, and .err is set. */
static inline u32 erofs_zin_byte(struct erofs_zin *in)
{
    if (unlikely(in->at == in->end) && !erofs_zin_next(in)) {
        in->err = in->err ? in->err : -EUCLEAN;
        return 0;
    }
    return *in->at++;
}

/** Move @len bytes from input to output. 0, or what hindered it. */
int erofs_zmove(struct erofs_zin *in, struct erofs_zout *out, u32 len);
/** Say @len bytes again that lie @distance back. 0, -EUCLEAN, -ENOMEM. */
int erofs_zrepeat(struct erofs_zout *out, u32 distance, u32 len);
/** The byte that lies @distance back, which is at most .done; 0 where nothing can reach it. */
u32 erofs_zpeek(const struct erofs_zout *out, u32 distance);
/** Where the next byte goes, and how many follow there. NULL: -ENOMEM. */
u8 *erofs_zroom(struct erofs_zout *out, u32 *room);

/** Decompress @out->want bytes: 0, -EUCLEAN, -EIO, -ENOMEM. LZ4 block format. */
int erofs_lz4(struct erofs_zin *in, struct erofs_zout *out);
/** The same for MicroLZMA. */
int erofs_lzma(struct erofs_zin *in, struct erofs_zout *out);
