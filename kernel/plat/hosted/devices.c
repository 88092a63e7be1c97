/* The device process, as this side reaches it: doorbells out, interrupts in (abi/window.h).
 * While a CPU runs, the device process sets bits of its pending word and that is all; a CPU that
 * is about to sleep says so first, and then gets a byte as well.  The pipe for that is the first
 * CPU's, which takes all interrupts of devices. */
#include "abi/errno.h"
#include "abi/window.h"
#include "arch/atomic.h"
#include "core/irq.h"
#include "plat/hosted/hosted.h"

static struct plat_window hosted_window;
static bool told; /* [L: the one CPU's] the window says where our pending word is */
static bool lost; /* there is no device process any more */

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

static void tell_place(void)
{
    if (told)
        return;
    told = true;
    own_slot()->pending = (u64)(uintptr_t)&this_cpu()->arch.pending - hosted_boot->direct_base;
}

static void ring(u32 device)
{
    static const char byte;

    hosted_share_head(); /* private so far only if the device process is not there yet */
    tell_place();
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
    hosted_window.late = hosted_boot->head_len;
    if (!hosted_window.late)
        tell_place();
}

s32 hosted_devices_fd(void)
{
    return hosted_window.at && !lost && !cpu_id() ? hosted_boot->irq_fd : -1;
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

void hosted_devices_sleep(void)
{
    if (told) /* seen before we look for the last time */
        __atomic_store_n(&own_slot()->waiting, 1, __ATOMIC_SEQ_CST);
}

void hosted_devices_wake(void)
{
    if (told)
        __atomic_store_n(&own_slot()->waiting, 0, __ATOMIC_RELAXED);
}
