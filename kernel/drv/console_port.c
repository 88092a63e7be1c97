/* The list of byte channels to the outside. */
#include "drv/console_port.h"

#include "core/panic.h"
#include "lib/string.h"
#include "sched/thread.h"

static struct list_head ports = LIST_INIT(ports); /* [I] after start */

/* What programs have written reaches the host, however late it reads.  Nobody writes on meanwhile.
 */
static void drain_all(void)
{
    struct console_port *port;

    sched_stop_programs();
    list_for_each(port, &ports, node)
        port->ops->drain(port);
}

void console_port_add(struct console_port *port)
{
    if (list_empty(&ports))
        vm_end_hook(drain_all);
    waitq_init(&port->waitq);
    list_add_tail(&ports, &port->node);
}

struct console_port *console_port_find(const char *name)
{
    struct console_port *port;

    list_for_each(port, &ports, node) {
        if (!strcmp(port->name, name))
            return port;
    }
    return NULL;
}
