/* Who may do what to a file: path_resolution(7), by the process's file system ids and capabilities.
 * Who has CAP_DAC_OVERRIDE, as root does, pays a load and a branch. */
#pragma once

#include "abi/fcntl.h"
#include "sched/thread.h"
#include "vfs/inode.h"

/** Nobody is asked for anything: root, the kernel itself. */
static inline bool may_everything(void)
{
    return likely(capable(CAP_DAC_OVERRIDE));
}

/** inode_permission() of one who has not all rights. @c: whose ids and capabilities count. */
int inode_permission_of(const struct creds *c, const struct inode *inode, int mask);

/** May who runs do @mask (R_OK, W_OK, X_OK: search, of a directory) to the inode? 0 or -EACCES. */
static inline int inode_permission(const struct inode *inode, int mask)
{
    return may_everything() ? 0 : inode_permission_of(current_creds(), inode, mask);
}

/** Is it theirs, or have they CAP_FOWNER? */
bool inode_is_own(const struct inode *inode);

/** May a name be made in @dir? 0 or -EACCES. */
static inline int may_create_in(const struct inode *dir)
{
    return inode_permission(dir, W_OK | X_OK);
}
/** May the name of @inode in @dir be taken away? 0, -EACCES, or -EPERM (dir is sticky). */
int may_remove_from(const struct inode *dir, const struct inode *inode);
