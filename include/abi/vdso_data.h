/* The page through which the kernel tells its vDSO, which runs as program code, the time.
 * monotonic ns = (TSC - base_tsc) * mult >> 32, with 128 bits in between.  Everything but the
 * offset is fixed after start, and the offset is one word, so readers need no lock. */
#pragma once

#include "lib/types.h"

struct vdso_data {
    u64 base_tsc;
    u64 mult;
    u64 real_offset_ns; /* wall time minus monotonic */
    u32 flags;          /* VDSO_* */
    u32 reserved;
};
static_assert(sizeof(struct vdso_data) == 32, "both sides agree");

enum {
    VDSO_RDPID = 1,  /* getcpu by RDPID, */
    VDSO_RDTSCP = 2, /* or by RDTSCP, */
    VDSO_ASK = 4,    /* or by the system call; none: all on CPU 0 */
};
