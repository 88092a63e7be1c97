#include "device/device.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_DRIVER_OK = 4, STATUS_FAILED = 128 };
enum { SPIN_LEAST_NS = 5000, SPIN_MOST_NS = 40000, NUDGE_NS = 1000000 };
enum { GUEST_SIG_LOOK = 14 /* HOSTED_SIG_TIMER: a look at its clock does no harm */ };

u64 device_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

void device_init(struct device *dev, struct guest *guest, u32 index, const char *name, int doorbell)
{
    struct window_device *page = window_device(guest->window, index);

    *dev = (struct device){.guest = guest, .name = name, .index = index, .doorbell = doorbell};
    dev->page = page;
    dev->offered = page->offered;
    dev->nr_queues = min(page->nr_queues, (u32)WINDOW_MAX_QUEUES);
}

/* ---- interrupts ---- */

/* The pending word of a CPU; NULL where the guest names none. */
static u32 *pending_word(const struct guest *guest, u32 cpu)
{
    u64 at = __atomic_load_n(&guest->window->cpu[cpu].pending, __ATOMIC_RELAXED);

    if (!at || at % sizeof(u32) || at > guest->memory.len - sizeof(u32))
        return NULL;
    return (u32 *)(void *)(guest->memory.at + at);
}

/* A CPU that waits gets a byte; one that runs sees the bit by itself, at the latest with a signal.
 */
static void interrupt(struct device *dev, u32 cpu, u32 line)
{
    struct guest *guest = dev->guest;

    if (cpu >= WINDOW_MAX_CPUS || line >= 32)
        return;
    u32 *word = pending_word(guest, cpu);
    if (!word)
        return;
    __atomic_fetch_or(word, 1u << line, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&guest->window->cpu[cpu].waiting, __ATOMIC_SEQ_CST))
        (void)!write(guest->irq_fd, "", 1); /* a full pipe has been heard */
    else if (!dev->nudge_at_ns)
        dev->nudge_at_ns = device_now_ns() + NUDGE_NS;
}

/* The guest computes and has not looked for long. */
static void nudge(struct device *dev)
{
    const u32 *word = pending_word(dev->guest, 0);

    dev->nudge_at_ns = 0;
    if (dev->guest->pidfd >= 0 && word && __atomic_load_n(word, __ATOMIC_RELAXED))
        (void)syscall(SYS_pidfd_send_signal, dev->guest->pidfd, GUEST_SIG_LOOK, NULL, 0);
}

void device_config_changed(struct device *dev)
{
    __atomic_store_n(&dev->page->config_changed, 1, __ATOMIC_SEQ_CST);
    interrupt(dev, dev->page->config_cpu, dev->page->config_line);
}

void device_break(struct device *dev, const char *why)
{
    if (dev->broken)
        return;
    dev->broken = true;
    dev->running = false;
    fprintf(dev->guest->words, "ingot-device: %s: shut off, the guest's driver made %s\n",
            dev->name, why);
    __atomic_store_n(&dev->page->trouble, WINDOW_STATUS_NEEDS_RESET, __ATOMIC_RELEASE);
    device_config_changed(dev);
}

/* ---- start and reset ---- */

static const char *start_queue(struct device *dev, u32 i)
{
    struct window_queue queue = dev->page->queue[i]; /* once */

    if (!queue.enabled)
        return NULL;
    if (queue.size > WINDOW_QUEUE_MAX)
        return "a queue that is larger than was offered";
    const char *wrong = ring_start(&dev->ring[i], &dev->guest->memory, queue.desc, queue.avail,
                                   queue.used, queue.size, device_has(dev, DEVICE_F_EVENT_IDX));
    if (!wrong)
        ring_disable_doorbell(&dev->ring[i]);
    return wrong;
}

static void start(struct device *dev)
{
    u64 features = __atomic_load_n(&dev->page->features, __ATOMIC_RELAXED);
    const char *wrong = NULL;

    if (features & ~dev->offered || !(features >> DEVICE_F_VERSION_1 & 1))
        wrong = "a choice of features that were not offered";
    dev->features = features;
    memset(dev->ring, 0, sizeof(dev->ring));
    for (u32 i = 0; i < dev->nr_queues && !wrong; i++)
        wrong = start_queue(dev, i);
    dev->running = !wrong;
    if (wrong)
        device_break(dev, wrong);
}

bool device_update(struct device *dev)
{
    u32 request = __atomic_load_n(&dev->page->request, __ATOMIC_ACQUIRE);

    if (request == dev->seen)
        return dev->running;
    u32 status = __atomic_load_n(&dev->page->status, __ATOMIC_ACQUIRE);
    dev->seen = request;
    if (!status || status & STATUS_FAILED)
        dev->running = false;
    else if (status & STATUS_DRIVER_OK && !dev->running && !dev->broken)
        start(dev);
    __atomic_store_n(&dev->page->answer, request, __ATOMIC_RELEASE);
    return dev->running;
}

/* ---- queues ---- */

bool device_take(struct device *dev, u32 i, struct ring_chain *chain)
{
    const char *why = NULL;

    if (!dev->running || !dev->ring[i].size)
        return false;
    int got = ring_take(&dev->ring[i], chain, &why);
    if (got < 0)
        device_break(dev, why);
    return got > 0;
}

void device_publish(struct device *dev, u32 i)
{
    if (dev->running && ring_publish(&dev->ring[i]))
        interrupt(dev, dev->page->queue[i].cpu, dev->page->queue[i].line);
}

/* ---- waiting ---- */

static bool has_work(const struct device *dev, u32 ignored)
{
    if (__atomic_load_n(&dev->page->request, __ATOMIC_ACQUIRE) != dev->seen)
        return true;
    for (u32 i = 0; dev->running && i < dev->nr_queues; i++)
        if (!(ignored & 1u << i) && dev->ring[i].size && ring_has_work(&dev->ring[i]))
            return true;
    return false;
}

static bool enable_doorbells(struct device *dev, u32 ignored)
{
    bool work = false;

    for (u32 i = 0; dev->running && i < dev->nr_queues; i++)
        if (!(ignored & 1u << i) && dev->ring[i].size)
            work |= ring_enable_doorbell(&dev->ring[i]);
    return work;
}

static void disable_doorbells(struct device *dev)
{
    for (u32 i = 0; dev->running && i < dev->nr_queues; i++)
        if (dev->ring[i].size)
            ring_disable_doorbell(&dev->ring[i]);
}

/* Who shares this CPU with us may have it between two looks. */
static bool spin(struct device *dev, struct pollfd *fds, u32 nr, u32 ignored)
{
    u64 end = device_now_ns() + dev->spin_ns;

    do {
        if (has_work(dev, ignored) || poll(fds, nr, 0) > 0)
            return true;
        sched_yield();
    } while (device_now_ns() < end);
    return false;
}

static void learn(struct device *dev, u64 slept_ns)
{
    if (slept_ns <= SPIN_MOST_NS)
        dev->spin_ns = dev->spin_ns ? min(2 * dev->spin_ns, (u64)SPIN_MOST_NS) : SPIN_LEAST_NS;
    else
        dev->spin_ns = dev->spin_ns / 2 < SPIN_LEAST_NS ? 0 : dev->spin_ns / 2;
}

static void drain(int fd)
{
    char bytes[256];

    (void)!read(fd, bytes, sizeof(bytes)); /* what is more is read the next time */
}

static void sleep_until(struct device *dev, struct pollfd *fds, u32 nr, int timeout_ms)
{
    u64 start_ns = device_now_ns();

    if (dev->nudge_at_ns && start_ns >= dev->nudge_at_ns)
        nudge(dev);
    if (dev->nudge_at_ns && timeout_ms != 0)
        timeout_ms = 1;
    int ready = poll(fds, nr, timeout_ms);
    if (ready > 0)
        learn(dev, device_now_ns() - start_ns);
    if (!ready && dev->nudge_at_ns)
        nudge(dev);
}

void device_wait(struct device *dev, struct pollfd *fds, u32 nr_fds, int timeout_ms, u32 ignored)
{
    u32 nr = nr_fds + 1;

    fds[0] = (struct pollfd){.fd = dev->doorbell, .events = POLLIN};
    if (!dev->spin_ns || !timeout_ms || !spin(dev, fds, nr, ignored)) {
        bool work = enable_doorbells(dev, ignored) || has_work(dev, ignored);
        sleep_until(dev, fds, nr, work ? 0 : timeout_ms);
        disable_doorbells(dev);
    }
    if (fds[0].revents & POLLIN)
        drain(dev->doorbell);
    else if (fds[0].revents)
        dev->gone = true;
}
