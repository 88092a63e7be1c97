/* Virtio console: virtio 1.2, 5.3.  Each port becomes a console_port; with MULTIPORT they carry the
 * names that the host gave them ("ingot.stdout"), without it there is one, "hvc0".
 *
 * Output is copied into a few pages a port and handed over at once; input is asked for when
 * somebody wants it, so that a program which never reads costs nothing.  The control queue is only
 * spoken to at start; later it tells that the host has closed a port. */
#include "abi/errno.h"
#include "core/log.h"
#include "drv/console_port.h"
#include "drv/virtio.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/heap.h"
#include "mm/page.h"
#include "vfs/file.h"

enum { F_SIZE = 0, F_MULTIPORT = 1 };
enum { MAX_PORTS = 8, CONTROL_BUFFERS = 16, CONTROL_BYTES = 64, TX_PAGES = 4 };
enum { QUEUE_CONTROL_RX = 2, QUEUE_CONTROL_TX = 3 };
enum { CONFIG_MAX_PORTS = 4 }; /* offset of max_nr_ports */

enum control_event {
    DEVICE_READY = 0,
    DEVICE_ADD = 1,
    PORT_READY = 3,
    CONSOLE_PORT = 4,
    PORT_OPEN = 6,
    PORT_NAME = 7,
};

struct control {
    u32 id;
    u16 event;
    u16 value;
};
static_assert(sizeof(struct control) == 8, "virtio 1.2, 5.3.6.2");

/* Fields: [I], [L] under .lock. */
struct vport {
    struct console_port port;
    struct virtq rx, tx;            /* [L] */
    struct spinlock lock;           /* a leaf but for the port's wait queue */
    bool added;                     /* [I] a console_port now */
    bool host_open;                 /* [L] */
    bool rx_posted;                 /* [L] the device has rx_page */
    bool rx_busy;                   /* [L] a reader copies out of rx_page */
    struct page *rx_page;           /* [L] owns; NULL until input is asked for */
    u32 rx_pos, rx_len;             /* [L] unread bytes in rx_page */
    struct page *tx_page[TX_PAGES]; /* [L] owns; NULL until first used */
    u32 tx_free;                    /* [L] one bit a page */
    bool tx_wanted;                 /* [L] somebody was told that there is no room, or waits */
};

struct vconsole {
    struct virtio_dev *dev;         /* [I] */
    struct virtq control_rx;        /* [C] start, then safe points of the boot CPU */
    struct virtq control_tx;        /* [I] used at start only */
    struct control *inbox;          /* [I] CONTROL_BUFFERS of CONTROL_BYTES; owns */
    struct control *outbox;         /* [I] one message; owns */
    struct vport *ports[MAX_PORTS]; /* [I] after start */
};

static struct vport *to_vport(struct console_port *port)
{
    return container_of(port, struct vport, port);
}

/* Who finds a page done takes it out of the ring, and the interrupt then finds nothing: so the
 * others that wait for room are woken here. */
static void reclaim_tx(struct vport *vp)
{
    bool found = false;
    void *token;

    while ((token = virtq_take(&vp->tx, NULL))) {
        vp->tx_free |= 1u << ((u32)(uintptr_t)token - 1);
        found = true;
    }
    if (found && vp->tx_wanted) {
        vp->tx_wanted = false;
        waitq_wake_all(&vp->port.waitq, POLLOUT);
    }
}

/* Ask for an interrupt at the next page that is done. */
static void want_tx(struct vport *vp)
{
    vp->tx_wanted = true;
    if (virtq_enable_notify(&vp->tx))
        reclaim_tx(vp);
}

/* A page is free, or an interrupt will tell when one is. */
static bool has_tx_page(struct vport *vp)
{
    reclaim_tx(vp);
    if (!vp->tx_free)
        want_tx(vp);
    return vp->tx_free != 0;
}

/* A page that was not used: somebody else may wait for one. vp locked. */
static void give_back(struct vport *vp, int slot)
{
    vp->tx_free |= 1u << slot;
    if (vp->tx_wanted) {
        vp->tx_wanted = false;
        waitq_wake_all(&vp->port.waitq, POLLOUT);
    }
}

/* Reserve a page to fill, or -1. Without the lock held: filling it may fault and sleep. */
static int take_tx_page(struct vport *vp)
{
    int slot = -1;

    spin_lock(&vp->lock);
    if (vp->host_open && has_tx_page(vp)) {
        slot = __builtin_ctz(vp->tx_free);
        vp->tx_free &= ~(1u << slot);
    }
    spin_unlock(&vp->lock);
    if (slot < 0 || vp->tx_page[slot] || (vp->tx_page[slot] = page_alloc(0, 0)))
        return slot;
    spin_lock(&vp->lock);
    give_back(vp, slot);
    spin_unlock(&vp->lock);
    return -1;
}

/* Hand a filled page to the device, or an unfilled one back. */
static void submit_tx_page(struct vport *vp, int slot, size_t n)
{
    struct virtq_buf buf = {.pa = page_to_phys(vp->tx_page[slot]), .len = (u32)n};

    spin_lock(&vp->lock);
    if (n == 0 || virtq_add(&vp->tx, &buf, 1, 0, (void *)(uintptr_t)(slot + 1)))
        give_back(vp, slot);
    else
        virtq_kick(&vp->tx);
    spin_unlock(&vp->lock);
}

static ssize_t port_write(struct console_port *port, struct iov_iter *from)
{
    struct vport *vp = to_vport(port);
    ssize_t total = 0;
    size_t n;

    do {
        int slot = take_tx_page(vp);
        if (slot < 0)
            break;
        n = iter_read(from, page_to_virt(vp->tx_page[slot]), min(from->left, PAGE_SIZE));
        submit_tx_page(vp, slot, n);
        total += (ssize_t)n;
    } while (n > 0 && from->left > 0);
    bool closed = !vp->host_open || vp->tx.dev->broken;
    return total == 0 && closed ? -EPIPE : total;
}

static void post_rx(struct vport *vp)
{
    struct virtq_buf buf = {.pa = page_to_phys(vp->rx_page), .len = PAGE_SIZE};

    if (virtq_add(&vp->rx, &buf, 0, 1, vp))
        return; /* broken */
    vp->rx_posted = true;
    virtq_kick(&vp->rx);
    if (virtq_enable_notify(&vp->rx)) /* filled before it could know that we listen */
        waitq_wake_all(&vp->port.waitq, POLLIN);
}

/* Only a look: what is taken out of the ring here would be missed by the interrupt, which wakes all
 * that wait for input. */
static bool has_rx(const struct vport *vp)
{
    return vp->rx_pos < vp->rx_len || (vp->rx_posted && !vp->rx_busy && virtq_has_used(&vp->rx));
}

/* Unread input is in rx_page after this, if there is any. */
static void take_rx(struct vport *vp)
{
    u32 len;

    if (!vp->rx_posted || vp->rx_busy || !virtq_take(&vp->rx, &len))
        return;
    vp->rx_posted = false;
    vp->rx_pos = 0;
    vp->rx_len = len;
    if (!len)
        post_rx(vp); /* it came back empty */
}

static ssize_t port_read(struct console_port *port, struct iov_iter *to)
{
    struct vport *vp = to_vport(port);

    spin_lock(&vp->lock);
    take_rx(vp);
    bool mine = !vp->rx_busy && vp->rx_pos < vp->rx_len;
    vp->rx_busy |= mine;
    spin_unlock(&vp->lock);
    if (!mine)
        return 0;

    /* Without the lock: the copy may fault and sleep. */
    char *from = (char *)page_to_virt(vp->rx_page) + vp->rx_pos;
    size_t n = iter_write(to, from, vp->rx_len - vp->rx_pos);

    spin_lock(&vp->lock);
    vp->rx_busy = false;
    vp->rx_pos += (u32)n;
    bool more = vp->rx_pos < vp->rx_len;
    if (!more)
        post_rx(vp);
    spin_unlock(&vp->lock);
    if (more)
        waitq_wake_all(&port->waitq, POLLIN); /* for a reader that was turned away meanwhile */
    return (ssize_t)n;
}

static void port_start_input(struct console_port *port)
{
    struct vport *vp = to_vport(port);

    spin_lock(&vp->lock);
    if (!vp->rx_page && (vp->rx_page = page_alloc(0, 0)))
        post_rx(vp);
    spin_unlock(&vp->lock);
}

static u32 port_ready(struct console_port *port)
{
    struct vport *vp = to_vport(port);
    u32 ready = 0;

    spin_lock(&vp->lock);
    if (has_rx(vp))
        ready |= POLLIN;
    if (!vp->host_open || vp->tx.dev->broken)
        ready |= POLLHUP;
    else if (has_tx_page(vp))
        ready |= POLLOUT;
    spin_unlock(&vp->lock);
    return ready;
}

static bool tx_idle(struct vport *vp)
{
    spin_lock(&vp->lock);
    reclaim_tx(vp);
    if (vp->tx_free != BIT(TX_PAGES) - 1)
        want_tx(vp);
    bool idle = vp->tx_free == BIT(TX_PAGES) - 1 || !vp->host_open || vp->tx.dev->broken;
    spin_unlock(&vp->lock);
    return idle;
}

static void port_drain(struct console_port *port)
{
    struct vport *vp = to_vport(port);

    wait_event(&port->waitq, tx_idle(vp), false, NO_DEADLINE);
}

static const struct console_port_ops port_ops = {
    .write = port_write,
    .read = port_read,
    .ready = port_ready,
    .start_input = port_start_input,
    .drain = port_drain,
};

static void rx_used(struct virtq *vq)
{
    struct vport *vp = vq->data;

    waitq_wake_all(&vp->port.waitq, POLLIN);
}

static void tx_used(struct virtq *vq)
{
    struct vport *vp = vq->data;

    waitq_wake_all(&vp->port.waitq, POLLOUT);
}

/* 5.3.2: port 0 has queues 0 and 1, the control queues are 2 and 3, port 1 has 4 and 5, ... */
static u16 rx_queue_of(u32 id)
{
    return (u16)(id == 0 ? 0 : 2 * (id + 1));
}

static int port_create(struct vconsole *con, u32 id)
{
    struct vport *vp = kzalloc(sizeof(*vp));
    if (!vp)
        return -ENOMEM;

    int err = virtq_init(&vp->rx, con->dev, rx_queue_of(id), 4, rx_used);
    if (!err)
        err = virtq_init(&vp->tx, con->dev, (u16)(rx_queue_of(id) + 1), 8, tx_used);
    if (err) {
        kfree(vp); /* the caller resets the device; a ring that it knows is never freed */
        return err;
    }
    vp->rx.data = vp->tx.data = vp;
    vp->port.ops = &port_ops;
    vp->tx_free = BIT(TX_PAGES) - 1;
    waitq_init(&vp->port.waitq);
    con->ports[id] = vp;
    return 0;
}

static void set_host_open(struct vport *vp, bool open)
{
    spin_lock(&vp->lock);
    vp->host_open = open;
    spin_unlock(&vp->lock);
    if (vp->added)
        waitq_wake_all(&vp->port.waitq, open ? POLLOUT : POLLHUP | POLLIN);
}

static void post_control(struct vconsole *con, void *buffer)
{
    struct virtq_buf buf = {.pa = virt_to_phys(buffer), .len = CONTROL_BYTES};

    if (virtq_add(&con->control_rx, &buf, 0, 1, buffer))
        log_debug("%s: the control queue is gone", virtio_name(con->dev));
}

static void control_message(struct vconsole *con, const struct control *msg, u32 len)
{
    struct vport *vp = msg->id < MAX_PORTS ? con->ports[msg->id] : NULL;
    const char *name = (const char *)(msg + 1);

    if (!vp)
        return;
    switch (msg->event) {
    case DEVICE_ADD:
        vp->added = true;
        break;
    case PORT_OPEN:
        set_host_open(vp, msg->value);
        break;
    case CONSOLE_PORT:
        if (!vp->port.name[0])
            format(vp->port.name, sizeof(vp->port.name), "hvc%u", msg->id);
        break;
    case PORT_NAME:
        len = min(len - (u32)sizeof(*msg), (u32)sizeof(vp->port.name) - 1);
        memcpy(vp->port.name, name, len);
        vp->port.name[len] = '\0';
        break;
    default:
        break; /* resize, remove: nothing to do */
    }
}

static void control_read(struct vconsole *con)
{
    void *buffer;
    u32 len;

    while ((buffer = virtq_take(&con->control_rx, &len))) {
        struct control msg[CONTROL_BYTES / sizeof(struct control)];
        memcpy(msg, buffer, sizeof(msg)); /* the device may change it behind our back */
        if (len >= sizeof(msg[0]))
            control_message(con, msg, min(len, (u32)sizeof(msg)));
        post_control(con, buffer);
    }
    virtq_kick(&con->control_rx);
}

static void control_used(struct virtq *vq)
{
    do
        control_read(vq->data);
    while (virtq_enable_notify(vq));
}

/* The device answers a message before it gives the buffer back, so all answers are in after this,
 * and no interrupt is asked for yet. */
static bool control_send(struct vconsole *con, u32 id, u16 event)
{
    struct virtq_buf buf = {.pa = virt_to_phys(con->outbox), .len = sizeof(*con->outbox)};

    *con->outbox = (struct control){.id = id, .event = event, .value = 1};
    if (virtq_add(&con->control_tx, &buf, 1, 0, con))
        return false;
    virtq_kick(&con->control_tx);
    if (!virtq_poll(&con->control_tx) || !virtq_take(&con->control_tx, NULL))
        return false;
    control_read(con);
    return true;
}

static int control_init(struct vconsole *con)
{
    con->inbox = kzalloc(CONTROL_BUFFERS * CONTROL_BYTES);
    con->outbox = kzalloc(sizeof(*con->outbox));
    if (!con->inbox || !con->outbox)
        return -ENOMEM;
    int err =
        virtq_init(&con->control_rx, con->dev, QUEUE_CONTROL_RX, CONTROL_BUFFERS, control_used);
    if (err)
        return err;
    con->control_rx.data = con;
    return virtq_init(&con->control_tx, con->dev, QUEUE_CONTROL_TX, 4, NULL);
}

static void publish_port(struct vconsole *con, u32 id)
{
    struct vport *vp = con->ports[id];

    if (!control_send(con, id, PORT_READY) || !control_send(con, id, PORT_OPEN))
        return;
    if (!vp->port.name[0])
        format(vp->port.name, sizeof(vp->port.name), "vport%u", id);
    console_port_add(&vp->port);
}

static void start_multiport(struct vconsole *con)
{
    char *inbox = (char *)con->inbox;

    for (u32 i = 0; i < CONTROL_BUFFERS; i++)
        post_control(con, inbox + (size_t)i * CONTROL_BYTES);
    virtq_kick(&con->control_rx);
    if (!control_send(con, 0, DEVICE_READY)) {
        log_err("%s: the device does not answer", virtio_name(con->dev));
        return;
    }
    for (u32 id = 0; id < MAX_PORTS; id++) {
        if (con->ports[id] && con->ports[id]->added)
            publish_port(con, id);
    }
    control_used(&con->control_rx);
}

static int init_queues(struct vconsole *con)
{
    u32 nr_ports = 1;

    if (virtio_has(con->dev, F_MULTIPORT)) {
        con->dev->transport->read_config(con->dev, CONFIG_MAX_PORTS, &nr_ports, sizeof(nr_ports));
        nr_ports = min(nr_ports, (u32)MAX_PORTS);
        int err = control_init(con);
        if (err)
            return err;
    }
    for (u32 id = 0; id < nr_ports; id++) {
        int err = port_create(con, id);
        if (err)
            return err;
    }
    return nr_ports ? 0 : -ENODEV;
}

static int console_probe(struct virtio_dev *dev)
{
    struct vconsole *con = kzalloc(sizeof(*con));
    if (!con)
        return -ENOMEM;

    con->dev = dev;
    int err = virtio_negotiate(dev, BIT(F_MULTIPORT));
    if (!err)
        err = init_queues(con);
    if (!err)
        err = virtio_enable_irq(dev);
    if (err) {
        virtio_reset(dev); /* rings stay allocated: this machine has no console, and says so */
        return err;
    }
    virtio_driver_ok(dev);

    if (virtio_has(dev, F_MULTIPORT)) {
        start_multiport(con);
        return 0;
    }
    struct vport *vp = con->ports[0];
    format(vp->port.name, sizeof(vp->port.name), "hvc0");
    vp->host_open = vp->added = true;
    console_port_add(&vp->port);
    return 0;
}

const struct virtio_driver virtio_console_driver = {
    .type = VIRTIO_CONSOLE,
    .name = "virtio-console",
    .probe = console_probe,
};
