/* poll and select of the Linux ABI (asm-generic/poll.h). */
#pragma once

#include "lib/types.h"

/** What files are ready for, and what wake-ups say. */
enum poll_bits {
    POLLIN = 0x1,
    POLLPRI = 0x2,
    POLLOUT = 0x4,
    POLLERR = 0x8,
    POLLHUP = 0x10,
    POLLNVAL = 0x20,
    POLLRDNORM = 0x40,
    POLLRDBAND = 0x80,
    POLLWRNORM = 0x100,
    POLLWRBAND = 0x200,
    POLLRDHUP = 0x2000
};

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
