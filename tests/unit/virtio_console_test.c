/* The console's driver against a device that is played: the test fills and empties the rings, and
 * decides when the interrupt comes. */
#include "unit/test.h"

#include "abi/errno.h"
#include "arch/features.h"
#include "core/log.h"
#include "core/time.h"
#include "drv/console_port.h"
#include "drv/virtio.h"
#include "fake/machine.h"
#include "mm/heap.h"
#include "mm/page_priv.h"
#include "plat/plat.h"
#include "vfs/file.h"

enum { RX, TX, NR_QUEUES };

static struct virtio_dev device;
static struct virtq *queues[NR_QUEUES];
static u16 device_taken[NR_QUEUES];
static struct console_port *port;
static u32 woken;
static bool quick; /* the device answers while it is being told */

/* ---- the rest of the kernel ---- */

u32 loglevel;
struct arch_features arch_features;

void log_print(enum log_level level, const char *fmt, ...)
{
    (void)level, (void)fmt;
}

u64 time_ns(void)
{
    return 0;
}

void console_port_add(struct console_port *p)
{
    port = p;
}

int virtio_negotiate(struct virtio_dev *dev, u64 wanted)
{
    (void)wanted;
    dev->features = BIT(VIRTIO_F_VERSION_1);
    return 0;
}

int virtio_enable_irq(struct virtio_dev *dev)
{
    (void)dev;
    return 0;
}

void virtio_driver_ok(struct virtio_dev *dev)
{
    (void)dev;
}

void virtio_reset(struct virtio_dev *dev)
{
    (void)dev;
}

void virtio_break(struct virtio_dev *dev, const char *why)
{
    dev->broken = true;
    test_fail(__FILE__, __LINE__, "%s", why);
}

const char *virtio_name(struct virtio_dev *dev)
{
    (void)dev;
    return "played";
}

void waitq_init(struct waitq *q)
{
    list_init(&q->waiters);
}

void waitq_add(struct waitq *q, struct wait_entry *entry)
{
    list_add(&q->waiters, &entry->node);
}

void waitq_remove(struct waitq *q, struct wait_entry *entry)
{
    (void)q;
    list_remove(&entry->node);
}

void wait_entry_init(struct wait_entry *entry)
{
    list_init(&entry->node);
}

void thread_prepare_sleep(bool interruptible)
{
    (void)interruptible;
}

void thread_finish_sleep(void)
{
}

/* Nobody sleeps here. */
int thread_sleep_until(u64 deadline_ns)
{
    (void)deadline_ns;
    return -ETIMEDOUT;
}

void waitq_wake(struct waitq *q, u32 events, unsigned nr_exclusive)
{
    (void)q, (void)nr_exclusive;
    woken |= events;
}

/* ---- the device; its view of the rings as virtio 1.2, 2.7 has it ---- */

struct desc {
    u64 addr;
    u32 len;
    u16 flags, next;
};

static u16 *used_idx(const struct virtq *vq)
{
    return (u16 *)(uintptr_t)vq->used + 1;
}

/* Use the oldest buffer that was made available, with @text as its content. */
static bool device_use(u32 q, const char *text)
{
    struct virtq *vq = queues[q];
    const u16 *avail = phys_to_virt(vq->avail_pa);
    u16 at = device_taken[q];

    if (avail[1] == at)
        return false;
    u16 head = avail[2 + at % vq->size];
    const struct desc *d = (const struct desc *)phys_to_virt(vq->desc_pa) + head;
    size_t len = text ? strlen(text) : 0;
    memcpy(phys_to_virt(d->addr), text ? text : "", len);
    u32 *elem = (u32 *)(uintptr_t)vq->used + 1 + 2 * (*used_idx(vq) % vq->size);
    elem[0] = head;
    elem[1] = (u32)len;
    device_taken[q]++;
    (*used_idx(vq))++;
    return true;
}

/* What virtio.c does at the safe point after an interrupt. */
static void device_interrupts(void)
{
    for (u32 i = 0; i < device.nr_queues; i++) {
        if (virtq_has_used(device.queues[i]))
            device.queues[i]->used_fn(device.queues[i]);
    }
}

static u16 queue_max(struct virtio_dev *dev, u16 index)
{
    (void)dev;
    return index < NR_QUEUES ? 8 : 0;
}

static int queue_enable(struct virtio_dev *dev, struct virtq *vq)
{
    (void)dev;
    queues[vq->index] = vq;
    return 0;
}

static void notify(struct virtio_dev *dev, struct virtq *vq)
{
    (void)dev;
    if (quick)
        device_use(vq->index, "quick");
}

static const struct virtio_transport transport = {
    .queue_max = queue_max,
    .queue_enable = queue_enable,
    .notify = notify,
};

static void start(void)
{
    static const struct mem_region ram = {0, 16 << 20};

    REQUIRE(machine_create(&ram, 1) == 0, "a machine");
    heap_init();
    device = (struct virtio_dev){.transport = &transport, .type = VIRTIO_CONSOLE};
    REQUIRE(virtio_console_driver.probe(&device) == 0, "a driver");
    REQUIRE(port != NULL, "a port");
}

static ssize_t port_take(char *buf, size_t n)
{
    struct iovec iov;
    struct iov_iter to;

    iter_init_kernel(&to, &iov, buf, n);
    return port->ops->read(port, &to);
}

static ssize_t port_put(const char *text)
{
    struct iovec iov;
    struct iov_iter from;

    iter_init_kernel(&from, &iov, (void *)(uintptr_t)text, strlen(text));
    return port->ops->write(port, &from);
}

TEST(console_input_wakes_though_somebody_looked_before_the_interrupt)
{
    char buf[16] = "";

    start();
    port->ops->start_input(port);
    REQUIRE(device_use(RX, "typed"), "a buffer for input");
    EXPECT_EQ(port->ops->ready(port) & POLLIN, POLLIN, "who looks sees it");
    device_interrupts();
    EXPECT_EQ(woken & POLLIN, POLLIN, "who waits is woken");
    EXPECT_EQ(port_take(buf, sizeof(buf)), 5, "all of it");
    EXPECT_EQ(memcmp(buf, "typed", 5), 0, "as typed");
    EXPECT_EQ(port->ops->ready(port) & POLLIN, 0, "and nothing more");
    EXPECT_TRUE(device_use(RX, "again"), "a buffer for the next");
}

TEST(console_input_that_comes_at_once_wakes)
{
    start();
    quick = true;
    port->ops->start_input(port);
    EXPECT_EQ(woken & POLLIN, POLLIN, "without an interrupt");
}

TEST(console_buffer_that_comes_back_empty_is_posted_again)
{
    char buf[16];

    start();
    port->ops->start_input(port);
    REQUIRE(device_use(RX, ""), "a buffer for input");
    device_interrupts();
    EXPECT_EQ(port_take(buf, sizeof(buf)), 0, "nothing");
    EXPECT_TRUE(device_use(RX, "x"), "the device has a buffer once more");
    EXPECT_EQ(port_take(buf, sizeof(buf)), 1, "one byte");
}

TEST(console_output_found_done_wakes_who_waits_for_room)
{
    start();
    while (port_put("line\n") > 0)
        ;
    EXPECT_EQ(port->ops->ready(port) & POLLOUT, 0, "full");
    woken = 0;
    REQUIRE(device_use(TX, NULL), "output for the device");
    EXPECT_EQ(port_put("line\n"), 5, "another writer takes the room");
    EXPECT_EQ(woken & POLLOUT, POLLOUT, "and tells the first");
}
