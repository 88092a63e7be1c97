/* inotify: watches on inodes, events in a queue a group.  The hook may hold the inode's lock and
 * must not sleep, so a watch that ends there is only taken out; its inode is put down by the next
 * call that may sleep.  A watch holds its inode, which so outlives its last name. */
#include "vfs/anon/inotify.h"

#include "abi/errno.h"
#include "abi/eventpoll.h"
#include "abi/fcntl.h"
#include "abi/termios.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/signal.h"
#include "vfs/inode.h"
#include "vfs/notify.h"

#define MASK_KEPT (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK)

struct event {
    struct list_head node;
    struct inotify_event_abi abi; /* .len: of the name with its padding */
    char name[];                  /* .len bytes, NULs at the end */
};

/* Fields: [W] under watch_lock, [Q] under .lock, [I]. */
struct group {
    struct list_head watches; /* [W] */
    struct list_head dead;    /* [W] watches whose inodes are still to be put */
    int next_wd;              /* [W] */
    struct spinlock lock;     /* after watch_lock */
    struct list_head events;  /* [Q] */
    u32 nr_events;            /* [Q] */
    u32 bytes;                /* [Q] that a read would give for all of them */
    struct waitq waitq;
};

struct watch {
    struct list_head group_node; /* [W] in group->watches, or ->dead */
    struct list_head inode_node; /* [W] in inode->watches */
    struct group *group;         /* [I] */
    struct inode *inode;         /* [I] owns */
    int wd;                      /* [I] */
    u32 mask;                    /* [W] */
};

static struct spinlock watch_lock; /* after inode->lock; before a group's */
static u32 nr_watches;             /* [W] in all groups */

static bool same_event(const struct event *e, const struct inotify_event_abi *abi, const char *name)
{
    return e->abi.wd == abi->wd && e->abi.mask == abi->mask && e->abi.cookie == abi->cookie &&
           e->abi.len == abi->len && (!abi->len || !strcmp(e->name, name));
}

/* Put an event into the queue, unless it says what the last one said. Group locked. */
static void append(struct group *g, const struct inotify_event_abi *abi, const char *name)
{
    if (!list_empty(&g->events) && same_event(list_last(&g->events, struct event, node), abi, name))
        return;
    struct event *e = kzalloc(sizeof(*e) + abi->len);
    if (!e)
        return; /* as Linux does where memory is short: the event is lost */
    e->abi = *abi;
    if (abi->len)
        memcpy(e->name, name, strlen(name));
    list_add_tail(&g->events, &e->node);
    g->nr_events++;
    g->bytes += (u32)sizeof(e->abi) + abi->len;
}

static void queue_event(struct group *g, int wd, u32 mask, u32 cookie, const char *name)
{
    struct inotify_event_abi abi = {.wd = wd, .mask = mask, .cookie = cookie};

    if (name)
        abi.len = (u32)ALIGN_UP(strlen(name) + 1, sizeof(abi));
    spin_lock(&g->lock);
    if (g->nr_events < INOTIFY_MAX_EVENTS) {
        append(g, &abi, name);
    } else {
        abi = (struct inotify_event_abi){.wd = -1, .mask = IN_Q_OVERFLOW};
        append(g, &abi, NULL); /* once: it is the last one then */
    }
    spin_unlock(&g->lock);
    waitq_wake_all(&g->waitq, POLLIN | POLLRDNORM);
}

/* Let it end; its memory and inode stay for reap(). watch_lock held. */
static void end_watch(struct watch *w)
{
    list_remove(&w->inode_node);
    list_remove(&w->group_node);
    list_add(&w->group->dead, &w->group_node);
    if (!--nr_watches) {
        __atomic_store_n(&fsnotify_handler, NULL, __ATOMIC_RELEASE);
        __atomic_store_n(&fsnotify_put_handler, NULL, __ATOMIC_RELEASE);
    }
    queue_event(w->group, w->wd, IN_IGNORED, 0, NULL);
}

static void tell(struct inode *inode, u32 mask, const char *name, u32 cookie)
{
    struct watch *w, *next;

    list_for_each_safe(w, next, &inode->watches, inode_node)
    {
        if (mask & FS_UNLINKED && w->mask & IN_EXCL_UNLINK)
            continue;
        if (!(mask & w->mask & IN_ALL_EVENTS)) {
            if (mask & FS_DELETE_SELF)
                end_watch(w);
            continue;
        }
        queue_event(w->group, w->wd, mask & (IN_ALL_EVENTS | IN_ISDIR), cookie, name);
        if ((w->mask & IN_ONESHOT) || (mask & FS_DELETE_SELF))
            end_watch(w);
    }
}

/* fsnotify_handler. */
static void on_event(struct inode *inode, u32 mask, const char *name, u32 cookie)
{
    if (list_empty(&inode->watches))
        return;
    spin_lock(&watch_lock);
    tell(inode, mask, name, cookie);
    spin_unlock(&watch_lock);
}

/* fsnotify_put_handler.  All that drop a reference to such an inode come here, so that one of them
 * sees that he was the last. */
static bool on_put(struct inode *inode)
{
    struct watch *w;
    u32 watches = 0;

    spin_lock(&watch_lock);
    list_for_each(w, &inode->watches, inode_node)
        watches++;
    if (watches && !ref_put(&inode->refs) && ref_count(&inode->refs) == watches)
        tell(inode, FS_DELETE_SELF, NULL, 0);
    spin_unlock(&watch_lock);
    return watches;
}

/* Put down the inodes of watches that have ended. May sleep. */
static void reap(struct group *g)
{
    struct watch *w;

    for (;;) {
        spin_lock(&watch_lock);
        w = list_empty(&g->dead) ? NULL : list_first(&g->dead, struct watch, group_node);
        if (w)
            list_remove(&w->group_node);
        spin_unlock(&watch_lock);
        if (!w)
            return;
        inode_put(w->inode);
        kfree(w);
    }
}

static struct watch *find_watch(struct group *g, const struct inode *inode, int wd)
{
    struct watch *w;

    list_for_each(w, &g->watches, group_node) {
        if (inode ? w->inode == inode : w->wd == wd)
            return w;
    }
    return NULL;
}

/* Change the watch that is there. Its number, or -EEXIST. watch_lock held. */
static int change_watch(struct watch *w, u32 mask)
{
    if (mask & IN_MASK_CREATE)
        return -EEXIST;
    u32 keep = mask & IN_MASK_ADD ? w->mask : 0;
    w->mask = keep | (mask & MASK_KEPT);
    return w->wd;
}

/* watch_lock held. */
static int start_watch(struct group *g, struct watch *w, struct inode *inode, u32 mask)
{
    inode_get(inode);
    w->inode = inode;
    w->group = g;
    w->wd = ++g->next_wd;
    w->mask = mask & MASK_KEPT;
    list_add_tail(&g->watches, &w->group_node);
    list_add_tail(&inode->watches, &w->inode_node);
    nr_watches++;
    __atomic_store_n(&fsnotify_put_handler, on_put, __ATOMIC_RELEASE);
    __atomic_store_n(&fsnotify_handler, on_event, __ATOMIC_RELEASE);
    return w->wd;
}

int inotify_add(struct file *file, struct inode *inode, u32 mask)
{
    struct group *g = file->data;
    struct watch *fresh = kzalloc(sizeof(*fresh));

    if (!fresh)
        return -ENOMEM;
    reap(g);
    spin_lock(&watch_lock);
    struct watch *w = find_watch(g, inode, 0);
    int wd = w ? change_watch(w, mask) : start_watch(g, fresh, inode, mask);
    spin_unlock(&watch_lock);
    if (w)
        kfree(fresh);
    return wd;
}

int inotify_remove(struct file *file, int wd)
{
    struct group *g = file->data;

    spin_lock(&watch_lock);
    struct watch *w = find_watch(g, NULL, wd);
    if (w)
        end_watch(w);
    spin_unlock(&watch_lock);
    reap(g);
    return w ? 0 : -EINVAL;
}

/* The next event if it fits into @room bytes, taken out of the queue; NULL for none, with *@tight
 * if there is one that does not fit. */
static struct event *next_event(struct group *g, size_t room, bool *tight)
{
    struct event *e = NULL;

    spin_lock(&g->lock);
    *tight = false;
    if (!list_empty(&g->events)) {
        e = list_first(&g->events, struct event, node);
        *tight = sizeof(e->abi) + e->abi.len > room;
    }
    if (*tight)
        e = NULL;
    if (e) {
        list_remove(&e->node);
        g->nr_events--;
        g->bytes -= (u32)sizeof(e->abi) + e->abi.len;
    }
    spin_unlock(&g->lock);
    return e;
}

static ssize_t read_event(struct event *e, struct iov_iter *to)
{
    size_t n = sizeof(e->abi) + e->abi.len;

    return iter_write(to, &e->abi, n) == n ? (ssize_t)n : -EFAULT;
}
static_assert(offsetof(struct event, name) ==
                  offsetof(struct event, abi) + sizeof(struct inotify_event_abi),
              "read_event() moves both at once");

static u32 inotify_ready(struct file *file)
{
    struct group *g = file->data;

    return __atomic_load_n(&g->nr_events, __ATOMIC_ACQUIRE) ? POLLIN | POLLRDNORM : 0;
}

static ssize_t inotify_read(struct file *file, struct iov_iter *to,
                            s64 *pos __attribute__((unused)))
{
    struct group *g = file->data;
    ssize_t done = 0;
    bool tight;

    reap(g);
    for (;;) {
        struct event *e = next_event(g, to->left, &tight);
        if (e) {
            ssize_t n = read_event(e, to);
            kfree(e);
            if (n < 0)
                return done ? done : n;
            done += n;
            continue;
        }
        if (done || tight)
            return done ? done : -EINVAL;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event(&g->waitq, inotify_ready(file), true, NO_DEADLINE))
            return -ERESTARTSYS;
    }
}

static int inotify_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    struct group *g = file->data;

    if (cmd != FIONREAD)
        return -ENOTTY;
    int bytes = (int)g->bytes;
    return copy_to_user(arg, &bytes, sizeof(bytes));
}

static size_t inotify_fdinfo(struct file *file, char *buf, size_t size)
{
    struct group *g = file->data;
    struct watch *w;
    size_t len = 0;

    spin_lock(&watch_lock);
    list_for_each(w, &g->watches, group_node) {
        if (len < size)
            len += (size_t)format(buf + len, size - len, "inotify wd:%x ino:%lx mask:%x\n", w->wd,
                                  (unsigned long)w->inode->ino, w->mask);
    }
    spin_unlock(&watch_lock);
    return min(len, size);
}

static void inotify_release(struct file *file)
{
    struct group *g = file->data;
    struct watch *w, *next;
    struct event *e, *next_e;

    spin_lock(&watch_lock);
    list_for_each_safe(w, next, &g->watches, group_node) end_watch(w);
    spin_unlock(&watch_lock);
    reap(g);
    list_for_each_safe(e, next_e, &g->events, node) kfree(e);
    kfree(g);
}

static const struct file_ops inotify_ops = {
    .read = inotify_read,
    .ready = inotify_ready,
    .ioctl = inotify_ioctl,
    .fdinfo = inotify_fdinfo,
    .release = inotify_release,
};

bool file_is_inotify(const struct file *file)
{
    return file->ops == &inotify_ops;
}

struct file *inotify_create(u32 flags)
{
    struct group *g = kzalloc(sizeof(*g));
    struct file *file =
        g ? file_create_anon(&inotify_ops, g, "anon_inode:inotify", O_RDONLY | flags) : NULL;

    if (!file) {
        kfree(g);
        return NULL;
    }
    list_init(&g->watches);
    list_init(&g->dead);
    list_init(&g->events);
    spin_init(&g->lock);
    waitq_init(&g->waitq);
    file->waitq = &g->waitq;
    return file;
}
