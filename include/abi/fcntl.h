/* Opening, descriptors, locks and the *at calls of the Linux ABI on x86-64 (asm-generic/fcntl.h,
 * linux/fcntl.h, linux/openat2.h, linux/falloc.h).  On the host the C library's own names serve. */
#pragma once

#include "lib/types.h"

#ifndef __INGOT_KERNEL__
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
#else
enum linux_open_flags {
    O_RDONLY = 0,
    O_WRONLY = 1,
    O_RDWR = 2,
    O_ACCMODE = 3,
    O_CREAT = 0100,
    O_EXCL = 0200,
    O_NOCTTY = 0400,
    O_TRUNC = 01000,
    O_APPEND = 02000,
    O_NONBLOCK = 04000,
    O_DSYNC = 010000,
    O_ASYNC = 020000,
    O_DIRECT = 040000,
    O_LARGEFILE = 0100000,
    O_DIRECTORY = 0200000,
    O_NOFOLLOW = 0400000,
    O_NOATIME = 01000000,
    O_CLOEXEC = 02000000,
    O_SYNC = 04010000,
    O_PATH = 010000000,
    O_TMPFILE = 020200000,
};

enum linux_at {
    AT_FDCWD = -100,
    AT_SYMLINK_NOFOLLOW = 0x100,
    AT_EACCESS = 0x200,
    AT_REMOVEDIR = 0x200,
    AT_SYMLINK_FOLLOW = 0x400,
    AT_NO_AUTOMOUNT = 0x800,
    AT_EMPTY_PATH = 0x1000,
    AT_STATX_FORCE_SYNC = 0x2000,
    AT_STATX_DONT_SYNC = 0x4000,
};

enum linux_fcntl {
    F_DUPFD = 0,
    F_GETFD = 1,
    F_SETFD = 2,
    F_GETFL = 3,
    F_SETFL = 4,
    F_GETLK = 5,
    F_SETLK = 6,
    F_SETLKW = 7,
    F_SETOWN = 8,
    F_GETOWN = 9,
    F_SETSIG = 10,
    F_GETSIG = 11,
    F_SETOWN_EX = 15,
    F_GETOWN_EX = 16,
    F_OFD_GETLK = 36,
    F_OFD_SETLK = 37,
    F_OFD_SETLKW = 38,
    F_SETLEASE = 1024,
    F_GETLEASE = 1025,
    F_NOTIFY = 1026,
    F_DUPFD_CLOEXEC = 1030,
    F_SETPIPE_SZ = 1031,
    F_GETPIPE_SZ = 1032,
    F_ADD_SEALS = 1033,
    F_GET_SEALS = 1034,
};
enum linux_seals {
    F_SEAL_SEAL = 1,
    F_SEAL_SHRINK = 2,
    F_SEAL_GROW = 4,
    F_SEAL_WRITE = 8,
    F_SEAL_FUTURE_WRITE = 16,
};
enum { FD_CLOEXEC = 1 };
enum { F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2 };
enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };
enum { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 };
enum { F_OK = 0, X_OK = 1, W_OK = 2, R_OK = 4 };
enum { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 };
enum {
    FALLOC_FL_KEEP_SIZE = 1,
    FALLOC_FL_PUNCH_HOLE = 2,
    FALLOC_FL_COLLAPSE_RANGE = 8,
    FALLOC_FL_ZERO_RANGE = 16,
    FALLOC_FL_INSERT_RANGE = 32,
};
#endif

/** fcntl(F_SETLK ...): struct flock of a 64-bit system. */
struct linux_flock {
    s16 l_type;
    s16 l_whence;
    s64 l_start;
    s64 l_len;
    s32 l_pid;
};
static_assert(sizeof(struct linux_flock) == 32, "ABI");

/** openat2(2). */
struct linux_open_how {
    u64 flags;
    u64 mode;
    u64 resolve;
};
enum linux_resolve {
    LINUX_RESOLVE_NO_XDEV = 1,
    LINUX_RESOLVE_NO_MAGICLINKS = 2,
    LINUX_RESOLVE_NO_SYMLINKS = 4,
    LINUX_RESOLVE_BENEATH = 8,
    LINUX_RESOLVE_IN_ROOT = 16,
    LINUX_RESOLVE_CACHED = 32,
};
enum { LINUX_CLOSE_RANGE_UNSHARE = 2, LINUX_CLOSE_RANGE_CLOEXEC = 4 };

enum { LINUX_PATH_MAX = 4096, LINUX_NAME_MAX = 255, LINUX_SYMLOOP_MAX = 40, LINUX_IOV_MAX = 1024 };
