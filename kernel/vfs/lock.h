/* Advisory locks: flock(2), POSIX record locks and those of an open file description.
 * They hang on the inode; a file without any costs one load when it is closed. */
#pragma once

#include "abi/fcntl.h"

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
/** The open file goes: its flock and OFD locks go. */
void locks_release_file(struct file *file);
