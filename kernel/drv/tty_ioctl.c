/* ioctls of terminals: ioctl_tty(2). */
#include "abi/errno.h"
#include "drv/tty.h"
#include "sched/thread.h"

static void get_termios(struct tty *tty, struct termios2_abi *out)
{
    spin_lock(&tty->lock);
    out->base = tty->line.t;
    spin_unlock(&tty->lock);
    out->ispeed = out->ospeed = 38400;
}

/* @size: of the older or the newer structure. */
static int copy_termios_out(struct tty *tty, uaddr_t arg, size_t size)
{
    struct termios2_abi t;

    get_termios(tty, &t);
    return copy_to_user(arg, &t, size);
}

enum when { NOW, DRAIN, DRAIN_AND_FLUSH };

static int set_termios(struct tty *tty, uaddr_t arg, size_t size, enum when when)
{
    struct termios2_abi t;

    if (copy_from_user(&t, arg, size))
        return -EFAULT;
    if (when != NOW && tty->ops->drain)
        tty->ops->drain(tty);
    spin_lock(&tty->lock);
    if (when == DRAIN_AND_FLUSH)
        tty_line_flush(&tty->line);
    tty_line_set(&tty->line, &t.base);
    spin_unlock(&tty->lock);
    waitq_wake_all(&tty->waitq, POLLIN | POLLOUT);
    return 0;
}

static int set_size(struct tty *tty, uaddr_t arg)
{
    struct winsize_abi size;

    if (copy_from_user(&size, arg, sizeof(size)))
        return -EFAULT;
    tty_set_size(tty, &size, false);
    return 0;
}

void tty_set_size(struct tty *tty, const struct winsize_abi *size, bool tell)
{
    spin_lock(&tty->lock);
    tell |= __builtin_memcmp(size, &tty->size, sizeof(*size)) != 0;
    tty->size = *size;
    if (tell)
        tty->line.signal(&tty->line, SIGWINCH);
    spin_unlock(&tty->lock);
}

static int flush_queue(struct tty *tty, u64 which)
{
    enum { INPUT, OUTPUT, BOTH };

    if (which > BOTH)
        return -EINVAL;
    if (which != OUTPUT) {
        spin_lock(&tty->lock);
        tty_line_flush(&tty->line);
        spin_unlock(&tty->lock);
    }
    return 0;
}

static int flow(struct tty *tty, u64 action)
{
    enum { STOP_OUTPUT, START_OUTPUT, STOP_INPUT, START_INPUT };

    if (action > START_INPUT)
        return -EINVAL;
    if (action <= START_OUTPUT) {
        spin_lock(&tty->lock);
        tty->line.stopped = action == STOP_OUTPUT;
        spin_unlock(&tty->lock);
        tty_output_room(tty);
    }
    return 0;
}

static int drain(struct tty *tty)
{
    if (tty->ops->drain)
        tty->ops->drain(tty);
    return 0;
}

static int put_int(uaddr_t arg, int value)
{
    return copy_to_user(arg, &value, sizeof(value));
}

/* Commands that a background process may not use. */
static bool changes_terminal(unsigned cmd)
{
    return (cmd >= TCSETS && cmd <= TCSETSF) || (cmd >= TCSETS2 && cmd <= TCSETSF2) ||
           cmd == TCFLSH || cmd == TCXONC || cmd == TCSBRK || cmd == TCSBRKP || cmd == TIOCSPGRP;
}

int tty_ioctl(struct tty *tty, struct file *file __attribute__((unused)), unsigned cmd, uaddr_t arg)
{
    int background = changes_terminal(cmd) ? tty_check_background(tty, SIGTTOU) : 0;

    if (background)
        return background;
    switch (cmd) {
    case TCGETS:
        return copy_termios_out(tty, arg, sizeof(struct termios_abi));
    case TCGETS2:
        return copy_termios_out(tty, arg, sizeof(struct termios2_abi));
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return set_termios(tty, arg, sizeof(struct termios_abi), cmd - TCSETS);
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return set_termios(tty, arg, sizeof(struct termios2_abi), cmd - TCSETS2);
    case TIOCGWINSZ:
        return copy_to_user(arg, &tty->size, sizeof(tty->size));
    case TIOCSWINSZ:
        return set_size(tty, arg);
    case TCFLSH:
        return flush_queue(tty, arg);
    case TCXONC:
        return flow(tty, arg);
    case TCSBRK:
    case TCSBRKP:
        return drain(tty);
    case FIONREAD:
        return put_int(arg, (int)tty_line_bytes(&tty->line));
    case TIOCOUTQ:
        return put_int(arg, 0);
    case TIOCEXCL:
    case TIOCNXCL:
        return 0;
    default:
        return tty_session_ioctl(tty, cmd, arg);
    }
}
