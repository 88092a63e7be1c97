/* futex(2) of the Linux ABI (uapi/linux/futex.h). */
#pragma once

#include "lib/types.h"

enum linux_futex_op {
    FUTEX_WAIT = 0,
    FUTEX_WAKE = 1,
    FUTEX_FD = 2,
    FUTEX_REQUEUE = 3,
    FUTEX_CMP_REQUEUE = 4,
    FUTEX_WAKE_OP = 5,
    FUTEX_LOCK_PI = 6,
    FUTEX_UNLOCK_PI = 7,
    FUTEX_TRYLOCK_PI = 8,
    FUTEX_WAIT_BITSET = 9,
    FUTEX_WAKE_BITSET = 10,
    FUTEX_WAIT_REQUEUE_PI = 11,
    FUTEX_CMP_REQUEUE_PI = 12,
    FUTEX_LOCK_PI2 = 13,
    FUTEX_CMD_MASK = 127,
    FUTEX_PRIVATE_FLAG = 128,
    FUTEX_CLOCK_REALTIME = 256,
};
#define FUTEX_BITSET_MATCH_ANY 0xffffffffu

/* The word of a PI or robust futex. */
#define FUTEX_WAITERS    0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK   0x3fffffffu

/* FUTEX_WAKE_OP's val3: op, comparison and two signed 12-bit arguments. */
enum linux_futex_wake_op {
    FUTEX_OP_SET = 0,
    FUTEX_OP_ADD = 1,
    FUTEX_OP_OR = 2,
    FUTEX_OP_ANDN = 3,
    FUTEX_OP_XOR = 4,
    FUTEX_OP_ARG_SHIFT = 8,
    FUTEX_OP_CMP_EQ = 0,
    FUTEX_OP_CMP_NE = 1,
    FUTEX_OP_CMP_LT = 2,
    FUTEX_OP_CMP_LE = 3,
    FUTEX_OP_CMP_GT = 4,
    FUTEX_OP_CMP_GE = 5,
};

struct linux_robust_list_head {
    u64 list;            /* first entry; an entry is the address of the next, bit 0: PI */
    s64 futex_offset;    /* from an entry to its futex word */
    u64 list_op_pending; /* entry being locked or unlocked */
};
static_assert(sizeof(struct linux_robust_list_head) == 24, "ABI");
enum { ROBUST_LIST_LIMIT = 2048 };

/** futex_waitv(2). */
struct linux_futex_waitv {
    u64 val;
    u64 uaddr;
    u32 flags;
    u32 reserved;
};
static_assert(sizeof(struct linux_futex_waitv) == 24, "ABI");
enum { FUTEX2_SIZE_U32 = 2, FUTEX2_SIZE_MASK = 3, FUTEX2_PRIVATE = 128, FUTEX_WAITV_MAX = 128 };
