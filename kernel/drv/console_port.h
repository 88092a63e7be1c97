/* A byte channel to the outside: the serial line, or a virtio-console port.  Drivers add ports; the
 * files that a program sees on them (pipe-like stdio, terminals) are drv/console.c and drv/tty.c.
 */
#pragma once

#include "lib/list.h"
#include "mm/uaccess.h"
#include "sched/wait.h"

struct console_port;

/** All in thread context; none sleeps but drain. */
struct console_port_ops {
    /** Accept what fits now: bytes taken, 0 for no room, -EPIPE where nobody listens any more. */
    ssize_t (*write)(struct console_port *port, struct iov_iter *from);
    /** Give what has arrived: bytes, 0 for none (yet, or for ever: see hung_up). */
    ssize_t (*read)(struct console_port *port, struct iov_iter *to);
    /** POLLIN: bytes wait. POLLOUT: there is room. POLLHUP: the other side is gone. */
    u32 (*ready)(struct console_port *port);
    /** Begin to take input; before, none is asked for. Idempotent. */
    void (*start_input)(struct console_port *port);
    /** Wait until everything accepted is out, or nobody listens. May sleep. */
    void (*drain)(struct console_port *port);
};

/* Fields: [I] once added. */
struct console_port {
    char name[32];                      /* [I] "ttyS0", "ingot.stdin" */
    const struct console_port_ops *ops; /* [I] */
    struct waitq waitq;                 /* woken with the ready() bits that may have come up */
    struct list_head node;              /* [I] */
};

/** Make a port known; the driver owns it for ever, and it is drained before the VM ends. At start
 * only. */
void console_port_add(struct console_port *port);
/** The port of that name, or NULL. */
struct console_port *console_port_find(const char *name);
