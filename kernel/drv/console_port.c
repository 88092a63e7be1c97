/* The list of byte channels to the outside. */
#include "drv/console_port.h"

#include "lib/string.h"

static struct list_head ports = LIST_INIT(ports); /* [I] after start */

void console_port_add(struct console_port *port)
{
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

void console_ports_drain(void)
{
    struct console_port *port;

    list_for_each(port, &ports, node)
        port->ops->drain(port);
}
