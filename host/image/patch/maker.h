/* What the patch of an object (patch.c) and the command's own start (start.c) are made with: sites
 * become jumps, stubs are written one behind the other. */
#pragma once

#include "abi/patch.h"
#include "image/patch/sites.h"
#include "lib/buf.h"

/** What grows while the stubs are written. */
struct maker {
    const struct object *o;
    const struct sites *sites;
    const u8 *answers, *answers_end; /* code that stands for `cpuid`, fit for any place */
    u64 stubs;                       /* address that the stubs will have */
    u64 cpuid; /* address of the code that stands for `cpuid`; 0: there is none yet */
    struct buf code;
    struct buf pcs, backs; /* struct patch_pc */
    struct buf pages;      /* u32: numbers of pages of the file, rising */
    struct buf bytes;      /* their content */
    struct patch_header header;
};

/** Free what grew; fit for CLEANUP. */
void maker_free(struct maker *m);

/** A stub in .code and a jump in .bytes for each site that can have one, and the header's counts.
 */
void maker_put_sites(struct maker *m);
