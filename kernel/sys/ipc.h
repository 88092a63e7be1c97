/* What shared memory, semaphores and messages of System V have in common (sysvipc(7)): keys, ids,
 * rights, and threads that wait for one of their objects.  Each kind has a table, whose lock guards
 * all of its objects and who waits for them: it is held for a few dozen instructions at a time. */
#pragma once

#include "abi/ipc.h"
#include "core/spinlock.h"
#include "lib/list.h"

struct text;
struct thread;

/* Fields: [I], [L] under the table's lock. */
struct ipc_object {
    int id;             /* [I] serial number << 15 | slot */
    s32 key;            /* [L] IPC_PRIVATE once it was removed */
    u64 size;           /* [I] what the call that made it asked for: bytes, semaphores, or 0 */
    u32 uid, gid, mode; /* [L] */
    u32 cuid, cgid;     /* [I] */
    s64 ctime;          /* [L] seconds */
    bool live;          /* [L] can be found by its id */
};

struct ipc_table {
    struct spinlock lock;
    const u32 most;            /* objects at a time */
    struct ipc_object **slots; /* [L] owns the array */
    u32 nr_slots, used;        /* [L] */
    u32 serial;                /* [L] */
};

/** Seconds since 1970. */
s64 ipc_now(void);

/* ---- making and finding ---- */

/**
 * Give @obj, which is cleared, an id, the caller's rights and a slot; nobody finds it before
 * ipc_get() has taken it.  0, -ENOSPC, -ENOMEM.
 */
int ipc_prepare(struct ipc_table *table, struct ipc_object *obj, s32 key, u64 size, u32 flags);
/** Take @obj out of its slot: with the lock held, or not. */
void ipc_remove_locked(struct ipc_table *table, struct ipc_object *obj);
void ipc_remove(struct ipc_table *table, struct ipc_object *obj);
/**
 * The id of the object with @key, or else that of *@fresh, which is taken then and made NULL.
 * -EEXIST, -EACCES, -EINVAL (too small), or @why if there is neither.
 */
long ipc_get(struct ipc_table *table, s32 key, u64 size, u32 flags, struct ipc_object **fresh,
             int why);
/** The object with @id, or NULL. Lock held. */
struct ipc_object *ipc_find_locked(const struct ipc_table *table, int id);
/** The object in slot @index, or NULL. Lock held. */
struct ipc_object *ipc_at_locked(const struct ipc_table *table, u32 index);
/** The highest slot in use; 0: none or the first. Lock held. */
u32 ipc_last_locked(const struct ipc_table *table);

/* ---- rights ---- */

/** May the caller do what @wanted says (bits as of "others")?  Lock held. */
bool ipc_permits(const struct ipc_object *obj, u32 wanted);
/** May it change or remove it? Lock held. */
bool ipc_owns(const struct ipc_object *obj);
/** As IPC_STAT shows it, and as IPC_SET changes it. Lock held. */
void ipc_describe(const struct ipc_object *obj, struct linux_ipc_perm *out);
void ipc_change(struct ipc_object *obj, const struct linux_ipc_perm *perm);

/* ---- waiting ---- */

enum { IPC_WAITING = 1 };

/* On the stack of who waits; all [L] but .thread, which is [I]. */
struct ipc_wait {
    struct list_head node;
    struct thread *thread;
    int result; /* IPC_WAITING, until somebody else has done what is waited for, or ended it */
};

/** Queue the current thread at the end of @queue. Lock held. */
void ipc_wait_begin(struct ipc_wait *wait, struct list_head *queue);
/**
 * Sleep until @wait is done. The result that it was given, -EINTR, or -EAGAIN after @deadline_ns.
 * Lock not held.
 */
int ipc_wait_end(struct ipc_table *table, struct ipc_wait *wait, u64 deadline_ns);
/** Take @wait from its queue and give it @result. Lock held. */
void ipc_wake_locked(struct ipc_wait *wait, int result);
/** The same for all of @queue. Lock held. */
void ipc_wake_all_locked(struct list_head *queue, int result);

/* ---- /proc/sysvipc ---- */

/** What is there, as /proc/sysvipc/{shm,sem,msg} show it. */
void shm_list(struct text *out);
void sem_list(struct text *out);
void msg_list(struct text *out);
