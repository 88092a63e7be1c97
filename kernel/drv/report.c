#include "drv/report.h"

#include "abi/errno.h"
#include "abi/poll.h"
#include "core/report.h"
#include "core/time.h"
#include "drv/console_port.h"
#include "sched/wait.h"

/* Whoever reads may have a disk to write to first. */
#define PATIENCE_NS (20 * NSEC_PER_SEC)

static struct mutex lock;         /* one record after the other */
static struct console_port *port; /* [I] once found */
static bool broken; /* [lock] a record was not taken whole: what follows is no record */

static bool port_exists(void)
{
    if (!port)
        port = console_port_find("ingot.report");
    return port != NULL;
}

static int send_bytes(const void *bytes, size_t len)
{
    struct iov_iter from;
    struct iovec iov;

    iter_init_kernel(&from, &iov, (void *)(uintptr_t)bytes, len);
    while (from.left)
        if (wait_event(&port->waitq, port->ops->ready(port) & POLLOUT, false,
                       time_after_ns(PATIENCE_NS)) ||
            port->ops->write(port, &from) < 0)
            return -EPIPE;
    return 0;
}

static int port_send(const struct report_head *head, const void *data)
{
    mutex_lock(&lock);
    int err = broken ? -EPIPE : send_bytes(head, sizeof(*head));
    if (!err && head->len)
        err = send_bytes(data, head->len);
    broken |= err != 0;
    mutex_unlock(&lock);
    return err;
}

void report_port_init(void)
{
    static const struct report_port ops = {.exists = port_exists, .send = port_send};

    mutex_init(&lock);
    report_port = &ops;
}
