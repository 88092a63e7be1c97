/* Terminals as files.  Input is worked on where it arrives, so that ^C acts though nobody reads;
 * that is why the discipline is under a spinlock and an echo never waits. */
#include "drv/tty.h"

#include "abi/errno.h"
#include "abi/fcntl.h"
#include "core/time.h"
#include "lib/string.h"
#include "sched/family.h"

enum { CHUNK = 256, NSEC_PER_VTIME = 100000000 };

static struct tty *tty_of_line(struct tty_line *line)
{
    return container_of(line, struct tty, line);
}

static void tty_echo(struct tty_line *line, const u8 *buf, size_t n)
{
    struct tty *tty = tty_of_line(line);

    if (n)
        (void)tty->ops->write(tty, buf, n); /* what does not fit is lost: nobody can wait here */
}

/* To the foreground group. */
static void signal_group(struct tty *tty, int sig)
{
    int pgid = __atomic_load_n(&tty->pgid, __ATOMIC_RELAXED);
    struct siginfo64 info = {.si_signo = sig, .si_code = SI_KERNEL};

    if (pgid > 0)
        (void)signal_send_group(pgid, &info); /* nobody there: nobody to tell */
}

static void tty_signal(struct tty_line *line, int sig)
{
    signal_group(tty_of_line(line), sig);
}

void tty_reset(struct tty *tty)
{
    spin_lock(&tty->lock);
    tty_line_init(&tty->line);
    tty->line.echo = tty_echo;
    tty->line.signal = tty_signal;
    tty->size = (struct winsize_abi){0};
    __atomic_store_n(&tty->hung_up, false, __ATOMIC_RELAXED);
    spin_unlock(&tty->lock);
}

void tty_init(struct tty *tty, const struct tty_ops *ops, void *data)
{
    memset(tty, 0, sizeof(*tty));
    tty->ops = ops;
    tty->data = data;
    spin_init(&tty->lock);
    mutex_init(&tty->write_lock);
    waitq_init(&tty->waitq);
    tty_reset(tty);
}

void tty_input(struct tty *tty, const u8 *buf, size_t n)
{
    spin_lock(&tty->lock);
    bool was_stopped = tty->line.stopped;
    for (size_t i = 0; i < n; i++)
        tty_line_input(&tty->line, buf[i]);
    bool readable = tty_line_readable(&tty->line);
    bool resumed = was_stopped && !tty->line.stopped;
    spin_unlock(&tty->lock);

    u32 events = (readable ? POLLIN | POLLRDNORM : 0) | (resumed ? POLLOUT | POLLWRNORM : 0);
    if (events)
        waitq_wake_all(&tty->waitq, events);
}

size_t tty_input_room(struct tty *tty)
{
    if (tty->line.t.lflag & TTY_ICANON)
        return TTY_RING; /* an overlong line is cut, so that ^U and ^C still arrive */
    return TTY_RING - 1 - (tty->line.head - tty->line.tail);
}

void tty_hang_up(struct tty *tty)
{
    __atomic_store_n(&tty->hung_up, true, __ATOMIC_RELEASE);
    signal_group(tty, SIGHUP);
    signal_group(tty, SIGCONT);
    waitq_wake_all(&tty->waitq, POLLIN | POLLOUT | POLLHUP | POLLERR);
}

void tty_output_room(struct tty *tty)
{
    waitq_wake_all(&tty->waitq, POLLOUT | POLLWRNORM);
}

static bool hung_up(const struct tty *tty)
{
    return __atomic_load_n(&tty->hung_up, __ATOMIC_ACQUIRE);
}

/* Can a byte be put out, whatever becomes of it? */
static bool has_room(struct tty *tty)
{
    return !tty->line.stopped && tty->ops->room(tty) >= TTY_OUTPUT_MAX;
}

/* Bytes that make a non-canonical read or poll ready; reads without VTIME wait for VMIN of them. */
static bool input_ready(const struct tty *tty)
{
    const struct tty_line *line = &tty->line;

    if (!(line->t.lflag & TTY_ICANON) && !line->t.cc[TTY_VTIME] && line->t.cc[TTY_VMIN])
        return line->line_end - line->tail >= line->t.cc[TTY_VMIN];
    return tty_line_readable(line);
}

static u32 tty_ready(struct file *file)
{
    struct tty *tty = file->data;
    u32 mask = 0;

    if (hung_up(tty))
        return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLHUP;
    if (input_ready(tty))
        mask |= POLLIN | POLLRDNORM;
    if (has_room(tty))
        mask |= POLLOUT | POLLWRNORM;
    return mask;
}

/* How one read goes: POSIX, Canonical and Non-Canonical Mode Input Processing. */
struct read_rule {
    bool canon;
    size_t min;      /* bytes that satisfy it */
    u64 gap_ns;      /* longest wait between bytes, 0: none */
    u64 deadline_ns; /* of the next wait */
};

static struct read_rule read_rule(struct tty *tty, size_t want)
{
    struct read_rule rule = {.min = 1, .deadline_ns = NO_DEADLINE};

    spin_lock(&tty->lock);
    rule.canon = tty->line.t.lflag & TTY_ICANON;
    u64 gap = (u64)tty->line.t.cc[TTY_VTIME] * NSEC_PER_VTIME;
    size_t min = tty->line.t.cc[TTY_VMIN];
    spin_unlock(&tty->lock);
    if (rule.canon)
        return rule;
    rule.min = min(min, want);
    if (rule.min)
        rule.gap_ns = gap;
    else
        rule.deadline_ns = gap ? time_after_ns(gap) : 0;
    return rule;
}

/* Move what is there to the program: bytes, or -EFAULT. */
static ssize_t take_input(struct tty *tty, struct iov_iter *to, bool *end)
{
    u8 buf[CHUNK];
    size_t done = 0;

    *end = false;
    while (to->left && !*end) {
        spin_lock(&tty->lock);
        size_t n = tty_line_read(&tty->line, buf, min(to->left, sizeof(buf)), end);
        spin_unlock(&tty->lock);
        if (iter_write(to, buf, n) != n)
            return -EFAULT;
        done += n;
        if (!n)
            break;
    }
    if (tty->ops->want_input)
        tty->ops->want_input(tty);
    return (ssize_t)done;
}

static int wait_input(struct tty *tty, struct file *file, struct read_rule *rule)
{
    if (hung_up(tty))
        return -EPIPE;
    if (file->flags & O_NONBLOCK)
        return -EAGAIN;
    if (!rule->deadline_ns)
        return -ETIMEDOUT;
    return wait_event(&tty->waitq, tty_line_readable(&tty->line) || hung_up(tty), true,
                      rule->deadline_ns);
}

static ssize_t read_result(ssize_t done, int err)
{
    if (done || err == -EPIPE || err == -ETIMEDOUT)
        return done;
    return err == -EINTR ? -ERESTARTSYS : err;
}

static ssize_t tty_read(struct file *file, struct iov_iter *to, s64 *pos __attribute__((unused)))
{
    struct tty *tty = file->data;
    struct read_rule rule = read_rule(tty, to->left);
    ssize_t done = 0;

    int background = tty_check_background(tty, SIGTTIN);
    if (background)
        return background;
    while (to->left) {
        bool end;
        ssize_t n = take_input(tty, to, &end);
        if (n < 0)
            return n;
        done += n;
        if (end || (done && (size_t)done >= rule.min))
            break;
        if (n && rule.gap_ns)
            rule.deadline_ns = time_after_ns(rule.gap_ns);
        int err = wait_input(tty, file, &rule);
        if (err)
            return read_result(done, err);
    }
    return done;
}

static bool can_output(struct tty *tty)
{
    return hung_up(tty) || has_room(tty);
}

static int wait_output(struct tty *tty, struct file *file)
{
    if (can_output(tty))
        return hung_up(tty) ? -EIO : 0;
    if (file->flags & O_NONBLOCK)
        return -EAGAIN;
    int err = wait_event(&tty->waitq, can_output(tty), true, NO_DEADLINE);
    return err == -EINTR ? -ERESTARTSYS : err;
}

/* What was worked on and not taken, though there seemed to be room.  A signal does not cost it,
 * unless there is none for a second. 0 or -EIO. */
static int send_rest(struct tty *tty, const u8 *buf, size_t n)
{
    while (n) {
        if (wait_event(&tty->waitq, can_output(tty), true, NO_DEADLINE) &&
            wait_event(&tty->waitq, can_output(tty), false, time_after_ns(NSEC_PER_SEC)))
            return -EIO;
        ssize_t sent = tty->ops->write(tty, buf, n);
        if (sent < 0)
            return (int)sent;
        if (!sent)
            thread_yield(); /* memory was short, or another was faster */
        buf += sent;
        n -= (size_t)sent;
    }
    return 0;
}

/* Put out what there is room for of @n bytes. How many, or -EIO. */
static ssize_t put_out(struct tty *tty, const u8 *in, size_t n)
{
    u8 out[CHUNK];
    size_t made, used;
    ssize_t sent = 0;

    mutex_lock(&tty->write_lock);
    spin_lock(&tty->lock); /* no echo comes between the look at the room and its use */
    size_t room = tty->line.stopped ? 0 : min(tty->ops->room(tty), sizeof(out));
    used = tty_line_output(&tty->line, in, n, out, room, &made);
    if (made)
        sent = tty->ops->write(tty, out, made);
    spin_unlock(&tty->lock);
    int err = sent < 0 ? (int)sent : send_rest(tty, out + sent, made - (size_t)sent);
    mutex_unlock(&tty->write_lock);
    return err ? err : (ssize_t)used;
}

static ssize_t write_chunk(struct tty *tty, struct iov_iter *from)
{
    u8 in[CHUNK];
    size_t n = iter_read(from, in, min(from->left, sizeof(in)));

    if (!n)
        return -EFAULT;
    ssize_t used = put_out(tty, in, n);
    iter_revert(from, n - (size_t)max(used, (ssize_t)0));
    return used;
}

static ssize_t tty_write(struct file *file, struct iov_iter *from, s64 *pos __attribute__((unused)))
{
    struct tty *tty = file->data;
    ssize_t done = 0;

    int background = tty->line.t.lflag & TTY_TOSTOP ? tty_check_background(tty, SIGTTOU) : 0;
    if (background)
        return background;
    while (from->left) {
        ssize_t n = wait_output(tty, file);
        if (!n)
            n = write_chunk(tty, from);
        if (n < 0)
            return done ? done : n;
        done += n;
    }
    return done;
}

static int tty_file_ioctl(struct file *file, unsigned cmd, uaddr_t arg)
{
    return tty_ioctl(file->data, file, cmd, arg);
}

static void tty_release(struct file *file)
{
    struct tty *tty = file->data;

    if (!__atomic_sub_fetch(&tty->opens, 1, __ATOMIC_ACQ_REL) && tty->ops->release)
        tty->ops->release(tty);
}

const struct file_ops tty_file_ops = {
    .read = tty_read,
    .write = tty_write,
    .ready = tty_ready,
    .ioctl = tty_file_ioctl,
    .release = tty_release,
};

void tty_open_file(struct tty *tty, struct file *file)
{
    __atomic_fetch_add(&tty->opens, 1, __ATOMIC_RELAXED);
    file->ops = &tty_file_ops;
    file->data = tty;
    file->waitq = &tty->waitq;
    if (!(file->flags & O_NOCTTY))
        tty_adopt_session(tty);
}
