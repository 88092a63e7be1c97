/* What stat, statx, statfs and getdents write, on x86-64 (asm/stat.h, linux/stat.h,
 * asm-generic/statfs.h, linux/dirent.h). */
#pragma once

#include "abi/time.h"

#ifndef __INGOT_KERNEL__
#include <sys/stat.h>
#else
enum linux_mode {
    S_IFMT = 0170000,
    S_IFSOCK = 0140000,
    S_IFLNK = 0120000,
    S_IFREG = 0100000,
    S_IFBLK = 0060000,
    S_IFDIR = 0040000,
    S_IFCHR = 0020000,
    S_IFIFO = 0010000,
    S_ISUID = 04000,
    S_ISGID = 02000,
    S_ISVTX = 01000,
    S_IXGRP = 00010,
};
#define S_ISREG(mode)  (((mode)&S_IFMT) == S_IFREG)
#define S_ISDIR(mode)  (((mode)&S_IFMT) == S_IFDIR)
#define S_ISLNK(mode)  (((mode)&S_IFMT) == S_IFLNK)
#define S_ISCHR(mode)  (((mode)&S_IFMT) == S_IFCHR)
#define S_ISBLK(mode)  (((mode)&S_IFMT) == S_IFBLK)
#define S_ISFIFO(mode) (((mode)&S_IFMT) == S_IFIFO)
#define S_ISSOCK(mode) (((mode)&S_IFMT) == S_IFSOCK)
enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
#endif

struct linux_stat {
    u64 st_dev;
    u64 st_ino;
    u64 st_nlink;
    u32 st_mode;
    u32 st_uid;
    u32 st_gid;
    u32 pad0;
    u64 st_rdev;
    s64 st_size;
    s64 st_blksize;
    s64 st_blocks;
    struct linux_timespec st_atime_;
    struct linux_timespec st_mtime_;
    struct linux_timespec st_ctime_;
    s64 unused[3];
};
static_assert(sizeof(struct linux_stat) == 144, "ABI");

struct linux_statx_time {
    s64 tv_sec;
    u32 tv_nsec;
    s32 pad;
};
struct linux_statx {
    u32 stx_mask;
    u32 stx_blksize;
    u64 stx_attributes;
    u32 stx_nlink;
    u32 stx_uid;
    u32 stx_gid;
    u16 stx_mode;
    u16 pad0;
    u64 stx_ino;
    u64 stx_size;
    u64 stx_blocks;
    u64 stx_attributes_mask;
    struct linux_statx_time stx_atime_, stx_btime_, stx_ctime_, stx_mtime_;
    u32 stx_rdev_major, stx_rdev_minor;
    u32 stx_dev_major, stx_dev_minor;
    u64 stx_mnt_id;
    u64 pad1[13];
};
static_assert(sizeof(struct linux_statx) == 256, "ABI");
enum { LINUX_STATX_BASIC = 0x7ff, LINUX_STATX_BTIME = 0x800, LINUX_STATX_MNT_ID = 0x1000 };
enum { LINUX_STATX_RESERVED = 0x80000000 };
enum { LINUX_STATX_ATTR_MOUNT_ROOT = 0x2000 };

/** struct statfs of a 64-bit system. */
struct statfs64 {
    s64 f_type;
    s64 f_bsize;
    u64 f_blocks;
    u64 f_bfree;
    u64 f_bavail;
    u64 f_files;
    u64 f_ffree;
    s32 f_fsid[2];
    s64 f_namelen;
    s64 f_frsize;
    s64 f_flags;
    s64 f_spare[4];
};
static_assert(sizeof(struct statfs64) == 120, "ABI");
enum {
    LINUX_ST_RDONLY = 1,
    LINUX_ST_NOSUID = 2,
    LINUX_ST_VALID = 0x20,
    LINUX_ST_RELATIME = 0x1000
};

enum linux_fs_magic {
    LINUX_TMPFS_MAGIC = 0x01021994,
    LINUX_OVERLAYFS_MAGIC = 0x794c7630,
    LINUX_EROFS_MAGIC = 0xe0f5e1e2,
    LINUX_PROC_MAGIC = 0x9fa0,
    LINUX_SYSFS_MAGIC = 0x62656572,
};

/** getdents64; the name follows at d_name. */
struct linux_dirent64 {
    u64 d_ino;
    s64 d_off;
    u16 d_reclen;
    u8 d_type;
    char d_name[];
};
enum { LINUX_DIRENT64_NAME = 19 }; /* offset of d_name; the struct's own size is padded */

/** Type byte of a directory entry, by file mode. */
static inline u8 mode_to_dt(u32 mode)
{
    return (u8)((mode & S_IFMT) >> 12);
}

/** Device numbers as the ABI packs them into 64 bits. */
static inline u64 dev_make(u32 major_nr, u32 minor_nr)
{
    return (u64)(minor_nr & 0xff) | (u64)(major_nr & 0xfff) << 8 | (u64)(minor_nr & ~0xffu) << 12 |
           (u64)(major_nr & ~0xfffu) << 32;
}
/** The two halves of a device number, as glibc has them. */
static inline u32 dev_major(u64 dev)
{
    return (u32)((dev >> 8 & 0xfff) | (dev >> 32 & ~0xfffull));
}
static inline u32 dev_minor(u64 dev)
{
    return (u32)((dev & 0xff) | (dev >> 12 & ~0xffull));
}
