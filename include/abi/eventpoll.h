/* epoll, eventfd, timerfd, signalfd and inotify of the Linux ABI (uapi/linux/eventpoll.h,
 * eventfd.h, timerfd.h, signalfd.h, inotify.h), x86-64. */
#pragma once

#include "lib/types.h"

/** Packed on x86-64, so that 32-bit programs share it. */
struct epoll_event_abi {
    u32 events;
    u64 data;
} __attribute__((packed));
static_assert(sizeof(struct epoll_event_abi) == 12, "ABI");

enum epoll_op { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 };

#define EPOLLEXCLUSIVE (1u << 28)
#define EPOLLWAKEUP    (1u << 29)
#define EPOLLONESHOT   (1u << 30)
#define EPOLLET        (1u << 31)
enum { EPOLL_CLOEXEC = 02000000 };

enum eventfd_flags { EFD_SEMAPHORE = 1, EFD_NONBLOCK = 04000, EFD_CLOEXEC = 02000000 };

enum timerfd_flags {
    TFD_TIMER_ABSTIME = 1,
    TFD_TIMER_CANCEL_ON_SET = 2,
    TFD_NONBLOCK = 04000,
    TFD_CLOEXEC = 02000000,
    TFD_IOC_SET_TICKS = 0x40085400,
};

enum signalfd_flags { SFD_NONBLOCK = 04000, SFD_CLOEXEC = 02000000 };

struct signalfd_siginfo_abi {
    u32 signo;
    s32 err, code;
    u32 pid, uid;
    s32 fd;
    u32 tid, band, overrun, trapno;
    s32 status, int_value;
    u64 ptr, utime, stime, addr;
    u16 addr_lsb;
    u16 pad2;
    s32 syscall;
    u64 call_addr;
    u32 arch;
    u8 pad[28];
};
static_assert(sizeof(struct signalfd_siginfo_abi) == 128, "ABI");

struct inotify_event_abi {
    s32 wd;
    u32 mask;
    u32 cookie;
    u32 len; /* of the name that follows, NULs included */
};
static_assert(sizeof(struct inotify_event_abi) == 16, "ABI");

enum inotify_flags { IN_NONBLOCK_FLAG = 04000, IN_CLOEXEC_FLAG = 02000000 };

/** Mask bits beside the events of vfs/notify.h. */
#define IN_UNMOUNT     0x2000u
#define IN_Q_OVERFLOW  0x4000u
#define IN_IGNORED     0x8000u
#define IN_ALL_EVENTS  0xfffu
#define IN_ONLYDIR     0x01000000u
#define IN_DONT_FOLLOW 0x02000000u
#define IN_EXCL_UNLINK 0x04000000u
#define IN_MASK_CREATE 0x10000000u
#define IN_MASK_ADD    0x20000000u
#define IN_ISDIR       0x40000000u
#define IN_ONESHOT     0x80000000u
