/* rseq(2) of the Linux ABI (uapi/linux/rseq.h), as it was until 6.2. */
#pragma once

#include "lib/types.h"

/* Where a thread's critical section lies, in its memory. */
struct linux_rseq_cs {
    u32 version, flags; /* both 0 */
    u64 start_ip, post_commit_offset, abort_ip;
};

/* What thread and kernel tell each other; 32-aligned. */
struct linux_rseq {
    u32 cpu_id_start, cpu_id;
    u64 rseq_cs; /* address of a struct linux_rseq_cs, or 0 */
    u32 flags;
    u32 padding[3];
};
static_assert(sizeof(struct linux_rseq) == 32, "the length that the C library registers");

enum { RSEQ_FLAG_UNREGISTER = 1, RSEQ_CPU_ID_UNINITIALIZED = -1 };
