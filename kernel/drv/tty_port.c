/* Terminals on console ports.  The port's wake-up comes in a context that may do little, so input
 * is fetched by a timer that is due at once: it runs at the next safe point with no lock held. */
#include "abi/errno.h"
#include "core/cmdline.h"
#include "core/time.h"
#include "drv/console_port.h"
#include "drv/tty.h"
#include "mm/heap.h"

/* Fields: [I]. */
struct port_tty {
    struct tty tty;
    struct console_port *port;
    struct wait_entry wait;
    struct timer fetch;
    struct list_head node; /* in port_ttys, under port_ttys_lock */
};

static struct list_head port_ttys = LIST_INIT(port_ttys);
static struct mutex port_ttys_lock = {.waiters = LIST_INIT(port_ttys_lock.waiters)};

static ssize_t port_write(struct tty *tty, const u8 *buf, size_t n)
{
    struct console_port *port = tty->data;
    struct iovec iov;
    struct iov_iter from;

    iter_init_kernel(&from, &iov, (void *)(uintptr_t)buf, n);
    ssize_t taken = port->ops->write(port, &from);
    return taken == -EPIPE ? -EIO : taken;
}

/* Ports take some hundred bytes as a whole; those that are streams of a host nearly always do. */
static size_t port_room(struct tty *tty)
{
    struct console_port *port = tty->data;

    return port->ops->ready(port) & (POLLOUT | POLLHUP) ? 512 : 0;
}

static void port_drain(struct tty *tty)
{
    struct console_port *port = tty->data;

    port->ops->drain(port);
}

static void port_want_input(struct tty *tty)
{
    struct port_tty *pt = container_of(tty, struct port_tty, tty);

    if (pt->port->ops->ready(pt->port) & POLLIN)
        timer_set(&pt->fetch, 0);
}

static void fetch_input(struct timer *timer)
{
    struct port_tty *pt = container_of(timer, struct port_tty, fetch);
    u8 buf[256];
    struct iovec iov;
    struct iov_iter to;
    ssize_t n;

    do {
        iter_init_kernel(&to, &iov, buf, min(sizeof(buf), tty_input_room(&pt->tty)));
        n = to.left ? pt->port->ops->read(pt->port, &to) : 0;
        if (n > 0)
            tty_input(&pt->tty, buf, (size_t)n);
    } while (n > 0);
    if (!n && (pt->port->ops->ready(pt->port) & (POLLIN | POLLHUP)) == POLLHUP && !pt->tty.hung_up)
        tty_hang_up(&pt->tty);
}

/* The port's queue is locked here. */
static bool port_wake(struct wait_entry *entry, u32 events)
{
    struct port_tty *pt = container_of(entry, struct port_tty, wait);

    if (events & (POLLIN | POLLHUP))
        timer_set(&pt->fetch, 0);
    if (events & POLLOUT)
        tty_output_room(&pt->tty);
    return false;
}

static const struct tty_ops port_tty_ops = {
    .write = port_write,
    .room = port_room,
    .drain = port_drain,
    .want_input = port_want_input,
};

static struct port_tty *port_tty_create(struct console_port *port)
{
    struct port_tty *pt = kzalloc(sizeof(*pt));

    if (!pt)
        return NULL;
    tty_init(&pt->tty, &port_tty_ops, port);
    pt->tty.size.cols = (u16)cmdline_get_u64("ingot.columns", 0);
    pt->tty.size.rows = (u16)cmdline_get_u64("ingot.rows", 0);
    pt->port = port;
    timer_init(&pt->fetch, fetch_input);
    pt->wait.wake = port_wake;
    list_add_tail(&port_ttys, &pt->node);
    waitq_add(&port->waitq, &pt->wait);
    port->ops->start_input(port);
    return pt;
}

struct tty *tty_of_port(struct console_port *port)
{
    struct port_tty *pt, *found = NULL;

    mutex_lock(&port_ttys_lock);
    list_for_each(pt, &port_ttys, node) {
        if (pt->port == port)
            found = pt;
    }
    if (!found)
        found = port_tty_create(port);
    mutex_unlock(&port_ttys_lock);
    return found ? &found->tty : NULL;
}
