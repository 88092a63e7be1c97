/* Work that waits for a safe point.  A hardware interrupt sets a bit of the CPU's pending word and
 * nothing else; irq_run_pending() does the work behind the bits in thread context. */
#pragma once

#include "core/percpu.h"

enum {
    PEND_TIMER = 0, /* a timer's deadline has passed */
    PEND_KICK =
        1, /* look at the current thread's flags: reschedule, signals; sched owns the meaning */
    PEND_DEVICE = 2, /* first of the device lines; devices may share a line */
    PEND_LINES = 32,
};

typedef void (*irq_handler)(void *arg);

/**
 * Choose a line for a device and let @fn(@arg) run at a safe point after its interrupt.
 * Lines are shared when they run out, so @fn must find out whether its own device has work.
 * Returns the line (a bit number for plat.irq_route_*) or -ENOSPC.  @fn must not sleep.
 */
int irq_register(irq_handler fn, void *arg);

/** Set the handler of a fixed line (PEND_TIMER, PEND_KICK).  At start only. */
void irq_set_handler(u32 line, irq_handler fn, void *arg);

/** Run the handlers of all pending lines until none is pending.  Safe points only; handlers do not
 * sleep. */
void irq_run_pending(void);

/** True if something is pending on this CPU: one load. */
static inline bool irq_is_pending(void)
{
    u32 p;
    __asm__ volatile("movl %%gs:32, %0" : "=r"(p));
    return p != 0;
}

/** Mark @line pending on the running CPU. */
static inline void irq_pend(u32 line)
{
    __asm__ volatile("lock orl %0, %%gs:32" ::"r"(1u << line) : "memory", "cc");
}

/** Mark @line pending on @cpu and make it look soon: interrupts it if it is not the running CPU. */
void irq_pend_on(struct cpu *cpu, u32 line);
