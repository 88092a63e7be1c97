/* Asynchronous I/O of the Linux ABI (uapi/linux/aio_abi.h): io_submit(2). */
#pragma once

#include "lib/types.h"

enum linux_iocb_cmd {
    IOCB_CMD_PREAD = 0,
    IOCB_CMD_PWRITE = 1,
    IOCB_CMD_FSYNC = 2,
    IOCB_CMD_FDSYNC = 3,
    IOCB_CMD_PREADV = 7,
    IOCB_CMD_PWRITEV = 8,
};

enum { IOCB_FLAG_RESFD = 1, IOCB_FLAG_IOPRIO = 2 };

struct linux_iocb {
    u64 data;
    u32 key;
    u32 rw_flags;
    u16 opcode;
    s16 reqprio;
    u32 fd;
    u64 buf;
    u64 nbytes;
    s64 offset;
    u64 reserved2;
    u32 flags;
    u32 resfd;
};
static_assert(sizeof(struct linux_iocb) == 64, "ABI");

struct linux_io_event {
    u64 data, obj;
    s64 res, res2;
};
static_assert(sizeof(struct linux_io_event) == 32, "ABI");

struct linux_aio_sigset {
    u64 sigmask;
    u64 size;
};
