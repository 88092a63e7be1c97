/* Advisory locks: flock(2), POSIX record locks and those of an open file description.
 * They hang on the inode; a file without any costs one load when it is closed. */
#pragma once

#include "abi/fcntl.h"
#include "lib/list.h"

struct fd_table;
struct file;
struct inode;

/** flock(2): LOCK_SH, LOCK_EX or LOCK_UN, | LOCK_NB. 0, -EWOULDBLOCK, -EINTR, -EINVAL, -ENOLCK. */
int lock_flock(struct file *file, int op);
/**
 * fcntl F_SETLK and kin. @ofd: the owner is the open file, else the descriptor table.
 * @wait: sleep until it is free. 0, -EAGAIN, -EINTR, -EDEADLK, -EINVAL, -EBADF, -ENOLCK,
 * -EOVERFLOW.
 */
int lock_set(struct file *file, struct linux_flock *lock, bool ofd, bool wait);
/** F_GETLK: what would be in the way, or l_type F_UNLCK. */
int lock_test(struct file *file, struct linux_flock *lock, bool ofd);
/** A descriptor of @table was closed: its POSIX locks on the file go. */
void locks_release_posix(struct file *file, const struct fd_table *table);
/** The file goes, which has had locks. */
void locks_free(struct inode *inode);

enum lock_family { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };

/* [K] under the one lock of all locks. */
struct file_lock {
    struct list_head node; /* [K] in order of .start */
    const void *owner;     /* [I] */
    enum lock_family family;
    int type;       /* F_RDLCK or F_WRLCK */
    int pid;        /* -1: an open file description's */
    u64 start, end; /* inclusive; UINT64_MAX: the file's end */
};

/** A copy of one, and whose it is. */
struct lock_shown {
    struct file_lock lock;
    u64 dev, ino;
};
/** The first @n of all locks that are held into @shown. How many there are. */
size_t locks_show(struct lock_shown *shown, size_t n);
/** The open file goes: its flock and OFD locks go. */
void locks_release_file(struct file *file);
