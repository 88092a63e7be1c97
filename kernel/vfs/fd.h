/* Descriptor tables. Lookups take no lock on the fast path of a table that one thread uses. */
#pragma once

#include "core/spinlock.h"
#include "vfs/file.h"

enum { FD_INLINE = 64 };

/* The slots; replaced by a longer one when it is full, the old ones stay until the table goes, so
 * that a reader without the lock never sees freed memory. */
struct fd_slots {
    u32 capacity;         /* [I] a multiple of 64 */
    struct fd_slots *old; /* [I] owns */
    u64 *open, *cloexec;  /* [L] one bit a descriptor; in the same allocation */
    struct file *files[]; /* [A] */
};

/* [L] under .lock, [A]. */
struct fd_table {
    ref_t refs;
    struct spinlock lock;
    struct fd_slots *slots; /* [A] */
    u32 first_free;         /* [L] no lower descriptor is free */
};

struct fd_table *fd_table_create(void);
struct fd_table *fd_table_clone(struct fd_table *from);
void fd_table_get(struct fd_table *table);
void fd_table_put(struct fd_table *table);
/** The file behind @fd of the current process, with a new reference; NULL: EBADF. */
struct file *fd_get(int fd);
/**
 * A file for the length of one system call.  While the table belongs to one thread nobody can
 * close the descriptor under it, so no reference is taken: fd_get for hot calls.
 */
struct fd_ref {
    struct file *file; /* NULL: EBADF */
    bool owned;        /* a reference was taken */
};
struct fd_ref fd_borrow(int fd);
struct fd_ref fd_borrow_raw(int fd);
static inline void fd_return(struct fd_ref ref)
{
    if (unlikely(ref.owned))
        file_put(ref.file);
}
/** As fd_get, but O_PATH descriptors too. */
struct file *fd_get_raw(int fd);
/**
 * Give @file (whose reference is taken on success) the lowest free number >= @min.
 * @cloexec sets FD_CLOEXEC. The number, -EMFILE or -ENOMEM.
 */
int fd_install(struct file *file, int min, bool cloexec);
/** dup2: put @file (reference taken on success) at exactly @fd, closing what was there. */
int fd_install_at(struct file *file, int fd, bool cloexec);
/** close(2): 0 or -EBADF. */
int fd_close(int fd);
int fd_get_flags(int fd);
int fd_set_flags(int fd, int flags);
/** Call @fn for each open descriptor of @table in order, until it returns non-zero. */
int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg);
/** Close the descriptors marked FD_CLOEXEC. */
void fd_close_on_exec(struct fd_table *table);
