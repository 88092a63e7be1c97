/* Code of an exported disk with absolute operands: what a call, a jump or an address relative to
 * the instruction names is stored as its place, so that all references to it are the same bytes,
 * which whoever packs the disk sees.  Each such operand of four bytes is `marker`, then the place
 * from byte 0 on in three bytes, the highest first, with `first` added to the highest.  No other
 * byte `marker` of the range is followed by one of `first`...`first + count - 1`. The kernel makes
 * them relative again at the start (kernel/plat/pc/absolute.S). */
#pragma once

#include "lib/types.h"

enum {
    ABSOLUTE_BLOCK = 64,       /* a range has whole blocks */
    ABSOLUTE_LIMIT = 32 << 16, /* places are below this */
};

struct absolute_form {
    u32 begin, end; /* the range, from the same byte 0 */
    u8 marker, first;
    u8 count; /* of 64 KiB that places lie in; 0: all is as it was */
    u8 unused;
};

static_assert(sizeof(struct absolute_form) == 12, "absolute.S knows it");
