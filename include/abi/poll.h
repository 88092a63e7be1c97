/* poll and select of the Linux ABI (asm-generic/poll.h). The bits are enum poll_bits, vfs/file.h.
 */
#pragma once

#include "lib/types.h"

struct pollfd_abi {
    s32 fd;
    s16 events, revents;
};
static_assert(sizeof(struct pollfd_abi) == 8, "ABI");

/** The last argument of pselect6. */
struct pselect_mask_abi {
    u64 set;
    u64 size;
};
