/* A program that runs may not be written, and what is open for writing may not be run: ETXTBSY of
 * open(2) and execve(2).  inode.writers counts files that are open for writing, or, below zero,
 * those through which programs run: areas of memory keep them open. */
#pragma once

#include "abi/errno.h"
#include "vfs/inode.h"

/* One more in the direction of @step, -1 or 1. */
static inline int inode_busy_add(struct inode *inode, s32 step)
{
    s32 n = __atomic_load_n(&inode->writers, __ATOMIC_RELAXED);

    do {
        if (unlikely(step > 0 ? n < 0 : n > 0))
            return -ETXTBSY;
    } while (!__atomic_compare_exchange_n(&inode->writers, &n, n + step, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return 0;
}

/** Begin and end to write to a regular file. 0 or -ETXTBSY. */
static inline int inode_begin_write(struct inode *inode)
{
    return inode_busy_add(inode, 1);
}
static inline void inode_end_write(struct inode *inode)
{
    __atomic_fetch_sub(&inode->writers, 1, __ATOMIC_RELEASE);
}

/** @file is run: nobody opens it for writing before its last reference, or file_allow_write(). 0 or
 * -ETXTBSY.  For who has just opened it. */
int file_deny_write(struct file *file);
void file_allow_write(struct file *file);
