/* Inodes in no directory, for nameless files that fstat calls by a kind (pipes) and that
 * /proc/self/fd/N can open once more. */
#pragma once

#include "vfs/inode.h"

struct anon_kind {
    struct inode_ops ops; /* .open serves a second open(2) of the same thing */
    /** The last reference is gone: free what inode->data is. NULL: nothing. */
    void (*evict)(void *data);
};
static_assert(offsetof(struct anon_kind, ops) == 0, "inode->ops is cast back");

/** An inode of @mode. One reference, or NULL. */
struct inode *anon_inode_create(u32 mode, const struct anon_kind *kind, void *data);

/** A file on it; @anon_name as for file_create_anon(). Takes a reference; NULL: no memory. */
struct file *anon_inode_file(struct inode *inode, const struct file_ops *ops, const char *anon_name,
                             u32 flags);

/** The place of such a file for a magic link, with references. 0, -ENXIO (no inode) or -ENOMEM. */
int anon_inode_path(struct file *file, struct path *out);
