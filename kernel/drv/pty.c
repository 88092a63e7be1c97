/* Pseudo terminals: a terminal whose other side is a file, /dev/ptmx.  What the slave prints waits
 * in a ring for the master's reads; what the master writes is typed.  A pair stays in the registry
 * when it is closed, and the next open of ptmx takes it over. */
#include "drv/pty.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "drv/tty.h"
#include "lib/format.h"
#include "mm/heap.h"
#include "sched/signal.h"
#include "vfs/device.h"
#include "vfs/fd.h"
#include "vfs/path.h"

enum { PTY_MAX = 64, RING = 4096, CHUNK = 256, MAJOR_PTS = 136, MAJOR_TTY_AUX = 5, MINOR_PTMX = 2 };

/* Fields: [I], [A], [L] under .lock, [P] under ptys_lock. */
struct pty {
    struct tty tty; /* the slave */
    struct char_device dev;
    char name[16];        /* [I] "pts/3" */
    int number;           /* [I] */
    bool taken;           /* [P] a master is open, or a slave still is */
    bool master_open;     /* [A] */
    bool slave_seen;      /* [A] a slave was open: without one the master then reads EIO */
    bool locked;          /* [A] TIOCSPTLCK */
    struct waitq waitq;   /* the master's */
    struct spinlock lock; /* after a tty's; before a wait queue's */
    u32 head, tail;       /* [L] free running */
    u8 ring[RING];        /* [L] */
};

static struct pty *ptys[PTY_MAX];
static struct mutex ptys_lock = {.waiters = LIST_INIT(ptys_lock.waiters)};

static u32 ring_used(const struct pty *pty)
{
    return __atomic_load_n(&pty->head, __ATOMIC_ACQUIRE) -
           __atomic_load_n(&pty->tail, __ATOMIC_ACQUIRE);
}

/* ---- the slave's side ---- */

static ssize_t slave_write(struct tty *tty, const u8 *buf, size_t n)
{
    struct pty *pty = tty->data;

    if (!pty->master_open)
        return -EIO;
    spin_lock(&pty->lock);
    n = min(n, (size_t)(RING - ring_used(pty)));
    for (size_t i = 0; i < n; i++)
        pty->ring[(pty->head + i) % RING] = buf[i];
    __atomic_store_n(&pty->head, pty->head + (u32)n, __ATOMIC_RELEASE);
    spin_unlock(&pty->lock);
    if (n)
        waitq_wake_all(&pty->waitq, POLLIN | POLLRDNORM);
    return (ssize_t)n;
}

static size_t slave_room(struct tty *tty)
{
    const struct pty *pty = tty->data;

    return RING - ring_used(pty);
}

static void slave_want_input(struct tty *tty)
{
    struct pty *pty = tty->data;

    waitq_wake_all(&pty->waitq, POLLOUT | POLLWRNORM);
}

/* Free the pair once both sides are closed. */
static void settle(struct pty *pty)
{
    mutex_lock(&ptys_lock);
    if (!pty->master_open && !pty->tty.opens)
        pty->taken = false;
    if (!pty->taken)
        tty_leave_session(&pty->tty);
    mutex_unlock(&ptys_lock);
}

static void slave_release(struct tty *tty)
{
    struct pty *pty = tty->data;

    waitq_wake_all(&pty->waitq, POLLIN | POLLHUP);
    settle(pty);
}

static const struct tty_ops slave_ops = {
    .write = slave_write,
    .room = slave_room,
    .want_input = slave_want_input,
    .release = slave_release,
};

/* Not while the pair is settled and taken anew. */
static int open_slave(struct char_device *dev, struct file *file)
{
    struct pty *pty = dev->data;

    mutex_lock(&ptys_lock);
    int err = pty->master_open && !pty->locked ? 0 : -EIO;
    if (!err) {
        pty->slave_seen = true;
        tty_open_file(&pty->tty, file);
    }
    mutex_unlock(&ptys_lock);
    return err;
}

/* ---- the master's ---- */

/* All slaves are gone that there were. */
static bool orphaned(const struct pty *pty)
{
    return pty->slave_seen && !__atomic_load_n(&pty->tty.opens, __ATOMIC_ACQUIRE);
}

static u32 master_ready(struct file *file)
{
    struct pty *pty = file->data;
    u32 mask = 0;

    if (ring_used(pty))
        mask |= POLLIN | POLLRDNORM;
    if (tty_input_room(&pty->tty))
        mask |= POLLOUT | POLLWRNORM;
    return orphaned(pty) ? mask | POLLHUP : mask;
}

static size_t take_output(struct pty *pty, u8 *buf, size_t n)
{
    spin_lock(&pty->lock);
    n = min(n, (size_t)ring_used(pty));
    for (size_t i = 0; i < n; i++)
        buf[i] = pty->ring[(pty->tail + i) % RING];
    __atomic_store_n(&pty->tail, pty->tail + (u32)n, __ATOMIC_RELEASE);
    spin_unlock(&pty->lock);
    return n;
}

static ssize_t master_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    struct pty *pty = file->data;
    u8 buf[CHUNK];
    ssize_t done = 0;

    while (to->left) {
        size_t n = take_output(pty, buf, min(to->left, sizeof(buf)));
        if (n && iter_write(to, buf, n) != n)
            return done ? done : -EFAULT;
        done += (ssize_t)n;
        if (n)
            continue;
        if (done)
            break;
        if (orphaned(pty))
            return -EIO;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event(&pty->waitq, ring_used(pty) || orphaned(pty), true, NO_DEADLINE))
            return -ERESTARTSYS;
    }
    if (done)
        tty_output_room(&pty->tty);
    return done;
}

static ssize_t master_write(struct file *file, struct iov_iter *from,
                            s64 *pos __attribute__((unused)))
{
    struct pty *pty = file->data;
    u8 buf[CHUNK];
    ssize_t done = 0;

    while (from->left) {
        size_t want = min(from->left, sizeof(buf));
        size_t room = min(want, tty_input_room(&pty->tty)), n = iter_read(from, buf, room);
        if (room && !n)
            return done ? done : -EFAULT;
        tty_input(&pty->tty, buf, n);
        done += (ssize_t)n;
        if (room)
            continue;
        if (file->flags & O_NONBLOCK)
            return done ? done : -EAGAIN;
        if (wait_event(&pty->waitq, tty_input_room(&pty->tty), true, NO_DEADLINE))
            return done ? done : -ERESTARTSYS;
    }
    return done;
}

static int put_int(uaddr_t arg, int value)
{
    return copy_to_user(arg, &value, sizeof(value));
}

static int set_lock(struct pty *pty, uaddr_t arg)
{
    int value;

    if (copy_from_user(&value, arg, sizeof(value)))
        return -EFAULT;
    pty->locked = value;
    return 0;
}

/* The slave without its name: TIOCGPTPEER. */
static int open_peer(struct pty *pty, u32 flags)
{
    char path[24];
    struct file *file;

    format(path, sizeof(path), "/dev/%s", pty->name);
    int fd = vfs_open(path, flags, 0, &file);
    if (fd)
        return fd;
    fd = fd_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(file);
    return fd;
}

static int master_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    struct pty *pty = file->data;

    switch (cmd) {
    case TIOCGPTN:
        return put_int(arg, pty->number);
    case TIOCSPTLCK:
        return set_lock(pty, arg);
    case TIOCGPTLCK:
        return put_int(arg, pty->locked);
    case TIOCGPTPEER:
        return open_peer(pty, (u32)arg);
    case FIONREAD:
        return put_int(arg, (int)ring_used(pty));
    default:
        return tty_ioctl(&pty->tty, file, cmd, arg);
    }
}

static void master_release(struct file *file)
{
    struct pty *pty = file->data;

    __atomic_store_n(&pty->master_open, false, __ATOMIC_RELEASE);
    tty_hang_up(&pty->tty);
    settle(pty);
}

static const struct file_ops master_ops = {
    .read = master_read,
    .write = master_write,
    .ready = master_ready,
    .ioctl = master_ioctl,
    .release = master_release,
};

/* ---- pairs ---- */

static struct pty *create_pair(int number)
{
    struct pty *pty = kzalloc(sizeof(*pty));

    if (!pty)
        return NULL;
    tty_init(&pty->tty, &slave_ops, pty);
    pty->number = number;
    format(pty->name, sizeof(pty->name), "pts/%d", number);
    waitq_init(&pty->waitq);
    pty->dev = (struct char_device){
        .name = pty->name,
        .rdev = dev_make(MAJOR_PTS, (u32)number),
        .mode = 0620,
        .ops = &tty_file_ops,
        .open = open_slave,
        .data = pty,
    };
    char_device_add(&pty->dev);
    ptys[number] = pty;
    return pty;
}

/* A pair that nobody has. 0, -ENOSPC or -ENOMEM. ptys_lock held. */
static int take_pair(struct pty **out)
{
    int number = 0;

    while (number < PTY_MAX && ptys[number] && ptys[number]->taken)
        number++;
    if (number == PTY_MAX)
        return -ENOSPC;
    struct pty *pty = ptys[number] ? ptys[number] : create_pair(number);
    if (!pty)
        return -ENOMEM;
    tty_reset(&pty->tty);
    pty->head = pty->tail = 0;
    pty->slave_seen = false;
    pty->taken = pty->master_open = pty->locked = true;
    *out = pty;
    return 0;
}

static int open_ptmx(struct char_device *dev __attribute__((unused)), struct file *file)
{
    struct pty *pty;

    mutex_lock(&ptys_lock);
    int err = take_pair(&pty);
    mutex_unlock(&ptys_lock);
    if (err)
        return err;
    file->ops = &master_ops;
    file->data = pty;
    file->waitq = &pty->waitq;
    return 0;
}

static struct char_device ptmx = {
    .name = "ptmx", .mode = 0666, .ops = &master_ops, .open = open_ptmx};

void pty_init(void)
{
    ptmx.rdev = dev_make(MAJOR_TTY_AUX, MINOR_PTMX);
    char_device_add(&ptmx);
}
