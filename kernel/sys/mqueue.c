/* POSIX message queues: mq_overview(7).  A queue lives as long as its name or a descriptor does.
 * Messages are taken by priority, the oldest of one first. */
#include "abi/errno.h"
#include "abi/fcntl.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "sched/signal.h"
#include "sys/sys_priv.h"
#include "syscalls.h"
#include "vfs/fd.h"
#include "vfs/file.h"
#include "vfs/path.h"

enum { NAME_LEN = 255, QUEUES_MOST = 256, PRIORITIES = 32768 };
enum { MESSAGES_USUAL = 10, BYTES_USUAL = 8192, MESSAGES_MOST = 65536, BYTES_MOST = 16 << 20 };
enum { MAY_READ = 4, MAY_WRITE = 2 };

struct mq_attr {
    s64 flags, most, size, count;
    s64 reserved[4];
};
static_assert(sizeof(struct mq_attr) == 64, "ABI");

struct message {
    struct list_head node; /* [L] */
    u32 priority;          /* [I] */
    u32 len;               /* [I] */
    u8 bytes[];
};

/* [I] fixed, [A] atomic, [N] under names_lock, [L] under .lock. */
struct mqueue {
    ref_t refs;                /* its name's, its files' */
    struct list_head node;     /* [N] in queues; empty: it has no name any more */
    struct spinlock lock;      /* a leaf but for the wait queue's and the heap's */
    struct list_head messages; /* [L] in the order in which they are taken */
    struct waitq waitq;
    u32 count;                 /* [L] messages; read without */
    u32 receivers;             /* [L] threads that wait for one */
    u32 most, size;            /* [I] messages; bytes of each */
    u32 uid, gid, mode;        /* [I] */
    struct process *told;      /* [L] owns; who is told of the next message, once; NULL: nobody */
    struct linux_sigevent how; /* [L] */
    char name[];               /* [I] without the slash */
};

static struct spinlock names_lock; /* before a queue's */
static struct list_head queues = LIST_INIT(queues);
static u32 nr_queues;  /* [N] */
static u64 bytes_kept; /* [A] what all queues may come to hold: RLIMIT_MSGQUEUE */

/* ---- queues ---- */

static u64 bytes_of(u32 most, u32 size)
{
    return (u64)most * (size + sizeof(struct message));
}

static void mqueue_put(struct mqueue *q)
{
    struct message *msg, *next;

    if (!ref_put(&q->refs))
        return;
    list_for_each_safe(msg, next, &q->messages, node) kfree(msg);
    if (q->told)
        process_put(q->told);
    __atomic_fetch_sub(&bytes_kept, bytes_of(q->most, q->size), __ATOMIC_RELAXED);
    kfree(q);
}

static struct mqueue *find_locked(const char *name)
{
    struct mqueue *q;

    list_for_each(q, &queues, node) {
        if (!strcmp(q->name, name))
            return q;
    }
    return NULL;
}

/* 0, or what Linux answers to such a name. */
static int get_name(uaddr_t from, char name[NAME_LEN + 1])
{
    ssize_t len = strncpy_from_user(name, from, NAME_LEN + 1);

    if (len <= 0)
        return len ? (int)len : -ENOENT;
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return -EACCES;
    for (ssize_t i = 0; i < len; i++)
        if (name[i] == '/')
            return -EACCES;
    return 0;
}

static int check_rights(const struct mqueue *q, unsigned oflag)
{
    const struct creds *me = &current_process()->creds;
    u32 access = oflag & O_ACCMODE, wanted = access == O_WRONLY ? MAY_WRITE : MAY_READ;

    if (access == O_RDWR)
        wanted = MAY_READ | MAY_WRITE;
    u32 shift = me->euid == q->uid ? 6 : me->egid == q->gid ? 3 : 0;
    return !me->euid || (q->mode >> shift & wanted) == wanted ? 0 : -EACCES;
}

static int check_attr(const struct mq_attr *attr)
{
    bool valid =
        attr->most > 0 && attr->most <= MESSAGES_MOST && attr->size > 0 && attr->size <= BYTES_MOST;

    return valid ? 0 : -EINVAL;
}

static int create(const char *name, unsigned mode, const struct mq_attr *attr, struct mqueue **out)
{
    u64 bytes = bytes_of((u32)attr->most, (u32)attr->size);
    u64 limit = current_process()->rlimits[RLIMIT_MSGQUEUE].cur;
    size_t len = strlen(name) + 1;

    if (__atomic_add_fetch(&bytes_kept, bytes, __ATOMIC_RELAXED) > limit) {
        __atomic_fetch_sub(&bytes_kept, bytes, __ATOMIC_RELAXED);
        return -EMFILE;
    }
    struct mqueue *q = kzalloc(sizeof(*q) + len);
    if (!q) {
        __atomic_fetch_sub(&bytes_kept, bytes, __ATOMIC_RELAXED);
        return -ENOMEM;
    }
    ref_init(&q->refs);
    list_init(&q->node);
    spin_init(&q->lock);
    list_init(&q->messages);
    waitq_init(&q->waitq);
    q->most = (u32)attr->most;
    q->size = (u32)attr->size;
    q->uid = current_process()->creds.euid;
    q->gid = current_process()->creds.egid;
    q->mode = mode & 0777 & ~current_fs()->umask;
    memcpy(q->name, name, len);
    *out = q;
    return 0;
}

/* The queue of that name with a reference: *@fresh, which is taken then, where there was none. */
static int look_up(const char *name, unsigned oflag, struct mqueue **fresh, struct mqueue **out)
{
    int err = 0;

    spin_lock(&names_lock);
    struct mqueue *q = find_locked(name);
    if (q) {
        err = (oflag & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL) ? -EEXIST : check_rights(q, oflag);
    } else if (!*fresh) {
        err = -ENOENT;
    } else if (nr_queues >= QUEUES_MOST) {
        err = -ENOSPC;
    } else {
        q = *fresh;
        *fresh = NULL;
        list_add_tail(&queues, &q->node);
        nr_queues++;
    }
    if (!err)
        ref_get(&q->refs);
    spin_unlock(&names_lock);
    *out = q;
    return err;
}

/* ---- files ---- */

static u32 mqueue_ready(struct file *file)
{
    const struct mqueue *q = file->data;
    u32 count = __atomic_load_n(&q->count, __ATOMIC_ACQUIRE);

    return (count ? POLLIN | POLLRDNORM : 0) | (count < q->most ? POLLOUT | POLLWRNORM : 0);
}

/* What read(2) tells, as Linux does: bytes in the queue and who is told of a message. */
static ssize_t mqueue_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    struct mqueue *q = file->data;
    struct message *msg;
    unsigned long bytes = 0;
    char text[80];

    spin_lock(&q->lock);
    list_for_each(msg, &q->messages, node)
        bytes += msg->len;
    int pid = q->told ? q->told->pid : 0;
    int sig = pid && q->how.notify == SIGEV_SIGNAL ? q->how.signo : 0;
    spin_unlock(&q->lock);
    size_t len =
        (size_t)format(text, sizeof(text), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                       bytes, pid ? q->how.notify : 0, sig, pid);
    size_t at = (size_t)__atomic_load_n(&file->pos, __ATOMIC_RELAXED); /* a stream is given none */
    at = min(at, len);
    size_t n = min(len - at, (size_t)to->left);
    if (iter_write(to, text + at, n) != n)
        return -EFAULT;
    __atomic_store_n(&file->pos, (s64)(at + n), __ATOMIC_RELAXED);
    return (ssize_t)n;
}

/* Nobody is told any more; the reference is the caller's. Locked. */
static struct process *forget_told(struct mqueue *q)
{
    struct process *told = q->told;

    q->told = NULL;
    return told;
}

/* Any descriptor that is closed ends what the process asked for: mq_notify(3). */
static void mqueue_flush(struct file *file)
{
    struct process *told = NULL;
    struct mqueue *q = file->data;

    spin_lock(&q->lock);
    if (q->told == current_process())
        told = forget_told(q);
    spin_unlock(&q->lock);
    if (told)
        process_put(told);
}

static void mqueue_release(struct file *file)
{
    mqueue_put(file->data);
}

static const struct file_ops mqueue_ops = {
    .read = mqueue_read,
    .ready = mqueue_ready,
    .flush = mqueue_flush,
    .release = mqueue_release,
};

/* The queue behind @fd, borrowed: 0 or -EBADF, as where it is open for something else only. */
static int borrow(int fd, u32 not_mode, struct fd_ref *ref, struct mqueue **q)
{
    *ref = fd_borrow(fd);
    if (!ref->file)
        return -EBADF;
    if (ref->file->ops == &mqueue_ops && (ref->file->flags & O_ACCMODE) != not_mode) {
        *q = ref->file->data;
        return 0;
    }
    fd_return(*ref);
    return -EBADF;
}
enum { NO_MODE = O_ACCMODE }; /* one that no file has */

static long install(struct mqueue *q, unsigned oflag)
{
    u32 flags = oflag & (O_ACCMODE | O_NONBLOCK);
    struct file *file = file_create_anon(&mqueue_ops, q, q->name, flags);

    if (!file) {
        mqueue_put(q);
        return -ENOMEM;
    }
    file->waitq = &q->waitq;
    int fd = fd_install(file, 0, true);
    if (fd < 0)
        file_put(file);
    return fd;
}

long sys_mq_open(uaddr_t name_at, unsigned oflag, unsigned mode, uaddr_t attr_at)
{
    struct mq_attr attr = {.most = MESSAGES_USUAL, .size = BYTES_USUAL};
    struct mqueue *fresh = NULL, *q;
    char name[NAME_LEN + 1];

    if (attr_at && copy_from_user(&attr, attr_at, sizeof(attr)))
        return -EFAULT;
    int err = get_name(name_at, name);
    if (!err && (oflag & O_ACCMODE) == O_ACCMODE)
        err = -EINVAL;
    if (!err && oflag & O_CREAT)
        err = check_attr(&attr);
    if (!err && oflag & O_CREAT)
        err = create(name, mode, &attr, &fresh);
    int why = err; /* no matter where there is one already */
    if (!err || why == -EMFILE || why == -EINVAL)
        err = look_up(name, oflag, &fresh, &q);
    if (err == -ENOENT && why)
        err = why;
    if (fresh)
        mqueue_put(fresh);
    return err ? err : install(q, oflag);
}

long sys_mq_unlink(uaddr_t name_at)
{
    char name[NAME_LEN + 1];
    int err = get_name(name_at, name);

    if (err)
        return err;
    spin_lock(&names_lock);
    struct mqueue *q = find_locked(name);
    u32 euid = current_process()->creds.euid;
    if (!q)
        err = -ENOENT;
    else if (euid && euid != q->uid)
        err = -EACCES;
    if (!err) {
        list_remove(&q->node);
        nr_queues--;
    }
    spin_unlock(&names_lock);
    if (!err)
        mqueue_put(q);
    return err;
}

/* ---- messages ---- */

static int get_deadline(uaddr_t at, u64 *deadline_ns)
{
    u64 ns;

    *deadline_ns = NO_DEADLINE;
    if (!at)
        return 0;
    int err = get_timespec_ns(at, &ns);
    if (!err && ns != TIME_NEVER)
        *deadline_ns = ns > time_real_offset_ns() ? ns - time_real_offset_ns() : 0;
    return err;
}

/* Tell who asked for it that a message came into an empty queue. */
static void notify(struct process *told, const struct linux_sigevent *how)
{
    struct siginfo64 info = {.si_signo = how->signo, .si_code = SI_MESGQ};

    info.rt.pid = current_process()->pid;
    info.rt.uid = current_process()->creds.uid;
    info.rt.value = how->value;
    if (how->notify == SIGEV_SIGNAL)
        signal_send_process(told, &info); /* fails where too many are pending: as on Linux */
    process_put(told);
}

static bool try_add(struct mqueue *q, struct message *msg)
{
    struct linux_sigevent how;
    struct process *told = NULL;

    spin_lock(&q->lock);
    bool fits = q->count < q->most;
    if (fits) {
        struct list_head *before = q->messages.prev;
        while (before != &q->messages &&
               list_entry(before, struct message, node)->priority < msg->priority)
            before = before->prev;
        list_insert_between(&msg->node, before, before->next);
        if (!q->count && !q->receivers && q->told) {
            how = q->how;
            told = forget_told(q);
        }
        __atomic_store_n(&q->count, q->count + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&q->lock);
    if (told)
        notify(told, &how);
    return fits;
}

static struct message *try_take(struct mqueue *q)
{
    struct message *msg = NULL;

    spin_lock(&q->lock);
    if (q->count) {
        msg = list_first(&q->messages, struct message, node);
        list_remove(&msg->node);
        __atomic_store_n(&q->count, q->count - 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&q->lock);
    return msg;
}

static void count_receiver(struct mqueue *q, int by)
{
    spin_lock(&q->lock);
    q->receivers += (u32)by;
    spin_unlock(&q->lock);
}

static int wait_result(int err)
{
    return err == -EINTR ? -ERESTARTSYS : err;
}

static long send(struct file *file, struct mqueue *q, struct message *msg, u64 deadline_ns)
{
    while (!try_add(q, msg)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        int err = wait_event(&q->waitq, __atomic_load_n(&q->count, __ATOMIC_ACQUIRE) < q->most,
                             true, deadline_ns);
        if (err)
            return wait_result(err);
    }
    waitq_wake_all(&q->waitq, POLLIN | POLLRDNORM);
    return 0;
}

long sys_mq_timedsend(int fd, uaddr_t from, u64 len, unsigned priority, uaddr_t timeout)
{
    struct mqueue *q;
    struct fd_ref ref;
    u64 deadline_ns;

    int err = priority < PRIORITIES ? get_deadline(timeout, &deadline_ns) : -EINVAL;
    if (!err)
        err = borrow(fd, O_RDONLY, &ref, &q);
    if (err)
        return err;
    long result = len <= q->size ? 0 : -EMSGSIZE;
    struct message *msg = result ? NULL : kmalloc(sizeof(*msg) + len);
    if (!result && !msg)
        result = -ENOMEM;
    if (!result) {
        msg->len = (u32)len;
        msg->priority = priority;
        result = copy_from_user(msg->bytes, from, len);
    }
    if (!result)
        result = send(ref.file, q, msg, deadline_ns);
    if (result)
        kfree(msg);
    fd_return(ref);
    return result;
}

static long receive(struct file *file, struct mqueue *q, u64 deadline_ns, struct message **out)
{
    while (!(*out = try_take(q))) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        count_receiver(q, 1);
        int err =
            wait_event(&q->waitq, __atomic_load_n(&q->count, __ATOMIC_ACQUIRE), true, deadline_ns);
        count_receiver(q, -1);
        if (err)
            return wait_result(err);
    }
    waitq_wake_all(&q->waitq, POLLOUT | POLLWRNORM);
    return 0;
}

long sys_mq_timedreceive(int fd, uaddr_t to, u64 len, uaddr_t priority, uaddr_t timeout)
{
    struct message *msg = NULL;
    struct mqueue *q;
    struct fd_ref ref;
    u64 deadline_ns;

    int err = get_deadline(timeout, &deadline_ns);
    if (!err)
        err = borrow(fd, O_WRONLY, &ref, &q);
    if (err)
        return err;
    long result = len >= q->size ? receive(ref.file, q, deadline_ns, &msg) : -EMSGSIZE;
    fd_return(ref);
    if (result)
        return result;
    result = msg->len;
    if (copy_to_user(to, msg->bytes, msg->len) ||
        put_optional(priority, &msg->priority, sizeof(msg->priority)))
        result = -EFAULT;
    kfree(msg);
    return result;
}

/* ---- the rest ---- */

static bool event_valid(const struct linux_sigevent *e)
{
    return e->notify == SIGEV_NONE ||
           (e->notify == SIGEV_SIGNAL && e->signo > 0 && e->signo <= SIGRTMAX);
}

/* 0 or -EBUSY. *@old is the caller's to put. */
static int set_told(struct mqueue *q, const struct linux_sigevent *event, struct process **old)
{
    struct process *me = current_process();
    int err = 0;

    spin_lock(&q->lock);
    if (!event) {
        *old = q->told == me ? forget_told(q) : NULL;
    } else if (q->told) {
        err = -EBUSY;
    } else {
        process_get(me);
        q->told = me;
        q->how = *event;
    }
    spin_unlock(&q->lock);
    return err;
}

long sys_mq_notify(int fd, uaddr_t event_at)
{
    struct linux_sigevent event;
    struct process *old = NULL;
    struct fd_ref ref;
    struct mqueue *q;

    if (event_at && copy_from_user(&event, event_at, sizeof(event)))
        return -EFAULT;
    if (event_at && !event_valid(&event))
        return -EINVAL;
    int err = borrow(fd, NO_MODE, &ref, &q);
    if (err)
        return err;
    err = set_told(q, event_at ? &event : NULL, &old);
    if (old)
        process_put(old);
    fd_return(ref);
    return err;
}

long sys_mq_getsetattr(int fd, uaddr_t new_at, uaddr_t old_at)
{
    struct mq_attr new, old = {0};
    struct fd_ref ref;
    struct mqueue *q;

    if (new_at && copy_from_user(&new, new_at, sizeof(new)))
        return -EFAULT;
    if (new_at && new.flags & ~(s64)O_NONBLOCK)
        return -EINVAL;
    int err = borrow(fd, NO_MODE, &ref, &q);
    if (err)
        return err;
    old.flags = ref.file->flags & O_NONBLOCK;
    old.most = q->most;
    old.size = q->size;
    old.count = __atomic_load_n(&q->count, __ATOMIC_ACQUIRE);
    if (new_at && new.flags)
        __atomic_fetch_or(&ref.file->flags, (u32)O_NONBLOCK, __ATOMIC_RELAXED);
    else if (new_at)
        __atomic_fetch_and(&ref.file->flags, ~(u32)O_NONBLOCK, __ATOMIC_RELAXED);
    fd_return(ref);
    return put_optional(old_at, &old, sizeof(old));
}
