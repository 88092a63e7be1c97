/* A folded root image: what the image has more than once is in the boot file once.  Exported disks
 * are packed by whoever stores or sends them, mostly by deflate, which looks back 32 KiB; so it
 * does not see that patched pages (abi/patch.h) are copies of the program's own but for some bytes.
 *
 * struct fold_header, then runs, then all literal bytes.  Each run is first literals, then a copy
 * of what lies `back` bytes before the place it goes to; the two never overlap.  The kernel unfolds
 * the image into memory of its own at the start. */
#pragma once

#include "abi/absolute.h"
#include "lib/types.h"

#define FOLD_MAGIC 0x326c6f4649474e49ul /* "INGIFol2" */

enum { FOLD_LIMIT = 64 << 20 }; /* larger roots are stored as they are */

struct fold_header {
    u64 magic;
    u64 size; /* of the image, whole pages */
    u32 nr_runs;
    u32 literals;                  /* bytes in all */
    struct absolute_form absolute; /* of the literals; what it has ends four bytes before them */
    u32 unused;
};

struct fold_run {
    u32 literals, copy, back; /* bytes */
};

static_assert(sizeof(struct fold_header) == 40 && sizeof(struct fold_run) == 12,
              "both sides agree");
