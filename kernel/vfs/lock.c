/* Advisory locks.  One list of locks an inode for all three families; whom a lock belongs to is a
 * pointer (open file for flock and OFD, descriptor table for POSIX), and flock locks see only their
 * own kind.  All lists are under one lock: contention on it would be contention on the files.
 * fcntl(2), flock(2). */
#include "vfs/lock.h"

#include "abi/errno.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "sched/thread.h"
#include "vfs/fd.h"
#include "vfs/inode.h"

struct file_locks {
    struct list_head list; /* [K] */
    struct waitq wait;     /* something was unlocked */
    struct list_head node; /* [K] of all files' */
    struct inode *inode;   /* [I] whose they are */
};

/* Who waits for a POSIX lock; on his stack. */
struct lock_waiter {
    struct list_head node; /* [K] */
    struct file_locks *locks;
    const struct file_lock *wanted;
};

enum { DEADLOCK_STEPS = 10 }; /* as Linux has it: who is in longer rings waits on */

static struct spinlock locks_lock;                    /* a leaf */
static struct list_head waiters = LIST_INIT(waiters); /* [K] */
static struct list_head all = LIST_INIT(all);         /* [K] of struct file_locks */

static struct file_locks *locks_of(struct inode *inode)
{
    struct file_locks *none = NULL;
    struct file_locks *locks = __atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE);

    if (locks)
        return locks;
    locks = kmalloc(sizeof(*locks));
    if (!locks)
        return NULL;
    list_init(&locks->list);
    waitq_init(&locks->wait);
    locks->inode = inode;
    spin_lock(&locks_lock);
    bool first = __atomic_compare_exchange_n(&inode->locks, &none, locks, false, __ATOMIC_ACQ_REL,
                                             __ATOMIC_ACQUIRE);
    if (first)
        list_add_tail(&all, &locks->node);
    spin_unlock(&locks_lock);
    if (first)
        return locks;
    kfree(locks);
    return none;
}

void locks_free(struct inode *inode)
{
    spin_lock(&locks_lock);
    list_remove(&inode->locks->node);
    spin_unlock(&locks_lock);
    kfree(inode->locks);
}

size_t locks_show(struct lock_shown *shown, size_t n)
{
    struct file_locks *locks;
    struct file_lock *lock;
    size_t count = 0;

    spin_lock(&locks_lock);
    list_for_each(locks, &all, node)
        list_for_each(lock, &locks->list, node)
            if (count++ < n)
                *shown++ = (struct lock_shown){*lock, locks->inode->sb->dev, locks->inode->ino};
    spin_unlock(&locks_lock);
    return count;
}

static bool is_same_owner(const struct file_lock *a, const struct file_lock *b)
{
    return a->owner == b->owner && a->family == b->family;
}

static bool is_in_way(const struct file_lock *a, const struct file_lock *wanted)
{
    if ((a->family == LOCK_FLOCK) != (wanted->family == LOCK_FLOCK) || is_same_owner(a, wanted))
        return false;
    if (a->end < wanted->start || a->start > wanted->end)
        return false;
    return a->type == F_WRLCK || wanted->type == F_WRLCK;
}

static struct file_lock *find_conflict(struct file_locks *locks, const struct file_lock *wanted)
{
    struct file_lock *lock;

    list_for_each(lock, &locks->list, node)
        if (is_in_way(lock, wanted))
            return lock;
    return NULL;
}

static void insert(struct file_locks *locks, struct file_lock *lock)
{
    struct list_head *at = locks->list.next;

    while (at != &locks->list && list_entry(at, struct file_lock, node)->start < lock->start)
        at = at->next;
    list_add_tail(at, &lock->node); /* before @at */
}

/* Give the owner's range [start, end] the type of @set, or none: what lies half outside is cut, one
 * that is cut in two takes @spare.  Returns what became free, linked by .node. */
static void apply(struct file_locks *locks, struct file_lock *set, struct file_lock **spare,
                  struct list_head *gone)
{
    struct file_lock *lock, *next;

    list_for_each_safe(lock, next, &locks->list, node)
    {
        if (!is_same_owner(lock, set) || lock->end < set->start || lock->start > set->end)
            continue;
        if (lock->start < set->start && lock->end > set->end) {
            struct file_lock *rest = *spare;
            *spare = NULL;
            *rest = *lock;
            rest->start = set->end + 1;
            lock->end = set->start - 1;
            insert(locks, rest);
            return;
        }
        if (lock->start < set->start) {
            lock->end = set->start - 1;
        } else if (lock->end > set->end) {
            list_remove(&lock->node);
            lock->start = set->end + 1;
            insert(locks, lock);
        } else {
            list_remove(&lock->node);
            list_add(gone, &lock->node);
        }
    }
}

/* Join with the owner's neighbours of the same type, so that lists stay short. */
static void merge(struct file_locks *locks, struct file_lock *set, struct list_head *gone)
{
    struct file_lock *lock, *next;

    list_for_each_safe(lock, next, &locks->list, node)
    {
        if (lock == set || !is_same_owner(lock, set) || lock->type != set->type)
            continue;
        if (lock->end + 1 != set->start && (set->end == UINT64_MAX || set->end + 1 != lock->start))
            continue;
        set->start = min(set->start, lock->start);
        set->end = max(set->end, lock->end);
        list_remove(&lock->node);
        list_add(gone, &lock->node);
    }
}

static void free_list(struct list_head *gone)
{
    struct file_lock *lock, *next;

    list_for_each_safe(lock, next, gone, node) kfree(lock);
}

/* Set or (type F_UNLCK) clear. 0, -EAGAIN or -ENOLCK. */
static int try_set(struct file_locks *locks, const struct file_lock *wanted)
{
    struct list_head gone = LIST_INIT(gone);
    struct file_lock *set = kmalloc(sizeof(*set)), *spare = kmalloc(sizeof(*spare));
    int err = 0;

    if (!set || !spare) {
        kfree(set);
        kfree(spare);
        return -ENOLCK;
    }
    *set = *wanted;
    list_init(&set->node);
    spin_lock(&locks_lock);
    if (wanted->type != F_UNLCK && find_conflict(locks, wanted)) {
        err = -EAGAIN;
    } else {
        apply(locks, set, &spare, &gone);
        if (wanted->type != F_UNLCK) {
            merge(locks, set, &gone);
            insert(locks, set);
            set = NULL;
        }
    }
    spin_unlock(&locks_lock);
    kfree(set);
    kfree(spare);
    bool woke = !list_empty(&gone) || wanted->type != F_WRLCK;
    free_list(&gone);
    if (!err && woke)
        waitq_wake_all(&locks->wait, 0);
    return err;
}

/* The lock that @owner waits for; NULL: none. */
static const struct file_lock *waited_for(const void *owner)
{
    struct lock_waiter *w;

    list_for_each(w, &waiters, node) {
        const struct file_lock *lock =
            w->wanted->owner == owner ? find_conflict(w->locks, w->wanted) : NULL;
        if (lock)
            return lock;
    }
    return NULL;
}

/* Would whoever is in the way wait, through others, for us?  Open files have no deadlocks: nobody
 * knows who would have to wake. */
static bool is_deadlock(struct file_locks *locks, const struct file_lock *wanted)
{
    const struct file_lock *lock = find_conflict(locks, wanted);

    for (u32 i = 0; lock && lock->family == LOCK_POSIX && i < DEADLOCK_STEPS; i++) {
        if (lock->owner == wanted->owner)
            return true;
        lock = waited_for(lock->owner);
    }
    return false;
}

/* 0 and in the list, or -EDEADLK. */
static int begin_wait(struct lock_waiter *w)
{
    int err = 0;

    list_init(&w->node);
    if (w->wanted->family != LOCK_POSIX)
        return 0;
    spin_lock(&locks_lock);
    if (is_deadlock(w->locks, w->wanted))
        err = -EDEADLK;
    else
        list_add(&waiters, &w->node);
    spin_unlock(&locks_lock);
    return err;
}

static void end_wait(struct lock_waiter *w)
{
    if (w->wanted->family != LOCK_POSIX)
        return;
    spin_lock(&locks_lock);
    list_remove(&w->node);
    spin_unlock(&locks_lock);
}

static bool is_free(struct file_locks *locks, const struct file_lock *wanted)
{
    spin_lock(&locks_lock);
    bool free = !find_conflict(locks, wanted);
    spin_unlock(&locks_lock);
    return free;
}

static int set_lock(struct inode *inode, const struct file_lock *wanted, bool wait)
{
    if (wanted->type == F_UNLCK && !__atomic_load_n(&inode->locks, __ATOMIC_ACQUIRE))
        return 0;
    struct file_locks *locks = locks_of(inode);
    if (!locks)
        return -ENOLCK;
    for (;;) {
        int err = try_set(locks, wanted);
        if (err != -EAGAIN || !wait)
            return err;
        struct lock_waiter waiter = {.locks = locks, .wanted = wanted};
        err = begin_wait(&waiter);
        if (err)
            return err;
        err = wait_event(&locks->wait, is_free(locks, wanted), true, NO_DEADLINE);
        end_wait(&waiter);
        if (err)
            return err;
    }
}

int lock_flock(struct file *file, int op)
{
    static const int types[] = {[LOCK_SH] = F_RDLCK, [LOCK_EX] = F_WRLCK, [LOCK_UN] = F_UNLCK};
    int kind = op & ~LOCK_NB;

    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
        return -EINVAL;
    if (!file->inode)
        return -EBADF;
    struct file_lock wanted = {.owner = file,
                               .family = LOCK_FLOCK,
                               .type = types[kind],
                               .pid = current_process()->pid,
                               .end = UINT64_MAX};
    return set_lock(file->inode, &wanted, !(op & LOCK_NB));
}

/* The range and owner a program asks for. 0, -EINVAL or -EOVERFLOW. */
static int decode(struct file *file, const struct linux_flock *in, bool ofd, struct file_lock *out)
{
    s64 base = 0, start, end = INT64_MAX;

    if (in->l_whence == SEEK_CUR)
        base = file->pos;
    else if (in->l_whence == SEEK_END)
        base = (s64)file->inode->size;
    else if (in->l_whence != SEEK_SET)
        return -EINVAL;
    if (__builtin_add_overflow(base, in->l_start, &start))
        return -EOVERFLOW;
    if (in->l_len > 0 && __builtin_add_overflow(start, in->l_len - 1, &end))
        return -EOVERFLOW;
    if (in->l_len < 0) {
        end = start - 1;
        if (__builtin_add_overflow(start, in->l_len, &start))
            return -EINVAL;
    }
    if (start < 0 || (ofd && in->l_pid))
        return -EINVAL;
    *out = (struct file_lock){.owner =
                                  ofd ? (const void *)file : (const void *)current_process()->files,
                              .family = ofd ? LOCK_OFD : LOCK_POSIX,
                              .type = in->l_type,
                              .pid = ofd ? -1 : current_process()->pid,
                              .start = (u64)start,
                              .end = end == INT64_MAX ? UINT64_MAX : (u64)end};
    return 0;
}

int lock_set(struct file *file, struct linux_flock *lock, bool ofd, bool wait)
{
    struct file_lock wanted;

    if (!file->inode)
        return -EBADF;
    if (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK && lock->l_type != F_UNLCK)
        return -EINVAL;
    int err = decode(file, lock, ofd, &wanted);
    if (err)
        return err;
    if ((wanted.type == F_RDLCK && !(file->mode & FILE_READ)) ||
        (wanted.type == F_WRLCK && !(file->mode & FILE_WRITE)))
        return -EBADF;
    return set_lock(file->inode, &wanted, wait);
}

int lock_test(struct file *file, struct linux_flock *lock, bool ofd)
{
    struct file_lock wanted;

    if (!file->inode)
        return -EBADF;
    if (lock->l_type != F_RDLCK && lock->l_type != F_WRLCK)
        return -EINVAL;
    int err = decode(file, lock, ofd, &wanted);
    if (err)
        return err;
    lock->l_type = F_UNLCK;
    struct file_locks *locks = __atomic_load_n(&file->inode->locks, __ATOMIC_ACQUIRE);
    if (!locks)
        return 0;
    spin_lock(&locks_lock);
    const struct file_lock *in_way = find_conflict(locks, &wanted);
    if (in_way) {
        lock->l_type = (s16)in_way->type;
        lock->l_whence = SEEK_SET;
        lock->l_start = (s64)in_way->start;
        lock->l_len = in_way->end == UINT64_MAX ? 0 : (s64)(in_way->end - in_way->start + 1);
        lock->l_pid = in_way->pid;
    }
    spin_unlock(&locks_lock);
    return 0;
}

/* Drop every lock of @owner; of all families if it is an open file, else of POSIX ones. */
static void release(struct inode *inode, const void *owner)
{
    struct list_head gone = LIST_INIT(gone);
    struct file_locks *locks = inode->locks;
    struct file_lock *lock, *next;

    spin_lock(&locks_lock);
    list_for_each_safe(lock, next, &locks->list, node)
    {
        if (lock->owner == owner) {
            list_remove(&lock->node);
            list_add(&gone, &lock->node);
        }
    }
    spin_unlock(&locks_lock);
    if (list_empty(&gone))
        return;
    free_list(&gone);
    waitq_wake_all(&locks->wait, 0);
}

void locks_release_posix(struct file *file, const struct fd_table *table)
{
    release(file->inode, table);
}

void locks_release_file(struct file *file)
{
    release(file->inode, file);
}
