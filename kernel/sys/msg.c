/* System V message queues: msgget(2), msgop(2), msgctl(2).  A message goes straight to who waits
 * for its type, the first to have come; who waits for room tries again when some has come free. */
#include "abi/errno.h"
#include "fs/pseudo.h"
#include "mm/heap.h"
#include "sys/ipc.h"
#include "sys/sys_priv.h"
#include "syscalls.h"

enum { QUEUES_MAX = 32000, MESSAGE_MAX = 8192, QUEUE_BYTES = 16384 };

struct message {
    struct list_head node; /* [L] in the queue's .messages */
    s64 type;
    u64 size;
    u8 bytes[];
};

/* All [L] but .obj's own. */
struct queue {
    struct ipc_object obj;      /* the first */
    struct list_head messages;  /* struct message, the oldest first */
    struct list_head receivers; /* struct receiver */
    struct list_head senders;   /* struct ipc_wait */
    u64 bytes, count;           /* in .messages */
    u64 most_bytes;             /* msg_qbytes; as many messages at most, too */
    s64 stime, rtime;           /* seconds */
    int lspid, lrpid;
};
static_assert(offsetof(struct queue, obj) == 0, "cast back");

/* Who waits for a message; on its stack. */
struct receiver {
    struct ipc_wait wait; /* the first; result 0: .got is its own */
    s64 type;             /* as msgrcv has it */
    u64 size;             /* of its buffer */
    int flags;
    int pid;
    struct message *got;
};
static_assert(offsetof(struct receiver, wait) == 0, "cast back");

static struct ipc_table queues = {.most = QUEUES_MAX};

/* ---- queues ---- */

static int create(s32 key, u32 flags, struct queue **out)
{
    struct queue *q = kzalloc(sizeof(*q));

    if (!q)
        return -ENOMEM;
    list_init(&q->messages);
    list_init(&q->receivers);
    list_init(&q->senders);
    q->most_bytes = QUEUE_BYTES;
    int err = ipc_prepare(&queues, &q->obj, key, 0, flags);
    if (err)
        kfree(q);
    else
        *out = q;
    return err;
}

long sys_msgget(int key, unsigned flags)
{
    struct queue *q = NULL;
    int err = -ENOENT;

    if (key == IPC_PRIVATE || flags & IPC_CREAT)
        err = create(key, flags, &q);
    struct ipc_object *fresh = q ? &q->obj : NULL;
    long id = ipc_get(&queues, key, 0, flags, &fresh, err);
    if (fresh) { /* there is one already */
        ipc_remove(&queues, fresh);
        kfree(q);
    }
    return id;
}

/* The queue @id, with the lock held if there is no error. @wanted 0: its owner's right. */
static int lock_queue(int id, u32 wanted, struct queue **out)
{
    spin_lock(&queues.lock);
    struct queue *q = (struct queue *)ipc_find_locked(&queues, id);
    int err = !q ? -EINVAL : 0;
    if (!err && wanted)
        err = ipc_permits(&q->obj, wanted) ? 0 : -EACCES;
    else if (!err)
        err = ipc_owns(&q->obj) ? 0 : -EPERM;
    if (err)
        spin_unlock(&queues.lock);
    else
        *out = q;
    return err;
}

/* ---- types ---- */

static bool suits(const struct message *m, s64 type, int flags)
{
    if (!type)
        return true;
    if (type > 0)
        return (m->type == type) == !(flags & MSG_EXCEPT);
    return type == INT64_MIN || m->type <= -type;
}

/* The message that @type asks for: the first, or (negative) the first of the lowest type. */
static struct message *choose(const struct queue *q, s64 type, int flags)
{
    struct message *m, *best = NULL;

    list_for_each(m, &q->messages, node) {
        if (!suits(m, type, flags) || (best && m->type >= best->type))
            continue;
        best = m;
        if (type >= 0)
            break;
    }
    return best;
}

/* ---- sending ---- */

/* Hand @m to who waits for it. True: it is no more the caller's. */
static bool hand_over(struct queue *q, struct message *m)
{
    struct list_head *at = q->receivers.next;

    while (at != &q->receivers) {
        struct receiver *r = (struct receiver *)list_entry(at, struct ipc_wait, node);
        at = at->next;
        if (!suits(m, r->type, r->flags))
            continue;
        bool fits = m->size <= r->size || r->flags & MSG_NOERROR;
        if (fits) {
            r->got = m;
            q->rtime = ipc_now();
            q->lrpid = r->pid;
        }
        ipc_wake_locked(&r->wait, fits ? 0 : -E2BIG);
        if (fits)
            return true;
    }
    return false;
}

static bool has_room(const struct queue *q, u64 size)
{
    return q->bytes + size <= q->most_bytes && q->count + 1 <= q->most_bytes;
}

/* Queue @m. 0, IPC_WAITING where there is no room, or an error. */
static int try_send(int id, struct message *m, struct ipc_wait *wait)
{
    struct queue *q;
    int err = lock_queue(id, 02, &q);

    if (err)
        return err;
    if (!has_room(q, m->size)) {
        if (wait)
            ipc_wait_begin(wait, &q->senders);
        spin_unlock(&queues.lock);
        return wait ? IPC_WAITING : -EAGAIN;
    }
    q->lspid = current_process()->pid;
    q->stime = ipc_now();
    if (!hand_over(q, m)) {
        list_add_tail(&q->messages, &m->node);
        q->bytes += m->size;
        q->count++;
    }
    spin_unlock(&queues.lock);
    return 0;
}

static int send(int id, struct message *m, int flags)
{
    struct ipc_wait wait;

    for (;;) {
        int err = try_send(id, m, flags & IPC_NOWAIT ? NULL : &wait);
        if (err == IPC_WAITING)
            err = ipc_wait_end(&queues, &wait, NO_DEADLINE);
        else
            return err;
        if (err)
            return err;
    }
}

long sys_msgsnd(int id, uaddr_t from, u64 size, int flags)
{
    u64 type;

    if (size > MESSAGE_MAX || id < 0)
        return -EINVAL;
    if (user_get64(&type, from))
        return -EFAULT;
    if (!type || type > INT64_MAX)
        return -EINVAL;
    struct message *m = kmalloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    m->type = (s64)type;
    m->size = size;
    int err = copy_from_user(m->bytes, from + sizeof(type), size);
    if (!err)
        err = send(id, m, flags);
    if (err)
        kfree(m);
    return err;
}

/* ---- receiving ---- */

/* Take what @r wants, or queue it. 0, IPC_WAITING, or an error. */
static int try_receive(int id, struct receiver *r)
{
    struct queue *q;
    int err = lock_queue(id, 04, &q);

    if (err)
        return err;
    struct message *m = choose(q, r->type, r->flags);
    if (!m && !(r->flags & IPC_NOWAIT)) {
        ipc_wait_begin(&r->wait, &q->receivers);
        err = IPC_WAITING;
    } else if (!m) {
        err = -ENOMSG;
    } else if (m->size > r->size && !(r->flags & MSG_NOERROR)) {
        err = -E2BIG;
    } else {
        list_remove(&m->node);
        q->bytes -= m->size;
        q->count--;
        q->rtime = ipc_now();
        q->lrpid = r->pid;
        r->got = m;
        ipc_wake_all_locked(&q->senders, 0);
    }
    spin_unlock(&queues.lock);
    return err;
}

long sys_msgrcv(int id, uaddr_t to, u64 size, s64 type, int flags)
{
    struct receiver r = {.type = type, .size = size, .flags = flags, .pid = current_process()->pid};

    if (id < 0 || size > INT64_MAX)
        return -EINVAL;
    if (flags & MSG_COPY)
        return -ENOSYS; /* as a Linux without checkpoints answers */
    int err = try_receive(id, &r);
    if (err == IPC_WAITING)
        err = ipc_wait_end(&queues, &r.wait, NO_DEADLINE);
    if (err)
        return err;
    u64 n = min(r.got->size, size);
    if (copy_to_user(to, &r.got->type, sizeof(r.got->type)) ||
        copy_to_user(to + sizeof(r.got->type), r.got->bytes, n))
        err = -EFAULT;
    kfree(r.got);
    return err ? err : (long)n;
}

/* ---- msgctl ---- */

static long remove_queue(int id)
{
    struct queue *q;
    int err = lock_queue(id, 0, &q);

    if (err)
        return err;
    ipc_remove_locked(&queues, &q->obj);
    ipc_wake_all_locked(&q->senders, -EIDRM);
    ipc_wake_all_locked(&q->receivers, -EIDRM);
    spin_unlock(&queues.lock);
    while (!list_empty(&q->messages)) {
        struct message *m = list_first(&q->messages, struct message, node);
        list_remove(&m->node);
        kfree(m);
    }
    kfree(q);
    return 0;
}

static long change_queue(int id, uaddr_t buf)
{
    struct linux_msqid_ds ds;
    struct queue *q;

    if (copy_from_user(&ds, buf, sizeof(ds)))
        return -EFAULT;
    int err = lock_queue(id, 0, &q);
    if (err)
        return err;
    if (ds.qbytes > QUEUE_BYTES && !capable(CAP_SYS_RESOURCE)) {
        err = -EPERM;
    } else {
        ipc_change(&q->obj, &ds.perm);
        q->most_bytes = ds.qbytes;
        ipc_wake_all_locked(&q->senders, 0);
    }
    spin_unlock(&queues.lock);
    return err;
}

static void describe(const struct queue *q, struct linux_msqid_ds *out)
{
    *out = (struct linux_msqid_ds){
        .stime = q->stime,
        .rtime = q->rtime,
        .ctime = q->obj.ctime,
        .cbytes = q->bytes,
        .qnum = q->count,
        .qbytes = q->most_bytes,
        .lspid = q->lspid,
        .lrpid = q->lrpid,
    };
    ipc_describe(&q->obj, &out->perm);
}

/* IPC_STAT of queue @id, or of what is in a slot: then its id. */
static long stat_queue(int id, int cmd, uaddr_t buf)
{
    struct linux_msqid_ds ds;
    long result = 0;

    spin_lock(&queues.lock);
    const struct queue *q = (struct queue *)(cmd == IPC_STAT ? ipc_find_locked(&queues, id)
                                                             : ipc_at_locked(&queues, (u32)id));
    if (!q)
        result = -EINVAL;
    else if (cmd != MSG_STAT_ANY && !ipc_permits(&q->obj, 04))
        result = -EACCES;
    else if (cmd != IPC_STAT)
        result = q->obj.id;
    if (result >= 0)
        describe(q, &ds);
    spin_unlock(&queues.lock);
    return result >= 0 && copy_to_user(buf, &ds, sizeof(ds)) ? -EFAULT : result;
}

/* MSG_INFO has what there is in the fields whose limits mean nothing. */
static long put_info(int cmd, uaddr_t buf)
{
    struct linux_msginfo info = {
        .msgpool = QUEUES_MAX * (QUEUE_BYTES / 1024),
        .msgmap = QUEUE_BYTES,
        .msgmax = MESSAGE_MAX,
        .msgmnb = QUEUE_BYTES,
        .msgmni = QUEUES_MAX,
        .msgssz = 16,
        .msgtql = QUEUE_BYTES,
        .msgseg = UINT16_MAX,
    };
    u64 count = 0, bytes = 0;

    spin_lock(&queues.lock);
    u32 last = ipc_last_locked(&queues);
    for (u32 i = 0; i < queues.nr_slots; i++) {
        const struct queue *q = (struct queue *)ipc_at_locked(&queues, i);
        count += q ? q->count : 0;
        bytes += q ? q->bytes : 0;
    }
    if (cmd == MSG_INFO) {
        info.msgpool = (s32)queues.used;
        info.msgmap = (s32)min(count, (u64)INT32_MAX);
        info.msgtql = (s32)min(bytes, (u64)INT32_MAX);
    }
    spin_unlock(&queues.lock);
    return copy_to_user(buf, &info, sizeof(info)) ? -EFAULT : (long)last;
}

long sys_msgctl(int id, int cmd, uaddr_t buf)
{
    if (id < 0)
        return -EINVAL;
    switch (cmd) {
    case IPC_RMID:
        return remove_queue(id);
    case IPC_SET:
        return change_queue(id, buf);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return stat_queue(id, cmd, buf);
    case IPC_INFO:
    case MSG_INFO:
        return put_info(cmd, buf);
    default:
        return -EINVAL;
    }
}

void msg_list(struct text *out)
{
    struct linux_msqid_ds ds;
    u32 slots = 1;

    for (u32 i = 0; i < slots; i++) {
        spin_lock(&queues.lock);
        slots = queues.nr_slots;
        const struct queue *q = (struct queue *)ipc_at_locked(&queues, i);
        int id = q ? q->obj.id : 0;
        if (q)
            describe(q, &ds);
        spin_unlock(&queues.lock);
        if (q)
            text_add(out, "%10d %10d  %4o  %10lu %10lu %5d %5d %5u %5u %5u %5u %10lu %10lu %10lu\n",
                     ds.perm.key, id, ds.perm.mode, (unsigned long)ds.cbytes,
                     (unsigned long)ds.qnum, ds.lspid, ds.lrpid, ds.perm.uid, ds.perm.gid,
                     ds.perm.cuid, ds.perm.cgid, (unsigned long)ds.stime, (unsigned long)ds.rtime,
                     (unsigned long)ds.ctime);
    }
}
