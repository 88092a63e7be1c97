/* The device process, as this side reaches it: doorbells out, interrupts in (abi/window.h).
 * While a CPU runs, the device process sets bits of its pending word and that is all; a CPU that
 * is about to sleep says so first, and then gets a byte as well.  Before it sleeps it looks for a
 * while, as long as that has paid lately: to be woken costs more than most answers take. */
#include "abi/errno.h"
#include "abi/window.h"
#include "arch/atomic.h"
#include "core/irq.h"
#include "core/time.h"
#include "plat/hosted/hosted.h"

static const u64 spin_least_ns = 5 * NSEC_PER_USEC, spin_most_ns = 40 * NSEC_PER_USEC;

static struct plat_window hosted_window;
static u64 spin_ns; /* [C] how long to look before the next sleep */
static bool lost;   /* there is no device process any more */

static struct window_cpu *own_slot(void)
{
    return &hosted_window.at->cpu[cpu_id()];
}

static void lose(void)
{
    if (lost)
        return;
    lost = true;
    if (hosted_window.lost_line)
        irq_pend(hosted_window.lost_line);
}

static void ring(u32 device)
{
    static const char byte;

    if (!lost && host_call(HOST_WRITE, (u64)(s64)hosted_boot->doorbell_fd + device,
                           (u64)(uintptr_t)&byte, 1, 0, 0, 0) == -EPIPE)
        lose();
}

static bool look(void)
{
    hosted_streams_look();
    return !lost;
}

void hosted_devices_init(void)
{
    if (!hosted_boot->nr_devices)
        return;
    hosted_window.at = (struct window *)(uintptr_t)hosted_boot->window;
    hosted_window.ring = ring;
    hosted_window.look = look;
    plat.window = &hosted_window;
    own_slot()->pending = (u64)(uintptr_t)&this_cpu()->arch.pending - hosted_boot->direct_base;
}

s32 hosted_devices_fd(void)
{
    return hosted_window.at && !lost ? hosted_boot->irq_fd : -1;
}

void hosted_devices_ready(u32 events)
{
    enum { POLL_IN = 1, POLL_GONE = 8 | 16 | 32 }; /* ERR, HUP, NVAL */
    char bytes[64];

    if (events & POLL_IN)
        host_call(HOST_READ, (u64)(s64)hosted_boot->irq_fd, (u64)(uintptr_t)bytes, sizeof(bytes), 0,
                  0, 0);
    else if (events & POLL_GONE)
        lose();
}

/* True if something became pending meanwhile. */
static bool spin(void)
{
    u64 end = time_ns() + spin_ns;

    while (!irq_is_pending()) {
        if (time_ns() >= end)
            return false;
        for (u32 i = 0; i < 16; i++)
            cpu_relax();
    }
    return true;
}

/* As long as sleeps are short, looking would have been cheaper. */
static void learn(u64 slept_ns)
{
    if (slept_ns <= spin_most_ns)
        spin_ns = spin_ns ? min(2 * spin_ns, spin_most_ns) : spin_least_ns;
    else
        spin_ns /= 2;
    if (spin_ns < spin_least_ns)
        spin_ns = 0;
}

void hosted_devices_idle(void)
{
    if (spin_ns && spin())
        return;
    struct window_cpu *slot = own_slot();
    u64 start = time_ns();
    __atomic_store_n(&slot->waiting, 1,
                     __ATOMIC_SEQ_CST); /* seen before we look for the last time */
    hosted_streams_wait();
    __atomic_store_n(&slot->waiting, 0, __ATOMIC_RELAXED);
    learn(time_ns() - start);
}
