/* Descriptor tables. Lookups take no lock on the fast path of a table that one thread uses. */
#pragma once

#include "core/spinlock.h"
#include "sched/thread.h"
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

/** An empty table, or a copy whose descriptors share the open files (fork). NULL: no memory. */
struct fd_table *fd_table_create(void);
struct fd_table *fd_table_clone(struct fd_table *from);
/** References: each process that has it, and who looks at another's; the last closes all files. */
void fd_table_get(struct fd_table *table);
void fd_table_put(struct fd_table *table);
/** The table of any process with a new reference; NULL: it has ended. */
struct fd_table *fd_table_of(struct process *process);
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
/** The file behind @fd while others may close it, with a reference; NULL: EBADF. */
struct file *fd_get_shared(struct fd_table *table, int fd);

/** Only this thread can change the table: a second one could only be made by this one. */
static inline bool fd_table_is_own(const struct process *process)
{
    return process->nr_threads <= 1 && ref_count(&process->files->refs) == 1;
}
/** The file behind @fd without a reference: for who knows that nobody closes it meanwhile. */
static inline struct file *fd_peek(const struct fd_table *table, int fd)
{
    const struct fd_slots *slots = __atomic_load_n(&table->slots, __ATOMIC_ACQUIRE);

    if (unlikely((u32)fd >= slots->capacity))
        return NULL;
    return __atomic_load_n(&slots->files[fd], __ATOMIC_ACQUIRE);
}
/** O_PATH descriptors too. */
static inline struct fd_ref fd_borrow_raw(int fd)
{
    struct process *process = current_process();

    if (likely(fd_table_is_own(process)))
        return (struct fd_ref){fd_peek(process->files, fd), false};
    struct file *file = fd_get_shared(process->files, fd);
    return (struct fd_ref){file, file != NULL};
}
/** After fd_borrow() and fd_borrow_raw(), whatever they gave. */
static inline void fd_return(struct fd_ref ref)
{
    if (unlikely(ref.owned))
        file_put(ref.file);
}
/** The file behind @fd for the length of one call; not an O_PATH one. .file NULL: EBADF. */
static inline struct fd_ref fd_borrow(int fd)
{
    struct fd_ref ref = fd_borrow_raw(fd);

    if (ref.file && unlikely(ref.file->mode & FILE_PATH)) {
        fd_return(ref);
        ref = (struct fd_ref){NULL, false};
    }
    return ref;
}
/** As fd_get, but O_PATH descriptors too. */
struct file *fd_get_raw(int fd);
/**
 * Give @file (whose reference is taken on success) the lowest free number >= @min.
 * @cloexec sets FD_CLOEXEC. The number, -EMFILE or -ENOMEM.
 */
int fd_install(struct file *file, int min, bool cloexec);
/** Is there a free number now, so that fd_install() will not answer -EMFILE? */
bool fd_has_room(void);
/** dup2: put @file (reference taken on success) at exactly @fd, closing what was there. */
int fd_install_at(struct file *file, int fd, bool cloexec);
/** close(2): 0 or -EBADF. */
int fd_close(int fd);
/** FD_CLOEXEC or 0 of @fd; setting them: 0. -EBADF. */
int fd_get_flags(int fd);
int fd_set_flags(int fd, int flags);
/** Call @fn for each open descriptor of @table in order, until it returns non-zero. */
int fd_for_each(struct fd_table *table, int (*fn)(int fd, struct file *file, void *arg), void *arg);
/** Close the descriptors marked FD_CLOEXEC. */
void fd_close_on_exec(struct fd_table *table);
