/* 9P2000.L on the wire: diod's protocol.md and the kernel's documentation (filesystems/9p) name the
 * messages.  A message is size[4] type[1] tag[2] and what its type wants; numbers are little
 * endian; a string is len[2] and its bytes; an answer's type is the question's and one.  Both our
 * client (kernel/fs/9p) and our server (host/device/share.c) speak a part of it. */
#pragma once

enum p9_type {
    P9_LERROR = 7, /* an answer: an errno of Linux */
    P9_STATFS = 8,
    P9_LOPEN = 12,
    P9_LCREATE = 14,
    P9_SYMLINK = 16,
    P9_MKNOD = 18,
    P9_READLINK = 22,
    P9_GETATTR = 24,
    P9_SETATTR = 26,
    P9_READDIR = 40,
    P9_FSYNC = 50,
    P9_LINK = 70,
    P9_MKDIR = 72,
    P9_RENAMEAT = 74,
    P9_UNLINKAT = 76,
    P9_VERSION = 100,
    P9_ATTACH = 104,
    P9_FLUSH = 108,
    P9_WALK = 110,
    P9_READ = 116,
    P9_WRITE = 118,
    P9_CLUNK = 120,
};

enum {
    P9_HEADER = 7,        /* size[4] type[1] tag[2] */
    P9_DATA_HEADER = 11,  /* and count[4] */
    P9_WRITE_HEADER = 23, /* P9_HEADER fid[4] offset[8] count[4] */
    P9_QID = 13,          /* type[1] version[4] path[8] */
};

enum p9_qid_type { P9_QID_FILE = 0, P9_QID_LINK = 2, P9_QID_DIR = 0x80 };

/* What a P9_GETATTR asks for: mode to blocks.  What a P9_SETATTR sets. */
enum { P9_GET_BASIC = 0x7ff };
enum {
    P9_SET_MODE = 1,
    P9_SET_UID = 2,
    P9_SET_GID = 4,
    P9_SET_SIZE = 8,
    P9_SET_ATIME = 0x10,
    P9_SET_MTIME = 0x20,
    P9_SET_CTIME = 0x40,
    P9_SET_ATIME_TO = 0x80, /* to the time that is given, not to now */
    P9_SET_MTIME_TO = 0x100,
};
